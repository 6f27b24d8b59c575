//! What is in force: a TOML file, and the environment for where that file is.
//!
//! Invariants
//! 1. An unknown key is an error that names it   (`tests::an_unknown_key_is_an_error`).
//! 2. No secret is printed: there is none in here, only files that hold them   (`Config`).
//!
//! Not here: the numbers of the loop (`settings`), reading the reference data (`reference`).

use crate::settings::Settings;
use anyhow::{Context, bail};
use schema::Journal;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// What `reference` says where the bucket alone counts.
const BUCKET: &str = "kv";

/// The whole configuration. Every key has a default.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `kv`: the reference data is what `boomgate reference apply` put into its bucket. Otherwise a file or folder, which is put there at each
    /// start unless it is in force.
    #[serde(default = "bucket")]
    pub reference: PathBuf,
    /// The broker.
    #[serde(default)]
    pub nats: Nats,
    /// The store.
    #[serde(default)]
    pub store: StoreAt,
    /// What is known of vehicles elsewhere.
    #[serde(default)]
    pub cache: CacheAt,
    /// The loop.
    #[serde(default, rename = "loop")]
    pub settings: Loop,
    /// Probes and metrics.
    #[serde(default)]
    pub http: Http,
    /// The front doors: where payment channels reach us.
    #[serde(default)]
    pub gateway: GatewayAt,
    /// Calls to payment channels.
    #[serde(default)]
    pub calls: Calls,
    /// The payment channels, by their names.
    #[serde(default)]
    pub channels: BTreeMap<String, ChannelAt>,
    /// Comparing channels' statements with what we booked.
    #[serde(default)]
    pub reconcile: Reconcile,
    /// The numbers that bound decisions.
    #[serde(default)]
    pub limits: Limits,
    /// The journals that are published as JSON, as `["SESSION"]`; the others are MessagePack.
    #[serde(default)]
    pub json: Vec<Journal>,
}

/// The broker.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nats {
    /// Where it is; empty: a nats-server of our own is started as a child.
    pub url: String,
    /// The folder of our own server's data.
    pub folder: PathBuf,
    /// A file with NATS credentials; empty for none.
    pub credentials_file: PathBuf,
    /// The folder that `boomgate provision --auth` has written, or as much of it as is needed: each part connects by its own seed (`users/NAME.seed`),
    /// and a nats-server of our own lets in nobody else. Empty: whoever reaches our own server may do everything.
    pub auth: PathBuf,
    /// Replicas of each stream: 1 on one machine, 3 on a cluster.
    pub replicas: usize,
    /// The storage of all streams together, in MiB; a stream past its share refuses.
    pub storage_mb: u64,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            url: String::new(),
            folder: "data/nats".into(),
            credentials_file: PathBuf::new(),
            auth: PathBuf::new(),
            replicas: 1,
            storage_mb: streams::table::STORAGE_BYTES / (1024 * 1024),
        }
    }
}

/// The store.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreAt {
    /// `sqlite:PATH` or `cql:HOST:PORT,HOST:PORT/KEYSPACE`.
    pub location: String,
}

impl Default for StoreAt {
    fn default() -> Self {
        Self { location: "sqlite:data/boomgate.db".into() }
    }
}

/// What is known of vehicles elsewhere: in this process, or in a Redis that all replicas share.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheAt {
    /// `redis://HOST:PORT`; empty: each process has its own. An address with a password stands in `address_file`.
    pub address: String,
    /// A file whose one line is the address, for one with a password; empty for none.
    pub address_file: PathBuf,
    /// What all keys begin with, so that several systems can share a Redis.
    pub prefix: schema::Token<32>,
    /// How long a decision waits for a fact, in milliseconds; then the lot's own policy counts.
    pub fact_wait_ms: u64,
    /// The most facts of a process's own cache, some 300 bytes each; past them it says that it is incomplete.
    pub facts_max: usize,
}

