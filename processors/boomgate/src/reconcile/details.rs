//! Findings in full: each side's line is read again from its file, and must still say what was found.
//!
//! Invariants
//! 1. What is told of a finding is what the files say of it   (`reconcile::tests::every_exception_is_told_with_both_sides`).
//! 2. A file that changed in between is not reported on   (`tests::a_line_is_read_again_where_it_stands`, the comparison in `details`).

use super::sides;
use anyhow::{Context, Result, bail, ensure};
use channels::statement::{Chunk, Form, Refusal, Rows, archive, archive::Content, payments::Payments};
use rules::reconcile::{self, Finding, Outcome, Place, Record};
use schema::{
    Id,
    desk::AuthorId,
    statement::{Age, BookedPayment, Difference, StatementLine},
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
};

/// What differs, with all that is known of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// How.
    pub difference: Difference,
    /// What the channel says.
    pub line: Option<StatementLine>,
    /// What we booked.
    pub payment: Option<BookedPayment>,
    /// What the channel has more than we do, in minor units.
    pub gap: i64,
    /// What a running system knows of it beside; none of two files alone.
    pub known: Option<Known>,
}

/// What a running system knows of an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub exception: Id,
    /// How old it is.
    pub age: Age,
    /// Who looks after it.
    pub owner: Option<AuthorId>,
}

/// A line of a plain or packed file, by where it begins; to be asked for in ascending order.
struct Again {
    source: Source,
    text: Vec<u8>,
}

enum Source {
    /// Any line at once.
    Plain(File),
    /// One line after the other; so far up to here.
    Packed(BufReader<Box<dyn Read + Send>>, u64),
}

/// How much of a plain file is read for one line.
const LINE: usize = 1_024;

impl Again {
    fn open(form: &Form, path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {} again", path.display()))?;
        let source = match archive::open(form, file).map_err(|refusal| refusal.in_file(path.display().to_string()))?.content {
            Content::Plain(file) => Source::Plain(file),
            Content::Packed(packed) => Source::Packed(BufReader::new(packed), 0),
        };
        Ok(Self { source, text: Vec::new() })
    }

    fn plain(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {} again", path.display()))?;
        Ok(Self { source: Source::Plain(file), text: Vec::new() })
    }

    fn line(&mut self, at: u64) -> io::Result<&[u8]> {
        self.text.clear();
        match &mut self.source {
            Source::Plain(file) => loop {
                let read = self.text.len();
                self.text.resize(read + LINE, 0);
                let more = file.read_at(&mut self.text[read..], at + read as u64)?;
                self.text.truncate(read + more);
                if let Some(end) = self.text[read..].iter().position(|byte| *byte == b'\n') {
                    self.text.truncate(read + end + 1);
                    break;
                }
                if more == 0 {
                    break;
                }
            },
            Source::Packed(packed, here) => {
                *here += io::copy(&mut packed.by_ref().take(at - *here), &mut io::sink())?;
                *here += packed.read_until(b'\n', &mut self.text)? as u64;
            }
        }
        Ok(&self.text)
    }
}

/// A line of a side, read again: as a record to compare, and in full.
struct Side<T> {
    record: Record,
    full: T,
}

/// Reads findings again, in the order of reports, and tells each.
pub fn tell(
    findings: &[Finding],
    (form, statement, rows): (&Form, &Path, &dyn Rows),
    (payments, columns, day): (&Path, &Payments, i64),
    mut each: impl FnMut(&Exception) -> Result<()>,
) -> Result<()> {
    let changed = |path: &Path| format!("{} has changed while it was read: run this again", path.display());
    let (mut theirs, mut ours) = (Again::open(form, statement)?, Again::plain(payments)?);
    for finding in findings {
        let line = match finding.line {
            None => None,
            Some(place) => {
                let text = theirs.line(place.at).with_context(|| changed(statement))?;
                Some(line_again(rows, text, place).with_context(|| changed(statement))?)
            }
        };
        let payment = match finding.payment {
            None => None,
            Some(place) => {
                let text = ours.line(place.at).with_context(|| changed(payments))?;
                Some(payment_again(columns, text, place, day).with_context(|| changed(payments))?)
            }
        };
        let (ours, theirs) = (payment.as_ref().map(|read| &read.record), line.as_ref().map(|read| &read.record));
        let is_same = match finding.difference {
            Difference::DuplicateLine => ours.is_none() && theirs.is_some(),
            difference => reconcile::compare(ours, theirs) == Outcome::Of(difference),
        };
        ensure!(is_same, changed(statement));
        let gap = theirs.map_or(0, Record::effect) - ours.map_or(0, Record::effect);
        let (line, payment) = (line.map(|read| read.full), payment.map(|read| read.full));
        each(&Exception { difference: finding.difference, line, payment, gap, known: None })?;
    }
    Ok(())
}

fn chunk(bytes: &[u8], place: Place) -> Chunk<'_> {
    Chunk { bytes, offset: place.at, first_line: place.line }
}

fn line_again(rows: &dyn Rows, text: &[u8], place: Place) -> Result<Side<StatementLine>> {
    let mut read = None;
    rows.read(chunk(text, place), &mut |line| read = Some(Side { record: sides::theirs(line), full: line.in_full() })).map_err(refused)?;
    match read {
        Some(read) => Ok(read),
        None => bail!("line {} is no row any more", place.line),
    }
}

fn payment_again(columns: &Payments, text: &[u8], place: Place, day: i64) -> Result<Side<BookedPayment>> {
    let mut read = None;
    columns
        .read(chunk(text, place), &mut |payment| read = Some(Side { record: sides::ours(payment, day), full: payment.in_full() }))
        .map_err(refused)?;
    match read {
        Some(read) => Ok(read),
        None => bail!("line {} is no row any more", place.line),
    }
}

fn refused(refusal: Refusal) -> anyhow::Error {
    refusal.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_line_is_read_again_where_it_stands() {
        let lines: Vec<String> = (0..300_usize).map(|line| format!("{line} {}\r\n", "x".repeat(line * 13 % 3_000))).collect();
        let text = lines.concat();
        let folder = tempfile::tempdir().expect("a folder");
        let (plain, packed) = (folder.path().join("plain"), folder.path().join("packed"));
        std::fs::write(&plain, &text).expect("it can be written");
        let mut encoder = flate2::write::GzEncoder::new(File::create(&packed).expect("a file"), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("it can be written");
        encoder.finish().expect("it can be written");
        let (_, form) = channels::form("wechat").expect("it has statements");
        for path in [plain, packed] {
            let (mut again, mut at) = (Again::open(&form, &path).expect("it can be opened"), 0);
            for (number, line) in lines.iter().enumerate() {
                if number % 7 == 3 || number == 299 {
                    assert_eq!(again.line(at).expect("it can be read"), line.as_bytes());
                }
                at += line.len() as u64;
            }
        }
    }
}
