//! The cache that all replicas share: one Redis.
//!
//! A fact is a hash `PREFIX:KIND:CREDENTIAL`; a field is a part's id; its value is the part's `at` (8 bytes that sort as the number does), `+`, or `~`
//! where it ends by itself, and the part as MessagePack; or `-` where it was removed. A hash without any `+` ends by itself. `PREFIX:generation` says
//! which rebuild it is, and whether it was completed; `PREFIX:followed` up to where each journal was written.
//!
//! Invariants
//! 1. A read is one round trip, however many facts it asks for   (`production` `a_read_of_many_facts_is_one_round_trip`).
//! 2. Whoever may forget keys by itself is refused: what it lacks would mean nothing   (`production` `a_server_that_evicts_is_refused`).
//! 3. Nothing of the address but that it is wrong is ever said   (`tests::an_address_is_not_repeated`).
//!
//! Not here: Redis Cluster (a read would be several round trips; one server holds the facts of many million cars) and TLS.

use super::{Cache, Fact, Followed, Found, Generation, ends, forgotten, kept};
use crate::{Answer, Error, Kind};
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline, RedisError, Value, aio::MultiplexedConnection};
use schema::{
    Credential, Journal, Moment, Token,
    fact::{self, Part, What},
    gate::{Colour, CredentialKind},
    wire::{self, Format},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{sync::Mutex, time::timeout};

/// A cache in Redis.
pub struct Redis {
    client: Client,
    prefix: Token<32>,
    timeouts: Timeouts,
    /// The one connection, which all calls share.
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Calls in a row that were not answered in time.
    unanswered: AtomicU32,
}

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To take a connection.
    pub connect: Duration,
    /// To answer anything but a read, which has its caller's time.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), answer: Duration::from_secs(5) }
    }
}

/// Why a text is not the address of a Redis. It may hold a password, so it is not repeated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no address of a Redis: write redis://host:port, or redis://user:password@host:port/database with % for special characters")]
pub struct NotAnAddress;

/// A connection that leaves so many calls in a row unanswered is given up: its other end may be gone without a word.
const UNANSWERED_MAX: u32 = 8;
/// Facts of one script, which nobody else can interrupt.
const FACTS_PER_SCRIPT: usize = 64;
/// Parts of one script.
const PARTS_PER_SCRIPT: usize = 512;

/// For each key: how many parts, up to which time what ends by itself is forgotten, after how many milliseconds a hash of such parts alone ends, and
/// the parts, each an id and a value.
const WRITE: &str = r"
local function newer(a, b)
  for i = 1, 8 do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x > y end
  end
  return false
end
local next = 1
for _, key in ipairs(KEYS) do
  local count, forgotten, kept, ends = tonumber(ARGV[next]), ARGV[next + 1], ARGV[next + 2], false
  next = next + 3
  for _ = 1, count do
    local id, value = ARGV[next], ARGV[next + 1]
    next = next + 2
    local held = redis.call('HGET', key, id)
    if not held or newer(value, held) then
      redis.call('HSET', key, id, value)
      if value:sub(9, 9) == '+' then redis.call('PERSIST', key) else ends = true end
    end
  end
  if ends then
    local parts, lives = redis.call('HGETALL', key), false
    for i = 1, #parts, 2 do
      if parts[i + 1]:sub(9, 9) == '+' then
        lives = true
      elseif newer(forgotten, parts[i + 1]) then
        redis.call('HDEL', key, parts[i])
      end
    end
    if not lives then redis.call('PEXPIRE', key, kept) end
  end
end
";
/// Gives the new generation.
const BEGIN: &str = r"
local time = redis.call('TIME')
local generation = time[1] .. string.format('%06d', time[2])
redis.call('SET', KEYS[1], 'building ' .. generation)
return generation
";
/// Gives 1 if the generation is complete now.
const COMPLETE: &str = r"
local marker = redis.call('GET', KEYS[1])
if marker == 'building ' .. ARGV[1] then redis.call('SET', KEYS[1], 'complete ' .. ARGV[1]) return 1 end
if marker == 'complete ' .. ARGV[1] then return 1 end
return 0
";

