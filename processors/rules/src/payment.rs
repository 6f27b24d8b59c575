//! Which money counts: of all that channels capture for an order one payment is applied, the rest goes back.
//!
//! Invariants
//! 1. At most one success of an order is applied   (`tests::a_second_success_for_the_same_order_is_refunded`).
//! 2. Captured = applied + refunded + open liability   (`tests::captured_is_applied_refunded_or_owed`).
//! 3. Money that comes before its order is held and then decided   (`tests::money_before_its_order_waits_for_it`).
//! 4. A refund is asked for again under the same id   (`tests::a_refund_without_an_answer_is_asked_for_again`).
//!
//! Not here: whether a notification is genuine (the front doors), what the ledger says of it (`settlement`).

use crate::{Body, Facts, Input, Rules, Touch, View, nothing};
use schema::{
    ChannelFact, Day, Effect, Entity, Event, Id, Journal, Key, Moment, Money, Recorded, RefundCall, Table,
    entity::{Fate, Payment, Receipt},
    id::{self, Kind},
    journal::{Bill, Note, OrderEvent, PaymentEvent, RefundReason, Source},
};

/// The processor `payment`.
pub const RULES: Rules = Rules { name: "payment", journal: Journal::Payment, concerns, needs, wants: nothing, decide, touches, evolve, effects };

fn concerns(body: &Body) -> bool {
    match body {
        Body::Channel(_) | Body::Tick(_) => true,
        Body::Journal(recorded) => matches!(&recorded.event, Event::Order(OrderEvent::Priced { quote, .. }) if !quote.total.is_zero()),
        Body::Gate(_) | Body::Desk(_) => false,
    }
}

/// A priced order is new here unless its money came first, and held money is never out of memory. What a channel says may be of long ago.
fn needs(_: &dyn View, _: &Facts, input: &Input) -> Vec<Key> {
    match &input.body {
        Body::Channel(event) => event.order().and_then(|order| Key::of(Table::Payments, order)).into_iter().collect(),
        Body::Tick(key) => vec![*key],
        Body::Journal(_) | Body::Gate(_) | Body::Desk(_) => Vec::new(),
    }
}

fn decide(view: &dyn View, facts: &Facts, input: &Input) -> Vec<Event> {
    let known = |order: Id| match Key::of(Table::Payments, order).and_then(|key| view.get(&key)) {
        Some(Entity::Payment(payment)) => Some(&**payment),
        _ => None,
    };
    let events = match &input.body {
        Body::Journal(recorded) => match &recorded.event {
            Event::Order(OrderEvent::Priced { order, stay, quote, .. }) => {
                let day = id::place(order.as_str()).map(|place| place.day).unwrap_or_default();
                expect(known(*order), facts, input, &Bill { order: *order, lot: Some(stay.lot), day }, quote.total)
            }
            _ => Vec::new(),
        },
        Body::Channel(event) => {
            let Some(order) = event.order() else { return Vec::new() };
            match &event.fact {
                ChannelFact::Succeeded { transaction, amount, .. } => {
                    let source = Source { channel: event.channel.clone(), transaction: transaction.clone() };
                    vec![succeed(known(order), facts, input, order, source, *amount)]
                }
                ChannelFact::RefundAnswered { refund, succeeded, .. } => vec![answer(known(order), order, *refund, *succeeded)],
            }
        }
        Body::Tick(key) => known(key.id).map(|payment| due(payment, facts, input)).unwrap_or_default(),
        Body::Gate(_) | Body::Desk(_) => Vec::new(),
    };
    events.into_iter().map(Event::Payment).collect()
}

fn expect(known: Option<&Payment>, facts: &Facts, input: &Input, bill: &Bill, due: Money) -> Vec<PaymentEvent> {
    if known.is_some_and(|payment| payment.due.is_some()) {
        return vec![PaymentEvent::Noted { note: Note::AlreadyKnown, order: bill.order }];
    }
    let mut events = vec![PaymentEvent::Expected { bill: bill.clone(), due }];
    let mut held: Vec<&Receipt> = known.iter().flat_map(|payment| payment.receipts.values()).filter(|receipt| receipt.fate == Fate::Held).collect();
    held.sort_by_key(|receipt| receipt.came_at);
    let mut applied = false;
    for Receipt { source, amount, .. } in held {
        events.push(arbitrate(facts, input, bill.clone(), source.clone(), *amount, due, applied, true));
        applied = applied || *amount == due;
    }
    events
}

fn succeed(known: Option<&Payment>, facts: &Facts, input: &Input, order: Id, source: Source, amount: Money) -> PaymentEvent {
    let bill = bill(known, order);
    if let Some(receipt) = known.and_then(|payment| payment.receipts.get(&Payment::receipt_key(&source))) {
        let note = if receipt.amount == amount { Note::AlreadyKnown } else { Note::AmountDiffers };
        return PaymentEvent::Noted { note, order };
    }
    match known.and_then(|payment| payment.due.map(|due| (payment, due))) {
        None => PaymentEvent::Held { bill, source, amount },
        Some((payment, due)) => {
            let applied = payment.receipts.values().any(|receipt| receipt.fate == Fate::Applied);
            arbitrate(facts, input, bill, source, amount, due, applied, false)
        }
    }
}

