//! Who was answered: the lines of a journal, gathered by what caused them.
//!
//! Invariants
//! 1. The events of one input stand together, counted from 0, and no input has two such groups   (`oracle::tests::each_mutation_is_found`).
//! 2. `at` grows from line to line within a partition   (`oracle::tests::each_mutation_is_found`).
//! 3. What another journal says is answered in the order in which it says it   (`oracle::tests::what_a_journal_says_is_answered_in_its_order`).

use super::Findings;
use crate::logs::{Line, Logs, partition_token};
use schema::{ChannelEvent, Credential, DeskEvent, Event, GateEvent, Inbox, Journal, Moment, Partition, StatementEvent, wire};
use std::collections::{BTreeMap, BTreeSet};
use streams::Stored;

/// The events of one input.
#[derive(Debug)]
pub struct Group<'a> {
    /// The inbox of the input.
    pub inbox: Inbox,
    /// Its sequence there.
    pub sequence: u64,
    /// Its key there.
    pub event: &'a str,
    /// What it became, in order.
    pub lines: Vec<&'a Line>,
}

impl Group<'_> {
    /// How it is named in a difference.
    pub fn name(&self, journal: Journal) -> String {
        let first = self.lines.first().map_or(0, |line| line.sequence);
        format!("{journal} {first} (answers {} {} {})", self.inbox.stream(), self.sequence, self.event)
    }
}

/// The groups of a journal, by partition, in the order in which they stand.
pub type Groups<'a> = BTreeMap<Partition, Vec<Group<'a>>>;

/// Gathers a journal's lines; says what is out of order.
pub fn gather<'a>(journal: Journal, lines: &'a [Line], findings: &mut Findings) -> Groups<'a> {
    let mut groups: Groups<'a> = BTreeMap::new();
    let mut last_at: BTreeMap<Partition, Moment> = BTreeMap::new();
    let mut seen: BTreeSet<(Partition, Inbox, &str)> = BTreeSet::new();
    let mut heard: BTreeMap<(Partition, Inbox), u64> = BTreeMap::new();
    for line in lines {
        let Some(partition) = line.partition() else {
            findings.found(format!("{journal} {}: subject {} names no partition", line.sequence, line.subject));
            continue;
        };
        let cause = &line.recorded.cause;
        if last_at.insert(partition, line.recorded.at).is_some_and(|last| last >= line.recorded.at) {
            findings.found(format!("{journal} {}: its time is not after that of the line before it in partition {partition}", line.sequence));
        }
        if line.subject.rsplit('.').next() != Some(line.recorded.event.kind()) {
            findings.found(format!("{journal} {}: subject {} does not name a {}", line.sequence, line.subject, line.recorded.event.kind()));
        }
        let groups = groups.entry(partition).or_default();
        match groups.last_mut() {
            Some(group) if (group.inbox, group.sequence, group.event) == (cause.inbox, cause.sequence, &*cause.event) && cause.index > 0 => {
                if usize::from(cause.index) != group.lines.len() {
                    findings.found(format!(
                        "{journal} {}: index {} follows {} events of the same cause",
                        line.sequence,
                        cause.index,
                        group.lines.len()
                    ));
                }
                group.lines.push(line);
            }
            _ => {
                if cause.index != 0 {
                    findings.found(format!(
                        "{journal} {}: index {} begins the events of {} {}",
                        line.sequence,
                        cause.index,
                        cause.inbox.stream(),
                        cause.event
                    ));
                }
                if cause.inbox != Inbox::Tick && !seen.insert((partition, cause.inbox, &cause.event)) {
                    findings.found_double(format!("{journal} {}: {} {} is answered a second time", line.sequence, cause.inbox.stream(), cause.event));
                }
                if matches!(cause.inbox, Inbox::Session | Inbox::Order | Inbox::Payment | Inbox::Recon) {
                    let newest = heard.entry((partition, cause.inbox)).or_default();
                    if cause.sequence < *newest {
                        let (inbox, sequence) = (cause.inbox.stream(), cause.sequence);
                        findings.found(format!("{journal} {}: {inbox} {sequence} is answered after {inbox} {newest}", line.sequence));
                    }
                    *newest = cause.sequence.max(*newest);
                }
                groups.push(Group { inbox: cause.inbox, sequence: cause.sequence, event: &cause.event, lines: vec![line] });
            }
        }
    }
    groups
}

/// A message of an inbox, read: its key and itself, or why it can only be a dead letter.
pub type Read<E> = Result<(Partition, String, E), String>;

fn content_type(stored: &Stored) -> Option<&str> {
    stored.headers.get(wire::CONTENT_TYPE).map(String::as_str)
}

/// Reads a message of GATE as the contract of that inbox says.
pub fn read_gate(stored: &Stored) -> Read<GateEvent> {
    let mut event: GateEvent = wire::decode(content_type(stored), &stored.payload).map_err(|error| error.to_string())?;
    let tokens: Vec<&str> = stored.subject.split('.').skip(2).collect();
    if tokens != [event.lot.as_str(), event.lane.as_str(), event.kind.as_str()] {
        return Err(format!("the payload contradicts its subject {}", stored.subject));
    }
    if !(1..=Credential::TEXT_MAX).contains(&event.credential.text.chars().count()) {
        return Err("the credential's text is empty or too long".into());
    }
    event.credential = event.credential.identity();
    Ok((Partition::of_lot(event.lot.as_str()), event.key(), event))
}

