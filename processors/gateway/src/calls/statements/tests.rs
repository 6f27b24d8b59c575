use super::*;
use crate::doors::{self, tests::open};
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response as Answered},
    routing::{get, post},
};
use channels::{Settings, make, seal::Secret};
use std::sync::atomic::{AtomicUsize, Ordering};

const NOW: Moment = Moment(1_795_399_200_000_000);
const SECRET: &str = "a secret that is long enough";
const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

fn wanted() -> Wanted {
    Wanted { day: "2026-11-22".parse().expect("a date"), merchant: None }
}

/// A channel with this address, whose files may lie at these hosts.
fn statements(base_url: &str, hosts: &[&str]) -> Result<Statements, Error> {
    let keys = [("secret".to_owned(), SECRET.to_owned())].into();
    let channel = make("etc", &Settings { base_url: base_url.to_owned(), keys, ..Settings::default() }).expect("sound");
    let site = Site { channel, merchant: String::new(), base_url: base_url.to_owned(), authorities: None };
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    Statements::new(site, &hosts, &Limits::default(), || NOW)
}

fn stamped(body: String, secret: &str) -> Answered {
    let timestamp = (NOW.0 / schema::time::SECOND).to_string();
    let stamp = Secret::read(secret).expect("a secret").stamp(format!("{timestamp}\nn\n{body}\n").as_bytes());
    (StatusCode::OK, [("x-timestamp", timestamp), ("x-nonce", "n".to_owned()), ("x-stamp", stamp)], body).into_response()
}

/// A channel that says that its file is at this host, or else at its own, and stamps that with this secret. It counts downloads that are stamped.
async fn channel(host: Option<String>, secret: &'static str) -> (String, Arc<AtomicUsize>, tokio::sync::watch::Sender<bool>) {
    let downloads = Arc::new(AtomicUsize::new(0));
    let counted = downloads.clone();
    let told = post(move |headers: HeaderMap| async move {
        let own = headers["host"].to_str().expect("a host").to_owned();
        let host = host.unwrap_or(own);
        stamped(format!("{{\"day\":\"2026-11-22\",\"state\":\"there\",\"url\":\"http://{host}/file\",\"sha1\":\"{SHA1}\"}}"), secret)
    });
    let file = get(move |headers: HeaderMap| async move {
        counted.fetch_add(usize::from(headers.contains_key("x-stamp")), Ordering::Relaxed);
        "abc"
    });
    let (address, stop, _) = open(Router::new().route("/statement", told).route("/file", file), doors::Limits::default()).await;
    (format!("http://{address}"), downloads, stop)
}

#[test]
fn a_statement_comes_from_hosts_that_are_named() {
    let named = ["dwbillcenter.alipay.com", "files.invalid:8443"];
    // With TLS, in a machine that trusts nobody, no client can be made: the rule is asked of the places alone.
    let any = || statements("http://etc.invalid", &[]).expect("sound");
    let places = |base: &str| Statements { places: (Place::of(base).expect("a place"), places_of(base, &named)), ..any() };
    for (base, url, expected) in [
        ("https://etc.invalid", "https://etc.invalid/f?a=b", Some("https://etc.invalid")),
        ("https://etc.invalid", "https://ETC.invalid:443/f", Some("https://etc.invalid")),
        ("https://etc.invalid", "https://dwbillcenter.alipay.com/f", Some("https://dwbillcenter.alipay.com")),
        // It is asked for with TLS.
        ("https://etc.invalid", "http://dwbillcenter.alipay.com/f?token=1", Some("https://dwbillcenter.alipay.com")),
        ("https://etc.invalid", "https://files.invalid:8443/f", Some("https://files.invalid:8443")),
        ("https://etc.invalid", "https://files.invalid/f", None),
        ("https://etc.invalid", "https://etc.invalid:444/f", None),
        ("https://etc.invalid", "http://etc.invalid:8080/f", None),
        ("https://etc.invalid", "https://etc.invalid.evil.invalid/f", None),
        ("https://etc.invalid", "https://etc.invalid@evil.invalid/f", None),
        ("https://etc.invalid", "https://169.254.169.254/latest/meta-data", None),
        ("https://etc.invalid", "file:///etc/passwd", None),
        ("https://etc.invalid", "/f", None),
        ("https://etc.invalid", "", None),
        ("http://127.0.0.1:80", "http://127.0.0.1/f", Some("http://127.0.0.1")),
        ("http://127.0.0.1:81", "http://127.0.0.1/f", None),
        ("http://127.0.0.1:81", "http://127.0.0.1:81/f", Some("http://127.0.0.1:81")),
        ("http://127.0.0.1:81", "http://localhost:81/f", None),
    ] {
        assert_eq!(places(base).allowed(url).map(Place::to_string).as_deref(), expected, "{base} {url}");
    }
}

/// Hosts as places, by the scheme of an address.
fn places_of(base: &str, hosts: &[&str]) -> Vec<Place> {
    let scheme = base.split_once("://").expect("an address").0;
    hosts.iter().map(|host| Place::of(&format!("{scheme}://{host}")).expect("a place")).collect()
}

#[test]
fn a_host_is_one() {
    for wrong in ["", "a b", "files.invalid/path", "name:secret@files.invalid", "https://files.invalid"] {
        assert!(statements("http://etc.invalid", &[wrong]).is_err(), "{wrong:?}");
    }
    assert!(statements("", &[]).is_err() && statements("http://etc.invalid", &["files.invalid", "files.invalid:81"]).is_ok());
}

#[tokio::test]
async fn a_statement_is_asked_for_and_opened() {
    let (base_url, downloads, _stop) = channel(None, SECRET).await;
    let Ok(Found::File(mut file, sha1)) = statements(&base_url, &[]).expect("sound").ask(&wanted()).await else { panic!("it is there") };
    let mut whole = Vec::new();
    while let Some(piece) = file.next().await.expect("it comes") {
        whole.extend_from_slice(&piece);
    }
    assert_eq!((&whole[..], sha1.as_deref(), downloads.load(Ordering::Relaxed)), (&b"abc"[..], Some(SHA1), 1));
}

#[tokio::test]
async fn nobody_is_asked_elsewhere() {
    let (elsewhere, downloads, _stop) = channel(None, SECRET).await;
    let host = elsewhere.trim_start_matches("http://").to_owned();
    let (base_url, _, _stop_too) = channel(Some(host.clone()), SECRET).await;
    let missed = statements(&base_url, &[]).expect("sound").ask(&wanted()).await.expect_err("it is elsewhere");
    assert_eq!((missed.outcome, missed.why.contains(&host), downloads.load(Ordering::Relaxed)), ("elsewhere", true, 0), "{missed}");
    // Whoever runs this system may name the host.
    assert!(matches!(statements(&base_url, &[&host]).expect("sound").ask(&wanted()).await, Ok(Found::File(..))));
    assert_eq!(downloads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_not_stamped_is_not_believed() {
    let (base_url, downloads, _stop) = channel(None, "a secret that somebody made up").await;
    let missed = statements(&base_url, &[]).expect("sound").ask(&wanted()).await.expect_err("it is forged");
    assert_eq!((missed.outcome, downloads.load(Ordering::Relaxed)), ("not_genuine", 0));
}