/// The one place where money is chosen: what is due and not yet paid is applied, everything else goes back.
#[expect(clippy::too_many_arguments, reason = "the whole of what the choice depends on, in one place")]
fn arbitrate(facts: &Facts, input: &Input, bill: Bill, source: Source, amount: Money, due: Money, applied: bool, held: bool) -> PaymentEvent {
    let reason = match (amount == due, applied) {
        (true, false) => return PaymentEvent::Applied { bill, source, amount, held },
        (true, true) => RefundReason::Duplicate,
        (false, _) => RefundReason::AmountDiffers,
    };
    let refund = refund_id(bill.order, &source);
    let due_at = retry_at(facts, input, 1);
    PaymentEvent::RefundRequested { bill, source, amount, refund, reason, tries: 1, held, due_at }
}

fn refund_id(order: Id, source: &Source) -> Id {
    let place = id::place(order.as_str()).expect("an order's id was checked when its event was read");
    id::derive(Kind::Refund, place, &[order.as_str(), &source.channel, &source.transaction, "1"])
}

fn retry_at(facts: &Facts, input: &Input, tries: u32) -> Moment {
    input.received_at.plus(facts.limits.refund_retry.saturating_mul(i64::from(tries.min(120))))
}

fn answer(known: Option<&Payment>, order: Id, refund: Id, succeeded: bool) -> PaymentEvent {
    let fate = |receipt: &&Receipt| matches!(receipt.fate, Fate::Refunding { refund: of, .. } | Fate::Refunded { refund: of } if of == refund);
    let note = |note| PaymentEvent::Noted { note, order };
    match known.and_then(|payment| payment.receipts.values().find(fate)) {
        None => note(Note::Unknown),
        Some(Receipt { fate: Fate::Refunded { .. }, .. }) => note(Note::AlreadyKnown),
        Some(_) if !succeeded => note(Note::RefundRefused),
        Some(receipt) => PaymentEvent::Refunded { bill: bill(known, order), source: receipt.source.clone(), amount: receipt.amount, refund },
    }
}

/// Refunds whose answer did not come, or was a no, are asked for again.
fn due(payment: &Payment, facts: &Facts, input: &Input) -> Vec<PaymentEvent> {
    let again = |receipt: &Receipt| match receipt.fate {
        Fate::Refunding { refund, tries, due_at } if due_at <= input.received_at => {
            let tries = tries.saturating_add(1);
            let reason = if payment.due == Some(receipt.amount) { RefundReason::Duplicate } else { RefundReason::AmountDiffers };
            let (source, amount, due_at) = (receipt.source.clone(), receipt.amount, retry_at(facts, input, tries));
            Some(PaymentEvent::RefundRequested {
                bill: bill(Some(payment), payment.order),
                source,
                amount,
                refund,
                reason,
                tries,
                held: false,
                due_at,
            })
        }
        _ => None,
    };
    payment.receipts.values().filter_map(again).collect()
}

fn bill(known: Option<&Payment>, order: Id) -> Bill {
    let born = id::place(order.as_str()).map_or(Day(0), |place| place.day);
    Bill { order, lot: known.and_then(|payment| payment.lot), day: known.map_or(born, |payment| payment.day) }
}

fn touches(event: &Event) -> Vec<Touch> {
    let Event::Payment(event) = event else { return Vec::new() };
    let (bill, born) = match event {
        PaymentEvent::Expected { bill, .. } | PaymentEvent::Held { bill, .. } => (bill, true),
        PaymentEvent::Applied { bill, .. } | PaymentEvent::RefundRequested { bill, .. } | PaymentEvent::Refunded { bill, .. } => (bill, false),
        PaymentEvent::Noted { .. } => return Vec::new(),
    };
    Key::of(Table::Payments, bill.order).map(|key| Touch { key, born }).into_iter().collect()
}

fn evolve(key: &Key, entity: Option<Entity>, recorded: &Recorded) -> Entity {
    let Event::Payment(event) = &recorded.event else { unreachable!("PAYMENT holds its own events alone") };
    let mut payment = match entity {
        Some(Entity::Payment(payment)) => payment,
        _ => Box::new(Payment { order: key.id, lot: None, day: key.day, due: None, receipts: std::collections::BTreeMap::new() }),
    };
    let mut receive = |source: &Source, amount: Money, fate: Fate| {
        let receipt = payment.receipts.entry(Payment::receipt_key(source));
        receipt.or_insert(Receipt { source: source.clone(), amount, came_at: recorded.at, fate: Fate::Held }).fate = fate;
    };
    match event {
        PaymentEvent::Expected { bill, due } => {
            payment.lot = bill.lot;
            payment.day = bill.day;
            payment.due = Some(*due);
        }
        PaymentEvent::Held { source, amount, .. } => receive(source, *amount, Fate::Held),
        PaymentEvent::Applied { source, amount, .. } => receive(source, *amount, Fate::Applied),
        PaymentEvent::RefundRequested { source, amount, refund, tries, due_at, .. } => {
            receive(source, *amount, Fate::Refunding { refund: *refund, tries: *tries, due_at: *due_at });
        }
        PaymentEvent::Refunded { source, amount, refund, .. } => receive(source, *amount, Fate::Refunded { refund: *refund }),
        PaymentEvent::Noted { .. } => unreachable!("a note concerns no row"),
    }
    Entity::Payment(payment)
}

fn effects(recorded: &Recorded) -> Vec<Effect> {
    let Event::Payment(PaymentEvent::RefundRequested { bill, source, amount, refund, tries, .. }) = &recorded.event else { return Vec::new() };
    let (channel, transaction) = (source.channel.clone(), source.transaction.clone());
    vec![Effect::Refund(RefundCall { refund: *refund, order: bill.order, channel, transaction, amount: *amount, tries: *tries })]
}

#[cfg(test)]
mod tests;
