//! The tables in a cluster: making them, and knowing whether they are ours.
//!
//! Invariants
//! 1. Provisioning again changes nothing   (`production::provisioning_again_changes_nothing`).
//! 2. Tables that are missing or newer are refused before anything is written   (`production::missing_and_newer_tables_are_refused`).

use super::{Options, execute_error, session};
use crate::{Error, Kind};
use scylla::client::session::Session;

/// What makes the tables, in order; only added to.
pub(crate) const FILES: [&str; 10] = [
    include_str!("../../../../schema/cql/0001_rows.cql"),
    include_str!("../../../../schema/cql/0002_marks.cql"),
    include_str!("../../../../schema/cql/0003_open_rows.cql"),
    include_str!("../../../../schema/cql/0004_layout.cql"),
    include_str!("../../../../schema/cql/0005_facts.cql"),
    include_str!("../../../../schema/cql/0006_shifts.cql"),
    include_str!("../../../../schema/cql/0007_statements.cql"),
    include_str!("../../../../schema/cql/0008_exceptions.cql"),
    include_str!("../../../../schema/cql/0009_fees.cql"),
    include_str!("../../../../schema/cql/0010_payouts.cql"),
];

/// The layout of the tables. A release uses its own alone.
const LAYOUT: i32 = 7;

/// A keyspace's name: it is written into statements, where nothing can be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyspace(String);

impl Keyspace {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 48;
        let fits = is_plain && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        fits.then(|| Self(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes the keyspace and its tables where they are not there yet.
pub(super) async fn provision(nodes: &[String], keyspace: &Keyspace, replicas: u8, options: &Options) -> Result<(), Error> {
    let session = session(nodes, options).await?;
    let keyspace = keyspace.as_str();
    let run = async |cql: String| {
        let doing = || cql.lines().find(|line| !line.starts_with("--")).unwrap_or_default().trim().to_owned();
        session.query_unpaged(cql.as_str(), ()).await.map(drop).map_err(|e| execute_error(doing(), e))
    };
    let replication = format!("{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replicas}}}");
    run(format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}")).await?;
    for statement in FILES.iter().flat_map(|file| file.split_inclusive(";\n")).filter(|statement| statement.contains("CREATE TABLE")) {
        run(statement.trim().trim_end_matches(';').replace("TABLE IF NOT EXISTS ", &format!("TABLE IF NOT EXISTS {keyspace}."))).await?;
    }
    // The layout as its own timestamp: an older release that provisions later does not put its own over it.
    run(format!("INSERT INTO {keyspace}.layout (name, layout) VALUES ('boomgate', {LAYOUT}) USING TIMESTAMP {LAYOUT}")).await
}

/// Refuses tables that are not of this release.
pub(super) async fn check(session: &Session, keyspace: &Keyspace) -> Result<(), Error> {
    let doing = || format!("looking at the layout of keyspace {}", keyspace.as_str());
    let cql = format!("SELECT layout FROM {}.layout WHERE name = 'boomgate'", keyspace.as_str());
    let result = session.query_unpaged(cql, ()).await.map_err(|e| execute_error(doing(), e))?;
    let rows = result.into_rows_result().map_err(|e| Error::caused(Kind::Damaged, doing(), e))?;
    match rows.maybe_first_row::<(i32,)>().map_err(|e| Error::caused(Kind::Damaged, doing(), e))? {
        Some((LAYOUT,)) => Ok(()),
        Some((newer,)) if newer > LAYOUT => Err(Error::new(Kind::Newer, doing())),
        Some(_) | None => Err(Error::new(Kind::NotProvisioned, doing())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_that_would_change_a_statement_is_refused() {
        for bad in ["", "9lives", "a.b", "a b", "Upper", "a;drop", "a\"", &"x".repeat(49)] {
            assert_eq!(Keyspace::named(bad), None, "{bad:?}");
        }
        assert_eq!(Keyspace::named("boomgate_2").map(|k| k.0), Some("boomgate_2".to_owned()));
    }
}
