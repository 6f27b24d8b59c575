//! What workers say of a channel's day that they have compared with what we booked, and what RECON holds of it: pieces and exceptions.
//!
//! A day of a channel and merchant is compared in pieces, one for each province and partition, so that whatever a line and its payment are about has one home.
//! Nothing in a fact tells who said it or when, but which comparison it was: a piece whose worker died is compared again, by whomever, and says the same facts under
//! the same keys. Another comparison says what it finds under keys of its own, so that it is heard, even if an earlier one had found the same.
//!
//! Invariants
//! 1. What is found again is the same fact   (`tests::what_is_found_again_is_the_same_fact`).
//! 2. A line and its payment have one home   (`tests::a_line_and_its_payment_have_one_home`).
//! 3. Every partition has a desk at which its exceptions are spoken of   (`tests::every_partition_has_a_desk`).
//! 4. Of many stays all are counted and a few are told   (`tests::of_many_stays_all_are_counted_and_a_few_are_told`).
//!
//! Not here: what differs (`rules::reconcile`), what becomes of it (`rules::exceptions`), what channels pay out (`payout`).

use crate::{
    Effect, EventId, Id, Key, LotId, Moment, Money, Partition, Table, Token,
    desk::{AuthorId, Said},
    id::{self, Kind, Place, Province},
    money::Currency,
    payout::PaidOut,
    statement::{Age, BookedPayment, Difference, Standing, StatementLine},
    time::{DAY, Day, SECOND},
};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How far the clocks of channels are ahead of UTC, in microseconds: all of them count days in China.
const CHINA: i64 = 8_i64.saturating_mul(3_600).saturating_mul(SECOND);

/// When a day is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// T+1: its statement has come.
    Next,
    /// T+2: the statement of the day after has come, too, and with it what crossed midnight.
    After,
}

impl Term {
    /// Both, in their order.
    pub const ALL: [Self; 2] = [Self::Next, Self::After];

    /// Its word, a token of subjects and names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::After => "after",
        }
    }

    /// How finance calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Next => "T+1",
            Self::After => "T+2",
        }
    }
}

/// Of which part of which statement something is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceAt {
    /// The channel's name.
    pub channel: Arc<str>,
    /// Our number at the channel; empty where it has none for us.
    pub merchant: Arc<str>,
    /// The channel's day.
    pub day: Day,
    /// The province of its payments.
    pub province: Province,
    /// The partition of its payments.
    pub partition: Partition,
}

/// One thing that was found: the payload of `STATEMENT.<partition>.<channel>.<kind>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementEvent {
    /// Of which piece.
    pub piece: PieceAt,
    /// By which comparison: the key of its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Token<32>>,
    /// What.
    #[serde(flatten)]
    pub fact: StatementFact,
}

/// The kinds of finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StatementFact {
    /// The piece is compared, with this result.
    Matched {
        /// When.
        term: Term,
        /// What came of its lines and payments, in the order of [`Difference::ALL`]; what there is none of is left out.
        sums: Vec<DifferenceSum>,
        /// What the statement says that the channel keeps of its own day's lines; none where it does not tell of fees.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fees: Option<Money>,
        /// The stays that do not go with their money; none where all do. They change by themselves, so the hash does not tell of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stays: Option<Box<Stays>>,
        /// SHA-256 of its result, as 64 hexadecimal digits: the sums, the fees and every finding.
        hash: Arc<str>,
    },
    /// A line and a payment differ, or one has no other.
    Differs {
        /// How.
        difference: Difference,
        /// What the statement says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<Box<StatementLine>>,
        /// What we booked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payment: Option<Box<BookedPayment>>,
        /// How many of the piece are the same and stand before it.
        #[serde(default, skip_serializing_if = "is_default")]
        nth: u32,
    },
    /// An exception of the piece is found no more.
    Explained {
        /// The exception.
        exception: Id,
        /// By which comparison.
        term: Term,
    },
    /// The channel has paid out to the bank: told by a person and by no comparison. The piece is the payout's home.
    PaidOut {
        /// What came.
        paid: Box<PaidOut>,
    },
}

