//! What a channel keeps for itself of what it captures, by its contract's rate.
//!
//! Invariants
//! 1. A fee is rounded half up, for each transaction   (`tests::a_fee_is_rounded_half_up`).
//! 2. Of a transaction no more is given back than was charged, and all of it once all went back
//!    (`tests::whatever_goes_back_takes_its_part_of_the_fee_along`).
//!
//! Not here: what the channel's statement says of it (reconciliation).

use super::Fees;

/// The whole, in which rates are told.
const WHOLE: i128 = 1_000_000;

/// The fee of an amount in minor units, by the rate of its channel.
pub fn of(fees: &Fees, channel: &str, minor: i64) -> i64 {
    let rate = fees.get(channel).copied().map_or(0, i128::from);
    let doubled = i128::from(minor).saturating_mul(rate).saturating_mul(2);
    let fee = doubled.saturating_add(WHOLE).div_euclid(WHOLE.saturating_mul(2));
    i64::try_from(fee).unwrap_or(minor).clamp(0, minor.max(0))
}

/// What of the fee is given back with `minor` of the `left` that had not gone back yet.
pub fn back(fees: &Fees, channel: &str, minor: i64, left: i64) -> i64 {
    of(fees, channel, left).saturating_sub(of(fees, channel, left.saturating_sub(minor)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fees(rate: u32) -> Fees {
        Fees::from([("wechat".into(), rate)])
    }

    #[test]
    fn a_fee_is_rounded_half_up() {
        for (minor, rate, fee) in [
            (2_990, 6_000, 18),
            (600, 6_000, 4),
            (83, 6_000, 0),
            (84, 6_000, 1),
            (250, 2_000, 1),
            (249, 2_000, 0),
            (0, 6_000, 0),
            (1, 1_000_000, 1),
            (i64::MAX, 1_000_000, i64::MAX),
        ] {
            assert_eq!(of(&fees(rate), "wechat", minor), fee, "{minor} at {rate}");
        }
        assert_eq!(of(&fees(6_000), "etc", 2_990), 0);
    }

    proptest! {
        #[test]
        fn whatever_goes_back_takes_its_part_of_the_fee_along(
            captured in 1..1_000_000_i64,
            rate in 0..1_000_000_u32,
            parts in prop::collection::vec(1..300_000_i64, 0..9),
        ) {
            let fees = fees(rate);
            let (mut left, mut given) = (captured, 0);
            for part in parts.into_iter().chain([captured]) {
                let part = part.min(left);
                let back = back(&fees, "wechat", part, left);
                prop_assert!(back >= 0 && back <= part);
                // Up to a minor unit it is the fee of what goes back.
                prop_assert!((back - of(&fees, "wechat", part)).abs() <= 1);
                left -= part;
                given += back;
                prop_assert!(given <= of(&fees, "wechat", captured));
            }
            prop_assert_eq!(given, of(&fees, "wechat", captured));
        }
    }
}
