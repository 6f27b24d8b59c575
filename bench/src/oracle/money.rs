//! What PAYMENT should say: a naive purse for each order of one partition.
//!
//! Invariants
//! 1. Of the successes for one order one counts, and each other goes back once   (`oracle::tests::each_mutation_is_found`).
//!
//! Not here: whether the sums agree across the logs (`identity`).

use schema::{
    ChannelEvent, ChannelFact, Id, LotId, Moment, Money,
    id::{self, Kind},
    journal::{Bill, Note, OrderEvent, PaymentEvent, RefundReason, Source},
    time::Day,
};
use std::collections::BTreeMap;

/// What became of one receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Held,
    Applied,
    Refunding { refund: Id, reason: RefundReason, tries: u32, due_at: Moment },
    Refunded { refund: Id },
}

/// Money that came, in the order in which it came.
#[derive(Clone, Debug)]
struct Receipt {
    source: Source,
    amount: Money,
    paid_at: Moment,
    fate: Fate,
}

#[derive(Default)]
struct Purse {
    lot: Option<LotId>,
    due: Option<Money>,
    withdrawn: bool,
    receipts: Vec<Receipt>,
}

/// One partition: a purse for each order.
#[derive(Default)]
pub struct Purses {
    purses: BTreeMap<Id, Purse>,
}

fn day(order: Id) -> Day {
    id::place(order.as_str()).map_or(Day(0), |place| place.day)
}

fn refund_id(order: Id, source: &Source) -> Id {
    let place = id::place(order.as_str()).expect("an order that is no id of ours is a dead letter");
    id::derive(Kind::Refund, place, &[order.as_str(), &source.channel, &source.transaction, "1"])
}

impl Purse {
    fn bill(&self, order: Id) -> Bill {
        Bill { order, lot: self.lot, day: day(order) }
    }

    fn is_paid(&self) -> bool {
        self.receipts.iter().any(|receipt| receipt.fate == Fate::Applied)
    }

    /// Counts or sends back one receipt of an order whose price is known.
    fn decide(&mut self, order: Id, at: usize, held: bool) -> PaymentEvent {
        let (bill, paid, due, withdrawn) = (self.bill(order), self.is_paid(), self.due, self.withdrawn);
        let receipt = &mut self.receipts[at];
        let (source, amount) = (receipt.source.clone(), receipt.amount);
        if Some(amount) == due && !paid && !withdrawn {
            receipt.fate = Fate::Applied;
            return PaymentEvent::Applied { bill, source, amount, held, paid_at: Some(receipt.paid_at) };
        }
        let reason = match (Some(amount) == due, paid) {
            (false, _) => RefundReason::AmountDiffers,
            (true, true) => RefundReason::Duplicate,
            (true, false) => RefundReason::Withdrawn,
        };
        let refund = refund_id(order, &source);
        receipt.fate = Fate::Refunding { refund, reason, tries: 1, due_at: Moment(0) };
        PaymentEvent::RefundRequested { bill, source, amount, refund, reason, tries: 1, held, due_at: Moment(0) }
    }
}

impl Purses {
    /// What an event of ORDER becomes.
    pub fn order(&mut self, event: &OrderEvent) -> Vec<PaymentEvent> {
        if let OrderEvent::Withdrawn { order, .. } = event {
            return vec![self.withdraw(*order)];
        }
        let OrderEvent::Priced { order, stay, quote, .. } = event else { return Vec::new() };
        if quote.total.is_zero() {
            return Vec::new();
        }
        let purse = self.purses.entry(*order).or_default();
        if purse.due.is_some() {
            return vec![PaymentEvent::Noted { note: Note::AlreadyKnown, order: *order }];
        }
        purse.due = Some(quote.total);
        purse.lot = Some(stay.lot);
        let mut events = vec![PaymentEvent::Expected { bill: purse.bill(*order), due: quote.total }];
        for at in 0..purse.receipts.len() {
            events.push(purse.decide(*order, at, true));
        }
        events
    }

    fn withdraw(&mut self, order: Id) -> PaymentEvent {
        let noted = |note| PaymentEvent::Noted { note, order };
        match self.purses.get_mut(&order).filter(|purse| purse.due.is_some()) {
            None => noted(Note::Unknown),
            Some(purse) if purse.is_paid() => noted(Note::AlreadyKnown),
            Some(purse) if purse.withdrawn => noted(Note::AlreadyClosed),
            Some(purse) => {
                purse.withdrawn = true;
                PaymentEvent::Withdrawn { bill: purse.bill(order) }
            }
        }
    }

