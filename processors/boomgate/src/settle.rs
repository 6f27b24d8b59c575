//! Settlement statements for people: by lot, operator, province and day, with what is still open marked as such.
//!
//! Invariants
//! 1. Statements, adjustments and what is open add up to the totals shown   (`tests::what_is_shown_adds_up`).
//!
//! Not here: when a window closes and into what (`rules::settlement`), whether a statement equals its rows (`verify`).

use anyhow::{Context, Result};
use schema::{
    Currency, Day, Entity, Id, LotId, Moment, Money, Partition, Table,
    entity::Settling,
    fact::OperatorId,
    id::Province,
    ledger::{Figures, Statement},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
};
use store::Store;

/// Which statements are asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Asked {
    /// Those of one lot.
    #[arg(long)]
    pub lot: Option<LotId>,
    /// Those of one operator.
    #[arg(long)]
    pub operator: Option<OperatorId>,
    /// Those of one province, by the first two digits of its GB/T 2260 code.
    #[arg(long)]
    pub province: Option<u8>,
    /// Those of one local day, as 2026-11-26.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub day: Option<jiff::civil::Date>,
    /// Those of this local day and later.
    #[arg(long)]
    pub from: Option<jiff::civil::Date>,
    /// Those of this local day and earlier.
    #[arg(long)]
    pub to: Option<jiff::civil::Date>,
    /// As what it is written; `show` writes a table where nothing is said, `export` CSV.
    #[arg(long)]
    pub format: Option<Format>,
}

/// As what statements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One object with all statements and their totals.
    Json,
    /// A line for each, and one for each total.
    Csv,
}

/// How what a line says stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// It is a statement, or an adjustment of one.
    Closed,
    /// It may grow yet.
    Open,
    /// It should have closed, and its rows are not what was posted.
    Stopped,
}

impl Stands {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Stopped => "stopped",
        }
    }
}

/// One statement, one adjustment, or what is in a window and in neither yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The lot's local day.
    pub day: Day,
    /// Whose lot it is.
    pub operator: Option<OperatorId>,
    /// The lot; none for money whose order was not known when it came.
    pub lot: Option<LotId>,
    /// Its province.
    pub province: Province,
    /// The channel.
    pub channel: String,
    /// The window's first moment.
    pub from: Moment,
    /// The moment at which it has ended.
    pub until: Moment,
    /// 0 of the statement, n of its n-th adjustment.
    pub number: u32,
    /// How it stands.
    pub stands: Stands,
    /// Its id; none of what is open.
    pub statement: Option<Id>,
    /// Which one it adjusts.
    pub adjusts: Option<Id>,
    /// How many postings it has.
    pub postings: u64,
    /// How many payments.
    pub payments: u64,
    /// How many refunds.
    pub refunds: u64,
    /// The currency of its numbers.
    pub currency: Currency,
    /// The numbers, in minor units.
    pub figures: Figures,
    /// The hash of its rows; none of what is open.
    pub hash: Option<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// By day, lot, channel, window and number.
    pub statements: Vec<Line>,
    /// All together, what is open included, by currency.
    pub totals: BTreeMap<Currency, Total>,
}

/// What lines add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// How many postings.
    pub postings: u64,
    /// How many payments.
    pub payments: u64,
    /// How many refunds.
    pub refunds: u64,
    /// The numbers, in minor units.
    pub figures: Figures,
}

fn closed(statement: Statement) -> Line {
    let Statement { operator, lot, province, channel, currency, day, from, until, number, adjusts, tally, figures, hash, statement } = statement;
    Line {
        day,
        operator,
        lot,
        province,
        channel: channel.to_string(),
        from,
        until,
        number,
        stands: Stands::Closed,
        statement: Some(statement),
        adjusts,
        postings: tally.rows,
        payments: tally.payments,
        refunds: tally.refunds,
        currency,
        figures,
        hash: Some(hash.to_string()),
    }
}

