use super::*;
use crate::{
    save,
    trial::{START, Trial, gate, partition},
    turn::turn,
};
use schema::{
    Cause, ChannelEvent, ChannelFact, Currency, GateKind, Id, Inbox,
    entity::Stage,
    id::{self, Kind, Place, Province},
    journal::{Bill, OrderEvent, PaymentEvent, RefundReason, Source},
    time::Day,
    wire::Format,
};
use std::{sync::Arc, time::Duration};
use streams::{Append, Memory, Message, subject};

const PLACE: Place = Place { province: Province(44), day: Day(261_123), partition: Partition(7) };

/// Lets cars come in, saves them, and gives the trial.
async fn with_cars(cars: &[&str]) -> Trial {
    let mut trial = Trial::new().await;
    let cell = trial.cell().await;
    for (minute, car) in (0..).zip(cars) {
        let items = trial.deliver(&gate(GateKind::Entry, car, minute)).await;
        turn(trial.shared.clone(), cell.clone(), items, false).await;
    }
    let snapshot = cell.with(|state| state.snapshot()).expect("something is unsaved");
    assert!(!save::save(trial.shared.clone(), vec![snapshot]).await.failed);
    trial
}

async fn audit(trial: &Trial) -> Report {
    verify(&*trial.shared.bus, &*trial.store).await.expect("bus and store are there")
}

/// The row of the first session, changed and saved under a newer version or the same one.
async fn a_session(trial: &Trial) -> Row {
    let parts = trial.store.parts(Table::Sessions).await.expect("the store is there");
    let rows = trial.store.scan(parts[0]).await.expect("the store is there");
    rows.into_iter().next().expect("a car came")
}

