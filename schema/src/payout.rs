//! What a channel has paid out to the bank: told by a person from the bank's statement, and booked once.
//!
//! A payout is one transfer with one reference of the bank, and may be of several of the channel's days. It has no lot: its home is the partition of its
//! reference, in the province of its merchant, as that of a line whose number is none of ours.
//!
//! Invariants
//! 1. A channel, a merchant and a reference name one payout, whatever else is said of it   (`tests::a_reference_names_one_payout`).
//! 2. What is told again is the same fact, whoever tells it   (`tests::what_is_told_again_is_the_same_fact`).
//! 3. A payout is the sum of its days   (`tests::what_means_nothing_is_refused`).
//!
//! Not here: what becomes of it (`rules::exceptions`), which accounts it touches (`rules::settlement`).

use crate::{
    Key, Moment, Money, Partition, StatementEvent, StatementFact, Table,
    desk::AuthorId,
    exception::{PieceAt, begins},
    fact::OperatorId,
    id::{self, Province},
    time::Day,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What came into the bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidOut {
    /// The bank's reference; 1 to [`StatementEvent::NAME_MAX`] bytes.
    pub reference: Arc<str>,
    /// Whose money it is, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorId>,
    /// Of which of the channel's days it is, in their order, each once; 1 to [`PaidOut::DAYS_MAX`].
    pub days: Vec<DayPaid>,
    /// How much came: the sum of the days, above zero.
    pub amount: Money,
    /// When, by the bank.
    pub booked_at: Moment,
    /// Who says so.
    pub author: AuthorId,
}

/// What of a payout is of one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayPaid {
    /// The channel's day.
    pub day: Day,
    /// How much, in minor units; below zero where more went back on that day than came.
    pub minor: i64,
}

/// A payout that is booked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    /// By which channel and for which of our numbers there; its day is the payout's first.
    pub at: PieceAt,
    /// What is booked.
    pub paid: PaidOut,
    /// What was told of the same reference later and is something else: the newest [`Payout::REFUSED_MAX`], in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<PaidOut>,
}

impl Payout {
    /// How much of what is refused is kept.
    pub const REFUSED_MAX: usize = 8;
}

impl PaidOut {
    /// The most days of one payout.
    pub const DAYS_MAX: usize = 62;

    /// As a fact; the day of its place is its first.
    pub fn said(self, channel: Arc<str>, merchant: Arc<str>, province: Province) -> StatementEvent {
        let (day, partition) = (self.days.first().map(|first| first.day).unwrap_or_default(), Partition::of_lot(&self.reference));
        let piece = PieceAt { channel, merchant, day, province, partition };
        StatementEvent { piece, run: None, fact: StatementFact::PaidOut { paid: Box::new(self) } }
    }

