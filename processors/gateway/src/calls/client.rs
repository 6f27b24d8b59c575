//! HTTP towards one channel: to its own host alone, in bounded time, with bounded answers.
//!
//! Invariants
//! 1. "Not sent" is said only where nothing of the request went out   (`tests::what_was_not_sent_is_told_from_what_nobody_knows`).
//! 2. An answer past its limit, or past its time, is none   (`tests::an_answer_is_bounded_in_size_and_time`); one that is read piece by piece ends with an error where
//!    it is cut off or has no end   (`tests::a_download_is_bounded_and_no_cut_one_is_whole`).
//! 3. Nothing is followed to another place   (`tests::a_redirection_is_not_followed`).
//! 4. With `https` the channel's certificate is checked   (`tests::a_stranger_behind_tls_is_told_nothing`).
//!
//! Not here: what is sent and what an answer says (`channels`).

use crate::clock;
use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, HeaderValue, Request, Uri, header},
};
use bytes::Bytes;
use channels::{Error, Kind};
use futures_util::StreamExt;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// How long a connection is kept that nobody uses: shorter than servers keep theirs, so that few requests meet a closing one.
const KEPT: Duration = Duration::from_secs(10);
/// The most connections that are kept.
const KEPT_MAX: usize = 32;

/// What bounds a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long a connection may take to be made, TLS included.
    pub connect: Duration,
    /// How long an answer may take after that, its body included.
    pub answer: Duration,
    /// The longest body of an answer, in bytes.
    pub answer_bytes_max: usize,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was sent.
    NotSent(String),
    /// It was sent, or may have been.
    Unknown(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(why) => write!(f, "nothing was sent: {why}"),
            Self::Unknown(why) => write!(f, "there is no answer: {why}"),
        }
    }
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// An answer whose body is read piece by piece, so that it may be longer than memory.
pub struct Download {
    /// Its status.
    pub status: u16,
    body: BodyDataStream,
    /// How many bytes may come yet.
    left: u64,
    /// How long a piece may take.
    wait: Duration,
    /// When all of it must have come.
    deadline: Instant,
    /// The connection ends with it.
    _sender: SendRequest<Body>,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("status", &self.status).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Download {
    /// The next piece of the body; none once it has come whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let until = self.deadline.min(clock::now() + self.wait);
        let piece = timeout_at(until, self.body.next()).await.map_err(|_| Failure::Unknown("it took too long".into()))?;
        let Some(piece) = piece.transpose().map_err(|error| Failure::Unknown(error.to_string()))? else { return Ok(None) };
        let left = self.left.checked_sub(piece.len() as u64);
        self.left = left.ok_or_else(|| Failure::Unknown("it is longer than it may be".into()))?;
        Ok(Some(piece))
    }
}

/// Connections to one channel.
pub struct Client {
    host: String,
    port: u16,
    authority: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    bounds: Bounds,
    kept: Mutex<Vec<(SendRequest<Body>, Instant)>>,
}

fn unusable(what: impl Into<String>) -> Error {
    Error::new(Kind::Settings, what)
}

