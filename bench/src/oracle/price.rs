//! What a stay costs, counted minute by minute.
//!
//! Invariants
//! 1. The examples of the tariff's words hold   (`tests::a_stay_costs_what_the_words_say`, `tests::tiers_and_bounds_cost_what_the_words_say`).
//!
//! Not here: the lines that explain a price (`rules` makes them; the oracle only adds them up).

use schema::{
    Moment, Money, Zone,
    fact::LocalMinute,
    journal::RightUsed,
    rate::{CapPer, Charged, Prepaid, RateLine, RateLineCollection, RateLineType, Terms, Validation, ValidationKind},
    reference::RateTable,
    time::MINUTE,
};
use std::collections::BTreeMap;

/// Minutes of 24 hours.
const DAY_MIN: i64 = 1_440;

/// The complete minutes from one moment to another.
pub fn minutes(entered_at: Moment, left_at: Moment) -> i64 {
    left_at.since(entered_at).div_euclid(MINUTE)
}

/// Whether the oracle has prices by a table: by the short form, and by lines that hold for all vehicles at all times and begin again each 24 hours.
pub fn can_price(table: &RateTable) -> bool {
    let [terms] = table.terms.as_slice() else { return table.is_short() };
    let [RateLineCollection { hours: None, days, cap: None, lines, .. }] = terms.collections.as_slice() else { return false };
    let is_daily = terms.cap.as_ref().is_none_or(|cap| cap.per == CapPer::Each24h && cap.amounts.len() == 1);
    let collections = terms.collections.clone();
    // Whatever else terms could say they leave as it is by default.
    let plain = Terms { name: terms.name.clone(), free_min: terms.free_min, cap: terms.cap.clone(), collections, ..Terms::default() };
    let is_short = RateTable { terms: Vec::new(), ..table.clone() }.is_short();
    is_short && is_daily && days.is_empty() && !lines.is_empty() && *terms == plain
}

/// What so many minutes of one day cost by lines, minute by minute.
fn day(lines: &[RateLine], minutes: i64) -> i64 {
    let mut stayed: BTreeMap<usize, i64> = BTreeMap::new();
    for minute in 0..minutes {
        let line = lines.iter().position(|line| line.to_min.is_none_or(|to| minute < to));
        *stayed.entry(line.expect("the last line ends with the day or never")).or_default() += 1;
    }
    let (mut tier, mut rest) = (0, 0);
    for (line, minutes) in stayed {
        let line = &lines[line];
        match line.kind {
            // A later tier takes the place of the earlier one.
            RateLineType::FlatRateTier => tier = line.price,
            RateLineType::FlatRate => rest += line.price,
            RateLineType::IncrementingRate => {
                let started = i64::from(minutes % line.unit_min != 0 && line.charged == Charged::Started);
                let cost = (minutes / line.unit_min + started) * line.price;
                let raised = if cost > 0 { cost.max(line.min_value.unwrap_or(0)) } else { 0 };
                rest += line.max_value.map_or(raised, |most| raised.min(most));
            }
        }
    }
    tier + rest
}

/// The price of a stay by terms of one collection, see [`can_price`].
fn by_terms(terms: &Terms, minutes: i64) -> i64 {
    if minutes <= terms.free_min {
        return 0;
    }
    let cap = terms.cap.as_ref().map_or(i64::MAX, |cap| cap.amounts[0]);
    let days = (0..minutes).step_by(1_440).map(|from| (minutes - from).min(DAY_MIN));
    days.map(|minutes| day(&terms.collections[0].lines, minutes).min(cap)).sum()
}

/// The price of a stay by a table that the oracle can price by: walks over its minutes one by one.
pub fn slow_price(table: &RateTable, entered_at: Moment, left_at: Moment) -> Money {
    let minutes = minutes(entered_at, left_at);
    if let [terms] = table.terms.as_slice() {
        return Money::new(by_terms(terms, minutes), table.currency);
    }
    if minutes <= table.free_min {
        return Money::new(0, table.currency);
    }
    // How many minutes of the stay fall into each step of each 24 hours.
    let mut stayed: BTreeMap<(i64, usize), i64> = BTreeMap::new();
    for minute in 0..minutes {
        let (day, within) = (minute / DAY_MIN, minute % DAY_MIN);
        let step = table.steps.iter().position(|step| step.to_min.is_none_or(|to| within < to));
        *stayed.entry((day, step.expect("the last step of a table has no end"))).or_default() += 1;
    }
    let mut days: BTreeMap<i64, i64> = BTreeMap::new();
    for ((day, step), minutes) in stayed {
        let step = &table.steps[step];
        let whole = minutes / step.unit_min;
        let started = i64::from(minutes % step.unit_min != 0);
        *days.entry(day).or_default() += (whole + started) * step.price;
    }
    let total = days.into_values().map(|day| table.cap_per_24h.map_or(day, |cap| day.min(cap))).sum();
    Money::new(total, table.currency)
}

