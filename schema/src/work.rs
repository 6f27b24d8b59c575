//! Work that is done by whichever worker takes it: a day of a channel to be compared, and its pieces.
//!
//! Invariants
//! 1. The same work has the same key, so that enqueuing it again costs nothing   (`tests::the_same_work_has_the_same_key`).
//!
//! Not here: how a day is split and a piece compared (`boomgate::reconciler`).

use crate::{
    Partition, Token,
    exception::{PieceAt, Term},
    id::{self, Province},
    time::Day,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A day of a channel that is to be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayWork {
    /// The channel's name.
    pub channel: Arc<str>,
    /// Our number at the channel.
    pub merchant: Arc<str>,
    /// The channel's day.
    pub day: Day,
    /// When it is compared.
    pub term: Term,
    /// Who asked: `schedule`, or something that tells one asking by hand from another.
    pub asked: Token<32>,
    /// The statement, where it does not lie in its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<str>>,
}

/// A piece of a day whose statement is verified and split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceWork {
    /// The day.
    pub of: DayWork,
    /// Where its lines lie: what its files say, so that the same files have the same.
    pub run: Token<32>,
    /// The province.
    pub province: Province,
    /// The partition.
    pub partition: Partition,
}

/// Something to be done: the payload of `WORK.<partition>.<channel>.<kind>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// A statement is verified and split.
    Day(DayWork),
    /// A piece of it is compared.
    Piece(PieceWork),
}

impl DayWork {
    /// Who asks where nobody does.
    pub fn schedule() -> Token<32> {
        "schedule".parse().expect("letters are a token")
    }

    /// The key under which it is told how far it is, in the bucket of reconciliations.
    pub fn key(&self) -> String {
        format!("day.{}.{}.{}.{}", self.channel, id::digest(&[&self.merchant], 20), self.day, self.term.as_str())
    }
}

impl PieceWork {
    /// Which piece it is.
    pub fn at(&self) -> PieceAt {
        let DayWork { channel, merchant, day, .. } = self.of.clone();
        PieceAt { channel, merchant, day, province: self.province, partition: self.partition }
    }
}

impl Work {
    /// The day that it is about.
    pub const fn of(&self) -> &DayWork {
        match self {
            Self::Day(day) => day,
            Self::Piece(piece) => &piece.of,
        }
    }

    /// The subject under which it waits.
    pub fn subject(&self) -> String {
        match self {
            Self::Day(day) => format!("WORK.0.{}.day", day.channel),
            Self::Piece(piece) => format!("WORK.{}.{}.piece", piece.partition, piece.of.channel),
        }
    }

    /// What tells it from all other work.
    pub fn key(&self) -> String {
        let DayWork { channel, merchant, day, term, asked, file } = self.of();
        let of: [&str; 6] = [channel, merchant, &day.to_string(), term.as_str(), asked.as_str(), file.as_deref().unwrap_or_default()];
        match self {
            Self::Day(_) => id::digest(&of, 20),
            Self::Piece(PieceWork { run, province, partition, .. }) => {
                id::digest(&[&of[..], &[run.as_str(), &province.to_string(), &partition.to_string()]].concat(), 20)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn day(asked: &str, term: Term) -> DayWork {
        let asked = asked.parse().expect("a token");
        DayWork { channel: "wechat".into(), merchant: "m".into(), day: Day(261_123), term, asked, file: None }
    }

    fn piece(of: DayWork, partition: u8) -> Work {
        Work::Piece(PieceWork { of, run: "r".parse().expect("a token"), province: Province(44), partition: Partition(partition) })
    }

    #[test]
    fn the_same_work_has_the_same_key() {
        let all = [
            Work::Day(day("schedule", Term::Next)),
            Work::Day(day("schedule", Term::After)),
            Work::Day(day("lin", Term::Next)),
            Work::Day(DayWork { file: Some("f".into()), ..day("lin", Term::Next) }),
            piece(day("schedule", Term::Next), 7),
            piece(day("schedule", Term::Next), 8),
            piece(day("lin", Term::Next), 7),
        ];
        assert_eq!(all.iter().map(Work::key).collect::<BTreeSet<_>>().len(), all.len());
        for work in &all {
            let again: Work = serde_json::from_str(&serde_json::to_string(work).expect("JSON")).expect("it can be read");
            assert_eq!((again.key(), again.subject()), (work.key(), work.subject()));
        }
        assert_eq!((all[0].subject().as_str(), all[4].subject().as_str()), ("WORK.0.wechat.day", "WORK.7.wechat.piece"));
        let Work::Piece(piece) = &all[4] else { panic!("a piece") };
        assert_eq!((piece.at().partition, piece.of.key() == all[0].of().key()), (Partition(7), true));
    }
}
