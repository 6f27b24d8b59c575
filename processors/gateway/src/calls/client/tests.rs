use super::*;
use crate::doors::{self, tests::open};
use axum::{Router, http::StatusCode, routing::post};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// An authority of these tests alone, and what it vouches for.
const AUTHORITY: &[u8] = include_bytes!("../../../vectors/test_authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../../vectors/test_server.pem");
const KEY: &[u8] = include_bytes!("../../../vectors/test_server_key.pem");
const SECOND: Duration = Duration::from_secs(1);
const BOUNDS: Bounds = Bounds { connect: SECOND, answer: SECOND, answer_bytes_max: 1_000 };

fn request(address: impl fmt::Display, path: &str) -> channels::Request {
    let headers = vec![("X-Stamp", "s".to_owned())];
    channels::Request { method: axum::http::Method::POST, url: format!("http://{address}{path}"), headers, body: b"hello".to_vec() }
}

fn client(address: impl fmt::Display, bounds: Bounds) -> Client {
    Client::new(&format!("http://{address}"), None, bounds).expect("an address")
}

/// A listener whose connections are each treated like this.
async fn listening<F: Future<Output = ()> + Send + 'static>(treat: impl Fn(TcpStream) -> F + Send + 'static) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(treat(stream));
        }
    });
    address
}

