use super::*;
use crate::trial::{Trial, gate};
use schema::{GateKind, LaneCommand, Verdict};
use std::sync::atomic::Ordering;

async fn commands(listening: &mut Box<dyn streams::Listening>, count: usize) -> Vec<LaneCommand> {
    let mut commands = Vec::new();
    for _ in 0..count {
        let told = listening.next().await.expect("the bus is in memory");
        commands.push(wire::decode(None, &told.payload).expect("we wrote it"));
    }
    commands
}

#[tokio::test(start_paused = true)]
async fn a_doubled_input_repeats_its_answer() {
    let mut trial = Trial::new().await;
    let cell = trial.cell().await;
    let mut lanes = trial.shared.bus.listen("lane.>").await.expect("the bus is in memory");
    let event = gate(GateKind::Entry, "A", 0);
    for _ in 0..3 {
        let items = trial.deliver(&event).await;
        let turned = turn(trial.shared.clone(), cell.clone(), items, false).await;
        assert_eq!((turned.done.len(), turned.left.len()), (1, 0));
    }
    let commands = commands(&mut lanes, 3).await;
    assert_eq!(trial.kinds().await, ["opened"]);
    assert!(commands.windows(2).all(|two| two[0] == two[1]), "the same command, with the same id and expiry");
    assert_eq!(commands[0].verdict, Verdict::Open);
}

#[tokio::test(start_paused = true)]
async fn an_input_waits_while_its_row_cannot_be_read() {
    let mut trial = Trial::new().await;
    let before = trial.cell().await;
    let items = trial.deliver(&gate(GateKind::Entry, "B", 0)).await;
    turn(trial.shared.clone(), before, items, false).await;
    let cell = trial.cell().await;
    // Half an hour old: whether it was answered before is in no memory.
    let items = trial.deliver(&gate(GateKind::Entry, "A", -30)).await;
    trial.store.away.store(true, Ordering::Relaxed);
    let turned = turn(trial.shared.clone(), cell.clone(), items, false).await;
    assert_eq!((turned.done.len(), turned.left.len()), (0, 1));
    assert!(turned.hold.is_some());
    assert_eq!(trial.kinds().await, ["opened"]);
    trial.store.away.store(false, Ordering::Relaxed);
    let turned = turn(trial.shared.clone(), cell, turned.left, turned.stale).await;
    assert_eq!(turned.done.len(), 1);
    assert_eq!(trial.kinds().await, ["opened", "opened"]);
}

#[tokio::test(start_paused = true)]
async fn a_young_input_does_not_wait_for_the_store() {
    let mut trial = Trial::new().await;
    let cell = trial.cell().await;
    trial.store.away.store(true, Ordering::Relaxed);
    let items = trial.deliver(&gate(GateKind::Entry, "A", 0)).await;
    let turned = turn(trial.shared.clone(), cell, items, false).await;
    assert_eq!((turned.done.len(), turned.hold), (1, None));
    assert_eq!(trial.kinds().await, ["opened"]);
}

#[tokio::test(start_paused = true)]
async fn a_zombie_with_an_old_state_is_refused_and_catches_up() {
    let mut trial = Trial::new().await;
    let (owner, zombie) = (trial.cell().await, trial.cell().await);
    for (car, minute) in [("A", 0), ("B", 1)] {
        let items = trial.deliver(&gate(GateKind::Entry, car, minute)).await;
        turn(trial.shared.clone(), owner.clone(), items, false).await;
    }
    // The zombie knows of no car and would open for a third one.
    let items = trial.deliver(&gate(GateKind::Entry, "C", 2)).await;
    let turned = turn(trial.shared.clone(), zombie.clone(), items, false).await;
    assert!(turned.stale && turned.done.is_empty());
    let turned = turn(trial.shared.clone(), zombie, turned.left, true).await;
    assert_eq!(turned.done.len(), 1);
    assert_eq!(trial.kinds().await, ["opened", "opened", "refused"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_decided_in_its_order_and_appended_at_once() {
    let mut trial = Trial::new().await;
    let cell = trial.cell().await;
    let mut items = Vec::new();
    for (kind, car, minute) in [(GateKind::Entry, "A", 0), (GateKind::Entry, "A", 1), (GateKind::Exit, "A", 2), (GateKind::Exit, "B", 3)] {
        items.extend(trial.deliver(&gate(kind, car, minute)).await);
    }
    let turned = turn(trial.shared.clone(), cell, items, false).await;
    assert_eq!(turned.done.len(), 4);
    assert_eq!(trial.kinds().await, ["opened", "refused", "leaving", "waiting"]);
    let times: Vec<_> = trial.journal().await.iter().map(|recorded| recorded.at).collect();
    assert!(times.windows(2).all(|two| two[0] < two[1]), "time goes forward within a partition");
}
