//! What a stay costs, line by line.
//!
//! Invariants
//! 1. The lines sum to the total   (`tests::the_lines_sum_to_the_total`).
//! 2. Longer never costs less   (`tests::longer_never_costs_less`).
//! 3. No 24 hours cost more than the cap   (`tests::the_cap_holds`).
//!
//! Not here: which rate table a lot uses (`schema::reference`), when a stay is priced (`pricing`).

use schema::{
    Moment, Money,
    journal::{LineKind, Quote, QuoteLine},
    reference::RateTable,
    time::MINUTE,
};

/// Minutes of a rate table's day: caps and steps start again after each.
const DAY_MIN: i64 = 24 * 60;

/// The price of a stay. A departure before the arrival is a stay of no minutes.
pub fn quote(rates: &RateTable, entered_at: Moment, left_at: Moment) -> Quote {
    let minutes = left_at.since(entered_at).max(0).checked_div(MINUTE).unwrap_or_default();
    let lines = if minutes <= rates.free_min {
        vec![QuoteLine { what: LineKind::Free, from_min: 0, to_min: minutes, units: 0, unit_price: 0, amount: 0 }]
    } else {
        charged(rates, minutes)
    };
    let total = lines.iter().fold(0_i64, |total, line| total.saturating_add(line.amount));
    Quote { rate_table: rates.id.clone(), version: rates.version, minutes, lines, total: Money::new(total, rates.currency) }
}

fn charged(rates: &RateTable, minutes: i64) -> Vec<QuoteLine> {
    let mut lines = Vec::new();
    let mut from = 0_i64;
    while from < minutes {
        let to = from.saturating_add(DAY_MIN).min(minutes);
        day(rates, from, to, &mut lines);
        from = to;
    }
    lines
}

/// The lines of the minutes `from..to`, at most 24 hours, counted from their own first minute.
fn day(rates: &RateTable, from: i64, to: i64, lines: &mut Vec<QuoteLine>) {
    let (mut at, mut sum) = (from, 0_i64);
    for step in &rates.steps {
        let end = step.to_min.map_or(to, |end| from.saturating_add(end).min(to));
        if end <= at {
            continue;
        }
        let length = end.saturating_sub(at);
        let units = length.saturating_add(step.unit_min.saturating_sub(1)).checked_div(step.unit_min).unwrap_or_default();
        let amount = units.saturating_mul(step.price);
        lines.push(QuoteLine { what: LineKind::Step, from_min: at, to_min: end, units, unit_price: step.price, amount });
        sum = sum.saturating_add(amount);
        at = end;
    }
    if let Some(over) = rates.cap_per_24h.map(|cap| sum.saturating_sub(cap)).filter(|over| *over > 0) {
        lines.push(QuoteLine { what: LineKind::Cap, from_min: from, to_min: to, units: 0, unit_price: 0, amount: over.saturating_neg() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use schema::{Currency, reference::Step};

    fn rates(free_min: i64, steps: &[(Option<i64>, i64, i64)], cap: Option<i64>) -> RateTable {
        let steps = steps.iter().map(|&(to_min, unit_min, price)| Step { to_min, unit_min, price }).collect();
        RateTable { id: "t".into(), version: 1, currency: Currency::Cny, free_min, steps, cap_per_24h: cap }
    }

    fn fee(rates: &RateTable, seconds: i64) -> i64 {
        quote(rates, Moment(0), Moment(seconds.saturating_mul(schema::time::SECOND))).total.minor
    }

    #[test]
    fn stays_cost_what_the_table_says() {
        let hourly = rates(15, &[(None, 60, 500)], None);
        let capped = rates(15, &[(None, 60, 500)], Some(2000));
        let station = rates(30, &[(Some(120), 60, 500), (None, 60, 300)], Some(2800));
        for (name, table, minutes, fen) in [
            ("within the free minutes", &hourly, 10, 0),
            ("at their end", &hourly, 15, 0),
            ("past them all is charged", &hourly, 16, 500),
            ("a started hour is whole", &hourly, 90, 1000),
            ("below the cap", &capped, 90, 1000),
            ("a day and an hour and a half", &capped, 1530, 3000),
            ("three days", &capped, 4320, 6000),
            ("first step", &station, 120, 1000),
            ("second step", &station, 121, 1300),
            ("the day's cap", &station, 1440, 2800),
            ("the steps start again", &station, 1441, 3300),
        ] {
            assert_eq!(fee(table, minutes * 60), fen, "{name}: {minutes} minutes");
        }
    }

    #[test]
    fn the_seconds_of_an_unfinished_minute_are_free() {
        let table = rates(15, &[(None, 60, 500)], None);
        assert_eq!((fee(&table, 15 * 60 + 59), fee(&table, 16 * 60)), (0, 500));
    }

    #[test]
    fn leaving_before_entering_costs_nothing() {
        assert_eq!(fee(&rates(0, &[(None, 60, 500)], None), -600), 0);
    }

    prop_compose! {
        fn any_table()(free in 0..120_i64, ends in prop::collection::btree_set(1..1440_i64, 0..4), units in prop::collection::vec((1..240_i64, 0..2000_i64), 5), cap in prop::option::of(0..20_000_i64)) -> RateTable {
            let mut steps: Vec<_> = ends.into_iter().map(Some).collect();
            steps.push(None);
            rates(free, &steps.into_iter().zip(units).map(|(end, (unit, price))| (end, unit, price)).collect::<Vec<_>>(), cap)
        }
    }

    proptest! {
        #[test]
        fn the_lines_sum_to_the_total(table in any_table(), minutes in 0..10_000_i64) {
            let quote = quote(&table, Moment(0), Moment(minutes * MINUTE));
            prop_assert_eq!(quote.lines.iter().map(|l| l.amount).sum::<i64>(), quote.total.minor);
            prop_assert_eq!(quote.lines.iter().filter(|l| l.what == LineKind::Step).map(|l| l.to_min - l.from_min).sum::<i64>(), if quote.minutes <= table.free_min { 0 } else { minutes });
        }

        #[test]
        fn longer_never_costs_less(table in any_table(), minutes in 0..5_000_i64, more in 0..500_i64) {
            prop_assert!(fee(&table, minutes * 60) <= fee(&table, (minutes + more) * 60));
        }

        #[test]
        fn the_cap_holds(table in any_table(), minutes in 0..10_000_i64) {
            if let Some(cap) = table.cap_per_24h {
                prop_assert!(fee(&table, minutes * 60) <= cap * (minutes / 1440 + 1));
            }
        }
    }
}
