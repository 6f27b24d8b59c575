//! Lines of a verified statement, laid down by the piece that they belong to.
//!
//! A folder is written under a name of its own and takes its true name, which is the hash of what it was made of, once all of it is there: so a folder with that name is
//! whole, whoever wrote it, and one that a crash left behind is nobody's.
//!
//! Invariants
//! 1. What was laid down for a piece comes back for it, in the order of the file   (`tests::what_was_laid_down_comes_back`).
//! 2. What is not finished has no name that anybody looks for   (`tests::what_is_not_finished_is_not_there`).
//! 3. What is old is swept, unless somebody needs it   (`tests::what_is_old_and_needed_by_nobody_is_swept`).
//! 4. A folder that goes while it is read is no empty one   (`tests::a_folder_that_is_gone_is_no_empty_one`).
//! 5. Whether the statement tells of fees is known where its lines are   (`tests::whether_it_tells_of_fees_is_kept_with_its_lines`).
//!
//! Not here: whether a statement may be believed (`channels::statement`).

use anyhow::{Context, Result};
use schema::{Partition, id::Province, statement::StatementLine};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, ErrorKind, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// What lies in a folder whose day's own statement says what the channel keeps.
const FEES: &str = "fees";
/// How names begin of folders that are being removed.
const SWEPT: &str = "swept-";
/// How many bytes wait in memory before they are written.
const WAITING_MAX: usize = 32 * 1024 * 1024;

/// A line, and of which of the statements it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spooled {
    /// Whether it is of the day after.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after: bool,
    /// The line.
    pub line: StatementLine,
}

/// A folder that is being written.
pub struct Spool {
    root: PathBuf,
    folder: PathBuf,
    waiting: BTreeMap<(Province, Partition), Vec<u8>>,
    bytes: usize,
    /// The pieces that have lines.
    pub pieces: BTreeMap<(Province, Partition), u64>,
}

fn name(province: Province, partition: Partition) -> String {
    format!("{province}-{partition}.lines")
}

impl Spool {
    /// Begins a folder that nobody else writes: `writer` tells it from all others.
    pub fn begin(root: &Path, writer: &str) -> Result<Self> {
        let folder = root.join(format!("unfinished-{writer}"));
        if let Err(error) = fs::remove_dir_all(&folder)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot empty {}", folder.display()));
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { root: root.to_owned(), folder, waiting: BTreeMap::new(), bytes: 0, pieces: BTreeMap::new() })
    }

    /// Lays a line down.
    pub fn put(&mut self, at: (Province, Partition), line: &Spooled) -> Result<()> {
        let waiting = self.waiting.entry(at).or_default();
        let before = waiting.len();
        serde_json::to_writer(&mut *waiting, line).context("a line cannot be written")?;
        waiting.push(b'\n');
        self.bytes = self.bytes.saturating_add(waiting.len()).saturating_sub(before);
        let count = self.pieces.entry(at).or_default();
        *count = count.saturating_add(1);
        if self.bytes > WAITING_MAX { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        self.bytes = 0;
        for ((province, partition), bytes) in std::mem::take(&mut self.waiting) {
            let path = self.folder.join(name(province, partition));
            let file = OpenOptions::new().create(true).append(true).open(&path);
            let written = file.and_then(|mut file| file.write_all(&bytes));
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Says that the day's own statement tells what the channel keeps.
    pub fn with_fees(&self) -> Result<()> {
        let path = self.folder.join(FEES);
        fs::write(&path, b"").with_context(|| format!("cannot write {}", path.display()))?;
        synced(&path)
    }

    /// Has all of it on the disk, so that a name which outlives a loss of power is a whole folder's.
    fn sync(&self) -> Result<()> {
        for (province, partition) in self.pieces.keys() {
            synced(&self.folder.join(name(*province, *partition)))?;
        }
        synced(&self.folder)
    }

    /// Whether a whole folder is there; it is as young as this one from now on, for it is needed again.
    fn is_there(&self, place: &Path) -> bool {
        let young = fs::metadata(&self.folder).and_then(|about| about.modified());
        let touched = young.and_then(|young| fs::File::open(place)?.set_modified(young));
        if let Err(error) = &touched
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(folder = %place.display(), %error, "lines of a statement cannot be kept for longer");
        }
        place.exists()
    }

    /// Gives it its name; where there is one of that name already, that is the same.
    pub fn finish(mut self, run: &str) -> Result<BTreeMap<(Province, Partition), u64>> {
        self.write()?;
        let place = self.root.join(run);
        if self.is_there(&place) {
            fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))?;
            return Ok(self.pieces);
        }
        self.sync()?;
        if let Err(error) = fs::rename(&self.folder, &place)
            && !place.exists()
        {
            return Err(error).with_context(|| format!("cannot make {}", place.display()));
        }
        synced(&self.root)?;
        Ok(self.pieces)
    }
}

/// Has a file or folder on the disk.
pub fn synced(path: &Path) -> Result<()> {
    fs::File::open(path).and_then(|file| file.sync_all()).with_context(|| format!("cannot write {}", path.display()))
}

/// Whether a run's folder is there.
pub fn is_there(root: &Path, run: &str) -> bool {
    root.join(run).is_dir()
}

/// Whether the statement that a run was made of tells what the channel keeps.
pub fn tells_fees(root: &Path, run: &str) -> bool {
    root.join(run).join(FEES).is_file()
}

