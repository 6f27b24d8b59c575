//! An inlet: the messages of one reader in the order in which they were stored, whoever was handed the ones before.
//!
//! A broker hands a message out again when it was not acked in time. Until then it hands out younger ones, so whoever follows a replica that died, or a
//! connection that broke, would handle those first: a payment that failed before the payment. The broker numbers what it hands out, so a gap in those
//! numbers says that something is missing, and all that was handed out and is not acked is read from the stream before anything else goes on. What is read so is not acked: it is
//! answered, and acked when it is handed out again. Where nothing comes after a start or a failure, it is looked once for what another left unanswered.
//!
//! Invariants
//! 1. Whatever was stored before a message and is not acked comes before it   (`tests::what_another_was_handed_comes_first`, `simulation`).
//! 2. What another was handed does not wait until something comes behind it   (`tests::what_another_left_is_found`).
//! 3. What was handed out is neither lost nor passed by while what is missing cannot be read   (`tests::a_read_that_fails_is_made_again`).
//!
//! Not here: what is done with a message that comes twice (`turn`: its answer is known).

use std::{collections::BTreeSet, time::Duration};
use streams::{Bus, Delivery, Error, Intake, Reach, Reader, Stored};

/// How many messages are read at most to find what is missing. A partition that stops for hours keeps everything behind it unacked in the broker's books.
const MISSING_MAX: usize = 50_000;
/// How many are read at once.
const PAGE: usize = 2_000;

/// A message to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// It was handed to us, and wants an ack.
    Handed(Delivery),
    /// It was handed to somebody else, or got lost on its way to us.
    Missed(Stored),
}

impl Arrived {
    /// Its sequence in its stream.
    pub const fn sequence(&self) -> u64 {
        match self {
            Self::Handed(delivery) => delivery.stored.sequence,
            Self::Missed(stored) => stored.sequence,
        }
    }
}

/// One reader's messages.
pub struct Inlet {
    /// Which reader.
    pub reader: Reader,
    intake: Box<dyn Intake>,
    /// The number of the next handing-out, if nobody is handed anything but us; none while we have been handed nothing.
    next: Option<u64>,
    /// What was handed out and waits for what is missing before it.
    waiting: Vec<Delivery>,
    /// Whether it was looked, since nothing came or could come, for what is missing with nothing behind it.
    looked: bool,
}

impl Inlet {
    /// A reader's messages from here on.
    pub const fn new(reader: Reader, intake: Box<dyn Intake>) -> Self {
        Self { reader, intake, next: None, waiting: Vec::new(), looked: false }
    }

    /// Waits up to `wait` for the first message, then takes what else is there; what is missing before it comes first.
    pub async fn take(&mut self, bus: &dyn Bus, most: usize, wait: Duration) -> Result<Vec<Arrived>, Error> {
        if self.waiting.is_empty() {
            self.waiting = self.intake.fetch(most, wait).await.inspect_err(|_| self.looked = false)?;
        }
        if self.waiting.is_empty() {
            if !self.looked {
                let missed = missed(bus, &self.reader, &[]).await?;
                self.looked = true;
                return Ok(missed.into_iter().map(Arrived::Missed).collect());
            }
            return Ok(Vec::new());
        }
        let follows = |next: Option<u64>, delivery: &Delivery| next.filter(|next| *next == delivery.place).map(|next| next.saturating_add(1));
        let is_whole = self.waiting.iter().fold(self.next, follows).is_some();
        let missed = if is_whole { Vec::new() } else { missed(bus, &self.reader, &self.waiting).await? };
        self.next = self.waiting.iter().map(|delivery| delivery.place.saturating_add(1)).max();
        let mut all: Vec<Arrived> = missed.into_iter().map(Arrived::Missed).collect();
        all.extend(self.waiting.drain(..).map(Arrived::Handed));
        // What is handed out again comes where it stands, too.
        all.sort_by_key(Arrived::sequence);
        Ok(all)
    }

    /// Stops, and gives what was handed to us and has not been taken.
    pub async fn close(mut self) -> Vec<Delivery> {
        let mut left = std::mem::take(&mut self.waiting);
        left.extend(self.intake.drain().await.unwrap_or_default());
        left
    }
}

/// What was handed out to anybody and is not acked, beside what was handed to us now.
async fn missed(bus: &dyn Bus, reader: &Reader, handed: &[Delivery]) -> Result<Vec<Stored>, Error> {
    let here: BTreeSet<u64> = handed.iter().map(|delivery| delivery.stored.sequence).collect();
    let Reach { acked, handed } = bus.reach(reader).await?;
    let (from, newest) = (acked.saturating_add(1), handed.max(here.last().copied().unwrap_or(0)));
    let Reader { stream, durable, filters, .. } = reader;
    let all = [">".to_owned()];
    let mut missed = Vec::new();
    for subject in if filters.is_empty() { &all } else { filters.as_slice() } {
        let mut from = from;
        while from <= newest {
            let page = bus.scan_subject(stream, subject, from, PAGE).await?;
            let Some(last) = page.last().map(|stored| stored.sequence) else { break };
            from = last.saturating_add(1);
            missed.extend(page.into_iter().filter(|stored| stored.sequence <= newest && !here.contains(&stored.sequence)));
            if missed.len() > MISSING_MAX {
                let hint = "too much is not acked to be read again: what another was handed may be answered later than its turn";
                tracing::warn!(stream, durable, from, newest, hint);
                return Ok(Vec::new());
            }
        }
    }
    missed.sort_by_key(|stored| stored.sequence);
    Ok(missed)
}

#[cfg(test)]
mod tests;
