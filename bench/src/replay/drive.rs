//! Sends a recording: in its order per lot, as fast as asked.
//!
//! Invariants
//! 1. The events of a lot are sent in their order, however many are under way   (`replay::tests::the_events_of_a_lot_are_sent_in_order`).

use super::Recording;
use crate::{
    Logs,
    world::{Pace, Stats, Unsettled, World, send},
};
use anyhow::Result;
use futures_util::{StreamExt, stream::FuturesOrdered};
use schema::{GateEvent, LotId, Moment, wire, wire::Format};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use streams::{Bus, Message};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

/// How many messages of one lot may be under way.
const UNDER_WAY_MAX: usize = 32;

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as it is acknowledged.
    Max,
    /// So many seconds of the recording in one second.
    Times(f64),
}

impl std::str::FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Self::Max),
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(format!("a speed is a number above 0, or max, and not {text:?}")),
        }
    }
}

/// How far a replay has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events that were acknowledged.
    pub acked: u64,
    /// Events in all.
    pub events: u64,
    /// Successes that were paid.
    pub payments: u64,
    /// Whether all was sent, and the last answers are waited for.
    pub settling: bool,
}

/// Sends a recording, pays what is asked once each, and waits for the last answer for at most `bound`; gives the logs.
pub async fn drive(
    recording: &Recording,
    bus: Arc<dyn Bus>,
    speed: Speed,
    bound: Duration,
    mut progress: impl FnMut(Progress, &Stats),
) -> Result<Result<Logs, Unsettled>, streams::Error> {
    let pace = Pace { pay_after: Duration::ZERO, reader: "replay".into(), ..Pace::default() };
    let world = World::open(bus.clone(), pace).await?;
    let stats = world.stats();
    let mut lanes: BTreeMap<LotId, mpsc::Sender<GateEvent>> = BTreeMap::new();
    let mut senders = JoinSet::new();
    let begin = Instant::now();
    let first = recording.events.iter().map(|(at, _)| *at).min().unwrap_or_default();
    let mut told = begin;
    let events = recording.events.len() as u64;
    let mut tell = |settling, stats: &Stats| {
        progress(Progress { acked: stats.gate_acked.get(), events, payments: stats.payments.get(), settling }, stats);
    };
    for (at, event) in &recording.events {
        if let Speed::Times(times) = speed {
            tokio::time::sleep_until(begin + after(at.since(first), times)).await;
        }
        if told.elapsed() > Duration::from_millis(250) {
            told = Instant::now();
            tell(false, &stats);
        }
        let lane = lanes.entry(event.lot).or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(UNDER_WAY_MAX);
            senders.spawn(send_in_order(bus.clone(), stats.clone(), receiver));
            sender
        });
        // A sender ends only when its lane is dropped, below.
        let _ = lane.send(event.clone()).await;
    }
    drop(lanes);
    loop {
        match tokio::time::timeout(Duration::from_millis(250), senders.join_next()).await {
            Ok(None) => break,
            Ok(Some(_)) | Err(_) => tell(false, &stats),
        }
    }
    tell(true, &stats);
    Ok(world.settle(bound).await)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an interval, far below 2^53 µs")]
fn after(event_us: i64, times: f64) -> Duration {
    Duration::from_micros((event_us.max(0) as f64 / times) as u64)
}

/// Keeps a bounded number under way: each is handed to the bus before the next one, and the acknowledgements are awaited together.
async fn send_in_order(bus: Arc<dyn Bus>, stats: Arc<Stats>, mut events: mpsc::Receiver<GateEvent>) {
    let mut under_way = FuturesOrdered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
            event = events.recv(), if under_way.len() < UNDER_WAY_MAX => {
                let Some(event) = event else { break };
                stats.gate_events.add(1);
                let (bus, stats) = (bus.clone(), stats.clone());
                let mut sending = Box::pin(async move {
                    let acked = send(&bus, &stats, message(&event)).await;
                    stats.gate_acked.add(u64::from(acked.is_some()));
                });
                // The first poll hands it to the bus: that is what keeps the order.
                let sent = futures_util::poll!(&mut sending);
                under_way.push_back(async move {
                    if sent.is_pending() {
                        sending.await;
                    }
                });
            }
        }
    }
    while under_way.next().await.is_some() {}
}

fn message(event: &GateEvent) -> Message {
    let headers = BTreeMap::from([(wire::CONTENT_TYPE.into(), Format::MessagePack.content_type().into()), ("Nats-Msg-Id".into(), event.key())]);
    Message { subject: event.subject(), payload: wire::encode(Format::MessagePack, event).into(), headers }
}

impl Recording {
    /// The moments of its first and last event.
    pub fn span(&self) -> (Moment, Moment) {
        let times = || self.events.iter().map(|(at, _)| *at);
        (times().min().unwrap_or_default(), times().max().unwrap_or_default())
    }
}