#[tokio::test]
async fn a_request_goes_out_whole_and_its_answer_comes_back_whole() {
    let echo = post(|headers: HeaderMap, body: String| async move {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        (StatusCode::ACCEPTED, [("x-answer", header("x-stamp"))], format!("{body} {} {}", header("host"), header("user-agent")))
    });
    let (address, _stop, _served) = open(Router::new().route("/echo", echo), doors::Limits::default()).await;
    let client = client(address, BOUNDS);
    for _ in 0..3 {
        let answer = client.send(&request(address, "/echo?a=b")).await.expect("it answers");
        assert_eq!((answer.status, answer.headers["x-answer"].to_str().ok()), (202, Some("s")));
        assert_eq!(answer.body, format!("hello {address} boomgate/{}", env!("CARGO_PKG_VERSION")));
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_a_closed_one_is_no_failure() {
    let (connections, answers) = (Arc::new(AtomicUsize::new(0)), 2);
    let counted = connections.clone();
    // Each connection answers twice, and is closed then.
    let address = listening(move |mut stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            for _ in 0..answers {
                let mut taken = [0; 4_096];
                let mut whole = Vec::new();
                while !whole.ends_with(b"hello") {
                    let length = stream.read(&mut taken).await.expect("it is readable");
                    whole.extend_from_slice(&taken[..length]);
                    if length == 0 {
                        return;
                    }
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("it is writable");
            }
        }
    })
    .await;
    let client = client(address, BOUNDS);
    for _ in 0..6 {
        assert_eq!(client.send(&request(address, "/")).await.expect("it answers").body, "ok");
        // So that the end of a connection is seen.
        clock::wait(Duration::from_millis(20)).await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_was_not_sent_is_told_from_what_nobody_knows() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("it listened");
    assert!(matches!(client(free, BOUNDS).send(&request(free, "/")).await, Err(Failure::NotSent(_))), "nobody listens");
    let hangs_up = listening(|mut stream| async move {
        let mut taken = [0; 10];
        stream.read_exact(&mut taken).await.ok();
    })
    .await;
    assert!(matches!(client(hangs_up, BOUNDS).send(&request(hangs_up, "/")).await, Err(Failure::Unknown(_))), "it has read some of it");
    let no_http = listening(|mut stream| async move {
        stream.write_all(b"220 mail\r\n").await.ok();
        clock::wait(SECOND).await;
    })
    .await;
    assert!(client(no_http, BOUNDS).send(&request(no_http, "/")).await.is_err());
}

#[tokio::test]
async fn an_answer_is_bounded_in_size_and_time() {
    let bounds = Bounds { answer: Duration::from_millis(200), ..BOUNDS };
    for (head, body) in
        [("Content-Length: 2000", "x".repeat(2_000)), ("Content-Length: 100", "x".repeat(10)), ("Transfer-Encoding: chunked", String::new())]
    {
        let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
        let address = listening(move |mut stream| {
            let text = text.clone();
            async move {
                let mut taken = [0; 4_096];
                assert_ne!(stream.read(&mut taken).await.ok(), Some(0), "something is asked");
                stream.write_all(text.as_bytes()).await.ok();
                clock::wait(SECOND * 5).await;
            }
        })
        .await;
        let begun = clock::now();
        assert!(matches!(client(address, bounds).send(&request(address, "/")).await, Err(Failure::Unknown(_))), "{head}");
        assert!(clock::now() - begun < SECOND, "{head}");
    }
}

#[tokio::test]
async fn a_download_is_bounded_and_no_cut_one_is_whole() {
    let bounds = Bounds { answer: Duration::from_millis(200), ..BOUNDS };
    for (head, body, hangs, expected) in [
        ("Content-Length: 5", "whole", true, Ok(5)),
        ("Transfer-Encoding: chunked", "5\r\nwhole\r\n0\r\n\r\n", true, Ok(5)),
        ("Content-Length: 2000", "cut", false, Err(())),
        ("Transfer-Encoding: chunked", "5\r\nwhole\r\n", false, Err(())),
        // It is longer than a download may be here, and this one has no end.
        ("Content-Length: 11", "xxxxxxxxxxx", true, Err(())),
        ("Content-Length: 6", "whole", true, Err(())),
    ] {
        let address = listening(move |mut stream| async move {
            let mut taken = [0; 4_096];
            assert_ne!(stream.read(&mut taken).await.ok(), Some(0), "something is asked");
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes()).await.ok();
            if hangs {
                clock::wait(SECOND * 5).await;
            }
        })
        .await;
        let begun = clock::now();
        let read = async {
            let mut file = client(address, bounds).open(&request(address, "/"), 10, SECOND).await?;
            let mut bytes = 0;
            while let Some(piece) = file.next().await? {
                bytes += piece.len();
            }
            Ok::<_, Failure>(bytes)
        };
        assert_eq!(read.await.map_err(drop), expected, "{head} {body}");
        assert!(clock::now() - begun < SECOND, "{head} {body}");
    }
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let elsewhere = post(|| async { (StatusCode::TEMPORARY_REDIRECT, [("location", "/there")], "") });
    let router = Router::new().route("/", elsewhere).route("/there", post(|| async { "here" }));
    let (address, _stop, _served) = open(router, doors::Limits::default()).await;
    assert_eq!(client(address, BOUNDS).send(&request(address, "/")).await.expect("it answers").status, 307);
    // Whatever address a request has, it goes to the one host.
    assert_eq!(client(address, BOUNDS).send(&request("elsewhere.invalid", "/there")).await.expect("it answers").body, "here");
}

#[tokio::test]
async fn a_stranger_behind_tls_is_told_nothing() {
    let certificates = CertificateDer::pem_slice_iter(CERTIFICATE).collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(certificates, key).expect("they fit");
    let (acceptor, read) = (TlsAcceptor::from(Arc::new(config)), Arc::new(AtomicUsize::new(0)));
    let counted = read.clone();
    let address = listening(move |stream| {
        let (acceptor, counted) = (acceptor.clone(), counted.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut taken = [0; 4_096];
            counted.fetch_add(stream.read(&mut taken).await.unwrap_or_default(), Ordering::Relaxed);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await.ok();
            stream.shutdown().await.ok();
        }
    })
    .await;
    let url = |host: &str| format!("https://{host}:{}", address.port());
    // The machine does not know the authority, whatever it trusts; a machine that trusts nobody cannot call at all.
    if let Ok(client) = Client::new(&url("localhost"), None, BOUNDS) {
        assert!(matches!(client.send(&request(address, "/")).await, Err(Failure::NotSent(_))));
        assert_eq!(read.load(Ordering::Relaxed), 0);
    }
    for host in ["localhost", "127.0.0.1"] {
        let client = Client::new(&url(host), Some(AUTHORITY), BOUNDS).expect("an address");
        assert_eq!(client.send(&request(address, "/")).await.expect("it is whom it should be").body, "ok");
    }
}

#[test]
fn an_address_is_one() {
    for wrong in ["", "wechat.invalid", "ftp://wechat.invalid", "https://", "http://name:secret@wechat.invalid", "not an address"] {
        let error = Client::new(wrong, Some(AUTHORITY), BOUNDS).err().unwrap_or_else(|| panic!("{wrong:?} was taken"));
        assert!(error.kind == Kind::Settings && !error.to_string().contains("secret"), "{error}");
    }
    assert!(Client::new("https://wechat.invalid", Some(b"no certificate"), BOUNDS).is_err());
    assert!(Client::new("http://[::1]:8080", None, BOUNDS).is_ok());
}
