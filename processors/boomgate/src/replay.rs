//! Recorded stays through the real pipeline, and whether the revenue is what the file says.
//!
//! Not here: how rows become events, and what they should bring (`bench`).

use crate::{connect, demo, document};
use anyhow::Context;
use bench::{
    oracle::Taking,
    replay::{self, Progress, Speed},
};
use indicatif::{ProgressBar, ProgressStyle};
use schema::{rate::RateTable, time::DAY};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long the last answers are waited for.
const SETTLE: Duration = Duration::from_secs(120);
/// Recorded stays are years old: nothing is too late in a replay.
const LATE_MAX: i64 = 36_500_i64.saturating_mul(DAY);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The recording.
    pub file: PathBuf,
    /// How fast.
    pub speed: Speed,
    /// The tariff; none: the default one.
    pub rates: Option<PathBuf>,
    /// First local day.
    pub from: Option<jiff::civil::Date>,
    /// Last local day, inclusive.
    pub to: Option<jiff::civil::Date>,
    /// Where the report goes as JSON.
    pub json: Option<PathBuf>,
    /// Where everything is kept. Emptied first.
    pub folder: PathBuf,
}

/// What a replay ends with.
#[derive(Debug, Serialize)]
struct Outcome {
    /// What kind of recording it is.
    format: &'static str,
    /// Rows of the file.
    rows: u64,
    /// Rows that could not be mapped, by reason.
    unmapped: BTreeMap<String, u64>,
    /// What is odd about rows that were mapped.
    remarks: BTreeMap<String, u64>,
    /// Stays that were sent.
    stays: u64,
    /// Of these, those that never end.
    open_stays: u64,
    /// Gate events that were sent.
    events: usize,
    /// Revenue by lot and local day, from the journals.
    revenue: Vec<Taking>,
    /// Whether it equals the independent fold of the file.
    revenue_equal: bool,
    /// Everything else.
    report: demo::Report,
}

/// Runs it; gives whether everything agrees.
pub async fn run(wanted: Wanted) -> anyhow::Result<bool> {
    let written = wanted.rates.as_deref().map(|path| {
        let (text, format) = document::read(path)?;
        format.parse::<RateTable>(&text).with_context(|| format!("{} is not a rate table", path.display()))
    });
    let rates = replay::rates(written.transpose()?)?;
    let recording = replay::load(&wanted.file, wanted.from, wanted.to, rates)?;
    let (first, last) = recording.span();
    println!("{}: {} rows, {} stays, {} events, {first} to {last}", recording.format, recording.rows, recording.stays, recording.events.len());
    for (why, count) in &recording.unmapped {
        println!("  not mapped  {count:>7}  {why}");
    }
    for (what, count) in &recording.remarks {
        println!("  remarkable  {count:>7}  {what}");
    }
    let parts = connect::fresh(&wanted.folder).await?;
    let limits = rules::Limits { late_max: LATE_MAX, ..rules::Limits::default() };
    let bar = bar(recording.events.len() as u64);
    let happens = async {
        let settled = replay::drive(&recording, parts.bus.clone(), wanted.speed, SETTLE, |progress, _| show(&bar, progress)).await?;
        bar.finish_and_clear();
        // Nobody waits at a lane for an answer: there is no latency to tell.
        Ok((settled, Arc::default()))
    };
    let report = demo::live(&parts, &recording.declared, limits, happens).await?;
    let revenue = report.counts.takings.clone();
    let revenue_equal = same(&revenue, &recording.expected);
    let outcome = Outcome {
        format: recording.format,
        rows: recording.rows,
        unmapped: recording.unmapped.clone(),
        remarks: recording.remarks.clone(),
        stays: recording.stays,
        open_stays: recording.open_stays,
        events: recording.events.len(),
        revenue,
        revenue_equal,
        report,
    };
    print(&outcome, &recording.expected);
    if let Some(path) = &wanted.json {
        write(path, &outcome)?;
    }
    Ok(outcome.revenue_equal && outcome.report.agrees)
}

/// Whether two lists of takings say the same, however they are ordered; what brought nothing says nothing.
fn same(one: &[Taking], other: &[Taking]) -> bool {
    sums(one) == sums(other)
}

fn sums(takings: &[Taking]) -> BTreeMap<(String, u32, String), i64> {
    let mut sums = BTreeMap::new();
    for taking in takings.iter().filter(|taking| !taking.money.is_zero()) {
        let sum: &mut i64 = sums.entry((taking.lot.to_string(), taking.day.0, format!("{:?}", taking.money.currency))).or_default();
        *sum = sum.saturating_add(taking.money.minor);
    }
    sums
}

fn bar(events: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events  {per_sec}  {msg}").expect("a valid template");
    ProgressBar::new(events).with_style(style)
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_position(progress.acked);
    bar.set_message(if progress.settling { "waiting for the last answers".to_owned() } else { format!("{} payments", progress.payments) });
}

fn print(outcome: &Outcome, expected: &[Taking]) {
    let mut days: BTreeMap<(u32, String), i64> = BTreeMap::new();
    let mut lots: BTreeMap<(String, String), (i64, usize)> = BTreeMap::new();
    for taking in &outcome.revenue {
        let currency = format!("{:?}", taking.money.currency);
        let day = days.entry((taking.day.0, currency.clone())).or_default();
        *day = day.saturating_add(taking.money.minor);
        let lot = lots.entry((taking.lot.to_string(), currency)).or_default();
        *lot = (lot.0.saturating_add(taking.money.minor), lot.1.saturating_add(1));
    }
    println!("\nrevenue by lot, in minor units ({} lots and days; all of them in the JSON report)", outcome.revenue.len());
    for ((lot, currency), (minor, count)) in &lots {
        println!("  {lot:<32} {minor:>14} {currency}  on {count} days");
    }
    println!("\nrevenue by local day");
    for ((day, currency), minor) in &days {
        println!("  {day:06} {minor:>14} {currency}");
    }
    println!("\nstays        {} sent, {} never end in the recording", outcome.stays, outcome.open_stays);
    let per_second = f64::from(u32::try_from(outcome.events).unwrap_or(u32::MAX)) / outcome.report.seconds.max(0.001);
    println!("speed        {} events in {:.1} s, some {per_second:.0} a second", outcome.events, outcome.report.seconds);
    println!("oracle       {}", outcome.report.oracle);
    for difference in outcome.report.differences.iter().take(10) {
        println!("  differs: {difference}");
    }
    if outcome.revenue_equal {
        println!("revenue      equals the independent fold of the file");
        return;
    }
    println!("revenue      is NOT what the file brings:");
    let (ours, theirs) = (sums(&outcome.revenue), sums(expected));
    let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for key in keys.into_iter().filter(|key| ours.get(*key) != theirs.get(*key)).take(20) {
        println!("  {} {:06}: {:?} instead of {:?}", key.0, key.1, ours.get(key), theirs.get(key));
    }
}

fn write(path: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    std::fs::write(path, serde_json::to_vec_pretty(outcome)?).with_context(|| format!("cannot write {}", path.display()))
}
