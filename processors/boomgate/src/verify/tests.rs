use super::*;
use crate::{
    save,
    trial::{Trial, gate},
    turn::turn,
};
use schema::{GateKind, entity::Stage};
use std::{sync::Arc, time::Duration};

/// Lets cars come in, saves them, and gives the trial.
async fn with_cars(cars: &[&str]) -> Trial {
    let mut trial = Trial::new().await;
    let cell = trial.cell().await;
    for (minute, car) in (0..).zip(cars) {
        let items = trial.deliver(&gate(GateKind::Entry, car, minute)).await;
        turn(trial.shared.clone(), cell.clone(), items, false).await;
    }
    let snapshot = cell.with(|state| state.snapshot()).expect("something is unsaved");
    assert!(!save::save(trial.shared.clone(), vec![snapshot]).await.failed);
    trial
}

async fn audit(trial: &Trial) -> Report {
    verify(&*trial.shared.bus, &*trial.store).await.expect("bus and store are there")
}

/// The row of the first session, changed and saved under a newer version or the same one.
async fn a_session(trial: &Trial) -> Row {
    let parts = trial.store.parts(Table::Sessions).await.expect("the store is there");
    let rows = trial.store.scan(parts[0]).await.expect("the store is there");
    rows.into_iter().next().expect("a car came")
}

#[tokio::test(start_paused = true)]
async fn what_is_right_is_clean() {
    let trial = with_cars(&["A", "B", "C"]).await;
    let report = audit(&trial).await;
    assert!(report.clean, "{:?}", report.differences);
    assert_eq!((report.answered, report.rows_equal, report.rows_unsaved), (3, 6, 0), "two sessions, the lot, three answers");
    assert_eq!(report.saved.iter().map(|saved| saved.behind).sum::<u64>(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_not_its_fold_is_named() {
    let trial = with_cars(&["A"]).await;
    let mut row = a_session(&trial).await;
    if let Entity::Session(session) = &mut row.entity {
        session.stage = Stage::Closed;
    }
    row.at = row.at.plus(1);
    trial.store.save(vec![row.clone()]).await.expect("the store is there");
    let report = audit(&trial).await;
    assert!(!report.clean && report.differences[0].contains(row.key.id.as_str()), "{:?}", report.differences);
}

#[tokio::test(start_paused = true)]
async fn a_statement_is_held_against_its_rows() {
    let trial = Trial::of_the_ledger().await;
    let cell = trial.cell().await;
    turn(trial.shared.clone(), cell.clone(), vec![Trial::paid(1, 10), Trial::paid(2, 20)], false).await;
    let now = crate::trial::START.plus(90 * schema::time::MINUTE);
    for _ in 0..2 {
        let snapshot = cell.with(|state| state.snapshot()).expect("something is unsaved");
        for (rows, mark) in save::save(trial.shared.clone(), vec![snapshot]).await.confirmed {
            cell.with(|state| state.confirm(&rows, &mark));
        }
        let due = cell.with(|state| state.due(now)).into_iter().map(|key| crate::input::tick(key, now)).collect();
        turn(trial.shared.clone(), cell.clone(), due, false).await;
    }
    let report = audit(&trial).await;
    assert!(report.clean && report.statements == 1, "{:?}", report.differences);
    // A row of it says something else, in a store whose journal is long forgotten.
    let mut rows: BTreeMap<Key, Row> = BTreeMap::new();
    for table in [Table::Ledger, Table::Windows, Table::Statements] {
        for part in trial.store.parts(table).await.expect("the store is there") {
            rows.extend(trial.store.scan(part).await.expect("the store is there").into_iter().map(|row| (row.key, row)));
        }
    }
    let marks = trial.store.marks(Journal::Ledger, Partition::all().collect()).await.expect("the store is there");
    let marks = marks.into_iter().flatten().map(|mark| ((mark.journal, mark.partition), mark)).collect();
    let found = |rows: &BTreeMap<Key, Row>| {
        let mut report = Report::default();
        settled::check(rows, &marks, &mut report);
        report.differences.join("; ")
    };
    assert_eq!(found(&rows), "");
    let is_row = |key: &&Key| key.table == Table::Ledger;
    let row = *rows.keys().find(is_row).expect("there is one");
    let whole = rows.clone();
    rows.remove(&row);
    assert!(found(&rows).contains("1 rows add up to"), "{}", found(&rows));
    rows = whole;
    if let Some(Entity::Posting(posting)) = rows.get_mut(&row).map(|row| &mut row.entity) {
        posting.at = None;
    }
    assert!(found(&rows).contains("have the hash"), "{}", found(&rows));
    rows.retain(|key, _| key.table != Table::Statements);
    assert!(found(&rows).contains("its last statement"), "{}", found(&rows));
}

#[tokio::test(start_paused = true)]
async fn a_row_without_an_event_is_named() {
    let trial = with_cars(&["A"]).await;
    let mut row = a_session(&trial).await;
    row.key.id = "S4426112300nobody0000000000".parse().expect("a name");
    trial.store.save(vec![row]).await.expect("the store is there");
    let report = audit(&trial).await;
    assert!(report.differences.iter().any(|what| what.contains("nobody") && what.contains("no event")), "{:?}", report.differences);
}

#[tokio::test(start_paused = true)]
async fn an_input_without_an_answer_is_pending_and_then_a_difference() {
    let mut trial = with_cars(&["A"]).await;
    trial.deliver(&gate(GateKind::Entry, "B", 1)).await;
    let report = audit(&trial).await;
    assert!(report.clean && report.pending == 1, "{:?}", report.differences);
    crate::clock::wait(Duration::from_secs(31)).await;
    let report = audit(&trial).await;
    assert!(report.differences.iter().any(|what| what.contains("GATE 2")), "{:?}", report.differences);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_was_answered_twice_is_named() {
    let mut trial = with_cars(&["A"]).await;
    // A processor that does not know its answers: its state begins with nothing, and it appends all the same.
    let head = trial.shared.bus.head(Journal::Session, crate::trial::partition()).await.expect("the bus is in memory").expect("a car came");
    let items = trial.deliver(&gate(GateKind::Entry, "A", 0)).await;
    let mut forgetful = crate::state::State::new(Journal::Session, crate::trial::partition());
    forgetful.stand(head.sequence, Moment(head.time.0));
    turn(trial.shared.clone(), Arc::new(crate::turn::Cell::new(crate::trial::partition(), forgetful)), items, false).await;
    let report = audit(&trial).await;
    assert!(report.differences.iter().any(|what| what.contains("answered before")), "{:?}", report.differences);
}