/// Reads a message of DESK as the contract of that inbox says.
pub fn read_desk(stored: &Stored) -> Read<DeskEvent> {
    let event: DeskEvent = wire::decode(content_type(stored), &stored.payload).map_err(|error| error.to_string())?;
    let tokens: Vec<&str> = stored.subject.split('.').skip(2).collect();
    if tokens != [event.lot.as_str(), event.says.kind()] {
        return Err(format!("the payload contradicts its subject {}", stored.subject));
    }
    let event = event.checked()?;
    Ok((Partition::of_lot(event.lot.as_str()), event.key(), event))
}

/// Reads a message of CHANNEL as the contract of that inbox says.
pub fn read_channel(stored: &Stored) -> Read<ChannelEvent> {
    let event: ChannelEvent = wire::decode(content_type(stored), &stored.payload).map_err(|error| error.to_string())?;
    let subject = event.subject().ok_or("its order is no number of ours")?;
    if subject != stored.subject {
        return Err(format!("the payload contradicts its subject {}", stored.subject));
    }
    let partition = partition_token(&subject, 1).ok_or("its subject names no partition")?;
    let key = event.key();
    // Nothing was paid after the broker heard of it.
    Ok((partition, key, ChannelEvent { happened_at: event.happened_at.min(stored.time), ..event }))
}

/// Reads a message of STATEMENT as the contract of that inbox says.
pub fn read_statement(stored: &Stored) -> Read<StatementEvent> {
    let event: StatementEvent = wire::decode(content_type(stored), &stored.payload).map_err(|error| error.to_string())?;
    let event = event.checked()?;
    if event.subject() != stored.subject {
        return Err(format!("the payload contradicts its subject {}", stored.subject));
    }
    Ok((event.piece.partition, event.key(), event))
}

/// Everything that can be an input, by sequence.
pub struct Inputs<'a> {
    /// GATE: when it was stored, and what it says.
    pub gate: BTreeMap<u64, (Moment, Read<GateEvent>)>,
    /// DESK: when it was stored, and what it says.
    pub desk: BTreeMap<u64, (Moment, Read<DeskEvent>)>,
    /// CHANNEL.
    pub channel: BTreeMap<u64, Read<ChannelEvent>>,
    /// STATEMENT: when it was stored, and what it says.
    pub statement: BTreeMap<u64, (Moment, Read<StatementEvent>)>,
    /// The journals.
    pub lines: BTreeMap<(Inbox, u64), &'a Line>,
    last: BTreeMap<Inbox, u64>,
}

impl<'a> Inputs<'a> {
    /// All inputs of these logs.
    pub fn of(logs: &'a Logs) -> Self {
        let (gate, desk, channel, statement) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut inputs = Self { gate, desk, channel, statement, lines: BTreeMap::new(), last: BTreeMap::new() };
        for stored in &logs.gate {
            inputs.gate.insert(stored.sequence, (stored.time, read_gate(stored)));
            inputs.last.insert(Inbox::Gate, stored.sequence);
        }
        for stored in &logs.desk {
            inputs.desk.insert(stored.sequence, (stored.time, read_desk(stored)));
            inputs.last.insert(Inbox::Desk, stored.sequence);
        }
        for stored in &logs.channel {
            inputs.channel.insert(stored.sequence, read_channel(stored));
            inputs.last.insert(Inbox::Channel, stored.sequence);
        }
        for stored in &logs.statement {
            inputs.statement.insert(stored.sequence, (stored.time, read_statement(stored)));
            inputs.last.insert(Inbox::Statement, stored.sequence);
        }
        let heard =
            [(Journal::Session, Inbox::Session), (Journal::Order, Inbox::Order), (Journal::Payment, Inbox::Payment), (Journal::Recon, Inbox::Recon)];
        for (journal, inbox) in heard {
            for line in logs.journal(journal) {
                inputs.lines.insert((inbox, line.sequence), line);
                inputs.last.insert(inbox, line.sequence);
            }
        }
        inputs
    }

    /// Whether an input was stored after these logs were read.
    pub fn is_later(&self, group: &Group) -> bool {
        group.inbox != Inbox::Tick && group.sequence > self.last.get(&group.inbox).copied().unwrap_or(0)
    }

    /// The line of a journal that a group answers, if it is there under the key and in the partition that the group names.
    pub fn line(&self, group: &Group, partition: Partition) -> Option<&'a Line> {
        let line = self.lines.get(&(group.inbox, group.sequence))?;
        let same = line.recorded.at.0.to_string() == group.event && line.partition() == Some(partition);
        same.then_some(line)
    }

    /// Its event.
    pub fn event(&self, group: &Group, partition: Partition) -> Option<&'a Event> {
        self.line(group, partition).map(|line| &line.recorded.event)
    }
}
