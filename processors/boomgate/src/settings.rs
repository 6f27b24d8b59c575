//! The numbers of the loop.

use std::time::Duration;

/// What an operator may set of the loop; the defaults serve one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Partition groups: 1 on one machine, 16 at scale. A replica owns whole groups.
    pub groups: u8,
    /// The most inputs of one turn.
    pub batch_max: usize,
    /// The most inputs in the queues of one group; then nothing more is fetched.
    pub queue_max: usize,
    /// The most rows of one group that may wait to be saved; then nothing more is fetched.
    pub unsaved_max: usize,
    /// The most answers of a processor that stay in memory; the older ones are looked up by their rows.
    pub answers_max: usize,
    /// How long a decision waits for a fact of a vehicle.
    pub fact_wait: Duration,
    /// How often rows are saved behind the log. Saves are bursts of work beside the lanes' decisions: few rows often disturb those less than many at once.
    pub save_every: Duration,
    /// How long events stay in a journal below the mark.
    pub retention: Duration,
    /// Whether answered inputs stay in their inboxes, so that an auditor can read everything again.
    pub keep_inputs: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            groups: 1,
            batch_max: 128,
            queue_max: 2_048,
            unsaved_max: 200_000,
            answers_max: 32_768,
            fact_wait: Duration::from_millis(50),
            save_every: Duration::from_millis(100),
            retention: Duration::from_secs(24 * 60 * 60),
            keep_inputs: false,
        }
    }
}
