use super::*;
use crate::{
    Cause, ChannelCall, ChannelEvent, ChannelFact, Currency, Day, Effect, Energy, EntryNotice, Event, GateEvent, GateKind, Id, Inbox, Journal,
    LaneCommand, Moment, Money, Partition, Recorded, RefundCall, StatementEvent, StatementFact, VehicleClass, Verdict,
    channel::{Act, Outcome},
    desk::{DeskEvent, ExceptionStep, Said, Says, ShiftStep, Tender},
    effect::Deducted,
    exception::{self, Closing, DifferenceSum, Gap, Listed, PieceAt, ReconEvent, ReconNote, Stays, Term},
    fact::{Arrear, AssignedRight, Ban, CouponsUsed, Part, Presence, Reservation, Scope, Stated, TimeBand, Weekdays, What},
    gate::{Colour, Credential},
    id::{self, Kind, Place, Province},
    journal::{
        AppliedReason, AttemptState, Bill, CouponLimit, Departure, Ground, Known, LineKind, Made, Marks, Note, OrderEvent, PaymentEvent, Question,
        Quote, QuoteLine, RefundReason, RefundState, Refusal, RightUsed, SessionEvent, ShiftAt, Source, Stay, Terms,
    },
    ledger::{Account, Discounts, Entry, FeesAt, Figures, LedgerEvent, Movement, Span, Statement, Tally, WindowAt},
    payout::{DayPaid, PaidOut},
    rate::{Prepaid, Validation, ValidationKind},
    statement::{self, Age, BookedPayment, Difference, Standing, StatementLine},
};
use std::{collections::BTreeMap, fmt::Debug, fs, path::PathBuf};

const AT: Moment = Moment(1_795_392_000_000_000);

fn name<const N: usize>(text: &str) -> crate::Token<N> {
    text.parse().expect("a name")
}

fn id(kind: Kind, part: &str) -> Id {
    id::derive(kind, Place { province: Province(44), day: Day(261_123), partition: Partition(7) }, &[part])
}

fn stay() -> Stay {
    let credential = Credential::plate("粤B12345", Colour::Blue);
    Stay {
        session: id(Kind::Session, "s"),
        lot: name("lot-1"),
        province: Province(44),
        credential,
        lane: name("in"),
        entered_at: AT,
        class: VehicleClass::Small,
        energy: Energy::Fuel,
        sharers: Vec::new(),
    }
}

fn departure() -> Departure {
    Departure { lane: name("out"), left_at: AT.plus(5_400_000_000), event: name("e2"), local: false, deducts: None }
}

fn bill() -> Bill {
    Bill { order: id(Kind::Order, "o"), lot: Some(name("lot-1")), day: Day(261_123) }
}

fn source() -> Source {
    Source { channel: "wechat".into(), transaction: "4200001".into() }
}

const FEE: Money = Money::new(1_000, Currency::Cny);

fn opened(marks: Marks) -> SessionEvent {
    let (event, expires_at, releases) = (name("e1"), AT.plus(30_000_000), Some(id(Kind::Waiting, "w")));
    let sharers = marks.right.iter().map(|_| Credential::plate("粤BD12345", Colour::Green)).collect();
    SessionEvent::Opened { stay: Stay { sharers, ..stay() }, event, expires_at, releases, marks: Box::new(marks), made_of: None, passes_by: None }
}

fn marks_right() -> RightUsed {
    let bands = vec![TimeBand { days: Weekdays::WORKDAYS, from_min: 480, to_min: 1200 }];
    RightUsed { id: name("pass-7"), from: AT, until: AT.plus(1), bands }
}

fn leaving(right: Option<RightUsed>) -> SessionEvent {
    SessionEvent::Leaving { stay: stay(), departure: departure(), sequence: 1, right: right.map(Box::new), terms: None }
}

fn closed(same_read_until: Option<Moment>) -> SessionEvent {
    let (order, expires_at) = (id(Kind::Order, "o"), AT);
    SessionEvent::Closed { stay: stay(), departure: departure(), order, paid: FEE, expires_at, gone: false, same_read_until }
}

fn gone(same_read_until: Option<Moment>) -> SessionEvent {
    SessionEvent::Gone { stay: stay(), departure: Departure { local: true, ..departure() }, asked: None, same_read_until }
}

fn prepaid() -> Prepaid {
    Prepaid { id: id(Kind::Order, "o").as_str().into(), at: AT, amount: FEE, until: AT }
}

fn validation() -> Validation {
    Validation { id: "v-1".into(), bearer: "cinema".into(), kind: ValidationKind::FreeTime { minutes: 60 }, over: false }
}

fn said() -> Said {
    Said { author: name("lin"), reason: "shown at the desk".into(), at: AT }
}

fn terms() -> Terms {
    Terms { paid: vec![prepaid()], validations: vec![validation()], before: Some((1, AT)), gone: true, lost: true, corrected: None }
}

fn stated() -> Stated {
    let ban = Ban { scope: Scope::Operator(name("city")), from: AT, until: None, reason: "fraud".into() };
    let of = vec![stay().credential];
    Stated { lot: name("lot-1"), part: name("ban-1"), what: What::Ban(ban), of, author: name("lin"), reason: "three times".into(), said_at: AT }
}

