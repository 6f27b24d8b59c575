//! The ledger's words: accounts, postings, settlement windows and their statements.
//!
//! A posting is one balanced transaction. It lies in one settlement window, that of its lot, channel, currency and moment; a window that closes becomes a
//! statement, and what is posted into it after that its adjustments, each of which names the one before.
//!
//! Invariants
//! 1. Where the rows of a window lie follows from the window   (`tests::the_rows_of_a_window_lie_together`).
//! 2. A row's hash is that of the lines that its contract names   (`tests::a_row_has_the_hash_that_is_told`).
//!
//! Not here: what a movement of money posts, and when a window closes (`rules::settlement`).

use crate::{
    Id, Key, LotId, Moment, Partition, Table,
    entity::Posting,
    exception,
    fact::OperatorId,
    id::{self, Kind, Place, Province},
    money::Currency,
    time::Day,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Write, sync::Arc};

/// What stands for the channel of a posting that no channel has a part in: a bill that a car owes, a discount on a stay that costs nothing.
pub const NO_CHANNEL: &str = "none";

/// The ledger's accounts; each belongs to the posting's operator, lot and channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// What the channel has captured and owes us, less its fee (an asset).
    ChannelReceivable,
    /// What channels have accepted and may still refuse (an asset, kept apart from what is captured).
    ProvisionalReceivable,
    /// What stays have earned (revenue).
    ParkingRevenue,
    /// What is to go back, or has no order yet (a liability).
    RefundLiability,
    /// What the channel keeps for itself, by its contract's rate and then by its statements (an expense).
    ChannelFees,
    /// What the issuer of points owes us for points that paid (an asset).
    PointsIssuer,
    /// What points have paid: their issuer's liability, and never the operator's revenue.
    PointsRedeemed,
    /// What lies in drawers (an asset).
    Cash,
    /// What was counted in drawers less than there should have been (an expense; a gain where it is more).
    CashDifference,
    /// What merchants have taken off prices, each by its name, and bear (an asset).
    DiscountsMerchant,
    /// What the operator has taken off prices itself (an expense).
    DiscountsOperator,
    /// What cars owe that have gone; kept beside the books, against `arrears_unearned`.
    Arrears,
    /// The other side of `arrears`: it is earned once it is paid.
    ArrearsUnearned,
    /// What channels' statements have more than we booked, until it is known why: a debit where they have less.
    Suspense,
    /// What was given up as a loss for good, or as a gain that nobody claims (an expense; a gain where it is a credit).
    WriteOff,
    /// What channels have paid out to the operators' bank (an asset).
    Bank,
}

impl Account {
    /// The word that reports and the keys of sums have.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChannelReceivable => "channel_receivable",
            Self::ProvisionalReceivable => "provisional_receivable",
            Self::ParkingRevenue => "parking_revenue",
            Self::RefundLiability => "refund_liability",
            Self::ChannelFees => "channel_fees",
            Self::PointsIssuer => "points_issuer",
            Self::PointsRedeemed => "points_redeemed",
            Self::Cash => "cash",
            Self::CashDifference => "cash_difference",
            Self::DiscountsMerchant => "discounts_merchant",
            Self::DiscountsOperator => "discounts_operator",
            Self::Arrears => "arrears",
            Self::ArrearsUnearned => "arrears_unearned",
            Self::Suspense => "suspense",
            Self::WriteOff => "write_off",
            Self::Bank => "bank",
        }
    }
}

/// One side of a posting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The account.
    pub account: Account,
    /// Minor units; 0 where it is a credit.
    pub debit: i64,
    /// Minor units; 0 where it is a debit.
    pub credit: i64,
    /// Whose it is within the account, where that has several: who bears a discount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Arc<str>>,
}

impl Entry {
    /// A debit.
    pub const fn debit(account: Account, minor: i64) -> Self {
        Self { account, debit: minor, credit: 0, of: None }
    }

