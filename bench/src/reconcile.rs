//! A day's statement against a day's payments: how long boomgate takes for it, beside an analytical database that does a part of it, and whether it finds
//! what was planted.
//!
//! Invariants
//! 1. The same seed gives the same files   (`day::tests::the_same_seed_gives_the_same_files`).
//! 2. What is planted and not found counts, and what is found and not planted   (`tests::what_is_found_is_compared_with_what_was_planted`).
//!
//! Not here: what differs in the files (`day`).

pub mod day;

use crate::load::{decimal, program};
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, process::Command, time::Instant};

/// What DuckDB is asked to do; read from standard input by python3.
const JOIN: &str = include_str!("reconcile/join.py");
/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// The summary in the folder of a report.
const SUMMARY: &str = "report.json";

/// What is wanted.
#[derive(clap::Args, Clone, Debug)]
pub struct Wanted {
    /// The files.
    #[command(flatten)]
    pub day: day::Wanted,
    /// The program to measure [default: `boomgate` beside this one].
    #[arg(long)]
    pub boomgate: Option<PathBuf>,
    /// Where python3 finds the package duckdb, as `scripts/install-wheel duckdb VERSION` prints it.
    #[arg(long)]
    pub duckdb: PathBuf,
    /// How often each is run, one after the other; the median counts.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench")]
    pub report: PathBuf,
}

/// What came of it: `reconcile.json`.
#[derive(Debug, Serialize)]
pub struct Report {
    lines: u64,
    payments: u64,
    statement_mb: f64,
    seconds: f64,
    duckdb_seconds: f64,
    ratio: f64,
    peak_rss_mb: f64,
    duckdb_peak_rss_mb: f64,
    planted: usize,
    found: usize,
    false_alarms: usize,
    runs: Vec<[f64; 2]>,
}

/// What of the planted differences was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// How many are planted.
    pub planted: usize,
    /// How many of them were found.
    pub found: usize,
    /// How many were found that nobody planted.
    pub false_alarms: usize,
}

impl Found {
    /// Whether it is all that is planted and nothing else.
    pub fn is_all(self) -> bool {
        self.found == self.planted && self.false_alarms == 0
    }
}

/// A process that ended: how long it took, the most memory it had, and what it said.
struct Ran {
    seconds: f64,
    peak_kb: u64,
    output: String,
}

