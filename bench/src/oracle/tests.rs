//! A tiny log made by hand, and what must not go unnoticed in it.

use super::*;
use crate::logs::{Dead, Line};
use schema::{
    Cause, ChannelEvent, ChannelFact, Credential, Currency, GateEvent, GateKind, Id, Moment, Money, Recorded,
    gate::Colour,
    id::{self, Kind, Place, Province},
    journal::{AppliedReason, Bill, Departure, Note, Quote, RefundReason, RefundState, Refusal, Source, Stay},
    ledger::{Account, Entry, Figures, Movement, Span, Statement, Tally},
    payout::{DayPaid, PaidOut},
    reference::{LotDeclared, RateTable, Step},
    time::{DAY, MINUTE, SECOND},
    wire::{self, Format},
};
use std::collections::BTreeMap;
use streams::Stored;

/// 2026-11-23T02:00:00Z, ten in the morning in Shanghai.
const TEN: Moment = Moment(1_795_399_200 * SECOND);

fn declared() -> Declared {
    let rates = RateTable {
        id: "town".into(),
        version: 3,
        currency: Currency::Cny,
        free_min: 15,
        steps: vec![Step { to_min: None, unit_min: 60, price: 500 }],
        cap_per_24h: Some(4_000),
        ..RateTable::default()
    };
    let lot = LotDeclared {
        province: Province(44),
        zone: "Asia/Shanghai".into(),
        capacity: 1,
        rate_table: Some("town".into()),
        lanes: vec!["in".parse().expect("a token"), "out".parse().expect("a token")],
        ..LotDeclared::named("north".parse().expect("a token"))
    };
    Declared { lots: vec![lot], rate_tables: vec![rates], ..Declared::default() }
}

/// Writes a log line by line.
#[derive(Default)]
struct Scribe {
    logs: Logs,
}

impl Scribe {
    fn gate(&mut self, event: &GateEvent, stored_at: Moment) -> u64 {
        let sequence = self.logs.gate.len() as u64 + 1;
        let partition = Partition::of_lot(event.lot.as_str());
        let subject = format!("GATE.{partition}.{}.{}.{}", event.lot, event.lane, event.kind.as_str());
        let payload = wire::encode(Format::Json, event).into();
        self.logs.gate.push(Stored { subject, sequence, time: stored_at, payload, headers: BTreeMap::new() });
        sequence
    }

    fn channel(&mut self, event: &ChannelEvent) -> u64 {
        let sequence = self.logs.channel.len() as u64 + 1;
        let payload = wire::encode(Format::Json, event).into();
        let subject = event.subject().expect("an order of ours");
        self.logs.channel.push(Stored { subject, sequence, time: event.happened_at, payload, headers: BTreeMap::new() });
        sequence
    }

    /// The events that an input becomes; gives the cause by which the next processor cites each.
    fn journal(
        &mut self,
        journal: Journal,
        partition: Partition,
        (inbox, input, key): (Inbox, u64, String),
        events: Vec<Event>,
    ) -> Vec<(Inbox, u64, String)> {
        let own = match journal {
            Journal::Session => Inbox::Session,
            Journal::Order => Inbox::Order,
            Journal::Recon => Inbox::Recon,
            Journal::Payment | Journal::Ledger => Inbox::Payment,
        };
        let lines = self.logs.journals.entry(journal).or_default();
        let mut cited = Vec::new();
        for (index, event) in (0..).zip(events) {
            let sequence = lines.len() as u64 + 1;
            let at = TEN.plus(DAY).plus(i64::try_from(sequence).expect("few lines"));
            let subject = format!("{journal}.44.{partition}.{}", event.kind());
            let cause = Cause { inbox, sequence: input, event: key.as_str().into(), time: at, index };
            lines.push(Line { sequence, subject, recorded: Recorded { at, cause, event } });
            cited.push((own, sequence, at.0.to_string()));
        }
        cited
    }
}

fn seen(kind: GateKind, id: &str, lot: &str, plate: &str, minutes: i64) -> GateEvent {
    let lane = if kind == GateKind::Entry { "in" } else { "out" };
    GateEvent {
        id: id.parse().expect("a token"),
        lot: lot.parse().expect("a token"),
        lane: lane.parse().expect("a token"),
        kind,
        seen_at: TEN.plus(minutes * MINUTE),
        credential: Credential::plate(plate, Colour::Blue),
        class: None,
        energy: None,
        confidence: None,
        decided: None,
    }
}

fn stay_of(event: &GateEvent) -> Stay {
    let place = Place { province: Province(44), day: schema::Day(261_123), partition: Partition::of_lot(event.lot.as_str()) };
    let parts = [event.lot.as_str(), event.lane.as_str(), event.id.as_str(), &event.seen_at.0.to_string()];
    let session = id::derive(Kind::Session, place, &parts);
    Stay {
        session,
        lot: event.lot,
        province: Province(44),
        credential: event.credential.clone(),
        lane: event.lane,
        entered_at: event.seen_at,
        class: event.vehicle_class(),
        energy: event.vehicle_energy(),
        sharers: vec![],
    }
}

fn departure_of(event: &GateEvent) -> Departure {
    Departure { lane: event.lane, left_at: event.seen_at, event: event.id, local: false, deducts: None }
}

fn order_of(stay: &Stay) -> Id {
    let place = id::place(stay.session.as_str()).expect("an id of ours");
    id::derive(Kind::Order, place, &[stay.session.as_str(), "1"])
}

fn succeeded(order: Id, channel: &str, amount: i64) -> ChannelEvent {
    let amount = Money::new(amount, Currency::Cny);
    let fact = ChannelFact::Succeeded { attempt: id::attempt(order, 1), transaction: format!("{channel}-1").into(), amount };
    ChannelEvent { channel: channel.into(), happened_at: TEN, fact }
}

fn refund_of(order: Id, source: &Source) -> Id {
    let place = id::place(order.as_str()).expect("an id of ours");
    id::derive(Kind::Refund, place, &[order.as_str(), &source.channel, &source.transaction, "1"])
}

