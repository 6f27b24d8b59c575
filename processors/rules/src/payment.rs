//! Which money counts: of all that channels capture for an order one payment is applied, the rest goes back.
//!
//! Invariants
//! 1. At most one success of an order is applied   (`tests::a_second_success_for_the_same_order_is_refunded`).
//! 2. Captured = applied + refunded + open liability   (`tests::captured_is_applied_refunded_or_owed`).
//! 3. Money that comes before its order is held and then decided   (`tests::money_before_its_order_waits_for_it`).
//! 4. Nothing pays an order that was withdrawn, and one that is paid is not withdrawn   (`tests::a_withdrawn_order_takes_no_money`).
//! 5. A refund is asked for again under the same id   (`tests::a_refund_without_an_answer_is_asked_for_again`).
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
        Body::Journal(recorded) => match &recorded.event {
            Event::Order(OrderEvent::Priced { quote, .. }) => !quote.total.is_zero(),
            Event::Order(OrderEvent::Withdrawn { .. }) => true,
            _ => false,
        },
        Body::Gate(_) | Body::Desk(_) => false,
    }
}

/// A priced order is new here unless its money came first, and held money is never out of memory. What a channel says may be of long ago.
fn needs(_: &dyn View, _: &Facts, input: &Input) -> Vec<Key> {
    match &input.body {
        Body::Channel(event) => event.order().and_then(|order| Key::of(Table::Payments, order)).into_iter().collect(),
        Body::Tick(key) => vec![*key],
        Body::Journal(recorded) => match &recorded.event {
            Event::Order(OrderEvent::Withdrawn { order, .. }) => Key::of(Table::Payments, *order).into_iter().collect(),
            _ => Vec::new(),
        },
        Body::Gate(_) | Body::Desk(_) => Vec::new(),
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
            Event::Order(OrderEvent::Withdrawn { order, .. }) => vec![withdraw(known(*order), *order)],
            _ => Vec::new(),
        },
        Body::Channel(event) => {
            let Some(order) = event.order() else { return Vec::new() };
            match &event.fact {
                ChannelFact::Succeeded { transaction, amount, .. } => {
                    let source = Source { channel: event.channel.clone(), transaction: transaction.clone() };
                    let money = Captured { source, amount: *amount, paid_at: event.happened_at.min(input.received_at), held: false };
                    vec![succeed(known(order), facts, input, order, money)]
                }
                ChannelFact::RefundAnswered { refund, succeeded, .. } => vec![answer(known(order), order, *refund, *succeeded)],
            }
        }
        Body::Tick(key) => known(key.id).map(|payment| due(payment, facts, input)).unwrap_or_default(),
        Body::Gate(_) | Body::Desk(_) => Vec::new(),
    };
    events.into_iter().map(Event::Payment).collect()
}

/// Money that a channel says it has captured.
struct Captured {
    source: Source,
    amount: Money,
    paid_at: Moment,
    /// Whether it came before its order.
    held: bool,
}

fn expect(known: Option<&Payment>, facts: &Facts, input: &Input, bill: &Bill, due: Money) -> Vec<PaymentEvent> {
    if known.is_some_and(|payment| payment.due.is_some()) {
        return vec![PaymentEvent::Noted { note: Note::AlreadyKnown, order: bill.order }];
    }
    let mut events = vec![PaymentEvent::Expected { bill: bill.clone(), due }];
    let mut held: Vec<&Receipt> = known.iter().flat_map(|payment| payment.receipts.values()).filter(|receipt| receipt.fate == Fate::Held).collect();
    held.sort_by_key(|receipt| receipt.came_at);
    let mut stands = Stands::Due(due);
    for Receipt { source, amount, came_at, paid_at, .. } in held {
        let money = Captured { source: source.clone(), amount: *amount, paid_at: paid_at.unwrap_or(*came_at), held: true };
        events.push(arbitrate(facts, input, bill.clone(), money, stands));
        if *amount == due {
            stands = Stands::Paid(due);
        }
    }
    events
}

/// How an order stands whose price is known.
#[derive(Clone, Copy)]
enum Stands {
    /// This is due.
    Due(Money),
    /// This was due, and is paid.
    Paid(Money),
    /// This was due, and another order has taken its place.
    Withdrawn(Money),
}

