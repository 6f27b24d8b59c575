//! What can be wrong with what a channel says, as what to do about it.

use std::error::Error as Source;

/// The kinds of error: few, and each with one thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// No channel of that form says such a thing.
    Malformed,
    /// The signature is not the channel's, or the key that it names is not known here.
    NotGenuine,
    /// It is genuine and too old, or from the future: somebody may be playing it back.
    Stale,
    /// It is genuine and about another merchant's money.
    Stranger,
    /// The channel tries whether signatures are checked: refuse it, and raise no alarm.
    Probe,
    /// It is genuine and could not be stored: the channel tells it again.
    NotStored,
    /// A key or setting of ours is not what it should be.
    Settings,
}

/// An error of a channel: its kind, what was being done, and the cause.
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
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotGenuine => "not_genuine",
            Self::Stale => "stale",
            Self::Stranger => "stranger",
            Self::Probe => "probe",
            Self::NotStored => "not_stored",
            Self::Settings => "settings",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Malformed => "it is not what the channel's protocol says; nothing was changed",
            Self::NotGenuine => "its signature is not the channel's; nothing was changed",
            Self::Stale => "its time is too far from ours; nothing was changed; check the clock if it is genuine",
            Self::Stranger => "it is about another merchant; nothing was changed; check the merchant in the configuration if it is ours",
            Self::Probe => "the channel tries whether signatures are checked; it was refused, as it should be",
            Self::NotStored => "it could not be stored; nothing was changed, and the channel tells it again",
            Self::Settings => "a key or setting of this channel is wrong; see the configuration",
        }
    }
}

impl Error {
    /// Without a cause.
    pub fn new(kind: Kind, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), source: None }
    }

    /// With its cause.
    pub fn because(kind: Kind, doing: impl Into<String>, source: impl Into<Box<dyn Source + Send + Sync>>) -> Self {
        Self { kind, doing: doing.into(), source: Some(source.into()) }
    }
}
