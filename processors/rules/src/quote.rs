//! What a stay costs, line by line.
//!
//! A stay is cut into stretches: those under a right are free, each other one is priced from its own first minute. From their sum go the
//! validations, then it is rounded, then what was paid before is taken off.
//!
//! Invariants
//! 1. The lines sum to the total   (`tests::laws::the_lines_sum_to_the_total`).
//! 2. Longer never costs less, unless the table has a price for full 24 hours   (`tests::laws::longer_never_costs_less`).
//! 3. Every cap holds   (`tests::laws::the_caps_hold`).
//! 4. A prepayment changes no sum, and no minute is charged twice   (`tests::laws::a_prepayment_changes_no_sum`).
//! 5. The walk from boundary to boundary finds what minutes find one by one   (`tests::laws::a_price_is_what_its_minutes_say`).
//! 6. A later version changes no price of before   (`tests::laws::a_later_version_changes_no_price_of_before`).
//! 7. A tier is the price in all, and a line keeps its least and its most   (`tests::laws::a_tier_is_the_price_in_all`, `a_line_keeps_its_bounds`).
//!
//! Not here: which rate table a lot uses (`schema::reference`), when a stay is priced (`pricing`).

mod clock;
mod lines;
mod rights;
mod validations;
mod walk;
mod words;

use clock::{Clock, minutes};
use lines::Lines;
use schema::{
    Energy, Moment, Money, VehicleClass, Zone,
    journal::{LineKind, Quote, QuoteLine},
    rate::{Free, FreeTimeFrom, LocalTime, OnChange, Prepaid, Resolved, Rounding, Segment, Tariff, Validation, Version},
    time::DAY,
};
use std::{fmt, sync::Arc};
use walk::Walk;

pub use rights::segments;
pub use words::why;

/// The longest stay that has a price; a longer one is a mistake of a clock.
pub const STAY_MAX: i64 = 20 * 366 * DAY;

/// What a price depends on, beside the tariff.
#[derive(Clone, Copy, Debug)]
pub struct Stay<'a> {
    /// When it began.
    pub entered_at: Moment,
    /// When it ended, or the moment for which a price is asked.
    pub left_at: Moment,
    /// The lot's time zone.
    pub zone: &'a Zone,
    /// The vehicle's class.
    pub class: VehicleClass,
    /// What drives it.
    pub energy: Energy,
    /// What rights cover, in any order; where two do, the one that begins first.
    pub segments: &'a [Segment],
    /// The merchants' coupons, in any order.
    pub validations: &'a [Validation],
    /// What was really paid before, by time: each that covers the price of its moment, and was made soon after that, begins the minutes to leave.
    pub paid: &'a [Prepaid],
    /// Minutes to leave after a payment (`ExitGrace`).
    pub grace_min: i64,
}

impl<'a> Stay<'a> {
    /// A small car on fuel, without right, validation or payment.
    pub const fn new(entered_at: Moment, left_at: Moment, zone: &'a Zone) -> Self {
        let (class, energy) = (VehicleClass::Small, Energy::Fuel);
        Self { entered_at, left_at, zone, class, energy, segments: &[], validations: &[], paid: &[], grace_min: 0 }
    }
}

/// Why a stay has no price: a person is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPriced {
    /// It ends before it begins.
    LeftBeforeEntered,
    /// It is longer than [`STAY_MAX`].
    TooLong,
    /// No version of the table is in force.
    NotInForce {
        /// The table.
        table: Arc<str>,
        /// When, by the lot's clock.
        at: LocalTime,
    },
    /// The table does not serve the class.
    NotServed {
        /// The table.
        table: Arc<str>,
        /// The class.
        class: VehicleClass,
    },
    /// It is longer than what the table sells.
    NotSold {
        /// The table.
        table: Arc<str>,
        /// What it sells at most.
        most_min: i64,
    },
    /// A validation has a number that means nothing.
    BadValidation {
        /// Its id.
        id: Arc<str>,
    },
    /// A payment is below zero or in another currency.
    BadPayment {
        /// Its id.
        id: Arc<str>,
    },
    /// The table has no price for a lost ticket.
    NoLostTicket {
        /// The table.
        table: Arc<str>,
    },
}