impl Default for CacheAt {
    fn default() -> Self {
        let fact_wait_ms = u64::try_from(Settings::default().fact_wait.as_millis()).unwrap_or(50);
        let prefix = "boomgate".parse().expect("letters are a token");
        Self { address: String::new(), address_file: PathBuf::new(), prefix, fact_wait_ms, facts_max: 1_000_000 }
    }
}

/// The loop.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Loop {
    /// Partition groups, 1 to 64: the most replicas of a processor that can share its work.
    pub groups: u8,
    /// The most inputs of one turn.
    pub batch_max: usize,
    /// The most inputs that wait in one group.
    pub queue_max: usize,
    /// The most rows of one group that wait to be saved.
    pub unsaved_max: usize,
    /// The most answers of a processor that stay in memory, some 200 bytes each; the older ones are looked up by their rows.
    pub answers_max: usize,
    /// How often rows are saved, in milliseconds.
    pub save_every_ms: u64,
    /// How long events stay in a journal after they are saved, in minutes; at least 30, for answers are read back from there.
    pub retention_min: u64,
    /// Whether answered inputs stay in their inboxes, so that an auditor can read everything again.
    pub keep_inputs: bool,
}

impl Default for Loop {
    fn default() -> Self {
        let Settings { groups, batch_max, queue_max, unsaved_max, answers_max, save_every, retention, keep_inputs, fact_wait: _ } =
            Settings::default();
        let save_every_ms = u64::try_from(save_every.as_millis()).unwrap_or(500);
        Self { groups, batch_max, queue_max, unsaved_max, answers_max, save_every_ms, retention_min: retention.as_secs() / 60, keep_inputs }
    }
}

/// Probes and metrics.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// `HOST:PORT` for `/live`, `/ready` and `/metrics`; empty for none.
    pub listen: String,
}

/// The front doors.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayAt {
    /// `HOST:PORT` for `/notify/<channel>` and `/api/v1`; empty for none. TLS is ended before it.
    pub listen: String,
    /// A file of the devices that come over HTTP, each with the SHA-256 of its token; empty for none.
    pub devices_file: PathBuf,
    /// The file of the operator API's tokens, which `boomgate token` makes lines for; empty: there is no operator API.
    pub tokens_file: PathBuf,
    /// The addresses of proxies before it: of them alone the word is taken from where a request comes (`X-Forwarded-For`).
    pub proxies: Vec<IpAddr>,
    /// How many connections one address holds at once, proxies of ours excepted. Many phones may have one address, where their carrier shares it.
    pub connections_each_max: usize,
}

impl Default for GatewayAt {
    fn default() -> Self {
        let (listen, devices_file, tokens_file, proxies) = (String::new(), PathBuf::new(), PathBuf::new(), Vec::new());
        let gateway::Limits { connections_each_max, .. } = gateway::Limits::default();
        Self { listen, devices_file, tokens_file, proxies, connections_each_max }
    }
}

/// Calls to payment channels: what bounds those of each channel, refunds and all others each for themselves.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calls {
    /// How long a connection may take to be made, in milliseconds.
    pub connect_wait_ms: u64,
    /// How long an answer may take after that, in milliseconds; what takes longer is asked about.
    pub answer_wait_ms: u64,
    /// How many are made at once.
    pub under_way_max: usize,
    /// How many wait; what does not fit is asked for again by itself.
    pub queue_max: usize,
    /// What a driver reads that a payment is for, before the lot's name.
    pub subject: String,
}

impl Default for Calls {
    fn default() -> Self {
        let gateway::calls::Limits { connect_wait, answer_wait, under_way_max, queue_max, .. } = gateway::calls::Limits::default();
        let ms = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let (connect_wait_ms, answer_wait_ms) = (ms(connect_wait), ms(answer_wait));
        Self { connect_wait_ms, answer_wait_ms, under_way_max, queue_max, subject: "停车费".into() }
    }
}

