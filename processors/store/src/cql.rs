//! The store at scale: ScyllaDB or Apache Cassandra 5, by plain idempotent writes at quorum.
//!
//! Every write of a row writes every column `USING TIMESTAMP at`: the cluster keeps the newest of each, so the newest row wins whole, in
//! whatever order writes come, and nobody reads before writing. Two rows with the same key and the same `at` must be the same row.
//!
//! Invariants
//! 1. It keeps the port's promises   (`production::cassandra_keeps_the_promises`: the conformance suite).
//! 2. A save is confirmed only once its rows and their lines among the open rows are at a quorum   (`conformance::a_confirmed_row_is_read_back`).
//! 3. What the open rows say is not believed: the row decides   (`conformance::a_late_write_opens_nothing_again`, `production::a_stale_open_line_opens_nothing`).
//! 4. A cluster that is away is `Unavailable`, and comes back without connecting again   (`production::a_node_that_is_away_is_unavailable_and_comes_back`).
//!
//! Not here: conditional writes, counters, views, nulls; the making of tables (`cql::layout`), which writes travel together (`cql::writes`).

mod layout;
mod writes;

#[cfg(test)]
pub(crate) use layout::FILES;
pub(crate) use layout::Keyspace;

use crate::{
    Answer, Error, Kind, Mark, Part, Row, Store,
    tables::{self, Cells},
};
use futures_util::{FutureExt, StreamExt, TryStreamExt, future::try_join_all, stream};
use schema::{Day, Entity, Journal, Key, Moment, Partition, Table, entity::Posting, id::Province};
use scylla::{
    client::{execution_profile::ExecutionProfile, pager::QueryPager, session::Session, session_builder::SessionBuilder},
    deserialize::row::DeserializeRow,
    errors::{DbError, ExecutionError, NewSessionError, PagerExecutionError, PrepareError, RequestAttemptError},
    response::query_result::QueryResult,
    serialize::row::SerializeRow,
    statement::{
        Consistency,
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
    value::CqlValue,
};
use std::{collections::HashMap, error::Error as Source, time::Duration};
use tokio::sync::Semaphore;
use writes::{Verb, Write};

/// Keys asked for in one statement; all lie in one partition.
const KEYS_MAX: usize = 64;

/// How the cluster is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a statement may take, with all that the driver tries, before it counts as not confirmed.
    pub request_timeout: Duration,
    /// Statements on their way at once, of all calls together.
    pub in_flight_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { request_timeout: Duration::from_secs(5), in_flight_max: 256 }
    }
}

/// A store in a cluster that speaks CQL.
pub struct Cql {
    session: Session,
    in_flight: Semaphore,
    in_flight_max: usize,
    tables: Vec<Statements>,
    open_line: PreparedStatement,
    close_line: PreparedStatement,
    open_lines: PreparedStatement,
    mark: PreparedStatement,
    marks: PreparedStatement,
}

/// The statements of one table.
struct Statements {
    save: PreparedStatement,
    load: PreparedStatement,
    parts: PreparedStatement,
    scan: PreparedStatement,
    range: PreparedStatement,
}

impl Cql {
    /// Connects to a provisioned keyspace; `nodes` are `host:port`.
    ///
    /// # Errors
    /// `NotProvisioned` or `Newer` where the tables are not there or not of this release, `Unavailable` where no node answers.
    pub async fn connect(nodes: &[String], keyspace: &str, options: Options) -> Result<Self, Error> {
        let keyspace = named(keyspace)?;
        let session = session(nodes, &options).await?;
        layout::check(&session, &keyspace).await?;
        let prepare = async |cql: String| {
            let prepared = session.prepare(cql.replace("$.", &format!("{}.", keyspace.as_str()))).await;
            // Each of our statements may run twice, so the driver may try it again.
            prepared.map(idempotent).map_err(|e| Error::caused(prepare_kind(&e), format!("preparing {cql}"), e))
        };
        let statements = async |table: Table| {
            let (name, columns) = (table.name(), tables::names(table));
            let values = vec!["?"; columns.len()].join(", ");
            Ok(Statements {
                save: prepare(format!("INSERT INTO $.{name} ({}) VALUES ({values}) USING TIMESTAMP ?", columns.join(", "))).await?,
                load: prepare(format!("SELECT id, at, body FROM $.{name} WHERE province = ? AND day = ? AND bucket = ? AND id IN ?")).await?,
                parts: prepare(format!("SELECT DISTINCT province, day, bucket FROM $.{name}")).await?,
                scan: prepare(format!("SELECT id, at, body FROM $.{name} WHERE province = ? AND day = ? AND bucket = ?")).await?,
                range: prepare(format!("SELECT at, body FROM $.{name} WHERE province = ? AND day = ? AND bucket = ? AND id >= ? AND id < ?")).await?,
            })
        };
        let tables = try_join_all(Table::ALL.map(statements)).await?;
        let line = "entity_table = ? AND bucket = ?";
        let open_line =
            prepare("INSERT INTO $.open_rows (entity_table, bucket, province, day, id) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?".into()).await?;
        let close_line = prepare(format!("DELETE FROM $.open_rows USING TIMESTAMP ? WHERE {line} AND province = ? AND day = ? AND id = ?")).await?;
        let open_lines = prepare(format!("SELECT province, day, id FROM $.open_rows WHERE {line}")).await?;
        let mark = prepare("INSERT INTO $.marks (journal, partition, at, sequence) VALUES (?, ?, ?, ?) USING TIMESTAMP ?".into()).await?;
        let marks = prepare("SELECT partition, at, sequence FROM $.marks WHERE journal = ?".into()).await?;
        let in_flight = Semaphore::new(options.in_flight_max);
        Ok(Self { session, in_flight, in_flight_max: options.in_flight_max, tables, open_line, close_line, open_lines, mark, marks })
    }

