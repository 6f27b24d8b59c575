//! Lane devices over HTTP: `POST /device/v1/<lot>/<lane>/<kind>`, an event in, its lane's command back.
//!
//! It is the way in of a device that cannot speak NATS. What it says is the same as there (`schema/device.md`), and is stored as it came. The command is
//! waited for, but no longer than a barrier can wait: then the device reads that it is to decide by itself. The event stays stored.
//!
//! Invariants
//! 1. An event is answered with its own command   (`front_doors` `an_event_is_answered_with_its_command`).
//! 2. At the deadline the lane decides locally, and the event is stored all the same   (`front_doors` `at_the_deadline_the_lane_decides_and_the_event_is_stored`).
//! 3. A device speaks for its own lane alone   (`front_doors` `a_device_is_kept_to_its_lane`).
//! 4. What is not sound is refused with words, and changes nothing   (`front_doors` `what_is_not_sound_is_refused_with_words`).
//!
//! Not here: what becomes of it (`rules::entry`).

mod keys;

pub use keys::{Device, Devices};

use crate::{body, doors::Limits, ear::Ear};
use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use schema::{
    GateEvent, GateKind, Id, LaneCommand, LaneId, LotId,
    wire::{self, Format, INBOX_BYTES_MAX},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use streams::{Bus, Message, Told};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

/// How long a command is waited for where the device does not say.
pub const WAIT: Duration = Duration::from_secs(2);
/// How long it may ask to wait at most.
pub const WAIT_MAX: Duration = Duration::from_secs(25);
/// The header by which it asks (RFC 7240): `Prefer: wait=SECONDS`.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Where lane devices are heard.
#[derive(Clone)]
pub struct Lanes(Arc<Inner>);

struct Inner {
    bus: Arc<dyn Bus>,
    ear: Ear,
    devices: watch::Receiver<Arc<Devices>>,
    limits: Limits,
    room: Semaphore,
}

/// What a device is told beside commands.
#[derive(Clone, Copy, Debug)]
enum Word {
    /// No command has come in time.
    Locally,
    /// It is stored, and no command comes of it.
    Stored,
}

impl Lanes {
    /// Hears these devices, whoever they are now, and learns by the ear what their lanes are told.
    pub fn new(bus: Arc<dyn Bus>, ear: Ear, devices: watch::Receiver<Arc<Devices>>, limits: Limits) -> Self {
        Self(Arc::new(Inner { bus, ear, devices, limits, room: Semaphore::new(limits.under_way_max) }))
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new().route("/device/v1/{lot}/{lane}/alive", post(alive)).route("/device/v1/{lot}/{lane}/{kind}", post(seen)).with_state(self)
    }
}

fn counted(outcome: &'static str) {
    metrics::counter!("boomgate_device_requests_total", "outcome" => outcome).increment(1);
}

fn refused(status: StatusCode, outcome: &'static str, words: &str) -> Response {
    counted(outcome);
    let mut response = (status, serde_json::json!({ "error": words }).to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Format::Json.content_type()));
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The lane, if who asks is its device.
fn let_in(doors: &Inner, lot: &str, lane: &str, headers: &HeaderMap) -> Result<(LotId, LaneId), Box<Response>> {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let device = token.and_then(|token| doors.devices.borrow().find(token.trim()));
    let Some(device) = device else {
        let words = "no device has this token: send `Authorization: Bearer TOKEN`";
        return Err(Box::new(refused(StatusCode::UNAUTHORIZED, "unknown_device", words)));
    };
    if device.lot.as_str() != lot || device.lane.as_str() != lane {
        tracing::warn!(lot = %device.lot, lane = %device.lane, "a device spoke for another lane");
        return Err(Box::new(refused(StatusCode::FORBIDDEN, "other_lane", "this token is of another lane's device")));
    }
    Ok((device.lot, device.lane))
}

async fn alive(State(Lanes(doors)): State<Lanes>, Path((lot, lane)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let (lot, lane) = match let_in(&doors, &lot, &lane, &headers) {
        Ok(lane) => lane,
        Err(response) => return *response,
    };
    match doors.bus.tell(Told { subject: format!("alive.{lot}.{lane}"), payload: Bytes::new() }).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(_) => refused(StatusCode::SERVICE_UNAVAILABLE, "not_told", "the broker cannot be reached: tell it again"),
    }
}

async fn seen(
    State(Lanes(doors)): State<Lanes>,
    Path((lot, lane, kind)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (lot, lane) = match let_in(&doors, &lot, &lane, &headers) {
        Ok(lane) => lane,
        Err(response) => return *response,
    };
    let Ok(_room) = doors.room.try_acquire() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many devices ask at once: send it again, or decide locally");
    };
    let body = match body::read(&headers, body, &Limits { body_bytes_max: INBOX_BYTES_MAX, ..doors.limits }).await {
        Ok(body) => body,
        Err(wrong) => return refused(wrong.status(), wrong.name(), "the body is too large or came too slowly: at most 16384 bytes within 5 s"),
    };
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let event = match read(content_type.as_deref(), &body, (lot, lane, &kind)) {
        Ok(event) => event,
        Err(words) => return refused(StatusCode::BAD_REQUEST, "unsound", &words),
    };
    let waits = event.decided.is_none() && event.kind != GateKind::Passed;
    let place = if waits { doors.ear.wait_for((lot, lane, event.id)) } else { None };
    if waits && place.is_none() {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many devices wait at once: send it again, or decide locally");
    }
    let headers_kept = content_type.map(|content_type| (wire::CONTENT_TYPE.to_owned(), content_type)).into_iter().collect::<BTreeMap<_, _>>();
    let message = Message { subject: event.subject(), payload: body, headers: headers_kept };
    match timeout(doors.limits.store_wait, doors.bus.publish(message)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::warn!(%lot, %lane, %error, "an event of a device was not stored");
            return refused(StatusCode::SERVICE_UNAVAILABLE, "not_stored", "it is not stored: send it again, and decide locally");
        }
        Err(_) => {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "not_stored", "nobody knows whether it is stored: send it again, and decide locally");
        }
    }
    let Some(mut place) = place else { return word(Word::Stored) };
    match place.command(after(query.as_deref()), wait(&headers)).await {
        Some(command) => told(&command),
        None => word(Word::Locally),
    }
}

