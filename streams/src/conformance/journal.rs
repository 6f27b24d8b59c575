//! What journals promise.

use super::{Bed, append, payloads, wait};
use crate::{Append, Bus, From, Intake, Kind, Message, subject};
use futures_util::{FutureExt, future::join_all};
use schema::{Journal, Partition, id::Province};
use std::time::Duration;

async fn read(bus: &dyn Bus, partition: u8, from: u64) -> Vec<crate::Stored> {
    bus.tail(Journal::Session, Partition(partition), From::Sequence(from)).await.expect("it is read")
}

async fn last(bus: &dyn Bus, partition: u8) -> u64 {
    bus.head(Journal::Session, Partition(partition)).await.expect("it is read").map_or(0, |head| head.sequence)
}

pub(super) async fn a_stale_append_is_refused(bed: &Bed) {
    let first = bed.one.append(append(7, 0, &["first"])).await.expect("it is new");
    for expected in [0, first.last + 1] {
        let refused = bed.two.append(append(7, expected, &["other"])).await.expect_err("it is stale");
        assert_eq!(refused.kind, Kind::Stale, "{refused:?}");
    }
    let other = bed.two.append(append(8, 0, &["of another partition"])).await.expect("partitions have conditions of their own");
    let second = bed.two.append(append(7, first.last, &["second"])).await.expect("it saw the first");
    assert!(first.last < other.last && other.last < second.last);
    assert_eq!(payloads(&read(&*bed.one, 7, 1).await), ["first", "second"]);
}

pub(super) async fn an_append_of_several_messages_is_atomic(bed: &Bed) {
    let first = bed.one.append(append(7, 0, &["a", "b", "c"])).await.expect("it is new");
    let stored = read(&*bed.two, 7, 1).await;
    assert_eq!(payloads(&stored), ["a", "b", "c"]);
    assert_eq!(stored[2].sequence, first.last);
    let refused = bed.two.append(append(7, first.last - 1, &["d", "e"])).await.expect_err("it is stale");
    assert_eq!(refused.kind, Kind::Stale, "{refused:?}");
    assert_eq!(read(&*bed.two, 7, 1).await.len(), 3);
    let many: Vec<String> = (0..Append::MESSAGES_MAX).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let second = bed.two.append(append(7, first.last, &many)).await.expect("it saw the first");
    assert_eq!(payloads(&read(&*bed.one, 7, first.last + 1).await), many);
    assert_eq!(last(&*bed.one, 7).await, second.last);
}

pub(super) async fn a_stale_partition_leaves_the_others_of_its_batch_appended(bed: &Bed) {
    // Two messages each, so that they gather into batches.
    let appends = (0..40).map(|partition| bed.one.append(append(partition, u64::from(partition == 23) * 99, &["a", "b"])));
    let outcomes = join_all(appends).await;
    for (partition, outcome) in (0..).zip(outcomes) {
        let stored = read(&*bed.two, partition, 1).await;
        if partition == 23 {
            assert_eq!(outcome.expect_err("it is stale").kind, Kind::Stale);
            assert_eq!(stored, []);
        } else {
            assert_eq!(payloads(&stored), ["a", "b"], "partition {partition}");
            assert_eq!(outcome.expect("it is new").last, stored[1].sequence, "partition {partition}");
        }
    }
}

pub(super) async fn many_partitions_append_at_once(bed: &Bed) {
    let writer = |partition: u8| async move {
        let mut expected = 0;
        for round in 0..8_usize {
            // One, two and three messages, so that all ways of appending are mixed.
            let texts = ["x", "y", "z"];
            let messages = &texts[..=(round + usize::from(partition)) % 3];
            expected = bed.one.append(append(partition, expected, messages)).await.expect("it is the only writer").last;
        }
        let stored = read(&*bed.two, partition, 1).await;
        assert_eq!(stored.last().map(|stored| stored.sequence), Some(expected), "partition {partition}");
        let counts: usize = (0..8).map(|round| 1 + (round + usize::from(partition)) % 3).sum();
        assert_eq!(stored.len(), counts);
    };
    join_all((0..64).map(writer)).await;
}

