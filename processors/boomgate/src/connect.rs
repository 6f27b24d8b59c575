//! The parts that a configuration names, connected: broker, store, and a nats-server of our own where none is named.
//!
//! Not here: what is provisioned (`streams`, `store`), what runs on them (`run`).

use crate::{
    auth::{self, User},
    config::{CacheAt, Config},
    follow::Follower,
    reference::InForce,
    replica::Readiness,
    run::{self, With},
    settings::Settings,
};
use anyhow::Context;
use futures_util::future::join_all;
use rules::{Limits, Rules};
use schema::Journal;
use std::{path::Path, sync::Arc, time::Duration};
use store::{
    Location, Store,
    cache::{Cache, Redis, Timeouts},
};
use streams::{Beat, Bus, JetStream, Options, server::Server, table::Declared};
use tokio::sync::{Mutex, watch};

/// How many signs of life in a row may fail before our own nats-server is taken to stand still.
const SILENT_MAX: u32 = 5;
/// In which room of the members' bucket a sign of life says that the broker stores.
pub(crate) const GUARD: &str = "guard";
/// How many bytes must be free before a server that stood still is started again.
const SPACE_MIN: usize = 4 * 1024 * 1024;

/// Broker and store.
#[derive(Clone)]
pub struct Parts {
    /// The broker as the port.
    pub bus: Arc<dyn Bus>,
    /// The broker as what it is, for provisioning.
    pub jetstream: Arc<JetStream>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// What is known of vehicles elsewhere.
    pub cache: Arc<dyn Cache>,
    /// Our own nats-server, where the configuration names none.
    pub server: Option<Arc<Mutex<Server>>>,
    /// The numbers of the loop.
    pub settings: Settings,
    /// The journals that are published as JSON.
    pub json: Vec<Journal>,
}

impl Parts {
    /// What processors run with.
    pub fn with(&self, reference: impl Into<InForce>, limits: Limits) -> With {
        let reference = reference.into();
        let (bus, store, cache) = (self.bus.clone(), self.store.clone(), self.cache.clone());
        With { bus, store, cache, reference, limits, settings: self.settings, json: self.json.clone(), replica: replica() }
    }

    /// Who keeps the cache true.
    pub fn follower(&self) -> Follower {
        let (bus, store, cache) = (self.bus.clone(), self.store.clone(), self.cache.clone());
        Follower { bus, store, cache, retention: self.settings.retention }
    }

    /// Another connection to the same broker, as another part of ourselves.
    pub async fn beside(&self, config: &Config, user: User, name: &str) -> anyhow::Result<Arc<JetStream>> {
        let url = match &self.server {
            Some(server) => server.lock().await.url(),
            None => config.nats.url.clone(),
        };
        Ok(Arc::new(JetStream::connect(&url, options(config, user, name)).await?))
    }

    /// Runs processors until `shutdown`. Where the broker keeps each part to its own, each reaches it as itself; elsewhere they share one connection.
    pub async fn run(
        &self,
        config: &Config,
        processors: Vec<&'static Rules>,
        reference: InForce,
        readiness: Arc<Readiness>,
        shutdown: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let start = |parts: &Self, processors: Vec<&'static Rules>| {
            run::run(processors, parts.with(reference.clone(), config.limits()), readiness.clone(), shutdown.clone())
        };
        if config.auth().is_none() {
            start(self, processors).await;
            return Ok(());
        }
        let mut running = Vec::new();
        for rules in processors {
            let jetstream = self.beside(config, User::of(rules), &format!("boomgate {}", rules.name)).await?;
            running.push(start(&Self { bus: jetstream.clone(), jetstream, ..self.clone() }, vec![rules]));
        }
        join_all(running).await;
        Ok(())
    }

    /// Ends our own nats-server, if there is one.
    pub async fn stop(&self) {
        if let Some(server) = &self.server {
            server.lock().await.stop().await;
        }
    }
}

/// A name of this process that no other one has: host and process id, as letters that a key may have.
pub fn replica() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let clean: String = host.trim().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    format!("{clean}-{}", std::process::id())
}

/// What of the table of streams a configuration chooses.
pub fn declared(config: &Config) -> Declared {
    let replicas = u8::try_from(config.nats.replicas).unwrap_or(1);
    Declared { replicas, groups: config.settings.groups, storage_bytes: config.nats.storage_mb.saturating_mul(1024 * 1024) }
}

/// How the broker is reached as one part of ourselves.
pub fn options(config: &Config, user: User, name: &str) -> Options {
    let credentials = (!config.nats.credentials_file.as_os_str().is_empty()).then(|| config.nats.credentials_file.clone());
    let options = Options { name: name.to_owned(), credentials, replicas: declared(config).replicas, ..Options::default() };
    match config.auth() {
        Some(folder) => Options { seed: Some(user.seed(folder)), inbox: user.inbox(), api: user.api().to_owned(), ..options },
        None => options,
    }
}

