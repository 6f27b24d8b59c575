//! A day's statement, verified whole and laid down by pieces. Nothing of it is published.
//!
//! Invariants
//! 1. A statement that is refused leaves nothing behind that anybody reads   (`super::tests::nothing_is_said_of_a_statement_that_is_refused`).
//! 2. The same files have the same run, whoever splits them   (`super::tests::a_piece_whose_worker_died_is_done_again_and_says_the_same`).
//!
//! Not here: the form of files (`channels::statement`), how lines are kept (`spool`).

use super::spool::{Spool, Spooled};
use anyhow::{Context, Result};
use channels::statement::{self, Cutter, Refusal, archive};
use jiff::civil::Date;
use schema::{
    Partition, Token,
    exception::{Term, home_of_line},
    id::{self, Province},
    time::Day,
    work::DayWork,
};
use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
};

/// A day that was split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Under which name its lines lie.
    pub run: Token<32>,
    /// How many lines its own statement has.
    pub lines: u64,
    /// Which pieces have lines.
    pub pieces: BTreeSet<(Province, Partition)>,
}

/// Why a day is not split.
#[derive(Debug)]
pub enum Why {
    /// A statement is not there yet.
    Missing(String),
    /// A statement is refused: a person must see to it.
    Refused(String),
    /// Something of ours is away or full.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Why {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// A day as a date.
pub fn date(day: Day) -> Option<Date> {
    let part = |number: u32| i8::try_from(number % 100).ok();
    Date::new(i16::try_from(day.0 / 10_000).ok()?.checked_add(2_000)?, part(day.0 / 100)?, part(day.0)?).ok()
}

/// A date as a day.
pub fn day(date: Date) -> Day {
    let part = |number: i8| u32::from(number.unsigned_abs());
    Day(u32::from(date.year().rem_euclid(100).unsigned_abs()) * 10_000 + part(date.month()) * 100 + part(date.day()))
}

/// The statement of a day in a channel's folder: the last by name of those whose name has the day in it (261123, 20261123 or 2026-11-23), so that one which corrects
/// an earlier one takes its place by a later name.
pub fn find(folder: &Path, channel: &str, day: Day) -> Option<PathBuf> {
    let words = [format!("{day}"), format!("20{day}"), date(day)?.to_string()];
    let files = std::fs::read_dir(folder.join(channel)).ok()?.flatten();
    let of_day = files.filter(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        words.iter().any(|word| name.contains(word.as_str()))
    });
    of_day.map(|file| file.path()).max()
}

/// Verifies the statement of a day, and at T+2 that of the day after, and lays their lines down. It reads files and takes as long as that does.
pub fn split(work: &DayWork, folder: &Path, spool: &Path, province: Province, writer: &str) -> Result<Split, Why> {
    let (name, form) = channels::form(&work.channel).map_err(|error| Why::Refused(error.to_string()))?;
    let own = date(work.day).ok_or_else(|| Why::Refused(format!("there is no day {}", work.day)))?;
    let mut days = vec![(own, false)];
    if work.term == Term::After {
        days.push((own.tomorrow().map_err(|_| Why::Refused("time ends".into()))?, true));
    }
    let mut laid = Spool::begin(spool, writer)?;
    let (mut lines, mut hashes) = (0, Vec::new());
    for (date, after) in days {
        let given = work.file.as_deref().filter(|_| !after).map(PathBuf::from);
        let path = given.or_else(|| find(folder, name, day(date)));
        let path = path.ok_or_else(|| Why::Missing(format!("no statement of {name} of {date} in {}", folder.join(name).display())))?;
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Why::Missing(format!("{} is not there", path.display()))),
            opened => opened.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let wanted = statement::Wanted { day: date, merchant: (!work.merchant.is_empty()).then(|| work.merchant.to_string()) };
        let refused = |refusal: Refusal| Why::Refused(format!("{:#}", anyhow::Error::from(refusal.in_file(path.display().to_string()))));
        let unpacked = archive::open(&form, file).map_err(refused)?;
        let mut cutter = Cutter::new(unpacked.content).hashed(None);
        let mut failed = None;
        let verified = statement::read(&form, &wanted, &mut cutter, |line| {
            let line = line.in_full();
            let at = home_of_line(&line, province);
            if failed.is_none() {
                failed = laid.put(at, &Spooled { after, line }).err();
            }
        });
        let verified = verified.map_err(refused)?;
        if let Some(error) = failed {
            return Err(Why::Failed(error));
        }
        lines = if after { lines } else { verified.rows };
        hashes.push(cutter.sha1().unwrap_or_default());
    }
    let of = [&*work.channel, &*work.merchant, &work.day.to_string(), work.term.as_str()];
    let hashes: Vec<&str> = hashes.iter().map(String::as_str).collect();
    let run: Token<32> = id::digest(&[&of[..], &hashes].concat(), 20).parse().context("20 letters and digits are a token")?;
    let pieces = laid.finish(run.as_str())?.into_keys().collect();
    Ok(Split { run, lines, pieces })
}
