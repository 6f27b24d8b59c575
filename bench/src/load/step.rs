//! One step of load: a rate for some seconds, and what came of it.
//!
//! Invariants
//! 1. Nobody waits for an answer before the next one is sent: a plan is fixed beforehand and its clock is a thread of its own.
//! 2. Latency counts from the planned moment   (`world::tests::a_late_sender_is_not_excused`).

use super::plan::Planned;
use anyhow::{Context, Result};
use bench::{
    World,
    world::{Latency, Sample, histogram},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

/// How long before the first message the clock starts.
const LEAD: Duration = Duration::from_millis(200);

/// When a step begins, and which part of it counts.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The planned messages' zero.
    pub begin: Instant,
    /// From here on it counts: what starts up is not what runs.
    pub warm: Duration,
    /// The end.
    pub total: Duration,
}

impl Span {
    /// A step that begins soon.
    pub fn soon(warm: Duration, counted: Duration) -> Self {
        Self { begin: Instant::now() + LEAD, warm, total: warm + counted }
    }
}

/// What came of a step; only what was planned within the counted part is in here.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Messages a second that were meant to be sent.
    pub rate_target: f64,
    /// Gate events a second that were decided.
    pub rate_sustained: f64,
    /// Gate events sent.
    pub sent: u64,
    /// Live ones among them that a lane command answered.
    pub answered: u64,
    /// Live events without an answer when it began and when it ended.
    pub waiting: (u64, u64),
    /// Entries, from intended send to lane command.
    pub entries: Latency,
    /// Exits, to the first command.
    pub exits: Latency,
    /// Every answer.
    pub samples: Vec<Sample>,
}

/// Hands out each part of a plan at its moment, in microseconds from `begin`, whether anybody takes it then or not.
pub fn clock<T: Send + 'static>(plan: Vec<(u64, T)>, begin: Instant) -> Result<mpsc::UnboundedReceiver<(T, Instant)>> {
    let (clock, due) = mpsc::unbounded_channel();
    let ticking = std::thread::Builder::new().name("clock".into()).spawn(move || {
        for (offset_us, part) in plan {
            let at = begin + Duration::from_micros(offset_us);
            let wait = at.saturating_duration_since(Instant::now());
            #[expect(clippy::disallowed_methods, reason = "a thread of its own: the runtime's timer ticks in whole milliseconds")]
            std::thread::sleep(wait);
            if clock.send((part, at)).is_err() {
                return;
            }
        }
    });
    ticking.context("no thread for the clock")?;
    Ok(due)
}

/// Sends a plan and watches.
pub async fn run(world: &Arc<World>, plan: Vec<Planned>, span: Span, rate: f64) -> Result<Outcome> {
    let begin = span.begin;
    let mut due = clock(plan.into_iter().map(|planned| (planned.offset_us, planned.action)).collect(), begin)?;
    let firing = tokio::spawn({
        let world = world.clone();
        async move {
            let mut sends = JoinSet::new();
            while let Some((action, at)) = due.recv().await {
                while sends.try_join_next().is_some() {}
                sends.spawn(world.fire(action, at));
            }
            sends
        }
    });
    let stats = world.stats();
    let look = || (stats.gate_events.get(), stats.gate_acked.get(), world.unheard() as u64);
    tokio::time::sleep_until(begin + span.warm).await;
    let first = look();
    tokio::time::sleep_until(begin + span.total).await;
    let last = look();
    let mut sends = firing.await.context("the sender ended")?;
    // What is on its way may still be acknowledged and answered; a second is long for either.
    let all_heard = super::system::wait_until(Duration::from_secs(5), || world.unheard() == 0);
    tokio::join!(all_heard, async { while sends.join_next().await.is_some() {} });

    let (_, start) = world.started();
    let from_us = bench::world::micros((begin + span.warm).saturating_duration_since(start));
    let samples: Vec<Sample> = stats.trace().into_iter().filter(|sample| sample.intended_us >= from_us).collect();
    let latency = |is_entry| {
        let mut latencies = histogram();
        samples.iter().filter(|sample| sample.is_entry == is_entry).for_each(|sample| latencies.saturating_record(sample.latency_us));
        Latency::of(&latencies)
    };
    let counted = span.total.saturating_sub(span.warm).as_secs_f64();
    let (acked, before, after) = (last.1 - first.1, first.2, last.2);
    Ok(Outcome {
        rate_target: rate,
        rate_sustained: rate_of((acked + before).saturating_sub(after), counted),
        sent: last.0 - first.0,
        answered: samples.len() as u64,
        waiting: (before, after),
        entries: latency(true),
        exits: latency(false),
        samples,
    })
}

/// How many in a second.
#[expect(clippy::cast_precision_loss, reason = "a count, far below 2^53")]
pub fn rate_of(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}
