//! The promises on three servers.

use super::{Bed, DECLARED, append, payloads, wait};
use crate::{Declared, From, JetStream, Kind, Options, Server, table};
use futures_util::future::join_all;
use schema::{Journal, Partition};
use serde_json::Value;
use std::collections::BTreeSet;

const THREE: Declared = Declared { replicas: 3, ..DECLARED };

/// Three servers in folders of their own.
pub(super) struct Host {
    servers: [Server; 3],
    _folder: tempfile::TempDir,
}

impl Host {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let servers = Server::cluster(folder.path()).await.expect("three servers start");
        Self { servers, _folder: folder }
    }

    async fn connect(&self) -> JetStream {
        let urls: Vec<String> = self.servers.iter().map(Server::url).collect();
        let options = Options { name: "conformance".into(), replicas: 3, ..Options::default() };
        JetStream::connect(&urls.join(","), options).await.expect("it connects")
    }

    /// Streams made anew: what an earlier promise left is gone.
    pub async fn bed(&self) -> Bed {
        self.bed_with(&THREE).await
    }

    async fn bed_with(&self, declared: &Declared) -> Bed {
        let one = self.connect().await;
        let mut tries = 0;
        loop {
            for name in table::STREAMS.iter().map(|stream| stream.name).chain(["KV_members", "KV_reference", "KV_keys", "KV_reconcile"]) {
                let _there = one.wire.api(&format!("STREAM.DELETE.{name}"), &Value::Null).await;
            }
            // Just started, the servers have to choose a leader first.
            match one.provision(declared).await {
                Ok(()) => break,
                Err(error) => assert!(tries < 30, "{error:?}"),
            }
            tries += 1;
            wait(500).await;
        }
        Bed { one: Box::new(one), two: Box::new(self.connect().await) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_holds_on_three_servers() {
    super::every_promise(&Host::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_lose_nothing_acknowledged_when_each_is_killed() {
    let mut host = Host::start().await;
    let bed = host.bed_with(&Declared { storage_bytes: table::STORAGE_BYTES, ..THREE }).await;
    let mut acknowledged = vec![Vec::<String>::new(); 8];
    for round in 0..3 {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let (bus, stop) = (&*bed.one, &stop);
        let writers = (0_u8..).zip(&mut acknowledged).map(|(partition, acknowledged)| async move {
            let mut number = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                let text = format!("{round}-{number}");
                let Ok(head) = bus.head(Journal::Session, Partition(partition)).await else { continue };
                match bus.append(append(partition, head.map_or(0, |head| head.sequence), &[&text, &text])).await {
                    Ok(_) => acknowledged.push(text),
                    Err(error) => assert!(matches!(error.kind, Kind::Unavailable | Kind::Stale), "{error:?}"),
                }
            }
        });
        let kill = async {
            wait(500).await;
            host.servers[round].kill().await;
            wait(3_000).await;
            host.servers[round].restart().await.expect("it starts again");
            wait(1_000).await;
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        tokio::join!(join_all(writers), kill);
    }
    for (partition, acknowledged) in (0..).zip(&acknowledged) {
        let stored: BTreeSet<String> =
            payloads(&bed.two.tail(Journal::Session, Partition(partition), From::Sequence(0)).await.expect("it is read")).into_iter().collect();
        assert!(acknowledged.iter().all(|text| stored.contains(text)), "partition {partition}");
        assert!(acknowledged.len() > 30, "the writers went on");
    }
}
