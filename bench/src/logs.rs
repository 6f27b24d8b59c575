//! The logs of a system, whole, as plain lists: what the oracle judges.
//!
//! Invariants
//! 1. Nothing is left out in silence: what cannot be read, or was trimmed before it was read, is named   (`tests::what_cannot_be_read_is_named`).
//!
//! Not here: what the logs should say (`oracle`).

use schema::{Inbox, Journal, Partition, Recorded, wire};
use std::{collections::BTreeMap, fmt};
use streams::{Bus, DeadLetter, Error, Stored};

/// How many messages are asked for at once.
const SCAN_MOST: usize = 1_000;

/// One event of a journal, with where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// What it says.
    pub recorded: Recorded,
}

impl Line {
    /// The partition that the subject names; none where it names none.
    pub fn partition(&self) -> Option<Partition> {
        partition_token(&self.subject, 2)
    }
}

/// A dead letter: which input it stands for, and why it died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// The stream of the input.
    pub stream: String,
    /// The input's sequence there; none where the letter does not tell.
    pub sequence: Option<u64>,
    /// Why, in words.
    pub reason: String,
}

/// Inboxes, journals and dead letters.
#[derive(Clone, Default)]
pub struct Logs {
    /// GATE, in order.
    pub gate: Vec<Stored>,
    /// DESK, in order.
    pub desk: Vec<Stored>,
    /// CHANNEL, in order.
    pub channel: Vec<Stored>,
    /// STATEMENT, in order.
    pub statement: Vec<Stored>,
    /// The journals, each in order.
    pub journals: BTreeMap<Journal, Vec<Line>>,
    /// DEAD, in order.
    pub dead: Vec<Dead>,
    /// What could not be read or is not there any more, in words.
    pub missing: Vec<String>,
    /// The next sequence to read, by stream.
    next: BTreeMap<String, u64>,
}

/// How much there is: the logs themselves are for the oracle, not for a terminal.
impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: BTreeMap<&str, usize> = self.journals.iter().map(|(journal, lines)| (journal.stream(), lines.len())).collect();
        write!(f, "Logs(GATE {}, CHANNEL {}, {lines:?}, DEAD {}, missing {:?})", self.gate.len(), self.channel.len(), self.dead.len(), self.missing)
    }
}

impl Logs {
    /// Reads everything.
    pub async fn read(bus: &dyn Bus) -> Result<Self, Error> {
        let mut logs = Self::default();
        logs.read_on(bus).await?;
        Ok(logs)
    }

    /// Reads what has come since; gives how many messages that was.
    ///
    /// Answers are read before what they answer, so that a system that runs on never seems to have answered what was not said.
    pub async fn read_on(&mut self, bus: &dyn Bus) -> Result<usize, Error> {
        let mut count = 0;
        for journal in Journal::ALL.iter().rev() {
            for stored in self.fresh(bus, journal.stream()).await? {
                count += 1;
                self.take_line(*journal, stored);
            }
        }
        for stored in self.fresh(bus, "DEAD").await? {
            count += 1;
            self.dead.push(dead(&stored));
        }
        for inbox in [Inbox::Statement, Inbox::Channel, Inbox::Desk, Inbox::Gate] {
            let fresh = self.fresh(bus, inbox.stream()).await?;
            count += fresh.len();
            let known = match inbox {
                Inbox::Statement => &mut self.statement,
                Inbox::Channel => &mut self.channel,
                Inbox::Desk => &mut self.desk,
                _ => &mut self.gate,
            };
            known.extend(fresh);
        }
        Ok(count)
    }

    /// The lines of a journal.
    pub fn journal(&self, journal: Journal) -> &[Line] {
        self.journals.get(&journal).map_or(&[], Vec::as_slice)
    }

    fn take_line(&mut self, journal: Journal, stored: Stored) {
        let content_type = stored.headers.get(wire::CONTENT_TYPE).map(String::as_str);
        match wire::decode_recorded(journal, content_type, &stored.payload) {
            Ok(recorded) => self.journals.entry(journal).or_default().push(Line { sequence: stored.sequence, subject: stored.subject, recorded }),
            Err(error) => self.missing.push(format!("{journal} {} cannot be read: {error}", stored.sequence)),
        }
    }

    async fn fresh(&mut self, bus: &dyn Bus, stream: &str) -> Result<Vec<Stored>, Error> {
        let next = self.next.entry(stream.into()).or_insert(1);
        let mut all = Vec::new();
        loop {
            let page = bus.scan(stream, *next, SCAN_MOST).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
            if *next == 1 && first.sequence > 1 {
                self.missing.push(format!("{stream} begins at {}: what was before has been trimmed and cannot be judged", first.sequence));
            }
            *next = last.sequence + 1;
            all.extend(page);
        }
        Ok(all)
    }
}

fn dead(stored: &Stored) -> Dead {
    let letter = DeadLetter::read(stored);
    Dead {
        stream: stored.subject.split('.').nth(1).unwrap_or_default().into(),
        sequence: letter.as_ref().map(|letter| letter.stored.sequence),
        reason: letter.map(|letter| letter.reason).unwrap_or_default(),
    }
}

/// The partition that the `at`-th token of a subject names.
pub(crate) fn partition_token(subject: &str, at: usize) -> Option<Partition> {
    subject.split('.').nth(at)?.parse().ok().filter(|partition| *partition < Partition::COUNT).map(Partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Moment;

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut logs = Logs::default();
        let stored = Stored { subject: "ORDER.44.7.priced".into(), sequence: 12, time: Moment(0), payload: "{}".into(), headers: BTreeMap::new() };
        logs.take_line(Journal::Order, stored);
        assert_eq!(logs.journal(Journal::Order), []);
        assert!(logs.missing[0].starts_with("ORDER 12 cannot be read: "), "{:?}", logs.missing);
    }
}