fn session_events() -> Vec<SessionEvent> {
    let (lot, lane, province) = (name("lot-1"), name("in"), Province(44));
    let credential = stay().credential;
    vec![
        opened(Marks::default()),
        SessionEvent::Refused {
            lot,
            lane,
            province,
            credential: credential.clone(),
            reason: Refusal::Full,
            event: name("e1"),
            seen_at: AT,
            expires_at: AT,
            ask: false,
            made_of: None,
        },
        SessionEvent::Superseded { stay: stay(), by: id(Kind::Session, "s2"), flagged: true },
        SessionEvent::Waiting { waiting: id(Kind::Waiting, "w"), lot, province, credential, departure: departure(), expires_at: AT },
        SessionEvent::Passed { stay: stay(), at: AT },
        SessionEvent::Vacated { stay: stay() },
        SessionEvent::Asked { stay: stay(), departure: departure(), sequence: 2, right: None, terms: Some(Box::new(terms())) },
        SessionEvent::Prepaid { stay: stay(), paid: prepaid(), sequence: 1, leave_by: AT, told: Some((lane, name("e2"), AT)) },
        leaving(None),
        closed(None),
        SessionEvent::ReadAgain {
            session: id(Kind::Session, "s"),
            lot,
            province,
            credential: stay().credential,
            departure: departure(),
            expires_at: AT,
        },
        gone(None),
        SessionEvent::Owed { stay: stay(), order: id(Kind::Order, "o"), amount: FEE, operator: name("city") },
        SessionEvent::Stated { stated: Box::new(stated()), dropped: vec![Credential::plate("粤BD12345", Colour::Green)], province },
        SessionEvent::Validated { stay: stay(), validation: validation(), by: said(), limit: None },
        SessionEvent::Noticed { stay: stay(), channel: "wechat".into(), parking: Some("5K8264ILTKCH16CQ250".into()) },
        SessionEvent::LetThrough {
            lot,
            lane,
            province,
            way: GateKind::Exit,
            who: Some(stay().credential),
            by: said(),
            opens_until: Some(AT),
            event: name("d2"),
        },
        SessionEvent::Corrected {
            stay: stay(),
            was: Credential::plate("粤B12346", Colour::Blue),
            came_at: AT,
            by: said(),
            releases: Some(id(Kind::Waiting, "w")),
            gone: false,
            entitled: None,
        },
        SessionEvent::Noted { note: Note::AlreadyLeaving, concerns: Some(id(Kind::Session, "s")), lot, province, ask: Some((lane, name("e3"), AT)) },
    ]
}

fn question() -> Box<Question> {
    let (right, terms) = (Some(Box::new(marks_right())), Some(Box::new(terms())));
    Box::new(Question { stay: stay(), departure: departure(), sequence: 2, right, terms, inside: true })
}

/// A price of which a merchant bears all.
fn waived(quote: Quote) -> Quote {
    let off = QuoteLine::new(LineKind::ValidationFree, (0, 90), 1, 0, -quote.total.minor);
    let off = QuoteLine { due_to: Some("v-1".into()), bearer: Some("cinema".into()), ..off };
    Quote { lines: quote.lines.iter().cloned().chain([off]).collect(), total: Money::new(0, Currency::Cny), ..quote }
}

fn order_events() -> Vec<OrderEvent> {
    let line = QuoteLine::new(LineKind::Step, (0, 90), 2, 500, 1_000);
    let quote = Quote { rate_table: "hourly".into(), version: 1, minutes: 90, lines: vec![line], total: FEE };
    let (order, expires_at) = (id(Kind::Order, "o"), AT);
    vec![
        OrderEvent::Priced { order, stay: stay(), departure: departure(), quote: quote.clone(), expires_at, inside: None },
        OrderEvent::Priced {
            order,
            stay: stay(),
            departure: departure(),
            quote: Quote { total: Money::new(0, Currency::Cny), ..quote.clone() },
            expires_at,
            inside: Some(1),
        },
        OrderEvent::Priced { order, stay: stay(), departure: departure(), quote: waived(quote), expires_at, inside: None },
        OrderEvent::Withdrawn { order, by: id(Kind::Order, "o2"), question: question() },
        OrderEvent::Overtaken { order, by: id(Kind::Order, "o2"), question: question() },
        OrderEvent::Cancelled { order, province: Province(44) },
        OrderEvent::Gone { order, province: Province(44) },
        OrderEvent::Unpriced { order, stay: stay(), departure: departure(), reason: "no rate table".into(), word: None, expires_at, inside: None },
        OrderEvent::Paid {
            order,
            session: id(Kind::Session, "s"),
            lot: name("lot-1"),
            province: Province(44),
            amount: FEE,
            by: source(),
            prepays: None,
        },
        OrderEvent::Reopened { order: id(Kind::Order, "o"), province: Province(44), amount: FEE },
        OrderEvent::Owed {
            order: id(Kind::Order, "o"),
            session: stay().session,
            lot: name("lot-1"),
            province: Province(44),
            amount: FEE,
            begins: false,
        },
        OrderEvent::Cleared { order, lot: name("lot-1"), province: Province(44), amount: FEE },
        OrderEvent::Overpaid { order, session: stay().session, province: Province(44), amount: FEE, by: said(), said: name("d1") },
        OrderEvent::Noted { note: Note::AlreadyKnown, order, province: Province(44) },
    ]
}

fn payment_events() -> Vec<PaymentEvent> {
    let refund = id(Kind::Refund, "r");
    let (reason, due_at) = (RefundReason::Duplicate, AT);
    vec![
        PaymentEvent::Expected { bill: bill(), due: FEE, discounts: None },
        PaymentEvent::Held { bill: Bill { lot: None, ..bill() }, source: source(), amount: FEE, paid_at: None, provisional: false, choice: None },
        PaymentEvent::Applied {
            bill: bill(),
            source: source(),
            amount: FEE,
            held: false,
            paid_at: None,
            provisional: false,
            part: None,
            discounts: None,
            reason: None,
        },
        PaymentEvent::Withdrawn { bill: bill() },
        PaymentEvent::Imported { bill: bill(), source: source(), amount: FEE, number: "20261122-7".into(), paid_at: AT },
        PaymentEvent::RefundRequested {
            bill: bill(),
            source: source(),
            amount: FEE,
            refund,
            reason,
            tries: 1,
            held: false,
            due_at,
            asks: false,
            applied: false,
            captured: None,
            by: None,
            approved: None,
        },
        PaymentEvent::Settled { bill: bill(), source: source(), amount: FEE },
        PaymentEvent::PassedOver { bill: bill(), source: source(), amount: FEE, reason, applied: true },
        PaymentEvent::Reversed { bill: bill(), source: source(), amount: FEE, applied: true },
        PaymentEvent::RefundWanted { bill: bill(), source: source(), amount: FEE, by: said(), said: name("d1"), beside: Vec::new() },
        PaymentEvent::RefundDeclined { bill: bill(), said: name("d1"), by: said() },
        PaymentEvent::RefundStood { bill: bill(), source: source(), refund, state: RefundState::Accepted, due_at: Some(due_at) },
        PaymentEvent::Refunded { bill: bill(), source: source(), amount: FEE, refund, left: None, drawer: false, done_at: None },
        PaymentEvent::Noted { note: Note::Unknown, order: bill().order },
        PaymentEvent::Chosen { bill: bill(), choice: 1, tenders: tenders(), until: AT, by: said(), deducts: None },
        PaymentEvent::Attempted {
            bill: bill(),
            attempt: id::attempt(bill().order, 1),
            choice: 1,
            channel: "points".into(),
            amount: FEE,
            act: Act::Open,
            tries: 1,
            until: AT,
            due_at,
            deducts: None,
        },
        PaymentEvent::AttemptStood {
            bill: bill(),
            attempt: id::attempt(bill().order, 1),
            state: AttemptState::Open,
            code: Some("weixin://wxpay/bizpayurl?pr=x".into()),
            due_at: Some(due_at),
        },
        PaymentEvent::ShiftOpened { shift: shift(), float: FEE, by: said() },
        PaymentEvent::ShiftTook { shift: shift(), order: bill().order, amount: FEE, by: said() },
        PaymentEvent::ShiftCounted { shift: shift(), counted: FEE, by: said() },
        PaymentEvent::ShiftClosed { shift: shift(), expected: FEE, counted: FEE, by: said() },
        PaymentEvent::ShiftNoted { shift: shift(), note: Note::NotCounted, by: said() },
    ]
}