    /// A credit.
    pub const fn credit(account: Account, minor: i64) -> Self {
        Self { account, debit: 0, credit: minor, of: None }
    }
}

/// What a posting is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    /// A channel captured money that pays its order.
    Paid,
    /// A channel captured money that waits for its order or its other parts, or is to go back.
    Captured,
    /// Captured money that waited pays its order.
    Applied,
    /// A channel accepted money that pays its order and may still fail.
    Accepted,
    /// Accepted money is captured.
    Settled,
    /// Accepted money pays nothing any more.
    Failed,
    /// Money that paid its order is to go back.
    Returning,
    /// Money went back.
    Refunded,
    /// Something was taken off a stay that costs nothing then.
    Discounted,
    /// A car has gone and owes its bill.
    Owed,
    /// What a car owed is paid, or no more owed.
    Cleared,
    /// A drawer was counted, and something else lay in it than there should have been.
    Counted,
    /// A channel's statement has more than we booked, or less.
    Differs,
    /// It is known why, and whatever was lacking is booked by itself.
    Resolved,
    /// Nobody will ever know why.
    WrittenOff,
    /// A channel's statement says that it keeps more for itself than we booked, or less.
    FeesAdjusted,
    /// It was given up, and is known after all: the write-off is taken back, and so is what differed.
    WriteOffUndone,
    /// A channel has paid out to the bank.
    PaidOut,
}

impl Movement {
    /// The word that reports have.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Captured => "captured",
            Self::Applied => "applied",
            Self::Accepted => "accepted",
            Self::Settled => "settled",
            Self::Failed => "failed",
            Self::Returning => "returning",
            Self::Refunded => "refunded",
            Self::Discounted => "discounted",
            Self::Owed => "owed",
            Self::Cleared => "cleared",
            Self::Counted => "counted",
            Self::Differs => "differs",
            Self::Resolved => "resolved",
            Self::WrittenOff => "written_off",
            Self::FeesAdjusted => "fees_adjusted",
            Self::WriteOffUndone => "write_off_undone",
            Self::PaidOut => "paid_out",
        }
    }

    /// Whether a channel captured money by it.
    pub const fn captures(self) -> bool {
        matches!(self, Self::Paid | Self::Captured | Self::Settled)
    }
}

/// What was taken off the price of a stay, each part by who bears it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discounts {
    /// The stay's session.
    pub session: Id,
    /// The moment whose price it is: of two prices of a stay the later one counts, and holds what the earlier one did.
    pub asked_at: Moment,
    /// Who bears how much, in minor units above zero, by name.
    pub borne: BTreeMap<Arc<str>, i64>,
}

/// Which fees are told of together: a channel's, of one of its days, one province and one partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FeesAt {
    /// Their province.
    pub province: Province,
    /// Their partition.
    pub partition: Partition,
    /// The channel.
    pub channel: Arc<str>,
    /// The channel's day.
    pub day: Day,
    /// The currency.
    pub currency: Currency,
}

/// What a channel keeps for itself of a day's payments, in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayFees {
    /// Of which.
    pub fees: FeesAt,
    /// What the books hold.
    pub booked: i64,
    /// What its statements tell, by our number at the channel; nothing before the first one is compared.
    pub told: BTreeMap<Arc<str>, i64>,
}

impl FeesAt {
    /// The key of their row.
    pub fn key(&self) -> Key {
        let id = id::digest(&["fees", &self.channel, &format!("{:?}", self.currency)], 20).parse().expect("20 letters and digits are a token");
        Key { table: Table::Fees, province: self.province, day: self.day, bucket: self.partition, id }
    }
}

impl DayFees {
    /// Nothing is booked or told yet.
    pub const fn new(fees: FeesAt) -> Self {
        Self { fees, booked: 0, told: BTreeMap::new() }
    }

    /// What the statements tell more than the books hold; nothing while none tells.
    pub fn lacking(&self) -> i64 {
        if self.told.is_empty() { 0 } else { self.told.values().fold(0_i64.saturating_sub(self.booked), |sum, minor| sum.saturating_add(*minor)) }
    }
}

