//! What inboxes, consumers and messages without storage promise.

use super::{Bed, gate, payloads, reader, wait};
use crate::{Beat, DeadLetter, Delivery, Kind, MESSAGE_ID, Message, Offered, Reach, Reader, Told, subject, table};
use schema::{Partition, wire};
use std::{collections::BTreeMap, time::Duration};

const SOON: Duration = Duration::from_secs(2);
const BRIEF: Duration = Duration::from_millis(200);

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    payloads(&deliveries.iter().map(|delivery| delivery.stored.clone()).collect::<Vec<_>>())
}

/// For promises that do not wait for `ack_wait`, however slow the machine is.
fn patient() -> Reader {
    Reader { ack_wait: Duration::from_secs(30), ..reader("tester") }
}

/// Fetches until that many are there.
async fn fetch_all(intake: &mut Box<dyn crate::Intake>, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        let more = intake.fetch(count - all.len(), SOON).await.expect("the broker answers");
        assert!(!more.is_empty(), "{} of {count} arrived", all.len());
        all.extend(more);
    }
    all
}

pub(super) async fn acknowledged_means_stored(bed: &Bed) {
    let headers = BTreeMap::from([("Content-Type".to_owned(), "application/json".to_owned())]);
    let sequence = bed.one.publish(Message { headers: headers.clone(), ..gate("lot1", "first") }).await.expect("it is stored");
    let stored = bed.two.scan("GATE", 1, 10).await.expect("it is read");
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].sequence, sequence);
    assert_eq!(stored[0].subject, format!("GATE.{}.lot1.lane1.entry", Partition::of_lot("lot1")));
    assert_eq!(stored[0].headers, headers);
    assert_eq!(payloads(&stored), ["first"]);
    let look = bed.two.look("GATE").await.expect("it is looked at");
    assert_eq!((look.first, look.last, look.messages), (sequence, sequence, 1));
    assert!(look.now >= stored[0].time, "the broker's time goes on");
    let mut intake = bed.two.consume(patient()).await.expect("it is made");
    let delivery = fetch_all(&mut intake, 1).await.remove(0);
    assert_eq!((delivery.stored.clone(), delivery.deliveries, delivery.stream.as_str()), (stored[0].clone(), 1, "GATE"));
}

pub(super) async fn a_message_with_a_known_id_is_stored_once(bed: &Bed) {
    let headers = BTreeMap::from([(MESSAGE_ID.to_owned(), "same".to_owned())]);
    let message = Message { headers, ..gate("lot1", "first") };
    let first = bed.one.offer(message.clone()).await.expect("it is stored");
    assert!(!first.is_known);
    let second = bed.two.offer(message.clone()).await.expect("it is known");
    assert_eq!(second, Offered { is_known: true, ..first });
    assert_eq!(bed.one.publish(message).await.expect("it is known"), first.sequence);
    assert_eq!(bed.one.look("GATE").await.expect("it is looked at").messages, 1);
    // What has no id is never known.
    for sequence in [first.sequence + 1, first.sequence + 2] {
        assert_eq!(bed.one.offer(gate("lot1", "first")).await.expect("it is stored"), Offered { sequence, is_known: false });
    }
}

pub(super) async fn the_servers_partition_is_the_schemas(bed: &Bed) {
    let lots: Vec<String> = (0..200).map(|number| format!("lot-{number}_{}", number * 7_919)).collect();
    for lot in &lots {
        bed.one.publish(gate(lot, lot)).await.expect("it is stored");
    }
    let stored = bed.one.scan("GATE", 1, 1_000).await.expect("they are read");
    assert_eq!(payloads(&stored), lots);
    for (lot, stored) in lots.iter().zip(&stored) {
        assert_eq!(subject::partition_of_subject("GATE", &stored.subject), Some(Partition::of_lot(lot)), "{lot}");
    }
    let partition = Partition::of_lot(&lots[0]);
    let under = bed.one.scan_subject("GATE", &format!("GATE.{partition}.*.lane1.entry"), 1, 1_000).await.expect("they are read");
    let of_one = bed.one.scan_partition("GATE", partition, 1, 1_000).await.expect("they are read");
    assert_eq!(under, of_one);
    assert_eq!(payloads(&of_one), lots.iter().filter(|lot| Partition::of_lot(lot) == partition).cloned().collect::<Vec<_>>());
}

