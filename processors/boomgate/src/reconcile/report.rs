//! What is said of a day: the summary, and a CSV with each exception.
//!
//! Invariants
//! 1. Our total and the gaps of all categories make the channel's total   (`rules::reconcile`; `reconcile::tests::every_exception_is_told_with_both_sides`).
//! 2. A value of a file is no formula of a spreadsheet   (`tests::a_value_is_no_formula`).

use super::{
    details::{Exception, Known},
    exceptions,
};
use anyhow::{Context, Result};
use jiff::{Timestamp, civil::Date, tz::Offset};
use rules::reconcile::{Sum, Totals};
use schema::{
    Currency, Moment, Money,
    exception::Stays,
    statement::{Age, BookedPayment, Difference},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// What is known of a day beside what was found.
pub struct Head {
    pub channel: &'static str,
    pub day: Date,
    pub as_of: Date,
    pub merchant: String,
    pub file: String,
    pub sha1: String,
    pub lines: u64,
    pub payments: u64,
    pub strangers: u64,
    pub fee_milli: i128,
}

/// A way to compare, with what there is of it; amounts in fen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Category {
    /// Which.
    pub difference: Difference,
    /// Its name in Chinese.
    pub chinese: &'static str,
    /// How many.
    pub count: u64,
    /// What we booked.
    pub ours_minor: i64,
    /// What the channel says.
    pub theirs_minor: i64,
    /// What the channel has more.
    pub gap_minor: i64,
}

/// The summary; amounts in fen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whose statement.
    pub channel: &'static str,
    /// Of which day.
    pub day: String,
    /// When exceptions were looked at.
    pub as_of: String,
    /// Our number at the channel.
    pub merchant: String,
    /// The statement.
    pub file: String,
    /// Of the plain file.
    pub sha1: String,
    /// Lines of the statement.
    pub lines: u64,
    /// Our payments and refunds of the channel and merchant.
    pub payments: u64,
    /// Rows of other channels and merchants.
    pub strangers: u64,
    /// Payments of other days that this statement does not tell of.
    pub of_other_days: u64,
    /// What moved no money on either side.
    pub without_money: u64,
    /// What the channel keeps, in thousandths of a fen.
    pub fee_milli: i64,
    /// What we booked for the day.
    pub ours_minor: i64,
    /// What the channel says of it.
    pub theirs_minor: i64,
    /// What matched, and each way to differ.
    pub categories: Vec<Category>,
    /// How many differences there are.
    pub exceptions: u64,
    /// How many of them are told one by one.
    pub listed: u64,
    /// What a running system knows beside; none of two files alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// What a running system knows of a day that it has compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Running {
    /// When it was compared, as finance calls it.
    pub term: String,
    /// In how many pieces.
    pub pieces: usize,
    /// How many differences are open.
    pub open: u64,
    /// How many that the comparison found are closed since.
    pub closed: u64,
    /// Whether the books have heard what the channel keeps.
    pub knows_fees: bool,
    /// The stays that do not go with their money.
    pub stays: Stays,
}

fn minor(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// Fen as yuan, in groups of thousands.
pub fn yuan(minor: i64) -> String {
    let number = Money::new(minor, Currency::Cny).number();
    let (sign, digits) = number.strip_prefix('-').map_or(("", number.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "00"));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}.{fraction}")
}

impl Report {
    /// Of what was found.
    pub fn new(head: &Head, totals: &Totals, told: &Told) -> Self {
        let category = |difference: Difference| {
            let Sum { count, ours, theirs } = totals.of(difference);
            let (ours_minor, theirs_minor, gap_minor) = (minor(ours), minor(theirs), minor(totals.of(difference).gap()));
            Category { difference, chinese: difference.chinese(), count, ours_minor, theirs_minor, gap_minor }
        };
        let whole = totals.whole();
        Self {
            channel: head.channel,
            day: head.day.to_string(),
            as_of: head.as_of.to_string(),
            merchant: head.merchant.clone(),
            file: head.file.clone(),
            sha1: head.sha1.clone(),
            lines: head.lines,
            payments: head.payments,
            strangers: head.strangers,
            of_other_days: totals.elsewhere.count,
            without_money: totals.nothing.count,
            fee_milli: minor(head.fee_milli),
            ours_minor: minor(whole.ours),
            theirs_minor: minor(whole.theirs),
            categories: Difference::ALL.map(category).to_vec(),
            exceptions: totals.exceptions(),
            listed: told.count,
            running: None,
        }
    }

