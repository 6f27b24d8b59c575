//! What a stay costs and whether that is paid: sessions that leave become orders.
//!
//! Invariants
//! 1. A stay asks for one price, and is paid once   (`tests::an_order_is_paid_once`).
//! 2. What has no rate table is asked of a person, never guessed   (`tests::a_lot_without_a_rate_table_is_asked`).
//! 3. What a car that has gone did not pay is owed, once   (`tests::what_was_not_paid_is_owed`).
//! 4. What a right covers costs nothing, and the rest its ordinary price   (`tests::a_right_covers_its_own_time_alone`).
//!
//! Not here: the arithmetic (`quote`), which success pays (`payment`).

use crate::{
    Body, Facts, Input, Rules, Touch, View, command, nothing,
    quote::{self, quote, segments},
};
use schema::{
    Effect, Entity, Event, Id, Journal, Key, LaneCommand, Moment, Partition, Recorded, Table, Verdict,
    entity::Order,
    id::{self, Kind, Place},
    journal::{Departure, Note, OrderEvent, PaymentEvent, RightUsed, SessionEvent, Stay},
};

/// The processor `pricing`.
pub const RULES: Rules = Rules { name: "pricing", journal: Journal::Order, concerns, needs, wants: nothing, decide, touches, evolve, effects };

fn concerns(body: &Body) -> bool {
    let Body::Journal(recorded) = body else { return false };
    matches!(&recorded.event, Event::Session(SessionEvent::Leaving { .. } | SessionEvent::Gone { .. }) | Event::Payment(PaymentEvent::Applied { .. }))
}

/// A new order is new: the session that leaves says so. One that is paid again may have been closed.
fn needs(_: &dyn View, facts: &Facts, input: &Input) -> Vec<Key> {
    let Body::Journal(recorded) = &input.body else { return Vec::new() };
    let order = match &recorded.event {
        Event::Payment(PaymentEvent::Applied { bill, .. }) => Some(bill.order),
        Event::Session(SessionEvent::Gone { stay, asked: Some((sequence, asked_at)), .. }) => Some(order_of(facts, stay, *asked_at, *sequence)),
        _ => None,
    };
    order.and_then(|order| Key::of(Table::Orders, order)).into_iter().collect()
}

fn decide(view: &dyn View, facts: &Facts, input: &Input) -> Vec<Event> {
    let Body::Journal(recorded) = &input.body else { return Vec::new() };
    let event = match &recorded.event {
        Event::Session(SessionEvent::Leaving { stay, departure, sequence, right }) => price(facts, stay, departure, (*sequence, right.as_deref())),
        Event::Session(SessionEvent::Gone { stay, asked, .. }) => {
            let order = asked.map_or(stay.session, |(sequence, asked_at)| order_of(facts, stay, asked_at, sequence));
            let noted = |note| OrderEvent::Noted { note, order, province: stay.province };
            match Key::of(Table::Orders, order).and_then(|key| view.get(&key)) {
                Some(Entity::Order(known)) => match &known.quote {
                    _ if known.paid.is_some() => noted(Note::AlreadyKnown),
                    Some(quote) if !quote.total.is_zero() => {
                        OrderEvent::Owed { order, session: stay.session, lot: stay.lot, province: stay.province, amount: quote.total }
                    }
                    _ => noted(Note::NothingOwed),
                },
                _ => noted(Note::Unknown),
            }
        }
        Event::Payment(PaymentEvent::Applied { bill, source, amount, .. }) => {
            let key = Key::of(Table::Orders, bill.order);
            let province = key.map(|key| key.province).unwrap_or_default();
            match key.and_then(|key| view.get(&key)) {
                Some(Entity::Order(known)) if known.paid.is_none() => {
                    let stay = &known.stay;
                    OrderEvent::Paid { order: bill.order, session: stay.session, lot: stay.lot, province, amount: *amount, by: source.clone() }
                }
                Some(_) => OrderEvent::Noted { note: Note::AlreadyKnown, order: bill.order, province },
                None => OrderEvent::Noted { note: Note::Unknown, order: bill.order, province },
            }
        }
        _ => return Vec::new(),
    };
    vec![Event::Order(event)]
}

