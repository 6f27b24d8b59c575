//! The operator API: orders, payments, refunds, shifts and what persons do at lots, under [`routes::BASE`].
//!
//! What changes something is said at a desk, and answered with what was decided of it. The audit fact is that desk event with its author and reason,
//! and the journal's event, which has both.
//!
//! Invariants
//! 1. Every route is in one table, with who may use it   (`routes`, `tests::roles_are_as_the_table_says`).
//! 2. The same key says the same and gets the same answer; with another request it is refused   (`tests::a_key_is_one_request_for_ever`).
//! 3. The author is the token's person   (`tests::the_author_is_the_tokens_person`).
//! 4. Who has no token, or comes too often, costs little and is told   (`tests::floods_are_bounded_and_told`).
//! 5. The document is what is served   (`document::tests::the_document_is_the_routes`).
//!
//! Not here: what becomes of what is said (`rules`), how a decision is waited for (`say`), webhooks (`webhook`).

mod document;
pub mod problem;
mod read;
pub mod routes;
mod write;

use crate::{
    Desks, Journals, Limits, Outcome, View,
    address::{self, Proxies},
    body,
    doors::Peer,
    keys::{self, Keys, Record, Stands},
    rate::Rates,
    say,
    tokens::{Person, Tokens},
};
use axum::{
    Router,
    extract::{RawPathParams, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodFilter, get, on},
};
use bytes::Bytes;
use problem::Problem;
use routes::{BASE, Does, ROUTES, Route, Write};
use schema::{
    DeskEvent, Event, Moment, Recorded, Reference,
    desk::AuthorId,
    exception::ReconEvent,
    journal::{PaymentEvent, SessionEvent},
    wire,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};
use streams::Buckets;
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::timeout,
};

/// Requests that are worked on at once.
const UNDER_WAY_MAX: usize = 128;
/// Requests that may look through many rows or a journal at once: each holds a part of a table in memory.
const SCANS_MAX: usize = 2;
/// How long a decision is waited for.
const DECIDED_WAIT: Duration = Duration::from_secs(5);
/// How long a request may take in all.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// How often a person may come: at once, and then in a second.
const PERSON: (u32, u32) = (40, 20);
/// How often somebody without a token may come.
const STRANGER: (u32, u32) = (10, 1);
/// How many persons and how many strangers' addresses are told apart.
const COUNTED_MAX: usize = 4_096;
/// What a message has beside its payload, at most.
const HEADERS_BYTES: usize = 512;

/// What the API works with.
pub struct With {
    /// The journals, to follow what is decided.
    pub journals: Journals,
    /// Things as they are now.
    pub view: View,
    /// The broker's buckets, for idempotency keys.
    pub buckets: Arc<dyn Buckets>,
    /// Who may come in.
    pub tokens: Tokens,
    /// The lots.
    pub reference: watch::Receiver<Arc<Reference>>,
    /// The proxies before us.
    pub proxies: Proxies,
    /// Our own clock: how often somebody comes is measured by it, and nothing else.
    pub clock: fn() -> Moment,
    /// What anybody may take of us.
    pub limits: Limits,
}

/// The operator API.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    desks: Desks,
    view: View,
    keys: Keys,
    tokens: Tokens,
    reference: watch::Receiver<Arc<Reference>>,
    proxies: Proxies,
    clock: fn() -> Moment,
    limits: Limits,
    room: Semaphore,
    scans: Semaphore,
    persons: Rates<AuthorId>,
    strangers: Rates<IpAddr>,
}

/// A request by a person who may make it.
struct Asked {
    person: Person,
    parameters: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    body: Bytes,
}

impl Asked {
    /// A part of the path.
    fn parameter<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        let text = self.parameters.get(name).map(String::as_str).unwrap_or_default();
        text.parse().map_err(|_| Problem::not_found(format!("{text:?} is no {name}")))
    }

    /// A part of the query; none where it is left out.
    fn query<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let read = |text: &String| text.parse().map_err(|_| Problem::unsound(format!("{name}={text} cannot be read")));
        self.query.get(name).map(read).transpose()
    }
}

/// A status and a body.
type Answer = (StatusCode, Value);

