use super::*;
use crate::{Kind, conformance};
use schema::{Entity, LotId, Moment, entity::Lot, id::Province};
use std::{collections::BTreeMap, fs, path::PathBuf, task::Poll};

fn row(n: usize, at: i64) -> Row {
    let lot: LotId = format!("lot{n}").parse().expect("a token");
    Row {
        key: Key::lot(Province(44), lot),
        at: Moment(at),
        entity: Entity::Lot(Box::new(Lot { lot, occupied: at, reservations: BTreeMap::new(), left: Vec::new() })),
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for temporary files"))
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store.db")
    }

    /// Every file in it with its bytes.
    fn bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = fs::read_dir(self.0.path()).expect("our folder").map(|entry| entry.expect("our folder").path());
        let mut files: Vec<_> = files.map(|path| (path.clone(), fs::read(path).expect("our file"))).collect();
        files.sort();
        files
    }
}

#[track_caller]
fn refused(folder: &Folder, kind: Kind) {
    let before = folder.bytes();
    assert_eq!(Sqlite::open(&folder.store()).err().map(|e| e.kind), Some(kind));
    assert_eq!(folder.bytes(), before, "the files were changed");
}

#[tokio::test]
async fn file() {
    let folder = Folder::new();
    conformance::run(&Sqlite::open(&folder.store()).expect("a new store")).await;
}

#[tokio::test]
async fn in_memory() {
    conformance::run(&Sqlite::in_memory()).await;
}

#[tokio::test]
async fn a_new_path_becomes_a_store() {
    let folder = Folder::new();
    fs::write(folder.store(), "").expect("our folder");
    for n in 0..3 {
        let store = Sqlite::open(&folder.store()).expect("an empty file, then a store");
        assert_eq!(store.load(vec![row(1, 1).key]).await.expect("it is there"), [(n > 0).then(|| row(1, n))]);
        store.save(vec![row(1, n + 1)]).await.expect("it is there");
    }
}

#[tokio::test]
async fn an_older_file_gets_what_it_lacks() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.store()).expect("a new store");
    store.save(vec![row(1, 1)]).await.expect("it is there");
    drop(store);
    let older = Connection::open(folder.store()).expect("our store");
    // The first layout: no table of facts, nor of shifts, statements, discounts, exceptions and payouts; no window was ever open.
    older
        .execute_batch(
            "DROP TABLE facts; DROP TABLE shifts; DROP TABLE statements; DROP TABLE discounts; DROP TABLE exceptions; DROP TABLE payouts; \
             DROP INDEX windows_open; PRAGMA user_version = 1",
        )
        .expect("it can be written");
    drop(older);
    let store = Sqlite::open(&folder.store()).expect("an older store");
    assert_eq!(store.load(vec![row(1, 1).key]).await.expect("it is there"), [Some(row(1, 1))]);
    store.save(crate::conformance::samples()).await.expect("it has all tables");
    drop(store);
    Sqlite::open(&folder.store()).expect("a store of this release");
}

#[tokio::test]
async fn a_newer_file_is_left_as_it_is() {
    let folder = Folder::new();
    drop(Sqlite::open(&folder.store()).expect("a new store"));
    let newer = Connection::open(folder.store()).expect("our store");
    newer.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("a known setting");
    newer.pragma_update(None, "user_version", file::LAYOUT + 1).expect("it can be written");
    drop(newer);
    // The newer version stands in the log alone.
    assert_eq!(Sqlite::open(&folder.store()).err().map(|e| e.kind), Some(Kind::Newer));
    let connection = Connection::open(folder.store()).expect("our store");
    connection.query_row("PRAGMA journal_mode = delete", [], |_| Ok(())).expect("it can be written");
    drop(connection);
    // And in the file.
    refused(&folder, Kind::Newer);
}

