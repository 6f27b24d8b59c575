//! The channels' own books against the journal of payments: what each captured and gave back.
//!
//! Invariants
//! 1. Money that a channel has and the journal does not, or the other way round, is a difference   (`tests::what_the_books_do_not_share_is_found`).

use super::{Simulators, Truth};
use crate::Logs;
use schema::{Event, Journal, id, journal::PaymentEvent};
use std::collections::BTreeMap;

/// What differs, in words.
pub fn compare(simulators: &Simulators, logs: &Logs) -> Vec<String> {
    let events = logs.journal(Journal::Payment).iter().filter_map(|line| match &line.recorded.event {
        Event::Payment(event) => Some(event),
        _ => None,
    });
    differences(simulators.truth().into_values(), events)
}

/// Captured and given back, in fen, by channel and its number.
type Sums = BTreeMap<(String, String), (i64, i64)>;

fn differences<'a>(truth: impl Iterator<Item = Truth>, events: impl Iterator<Item = &'a PaymentEvent>) -> Vec<String> {
    let mut booked = Sums::new();
    for event in events {
        let (source, captured, returned) = match event {
            PaymentEvent::Held { source, amount, provisional: false, .. }
            | PaymentEvent::Applied { source, amount, held: false, provisional: false, .. }
            | PaymentEvent::Settled { source, amount, .. }
            | PaymentEvent::RefundRequested { source, amount, tries: 1, held: false, applied: false, .. } => (source, amount.minor, 0),
            PaymentEvent::Refunded { source, amount, .. } => (source, 0, amount.minor),
            _ => continue,
        };
        // Cash lies in drawers, and is no channel's.
        if &*source.channel == "cash" {
            continue;
        }
        let sums = booked.entry((source.channel.to_string(), source.transaction.to_string())).or_default();
        *sums = (sums.0 + captured, sums.1 + returned);
    }
    let mut found = Vec::new();
    for Truth { channel, attempt, transaction, captured, refunded, .. } in truth {
        // Money for a number that is none of ours is among the dead letters, for a person.
        if id::order_of(&attempt).is_none() {
            continue;
        }
        let ours = booked.remove(&(channel.to_owned(), transaction.clone())).unwrap_or_default();
        if ours != (captured, refunded) {
            found.push(format!(
                "{channel} {transaction} of attempt {attempt}: the channel captured {captured} and gave back {refunded}, the journal says {ours:?}"
            ));
        }
    }
    found.extend(
        booked.into_iter().map(|((channel, transaction), sums)| format!("{channel} knows nothing of {transaction}: the journal says {sums:?}")),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulators::Standing;
    use schema::{
        Currency, Day, Money,
        journal::{Bill, Source},
    };

    #[test]
    fn what_the_books_do_not_share_is_found() {
        let order = "O4426112307SE85PbTwoLFzFY9q".parse().expect("an id");
        let truth = |captured, refunded| {
            let attempt = id::attempt(order, 1).to_string();
            Truth { channel: "wechat", attempt, transaction: "1".into(), standing: Standing::Paid, captured, refunded, refunds: Vec::new() }
        };
        let (bill, amount) = (Bill { order, lot: None, day: Day(0) }, Money::new(500, Currency::Cny));
        let source = Source { channel: "wechat".into(), transaction: "1".into() };
        let applied = PaymentEvent::Applied {
            bill: bill.clone(),
            source: source.clone(),
            amount,
            held: false,
            paid_at: None,
            provisional: false,
            part: None,
            discounts: None,
            reason: None,
        };
        let refunded = PaymentEvent::Refunded { bill, source, amount, refund: order, left: None, drawer: false, done_at: None };
        for (truth, events, expected) in [
            (vec![truth(500, 0)], vec![&applied], 0),
            (vec![truth(500, 500)], vec![&applied, &refunded], 0),
            (vec![truth(500, 0)], vec![&applied, &refunded], 1),
            (vec![truth(500, 500)], vec![&applied], 1),
            (vec![truth(500, 0)], vec![], 1),
            (vec![], vec![&applied], 1),
            (vec![Truth { attempt: "elsewhere".into(), ..truth(500, 0) }], vec![], 0),
        ] {
            assert_eq!(differences(truth.into_iter(), events.into_iter()).len(), expected);
        }
    }
}
