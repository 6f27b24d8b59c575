//! Values as they stand in files: amounts and times, from bytes, without allocation.
//!
//! Invariants
//! 1. An amount is read exactly or not at all   (`tests::an_amount_is_read_exactly_or_not_at_all`).
//! 2. A time is the moment that a calendar says   (`tests::a_time_is_what_a_calendar_says`).

use super::{Reason, Refusal};
use jiff::civil::Date;

/// By how many seconds clocks in China are ahead of UTC.
pub const CHINA_S: i64 = 8 * 3_600;
/// What a day has of seconds.
const DAY_S: i64 = 86_400;
/// The digits of an amount before its point, at most: no sum of ten million such overflows anything.
const DIGITS: usize = 12;
/// How long a number of a payment may be.
pub const NUMBER_MAX: usize = 128;

/// A text of a cell, for people.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned()
}

/// An amount in units of `10^-decimals` yuan: digits, and at most that many behind the point.
pub fn amount(bytes: &[u8], decimals: usize) -> Result<i64, Reason> {
    // Most values of most columns.
    if bytes == b"0.00" {
        return Ok(0);
    }
    let (is_negative, digits) = match bytes.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, bytes),
    };
    let (mut value, mut seen, mut behind) = (0_i64, 0, None);
    for byte in digits {
        match (byte, &mut behind) {
            (b'0'..=b'9', None) => seen += 1,
            (b'0'..=b'9', Some(behind)) => *behind += 1,
            (b'.', None) => {
                behind = Some(0);
                continue;
            }
            _ => return Err(Reason::Amount(text(bytes))),
        }
        if seen > DIGITS {
            return Err(Reason::Amount(text(bytes)));
        }
        if behind.is_some_and(|behind| behind > decimals) {
            let is_number = digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') && memchr::memchr_iter(b'.', digits).count() == 1;
            return Err(if is_number { Reason::Decimals(text(bytes)) } else { Reason::Amount(text(bytes)) });
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    if seen == 0 || behind == Some(0) {
        return Err(Reason::Amount(text(bytes)));
    }
    for _ in behind.unwrap_or(0)..decimals {
        value *= 10;
    }
    Ok(if is_negative { -value } else { value })
}

/// An amount in fen that is not negative.
pub fn fen(bytes: &[u8]) -> Result<i64, Reason> {
    match amount(bytes, 2)? {
        fen @ 0.. => Ok(fen),
        _ => Err(Reason::Amount(text(bytes))),
    }
}

/// A count, as `45` or, as genuine files have it, `45.0`.
pub fn count(bytes: &[u8]) -> Option<u64> {
    let whole = bytes.strip_suffix(b".0").unwrap_or(bytes);
    (!whole.is_empty() && whole.len() <= 15 && whole.iter().all(u8::is_ascii_digit)).then_some(())?;
    Some(whole.iter().fold(0, |count, digit| count * 10 + u64::from(digit - b'0')))
}

/// A sum in units of `10^-decimals` yuan, as files write it.
pub fn sum(value: i128, decimals: usize) -> String {
    let unit = 10_u128.pow(u32::try_from(decimals).unwrap_or_default());
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{:0decimals$}", value.unsigned_abs() / unit, value.unsigned_abs() % unit)
}

/// A number of a payment: neither empty nor beyond all measure.
pub fn number<'a>(bytes: &'a [u8], line: u32, column: &str) -> Result<&'a [u8], Refusal> {
    match bytes.len() {
        0 => Err(Refusal::at(line, column, Reason::Empty)),
        1..=NUMBER_MAX => Ok(bytes),
        _ => Err(Refusal::at(line, column, Reason::TooLong(NUMBER_MAX))),
    }
}

/// Days from 1970 to a day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    (1..=length).contains(&day).then_some(())?;
    // Years that begin in March have their leap day at the end; 719,468 days lie between the first of March of year 0 and 1970.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    Some(365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 1 - 719_468)
}

