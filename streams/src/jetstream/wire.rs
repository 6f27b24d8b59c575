//! Requests to a JetStream server and what its refusals mean.
//!
//! Invariants
//! 1. A refusal that leaves no doubt is told apart from an answer that was lost   (`tests::refusals_say_what_to_do`).

use crate::{Error, Kind, Message, Stored};
use async_nats::{Client, HeaderMap, Request, client::RequestErrorKind, jetstream};
use bytes::Bytes;
use schema::Moment;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long an answer is waited for.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(4);

/// What a server said no with.
#[derive(Clone, Debug, Deserialize, thiserror::Error)]
#[error("{description} ({err_code})")]
pub(crate) struct Refusal {
    #[serde(default)]
    pub code: u16,
    #[serde(default)]
    pub err_code: u64,
    #[serde(default)]
    pub description: String,
}

/// Why there is no good answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the server refused: {0}")]
    Refused(Refusal),
    #[error("no answer: {0}")]
    Silent(RequestErrorKind),
    #[error("the answer is not understood: {0}")]
    Garbled(String),
}

impl Refusal {
    pub fn kind(&self) -> Kind {
        match self.err_code {
            // Wrong last sequence; and, on a cluster, another append in flight for the same condition.
            10_071 | 10_164 => Kind::Stale,
            // Account, memory, storage and server resources; the store's own failure, which `maximum bytes exceeded` is; stream limits.
            10_002 | 10_023 | 10_028 | 10_047 | 10_072 | 10_077 | 10_122 => Kind::Full,
            // Message or header beyond the stream's limit.
            10_054 | 10_097 => Kind::TooLarge,
            // No such stream, no such consumer, other settings under that name, and no atomic batches on that stream.
            10_014 | 10_052 | 10_058 | 10_059 | 10_148 | 10_174 => Kind::NotProvisioned,
            // A batch of which a part was lost on the way, or too many batches at once: nothing was stored.
            10_176 | 10_210 | 10_211 => Kind::Unavailable,
            _ if self.code >= 500 || self.code == 408 => Kind::Unavailable,
            _ if self.code == 404 => Kind::NotProvisioned,
            _ => Kind::Malformed,
        }
    }
}

impl Failure {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused(refusal) => refusal.kind(),
            Self::Silent(RequestErrorKind::MaxPayloadExceeded) => Kind::TooLarge,
            Self::Silent(RequestErrorKind::InvalidSubject) => Kind::Malformed,
            Self::Silent(_) | Self::Garbled(_) => Kind::Unavailable,
        }
    }

    /// The server's number of the refusal; 0 where it said nothing.
    pub fn err_code(&self) -> u64 {
        if let Self::Refused(refusal) = self { refusal.err_code } else { 0 }
    }

    pub fn doing(self, doing: impl Into<String>) -> Error {
        Error::caused(self.kind(), doing, self)
    }
}

/// What a server says once it has stored something.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Ack {
    /// The sequence; of a batch its last one.
    pub seq: u64,
    /// How many messages a batch had.
    #[serde(default)]
    pub count: u64,
    /// Whether a message with that id had been stored before.
    #[serde(default)]
    pub duplicate: bool,
}

/// A connection, as the other files of this folder use it.
#[derive(Clone)]
pub(crate) struct Wire {
    pub client: Client,
    pub context: jetstream::Context,
    /// Under what the JetStream API is asked.
    pub prefix: Arc<str>,
}

impl Wire {
    /// Asks the JetStream API.
    pub async fn api(&self, subject: &str, body: &Value) -> Result<Value, Failure> {
        let payload = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.ask(format!("{}.{subject}", self.prefix), None, payload).await
    }

    /// Publishes to a stream and waits for its word.
    pub async fn store(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Result<Ack, Failure> {
        let answer = self.ask(subject, Some(headers), payload).await?;
        serde_json::from_value(answer).map_err(|error| Failure::Garbled(error.to_string()))
    }

    async fn ask(&self, subject: String, headers: Option<HeaderMap>, payload: Bytes) -> Result<Value, Failure> {
        let request = Request { payload: Some(payload), headers, timeout: Some(Some(ANSWER_WAIT)), inbox: None };
        let answer = self.client.send_request(subject, request).await.map_err(|error| Failure::Silent(error.kind()))?;
        let value: Value = serde_json::from_slice(&answer.payload).map_err(|error| Failure::Garbled(error.to_string()))?;
        match value.get("error") {
            Some(error) => Err(Refusal::deserialize(error).map_or_else(|error| Failure::Garbled(error.to_string()), Failure::Refused)),
            None => Ok(value),
        }
    }
}

/// The headers of a message that is to be stored.
pub(crate) fn headers_of(message: &Message) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        headers.insert(name.as_str(), value.as_str());
    }
    headers
}

/// The headers that the publisher gave. The server's own, those of a condition or a batch among them, mean nothing to a reader.
pub(crate) fn plain_headers(headers: Option<&HeaderMap>) -> BTreeMap<String, String> {
    let all = headers.into_iter().flat_map(HeaderMap::iter);
    let text = |name: &async_nats::HeaderName| -> String { String::from_utf8_lossy(name.as_ref()).into_owned() };
    all.filter_map(|(name, values)| Some((text(name), values.last()?.as_str().to_owned())))
        .filter(|(name, _)| name == crate::MESSAGE_ID || !name.starts_with("Nats-"))
        .collect()
}

/// A time as the server writes it (RFC 3339), in whole microseconds.
pub(crate) fn moment(text: &str) -> Option<Moment> {
    let time = async_nats::datetime::parse_rfc3339(text).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000)).ok().map(Moment)
}

/// A time as an ack subject tells it, in nanoseconds.
pub(crate) fn moment_of_nanos(text: &str) -> Option<Moment> {
    text.parse::<i64>().ok().map(|nanos| Moment(nanos.div_euclid(1_000)))
}

/// A message as a direct get gives it: where and when it was stored is told by headers.
pub(crate) fn stored(message: &async_nats::Message) -> Option<Stored> {
    let headers = message.headers.as_ref()?;
    let text = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    Some(Stored {
        subject: text("Nats-Subject")?.to_owned(),
        sequence: text("Nats-Sequence")?.parse().ok()?,
        time: moment(text("Nats-Time-Stamp")?)?,
        payload: message.payload.clone(),
        headers: plain_headers(Some(headers)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        let refused = |code, err_code| Failure::Refused(Refusal { code, err_code, description: String::new() }).kind();
        for (code, err_code, kind) in [
            (400, 10_071, Kind::Stale),
            (503, 10_164, Kind::Stale),
            (503, 10_077, Kind::Full),
            (503, 10_047, Kind::Full),
            (400, 10_054, Kind::TooLarge),
            (404, 10_059, Kind::NotProvisioned),
            (503, 10_008, Kind::Unavailable),
            (400, 10_176, Kind::Unavailable),
            (400, 10_003, Kind::Malformed),
        ] {
            assert_eq!(refused(code, err_code), kind, "{err_code}");
        }
        assert_eq!(Failure::Silent(RequestErrorKind::TimedOut).kind(), Kind::Unavailable);
        assert_eq!(Failure::Silent(RequestErrorKind::NoResponders).kind(), Kind::Unavailable);
    }

    #[test]
    fn a_time_is_cut_to_whole_microseconds() {
        assert_eq!(moment("1970-01-01T00:00:01.000001999Z"), Some(Moment(1_000_001)));
        assert_eq!(moment("yesterday"), None);
    }
}
