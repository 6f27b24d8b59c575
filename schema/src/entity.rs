//! Entities: what is folded from a journal, kept in memory while it is open and saved as a row.

use crate::{
    Credential, Effect, EventId, Id, LotId, Moment, Money, Partition, Token,
    desk::{Said, ShiftName, Tender},
    effect::Deducted,
    exception::{Exception, Piece},
    fact::{OperatorId, PartId, Stated},
    id::{self, Province},
    journal::{AttemptState, Deduction, Departure, Journal, Question, Quote, RefundReason, RefundState, RightUsed, Source, Stay, Terms},
    ledger::{DayFees, Discounts, Entry, Movement, Span, Statement, Tally},
    money::Currency,
    payout::Payout,
    rate::{Prepaid, Validation},
    time::{DAY, Day, MINUTE},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{collections::BTreeMap, sync::Arc};

/// The tables of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Lots with their occupied spaces.
    Lots,
    /// Stays.
    Sessions,
    /// Exits that wait for their entry.
    Waiting,
    /// What was stated of vehicles.
    Facts,
    /// Bills.
    Orders,
    /// Money per order.
    Payments,
    /// Shifts of cashiers.
    Shifts,
    /// Ledger rows.
    Ledger,
    /// Settlement windows.
    Windows,
    /// Statements of settlement windows, and their adjustments.
    Statements,
    /// What was taken off stays, as it is in the books.
    Discounts,
    /// What channels keep for themselves of a day.
    Fees,
    /// Parts of channels' statements that were compared.
    Pieces,
    /// What does not match.
    Exceptions,
    /// What channels have paid out to the bank.
    Payouts,
    /// Answers of `entry`.
    SessionAnswers,
    /// Answers of `pricing`.
    OrderAnswers,
    /// Answers of `payment`.
    PaymentAnswers,
    /// Answers of `settlement`.
    LedgerAnswers,
    /// Answers of `reconciliation`.
    ReconAnswers,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Lots,
        Self::Sessions,
        Self::Waiting,
        Self::Facts,
        Self::Orders,
        Self::Payments,
        Self::Shifts,
        Self::Ledger,
        Self::Windows,
        Self::Statements,
        Self::Discounts,
        Self::Fees,
        Self::Pieces,
        Self::Exceptions,
        Self::Payouts,
        Self::SessionAnswers,
        Self::OrderAnswers,
        Self::PaymentAnswers,
        Self::LedgerAnswers,
        Self::ReconAnswers,
    ];

    /// Its name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lots => "lots",
            Self::Sessions => "sessions",
            Self::Waiting => "waiting",
            Self::Facts => "facts",
            Self::Orders => "orders",
            Self::Payments => "payments",
            Self::Shifts => "shifts",
            Self::Ledger => "ledger",
            Self::Windows => "windows",
            Self::Statements => "statements",
            Self::Discounts => "discounts",
            Self::Fees => "fees",
            Self::Pieces => "pieces",
            Self::Exceptions => "exceptions",
            Self::Payouts => "payouts",
            Self::SessionAnswers => "session_answers",
            Self::OrderAnswers => "order_answers",
            Self::PaymentAnswers => "payment_answers",
            Self::LedgerAnswers => "ledger_answers",
            Self::ReconAnswers => "recon_answers",
        }
    }

    /// The journal whose fold its rows are.
    pub const fn journal(self) -> Journal {
        match self {
            Self::Lots | Self::Sessions | Self::Waiting | Self::Facts | Self::SessionAnswers => Journal::Session,
            Self::Orders | Self::OrderAnswers => Journal::Order,
            Self::Payments | Self::Shifts | Self::PaymentAnswers => Journal::Payment,
            Self::Ledger | Self::Windows | Self::Statements | Self::Discounts | Self::Fees | Self::LedgerAnswers => Journal::Ledger,
            Self::Pieces | Self::Exceptions | Self::Payouts | Self::ReconAnswers => Journal::Recon,
        }
    }

    /// The table of the answers of a journal's processor.
    pub const fn answers(journal: Journal) -> Self {
        match journal {
            Journal::Session => Self::SessionAnswers,
            Journal::Order => Self::OrderAnswers,
            Journal::Payment => Self::PaymentAnswers,
            Journal::Ledger => Self::LedgerAnswers,
            Journal::Recon => Self::ReconAnswers,
        }
    }
}

