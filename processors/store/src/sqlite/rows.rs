//! The SQL: what is run on a connection, inside a transaction that the caller holds.
//!
//! Invariants
//! 1. A row is written only where it is newer   (`conformance::the_newest_row_wins`).
//! 2. What is forgotten at once is bounded, and so is what is read to find it   (`tests::old_answers_are_forgotten_in_small_steps`).

use crate::{
    Error, Kind, Mark, Part, Row,
    tables::{self, Cells, Value},
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, ToSql, types::ToSqlOutput};
use schema::{Day, Entity, Journal, Key, Moment, Partition, Table, entity::Posting, id::Province};
use std::{fmt::Write, sync::LazyLock};

/// The statements of one table; each is prepared once per connection.
struct Sql {
    save: String,
    load: &'static str,
    open: &'static str,
    parts: &'static str,
    scan: &'static str,
}

static SQL: LazyLock<Vec<Sql>> = LazyLock::new(|| Table::ALL.into_iter().map(Sql::of).collect());

fn sql(table: Table) -> &'static Sql {
    &SQL[table as usize]
}

impl Sql {
    fn of(table: Table) -> Self {
        let (name, columns) = (table.name(), tables::names(table));
        let values = vec!["?"; columns.len()].join(", ");
        // The key's four columns come first; the others are replaced.
        let set: Vec<String> = columns.iter().skip(4).map(|column| format!("{column} = excluded.{column}")).collect();
        let save = format!(
            "INSERT INTO {name} ({}) VALUES ({values}) ON CONFLICT (province, day, bucket, id) DO UPDATE SET {} WHERE excluded.at > {name}.at",
            columns.join(", "),
            set.join(", ")
        );
        // One text for ever: the statement cache finds it by its text.
        let keep = |text: String| -> &'static str { text.leak() };
        Self {
            save,
            load: keep(format!("SELECT at, body FROM {name} WHERE province = ? AND day = ? AND bucket = ? AND id = ?")),
            open: keep(format!("SELECT province, day, id, at, body FROM {name} WHERE open = 1 AND bucket = ? ORDER BY province, day, id")),
            parts: keep(format!("SELECT DISTINCT province, day, bucket FROM {name} ORDER BY province, day, bucket")),
            scan: keep(format!("SELECT id, at, body FROM {name} WHERE province = ? AND day = ? AND bucket = ? ORDER BY id")),
        }
    }
}

/// The tables, where they are not there yet.
pub(super) fn layout() -> String {
    let mut sql = String::from(
        "CREATE TABLE IF NOT EXISTS marks (journal TEXT NOT NULL, partition INTEGER NOT NULL, at INTEGER NOT NULL, sequence INTEGER NOT NULL, \
         PRIMARY KEY (journal, partition)) STRICT, WITHOUT ROWID;\n",
    );
    for table in Table::ALL {
        let name = table.name();
        let own: String = tables::columns(table).iter().fold(String::new(), |mut text, (column, kind)| {
            let kind = if *kind == tables::Kind::Text { "TEXT" } else { "INTEGER" };
            write!(text, "{column} {kind} NOT NULL, ").expect("a String takes all that is written");
            text
        });
        writeln!(
            sql,
            "CREATE TABLE IF NOT EXISTS {name} (province INTEGER NOT NULL, day INTEGER NOT NULL, bucket INTEGER NOT NULL, id TEXT NOT NULL, \
             at INTEGER NOT NULL, open INTEGER NOT NULL, body TEXT NOT NULL, {own}PRIMARY KEY (province, day, bucket, id)) STRICT;"
        )
        .expect("a String takes all that is written");
        if tables::opens(table) {
            writeln!(sql, "CREATE INDEX IF NOT EXISTS {name}_open ON {name} (bucket, province, day, id) WHERE open = 1;")
                .expect("a String takes all that is written");
        }
    }
    sql
}

/// Whether all tables are there: every statement can be prepared.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<()> {
    for table in Table::ALL {
        for text in [&sql(table).save, sql(table).load, sql(table).open, sql(table).scan] {
            connection.prepare_cached(text)?;
        }
    }
    connection.prepare_cached(MARK)?;
    Ok(())
}

const MARK: &str = "INSERT INTO marks (journal, partition, at, sequence) VALUES (?, ?, ?, ?) \
     ON CONFLICT (journal, partition) DO UPDATE SET at = excluded.at, sequence = excluded.sequence WHERE excluded.at > marks.at";

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(text) => text.to_sql(),
            Self::Number(number) => number.to_sql(),
        }
    }
}

/// What went wrong, as what to do about it.
pub(super) fn error(doing: impl Into<String>, source: rusqlite::Error) -> Error {
    Error::caused(kind(&source), doing, source)
}

/// Whatever does not say that the file is broken can pass: busy, full, an input or output error.
pub(super) fn kind(error: &rusqlite::Error) -> Kind {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) => Kind::Damaged,
        // "Unknown" is SQLITE_ERROR: our statements are right, so a table or column of ours is not there.
        error => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => Kind::Damaged,
            _ => Kind::Unavailable,
        },
    }
}

pub(super) fn save(connection: &Connection, rows: &[Row]) -> rusqlite::Result<()> {
    for row in rows.iter().map(Cells::of) {
        let mut statement = connection.prepare_cached(&sql(row.key.table).save)?;
        let id = row.key.id;
        let common: [&dyn ToSql; 7] = [&row.key.province.0, &row.key.day.0, &row.key.bucket.0, &id.as_str(), &row.at, &row.open, &row.body];
        for (at, value) in common.into_iter().chain(row.values.iter().map(|v| v as &dyn ToSql)).enumerate() {
            statement.raw_bind_parameter(at + 1, value)?;
        }
        statement.raw_execute()?;
    }
    Ok(())
}

