//! The Store port: idempotent, versioned rows.

use crate::Error;
use futures_util::future::BoxFuture;
use schema::{Day, Entity, Journal, Key, Moment, Partition, Table, entity::Posting, id::Province};

/// What every call gives.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// An entity as it is saved: whole, with the moment up to which it is folded as its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it lies.
    pub key: Key,
    /// The `at` of the last event that it contains: the newest wins.
    pub at: Moment,
    /// The entity.
    pub entity: Entity,
}

/// How far a partition of a journal is saved: every row at least up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The journal.
    pub journal: Journal,
    /// Its partition.
    pub partition: Partition,
    /// The `at` of the last event whose entities are all saved.
    pub at: Moment,
    /// That event's sequence in the stream.
    pub sequence: u64,
}

/// One partition of a table: what is read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The table.
    pub table: Table,
    /// The province.
    pub province: Province,
    /// The day.
    pub day: Day,
    /// The bucket.
    pub bucket: Partition,
}

/// A store. Every call may be made from many tasks at once, and again after an error.
pub trait Store: Send + Sync {
    /// Writes rows, each only where it is newer than what is there. Once this gives `Ok`, every row is at least as new as asked for.
    fn save(&self, rows: Vec<Row>) -> Answer<'_, ()>;

    /// Moves marks; an older one changes nothing.
    fn mark(&self, marks: Vec<Mark>) -> Answer<'_, ()>;

    /// How far partitions of a journal are saved, in the order asked for; none where nothing has been.
    fn marks(&self, journal: Journal, partitions: Vec<Partition>) -> Answer<'_, Vec<Option<Mark>>>;

    /// Rows by key, in the order asked for.
    fn load(&self, keys: Vec<Key>) -> Answer<'_, Vec<Option<Row>>>;

    /// All rows of a journal's tables in these partitions whose entity is open ([`Entity::is_open`]).
    fn open(&self, journal: Journal, partitions: Vec<Partition>) -> Answer<'_, Vec<Row>>;

    /// Which parts of a table have rows; for auditors.
    fn parts(&self, table: Table) -> Answer<'_, Vec<Part>>;

    /// The rows of one part, by id; for auditors.
    fn scan(&self, part: Part) -> Answer<'_, Vec<Row>>;

    /// The ledger rows of one part whose ids begin so, by id, each with its version; for closing a settlement window.
    fn postings(&self, part: Part, begin: String) -> Answer<'_, Vec<(Moment, Posting)>>;
}
