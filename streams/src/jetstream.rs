//! The Bus on NATS JetStream.
//!
//! Invariants
//! 1. The suite of the port holds, on one server and on three   (`conformance::jetstream`, `conformance::production`).
//! 2. Nothing acknowledged is lost when a server is killed   (`conformance::jetstream::a_killed_server_loses_nothing_acknowledged`).
//!
//! Not here: which streams there are (`table`), how they are made (`provision`), how a server is started (`server`).

mod append;
mod bucket;
mod intake;
mod read;
pub(crate) mod wire;

use crate::{
    Answer, Append, Appended, Beat, Bus, DeadLetter, Delivery, Error, From, Intake, Kind, Listening, Look, Message, Offered, Reach, Reader, Stored,
    Told, check, subject, table::MEMBERS,
};
use append::{Appender, Pace, Pressure};
use async_nats::{ConnectOptions, HeaderMap, ServerAddr};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use schema::{Journal, Partition};
use serde_json::json;
use std::{path::PathBuf, sync::Arc, time::Duration};
use wire::{ANSWER_WAIT, Wire, headers_of};

/// How a server is reached.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the connection is called in the server's lists.
    pub name: String,
    /// A credentials file (JWT and seed), where the server asks for one. A user or token can stand in the URL.
    pub credentials: Option<PathBuf>,
    /// A file with the seed of an nkey, where the server knows its public half. It is read once and appears in no log or error.
    pub seed: Option<PathBuf>,
    /// Under what answers come, as `_INBOX.entry`; empty: `_INBOX`. Where a user may hear its own answers alone it has to be its own.
    pub inbox: String,
    /// Under what the JetStream API is asked, as `JS.API` where an account imports it from another; empty: `$JS.API`.
    pub api: String,
    /// Copies of the journals, as [`crate::Declared::replicas`] says; 0 counts as 1. It decides how appends are sent, nothing else.
    pub replicas: u8,
}

/// A connection to JetStream. Dropping it drops what waits.
pub struct JetStream {
    pub(crate) wire: Wire,
    appenders: [Appender; Journal::ALL.len()],
    pressure: Arc<Pressure>,
}

impl JetStream {
    /// Connects; `url` may be several, separated by commas. After that, lost connections come back by themselves.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let doing = || format!("connect to {}", without_password(url));
        let addresses: Result<Vec<ServerAddr>, _> = url.split(',').map(|one| one.trim().parse()).collect();
        let addresses = addresses.map_err(|error| Error::caused(Kind::Malformed, doing(), error))?;
        let mut connect = ConnectOptions::new()
            .name(&options.name)
            .request_timeout(Some(ANSWER_WAIT))
            .ping_interval(Duration::from_secs(5))
            .reconnect_delay_callback(|attempts| Duration::from_millis(25 << attempts.min(5)))
            .event_callback(|event| async move { tracing::info!(%event, "connection to the broker") });
        if let Some(path) = options.credentials {
            connect = connect.credentials_file(path).await.map_err(|error| Error::caused(Kind::Malformed, doing(), error))?;
        }
        if let Some(path) = options.seed {
            let seed = std::fs::read_to_string(&path)
                .map_err(|error| Error::caused(Kind::Malformed, format!("read the seed {} to {}", path.display(), doing()), error))?;
            connect = connect.nkey(seed.trim().to_owned());
        }
        if !options.inbox.is_empty() {
            connect = connect.custom_inbox_prefix(&options.inbox);
        }
        let client = connect.connect(addresses).await.map_err(|error| Error::caused(Kind::Unavailable, doing(), error))?;
        let prefix: Arc<str> = if options.api.is_empty() { "$JS.API" } else { options.api.as_str() }.into();
        let mut context = async_nats::jetstream::with_prefix(client.clone(), &prefix);
        context.set_timeout(ANSWER_WAIT);
        let wire = Wire { client, context, prefix };
        let pressure = Arc::new(Pressure::new(if options.replicas <= 1 { Pace::alone() } else { Pace::cluster() }));
        let appenders = Journal::ALL.map(|journal| Appender::start(wire.clone(), journal, pressure.clone()));
        Ok(Self { wire, appenders, pressure })
    }

    async fn say(&self, delivery: &Delivery, what: Bytes) -> Result<(), Error> {
        let sent = self.wire.client.publish(delivery.reply.clone(), what).await;
        sent.map_err(|error| Error::caused(Kind::Unavailable, format!("answer message {} of {}", delivery.stored.sequence, delivery.stream), error))
    }

    async fn store(&self, message: Message, subject: String) -> Result<Offered, Error> {
        let doing = format!("store a message on {subject}");
        let ack = self.wire.store(subject, headers_of(&message), message.payload).await;
        ack.map(|ack| Offered { sequence: ack.seq, is_known: ack.duplicate }).map_err(|failure| failure.doing(doing))
    }
}

