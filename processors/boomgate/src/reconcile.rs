//! A channel's statement of a day against our payments: two files, no servers; and the report of a day, of two files or of a running system (`running`).
//!
//! The payments are read, then the statement is read, hashed and verified; both become small records on shelves (`shelves`), which are matched shelf by shelf
//! (`rules::reconcile`). What differs is read again in full (`details`) and reported (`report`, `page`). Memory stays the same from three lines to ten million, but for the
//! list of what differs, which ends at [`LISTED_MAX`].
//!
//! Invariants
//! 1. The same files give the same bytes, whatever the number of threads and however little memory there is   (`tests::the_same_files_give_the_same_bytes`).
//! 2. Nothing is reported of a statement that is refused   (`tests::nothing_is_reported_of_a_statement_that_is_refused`).
//! 3. Every exception is told, with both sides as the files have them   (`tests::every_exception_is_told_with_both_sides`).
//!
//! Not here: the form of files (`channels::statement`), what differs (`rules::reconcile`).

mod details;
mod page;
mod report;
mod running;
mod scan;
mod shelves;
mod sides;

use anyhow::{Context, Result, ensure};
use channels::statement::{self, Verified};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use report::{Paper, Report};
use rules::reconcile::{self, Decided, Finding, Record, Totals};
pub use running::{Compared, tell};
use schema::statement::Difference;
use shelves::{SHELVES, Shelves, Store};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

/// How many bytes of records are in memory at most: two million on each side.
const RECORDS_MAX: usize = 256 * 1024 * 1024;
/// How many exceptions are told one by one; whatever has more was compared with another day's or another system's payments.
pub const LISTED_MAX: usize = 500_000;

/// What is wanted.
#[derive(clap::Args, Clone, Debug)]
pub struct Wanted {
    /// Whose statement: wechat, alipay, etc or points.
    #[arg(long)]
    pub channel: String,
    /// The channel's day, in China, as 2026-11-23.
    #[arg(long)]
    pub day: Date,
    /// The statement, as the channel gave it: plain, gzip or zip.
    #[arg(long)]
    pub file: PathBuf,
    /// Our payments, a CSV in UTF-8 with the columns `order_id,channel,channel_transaction,amount,time,merchant` by name, in any order, amounts in yuan
    /// (12.30), times in China (2026-11-23 08:00:00) or with an offset. More columns where they are needed: `attempt`, the number at the channel (`out_trade_no`) where it is
    /// not the order's; `kind`, trade or refund; `refund_id`, our number of a refund; `status`, done, pending or failed. Rows of other channels are passed over,
    /// and payments of other days are no shortage of this one.
    #[arg(long)]
    pub against: PathBuf,
    /// Our number at the channel. Without it, payments and statement must be of one merchant.
    #[arg(long)]
    pub merchant: Option<String>,
    /// The SHA-1 of the plain file, as the channel told it.
    #[arg(long)]
    pub sha1: Option<String>,
    /// The day on which exceptions are looked at, for their age; without it the day after the statement's.
    #[arg(long)]
    pub as_of: Option<Date>,
    /// Writes the summary here, too.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Where exceptions.csv and report.html go.
    #[arg(long, default_value = "target/reconcile")]
    pub out: PathBuf,
}

/// How much of the machine is used.
#[derive(Clone, Copy, Debug)]
struct Means {
    threads: usize,
    records_max: usize,
    listed_max: usize,
}

impl Means {
    fn all() -> Self {
        let threads = thread::available_parallelism().map_or(2, usize::from);
        Self { threads, records_max: RECORDS_MAX, listed_max: LISTED_MAX }
    }
}

