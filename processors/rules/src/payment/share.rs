//! Of which money a refund is, where several means paid an order.
//!
//! There is no standard for it: the order is the operator's setting.
//!
//! Invariants
//! 1. The parts sum to the whole, and no part is more than its money still pays   (`tests::laws`).
//! 2. Pro rata goes by largest remainder   (`tests::a_refund_is_shared_by_the_operators_rule`).

use schema::{Money, entity::Payment, journal::Source};
use std::cmp::Reverse;

/// How a refund is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefundShares {
    /// Money first, points last.
    #[default]
    MoneyFirst,
    /// By what each has paid and not got back, the remainder to the largest fraction.
    ProRata,
}

/// The parts of an amount; none where it is more than pays the order.
pub fn share(payment: &Payment, amount: Money, shares: RefundShares) -> Option<Vec<(Source, Money)>> {
    let mut payers: Vec<(&Source, i64)> =
        payment.payers().filter(|receipt| receipt.amount.currency == amount.currency).map(|receipt| (&receipt.source, receipt.applied())).collect();
    payers.retain(|(_, left)| *left > 0);
    let whole = payers.iter().fold(0_i64, |sum, (_, left)| sum.saturating_add(*left));
    if amount.minor <= 0 || amount.minor > whole {
        return None;
    }
    payers.sort_by_key(|(source, _)| (&*source.channel == super::attempt::HOLDS, (*source).clone()));
    let parts = match shares {
        RefundShares::MoneyFirst => {
            let mut rest = amount.minor;
            let mut first = Vec::with_capacity(payers.len());
            for (source, left) in payers {
                let part = left.min(rest);
                rest = rest.saturating_sub(part);
                first.push((source, part));
            }
            first
        }
        RefundShares::ProRata => pro_rata(&payers, amount.minor, whole),
    };
    Some(parts.into_iter().filter(|(_, part)| *part > 0).map(|(source, part)| (source.clone(), Money::new(part, amount.currency))).collect())
}

fn pro_rata<'a>(payers: &[(&'a Source, i64)], amount: i64, whole: i64) -> Vec<(&'a Source, i64)> {
    let wide = i128::from;
    let exact = |left: i64| wide(left).saturating_mul(wide(amount));
    let floor = |left: i64| i64::try_from(exact(left).checked_div(wide(whole)).unwrap_or_default()).unwrap_or_default();
    let mut parts: Vec<(&Source, i64)> = payers.iter().map(|(source, left)| (*source, floor(*left))).collect();
    let given = parts.iter().fold(0_i64, |sum, (_, part)| sum.saturating_add(*part));
    let mut order: Vec<usize> = (0..payers.len()).collect();
    order.sort_by_key(|at| Reverse(payers.get(*at).and_then(|(_, left)| exact(*left).checked_rem(wide(whole)))));
    let more = usize::try_from(amount.saturating_sub(given)).unwrap_or_default();
    for at in order.into_iter().take(more) {
        if let Some((_, part)) = parts.get_mut(at) {
            *part = part.saturating_add(1);
        }
    }
    parts
}

#[cfg(test)]
mod tests;