/// How many lines and payments of a piece compare so, and what they add to each side's total, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferenceSum {
    /// How they compare.
    pub difference: Difference,
    /// How many.
    pub count: u64,
    /// What we booked.
    pub ours: i64,
    /// What the channel says.
    pub theirs: i64,
}

/// Stays of a place that do not go with their money, as they were when they were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stays {
    /// Those that the channel's money of the day has paid, and whose car is inside still.
    pub paid_and_inside: Listed,
    /// Those whose car left that day and owes, by whatever channel it was to pay.
    pub left_and_unpaid: Listed,
}

/// How many stays there are, and the first of them by their sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// How many.
    pub count: u64,
    /// The first, in their order, at most [`Listed::FIRST_MAX`].
    pub first: Vec<Id>,
}

impl Listed {
    /// How many are told one by one.
    pub const FIRST_MAX: usize = 20;

    /// Of these sessions.
    pub fn of(sessions: impl IntoIterator<Item = Id>) -> Self {
        let mut listed = Self::default();
        sessions.into_iter().for_each(|session| listed.put(session));
        listed
    }

    fn put(&mut self, session: Id) {
        self.count = self.count.saturating_add(1);
        if self.first.len() < Self::FIRST_MAX {
            self.first.push(session);
        }
    }

    /// Takes those of another place in.
    pub fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        let room = Self::FIRST_MAX.saturating_sub(self.first.len());
        self.first.extend(other.first.iter().take(room));
    }
}

impl Stays {
    /// Whether every stay goes with its money.
    pub const fn is_none(&self) -> bool {
        self.paid_and_inside.count == 0 && self.left_and_unpaid.count == 0
    }

    /// Takes those of another place in.
    pub fn add(&mut self, other: &Self) {
        self.paid_and_inside.add(&other.paid_and_inside);
        self.left_and_unpaid.add(&other.left_and_unpaid);
    }