fn tenders() -> Vec<Tender> {
    [("points", 200), ("wechat", 800)].map(|(channel, fen)| Tender { channel: channel.into(), amount: Money::new(fen, Currency::Cny) }).to_vec()
}

fn shift() -> ShiftAt {
    ShiftAt { lot: name("lot-1"), province: Province(44), name: name("early") }
}

fn ledger_events() -> Vec<LedgerEvent> {
    let entries = vec![Entry::debit(Account::ChannelReceivable, 1_000), Entry::credit(Account::ParkingRevenue, 1_000)];
    let Bill { order, lot, day } = bill();
    // As the first releases wrote it.
    let posted = LedgerEvent::Posted {
        posting: id(Kind::Posting, "l"),
        order: Some(order),
        lot,
        day,
        province: Province(44),
        channel: "wechat".into(),
        currency: Currency::Cny,
        entries,
        operator: None,
        at: None,
        movement: None,
        span: None,
        discounts: None,
    };
    let stopped = LedgerEvent::WindowStopped { window: window(), differs: "3 rows were posted, and 2 are there".into(), due_at: AT };
    let closed = LedgerEvent::WindowClosed { statement: Box::new(statement()) };
    vec![posted, closed, stopped, LedgerEvent::Noted { order, province: Province(44) }]
}

fn window() -> WindowAt {
    let (province, partition, day) = (Province(44), Partition(7), Day(261_123));
    WindowAt { province, partition, day, lot: Some(name("lot-1")), channel: "wechat".into(), currency: Currency::Cny, from: AT }
}

fn statement() -> Statement {
    let WindowAt { province, day, lot, channel, currency, from, .. } = window();
    let sums = BTreeMap::from([("channel_receivable".to_owned(), (994, 0)), ("discounts_merchant/cinema".to_owned(), (200, 0))]);
    let discounts = BTreeMap::from([("cinema".to_owned(), 200)]);
    Statement {
        statement: window().statement(1),
        operator: Some(name("city")),
        lot,
        province,
        channel,
        currency,
        day,
        from,
        until: AT.plus(86_400_000_000),
        number: 1,
        adjusts: Some(window().statement(0)),
        tally: Tally { rows: 1, payments: 1, refunds: 0, refunded: 0, sums },
        figures: Figures { gross: 1_200, discounts, points: 0, refunded: 0, fees: 6, short: 0, found: 0, net: 994 },
        hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
    }
}

fn taken_off() -> Discounts {
    Discounts { session: stay().session, asked_at: AT, borne: BTreeMap::from([("cinema".into(), 200)]) }
}

#[test]
fn what_the_ledger_learns_of_money_reads_and_writes_its_golden_bytes() {
    let (bill, source, cause) = (bill(), source(), Cause { inbox: Inbox::Order, sequence: 9, event: "k".into(), time: AT, index: 0 });
    let expected = PaymentEvent::Expected { bill: bill.clone(), due: FEE, discounts: Some(taken_off().into()) };
    let applied = PaymentEvent::Applied {
        bill: bill.clone(),
        source: source.clone(),
        amount: FEE,
        held: false,
        paid_at: Some(AT),
        provisional: false,
        part: None,
        discounts: Some(taken_off().into()),
        reason: None,
    };
    let mut chosen = applied.clone();
    if let PaymentEvent::Applied { reason, .. } = &mut chosen {
        *reason = Some(AppliedReason::Settled);
    }
    let chosen = Recorded { at: AT, cause: cause.clone(), event: Event::Payment(chosen) };
    check("payment.applied.for_a_reason", &chosen, |content_type, bytes| decode_recorded(Journal::Payment, Some(content_type), bytes));
    let refund = id(Kind::Refund, "r");
    let refunded = |drawer, done_at| {
        let (bill, source) = (bill.clone(), source.clone());
        PaymentEvent::Refunded { bill, source, amount: FEE, refund, left: Some(FEE), drawer, done_at }
    };
    let told = Recorded { at: AT, cause: cause.clone(), event: Event::Payment(refunded(false, Some(AT))) };
    check("payment.refunded.at_its_time", &told, |content_type, bytes| decode_recorded(Journal::Payment, Some(content_type), bytes));
    for event in [expected, applied, refunded(true, None)] {
        let (file, event) = (format!("payment.{}.for_the_ledger", Event::Payment(event.clone()).kind()), Event::Payment(event));
        let recorded = Recorded { at: AT, cause: cause.clone(), event };
        check(&file, &recorded, |content_type, bytes| decode_recorded(Journal::Payment, Some(content_type), bytes));
    }
    let (lot, amount) = (name("lot-1"), FEE);
    let event =
        Event::Order(OrderEvent::Owed { order: id(Kind::Order, "o"), session: stay().session, lot, province: Province(44), amount, begins: true });
    let recorded = Recorded { at: AT, cause: cause.clone(), event };
    check("order.owed.begins", &recorded, |content_type, bytes| decode_recorded(Journal::Order, Some(content_type), bytes));
    let Bill { order, lot, day } = self::bill();
    let event = Event::Ledger(LedgerEvent::Posted {
        posting: window().posting(&["l"]),
        order: Some(order),
        lot,
        day,
        province: Province(44),
        channel: "wechat".into(),
        currency: Currency::Cny,
        entries: vec![
            Entry { of: Some("cinema".into()), ..Entry::debit(Account::DiscountsMerchant, 200) },
            Entry::credit(Account::ParkingRevenue, 200),
        ],
        operator: Some(name("city")),
        at: Some(AT),
        movement: Some(Movement::Paid),
        span: Some(Span { from: AT, until: AT, closes_at: AT }),
        discounts: Some(taken_off().into()),
    });
    check("ledger.posted.in_full", &Recorded { at: AT, cause, event }, |content_type, bytes| {
        decode_recorded(Journal::Ledger, Some(content_type), bytes)
    });
}

