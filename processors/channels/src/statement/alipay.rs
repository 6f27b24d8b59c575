//! Alipay's details of a day ("业务明细"): GBK, lines with `#` around the table, a tab after what a spreadsheet would take for a number.
//!
//! A refund's amounts are negative in some genuine files and positive in others: whether money came or went back is what 业务类型 says. The footer adds up either
//! all rows as they are printed, or trades and refunds apart; a file that agrees in one of the two ways agrees.
//!
//! Invariants: those of [`super`], with a file of either footer.

use super::{
    Chunk, Form, Line, Reason, Refusal, Rest, Rows, Sums, Verified, Wanted, cell,
    table::{self, Head},
};
use encoding_rs::{Encoding, GBK, UTF_8};
use schema::statement::{LineKind, Standing};

/// Alipay's statements.
pub const FORM: Form = Form { begin, is_named: |name| name.contains("业务明细") && !name.contains("汇总") };

/// How far the head of a file may reach.
const HEAD_MAX: u32 = 32;
/// What Alipay appends to the number of a merchant to make the number of its account.
const ACCOUNT: &str = "0156";

/// What is added up: of trades, and of refunds, in the order of their counts, what the merchant received and what it gave as discounts.
const TRADES: [usize; 3] = [0, 1, 2];
const REFUNDS: [usize; 3] = [3, 4, 5];
const FEE: usize = 6;
/// Thousandths of a fen in one.
const MILLI: i64 = 1_000;

/// Details whose columns are known.
struct Details {
    head: Head,
    encoding: &'static Encoding,
    merchant: Option<String>,
    day: [u8; 10],
    /// What 业务类型 says of a trade and of a refund, in the file's encoding.
    words: [Vec<u8>; 2],
    transaction: usize,
    number: usize,
    kind: usize,
    done_at: usize,
    ordered: usize,
    received: usize,
    discount: usize,
    refund: usize,
    fee: Option<usize>,
}

fn begin(wanted: &Wanted, chunk: Chunk<'_>) -> Result<(Box<dyn Rows>, usize, u32), Refusal> {
    let mut consumed = if chunk.bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let encoding =
        if std::str::from_utf8(&chunk.bytes[..chunk.bytes.len().min(4_096)]).is_ok_and(|text| text.contains("支付宝")) { UTF_8 } else { GBK };
    let mut merchant = wanted.merchant.clone();
    for line in 1..=HEAD_MAX {
        let Some((bytes, length)) = table::first_line(&chunk.bytes[consumed..]) else { break };
        consumed += length;
        let (text, _, is_wrong) = encoding.decode(bytes);
        if is_wrong {
            return Err(Refusal::at(line, "", Reason::Encoding("GBK")));
        }
        let Some(told) = text.strip_prefix('#') else {
            let details = Details::new(Head::new(&text, line)?, encoding, merchant, wanted)?;
            return Ok((Box::new(details), consumed, line));
        };
        if let Some(account) = bracketed(told, "账号") {
            let found = account.strip_suffix(ACCOUNT).filter(|number| number.len() == 16).unwrap_or(account);
            match &merchant {
                Some(wanted) if wanted != found && wanted != account => {
                    let (found, wanted) = (account.to_owned(), wanted.clone());
                    return Err(Refusal::at(line, "账号", Reason::Merchant { found, wanted }));
                }
                Some(_) => {}
                None => merchant = Some(found.to_owned()),
            }
        }
        for name in ["起始日期", "日期"] {
            if let Some(day) = bracketed(told, name) {
                let digits = |text: &str| text.chars().filter(char::is_ascii_digit).take(8).collect::<String>();
                if digits(day) != digits(&wanted.day.to_string()) {
                    return Err(Refusal::at(line, name, Reason::Day { found: day.to_owned(), wanted: wanted.day.to_string() }));
                }
                break;
            }
        }
    }
    Err(Refusal::at(HEAD_MAX, "支付宝交易号", Reason::NoColumn))
}

/// What stands in brackets after a name: `账号：[2088…]`.
fn bracketed<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, after) = text.split_once(name)?;
    let (value, _) = after.trim_start_matches(['：', ':']).strip_prefix('[')?.split_once(']')?;
    Some(value)
}

/// A cell without the tab after it.
fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

impl Details {
    fn new(head: Head, encoding: &'static Encoding, merchant: Option<String>, wanted: &Wanted) -> Result<Self, Refusal> {
        let word = |word: &str| encoding.encode(word).0.into_owned();
        Ok(Self {
            encoding,
            merchant,
            day: *wanted.day.to_string().as_bytes().first_chunk().unwrap_or(&[0; 10]),
            words: [word("交易"), word("退款")],
            transaction: head.need(&["支付宝交易号"])?,
            number: head.need(&["商户订单号"])?,
            kind: head.need(&["业务类型"])?,
            done_at: head.need(&["完成时间"])?,
            ordered: head.need(&["订单金额（元）"])?,
            received: head.need(&["商家实收（元）"])?,
            discount: head.need(&["商家优惠（元）"])?,
            refund: head.need(&["退款批次号/请求号"])?,
            fee: head.find(&["服务费（元）"]),
            head,
        })
    }

