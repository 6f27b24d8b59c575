//! Keeping the cache true: what the journals say of vehicles is written to it as it comes, and all of it anew where the cache lacks something.
//!
//! Invariants
//! 1. What a journal says of a vehicle is in the cache a moment later   (`tests::what_journals_say_is_in_the_cache`).
//! 2. A cache that was emptied is built again from rows and journals, to the same   (`tests::an_emptied_cache_is_built_again`).
//! 3. Nobody waits for it: until it is complete, every fact is missed   (`turn`, `facts`).
//! 4. What this process decided is not read back, and what it missed is   (`tests::what_was_not_heard_is_read`).
//! 5. Of several processes one writes to the cache that they share   (`tests::one_of_several_writes_to_a_shared_cache`).
//! 6. A coupon counts for the car that it was given to from then on, also when its stay is over, unless it was none: a car that never crossed the
//!    lane, that came in again, or that is really another one   (`tests::what_coupons_a_car_has_used_is_known`).
//!
//! Not here: what a check makes of the facts (`rules::entry::checks`), how they are read (`facts`).

use crate::{clock, input, replica};
use metrics::{counter, gauge};
use schema::{
    Credential, Entity, Event, Id, Journal, Moment, Money, Partition, Recorded, Table,
    entity::Session,
    fact::{self, Arrear, CouponsUsed, OperatorId, Part, PartId, Presence, Stated, What},
    journal::{CouponLimit, SessionEvent, Stay},
    wire,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use store::{
    Store,
    cache::{Cache, Followed},
};
use streams::{Beat, Bus, From, Stored};
use tokio::sync::{mpsc, watch};

/// How many messages are read at once.
const SCAN_MOST: usize = 512;
/// How many parts are written at once.
const WRITE_MOST: usize = 1_024;
/// How often it is looked for what others have decided.
const READ_EVERY: Duration = Duration::from_millis(100);
/// How long a broker, a store or a cache that is away is left alone.
const AWAY: Duration = Duration::from_secs(1);
/// How often it is looked whether the cache lacks something, and who is alive.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The room in which those meet that could write to a shared cache.
pub(crate) const ROOM: &str = "facts";

/// The journal that says something of vehicles.
const JOURNAL: Journal = Journal::Session;
/// Its events that do.
const SAYING: [&str; 9] = ["opened", "closed", "superseded", "vacated", "gone", "owed", "stated", "corrected", "validated"];
/// Those that say what coupons a car has used.
const USING: [&str; 4] = ["validated", "superseded", "vacated", "corrected"];
/// How many of our own appends may wait to be heard; what finds no room is read back from the journal.
pub const HEARD_MAX: usize = 4_096;

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
pub type Said = Vec<(Credential, Part)>;

/// What was appended by this process itself, and what it says.
#[derive(Debug)]
pub struct Heard {
    /// The sequence of the last message, before which the others stand.
    pub last: u64,
    /// How many messages.
    pub count: usize,
    /// What they say.
    pub said: Said,
}

impl Heard {
    /// What an append says.
    pub fn of(events: &[Recorded], last: u64) -> Self {
        Self { last, count: events.len(), said: events.iter().flat_map(parts).collect() }
    }
}

/// How far the journal is known.
#[derive(Debug, Default)]
struct Position {
    /// Everything up to here.
    seen: u64,
    /// What was heard behind a gap.
    ahead: BTreeSet<u64>,
    /// Up to where everything was known when it was last asked whether something lacks.
    before: u64,
}

impl Position {
    fn hear(&mut self, last: u64, count: usize) {
        let first = last.saturating_sub(count as u64).saturating_add(1);
        self.ahead.extend(first.max(self.seen.saturating_add(1))..=last);
        self.close_up();
    }

    fn read(&mut self, last: u64) {
        self.seen = self.seen.max(last);
        self.ahead = self.ahead.split_off(&self.seen.saturating_add(1));
        self.close_up();
    }

    fn close_up(&mut self) {
        while self.ahead.remove(&self.seen.saturating_add(1)) {
            self.seen += 1;
        }
    }

    /// Whether nothing was heard since this was last asked, or not what comes next: then others may have decided something.
    fn lacks(&mut self) -> bool {
        let still = self.before == self.seen;
        self.before = self.seen;
        still
    }
}

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
    /// Goes on until `shutdown`. Of several with a shared cache, one writes: the others watch that somebody does. What this process decides
    /// itself is `heard` from it, and need not be read back.
    pub async fn run(self, replica: String, mut heard: mpsc::Receiver<Heard>, mut shutdown: watch::Receiver<bool>) {
        let me = Beat { room: ROOM.to_owned(), replica };
        let goes_on = async {
            loop {
                if let Err(error) = self.go_on(&me, &mut heard).await {
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
    async fn go_on(&self, me: &Beat, heard: &mut mpsc::Receiver<Heard>) -> Result<(), Error> {
        let mut position: Option<Position> = None;
        let (mut look, mut read) = (clock::every(LOOK_EVERY), clock::every(READ_EVERY));
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
                        position = None;
                        continue;
                    }
                    let complete = self.cache.is_complete().await?;
                    gauge!("boomgate_cache_complete").set(if complete { 1.0 } else { 0.0 });
                    if !complete {
                        position = None;
                        self.rebuild().await?;
                    }
                    let position = match &mut position {
                        Some(position) => position,
                        None => position.insert(self.position().await?),
                    };
                    // Whoever writes next to a cache that is shared begins here.
                    if self.cache.is_shared() {
                        let at = self.bus.look(JOURNAL.stream()).await?.now;
                        self.cache.follow(vec![Followed { journal: JOURNAL, sequence: position.seen, at }]).await?;
                    }
                }
                _ = read.tick() => {
                    if let Some(position) = &mut position
                        && position.lacks()
                    {
                        self.read_on(position).await?;
                    }
                }
                Some(heard) = heard.recv() => {
                    if let Some(position) = &mut position {
                        self.write(heard.said).await?;
                        position.hear(heard.last, heard.count);
                    }
                }
            }
        }
    }

    /// Writes what has come since and was not heard.
    async fn read_on(&self, position: &mut Position) -> Result<(), Error> {
        loop {
            let read = self.bus.scan(JOURNAL.stream(), position.seen.saturating_add(1), SCAN_MOST).await?;
            let Some(last) = read.last().map(|stored| (stored.sequence, stored.time)) else { return Ok(()) };
            self.write(said(&read)?).await?;
            position.read(last.0);
            self.cache.follow(vec![Followed { journal: JOURNAL, sequence: position.seen, at: last.1 }]).await?;
            if read.len() < SCAN_MOST {
                return Ok(());
            }
        }
    }

    /// Where the cache says that it stands; nothing that it lacks may have been trimmed since.
    async fn position(&self) -> Result<Position, Error> {
        let now = self.bus.look(JOURNAL.stream()).await?.now;
        let retention = i64::try_from(self.retention.as_micros()).unwrap_or(i64::MAX);
        let followed = self.cache.followed().await?;
        let known = followed.iter().find(|followed| followed.journal == JOURNAL && now.since(followed.at) < retention / 2);
        let Some(known) = known else {
            self.cache.clear().await?;
            return Err(store::Error::new(store::Kind::Incomplete, "following from where the cache says that it stands").into());
        };
        Ok(Position { seen: known.sequence, ..Position::default() })
    }

    /// Builds the cache anew: empties it, writes what the rows and the journals behind them say, and says that it is complete. False where
    /// somebody else has begun to do so since.
    pub async fn rebuild(&self) -> Result<bool, Error> {
        self.cache.clear().await?;
        let generation = self.cache.begin_rebuild().await?;
        let partitions: Vec<Partition> = Partition::all().collect();
        let look = self.bus.look(JOURNAL.stream()).await?;
        let marks = self.store.marks(JOURNAL, partitions.clone()).await?;
        let mut parts = 0_usize;
        for part in self.store.parts(Table::Facts).await? {
            let rows = self.store.scan(part).await?;
            let held = rows.iter().flat_map(|row| if let Entity::Stated(stated) = &row.entity { of(stated, row.at) } else { Vec::new() });
            parts = parts.saturating_add(self.write(held.collect()).await?);
        }
        for row in self.store.open(JOURNAL, partitions.clone()).await? {
            if let Entity::Session(session) = &row.entity {
                parts = parts.saturating_add(self.write(inside(session, row.at)).await?);
            }
        }
        // What is not in the rows yet. What they have already is older than they are.
        for (partition, mark) in partitions.into_iter().zip(marks) {
            let from = From::Sequence(mark.map_or(1, |mark| mark.sequence));
            parts = parts.saturating_add(self.write(said(&self.bus.tail(JOURNAL, partition, from).await?)?).await?);
        }
        parts = parts.saturating_add(self.rebuild_coupons().await?);
        self.cache.follow(vec![Followed { journal: JOURNAL, sequence: look.last, at: look.now }]).await?;
        let complete = self.cache.complete(generation).await?;
        tracing::info!(parts, complete, "the cache was built anew from rows and journals");
        counter!("boomgate_cache_rebuilds_total").increment(1);
        Ok(complete)
    }

    /// Writes what coupons were used, as far back as the journal goes: the stays may be over, and no row tells what of them counted.
    async fn rebuild_coupons(&self) -> Result<usize, Error> {
        let mut parts = 0_usize;
        for kind in USING {
            let (subject, mut from) = (format!("{}.*.*.{kind}", JOURNAL.stream()), 1);
            loop {
                let read = self.bus.scan_subject(JOURNAL.stream(), &subject, from, SCAN_MOST).await?;
                let Some(last) = read.last().map(|stored| stored.sequence) else { break };
                // What these events say of other things may be older than what is known of those by now.
                let used = said(&read)?.into_iter().filter(|(_, part)| part.what.kind() == fact::Kind::Coupons);
                parts = parts.saturating_add(self.write(used.collect()).await?);
                from = last.saturating_add(1);
            }
        }
        Ok(parts)
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

fn said(stored: &[Stored]) -> Result<Said, Error> {
    let mut all = Vec::new();
    for stored in stored.iter().filter(|stored| stored.subject.rsplit('.').next().is_some_and(|kind| SAYING.contains(&kind))) {
        let recorded = wire::decode_recorded(JOURNAL, input::content_type(stored), &stored.payload);
        all.extend(parts(&recorded.map_err(|source| Error::Journal { journal: JOURNAL, sequence: stored.sequence, source })?));
    }
    Ok(all)
}

/// What an event says of vehicles.
fn parts(recorded: &Recorded) -> Said {
    let Event::Session(event) = &recorded.event else { return Vec::new() };
    match event {
        SessionEvent::Opened { stay, marks, .. } => present(stay, marks.right.as_ref().map(|right| right.id), recorded.at),
        SessionEvent::Owed { stay, order, amount, operator } => arrear(stay, (*order, *amount, *operator), recorded.at),
        SessionEvent::Closed { stay, gone: true, .. } | SessionEvent::Prepaid { stay, sequence: SessionEvent::PAID_ANEW, .. } => {
            let removed = Part { id: debt_id(stay), at: recorded.at, what: What::Removed(fact::Kind::Arrears) };
            vec![(stay.credential.clone(), removed)]
        }
        SessionEvent::Closed { stay, .. } | SessionEvent::Gone { stay, .. } => absent(stay, recorded.at),
        SessionEvent::Superseded { stay, .. } | SessionEvent::Vacated { stay } => {
            absent(stay, recorded.at).into_iter().chain([unused(stay, &stay.credential, recorded.at)]).collect()
        }
        // It is not here any more; what it owes, if anything, is said again.
        SessionEvent::Corrected { stay, was, gone: true, .. } => {
            let owes = Part { id: debt_id(stay), at: recorded.at, what: What::Removed(fact::Kind::Arrears) };
            let used = (*was != stay.credential).then(|| unused(stay, was, recorded.at));
            std::iter::once((was.clone(), owes)).chain(used).collect()
        }
        SessionEvent::Corrected { stay, was, entitled, .. } => {
            let removed = Part { id: presence_id(stay), at: recorded.at, what: What::Removed(fact::Kind::Presence) };
            let wrong = (*was != stay.credential).then(|| [(was.clone(), removed), unused(stay, was, recorded.at)]);
            let right = entitled.as_ref().and_then(|entitled| entitled.right.as_ref());
            wrong.into_iter().flatten().chain(present(stay, right.map(|right| right.id), recorded.at)).collect()
        }
        SessionEvent::Stated { stated, dropped, .. } => {
            let removed = Part { id: stated.part, at: recorded.at, what: What::Removed(stated.what.kind()) };
            of(stated, recorded.at).into_iter().chain(dropped.iter().map(|credential| (credential.clone(), removed.clone()))).collect()
        }
        SessionEvent::Validated { stay, validation, limit: Some(limit), .. } if !validation.over => vec![used(stay, limit, recorded.at)],
        SessionEvent::Refused { .. }
        | SessionEvent::Waiting { .. }
        | SessionEvent::ReadAgain { .. }
        | SessionEvent::Asked { .. }
        | SessionEvent::Prepaid { .. }
        | SessionEvent::Passed { .. }
        | SessionEvent::Validated { .. }
        | SessionEvent::Noticed { .. }
        | SessionEvent::LetThrough { .. }
        | SessionEvent::Leaving { .. }
        | SessionEvent::Noted { .. } => Vec::new(),
    }
}

fn of(stated: &Stated, at: Moment) -> Said {
    let part = Part { id: stated.part, at, what: stated.what.clone() };
    stated.of.iter().map(|credential| (credential.clone(), part.clone())).collect()
}

/// What the row of an open session says: that its car is inside, and what it owes.
fn inside(session: &Session, at: Moment) -> Said {
    let owes = session.owes.map_or_else(Vec::new, |owes| arrear(&session.stay, owes, at));
    let here = if session.gone { Vec::new() } else { present(&session.stay, session.right.as_ref().map(|right| right.id), at) };
    owes.into_iter().chain(here).collect()
}

/// A car is in a lot: it is told to itself, and to those that share its right.
fn present(stay: &Stay, right: Option<PartId>, at: Moment) -> Said {
    let what = What::Presence(Presence { session: stay.session, lot: stay.lot, credential: stay.credential.clone(), since: stay.entered_at, right });
    let part = Part { id: presence_id(stay), at, what };
    concerned(stay).map(|credential| (credential.clone(), part.clone())).collect()
}

/// A car is in a lot no more: whoever was told of it is told.
fn absent(stay: &Stay, at: Moment) -> Said {
    let removed = Part { id: presence_id(stay), at, what: What::Removed(fact::Kind::Presence) };
    concerned(stay).map(|credential| (credential.clone(), removed.clone())).collect()
}

/// What a stay has used of the coupons that its car may use on a day.
fn used(stay: &Stay, limit: &CouponLimit, at: Moment) -> (Credential, Part) {
    let used = CouponsUsed { session: stay.session, operator: limit.operator, day: limit.day, uses: limit.here };
    (stay.credential.clone(), Part { id: coupons_id(stay), at, what: What::Coupons(used) })
}

/// A stay was none, or that of another car: it has used nothing.
fn unused(stay: &Stay, was: &Credential, at: Moment) -> (Credential, Part) {
    (was.clone(), Part { id: coupons_id(stay), at, what: What::Removed(fact::Kind::Coupons) })
}

fn concerned(stay: &Stay) -> impl Iterator<Item = &Credential> {
    std::iter::once(&stay.credential).chain(&stay.sharers)
}

fn arrear(stay: &Stay, (order, amount, operator): (Id, Money, OperatorId), at: Moment) -> Said {
    let what = What::Arrear(Arrear { order, operator, lot: stay.lot, amount });
    vec![(stay.credential.clone(), Part { id: debt_id(stay), at, what })]
}

fn presence_id(stay: &Stay) -> PartId {
    part_id(&stay.session)
}

/// What a stay has used is one part, so that its newest word counts.
fn coupons_id(stay: &Stay) -> PartId {
    part_id(&stay.session)
}

/// A stay owes one thing at a time.
fn debt_id(stay: &Stay) -> PartId {
    format!("A{}", stay.session.as_str().get(1..).unwrap_or_default()).parse().expect("as long as a session's id")
}

fn part_id(id: &Id) -> PartId {
    id.as_str().parse().expect("a longer name holds a shorter one")
}

#[cfg(test)]
mod tests;
