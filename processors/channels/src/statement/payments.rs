//! What we booked, or a system before us did, as a CSV: what statements are matched with, and what `payments import` takes.
//!
//! UTF-8 (a byte order mark is skipped), a comma between values, columns by name in any order. Each row is one payment, or one refund:
//!
//! | column | |
//! | --- | --- |
//! | `order_id` | our order; also the number at the channel (`out_trade_no`) unless `attempt` says another |
//! | `channel` | `wechat`, `alipay`, `etc` … |
//! | `channel_transaction` | the channel's transaction; empty where it never told one |
//! | `amount` | yuan with at most two decimals, never negative: `12.30` |
//! | `time` | when it was paid or went back: `2026-11-23 08:00:00` in China, or `2026-11-23T00:00:00Z` |
//! | `merchant` | our number at the channel |
//! | `attempt` (may lack) | the number at the channel, where it is not the order's |
//! | `kind` (may lack) | `trade` (also where it is empty) or `refund` |
//! | `refund_id` (may lack) | our number of the refund (`out_refund_no`); of a refund alone |
//! | `status` (may lack) | `done` (also where it is empty), `pending` or `failed` |
//!
//! A value may stand in quotes, with a quote doubled; a line break may not be within.
//!
//! Invariants
//! 1. Each row is read as it stands, or the file is refused at its line and column   (`tests::a_row_is_read_or_refused_where_it_is_wrong`).

use super::{
    Chunk, Piece, Reason, Refusal, cell,
    table::{self, Head},
};
use schema::{
    Currency, Moment, Money,
    statement::{BookedPayment, LineKind, Standing},
    time::SECOND,
};
use std::sync::Arc;

/// A row as it stands in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment<'a> {
    /// Trade or refund.
    pub kind: LineKind,
    /// How it stands with us.
    pub standing: Standing,
    /// Our order.
    pub order: &'a [u8],
    /// The number at the channel; empty where it is the order's.
    pub attempt: &'a [u8],
    /// The channel's name.
    pub channel: &'a [u8],
    /// The channel's transaction; empty where there is none.
    pub transaction: &'a [u8],
    /// Our number of the refund; empty of a trade.
    pub refund: &'a [u8],
    /// Fen, never negative.
    pub amount: i64,
    /// Seconds since 1970.
    pub at: i64,
    /// Our number at the channel.
    pub merchant: &'a [u8],
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Which line of the file, from 1.
    pub line: u32,
}

impl Payment<'_> {
    /// The number under which the channel was asked.
    pub fn number(&self) -> &[u8] {
        if self.attempt.is_empty() { self.order } else { self.attempt }
    }

    /// The day in China, in days since 1970.
    pub fn day_in_china(&self) -> i64 {
        cell::day_in_china(self.at)
    }

    /// With copies of everything that it borrows.
    pub fn in_full(&self) -> BookedPayment {
        let text = |bytes: &[u8]| Arc::from(String::from_utf8_lossy(bytes));
        BookedPayment {
            line: self.line,
            kind: self.kind,
            standing: self.standing,
            order: text(self.order),
            attempt: text(self.attempt),
            transaction: text(self.transaction),
            refund: text(self.refund),
            amount: Money::new(self.amount, Currency::Cny),
            happened_at: Moment(self.at.saturating_mul(SECOND)),
        }
    }
}

/// The columns of a file.
#[derive(Clone, Debug)]
pub struct Payments {
    head: Head,
    order: usize,
    channel: usize,
    transaction: usize,
    amount: usize,
    time: usize,
    merchant: usize,
    attempt: Option<usize>,
    kind: Option<usize>,
    refund: Option<usize>,
    status: Option<usize>,
}

impl Payments {
    /// Reads the head of the first piece; says how many of its bytes and lines that was.
    pub fn begin(piece: &Piece) -> Result<(Self, usize, u32), Refusal> {
        let mark = if piece.bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let (line, length) = table::first_line(&piece.bytes[mark..]).ok_or_else(|| Refusal::at(1, "order_id", Reason::NoColumn))?;
        let text = std::str::from_utf8(line).map_err(|_| Refusal::at(1, "", Reason::Encoding("UTF-8")))?;
        let head = Head::new(&text.replace('"', ""), 1)?;
        let payments = Self {
            order: head.need(&["order_id"])?,
            channel: head.need(&["channel"])?,
            transaction: head.need(&["channel_transaction"])?,
            amount: head.need(&["amount"])?,
            time: head.need(&["time"])?,
            merchant: head.need(&["merchant"])?,
            attempt: head.find(&["attempt"]),
            kind: head.find(&["kind"]),
            refund: head.find(&["refund_id"]),
            status: head.find(&["status"]),
            head,
        };
        Ok((payments, mark + length, 1))
    }

