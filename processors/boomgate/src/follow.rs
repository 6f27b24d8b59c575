//! Keeping the cache true: what the journals say of vehicles is written to it as it comes, and all of it anew where the cache lacks something.
//!
//! Invariants
//! 1. What a journal says of a vehicle is in the cache a moment later   (`tests::what_journals_say_is_in_the_cache`).
//! 2. A cache that was emptied is built again from rows and journals, to the same   (`tests::an_emptied_cache_is_built_again`).
//! 3. Nobody waits for it: until it is complete, every fact is missed   (`turn`, `facts`).
//! 4. Of several processes one writes to the cache that they share   (`tests::one_of_several_writes_to_a_shared_cache`).
//!
//! Not here: what a check makes of the facts (`rules::entry::checks`), how they are read (`facts`).

use crate::{clock, input, replica};
use metrics::{counter, gauge};
use schema::{
    Credential, Entity, Event, Journal, Moment, Partition, Recorded, Table,
    entity::Session,
    fact::{self, Part, PartId, Presence, Stated, What},
    journal::{SessionEvent, Stay},
    wire,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use store::{
    Store,
    cache::{Cache, Followed},
};
use streams::{Beat, Bus, From, Stored};
use tokio::sync::watch;

/// How many messages are read at once.
const SCAN_MOST: usize = 512;
/// How many parts are written at once.
const WRITE_MOST: usize = 1_024;
/// How long nothing is looked for where nothing new was found.
const IDLE: Duration = Duration::from_millis(100);
/// How long a broker, a store or a cache that is away is left alone.
const AWAY: Duration = Duration::from_secs(1);
/// How often it is looked whether the cache lacks something, and who is alive.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The room in which those meet that could write to a shared cache.
const ROOM: &str = "facts";

/// The journals that say something of vehicles.
const JOURNALS: [Journal; 1] = [Journal::Session];

/// Why the cache cannot be kept true now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journals cannot be read.
    #[error(transparent)]
    Bus(#[from] streams::Error),
    /// The rows cannot be read, or the cache not written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A journal holds what this release cannot read.
    #[error("{journal} {sequence} cannot be read, and so the cache follows no further: upgrade ({source})")]
    Journal {
        /// The journal.
        journal: Journal,
        /// The message.
        sequence: u64,
        /// Why.
        source: wire::Error,
    },
}

/// What follows: the parts of a vehicle that an event says.
type Said = Vec<(Credential, Part)>;

/// Writes what journals say to a cache.
pub struct Follower {
    /// The broker.
    pub bus: Arc<dyn Bus>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The cache.
    pub cache: Arc<dyn Cache>,
    /// How long events stay in a journal below its mark: a cache that is further behind is built anew.
    pub retention: Duration,
}

impl Follower {
    /// Goes on until `shutdown`. Of several with a shared cache, one writes: the others watch that somebody does.
    pub async fn run(self, replica: String, mut shutdown: watch::Receiver<bool>) {
        let me = Beat { room: ROOM.to_owned(), replica };
        let goes_on = async {
            loop {
                if let Err(error) = self.go_on(&me).await {
                    counter!("boomgate_cache_follow_failures_total").increment(1);
                    tracing::warn!(%error, "the cache is not kept true: what it lacks is missed, and lanes go by their own policy");
                }
                clock::wait(AWAY).await;
            }
        };
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = goes_on => {}
        }
        if self.cache.is_shared() {
            self.bus.leave(me).await.ok();
        }
    }

    /// Follows as long as nothing fails, and as long as it is up to us.
    async fn go_on(&self, me: &Beat) -> Result<(), Error> {
        let mut positions: Option<BTreeMap<Journal, u64>> = None;
        let mut look = clock::every(LOOK_EVERY);
        let mut ours = !self.cache.is_shared();
        loop {
            tokio::select! {
                biased;
                _ = look.tick() => {
                    if self.cache.is_shared() {
                        let members = replica::alive(&*self.bus, me).await?;
                        ours = replica::owner(&members, ROOM, 0) == Some(me.replica.as_str());
                    }
                    if !ours {
                        positions = None;
                        continue;
                    }
                    let complete = self.cache.is_complete().await?;
                    gauge!("boomgate_cache_complete").set(if complete { 1.0 } else { 0.0 });
                    if !complete {
                        positions = None;
                        self.rebuild().await?;
                    }
                }
                () = clock::wait(IDLE), if ours => {}
            }
            if ours {
                positions = Some(self.step(positions.take()).await?);
            }
        }
    }

    /// Writes what has come since. A cache that stands too far behind to be sure of what it lacks is emptied.
    async fn step(&self, positions: Option<BTreeMap<Journal, u64>>) -> Result<BTreeMap<Journal, u64>, Error> {
        let mut positions = match positions {
            Some(positions) => positions,
            None => self.positions().await?,
        };
        for journal in JOURNALS {
            let position = positions.entry(journal).or_default();
            loop {
                let read = self.bus.scan(journal.stream(), position.saturating_add(1), SCAN_MOST).await?;
                let Some(last) = read.last().map(|stored| (stored.sequence, stored.time)) else { break };
                self.write(said(journal, &read)?).await?;
                *position = last.0;
                self.cache.follow(vec![Followed { journal, sequence: last.0, at: last.1 }]).await?;
                if read.len() < SCAN_MOST {
                    break;
                }
            }
        }
        Ok(positions)
    }

    /// Where the cache says that it stands; nothing that it lacks may have been trimmed since.
    async fn positions(&self) -> Result<BTreeMap<Journal, u64>, Error> {
        let followed = self.cache.followed().await?;
        let mut positions = BTreeMap::new();
        for journal in JOURNALS {
            let now = self.bus.look(journal.stream()).await?.now;
            let retention = i64::try_from(self.retention.as_micros()).unwrap_or(i64::MAX);
            let known = followed.iter().find(|followed| followed.journal == journal && now.since(followed.at) < retention / 2);
            let Some(known) = known else {
                self.cache.clear().await?;
                return Err(store::Error::new(store::Kind::Incomplete, "following from where the cache says that it stands").into());
            };
            positions.insert(journal, known.sequence);
        }
        Ok(positions)
    }

    /// Builds the cache anew: empties it, writes what the rows and the journals behind them say, and says that it is complete. False where
    /// somebody else has begun to do so since.
    pub async fn rebuild(&self) -> Result<bool, Error> {
        self.cache.clear().await?;
        let generation = self.cache.begin_rebuild().await?;
        let partitions: Vec<Partition> = Partition::all().collect();
        let (mut heads, mut parts) = (Vec::new(), 0_usize);
        for journal in JOURNALS {
            let look = self.bus.look(journal.stream()).await?;
            heads.push(Followed { journal, sequence: look.last, at: look.now });
        }
        let mut marks = BTreeMap::new();
        for journal in JOURNALS {
            let read = self.store.marks(journal, partitions.clone()).await?;
            marks.extend(partitions.iter().zip(read).map(|(partition, mark)| ((journal, *partition), mark.map_or(1, |mark| mark.sequence))));
        }
        for part in self.store.parts(Table::Facts).await? {
            let rows = self.store.scan(part).await?;
            let held = rows.iter().flat_map(|row| if let Entity::Stated(stated) = &row.entity { of(stated, row.at) } else { Vec::new() });
            parts = parts.saturating_add(self.write(held.collect()).await?);
        }
        for row in self.store.open(Journal::Session, partitions).await? {
            if let Entity::Session(session) = &row.entity {
                parts = parts.saturating_add(self.write(inside(session, row.at)).await?);
            }
        }
        // What is not in the rows yet. What they have already is older than they are.
        for ((journal, partition), from) in marks {
            let tail = self.bus.tail(journal, partition, From::Sequence(from)).await?;
            parts = parts.saturating_add(self.write(said(journal, &tail)?).await?);
        }
        self.cache.follow(heads).await?;
        let complete = self.cache.complete(generation).await?;
        tracing::info!(parts, complete, "the cache was built anew from rows and journals");
        counter!("boomgate_cache_rebuilds_total").increment(1);
        Ok(complete)
    }

    async fn write(&self, mut parts: Said) -> Result<usize, store::Error> {
        let count = parts.len();
        while !parts.is_empty() {
            let rest = parts.split_off(parts.len().min(WRITE_MOST));
            self.cache.write(parts).await?;
            parts = rest;
        }
        Ok(count)
    }
}