fn piece() -> PieceAt {
    PieceAt { channel: "wechat".into(), merchant: "1900000109".into(), day: Day(261_123), province: Province(44), partition: Partition(7) }
}

fn statement_line() -> StatementLine {
    StatementLine {
        line: 3,
        kind: statement::LineKind::Trade,
        standing: Standing::Done,
        transaction: "4200001".into(),
        number: id::attempt(id(Kind::Order, "o"), 1).as_str().into(),
        refund: "".into(),
        amount: FEE,
        fee_milli: 6_000,
        happened_at: AT,
    }
}

fn booked_payment() -> BookedPayment {
    let StatementLine { kind, transaction, number: attempt, refund, amount, happened_at, .. } = statement_line();
    let order = id(Kind::Order, "o").as_str().into();
    BookedPayment { line: 0, kind, standing: Standing::Pending, order, attempt, transaction, refund, amount, happened_at }
}

fn sums() -> Vec<DifferenceSum> {
    vec![DifferenceSum { difference: Difference::Matched, count: 2, ours: 2_000, theirs: 2_000 }]
}

/// A payout that is at home where [`piece`] is.
fn payout(operator: Option<&str>) -> Box<PaidOut> {
    let days = [(261_123, 1_200), (261_124, -200)].map(|(day, minor)| DayPaid { day: Day(day), minor }).to_vec();
    let (operator, amount) = (operator.map(name), Money::new(1_000, Currency::Cny));
    Box::new(PaidOut { reference: "B-67".into(), operator, days, amount, booked_at: AT, author: name("lin") })
}

fn recon_events() -> Vec<ReconEvent> {
    let exception = id(Kind::Exception, "x");
    let fact = ChannelFact::Succeeded { attempt: id::attempt(id(Kind::Order, "o"), 1), transaction: "4200001".into(), amount: FEE };
    let sends = Effect::Channel(ChannelEvent { channel: "wechat".into(), happened_at: AT, fact });
    vec![
        ReconEvent::Matched { piece: piece(), term: Term::Next, sums: sums(), fees: None, stays: None, hash: "0f".repeat(32).into() },
        ReconEvent::ExceptionOpened {
            exception,
            piece: piece(),
            difference: Difference::StatusDiffers,
            line: Some(Box::new(statement_line())),
            payment: Some(Box::new(booked_payment())),
            age: Age::T1,
            again: false,
        },
        ReconEvent::ExceptionAssigned { exception, owner: name("lin"), by: said() },
        ReconEvent::ExceptionActed { exception, act: exception::Act::Repaired, said: name("d1"), by: said(), sends: Some(Box::new(sends)) },
        ReconEvent::ExceptionAged { exception, age: Age::T3 },
        ReconEvent::ExceptionClosed { exception, why: Closing::WrittenOff, term: None, by: Some(said()), approved: Some(said()), gap: None },
        ReconEvent::WriteOffUndone {
            exception,
            term: Term::After,
            gap: Box::new(Gap { channel: "wechat".into(), money: Money::new(-500, Currency::Cny) }),
        },
        ReconEvent::PaidOut { piece: piece(), paid: payout(Some("city")) },
        ReconEvent::PayoutDiffers { piece: piece(), paid: payout(Some("city")), booked: Money::new(900, Currency::Cny) },
        ReconEvent::Noted { note: ReconNote::AlreadyKnown, province: Province(44), exception: Some(exception) },
    ]
}

#[test]
fn what_moves_to_the_bank_and_back_from_losses_reads_and_writes_its_golden_bytes() {
    let paid_out = vec![Entry::debit(Account::Bank, 1_000), Entry::credit(Account::ChannelReceivable, 1_000)];
    let back = vec![
        Entry::debit(Account::WriteOff, 500),
        Entry::credit(Account::Suspense, 500),
        Entry::debit(Account::Suspense, 500),
        Entry::credit(Account::ChannelReceivable, 500),
    ];
    for (file, entries, movement, operator) in [
        ("ledger.posted.of_a_payout", paid_out, Movement::PaidOut, Some(name("city"))),
        ("ledger.posted.of_a_write_off_undone", back, Movement::WriteOffUndone, None),
    ] {
        let window = window();
        let posted = LedgerEvent::Posted {
            posting: window.posting(&["RECON"]),
            order: None,
            lot: None,
            day: window.day,
            province: window.province,
            channel: window.channel,
            currency: window.currency,
            entries,
            operator,
            at: Some(AT),
            movement: Some(movement),
            span: Some(Span { from: AT, until: AT.plus(1), closes_at: AT.plus(2) }),
            discounts: None,
        };
        let cause = Cause { inbox: Inbox::Recon, sequence: 9, event: "k".into(), time: AT, index: 0 };
        let posted = Recorded { at: AT.plus(1), cause, event: Event::Ledger(posted) };
        check(file, &posted, |content_type, bytes| decode_recorded(Journal::Ledger, Some(content_type), bytes));
    }
}

