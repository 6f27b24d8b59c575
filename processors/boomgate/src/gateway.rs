//! The front doors as a part of this program: which channels there are, with which keys, and where they are heard.
//!
//! Not here: what a door does (`gateway`), what a channel says (`channels`).

use crate::{
    config::{ChannelAt, Config},
    reference,
};
use anyhow::{Context, Result, ensure};
use channels::{Channel, Settings};
use gateway::{
    Api, Behind, Desks, Devices, Ear, Journals, Lanes, Limits, Pages, Tokens, View, Webhooks,
    address::Proxies,
    api,
    device::Device,
    tokens::{Made, Role},
};
use schema::{Moment, Reference, desk::AuthorId};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use store::{Store, cache::Cache};
use streams::JetStream;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// The name by which `boomgate run` knows it.
pub const NAME: &str = "gateway";

/// How many wait for a decision, or follow an order, at once.
const FOLLOWERS_MAX: usize = 1_024;

/// How many devices wait for their lane's command at once.
const WAITING_MAX: usize = 4_096;
/// How many phones follow an order live at once: each holds a connection, and some must be left to channels and devices.
const PHONES_MAX: usize = 384;
/// How long a phone waits for what is decided of its choice; then it follows that.
const DECIDED_WAIT: Duration = Duration::from_secs(5);

/// Our own clock. Signatures are fresh by it, how often somebody comes is measured by it, and nothing else is decided by it.
pub(crate) fn clock() -> Moment {
    #[expect(clippy::disallowed_methods, reason = "whether a signature is fresh is asked before the broker has seen anything of it")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The channels that a configuration names, each with its keys.
pub fn channels(config: &Config) -> Result<Vec<Arc<dyn Channel>>> {
    config.channels.iter().map(|(name, at)| make(name, at)).collect()
}

/// A channel with its keys.
pub(crate) fn make(name: &str, at: &ChannelAt) -> Result<Arc<dyn Channel>> {
    let ChannelAt { merchant, app, base_url, notify_url, serial, keys, ca_file: _, download_hosts: _ } = at.clone();
    let read = |(key, path): (String, std::path::PathBuf)| {
        let text = std::fs::read_to_string(&path).with_context(|| format!("channels.{name}: cannot read the key {key} from {}", path.display()))?;
        ensure!(text.len() <= 64 * 1024, "channels.{name}: {} is no key: it has {} bytes", path.display(), text.len());
        Ok((key, text))
    };
    let keys = keys.into_iter().map(read).collect::<Result<_>>()?;
    let settings = Settings { merchant, app, base_url, notify_url, serial, keys };
    channels::make(name, &settings).with_context(|| format!("channels.{name} cannot be used"))
}

/// What the doors work with.
pub struct With {
    /// The broker, as whom the doors have rights of their own.
    pub bus: Arc<JetStream>,
    /// The store, to look at.
    pub store: Arc<dyn Store>,
    /// What vehicles owe, where this process has that at hand.
    pub cache: Option<Arc<dyn Cache>>,
}

/// Opens the doors until `shutdown`.
pub async fn open(config: &Config, With { bus, store, cache }: With, shutdown: watch::Receiver<bool>) -> Result<JoinHandle<()>> {
    let listen = &config.gateway.listen;
    let limits = Limits { connections_each_max: config.gateway.connections_each_max, ..Limits::default() };
    let channels = self::channels(config)?;
    // In the order in which they are listed, so that a driver finds the usual ones first.
    let configured = |name: &&'static str| channels.iter().any(|channel| channel.name() == *name);
    let names: Vec<&'static str> = channels::ALL.iter().map(|(name, ..)| *name).filter(configured).collect();
    let (tokens, devices) = (tokens(config, &shutdown)?, devices(config, &shutdown)?);
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (gateway.listen)"))?;
    tracing::info!(address = %listener.local_addr()?, channels = names.join(", "), api = tokens.is_some(), "the front doors are open");
    let mut router = Webhooks::new(bus.clone(), channels, clock, limits).router();
    let (journals, view) = (Journals::new(bus.clone(), FOLLOWERS_MAX), View::new(bus.clone(), store));
    let reference = in_force(bus.clone(), shutdown.clone());
    let proxies = Proxies::new(config.gateway.proxies.iter().copied());
    if let Some(tokens) = tokens {
        let (journals, view, reference, proxies) = (journals.clone(), view.clone(), reference.clone(), proxies.clone());
        let with = api::With { journals, view, buckets: bus.clone(), tokens, reference, proxies, clock, limits };
        router = router.merge(Api::new(with).router());
    }
    let ear = Ear::new(WAITING_MAX, clock);
    tokio::spawn(ear.clone().hear(bus.clone(), shutdown.clone()));
    if let Some(devices) = devices {
        router = router.merge(Lanes::new(bus.clone(), ear.clone(), devices, limits).router());
    }
    let desks = Desks::new(journals.clone(), limits.store_wait, DECIDED_WAIT);
    let (channels, followers_max, stopped, before_us) = (names, PHONES_MAX, shutdown.clone(), proxies.clone());
    let behind = Behind { bus, ear, journals, desks, view, cache, reference, channels, clock, limits, proxies, followers_max, shutdown: stopped };
    router = router.merge(Pages::new(behind).router());
    Ok(tokio::spawn(gateway::serve(listener, router, limits, before_us, shutdown)))
}

/// Makes a token for the operator API and prints it once, with its lines for the file.
pub fn token(person: AuthorId, role: Role) -> Result<()> {
    let Made { token, lines } = gateway::tokens::make(person, role).map_err(anyhow::Error::msg)?;
    println!("# The token of {person}; it is kept nowhere: {token}\n# The lines for the file of tokens (gateway.tokens_file, mode 600):\n{lines}");
    Ok(())
}

/// Makes a token for a lane's device and prints it once, with its lines for the file.
pub fn device_token(device: Device) -> Result<()> {
    let Made { token, lines } = Devices::make(device).map_err(anyhow::Error::msg)?;
    let Device { lot, lane } = device;
    println!(
        "# The token of {lot}/{lane}; it is kept nowhere: {token}\n# The lines for the file of devices (gateway.devices_file, mode 600):\n{lines}"
    );
    Ok(())
}

fn devices(config: &Config, shutdown: &watch::Receiver<bool>) -> Result<Option<watch::Receiver<Arc<Devices>>>> {
    let path = &config.gateway.devices_file;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    Devices::open(path.clone(), shutdown.clone()).map(Some).map_err(|why| anyhow::anyhow!("gateway.devices_file: {why}"))
}

fn tokens(config: &Config, shutdown: &watch::Receiver<bool>) -> Result<Option<Tokens>> {
    let path = &config.gateway.tokens_file;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    Tokens::open(path.clone(), shutdown.clone()).map(Some).map_err(|why| anyhow::anyhow!("gateway.tokens_file: {why}"))
}

/// The lots as they are in force: none before they are read for the first time, which no webhook waits for.
fn in_force(bus: Arc<JetStream>, shutdown: watch::Receiver<bool>) -> watch::Receiver<Arc<Reference>> {
    let (tell, told) = watch::channel(Arc::new(Reference::default()));
    tokio::spawn(async move {
        let Some(in_force) = reference::follow(bus, shutdown).await else { return };
        let mut held: watch::Receiver<Arc<Reference>> = in_force.into();
        loop {
            let now = held.borrow_and_update().clone();
            tell.send_replace(now);
            // It ends with the shutdown.
            if held.changed().await.is_err() {
                return;
            }
        }
    });
    told
}

#[cfg(test)]
mod tests;
