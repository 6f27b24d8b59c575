//! What a channel's statement of a day says, what we booked beside it, and how the two may differ.
//!
//! Invariants
//! 1. Each way to differ has one word, in files as in both languages   (`tests::a_word_names_one_difference`).
//! 2. An exception grows older with the days and never younger   (`tests::an_exception_ages`).
//!
//! Not here: how files are read (`channels::statement`), what differs (`rules::reconcile`).

use crate::{Moment, Money};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which way money went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// A driver paid.
    Trade,
    /// Money went back.
    Refund,
}

impl LineKind {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Refund => "refund",
        }
    }

    /// The kind that a word names.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Trade, Self::Refund].into_iter().find(|kind| kind.as_str() == word)
    }

    /// What an amount adds to the total of a day: what went back takes from it.
    pub const fn signed(self, minor: i64) -> i64 {
        match self {
            Self::Trade => minor,
            Self::Refund => minor.saturating_neg(),
        }
    }
}

/// How a trade or refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The money moved.
    Done,
    /// It may still move: accepted, provisional, on its way.
    Pending,
    /// It did not move, and will not: refused, closed, not posted.
    Failed,
}

impl Standing {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Pending => "pending",
            Self::Failed => "failed",
        }
    }

    /// The standing that a word names.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Done, Self::Pending, Self::Failed].into_iter().find(|standing| standing.as_str() == word)
    }
}

/// A line of a channel's statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLine {
    /// Which line of the plain file, from 1.
    pub line: u32,
    /// Trade or refund.
    pub kind: LineKind,
    /// How it stands.
    pub standing: Standing,
    /// The channel's transaction; of a refund that of the money that went back.
    pub transaction: Arc<str>,
    /// The number under which we asked for the payment (our attempt id); empty where a refund's line does not name it.
    pub number: Arc<str>,
    /// The number under which we asked for the refund; empty of a trade.
    pub refund: Arc<str>,
    /// What moved, never negative.
    pub amount: Money,
    /// What the channel keeps for it, in thousandths of a minor unit; negative where it gives some back.
    pub fee_milli: i64,
    /// When, by the channel's clock.
    pub happened_at: Moment,
}

/// A payment or refund as we booked it, or as a system before us did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookedPayment {
    /// Which line of its file, from 1.
    pub line: u32,
    /// Trade or refund.
    pub kind: LineKind,
    /// How it stands with us.
    pub standing: Standing,
    /// The order.
    pub order: Arc<str>,
    /// The number under which the channel was asked; empty where it is the order's.
    pub attempt: Arc<str>,
    /// The channel's transaction; empty where none was ever told.
    pub transaction: Arc<str>,
    /// The refund's number; empty of a trade.
    pub refund: Arc<str>,
    /// What moved, never negative.
    pub amount: Money,
    /// When.
    pub happened_at: Moment,
}

/// How a line and a payment compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// They agree.
    Matched,
    /// 长款: the channel has money that we did not book.
    Surplus,
    /// 短款: we booked money that the channel did not pay.
    Shortage,
    /// Both have it, with another amount.
    AmountDiffers,
    /// Both have it; one says that the money moved, or for which order, and the other does not.
    StatusDiffers,
    /// A transaction that the statement has told already.
    DuplicateLine,
    /// A refund that one side does not have, or has with another amount or standing.
    RefundDiffers,
}

impl Difference {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 7] =
        [Self::Matched, Self::Surplus, Self::Shortage, Self::AmountDiffers, Self::StatusDiffers, Self::DuplicateLine, Self::RefundDiffers];

    /// Its word in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Surplus => "surplus",
            Self::Shortage => "shortage",
            Self::AmountDiffers => "amount_differs",
            Self::StatusDiffers => "status_differs",
            Self::DuplicateLine => "duplicate_line",
            Self::RefundDiffers => "refund_differs",
        }
    }

    /// Its name in English.
    pub const fn english(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Surplus => "surplus",
            Self::Shortage => "shortage",
            Self::AmountDiffers => "amount differs",
            Self::StatusDiffers => "status differs",
            Self::DuplicateLine => "duplicate line",
            Self::RefundDiffers => "refund differs",
        }
    }

    /// Its name in Chinese, as finance desks say it.
    pub const fn chinese(self) -> &'static str {
        match self {
            Self::Matched => "平账",
            Self::Surplus => "长款",
            Self::Shortage => "短款",
            Self::AmountDiffers => "金额不符",
            Self::StatusDiffers => "状态不符",
            Self::DuplicateLine => "重复记录",
            Self::RefundDiffers => "退款不符",
        }
    }
}

/// How long an exception has been open: the older, the more people look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Age {
    /// Found on the day after, at the latest.
    T1,
    /// Two days old: what crossed midnight should have come by now.
    T2,
    /// Three days old.
    T3,
    /// Up to a week old.
    Week,
    /// Older than a week.
    Older,
}

impl Age {
    /// All of them, the youngest first.
    pub const ALL: [Self; 5] = [Self::T1, Self::T2, Self::T3, Self::Week, Self::Older];

    /// The age after so many days.
    pub const fn of_days(days: i64) -> Self {
        match days {
            i64::MIN..=1 => Self::T1,
            2 => Self::T2,
            3 => Self::T3,
            4..=7 => Self::Week,
            _ => Self::Older,
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::T1 => "T+1",
            Self::T2 => "T+2",
            Self::T3 => "T+3",
            Self::Week => "T+4 to T+7",
            Self::Older => "> 7 days",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_word_names_one_difference() {
        for name in [Difference::as_str, Difference::english, Difference::chinese] {
            assert_eq!(Difference::ALL.map(name).into_iter().collect::<BTreeSet<_>>().len(), Difference::ALL.len());
        }
        for difference in Difference::ALL {
            assert_eq!(serde_json::to_value(difference).expect("a word"), difference.as_str());
        }
        assert_eq!((Difference::Surplus.chinese(), Difference::Shortage.chinese()), ("长款", "短款"));
        for word in [LineKind::Trade.as_str(), LineKind::Refund.as_str()] {
            assert_eq!(LineKind::of(word).map(LineKind::as_str), Some(word));
        }
        for word in ["done", "pending", "failed"] {
            assert_eq!(Standing::of(word).map(Standing::as_str), Some(word));
        }
        assert_eq!((LineKind::of("other"), Standing::of("")), (None, None));
    }

    #[test]
    fn an_exception_ages() {
        for (days, age) in [(-1, "T+1"), (0, "T+1"), (1, "T+1"), (2, "T+2"), (3, "T+3"), (4, "T+4 to T+7"), (7, "T+4 to T+7"), (8, "> 7 days")] {
            assert_eq!(Age::of_days(days).as_str(), age, "{days}");
        }
        assert!((0..20).is_sorted_by_key(Age::of_days));
    }
}
