//! What LEDGER should say, and promise 4: in every window debits equal credits.
//!
//! Invariants
//! 1. An unbalanced posting is a difference, whatever caused it   (`oracle::tests::each_mutation_is_found`).

use super::Findings;
use crate::logs::Line;
use schema::{
    Currency, Event, Id, Partition,
    id::{self, Province},
    journal::{Account, Entry, LedgerEvent, PaymentEvent},
    time::Day,
};
use std::collections::{BTreeMap, BTreeSet};

/// What an event of PAYMENT becomes. `actual` lends the posting's id, which is a name and no decision.
pub fn payment(partition: Partition, event: &PaymentEvent, actual: &[&LedgerEvent]) -> Vec<LedgerEvent> {
    use Account::{ChannelReceivable, ParkingRevenue, ProvisionalReceivable, RefundLiability};
    let (bill, source, amount, debit, credit) = match event {
        PaymentEvent::Held { bill, source, amount, provisional: false, .. } => (bill, source, amount, ChannelReceivable, RefundLiability),
        PaymentEvent::Applied { bill, source, amount, provisional: true, .. } => (bill, source, amount, ProvisionalReceivable, ParkingRevenue),
        PaymentEvent::Settled { bill, source, amount } => (bill, source, amount, ChannelReceivable, ProvisionalReceivable),
        PaymentEvent::PassedOver { bill, source, amount, applied: true, .. } | PaymentEvent::Reversed { bill, source, amount, applied: true } => {
            (bill, source, amount, ParkingRevenue, ProvisionalReceivable)
        }
        PaymentEvent::RefundRequested { bill, source, amount, tries: 1, applied: true, .. } => {
            (bill, source, amount, ParkingRevenue, RefundLiability)
        }
        PaymentEvent::Applied { bill, source, amount, held: false, .. } => (bill, source, amount, ChannelReceivable, ParkingRevenue),
        PaymentEvent::Applied { bill, source, amount, held: true, .. } => (bill, source, amount, RefundLiability, ParkingRevenue),
        PaymentEvent::RefundRequested { bill, source, amount, tries: 1, held: false, .. } => {
            (bill, source, amount, ChannelReceivable, RefundLiability)
        }
        PaymentEvent::Refunded { bill, source, amount, .. } => (bill, source, amount, RefundLiability, ChannelReceivable),
        _ => return Vec::new(),
    };
    let lent = actual.first().map(|LedgerEvent::Posted { posting, .. }| *posting);
    let lies_here = |id: &Id| id.as_str().starts_with('L') && id::place(id.as_str()).is_some_and(|place| place.partition == partition);
    vec![LedgerEvent::Posted {
        posting: lent.filter(lies_here).unwrap_or_else(|| "L".parse().expect("a letter is a token")),
        order: bill.order,
        lot: bill.lot,
        day: bill.day,
        province: id::place(bill.order.as_str()).map_or(Province(0), |place| place.province),
        channel: source.channel.clone(),
        currency: amount.currency,
        entries: vec![Entry { account: debit, debit: amount.minor, credit: 0 }, Entry { account: credit, debit: 0, credit: amount.minor }],
    }]
}

/// An event with its sides in one order.
pub fn normal(event: &LedgerEvent) -> LedgerEvent {
    let mut event = event.clone();
    let LedgerEvent::Posted { entries, .. } = &mut event;
    entries.sort_by_key(|entry| (entry.debit == 0, entry.account));
    event
}

/// The sums of the whole ledger.
#[derive(Default)]
pub struct Books {
    /// Debits less credits by order, account and currency.
    pub orders: BTreeMap<(Id, Account, Currency), i64>,
    windows: BTreeMap<(Option<String>, Day, Currency), (i64, i64)>,
    postings: BTreeSet<Id>,
}

impl Books {
    /// Adds up a ledger and says what does not balance.
    pub fn add_up(lines: &[Line], findings: &mut Findings) -> Self {
        let mut books = Self::default();
        for line in lines {
            let Event::Ledger(LedgerEvent::Posted { posting, order, lot, day, currency, entries, .. }) = &line.recorded.event else { continue };
            if !books.postings.insert(*posting) {
                findings.found_double(format!("LEDGER {}: posting {posting} is there twice", line.sequence));
            }
            let (debits, credits) = entries.iter().fold((0, 0), |(debits, credits), entry| (debits + entry.debit, credits + entry.credit));
            if debits != credits || entries.iter().any(|entry| entry.debit < 0 || entry.credit < 0) {
                findings.found(format!("LEDGER {}: posting {posting} debits {debits} and credits {credits}", line.sequence));
            }
            let window = books.windows.entry((lot.map(|lot| lot.to_string()), *day, *currency)).or_default();
            *window = (window.0 + debits, window.1 + credits);
            for entry in entries {
                *books.orders.entry((*order, entry.account, *currency)).or_default() += entry.debit - entry.credit;
            }
        }
        for ((lot, day, currency), (debits, credits)) in &books.windows {
            if debits != credits {
                let lot = lot.as_deref().unwrap_or("no lot yet");
                findings.found(format!("window {lot}, {day}: debits {debits} and credits {credits} {currency:?} differ"));
            }
        }
        books
    }
}
