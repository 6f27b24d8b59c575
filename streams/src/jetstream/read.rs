//! Reads of what is stored: the leader's word for the end, batched direct gets for the rest, which any replica may answer.
//!
//! Invariants
//! 1. A replica that lags is never believed: a read goes on until the leader's end is reached   (`conformance::journal::racing_writers_leave_a_contiguous_journal`).
//! 2. An idle partition costs one request   (`conformance::journal::a_tail_is_all_from_there_on`).

use super::wire::{ANSWER_WAIT, Failure, Refusal, Wire, moment, plain_headers, stored};
use crate::{Error, From, Kind, Look, Reach, Reader, Stored, subject, table};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use futures_util::StreamExt;
use schema::{Journal, Moment, Partition};
use serde_json::{Value, json};
use std::time::Duration;

/// How many messages one request asks for.
const PAGE: usize = 2_048;
/// How often a lagging replica is asked again before the read gives up; the waits double from 2 ms and stay below 256 ms.
const LAGS_MAX: u32 = 24;

impl Wire {
    /// The partition's last message, from the leader.
    pub async fn head(&self, journal: Journal, partition: Partition) -> Result<Option<Stored>, Error> {
        let doing = || format!("read the head of {journal} partition {partition}");
        self.last(journal.stream(), &subject::partition_wildcard(journal, partition)).await.map_err(|failure| failure.doing(doing()))
    }

