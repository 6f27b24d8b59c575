//! Who may do what at the broker: a key of its own for each lane's device and for each part of ourselves.
//!
//! A folder holds it all: a seed per key, which is the secret (`devices/<lot>/<lane>.seed`, `users/<name>.seed`), and `nats-server.conf`, which
//! nats-server includes and in which there are public keys alone.
//!
//! Each device and each part is an account of its own, which imports what it may ask for and hear, and nothing else; the streams are in the
//! operator's. Permissions alone would not do: nobody checks the reply subject of what is published, so whoever is among the streams could have
//! JetStream write its acknowledgement, or any message that it may read, into a journal, or tell it to a lane. In an account of its own that reply
//! goes to nobody but itself. For the same reason nobody but the operator makes consumers: one that pushes could push into a journal.
//!
//! Invariants
//! 1. A device can publish for its own lane and hear its own lane, and nothing else   (`tests::a_device_is_kept_to_its_lane`).
//! 2. A reply subject carries nothing out of a device's account, nor out of a part's   (`tests::a_reply_subject_reaches_nobody_else`,
//!    `tests::a_reply_subject_reaches_no_journal`).
//! 3. What was written once stays: a seed is made once, and one that others can read is refused   (`tests::seeds_are_kept_and_kept_secret`).
//! 4. A device that is not declared any more has no access after the next reload   (`tests::a_removed_device_has_no_access`).
//! 5. The configuration and every error are without seeds   (`tests::a_seed_is_in_its_own_file_alone`).
//! 6. A dead letter of any inbox goes in again by the operator   (`tests::the_operator_tries_a_dead_letter_of_any_inbox_again`).
//! 7. A processor appends to its own journal alone, is handed what is its own, and tells what its rules tell
//!    (`tests::a_processor_is_kept_to_its_own`); no more is needed   (`tests::a_device_is_answered_end_to_end`, where each has its own key).
//!
//! Not here: how a server takes it (`streams::Server`), what the payloads say (`schema/device.md`).

use anyhow::{Context, Result, bail};
use nkeys::{KeyPair, KeyPairType};
use rules::Rules;
use schema::{Journal, LaneId, LotId};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use streams::{
    Reader,
    table::{self, KEYS, MEMBERS, RECONCILE, REFERENCE, Role},
};

/// The part of nats-server's configuration, in the folder.
const CONFIG: &str = "nats-server.conf";
/// The account of the streams, and of the operator.
const ACCOUNT: &str = "BOOMGATE";
/// Under what the JetStream API is asked there, and by the others: `$JS.API` is answered by each account for itself.
const API: &str = "$JS.API";
const API_ELSEWHERE: &str = "JS.API";
/// The calls of that API that are answered once, and those that are answered by many messages.
const ANSWERED_ONCE: [&str; 5] = ["STREAM.INFO.*", "STREAM.MSG.GET.*", "STREAM.PURGE.*", "CONSUMER.LIST.*", "CONSUMER.INFO.*.*"];
const ANSWERED_OFTEN: [&str; 2] = ["DIRECT.GET.*", "CONSUMER.MSG.NEXT.*.*"];
/// By what messages are acked.
const ACKS: &str = "$JS.ACK";
/// All buckets.
const BUCKETS: [&str; 4] = [MEMBERS, REFERENCE, KEYS, RECONCILE];
/// What a lane is told.
const COMMANDS: &str = "lane.*.*";
/// What devices tell that they live.
const ALIVE: &str = crate::silence::ALIVE;
/// What is told of open settlement windows.
const TOTALS: &str = crate::running::TOTALS;
/// Where people speak: the operator's tools alone.
const DESKS: &str = "DESK";
/// What a payment channel is asked for: to give back, to open or close a payment, to know that a car has come.
const CALLS: [&str; 3] = ::gateway::calls::HEARS;
const REFUNDS: &str = CALLS[0];
const ATTEMPTS: &str = CALLS[1];
const NOTICES: &str = CALLS[2];
/// What channels say.
const CHANNELS: &str = "CHANNEL";
/// What is found in channels' statements.
const STATEMENTS: &str = "STATEMENT";
/// The queue of work.
const WORK: &str = "WORK";