/// The order of a stay whose price was asked for at a moment.
fn order_of(facts: &Facts, stay: &Stay, asked_at: Moment, sequence: u32) -> Id {
    let day = facts.reference.lot(&stay.lot).map_or_else(|| asked_at.utc_day(), |lot| lot.zone.day(asked_at));
    let place = Place { province: stay.province, day, partition: Partition::of_lot(stay.lot.as_str()) };
    id::derive(Kind::Order, place, &[stay.session.as_str(), &sequence.to_string()])
}

fn price(facts: &Facts, stay: &Stay, departure: &Departure, (sequence, right): (u32, Option<&RightUsed>)) -> OrderEvent {
    let lot = facts.reference.lot(&stay.lot);
    let order = order_of(facts, stay, departure.left_at, sequence);
    let (stay, departure) = (stay.clone(), departure.clone());
    let expires_at = departure.left_at.plus(facts.limits.command_life);
    let priced = match lot.and_then(|lot| Some((lot.tariff.as_ref()?, &lot.zone))) {
        Some((tariff, zone)) => {
            let segments = right.map_or_else(Vec::new, |right| segments(right, (stay.entered_at, departure.left_at), zone));
            let asked = quote::Stay {
                class: stay.class,
                energy: stay.energy,
                segments: &segments,
                ..quote::Stay::new(stay.entered_at, departure.left_at, zone)
            };
            quote(tariff, &asked).map_err(|not_priced| not_priced.to_string())
        }
        None => Err(format!("lot {} has no rate table: give it one in the reference data", stay.lot)),
    };
    match priced {
        Ok(quote) => OrderEvent::Priced { order, quote, stay, departure, expires_at },
        Err(reason) => OrderEvent::Unpriced { order, reason: reason.into(), stay, departure, expires_at },
    }
}

fn touches(event: &Event) -> Vec<Touch> {
    let Event::Order(event) = event else { return Vec::new() };
    let (order, born) = match event {
        OrderEvent::Priced { order, .. } | OrderEvent::Unpriced { order, .. } => (order, true),
        OrderEvent::Paid { order, .. } => (order, false),
        OrderEvent::Owed { .. } | OrderEvent::Noted { .. } => return Vec::new(),
    };
    Key::of(Table::Orders, *order).map(|key| Touch { key, born }).into_iter().collect()
}

fn evolve(key: &Key, entity: Option<Entity>, recorded: &Recorded) -> Entity {
    let Event::Order(event) = &recorded.event else { unreachable!("ORDER holds its own events alone") };
    match (event, entity) {
        (OrderEvent::Priced { order, stay, departure, quote, .. }, _) => {
            Entity::Order(Box::new(Order { order: *order, stay: stay.clone(), departure: departure.clone(), quote: Some(quote.clone()), paid: None }))
        }
        (OrderEvent::Unpriced { order, stay, departure, .. }, _) => {
            Entity::Order(Box::new(Order { order: *order, stay: stay.clone(), departure: departure.clone(), quote: None, paid: None }))
        }
        (OrderEvent::Paid { amount, by, .. }, Some(Entity::Order(order))) => {
            Entity::Order(Box::new(Order { paid: Some((*amount, by.clone())), ..*order }))
        }
        _ => unreachable!("{} does not concern {} {}", recorded.event.kind(), key.table.name(), key.id),
    }
}

fn effects(recorded: &Recorded) -> Vec<Effect> {
    let Event::Order(event) = &recorded.event else { return Vec::new() };
    match event {
        // Nobody stands there any more.
        OrderEvent::Priced { departure, .. } | OrderEvent::Unpriced { departure, .. } if departure.local => Vec::new(),
        OrderEvent::Priced { order, stay, departure, quote, expires_at } if !quote.total.is_zero() => command(recorded, *order, |id| LaneCommand {
            id,
            lot: stay.lot,
            lane: departure.lane,
            answers: Some(departure.event),
            verdict: Verdict::Ask,
            reason: "pay".into(),
            due: Some(quote.total),
            order: Some(*order),
            expires_at: *expires_at,
        }),
        OrderEvent::Unpriced { order, stay, departure, expires_at, .. } => command(recorded, *order, |id| LaneCommand {
            id,
            lot: stay.lot,
            lane: departure.lane,
            answers: Some(departure.event),
            verdict: Verdict::Ask,
            reason: "no_rate_table".into(),
            due: None,
            order: Some(*order),
            expires_at: *expires_at,
        }),
        OrderEvent::Priced { .. } | OrderEvent::Paid { .. } | OrderEvent::Owed { .. } | OrderEvent::Noted { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
