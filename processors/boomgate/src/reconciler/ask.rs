//! Asking by hand that a day is compared, watching how far it is, and showing what came of it.
//!
//! Invariants
//! 1. What is shown is the rows of all pieces of the day   (`super::tests::a_day_is_asked_for_and_shown`), and so is what is written
//!    (`super::tests::a_day_is_written_as_a_report`).
//! 2. Nobody is left waiting for pieces that nobody compares   (`super::tests::asking_ends_where_nobody_compares`,
//!    `super::tests::a_statement_that_is_replaced_meanwhile_is_compared_anew`).
//!
//! Not here: two files alone, and how a report is written (`reconcile`).

use super::{AGAIN, Shared, Standing, message, split};
use crate::{clock, reconcile};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use schema::{
    Currency, Day, Entity, Partition, Table, Token,
    exception::{DifferenceSum, Exception, PieceAt, Stays, Term, day_of},
    id::{self, Province},
    ledger::FeesAt,
    statement::Difference,
    wire,
    work::{DayWork, Work},
};
use serde::Serialize;
use std::{cmp::Reverse, collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use store::{Part, Store};
use streams::{Bus, table};

/// How often it is looked how far a day is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long rows may be behind what was decided.
const SAVED_WAIT: Duration = Duration::from_secs(20);
/// For how long none of a day's pieces may get done while somebody waits for them.
const STALLED_MAX: Duration = Duration::from_secs(600);
/// How many pieces are named that wait.
const NAMED_MAX: usize = 20;
/// How many messages of the queue are read at once.
const SCAN_MOST: usize = 1_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The channel.
    pub channel: String,
    /// Our number there.
    pub merchant: String,
    /// The channel's day.
    pub day: Date,
    /// When it is compared.
    pub term: Term,
    /// The statement, where it does not lie in its folder.
    pub file: Option<String>,
    /// How long a worker is waited for that takes it.
    pub wait: Duration,
}

/// What came of a day.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The channel.
    pub channel: String,
    /// Our number there.
    pub merchant: String,
    /// The channel's day.
    pub day: Day,
    /// The channel's day on which it was asked for.
    pub as_of: Day,
    /// When it was compared.
    pub term: String,
    /// How many lines its statement has.
    pub lines: u64,
    /// How many pieces it was compared in.
    pub pieces: usize,
    /// What came of lines and payments, all pieces together.
    pub sums: Vec<DifferenceSum>,
    /// What the channel keeps of it, in minor units, as far as the books have heard; none where they have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fees: Option<i64>,
    /// What does not match and is open, the oldest and largest first.
    pub exceptions: Vec<Exception>,
    /// The stays that do not go with their money, all pieces together.
    pub stays: Stays,
}

/// Asks, waits until all pieces are compared, and tells what came of it.
pub async fn ask(with: &Shared, wanted: &Wanted) -> Result<Report> {
    let now = with.bus.look("WORK").await?.now;
    let asked: Token<32> = id::digest(&["asked", &now.0.to_string(), &wanted.channel], 20).parse()?;
    let work = DayWork {
        channel: wanted.channel.as_str().into(),
        merchant: wanted.merchant.as_str().into(),
        day: split::day(wanted.day),
        term: wanted.term,
        asked,
        file: wanted.file.as_deref().map(Arc::from),
    };
    with.bus.publish(message(&Work::Day(work.clone()))).await?;
    let (work, standing) = followed(with, work, wanted.wait).await?;
    saved(with, &work, &standing.pieces).await?;
    let as_of = day_of(with.bus.look("WORK").await?.now);
    report(&*with.store, &work, &standing, as_of).await
}

