//! What can go wrong on the roads, as what to do about it.

use std::error::Error as Source;

/// The kinds of error: few, and each with one thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The broker does not answer, or its answer was lost: try again; an append may have happened, so catch up first.
    Unavailable,
    /// An append's state is old: catch up and decide again.
    Stale,
    /// The stream or the disk is full: nothing was stored; try again later, and tell an operator.
    Full,
    /// The message is larger than the stream takes: it will never be stored.
    TooLarge,
    /// The stream or consumer does not exist or is not as declared: run `boomgate provision`.
    NotProvisioned,
    /// The message cannot be read.
    Malformed,
}

/// An error of the roads: its kind, what was being done, and the cause.
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
    const fn advice(self) -> &'static str {
        match self {
            Self::Unavailable => "the broker did not answer; it is tried again",
            Self::Stale => "somebody else appended first; catch up and decide again",
            Self::Full => "the stream or its disk is full; free space or raise the limit of the stream",
            Self::TooLarge => "the message is larger than the stream takes",
            Self::NotProvisioned => "the stream or consumer is not as declared; run `boomgate provision`",
            Self::Malformed => "the message cannot be read",
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
