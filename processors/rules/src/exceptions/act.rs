//! What a person does about an exception: looks after it, has its channel asked, sends what is lacking, gives back a surplus, or writes it off.
//!
//! What is lacking goes in by the door of all channels, so whatever is promised of money holds for it: it counts once, pays its order or goes back, and is in
//! the ledger. It may be sent twice, for its key is that of the channel's own notification.
//!
//! Invariants
//! 1. What is sent is what the channel would have told us   (`tests::what_is_lacking_is_what_the_channel_would_have_said`).
//! 2. Nothing is sent about a number that is none of ours   (`tests::a_strangers_number_is_a_persons_work`).
//! 3. Above the limit two persons write off   (`tests::above_the_limit_two_persons_write_off`).
//!
//! Not here: who may say it (the operator API), what becomes of what is sent (`payment`).

use super::noted;
use crate::{Facts, Input};
use schema::{
    ChannelCall, ChannelEvent, ChannelFact, DeskEvent, Effect, Id,
    desk::{ExceptionStep, Said, Says},
    exception::{self, Closing, Exception, ReconEvent, ReconNote},
    id::{self, order_of},
    statement::{Difference, LineKind, Standing, StatementLine},
};

/// What a person said about an exception.
pub fn decide(known: Option<&Exception>, facts: &Facts, input: &Input, event: &DeskEvent, id: Id) -> Vec<ReconEvent> {
    let note = |note| vec![noted(id, note)];
    let Some(known) = known else { return note(ReconNote::Unknown) };
    if known.closed.is_some() {
        return note(ReconNote::AlreadyClosed);
    }
    if input.received_at.since(event.said_at) > facts.limits.late_max {
        return note(ReconNote::TooLate);
    }
    let Says::Exception { step, .. } = &event.says else { return Vec::new() };
    match step {
        ExceptionStep::Assign(owner) if known.owner == Some(*owner) => note(ReconNote::AlreadyKnown),
        ExceptionStep::Assign(owner) => vec![ReconEvent::ExceptionAssigned { exception: id, owner: *owner, by: event.said() }],
        ExceptionStep::Requery => match query(known, event) {
            Some(call) => vec![acted(known, exception::Act::Requeried, event, Some(Effect::Call(call)))],
            None => note(ReconNote::NotOurs),
        },
        ExceptionStep::Repair => match lacking(known) {
            Ok(fact) => sent(known, exception::Act::Repaired, event, fact),
            Err(why) => note(why),
        },
        ExceptionStep::Refund => match surplus(known) {
            Ok(fact) => sent(known, exception::Act::RefundAsked, event, fact),
            Err(why) => note(why),
        },
        ExceptionStep::WriteOff if known.gap().saturating_abs() <= facts.limits.refund_alone_max => {
            vec![closed(known, Closing::WrittenOff, event.said(), None)]
        }
        ExceptionStep::WriteOff => vec![acted(known, exception::Act::WriteOffWanted, event, None)],
        ExceptionStep::Approve(said) => match known.wanted.as_deref() {
            Some((wanted, by)) if wanted == said && by.author == event.author => note(ReconNote::SamePerson),
            Some((wanted, by)) if wanted == said => {
                vec![closed(known, Closing::WrittenOff, by.clone(), Some(event.said()))]
            }
            _ => note(ReconNote::NotWanted),
        },
    }
}

fn acted(known: &Exception, act: exception::Act, event: &DeskEvent, sends: Option<Effect>) -> ReconEvent {
    ReconEvent::ExceptionActed { exception: known.exception, act, said: event.id, by: event.said(), sends: sends.map(Box::new) }
}

/// What is lacking is on its way, and will not be lost: the exception is settled.
fn sent(known: &Exception, act: exception::Act, event: &DeskEvent, fact: ChannelEvent) -> Vec<ReconEvent> {
    let why = if act == exception::Act::RefundAsked { Closing::Refunded } else { Closing::Repaired };
    vec![acted(known, act, event, Some(Effect::Channel(fact))), closed(known, why, event.said(), None)]
}

