//! What a stretch of a stay costs: from boundary to boundary, all units between two of them at once.
//!
//! A boundary is where a band, a day of the cap, a restart or a rate line ends. At each the walk stands at the first minute that has no price yet.

use super::{
    clock::{Clock, Span},
    lines::Lines,
};
use schema::{
    journal::{LineKind, QuoteLine},
    rate::{Boundary, CapPer, DAY_MIN, Date, Line, RateLineType, Resolved, Restart, Version},
};

/// What is charged up to a cap.
#[derive(Clone, Copy, Debug)]
struct Capped {
    /// Its first minute.
    from: i64,
    /// The minute before which it ends.
    to: i64,
    cap: Option<i64>,
    /// What counts of what was charged.
    sum: i64,
    /// What the cap took off.
    over: i64,
}

impl Capped {
    const fn new(from: i64, to: i64, cap: Option<i64>) -> Self {
        Self { from, to, cap, sum: 0, over: 0 }
    }

    /// What counts of an amount.
    fn take(&mut self, amount: i64) -> i64 {
        let counts = self.cap.map_or(amount, |cap| amount.min(cap.saturating_sub(self.sum).max(0)));
        self.sum = self.sum.saturating_add(counts);
        self.over = self.over.saturating_add(amount.saturating_sub(counts));
        counts
    }

    /// The line of what was taken off, if anything was.
    fn line(&self, what: LineKind, until: i64) -> Option<QuoteLine> {
        let over = self.over.saturating_neg();
        (over < 0).then(|| QuoteLine::new(what, (self.from, self.to.min(until)), 0, self.cap.unwrap_or_default(), over))
    }
}

/// The line that a stay came to last, of those that must know what they cost before: flat ones, tiers, and lines with bounds.
struct Known {
    /// When its band began, from when durations count, and its place; all tiers of a collection have that of the first.
    line: Option<(i64, i64, usize)>,
    /// What it cost so far, before its bounds.
    cost: i64,
}

impl Known {
    /// What a line cost before; nothing is known of it where the stay comes to it anew.
    fn before(&mut self, line: (i64, i64, usize)) -> Option<i64> {
        if self.line.replace(line) == Some(line) {
            return Some(self.cost);
        }
        self.cost = 0;
        None
    }

    /// What an amount of a line is raised by or cut by, so that the line keeps its bounds.
    fn bound(&mut self, place: (i64, i64, usize), line: &Line, minutes: (i64, i64), amount: i64) -> Option<QuoteLine> {
        let bounds = line.bounds?;
        let before = self.before(place).unwrap_or_default();
        self.cost = before.saturating_add(amount);
        let more = bounds.of(self.cost).saturating_sub(bounds.of(before)).saturating_sub(amount);
        let (what, height) = if self.cost > bounds.most { (LineKind::LineCap, bounds.most) } else { (LineKind::LineMinimum, bounds.least) };
        (more != 0).then(|| QuoteLine { rate_line: Some(line.name.clone()), ..QuoteLine::new(what, minutes, 0, height, more) })
    }
}

/// A walk over the charged stretches of one stay.
pub(super) struct Walk<'a> {
    clock: &'a Clock<'a>,
    span: Span,
    /// What was found.
    pub lines: Lines,
    stay: Capped,
}

/// Where a stretch stands.
struct Stretch<'a> {
    version: &'a Version,
    resolved: &'a Resolved,
    /// Its first minute: durations and days count from here.
    from: i64,
    to: i64,
    first_day: i64,
}

impl<'a> Walk<'a> {
    pub fn new(clock: &'a Clock<'a>, lines: Lines) -> Self {
        Self { clock, span: clock.first, lines, stay: Capped::new(0, 0, None) }
    }

