//! What the ledger says of money: each movement becomes one balanced posting.
//!
//! Invariants
//! 1. Debits equal credits in every posting and so in every window   (`tests::every_posting_balances`).
//! 2. What channels owe us is what was captured and not yet given back   (`tests::a_refund_ends_where_it_began`).
//!
//! Not here: which money moves (`payment`).

use crate::{Body, Facts, Input, Rules, Touch, View, nothing};
use schema::{
    Effect, Entity, Event, Journal, Key, LotId, Money, Recorded, Table,
    entity::{Posting, Window},
    id::{self, Kind, Place},
    journal::{Account, Bill, Entry, LedgerEvent, PaymentEvent, Source},
};

/// The processor `settlement`.
pub const RULES: Rules = Rules { name: "settlement", journal: Journal::Ledger, concerns, needs, wants: nothing, decide, touches, evolve, effects };

/// A movement of money: what is debited, what is credited.
struct Movement<'a> {
    bill: &'a Bill,
    source: &'a Source,
    amount: Money,
    debit: Account,
    credit: Account,
}

fn movement(body: &Body) -> Option<Movement<'_>> {
    use Account::{ChannelReceivable, ParkingRevenue, ProvisionalReceivable, RefundLiability};
    let Body::Journal(recorded) = body else { return None };
    let Event::Payment(event) = &recorded.event else { return None };
    let (bill, source, amount, debit, credit) = match event {
        PaymentEvent::Applied { bill, source, amount, provisional: true, .. } => (bill, source, amount, ProvisionalReceivable, ParkingRevenue),
        PaymentEvent::Settled { bill, source, amount } => (bill, source, amount, ChannelReceivable, ProvisionalReceivable),
        PaymentEvent::PassedOver { bill, source, amount, applied: true, .. } | PaymentEvent::Reversed { bill, source, amount, applied: true } => {
            (bill, source, amount, ParkingRevenue, ProvisionalReceivable)
        }
        PaymentEvent::RefundRequested { bill, source, amount, applied: true, tries: 1, .. } => {
            (bill, source, amount, ParkingRevenue, RefundLiability)
        }
        PaymentEvent::Applied { bill, source, amount, held: false, .. } => (bill, source, amount, ChannelReceivable, ParkingRevenue),
        PaymentEvent::Applied { bill, source, amount, held: true, .. } => (bill, source, amount, RefundLiability, ParkingRevenue),
        PaymentEvent::Held { bill, source, amount, provisional: false, .. }
        | PaymentEvent::RefundRequested { bill, source, amount, held: false, tries: 1, .. } => {
            (bill, source, amount, ChannelReceivable, RefundLiability)
        }
        PaymentEvent::Refunded { bill, source, amount, .. } => (bill, source, amount, RefundLiability, ChannelReceivable),
        PaymentEvent::Expected { .. }
        | PaymentEvent::Held { .. }
        | PaymentEvent::PassedOver { .. }
        | PaymentEvent::Reversed { .. }
        | PaymentEvent::Withdrawn { .. }
        | PaymentEvent::RefundWanted { .. }
        | PaymentEvent::RefundRequested { .. }
        | PaymentEvent::RefundStood { .. }
        | PaymentEvent::Chosen { .. }
        | PaymentEvent::Attempted { .. }
        | PaymentEvent::AttemptStood { .. }
        | PaymentEvent::ShiftOpened { .. }
        | PaymentEvent::ShiftTook { .. }
        | PaymentEvent::ShiftCounted { .. }
        | PaymentEvent::ShiftClosed { .. }
        | PaymentEvent::ShiftNoted { .. }
        | PaymentEvent::Noted { .. } => return None,
    };
    Some(Movement { bill, source, amount: *amount, debit, credit })
}

fn concerns(body: &Body) -> bool {
    movement(body).is_some()
}

/// The window of a bill: that of its lot and day; `unknown` while the order is not known.
fn window(bill: &Bill) -> Option<Key> {
    let place = id::place(bill.order.as_str())?;
    let lot = bill.lot.unwrap_or_else(unknown);
    Some(Key { bucket: place.partition, ..Key::window(place.province, lot, bill.day) })
}

fn unknown() -> LotId {
    "unknown".parse().expect("a word is a token")
}

fn needs(_: &dyn View, _: &Facts, input: &Input) -> Vec<Key> {
    movement(&input.body).and_then(|movement| window(movement.bill)).into_iter().collect()
}

fn decide(_: &dyn View, _: &Facts, input: &Input) -> Vec<Event> {
    let Some(Movement { bill, source, amount, debit, credit }) = movement(&input.body) else { return Vec::new() };
    let Some(place) = id::place(bill.order.as_str()) else { return Vec::new() };
    let place = Place { day: bill.day, ..place };
    let posting = id::derive(Kind::Posting, place, &[bill.order.as_str(), &input.key]);
    let entries = vec![Entry { account: debit, debit: amount.minor, credit: 0 }, Entry { account: credit, debit: 0, credit: amount.minor }];
    vec![Event::Ledger(LedgerEvent::Posted {
        posting,
        order: bill.order,
        lot: bill.lot,
        day: bill.day,
        province: place.province,
        channel: source.channel.clone(),
        currency: amount.currency,
        entries,
    })]
}

fn touches(event: &Event) -> Vec<Touch> {
    let Event::Ledger(LedgerEvent::Posted { posting, order, lot, day, .. }) = event else { return Vec::new() };
    let row = Key::of(Table::Ledger, *posting).map(|key| Touch { key, born: true });
    let window = window(&Bill { order: *order, lot: *lot, day: *day }).map(|key| Touch { key, born: false });
    row.into_iter().chain(window).collect()
}

fn evolve(key: &Key, entity: Option<Entity>, recorded: &Recorded) -> Entity {
    let Event::Ledger(LedgerEvent::Posted { posting, order, lot, day, channel, currency, entries, .. }) = &recorded.event else {
        unreachable!("LEDGER holds its own events alone")
    };
    if key.table == Table::Ledger {
        let (channel, entries) = (channel.clone(), entries.clone());
        return Entity::Posting(Box::new(Posting { posting: *posting, order: *order, lot: *lot, day: *day, channel, currency: *currency, entries }));
    }
    let mut window = match entity {
        Some(Entity::Window(window)) => window,
        _ => Window::default(),
    };
    window.postings = window.postings.saturating_add(1);
    for entry in entries {
        let sums = window.sums.entry(format!("{currency:?}/{:?}", entry.account)).or_default();
        *sums = (sums.0.saturating_add(entry.debit), sums.1.saturating_add(entry.credit));
    }
    Entity::Window(window)
}

fn effects(_: &Recorded) -> Vec<Effect> {
    Vec::new()
}

#[cfg(test)]
mod tests;
