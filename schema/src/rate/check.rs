//! Whether a rate table is sound. A message names the line and says what to do.

use super::{CapPer, Charged, DAY_MIN, PRICE_MAX, RateLine, RateLineCollection, RateLineType, RateTable, Restart, Step, Terms};
use crate::{Energy, VehicleClass};

const CLASSES: [VehicleClass; 3] = [VehicleClass::Motorcycle, VehicleClass::Small, VehicleClass::Large];
const ENERGIES: [Energy; 2] = [Energy::Fuel, Energy::New];

/// What is wrong with a table, beside the hours of its collections.
pub(super) fn check(table: &RateTable) -> Result<(), String> {
    price("lost_ticket", table.lost_ticket)?;
    price("validations.amount_max", table.validations.amount_max)?;
    if table.validations.per_vehicle_day == Some(0) {
        return Err("validations.per_vehicle_day is 0: it is 1 or more; where no coupon counts, stacking is \"none\"".into());
    }
    if !(1..=PRICE_MAX).contains(&table.rounding.to) {
        return Err(format!("rounding.to is {}: it is 1 or more minor units, as 10 for whole jiao", table.rounding.to));
    }
    if let (Some(from), Some(until)) = (table.valid_from, table.valid_until)
        && from >= until
    {
        return Err(format!("valid_until {until} is not after valid_from {from}: it would never be in force"));
    }
    match (table.steps.is_empty(), table.terms.is_empty()) {
        (true, true) => Err("has no price: give it at least one step, or terms".into()),
        (false, false) => Err("has steps and terms: keep one of the two".into()),
        (false, true) => short(table),
        (true, false) => {
            if table.free_min != 0 || table.cap_per_24h.is_some() {
                return Err("free_min and cap_per_24h belong to the short form: put them into the terms (free_min, cap)".into());
            }
            for (at, terms) in table.terms.iter().enumerate() {
                self::terms(terms).map_err(|what| format!("{}: {what}", named("terms", at, &terms.name)))?;
            }
            vehicles(table)
        }
    }
}

/// A part of a table by its number, from 1, and its name.
pub(super) fn named(what: &str, at: usize, name: &str) -> String {
    let number = at.saturating_add(1);
    if name.is_empty() { format!("{what} {number}") } else { format!("{what} {number} ({name})") }
}

fn price(what: &str, amount: Option<i64>) -> Result<(), String> {
    match amount {
        Some(amount) if amount < 0 => Err(format!("{what} is {amount}: an amount is not below 0")),
        Some(amount) if amount > PRICE_MAX => Err(format!("{what} is {amount}: an amount is at most {PRICE_MAX} minor units")),
        _ => Ok(()),
    }
}

fn short(table: &RateTable) -> Result<(), String> {
    if table.free_min < 0 {
        return Err(format!("free_min is {}: it is not below 0", table.free_min));
    }
    price("cap_per_24h", table.cap_per_24h)?;
    let mut ends = Ends::new(table.steps.len(), Some(DAY_MIN));
    for (at, Step { to_min, unit_min, price: amount }) in table.steps.iter().enumerate() {
        let step = |what: String| format!("step {}: {what}", at.saturating_add(1));
        ends.next(None, *to_min).map_err(step)?;
        unit(*unit_min).map_err(step)?;
        price("price", Some(*amount)).map_err(step)?;
    }
    Ok(())
}

fn unit(minutes: i64) -> Result<(), String> {
    if minutes <= 0 { Err(format!("unit_min is {minutes}: a unit has at least 1 minute, as 60 for an hour")) } else { Ok(()) }
}

fn terms(terms: &Terms) -> Result<(), String> {
    if terms.free_min < 0 {
        return Err(format!("free_min is {}: it is not below 0", terms.free_min));
    }
    price("full_24h", terms.full_24h)?;
    price("cap_per_stay", terms.cap_per_stay)?;
    price("min_per_stay", Some(terms.min_per_stay))?;
    if terms.cap_per_stay.is_some_and(|cap| cap < terms.min_per_stay) {
        return Err("min_per_stay is above cap_per_stay: a stay cannot keep both".into());
    }
    if terms.max_stay_min.is_some_and(|most| most <= 0) {
        return Err("max_stay_min is not above 0: no stay would have a price".into());
    }
    if let Some(cap) = &terms.cap {
        if cap.amounts.is_empty() {
            return Err("cap.amounts is empty: name at least one amount, or leave the cap out".into());
        }
        for amount in &cap.amounts {
            price("cap.amounts", Some(*amount))?;
        }
        if terms.full_24h.is_some() && cap.per == CapPer::EachDay {
            return Err("full_24h and a cap for each calendar day count different days: keep one of the two".into());
        }
    }
    if terms.collections.is_empty() {
        return Err("have no collection: give them at least one, with lines".into());
    }
    let longest = match terms.restart {
        Restart::Each24h | Restart::EachDay => Some(DAY_MIN),
        Restart::EachBand | Restart::Never => None,
    };
    for (at, collection) in terms.collections.iter().enumerate() {
        self::collection(collection, longest).map_err(|what| format!("{}: {what}", named("collection", at, &collection.name)))?;
    }
    Ok(())
}