    /// Charges the minutes `from..to`, after those that were charged before.
    pub fn charge(&mut self, version: &'a Version, resolved: &'a Resolved, from: i64, to: i64) {
        let terms = &resolved.terms;
        self.span = self.clock.reach(self.span, from);
        self.stay.cap = terms.cap_per_stay;
        let mut at = from;
        if let Some(price) = terms.full_24h {
            let days = to.saturating_sub(from).div_euclid(DAY_MIN);
            at = from.saturating_add(days.saturating_mul(DAY_MIN));
            if days > 0 {
                let amount = days.saturating_mul(price);
                self.stay.take(amount);
                self.lines.push(QuoteLine::new(LineKind::FullDay, (from, at), days, price, amount));
            }
        }
        let first_day = self.clock.reach(self.span, from).local(from).div_euclid(DAY_MIN);
        self.bands(&Stretch { version, resolved, from: at, to, first_day });
        self.stay.to = to;
    }

    /// Ends the walk: what the cap of the stay took off.
    pub fn end(mut self) -> Lines {
        if let Some(line) = self.stay.line(LineKind::StayCap, self.stay.to) {
            self.lines.push(line);
        }
        self.lines
    }

    fn bands(&mut self, stretch: &Stretch) {
        let (terms, to) = (&stretch.resolved.terms, stretch.to);
        let runs_over = terms.boundary == Boundary::RunsOver;
        let mut at = stretch.from;
        let nothing = Capped::new(at, at, None);
        let (mut band, mut held, mut window, mut origin) = (nothing, 0, nothing, (at, at));
        let mut known = Known { line: None, cost: 0 };
        while at < to {
            self.span = self.clock.reach(self.span, at);
            if at >= band.to {
                self.end_band(&band, stretch, held, at);
                (held, band) = self.band(stretch, at);
            }
            if at >= window.to {
                self.end_window(&window, &mut band, stretch, held, at);
                window = self.window(stretch, at);
            }
            if at >= origin.1 || terms.restart == Restart::EachBand {
                origin = self.origin(stretch, at, &band);
            }
            let lines = stretch.resolved.lines.get(held).map(Vec::as_slice).unwrap_or_default();
            // A tier is the price of its band's minutes in all, and says nothing of those of the band before.
            let is_tiered = lines.first().is_some_and(|line| line.kind == RateLineType::FlatRateTier);
            let begins = if is_tiered { origin.0.max(band.from) } else { origin.0 };
            let since = at.saturating_sub(begins);
            let Some((place, line)) = lines.iter().enumerate().find(|(_, line)| since < line.to) else { break };
            let hard = to.min(origin.1).min(begins.saturating_add(line.to));
            let soft = hard.min(band.to).min(window.to);
            let key = (band.from, origin.0, place);
            let (what, line, units, amount, next) = match line.kind {
                RateLineType::IncrementingRate => {
                    let (units, next) = units(line, at, soft, if runs_over { hard } else { soft });
                    (LineKind::Step, line, units, units.saturating_mul(line.price), next)
                }
                RateLineType::FlatRate => {
                    let units = i64::from(known.before(key).is_none());
                    (LineKind::Flat, line, units, units.saturating_mul(line.price), soft)
                }
                RateLineType::FlatRateTier => {
                    let (line, next) = tier(lines, begins, to.min(origin.1).min(band.to).min(window.to)).unwrap_or((line, soft));
                    let before = known.before((band.from, origin.0, 0));
                    known.cost = line.price;
                    (LineKind::Tier, line, i64::from(before.is_none()), line.price.saturating_sub(before.unwrap_or_default()), next)
                }
            };
            let bound = known.bound(key, line, (at, next), amount);
            let counts = window.take(band.take(bound.as_ref().map_or(amount, |bound| amount.saturating_add(bound.amount))));
            self.stay.take(counts);
            let rate_line = Some(line.name.clone());
            self.lines.push(QuoteLine { rate_line, ..QuoteLine::new(what, (at, next), units, line.price, amount) });
            if let Some(bound) = bound {
                self.lines.push(bound);
            }
            at = next;
        }
        self.end_band(&band, stretch, held, to);
        self.end_window(&window, &mut Capped::new(to, to, None), stretch, held, to);
    }

    fn end_band(&mut self, band: &Capped, stretch: &Stretch, held: usize, until: i64) {
        if let Some(line) = band.line(LineKind::BandCap, until) {
            let rate_line = stretch.resolved.terms.collections.get(held).map(|collection| collection.name.clone());
            self.lines.push(QuoteLine { rate_line, ..line });
        }
    }

