//! Reading a request's body: bounded in size and time.
//!
//! Invariants
//! 1. What is too large by its own word is refused before it is read   (`webhook::tests::what_is_too_large_is_refused`).

use crate::doors::Limits;
use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header::CONTENT_LENGTH},
};
use bytes::Bytes;
use tokio::time::timeout;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is longer than [`Limits::body_bytes_max`], or broke off.
    TooLarge,
    /// It did not come within [`Limits::read_wait`].
    Slow,
}

impl Refused {
    /// Its name, as a counter has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
        }
    }

    /// What HTTP says of it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// All of a body.
pub async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, Refused> {
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > limits.body_bytes_max) {
        return Err(Refused::TooLarge);
    }
    let read = timeout(limits.read_wait, axum::body::to_bytes(body, limits.body_bytes_max)).await;
    read.map_err(|_| Refused::Slow)?.map_err(|_| Refused::TooLarge)
}
