//! What only a real server can show: being killed, and being provisioned.

use super::{Bed, DECLARED, append, gate, payloads, reader, wait};
use crate::{
    Bus, Declared, From, JetStream, Kind, Options, Server,
    provision::{self, Remedy},
};
use futures_util::future::join_all;
use schema::{Journal, Partition};
use serde_json::json;
use std::time::Duration;

/// A server in a folder of its own; both end with the test.
pub(super) struct Host {
    pub server: Server,
    _folder: tempfile::TempDir,
}

impl Host {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let server = Server::start(folder.path()).await.expect("a server starts");
        Self { server, _folder: folder }
    }

    pub async fn connect(&self) -> JetStream {
        let options = Options { name: "conformance".into(), ..Options::default() };
        JetStream::connect(&self.server.url(), options).await.expect("it connects")
    }

    pub async fn bed(&self) -> Bed {
        let one = self.connect().await;
        one.provision(&DECLARED).await.expect("it is provisioned");
        Bed { one: Box::new(one), two: Box::new(self.connect().await) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_acknowledged() {
    let mut host = Host::start().await;
    let bed = host.bed().await;
    let mut intake = bed.two.consume(reader("tester")).await.expect("it is made");
    let mut acknowledged = vec![Vec::<String>::new(); 8];
    for round in 0..3 {
        let writers = (0_u8..).zip(&mut acknowledged).map(|(partition, acknowledged)| {
            let bus = &*bed.one;
            async move {
                for number in 0..10_000 {
                    // Catching up is the one way after any doubt.
                    let Ok(head) = bus.head(Journal::Session, Partition(partition)).await else { return };
                    let text = format!("{round}-{number}");
                    let messages = vec![text.as_str(); 1 + number % 2];
                    match bus.append(append(partition, head.map_or(0, |head| head.sequence), &messages)).await {
                        Ok(_) => acknowledged.push(text),
                        Err(_) => return,
                    }
                }
            }
        });
        let kill = async {
            wait(300).await;
            host.server.kill().await;
        };
        tokio::join!(join_all(writers), kill);
        host.server.restart().await.expect("it starts again");
        for (partition, acknowledged) in (0..).zip(&acknowledged) {
            let mut tries = 0;
            let stored = loop {
                match bed.one.tail(Journal::Session, Partition(partition), From::Sequence(0)).await {
                    Ok(stored) => break payloads(&stored),
                    Err(error) => assert_eq!(error.kind, Kind::Unavailable, "{error:?}"),
                }
                tries += 1;
                assert!(tries < 50, "it connects again");
                wait(100).await;
            };
            assert!(acknowledged.iter().all(|text| stored.contains(text)), "round {round}, partition {partition}");
        }
    }
    assert!(acknowledged.iter().all(|acknowledged| acknowledged.len() > 3), "the test did something");
    // The consumer works again as well, on the same connection.
    bed.one.publish(gate("lot1", "after")).await.expect("it is stored");
    let mut tries = 0;
    loop {
        match intake.fetch(1, Duration::from_secs(3)).await {
            Ok(fetched) if !fetched.is_empty() => break,
            other => assert!(tries < 5, "{other:?}"),
        }
        tries += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_consumer_comes_back() {
    let host = Host::start().await;
    let bus = host.connect().await;
    bus.provision(&DECLARED).await.expect("it is provisioned");
    let mut intake = bus.consume(reader("tester")).await.expect("it is made");
    assert_eq!(intake.fetch(1, Duration::from_millis(50)).await.expect("nothing is there"), []);
    bus.wire.api("CONSUMER.DELETE.GATE.tester", &json!(null)).await.expect("it is deleted");
    bus.publish(gate("lot1", "first")).await.expect("it is stored");
    assert_eq!(intake.fetch(1, Duration::from_secs(5)).await.expect("it is there again").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_provisioned_does_not_differ() {
    let host = Host::start().await;
    let bus = host.connect().await;
    let missing = provision::plan(&bus, &DECLARED).await.expect("it is compared");
    assert!(missing.iter().all(|difference| difference.remedy == Remedy::Create));
    let readers = crate::table::all_readers(DECLARED.groups).len();
    assert_eq!(missing.len(), crate::table::STREAMS.len() + 4 + readers, "streams, the buckets, consumers");
    assert_eq!(missing[0].to_string(), "stream GATE is missing: create it");
    provision::apply(&bus, &DECLARED, false).await.expect("it is made");
    assert_eq!(provision::plan(&bus, &DECLARED).await.expect("it is compared"), []);
    let regrouped = Declared { groups: 4, ..DECLARED };
    bus.provision(&regrouped).await.expect("the new groups are made beside the old");
    let left = provision::plan(&bus, &regrouped).await.expect("it is compared");
    assert_eq!(left.len(), readers - 1, "the old groups are left; who takes work has none");
    assert_eq!(left[0].to_string(), "consumer entry-GATE-0of1 is not declared: remove it (only if data may be lost)");
    provision::apply(&bus, &regrouped, true).await.expect("they are removed");
    assert_eq!(provision::plan(&bus, &regrouped).await.expect("it is compared"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisioning_costs_no_data() {
    let host = Host::start().await;
    let bus = host.connect().await;
    bus.provision(&DECLARED).await.expect("it is provisioned");
    bus.append(append(7, 0, &["a", "b"])).await.expect("it is new");
    let larger = Declared { storage_bytes: DECLARED.storage_bytes * 2, ..DECLARED };
    let smaller = Declared { storage_bytes: DECLARED.storage_bytes / 2, ..DECLARED };
    bus.provision(&larger).await.expect("more room costs nothing");
    let refused = bus.provision(&smaller).await.expect_err("less room might");
    assert_eq!(refused.kind, Kind::NotProvisioned);
    assert_eq!(provision::plan(&bus, &larger).await.expect("it is compared"), []);
    provision::apply(&bus, &smaller, true).await.expect("it is allowed");
    assert_eq!(provision::plan(&bus, &smaller).await.expect("it is compared"), []);
    assert_eq!(bus.look("SESSION").await.expect("it is looked at").messages, 2);
}
