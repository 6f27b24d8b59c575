//! Messages of a durable pull consumer.
//!
//! One pull is outstanding while somebody reads, so that a message arrives as soon as it is stored. It is short: a drain waits for its end, since the
//! server goes on handing out messages until then, and what nobody takes would be stuck for `ack_wait`.
//!
//! Invariants
//! 1. Dropping a fetch loses nothing: what it had taken is in `ready`   (`conformance::inbox::a_dropped_fetch_loses_nothing`).
//! 2. A drain gives all that was handed out   (`conformance::inbox::a_drain_leaves_no_stuck_message`).
//! 3. A consumer that is gone is made again by the next fetch   (`conformance::jetstream::a_deleted_consumer_comes_back`).

use super::wire::{Wire, moment_of_nanos, plain_headers};
use crate::{Answer, Delivery, Error, Intake, Kind, Reader, Stored, table};
use async_nats::{Message, Subscriber, connection::State};
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use std::{collections::VecDeque, sync::atomic::Ordering, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How long a pull stands.
const PULL: Duration = Duration::from_secs(1);
/// How much longer its end is waited for.
const GRACE: Duration = Duration::from_millis(500);
/// How often a fetch looks for its consumer. On a cluster the servers learn of a new one, or of its new leader, one after the other.
const SEARCHES_MAX: u32 = 5;

pub(crate) struct Pull {
    wire: Wire,
    reader: Reader,
    inbox: String,
    answers: Subscriber,
    ready: VecDeque<Delivery>,
    /// Whether the consumer is known to exist.
    sound: bool,
    /// How many messages the outstanding pull may still bring; 0 for none outstanding.
    asked: usize,
    /// When it is over, by our own clock.
    until: Instant,
    /// Its number, which its reply subject tells.
    number: u64,
    /// On which connection it was sent: a new one knows nothing of it.
    connects: u64,
}

impl Pull {
    pub async fn open(wire: Wire, reader: Reader) -> Result<Self, Error> {
        let inbox = wire.client.new_inbox();
        let subscribed = wire.client.subscribe(format!("{inbox}.*")).await;
        let answers = subscribed.map_err(|error| Error::caused(Kind::Unavailable, format!("read {}", reader.durable), error))?;
        let (ready, until) = (VecDeque::new(), now());
        let mut pull = Self { wire, reader, inbox, answers, ready, sound: false, asked: 0, until, number: 0, connects: 0 };
        pull.ensure().await?;
        Ok(pull)
    }

    fn doing(&self) -> String {
        format!("read {} as {}", self.reader.stream, self.reader.durable)
    }

    /// Finds the consumer or makes it.
    async fn ensure(&mut self) -> Result<(), Error> {
        let Reader { stream, durable, .. } = &self.reader;
        let settings = table::consumer_settings(&self.reader);
        let found = match self.wire.api(&format!("CONSUMER.INFO.{stream}.{durable}"), &Value::Null).await {
            Err(failure) if failure.err_code() == CONSUMER_NOT_FOUND => {
                let query = json!({ "stream_name": stream, "config": settings, "action": "create" });
                // Whoever may not make it hears nothing.
                let doing = || format!("make {durable} of {stream}, which `boomgate provision` does");
                self.wire.api(&format!("CONSUMER.CREATE.{stream}.{durable}"), &query).await.map_err(|failure| failure.doing(doing()))?
            }
            other => other.map_err(|failure| failure.doing(self.doing()))?,
        };
        let differing = crate::provision::differing(&settings, &found["config"]);
        if let Some(field) = differing.first() {
            return Err(Error::caused(Kind::NotProvisioned, self.doing(), format!("{field} of the consumer is not as declared")));
        }
        self.sound = true;
        Ok(())
    }

    async fn ask(&mut self, most: usize) -> Result<(), Error> {
        self.number += 1;
        self.connects = self.connects_now();
        let subject = format!("{}.CONSUMER.MSG.NEXT.{}.{}", self.wire.prefix, self.reader.stream, self.reader.durable);
        let query = json!({ "batch": most, "expires": u64::try_from(PULL.as_nanos()).expect("a second") });
        let reply = format!("{}.{}", self.inbox, self.number);
        let sent = self.wire.client.publish_with_reply(subject, reply, query.to_string().into()).await;
        sent.map_err(|error| Error::caused(Kind::Unavailable, self.doing(), error))?;
        self.asked = most;
        self.until = now() + PULL + GRACE;
        Ok(())
    }

    fn connects_now(&self) -> u64 {
        self.wire.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Puts an answer where it belongs; an error says that the request cannot be right.
    fn sort(&mut self, message: &Message) -> Result<(), Error> {
        let Some(status) = message.status.map(|status| status.as_u16()).filter(|status| *status != 200) else {
            self.asked = self.asked.saturating_sub(1);
            if let Some(delivery) = delivery(&self.reader.stream, message) {
                self.ready.push_back(delivery);
            } else {
                tracing::error!(subject = %message.subject, reply = ?message.reply, "a message without its acknowledgement subject is left alone");
            }
            return Ok(());
        };
        // The end of an older pull says nothing of this one.
        let current = message.subject.rsplit('.').next() == Some(self.number.to_string().as_str());
        if status == 100 || !current {
            return Ok(());
        }
        self.asked = 0;
        let text = message.description.clone().unwrap_or_default();
        match status {
            404 | 408 => Ok(()),
            409 if text == "Batch Completed" => Ok(()),
            // Nobody listens to this consumer's requests, or not yet; or it was deleted; or its leader is another server from now on.
            503 | 409 => {
                self.sound = false;
                tracing::debug!(status, text, durable = self.reader.durable, "the consumer is looked for again");
                Ok(())
            }
            _ => Err(Error::caused(Kind::Malformed, self.doing(), format!("{status} {text}"))),
        }
    }

    /// Sorts all that has arrived.
    fn sort_arrived(&mut self) -> Result<(), Error> {
        while let Some(Some(message)) = self.answers.next().now_or_never() {
            self.sort(&message)?;
        }
        Ok(())
    }

    fn take(&mut self, most: usize) -> Vec<Delivery> {
        let count = self.ready.len().min(most);
        self.ready.drain(..count).collect()
    }

    async fn fetch_within(&mut self, most: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        let deadline = now() + wait;
        let mut searches = 0;
        loop {
            let sorted = self.sort_arrived();
            if !self.ready.is_empty() {
                // The next pull is sent before this one's messages are worked on.
                if self.asked == 0 && self.sound {
                    self.ask(most).await?;
                }
                return Ok(self.take(most));
            }
            sorted?;
            if !self.sound {
                if searches > SEARCHES_MAX {
                    return Err(Error::caused(Kind::Unavailable, self.doing(), "nobody answers for the consumer"));
                }
                if searches > 0 {
                    super::pause(Duration::from_millis(10 << searches)).await;
                }
                searches += 1;
                self.ensure().await?;
            }
            if self.connects != self.connects_now() || now() >= self.until {
                self.asked = 0;
            }
            if self.asked == 0 {
                self.ask(most).await?;
            }
            match timeout_at(deadline.min(self.until), self.answers.next()).await {
                Ok(Some(message)) => {
                    self.sort(&message)?;
                    // The connection hands over what came in one read one by one: let it finish.
                    tokio::task::yield_now().await;
                }
                Ok(None) => return Err(Error::caused(Kind::Unavailable, self.doing(), "the connection is closed")),
                Err(_) if now() < deadline => {}
                Err(_) if self.wire.client.connection_state() == State::Connected => return Ok(Vec::new()),
                Err(_) => return Err(Error::caused(Kind::Unavailable, self.doing(), "the connection is down")),
            }
        }
    }

    async fn drain_within(&mut self) -> Result<Vec<Delivery>, Error> {
        while self.asked > 0 && self.connects == self.connects_now() {
            match timeout_at(self.until, self.answers.next()).await {
                // A consumer that is gone hands out nothing more.
                Ok(Some(message)) => drop(self.sort(&message)),
                Ok(None) | Err(_) => break,
            }
        }
        let _gone = self.sort_arrived();
        self.asked = 0;
        Ok(self.take(usize::MAX))
    }
}

impl Intake for Pull {
    fn fetch(&mut self, most: usize, wait: Duration) -> Answer<'_, Vec<Delivery>> {
        self.fetch_within(most.max(1), wait).boxed()
    }

    fn drain(&mut self) -> Answer<'_, Vec<Delivery>> {
        self.drain_within().boxed()
    }
}

const CONSUMER_NOT_FOUND: u64 = 10_014;

/// A message as a consumer hands it out: `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<time>.<pending>`, with domain and
/// account before the stream on servers that say them (ADR-15).
fn delivery(stream: &str, message: &Message) -> Option<Delivery> {
    let reply = message.reply.as_ref()?.to_string();
    let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
    let rest = if tokens.len() <= 7 { tokens.as_slice() } else { tokens.get(2..)? };
    let [_, _, deliveries, sequence, place, time, ..] = rest else { return None };
    let stored = Stored {
        subject: message.subject.to_string(),
        sequence: sequence.parse().ok()?,
        time: moment_of_nanos(time)?,
        payload: message.payload.clone(),
        headers: plain_headers(message.headers.as_ref()),
    };
    Some(Delivery { stream: stream.to_owned(), stored, deliveries: deliveries.parse().ok()?, place: place.parse().ok()?, reply })
}

#[expect(clippy::disallowed_methods, reason = "how long a pull stands is between the server and this file; no decision sees it")]
fn now() -> Instant {
    Instant::now()
}
