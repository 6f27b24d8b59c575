//! What a change of tariff would have brought: recorded stays, priced under both.

use super::{Clock, choose, currency, parse};
use crate::document;
use anyhow::{Context, Result, ensure};
use rules::quote::{Stay, quote};
use schema::{
    Currency, Money,
    rate::{RateTable, Tariff},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ops::AddAssign,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is compared.
#[derive(clap::Args, Clone, Debug)]
pub struct Compared {
    /// The tariff in force.
    pub old: PathBuf,
    /// The tariff to be.
    pub new: PathBuf,
    /// Recorded stays: CSV with columns entry, exit and lot; times with an offset, or by the lots' clock.
    #[arg(long)]
    pub stays: PathBuf,
    /// The lots' time zone.
    #[arg(long, default_value = "Asia/Shanghai")]
    pub zone: String,
    /// The table, where a file has several.
    #[arg(long)]
    pub table: Option<String>,
    /// Prints the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The figures of some stays, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Stays that were read.
    pub stays: u64,
    /// Of these, without a price under one of the two tariffs.
    pub unpriced: u64,
    /// Stays that cost more, and how much more together.
    pub dearer: (u64, i64),
    /// Stays that cost less, and how much less together.
    pub cheaper: (u64, i64),
    /// Stays that cost the same.
    pub same: u64,
    /// What the old tariff brings, of the stays that have both prices.
    pub old: i64,
    /// What the new one brings of these.
    pub new: i64,
}

impl Figures {
    /// Counts a stay with its two prices.
    fn add(&mut self, prices: Option<(i64, i64)>) {
        self.stays += 1;
        let Some((old, new)) = prices else {
            self.unpriced += 1;
            return;
        };
        self.old = self.old.saturating_add(old);
        self.new = self.new.saturating_add(new);
        let more = new.saturating_sub(old);
        let count = |(stays, sum): &mut (u64, i64), amount: i64| {
            *stays += 1;
            *sum = sum.saturating_add(amount);
        };
        match more {
            0 => self.same += 1,
            1.. => count(&mut self.dearer, more),
            _ => count(&mut self.cheaper, more.saturating_neg()),
        }
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.stays += other.stays;
        self.unpriced += other.unpriced;
        self.same += other.same;
        for (sum, other) in [(&mut self.dearer, other.dearer), (&mut self.cheaper, other.cheaper)] {
            *sum = (sum.0 + other.0, sum.1.saturating_add(other.1));
        }
        self.old = self.old.saturating_add(other.old);
        self.new = self.new.saturating_add(other.new);
    }
}

/// The figures by lot. Rows that are no stay are counted by the reason.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// By lot.
    pub lots: BTreeMap<String, Figures>,
    /// Rows that are no stay, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// Prices the stays of a recording under two tariffs and prints who pays more, who less, and the revenue.
pub fn compare(compared: &Compared) -> Result<()> {
    let (old, new) = (newest(&compared.old)?, newest(&compared.new)?);
    let (old, new) = (choose(&old, compared.table.as_deref())?, choose(&new, compared.table.as_deref())?);
    let text = std::fs::read_to_string(&compared.stays).with_context(|| format!("cannot read {}", compared.stays.display()))?;
    let outcome = count(old, new, &text, &Clock::named(&compared.zone)?).with_context(|| format!("cannot compare {}", compared.stays.display()))?;
    let money = old.newest().context("there is no rate table")?.currency;
    if compared.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        show(&outcome, money, &compared.stays);
    }
    Ok(())
}

fn newest(path: &Path) -> Result<BTreeMap<Arc<str>, Tariff>> {
    let (text, format) = document::read(path)?;
    parse(&text, format, timeless).with_context(|| format!("{} is refused", path.display()))
}

/// The newest version, in force at all times: stays of the past are to meet the tariff of tomorrow.
pub(super) fn timeless(tables: Vec<RateTable>) -> Vec<RateTable> {
    let newest = tables.into_iter().max_by_key(|table| table.version);
    newest.map(|table| RateTable { valid_from: None, valid_until: None, ..table }).into_iter().collect()
}

pub(super) fn count(old: &Tariff, new: &Tariff, text: &str, clock: &Clock) -> Result<Outcome> {
    let currencies = [old, new].map(|tariff| tariff.newest().map(|table| table.currency));
    ensure!(currencies[0] == currencies[1], "the two tariffs have different currencies, so their prices cannot be compared");
    let mut rows = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = rows.headers()?.clone();
    let column = |name: &str| {
        let place = header.iter().position(|column| column == name);
        place.with_context(|| format!("there is no column {name}: it needs entry, exit and lot"))
    };
    let (entry, exit, lot) = (column("entry")?, column("exit")?, column("lot")?);
    let mut outcome = Outcome::default();
    for row in rows.records() {
        let row = row.context("a row has other columns than the header")?;
        let (Ok(entered_at), Ok(left_at)) = (clock.moment(&row[entry]), clock.moment(&row[exit])) else {
            *outcome.refused.entry("no time where one belongs".into()).or_default() += 1;
            continue;
        };
        let stay = Stay::new(entered_at, left_at, &clock.zone);
        let price = |tariff| quote(tariff, &stay).map(|quote| quote.total.minor);
        let prices = price(old).and_then(|old| Ok((old, price(new)?)));
        if let Err(not_priced) = &prices {
            *outcome.refused.entry(not_priced.to_string()).or_default() += 1;
        }
        outcome.lots.entry(row[lot].to_owned()).or_default().add(prices.ok());
    }
    ensure!(!outcome.lots.is_empty(), "no row of it is a stay");
    Ok(outcome)
}

fn show(outcome: &Outcome, money: Currency, stays: &Path) {
    let number = |minor| Money::new(minor, money).number();
    let mut all = Figures::default();
    outcome.lots.values().for_each(|figures| all += *figures);
    let width = outcome.lots.keys().map(|lot| lot.chars().count()).max().unwrap_or(0).max(4);
    println!("{}, {}", stays.display(), currency(money));
    println!(
        "{:width$} {:>9} {:>13} {:>13} {:>13} {:>8} {:>12} {:>8} {:>12} {:>9}",
        "lot", "stays", "old", "new", "difference", "dearer", "by", "cheaper", "by", "the same"
    );
    let row = |name: &str, figures: &Figures| {
        let Figures { stays, dearer, cheaper, same, old, new, .. } = figures;
        println!(
            "{name:width$} {stays:>9} {:>13} {:>13} {:>13} {:>8} {:>12} {:>8} {:>12} {same:>9}",
            number(*old),
            number(*new),
            number(new.saturating_sub(*old)),
            dearer.0,
            number(dearer.1),
            cheaper.0,
            number(cheaper.1),
        );
    };
    for (lot, figures) in &outcome.lots {
        row(lot, figures);
    }
    row("all", &all);
    for (reason, count) in &outcome.refused {
        println!("{count} without a price: {reason}");
    }
}
