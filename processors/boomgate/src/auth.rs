//! Who may do what at the broker: a key of its own for each lane's device and for each part of ourselves.
//!
//! A folder holds it all: a seed per key, which is the secret (`devices/<lot>/<lane>.seed`, `users/<name>.seed`), and `nats-server.conf`, which
//! nats-server includes and in which there are public keys alone.
//!
//! Each device is an account of its own, which imports its lane's two subjects and nothing else; the streams are in ours. Permissions alone would
//! not do: nobody checks the reply subject of what is published, so a device among ours could have JetStream write its acknowledgement into a
//! journal, or tell it to another lane. In an account of its own that reply goes to nobody but itself.
//!
//! Invariants
//! 1. A device can publish for its own lane and hear its own lane, and nothing else   (`tests::a_device_is_kept_to_its_lane`).
//! 2. A reply subject does not carry an acknowledgement out of a device's account   (`tests::a_reply_subject_reaches_nobody_else`).
//! 3. What was written once stays: a seed is made once, and one that others can read is refused   (`tests::seeds_are_kept_and_kept_secret`).
//! 4. A device that is not declared any more has no access after the next reload   (`tests::a_removed_device_has_no_access`).
//! 5. The configuration and every error are without seeds   (`tests::a_seed_is_in_its_own_file_alone`).
//! 6. A dead letter of any inbox goes in again by the operator   (`tests::the_operator_tries_a_dead_letter_of_any_inbox_again`).
//!
//! Not here: how a server takes it (`streams::Server`), what the payloads say (`schema/device.md`).

use anyhow::{Context, Result, bail};
use nkeys::{KeyPair, KeyPairType};
use schema::{LaneId, LotId};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use streams::table::{self, KEYS, MEMBERS, RECONCILE, REFERENCE, Role};

/// The part of nats-server's configuration, in the folder.
const CONFIG: &str = "nats-server.conf";
/// The account of the streams and of ourselves.
const ACCOUNT: &str = "BOOMGATE";
/// What a lane is told.
const COMMANDS: &str = "lane.*.*";
/// What devices tell that they live.
const ALIVE: &str = crate::silence::ALIVE;
/// What is told of open settlement windows.
const TOTALS: &str = crate::running::TOTALS;
/// Where people speak: the operator's tools alone.
const DESKS: &str = "DESK";
/// What a payment channel is asked for.
const CALLS: [&str; 3] = ::gateway::calls::HEARS;
/// What channels say.
const CHANNELS: &str = "CHANNEL";
/// What is found in channels' statements.
const STATEMENTS: &str = "STATEMENT";
/// The queue of work.
const WORK: &str = "WORK";

/// A part of ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// The processors: read the inboxes, write the journals, tell lanes and channels.
    Processors,
    /// Whoever makes streams, applies reference data, handles dead letters and speaks for people at desks.
    Operator,
    /// Whoever reads everything and changes nothing.
    Auditor,
    /// Who calls payment channels: hears what they are asked for, says what they answered, and that it lives.
    Caller,
    /// The front doors: writes the inboxes, the desks' too, and the bucket of idempotency keys, hears what lanes are told, reads everything.
    Gateway,
    /// Who compares channels' statements: takes work, says what it found, and reads the journals' rows elsewhere.
    Reconciler,
    /// Whoever plays devices and channels: writes the inboxes except the desks', hears what goes out, reads everything.
    World,
}