impl Parts {
    /// The broker alone, and our own nats-server where none is named, which is brought to the table of streams if `make` says so.
    pub async fn broker(config: &Config, user: User, name: &str, make: bool) -> anyhow::Result<(Arc<JetStream>, Option<Server>)> {
        let (url, server) = if config.nats.url.is_empty() {
            let authorization = config.auth().map(auth::config);
            let server = Server::start_guarded(&config.nats.folder, authorization.as_deref()).await;
            let server = server.context("cannot start a nats-server of our own")?;
            (server.url(), Some(server))
        } else {
            (config.nats.url.clone(), None)
        };
        if make && server.is_some() {
            JetStream::connect(&url, options(config, User::Operator, name)).await?.provision(&declared(config)).await?;
        }
        Ok((Arc::new(JetStream::connect(&url, options(config, user, name)).await?), server))
    }

    /// Watches whether the broker stores what it is given. Our own nats-server is started again when it has died, or when it stands still
    /// after its disk was full and there is space again; of another one the log says what to do.
    pub fn guard(&self, mut shutdown: watch::Receiver<bool>) -> tokio::task::JoinHandle<()> {
        let parts = self.clone();
        tokio::spawn(async move {
            let mut second = crate::clock::every(Duration::from_secs(1));
            let mut silent = 0_u32;
            loop {
                tokio::select! {
                    biased;
                    _ = shutdown.wait_for(|stop| *stop) => return,
                    _ = second.tick() => {}
                }
                // A sign of life is a write: reading would go on while the disk is full.
                let stored = parts.bus.beat(Beat { room: GUARD.into(), replica: replica() }).await;
                silent = if stored.is_ok() { 0 } else { silent.saturating_add(1) };
                metrics::gauge!("boomgate_broker_refuses").set(f64::from(silent));
                parts.revive(&mut silent).await;
            }
        })
    }

    async fn revive(&self, silent: &mut u32) {
        let Some(server) = &self.server else {
            if *silent > 0 && silent.is_multiple_of(SILENT_MAX) {
                tracing::error!("the broker stores nothing: if its disk was full, free space and then restart nats-server, or it goes on refusing");
            }
            return;
        };
        let mut server = server.lock().await;
        let stands_still = *silent >= SILENT_MAX;
        if let Err(error) = server.reload_if_changed().await {
            tracing::error!(%error, "who may do what stays as it was");
        }
        if server.is_running() && !stands_still {
            return;
        }
        if !has_space(server.folder()) {
            if *silent <= SILENT_MAX || silent.is_multiple_of(SILENT_MAX) {
                tracing::error!(folder = %server.folder().display(), "the disk of our nats-server is full: devices get no acknowledgement until there is space");
            }
            return;
        }
        tracing::error!("nats-server has died or stands still: it is started again on its data");
        if let Err(error) = server.restart().await {
            tracing::error!(%error, "nats-server cannot be started again yet");
        }
        *silent = 0;
    }
}

/// Whether a few megabytes can be written beside the server's data.
fn has_space(folder: &Path) -> bool {
    let probe = folder.join("space-probe");
    let written = std::fs::write(&probe, vec![0_u8; SPACE_MIN]).is_ok();
    // What was written of it is removed either way.
    let removed = std::fs::remove_file(&probe).is_ok();
    written && removed
}

/// Connects what a configuration names. Our own nats-server is started, and brought to the table of streams.
pub async fn connect(config: &Config, user: User, name: &str) -> anyhow::Result<Parts> {
    let (jetstream, server) = Parts::broker(config, user, name, true).await?;
    let location: Location = config.store.location.parse()?;
    let store = store::open(&location).await?;
    let server = server.map(|server| Arc::new(Mutex::new(server)));
    let cache = cache(config)?;
    Ok(Parts { bus: jetstream.clone(), jetstream, store, cache, server, settings: config.settings(), json: config.json.clone() })
}

/// The cache that a configuration names; nothing is connected yet, and nothing waits for it.
pub fn cache(config: &Config) -> anyhow::Result<Arc<dyn Cache>> {
    let CacheAt { address, address_file, prefix, facts_max, .. } = &config.cache;
    let address = if address_file.as_os_str().is_empty() {
        address.clone()
    } else {
        let read = std::fs::read_to_string(address_file);
        read.with_context(|| format!("cannot read the address of the cache from {}", address_file.display()))?.trim().to_owned()
    };
    if address.is_empty() {
        return Ok(Arc::new(store::cache::Memory::new(*facts_max)));
    }
    Ok(Arc::new(Redis::new(&address, *prefix, Timeouts::default())?))
}

/// A system of its own in a folder that is emptied first: for the demo and for replays.
pub async fn fresh(folder: &Path) -> anyhow::Result<Parts> {
    let marker = folder.join("made-by-boomgate");
    if folder.exists() && !marker.exists() && folder.read_dir()?.next().is_some() {
        anyhow::bail!("{} is not empty and was not made by boomgate: name another folder", folder.display());
    }
    if folder.exists() {
        // A server that outlived its parent still has its files open: starting finds and ends it, or says whose it is.
        Server::start(&folder.join("nats")).await?.stop().await;
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(&marker, "This folder is emptied whenever a demo or replay starts in it.\n")?;
    let text = format!(
        "[loop]\nkeep_inputs = true\n[nats]\nfolder = {:?}\n[store]\nlocation = {:?}\n",
        folder.join("nats").display().to_string(),
        format!("sqlite:{}", folder.join("boomgate.db").display())
    );
    connect(&Config::parse(&text)?, User::Entry, "boomgate").await
}
