//! The Bus port: what the loop, the world outside and the tools ask of a broker.
//!
//! Two implementations behind one conformance suite: JetStream, and one in memory for tests and simulation.

use crate::Error;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use schema::{Journal, Moment, Partition};
use std::{collections::BTreeMap, time::Duration};

/// What every call gives.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// A message to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The whole subject.
    pub subject: String,
    /// The payload.
    pub payload: Bytes,
    /// Headers; `Content-Type` among them where the payload is not told by its first byte.
    pub headers: BTreeMap<String, String>,
}

/// The answer to a message that was offered to an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Where it is stored.
    pub sequence: u64,
    /// Whether it was there before, by its `Nats-Msg-Id`: then nothing was stored now.
    pub is_known: bool,
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The subject under which it is stored (after the stream's transform).
    pub subject: String,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// When the broker stored it: the broker's time.
    pub time: Moment,
    /// The payload.
    pub payload: Bytes,
    /// Headers.
    pub headers: BTreeMap<String, String>,
}

/// A stored message that was handed to a consumer and wants an ack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The stream.
    pub stream: String,
    /// The message.
    pub stored: Stored,
    /// How often it has been delivered, this time included.
    pub deliveries: u64,
    /// The number of this handing-out among all of its reader's, from 1 on: a gap says that something was handed to somebody else, or got lost. It may
    /// go back where a server lost what it knew of the reader.
    pub place: u64,
    /// By what it is acked; opaque.
    pub reply: String,
}

/// A durable consumer of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The stream.
    pub stream: String,
    /// The durable name: readers of the same name share its messages.
    pub durable: String,
    /// Which stored subjects; empty means all.
    pub filters: Vec<String>,
    /// After how long an unacked message is handed out again.
    pub ack_wait: Duration,
    /// How many messages may be handed out and unacked.
    pub ack_pending_max: usize,
}

/// From where a partition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// From this sequence of the stream on, inclusive.
    Sequence(u64),
    /// From the first message stored at this broker time or later.
    Time(Moment),
}

/// What one partition appends: stored whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The journal.
    pub journal: Journal,
    /// The partition.
    pub partition: Partition,
    /// The sequence of the partition's last message that the decision has seen; 0 for none.
    pub expected: u64,
    /// 1 to [`Append::MESSAGES_MAX`] messages, each subject `<STREAM>.<province>.<partition>.<type>` of this partition.
    pub messages: Vec<Message>,
}

impl Append {
    /// The most messages of one append.
    pub const MESSAGES_MAX: usize = 500;
}

/// The answer to an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The sequence of its last message, before which its others stand one by one: the next append's `expected`.
    pub last: u64,
}

/// How far a reader has come in its stream: sequences, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Up to here everything is acked; what is behind may be, too.
    pub acked: u64,
    /// Nothing behind this was handed out to anybody.
    pub handed: u64,
}

/// A look at a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// First sequence that is still stored.
    pub first: u64,
    /// Last sequence ever stored; 0 for none.
    pub last: u64,
    /// How many messages are stored.
    pub messages: u64,
    /// The broker's time now.
    pub now: Moment,
}

/// An input that could not be handled, with all that is needed to try it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The stream it came from.
    pub stream: String,
    /// The partition it belongs to.
    pub partition: Partition,
    /// Why, in words.
    pub reason: String,
    /// The original message.
    pub stored: Stored,
}

/// A message without storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its subject.
    pub subject: String,
    /// Its payload.
    pub payload: Bytes,
}

/// A sign of life of one replica.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Beat {
    /// What it shares with the others: a processor's name.
    pub room: String,
    /// Its own name.
    pub replica: String,
}

/// Messages of a [`Reader`].
pub trait Intake: Send {
    /// Waits up to `wait` for the first message, then takes what else is there, at most `most`; may be empty.
    ///
    /// Dropping the future loses nothing: what it had taken comes with the next fetch, or again after `ack_wait`.
    fn fetch(&mut self, most: usize, wait: Duration) -> Answer<'_, Vec<Delivery>>;

    /// Stops asking for messages and gives what has been handed out already, so that nothing waits for `ack_wait`.
    fn drain(&mut self) -> Answer<'_, Vec<Delivery>>;
}

/// Messages without storage.
pub trait Listening: Send {
    /// The next one; none once the connection is closed for good.
    fn next(&mut self) -> BoxFuture<'_, Option<Told>>;
}

/// A broker. Every call may be made from many tasks at once.
pub trait Bus: Send + Sync {
    /// Stores a message of an inbox; answers once it is durable. The subject is the one a device uses (`gate.<lot>.<lane>.<kind>`,
    /// `CHANNEL.<partition>.<channel>.<kind>`); the header `Nats-Msg-Id`, if given, saves work for a while and is no promise.
    fn offer(&self, message: Message) -> Answer<'_, Offered>;