impl Redis {
    /// A Redis by its address; nothing is connected yet. All keys begin with `prefix`, so that several systems can share a server.
    pub fn new(address: &str, prefix: Token<32>, timeouts: Timeouts) -> Result<Self, NotAnAddress> {
        let client = Client::open(address).map_err(|_| NotAnAddress)?;
        Ok(Self { client, prefix, timeouts, connection: Mutex::new(None), unanswered: AtomicU32::new(0) })
    }

    fn marker(&self) -> String {
        format!("{}:generation", self.prefix)
    }

    fn positions(&self) -> String {
        format!("{}:followed", self.prefix)
    }

    fn key(&self, (credential, kind): &Fact) -> String {
        let what = match credential.kind {
            CredentialKind::Plate => 'p',
            CredentialKind::Tag => 't',
            CredentialKind::Ticket => 'q',
        };
        let colour = match credential.colour {
            None => '-',
            Some(Colour::Blue) => 'b',
            Some(Colour::Green) => 'g',
            Some(Colour::Yellow) => 'y',
            Some(Colour::White) => 'w',
            Some(Colour::Black) => 'k',
        };
        format!("{}:{}:{what}{colour}{}", self.prefix, kind.as_str(), credential.text)
    }

    /// Sends commands in one round trip and gives their answers.
    async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline, within: Duration, doing: &'static str) -> Result<T, Error> {
        let asked = timeout(within, async {
            let mut connection = self.connection().await?;
            pipeline.query_async(&mut connection).await
        });
        match asked.await {
            Ok(Ok(answer)) => {
                self.unanswered.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                if error.is_unrecoverable_error() || error.is_io_error() {
                    self.give_up();
                }
                Err(Error::caused(Kind::Unavailable, doing, error))
            }
            Err(late) => {
                if self.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= UNANSWERED_MAX {
                    self.give_up();
                }
                Err(Error::caused(Kind::Unavailable, doing, late))
            }
        }
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        // A caller's own time bounds the answer.
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(self.timeouts.connect)).set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.unanswered.store(0, Ordering::Relaxed);
        Ok(held.insert(connection).clone())
    }

    /// The next call connects anew. Whoever connects at this moment is left to it.
    fn give_up(&self) {
        if let Ok(mut held) = self.connection.try_lock() {
            *held = None;
        }
    }

    async fn script<T: FromRedisValue>(&self, script: &str, argument: Option<u64>, doing: &'static str) -> Result<T, Error> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("EVAL").arg(script).arg(1).arg(self.marker()).arg(argument);
        let (answer,): (T,) = self.ask(&pipeline, self.timeouts.answer, doing).await?;
        Ok(answer)
    }

    async fn find(&self, facts: &[Fact], within: Duration) -> Result<Vec<Found>, Error> {
        const DOING: &str = "reading facts from the cache";
        let mut pipeline = Pipeline::with_capacity(facts.len() + 2);
        pipeline.cmd("GET").arg(self.marker());
        for fact in facts {
            pipeline.cmd("HGETALL").arg(self.key(fact));
        }
        pipeline.cmd("GET").arg(self.marker());
        let answers: Vec<Value> = self.ask(&pipeline, within, DOING).await?;
        let [before, hashes @ .., after] = answers.as_slice() else {
            return Err(Error::new(Kind::Unavailable, DOING));
        };
        // It may have been emptied in between, and rebuilt in part: then the marker is another one.
        if before != after || !is_complete(after) || hashes.len() != facts.len() {
            return Err(Error::new(Kind::Incomplete, DOING));
        }
        Ok(hashes.iter().map(decode).collect())
    }

    /// Whoever evicts keys of any kind when its memory is full may evict a ban.
    async fn refuse_eviction(&self) -> Result<(), Error> {
        const DOING: &str = "asking the cache whether it evicts";
        let (info,): (String,) = self.ask(Pipeline::new().cmd("INFO").arg("memory"), self.timeouts.answer, DOING).await?;
        let says = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let bounded = says("maxmemory").is_some_and(|bytes| bytes != "0");
        if bounded && says("maxmemory_policy").is_some_and(|policy| policy.starts_with("allkeys")) {
            return Err(Error::new(Kind::Forgets, DOING));
        }
        Ok(())
    }
}

