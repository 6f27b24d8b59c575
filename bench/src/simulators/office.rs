//! What every simulated channel has: its book, its place on the network, and people who carry out notifications.
//!
//! Invariants
//! 1. A notification is sent again, on the channel's schedule, until it is taken   (`simulators::tests::a_notification_is_repeated_until_it_is_taken`).
//! 2. What nobody signed is never believed, or that is counted   (`Counts::forged_taken`).
//!
//! Not here: what a channel says and how it signs (`wechat`, `alipay`, `signed`).

use super::{
    Access, Settings,
    book::{Book, Named, Refund, Refusal, Return, Trade},
    clock,
    faults::{OfNotice, OfRefund, OfStatement},
};
use crate::world::Count;
use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use hdrhistogram::Histogram;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use schema::{Moment, time::SECOND};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// The longest request or answer that is read.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long to wait before accepting again after that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How often a statement that is late is asked for in vain.
const LATE_ASKS: u32 = 2;
/// How long one that is to be overtaken waits for another.
const OVERTAKEN_WITHIN: Duration = Duration::from_secs(1);

/// A request of a merchant.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path and the query.
    pub uri: &'a Uri,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// When it came.
    pub at: Moment,
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it takes.
    pub wait: Duration,
    /// Whether the connection ends in the middle of the body.
    pub is_cut: bool,
}

/// Something that a channel tells a merchant.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What tells it from all else that is told.
    pub number: String,
    /// What it is, in the channel's words.
    pub kind: &'static str,
    /// Where to.
    pub url: String,
    /// What it says.
    pub text: Value,
}

/// A notification as it goes out, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A channel's protocol.
pub trait Site: Send + Sync {
    /// What it has in common with the others.
    fn office(&self) -> &Office;
    /// What a merchant needs to reach it.
    fn access(&self) -> Access;
    /// How many seconds after the one before a notification is sent again that was not taken.
    fn schedule(&self) -> &'static [u64];
    /// What it answers to a request.
    fn answer(&self, asked: &Asked<'_>) -> Said;
    /// What it tells of a payment, as that stands; nothing where it tells nothing.
    fn of_payment(&self, trade: &Trade) -> Option<Told>;
    /// What it tells of a refund, as that stands; nothing where it tells nothing.
    fn of_refund(&self, trade: &Trade, refund: &Refund) -> Option<Told>;
    /// What it tells as it goes out now; with somebody else's key where it is forged.
    fn post(&self, told: &Told, at: Moment, is_forged: bool) -> Posted;
    /// Whether an answer means that a notification was taken.
    fn takes(&self, status: u16, body: &[u8]) -> bool;
    /// The files of a day's statement (`2026-11-26`), by their names; none where nothing happened.
    fn statement(&self, day: &str) -> Vec<(String, Vec<u8>)>;
}

/// What is done after a while, and may have something to tell.
type Job = Box<dyn FnOnce(&dyn Site) -> Option<Told> + Send>;

/// What happened, counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Things that were told.
    pub told: Count,
    /// Sendings of them that were taken.
    pub taken: Count,
    /// Sendings that were not.
    pub not_taken: Count,
    /// Things that nobody took until the schedule ended.
    pub given_up: Count,
    /// First sendings that were lost.
    pub lost: Count,
    /// Things that never were sent.
    pub never: Count,
    /// Things that were sent late.
    pub late: Count,
    /// Things that were sent twice.
    pub doubled: Count,
    /// Things that were overtaken.
    pub reordered: Count,
    /// Sendings that somebody else made up.
    pub forged: Count,
    /// Of those, how many were taken: none, or the merchant believes anybody.
    pub forged_taken: Count,
    /// Requests of merchants whose signature was wrong.
    pub not_signed: Count,
    /// Refund calls, questions not included.
    pub refund_calls: Count,
    /// Refund calls that were not answered.
    pub refunds_silent: Count,
    /// Refund calls that were refused.
    pub refunds_refused: Count,
}

/// The part that all channels have.
pub struct Office {
    /// The channel's name.
    pub name: &'static str,
    /// How it behaves.
    pub settings: Arc<Settings>,
    /// Where it listens.
    pub base_url: String,
    /// What happened.
    pub counts: Arc<Counts>,
    book: Mutex<Book>,
    jobs: mpsc::UnboundedSender<(Duration, Job)>,
    under_way: Arc<Count>,
    answers: Mutex<Histogram<u64>>,
    /// What was signed before it is told, by its number.
    signed: Mutex<BTreeMap<String, (Told, Posted)>>,
}

impl Office {
    /// An office, and what it will have to do.
    pub fn new(name: &'static str, base_url: String, settings: Arc<Settings>) -> (Self, Jobs) {
        let (jobs, given) = mpsc::unbounded_channel();
        let counts = Arc::default();
        (
            Self {
                name,
                settings,
                base_url,
                counts,
                book: Mutex::default(),
                jobs,
                under_way: Arc::default(),
                answers: Mutex::new(crate::world::histogram()),
                signed: Mutex::default(),
            },
            Jobs(given),
        )
    }