    /// Whether both say the same, by whomever and whenever it was booked.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.reference, &self.operator, &self.days, self.amount) == (&other.reference, &other.operator, &other.days, other.amount)
    }

    /// The key of its row: the same whatever its days, its amount and the province of its merchant are.
    pub fn row(&self, at: &PieceAt) -> Key {
        let id = id::digest(&["payout", &at.channel, &at.merchant, &self.reference], 20).parse().expect("20 letters and digits are a token");
        Key { table: Table::Payouts, province: Province(0), day: Day(0), bucket: at.partition, id }
    }

    /// What tells it from all other facts, in 18 characters.
    pub(crate) fn key(&self, at: &PieceAt) -> String {
        let operator = self.operator.map(|operator| operator.to_string()).unwrap_or_default();
        let days = self.days.iter().map(|DayPaid { day, minor }| format!("{day} {minor}")).collect::<Vec<_>>().join("\n");
        id::digest(&["paid_out", &at.channel, &at.merchant, &self.reference, &operator, &days, &format!("{:?}", self.amount.currency)], 18)
    }

    /// What is wrong with it.
    pub(crate) fn check(&self, at: &PieceAt) -> Result<(), String> {
        let Self { reference, days, amount, booked_at, .. } = self;
        if reference.is_empty()
            || reference.len() > StatementEvent::NAME_MAX
            || reference.trim() != &**reference
            || reference.contains(char::is_control)
        {
            return Err(format!("the reference {reference:?}: 1 to {} bytes, without blanks around it", StatementEvent::NAME_MAX));
        }
        if days.is_empty() || days.len() > Self::DAYS_MAX || !days.iter().map(|part| part.day).is_sorted_by(|one, next| one < next) {
            return Err(format!("payout {reference} is of {} days: 1 to {}, in their order, each once", days.len(), Self::DAYS_MAX));
        }
        if let Some(part) = days.iter().find(|part| begins(part.day).is_none() || part.minor == 0) {
            return Err(format!("payout {reference} has {} of day {}: there is such a day, and it is of something", part.minor, part.day));
        }
        let sum = days.iter().try_fold(0_i64, |sum, part| sum.checked_add(part.minor));
        if amount.minor <= 0 || sum != Some(amount.minor) {
            return Err(format!("payout {reference} is of {amount}, and its days are not: it is their sum, and above zero"));
        }
        if booked_at.0 < 0 {
            return Err(format!("payout {reference} was booked before 1970: it is microseconds since then, in UTC"));
        }
        if days.first().map(|first| first.day) != Some(at.day) || Partition::of_lot(reference) != at.partition {
            return Err(format!("payout {reference} is not at home in partition {} under {}", at.partition, at.day));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Currency;

    fn paid(days: &[(u32, i64)]) -> PaidOut {
        let days: Vec<DayPaid> = days.iter().map(|(day, minor)| DayPaid { day: Day(*day), minor: *minor }).collect();
        let amount = Money::new(days.iter().map(|part| part.minor).sum(), Currency::Cny);
        let (booked_at, author) = (Moment(1_795_500_000_000_000), "lin".parse().expect("a name"));
        PaidOut { reference: "B-77".into(), operator: None, days, amount, booked_at, author }
    }

    fn said(paid: PaidOut) -> StatementEvent {
        paid.said("wechat".into(), "m".into(), Province(44))
    }

    fn row(event: &StatementEvent) -> Key {
        let StatementFact::PaidOut { paid } = &event.fact else { panic!("it is a payout") };
        paid.row(&event.piece)
    }

    #[test]
    fn a_reference_names_one_payout() {
        let first = said(paid(&[(261_123, 500)]));
        for other in [
            said(paid(&[(261_123, 400)])),
            said(paid(&[(261_122, 500)])),
            said(paid(&[(261_123, 300), (261_124, 200)])),
            said(PaidOut { operator: "city".parse().ok(), ..paid(&[(261_123, 500)]) }),
            paid(&[(261_123, 500)]).said("wechat".into(), "m".into(), Province(11)),
        ] {
            assert_eq!(row(&other), row(&first), "{other:?}");
        }
        for another in [
            paid(&[(261_123, 500)]).said("alipay".into(), "m".into(), Province(44)),
            paid(&[(261_123, 500)]).said("wechat".into(), "n".into(), Province(44)),
            said(PaidOut { reference: "B-78".into(), ..paid(&[(261_123, 500)]) }),
        ] {
            assert_ne!(row(&another), row(&first), "{another:?}");
        }
    }

    #[test]
    fn what_is_told_again_is_the_same_fact() {
        let first = paid(&[(261_123, 300), (261_124, 200)]);
        let again = PaidOut { author: "zhou".parse().expect("a name"), booked_at: Moment(1), ..first.clone() };
        assert!(first.is_same(&again));
        let (one, two) = (said(first.clone()), said(again));
        assert_eq!((one.key(), one.time(), one.subject()), (two.key(), two.time(), two.subject()));
        assert_eq!((one.key().len(), one.kind(), one.exception()), (18, "paid_out", None));
        for other in [paid(&[(261_123, 200), (261_124, 300)]), PaidOut { operator: "city".parse().ok(), ..first.clone() }] {
            assert!(!first.is_same(&other) && said(other.clone()).key() != one.key(), "{other:?}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let good = || paid(&[(261_123, 300), (261_124, -200)]);
        let long: Vec<(u32, i64)> = (0..63).map(|at| (260_101 + at % 28 + at / 28 * 100, 1)).collect();
        assert_eq!(said(good()).checked().err(), None);
        for (wrong, part) in [
            (PaidOut { reference: "".into(), ..good() }, "1 to 64"),
            (PaidOut { reference: " B-77".into(), ..good() }, "1 to 64"),
            (PaidOut { reference: "x".repeat(65).into(), ..good() }, "1 to 64"),
            (paid(&[]), "no day"),
            (paid(&[(261_124, 1), (261_123, 1)]), "each once"),
            (paid(&[(261_123, 1), (261_123, 1)]), "each once"),
            (paid(&long), "of 63 days"),
            (paid(&[(261_132, 1)]), "no day"),
            (paid(&[(261_123, 5), (261_124, 0)]), "of something"),
            (paid(&[(261_123, -5)]), "above zero"),
            (PaidOut { amount: Money::new(101, Currency::Cny), ..good() }, "above zero"),
            (PaidOut { booked_at: Moment(-1), ..good() }, "1970"),
        ] {
            let told = said(wrong.clone()).checked().err().unwrap_or_default();
            assert!(told.contains(part), "{wrong:?}: {told:?} does not say {part:?}");
        }
        let mut elsewhere = said(good());
        elsewhere.piece.partition = Partition((elsewhere.piece.partition.0 + 1) % 64);
        assert!(elsewhere.checked().err().is_some_and(|told| told.contains("not at home")));
    }
}