pub(super) async fn a_message_arrives_at_once(bed: &Bed) {
    let mut intake = bed.one.consume(reader("tester")).await.expect("it is made");
    assert_eq!(intake.fetch(10, BRIEF).await.expect("nothing is there"), []);
    for round in 0..5 {
        let before = bed.two.look("GATE").await.expect("it is looked at").now;
        let fetch = intake.fetch(10, Duration::from_secs(20));
        let publish = async {
            wait(100).await;
            bed.two.publish(gate("lot1", "here")).await.expect("it is stored");
        };
        let (fetched, ()) = tokio::join!(fetch, publish);
        assert_eq!(texts(&fetched.expect("it arrives")), ["here"], "round {round}");
        let took = bed.two.look("GATE").await.expect("it is looked at").now.since(before);
        assert!(took < 900_000, "it took {took} microseconds");
    }
}

pub(super) async fn an_unacked_message_comes_again_after_ack_wait(bed: &Bed) {
    bed.one.publish(gate("lot1", "first")).await.expect("it is stored");
    let mut intake = bed.one.consume(reader("tester")).await.expect("it is made");
    let first = fetch_all(&mut intake, 1).await.remove(0);
    assert_eq!(intake.fetch(1, BRIEF).await.expect("nothing is there"), []);
    let again = fetch_all(&mut intake, 1).await.remove(0);
    assert_eq!((first.deliveries, again.deliveries), (1, 2));
    assert_eq!(first.stored, again.stored);
    bed.one.ack(&again).await.expect("it is sent");
    assert_eq!(intake.fetch(1, Duration::from_millis(1_500)).await.expect("nothing is there"), []);
}

pub(super) async fn progress_keeps_a_message(bed: &Bed) {
    bed.one.publish(gate("lot1", "first")).await.expect("it is stored");
    let mut intake = bed.one.consume(reader("tester")).await.expect("it is made");
    let first = fetch_all(&mut intake, 1).await.remove(0);
    for _ in 0..4 {
        assert_eq!(intake.fetch(1, Duration::from_millis(500)).await.expect("nothing is there"), []);
        bed.one.progress(&first).await.expect("it is sent");
    }
    bed.one.ack(&first).await.expect("it is sent");
    assert_eq!(intake.fetch(1, Duration::from_millis(1_500)).await.expect("nothing is there"), []);
}

pub(super) async fn a_message_handed_back_comes_again_after_its_delay(bed: &Bed) {
    bed.one.publish(gate("lot1", "first")).await.expect("it is stored");
    let mut intake = bed.one.consume(patient()).await.expect("it is made");
    let first = fetch_all(&mut intake, 1).await.remove(0);
    bed.one.nak(&first, Duration::from_millis(600)).await.expect("it is sent");
    assert_eq!(intake.fetch(1, Duration::from_millis(400)).await.expect("nothing is there"), []);
    let again = fetch_all(&mut intake, 1).await.remove(0);
    assert_eq!(again.deliveries, 2);
    bed.one.ack(&again).await.expect("it is sent");
}

pub(super) async fn readers_of_one_name_share_its_messages(bed: &Bed) {
    for number in 0..20 {
        bed.one.publish(gate("lot1", &number.to_string())).await.expect("it is stored");
    }
    let mut one = bed.one.consume(patient()).await.expect("it is made");
    let mut two = bed.two.consume(patient()).await.expect("it is there");
    let mut all = fetch_all(&mut one, 10).await;
    // What it may have been handed meanwhile is its own.
    all.extend(one.drain().await.expect("the broker answers"));
    let rest = 20 - all.len();
    all.extend(fetch_all(&mut two, rest).await);
    let mut sequences: Vec<u64> = all.iter().map(|delivery| delivery.stored.sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=20).collect::<Vec<_>>());
}