    /// The last message of a stream under a filter, from the leader.
    pub async fn last(&self, stream: &str, filter: &str) -> Result<Option<Stored>, Failure> {
        let handle = self.context.get_stream_no_info(stream).await.map_err(|error| Failure::Garbled(error.to_string()))?;
        let refused = |error: async_nats::jetstream::Error| {
            Failure::Refused(Refusal {
                code: u16::try_from(error.code()).unwrap_or(500),
                err_code: error.error_code().0,
                description: error.to_string(),
            })
        };
        match handle.get_last_raw_message_by_subject(filter).await {
            Ok(message) => {
                let time = message.time.unix_timestamp_nanos().div_euclid(1_000);
                Ok(Some(Stored {
                    subject: message.subject.to_string(),
                    sequence: message.sequence,
                    time: Moment(i64::try_from(time).map_err(|error| Failure::Garbled(error.to_string()))?),
                    payload: message.payload,
                    headers: plain_headers(Some(&message.headers)),
                }))
            }
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(error) if error.error_code().0 == 10_037 => Ok(None),
                LastRawMessageErrorKind::JetStream(error) => Err(refused(error)),
                _ => Err(Failure::Silent(async_nats::client::RequestErrorKind::TimedOut)),
            },
        }
    }

    /// The partition's messages from there to the leader's end.
    pub async fn tail(&self, journal: Journal, partition: Partition, from: From) -> Result<Vec<Stored>, Error> {
        let Some(head) = self.head(journal, partition).await? else { return Ok(Vec::new()) };
        let start = match from {
            From::Sequence(sequence) if sequence > head.sequence => return Ok(Vec::new()),
            From::Sequence(sequence) if sequence == head.sequence => return Ok(vec![head]),
            From::Sequence(sequence) => json!({ "seq": sequence.max(1) }),
            From::Time(time) if time > head.time => return Ok(Vec::new()),
            // The server takes a time to the nanosecond, and a moment cuts the stored one down, so all of that microsecond is asked for.
            From::Time(time) => json!({ "start_time": time.to_string() }),
        };
        let filter = subject::partition_wildcard(journal, partition);
        self.pages(journal.stream(), &filter, start, head.sequence, usize::MAX).await
    }

    /// At most `most` messages of a stream under a filter from a sequence on.
    pub async fn scan(&self, stream: &str, filter: &str, from: u64, most: usize) -> Result<Vec<Stored>, Error> {
        let Some(last) = self.last(stream, filter).await.map_err(|failure| failure.doing(format!("read the end of {filter} of {stream}")))? else {
            return Ok(Vec::new());
        };
        if from > last.sequence || most == 0 {
            return Ok(Vec::new());
        }
        self.pages(stream, filter, json!({ "seq": from.max(1) }), last.sequence, most).await
    }

    async fn pages(&self, stream: &str, filter: &str, start: Value, end: u64, most: usize) -> Result<Vec<Stored>, Error> {
        let doing = || format!("read {filter} of {stream} up to {end}");
        let (mut all, mut start, mut lags): (Vec<Stored>, _, _) = (Vec::new(), start, 0_u32);
        loop {
            let before = all.len();
            let mut query = start.clone();
            query["next_by_subj"] = json!(filter);
            query["batch"] = json!(PAGE.min(most - before));
            self.page(stream, &query, &mut all).await.map_err(|failure| failure.doing(doing()))?;
            let reached = all.last().is_some_and(|stored| stored.sequence >= end);
            if reached || all.len() >= most {
                return Ok(all);
            }
            if let Some(stored) = all.last() {
                start = json!({ "seq": stored.sequence + 1 });
            }
            if all.len() == before {
                lags += 1;
                if lags > LAGS_MAX {
                    return Err(Error::caused(Kind::Unavailable, doing(), "the replicas lag behind their leader"));
                }
                super::pause(Duration::from_millis(1 << lags.min(8))).await;
            }
        }
    }

    /// One batched direct get; what came before a failure stays in `all`.
    async fn page(&self, stream: &str, query: &Value, all: &mut Vec<Stored>) -> Result<(), Failure> {
        let gone = |error: &dyn std::fmt::Display| Failure::Garbled(error.to_string());
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|error| gone(&error))?;
        let subject = format!("{}.DIRECT.GET.{stream}", self.prefix);
        self.client.publish_with_reply(subject, inbox, query.to_string().into()).await.map_err(|error| gone(&error))?;
        loop {
            let silent = || Failure::Silent(async_nats::client::RequestErrorKind::TimedOut);
            let next = tokio::time::timeout(ANSWER_WAIT, answers.next()).await.map_err(|_| silent())?;
            let message = next.ok_or_else(silent)?;
            match message.status.map(|status| status.as_u16()) {
                // The end of the batch, or nothing there.
                Some(204 | 404) => return Ok(()),
                Some(503) => return Err(Failure::Silent(async_nats::client::RequestErrorKind::NoResponders)),
                Some(code) if code != 200 => {
                    let description = message.description.unwrap_or_default();
                    return Err(Failure::Refused(Refusal { code, err_code: 0, description }));
                }
                _ => all.push(stored(&message).ok_or_else(|| Failure::Garbled("a direct get without its headers".to_owned()))?),
            }
        }
    }

    /// First, last and count of a stream and the broker's time, from the leader.
    pub async fn look(&self, stream: &str) -> Result<Look, Error> {
        let doing = || format!("look at {stream}");
        let info = self.api(&format!("STREAM.INFO.{stream}"), &Value::Null).await.map_err(|failure| failure.doing(doing()))?;
        let number = |name: &str| info["state"][name].as_u64();
        let look = || {
            Some(Look { first: number("first_seq")?, last: number("last_seq")?, messages: number("messages")?, now: moment(info["ts"].as_str()?)? })
        };
        look().ok_or_else(|| Error::caused(Kind::Unavailable, doing(), "the server's answer lacks its numbers"))
    }

    /// Forgets a partition's messages below `keep_from`, never its last one.
    pub async fn trim(&self, journal: Journal, partition: Partition, keep_from: u64) -> Result<u64, Error> {
        let Some(head) = self.head(journal, partition).await? else { return Ok(0) };
        let stream = journal.stream();
        // What a processor has not answered yet is its input still, however old it is.
        let answered = if table::readers_of(stream).next().is_some() { self.answered(stream).await? } else { u64::MAX };
        let below = keep_from.min(head.sequence).min(answered.saturating_add(1));
        self.purge(stream, Some(&subject::partition_wildcard(journal, partition)), below).await
    }

    /// Forgets what every declared consumer of an inbox has acked.
    pub async fn trim_answered(&self, stream: &str) -> Result<u64, Error> {
        let doing = || format!("trim {stream}");
        if table::stream(stream).is_none_or(|table| table.role != table::Role::Inbox) {
            return Err(Error::caused(Kind::Malformed, doing(), "only an inbox is trimmed by what is answered"));
        }
        self.purge(stream, None, self.answered(stream).await?.saturating_add(1)).await
    }

    /// Up to which sequence every declared consumer of a stream has acked.
    async fn answered(&self, stream: &str) -> Result<u64, Error> {
        let doing = || format!("find out what of {stream} is answered");
        // Taken before the consumers', so that a consumer with nothing left to do has answered at least up to here.
        let end = self.look(stream).await?.last;
        let consumers = self.consumers(stream).await.map_err(|failure| failure.doing(doing()))?;
        let mut floors = Vec::new();
        for info in &consumers {
            let number =
                |value: &Value| value.as_u64().ok_or_else(|| Error::caused(Kind::Unavailable, doing(), "the server's answer lacks its numbers"));
            let name = info["name"].as_str().unwrap_or_default();
            // Somebody else's reader must not be able to fill an inbox.
            if table::owner_of(stream, name).is_some() {
                let open = number(&info["num_pending"])? + number(&info["num_ack_pending"])?;
                let floor = if open == 0 { end } else { number(&info["ack_floor"]["stream_seq"])? };
                floors.push((name.to_owned(), floor));
            }
        }
        table::answered(stream, &floors).map_err(|missing| {
            Error::caused(Kind::NotProvisioned, doing(), format!("{missing} has no complete set of consumers, so nobody knows what it has answered"))
        })
    }

    /// How far a reader has come, from its leader.
    pub async fn reach(&self, Reader { stream, durable, .. }: &Reader) -> Result<Reach, Error> {
        let doing = || format!("find out how far {durable} has come in {stream}");
        let info = self.api(&format!("CONSUMER.INFO.{stream}.{durable}"), &Value::Null).await.map_err(|failure| failure.doing(doing()))?;
        let number = |name: &str| info[name]["stream_seq"].as_u64();
        let reach = || Some(Reach { acked: number("ack_floor")?, handed: number("delivered")? });
        reach().ok_or_else(|| Error::caused(Kind::Unavailable, doing(), "the server's answer lacks its numbers"))
    }

    /// All consumers of a stream, as the server describes them.
    pub async fn consumers(&self, stream: &str) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        loop {
            let page = self.api(&format!("CONSUMER.LIST.{stream}"), &json!({ "offset": all.len() })).await?;
            let consumers = page["consumers"].as_array().cloned().unwrap_or_default();
            let total = page["total"].as_u64().and_then(|total| usize::try_from(total).ok()).unwrap_or(0);
            let done = consumers.is_empty();
            all.extend(consumers);
            if done || all.len() >= total {
                return Ok(all);
            }
        }
    }

    async fn purge(&self, stream: &str, filter: Option<&str>, below: u64) -> Result<u64, Error> {
        let doing = || format!("trim {stream} below {below}");
        // Without a bound the server would purge everything.
        if below <= 1 {
            return Ok(0);
        }
        let mut query = json!({ "seq": below });
        if let Some(filter) = filter {
            query["filter"] = json!(filter);
        }
        let answer = self.api(&format!("STREAM.PURGE.{stream}"), &query).await.map_err(|failure| failure.doing(doing()))?;
        answer["purged"].as_u64().ok_or_else(|| Error::caused(Kind::Unavailable, doing(), "the server's answer lacks its numbers"))
    }
}
