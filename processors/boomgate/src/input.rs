//! Reading: a delivery becomes an input, or it is said why it cannot.
//!
//! Invariants
//! 1. A subject that contradicts its payload is not believed   (`tests::a_subject_that_contradicts_its_payload_is_a_dead_letter`).
//! 2. Whatever bytes come, reading ends with an input or a reason   (`tests::any_bytes_end_with_an_input_or_a_reason`).
//!
//! Not here: what is done with either (`turn`).

use crate::facts::Asked;
use rules::{Body, Input};
use schema::{ChannelEvent, ChannelFact, DeskEvent, GateEvent, Inbox, Journal, Moment, Partition, StatementEvent, wire};
use std::sync::Arc;
use streams::{Delivery, Stored};

/// Something in a partition's queue.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where it came from; none for a tick.
    pub delivery: Option<Box<Delivery>>,
    /// What it says.
    pub read: Read,
    /// How often its append was refused for a reason of its own.
    pub tries: u32,
    /// What was asked of its vehicle while it waited for its turn.
    pub asked: Vec<Arc<Asked>>,
}

/// What a delivery says.
#[derive(Clone, Debug)]
pub enum Read {
    /// An input.
    Input(Box<Input>),
    /// Nothing that can be answered: it is to become a dead letter.
    Unreadable {
        /// The partition that its subject names.
        partition: Partition,
        /// Why.
        reason: String,
    },
    /// An event of a journal that this release cannot read: the partition stops here until a newer one runs.
    Stopped(String),
}

impl Item {
    /// The input, if it is one.
    pub fn input(&self) -> Option<&Input> {
        match &self.read {
            Read::Input(input) => Some(input),
            Read::Unreadable { .. } | Read::Stopped(_) => None,
        }
    }

    /// What is to be acked; none for a tick.
    pub fn delivery(&self) -> Option<&Delivery> {
        self.delivery.as_deref()
    }

    /// Which message this is: stream and sequence.
    pub fn message(&self) -> Option<(String, u64)> {
        self.delivery.as_ref().map(|delivery| (delivery.stream.clone(), delivery.stored.sequence))
    }
}

/// Reads a delivery: its partition and what it says. A subject that names no partition gives the delivery back.
pub fn read(delivery: Delivery) -> Result<(Partition, Item), Box<Delivery>> {
    let Some(partition) = streams::subject::partition_of_subject(&delivery.stream, &delivery.stored.subject) else {
        return Err(Box::new(delivery));
    };
    let read = match Journal::ALL.into_iter().find(|journal| journal.stream() == delivery.stream) {
        Some(journal) => match recorded(journal, &delivery.stored) {
            Ok(input) => Read::Input(Box::new(input)),
            Err(error) => Read::Stopped(format!("{} {}: {error}", delivery.stream, delivery.stored.sequence)),
        },
        None => match inbox(&delivery, partition) {
            Ok(input) => Read::Input(Box::new(input)),
            Err(reason) => Read::Unreadable { partition, reason },
        },
    };
    Ok((partition, Item { delivery: Some(Box::new(delivery)), read, tries: 0, asked: Vec::new() }))
}

/// Reads a message that was not handed to us: it is answered, and acked when it is.
pub fn read_missed(stream: &str, stored: Stored) -> Option<(Partition, Item)> {
    let (stream, reply) = (stream.to_owned(), String::new());
    let (partition, item) = read(Delivery { stream, stored, deliveries: 0, place: 0, reply }).ok()?;
    Some((partition, Item { delivery: None, ..item }))
}

/// The item of a tick for an entity.
pub fn tick(key: schema::Key, now: Moment) -> Item {
    let input = Input { inbox: Inbox::Tick, sequence: 0, key: "".into(), time: now, received_at: now, body: Body::Tick(key) };
    Item { delivery: None, read: Read::Input(Box::new(input)), tries: 0, asked: Vec::new() }
}

fn recorded(journal: Journal, stored: &Stored) -> Result<Input, wire::Error> {
    let recorded = wire::decode_recorded(journal, content_type(stored), &stored.payload)?;
    let inbox = match journal {
        Journal::Session => Inbox::Session,
        Journal::Order => Inbox::Order,
        Journal::Recon => Inbox::Recon,
        // Nobody reads the last one.
        Journal::Payment | Journal::Ledger => Inbox::Payment,
    };
    let (key, time) = (recorded.at.0.to_string().into(), recorded.at);
    Ok(Input { inbox, sequence: stored.sequence, key, time, received_at: stored.time, body: Body::Journal(Box::new(recorded)) })
}

