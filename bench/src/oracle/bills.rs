//! What ORDER should say: a naive cashier of one partition.
//!
//! Invariants
//! 1. A wrong price is a difference, whatever lines explain it   (`oracle::tests::each_mutation_is_found`).

use super::{World, price};
use schema::{
    Id, Moment, Money, Partition,
    id::{self, Kind, Place, Province},
    journal::{LineKind, Note, OrderEvent, PaymentEvent, Prepays, Question, Quote, SessionEvent, Source, Stay},
};
use std::collections::BTreeMap;

/// How an order stands.
#[derive(Clone, Debug, PartialEq)]
enum Stands {
    /// It waits for another one to be withdrawn; the car may go meanwhile.
    Waits { question: Box<Question>, first: Id, gone: bool },
    /// It can be paid.
    Due(Money),
    /// It costs nothing, or nobody knows what.
    Nothing,
    /// It is paid, by however many means.
    Paid(Money),
    /// It is over. The one for which it had waited was paid, where there is one here.
    Over { first: Option<Id> },
}

/// An order: its stay, the question's number and moment where the car was inside, and the one that waits for its end.
struct Bill {
    stay: Stay,
    inside: Option<(u32, Moment)>,
    stands: Stands,
    replaced_by: Option<Id>,
    /// What its car owes since it has gone.
    owed: Option<Money>,
}

/// One partition: the orders.
pub struct Bills<'a> {
    world: &'a World<'a>,
    partition: Partition,
    orders: BTreeMap<Id, Bill>,
}

impl<'a> Bills<'a> {
    /// An empty one.
    pub fn new(world: &'a World<'a>, partition: Partition) -> Self {
        Self { world, partition, orders: BTreeMap::new() }
    }

    fn order_of(&self, stay: &Stay, sequence: u32, asked_at: Moment) -> Option<Id> {
        let place = Place { province: stay.province, day: self.world.lot(&stay.lot)?.zone.day(asked_at), partition: self.partition };
        Some(id::derive(Kind::Order, place, &[stay.session.as_str(), &sequence.to_string()]))
    }

    /// What an event of SESSION becomes.
    pub fn session(&mut self, event: &SessionEvent) -> Vec<OrderEvent> {
        let (question, inside) = match event {
            SessionEvent::Gone { stay, asked: Some((sequence, asked_at)), .. } => return self.gone(stay, *sequence, *asked_at),
            SessionEvent::Leaving { stay, departure, sequence, right, terms } => ((stay, departure, sequence, right, terms), false),
            SessionEvent::Asked { stay, departure, sequence, right, terms } => ((stay, departure, sequence, right, terms), true),
            _ => return Vec::new(),
        };
        let (stay, departure, sequence, right, terms) = question;
        let question =
            Question { stay: stay.clone(), departure: departure.clone(), sequence: *sequence, right: right.clone(), terms: terms.clone(), inside };
        let Some(order) = self.order_of(stay, *sequence, departure.left_at) else { return Vec::new() };
        let before = terms.as_ref().and_then(|terms| terms.before).and_then(|(sequence, at)| self.order_of(stay, sequence, at));
        let knows = |order: Id| terms.as_ref().is_some_and(|terms| terms.paid.iter().any(|paid| *paid.id == *order.as_str()));
        let stands = before.and_then(|before| Some((before, self.orders.get(&before)?.stands.clone())));
        match stands {
            Some((old, Stands::Due(_))) => {
                self.wait(order, old, question.clone());
                vec![OrderEvent::Withdrawn { order: old, by: order, question: Box::new(question) }]
            }
            Some((old, Stands::Waits { first, .. })) => {
                self.wait(order, first, question.clone());
                self.orders.get_mut(&old).expect("it stands").stands = Stands::Over { first: Some(first) };
                let province = stay.province;
                vec![OrderEvent::Withdrawn { order: first, by: order, question: Box::new(question) }, OrderEvent::Cancelled { order: old, province }]
            }
            Some((by, Stands::Paid(_)) | (_, Stands::Over { first: Some(by) })) if !knows(by) => {
                let inside = inside.then_some((*sequence, departure.left_at));
                let bill = Bill { stay: stay.clone(), inside, stands: Stands::Over { first: Some(by) }, replaced_by: None, owed: None };
                self.orders.insert(order, bill);
                vec![OrderEvent::Overtaken { order, by, question: Box::new(question) }]
            }
            _ => self.price(order, &question, false),
        }
    }