/// Waits until a day is split and its pieces are compared; gives as what it was, for T+1 of a day that has had T+2 is that.
async fn followed(with: &Shared, mut work: DayWork, wait: Duration) -> Result<(DayWork, Standing)> {
    let (begun, key) = (clock::now(), work.key());
    let standing = loop {
        match stands(with, &key).await?.filter(|standing| *standing.asked == *work.asked.as_str()) {
            Some(Standing { refused: true, waits, .. }) => bail!("the statement is refused: {}", waits.unwrap_or_default()),
            Some(Standing { waits: Some(what), .. }) => bail!("it waits, and will be compared once it can be: {what}"),
            Some(standing) => break standing,
            None if begun.elapsed() > wait => bail!("nobody has taken it yet: is `boomgate run reconciler` running? it waits in the queue"),
            None => clock::wait(LOOK_EVERY).await,
        }
    };
    work.term = standing.term.unwrap_or(work.term);
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} pieces")?;
    let bar = ProgressBar::new(standing.pieces.len() as u64).with_style(style);
    let (mut before, mut since) = (usize::MAX, clock::now());
    loop {
        let left = left(&*with.bus, &work).await?;
        // What is given up is said before it leaves the queue.
        match stands(with, &key).await? {
            Some(now) if now.asked.starts_with(AGAIN) => {
                bail!("its statement was replaced while it was compared, and is compared anew: ask once more")
            }
            Some(Standing { asked, waits: Some(what), .. }) if asked == standing.asked => bail!("not all of it is compared: {what}"),
            _ => {}
        }
        bar.set_position(standing.pieces.len().saturating_sub(left.len()) as u64);
        if left.is_empty() {
            bar.finish_and_clear();
            return Ok((work, standing));
        }
        if left.len() != before {
            (before, since) = (left.len(), clock::now());
        } else if since.elapsed() > STALLED_MAX {
            let named = left.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if left.len() > NAMED_MAX { " …" } else { "" };
            bail!("{} pieces wait, and none got done for {} s: {named}{more}; see what the reconcilers log", left.len(), STALLED_MAX.as_secs());
        }
        clock::wait(LOOK_EVERY).await;
    }
}

/// How a day stands, as far as that was told.
async fn stands(with: &Shared, key: &str) -> Result<Option<Standing>> {
    let entry = with.buckets.entry(table::RECONCILE, key).await?;
    Ok(entry.map(|entry| serde_json::from_slice(&entry.value)).transpose()?)
}

/// The pieces of a day that are not compared yet, as province and partition.
async fn left(bus: &dyn Bus, work: &DayWork) -> Result<Vec<String>> {
    let of_it = |queued: Work| match queued {
        Work::Piece(piece) if piece.of == *work => Some(format!("{}-{}", piece.province, piece.partition)),
        Work::Piece(_) | Work::Day(_) => None,
    };
    Ok(queued(bus).await?.into_iter().filter_map(of_it).collect())
}

/// All work that waits or is worked on: what is done is no more in the queue.
pub(super) async fn queued(bus: &dyn Bus) -> Result<Vec<Work>> {
    let (mut queued, mut next) = (Vec::new(), bus.look("WORK").await?.first.max(1));
    loop {
        let page = bus.scan("WORK", next, SCAN_MOST).await?;
        let Some(last) = page.last() else { return Ok(queued) };
        next = last.sequence.saturating_add(1);
        queued.extend(page.iter().filter_map(|stored| {
            let content_type = stored.headers.get(wire::CONTENT_TYPE).map(String::as_str);
            let read: Result<Work, _> = wire::decode(content_type, &stored.payload);
            read.ok()
        }));
    }
}

/// A piece of a day.
pub(super) fn at(work: &DayWork, (province, partition): (Province, Partition)) -> PieceAt {
    PieceAt { channel: work.channel.clone(), merchant: work.merchant.clone(), day: work.day, province, partition }
}

/// Waits until what was decided of the pieces is saved.
async fn saved(with: &Shared, work: &DayWork, pieces: &[(Province, Partition)]) -> Result<()> {
    let keys: Vec<_> = pieces.iter().map(|piece| at(work, *piece).key(work.term)).collect();
    let begun = clock::now();
    loop {
        let rows = with.store.load(keys.clone()).await?;
        if rows.iter().all(Option::is_some) {
            // And what a second comparison changed.
            clock::wait(Duration::from_secs(1)).await;
            return Ok(());
        }
        if begun.elapsed() > SAVED_WAIT {
            bail!("it is compared, and not decided yet: is `boomgate run reconciliation` running?");
        }
        clock::wait(LOOK_EVERY).await;
    }
}

