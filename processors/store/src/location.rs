//! Which store: `sqlite:PATH` or `cql:host:port,host:port/keyspace`.
//!
//! Invariants
//! 1. A location that cannot be one is refused when it is read, with what to write instead   (`tests::what_is_no_location_is_refused`).

use crate::{Cql, Error, Kind, Options, Sqlite, Store, cql::Keyspace};
use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// One file, made where there is none.
    Sqlite(PathBuf),
    /// A cluster.
    Cql {
        /// Some of its nodes, each `host:port`; the others are found through them.
        nodes: Vec<String>,
        /// The keyspace: small letters, digits and `_`.
        keyspace: String,
    },
}

/// Why a text is not a [`Location`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no store lies at {0:?}: write sqlite:PATH or cql:host:port,host:port/keyspace")]
pub struct NotALocation(String);

impl FromStr for Location {
    type Err = NotALocation;

    fn from_str(text: &str) -> Result<Self, NotALocation> {
        let cql = |rest: &str| {
            let (nodes, keyspace) = rest.rsplit_once('/')?;
            let nodes: Vec<String> = nodes.split(',').map(str::to_owned).collect();
            let is_node = |node: &String| node.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            let keyspace = Keyspace::named(keyspace)?.as_str().to_owned();
            nodes.iter().all(is_node).then_some(Self::Cql { nodes, keyspace })
        };
        let found = match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Some(Self::Sqlite(path.into())),
            Some(("cql", rest)) => cql(rest),
            _ => None,
        };
        found.ok_or_else(|| NotALocation(text.to_owned()))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Cql { nodes, keyspace } => write!(f, "cql:{}/{keyspace}", nodes.join(",")),
        }
    }
}

/// Opens the store; a file is made where there is none, a cluster must be provisioned.
pub async fn open(location: &Location) -> Result<Arc<dyn Store>, Error> {
    Ok(match location {
        Location::Sqlite(path) => Arc::new(open_file(path.clone()).await?),
        Location::Cql { nodes, keyspace } => Arc::new(Cql::connect(nodes, keyspace, Options::default()).await?),
    })
}

/// Makes what the store needs where it is not there yet: a file, or a keyspace with so many replicas in each data centre.
pub async fn provision(location: &Location, replicas: u8) -> Result<(), Error> {
    match location {
        Location::Sqlite(path) => open_file(path.clone()).await.map(drop),
        Location::Cql { nodes, keyspace } => Cql::provision(nodes, keyspace, replicas, Options::default()).await,
    }
}

/// Opening waits for the disk and for other processes, so not on a thread of the runtime.
async fn open_file(path: PathBuf) -> Result<Sqlite, Error> {
    let opened = tokio::task::spawn_blocking(move || Sqlite::open(&path)).await;
    opened.unwrap_or_else(|e| Err(Error::caused(Kind::Unavailable, "opening the store", e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_reads_as_it_prints() {
        for text in ["sqlite:boomgate.db", "sqlite:/var/lib/a:b/store.db", "cql:10.0.0.1:9042/boomgate", "cql:a:9042,b:9042,[::1]:9042/boomgate_2"] {
            assert_eq!(text.parse::<Location>().map(|l| l.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_location_is_refused() {
        for bad in [
            "",
            "sqlite",
            "sqlite:",
            "boomgate.db",
            "cql:",
            "cql:host/ks",
            "cql:host:9042",
            "cql:host:9042/",
            "cql:host:9042,/ks",
            "cql::9042/ks",
            "cql:h:x/ks",
            "cql:h:1/K;s",
        ] {
            assert_eq!(bad.parse::<Location>(), Err(NotALocation(bad.to_owned())), "{bad}");
        }
    }
}