#[tokio::test(start_paused = true)]
async fn what_is_right_is_clean() {
    let trial = with_cars(&["A", "B", "C"]).await;
    let report = audit(&trial).await;
    assert!(report.clean, "{:?}", report.differences);
    assert_eq!((report.answered, report.rows_equal, report.rows_unsaved), (3, 6, 0), "two sessions, the lot, three answers");
    assert_eq!(report.saved.iter().map(|saved| saved.behind).sum::<u64>(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_not_its_fold_is_named() {
    let trial = with_cars(&["A"]).await;
    let mut row = a_session(&trial).await;
    if let Entity::Session(session) = &mut row.entity {
        session.stage = Stage::Closed;
    }
    row.at = row.at.plus(1);
    trial.store.save(vec![row.clone()]).await.expect("the store is there");
    let report = audit(&trial).await;
    assert!(!report.clean && report.differences[0].contains(row.key.id.as_str()), "{:?}", report.differences);
}

#[tokio::test(start_paused = true)]
async fn a_statement_is_held_against_its_rows() {
    let trial = Trial::of_the_ledger().await;
    let cell = trial.cell().await;
    turn(trial.shared.clone(), cell.clone(), vec![Trial::paid(1, 10), Trial::paid(2, 20)], false).await;
    let now = crate::trial::START.plus(90 * schema::time::MINUTE);
    for _ in 0..2 {
        let snapshot = cell.with(|state| state.snapshot()).expect("something is unsaved");
        for (rows, mark) in save::save(trial.shared.clone(), vec![snapshot]).await.confirmed {
            cell.with(|state| state.confirm(&rows, &mark));
        }
        let due = cell.with(|state| state.due(now)).into_iter().map(|key| crate::input::tick(key, now)).collect();
        turn(trial.shared.clone(), cell.clone(), due, false).await;
    }
    let report = audit(&trial).await;
    assert!(report.clean && report.statements == 1, "{:?}", report.differences);
    // A row of it says something else, in a store whose journal is long forgotten.
    let mut rows: BTreeMap<Key, Row> = BTreeMap::new();
    for table in [Table::Ledger, Table::Windows, Table::Statements] {
        for part in trial.store.parts(table).await.expect("the store is there") {
            rows.extend(trial.store.scan(part).await.expect("the store is there").into_iter().map(|row| (row.key, row)));
        }
    }
    let marks = trial.store.marks(Journal::Ledger, Partition::all().collect()).await.expect("the store is there");
    let marks = marks.into_iter().flatten().map(|mark| ((mark.journal, mark.partition), mark)).collect();
    let found = |rows: &BTreeMap<Key, Row>| {
        let mut report = Report::default();
        settled::check(rows, &marks, &mut report);
        report.differences.join("; ")
    };
    assert_eq!(found(&rows), "");
    let is_row = |key: &&Key| key.table == Table::Ledger;
    let row = *rows.keys().find(is_row).expect("there is one");
    let whole = rows.clone();
    rows.remove(&row);
    assert!(found(&rows).contains("1 rows add up to"), "{}", found(&rows));
    rows = whole;
    if let Some(Entity::Posting(posting)) = rows.get_mut(&row).map(|row| &mut row.entity) {
        posting.at = None;
    }
    assert!(found(&rows).contains("have the hash"), "{}", found(&rows));
    rows.retain(|key, _| key.table != Table::Statements);
    assert!(found(&rows).contains("its last statement"), "{}", found(&rows));
}

#[tokio::test(start_paused = true)]
async fn a_row_without_an_event_is_named() {
    let trial = with_cars(&["A"]).await;
    let mut row = a_session(&trial).await;
    row.key.id = "S4426112300nobody0000000000".parse().expect("a name");
    trial.store.save(vec![row]).await.expect("the store is there");
    let report = audit(&trial).await;
    assert!(report.differences.iter().any(|what| what.contains("nobody") && what.contains("no event")), "{:?}", report.differences);
}

#[tokio::test(start_paused = true)]
async fn an_input_without_an_answer_is_pending_and_then_a_difference() {
    let mut trial = with_cars(&["A"]).await;
    trial.deliver(&gate(GateKind::Entry, "B", 1)).await;
    let report = audit(&trial).await;
    assert!(report.clean && report.pending == 1, "{:?}", report.differences);
    crate::clock::wait(Duration::from_secs(31)).await;
    let report = audit(&trial).await;
    assert!(report.differences.iter().any(|what| what.contains("GATE 2")), "{:?}", report.differences);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_was_answered_twice_is_named() {
    let mut trial = with_cars(&["A"]).await;
    // A processor that does not know its answers: its state begins with nothing, and it appends all the same.
    let head = trial.shared.bus.head(Journal::Session, crate::trial::partition()).await.expect("the bus is in memory").expect("a car came");
    let items = trial.deliver(&gate(GateKind::Entry, "A", 0)).await;
    let mut forgetful = crate::state::State::new(Journal::Session, crate::trial::partition());
    forgetful.stand(head.sequence, Moment(head.time.0));
    turn(trial.shared.clone(), Arc::new(crate::turn::Cell::new(crate::trial::partition(), forgetful)), items, false).await;
    let report = audit(&trial).await;
    assert!(report.differences.iter().any(|what| what.contains("answered before")), "{:?}", report.differences);
}

/// Whoever reads SESSION is there: what it has not answered is not trimmed.
async fn with_pricing(bus: &dyn Bus) {
    for reader in streams::table::readers("pricing", 1, 0) {
        bus.consume(reader).await.expect("the bus is in memory");
    }
}

#[tokio::test(start_paused = true)]
async fn an_input_older_than_its_trimmed_journal_is_not_judged() {
    let mut trial = with_cars(&["A", "B", "C"]).await;
    with_pricing(&*trial.shared.bus).await;
    assert_eq!(trial.shared.bus.trim(Journal::Session, partition(), 3).await.expect("the bus is in memory"), 2);
    crate::clock::wait(Duration::from_secs(31)).await;
    // The first one is said again, a day later: the row of its answer tells that it was answered.
    trial.deliver(&gate(GateKind::Entry, "A", 0)).await;
    crate::clock::wait(Duration::from_secs(31)).await;
    let report = audit(&trial).await;
    assert!(report.clean, "{:?}", report.differences);
    assert_eq!((report.answered, report.not_judged, report.pending), (1, 3, 0));
    // What is younger than the journal's first event is judged as ever.
    trial.deliver(&gate(GateKind::Entry, "D", 1)).await;
    crate::clock::wait(Duration::from_secs(31)).await;
    let report = audit(&trial).await;
    assert!(report.differences_count == 1 && report.differences[0].contains("GATE 5"), "{:?}", report.differences);
}

#[tokio::test(start_paused = true)]
async fn a_journal_is_trimmed_even_where_its_first_message_stays() {
    let bus = Memory::new(START);
    with_pricing(&bus).await;
    // The first partition is idle, so its only message stays.
    for (partition, expected) in [(1, 0), (2, 0), (2, 2)] {
        let partition = Partition(partition);
        let subject = subject::journal_subject(Journal::Session, PLACE.province, partition, "noted");
        let messages = vec![Message { subject, payload: "{}".into(), headers: BTreeMap::new() }];
        bus.append(Append { journal: Journal::Session, partition, expected, messages }).await.expect("it is appended");
    }
    assert!(!whole(&bus, "SESSION").await.expect("the bus is in memory").1);
    assert_eq!(bus.trim(Journal::Session, Partition(2), 3).await.expect("the bus is in memory"), 1);
    let (left, trimmed) = whole(&bus, "SESSION").await.expect("the bus is in memory");
    assert_eq!((left.iter().map(|stored| stored.sequence).collect::<Vec<_>>(), trimmed), (vec![1, 3], true));
}

fn order() -> Id {
    id::derive(Kind::Order, PLACE, &["o"])
}

fn yuan(minor: i64) -> schema::Money {
    schema::Money::new(minor, Currency::Cny)
}

fn source(channel: &str) -> Source {
    Source { channel: channel.into(), transaction: "42".into() }
}

fn bill() -> Bill {
    Bill { order: order(), lot: None, day: PLACE.day }
}

/// A channel says that it captured ten yuan.
fn captured(channel: &str) -> ChannelEvent {
    let fact = ChannelFact::Succeeded { attempt: id::attempt(order(), 1), transaction: "42".into(), amount: yuan(1_000) };
    ChannelEvent { channel: channel.into(), happened_at: START, fact }
}

fn expected() -> PaymentEvent {
    PaymentEvent::Expected { bill: bill(), due: yuan(1_000), discounts: None }
}

fn applied(channel: &str, amount: schema::Money) -> PaymentEvent {
    let (bill, source) = (bill(), source(channel));
    PaymentEvent::Applied { bill, source, amount, held: false, paid_at: None, provisional: false, part: None, discounts: None, reason: None }
}

/// So much of ten yuan is to go back, because a person says so or because the order was paid already.
fn requested(channel: &str, refund: &str, minor: i64, by_hand: bool) -> PaymentEvent {
    PaymentEvent::RefundRequested {
        bill: bill(),
        source: source(channel),
        amount: yuan(minor),
        refund: id::derive(Kind::Refund, PLACE, &[refund]),
        reason: if by_hand { RefundReason::Ordered } else { RefundReason::Duplicate },
        tries: 1,
        held: false,
        due_at: START,
        asks: false,
        applied: by_hand,
        captured: Some(yuan(1_000)),
        by: None,
        approved: None,
    }
}

fn refunded(channel: &str, refund: &str, minor: i64) -> PaymentEvent {
    let (source, refund) = (source(channel), id::derive(Kind::Refund, PLACE, &[refund]));
    PaymentEvent::Refunded { bill: bill(), source, amount: yuan(minor), refund, left: None, done_at: None, drawer: false }
}

fn recorded(number: u64, (inbox, sequence, key): (Inbox, u64, String), event: Event) -> (Partition, u64, Recorded) {
    let at = START.plus(i64::try_from(number).expect("a few"));
    (PLACE.partition, number, Recorded { at, cause: Cause { inbox, sequence, event: key.into(), time: START, index: 0 }, event })
}

/// What differs, and the money: the second event of PAYMENT answers one channel, the third the other; ORDER says that so much is paid.
fn found(events: &[PaymentEvent], paid: i64) -> (String, Option<Money>) {
    let told = ["wechat", "alipay"].map(captured);
    let caused = |(number, event): (u64, &PaymentEvent)| {
        let cause = match number {
            2 => (Inbox::Channel, 1, told[0].key()),
            3 => (Inbox::Channel, 2, told[1].key()),
            _ => (Inbox::Desk, number, number.to_string()),
        };
        recorded(number, cause, Event::Payment(event.clone()))
    };
    let payments: Vec<(Partition, u64, Recorded)> = (1..).zip(events).map(caused).collect();
    let log = Log::new(&rules::payment::RULES, payments, false);
    let message = |(sequence, event): (u64, &ChannelEvent)| Stored {
        subject: event.subject().expect("an order of ours"),
        sequence,
        time: START,
        payload: wire::encode(Format::Json, event).into(),
        headers: BTreeMap::new(),
    };
    let session = id::derive(Kind::Session, PLACE, &["s"]);
    let (lot, province, by) = ("small".parse().expect("a name"), PLACE.province, source("wechat"));
    let paid = OrderEvent::Paid { order: order(), session, lot, province, amount: yuan(paid), by, prepays: None };
    let orders = Log::new(&rules::pricing::RULES, vec![recorded(1, (Inbox::Payment, 2, "k".into()), Event::Order(paid))], false);
    let mut report = Report::default();
    let messages: Vec<Stored> = (1..).zip(&told).map(message).collect();
    money::check(&log, &[("CHANNEL", messages)], &money::paid(&orders), &mut report);
    (report.differences.join("; "), report.money.remove("Cny"))
}

#[test]
fn money_that_does_not_add_up_is_named() {
    let pays = || applied("wechat", yuan(1_000));
    let back = || requested("alipay", "r", 1_000, false);
    let right = [expected(), pays(), back(), refunded("alipay", "r", 1_000), requested("wechat", "p", 300, true)];
    let sums = Money { captured: 2_000, applied: 700, refunded: 1_000, open: 300 };
    assert_eq!(found(&right, 1_000), (String::new(), Some(sums)));
    let passed_over =
        PaymentEvent::PassedOver { bill: bill(), source: source("wechat"), amount: yuan(1_000), reason: RefundReason::Duplicate, applied: true };
    for (what, events, paid, expected) in [
        (
            "part of it went nowhere",
            vec![expected(), pays(), requested("alipay", "r", 400, false)],
            1_000,
            "captured 1000, and that is not applied 0",
        ),
        ("captured money is passed over", vec![expected(), pays(), back(), passed_over], 1_000, "it captured 1000, and that is not applied 0"),
        ("a refund nobody asked for", vec![expected(), pays(), back(), refunded("alipay", "x", 1_000)], 1_000, "was not asked for"),
        ("the refund of other money", vec![expected(), pays(), back(), refunded("wechat", "r", 1_000)], 1_000, "was not asked for"),
        ("a refund of more than was asked", vec![expected(), pays(), back(), refunded("alipay", "r", 2_000)], 1_000, "was not asked for"),
        ("more goes back than came", vec![expected(), pays(), back(), requested("wechat", "p", 1_100, true)], 1_000, "more is to go back"),
        ("one refund of two moneys", vec![expected(), pays(), back(), requested("wechat", "r", 300, true)], 1_000, "is of two transactions"),
        ("it is paid twice", vec![expected(), pays(), applied("alipay", yuan(1_000))], 1_000, "10.00 Cny is due, and what is applied is 20.00 Cny"),
        ("the order says otherwise", vec![expected(), pays(), back()], 900, "ORDER 1: order"),
    ] {
        let (found, _) = found(&events, paid);
        assert!(found.contains(expected), "{what}: {found:?}");
    }
}

#[test]
fn money_at_another_amount_than_its_channel_told_is_named() {
    let back = || requested("alipay", "r", 1_000, false);
    for (what, amount, expected) in [
        ("as it was told", yuan(1_000), ""),
        ("less", yuan(900), "CHANNEL 1: 10.00 Cny captured by wechat/42, and order"),
        ("another currency", schema::Money::new(1_000, Currency::Aud), "CHANNEL 1: 10.00 Cny captured by wechat/42, and order"),
    ] {
        let due = PaymentEvent::Expected { bill: bill(), due: amount, discounts: None };
        let (found, _) = found(&[due, applied("wechat", amount), back()], 1_000);
        assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{what}: {found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_auditor_holds_the_journal_against_the_inbox() {
    let trial = Trial::new().await;
    let (bus, event) = (&trial.shared.bus, captured("wechat"));
    let (subject, payload) = (event.subject().expect("an order of ours"), wire::encode(Format::Json, &event).into());
    bus.publish(Message { subject, payload, headers: BTreeMap::new() }).await.expect("the bus is in memory");
    let held = PaymentEvent::Held { bill: bill(), source: source("wechat"), amount: yuan(900), paid_at: None, provisional: false, choice: None };
    let (partition, _, recorded) = recorded(1, (Inbox::Channel, 1, event.key()), Event::Payment(held));
    let subject = subject::journal_subject(Journal::Payment, PLACE.province, partition, "held");
    let messages = vec![Message { subject, payload: wire::encode(Format::Json, &recorded).into(), headers: BTreeMap::new() }];
    bus.append(Append { journal: Journal::Payment, partition, expected: 0, messages }).await.expect("it is appended");
    let report = audit(&trial).await;
    assert!(report.differences_count == 1 && report.differences[0].contains("has 9.00 Cny of it"), "{:?}", report.differences);
}