    fn wait(&mut self, order: Id, first: Id, question: Question) {
        let inside = question.inside.then_some((question.sequence, question.departure.left_at));
        let stay = question.stay.clone();
        self.orders.insert(
            order,
            Bill { stay, inside, stands: Stands::Waits { question: Box::new(question), first, gone: false }, replaced_by: None, owed: None },
        );
        if let Some(first) = self.orders.get_mut(&first) {
            first.replaced_by = Some(order);
        }
    }

    fn price(&mut self, order: Id, question: &Question, gone: bool) -> Vec<OrderEvent> {
        let Question { stay, departure, sequence, right, terms, inside } = question.clone();
        let Some(lot) = self.world.lot(&stay.lot) else { return Vec::new() };
        let (expires_at, inside) = (Moment(0), inside.then_some(sequence));
        let mut bill =
            Bill { stay: stay.clone(), inside: inside.map(|n| (n, departure.left_at)), stands: Stands::Nothing, replaced_by: None, owed: None };
        // Who left before they came has no price either: one of the two times is wrong.
        let Some(table) = lot.rates().filter(|_| stay.entered_at <= departure.left_at) else {
            self.orders.insert(order, bill);
            return vec![OrderEvent::Unpriced { order, stay, departure, reason: "".into(), word: None, expires_at, inside }];
        };
        let is_lost = terms.as_ref().is_some_and(|terms| terms.lost);
        if is_lost && table.lost_ticket.is_none() {
            self.orders.insert(order, bill);
            return vec![OrderEvent::Unpriced { order, stay, departure, reason: "".into(), word: None, expires_at, inside }];
        }
        let (paid, validations) = terms.as_ref().map_or((&[][..], &[][..]), |terms| (&terms.paid, &terms.validations));
        let total = price::after_payments(paid, i64::from(lot.declared.exit_grace_min), departure.left_at, |until| {
            price::validated(validations, price::under_right(table, (stay.entered_at, until), right.as_deref(), &lot.zone))
        });
        let total = table.lost_ticket.filter(|_| is_lost).map_or(total, |fee| Money::new(fee, table.currency));
        let minutes = if is_lost { 0 } else { price::minutes(stay.entered_at, departure.left_at) };
        let quote = Quote { rate_table: table.id.clone(), version: table.version, minutes, lines: Vec::new(), total };
        let owed = (total.minor > 0 && (gone || terms.is_some_and(|terms| terms.gone))).then_some(OrderEvent::Owed {
            order,
            session: stay.session,
            lot: stay.lot,
            province: stay.province,
            amount: total,
            begins: true,
        });
        bill.owed = owed.is_some().then_some(total);
        if total.minor > 0 {
            bill.stands = Stands::Due(total);
        }
        self.orders.insert(order, bill);
        std::iter::once(OrderEvent::Priced { order, stay, departure, quote, expires_at, inside }).chain(owed).collect()
    }

    /// What becomes of the order of a car that has gone.
    fn gone(&mut self, stay: &Stay, sequence: u32, asked_at: Moment) -> Vec<OrderEvent> {
        let Some(order) = self.order_of(stay, sequence, asked_at) else { return Vec::new() };
        let province = stay.province;
        let noted = |note| vec![OrderEvent::Noted { note, order, province }];
        let Some(bill) = self.orders.get_mut(&order) else { return noted(Note::Unknown) };
        match &mut bill.stands {
            Stands::Paid(_) => noted(Note::AlreadyKnown),
            Stands::Due(amount) => {
                let begins = bill.owed.replace(*amount).is_none();
                vec![OrderEvent::Owed { order, session: stay.session, lot: stay.lot, province, amount: *amount, begins }]
            }
            Stands::Waits { gone, .. } => {
                *gone = true;
                vec![OrderEvent::Gone { order, province }]
            }
            Stands::Nothing | Stands::Over { .. } => noted(Note::NothingOwed),
        }
    }

    /// What an event of PAYMENT becomes.
    pub fn payment(&mut self, event: &PaymentEvent) -> Vec<OrderEvent> {
        match event {
            PaymentEvent::Applied { bill, source, amount, paid_at, part, .. } => {
                self.paid(bill.order, source, part.map_or(*amount, |part| part.of), paid_at.unwrap_or_default())
            }
            PaymentEvent::Withdrawn { bill } => self.withdrawn(bill.order),
            PaymentEvent::Reversed { bill, applied: true, .. } => self.reopened(bill.order),
            _ => Vec::new(),
        }
    }

