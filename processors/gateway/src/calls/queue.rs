//! What waits to be called: bounded, each number once, and never two calls about one number at a time.
//!
//! Invariants
//! 1. What does not fit is dropped: it is due again by itself   (`tests::what_does_not_fit_is_dropped`).
//! 2. Of a number the newest call waits, and what was asked for is not lost to a question about it
//!    (`tests::of_a_number_the_newest_call_waits`).
//! 3. A call that comes again while it is made, or once its answer is stored, is not made again   (`tests::the_same_call_is_made_once`); only the
//!    question how a payment stands may be asked again   (`tests::how_a_payment_stands_may_be_asked_again`).
//! 4. Nothing overtakes what is under way about the same number   (`tests::two_calls_about_a_number_are_made_one_after_the_other`).

use super::pace::Pacer;
use schema::{ChannelCall, EntryNotice, Id, RefundCall, channel::Act};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use tokio::time::Instant;

/// How many calls are remembered whose answers are stored.
const TOLD_MAX: usize = 4_096;

/// One call as `payment` wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// To give money back, or to say how that stands.
    Refund(RefundCall),
    /// About an attempt.
    Attempt(ChannelCall),
    /// To take note of a car that has driven in; how often that was tried, this time included.
    Notice(EntryNotice, u32),
}

/// What tells a call from all others.
type Key = (Id, &'static str, u32);

impl Job {
    /// Our number at the channel.
    pub const fn number(&self) -> Id {
        match self {
            Self::Refund(call) => call.refund,
            Self::Attempt(call) => call.attempt,
            Self::Notice(notice, _) => notice.session,
        }
    }

    /// What is asked, in a word.
    pub const fn act(&self) -> &'static str {
        match self {
            Self::Refund(RefundCall { asks: true, .. }) => "refund_query",
            Self::Refund(_) => "refund",
            Self::Attempt(call) => call.act.as_str(),
            Self::Notice(..) => "notice",
        }
    }

    /// The channel, by its name.
    pub const fn channel(&self) -> &Arc<str> {
        match self {
            Self::Refund(call) => &call.channel,
            Self::Attempt(call) => &call.channel,
            Self::Notice(notice, _) => &notice.channel,
        }
    }

    /// How often it was asked for.
    pub const fn tries(&self) -> u32 {
        match self {
            Self::Refund(call) => call.tries,
            Self::Attempt(call) => call.tries,
            Self::Notice(_, tries) => *tries,
        }
    }

    /// The transaction of which a part is to go back.
    pub fn part(&self) -> Option<&Arc<str>> {
        match self {
            Self::Refund(call) if !call.asks && call.captured.is_some_and(|captured| captured != call.amount) => Some(&call.transaction),
            Self::Refund(_) | Self::Attempt(_) | Self::Notice(..) => None,
        }
    }

    const fn key(&self) -> Key {
        (self.number(), self.act(), self.tries())
    }

    /// What is to be done where this waits and `newer` comes about the same number. A refund that waits was never asked for from here, so a question
    /// how it stands has its answer sooner if it is made; both are of one number, which the channel refunds once.
    fn gives_way(&mut self, newer: Self) {
        let made = matches!((&*self, &newer), (Self::Refund(waiting), Self::Refund(newer)) if newer.asks && !waiting.asks);
        *self = newer;
        if let (true, Self::Refund(call)) = (made, self) {
            call.asks = false;
        }
    }
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It waits.
    Taken,
    /// It waits in the place of an older one.
    Replaced,
    /// It is made already, or was.
    Doubled,
    /// There is no room.
    Full,
}

/// Calls of one kind to one channel.
#[derive(Debug)]
pub struct Queue {
    waiting: VecDeque<Job>,
    /// By number: what is asked, and how often `payment` has asked by now.
    under_way: BTreeMap<Id, (&'static str, u32)>,
    told: (BTreeSet<Key>, VecDeque<Key>),
    max: usize,
}

impl Queue {
    /// With room for so many.
    pub const fn new(max: usize) -> Self {
        Self { waiting: VecDeque::new(), under_way: BTreeMap::new(), told: (BTreeSet::new(), VecDeque::new()), max }
    }

    /// Takes a call in.
    pub fn offer(&mut self, job: Job) -> Offered {
        // It does nothing, and its number may come again: whoever closes a payment counts anew.
        let only_asks = matches!(&job, Job::Attempt(ChannelCall { act: Act::Query, .. }));
        if !only_asks && self.told.0.contains(&job.key()) {
            return Offered::Doubled;
        }
        if let Some((act, tries)) = self.under_way.get_mut(&job.number())
            && (*act == job.act() || matches!(job, Job::Refund(_)))
        {
            *tries = job.tries().max(*tries);
            return Offered::Doubled;
        }
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.number() == job.number()) {
            waiting.gives_way(job);
            return Offered::Replaced;
        }
        if self.waiting.len() >= self.max {
            return Offered::Full;
        }
        self.waiting.push_back(job);
        Offered::Taken
    }

