//! What RECON should say: each finding answered, each exception open until it is closed for a reason.
//!
//! Invariants
//! 1. A finding has one right answer, told from what was said before it alone   (`tests::each_wrong_answer_is_found`).
//! 2. What a person does is of an open exception, and the second of two persons is another one   (`tests::each_wrong_answer_is_found`).
//! 3. What was written off is taken back where it is found no more   (`tests::a_write_off_is_taken_back`).
//! 4. Of a channel, a merchant and a reference of the bank the first payout counts   (`tests::the_first_payout_of_a_reference_counts`).
//!
//! Not here: whether a finding is right (`rules::reconcile`, and whoever planted what it finds).

use schema::{
    Currency, DeskEvent, Effect, Id, Moment, Money, StatementEvent, StatementFact,
    desk::{ExceptionStep, Says},
    exception::{Act, Closing, Gap, ReconEvent, ReconNote, Stays, Term, days_after},
    id,
    payout::PaidOut,
    statement::{Age, BookedPayment, LineKind, Standing, StatementLine},
};
use std::{collections::BTreeMap, sync::Arc};

/// What is known of one exception.
struct Case {
    age: Age,
    day: schema::Day,
    line: Option<Box<StatementLine>>,
    wanted: Option<schema::EventId>,
    wanted_by: Option<schema::desk::AuthorId>,
    is_closed: bool,
    /// Whether a comparison closed it, and no person.
    is_explained: bool,
    /// Whether it was given up.
    is_written_off: bool,
    gap: Gap,
}

/// What a line says moved, less what a payment says.
pub fn more(line: Option<&StatementLine>, payment: Option<&BookedPayment>) -> Money {
    let moved = |standing, kind, minor: i64| match (standing, kind) {
        (Standing::Done, LineKind::Trade) => minor,
        (Standing::Done, LineKind::Refund) => -minor,
        _ => 0,
    };
    let theirs = line.map(|line| (moved(line.standing, line.kind, line.amount.minor), line.amount.currency));
    let ours = payment.map(|payment| (moved(payment.standing, payment.kind, payment.amount.minor), payment.amount.currency));
    let currency = theirs.or(ours).map_or(Currency::Cny, |(_, currency)| currency);
    Money::new(theirs.map_or(0, |(minor, _)| minor) - ours.map_or(0, |(minor, _)| minor), currency)
}

/// What came of a piece: its hash, and the stays that do not go with their money.
type Came = (Arc<str>, Option<Box<Stays>>);

/// A piece: its channel, merchant, day and province, and when it was compared.
type PieceKey = (Arc<str>, Arc<str>, u32, u8, Term);

/// The exceptions and pieces of one partition.
#[derive(Default)]
pub struct Cases {
    cases: BTreeMap<Id, Case>,
    pieces: BTreeMap<PieceKey, Came>,
    /// What came into the bank, by channel, merchant and reference.
    payouts: BTreeMap<[Arc<str>; 3], PaidOut>,
}

fn noted(exception: Id, note: ReconNote) -> ReconEvent {
    let province = id::place(exception.as_str()).map(|place| place.province).unwrap_or_default();
    ReconEvent::Noted { note, province, exception: Some(exception) }
}

impl Cases {
    /// What a worker's finding should become, stored at that moment.
    pub fn found(&mut self, event: &StatementEvent, stored_at: Moment) -> Vec<ReconEvent> {
        let piece = &event.piece;
        vec![match &event.fact {
            StatementFact::Matched { term, sums, fees, stays, hash } => {
                let at = (piece.channel.clone(), piece.merchant.clone(), piece.day.0, piece.province.0, *term);
                let result = (hash.clone(), stays.clone());
                if self.pieces.insert(at, result.clone()).as_ref() == Some(&result) {
                    ReconEvent::Noted { note: ReconNote::AlreadyKnown, province: piece.province, exception: None }
                } else {
                    let (sums, (hash, stays)) = (sums.clone(), result);
                    ReconEvent::Matched { piece: piece.clone(), term: *term, sums, fees: *fees, stays, hash }
                }
            }
            StatementFact::Differs { difference, line, payment, nth } => {
                let exception = piece.exception(*difference, line.as_deref(), payment.as_deref(), *nth);
                let known = self.cases.get(&exception);
                match known {
                    Some(case) if case.is_closed && !case.is_explained => noted(exception, ReconNote::AlreadyClosed),
                    Some(case) if !case.is_closed => noted(exception, ReconNote::AlreadyKnown),
                    // It is new, or was explained and is found again.
                    _ => {
                        let again = known.is_some();
                        let age = Age::of_days(days_after(piece.day, stored_at));
                        let (day, line, payment) = (piece.day, line.clone(), payment.clone());
                        let gap = Gap { channel: piece.channel.clone(), money: more(line.as_deref(), payment.as_deref()) };
                        let (wanted, wanted_by, is_closed, is_explained, is_written_off) = (None, None, false, false, false);
                        let case = Case { age, day, line: line.clone(), wanted, wanted_by, is_closed, is_explained, is_written_off, gap };
                        self.cases.insert(exception, case);
                        ReconEvent::ExceptionOpened { exception, piece: piece.clone(), difference: *difference, line, payment, age, again }
                    }
                }
            }
            StatementFact::Explained { exception, term } => match self.cases.get_mut(exception) {
                None => noted(*exception, ReconNote::Unknown),
                Some(case) if case.is_written_off => {
                    (case.is_written_off, case.is_explained) = (false, true);
                    ReconEvent::WriteOffUndone { exception: *exception, term: *term, gap: Box::new(case.gap.clone()) }
                }
                Some(case) if case.is_closed => noted(*exception, ReconNote::AlreadyClosed),
                Some(case) => {
                    (case.is_closed, case.is_explained) = (true, true);
                    let (why, term, gap) = (Closing::Explained, Some(*term), Some(Box::new(case.gap.clone())));
                    ReconEvent::ExceptionClosed { exception: *exception, why, term, by: None, approved: None, gap }
                }
            },
            StatementFact::PaidOut { paid } => {
                let name = [piece.channel.clone(), piece.merchant.clone(), paid.reference.clone()];
                let told = |paid: &PaidOut| (paid.days.clone(), paid.amount, paid.operator);
                match self.payouts.get(&name) {
                    Some(first) if told(first) == told(paid) => {
                        ReconEvent::Noted { note: ReconNote::AlreadyKnown, province: piece.province, exception: None }
                    }
                    Some(first) => ReconEvent::PayoutDiffers { piece: piece.clone(), paid: paid.clone(), booked: first.amount },
                    None => {
                        self.payouts.insert(name, (**paid).clone());
                        ReconEvent::PaidOut { piece: piece.clone(), paid: paid.clone() }
                    }
                }
            }
        }]
    }

