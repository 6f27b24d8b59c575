//! Days and times of day as rate tables name them: holidays, working weekends, hours, and the moment of a change.
//!
//! Invariants
//! 1. A working weekend is a workday, a holiday is one even on a weekend   (`tests::a_calendar_knows_its_days`).

use crate::time::{MINUTE, Moment, Zone};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// A calendar date, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date(pub i64);

/// A moment by a lot's own clock, in minutes since 1970-01-01T00:00 there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LocalTime(pub i64);

/// Hours of a day, from one minute of it to before another; over midnight where the end is not after the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    /// The first minute of the day.
    pub from: u16,
    /// The minute before which they end; 1440 is midnight.
    pub to: u16,
}

/// What a day is to a tariff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayKind {
    /// Monday to Friday, and a weekend on which one works.
    Workday,
    /// Saturday and Sunday.
    Weekend,
    /// A holiday of the calendar, whatever its weekday.
    Holiday,
}

impl DayKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Workday, Self::Weekend, Self::Holiday];
}

/// The days of a country or a city that are not what their weekday says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// The name by which rate tables call it.
    pub name: Arc<str>,
    /// Its holidays.
    #[serde(default)]
    pub holidays: Vec<Date>,
    /// Saturdays and Sundays on which one works.
    #[serde(default)]
    pub working: Vec<Date>,
}

impl Calendar {
    /// Its days in order, so that they are found quickly; an error names a date that is on both lists.
    pub(super) fn sorted(&self) -> Result<Self, String> {
        let mut calendar = self.clone();
        calendar.holidays.sort_unstable();
        calendar.working.sort_unstable();
        match calendar.working.iter().find(|day| calendar.holidays.binary_search(day).is_ok()) {
            Some(day) => Err(format!("calendar {}: {day} is a holiday and a working day: take it off one of the two", self.name)),
            None => Ok(calendar),
        }
    }

    /// What a date is.
    pub fn kind(&self, date: Date) -> DayKind {
        // 1970-01-01 was a Thursday, so that day 2 is a Saturday.
        let weekend = matches!(date.0.rem_euclid(7), 2 | 3);
        if self.holidays.binary_search(&date).is_ok() {
            DayKind::Holiday
        } else if weekend && self.working.binary_search(&date).is_err() {
            DayKind::Weekend
        } else {
            DayKind::Workday
        }
    }
}

impl FromStr for LocalTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("{text:?} is no local time: write it as 2026-01-01T00:00");
        let time: jiff::civil::DateTime = text.parse().map_err(wrong)?;
        let utc = jiff::tz::TimeZone::UTC.to_zoned(time).map_err(wrong)?;
        Ok(Self(utc.timestamp().as_second().div_euclid(60)))
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = Moment(self.0.saturating_mul(MINUTE)).to_string();
        f.pad(utc.trim_end_matches(":00Z"))
    }
}

impl LocalTime {
    /// What a lot's clock shows at a moment, to the minute.
    pub fn at(moment: Moment, zone: &Zone) -> Self {
        Self(moment.plus(zone.even(moment).offset).0.div_euclid(MINUTE))
    }
}

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = format!("{text}T00:00").parse::<LocalTime>().map_err(|_| format!("{text:?} is no date: write it as 2026-10-01"))?;
        Ok(Self(day.0.div_euclid(super::DAY_MIN)))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let midnight = LocalTime(self.0.saturating_mul(super::DAY_MIN)).to_string();
        f.pad(midnight.split('T').next().unwrap_or_default())
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60 || (hour, minute) == (24, 0)).then(|| hour.saturating_mul(60).saturating_add(minute))
        };
        let hours = text.split_once('-').and_then(|(from, to)| Some(Self { from: minute(from)?, to: minute(to)? }));
        match hours {
            Some(hours) if hours.from != hours.to && hours.from < 1_440 => Ok(hours),
            _ => Err(format!("{text:?} are no hours: write them as 07:00-19:00, and leave them out for the whole day")),
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [self.from, self.to].map(|minute| format!("{:02}:{:02}", minute.div_euclid(60), minute.rem_euclid(60)));
        write!(f, "{from}-{to}")
    }
}

impl Hours {
    /// Whether a minute of the day lies in them.
    pub const fn contain(self, minute: u16) -> bool {
        if self.from < self.to { self.from <= minute && minute < self.to } else { self.from <= minute || minute < self.to }
    }
}

impl TryFrom<String> for Date {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl TryFrom<String> for LocalTime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

impl From<LocalTime> for String {
    fn from(time: LocalTime) -> Self {
        time.to_string()
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.to_string()
    }
}
