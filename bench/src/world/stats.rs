//! What the world sees while it runs, readable at any moment.
//!
//! Invariants
//! 1. Latency is counted from when an event was meant to be sent, not from when it was   (`world::tests::a_late_sender_is_not_excused`).
//!
//! Not here: what should have been decided (`oracle`).

use hdrhistogram::Histogram;
use schema::Verdict;
use serde::Serialize;
use std::{
    fmt,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The longest latency that is told apart, in microseconds: ten minutes.
const LATENCY_MAX_US: u64 = 600_000_000;

/// A number that only grows, or goes up and down.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(crate) fn take(&self, count: u64) {
        self.0.fetch_sub(count, Relaxed);
    }
}

/// The world's counters.
#[derive(Debug)]
pub struct Stats {
    /// Messages that devices and channels sent, copies included.
    pub sent: Count,
    /// Of these, the ones that were acknowledged.
    pub acked: Count,
    /// Sends that were tried again.
    pub retried: Count,
    /// Messages that will never be taken.
    pub rejected: Count,
    /// Messages that are on their way and not acknowledged yet.
    pub under_way: Count,
    /// Gate events among what was sent, copies included.
    pub gate_events: Count,
    /// Gate events that were acknowledged, copies included.
    pub gate_acked: Count,
    /// Gate events that were sent a second time.
    pub copies: Count,
    /// Gate events that were sent long after they were seen.
    pub late: Count,
    /// Lane commands that came, each id once.
    pub commands: Count,
    /// Lane commands that came again.
    pub repeated: Count,
    /// Lane commands that had expired when they came.
    pub expired: Count,
    /// Commands to open.
    pub opened: Count,
    /// Commands to stay closed.
    pub refused: Count,
    /// Commands to ask.
    pub asked: Count,
    /// Successes that channels reported, copies included.
    pub payments: Count,
    /// Refund calls that came.
    pub refund_calls: Count,
    /// Refund calls that a channel refused at first.
    pub refunds_refused: Count,
    entries: Mutex<Histogram<u64>>,
    exits: Mutex<Histogram<u64>>,
    trace: Mutex<Vec<Sample>>,
}

/// One answered event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// When it was meant to be sent, since the world's start, in microseconds.
    pub intended_us: u64,
    /// How long it took until the lane was told what to do, in microseconds.
    pub latency_us: u64,
    /// Whether a car came in, or left.
    pub is_entry: bool,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half of them were at most this.
    pub p50_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1,000.
    pub p999_us: u64,
    /// All of them.
    pub max_us: u64,
}

impl Latency {
    /// Reads a histogram of microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| format!("{}.{:02}", us / 1_000, us % 1_000 / 10);
        write!(f, "p50 {} p99 {} p99.9 {} max {} ms", ms(self.p50_us), ms(self.p99_us), ms(self.p999_us), ms(self.max_us))
    }
}

/// A histogram of latencies in microseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are in order")
}

impl Default for Stats {
    fn default() -> Self {
        let count = Count::default;
        Self {
            sent: count(),
            acked: count(),
            retried: count(),
            rejected: count(),
            under_way: count(),
            gate_events: count(),
            gate_acked: count(),
            copies: count(),
            late: count(),
            commands: count(),
            repeated: count(),
            expired: count(),
            opened: count(),
            refused: count(),
            asked: count(),
            payments: count(),
            refund_calls: count(),
            refunds_refused: count(),
            entries: Mutex::new(histogram()),
            exits: Mutex::new(histogram()),
            trace: Mutex::new(Vec::new()),
        }
    }
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}

impl Stats {
    /// How long entries took from intended send to lane command.
    pub fn entries(&self) -> Latency {
        Latency::of(&open(&self.entries))
    }

    /// How long exits took to their first lane command.
    pub fn exits(&self) -> Latency {
        Latency::of(&open(&self.exits))
    }

    /// Every answered event, in the order of the answers; empty unless the world was asked to trace.
    pub fn trace(&self) -> Vec<Sample> {
        open(&self.trace).clone()
    }

    pub(crate) fn answered(&self, sample: Sample, traced: bool) {
        let histogram = if sample.is_entry { &self.entries } else { &self.exits };
        open(histogram).saturating_record(sample.latency_us);
        if traced {
            open(&self.trace).push(sample);
        }
    }

    pub(crate) fn command(&self, verdict: Verdict) {
        self.commands.add(1);
        match verdict {
            Verdict::Open => &self.opened,
            Verdict::Refuse => &self.refused,
            Verdict::Ask => &self.asked,
        }
        .add(1);
    }
}

/// A duration in whole microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