#[tokio::test]
async fn a_foreign_or_damaged_file_is_left_as_it_is() {
    let folder = Folder::new();
    for foreign in ["x".to_owned(), "no database at all; ".repeat(1_000)] {
        fs::write(folder.store(), foreign).expect("our folder");
        refused(&folder, Kind::Damaged);
    }
    fs::remove_file(folder.store()).expect("our file");
    Connection::open(folder.store()).expect("a new file").execute_batch("CREATE TABLE theirs (x)").expect("it can be written");
    refused(&folder, Kind::Damaged);
    fs::remove_file(folder.store()).expect("our file");
    let store = Sqlite::open(&folder.store()).expect("a new store");
    store.save((0..1_000).map(|n| row(n, 1)).collect()).await.expect("it is there");
    drop(store);
    let whole = fs::read(folder.store()).expect("our file");
    // Cut off, in its first page and behind it; a table overwritten with noise.
    for length in [50, 3_000, whole.len() - 4_096] {
        fs::write(folder.store(), &whole[..length]).expect("our folder");
        refused(&folder, Kind::Damaged);
    }
    let mut schema_lost = whole.clone();
    schema_lost[100..4_096].fill(0xAA);
    fs::write(folder.store(), &schema_lost).expect("our folder");
    refused(&folder, Kind::Damaged);
    fs::write(folder.store(), &whole).expect("our folder");
    Sqlite::open(&folder.store()).expect("the whole one");
}

#[tokio::test(flavor = "current_thread")]
async fn a_locked_store_is_unavailable_and_comes_back() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.store()).expect("a new store");
    store.save(vec![row(1, 1)]).await.expect("it is there");
    let other = Connection::open(folder.store()).expect("our store");
    other.execute_batch("BEGIN EXCLUSIVE").expect("nobody else writes");
    let mut waiting = std::pin::pin!(store.save(vec![row(1, 2)]));
    let mut others = 0;
    // While it waits, this one thread is free.
    let refused = std::future::poll_fn(|context| match waiting.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => {
            others += 1;
            Poll::Pending
        }
    });
    assert_eq!(refused.await.err().map(|e| e.kind), Some(Kind::Unavailable));
    assert!(others > 0, "the call did not wait, it blocked");
    assert_eq!(store.load(vec![row(1, 1).key]).await.expect("reads go on"), [Some(row(1, 1))]);
    other.execute_batch("ROLLBACK").expect("it was begun");
    store.save(vec![row(1, 2)]).await.expect("it is there again");
    assert_eq!(store.load(vec![row(1, 1).key]).await.expect("it is there"), [Some(row(1, 2))]);
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_comes_back() {
    let store = Sqlite::in_memory();
    let limit = |pages: u32| match &store.0 {
        Place::Memory(connection) => connection
            .lock()
            .expect("nobody panicked")
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .expect("a known setting"),
        Place::File { .. } => unreachable!("it is in memory"),
    };
    limit(1);
    let rows: Vec<Row> = (0..1_000).map(|n| row(n, 1)).collect();
    assert_eq!(store.save(rows.clone()).await.err().map(|e| e.kind), Some(Kind::Unavailable));
    assert_eq!(store.parts(Table::Lots).await.expect("reads go on"), [], "half of a save is there");
    limit(100_000);
    store.save(rows).await.expect("it is there again");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_damaged() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.store()).expect("a new store");
    store.save(vec![row(1, 1)]).await.expect("it is there");
    Connection::open(folder.store()).expect("our store").execute("UPDATE lots SET body = '{}'", []).expect("it can be written");
    assert_eq!(store.load(vec![row(1, 1).key]).await.err().map(|e| e.kind), Some(Kind::Damaged));
}

#[tokio::test]
async fn a_long_audit_does_not_hold_up_every_other() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.store()).expect("a new store");
    store.save(vec![row(1, 1)]).await.expect("it is there");
    let Place::File { auditors, .. } = &store.0 else { unreachable!("it is in a file") };
    let (go_on, long) = mpsc::channel::<()>();
    auditors[0].send(Box::new(move |_: &Connection| long.recv().unwrap_or(())));
    let mut waits = store.parts(Table::Lots);
    assert!((&mut waits).now_or_never().is_none(), "it waits for the long one");
    let there = store.parts(Table::Lots).await.expect("it is there");
    assert_eq!(there.len(), 1);
    go_on.send(()).expect("it is waited for");
    assert_eq!(waits.await.expect("it is there"), there, "both read what was saved before");
}

#[tokio::test]
async fn many_savers_share_a_transaction() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.store()).expect("a new store");
    let other = Connection::open(folder.store()).expect("our store");
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let saves = futures_util::future::join_all((0..500).map(|n| store.save(vec![row(n, 1)])));
    let release = async { other.execute_batch("COMMIT").expect("it was begun") };
    let (done, ()) = tokio::join!(saves, release);
    assert!(done.iter().all(Result::is_ok));
    // Each transaction leaves one more commit frame in the log: pages once each, not 500 times.
    let log = fs::metadata(folder.0.path().join("store.db-wal")).expect("the log").len();
    assert!(log < 250 * 4_096, "{log} bytes for 500 small rows");
}