#[test]
fn what_the_books_learn_of_a_statement_reads_and_writes_its_golden_bytes() {
    let cause = |inbox| Cause { inbox, sequence: 9, event: "k".into(), time: AT, index: 0 };
    let gap = Some(Box::new(Gap { channel: "wechat".into(), money: Money::new(-500, Currency::Cny) }));
    let (exception, why) = (piece().exception(Difference::StatusDiffers, Some(&statement_line()), None, 0), Closing::Explained);
    let closed = ReconEvent::ExceptionClosed { exception, why, term: Some(Term::After), by: None, approved: None, gap };
    let closed = Recorded { at: AT.plus(1), cause: cause(Inbox::Statement), event: Event::Recon(closed) };
    check("recon.exception_closed.for_the_ledger", &closed, |content_type, bytes| decode_recorded(Journal::Recon, Some(content_type), bytes));
    let fees = Some(Money::new(17, Currency::Cny));
    let matched = ReconEvent::Matched { piece: piece(), term: Term::Next, sums: sums(), fees, stays: None, hash: "0f".repeat(32).into() };
    let matched = Recorded { at: AT.plus(1), cause: cause(Inbox::Statement), event: Event::Recon(matched) };
    check("recon.matched.with_fees", &matched, |content_type, bytes| decode_recorded(Journal::Recon, Some(content_type), bytes));
    let fact = StatementFact::Matched { term: Term::After, sums: sums(), fees, stays: None, hash: "0f".repeat(32).into() };
    let found = StatementEvent { piece: piece(), run: None, fact };
    check("statement.matched.with_fees", &found, |content_type, bytes| decode(Some(content_type), bytes));
    let PieceAt { province, partition, channel, day, merchant } = piece();
    let told = LedgerEvent::FeesTold { fees: FeesAt { province, partition, channel, day, currency: Currency::Cny }, merchant, minor: 17 };
    let told = Recorded { at: AT.plus(1), cause: cause(Inbox::Recon), event: Event::Ledger(told) };
    check("ledger.fees_told", &told, |content_type, bytes| decode_recorded(Journal::Ledger, Some(content_type), bytes));
    let figures = Figures { found: -500, net: -500, ..Figures::default() };
    let statement = Statement { tally: Tally::default(), figures, ..statement() };
    let event = Event::Ledger(LedgerEvent::WindowClosed { statement: Box::new(statement) });
    let stated = Recorded { at: AT.plus(1), cause: cause(Inbox::Tick), event };
    check("ledger.window_closed.with_what_was_found", &stated, |content_type, bytes| decode_recorded(Journal::Ledger, Some(content_type), bytes));
    let (window, entries) = (window(), vec![Entry::debit(Account::Suspense, 500), Entry::credit(Account::WriteOff, 500)]);
    let posted = LedgerEvent::Posted {
        posting: window.posting(&["RECON"]),
        order: None,
        lot: None,
        day: window.day,
        province: window.province,
        channel: window.channel,
        currency: window.currency,
        entries,
        operator: None,
        at: Some(AT),
        movement: Some(Movement::WrittenOff),
        span: Some(Span { from: AT, until: AT.plus(1), closes_at: AT.plus(2) }),
        discounts: None,
    };
    let posted = Recorded { at: AT.plus(1), cause: cause(Inbox::Recon), event: Event::Ledger(posted) };
    check("ledger.posted.of_a_statement", &posted, |content_type, bytes| decode_recorded(Journal::Ledger, Some(content_type), bytes));
}

#[test]
fn stays_without_their_money_read_and_write_their_golden_bytes() {
    let (paid_and_inside, left_and_unpaid) = (Listed::of([id(Kind::Session, "s")]), Listed::default());
    let stays = Some(Box::new(Stays { paid_and_inside, left_and_unpaid }));
    let fact = StatementFact::Matched { term: Term::After, sums: sums(), fees: None, stays: stays.clone(), hash: "0f".repeat(32).into() };
    let found = StatementEvent { piece: piece(), run: None, fact };
    check("statement.matched.with_stays", &found, |content_type, bytes| decode(Some(content_type), bytes));
    let matched = ReconEvent::Matched { piece: piece(), term: Term::Next, sums: sums(), fees: None, stays, hash: "0f".repeat(32).into() };
    let cause = Cause { inbox: Inbox::Statement, sequence: 9, event: "k".into(), time: AT, index: 0 };
    let matched = Recorded { at: AT.plus(1), cause, event: Event::Recon(matched) };
    check("recon.matched.with_stays", &matched, |content_type, bytes| decode_recorded(Journal::Recon, Some(content_type), bytes));
}

#[test]
fn what_is_imported_reads_and_writes_its_golden_bytes() {
    let (order, number, transaction) = (id(Kind::Order, "o"), "20261122-7".into(), "4200001".into());
    let event = ChannelEvent { channel: "wechat".into(), happened_at: AT, fact: ChannelFact::Imported { order, number, transaction, amount: FEE } };
    check("channel.imported", &event, |content_type, bytes| decode(Some(content_type), bytes));
    assert_eq!(event.subject().as_deref(), Some("CHANNEL.7.wechat.imported"));
}

#[test]
fn what_workers_find_reads_and_writes_its_golden_bytes() {
    let differs = StatementFact::Differs {
        difference: Difference::StatusDiffers,
        line: Some(Box::new(statement_line())),
        payment: Some(Box::new(booked_payment())),
        nth: 0,
    };
    for fact in [
        StatementFact::Matched { term: Term::After, sums: sums(), fees: None, stays: None, hash: "0f".repeat(32).into() },
        differs,
        StatementFact::Explained { exception: id(Kind::Exception, "x"), term: Term::After },
        StatementFact::PaidOut { paid: payout(None) },
    ] {
        let event = StatementEvent { piece: piece(), run: None, fact };
        check(&format!("statement.{}", event.kind()), &event, |content_type, bytes| decode(Some(content_type), bytes));
    }
    let says = Says::Exception { exception: id(Kind::Exception, "x"), step: ExceptionStep::Approve(name("d1")) };
    let event = DeskEvent { id: name("d2"), lot: exception::desk_of(Partition(7)), said_at: AT, author: name("zhou"), reason: "seen".into(), says };
    check("desk.exception", &event, |content_type, bytes| decode(Some(content_type), bytes));
}

fn journal_events() -> Vec<(Journal, Event)> {
    let session = session_events().into_iter().map(|event| (Journal::Session, Event::Session(event)));
    let order = order_events().into_iter().map(|event| (Journal::Order, Event::Order(event)));
    let payment = payment_events().into_iter().map(|event| (Journal::Payment, Event::Payment(event)));
    let ledger = ledger_events().into_iter().map(|event| (Journal::Ledger, Event::Ledger(event)));
    let recon = recon_events().into_iter().map(|event| (Journal::Recon, Event::Recon(event)));
    session.chain(order).chain(payment).chain(ledger).chain(recon).collect()
}

