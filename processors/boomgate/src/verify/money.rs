//! Promise 3 on journals: what channels captured is what pays orders, what went back, and what is held or on its way back.
//!
//! Each of the four is counted by events of its own. No entity is asked: what it says of itself adds up by definition.
//!
//! Invariants
//! 1. Money that does not add up is named: what became of nothing, what goes back twice, what pays an order that is not due it
//!    (`verify::tests::money_that_does_not_add_up_is_named`).
//! 2. So is money that is journaled at another amount than its channel told
//!    (`verify::tests::money_at_another_amount_than_its_channel_told_is_named`).
//!
//! Not here: which money should count (the oracle in `bench`).

use super::{Log, Report};
use crate::input;
use schema::{
    ChannelEvent, ChannelFact, Event, Id, Inbox, Money,
    journal::{OrderEvent, PaymentEvent, RefundReason, Source},
    wire,
};
use std::collections::BTreeMap;
use streams::Stored;

/// What ORDER says was paid.
pub(super) struct Paid {
    /// Its sequence there.
    sequence: u64,
    order: Id,
    amount: Money,
    /// The sequence in PAYMENT of what said so.
    cause: u64,
}

/// What money that came is to its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// It waits for its order, or for the other means of its payment.
    Held,
    /// It pays.
    Pays,
    /// It pays nothing: what of it is captured goes back.
    Nothing,
}

/// What the events tell of money that came.
#[derive(Debug)]
struct Came {
    /// How much it is, captured or not.
    amount: Money,
    /// What was captured; none while it may still fail.
    captured: Option<Money>,
    stands: Stands,
    /// What was to go back, by refund.
    asked: BTreeMap<Id, Money>,
    /// What went back, by refund.
    back: BTreeMap<Id, Money>,
    /// Whether nothing that happened to it has been trimmed.
    whole: bool,
}

/// What the events tell of the money of one order.
#[derive(Debug, Default)]
struct Book {
    due: Option<Money>,
    came: BTreeMap<Source, Came>,
}

/// The sums of money that came, in minor units.
struct Sums {
    captured: i64,
    applied: i64,
    refunded: i64,
    open: i64,
}

fn sum<'a>(amounts: impl Iterator<Item = &'a Money>) -> i64 {
    amounts.fold(0, |sum, amount| sum.saturating_add(amount.minor))
}

impl Came {
    fn sums(&self) -> Sums {
        let (captured, asked) = (sum(self.captured.iter()), sum(self.asked.values()));
        let applied = if self.stands == Stands::Pays { captured.saturating_sub(asked) } else { 0 };
        let held = if self.stands == Stands::Held { captured } else { 0 };
        let on_its_way = sum(self.asked.iter().filter(|(refund, _)| !self.back.contains_key(*refund)).map(|(_, amount)| amount));
        Sums { captured, applied, refunded: sum(self.back.values()), open: held.saturating_add(on_its_way) }
    }

    /// What does not add up.
    fn differs(&self) -> Option<String> {
        let Sums { captured, applied, refunded, open } = self.sums();
        let asked = sum(self.asked.values());
        if asked > captured || refunded > captured {
            return Some(format!("more is to go back than it captured: {asked}, and {refunded} has, of {captured}"));
        }
        let became = applied.saturating_add(refunded).saturating_add(open);
        (captured != became).then(|| format!("it captured {captured}, and that is not applied {applied} + refunded {refunded} + open {open}"))
    }
}

impl Book {
    fn money(&mut self, source: &Source, amount: Money, whole: bool) -> &mut Came {
        let new = || Came { amount, captured: None, stands: Stands::Nothing, asked: BTreeMap::new(), back: BTreeMap::new(), whole };
        self.came.entry(source.clone()).or_insert_with(new)
    }

    /// Money came, or something became of it. What is captured stays so, at its amount.
    fn came(&mut self, source: &Source, (amount, is_captured): (Money, bool), stands: Stands, whole: bool) -> Option<String> {
        let came = self.money(source, amount, whole);
        let before = came.captured.filter(|before| is_captured && *before != amount);
        if is_captured {
            came.captured = Some(amount);
        }
        (came.amount, came.stands) = (amount, stands);
        before.map(|before| format!("{} captured {before}, and is {amount} now", words(source)))
    }

