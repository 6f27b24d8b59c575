//! Sends until it is acknowledged, as a device does that keeps its events.
//!
//! Invariants
//! 1. What was not acknowledged is sent again under the same message id   (`world::tests::what_is_not_acknowledged_is_sent_again`).

use super::Stats;
use std::{sync::Arc, time::Duration};
use streams::{Bus, Kind, Message};

/// How long a device waits for the acknowledgement.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// After how long it tries again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Stores a message; gives its sequence, or none where it will never be taken.
pub async fn send(bus: &Arc<dyn Bus>, stats: &Stats, message: Message) -> Option<u64> {
    stats.sent.add(1);
    stats.under_way.add(1);
    let sequence = loop {
        match tokio::time::timeout(ACK_WAIT, bus.publish(message.clone())).await {
            Ok(Ok(sequence)) => break Some(sequence),
            Ok(Err(error)) if matches!(error.kind, Kind::TooLarge | Kind::Malformed) => break None,
            Ok(Err(_)) | Err(_) => {
                stats.retried.add(1);
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    };
    stats.under_way.take(1);
    if sequence.is_some() { &stats.acked } else { &stats.rejected }.add(1);
    sequence
}