impl fmt::Display for NotPriced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftBeforeEntered => write!(f, "the stay ends before it begins: correct one of the two times"),
            Self::TooLong => write!(f, "the stay is longer than twenty years: correct one of its times"),
            Self::NotInForce { table, at } => write!(f, "no version of rate table {table} is in force at {at}: give it one in the reference data"),
            Self::NotServed { table, class } => write!(f, "rate table {table} does not serve class {class:?}: ask a person, or give it terms"),
            Self::NotSold { table, most_min } => write!(f, "rate table {table} sells stays of at most {most_min} minutes: ask a person"),
            Self::BadValidation { id } => {
                write!(f, "validation {id} has a number below 0 or a percent above 100: void it")
            }
            Self::BadPayment { id } => write!(f, "payment {id} is below 0 or not in the table's currency: ask a person"),
            Self::NoLostTicket { table } => write!(f, "rate table {table} has no price for a lost ticket: give it lost_ticket, or ask a person"),
        }
    }
}

impl std::error::Error for NotPriced {}

impl NotPriced {
    /// Why, as a word that a device may translate.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::LeftBeforeEntered | Self::TooLong => "wrong_times",
            Self::NotInForce { .. } => "no_rate_table",
            Self::NotServed { .. } => "class_not_served",
            Self::NotSold { .. } => "stay_not_sold",
            Self::BadValidation { .. } => "bad_coupon",
            Self::BadPayment { .. } => "bad_payment",
            Self::NoLostTicket { .. } => "no_lost_ticket",
        }
    }
}

/// The price of a stay.
pub fn quote(tariff: &Tariff, stay: &Stay) -> Result<Quote, NotPriced> {
    let length = stay.left_at.since(stay.entered_at);
    if length < 0 {
        return Err(NotPriced::LeftBeforeEntered);
    }
    if length > STAY_MAX {
        return Err(NotPriced::TooLong);
    }
    let clock = Clock::new(stay.zone, stay.entered_at);
    let (place, version) = in_force(tariff, LocalTime(clock.first.local(0)))?;
    let resolved = terms(version, stay)?;
    let (table, stayed) = (&version.table, minutes(length));
    if let Some(most_min) = resolved.terms.max_stay_min.filter(|most| stayed > *most) {
        return Err(NotPriced::NotSold { table: table.id.clone(), most_min });
    }
    if let Some(wrong) = stay.paid.iter().find(|paid| paid.amount.minor < 0 || paid.amount.currency != table.currency) {
        return Err(NotPriced::BadPayment { id: wrong.id.clone() });
    }
    let case = Case { tariff, stay, clock: &clock, place, version, resolved };
    let covered = case.paid_until(stayed)?;
    let mut lines = case.price(covered.unwrap_or(stayed), Lines::kept())?;
    if let Some(from) = covered.filter(|from| *from < stayed) {
        lines.push(QuoteLine::new(LineKind::Grace, (from, stayed), 0, 0, 0));
    }
    for paid in stay.paid {
        let counts = paid.amount.minor.min(lines.total);
        let at = case.clock.minute(paid.until).clamp(0, stayed);
        let line = QuoteLine::new(LineKind::Paid, (0, at), 1, paid.amount.minor, counts.saturating_neg());
        lines.push(QuoteLine { due_to: Some(paid.id.clone()), ..line });
    }
    Ok(Quote {
        rate_table: table.id.clone(),
        version: table.version,
        minutes: stayed,
        total: Money::new(lines.total, table.currency),
        lines: lines.list,
    })
}

/// The price of a lost ticket: that of the version in force, or an error, and never a guess.
pub fn lost_ticket(tariff: &Tariff, at: Moment, zone: &Zone) -> Result<Quote, NotPriced> {
    let (_, Version { table, .. }) = in_force(tariff, LocalTime::at(at, zone))?;
    let fee = table.lost_ticket.ok_or_else(|| NotPriced::NoLostTicket { table: table.id.clone() })?;
    let lines = vec![QuoteLine::new(LineKind::LostTicket, (0, 0), 1, fee, fee)];
    Ok(Quote { rate_table: table.id.clone(), version: table.version, minutes: 0, lines, total: Money::new(fee, table.currency) })
}