impl User {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Processors, Self::Operator, Self::Auditor, Self::Caller, Self::Gateway, Self::Reconciler, Self::World];

    /// Its name, in files and inboxes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processors => "boomgate",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Caller => "caller",
            Self::Gateway => "gateway",
            Self::Reconciler => "reconciler",
            Self::World => "world",
        }
    }

    /// Under what its answers come. No device's begins the same.
    pub fn inbox(self) -> String {
        format!("_INBOX.{}", self.name())
    }

    /// The file of its seed.
    pub fn seed(self, folder: &Path) -> PathBuf {
        folder.join("users").join(format!("{}.seed", self.name()))
    }

    /// What it may publish.
    fn publishes(self) -> Vec<String> {
        let streams = table::STREAMS.iter();
        let inboxes = |without: &'static str| {
            // What is found in statements is said by whoever compares them, and again by an operator.
            let is_open = move |stream: &&table::Stream| stream.role == Role::Inbox && ![without, STATEMENTS].contains(&stream.name);
            let inboxes = table::STREAMS.iter().filter(is_open);
            inboxes.map(|stream| stream.listens.to_owned())
        };
        match self {
            Self::Processors => streams
                .flat_map(|stream| {
                    // What a repair says goes in by the inbox of channels.
                    let listens = (matches!(stream.role, Role::Journal | Role::Dead) || stream.name == CHANNELS).then(|| stream.listens.to_owned());
                    let trims = matches!(stream.role, Role::Inbox | Role::Journal).then(|| format!("$JS.API.STREAM.PURGE.{}", stream.name));
                    let consumes = table::readers_of(stream.name).next().map(|_| consumes(stream.name)).into_iter().flatten();
                    reads(stream.name).into_iter().chain(listens).chain(trims).chain(consumes)
                })
                .chain([MEMBERS, REFERENCE].into_iter().flat_map(keeps))
                .chain([COMMANDS, TOTALS].into_iter().chain(CALLS).map(str::to_owned))
                .collect(),
            Self::Operator => {
                // A dead letter of any of them goes in again, beside what is asked for.
                let again = [STATEMENTS, WORK].into_iter().filter_map(|name| Some(table::stream(name)?.listens.to_owned()));
                let all = ["$JS.API.>".to_owned()].into_iter().chain(keeps(REFERENCE)).chain(inboxes(""));
                all.chain(again).collect()
            }
            Self::Auditor => reads_all().collect(),
            Self::Caller => {
                let says = table::stream(CHANNELS).map(|stream| stream.listens.to_owned());
                let lives = ["$JS.API.STREAM.INFO", "$JS.API.STREAM.PURGE"].map(|call| format!("{call}.KV_{MEMBERS}"));
                says.into_iter().chain(lives).chain([format!("$KV.{MEMBERS}.{}.>", ::gateway::calls::ROOM)]).collect()
            }
            Self::Gateway => reads_all().chain(inboxes("")).chain([format!("$KV.{KEYS}.>"), ALIVE.to_owned()]).collect(),
            Self::Reconciler => {
                let says = [STATEMENTS, WORK].into_iter().filter_map(|name| Some(table::stream(name)?.listens.to_owned()));
                let dead = table::STREAMS.iter().filter(|stream| stream.role == Role::Dead).map(|stream| stream.listens.to_owned());
                reads(WORK).into_iter().chain(consumes(WORK)).chain(keeps(RECONCILE)).chain(says).chain(dead).collect()
            }
            Self::World => reads_all().chain(inboxes(DESKS)).collect(),
        }
    }

    /// What it may hear.
    fn hears(self) -> Vec<String> {
        let answers = format!("{}.>", self.inbox());
        match self {
            Self::Processors => vec![answers, format!("$KV.{REFERENCE}.>"), ALIVE.to_owned()],
            Self::Operator => vec![answers, format!("$KV.{REFERENCE}.>")],
            Self::Auditor => vec![answers, TOTALS.to_owned()],
            Self::Reconciler => vec![answers],
            Self::Caller => [answers].into_iter().chain(CALLS.map(str::to_owned)).collect(),
            Self::Gateway => vec![answers, format!("$KV.{REFERENCE}.>"), COMMANDS.to_owned(), TOTALS.to_owned()],
            Self::World => [answers, COMMANDS.to_owned()].into_iter().chain(CALLS.map(str::to_owned)).collect(),
        }
    }
}

/// What reads a stream and its consumers without changing anything.
fn reads(stream: &str) -> Vec<String> {
    ["STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET", "CONSUMER.LIST"]
        .map(|call| format!("$JS.API.{call}.{stream}"))
        .into_iter()
        .chain([format!("$JS.API.CONSUMER.INFO.{stream}.*")])
        .collect()
}

fn reads_all() -> impl Iterator<Item = String> {
    let buckets = [MEMBERS, REFERENCE, KEYS, RECONCILE].map(|bucket| format!("KV_{bucket}"));
    table::STREAMS.iter().map(|stream| stream.name.to_owned()).chain(buckets).flat_map(|stream| reads(&stream))
}

/// What consumes a stream by a durable consumer, which is made again if it is gone.
fn consumes(stream: &str) -> [String; 4] {
    [
        format!("$JS.API.CONSUMER.CREATE.{stream}.*"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
        format!("$JS.ACK.{stream}.>"),
        // With domain and account before the stream, on servers that say them (ADR-15).
        format!("$JS.ACK.*.*.{stream}.>"),
    ]
}

/// What reads and writes a bucket.
fn keeps(bucket: &str) -> Vec<String> {
    let stream = format!("KV_{bucket}");
    let writes = [format!("$JS.API.STREAM.PURGE.{stream}"), format!("$KV.{bucket}.>")];
    reads(&stream).into_iter().chain(writes).collect()
}

/// A lane's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Its lot.
    pub lot: LotId,
    /// Its lane.
    pub lane: LaneId,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.lot, self.lane)
    }
}

impl Device {
    /// What it may publish: events of every kind for its lane.
    pub fn publishes(&self) -> String {
        format!("gate.{}.{}.*", self.lot, self.lane)
    }

    /// On what it tells that it lives.
    pub fn lives(&self) -> String {
        format!("alive.{}.{}", self.lot, self.lane)
    }

    /// What it hears: its lane's commands.
    pub fn hears(&self) -> String {
        format!("lane.{}.{}", self.lot, self.lane)
    }

    /// Under what its answers come.
    pub fn inbox(&self) -> String {
        format!("_INBOX.device.{}.{}", self.lot, self.lane)
    }

