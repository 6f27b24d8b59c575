//! The parts that a configuration names, connected: broker, store, and a nats-server of our own where none is named.
//!
//! Not here: what is provisioned (`streams`, `store`), what runs on them (`run`).

use crate::{config::Config, run::With, settings::Settings};
use anyhow::Context;
use rules::Limits;
use schema::{Journal, Reference};
use std::{path::Path, sync::Arc, time::Duration};
use store::{Location, Store};
use streams::{Beat, Bus, JetStream, Options, server::Server, table::Declared};
use tokio::sync::{Mutex, watch};

/// How many seconds our own nats-server may refuse to write before it is started again.
const SILENT_MAX: u32 = 10;

/// Broker and store.
#[derive(Clone)]
pub struct Parts {
    /// The broker as the port.
    pub bus: Arc<dyn Bus>,
    /// The broker as what it is, for provisioning.
    pub jetstream: Arc<JetStream>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Our own nats-server, where the configuration names none.
    pub server: Option<Arc<Mutex<Server>>>,
    /// The numbers of the loop.
    pub settings: Settings,
    /// The journals that are published as JSON.
    pub json: Vec<Journal>,
}

impl Parts {
    /// What processors run with.
    pub fn with(&self, reference: Arc<Reference>, limits: Limits) -> With {
        let (bus, store) = (self.bus.clone(), self.store.clone());
        With { bus, store, reference, limits, settings: self.settings, json: self.json.clone(), replica: replica() }
    }

    /// Ends our own nats-server, if there is one.
    pub async fn stop(&self) {
        if let Some(server) = &self.server {
            server.lock().await.stop().await;
        }
    }
}

/// A name of this process that no other one has: host and process id, as letters that a key may have.
fn replica() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let clean: String = host.trim().chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    format!("{clean}-{}", std::process::id())
}

/// What of the table of streams a configuration chooses.
pub fn declared(config: &Config) -> Declared {
    let replicas = u8::try_from(config.nats.replicas).unwrap_or(1);
    Declared { replicas, groups: config.settings.groups, ..Declared::default() }
}

impl Parts {
    /// The broker alone, and our own nats-server where none is named.
    pub async fn broker(config: &Config, name: &str) -> anyhow::Result<(Arc<JetStream>, Option<Server>)> {
        let (url, server) = if config.nats.url.is_empty() {
            let server = Server::start(&config.nats.folder).await.context("cannot start a nats-server of our own")?;
            (server.url(), Some(server))
        } else {
            (config.nats.url.clone(), None)
        };
        let credentials = (!config.nats.credentials_file.as_os_str().is_empty()).then(|| config.nats.credentials_file.clone());
        let options = Options { name: name.to_owned(), credentials, replicas: declared(config).replicas };
        Ok((Arc::new(JetStream::connect(&url, options).await?), server))
    }

    /// Restarts our own nats-server when it has died, or stands still after its disk was full.
    pub fn guard(&self, mut shutdown: watch::Receiver<bool>) -> tokio::task::JoinHandle<()> {
        let parts = self.clone();
        tokio::spawn(async move {
            let Some(server) = parts.server else { return };
            let mut second = crate::clock::every(Duration::from_secs(1));
            let mut silent = 0_u32;
            loop {
                tokio::select! {
                    biased;
                    _ = shutdown.wait_for(|stop| *stop) => return,
                    _ = second.tick() => {}
                }
                // A sign of life is a write: reading would go on while the disk is full.
                let alive = parts.bus.beat(Beat { room: "guard".into(), replica: replica() }).await.is_ok();
                silent = if alive { 0 } else { silent.saturating_add(1) };
                let mut server = server.lock().await;
                if !server.is_running() || silent >= SILENT_MAX {
                    tracing::error!("nats-server has died or stands still: it is started again on its data");
                    if let Err(error) = server.restart().await {
                        tracing::error!(%error, "nats-server cannot be started again yet");
                    }
                    silent = 0;
                }
            }
        })
    }
}

/// Connects what a configuration names. Our own nats-server is started, and brought to the table of streams.
pub async fn connect(config: &Config, name: &str) -> anyhow::Result<Parts> {
    let (jetstream, server) = Parts::broker(config, name).await?;
    let location: Location = config.store.location.parse()?;
    if server.is_some() {
        jetstream.provision(&declared(config)).await?;
    }
    let store = store::open(&location).await?;
    let server = server.map(|server| Arc::new(Mutex::new(server)));
    Ok(Parts { bus: jetstream.clone(), jetstream, store, server, settings: config.settings(), json: config.json.clone() })
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
        "reference = ''\n[loop]\nkeep_inputs = true\n[nats]\nfolder = {:?}\n[store]\nlocation = {:?}\n",
        folder.join("nats").display().to_string(),
        format!("sqlite:{}", folder.join("boomgate.db").display())
    );
    connect(&Config::parse(&text)?, "boomgate").await
}
