use super::*;
use crate::{
    save,
    trial::{Trial, declared, gate, known, partition},
    turn::turn,
};
use schema::{GateKind, Handle, Journal, Table};
use std::sync::atomic::Ordering;

/// Lets cars come, one minute after the other, and gives the owner's cell.
async fn with_cars(trial: &mut Trial, cars: &[&str]) -> Arc<Cell> {
    let cell = trial.cell().await;
    for (minute, car) in (0..).zip(cars) {
        let items = trial.deliver(&gate(GateKind::Entry, car, minute)).await;
        turn(trial.shared.clone(), cell.clone(), items, false).await;
    }
    cell
}

/// What a partition's state says of its lot, its open cars and its answers.
fn said(state: &mut State, cars: &[&str]) -> (i64, usize, usize) {
    let lot = schema::Key::lot(schema::id::Province(44), "small".parse().expect("a name"));
    let occupied = match state.known(&lot).map(|known| &*known.entity) {
        Some(schema::Entity::Lot(lot)) => lot.occupied,
        _ => 0,
    };
    let rows = Rows::new();
    let draft = Draft::new(&rules::entry::RULES, state, &rows);
    let inside = |car: &&&str| {
        let credential = gate(GateKind::Entry, car, 0).credential;
        rules::View::find(&draft, &Handle::Inside("small".parse().expect("a name"), credential)).is_some()
    };
    let answered = |(minute, car): &(i64, &&str)| {
        let event = gate(GateKind::Entry, car, *minute);
        let key = answer_key(Journal::Session, partition(), schema::Inbox::Gate, &event.key(), event.seen_at).expect("an answer's key");
        rules::View::get(&draft, &key).is_some()
    };
    (occupied, cars.iter().filter(inside).count(), (0..).zip(cars).filter(answered).count())
}

#[tokio::test(start_paused = true)]
async fn the_tail_behind_the_mark_is_folded() {
    let mut trial = Trial::new().await;
    let cell = with_cars(&mut trial, &["A"]).await;
    let snapshot = cell.with(|state| state.snapshot()).expect("something is unsaved");
    assert!(!save::save(trial.shared.clone(), vec![snapshot]).await.failed);
    let items = trial.deliver(&gate(GateKind::Entry, "B", 1)).await;
    turn(trial.shared.clone(), cell, items, false).await;
    // The first car is in the rows, the second in the journal alone.
    let mut state = take_over(&trial.shared, partition()).await.expect("bus and store are there");
    assert_eq!(said(&mut state, &["A", "B"]), (2, 2, 2));
    let again = state.snapshot().expect("what the other left unsaved is ours to save");
    assert_eq!(again.rows.iter().filter(|row| row.key.table == Table::Sessions).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_newer_than_the_mark_are_not_folded_twice() {
    let mut trial = Trial::new().await;
    let cell = with_cars(&mut trial, &["A", "B"]).await;
    trial.store.marks_fail.store(true, Ordering::Relaxed);
    let snapshot = cell.with(|state| state.snapshot()).expect("something is unsaved");
    assert!(save::save(trial.shared.clone(), vec![snapshot]).await.failed, "rows without their mark");
    let mut state = take_over(&trial.shared, partition()).await.expect("bus and store are there");
    assert_eq!(said(&mut state, &["A", "B"]), (2, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn who_was_let_out_is_known_to_whoever_takes_over() {
    let mut declared = declared();
    for lot in &mut declared.lots {
        lot.policies.double_read_s = 90;
    }
    let mut trial = Trial::at(declared, known(Vec::new()).await).await;
    let cell = with_cars(&mut trial, &["A"]).await;
    let leaves = |minute| schema::GateEvent { decided: Some(schema::Verdict::Open), ..gate(GateKind::Exit, "A", minute) };
    let items = trial.deliver(&leaves(3)).await;
    turn(trial.shared.clone(), cell.clone(), items, false).await;
    let snapshot = cell.with(|state| state.snapshot()).expect("something is unsaved");
    assert!(!save::save(trial.shared.clone(), vec![snapshot]).await.failed);
    // Its session has gone, and what is known of it lies in rows alone.
    let owner = trial.cell().await;
    let items = trial.deliver(&leaves(4)).await;
    turn(trial.shared.clone(), owner.clone(), items, false).await;
    let lot = schema::Key::lot(schema::id::Province(44), "small".parse().expect("a name"));
    let read_again = owner.with(|state| match state.known(&lot).map(|known| &*known.entity) {
        Some(schema::Entity::Lot(lot)) => lot.left.iter().map(|left| left.again.is_some()).collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    assert_eq!(read_again, [true]);
    let waiting = Handle::Waiting("small".parse().expect("a name"), leaves(4).credential);
    let waits = owner.with(|state| {
        let rows = Rows::new();
        rules::View::find(&Draft::new(&rules::entry::RULES, state, &rows), &waiting).is_some()
    });
    assert!(!waits, "no exit waits for an entry that does not come");
}

#[tokio::test(start_paused = true)]
async fn a_partition_whose_last_event_is_gone_is_taken_over_anew() {
    let mut trial = Trial::new().await;
    let old = with_cars(&mut trial, &["A"]).await;
    let owner = trial.cell().await;
    let items = trial.deliver(&gate(GateKind::Entry, "B", 1)).await;
    turn(trial.shared.clone(), owner.clone(), items, false).await;
    let snapshot = owner.with(|state| state.snapshot()).expect("something is unsaved");
    let mark = snapshot.mark;
    assert!(!save::save(trial.shared.clone(), vec![snapshot]).await.failed);
    // Nothing is trimmed that a declared reader has not answered, so it must be there.
    for reader in streams::table::readers("pricing", 1, 0) {
        trial.shared.bus.consume(reader).await.expect("the bus is in memory");
    }
    assert_eq!(trial.shared.bus.trim(Journal::Session, partition(), mark.sequence).await.expect("the bus is in memory"), 1);
    catch_up(&trial.shared, &old).await.expect("bus and store are there");
    assert_eq!(old.with(|state| said(state, &["A", "B"])), (2, 2, 1), "the answer of the trimmed event is in its row alone");
}

#[tokio::test(start_paused = true)]
async fn catching_up_in_memory_needs_no_store() {
    let mut trial = Trial::new().await;
    let zombie = with_cars(&mut trial, &["A"]).await;
    let owner = trial.cell().await;
    let items = trial.deliver(&gate(GateKind::Entry, "B", 1)).await;
    turn(trial.shared.clone(), owner, items, false).await;
    trial.store.away.store(true, Ordering::Relaxed);
    catch_up(&trial.shared, &zombie).await.expect("what both cars concern is in memory or begins there");
    assert_eq!(zombie.with(|state| said(state, &["A", "B"])), (2, 2, 2));
}