    /// The next call that may begin; else when to ask again, and never where something must happen first.
    pub fn take(&mut self, now: Instant, pacer: &mut Pacer) -> Result<Job, Option<Instant>> {
        if self.waiting.is_empty() {
            return Err(None);
        }
        pacer.may_begin(now, self.under_way.len())?;
        let mut soonest: Option<Instant> = None;
        for at in 0..self.waiting.len() {
            let job = &self.waiting[at];
            if self.under_way.contains_key(&job.number()) {
                continue;
            }
            if let Some(until) = job.part().and_then(|transaction| pacer.part_waits(now, transaction)) {
                soonest = Some(soonest.map_or(until, |soonest| soonest.min(until)));
                continue;
            }
            let job = self.waiting.remove(at).expect("it was just looked at");
            pacer.begun(now, job.part());
            self.under_way.insert(job.number(), (job.act(), job.tries()));
            return Ok(job);
        }
        Err(soonest)
    }

    /// The call as it was asked for last: while it was made it may have been asked for again, and its answer is the answer to that too.
    pub fn newest(&self, mut job: Job) -> Job {
        let newest = self.under_way.get(&job.number()).map_or(0, |(_, tries)| *tries).max(job.tries());
        match &mut job {
            Job::Refund(call) => call.tries = newest,
            Job::Attempt(call) => call.tries = newest,
            Job::Notice(_, tries) => *tries = newest,
        }
        job
    }

    /// A call ended; `stored` says whether its answer is.
    pub fn ended(&mut self, job: &Job, stored: bool) {
        self.under_way.remove(&job.number());
        let (known, order) = &mut self.told;
        if stored && known.insert(job.key()) {
            order.push_back(job.key());
            if let Some(oldest) = (order.len() > TOLD_MAX).then(|| order.pop_front()).flatten() {
                known.remove(&oldest);
            }
        }
    }

    /// Forgets what waits: another replica makes it when it is due again.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.waiting).len()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Whether an attempt is past its time: to open it now would be of use to nobody.
pub fn is_late(job: &Job, now: schema::Moment) -> bool {
    matches!(job, Job::Attempt(ChannelCall { act: Act::Open, until, .. }) if *until <= now)
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::pace::Health, *};
    use crate::clock;
    use schema::{Credential, Currency, Moment, Money, effect::Deducted, gate::Colour};
    use std::time::Duration;

    pub fn refund(number: u32, tries: u32, asks: bool) -> Job {
        let [refund, order] = [format!("R4426112307VZx3MdpKtIUVl{number:03}"), "O4426112307VZx3MdpKtIUVlfy7".to_owned()];
        let [refund, order] = [refund, order].map(|id| id.parse().expect("an id"));
        let amount = Money::new(200, Currency::Cny);
        Job::Refund(RefundCall { refund, order, channel: "wechat".into(), transaction: "42".into(), amount, tries, captured: None, asks })
    }

    pub fn attempt(number: u32, act: Act, tries: u32) -> Job {
        let attempt = format!("O4426112307VZx3MdpKtIUVlfy7{number:02}").parse().expect("an attempt");
        let amount = Money::new(200, Currency::Cny);
        let (channel, until) = ("wechat".into(), Moment(i64::MAX));
        Job::Attempt(ChannelCall { attempt, channel, act, amount, until, tries, lot: None, deducts: None, by_plate: false })
    }

    pub fn notice() -> EntryNotice {
        EntryNotice {
            channel: "wechat".into(),
            session: "S4426112307SE85PbTwoLFzFY9q".parse().expect("an id"),
            plate: "粤B12345".into(),
            colour: Colour::Blue,
            entered_at: Moment(1),
            lot: "lot-1".parse().expect("a name"),
            free_min: 15,
        }
    }

    pub fn deducted() -> Deducted {
        let EntryNotice { session, plate, colour, entered_at, .. } = notice();
        Deducted { parking: "P1".into(), session, plate: Credential::plate(&plate, colour), entered_at, left_at: Moment(9) }
    }

    fn pacer() -> Pacer {
        Pacer::new(1_000_000, None, Duration::from_secs(60))
    }

    fn take(queue: &mut Queue, pacer: &mut Pacer) -> Option<Job> {
        queue.take(clock::now() + Duration::from_secs(1), pacer).ok()
    }

    #[test]
    fn what_does_not_fit_is_dropped() {
        let mut queue = Queue::new(2);
        let offered: Vec<Offered> = (0..3).map(|number| queue.offer(refund(number, 1, false))).collect();
        assert_eq!(offered, [Offered::Taken, Offered::Taken, Offered::Full]);
        assert_eq!((queue.len(), queue.clear(), queue.len()), (2, 2, 0));
    }