fn posted(bill: &Bill, channel: &str, movement: Movement, at: Moment, sides: (Account, Account)) -> Event {
    let (debit, credit) = sides;
    let zone = schema::Zone::named(if bill.lot.is_some() { "Asia/Shanghai" } else { "UTC" }).expect("a zone");
    let ((from, until), day) = (zone.day_span(at), zone.day(at));
    let place = Place { day, ..id::place(bill.order.as_str()).expect("an id of ours") };
    Event::Ledger(LedgerEvent::Posted {
        posting: id::derive(Kind::Posting, place, &[channel, movement.as_str()]),
        order: Some(bill.order),
        lot: bill.lot,
        day,
        province: Province(44),
        channel: channel.into(),
        currency: Currency::Cny,
        entries: vec![Entry::debit(debit, 1_500), Entry::credit(credit, 1_500)],
        operator: bill.lot.map(|_| "operator".parse().expect("a token")),
        at: Some(at),
        movement: Some(movement),
        span: Some(Span { from, until, closes_at: until.plus(CLOSES) }),
        discounts: None,
    })
}

/// How long after its end each window here may close.
const CLOSES: i64 = 60 * MINUTE;

/// The moment of the newest line of PAYMENT.
fn newest(scribe: &Scribe) -> Moment {
    scribe.logs.journals.get(&Journal::Payment).and_then(|lines| lines.last()).expect("there is one").recorded.at
}

/// The window of all postings of a channel of the town closes.
fn close(scribe: &mut Scribe, home: Partition, channel: &str) {
    let is_its =
        |line: &&Line| matches!(&line.recorded.event, Event::Ledger(LedgerEvent::Posted { channel: of, lot: Some(_), .. }) if **of == *channel);
    let rows: Vec<LedgerEvent> =
        scribe.logs.journals[&Journal::Ledger].iter().filter(is_its).filter_map(|line| as_ledger(&line.recorded.event).cloned()).collect();
    let Some(LedgerEvent::Posted { lot, day, operator, span: Some(span), posting, .. }) = rows.first() else { panic!("there is one") };
    let place = id::place(posting.as_str()).expect("an id of ours");
    let sums = |name: &str, debit, credit| (name.to_owned(), (debit, credit));
    // A refund that was asked for and made; its money came and went.
    let sums = BTreeMap::from([sums("channel_receivable", 1_500, 1_500), sums("refund_liability", 1_500, 1_500)]);
    let statement = Statement {
        statement: id::derive(Kind::Statement, place, &[channel]),
        operator: *operator,
        lot: *lot,
        province: Province(44),
        channel: channel.into(),
        currency: Currency::Cny,
        day: *day,
        from: span.from,
        until: span.until,
        number: 0,
        adjusts: None,
        tally: Tally { rows: 2, payments: 1, refunds: 1, refunded: 1_500, sums },
        figures: Figures { gross: 1_500, refunded: 1_500, ..Figures::default() },
        hash: chain(&rows).into(),
    };
    let closed = Event::Ledger(LedgerEvent::WindowClosed { statement: Box::new(statement) });
    scribe.journal(Journal::Ledger, home, (Inbox::Tick, 0, String::new()), vec![closed]);
    let line = scribe.logs.journals.get_mut(&Journal::Ledger).and_then(|lines| lines.last_mut()).expect("it is there");
    line.recorded.at = span.until.plus(CLOSES);
}

/// The hash of rows, as the schema has it.
fn chain(rows: &[LedgerEvent]) -> String {
    rows.iter().fold(String::new(), |before, row| {
        let LedgerEvent::Posted { posting, order, lot, day, channel, currency, entries, operator, at, movement, span, .. } = row.clone() else {
            return before;
        };
        schema::entity::Posting { posting, order, lot, day, channel, currency, entries, operator, at, movement, span }.hash_after(&before)
    })
}

fn opened(stay: &Stay, entry: &GateEvent, releases: Option<Id>) -> SessionEvent {
    let (marks, made_of, passes_by) = (Box::default(), None, None);
    SessionEvent::Opened { stay: stay.clone(), event: entry.id, expires_at: TEN.plus(DAY), releases, marks, made_of, passes_by }
}

/// The how-many-eth asking for a refund of what came too often.
fn requested(bill: &Bill, source: &Source, amount: Money, tries: u32) -> Event {
    Event::Payment(PaymentEvent::RefundRequested {
        bill: bill.clone(),
        source: source.clone(),
        amount,
        refund: refund_of(bill.order, source),
        reason: RefundReason::Duplicate,
        tries,
        held: false,
        due_at: TEN,
        asks: false,
        applied: false,
        captured: None,
        by: None,
        approved: None,
    })
}

