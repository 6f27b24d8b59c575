//! What channels have paid out to the bank: brought in from the bank's list, and shown beside what each day's statement says.
//!
//! A file is read to its end before anything of it is said. Rows with the same channel, merchant and reference are one payout, which is told whole: of what a later
//! file says under the same reference nothing is booked unless it is the same.
//!
//! Invariants
//! 1. A file that cannot be read changes nothing   (`tests::a_file_that_cannot_be_read_changes_nothing`).
//! 2. What is brought in twice is booked once, and what differs from it is refused and shown   (`tests::a_payout_is_booked_once`).
//! 3. What remains of a day is what its statement says, less what the channel keeps and has paid out   (`tests::what_remains_is_shown`).
//!
//! Not here: what becomes of a payout (`rules::exceptions`), what is booked of it (`rules::settlement`).

use crate::{clock, reconciler::finding, settle};
use ::csv::{ReaderBuilder, StringRecord, Trim};
use anyhow::{Context, Result, ensure};
use channels::statement::{amount, time};
use jiff::civil::Date;
use schema::{
    Currency, Day, Entity, Key, Moment, Money, Partition, StatementEvent, StatementFact, Table,
    desk::AuthorId,
    exception::{Piece, Term},
    fact::OperatorId,
    id::Province,
    payout::{DayPaid, PaidOut, Payout},
    time::SECOND,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};
use store::{Part, Row, Store};
use streams::Bus;

/// The columns that a file must have, in any order; more may be there and are not read, but for `operator`.
const COLUMNS: [&str; 6] = ["channel", "merchant", "day", "amount", "reference", "booked_at"];
/// The column that says whose money it is, and may lack.
const OPERATOR: &str = "operator";
/// How many rows are asked for at once.
const LOAD_MOST: usize = 500;
/// How often it is looked what was decided, and for how long.
const LOOK: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Which cells of a row are which: those of [`COLUMNS`], and the operator's.
struct Columns([usize; 6], Option<usize>);

/// Payouts by channel, merchant and reference.
type Told = BTreeMap<[String; 3], PaidOut>;

/// What a file says, each payout whole.
pub fn read(text: &str, author: AuthorId, province: impl Fn(&str) -> Option<Province>) -> Result<Vec<StatementEvent>> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let columns = Columns::of(reader.headers().context("it is no CSV")?)?;
    let mut told = Told::new();
    for row in reader.records() {
        let row = row.context("it is no CSV")?;
        let line = row.position().map_or(0, ::csv::Position::line);
        columns.take(&row, author, &mut told).with_context(|| format!("line {line}"))?;
    }
    ensure!(!told.is_empty(), "there is no payout in it");
    let said = |([channel, merchant, _], paid): ([String; 3], PaidOut)| {
        let province = province(&merchant).with_context(|| format!("the province of merchant {merchant:?} is not set: name it in [reconcile]"))?;
        paid.said(channel.into(), merchant.into(), province).checked().map_err(anyhow::Error::msg)
    };
    told.into_iter().map(said).collect()
}

impl Columns {
    fn of(head: &StringRecord) -> Result<Self> {
        let place = |name: &str| head.iter().position(|column| column == name);
        let mut places = [0; 6];
        for (at, name) in places.iter_mut().zip(COLUMNS) {
            *at = place(name).with_context(|| format!("it has no column {name}: {} are needed", COLUMNS.join(", ")))?;
        }
        Ok(Self(places, place(OPERATOR)))
    }