    #[test]
    fn of_a_number_the_newest_call_waits() {
        let (open, close) = (attempt(1, Act::Open, 1), attempt(1, Act::Close, 1));
        for (waiting, newer, left) in [
            (open.clone(), attempt(1, Act::Open, 2), attempt(1, Act::Open, 2)),
            (open, close.clone(), close),
            (refund(1, 1, true), refund(1, 2, false), refund(1, 2, false)),
            // It was never asked for from here: it is, and that is the answer to the question.
            (refund(1, 1, false), refund(1, 2, true), refund(1, 2, false)),
            (refund(1, 1, true), refund(1, 2, true), refund(1, 2, true)),
        ] {
            let mut queue = Queue::new(9);
            assert_eq!((queue.offer(waiting), queue.offer(newer)), (Offered::Taken, Offered::Replaced));
            assert_eq!((take(&mut queue, &mut pacer()), queue.len()), (Some(left), 0));
        }
    }

    #[test]
    fn the_same_call_is_made_once() {
        let (mut queue, mut pacer) = (Queue::new(9), pacer());
        queue.offer(refund(1, 1, false));
        let job = take(&mut queue, &mut pacer).expect("it waits");
        assert_eq!(queue.offer(refund(1, 1, false)), Offered::Doubled, "it is under way");
        assert_eq!(queue.offer(refund(1, 2, true)), Offered::Doubled, "its answer is on its way");
        assert_eq!(queue.newest(job.clone()), refund(1, 2, false), "and answers that, too");
        queue.ended(&job, true);
        assert_eq!(queue.offer(refund(1, 1, false)), Offered::Doubled, "its answer is stored");
        assert_eq!(queue.offer(refund(1, 2, true)), Offered::Taken);
        let job = take(&mut queue, &mut pacer).expect("it waits");
        queue.ended(&job, false);
        assert_eq!(queue.offer(refund(1, 2, true)), Offered::Taken, "nobody has its answer");
        for number in 0..2 * u32::try_from(TOLD_MAX).expect("it is small") {
            queue.ended(&refund(number % 1_000, number, false), true);
        }
        assert_eq!((queue.told.0.len(), queue.told.1.len()), (TOLD_MAX, TOLD_MAX));
    }

    #[test]
    fn how_a_payment_stands_may_be_asked_again() {
        let (mut queue, mut pacer) = (Queue::new(9), pacer());
        for (act, again) in [(Act::Query, Offered::Taken), (Act::Close, Offered::Doubled)] {
            assert_eq!(queue.offer(attempt(1, act, 2)), Offered::Taken);
            let job = take(&mut queue, &mut pacer).expect("it waits");
            queue.ended(&job, true);
            assert_eq!(queue.offer(attempt(1, act, 2)), again, "{act:?}");
            queue.clear();
        }
    }

    #[test]
    fn two_calls_about_a_number_are_made_one_after_the_other() {
        let (mut queue, mut pacer) = (Queue::new(9), pacer());
        queue.offer(attempt(1, Act::Open, 1));
        let open = take(&mut queue, &mut pacer).expect("it waits");
        assert_eq!(queue.offer(attempt(1, Act::Close, 1)), Offered::Taken);
        assert_eq!(queue.offer(attempt(2, Act::Open, 1)), Offered::Taken);
        assert_eq!(take(&mut queue, &mut pacer), Some(attempt(2, Act::Open, 1)), "another number waits for nobody");
        assert_eq!(take(&mut queue, &mut pacer), None);
        queue.ended(&open, true);
        assert_eq!(take(&mut queue, &mut pacer), Some(attempt(1, Act::Close, 1)));
    }

    #[test]
    fn a_part_waits_until_its_time() {
        let (mut queue, mut pacer) = (Queue::new(9), pacer());
        let part = |number| match refund(number, 1, false) {
            Job::Refund(call) => Job::Refund(RefundCall { captured: Some(Money::new(500, Currency::Cny)), ..call }),
            other => other,
        };
        for number in [1, 2] {
            queue.offer(part(number));
        }
        let now = clock::now();
        assert_eq!(queue.take(now, &mut pacer), Ok(part(1)));
        pacer.ended(now, Health::Good);
        let later = now + Duration::from_secs(60);
        assert_eq!(queue.take(now + Duration::from_secs(1), &mut pacer), Err(Some(later)));
        queue.offer(refund(3, 1, false));
        assert_eq!(queue.take(now + Duration::from_secs(1), &mut pacer), Ok(refund(3, 1, false)), "what is whole does not wait behind it");
        assert_eq!(queue.take(later, &mut pacer), Ok(part(2)));
    }
}