/// Seconds since 1970 of `2026-11-23 08:00:00`, in China where it has no offset; `T` for the blank, a fraction, `Z` and `+08:00` are taken, too.
pub fn time(bytes: &[u8]) -> Option<i64> {
    let digits = |from: usize, length: usize| {
        let digits = bytes.get(from..from + length)?;
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    };
    let at = |place: usize| bytes.get(place).copied();
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    let is_framed = at(4) == Some(b'-') && at(7) == Some(b'-') && matches!(at(10), Some(b' ' | b'T')) && at(13) == Some(b':') && at(16) == Some(b':');
    (is_framed && hour < 24 && minute < 60 && second < 60).then_some(())?;
    let local = days(year, month, day)? * DAY_S + hour * 3_600 + minute * 60 + second;
    let mut rest = &bytes[19..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (1..=9).contains(&length).then_some(())?;
        rest = &fraction[length..];
    }
    let offset = match rest {
        b"" => CHINA_S,
        b"Z" => 0,
        [sign @ (b'+' | b'-'), hours @ .., b':', _, _] if rest.len() == 6 => {
            let from = bytes.len() - 5;
            let ahead = digits(from, 2).filter(|_| hours.len() == 2)? * 3_600 + digits(from + 3, 2)? * 60;
            if *sign == b'+' { ahead } else { -ahead }
        }
        _ => return None,
    };
    Some(local - offset)
}

/// The day in China of seconds since 1970, in days since 1970.
pub fn day_in_china(seconds: i64) -> i64 {
    (seconds + CHINA_S).div_euclid(DAY_S)
}

/// A day as days since 1970.
pub fn civil_day(day: Date) -> i64 {
    days(i64::from(day.year()), i64::from(day.month()), i64::from(day.day())).expect("a date is one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{civil::DateTime, tz::Offset};
    use proptest::prelude::*;

    #[test]
    fn an_amount_is_read_exactly_or_not_at_all() {
        for (text, decimals, value) in [
            ("0.00", 2, 0),
            ("0", 2, 0),
            ("0.0", 2, 0),
            ("12.30", 2, 1_230),
            ("12.3", 2, 1_230),
            ("7", 2, 700),
            ("-3.50", 2, -350),
            ("0.18000", 5, 18_000),
            ("-0.04000", 5, -4_000),
            ("0.00", 5, 0),
            ("999999999999.99", 2, 99_999_999_999_999),
        ] {
            assert_eq!(amount(text.as_bytes(), decimals), Ok(value), "{text}");
        }
        for text in
            ["", "-", ".", "1.", ".5", "a0.00", "1e3", "1,000.00", "--1", "+1", "1.2.3", "NaN", "1000000000000", "0x1", "1 ", "１", "1.2x3", "1.23.4"]
        {
            assert_eq!(amount(text.as_bytes(), 2), Err(Reason::Amount(text.into())), "{text}");
        }
        for text in ["0.105", "0.000", "12.300"] {
            assert_eq!(amount(text.as_bytes(), 2), Err(Reason::Decimals(text.into())), "{text}");
        }
        assert_eq!(fen(b"-0.01"), Err(Reason::Amount("-0.01".into())));
        assert_eq!((sum(1_795, 2), sum(-4_000, 5), sum(3, 2)), ("17.95".into(), "-0.04000".into(), "0.03".into()));
    }

    #[test]
    fn a_count_may_have_a_point() {
        for (text, expected) in
            [("45", Some(45)), ("45.0", Some(45)), ("0", Some(0)), ("45.5", None), ("", None), (".0", None), ("a3", None), ("-1", None)]
        {
            assert_eq!(count(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_what_a_calendar_says(seconds in -30_000_000_000_i64..200_000_000_000) {
            let civil = |offset: i8| Offset::constant(offset).to_datetime(jiff::Timestamp::from_second(seconds).expect("in range"));
            for (text, _) in [
                (civil(8).strftime("%Y-%m-%d %H:%M:%S").to_string(), 8),
                (civil(0).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), 0),
                (civil(11).strftime("%Y-%m-%dT%H:%M:%S.123+11:00").to_string(), 11),
                (civil(-3).strftime("%Y-%m-%dT%H:%M:%S-03:00").to_string(), -3),
            ] {
                prop_assert_eq!(time(text.as_bytes()), Some(seconds), "{}", text);
            }
            prop_assert_eq!(day_in_china(seconds), civil_day(civil(8).date()));
        }

        #[test]
        fn what_is_no_time_is_none(text in "[0-9 :T.+Z-]{0,26}") {
            let parsed = text.replacen(' ', "T", 1).parse::<DateTime>();
            if time(text.as_bytes()).is_some() && text.len() == 19 {
                prop_assert!(parsed.is_ok(), "{}", text);
            }
        }
    }

    #[test]
    fn a_day_that_no_calendar_has_is_no_time() {
        for text in [
            "2026-02-29 00:00:00",
            "2026-13-01 00:00:00",
            "2026-11-23 24:00:00",
            "2026-11-23",
            "2026/11/23 00:00:00",
            "2026-11-23 00:00:00+8",
            "yesterday",
        ] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
        }
        assert_eq!(time(b"2024-02-29 08:00:00"), Some(1_709_164_800));
    }
}