fn in_force(tariff: &Tariff, at: LocalTime) -> Result<(usize, &Version), NotPriced> {
    let place = tariff.in_force(at);
    place.and_then(|place| Some((place, tariff.versions().get(place)?))).ok_or_else(|| {
        let table = tariff.newest().map(|table| table.id.clone()).unwrap_or_default();
        NotPriced::NotInForce { table, at }
    })
}

fn terms<'a>(version: &'a Version, stay: &Stay) -> Result<&'a Resolved, NotPriced> {
    let not_served = || NotPriced::NotServed { table: version.table.id.clone(), class: stay.class };
    version.terms(stay.class, stay.energy).ok_or_else(not_served)
}

/// A stay with what prices it.
struct Case<'a> {
    tariff: &'a Tariff,
    stay: &'a Stay<'a>,
    clock: &'a Clock<'a>,
    /// The version in force at entry: its free minutes, validations and rounding are those of the stay.
    place: usize,
    version: &'a Version,
    resolved: &'a Resolved,
}

/// Minutes of a stay that are treated alike.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: i64,
    to: i64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Charged by the version at this place.
    Charged(usize),
    /// Free minutes.
    Free,
    /// Under the right of the segment at this place.
    Right(usize),
}

impl Case<'_> {
    /// The minute up to which the stay was paid, where it still is within the minutes to leave after that.
    fn paid_until(&self, stayed: i64) -> Result<Option<i64>, NotPriced> {
        let mut sum = self.stay.paid.iter().fold(0_i64, |sum, paid| sum.saturating_add(paid.amount.minor));
        for paid in self.stay.paid.iter().rev() {
            // A price stands as long for who pays it as the barrier does for who has paid; and two clocks may differ by seconds.
            let is_fresh = |from: Moment, to: Moment| minutes(to.since(from)) <= self.stay.grace_min;
            let at = minutes(paid.until.since(self.stay.entered_at)).clamp(0, stayed);
            let counts = self.stay.left_at >= paid.until && is_fresh(paid.until, paid.at) && is_fresh(paid.at, self.stay.left_at);
            if counts && self.price(at, Lines::total_alone())?.total <= sum {
                return Ok(Some(at));
            }
            sum = sum.saturating_sub(paid.amount.minor);
        }
        Ok(None)
    }

    /// What so many minutes cost after validations and rounding.
    fn price(&self, minutes: i64, lines: Lines) -> Result<Lines, NotPriced> {
        let table = &self.version.table;
        let pieces = self.pieces(minutes)?;
        let mut lines = self.charge(&pieces, lines)?;
        if !self.stay.validations.is_empty() {
            let without = |freed: i64| {
                let mut pieces = pieces.clone();
                self.free(&mut pieces, freed, table.validations.free_time_from);
                // The pieces had a price before, so they have one now.
                self.charge(&pieces, Lines::total_alone()).map_or(0, |lines| lines.total)
            };
            let gross = (lines.total, minutes);
            for line in validations::lines(self.stay.validations, &table.validations, gross, table.rounding.mode, without)? {
                lines.push(line);
            }
        }
        let Rounding { to, mode } = table.rounding;
        let rounded = validations::round(lines.total, to, mode).saturating_mul(to).saturating_sub(lines.total);
        if rounded != 0 {
            lines.push(QuoteLine::new(LineKind::Rounding, (0, minutes), 0, to, rounded));
        }
        Ok(lines)
    }

    /// The stay, cut where a right begins or ends and where the table changes, with its free minutes.
    fn pieces(&self, minutes: i64) -> Result<Vec<Piece>, NotPriced> {
        let mut rights: Vec<_> = self.stay.segments.iter().enumerate().collect();
        rights.sort_by_key(|(at, segment)| (segment.from, *at));
        let mut pieces = Vec::with_capacity(rights.len().saturating_mul(2).saturating_add(2));
        let mut at = 0;
        for (right, segment) in rights {
            let (from, to) = (self.clock.minute(segment.from).max(at), self.clock.minute(segment.until).min(minutes));
            if from < to {
                self.versions(at, from, &mut pieces)?;
                pieces.push(Piece { from, to, what: What::Right(right) });
                at = to;
            }
        }
        if at < minutes || minutes == 0 {
            self.versions(at, minutes, &mut pieces)?;
        }
        let is_charged = |piece: &&Piece| matches!(piece.what, What::Charged(_));
        let charged = pieces.iter().filter(is_charged).fold(0_i64, |sum, piece| sum.saturating_add(piece.to.saturating_sub(piece.from)));
        let terms = &self.resolved.terms;
        if charged <= terms.free_min {
            self.free(&mut pieces, charged, FreeTimeFrom::Start);
        } else if terms.free == Free::Deducted {
            self.free(&mut pieces, terms.free_min, FreeTimeFrom::Start);
        }
        Ok(pieces)
    }

    /// Charged minutes, cut where another version comes into force, if the table says so.
    fn versions(&self, from: i64, to: i64, pieces: &mut Vec<Piece>) -> Result<(), NotPriced> {
        let (mut at, mut place, mut version) = (from, self.place, self.version);
        while version.table.on_change == OnChange::Cut {
            let next = self.tariff.versions().get(place.saturating_add(1)).and_then(|next| next.table.valid_from);
            let Some(end) = [next, version.table.valid_until].into_iter().flatten().min() else { break };
            let change = self.clock.when(self.clock.first, 0, end.0, to);
            if change >= to {
                break;
            }
            if change > at {
                pieces.push(Piece { from: at, to: change, what: What::Charged(place) });
                at = change;
            }
            (place, version) = in_force(self.tariff, end)?;
        }
        pieces.push(Piece { from: at, to, what: What::Charged(place) });
        Ok(())
    }

    /// Takes so many charged minutes off one end of the stay.
    #[expect(clippy::unused_self, reason = "it belongs to the case")]
    fn free(&self, pieces: &mut Vec<Piece>, minutes: i64, end: FreeTimeFrom) {
        let mut left = minutes;
        let mut freed = Vec::with_capacity(pieces.len().saturating_add(1));
        let is_start = end == FreeTimeFrom::Start;
        if !is_start {
            pieces.reverse();
        }
        for piece in pieces.drain(..) {
            let length = piece.to.saturating_sub(piece.from);
            let take = length.min(left);
            if !matches!(piece.what, What::Charged(_)) || take == 0 && length > 0 {
                freed.push(piece);
                continue;
            }
            left = left.saturating_sub(take);
            let cut = if is_start { piece.from.saturating_add(take) } else { piece.to.saturating_sub(take) };
            let (free, rest) = if is_start {
                (Piece { to: cut, what: What::Free, ..piece }, Piece { from: cut, ..piece })
            } else {
                (Piece { from: cut, what: What::Free, ..piece }, Piece { to: cut, ..piece })
            };
            freed.push(free);
            if rest.from < rest.to {
                freed.push(rest);
            }
        }
        if !is_start {
            freed.reverse();
        }
        *pieces = freed;
    }

    /// What pieces cost before validations.
    fn charge(&self, pieces: &[Piece], lines: Lines) -> Result<Lines, NotPriced> {
        let mut walk = Walk::new(self.clock, lines);
        for &Piece { from, to, what } in pieces {
            match what {
                What::Free => walk.lines.push(QuoteLine::new(LineKind::Free, (from, to), 0, 0, 0)),
                What::Right(at) => {
                    let due_to = self.stay.segments.get(at).map(|segment| segment.right.clone());
                    walk.lines.push(QuoteLine { due_to, ..QuoteLine::new(LineKind::Right, (from, to), 0, 0, 0) });
                }
                What::Charged(place) => {
                    let version = self.tariff.versions().get(place).unwrap_or(self.version);
                    walk.charge(version, terms(version, self.stay)?, from, to);
                }
            }
        }
        let mut lines = walk.end();
        let short = self.resolved.terms.min_per_stay.saturating_sub(lines.total);
        if lines.total > 0 && short > 0 {
            let to = pieces.last().map_or(0, |piece| piece.to);
            lines.push(QuoteLine::new(LineKind::Minimum, (0, to), 0, self.resolved.terms.min_per_stay, short));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests;