    /// Both lists, each by the word that reports and counters have.
    pub const fn lists(&self) -> [(&'static str, &Listed); 2] {
        [("paid_and_inside", &self.paid_and_inside), ("left_and_unpaid", &self.left_and_unpaid)]
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The first moment of a channel's day; none where there is no such day.
pub fn begins(day: Day) -> Option<Moment> {
    let part = |number: u32| i8::try_from(number % 100).ok();
    let year = i16::try_from(day.0.checked_div(10_000)?).ok()?.checked_add(2_000)?;
    let date = Date::new(year, part(day.0.checked_div(100)?)?, part(day.0)?).ok()?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond();
    midnight.checked_sub(CHINA).map(Moment)
}

/// How many days after a channel's day a moment is, by the channels' clocks.
pub fn days_after(day: Day, moment: Moment) -> i64 {
    begins(day).map_or(0, |first| moment.since(first).div_euclid(DAY))
}

/// The channel's day of a moment.
pub fn day_of(moment: Moment) -> Day {
    moment.plus(CHINA).utc_day()
}

/// Where a line or payment is at home by the numbers that it has: that of the first which is ours; else by the first which is not empty, in the province
/// of its merchant.
pub fn home(numbers: &[&str], province: Province) -> (Province, Partition) {
    let ours = numbers.iter().find_map(|number| id::place(number));
    let strange = || numbers.iter().find(|number| !number.is_empty()).map_or(Partition(0), |number| Partition::of_lot(number));
    ours.map_or_else(|| (province, strange()), |place| (place.province, place.partition))
}

/// The home of a line.
pub fn home_of_line(line: &StatementLine, province: Province) -> (Province, Partition) {
    home(&[&line.number, &line.refund, &line.transaction], province)
}

/// The desk at which the exceptions of a partition are spoken of: the first of `exceptions-0`, `exceptions-1` … that lies in it.
pub fn desk_of(partition: Partition) -> LotId {
    let mut names = (0_u16..).map(|number| format!("exceptions-{number}"));
    let name = names.find(|name| Partition::of_lot(name) == partition).unwrap_or_default();
    name.parse().expect("65,536 names lie in all of 64 partitions, and are tokens")
}

impl StatementEvent {
    /// The longest number, name or transaction, in bytes.
    pub const NAME_MAX: usize = 64;

    /// The kind's token of the subject.
    pub const fn kind(&self) -> &'static str {
        match self.fact {
            StatementFact::Matched { .. } => "matched",
            StatementFact::Differs { .. } => "differs",
            StatementFact::Explained { .. } => "explained",
            StatementFact::PaidOut { .. } => "paid_out",
        }
    }

    /// The subject of this fact.
    pub fn subject(&self) -> String {
        format!("STATEMENT.{}.{}.{}", self.piece.partition, self.piece.channel, self.kind())
    }

    /// What tells this fact from all others of the inbox, in 18 characters.
    pub fn key(&self) -> String {
        let keyed = |parts: &[&str]| {
            let parts: Vec<&str> = parts.iter().copied().chain(self.run.as_ref().map(Token::as_str)).collect();
            id::digest(&parts, 18)
        };
        match &self.fact {
            StatementFact::Matched { term, hash, .. } => {
                let PieceAt { channel, merchant, day, province, partition } = &self.piece;
                keyed(&["matched", channel, merchant, &day.to_string(), &province.to_string(), &partition.to_string(), term.as_str(), hash])
            }
            StatementFact::Differs { .. } => keyed(&["differs", self.exception().as_ref().map_or("", |id| id.as_str())]),
            StatementFact::Explained { exception, .. } => keyed(&["explained", exception.as_str()]),
            StatementFact::PaidOut { paid } => paid.key(&self.piece),
        }
    }

    /// Its own time: the end of the statement's day. A fact is the same whenever it is said.
    pub fn time(&self) -> Moment {
        begins(self.piece.day).unwrap_or_default().plus(DAY)
    }

    /// The exception that it opens or explains.
    pub fn exception(&self) -> Option<Id> {
        match &self.fact {
            StatementFact::Matched { .. } | StatementFact::PaidOut { .. } => None,
            StatementFact::Differs { difference, line, payment, nth } => {
                Some(self.piece.exception(*difference, line.as_deref(), payment.as_deref(), *nth))
            }
            StatementFact::Explained { exception, .. } => Some(*exception),
        }
    }

    /// Itself, or what is wrong with it.
    pub fn checked(self) -> Result<Self, String> {
        self.check().map(|()| self)
    }

    fn check(&self) -> Result<(), String> {
        let PieceAt { channel, merchant, day, partition, .. } = &self.piece;
        if begins(*day).is_none() {
            return Err(format!("there is no day {day}: it is yymmdd"));
        }
        if channel.parse::<Token<32>>().is_err() || merchant.len() > Self::NAME_MAX || partition.0 >= Partition::COUNT {
            return Err(format!(
                "channel {channel:?}, merchant {merchant:?}, partition {partition}: a word, at most {} bytes, 0 to 63",
                Self::NAME_MAX
            ));
        }
        match &self.fact {
            StatementFact::Matched { hash, .. } if hash.len() != 64 => Err(format!("a hash of {} characters: 64", hash.len())),
            StatementFact::Matched { stays: Some(stays), .. } if stays.lists().iter().any(|(_, listed)| listed.first.len() > Listed::FIRST_MAX) => {
                Err(format!("more than {} stays are told one by one", Listed::FIRST_MAX))
            }
            StatementFact::Differs { difference: Difference::Matched, .. } => Err("what matches does not differ".into()),
            StatementFact::Differs { line: None, payment: None, .. } => Err("neither a line nor a payment: nothing differs".into()),
            StatementFact::Differs { line, payment, .. } => {
                let of_line = line.iter().flat_map(|line| [&line.transaction, &line.number, &line.refund]);
                let of_payment = payment.iter().flat_map(|payment| [&payment.order, &payment.attempt, &payment.transaction, &payment.refund]);
                let long = of_line.chain(of_payment).find(|text| text.len() > Self::NAME_MAX);
                long.map_or(Ok(()), |long| Err(format!("a number of {} bytes: at most {}", long.len(), Self::NAME_MAX)))
            }
            StatementFact::Explained { exception, .. } if id::place(exception.as_str()) != Some(self.piece.place()) => {
                Err(format!("exception {exception} is of another piece"))
            }
            StatementFact::PaidOut { paid } => paid.check(&self.piece),
            StatementFact::Matched { .. } | StatementFact::Explained { .. } => Ok(()),
        }
    }
}

impl PieceAt {
    /// Where its rows lie.
    pub const fn place(&self) -> Place {
        Place { province: self.province, day: self.day, partition: self.partition }
    }

    /// The key of its row.
    pub fn key(&self, term: Term) -> Key {
        let id = id::digest(&["piece", &self.channel, &self.merchant, term.as_str()], 20).parse().expect("20 letters and digits are a token");
        Key { table: Table::Pieces, province: self.province, day: self.day, bucket: self.partition, id }
    }

    /// The id of the exception that these make: what is compared of them, and not where they stand in their files. `nth`: how many of the piece are the same and stand
    /// before it.
    pub fn exception(&self, difference: Difference, line: Option<&StatementLine>, payment: Option<&BookedPayment>, nth: u32) -> Id {
        let line = line.map_or_else(String::new, |line| {
            let StatementLine { kind, standing, transaction, number, refund, amount, .. } = line;
            format!("{} {} {transaction} {number} {refund} {} {:?}", kind.as_str(), standing.as_str(), amount.minor, amount.currency)
        });
        let payment = payment.map_or_else(String::new, |payment| {
            let BookedPayment { kind, standing, order, attempt, transaction, refund, amount, .. } = payment;
            format!("{} {} {order} {attempt} {transaction} {refund} {} {:?}", kind.as_str(), standing.as_str(), amount.minor, amount.currency)
        });
        let (parts, nth) = ([&*self.channel, &*self.merchant, difference.as_str(), line.as_str(), payment.as_str()], nth.to_string());
        // The first one has the id that it had before there was a second.
        let all: Vec<&str> = parts.into_iter().chain((nth != "0").then_some(nth.as_str())).collect();
        id::derive(Kind::Exception, self.place(), &all)
    }
}

/// A piece that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Which.
    pub piece: PieceAt,
    /// When it was.
    pub term: Term,
    /// What came of it.
    pub sums: Vec<DifferenceSum>,
    /// The stays that do not go with their money; none where all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays: Option<Box<Stays>>,
    /// The hash of what came of it.
    pub hash: Arc<str>,
}

impl Piece {
    /// How many lines and payments compare so.
    pub fn count(&self, difference: Difference) -> u64 {
        self.sums.iter().filter(|sum| sum.difference == difference).fold(0, |count, sum| count.saturating_add(sum.count))
    }
}

/// Something that does not match, until it is closed for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Its id.
    pub exception: Id,
    /// Of which piece.
    pub piece: PieceAt,
    /// How it differs.
    pub difference: Difference,
    /// What the statement says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Box<StatementLine>>,
    /// What we booked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Box<BookedPayment>>,
    /// How old it is.
    pub age: Age,
    /// Who looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AuthorId>,
    /// What a person said who wants it written off, and waits for another one to agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Box<(EventId, Said)>>,
    /// What happened to it, the newest [`Exception::HISTORY_MAX`] in their order.
    pub history: Vec<Happened>,
    /// How often its channel was asked.
    #[serde(default)]
    pub asked: u32,
    /// Why it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closing>,
}

