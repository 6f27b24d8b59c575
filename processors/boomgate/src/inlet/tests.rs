use super::*;
use crate::trial::{START, gate};
use schema::{
    GateKind, Moment,
    wire::{self, Format},
};
use std::collections::BTreeMap;
use streams::{Memory, Message};

const SOON: Duration = Duration::from_millis(10);

fn reader() -> Reader {
    streams::table::readers("entry", 1, 0).into_iter().find(|reader| reader.stream == "GATE").expect("entry reads GATE")
}

/// A broker with as many cars at the gate.
async fn cars(count: i64) -> Memory {
    let bus = Memory::new(START);
    for minute in 0..count {
        arrive(&bus, minute).await;
    }
    bus
}

async fn arrive(bus: &Memory, minute: i64) {
    let event = gate(GateKind::Entry, "A", minute);
    let headers = BTreeMap::from([(wire::CONTENT_TYPE.to_owned(), Format::Json.content_type().to_owned())]);
    let message = Message { subject: event.subject(), payload: wire::encode(Format::Json, &event).into(), headers };
    bus.publish(message).await.expect("the bus is in memory");
}

async fn inlet(bus: &Memory) -> Inlet {
    Inlet::new(reader(), bus.consume(reader()).await.expect("the bus is in memory"))
}

/// What an inlet gives: sequences, those that were not handed to it in brackets.
async fn taken(inlet: &mut Inlet, bus: &Memory, most: usize) -> (String, Vec<Delivery>) {
    let all = inlet.take(bus, most, SOON).await.expect("the bus is in memory");
    let word = |arrived: &Arrived| match arrived {
        Arrived::Handed(delivery) => delivery.stored.sequence.to_string(),
        Arrived::Missed(stored) => format!("({})", stored.sequence),
    };
    let words = all.iter().map(word).collect::<Vec<_>>().join(" ");
    let handed = |arrived| if let Arrived::Handed(delivery) = arrived { Some(delivery) } else { None };
    (words, all.into_iter().filter_map(handed).collect())
}

#[tokio::test(start_paused = true)]
async fn what_another_was_handed_comes_first() {
    let bus = cars(6).await;
    let (mut one, mut two) = (inlet(&bus).await, inlet(&bus).await);
    let (words, handed) = taken(&mut one, &bus, 3).await;
    assert_eq!(words, "1 2 3");
    bus.ack(&handed[0]).await.expect("the bus is in memory");
    assert_eq!(taken(&mut two, &bus, 2).await.0, "(2) (3) 4 5", "what the first was handed and has not acked");
    assert_eq!(taken(&mut two, &bus, 2).await.0, "6", "nothing is missing before what follows without a gap");
    arrive(&bus, 7).await;
    arrive(&bus, 8).await;
    let (words, handed) = taken(&mut one, &bus, 1).await;
    assert_eq!(words, "(2) (3) (4) (5) (6) 7");
    bus.ack(&handed[0]).await.expect("the bus is in memory");
    // An acked message behind the first unacked one is given again: only the floor is known, and its answer is.
    assert_eq!(taken(&mut two, &bus, 1).await.0, "(2) (3) (4) (5) (6) (7) 8");
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_stands_where_it_did() {
    let bus = cars(3).await;
    let mut only = inlet(&bus).await;
    let (words, handed) = taken(&mut only, &bus, 2).await;
    assert_eq!(words, "1 2");
    bus.ack(&handed[0]).await.expect("the bus is in memory");
    bus.nak(&handed[1], Duration::ZERO).await.expect("the bus is in memory");
    assert_eq!(taken(&mut only, &bus, 5).await.0, "2 3");
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_says_nothing_of_what_is_behind_it() {
    let bus = cars(5).await;
    let (mut one, mut two) = (inlet(&bus).await, inlet(&bus).await);
    assert_eq!(taken(&mut one, &bus, 3).await.0, "1 2 3");
    bus.restarted();
    assert_eq!(taken(&mut two, &bus, 1).await.0, "1 (2) (3)");
    assert_eq!(taken(&mut two, &bus, 5).await.0, "4 5");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_is_made_again() {
    let bus = cars(4).await;
    let (mut one, mut two) = (inlet(&bus).await, inlet(&bus).await);
    taken(&mut one, &bus, 2).await;
    // Another broker knows nothing of this reader.
    let other = Memory::new(Moment(0));
    two.take(&other, 5, SOON).await.expect_err("nobody can say what is missing");
    two.take(&other, 5, SOON).await.expect_err("nobody can say what is missing");
    assert_eq!(taken(&mut two, &bus, 5).await.0, "(1) (2) 3 4");
    assert_eq!(taken(&mut two, &bus, 5).await.0, "(1) (2) (3) (4)");
    two.take(&other, 5, SOON).await.expect("it was looked already, so nobody is asked");
}

#[tokio::test(start_paused = true)]
async fn what_another_left_is_found() {
    let bus = cars(3).await;
    let (mut one, mut two) = (inlet(&bus).await, inlet(&bus).await);
    let (_, handed) = taken(&mut one, &bus, 3).await;
    bus.ack(&handed[0]).await.expect("the bus is in memory");
    drop(one);
    assert_eq!(taken(&mut two, &bus, 5).await.0, "(2) (3)");
    assert_eq!(taken(&mut two, &bus, 5).await.0, "", "once");
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_given_back_at_the_end() {
    let bus = cars(3).await;
    let mut one = inlet(&bus).await;
    one.take(&Memory::new(Moment(0)), 5, SOON).await.expect_err("nobody can say what is missing");
    assert_eq!(one.close().await.len(), 3);
}
