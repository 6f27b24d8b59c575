//! What becomes of a comparison with a channel's statement: pieces that match, and exceptions, each open until it is closed for a reason. And of what channels
//! pay out: each reference of the bank is one payout, for ever.
//!
//! Invariants
//! 1. What is found again changes nothing, whoever found it   (`tests::a_piece_that_is_compared_again_changes_nothing`).
//! 2. In any order, and with any of it twice, the same exceptions are open in the end   (`tests::any_order_ends_the_same`).
//! 3. An exception is closed for a reason, and once unless it is found again   (`tests::laws`).
//! 4. It grows older with the days until it is closed   (`tests::an_exception_grows_older_until_it_is_closed`).
//! 5. What was explained and is found again is open again; what a person closed is not found anew   (`tests::what_was_explained_can_come_back`).
//! 6. Of stays without their money what was told last holds   (`tests::other_stays_without_their_money_are_told`).
//! 7. What was written off and is found no more is taken back, once   (`tests::a_write_off_is_undone_when_the_money_comes`, `tests::laws`).
//! 8. A payout is recorded once, and another one under its reference is refused   (`tests::a_reference_is_paid_out_once`).
//!
//! Not here: what differs (`reconcile`), what a person may do about it (`act`), which money counts (`payment`).

mod act;

use crate::{Body, Facts, Input, Rules, Touch, View, no_window, nothing};
use schema::{
    DeskEvent, Effect, Entity, Event, Id, Journal, Key, Recorded, Table,
    desk::{Said, Says},
    exception::{Act, Closing, Exception, Happened, Piece, PieceAt, ReconEvent, ReconNote, StatementEvent, StatementFact, days_after},
    id,
    payout::{PaidOut, Payout},
    statement::Age,
};

/// The processor `reconciliation`.
pub const RULES: Rules =
    Rules { name: "reconciliation", journal: Journal::Recon, concerns, needs, wants: nothing, audits: no_window, decide, touches, evolve, effects };

fn concerns(body: &Body) -> bool {
    match body {
        Body::Statement(_) | Body::Tick(_) => true,
        Body::Desk(event) => event.says.decided_in() == Journal::Recon,
        Body::Gate(_) | Body::Channel(_) | Body::Journal(_) => false,
    }
}

fn needs(_: &dyn View, _: &Facts, input: &Input) -> Vec<Key> {
    let exception = match &input.body {
        Body::Statement(event) => match &event.fact {
            StatementFact::Matched { term, .. } => return vec![event.piece.key(*term)],
            StatementFact::PaidOut { paid } => return vec![paid.row(&event.piece)],
            StatementFact::Differs { .. } | StatementFact::Explained { .. } => event.exception(),
        },
        Body::Desk(event) => spoken_of(event),
        Body::Tick(key) => return vec![*key],
        Body::Gate(_) | Body::Channel(_) | Body::Journal(_) => None,
    };
    exception.and_then(row).into_iter().collect()
}

/// The exception that a person speaks of.
fn spoken_of(event: &DeskEvent) -> Option<Id> {
    if let Says::Exception { exception, .. } = &event.says { Some(*exception) } else { None }
}

fn row(exception: Id) -> Option<Key> {
    Key::of(Table::Exceptions, exception)
}

fn decide(view: &dyn View, facts: &Facts, input: &Input) -> Vec<Event> {
    let known = |exception: Id| match row(exception).and_then(|key| view.get(&key)) {
        Some(Entity::Exception(exception)) => Some(&**exception),
        _ => None,
    };
    let events = match &input.body {
        Body::Statement(event) => found(view, known, input, event),
        Body::Desk(event) => spoken_of(event).map(|exception| act::decide(known(exception), facts, input, event, exception)).unwrap_or_default(),
        Body::Tick(key) => known(key.id).and_then(|exception| grown(exception, input)).into_iter().collect(),
        Body::Gate(_) | Body::Channel(_) | Body::Journal(_) => Vec::new(),
    };
    events.into_iter().map(Event::Recon).collect()
}

fn noted(exception: Id, note: ReconNote) -> ReconEvent {
    let province = id::place(exception.as_str()).map(|place| place.province).unwrap_or_default();
    ReconEvent::Noted { note, province, exception: Some(exception) }
}

