//! Whose a channel's calls are: one living replica makes them, without a coordinator.
//!
//! Invariants
//! 1. Each channel has one caller among the living   (`calls::tests::who_is_not_the_owner_stays_silent`).
//! 2. Two callers for a moment cost calls and nothing else: a number is refunded, opened and closed once at its channel.

use crate::clock;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use streams::{Beat, Bus};
use tokio::sync::watch;

/// What callers share.
pub const ROOM: &str = "caller";
/// How often a caller says that it lives and looks who else does.
const EVERY: Duration = Duration::from_secs(1);

/// The living callers, as one of them knows them.
pub struct Members {
    me: String,
    /// Our numbers at the channels: what is limited is limited by merchant.
    merchants: BTreeMap<&'static str, String>,
    alive: Mutex<Vec<String>>,
}

impl Members {
    /// As `me`, who does not know yet who lives, and so owns nothing.
    pub fn new(me: String, merchants: BTreeMap<&'static str, String>) -> Self {
        Self { me, merchants, alive: Mutex::default() }
    }

    /// Whether this replica makes a channel's calls.
    pub fn is_mine(&self, channel: &str) -> bool {
        let merchant = self.merchants.get(channel).map(String::as_str).unwrap_or_default();
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        streams::owner(&alive, &[ROOM, channel, merchant]) == Some(self.me.as_str())
    }

    fn beat(&self) -> Beat {
        Beat { room: ROOM.to_owned(), replica: self.me.clone() }
    }

    async fn look(&self, bus: &dyn Bus) -> Result<bool, streams::Error> {
        bus.beat(self.beat()).await?;
        let now = bus.members(ROOM).await?;
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *alive != now;
        *alive = now;
        Ok(changed)
    }

    /// Lives until `shutdown`, and then leaves, so that another takes over at once. Tells of each change of the living.
    pub async fn live(&self, bus: &dyn Bus, mut shutdown: watch::Receiver<bool>, changed: impl Fn()) {
        let mut beat = clock::every(EVERY);
        loop {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                _ = beat.tick() => {}
            }
            match self.look(bus).await {
                Ok(true) => changed(),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the living callers cannot be read: what is owned is kept"),
            }
        }
        if let Err(error) = bus.leave(self.beat()).await {
            tracing::warn!(%error, "could not say goodbye: the others notice when the last sign of life expires");
        }
    }
}