    /// Takes an event, and says what of it cannot be. `trimmed`: what was before it may be gone.
    fn take(&mut self, event: &PaymentEvent, trimmed: bool) -> Option<String> {
        match event {
            PaymentEvent::Expected { due, .. } => {
                self.due = Some(*due);
                None
            }
            PaymentEvent::Held { source, amount, provisional, .. } => self.came(source, (*amount, !provisional), Stands::Held, true),
            PaymentEvent::Applied { source, amount, provisional, .. } => self.came(source, (*amount, !provisional), Stands::Pays, true),
            PaymentEvent::Settled { source, amount, .. } | PaymentEvent::Imported { source, amount, .. } => {
                self.came(source, (*amount, true), Stands::Pays, true)
            }
            PaymentEvent::PassedOver { source, amount, .. } | PaymentEvent::Reversed { source, amount, .. } => {
                self.came(source, (*amount, false), Stands::Nothing, true)
            }
            PaymentEvent::RefundRequested { source, amount, refund, reason, applied, captured, .. } => {
                // What was a part of a payment that is not made pays nothing any more.
                let stands = if *applied && *reason != RefundReason::Incomplete { Stands::Pays } else { Stands::Nothing };
                // Of a part other parts may have been asked for before.
                let whole = !trimmed || captured.is_none();
                let differs = self.came(source, (captured.unwrap_or(*amount), true), stands, whole);
                let before = self.money(source, *amount, whole).asked.insert(*refund, *amount).filter(|before| before != amount);
                differs.or_else(|| before.map(|before| format!("the refund {refund} of {} was {before}, and is {amount} now", words(source))))
            }
            PaymentEvent::Refunded { source, amount, refund, .. } => {
                let came = self.money(source, *amount, !trimmed);
                let is_asked = came.asked.get(refund) == Some(amount);
                let is_right = came.back.insert(*refund, *amount).is_none() && is_asked;
                (came.whole && !is_right)
                    .then(|| format!("the refund {refund} of {amount} of {} was not asked for, or was made twice", words(source)))
            }
            PaymentEvent::Withdrawn { .. }
            | PaymentEvent::RefundWanted { .. }
            | PaymentEvent::RefundDeclined { .. }
            | PaymentEvent::RefundStood { .. }
            | PaymentEvent::Chosen { .. }
            | PaymentEvent::Attempted { .. }
            | PaymentEvent::AttemptStood { .. }
            | PaymentEvent::ShiftOpened { .. }
            | PaymentEvent::ShiftTook { .. }
            | PaymentEvent::ShiftCounted { .. }
            | PaymentEvent::ShiftClosed { .. }
            | PaymentEvent::ShiftNoted { .. }
            | PaymentEvent::Noted { .. } => None,
        }
    }

    /// What does not add up.
    fn differs(&self) -> Vec<String> {
        let whole = self.came.iter().filter(|(_, came)| came.whole);
        let mut differs: Vec<String> = whole.filter_map(|(source, came)| Some(format!("{}: {}", words(source), came.differs()?))).collect();
        let payers: Vec<&Money> = self.came.values().filter(|came| came.stands == Stands::Pays).map(|came| &came.amount).collect();
        // Of an order whose price is here all that pays it is here.
        if let Some(due) = self.due.filter(|_| !payers.is_empty()) {
            let pays = Money::new(sum(payers.iter().copied()), due.currency);
            if pays != due || payers.iter().any(|amount| amount.currency != due.currency) {
                differs.push(format!("{due} is due, and what is applied is {pays}"));
            }
        }
        differs
    }
}

fn words(source: &Source) -> String {
    format!("{}/{}", source.channel, source.transaction)
}

/// What a log of ORDER says was paid.
pub(super) fn paid(log: &Log) -> Vec<Paid> {
    let mut all = Vec::new();
    for (_, sequence, recorded) in &log.events {
        if let Event::Order(OrderEvent::Paid { order, amount, .. }) = &recorded.event {
            all.push(Paid { sequence: *sequence, order: *order, amount: *amount, cause: recorded.cause.sequence });
        }
    }
    all
}

