//! What can go wrong behind a door, as what to do about it.

use std::error::Error as Source;

/// The kinds of error: few, and each with one thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// More wait at once than there is room for: come again.
    Busy,
    /// The broker does not answer: come again; what was said may have been stored.
    BrokerAway,
    /// The broker has no room, or not the streams and buckets that are declared: an operator must help.
    BrokerStuck,
    /// The store does not answer: come again; lanes and payments go on without it.
    StoreAway,
    /// What was written cannot be read here: an operator must upgrade this process.
    Unreadable,
}

/// An error behind a door: its kind, what was being done, and the cause.
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
    /// The sentence of an error: what to do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Busy => "too many wait at once; try again in a second",
            Self::BrokerAway => "the broker does not answer; try again, with the same key where something was said",
            Self::BrokerStuck => "the broker is full or not as declared; an operator must look at it (`boomgate provision --dry-run`)",
            Self::StoreAway => "the store does not answer; try again, lanes and payments go on without it",
            Self::Unreadable => "it was written by a newer release; upgrade the gateway",
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

impl From<streams::Error> for Error {
    fn from(error: streams::Error) -> Self {
        let kind = match error.kind {
            streams::Kind::Unavailable | streams::Kind::Stale => Kind::BrokerAway,
            streams::Kind::Full | streams::Kind::TooLarge | streams::Kind::NotProvisioned => Kind::BrokerStuck,
            streams::Kind::Malformed => Kind::Unreadable,
        };
        Self::caused(kind, error.doing.clone(), error)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let kind = if error.kind == store::Kind::Newer { Kind::Unreadable } else { Kind::StoreAway };
        Self::caused(kind, error.doing.clone(), error)
    }
}