fn inbox(delivery: &Delivery, partition: Partition) -> Result<Input, String> {
    let stored = &delivery.stored;
    if stored.payload.len() > wire::INBOX_BYTES_MAX {
        return Err(format!("{} bytes: an inbox takes {}", stored.payload.len(), wire::INBOX_BYTES_MAX));
    }
    let (inbox, key, time, body) = match delivery.stream.as_str() {
        "GATE" => {
            let mut event: GateEvent = wire::decode(content_type(stored), &stored.payload).map_err(|error| error.to_string())?;
            gate(&event, &stored.subject)?;
            event.credential = event.credential.identity();
            (Inbox::Gate, event.key(), event.seen_at, Body::Gate(event))
        }
        "DESK" => {
            let event: DeskEvent = wire::decode(content_type(stored), &stored.payload).map_err(|error| error.to_string())?;
            let said = event.subject();
            if stored.subject.splitn(3, '.').nth(2) != said.split_once('.').map(|(_, rest)| rest) {
                return Err(format!("the subject {:?} contradicts the payload, which belongs to {said:?}", stored.subject));
            }
            let event = event.checked()?;
            (Inbox::Desk, event.key(), event.said_at, Body::Desk(Box::new(event)))
        }
        "CHANNEL" => {
            let event: ChannelEvent = wire::decode(content_type(stored), &stored.payload).map_err(|error| error.to_string())?;
            channel(&event, &stored.subject, partition)?;
            (Inbox::Channel, event.key(), event.happened_at, Body::Channel(event))
        }
        "STATEMENT" => {
            let event: StatementEvent = wire::decode(content_type(stored), &stored.payload).map_err(|error| error.to_string())?;
            let event = event.checked()?;
            if event.piece.partition != partition || event.subject() != stored.subject {
                return Err(format!("the subject {:?} contradicts the payload, which belongs to {:?}", stored.subject, event.subject()));
            }
            (Inbox::Statement, event.key(), event.time(), Body::Statement(Box::new(event)))
        }
        other => return Err(format!("no processor reads the stream {other}")),
    };
    Ok(Input { inbox, sequence: stored.sequence, key: key.into(), time, received_at: stored.time, body })
}

/// The subject is what the device was allowed to publish: the payload may not say anything else.
fn gate(event: &GateEvent, subject: &str) -> Result<(), String> {
    let said = format!("{}.{}.{}", event.lot, event.lane, event.kind.as_str());
    if subject.splitn(3, '.').nth(2) != Some(said.as_str()) {
        return Err(format!(
            "the subject {subject:?} contradicts the payload, which says {said:?}: publish on gate.<lot>.<lane>.<kind> of the payload"
        ));
    }
    event.credential.check()?;
    if event.seen_at.0 < 0 {
        return Err("seen_at is before 1970: it is microseconds since then, in UTC".into());
    }
    Ok(())
}

fn channel(event: &ChannelEvent, subject: &str, partition: Partition) -> Result<(), String> {
    let about = event.about().ok_or("what it is about is no number of ours")?;
    let place = schema::id::place(about.as_str()).ok_or("what it is about is no id of ours")?;
    let named = event.channel.parse::<schema::Token<32>>().is_ok();
    if place.partition != partition || !named || event.subject().as_deref() != Some(subject) {
        return Err(format!("the subject {subject:?} contradicts the payload, which belongs to {:?}", event.subject()));
    }
    match &event.fact {
        ChannelFact::Imported { number, .. } if number.is_empty() || number.len() > 64 => {
            Err(format!("the number has {} bytes: it needs 1 to 64", number.len()))
        }
        ChannelFact::Succeeded { amount, transaction, .. }
        | ChannelFact::Imported { amount, transaction, .. }
        | ChannelFact::Accepted { amount, transaction, .. }
        | ChannelFact::Failed { amount, transaction, .. } => {
            if amount.minor <= 0 {
                return Err(format!("captured {amount}: a success is above zero"));
            }
            if transaction.is_empty() || transaction.len() > 64 {
                return Err(format!("the transaction has {} bytes: it needs 1 to 64", transaction.len()));
            }
            Ok(())
        }
        ChannelFact::CallAnswered { code: Some(code), .. } if code.len() > 512 => Err(format!("the code has {} bytes: at most 512", code.len())),
        ChannelFact::Parked { parking: Some(parking), .. } if parking.is_empty() || parking.len() > 64 => {
            Err(format!("the number of the stay has {} bytes: it needs 1 to 64", parking.len()))
        }
        ChannelFact::RefundAnswered { .. } | ChannelFact::CallAnswered { .. } | ChannelFact::Parked { .. } => Ok(()),
    }
}

/// The format that a message declares.
pub fn content_type(stored: &Stored) -> Option<&str> {
    stored.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wire::CONTENT_TYPE)).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests;
