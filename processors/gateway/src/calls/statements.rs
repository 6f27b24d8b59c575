//! A channel's statement over HTTP: asked for, and opened where the channel says that it lies.
//!
//! Invariants
//! 1. A statement comes from the channel's own host, or from one that the configuration names, and by TLS where the channel is called by TLS: nobody sends us
//!    elsewhere   (`tests::a_statement_comes_from_hosts_that_are_named`, `tests::nobody_is_asked_elsewhere`). Nothing is followed to another place (`client`).
//! 2. Where it is, and that there is none, is believed only where the channel signed it   (`tests::what_is_not_stamped_is_not_believed`).
//!
//! Not here: what is asked and what an answer says (`channels`), where the file goes and when it is asked for again (`boomgate::reconciler`).

use super::{
    Limits, Site,
    client::{Bounds, Client, Download},
    line::nonce,
};
use axum::http::Uri;
use channels::{Bill, Channel, Error, Kind, Now, Request, Response, statement::Wanted};
use ring::rand::SystemRandom;
use schema::Moment;
use std::{fmt, sync::Arc, time::Duration};

/// The longest file, as it comes: sixteen million lines, packed as channels do.
const BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// How long a file may take.
pub const WITHIN: Duration = Duration::from_secs(600);

/// What a channel gives of a day.
#[derive(Debug)]
pub enum Found {
    /// Its statement, and the SHA-1 of the plain file where the channel tells it.
    File(Download, Option<String>),
    /// Nothing happened on that day, as the channel says now.
    Nothing,
}

/// Why there is no statement: a word for metrics, and what happened for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The word.
    pub outcome: &'static str,
    /// What happened.
    pub why: String,
}

impl Missed {
    /// Missed for this reason.
    pub fn new(outcome: &'static str, why: impl Into<String>) -> Self {
        Self { outcome, why: why.into() }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        Self::new(error.kind.name(), error.to_string())
    }
}

/// A place on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    is_tls: bool,
    host: String,
    port: u16,
}

/// The port of HTTP, with or without TLS.
const fn usual(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

impl Place {
    /// The place of an address; none where it names no host, or a name or password.
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let is_tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())?;
        Some(Self { is_tls, host: authority.host().to_ascii_lowercase(), port: authority.port_u16().unwrap_or(usual(is_tls)) })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_tls { "https" } else { "http" }, self.host)?;
        if self.port == usual(self.is_tls) { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// A channel that hands out its statements.
pub struct Statements {
    channel: Arc<dyn Channel>,
    merchant: String,
    client: Client,
    /// Where it is itself, and where its files may lie beside that.
    places: (Place, Vec<Place>),
    authorities: Option<Vec<u8>>,
    bounds: Bounds,
    clock: fn() -> Moment,
    random: SystemRandom,
}

impl Statements {
    /// Of a channel, whose files may lie at these hosts, too (`HOST` or `HOST:PORT`). An error where one of them, its address or its certificates cannot be used.
    pub fn new(site: Site, hosts: &[String], limits: &Limits, clock: fn() -> Moment) -> Result<Self, Error> {
        let Site { channel, merchant, base_url, authorities } = site;
        let bounds = Bounds { connect: limits.connect_wait, answer: limits.answer_wait, answer_bytes_max: limits.answer_bytes_max };
        let client = Client::new(&base_url, authorities.as_deref(), bounds)?;
        let no_place = |text: &str| Error::new(Kind::Settings, format!("{text} is no host of statements"));
        let own = Place::of(&base_url).ok_or_else(|| no_place(&base_url))?;
        let scheme = if own.is_tls { "https" } else { "http" };
        let place = |host: &String| {
            let is_bare = !host.contains(['/', '?', '#']);
            Some(format!("{scheme}://{host}")).filter(|_| is_bare).and_then(|url| Place::of(&url)).ok_or_else(|| no_place(host))
        };
        let others = hosts.iter().map(place).collect::<Result<_, _>>()?;
        Ok(Self { channel, merchant, client, places: (own, others), authorities, bounds, clock, random: SystemRandom::new() })
    }

    /// Our number at the channel: it hands out the statements of that one.
    pub fn merchant(&self) -> &str {
        &self.merchant
    }

    /// Where a file is fetched from that the channel says is there; none where that is neither the channel nor named. What it names without TLS, as Alipay does, is
    /// asked for with TLS where the channel is.
    fn allowed(&self, url: &str) -> Option<&Place> {
        let (own, others) = &self.places;
        let named = Place::of(url)?;
        let place =
            if own.is_tls && !named.is_tls && named.port == usual(false) { Place { is_tls: true, port: usual(true), ..named } } else { named };
        [own].into_iter().chain(others).find(|allowed| **allowed == place)
    }

    /// A request as the channel makes it now.
    fn signed<T>(&self, make: impl FnOnce(Now<'_>) -> Result<T, Error>) -> Result<T, Missed> {
        let nonce = nonce(&self.random).map_err(|_| Missed::new("not_sent", "this machine gives no random numbers: nothing can be signed"))?;
        Ok(make(Now { moment: (self.clock)(), nonce: &nonce })?)
    }

    /// Asks for the statement of a day, and opens it where it is there.
    pub async fn ask(&self, wanted: &Wanted) -> Result<Found, Missed> {
        let request: Option<Request> = self.signed(|now| self.channel.statement_request(wanted, now))?;
        let request = request.ok_or_else(|| Missed::new("impossible", "the channel hands out no statements"))?;
        let answer = self.client.send(&request).await.map_err(|failure| Missed::new("unanswered", failure.to_string()))?;
        let response = Response { status: answer.status, headers: &answer.headers, body: &answer.body, received_at: (self.clock)() };
        match self.channel.statement_answered(wanted, &response)? {
            Bill::There { url, sha1 } => Ok(Found::File(self.open(&url).await?, sha1)),
            Bill::Nothing => Ok(Found::Nothing),
            Bill::NotYet(word) => Err(Missed::new("not_yet", format!("the channel says: {word}"))),
        }
    }

    /// Opens a file. Its address may let anybody in who has it, so it is in no log, but its host is.
    async fn open(&self, url: &str) -> Result<Download, Missed> {
        let elsewhere = || {
            let host = Place::of(url).map_or_else(|| "nowhere".to_owned(), |place| place.to_string());
            Missed::new("elsewhere", format!("the channel says that it is at {host}, which is neither its base_url nor among its download_hosts"))
        };
        let place = self.allowed(url).ok_or_else(elsewhere)?;
        let request = self.signed(|now| self.channel.download_request(url, now))?;
        let client = Client::new(&place.to_string(), self.authorities.as_deref(), self.bounds)?;
        let file = client.open(&request, BYTES_MAX, WITHIN).await.map_err(|failure| Missed::new("unanswered", failure.to_string()))?;
        if file.status == 200 {
            Ok(file)
        } else {
            Err(Missed::new("unanswered", format!("its download is answered with the status {}", file.status)))
        }
    }
}

#[cfg(test)]
mod tests;