/// Two stays: one of 2 h 5 min, paid twice, and one of 10 min whose exit came first; a car that found no space, one at a lot that
/// is not, and a message that nobody can read.
#[expect(clippy::too_many_lines, reason = "a story is read from its beginning to its end")]
fn right() -> Logs {
    use Account::{ChannelReceivable, ParkingRevenue, RefundLiability};
    let mut scribe = Scribe::default();
    let home = Partition::of_lot("north");
    let end = TEN.plus(DAY);
    let entry = seen(GateKind::Entry, "e1", "north", "粤B11111", 0);
    let exit = seen(GateKind::Exit, "e2", "north", "粤B11111", 125);
    let stay = stay_of(&entry);
    let order = order_of(&stay);
    let bill = Bill { order, lot: Some(stay.lot), day: schema::Day(261_123) };

    let sequence = scribe.gate(&entry, entry.seen_at);
    let opened = Event::Session(opened(&stay, &entry, None));
    scribe.journal(Journal::Session, home, (Inbox::Gate, sequence, entry.key()), vec![opened]);
    // The same entry again is the same entry.
    scribe.gate(&entry, entry.seen_at.plus(SECOND));

    for (id, lot, plate, reason, province) in [("e3", "north", "粤B33333", Refusal::Full, 44), ("e4", "nowhere", "粤B44444", Refusal::UnknownLot, 0)]
    {
        let event = seen(GateKind::Entry, id, lot, plate, 3);
        let sequence = scribe.gate(&event, event.seen_at);
        let (home, key) = (Partition::of_lot(lot), event.key());
        let GateEvent { id: event, lot, lane, seen_at, credential, .. } = event;
        let (province, ask, made_of, expires_at) = (Province(province), false, None, end);
        let refused = SessionEvent::Refused { lot, lane, province, credential, reason, event, seen_at, expires_at, ask, made_of };
        scribe.journal(Journal::Session, home, (Inbox::Gate, sequence, key), vec![Event::Session(refused)]);
    }

    let sequence = scribe.gate(&exit, exit.seen_at);
    let leaving = Event::Session(SessionEvent::Leaving { stay: stay.clone(), departure: departure_of(&exit), sequence: 1, right: None, terms: None });
    let cause = scribe.journal(Journal::Session, home, (Inbox::Gate, sequence, exit.key()), vec![leaving]).remove(0);
    let quote = Quote { rate_table: "town".into(), version: 3, minutes: 125, lines: Vec::new(), total: Money::new(1_500, Currency::Cny) };
    let step = schema::journal::QuoteLine::new(schema::journal::LineKind::Step, (0, 125), 3, 500, 1_500);
    let quote = Quote { lines: vec![step], ..quote };
    let priced = Event::Order(OrderEvent::Priced { order, stay: stay.clone(), departure: departure_of(&exit), quote, expires_at: end, inside: None });
    let due = Money::new(1_500, Currency::Cny);

    // The antenna was faster than the price: its money is held. Then the driver pays again by phone.
    let etc = succeeded(order, "etc", 1_500);
    let sequence = scribe.channel(&etc);
    let held_bill = Bill { lot: None, ..bill.clone() };
    let source = Source { channel: "etc".into(), transaction: "etc-1".into() };
    let held = Event::Payment(PaymentEvent::Held {
        bill: held_bill.clone(),
        source: source.clone(),
        amount: due,
        paid_at: Some(TEN),
        provisional: false,
        choice: None,
    });
    let cited = scribe.journal(Journal::Payment, home, (Inbox::Channel, sequence, etc.key()), vec![held]).remove(0);
    scribe.journal(Journal::Ledger, home, cited, vec![posted(&held_bill, "etc", Movement::Captured, TEN, (ChannelReceivable, RefundLiability))]);

    let priced = scribe.journal(Journal::Order, home, cause, vec![priced]).remove(0);
    let expected = Event::Payment(PaymentEvent::Expected { bill: bill.clone(), due, discounts: None });
    let applied = Event::Payment(PaymentEvent::Applied {
        bill: bill.clone(),
        source: source.clone(),
        amount: due,
        held: true,
        paid_at: Some(TEN),
        provisional: false,
        part: None,
        discounts: None,
        reason: Some(AppliedReason::Only),
    });
    let applied = scribe.journal(Journal::Payment, home, priced, vec![expected, applied]).remove(1);
    scribe.journal(Journal::Ledger, home, applied.clone(), vec![posted(&bill, "etc", Movement::Applied, TEN, (RefundLiability, ParkingRevenue))]);
    let paid = OrderEvent::Paid { order, session: stay.session, lot: stay.lot, province: Province(44), amount: due, by: source, prepays: None };
    let paid = scribe.journal(Journal::Order, home, applied, vec![Event::Order(paid)]).remove(0);

    let phone = succeeded(order, "wechat", 1_500);
    let source = Source { channel: "wechat".into(), transaction: "wechat-1".into() };
    let refund = refund_of(order, &source);
    let sequence = scribe.channel(&phone);
    let requested = |tries| requested(&bill, &source, due, tries);
    let cited = scribe.journal(Journal::Payment, home, (Inbox::Channel, sequence, phone.key()), vec![requested(1)]).remove(0);
    let at = newest(&scribe);
    scribe.journal(Journal::Ledger, home, cited, vec![posted(&bill, "wechat", Movement::Captured, at, (ChannelReceivable, RefundLiability))]);
    for (succeeded, tries) in [(false, 1), (true, 2)] {
        let fact = ChannelFact::RefundAnswered { refund, order, succeeded, tries, standing: None };
        let answered = ChannelEvent { channel: "wechat".into(), happened_at: TEN, fact };
        let sequence = scribe.channel(&answered);
        let event = if succeeded {
            let (bill, source) = (bill.clone(), source.clone());
            PaymentEvent::Refunded { bill, source, amount: due, refund, left: None, drawer: false, done_at: Some(TEN) }
        } else {
            PaymentEvent::RefundStood { bill: bill.clone(), source: source.clone(), refund, state: RefundState::Refused, due_at: Some(TEN) }
        };
        let cited = scribe.journal(Journal::Payment, home, (Inbox::Channel, sequence, answered.key()), vec![Event::Payment(event)]).remove(0);
        if succeeded {
            let at = newest(&scribe);
            scribe.journal(Journal::Ledger, home, cited, vec![posted(&bill, "wechat", Movement::Refunded, at, (RefundLiability, ChannelReceivable))]);
        } else {
            scribe.journal(Journal::Payment, home, (Inbox::Tick, 0, "tick".into()), vec![requested(2)]);
        }
    }
    let closed = SessionEvent::Closed {
        stay: stay.clone(),
        departure: departure_of(&exit),
        order,
        paid: Money::new(1_500, Currency::Cny),
        expires_at: end,
        gone: false,
        same_read_until: None,
    };
    scribe.journal(Journal::Session, home, paid, vec![Event::Session(closed)]);

    second_stay(&mut scribe, home, end);
    close(&mut scribe, home, "wechat");

    let unreadable = Stored { subject: "GATE.9.north.in.entry".into(), sequence: 0, time: TEN, payload: "?".into(), headers: BTreeMap::new() };
    let sequence = scribe.logs.gate.len() as u64 + 1;
    scribe.logs.gate.push(Stored { sequence, ..unreadable });
    scribe.logs.dead.push(Dead { stream: "GATE".into(), sequence: Some(sequence), reason: "malformed".into() });
    scribe.logs
}