/// The key of a row: a table, its partition (province, day, bucket) and the id within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The table.
    pub table: Table,
    /// The province; 0 where the key must follow from the input alone.
    pub province: Province,
    /// The day under which the row lies; 0 where it has none.
    pub day: Day,
    /// The partition of the lot.
    pub bucket: Partition,
    /// The id: of a session, order …, of a lot, or an answer's key.
    pub id: Token<32>,
}

impl Key {
    /// The key of the row that an id of ours names; none where the id is not one.
    pub fn of(table: Table, id: Id) -> Option<Self> {
        let place = id::place(id.as_str())?;
        Some(Self { table, province: place.province, day: place.day, bucket: place.partition, id })
    }

    /// The key of a lot's row.
    pub fn lot(province: Province, lot: LotId) -> Self {
        Self { table: Table::Lots, province, day: Day(0), bucket: Partition::of_lot(lot.as_str()), id: lot }
    }

    /// The key of what was stated at a lot's desk under a part's id.
    pub fn fact(province: Province, lot: LotId, part: &PartId) -> Self {
        let id = id::digest(&["fact", part.as_str()], 20).parse().expect("20 letters and digits are a token");
        Self { table: Table::Facts, id, ..Self::lot(province, lot) }
    }

    /// The key of a cashier's shift: its name is unique at its lot.
    pub fn shift(lot: LotId, name: &ShiftName) -> Self {
        let id = id::digest(&["shift", lot.as_str(), name.as_str()], 20).parse().expect("20 letters and digits are a token");
        Self { table: Table::Shifts, id, ..Self::lot(Province(0), lot) }
    }

    /// The key of what a lot's day sums up to, in the first releases; see [`crate::ledger::WindowAt::key`].
    pub fn window(province: Province, lot: LotId, day: Day) -> Self {
        Self { table: Table::Windows, day, ..Self::lot(province, lot) }
    }

    /// The key of an answer: it follows from the input alone.
    ///
    /// `inbox` is the stream's name and `event` the input's key there, together of at most 27 characters, `time` the input's own time. Its hour and
    /// minute stand first, so that the answers of a moment lie together in a table.
    pub fn answer(journal: Journal, bucket: Partition, inbox: &str, event: &str, time: Moment) -> Self {
        let minute = time.0.rem_euclid(DAY).div_euclid(MINUTE);
        let (hour, minute) = (minute.div_euclid(60), minute.rem_euclid(60));
        let id = format!("{hour:02}{minute:02}{inbox}-{event}").parse().expect("4 digits, a stream's name and its key are a token");
        Self { table: Table::answers(journal), province: Province(0), day: time.utc_day(), bucket, id }
    }
}

/// By what an open entity is found when its id is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handle {
    /// The session of a car that is inside a lot.
    Inside(LotId, Credential),
    /// The exit of a car that waits for its entry.
    Waiting(LotId, Credential),
}

/// What is known of one thing. The large ones are boxed: most that lie in memory are answers, and an entity is as large as its largest variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entity", rename_all = "snake_case")]
pub enum Entity {
    /// A lot.
    Lot(Box<Lot>),
    /// A stay.
    Session(Box<Session>),
    /// An exit that waits, or waited.
    Waiting(Box<Waiting>),
    /// What was stated of vehicles.
    Stated(Box<Stated>),
    /// A bill.
    Order(Box<Order>),
    /// The money of an order.
    Payment(Box<Payment>),
    /// A cashier's shift.
    Shift(Box<Shift>),
    /// A ledger row.
    Posting(Box<Posting>),
    /// What a lot's day sums up to, in the first releases.
    Window(Window),
    /// A settlement window.
    Settling(Box<Settling>),
    /// A statement.
    Statement(Box<Statement>),
    /// What was taken off a stay, as it is in the books.
    Discounted(Box<Discounts>),
    /// What a channel keeps for itself of a day.
    Fees(Box<DayFees>),
    /// A part of a statement that was compared.
    Piece(Box<Piece>),
    /// Something that does not match.
    Exception(Box<Exception>),
    /// What a channel has paid out.
    Payout(Box<Payout>),
    /// An answer.
    Answer(Answer),
}

