//! What lies in the drawers of cashiers.

use schema::{
    DeskEvent, Id, LotId, Money,
    desk::{ShiftName, ShiftStep},
    id::Province,
    journal::{Note, PaymentEvent, ShiftAt},
};
use std::collections::BTreeMap;

/// A drawer: what is in it by the books, what was counted since, and whether the shift is over.
struct Drawer {
    holds: Money,
    counted: Option<Money>,
    over: bool,
}

/// All of a partition's, by lot and shift.
#[derive(Default)]
pub(super) struct Drawers(BTreeMap<(LotId, ShiftName), Drawer>);

impl Drawers {
    /// Cash goes into a drawer or out of it, or why not.
    pub(super) fn take(
        &mut self,
        event: &DeskEvent,
        name: ShiftName,
        amount: Money,
        province: Province,
        order: Id,
    ) -> Result<PaymentEvent, Box<PaymentEvent>> {
        let (shift, by) = (ShiftAt { lot: event.lot, province, name }, event.said());
        let note = match self.0.get_mut(&(event.lot, name)) {
            None => Note::Unknown,
            Some(drawer) if drawer.over => Note::AlreadyClosed,
            Some(drawer) if drawer.holds.currency != amount.currency => Note::AmountDiffers,
            Some(drawer) => {
                drawer.holds.minor += amount.minor;
                drawer.counted = None;
                return Ok(PaymentEvent::ShiftTook { shift, order, amount, by });
            }
        };
        Err(Box::new(PaymentEvent::ShiftNoted { shift, note, by }))
    }

    /// What is said of a shift.
    pub(super) fn shift(&mut self, event: &DeskEvent, name: ShiftName, step: ShiftStep, province: Province) -> PaymentEvent {
        let (shift, by) = (ShiftAt { lot: event.lot, province, name }, event.said());
        let Some(drawer) = self.0.get_mut(&(event.lot, name)) else {
            let ShiftStep::Opened(float) = step else { return PaymentEvent::ShiftNoted { shift, note: Note::Unknown, by } };
            self.0.insert((event.lot, name), Drawer { holds: float, counted: None, over: false });
            return PaymentEvent::ShiftOpened { shift, float, by };
        };
        match step {
            ShiftStep::Opened(_) => PaymentEvent::ShiftNoted { shift, note: Note::AlreadyKnown, by },
            _ if drawer.over => PaymentEvent::ShiftNoted { shift, note: Note::AlreadyClosed, by },
            ShiftStep::Counted(counted) if counted.currency != drawer.holds.currency => {
                PaymentEvent::ShiftNoted { shift, note: Note::AmountDiffers, by }
            }
            ShiftStep::Counted(counted) => {
                drawer.counted = Some(counted);
                PaymentEvent::ShiftCounted { shift, counted, by }
            }
            ShiftStep::Closed => match drawer.counted {
                None => PaymentEvent::ShiftNoted { shift, note: Note::NotCounted, by },
                Some(counted) => {
                    drawer.over = true;
                    PaymentEvent::ShiftClosed { shift, expected: drawer.holds, counted, by }
                }
            },
        }
    }
}