/// One thing that happened to an exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When it was recorded.
    pub at: Moment,
    /// What, as the event's type.
    pub what: Arc<str>,
    /// Who did it, where a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Said>,
}

impl Exception {
    /// The longest history.
    pub const HISTORY_MAX: usize = 32;

    /// What the channel has more than we do, in minor units.
    pub fn gap(&self) -> i64 {
        self.money().minor
    }

    /// The same as money.
    pub fn money(&self) -> Money {
        between(self.line.as_deref(), self.payment.as_deref())
    }

    /// What of it the books must know.
    pub fn booked(&self) -> Gap {
        Gap { channel: self.piece.channel.clone(), money: self.money() }
    }

    /// The number under which the channel knows it.
    pub fn number(&self) -> &str {
        let of_line = self.line.as_ref().map(|line| &*line.number).filter(|number| !number.is_empty());
        let of_payment = || self.payment.as_ref().map(|payment| if payment.attempt.is_empty() { &*payment.order } else { &*payment.attempt });
        of_line.or_else(of_payment).unwrap_or_default()
    }

    /// The channel's transaction.
    pub fn transaction(&self) -> &str {
        let of_line = self.line.as_ref().map(|line| &*line.transaction).filter(|transaction| !transaction.is_empty());
        of_line.or_else(|| self.payment.as_ref().map(|payment| &*payment.transaction)).unwrap_or_default()
    }