/// All pieces together.
async fn report(store: &dyn Store, work: &DayWork, standing: &Standing, as_of: Day) -> Result<Report> {
    let mut sums: BTreeMap<Difference, DifferenceSum> = BTreeMap::new();
    let (channel, merchant, term) = (work.channel.to_string(), work.merchant.to_string(), work.term.name().to_owned());
    let (lines, pieces) = (standing.lines, standing.pieces.len());
    let mut report = Report { channel, merchant, day: work.day, as_of, term, lines, pieces, ..Report::default() };
    for piece in &standing.pieces {
        let rows = store.load(vec![at(work, *piece).key(work.term)]).await?;
        let Some(Entity::Piece(row)) = rows.into_iter().flatten().next().map(|row| row.entity) else { continue };
        for sum in &row.sums {
            let all = sums.entry(sum.difference).or_insert(DifferenceSum { count: 0, ours: 0, theirs: 0, ..*sum });
            all.count = all.count.saturating_add(sum.count);
            all.ours = all.ours.saturating_add(sum.ours);
            all.theirs = all.theirs.saturating_add(sum.theirs);
        }
        if let Some(stays) = &row.stays {
            report.stays.add(stays);
        }
        if let Some(told) = fees(store, work, *piece).await? {
            report.fees = Some(report.fees.unwrap_or_default().saturating_add(told));
        }
        let part = Part { table: Table::Exceptions, province: piece.0, day: work.day, bucket: piece.1 };
        for row in store.scan(part).await? {
            if let Entity::Exception(exception) = row.entity
                && exception.closed.is_none()
                && (&exception.piece.channel, &exception.piece.merchant) == (&work.channel, &work.merchant)
            {
                report.exceptions.push(*exception);
            }
        }
    }
    report.sums = sums.into_values().collect();
    report.exceptions.sort_by_key(|one| (Reverse((one.age, one.gap().saturating_abs())), one.exception));
    Ok(report)
}

/// What the books have heard that the channel keeps of a piece.
async fn fees(store: &dyn Store, work: &DayWork, (province, partition): (Province, Partition)) -> Result<Option<i64>> {
    let fees = FeesAt { province, partition, channel: work.channel.clone(), day: work.day, currency: Currency::Cny };
    let row = store.load(vec![fees.key()]).await?.into_iter().flatten().next();
    Ok(row.and_then(|row| if let Entity::Fees(day) = row.entity { day.told.get(&work.merchant).copied() } else { None }))
}

/// Prints it for a person; gives whether all matched.
pub fn print(report: &Report) -> bool {
    println!("{} of {}, {}: {} lines in {} pieces", report.channel, report.day, report.term, report.lines, report.pieces);
    for DifferenceSum { difference, count, ours, theirs } in &report.sums {
        let money = |minor: i64| schema::Money::new(minor, schema::Currency::Cny);
        println!("  {:<16} {:<6} {count:>9}   ours {:>16}   theirs {:>16}", difference.english(), difference.chinese(), money(*ours), money(*theirs));
    }
    for exception in &report.exceptions {
        println!("  {}  {} {}  {}", exception.exception, exception.difference.english(), exception.money(), exception.number());
    }
    for (what, listed) in report.stays.lists() {
        println!("  {}: {}", what.replace('_', " "), listed.count);
        for session in &listed.first {
            println!("    {session}");
        }
    }
    report.exceptions.is_empty()
}

/// Writes it as JSON.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    std::fs::write(path, serde_json::to_vec_pretty(report)?).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes exceptions.csv and report.html of it into a folder, as of two files.
pub fn tell(report: &Report, folder: &Path) -> Result<()> {
    let date = |day: Day| split::date(day).with_context(|| format!("there is no day {day}"));
    let (day, as_of) = (date(report.day)?, date(report.as_of)?);
    let Report { channel, merchant, term, lines, pieces, sums, fees, exceptions, stays, .. } = report;
    let (lines, pieces, fees) = (*lines, *pieces, *fees);
    let compared = reconcile::Compared { channel, merchant, day, as_of, term, lines, pieces, fees, sums, exceptions, stays };
    reconcile::tell(&compared, folder)
}
