//! A replica of one processor: it shares the partition groups with the other living ones, without a coordinator.
//!
//! Invariants
//! 1. Every group has an owner among the living, and a change of membership moves only what it must   (`tests::groups_are_shared_and_few_move`).
//! 2. Two owners for a moment cost refused appends and nothing else   (`simulation`).
//! 3. What a dead worker left unsaved in an idle partition is found and saved by its new owner
//!    (`tests::what_a_dead_worker_left_in_an_idle_partition_is_found_and_saved`).
//!
//! Not here: what an owner does (`worker`).

use crate::{clock, follow::Heard, metrics::Metrics, reference::InForce, settings::Settings, state, worker};
use rules::{Facts, Input, Limits, Rules};
use schema::{Key, Reference, wire::Format};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use store::{Store, cache::Cache};
use streams::{Beat, Bus};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// How often a replica says that it lives and looks who else does.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// What all workers of a processor use.
pub struct Shared {
    /// The processor.
    pub rules: &'static Rules,
    /// The broker.
    pub bus: Arc<dyn Bus>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// What is known of vehicles elsewhere.
    pub cache: Arc<dyn Cache>,
    /// Who keeps that true, to be told what was decided; none where nobody does in this process.
    pub follower: Option<mpsc::Sender<Heard>>,
    /// The operator's lots and rate tables, as they are in force.
    pub reference: InForce,
    /// The numbers that bound decisions.
    pub limits: Limits,
    /// The format of what is published.
    pub format: Format,
    /// The numbers of the loop.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Metrics,
}

impl Shared {
    /// The facts of a decision, by the reference data that its turn began with.
    pub fn facts<'a>(&'a self, reference: &'a Reference) -> Facts<'a> {
        Facts { reference, limits: &self.limits }
    }

    /// The key of the answer to an input.
    pub fn answer_key(&self, state: &state::State, input: &Input) -> Option<Key> {
        state::answer_key(self.rules.journal, state.partition(), input.inbox, &input.key, input.time)
    }
}

/// How ready a process is: which groups of which processor are owned and caught up, and which other parts do their work.
#[derive(Debug, Default)]
pub struct Readiness {
    groups: std::sync::Mutex<BTreeMap<(&'static str, u8), bool>>,
    joined: std::sync::Mutex<BTreeSet<&'static str>>,
}

impl Readiness {
    /// Whether these processors have joined and every group they own is caught up.
    pub fn is_ready(&self, processors: &[&str]) -> bool {
        let joined = self.joined.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let groups = self.groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        processors.iter().all(|processor| joined.contains(processor)) && groups.values().all(|ready| *ready)
    }

    /// Says that a part of the program that owns no group does its work.
    pub fn opened(&self, part: &'static str) {
        self.joined.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(part);
    }

    fn set(&self, processor: &'static str, group: u8, ready: Option<bool>) {
        let mut groups = self.groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match ready {
            Some(ready) => groups.insert((processor, group), ready),
            None => groups.remove(&(processor, group)),
        };
    }

    /// Says that a group's owner has caught up.
    pub fn caught_up(&self, processor: &'static str, group: u8) {
        self.set(processor, group, Some(true));
    }
}

/// A worker that runs, and how it is told to stop.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs a replica until `shutdown`, then leaves: batches are finished, acked and saved, and the others are told.
pub async fn run(shared: Arc<Shared>, name: String, readiness: Arc<Readiness>, mut shutdown: watch::Receiver<bool>) {
    let processor = shared.rules.name;
    let me = Beat { room: processor.to_owned(), replica: name };
    let mut running: BTreeMap<u8, Running> = BTreeMap::new();
    let mut beat = clock::every(BEAT_EVERY);
    while !*shutdown.borrow_and_update() {
        tokio::select! {
            biased;
            _ = shutdown.changed() => break,
            _ = beat.tick() => {}
        }
        let members = match alive(&*shared.bus, &me).await {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(processor, %error, "the members cannot be read: what is owned is kept");
                continue;
            }
        };
        let owned: BTreeSet<u8> =
            (0..shared.settings.groups).filter(|group| owner(&members, processor, *group) == Some(me.replica.as_str())).collect();
        for group in running.keys().copied().filter(|group| !owned.contains(group)).collect::<Vec<_>>() {
            tracing::info!(processor, group, "another replica takes this group over");
            stop(running.remove(&group)).await;
            readiness.set(processor, group, None);
        }
        for group in owned {
            if running.get(&group).is_some_and(|running| running.task.is_finished()) {
                tracing::error!(processor, group, "a worker ended by itself: it is started again");
                running.remove(&group);
            }
            running.entry(group).or_insert_with(|| {
                readiness.set(processor, group, Some(false));
                let (stop, stopped) = watch::channel(false);
                let task = tokio::spawn(worker::run(shared.clone(), group, readiness.clone(), stopped));
                Running { stop, task }
            });
        }
        readiness.joined.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(processor);
    }
    for worker in running.values() {
        worker.stop.send_replace(true);
    }
    for (_, worker) in running {
        stop(Some(worker)).await;
    }
    if let Err(error) = shared.bus.leave(me).await {
        tracing::warn!(processor, %error, "could not say goodbye: the others notice when the last sign of life expires");
    }
}

pub(crate) async fn alive(bus: &dyn Bus, me: &Beat) -> Result<Vec<String>, streams::Error> {
    bus.beat(me.clone()).await?;
    bus.members(&me.room).await
}

async fn stop(worker: Option<Running>) {
    if let Some(mut worker) = worker {
        worker.stop.send_replace(true);
        if let Err(error) = (&mut worker.task).await {
            tracing::error!(%error, "a worker did not end well: the log replays");
        }
    }
}

/// The owner of a group.
pub(crate) fn owner<'a>(members: &'a [String], processor: &str, group: u8) -> Option<&'a str> {
    streams::owner(members, &[processor, &group.to_string()])
}

#[cfg(test)]
mod tests;
