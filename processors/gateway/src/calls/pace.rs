//! When a channel may be called next: as fast as it allows, and ever more seldom while it does not answer.
//!
//! Invariants
//! 1. No more calls begin in a second than the channel allows   (`tests::calls_begin_as_far_apart_as_the_channel_wants`).
//! 2. Calls that are refused are fewer still   (`tests::a_refused_call_takes_the_time_of_many`).
//! 3. A channel that does not answer is left alone for a growing while, and then tried by one call   (`tests::who_does_not_answer_is_left_alone`).
//! 4. Two parts of one transaction go back apart   (`tests::parts_of_a_transaction_go_back_apart`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// So many calls in a row without an answer, and the channel is taken to be down.
const SILENT_MAX: u32 = 3;
/// How long it is left alone at first; each time twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// How long at most.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// From how many transactions on the old ones are forgotten.
const PARTS_MAX: usize = 1_024;

/// What a call tells of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does what it is asked for.
    Good,
    /// It answers, and does not do it.
    Refused,
    /// It does not answer, or not with anything that can be believed.
    Silent,
}

/// The pace of one channel's calls of one kind.
#[derive(Debug)]
pub struct Pacer {
    every: Duration,
    refused: Duration,
    apart: Duration,
    next_at: Option<Instant>,
    silent: u32,
    pauses: u32,
    paused_until: Option<Instant>,
    parts: BTreeMap<Arc<str>, Instant>,
}

fn share(per_s: u32) -> Duration {
    Duration::from_secs(1) / per_s.max(1)
}

impl Pacer {
    /// So many calls a second, of which so many may be refused, where that has a limit; parts of a transaction so far apart.
    pub fn new(per_s: u32, refused_per_s: Option<u32>, apart: Duration) -> Self {
        let (every, refused) = (share(per_s), refused_per_s.map_or(Duration::ZERO, share));
        Self { every, refused, apart, next_at: None, silent: 0, pauses: 0, paused_until: None, parts: BTreeMap::new() }
    }

    /// Whether a call may begin while so many are under way; else when to ask again, and never where one must end first.
    pub fn may_begin(&self, now: Instant, under_way: usize) -> Result<(), Option<Instant>> {
        let waits = [self.paused_until, self.next_at].into_iter().flatten().filter(|until| *until > now).max();
        if let Some(until) = waits {
            return Err(Some(until));
        }
        // After a pause one call finds out for all others.
        if self.silent >= SILENT_MAX && under_way > 0 { Err(None) } else { Ok(()) }
    }

    /// A call begins: of a part of a transaction, if that is given.
    pub fn begun(&mut self, now: Instant, part: Option<&Arc<str>>) {
        self.next_at = Some(now + self.every);
        if let Some(transaction) = part.filter(|_| !self.apart.is_zero()) {
            if self.parts.len() >= PARTS_MAX {
                self.parts.retain(|_, until| *until > now);
            }
            self.parts.insert(transaction.clone(), now + self.apart);
        }
    }

    /// Until when no other part of this transaction may go back.
    pub fn part_waits(&self, now: Instant, transaction: &str) -> Option<Instant> {
        self.parts.get(transaction).copied().filter(|until| *until > now)
    }

    /// A call ended.
    pub fn ended(&mut self, now: Instant, health: Health) {
        match health {
            Health::Good | Health::Refused => (self.silent, self.pauses, self.paused_until) = (0, 0, None),
            // What was begun before the pause says nothing new.
            Health::Silent if self.is_paused(now) => {}
            Health::Silent => {
                self.silent = self.silent.saturating_add(1);
                if self.silent >= SILENT_MAX {
                    let pause = PAUSE_MIN.saturating_mul(1 << self.pauses.min(16)).min(PAUSE_MAX);
                    self.pauses = self.pauses.saturating_add(1);
                    self.paused_until = Some(now + pause);
                }
            }
        }
        if health == Health::Refused {
            self.next_at = Some(self.next_at.unwrap_or(now).max(now) + self.refused);
        }
    }

    /// Whether the channel is left alone now.
    pub fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    /// How many calls begin within a time, each of which ends like this at once.
    fn begun(pacer: &mut Pacer, from: Instant, within: Duration, health: impl Fn(usize) -> Health) -> usize {
        let (mut now, mut begun) = (from, 0);
        while now < from + within {
            match pacer.may_begin(now, 0) {
                Ok(()) => {
                    pacer.begun(now, None);
                    pacer.ended(now, health(begun));
                    begun += 1;
                }
                Err(until) => now = until.expect("nothing is under way"),
            }
        }
        begun
    }

    #[test]
    fn calls_begin_as_far_apart_as_the_channel_wants() {
        for per_s in [1, 6, 150, 300] {
            let seconds = begun(&mut Pacer::new(per_s, None, Duration::ZERO), clock::now(), 10_000 * MS, |_| Health::Good);
            let wanted = usize::try_from(per_s).expect("it is small") * 10;
            assert!((wanted..=wanted + 1).contains(&seconds), "{seconds} in ten seconds at {per_s} a second");
        }
    }

    #[test]
    fn a_refused_call_takes_the_time_of_many() {
        let all = begun(&mut Pacer::new(150, Some(6), Duration::ZERO), clock::now(), 10_000 * MS, |_| Health::Refused);
        assert!((55..=60).contains(&all), "{all}");
        // Of a tenth that is refused six a second are sixty calls.
        let tenth = |call| if call % 10 == 0 { Health::Refused } else { Health::Good };
        let mixed = begun(&mut Pacer::new(150, Some(6), Duration::ZERO), clock::now(), 10_000 * MS, tenth);
        assert!((400..=610).contains(&mixed), "{mixed}");
    }

    #[test]
    fn who_does_not_answer_is_left_alone() {
        let mut pacer = Pacer::new(1_000, None, Duration::ZERO);
        let mut now = clock::now();
        for _ in 0..SILENT_MAX {
            assert_eq!(pacer.may_begin(now, 9), Ok(()));
            pacer.begun(now, None);
            pacer.ended(now, Health::Silent);
            now += MS;
        }
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let until = pacer.may_begin(now, 0).expect_err("it is left alone").expect("for a while");
            assert!(until - now <= Duration::from_secs(pause) && until - now + 5 * MS > Duration::from_secs(pause), "{pause} s");
            // What was under way still ends meanwhile.
            pacer.ended(now, Health::Silent);
            now = until;
            assert_eq!((pacer.may_begin(now, 0), pacer.may_begin(now, 1)), (Ok(()), Err(None)), "one call finds out for the others");
            pacer.begun(now, None);
            pacer.ended(now, Health::Silent);
        }
        pacer.ended(now, Health::Good);
        assert_eq!(pacer.may_begin(now + MS, 9), Ok(()), "it answers again");
    }

    #[test]
    fn parts_of_a_transaction_go_back_apart() {
        let minute = Duration::from_secs(60);
        let mut pacer = Pacer::new(1_000, None, minute);
        let now = clock::now();
        pacer.begun(now, Some(&"42".into()));
        assert_eq!((pacer.part_waits(now, "42"), pacer.part_waits(now, "43")), (Some(now + minute), None));
        assert_eq!(pacer.part_waits(now + minute, "42"), None);
        for other in 0..PARTS_MAX * 2 {
            pacer.begun(now + minute * 2 * u32::try_from(other).expect("it is small"), Some(&other.to_string().into()));
        }
        assert!(pacer.parts.len() <= PARTS_MAX);
    }
}
