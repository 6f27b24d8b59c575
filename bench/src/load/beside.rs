//! Work beside the load: a statement is reconciled again and again, at background priority, while cars drive up.
//!
//! Invariants
//! 1. The files are made, written out and in memory before anything is measured   (`Work::prepare`).
//! 2. A reconciliation counts once it has ended, and it is a good run only if each of them found all that is planted and nothing else
//!    (`tests::a_run_is_good_if_every_reconciliation_found_all`).
//!
//! Not here: the load (`step`), what is planted and how it is found again (`crate::reconcile`).

use super::{decimal, ms};
use crate::reconcile::{Found, command, day, look};
use anyhow::{Context, Result, ensure};
use bench::world::Latency;
use serde::Serialize;
use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::sync::watch;

/// How many differences are planted.
const PLANTED: u64 = 400;
/// The seed of the files, as that of `bench reconcile`.
const SEED: u64 = 1;

/// What the same load had alone and beside that work, on one system: keys of `entry.json`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// 99 of 100 entries, while nothing else ran.
    pub alone_p99_ms: f64,
    /// 99 of 100 entries, while a statement was reconciled.
    pub beside_p99_ms: f64,
    /// The second by the first.
    pub beside_ratio: f64,
    /// How many payments the statement was reconciled with.
    pub beside_lines: u64,
    /// Reconciliations that began and ended meanwhile.
    pub beside_runs: u64,
    /// Whether each of them found all that is planted and nothing else.
    pub beside_all_found: bool,
}

impl Beside {
    /// Holds the two loads against each other.
    pub fn of(lines: u64, alone: Latency, beside: Latency, runs: &[Found]) -> Self {
        Self {
            alone_p99_ms: ms(alone.p99_us),
            beside_p99_ms: ms(beside.p99_us),
            beside_ratio: decimal(beside.p99_us) / decimal(alone.p99_us.max(1)),
            beside_lines: lines,
            beside_runs: runs.len() as u64,
            beside_all_found: runs.iter().all(|found| found.is_all()),
        }
    }

    /// Whether there was work beside the load, and all of it was done well.
    pub fn is_good(self) -> bool {
        self.beside_runs > 0 && self.beside_all_found
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alone_p99_ms, beside_p99_ms, beside_ratio, beside_lines, beside_runs, beside_all_found } = self;
        let found = if *beside_all_found { "each found all" } else { "not each found all" };
        write!(f, "p99 {beside_p99_ms:.2} ms, alone {alone_p99_ms:.2}: {beside_ratio:.2} times; {beside_runs} runs of {beside_lines} lines, {found}")
    }
}

/// A statement and payments that can be reconciled as often as one likes.
#[derive(Clone, Debug)]
pub struct Work {
    boomgate: PathBuf,
    lines: u64,
    made: day::Made,
    report: PathBuf,
}

impl Work {
    /// Makes the files and reconciles them once, so that both are in memory and all that is planted is known to be found.
    pub async fn prepare(boomgate: Option<&Path>, lines: u64, out: &Path) -> Result<Self> {
        let folder = out.join("statements");
        eprintln!("a statement of {lines} lines and as many payments go to {} …", folder.display());
        let made = day::make(&day::Wanted { lines, planted: PLANTED, seed: SEED, out: folder.clone() })?;
        for path in [&made.statement, &made.payments, &made.planted] {
            // What the system still had to write it would write while the broker waits for the same disk.
            let written = File::open(path).and_then(|file| file.sync_all());
            written.with_context(|| format!("{} cannot be written out", path.display()))?;
        }
        let work = Self { boomgate: super::program(boomgate)?, lines, made, report: folder.join("report") };
        let found = work.once().await?;
        ensure!(found.is_all(), "a reconciliation goes wrong already while nothing else runs: {found:?}");
        Ok(work)
    }

    /// How many payments there are.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Reconciles until `stop` says so, one after the other; what has not ended then is ended, and does not count.
    pub async fn again_and_again(self, mut stop: watch::Receiver<bool>) -> Result<Vec<Found>> {
        let mut runs = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(runs),
                found = self.once() => runs.push(found?),
            }
        }
    }

    async fn once(&self) -> Result<Found> {
        let mut reconcile = command(&self.boomgate, &self.made, &self.report);
        let ended = reconcile.arg("--background").stdin(Stdio::null()).kill_on_drop(true).output().await;
        let ended = ended.with_context(|| format!("{} cannot be run", self.boomgate.display()))?;
        // With something planted not all can match, and 1 says so.
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.code() == Some(1), "boomgate reconcile: {}\n{said}", ended.status);
        // Not on the thread that hears what lanes are told.
        let Self { made, report, .. } = self.clone();
        tokio::task::spawn_blocking(move || look(&made, &report)).await.context("the report was read")?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Report;
    use serde_json::json;

    fn beside(runs: &[Found]) -> Beside {
        let [alone, beside] = [20_000, 30_000].map(|p99_us| Latency { p99_us, ..Latency::default() });
        Beside::of(5_000, alone, beside, runs)
    }

    #[test]
    fn a_run_is_good_if_every_reconciliation_found_all() {
        let good = Found { planted: 9, found: 9, false_alarms: 0 };
        for (runs, expected) in [
            (&[good, good][..], true),
            (&[good, Found { found: 8, ..good }], false),
            (&[Found { false_alarms: 1, ..good }, good], false),
            // Nothing ran beside the load, so nothing was measured.
            (&[], false),
        ] {
            let report = Report { oracle: "equal".into(), beside: Some(beside(runs)), ..Report::default() };
            assert_eq!(report.is_good(), expected, "{runs:?}");
        }
    }

    #[test]
    fn both_loads_are_keys_of_the_report() {
        let found = Found { planted: 9, found: 9, false_alarms: 0 };
        let told = serde_json::to_value(Report { beside: Some(beside(&[found; 3])), ..Report::default() }).expect("it is JSON");
        for (key, expected) in [
            ("alone_p99_ms", json!(20.0)),
            ("beside_p99_ms", json!(30.0)),
            ("beside_ratio", json!(1.5)),
            ("beside_lines", json!(5_000)),
            ("beside_runs", json!(3)),
            ("beside_all_found", json!(true)),
        ] {
            assert_eq!(told[key], expected, "{key}");
        }
        let alone = serde_json::to_value(Report::default()).expect("it is JSON");
        assert!(alone.get("beside_ratio").is_none() && alone.get("beside").is_none());
    }
}
