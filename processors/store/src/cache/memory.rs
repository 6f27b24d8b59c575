//! The cache of one process: a map.
//!
//! It never forgets by itself, as caches that evict do: what is evicted would read as "no facts". Where it is full it says that it is incomplete.
//!
//! Invariants
//! 1. A full cache is incomplete, never silently short of a part   (`tests::a_full_cache_is_incomplete`).
//! 2. Removals do not pile up, nor does what is of a day alone   (`tests::old_removals_are_forgotten`, `tests::old_coupons_are_forgotten`).

use super::{Cache, Fact, Followed, Found, Generation, ends, forgotten};
use crate::{Answer, Error, Kind};
use futures_util::{
    FutureExt, StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use schema::{
    Credential, Journal, Moment,
    fact::{self, Part, PartId, What},
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A cache in memory.
pub struct Memory {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    parts: AtomicUsize,
    parts_max: usize,
    generations: AtomicU64,
    /// The generation times 2, and 1 more once it is complete; 0 while there is none.
    marker: AtomicU64,
    followed: Mutex<BTreeMap<Journal, Followed>>,
}

/// So many writers do not wait for one another.
const SHARDS: usize = 16;

#[derive(Default)]
struct Shard {
    /// The parts of each fact: most have one.
    facts: HashMap<Fact, Vec<Part>>,
    /// What was removed, in the order in which it was.
    removed: VecDeque<(Moment, Fact, PartId)>,
    /// The coupons that were used, removed ones too, in the order in which they were.
    used: VecDeque<(Moment, Fact, PartId)>,
    newest: Moment,
}

impl Memory {
    /// A cache of at most so many parts; a part of ordinary size takes some 300 bytes.
    pub fn new(parts_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            parts: AtomicUsize::new(0),
            parts_max,
            generations: AtomicU64::new(0),
            marker: AtomicU64::new(0),
            followed: Mutex::default(),
        }
    }

    fn positions(&self) -> MutexGuard<'_, BTreeMap<Journal, Followed>> {
        self.followed.lock().expect("nobody panics with the positions in hand")
    }

    fn shard(&self, fact: &Fact) -> MutexGuard<'_, Shard> {
        let shards = u64::try_from(SHARDS).expect("a few");
        let index = usize::try_from(self.hasher.hash_one(fact) % shards).expect("below the number of shards");
        self.shards[index].lock().expect("nobody panics with a shard in hand")
    }

    fn find(&self, fact: &Fact) -> Found {
        let before = self.marker.load(Ordering::SeqCst);
        let parts = self.shard(fact).facts.get(fact).map_or_else(Vec::new, |parts| parts.iter().filter(|part| lives(part)).cloned().collect());
        // It may have been emptied in between, and rebuilt in part.
        let after = self.marker.load(Ordering::SeqCst);
        if before == after && is_complete(after) { Ok(parts) } else { Err(Error::new(Kind::Incomplete, "reading a fact")) }
    }

    fn put(&self, credential: Credential, part: Part) -> Result<(), Error> {
        let fact = (credential, part.what.kind());
        let mut guard = self.shard(&fact);
        let shard = &mut *guard;
        shard.newest = shard.newest.max(part.at);
        let ending = ends(&part).then(|| (part.at, fact.clone(), part.id));
        let fact_kind = fact.1;
        let held = shard.facts.get_mut(&fact).and_then(|parts| parts.iter_mut().find(|held| held.id == part.id));
        match held {
            Some(held) if held.at >= part.at => return Ok(()),
            Some(held) => *held = part,
            None => {
                if self.parts.fetch_add(1, Ordering::SeqCst) >= self.parts_max {
                    self.parts.fetch_sub(1, Ordering::SeqCst);
                    self.marker.store(0, Ordering::SeqCst);
                    return Err(Error::new(Kind::Unavailable, format!("writing a fact to a cache with room for {} parts", self.parts_max)));
                }
                let parts = shard.facts.entry(fact).or_default();
                parts.reserve_exact(1);
                parts.push(part);
            }
        }
        let line = if fact_kind == fact::Kind::Coupons { &mut shard.used } else { &mut shard.removed };
        line.extend(ending);
        self.parts.fetch_sub(shard.sweep(), Ordering::SeqCst);
        Ok(())
    }
}

impl Shard {
    /// Forgets old removals and old coupons, and says how many.
    fn sweep(&mut self) -> usize {
        // All kinds but coupons keep their removals as long as one another.
        let removed = forget(&mut self.facts, &mut self.removed, forgotten(fact::Kind::Bans, self.newest));
        let used = forget(&mut self.facts, &mut self.used, forgotten(fact::Kind::Coupons, self.newest));
        removed + used
    }
}

/// Forgets what stands first in a line up to a moment, where it is no newer by now, and says how many.
fn forget(facts: &mut HashMap<Fact, Vec<Part>>, line: &mut VecDeque<(Moment, Fact, PartId)>, until: Moment) -> usize {
    let mut swept = 0;
    while line.front().is_some_and(|(at, _, _)| *at <= until) {
        let Some((_, fact, id)) = line.pop_front() else { break };
        let Entry::Occupied(mut parts) = facts.entry(fact) else { continue };
        let before = parts.get().len();
        parts.get_mut().retain(|part| part.id != id || !ends(part) || part.at > until);
        swept += before - parts.get().len();
        if parts.get().is_empty() {
            parts.remove();
        }
    }
    swept
}