    /// Takes a row over: a payout, or one more day of it.
    fn take(&self, row: &StringRecord, author: AuthorId, told: &mut Told) -> Result<()> {
        let cell = |at: usize| row.get(at).unwrap_or_default();
        let [channel, merchant, day, amount, reference, booked_at] = self.0.map(cell);
        let date: Date = day.parse().with_context(|| format!("{day:?} is no day, as 2026-11-23"))?;
        let part = DayPaid { day: settle::day(date)?, minor: fen(amount)? };
        let operator = self.1.map(cell).filter(|name| !name.is_empty());
        let operator: Option<OperatorId> = operator.map(str::parse).transpose().context("the operator is no name")?;
        let booked_at = moment(booked_at)?;
        let first = || {
            let (reference, amount) = (reference.into(), Money::new(0, Currency::Cny));
            PaidOut { reference, operator, days: Vec::new(), amount, booked_at, author }
        };
        let paid = told.entry([channel, merchant, reference].map(str::to_owned)).or_insert_with(first);
        ensure!((paid.operator, paid.booked_at) == (operator, booked_at), "another row of payout {reference} has another operator or booking");
        ensure!(paid.days.iter().all(|known| known.day != part.day), "day {} of payout {reference} is there twice", part.day);
        paid.amount.minor = paid.amount.minor.checked_add(part.minor).context("it is more than there is")?;
        let place = paid.days.partition_point(|known| known.day < part.day);
        paid.days.insert(place, part);
        Ok(())
    }
}

/// An amount in yuan with at most two decimals, as fen.
fn fen(text: &str) -> Result<i64> {
    amount(text.as_bytes(), 2).with_context(|| format!("{text:?} is no amount: yuan with at most two decimals"))
}

/// A time in China, or one with an offset, to the second.
fn moment(text: &str) -> Result<Moment> {
    let seconds = time(text.as_bytes()).with_context(|| format!("{text:?} is no time, as 2026-11-24 10:30:00"))?;
    Ok(Moment(seconds.saturating_mul(SECOND)))
}

/// What became of a payout that was brought in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// It is booked, now or before.
    Booked,
    /// Another one is booked under its reference.
    Refused(Money),
    /// Nobody has decided it yet: it will be.
    Stored,
}

/// Says them all, and waits for what is decided of each.
pub async fn import(bus: &dyn Bus, store: &dyn Store, told: &[StatementEvent]) -> Result<Vec<Came>> {
    for event in told {
        let stored = bus.publish(finding(event)).await;
        stored.context("the broker took a part of the file: bring it in once more, what is there stays once")?;
    }
    let begun = clock::now();
    let (every, most) = LOOK;
    loop {
        let mut came = Vec::new();
        for told in told.chunks(LOAD_MOST) {
            let rows = store.load(told.iter().filter_map(row).collect()).await?;
            came.extend(told.iter().zip(rows).map(|(event, row)| outcome(event, row)));
        }
        if !came.contains(&Came::Stored) || begun.elapsed() > most {
            return Ok(came);
        }
        clock::wait(every).await;
    }
}

fn paid(event: &StatementEvent) -> Option<&PaidOut> {
    if let StatementFact::PaidOut { paid } = &event.fact { Some(paid) } else { None }
}

fn row(event: &StatementEvent) -> Option<Key> {
    paid(event).map(|paid| paid.row(&event.piece))
}

fn outcome(event: &StatementEvent, row: Option<Row>) -> Came {
    match (row.map(|row| row.entity), paid(event)) {
        (Some(Entity::Payout(known)), Some(paid)) if known.paid.is_same(paid) => Came::Booked,
        (Some(Entity::Payout(known)), _) => Came::Refused(known.paid.amount),
        _ => Came::Stored,
    }
}

/// Prints what became of each; gives whether all are booked.
pub fn print(told: &[StatementEvent], came: &[Came]) -> bool {
    for (event, came) in told.iter().zip(came) {
        let Some(PaidOut { reference, amount, .. }) = paid(event) else { continue };
        let of = format!("{} {} {reference}  {amount}", event.piece.channel, event.piece.merchant);
        match came {
            Came::Booked => println!("{of}  booked"),
            Came::Refused(booked) => println!("{of}  REFUSED: {booked} is booked under this reference, or it is of other days or another operator"),
            Came::Stored => println!("{of}  stored, and not decided yet: is `boomgate run reconciliation` running?"),
        }
    }
    came.iter().all(|came| *came == Came::Booked)
}

