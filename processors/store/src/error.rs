//! What can go wrong with the store, as what to do about it.

use std::error::Error as Source;

/// The kinds of error: few, and each with one thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Away, busy, full or timed out: a write may or may not have happened; write it again.
    Unavailable,
    /// Written by a newer release: upgrade this one; nothing was changed.
    Newer,
    /// Not a database, or a damaged one: restore it; nothing was changed.
    Damaged,
    /// The tables are missing: run `boomgate provision`.
    NotProvisioned,
    /// The cache was emptied, or is being rebuilt: what it does not have may be there all the same.
    Incomplete,
    /// The cache may drop what it holds by itself, so it can never be complete.
    Forgets,
}

/// An error of the store: its kind, what was being done, and the cause.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {}", self.kind.advice())]
pub struct Error {
    /// What to do.
    pub kind: Kind,
    /// What was being done.
    pub doing: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn Source + Send + Sync>>,
}

impl Kind {
    const fn advice(self) -> &'static str {
        match self {
            Self::Unavailable => "it is away, busy or full; it is tried again and the lanes go on",
            Self::Newer => "the store was written by a newer release; upgrade boomgate, nothing was changed",
            Self::Damaged => "this is no store of ours or it is damaged; restore it from a backup, nothing was changed",
            Self::NotProvisioned => "the store has no tables yet; run `boomgate provision`",
            Self::Incomplete => "the cache does not hold everything; each check's own policy decides until it is rebuilt",
            Self::Forgets => "this Redis evicts keys by itself, so what it lacks means nothing; set its maxmemory-policy to noeviction",
        }
    }
}

impl Error {
    /// An error without a deeper cause.
    pub fn new(kind: Kind, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), source: None }
    }

    /// An error with its cause.
    pub fn caused(kind: Kind, doing: impl Into<String>, source: impl Into<Box<dyn Source + Send + Sync>>) -> Self {
        Self { kind, doing: doing.into(), source: Some(source.into()) }
    }
}
