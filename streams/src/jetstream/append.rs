//! How appends reach a journal: one by one where that is fast, as one atomic batch of many partitions where that is.
//!
//! Invariants
//! 1. One append in flight per partition   (`conformance::journal::racing_writers_leave_a_contiguous_journal`).
//! 2. A stale partition does not hold back the others of its batch   (`conformance::journal::a_stale_partition_leaves_the_others_of_its_batch_appended`).
//! 3. A partition's condition is always the same text, and stands on its first message of a batch.
//!
//! On one server a batch costs a staging store, 3 ms and more whatever its size, so a few appends of one message go as concurrent conditional
//! publishes. Once they are more than a few they gather: what comes while a batch flies waits and becomes
//! the next one; where nobody waits for a journal they always gather. On a cluster a batch costs what a publish does.

use super::{
    pause,
    wire::{Ack, Failure, Wire, headers_of},
};
use crate::{Append, Appended, Error, Kind, subject, table::BATCH_MESSAGES_MAX};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use schema::{Journal, Partition};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// The most bytes of a batch; more would hold back the acks of everybody.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many partitions of a refused batch try again by themselves at a time; a stream takes 50 batches in flight.
const ALONE_MAX: usize = 12;

/// How appends are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How many one-message appends of a journal fly by themselves.
    pub singles_max: usize,
    /// From how many messages on a batch is worth its price.
    pub batch_from: usize,
    /// From how many messages a second on, of all journals, appends go as batches alone, and how long each gathers.
    pub crowded: Option<(usize, Duration)>,
    /// How long the appends gather of a journal for which nobody waits.
    pub patient: Duration,
}

/// The journal for which nobody waits: no lane and no driver is told of a posting.
const PATIENT: Journal = Journal::Ledger;

impl Pace {
    /// One server: a batch costs about what 16 conditional publishes do, 3 to 25 ms as busy as its disk is, against 0.4 ms for a publish. Most of it
    /// is files that the server makes and removes for each, so under pressure few and large ones carry the most: on 2 cores a server that is sent
    /// 5,600 single messages a second makes each wait 40 ms, and one that gets them in batches takes 10,000.
    pub fn alone() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { singles_max: 32, batch_from: 32, crowded: Some((cores * 2_250, Duration::from_millis(20))), patient: Duration::from_millis(50) }
    }

    /// A cluster, where a batch costs no more than one message.
    pub const fn cluster() -> Self {
        Self { singles_max: 1, batch_from: 2, crowded: None, patient: Duration::ZERO }
    }
}

/// How much is appended, by all journals of a connection.
#[derive(Debug)]
pub(crate) struct Pressure {
    pace: Pace,
    /// Since when so many messages were counted.
    counted: Mutex<(Instant, usize)>,
    crowded: AtomicBool,
}

impl Pressure {
    /// The time over which it is measured.
    const SPAN: Duration = Duration::from_millis(200);

    /// Nothing was appended yet.
    pub fn new(pace: Pace) -> Self {
        Self { pace, counted: Mutex::new((now(), 0)), crowded: AtomicBool::new(false) }
    }

    /// From how many messages on a batch is worth its price now: where all wait for a batch anyway, at once.
    pub fn batch_from(&self) -> usize {
        if self.is_crowded().is_some() { 2 } else { self.pace.batch_from }
    }

    fn is_crowded(&self) -> Option<Duration> {
        self.pace.crowded.map(|(_, wait)| wait).filter(|_| self.crowded.load(Ordering::Relaxed))
    }

    /// How long a batch of a journal gathers; none where what comes goes at once.
    fn gathers(&self, journal: Journal) -> Option<Duration> {
        let patient = (journal == PATIENT && !self.pace.patient.is_zero()).then_some(self.pace.patient);
        patient.or_else(|| self.is_crowded())
    }

