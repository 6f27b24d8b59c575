//! What payment channels tell us: `POST /notify/<channel>`.
//!
//! Invariants
//! 1. A channel reads that it was handled only once the fact is stored   (`tests::a_notification_is_answered_once_its_fact_is_stored`).
//! 2. What is not genuine, fresh and about our merchant changes nothing, and is counted   (`tests::what_is_not_genuine_changes_nothing`).
//! 3. What cannot be stored is not answered as handled: the channel tells it again   (`tests::what_cannot_be_stored_is_told_again`).
//! 4. Genuine money for a number that is none of ours is kept for a person   (`tests::money_for_a_number_that_is_not_ours_is_kept`).
//! 5. Who sends slowly takes nobody's place: only what has come whole is worked on   (`tests::a_slow_body_holds_up_nobody`).
//! 6. What says nothing is not counted as stored   (`tests::what_says_nothing_is_told_apart`), nor is what was told before
//!    (`tests::what_was_told_before_is_counted_as_replayed`).

use crate::{body, doors::Limits};
use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use channels::{Channel, Error, Kind, Notice, Reply};
use schema::{
    ChannelEvent, Moment,
    wire::{self, Format},
};
use std::{collections::BTreeMap, sync::Arc};
use streams::{Bus, Message};
use tokio::{sync::Semaphore, time::timeout};

/// Where channels are heard.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    bus: Arc<dyn Bus>,
    channels: BTreeMap<&'static str, Arc<dyn Channel>>,
    clock: fn() -> Moment,
    limits: Limits,
    room: Semaphore,
}

/// The message of a fact. One of a number that is none of ours goes to the dead letters from there, whole.
pub fn message(event: &ChannelEvent) -> Message {
    let subject = event.subject().unwrap_or_else(|| format!("CHANNEL.0.{}.{}", event.channel, event.kind()));
    let headers = BTreeMap::from([
        (wire::CONTENT_TYPE.into(), Format::MessagePack.content_type().into()),
        // The same fact again within minutes costs nothing; later it is found by its key.
        ("Nats-Msg-Id".into(), event.key()),
    ]);
    Message { subject, payload: wire::encode(Format::MessagePack, event).into(), headers }
}

impl Webhooks {
    /// Hears these channels, by this clock.
    pub fn new(bus: Arc<dyn Bus>, channels: impl IntoIterator<Item = Arc<dyn Channel>>, clock: fn() -> Moment, limits: Limits) -> Self {
        let channels = channels.into_iter().map(|channel| (channel.name(), channel)).collect();
        Self(Arc::new(Inner { bus, channels, clock, room: Semaphore::new(limits.under_way_max), limits }))
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new().route("/notify/{channel}", post(notify)).with_state(self)
    }
}

async fn notify(State(Webhooks(doors)): State<Webhooks>, Path(name): Path<String>, headers: HeaderMap, body: Body) -> Response {
    let Some(channel) = doors.channels.get(name.as_str()) else { return StatusCode::NOT_FOUND.into_response() };
    let counted =
        |outcome: &'static str| metrics::counter!("boomgate_notifications_total", "channel" => channel.name(), "outcome" => outcome).increment(1);
    let body = match body::read(&headers, body, &doors.limits).await {
        Ok(body) => body,
        Err(refused) => {
            counted(refused.name());
            return refused.status().into_response();
        }
    };
    let Ok(_room) = doors.room.try_acquire() else {
        counted("busy");
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let handled = handle(&doors, &**channel, &headers, &body).await;
    match &handled {
        Ok(outcome) => {
            counted(outcome.name());
            match outcome {
                Handled::Empty => tracing::debug!(channel = channel.name(), "a notification says nothing of use"),
                Handled::Replayed => tracing::info!(channel = channel.name(), "a notification was told before: it changes nothing"),
                Handled::Stored => {}
            }
        }
        Err(error) => {
            counted(error.kind.name());
            // Whoever likes can send what is not genuine: that is no alarm, but it is told.
            if error.kind == Kind::Probe {
                tracing::debug!(channel = channel.name(), "a probe was refused");
            } else {
                tracing::warn!(channel = channel.name(), %error, "a notification was refused");
            }
        }
    }
    answer(channel.reply(handled.as_ref().map(|_| ())))
}

/// What became of a genuine notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handled {
    /// It says nothing of use.
    Empty,
    /// All that it says was told before.
    Replayed,
    /// It says something new, and that is stored.
    Stored,
}

impl Handled {
    /// Its name, as a counter has it.
    const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Replayed => "replayed",
            Self::Stored => "stored",
        }
    }
}

/// Stores what a notification says.
async fn handle(doors: &Inner, channel: &dyn Channel, headers: &HeaderMap, body: &Bytes) -> Result<Handled, Error> {
    let facts = channel.notified(&Notice { headers, body, received_at: (doors.clock)() })?;
    let mut handled = Handled::Empty;
    for fact in &facts {
        let not_stored = |why: String| Error::because(Kind::NotStored, format!("storing what {} says", channel.name()), why);
        let offered = timeout(doors.limits.store_wait, doors.bus.offer(message(fact))).await;
        let offered = offered.map_err(|late| not_stored(late.to_string()))?.map_err(|error| not_stored(error.to_string()))?;
        handled = if offered.is_known && handled != Handled::Stored { Handled::Replayed } else { Handled::Stored };
    }
    Ok(handled)
}

fn answer(Reply { status, content_type, body }: Reply) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