/// Ten minutes, and the exit came before its entry; a second read of the plate at the exit changes nothing.
fn second_stay(scribe: &mut Scribe, home: Partition, end: Moment) {
    let entry = seen(GateKind::Entry, "e5", "north", "粤B22222", 200);
    let exit = seen(GateKind::Exit, "e6", "north", "粤B22222", 210);
    let again = seen(GateKind::Exit, "e7", "north", "粤B22222", 211);
    let stay = stay_of(&entry);
    let order = order_of(&stay);
    let place = id::place(stay.session.as_str()).expect("an id of ours");
    let waiting = id::derive(Kind::Waiting, place, &["any"]);

    let sequence = scribe.gate(&exit, exit.seen_at);
    let waits = SessionEvent::Waiting {
        waiting,
        lot: exit.lot,
        province: Province(44),
        credential: exit.credential.clone(),
        departure: departure_of(&exit),
        expires_at: end,
    };
    scribe.journal(Journal::Session, home, (Inbox::Gate, sequence, exit.key()), vec![Event::Session(waits)]);
    let sequence = scribe.gate(&again, again.seen_at);
    let noted = SessionEvent::Noted {
        note: Note::AlreadyWaiting,
        concerns: Some(waiting),
        lot: exit.lot,
        province: Province(44),
        ask: Some((again.lane, again.id, end)),
    };
    scribe.journal(Journal::Session, home, (Inbox::Gate, sequence, again.key()), vec![Event::Session(noted)]);
    let sequence = scribe.gate(&entry, exit.seen_at.plus(MINUTE));
    let opened = opened(&stay, &entry, Some(waiting));
    let leaving = SessionEvent::Leaving { stay: stay.clone(), departure: departure_of(&exit), sequence: 1, right: None, terms: None };
    let events = vec![Event::Session(opened), Event::Session(leaving)];
    let cited = scribe.journal(Journal::Session, home, (Inbox::Gate, sequence, entry.key()), events).remove(1);
    let total = Money::new(0, Currency::Cny);
    let quote = Quote { rate_table: "town".into(), version: 3, minutes: 10, lines: Vec::new(), total };
    let priced = OrderEvent::Priced { order, stay: stay.clone(), departure: departure_of(&exit), quote, expires_at: end, inside: None };
    let cited = scribe.journal(Journal::Order, home, cited, vec![Event::Order(priced)]).remove(0);
    let closed =
        SessionEvent::Closed { stay, departure: departure_of(&exit), order, paid: total, expires_at: end, gone: false, same_read_until: None };
    scribe.journal(Journal::Session, home, cited, vec![Event::Session(closed)]);
}

/// A payout to the bank that was told, recorded and booked.
fn paid_out() -> Logs {
    let owner: schema::Token<32> = "city".parse().expect("a token");
    let (day, at) = (schema::Day(261_123), TEN.plus(DAY));
    let (days, amount) = (vec![DayPaid { day, minor: 1_500 }], Money::new(1_500, Currency::Cny));
    let paid = PaidOut { reference: "B-77".into(), operator: Some(owner), days, amount, booked_at: at, author: "lin".parse().expect("a token") };
    let told = paid.clone().said("wechat".into(), "m".into(), Province(44));
    let (home, key) = (told.piece.partition, told.key());
    let mut scribe = Scribe::default();
    let payload = wire::encode(Format::Json, &told).into();
    scribe.logs.statement.push(Stored { subject: told.subject(), sequence: 1, time: at, payload, headers: BTreeMap::new() });
    let recorded = Event::Recon(ReconEvent::PaidOut { piece: told.piece, paid: Box::new(paid) });
    let cited = scribe.journal(Journal::Recon, home, (Inbox::Statement, 1, key), vec![recorded]).remove(0);
    let zone = schema::Zone::named("UTC").expect("a zone");
    let ((from, until), day) = (zone.day_span(at), zone.day(at));
    let posted = LedgerEvent::Posted {
        posting: id::derive(Kind::Posting, Place { province: Province(44), day, partition: home }, &["payout"]),
        order: None,
        lot: None,
        day,
        province: Province(44),
        channel: "wechat".into(),
        currency: Currency::Cny,
        entries: vec![Entry::debit(Account::Bank, 1_500), Entry::credit(Account::ChannelReceivable, 1_500)],
        operator: Some(owner),
        at: Some(at),
        movement: Some(Movement::PaidOut),
        span: Some(Span { from, until, closes_at: until.plus(CLOSES) }),
        discounts: None,
    };
    scribe.journal(Journal::Ledger, home, cited, vec![Event::Ledger(posted)]);
    scribe.logs
}

#[test]
fn what_is_paid_out_is_booked_as_it_was_told() {
    type Harm = Box<dyn Fn(&mut Logs)>;
    assert_eq!(verdict(&paid_out(), true).differences, Vec::<String>::new());
    let posting = |logs: &mut Logs, change: fn(&mut Vec<Entry>)| {
        if let Event::Ledger(LedgerEvent::Posted { entries, .. }) = &mut at(logs, Journal::Ledger, "posted").recorded.event {
            change(entries);
        }
    };
    let harms: [Harm; 5] = [
        Box::new(|logs| drop_line(logs, Journal::Ledger, "posted")),
        Box::new(|logs| drop_line(logs, Journal::Recon, "paid_out")),
        Box::new(|logs| repeat(logs, Journal::Ledger, "posted", 9)),
        Box::new(move |logs| {
            posting(logs, |entries| entries.iter_mut().for_each(|entry| (entry.debit, entry.credit) = (entry.debit / 2, entry.credit / 2)));
        }),
        Box::new(move |logs| posting(logs, |entries| entries[1].account = Account::ParkingRevenue)),
    ];
    for (number, harm) in harms.iter().enumerate() {
        let mut logs = paid_out();
        harm(&mut logs);
        assert!(!verdict(&logs, true).is_equal(), "harm {number} is not found");
    }
}

fn verdict(logs: &Logs, at_rest: bool) -> Verdict {
    judge(&declared(), &Terms::default(), logs, at_rest).expect("the reference is whole")
}

