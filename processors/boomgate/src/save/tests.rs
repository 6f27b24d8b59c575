use super::*;
use crate::{
    trial::{Trial, gate, partition},
    turn::turn,
};
use schema::{GateKind, Journal, time::MINUTE};
use std::sync::atomic::Ordering;

fn mark(minute: i64, sequence: u64) -> Mark {
    Mark { journal: Journal::Session, partition: Partition(3), at: Moment(minute * MINUTE), sequence }
}

#[test]
fn trimming_stays_below_the_mark() {
    let mut trimmer = Trimmer::default();
    for minute in 0..100 {
        trimmer.marked(&mark(minute, u64::try_from(minute).expect("a minute") * 10 + 10));
    }
    let hour = Duration::from_secs(60 * 60);
    // The newest mark is of minute 99: what is older than an hour is below the mark of minute 38.
    assert_eq!(trimmer.jobs(hour), [(Partition(3), 390)]);
    assert_eq!(trimmer.jobs(hour), [], "nothing new is old enough");
}

#[test]
fn marks_of_the_same_minute_are_one_sample() {
    let mut trimmer = Trimmer::default();
    for sequence in 1..1_000 {
        trimmer.marked(&mark(5, sequence));
    }
    assert_eq!(trimmer.samples[&Partition(3)].len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mark_waits_for_its_rows() {
    let mut trial = Trial::new().await;
    let cell = trial.cell().await;
    let items = trial.deliver(&gate(GateKind::Entry, "A", 0)).await;
    turn(trial.shared.clone(), cell.clone(), items, false).await;
    trial.store.away.store(true, Ordering::Relaxed);
    let snapshot = || cell.with(|state| state.snapshot()).expect("something is unsaved");
    assert!(save(trial.shared.clone(), vec![snapshot()]).await.failed);
    let mark = async || trial.shared.store.marks(Journal::Session, vec![partition()]).await.expect("marks can be read")[0];
    assert_eq!(mark().await, None);
    trial.store.away.store(false, Ordering::Relaxed);
    let saved = save(trial.shared.clone(), vec![snapshot()]).await;
    assert!(!saved.failed);
    assert_eq!(mark().await.map(|mark| mark.sequence), Some(cell.with(|state| state.last)));
}