    /// Its book.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics while holding it")
    }

    /// Where it tells what nobody has said where to tell.
    pub fn notify_url(&self) -> String {
        format!("{}/{}", self.settings.notify_url, self.name)
    }

    /// How long notifications took that were taken, in microseconds.
    pub fn answers(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.answers.lock().expect("nobody panics while holding it")
    }

    /// Keeps what is signed already and told later.
    pub fn keep(&self, told: Told, posted: Posted) {
        self.signed.lock().expect("nobody panics while holding it").insert(told.number.clone(), (told, posted));
    }

    /// What was signed beforehand of exactly this, once.
    fn kept(&self, told: &Told) -> Option<Posted> {
        let (kept, posted) = self.signed.lock().expect("nobody panics while holding it").remove(&told.number)?;
        (kept == *told).then_some(posted)
    }

    /// How many things are still to be done or told.
    pub fn under_way(&self) -> u64 {
        self.under_way.get()
    }

    /// Does something after a while, and tells what comes of it.
    pub fn later(&self, wait: Duration, job: impl FnOnce(&dyn Site) -> Option<Told> + Send + 'static) {
        self.under_way.add(1);
        // Who has stopped carries nothing out any more.
        self.jobs.send((wait, Box::new(job))).ok();
    }

    /// Tells how a payment stands.
    pub fn tell_payment(&self, trade: &Trade) {
        let trade = trade.clone();
        self.later(Duration::ZERO, move |site| site.of_payment(&trade));
    }

    /// Takes on a refund, or does not: by the book, and by the faults of its number.
    ///
    /// Gives the payment, the refund, whether it is new, and how long the answer takes.
    pub fn refund(&self, named: Named<'_>, refund: Refund, gap: i64) -> Result<(Trade, Refund, bool, Duration), Refusal> {
        self.counts.refund_calls.add(1);
        let settings = &self.settings;
        let mut book = self.book();
        let is_first = book.count_call(&refund.number) == 1;
        let fault = settings.faults.of_refund(settings.seed, &refund.number);
        if is_first && fault == Some(OfRefund::TimesOutUnmade) {
            self.counts.refunds_silent.add(1);
            return Err(Refusal::Silent);
        }
        if is_first && fault == Some(OfRefund::Refused) {
            self.counts.refunds_refused.add(1);
            return Err(Refusal::NoMoney);
        }
        let made = book.refund(named, refund, gap);
        let (trade, refund, is_new) = made.inspect_err(|_| self.counts.refunds_refused.add(1))?;
        let is_silent = is_first && fault == Some(OfRefund::TimesOutMade);
        self.counts.refunds_silent.add(u64::from(is_silent));
        let wait = match fault {
            _ if is_silent => settings.hang,
            Some(OfRefund::AnswersLate) if is_first => settings.late_by,
            _ => Duration::ZERO,
        };
        Ok((trade, refund, is_new, wait))
    }

    /// What goes wrong with a day's statement this time: when it is asked for (`ask`) or downloaded (`download`).
    pub fn statement_fault(&self, step: &str, day: &str) -> Option<OfStatement> {
        let fault = self.settings.faults.of_statement(self.settings.seed, self.name, day)?;
        let lasts = if fault == OfStatement::Late { LATE_ASKS } else { 1 };
        let times = self.book().count_call(&format!("{step} statement {day}"));
        (times <= lasts).then_some(fault)
    }

    /// How a refund of that number ends.
    pub fn end_of(&self, number: &str) -> Return {
        let settings = &self.settings;
        if settings.faults.of_refund(settings.seed, number) == Some(OfRefund::Abnormal) { Return::Abnormal } else { Return::Done }
    }

    /// Lets what is held be captured, or fail, after a while, and tells so.
    pub fn settle_later(&self, attempt: &str, captures: bool) {
        let attempt = attempt.to_owned();
        self.later(self.settings.settle_after, move |site| {
            let settled = site.office().book().settle(&attempt, clock::now(), captures).ok()?;
            site.of_payment(&settled)
        });
    }

    /// How much earlier than published something happens, in microseconds.
    pub fn hurried(&self, seconds: i64) -> i64 {
        seconds * SECOND / i64::from(self.settings.hurry.max(1))
    }
}

impl Said {
    /// Nothing that helps, once the time is over.
    pub fn silence(wait: Duration) -> Self {
        Self { status: 504, headers: Vec::new(), body: Vec::new(), wait, is_cut: false }
    }
}

/// What an office has to do.
pub struct Jobs(mpsc::UnboundedReceiver<(Duration, Job)>);

/// Does what the office has to do, until the office is gone.
pub async fn carry_out(site: Arc<dyn Site>, mut jobs: Jobs) {
    let client = Client::builder(TokioExecutor::new()).http1_title_case_headers(true).build(HttpConnector::new());
    // How many notifications have gone out, so that one can wait for another.
    let (sent, _) = watch::channel(0_u64);
    let carrier = Arc::new(Carrier { site, client, sent });
    let mut under_way = JoinSet::new();
    while let Some((wait, job)) = jobs.0.recv().await {
        while under_way.try_join_next().is_some() {}
        let carrier = carrier.clone();
        under_way.spawn(async move {
            if !wait.is_zero() {
                sleep(wait).await;
            }
            if let Some(told) = job(&*carrier.site) {
                carrier.tell(&told).await;
            }
            carrier.site.office().under_way.take(1);
        });
    }
}

