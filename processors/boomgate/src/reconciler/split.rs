//! A day's statement, verified whole and laid down by pieces. Nothing of it is published.
//!
//! Invariants
//! 1. A statement that is refused leaves nothing behind that anybody reads   (`super::tests::nothing_is_said_of_a_statement_that_is_refused`).
//! 2. The same files have the same run, whoever splits them   (`super::tests::a_piece_whose_worker_died_is_done_again_and_says_the_same`).
//! 3. Of several files the last that is a statement of the day counts   (`super::tests::a_day_that_is_due_waits_for_another_file_where_one_is_refused`).
//! 4. A statement beside which another hash lies is refused   (`tests::a_hash_that_lies_beside_a_statement_is_its_own`).
//! 5. Numbers that are too long to be told are shorter ones, each its own   (`tests::a_number_that_is_too_long_is_shortened`).
//!
//! Not here: the form of files (`channels::statement`), how lines are kept (`spool`), files that the channel itself hands out (`fetch`).

use super::{
    fetch::FETCHED,
    spool::{Spool, Spooled},
};
use anyhow::{Context, Result};
use channels::statement::{self, Cutter, Form, Line, Refusal, Verified, archive};
use jiff::civil::Date;
use schema::{
    Partition, StatementEvent, Token,
    exception::{Term, home_of_line},
    id::{self, Province},
    statement::StatementLine,
    time::Day,
    work::DayWork,
};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How names end of what lies beside statements, or is not there yet as a whole.
const NO_STATEMENT: [&str; 6] = [".sha1", ".sha256", ".md5", ".part", ".tmp", ".refused"];
/// How the name of a statement goes on where its hash lies beside it: the SHA-1 of the plain file.
pub const HASH: &str = ".sha1";
/// For how long nobody must have written to a file that is there as a whole.
const SETTLED: Duration = Duration::from_secs(2);
/// How much of a number is kept that is too long, in bytes: with a digest of all of it behind, it is none any more.
const HEAD_MAX: usize = 40;

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

/// The files of a channel's folder that may be the statement of a day, by name: those whose name has the day in it (261123, 20261123 or 2026-11-23).
pub fn find(folder: &Path, day: Date) -> Vec<PathBuf> {
    let short = self::day(day);
    let words = [format!("{short}"), format!("20{short}"), day.to_string()];
    let is_one = |name: &str| {
        let lower = name.to_ascii_lowercase();
        let is_none = lower.starts_with('.') || NO_STATEMENT.iter().any(|end| lower.ends_with(end));
        !is_none && words.iter().any(|word| name.contains(word.as_str()))
    };
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let files = files.flatten().filter(|file| is_one(&file.file_name().to_string_lossy()));
    let mut found: Vec<PathBuf> = files.map(|file| file.path()).filter(|path| path.is_file()).collect();
    found.sort();
    found
}

/// Whether nobody writes to a file any more, as far as its time tells. One that was fetched has its name since it was whole.
fn is_settled(path: &Path) -> bool {
    if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FETCHED)) {
        return true;
    }
    let age = std::fs::metadata(path).and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_none_or(|age| age >= SETTLED)
}

/// The statement of a day in a channel's folder: the last by name of those that are one, so that one which corrects an earlier one takes its place by a later name.
fn choose(form: &Form, wanted: &statement::Wanted, folder: &Path) -> Result<PathBuf, Why> {
    let mut found = find(folder, wanted.day);
    // The last counts: what a person lays there rather than what was fetched, whatever its name is.
    found.sort_by_key(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FETCHED)));
    if let Some(path) = found.iter().find(|path| !is_settled(path)) {
        return Err(Why::Missing(format!("{} is being written still", path.display())));
    }
    // One alone is read once.
    while let Some(last) = found.last().filter(|_| found.len() > 1).cloned() {
        match told_hash(&last).and_then(|hash| read(form, wanted, &last, hash.as_deref(), |_| {})) {
            Ok(_) => return Ok(last),
            Err(Why::Refused(why)) => {
                tracing::warn!(why, "a file is passed over, for there is another one of the day");
                found.pop();
            }
            Err(other) => return Err(other),
        }
    }
    found.pop().ok_or_else(|| Why::Missing(format!("no statement of {} in {}", wanted.day, folder.display())))
}

/// What lies beside a file: its name goes on like this.
pub fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(end);
    name.into()
}

/// The hash that lies beside a statement, if one does: the first word of its file.
fn told_hash(path: &Path) -> Result<Option<String>, Why> {
    let beside = beside(path, HASH);
    let bytes = match std::fs::read(&beside) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read {}", beside.display()))?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let hash = text.split_whitespace().next().unwrap_or_default();
    let is_one = hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_one { Ok(Some(hash.to_owned())) } else { Err(Why::Refused(format!("{} holds no SHA-1", beside.display()))) }
}

/// Verifies a file that is the statement of a day or is not, with its hash if one was told; gives the hash of its plain content.
pub fn verified(form: &Form, wanted: &statement::Wanted, path: &Path, hash: Option<&str>) -> Result<String, Why> {
    read(form, wanted, path, hash, |_| {}).map(|(_, hash)| hash)
}

