//! The store at scale against a real server: the nodes in `SCYLLA_NODES`, or else a Cassandra of this test run's own.
//!
//! These never pass by skipping: where there are no nodes and none can be started, they fail.

use crate::{
    Cql, Kind, Location, Options, Row, Store,
    conformance::{self, samples},
};
use futures_util::StreamExt;
use schema::{Journal, Key, Moment, Table};
use scylla::client::{session::Session, session_builder::SessionBuilder};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Where a server is; a started one ends with this.
struct Server {
    nodes: Vec<String>,
    own: Option<tempfile::TempDir>,
}

impl Server {
    /// The given one, or a new one.
    fn find() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test is told by its environment which server to use")]
        let given = std::env::var("SCYLLA_NODES").ok();
        match given {
            Some(nodes) => Self { nodes: nodes.split(',').map(str::to_owned).collect(), own: None },
            None => Self::start(),
        }
    }

    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let mut server = Self { nodes: vec![], own: Some(folder) };
        server.nodes = vec![server.script("start", &[&std::process::id().to_string()])];
        server
    }

    fn folder(&self) -> &Path {
        self.own.as_ref().expect("a server of our own").path()
    }

    fn script(&self, verb: &str, more: &[&str]) -> String {
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "scripts", "cassandra"].iter().collect();
        let done =
            Command::new(&script).arg(verb).arg(self.folder()).args(more).stderr(Stdio::inherit()).output().expect("scripts/cassandra can be run");
        assert!(done.status.success(), "scripts/cassandra {verb} failed; set SCYLLA_NODES=host:port to use another server");
        String::from_utf8(done.stdout).expect("it prints host:port").trim().to_owned()
    }

    /// Sends a signal to our own server's process.
    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder().join("pid")).expect("it runs");
        assert!(Command::new("kill").args([signal, pid.trim()]).status().expect("kill can be run").success());
    }

    async fn store(&self, keyspace: &str, options: Options) -> Cql {
        // A server that was given may hold what an earlier run left.
        let session = self.session().await;
        session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {keyspace}"), ()).await.expect("it is there");
        Cql::provision(&self.nodes, keyspace, 1, Options::default()).await.expect("it is there");
        Cql::connect(&self.nodes, keyspace, options).await.expect("it has its tables")
    }

    async fn session(&self) -> Session {
        SessionBuilder::new().known_nodes(&self.nodes).build().await.expect("it is there")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.own.is_some() {
            self.script("stop", &[]);
        }
    }
}

/// One server for all of these: starting one takes longer than they do.
#[tokio::test(flavor = "multi_thread")]
async fn cassandra_keeps_the_promises() {
    let server = Server::find();
    let store = server.store("boomgate_conformance", Options::default()).await;
    conformance::run(&store).await;
    a_stale_open_line_opens_nothing(&server, &store).await;
    provisioning_again_changes_nothing(&server, &store).await;
    missing_and_newer_tables_are_refused(&server).await;
    a_location_opens_it(&server).await;
    rows_are_saved_within_a_bound(&store).await;
}

async fn a_stale_open_line_opens_nothing(server: &Server, store: &Cql) {
    let row = samples().into_iter().find(|row| row.key.table == Table::Sessions && !row.entity.is_open()).expect("a closed session");
    store.save(vec![row.clone()]).await.expect("it is there");
    // As if the line of an older, open row had been repaired after the deletion was forgotten.
    let line = "INSERT INTO boomgate_conformance.open_rows (entity_table, bucket, province, day, id) VALUES ('sessions', ?, ?, ?, ?)";
    let Key { province, day, bucket, id, .. } = row.key;
    let values = (i16::from(bucket.0), i16::from(province.0), day.0.cast_signed(), id.as_str());
    server.session().await.query_unpaged(line, values).await.expect("it is there");
    let open = store.open(Journal::Session, vec![bucket]).await.expect("it is there");
    assert!(open.iter().all(|open| open.key != row.key), "a closed session is given as open");
}

async fn provisioning_again_changes_nothing(server: &Server, store: &Cql) {
    let rows = samples();
    store.save(rows.clone()).await.expect("it is there");
    Cql::provision(&server.nodes, "boomgate_conformance", 1, Options::default()).await.expect("it is there");
    let found = store.load(rows.iter().map(|row| row.key).collect()).await.expect("it is there");
    assert_eq!(found, rows.into_iter().map(Some).collect::<Vec<_>>());
}

