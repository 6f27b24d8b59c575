//! What a stay costs and whether that is paid: prices that are asked for become orders.
//!
//! Invariants
//! 1. A stay asks for one price, and is paid once   (`tests::an_order_is_paid_once`).
//! 2. What has no rate table is asked of a person, never guessed   (`tests::a_lot_without_a_rate_table_is_asked`).
//! 3. What a car that has gone did not pay is owed, once   (`tests::what_was_not_paid_is_owed`).
//! 4. What a right covers costs nothing, and the rest its ordinary price   (`tests::a_right_covers_its_own_time_alone`).
//!
//! 5. Of a stay one order at most can be paid at any time: a new one waits until `payment` has withdrawn the one before
//!    (`tests::a_stay_has_one_order_that_can_be_paid`).
//!
//! 6. What is owed ends once, by being paid or by another order's taking its place   (`tests::what_is_owed_ends_once`).
//!
//! 7. Of a stay that is put right after it was paid no more goes back than it costs less, however often that is done
//!    (`entry::prepay::tests::a_stay_that_is_over_is_priced_again`).
//!
//! Not here: the arithmetic (`quote`), which success pays (`payment`).

use crate::{
    Body, Facts, Input, Rules, Touch, View, command, no_window, nothing,
    quote::{self, quote, segments},
};
use schema::{
    Day, Effect, Entity, Event, EventId, Id, Journal, Key, LaneCommand, Moment, Money, Partition, Recorded, Table, Verdict,
    desk::Said,
    entity::Order,
    id::{self, Kind, Place, Province},
    journal::{Departure, LineKind, Note, OrderEvent, Part, PaymentEvent, Prepays, Question, Quote, QuoteLine, SessionEvent, Source, Stay, Terms},
};
use std::collections::BTreeSet;

/// The processor `pricing`.
pub const RULES: Rules =
    Rules { name: "pricing", journal: Journal::Order, concerns, needs, wants: nothing, audits: no_window, decide, touches, evolve, effects };

fn concerns(body: &Body) -> bool {
    let Body::Journal(recorded) = body else { return false };
    matches!(
        &recorded.event,
        Event::Session(SessionEvent::Asked { .. } | SessionEvent::Leaving { .. } | SessionEvent::Gone { .. })
            | Event::Payment(
                // Of several means the last one pays.
                PaymentEvent::Applied { part: None | Some(Part { last: true, .. }), .. }
                    | PaymentEvent::Withdrawn { .. }
                    | PaymentEvent::Reversed { applied: true, .. }
            )
    )
}

/// A new order is new: the session that asks says so. One that is paid again may have been closed, and so may the one before.
fn needs(view: &dyn View, facts: &Facts, input: &Input) -> Vec<Key> {
    let Body::Journal(recorded) = &input.body else { return Vec::new() };
    let orders: BTreeSet<Id> = match &recorded.event {
        Event::Payment(PaymentEvent::Applied { bill, .. } | PaymentEvent::Reversed { bill, .. }) => BTreeSet::from([bill.order]),
        Event::Payment(PaymentEvent::Withdrawn { bill }) => {
            // The order that waits for this has its price then.
            let waits = known(view, bill.order).and_then(|old| old.replaced_by);
            let question = waits.and_then(|order| known(view, order)).and_then(|order| order.question.as_ref());
            let paid = overpayable(question.and_then(|question| question.terms.as_deref()));
            std::iter::once(bill.order).chain(waits).chain(paid).collect()
        }
        Event::Session(SessionEvent::Gone { stay, asked: Some((sequence, asked_at)), .. }) => {
            BTreeSet::from([order_of(facts, stay, *asked_at, *sequence)])
        }
        Event::Session(SessionEvent::Asked { stay, terms, .. } | SessionEvent::Leaving { stay, terms, .. }) => {
            before(facts, stay, terms.as_deref()).into_iter().chain(overpayable(terms.as_deref())).collect()
        }
        _ => BTreeSet::new(),
    };
    orders.into_iter().filter_map(|order| Key::of(Table::Orders, order)).collect()
}

/// The orders of a stay that was put right of which too much may have been paid.
fn overpayable(terms: Option<&Terms>) -> impl Iterator<Item = Id> {
    let put_right = terms.filter(|terms| terms.corrected.is_some());
    put_right.into_iter().flat_map(|terms| &terms.paid).filter_map(|paid| paid.id.parse().ok())
}

