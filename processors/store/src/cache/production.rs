//! The cache that replicas share, against a real redis-server of this test run's own.
//!
//! These never pass by skipping: where none can be started, they fail.

use super::{
    Cache, Redis, Timeouts,
    conformance::{self, LONG, ban, car, read, read_all, rebuilt, removal},
};
use crate::Kind;
use futures_util::StreamExt;
use schema::fact;
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A redis-server in a folder of its own, which keeps nothing on disk; it ends with this.
struct Server {
    program: PathBuf,
    port: u16,
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Server {
    async fn start() -> Self {
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "scripts", "install-redis"].iter().collect();
        let done = Command::new(&script).stderr(Stdio::inherit()).output().expect("scripts/install-redis can be run");
        assert!(done.status.success(), "scripts/install-redis failed; set BOOMGATE_REDIS_SERVER to a redis-server");
        let program = String::from_utf8(done.stdout).expect("it prints a path").trim().into();
        // A port that was free a moment ago, and that nobody else is given soon.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it is bound").port();
        let mut server = Self { program, port, folder: tempfile::tempdir().expect("a folder for temporary files"), process: None };
        server.go_on().await;
        server
    }

    /// Starts it on its port, empty.
    async fn go_on(&mut self) {
        let (port, folder) = (self.port.to_string(), self.folder.path().display().to_string());
        let words = ["--port", &port, "--dir", &folder, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let process = Command::new(&self.program).args(words).stdout(Stdio::null()).spawn().expect("redis-server can be started");
        self.process = Some(process);
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            wait(50).await;
        }
        panic!("redis-server does not listen on port {}", self.port);
    }

    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill can be run").success());
    }

    fn cache(&self, prefix: &str) -> Redis {
        at_port(self.port, prefix)
    }

    /// Says something to it that the port has no word for.
    async fn say(&self, words: &str) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await.expect("it listens");
        socket.write_all(format!("{words}\r\nQUIT\r\n").as_bytes()).await.expect("it listens");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("it answers in text");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.signal("-CONT");
        }
        self.end();
    }
}

fn at_port(port: u16, prefix: &str) -> Redis {
    let timeouts = Timeouts { connect: Duration::from_millis(500), answer: Duration::from_secs(2) };
    Redis::new(&format!("redis://127.0.0.1:{port}"), prefix.parse().expect("a name"), timeouts).expect("an address")
}

