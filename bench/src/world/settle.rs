//! When the world may be left alone: all is answered, all that is due is paid, all that is to go back went back.
//!
//! Invariants
//! 1. Settled means that nothing is left that could still be answered   (`world::tests::a_world_settles_when_all_is_answered`).

use crate::{Logs, oracle};
use std::{fmt, sync::Arc, time::Duration};
use streams::Bus;
use tokio::time::Instant;

/// How often the logs are looked at.
const POLL: Duration = Duration::from_millis(250);

/// A system that did not come to rest in time.
#[derive(Debug)]
pub struct Unsettled {
    /// The logs as far as they go.
    pub logs: Logs,
    /// What is left.
    pub left: oracle::Left,
    /// The last error of the bus, if reading the logs failed.
    pub error: Option<streams::Error>,
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let oracle::Left { unanswered, unpaid, refunding } = self.left;
        write!(f, "the system did not come to rest: {unanswered} inputs without answer, {unpaid} orders unpaid, {refunding} refunds open")
    }
}

impl std::error::Error for Unsettled {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.as_ref().map(|error| error as _)
    }
}

/// Waits until nothing is left and nothing is under way, for at most `bound`; reads the logs on from where they are, and gives them.
pub async fn settle(bus: &Arc<dyn Bus>, mut logs: Logs, bound: Duration, under_way: impl Fn() -> u64) -> Result<Logs, Unsettled> {
    let end = Instant::now() + bound;
    let mut left = oracle::Left::default();
    let mut looked = false;
    let mut error = None;
    loop {
        match logs.read_on(bus.as_ref()).await {
            // Counting what is left costs more than reading what came, so it waits until nothing comes any more.
            Ok(0) if !looked => {
                left = oracle::left(&logs);
                looked = true;
            }
            Ok(0) => {}
            Ok(_) => looked = false,
            Err(failed) => {
                looked = false;
                error = Some(failed);
            }
        }
        if looked && !left.any() && under_way() == 0 {
            return Ok(logs);
        }
        if Instant::now() >= end {
            left = oracle::left(&logs);
            return Err(Unsettled { logs, left, error });
        }
        tokio::time::sleep(POLL).await;
    }
}