async fn missing_and_newer_tables_are_refused(server: &Server) {
    let connect = async |keyspace| Cql::connect(&server.nodes, keyspace, Options::default()).await.err().map(|e| e.kind);
    let session = server.session().await;
    let run = async |cql: &str| drop(session.query_unpaged(cql, ()).await.expect("it is there"));
    run("DROP KEYSPACE IF EXISTS boomgate_missing").await;
    assert_eq!(connect("boomgate_missing").await, Some(Kind::NotProvisioned));
    run("CREATE KEYSPACE boomgate_missing WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}").await;
    assert_eq!(connect("boomgate_missing").await, Some(Kind::NotProvisioned));
    Cql::provision(&server.nodes, "boomgate_missing", 1, Options::default()).await.expect("it is there");
    assert_eq!(connect("boomgate_missing").await, None);
    run("DROP TABLE boomgate_missing.orders").await;
    assert_eq!(connect("boomgate_missing").await, Some(Kind::NotProvisioned));
    run("INSERT INTO boomgate_missing.layout (name, layout) VALUES ('boomgate', 1000) USING TIMESTAMP 1000").await;
    assert_eq!(connect("boomgate_missing").await, Some(Kind::Newer));
    run("DROP KEYSPACE boomgate_missing").await;
}

async fn a_location_opens_it(server: &Server) {
    let location: Location = format!("cql:{}/boomgate_conformance", server.nodes.join(",")).parse().expect("a location");
    let store = crate::open(&location).await.expect("it is there");
    assert_eq!(store.load(vec![]).await.expect("it is there"), []);
}

#[expect(clippy::disallowed_methods, reason = "it measures the server; nothing is decided by it but the bound below")]
async fn rows_are_saved_within_a_bound(store: &Cql) {
    const ROWS: usize = 20_000;
    for round in 0..3 {
        let rows: Vec<Row> = (0..ROWS).map(|n| Row { at: Moment(round + 1), ..conformance::large(n) }).collect();
        let keys: Vec<Key> = rows.iter().map(|row| row.key).collect();
        let start = std::time::Instant::now();
        // As eight processors would.
        let waiting: Vec<_> = rows.chunks(500).map(|rows| store.save(rows.to_vec())).collect();
        futures_util::stream::iter(waiting).buffer_unordered(8).for_each(async |done| done.expect("it is there")).await;
        let saved = start.elapsed();
        let start = std::time::Instant::now();
        assert!(store.load(keys).await.expect("it is there").iter().all(Option::is_some));
        let loaded = start.elapsed();
        let start = std::time::Instant::now();
        let open = store.open(Journal::Session, schema::Partition::all().collect()).await.expect("it is there").len();
        println!("{ROWS} rows saved in {saved:?}, loaded in {loaded:?}; {open} open ones found in {:?}", start.elapsed());
        assert!(saved < Duration::from_secs(60), "{saved:?} for {ROWS} rows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_is_unavailable_and_comes_back() {
    // Always one of its own: it is stopped and continued.
    let server = Server::start();
    let options = Options { request_timeout: Duration::from_secs(1), ..Options::default() };
    let store = server.store("boomgate_away", options).await;
    let rows = samples();
    let key = rows[0].key;
    server.signal("-STOP");
    assert_eq!(store.save(rows.clone()).await.err().map(|e| e.kind), Some(Kind::Unavailable));
    assert_eq!(store.load(vec![key]).await.err().map(|e| e.kind), Some(Kind::Unavailable));
    assert_eq!(Cql::connect(&server.nodes, "boomgate_away", options).await.err().map(|e| e.kind), Some(Kind::Unavailable));
    server.signal("-CONT");
    let mut tries = 0;
    while store.save(rows.clone()).await.is_err() {
        tries += 1;
        assert!(tries < 60, "it does not come back");
        #[expect(clippy::disallowed_methods, reason = "it waits for a real server")]
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(store.load(vec![key]).await.expect("it is there again"), [Some(rows[0].clone())]);
}

#[tokio::test]
async fn no_server_is_unavailable() {
    // A port that was free a moment ago, and that nobody else is given soon.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it is bound").port();
    let options = Options { request_timeout: Duration::from_secs(1), ..Options::default() };
    assert_eq!(Cql::connect(&[format!("127.0.0.1:{port}")], "boomgate", options).await.err().map(|e| e.kind), Some(Kind::Unavailable));
}