fn collection(collection: &RateLineCollection, longest: Option<i64>) -> Result<(), String> {
    price("cap", collection.cap)?;
    if collection.lines.is_empty() {
        return Err("has no line: give it at least one".into());
    }
    let mut ends = Ends::new(collection.lines.len(), longest);
    for (at, line) in collection.lines.iter().enumerate() {
        let named = |what: String| format!("{}: {what}", named("line", at, line.name.as_deref().unwrap_or_default()));
        ends.next(line.from_min, line.to_min).map_err(named)?;
        self::line(line).map_err(named)?;
        if line.kind == RateLineType::FlatRateTier {
            let before = at.checked_sub(1).and_then(|before| collection.lines.get(before));
            tier(line, before).map_err(named)?;
        }
    }
    Ok(())
}

/// What a line says of itself.
fn line(line: &RateLine) -> Result<(), String> {
    price("price", Some(line.price))?;
    price("min_value", line.min_value)?;
    price("max_value", line.max_value)?;
    if let (Some(least), Some(most)) = (line.min_value, line.max_value)
        && least > most
    {
        return Err(format!("min_value {least} is above max_value {most}: a line cannot keep both"));
    }
    let has_bounds = line.min_value.is_some() || line.max_value.is_some();
    match line.kind {
        RateLineType::IncrementingRate => unit(line.unit_min),
        RateLineType::FlatRate if line.unit_min != 0 => Err("a flat_rate has no unit: leave unit_min out".into()),
        RateLineType::FlatRateTier if line.unit_min != 0 => Err("a flat_rate_tier has no unit: leave unit_min out".into()),
        RateLineType::FlatRateTier if line.charged == Charged::Complete => {
            Err("a flat_rate_tier has no unit that could be complete: leave charged out".into())
        }
        RateLineType::FlatRate | RateLineType::FlatRateTier if has_bounds => {
            Err("costs its price, neither less nor more: leave min_value and max_value out".into())
        }
        RateLineType::FlatRate | RateLineType::FlatRateTier => Ok(()),
    }
}

/// What a tier is to the line before it: tiers come first, and a later one is not cheaper.
fn tier(line: &RateLine, before: Option<&RateLine>) -> Result<(), String> {
    match before {
        Some(before) if before.kind != RateLineType::FlatRateTier => {
            Err("is a flat_rate_tier behind a line that is none: tiers come first, because each is the price in all; move it up".into())
        }
        Some(before) if before.price > line.price => {
            Err(format!("costs {} in all, and the tier before it {}: a longer stay would cost less; raise it", line.price, before.price))
        }
        _ => Ok(()),
    }
}

/// Where consecutive lines begin and end: each where the one before ended and after it, the last one never or where durations begin again, and
/// none where it cannot be reached.
struct Ends {
    left: usize,
    from: i64,
    longest: Option<i64>,
}

impl Ends {
    const fn new(lines: usize, longest: Option<i64>) -> Self {
        Self { left: lines, from: 0, longest }
    }

    fn next(&mut self, begin: Option<i64>, to: Option<i64>) -> Result<(), String> {
        self.left = self.left.saturating_sub(1);
        let from = self.from;
        match begin {
            Some(begin) if begin > from => {
                return Err(format!("begins at {begin}: the minutes {from} to {begin} have no price; let it begin at {from}"));
            }
            Some(begin) if begin < from => {
                return Err(format!("begins at {begin}: the one before it ends at {from}, so that they overlap; let it begin at {from}"));
            }
            _ => {}
        }
        match (to, self.left == 0) {
            (Some(to), true) if self.longest == Some(to) => Ok(()),
            (Some(to), true) => Err(format!("is the last one and ends at {to}: leave to_min out, or what is longer has no price")),
            (None, false) => Err("has no end, and another follows it: give it a to_min".into()),
            (Some(to), false) if to <= from => Err(format!("ends at {to}: it must end after {from}, where the one before it ends")),
            (Some(to), false) if self.longest.is_some_and(|longest| to >= longest) => {
                Err(format!("ends at {to}: durations begin again before, so that what follows is never reached; see restart"))
            }
            (Some(to), false) => {
                self.from = to;
                Ok(())
            }
            (None, true) => Ok(()),
        }
    }
}

/// Every vehicle has terms or is named as not served, and no terms stand behind others that fit all of theirs.
fn vehicles(table: &RateTable) -> Result<(), String> {
    let mut used = vec![false; table.terms.len()];
    for class in CLASSES {
        for energy in ENERGIES {
            match (table.terms.iter().position(|terms| terms.fit(class, energy)), table.not_served.contains(&class)) {
                (None, false) => {
                    let class = format!("{class:?}").to_lowercase();
                    let energy = format!("{energy:?}").to_lowercase();
                    return Err(format!("no terms fit class {class} with energy {energy}: add some, or name the class in not_served"));
                }
                (Some(at), false) => used.get_mut(at).into_iter().for_each(|used| *used = true),
                (_, true) => {}
            }
        }
    }
    match used.iter().position(|used| !used) {
        Some(at) => {
            let name = table.terms.get(at).map(|terms| terms.name.as_ref()).unwrap_or_default();
            Err(format!("{} fit no vehicle that an earlier one does not fit: move them up or take them out", named("terms", at, name)))
        }
        None => Ok(()),
    }
}

impl Terms {
    /// Whether they are for such a vehicle.
    pub fn fit(&self, class: VehicleClass, energy: Energy) -> bool {
        (self.classes.is_empty() || self.classes.contains(&class)) && (self.energies.is_empty() || self.energies.contains(&energy))
    }
}