    fn paid(&mut self, order: Id, by: &Source, amount: Money, paid_at: Moment) -> Vec<OrderEvent> {
        let province = id::place(order.as_str()).map_or(Province(0), |place| place.province);
        let noted = |note| vec![OrderEvent::Noted { note, order, province }];
        let Some(bill) = self.orders.get_mut(&order) else { return noted(Note::Unknown) };
        if matches!(bill.stands, Stands::Paid(_)) {
            return noted(Note::AlreadyKnown);
        }
        bill.stands = Stands::Paid(amount);
        let (session, lot, province) = (bill.stay.session, bill.stay.lot, bill.stay.province);
        let prepays = bill.inside.map(|(sequence, until)| Prepays { sequence, until, paid_at });
        let (waits, owed) = (bill.replaced_by, bill.owed.take());
        let mut events = vec![OrderEvent::Paid { order, session, lot, province, amount, by: by.clone(), prepays }];
        if let Some(waits) = waits {
            self.orders.get_mut(&waits).expect("it waits").stands = Stands::Over { first: Some(order) };
            events.push(OrderEvent::Cancelled { order: waits, province });
        }
        events.extend(owed.map(|amount| OrderEvent::Cleared { order, lot, province, amount }));
        events
    }

    /// All of it is due again, also where a part of what paid it has failed.
    fn reopened(&mut self, order: Id) -> Vec<OrderEvent> {
        let province = id::place(order.as_str()).map_or(Province(0), |place| place.province);
        let paid = self.orders.get_mut(&order).and_then(|bill| if let Stands::Paid(amount) = bill.stands { Some((bill, amount)) } else { None });
        match paid {
            Some((bill, amount)) => {
                (bill.stands, bill.inside) = (Stands::Due(amount), None);
                let (session, lot) = (bill.stay.session, bill.stay.lot);
                let begins = bill.owed.replace(amount).is_none();
                vec![OrderEvent::Reopened { order, province, amount }, OrderEvent::Owed { order, session, lot, province, amount, begins }]
            }
            None => vec![OrderEvent::Noted { note: Note::Unknown, order, province }],
        }
    }

    fn withdrawn(&mut self, order: Id) -> Vec<OrderEvent> {
        let province = id::place(order.as_str()).map_or(Province(0), |place| place.province);
        let new = self.orders.get(&order).and_then(|bill| bill.replaced_by);
        let Some((new, Stands::Waits { question, gone, .. })) = new.and_then(|new| Some((new, self.orders.get(&new)?.stands.clone()))) else {
            return vec![OrderEvent::Noted { note: Note::Unknown, order, province }];
        };
        let old = self.orders.get_mut(&order).expect("it was found");
        old.stands = Stands::Over { first: None };
        let (lot, owed) = (old.stay.lot, old.owed.take());
        let cleared = owed.map(|amount| OrderEvent::Cleared { order, lot, province, amount });
        let priced = self.price(new, &question, gone);
        std::iter::once(OrderEvent::Cancelled { order, province }).chain(cleared).chain(priced).collect()
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
        OrderEvent::Unpriced { reason, word, expires_at, .. } => {
            (*expires_at, *word) = (Moment(0), None);
            *reason = "".into();
        }
        _ => {}
    }
    event
}

fn adds_up(quote: &Quote) -> bool {
    let sum = quote.lines.iter().map(|line| line.amount).sum();
    let each = quote.lines.iter().all(|line| match line.what {
        LineKind::Free | LineKind::Right | LineKind::Grace => line.amount == 0,
        LineKind::Step | LineKind::Flat | LineKind::FullDay | LineKind::LostTicket => line.amount == line.units * line.unit_price,
        LineKind::Tier => line.amount >= 0,
        LineKind::Cap | LineKind::BandCap | LineKind::LineCap | LineKind::StayCap => line.amount < 0,
        LineKind::ValidationFree | LineKind::ValidationTime | LineKind::ValidationPercent | LineKind::ValidationAmount | LineKind::Paid => {
            line.amount <= 0
        }
        LineKind::Minimum => line.amount > 0,
        LineKind::Rounding | LineKind::LineMinimum => line.amount != 0,
    });
    each && Money::new(sum, quote.total.currency) == quote.total
}
