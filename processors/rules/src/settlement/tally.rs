//! What ledger rows add up to, and whether a window is what its rows add up to.
//!
//! A window's hash is a chain over its rows in the order in which they were recorded: a row's version names its place, so the rows alone give it again, and
//! unlike a sum of hashes no row can be made up to fit.
//!
//! Invariants
//! 1. `gross - discounts - points - refunded - fees - short + found = net`   (`super::tests::laws::statement_and_adjustments_are_all_rows`).
//!
//! Not here: when a window closes (`settlement`).

use schema::{
    Key, Moment,
    entity::{Posting, Settling},
    ledger::{Account, Figures, Movement, Tally, WindowAt, rows_of},
};
use std::collections::BTreeMap;

/// Counts a row.
pub fn add(tally: &mut Tally, row: &Posting) {
    tally.rows = tally.rows.saturating_add(1);
    if row.movement.is_some_and(Movement::captures) {
        tally.payments = tally.payments.saturating_add(1);
    }
    if row.movement == Some(Movement::Refunded) {
        tally.refunds = tally.refunds.saturating_add(1);
        let gone = row.entries.iter().filter(|entry| entry.account == Account::RefundLiability);
        tally.refunded = gone.fold(tally.refunded, |sum, entry| sum.saturating_add(entry.debit));
    }
    for entry in &row.entries {
        let add = |sums: &mut (i64, i64)| *sums = (sums.0.saturating_add(entry.debit), sums.1.saturating_add(entry.credit));
        let account = entry.account.as_str();
        match &entry.of {
            None => match tally.sums.get_mut(account) {
                // Most accounts are there already, and their names need not be written anew.
                Some(sums) => add(sums),
                None => add(tally.sums.entry(account.to_owned()).or_default()),
            },
            Some(of) => add(tally.sums.entry(format!("{account}/{of}")).or_default()),
        }
    }
}

/// What finance reads of a tally.
pub fn figures(tally: &Tally) -> Figures {
    let debit = |(debits, credits): &(i64, i64)| debits.saturating_sub(*credits);
    let net = |account: Account| tally.sums.get(account.as_str()).map_or(0, debit);
    let borne = |account: Account| {
        let of = move |name: &str| name.strip_prefix(account.as_str())?.strip_prefix('/').map(str::to_owned);
        tally.sums.iter().filter_map(move |(name, sums)| Some((of(name)?, debit(sums))))
    };
    let mut discounts: BTreeMap<String, i64> = BTreeMap::new();
    for (bearer, minor) in borne(Account::DiscountsMerchant).chain(borne(Account::DiscountsOperator)) {
        let sum = discounts.entry(bearer).or_default();
        *sum = sum.saturating_add(minor);
    }
    discounts.retain(|_, minor| *minor != 0);
    let (points, fees, short) = (net(Account::PointsIssuer), net(Account::ChannelFees), net(Account::CashDifference));
    // A payout moves money from the channel to the bank, and is none that was captured.
    let money = [Account::ChannelReceivable, Account::Cash, Account::Bank].map(net).into_iter().fold(0_i64, i64::saturating_add);
    let off = discounts.values().fold(0_i64, |sum, minor| sum.saturating_add(*minor));
    let found = 0_i64.saturating_sub(net(Account::Suspense)).saturating_sub(net(Account::WriteOff));
    let gross = [off, points, tally.refunded, fees, short].into_iter().fold(money.saturating_sub(found), i64::saturating_add);
    Figures { gross, discounts, points, refunded: tally.refunded, fees, short, found, net: money }
}

/// Where a window is.
pub fn window_at(window: &Settling, key: &Key) -> WindowAt {
    let Settling { province, day, lot, currency, from, .. } = *window;
    WindowAt { province, partition: key.bucket, day, lot, channel: window.channel.clone(), currency, from }
}

/// In what a window differs from its rows; nothing where it is their fold.
pub fn differs(window: &Settling, at: &WindowAt, rows: &[(Moment, Posting)]) -> Option<String> {
    let begin = rows_of(&at.key());
    let is_here = |row: &Posting| {
        row.posting.as_str().starts_with(&begin)
            && row.span.is_some_and(|span| span.from == at.from)
            && (row.lot, row.currency) == (at.lot, at.currency)
            && row.channel == at.channel
    };
    let mut own: Vec<&(Moment, Posting)> = rows.iter().filter(|(_, row)| is_here(row)).collect();
    own.sort_by_key(|(recorded_at, _)| *recorded_at);
    let (mut tally, mut hash) = (Tally::default(), String::new());
    for (recorded_at, row) in own {
        hash = row.hash_after(&hash);
        if window.closed_at.is_none_or(|closed_at| *recorded_at > closed_at) {
            add(&mut tally, row);
        }
    }
    if tally.rows != window.tally.rows {
        return Some(format!("{} rows were posted since the last statement, and {} are there", window.tally.rows, tally.rows));
    }
    if tally != window.tally {
        return Some(format!("what was posted adds up to {:?}, and the rows to {:?}", window.tally.sums, tally.sums));
    }
    (hash != *window.hash).then(|| format!("the rows have the hash {hash}, and what was posted has {}", window.hash))
}
