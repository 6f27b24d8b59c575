//! A listener that nobody can hold up: connections, heads and bodies are bounded, in number, in size and in time.
//!
//! Invariants
//! 1. Who sends its head slowly is cut off, and who comes then is served   (`tests::a_slow_client_is_cut_off_and_the_next_one_is_served`).
//! 2. A body past its limit is refused before it is read   (`webhook::tests::what_is_too_large_is_refused`).
//! 3. A shutdown finishes what is under way   (`tests::a_shutdown_finishes_what_is_under_way`).
//! 4. Who does not read its answer is cut off   (`tests::who_does_not_read_is_cut_off_and_the_next_one_is_served`), and so is who reads it too slowly
//!    (`patient`).
//! 5. One address alone cannot take all places   (`tests::one_address_leaves_places_for_others`).

mod patient;
mod places;

use crate::address::Proxies;
use axum::Router;
use hyper::{
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use patient::{Pace, Patient};
use places::Places;
use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// How long what is under way may take after a shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait before accepting again after that failed: most likely there are no descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What anybody may take of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; the next ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Connections at once of one address that is no proxy of ours; the next ones are closed at once.
    pub connections_each_max: usize,
    /// Requests that are worked on at once; the next ones are told to come again.
    pub under_way_max: usize,
    /// The longest body, in bytes.
    pub body_bytes_max: usize,
    /// How long a head, and then a body, may take to come.
    pub read_wait: Duration,
    /// How long a client may read less than [`Self::write_bytes_min`] of an answer that waits for it.
    pub write_wait: Duration,
    /// How many bytes a client reads in each [`Self::write_wait`] in which something waits for it, at least.
    pub write_bytes_min: usize,
    /// How long the broker may take to store; channels wait five seconds for an answer.
    pub store_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_each_max: 256,
            under_way_max: 512,
            body_bytes_max: 64 * 1024,
            read_wait: Duration::from_secs(5),
            write_wait: Duration::from_secs(10),
            write_bytes_min: 10 * 1024,
            store_wait: Duration::from_secs(4),
        }
    }
}

/// Who is at the other end of a connection: a client, or a proxy before us. It lies among the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Serves until `shutdown`, and until what is under way has ended or its time is over.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, proxies: Proxies, mut shutdown: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let (places, mut turned_away) = (Places::new(proxies, limits.connections_each_max), 0);
    let mut connections = JoinSet::new();
    loop {
        let permit = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => break,
            permit = room.clone().acquire_owned() => permit.expect("nobody closes it"),
        };
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = places.take(peer.ip()) else {
                    turned_away += 1;
                    tell_turned_away(peer, turned_away);
                    continue;
                };
                let (router, shutdown) = (router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection(stream, Peer(peer), router, limits, shutdown).await;
                    drop((place, permit));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::timeout(ACCEPT_AGAIN, std::future::pending::<()>()).await.ok();
            }
        }
    }
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!("connections were cut off: they did not end in time");
    }
}

/// A flood is counted whole, and the log hears of its first, second, fourth, eighth … connection.
fn tell_turned_away(peer: SocketAddr, so_many: u64) {
    metrics::counter!("boomgate_connections_turned_away_total").increment(1);
    if so_many.is_power_of_two() {
        tracing::warn!(address = %peer.ip(), so_many, "a connection was closed at once: its address holds as many as one may (gateway.connections_each_max)");
    }
}

