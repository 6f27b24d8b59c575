//! What every store promises, as plain functions over the port: each implementation is held to all of them.
//!
//! Each case lives in a province of its own, so that all can run against one new store.

mod samples;

use crate::{Mark, Part, Row, Store};
use futures_util::future::{BoxFuture, join_all};
use schema::{Day, Entity, Journal, Key, Moment, Partition, Table, id::Province};

pub(crate) use samples::samples;
use samples::{DAY, at_place, session};

type Case = for<'a> fn(&'a dyn Store, Province) -> BoxFuture<'a, ()>;

/// All of them, by name.
const CASES: &[(&str, Case)] = &[
    ("the_newest_row_wins", |store, province| Box::pin(the_newest_row_wins(store, province))),
    ("an_older_mark_does_not_overwrite", |store, _| Box::pin(an_older_mark_does_not_overwrite(store))),
    ("a_confirmed_row_is_read_back", |store, province| Box::pin(a_confirmed_row_is_read_back(store, province))),
    ("load_keeps_the_asked_order", |store, province| Box::pin(load_keeps_the_asked_order(store, province))),
    ("open_rows_are_found_by_bucket", |store, province| Box::pin(open_rows_are_found_by_bucket(store, province))),
    ("a_late_write_opens_nothing_again", |store, province| Box::pin(a_late_write_opens_nothing_again(store, province))),
    ("rows_of_other_journals_are_not_given", |store, province| Box::pin(rows_of_other_journals_are_not_given(store, province))),
    ("parts_and_scan_list_everything", |store, province| Box::pin(parts_and_scan_list_everything(store, province))),
    ("ledger_rows_are_found_by_how_their_ids_begin", |store, province| Box::pin(ledger_rows_are_found_by_how_their_ids_begin(store, province))),
    ("every_entity_survives_the_round_trip", |store, province| Box::pin(every_entity_survives_the_round_trip(store, province))),
    ("nothing_asked_is_nothing_given", |store, _| Box::pin(nothing_asked_is_nothing_given(store))),
];

/// Runs all cases; where one fails, its name is the last one printed.
pub(crate) async fn run(store: &dyn Store) {
    for ((name, case), province) in CASES.iter().zip(10..) {
        println!("{name}");
        case(store, Province(province)).await;
    }
}

/// One of many rows of ordinary size, in all partitions.
pub(crate) fn large(n: usize) -> Row {
    let bucket = Partition(u8::try_from(n % 64).expect("below 64"));
    session(Province(1), bucket, &format!("S44261123{n:018}"), 1, n.is_multiple_of(2))
}

const BUCKET: Partition = Partition(7);

async fn save(store: &dyn Store, rows: &[Row]) {
    store.save(rows.to_vec()).await.expect("the store is there");
}

async fn load(store: &dyn Store, key: Key) -> Option<Row> {
    store.load(vec![key]).await.expect("the store is there").pop().expect("one answer for one key")
}

async fn open(store: &dyn Store, journal: Journal, partitions: &[Partition], province: Province) -> Vec<Row> {
    let mut rows = store.open(journal, partitions.to_vec()).await.expect("the store is there");
    rows.retain(|row| row.key.province == province);
    rows.sort_by_key(|row| row.key);
    rows
}

async fn the_newest_row_wins(store: &dyn Store, province: Province) {
    let version = |name: &str, at: i64| session(province, BUCKET, name, at, at % 2 == 0);
    // Twice, late, out of order.
    for at in [5, 5, 3, 9, 9, 1, 8] {
        save(store, &[version("alone", at)]).await;
    }
    let newest = version("alone", 9);
    assert_eq!(load(store, newest.key).await, Some(newest));
    // In one call, the older one last.
    save(store, &[version("together", 2), version("together", 7), version("together", 4)]).await;
    let newest = version("together", 7);
    assert_eq!(load(store, newest.key).await, Some(newest));
    // Racing.
    join_all((1..=64).map(|n| store.save(vec![version("racing", n * 37 % 65)]))).await.into_iter().for_each(|done| done.expect("the store is there"));
    let newest = version("racing", 64);
    assert_eq!(load(store, newest.key).await, Some(newest.clone()));
    assert_eq!(open(store, Journal::Session, &[BUCKET], province).await, [newest]);
}

