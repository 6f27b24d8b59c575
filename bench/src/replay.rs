//! Recorded stays as gate events: every row of a recording becomes events, or is counted by the reason why it cannot.
//!
//! Invariants
//! 1. Every row is mapped or counted   (`tests::every_row_is_mapped_or_counted`).
//! 2. Rows out of order are sent out of order   (`tests::bay_events_are_sent_as_they_were_recorded`).
//! 3. What a recording should bring comes from its rows alone, by the slow pricing   (`tests::what_is_expected_comes_from_the_rows`).
//!
//! Not here: how recordings are paced (`drive`), what they come from (`../shared/data/README.md`).

mod bays;
mod counters;
mod drive;
mod stays;

pub use drive::{Progress, Speed, drive};

use crate::oracle::{Taking, can_price, slow_price};
use anyhow::{Context, Result, bail, ensure};
use jiff::{Timestamp, civil, tz::TimeZone};
use schema::{
    Credential, GateEvent, GateKind, LotId, Moment, Money, Zone,
    id::Province,
    reference::{Declared, LotDeclared, RateTable},
    time::Day,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// The tariff of a replay where none is named.
pub const DEFAULT_RATES: &str = include_str!("../rates/default.toml");
/// More spaces than any recording needs: what was recorded did find its space.
const SPACES: i64 = 1_000_000;

/// A recording, ready to be replayed.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What kind of recording it is.
    pub format: &'static str,
    /// Its lots, with the tariff.
    pub declared: Declared,
    /// What the devices send, in the order in which they do; the time is when it is sent.
    pub events: Vec<(Moment, GateEvent)>,
    /// Rows of the file, without its header.
    pub rows: u64,
    /// Rows (of counters: cars) that cannot be mapped, by reason.
    pub unmapped: BTreeMap<String, u64>,
    /// What is odd about rows that were mapped all the same, by kind.
    pub remarks: BTreeMap<String, u64>,
    /// Stays.
    pub stays: u64,
    /// Of these, the ones that never end.
    pub open_stays: u64,
    /// Revenue by lot and local day, straight from the rows.
    pub expected: Vec<Taking>,
}

/// The default tariff, unless there is another one.
pub fn rates(other: Option<RateTable>) -> Result<RateTable> {
    let table = other.map_or_else(|| toml::from_str(DEFAULT_RATES).context("the default tariff"), Ok)?;
    // The slow pricing reads no bands, so that it stays slow and obvious.
    ensure!(can_price(&table), "rate table {} has more than lines of one band that begin again each 24 hours: a replay takes these alone", table.id);
    Ok(table)
}

/// Reads a recording; its header tells its format.
///
/// `from` and `to` are the first and last local day that are taken (`to` inclusive); of counters they must span at most a week.
pub fn load(path: &Path, from: Option<civil::Date>, to: Option<civil::Date>, rates: RateTable) -> Result<Recording> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    read(&text, from, to, rates).with_context(|| format!("cannot replay {}", path.display()))
}

/// Reads a recording from its text.
pub fn read(text: &str, from: Option<civil::Date>, to: Option<civil::Date>, rates: RateTable) -> Result<Recording> {
    let header = text.lines().next().unwrap_or_default().trim_start_matches('\u{feff}').trim_end();
    let mut draft = Draft::new(from, to, rates);
    match header {
        "entry,exit,bay,lot" => stays::read_melbourne(text, &mut draft)?,
        "ParkingSpotID Timestamp Occupied" => bays::read(text, &mut draft)?,
        "cars,type,garage,datetime" => counters::read(text, &mut draft)?,
        _ if header.starts_with("session_id,lot,bay,entry,exit") => stays::read_caltech(text, &mut draft)?,
        _ => bail!("its header {header:?} is none of those that are known: see data/README.md"),
    }
    draft.finish()
}

/// A recording that is being read.
struct Draft {
    from: Option<civil::Date>,
    to: Option<civil::Date>,
    rates: RateTable,
    recording: Recording,
    zones: BTreeMap<LotId, (&'static str, Zone)>,
    takings: BTreeMap<(LotId, Day), i64>,
    lots: BTreeSet<LotId>,
}

impl Draft {
    fn new(from: Option<civil::Date>, to: Option<civil::Date>, rates: RateTable) -> Self {
        let recording = Recording::default();
        Self { from, to, rates, recording, zones: BTreeMap::new(), takings: BTreeMap::new(), lots: BTreeSet::new() }
    }

