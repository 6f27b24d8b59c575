use super::*;
use crate::{
    trial::{Trial, gate, partition},
    turn::turn,
};
use schema::{GateKind, Journal, Partition, Table};
use std::collections::BTreeMap;

fn owners(members: &[&str]) -> BTreeMap<u8, String> {
    let members: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
    (0..16).map(|group| (group, owner(&members, "entry", group).expect("somebody is alive").to_owned())).collect()
}

#[test]
fn groups_are_shared_and_few_move() {
    let (two, three) = (owners(&["a", "b"]), owners(&["a", "b", "c"]));
    for member in ["a", "b", "c"] {
        assert!(three.values().any(|owner| owner == member), "{member} owns nothing");
    }
    for (group, owner) in &three {
        assert!(owner == "c" || two[group] == *owner, "group {group} moved although its owner lives");
    }
}

#[test]
fn nobody_alive_owns_nothing() {
    assert_eq!(owner(&[], "entry", 0), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_worker_left_in_an_idle_partition_is_found_and_saved() {
    let mut trial = Trial::new().await;
    let dying = trial.cell().await;
    let items = trial.deliver(&gate(GateKind::Entry, "A", 0)).await;
    let readiness = Arc::new(Readiness::default());
    let (stop, stopped) = watch::channel(false);
    let owner = tokio::spawn(run(trial.shared.clone(), "new".into(), readiness.clone(), stopped));
    while !readiness.is_ready(&["entry"]) {
        clock::wait(Duration::from_millis(100)).await;
    }
    // The new owner has taken every partition over, this one as an empty one; now the old worker's append arrives, its input is acked, and it dies.
    let turned = turn(trial.shared.clone(), dying, items, false).await;
    assert!(turned.left.is_empty(), "the input is answered, so nobody gets it again");
    let last = trial.shared.bus.head(Journal::Session, partition()).await.expect("the bus is in memory").expect("the entry was appended").sequence;
    assert_eq!(trial.store.marks(Journal::Session, vec![partition()]).await.expect("the store is there"), [None], "nothing of it is saved");
    // Each second one partition is looked at: after as many seconds as there are partitions all of them were, and a little later it is saved.
    let seconds = Partition::all().count() as u64 + 2;
    clock::wait(Duration::from_secs(seconds)).await;
    let marks = trial.store.marks(Journal::Session, vec![partition()]).await.expect("the store is there");
    assert_eq!(marks[0].map(|mark| mark.sequence), Some(last), "the mark is at what the dead worker appended");
    let parts = trial.store.parts(Table::Sessions).await.expect("the store is there");
    assert_eq!(parts.len(), 1, "the car's session has its row");
    assert_eq!(trial.kinds().await, ["opened"], "the new owner got no input and appended nothing");
    stop.send_replace(true);
    owner.await.expect("it ends well");
}