fn decide(view: &dyn View, facts: &Facts, input: &Input) -> Vec<Event> {
    let Body::Journal(recorded) = &input.body else { return Vec::new() };
    let events = match &recorded.event {
        Event::Session(SessionEvent::Asked { stay, departure, sequence, right, terms }) => {
            ask(view, facts, question(stay, departure, *sequence, (right, terms), true))
        }
        Event::Session(SessionEvent::Leaving { stay, departure, sequence, right, terms }) => {
            ask(view, facts, question(stay, departure, *sequence, (right, terms), false))
        }
        Event::Session(SessionEvent::Gone { stay, asked, .. }) => vec![gone(view, facts, stay, *asked)],
        Event::Payment(PaymentEvent::Applied { bill, source, amount, paid_at, part, .. }) => {
            paid(view, bill.order, (source, part.map_or(*amount, |part| part.of), paid_at.unwrap_or(recorded.at)))
        }
        Event::Payment(PaymentEvent::Withdrawn { bill }) => withdrawn(view, facts, bill.order),
        Event::Payment(PaymentEvent::Reversed { bill, .. }) => reopened(view, bill.order),
        _ => Vec::new(),
    };
    events.into_iter().map(Event::Order).collect()
}

type Depends<'a> = (&'a Option<Box<schema::journal::RightUsed>>, &'a Option<Box<Terms>>);

fn question(stay: &Stay, departure: &Departure, sequence: u32, (right, terms): Depends, inside: bool) -> Question {
    Question { stay: stay.clone(), departure: departure.clone(), sequence, right: right.clone(), terms: terms.clone(), inside }
}

fn known(view: &dyn View, order: Id) -> Option<&Order> {
    match Key::of(Table::Orders, order).and_then(|key| view.get(&key)) {
        Some(Entity::Order(order)) => Some(order),
        _ => None,
    }
}

/// The order of a stay whose price was asked for at a moment.
pub fn order_of(facts: &Facts, stay: &Stay, asked_at: Moment, sequence: u32) -> Id {
    let day = facts.reference.lot(&stay.lot).map_or_else(|| asked_at.utc_day(), |lot| lot.zone.day(asked_at));
    order_on(day, stay, sequence)
}

/// The order of a stay whose price was asked for on a local day of its lot.
pub fn order_on(day: Day, stay: &Stay, sequence: u32) -> Id {
    let place = Place { province: stay.province, day, partition: Partition::of_lot(stay.lot.as_str()) };
    id::derive(Kind::Order, place, &[stay.session.as_str(), &sequence.to_string()])
}

/// The order before, which was not settled as far as `entry` knew.
fn before(facts: &Facts, stay: &Stay, terms: Option<&Terms>) -> Option<Id> {
    let (sequence, asked_at) = terms?.before?;
    Some(order_of(facts, stay, asked_at, sequence))
}

/// A price is asked for: it is found at once, unless money may be on its way for the one before.
fn ask(view: &dyn View, facts: &Facts, mut question: Question) -> Vec<OrderEvent> {
    // Only here it is known what of what was paid goes back already.
    if let Some(terms) = question.terms.as_mut().filter(|terms| terms.corrected.is_some()) {
        for paid in &mut terms.paid {
            let overpaid = paid.id.parse().ok().and_then(|order| known(view, order)).map_or(0, |order| order.overpaid);
            paid.amount.minor = paid.amount.minor.saturating_sub(overpaid);
        }
    }
    let order = order_of(facts, &question.stay, question.departure.left_at, question.sequence);
    let province = question.stay.province;
    let withdraw = |old: Id, question: Question| OrderEvent::Withdrawn { order: old, by: order, question: Box::new(question) };
    match before(facts, &question.stay, question.terms.as_deref()).and_then(|old| known(view, old)) {
        Some(old) if old.is_payable() => vec![withdraw(old.order, question)],
        // It has waited itself, and does so no more: what it waited for is waited for by the new one.
        Some(Order { order: old, replaces: Some(first), question: Some(_), cancelled: false, .. }) => {
            vec![withdraw(*first, question), OrderEvent::Cancelled { order: *old, province }]
        }
        // It was paid, or the one before it was: `entry` is about to hear of that, and asks again with it.
        Some(old) => match unknown_payment(old, question.terms.as_deref()) {
            Some(by) => vec![OrderEvent::Overtaken { order, by, question: Box::new(question) }],
            None => price(facts, &question, false),
        },
        None => price(facts, &question, false),
    }
}

