//! Amounts and times as Chinese channels write them.

use crate::error::{Error, Kind};
use jiff::{Timestamp, civil::DateTime, tz::Offset};
use rust_decimal::Decimal;
use schema::{Currency, Moment, Money};

/// Amount of a text in yuan with at most two decimals, as `12.30`.
pub fn read(text: &str) -> Result<Money, Error> {
    let wrong = || Error::new(Kind::Malformed, format!("{text:?} is no amount in yuan"));
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let yuan: Decimal = Some(text).filter(|_| plain).ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
    let fen = yuan.checked_mul(Decimal::ONE_HUNDRED).map(|fen| fen.normalize()).filter(|fen| fen.scale() == 0).ok_or_else(wrong)?;
    let minor = i64::try_from(fen).map_err(|_| wrong())?;
    Ok(Money::new(minor, Currency::Cny))
}

/// An amount of fen as a number.
pub fn fen(minor: i64, currency: &str) -> Result<Money, Error> {
    match currency {
        "CNY" => Ok(Money::new(minor, Currency::Cny)),
        other => Err(Error::new(Kind::Malformed, format!("the currency {other} is not known here"))),
    }
}

/// The moment of a local time in China, as `2019-08-15 15:56:24`.
pub fn beijing(text: &str) -> Result<Moment, Error> {
    let wrong = || Error::new(Kind::Malformed, format!("{text:?} is no time"));
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    let time = Offset::constant(8).to_timestamp(local).map_err(|_| wrong())?;
    Ok(Moment(time.as_microsecond()))
}

/// A moment as a local time in China, written by a format of `strftime`.
pub fn in_beijing(moment: Moment, format: &str) -> String {
    let time = Timestamp::from_microsecond(moment.0).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::constant(8).to_datetime(time).strftime(format).to_string()
}

/// The moment of a text by RFC 3339.
pub fn rfc3339(text: &str) -> Result<Moment, Error> {
    let time: Timestamp = text.parse().map_err(|_| Error::new(Kind::Malformed, format!("{text:?} is no time")))?;
    Ok(Moment(time.as_microsecond()))
}

/// A moment by RFC 3339, in China's time, to the second.
pub fn to_rfc3339(moment: Moment) -> String {
    in_beijing(moment, "%Y-%m-%dT%H:%M:%S+08:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_exactly_or_not_at_all() {
        for (text, fen) in
            [("0.10", Some(10)), ("12.3", Some(1_230)), ("7", Some(700)), ("-3.50", Some(-350)), ("90071992547409.93", Some(9_007_199_254_740_993))]
        {
            assert_eq!(read(text).ok().map(|money| money.minor), fen, "{text}");
        }
        for text in ["", "0.105", "1e3", "1,000.00", "NaN", "99999999999999999999999.00", "0x10"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_chinas() {
        let moment = beijing("2019-08-15 15:56:24").expect("a time");
        assert_eq!(moment, rfc3339("2019-08-15T15:56:24+08:00").expect("a time"));
        assert_eq!(in_beijing(moment, "%Y-%m-%d %H:%M:%S"), "2019-08-15 15:56:24");
        assert_eq!(to_rfc3339(moment), "2019-08-15T15:56:24+08:00");
        assert!(beijing("yesterday").is_err());
    }
}
