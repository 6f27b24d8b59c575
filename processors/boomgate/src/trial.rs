//! A place to try the loop in tests: the in-memory bus, SQLite in memory, one lot with two spaces.

use crate::{
    input::{self, Item},
    metrics::Metrics,
    replica::Shared,
    run::With,
    settings::Settings,
    takeover,
    turn::Cell,
};
use rules::{Limits, Rules};
use schema::{
    GateEvent, GateKind, Inbox, Journal, Key, Moment, Partition, Recorded, Reference, Table,
    entity::Posting,
    fact,
    gate::{Colour, Credential},
    id::{self, Province},
    journal::{Bill, PaymentEvent, Source},
    reference::{Declared, LotDeclared, RateTable, Step},
    wire::{self, Format},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::{Mark, Part, Row, Sqlite, Store, cache::Cache};
use streams::{Bus, From, Intake, Memory, Message};

/// When every trial begins: 2026-11-23T02:00:00Z.
pub const START: Moment = Moment(1_795_399_200_000_000);

/// One lot with two spaces, at 5 yuan an hour.
pub fn declared() -> Declared {
    let steps = vec![Step { to_min: None, unit_min: 60, price: 500 }];
    let table = RateTable { id: "hourly".into(), version: 1, currency: schema::Currency::Cny, free_min: 0, steps, ..RateTable::default() };
    let lot = LotDeclared {
        province: Province(44),
        zone: "Asia/Shanghai".into(),
        capacity: 2,
        rate_table: Some("hourly".into()),
        lanes: vec!["in".parse().expect("a name"), "out".parse().expect("a name")],
        ..LotDeclared::named("small".parse().expect("a name"))
    };
    Declared { lots: vec![lot], rate_tables: vec![table], ..Declared::default() }
}

/// Whoever runs processors on that lot and keeps what it was told.
pub fn with(bus: Arc<dyn Bus>, store: Arc<dyn Store>) -> With {
    With {
        bus,
        store,
        cache: Arc::new(store::cache::Memory::new(1_000)),
        reference: Arc::new(Reference::resolve(declared()).expect("valid reference data")).into(),
        limits: Limits::default(),
        settings: Settings { keep_inputs: true, ..Settings::default() },
        json: Vec::new(),
        replica: "one".into(),
    }
}

/// The partition of the lot.
pub fn partition() -> Partition {
    Partition::of_lot("small")
}

/// A gate event of a car, seen some minutes after the start.
pub fn gate(kind: GateKind, car: &str, minutes: i64) -> GateEvent {
    GateEvent {
        id: format!("{car}-{}-{}", kind.as_str(), minutes.unsigned_abs()).parse().expect("a name"),
        lot: "small".parse().expect("a name"),
        lane: if kind == GateKind::Entry { "in" } else { "out" }.parse().expect("a name"),
        kind,
        seen_at: START.plus(minutes * schema::time::MINUTE),
        credential: Credential::plate(car, Colour::Blue),
        class: None,
        energy: None,
        confidence: None,
        decided: None,
    }
}

/// The message of a gate event.
pub fn message(event: &GateEvent) -> Message {
    Message { subject: event.subject(), payload: wire::encode(Format::Json, event).into(), headers: BTreeMap::new() }
}

/// A cache that is complete with these facts.
pub async fn known(parts: Vec<(Credential, fact::Part)>) -> Arc<dyn Cache> {
    let cache = store::cache::Memory::new(1_000);
    let generation = cache.begin_rebuild().await.expect("it is in memory");
    cache.write(parts).await.expect("it is in memory");
    assert!(cache.complete(generation).await.expect("it is in memory"));
    Arc::new(cache)
}

/// A store that can be away.
pub struct Weather {
    /// The store.
    pub inner: Sqlite,
    /// Whether it is away.
    pub away: AtomicBool,
    /// Whether rows can be written, but no marks.
    pub marks_fail: AtomicBool,
}

impl Weather {
    fn there(&self) -> Result<(), store::Error> {
        if self.away.load(Ordering::Relaxed) { Err(store::Error::new(store::Kind::Unavailable, "the trial's weather")) } else { Ok(()) }
    }
}

impl Store for Weather {
    fn save(&self, rows: Vec<Row>) -> store::Answer<'_, ()> {
        Box::pin(async move {
            self.there()?;
            self.inner.save(rows).await
        })
    }

    fn mark(&self, marks: Vec<Mark>) -> store::Answer<'_, ()> {
        Box::pin(async move {
            self.there()?;
            if self.marks_fail.load(Ordering::Relaxed) {
                return Err(store::Error::new(store::Kind::Unavailable, "the trial's weather"));
            }
            self.inner.mark(marks).await
        })
    }

    fn marks(&self, journal: Journal, partitions: Vec<Partition>) -> store::Answer<'_, Vec<Option<Mark>>> {
        self.inner.marks(journal, partitions)
    }

    fn load(&self, keys: Vec<Key>) -> store::Answer<'_, Vec<Option<Row>>> {
        Box::pin(async move {
            self.there()?;
            self.inner.load(keys).await
        })
    }

    fn open(&self, journal: Journal, partitions: Vec<Partition>) -> store::Answer<'_, Vec<Row>> {
        self.inner.open(journal, partitions)
    }

    fn parts(&self, table: Table) -> store::Answer<'_, Vec<Part>> {
        self.inner.parts(table)
    }

    fn scan(&self, part: Part) -> store::Answer<'_, Vec<Row>> {
        self.inner.scan(part)
    }

    fn postings(&self, part: Part, begin: String) -> store::Answer<'_, Vec<(Moment, Posting)>> {
        Box::pin(async move {
            self.there()?;
            self.inner.postings(part, begin).await
        })
    }
}