async fn connection(stream: TcpStream, peer: Peer, router: Router, limits: Limits, mut shutdown: watch::Receiver<bool>) {
    stream.set_nodelay(true).ok();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.read_wait).max_headers(64);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let stream = Patient::new(stream, Pace { wait: limits.write_wait, bytes_min: limits.write_bytes_min });
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));
    let over = async {
        shutdown.wait_for(|stop| *stop).await.ok();
    };
    let ended = tokio::select! {
        ended = served.as_mut() => Some(ended),
        () = over => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        served.as_mut().graceful_shutdown();
        served.await
    };
    // Who hangs up, or is cut off, is no concern of ours.
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpSocket,
        sync::Notify,
        task::JoinHandle,
    };

    /// A server of a test's own, and how to end it.
    pub async fn open(router: Router, limits: Limits) -> (SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (stop, stopped) = watch::channel(false);
        (address, stop, tokio::spawn(serve(listener, router, limits, Proxies::default(), stopped)))
    }

    /// What a server says to some bytes, whole, once it has closed the connection.
    pub async fn said(address: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // It may be cut off before all is sent.
        stream.write_all(bytes).await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_slow_client_is_cut_off_and_the_next_one_is_served() {
        let limits = Limits { connections_max: 2, read_wait: Duration::from_millis(100), ..Limits::default() };
        let (address, _stop, _served) = open(Router::new().route("/", get(|| async { "here" })), limits).await;
        // As many as there is room for, none of which ends its head.
        let mut slow = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-").await.expect("it is taken");
            slow.push(stream);
        }
        assert!(said(address, GET).await.ends_with("here"));
        for mut stream in slow {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.ok();
            assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
        }
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off_and_the_next_one_is_served() {
        let limits = Limits { connections_max: 1, write_wait: Duration::from_millis(100), ..Limits::default() };
        // More than the kernel takes of it by itself.
        let router = Router::new().route("/", get(|| async { "here" })).route("/large", get(|| async { vec![b'a'; 64 * 1024 * 1024] }));
        let (address, _stop, _served) = open(router, limits).await;
        let mut deaf = TcpStream::connect(address).await.expect("it listens");
        deaf.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is taken");
        let next = tokio::time::timeout(Duration::from_secs(20), said(address, GET)).await;
        assert!(next.expect("there is a place again").ends_with("here"));
        drop(deaf);
    }

    #[tokio::test]
    async fn one_address_leaves_places_for_others() {
        let limits = Limits { connections_max: 4, connections_each_max: 3, read_wait: Duration::from_secs(60), ..Limits::default() };
        let (address, _stop, _served) = open(Router::new().route("/", get(|| async { "here" })), limits).await;
        let come = |from: &'static str| async move {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::new(from.parse().expect("an address"), 0)).expect("all of 127.0.0.0/8 is ours");
            socket.connect(address).await.expect("it listens")
        };
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(come("127.0.0.2").await);
        }
        // One place is left, and not for the same address again: that is closed at once, without a word.
        for _ in 0..5 {
            assert_eq!(come("127.0.0.2").await.read(&mut [0; 100]).await.unwrap_or(0), 0);
            assert!(said(address, GET).await.ends_with("here"));
        }
        // Once one of them has ended its address may come again.
        held.truncate(2);
        let again = async {
            loop {
                let mut stream = come("127.0.0.2").await;
                stream.write_all(GET).await.ok();
                let mut answer = String::new();
                if stream.read_to_string(&mut answer).await.is_ok() && answer.ends_with("here") {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), again).await.expect("there is a place again");
    }

    #[tokio::test]
    async fn what_is_no_http_is_refused() {
        let (address, _stop, _served) = open(Router::new().route("/", get(|| async { "here" })), Limits::default()).await;
        assert!(said(address, b"\x16\x03\x01 this is TLS, or anything\r\n\r\n").await.starts_with("HTTP/1.1 400"));
        let heads = "X-More: 1\r\n".repeat(100);
        assert!(said(address, format!("GET / HTTP/1.1\r\n{heads}\r\n").as_bytes()).await.starts_with("HTTP/1.1 431"));
        assert!(said(address, GET).await.ends_with("here"));
    }

    #[tokio::test]
    async fn a_shutdown_finishes_what_is_under_way() {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, waits) = (begun.clone(), go.clone());
        let slow = get(move || async move {
            told.notify_one();
            waits.notified().await;
            "done"
        });
        let (address, stop, served) = open(Router::new().route("/", slow), Limits::default()).await;
        let asked = tokio::spawn(async move { said(address, GET).await });
        begun.notified().await;
        stop.send_replace(true);
        go.notify_one();
        assert!(asked.await.expect("it was answered").ends_with("done"));
        served.await.expect("it ended");
    }
}