/// Compares a value with its golden file in both formats. With `GOLDEN=write` a file that is missing is written; none is ever changed.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(file: &str, value: &T, read: impl Fn(&str, &[u8]) -> Result<T, Error>) {
    for (format, ending) in [(Format::Json, "json"), (Format::MessagePack, "msgpack")] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/v{VERSION}/{file}.{ending}"));
        let bytes = encode(format, value);
        if !path.exists() && option_env!("GOLDEN") == Some("write") {
            fs::write(&path, &bytes).expect("the golden folder is writable");
        }
        let golden = fs::read(&path).unwrap_or_else(|_| panic!("no {}: GOLDEN=write cargo test -p schema writes it", path.display()));
        assert_eq!(bytes, golden, "{} is written differently now: that is a new version", path.display());
        assert_eq!(read(format.content_type(), &golden).as_ref(), Ok(value), "{}", path.display());
    }
}

#[test]
fn every_journal_event_reads_and_writes_its_golden_bytes() {
    for (journal, event) in journal_events() {
        let cause = Cause { inbox: Inbox::Gate, sequence: 9, event: "k".into(), time: AT, index: 0 };
        let file = format!("{}.{}", journal.stream().to_lowercase(), event.kind());
        check(&file, &Recorded { at: AT.plus(1), cause, event }, |content_type, bytes| decode_recorded(journal, Some(content_type), bytes));
    }
}

#[test]
fn what_a_session_remembers_reads_and_writes_its_golden_bytes() {
    let missed = vec![crate::fact::Kind::Bans];
    let right = Some(marks_right());
    let marks = Marks {
        right,
        overrun: Some(name("pass-8")),
        reservation: Some(name("res-1")),
        elsewhere: Some(name("lot-2")),
        missed,
        local: false,
        lost: None,
        notice: None,
    };
    let cause = Cause { inbox: Inbox::Gate, sequence: 9, event: "k".into(), time: AT, index: 0 };
    let recorded = Recorded { at: AT.plus(1), cause, event: Event::Session(opened(marks)) };
    let cause = Cause { inbox: Inbox::Gate, sequence: 9, event: "k".into(), time: AT, index: 0 };
    let event = Event::Session(opened(Marks { local: true, ..Marks::default() }));
    let by_itself = Recorded { at: AT.plus(1), cause, event };
    check("session.opened.local", &by_itself, |content_type, bytes| decode_recorded(Journal::Session, Some(content_type), bytes));
    let right = marks_right();
    let cause = Cause { inbox: Inbox::Gate, sequence: 9, event: "k".into(), time: AT, index: 0 };
    let leaves = Recorded { at: AT.plus(1), cause, event: Event::Session(leaving(Some(right))) };
    check("session.leaving.under_right", &leaves, |content_type, bytes| decode_recorded(Journal::Session, Some(content_type), bytes));
    let cause = Cause { inbox: Inbox::Gate, sequence: 9, event: "k".into(), time: AT, index: 0 };
    let known = Known { kind: crate::fact::Kind::Rights, parts: Some(1), age_ms: Some(42) };
    let missed = Known { kind: crate::fact::Kind::Bans, parts: None, age_ms: None };
    let made_of =
        Some(Box::new(Made { checks: "lot_open capacity right=pass-7".into(), facts: vec![known, missed], owes: None, grounds: Vec::new() }));
    let SessionEvent::Opened { stay, event, expires_at, releases, marks, .. } = opened(Marks::default()) else { panic!("it is one") };
    let event = Event::Session(SessionEvent::Opened { stay, event, expires_at, releases, marks, made_of, passes_by: None });
    let explained = Recorded { at: AT.plus(1), cause, event };
    check("session.opened.explained", &explained, |content_type, bytes| decode_recorded(Journal::Session, Some(content_type), bytes));
    let cause = Cause { inbox: Inbox::Gate, sequence: 9, event: "k".into(), time: AT, index: 0 };
    let SessionEvent::Opened { stay, event, expires_at, releases, marks, .. } = opened(Marks::default()) else { panic!("it is one") };
    let event = Event::Session(SessionEvent::Opened { stay, event, expires_at, releases, marks, made_of: None, passes_by: Some(AT) });
    let to_cross = Recorded { at: AT.plus(1), cause, event };
    check("session.opened.to_cross", &to_cross, |content_type, bytes| decode_recorded(Journal::Session, Some(content_type), bytes));
    check("session.opened.marked", &recorded, |content_type, bytes| decode_recorded(Journal::Session, Some(content_type), bytes));
}

#[test]
fn what_a_decision_rests_on_reads_and_writes_its_golden_bytes() {
    let grounds = vec![
        Ground::Ban { part: name("ban-1"), from: AT, until: Some(AT.plus(1)), reason: "fraud".into() },
        Ground::Ban { part: name("ban-2"), from: AT, until: None, reason: "fraud".into() },
        Ground::Arrear { order: id(Kind::Order, "o"), amount: FEE, at: AT },
        Ground::Right { part: name("pass-7") },
        Ground::Overrun { part: name("pass-8") },
        Ground::Reservation { part: name("res-1") },
    ];
    let made_of = Some(Box::new(Made { checks: "ban=refuse:banned".into(), facts: Vec::new(), owes: None, grounds }));
    let (lot, lane, province, credential) = (name("lot-1"), name("in"), Province(44), stay().credential);
    let (reason, event, seen_at, expires_at, ask) = (Refusal::Banned, name("e1"), AT, AT, false);
    let refused = SessionEvent::Refused { lot, lane, province, credential, reason, event, seen_at, expires_at, ask, made_of };
    let cause = Cause { inbox: Inbox::Gate, sequence: 9, event: "k".into(), time: AT, index: 0 };
    let recorded = Recorded { at: AT.plus(1), cause, event: Event::Session(refused) };
    check("session.refused.on_grounds", &recorded, |content_type, bytes| decode_recorded(Journal::Session, Some(content_type), bytes));
}

#[test]
fn until_when_a_read_is_the_same_reads_and_writes_its_golden_bytes() {
    for (file, event) in [("session.closed.same_read", closed(Some(AT.plus(1)))), ("session.gone.same_read", gone(Some(AT.plus(1))))] {
        let cause = Cause { inbox: Inbox::Order, sequence: 9, event: "k".into(), time: AT, index: 0 };
        let recorded = Recorded { at: AT.plus(1), cause, event: Event::Session(event) };
        check(file, &recorded, |content_type, bytes| decode_recorded(Journal::Session, Some(content_type), bytes));
    }
}