/// The order for which money has come that `entry` did not know of when it asked.
fn unknown_payment(old: &Order, terms: Option<&Terms>) -> Option<Id> {
    let paid = if old.paid.is_some() { Some(old.order) } else { old.replaces.filter(|_| old.cancelled) };
    let knows = |order: &Id| terms.is_some_and(|terms| terms.paid.iter().any(|paid| &*paid.id == order.as_str()));
    paid.filter(|order| !knows(order))
}

/// The price of a question; what a car costs that has gone, it owes.
fn price(facts: &Facts, question: &Question, gone: bool) -> Vec<OrderEvent> {
    let Question { stay, departure, sequence, right, terms, inside } = question;
    let lot = facts.reference.lot(&stay.lot);
    let order = order_of(facts, stay, departure.left_at, *sequence);
    let expires_at = departure.left_at.plus(facts.limits.command_life);
    let priced = match lot.and_then(|lot| Some((lot, lot.tariff.as_ref()?))) {
        Some((lot, tariff)) => {
            let zone = &lot.zone;
            let segments = right.as_ref().map_or_else(Vec::new, |right| segments(right, (stay.entered_at, departure.left_at), zone));
            let (paid, validations) = terms.as_ref().map_or((&[][..], &[][..]), |terms| (&terms.paid[..], &terms.validations[..]));
            let asked = quote::Stay {
                class: stay.class,
                energy: stay.energy,
                segments: &segments,
                validations,
                paid,
                grace_min: i64::from(lot.declared.exit_grace_min),
                ..quote::Stay::new(stay.entered_at, departure.left_at, zone)
            };
            let is_lost = terms.as_ref().is_some_and(|terms| terms.lost);
            let priced = if is_lost { quote::lost_ticket(tariff, departure.left_at, zone) } else { quote(tariff, &asked) };
            priced.map_err(|not_priced| (not_priced.word(), not_priced.to_string()))
        }
        None => Err(("no_rate_table", format!("lot {} has no rate table: give it one in the reference data", stay.lot))),
    };
    let (stay, departure, inside) = (stay.clone(), departure.clone(), inside.then_some(*sequence));
    let (session, lot, province) = (stay.session, stay.lot, stay.province);
    match priced {
        Ok(quote) => {
            let amount = quote.total;
            let gone = gone || terms.as_ref().is_some_and(|terms| terms.gone);
            let owed = (gone && !amount.is_zero()).then_some(OrderEvent::Owed { order, session, lot, province, amount, begins: true });
            let corrected = terms.as_ref().and_then(|terms| terms.corrected.as_deref());
            let over = corrected.map_or_else(Vec::new, |corrected| overpaid(&quote, session, province, corrected));
            std::iter::once(OrderEvent::Priced { order, quote, stay, departure, expires_at, inside }).chain(owed).chain(over).collect()
        }
        Err((word, reason)) => {
            let (word, reason) = (Some(word.into()), reason.into());
            vec![OrderEvent::Unpriced { order, reason, word, stay, departure, expires_at, inside }]
        }
    }
}

/// What was paid for it and its price does not need.
fn overpaid(quote: &Quote, session: Id, province: Province, (said, by): &(EventId, Said)) -> Vec<OrderEvent> {
    let too_much = |line: &QuoteLine| {
        let minor = line.unit_price.saturating_add(line.amount);
        let order = line.due_to.as_ref()?.parse().ok().filter(|_| line.what == LineKind::Paid && minor > 0)?;
        let (amount, by, said) = (Money::new(minor, quote.total.currency), by.clone(), *said);
        Some(OrderEvent::Overpaid { order, session, province, amount, by, said })
    };
    quote.lines.iter().filter_map(too_much).collect()
}

