//! What processors decide, as it happens: one reader per partition of a journal, for all who wait.
//!
//! Invariants
//! 1. From [`Followed::from`] on nothing is passed over without a word   (`tests::who_follows_hears_everything_from_its_place_on`).
//! 2. Who is too slow is told that it missed something   (`tests::who_is_too_slow_is_told`).
//! 3. Only so many follow at once, and a partition that nobody follows is not read   (`tests::what_nobody_follows_is_not_read`).
//!
//! Not here: how something is as of now (`view`), what is said to be decided (`say`).

use crate::{Error, error::Kind};
use schema::{Journal, Partition, Recorded, wire};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use streams::{Bus, From, Stored};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast},
    time::timeout,
};

/// How long a reader rests after it has read something, or somebody came.
const REST_MIN: Duration = Duration::from_millis(4);
/// How long it rests at most: each rest without anything new is half as long again.
const REST_MAX: Duration = Duration::from_millis(200);
/// How many pages wait for who is slow.
const PAGES_MAX: usize = 256;

/// An event with its place in the stream.
pub type Placed = (u64, Recorded);

/// The journals, followed.
#[derive(Clone)]
pub struct Journals(Arc<Inner>);

struct Inner {
    bus: Arc<dyn Bus>,
    lines: Mutex<BTreeMap<(Journal, Partition), Line>>,
    room: Arc<Semaphore>,
}

/// One partition that is read.
struct Line {
    pages: broadcast::Sender<Arc<[Placed]>>,
    next: u64,
    woken: Arc<Notify>,
}

/// A partition of a journal, followed by one who waits.
pub struct Followed {
    pages: broadcast::Receiver<Arc<[Placed]>>,
    /// The sequence from which on everything is heard.
    pub from: u64,
    _room: OwnedSemaphorePermit,
}

/// What one who follows hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// The next events, in order.
    Events(Arc<[Placed]>),
    /// So much came that some of it is lost to this follower: it looks for itself what has become of its matter.
    Missed,
}

impl Journals {
    /// Follows journals for at most so many at once.
    pub fn new(bus: Arc<dyn Bus>, followers_max: usize) -> Self {
        Self(Arc::new(Inner { bus, lines: Mutex::default(), room: Arc::new(Semaphore::new(followers_max)) }))
    }

    /// The broker whose journals they are.
    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.0.bus
    }

    /// Follows a partition from now on.
    pub async fn follow(&self, journal: Journal, partition: Partition) -> Result<Followed, Error> {
        let busy = |_| Error::new(Kind::Busy, format!("follow {journal} {partition}"));
        let room = self.0.room.clone().try_acquire_owned().map_err(busy)?;
        let at = (journal, partition);
        let known = self.0.lines().get(&at).map(Line::join);
        let (pages, from) = if let Some(known) = known {
            known
        } else {
            let next = self.0.bus.head(journal, partition).await?.map_or(1, |head| head.sequence.saturating_add(1));
            self.0.lines().entry(at).or_insert_with(|| self.begin(at, next)).join()
        };
        Ok(Followed { pages, from, _room: room })
    }

    fn begin(&self, at: (Journal, Partition), next: u64) -> Line {
        let (pages, _) = broadcast::channel(PAGES_MAX);
        let line = Line { pages, next, woken: Arc::new(Notify::new()) };
        tokio::spawn(read(self.0.clone(), at, line.woken.clone()));
        line
    }
}

impl Line {
    fn join(&self) -> (broadcast::Receiver<Arc<[Placed]>>, u64) {
        self.woken.notify_one();
        (self.pages.subscribe(), self.next)
    }
}

impl Inner {
    fn lines(&self) -> MutexGuard<'_, BTreeMap<(Journal, Partition), Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From where a line reads on; none, and no line, once nobody follows it.
    fn next(&self, at: (Journal, Partition)) -> Option<u64> {
        let mut lines = self.lines();
        let line = lines.get(&at)?;
        if line.pages.receiver_count() == 0 {
            lines.remove(&at);
            return None;
        }
        Some(line.next)
    }

    /// Tells what was read. Who joins does so before or after the whole of it.
    fn tell(&self, at: (Journal, Partition), next: u64, page: Vec<Placed>) {
        if let Some(line) = self.lines().get_mut(&at) {
            line.next = next;
            // That nobody listens any more is found at the next look.
            line.pages.send(page.into()).ok();
        }
    }
}

/// Reads one partition for as long as anybody follows it.
async fn read(inner: Arc<Inner>, at: (Journal, Partition), woken: Arc<Notify>) {
    let (journal, partition) = at;
    let mut rest = REST_MIN;
    while let Some(next) = inner.next(at) {
        match inner.bus.tail(journal, partition, From::Sequence(next)).await {
            Ok(stored) => match stored.last().map(|last| last.sequence.saturating_add(1)) {
                Some(next) => {
                    inner.tell(at, next, stored.iter().filter_map(|stored| placed(journal, stored)).collect());
                    rest = REST_MIN;
                }
                None => rest = REST_MAX.min(rest.saturating_mul(3) / 2),
            },
            Err(error) => {
                tracing::debug!(%journal, %partition, %error, "cannot follow for now");
                rest = REST_MAX;
            }
        }
        if timeout(rest, woken.notified()).await.is_ok() {
            rest = REST_MIN;
        }
    }
}

/// An event as it stands in a journal; none, and a word in the log, where this release cannot read it.
pub(crate) fn placed(journal: Journal, stored: &Stored) -> Option<Placed> {
    let content_type = stored.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wire::CONTENT_TYPE)).map(|(_, value)| value.as_str());
    match wire::decode_recorded(journal, content_type, &stored.payload) {
        Ok(recorded) => Some((stored.sequence, recorded)),
        Err(error) => {
            tracing::warn!(%journal, sequence = stored.sequence, %error, "an event cannot be read here: upgrade the gateway");
            None
        }
    }
}

impl Followed {
    /// The next that is heard.
    pub async fn next(&mut self) -> Heard {
        match self.pages.recv().await {
            Ok(page) => Heard::Events(page),
            Err(broadcast::error::RecvError::Lagged(_)) => Heard::Missed,
            // The line ends once nobody follows it, and this one does.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
