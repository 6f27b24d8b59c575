//! What went wrong, as a client reads it: problem details (RFC 9457), each with what to do.

use crate::{Error, Kind, body::Refused};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schema::{exception::ReconNote, journal::Note};
use serde_json::{Value, json};

/// A problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// Its name: the end of its `type`.
    pub name: &'static str,
    /// What it is about and what to do, in a sentence.
    pub detail: String,
    /// After how many seconds to come again.
    pub retry_after: Option<u64>,
}

impl Problem {
    /// One that does not go away by itself.
    pub fn new(status: StatusCode, name: &'static str, detail: impl Into<String>) -> Self {
        Self { status, name, detail: detail.into(), retry_after: None }
    }

    /// What was asked for is not here.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// What was sent means nothing.
    pub fn unsound(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unsound", detail)
    }

    /// The same, to be tried again.
    pub fn again(status: StatusCode, name: &'static str, detail: impl Into<String>, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(status, name, detail) }
    }

    /// What was said was decided to change nothing.
    pub fn noted(note: Note) -> Self {
        let status = if note == Note::Unknown { StatusCode::NOT_FOUND } else { StatusCode::CONFLICT };
        let (name, detail) = words(note);
        Self::new(status, name, detail)
    }

    /// What was said of an exception was decided to change nothing.
    pub fn not_matched(note: ReconNote) -> Self {
        let status = if note == ReconNote::Unknown { StatusCode::NOT_FOUND } else { StatusCode::CONFLICT };
        let (name, detail) = match note {
            ReconNote::Unknown => ("unknown", "there is no such exception; look at the list of those that are open"),
            ReconNote::AlreadyKnown => ("already_known", "it stands so already"),
            ReconNote::AlreadyClosed => ("already_closed", "it is closed; look at why"),
            ReconNote::SamePerson => ("same_person", "who wants it written off cannot be who agrees to it; another person must"),
            ReconNote::NotWanted => ("not_wanted", "nobody wants it written off under this event; look at what is wanted"),
            ReconNote::NotOurs => ("not_ours", "its number is none of ours: ask the channel, give it back by hand there, or write it off"),
            ReconNote::NothingLacking => ("nothing_lacking", "the channel has nothing that we lack here; see to it at the channel, or write it off"),
            ReconNote::TooLate => ("too_late", "it was said too long ago to be decided; say it anew, with another key"),
        };
        Self::new(status, name, detail)
    }

    /// Its body.
    pub fn body(&self) -> Value {
        let kind = format!("urn:boomgate:problem:{}", self.name);
        let title = self.status.canonical_reason().unwrap_or("Problem");
        json!({ "type": kind, "title": title, "status": self.status.as_u16(), "detail": self.detail })
    }
}

/// What a note means to who said something.
const fn words(note: Note) -> (&'static str, &'static str) {
    match note {
        Note::AlreadyLeaving => ("already_leaving", "the car stands at an exit already; nothing was to be done"),
        Note::DoubleRead => ("double_read", "the same lane has just said the same; nothing was to be done"),
        Note::AlreadyWaiting => ("already_waiting", "an exit of this car waits for its entry already; put that right"),
        Note::AlreadyClosed => ("already_closed", "it has ended: a shift is counted and closed once, a stay that is over is named by its id"),
        Note::AlreadyKnown => ("already_known", "it stands so already; look at it, and use another name for another thing"),
        Note::Unknown => ("unknown", "there is no such thing here; look at the order, shift, stay or refund that is meant"),
        Note::RefundRefused => ("refund_refused", "its channel refused it for now; it is asked for again when it is due"),
        Note::AmountDiffers => ("amount_differs", "the amount or its currency is not what is due here; look at what is"),
        Note::TooLate => ("too_late", "it was said too long ago to be decided; say it anew, with another key"),
        Note::OfAnotherKind => ("of_another_kind", "something else goes by this id; use another one"),
        Note::LocallyRefused => ("locally_refused", "the lane stayed closed by itself"),
        Note::NothingOwed => ("nothing_owed", "the car has gone and owes nothing"),
        Note::AlreadyInside => ("already_inside", "a car of this plate is inside already; put that one right first"),
        Note::TooMany => ("too_many", "there are as many already as can be: coupons of a stay, or parts in which a channel gives a payment back"),
        Note::Contradicts => ("contradicts", "it cannot be so: a car that came after it left, or tomorrow"),
        Note::MoreThanPaid => ("more_than_paid", "more would go back than pays the order; look at what does"),
        Note::SamePerson => ("same_person", "who wants a refund cannot be who agrees to it, or declines it; another person must"),
        Note::SeveralCars => ("several_cars", "cars with this plate in several colours are inside; name the colour of the one that is meant"),
        Note::NotCounted => ("not_counted", "the drawer was not counted since the last cash; count it first"),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        tracing::warn!(%error, source = error.source.as_ref().map(tracing::field::display), "a request could not be answered");
        let (status, name) = match error.kind {
            Kind::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Kind::BrokerAway => (StatusCode::SERVICE_UNAVAILABLE, "broker_away"),
            Kind::BrokerStuck => (StatusCode::SERVICE_UNAVAILABLE, "broker_stuck"),
            Kind::StoreAway => (StatusCode::SERVICE_UNAVAILABLE, "store_away"),
            Kind::Unreadable => (StatusCode::INTERNAL_SERVER_ERROR, "unreadable"),
        };
        // What was being done may name hosts and files.
        Self { retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1), ..Self::new(status, name, error.kind.advice()) }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = match refused {
            Refused::TooLarge => "the body is too long",
            Refused::Slow => "the body did not come in time",
        };
        Self::new(refused.status(), refused.name(), detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