pub(super) async fn what_is_handed_out_is_numbered(bed: &Bed) {
    for text in ["a", "b", "c"] {
        bed.one.publish(gate("lot1", text)).await.expect("it is stored");
    }
    let (mut one, mut two) = (bed.one.consume(patient()).await.expect("it is made"), bed.two.consume(patient()).await.expect("it is found"));
    let places = |deliveries: &[Delivery]| deliveries.iter().map(|delivery| delivery.place).collect::<Vec<_>>();
    let first = one.fetch(1, SOON).await.expect("the broker answers");
    assert_eq!(places(&first), [1]);
    // Whoever asked ahead was handed the next one, too.
    let held = one.drain().await.expect("the broker answers");
    let rest = if held.len() < 2 { fetch_all(&mut two, 2 - held.len()).await } else { Vec::new() };
    let others = [held, rest].concat();
    assert_eq!(places(&others), [2, 3]);
    let reach = async || bed.two.reach(&patient()).await.expect("the broker answers");
    assert_eq!(reach().await, Reach { acked: 0, handed: 3 });
    bed.one.ack(&others[0]).await.expect("it is sent");
    bed.one.nak(&others[1], Duration::ZERO).await.expect("it is sent");
    let again = fetch_all(&mut two, 1).await;
    assert_eq!((places(&again), texts(&again)), (vec![4], vec!["c".to_owned()]), "a handing-out again has a number of its own");
    assert_eq!(reach().await, Reach { acked: 0, handed: 3 }, "the first is not acked");
    bed.one.ack(&first[0]).await.expect("it is sent");
    let mut rounds = 0;
    while reach().await.acked < 2 && rounds < 100 {
        rounds += 1;
        wait(20).await;
    }
    assert_eq!(reach().await, Reach { acked: 2, handed: 3 });
}

pub(super) async fn a_dropped_fetch_loses_nothing(bed: &Bed) {
    let mut intake = bed.one.consume(patient()).await.expect("it is made");
    let mut texts_seen = Vec::new();
    for number in 0..40 {
        let publish = async {
            wait(number % 4).await;
            bed.two.publish(gate("lot1", &number.to_string())).await.expect("it is stored");
        };
        tokio::select! {
            fetched = intake.fetch(5, SOON) => texts_seen.extend(texts(&fetched.expect("the broker answers"))),
            () = publish => {}
        }
    }
    let stored = bed.one.look("GATE").await.expect("it is looked at").messages;
    while (texts_seen.len() as u64) < stored {
        let more = intake.fetch(5, SOON).await.expect("the broker answers");
        assert!(!more.is_empty(), "{} of {stored} arrived", texts_seen.len());
        assert!(more.iter().all(|delivery| delivery.deliveries == 1), "none had to be handed out again");
        texts_seen.extend(texts(&more));
    }
    texts_seen.sort();
    texts_seen.dedup();
    assert_eq!(texts_seen.len() as u64, stored);
}

pub(super) async fn a_drain_leaves_no_stuck_message(bed: &Bed) {
    let mut leaving = bed.one.consume(patient()).await.expect("it is made");
    assert_eq!(leaving.fetch(50, BRIEF).await.expect("nothing is there"), []);
    // These go to whoever asked, who does not fetch any more.
    for number in 0..10 {
        bed.two.publish(gate("lot1", &number.to_string())).await.expect("it is stored");
    }
    let left = leaving.drain().await.expect("the broker answers");
    drop(leaving);
    for delivery in &left {
        bed.one.nak(delivery, Duration::ZERO).await.expect("it is sent");
    }
    bed.two.publish(gate("lot1", "10")).await.expect("it is stored");
    let mut next = bed.two.consume(patient()).await.expect("it is there");
    let all = fetch_all(&mut next, 11).await;
    let mut sequences: Vec<u64> = all.iter().map(|delivery| delivery.stored.sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=11).collect::<Vec<_>>());
}