    /// The file of its seed.
    pub fn seed(&self, folder: &Path) -> PathBuf {
        folder.join("devices").join(self.lot.as_str()).join(format!("{}.seed", self.lane))
    }

    /// Its account. No name of a lot or lane has a dot, so it is nobody else's.
    fn account(&self) -> String {
        format!("{}.{}", self.lot, self.lane)
    }

    fn declared(&self, key: &str) -> Value {
        json!({
            "users": [user(key, &[self.publishes(), self.lives()], &[self.hears(), format!("{}.>", self.inbox())])],
            "imports": [
                { "service": { "account": ACCOUNT, "subject": self.publishes() } },
                { "service": { "account": ACCOUNT, "subject": self.lives() } },
                { "stream": { "account": ACCOUNT, "subject": self.hears() } },
            ],
        })
    }
}

fn user(key: &str, publishes: &[String], hears: &[String]) -> Value {
    json!({ "nkey": key, "permissions": { "publish": { "allow": publishes }, "subscribe": { "allow": hears } } })
}

/// What came of writing a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// How many keys were there already.
    pub kept: usize,
    /// The new keys, by name.
    pub made: Vec<String>,
    /// The devices that are not declared any more: their seeds are there still, and open nothing.
    pub dropped: Vec<String>,
}

/// Where a folder has its part of nats-server's configuration.
pub fn config(folder: &Path) -> PathBuf {
    folder.join(CONFIG)
}

/// Writes a folder for these devices and for ourselves: seeds that are not there yet, then the configuration, at once.
pub fn write(folder: &Path, devices: impl IntoIterator<Item = Device>) -> Result<Written> {
    let devices: BTreeSet<Device> = devices.into_iter().collect();
    let mut written = Written::default();
    let mut key = |path: &Path, name: String| -> Result<String> {
        let (key, made) = key(path)?;
        if made {
            written.made.push(name);
        } else {
            written.kept = written.kept.saturating_add(1);
        }
        Ok(key)
    };
    let mut users = Vec::new();
    for one in User::ALL {
        users.push(user(&key(&one.seed(folder), one.name().to_owned())?, &one.publishes(), &one.hears()));
    }
    let events = table::STREAMS.iter().find(|stream| stream.name == "GATE").expect("the table has it").listens;
    let ours = json!({ "jetstream": "enabled", "users": users, "exports": [{ "service": events }, { "service": ALIVE }, { "stream": COMMANDS }] });
    let mut accounts = Map::from_iter([(ACCOUNT.to_owned(), ours)]);
    for device in &devices {
        accounts.insert(device.account(), device.declared(&key(&device.seed(folder), device.to_string())?));
    }
    let lines: Vec<String> = accounts.iter().map(|(name, account)| format!("  {}: {account}", Value::from(name.as_str()))).collect();
    let text = format!(
        "# Written by `boomgate provision --auth`: who may do what. There are public keys alone in it.\naccounts: {{\n{}\n}}\n",
        lines.join(",\n")
    );
    replace(&config(folder), text.as_bytes(), 0o644)?;
    written.dropped = on_disk(folder)?.difference(&devices).map(Device::to_string).collect();
    Ok(written)
}

/// The public half of a key whose seed is in a file; the file is made if it is not there.
fn key(path: &Path) -> Result<(String, bool)> {
    match fs::metadata(path) {
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                bail!(
                    "the seed {} can be read by others (mode {mode:03o}): chmod 600 it, or delete it and hand the device a new one",
                    path.display()
                );
            }
            let seed = fs::read_to_string(path).with_context(|| format!("cannot read the seed {}", path.display()))?;
            // What is wrong with it is not said: the text of an error must not lead to what is in the file.
            match KeyPair::from_seed(seed.trim()) {
                Ok(pair) if pair.key_pair_type() == KeyPairType::User => Ok((pair.public_key(), false)),
                Ok(_) | Err(_) => bail!("{} holds no user's seed: delete it for a new one", path.display()),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let pair = KeyPair::new_user();
            let seed = pair.seed().ok().with_context(|| format!("cannot make a seed for {}", path.display()))?;
            replace(path, format!("{seed}\n").as_bytes(), 0o600)?;
            Ok((pair.public_key(), true))
        }
        Err(error) => Err(error).with_context(|| format!("cannot look at the seed {}", path.display())),
    }
}

/// Writes a file whole or not at all.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let beside = path.with_extension("new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The devices of which a folder has a seed.
fn on_disk(folder: &Path) -> Result<BTreeSet<Device>> {
    let devices = folder.join("devices");
    let entries = |path: &Path| match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let name = |path: &Path| path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut found = BTreeSet::new();
    for lot in entries(&devices)?.iter().filter(|path| path.is_dir()) {
        for lane in entries(lot)?.iter().filter(|path| path.extension().is_some_and(|extension| extension == "seed")) {
            if let (Ok(lot), Ok(lane)) = (name(lot).parse(), name(lane).parse()) {
                found.insert(Device { lot, lane });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
