//! The Bus in memory, for tests and simulation: the same promises, and the same bytes for the same seed.
//!
//! Invariants
//! 1. The suite of the port holds   (`conformance::memory`).
//! 2. Nothing here is random, and nothing depends on the order of a hash map   (`tests::the_same_calls_give_the_same_bytes`).
//! 3. Time is the runtime's: a paused clock pauses it   (`conformance::memory`, which runs with a paused clock).
//!
//! Not here: faults. Whoever simulates wraps this Bus and breaks its calls.

mod bucket;
mod stream;

use crate::{
    Answer, Append, Appended, BEAT_TTL, Beat, Bus, DeadLetter, Delivery, Error, From, Intake, Kind, Listening, Look, Message, Offered, Reach, Reader,
    Stored, Told, check, subject,
    table::{self, Declared, Role},
};
use futures_util::{FutureExt, future::BoxFuture};
use schema::{Journal, Moment, Partition};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use stream::Log;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, timeout_at},
};

/// A broker in memory; a clone is another connection to it.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    base: Moment,
    start: Instant,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    logs: BTreeMap<&'static str, Log>,
    beats: BTreeMap<Beat, Moment>,
    shelves: BTreeMap<&'static str, bucket::Shelf>,
    ears: Vec<(String, mpsc::UnboundedSender<Told>)>,
}

impl State {
    fn log(&mut self, stream: &str) -> Result<&mut Log, Error> {
        self.logs.get_mut(stream).ok_or_else(|| Error::new(Kind::NotProvisioned, format!("use the stream {stream}")))
    }
}

impl Memory {
    /// An empty broker whose time is `base` now.
    pub fn new(base: Moment) -> Self {
        Self::declared(base, &Declared::default())
    }

    /// The same with limits of one's own.
    pub fn declared(base: Moment, declared: &Declared) -> Self {
        let logs = table::STREAMS.iter().map(|stream| (stream.name, Log::new(stream, stream.bytes_max(declared)))).collect();
        let state = Mutex::new(State { logs, beats: BTreeMap::new(), shelves: bucket::shelves(declared), ears: Vec::new() });
        Self(Arc::new(Inner { base, start: instant(), state, changed: Notify::new() }))
    }

    /// The broker's time.
    pub fn now(&self) -> Moment {
        let passed = instant().duration_since(self.0.start);
        self.0.base.plus(i64::try_from(passed.as_micros()).unwrap_or(i64::MAX))
    }

    /// As after a start of a broker: it looks sooner at what was handed out and not acked, and hands the first of each consumer out again.
    pub fn restarted(&self) {
        let now = self.now();
        for consumer in self.state().logs.values_mut().flat_map(|log| log.consumers.values_mut()) {
            consumer.first_again_at(now);
        }
        self.0.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no call panics while it holds the state")
    }

    /// Works on a stream and wakes whoever waits for a change.
    fn on<T>(&self, stream: &str, work: impl FnOnce(&mut Log, Moment) -> Result<T, Error>) -> Result<T, Error> {
        let done = work(self.state().log(stream)?, self.now());
        self.0.changed.notify_waiters();
        done
    }

    /// Reads a stream.
    fn read<T>(&self, stream: &str, work: impl FnOnce(&Log) -> T) -> Result<T, Error> {
        self.state().log(stream).map(|log| work(log))
    }

    fn settle(&self, delivery: &Delivery, settle: impl FnOnce(&mut stream::Consumer, u64, u64, Moment)) -> Result<(), Error> {
        // An ack of a delivery that is past means nothing; the message was handed out anew, to whom must ack it himself.
        let (durable, count) = delivery.reply.rsplit_once('#').unwrap_or((&delivery.reply, ""));
        let count = count.parse().unwrap_or(0);
        self.on(&delivery.stream, |log, now| {
            if let Some(consumer) = log.consumers.get_mut(durable) {
                settle(consumer, delivery.stored.sequence, count, now);
            }
            Ok(())
        })
    }
}

