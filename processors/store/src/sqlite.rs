//! The embedded store: one SQLite file that people can open.
//!
//! Invariants
//! 1. It keeps the port's promises   (`sqlite::tests::file`, `sqlite::tests::in_memory`: the conformance suite).
//! 2. Saves that wait together are one transaction, and each is answered after its fsync   (`tests::many_savers_share_a_transaction`).
//! 3. No call holds up the runtime's thread   (`tests::a_locked_store_is_unavailable_and_comes_back`, which runs on a single thread).
//! 4. Locked or full, it is away, and comes back by itself   (`tests::a_locked_store_is_unavailable_and_comes_back`, `tests::a_full_disk_is_unavailable_and_comes_back`).
//! 5. In memory nothing runs on another thread, so a simulation sees the same order each time   (`tests::in_memory_is_done_at_the_first_poll`).
//! 6. Answers are forgotten once they are `Answer::KEPT` old, a few at a time while nothing waits to be written
//!    (`tests::old_answers_are_forgotten_behind_the_writer`, `tests::old_answers_are_forgotten_in_small_steps`).
//! 7. A long audit does not hold up every other   (`tests::a_long_audit_does_not_hold_up_every_other`).
//!
//! One thread writes, one reads by key and two read for auditors, so that a long scan holds up no lane, and a day's windows close on the rows that both read.
//!
//! Not here: which files are ours (`sqlite::file`), the SQL (`sqlite::rows`).

mod file;
mod rows;
#[cfg(test)]
mod tests;

use crate::{Answer, Error, Mark, Part, Row, Store, tables};
use futures_util::FutureExt;
use rusqlite::{Connection, TransactionBehavior};
use schema::{
    Journal, Key, Moment, Partition, Table,
    entity::{self, Posting},
    time,
};
use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// Rows in one transaction: enough to share an fsync, few enough that the first of them does not wait long for it.
const GROUP_ROWS_MAX: usize = 4_096;
/// Threads that read for auditors, in turn: most of what a row costs is reading its body, which they do side by side.
const AUDITORS: usize = 2;
/// Rows that are looked at in one step of forgetting: a save that comes meanwhile waits for these few alone.
const FORGET_ROWS_MAX: usize = 256;
/// How much event time passes until it is looked again for what is old enough.
const FORGET_EVERY: i64 = 60 * time::MINUTE;

/// A store in one SQLite file, or in memory.
pub struct Sqlite(Place);

enum Place {
    Memory(Mutex<Connection>),
    // Dropped in this order: the writer closes last and folds the log into the file.
    File { by_key: Thread<Read>, auditors: [Thread<Read>; AUDITORS], turn: AtomicUsize, writer: Thread<Write> },
}

/// Something to write, and whom to tell.
struct Write {
    what: What,
    done: oneshot::Sender<Result<(), Error>>,
}

enum What {
    Rows(Vec<Row>),
    Marks(Vec<Mark>),
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

impl Sqlite {
    /// Opens the store in a file, or makes it where there is nothing; ready at once.
    ///
    /// It waits for the disk: call it where that is allowed.
    ///
    /// # Errors
    /// `Newer` or `Damaged` where the file is not one of this release (nothing is changed), `Unavailable` where it is locked or out of reach.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let writer = file::open(path)?;
        let by_key = file::open_reader(path)?;
        let auditor = || -> Result<Thread<Read>, Error> {
            let connection = file::open_auditor(path)?;
            Thread::spawn("store-audit", move |jobs| read_all(&connection, &jobs))
        };
        Ok(Self(Place::File {
            writer: Thread::spawn("store-write", move |jobs| write_all(writer, &jobs))?,
            by_key: Thread::spawn("store-read", move |jobs| read_all(&by_key, &jobs))?,
            auditors: [auditor()?, auditor()?],
            turn: AtomicUsize::new(0),
        }))
    }

    /// A store in memory, for tests and simulation: all is done inside the call, on the caller's thread.
    pub fn in_memory() -> Self {
        Self(Place::Memory(Mutex::new(file::in_memory())))
    }

    fn write(&self, what: What) -> Answer<'_, ()> {
        async move {
            match &self.0 {
                Place::Memory(connection) => {
                    let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                    commit(&mut connection, [&what]).map_err(|e| rows::error(what.doing(), e))
                }
                Place::File { writer, .. } => {
                    let (done, answer) = oneshot::channel();
                    writer.send(Write { what, done });
                    answer.await.expect("the writer answers all that it took, or has panicked")
                }
            }
        }
        .boxed()
    }

    fn read<T, F>(&self, doing: &'static str, audits: bool, query: F) -> Answer<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        async move {
            // One transaction: all that one call gives is of one moment.
            let run = move |connection: &Connection| {
                let snapshot = connection.unchecked_transaction()?;
                let found = query(&snapshot)?;
                snapshot.commit()?;
                Ok(found)
            };
            match &self.0 {
                Place::Memory(connection) => run(&connection.lock().unwrap_or_else(PoisonError::into_inner)),
                Place::File { by_key, auditors, turn, .. } => {
                    let (done, answer) = oneshot::channel();
                    let reader = if audits { &auditors[turn.fetch_add(1, Relaxed) % AUDITORS] } else { by_key };
                    // Who asked may have left; then nobody needs the answer.
                    reader.send(Box::new(move |connection| drop(done.send(run(connection)))));
                    answer.await.expect("a reader answers all that it took, or has panicked")
                }
            }
            .map_err(|e| rows::error(doing, e))
        }
        .boxed()
    }
}