const fn lives(part: &Part) -> bool {
    !matches!(part.what, What::Removed(_))
}

const fn is_complete(marker: u64) -> bool {
    marker & 1 == 1
}

impl Cache for Memory {
    fn read(&self, facts: Vec<Fact>, _: Duration) -> BoxStream<'_, (Fact, Found)> {
        stream::iter(facts)
            .map(|fact| {
                let found = self.find(&fact);
                (fact, found)
            })
            .boxed()
    }

    fn write(&self, parts: Vec<(Credential, Part)>) -> Answer<'_, ()> {
        ready(parts.into_iter().try_for_each(|(credential, part)| self.put(credential, part))).boxed()
    }

    fn is_complete(&self) -> Answer<'_, bool> {
        ready(Ok(is_complete(self.marker.load(Ordering::SeqCst)))).boxed()
    }

    fn begin_rebuild(&self) -> Answer<'_, Generation> {
        let generation = self.generations.fetch_add(1, Ordering::SeqCst) + 1;
        self.marker.store(generation * 2, Ordering::SeqCst);
        ready(Ok(Generation(generation))).boxed()
    }

    fn complete(&self, Generation(generation): Generation) -> Answer<'_, bool> {
        // 0 is no generation; its marker is that of an emptied cache.
        if generation == 0 {
            return ready(Ok(false)).boxed();
        }
        let building = generation.saturating_mul(2);
        let swapped = self.marker.compare_exchange(building, building | 1, Ordering::SeqCst, Ordering::SeqCst);
        ready(Ok(swapped.is_ok() || swapped == Err(building | 1))).boxed()
    }

    fn clear(&self) -> Answer<'_, ()> {
        self.marker.store(0, Ordering::SeqCst);
        for shard in &self.shards {
            let mut shard = shard.lock().expect("nobody panics with a shard in hand");
            let parts: usize = shard.facts.values().map(Vec::len).sum();
            *shard = Shard::default();
            self.parts.fetch_sub(parts, Ordering::SeqCst);
        }
        self.positions().clear();
        ready(Ok(())).boxed()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn followed(&self) -> Answer<'_, Vec<Followed>> {
        ready(Ok(self.positions().values().copied().collect())).boxed()
    }

    fn follow(&self, to: Vec<Followed>) -> Answer<'_, ()> {
        self.positions().extend(to.into_iter().map(|followed| (followed.journal, followed)));
        ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{
        COUPONS_KEPT, REMOVAL_KEPT,
        conformance::{self, ban, car, read, rebuilt, removal, used},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn the_cache_in_memory_keeps_the_promises() {
        conformance::run(&Memory::new(1_000_000)).await;
    }

    #[tokio::test]
    async fn a_full_cache_is_incomplete() {
        let cache = Memory::new(2);
        rebuilt(&cache).await;
        cache.write(vec![(car("a"), ban("1", 1)), (car("b"), ban("1", 1))]).await.expect("there is room");
        cache.write(vec![(car("a"), ban("1", 2))]).await.expect("it is not a new part");
        assert!(cache.is_complete().await.expect("it is here"));
        assert_eq!(cache.write(vec![(car("c"), ban("1", 1))]).await.map_err(|e| e.kind), Err(Kind::Unavailable));
        assert_eq!(read(&cache, "a").await, Err(Kind::Incomplete));
        assert_eq!(read(&cache, "c").await, Err(Kind::Incomplete));
        cache.clear().await.expect("it is here");
        rebuilt(&cache).await;
        cache.write(vec![(car("c"), ban("1", 1)), (car("d"), ban("1", 1))]).await.expect("there is room again");
        assert_eq!(read(&cache, "c").await, Ok(vec![ban("1", 1)]));
    }

    #[tokio::test]
    async fn old_removals_are_forgotten() {
        let cache = Memory::new(1_000_000);
        rebuilt(&cache).await;
        for n in 0..200_000_i64 {
            // Each gone at once, ten thousand in the time that removals are remembered.
            let at = n * REMOVAL_KEPT / 10_000;
            cache.write(vec![(car(&n.to_string()), ban("1", at)), (car(&n.to_string()), removal("1", at + 1))]).await.expect("there is room");
        }
        let held = cache.parts.load(Ordering::SeqCst);
        assert!((10_000..11_000).contains(&held), "{held}");
        assert_eq!(read(&cache, "199999").await, Ok(vec![]));
    }

    #[tokio::test]
    async fn old_coupons_are_forgotten() {
        let cache = Memory::new(1_000_000);
        rebuilt(&cache).await;
        for n in 0..200_000_i64 {
            // Each of a car of its own, ten thousand in the time that they are remembered; nobody removes them.
            cache.write(vec![(car(&n.to_string()), used("1", n * COUPONS_KEPT / 10_000, 1))]).await.expect("there is room");
        }
        let held = cache.parts.load(Ordering::SeqCst);
        assert!((10_000..11_000).contains(&held), "{held}");
    }
}