/// A settlement window's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its first moment.
    pub from: Moment,
    /// The moment at which it has ended.
    pub until: Moment,
    /// When it closes if nothing more is posted into it.
    pub closes_at: Moment,
}

/// What rows add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many rows.
    pub rows: u64,
    /// By how many of them a channel captured money.
    pub payments: u64,
    /// By how many of them money went back.
    pub refunds: u64,
    /// How much went back, in minor units.
    pub refunded: i64,
    /// (debits, credits) by account; of what merchants bear by `discounts_merchant/cinema`.
    pub sums: BTreeMap<String, (i64, i64)>,
}

/// What finance reads of a tally, in minor units: `gross - discounts - points - refunded - fees - short + found = net`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// What was captured, and what was taken off beside it.
    pub gross: i64,
    /// What was taken off, by who bears it.
    pub discounts: BTreeMap<String, i64>,
    /// What points paid and did not get back.
    pub points: i64,
    /// What went back.
    pub refunded: i64,
    /// What the channel keeps for itself.
    pub fees: i64,
    /// What drawers had less than they should.
    pub short: i64,
    /// What the channel's statements have more than we booked, explained or not: negative where they have less.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub found: i64,
    /// What the channel, or the drawers, have to bring us for it, or have brought to the bank: a payout changes nothing of it, but for points, whose
    /// issuer has brought money then.
    pub net: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(minor: &i64) -> bool {
    *minor == 0
}

/// A settlement window that has closed, or what came into it after that: written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Its id.
    pub statement: Id,
    /// Whose lot it is; none where the lot is not known.
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
    /// The lot's local day in which the window lies.
    pub day: Day,
    /// The window's first moment.
    pub from: Moment,
    /// The moment at which the window has ended.
    pub until: Moment,
    /// 0 of the statement itself, n of its n-th adjustment.
    pub number: u32,
    /// The statement, or adjustment, that it adjusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusts: Option<Id>,
    /// What its rows add up to: those since the one that it adjusts.
    pub tally: Tally,
    /// What finance reads of that.
    pub figures: Figures,
    /// The hash of the window's last row, which holds that of every row before it (see [`Posting::hash_after`]).
    pub hash: Arc<str>,
}

/// Where a settlement window is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowAt {
    /// Its province.
    pub province: Province,
    /// Its partition.
    pub partition: Partition,
    /// The lot's local day in which it lies.
    pub day: Day,
    /// The lot; none for money whose order was not known when it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<LotId>,
    /// The channel.
    pub channel: Arc<str>,
    /// The currency.
    pub currency: Currency,
    /// Its first moment.
    pub from: Moment,
}

impl WindowAt {
    /// The key of its row.
    pub fn key(&self) -> Key {
        let lot = self.lot.as_ref().map_or("unknown", |lot| lot.as_str());
        let parts = ["window", lot, &self.channel, &format!("{:?}", self.currency), &self.from.0.to_string()];
        let id = id::digest(&parts, 20).parse().expect("20 letters and digits are a token");
        Key { table: Table::Windows, province: self.province, day: self.day, bucket: self.partition, id }
    }

    fn place(&self) -> Place {
        Place { province: self.province, day: self.day, partition: self.partition }
    }

    /// The id of the posting that `parts` determine: it tells in which window it lies.
    pub fn posting(&self, parts: &[&str]) -> Id {
        format!("{}{}", rows_of(&self.key()), id::digest(parts, 16)).parse().expect("32 letters and digits are a token")
    }

    /// The id of its statement of that number.
    pub fn statement(&self, number: u32) -> Id {
        id::derive(Kind::Statement, self.place(), &[self.key().id.as_str(), &number.to_string()])
    }
}

impl Statement {
    /// Where its window is.
    pub fn window(&self) -> WindowAt {
        let partition = id::place(self.statement.as_str()).map(|place| place.partition).unwrap_or_default();
        let Self { province, day, lot, currency, from, .. } = *self;
        WindowAt { province, partition, day, lot, channel: self.channel.clone(), currency, from }
    }
}

