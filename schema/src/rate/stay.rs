//! What a price takes from elsewhere: rights, merchants' validations, and what was paid before.

use crate::{Moment, Money};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A part of a stay under a right of the vehicle, as a monthly pass: its minutes cost nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// From when the right holds.
    pub from: Moment,
    /// The moment before which it ends.
    pub until: Moment,
    /// The right, by its id.
    pub right: Arc<str>,
}

/// A merchant's coupon. The same id twice is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// Its id.
    pub id: Arc<str>,
    /// Who bears what it takes off.
    pub bearer: Arc<str>,
    /// What it takes off.
    #[serde(flatten)]
    pub kind: ValidationKind,
    /// Whether it is over what its vehicle may use on one day: it takes nothing off. That is decided when it is taken, and never said at a desk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
}

/// What a validation takes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ValidationKind {
    /// Everything.
    Free,
    /// Minutes.
    FreeTime {
        /// How many.
        minutes: i64,
    },
    /// A part of the price.
    Percent {
        /// Percent that are taken off, at most 100.
        percent: u8,
    },
    /// An amount.
    AmountOff {
        /// Minor units of the table's currency.
        amount: i64,
    },
}

/// A payment for a stay that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepaid {
    /// The payment, by its id.
    pub id: Arc<str>,
    /// When it was made.
    pub at: Moment,
    /// What was paid.
    pub amount: Money,
    /// The moment whose price it pays: when that was asked for.
    pub until: Moment,
}