/// Captured = applied + refunded + open for all money, each order is paid what is due and no more, and inbox, PAYMENT and ORDER say the same amounts.
pub(super) fn check(log: &Log, inboxes: &[(&'static str, Vec<Stored>)], orders: &[Paid], report: &mut Report) {
    let mut books: BTreeMap<Id, Book> = BTreeMap::new();
    for (_, sequence, recorded) in &log.events {
        let Event::Payment(event) = &recorded.event else { continue };
        let Some(bill) = event.bill() else { continue };
        if let Some(what) = books.entry(bill.order).or_default().take(event, log.trimmed) {
            report.differs(format!("PAYMENT {sequence}: order {}: {what}", bill.order));
        }
    }
    let mut known: BTreeMap<&Source, (Id, Option<Money>)> = BTreeMap::new();
    let mut refunds: BTreeMap<Id, &Source> = BTreeMap::new();
    for (order, book) in &books {
        for what in book.differs() {
            report.differs(format!("payments {order}: {what}"));
        }
        for (source, came) in &book.came {
            if let Some((other, _)) = known.insert(source, (*order, came.captured)) {
                report.differs(format!("payments {order}: {} counts for two orders, also for {other}", words(source)));
            }
            for refund in came.asked.keys() {
                if let Some(other) = refunds.insert(*refund, source).filter(|other| *other != source) {
                    report.differs(format!("payments {order}: the refund {refund} is of two transactions, {} and {}", words(other), words(source)));
                }
            }
            if came.whole {
                let Sums { captured, applied, refunded, open } = came.sums();
                let money = report.money.entry(format!("{:?}", came.amount.currency)).or_default();
                let sums = [(&mut money.captured, captured), (&mut money.applied, applied), (&mut money.refunded, refunded), (&mut money.open, open)];
                for (sum, part) in sums {
                    *sum = sum.saturating_add(part);
                }
            }
        }
    }
    told(log, inboxes, &known, report);
    settled(log, orders, report);
}

/// What a channel says it captured is captured in PAYMENT, at that amount.
fn told(log: &Log, inboxes: &[(&'static str, Vec<Stored>)], known: &BTreeMap<&Source, (Id, Option<Money>)>, report: &mut Report) {
    let mut answers: BTreeMap<&str, Vec<&PaymentEvent>> = BTreeMap::new();
    for (_, _, recorded) in log.events.iter().filter(|(_, _, recorded)| recorded.cause.inbox == Inbox::Channel) {
        if let Event::Payment(event) = &recorded.event {
            answers.entry(&*recorded.cause.event).or_default().push(event);
        }
    }
    for (_, messages) in inboxes.iter().filter(|(stream, _)| *stream == "CHANNEL") {
        for message in messages {
            let Ok(event) = wire::decode::<ChannelEvent>(input::content_type(message), &message.payload) else { continue };
            let ChannelFact::Succeeded { transaction, amount, .. } = &event.fact else { continue };
            let Some(answer) = answers.get(event.key().as_str()) else { continue };
            let source = Source { channel: event.channel.clone(), transaction: transaction.clone() };
            // What was known before is noted, even if it is another amount now: the first one counts.
            let is_taken = !answer.iter().any(|event| matches!(event, PaymentEvent::Noted { .. }));
            match known.get(&source) {
                None if !log.trimmed => {
                    report.differs(format!("CHANNEL {}: {amount} captured by {} is in no payment", message.sequence, words(&source)));
                }
                Some((order, captured)) if is_taken && *captured != Some(*amount) => {
                    let captured = captured.map_or_else(|| "nothing".to_owned(), |captured| captured.to_string());
                    let source = words(&source);
                    report.differs(format!("CHANNEL {}: {amount} captured by {source}, and order {order} has {captured} of it", message.sequence));
                }
                _ => {}
            }
        }
    }
}

/// What ORDER says was paid is what PAYMENT applied.
fn settled(log: &Log, orders: &[Paid], report: &mut Report) {
    let applied: BTreeMap<u64, &PaymentEvent> = log
        .events
        .iter()
        .filter_map(|(_, sequence, recorded)| if let Event::Payment(event) = &recorded.event { Some((*sequence, event)) } else { None })
        .collect();
    for Paid { sequence, order, amount, cause } in orders {
        let is_said = match applied.get(cause) {
            Some(PaymentEvent::Applied { bill, amount: of, part, .. }) => bill.order == *order && part.map_or(*of, |part| part.of) == *amount,
            Some(_) => false,
            None => log.trimmed,
        };
        if !is_said {
            report.differs(format!("ORDER {sequence}: order {order} is paid {amount}, which PAYMENT {cause} does not say"));
        }
    }
}