/// Which days are asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Asked {
    /// Those of one channel.
    #[arg(long)]
    pub channel: Option<String>,
    /// Those of one of our numbers at channels.
    #[arg(long)]
    pub merchant: Option<String>,
    /// One day of the channel, as 2026-11-26.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub day: Option<Date>,
    /// This day and later.
    #[arg(long)]
    pub from: Option<Date>,
    /// This day and earlier.
    #[arg(long)]
    pub to: Option<Date>,
    /// As what it is written; a table where nothing is said.
    #[arg(long)]
    pub format: Option<settle::Format>,
}

/// A day of a channel and merchant, in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The channel.
    pub channel: Arc<str>,
    /// Our number there.
    pub merchant: Arc<str>,
    /// The channel's day.
    pub day: Day,
    /// The currency.
    pub currency: Currency,
    /// What its statement adds up to, refunds taken off; none where none is compared.
    pub stated: Option<i64>,
    /// What the statement says that the channel keeps of it.
    pub fees: i64,
    /// What has come into the bank of it.
    pub paid_out: i64,
    /// What is still to come; none where no statement is compared.
    pub remains: Option<i64>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// By channel, merchant and day.
    pub days: Vec<Line>,
    /// The payouts of these days, by channel, merchant and reference; with what is refused of each.
    pub payouts: Vec<Payout>,
}

/// By what days are told apart.
type Name = (Arc<str>, Arc<str>, Day, Currency);
/// What is known of a day: what is stated, kept and paid out.
type Sums = (Option<i64>, i64, i64);
/// By what pieces are told apart.
type PieceName = (Arc<str>, Arc<str>, Day, Province, Partition);

/// What is asked for, by what is saved.
pub async fn find(store: &dyn Store, asked: &Asked) -> Result<Found> {
    let (from, to) = match asked.day {
        Some(date) => (Some(settle::day(date)?), Some(settle::day(date)?)),
        None => (asked.from.map(settle::day).transpose()?, asked.to.map(settle::day).transpose()?),
    };
    let is_day = |day: Day| from.is_none_or(|from| day >= from) && to.is_none_or(|to| day <= to);
    let mut sums: BTreeMap<Name, Sums> = BTreeMap::new();
    let mut add = |name: Name, (stated, fees, paid_out): Sums| {
        let sum = sums.entry(name).or_default();
        *sum =
            (stated.map(|more| sum.0.unwrap_or_default().saturating_add(more)).or(sum.0), sum.1.saturating_add(fees), sum.2.saturating_add(paid_out));
    };
    let mut pieces: BTreeMap<PieceName, (Term, i64)> = BTreeMap::new();
    for entity in entities(store, Table::Pieces, is_day).await? {
        if let Entity::Piece(piece) = entity {
            keep(&mut pieces, &piece);
        }
    }
    for ((channel, merchant, day, ..), (_, stated)) in pieces {
        add((channel, merchant, day, Currency::Cny), (Some(stated), 0, 0));
    }
    for entity in entities(store, Table::Fees, is_day).await? {
        let Entity::Fees(kept) = entity else { continue };
        for (merchant, minor) in &kept.told {
            add((kept.fees.channel.clone(), merchant.clone(), kept.fees.day, kept.fees.currency), (None, *minor, 0));
        }
    }
    let mut payouts = Vec::new();
    for entity in entities(store, Table::Payouts, |_| true).await? {
        let Entity::Payout(payout) = entity else { continue };
        let Payout { at, paid, .. } = &*payout;
        let days: Vec<&DayPaid> = paid.days.iter().filter(|part| is_day(part.day)).collect();
        for DayPaid { day, minor } in &days {
            add((at.channel.clone(), at.merchant.clone(), *day, paid.amount.currency), (None, 0, *minor));
        }
        if !days.is_empty() {
            payouts.push(*payout);
        }
    }
    let is_asked = |channel: &str, merchant: &str| {
        asked.channel.as_deref().is_none_or(|wanted| wanted == channel) && asked.merchant.as_deref().is_none_or(|wanted| wanted == merchant)
    };
    payouts.retain(|payout| is_asked(&payout.at.channel, &payout.at.merchant));
    payouts.sort_by(|one, other| name(one).cmp(&name(other)));
    let days = sums.into_iter().filter(|((channel, merchant, ..), _)| is_asked(channel, merchant)).map(line).collect();
    Ok(Found { days, payouts })
}

