//! The lanes: who waits at which barrier, and what it is told.
//!
//! Invariants
//! 1. A command that has expired opens nothing, and one that comes again counts once   (`world::tests::an_expired_command_opens_nothing`).

use super::stats::{Sample, Stats, micros};
use schema::{EventId, Id, LaneCommand, LotId, Moment, Verdict, wire};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};
use tokio::time::Instant;

/// All lanes of the world.
#[derive(Debug)]
pub struct Lanes {
    stats: Arc<Stats>,
    start: Instant,
    started_at: Moment,
    traced: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Who waits for an answer, with the moment at which the event was meant to be sent, and whether it is an entry.
    waiting: BTreeMap<(LotId, EventId), (Instant, bool)>,
    handled: BTreeSet<Id>,
    refused: BTreeSet<EventId>,
}

impl Lanes {
    /// Empty lanes; the broker's time is `started_at` at `start`.
    pub fn new(stats: Arc<Stats>, start: Instant, started_at: Moment, traced: bool) -> Self {
        Self { stats, start, started_at, traced, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    /// Somebody drives up: an answer is expected.
    pub fn expect(&self, lot: LotId, event: EventId, intended: Instant, is_entry: bool) {
        self.state().waiting.insert((lot, event), (intended, is_entry));
    }

    /// How many wait for an answer.
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// Whether an entry was refused.
    pub fn was_refused(&self, event: &EventId) -> bool {
        self.state().refused.contains(event)
    }

    /// Takes a command as it came; one that cannot be read is for nobody.
    pub fn take(&self, payload: &[u8]) {
        let Ok(command) = wire::decode::<LaneCommand>(None, payload) else { return };
        let now = Instant::now();
        let mut state = self.state();
        if !state.handled.insert(command.id) {
            return self.stats.repeated.add(1);
        }
        let waited = command.answers.and_then(|event| Some((event, state.waiting.remove(&(command.lot, event))?)));
        if let Some((event, (_, true))) = waited
            && command.verdict != Verdict::Open
        {
            state.refused.insert(event);
        }
        drop(state);
        if let Some((_, (intended, is_entry))) = waited {
            let latency_us = micros(now.saturating_duration_since(intended));
            let intended_us = micros(intended.saturating_duration_since(self.start));
            self.stats.answered(Sample { intended_us, latency_us, is_entry }, self.traced);
        }
        let elapsed = i64::try_from(micros(now.saturating_duration_since(self.start))).unwrap_or(i64::MAX);
        if command.expires_at < self.started_at.plus(elapsed) {
            return self.stats.expired.add(1);
        }
        self.stats.command(command.verdict);
    }
}