pub(super) async fn a_full_inbox_refuses_and_forgets_nothing(bed: &Bed) {
    let payload = "x".repeat(wire::INBOX_BYTES_MAX / 2);
    let mut stored = 0;
    let refused = loop {
        match bed.one.publish(gate("lot1", &payload)).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 10_000, "the limit holds");
    };
    assert_eq!(refused.kind, Kind::Full, "{refused:?}");
    let look = bed.one.look("GATE").await.expect("it is looked at");
    assert_eq!((look.first, look.messages), (1, stored));
}

pub(super) async fn what_is_too_large_is_refused(bed: &Bed) {
    let too_large = gate("lot1", &"x".repeat(wire::INBOX_BYTES_MAX + 1));
    assert_eq!(bed.one.publish(too_large).await.expect_err("it is too large").kind, Kind::TooLarge);
    bed.one.publish(gate("lot1", &"x".repeat(wire::INBOX_BYTES_MAX))).await.expect("it is just not too large");
    let large = "x".repeat(table::JOURNAL_BYTES_MAX + 1);
    assert_eq!(bed.one.append(super::append(1, 0, &["small", &large])).await.expect_err("it is too large").kind, Kind::TooLarge);
    assert_eq!(bed.one.look("SESSION").await.expect("it is looked at").messages, 0);
    let nowhere = Message { subject: "elsewhere.1".into(), ..gate("lot1", "") };
    assert_eq!(bed.one.publish(nowhere).await.expect_err("no stream listens").kind, Kind::NotProvisioned);
}

pub(super) async fn only_what_is_answered_is_trimmed(bed: &Bed) {
    for number in 0..10 {
        bed.one.publish(gate("lot1", &number.to_string())).await.expect("it is stored");
    }
    // Whatever the table declares counts, wherever it was made; an installation with two groups has two of these.
    let readers = [table::readers("entry", 2, 0).remove(0), table::readers("entry", 2, 1).remove(0)];
    let mine = usize::from(Partition::of_lot("lot1").0 % 2);
    let mut intake = bed.one.consume(readers[mine].clone()).await.expect("it is made");
    let deliveries = fetch_all(&mut intake, 10).await;
    for delivery in deliveries.iter().filter(|delivery| delivery.stored.sequence != 5) {
        bed.one.ack(delivery).await.expect("it is sent");
    }
    wait(200).await;
    let early = bed.one.trim_answered("GATE").await.unwrap_or(0);
    assert_eq!(early, 0, "the other group is missing, and entry's single one has answered nothing");
    let _idle = bed.one.consume(readers[1 - mine].clone()).await.expect("it is made");
    wait(200).await;
    assert_eq!(bed.one.trim_answered("GATE").await.expect("all declared readers are there"), 4);
    bed.one.ack(&deliveries[4]).await.expect("it is sent");
    wait(200).await;
    assert_eq!(bed.one.trim_answered("GATE").await.expect("all declared readers are there"), 6);
    assert_eq!(bed.one.look("GATE").await.expect("it is looked at").last, 10, "sequences go on");
    assert_eq!(bed.one.trim_answered("SESSION").await.expect_err("a journal is trimmed below its mark").kind, Kind::Malformed);
}

pub(super) async fn a_dead_letter_keeps_bytes_and_headers(bed: &Bed) {
    let headers = BTreeMap::from([("Content-Type".to_owned(), "application/json".to_owned())]);
    bed.one.publish(Message { payload: vec![0, 255, 10].into(), headers, ..gate("lot1", "") }).await.expect("it is stored");
    let stored = bed.one.scan("GATE", 1, 1).await.expect("it is read").remove(0);
    let letter = DeadLetter { stream: "GATE".into(), partition: Partition::of_lot("lot1"), reason: "no lot: 停车场".into(), stored };
    let first = bed.one.dead_letter(letter.clone()).await.expect("it is stored");
    let second = bed.two.dead_letter(letter.clone()).await.expect("it is known");
    assert_eq!(first, second, "twice is once");
    let dead = bed.one.scan("DEAD", 1, 10).await.expect("it is read");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].subject, format!("DEAD.GATE.{}", letter.partition));
    assert_eq!(DeadLetter::read(&dead[0]), Some(letter.clone()));
    assert_eq!(bed.one.scan_partition("DEAD", letter.partition, 1, 10).await.expect("it is read"), dead);
    let again = bed.one.publish(letter.again()).await.expect("it is stored again");
    assert_eq!(again, 2);
}