/// A worker has found something.
fn found<'a>(view: &dyn View, known: impl Fn(Id) -> Option<&'a Exception>, input: &Input, event: &StatementEvent) -> Vec<ReconEvent> {
    let piece = event.piece.clone();
    match &event.fact {
        StatementFact::Matched { term, sums, fees, stays, hash } => {
            let before = view.get(&piece.key(*term)).and_then(|entity| if let Entity::Piece(piece) = entity { Some(piece) } else { None });
            vec![match before {
                // Another comparison came to the same, before one that came to something else was told of.
                Some(before) if before.hash == *hash && before.stays == *stays => {
                    ReconEvent::Noted { note: ReconNote::AlreadyKnown, province: piece.province, exception: None }
                }
                _ => ReconEvent::Matched { piece, term: *term, sums: sums.clone(), fees: *fees, stays: stays.clone(), hash: hash.clone() },
            }]
        }
        StatementFact::Differs { difference, line, payment, nth } => {
            let exception = piece.exception(*difference, line.as_deref(), payment.as_deref(), *nth);
            let again = match known(exception).map(|known| known.closed) {
                None => false,
                // A comparison found it no more, and another one does.
                Some(Some(Closing::Explained)) => true,
                Some(Some(Closing::Repaired | Closing::Refunded | Closing::WrittenOff)) => return vec![noted(exception, ReconNote::AlreadyClosed)],
                Some(None) => return vec![noted(exception, ReconNote::AlreadyKnown)],
            };
            let (difference, line, payment) = (*difference, line.clone(), payment.clone());
            let age = Age::of_days(days_after(piece.day, input.received_at));
            vec![ReconEvent::ExceptionOpened { exception, piece, difference, line, payment, age, again }]
        }
        StatementFact::Explained { exception, term } => vec![match known(*exception) {
            None => noted(*exception, ReconNote::Unknown),
            // The money has come, or is booked, after all.
            Some(known) if known.closed == Some(Closing::WrittenOff) => {
                ReconEvent::WriteOffUndone { exception: *exception, term: *term, gap: Box::new(known.booked()) }
            }
            Some(Exception { closed: Some(_), .. }) => noted(*exception, ReconNote::AlreadyClosed),
            Some(known) => {
                let (why, term, gap) = (Closing::Explained, Some(*term), Some(Box::new(known.booked())));
                ReconEvent::ExceptionClosed { exception: *exception, why, term, by: None, approved: None, gap }
            }
        }],
        StatementFact::PaidOut { paid } => vec![paid_out(view, piece, paid)],
    }
}

/// A payout was told of. Of its reference it is the first, or the same again; else a person must look at it.
fn paid_out(view: &dyn View, piece: PieceAt, paid: &PaidOut) -> ReconEvent {
    let known = view.get(&paid.row(&piece)).and_then(|entity| if let Entity::Payout(payout) = entity { Some(&payout.paid) } else { None });
    match known {
        None => ReconEvent::PaidOut { piece, paid: Box::new(paid.clone()) },
        Some(known) if known.is_same(paid) => ReconEvent::Noted { note: ReconNote::AlreadyKnown, province: piece.province, exception: None },
        Some(known) => ReconEvent::PayoutDiffers { piece, paid: Box::new(paid.clone()), booked: known.amount },
    }
}

/// An exception is older than it was, if it is.
fn grown(exception: &Exception, input: &Input) -> Option<ReconEvent> {
    let age = Age::of_days(days_after(exception.piece.day, input.received_at));
    let is_older = exception.closed.is_none() && age > exception.age;
    is_older.then_some(ReconEvent::ExceptionAged { exception: exception.exception, age })
}

fn touches(event: &Event) -> Vec<Touch> {
    let Event::Recon(event) = event else { return Vec::new() };
    let touch = match event {
        // It is written whole, whatever was there.
        ReconEvent::Matched { piece, term, .. } => Some(Touch { key: piece.key(*term), born: true }),
        ReconEvent::ExceptionOpened { exception, again, .. } => row(*exception).map(|key| Touch { key, born: !*again }),
        ReconEvent::ExceptionAssigned { exception, .. }
        | ReconEvent::ExceptionActed { exception, .. }
        | ReconEvent::ExceptionAged { exception, .. }
        | ReconEvent::ExceptionClosed { exception, .. }
        | ReconEvent::WriteOffUndone { exception, .. } => row(*exception).map(|key| Touch { key, born: false }),
        ReconEvent::PaidOut { piece, paid } => Some(Touch { key: paid.row(piece), born: true }),
        ReconEvent::PayoutDiffers { piece, paid, .. } => Some(Touch { key: paid.row(piece), born: false }),
        ReconEvent::Noted { .. } => None,
    };
    touch.into_iter().collect()
}

