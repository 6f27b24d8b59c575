//! Statement files: read in chunks by the names of columns, and believed only when their hash, count and sums agree.
//!
//! A file is unpacked ([`archive`]), cut into chunks of whole lines ([`Cutter`]), read chunk by chunk by the channel's [`Rows`], on as many threads as one
//! likes and in any order, and verified at its end. What a chunk tells counts only once the whole file is verified. [`read`] does all of it on one thread.
//!
//! Invariants
//! 1. A file that disagrees with itself, or with what was asked for, is refused whole, with the first disagreement named   (`tests::each_malformed_file_has_its_own_reason`).
//! 2. Genuine files are read as they are   (`tests::genuine_files_are_read`).
//! 3. Where a file is cut changes nothing   (`tests::where_a_file_is_cut_changes_nothing`).
//! 4. Memory does not grow with the file: a chunk, and what is carried to the next   (`cut::tests::a_chunk_is_bounded`).
//!
//! Not here: how channels are asked for a file (each channel), what lines are matched with (`rules::reconcile`).

pub mod alipay;
pub mod archive;
mod cell;
pub mod cut;
pub mod etc;
pub mod payments;
mod refusal;
mod table;
pub mod wechat;

pub use cell::{CHINA_S, amount, civil_day, time};
pub use cut::{Cutter, Piece};
pub use refusal::{Reason, Refusal, Stop};

use jiff::civil::Date;
use schema::{
    Currency, Moment, Money,
    statement::{LineKind, Standing, StatementLine},
    time::SECOND,
};
use std::{io::Read, sync::Arc};

/// How many sums a form may have.
pub const SUMS: usize = 8;

/// What a statement is to be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The channel's day, in China.
    pub day: Date,
    /// Our number at the channel; without it any one merchant's.
    pub merchant: Option<String>,
}

/// Some whole lines of a plain file.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The lines.
    pub bytes: &'a [u8],
    /// Where they begin, in bytes.
    pub offset: u64,
    /// The number of the first, from 1.
    pub first_line: u32,
}

/// A line as it stands in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Trade or refund.
    pub kind: LineKind,
    /// How it stands.
    pub standing: Standing,
    /// The channel's transaction.
    pub transaction: &'a [u8],
    /// The number under which we asked for the payment; empty where a refund's line does not name it.
    pub number: &'a [u8],
    /// The number under which we asked for the refund; empty of a trade.
    pub refund: &'a [u8],
    /// Fen, never negative.
    pub amount: i64,
    /// The channel's fee, in thousandths of a fen.
    pub fee_milli: i64,
    /// When, as the file writes it.
    pub time: &'a [u8],
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Which line of the file, from 1.
    pub line: u32,
}

impl Line<'_> {
    /// With copies of everything that it borrows.
    pub fn in_full(&self) -> StatementLine {
        let text = |bytes: &[u8]| Arc::from(String::from_utf8_lossy(bytes));
        StatementLine {
            line: self.line,
            kind: self.kind,
            standing: self.standing,
            transaction: text(self.transaction),
            number: text(self.number),
            refund: text(self.refund),
            amount: Money::new(self.amount, Currency::Cny),
            fee_milli: self.fee_milli,
            happened_at: Moment(time(self.time).unwrap_or_default().saturating_mul(SECOND)),
        }
    }
}

/// What the lines of a chunk add up to: how many there are, and the sums that the form has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Lines.
    pub rows: u64,
    /// What the form adds up.
    pub of: [i128; SUMS],
}

impl Sums {
    /// Takes another chunk's in.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.of.iter_mut().zip(other.of).for_each(|(sum, other)| *sum += other);
    }
}

/// What was read of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// What its lines add up to.
    pub sums: Sums,
    /// Where something else than lines begins, if so: in bytes of the chunk, and as a number of a line.
    pub from: Option<(usize, u32)>,
}

/// What a verified file says as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Lines.
    pub rows: u64,
    /// The merchant that it is about, where it says so.
    pub merchant: Option<String>,
    /// All fees, in thousandths of a fen.
    pub fee_milli: i128,
    /// Whether its lines say what the channel keeps; a clearing file need not, and a day without a file does not.
    pub tells_fees: bool,
}

