//! A place to try rules in tests: entities in a map, inputs one after the other, no loop and no store.

use crate::{Body, Facts, Input, Limits, Rules, View, entry::checks::Fact, settlement};
use schema::{
    Cause, ChannelEvent, Currency, DeskEvent, Effect, Entity, Event, GateEvent, GateKind, Handle, Inbox, Key, Moment, Recorded, Reference,
    VehicleClass,
    entity::Posting,
    fact::{self, Part, TimeBand, Weekdays},
    gate::{Colour, Confidence, Credential},
    rate::{Stacking, ValidationRules},
    reference::{Declared, Deducts, Direction, LaneDeclared, LotDeclared, Passback, Policies, Policy, RateTable, Step},
    time::MINUTE,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A moment `minutes` after the start of the trial, which is 2026-11-23T00:00:00Z.
pub fn at(minutes: i64) -> Moment {
    Moment(1_795_392_000_000_000).plus(minutes.saturating_mul(MINUTE))
}

/// Lots of one operator: `small` with two spaces and 5 yuan an hour after 15 free minutes, `bare` without a rate table, `shut`, `closes` for who
/// comes in again, `strict`, `deducts` with a channel that deducts by the plate, `minds` what cars owe, `senses`, whose lanes tell who crosses,
/// `limits` to two coupons a day, all of which count, and `laneless`, which declares no lanes.
pub fn reference() -> Reference {
    let rates = RateTable {
        id: "hourly".into(),
        version: 1,
        currency: Currency::Cny,
        free_min: 15,
        steps: vec![Step { to_min: None, unit_min: 60, price: 500 }],
        cap_per_24h: Some(2000),
        lost_ticket: Some(2000),
        ..RateTable::default()
    };
    let validations = ValidationRules { stacking: Stacking::All, per_vehicle_day: Some(2), ..ValidationRules::default() };
    let limited = RateTable { id: "limited".into(), validations, ..rates.clone() };
    let lot = |name: &str, capacity, open, rate_table: Option<&str>| LotDeclared {
        province: schema::id::Province(44),
        zone: "Asia/Shanghai".into(),
        capacity,
        open,
        rate_table: rate_table.map(Into::into),
        lanes: vec!["in".parse().expect("a name"), "out".parse().expect("a name")],
        ..LotDeclared::named(name.parse().expect("a name"))
    };
    let lots = vec![
        lot("small", 2, true, Some("hourly")),
        lot("bare", 2, true, None),
        lot("shut", 2, false, Some("hourly")),
        LotDeclared { policies: Policies { inside: Passback::Close, ..Policies::default() }, ..lot("closes", 2, true, Some("hourly")) },
        strict(lot("strict", 2, true, Some("hourly"))),
        LotDeclared {
            deducts: Some(Deducts { channel: "wechat".parse().expect("a name"), free_min: 15 }),
            ..lot("deducts", 2, true, Some("hourly"))
        },
        LotDeclared { policies: Policies { arrears: Policy::Refuse, ..Policies::default() }, ..lot("minds", 2, true, Some("hourly")) },
        LotDeclared { lanes: vec![sensing("in", Direction::In), sensing("out", Direction::Out)], ..lot("senses", 2, true, Some("hourly")) },
        lot("limits", 2, true, Some("limited")),
        LotDeclared { lanes: Vec::new(), ..lot("laneless", 2, true, Some("hourly")) },
    ];
    Reference::resolve(Declared { lots, rate_tables: vec![rates, limited], ..Declared::default() }).expect("the trial's own reference data")
}

fn sensing(name: &str, direction: Direction) -> LaneDeclared {
    LaneDeclared { direction, sensor: true, ..LaneDeclared::named(name.parse().expect("a name")) }
}

/// From 08:00 to 20:00 (minutes 0 to 719 of the trial), lanes one way, one of them for large vehicles; flags re-entries, doubts unsure reads.
fn strict(lot: LotDeclared) -> LotDeclared {
    let lane = |name: &str, direction, classes: &[VehicleClass]| {
        let named = LaneDeclared::named(name.parse().expect("a name"));
        LaneDeclared { direction, classes: classes.to_vec(), ..named }
    };
    LotDeclared {
        lanes: vec![lane("in", Direction::In, &[]), lane("out", Direction::Out, &[]), lane("heavy", Direction::In, &[VehicleClass::Large])],
        hours: vec![TimeBand { days: Weekdays::ALL, from_min: 480, to_min: 1200 }],
        policies: Policies {
            inside: Passback::Flag,
            confidence_min: Confidence::try_from(80).expect("a percentage"),
            double_read_s: 90,
            ..Policies::default()
        },
        ..lot
    }
}

/// A gate event of a car at a lot, `minutes` after the start.
pub fn gate(kind: GateKind, lot: &str, car: &str, minutes: i64) -> GateEvent {
    GateEvent {
        id: format!("{car}-{}-{minutes}", kind.as_str()).parse().expect("a name"),
        lot: lot.parse().expect("a name"),
        lane: if kind == GateKind::Entry { "in" } else { "out" }.parse().expect("a name"),
        kind,
        seen_at: at(minutes),
        credential: Credential::plate(car, Colour::Blue),
        class: None,
        energy: None,
        confidence: None,
        decided: None,
    }
}

/// One processor with what it knows.
pub struct Trial {
    rules: &'static Rules,
    reference: Reference,
    /// The entities.
    pub entities: BTreeMap<Key, Entity>,
    /// What was recorded.
    pub journal: Vec<Recorded>,
    /// The broker's time of the next input.
    pub now: Moment,
    /// The numbers that bound decisions.
    pub limits: Limits,
    /// The ledger rows, as the store has them; none while it is away.
    pub rows: Option<Vec<(Moment, Posting)>>,
    /// What is known of vehicles elsewhere.
    pub known: BTreeMap<(Credential, fact::Kind), Vec<Part>>,
    /// The kinds of fact that do not come in time.
    pub away: BTreeSet<fact::Kind>,
}

impl View for Trial {
    fn get(&self, key: &Key) -> Option<&Entity> {
        self.entities.get(key)
    }

    fn find(&self, handle: &Handle) -> Option<&Entity> {
        self.entities.values().find(|entity| entity.handle().as_ref() == Some(handle))
    }

    fn fact(&self, credential: &Credential, kind: fact::Kind) -> Fact<'_> {
        if self.away.contains(&kind) {
            return Fact::Missed;
        }
        self.known.get(&(credential.clone(), kind)).map_or(Fact::Here(&[]), |parts| Fact::Here(parts))
    }

    fn rows(&self, _: &Key) -> Option<settlement::Rows<'_>> {
        let as_of = self.journal.last().map_or(self.now, |last| last.at);
        self.rows.as_ref().map(|rows| settlement::Rows { rows, as_of })
    }
}

