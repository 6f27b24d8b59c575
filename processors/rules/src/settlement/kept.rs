//! What a channel keeps for itself of a day: by its contract's rate, until its statement tells.
//!
//! Every payment books the fee of its contract at once. A statement tells the fees of a whole day, and what the books hold less is posted with it; from then
//! on whatever is booked under that day, a payment that the books lacked, leaves the sum as the statement has it.
//!
//! Invariants
//! 1. Once a statement was told of, the books hold what it tells, whatever comes when   (`super::tests::the_books_hold_what_the_statement_tells`).
//!
//! Not here: what the contract's fee is (`fee`), what a statement tells (reconciliation).

use super::movement::Movement;
use schema::{
    exception::{ReconEvent, day_of},
    ledger::{Account, DayFees, Entry, FeesAt, LedgerEvent},
};

/// The fees that a movement tells of or changes.
pub fn at(movement: &Movement<'_>, told: Option<&LedgerEvent>) -> Option<FeesAt> {
    if let Some(LedgerEvent::FeesTold { fees, .. }) = told {
        return Some(fees.clone());
    }
    let charges = movement.entries.iter().any(|entry| entry.account == Account::ChannelFees);
    let Movement { province, partition, currency, .. } = *movement;
    charges.then(|| FeesAt { province, partition, channel: movement.channel.into(), day: day_of(movement.at), currency })
}

/// What a comparison tells of them.
pub fn told(event: &ReconEvent) -> Option<LedgerEvent> {
    let ReconEvent::Matched { piece, fees: Some(kept), .. } = event else { return None };
    let (province, partition) = (piece.province, piece.partition);
    let fees = FeesAt { province, partition, channel: piece.channel.clone(), day: piece.day, currency: kept.currency };
    Some(LedgerEvent::FeesTold { fees, merchant: piece.merchant.clone(), minor: kept.minor })
}

/// The sides that make what the books will hold what statements tell, beside `entries`.
pub fn adjustment(known: Option<&DayFees>, fees: &FeesAt, entries: &[Entry], told: Option<&LedgerEvent>) -> Vec<Entry> {
    let mut after = known.cloned().unwrap_or_else(|| DayFees::new(fees.clone()));
    if let Some(told) = told {
        fold(&mut after, told);
    }
    book(&mut after, entries);
    match after.lacking() {
        0 => Vec::new(),
        more @ 1.. => vec![Entry::debit(Account::ChannelFees, more), Entry::credit(Account::ChannelReceivable, more)],
        less => {
            let less = less.saturating_neg();
            vec![Entry::debit(Account::ChannelReceivable, less), Entry::credit(Account::ChannelFees, less)]
        }
    }
}

fn book(day: &mut DayFees, entries: &[Entry]) {
    let fees = entries.iter().filter(|entry| entry.account == Account::ChannelFees);
    day.booked = fees.fold(day.booked, |sum, entry| sum.saturating_add(entry.debit).saturating_sub(entry.credit));
}

/// The fold of a day's fees.
pub fn fold(day: &mut DayFees, event: &LedgerEvent) {
    match event {
        LedgerEvent::FeesTold { merchant, minor, .. } => drop(day.told.insert(merchant.clone(), *minor)),
        LedgerEvent::Posted { entries, .. } => book(day, entries),
        LedgerEvent::WindowClosed { .. } | LedgerEvent::WindowStopped { .. } | LedgerEvent::Noted { .. } => {}
    }
}
