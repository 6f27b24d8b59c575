//! WeChat Pay's trade bill ("交易账单"), in each form that is about: 20 to 29 columns by name, and the names of before 2018.
//!
//! UTF-8 with a byte order mark, CRLF, a backtick before each value, a summary of two lines. A refund's row has the order's number and transaction; of its times the
//! bill goes by one that is not published, so a bill is of the wrong day where a trade is, or where no row names the day.
//!
//! Invariants: those of [`super`], with the genuine bills and their malformed kin.

mod funds;

use super::{
    Chunk, Form, Line, Reason, Refusal, Rest, Rows, SUMS, Sums, Verified, Wanted, cell,
    table::{self, Head, Row},
};
use schema::statement::{LineKind, Standing};

/// WeChat Pay's statements.
pub const FORM: Form = Form { begin, is_named: |name| name.to_ascii_lowercase().ends_with(".csv") };

/// The mark at the beginning of the file.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Decimals of the fee; other amounts have two.
const FEE_DECIMALS: usize = 5;

/// A sum of the summary: its names, the columns that it adds up, and how many decimals those have.
struct Total {
    names: &'static [&'static str],
    columns: &'static [&'static str],
    decimals: usize,
}

const SETTLED: usize = 0;
const RETURNED: usize = 1;
const FEE: usize = 3;
const ORDERED: usize = 4;
const ASKED_BACK: usize = 5;
/// Where rows are counted that name the day.
const OF_THE_DAY: usize = 6;

const TOTALS: [Total; 6] = [
    Total { names: &["应结订单总金额", "总交易额"], columns: &["应结订单金额", "总金额"], decimals: 2 },
    Total { names: &["退款总金额", "总退款金额"], columns: &["退款金额"], decimals: 2 },
    Total {
        names: &["充值券退款总金额", "总代金券或立减优惠退款金额", "企业红包退款总金额", "总企业红包退款金额"],
        columns: &["充值券退款金额", "代金券或立减优惠退款金额", "企业红包退款金额"],
        decimals: 2,
    },
    Total { names: &["手续费总金额"], columns: &["手续费"], decimals: FEE_DECIMALS },
    Total { names: &["订单总金额"], columns: &["订单金额"], decimals: 2 },
    Total { names: &["申请退款总金额"], columns: &["申请退款金额"], decimals: 2 },
];
const _: () = assert!(TOTALS.len() < SUMS);

/// The summary's count.
const COUNT: &str = "总交易单数";

/// A trade bill whose columns are known.
struct Trades {
    head: Head,
    day: [u8; 10],
    merchant: Option<Vec<u8>>,
    time: usize,
    merchant_at: usize,
    transaction: usize,
    number: usize,
    standing: usize,
    currency: usize,
    refund: Option<usize>,
    refund_standing: Option<usize>,
    refund_times: [Option<usize>; 2],
    /// The column of each sum.
    totals: [Option<usize>; TOTALS.len()],
    /// Which of the sums' columns is a trade's amount, and a refund's.
    paid: usize,
    returned: Option<usize>,
}

fn begin(wanted: &Wanted, chunk: Chunk<'_>) -> Result<(Box<dyn Rows>, usize, u32), Refusal> {
    let mark = if chunk.bytes.starts_with(MARK) { MARK.len() } else { 0 };
    let (line, length) = table::first_line(&chunk.bytes[mark..]).ok_or_else(|| Refusal::at(1, "", Reason::NoSummary))?;
    let text = std::str::from_utf8(line).map_err(|_| Refusal::at(1, "", Reason::Encoding("UTF-8")))?;
    let head = Head::new(text, 1)?;
    let consumed = mark + length;
    let rows: Box<dyn Rows> = if head.find(&["资金流水单号"]).is_some() {
        Box::new(funds::Funds::new(head)?)
    } else {
        Box::new(Trades::new(head, wanted, &chunk.bytes[consumed..])?)
    };
    Ok((rows, consumed, 1))
}

