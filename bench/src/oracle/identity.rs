//! Promise 3, across the logs: captured = applied + refunded + open liability, for each order and in all.
//!
//! Invariants
//! 1. What was captured is counted from the inbox, what became of it from the journal, what is owed from the ledger: three
//!    sources that cannot cover for each other   (`oracle::tests::each_mutation_is_found`).

use super::{
    Findings,
    answers::{Groups, Inputs},
    postings::Books,
};
use crate::logs::Line;
use schema::{
    ChannelFact, Currency, Event, Id, Inbox, Money,
    desk::Says,
    journal::{PaymentEvent, RefundReason, Source},
    ledger::Account,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The sums of promise 3 in one currency, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// What channels captured.
    pub captured: i64,
    /// What pays orders.
    pub applied: i64,
    /// What went back.
    pub refunded: i64,
    /// What is held or on its way back.
    pub liability: i64,
    /// What pays orders and may still fail: nothing of it is captured.
    pub provisional: i64,
}

/// The accounts in which captured money is, the part that its channel keeps included.
const HELD: [Account; 4] = [Account::ChannelReceivable, Account::ChannelFees, Account::Cash, Account::PointsIssuer];

type BySum = BTreeMap<(Id, Currency), Sums>;

/// Counts and compares; gives the sums by currency.
pub fn check(groups: &Groups, inputs: &Inputs, lines: &[Line], books: &Books, at_rest: bool, findings: &mut Findings) -> BTreeMap<Currency, Sums> {
    let mut orders: BySum = BTreeMap::new();
    captured(groups, inputs, &mut orders);
    spent(lines, &mut orders, findings);
    let mut all: BTreeMap<Currency, Sums> = BTreeMap::new();
    for ((order, currency), sums) in &orders {
        if sums.captured != sums.applied + sums.refunded + sums.liability || sums.liability < 0 {
            findings.found(format!("order {order}: captured is not applied + refunded + liability: {sums:?} {currency:?}"));
        }
        if at_rest {
            let one = |account: &Account| books.orders.get(&(*order, *account, *currency)).copied().unwrap_or(0);
            let balance = |accounts: &[Account]| accounts.iter().map(one).sum::<i64>();
            let owed = -balance(&[Account::RefundLiability]);
            // What was taken off a price is earned, too, and nobody pays it here.
            let earned = -balance(&[Account::ParkingRevenue, Account::PointsRedeemed, Account::DiscountsMerchant, Account::DiscountsOperator]);
            let kept = balance(&HELD);
            let accepted = balance(&[Account::ProvisionalReceivable]);
            if (owed, earned, kept, accepted) != (sums.liability, sums.applied + sums.provisional, sums.captured - sums.refunded, sums.provisional) {
                let ledger = format!("owes {owed}, earned {earned}, keeps {kept}, waits for {accepted}");
                findings.found(format!("order {order}: the ledger {ledger}; the payments say {sums:?}"));
            }
        }
        let total = all.entry(*currency).or_default();
        total.captured += sums.captured;
        total.applied += sums.applied;
        total.refunded += sums.refunded;
        total.liability += sums.liability;
        total.provisional += sums.provisional;
    }
    let known: BTreeSet<&Id> = orders.keys().map(|(order, _)| order).collect();
    for (order, account, _) in books.orders.keys() {
        if at_rest && HELD.contains(account) && !known.contains(order) {
            findings.found(format!("the ledger has postings of order {order}, for which nothing was captured"));
        }
    }
    all
}

fn captured(groups: &Groups, inputs: &Inputs, orders: &mut BySum) {
    let mut known: BTreeSet<(Id, Source)> = BTreeSet::new();
    for group in groups.values().flatten().filter(|group| group.inbox == Inbox::Channel) {
        let Some(Ok((_, _, event))) = inputs.channel.get(&group.sequence) else { continue };
        if let (Some(order), ChannelFact::Succeeded { transaction, amount, .. }) = (event.order(), &event.fact)
            && known.insert((order, Source { channel: event.channel.clone(), transaction: transaction.clone() }))
        {
            orders.entry((order, amount.currency)).or_default().captured += amount.minor;
        }
    }
    // Cash is captured once it lies in a drawer.
    for group in groups.values().flatten().filter(|group| group.inbox == Inbox::Desk) {
        let Some((_, Ok((_, _, event)))) = inputs.desk.get(&group.sequence) else { continue };
        let is_taken = group.lines.iter().any(|line| matches!(&line.recorded.event, Event::Payment(PaymentEvent::ShiftTook { .. })));
        if let (Says::Cash { order, amount, .. }, true) = (&event.says, is_taken)
            && known.insert((*order, Source { channel: "cash".into(), transaction: event.id.as_str().into() }))
        {
            orders.entry((*order, amount.currency)).or_default().captured += amount.minor;
        }
    }
}

