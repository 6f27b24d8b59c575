//! The wire: MessagePack with named fields, or JSON; told apart by the `Content-Type` header.
//!
//! Every message says its version in the field `v` (absent: 1). Unknown fields are carried past; an unknown version is an
//! [`Error::UnknownVersion`], which an inbox answers with a dead letter and a journal by stopping the partition.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The version that is written.
pub const VERSION: u16 = 1;
/// The header that tells the format.
pub const CONTENT_TYPE: &str = "Content-Type";
/// The longest message that an inbox takes, in bytes.
pub const INBOX_BYTES_MAX: usize = 16 * 1024;

/// The two formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// MessagePack, named fields: what is published where nothing else is set.
    #[default]
    MessagePack,
    /// JSON, for readers without MessagePack.
    Json,
}

impl Format {
    /// The value of the header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::MessagePack => "application/msgpack",
            Self::Json => "application/json",
        }
    }

    /// The format of a message: by its header, or JSON where there is none and the first byte is `{`.
    pub fn of(content_type: Option<&str>, bytes: &[u8]) -> Result<Self, Error> {
        match content_type.map(|t| t.split(';').next().unwrap_or_default().trim()) {
            Some("application/json") => Ok(Self::Json),
            Some("application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack") => Ok(Self::MessagePack),
            Some(other) => Err(Error::Malformed(format!("content type {other:?} is neither application/msgpack nor application/json"))),
            None if bytes.first() == Some(&b'{') => Ok(Self::Json),
            None => Ok(Self::MessagePack),
        }
    }
}

/// Why a message cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a message of this type; the text says what was expected where.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// Written by a later release.
    #[error("message version {0} is not known here: upgrade this processor first")]
    UnknownVersion(u16),
}

#[derive(Serialize)]
struct Out<'a, T> {
    v: u16,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default = "first")]
    v: u16,
}

const fn first() -> u16 {
    1
}

/// A message of the current version.
pub fn encode<T: Serialize>(format: Format, body: &T) -> Vec<u8> {
    let out = Out { v: VERSION, body };
    match format {
        Format::MessagePack => rmp_serde::to_vec_named(&out).expect("our own types are MessagePack"),
        Format::Json => serde_json::to_vec(&out).expect("our own types are JSON"),
    }
}

/// Reads a message: its version first, then the rest.
pub fn decode<T: DeserializeOwned>(content_type: Option<&str>, bytes: &[u8]) -> Result<T, Error> {
    match Format::of(content_type, bytes)? {
        Format::MessagePack => {
            let Version { v } = rmp_serde::from_slice(bytes).map_err(|e| Error::Malformed(e.to_string()))?;
            known(v)?;
            rmp_serde::from_slice(bytes).map_err(|e| Error::Malformed(e.to_string()))
        }
        Format::Json => {
            let Version { v } = serde_json::from_slice(bytes).map_err(|e| Error::Malformed(e.to_string()))?;
            known(v)?;
            serde_json::from_slice(bytes).map_err(|e| Error::Malformed(e.to_string()))
        }
    }
}

fn known(version: u16) -> Result<(), Error> {
    if (1..=VERSION).contains(&version) { Ok(()) } else { Err(Error::UnknownVersion(version)) }
}

/// Reads an event of a journal.
pub fn decode_recorded(journal: crate::Journal, content_type: Option<&str>, bytes: &[u8]) -> Result<crate::Recorded, Error> {
    use crate::{Event, Journal, Recorded};
    fn read<E: DeserializeOwned>(content_type: Option<&str>, bytes: &[u8], event: fn(E) -> Event) -> Result<Recorded, Error> {
        let read: Recorded<E> = decode(content_type, bytes)?;
        Ok(Recorded { at: read.at, cause: read.cause, event: event(read.event) })
    }
    match journal {
        Journal::Session => read(content_type, bytes, Event::Session),
        Journal::Order => read(content_type, bytes, Event::Order),
        Journal::Payment => read(content_type, bytes, Event::Payment),
        Journal::Ledger => read(content_type, bytes, Event::Ledger),
        Journal::Recon => read(content_type, bytes, Event::Recon),
    }
}

#[cfg(test)]
mod tests;