impl Entity {
    /// Whether it can still change by itself or be found by a handle: such an entity never leaves memory.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Lot(_) => true,
            Self::Session(session) => session.stage != Stage::Closed,
            Self::Waiting(waiting) => waiting.released_by.is_none(),
            Self::Order(order) => order.is_open(),
            Self::Payment(payment) => payment.is_open(),
            Self::Shift(shift) => shift.closed.is_none(),
            Self::Settling(window) => window.closes_at.is_some(),
            // What was stated never changes by itself, and its key follows from whoever changes it.
            Self::Exception(exception) => exception.closed.is_none(),
            Self::Stated(_)
            | Self::Posting(_)
            | Self::Window(_)
            | Self::Statement(_)
            | Self::Discounted(_)
            | Self::Fees(_)
            | Self::Piece(_)
            | Self::Payout(_)
            | Self::Answer(_) => false,
        }
    }

    /// How long a saved and closed one stays in memory behind the partition's newest event, in microseconds; of answers see [`Answer::WINDOW`].
    pub const fn lingers(&self) -> i64 {
        match self {
            Self::Window(_) | Self::Settling(_) | Self::Fees(_) => Answer::WINDOW.saturating_add(Answer::AHEAD_MAX),
            _ => 0,
        }
    }

    /// The handle under which it is found while it is open.
    pub fn handle(&self) -> Option<Handle> {
        match self {
            Self::Session(session) if session.stage != Stage::Closed && !session.gone => {
                Some(Handle::Inside(session.stay.lot, session.stay.credential.clone()))
            }
            Self::Waiting(waiting) if waiting.released_by.is_none() => Some(Handle::Waiting(waiting.lot, waiting.credential.clone())),
            _ => None,
        }
    }

    /// When it wants a tick, if it does.
    pub fn due_at(&self) -> Option<Moment> {
        match self {
            Self::Payment(payment) => payment.due_at(),
            Self::Settling(window) => window.closes_at,
            Self::Exception(exception) => exception.due_at(),
            Self::Session(session) if session.stage == Stage::Open => session.passes_by,
            _ => None,
        }
    }
}

/// A lot: how many spaces are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// Its name.
    pub lot: LotId,
    /// Spaces held by open sessions.
    pub occupied: i64,
    /// Spaces held for cars that have not come: from when to when, by the reservation's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reservations: BTreeMap<PartId, (Moment, Moment)>,
    /// Cars that were let out a moment ago, where not every read of them counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Left>,
}

/// A car that was let out a moment ago: if it is read at an exit again, that is the same read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Who.
    pub credential: Credential,
    /// Its session.
    pub session: Id,
    /// When it stood at the exit.
    pub left_at: Moment,
    /// Until when it is the same read.
    pub until: Moment,
    /// The lot remembers it until something is recorded after this: such a read may be told of late.
    pub kept: Moment,
    /// The newest such read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Departure>,
}

impl Left {
    /// How late such a read may be told of.
    pub const KEPT: i64 = MINUTE;
    /// How long after such a read the entry may be told of that shows it to be the exit of another stay.
    pub const READ_KEPT: i64 = 60_i64.saturating_mul(MINUTE);
}

impl Lot {
    /// How many spaces are held at a moment for cars that have not come.
    pub fn reserved(&self, at: Moment) -> i64 {
        let held = self.reservations.values().filter(|(from, until)| *from <= at && at < *until);
        i64::try_from(held.count()).unwrap_or(i64::MAX)
    }
}

/// How far a stay has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The car is inside.
    Open,
    /// The car stands at an exit.
    Leaving,
    /// The car has left.
    Closed,
}

/// One stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Who, where, since when.
    pub stay: Stay,
    /// How far.
    pub stage: Stage,
    /// The exit, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departure: Option<Departure>,
    /// How often a price was asked for.
    pub sequence: u32,
    /// The order that was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Id>,
    /// What was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid: Option<Money>,
    /// The session of the same car that ended this one, where that came in again without having left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<Id>,
    /// Whether a person is to look at it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flagged: bool,
    /// The right that it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<RightUsed>,
    /// Whether the car has gone, settled or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// What it owes since, under which order, and whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owes: Option<(Id, Money, OperatorId)>,
    /// Where and when its newest price was asked for, unless that was paid; its number is `sequence`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Departure>,
    /// What was paid before the exit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepaid: Vec<Prepaid>,
    /// What merchants take off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<Validation>,
    /// Whether nobody knows when it came.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// Until when it crosses the lane, or its space is free again; none where it has, or need not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes_by: Option<Moment>,
    /// Who put it right after it was over, where somebody did, and the id of what was said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Box<(EventId, Said)>>,
    /// Who deducts its fee by the plate, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deducts: Option<Box<Deduction>>,
    /// On which local day it used coupons of which a vehicle may use so many, the newest one, and how many of them count on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupons: Option<(Day, u32)>,
}

