//! The port of key-value buckets: what few write and many watch, beside the roads of events.
//!
//! The Bus's brokers have it, too: JetStream as its own KV buckets (any `nats kv` command reads them), and one in memory.
//!
//! Invariants
//! 1. Of two writers that have seen the same revision of a key one wins and the other is told   (`conformance::bucket::racing_writers_one_wins`).
//! 2. A full bucket refuses and forgets nothing   (`conformance::bucket::a_full_bucket_refuses_and_forgets_nothing`).
//! 3. Forgetting never takes what was written after the look that led to it   (`conformance::bucket::what_is_written_anew_is_not_forgotten`).
//!
//! Not here: the replicas' signs of life, which are the Bus's (`Bus::beat`); what the values mean.

use crate::Answer;
use bytes::Bytes;
use schema::Moment;
use std::time::Duration;

/// The newest value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its revision: the sequence in the whole bucket, so that a later write has a higher one, whatever its key.
    pub revision: u64,
    /// When it was written: the broker's time.
    pub time: Moment,
    /// The value; empty where somebody deleted the key with a tool.
    pub value: Bytes,
}

/// A broker's buckets. A key is tokens with dots between them. Every call may be made from many tasks at once.
pub trait Buckets: Send + Sync {
    /// The newest value of a key, from the leader, so that it is current; none where it was never written or is forgotten.
    fn entry<'a>(&'a self, bucket: &'a str, key: &'a str) -> Answer<'a, Option<Entry>>;

    /// Writes a value of at most [`crate::table::VALUE_BYTES_MAX`] bytes; gives its revision once it is durable. With `expected` only if that is
    /// the key's revision still, 0 for a key that is not there. [`crate::Kind::Stale`]: nothing was written. [`crate::Kind::Unavailable`]: unknown.
    fn put<'a>(&'a self, bucket: &'a str, key: &'a str, value: Bytes, expected: Option<u64>) -> Answer<'a, u64>;

    /// All keys, in order.
    fn keys<'a>(&'a self, bucket: &'a str) -> Answer<'a, Vec<String>>;

    /// Forgets a key unless it was written at the revision `before` or later.
    fn forget<'a>(&'a self, bucket: &'a str, key: &'a str, before: u64) -> Answer<'a, ()>;

    /// The newest value of a key once its revision is another than `after`; none if that has not happened within `wait`. A bucket that was made
    /// anew counts from 1 again, so another revision need not be a higher one.
    ///
    /// Nothing is kept between two calls, so a lost connection or a restarted broker costs a watcher one call at most.
    fn change<'a>(&'a self, bucket: &'a str, key: &'a str, after: u64, wait: Duration) -> Answer<'a, Option<Entry>>;
}