/// The car has gone without having settled what was asked for.
fn gone(view: &dyn View, facts: &Facts, stay: &Stay, asked: Option<(u32, Moment)>) -> OrderEvent {
    let order = asked.map_or(stay.session, |(sequence, asked_at)| order_of(facts, stay, asked_at, sequence));
    let (session, lot, province) = (stay.session, stay.lot, stay.province);
    let noted = |note| OrderEvent::Noted { note, order, province };
    match known(view, order) {
        Some(order) if order.paid.is_some() => noted(Note::AlreadyKnown),
        Some(known) if known.question.is_some() && !known.cancelled => OrderEvent::Gone { order, province },
        Some(known) if known.is_payable() => {
            let amount = known.quote.as_ref().map_or(Money::new(0, schema::Currency::Cny), |quote| quote.total);
            OrderEvent::Owed { order, session, lot, province, amount, begins: known.owed.is_none() }
        }
        Some(_) => noted(Note::NothingOwed),
        None => noted(Note::Unknown),
    }
}

fn paid(view: &dyn View, order: Id, (by, amount, paid_at): (&Source, Money, Moment)) -> Vec<OrderEvent> {
    let province = province(order);
    match known(view, order) {
        Some(known) if known.paid.is_none() => {
            let stay = &known.stay;
            let prepays = known.inside.map(|sequence| Prepays { sequence, until: known.departure.left_at, paid_at });
            let (session, lot) = (stay.session, stay.lot);
            let paid = OrderEvent::Paid { order, session, lot, province, amount, by: by.clone(), prepays };
            let waits = known.replaced_by.map(|order| OrderEvent::Cancelled { order, province });
            std::iter::once(paid).chain(waits).chain(cleared(known)).collect()
        }
        Some(_) => vec![OrderEvent::Noted { note: Note::AlreadyKnown, order, province }],
        None => vec![OrderEvent::Noted { note: Note::Unknown, order, province }],
    }
}

/// What its car owed is owed no more.
fn cleared(order: &Order) -> Option<OrderEvent> {
    let (lot, province) = (order.stay.lot, order.stay.province);
    order.owed.map(|amount| OrderEvent::Cleared { order: order.order, lot, province, amount })
}

/// What had paid it has failed: it is due again, and its car has gone on the strength of it.
fn reopened(view: &dyn View, order: Id) -> Vec<OrderEvent> {
    let province = province(order);
    match known(view, order).and_then(|known| Some((&known.stay, known.paid.as_ref()?.0, known.owed.is_none()))) {
        Some((stay, amount, begins)) => {
            let (session, lot) = (stay.session, stay.lot);
            vec![OrderEvent::Reopened { order, province, amount }, OrderEvent::Owed { order, session, lot, province, amount, begins }]
        }
        None => vec![OrderEvent::Noted { note: Note::Unknown, order, province }],
    }
}

/// Nobody can pay the old order any more: the one that waited for that has its price.
fn withdrawn(view: &dyn View, facts: &Facts, order: Id) -> Vec<OrderEvent> {
    let province = province(order);
    let old = known(view, order).filter(|old| old.paid.is_none() && !old.cancelled);
    match old.and_then(|old| Some((old, known(view, old.replaced_by?)?))).and_then(|(old, new)| Some((old, new.question.as_ref()?, new.gone))) {
        Some((old, question, gone)) => {
            let over = std::iter::once(OrderEvent::Cancelled { order, province }).chain(cleared(old));
            over.chain(price(facts, question, gone)).collect()
        }
        None => vec![OrderEvent::Noted { note: Note::Unknown, order, province }],
    }
}

fn province(order: Id) -> Province {
    id::place(order.as_str()).map(|place| place.province).unwrap_or_default()
}

fn touches(event: &Event) -> Vec<Touch> {
    let Event::Order(event) = event else { return Vec::new() };
    let touched = match event {
        OrderEvent::Priced { order, .. } | OrderEvent::Unpriced { order, .. } | OrderEvent::Overtaken { order, .. } => [Some((*order, true)), None],
        OrderEvent::Withdrawn { order, by, .. } => [Some((*order, false)), Some((*by, true))],
        OrderEvent::Paid { order, .. }
        | OrderEvent::Cancelled { order, .. }
        | OrderEvent::Gone { order, .. }
        | OrderEvent::Overpaid { order, .. }
        | OrderEvent::Owed { order, begins: true, .. }
        | OrderEvent::Cleared { order, .. }
        | OrderEvent::Reopened { order, .. } => [Some((*order, false)), None],
        OrderEvent::Owed { .. } | OrderEvent::Noted { .. } => [None, None],
    };
    let row = |(order, born)| Key::of(Table::Orders, order).map(|key| Touch { key, born });
    touched.into_iter().flatten().filter_map(row).collect()
}

