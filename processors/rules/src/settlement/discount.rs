//! What of a discount is to be booked: a stay may be priced and paid more than once, and each of its prices tells all that was taken off.
//!
//! Invariants
//! 1. However often a stay is priced, the books hold what its last price took off   (`tests::the_books_hold_what_the_last_price_took_off`).
//!
//! Not here: how the ledger hears of it (`payment::discount`).

use schema::{
    fact::OperatorId,
    ledger::{Account, Discounts, Entry},
};
use std::collections::BTreeSet;

/// The sides by which what is booked becomes what was taken off: who bears it against what the stay has earned.
pub fn entries(taken: &Discounts, booked: Option<&Discounts>, operator: Option<&OperatorId>) -> Vec<Entry> {
    let bearers: BTreeSet<_> = taken.borne.keys().chain(booked.into_iter().flat_map(|booked| booked.borne.keys())).collect();
    let (mut sides, mut all) = (Vec::new(), 0_i64);
    for bearer in bearers {
        let before = booked.and_then(|booked| booked.borne.get(bearer)).copied().unwrap_or(0);
        let more = taken.borne.get(bearer).copied().unwrap_or(0).saturating_sub(before);
        if more == 0 {
            continue;
        }
        let is_operator = operator.is_some_and(|operator| operator.as_str() == &**bearer);
        let account = if is_operator { Account::DiscountsOperator } else { Account::DiscountsMerchant };
        sides.push(Entry { of: Some(bearer.clone()), ..side(account, more) });
        all = all.saturating_add(more);
    }
    if all != 0 {
        sides.push(side(Account::ParkingRevenue, all.saturating_neg()));
    }
    sides
}

/// A debit, or a credit where it is below zero.
const fn side(account: Account, minor: i64) -> Entry {
    if minor < 0 { Entry::credit(account, minor.saturating_neg()) } else { Entry::debit(account, minor) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use schema::{Moment, id};
    use std::collections::BTreeMap;

    fn taken(at: i64, cinema: i64, city: i64) -> Discounts {
        let place = id::Place { province: id::Province(44), day: schema::Day(261_123), partition: schema::Partition(7) };
        let borne =
            [("cinema", cinema), ("city", city)].into_iter().filter(|(_, minor)| *minor > 0).map(|(name, minor)| (name.into(), minor)).collect();
        Discounts { session: id::derive(id::Kind::Session, place, &["s"]), asked_at: Moment(at), borne }
    }

    proptest! {
        #[test]
        fn the_books_hold_what_the_last_price_took_off(prices in prop::collection::vec((0..500_i64, 0..500_i64), 1..6)) {
            let city = "city".parse().expect("a name");
            let mut booked: Option<Discounts> = None;
            let mut sums: BTreeMap<Account, i64> = BTreeMap::new();
            for (at, (cinema, by_city)) in (0..).zip(prices) {
                let next = taken(at, cinema, by_city);
                let entries = entries(&next, booked.as_ref(), Some(&city));
                prop_assert_eq!(entries.iter().map(|entry| entry.debit - entry.credit).sum::<i64>(), 0);
                for entry in &entries {
                    *sums.entry(entry.account).or_default() += entry.debit - entry.credit;
                }
                let sum = |account| sums.get(&account).copied().unwrap_or(0);
                prop_assert_eq!((sum(Account::DiscountsMerchant), sum(Account::DiscountsOperator)), (cinema, by_city));
                prop_assert_eq!(sum(Account::ParkingRevenue), -cinema - by_city);
                booked = Some(next);
            }
        }
    }
}