    /// What is wrong with what a person's word became.
    pub fn said(&mut self, event: &DeskEvent, actual: &[&ReconEvent]) -> Vec<String> {
        let Says::Exception { exception, step } = &event.says else { return vec!["it is about no exception".into()] };
        let mut wrong = Vec::new();
        if actual.iter().any(|event| event.exception() != Some(*exception)) {
            wrong.push(format!("it was said of exception {exception}, and became {actual:?}"));
        }
        let Some(case) = self.cases.get_mut(exception).filter(|case| !case.is_closed) else {
            if !matches!(actual, [ReconEvent::Noted { note: ReconNote::Unknown | ReconNote::AlreadyClosed, .. }]) {
                wrong.push(format!("exception {exception} is not open, and it became {actual:?}"));
            }
            return wrong;
        };
        let said = event.said();
        let is_right = match (step, actual) {
            (ExceptionStep::Assign(to), [ReconEvent::ExceptionAssigned { owner, by, .. }]) => owner == to && *by == said,
            (ExceptionStep::Requery, [ReconEvent::ExceptionActed { act: Act::Requeried, by, sends: Some(_), .. }]) => *by == said,
            (ExceptionStep::Repair | ExceptionStep::Refund, [ReconEvent::ExceptionActed { act, sends: Some(sends), .. }, closed]) => {
                let (wanted, why) =
                    if *step == ExceptionStep::Repair { (Act::Repaired, Closing::Repaired) } else { (Act::RefundAsked, Closing::Refunded) };
                let is_closed = matches!(closed, ReconEvent::ExceptionClosed { why: told, by: Some(by), .. } if *told == why && *by == said);
                case.is_closed = true;
                *act == wanted && is_closed && is_of(sends, case)
            }
            (ExceptionStep::WriteOff, [ReconEvent::ExceptionActed { act: Act::WriteOffWanted, said: id, by, sends: None, .. }]) => {
                (case.wanted, case.wanted_by) = (Some(*id), Some(by.author));
                *id == event.id && *by == said
            }
            (ExceptionStep::WriteOff, [ReconEvent::ExceptionClosed { why: Closing::WrittenOff, by: Some(by), approved: None, .. }]) => {
                (case.is_closed, case.is_written_off) = (true, true);
                *by == said
            }
            (ExceptionStep::Approve(of), [ReconEvent::ExceptionClosed { why: Closing::WrittenOff, by: Some(by), approved: Some(other), .. }]) => {
                (case.is_closed, case.is_written_off) = (true, true);
                case.wanted == Some(*of) && case.wanted_by == Some(by.author) && by.author != other.author && *other == said
            }
            (ExceptionStep::Approve(of), [ReconEvent::Noted { note: ReconNote::SamePerson, .. }]) => {
                case.wanted == Some(*of) && case.wanted_by == Some(event.author)
            }
            (ExceptionStep::Approve(of), [ReconEvent::Noted { note: ReconNote::NotWanted, .. }]) => case.wanted != Some(*of),
            (_, [ReconEvent::Noted { note, .. }]) => !matches!(note, ReconNote::Unknown | ReconNote::AlreadyClosed),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("of {step:?} of exception {exception} became {actual:?}"));
        }
        wrong
    }

    /// What is wrong with what time brought.
    pub fn grew(&mut self, now: Moment, actual: &[&ReconEvent]) -> Vec<String> {
        let mut wrong = Vec::new();
        for event in actual {
            let ReconEvent::ExceptionAged { exception, age } = event else {
                wrong.push(format!("time does not bring {event:?}"));
                continue;
            };
            match self.cases.get_mut(exception) {
                Some(case) if !case.is_closed && *age > case.age && *age <= Age::of_days(days_after(case.day, now)) => case.age = *age,
                _ => wrong.push(format!("exception {exception} is not {age:?}")),
            }
        }
        wrong
    }
}

/// Whether what goes out is about the money of the exception's own line.
fn is_of(sends: &Effect, case: &Case) -> bool {
    use schema::ChannelFact::{Failed, RefundAnswered, Succeeded};
    let (Effect::Channel(event), Some(line)) = (sends, &case.line) else { return false };
    match &event.fact {
        Succeeded { attempt, transaction, amount } | Failed { attempt, transaction, amount } => {
            (attempt.as_str(), transaction, amount) == (&*line.number, &line.transaction, &line.amount)
        }
        RefundAnswered { refund, succeeded: true, .. } => refund.as_str() == &*line.refund,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
