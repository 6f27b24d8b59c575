//! Rate tables made ready to price with: every version of one table, checked, its calendar found, its day laid out.

use super::{
    Calendar, Cap, CapPer, Charged, Date, DayKind, LocalTime, RateLine, RateLineCollection, RateLineType, RateTable, Step, Terms,
    check::{self, named},
};
use crate::{Energy, VehicleClass};
use std::sync::Arc;

/// Why a rate table is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rate table {table} version {version}: {what}")]
pub struct NotSound {
    /// Its id.
    pub table: Arc<str>,
    /// Its version.
    pub version: u32,
    /// What is wrong, where, and what to do.
    pub what: String,
}

/// All versions of one rate table, in the order in which they come into force.
#[derive(Clone, Debug, PartialEq)]
pub struct Tariff {
    versions: Vec<Version>,
}

/// One version, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// As declared.
    pub table: Arc<RateTable>,
    calendar: Calendar,
    terms: Vec<Resolved>,
}

/// Terms with their day laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The terms; the short form as terms, too.
    pub terms: Terms,
    /// The lines of each collection.
    pub lines: Vec<Vec<Line>>,
    /// By kind of day: from which minute on which collection holds.
    days: [Vec<(u16, usize)>; 3],
    /// Whether one collection holds at all times.
    pub is_even: bool,
}

/// A line with its beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The minute since the last restart where it begins.
    pub from: i64,
    /// The minute before which it ends; `i64::MAX` for the last.
    pub to: i64,
    /// Its kind.
    pub kind: RateLineType,
    /// Minutes of a unit; 0 where it has none.
    pub unit: i64,
    /// The price of a unit, of the flat line, or of all up to the end of the tier.
    pub price: i64,
    /// Whether a unit counts only once it is complete.
    pub is_complete: bool,
    /// What it costs at least and at most, if the table says so; of lines with units alone.
    pub bounds: Option<Bounds>,
    /// What a driver reads.
    pub name: Arc<str>,
}

/// What a line costs at least and at most, from when a stay comes to it to when it leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least that it costs which costs anything.
    pub least: i64,
    /// The most; not below the least.
    pub most: i64,
}

impl Bounds {
    /// What counts of what units cost together.
    pub fn of(self, sum: i64) -> i64 {
        if sum == 0 { 0 } else { sum.clamp(self.least, self.most) }
    }
}

impl Tariff {
    /// Resolves all versions of one table: each is sound, and each comes into force after the one before it.
    pub fn resolve(tables: &[Arc<RateTable>], calendars: &[Calendar]) -> Result<Self, NotSound> {
        let mut versions = Vec::with_capacity(tables.len());
        for table in tables {
            let not_sound = |what| NotSound { table: table.id.clone(), version: table.version, what };
            versions.push(Version::resolve(table.clone(), calendars).map_err(not_sound)?);
        }
        versions.sort_by_key(|version: &Version| version.table.version);
        for (one, next) in versions.iter().zip(versions.iter().skip(1)) {
            let (one, next) = (&one.table, &next.table);
            let what = if one.version == next.version {
                "is declared twice: give each its own version".into()
            } else if next.valid_from.is_none() || next.valid_from <= one.valid_from {
                format!("follows version {}, and its valid_from is not later: say from when on it is in force", one.version)
            } else {
                continue;
            };
            return Err(NotSound { table: next.id.clone(), version: next.version, what });
        }
        if versions.is_empty() {
            return Err(NotSound { table: "".into(), version: 0, what: "there is no table: declare one".into() });
        }
        Ok(Self { versions })
    }

    /// Its versions, in the order in which they come into force.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The newest version as declared.
    pub fn newest(&self) -> Option<&Arc<RateTable>> {
        self.versions.last().map(|version| &version.table)
    }

    /// The place of the version in force at a local time; none where there is none.
    pub fn in_force(&self, at: LocalTime) -> Option<usize> {
        let place = self.versions.iter().rposition(|version| version.table.valid_from.is_none_or(|from| from <= at))?;
        self.versions.get(place).filter(|version| version.table.valid_until.is_none_or(|until| at < until)).map(|_| place)
    }
}

impl Version {
    fn resolve(table: Arc<RateTable>, calendars: &[Calendar]) -> Result<Self, String> {
        check::check(&table)?;
        let calendar = match &table.calendar {
            None => Calendar::default(),
            Some(name) => calendars
                .iter()
                .find(|calendar| calendar.name == *name)
                .ok_or_else(|| format!("no calendar {name:?} is declared: declare it, or leave calendar out"))?
                .sorted()?,
        };
        let mut collections = table.terms.iter().flat_map(|terms| &terms.collections);
        if table.calendar.is_none() && collections.any(|collection| collection.days == [DayKind::Holiday]) {
            return Err("has lines for holidays alone and names no calendar: no day would be one; name a calendar".into());
        }
        let declared = if table.terms.is_empty() { vec![of_steps(&table)] } else { table.terms.clone() };
        let resolve = |(at, terms): (usize, Terms)| {
            let name = named("terms", at, &terms.name);
            Resolved::new(terms).map_err(|what| format!("{name}: {what}"))
        };
        let terms = declared.into_iter().enumerate().map(resolve).collect::<Result<_, _>>()?;
        Ok(Self { table, calendar, terms })
    }

