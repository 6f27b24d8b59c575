//! What goes wrong at a channel, and how often.
//!
//! Invariants
//! 1. What goes wrong with a notification, refund or statement follows from the seed and its number alone   (`tests::the_same_number_has_the_same_fault`).
//! 2. Each fault has its share   (`tests::faults_have_their_shares`).

use super::keys;
use std::fmt;

/// How often what goes wrong, each of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A notification whose first sending is lost on the way.
    pub lost: u64,
    /// A notification that never comes: who wants to know must ask.
    pub never: u64,
    /// A notification that comes late.
    pub late: u64,
    /// A notification that comes twice, though it was taken.
    pub doubled: u64,
    /// A notification that what was told after it overtakes.
    pub reordered: u64,
    /// A payment of which somebody else tells as well, under a number of his own and without the channel's key.
    pub forged: u64,
    /// A refund that is refused when it is asked for the first time.
    pub refund_refused: u64,
    /// A refund whose first call is not answered; every other one was made all the same.
    pub refund_times_out: u64,
    /// A refund whose first call is answered late.
    pub refund_answers_late: u64,
    /// A refund that the channel cannot make.
    pub refund_abnormal: u64,
    /// A debit that was accepted and fails.
    pub debit_fails: u64,
    /// A car that WeChat Pay's parking product does not serve.
    pub blocked: u64,
    /// A day's statement that is being made still when it is asked for the first times.
    pub statement_late: u64,
    /// A day's statement whose first download is cut off.
    pub statement_cut: u64,
    /// A day's statement whose first file is not the one that was told of.
    pub statement_damaged: u64,
}

/// What goes wrong with a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OfNotice {
    /// Its first sending is lost.
    Lost,
    /// It never comes.
    Never,
    /// It comes late.
    Late,
    /// It comes twice.
    Doubled,
    /// What was told after it comes before it.
    Reordered,
}

/// What goes wrong with a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OfRefund {
    /// It is refused at first.
    Refused,
    /// Its first call is not answered, and it is made.
    TimesOutMade,
    /// Its first call is not answered, and it is not made.
    TimesOutUnmade,
    /// Its first call is answered late.
    AnswersLate,
    /// It cannot be made.
    Abnormal,
}

/// What goes wrong with a day's statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OfStatement {
    /// It is being made still.
    Late,
    /// Its download is cut off.
    Cut,
    /// What comes is not what was told of.
    Damaged,
}

impl Faults {
    /// The shares that are named, as `NAME=PER_MILLE`, and nothing else.
    pub fn of(texts: &[String]) -> Result<Self, String> {
        let mut faults = Self::default();
        for text in texts {
            let (name, number) = text.split_once('=').ok_or_else(|| format!("{text}: write a fault as NAME=PER_MILLE"))?;
            let per_mille = number.parse().ok().filter(|number| *number <= 1_000);
            let per_mille = per_mille.ok_or_else(|| format!("{text}: a fault has 0 to 1000 of a thousand"))?;
            let named = faults.shares_mut().into_iter().find(|(known, _)| *known == name);
            *named.ok_or_else(|| format!("no fault is called {name}: there are {}", Self::default()))?.1 = per_mille;
        }
        Ok(faults)
    }