    /// The same, for whom it is enough to know its sequence.
    fn publish(&self, message: Message) -> Answer<'_, u64> {
        async move { self.offer(message).await.map(|offered| offered.sequence) }.boxed()
    }

    /// Opens a durable consumer, which exists or is made.
    fn consume(&self, reader: Reader) -> Answer<'_, Box<dyn Intake>>;

    /// How far a reader has come.
    fn reach<'a>(&'a self, reader: &'a Reader) -> Answer<'a, Reach>;

    /// Acks; nobody waits for the broker's word.
    fn ack<'a>(&'a self, delivery: &'a Delivery) -> Answer<'a, ()>;

    /// Hands a message back, to come again after `delay`.
    fn nak<'a>(&'a self, delivery: &'a Delivery, delay: Duration) -> Answer<'a, ()>;

    /// Says that a message is still being worked on: its `ack_wait` starts anew.
    fn progress<'a>(&'a self, delivery: &'a Delivery) -> Answer<'a, ()>;

    /// From how many messages on one append is now cheaper than as many appends one after the other.
    ///
    /// A single server stages every batch in files of its own, so there a few messages are cheaper alone, unless a batch is what they wait for
    /// anyway; a cluster does not mind.
    fn batch_from(&self) -> usize;

    /// The one commit. [`crate::Kind::Stale`]: nothing was stored. [`crate::Kind::Unavailable`]: unknown; catch up.
    fn append(&self, append: Append) -> Answer<'_, Appended>;

    /// The partition's last message, read from the leader, so that it is current; none where the partition is empty.
    fn head(&self, journal: Journal, partition: Partition) -> Answer<'_, Option<Stored>>;

    /// The partition's messages from there to its end as of now, in order. At least up to what [`Bus::head`] gave before.
    fn tail(&self, journal: Journal, partition: Partition, from: From) -> Answer<'_, Vec<Stored>>;

    /// At most `most` messages of any stream from a sequence on, in order; for tools and auditors.
    fn scan<'a>(&'a self, stream: &'a str, from: u64, most: usize) -> Answer<'a, Vec<Stored>>;

    /// At most `most` messages of any stream under a subject, which may have wildcards, from a sequence on, in order.
    fn scan_subject<'a>(&'a self, stream: &'a str, subject: &'a str, from: u64, most: usize) -> Answer<'a, Vec<Stored>>;

    /// At most `most` messages of one partition of any stream from a sequence on, in order; for auditors, who need not hold the whole of it.
    fn scan_partition<'a>(&'a self, stream: &'a str, partition: Partition, from: u64, most: usize) -> Answer<'a, Vec<Stored>>;

    /// First and last sequence of a stream, and the broker's time.
    fn look<'a>(&'a self, stream: &'a str) -> Answer<'a, Look>;

    /// Stores a dead letter under `DEAD.<stream>.<partition>`, with reason, stream, sequence and time as headers.
    fn dead_letter(&self, letter: DeadLetter) -> Answer<'_, u64>;

    /// Forgets a partition's messages below `keep_from`, but never the partition's last one, nor what a declared reader of the journal has not
    /// acked. Gives how many.
    fn trim(&self, journal: Journal, partition: Partition, keep_from: u64) -> Answer<'_, u64>;

    /// Forgets an inbox's messages that all of its durable consumers have acked. Gives how many.
    fn trim_answered<'a>(&'a self, stream: &'a str) -> Answer<'a, u64>;

    /// Tells whoever listens; nothing is stored.
    fn tell(&self, told: Told) -> Answer<'_, ()>;

    /// Listens on a subject, which may have wildcards.
    fn listen<'a>(&'a self, subject: &'a str) -> Answer<'a, Box<dyn Listening>>;

    /// Says that a replica lives, for `Bus::BEAT_TTL`.
    fn beat(&self, beat: Beat) -> Answer<'_, ()>;

    /// Says that a replica leaves, now.
    fn leave(&self, beat: Beat) -> Answer<'_, ()>;

    /// The living replicas of a room, in order of their names.
    fn members<'a>(&'a self, room: &'a str) -> Answer<'a, Vec<String>>;
}

/// How long a sign of life lasts.
pub const BEAT_TTL: Duration = Duration::from_secs(4);

/// Whose a thing is among living replicas: the one with the highest hash of itself and the thing's names (rendezvous hashing), so that a change of
/// membership moves only what it must. Nobody's where nobody lives.
pub fn owner<'a>(members: &'a [String], thing: &[&str]) -> Option<&'a str> {
    let hash = |member: &str| schema::id::digest(&[&[member], thing].concat(), 16);
    members.iter().map(String::as_str).max_by_key(|member| (hash(member), *member))
}