pub(super) async fn a_dead_letter_of_any_inbox_goes_in_again(bed: &Bed) {
    for subject in ["gate.lot1.lane1.entry", "desk.lot1.stated", "CHANNEL.3.wechat.succeeded", "STATEMENT.3.wechat.compared", "WORK.3.wechat.day"] {
        let headers = BTreeMap::from([(MESSAGE_ID.to_owned(), "same".to_owned())]);
        let message = Message { subject: subject.into(), payload: "{\"id\":7}".into(), headers };
        let (stream, _) = subject::stored_as(subject).expect("a stream listens");
        bed.one.publish(message).await.expect("it is stored");
        let stored = bed.one.scan(stream.name, 1, 1).await.expect("it is read").remove(0);
        let partition = subject::partition_of_subject(stream.name, &stored.subject).expect("an inbox tells the partition");
        let letter = DeadLetter { stream: stream.name.into(), partition, reason: "malformed".into(), stored };
        assert_eq!(bed.two.publish(letter.again()).await.expect("it goes in again"), 2, "{subject}: its old id would have had it dropped");
        let again = bed.one.scan(stream.name, 2, 1).await.expect("it is read").remove(0);
        assert_eq!((again.subject, again.payload), (letter.stored.subject, letter.stored.payload));
    }
}

pub(super) async fn what_is_told_is_heard(bed: &Bed) {
    let mut ear = bed.one.listen("lane.lot1.*").await.expect("it listens");
    // On a cluster the servers learn one after the other who listens, and what is told before is lost.
    let told = |payload: &'static str| Told { subject: "lane.lot1.z".into(), payload: payload.into() };
    let heard = loop {
        bed.two.tell(told("listening?")).await.expect("it is sent");
        if let Ok(heard) = tokio::time::timeout(BRIEF, ear.next()).await {
            break heard;
        }
    };
    assert_eq!(heard, Some(told("listening?")));
    for (subject, payload) in [("lane.lot2.a", "other"), ("lane.lot1.a", "first"), ("lane.lot1.b", "second")] {
        bed.two.tell(Told { subject: subject.into(), payload: payload.into() }).await.expect("it is sent");
    }
    let mut next = ear.next().await;
    while next == Some(told("listening?")) {
        next = ear.next().await;
    }
    assert_eq!(next, Some(Told { subject: "lane.lot1.a".into(), payload: "first".into() }));
    assert_eq!(ear.next().await, Some(Told { subject: "lane.lot1.b".into(), payload: "second".into() }));
}

pub(super) async fn members_come_and_go(bed: &Bed) {
    let beat = |replica: &str| Beat { room: "entry".into(), replica: replica.into() };
    for replica in ["b", "a", "c"] {
        bed.one.beat(beat(replica)).await.expect("it is stored");
    }
    bed.one.beat(Beat { room: "pricing".into(), replica: "d".into() }).await.expect("it is stored");
    assert_eq!(bed.two.members("entry").await.expect("they are listed"), ["a", "b", "c"]);
    bed.one.leave(beat("b")).await.expect("it leaves");
    assert_eq!(bed.two.members("entry").await.expect("they are listed"), ["a", "c"]);
    wait(2_500).await;
    bed.one.beat(beat("c")).await.expect("it is stored");
    wait(2_500).await;
    assert_eq!(bed.two.members("entry").await.expect("they are listed"), ["c"], "a gave no sign of life");
    assert_eq!(bed.one.beat(beat("a.b")).await.expect_err("no name").kind, Kind::Malformed);
}
