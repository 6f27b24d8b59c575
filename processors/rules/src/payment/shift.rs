//! Cash at a booth: a named shift takes it and gives it back, is counted, and ends with its difference.
//!
//! Invariants
//! 1. Cash is taken by a shift that has begun and has not ended, and by no other   (`tests::cash_is_taken_by_an_open_shift`).
//! 2. A shift ends once its drawer was counted after the last cash   (`tests::a_shift_ends_with_its_difference`).
//! 3. A name is one shift, for ever   (`tests::a_shift_ends_with_its_difference`).
//!
//! Not here: which money counts (`payment`): cash is money like any other.

use crate::Facts;
use schema::{
    DeskEvent, Entity, Id, Money, Recorded,
    desk::{Said, ShiftName, ShiftStep},
    entity::Shift,
    journal::{Note, PaymentEvent, ShiftAt},
};

/// Which shift is meant.
pub fn at(facts: &Facts, event: &DeskEvent, name: ShiftName) -> ShiftAt {
    let province = facts.reference.lot(&event.lot).map(|lot| lot.declared.province).unwrap_or_default();
    ShiftAt { lot: event.lot, province, name }
}

/// What happens to a shift itself.
pub fn step(known: Option<&Shift>, facts: &Facts, event: &DeskEvent, name: ShiftName, step: ShiftStep) -> PaymentEvent {
    let (shift, by) = (at(facts, event, name), event.said());
    match (known, step) {
        (None, ShiftStep::Opened(float)) => PaymentEvent::ShiftOpened { shift, float, by },
        (None, _) => PaymentEvent::ShiftNoted { shift, note: Note::Unknown, by },
        (Some(_), ShiftStep::Opened(_)) => PaymentEvent::ShiftNoted { shift, note: Note::AlreadyKnown, by },
        (Some(Shift { closed: Some(_), .. }), _) => PaymentEvent::ShiftNoted { shift, note: Note::AlreadyClosed, by },
        (Some(known), ShiftStep::Counted(counted)) if counted.currency != known.float.currency => {
            PaymentEvent::ShiftNoted { shift, note: Note::AmountDiffers, by }
        }
        (Some(_), ShiftStep::Counted(counted)) => PaymentEvent::ShiftCounted { shift, counted, by },
        (Some(known), ShiftStep::Closed) => match known.counted {
            Some(counted) => PaymentEvent::ShiftClosed { shift, expected: known.expected(), counted, by },
            None => PaymentEvent::ShiftNoted { shift, note: Note::NotCounted, by },
        },
    }
}

/// Cash goes into its drawer, or out of it, or why not.
pub fn take(known: Option<&Shift>, shift: ShiftAt, order: Id, amount: Money, by: Said) -> Result<PaymentEvent, Box<PaymentEvent>> {
    let note = match known {
        None => Note::Unknown,
        Some(Shift { closed: Some(_), .. }) => Note::AlreadyClosed,
        Some(known) if known.float.currency != amount.currency => Note::AmountDiffers,
        Some(_) => return Ok(PaymentEvent::ShiftTook { shift, order, amount, by }),
    };
    Err(Box::new(PaymentEvent::ShiftNoted { shift, note, by }))
}

/// The fold.
pub fn evolve(entity: Option<Entity>, recorded: &Recorded, event: &PaymentEvent) -> Entity {
    let known = match entity {
        Some(Entity::Shift(shift)) => Some(shift),
        _ => None,
    };
    let shift = match (event, known) {
        (PaymentEvent::ShiftOpened { shift, float, by }, _) => {
            let (taken, times, counted, closed) = (0, 0, None, None);
            Box::new(Shift { name: shift.name, lot: shift.lot, float: *float, taken, times, opened: by.clone(), counted, closed })
        }
        (PaymentEvent::ShiftTook { amount, .. }, Some(mut known)) => {
            known.taken = known.taken.saturating_add(amount.minor);
            known.times = known.times.saturating_add(1);
            // Whoever has counted before counts again.
            known.counted = None;
            known
        }
        (PaymentEvent::ShiftCounted { counted, .. }, Some(mut known)) => {
            known.counted = Some(*counted);
            known
        }
        (PaymentEvent::ShiftClosed { by, .. }, Some(mut known)) => {
            known.closed = Some(by.clone());
            known
        }
        _ => unreachable!("{} {} does not concern a shift that has not begun", recorded.at.0, recorded.event.kind()),
    };
    Entity::Shift(shift)
}

#[cfg(test)]
mod tests;