/// How the ids of a window's rows begin: 11 characters of their place and 5 of their window, so that the rows of one window lie together. Those of
/// another window may lie among them.
pub fn rows_of(window: &Key) -> String {
    let within: String = window.id.as_str().chars().take(5).collect();
    format!("{}{}{}{:02}{within}", char::from(Kind::Posting as u8), window.province, window.day, window.bucket.0)
}

impl Posting {
    /// SHA-256, as 64 hexadecimal digits, of the hash of the window's row before (nothing for the first) and this row as lines of text: its id, the order,
    /// the lot, the operator, the channel, the currency, its moment, its movement, then `account of debit credit` for each side; what is not there is empty.
    pub fn hash_after(&self, before: &str) -> String {
        // A window of a day has thousands of rows, and all are hashed before it closes: what is text already is copied, and one buffer takes all of it.
        let mut lines = String::with_capacity(512);
        let at = self.at.unwrap_or_default().0;
        let movement = self.movement.map_or("", Movement::as_str);
        let names = [Some(&self.posting), self.order.as_ref(), self.lot.as_ref(), self.operator.as_ref()];
        let names = names.map(|name| name.map_or("", |name| name.as_str()));
        for line in [before].into_iter().chain(names).chain([&*self.channel]) {
            lines.push_str(line);
            lines.push('\n');
        }
        writeln!(lines, "{:?}\n{at}\n{movement}", self.currency).expect("a String takes all that is written");
        for Entry { account, debit, credit, of } in &self.entries {
            for word in [account.as_str(), of.as_deref().unwrap_or_default()] {
                lines.push_str(word);
                lines.push(' ');
            }
            writeln!(lines, "{debit} {credit}").expect("a String takes all that is written");
        }
        hexadecimal(&Sha256::digest(lines.as_bytes()))
    }
}

/// Bytes as hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.extend([byte >> 4, byte & 0xf].into_iter().filter_map(|half| char::from_digit(half.into(), 16)));
    }
    text
}

/// Events of LEDGER.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LedgerEvent {
    /// A balanced posting.
    Posted {
        /// Its id.
        posting: Id,
        /// The order; none where it is about a drawer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<Id>,
        /// The lot; none while the order was not known.
        lot: Option<LotId>,
        /// The lot's local day of its moment.
        day: Day,
        /// Its province.
        province: Province,
        /// The channel; [`NO_CHANNEL`] where none has a part in it.
        channel: Arc<str>,
        /// The currency of the entries.
        currency: Currency,
        /// The sides: debits equal credits.
        entries: Vec<Entry>,
        /// Whose lot it is; none where the lot is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operator: Option<OperatorId>,
        /// When the money moved, by the channel where it tells; none in postings of the first releases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Moment>,
        /// What it is about; none in postings of the first releases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        movement: Option<Movement>,
        /// Its settlement window; none in postings of the first releases, which are summed up by lot and day and never close.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<Span>,
        /// What is taken off the price of its stay now, where that has a part in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        discounts: Option<Box<Discounts>>,
    },
    /// A settlement window has closed into a statement, or what came into it since into an adjustment.
    WindowClosed {
        /// The statement.
        statement: Box<Statement>,
    },
    /// A settlement window does not close, because its rows are not what was posted into it. A person must look at it.
    WindowStopped {
        /// The window.
        window: WindowAt,
        /// What differs.
        differs: Arc<str>,
        /// When it is looked at again.
        due_at: Moment,
    },
    /// A statement tells what its channel keeps for itself. What the books hold beside that is posted with it, and from then on with each payment.
    FeesTold {
        /// Of which payments.
        fees: FeesAt,
        /// Our number at the channel.
        merchant: Arc<str>,
        /// How much, in minor units.
        minor: i64,
    },
    /// There was nothing to post.
    Noted {
        /// The order.
        order: Id,
        /// Its province.
        province: Province,
    },
}