/// An answer's row.
fn answer(n: usize, at: Moment) -> Row {
    let (row, id) = (conformance::large(n), format!("A{n:018}").parse().expect("a token"));
    let entity = Entity::Answer(entity::Answer { time: at, events: 1, effects: Vec::new() });
    Row { key: Key { table: Table::SessionAnswers, id, ..row.key }, at, entity }
}

const OLD: Moment = Moment(1_795_399_200_000_000);
const NOW: Moment = Moment(OLD.0 + entity::Answer::KEPT + 1);

#[tokio::test]
async fn old_answers_are_forgotten_behind_the_writer() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.store()).expect("a new store");
    let old: Vec<Row> = (0..3_000).map(|n| answer(n, OLD)).collect();
    // Not yet too old; and just as old, but no answer.
    let kept: Vec<Row> = (3_000..3_010).map(|n| answer(n, OLD.plus(FORGET_EVERY))).chain([row(1, OLD.0)]).collect();
    store.save(old.iter().chain(&kept).cloned().collect()).await.expect("it is there");
    let keys = |rows: &[Row]| rows.iter().map(|row| row.key).collect::<Vec<_>>();
    let mark = |at| Mark { journal: Journal::Session, partition: Partition(7), at, sequence: 1 };
    store.mark(vec![mark(NOW.plus(-1))]).await.expect("it is there");
    store.save(vec![row(2, 1)]).await.expect("it is there");
    assert!(store.load(keys(&old)).await.expect("it is there").iter().all(Option::is_some), "none is too old yet");
    store.mark(vec![mark(NOW.plus(FORGET_EVERY - 1))]).await.expect("it is there");
    let mut rounds = 0;
    while store.load(keys(&old)).await.expect("it is there").iter().any(Option::is_some) {
        rounds += 1;
        assert!(rounds < 10_000, "they are still there");
    }
    assert_eq!(store.load(keys(&kept)).await.expect("it is there"), kept.into_iter().map(Some).collect::<Vec<_>>());
}

#[test]
fn old_answers_are_forgotten_in_small_steps() {
    let mut connection = file::in_memory();
    let young = answer(0, NOW);
    let rows = (1..=600).map(|n| answer(n, OLD)).chain([young.clone()]).collect();
    commit(&mut connection, [&What::Rows(rows)]).expect("memory takes it");
    let step = || rows::forget(&connection, Table::SessionAnswers, Moment(NOW.0 - entity::Answer::KEPT), FORGET_ROWS_MAX).expect("memory takes it");
    assert_eq!([step(), step(), step(), step()], [256, 256, 88, 0]);
    assert_eq!(rows::load(&connection, &[young.key]).expect("it is there"), [Some(young)]);
}

#[test]
fn in_memory_is_done_at_the_first_poll() {
    let store = Sqlite::in_memory();
    assert!(store.save(vec![row(1, 1)]).now_or_never().expect("done at once").is_ok());
    assert_eq!(store.load(vec![row(1, 1).key]).now_or_never().expect("done at once").expect("it is there"), [Some(row(1, 1))]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures the disk of this machine; nothing is decided by it but the bound below")]
fn a_thousand_rows_are_saved_within_a_bound() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.store()).expect("a new store");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut best = u128::MAX;
    for round in 1..=20 {
        let rows: Vec<Row> = (0..1_000).map(|n| conformance::large(n + round * 1_000)).collect();
        let start = std::time::Instant::now();
        runtime.block_on(store.save(rows)).expect("it is there");
        best = best.min(start.elapsed().as_micros());
    }
    let keys: Vec<Key> = (1_000..21_000).map(|n| conformance::large(n).key).collect();
    let start = std::time::Instant::now();
    let found = runtime.block_on(store.load(keys)).expect("it is there");
    let loaded = start.elapsed();
    assert!(found.iter().all(Option::is_some));
    println!("1,000 rows in {best} µs at best; {} loaded in {loaded:?}", found.len());
    // Ten times what a slow machine needs without optimisation; a fsync per row would take far longer.
    assert!(best < 500_000, "{best} µs for 1,000 rows");
}