    /// Hands out the rows of a chunk.
    pub fn read(&self, chunk: Chunk<'_>, each: &mut dyn FnMut(&Payment<'_>)) -> Result<(), Refusal> {
        if memchr::memchr(b'"', chunk.bytes).is_some() {
            return self.read_quoted(chunk, each);
        }
        let columns = self.head.len();
        let other = table::rows(table::Form::Commas, chunk, columns, |row| {
            each(&self.payment(|column| row.cell(column), chunk.offset + row.start as u64, row.line)?);
            Ok(())
        })?;
        match other {
            Some((_, line)) => Err(Refusal::at(line, "", Reason::NotARow)),
            None => Ok(()),
        }
    }

    /// The same with quotes, line by line.
    fn read_quoted(&self, chunk: Chunk<'_>, each: &mut dyn FnMut(&Payment<'_>)) -> Result<(), Refusal> {
        let (mut at, mut line) = (0, chunk.first_line);
        while let Some((bytes, length)) = table::first_line(&chunk.bytes[at..]) {
            if bytes.starts_with(b"#") {
                return Err(Refusal::at(line, "", Reason::NotARow));
            }
            let cells = unquoted(bytes).ok_or_else(|| Refusal::at(line, "", Reason::Damaged("a quote is not closed on its line".into())))?;
            if cells.len() != self.head.len() {
                return Err(Refusal::at(line, "", Reason::Columns { found: cells.len(), columns: self.head.len() }));
            }
            each(&self.payment(|column| &cells[column], chunk.offset + at as u64, line)?);
            (at, line) = (at + length, line.saturating_add(1));
        }
        Ok(())
    }

    #[inline]
    fn payment<'c>(&self, cell: impl Fn(usize) -> &'c [u8], offset: u64, line: u32) -> Result<Payment<'c>, Refusal> {
        let refused = |column: usize, reason| Refusal::at(line, self.head.name(column), reason);
        let number = |column: usize| cell::number(cell(column), line, self.head.name(column));
        let optional = |column: Option<usize>| match column.filter(|column| !cell(*column).is_empty()) {
            Some(column) => number(column),
            None => Ok(&[][..]),
        };
        let kind = match optional(self.kind)? {
            b"" | b"trade" => LineKind::Trade,
            b"refund" => LineKind::Refund,
            other => return Err(refused(self.kind.unwrap_or_default(), Reason::Word(cell::text(other)))),
        };
        let standing = match optional(self.status)? {
            b"" | b"done" => Standing::Done,
            b"pending" => Standing::Pending,
            b"failed" => Standing::Failed,
            other => return Err(refused(self.status.unwrap_or_default(), Reason::Word(cell::text(other)))),
        };
        let refund = optional(self.refund)?;
        match (kind, refund) {
            (LineKind::Refund, b"") => return Err(Refusal::at(line, "refund_id", Reason::Empty)),
            (LineKind::Trade, [_, ..]) => return Err(refused(self.refund.unwrap_or_default(), Reason::Word(cell::text(refund)))),
            (LineKind::Refund, _) | (LineKind::Trade, b"") => {}
        }
        Ok(Payment {
            kind,
            standing,
            order: number(self.order)?,
            attempt: optional(self.attempt)?,
            channel: number(self.channel)?,
            transaction: optional(Some(self.transaction))?,
            refund,
            amount: cell::fen(cell(self.amount)).map_err(|reason| refused(self.amount, reason))?,
            at: cell::time(cell(self.time)).ok_or_else(|| refused(self.time, Reason::Time(cell::text(cell(self.time)))))?,
            merchant: number(self.merchant)?,
            offset,
            line,
        })
    }
}