    /// The same of a day that a running system has compared: the differences that there are, are those that are open.
    #[must_use]
    pub fn running(self, running: Running) -> Self {
        Self { exceptions: running.open, running: Some(running), ..self }
    }

    /// For a terminal.
    pub fn print(&self) {
        let Self { channel, day, merchant, lines, payments, sha1, .. } = self;
        println!("{channel} {day} {merchant}: {lines} lines, {payments} payments; the statement agrees with itself (SHA-1 {sha1})");
        println!("  {:16} {:>10} {:>20} {:>20} {:>16}", "", "count", "ours", "channel", "gap");
        for Category { difference, chinese, count, ours_minor, theirs_minor, gap_minor } in &self.categories {
            let [ours, theirs, gap] = [ours_minor, theirs_minor, gap_minor].map(|minor| yuan(*minor));
            // Each of these characters is as wide as two letters.
            println!("  {:16} {count:>10} {ours:>20} {theirs:>20} {gap:>16}  {chinese}", difference.english());
        }
        let whole = self.lines.max(self.payments);
        let [ours, theirs, gap] = [self.ours_minor, self.theirs_minor, self.theirs_minor.saturating_sub(self.ours_minor)].map(yuan);
        println!("  {:16} {whole:>10} {ours:>20} {theirs:>20} {gap:>16}  合计", "total");
        for (count, what) in [
            (self.of_other_days, "payments of other days, of which this statement does not tell"),
            (self.without_money, "payments or lines without money on either side"),
            (self.strangers, "rows of other channels or merchants"),
            (self.exceptions.saturating_sub(self.listed), "exceptions beyond those that are listed"),
        ] {
            if count > 0 {
                println!("  {count} {what}");
            }
        }
    }
}

/// Exceptions of one age and difference: how many, and their gaps without sign.
pub type Ages = BTreeMap<(Age, Difference), (u64, i64)>;

/// What was told one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How many.
    pub count: u64,
    /// By age.
    pub ages: Ages,
    /// The first few of each difference, in full.
    pub first: BTreeMap<Difference, Vec<Exception>>,
}

impl Told {
    /// How many of a difference.
    pub fn of(&self, difference: Difference) -> u64 {
        self.ages.iter().filter(|((_, told), _)| *told == difference).map(|(_, (count, _))| count).sum()
    }
}

/// How many exceptions of a difference the page shows.
const SHOWN: usize = 20;

/// The CSV while it is written.
pub struct Paper {
    csv: csv::Writer<BufWriter<File>>,
    as_of: Date,
    told: Told,
}

const COLUMNS: [&str; 20] = [
    "difference",
    "名称",
    "kind",
    "age",
    "gap",
    "statement_line",
    "channel_transaction",
    "number",
    "refund_id",
    "channel_amount",
    "channel_status",
    "channel_time",
    "payment_line",
    "order_id",
    "booked_transaction",
    "booked_amount",
    "booked_status",
    "booked_time",
    "exception",
    "owner",
];

