//! The price of a stay minute by minute: slow and obvious, from what the table declares alone.

use super::*;
use schema::rate::{Boundary, Calendar, CapPer, Charged, DAY_MIN, Date, RateLineType, Restart};
use std::collections::BTreeMap;

/// A unit that a minute began.
struct Unit {
    band: i64,
    /// Since when durations counted, and which line of the collection it is.
    line: (i64, usize),
    collection: usize,
    window: i64,
    price: i64,
    length: i64,
    served: i64,
    needs_all: bool,
    /// The duration where its line ends, and since when that counts.
    line_end: i64,
    base: i64,
}

/// The price of a stay of one table without rights, validations, payments and rounding.
pub(super) fn slow_price(terms: &Terms, calendar: &Calendar, zone: &Zone, entered_at: Moment, left_at: Moment) -> i64 {
    let length = left_at.since(entered_at) / MINUTE;
    if length <= terms.free_min {
        return 0;
    }
    let mut start = if terms.free == Free::Deducted { terms.free_min } else { 0 };
    let mut total = 0;
    while let Some(price) = terms.full_24h
        && length - start >= DAY_MIN
    {
        total += price;
        start += DAY_MIN;
    }
    let mut units: Vec<Unit> = Vec::new();
    let mut is_running = false;
    let (mut band, mut held, mut is_new_band) = (0, None, true);
    let (mut first_day, mut day, mut band_from) = (None, i64::MIN, start);
    let (mut window, mut restart, mut origin) = (0, None, start);
    let mut flat = None;
    // Of the tiers of a band: since when they count, and what they cost so far.
    let mut tier: Option<((i64, i64), i64)> = None;
    for minute in start..length {
        let LocalTime(local) = LocalTime::at(entered_at.plus(minute * MINUTE), zone);
        day = day.max(local.div_euclid(DAY_MIN));
        let first_day = *first_day.get_or_insert(day);
        let kind = calendar.kind(Date(local.div_euclid(DAY_MIN)));
        let of_day = u16::try_from(local.rem_euclid(DAY_MIN)).expect("a minute of a day");
        let holds = terms.collections.iter().position(|collection| {
            (collection.days.is_empty() || collection.days.contains(&kind)) && collection.hours.is_none_or(|hours| hours.contain(of_day))
        });
        let mut is_boundary = false;
        if holds != held {
            (held, is_new_band, is_boundary) = (holds, true, true);
        }
        let this_window = match terms.cap.as_ref().map(|cap| cap.per) {
            None => 0,
            Some(CapPer::Each24h) => (minute - start) / DAY_MIN,
            Some(CapPer::EachDay) => day - first_day,
        };
        if this_window != window {
            (window, is_boundary) = (this_window, true);
        }
        let this_restart = match terms.restart {
            Restart::Each24h => (minute - start) / DAY_MIN,
            Restart::EachDay => day,
            Restart::EachBand | Restart::Never => 0,
        };
        if restart != Some(this_restart) {
            restart = Some(this_restart);
            origin = minute;
            is_running = false;
        }
        if is_boundary && terms.boundary == Boundary::Cut {
            is_running = false;
        }
        if let Some(unit) = units.last_mut()
            && is_running
            && unit.served < unit.length
            && minute - unit.base < unit.line_end
        {
            unit.served += 1;
            continue;
        }
        if is_new_band {
            is_new_band = false;
            (band, band_from) = (band + 1, minute);
            if terms.restart == Restart::EachBand {
                origin = minute;
            }
        }
        let collection = held.expect("every minute has a collection");
        let lines = &terms.collections[collection].lines;
        let base = if lines[0].kind == RateLineType::FlatRateTier { origin.max(band_from) } else { origin };
        let since = minute - base;
        let place = lines.iter().position(|line| line.to_min.is_none_or(|to| since < to)).expect("the last line has no end");
        let line = &lines[place];
        is_running = line.kind == RateLineType::IncrementingRate;
        let needs_all = line.charged == Charged::Complete && is_running;
        let line_end = line.to_min.unwrap_or(i64::MAX);
        let length = if is_running { line.unit_min } else { 1 };
        let price = match line.kind {
            RateLineType::IncrementingRate => Some(line.price),
            RateLineType::FlatRate => (flat.replace((band, origin, place)) != Some((band, origin, place))).then_some(line.price),
            RateLineType::FlatRateTier => {
                let before = tier.filter(|(at, _)| *at == (band, origin)).map_or(0, |(_, cost)| cost);
                tier = Some(((band, origin), line.price));
                (line.price > before).then_some(line.price - before)
            }
        };
        if let Some(price) = price {
            units.push(Unit { band, line: (origin, place), collection, window, price, length, served: 1, needs_all, line_end, base });
        }
    }
    total += sum(terms, &units);
    let total = terms.cap_per_stay.map_or(total, |cap| total.min(cap));
    if total > 0 { total.max(terms.min_per_stay) } else { 0 }
}

/// What units count together: each raised and cut by its line, then cut by its band, then by its day.
fn sum(terms: &Terms, units: &[Unit]) -> i64 {
    let mut total = 0;
    let mut lines: BTreeMap<(i64, (i64, usize)), i64> = BTreeMap::new();
    let (mut bands, mut windows): (BTreeMap<i64, i64>, BTreeMap<i64, i64>) = Default::default();
    for unit in units.iter().filter(|unit| !unit.needs_all || unit.served == unit.length) {
        let up_to = |sum: &mut i64, amount: i64, cap: Option<i64>| {
            let counts = cap.map_or(amount, |cap| amount.min(cap - *sum));
            *sum += counts;
            counts
        };
        let declared = &terms.collections[unit.collection].lines[unit.line.1];
        let bounded = |sum: i64| match (sum, declared.min_value, declared.max_value) {
            (0, _, _) => 0,
            (_, least, most) => sum.max(least.unwrap_or(0)).min(most.unwrap_or(i64::MAX)),
        };
        let of_line = lines.entry((unit.band, unit.line)).or_default();
        let before = bounded(*of_line);
        *of_line += unit.price;
        let price = bounded(*of_line) - before;
        let counts = up_to(bands.entry(unit.band).or_default(), price, terms.collections[unit.collection].cap);
        let cap = terms.cap.as_ref().map(|cap| {
            let day = usize::try_from(unit.window).expect("days count from 0");
            *cap.amounts.get(day).or(cap.amounts.last()).expect("at least one amount")
        });
        total += up_to(windows.entry(unit.window).or_default(), counts, cap);
    }
    total
}