    fn count(&self, messages: usize) {
        let Some((from, _)) = self.pace.crowded else { return };
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.1 += messages;
        let span = now().duration_since(counted.0);
        if span >= Self::SPAN {
            let fair = from as u128 * span.as_micros() / 1_000_000;
            self.crowded.store(counted.1 as u128 > fair, Ordering::Relaxed);
            *counted = (now(), 0);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the broker's own pace, which no simulation replays")]
fn now() -> Instant {
    Instant::now()
}

struct Job {
    append: Append,
    answer: oneshot::Sender<Result<Appended, Error>>,
}

/// The appends of one journal.
pub(crate) struct Appender {
    queue: mpsc::UnboundedSender<Job>,
}

impl Appender {
    /// Starts its task, which ends with the last handle.
    pub fn start(wire: Wire, journal: Journal, pressure: Arc<Pressure>) -> Self {
        let (queue, jobs) = mpsc::unbounded_channel();
        tokio::spawn(Line::new(wire, journal, pressure).run(jobs));
        Self { queue }
    }

    pub async fn append(&self, append: Append) -> Result<Appended, Error> {
        let doing = doing(&append);
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job { append, answer }).map_err(|_| Error::new(Kind::Unavailable, &doing))?;
        answered.await.map_err(|_| Error::new(Kind::Unavailable, &doing))?
    }
}

fn doing(append: &Append) -> String {
    format!("append {} to {} partition {} after {}", append.messages.len(), append.journal, append.partition, append.expected)
}

/// What flies and what waits.
struct Line {
    sender: Arc<Sender>,
    pressure: Arc<Pressure>,
    singles: usize,
    batch: bool,
    busy: BTreeSet<Partition>,
    waiting: VecDeque<Job>,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
}

struct Landed {
    partitions: Vec<Partition>,
    batch: bool,
}

impl Line {
    fn new(wire: Wire, journal: Journal, pressure: Arc<Pressure>) -> Self {
        let inbox = wire.client.new_inbox();
        let name = inbox.rsplit('.').next().unwrap_or(&inbox).to_owned();
        let sender = Sender { wire, journal, name, batches: AtomicU64::new(0) };
        let flights = FuturesUnordered::new();
        let (busy, waiting) = (BTreeSet::new(), VecDeque::new());
        Self { sender: sender.into(), pressure, singles: 0, batch: false, busy, waiting, flights }
    }

    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut open = true;
        while open || !self.flights.is_empty() || !self.waiting.is_empty() {
            tokio::select! {
                job = jobs.recv(), if open => match job {
                    Some(job) => self.wait(job),
                    None => open = false,
                },
                Some(landed) = self.flights.next() => self.land(&landed),
            }
            while let Ok(job) = jobs.try_recv() {
                self.wait(job);
            }
            self.launch();
        }
    }

    fn wait(&mut self, job: Job) {
        self.pressure.count(job.append.messages.len());
        self.waiting.push_back(job);
    }

    fn land(&mut self, landed: &Landed) {
        for partition in &landed.partitions {
            self.busy.remove(partition);
        }
        if landed.batch { self.batch = false } else { self.singles -= 1 }
    }

    /// Sends what may fly now. What may not waits, and what gathers meanwhile becomes the next batch.
    fn launch(&mut self) {
        let gathers = self.pressure.gathers(self.sender.journal).is_some();
        if gathers && self.batch {
            return;
        }
        let ready = self.take_ready();
        let (ones, many): (Vec<_>, Vec<_>) = ready.into_iter().partition(|job| job.append.messages.len() == 1);
        if gathers || ones.len() > self.pressure.pace.singles_max - self.singles {
            self.fly_batch(many.into_iter().chain(ones).collect());
        } else {
            for job in ones {
                self.fly_single(job);
            }
            self.fly_batch(many);
        }
    }

    /// The first waiting append of each partition that has none in flight.
    fn take_ready(&mut self) -> Vec<Job> {
        let mut seen = self.busy.clone();
        let (ready, waiting) = self.waiting.drain(..).partition(|job| seen.insert(job.append.partition));
        self.waiting = waiting;
        ready.into()
    }

    fn fly_single(&mut self, job: Job) {
        self.singles += 1;
        self.busy.insert(job.append.partition);
        let sender = self.sender.clone();
        self.flights.push(
            async move {
                let partitions = vec![job.append.partition];
                sender.alone(job).await;
                Landed { partitions, batch: false }
            }
            .boxed(),
        );
    }

    fn fly_batch(&mut self, jobs: Vec<Job>) {
        let (mut batch, mut messages, mut bytes) = (Vec::new(), 0, 0);
        for job in jobs {
            messages += job.append.messages.len();
            bytes += job.append.messages.iter().map(|message| message.payload.len()).sum::<usize>();
            let fits = batch.is_empty() || (messages <= BATCH_MESSAGES_MAX && bytes <= BATCH_BYTES_MAX);
            if self.batch || !fits { self.waiting.push_back(job) } else { batch.push(job) }
        }
        if batch.is_empty() {
            return;
        }
        self.batch = true;
        let partitions: Vec<_> = batch.iter().map(|job| job.append.partition).collect();
        self.busy.extend(&partitions);
        let sender = self.sender.clone();
        let gather = self.pressure.gathers(self.sender.journal).unwrap_or_default();
        self.flights.push(
            async move {
                tokio::join!(sender.together(batch), pause(gather));
                Landed { partitions, batch: true }
            }
            .boxed(),
        );
    }
}

struct Sender {
    wire: Wire,
    journal: Journal,
    name: String,
    batches: AtomicU64,
}

impl Sender {
    async fn together(&self, jobs: Vec<Job>) {
        if jobs.len() == 1 {
            return futures_util::stream::iter(jobs).for_each(|job| self.alone(job)).await;
        }
        let appends: Vec<&Append> = jobs.iter().map(|job| &job.append).collect();
        match self.batch(&appends).await {
            Ok(lasts) => jobs.into_iter().zip(lasts).for_each(|(job, last)| answer(job, Ok(last))),
            Err(failure) if matches!(failure.kind(), Kind::Unavailable | Kind::Full) => {
                for job in jobs {
                    answer(job, Err(failure.clone()));
                }
            }
            // Somebody's condition failed, and the server does not say whose.
            Err(_) => futures_util::stream::iter(jobs).for_each_concurrent(ALONE_MAX, |job| self.alone(job)).await,
        }
    }