    /// When it is of the next age; none once it is closed, or as old as can be.
    pub fn due_at(&self) -> Option<Moment> {
        let days = match self.age {
            Age::T1 => 2,
            Age::T2 => 3,
            Age::T3 => 4,
            Age::Week => 8,
            Age::Older => return None,
        };
        begins(self.piece.day).filter(|_| self.closed.is_none()).map(|first| first.plus(DAY.saturating_mul(days)))
    }
}

/// What of an exception the books must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The channel.
    pub channel: Arc<str>,
    /// What it has more than we do; negative where it has less.
    pub money: Money,
}

/// What a line has more than a payment.
fn between(line: Option<&StatementLine>, payment: Option<&BookedPayment>) -> Money {
    let theirs = line.map_or(0, |line| moved(line.standing, line.kind.signed(line.amount.minor)));
    let ours = payment.map_or(0, |payment| moved(payment.standing, payment.kind.signed(payment.amount.minor)));
    let currency = line.map(|line| line.amount.currency).or_else(|| payment.map(|payment| payment.amount.currency));
    Money::new(theirs.saturating_sub(ours), currency.unwrap_or(Currency::Cny))
}

/// What an amount is that moved, if it did.
const fn moved(standing: Standing, amount: i64) -> i64 {
    match standing {
        Standing::Done => amount,
        Standing::Pending | Standing::Failed => 0,
    }
}

/// What a person did about an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Its channel is asked how the payment stands.
    Requeried,
    /// What we lack is sent through the ordinary inbox of channels.
    Repaired,
    /// The surplus is booked, so that it can go back by the ordinary rule of refunds.
    RefundAsked,
    /// It is to be written off, and another person must agree.
    WriteOffWanted,
}

impl Act {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requeried => "requeried",
            Self::Repaired => "repaired",
            Self::RefundAsked => "refund_asked",
            Self::WriteOffWanted => "write_off_wanted",
        }
    }
}

/// Why an exception is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// A comparison of this or the next day finds it no more, whether it was written off before or not.
    Explained,
    /// What we lacked was sent through the ordinary inbox.
    Repaired,
    /// The surplus goes back.
    Refunded,
    /// It was written off.
    WrittenOff,
}

impl Closing {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Explained => "explained",
            Self::Repaired => "repaired",
            Self::Refunded => "refunded",
            Self::WrittenOff => "written_off",
        }
    }
}

/// Why nothing was to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconNote {
    /// There is no such exception.
    Unknown,
    /// It is known already.
    AlreadyKnown,
    /// It is closed.
    AlreadyClosed,
    /// Who wants it cannot be who agrees to it.
    SamePerson,
    /// Nobody wants what is agreed to.
    NotWanted,
    /// Its number is none of ours: its channel, or a person, must see to it.
    NotOurs,
    /// No fact is lacking here that the channel has.
    NothingLacking,
    /// It was said too long ago to be believed.
    TooLate,
}