    /// Counts a row that cannot be mapped.
    fn unmapped(&mut self, why: &str, count: u64) {
        *self.recording.unmapped.entry(why.into()).or_default() += count;
    }

    /// Counts what is odd about a row.
    fn remark(&mut self, what: &str) {
        *self.recording.remarks.entry(what.into()).or_default() += 1;
    }

    /// Whether a local day is asked for.
    fn wants(&self, day: civil::Date) -> bool {
        self.from.is_none_or(|from| day >= from) && self.to.is_none_or(|to| day <= to)
    }

    /// A lot of the recording by its name there.
    fn lot(&mut self, name: &str, zone: &'static str) -> Result<LotId> {
        let lot: LotId = slug(name).parse().with_context(|| format!("the lot {name:?} has no name that a subject can carry"))?;
        self.lots.insert(lot);
        let rules = Zone::named(zone).with_context(|| format!("no time zone {zone}"))?;
        self.zones.entry(lot).or_insert((zone, rules));
        Ok(lot)
    }

    /// Adds what one device saw.
    fn event(&mut self, lot: LotId, kind: GateKind, seen_at: Moment, plate: &str, number: u64) -> Result<()> {
        let (lane, letter) = if kind == GateKind::Entry { ("in", 'e') } else { ("out", 'x') };
        let credential = Credential { kind: schema::gate::CredentialKind::Plate, text: plate.into(), colour: None };
        let id = format!("{number}-{letter}-recorded").parse().expect("digits and letters are a token");
        let event = GateEvent {
            id,
            lot,
            lane: lane.parse().context("a lane's name")?,
            kind,
            seen_at,
            credential,
            class: None,
            energy: None,
            confidence: None,
            decided: None,
        };
        self.recording.events.push((seen_at, event));
        Ok(())
    }

    /// Adds what a stay brings, worked out from its row.
    fn bill(&mut self, lot: LotId, entered_at: Moment, left_at: Moment) {
        let price = slow_price(&self.rates, entered_at, left_at);
        if !price.is_zero() {
            let day = self.zones[&lot].1.day(left_at);
            *self.takings.entry((lot, day)).or_default() += price.minor;
        }
    }

    fn finish(mut self) -> Result<Recording> {
        if self.recording.events.is_empty() {
            bail!("no row of it can be mapped: {:?}", self.recording.unmapped);
        }
        let currency = self.rates.currency;
        let lanes = || ["in", "out"].map(|lane| lane.parse().expect("letters are a token")).to_vec();
        let lots = self.lots.iter().map(|lot| LotDeclared {
            province: Province(0),
            zone: self.zones[lot].0.into(),
            capacity: SPACES,
            rate_table: Some(self.rates.id.clone()),
            lanes: lanes(),
            ..LotDeclared::named(*lot)
        });
        self.recording.declared = Declared { lots: lots.collect(), rate_tables: vec![self.rates.clone()], ..Declared::default() };
        self.recording.expected =
            self.takings.into_iter().map(|((lot, day), minor)| Taking { lot, day, money: Money::new(minor, currency) }).collect();
        Ok(self.recording)
    }
}

/// A name as a token: letters and digits, the rest as dashes.
fn slug(name: &str) -> String {
    let dashed: String = name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// A local time (`2016-11-07 00:35:00`) in a zone.
fn local(text: &str, zone: &TimeZone) -> Option<(civil::Date, Moment)> {
    let time: civil::DateTime = text.parse().ok()?;
    let moment = zone.to_zoned(time).ok()?.timestamp().as_microsecond();
    Some((time.date(), Moment(moment)))
}

/// A time with its offset (`2019-05-01 01:18:45-07:00`).
fn absolute(text: &str) -> Option<Moment> {
    text.parse::<Timestamp>().ok().map(|time| Moment(time.as_microsecond()))
}

/// A zone of jiff's, for reading local times.
fn zone_of(name: &str) -> Result<TimeZone> {
    let fixed = || jiff::fmt::temporal::DateTimeParser::new().parse_time_zone(name);
    TimeZone::get(name).or_else(|_| fixed()).with_context(|| format!("no time zone {name}"))
}

/// The local day of a moment, as a date.
fn local_date(moment: Moment, zone: &TimeZone) -> Option<civil::Date> {
    Timestamp::from_microsecond(moment.0).ok().map(|time| zone.to_datetime(time).date())
}

#[cfg(test)]
mod tests;
