//! Time: moments in UTC, and the local day that a lot lives in.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub i64);

/// A second in a [`Moment`]'s unit.
pub const SECOND: i64 = 1_000_000;
/// A minute in a [`Moment`]'s unit.
pub const MINUTE: i64 = 60 * SECOND;
/// A day of 24 hours in a [`Moment`]'s unit.
pub const DAY: i64 = 24 * 60 * MINUTE;

impl Moment {
    /// `micros` later (earlier where negative); stops at the ends of time.
    #[must_use]
    pub const fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to here.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The day in UTC.
    pub fn utc_day(self) -> Day {
        Zone(TimeZone::UTC).day(self)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}

/// A calendar day as the number `yymmdd` (261123 is 2026-11-23); 0 where a row has no day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub u32);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// A time in which local clocks run evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Even {
    /// Microseconds by which they are ahead of UTC.
    pub offset: i64,
    /// When they are set to another offset; none where they never are again.
    pub until: Option<Moment>,
}

/// The time zone of a lot, with its rules compiled in, so that every machine has the same days.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

impl Zone {
    /// A zone by its IANA name (`Asia/Shanghai`) or as a fixed offset (`+11:00`); none where there is no such zone.
    pub fn named(name: &str) -> Option<Self> {
        let fixed = || jiff::fmt::temporal::DateTimeParser::new().parse_time_zone(name).ok();
        TimeZone::get(name).ok().or_else(fixed).map(Self)
    }

    /// How far local clocks are ahead at a moment, and until when that stays so.
    pub fn even(&self, moment: Moment) -> Even {
        let time = Timestamp::from_microsecond(moment.0).unwrap_or(if moment.0 < 0 { Timestamp::MIN } else { Timestamp::MAX });
        let offset = i64::from(self.0.to_offset(time).seconds()).saturating_mul(SECOND);
        let until = self.0.following(time).next().map(|change| Moment(change.timestamp().as_microsecond()));
        Even { offset, until }
    }

    /// The local date and time of a moment, to the millisecond.
    pub fn text(&self, moment: Moment) -> String {
        self.0.to_datetime(timestamp(moment)).strftime("%F %T%.3f").to_string()
    }

    /// The weekday (0 is Monday) and the minute since midnight of a moment.
    pub fn week_minute(&self, moment: Moment) -> (u8, u16) {
        let local = self.0.to_datetime(timestamp(moment));
        let minute = u16::from(local.hour().unsigned_abs()).saturating_mul(60).saturating_add(u16::from(local.minute().unsigned_abs()));
        (local.weekday().to_monday_zero_offset().unsigned_abs(), minute)
    }

    /// The first moment of the local day of a moment, and that of the next day.
    pub fn day_span(&self, moment: Moment) -> (Moment, Moment) {
        let date = self.0.to_datetime(timestamp(moment)).date();
        let first = |date: Date| date.to_zoned(self.0.clone()).map(|first| Moment(first.timestamp().as_microsecond())).ok();
        let next = date.tomorrow().ok().and_then(first);
        // The ends of time have no day beside them.
        (first(date).unwrap_or(moment), next.unwrap_or(moment.plus(DAY)))
    }

    /// The first moment of the local hour of a moment, and that of the next hour.
    pub fn hour_span(&self, moment: Moment) -> (Moment, Moment) {
        let Even { offset, until } = self.even(moment);
        let passed = moment.0.saturating_add(offset).rem_euclid(60 * MINUTE);
        let from = moment.plus(passed.saturating_neg());
        let next = from.plus(60 * MINUTE);
        // Where clocks are set by less than an hour, the hour ends there.
        (from, until.map_or(next, |until| next.min(until)))
    }

    /// The local calendar day of a moment.
    pub fn day(&self, moment: Moment) -> Day {
        let date = self.0.to_datetime(timestamp(moment)).date();
        let (year, month, day) = (date.year().rem_euclid(100).unsigned_abs(), date.month().unsigned_abs(), date.day().unsigned_abs());
        Day(u32::from(year).saturating_mul(10_000).saturating_add(u32::from(month).saturating_mul(100)).saturating_add(u32::from(day)))
    }
}

/// A moment as jiff has it; the ends of its time where it is beyond them.
fn timestamp(moment: Moment) -> Timestamp {
    Timestamp::from_microsecond(moment.0).unwrap_or(if moment.0 < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_lots_local_day() {
        // 2026-11-23T16:30:00Z is half past midnight of the next day in Shanghai.
        let moment = Moment(1_795_451_400 * SECOND);
        assert_eq!(moment.utc_day(), Day(261_123));
        for (zone, day) in [("Asia/Shanghai", 261_124), ("America/Los_Angeles", 261_123), ("+11:00", 261_124)] {
            assert_eq!(Zone::named(zone).map(|z| z.day(moment)), Some(Day(day)), "{zone}");
        }
        assert_eq!(Zone::named("Asia/Shanghai").map(|zone| zone.text(moment.plus(7_000))), Some("2026-11-24 00:30:00.007".into()));
        assert_eq!(Zone::named("Mars/Olympus"), None);
    }

    #[test]
    fn a_local_day_and_hour_begin_and_end_by_local_clocks() {
        let hour = 60 * MINUTE;
        // 2026-11-23T16:30:00Z is half past midnight in Shanghai.
        let moment = Moment(1_795_451_400 * SECOND);
        let shanghai = Zone::named("Asia/Shanghai").expect("a zone");
        assert_eq!(shanghai.day_span(moment), (moment.plus(-hour / 2), moment.plus(24 * hour - hour / 2)));
        assert_eq!(shanghai.hour_span(moment), (moment.plus(-hour / 2), moment.plus(hour / 2)));
        // On 2027-03-14 clocks go forward in Los Angeles: the day has 23 hours. Its noon is 19:00Z.
        let noon = Moment(1_805_050_800 * SECOND);
        let los_angeles = Zone::named("America/Los_Angeles").expect("a zone");
        let (from, until) = los_angeles.day_span(noon);
        assert_eq!((until.since(from), noon.since(from)), (23 * hour, 11 * hour));
        for (zone, at) in [("Asia/Kathmandu", moment), ("Australia/Lord_Howe", moment), ("UTC", Moment(-1))] {
            let zone = Zone::named(zone).expect("a zone");
            let (from, until) = zone.hour_span(at);
            assert!(from <= at && at < until && until.since(from) <= hour && zone.day(from) == zone.day(at));
            assert_eq!(zone.hour_span(from), (from, until));
        }
    }

    #[test]
    fn local_clocks_run_evenly_until_they_are_set() {
        let hour = 60 * MINUTE;
        // 2026-11-23T16:30:00Z; in Los Angeles clocks go forward on 2027-03-14 at 10:00Z.
        let moment = Moment(1_795_451_400 * SECOND);
        for (zone, offset, until) in [
            ("Asia/Shanghai", 8 * hour, None),
            ("+11:00", 11 * hour, None),
            ("America/Los_Angeles", -8 * hour, Some("2027-03-14T10:00:00Z")),
            ("Australia/Lord_Howe", 11 * hour, Some("2027-04-03T15:00:00Z")),
        ] {
            let even = Zone::named(zone).expect("a zone").even(moment);
            assert_eq!((even.offset, even.until.map(|until| until.to_string())), (offset, until.map(Into::into)), "{zone}");
            let set = even.until.map(|until| Zone::named(zone).expect("a zone").even(until).offset);
            assert!(set.is_none_or(|set| set != offset), "{zone}");
        }
    }
}