/// The values of a line, without quotes; none where one is not closed, or where something follows one.
fn unquoted(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut cells, mut rest) = (Vec::new(), line);
    loop {
        let mut value = Vec::new();
        if let Some(mut quoted) = rest.strip_prefix(b"\"") {
            loop {
                let end = memchr::memchr(b'"', quoted)?;
                value.extend_from_slice(&quoted[..end]);
                quoted = &quoted[end + 1..];
                match quoted.strip_prefix(b"\"") {
                    Some(more) => {
                        value.push(b'"');
                        quoted = more;
                    }
                    None => break,
                }
            }
            rest = quoted;
        } else {
            let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
            value.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        cells.push(value);
        match rest.split_first() {
            None => return Some(cells),
            Some((b',', more)) => rest = more,
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "order_id,channel,channel_transaction,amount,time,merchant,kind,refund_id,status,attempt";

    fn read(text: &str) -> Result<Vec<BookedPayment>, Refusal> {
        let piece = Piece { bytes: text.as_bytes().to_vec(), offset: 0, first_line: 1, is_last: true };
        let (payments, bytes, lines) = Payments::begin(&piece)?;
        let mut found = Vec::new();
        payments.read(super::super::body(&piece, (bytes, lines)), &mut |payment| found.push(payment.in_full()))?;
        Ok(found)
    }

    #[test]
    fn a_row_is_read_or_refused_where_it_is_wrong() {
        let row = |row: &str| read(&format!("{HEAD}\n{row}\n"));
        let payment = BookedPayment {
            line: 2,
            kind: LineKind::Trade,
            standing: Standing::Done,
            order: "o1".into(),
            attempt: "".into(),
            transaction: "t1".into(),
            refund: "".into(),
            amount: Money::new(1_230, Currency::Cny),
            happened_at: Moment(1_795_392_000 * SECOND),
        };
        let refund =
            BookedPayment { kind: LineKind::Refund, refund: "r1".into(), standing: Standing::Pending, attempt: "o,1\"".into(), ..payment.clone() };
        for (text, expected) in [
            ("o1,wechat,t1,12.30,2026-11-23 08:00:00,m,,,,", &payment),
            ("o1,wechat,t1,12.3,2026-11-23T00:00:00Z,m,trade,,done,", &payment),
            ("\"o1\",wechat,t1,12.30,\"2026-11-23T08:00:00+08:00\",m,,,,", &payment),
            ("o1,wechat,t1,12.30,2026-11-23 08:00:00,m,refund,r1,pending,\"o,1\"\"\"", &refund),
        ] {
            assert_eq!(row(text).as_deref(), Ok(std::slice::from_ref(expected)), "{text}");
        }
        for (text, column, reason) in [
            ("o1,wechat,t1,12.305,2026-11-23 08:00:00,m,,,,", "amount", Reason::Decimals("12.305".into())),
            ("o1,wechat,t1,-1.00,2026-11-23 08:00:00,m,,,,", "amount", Reason::Amount("-1.00".into())),
            ("o1,wechat,t1,1.00,23.11.2026,m,,,,", "time", Reason::Time("23.11.2026".into())),
            (",wechat,t1,1.00,2026-11-23 08:00:00,m,,,,", "order_id", Reason::Empty),
            ("o1,wechat,t1,1.00,2026-11-23 08:00:00,,,,,", "merchant", Reason::Empty),
            ("o1,wechat,t1,1.00,2026-11-23 08:00:00,m,gift,,,", "kind", Reason::Word("gift".into())),
            ("o1,wechat,t1,1.00,2026-11-23 08:00:00,m,refund,,,", "refund_id", Reason::Empty),
            ("o1,wechat,t1,1.00,2026-11-23 08:00:00,m,,r1,,", "refund_id", Reason::Word("r1".into())),
            ("o1,wechat,t1,1.00,2026-11-23 08:00:00,m,,,maybe,", "status", Reason::Word("maybe".into())),
            ("o1,wechat", "", Reason::Columns { found: 2, columns: 10 }),
            ("#o1,wechat,t1,1.00,2026-11-23 08:00:00,m,,,,", "", Reason::NotARow),
            // Found by fuzzing: with a quote anywhere near it this was a row.
            ("#o1,wechat,t1,1.00,2026-11-23 08:00:00,m,,,,\n\"o2\",wechat,t2,1.00,2026-11-23 08:00:00,m,,,,", "", Reason::NotARow),
            ("\"o1,wechat,t1,1.00,2026-11-23 08:00:00,m,,,,", "", Reason::Damaged("a quote is not closed on its line".into())),
        ] {
            assert_eq!(row(text), Err(Refusal::at(2, column, reason)), "{text}");
        }
        assert_eq!(read("order_id,channel\n"), Err(Refusal::at(1, "channel_transaction", Reason::NoColumn)));
        assert_eq!(read(""), Err(Refusal::at(1, "order_id", Reason::NoColumn)));
        assert_eq!(read(&format!("\u{feff}{HEAD}")), Ok(vec![]));
    }
}