/// A part of ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// The processor of stays: tells lanes what to do, hears that devices live, and keeps the cache.
    Entry,
    /// The processor of orders: tells lanes what is due.
    Pricing,
    /// The processor of money in and back: tells what channels are asked for.
    Payment,
    /// The processor of the ledger: tells how open windows stand.
    Settlement,
    /// The processor of what does not match: repairs through the inbox of channels, and asks them again.
    Reconciliation,
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
    pub const ALL: [Self; 11] = [
        Self::Entry,
        Self::Pricing,
        Self::Payment,
        Self::Settlement,
        Self::Reconciliation,
        Self::Operator,
        Self::Auditor,
        Self::Caller,
        Self::Gateway,
        Self::Reconciler,
        Self::World,
    ];

    /// Who a processor is.
    pub const fn of(rules: &Rules) -> Self {
        match rules.journal {
            Journal::Session => Self::Entry,
            Journal::Order => Self::Pricing,
            Journal::Payment => Self::Payment,
            Journal::Ledger => Self::Settlement,
            Journal::Recon => Self::Reconciliation,
        }
    }

    /// Its name, in files, inboxes and accounts; a processor's is the one in the table of streams.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Pricing => "pricing",
            Self::Payment => "payment",
            Self::Settlement => "settlement",
            Self::Reconciliation => "reconciliation",
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

    /// Under what it asks the JetStream API.
    pub fn api(self) -> &'static str {
        if self == Self::Operator { API } else { API_ELSEWHERE }
    }

    /// The file of its seed.
    pub fn seed(self, folder: &Path) -> PathBuf {
        folder.join("users").join(format!("{}.seed", self.name()))
    }

    /// Its account. A device's has a dot.
    fn account(self) -> &'static str {
        if self == Self::Operator { ACCOUNT } else { self.name() }
    }

    /// What it may ask of the streams' account, by the names that it has there, where each processor has so many groups of partitions.
    fn asks(self, groups: u8) -> BTreeSet<String> {
        let inboxes = |without: &'static str| {
            // What is found in statements is said by whoever compares them, and again by an operator, as is what came into the bank.
            let is_open = move |stream: &&table::Stream| stream.role == Role::Inbox && ![without, STATEMENTS].contains(&stream.name);
            table::STREAMS.iter().filter(is_open).map(|stream| stream.listens.to_owned())
        };
        match self {
            Self::Entry | Self::Pricing | Self::Payment | Self::Settlement | Self::Reconciliation => {
                let processor = table::processor(self.name()).expect("each processor's user has its name");
                let follows = (self == Self::Entry).then(|| room(crate::follow::ROOM));
                // What a repair says goes in by the inbox of channels.
                let repairs = if self == Self::Reconciliation { listens(CHANNELS) } else { None };
                works(processor, groups).chain(follows).chain(repairs).collect()
            }
            Self::Operator => {
                // A dead letter of any of them goes in again, beside what is asked for; payouts go in where findings do.
                let again = [STATEMENTS, WORK].into_iter().filter_map(listens);
                [format!("{API}.>")].into_iter().chain(keeps(REFERENCE)).chain(inboxes("")).chain(again).collect()
            }
            Self::Auditor => reads_all().collect(),
            Self::Caller => listens(CHANNELS).into_iter().chain(lives()).chain([room(::gateway::calls::ROOM)]).collect(),
            Self::Gateway => reads_all().chain(inboxes("")).chain([format!("$KV.{KEYS}.>"), ALIVE.to_owned()]).collect(),
            Self::Reconciler => {
                let says = [STATEMENTS, WORK].into_iter().filter_map(listens);
                let queued = ["STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET"].map(|read| call(read, WORK));
                queued.into_iter().chain(consumes(&table::worker())).chain(keeps(RECONCILE)).chain(says).chain([format!("DEAD.{WORK}.*")]).collect()
            }
            Self::World => reads_all().chain(inboxes(DESKS)).collect(),
        }
    }

    /// What it tells whoever listens, which is stored nowhere.
    const fn tells(self) -> &'static [&'static str] {
        match self {
            Self::Entry => &[COMMANDS, NOTICES],
            Self::Pricing => &[COMMANDS],
            Self::Payment => &[REFUNDS, ATTEMPTS],
            Self::Settlement => &[TOTALS],
            Self::Reconciliation => &[ATTEMPTS],
            Self::Operator | Self::Auditor | Self::Caller | Self::Gateway | Self::Reconciler | Self::World => &[],
        }
    }

    /// What it may hear, beside its answers.
    fn hears(self) -> Vec<String> {
        let reference = || format!("$KV.{REFERENCE}.>");
        let all = |subjects: &[&str]| subjects.iter().map(|subject| (*subject).to_owned()).collect::<Vec<_>>();
        match self {
            Self::Entry => vec![reference(), ALIVE.to_owned()],
            Self::Pricing | Self::Payment | Self::Settlement | Self::Reconciliation | Self::Operator => vec![reference()],
            Self::Auditor => all(&[TOTALS]),
            Self::Reconciler => Vec::new(),
            Self::Caller => all(&CALLS),
            Self::Gateway => vec![reference(), COMMANDS.to_owned(), TOTALS.to_owned()],
            Self::World => [all(&[COMMANDS]), all(&CALLS)].concat(),
        }
    }

    /// Its account, as nats-server takes it, with one user in it.
    fn declared(self, key: &str, groups: u8) -> Value {
        let asks = self.asks(groups);
        let own = |subject: &String| subject.strip_prefix(API).map_or_else(|| subject.clone(), |call| format!("{}{call}", self.api()));
        let publishes: Vec<String> = asks.iter().map(own).chain(self.tells().iter().map(|subject| (*subject).to_owned())).collect();
        let hears: Vec<String> = [format!("{}.>", self.inbox())].into_iter().chain(self.hears()).collect();
        let users = [user(key, &publishes, &hears)];
        if self == Self::Operator {
            return json!({ "jetstream": "enabled", "users": users, "exports": offered() });
        }
        let asked = asks.iter().map(|subject| {
            let account = if subject == ALIVE { Self::Entry.account() } else { ACCOUNT };
            let mut import = json!({ "service": { "account": account, "subject": subject } });
            if subject.starts_with(API) {
                import["to"] = json!(own(subject));
            }
            import
        });
        let told = self.hears().into_iter().flat_map(|subject| told_by(&subject));
        let tells = self.tells().iter().map(|subject| json!({ "stream": subject }));
        // What devices tell is heard here.
        let alive = (self == Self::Entry).then(|| json!({ "service": ALIVE }));
        json!({
            "users": users,
            "imports": asked.chain(told).collect::<Vec<_>>(),
            "exports": tells.chain(alive).collect::<Vec<_>>(),
        })
    }
}