/// The event that a body says, if it is sound and says the same as its path.
fn read(content_type: Option<&str>, body: &[u8], (lot, lane, kind): (LotId, LaneId, &str)) -> Result<GateEvent, String> {
    let event: GateEvent = wire::decode(content_type, body).map_err(|error| error.to_string())?;
    if event.lot != lot || event.lane != lane || event.kind.as_str() != kind {
        return Err(format!("it says {}, and came on {lot}/{lane}/{kind}: both must say the same", event.subject()));
    }
    event.credential.check()?;
    Ok(event)
}

/// The command of this event that the device has already, as `?after=ID`: it wants the next one.
fn after(query: Option<&str>) -> Option<Id> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).find(|(name, _)| name == "after").and_then(|(_, id)| id.parse().ok())
}

/// How long a device waits: as it prefers, within bounds.
fn wait(headers: &HeaderMap) -> Duration {
    let mut preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let seconds = preferences.find_map(|preference| preference.trim().strip_prefix("wait=")?.parse().ok());
    seconds.map_or(WAIT, |seconds| Duration::from_secs(seconds).min(WAIT_MAX))
}

fn told(command: &LaneCommand) -> Response {
    counted("told");
    ([(CONTENT_TYPE, Format::Json.content_type())], wire::encode(Format::Json, command)).into_response()
}

fn word(word: Word) -> Response {
    let (outcome, body) = match word {
        Word::Locally => ("locally", r#"{"decide":"locally"}"#),
        Word::Stored => ("stored", r#"{"stored":true}"#),
    };
    counted(outcome);
    (StatusCode::ACCEPTED, [(CONTENT_TYPE, Format::Json.content_type())], body).into_response()
}
