//! Idempotency keys: what was asked for under a key, and what was answered, for as long as the ledger lives.
//!
//! A key's record is made before anything is said, and only by the first. It holds what is said, so that whoever comes again says just the same; an
//! inbox knows that, however late. Once it is decided the record holds the answer in place of it.
//!
//! Invariants
//! 1. Of several who come under a key at once one makes its record, and all say the same   (`tests::a_key_is_taken_once`).
//! 2. A key is never forgotten: a full bucket refuses   (`streams::conformance::bucket::a_full_bucket_refuses_and_forgets_nothing`).
//!
//! Not here: what a request says (`api::write`).

use crate::{Error, error::Kind, tokens};
use schema::{DeskEvent, id};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use streams::{Buckets, table::KEYS};

/// The records of keys.
#[derive(Clone)]
pub struct Keys(Arc<dyn Buckets>);

/// What is known under a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The hash of the request: method, path, body and person.
    pub asked: String,
    /// What came of it so far.
    pub stands: Stands,
}

/// What came of a request so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// This is said; the decision stands behind that place of its journal.
    Said {
        /// What.
        event: Box<DeskEvent>,
        /// The place.
        before: u64,
    },
    /// It was decided, and this was answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Value,
    },
}

/// The longest key, in characters.
pub const KEY_MAX: usize = 128;

/// What is kept under: whatever characters a key has, a bucket takes that.
pub fn digest(key: &str) -> String {
    id::digest(&["idempotency", key], 20)
}

/// The hash of a request.
pub fn asked(method: &str, path: &str, body: &[u8], person: &str) -> String {
    let whole = format!("{method} {path}\n{person}\n{}", tokens::hex_of(body));
    tokens::hex_of(whole.as_bytes())
}

impl Keys {
    /// The keys that these buckets hold.
    pub const fn new(buckets: Arc<dyn Buckets>) -> Self {
        Self(buckets)
    }

    /// What is known under a key, and its revision; none where it is new.
    pub async fn find(&self, digest: &str) -> Result<Option<(u64, Record)>, Error> {
        let Some(entry) = self.0.entry(KEYS, digest).await? else { return Ok(None) };
        let unreadable = |error| Error::caused(Kind::Unreadable, format!("read the idempotency key {digest}"), error);
        serde_json::from_slice(&entry.value).map(|record| Some((entry.revision, record))).map_err(unreadable)
    }

    /// Takes a key with this record, or gives the record of whoever was first.
    pub async fn take(&self, digest: &str, record: Record) -> Result<(u64, Record), Error> {
        match self.put(digest, &record, 0).await {
            Ok(revision) => Ok((revision, record)),
            Err(error) if error.kind == streams::Kind::Stale => {
                let gone = || Error::new(Kind::BrokerAway, format!("read the idempotency key {digest}"));
                self.find(digest).await?.ok_or_else(gone)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the answer. Who came at the same time has the same one, so whose write counts is all the same.
    pub async fn answer(&self, digest: &str, revision: u64, record: &Record) {
        match self.put(digest, record, revision).await {
            Ok(_) => {}
            Err(error) if error.kind == streams::Kind::Stale => {}
            // It is found again by what it says.
            Err(error) => tracing::warn!(%error, "the answer to an idempotency key could not be kept"),
        }
    }

    async fn put(&self, digest: &str, record: &Record, expected: u64) -> Result<u64, streams::Error> {
        let value = serde_json::to_vec(record).expect("our own types are JSON");
        self.0.put(KEYS, digest, value.into(), Some(expected)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{START, refund};

    #[tokio::test]
    async fn a_key_is_taken_once() {
        let keys = Keys::new(Arc::new(streams::Memory::new(START)));
        let record = |id: &str, body: &[u8]| {
            let stands = Stands::Said { event: Box::new(refund(id)), before: 1 };
            Record { asked: asked("POST", "/x", body, "lin"), stands }
        };
        let at = digest("粤 any text at all. > *");
        assert_eq!(keys.find(&at).await.expect("it is in memory"), None);
        let (first, second) = (record("1", b"{}"), record("2", b"{ }"));
        assert_ne!(first.asked, second.asked);
        let (revision, taken) = keys.take(&at, first.clone()).await.expect("it is in memory");
        assert_eq!(taken, first);
        assert_eq!(keys.take(&at, second).await.expect("it is in memory"), (revision, first.clone()));
        let answered = Record { stands: Stands::Answered { status: 200, body: Value::Bool(true) }, ..first };
        keys.answer(&at, revision, &answered).await;
        keys.answer(&at, revision, &answered).await;
        assert_eq!(keys.find(&at).await.expect("it is in memory").map(|(_, record)| record), Some(answered));
    }
}
