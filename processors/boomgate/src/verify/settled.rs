//! Promise 4 on rows: what the ledger's rows of a settlement window add up to is what its statements say, whatever the journals still hold.
//!
//! Invariants
//! 1. A statement that is not the fold of its rows is named, and so is one whose rows are not there   (`verify::tests::a_statement_is_held_against_its_rows`).
//!
//! Not here: whether a row is the fold of its journal (`verify`).

use super::Report;
use schema::{
    Entity, Journal, Key, Moment, Partition,
    entity::{Posting, Settling},
    ledger::{Statement, WindowAt},
};
use std::collections::BTreeMap;
use store::{Mark, Row};

/// What lies in one window.
#[derive(Default)]
struct Window<'a> {
    settling: Option<(&'a Settling, Moment)>,
    rows: Vec<(Moment, &'a Posting)>,
    statements: Vec<&'a Statement>,
}

/// Holds the statements of all windows that have closed against their rows.
pub fn check(rows: &BTreeMap<Key, Row>, marks: &BTreeMap<(Journal, Partition), Mark>, report: &mut Report) {
    let mut windows: BTreeMap<Key, Window<'_>> = BTreeMap::new();
    for row in rows.values() {
        match &row.entity {
            Entity::Settling(settling) => windows.entry(row.key).or_default().settling = Some((settling, row.at)),
            Entity::Posting(posting) => {
                if let Some(window) = of(posting, &row.key) {
                    windows.entry(window).or_default().rows.push((row.at, posting));
                }
            }
            Entity::Statement(statement) => windows.entry(statement.window().key()).or_default().statements.push(statement),
            _ => {}
        }
    }
    for (key, window) in windows {
        // What is behind the mark, or not closed, may be on its way.
        let mark = marks.get(&(Journal::Ledger, key.bucket)).map_or(Moment(0), |mark| mark.at);
        let Some((settling, _)) = window.settling.filter(|(settling, at)| settling.closes_at.is_none() && *at <= mark) else { continue };
        report.statements = report.statements.saturating_add(window.statements.len() as u64);
        if let Some(differs) = differs(settling, window.rows, window.statements) {
            let lot = settling.lot.map_or_else(|| "unknown".to_owned(), |lot| lot.to_string());
            report.differs(format!("window {lot} {} from {}: {differs}", settling.channel, settling.from));
        }
    }
}

fn of(posting: &Posting, row: &Key) -> Option<Key> {
    let Posting { lot, channel, currency, span: Some(span), day, .. } = posting else { return None };
    let (province, partition) = (row.province, row.bucket);
    Some(WindowAt { province, partition, day: *day, lot: *lot, channel: channel.clone(), currency: *currency, from: span.from }.key())
}

fn differs(settling: &Settling, mut rows: Vec<(Moment, &Posting)>, mut statements: Vec<&Statement>) -> Option<String> {
    statements.sort_by_key(|statement| statement.number);
    let mut before = None;
    for (number, statement) in (0..).zip(&statements) {
        if (statement.number, statement.adjusts) != (number, before) {
            return Some(format!("statement {} is number {} and adjusts {:?}", statement.statement, statement.number, statement.adjusts));
        }
        before = Some(statement.statement);
    }
    if before != settling.last {
        return Some(format!("its last statement is {:?}, and should be {:?}", before, settling.last));
    }
    rows.sort_by_key(|(at, _)| *at);
    let mut rest = rows.into_iter();
    let mut hash = String::new();
    for statement in statements {
        let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let mut count = 0_u64;
        for (_, row) in rest.by_ref().take(usize::try_from(statement.tally.rows).unwrap_or(usize::MAX)) {
            count = count.saturating_add(1);
            hash = row.hash_after(&hash);
            for entry in &row.entries {
                let account = entry.account.as_str();
                let sum = sums.entry(entry.of.as_ref().map_or_else(|| account.to_owned(), |of| format!("{account}/{of}"))).or_default();
                *sum = (sum.0.saturating_add(entry.debit), sum.1.saturating_add(entry.credit));
            }
        }
        if (count, &sums) != (statement.tally.rows, &statement.tally.sums) {
            return Some(format!("{count} rows add up to {sums:?}; its statement {} says {:?}", statement.statement, statement.tally));
        }
        if *hash != *statement.hash {
            return Some(format!("its rows have the hash {hash}; its statement {} says {}", statement.statement, statement.hash));
        }
        let (debits, credits) = sums.values().fold((0_i64, 0_i64), |all, sum| (all.0.saturating_add(sum.0), all.1.saturating_add(sum.1)));
        if debits != credits {
            return Some(format!("debits and credits of {} differ by {}", statement.statement, debits.saturating_sub(credits)));
        }
    }
    let more = rest.count();
    (more > 0).then(|| format!("{more} rows are in no statement"))
}