/// A payment channel. Its keys are files.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelAt {
    /// Our number at the channel.
    pub merchant: String,
    /// Our application's number at the channel.
    pub app: String,
    /// Where the channel listens, `https://` or `http://`, without a slash at the end; empty where it is not called.
    pub base_url: String,
    /// Where the channel reaches us, without a slash at the end: what `gateway.listen` is from outside, and `/notify`.
    pub notify_url: String,
    /// The number of our key, where the channel has given it one.
    pub serial: String,
    /// Files of keys, by the names that the channel has for them (`processors/channels/src/`, one file each).
    pub keys: BTreeMap<String, PathBuf>,
    /// A file of certificates (PEM) by which the channel is trusted, in place of those of this machine; empty for these.
    pub ca_file: PathBuf,
    /// Hosts beside `base_url`'s own from which its statements may be downloaded, `HOST` or `HOST:PORT`: of Alipay `dwbillcenter.alipay.com`.
    pub download_hosts: Vec<String>,
}

/// Comparing channels' statements with what we booked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reconcile {
    /// Where statements lie, those of each channel in a folder of its name, each with its day in its name (2026-11-23, 20261123 or 261123); of several of one day the last
    /// by name counts. The SHA-1 of a plain file may lie beside it (its name and `.sha1`): then it must be its own. Empty: `boomgate run all` compares nothing.
    pub folder: PathBuf,
    /// The channels whose statements are fetched from themselves where none lies in the folder, `["wechat", "alipay"]`. Each has its `[channels.NAME]`, whose keys this
    /// process can read then, and the folder is one that all reconcilers share and may write to. Empty: nothing is fetched, for somebody else lays statements there.
    pub fetch: Vec<String>,
    /// Where the lines of a verified statement lie by pieces. Where reconcilers do not share it, each splits a statement for itself.
    pub spool: PathBuf,
    /// How many minutes after midnight in China the statement of the day before is due.
    pub due_min: u32,
    /// How many days before its statement's an order may be born.
    pub days_back: u32,
    /// The province of payments whose numbers are none of ours, as the first two digits of GB/T 2260, where their merchant has none.
    pub province: u8,
    /// The same by merchant: our numbers at channels.
    pub provinces: BTreeMap<String, u8>,
    /// How many pieces a process compares at once.
    pub workers: usize,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self {
            folder: PathBuf::new(),
            fetch: Vec::new(),
            spool: "data/spool".into(),
            due_min: 10 * 60,
            days_back: 7,
            province: 0,
            provinces: BTreeMap::new(),
            workers: 1,
        }
    }
}

impl Reconcile {
    /// Whether what is to be fetched can be, as far as a configuration tells.
    fn fetches(&self, channels: &BTreeMap<String, ChannelAt>) -> anyhow::Result<()> {
        if !self.fetch.is_empty() && self.folder.as_os_str().is_empty() {
            bail!("reconcile.fetch: statements that are fetched have no place: set reconcile.folder");
        }
        for name in &self.fetch {
            channels::form(name).context("reconcile.fetch")?;
            if channels.get(name).is_none_or(|at| at.base_url.is_empty()) {
                bail!("reconcile.fetch: {name} is not called: set channels.{name} with its base_url");
            }
        }
        Ok(())
    }
}