#[test]
fn a_coupon_and_its_limit_read_and_write_their_golden_bytes() {
    let limit = |here, elsewhere| Some(Box::new(CouponLimit { most: 2, day: Day(261_123), operator: name("city"), here, elsewhere }));
    for (file, over, limit) in [("within_its_limit", false, limit(1, None)), ("over_its_limit", true, limit(0, Some(2)))] {
        let event = SessionEvent::Validated { stay: stay(), validation: Validation { over, ..validation() }, by: said(), limit };
        let cause = Cause { inbox: Inbox::Desk, sequence: 9, event: "k".into(), time: AT, index: 0 };
        let recorded = Recorded { at: AT.plus(1), cause, event: Event::Session(event) };
        check(&format!("session.validated.{file}"), &recorded, |content_type, bytes| decode_recorded(Journal::Session, Some(content_type), bytes));
    }
    let off = QuoteLine { due_to: Some("v-1".into()), bearer: Some("cinema".into()), ..QuoteLine::new(LineKind::ValidationTime, (0, 90), 60, 0, 0) };
    let lines = vec![QuoteLine::new(LineKind::Step, (0, 90), 2, 500, 1_000), QuoteLine { over: true, ..off }];
    let quote = Quote { rate_table: "hourly".into(), version: 1, minutes: 90, lines, total: FEE };
    let order = id(Kind::Order, "o");
    let event = Event::Order(OrderEvent::Priced { order, stay: stay(), departure: departure(), quote, expires_at: AT, inside: None });
    let cause = Cause { inbox: Inbox::Session, sequence: 9, event: "k".into(), time: AT, index: 0 };
    let recorded = Recorded { at: AT.plus(1), cause, event };
    check("order.priced.over_a_limit", &recorded, |content_type, bytes| decode_recorded(Journal::Order, Some(content_type), bytes));
}

#[test]
fn what_is_said_at_a_desk_reads_and_writes_its_golden_bytes() {
    let Stated { lot, part, what, of, author, reason, said_at } = stated();
    let event = DeskEvent { id: name("d1"), lot, said_at, author, reason, says: Says::Stated { part, what, of } };
    check("desk.stated", &event, |content_type, bytes| decode(Some(content_type), bytes));
    let order = bill().order;
    let (channel, transaction) = ("wechat".into(), "4200001".into());
    for says in [
        Says::Refund { order, channel, transaction, amount: FEE },
        Says::Approved { order, refund: name("d1") },
        Says::Declined { order, refund: name("d1") },
        Says::RefundSettled { order, refund: id(Kind::Refund, "r"), back: true, shift: None },
        Says::RefundShared { order, amount: FEE },
        Says::Pay { order, tenders: tenders() },
        Says::Cash { order, amount: FEE, shift: name("early") },
        Says::Shift { shift: name("early"), step: ShiftStep::Opened(FEE) },
    ] {
        let event = DeskEvent { says, ..event.clone() };
        check(&format!("desk.{}", event.says.kind()), &event, |content_type, bytes| decode(Some(content_type), bytes));
    }
}

#[test]
fn a_quote_with_all_that_explains_it_reads_and_writes_its_golden_bytes() {
    let line = |what, from_min, to_min, units, unit_price, amount| QuoteLine::new(what, (from_min, to_min), units, unit_price, amount);
    let lines = vec![
        QuoteLine { due_to: Some("pass-7".into()), ..line(LineKind::Right, 0, 60, 0, 0, 0) },
        QuoteLine { rate_line: Some("night".into()), ..line(LineKind::Step, 60, 180, 2, 500, 1_000) },
        QuoteLine { rate_line: Some("night".into()), ..line(LineKind::BandCap, 60, 180, 0, 800, -200) },
        QuoteLine { due_to: Some("c1".into()), bearer: Some("shop 9".into()), ..line(LineKind::ValidationPercent, 0, 180, 1, 33, -264) },
        line(LineKind::Rounding, 0, 180, 0, 10, 4),
        QuoteLine { due_to: Some("4200001".into()), ..line(LineKind::Paid, 0, 170, 1, 500, -500) },
    ];
    let quote = Quote { rate_table: "centre".into(), version: 7, minutes: 180, lines, total: Money::new(40, Currency::Cny) };
    let event =
        Event::Order(OrderEvent::Priced { order: id(Kind::Order, "o"), stay: stay(), departure: departure(), quote, expires_at: AT, inside: None });
    let cause = Cause { inbox: Inbox::Session, sequence: 9, event: "k".into(), time: AT, index: 0 };
    let recorded = Recorded { at: AT.plus(1), cause, event };
    check("order.priced.in_full", &recorded, |content_type, bytes| decode_recorded(Journal::Order, Some(content_type), bytes));
}

#[test]
fn what_devices_and_channels_say_reads_and_writes_its_golden_bytes() {
    for kind in [GateKind::Entry, GateKind::Exit] {
        let credential = Credential::plate("粤B12345", Colour::Blue);
        let event = GateEvent {
            id: name("e1"),
            lot: name("lot-1"),
            lane: name("in"),
            kind,
            seen_at: AT,
            credential,
            class: None,
            energy: None,
            confidence: None,
            decided: None,
        };
        check(&format!("gate.{}", kind.as_str()), &event, |content_type, bytes| decode(Some(content_type), bytes));
    }
    let described = GateEvent {
        id: name("e1"),
        lot: name("lot-1"),
        lane: name("in"),
        kind: GateKind::Entry,
        seen_at: AT,
        credential: Credential::plate("粤BD12345", Colour::Green),
        class: Some(VehicleClass::Large),
        energy: Some(Energy::New),
        confidence: Some(97.try_into().expect("0 to 100")),
        decided: None,
    };
    let told = GateEvent { decided: Some(Verdict::Open), ..described.clone() };
    check("gate.entry.decided", &told, |content_type, bytes| decode(Some(content_type), bytes));
    check("gate.entry.described", &described, |content_type, bytes| decode(Some(content_type), bytes));
    let succeeded = ChannelFact::Succeeded { attempt: id::attempt(bill().order, 1), transaction: "4200001".into(), amount: FEE };
    let answered = ChannelFact::RefundAnswered { refund: id(Kind::Refund, "r"), order: bill().order, succeeded: true, tries: 1, standing: None };
    let accepted = ChannelFact::Accepted { attempt: id::attempt(bill().order, 1), transaction: "4200001".into(), amount: FEE };
    let failed = ChannelFact::Failed { attempt: id::attempt(bill().order, 1), transaction: "4200001".into(), amount: FEE };
    let attempt = id::attempt(bill().order, 1);
    let parked = ChannelFact::Parked { session: stay().session, lot: stay().lot, parking: Some("5K8264ILTKCH16CQ250".into()) };
    let called = ChannelFact::CallAnswered { attempt, act: Act::Open, tries: 1, outcome: Outcome::Opened, code: Some("weixin://x".into()) };
    for fact in [succeeded, answered, accepted, failed, called, parked] {
        let event = ChannelEvent { channel: "wechat".into(), happened_at: AT, fact };
        check(&format!("channel.{}", event.kind()), &event, |content_type, bytes| decode(Some(content_type), bytes));
    }
}