fn spent(lines: &[Line], orders: &mut BySum, findings: &mut Findings) {
    let mut applied: BTreeSet<Id> = BTreeSet::new();
    let mut refunded: BTreeSet<Id> = BTreeSet::new();
    for line in lines {
        let Event::Payment(event) = &line.recorded.event else { continue };
        let mut sums = |order: Id, amount: &Money, change: &dyn Fn(&mut Sums, i64)| {
            change(orders.entry((order, amount.currency)).or_default(), amount.minor);
        };
        match event {
            PaymentEvent::RefundRequested { bill, amount, tries: 1, applied: true, reason, .. } => {
                if *reason == RefundReason::Incomplete {
                    applied.remove(&bill.order);
                }
                sums(bill.order, amount, &|sums, minor| {
                    sums.applied -= minor;
                    sums.liability += minor;
                });
            }
            PaymentEvent::Held { bill, amount, provisional: false, .. }
            | PaymentEvent::RefundRequested { bill, amount, tries: 1, held: false, .. } => {
                sums(bill.order, amount, &|sums, minor| sums.liability += minor);
            }
            PaymentEvent::Applied { bill, amount, held, provisional, part, .. } => {
                // Of a payment by several means all are one.
                if part.is_none_or(|part| part.last) && !applied.insert(bill.order) {
                    findings.found_double(format!("PAYMENT {}: order {} has a second payment", line.sequence, bill.order));
                }
                sums(bill.order, amount, &|sums, minor| {
                    if *provisional {
                        sums.provisional += minor;
                    } else {
                        sums.applied += minor;
                        sums.liability -= if *held { minor } else { 0 };
                    }
                });
            }
            PaymentEvent::Settled { bill, amount, .. } => sums(bill.order, amount, &|sums, minor| {
                sums.provisional -= minor;
                sums.applied += minor;
            }),
            PaymentEvent::PassedOver { bill, amount, applied: true, .. } | PaymentEvent::Reversed { bill, amount, applied: true, .. } => {
                applied.remove(&bill.order);
                sums(bill.order, amount, &|sums, minor| sums.provisional -= minor);
            }
            PaymentEvent::Refunded { bill, source, amount, refund, .. } => {
                if !refunded.insert(*refund) {
                    findings.found_double(format!("PAYMENT {}: {source:?} of order {} is refunded twice", line.sequence, bill.order));
                }
                sums(bill.order, amount, &|sums, minor| {
                    sums.refunded += minor;
                    sums.liability -= minor;
                });
            }
            PaymentEvent::Expected { .. }
            | PaymentEvent::Held { .. }
            | PaymentEvent::PassedOver { .. }
            | PaymentEvent::Reversed { .. }
            | PaymentEvent::Withdrawn { .. }
            | PaymentEvent::Imported { .. }
            | PaymentEvent::RefundWanted { .. }
            | PaymentEvent::RefundDeclined { .. }
            | PaymentEvent::RefundRequested { .. }
            | PaymentEvent::RefundStood { .. }
            | PaymentEvent::Chosen { .. }
            | PaymentEvent::Attempted { .. }
            | PaymentEvent::AttemptStood { .. }
            | PaymentEvent::ShiftOpened { .. }
            | PaymentEvent::ShiftTook { .. }
            | PaymentEvent::ShiftCounted { .. }
            | PaymentEvent::ShiftClosed { .. }
            | PaymentEvent::ShiftNoted { .. }
            | PaymentEvent::Noted { .. } => {}
        }
    }
}