    /// The terms of a vehicle; none where its class is not served.
    pub fn terms(&self, class: VehicleClass, energy: Energy) -> Option<&Resolved> {
        if self.table.not_served.contains(&class) {
            return None;
        }
        self.terms.iter().find(|resolved| resolved.terms.fit(class, energy))
    }

    /// What a date is.
    pub fn kind(&self, date: Date) -> DayKind {
        self.calendar.kind(date)
    }
}

/// The short form as terms.
fn of_steps(table: &RateTable) -> Terms {
    let line = |(at, step): (usize, &Step)| RateLine {
        name: Some(format!("step {}", at.saturating_add(1)).into()),
        to_min: step.to_min,
        unit_min: step.unit_min,
        price: step.price,
        ..RateLine::default()
    };
    let lines = table.steps.iter().enumerate().map(line).collect();
    Terms {
        free_min: table.free_min,
        cap: table.cap_per_24h.map(|cap| Cap { per: CapPer::Each24h, amounts: vec![cap] }),
        collections: vec![RateLineCollection { lines, ..RateLineCollection::default() }],
        ..Terms::default()
    }
}

impl Resolved {
    fn new(terms: Terms) -> Result<Self, String> {
        let [workday, weekend, holiday] = DayKind::ALL.map(|kind| lay_out(&terms.collections, kind));
        let days = [workday?, weekend?, holiday?];
        let is_even = days.iter().all(|day| day.len() == 1) && days.iter().flatten().all(|(_, at)| *at == 0);
        let lines = terms.collections.iter().enumerate().map(|(at, collection)| lines(at, collection)).collect();
        Ok(Self { terms, lines, days, is_even })
    }

    /// The collection that holds at a minute of such a day, and the minute of the day before which it ends.
    pub fn at(&self, kind: DayKind, minute: i64) -> (usize, i64) {
        let day = match kind {
            DayKind::Workday => &self.days[0],
            DayKind::Weekend => &self.days[1],
            DayKind::Holiday => &self.days[2],
        };
        let next = day.iter().position(|(from, _)| i64::from(*from) > minute).unwrap_or(day.len());
        let held = day.get(next.saturating_sub(1)).map_or(0, |(_, collection)| *collection);
        (held, day.get(next).map_or(super::DAY_MIN, |(from, _)| i64::from(*from)))
    }
}

fn lines(at: usize, collection: &RateLineCollection) -> Vec<Line> {
    let mut from = 0;
    let mut lines = Vec::with_capacity(collection.lines.len());
    for (number, line) in collection.lines.iter().enumerate() {
        let called = || match (collection.name.is_empty(), collection.lines.len()) {
            (false, 1) => collection.name.clone(),
            (false, _) => format!("{} {}", collection.name, number.saturating_add(1)).into(),
            (true, _) => format!("{}, {}", named("collection", at, ""), named("line", number, "")).into(),
        };
        // The last one may end where durations begin again; a local day of 25 hours is longer than it says.
        let is_last = number.saturating_add(1) == collection.lines.len();
        let to = line.to_min.filter(|_| !is_last).unwrap_or(i64::MAX);
        let (least, most) = (line.min_value.unwrap_or_default(), line.max_value.unwrap_or(i64::MAX));
        lines.push(Line {
            from,
            to,
            kind: line.kind,
            unit: line.unit_min,
            price: line.price,
            is_complete: line.charged == Charged::Complete,
            bounds: (line.min_value.is_some() || line.max_value.is_some()).then_some(Bounds { least, most }),
            name: line.name.clone().unwrap_or_else(called),
        });
        from = to;
    }
    lines
}

/// Which collection holds from which minute of such a day on; an error names the first minutes that have none or several.
fn lay_out(collections: &[RateLineCollection], kind: DayKind) -> Result<Vec<(u16, usize)>, String> {
    let holds = |collection: &RateLineCollection, minute| {
        (collection.days.is_empty() || collection.days.contains(&kind)) && collection.hours.is_none_or(|hours| hours.contain(minute))
    };
    let at = |minute: u16| collections.iter().enumerate().filter(move |(_, collection)| holds(collection, minute)).map(|(at, _)| at);
    let mut day: Vec<(u16, usize)> = Vec::new();
    for minute in 0..1_440_u16 {
        let mut held = at(minute);
        match (held.next(), held.next()) {
            (Some(only), None) => {
                if day.last().is_none_or(|(_, last)| *last != only) {
                    day.push((minute, only));
                }
            }
            (first, second) => {
                let end = (minute..1_440).find(|later| !at(*later).eq(at(minute))).unwrap_or(1_440);
                let hours = format!("{} {}", format!("{kind:?}").to_lowercase(), super::Hours { from: minute, to: end });
                let name = |at: usize| named("collection", at, collections.get(at).map(|c| c.name.as_ref()).unwrap_or_default());
                return Err(match (first, second) {
                    (Some(one), Some(other)) => format!("{} and {} overlap, {hours}: take the hours off one of them", name(one), name(other)),
                    _ => format!("no collection holds, {hours}: stretch one of them over it"),
                });
            }
        }
    }
    Ok(day)
}