/// Reconciles, prints the summary and writes the report; says whether everything matched. A file that is refused is an error.
pub fn run(wanted: &Wanted) -> Result<bool> {
    let report = reconcile(wanted, Means::all())?;
    report.print();
    println!("  written to {}: exceptions.csv, report.html", wanted.out.display());
    if let Some(path) = &wanted.json {
        fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(report.exceptions == 0)
}

/// Does all of it but the printing.
fn reconcile(wanted: &Wanted, means: Means) -> Result<Report> {
    let (channel, form) = channels::form(&wanted.channel)?;
    if let Some(sha1) = &wanted.sha1 {
        ensure!(sha1.len() == 40 && sha1.bytes().all(|byte| byte.is_ascii_hexdigit()), "{sha1:?} is no SHA-1: it has 40 hexadecimal digits");
    }
    fs::create_dir_all(&wanted.out).with_context(|| format!("no folder {}", wanted.out.display()))?;
    let store = Store::new(wanted.out.clone(), means.records_max);
    let [named, lines] = [(); 2].map(|()| Shelves::new(&store, |record| record.name));
    let [nameless, rest] = [(); 2].map(|()| Shelves::new(&store, |record| record.number));
    let bar = progress(&[&wanted.against, &wanted.file])?;
    let tick = |bytes| bar.inc(bytes);
    let with = sides::With { threads: means.threads, progress: &tick };
    let mut about = statement::Wanted { day: wanted.day, merchant: wanted.merchant.clone() };
    let booked = sides::payments(channel, &about, &wanted.against, &named, &nameless, &with)?;
    about.merchant = booked.merchant.or(about.merchant);
    let statement = sides::statement(&form, &about, wanted.sha1.as_deref(), &wanted.file, &lines, &with)?;
    bar.finish_and_clear();

    let mut found = matched(means, &rest, |shelf, room| {
        named.take(shelf, &mut room.ours)?;
        lines.take(shelf, &mut room.theirs)?;
        Ok(reconcile::by_name(&room.ours, &room.theirs, &mut room.alone))
    })?;
    found.join(matched(means, &rest, |shelf, room| {
        nameless.take(shelf, &mut room.ours)?;
        rest.take(shelf, &mut room.theirs)?;
        Ok(reconcile::by_number(&room.ours, &room.theirs))
    })?);
    found.shorten();

    let Verified { rows, merchant, fee_milli, .. } = statement.verified;
    let head = report::Head {
        channel,
        day: wanted.day,
        as_of: wanted.as_of.or_else(|| wanted.day.tomorrow().ok()).unwrap_or(wanted.day),
        merchant: merchant.or(about.merchant).unwrap_or_default(),
        file: wanted.file.display().to_string(),
        sha1: statement.sha1,
        lines: rows,
        payments: booked.payments,
        strangers: booked.strangers,
        fee_milli,
    };
    let day = statement::civil_day(wanted.day);
    let mut paper = Paper::begin(&wanted.out, head.as_of)?;
    let theirs = (&form, wanted.file.as_path(), &*statement.rows);
    details::tell(&found.findings, theirs, (&wanted.against, &booked.columns, day), |exception| paper.write(exception))?;
    let told = paper.finish()?;
    let report = Report::new(&head, &found.totals, &told);
    let html = wanted.out.join("report.html");
    fs::write(&html, page::render(&report, &told)).with_context(|| format!("cannot write {}", html.display()))?;
    Ok(report)
}

/// What was found so far: all sums, and of the findings the first.
struct Found {
    totals: Totals,
    findings: Vec<Finding>,
    most: usize,
}

impl Found {
    fn take(&mut self, decided: Decided) {
        self.totals.add(&decided.totals);
        self.findings.extend(decided.findings);
        if self.findings.len() > 2 * self.most {
            self.shorten();
        }
    }

    fn join(&mut self, other: Self) {
        self.take(Decided { totals: other.totals, findings: other.findings });
    }

    /// In order, and no more than are told.
    fn shorten(&mut self) {
        self.findings.sort_unstable_by_key(Finding::order);
        self.findings.truncate(self.most);
    }
}

/// What a thread holds of a shelf: the records of each side, and those that are left over.
#[derive(Default)]
struct Room {
    ours: Vec<Record>,
    theirs: Vec<Record>,
    alone: Vec<Record>,
}

/// Decides all shelves, on some threads; what is left over goes to other shelves.
fn matched(means: Means, rest: &Shelves<'_>, decide: impl Fn(usize, &mut Room) -> Result<Decided> + Sync) -> Result<Found> {
    let next = AtomicUsize::new(0);
    let nothing = || Found { totals: Totals::default(), findings: Vec::new(), most: means.listed_max };
    let work = || -> Result<Found> {
        let (mut found, mut room, mut hand) = (nothing(), Room::default(), rest.hand());
        loop {
            let shelf = next.fetch_add(1, Relaxed);
            if shelf >= SHELVES {
                break;
            }
            found.take(decide(shelf, &mut room)?);
            room.alone.drain(..).for_each(|record| hand.put(record));
        }
        hand.finish()?;
        Ok(found)
    };
    let parts: Vec<Result<Found>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..means.threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut found = nothing();
    for part in parts {
        found.join(part?);
    }
    Ok(found)
}

/// A bar over the bytes of some files, on a terminal alone. A packed file is longer than it looks: then the bar stays full for a while.
fn progress(files: &[&Path]) -> Result<ProgressBar> {
    let length = |path: &&Path| fs::metadata(path).map(|file| file.len()).with_context(|| format!("cannot read {}", path.display()));
    let total: u64 = files.iter().map(length).sum::<Result<u64>>()?;
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}")?;
    Ok(ProgressBar::new(total).with_style(style))
}

/// The differences of which a report has a row: all but what matched.
fn exceptions() -> impl Iterator<Item = Difference> {
    Difference::ALL.into_iter().filter(|difference| *difference != Difference::Matched)
}

#[cfg(test)]
mod tests;
