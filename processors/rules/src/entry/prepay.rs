//! Who pays before the exit: a price is asked for inside, and what is paid for it counts for the stay.
//!
//! Invariants
//! 1. What is paid inside counts for the stay, once   (`tests::what_is_paid_inside_counts`).
//! 2. A price that was asked for before that payment was known is asked for again with it   (`tests::what_is_paid_inside_counts`).
//! 3. What was paid inside and fails is owed, and counts for the stay all the same: paying it opens no exit that another price closes
//!    (`tests::what_was_paid_inside_and_fails_is_owed`).
//!
//! Not here: what it costs and how long a price stands (`quote`), that no two of its orders are paid (`pricing`, `payment`).

use super::hand;
use crate::{Body, Facts, Input, View};
use schema::{
    Entity, Event, GateEvent, Id, Key, Money, Table,
    entity::{Session, Stage},
    journal::{Departure, Note, OrderEvent, SessionEvent},
    rate::Prepaid,
    time::MINUTE,
};

/// Somebody asks what a stay costs until now.
pub(super) fn asked(session: &Session, event: &GateEvent) -> Vec<SessionEvent> {
    let departure = Departure { lane: event.lane, left_at: event.seen_at, event: event.id, local: false, deducts: None };
    let (right, terms) = (session.right.clone().map(Box::new), session.terms());
    vec![SessionEvent::Asked { stay: session.stay.clone(), departure, sequence: session.sequence.saturating_add(1), right, terms }]
}

/// An order was paid whose car was inside.
pub(super) fn paid(view: &dyn View, facts: &Facts, input: &Input) -> Option<Vec<SessionEvent>> {
    let Body::Journal(recorded) = &input.body else { return None };
    let Event::Order(OrderEvent::Paid { order, session, lot, province, amount, prepays: Some(prepays), .. }) = &recorded.event else {
        return None;
    };
    let noted = |note| vec![SessionEvent::Noted { note, concerns: Some(*session), lot: *lot, province: *province, ask: None }];
    let session = match Key::of(Table::Sessions, *session).and_then(|key| view.get(&key)) {
        Some(Entity::Session(session)) if session.stage == Stage::Closed => return Some(noted(Note::AlreadyClosed)),
        Some(Entity::Session(session)) => &**session,
        _ => return Some(noted(Note::Unknown)),
    };
    let grace = facts.reference.lot(lot).map_or(0, |lot| i64::from(lot.declared.exit_grace_min));
    let leave_by = prepays.paid_at.plus(grace.saturating_mul(MINUTE));
    let paid = Prepaid { id: order.as_str().into(), at: prepays.paid_at, amount: *amount, until: prepays.until };
    let is_newest = session.sequence == prepays.sequence;
    let asker = session.asked.as_ref().filter(|_| is_newest);
    let told = asker.map(|asked| (asked.lane, asked.event, input.received_at.plus(facts.limits.command_life)));
    let counts = SessionEvent::Prepaid { stay: session.stay.clone(), paid: paid.clone(), sequence: prepays.sequence, leave_by, told };
    // A newer price waits in vain, because it does not know of this payment.
    let again = if is_newest { None } else { ask_again(&with(session.clone(), &paid, prepays.sequence)) };
    Some(std::iter::once(counts).chain(again).collect())
}

/// Whether this order was paid inside, and what paid it has failed since.
pub(super) fn has_failed(session: &Session, order: Id) -> bool {
    let is_owed = session.owes.as_ref().is_some_and(|(owed, ..)| *owed == order);
    is_owed && session.prepaid.iter().any(|paid| &*paid.id == order.as_str())
}

/// What was paid inside had failed, and is paid now: nothing changes but that it is owed no more.
pub(super) fn paid_anew(session: &Session, order: Id) -> SessionEvent {
    let known = session.prepaid.iter().find(|paid| &*paid.id == order.as_str());
    let paid = known.cloned().unwrap_or_else(|| unreachable!("`has_failed` has found it"));
    SessionEvent::Prepaid { stay: session.stay.clone(), leave_by: paid.until, paid, sequence: SessionEvent::PAID_ANEW, told: None }
}

/// The price that was asked for, asked for again: it depends on something that has changed.
pub(super) fn ask_again(session: &Session) -> Option<SessionEvent> {
    let (stay, sequence) = (session.stay.clone(), session.sequence.saturating_add(1));
    let (right, terms) = (session.right.clone().map(Box::new), session.terms());
    match (session.stage, &session.departure, &session.asked) {
        (Stage::Leaving, Some(departure), _) => Some(SessionEvent::Leaving { stay, departure: departure.clone(), sequence, right, terms }),
        (Stage::Open, _, Some(asked)) => Some(SessionEvent::Asked { stay, departure: asked.clone(), sequence, right, terms }),
        _ => None,
    }
}

/// A session that was settled by an order. If what had paid another one inside has failed since, it owes that still.
pub(super) fn closed(session: Session, order: Id, paid: Money) -> Session {
    let owes = session.owes.filter(|(owed, ..)| *owed != order && has_failed(&session, *owed));
    let closed = Session { stage: Stage::Closed, order: Some(order), paid: Some(paid), owes: None, ..session };
    if owes.is_some() { Session { owes, ..hand::reopened(closed) } } else { closed }
}

/// A session for which something was paid.
pub(super) fn with(mut session: Session, paid: &Prepaid, sequence: u32) -> Session {
    session.owes = session.owes.filter(|(owed, ..)| owed.as_str() != &*paid.id);
    if sequence == SessionEvent::PAID_ANEW {
        return session;
    }
    session.prepaid.push(paid.clone());
    session.prepaid.sort_by_key(|paid| paid.at);
    if session.sequence == sequence {
        session.asked = None;
    }
    session
}

#[cfg(test)]
mod tests;