impl Session {
    /// What its next price depends on, beside its times and its right.
    pub fn terms(&self) -> Option<Box<Terms>> {
        let before = self.asked.as_ref().map(|asked| (self.sequence, asked.left_at));
        let (paid, validations, corrected) = (self.prepaid.clone(), self.validations.clone(), self.corrected.clone());
        let terms = Terms { paid, validations, before, gone: self.gone, lost: self.lost, corrected };
        (terms != Terms::default()).then(|| Box::new(terms))
    }
}

/// An exit without a known entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its id.
    pub waiting: Id,
    /// The lot.
    pub lot: LotId,
    /// Its province.
    pub province: Province,
    /// Who.
    pub credential: Credential,
    /// The exit.
    pub departure: Departure,
    /// The session that its entry opened, once that came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_by: Option<Id>,
}

/// A bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub order: Id,
    /// The stay.
    pub stay: Stay,
    /// The exit.
    pub departure: Departure,
    /// The price; none where it could not be priced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    /// What paid it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid: Option<(Money, Source)>,
    /// The number of the question, where its car was inside still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<u32>,
    /// What it is to price, while it waits for the order before it to be withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Box<Question>>,
    /// The order before it, for which it waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Id>,
    /// The order that waits for this one to be withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<Id>,
    /// Whether it is over without having been settled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// Whether its car has gone while it waited.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// What of what paid it was found to be too much, in minor units.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overpaid: i64,
    /// What its car owes since it has gone, as long as it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Money>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
const fn is_zero(minor: &i64) -> bool {
    *minor == 0
}

impl Order {
    /// One of which nothing but its question is known.
    pub fn of(order: Id, stay: Stay, departure: Departure, inside: Option<u32>) -> Self {
        let (quote, paid, question, replaces, replaced_by) = (None, None, None, None, None);
        Self { order, stay, departure, quote, paid, inside, question, replaces, replaced_by, cancelled: false, gone: false, overpaid: 0, owed: None }
    }

    /// Whether money can still settle it.
    pub fn is_payable(&self) -> bool {
        self.paid.is_none() && !self.cancelled && self.quote.as_ref().is_some_and(|quote| !quote.total.is_zero())
    }

    /// Whether it waits for anything: money, the withdrawal of another one, or a person who finds its price.
    pub fn is_open(&self) -> bool {
        let waits = self.question.is_some() || self.quote.is_none() && self.inside.is_none();
        self.is_payable() || self.paid.is_none() && !self.cancelled && waits
    }
}

/// The money of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The order.
    pub order: Id,
    /// The lot, once the order is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<LotId>,
    /// The settlement window's day, once the order is known.
    pub day: Day,
    /// What is due, once the order is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Money>,
    /// The money that came, by `channel/transaction`.
    pub receipts: BTreeMap<String, Receipt>,
    /// Whether it takes no money any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// The number under which an older system asked its channel, where the order is one of its.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Arc<str>>,
    /// What persons want to go back, until another person agrees, by what they said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wanted: BTreeMap<EventId, RefundWish>,
    /// How it is to be paid, where somebody has chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Box<Choice>>,
    /// What was tried at channels, by the attempts' numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", serialize_with = "one_by_one", deserialize_with = "by_number")]
    pub attempts: BTreeMap<u16, Attempt>,
    /// What was taken off its price, where something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discounts: Option<Box<Discounts>>,
}

/// Attempts as they are written: a list, for a number is no key of JSON that an entity could be read back by.
fn one_by_one<S: Serializer>(attempts: &BTreeMap<u16, Attempt>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(attempts.values())
}

fn by_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u16, Attempt>, D::Error> {
    let attempts = Vec::<Attempt>::deserialize(deserializer)?;
    Ok(attempts.into_iter().map(|attempt| (id::attempt_number(attempt.attempt).unwrap_or_default(), attempt)).collect())
}

/// A refund that a person wants, and another one must agree to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundWish {
    /// The money.
    pub source: Source,
    /// How much of it.
    pub amount: Money,
    /// Who wants it.
    pub by: Said,
    /// What of other money, beside that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<(Source, Money)>,
}

/// How somebody chose to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Its number.
    pub number: u16,
    /// By what, in the order in which it is asked for.
    pub tenders: Vec<Tender>,
    /// Until when.
    pub until: Moment,
    /// The stay whose fee is deducted by the plate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deducts: Option<Box<Deducted>>,
}