/// Events of RECON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ReconEvent {
    /// A piece of a day is compared.
    Matched {
        /// Which.
        piece: PieceAt,
        /// When.
        term: Term,
        /// What came of it.
        sums: Vec<DifferenceSum>,
        /// What the channel keeps of it, where its statement tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fees: Option<Money>,
        /// The stays that do not go with their money; none where all do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stays: Option<Box<Stays>>,
        /// The hash of what came of it.
        hash: Arc<str>,
    },
    /// Something does not match.
    ExceptionOpened {
        /// Its id.
        exception: Id,
        /// Of which piece.
        piece: PieceAt,
        /// How it differs.
        difference: Difference,
        /// What the statement says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<Box<StatementLine>>,
        /// What we booked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payment: Option<Box<BookedPayment>>,
        /// How old it is.
        age: Age,
        /// Whether it was closed as explained, and is found again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    /// Somebody looks after it from now on.
    ExceptionAssigned {
        /// The exception.
        exception: Id,
        /// Who.
        owner: AuthorId,
        /// Who said so.
        by: Said,
    },
    /// A person does something about it.
    ExceptionActed {
        /// The exception.
        exception: Id,
        /// What.
        act: Act,
        /// What was said, by its id.
        said: EventId,
        /// Who.
        by: Said,
        /// What goes out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sends: Option<Box<Effect>>,
    },
    /// It is so old now: more people are to look at it.
    ExceptionAged {
        /// The exception.
        exception: Id,
        /// How old.
        age: Age,
    },
    /// It is settled.
    ExceptionClosed {
        /// The exception.
        exception: Id,
        /// Why.
        why: Closing,
        /// By which comparison, where one explains it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        term: Option<Term>,
        /// Who, where a person did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Said>,
        /// Who agreed, where two must.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approved: Option<Said>,
        /// What of it the books know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gap: Option<Box<Gap>>,
    },
    /// It was written off, and a comparison finds it no more: the money has come, or was booked. What was given up is taken back.
    WriteOffUndone {
        /// The exception.
        exception: Id,
        /// By which comparison.
        term: Term,
        /// What of it the books know.
        gap: Box<Gap>,
    },
    /// A channel has paid out to the bank.
    PaidOut {
        /// By which channel and for which of our numbers there, and the payout's home.
        piece: PieceAt,
        /// What came.
        paid: Box<PaidOut>,
    },
    /// A payout was told under a reference that is another one's: nothing of it is booked, and a person must look at it.
    PayoutDiffers {
        /// By which channel and for which of our numbers there.
        piece: PieceAt,
        /// What was told.
        paid: Box<PaidOut>,
        /// What is booked under that reference.
        booked: Money,
    },
    /// Nothing was to be done.
    Noted {
        /// Why.
        note: ReconNote,
        /// Its province.
        province: Province,
        /// The exception, where it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exception: Option<Id>,
    },
}

impl ReconEvent {
    /// The last token of its subject.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Matched { .. } => "matched",
            Self::ExceptionOpened { .. } => "exception_opened",
            Self::ExceptionAssigned { .. } => "exception_assigned",
            Self::ExceptionActed { .. } => "exception_acted",
            Self::ExceptionAged { .. } => "exception_aged",
            Self::ExceptionClosed { .. } => "exception_closed",
            Self::WriteOffUndone { .. } => "write_off_undone",
            Self::PaidOut { .. } => "paid_out",
            Self::PayoutDiffers { .. } => "payout_differs",
            Self::Noted { .. } => "noted",
        }
    }

    /// What it opens or closes of the difference between a channel and our books; none where that is nothing.
    pub fn gap(&self) -> Option<Gap> {
        let gap = match self {
            Self::ExceptionOpened { piece, line, payment, .. } => {
                Some(Gap { channel: piece.channel.clone(), money: between(line.as_deref(), payment.as_deref()) })
            }
            Self::ExceptionClosed { gap, .. } => gap.as_deref().cloned(),
            Self::WriteOffUndone { gap, .. } => Some((**gap).clone()),
            Self::Matched { .. }
            | Self::ExceptionAssigned { .. }
            | Self::ExceptionActed { .. }
            | Self::ExceptionAged { .. }
            | Self::PaidOut { .. }
            | Self::PayoutDiffers { .. }
            | Self::Noted { .. } => None,
        };
        gap.filter(|gap| !gap.money.is_zero())
    }

    /// The exception that it is about.
    pub const fn exception(&self) -> Option<Id> {
        match self {
            Self::Matched { .. } | Self::PaidOut { .. } | Self::PayoutDiffers { .. } => None,
            Self::ExceptionOpened { exception, .. }
            | Self::ExceptionAssigned { exception, .. }
            | Self::ExceptionActed { exception, .. }
            | Self::ExceptionAged { exception, .. }
            | Self::ExceptionClosed { exception, .. }
            | Self::WriteOffUndone { exception, .. } => Some(*exception),
            Self::Noted { exception, .. } => *exception,
        }
    }

    /// The province under which it travels.
    pub fn province(&self) -> Province {
        match self {
            Self::Matched { piece, .. } | Self::ExceptionOpened { piece, .. } | Self::PaidOut { piece, .. } | Self::PayoutDiffers { piece, .. } => {
                piece.province
            }
            Self::Noted { province, .. } => *province,
            event => event.exception().and_then(|id| id::place(id.as_str())).map(|place| place.province).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
