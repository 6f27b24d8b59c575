use super::*;
use crate::trial::{START, append, applied, partition, refund};
use std::sync::Arc;
use streams::{Bus, Memory};

const WAIT: Duration = Duration::from_secs(2);

fn desks() -> (Desks, Arc<dyn Bus>) {
    let bus: Arc<dyn Bus> = Arc::new(Memory::new(START));
    (Desks::new(Journals::new(bus.clone(), 8), WAIT, WAIT), bus)
}

async fn said(bus: &dyn Bus) -> usize {
    bus.scan("DESK", 1, 100).await.expect("the bus is in memory").len()
}

#[tokio::test(start_paused = true)]
async fn what_was_said_is_answered_once_it_is_decided() {
    let (desks, bus) = desks();
    let event = refund("1");
    let answer = tokio::spawn({
        let (desks, event) = (desks.clone(), event.clone());
        async move { desks.say(&event, None).await }
    });
    timeout(WAIT / 2, std::future::pending::<()>()).await.ok();
    assert_eq!(said(&*bus).await, 1);
    assert!(!answer.is_finished(), "it is stored, and not decided");
    append(&*bus, vec![(1, "another", applied()), (2, &event.key(), applied()), (3, &event.key(), applied())]).await;
    let Outcome::Decided(events) = answer.await.expect("it ends").expect("the bus is there") else { panic!("it is decided") };
    assert_eq!(events.iter().map(|recorded| recorded.at.since(START)).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_decided_in_time_is_asked_for_again() {
    let (desks, bus) = desks();
    let event = refund("1");
    let before = desks.place(&event).await.expect("the bus is there");
    assert_eq!(desks.say(&event, Some(before)).await.expect("the bus is there"), Outcome::Stored);
    append(&*bus, vec![(1, &event.key(), applied())]).await;
    for _ in 0..2 {
        let Outcome::Decided(events) = desks.say(&event, Some(before)).await.expect("the bus is there") else { panic!("it is decided") };
        assert_eq!(events.len(), 1);
    }
    assert_eq!(said(&*bus).await, 1, "what is decided is not said again");
}

#[tokio::test(start_paused = true)]
async fn many_who_wait_share_one_reader() {
    let (desks, bus) = desks();
    let events: Vec<_> = (0..8).map(|number| refund(&number.to_string())).collect();
    let waiting: Vec<_> = events
        .iter()
        .map(|event| {
            let (desks, event) = (desks.clone(), event.clone());
            tokio::spawn(async move { desks.say(&event, None).await })
        })
        .collect();
    timeout(WAIT / 2, std::future::pending::<()>()).await.ok();
    let busy = desks.say(&refund("9"), None).await.expect_err("there is no room");
    assert_eq!((busy.kind, said(&*bus).await), (Kind::Busy, 8), "what cannot be waited for is not said");
    assert_eq!(bus.head(Journal::Payment, partition()).await.expect("the bus is there"), None);
    let keys: Vec<String> = events.iter().map(DeskEvent::key).collect();
    append(&*bus, keys.iter().zip(1..).map(|(key, after)| (after, key.as_str(), applied())).collect()).await;
    for answer in waiting {
        assert!(matches!(answer.await.expect("it ends").expect("the bus is there"), Outcome::Decided(events) if events.len() == 1));
    }
}
