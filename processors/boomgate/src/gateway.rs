//! The front doors as a part of this program: which channels there are, with which keys, and where they are heard.
//!
//! Not here: what a door does (`gateway`), what a channel says (`channels`).

use crate::config::{ChannelAt, Config};
use anyhow::{Context, Result, ensure};
use channels::{Channel, Settings};
use gateway::{Limits, Webhooks};
use schema::Moment;
use std::{sync::Arc, time::SystemTime};
use streams::Bus;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// The name by which `boomgate run` knows it.
pub const NAME: &str = "gateway";

/// Our own clock. Signatures are fresh by it, and nothing else is decided by it.
pub(crate) fn clock() -> Moment {
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

/// Opens the doors until `shutdown`.
pub async fn open(config: &Config, bus: Arc<dyn Bus>, shutdown: watch::Receiver<bool>) -> Result<JoinHandle<()>> {
    let listen = &config.gateway.listen;
    let channels = channels(config)?;
    let names: Vec<&str> = channels.iter().map(|channel| channel.name()).collect();
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (gateway.listen)"))?;
    tracing::info!(address = %listener.local_addr()?, channels = names.join(", "), "the front doors are open");
    let limits = Limits::default();
    let router = Webhooks::new(bus, channels, clock, limits).router();
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
