//! Calls to payment channels: `payment` tells on `refund.<channel>` and `call.<channel>` what it wants, `entry` on `notice.<channel>` which car has come in, and
//! what came of it is a fact in CHANNEL.
//!
//! What is told there may come twice, or never: `payment` asks again when it is due. So nothing of it is stored here, what does not fit is dropped, and a
//! replica that dies loses nothing but notices, whose drivers pay by themselves. Each channel has three lines, for refunds, for calls about attempts and for
//! notices, so that a driver at a barrier does not wait behind a night's refunds.
//!
//! Invariants
//! 1. A call is made once per number and try, and its answer is stored   (`tests::a_refund_is_called_once_and_its_answer_is_stored`,
//!    `tests::an_answer_is_stored_once_the_bus_is_back`).
//! 2. What nobody knows is told as unknown   (`tests::a_time_out_is_told_as_unknown`).
//! 3. One replica calls a channel   (`tests::who_is_not_the_owner_stays_silent`).
//! 4. No channel holds up another   (`tests::a_slow_channel_holds_up_no_other`).
//! 5. What waits is bounded, and what is dropped is counted   (`tests::a_queue_that_is_full_drops_and_counts`).
//! 6. What a channel cannot do is told at once   (`tests::what_no_channel_here_can_do_is_a_persons_work`).
//!
//! Not here: what is asked for, and when again (`rules::payment`), what a request says (`channels`). Statements are not told in facts: whoever compares them fetches
//! them by [`statements`].

mod answers;
pub mod client;
mod line;
mod members;
mod pace;
mod queue;
pub mod statements;

use crate::clock;
use channels::{Channel, Error, Pace};
use client::{Bounds, Client};
use line::{Line, Shared};
use members::Members;
use metrics::counter;
use pace::Pacer;
use queue::Job;
use ring::rand::SystemRandom;
use schema::{ChannelCall, EntryNotice, Moment, RefundCall, wire};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use streams::{Bus, Told};
use tokio::{sync::watch, task::JoinSet};

/// What `payment` tells on.
pub const HEARS: [&str; 3] = ["refund.*", "call.*", "notice.*"];
/// In which room of the members' bucket callers meet.
pub const ROOM: &str = members::ROOM;
/// How long to wait before listening again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// The line of channels that are not configured here.
const STRANGERS: &str = "unknown";
/// How many answers a second those get.
const STRANGERS_PER_S: u32 = 100;

/// What bounds the calls of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a connection to a channel may take to be made.
    pub connect_wait: Duration,
    /// How long an answer may take after that.
    pub answer_wait: Duration,
    /// The longest answer, in bytes.
    pub answer_bytes_max: usize,
    /// Calls at once, of each channel and kind.
    pub under_way_max: usize,
    /// Calls that wait, of each channel and kind.
    pub queue_max: usize,
    /// How long the broker may take to store.
    pub store_wait: Duration,
    /// How long what is under way may take after a shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_wait: Duration::from_secs(3),
            answer_wait: Duration::from_secs(10),
            answer_bytes_max: 256 * 1024,
            under_way_max: 32,
            queue_max: 4_096,
            store_wait: Duration::from_secs(4),
            drain: Duration::from_secs(15),
        }
    }
}

/// A channel, and where it is.
#[derive(Clone, Debug)]
pub struct Site {
    /// The channel.
    pub channel: Arc<dyn Channel>,
    /// Our number there.
    pub merchant: String,
    /// Its address, `http://` or `https://`; empty where nobody is called.
    pub base_url: String,
    /// The certificates (PEM) by which it is trusted, in place of this machine's.
    pub authorities: Option<Vec<u8>>,
}

/// The lines of a channel.
struct Lines {
    refunds: Arc<Line>,
    attempts: Arc<Line>,
    notices: Arc<Line>,
}

impl Lines {
    fn all(&self) -> [&Arc<Line>; 3] {
        [&self.refunds, &self.attempts, &self.notices]
    }
}

/// Who calls channels.
pub struct Caller {
    shared: Arc<Shared>,
    lines: BTreeMap<&'static str, Lines>,
}

