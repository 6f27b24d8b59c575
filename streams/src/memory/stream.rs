//! One stream in memory: its messages, its limit, its consumers.

use crate::{Append, Appended, Delivery, Error, From, Kind, Look, MESSAGE_ID, Message, Offered, Reach, Reader, Stored, check, subject, table};
use schema::{Moment, Partition};
use std::collections::{BTreeMap, BTreeSet};

/// A stream.
pub(super) struct Log {
    table: &'static table::Stream,
    bytes_max: u64,
    bytes: u64,
    last: u64,
    pub messages: BTreeMap<u64, Stored>,
    partitions: BTreeMap<Partition, BTreeSet<u64>>,
    known: BTreeMap<String, (u64, Moment)>,
    pub consumers: BTreeMap<String, Consumer>,
}

/// A durable consumer.
pub(super) struct Consumer {
    pub reader: Reader,
    /// The first sequence that has not been looked at.
    next: u64,
    /// Handed out and not acked: when each comes again, and how often it was handed out.
    open: BTreeMap<u64, (Moment, u64)>,
    /// How many messages were handed out.
    handed: u64,
}

impl Log {
    pub fn new(table: &'static table::Stream, bytes_max: u64) -> Self {
        let (messages, partitions, known, consumers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { table, bytes_max, bytes: 0, last: 0, messages, partitions, known, consumers }
    }

    /// Stores a message under its subject, unless its id is known from the window.
    pub fn store(&mut self, message: Message, now: Moment) -> Result<Offered, Error> {
        let window = i64::try_from(table::DEDUPE_WINDOW.as_micros()).unwrap_or(i64::MAX);
        self.known.retain(|_, (_, at)| now.since(*at) < window);
        let id = message.headers.get(MESSAGE_ID).cloned();
        if let Some((sequence, _)) = id.as_ref().and_then(|id| self.known.get(id)) {
            return Ok(Offered { sequence: *sequence, is_known: true });
        }
        self.room_for(std::slice::from_ref(&message))?;
        let sequence = self.push(message, now);
        if let Some(id) = id {
            self.known.insert(id, (sequence, now));
        }
        Ok(Offered { sequence, is_known: false })
    }

    pub fn append(&mut self, append: Append, now: Moment) -> Result<Appended, Error> {
        let last = self.head(append.partition).map_or(0, |head| head.sequence);
        if last != append.expected {
            let doing = format!("append to {} partition {} after {}", append.journal, append.partition, append.expected);
            return Err(Error::caused(Kind::Stale, doing, format!("wrong last sequence: {last}")));
        }
        self.room_for(&append.messages)?;
        let last = append.messages.into_iter().map(|message| self.push(message, now)).last();
        Ok(Appended { last: last.expect("an append has messages") })
    }

    fn room_for(&self, messages: &[Message]) -> Result<(), Error> {
        let needed: u64 = messages.iter().map(size_of_message).sum();
        let full = || Error::caused(Kind::Full, format!("store {needed} bytes in {}", self.table.name), "maximum bytes exceeded");
        if self.bytes + needed > self.bytes_max { Err(full()) } else { Ok(()) }
    }

    fn push(&mut self, message: Message, time: Moment) -> u64 {
        self.last += 1;
        self.bytes += size_of_message(&message);
        let Message { subject, payload, headers } = message;
        if let Some(partition) = subject::partition_of_subject(self.table.name, &subject) {
            self.partitions.entry(partition).or_default().insert(self.last);
        }
        self.messages.insert(self.last, Stored { subject, sequence: self.last, time, payload, headers });
        self.last
    }

    fn remove(&mut self, sequence: u64) {
        let Some(stored) = self.messages.remove(&sequence) else { return };
        if let Some(sequences) = subject::partition_of_subject(self.table.name, &stored.subject).and_then(|p| self.partitions.get_mut(&p)) {
            sequences.remove(&sequence);
        }
        let Stored { subject, payload, headers, .. } = stored;
        self.bytes -= size_of_message(&Message { subject, payload, headers });
        // What is gone is not handed out again.
        self.consumers.values_mut().for_each(|consumer| consumer.ack(sequence));
    }

    /// What was acked: work is gone then.
    pub fn done(&mut self, sequence: u64) {
        if self.table.role == table::Role::Work {
            self.remove(sequence);
        }
    }

    pub fn head(&self, partition: Partition) -> Option<&Stored> {
        self.messages.get(self.partitions.get(&partition)?.last()?)
    }

    pub fn tail(&self, partition: Partition, from: From) -> Vec<Stored> {
        let sequence = if let From::Sequence(sequence) = from { sequence } else { 0 };
        let messages = self.of(partition, sequence);
        messages.filter(|stored| !matches!(from, From::Time(time) if stored.time < time)).cloned().collect()
    }

    pub fn scan(&self, partition: Partition, from: u64, most: usize) -> Vec<Stored> {
        self.of(partition, from).take(most).cloned().collect()
    }

    fn of(&self, partition: Partition, from: u64) -> impl Iterator<Item = &Stored> {
        let sequences = self.partitions.get(&partition).into_iter().flat_map(move |sequences| sequences.range(from..));
        sequences.filter_map(|sequence| self.messages.get(sequence))
    }

    pub fn look(&self, now: Moment) -> Look {
        let first = self.messages.keys().next().copied().unwrap_or(self.last + 1);
        Look { first: if self.last == 0 { 0 } else { first }, last: self.last, messages: self.messages.len() as u64, now }
    }

    pub fn trim(&mut self, partition: Partition, keep_from: u64) -> u64 {
        let Some(sequences) = self.partitions.get(&partition) else { return 0 };
        let keep_from = keep_from.min(sequences.last().copied().unwrap_or(0));
        let gone: Vec<u64> = sequences.range(..keep_from).copied().collect();
        for sequence in &gone {
            self.remove(*sequence);
        }
        gone.len() as u64
    }

    pub fn trim_all(&mut self, keep_from: u64) -> u64 {
        let gone: Vec<u64> = self.messages.range(..keep_from).map(|(sequence, _)| *sequence).collect();
        for sequence in &gone {
            self.remove(*sequence);
        }
        gone.len() as u64
    }

    /// Up to where each declared consumer has answered.
    pub fn floors(&self) -> Vec<(String, u64)> {
        let declared = self.consumers.iter().filter(|(durable, _)| table::owner_of(self.table.name, durable).is_some());
        declared.map(|(durable, consumer)| (durable.clone(), self.floor(consumer))).collect()
    }

    /// Up to where a consumer has acked everything.
    fn floor(&self, consumer: &Consumer) -> u64 {
        let open = consumer.open.keys().next().copied();
        let unseen = self.messages.range(consumer.next..).find(|(_, stored)| consumer.takes(&stored.subject)).map(|(sequence, _)| *sequence);
        open.into_iter().chain(unseen).min().map_or(self.last, |first| first - 1)
    }

    /// How far a consumer has come.
    pub fn reach(&self, consumer: &Consumer) -> Reach {
        Reach { acked: self.floor(consumer), handed: consumer.next.saturating_sub(1) }
    }

    /// Finds a consumer or makes it.
    pub fn declare(&mut self, reader: &Reader) -> Result<(), Error> {
        let made = || Consumer { reader: reader.clone(), next: 0, open: BTreeMap::new(), handed: 0 };
        let there = self.consumers.entry(reader.durable.clone()).or_insert_with(made);
        let differs =
            || Error::caused(Kind::NotProvisioned, format!("read {} as {}", reader.stream, reader.durable), "the consumer is not as declared");
        if there.reader == *reader { Ok(()) } else { Err(differs()) }
    }

    /// Hands out at most `most` messages: those whose time has come again first, then new ones. Where there are none: when the next comes again.
    pub fn hand_out(&mut self, durable: &str, most: usize, now: Moment) -> (Vec<Delivery>, Option<Moment>) {
        let consumer = self.consumers.get_mut(durable).expect("it was declared just before");
        let again: Vec<u64> = consumer.open.iter().filter(|(_, (due, _))| *due <= now).map(|(sequence, _)| *sequence).take(most).collect();
        let mut taken: Vec<u64> = again;
        while taken.len() < most && consumer.open.len() < consumer.reader.ack_pending_max {
            let Some((sequence, stored)) = self.messages.range(consumer.next..).next() else { break };
            consumer.next = sequence + 1;
            if consumer.takes(&stored.subject) {
                consumer.open.insert(*sequence, (now, 0));
                taken.push(*sequence);
            }
        }
        let due = super::later(now, consumer.reader.ack_wait);
        let deliveries = taken.into_iter().filter_map(|sequence| {
            let open = consumer.open.get_mut(&sequence)?;
            *open = (due, open.1 + 1);
            consumer.handed += 1;
            let (stream, deliveries, place) = (self.table.name.to_owned(), open.1, consumer.handed);
            Some(Delivery { stream, stored: self.messages.get(&sequence)?.clone(), deliveries, place, reply: format!("{durable}#{deliveries}") })
        });
        let deliveries = deliveries.collect();
        (deliveries, consumer.open.values().map(|(due, _)| *due).min())
    }
}

impl Consumer {
    fn takes(&self, subject: &str) -> bool {
        self.reader.filters.is_empty() || self.reader.filters.iter().any(|filter| subject::matches(filter, subject))
    }

    pub fn ack(&mut self, sequence: u64) {
        self.open.remove(&sequence);
    }

    /// Sets when the first open message comes again.
    pub fn first_again_at(&mut self, due: Moment) {
        if let Some(mut open) = self.open.first_entry() {
            open.get_mut().0 = due;
        }
    }

    /// Sets when an open message comes again, unless it was handed out anew meanwhile.
    pub fn again_at(&mut self, sequence: u64, deliveries: u64, due: Moment) {
        if let Some(open) = self.open.get_mut(&sequence).filter(|open| open.1 == deliveries) {
            open.0 = due;
        }
    }
}

/// What a message takes of the limit: roughly what a file store takes.
fn size_of_message(message: &Message) -> u64 {
    (check::bytes_of(message) + message.subject.len() + 30) as u64
}