fn is_complete(marker: &Value) -> bool {
    matches!(marker, Value::BulkString(text) if text.starts_with(b"complete "))
}

/// Eight bytes that sort as the moment does.
fn sortable(at: Moment) -> [u8; 8] {
    (at.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn encode(part: &Part) -> Vec<u8> {
    let mut value = sortable(part.at).to_vec();
    if matches!(part.what, What::Removed(_)) {
        value.push(b'-');
    } else {
        value.push(if ends(part) { b'~' } else { b'+' });
        value.extend(wire::encode(Format::MessagePack, part));
    }
    value
}

fn decode(hash: &Value) -> Found {
    const DOING: &str = "decoding a fact from the cache";
    let fields: Vec<(Vec<u8>, Vec<u8>)> =
        FromRedisValue::from_redis_value(hash.clone()).map_err(|error| Error::caused(Kind::Damaged, DOING, error))?;
    let parts = fields.into_iter().filter_map(|(_, value)| match value.get(8..) {
        Some([b'-', ..]) => None,
        Some([b'+' | b'~', part @ ..]) => Some(wire::decode(Some(Format::MessagePack.content_type()), part).map_err(|error| match error {
            wire::Error::UnknownVersion(_) => Error::caused(Kind::Newer, DOING, error),
            wire::Error::Malformed(_) => Error::caused(Kind::Damaged, DOING, error),
        })),
        _ => Some(Err(Error::new(Kind::Damaged, DOING))),
    });
    parts.collect()
}

impl Cache for Redis {
    fn read(&self, facts: Vec<Fact>, within: Duration) -> BoxStream<'_, (Fact, Found)> {
        let answered = async move {
            if facts.is_empty() {
                return stream::iter(vec![]);
            }
            let found = match self.find(&facts, within).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(facts = facts.len(), %error, cause = error.source.as_ref().map(tracing::field::display), "no facts from the cache");
                    facts.iter().map(|_| Err(Error::new(error.kind, error.doing.clone()))).collect()
                }
            };
            stream::iter(facts.into_iter().zip(found).collect::<Vec<_>>())
        };
        answered.flatten_stream().boxed()
    }

    fn write(&self, parts: Vec<(Credential, Part)>) -> Answer<'_, ()> {
        async move {
            let mut facts: BTreeMap<(fact::Kind, Credential), Vec<Part>> = BTreeMap::new();
            for (credential, part) in parts {
                facts.entry((part.what.kind(), credential)).or_default().push(part);
            }
            let pieces: Vec<(String, &[Part])> = facts
                .iter()
                .flat_map(|((kind, credential), parts)| {
                    let key = self.key(&(credential.clone(), *kind));
                    parts.chunks(PARTS_PER_SCRIPT).map(move |parts| (key.clone(), parts))
                })
                .collect();
            let mut pipeline = Pipeline::new();
            let mut rest = pieces.as_slice();
            while !rest.is_empty() {
                let mut parts = 0;
                let fits = |(_, piece): &&(String, &[Part])| {
                    parts += piece.len();
                    parts <= PARTS_PER_SCRIPT
                };
                let (now, later) = rest.split_at(rest.iter().take(FACTS_PER_SCRIPT).take_while(fits).count().max(1));
                let script = pipeline.cmd("EVAL").arg(WRITE).arg(now.len());
                for (key, _) in now {
                    script.arg(key);
                }
                for (_, parts) in now {
                    // The parts of a key are of one kind.
                    let kind = parts.first().map_or(fact::Kind::Bans, |part| part.what.kind());
                    let newest = parts.iter().map(|part| part.at).max().unwrap_or_default();
                    script.arg(parts.len()).arg(&sortable(forgotten(kind, newest))[..]).arg(kept(kind) / 1_000);
                    for part in *parts {
                        script.arg(part.id.as_str()).arg(encode(part));
                    }
                }
                script.ignore();
                rest = later;
            }
            if pieces.is_empty() { Ok(()) } else { self.ask(&pipeline, self.timeouts.answer, "writing facts to the cache").await }
        }
        .boxed()
    }

    fn is_complete(&self) -> Answer<'_, bool> {
        async move {
            let (marker,): (Value,) =
                self.ask(Pipeline::new().cmd("GET").arg(self.marker()), self.timeouts.answer, "asking the cache whether it is complete").await?;
            Ok(is_complete(&marker))
        }
        .boxed()
    }

    fn begin_rebuild(&self) -> Answer<'_, Generation> {
        async move {
            self.refuse_eviction().await?;
            self.script(BEGIN, None, "beginning to rebuild the cache").await.map(Generation)
        }
        .boxed()
    }

    fn complete(&self, generation: Generation) -> Answer<'_, bool> {
        self.script(COMPLETE, Some(generation.0), "completing a rebuild of the cache").boxed()
    }

    fn clear(&self) -> Answer<'_, ()> {
        const DOING: &str = "clearing the cache";
        async move {
            let _: Value = self.ask(Pipeline::new().cmd("UNLINK").arg(self.marker()), self.timeouts.answer, DOING).await?;
            let mut cursor = "0".to_owned();
            loop {
                let mut scan = Pipeline::new();
                scan.cmd("SCAN").arg(&cursor).arg("MATCH").arg(format!("{}:*", self.prefix)).arg("COUNT").arg(1_000);
                let ((next, keys),): ((String, Vec<Vec<u8>>),) = self.ask(&scan, self.timeouts.answer, DOING).await?;
                if !keys.is_empty() {
                    let _: Value = self.ask(Pipeline::new().cmd("UNLINK").arg(keys), self.timeouts.answer, DOING).await?;
                }
                if next == "0" {
                    return Ok(());
                }
                cursor = next;
            }
        }
        .boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn followed(&self) -> Answer<'_, Vec<Followed>> {
        const DOING: &str = "asking the cache up to where it was written";
        async move {
            let (held,): (BTreeMap<String, String>,) =
                self.ask(Pipeline::new().cmd("HGETALL").arg(self.positions()), self.timeouts.answer, DOING).await?;
            let position = |(stream, position): (String, String)| {
                let journal = Journal::ALL.into_iter().find(|journal| journal.stream() == stream)?;
                let (sequence, at) = position.split_once(' ')?;
                Some(Followed { journal, sequence: sequence.parse().ok()?, at: Moment(at.parse().ok()?) })
            };
            held.into_iter().map(|held| position(held).ok_or_else(|| Error::new(Kind::Damaged, DOING))).collect()
        }
        .boxed()
    }

    fn follow(&self, to: Vec<Followed>) -> Answer<'_, ()> {
        async move {
            let mut pipeline = Pipeline::new();
            for Followed { journal, sequence, at } in &to {
                pipeline.cmd("HSET").arg(self.positions()).arg(journal.stream()).arg(format!("{sequence} {}", at.0)).ignore();
            }
            if to.is_empty() { Ok(()) } else { self.ask(&pipeline, self.timeouts.answer, "saying up to where the cache is written").await }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_sort_as_their_bytes_do() {
        let moments = [i64::MIN, -2, -1, 0, 1, 255, 256, 1_795_392_000_000_000, i64::MAX];
        let bytes: Vec<[u8; 8]> = moments.into_iter().map(|at| sortable(Moment(at))).collect();
        assert!(bytes.is_sorted() && bytes.windows(2).all(|pair| pair[0] != pair[1]), "{bytes:?}");
    }

    #[test]
    fn an_address_is_not_repeated() {
        for bad in ["", "hunter2", "http://user:hunter2@host", "redis://user:hunter2@host:port", "redis://:hunter2@"] {
            let error = Redis::new(bad, "boomgate".parse().expect("a name"), Timeouts::default()).err().expect("it is none");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert!(Redis::new("redis://user:hunter2@127.0.0.1:6379/2", "boomgate".parse().expect("a name"), Timeouts::default()).is_ok());
    }
}
