//! The clearing file of channels that have none of their own (ETC, points): our own form, written down in `schema/etc-clearing.md`.
//!
//! A lane's debit is accepted first, and cleared or refused by the clearing house days later: the file of a day says what became of debits that day, whenever
//! they were made. So the day is the head's, and no row's.
//!
//! Invariants: those of [`super`], with a file of every disposition.

use super::{
    Chunk, Form, Line, Reason, Refusal, Rest, Rows, Sums, Verified, Wanted, cell,
    table::{self, Head},
};
use schema::statement::{LineKind, Standing};

/// Clearing files.
pub const FORM: Form = Form { begin, is_named: |name| name.to_ascii_lowercase().ends_with(".csv") };

/// How a file begins and ends.
const MARK: &str = "#clearing";
const TOTAL: &str = "#total";
/// The version that this reads.
const VERSION: &str = "1";
/// What becomes of a debit.
const DISPOSITIONS: [(&[u8], Standing); 8] = [
    (b"posted", Standing::Done),
    (b"duplicate", Standing::Failed),
    (b"invalid tag or plate", Standing::Failed),
    (b"not posted", Standing::Failed),
    (b"system", Standing::Failed),
    (b"content", Standing::Failed),
    (b"not on file", Standing::Failed),
    (b"too old", Standing::Failed),
];

const DEBITS: usize = 0;
const REFUNDS: usize = 1;
const FEE: usize = 2;
/// Thousandths of a fen in one.
const MILLI: i64 = 1_000;

/// A clearing file whose columns are known.
struct Clearing {
    head: Head,
    merchant: Option<String>,
    time: usize,
    kind: usize,
    transaction: usize,
    number: usize,
    amount: usize,
    disposition: usize,
    fee: Option<usize>,
}

fn begin(wanted: &Wanted, chunk: Chunk<'_>) -> Result<(Box<dyn Rows>, usize, u32), Refusal> {
    let text = |bytes, line| std::str::from_utf8(bytes).map_err(|_| Refusal::at(line, "", Reason::Encoding("UTF-8")));
    let (first, length) = table::first_line(chunk.bytes).ok_or_else(|| Refusal::at(1, "", Reason::NoSummary))?;
    let mut told = text(first, 1)?.split(',');
    if told.next() != Some(MARK) {
        return Err(Refusal::at(1, MARK, Reason::NoColumn));
    }
    let [version, day, merchant] = ["version", "day", "merchant"].map(|name| told.next().ok_or_else(|| Refusal::at(1, name, Reason::Empty)));
    let version = version?;
    if version != VERSION {
        return Err(Refusal::at(1, "version", Reason::Version(version.chars().take(20).collect())));
    }
    let (day, expected) = (day?, wanted.day.to_string());
    if day != expected {
        return Err(Refusal::at(1, "day", Reason::Day { found: day.chars().take(20).collect(), wanted: expected }));
    }
    let found = merchant?;
    if let Some(wanted) = wanted.merchant.as_ref().filter(|wanted| !found.is_empty() && *wanted != found) {
        return Err(Refusal::at(1, "merchant", Reason::Merchant { found: found.chars().take(64).collect(), wanted: wanted.clone() }));
    }
    let (names, more) = table::first_line(&chunk.bytes[length..]).ok_or_else(|| Refusal::at(2, "", Reason::NoSummary))?;
    let head = Head::new(text(names, 2)?, 2)?;
    let clearing = Clearing {
        merchant: Some(found.to_owned()).filter(|merchant| !merchant.is_empty()),
        time: head.need(&["time"])?,
        kind: head.need(&["kind"])?,
        transaction: head.need(&["transaction"])?,
        number: head.need(&["number"])?,
        amount: head.need(&["amount"])?,
        disposition: head.need(&["disposition"])?,
        fee: head.find(&["fee"]),
        head,
    };
    Ok((Box::new(clearing), length + more, 2))
}