pub(super) async fn racing_writers_leave_a_contiguous_journal(bed: &Bed) {
    let buses: [&dyn Bus; 2] = [&*bed.one, &*bed.two];
    let writer = |number: usize| async move {
        let (bus, partition) = (buses[number % 2], u8::try_from(number / 2 % 2).expect("0 or 1"));
        let mut expected = 0;
        let mut stored = 0;
        while stored < 10 {
            // What it saw stands in the message, so that the reader can check the chain.
            let text = expected.to_string();
            let messages = vec![text.as_str(); 1 + stored % 2];
            match bus.append(append(partition, expected, &messages)).await {
                Ok(appended) => (expected, stored) = (appended.last, stored + 1),
                Err(error) => {
                    assert_eq!(error.kind, Kind::Stale, "{error:?}");
                    expected = read(bus, partition, expected.max(1)).await.last().map_or(0, |stored| stored.sequence);
                }
            }
        }
    };
    join_all((0..8).map(writer)).await;
    for partition in [0, 1] {
        let stored = read(&*bed.one, partition, 1).await;
        assert_eq!(stored.len(), 4 * 15, "four writers, ten appends of one or two messages each");
        let mut seen = 0;
        let mut before = 0;
        for stored in stored {
            let claimed: u64 = payloads(std::slice::from_ref(&stored))[0].parse().expect("a number");
            if claimed != seen {
                assert_eq!(claimed, before, "a message was appended by somebody who had not seen the one before");
                seen = before;
            }
            before = stored.sequence;
        }
    }
}

pub(super) async fn an_append_whose_answer_was_lost_is_found_by_catching_up(bed: &Bed) {
    for messages in [&["lost"][..], &["lost", "too"]] {
        let before = last(&*bed.one, 7).await;
        let mut asked = bed.one.append(append(7, before, messages));
        // It goes out, and nobody waits for the answer.
        let _early = (&mut asked).now_or_never();
        drop(asked);
        let mut tries = 0;
        while last(&*bed.one, 7).await == before {
            tries += 1;
            assert!(tries < 100, "it went out");
            wait(20).await;
        }
        assert_eq!(payloads(&read(&*bed.one, 7, before + 1).await), messages);
        let refused = bed.one.append(append(7, before, messages)).await.expect_err("it is there already");
        assert_eq!(refused.kind, Kind::Stale);
    }
}

pub(super) async fn an_append_that_is_none_is_refused(bed: &Bed) {
    let too_many = vec!["x"; Append::MESSAGES_MAX + 1];
    let other = Append { partition: Partition(8), ..append(7, 0, &["x"]) };
    let id = std::collections::BTreeMap::from([(crate::MESSAGE_ID.to_owned(), "1".to_owned())]);
    let mut with_id = append(7, 0, &["x"]);
    with_id.messages[0].headers = id;
    for wrong in [append(7, 0, &[]), append(7, 0, &too_many), other, with_id] {
        assert_eq!(bed.one.append(wrong).await.expect_err("it is no append").kind, Kind::Malformed);
    }
    let message: Message = append(7, 0, &["x"]).messages.remove(0);
    assert_eq!(bed.one.publish(message).await.expect_err("a journal takes no message without a condition").kind, Kind::Malformed);
    assert_eq!(last(&*bed.one, 7).await, 0);
}