/// The numbers that bound decisions.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A gate event older than this many days is too late.
    pub late_max_days: i64,
    /// A lane command may fire for this many seconds after its event was seen.
    pub command_life_s: i64,
    /// A refund without an answer is asked about after this many seconds, and then ever more seldom.
    pub refund_retry_s: i64,
    /// How often a refund is asked for, or about, before it is a person's work.
    pub refund_tries_max: u32,
    /// The most, in minor units, that is sent back of an order because one person says so; above it another one must agree.
    pub refund_alone_max: i64,
    /// Of which money a refund is, where several means paid.
    pub refund_shares: RefundShares,
    /// How many minutes a payment that somebody chose can be made.
    pub pay_life_min: i64,
    /// A call about a payment without an answer is made again after this many seconds, and then ever more seldom.
    pub call_retry_s: i64,
    /// How often such a call is made before it is given up.
    pub call_tries_max: u32,
    /// A fee that was accepted, to be deducted by the plate, is asked about after this many seconds, and then ever more seldom.
    pub deduction_asks_s: i64,
    /// How often it is asked about before it is left to the channel's statement.
    pub deduction_asks_max: u32,
    /// How long a settlement window is.
    pub window: Window,
    /// A settlement window closes this many seconds after its end, and after the last posting into it; what comes later is in adjustments.
    pub lateness_s: i64,
    /// What each channel charges of what it captures, by contract: `wechat = "0.006"`. Who is not there charges nothing.
    pub fees: BTreeMap<String, Rate>,
}

/// How long a settlement window is, by its lot's own clock.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// A day.
    #[default]
    Day,
    /// An hour.
    Hour,
}

/// A part of one, as a decimal number in quotes with at most six places: `"0.006"` is 0.6 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    millionths: u32,
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || format!("{text:?} is no rate: write a decimal number from 0 to 1 with at most six places, as \"0.006\"");
        let (whole, places) = text.split_once('.').unwrap_or((&text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !["0", "1"].contains(&whole) || !is_number(places) || places.len() > 6 {
            return Err(refused());
        }
        let millionths: u32 = format!("{whole}{places:0<6}").parse().map_err(|_| refused())?;
        if millionths > 1_000_000 { Err(refused()) } else { Ok(Self { millionths }) }
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        format!("{}.{:06}", rate.millionths / 1_000_000, rate.millionths % 1_000_000)
    }
}

/// Of which money a refund is, where several means paid.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundShares {
    /// Money first, points last.
    #[default]
    MoneyFirst,
    /// By what each has paid.
    ProRata,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = rules::Limits::default();
        Self {
            late_max_days: limits.late_max / schema::time::DAY,
            command_life_s: limits.command_life / schema::time::SECOND,
            refund_retry_s: limits.refund_retry / schema::time::SECOND,
            refund_tries_max: limits.refund_tries_max,
            refund_alone_max: limits.refund_alone_max,
            refund_shares: RefundShares::default(),
            pay_life_min: limits.pay_life / schema::time::MINUTE,
            call_retry_s: limits.call_retry / schema::time::SECOND,
            call_tries_max: limits.call_tries_max,
            deduction_asks_s: limits.deduction_asks / schema::time::SECOND,
            deduction_asks_max: limits.deduction_asks_max,
            window: Window::default(),
            lateness_s: limits.lateness / schema::time::SECOND,
            fees: BTreeMap::new(),
        }
    }
}