impl Trades {
    fn new(head: Head, wanted: &Wanted, body: &[u8]) -> Result<Self, Refusal> {
        let totals = TOTALS.map(|total| head.find(total.columns));
        let first = |choices: [usize; 2]| choices.into_iter().find(|choice| totals[*choice].is_some());
        let paid = first([ORDERED, SETTLED]).ok_or_else(|| Refusal::at(1, "订单金额", Reason::NoColumn))?;
        let mut trades = Self {
            day: *wanted.day.to_string().as_bytes().first_chunk().unwrap_or(&[0; 10]),
            merchant: wanted.merchant.clone().map(String::into_bytes),
            time: head.need(&["交易时间"])?,
            merchant_at: head.need(&["商户号"])?,
            transaction: head.need(&["微信订单号"])?,
            number: head.need(&["商户订单号"])?,
            standing: head.need(&["交易状态"])?,
            currency: head.need(&["货币种类"])?,
            refund: head.find(&["商户退款单号"]),
            refund_standing: head.find(&["退款状态"]),
            refund_times: [head.find(&["退款成功时间"]), head.find(&["退款申请时间"])],
            paid,
            returned: first([ASKED_BACK, RETURNED]),
            totals,
            head,
        };
        if trades.merchant.is_none()
            && let Some((line, _)) = table::first_line(body)
        {
            // All rows must be of whom the first one names; what is wrong with it is said where it is read.
            let chunk = Chunk { bytes: line, offset: 0, first_line: 2 };
            let mut merchant = None;
            let _ = table::rows(table::Form::Backticks, chunk, trades.head.len(), |row| {
                merchant = Some(row.cell(trades.merchant_at).to_vec());
                Ok(())
            });
            trades.merchant = merchant;
        }
        Ok(trades)
    }

    fn refuse(&self, row: &Row<'_, '_>, column: usize, reason: Reason) -> Refusal {
        Refusal::at(row.line, self.head.name(column), reason)
    }

    #[inline]
    fn line<'c>(&self, row: &Row<'c, '_>, offset: u64, sums: &mut Sums) -> Result<Line<'c>, Refusal> {
        let mut values = [0; TOTALS.len()];
        for (place, (column, total)) in self.totals.iter().zip(&TOTALS).enumerate() {
            let Some(column) = *column else { continue };
            let value = cell::amount(row.cell(column), total.decimals).map_err(|reason| self.refuse(row, column, reason))?;
            if value < 0 && place != FEE {
                return Err(self.refuse(row, column, Reason::Amount(cell::text(row.cell(column)))));
            }
            values[place] = value;
            sums.of[place] += i128::from(value);
        }
        sums.rows += 1;
        let merchant = row.cell(self.merchant_at);
        if let Some(wanted) = &self.merchant
            && merchant != wanted
        {
            return Err(self.refuse(row, self.merchant_at, Reason::Merchant { found: cell::text(merchant), wanted: cell::text(wanted) }));
        }
        if row.cell(self.currency) != b"CNY" {
            return Err(self.refuse(row, self.currency, Reason::Currency(cell::text(row.cell(self.currency)))));
        }
        let transaction = cell::number(row.cell(self.transaction), row.line, self.head.name(self.transaction))?;
        let number = cell::number(row.cell(self.number), row.line, self.head.name(self.number))?;
        let traded = row.cell(self.time);
        let has_day = |column: usize| -> Result<bool, Refusal> {
            let time = row.cell(column);
            if cell::time(time).is_none() {
                return Err(self.refuse(row, column, Reason::Time(cell::text(time))));
            }
            Ok(time.starts_with(&self.day))
        };
        let is_of_the_day = has_day(self.time)?;
        let fee_milli = values[FEE];
        let line = Line {
            kind: LineKind::Trade,
            standing: Standing::Done,
            transaction,
            number,
            refund: &[],
            amount: values[self.paid],
            fee_milli,
            time: traded,
            offset: offset + row.start as u64,
            line: row.line,
        };
        match row.cell(self.standing) {
            b"SUCCESS" if is_of_the_day => {
                sums.of[OF_THE_DAY] += 1;
                Ok(line)
            }
            b"SUCCESS" => {
                let (found, wanted) = (cell::text(&traded[..10]), cell::text(&self.day));
                Err(self.refuse(row, self.time, Reason::Day { found, wanted }))
            }
            b"REFUND" | b"REVOKED" => {
                let mut names_the_day = is_of_the_day;
                let mut time = traded;
                for column in self.refund_times.into_iter().flatten().rev().filter(|column| !row.cell(*column).is_empty()) {
                    names_the_day |= has_day(column)?;
                    time = row.cell(column);
                }
                sums.of[OF_THE_DAY] += i128::from(names_the_day);
                let standing = match row.optional(self.refund_standing) {
                    b"SUCCESS" | b"" => Standing::Done,
                    b"PROCESSING" | b"CHANGE" => Standing::Pending,
                    b"FAIL" => Standing::Failed,
                    other => return Err(self.refuse(row, self.refund_standing.unwrap_or(self.standing), Reason::Word(cell::text(other)))),
                };
                let refund = match row.optional(self.refund) {
                    b"" | b"0" => number,
                    refund => cell::number(refund, row.line, self.head.name(self.refund.unwrap_or(self.number)))?,
                };
                let amount = self.returned.map_or(0, |returned| values[returned]);
                Ok(Line { kind: LineKind::Refund, standing, refund, amount, time, ..line })
            }
            other => Err(self.refuse(row, self.standing, Reason::Word(cell::text(other)))),
        }
    }
}