/// The answer to a call that has nothing to wait for. The work is done when the answer is first asked for, as with a real broker.
fn soon<'a, T: Send + 'a>(work: impl FnOnce() -> Result<T, Error> + Send + 'a) -> Answer<'a, T> {
    async move { work() }.boxed()
}

impl Bus for Memory {
    fn offer(&self, message: Message) -> Answer<'_, Offered> {
        soon(move || {
            let (stream, stored) = check::publishable(&message)?;
            self.on(stream.name, |log, now| log.store(Message { subject: stored, ..message }, now))
        })
    }

    fn consume(&self, reader: Reader) -> Answer<'_, Box<dyn Intake>> {
        soon(move || {
            self.on(&reader.stream, |log, _| log.declare(&reader))?;
            Ok(Box::new(Pull { bus: self.clone(), reader }) as Box<dyn Intake>)
        })
    }

    fn reach<'a>(&'a self, reader: &'a Reader) -> Answer<'a, Reach> {
        soon(move || {
            let reach = self.read(&reader.stream, |log| log.consumers.get(&reader.durable).map(|consumer| log.reach(consumer)))?;
            reach.ok_or_else(|| Error::new(Kind::NotProvisioned, format!("find out how far {} has come in {}", reader.durable, reader.stream)))
        })
    }

    fn ack<'a>(&'a self, delivery: &'a Delivery) -> Answer<'a, ()> {
        soon(move || {
            self.settle(delivery, |consumer, sequence, _, _| consumer.ack(sequence))?;
            self.on(&delivery.stream, |log, _| {
                log.done(delivery.stored.sequence);
                Ok(())
            })
        })
    }

    fn nak<'a>(&'a self, delivery: &'a Delivery, delay: Duration) -> Answer<'a, ()> {
        soon(move || self.settle(delivery, |consumer, sequence, count, now| consumer.again_at(sequence, count, later(now, delay))))
    }

    fn progress<'a>(&'a self, delivery: &'a Delivery) -> Answer<'a, ()> {
        soon(move || self.settle(delivery, |consumer, sequence, count, now| consumer.again_at(sequence, count, later(now, consumer.reader.ack_wait))))
    }

    fn batch_from(&self) -> usize {
        2
    }

    fn append(&self, append: Append) -> Answer<'_, Appended> {
        soon(move || {
            check::appendable(&append)?;
            self.on(append.journal.stream(), |log, now| log.append(append, now))
        })
    }

    fn head(&self, journal: Journal, partition: Partition) -> Answer<'_, Option<Stored>> {
        soon(move || self.read(journal.stream(), |log| log.head(partition).cloned()))
    }

    fn tail(&self, journal: Journal, partition: Partition, from: From) -> Answer<'_, Vec<Stored>> {
        soon(move || self.read(journal.stream(), |log| log.tail(partition, from)))
    }

    fn scan<'a>(&'a self, stream: &'a str, from: u64, most: usize) -> Answer<'a, Vec<Stored>> {
        soon(move || self.read(stream, |log| log.messages.range(from..).take(most).map(|(_, stored)| stored.clone()).collect()))
    }

    fn scan_subject<'a>(&'a self, stream: &'a str, subject: &'a str, from: u64, most: usize) -> Answer<'a, Vec<Stored>> {
        soon(move || {
            self.read(stream, |log| {
                let messages = log.messages.range(from..).map(|(_, stored)| stored);
                messages.filter(|stored| subject::matches(subject, &stored.subject)).take(most).cloned().collect()
            })
        })
    }

    fn scan_partition<'a>(&'a self, stream: &'a str, partition: Partition, from: u64, most: usize) -> Answer<'a, Vec<Stored>> {
        soon(move || self.read(stream, |log| log.scan(partition, from, most)))
    }

    fn look<'a>(&'a self, stream: &'a str) -> Answer<'a, Look> {
        soon(move || self.read(stream, |log| log.look(self.now())))
    }

    fn dead_letter(&self, letter: DeadLetter) -> Answer<'_, u64> {
        soon(move || self.on("DEAD", |log, now| log.store(letter.message(), now).map(|offered| offered.sequence)))
    }

    fn trim(&self, journal: Journal, partition: Partition, keep_from: u64) -> Answer<'_, u64> {
        soon(move || {
            let stream = journal.stream();
            self.on(stream, |log, _| {
                // What a processor has not answered yet is its input still, however old it is.
                let answered = if table::readers_of(stream).next().is_some() { answered(stream, log)? } else { u64::MAX };
                Ok(log.trim(partition, keep_from.min(answered.saturating_add(1))))
            })
        })
    }

    fn trim_answered<'a>(&'a self, stream: &'a str) -> Answer<'a, u64> {
        soon(move || {
            if table::stream(stream).is_none_or(|table| table.role != Role::Inbox) {
                return Err(Error::caused(Kind::Malformed, format!("trim {stream}"), "only an inbox is trimmed by what is answered"));
            }
            self.on(stream, |log, _| {
                let answered = answered(stream, log)?;
                Ok(log.trim_all(answered + 1))
            })
        })
    }

    fn tell(&self, told: Told) -> Answer<'_, ()> {
        soon(move || {
            self.state().ears.retain(|(filter, ear)| !subject::matches(filter, &told.subject) || ear.send(told.clone()).is_ok());
            Ok(())
        })
    }

    fn listen<'a>(&'a self, subject: &'a str) -> Answer<'a, Box<dyn Listening>> {
        soon(move || {
            let (ear, heard) = mpsc::unbounded_channel();
            self.state().ears.push((subject.to_owned(), ear));
            Ok(Box::new(Ear(heard)) as Box<dyn Listening>)
        })
    }

    fn beat(&self, beat: Beat) -> Answer<'_, ()> {
        soon(move || {
            check::nameable(&beat)?;
            let until = later(self.now(), BEAT_TTL);
            self.state().beats.insert(beat, until);
            Ok(())
        })
    }

    fn leave(&self, beat: Beat) -> Answer<'_, ()> {
        soon(move || {
            check::nameable(&beat)?;
            self.state().beats.remove(&beat);
            Ok(())
        })
    }

    fn members<'a>(&'a self, room: &'a str) -> Answer<'a, Vec<String>> {
        soon(move || {
            let now = self.now();
            let mut state = self.state();
            state.beats.retain(|_, until| now < *until);
            Ok(state.beats.keys().filter(|beat| beat.room == room).map(|beat| beat.replica.clone()).collect())
        })
    }
}