/// One try to be paid at a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number at the channel (`out_trade_no`).
    pub attempt: Id,
    /// The choice that it belongs to.
    pub choice: u16,
    /// The channel.
    pub channel: Arc<str>,
    /// What it is to bring.
    pub amount: Money,
    /// Until when it can be paid.
    pub until: Moment,
    /// How it stands.
    pub state: AttemptState,
    /// How often what it waits for was asked for; once it is over, how often it was asked whether what it brought has settled.
    pub tries: u32,
    /// What the driver scans or follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Arc<str>>,
    /// When it is asked for, or about, again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Moment>,
    /// The stay whose fee is deducted by the plate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deducts: Option<Box<Deducted>>,
}

/// A cashier's shift: what should be in its drawer, and what was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// Its name.
    pub name: ShiftName,
    /// The lot.
    pub lot: LotId,
    /// What was in the drawer at its beginning.
    pub float: Money,
    /// What it took less what it gave back, in minor units.
    pub taken: i64,
    /// How often it took or gave something.
    pub times: u64,
    /// Who began it.
    pub opened: Said,
    /// The newest count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Money>,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Said>,
}

impl Shift {
    /// What should be in the drawer.
    pub fn expected(&self) -> Money {
        Money::new(self.float.minor.saturating_add(self.taken), self.float.currency)
    }
}

impl Payment {
    /// The key of a source among the receipts.
    pub fn receipt_key(source: &Source) -> String {
        format!("{}/{}", source.channel, source.transaction)
    }

    /// The money that pays the order: one receipt, or those of all means of one payment.
    pub fn payers(&self) -> impl Iterator<Item = &Receipt> {
        self.receipts.values().filter(|receipt| receipt.fate == Fate::Applied)
    }

    /// Whether it is paid.
    pub fn is_paid(&self) -> bool {
        self.payers().next().is_some()
    }

    /// When something of it is to be asked for, or about, again.
    pub fn due_at(&self) -> Option<Moment> {
        let lives = |attempt: &&Attempt| !attempt.state.is_over() || self.may_fail(attempt);
        let attempts = self.attempts.values().filter(lives).filter_map(|attempt| attempt.due_at);
        // What waits for the other parts of its payment goes back when their time is over.
        let waits = self.receipts.values().any(|receipt| receipt.fate == Fate::Held && receipt.choice.is_some());
        let choice = self.choice.as_ref().filter(|_| waits).map(|choice| choice.until);
        self.receipts.values().filter_map(Receipt::due_at).chain(attempts).chain(choice).min()
    }

    /// Whether an attempt is over and brought a fee, deducted by the plate, that is neither settled nor failed.
    pub fn may_fail(&self, attempt: &Attempt) -> bool {
        let waits = |receipt: &Receipt| receipt.source.channel == attempt.channel && receipt.provisional && receipt.fate != Fate::Reversed;
        attempt.state.is_over() && attempt.deducts.is_some() && self.receipts.values().any(waits)
    }

    /// The attempt of that number, if it was tried at that channel.
    pub fn attempt(&self, channel: &str, attempt: Id) -> Option<&Attempt> {
        self.attempts.values().find(|known| known.attempt == attempt && &*known.channel == channel)
    }

    /// Whether anything of it may still change by itself: it waits for its order, for money, for a person, or for a channel.
    pub fn is_open(&self) -> bool {
        if self.due.is_none() {
            // The order that comes does not ask for the row: what came before it is in memory, whatever became of it since.
            return self.imported.is_none();
        }
        let unpaid = !self.withdrawn && !self.is_paid();
        let tries = self.attempts.values().any(|attempt| !attempt.state.is_over());
        unpaid || tries || !self.wanted.is_empty() || self.receipts.values().any(Receipt::is_open)
    }
}

/// Money that a channel captured, or has accepted and may still refuse, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The money.
    pub source: Source,
    /// How much.
    pub amount: Money,
    /// When it was first recorded here: among equals the first durable one counts.
    pub came_at: Moment,
    /// What became of it.
    pub fate: Fate,
    /// When it was paid, by the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<Moment>,
    /// Whether it may still fail, or has failed: nothing of it is captured.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provisional: bool,
    /// The choice of which it is a part, where others belong to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<u16>,
    /// What is to go back of it, or has, in the order in which that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<Refund>,
}

impl Receipt {
    /// What the channel has captured, in minor units.
    pub const fn captured(&self) -> i64 {
        if self.provisional { 0 } else { self.amount.minor }
    }