/// What a worker would see: what has left its memory is seen by who asks for it alone.
struct Seen<'a> {
    trial: &'a Trial,
    asked: BTreeSet<Key>,
}

impl View for Seen<'_> {
    fn get(&self, key: &Key) -> Option<&Entity> {
        self.trial.get(key).filter(|entity| entity.is_open() || entity.lingers() > 0 || self.asked.contains(key))
    }

    fn find(&self, handle: &Handle) -> Option<&Entity> {
        self.trial.find(handle)
    }

    fn rows(&self, window: &Key) -> Option<settlement::Rows<'_>> {
        self.trial.rows(window)
    }

    fn fact(&self, credential: &Credential, kind: fact::Kind) -> Fact<'_> {
        self.trial.fact(credential, kind)
    }
}

impl Trial {
    /// A processor that knows nothing yet.
    pub fn new(rules: &'static Rules) -> Self {
        Self {
            rules,
            reference: reference(),
            entities: BTreeMap::new(),
            journal: Vec::new(),
            now: at(0),
            limits: Limits::default(),
            rows: Some(Vec::new()),
            known: BTreeMap::new(),
            away: BTreeSet::new(),
        }
    }

    /// Whose a lot is.
    pub fn operator(lot: &str) -> String {
        let lot = lot.parse().expect("a name");
        reference().lot(&lot).map(|lot| lot.declared.operator.to_string()).expect("a lot of the trial")
    }