impl Api {
    /// The API with these.
    pub fn new(with: With) -> Self {
        let With { journals, view, buckets, tokens, reference, proxies, clock, limits } = with;
        Self(Arc::new(Inner {
            desks: Desks::new(journals, limits.store_wait, DECIDED_WAIT),
            view,
            keys: Keys::new(buckets),
            tokens,
            reference,
            proxies,
            clock,
            limits,
            room: Semaphore::new(UNDER_WAY_MAX),
            scans: Semaphore::new(SCANS_MAX),
            persons: Rates::new(PERSON, COUNTED_MAX),
            strangers: Rates::new(STRANGER, COUNTED_MAX),
        }))
    }

    /// The routes.
    pub fn router(self) -> Router {
        let document = || async { ([(header::CONTENT_TYPE, "application/json")], document::TEXT) };
        let mut router = Router::new().route(&format!("{BASE}/openapi.json"), get(document));
        for route in &ROUTES {
            let filter = match route.does {
                Does::Reads(_) => MethodFilter::GET,
                Does::Says(_) => MethodFilter::POST,
            };
            let served = move |State(api): State<Self>, parameters: RawPathParams, request: Request| serve(api, route, parameters, request);
            router = router.route(&format!("{BASE}{}", route.path), on(filter, served));
        }
        router.with_state(self)
    }

    fn view(&self) -> &View {
        &self.0.view
    }

    fn reference(&self) -> Arc<Reference> {
        self.0.reference.borrow().clone()
    }

    /// Leave to look through many rows.
    fn scans(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.0.scans.try_acquire().map_err(|_| Problem::again(StatusCode::SERVICE_UNAVAILABLE, "busy", "others look through many rows; try again", 1))
    }

    /// Who comes, if they may come now.
    fn admit(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Person, Problem> {
        let now = (self.0.clock)();
        let slower = |seconds| {
            Problem::again(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests; come again when Retry-After says", seconds)
        };
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if let Some(person) = token.and_then(|token| self.0.tokens.who(token)) {
            return self.0.persons.take(person.name, now).map(|()| person).map_err(slower);
        }
        let client = address::counted(self.0.proxies.client(peer, headers));
        self.0.strangers.take(client, now).map_err(slower)?;
        let detail = "no token that is known; send `Authorization: Bearer TOKEN` (`boomgate token` makes one)";
        Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail))
    }

    async fn answer(&self, route: &Route, parameters: RawPathParams, request: Request) -> Result<Answer, Problem> {
        let busy = |_| Problem::again(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests are under way; try again", 1);
        let _room = self.0.room.try_acquire().map_err(busy)?;
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let person = self.admit(&parts.headers, peer)?;
        if !route.roles.contains(&person.role) {
            let may: Vec<&str> = route.roles.iter().map(|role| role.name()).collect();
            let detail = format!("{} is a {}; this is for {}", person.name, person.role.name(), may.join(", "));
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        }
        let query = parts.uri.query().unwrap_or_default();
        let mut asked = Asked {
            person,
            parameters: parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            query: form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
            body: Bytes::new(),
        };
        match route.does {
            Does::Reads(read) => read::read(self, read, &asked).await.map(|shown| (StatusCode::OK, shown)),
            Does::Says(write) => {
                let key = key(&parts.headers)?;
                asked.body = body::read(&parts.headers, body, &self.0.limits).await?;
                let hash = keys::asked(route.method(), parts.uri.path(), &asked.body, person.name.as_str());
                self.said(write, &asked, &keys::digest(&key), hash).await
            }
        }
    }

    /// Says what was asked for under a key, once, and gives what was decided.
    async fn said(&self, write: Write, asked: &Asked, digest: &str, hash: String) -> Result<Answer, Problem> {
        let (revision, record) = if let Some(known) = self.0.keys.find(digest).await? {
            known
        } else {
            let event = self.event(write, asked, digest).await?;
            let before = self.0.desks.place(&event).await?;
            let record = Record { asked: hash.clone(), stands: Stands::Said { event: Box::new(event), before } };
            self.0.keys.take(digest, record).await?
        };
        if record.asked != hash {
            let detail = "this Idempotency-Key was used for another request; a new request has a new key";
            return Err(Problem::new(StatusCode::CONFLICT, "key_reused", detail));
        }
        match record.stands {
            Stands::Answered { status, body } => Ok((StatusCode::from_u16(status).unwrap_or(StatusCode::OK), body)),
            Stands::Said { event, before } => match self.0.desks.say(&event, Some(before)).await? {
                Outcome::Decided(recorded) => {
                    let (status, body) = decision(&event, &recorded);
                    let stands = Stands::Answered { status: status.as_u16(), body: body.clone() };
                    self.0.keys.answer(digest, revision, &Record { asked: record.asked, stands }).await;
                    Ok((status, body))
                }
                Outcome::Stored => {
                    let detail = "it is stored and will be decided; ask again with the same Idempotency-Key for the decision";
                    Ok((StatusCode::ACCEPTED, json!({ "event": event.id, "said_at": event.said_at, "result": "stored", "detail": detail })))
                }
            },
        }
    }

    /// What is said: by the token's person, now, under an id that follows from the key.
    async fn event(&self, write: Write, asked: &Asked, digest: &str) -> Result<DeskEvent, Problem> {
        let write::Wish { lot, reason, says } = write::wish(self, write, asked).await?;
        let id = format!("key-{digest}").parse().expect("24 letters, digits and a dash are a token");
        let event = DeskEvent { id, lot, said_at: self.0.desks.now().await?, author: asked.person.name, reason, says };
        let event = event.checked().map_err(Problem::unsound)?;
        if say::message(&event).payload.len() + HEADERS_BYTES > wire::INBOX_BYTES_MAX {
            return Err(body::Refused::TooLarge.into());
        }
        Ok(event)
    }
}

fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    if (1..=keys::KEY_MAX).contains(&key.len()) {
        return Ok(key.to_owned());
    }
    let detail = format!("send an Idempotency-Key of 1 to {} characters, a new one for each thing that is to be done", keys::KEY_MAX);
    Err(Problem::new(StatusCode::BAD_REQUEST, "key_missing", detail))
}

