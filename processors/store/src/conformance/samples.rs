//! Rows to save: at least one of every table, with every optional part there and not there.

use crate::Row;
use schema::{
    ChannelEvent, ChannelFact, Credential, Currency, Day, Effect, Entity, Id, Journal, Key, LaneCommand, LotId, Moment, Money, Partition, RefundCall,
    Table, Verdict,
    desk::{Said, Tender},
    entity::{Answer, Attempt, Choice, Fate, Left, Lot, Order, Payment, Posting, Receipt, Refund, Session, Settling, Shift, Stage, Waiting, Window},
    exception::{Closing, DifferenceSum, Exception, Happened, Listed, Piece, PieceAt, Stays, Term},
    fact::{Reservation, Stated, What},
    gate::Colour,
    id::{self, Kind, Place, Province},
    journal::{AttemptState, Deduction, Departure, LineKind, Quote, QuoteLine, RefundReason, RefundState, Source, Stay},
    ledger::{Account, DayFees, Discounts, Entry, FeesAt, Figures, Movement, Span, Statement, Tally, WindowAt},
    payout::{DayPaid, PaidOut, Payout},
    statement::{Age, BookedPayment, Difference, Standing, StatementLine},
};
use std::collections::BTreeMap;

/// The day of the samples.
pub(crate) const DAY: Day = Day(261_123);

const FEN: Money = Money::new(1_205, Currency::Cny);

/// A try to be paid.
fn attempted(order: Id, at: i64) -> Attempt {
    let (attempt, state) = (id::attempt(order, 1), AttemptState::Open);
    let (channel, code, until) = ("wechat".into(), Some("weixin://wxpay/bizpayurl?pr=x".into()), Moment(at));
    Attempt { attempt, choice: 1, channel, amount: FEN, until, state, tries: 2, code, due_at: Some(until), deducts: None }
}

/// One row of every table, and more, in some place.
pub(crate) fn samples() -> Vec<Row> {
    at_place(Province(44), Partition(7), 1)
}

fn token<const N: usize>(text: &str) -> schema::Token<N> {
    text.parse().expect("a literal that is a token")
}

fn stay(province: Province, name: &str) -> Stay {
    Stay {
        session: token(name),
        lot: token("lot-1"),
        province,
        credential: Credential::plate("粤B12345", Colour::Green),
        lane: token("in-1"),
        entered_at: Moment(1_795_451_400_000_000),
        class: schema::VehicleClass::Large,
        energy: schema::Energy::New,
        sharers: vec![],
    }
}

fn stated() -> Stated {
    let (from, until) = (Moment(1_795_392_000_000_000), Moment(1_798_070_400_000_000));
    Stated {
        lot: token("lot-1"),
        part: token("reservation-1"),
        what: What::Reservation(Reservation { lot: token("lot-1"), from, until }),
        of: vec![Credential::plate("粤B12345", Colour::Blue), Credential::plate("粤B99999", Colour::Yellow)],
        author: token("lin"),
        reason: "a guest".into(),
        said_at: from,
    }
}

fn departure() -> Departure {
    Departure { lane: token("out-1"), left_at: Moment(1_795_455_000_000_000), event: token("device-event-1"), local: false, deducts: None }
}

fn source(transaction: &str) -> Source {
    Source { channel: "wechat".into(), transaction: transaction.into() }
}

fn left(session: &str, again: bool) -> Left {
    let (credential, session, again) = (Credential::plate("粤B12345", Colour::Blue), token(session), again.then(departure));
    Left { credential, session, left_at: Moment(1), until: Moment(2), kept: Moment(3), again }
}

