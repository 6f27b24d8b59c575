//! One channel's calls of one kind: queued, paced, made, and their answers stored.
//!
//! Invariants
//! 1. An answer is stored before its call counts as made   (`calls::tests::an_answer_is_stored_once_the_bus_is_back`).
//! 2. A line waits for its own channel alone   (`calls::tests::a_slow_channel_holds_up_no_other`).
//! 3. No body, header or key of a request or an answer is in a log   (`Line::make`: only status, kind and number are).

use super::{
    answers::{self, Came},
    client::{Client, Failure},
    members::Members,
    pace::Pacer,
    queue::{self, Job, Offered, Queue},
};
use crate::{clock, webhook};
use channels::{Channel, Now, Response};
use metrics::{counter, gauge, histogram};
use ring::rand::{SecureRandom, SystemRandom};
use schema::{ChannelEvent, Moment};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use streams::{Bus, Kind};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

/// How often at most the log says the same of a line.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// How long to wait before storing is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What all lines use.
pub struct Shared {
    /// Where facts are stored.
    pub bus: Arc<dyn Bus>,
    /// Our own clock, for signatures.
    pub clock: fn() -> Moment,
    /// What a driver reads that a payment is for.
    pub subject: String,
    /// Whose the calls are.
    pub members: Members,
    /// The numbers.
    pub limits: super::Limits,
    /// Where nonces come from.
    pub random: SystemRandom,
}

/// A channel's calls of one kind.
pub struct Line {
    /// The channel's name in metrics and logs.
    name: &'static str,
    /// What kind of calls.
    kind: &'static str,
    /// The channel; none where it is not configured here.
    channel: Option<Arc<dyn Channel>>,
    /// The way to it; none where it has no address.
    client: Option<Arc<Client>>,
    shared: Arc<Shared>,
    state: Mutex<(Queue, Pacer)>,
    woken: Notify,
    said: Mutex<Option<Instant>>,
}

impl Line {
    /// A line that nobody has called yet.
    pub fn new(
        (name, kind): (&'static str, &'static str),
        channel: Option<Arc<dyn Channel>>,
        client: Option<Arc<Client>>,
        pacer: Pacer,
        shared: Arc<Shared>,
    ) -> Self {
        let state = Mutex::new((Queue::new(shared.limits.queue_max), pacer));
        Self { name, kind, channel, client, shared, state, woken: Notify::new(), said: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, (Queue, Pacer)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, act: &'static str, outcome: &'static str) {
        counter!("boomgate_calls_total", "channel" => self.name, "act" => act, "outcome" => outcome).increment(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and a queue is far shorter than 2^52")]
    fn measured(&self, waiting: usize) {
        gauge!("boomgate_calls_waiting", "channel" => self.name, "kind" => self.kind).set(waiting as f64);
    }

    /// Takes a call in, or drops it.
    pub fn offer(&self, job: Job) {
        let act = job.act();
        let (offered, waiting) = {
            let mut state = self.state();
            (state.0.offer(job), state.0.len())
        };
        match offered {
            Offered::Taken | Offered::Replaced => self.woken.notify_one(),
            Offered::Doubled => self.counted(act, "doubled"),
            Offered::Full => {
                self.counted(act, "dropped");
                self.say(|| tracing::warn!(channel = self.name, kind = self.kind, "the queue is full: calls are dropped until they are due again"));
            }
        }
        self.measured(waiting);
    }

    /// Says something, unless it has said something lately.
    fn say(&self, what: impl FnOnce()) {
        let now = clock::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| now.saturating_duration_since(at) >= SAY_EVERY) {
            *said = Some(now);
            what();
        }
    }

    /// The next call, or when to look again.
    fn next(&self) -> Result<Job, Option<Instant>> {
        let mut state = self.state();
        let (queue, pacer) = &mut *state;
        let taken = loop {
            match queue.take(clock::now(), pacer) {
                Ok(job) if queue::is_late(&job, (self.shared.clock)()) => {
                    queue.ended(&job, false);
                    self.counted(job.act(), "late");
                }
                other => break other,
            }
        };
        self.measured(queue.len());
        taken
    }

    /// Makes calls until `shutdown`, and finishes those that are under way within a bound.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut under_way = JoinSet::new();
        loop {
            while under_way.try_join_next().is_some() {}
            let mut look_at = None;
            if !self.shared.members.is_mine(self.name) {
                let forgotten = self.state().0.clear();
                if forgotten > 0 {
                    tracing::info!(channel = self.name, kind = self.kind, forgotten, "another replica calls this channel now");
                    self.measured(0);
                }
            } else if under_way.len() < self.shared.limits.under_way_max {
                match self.next() {
                    Ok(job) => {
                        under_way.spawn(self.clone().call(job));
                        continue;
                    }
                    Err(until) => look_at = until,
                }
            }
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                Some(_) = under_way.join_next() => {}
                () = self.woken.notified() => {}
                () = clock::until(look_at) => {}
            }
        }
        let all = async { while under_way.join_next().await.is_some() {} };
        if timeout(self.shared.limits.drain, all).await.is_err() {
            tracing::warn!(
                channel = self.name,
                kind = self.kind,
                "calls were cut off: they did not end in time, and are asked about when they are due"
            );
        }
    }