fn name(payout: &Payout) -> [&str; 3] {
    [&payout.at.channel, &payout.at.merchant, &payout.paid.reference]
}

/// All that is saved of a table under days that are asked for.
async fn entities(store: &dyn Store, table: Table, is_day: impl Fn(Day) -> bool) -> Result<Vec<Entity>> {
    let parts: Vec<Part> =
        store.parts(table).await.context("cannot read which days there are")?.into_iter().filter(|part| is_day(part.day)).collect();
    let mut all = Vec::new();
    for part in parts {
        let rows = store.scan(part).await.context("cannot read the rows of a day")?;
        all.extend(rows.into_iter().map(|row| row.entity));
    }
    Ok(all)
}

/// What a piece's statement adds up to. T+1 has the lines of its own day alone; T+2 may have some of the day after.
fn keep(pieces: &mut BTreeMap<PieceName, (Term, i64)>, piece: &Piece) {
    let at = &piece.piece;
    let stated = piece.sums.iter().fold(0_i64, |sum, one| sum.saturating_add(one.theirs));
    let known = pieces.entry((at.channel.clone(), at.merchant.clone(), at.day, at.province, at.partition)).or_insert((piece.term, stated));
    if piece.term < known.0 {
        *known = (piece.term, stated);
    }
}

fn line(((channel, merchant, day, currency), (stated, fees, paid_out)): (Name, Sums)) -> Line {
    let remains = stated.map(|stated| stated.saturating_sub(fees).saturating_sub(paid_out));
    Line { channel, merchant, day, currency, stated, fees, paid_out, remains }
}

/// Writes what was found.
pub fn write(found: &Found, format: settle::Format, out: &mut dyn Write) -> Result<()> {
    match format {
        settle::Format::Json => {
            serde_json::to_writer_pretty(&mut *out, found)?;
            writeln!(out)?;
            Ok(())
        }
        settle::Format::Csv => {
            let mut writer = ::csv::Writer::from_writer(out);
            writer.write_record(HEAD)?;
            for line in &found.days {
                writer.write_record(cells(line))?;
            }
            writer.flush()?;
            Ok(())
        }
        settle::Format::Table => Ok(table(found, out)?),
    }
}

/// What a line has.
const HEAD: [&str; 8] = ["channel", "merchant", "day", "currency", "stated", "fees", "paid_out", "remains"];

fn cells(line: &Line) -> [String; 8] {
    let money = |minor: i64| Money::new(minor, line.currency).number();
    let known = |minor: Option<i64>| minor.map(money).unwrap_or_default();
    [
        line.channel.to_string(),
        line.merchant.to_string(),
        line.day.to_string(),
        format!("{:?}", line.currency).to_uppercase(),
        known(line.stated),
        money(line.fees),
        money(line.paid_out),
        known(line.remains),
    ]
}

fn table(found: &Found, out: &mut dyn Write) -> io::Result<()> {
    let lines: Vec<[String; 8]> = [HEAD.map(str::to_owned)].into_iter().chain(found.days.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    for line in &lines {
        let padded =
            line.iter().zip(widths).enumerate().map(|(at, (cell, width))| if at < 4 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    for Payout { at, paid, refused } in &found.payouts {
        for other in refused {
            let (told, booked, by) = (other.amount, paid.amount, other.author);
            writeln!(out, "refused: {} {} {}: {told}, told by {by}; {booked} is booked", at.channel, at.merchant, paid.reference)?;
        }
    }
    if found.days.is_empty() {
        writeln!(out, "no day is as asked for")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