/// A session's row under the name as its id; closed sessions have everything, open ones nothing yet.
pub(crate) fn session(province: Province, bucket: Partition, name: &str, at: i64, open: bool) -> Row {
    let session = Session {
        stay: stay(province, name),
        stage: if open { Stage::Open } else { Stage::Closed },
        departure: (!open).then(departure),
        sequence: u32::try_from(at % 1_000).unwrap_or_default(),
        order: (!open).then(|| token("order-1")),
        paid: (!open).then_some(FEN),
        superseded_by: None,
        flagged: !open,
        right: None,
        gone: false,
        owes: None,
        asked: None,
        prepaid: Vec::new(),
        validations: Vec::new(),
        lost: false,
        passes_by: None,
        corrected: None,
        deducts: (!open).then(|| Box::new(Deduction { channel: "wechat".into(), parking: "P1".into() })),
        coupons: (!open).then_some((DAY, 2)),
    };
    let key = Key { table: Table::Sessions, province, day: DAY, bucket, id: token(name) };
    Row { key, at: Moment(at), entity: Entity::Session(Box::new(session)) }
}

fn refunding(refund: Id) -> Refund {
    let (reason, state, due_at) = (RefundReason::Duplicate, RefundState::Accepted, Some(Moment(9)));
    Refund { refund, amount: FEN, reason, state, tries: 1, due_at, done_at: None, alone: false }
}

fn quote(total: i64) -> Quote {
    let line = QuoteLine::new(LineKind::Cap, (0, 600), 3, 500, -295);
    let lines = vec![QuoteLine { what: LineKind::Step, amount: total + 295, ..line.clone() }, line];
    Quote { rate_table: "centre".into(), version: 3, minutes: 61, lines, total: Money::new(total, Currency::Cny) }
}

fn fees(province: Province, partition: Partition) -> DayFees {
    let fees = FeesAt { province, partition, channel: "wechat".into(), day: DAY, currency: Currency::Cny };
    DayFees { fees, booked: 18, told: BTreeMap::from([("1900000001".into(), 17), ("1900000002".into(), 3)]) }
}

fn discounts(session: Id) -> Discounts {
    Discounts { session, asked_at: Moment(7), borne: BTreeMap::from([("cinema".into(), 200), ("city".into(), 1)]) }
}

fn tally() -> Tally {
    Tally { rows: 3, payments: 2, refunds: 1, refunded: 5, sums: BTreeMap::from([("channel_receivable".to_owned(), (i64::MAX, i64::MIN))]) }
}

/// A settlement window; it is open until a moment, or not.
fn settling(province: Province, closes_at: Option<Moment>) -> Settling {
    Settling {
        operator: closes_at.map(|_| token("city")),
        lot: closes_at.map(|_| token("lot-1")),
        province,
        channel: "wechat".into(),
        currency: Currency::Cny,
        day: DAY,
        from: Moment(0),
        until: Moment(9),
        tally: if closes_at.is_some() { tally() } else { Tally::default() },
        hash: "ab".into(),
        newest: Moment(8),
        statements: 2,
        last: closes_at.map(|_| token("statement-2")),
        closed_at: closes_at,
        closes_at,
        stopped: closes_at.map(|_| "a row is not there".into()),
    }
}

fn statement(province: Province, partition: Partition, number: u32) -> Statement {
    let (lot, channel, currency, from) = ((number == 0).then(|| token("lot-1")), "wechat".into(), Currency::Cny, Moment(0));
    let window = WindowAt { province, partition, day: DAY, lot, channel, currency, from };
    let discounts = BTreeMap::from([("cinema".to_owned(), 200), ("city".to_owned(), 1)]);
    Statement {
        statement: window.statement(number),
        operator: lot.map(|_| token("city")),
        lot,
        province,
        channel: window.channel.clone(),
        currency,
        day: DAY,
        from,
        until: Moment(9),
        number,
        adjusts: number.checked_sub(1).map(|before| window.statement(before)),
        tally: tally(),
        figures: Figures { gross: 9, discounts, points: 1, refunded: 5, fees: 2, short: 3, found: 0, net: -4 },
        hash: "ab".into(),
    }
}