#[test]
fn a_right_log_is_equal() {
    let verdict = verdict(&right(), true);
    assert_eq!(verdict.differences, Vec::<String>::new());
    let counts = verdict.counts;
    assert_eq!((counts.sessions_opened, counts.sessions_released, counts.sessions_closed, counts.inside), (2, 1, 2, 0));
    assert_eq!(
        (counts.payments_applied, counts.payments_held, counts.refunds_requested, counts.refunds_repeated, counts.refunds_made),
        (1, 1, 1, 1, 1)
    );
    assert_eq!((counts.gate_messages, counts.duplicates, counts.dead_letters, counts.postings), (9, 1, 1, 4));
    assert_eq!(counts.refused, BTreeMap::from([(Refusal::UnknownLot, 1), (Refusal::Full, 1)]));
    let taking = Taking { lot: "north".parse().expect("a token"), day: schema::Day(261_123), money: Money::new(1_500, Currency::Cny) };
    assert_eq!(counts.takings, [taking]);
    assert_eq!(counts.revenue_by_province, BTreeMap::from([("44 Cny".into(), 1_500)]));
    assert_eq!(counts.sums[&Currency::Cny], Sums { captured: 3_000, applied: 1_500, refunded: 1_500, liability: 0, provisional: 0 });
}

#[test]
fn a_log_that_was_cut_short_is_unanswered_and_wrong_only_at_rest() {
    let mut logs = right();
    drop_line(&mut logs, Journal::Ledger, "posted");
    drop_line(&mut logs, Journal::Ledger, "window_closed");
    let running = verdict(&logs, false);
    assert_eq!((running.difference_count, running.unanswered), (0, 1), "{:?}", running.differences);
    assert!(!verdict(&logs, true).is_equal());
}

fn lines(logs: &mut Logs, journal: Journal) -> &mut Vec<Line> {
    logs.journals.get_mut(&journal).expect("the right log has lines in every journal")
}

fn at<'a>(logs: &'a mut Logs, journal: Journal, kind: &str) -> &'a mut Line {
    lines(logs, journal).iter_mut().find(|line| line.recorded.event.kind() == kind).expect("the right log has one")
}

fn statement(logs: &mut Logs, change: impl Fn(&mut Statement)) {
    if let Event::Ledger(LedgerEvent::WindowClosed { statement }) = &mut at(logs, Journal::Ledger, "window_closed").recorded.event {
        change(statement);
    }
}

fn drop_line(logs: &mut Logs, journal: Journal, kind: &str) {
    let gone = lines(logs, journal).iter().rposition(|line| line.recorded.event.kind() == kind).expect("the right log has one");
    lines(logs, journal).remove(gone);
}

/// Says a line again at the end of its journal.
fn repeat(logs: &mut Logs, journal: Journal, kind: &str, sequence: u64) {
    let mut again = at(logs, journal, kind).clone();
    let last = lines(logs, journal).last().expect("the right log has lines").clone();
    again.sequence = last.sequence + 1;
    again.recorded.at = last.recorded.at.plus(1);
    if sequence > 0 {
        again.recorded.cause.sequence = sequence;
        again.recorded.cause.event = "another".into();
    }
    lines(logs, journal).push(again);
}

#[test]
fn what_is_done_twice_is_counted() {
    for (journal, kind, sequence) in [(Journal::Session, "opened", 0), (Journal::Ledger, "posted", 0), (Journal::Payment, "applied", 2)] {
        let mut logs = right();
        repeat(&mut logs, journal, kind, sequence);
        assert!(verdict(&logs, true).doubled > 0, "{journal} {kind}");
    }
}

#[test]
fn what_a_journal_says_is_answered_in_its_order() {
    let mut logs = right();
    let ledger = lines(&mut logs, Journal::Ledger);
    let from_payment = |line: &&mut Line| line.recorded.cause.inbox == Inbox::Payment;
    let mut causes: Vec<_> = ledger.iter_mut().filter(from_payment).map(|line| &mut line.recorded.cause).collect();
    let (first, last) = (causes[0].clone(), causes[causes.len() - 1].clone());
    assert_ne!(first.sequence, last.sequence, "the right log has answers to two of them");
    *causes[0] = last;
    *causes.pop().expect("there are two") = first;
    let told = verdict(&logs, true).differences;
    assert!(told.iter().any(|told| told.contains("is answered after PAYMENT")), "{told:?}");
}