/// Makes the files, runs both, compares, and writes the report; says whether everything planted was found and nothing else.
pub async fn run(wanted: &Wanted) -> Result<bool> {
    ensure!(wanted.runs > 0, "--runs is at least 1");
    let made = day::make(&wanted.day)?;
    let boomgate = program(wanted.boomgate.as_deref())?;
    fs::create_dir_all(&wanted.report).with_context(|| format!("no folder {}", wanted.report.display()))?;
    let out = wanted.day.out.join("report");
    fs::create_dir_all(&out)?;
    // Both find the files in memory, as they were just written: neither is to measure a disk.
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..wanted.runs {
        ours.push(measured(command(&boomgate, &made, &out), "", &[0, 1]).await?);
        let mut join = Command::new("python3");
        join.arg("-").arg(&made.statement).arg(&made.payments).env("PYTHONPATH", &wanted.duckdb);
        theirs.push(measured(join, JOIN, &[0]).await?);
    }
    let said = |ran: &Ran| -> Result<serde_json::Value> { serde_json::from_str(&ran.output).context("DuckDB's answer is not JSON") };
    let joined: Vec<f64> = theirs.iter().map(|ran| said(ran)?["seconds"].as_f64().context("DuckDB told no time")).collect::<Result<_>>()?;
    let alone: Vec<f64> = ours.iter().map(|ran| ran.seconds).collect();
    let told: serde_json::Value = serde_json::from_slice(&fs::read(out.join(SUMMARY))?)?;
    let there = look(&made, &out)?;
    let Found { planted, found, false_alarms } = there;
    let peak = |ran: &[Ran]| decimal(ran.iter().map(|ran| ran.peak_kb).max().unwrap_or(0)) / 1_024.0;
    let report = Report {
        lines: told["lines"].as_u64().unwrap_or(0),
        payments: told["payments"].as_u64().unwrap_or(0),
        statement_mb: decimal(fs::metadata(&made.statement)?.len()) / 1e6,
        seconds: median(&alone),
        duckdb_seconds: median(&joined),
        ratio: median(&alone) / median(&joined),
        peak_rss_mb: peak(&ours),
        duckdb_peak_rss_mb: peak(&theirs),
        planted,
        found,
        false_alarms,
        runs: alone.into_iter().zip(joined).map(|(ours, theirs)| [ours, theirs]).collect(),
    };
    report.print(&theirs[0].output);
    let path = wanted.report.join("reconcile.json");
    fs::write(&path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(there.is_all())
}

/// The reconciliation of these files, with its report in a folder.
pub fn command(boomgate: &Path, made: &day::Made, out: &Path) -> Command {
    let mut reconcile = Command::new(boomgate);
    reconcile.args(["reconcile", "--channel", "wechat", "--day", day::DAY]).arg("--file").arg(&made.statement);
    reconcile.arg("--against").arg(&made.payments).arg("--out").arg(out).arg("--json").arg(out.join(SUMMARY));
    reconcile
}

/// What a report in a folder has of what is planted.
pub fn look(made: &day::Made, out: &Path) -> Result<Found> {
    let found = read(&out.join("exceptions.csv"), |row| {
        (row[0].to_owned(), [8, 6, 14].map(|at| row[at].to_owned()).into_iter().find(|name| !name.is_empty()))
    })?;
    let planted = read(&made.planted, |row| (row[0].to_owned(), Some(row[1].to_owned())))?;
    Ok(compare(&planted, &found))
}

impl Report {
    fn print(&self, joined: &str) {
        let Self {
            lines, payments, statement_mb, seconds, duckdb_seconds, ratio, peak_rss_mb, duckdb_peak_rss_mb, planted, found, false_alarms, ..
        } = self;
        println!("files       {lines} lines ({statement_mb:.0} MB) against {payments} payments");
        println!("boomgate    {seconds:.2} s, {peak_rss_mb:.0} MB resident at most: hashed, verified, matched, classified, reported");
        println!("DuckDB      {duckdb_seconds:.2} s, {duckdb_peak_rss_mb:.0} MB resident at most: joined; it says {}", joined.trim());
        println!("ratio       {ratio:.2}");
        println!("planted     {planted}, found {found}, false alarms {false_alarms}");
    }
}

/// Runs a program to its end.
async fn measured(mut program: Command, input: &str, good: &[i32]) -> Result<Ran> {
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let begun = Instant::now();
    let mut child = program.spawn().with_context(|| format!("{} cannot be run", program.as_std().get_program().display()))?;
    let status_file = format!("/proc/{}/status", child.id().context("it has ended already")?);
    let mut stdin = child.stdin.take().context("it has no input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output();
    tokio::pin!(output);
    let mut peak_kb = 0;
    let output = loop {
        tokio::select! {
            output = &mut output => break output?,
            () = tokio::time::sleep(LOOK) => {
                let status = fs::read_to_string(&status_file).unwrap_or_default();
                let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
                peak_kb = peak_kb.max(peak.unwrap_or(0));
            }
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    if !output.status.code().is_some_and(|code| good.contains(&code)) {
        bail!("{} failed: {}\n{}", program.as_std().get_program().display(), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(Ran { seconds, peak_kb, output: String::from_utf8_lossy(&output.stdout).into_owned() })
}

fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Differences by what they are of; one may be there more than once.
type Differences = Vec<(String, Option<String>)>;

fn read(path: &Path, of: impl Fn(&csv::StringRecord) -> (String, Option<String>)) -> Result<Differences> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut csv = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    csv.records().map(|row| Ok(of(&row?))).collect()
}

/// Holds what was found against what was planted.
fn compare(planted: &Differences, found: &Differences) -> Found {
    let mut left: BTreeMap<_, usize> = BTreeMap::new();
    for difference in planted {
        *left.entry(difference).or_default() += 1;
    }
    let (mut there, mut false_alarms) = (0, 0);
    for difference in found {
        match left.get_mut(difference) {
            Some(left @ 1..) => {
                *left -= 1;
                there += 1;
            }
            _ => false_alarms += 1,
        }
    }
    Found { planted: planted.len(), found: there, false_alarms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_compared_with_what_was_planted() {
        let of = |names: &[&str]| names.iter().map(|name| ("surplus".to_owned(), Some((*name).to_owned()))).collect::<Differences>();
        for (planted, told, found, false_alarms, is_all) in [
            (&["a", "b"][..], &["b", "a"][..], 2, 0, true),
            (&["a", "b"], &["a"], 1, 0, false),
            (&["a"], &["a", "a"], 1, 1, false),
            (&["a", "a"], &["a", "c"], 1, 1, false),
            (&[], &["a"], 0, 1, false),
        ] {
            let there = compare(&of(planted), &of(told));
            assert_eq!(there, Found { planted: planted.len(), found, false_alarms });
            assert_eq!(there.is_all(), is_all);
        }
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
    }
}