impl Client {
    /// Towards `base_url`. With `https`, `authorities` (PEM) are trusted alone if they are given, and otherwise those of this machine.
    pub fn new(base_url: &str, authorities: Option<&[u8]>, bounds: Bounds) -> Result<Self, Error> {
        let uri: Uri = base_url.parse().map_err(|error| Error::because(Kind::Settings, format!("{base_url} is no address"), error))?;
        let (is_tls, port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(unusable(format!("{base_url} begins neither with https:// nor with http://"))),
        };
        let authority = uri.authority().ok_or_else(|| unusable(format!("{base_url} names no host")))?;
        if authority.as_str().contains('@') {
            return Err(unusable("an address of a channel holds no name or password"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if is_tls {
            let name =
                ServerName::try_from(host.clone()).map_err(|error| Error::because(Kind::Settings, format!("{host} has no certificate"), error))?;
            Some((TlsConnector::from(Arc::new(trusting(authorities)?)), name))
        } else {
            None
        };
        let port = authority.port_u16().unwrap_or(port);
        let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| unusable(format!("{base_url} names no host")))?;
        Ok(Self { host, port, authority, tls, bounds, kept: Mutex::default() })
    }

    fn message(&self, request: &channels::Request) -> Result<Request<Body>, Failure> {
        let not_sent = |why: String| Failure::NotSent(why);
        let uri: Uri = request.url.parse().map_err(|_| not_sent("the channel made no address".into()))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut message = Request::builder().method(request.method.clone()).uri(path).header(header::HOST, self.authority.clone());
        message = message.header(header::USER_AGENT, concat!("boomgate/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &request.headers {
            message = message.header(*name, value);
        }
        // A request without a body has none, and no length of one.
        let body = if request.body.is_empty() { Body::empty() } else { Body::from(request.body.clone()) };
        message.body(body).map_err(|error| not_sent(error.to_string()))
    }

    /// Sends a request, and gives the answer whole.
    pub async fn send(&self, request: &channels::Request) -> Result<Answer, Failure> {
        let mut message = self.message(request)?;
        while let Some(mut kept) = self.kept() {
            let deadline = clock::now() + self.bounds.answer;
            if !matches!(timeout_at(deadline, kept.ready()).await, Ok(Ok(()))) {
                continue;
            }
            match timeout_at(deadline, kept.try_send_request(message)).await {
                Ok(Ok(response)) => return self.answer(kept, response, deadline).await,
                Ok(Err(mut error)) => match error.take_message() {
                    // The connection was closed meanwhile, before anything went out by it.
                    Some(whole) => message = whole,
                    None => return Err(Failure::Unknown(error.into_error().to_string())),
                },
                Err(_) => return Err(Failure::Unknown("it took too long".into())),
            }
        }
        let connected = timeout(self.bounds.connect, self.connect()).await;
        let mut sender = connected.map_err(|_| Failure::NotSent("the connection took too long".into()))?.map_err(Failure::NotSent)?;
        let deadline = clock::now() + self.bounds.answer;
        match timeout_at(deadline, sender.try_send_request(message)).await {
            Ok(Ok(response)) => self.answer(sender, response, deadline).await,
            Ok(Err(mut error)) => {
                let is_whole = error.take_message().is_some();
                let why = error.into_error().to_string();
                Err(if is_whole { Failure::NotSent(why) } else { Failure::Unknown(why) })
            }
            Err(_) => Err(Failure::Unknown("it took too long".into())),
        }
    }

    /// Sends a request by a connection of its own, and gives the answer once its head is there. Its body has at most `bytes_max` bytes and comes within `within`, and no
    /// piece of it takes longer than an answer may.
    pub async fn open(&self, request: &channels::Request, bytes_max: u64, within: Duration) -> Result<Download, Failure> {
        let message = self.message(request)?;
        let connected = timeout(self.bounds.connect, self.connect()).await;
        let mut sender = connected.map_err(|_| Failure::NotSent("the connection took too long".into()))?.map_err(Failure::NotSent)?;
        let begun = clock::now();
        let response = timeout_at(begun + self.bounds.answer, sender.send_request(message)).await;
        let response = response.map_err(|_| Failure::Unknown("it took too long".into()))?.map_err(|error| Failure::Unknown(error.to_string()))?;
        let (parts, body) = response.into_parts();
        let (status, body) = (parts.status.as_u16(), Body::new(body).into_data_stream());
        Ok(Download { status, body, left: bytes_max, wait: self.bounds.answer, deadline: begun + within, _sender: sender })
    }

    async fn answer(
        &self,
        sender: SendRequest<Body>,
        response: axum::http::Response<hyper::body::Incoming>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let (parts, body) = response.into_parts();
        let body = timeout_at(deadline, axum::body::to_bytes(Body::new(body), self.bounds.answer_bytes_max)).await;
        let body = body.map_err(|_| Failure::Unknown("it took too long".into()))?.map_err(|error| Failure::Unknown(error.to_string()))?;
        self.keep(sender);
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    fn kept(&self) -> Option<SendRequest<Body>> {
        let now = clock::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(sender, since)| !sender.is_closed() && now.saturating_duration_since(*since) < KEPT);
        kept.pop().map(|(sender, _)| sender)
    }

    fn keep(&self, sender: SendRequest<Body>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !sender.is_closed() && kept.len() < KEPT_MAX {
            kept.push((sender, clock::now()));
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).ok();
        match &self.tls {
            Some((connector, name)) => speak(connector.connect(name.clone(), stream).await.map_err(|error| error.to_string())?).await,
            None => speak(stream).await,
        }
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<SendRequest<Body>, String> {
    let mut http = http1::Builder::new();
    http.max_headers(64).max_buf_size(64 * 1024);
    let (sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // It ends with its sender.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a channel ended");
        }
    });
    Ok(sender)
}

/// TLS that trusts these alone, or whom this machine trusts.
fn trusting(authorities: Option<&[u8]>) -> Result<ClientConfig, Error> {
    let wrong = |error: String| Error::because(Kind::Settings, "reading the certificates that a channel is trusted by", error);
    let mut roots = RootCertStore::empty();
    if let Some(pem) = authorities {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(|error| wrong(error.to_string()))?).map_err(|error| wrong(error.to_string()))?;
        }
    } else {
        // What of them cannot be read is not trusted; what is left may be enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(unusable("nobody is trusted to vouch for a channel: install the machine's certificates, or name a ca_file"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    Ok(config.map_err(|error| wrong(error.to_string()))?.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests;