#[test]
fn every_fact_reads_and_writes_its_golden_bytes() {
    let (until, lot) = (AT.plus(86_400_000_000), name("lot-1"));
    let bands = vec![TimeBand { days: Weekdays::WORKDAYS, from_min: 22 * 60, to_min: 6 * 60 }];
    let right = AssignedRight {
        scope: Scope::Groups(vec![name("centre")]),
        bands,
        from: AT,
        until,
        cars_max: 2,
        holders: vec![stay().credential, Credential::plate("粤BD12345", Colour::Green)],
    };
    let presence = Presence { session: stay().session, lot, credential: stay().credential, since: AT, right: Some(name("pass-7")) };
    for what in [
        What::Right(right),
        What::Ban(Ban { scope: Scope::Operator(name("city")), from: AT, until: None, reason: "fraud".into() }),
        What::Arrear(Arrear { order: bill().order, operator: name("city"), lot, amount: FEE }),
        What::Presence(presence),
        What::Reservation(Reservation { lot, from: AT, until }),
        What::Coupons(CouponsUsed { session: stay().session, operator: name("city"), day: Day(261_123), uses: 2 }),
        What::Removed(crate::fact::Kind::Bans),
    ] {
        let file = format!("fact.{}", if let What::Removed(_) = what { "removed" } else { what.kind().as_str() });
        check(&file, &Part { id: name("pass-7"), at: AT, what }, |content_type, bytes| decode(Some(content_type), bytes));
    }
}

#[test]
fn what_goes_out_reads_and_writes_its_golden_bytes() {
    let command = LaneCommand {
        id: id(Kind::Command, "c"),
        lot: name("lot-1"),
        lane: name("out"),
        answers: Some(name("e2")),
        verdict: Verdict::Ask,
        reason: "pay".into(),
        due: Some(FEE),
        order: Some(bill().order),
        expires_at: AT,
    };
    check("effect.lane", &command, |content_type, bytes| decode(Some(content_type), bytes));
    let call = RefundCall {
        refund: id(Kind::Refund, "r"),
        order: bill().order,
        channel: "etc".into(),
        transaction: "2".into(),
        amount: FEE,
        tries: 1,
        captured: None,
        asks: false,
    };
    check("effect.refund", &call, |content_type, bytes| decode(Some(content_type), bytes));
    let call = ChannelCall {
        attempt: id::attempt(bill().order, 1),
        channel: "wechat".into(),
        act: Act::Open,
        amount: FEE,
        until: AT,
        tries: 1,
        lot: Some(name("lot-1")),
        deducts: None,
        by_plate: false,
    };
    check("effect.call", &call, |content_type, bytes| decode(Some(content_type), bytes));
    let Stay { session, credential, entered_at, lot, .. } = stay();
    let deducted = Deducted { parking: "5K8264ILTKCH16CQ250".into(), session, plate: credential.clone(), entered_at, left_at: AT };
    let call = ChannelCall { deducts: Some(Box::new(deducted)), ..call };
    check("effect.call_deducts", &call, |content_type, bytes| decode(Some(content_type), bytes));
    let (plate, colour) = (credential.text, credential.colour.expect("a plate has a colour"));
    let notice = EntryNotice { channel: "wechat".into(), session, plate, colour, entered_at, lot, free_min: 15 };
    check("effect.notice", &notice, |content_type, bytes| decode(Some(content_type), bytes));
}

#[test]
fn a_field_of_a_later_release_is_carried_past() {
    let text = r#"{"id":"e1","lot":"l","lane":"in","kind":"entry","seen_at":1,"credential":{"kind":"tag","text":"T1","issuer":"x"},"tyres":4}"#;
    let event: GateEvent = decode(None, text.as_bytes()).expect("an unknown field is no error");
    assert_eq!(event.credential.text.as_ref(), "T1");
}

#[test]
fn an_unknown_version_is_named() {
    for bytes in [br#"{"v":2,"id":"e1"}"#.to_vec(), rmp_serde::to_vec_named(&serde_json::json!({"v": 2, "id": "e1"})).expect("a map")] {
        assert_eq!(decode::<GateEvent>(None, &bytes), Err(Error::UnknownVersion(2)));
    }
}

#[test]
fn malformed_bytes_are_refused_with_a_reason() {
    for (content_type, bytes) in [
        (None, &b""[..]),
        (None, b"{"),
        (None, b"\xc1\xff\x00"),
        (None, b"{}"),
        (None, br#"{"id":"e1","lot":"a.b","lane":"in","kind":"entry","seen_at":1,"credential":{"kind":"tag","text":"T1"}}"#),
        (None, br#"{"id":"e1","lot":"l","lane":"in","kind":"entry","seen_at":"now","credential":{"kind":"tag","text":"T1"}}"#),
        (None, br#"{"id":"e1","lot":"l","lane":"in","kind":"entry","seen_at":1,"credential":{"kind":"tag","text":"T1"},"confidence":101}"#),
        (Some("text/xml"), b"<a/>"),
        (Some("application/json"), b"\x81"),
    ] {
        assert!(matches!(decode::<GateEvent>(content_type, bytes), Err(Error::Malformed(_))), "{bytes:?}");
    }
}
