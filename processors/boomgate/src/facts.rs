//! What is known of vehicles elsewhere, loaded for the decisions of a turn: all facts at once, each with its deadline.
//!
//! Invariants
//! 1. A decision waits for the slowest fact that it needs, and not for their sum   (`tests::a_decision_takes_as_long_as_its_slowest_fact`).
//! 2. A decisive refusal does not wait   (`tests::a_decisive_refusal_does_not_wait`).
//! 3. A fact that is late, or cannot be known, is missed, and its check's own policy counts   (`tests::a_fact_that_is_late_is_missed`).
//! 4. What was asked for is asked for once, also where its input has to wait for its turn   (`tests::what_was_asked_for_is_asked_for_once`).
//!
//! Not here: where facts are kept (`store::cache`), how they come there (`follow`), what a check makes of them (`rules::entry::checks`).

use crate::clock;
use futures_util::{FutureExt, StreamExt};
use metrics::counter;
use rules::entry::checks;
use schema::{
    Credential,
    fact::{Kind, Part},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::cache::{Cache, Fact, Found};
use tokio::{sync::Notify, time::Instant};

/// What came of asking for a fact.
#[derive(Clone, Debug)]
enum Told {
    Here(Arc<[Part]>),
    Missed,
}

/// Facts that were asked for together: those that have come, and until when the others may come.
#[derive(Debug)]
pub struct Asked {
    facts: Mutex<BTreeMap<Fact, Option<Told>>>,
    arrived: Notify,
    until: Instant,
}

impl Asked {
    /// Asks for facts. What a cache has at hand is here at once; the rest comes while others work.
    pub fn ask(cache: &Arc<dyn Cache>, facts: Vec<Fact>, within: Duration) -> Arc<Self> {
        let unknown = facts.iter().map(|fact| (fact.clone(), None)).collect();
        let asked = Arc::new(Self { facts: Mutex::new(unknown), arrived: Notify::new(), until: clock::now() + within });
        let (cache, told) = (cache.clone(), asked.clone());
        let mut reading = async move {
            let mut answers = cache.read(facts, within);
            while let Some((fact, found)) = answers.next().await {
                told.tell(&fact, found);
            }
            drop(answers);
            told.miss();
        }
        .boxed();
        if (&mut reading).now_or_never().is_none() {
            tokio::spawn(reading);
        }
        asked
    }

    fn facts(&self) -> MutexGuard<'_, BTreeMap<Fact, Option<Told>>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, fact: &Fact, found: Found) {
        // What was given up is not taken back: an input is decided once.
        if let Some(told @ None) = self.facts().get_mut(fact) {
            *told = Some(found.map_or_else(|error| missed(fact.1, why(error.kind)), |parts| Told::Here(parts.into())));
        }
        self.arrived.notify_one();
    }

    /// Gives up what has not come.
    fn miss(&self) {
        for ((_, kind), told) in self.facts().iter_mut().filter(|(_, told)| told.is_none()) {
            *told = Some(missed(*kind, "late"));
        }
        self.arrived.notify_one();
    }

    /// Waits until something more is known; past the deadline that is that the rest is missed.
    pub async fn more(&self) {
        tokio::select! {
            biased;
            () = self.arrived.notified() => {}
            () = clock::until(Some(self.until)) => self.miss(),
        }
    }

    /// Whether these facts were asked for here.
    pub fn has(&self, fact: &Fact) -> bool {
        self.facts().contains_key(fact)
    }
}

fn why(kind: store::Kind) -> &'static str {
    match kind {
        store::Kind::Unavailable => "away",
        store::Kind::Incomplete => "incomplete",
        store::Kind::Newer | store::Kind::Damaged | store::Kind::NotProvisioned | store::Kind::Forgets => "unreadable",
    }
}

fn missed(kind: Kind, why: &'static str) -> Told {
    counter!("boomgate_facts_missed_total", "kind" => kind.as_str(), "why" => why).increment(1);
    Told::Missed
}

/// What has come by now.
#[derive(Debug, Default)]
pub struct Loaded(BTreeMap<Fact, Told>);

impl Loaded {
    /// What has come of all that was asked for.
    pub fn of<'a>(asked: impl Iterator<Item = &'a Arc<Asked>>) -> Self {
        let mut loaded = BTreeMap::new();
        let mut last: Option<&Arc<Asked>> = None;
        for asked in asked {
            // Most of a turn's inputs were asked for together.
            if last.replace(asked).is_some_and(|last| Arc::ptr_eq(last, asked)) {
                continue;
            }
            loaded.extend(asked.facts().iter().filter_map(|(fact, told)| Some((fact.clone(), told.clone()?))));
        }
        Self(loaded)
    }

    /// A fact as a check sees it.
    pub fn get(&self, credential: &Credential, kind: Kind) -> checks::Fact<'_> {
        match self.0.get(&(credential.clone(), kind)) {
            Some(Told::Here(parts)) => checks::Fact::Here(parts),
            Some(Told::Missed) => checks::Fact::Missed,
            None => checks::Fact::Pending,
        }
    }
}

#[cfg(test)]
mod tests;