    async fn alone(&self, job: Job) {
        let outcome = match job.append.messages.as_slice() {
            [_] => self.single(&job.append).await,
            _ => self.batch(&[&job.append]).await.map(|lasts| lasts[0]),
        };
        answer(job, outcome);
    }

    async fn single(&self, append: &Append) -> Result<u64, Failure> {
        let message = &append.messages[0];
        let mut headers = headers_of(message);
        self.condition(&mut headers, append);
        self.wire.store(message.subject.clone(), headers, message.payload.clone()).await.map(|ack| ack.seq)
    }

    /// Gives the last sequence of each append: a batch is stored without gaps, so its last sequence tells all others.
    async fn batch(&self, appends: &[&Append]) -> Result<Vec<u64>, Failure> {
        let id = format!("{}.{}", self.name, self.batches.fetch_add(1, Ordering::Relaxed));
        let total: usize = appends.iter().map(|append| append.messages.len()).sum();
        let mut at = 0;
        let mut stored = None;
        for append in appends {
            for (index, message) in append.messages.iter().enumerate() {
                at += 1;
                let mut headers = headers_of(message);
                headers.insert("Nats-Batch-Id", id.as_str());
                headers.insert("Nats-Batch-Sequence", at.to_string());
                if index == 0 {
                    self.condition(&mut headers, append);
                }
                let (subject, payload) = (message.subject.clone(), message.payload.clone());
                if at == total {
                    headers.insert("Nats-Batch-Commit", "1");
                    stored = Some(self.wire.store(subject, headers, payload).await?);
                } else {
                    // A client that is gone stays gone, so nothing of this batch is committed.
                    let sent = self.wire.client.publish_with_headers(subject, headers, payload).await;
                    sent.map_err(|error| Failure::Garbled(error.to_string()))?;
                }
            }
        }
        let Some(Ack { seq, count, .. }) = stored else { return Err(Failure::Garbled("an append has no message".to_owned())) };
        if usize::try_from(count) != Ok(total) {
            return Err(Failure::Garbled(format!("{count} of {total} messages were stored")));
        }
        let mut last = seq - count;
        let each = appends.iter().map(|append| {
            last += append.messages.len() as u64;
            last
        });
        Ok(each.collect())
    }

    fn condition(&self, headers: &mut async_nats::HeaderMap, append: &Append) {
        headers.insert("Nats-Expected-Last-Subject-Sequence", append.expected.to_string());
        headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", subject::partition_wildcard(self.journal, append.partition));
    }
}

/// Whoever asked may have left; the journal tells the outcome to the next one.
fn answer(job: Job, outcome: Result<u64, Failure>) {
    let outcome = outcome.map(|last| Appended { last }).map_err(|failure| failure.doing(doing(&job.append)));
    let _ = job.answer.send(outcome);
}