    /// What a channel's fact becomes.
    pub fn channel(&mut self, event: &ChannelEvent) -> Vec<PaymentEvent> {
        let Some(order) = event.order() else { return Vec::new() };
        match &event.fact {
            ChannelFact::Succeeded { transaction, amount, .. } => {
                let source = Source { channel: event.channel.clone(), transaction: transaction.clone() };
                let purse = self.purses.entry(order).or_default();
                if let Some(known) = purse.receipts.iter().find(|receipt| receipt.source == source) {
                    let note = if known.amount == *amount { Note::AlreadyKnown } else { Note::AmountDiffers };
                    return vec![PaymentEvent::Noted { note, order }];
                }
                let paid_at = event.happened_at;
                purse.receipts.push(Receipt { source: source.clone(), amount: *amount, paid_at, fate: Fate::Held });
                if purse.due.is_none() {
                    return vec![PaymentEvent::Held { bill: purse.bill(order), source, amount: *amount, paid_at: Some(paid_at) }];
                }
                vec![purse.decide(order, purse.receipts.len() - 1, false)]
            }
            ChannelFact::RefundAnswered { refund, succeeded, .. } => vec![self.refund_answered(order, *refund, *succeeded)],
        }
    }

    fn refund_answered(&mut self, order: Id, refund: Id, succeeded: bool) -> PaymentEvent {
        let noted = |note| PaymentEvent::Noted { note, order };
        let Some(purse) = self.purses.get_mut(&order) else { return noted(Note::Unknown) };
        let bill = purse.bill(order);
        for receipt in &mut purse.receipts {
            match receipt.fate {
                Fate::Refunded { refund: known } if known == refund => return noted(Note::AlreadyKnown),
                Fate::Refunding { refund: known, .. } if known == refund && !succeeded => return noted(Note::RefundRefused),
                Fate::Refunding { refund: known, .. } if known == refund => {
                    receipt.fate = Fate::Refunded { refund };
                    return PaymentEvent::Refunded { bill, source: receipt.source.clone(), amount: receipt.amount, refund };
                }
                _ => {}
            }
        }
        noted(Note::Unknown)
    }

    /// What a tick's event should have been; says why where it should not be at all.
    pub fn tick(&mut self, at: Moment, actual: &PaymentEvent) -> Result<PaymentEvent, String> {
        let PaymentEvent::RefundRequested { bill, refund, .. } = actual else { return Err("a tick only asks for refunds again".into()) };
        let Some(purse) = self.purses.get_mut(&bill.order) else { return Err(format!("a refund of the unknown order {}", bill.order)) };
        let bill = purse.bill(bill.order);
        for receipt in &mut purse.receipts {
            if let Fate::Refunding { refund: known, reason, tries, due_at } = &mut receipt.fate
                && known == refund
            {
                if *due_at > at {
                    return Err(format!("refund {refund} is asked for again before it is due"));
                }
                *tries += 1;
                let (source, amount) = (receipt.source.clone(), receipt.amount);
                return Ok(PaymentEvent::RefundRequested {
                    bill,
                    source,
                    amount,
                    refund: *refund,
                    reason: *reason,
                    tries: *tries,
                    held: false,
                    due_at: Moment(0),
                });
            }
        }
        Err(format!("refund {refund} is asked for again, and no money waits for it"))
    }

    /// Takes over when a refund is due again, which is a setting and no decision.
    pub fn take_due(&mut self, actual: &PaymentEvent) {
        let PaymentEvent::RefundRequested { bill, refund, due_at: again, .. } = actual else { return };
        for receipt in self.purses.get_mut(&bill.order).into_iter().flat_map(|purse| &mut purse.receipts) {
            if let Fate::Refunding { refund: known, due_at, .. } = &mut receipt.fate
                && known == refund
            {
                *due_at = *again;
            }
        }
    }
}

/// An event without what is not judged.
pub fn normal(event: &PaymentEvent) -> PaymentEvent {
    let mut event = event.clone();
    if let PaymentEvent::RefundRequested { due_at, held, tries, .. } = &mut event {
        *due_at = Moment(0);
        // What the money was before matters to the ledger once.
        *held &= *tries == 1;
    }
    event
}
