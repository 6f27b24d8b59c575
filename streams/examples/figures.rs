//! What the roads cost on this machine: `cargo run --release -p streams --example figures`, with `3` behind it for three servers.

use futures_util::future::join_all;
use schema::{Journal, Moment, Partition, id::Province};
use std::{
    collections::BTreeMap,
    error::Error,
    time::{Duration, Instant},
};
use streams::{Append, Bus, Declared, From, JetStream, Message, Options, Reader, Server, subject};

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "this is a `main`")]
async fn main() -> Result<(), Box<dyn Error>> {
    let three = std::env::args().nth(1).as_deref() == Some("3");
    let folder = tempfile::tempdir()?;
    let servers = if three { Vec::from(Server::cluster(folder.path()).await?) } else { vec![Server::start(folder.path()).await?] };
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    let replicas = if three { 3 } else { 1 };
    let bus = JetStream::connect(&urls.join(","), Options { name: "figures".into(), replicas, ..Options::default() }).await?;
    let declared = Declared { replicas, ..Declared::default() };
    let mut provisioned = bus.provision(&declared).await;
    while provisioned.is_err() && three {
        tokio::time::sleep(Duration::from_millis(500)).await;
        provisioned = bus.provision(&declared).await;
    }
    provisioned?;

    for (what, count) in [("1 message", 1), ("2 messages", 2), ("8 messages", 8)] {
        let mut times = Vec::new();
        let mut expected = head(&bus, 0).await?;
        for _ in 0..300 {
            let start = now();
            expected = bus.append(append(0, expected, count)).await?.last;
            times.push(start.elapsed());
        }
        report(&format!("append of {what}, one after the other"), times);
    }
    for partitions in [4_u8, 16, 64] {
        let start = now();
        let writers = (0..partitions).map(|partition| {
            let bus = &bus;
            async move {
                let mut times = Vec::new();
                let mut expected = head(bus, partition).await?;
                for _ in 0..100 {
                    let start = now();
                    expected = bus.append(append(partition, expected, 1)).await?.last;
                    times.push(start.elapsed());
                }
                Ok::<_, streams::Error>(times)
            }
        });
        let times = join_all(writers).await.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        let a_second = times.len() as u128 * 1_000_000 / start.elapsed().as_micros().max(1);
        println!("{a_second} appends/s");
        report(&format!("append of 1 message, {partitions} partitions at once"), times);
    }

    let mut expected = head(&bus, 63).await?;
    let first = expected + 1;
    for _ in 0..20 {
        expected = bus.append(append(63, expected, Append::MESSAGES_MAX)).await?.last;
        bus.append(append(62, head(&bus, 62).await?, Append::MESSAGES_MAX)).await?;
    }
    let start = now();
    let read = bus.tail(Journal::Session, Partition(63), From::Sequence(first)).await?;
    println!("tail of {} in {:?}", read.len(), start.elapsed());
    let times = time(100, || bus.tail(Journal::Session, Partition(63), From::Sequence(expected))).await;
    report("tail of an idle partition", times);

    let reader = Reader {
        stream: "GATE".into(),
        durable: "figures".into(),
        filters: vec!["GATE.>".into()],
        ack_wait: Duration::from_secs(30),
        ack_pending_max: 4096,
    };
    let mut intake = bus.consume(reader).await?;
    let mut times = Vec::new();
    for _ in 0..300 {
        let message = Message { subject: "gate.lot1.lane1.entry".into(), payload: vec![b'x'; 300].into(), headers: BTreeMap::new() };
        let start = now();
        let (stored, fetched) = tokio::join!(bus.publish(message), intake.fetch(64, Duration::from_secs(5)));
        stored?;
        times.push(start.elapsed());
        for delivery in fetched? {
            bus.ack(&delivery).await?;
        }
    }
    report("from publish to fetch, one after the other", times);
    println!("broker's time {}", bus.look("GATE").await?.now.max(Moment(0)));
    Ok(())
}

async fn head(bus: &JetStream, partition: u8) -> Result<u64, streams::Error> {
    Ok(bus.head(Journal::Session, Partition(partition)).await?.map_or(0, |head| head.sequence))
}

fn append(partition: u8, expected: u64, count: usize) -> Append {
    let subject = subject::journal_subject(Journal::Session, Province(44), Partition(partition), "opened");
    let message = Message { subject, payload: vec![b'x'; 300].into(), headers: BTreeMap::new() };
    Append { journal: Journal::Session, partition: Partition(partition), expected, messages: vec![message; count] }
}

async fn time<T, F: Future<Output = T>>(count: usize, work: impl Fn() -> F) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let start = now();
        work().await;
        times.push(start.elapsed());
    }
    times
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: p50 {:?}, p99 {:?}, most {:?}", at(50), at(99), at(100));
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}