/// The imports of what is told on a subject: from the streams' account what is written to a bucket, else from each part that tells it.
fn told_by(subject: &str) -> Vec<Value> {
    let imported = |account: &str, subject: &str| json!({ "stream": { "account": account, "subject": subject } });
    if subject.starts_with("$KV.") {
        return vec![imported(ACCOUNT, subject)];
    }
    let tells = |user: &User| user.tells().iter().any(|told| streams::subject::matches(told, subject));
    User::ALL.into_iter().filter(tells).map(|user| imported(user.account(), subject)).collect()
}

/// What the streams' account offers to the others: what its streams and buckets take, and calls of the JetStream API that change no stream's or
/// consumer's settings.
fn offered() -> Vec<Value> {
    let streams = table::STREAMS.iter().map(|stream| stream.listens.to_owned());
    let stored = streams.chain(BUCKETS.map(|bucket| format!("$KV.{bucket}.>"))).chain([format!("{ACKS}.>")]);
    let once = ANSWERED_ONCE.into_iter().map(|call| format!("{API}.{call}"));
    let often = ANSWERED_OFTEN.into_iter().map(|call| json!({ "service": format!("{API}.{call}"), "response_type": "stream" }));
    let told = json!({ "stream": format!("$KV.{REFERENCE}.>") });
    stored.chain(once).map(|subject| json!({ "service": subject })).chain(often).chain([told]).collect()
}

/// Under what a stream takes messages.
fn listens(stream: &str) -> Option<String> {
    table::stream(stream).map(|stream| stream.listens.to_owned())
}