/// The price of a stay of which a right may cover parts: each stretch between is priced from its own first minute, and the free minutes count for
/// all of them together.
pub fn under_right(table: &RateTable, (entered_at, left_at): (Moment, Moment), right: Option<&RightUsed>, zone: &Zone) -> Money {
    let Some(right) = right else { return slow_price(table, entered_at, left_at) };
    let covered = |moment: Moment| {
        let local = LocalMinute::of(zone, moment);
        right.from <= moment && moment < right.until && (right.bands.is_empty() || right.bands.iter().any(|band| band.covers(local)))
    };
    let mut stretches: Vec<i64> = vec![0];
    for minute in 0..minutes(entered_at, left_at) {
        if covered(entered_at.plus(minute * MINUTE)) {
            stretches.push(0);
        } else if let Some(stretch) = stretches.last_mut() {
            *stretch += 1;
        }
    }
    if stretches.iter().sum::<i64>() <= table.terms.first().map_or(table.free_min, |terms| terms.free_min) {
        return Money::new(0, table.currency);
    }
    let terms = table.terms.iter().map(|terms| Terms { free_min: 0, ..terms.clone() }).collect();
    let without_free = RateTable { free_min: 0, terms, ..table.clone() };
    let price = |minutes: &i64| slow_price(&without_free, entered_at, entered_at.plus(minutes * MINUTE)).minor;
    Money::new(stretches.iter().map(price).sum(), table.currency)
}

/// A price less what the best of its validations takes off that is not over its limit; the world's merchants give amounts, or all.
pub fn validated(validations: &[Validation], price: Money) -> Money {
    let off = |validation: &Validation| match validation.kind {
        ValidationKind::Free => price.minor,
        ValidationKind::AmountOff { amount } => amount.min(price.minor),
        ValidationKind::FreeTime { .. } | ValidationKind::Percent { .. } => unreachable!("no merchant of the world gives {:?}", validation.kind),
    };
    Money::new(price.minor - validations.iter().filter(|validation| !validation.over).map(off).max().unwrap_or(0), price.currency)
}

/// What is still due of a price after what was paid inside.
///
/// Nothing more is, while it is no longer than the grace since a payment that was made no longer than that after its price was asked for, if all
/// that was paid by then is what that price was.
pub fn after_payments(paid: &[Prepaid], grace_min: i64, left_at: Moment, price: impl Fn(Moment) -> Money) -> Money {
    let whole = price(left_at);
    let sum: i64 = paid.iter().map(|paid| paid.amount.minor).sum();
    let free = paid.iter().enumerate().any(|(at, one)| {
        let by_then: i64 = paid[..=at].iter().map(|paid| paid.amount.minor).sum();
        let is_soon = minutes(one.until, one.at) <= grace_min && minutes(one.at, left_at) <= grace_min && left_at >= one.until;
        is_soon && price(one.until).minor <= by_then
    });
    Money::new(if free { 0 } else { (whole.minor - sum).max(0) }, whole.currency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Currency, rate::Restart, reference::Step};

    #[test]
    fn a_stay_costs_what_the_words_say() {
        // 15 minutes are free; to 2 h each 30 min cost 3.00, from there each hour 5.00; at most 40.00 in 24 h.
        let steps = vec![Step { to_min: Some(120), unit_min: 30, price: 300 }, Step { to_min: None, unit_min: 60, price: 500 }];
        let table =
            RateTable { id: "t".into(), version: 1, currency: Currency::Cny, free_min: 15, steps, cap_per_24h: Some(4_000), ..RateTable::default() };
        for (minutes, seconds, price) in [
            (0, 0, 0),
            (15, 59, 0),
            (16, 0, 300),
            (30, 0, 300),
            (31, 0, 600),
            (120, 0, 1_200),
            (121, 0, 1_700),
            (180, 59, 1_700),
            (181, 0, 2_200),
            (600, 0, 4_000),
            (1_440, 0, 4_000),
            (1_441, 0, 4_300),
            (2_880, 1, 8_000),
        ] {
            let left = Moment(0).plus(minutes * MINUTE + seconds * schema::time::SECOND);
            assert_eq!(slow_price(&table, Moment(0), left).minor, price, "{minutes} min {seconds} s");
        }
    }

    #[test]
    fn tiers_and_bounds_cost_what_the_words_say() {
        // 15 minutes are free; up to 1 h 5.00, up to 4 h 12.00 in all, then each hour 3.00, these together at least 4.00 and at most 9.00.
        let tier = |to_min, price| RateLine { kind: RateLineType::FlatRateTier, to_min, price, ..RateLine::default() };
        let hours = RateLine { unit_min: 60, price: 300, min_value: Some(400), max_value: Some(900), ..RateLine::default() };
        let lines = vec![tier(Some(60), 500), tier(Some(240), 1_200), hours];
        let collections = vec![RateLineCollection { lines, ..RateLineCollection::default() }];
        let terms = Terms { free_min: 15, collections, ..Terms::default() };
        let table = |terms: Terms| RateTable { id: "t".into(), terms: vec![terms], ..RateTable::default() };
        assert!(can_price(&table(terms.clone())));
        assert!(!can_price(&table(Terms { cap_per_stay: Some(1), ..terms.clone() })));
        assert!(!can_price(&table(Terms { restart: Restart::Never, ..terms.clone() })));
        for (minutes, price) in [
            (15, 0),
            (16, 500),
            (60, 500),
            (61, 1_200),
            (240, 1_200),
            (241, 1_200 + 400),
            (301, 1_200 + 600),
            (361, 1_200 + 900),
            (1_440, 2_100),
            (1_441, 2_100 + 500),
        ] {
            let left = Moment(0).plus(minutes * MINUTE);
            assert_eq!(slow_price(&table(terms.clone()), Moment(0), left).minor, price, "{minutes} min");
        }
    }
}