    /// Decides and folds a gate event, seen as it is received.
    pub fn gate(&mut self, event: GateEvent) -> Vec<Event> {
        self.now = self.now.max(event.seen_at);
        let (key, time) = (event.key(), event.seen_at);
        self.input(Inbox::Gate, &key, time, Body::Gate(event))
    }

    /// Decides and folds what a channel said.
    pub fn channel(&mut self, event: &ChannelEvent) -> Vec<Event> {
        self.now = self.now.max(event.happened_at);
        self.input(Inbox::Channel, &event.key(), event.happened_at, Body::Channel(event.clone()))
    }

    /// Decides and folds what a person said.
    pub fn desk(&mut self, event: DeskEvent) -> Vec<Event> {
        self.now = self.now.max(event.said_at);
        let (key, time) = (event.key(), event.said_at);
        self.input(Inbox::Desk, &key, time, Body::Desk(Box::new(event.checked().expect("it means something"))))
    }

    /// Decides and folds what is due at a time.
    pub fn ticks(&mut self, now: Moment) -> Vec<Event> {
        self.now = self.now.max(now);
        let due: Vec<Key> = self.entities.iter().filter(|(_, entity)| entity.due_at().is_some_and(|due| due <= now)).map(|(key, _)| *key).collect();
        due.into_iter().flat_map(|key| self.input(Inbox::Tick, "", now, Body::Tick(key))).collect()
    }

    /// Decides and folds an event of another journal.
    pub fn journal(&mut self, inbox: Inbox, recorded: &Recorded) -> Vec<Event> {
        self.now = self.now.max(recorded.at);
        self.input(inbox, &recorded.at.0.to_string(), recorded.at, Body::Journal(Box::new(recorded.clone())))
    }

    /// Decides and folds an input.
    pub fn input(&mut self, inbox: Inbox, key: &str, time: Moment, body: Body) -> Vec<Event> {
        if !(self.rules.concerns)(&body) {
            return Vec::new();
        }
        let input = Input { inbox, sequence: 1, key: key.into(), time, received_at: self.now, body };
        let facts = Facts { reference: &self.reference, limits: &self.limits };
        let asked = (self.rules.needs)(self, &facts, &input).into_iter().collect();
        let seen = Seen { trial: self, asked };
        let events = (self.rules.decide)(&seen, &facts, &input);
        let mut asked = seen.asked;
        for (index, event) in (0..).zip(&events) {
            let at = self.journal.last().map_or(self.now, |last| self.now.max(last.at.plus(1)));
            let cause = Cause { inbox, sequence: 1, event: Arc::from(key), time, index };
            let recorded = Recorded { at, cause, event: event.clone() };
            for touch in (self.rules.touches)(event) {
                let before = Seen { trial: self, asked: asked.clone() }.get(&touch.key).cloned();
                let is_known = touch.born || before.is_some() || asked.contains(&touch.key);
                assert!(is_known, "an event concerns only what its input needed: {event:?} of {input:?}");
                asked.insert(touch.key);
                let entity = (self.rules.evolve)(&touch.key, before, &recorded);
                if let (Entity::Posting(posting), Some(rows)) = (&entity, &mut self.rows) {
                    rows.push((at, (**posting).clone()));
                }
                self.entities.insert(touch.key, entity);
            }
            self.journal.push(recorded);
        }
        events
    }

    /// The effects of all that was recorded.
    pub fn effects(&self) -> Vec<Effect> {
        self.journal.iter().flat_map(|recorded| (self.rules.effects)(recorded)).collect()
    }
}
