//! What is known of vehicles, close at hand: the Cache port.
//!
//! Truth lives in the journals and the store; a cache can be emptied at any moment and is built again from them. It must say so: that it has no
//! part of a vehicle means something only while it is complete.
//!
//! Invariants
//! 1. Of a part the newest wins, in whatever order and however often its versions come   (`conformance::the_newest_part_wins`).
//! 2. What was removed stays removed when an older version comes late   (`conformance::a_removed_part_stays_removed`).
//! 3. A cache that was emptied is never read as "no facts"   (`conformance::an_emptied_cache_says_so`, `production`
//!    `a_server_that_lost_everything_says_so`).
//! 4. A cache that is away or slow is an error within the caller's time, and comes back by itself   (`production`
//!    `a_server_that_hangs_is_an_error_in_time_and_comes_back`, `a_server_that_is_gone_is_an_error_and_comes_back`).
//! 5. What is of a day alone ends by itself, long after that   (`conformance::what_was_used_is_forgotten_days_later`).
//!
//! Not here: what a check makes of an error (`rules::entry::checks`), when parts are written and who rebuilds (`boomgate`).

#[cfg(test)]
mod conformance;
mod memory;
#[cfg(test)]
mod production;
mod redis;

pub use memory::Memory;
pub use redis::{NotAnAddress, Redis, Timeouts};

use crate::{Answer, Error};
use futures_util::stream::BoxStream;
use schema::{
    Credential, Journal, Moment,
    fact::{Kind, Part, What},
};
use std::time::Duration;

/// What is asked for: a kind of fact of a credential, as [`Credential::identity`] says it.
pub type Fact = (Credential, Kind);

/// The parts of a fact, without removed ones and in no order; or why they are not known. Of coupons there are those of the last days.
pub type Found = Result<Vec<Part>, Error>;

/// One rebuild; its number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(pub u64);

/// How long a removal is remembered, in microseconds of event time: an older version may come that late, from a writer that was overtaken. One
/// that comes later still is followed by its removal, because both are in the same journal.
const REMOVAL_KEPT: i64 = 2 * schema::time::MINUTE;
/// How long the coupons that were used are remembered, in microseconds of event time: nobody asks for those of a day that is over for a day.
const COUPONS_KEPT: i64 = 3 * schema::time::DAY;

/// A cache. Every call may be made from many tasks at once, and again after an error.
pub trait Cache: Send + Sync {
    /// Facts, each as it arrives, in no order; every one asked for gets one answer, within the given time. While the cache is not complete that
    /// answer is [`crate::Kind::Incomplete`].
    fn read(&self, facts: Vec<Fact>, within: Duration) -> BoxStream<'_, (Fact, Found)>;

    /// Writes parts, each only where it is newer than what is there. After an error some may have been written.
    fn write(&self, parts: Vec<(Credential, Part)>) -> Answer<'_, ()>;

    /// Whether what it does not have is not there.
    fn is_complete(&self) -> Answer<'_, bool>;

    /// Begins a rebuild: the cache is incomplete until that rebuild is completed. What it holds stays; `clear` it first where it may hold what is
    /// no longer true. Parts are written meanwhile by the rebuild and by everybody else.
    fn begin_rebuild(&self) -> Answer<'_, Generation>;

    /// Says that everything was written since [`Cache::begin_rebuild`] gave this generation. False where the cache was emptied or another rebuild
    /// was begun since: nothing has changed then.
    fn complete(&self, generation: Generation) -> Answer<'_, bool>;

    /// Forgets everything, also that it was complete.
    fn clear(&self) -> Answer<'_, ()>;

    /// Whether several processes see the same: then one of them writes for all.
    fn is_shared(&self) -> bool;

    /// Up to where journals have been written here, in no order; forgotten with everything else.
    fn followed(&self) -> Answer<'_, Vec<Followed>>;

    /// Says up to where journals have been written here.
    fn follow(&self, to: Vec<Followed>) -> Answer<'_, ()>;
}

/// Up to where a journal has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The journal.
    pub journal: Journal,
    /// The stream's sequence.
    pub sequence: u64,
    /// The broker's time when nothing was missing up to there.
    pub at: Moment,
}

/// How long what ends by itself is remembered in a fact of a kind.
const fn kept(kind: Kind) -> i64 {
    match kind {
        Kind::Coupons => COUPONS_KEPT,
        Kind::Rights | Kind::Bans | Kind::Arrears | Kind::Presence | Kind::Reservations => REMOVAL_KEPT,
    }
}

/// What ends by itself is forgotten up to here when a part of this time comes.
const fn forgotten(kind: Kind, at: Moment) -> Moment {
    at.plus(-kept(kind))
}

/// Whether a part ends by itself: a removal does, and what is of a day alone.
const fn ends(part: &Part) -> bool {
    matches!(part.what, What::Removed(_) | What::Coupons(_))
}
