use super::*;
use crate::{
    replica::Readiness,
    run::run as run_processors,
    trial::{self, START},
};
use schema::{
    Currency, Money, StatementEvent, StatementFact,
    exception::PieceAt,
    id::{Kind, Place, Province},
    statement::{BookedPayment, Difference, LineKind, Standing, StatementLine},
    wire::{self, Format},
};
use std::collections::BTreeMap;
use store::Sqlite;
use streams::{Memory, Message};
use tokio::sync::watch;

const PLACE: Place = Place { province: Province(44), day: Day(261_122), partition: Partition(7) };

/// Payment and reconciliation on a bus in memory.
struct Office {
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

impl Office {
    fn open() -> Self {
        let (bus, store): (Arc<dyn Bus>, Arc<dyn Store>) = (Arc::new(Memory::new(START)), Arc::new(Sqlite::in_memory()));
        let with = trial::with(bus.clone(), store.clone());
        let (stop, stopped) = watch::channel(false);
        let processors = vec![&rules::payment::RULES, &rules::exceptions::RULES];
        let running = tokio::spawn(run_processors(processors, with, Arc::new(Readiness::default()), stopped));
        Self { bus, store, stop, running }
    }

    async fn finds(&self, order: &str, amount: i64, booked: Option<Standing>) -> Id {
        let event = differs(order, amount, booked);
        let message = Message { subject: event.subject(), payload: wire::encode(Format::Json, &event).into(), headers: BTreeMap::new() };
        self.bus.publish(message).await.expect("the bus takes it");
        crate::clock::wait(Duration::from_secs(2)).await;
        event.exception().expect("it differs")
    }

    async fn does(&self, what: What) -> Result<bool> {
        run(&what, self.bus.clone(), self.store.clone()).await
    }

    async fn exception(&self, id: Id) -> Exception {
        let view = View::new(self.bus.clone(), self.store.clone());
        view.exception(id).await.expect("it can be read").expect("it is there")
    }

    /// How often each type stands in a journal.
    async fn kinds(&self, journal: Journal) -> Vec<String> {
        let stored = self.bus.scan(journal.stream(), 1, 1_000).await.expect("the bus is in memory");
        stored.iter().filter_map(|stored| stored.subject.rsplit('.').next().map(str::to_owned)).collect()
    }

