//! The reference data in force, held by who decides and kept true by watching.
//!
//! Invariants
//! 1. A processor decides nothing before its first full read   (`tests::nobody_decides_before_the_first_full_read`).
//! 2. What is damaged changes nothing: the last good version stays in force, and log and metric say so   (`tests::what_is_damaged_is_refused`).
//! 3. A turn decides all of its inputs on one version   (`turn`, which asks once).

use super::layout::{self, CURRENT, Held};
use crate::clock;
use metrics::gauge;
use schema::Reference;
use std::{sync::Arc, time::Duration};
use streams::{Buckets, table::REFERENCE};
use tokio::sync::watch;

/// How long one watch lasts; after it the key is looked at anyway, for what a lost connection kept from being heard.
const WATCH: Duration = Duration::from_secs(5);
/// How long a broker that is away is left alone.
const AWAY: Duration = Duration::from_secs(1);

/// What is in force now. A clone sees the same.
#[derive(Clone, Debug)]
pub struct InForce(watch::Receiver<Arc<Reference>>);

impl InForce {
    /// What is in force now; it stays as it is for who holds it.
    pub fn now(&self) -> Arc<Reference> {
        self.0.borrow().clone()
    }
}

impl From<InForce> for watch::Receiver<Arc<Reference>> {
    /// For who knows nothing of buckets.
    fn from(InForce(held): InForce) -> Self {
        held
    }
}

impl From<Arc<Reference>> for InForce {
    /// What stays in force for ever: the demo's city, a replay's lots, a test's.
    fn from(reference: Arc<Reference>) -> Self {
        Self(watch::Sender::new(reference).subscribe())
    }
}

/// Waits for the first full read of the bucket, then goes on watching until `shutdown`. None where that comes first.
pub async fn follow(bus: Arc<dyn Buckets>, mut shutdown: watch::Receiver<bool>) -> Option<InForce> {
    let mut watcher = Watcher { bus, seen: 0 };
    let first = tokio::select! {
        biased;
        _ = shutdown.wait_for(|stop| *stop) => return None,
        first = watcher.first() => first,
    };
    let (in_force, held) = watch::channel(first);
    tokio::spawn(async move {
        let goes_on = async {
            loop {
                if let Some(next) = watcher.next().await {
                    in_force.send_replace(next);
                }
            }
        };
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = goes_on => {}
        }
    });
    Some(InForce(held))
}

struct Watcher {
    bus: Arc<dyn Buckets>,
    /// The revision that was looked at last, good or not.
    seen: u64,
}

impl Watcher {
    async fn first(&mut self) -> Arc<Reference> {
        let mut told = false;
        loop {
            // At a start all is read, whatever revision it has.
            match layout::read(&*self.bus).await {
                Ok(Held::Nothing) if told => {}
                Ok(Held::Nothing) => {
                    told = true;
                    tracing::warn!("no reference data was ever applied: nothing is decided before `boomgate reference apply FOLDER`");
                }
                Ok(held) => {
                    if let Some(reference) = self.take(held) {
                        return reference;
                    }
                }
                Err(error) => self.away(&error).await,
            }
            if let Some(reference) = self.next().await {
                return reference;
            }
        }
    }

    /// The next version, or none for a while.
    async fn next(&mut self) -> Option<Arc<Reference>> {
        let changed = match self.bus.change(REFERENCE, CURRENT, self.seen, WATCH).await {
            Ok(changed) => changed,
            Err(error) => {
                self.away(&error).await;
                None
            }
        };
        changed.as_ref()?;
        match layout::read(&*self.bus).await {
            Ok(held) => self.take(held),
            Err(error) => {
                self.away(&error).await;
                None
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and revisions are far below 2^52")]
    fn take(&mut self, held: Held) -> Option<Arc<Reference>> {
        self.seen = held.revision();
        gauge!("boomgate_reference_refused").set(if matches!(held, Held::Damaged { .. }) { 1.0 } else { 0.0 });
        match held {
            Held::Whole(version) => {
                gauge!("boomgate_reference_version").set(version.revision as f64);
                let lots = version.reference.lots().count();
                tracing::info!(revision = version.revision, version = version.version, lots, "reference data in force");
                Some(Arc::new(version.reference))
            }
            Held::Damaged { revision, why } => {
                tracing::error!(revision, why, "reference data is refused whole and changes nothing: apply it again");
                None
            }
            Held::Nothing => None,
        }
    }

    async fn away(&self, error: &streams::Error) {
        tracing::warn!(%error, "the reference data cannot be read now: it is tried again");
        clock::wait(AWAY).await;
    }
}