/// The lines of a piece.
pub fn read(root: &Path, run: &str, province: Province, partition: Partition) -> Result<Vec<Spooled>> {
    let path = root.join(run).join(name(province, partition));
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        // A piece of payments alone has none, in a folder that is there.
        Err(error) if error.kind() == ErrorKind::NotFound && is_there(root, run) => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let read = |line: std::io::Result<String>| -> Result<Spooled> { Ok(serde_json::from_str(&line?)?) };
    BufReader::new(file).lines().map(read).collect::<Result<_>>().with_context(|| format!("cannot read {}", path.display()))
}

/// Removes the folders that were not touched for longer than `keep` and that are not `needed`.
pub fn sweep(root: &Path, keep: Duration, needed: &BTreeSet<String>) {
    let Ok(folders) = fs::read_dir(root) else { return };
    for folder in folders.flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        let age = folder.metadata().and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
        if needed.contains(&name) || age.is_none_or(|age| age <= keep) {
            continue;
        }
        // What is half removed has no name that anybody looks for.
        let away = if name.starts_with(SWEPT) { folder.path() } else { root.join(format!("{SWEPT}{name}")) };
        let removed = fs::rename(folder.path(), &away).and_then(|()| fs::remove_dir_all(&away));
        // Another process that shares the folder was faster.
        if let Err(error) = removed
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(folder = %folder.path().display(), %error, "old lines of a statement cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{
        Currency, Moment, Money,
        statement::{LineKind, Standing},
    };

    fn line(number: u32) -> Spooled {
        let line = StatementLine {
            line: number,
            kind: LineKind::Trade,
            standing: Standing::Done,
            transaction: format!("t{number}").into(),
            number: "粤\"\n".into(),
            refund: "".into(),
            amount: Money::new(i64::from(number), Currency::Cny),
            fee_milli: -1,
            happened_at: Moment(7),
        };
        Spooled { after: number.is_multiple_of(2), line }
    }

    #[test]
    fn what_was_laid_down_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |number: u32| (Province(44), Partition(u8::try_from(number % 3).expect("small")));
        let mut spool = Spool::begin(folder.path(), "one").expect("it can be made");
        for number in 0..30 {
            spool.put(at(number), &line(number)).expect("it can be written");
            if number == 10 {
                spool.write().expect("it can be written");
            }
        }
        let pieces = spool.finish("run").expect("it can be named");
        assert_eq!(pieces.values().collect::<Vec<_>>(), [&10, &10, &10]);
        for partition in 0..3 {
            let lines = read(folder.path(), "run", Province(44), Partition(partition)).expect("it is there");
            assert_eq!(lines, (0..30).filter(|number| at(*number).1.0 == partition).map(line).collect::<Vec<_>>());
        }
        assert_eq!(read(folder.path(), "run", Province(11), Partition(0)).expect("it has none"), []);
        let again = Spool::begin(folder.path(), "two").expect("it can be made");
        again.finish("run").expect("it is there already");
        assert_eq!(read(folder.path(), "run", Province(44), Partition(0)).expect("it is there").len(), 10, "the first one stays");
    }

    #[test]
    fn whether_it_tells_of_fees_is_kept_with_its_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        for (run, tells) in [("one", true), ("two", false)] {
            let mut spool = Spool::begin(folder.path(), run).expect("it can be made");
            spool.put((Province(44), Partition(1)), &line(1)).expect("it can be written");
            if tells {
                spool.with_fees().expect("it can be written");
            }
            assert!(!tells_fees(folder.path(), run), "it is not finished");
            spool.finish(run).expect("it can be named");
            assert_eq!(tells_fees(folder.path(), run), tells);
            assert_eq!(read(folder.path(), run, Province(44), Partition(1)).expect("it is there"), [line(1)]);
        }
    }

    #[test]
    fn what_is_not_finished_is_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::begin(folder.path(), "one").expect("it can be made");
        spool.put((Province(44), Partition(1)), &line(1)).expect("it can be written");
        spool.write().expect("it can be written");
        drop(spool);
        assert!(!is_there(folder.path(), "run"));
        let spool = Spool::begin(folder.path(), "one").expect("what was left is emptied");
        assert!(spool.finish("run").expect("it can be named").is_empty() && is_there(folder.path(), "run"));
        assert_eq!(read(folder.path(), "run", Province(44), Partition(1)).expect("it has none"), []);
    }

    #[test]
    fn what_is_old_and_needed_by_nobody_is_swept() {
        let folder = tempfile::tempdir().expect("a folder");
        let lay = |run: &str| {
            let mut spool = Spool::begin(folder.path(), "one").expect("it can be made");
            spool.put((Province(44), Partition(1)), &line(1)).expect("it can be written");
            spool.finish(run).expect("it can be named");
        };
        let age = |run: &str| {
            let opened = fs::File::open(folder.path().join(run)).expect("it is there");
            opened.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("a folder has a time");
        };
        let there = || ["needed", "laid again", "old", "young"].map(|run| is_there(folder.path(), run));
        for run in ["needed", "laid again", "old"] {
            lay(run);
            age(run);
        }
        lay("young");
        lay("laid again");
        sweep(folder.path(), Duration::from_secs(3600), &BTreeSet::from(["needed".to_owned()]));
        assert_eq!(there(), [true, true, false, true]);
        age("needed");
        sweep(folder.path(), Duration::from_secs(3600), &BTreeSet::new());
        assert_eq!(there(), [false, true, false, true]);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing is left of what was swept");
    }

    #[test]
    fn a_folder_that_is_gone_is_no_empty_one() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(read(folder.path(), "run", Province(44), Partition(1)).is_err(), "it is not known which lines it had");
        Spool::begin(folder.path(), "one").expect("it can be made").finish("run").expect("it can be named");
        assert_eq!(read(folder.path(), "run", Province(44), Partition(1)).expect("it has none"), []);
    }
}
