//! Calls to payment channels as a part of this program: which channels there are, where, and by what they are trusted.
//!
//! Not here: how a call is made (`gateway::calls`), what is called (`channels`), when (`rules::payment`).

use crate::{
    config::{ChannelAt, Config},
    gateway,
};
use ::gateway::{
    Caller,
    calls::{Limits, Site},
};
use anyhow::{Context, Result};
use channels::{Cash, Channel};
use std::{sync::Arc, time::Duration};
use streams::Bus;
use tokio::{sync::watch, task::JoinHandle};

/// The name by which `boomgate run` knows it.
pub const NAME: &str = "caller";

/// The numbers of a configuration.
pub(crate) fn limits(config: &Config) -> Limits {
    let calls = &config.calls;
    Limits {
        connect_wait: Duration::from_millis(calls.connect_wait_ms),
        answer_wait: Duration::from_millis(calls.answer_wait_ms),
        under_way_max: calls.under_way_max,
        queue_max: calls.queue_max,
        ..Limits::default()
    }
}

/// A channel with its keys, where it is, and by what it is trusted.
pub(crate) fn site(name: &str, at: &ChannelAt) -> Result<Site> {
    let authorities = if at.ca_file.as_os_str().is_empty() {
        None
    } else {
        let read = std::fs::read(&at.ca_file);
        Some(read.with_context(|| format!("channels.{name}: cannot read the certificates {}", at.ca_file.display()))?)
    };
    let channel = gateway::make(name, at)?;
    Ok(Site { channel, merchant: at.merchant.clone(), base_url: at.base_url.clone(), authorities })
}

/// The channels that a configuration names, and cash, of which everybody knows that nobody is called.
fn sites(config: &Config) -> Result<Vec<Site>> {
    let named = config.channels.iter().map(|(name, at)| site(name, at));
    let mut sites = named.collect::<Result<Vec<_>>>()?;
    if sites.iter().all(|site| site.channel.name() != Cash.name()) {
        sites.push(Site { channel: Arc::new(Cash), merchant: String::new(), base_url: String::new(), authorities: None });
    }
    Ok(sites)
}

/// Calls channels as this replica until `shutdown`.
pub fn start(config: &Config, bus: Arc<dyn Bus>, replica: String, shutdown: watch::Receiver<bool>) -> Result<JoinHandle<()>> {
    let sites = sites(config)?;
    for site in sites.iter().filter(|site| site.base_url.is_empty() && site.channel.name() != Cash.name()) {
        tracing::warn!(channel = site.channel.name(), "has no base_url: it is not called, and its refunds are a person's work");
    }
    let names: Vec<&str> = sites.iter().map(|site| site.channel.name()).collect();
    tracing::info!(channels = names.join(", "), "channels are called");
    let caller =
        Caller::new(bus, sites, replica, gateway::clock, config.calls.subject.clone(), limits(config)).context("a channel cannot be called")?;
    Ok(tokio::spawn(caller.run(shutdown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text).expect("valid")
    }

    #[test]
    fn cash_is_a_channel_whatever_is_configured() {
        let names = |text: &str| sites(&config(text)).expect("sound").iter().map(|site| site.channel.name()).collect::<Vec<_>>();
        assert_eq!(names(""), ["cash"]);
        assert_eq!(names("[channels.cash]"), ["cash"]);
    }

    #[test]
    fn what_is_not_set_is_what_the_gateway_bounds() {
        assert_eq!(limits(&config("")), Limits::default());
    }

    #[test]
    fn certificates_that_are_not_there_are_told() {
        let error = format!("{:#}", sites(&config("[channels.cash]\nca_file = '/nowhere/ca.pem'")).map(drop).expect_err("it is not there"));
        assert!(error.contains("channels.cash: cannot read the certificates /nowhere/ca.pem"), "{error}");
    }
}