/// The lines of one file, whose head has been read.
pub trait Rows: Send + Sync {
    /// Reads a chunk and hands out its lines. They count once the file is verified.
    fn read(&self, chunk: Chunk<'_>, each: &mut dyn FnMut(&Line<'_>)) -> Result<Rest, Refusal>;

    /// Verifies what follows the lines, with what they added up to.
    fn end(&self, rest: Chunk<'_>, sums: &Sums) -> Result<Verified, Refusal>;
}

/// How a channel's statement begins: reads the head of the first chunk and says how many of its bytes and lines that was.
pub type Begin = fn(&Wanted, Chunk<'_>) -> Result<(Box<dyn Rows>, usize, u32), Refusal>;

/// A channel's statements.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// How one begins.
    pub begin: Begin,
    /// Which file of an archive it is, by its name.
    pub is_named: fn(&str) -> bool,
}

/// What channels answer for a day on which nothing happened, in place of a file.
const NO_BILL: [&[u8]; 4] = [b"NO_STATEMENT_EXIST", b"NO_BILL", b"BILL_NOT_EXIST", b"BILL_EMPTY"];

/// A day without trades has no file; kept, the channel's answer stands for one.
struct Nothing;

impl Rows for Nothing {
    fn read(&self, chunk: Chunk<'_>, _: &mut dyn FnMut(&Line<'_>)) -> Result<Rest, Refusal> {
        if chunk.bytes.is_empty() { Ok(Rest::default()) } else { Err(Refusal::at(chunk.first_line, "", Reason::AfterSummary)) }
    }

    fn end(&self, _: Chunk<'_>, _: &Sums) -> Result<Verified, Refusal> {
        Ok(Verified::default())
    }
}

impl Form {
    /// Begins a file with its first piece, which may be the channel's answer that there is none.
    pub fn begin(&self, wanted: &Wanted, head: &Piece) -> Result<(Box<dyn Rows>, usize, u32), Refusal> {
        let bytes = &head.bytes;
        let is_answer = head.is_last && bytes.first() == Some(&b'{') && NO_BILL.iter().any(|code| memchr::memmem::find(bytes, code).is_some());
        if is_answer {
            return Ok((Box::new(Nothing), bytes.len(), 1));
        }
        (self.begin)(wanted, head.chunk())
    }
}

/// The part of a piece that is left to be read: in the first one all behind the head.
pub fn body(piece: &Piece, head: (usize, u32)) -> Chunk<'_> {
    let (bytes, lines) = if piece.offset == 0 { head } else { (0, 0) };
    Chunk { bytes: &piece.bytes[bytes..], offset: piece.offset + bytes as u64, first_line: piece.first_line + lines }
}

/// What follows the lines of a piece. Only the last one may have something: whatever is longer is no summary.
pub fn rest<'a>(piece: &Piece, read: Chunk<'a>, rest: &Rest) -> Result<Option<Chunk<'a>>, Refusal> {
    match rest.from {
        Some((_, line)) if !piece.is_last => Err(Refusal::at(line, "", Reason::NotARow)),
        Some((from, first_line)) => Ok(Some(Chunk { bytes: &read.bytes[from..], offset: read.offset + from as u64, first_line })),
        None if piece.is_last => {
            let lines = u32::try_from(memchr::memchr_iter(b'\n', read.bytes).count()).unwrap_or(u32::MAX);
            Ok(Some(Chunk { bytes: &[], offset: read.offset + read.bytes.len() as u64, first_line: read.first_line.saturating_add(lines) }))
        }
        None => Ok(None),
    }
}

/// Reads and verifies a whole plain file on this thread; `each` sees lines before they are verified, and is to keep them to itself until this returns.
pub fn read<R: Read>(form: &Form, wanted: &Wanted, cutter: &mut Cutter<R>, mut each: impl FnMut(&Line<'_>)) -> Result<Verified, Refusal> {
    let mut sums = Sums::default();
    let mut begun: Option<(Box<dyn Rows>, usize, u32)> = None;
    while let Some(piece) = cutter.next(Vec::new())? {
        let (rows, bytes, lines) = match &begun {
            Some(begun) => begun,
            None => begun.insert(form.begin(wanted, &piece)?),
        };
        let chunk = body(&piece, (*bytes, *lines));
        let read = rows.read(chunk, &mut each)?;
        sums.add(&read.sums);
        if let Some(rest) = rest(&piece, chunk, &read)? {
            cutter.agrees()?;
            return rows.end(rest, &sums);
        }
    }
    Err(Refusal::at(1, "", Reason::NoSummary))
}

#[cfg(test)]
mod tests;