    /// Makes one call, and stores what came of it.
    async fn call(self: Arc<Self>, job: Job) {
        let begun = clock::now();
        let came = self.make(&job).await;
        let job = self.state().0.newest(job);
        let again = answers::again(&job, &came);
        if let Some(again) = again {
            let health = answers::judge(&job, &came, &[]).1;
            self.counted(job.act(), "again");
            let (now, mut state) = (clock::now(), self.state());
            state.1.ended(now, health);
            state.0.ended(&job, false);
            drop(state);
            self.offer(again);
            return;
        }
        let facts = answers::facts(&job, came.clone(), (self.shared.clock)());
        let (word, health) = answers::judge(&job, &came, &facts);
        histogram!("boomgate_call_seconds", "channel" => self.name, "act" => job.act()).record(clock::now().saturating_duration_since(begun));
        self.counted(job.act(), word);
        {
            let (now, mut state) = (clock::now(), self.state());
            let was_paused = state.1.is_paused(now);
            state.1.ended(now, health);
            if !was_paused && state.1.is_paused(now) {
                self.say(|| tracing::warn!(channel = self.name, kind = self.kind, "the channel does not answer: it is left alone for a while"));
            }
        }
        let mut stored = true;
        for fact in &facts {
            stored &= self.store(fact).await;
        }
        self.state().0.ended(&job, stored);
    }

    async fn make(&self, job: &Job) -> Came {
        let Some(channel) = &self.channel else {
            let channel = &**job.channel();
            self.say(|| tracing::warn!(channel, "a call to a channel that is not configured here: its refunds are a person's work"));
            return Came::Impossible;
        };
        let Some(call) = answers::call(job, &self.shared.subject) else { return Came::Impossible };
        let Ok(nonce) = nonce(&self.shared.random) else {
            self.say(|| tracing::error!("this machine gives no random numbers: nothing can be signed"));
            return Came::NotSent;
        };
        let (number, act) = (job.number(), job.act());
        let request = match channel.request(&call, Now { moment: (self.shared.clock)(), nonce: &nonce }) {
            Ok(Some(request)) => request,
            Ok(None) => return Came::Impossible,
            Err(error) => {
                self.say(|| tracing::error!(channel = self.name, act, %number, %error, "a call cannot be signed"));
                return Came::NotSent;
            }
        };
        let Some(client) = &self.client else {
            self.say(|| tracing::warn!(channel = self.name, "a call to a channel without an address: set its base_url"));
            return Came::Impossible;
        };
        match client.send(&request).await {
            Ok(answer) => {
                let response = Response { status: answer.status, headers: &answer.headers, body: &answer.body, received_at: (self.shared.clock)() };
                match channel.answered(&call, &response) {
                    Ok(heard) => {
                        if heard == channels::Heard::Later {
                            self.say(|| tracing::warn!(channel = self.name, act, %number, status = answer.status, "a call was answered by nothing"));
                        }
                        Came::Heard(heard)
                    }
                    Err(error) => {
                        self.say(|| tracing::warn!(channel = self.name, act, %number, status = answer.status, %error, "an answer is not believed"));
                        Came::Unknown
                    }
                }
            }
            Err(failure) => {
                self.say(|| tracing::warn!(channel = self.name, act, %number, %failure, "a call was not answered"));
                if matches!(failure, Failure::NotSent(_)) { Came::NotSent } else { Came::Unknown }
            }
        }
    }

    /// Stores a fact, however long that takes. Whether it did; what no stream takes is told in the log and not tried again.
    async fn store(&self, fact: &ChannelEvent) -> bool {
        let mut wait = AGAIN.0;
        loop {
            match timeout(self.shared.limits.store_wait, self.shared.bus.publish(webhook::message(fact))).await {
                Ok(Ok(_)) => return true,
                Ok(Err(error)) if matches!(error.kind, Kind::TooLarge | Kind::Malformed) => {
                    tracing::error!(channel = self.name, kind = fact.kind(), %error, "an answer cannot be stored");
                    return false;
                }
                Ok(Err(error)) => self.say(|| tracing::warn!(channel = self.name, %error, "an answer waits to be stored")),
                Err(_) => self.say(|| tracing::warn!(channel = self.name, "an answer waits to be stored: the broker is slow")),
            }
            counter!("boomgate_calls_not_stored_total", "channel" => self.name).increment(1);
            clock::wait(wait).await;
            wait = (wait * 2).min(AGAIN.1);
        }
    }

    /// Wakes it, to look whose the calls are.
    pub fn wake(&self) {
        self.woken.notify_one();
    }
}

/// 32 letters and digits that nobody can guess.
pub(super) fn nonce(random: &SystemRandom) -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