impl Rows for Trades {
    fn read(&self, chunk: Chunk<'_>, each: &mut dyn FnMut(&Line<'_>)) -> Result<Rest, Refusal> {
        let mut sums = Sums::default();
        let from = table::rows(table::Form::Backticks, chunk, self.head.len(), |row| {
            each(&self.line(row, chunk.offset, &mut sums)?);
            Ok(())
        })?;
        Ok(Rest { sums, from })
    }

    fn end(&self, rest: Chunk<'_>, sums: &Sums) -> Result<Verified, Refusal> {
        let summary = Summary::read(rest)?;
        let said = summary.check(|name, value| {
            if name == COUNT {
                let said = cell::count(value).ok_or_else(|| Reason::Amount(cell::text(value)))?;
                return Ok(Some(Said::Count(said, sums.rows)));
            }
            let found = TOTALS.iter().zip(sums.of).find(|(total, _)| total.names.contains(&name));
            found.map(|(total, sum)| Ok(Said::Sum(cell::amount(value, total.decimals)?, sum, total.decimals))).transpose()
        })?;
        if !said.contains(&COUNT.to_owned()) {
            return Err(Refusal::at(rest.first_line, COUNT, Reason::NoColumn));
        }
        if sums.rows > 0 && sums.of[OF_THE_DAY] == 0 {
            let (found, wanted) = ("other days".to_owned(), cell::text(&self.day));
            return Err(Refusal::at(2, self.head.name(self.time), Reason::Day { found, wanted }));
        }
        let merchant = self.merchant.as_deref().map(cell::text);
        Ok(Verified { rows: sums.rows, merchant, fee_milli: sums.of[FEE], tells_fees: true })
    }
}

/// What a summary says of something, beside what it should say.
enum Said {
    Count(u64, u64),
    Sum(i64, i128, usize),
}

/// The two lines at the end: names, and their values.
struct Summary<'c> {
    head: Head,
    values: Vec<&'c [u8]>,
    line: u32,
}

impl<'c> Summary<'c> {
    fn read(rest: Chunk<'c>) -> Result<Self, Refusal> {
        let (names, length) = table::first_line(rest.bytes).ok_or_else(|| Refusal::at(rest.first_line, "", Reason::NoSummary))?;
        let names = std::str::from_utf8(names).map_err(|_| Refusal::at(rest.first_line, "", Reason::Encoding("UTF-8")))?;
        if !names.starts_with(COUNT) && !names.starts_with(funds::COUNT) {
            return Err(Refusal::at(rest.first_line, "", Reason::NotARow));
        }
        let head = Head::new(names, rest.first_line)?;
        let line = rest.first_line.saturating_add(1);
        let (row, more) = table::first_line(&rest.bytes[length..]).ok_or_else(|| Refusal::at(line, "", Reason::NoSummary))?;
        let chunk = Chunk { bytes: row, offset: 0, first_line: line };
        let mut values = Vec::new();
        let other = table::rows(table::Form::Backticks, chunk, head.len(), |row| {
            values.extend((0..head.len()).map(|column| row.cell(column)));
            Ok(())
        })?;
        if other.is_some() || values.is_empty() {
            return Err(Refusal::at(line, "", Reason::NotARow));
        }
        if !rest.bytes[length + more..].iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::at(line.saturating_add(1), "", Reason::AfterSummary));
        }
        Ok(Self { head, values, line })
    }

    /// Compares each value with what it should be, once all can be read; says which there were.
    fn check(&self, mut expected: impl FnMut(&str, &[u8]) -> Result<Option<Said>, Reason>) -> Result<Vec<String>, Refusal> {
        let mut read = Vec::new();
        for (column, value) in self.values.iter().enumerate() {
            let name = self.head.name(column);
            let refused = |reason| Refusal::at(self.line, name, reason);
            let said = expected(name, value).map_err(refused)?;
            read.push((name, value, said.ok_or_else(|| Refusal::at(self.line - 1, name, Reason::Word(name.to_owned())))?));
        }
        for (name, value, said) in &read {
            let said_text = cell::text(value);
            let reason = match said {
                Said::Count(said, found) if said != found => Reason::Count { said: said_text, found: found.to_string() },
                Said::Sum(said, found, decimals) if i128::from(*said) != *found => {
                    Reason::Sum { said: said_text, found: cell::sum(*found, *decimals) }
                }
                Said::Count(..) | Said::Sum(..) => continue,
            };
            return Err(Refusal::at(self.line, name, reason));
        }
        Ok(read.into_iter().map(|(name, ..)| name.to_owned()).collect())
    }
}
