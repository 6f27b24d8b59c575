//! The two files as records: the statement, verified, and our payments.
//!
//! A number becomes a key of 128 bits (XXH3): among forty million numbers the chance that two are taken for one is below 10⁻²³. Numbers are the channel's and our
//! own, not a stranger's, so nobody chooses them to collide. Where a transaction's key agrees, the key of the merchant's number is compared beside it if that is
//! known, and every difference is read again from both files before it is told (`details`).

use super::{
    scan::scan,
    shelves::{Hand, Shelves},
};
use anyhow::{Context, Result, bail};
use channels::statement::{
    self, Cutter, Form, Line, Refusal, Rows, Sums, Verified, archive,
    payments::{Payment, Payments},
};
use rules::reconcile::{Key, Record};
use schema::statement::LineKind;
use std::{fs::File, path::Path};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// What sets keys of transactions, of refunds and of numbers apart.
const TRANSACTION: u64 = 0x7472_6164_6500_0001;
const REFUND: u64 = 0x7265_6675_6e64_0002;
const NUMBER: u64 = 0x6e75_6d62_6572_0003;
/// How many merchants are told, at most, where there is more than one.
const MERCHANTS_MAX: usize = 8;

fn key(seed: u64, text: &[u8]) -> Key {
    let bytes = xxh3_128_with_seed(text, seed);
    Key([u64::try_from(bytes >> 64).expect("64 bits are left"), u64::try_from(bytes & u128::from(u64::MAX)).expect("64 bits are left")])
}

/// The key that a record is matched by first, and that of the merchant's number.
fn keys(kind: LineKind, transaction: &[u8], number: &[u8], refund: &[u8]) -> (Key, Key) {
    match kind {
        LineKind::Refund => (key(REFUND, refund), Key::NONE),
        LineKind::Trade if transaction.is_empty() => (Key::NONE, key(NUMBER, number)),
        LineKind::Trade => (key(TRANSACTION, transaction), key(NUMBER, number)),
    }
}

/// A line of a statement as a record.
pub fn theirs(line: &Line<'_>) -> Record {
    let (name, number) = keys(line.kind, line.transaction, line.number, line.refund);
    let &Line { kind, standing, amount, offset: at, line, .. } = line;
    Record { name, number, amount, at, line, kind, standing, is_due: true, is_numbered: true }
}

/// A payment as a record; due where it is of the statement's day.
pub fn ours(payment: &Payment<'_>, day: i64) -> Record {
    let (name, number) = keys(payment.kind, payment.transaction, payment.number(), payment.refund);
    let (is_due, is_numbered) = (payment.day_in_china() == day, !payment.attempt.is_empty());
    let &Payment { kind, standing, amount, offset: at, line, .. } = payment;
    Record { name, number, amount, at, line, kind, standing, is_due, is_numbered }
}

/// What reads one file: how many threads, and whom to tell of each chunk.
pub struct With<'w> {
    /// Threads that look at chunks, beside the one that reads.
    pub threads: usize,
    /// Told how many bytes were read.
    pub progress: &'w dyn Fn(u64),
}

/// A statement whose lines lie on shelves, verified.
pub struct Statement {
    /// What it says as a whole.
    pub verified: Verified,
    /// Of the plain file.
    pub sha1: String,
    /// What reads its lines.
    pub rows: Box<dyn Rows>,
}

