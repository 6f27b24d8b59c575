//! What a stay costs, as the operator declares it: rate tables in the shape of APDS (ISO 5206-1), and calendars.
//!
//! A [`RateTable`] has either the short form (`free_min`, `steps`, `cap_per_24h`) or [`Terms`] by vehicle; terms have collections, which are bands of
//! the local day, and collections have lines. Wherever real tariffs disagree about a rule, the rule is a named choice here. Durations are
//! minutes, prices minor units, times of day the lot's local clock.
//!
//! Invariants
//! 1. A table is sound or it is refused with one message that names the line   (`tests::an_unsound_table_names_its_line`, `an_unsound_tier_or_bound_…`).
//! 2. The short form of the first release still reads   (`tests::the_short_form_still_reads`).
//! 3. Every minute of every kind of day has exactly one collection   (`tests::an_unsound_table_names_its_line`).
//!
//! Not here: what a table means for a stay (`rules::quote`), which table a lot has (`reference`).

mod calendar;
mod check;
mod stay;
mod tariff;
#[cfg(test)]
mod tests;

pub use calendar::{Calendar, Date, DayKind, Hours, LocalTime};
pub use stay::{Prepaid, Segment, Validation, ValidationKind};
pub use tariff::{Bounds, Line, NotSound, Resolved, Tariff, Version};

use crate::{Energy, VehicleClass, money::Currency};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Minutes of 24 hours.
pub const DAY_MIN: i64 = 1_440;
/// No single price is above this, so that the sum of twenty years of minutes fits an `i64`.
pub const PRICE_MAX: i64 = 1_000_000_000;

/// A rate table: one version of what an operator asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateTable {
    /// Its name.
    pub id: Arc<str>,
    /// Its version: prices are explained by it for ever.
    pub version: u32,
    /// Its currency.
    pub currency: Currency,
    /// In the short form: a stay of at most this many minutes is free; a longer one is charged from its first minute.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub free_min: i64,
    /// In the short form: the steps, from the first minute of each 24 hours; the last one has no end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// In the short form: no 24 hours from entry cost more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_per_24h: Option<i64>,
    /// From when it is in force, by the lot's clock; an only version may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<LocalTime>,
    /// Until when it is in force where no later version follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<LocalTime>,
    /// Which version prices a stay that sees this one end.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_change: OnChange,
    /// The name of the calendar that knows its holidays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Arc<str>>,
    /// What a lost ticket costs. Without it a lost ticket has no price, and a person is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_ticket: Option<i64>,
    /// How fractions end.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rounding: Rounding,
    /// What merchant coupons may do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub validations: ValidationRules,
    /// Classes that have no price here on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_served: Vec<VehicleClass>,
    /// The full form: terms by vehicle; the first that fit a vehicle are its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<Terms>,
}

impl Default for RateTable {
    /// Nothing at all, in renminbi: for what a literal leaves out. It is not sound by itself.
    fn default() -> Self {
        Self {
            id: "".into(),
            version: 1,
            currency: Currency::Cny,
            free_min: 0,
            steps: Vec::new(),
            cap_per_24h: None,
            valid_from: None,
            valid_until: None,
            on_change: OnChange::default(),
            calendar: None,
            lost_ticket: None,
            rounding: Rounding::default(),
            validations: ValidationRules::default(),
            not_served: Vec::new(),
            terms: Vec::new(),
        }
    }
}

impl RateTable {
    /// Whether it has the short form alone: free minutes, steps and a cap for each 24 hours.
    pub fn is_short(&self) -> bool {
        self.terms.is_empty() && self.rounding == Rounding::default() && self.valid_from.is_none() && self.valid_until.is_none()
    }
}

/// A step of the short form: from where the one before ended to `to_min`, each started unit costs `price`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The minute where it ends; none for the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_min: Option<i64>,
    /// Minutes of a unit.
    pub unit_min: i64,
    /// Price of a started unit, in minor units.
    pub price: i64,
}

/// What some vehicles pay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// What they are called in messages; may be empty.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub name: Arc<str>,
    /// The classes that they are for; all where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<VehicleClass>,
    /// The energies that they are for; all where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub energies: Vec<Energy>,
    /// Free minutes, once in a stay.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub free_min: i64,
    /// What the free minutes are to a longer stay.
    #[serde(default, skip_serializing_if = "is_default")]
    pub free: Free,
    /// When the durations of lines begin again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: Restart,
    /// What happens to a unit at the boundary of two bands, or of two of the cap's days.
    #[serde(default, skip_serializing_if = "is_default")]
    pub boundary: Boundary,
    /// What each full 24 hours cost instead of everything else; what is left is priced as a stay of its own. Without it a day starts again.
    /// This can make a longer stay cheaper, and is the one rule that may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_24h: Option<i64>,
    /// The cap of a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Cap>,
    /// The most that a stay costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_per_stay: Option<i64>,
    /// The least that a stay costs which costs anything (APDS `minValueCollection`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_per_stay: i64,
    /// The longest stay that has a price (APDS `maxTime`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_stay_min: Option<i64>,
    /// The bands of the local day. Together they cover every minute once.
    pub collections: Vec<RateLineCollection>,
}

