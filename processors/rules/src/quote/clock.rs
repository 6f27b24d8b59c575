//! The lot's clock along a stay: which local minute a minute of the stay is, and when the clock shows another.
//!
//! A minute of a stay begins whole minutes after the entry; it is the local minute in which it begins. Where clocks are set, the next minute
//! is another local minute, and nothing else happens: an hour that is there twice is charged twice, one that is not there is not.

use schema::{Moment, Zone, rate::DAY_MIN, time::MINUTE};

/// The complete minutes of a time.
pub(super) fn minutes(micros: i64) -> i64 {
    micros.div_euclid(MINUTE)
}

/// Minutes of a stay in which local clocks run evenly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// What the clock would have shown in the stay's first minute, in minutes since 1970.
    first: i64,
    /// The stay's minute before which it ends; `i64::MAX` where clocks are never set again.
    until: i64,
}

impl Span {
    /// What the clock shows in a minute of the stay.
    pub fn local(self, minute: i64) -> i64 {
        self.first.saturating_add(minute)
    }
}

/// The lot's clock along a stay.
pub(super) struct Clock<'a> {
    zone: &'a Zone,
    entered_at: Moment,
    /// That of the stay's first minute.
    pub first: Span,
}

impl<'a> Clock<'a> {
    pub fn new(zone: &'a Zone, entered_at: Moment) -> Self {
        Self { zone, entered_at, first: span(zone, entered_at, 0) }
    }

    /// The minute of the stay that begins first at a moment or after it.
    pub fn minute(&self, at: Moment) -> i64 {
        at.since(self.entered_at).saturating_neg().div_euclid(MINUTE).saturating_neg()
    }

    /// The span of a minute, from that of the same or an earlier one.
    pub fn reach(&self, from: Span, minute: i64) -> Span {
        let mut span = from;
        while minute >= span.until {
            span = self::span(self.zone, self.entered_at, span.until);
        }
        span
    }

    /// The first minute, from `minute` on, at which the clock shows `local` or later; `stop` where that is not before it.
    pub fn when(&self, mut span: Span, mut minute: i64, local: i64, stop: i64) -> i64 {
        loop {
            let next = local.saturating_sub(span.first).max(minute);
            // Where clocks are set forward before `stop`, it is sooner than this span says.
            if next < span.until || span.until >= stop {
                return next.min(stop);
            }
            minute = span.until;
            span = self.reach(span, minute);
        }
    }

    /// The first minute of the next local day; `stop` where that is not before it.
    pub fn midnight(&self, span: Span, minute: i64, stop: i64) -> i64 {
        let tomorrow = span.local(minute).div_euclid(DAY_MIN).saturating_add(1);
        self.when(span, minute, tomorrow.saturating_mul(DAY_MIN), stop)
    }

    /// How far a minute may look ahead before clocks are set.
    pub fn until(span: Span) -> i64 {
        span.until
    }
}

fn span(zone: &Zone, entered_at: Moment, minute: i64) -> Span {
    let even = zone.even(entered_at.plus(minute.saturating_mul(MINUTE)));
    let first = entered_at.plus(even.offset).0.div_euclid(MINUTE);
    let until = even.until.map_or(i64::MAX, |at| at.since(entered_at).saturating_neg().div_euclid(MINUTE).saturating_neg());
    Span { first, until }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_comes_sooner_where_clocks_are_set_forward() {
        // Lord Howe Island skips half an hour at 2 o'clock on 2026-10-04.
        let zone = Zone::named("Australia/Lord_Howe").expect("it is one");
        let clock = Clock::new(&zone, Moment(1_790_986_920 * schema::time::SECOND));
        for (from, stop, midnight) in [(0, 2_199, 788), (788, 2_199, 2_198), (788, 2_198, 2_198), (788, 900, 900), (2_198, 9_000, 3_638)] {
            assert_eq!(clock.midnight(clock.reach(clock.first, from), from, stop), midnight, "from {from} to {stop}");
        }
    }
}