impl Clearing {
    fn line<'c>(&self, row: &table::Row<'c, '_>, offset: u64, sums: &mut Sums) -> Result<Line<'c>, Refusal> {
        let refused = |column: usize, reason| Refusal::at(row.line, self.head.name(column), reason);
        let fen = |column: usize| cell::fen(row.cell(column)).map_err(|reason| refused(column, reason));
        let number = |column: usize| cell::number(row.cell(column), row.line, self.head.name(column));
        let word = |column: usize| refused(column, Reason::Word(cell::text(row.cell(column))));
        let (kind, total) = match row.cell(self.kind) {
            b"debit" => (LineKind::Trade, DEBITS),
            b"refund" => (LineKind::Refund, REFUNDS),
            _ => return Err(word(self.kind)),
        };
        let disposition = DISPOSITIONS.iter().find(|(name, _)| *name == row.cell(self.disposition));
        let (_, standing) = *disposition.ok_or_else(|| word(self.disposition))?;
        let (amount, fee) = (fen(self.amount)?, self.fee.map_or(Ok(0), fen)?);
        if standing == Standing::Done {
            sums.of[total] += i128::from(amount);
            sums.of[FEE] += i128::from(kind.signed(fee));
        }
        sums.rows += 1;
        let time = row.cell(self.time);
        if cell::time(time).is_none() {
            return Err(refused(self.time, Reason::Time(cell::text(time))));
        }
        let (transaction, named) = (number(self.transaction)?, number(self.number)?);
        let (number, refund): (&[u8], &[u8]) = if kind == LineKind::Trade { (named, &[]) } else { (&[], named) };
        let (offset, fee_milli) = (offset + row.start as u64, kind.signed(fee) * MILLI);
        Ok(Line { kind, standing, transaction, number, refund, amount, fee_milli, time, offset, line: row.line })
    }
}

impl Rows for Clearing {
    fn read(&self, chunk: Chunk<'_>, each: &mut dyn FnMut(&Line<'_>)) -> Result<Rest, Refusal> {
        let mut sums = Sums::default();
        let from = table::rows(table::Form::Commas, chunk, self.head.len(), |row| {
            each(&self.line(row, chunk.offset, &mut sums)?);
            Ok(())
        })?;
        Ok(Rest { sums, from })
    }

    fn end(&self, rest: Chunk<'_>, sums: &Sums) -> Result<Verified, Refusal> {
        let line = rest.first_line;
        let (bytes, length) = table::first_line(rest.bytes).ok_or_else(|| Refusal::at(line, TOTAL, Reason::NoSummary))?;
        if !rest.bytes[length..].iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::at(line.saturating_add(1), "", Reason::AfterSummary));
        }
        let told: Vec<&[u8]> = bytes.split(|byte| *byte == b',').collect();
        let [mark, count, debits, refunds] = told[..] else {
            return Err(Refusal::at(line, TOTAL, Reason::Columns { found: told.len(), columns: 4 }));
        };
        if mark != TOTAL.as_bytes() {
            return Err(Refusal::at(line, "", Reason::NotARow));
        }
        let said = cell::count(count).ok_or_else(|| Refusal::at(line, "count", Reason::Amount(cell::text(count))))?;
        if said != sums.rows {
            return Err(Refusal::at(line, "count", Reason::Count { said: cell::text(count), found: sums.rows.to_string() }));
        }
        for (name, value, found) in [("debits", debits, sums.of[DEBITS]), ("refunds", refunds, sums.of[REFUNDS])] {
            let said = cell::fen(value).map_err(|reason| Refusal::at(line, name, reason))?;
            if i128::from(said) != found {
                return Err(Refusal::at(line, name, Reason::Sum { said: cell::text(value), found: cell::sum(found, 2) }));
            }
        }
        let (fee_milli, tells_fees) = (sums.of[FEE] * i128::from(MILLI), self.fee.is_some());
        Ok(Verified { rows: sums.rows, merchant: self.merchant.clone(), fee_milli, tells_fees })
    }
}
