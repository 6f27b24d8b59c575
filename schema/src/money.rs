//! Money: whole minor units of one currency.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The currencies that a rate table may name (ISO 4217).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// Renminbi, in fen.
    Cny,
    /// Yen, which has no minor unit.
    Jpy,
    /// Australian dollar, in cents.
    Aud,
    /// US dollar, in cents.
    Usd,
    /// Euro, in cents.
    Eur,
}

impl Currency {
    /// Digits behind the decimal point (ISO 4217 "minor unit").
    pub const fn digits(self) -> u32 {
        match self {
            Self::Jpy => 0,
            Self::Cny | Self::Aud | Self::Usd | Self::Eur => 2,
        }
    }
}

/// An amount in minor units; negative where money goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units (fen, cents, yen).
    pub minor: i64,
    /// Their currency.
    pub currency: Currency,
}

impl Money {
    /// An amount of `minor` units.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Whether nothing is to be paid.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }
}

impl Money {
    /// The number alone, with the digits of its currency.
    pub fn number(self) -> String {
        Decimal::new(self.minor, self.currency.digits()).to_string()
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.number(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_prints_with_the_digits_of_its_currency() {
        assert_eq!(Money::new(1205, Currency::Cny).to_string(), "12.05 Cny");
        assert_eq!(Money::new(330, Currency::Jpy).to_string(), "330 Jpy");
    }
}
