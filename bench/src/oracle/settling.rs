//! What settlement windows should say when they close: their rows in a list, added up one by one.
//!
//! Invariants
//! 1. A statement is the fold of its rows, and what came later is in adjustments   (`oracle::tests::each_mutation_is_found`).
//! 2. No window closes before it may   (`oracle::tests::each_mutation_is_found`).
//!
//! Not here: what is posted into them (`postings`).

use super::Terms;
use ring::digest::{SHA256, digest};
use schema::{
    Currency, Id, LotId, Moment, Partition,
    ledger::{Account, Entry, Figures, LedgerEvent, Movement, Statement, Tally},
};
use std::{collections::BTreeMap, fmt::Write, sync::Arc};

/// A window by its name: lot, channel, currency and first moment.
type Name = (Option<LotId>, Arc<str>, Currency, Moment);

/// A window: its rows in the order in which they came, and how many of them are in statements.
#[derive(Default)]
struct Window {
    rows: Vec<LedgerEvent>,
    stated: usize,
    statements: u32,
    last: Option<Id>,
    hash: String,
    /// The earliest moment at which it may close.
    open_until: Moment,
}

/// The windows of one partition.
pub struct Windows<'a> {
    terms: &'a Terms,
    partition: Partition,
    windows: BTreeMap<Name, Window>,
}

impl<'a> Windows<'a> {
    /// Nothing was posted yet.
    pub const fn new(terms: &'a Terms, partition: Partition) -> Self {
        Self { terms, partition, windows: BTreeMap::new() }
    }

    /// Takes a posting over; says what is wrong with when its window is to close.
    pub fn post(&mut self, event: &LedgerEvent) -> Result<(), String> {
        let LedgerEvent::Posted { posting, lot, channel, currency, span: Some(span), .. } = event else { return Ok(()) };
        let window = self.windows.entry((*lot, channel.clone(), *currency, span.from)).or_default();
        window.hash = hash(&window.hash, event);
        window.rows.push(event.clone());
        window.open_until = window.open_until.max(span.closes_at);
        let earliest = span.until.plus(self.terms.lateness);
        if span.closes_at < earliest { Err(format!("posting {posting} closes its window before {earliest}")) } else { Ok(()) }
    }

    /// What a tick's event should have been at a moment; says why where it should not be at all.
    pub fn tick(&mut self, at: Moment, actual: &LedgerEvent) -> Result<LedgerEvent, String> {
        let statement = match actual {
            LedgerEvent::WindowClosed { statement } => statement,
            LedgerEvent::WindowStopped { window, differs, .. } => return Err(format!("a window of {:?} does not close: {differs}", window.lot)),
            LedgerEvent::Posted { .. } | LedgerEvent::FeesTold { .. } | LedgerEvent::Noted { .. } => return Err("a tick posts nothing".into()),
        };
        let Statement { lot, channel, currency, from, .. } = &**statement;
        let Some(window) = self.windows.get_mut(&(*lot, channel.clone(), *currency, *from)) else {
            return Err(format!("a window closes into {} that nothing was posted into", statement.statement));
        };
        if at < window.open_until {
            return Err(format!("a window closes into {} before {}", statement.statement, window.open_until));
        }
        let rows = &window.rows[window.stated..];
        let Some(LedgerEvent::Posted { day, province, span: Some(span), .. }) = rows.first() else {
            return Err(format!("there is nothing for {} to state", statement.statement));
        };
        let Some(LedgerEvent::Posted { operator, .. }) = window.rows.first() else { return Err("a window without rows".into()) };
        // The id is a name and no decision, as long as it is a new one that lies here.
        let place = schema::id::place(statement.statement.as_str());
        let is_named = place.is_some_and(|place| (place.partition, place.day) == (self.partition, *day)) && window.last != Some(statement.statement);
        if !is_named || !statement.statement.as_str().starts_with('T') {
            return Err(format!("{} is no name for a statement of {day}", statement.statement));
        }
        let expected = Statement {
            statement: statement.statement,
            // Money without a lot may be of several.
            operator: operator.filter(|_| lot.is_some()),
            lot: *lot,
            province: *province,
            channel: channel.clone(),
            currency: *currency,
            day: *day,
            from: *from,
            until: span.until,
            number: window.statements,
            adjusts: window.last,
            tally: tally(rows),
            figures: figures(rows),
            hash: window.hash.as_str().into(),
        };
        (window.stated, window.last) = (window.rows.len(), Some(statement.statement));
        window.statements += 1;
        Ok(LedgerEvent::WindowClosed { statement: Box::new(expected) })
    }
}