fn chosen(at: i64) -> Choice {
    Choice { number: 1, tenders: vec![Tender { channel: "wechat".into(), amount: FEN }], until: Moment(at), deducts: None }
}

fn shift(name: &str, is_over: bool) -> (Table, String, Entity) {
    let said = Said { author: token("zhou"), reason: "the early shift".into(), at: Moment(1) };
    let (counted, closed) = (is_over.then_some(FEN), is_over.then(|| said.clone()));
    let shift = Shift { name: token(name), lot: token("lot-1"), float: FEN, taken: -5, times: 3, opened: said, counted, closed };
    (Table::Shifts, name.to_owned(), Entity::Shift(Box::new(shift)))
}

/// A ledger row; without a lot it is one of the first releases, of a drawer.
fn posting(name: &str, order: Id, lot: Option<LotId>, at: i64) -> (Table, String, Entity) {
    let entries =
        vec![Entry { of: Some("cinema".into()), ..Entry::debit(Account::DiscountsMerchant, 1_205) }, Entry::credit(Account::ParkingRevenue, 1_205)];
    let (operator, moved, movement) = (lot.map(|_| token("city")), lot.map(|_| Moment(at)), lot.map(|_| Movement::Paid));
    let (order, span) = (lot.map(|_| order), lot.map(|_| Span { from: Moment(0), until: Moment(9), closes_at: Moment(10) }));
    let (channel, currency) = ("alipay".into(), Currency::Jpy);
    let posting = Posting { posting: token(name), order, lot, day: DAY, channel, currency, entries, operator, at: moved, movement, span };
    (Table::Ledger, name.to_owned(), Entity::Posting(Box::new(posting)))
}

fn piece_at(province: Province, partition: Partition) -> PieceAt {
    PieceAt { channel: "wechat".into(), merchant: "1900000109".into(), day: DAY, province, partition }
}

fn piece(province: Province, partition: Partition) -> Piece {
    let sum = |difference, count, ours, theirs| DifferenceSum { difference, count, ours, theirs };
    let sums = vec![sum(Difference::Matched, 7, 700, 700), sum(Difference::Surplus, 1, 0, 1_205), sum(Difference::RefundDiffers, 2, -5, 0)];
    let left_and_unpaid = Listed { count: 2, first: vec![token("session-1")] };
    let stays = Some(Box::new(Stays { left_and_unpaid, ..Stays::default() }));
    Piece { piece: piece_at(province, partition), term: Term::After, sums, stays, hash: "0f".repeat(32).into() }
}

/// One that is open has nothing yet; one that is closed has everything.
fn exception(name: &str, closed: Option<Closing>, (province, partition): (Province, Partition)) -> (Table, String, Entity) {
    let said = Said { author: token("zhou"), reason: "a test payment".into(), at: Moment(1) };
    let (kind, standing, happened_at, amount) = (schema::statement::LineKind::Trade, Standing::Done, Moment(1), FEN);
    let (transaction, number, refund) = ("4200001".into(), "O44…".into(), "".into());
    let line = StatementLine { line: 7, kind, standing, transaction, number, refund, amount, fee_milli: 7_230, happened_at };
    let (order, attempt, transaction, refund) = ("order-1".into(), "".into(), "4200001".into(), "".into());
    let payment = BookedPayment { line: 0, kind, standing: Standing::Pending, order, attempt, transaction, refund, amount, happened_at };
    let exception = Exception {
        exception: token(name),
        piece: piece_at(province, partition),
        difference: if closed.is_some() { Difference::StatusDiffers } else { Difference::Surplus },
        line: Some(Box::new(line)),
        payment: closed.map(|_| Box::new(payment)),
        age: if closed.is_some() { Age::Older } else { Age::T1 },
        owner: closed.map(|_| token("lin")),
        wanted: closed.is_none().then(|| Box::new((token("said-1"), said.clone()))),
        history: closed.map(|closed| Happened { at: Moment(2), what: closed.as_str().into(), by: Some(said) }).into_iter().collect(),
        asked: 3,
        closed,
    };
    (Table::Exceptions, name.to_owned(), Entity::Exception(Box::new(exception)))
}

