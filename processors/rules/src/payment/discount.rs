//! What was taken off a price, on its way from the quote to what pays it: the ledger hears of it with the money.
//!
//! Invariants
//! 1. Of all means of a payment the one that completes it carries what was taken off   (`tests::what_completes_a_payment_carries_what_was_taken_off`).
//!
//! Not here: whether it is in the books already (`settlement::discount`).

use schema::{
    Id, Moment,
    journal::{PaymentEvent, Quote},
    ledger::Discounts,
};
use std::{collections::BTreeMap, sync::Arc};

/// What a quote takes off, by who bears it; none where that is nothing.
pub fn taken_off(quote: &Quote, session: Id, asked_at: Moment) -> Option<Discounts> {
    let mut borne: BTreeMap<Arc<str>, i64> = BTreeMap::new();
    for line in quote.lines.iter().filter(|line| line.amount < 0) {
        if let Some(bearer) = &line.bearer {
            let sum = borne.entry(bearer.clone()).or_default();
            *sum = sum.saturating_sub(line.amount);
        }
    }
    (!borne.is_empty()).then_some(Discounts { session, asked_at, borne })
}

/// The events with what was taken off in those that complete a payment; `known` is what was taken off an order that was known before.
pub fn carried(mut events: Vec<PaymentEvent>, known: Option<&Discounts>) -> Vec<PaymentEvent> {
    let new = events.iter().find_map(|event| if let PaymentEvent::Expected { discounts, .. } = event { discounts.clone() } else { None });
    let Some(taken) = new.or_else(|| known.cloned().map(Box::new)) else { return events };
    for event in &mut events {
        if let PaymentEvent::Applied { part, discounts, .. } = event
            && part.is_none_or(|part| part.last)
        {
            *discounts = Some(taken.clone());
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{
        Currency, Money,
        id::{self, Kind, Place},
        journal::{Bill, LineKind, Part, QuoteLine, Source},
    };

    fn id(kind: Kind) -> Id {
        id::derive(kind, Place { province: id::Province(44), day: schema::Day(261_123), partition: schema::Partition(7) }, &["x"])
    }

    fn quote() -> Quote {
        let off = |bearer: &str, amount| {
            let line = QuoteLine::new(LineKind::ValidationAmount, (0, 60), 1, 0, amount);
            QuoteLine { bearer: Some(bearer.into()), ..line }
        };
        let lines = vec![QuoteLine::new(LineKind::Cap, (0, 60), 1, 0, -9), off("cinema", -200), off("shop", 0), off("cinema", -1)];
        Quote { rate_table: "town".into(), version: 1, minutes: 60, lines, total: Money::new(100, Currency::Cny) }
    }

    #[test]
    fn only_what_somebody_bears_was_taken_off() {
        let taken = taken_off(&quote(), id(Kind::Session), Moment(1)).expect("something was");
        assert_eq!(taken.borne, BTreeMap::from([("cinema".into(), 201)]));
        assert_eq!(taken_off(&Quote { lines: Vec::new(), ..quote() }, id(Kind::Session), Moment(1)), None);
    }

    #[test]
    fn what_completes_a_payment_carries_what_was_taken_off() {
        let taken = taken_off(&quote(), id(Kind::Session), Moment(1)).expect("something was");
        let applied = |part| PaymentEvent::Applied {
            bill: Bill { order: id(Kind::Order), lot: None, day: schema::Day(261_123) },
            source: Source { channel: "wechat".into(), transaction: "1".into() },
            amount: Money::new(100, Currency::Cny),
            held: false,
            paid_at: None,
            provisional: false,
            part,
            discounts: None,
            reason: None,
        };
        let part = |last| Some(Part { of: Money::new(100, Currency::Cny), last });
        for (part, carries) in [(None, true), (part(true), true), (part(false), false)] {
            let [PaymentEvent::Applied { discounts, .. }] = &carried(vec![applied(part)], Some(&taken))[..] else { panic!("one") };
            assert_eq!(discounts.as_deref(), carries.then_some(&taken));
        }
    }
}
