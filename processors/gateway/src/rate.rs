//! How often somebody may come: so many at once, then so many a second.
//!
//! For each key there is one moment: when all that it has taken would be earned again at the steady pace (GCRA, as ATM networks have it).
//!
//! Invariants
//! 1. After the burst one more comes with each interval   (`tests::after_a_burst_they_come_at_their_pace`).
//! 2. There is room for so many keys, whoever comes; the others share one   (`tests::memory_is_bounded_whoever_comes`).

use schema::{Moment, time::SECOND};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// How often each of many may come.
pub struct Rates<K> {
    interval: i64,
    ahead: i64,
    keys_max: usize,
    state: Mutex<State<K>>,
}

struct State<K> {
    earned: BTreeMap<K, Moment>,
    others: Moment,
    swept: Moment,
}

impl<K: Ord> Rates<K> {
    /// So many at once, then so many a second, each of at most `keys_max`.
    pub fn new((burst, per_second): (u32, u32), keys_max: usize) -> Self {
        Self::paced(burst, SECOND / i64::from(per_second.max(1)), keys_max)
    }

    /// So many at once, then one each `interval` microseconds, each of at most `keys_max`.
    pub fn paced(burst: u32, interval: i64, keys_max: usize) -> Self {
        let ahead = interval.saturating_mul(i64::from(burst.max(1)));
        let state = State { earned: BTreeMap::new(), others: Moment(0), swept: Moment(0) };
        Self { interval, ahead, keys_max, state: Mutex::new(state) }
    }

    /// Takes one, or gives after how many seconds there is one again.
    pub fn take(&self, key: K, now: Moment) -> Result<(), u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { earned, others, swept } = &mut *state;
        if earned.len() >= self.keys_max && now.since(*swept) >= SECOND && !earned.contains_key(&key) {
            // Whoever has earned all of it back is as if it had never come.
            earned.retain(|_, earned| *earned > now);
            *swept = now;
        }
        let is_full = earned.len() >= self.keys_max;
        let until = match earned.get_mut(&key) {
            Some(until) => until,
            None if is_full => others,
            None => earned.entry(key).or_insert(now),
        };
        // A clock that was set back must lock nobody out for longer than its burst.
        let next = (*until).clamp(now, now.plus(self.ahead)).plus(self.interval);
        let over = next.since(now.plus(self.ahead));
        if over > 0 {
            return Err(u64::try_from(over.saturating_add(SECOND - 1) / SECOND).unwrap_or(1).max(1));
        }
        *until = next;
        Ok(())
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).earned.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_they_come_at_their_pace() {
        let rates = Rates::new((3, 2), 10);
        let at = |ms: i64| rates.take("lin", Moment(SECOND).plus(ms * 1_000));
        for (ms, expected) in
            [(0, Ok(())), (0, Ok(())), (0, Ok(())), (0, Err(1)), (499, Err(1)), (500, Ok(())), (500, Err(1)), (2_000, Ok(())), (-60_000, Err(1))]
        {
            assert_eq!(at(ms), expected, "{ms}");
        }
        assert_eq!(rates.take("wu", Moment(SECOND)), Ok(()), "another has its own");
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let rates = Rates::new((2, 1), 100);
        let taken = |from: u32, now| (from..from + 1_000).filter(|key| rates.take(*key, Moment(now)).is_ok()).count();
        assert_eq!((taken(0, 0), rates.keys()), (102, 100), "the first hundred, and two of all others together");
        assert_eq!(taken(5_000, 60 * SECOND), 102, "who has gone makes room");
        assert_eq!(rates.keys(), 100);
    }
}