/// What a window holds that is in no statement yet, if it holds anything.
pub fn open(window: Settling) -> Option<Line> {
    window.closes_at?;
    let Settling { operator, lot, province, channel, currency, day, from, until, tally, statements, last, stopped, .. } = window;
    Some(Line {
        day,
        operator,
        lot,
        province,
        channel: channel.to_string(),
        from,
        until,
        number: statements,
        stands: if stopped.is_some() { Stands::Stopped } else { Stands::Open },
        statement: None,
        adjusts: last,
        postings: tally.rows,
        payments: tally.payments,
        refunds: tally.refunds,
        currency,
        figures: rules::settlement::figures(&tally),
        hash: None,
    })
}

/// A date as a day.
pub(crate) fn day(date: jiff::civil::Date) -> Result<Day> {
    date.strftime("%y%m%d").to_string().parse().map(Day).context("a date of this century")
}

/// What is asked for, by what is saved.
pub async fn find(store: &dyn Store, asked: &Asked) -> Result<Found> {
    let (from, to) = match asked.day {
        Some(date) => (Some(day(date)?), Some(day(date)?)),
        None => (asked.from.map(day).transpose()?, asked.to.map(day).transpose()?),
    };
    let bucket = asked.lot.map(|lot| Partition::of_lot(lot.as_str()));
    let mut lines: Vec<Line> = Vec::new();
    for table in [Table::Statements, Table::Windows] {
        for part in store.parts(table).await.context("cannot read which days there are")? {
            let is_asked = asked.province.is_none_or(|province| part.province == Province(province))
                && from.is_none_or(|from| part.day >= from)
                && to.is_none_or(|to| part.day <= to)
                && bucket.is_none_or(|bucket| part.bucket == bucket);
            if !is_asked {
                continue;
            }
            let rows = store.scan(part).await.context("cannot read the statements of a day")?;
            lines.extend(rows.into_iter().filter_map(|row| match row.entity {
                Entity::Statement(statement) => Some(closed(*statement)),
                Entity::Settling(window) => open(*window),
                _ => None,
            }));
        }
    }
    lines.retain(|line| asked.lot.is_none_or(|lot| line.lot == Some(lot)) && asked.operator.is_none_or(|operator| line.operator == Some(operator)));
    lines.sort_by_cached_key(|line| (line.day, line.lot, line.channel.clone(), line.currency, line.from, line.number, line.stands));
    let mut totals: BTreeMap<Currency, Total> = BTreeMap::new();
    for line in &lines {
        add(totals.entry(line.currency).or_default(), line);
    }
    Ok(Found { statements: lines, totals })
}

fn add(total: &mut Total, line: &Line) {
    for (sum, count) in [(&mut total.postings, line.postings), (&mut total.payments, line.payments), (&mut total.refunds, line.refunds)] {
        *sum = sum.saturating_add(count);
    }
    let Figures { gross, discounts, points, refunded, fees, short, found, net } = &line.figures;
    let all = &mut total.figures;
    for (bearer, minor) in discounts {
        let sum = all.discounts.entry(bearer.clone()).or_default();
        *sum = sum.saturating_add(*minor);
    }
    let sums = [&mut all.gross, &mut all.points, &mut all.refunded, &mut all.fees, &mut all.short, &mut all.found, &mut all.net];
    for (sum, minor) in sums.into_iter().zip([gross, points, refunded, fees, short, found, net]) {
        *sum = sum.saturating_add(*minor);
    }
}

/// Writes what was found.
pub fn write(found: &Found, format: Format, out: &mut dyn Write) -> Result<()> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, found)?;
            writeln!(out)?;
            Ok(())
        }
        Format::Csv => csv(found, out),
        Format::Table => Ok(table(found, out)?),
    }
}

/// Sums of money as they are read: gross, discounts, points, refunded, fees, short, found, net.
fn amounts(figures: &Figures, currency: Currency) -> [String; 8] {
    let Figures { gross, discounts, points, refunded, fees, short, found, net } = figures;
    let off = discounts.values().fold(0_i64, |sum, minor| sum.saturating_add(*minor));
    [*gross, off, *points, *refunded, *fees, *short, *found, *net].map(|minor| Money::new(minor, currency).number())
}