fn stands(payment: &Payment) -> Option<Stands> {
    let due = payment.due?;
    let applied = payment.receipts.values().any(|receipt| receipt.fate == Fate::Applied);
    Some(match (applied, payment.withdrawn) {
        (true, _) => Stands::Paid(due),
        (false, true) => Stands::Withdrawn(due),
        (false, false) => Stands::Due(due),
    })
}

fn succeed(known: Option<&Payment>, facts: &Facts, input: &Input, order: Id, money: Captured) -> PaymentEvent {
    let bill = bill(known, order);
    if let Some(receipt) = known.and_then(|payment| payment.receipts.get(&Payment::receipt_key(&money.source))) {
        let note = if receipt.amount == money.amount { Note::AlreadyKnown } else { Note::AmountDiffers };
        return PaymentEvent::Noted { note, order };
    }
    match known.and_then(stands) {
        None => PaymentEvent::Held { bill, source: money.source, amount: money.amount, paid_at: Some(money.paid_at) },
        Some(stands) => arbitrate(facts, input, bill, money, stands),
    }
}

/// The one place where money is chosen: what is due and not yet paid is applied, everything else goes back.
fn arbitrate(facts: &Facts, input: &Input, bill: Bill, money: Captured, stands: Stands) -> PaymentEvent {
    let Captured { source, amount, paid_at, held } = money;
    let Some(reason) = goes_back(amount, stands) else {
        return PaymentEvent::Applied { bill, source, amount, held, paid_at: Some(paid_at) };
    };
    let refund = refund_id(bill.order, &source);
    let due_at = retry_at(facts, input, 1);
    PaymentEvent::RefundRequested { bill, source, amount, refund, reason, tries: 1, held, due_at }
}

/// Why money goes back, if it does.
fn goes_back(amount: Money, stands: Stands) -> Option<RefundReason> {
    match stands {
        Stands::Due(due) | Stands::Paid(due) | Stands::Withdrawn(due) if due != amount => Some(RefundReason::AmountDiffers),
        Stands::Due(_) => None,
        Stands::Paid(_) => Some(RefundReason::Duplicate),
        Stands::Withdrawn(_) => Some(RefundReason::Withdrawn),
    }
}

/// An order is to take no money any more; if it has, that stays.
fn withdraw(known: Option<&Payment>, order: Id) -> PaymentEvent {
    let note = |note| PaymentEvent::Noted { note, order };
    match known.and_then(stands) {
        Some(Stands::Paid(_)) => note(Note::AlreadyKnown),
        Some(Stands::Withdrawn(_)) => note(Note::AlreadyClosed),
        Some(Stands::Due(_)) => PaymentEvent::Withdrawn { bill: bill(known, order) },
        // Its price came first, as all that is journaled of an order comes here in its order.
        None => note(Note::Unknown),
    }
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
            let reason = stands(payment).and_then(|stands| goes_back(receipt.amount, stands)).unwrap_or(RefundReason::Duplicate);
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
        PaymentEvent::Applied { bill, .. }
        | PaymentEvent::Withdrawn { bill }
        | PaymentEvent::RefundRequested { bill, .. }
        | PaymentEvent::Refunded { bill, .. } => (bill, false),
        PaymentEvent::Noted { .. } => return Vec::new(),
    };
    Key::of(Table::Payments, bill.order).map(|key| Touch { key, born }).into_iter().collect()
}

fn evolve(key: &Key, entity: Option<Entity>, recorded: &Recorded) -> Entity {
    let Event::Payment(event) = &recorded.event else { unreachable!("PAYMENT holds its own events alone") };
    let mut payment = match entity {
        Some(Entity::Payment(payment)) => payment,
        _ => Box::new(Payment { order: key.id, lot: None, day: key.day, due: None, receipts: std::collections::BTreeMap::new(), withdrawn: false }),
    };
    let paid_at = match event {
        PaymentEvent::Held { paid_at, .. } | PaymentEvent::Applied { paid_at, .. } => *paid_at,
        _ => None,
    };
    let mut receive = |source: &Source, amount: Money, fate: Fate| {
        let receipt = payment.receipts.entry(Payment::receipt_key(source));
        receipt.or_insert(Receipt { source: source.clone(), amount, came_at: recorded.at, fate: Fate::Held, paid_at }).fate = fate;
    };
    match event {
        PaymentEvent::Withdrawn { .. } => payment.withdrawn = true,
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