    /// Makes the keyspace, with so many replicas in each data centre, and its tables, where they are not there yet.
    ///
    /// One at a time: Cassandra 5 does not order the making of one table by two.
    ///
    /// # Errors
    /// `Unavailable` where the cluster does not answer or does not agree.
    pub async fn provision(nodes: &[String], keyspace: &str, replicas: u8, options: Options) -> Result<(), Error> {
        layout::provision(nodes, &named(keyspace)?, replicas, &options).await
    }

    async fn execute(&self, doing: &'static str, statement: &PreparedStatement, values: impl SerializeRow) -> Result<QueryResult, Error> {
        let _turn = self.in_flight.acquire().await.expect("never closed");
        self.session.execute_unpaged(statement, values).await.map_err(|e| execute_error(doing, e))
    }

    /// All rows of a result of any size.
    async fn all<R>(&self, doing: &'static str, statement: &PreparedStatement, values: impl SerializeRow) -> Result<Vec<R>, Error>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm> + Send + 'static,
    {
        let _turn = self.in_flight.acquire().await.expect("never closed");
        let pager: QueryPager = self.session.execute_iter(statement.clone(), values).await.map_err(|e| Error::caused(pager_kind(&e), doing, e))?;
        let rows = pager.rows_stream::<R>().map_err(|e| Error::caused(Kind::Damaged, doing, e))?;
        rows.try_collect().await.map_err(|e| Error::caused(Kind::Unavailable, doing, e))
    }

    fn statement(&self, verb: Verb) -> &PreparedStatement {
        match verb {
            Verb::Save(table) => &self.tables[table as usize].save,
            Verb::OpenLine => &self.open_line,
            Verb::CloseLine => &self.close_line,
        }
    }

    async fn save_group(&self, group: Vec<Write>) -> Result<(), Error> {
        const DOING: &str = "saving rows";
        if let [Write { verb, values, .. }] = group.as_slice() {
            return self.execute(DOING, self.statement(*verb), values).await.map(drop);
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        for write in &group {
            batch.append_statement(self.statement(write.verb).clone());
        }
        let values: Vec<Vec<CqlValue>> = group.into_iter().map(|write| write.values).collect();
        let _turn = self.in_flight.acquire().await.expect("never closed");
        self.session.batch(&batch, values).await.map(drop).map_err(|e| execute_error(DOING, e))
    }

    async fn save_mark(&self, mark: Mark) -> Result<(), Error> {
        let values = (mark.journal.stream(), i16::from(mark.partition.0), mark.at.0, mark.sequence.cast_signed(), mark.at.0);
        self.execute("moving a mark", &self.mark, values).await.map(drop)
    }

    /// The rows of some ids of one part.
    async fn load_some(&self, part: Part, ids: Vec<schema::Id>) -> Result<Vec<Row>, Error> {
        const DOING: &str = "reading rows by key";
        let ids: Vec<&str> = ids.iter().map(schema::Token::as_str).collect();
        let (province, day, bucket) = place(part);
        let result = self.execute(DOING, &self.tables[part.table as usize].load, (province, day, bucket, ids)).await?;
        let rows = result.into_rows_result().map_err(|e| Error::caused(Kind::Damaged, DOING, e))?;
        let rows = rows.rows::<(&str, i64, &str)>().map_err(|e| Error::caused(Kind::Damaged, DOING, e))?;
        rows.map(|row| row.map_err(|e| Error::caused(Kind::Damaged, DOING, e)).and_then(|(id, at, body)| read(part, id, at, body))).collect()
    }

    async fn load_all(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, Error> {
        let mut parts: HashMap<Part, Vec<schema::Id>> = HashMap::new();
        for key in keys {
            let Key { table, province, day, bucket, id } = *key;
            parts.entry(Part { table, province, day, bucket }).or_default().push(id);
        }
        let some = parts.into_iter().flat_map(|(part, ids)| ids.chunks(KEYS_MAX).map(|ids| (part, ids.to_vec())).collect::<Vec<_>>());
        let found: Vec<Vec<Row>> =
            stream::iter(some).map(|(part, ids)| self.load_some(part, ids)).buffer_unordered(self.in_flight_max).try_collect().await?;
        let found: HashMap<Key, Row> = found.into_iter().flatten().map(|row| (row.key, row)).collect();
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn open_keys(&self, table: Table, bucket: Partition) -> Result<Vec<Key>, Error> {
        const DOING: &str = "reading where open rows lie";
        let lines = self.all::<(i16, i32, String)>(DOING, &self.open_lines, (table.name(), i16::from(bucket.0))).await?;
        let key = |(province, day, id): (i16, i32, String)| {
            let id = id.parse().map_err(|e: schema::token::NotAToken| Error::caused(Kind::Damaged, DOING, e))?;
            Ok(Key { table, province: read_province(province, DOING)?, day: Day(day.cast_unsigned()), bucket, id })
        };
        lines.into_iter().map(key).collect()
    }
}

impl Store for Cql {
    fn save(&self, rows: Vec<Row>) -> Answer<'_, ()> {
        let groups = writes::groups(rows.iter().map(Cells::of).collect());
        stream::iter(groups).map(|group| self.save_group(group)).buffer_unordered(self.in_flight_max).try_collect().boxed()
    }

    fn mark(&self, marks: Vec<Mark>) -> Answer<'_, ()> {
        stream::iter(marks).map(|mark| self.save_mark(mark)).buffer_unordered(self.in_flight_max).try_collect().boxed()
    }

    fn marks(&self, journal: Journal, partitions: Vec<Partition>) -> Answer<'_, Vec<Option<Mark>>> {
        async move {
            let rows = self.all::<(i16, i64, i64)>("reading marks", &self.marks, (journal.stream(),)).await?;
            let mark = |partition: Partition| {
                let (_, at, sequence) = rows.iter().find(|(number, ..)| *number == i16::from(partition.0))?;
                Some(Mark { journal, partition, at: Moment(*at), sequence: sequence.cast_unsigned() })
            };
            Ok(partitions.into_iter().map(mark).collect())
        }
        .boxed()
    }

    fn load(&self, keys: Vec<Key>) -> Answer<'_, Vec<Option<Row>>> {
        async move { self.load_all(&keys).await }.boxed()
    }