fn said(journal: Journal, stored: &[Stored]) -> Result<Said, Error> {
    let mut all = Vec::new();
    for stored in stored {
        let recorded = wire::decode_recorded(journal, input::content_type(stored), &stored.payload);
        all.extend(parts(&recorded.map_err(|source| Error::Journal { journal, sequence: stored.sequence, source })?));
    }
    Ok(all)
}

/// What an event says of vehicles.
fn parts(recorded: &Recorded) -> Said {
    let Event::Session(event) = &recorded.event else { return Vec::new() };
    match event {
        SessionEvent::Opened { stay, marks, .. } => present(stay, marks.right.as_ref().map(|right| right.id), recorded.at),
        SessionEvent::Closed { stay, .. } | SessionEvent::Superseded { stay, .. } => {
            let removed = Part { id: presence_id(stay), at: recorded.at, what: What::Removed(fact::Kind::Presence) };
            concerned(stay).map(|credential| (credential.clone(), removed.clone())).collect()
        }
        SessionEvent::Stated { stated, dropped, .. } => {
            let removed = Part { id: stated.part, at: recorded.at, what: What::Removed(stated.what.kind()) };
            of(stated, recorded.at).into_iter().chain(dropped.iter().map(|credential| (credential.clone(), removed.clone()))).collect()
        }
        SessionEvent::Refused { .. } | SessionEvent::Waiting { .. } | SessionEvent::Leaving { .. } | SessionEvent::Noted { .. } => Vec::new(),
    }
}

fn of(stated: &Stated, at: Moment) -> Said {
    let part = Part { id: stated.part, at, what: stated.what.clone() };
    stated.of.iter().map(|credential| (credential.clone(), part.clone())).collect()
}

fn inside(session: &Session, at: Moment) -> Said {
    present(&session.stay, session.right.as_ref().map(|right| right.id), at)
}

/// A car is in a lot: it is told to itself, and to those that share its right.
fn present(stay: &Stay, right: Option<PartId>, at: Moment) -> Said {
    let what = What::Presence(Presence { session: stay.session, lot: stay.lot, credential: stay.credential.clone(), since: stay.entered_at, right });
    let part = Part { id: presence_id(stay), at, what };
    concerned(stay).map(|credential| (credential.clone(), part.clone())).collect()
}

fn concerned(stay: &Stay) -> impl Iterator<Item = &Credential> {
    std::iter::once(&stay.credential).chain(&stay.sharers)
}

fn presence_id(stay: &Stay) -> PartId {
    stay.session.as_str().parse().expect("a longer name holds a shorter one")
}

#[cfg(test)]
mod tests;