impl Store for Sqlite {
    fn save(&self, rows: Vec<Row>) -> Answer<'_, ()> {
        self.write(What::Rows(rows))
    }

    fn mark(&self, marks: Vec<Mark>) -> Answer<'_, ()> {
        self.write(What::Marks(marks))
    }

    fn marks(&self, journal: Journal, partitions: Vec<Partition>) -> Answer<'_, Vec<Option<Mark>>> {
        self.read("reading marks", false, move |connection| rows::marks(connection, journal, &partitions))
    }

    fn load(&self, keys: Vec<Key>) -> Answer<'_, Vec<Option<Row>>> {
        self.read("reading rows by key", false, move |connection| rows::load(connection, &keys))
    }

    fn open(&self, journal: Journal, partitions: Vec<Partition>) -> Answer<'_, Vec<Row>> {
        self.read("reading open rows", false, move |connection| rows::open(connection, journal, &partitions))
    }

    fn parts(&self, table: Table) -> Answer<'_, Vec<Part>> {
        self.read("listing the parts of a table", true, move |connection| rows::parts(connection, table))
    }

    fn scan(&self, part: Part) -> Answer<'_, Vec<Row>> {
        self.read("reading a part of a table", true, move |connection| rows::scan(connection, part))
    }

    fn postings(&self, part: Part, begin: String) -> Answer<'_, Vec<(Moment, Posting)>> {
        self.read("reading ledger rows", true, move |connection| rows::postings(connection, part, &begin))
    }
}

impl What {
    fn count(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Marks(marks) => marks.len(),
        }
    }

    const fn doing(&self) -> &'static str {
        match self {
            Self::Rows(_) => "saving rows",
            Self::Marks(_) => "moving marks",
        }
    }
}

/// Writes all or nothing. What a row is in the file is worked out here, on the writer's thread: whoever saves decides who may pass a lane meanwhile.
fn commit<'a>(connection: &mut Connection, all: impl IntoIterator<Item = &'a What>) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for what in all {
        match what {
            What::Rows(rows) => rows::save(&transaction, rows)?,
            What::Marks(marks) => rows::mark(&transaction, marks)?,
        }
    }
    transaction.commit()
}

/// The writer: takes all that waits, up to a bound, and commits it at once. While nothing waits it forgets what is old.
fn write_all(mut connection: Connection, jobs: &mpsc::Receiver<Write>) {
    let mut forgetting = Forgetting::default();
    loop {
        let first = match jobs.try_recv() {
            Ok(first) => first,
            Err(mpsc::TryRecvError::Empty) if forgetting.step(&connection) => continue,
            Err(_) => match jobs.recv() {
                Ok(first) => first,
                Err(mpsc::RecvError) => return,
            },
        };
        let mut count = first.what.count();
        let mut group = vec![first];
        while count < GROUP_ROWS_MAX
            && let Ok(next) = jobs.try_recv()
        {
            count += next.what.count();
            group.push(next);
        }
        let failure = commit(&mut connection, group.iter().map(|write| &write.what)).err().map(Arc::new);
        for write in group {
            if let (None, What::Marks(marks)) = (&failure, &write.what) {
                forgetting.marked(marks);
            }
            let failed = failure.as_ref().map(|e| Error::caused(rows::kind(e), write.what.doing(), Arc::clone(e)));
            // Who asked may have left; what was written stays written.
            drop(write.done.send(failed.map_or(Ok(()), Err)));
        }
    }
}

/// What is left to forget. Time is that of the marks: they are as new as the broker's time, and no clock is needed.
#[derive(Default)]
struct Forgetting {
    /// The newest mark.
    newest: i64,
    /// The newest mark when it was last begun.
    begun: i64,
    /// The tables in which there may be more.
    left: Vec<Table>,
}

impl Forgetting {
    fn marked(&mut self, marks: &[Mark]) {
        self.newest = marks.iter().map(|mark| mark.at.0).fold(self.newest, i64::max);
        if self.newest.saturating_sub(self.begun) >= FORGET_EVERY {
            self.begun = self.newest;
            self.left = Table::ALL.into_iter().filter(|table| tables::forgets(*table)).collect();
        }
    }

    /// Takes one step; gives whether there was one to take.
    fn step(&mut self, connection: &Connection) -> bool {
        let Some(table) = self.left.last().copied() else { return false };
        match rows::forget(connection, table, Moment(self.begun.saturating_sub(entity::Answer::KEPT)), FORGET_ROWS_MAX) {
            Ok(0) => drop(self.left.pop()),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(table = table.name(), %error, "old answers stay for now");
                self.left.clear();
            }
        }
        true
    }
}

fn read_all(connection: &Connection, jobs: &mpsc::Receiver<Read>) {
    while let Ok(query) = jobs.recv() {
        query(connection);
    }
}

/// A thread that works until its owner is dropped, which waits for it: then the file is closed.
struct Thread<Job> {
    jobs: Option<mpsc::Sender<Job>>,
    handle: Option<JoinHandle<()>>,
}

impl<Job: Send + 'static> Thread<Job> {
    fn spawn(name: &str, work: impl FnOnce(mpsc::Receiver<Job>) + Send + 'static) -> Result<Self, Error> {
        let (jobs, waiting) = mpsc::channel();
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(waiting))
            .map_err(|e| Error::caused(crate::Kind::Unavailable, "starting a thread of the store", e))?;
        Ok(Self { jobs: Some(jobs), handle: Some(handle) })
    }

    fn send(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("taken only when dropped");
        assert!(jobs.send(job).is_ok(), "the thread ends after its owner, or has panicked");
    }
}

impl<Job> Drop for Thread<Job> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(handle) = self.handle.take()
            && handle.join().is_err()
        {
            tracing::error!("a thread of the store has panicked");
        }
    }
}