    fn open(&self, journal: Journal, partitions: Vec<Partition>) -> Answer<'_, Vec<Row>> {
        async move {
            let tables = tables::of(journal).filter(|table| tables::opens(*table));
            let wanted: Vec<(Table, Partition)> = tables.flat_map(|table| partitions.iter().map(move |bucket| (table, *bucket))).collect();
            let keys: Vec<Vec<Key>> =
                stream::iter(wanted).map(|(table, bucket)| self.open_keys(table, bucket)).buffered(self.in_flight_max).try_collect().await?;
            let rows = self.load_all(&keys.concat()).await?;
            // A line can be older than its row, or have come back after the row was closed.
            Ok(rows.into_iter().flatten().filter(|row| row.entity.is_open()).collect())
        }
        .boxed()
    }

    fn parts(&self, table: Table) -> Answer<'_, Vec<Part>> {
        async move {
            const DOING: &str = "listing the parts of a table";
            let rows = self.all::<(i16, i32, i16)>(DOING, &self.tables[table as usize].parts, ()).await?;
            let part = |(province, day, bucket): (i16, i32, i16)| {
                let bucket = u8::try_from(bucket).map_err(|e| Error::caused(Kind::Damaged, DOING, e))?;
                Ok(Part { table, province: read_province(province, DOING)?, day: Day(day.cast_unsigned()), bucket: Partition(bucket) })
            };
            let mut parts: Vec<Part> = rows.into_iter().map(part).collect::<Result<_, Error>>()?;
            parts.sort();
            Ok(parts)
        }
        .boxed()
    }

    fn scan(&self, part: Part) -> Answer<'_, Vec<Row>> {
        async move {
            let rows = self.all::<(String, i64, String)>("reading a part of a table", &self.tables[part.table as usize].scan, place(part)).await?;
            rows.into_iter().map(|(id, at, body)| read(part, &id, at, &body)).collect()
        }
        .boxed()
    }

    fn postings(&self, part: Part, begin: String) -> Answer<'_, Vec<(Moment, Posting)>> {
        async move {
            const DOING: &str = "reading ledger rows";
            let (province, day, bucket) = place(part);
            let end = format!("{begin}{}", tables::BEHIND_ALL);
            let rows = self.all::<(i64, String)>(DOING, &self.tables[part.table as usize].range, (province, day, bucket, begin, end)).await?;
            let read = |(at, body): (i64, String)| {
                let posting = serde_json::from_str(&body).map_err(|e| Error::caused(Kind::Damaged, DOING, e))?;
                Ok((Moment(at), posting))
            };
            rows.into_iter().map(read).collect()
        }
        .boxed()
    }
}