/// Up to which sequence every declared consumer of a stream has acked.
fn answered(stream: &str, log: &Log) -> Result<u64, Error> {
    table::answered(stream, &log.floors()).map_err(|missing| {
        let why = format!("{missing} has no complete set of consumers, so nobody knows what it has answered");
        Error::caused(Kind::NotProvisioned, format!("find out what of {stream} is answered"), why)
    })
}

fn later(moment: Moment, by: Duration) -> Moment {
    moment.plus(i64::try_from(by.as_micros()).unwrap_or(i64::MAX))
}

struct Pull {
    bus: Memory,
    reader: Reader,
}

impl Pull {
    async fn fetch_within(&mut self, most: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        let deadline = instant() + wait;
        loop {
            let bus = self.bus.clone();
            // Registered before the look, so that no change falls between the two.
            let mut changed = std::pin::pin!(bus.0.changed.notified());
            changed.as_mut().enable();
            let (taken, due) = {
                let now = bus.now();
                let mut state = bus.state();
                let log = state.logs.get_mut(self.reader.stream.as_str()).expect("it was there when this was opened, and no stream is removed");
                log.declare(&self.reader)?;
                log.hand_out(&self.reader.durable, most, now)
            };
            if !taken.is_empty() || instant() >= deadline {
                return Ok(taken);
            }
            let until = due.map_or(deadline, |due| {
                // Clocks of the runtime tick in milliseconds; a wake before the time would spin.
                let micros = u64::try_from(due.since(bus.0.base)).unwrap_or(0);
                deadline.min(bus.0.start + Duration::from_micros(micros))
            });
            let _woken = timeout_at(until, changed).await;
        }
    }
}

impl Intake for Pull {
    fn fetch(&mut self, most: usize, wait: Duration) -> Answer<'_, Vec<Delivery>> {
        self.fetch_within(most.max(1), wait).boxed()
    }

    fn drain(&mut self) -> Answer<'_, Vec<Delivery>> {
        // Nothing is handed out ahead of a fetch.
        async { Ok(Vec::new()) }.boxed()
    }
}

struct Ear(mpsc::UnboundedReceiver<Told>);

impl Listening for Ear {
    fn next(&mut self) -> BoxFuture<'_, Option<Told>> {
        self.0.recv().boxed()
    }
}

#[expect(clippy::disallowed_methods, reason = "the runtime's clock is this broker's clock; a simulation pauses it")]
fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::id::Province;

    #[tokio::test(start_paused = true)]
    async fn the_same_calls_give_the_same_bytes() {
        async fn run() -> String {
            let bus = Memory::new(Moment(1_000_000));
            let mut appended = Vec::new();
            for step in 0..20_u64 {
                let subject = subject::journal_subject(Journal::Session, Province(44), Partition(u8::try_from(step % 3).expect("small")), "opened");
                let message = Message { subject, payload: step.to_string().into(), headers: BTreeMap::new() };
                let partition = Partition(u8::try_from(step % 3).expect("small"));
                let expected = bus.head(Journal::Session, partition).await.expect("in memory").map_or(0, |head| head.sequence);
                let append = Append { journal: Journal::Session, partition, expected, messages: vec![message] };
                appended.push(bus.append(append).await);
            }
            format!("{appended:?} {:?}", bus.scan("SESSION", 1, 100).await)
        }
        assert_eq!(run().await, run().await);
    }
}