fn bucket() -> PathBuf {
    BUCKET.into()
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &std::path::Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let config = Self::parse(&text).with_context(|| format!("the configuration {} is refused", path.display()))?;
        Ok(config)
    }

    /// Parses and checks a text.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text)?;
        let Loop { groups, batch_max, retention_min, save_every_ms, .. } = config.settings;
        if !(1..=64).contains(&groups) || batch_max == 0 || save_every_ms == 0 || retention_min < 30 {
            bail!("loop: groups is 1 to 64, batch_max and save_every_ms above 0, retention_min at least 30");
        }
        if config.nats.storage_mb < 16 {
            bail!("nats.storage_mb is at least 16");
        }
        if ![1, 3, 5].contains(&config.nats.replicas) {
            bail!("nats.replicas is 1, 3 or 5");
        }
        if config.cache.address.contains('@') || (!config.cache.address.is_empty() && !config.cache.address_file.as_os_str().is_empty()) {
            bail!("cache: an address with a name or password stands in a file, which address_file names; one of address and address_file is set");
        }
        if !(1..=1_000).contains(&config.cache.fact_wait_ms) {
            bail!("cache.fact_wait_ms is 1 to 1000: a car waits for it");
        }
        let Calls { connect_wait_ms, answer_wait_ms, under_way_max, queue_max, .. } = config.calls;
        if ![connect_wait_ms, answer_wait_ms].iter().all(|wait| (1..=60_000).contains(wait)) || under_way_max == 0 || queue_max == 0 {
            bail!("calls: connect_wait_ms and answer_wait_ms are 1 to 60000, under_way_max and queue_max at least 1");
        }
        if config.gateway.connections_each_max == 0 {
            bail!("gateway.connections_each_max is at least 1: nobody could come in");
        }
        let Reconcile { due_min, days_back, province, workers, ref provinces, .. } = config.reconcile;
        if due_min >= 24 * 60 || days_back > 62 || province > 99 || provinces.values().any(|province| *province > 99) || workers == 0 {
            bail!("reconcile: due_min is below 1440, days_back at most 62, province at most 99, workers at least 1");
        }
        config.reconcile.fetches(&config.channels)?;
        if !config.nats.auth.as_os_str().is_empty() && !config.nats.credentials_file.as_os_str().is_empty() {
            bail!("nats: auth and credentials_file are two ways to the same; name one");
        }
        if config.limits.late_max_days < 1
            || config.limits.command_life_s < 1
            || config.limits.refund_retry_s < 1
            || config.limits.pay_life_min < 1
            || config.limits.call_retry_s < 1
            || config.limits.deduction_asks_s < 1
            || config.limits.lateness_s < 1
        {
            bail!("limits: each is at least 1");
        }
        Ok(config)
    }

    /// The province of a merchant's payments whose numbers are none of ours.
    pub fn province(&self, merchant: &str) -> schema::id::Province {
        schema::id::Province(self.reconcile.provinces.get(merchant).copied().unwrap_or(self.reconcile.province))
    }

    /// The numbers of the loop.
    pub fn settings(&self) -> Settings {
        let Loop { groups, batch_max, queue_max, unsaved_max, answers_max, save_every_ms, retention_min, keep_inputs } = self.settings;
        let (save_every, retention) = (Duration::from_millis(save_every_ms), Duration::from_secs(retention_min.saturating_mul(60)));
        let fact_wait = Duration::from_millis(self.cache.fact_wait_ms);
        Settings { groups, batch_max, queue_max, unsaved_max, answers_max, fact_wait, save_every, retention, keep_inputs }
    }

    /// The numbers that bound decisions.
    pub fn limits(&self) -> rules::Limits {
        let Limits { late_max_days, command_life_s, refund_retry_s, refund_tries_max, refund_alone_max, .. } = self.limits;
        let Limits { refund_shares, pay_life_min, call_retry_s, call_tries_max, window, lateness_s, .. } = self.limits;
        let Limits { deduction_asks_s, deduction_asks_max, .. } = self.limits;
        rules::Limits {
            late_max: late_max_days.saturating_mul(schema::time::DAY),
            command_life: command_life_s.saturating_mul(schema::time::SECOND),
            refund_retry: refund_retry_s.saturating_mul(schema::time::SECOND),
            refund_tries_max,
            refund_alone_max,
            refund_shares: match refund_shares {
                RefundShares::MoneyFirst => rules::payment::RefundShares::MoneyFirst,
                RefundShares::ProRata => rules::payment::RefundShares::ProRata,
            },
            pay_life: pay_life_min.saturating_mul(schema::time::MINUTE),
            call_retry: call_retry_s.saturating_mul(schema::time::SECOND),
            call_tries_max,
            deduction_asks: deduction_asks_s.saturating_mul(schema::time::SECOND),
            deduction_asks_max,
            fees: self.limits.fees.iter().map(|(channel, rate)| (channel.as_str().into(), rate.millionths)).collect(),
            window: match window {
                Window::Day => rules::settlement::Length::Day,
                Window::Hour => rules::settlement::Length::Hour,
            },
            lateness: lateness_s.saturating_mul(schema::time::SECOND),
        }
    }

    /// The folder of seeds, if there is one.
    pub fn auth(&self) -> Option<&Path> {
        (!self.nats.auth.as_os_str().is_empty()).then_some(&*self.nats.auth)
    }

    /// The file or folder of reference data to be put in force at a start; none where the bucket alone counts.
    pub fn reference_files(&self) -> Option<&Path> {
        (self.reference != Path::new(BUCKET)).then_some(&*self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error() {
        let error =
            Config::parse("reference = 'r.toml'\n[nats]\nurls = 'x'").map(|_| ()).expect_err("a key that is misspelt must not be passed over");
        assert!(error.to_string().contains("urls"), "{error}");
    }

    #[test]
    fn what_is_not_set_has_a_default_that_passes_its_own_check() {
        let config = Config::parse("reference = 'r.toml'").expect("defaults are valid");
        assert_eq!(config.settings(), Settings::default());
        assert_eq!(config.limits(), rules::Limits::default());
    }

    #[test]
    fn a_rate_is_exact() {
        let text = "[limits]\nwindow = 'hour'\nlateness_s = 90\n[limits.fees]\nwechat = '0.006'\nalipay = '0.0055'\nbank = '1'\netc = '0.000001'";
        let config = Config::parse(text).expect("valid");
        let limits = config.limits();
        let rates: Vec<u32> = ["wechat", "alipay", "bank", "etc"].into_iter().filter_map(|channel| limits.fees.get(channel).copied()).collect();
        assert_eq!(rates, [6_000, 5_500, 1_000_000, 1]);
        assert_eq!((limits.window, limits.lateness), (rules::settlement::Length::Hour, 90 * schema::time::SECOND));
        // What `boomgate config` prints reads as it was.
        let again = Config::parse(&toml::to_string(&config).expect("it is TOML")).expect("valid");
        assert_eq!(again.limits(), limits);
    }

    #[test]
    fn reference_data_is_a_file_or_what_the_bucket_has() {
        for (text, files) in [("", None), ("reference = 'kv'", None), ("reference = 'r.toml'", Some("r.toml")), ("reference = './kv'", Some("./kv"))]
        {
            let config = Config::parse(text).expect("valid");
            assert_eq!(config.reference_files(), files.map(Path::new), "{text}");
        }
    }

    #[test]
    fn numbers_out_of_bounds_are_refused() {
        for bad in [
            "[cache]\naddress = 'redis://:hunter2@host'",
            "[cache]\nfact_wait_ms = 0",
            "[nats]\nauth = 'a'\ncredentials_file = 'c'",
            "[loop]\ngroups = 0",
            "[loop]\ngroups = 65",
            "[loop]\nretention_min = 5",
            "[nats]\nreplicas = 2",
            "[limits]\nlate_max_days = 0",
            "[limits]\nlateness_s = 0",
            "[limits]\ndeduction_asks_s = 0",
            "[limits]\nwindow = 'week'",
            "[limits.fees]\nwechat = 0.006",
            "[limits.fees]\nwechat = '0.0060001'",
            "[limits.fees]\nwechat = '1.1'",
            "[limits.fees]\nwechat = '-0.1'",
            "[limits.fees]\nwechat = '0.6 %'",
            "[limits.fees]\nwechat = '0.'",
            "[calls]\nanswer_wait_ms = 0",
            "[calls]\nqueue_max = 0",
            "[reconcile]\nfolder = 'f'\nfetch = ['wechat']",
            "[reconcile]\nfolder = 'f'\nfetch = ['wechat']\n[channels.wechat]",
            "[reconcile]\nfolder = 'f'\nfetch = ['cash']\n[channels.cash]\nbase_url = 'https://cash.invalid'",
            "[reconcile]\nfetch = ['wechat']\n[channels.wechat]\nbase_url = 'https://wechat.invalid'",
        ] {
            assert!(Config::parse(&format!("reference = 'r.toml'\n{bad}")).is_err(), "{bad}");
        }
    }
}