fn entries(row: &LedgerEvent) -> &[Entry] {
    if let LedgerEvent::Posted { entries, .. } = row { entries } else { &[] }
}

fn is(row: &LedgerEvent, movements: &[Movement]) -> bool {
    matches!(row, LedgerEvent::Posted { movement: Some(movement), .. } if movements.contains(movement))
}

fn tally(rows: &[LedgerEvent]) -> Tally {
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for entry in rows.iter().flat_map(entries) {
        let name = match &entry.of {
            Some(of) => format!("{}/{of}", word(entry.account)),
            None => word(entry.account),
        };
        let sum = sums.entry(name).or_default();
        sum.0 += entry.debit;
        sum.1 += entry.credit;
    }
    let refunds: Vec<&LedgerEvent> = rows.iter().filter(|row| is(row, &[Movement::Refunded])).collect();
    Tally {
        rows: rows.len() as u64,
        payments: rows.iter().filter(|row| is(row, &[Movement::Paid, Movement::Captured, Movement::Settled])).count() as u64,
        refunds: refunds.len() as u64,
        refunded: refunds
            .iter()
            .flat_map(|row| entries(row))
            .filter(|entry| entry.account == Account::RefundLiability)
            .map(|entry| entry.debit)
            .sum(),
        sums,
    }
}

fn figures(rows: &[LedgerEvent]) -> Figures {
    let net = |accounts: &[Account]| -> i64 {
        rows.iter().flat_map(entries).filter(|entry| accounts.contains(&entry.account)).map(|entry| entry.debit - entry.credit).sum()
    };
    let mut discounts: BTreeMap<String, i64> = BTreeMap::new();
    for entry in rows.iter().flat_map(entries) {
        if let Some(of) = &entry.of {
            *discounts.entry(of.to_string()).or_default() += entry.debit - entry.credit;
        }
    }
    discounts.retain(|_, minor| *minor != 0);
    let off: i64 = discounts.values().sum();
    let (points, fees, short) = (net(&[Account::PointsIssuer]), net(&[Account::ChannelFees]), net(&[Account::CashDifference]));
    let (refunded, money) = (tally(rows).refunded, net(&[Account::ChannelReceivable, Account::Cash, Account::Bank]));
    let found = -net(&[Account::Suspense, Account::WriteOff]);
    Figures { gross: money - found + fees + refunded + off + points + short, discounts, points, refunded, fees, short, found, net: money }
}

/// An account as JSON has it.
fn word(account: Account) -> String {
    serde_json::to_value(account).ok().and_then(|word| Some(word.as_str()?.to_owned())).expect("an account is a word")
}

/// The hash of a row after the one before, as the statement's contract says.
fn hash(before: &str, row: &LedgerEvent) -> String {
    let LedgerEvent::Posted { posting, order, lot, operator, channel, currency, at, movement, entries, .. } = row else { return before.to_owned() };
    let mut lines = vec![
        before.to_owned(),
        posting.to_string(),
        order.map(|order| order.to_string()).unwrap_or_default(),
        lot.map(|lot| lot.to_string()).unwrap_or_default(),
        operator.map(|operator| operator.to_string()).unwrap_or_default(),
        channel.to_string(),
        format!("{currency:?}"),
        at.map(|at| at.0.to_string()).unwrap_or_default(),
        movement.and_then(|movement| serde_json::to_value(movement).ok()?.as_str().map(str::to_owned)).unwrap_or_default(),
    ];
    lines.extend(entries.iter().map(|entry| {
        let of = entry.of.as_deref().unwrap_or("");
        format!("{} {of} {} {}", word(entry.account), entry.debit, entry.credit)
    }));
    let text: String = lines.into_iter().map(|line| line + "\n").collect();
    let mut hash = String::new();
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        write!(hash, "{byte:02x}").expect("a String takes all that is written");
    }
    hash
}