async fn an_older_mark_does_not_overwrite(store: &dyn Store) {
    let mark = |at: i64| Mark { journal: Journal::Order, partition: Partition(63), at: Moment(at), sequence: u64::MAX - 100 + at.unsigned_abs() };
    for at in [5, 9, 9, 2] {
        store.mark(vec![mark(at)]).await.expect("the store is there");
    }
    let racing = (1..=32).map(|n| store.mark(vec![Mark { partition: Partition(62), ..mark(n * 5 % 33) }]));
    join_all(racing).await.into_iter().for_each(|done| done.expect("the store is there"));
    let partitions = vec![Partition(62), Partition(61), Partition(63), Partition(63)];
    let given = store.marks(Journal::Order, partitions.clone()).await.expect("the store is there");
    let last = Some(Mark { partition: Partition(62), ..mark(32) });
    assert_eq!(given, [last, None, Some(mark(9)), Some(mark(9))]);
    assert_eq!(store.marks(Journal::Ledger, partitions).await.expect("the store is there"), [None; 4]);
}

async fn a_confirmed_row_is_read_back(store: &dyn Store, province: Province) {
    let saves = (0..40).map(|n| async move {
        let row = session(province, Partition(n), "confirmed", 1, true);
        save(store, std::slice::from_ref(&row)).await;
        // At once, before anything else is done.
        assert_eq!(load(store, row.key).await.as_ref(), Some(&row));
        assert_eq!(open(store, Journal::Session, &[row.key.bucket], province).await, [row]);
    });
    join_all(saves).await;
}

async fn load_keeps_the_asked_order(store: &dyn Store, province: Province) {
    let rows: Vec<Row> =
        (0..250).map(|n| session(province, Partition(n % 64), &format!("ordered{n}"), i64::from(n) + 1, true)).map(|row| in_day(row, DAY)).collect();
    save(store, &rows).await;
    let absent = session(province, BUCKET, "absent", 1, true).key;
    let mut asked: Vec<Key> = rows.iter().rev().map(|row| row.key).collect();
    asked.insert(100, absent);
    asked.insert(200, rows[0].key);
    let mut expected: Vec<Option<Row>> = rows.iter().rev().cloned().map(Some).collect();
    expected.insert(100, None);
    expected.insert(200, Some(rows[0].clone()));
    assert_eq!(store.load(asked).await.expect("the store is there"), expected);
    // The same id in another table, day, bucket or province is another row.
    let key = rows[0].key;
    let others = [
        Key { table: Table::Waiting, ..key },
        Key { day: Day(1), ..key },
        Key { bucket: Partition(63), ..key },
        Key { province: Province(99), ..key },
    ];
    assert_eq!(store.load(others.to_vec()).await.expect("the store is there"), [None, None, None, None]);
}

fn in_day(row: Row, day: Day) -> Row {
    Row { key: Key { day, ..row.key }, ..row }
}

async fn open_rows_are_found_by_bucket(store: &dyn Store, province: Province) {
    let buckets = [Partition(0), Partition(7), Partition(63)];
    // Open rows lie under any day; nobody asks for one.
    let rows: Vec<Row> = buckets
        .into_iter()
        .flat_map(|bucket| (0..30).map(move |n| in_day(session(province, bucket, &format!("{bucket}of{n}"), 10, n % 3 != 0), Day(260_101 + n % 5))))
        .collect();
    save(store, &rows).await;
    let expected = |buckets: &[Partition]| {
        let mut open: Vec<Row> = rows.iter().filter(|row| row.entity.is_open() && buckets.contains(&row.key.bucket)).cloned().collect();
        open.sort_by_key(|row| row.key);
        open
    };
    for asked in [&buckets[..1], &buckets[1..], &buckets[..]] {
        let given = open(store, Journal::Session, asked, province).await;
        assert_eq!(given.len(), asked.len() * 20);
        assert_eq!(given, expected(asked));
    }
    assert_eq!(open(store, Journal::Session, &[Partition(5)], province).await, []);
    let closed: Vec<Row> = rows.iter().map(|row| in_day(session(province, row.key.bucket, name(row), 11, false), row.key.day)).collect();
    save(store, &closed).await;
    assert_eq!(open(store, Journal::Session, &buckets, province).await, []);
    let again = in_day(session(province, buckets[0], name(&rows[1]), 12, true), rows[1].key.day);
    save(store, std::slice::from_ref(&again)).await;
    assert_eq!(open(store, Journal::Session, &buckets, province).await, [again]);
}

fn name(row: &Row) -> &str {
    row.key.id.as_str()
}

async fn a_late_write_opens_nothing_again(store: &dyn Store, province: Province) {
    let opened = session(province, BUCKET, "late", 10, true);
    let closed = session(province, BUCKET, "late", 20, false);
    for rows in [[&opened, &closed, &opened], [&closed, &opened, &closed], [&opened, &opened, &closed]] {
        for row in rows {
            save(store, std::slice::from_ref(row)).await;
        }
        assert_eq!(load(store, closed.key).await.as_ref(), Some(&closed));
        assert_eq!(open(store, Journal::Session, &[BUCKET], province).await, []);
    }
    // One that was never seen open.
    let unseen = session(province, BUCKET, "unseen", 30, false);
    save(store, &[unseen]).await;
    save(store, &[session(province, BUCKET, "unseen", 29, true)]).await;
    assert_eq!(open(store, Journal::Session, &[BUCKET], province).await, []);
}