fn place(part: Part) -> (i16, i32, i16) {
    (part.province.0.into(), part.day.0.cast_signed(), part.bucket.0.into())
}

fn read(part: Part, id: &str, at: i64, body: &str) -> Result<Row, Error> {
    let Part { table, province, day, bucket } = part;
    let doing = || format!("reading the row {id} of {}", table.name());
    let id = id.parse().map_err(|e: schema::token::NotAToken| Error::caused(Kind::Damaged, doing(), e))?;
    let entity: Entity = serde_json::from_str(body).map_err(|e| Error::caused(Kind::Damaged, doing(), e))?;
    Ok(Row { key: Key { table, province, day, bucket, id }, at: Moment(at), entity })
}

fn read_province(province: i16, doing: &str) -> Result<Province, Error> {
    u8::try_from(province).map(Province).map_err(|e| Error::caused(Kind::Damaged, doing, e))
}

fn named(keyspace: &str) -> Result<Keyspace, Error> {
    Keyspace::named(keyspace).ok_or_else(|| Error::new(Kind::NotProvisioned, format!("using {keyspace:?}, which cannot be a keyspace's name")))
}

fn idempotent(mut statement: PreparedStatement) -> PreparedStatement {
    statement.set_is_idempotent(true);
    statement
}

async fn session(nodes: &[String], options: &Options) -> Result<Session, Error> {
    let profile = ExecutionProfile::builder().consistency(Consistency::LocalQuorum).request_timeout(Some(options.request_timeout)).build();
    let builder = SessionBuilder::new().known_nodes(nodes).default_execution_profile_handle(profile.into_handle());
    let doing = || format!("connecting to {}", nodes.join(", "));
    // The driver's own limits do not hold for a node that accepts and then says nothing: it waits for a minute.
    match tokio::time::timeout(options.request_timeout.saturating_mul(2), builder.connection_timeout(options.request_timeout).build()).await {
        Ok(built) => built.map_err(|e: NewSessionError| Error::caused(Kind::Unavailable, doing(), e)),
        Err(late) => Err(Error::caused(Kind::Unavailable, doing(), late)),
    }
}

/// "Invalid" is what a cluster says of a keyspace, table or column that is not there; our statements are right otherwise.
const fn attempt_kind(error: &RequestAttemptError) -> Kind {
    match error {
        RequestAttemptError::DbError(DbError::Invalid, _) => Kind::NotProvisioned,
        _ => Kind::Unavailable,
    }
}

const fn prepare_kind(error: &PrepareError) -> Kind {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => attempt_kind(first_attempt),
        _ => Kind::Unavailable,
    }
}

const fn pager_kind(error: &PagerExecutionError) -> Kind {
    match error {
        PagerExecutionError::PrepareError(error) => prepare_kind(error),
        _ => Kind::Unavailable,
    }
}

fn execute_error(doing: impl Into<String>, error: ExecutionError) -> Error {
    let kind = match &error {
        ExecutionError::LastAttemptError(error) => attempt_kind(error),
        ExecutionError::PrepareError(error) => prepare_kind(error),
        _ => Kind::Unavailable,
    };
    let source: Box<dyn Source + Send + Sync> = Box::new(error);
    Error::caused(kind, doing, source)
}