/// Reads, hashes and verifies a statement. What lies on the shelves counts only if this returns.
pub fn statement(
    form: &Form,
    wanted: &statement::Wanted,
    sha1: Option<&str>,
    path: &Path,
    shelves: &Shelves<'_>,
    with: &With<'_>,
) -> Result<Statement> {
    struct State<'h> {
        hand: Hand<'h>,
        sums: Sums,
        tail: Option<(Vec<u8>, u64, u32)>,
    }
    let named = |refusal: Refusal| refusal.in_file(path.display().to_string());
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let unpacked = archive::open(form, file).map_err(named)?;
    let entry = unpacked.entry;
    let named = |refusal: Refusal| named(refusal).in_entry(entry.as_deref());
    let mut cutter = Cutter::new(unpacked.content).hashed(sha1);
    let first = cutter.next(Vec::new()).map_err(named)?.unwrap_or_default();
    let (rows, bytes, lines) = form.begin(wanted, &first).map_err(named)?;
    let begin = || State { hand: shelves.hand(), sums: Sums::default(), tail: None };
    let each = |state: &mut State<'_>, piece: &statement::Piece| {
        let chunk = statement::body(piece, (bytes, lines));
        let State { hand, sums, tail } = state;
        let read = rows.read(chunk, &mut |line| hand.put(theirs(line)))?;
        sums.add(&read.sums);
        if let Some(rest) = statement::rest(piece, chunk, &read)? {
            *tail = Some((rest.bytes.to_vec(), rest.offset, rest.first_line));
        }
        Ok(())
    };
    let states = scan(&mut cutter, first, with.threads, begin, each, with.progress).map_err(named)?;
    let (mut sums, mut tail) = (Sums::default(), None);
    for state in states {
        sums.add(&state.sums);
        tail = tail.or(state.tail);
        state.hand.finish()?;
    }
    cutter.agrees().map_err(named)?;
    let (bytes, offset, first_line) = tail.unwrap_or_default();
    let verified = rows.end(statement::Chunk { bytes: &bytes, offset, first_line }, &sums).map_err(named)?;
    Ok(Statement { verified, sha1: cutter.sha1().unwrap_or_default(), rows })
}

/// Our payments of a channel and merchant, on shelves.
pub struct Booked {
    /// The merchant whose they are; none where there is no payment.
    pub merchant: Option<String>,
    /// How many there are.
    pub payments: u64,
    /// How many rows are of other channels or merchants.
    pub strangers: u64,
    /// What reads its rows.
    pub columns: Payments,
}

/// Reads our payments: those with a name by that, the others by number.
pub fn payments(
    channel: &str,
    wanted: &statement::Wanted,
    path: &Path,
    by_name: &Shelves<'_>,
    by_number: &Shelves<'_>,
    with: &With<'_>,
) -> Result<Booked> {
    struct State<'h> {
        named: Hand<'h>,
        nameless: Hand<'h>,
        payments: u64,
        strangers: u64,
        merchants: Vec<Vec<u8>>,
    }
    let named = |refusal: Refusal| refusal.in_file(path.display().to_string());
    let mut cutter = Cutter::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?);
    let first = cutter.next(Vec::new()).map_err(named)?.unwrap_or_default();
    let (columns, bytes, lines) = Payments::begin(&first).map_err(named)?;
    let day = statement::civil_day(wanted.day);
    let merchant = wanted.merchant.as_deref().map(str::as_bytes);
    let begin = || State {
        named: by_name.hand(),
        nameless: by_number.hand(),
        payments: 0,
        strangers: 0,
        merchants: merchant.map(Vec::from).into_iter().collect(),
    };
    let each = |state: &mut State<'_>, piece: &statement::Piece| {
        columns.read(statement::body(piece, (bytes, lines)), &mut |payment| {
            if payment.channel != channel.as_bytes() || merchant.is_some_and(|merchant| merchant != payment.merchant) {
                state.strangers += 1;
                return;
            }
            if state.merchants.iter().all(|known| known != payment.merchant) && state.merchants.len() < MERCHANTS_MAX {
                state.merchants.push(payment.merchant.to_vec());
            }
            state.payments += 1;
            let record = ours(payment, day);
            if record.name == Key::NONE { state.nameless.put(record) } else { state.named.put(record) }
        })
    };
    let states = scan(&mut cutter, first, with.threads, begin, each, with.progress).map_err(named)?;
    let (mut payments, mut strangers, mut merchants) = (0, 0, Vec::new());
    for state in states {
        payments += state.payments;
        strangers += state.strangers;
        merchants.extend(state.merchants.into_iter().map(|merchant| String::from_utf8_lossy(&merchant).into_owned()));
        state.named.finish()?;
        state.nameless.finish()?;
    }
    merchants.sort();
    merchants.dedup();
    if merchants.len() > 1 {
        bail!("{} has payments of several merchants ({}): name one with --merchant", path.display(), merchants.join(", "));
    }
    Ok(Booked { merchant: merchants.pop(), payments, strangers, columns })
}