/// What a decision is to who said something.
fn decision(event: &DeskEvent, recorded: &[Recorded]) -> Answer {
    let refused = recorded.iter().find_map(|recorded| match &recorded.event {
        Event::Session(SessionEvent::Noted { note, .. })
        | Event::Payment(PaymentEvent::Noted { note, .. } | PaymentEvent::ShiftNoted { note, .. }) => Some(Problem::noted(*note)),
        Event::Recon(ReconEvent::Noted { note, .. }) => Some(Problem::not_matched(*note)),
        Event::Session(SessionEvent::Refused { reason, .. }) => {
            Some(Problem::new(StatusCode::CONFLICT, "refused", format!("it was refused: {}", reason.as_str())))
        }
        _ => None,
    });
    let decided: Vec<Value> = recorded.iter().map(|recorded| json!({ "at": recorded.at, "event": recorded.event })).collect();
    let result = recorded.first().map_or("nothing", |recorded| recorded.event.kind());
    let (status, mut body) = match refused {
        Some(problem) => (problem.status, problem.body()),
        None => (StatusCode::OK, json!({})),
    };
    let said = json!({ "event": event.id, "said_at": event.said_at, "result": result, "decided": decided });
    if let (Some(body), Value::Object(said)) = (body.as_object_mut(), said) {
        body.extend(said);
    }
    (status, body)
}

async fn serve(api: Api, route: &'static Route, parameters: RawPathParams, request: Request) -> Response {
    let late = |_| Err(Problem::again(StatusCode::SERVICE_UNAVAILABLE, "late", "it took too long; try again, with the same key", 1));
    let answered = timeout(ANSWER_WAIT, api.answer(route, parameters, request)).await.unwrap_or_else(late);
    let status = answered.as_ref().map_or_else(|problem| problem.status, |(status, _)| *status);
    let (name, code) = (route.name(), status.as_str().to_owned());
    metrics::counter!("boomgate_api_requests_total", "route" => name, "status" => code).increment(1);
    let mut response = match answered {
        Ok((status, body)) => {
            if status == StatusCode::CONFLICT {
                tracing::info!(route = route.path, result = %body["result"], "what was said changes nothing");
            }
            let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
            (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
        }
        Err(problem) => {
            tracing::info!(
                route = route.path,
                status = problem.status.as_u16(),
                problem = problem.name,
                detail = problem.detail,
                "a request was refused"
            );
            problem.into_response()
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
