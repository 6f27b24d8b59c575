//! The clock of the channels, which are in China.

use jiff::{Timestamp, tz::Offset};
use schema::Moment;
use std::time::SystemTime;

/// Now.
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Seconds since 1970.
pub fn seconds(moment: Moment) -> i64 {
    moment.0.div_euclid(schema::time::SECOND)
}

/// A moment in China's time, by a format of `strftime`.
fn written(moment: Moment, format: &str) -> String {
    let time = Timestamp::from_microsecond(moment.0).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::constant(8).to_datetime(time).strftime(format).to_string()
}

/// As `2026-11-26 08:00:00`.
pub fn local(moment: Moment) -> String {
    written(moment, "%Y-%m-%d %H:%M:%S")
}

/// As `2026-11-26T08:00:00+08:00`.
pub fn rfc3339(moment: Moment) -> String {
    written(moment, "%Y-%m-%dT%H:%M:%S+08:00")
}

/// The day as `2026-11-26`.
pub fn day(moment: Moment) -> String {
    written(moment, "%Y-%m-%d")
}

/// The moment of a text by RFC 3339, or of a local time as `2026-11-26 08:00:00`.
pub fn read(text: &str) -> Option<Moment> {
    let time = text.parse::<Timestamp>().ok();
    let local = || Offset::constant(8).to_timestamp(text.parse::<jiff::civil::DateTime>().ok()?).ok();
    Some(Moment(time.or_else(local)?.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_chinas() {
        let moment = read("2026-11-25T16:30:00Z").expect("a time");
        assert_eq!((local(moment).as_str(), day(moment).as_str()), ("2026-11-26 00:30:00", "2026-11-26"));
        assert_eq!((read(&local(moment)), read(&rfc3339(moment))), (Some(moment), Some(moment)));
        assert_eq!(read("tomorrow"), None);
    }
}