    fn shares_mut(&mut self) -> [(&'static str, &mut u64); 15] {
        [
            ("lost", &mut self.lost),
            ("never", &mut self.never),
            ("late", &mut self.late),
            ("doubled", &mut self.doubled),
            ("reordered", &mut self.reordered),
            ("forged", &mut self.forged),
            ("refund_refused", &mut self.refund_refused),
            ("refund_times_out", &mut self.refund_times_out),
            ("refund_answers_late", &mut self.refund_answers_late),
            ("refund_abnormal", &mut self.refund_abnormal),
            ("debit_fails", &mut self.debit_fails),
            ("blocked", &mut self.blocked),
            ("statement_late", &mut self.statement_late),
            ("statement_cut", &mut self.statement_cut),
            ("statement_damaged", &mut self.statement_damaged),
        ]
    }

    /// What goes wrong with a notification of that number.
    pub fn of_notice(&self, seed: u64, number: &str) -> Option<OfNotice> {
        use OfNotice::{Doubled, Late, Lost, Never, Reordered};
        let shares = [(self.lost, Lost), (self.never, Never), (self.late, Late), (self.doubled, Doubled), (self.reordered, Reordered)];
        drawn(seed, "notice", number, shares)
    }

    /// What goes wrong with a refund of that number.
    pub fn of_refund(&self, seed: u64, number: &str) -> Option<OfRefund> {
        use OfRefund::{Abnormal, AnswersLate, Refused, TimesOutMade, TimesOutUnmade};
        let half = self.refund_times_out / 2;
        drawn(
            seed,
            "refund",
            number,
            [
                (self.refund_refused, Refused),
                (half, TimesOutMade),
                (self.refund_times_out - half, TimesOutUnmade),
                (self.refund_answers_late, AnswersLate),
                (self.refund_abnormal, Abnormal),
            ],
        )
    }

    /// What goes wrong with a channel's statement of a day.
    pub fn of_statement(&self, seed: u64, channel: &str, day: &str) -> Option<OfStatement> {
        use OfStatement::{Cut, Damaged, Late};
        let shares = [(self.statement_late, Late), (self.statement_cut, Cut), (self.statement_damaged, Damaged)];
        drawn(seed, "statement", &format!("{channel} {day}"), shares)
    }

    /// Whether somebody else tells of that notification, too.
    pub fn is_forged(&self, seed: u64, number: &str) -> bool {
        drawn(seed, "forged", number, [(self.forged, ())]).is_some()
    }

    /// Whether the debit of that number fails.
    pub fn fails(&self, seed: u64, number: &str) -> bool {
        drawn(seed, "debit", number, [(self.debit_fails, ())]).is_some()
    }

    /// Whether that car is not served.
    pub fn is_blocked(&self, seed: u64, plate: &str) -> bool {
        drawn(seed, "blocked", plate, [(self.blocked, ())]).is_some()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        let shares = copy.shares_mut().map(|(name, share)| format!("{name}={share}"));
        f.write_str(&shares.join(" "))
    }
}

/// The one whose share a number falls into; none where it falls behind all of them.
fn drawn<T: Copy, const N: usize>(seed: u64, of: &str, number: &str, shares: [(u64, T); N]) -> Option<T> {
    let place = keys::number(&[&seed.to_string(), of, number]) % 1_000;
    let mut end = 0;
    shares.into_iter().find_map(|(share, what)| {
        end += share;
        (place < end).then_some(what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn some() -> Faults {
        let texts = ["lost=100", "doubled=50", "reordered=20", "refund_refused=30", "refund_times_out=40", "forged=10"];
        Faults::of(&texts.map(str::to_owned)).expect("they are known")
    }

    #[test]
    fn the_same_number_has_the_same_fault() {
        let of = |seed| (0..500).map(|n| some().of_notice(seed, &n.to_string())).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn faults_have_their_shares() {
        let mut seen = BTreeMap::<_, u32>::new();
        let mut refunds = BTreeMap::<_, u32>::new();
        for number in 0..20_000 {
            *seen.entry(some().of_notice(7, &number.to_string())).or_default() += 1;
            *refunds.entry(some().of_refund(7, &number.to_string())).or_default() += 1;
        }
        let is_near = |found: u32, per_mille: u32| found.abs_diff(per_mille * 20) < 30 + per_mille * 4;
        for (fault, per_mille) in [(OfNotice::Lost, 100), (OfNotice::Doubled, 50), (OfNotice::Reordered, 20)] {
            assert!(is_near(seen[&Some(fault)], per_mille), "{fault:?} {seen:?}");
        }
        for (fault, per_mille) in [(OfRefund::Refused, 30), (OfRefund::TimesOutMade, 20), (OfRefund::TimesOutUnmade, 20)] {
            assert!(is_near(refunds[&Some(fault)], per_mille), "{fault:?} {refunds:?}");
        }
        assert!(!seen.contains_key(&Some(OfNotice::Never)) && !refunds.contains_key(&Some(OfRefund::Abnormal)));
    }

    #[test]
    fn a_fault_that_nobody_knows_is_refused_with_those_that_there_are() {
        let error = Faults::of(&["lots=5".to_owned()]).expect_err("there is none");
        assert!(error.contains("lots") && error.contains("lost=0"), "{error}");
        assert!(Faults::of(&["lost=1001".to_owned()]).is_err() && Faults::of(&["lost".to_owned()]).is_err());
    }
}
