//! What buckets promise.

use super::{Bed, wait};
use crate::{
    Kind,
    table::{REFERENCE, VALUE_BYTES_MAX},
};
use bytes::Bytes;
use futures_util::future::join_all;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

async fn value(bed: &Bed, key: &str) -> Option<String> {
    let entry = bed.two.entry(REFERENCE, key).await.expect("the broker answers");
    entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
}

pub(super) async fn what_was_put_is_read_by_all(bed: &Bed) {
    assert_eq!(value(bed, "current").await, None);
    let first = bed.one.put(REFERENCE, "current", "a".into(), None).await.expect("it is written");
    let second = bed.one.put(REFERENCE, "chunk.7", "b".into(), None).await.expect("it is written");
    let third = bed.one.put(REFERENCE, "current", "c".into(), None).await.expect("it is written");
    assert!(first < second && second < third, "revisions count through the whole bucket");
    let entry = bed.two.entry(REFERENCE, "current").await.expect("the broker answers").expect("it is there");
    assert_eq!((entry.revision, &entry.value[..]), (third, &b"c"[..]));
    assert!(entry.time >= bed.two.entry(REFERENCE, "chunk.7").await.expect("the broker answers").expect("it is there").time);
    assert_eq!(bed.two.keys(REFERENCE).await.expect("they are listed"), ["chunk.7", "current"]);
}

pub(super) async fn racing_writers_one_wins(bed: &Bed) {
    let mut revision = 0;
    for round in 0..10 {
        let put = |bus: bool, text: String| {
            let bus = if bus { &bed.one } else { &bed.two };
            async move { bus.put(REFERENCE, "current", text.into(), Some(revision)).await }
        };
        let outcomes = join_all((0..8).map(|writer| put(writer % 2 == 0, format!("{round} {writer}")))).await;
        let won: Vec<_> = outcomes.iter().enumerate().filter_map(|(writer, outcome)| Some((writer, *outcome.as_ref().ok()?))).collect();
        assert_eq!(won.len(), 1, "round {round}: {outcomes:?}");
        assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|error| error.kind == Kind::Stale), "{outcomes:?}");
        assert_eq!(value(bed, "current").await, Some(format!("{round} {}", won[0].0)));
        revision = won[0].1;
    }
}

pub(super) async fn a_change_is_seen_at_once(bed: &Bed) {
    let wait_for = |after, wait| bed.one.change(REFERENCE, "current", after, wait);
    assert_eq!(wait_for(0, Duration::from_millis(100)).await.expect("nothing is there"), None);
    let mut revision = 0;
    for round in 0..5 {
        let before = bed.two.look("GATE").await.expect("it is looked at").now;
        let put = async {
            wait(100).await;
            bed.two.put(REFERENCE, "other", "x".into(), None).await.expect("it is written");
            bed.two.put(REFERENCE, "current", round.to_string().into(), None).await.expect("it is written")
        };
        let (changed, put) = tokio::join!(wait_for(revision, SOON), put);
        let entry = changed.expect("it is watched").expect("it has changed");
        assert_eq!((entry.revision, &entry.value[..]), (put, round.to_string().as_bytes()));
        let took = bed.two.look("GATE").await.expect("it is looked at").now.since(before);
        assert!(took < 900_000, "round {round} took {took} microseconds");
        revision = entry.revision;
    }
    assert_eq!(wait_for(revision, Duration::from_millis(100)).await.expect("nothing has changed"), None);
    let missed = wait_for(0, SOON).await.expect("it is watched").expect("what came before the call counts");
    assert_eq!(missed.revision, revision);
}

pub(super) async fn what_is_written_anew_is_not_forgotten(bed: &Bed) {
    let old = bed.one.put(REFERENCE, "chunk.a", "a".into(), None).await.expect("it is written");
    bed.one.put(REFERENCE, "chunk.b", "b".into(), None).await.expect("it is written");
    let look = bed.one.put(REFERENCE, "current", "1".into(), None).await.expect("it is written");
    bed.two.put(REFERENCE, "chunk.b", "b".into(), None).await.expect("it is written anew");
    assert!(old < look);
    for key in ["chunk.a", "chunk.b", "chunk.never"] {
        bed.one.forget(REFERENCE, key, look).await.expect("it is forgotten, or kept");
    }
    assert_eq!(bed.two.keys(REFERENCE).await.expect("they are listed"), ["chunk.b", "current"]);
    assert_eq!(value(bed, "chunk.a").await, None);
    bed.two.put(REFERENCE, "chunk.a", "again".into(), Some(0)).await.expect("it is as if it had never been there");
}

pub(super) async fn a_full_bucket_refuses_and_forgets_nothing(bed: &Bed) {
    let large = Bytes::from(vec![b'x'; VALUE_BYTES_MAX]);
    let mut written = 0;
    let refused = loop {
        match bed.one.put(REFERENCE, &format!("chunk.{written:03}"), large.clone(), None).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000, "it is full some day");
    };
    assert_eq!(refused.kind, Kind::Full, "{refused:?}");
    assert_eq!(bed.two.keys(REFERENCE).await.expect("they are listed").len(), written);
    assert_eq!(bed.two.entry(REFERENCE, "chunk.000").await.expect("the broker answers").map(|entry| entry.value), Some(large));
}

pub(super) async fn a_put_that_is_none_is_refused(bed: &Bed) {
    for (bucket, key, length, kind) in [
        (REFERENCE, "current", VALUE_BYTES_MAX + 1, Kind::TooLarge),
        (REFERENCE, "chunk.*", 1, Kind::Malformed),
        (REFERENCE, "chunk..a", 1, Kind::Malformed),
        (REFERENCE, "", 1, Kind::Malformed),
        ("refer.ence", "a", 1, Kind::Malformed),
    ] {
        let refused = bed.one.put(bucket, key, vec![b'x'; length].into(), None).await.expect_err("it is refused");
        assert_eq!(refused.kind, kind, "{bucket} {key}");
    }
    bed.one.entry("nothing", "a").await.expect_err("there is no such bucket");
    assert_eq!(bed.two.keys(REFERENCE).await.expect("they are listed"), [""; 0]);
}