    /// What of it is to go back or has gone.
    pub fn returning(&self) -> i64 {
        self.refunds.iter().fold(0, |sum, refund| sum.saturating_add(refund.amount.minor))
    }

    /// What of it has gone back.
    pub fn refunded(&self) -> i64 {
        let gone = self.refunds.iter().filter(|refund| refund.state == RefundState::Succeeded);
        gone.fold(0, |sum, refund| sum.saturating_add(refund.amount.minor))
    }

    /// What of it is captured and pays the order.
    pub fn applied(&self) -> i64 {
        if self.fate == Fate::Applied { self.captured().saturating_sub(self.returning()) } else { 0 }
    }

    /// What of it is captured, and not ours.
    pub fn owed(&self) -> i64 {
        self.captured().saturating_sub(self.applied()).saturating_sub(self.refunded())
    }

    /// Whether anything of it may still change by itself.
    pub fn is_open(&self) -> bool {
        let waits = self.provisional && self.fate != Fate::Reversed;
        waits || self.fate == Fate::Held || self.refunds.iter().any(|refund| refund.state != RefundState::Succeeded)
    }

    /// When one of its refunds is to be asked for, or about, again.
    pub fn due_at(&self) -> Option<Moment> {
        self.refunds.iter().filter_map(|refund| refund.due_at).min()
    }
}

/// Money that is to go back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Its id.
    pub refund: Id,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: RefundReason,
    /// How it stands.
    pub state: RefundState,
    /// How often it was asked for, or about.
    pub tries: u32,
    /// When it is asked for, or about, again; none once it has ended or waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Moment>,
    /// When the money went back: by its channel's own clock; else when that was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Moment>,
    /// Whether one person wanted it, and nobody approved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
}

/// What became of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Its order is not known yet.
    Held,
    /// It pays the order.
    Applied,
    /// It pays nothing and goes back.
    Surplus,
    /// It may still be captured, and does not count.
    PassedOver,
    /// It was never captured, and will not be.
    Reversed,
}

/// A ledger row: written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Its id.
    pub posting: Id,
    /// The order; none where it is about a drawer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Id>,
    /// The lot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<LotId>,
    /// The lot's local day of its moment.
    pub day: Day,
    /// The channel.
    pub channel: Arc<str>,
    /// The currency.
    pub currency: Currency,
    /// The sides.
    pub entries: Vec<Entry>,
    /// Whose lot it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorId>,
    /// When the money moved; none in rows of the first releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// What it is about; none in rows of the first releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub movement: Option<Movement>,
    /// Its settlement window; none in rows of the first releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
}

/// The sums of a lot's day in the first releases, by currency and account: (debits, credits) in minor units. It never closes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// How many postings.
    pub postings: u64,
    /// `Cny/ParkingRevenue` → (debits, credits).
    pub sums: BTreeMap<String, (i64, i64)>,
}

/// A settlement window: what was posted into it and is in no statement yet, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settling {
    /// Whose lot it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorId>,
    /// The lot; none for money whose order was not known when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<LotId>,
    /// Its province.
    pub province: Province,
    /// The channel.
    pub channel: Arc<str>,
    /// The currency of all its numbers.
    pub currency: Currency,
    /// The lot's local day in which it lies.
    pub day: Day,
    /// Its first moment.
    pub from: Moment,
    /// The moment at which it has ended.
    pub until: Moment,
    /// What its rows add up to that are in no statement yet.
    pub tally: Tally,
    /// The hash of its last row, which holds that of every row before it.
    pub hash: Arc<str>,
    /// When its last row was recorded.
    pub newest: Moment,
    /// How many statements it has, adjustments included.
    pub statements: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Id>,
    /// When that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Moment>,
    /// When it closes; none where all of its rows are in statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Moment>,
    /// What differed when it was to close, if something did: it does not until that is mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Arc<str>>,
}

/// What was answered to an input: enough to do its effects again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The input's own time.
    pub time: Moment,
    /// How many events it became.
    pub events: u16,
    /// What went out.
    pub effects: Vec<Effect>,
}

impl Answer {
    /// How long answers stay in memory, if there is room: an input younger than this is known without the store.
    pub const WINDOW: i64 = 10 * crate::time::MINUTE;
    /// How far an input's own time may be ahead of the broker's before it is not believed.
    pub const AHEAD_MAX: i64 = 5 * crate::time::MINUTE;
    /// How long answers stay in the store; an input older than this is refused as too late.
    pub const KEPT: i64 = 35_i64.saturating_mul(DAY);
}
