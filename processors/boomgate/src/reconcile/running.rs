//! A day that a running system has compared, written as the same report as one of two files.
//!
//! Invariants
//! 1. Every exception that is open is told, by the id under which a person acts on it and as old as it is   (`tests::what_is_open_is_told_by_its_id_and_age`).
//! 2. A day whose exceptions are all closed is told as good, and how many there were is told, too   (`tests::what_was_closed_is_told_as_closed`).
//!
//! Not here: how a day is compared, and where its rows are (`reconciler`).

use super::{
    LISTED_MAX,
    details::{self, Known},
    page,
    report::{Head, Paper, Report, Running},
};
use anyhow::{Context, Result};
use jiff::civil::Date;
use rules::reconcile::{Sum, Totals};
use schema::exception::{DifferenceSum, Exception, Stays};
use std::{fs, path::Path};

/// What came of a day.
pub struct Compared<'a> {
    /// The channel.
    pub channel: &'a str,
    /// Our number there.
    pub merchant: &'a str,
    /// The channel's day.
    pub day: Date,
    /// The day on which it is told.
    pub as_of: Date,
    /// When it was compared, as finance calls it.
    pub term: &'a str,
    /// How many lines its statement has.
    pub lines: u64,
    /// How many pieces it was compared in.
    pub pieces: usize,
    /// What the channel keeps of it, in minor units; none where the books have not heard.
    pub fees: Option<i64>,
    /// What came of lines and payments.
    pub sums: &'a [DifferenceSum],
    /// What does not match and is open, in the order in which it is told.
    pub exceptions: &'a [Exception],
    /// The stays that do not go with their money.
    pub stays: &'a Stays,
}

/// Writes exceptions.csv and report.html into a folder.
pub fn tell(compared: &Compared<'_>, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("no folder {}", folder.display()))?;
    let (channel, _) = channels::form(compared.channel)?;
    let mut paper = Paper::begin(folder, compared.as_of)?;
    for exception in compared.exceptions.iter().take(LISTED_MAX) {
        paper.write(&in_full(exception))?;
    }
    let told = paper.finish()?;
    let totals = Totals::of_sums(compared.sums.iter().map(|sum| {
        let DifferenceSum { difference, count, ours, theirs } = *sum;
        (difference, Sum { count, ours: ours.into(), theirs: theirs.into() })
    }));
    let report = Report::new(&head(compared, channel), &totals, &told).running(running(compared, &totals));
    let path = folder.join("report.html");
    fs::write(&path, page::render(&report, &told)).with_context(|| format!("cannot write {}", path.display()))
}

fn head(compared: &Compared<'_>, channel: &'static str) -> Head {
    Head {
        channel,
        day: compared.day,
        as_of: compared.as_of,
        merchant: compared.merchant.to_owned(),
        file: String::new(),
        sha1: String::new(),
        lines: compared.lines,
        payments: 0,
        strangers: 0,
        fee_milli: i128::from(compared.fees.unwrap_or_default()).saturating_mul(1_000),
    }
}

fn running(compared: &Compared<'_>, totals: &Totals) -> Running {
    let open = u64::try_from(compared.exceptions.len()).unwrap_or(u64::MAX);
    Running {
        term: compared.term.to_owned(),
        pieces: compared.pieces,
        open,
        closed: totals.exceptions().saturating_sub(open),
        knows_fees: compared.fees.is_some(),
        stays: compared.stays.clone(),
    }
}

fn in_full(exception: &Exception) -> details::Exception {
    details::Exception {
        difference: exception.difference,
        line: exception.line.as_deref().cloned(),
        payment: exception.payment.as_deref().cloned(),
        gap: exception.gap(),
        known: Some(Known { exception: exception.exception, age: exception.age, owner: exception.owner }),
    }
}

#[cfg(test)]
mod tests;