/// The processor `entry` on a bus and a store of its own.
pub struct Trial {
    /// What a turn uses.
    pub shared: Arc<Shared>,
    /// The store, to make its weather.
    pub store: Arc<Weather>,
    intake: Box<dyn Intake>,
}

impl Trial {
    /// Nothing has happened yet, and nothing is known of any vehicle.
    pub async fn new() -> Self {
        Self::at(declared(), known(Vec::new()).await).await
    }

    /// Nothing has happened yet at these lots.
    pub async fn at(declared: Declared, cache: Arc<dyn Cache>) -> Self {
        Self::of(&rules::entry::RULES, declared, cache, rules::Limits::default()).await
    }

    /// Nothing is in the books yet; windows are hours and close a minute after them.
    pub async fn of_the_ledger() -> Self {
        let limits = rules::Limits {
            fees: [("wechat".into(), 6_000)].into(),
            window: rules::settlement::Length::Hour,
            lateness: schema::time::MINUTE,
            ..rules::Limits::default()
        };
        Self::of(&rules::settlement::RULES, declared(), known(Vec::new()).await, limits).await
    }

    /// The same of any processor.
    async fn of(rules: &'static Rules, declared: Declared, cache: Arc<dyn Cache>, limits: rules::Limits) -> Self {
        let bus: Arc<dyn Bus> = Arc::new(Memory::new(START));
        let store = Arc::new(Weather { inner: Sqlite::in_memory(), away: AtomicBool::new(false), marks_fail: AtomicBool::new(false) });
        let reader = streams::table::readers(rules.name, 1, 0).into_iter().next().expect("each processor reads something");
        let intake = bus.consume(reader).await.expect("the bus is in memory");
        let shared = Shared {
            rules,
            bus,
            store: store.clone(),
            cache,
            follower: None,
            reference: Arc::new(Reference::resolve(declared).expect("valid reference data")).into(),
            limits,
            format: Format::MessagePack,
            settings: Settings { keep_inputs: true, ..Settings::default() },
            metrics: Metrics::new(rules.name),
        };
        Self { shared: Arc::new(shared), store, intake }
    }

    /// Sends an event, and takes what is delivered of it.
    pub async fn deliver(&mut self, event: &GateEvent) -> Vec<Item> {
        self.shared.bus.publish(message(event)).await.expect("the bus is in memory");
        let deliveries = self.intake.fetch(100, Duration::from_millis(1)).await.expect("the bus is in memory");
        deliveries.into_iter().map(|delivery| input::read(delivery).expect("the subject names a partition").1).collect()
    }

    /// Money of a driver at the lot, paid and told some minutes after the start.
    pub fn paid(transaction: u32, minutes: i64) -> Item {
        let at = START.plus(minutes * schema::time::MINUTE).plus(transaction.into());
        let place = id::Place { province: Province(44), day: schema::Day(261_123), partition: partition() };
        let event = PaymentEvent::Applied {
            bill: Bill { order: id::derive(id::Kind::Order, place, &["o"]), lot: Some("small".parse().expect("a name")), day: place.day },
            source: Source { channel: "wechat".into(), transaction: transaction.to_string().into() },
            amount: schema::Money::new(1_000, schema::Currency::Cny),
            held: false,
            paid_at: Some(at),
            provisional: false,
            part: None,
            discounts: None,
            reason: None,
        };
        let cause = schema::Cause { inbox: Inbox::Channel, sequence: 1, event: "k".into(), time: at, index: 0 };
        let recorded = Recorded { at, cause, event: schema::Event::Payment(event) };
        let (key, body) = (at.0.to_string().into(), rules::Body::Journal(Box::new(recorded)));
        let input = rules::Input { inbox: Inbox::Payment, sequence: 1, key, time: at, received_at: at, body };
        Item { delivery: None, read: input::Read::Input(Box::new(input)), tries: 0, asked: Vec::new() }
    }

    /// The lot's partition, as a replica takes it over now.
    pub async fn cell(&self) -> Arc<Cell> {
        let state = takeover::take_over(&self.shared, partition()).await.expect("bus and store are there");
        Arc::new(Cell::new(partition(), state))
    }

    /// What stands in the lot's journal.
    pub async fn journal(&self) -> Vec<Recorded> {
        let journal = self.shared.rules.journal;
        let stored = self.shared.bus.tail(journal, partition(), From::Sequence(1)).await.expect("the bus is in memory");
        let read = |stored: streams::Stored| wire::decode_recorded(journal, input::content_type(&stored), &stored.payload);
        stored.into_iter().map(|stored| read(stored).expect("we wrote it")).collect()
    }

    /// The kinds of what stands in the lot's journal.
    pub async fn kinds(&self) -> Vec<&'static str> {
        self.journal().await.iter().map(|recorded| recorded.event.kind()).collect()
    }
}