    #[inline]
    fn line<'c>(&self, row: &table::Row<'c, '_>, offset: u64, sums: &mut Sums) -> Result<Line<'c>, Refusal> {
        let refused = |column: usize, reason| Refusal::at(row.line, self.head.name(column), reason);
        let cell = |column: usize| trimmed(row.cell(column));
        let amount = |column: usize| cell::amount(cell(column), 2).map_err(|reason| refused(column, reason));
        let number = |column: usize| cell::number(cell(column), row.line, self.head.name(column));
        let [trade, back] = &self.words;
        let kind = match cell(self.kind) {
            word if word == &trade[..] => LineKind::Trade,
            word if word == &back[..] => LineKind::Refund,
            other => return Err(refused(self.kind, Reason::Word(self.encoding.decode(other).0.chars().take(20).collect()))),
        };
        let (ordered, received, discount) = (amount(self.ordered)?, amount(self.received)?, amount(self.discount)?);
        let fee = self.fee.map_or(Ok(0), amount)?;
        if kind == LineKind::Trade && ordered < 0 {
            return Err(refused(self.ordered, Reason::Amount(cell::text(cell(self.ordered)))));
        }
        let slots = if kind == LineKind::Trade { TRADES } else { REFUNDS };
        for (slot, value) in slots.into_iter().zip([1, received, discount]) {
            sums.of[slot] += i128::from(value);
        }
        sums.of[FEE] += i128::from(fee);
        sums.rows += 1;
        let time = cell(self.done_at);
        if cell::time(time).is_none() {
            return Err(refused(self.done_at, Reason::Time(cell::text(time))));
        }
        if kind == LineKind::Trade && !time.starts_with(&self.day) {
            return Err(refused(self.done_at, Reason::Day { found: cell::text(&time[..10]), wanted: cell::text(&self.day) }));
        }
        let numbered = number(self.number)?;
        let refund: &[u8] = match (kind, cell(self.refund)) {
            (LineKind::Trade, _) => &[],
            // Alipay gives a refund of the whole the order's own number.
            (LineKind::Refund, b"") => numbered,
            (LineKind::Refund, _) => number(self.refund)?,
        };
        Ok(Line {
            kind,
            standing: Standing::Done,
            transaction: number(self.transaction)?,
            number: numbered,
            refund,
            amount: ordered.abs(),
            // Alipay prints what it keeps as what the merchant loses.
            fee_milli: -fee * MILLI,
            time,
            offset: offset + row.start as u64,
            line: row.line,
        })
    }
}

/// The numbers of a footer's line, each with what it stands for: rows, received, discount.
fn footer(text: &str, line: u32, column: &str) -> Result<[i128; 3], Refusal> {
    let refused = || Refusal::at(line, column, Reason::Amount(text.chars().take(80).collect()));
    let mut numbers = text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).filter(|number| !number.is_empty());
    let mut next = || numbers.next().ok_or_else(refused);
    let count = cell::count(next()?.as_bytes()).ok_or_else(refused)?;
    let mut sum = || cell::amount(next()?.as_bytes(), 2).map(i128::from).map_err(|reason| Refusal::at(line, column, reason));
    Ok([i128::from(count), sum()?, sum()?])
}

impl Rows for Details {
    fn read(&self, chunk: Chunk<'_>, each: &mut dyn FnMut(&Line<'_>)) -> Result<Rest, Refusal> {
        let mut sums = Sums::default();
        let from = table::rows(table::Form::Commas, chunk, self.head.len(), |row| {
            each(&self.line(row, chunk.offset, &mut sums)?);
            Ok(())
        })?;
        Ok(Rest { sums, from })
    }

    fn end(&self, rest: Chunk<'_>, sums: &Sums) -> Result<Verified, Refusal> {
        let (mut at, mut line) = (0, rest.first_line);
        let mut told = [None, None];
        while let Some((bytes, length)) = table::first_line(&rest.bytes[at..]) {
            let (text, _, _) = self.encoding.decode(bytes);
            if !text.starts_with('#') && !text.trim().is_empty() {
                return Err(Refusal::at(line, "", Reason::AfterSummary));
            }
            for (place, name) in ["交易合计", "退款合计"].into_iter().enumerate() {
                if let Some((_, after)) = text.split_once(name) {
                    told[place] = Some((footer(after, line, name)?, line));
                }
            }
            (at, line) = (at + length, line.saturating_add(1));
        }
        let [Some((trades, line)), refunds] = told else { return Err(Refusal::at(line, "交易合计", Reason::NoSummary)) };
        let of = |slots: [usize; 3]| slots.map(|slot| sums.of[slot]);
        let all: [i128; 3] = std::array::from_fn(|place| of(TRADES)[place] + of(REFUNDS)[place]);
        let is_all = refunds.is_none() && trades == all;
        if !is_all {
            agree("交易合计", line, trades, if refunds.is_none() && trades[0] != of(TRADES)[0] { all } else { of(TRADES) })?;
        }
        if let Some((refunds, line)) = refunds {
            // Some footers print what went back without its sign.
            agree("退款合计", line, refunds.map(i128::abs), of(REFUNDS).map(i128::abs))?;
        }
        Ok(Verified { rows: sums.rows, merchant: self.merchant.clone(), fee_milli: -sums.of[FEE] * i128::from(MILLI), tells_fees: true })
    }
}

fn agree(column: &str, line: u32, said: [i128; 3], found: [i128; 3]) -> Result<(), Refusal> {
    if said[0] != found[0] {
        return Err(Refusal::at(line, column, Reason::Count { said: said[0].to_string(), found: found[0].to_string() }));
    }
    match said.into_iter().zip(found).find(|(said, found)| said != found) {
        Some((said, found)) => Err(Refusal::at(line, column, Reason::Sum { said: cell::sum(said, 2), found: cell::sum(found, 2) })),
        None => Ok(()),
    }
}
