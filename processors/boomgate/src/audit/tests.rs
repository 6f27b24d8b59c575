use crate::{
    input, save,
    trial::{START, Trial},
    turn::{Cell, turn},
};
use schema::{
    Entity, Moment, Table,
    time::{DAY, MINUTE},
};
use std::sync::{Arc, atomic::Ordering};
use store::Store;

async fn post(trial: &Trial, cell: &Arc<Cell>, transaction: u32, minutes: i64) {
    turn(trial.shared.clone(), cell.clone(), vec![Trial::paid(transaction, minutes)], false).await;
}

async fn tick(trial: &Trial, cell: &Arc<Cell>, now: Moment) {
    let (mut items, mut stale): (Vec<_>, _) = (cell.with(|state| state.due(now)).into_iter().map(|key| input::tick(key, now)).collect(), false);
    for _ in 0..3 {
        let turned = turn(trial.shared.clone(), cell.clone(), items, stale).await;
        (items, stale) = (turned.left, turned.stale);
        if items.is_empty() {
            return;
        }
    }
    panic!("a tick goes on for ever");
}

async fn save(trial: &Trial, cell: &Arc<Cell>) {
    let snapshot = cell.with(|state| state.snapshot()).expect("something is unsaved");
    let saved = save::save(trial.shared.clone(), vec![snapshot]).await;
    assert!(!saved.failed);
    for (rows, mark) in saved.confirmed {
        cell.with(|state| state.confirm(&rows, &mark));
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_waits_for_its_rows() {
    let trial = Trial::of_the_ledger().await;
    let cell = trial.cell().await;
    post(&trial, &cell, 1, 10).await;
    post(&trial, &cell, 2, 20).await;
    tick(&trial, &cell, START.plus(61 * MINUTE - 1)).await;
    // It is due, and its rows are not saved yet.
    let due = START.plus(61 * MINUTE);
    tick(&trial, &cell, due).await;
    assert_eq!(trial.kinds().await, ["posted", "posted"]);
    save(&trial, &cell).await;
    // They are, and nobody can read them.
    trial.store.away.store(true, Ordering::Relaxed);
    tick(&trial, &cell, due).await;
    assert_eq!(trial.kinds().await, ["posted", "posted"]);
    trial.store.away.store(false, Ordering::Relaxed);
    tick(&trial, &cell, due).await;
    tick(&trial, &cell, due.plus(DAY)).await;
    assert_eq!(trial.kinds().await, ["posted", "posted", "window_closed"]);
    save(&trial, &cell).await;
    // Late money, after a take-over from mark, tail and rows.
    let cell = trial.cell().await;
    post(&trial, &cell, 3, 30).await;
    save(&trial, &cell).await;
    let cell = trial.cell().await;
    tick(&trial, &cell, due.plus(DAY)).await;
    assert_eq!(trial.kinds().await[3..], ["posted", "window_closed"]);
    save(&trial, &cell).await;
    let report = crate::verify::verify(&*trial.shared.bus, &*trial.store).await.expect("bus and store are there");
    assert!(report.clean, "{:?}", report.differences);
    assert_eq!(report.statements, 2);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_was_never_posted_stops_its_window() {
    let trial = Trial::of_the_ledger().await;
    let cell = trial.cell().await;
    post(&trial, &cell, 1, 10).await;
    save(&trial, &cell).await;
    let parts = trial.store.parts(Table::Ledger).await.expect("the store is there");
    let mut row = trial.store.scan(parts[0]).await.expect("the store is there").remove(0);
    let right = row.clone();
    if let Entity::Posting(posting) = &mut row.entity {
        posting.entries[0].debit += 1;
    }
    row.at = row.at.plus(1);
    trial.store.save(vec![row.clone()]).await.expect("the store is there");
    let due = START.plus(61 * MINUTE);
    tick(&trial, &cell, due).await;
    tick(&trial, &cell, due.plus(MINUTE)).await;
    assert_eq!(trial.kinds().await, ["posted", "window_stopped"]);
    assert_eq!(cell.with(|state| state.stopped()), 1, "it is stopped, and said so once");
    save(&trial, &cell).await;
    let cell = trial.cell().await;
    assert_eq!(cell.with(|state| state.stopped()), 1, "whoever takes it over knows");
    // Once somebody has put the row right, the next day closes it.
    row.entity = right.entity;
    row.at = row.at.plus(1);
    trial.store.save(vec![row]).await.expect("the store is there");
    tick(&trial, &cell, due.plus(DAY)).await;
    assert_eq!(trial.kinds().await, ["posted", "window_stopped", "window_closed"]);
    assert_eq!(cell.with(|state| state.stopped()), 0);
}