/// One that is of an operator has a day more, and something else was told of its reference.
fn payout(name: &str, operator: bool, (province, partition): (Province, Partition)) -> (Table, String, Entity) {
    let days = [(Day(261_122), 1_000), (DAY, 205)].map(|(day, minor)| DayPaid { day, minor });
    let days: Vec<DayPaid> = if operator { days.to_vec() } else { vec![DayPaid { day: DAY, minor: FEN.minor }] };
    let (operator, author) = (operator.then(|| token("city")), token("lin"));
    let paid = PaidOut { reference: "B-77".into(), operator, days, amount: FEN, booked_at: Moment(9), author };
    let refused = operator.map(|_| PaidOut { amount: Money::new(7, Currency::Cny), ..paid.clone() }).into_iter().collect();
    (Table::Payouts, name.to_owned(), Entity::Payout(Box::new(Payout { at: piece_at(province, partition), paid, refused })))
}

fn repaired(order: Id) -> ChannelEvent {
    let fact = ChannelFact::Succeeded { attempt: id::attempt(order, 1), transaction: "4200001".into(), amount: FEN };
    ChannelEvent { channel: "wechat".into(), happened_at: Moment(1), fact }
}

/// One row of every table, and more.
#[expect(clippy::too_many_lines, reason = "one sample of each table")]
pub(crate) fn at_place(province: Province, partition: Partition, at: i64) -> Vec<Row> {
    let place = Place { province, day: DAY, partition };
    let lot: LotId = token("lot-1");
    let order = id::derive(Kind::Order, place, &["session", "1"]);
    let refund = id::derive(Kind::Refund, place, &["refund"]);
    let waiting = |name: &str, released_by| {
        let waiting = Waiting {
            waiting: token(name),
            lot,
            province,
            credential: Credential::plate("粤B12345", Colour::Blue),
            departure: departure(),
            released_by,
        };
        (Table::Waiting, name.to_owned(), Entity::Waiting(Box::new(waiting)))
    };
    let bill = |name: &str, quote: Option<Quote>, paid: Option<(Money, Source)>| {
        let bill = Order { quote, paid, ..Order::of(token(name), stay(province, "session-1"), departure(), None) };
        (Table::Orders, name.to_owned(), Entity::Order(Box::new(bill)))
    };
    let payment = |name: &str, fates: Vec<Fate>| {
        let receipt = |(n, fate)| {
            let source = source(&format!("4200{n}"));
            let (refunds, provisional) = (Vec::from_iter((fate == Fate::Surplus).then(|| refunding(refund))), fate == Fate::Reversed);
            (
                Payment::receipt_key(&source),
                Receipt { source, amount: FEN, came_at: Moment(at), fate, paid_at: None, provisional, choice: None, refunds },
            )
        };
        let is_chosen = !fates.is_empty();
        let payment = Payment {
            order: token(name),
            lot: (!fates.is_empty()).then_some(lot),
            day: DAY,
            due: (!fates.is_empty()).then_some(FEN),
            receipts: fates.into_iter().enumerate().map(receipt).collect(),
            withdrawn: false,
            imported: is_chosen.then(|| "20261123-7".into()),
            wanted: BTreeMap::new(),
            choice: is_chosen.then(|| Box::new(chosen(at))),
            attempts: is_chosen.then(|| (1, attempted(order, at))).into_iter().collect(),
            discounts: is_chosen.then(|| Box::new(discounts(order))),
        };
        (Table::Payments, name.to_owned(), Entity::Payment(Box::new(payment)))
    };
    let command = LaneCommand {
        id: id::derive(Kind::Command, place, &["command"]),
        lot,
        lane: token("out-1"),
        answers: Some(token("device-event-1")),
        verdict: Verdict::Ask,
        reason: "pay \"first\", 请付款".into(),
        due: Some(FEN),
        order: Some(order),
        expires_at: Moment(i64::MAX),
    };
    let call =
        RefundCall { refund, order, channel: "wechat".into(), transaction: "42000".into(), amount: FEN, tries: 2, captured: None, asks: false };
    let answers = Journal::ALL.map(|journal| {
        let effects = match journal {
            Journal::Session => vec![Effect::Lane(command.clone())],
            Journal::Order => vec![Effect::Lane(LaneCommand { answers: None, due: None, order: None, ..command.clone() })],
            Journal::Payment => vec![Effect::Refund(call.clone())],
            Journal::Ledger => vec![],
            Journal::Recon => vec![Effect::Channel(repaired(order))],
        };
        (Table::answers(journal), "GATE-0123456789".to_owned(), Entity::Answer(Answer { time: Moment(at), events: 2, effects }))
    });
    let sums = BTreeMap::from([("CNY/parking_revenue".to_owned(), (0, 1_205)), ("JPY/channel_receivable".to_owned(), (i64::MAX, i64::MIN))]);
    let entities = [
        (
            Table::Lots,
            "lot-1".to_owned(),
            Entity::Lot(Box::new(Lot {
                lot,
                occupied: -1,
                reservations: BTreeMap::from([(token("reservation-1"), (Moment(1), Moment(2)))]),
                left: vec![left("session-1", false), left("session-2", true)],
            })),
        ),
        waiting("waiting-1", None),
        waiting("waiting-2", Some(token("session-1"))),
        (Table::Facts, "fact-1".to_owned(), Entity::Stated(Box::new(stated()))),
        bill("order-1", None, None),
        bill("order-2", Some(quote(1_205)), None),
        bill("order-3", Some(quote(0)), None),
        bill("order-4", Some(quote(1_205)), Some((FEN, source("42000")))),
        payment("order-1", vec![]),
        payment("order-2", vec![Fate::Applied, Fate::Held, Fate::Surplus, Fate::Reversed]),
        payment("order-3", vec![Fate::Applied]),
        shift("early", true),
        shift("late", false),
        posting("posting-1", order, Some(lot), at),
        posting("posting-2", order, None, at),
        (Table::Windows, "lot-1".to_owned(), Entity::Window(Window { postings: u64::MAX, sums })),
        (Table::Windows, "window-1".to_owned(), Entity::Settling(Box::new(settling(province, None)))),
        (Table::Windows, "window-2".to_owned(), Entity::Settling(Box::new(settling(province, Some(Moment(at)))))),
        (Table::Statements, "statement-1".to_owned(), Entity::Statement(Box::new(statement(province, partition, 0)))),
        (Table::Statements, "statement-2".to_owned(), Entity::Statement(Box::new(statement(province, partition, 1)))),
        (Table::Discounts, "session-1".to_owned(), Entity::Discounted(Box::new(discounts(order)))),
        (Table::Fees, "fees-1".to_owned(), Entity::Fees(Box::new(fees(province, partition)))),
        (Table::Pieces, "piece-1".to_owned(), Entity::Piece(Box::new(piece(province, partition)))),
        exception("exception-1", None, (province, partition)),
        exception("exception-2", Some(Closing::WrittenOff), (province, partition)),
        payout("payout-1", false, (province, partition)),
        payout("payout-2", true, (province, partition)),
    ];
    let rows = entities.into_iter().chain(answers).map(|(table, name, entity)| {
        let key = Key { table, province, day: DAY, bucket: partition, id: token(&name) };
        Row { key, at: Moment(at), entity }
    });
    [session(province, partition, "session-1", at, true), session(province, partition, "session-2", at, false)].into_iter().chain(rows).collect()
}