/// Reads a file and verifies it, with its hash if one was told; gives what it says as a whole, and its hash. What `each` sees counts only then.
fn read(form: &Form, wanted: &statement::Wanted, path: &Path, hash: Option<&str>, each: impl FnMut(&Line<'_>)) -> Result<(Verified, String), Why> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Why::Missing(format!("{} is not there", path.display()))),
        opened => opened.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let refused = |refusal: Refusal| Why::Refused(format!("{:#}", anyhow::Error::from(refusal.in_file(path.display().to_string()))));
    let unpacked = archive::open(form, file).map_err(refused)?;
    let mut cutter = Cutter::new(unpacked.content).hashed(hash);
    let verified = statement::read(form, wanted, &mut cutter, each).map_err(refused)?;
    Ok((verified, cutter.sha1().unwrap_or_default()))
}

/// A line of which everything can be told: a number that is too long is its head and a digest of all of it, so that it is told from all others still.
fn fitting(line: StatementLine) -> StatementLine {
    let short = |text: Arc<str>| -> Arc<str> {
        if text.len() <= StatementEvent::NAME_MAX {
            return text;
        }
        let head: String = text.char_indices().take_while(|(at, one)| at.saturating_add(one.len_utf8()) <= HEAD_MAX).map(|(_, one)| one).collect();
        format!("{head}~{}", id::digest(&[&text], 20)).into()
    };
    StatementLine { transaction: short(line.transaction), number: short(line.number), refund: short(line.refund), ..line }
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
        let wanted = statement::Wanted { day: date, merchant: (!work.merchant.is_empty()).then(|| work.merchant.to_string()) };
        let given = work.file.as_deref().filter(|_| !after).map(PathBuf::from);
        let path = given.map_or_else(|| choose(&form, &wanted, &folder.join(name)), Ok)?;
        let mut failed = None;
        let told = told_hash(&path)?;
        let (verified, hash) = read(&form, &wanted, &path, told.as_deref(), |line| {
            let line = fitting(line.in_full());
            let at = home_of_line(&line, province);
            if failed.is_none() {
                failed = laid.put(at, &Spooled { after, line }).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(Why::Failed(error));
        }
        if !after {
            lines = verified.rows;
            if verified.tells_fees {
                laid.with_fees()?;
            }
        }
        hashes.push(hash);
    }
    let of = [&*work.channel, &*work.merchant, &work.day.to_string(), work.term.as_str()];
    let hashes: Vec<&str> = hashes.iter().map(String::as_str).collect();
    let run: Token<32> = id::digest(&[&of[..], &hashes].concat(), 20).parse().context("20 letters and digits are a token")?;
    let pieces = laid.finish(run.as_str())?.into_keys().collect();
    Ok(Split { run, lines, pieces })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{
        Currency, Moment, Money,
        statement::{LineKind, Standing},
    };

    #[test]
    fn what_lies_beside_statements_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "a-2026-11-22.csv",
            "b-20261122.zip",
            "c_261122.csv",
            "d-2026-11-22.csv.sha1",
            "e-2026-11-22.csv.SHA256",
            "f-2026-11-22.md5",
            "g-2026-11-22.csv.part",
            "h-2026-11-22.csv.tmp",
            ".i-2026-11-22.csv",
            "j-2026-11-23.csv",
            "l-2026-11-22.refused",
        ] {
            std::fs::write(folder.path().join(name), "x").expect("it can be written");
        }
        std::fs::create_dir(folder.path().join("k-2026-11-22")).expect("a folder");
        let found = find(folder.path(), jiff::civil::date(2026, 11, 22));
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["a-2026-11-22.csv", "b-20261122.zip", "c_261122.csv"]);
        assert!(found.iter().all(|path| !is_settled(path)), "they were written just now");
        assert!(find(&folder.path().join("nowhere"), jiff::civil::date(2026, 11, 22)).is_empty());
    }

    #[test]
    fn a_hash_that_lies_beside_a_statement_is_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clearing-2026-11-22.csv");
        let beside = folder.path().join("clearing-2026-11-22.csv.sha1");
        std::fs::write(&path, "#clearing,1,2026-11-22,\ntime,kind,transaction,number,amount,disposition,fee\n#total,0,0.00,0.00\n")
            .expect("it can be written");
        let form = channels::form("etc").expect("it has statements").1;
        let wanted = statement::Wanted { day: jiff::civil::date(2026, 11, 22), merchant: None };
        let read = || told_hash(&path).and_then(|hash| verified(&form, &wanted, &path, hash.as_deref()));
        let own = read().expect("it needs none");
        std::fs::write(&beside, format!("{}  clearing-2026-11-22.csv\n", own.to_uppercase())).expect("it can be written");
        assert_eq!(read().expect("it is its own"), own);
        for wrong in ["a9993e364706816aba3e25717850c26c9cd0d89d", "a9993e", ""] {
            std::fs::write(&beside, wrong).expect("it can be written");
            assert!(matches!(read(), Err(Why::Refused(_))), "{wrong:?}");
        }
    }

    #[test]
    fn a_number_that_is_too_long_is_shortened() {
        let line = |number: &str| StatementLine {
            line: 2,
            kind: LineKind::Trade,
            standing: Standing::Done,
            transaction: "42".into(),
            number: number.into(),
            refund: "".into(),
            amount: Money::new(500, Currency::Cny),
            fee_milli: 0,
            happened_at: Moment(1),
        };
        let short = |number: &str| fitting(line(number)).number;
        for number in ["n".to_owned(), "x".repeat(64), "粤".repeat(21)] {
            assert_eq!(&*short(&number), number.as_str());
        }
        for (one, other) in [("x".repeat(65), "x".repeat(66)), ("粤".repeat(40), format!("{}B", "粤".repeat(39)))] {
            assert!(short(&one).len() <= StatementEvent::NAME_MAX, "{one}");
            assert_eq!(short(&one), short(&one));
            assert_ne!(short(&one), short(&other), "each is its own");
        }
    }
}
