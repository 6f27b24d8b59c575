//! Which file is a store of ours: it is looked at before SQLite may touch it.
//!
//! Invariants
//! 1. A newer, foreign or damaged file stays as it is, to the byte   (`tests::a_newer_file_is_left_as_it_is`, `tests::a_foreign_or_damaged_file_is_left_as_it_is`).
//! 2. A new path or an empty file becomes a store, whole or not at all   (`tests::a_new_path_becomes_a_store`).
//! 3. An older file keeps its rows and gets what it lacks   (`tests::an_older_file_gets_what_it_lacks`).

use super::rows;
use crate::{Error, Kind};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, config::DbConfig};
use std::{fs::File, io::Read, path::Path, time::Duration};

/// In the header of every store: `BoGa`.
const APPLICATION_ID: i32 = 0x426F_4761;
/// The layout of the tables. A release reads its own and migrates older ones.
pub(super) const LAYOUT: i32 = 7;
/// How long a statement waits for another process before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Statements kept prepared: a save, a load, an open and a scan for each table.
const STATEMENTS_MAX: usize = 96;

/// How much an auditor's connection keeps of the file, as SQLite counts it: a negative number is KiB.
const AUDITOR_CACHE: i64 = -16_384;

const HEADER_BYTES: usize = 100;

/// Opens a store, or makes one where there is nothing.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    probe(path)?;
    let doing = || format!("opening the store {}", path.display());
    let connection = Connection::open(path).map_err(|e| rows::error(doing(), e))?;
    prepare(connection).map_err(|e| match e {
        Refused::By(kind) => Error::new(kind, doing()),
        Refused::Sqlite(e) => rows::error(doing(), e),
    })
}

/// A store in memory alone.
pub(super) fn in_memory() -> Connection {
    let connection = Connection::open_in_memory().expect("memory for an empty database");
    match prepare(connection) {
        Ok(connection) => connection,
        Err(_) => unreachable!("an empty database in memory takes our tables"),
    }
}

/// A second connection, for reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let doing = || format!("opening the store {} for reading", path.display());
    let open = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(connection)
    };
    open().map_err(|e| rows::error(doing(), e))
}

/// A connection for reads that go over many rows. Rows that lie together by key lie scattered over the pages: it keeps more of these than others do.
pub(super) fn open_auditor(path: &Path) -> Result<Connection, Error> {
    let connection = open_reader(path)?;
    let doing = || format!("opening the store {} for reading", path.display());
    connection.pragma_update(None, "cache_size", AUDITOR_CACHE).map_err(|e| rows::error(doing(), e))?;
    Ok(connection)
}

/// Reads the header as bytes: opening a file through SQLite can already write to it (recovery, a checkpoint).
fn probe(path: &Path) -> Result<(), Error> {
    let doing = || format!("looking at the store {}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::caused(Kind::Unavailable, doing(), e)),
    };
    let length = file.metadata().map_err(|e| Error::caused(Kind::Unavailable, doing(), e))?.len();
    if length == 0 {
        return Ok(());
    }
    let mut header = [0_u8; HEADER_BYTES];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Err(Error::new(Kind::Damaged, doing())),
        Err(e) => return Err(Error::caused(Kind::Unavailable, doing(), e)),
    }
    // https://sqlite.org/fileformat2.html#the_database_header
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    // With a log beside it the file may rightly be shorter than its header says: a checkpoint was cut off and will be done again.
    let has_log = std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let is_cut = !has_log && length < page_bytes * u64::from(word(28));
    if !header.starts_with(b"SQLite format 3\0") || word(68).cast_signed() != APPLICATION_ID || is_cut {
        return Err(Error::new(Kind::Damaged, doing()));
    }
    if word(60).cast_signed() > LAYOUT {
        return Err(Error::new(Kind::Newer, doing()));
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

enum Refused {
    By(Kind),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

fn prepare(mut connection: Connection) -> Result<Connection, Refused> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // What the header did not show can lie in the log: until that is known to be ours, closing must not fold it into the file.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if is_ours(&connection)? {
        // Nothing to make.
    } else {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        // Another process may have made it while we waited. An older layout lacks tables, and has those that it has as they are now.
        if !is_ours(&transaction)? {
            transaction.execute_batch(&rows::layout())?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", LAYOUT)?;
        }
        transaction.commit()?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.query_row("PRAGMA journal_mode = wal", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    rows::check(&connection)?;
    Ok(connection)
}

/// Whether a database has all our tables; not where it is empty or older; refused where it is another's or newer.
fn is_ours(connection: &Connection) -> Result<bool, Refused> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let (id, layout) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    match (id, layout) {
        (APPLICATION_ID, LAYOUT) => Ok(true),
        (APPLICATION_ID, 1..LAYOUT) => Ok(false),
        (APPLICATION_ID, newer) if newer > LAYOUT => Err(Refused::By(Kind::Newer)),
        (0, 0) if number("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(false),
        _ => Err(Refused::By(Kind::Damaged)),
    }
}
