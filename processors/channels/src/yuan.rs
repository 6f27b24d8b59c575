//! Amounts and times as Chinese channels write them.

use crate::error::{Error, Kind};
use jiff::{Timestamp, civil::DateTime, tz::Offset};
use rust_decimal::Decimal;
use schema::{Currency, Moment, Money};

/// Amount of a text, as `12.30`, with at most the decimals of its currency.
pub fn read(text: &str, currency: Currency) -> Result<Money, Error> {
    let wrong = || Error::new(Kind::Malformed, format!("{text:?} is no amount in {currency:?}"));
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let whole: Decimal = Some(text).filter(|_| plain).ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
    let units = Decimal::from(10_u32.pow(currency.digits()));
    let minor = whole.checked_mul(units).map(|minor| minor.normalize()).filter(|minor| minor.scale() == 0).ok_or_else(wrong)?;
    let minor = i64::try_from(minor).map_err(|_| wrong())?;
    Ok(Money::new(minor, currency))
}

/// A currency by its letters or its number (ISO 4217).
pub fn currency(code: &str) -> Result<Currency, Error> {
    match code {
        "CNY" | "156" => Ok(Currency::Cny),
        "JPY" | "392" => Ok(Currency::Jpy),
        "AUD" | "036" => Ok(Currency::Aud),
        "USD" | "840" => Ok(Currency::Usd),
        "EUR" | "978" => Ok(Currency::Eur),
        other => Err(Error::new(Kind::Malformed, format!("the currency {other} is not known here"))),
    }
}

/// The number of a currency (ISO 4217).
pub const fn number(currency: Currency) -> &'static str {
    match currency {
        Currency::Cny => "156",
        Currency::Jpy => "392",
        Currency::Aud => "036",
        Currency::Usd => "840",
        Currency::Eur => "978",
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
            assert_eq!(read(text, Currency::Cny).ok().map(|money| money.minor), fen, "{text}");
        }
        for text in ["", "0.105", "1e3", "1,000.00", "NaN", "99999999999999999999999.00", "0x10"] {
            assert!(read(text, Currency::Cny).is_err(), "{text}");
        }
        assert_eq!(read("330", Currency::Jpy).ok(), Some(Money::new(330, Currency::Jpy)));
        assert!(read("330.5", Currency::Jpy).is_err(), "a yen has no parts");
    }

    #[test]
    fn a_currency_has_letters_and_a_number() {
        for (letters, known) in
            [("CNY", Currency::Cny), ("JPY", Currency::Jpy), ("AUD", Currency::Aud), ("USD", Currency::Usd), ("EUR", Currency::Eur)]
        {
            assert_eq!((currency(letters).ok(), currency(number(known)).ok()), (Some(known), Some(known)), "{letters}");
        }
        for code in ["", "cny", "XAU", "36", "999"] {
            assert!(currency(code).is_err(), "{code}");
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