async fn rows_of_other_journals_are_not_given(store: &dyn Store, province: Province) {
    let rows = at_place(province, BUCKET, 1);
    save(store, &rows).await;
    for journal in Journal::ALL {
        let mut expected: Vec<Row> = rows.iter().filter(|row| row.entity.is_open() && row.key.table.journal() == journal).cloned().collect();
        expected.sort_by_key(|row| row.key);
        assert_eq!(open(store, journal, &[BUCKET], province).await, expected, "{journal}");
    }
}

async fn parts_and_scan_list_everything(store: &dyn Store, province: Province) {
    let places = [(Day(261_122), Partition(1)), (Day(261_122), Partition(2)), (Day(261_123), Partition(1))];
    let mut rows: Vec<Row> = Vec::new();
    for (day, bucket) in places {
        rows.extend((0..25).map(|n| in_day(session(province, bucket, &format!("scan{n}"), 1, n % 2 == 0), day)));
    }
    save(store, &rows).await;
    let mut parts = store.parts(Table::Sessions).await.expect("the store is there");
    parts.retain(|part| part.province == province);
    parts.sort();
    assert_eq!(parts, places.map(|(day, bucket)| Part { table: Table::Sessions, province, day, bucket }));
    for part in parts {
        let mut expected: Vec<Row> = rows.iter().filter(|row| (row.key.day, row.key.bucket) == (part.day, part.bucket)).cloned().collect();
        expected.sort_by_key(|row| row.key.id);
        assert_eq!(store.scan(part).await.expect("the store is there"), expected);
        assert_eq!(store.scan(Part { table: Table::Orders, ..part }).await.expect("the store is there"), []);
    }
}

async fn ledger_rows_are_found_by_how_their_ids_begin(store: &dyn Store, province: Province) {
    let sample = at_place(province, BUCKET, 5).into_iter().find(|row| row.key.table == Table::Ledger).expect("there is a sample");
    let names = ["Lab0", "LabZ", "Laba", "Labz", "Lab-", "Lab", "Lac0", "LaZ", "Lab_x"];
    let row = |name: &str| {
        let id = name.parse().expect("a name");
        let Entity::Posting(mut posting) = sample.entity.clone() else { panic!("a ledger row is a posting") };
        posting.posting = id;
        Row { key: Key { id, ..sample.key }, at: Moment(7), entity: Entity::Posting(posting) }
    };
    let rows: Vec<Row> = names.into_iter().map(row).collect();
    save(store, &rows).await;
    // In another day the same ids are other rows.
    save(store, &rows.iter().map(|row| in_day(row.clone(), Day(1))).collect::<Vec<_>>()).await;
    let Key { table, province, day, bucket, .. } = sample.key;
    let part = Part { table, province, day, bucket };
    let found = store.postings(part, "Lab".into()).await.expect("the store is there");
    let ids: Vec<&str> = found.iter().map(|(_, posting)| posting.posting.as_str()).collect();
    assert_eq!(ids, ["Lab", "Lab-", "Lab0", "LabZ", "Lab_x", "Laba", "Labz"]);
    assert!(found.iter().all(|(at, posting)| *at == Moment(7) && posting.entries.len() == 2));
    assert_eq!(store.postings(part, "Lb".into()).await.expect("the store is there"), []);
}

async fn every_entity_survives_the_round_trip(store: &dyn Store, province: Province) {
    let rows = at_place(province, BUCKET, 1_795_451_400_000_000);
    save(store, &rows).await;
    let keys: Vec<Key> = rows.iter().map(|row| row.key).collect();
    let given: Vec<Row> = store.load(keys).await.expect("the store is there").into_iter().flatten().collect();
    assert_eq!(given, rows);
    for table in Table::ALL {
        assert!(given.iter().any(|row| row.key.table == table), "no sample of {}", table.name());
    }
    assert!(given.iter().any(|row| matches!(row.entity, Entity::Answer(_))));
}

async fn nothing_asked_is_nothing_given(store: &dyn Store) {
    store.save(vec![]).await.expect("the store is there");
    store.mark(vec![]).await.expect("the store is there");
    assert_eq!(store.load(vec![]).await.expect("the store is there"), []);
    assert_eq!(store.marks(Journal::Session, vec![]).await.expect("the store is there"), []);
    assert_eq!(store.open(Journal::Session, vec![]).await.expect("the store is there"), []);
}