impl LedgerEvent {
    /// The settlement window that it belongs to; none of postings of the first releases, and where there was nothing to post.
    pub fn window(&self) -> Option<WindowAt> {
        match self {
            Self::Posted { posting, lot, day, province, channel, currency, span: Some(span), .. } => {
                let partition = id::place(posting.as_str())?.partition;
                let (province, day, lot, currency) = (*province, *day, *lot, *currency);
                Some(WindowAt { province, partition, day, lot, channel: channel.clone(), currency, from: span.from })
            }
            Self::WindowClosed { statement } => Some(statement.window()),
            Self::WindowStopped { window, .. } => Some(window.clone()),
            Self::Posted { span: None, .. } | Self::FeesTold { .. } | Self::Noted { .. } => None,
        }
    }

    /// The fees that it tells of or changes in the books.
    pub fn fees(&self) -> Option<FeesAt> {
        match self {
            Self::Posted { posting, province, channel, currency, entries, at: Some(at), span: Some(_), .. } => {
                entries.iter().find(|entry| entry.account == Account::ChannelFees)?;
                let (partition, day) = (id::place(posting.as_str())?.partition, exception::day_of(*at));
                Some(FeesAt { province: *province, partition, channel: channel.clone(), day, currency: *currency })
            }
            Self::FeesTold { fees, .. } => Some(fees.clone()),
            Self::Posted { .. } | Self::WindowClosed { .. } | Self::WindowStopped { .. } | Self::Noted { .. } => None,
        }
    }

    /// The province under which it travels.
    pub fn province(&self) -> Province {
        match self {
            Self::Posted { province, .. } | Self::Noted { province, .. } => *province,
            Self::WindowClosed { statement } => statement.province,
            Self::WindowStopped { window, .. } => window.province,
            Self::FeesTold { fees, .. } => fees.province,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_window_lie_together() {
        let window = |channel: &str, from| WindowAt {
            province: Province(44),
            partition: Partition(7),
            day: Day(261_123),
            lot: Some("north".parse().expect("a name")),
            channel: channel.into(),
            currency: Currency::Cny,
            from: Moment(from),
        };
        let wechat = window("wechat", 0);
        let (one, other) = (wechat.posting(&["a"]), wechat.posting(&["b"]));
        let begin = rows_of(&wechat.key());
        assert!(one.as_str().starts_with(&begin) && other.as_str().starts_with(&begin) && one != other, "{one} {other} {begin}");
        assert_eq!((one.as_str().len(), id::place(one.as_str())), (32, Some(wechat.place())));
        for another in [window("alipay", 0), window("wechat", 1)] {
            assert_ne!(another.key(), wechat.key());
            assert!(!another.posting(&["a"]).as_str().starts_with(&begin));
        }
        assert_ne!(wechat.statement(0), wechat.statement(1));
    }

    #[test]
    fn a_row_has_the_hash_that_is_told() {
        let name = |text: &str| text.parse().expect("a name");
        let of_cinema = Entry { of: Some("cinema".into()), ..Entry::debit(Account::DiscountsMerchant, 5) };
        let row = Posting {
            posting: name("p"),
            order: Some(name("o")),
            lot: Some(name("north")),
            day: Day(261_123),
            channel: "wechat".into(),
            currency: Currency::Cny,
            entries: vec![Entry::debit(Account::ChannelReceivable, 982), of_cinema, Entry::credit(Account::ParkingRevenue, 987)],
            operator: Some(name("city")),
            at: Some(Moment(7)),
            movement: Some(Movement::Paid),
            span: None,
        };
        // Computed by another SHA-256 over the lines that its contract names.
        let first = "7e0b8e461e47d4966e5b507f318e4ede5700a4b3c2edc8639c84bc6edc77f945";
        assert_eq!(row.hash_after(""), first);
        assert_eq!(row.hash_after(first), "7e3aa6001782797bcaac6b100dd5454c9c923516cd530dc1a043389777265240");
    }
}