    /// What a band took off until here goes before what the day does, so that the lines of a day sum to its cap.
    fn end_window(&mut self, window: &Capped, band: &mut Capped, stretch: &Stretch, held: usize, until: i64) {
        if let Some(line) = window.line(LineKind::Cap, until) {
            self.end_band(band, stretch, held, until);
            band.over = 0;
            self.lines.push(line);
        }
    }

    /// The band that holds at a minute, until another one does.
    fn band(&self, stretch: &Stretch, at: i64) -> (usize, Capped) {
        let resolved = stretch.resolved;
        if resolved.is_even {
            return (0, Capped::new(at, stretch.to, resolved.terms.collections.first().and_then(|collection| collection.cap)));
        }
        let (mut span, mut end, mut held) = (self.span, at, None);
        while end < stretch.to {
            span = self.clock.reach(span, end);
            let local = span.local(end);
            let (day, minute) = (local.div_euclid(DAY_MIN), local.rem_euclid(DAY_MIN));
            let (holds, until) = resolved.at(stretch.version.kind(Date(day)), minute);
            if *held.get_or_insert(holds) != holds {
                break;
            }
            end = end.saturating_add(until.saturating_sub(minute)).min(Clock::until(span));
        }
        let held = held.unwrap_or_default();
        (held, Capped::new(at, end.min(stretch.to), resolved.terms.collections.get(held).and_then(|collection| collection.cap)))
    }

    /// The day of the cap.
    fn window(&self, stretch: &Stretch, at: i64) -> Capped {
        let Some(cap) = &stretch.resolved.terms.cap else { return Capped::new(at, stretch.to, None) };
        let (day, end) = match cap.per {
            CapPer::Each24h => each_24h(stretch.from, at),
            CapPer::EachDay => {
                let day = self.span.local(at).div_euclid(DAY_MIN).saturating_sub(stretch.first_day);
                (day, self.clock.midnight(self.span, at, stretch.to))
            }
        };
        let amount = usize::try_from(day).ok().and_then(|day| cap.amounts.get(day)).or(cap.amounts.last());
        Capped::new(at, end, amount.copied())
    }

    /// From where durations count, and until when.
    fn origin(&self, stretch: &Stretch, at: i64, band: &Capped) -> (i64, i64) {
        match stretch.resolved.terms.restart {
            Restart::Never => (stretch.from, stretch.to),
            Restart::EachBand => (band.from, stretch.to),
            Restart::EachDay => (at, self.clock.midnight(self.span, at, stretch.to)),
            Restart::Each24h => {
                let end = each_24h(stretch.from, at).1;
                (end.saturating_sub(DAY_MIN), end)
            }
        }
    }
}

/// Which 24 hours a minute lies in, counted from `from`, and the minute before which they end.
fn each_24h(from: i64, at: i64) -> (i64, i64) {
    let day = at.saturating_sub(from).div_euclid(DAY_MIN);
    (day, from.saturating_add(day.saturating_add(1).saturating_mul(DAY_MIN)))
}

/// The last tier that a stay comes to before `end`, if it counts from `origin`, and the minute before which it comes to no later one.
fn tier(lines: &[Line], origin: i64, end: i64) -> Option<(&Line, i64)> {
    let last = lines.iter().rfind(|line| line.kind == RateLineType::FlatRateTier)?;
    let end = end.min(origin.saturating_add(last.to));
    let stayed = end.saturating_sub(origin);
    Some((lines.iter().find(|line| stayed <= line.to)?, end))
}

/// The units of a line that begin from `at` to before `soft`, and the minute after the last of them, which is not after `hard`.
fn units(line: &Line, at: i64, soft: i64, hard: i64) -> (i64, i64) {
    let begun = soft.saturating_sub(at).saturating_add(line.unit.saturating_sub(1)).checked_div(line.unit).unwrap_or_default();
    let end = at.saturating_add(begun.saturating_mul(line.unit));
    let is_broken = end > hard;
    let units = if line.is_complete && is_broken { begun.saturating_sub(1) } else { begun };
    (units, end.min(hard))
}
