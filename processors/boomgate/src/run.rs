//! Running processors: the one way in which they are started, in the binary, the demo and the tests.

use crate::{
    follow::{Follower, HEARD_MAX},
    metrics::Metrics,
    reference::InForce,
    replica::{self, Readiness, Shared},
    settings::Settings,
    silence,
};
use rules::{Limits, Rules};
use schema::{Journal, wire::Format};
use std::sync::Arc;
use store::{Store, cache::Cache};
use streams::Bus;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// What processors run with.
#[derive(Clone)]
pub struct With {
    /// The broker.
    pub bus: Arc<dyn Bus>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// What is known of vehicles elsewhere.
    pub cache: Arc<dyn Cache>,
    /// The operator's lots and rate tables, as they are in force.
    pub reference: InForce,
    /// The numbers that bound decisions.
    pub limits: Limits,
    /// The numbers of the loop.
    pub settings: Settings,
    /// The journals that are published as JSON; the others are MessagePack.
    pub json: Vec<Journal>,
    /// The replica's own name.
    pub replica: String,
}

/// The processors that were named; `all` names all of them.
pub fn named<N: AsRef<str>>(names: &[N]) -> anyhow::Result<Vec<&'static Rules>> {
    let known = || rules::ALL.map(|rules| rules.name).join(", ");
    let mut chosen = Vec::new();
    for name in names.iter().map(AsRef::as_ref) {
        match rules::ALL.into_iter().find(|rules| rules.name == name) {
            _ if name == "all" => chosen.extend(rules::ALL),
            Some(rules) => chosen.push(rules),
            None => anyhow::bail!("no processor is named {name:?}: name some of {}, or all", known()),
        }
    }
    chosen.dedup_by_key(|rules| rules.name);
    Ok(chosen)
}

/// Runs processors until `shutdown`, and until each has finished its batches and left.
pub async fn run(processors: Vec<&'static Rules>, with: With, readiness: Arc<Readiness>, shutdown: watch::Receiver<bool>) {
    let mut replicas = JoinSet::new();
    // Entry alone asks for what is known of vehicles elsewhere.
    let (says, hears) = mpsc::channel(HEARD_MAX);
    if processors.iter().any(|rules| rules.journal == Journal::Session) {
        let With { bus, store, cache, .. } = with.clone();
        let follower = Follower { bus, store, cache, retention: with.settings.retention };
        replicas.spawn(follower.run(with.replica.clone(), hears, shutdown.clone()));
        replicas.spawn(silence::watch(with.bus.clone(), with.reference.clone(), shutdown.clone()));
    }
    for rules in processors {
        let With { bus, store, cache, reference, limits, settings, json, replica } = with.clone();
        let format = if json.contains(&rules.journal) { Format::Json } else { Format::MessagePack };
        let follower = (rules.journal == Journal::Session).then(|| says.clone());
        let shared = Arc::new(Shared { rules, bus, store, cache, follower, reference, limits, format, settings, metrics: Metrics::new(rules.name) });
        replicas.spawn(replica::run(shared, replica, readiness.clone(), shutdown.clone()));
    }
    while let Some(ended) = replicas.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a processor did not end well: the log replays");
        }
    }
}

#[cfg(test)]
mod tests;
