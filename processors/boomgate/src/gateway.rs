//! The front doors as a part of this program: which channels there are, with which keys, and where they are heard.
//!
//! Not here: what a door does (`gateway`), what a channel says (`channels`).

use crate::{
    config::{ChannelAt, Config},
    reference::{self, InForce},
};
use anyhow::{Context, Result, ensure};
use channels::{Channel, Settings};
use gateway::{Behind, Desks, Devices, Ear, Journals, Lanes, Limits, Pages, Proxies, View, Webhooks};
use schema::{Moment, Reference};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};
use store::{Store, cache::Cache};
use streams::{Buckets, Bus};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// The name by which `boomgate run` knows it.
pub const NAME: &str = "gateway";

/// Our own clock. Signatures are fresh by it, and nothing else is decided by it.
fn clock() -> Moment {
    #[expect(clippy::disallowed_methods, reason = "whether a signature is fresh is asked before the broker has seen anything of it")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The channels that a configuration names, each with its keys.
pub fn channels(config: &Config) -> Result<Vec<Arc<dyn Channel>>> {
    config.channels.iter().map(|(name, at)| make(name, at)).collect()
}

fn make(name: &str, at: &ChannelAt) -> Result<Arc<dyn Channel>> {
    let ChannelAt { merchant, app, base_url, notify_url, serial, keys } = at.clone();
    let read = |(key, path): (String, std::path::PathBuf)| {
        let text = std::fs::read_to_string(&path).with_context(|| format!("channels.{name}: cannot read the key {key} from {}", path.display()))?;
        ensure!(text.len() <= 64 * 1024, "channels.{name}: {} is no key: it has {} bytes", path.display(), text.len());
        Ok((key, text))
    };
    let keys = keys.into_iter().map(read).collect::<Result<_>>()?;
    let settings = Settings { merchant, app, base_url, notify_url, serial, keys };
    channels::make(name, &settings).with_context(|| format!("channels.{name} cannot be used"))
}

/// What is behind the doors beside the broker.
pub struct Rest {
    /// The rows, to be read.
    pub store: Arc<dyn Store>,
    /// What vehicles owe, where this process has that at hand.
    pub cache: Option<Arc<dyn Cache>>,
    /// The lots in force.
    pub lots: Lots,
}

/// The lots in force; none before they are known.
#[derive(Clone, Default)]
pub struct Lots(Arc<OnceLock<InForce>>);

impl Lots {
    /// The lots of a bucket. Nobody waits for the first read: channels are heard meanwhile.
    pub fn of(bus: Arc<dyn Buckets>, shutdown: watch::Receiver<bool>) -> Self {
        let lots = Self::default();
        let known = lots.0.clone();
        tokio::spawn(async move {
            if let Some(in_force) = reference::follow(bus, shutdown).await {
                known.get_or_init(|| in_force);
            }
        });
        lots
    }

    fn now(&self) -> Arc<Reference> {
        self.0.get().map(InForce::now).unwrap_or_default()
    }
}

impl From<InForce> for Lots {
    fn from(in_force: InForce) -> Self {
        Self(Arc::new(OnceLock::from(in_force)))
    }
}

/// How many may wait for a lane's command, or for what is decided, at once.
const WAITING_MAX: usize = 4_096;
/// How many phones may follow an order live at once; they hold a connection each, and must leave some to channels and devices.
const FOLLOWERS_MAX: usize = 384;
/// How long the decision of what was said is waited for.
const DECIDED_WAIT: Duration = Duration::from_secs(5);

/// Opens the doors until `shutdown`.
pub async fn open(config: &Config, bus: Arc<dyn Bus>, rest: Rest, shutdown: watch::Receiver<bool>) -> Result<JoinHandle<()>> {
    let listen = &config.gateway.listen;
    let channels = channels(config)?;
    let names: Vec<&'static str> = channels.iter().map(|channel| channel.name()).collect();
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (gateway.listen)"))?;
    tracing::info!(address = %listener.local_addr()?, channels = names.join(", "), "the front doors are open");
    let limits = Limits::default();
    let ear = Ear::new(WAITING_MAX, clock);
    tokio::spawn(ear.clone().hear(bus.clone(), shutdown.clone()));
    let mut router = Webhooks::new(bus.clone(), channels, clock, limits).router();
    let file = &config.gateway.devices_file;
    if !file.as_os_str().is_empty() {
        let devices = Devices::open(file.clone(), shutdown.clone()).map_err(|wrong| anyhow::anyhow!("gateway.devices_file: {wrong}"))?;
        router = router.merge(Lanes::new(bus.clone(), ear.clone(), devices, limits).router());
    }
    let Rest { store, cache, lots } = rest;
    let journals = Journals::new(bus.clone(), WAITING_MAX);
    let pages = Behind {
        ear,
        desks: Desks::new(journals.clone(), limits.store_wait, DECIDED_WAIT),
        journals,
        view: View::new(bus.clone(), store),
        bus,
        cache,
        reference: Arc::new(move || lots.now()),
        channels: names,
        clock,
        limits,
        proxies: Proxies::default(),
        followers_max: FOLLOWERS_MAX,
        shutdown: shutdown.clone(),
    };
    let router = router.merge(Pages::new(pages).router());
    Ok(tokio::spawn(gateway::serve(listener, router, limits, shutdown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text).expect("valid")
    }

    #[test]
    fn a_key_is_a_file_and_an_error_names_it_and_not_its_text() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let secret = folder.path().join("secret");
        let etc = |path: &std::path::Path| config(&format!("[channels.etc]\nkeys = {{ secret = {:?} }}", path.display().to_string()));
        std::fs::write(&secret, "hunter2").expect("a writable folder");
        let error = format!("{:#}", channels(&etc(&secret)).map(drop).expect_err("it is too short"));
        assert!(error.contains("channels.etc") && !error.contains("hunter2"), "{error}");
        std::fs::write(&secret, "a secret that is long enough\n").expect("a writable folder");
        assert_eq!(channels(&etc(&secret)).expect("it is one").len(), 1);
        let error = format!("{:#}", channels(&etc(&folder.path().join("none"))).map(drop).expect_err("it is not there"));
        assert!(error.contains("cannot read the key secret from"), "{error}");
        let error = format!("{:#}", channels(&config("[channels.paypal]")).map(drop).expect_err("nobody knows it"));
        assert!(error.contains("there is no channel paypal, there are wechat, alipay"), "{error}");
    }
}