impl Caller {
    /// Calls these channels as the replica `me`, by this clock. A driver reads `subject` and the lot's name.
    ///
    /// An error where a channel's address or certificates cannot be used.
    pub fn new(bus: Arc<dyn Bus>, sites: Vec<Site>, me: String, clock: fn() -> Moment, subject: String, limits: Limits) -> Result<Self, Error> {
        let merchants = sites.iter().map(|site| (site.channel.name(), site.merchant.clone())).collect();
        let members = Members::new(me, merchants);
        let shared = Arc::new(Shared { bus, clock, subject, members, limits, random: SystemRandom::new() });
        let bounds = Bounds { connect: limits.connect_wait, answer: limits.answer_wait, answer_bytes_max: limits.answer_bytes_max };
        let mut lines = BTreeMap::new();
        for Site { channel, base_url, authorities, .. } in sites {
            let (name, pace) = (channel.name(), channel.pace());
            let client = (!base_url.is_empty()).then(|| Client::new(&base_url, authorities.as_deref(), bounds)).transpose()?.map(Arc::new);
            lines.insert(name, both(name, Some(&channel), client.as_ref(), pace, &shared));
        }
        let pace = Pace { attempts_per_s: STRANGERS_PER_S, refunds_per_s: STRANGERS_PER_S, ..Pace::default() };
        lines.insert(STRANGERS, both(STRANGERS, None, None, pace, &shared));
        Ok(Self { shared, lines })
    }

    /// Hears and calls until `shutdown`, and until what is under way has ended or its time is over.
    pub async fn run(self, shutdown: watch::Receiver<bool>) {
        let mut lines = JoinSet::new();
        for line in self.lines.values().flat_map(Lines::all) {
            lines.spawn(line.clone().run(shutdown.clone()));
        }
        let wake = || self.lines.values().flat_map(Lines::all).for_each(|line| line.wake());
        let membership = self.shared.members.live(&*self.shared.bus, shutdown.clone(), wake);
        let [refunds, attempts, notices] = HEARS.map(|subject| self.hear(subject, shutdown.clone()));
        tokio::join!(membership, refunds, attempts, notices);
        while let Some(ended) = lines.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a channel's calls did not end well: they are due again");
            }
        }
    }

    async fn hear(&self, subject: &'static str, mut shutdown: watch::Receiver<bool>) {
        let hears = async {
            loop {
                match self.shared.bus.listen(subject).await {
                    Ok(mut listening) => {
                        while let Some(told) = listening.next().await {
                            self.told(&told);
                        }
                    }
                    Err(error) => tracing::warn!(%error, subject, "nobody hears what channels are asked for; trying again"),
                }
                clock::wait(LISTEN_AGAIN).await;
            }
        };
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = hears => {}
        }
    }

    /// Takes in what `payment` wants, if it is this replica's to do.
    fn told(&self, told: &Told) {
        let job = if told.subject.starts_with("refund.") {
            wire::decode::<RefundCall>(None, &told.payload).map(Job::Refund)
        } else if told.subject.starts_with("notice.") {
            wire::decode::<EntryNotice>(None, &told.payload).map(|notice| Job::Notice(notice, 1))
        } else {
            wire::decode::<ChannelCall>(None, &told.payload).map(Job::Attempt)
        };
        let job = match job {
            Ok(job) => job,
            Err(error) => {
                counter!("boomgate_calls_total", "channel" => STRANGERS, "act" => "none", "outcome" => "malformed").increment(1);
                tracing::debug!(%error, "what a channel is asked for cannot be read");
                return;
            }
        };
        let name = self.lines.keys().copied().find(|name| **name == **job.channel()).unwrap_or(STRANGERS);
        if let Some(lines) = self.lines.get(name).filter(|_| self.shared.members.is_mine(name)) {
            let line = match job {
                Job::Refund(_) => &lines.refunds,
                Job::Attempt(_) => &lines.attempts,
                Job::Notice(..) => &lines.notices,
            };
            line.offer(job);
        }
    }
}

fn both(name: &'static str, channel: Option<&Arc<dyn Channel>>, client: Option<&Arc<Client>>, pace: Pace, shared: &Arc<Shared>) -> Lines {
    let line = |kind, pacer| Arc::new(Line::new((name, kind), channel.cloned(), client.cloned(), pacer, shared.clone()));
    let refunds = Pacer::new(pace.refunds_per_s, Some(pace.refused_per_s), Duration::from_secs(pace.parts_apart_s));
    let [attempts, notices] = [(); 2].map(|()| Pacer::new(pace.attempts_per_s, None, Duration::ZERO));
    Lines { refunds: line("refunds", refunds), attempts: line("attempts", attempts), notices: line("notices", notices) }
}

#[cfg(test)]
mod tests;