/// For errors and logs.
fn without_password(url: &str) -> String {
    let clean = |one: &str| one.rsplit_once('@').map_or_else(|| one.to_owned(), |(_, host)| host.to_owned());
    url.split(',').map(clean).collect::<Vec<_>>().join(",")
}

fn member_key(beat: &Beat) -> Result<String, Error> {
    check::nameable(beat)?;
    Ok(format!("$KV.{MEMBERS}.{}.{}", beat.room, beat.replica))
}

impl Bus for JetStream {
    fn offer(&self, message: Message) -> Answer<'_, Offered> {
        async move {
            check::publishable(&message)?;
            let subject = message.subject.clone();
            self.store(message, subject).await
        }
        .boxed()
    }

    fn consume(&self, reader: Reader) -> Answer<'_, Box<dyn Intake>> {
        async move { Ok(Box::new(intake::Pull::open(self.wire.clone(), reader).await?) as Box<dyn Intake>) }.boxed()
    }

    fn reach<'a>(&'a self, reader: &'a Reader) -> Answer<'a, Reach> {
        self.wire.reach(reader).boxed()
    }

    fn ack<'a>(&'a self, delivery: &'a Delivery) -> Answer<'a, ()> {
        self.say(delivery, Bytes::from_static(b"+ACK")).boxed()
    }

    fn nak<'a>(&'a self, delivery: &'a Delivery, delay: Duration) -> Answer<'a, ()> {
        self.say(delivery, format!("-NAK {}", json!({ "delay": u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX) })).into()).boxed()
    }

    fn progress<'a>(&'a self, delivery: &'a Delivery) -> Answer<'a, ()> {
        self.say(delivery, Bytes::from_static(b"+WPI")).boxed()
    }

    fn batch_from(&self) -> usize {
        self.pressure.batch_from()
    }

    fn append(&self, append: Append) -> Answer<'_, Appended> {
        async move {
            check::appendable(&append)?;
            let at = Journal::ALL.iter().position(|journal| *journal == append.journal).expect("all journals are there");
            self.appenders[at].append(append).await
        }
        .boxed()
    }

    fn head(&self, journal: Journal, partition: Partition) -> Answer<'_, Option<Stored>> {
        self.wire.head(journal, partition).boxed()
    }

    fn tail(&self, journal: Journal, partition: Partition, from: From) -> Answer<'_, Vec<Stored>> {
        self.wire.tail(journal, partition, from).boxed()
    }

    fn scan<'a>(&'a self, stream: &'a str, from: u64, most: usize) -> Answer<'a, Vec<Stored>> {
        self.wire.scan(stream, ">", from, most).boxed()
    }

    fn scan_subject<'a>(&'a self, stream: &'a str, subject: &'a str, from: u64, most: usize) -> Answer<'a, Vec<Stored>> {
        self.wire.scan(stream, subject, from, most).boxed()
    }

    fn scan_partition<'a>(&'a self, stream: &'a str, partition: Partition, from: u64, most: usize) -> Answer<'a, Vec<Stored>> {
        async move {
            let Some(filter) = subject::stored_wildcard(stream, partition) else {
                return Err(Error::new(Kind::NotProvisioned, format!("read partition {partition} of {stream}")));
            };
            self.wire.scan(stream, &filter, from, most).await
        }
        .boxed()
    }

    fn look<'a>(&'a self, stream: &'a str) -> Answer<'a, Look> {
        self.wire.look(stream).boxed()
    }

    fn dead_letter(&self, letter: DeadLetter) -> Answer<'_, u64> {
        async move {
            let message = letter.message();
            let subject = message.subject.clone();
            self.store(message, subject).await.map(|offered| offered.sequence)
        }
        .boxed()
    }

    fn trim(&self, journal: Journal, partition: Partition, keep_from: u64) -> Answer<'_, u64> {
        self.wire.trim(journal, partition, keep_from).boxed()
    }

    fn trim_answered<'a>(&'a self, stream: &'a str) -> Answer<'a, u64> {
        self.wire.trim_answered(stream).boxed()
    }

    fn tell(&self, told: Told) -> Answer<'_, ()> {
        async move {
            let sent = self.wire.client.publish(told.subject.clone(), told.payload).await;
            sent.map_err(|error| Error::caused(Kind::Unavailable, format!("tell {}", told.subject), error))
        }
        .boxed()
    }

    fn listen<'a>(&'a self, subject: &'a str) -> Answer<'a, Box<dyn Listening>> {
        async move {
            let doing = || format!("listen on {subject}");
            let subscriber =
                self.wire.client.subscribe(subject.to_owned()).await.map_err(|error| Error::caused(Kind::Unavailable, doing(), error))?;
            // Once the server has answered this, it knows that we listen.
            self.wire.client.flush().await.map_err(|error| Error::caused(Kind::Unavailable, doing(), error))?;
            Ok(Box::new(Ear(subscriber)) as Box<dyn Listening>)
        }
        .boxed()
    }

    fn beat(&self, beat: Beat) -> Answer<'_, ()> {
        async move {
            let key = member_key(&beat)?;
            let ack = self.wire.store(key, HeaderMap::new(), Bytes::new()).await;
            ack.map(drop).map_err(|failure| failure.doing(format!("say that {} of {} lives", beat.replica, beat.room)))
        }
        .boxed()
    }

    fn leave(&self, beat: Beat) -> Answer<'_, ()> {
        async move {
            let key = member_key(&beat)?;
            let gone = self.wire.api(&format!("STREAM.PURGE.KV_{MEMBERS}"), &json!({ "filter": key })).await;
            gone.map(drop).map_err(|failure| failure.doing(format!("say that {} leaves {}", beat.replica, beat.room)))
        }
        .boxed()
    }

    fn members<'a>(&'a self, room: &'a str) -> Answer<'a, Vec<String>> {
        async move {
            let doing = || format!("list the replicas of {room}");
            let prefix = format!("$KV.{MEMBERS}.{room}.");
            let query = json!({ "subjects_filter": format!("{prefix}>") });
            let info = self.wire.api(&format!("STREAM.INFO.KV_{MEMBERS}"), &query).await.map_err(|failure| failure.doing(doing()))?;
            let subjects = info["state"]["subjects"].as_object().into_iter().flat_map(|map| map.keys());
            let mut names: Vec<String> = subjects.filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect();
            names.sort();
            Ok(names)
        }
        .boxed()
    }
}

struct Ear(async_nats::Subscriber);

impl Listening for Ear {
    fn next(&mut self) -> BoxFuture<'_, Option<Told>> {
        async move { self.0.next().await.map(|message| Told { subject: message.subject.to_string(), payload: message.payload }) }.boxed()
    }
}

/// Lets servers catch up with each other, or a batch gather.
#[expect(clippy::disallowed_methods, reason = "the broker's own pace, which no simulation replays: the memory bus has no replicas")]
async fn pause(wait: Duration) {
    tokio::time::sleep(wait).await;
}