pub(super) fn mark(connection: &Connection, marks: &[Mark]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(MARK)?;
    for mark in marks {
        statement.execute((mark.journal.stream(), mark.partition.0, mark.at.0, mark.sequence.cast_signed()))?;
    }
    Ok(())
}

/// Deletes rows older than `before` among the `most` that were written first; gives how many went.
///
/// Row ids grow as rows are written, so the old ones come first, and no index is needed to find them.
pub(super) fn forget(connection: &Connection, table: Table, before: Moment, most: usize) -> rusqlite::Result<usize> {
    let name = table.name();
    let text = format!("DELETE FROM {name} WHERE at < ? AND rowid IN (SELECT rowid FROM {name} ORDER BY rowid LIMIT {most})");
    connection.prepare_cached(&text)?.execute([before.0])
}

pub(super) fn marks(connection: &Connection, journal: Journal, partitions: &[Partition]) -> rusqlite::Result<Vec<Option<Mark>>> {
    let mut statement = connection.prepare_cached("SELECT at, sequence FROM marks WHERE journal = ? AND partition = ?")?;
    let one = |partition: &Partition| {
        let found = statement.query_row((journal.stream(), partition.0), |row| {
            Ok(Mark { journal, partition: *partition, at: Moment(row.get(0)?), sequence: row.get::<_, i64>(1)?.cast_unsigned() })
        });
        found.optional()
    };
    partitions.iter().map(one).collect()
}

pub(super) fn load(connection: &Connection, keys: &[Key]) -> rusqlite::Result<Vec<Option<Row>>> {
    let one = |key: &Key| {
        let mut statement = connection.prepare_cached(sql(key.table).load)?;
        let found = statement.query_row((key.province.0, key.day.0, key.bucket.0, key.id.as_str()), |row| read(row, *key, 0));
        found.optional()
    };
    keys.iter().map(one).collect()
}

pub(super) fn open(connection: &Connection, journal: Journal, partitions: &[Partition]) -> rusqlite::Result<Vec<Row>> {
    let mut found = Vec::new();
    for table in tables::of(journal).filter(|table| tables::opens(*table)) {
        let mut statement = connection.prepare_cached(sql(table).open)?;
        for bucket in partitions {
            let rows = statement.query_map([bucket.0], |row| {
                let key = Key { table, province: Province(row.get(0)?), day: Day(row.get(1)?), bucket: *bucket, id: id(row, 2)? };
                read(row, key, 3)
            })?;
            for row in rows {
                found.push(row?);
            }
        }
    }
    Ok(found)
}

pub(super) fn parts(connection: &Connection, table: Table) -> rusqlite::Result<Vec<Part>> {
    let mut statement = connection.prepare_cached(sql(table).parts)?;
    let rows =
        statement.query_map([], |row| Ok(Part { table, province: Province(row.get(0)?), day: Day(row.get(1)?), bucket: Partition(row.get(2)?) }))?;
    rows.collect()
}

pub(super) fn scan(connection: &Connection, part: Part) -> rusqlite::Result<Vec<Row>> {
    let Part { table, province, day, bucket } = part;
    let mut statement = connection.prepare_cached(sql(table).scan)?;
    let rows = statement.query_map((province.0, day.0, bucket.0), |row| read(row, Key { table, province, day, bucket, id: id(row, 0)? }, 1))?;
    rows.collect()
}

/// The ledger rows of a part whose ids begin so. They are read as postings at once: a window has many of them, and somebody waits for it to close.
pub(super) fn postings(connection: &Connection, part: Part, begin: &str) -> rusqlite::Result<Vec<(Moment, Posting)>> {
    let Part { table, province, day, bucket } = part;
    let text = format!("SELECT at, body FROM {} WHERE province = ? AND day = ? AND bucket = ? AND id >= ? AND id < ? ORDER BY id", table.name());
    let mut statement = connection.prepare_cached(&text)?;
    let end = format!("{begin}{}", tables::BEHIND_ALL);
    let rows = statement.query_map((province.0, day.0, bucket.0, begin, end), |row| {
        let body = row.get_ref(1)?;
        let unreadable = |e: Box<dyn std::error::Error + Send + Sync>| rusqlite::Error::FromSqlConversionFailure(1, body.data_type(), e);
        let posting: Posting = serde_json::from_str(body.as_str().map_err(|e| unreadable(e.into()))?).map_err(|e| unreadable(e.into()))?;
        Ok((Moment(row.get(0)?), posting))
    })?;
    rows.collect()
}

/// The row of `key`, whose version and body stand in the columns from `at` on.
fn read(row: &rusqlite::Row<'_>, key: Key, at: usize) -> rusqlite::Result<Row> {
    let body = row.get_ref(at + 1)?;
    let unreadable = |e: Box<dyn std::error::Error + Send + Sync>| rusqlite::Error::FromSqlConversionFailure(at + 1, body.data_type(), e);
    // Checked once as a whole, its texts are taken as they are.
    let entity: Entity = serde_json::from_str(body.as_str().map_err(|e| unreadable(e.into()))?).map_err(|e| unreadable(e.into()))?;
    Ok(Row { key, at: Moment(row.get(at)?), entity })
}

fn id(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<schema::Id> {
    let text = row.get_ref(column)?;
    let unreadable = |e: Box<dyn std::error::Error + Send + Sync>| rusqlite::Error::FromSqlConversionFailure(column, text.data_type(), e);
    text.as_str().map_err(|e| unreadable(e.into()))?.parse().map_err(|e: schema::token::NotAToken| unreadable(e.into()))
}