/// A call of the JetStream API about one thing.
fn call(call: &str, of: &str) -> String {
    format!("{API}.{call}.{of}")
}

/// What every processor does: appends to its journal, reads and trims it; is handed its own of its sources, reads them again where something is
/// missing, and buries what it cannot read; trims the inboxes that are its to trim; says that it lives; and puts the reference data in force that it
/// was started with.
fn works(processor: &'static table::Processor, groups: u8) -> impl Iterator<Item = String> {
    let journal = processor.journal.stream();
    let appends = listens(journal).into_iter().chain(["STREAM.MSG.GET", "DIRECT.GET"].map(|read| call(read, journal)));
    let trims = |stream: &str| ["STREAM.INFO", "CONSUMER.LIST", "STREAM.PURGE"].map(|trim| call(trim, stream));
    let inboxes = table::STREAMS.iter().filter(|stream| stream.role == Role::Inbox).map(|stream| stream.name);
    let its_own = inboxes.filter(move |inbox| table::trimmer_of(inbox) == Some(processor)).chain([journal]).flat_map(trims);
    let handed = (0..groups).flat_map(move |group| table::readers(processor.name, groups, group)).flat_map(|reader| consumes(&reader));
    let sources = processor.sources.iter().map(|source| source.stream);
    let missed = sources.flat_map(|stream| [call("STREAM.MSG.GET", stream), call("DIRECT.GET", stream), format!("DEAD.{stream}.*")]);
    let lives = lives().into_iter().chain([processor.name, crate::connect::GUARD].map(room));
    appends.chain(its_own).chain(handed).chain(missed).chain(lives).chain(keeps(REFERENCE))
}

/// What reads a stream and its consumers without changing anything.
fn reads(stream: &str) -> Vec<String> {
    let calls = ["STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET", "CONSUMER.LIST"].map(|read| call(read, stream));
    calls.into_iter().chain([call("CONSUMER.INFO", &format!("{stream}.*"))]).collect()
}

fn reads_all() -> impl Iterator<Item = String> {
    let buckets = BUCKETS.map(|bucket| format!("KV_{bucket}"));
    table::STREAMS.iter().map(|stream| stream.name.to_owned()).chain(buckets).flat_map(|stream| reads(&stream))
}

/// What is handed messages by a durable consumer and acks them.
fn consumes(Reader { stream, durable, .. }: &Reader) -> [String; 4] {
    let one = format!("{stream}.{durable}");
    [
        call("CONSUMER.INFO", &one),
        call("CONSUMER.MSG.NEXT", &one),
        format!("{ACKS}.{one}.>"),
        // With domain and account before the stream, on servers that say them (ADR-15).
        format!("{ACKS}.*.*.{one}.>"),
    ]
}

/// What finds and leaves the members of a room.
fn lives() -> [String; 2] {
    ["STREAM.INFO", "STREAM.PURGE"].map(|of| call(of, &format!("KV_{MEMBERS}")))
}

/// What says that somebody lives in a room.
fn room(room: &str) -> String {
    format!("$KV.{MEMBERS}.{room}.>")
}

/// What reads and writes a bucket.
fn keeps(bucket: &str) -> Vec<String> {
    let stream = format!("KV_{bucket}");
    let writes = [call("STREAM.PURGE", &stream), format!("$KV.{bucket}.>")];
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
        let service = |account: &str, subject: String| json!({ "service": { "account": account, "subject": subject } });
        let asked = [service(ACCOUNT, self.publishes()), service(User::Entry.account(), self.lives())];
        json!({
            "users": [user(key, &[self.publishes(), self.lives()], &[self.hears(), format!("{}.>", self.inbox())])],
            "imports": asked.into_iter().chain(told_by(&self.hears())).collect::<Vec<_>>(),
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

/// Writes a folder for these devices and for ourselves, where each processor has so many groups of partitions: seeds that are not there yet, then the
/// configuration, at once.
pub fn write(folder: &Path, groups: u8, devices: impl IntoIterator<Item = Device>) -> Result<Written> {
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
    let mut accounts = Map::new();
    for one in User::ALL {
        accounts.insert(one.account().to_owned(), one.declared(&key(&one.seed(folder), one.name().to_owned())?, groups));
    }
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
