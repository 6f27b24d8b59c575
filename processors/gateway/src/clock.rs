//! The seam of waiting: the one place where the front doors and the loop look at a clock. It measures waits and gives neither a fact nor an event its time.
#![expect(clippy::disallowed_methods, reason = "this is the seam")]

use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Waits.
pub async fn wait(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits until an instant; for ever where there is none.
pub async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// An instant to measure waits from.
pub fn now() -> Instant {
    Instant::now()
}

/// Ticks, the first at once; one that is late does not bring the others nearer.
pub fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