struct Carrier {
    site: Arc<dyn Site>,
    client: Client<HttpConnector, Body>,
    sent: watch::Sender<u64>,
}

impl Carrier {
    async fn tell(&self, told: &Told) {
        let office = self.site.office();
        let (settings, counts) = (&office.settings, &office.counts);
        counts.told.add(1);
        if settings.faults.is_forged(settings.seed, &told.number) {
            counts.forged.add(1);
            let taken = self.send(told, self.site.post(told, clock::now(), true)).await;
            counts.forged_taken.add(u64::from(taken));
        }
        let fault = settings.faults.of_notice(settings.seed, &told.number);
        match fault {
            Some(OfNotice::Never) => return counts.never.add(1),
            Some(OfNotice::Lost) => counts.lost.add(1),
            Some(OfNotice::Doubled) => counts.doubled.add(1),
            Some(OfNotice::Late) => {
                counts.late.add(1);
                sleep(settings.late_by).await;
            }
            Some(OfNotice::Reordered) => {
                counts.reordered.add(1);
                let mut others = self.sent.subscribe();
                let before = *others.borrow_and_update();
                let overtaken = async { others.wait_for(|sent| *sent > before).await.is_ok() };
                // Nothing else may come.
                timeout(OVERTAKEN_WITHIN, overtaken).await.ok();
            }
            None => {}
        }
        let mut is_lost = fault == Some(OfNotice::Lost);
        for wait in self.site.schedule().iter().map(Some).chain([None]) {
            if !is_lost && self.deliver(told).await {
                if fault == Some(OfNotice::Doubled) {
                    self.deliver(told).await;
                }
                return;
            }
            is_lost = false;
            if let Some(seconds) = wait {
                sleep(Duration::from_secs(*seconds) / settings.hurry.max(1)).await;
            }
        }
        counts.given_up.add(1);
    }

    /// Sends what is genuine, and counts what becomes of it.
    async fn deliver(&self, told: &Told) -> bool {
        let posted = self.site.office().kept(told).unwrap_or_else(|| self.site.post(told, clock::now(), false));
        let begin = Instant::now();
        let taken = self.send(told, posted).await;
        if taken {
            self.site.office().answers().saturating_record(crate::world::micros(begin.elapsed()));
        }
        let counts = &self.site.office().counts;
        if taken { &counts.taken } else { &counts.not_taken }.add(1);
        self.sent.send_modify(|sent| *sent += 1);
        taken
    }

    async fn send(&self, told: &Told, Posted { headers, body }: Posted) -> bool {
        let mut request = Request::post(&told.url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let Ok(request) = request.body(Body::from(body)) else { return false };
        let answered = async {
            let answer = self.client.request(request).await.ok()?;
            let status = answer.status().as_u16();
            Some((status, to_bytes(Body::new(answer.into_body()), BODY_BYTES_MAX).await.ok()?))
        };
        match timeout(self.site.office().settings.answer_wait, answered).await {
            Ok(Some((status, body))) => self.site.takes(status, &body),
            Ok(None) | Err(_) => false,
        }
    }
}

/// Answers requests for ever.
///
/// Names of headers begin with capitals, as those of WeChat Pay do: its own libraries look for them so.
pub async fn listen(listener: TcpListener, site: Arc<dyn Site>) {
    let mut http = http1::Builder::new();
    http.title_case_headers(true);
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        stream.set_nodelay(true).ok();
        let site = site.clone();
        let answer = service_fn(move |request| serve(site.clone(), request));
        connections.spawn(http.serve_connection(TokioIo::new(stream), answer));
    }
}

async fn serve(site: Arc<dyn Site>, request: Request<Incoming>) -> Result<Response, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(Body::new(body), BODY_BYTES_MAX).await else { return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response()) };
    let said = site.answer(&Asked { method: &head.method, uri: &head.uri, headers: &head.headers, body: &body, at: clock::now() });
    if !said.wait.is_zero() {
        sleep(said.wait).await;
    }
    // Who was silent until now says nothing of what he did.
    let said = if said.wait >= site.office().settings.hang { Said::silence(Duration::ZERO) } else { said };
    let mut response = Response::builder().status(said.status);
    for (name, value) in said.headers {
        response = response.header(name, value);
    }
    let body = if said.is_cut { cut(&said.body) } else { Body::from(said.body) };
    Ok(response.body(body).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()))
}

/// The first half of a body, and then the end of the connection.
fn cut(body: &[u8]) -> Body {
    let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
    let gone = io::Error::new(io::ErrorKind::ConnectionReset, "the connection is cut on purpose");
    Body::from_stream(stream::iter([Ok(half), Err(gone)]))
}