fn closed(known: &Exception, why: Closing, by: Said, approved: Option<Said>) -> ReconEvent {
    let (exception, gap) = (known.exception, Some(Box::new(known.booked())));
    ReconEvent::ExceptionClosed { exception, why, term: None, by: Some(by), approved, gap }
}

/// The question how a payment stands, where it is ours.
fn query(known: &Exception, event: &DeskEvent) -> Option<ChannelCall> {
    order_of(known.number())?;
    let attempt = known.number().parse().ok()?;
    let of_payment = || known.payment.as_ref().map(|payment| payment.amount);
    let amount = known.line.as_ref().map(|line| line.amount).or_else(of_payment)?;
    let (channel, act) = (known.piece.channel.clone(), schema::channel::Act::Query);
    let (until, tries) = (event.said_at, known.asked.saturating_add(1));
    // What is deducted by the plate has no transaction but its own number.
    let by_plate = known.payment.as_ref().is_some_and(|payment| order_of(&payment.transaction).is_some());
    Some(ChannelCall { attempt, channel, act, amount, until, tries, lot: None, deducts: None, by_plate })
}

/// What the channel would have told us, had it reached us.
fn lacking(known: &Exception) -> Result<ChannelEvent, ReconNote> {
    let line = known.line.as_deref().ok_or(ReconNote::NothingLacking)?;
    match (known.difference, line.kind, line.standing) {
        (Difference::Surplus | Difference::StatusDiffers, LineKind::Trade, Standing::Done) => {
            let booked = known.payment.as_ref().map(|payment| payment.standing);
            // What we booked as paid, or paid for another order, is not lacking.
            if booked == Some(Standing::Done) { Err(ReconNote::NothingLacking) } else { succeeded(known, line) }
        }
        (Difference::StatusDiffers, LineKind::Trade, Standing::Failed) => {
            let is_waiting = known.payment.as_ref().is_some_and(|payment| payment.standing == Standing::Pending);
            let attempt = ours(&line.number)?;
            let fact = ChannelFact::Failed { attempt, transaction: line.transaction.clone(), amount: line.amount };
            if is_waiting { Ok(said(known, line, fact)) } else { Err(ReconNote::NothingLacking) }
        }
        (Difference::RefundDiffers, LineKind::Refund, Standing::Done) => {
            // A refund that we never asked for is a person's work.
            let payment = known.payment.as_deref().ok_or(ReconNote::NotOurs)?;
            let is_open = payment.standing != Standing::Done && payment.amount == line.amount;
            let refund: Id = payment.refund.parse().map_err(|_| ReconNote::NotOurs)?;
            let order: Id = payment.order.parse().map_err(|_| ReconNote::NotOurs)?;
            id::place(refund.as_str()).and(id::place(order.as_str())).ok_or(ReconNote::NotOurs)?;
            let fact = ChannelFact::RefundAnswered { refund, order, succeeded: true, tries: 0, standing: None };
            if is_open { Ok(said(known, line, fact)) } else { Err(ReconNote::NothingLacking) }
        }
        _ => Err(ReconNote::NothingLacking),
    }
}

/// The money that is a surplus: booked first, so that it can go back by the rule of all refunds.
fn surplus(known: &Exception) -> Result<ChannelEvent, ReconNote> {
    match (known.difference, known.line.as_deref()) {
        (Difference::Surplus, Some(line)) if line.standing == Standing::Done => succeeded(known, line),
        _ => Err(ReconNote::NothingLacking),
    }
}

fn succeeded(known: &Exception, line: &StatementLine) -> Result<ChannelEvent, ReconNote> {
    let attempt = ours(&line.number)?;
    if line.amount.minor <= 0 || line.transaction.is_empty() {
        return Err(ReconNote::NothingLacking);
    }
    Ok(said(known, line, ChannelFact::Succeeded { attempt, transaction: line.transaction.clone(), amount: line.amount }))
}

fn ours(number: &str) -> Result<Id, ReconNote> {
    order_of(number).ok_or(ReconNote::NotOurs)?;
    number.parse().map_err(|_| ReconNote::NotOurs)
}

fn said(known: &Exception, line: &StatementLine, fact: ChannelFact) -> ChannelEvent {
    ChannelEvent { channel: known.piece.channel.clone(), happened_at: line.happened_at, fact }
}