fn evolve(_: &Key, entity: Option<Entity>, recorded: &Recorded) -> Entity {
    let Event::Recon(event) = &recorded.event else { unreachable!("RECON holds its own events alone") };
    match (event, entity) {
        (ReconEvent::Matched { piece, term, sums, stays, hash, .. }, _) => {
            Entity::Piece(Box::new(Piece { piece: piece.clone(), term: *term, sums: sums.clone(), stays: stays.clone(), hash: hash.clone() }))
        }
        (ReconEvent::ExceptionOpened { exception, piece, difference, line, payment, age, again: false }, _) => {
            let (piece, line, payment) = (piece.clone(), line.clone(), payment.clone());
            let (exception, difference, age) = (*exception, *difference, *age);
            let (owner, wanted, asked, closed) = (None, None, 0, None);
            let mut opened = Exception { exception, piece, difference, line, payment, age, owner, wanted, history: Vec::new(), asked, closed };
            happened(&mut opened, recorded, event.kind(), None);
            Entity::Exception(Box::new(opened))
        }
        (ReconEvent::PaidOut { piece, paid }, _) => {
            Entity::Payout(Box::new(Payout { at: piece.clone(), paid: (**paid).clone(), refused: Vec::new() }))
        }
        (ReconEvent::PayoutDiffers { paid, .. }, Some(Entity::Payout(mut payout))) => {
            if payout.refused.len() >= Payout::REFUSED_MAX {
                payout.refused.remove(0);
            }
            payout.refused.push((**paid).clone());
            Entity::Payout(payout)
        }
        (event, Some(Entity::Exception(mut exception))) => {
            fold(&mut exception, recorded, event);
            Entity::Exception(exception)
        }
        _ => unreachable!("{} {} does not concern an exception or a payout that is not there", recorded.at.0, event.kind()),
    }
}

fn fold(exception: &mut Exception, recorded: &Recorded, event: &ReconEvent) {
    match event {
        ReconEvent::ExceptionAssigned { owner, by, .. } => {
            exception.owner = Some(*owner);
            happened(exception, recorded, event.kind(), Some(by));
        }
        ReconEvent::ExceptionActed { act, said, by, .. } => {
            match act {
                Act::Requeried => exception.asked = exception.asked.saturating_add(1),
                Act::WriteOffWanted => exception.wanted = Some(Box::new((*said, by.clone()))),
                Act::Repaired | Act::RefundAsked => {}
            }
            happened(exception, recorded, act.as_str(), Some(by));
        }
        ReconEvent::ExceptionAged { age, .. } => {
            exception.age = *age;
            happened(exception, recorded, age.as_str(), None);
        }
        ReconEvent::ExceptionClosed { why, by, approved, .. } => {
            exception.closed = Some(*why);
            exception.wanted = None;
            happened(exception, recorded, why.as_str(), approved.as_ref().or(by.as_ref()));
        }
        ReconEvent::WriteOffUndone { .. } => {
            exception.closed = Some(Closing::Explained);
            happened(exception, recorded, event.kind(), None);
        }
        // It is what it was, as old as it is now.
        ReconEvent::ExceptionOpened { line, payment, age, .. } => {
            (exception.line, exception.payment) = (line.clone(), payment.clone());
            (exception.age, exception.closed) = (*age, None);
            happened(exception, recorded, event.kind(), None);
        }
        // What concerns none is nothing to it.
        ReconEvent::Matched { .. } | ReconEvent::PaidOut { .. } | ReconEvent::PayoutDiffers { .. } | ReconEvent::Noted { .. } => {}
    }
}

fn happened(exception: &mut Exception, recorded: &Recorded, what: &str, by: Option<&Said>) {
    if exception.history.len() >= Exception::HISTORY_MAX {
        exception.history.remove(0);
    }
    exception.history.push(Happened { at: recorded.at, what: what.into(), by: by.cloned() });
}

fn effects(recorded: &Recorded) -> Vec<Effect> {
    match &recorded.event {
        Event::Recon(ReconEvent::ExceptionActed { sends: Some(sends), .. }) => vec![(**sends).clone()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