/// A moment by China's clock.
pub fn clock(moment: Moment) -> String {
    local(moment).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn local(moment: Moment) -> jiff::civil::DateTime {
    Offset::constant(8).to_datetime(Timestamp::from_microsecond(moment.0).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The line of a payment in its file; nothing of one that stands in none.
fn line_of(payment: &BookedPayment) -> String {
    if payment.line == 0 { String::new() } else { payment.line.to_string() }
}

/// A value that no spreadsheet takes for a formula.
fn value(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

impl Paper {
    /// Begins `exceptions.csv` in a folder: UTF-8 with a mark, so that spreadsheets read it.
    pub fn begin(folder: &Path, as_of: Date) -> Result<Self> {
        let path = folder.join("exceptions.csv");
        let mut file = BufWriter::new(File::create(&path).with_context(|| format!("cannot write {}", path.display()))?);
        file.write_all("\u{feff}".as_bytes())?;
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(COLUMNS)?;
        Ok(Self { csv, as_of, told: Told::default() })
    }

    /// Tells one.
    pub fn write(&mut self, exception: &Exception) -> Result<()> {
        let Exception { difference, line, payment, gap, known } = exception;
        let at = line.as_ref().map(|line| line.happened_at).or_else(|| payment.as_ref().map(|payment| payment.happened_at)).unwrap_or_default();
        let age = known.as_ref().map_or_else(|| age(at, self.as_of), |known| known.age);
        let kind = line.as_ref().map(|line| line.kind).or_else(|| payment.as_ref().map(|payment| payment.kind)).map_or("", |kind| kind.as_str());
        let mut row = vec![
            difference.as_str().to_owned(),
            difference.chinese().to_owned(),
            kind.to_owned(),
            age.as_str().to_owned(),
            Money::new(*gap, Currency::Cny).number(),
        ];
        if let Some(line) = line {
            row.extend([
                line.line.to_string(),
                value(&line.transaction),
                value(&line.number),
                value(&line.refund),
                line.amount.number(),
                line.standing.as_str().to_owned(),
                clock(line.happened_at),
            ]);
        } else {
            let refund = payment.as_ref().map_or("", |payment| &payment.refund);
            row.extend(["", "", "", &value(refund), "", "", ""].map(str::to_owned));
        }
        if let Some(payment) = payment {
            row.extend([
                line_of(payment),
                value(&payment.order),
                value(&payment.transaction),
                payment.amount.number(),
                payment.standing.as_str().to_owned(),
                clock(payment.happened_at),
            ]);
        } else {
            row.extend([""; 6].map(str::to_owned));
        }
        row.extend(known.as_ref().map_or_else(Default::default, |Known { exception, owner, .. }| {
            [exception.to_string(), owner.map(|owner| owner.to_string()).unwrap_or_default()]
        }));
        self.csv.write_record(&row)?;
        self.told.count += 1;
        let sum = self.told.ages.entry((age, *difference)).or_default();
        *sum = (sum.0 + 1, sum.1.saturating_add(gap.saturating_abs()));
        let first = self.told.first.entry(*difference).or_default();
        if first.len() < SHOWN {
            first.push(exception.clone());
        }
        Ok(())
    }

    /// Ends it.
    pub fn finish(self) -> Result<Told> {
        self.csv.into_inner().map_err(csv::IntoInnerError::into_error)?.flush().context("cannot write exceptions.csv")?;
        Ok(self.told)
    }
}

/// How old what happened at a moment is on a day.
fn age(moment: Moment, as_of: Date) -> Age {
    Age::of_days(i64::from((as_of - local(moment).date()).get_days()))
}

/// How many exceptions of each difference there are at an age, in the order of reports.
pub fn of_age(ages: &Ages, age: Age) -> impl Iterator<Item = (Difference, u64, i64)> {
    exceptions().filter_map(move |difference| ages.get(&(age, difference)).map(|(count, minor)| (difference, *count, *minor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_no_formula() {
        for (text, expected) in [("=1+1", "'=1+1"), ("@x", "'@x"), ("-1", "'-1"), ("4200", "4200"), ("", "")] {
            assert_eq!(value(text), expected);
        }
    }

    #[test]
    fn an_amount_is_written_in_groups() {
        for (minor, text) in [(0, "0.00"), (-5, "-0.05"), (123_456, "1,234.56"), (-100_000_000, "-1,000,000.00"), (99_999, "999.99")] {
            assert_eq!(yuan(minor), text);
        }
    }

    #[test]
    fn an_age_is_in_days_of_china() {
        let moment = |text: &str| Moment(text.parse::<Timestamp>().expect("a time").as_microsecond());
        for (at, age_is) in [("2026-11-23T15:59:59Z", Age::T1), ("2026-11-22T15:59:59Z", Age::T2), ("2026-11-01T00:00:00Z", Age::Older)] {
            assert_eq!(age(moment(at), "2026-11-24".parse().expect("a day")), age_is);
        }
    }
}