#[expect(clippy::disallowed_methods, reason = "it waits for a real server")]
async fn wait(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Reads until it is answered; the server is there, so that is soon.
async fn read_again(cache: &Redis, text: &str) -> Result<Vec<fact::Part>, Kind> {
    for _ in 0..100 {
        match read(cache, text).await {
            Err(Kind::Unavailable) => wait(50).await,
            found => return found,
        }
    }
    panic!("it does not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_promises() {
    let server = Server::start().await;
    conformance::run(&server.cache("promises")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_systems_share_a_server() {
    let server = Server::start().await;
    let (one, other) = (server.cache("one"), server.cache("one-1"));
    for cache in [&one, &other] {
        rebuilt(cache).await;
    }
    one.write(vec![(car("a"), ban("1", 1))]).await.expect("it is there");
    other.write(vec![(car("a"), ban("1", 2))]).await.expect("it is there");
    one.clear().await.expect("it is there");
    assert_eq!(read(&one, "a").await, Err(Kind::Incomplete));
    assert_eq!(read(&other, "a").await, Ok(vec![ban("1", 2)]));
    // Two replicas of one system see the same.
    let replica = server.cache("one-1");
    assert_eq!(read(&replica, "a").await, Ok(vec![ban("1", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_everything_says_so() {
    let server = Server::start().await;
    let cache = server.cache("lost");
    rebuilt(&cache).await;
    cache.write(vec![(car("a"), ban("1", 1))]).await.expect("it is there");
    assert_eq!(read(&cache, "a").await, Ok(vec![ban("1", 1)]));
    assert!(server.say("FLUSHALL").await.starts_with("+OK"));
    assert_eq!(read(&cache, "a").await, Err(Kind::Incomplete));
    assert!(!cache.is_complete().await.expect("it is there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_an_error_in_time_and_comes_back() {
    let server = Server::start().await;
    let cache = server.cache("hangs");
    rebuilt(&cache).await;
    cache.write(vec![(car("a"), ban("1", 1))]).await.expect("it is there");
    server.signal("-STOP");
    // More often than a connection is kept for.
    for _ in 0..20 {
        let asked = ["a", "b", "c"].map(|text| (car(text), fact::Kind::Bans)).to_vec();
        let found = tokio::time::timeout(Duration::from_secs(2), cache.read(asked, Duration::from_millis(50)).collect::<Vec<_>>());
        let found = found.await.expect("each read is answered soon after its 50 ms");
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|(_, found)| found.as_ref().is_err_and(|error| error.kind == Kind::Unavailable)));
    }
    assert_eq!(cache.write(vec![(car("a"), ban("1", 2))]).await.map_err(|e| e.kind), Err(Kind::Unavailable));
    server.signal("-CONT");
    // The write that timed out may have happened; written again, it has.
    while cache.write(vec![(car("a"), ban("1", 2))]).await.is_err() {
        wait(50).await;
    }
    assert_eq!(read_again(&cache, "a").await, Ok(vec![ban("1", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_an_error_and_comes_back() {
    let mut server = Server::start().await;
    let cache = server.cache("gone");
    rebuilt(&cache).await;
    server.end();
    for _ in 0..3 {
        assert_eq!(read(&cache, "a").await, Err(Kind::Unavailable));
    }
    assert_eq!(cache.write(vec![(car("a"), ban("1", 1))]).await.map_err(|e| e.kind), Err(Kind::Unavailable));
    assert_eq!(cache.is_complete().await.map_err(|e| e.kind), Err(Kind::Unavailable));
    server.go_on().await;
    // It kept nothing, and says so.
    assert_eq!(read_again(&cache, "a").await, Err(Kind::Incomplete));
    rebuilt(&cache).await;
    assert_eq!(read(&cache, "a").await, Ok(vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_can_be_made_before_its_server() {
    let mut server = Server::start().await;
    server.end();
    let cache = server.cache("early");
    assert_eq!(read(&cache, "a").await, Err(Kind::Unavailable));
    server.go_on().await;
    assert_eq!(read_again(&cache, "a").await, Err(Kind::Incomplete));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_evicts_is_refused() {
    let server = Server::start().await;
    let cache = server.cache("evicts");
    for (policy, refused) in [("allkeys-lru", true), ("allkeys-random", true), ("noeviction", false), ("volatile-ttl", false)] {
        let said = server.say(&format!("CONFIG SET maxmemory 100mb\r\nCONFIG SET maxmemory-policy {policy}")).await;
        assert!(said.starts_with("+OK\r\n+OK"), "{said}");
        assert_eq!(cache.begin_rebuild().await.map_err(|e| e.kind).err(), refused.then_some(Kind::Forgets), "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_of_removals_alone_ends_by_itself() {
    let server = Server::start().await;
    let cache = server.cache("ends");
    rebuilt(&cache).await;
    let life = async || server.say("PTTL ends:bans:pba").await;
    cache.write(vec![(car("a"), ban("1", 1))]).await.expect("it is there");
    assert!(life().await.starts_with(":-1"), "what lives does not end");
    cache.write(vec![(car("a"), removal("1", 2))]).await.expect("it is there");
    let left = life().await;
    let left: i64 = left.lines().next().and_then(|line| line.strip_prefix(':')?.parse().ok()).expect("a number");
    assert!((1..=24 * 3_600_000).contains(&left), "{left}");
    cache.write(vec![(car("a"), ban("1", 3))]).await.expect("it is there");
    assert!(life().await.starts_with(":-1"), "what lives again does not end");
    // Where something lives, what was removed more than a day before is dropped.
    cache.write(vec![(car("a"), removal("2", 4)), (car("a"), removal("3", 25 * 3_600_000_000))]).await.expect("it is there");
    assert!(server.say("HLEN ends:bans:pba").await.starts_with(":2"));
    assert_eq!(read(&cache, "a").await, Ok(vec![ban("1", 3)]));
}

/// A road to the server that takes 100 ms for whatever comes in one piece.
async fn slow_road(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", to)).await.expect("it listens");
            let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_far, &mut to_near).await });
            tokio::spawn(async move {
                let mut room = vec![0; 1 << 20];
                while let Ok(count @ 1..) = from_near.read(&mut room).await {
                    wait(100).await;
                    if to_far.write_all(&room[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_many_facts_is_one_round_trip() {
    let server = Server::start().await;
    let cache = at_port(slow_road(server.port).await, "road");
    rebuilt(&server.cache("road")).await;
    // The first one connects.
    assert_eq!(read(&cache, "a").await, Ok(vec![]));
    let asked: Vec<_> = (0..200).map(|n| (car(&n.to_string()), fact::Kind::Bans)).collect();
    let found = tokio::time::timeout(Duration::from_secs(5), cache.read(asked.clone(), LONG).collect::<Vec<_>>()).await;
    // One after the other they would take 20 seconds.
    assert!(found.expect("a few pieces of a message at most").iter().all(|(_, found)| found.is_ok()));
    assert_eq!(read_all(&cache, asked).await.len(), 200);
}
