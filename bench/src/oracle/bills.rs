//! What ORDER should say: a naive cashier of one partition.
//!
//! Invariants
//! 1. A wrong price is a difference, whatever lines explain it   (`oracle::tests::each_mutation_is_found`).

use super::{World, price};
use schema::{
    Id, Moment, Money, Partition,
    id::{self, Kind, Place, Province},
    journal::{LineKind, Note, OrderEvent, PaymentEvent, Quote, SessionEvent, Stay},
};
use std::collections::BTreeMap;

/// One partition: the orders, and whether they are paid.
pub struct Bills<'a> {
    world: &'a World<'a>,
    partition: Partition,
    orders: BTreeMap<Id, (Stay, bool)>,
    prices: BTreeMap<Id, Money>,
}

impl<'a> Bills<'a> {
    /// An empty one.
    pub fn new(world: &'a World<'a>, partition: Partition) -> Self {
        Self { world, partition, orders: BTreeMap::new(), prices: BTreeMap::new() }
    }

    /// What an event of SESSION becomes.
    pub fn session(&mut self, event: &SessionEvent) -> Vec<OrderEvent> {
        if let SessionEvent::Gone { stay, asked: Some((sequence, asked_at)), .. } = event {
            return self.gone(stay, *sequence, *asked_at);
        }
        let SessionEvent::Leaving { stay, departure, sequence, right } = event else { return Vec::new() };
        let Some(lot) = self.world.lot(&stay.lot) else { return Vec::new() };
        let place = Place { province: stay.province, day: lot.zone.day(departure.left_at), partition: self.partition };
        let order = id::derive(Kind::Order, place, &[stay.session.as_str(), &sequence.to_string()]);
        self.orders.insert(order, (stay.clone(), false));
        let (stay, departure, expires_at) = (stay.clone(), departure.clone(), Moment(0));
        // Who left before they came has no price either: one of the two times is wrong.
        let Some(table) = lot.rates().filter(|_| stay.entered_at <= departure.left_at) else {
            return vec![OrderEvent::Unpriced { order, stay, departure, reason: "".into(), expires_at }];
        };
        let quote = Quote {
            rate_table: table.id.clone(),
            version: table.version,
            minutes: price::minutes(stay.entered_at, departure.left_at),
            lines: Vec::new(),
            total: price::under_right(table, (stay.entered_at, departure.left_at), right.as_deref(), &lot.zone),
        };
        self.prices.insert(order, quote.total);
        vec![OrderEvent::Priced { order, stay, departure, quote, expires_at }]
    }

    /// What becomes of the order of a car that has gone.
    fn gone(&self, stay: &Stay, sequence: u32, asked_at: Moment) -> Vec<OrderEvent> {
        let Some(lot) = self.world.lot(&stay.lot) else { return Vec::new() };
        let place = Place { province: stay.province, day: lot.zone.day(asked_at), partition: self.partition };
        let order = id::derive(Kind::Order, place, &[stay.session.as_str(), &sequence.to_string()]);
        let noted = |note| vec![OrderEvent::Noted { note, order, province: stay.province }];
        match (self.orders.get(&order), self.prices.get(&order)) {
            (None, _) => noted(Note::Unknown),
            (Some((_, true)), _) => noted(Note::AlreadyKnown),
            (_, Some(amount)) if amount.minor > 0 => {
                vec![OrderEvent::Owed { order, session: stay.session, lot: stay.lot, province: stay.province, amount: *amount }]
            }
            _ => noted(Note::NothingOwed),
        }
    }

    /// What an event of PAYMENT becomes.
    pub fn payment(&mut self, event: &PaymentEvent) -> Vec<OrderEvent> {
        let PaymentEvent::Applied { bill, source, amount, .. } = event else { return Vec::new() };
        let order = bill.order;
        let province = id::place(order.as_str()).map_or(Province(0), |place| place.province);
        match self.orders.get_mut(&order) {
            None => vec![OrderEvent::Noted { note: Note::Unknown, order, province }],
            Some((_, true)) => vec![OrderEvent::Noted { note: Note::AlreadyKnown, order, province }],
            Some((stay, paid @ false)) => {
                *paid = true;
                let (session, lot, province) = (stay.session, stay.lot, stay.province);
                vec![OrderEvent::Paid { order, session, lot, province, amount: *amount, by: source.clone() }]
            }
        }
    }
}

/// An event without what is not judged: ends of life, words, and the lines, which only have to add up.
pub fn normal(event: &OrderEvent) -> OrderEvent {
    let mut event = event.clone();
    match &mut event {
        OrderEvent::Priced { quote, expires_at, .. } => {
            *expires_at = Moment(0);
            if adds_up(quote) {
                quote.lines.clear();
            }
        }
        OrderEvent::Unpriced { reason, expires_at, .. } => {
            *expires_at = Moment(0);
            *reason = "".into();
        }
        OrderEvent::Paid { .. } | OrderEvent::Owed { .. } | OrderEvent::Noted { .. } => {}
    }
    event
}

fn adds_up(quote: &Quote) -> bool {
    let sum = quote.lines.iter().map(|line| line.amount).sum();
    let each = quote.lines.iter().all(|line| match line.what {
        LineKind::Free | LineKind::Right | LineKind::Grace => line.amount == 0,
        LineKind::Step | LineKind::Flat | LineKind::FullDay | LineKind::LostTicket => line.amount == line.units * line.unit_price,
        LineKind::Cap | LineKind::BandCap | LineKind::StayCap => line.amount < 0,
        LineKind::ValidationFree | LineKind::ValidationTime | LineKind::ValidationPercent | LineKind::ValidationAmount | LineKind::Paid => {
            line.amount <= 0
        }
        LineKind::Minimum => line.amount > 0,
        LineKind::Rounding => line.amount != 0,
    });
    each && Money::new(sum, quote.total.currency) == quote.total
}