pub(super) async fn a_full_journal_refuses_and_forgets_nothing(bed: &Bed) {
    let payload = "x".repeat(200 * 1024);
    for messages in [&[payload.as_str(), payload.as_str()][..], &[payload.as_str()]] {
        let refused = loop {
            let expected = last(&*bed.one, 7).await;
            match bed.one.append(append(7, expected, messages)).await {
                Ok(_) => assert!(expected < 1_000, "the limit holds"),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind, Kind::Full, "{refused:?}");
    }
    let look = bed.one.look("SESSION").await.expect("it is looked at");
    assert_eq!((look.first, look.last), (1, look.messages));
    // Room is made, and it goes on.
    let expected = last(&*bed.one, 7).await;
    let _reader = pricing(&*bed.one).await;
    bed.one.trim(Journal::Session, Partition(7), expected).await.expect("it is trimmed");
    bed.one.append(append(7, expected, &["more"])).await.expect("there is room");
}

pub(super) async fn a_tail_is_all_from_there_on(bed: &Bed) {
    assert_eq!(read(&*bed.one, 7, 1).await, [], "an empty partition has none");
    let mut expected = 0;
    for number in 0..30 {
        bed.one.append(append(8, last(&*bed.one, 8).await, &["between"])).await.expect("it is new");
        expected = bed.one.append(append(7, expected, &[&number.to_string()])).await.expect("it is new").last;
        wait(2).await;
    }
    let province = crate::subject::journal_subject(Journal::Session, Province(31), Partition(7), "closed");
    let mut elsewhere = append(7, expected, &["of another province"]);
    elsewhere.messages[0].subject = province;
    bed.one.append(elsewhere).await.expect("it is new");
    let all = read(&*bed.two, 7, 0).await;
    assert_eq!(all.len(), 31);
    assert!(all.windows(2).all(|pair| pair[0].sequence < pair[1].sequence && pair[0].time <= pair[1].time));
    for start in [0, 1, 15, 30] {
        let (from, expected) = (all[start].sequence, &all[start..]);
        assert_eq!(read(&*bed.two, 7, from).await, expected);
        if start < 30 {
            assert_eq!(read(&*bed.two, 7, from - 1).await, expected, "the other partition's message between is skipped");
        }
        let by_time = bed.two.tail(Journal::Session, Partition(7), From::Time(all[start].time)).await.expect("it is read");
        assert_eq!(by_time.last(), all.last());
        assert!(by_time.len() >= expected.len() && by_time.iter().all(|stored| stored.time >= all[start].time));
    }
    let past = all[30].sequence + 1;
    assert_eq!(read(&*bed.two, 7, past).await, []);
    assert_eq!(bed.two.tail(Journal::Session, Partition(7), From::Time(all[30].time.plus(1_000))).await.expect("it is read"), []);
    let scanned = bed.two.scan("SESSION", 2, 5).await.expect("it is read");
    assert_eq!(scanned.iter().map(|stored| stored.sequence).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    assert_eq!(bed.two.scan("SESSION", 1_000, 5).await.expect("it is read"), []);
    // A partition can be read in windows, which together are all of it and nothing else.
    let (mut windows, mut next) = (Vec::new(), 1);
    loop {
        let window = bed.two.scan_partition("SESSION", Partition(7), next, 4).await.expect("it is read");
        assert!(window.len() <= 4);
        let Some(last) = window.last() else { break };
        next = last.sequence + 1;
        windows.extend(window);
    }
    assert_eq!(windows, all);
    assert_eq!(bed.two.scan_partition("SESSION", Partition(9), 1, 4).await.expect("nothing is there"), []);
}

/// The declared reader of SESSION: nothing is trimmed that it has not answered, so it must be there.
async fn pricing(bus: &dyn Bus) -> Box<dyn Intake> {
    let reader = crate::table::readers("pricing", 1, 0).into_iter().next().expect("pricing reads SESSION");
    bus.consume(reader).await.expect("it is declared")
}

pub(super) async fn trimming_keeps_what_a_reader_has_not_answered(bed: &Bed) {
    let mut intake = pricing(&*bed.one).await;
    let leaving = |payload: &str| {
        let mut append = append(7, 0, &[payload]);
        append.messages[0].subject = subject::journal_subject(Journal::Session, Province(44), Partition(7), "leaving");
        append
    };
    let first = bed.one.append(leaving("a")).await.expect("it is new").last;
    let last = bed.one.append(Append { expected: first, ..leaving("b") }).await.expect("it saw the first").last;
    assert_eq!(bed.one.trim(Journal::Session, Partition(7), last).await.expect("nothing is answered"), 0);
    let mut answered = 0;
    while answered < 2 {
        for delivery in intake.fetch(10, Duration::from_secs(2)).await.expect("they are handed out") {
            bed.one.ack(&delivery).await.expect("it is sent");
            answered += 1;
        }
    }
    let mut trimmed = 0;
    for _ in 0..100 {
        trimmed += bed.one.trim(Journal::Session, Partition(7), last).await.expect("both are answered");
        if trimmed > 0 {
            break;
        }
        // Nobody waits for the broker's word on an ack.
        wait(20).await;
    }
    assert_eq!((trimmed, payloads(&read(&*bed.two, 7, 1).await)), (1, vec!["b".to_owned()]));
}

/// On three servers what was trimmed at one may be seen at another for a moment.
async fn settles(bed: &Bed, expected: &[&str]) {
    for _ in 0..100 {
        if payloads(&read(&*bed.two, 7, 1).await) == expected {
            return;
        }
        wait(20).await;
    }
    assert_eq!(payloads(&read(&*bed.two, 7, 1).await), expected);
}

pub(super) async fn trimming_never_empties_a_partition(bed: &Bed) {
    let _reader = pricing(&*bed.one).await;
    assert_eq!(bed.one.trim(Journal::Session, Partition(7), 99).await.expect("there is nothing"), 0);
    let mine = bed.one.append(append(7, 0, &["a", "b", "c"])).await.expect("it is new").last;
    bed.one.append(append(8, 0, &["other"])).await.expect("it is new");
    assert_eq!(bed.one.trim(Journal::Session, Partition(7), mine - 1).await.expect("it is trimmed"), 1);
    settles(bed, &["b", "c"]).await;
    assert_eq!(bed.one.trim(Journal::Session, Partition(7), u64::MAX / 2).await.expect("it is trimmed"), 1);
    // The last one stays.
    settles(bed, &["c"]).await;
    assert_eq!(bed.one.trim(Journal::Session, Partition(7), 0).await.expect("nothing is asked"), 0);
    assert_eq!(payloads(&read(&*bed.two, 8, 1).await), ["other"]);
    assert_eq!(bed.two.append(append(7, 0, &["stale"])).await.expect_err("a stale zero is refused").kind, Kind::Stale);
    bed.two.append(append(7, mine, &["d"])).await.expect("it saw the last one");
}