type Mutation = (&'static str, fn(&mut Logs));

fn pays_for_another_reason(logs: &mut Logs) {
    if let Event::Payment(PaymentEvent::Applied { reason, .. }) = &mut at(logs, Journal::Payment, "applied").recorded.event {
        *reason = Some(AppliedReason::Settled);
    }
}

#[test]
fn each_mutation_is_found() {
    let mutations: &[Mutation] = &[
        ("a session's opening is lost", |logs| drop_line(logs, Journal::Session, "opened")),
        ("the second event of an input is lost", |logs| drop_line(logs, Journal::Session, "leaving")),
        ("a closing is lost", |logs| drop_line(logs, Journal::Session, "closed")),
        ("a price is lost", |logs| drop_line(logs, Journal::Order, "priced")),
        ("a posting is lost", |logs| drop_line(logs, Journal::Ledger, "posted")),
        ("a refund is lost", |logs| drop_line(logs, Journal::Payment, "refunded")),
        ("a refund is never asked for", |logs| lines(logs, Journal::Payment).retain(|line| line.recorded.event.kind() != "refund_requested")),
        ("an answer is given twice", |logs| repeat(logs, Journal::Session, "opened", 0)),
        ("a posting is made twice", |logs| repeat(logs, Journal::Ledger, "posted", 0)),
        ("an order has two payments", |logs| repeat(logs, Journal::Payment, "applied", 2)),
        ("money is refunded twice", |logs| repeat(logs, Journal::Payment, "refunded", 4)),
        ("a price is wrong", |logs| {
            if let Event::Order(OrderEvent::Priced { quote, .. }) = &mut at(logs, Journal::Order, "priced").recorded.event {
                quote.total.minor += 1;
            }
        }),
        ("lines do not add up", |logs| {
            if let Event::Order(OrderEvent::Priced { quote, .. }) = &mut at(logs, Journal::Order, "priced").recorded.event {
                quote.lines[0].units += 1;
            }
        }),
        ("a posting does not balance", |logs| {
            let Event::Ledger(LedgerEvent::Posted { entries, .. }) = &mut at(logs, Journal::Ledger, "posted").recorded.event else { return };
            entries[0].debit += 1;
        }),
        ("a fee is booked that nobody charges", |logs| {
            let Event::Ledger(LedgerEvent::Posted { entries, .. }) = &mut at(logs, Journal::Ledger, "posted").recorded.event else { return };
            entries[0].debit -= 1;
            entries.push(Entry::debit(Account::ChannelFees, 1));
        }),
        ("a window closes before it may", |logs| {
            let line = at(logs, Journal::Ledger, "window_closed");
            line.recorded.at = line.recorded.at.plus(-1);
        }),
        ("a statement says something else", |logs| statement(logs, |statement| statement.figures.net += 1)),
        ("a statement counts something else", |logs| statement(logs, |statement| statement.tally.refunds += 1)),
        ("a statement has another hash", |logs| statement(logs, |statement| statement.hash = "0".into())),
        ("a statement is said to adjust another", |logs| statement(logs, |statement| statement.number = 1)),
        ("a window closes twice", |logs| {
            let mut again = at(logs, Journal::Ledger, "window_closed").clone();
            (again.sequence, again.recorded.at) = (again.sequence + 1, again.recorded.at.plus(1));
            lines(logs, Journal::Ledger).push(again);
        }),
        ("a window does not close", |logs| {
            let line = at(logs, Journal::Ledger, "window_closed");
            let Event::Ledger(event) = &line.recorded.event else { return };
            let window = event.window().expect("it has one");
            line.subject = line.subject.replace("window_closed", "window_stopped");
            line.recorded.event = Event::Ledger(LedgerEvent::WindowStopped { window, differs: "rows".into(), due_at: TEN });
        }),
        ("a posting lies in another window", |logs| {
            let Event::Ledger(LedgerEvent::Posted { day, .. }) = &mut at(logs, Journal::Ledger, "posted").recorded.event else { return };
            day.0 += 1;
        }),
        ("a car is refused for another reason", |logs| {
            if let Event::Session(SessionEvent::Refused { reason, .. }) = &mut at(logs, Journal::Session, "refused").recorded.event {
                *reason = Refusal::LotClosed;
            }
        }),
        ("a session has another id", |logs| {
            if let Event::Session(SessionEvent::Opened { stay, .. }) = &mut at(logs, Journal::Session, "opened").recorded.event {
                stay.session = "S4426112307SE85PbTwoLFzFY9q".parse().expect("a token");
            }
        }),
        ("time stands still", |logs| {
            let first = lines(logs, Journal::Session)[0].recorded.at;
            lines(logs, Journal::Session)[1].recorded.at = first;
        }),
        ("an index is skipped", |logs| at(logs, Journal::Payment, "applied").recorded.cause.index = 2),
        ("an event lies in another partition", |logs| at(logs, Journal::Order, "priced").subject = "ORDER.44.1.priced".into()),
        ("a subject names another type", |logs| at(logs, Journal::Order, "priced").subject = "ORDER.44.1.paid".into()),
        ("a dead letter is lost", |logs| logs.dead.clear()),
        ("a good message is a dead letter", |logs| logs.dead[0].sequence = Some(1)),
        ("an answer to nothing", |logs| at(logs, Journal::Session, "waiting").recorded.cause.sequence = 99),
        ("a refund is asked for before it is due", |logs| {
            if let Event::Payment(PaymentEvent::RefundStood { due_at, .. }) = &mut at(logs, Journal::Payment, "refund_stood").recorded.event {
                *due_at = Some(TEN.plus(9 * DAY));
            }
        }),
        ("a refund is asked about that was refused", |logs| {
            let last = lines(logs, Journal::Payment).iter_mut().rfind(|line| line.recorded.event.kind() == "refund_requested");
            if let Event::Payment(PaymentEvent::RefundRequested { asks, .. }) = &mut last.expect("it was asked for again").recorded.event {
                *asks = true;
            }
        }),
        ("a payment may still fail", |logs| {
            if let Event::Payment(PaymentEvent::Applied { provisional, .. }) = &mut at(logs, Journal::Payment, "applied").recorded.event {
                *provisional = true;
            }
        }),
        ("money pays for another reason", pays_for_another_reason),
        ("part of a log is not there", |logs| logs.missing.push("GATE begins at 7".into())),
    ];
    for (what, mutate) in mutations {
        let mut logs = right();
        mutate(&mut logs);
        assert!(!verdict(&logs, true).is_equal(), "not found: {what}");
    }
}

#[test]
fn who_owes_is_turned_away_as_the_lot_says() {
    use schema::{
        fact,
        reference::{
            Policies,
            Policy::{self, Allow, Ask, Refuse},
        },
    };
    let stay = stay_of(&seen(GateKind::Entry, "e8", "north", "粤B77777", 0));
    let (order, fee) = (order_of(&stay), Money::new(500, Currency::Cny));
    let entry = seen(GateKind::Entry, "e9", "north", "粤B77777", 60);
    let line = |minutes: i64, event: SessionEvent| {
        let at = TEN.plus(minutes * MINUTE);
        let cause = Cause { inbox: Inbox::Order, sequence: 1, event: "order".into(), time: at, index: 0 };
        Line { sequence: 1, subject: String::new(), recorded: Recorded { at, cause, event: Event::Session(event) } }
    };
    let judged = |arrears: Policy, (from, until): (i64, Option<i64>), said: &str| {
        let owed = SessionEvent::Owed { stay: stay.clone(), order, amount: fee, operator: "operator".parse().expect("a token") };
        let (departure, same_read_until) = (departure_of(&entry), None);
        let paid = SessionEvent::Closed { stay: stay.clone(), departure, order, paid: fee, expires_at: TEN, gone: true, same_read_until };
        let mut logs = Logs::default();
        let lines = std::iter::once(line(from, owed)).chain(until.map(|until| line(until, paid)));
        logs.journals.insert(Journal::Session, lines.collect());
        let mut declared = declared();
        declared.lots[0].policies = Policies { arrears, ..Policies::default() };
        let reference = Reference::resolve(declared).expect("the reference is whole");
        let world = World { reference: &reference, late_max: Terms::default().late_max, heard: Heard::of(&logs) };
        let mut actual = opened(&stay, &entry, None);
        if said == "arrears" {
            let GateEvent { id: event, lot, lane, seen_at, credential, .. } = entry.clone();
            let (province, reason, ask, made_of, expires_at) = (Province(44), Refusal::Arrears, false, None, TEN);
            actual = SessionEvent::Refused { lot, lane, province, credential, reason, event, seen_at, expires_at, ask, made_of };
        } else if let SessionEvent::Opened { marks, .. } = &mut actual {
            marks.missed = if said == "missed" { vec![fact::Kind::Arrears] } else { Vec::new() };
        }
        let becomes = Stays::new(&world, Partition::of_lot("north")).gate(&entry, entry.seen_at, &[&actual]);
        match becomes.as_slice() {
            [SessionEvent::Opened { .. }] => "opened".to_owned(),
            [SessionEvent::Refused { reason, ask, .. }] => format!("{} ask={ask}", reason.as_str()),
            other => panic!("one event, and not {other:?}"),
        }
    };
    // The lot's policy, the minutes from which and until which it owes, what was decided at minute 60, what that should have been.
    for (policy, owes, said, expected) in [
        (Refuse, (0, None), "opened", "arrears ask=false"),
        (Ask, (0, None), "opened", "arrears ask=true"),
        (Allow, (0, None), "arrears", "opened"),
        (Refuse, (0, None), "missed", "opened"),
        (Refuse, (59, None), "opened", "opened"),
        (Refuse, (59, None), "arrears", "arrears ask=false"),
        (Ask, (61, None), "arrears", "arrears ask=true"),
        (Refuse, (63, None), "arrears", "opened"),
        (Refuse, (0, Some(30)), "arrears", "opened"),
        (Refuse, (0, Some(59)), "opened", "opened"),
        (Refuse, (0, Some(59)), "arrears", "arrears ask=false"),
        (Refuse, (0, Some(61)), "opened", "opened"),
        (Refuse, (0, Some(63)), "opened", "arrears ask=false"),
    ] {
        assert_eq!(judged(policy, owes, said), expected, "{policy:?}, owes {owes:?}, {said}");
    }
}

#[test]
fn a_lane_that_its_lot_does_not_declare_asks_a_person() {
    use schema::{Verdict, reference::Policies};
    // The lanes that the lot declares, what came before, what is seen at which lane and whether that had opened by itself; what that should become.
    for (lanes, before, kind, lane, decided, expected) in [
        ("in out", None, GateKind::Entry, "in", None, "opened"),
        ("in out", None, GateKind::Entry, "side", None, "unknown_lane ask=true"),
        ("in out", None, GateKind::Entry, "side", Some(Verdict::Open), "opened"),
        ("", None, GateKind::Entry, "side", None, "opened"),
        ("in out", Some("in"), GateKind::Exit, "out", None, "leaving"),
        ("in out", Some("in"), GateKind::Exit, "side", None, "unknown_lane ask=true"),
        ("in out", Some("in"), GateKind::Exit, "side", Some(Verdict::Open), "leaving gone"),
        ("", Some("in"), GateKind::Exit, "side", None, "leaving"),
        // It is no second read, either: it is inside already.
        ("in out", Some("in"), GateKind::Entry, "in", None, "noted"),
        ("in out", Some("side"), GateKind::Entry, "side", None, "already_inside ask=false"),
    ] {
        let mut declared = declared();
        declared.lots[0].lanes = lanes.split_whitespace().map(|lane| lane.parse().expect("a token")).collect();
        declared.lots[0].policies = Policies { double_read_s: 90, ..Policies::default() };
        let reference = Reference::resolve(declared).expect("the reference is whole");
        let logs = Logs::default();
        let world = World { reference: &reference, late_max: Terms::default().late_max, heard: Heard::of(&logs) };
        let mut stays = Stays::new(&world, Partition::of_lot("north"));
        let at_lane = |id, kind, lane: &str, minutes| {
            let lane = lane.parse().expect("a token");
            GateEvent { lane, ..seen(kind, id, "north", "粤B11111", minutes) }
        };
        if let Some(lane) = before {
            let entry = GateEvent { decided: Some(Verdict::Open), ..at_lane("e1", GateKind::Entry, lane, 0) };
            stays.gate(&entry, entry.seen_at, &[]);
        }
        let event = GateEvent { decided, ..at_lane("e2", kind, lane, 1) };
        let told = |event: &SessionEvent| match event {
            SessionEvent::Refused { reason, ask, .. } => format!("{} ask={ask}", reason.as_str()),
            other => Event::Session(other.clone()).kind().to_owned(),
        };
        let becomes: Vec<_> = stays.gate(&event, event.seen_at, &[]).iter().map(told).collect();
        assert_eq!(becomes.join(" "), expected, "{lanes:?}, inside by {before:?}, {kind:?} at {lane}, {decided:?}");
    }
}

#[test]
fn a_coupon_over_its_limit_is_flagged() {
    use schema::{
        DeskEvent,
        desk::{Said, Says},
        journal::CouponLimit,
        rate::{Validation, ValidationKind, ValidationRules},
    };
    let (by, day) = (Said { author: "lin".parse().expect("a token"), reason: "shown".into(), at: TEN }, schema::Day(261_123));
    let coupon = |id: &str| Validation { id: id.into(), bearer: "cinema".into(), kind: ValidationKind::Free, over: false };
    let validated = |stay: &Stay, here, elsewhere| {
        let limit = CouponLimit { most: 2, day, operator: "operator".parse().expect("a token"), here, elsewhere };
        SessionEvent::Validated { stay: stay.clone(), validation: coupon("v1"), by: by.clone(), limit: Some(Box::new(limit)) }
    };
    let line = |minutes: i64, event: SessionEvent| {
        let at = TEN.plus(minutes * MINUTE);
        let cause = Cause { inbox: Inbox::Desk, sequence: 1, event: "desk".into(), time: at, index: 0 };
        Line { sequence: 1, subject: String::new(), recorded: Recorded { at, cause, event: Event::Session(event) } }
    };
    let other = stay_of(&seen(GateKind::Entry, "e8", "north", "粤B77777", 0));
    let entry = seen(GateKind::Entry, "e9", "north", "粤B77777", 58);
    let stay = stay_of(&entry);
    let judged = |used: Option<(i64, Option<i64>)>, said: Option<u32>| {
        let lines = used.into_iter().flat_map(|(from, until)| {
            let none = until.map(|until| line(until, SessionEvent::Vacated { stay: other.clone() }));
            std::iter::once(line(from, validated(&other, 2, Some(0)))).chain(none)
        });
        let mut logs = Logs::default();
        logs.journals.insert(Journal::Session, lines.collect());
        let mut declared = declared();
        declared.rate_tables[0].validations = ValidationRules { per_vehicle_day: Some(2), ..ValidationRules::default() };
        let reference = Reference::resolve(declared).expect("the reference is whole");
        let world = World { reference: &reference, late_max: Terms::default().late_max, heard: Heard::of(&logs) };
        let mut stays = Stays::new(&world, Partition::of_lot("north"));
        stays.gate(&entry, entry.seen_at, &[&opened(&stay, &entry, None)]);
        let (id, said_at) = ("d1".parse().expect("a token"), TEN.plus(61 * MINUTE));
        let given = Says::Validated { who: entry.credential.clone(), validation: coupon("v2") };
        let event = DeskEvent { id, lot: entry.lot, said_at, author: by.author, reason: by.reason.clone(), says: given };
        let becomes = stays.desk(&event, said_at, &[&validated(&stay, 1, said)]);
        match becomes.as_slice() {
            [SessionEvent::Validated { validation, limit: Some(limit), .. }] => {
                let verdict = if validation.over { "over" } else { "counts" };
                format!("{verdict} {}+{}", limit.here, limit.elsewhere.map_or_else(|| "?".to_owned(), |uses| uses.to_string()))
            }
            other => panic!("one event with its limit, and not {other:?}"),
        }
    };
    // From when on, and until when, another stay has used both of the day; what was known of that at minute 61, and what should have become of it.
    for (used, said, expected) in [
        (None, Some(0), "counts 1+0"),
        (None, Some(2), "counts 1+0"),
        (None, None, "counts 1+?"),
        (Some((50, None)), Some(0), "over 0+2"),
        (Some((50, None)), Some(3), "over 0+2"),
        (Some((50, None)), None, "counts 1+?"),
        (Some((60, None)), Some(0), "counts 1+0"),
        (Some((60, None)), Some(2), "over 0+2"),
        (Some((62, None)), Some(2), "over 0+2"),
        (Some((64, None)), Some(2), "counts 1+0"),
        (Some((30, None)), Some(0), "counts 1+0"),
        (Some((30, None)), Some(2), "over 0+2"),
        (Some((50, Some(55))), Some(2), "counts 1+0"),
        (Some((50, Some(60))), Some(0), "counts 1+0"),
        (Some((50, Some(60))), Some(2), "over 0+2"),
    ] {
        assert_eq!(judged(used, said), expected, "used {used:?}, known {said:?}");
    }
}

#[test]
fn a_ground_that_nobody_stated_is_found() {
    use schema::journal::{Ground, Made};
    let part = |name: &str| name.parse().expect("a token");
    let mut logs = right();
    for (ground, differs) in [
        (None, 0),
        (Some(Ground::Right { part: part("pass-1") }), 1),
        (Some(Ground::Ban { part: part("ban-1"), from: TEN, until: None, reason: "fraud".into() }), 1),
        (Some(Ground::Arrear { order: part("O1").as_str().parse().expect("a token"), amount: Money::new(1, Currency::Cny), at: TEN }), 1),
    ] {
        if let Event::Session(SessionEvent::Opened { made_of, .. }) = &mut at(&mut logs, Journal::Session, "opened").recorded.event {
            let grounds = ground.iter().cloned().collect();
            *made_of = Some(Box::new(Made { checks: "lot_open".into(), facts: Vec::new(), owes: None, grounds }));
        }
        assert_eq!(verdict(&logs, true).difference_count, differs, "{ground:?}");
    }
}

#[test]
fn who_was_let_out_is_read_again_only_within_seconds() {
    let mut declared = declared();
    declared.lots[0].policies = schema::reference::Policies { double_read_s: 90, ..schema::reference::Policies::default() };
    let reference = Reference::resolve(declared).expect("the reference is whole");
    let logs = Logs::default();
    let world = World { reference: &reference, late_max: Terms::default().late_max, heard: Heard::of(&logs) };
    let by_itself = |kind, id, minutes| GateEvent { decided: Some(schema::Verdict::Open), ..seen(kind, id, "north", "粤B77777", minutes) };
    let (enters, leaves) = (GateKind::Entry, GateKind::Exit);
    // It comes at minute 0 and leaves at minute 60, both by itself; then what, and what that becomes.
    for (then, told) in [
        (vec![(leaves, "r1", 61)], "read_again"),
        (vec![(leaves, "r1", 59)], "read_again"),
        (vec![(leaves, "r1", 62)], "waiting"),
        (vec![(leaves, "r1", 58)], "waiting"),
        (vec![(enters, "e2", 61), (leaves, "x2", 61)], "opened, leaving gone"),
        (vec![(leaves, "x2", 61), (enters, "e2", 61)], "read_again, opened leaving gone"),
        (vec![(leaves, "x2", 61), (enters, "e2", 70)], "read_again, opened"),
    ] {
        let mut stays = Stays::new(&world, Partition::of_lot("north"));
        let mut become_of = |event: GateEvent| {
            let becomes = stays.gate(&event, event.seen_at, &[]);
            stays.remember(&becomes, std::iter::repeat(event.seen_at));
            becomes.into_iter().map(|event| Event::Session(event).kind()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(become_of(by_itself(enters, "e1", 0)), "opened");
        assert_eq!(become_of(by_itself(leaves, "x1", 60)), "leaving gone");
        let said: Vec<_> = then.iter().map(|(kind, id, minutes)| become_of(by_itself(*kind, *id, *minutes))).collect();
        assert_eq!(said.join(", "), told, "{then:?}");
    }
}