    async fn close(self) {
        self.stop.send_replace(true);
        self.running.await.expect("it ends well");
    }
}

fn differs(order: &str, amount: i64, booked: Option<Standing>) -> StatementEvent {
    let order = id::derive(Kind::Order, PLACE, &[order]);
    let (kind, transaction, amount, happened_at) = (LineKind::Trade, format!("42-{order}").into(), Money::new(amount, Currency::Cny), START);
    let (number, refund): (Arc<str>, Arc<str>) = (id::attempt(order, 1).as_str().into(), "".into());
    let payment = booked.map(|standing| {
        let (order, attempt, transaction) = (order.as_str().into(), number.clone(), "".into());
        Box::new(BookedPayment { line: 0, kind, standing, order, attempt, transaction, refund: refund.clone(), amount, happened_at })
    });
    let line = StatementLine { line: 3, kind, standing: Standing::Done, transaction, number, refund, amount, fee_milli: 6, happened_at };
    let difference = if payment.is_some() { Difference::StatusDiffers } else { Difference::Surplus };
    let piece = PieceAt { channel: "wechat".into(), merchant: "m".into(), day: PLACE.day, province: PLACE.province, partition: PLACE.partition };
    StatementEvent { piece, run: None, fact: StatementFact::Differs { difference, line: Some(Box::new(line)), payment, nth: 0 } }
}

fn said(exception: Id, author: &str) -> Said {
    Said::by(exception, author, "looked at")
}

#[tokio::test(start_paused = true)]
async fn the_oldest_and_largest_come_first() {
    let office = Office::open();
    let (small, large) = (office.finds("a", 100, None).await, office.finds("b", 20_000, None).await);
    let found = |wanted: Wanted| {
        let store = office.store.clone();
        async move { list(&*store, &wanted).await.expect("the store is there").iter().map(|one| one.exception).collect::<Vec<_>>() }
    };
    assert_eq!(found(Wanted::default()).await, [large, small]);
    assert!(office.does(What::Assign { owner: "zhou".parse().expect("a name"), said: said(small, "lin") }).await.expect("it is decided"));
    assert!(office.does(What::WriteOff(said(small, "lin"))).await.expect("it is decided"), "it is below the limit");
    assert!(!office.does(What::WriteOff(said(small, "lin"))).await.expect("it is decided"), "it is closed");
    assert!(office.does(What::WriteOff(said(large, "lin"))).await.expect("it is decided"));
    assert!(!office.does(What::Approve(said(large, "lin"))).await.expect("it is decided"), "one person is not two");
    assert!(office.does(What::Show { exception: large, json: false }).await.expect("it is there"));
    assert!(office.does(What::Approve(said(large, "zhou"))).await.expect("it is decided"));
    assert!(office.does(What::Approve(said(large, "zhou"))).await.is_err(), "nobody wants it any more");
    crate::clock::wait(Duration::from_secs(2)).await;
    assert_eq!(found(Wanted::default()).await, [], "what is closed waits for nobody");
    let of_day = |day| Wanted { day: Some(day), json: true, ..Wanted::default() };
    assert_eq!((found(of_day(261_122)).await.len(), found(of_day(261_121)).await.len()), (2, 0));
    let of_zhou = Wanted { owner: Some("zhou".parse().expect("a name")), ..of_day(261_122) };
    assert_eq!(found(of_zhou).await, [small]);
    assert!(office.does(What::List(Wanted { channel: Some("alipay".into()), ..Wanted::default() })).await.expect("there are none"));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_told_once_it_is_decided() {
    let office = Office::open();
    let lost = office.finds("a", 500, None).await;
    assert!(office.does(What::Requery(said(lost, "lin"))).await.expect("it is decided"));
    assert!(office.does(What::Repair(said(lost, "lin"))).await.expect("it is decided"));
    assert!(!office.does(What::Repair(said(lost, "lin"))).await.expect("it is decided"), "once");
    crate::clock::wait(Duration::from_secs(2)).await;
    // Its order is not known here, so the money waits for it, like all money that comes first.
    assert_eq!(office.kinds(Journal::Payment).await, ["held"]);
    assert_eq!(office.exception(lost).await.closed, Some(schema::exception::Closing::Repaired));
    let accepted = office.finds("b", 500, Some(Standing::Pending)).await;
    assert!(!office.does(What::Refund(said(accepted, "lin"))).await.expect("it is decided"), "it is no surplus");
    assert!(office.exception(accepted).await.closed.is_none());
    let stored = office.bus.scan("CHANNEL", 1, 10).await.expect("the bus is in memory");
    assert_eq!(stored.iter().map(|stored| &*stored.subject).collect::<Vec<_>>(), ["CHANNEL.7.wechat.succeeded"]);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_refund_that_was_begun_goes_on() {
    let office = Office::open();
    let surplus = office.finds("a", 500, None).await;
    assert!(office.does(What::Refund(said(surplus, "lin"))).await.expect("it is decided"));
    let begun = office.finds("b", 500, None).await;
    // Whoever asks for it dies once it is decided here.
    let desks = Desks::new(Journals::new(office.bus.clone(), 1), STORE_WAIT, DECIDED_WAIT);
    let says = Says::Exception { exception: begun, step: ExceptionStep::Refund };
    let now = desks.now().await.expect("the bus is in memory");
    let event = spoken(&said(begun, "lin"), desk_of(PLACE.partition), says, now).expect("it is sound");
    decide(&desks, &event).await.expect("the bus takes it").expect("it is decided");
    assert_eq!(office.exception(begun).await.closed, Some(Closing::Refunded));
    let asked =
        async || office.bus.scan("DESK", 1, 100).await.expect("the bus is in memory").iter().filter(|one| one.subject.ends_with(".refund")).count();
    let before = asked().await;
    // At the same moment it would be the same saying.
    crate::clock::wait(Duration::from_secs(1)).await;
    assert!(office.does(What::Refund(said(begun, "lin"))).await.expect("it is decided"), "it goes on");
    assert!(asked().await > before, "and is said to whom it concerns");
    // What was closed otherwise does not.
    let given_up = office.finds("c", 500, None).await;
    assert!(office.does(What::WriteOff(said(given_up, "lin"))).await.expect("it is decided"));
    assert!(!office.does(What::Refund(said(given_up, "lin"))).await.expect("it is decided"));
    office.close().await;
}