fn csv(found: &Found, out: &mut dyn Write) -> Result<()> {
    let mut writer = ::csv::Writer::from_writer(out);
    writer.write_record([
        "day",
        "operator",
        "lot",
        "province",
        "channel",
        "from",
        "until",
        "number",
        "stands",
        "statement",
        "adjusts",
        "postings",
        "payments",
        "refunds",
        "currency",
        "gross",
        "discounts",
        "points",
        "refunded",
        "fees",
        "short",
        "found",
        "net",
        "borne",
        "hash",
    ])?;
    let text = |id: Option<&str>| id.unwrap_or_default().to_owned();
    let borne = |figures: &Figures, currency| {
        let each = figures.discounts.iter().map(|(bearer, minor)| format!("{bearer}={}", Money::new(*minor, currency).number()));
        each.collect::<Vec<_>>().join(";")
    };
    for line in &found.statements {
        let mut record = vec![
            line.day.to_string(),
            text(line.operator.as_ref().map(schema::Token::as_str)),
            text(line.lot.as_ref().map(schema::Token::as_str)),
            line.province.to_string(),
            line.channel.clone(),
            line.from.to_string(),
            line.until.to_string(),
            line.number.to_string(),
            line.stands.as_str().to_owned(),
            text(line.statement.as_ref().map(schema::Token::as_str)),
            text(line.adjusts.as_ref().map(schema::Token::as_str)),
            line.postings.to_string(),
            line.payments.to_string(),
            line.refunds.to_string(),
            format!("{:?}", line.currency).to_uppercase(),
        ];
        record.extend(amounts(&line.figures, line.currency));
        record.extend([borne(&line.figures, line.currency), text(line.hash.as_deref())]);
        writer.write_record(&record)?;
    }
    for (currency, total) in &found.totals {
        let mut record = vec![String::new(); 8];
        record.extend(["total", "", ""].map(str::to_owned));
        record.extend([total.postings, total.payments, total.refunds].map(|count| count.to_string()));
        record.push(format!("{currency:?}").to_uppercase());
        record.extend(amounts(&total.figures, *currency));
        record.extend([borne(&total.figures, *currency), String::new()]);
        writer.write_record(&record)?;
    }
    writer.flush()?;
    Ok(())
}

fn table(found: &Found, out: &mut dyn Write) -> io::Result<()> {
    let mut lines: Vec<Vec<String>> = vec![
        ["day", "lot", "channel", "until", "statement", "postings", "", "gross", "discounts", "points", "refunded", "fees", "short", "found", "net"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for line in &found.statements {
        let name = match (line.stands, line.number) {
            (Stands::Open, _) => "open".to_owned(),
            (Stands::Stopped, _) => "STOPPED".to_owned(),
            (Stands::Closed, 0) => "closed".to_owned(),
            (Stands::Closed, number) => format!("adjustment {number}"),
        };
        let lot = line.lot.map_or_else(|| "unknown".to_owned(), |lot| lot.to_string());
        let mut cells = vec![line.day.to_string(), lot, line.channel.clone(), line.until.to_string(), name, line.postings.to_string()];
        cells.push(format!("{:?}", line.currency).to_uppercase());
        cells.extend(amounts(&line.figures, line.currency));
        lines.push(cells);
    }
    for (currency, total) in &found.totals {
        let mut cells = vec!["total".to_owned(), String::new(), String::new(), String::new(), String::new(), total.postings.to_string()];
        cells.push(format!("{currency:?}").to_uppercase());
        cells.extend(amounts(&total.figures, *currency));
        lines.push(cells);
    }
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..15).map(width).collect();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at {
            5 | 7.. => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    if found.statements.is_empty() {
        writeln!(out, "no statement, and nothing open, is as asked for")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