/// The most that a day costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// What a day is.
    pub per: CapPer,
    /// For the first day, the second, and so on; the last one is that of every later day.
    pub amounts: Vec<i64>,
}

/// Lines that hold in some hours of some days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLineCollection {
    /// Its name, as a driver reads it.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub name: Arc<str>,
    /// Its hours (`07:00-19:00`, also over midnight); all where none are named. A minute belongs to its own local day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// Its days; all where none are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<DayKind>,
    /// The most that it costs from when it begins to when it ends, as one night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<i64>,
    /// Its lines, tiers first; the last one has no end, or ends where durations begin again.
    pub lines: Vec<RateLine>,
}

/// A line: what the minutes cost from where the line before ended to `to_min`, counted since the last restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLine {
    /// Its name, as a driver reads it; without one it is called by its collection and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// Its kind.
    #[serde(rename = "type", default, skip_serializing_if = "is_default")]
    pub kind: RateLineType,
    /// The minute where it begins (APDS `durationStart`). It is where the line before ended, and may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_min: Option<i64>,
    /// The minute where it ends (APDS `durationEnd`); none for the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_min: Option<i64>,
    /// Minutes of a unit; a flat line and a tier have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unit_min: i64,
    /// The price of a unit, of the whole line where it is flat, or of all up to here where it is a tier.
    pub price: i64,
    /// When a unit is charged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub charged: Charged,
    /// The least that the line costs which costs anything, from when a stay comes to it to when it leaves it (APDS `minValue`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_value: Option<i64>,
    /// The most that the line costs, from when a stay comes to it to when it leaves it (APDS `maxValue`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_value: Option<i64>,
}

/// The kinds of line (APDS `RateLineType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLineType {
    /// Each unit costs the price.
    #[default]
    IncrementingRate,
    /// The price is added once, when a stay comes to the line, and again after each restart and each time its band begins.
    FlatRate,
    /// The price is that of all minutes since the last restart, or since its band began where that was later: it takes the place of what the tiers
    /// before it cost. A tier of nothing is free.
    FlatRateTier,
}

/// When a unit is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charged {
    /// As soon as it is begun (most of China).
    #[default]
    Started,
    /// Only once it is complete (on the streets of Beijing).
    Complete,
}

/// What free minutes are to a stay that is longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Free {
    /// Nothing: it is charged from its first minute.
    #[default]
    Threshold,
    /// They are taken off its beginning.
    Deducted,
}

/// When the durations of lines begin again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// After each 24 hours of the stay; a unit is cut there.
    #[default]
    #[serde(rename = "each_24h")]
    Each24h,
    /// At each local midnight; a unit is cut there.
    EachDay,
    /// Whenever another band begins.
    EachBand,
    /// Never: they count from entry.
    Never,
}

/// What happens to a unit at a boundary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// It ends there, and another one begins.
    #[default]
    Cut,
    /// It runs on to its own end at its own price; the next band begins after it.
    RunsOver,
}

/// What a day is to a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapPer {
    /// 24 hours, from entry.
    #[serde(rename = "each_24h")]
    Each24h,
    /// A local calendar day.
    EachDay,
}

/// Which version prices a stay that sees a version end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// The one in force at entry prices all of it.
    #[default]
    ByEntry,
    /// Each prices its own minutes; the new one counts from the change as from an entry, without free minutes.
    Cut,
}

/// How an amount ends. It is applied in one place, to percentages and to the price after validations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounding {
    /// The price is a multiple of this many minor units.
    #[serde(default = "one")]
    pub to: i64,
    /// Which way.
    #[serde(default)]
    pub mode: RoundingMode,
}

impl Default for Rounding {
    fn default() -> Self {
        Self { to: 1, mode: RoundingMode::default() }
    }
}

/// Which way an amount is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundingMode {
    /// To the next lower multiple.
    Down,
    /// To the next higher multiple.
    Up,
    /// To the nearest; a half goes up.
    #[default]
    HalfUp,
    /// To the nearest; a half goes to the even multiple.
    HalfEven,
}

/// What merchant coupons may do at a stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationRules {
    /// Which of several count.
    #[serde(default)]
    pub stacking: Stacking,
    /// How many count at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count_max: Option<u32>,
    /// How much they take off at most, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_max: Option<i64>,
    /// How many a vehicle may use on one local day, over all its stays in lots of the same operator that have such a limit. What is over it is
    /// taken and flagged, and takes nothing off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_vehicle_day: Option<u32>,
    /// Which minutes a free time frees.
    #[serde(default)]
    pub free_time_from: FreeTimeFrom,
}

/// Which of several validations count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stacking {
    /// The one that takes most off.
    #[default]
    Best,
    /// All, one after the other: free, free time, percent, amount off; within a kind the larger first, then by id.
    All,
    /// None.
    None,
}

/// Which minutes a free time frees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreeTimeFrom {
    /// The last ones: the stay is priced as if it had ended so much earlier.
    #[default]
    End,
    /// The first ones: the stay is priced as if it had begun so much later.
    Start,
}

const fn one() -> i64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