fn evolve(key: &Key, entity: Option<Entity>, recorded: &Recorded) -> Entity {
    let Event::Order(event) = &recorded.event else { unreachable!("ORDER holds its own events alone") };
    let old = match entity {
        Some(Entity::Order(order)) => Some(order),
        _ => None,
    };
    let order = match (event, old) {
        (OrderEvent::Priced { order, stay, departure, quote, inside, .. }, old) => {
            let new = Order::of(*order, stay.clone(), departure.clone(), *inside);
            let (replaces, gone) = old.map_or((None, false), |old| (old.replaces, old.gone));
            Order { quote: Some(quote.clone()), replaces, gone, ..new }
        }
        (OrderEvent::Unpriced { order, stay, departure, inside, .. }, _) => Order::of(*order, stay.clone(), departure.clone(), *inside),
        (OrderEvent::Withdrawn { order, by, .. }, Some(old)) if key.id == *order => Order { replaced_by: Some(*by), ..*old },
        (OrderEvent::Withdrawn { order, by, question }, _) if key.id == *by => {
            let inside = question.inside.then_some(question.sequence);
            let new = Order::of(*by, question.stay.clone(), question.departure.clone(), inside);
            Order { question: Some(question.clone()), replaces: Some(*order), ..new }
        }
        (OrderEvent::Overtaken { order, by, question }, _) => {
            let inside = question.inside.then_some(question.sequence);
            let new = Order::of(*order, question.stay.clone(), question.departure.clone(), inside);
            Order { replaces: Some(*by), cancelled: true, ..new }
        }
        (OrderEvent::Cancelled { .. }, Some(old)) => Order { cancelled: true, ..*old },
        (OrderEvent::Gone { .. }, Some(old)) => Order { gone: true, ..*old },
        (OrderEvent::Owed { amount, .. }, Some(old)) => Order { owed: Some(*amount), ..*old },
        (OrderEvent::Cleared { .. }, Some(old)) => Order { owed: None, ..*old },
        (OrderEvent::Overpaid { amount, .. }, Some(old)) => Order { overpaid: old.overpaid.saturating_add(amount.minor), ..*old },
        // What is paid later is no prepayment any more.
        (OrderEvent::Reopened { .. }, Some(old)) => Order { paid: None, inside: None, ..*old },
        (OrderEvent::Paid { amount, by, .. }, Some(old)) => Order { paid: Some((*amount, by.clone())), ..*old },
        _ => unreachable!("{} does not concern {} {}", recorded.event.kind(), key.table.name(), key.id),
    };
    Entity::Order(Box::new(order))
}

fn effects(recorded: &Recorded) -> Vec<Effect> {
    let Event::Order(event) = &recorded.event else { return Vec::new() };
    let ask = |order: Id, stay: &Stay, departure: &Departure, (reason, due): (&str, Option<Money>), expires_at: Moment| {
        command(recorded, order, |id| LaneCommand {
            id,
            lot: stay.lot,
            lane: departure.lane,
            answers: Some(departure.event),
            verdict: Verdict::Ask,
            reason: reason.into(),
            due,
            order: Some(order),
            expires_at,
        })
    };
    match event {
        // Nobody stands there any more.
        OrderEvent::Priced { departure, .. } | OrderEvent::Unpriced { departure, .. } if departure.local => Vec::new(),
        OrderEvent::Priced { order, stay, departure, quote, expires_at, .. } if !quote.total.is_zero() => {
            ask(*order, stay, departure, ("pay", Some(quote.total)), *expires_at)
        }
        OrderEvent::Priced { order, stay, departure, quote, expires_at, inside: Some(_) } => {
            ask(*order, stay, departure, ("nothing_due", Some(quote.total)), *expires_at)
        }
        OrderEvent::Unpriced { order, stay, departure, word, expires_at, .. } => {
            ask(*order, stay, departure, (word.as_deref().unwrap_or("no_rate_table"), None), *expires_at)
        }
        OrderEvent::Priced { .. }
        | OrderEvent::Paid { .. }
        | OrderEvent::Owed { .. }
        | OrderEvent::Cleared { .. }
        | OrderEvent::Overpaid { .. }
        | OrderEvent::Reopened { .. }
        | OrderEvent::Withdrawn { .. }
        | OrderEvent::Overtaken { .. }
        | OrderEvent::Cancelled { .. }
        | OrderEvent::Gone { .. }
        | OrderEvent::Noted { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
