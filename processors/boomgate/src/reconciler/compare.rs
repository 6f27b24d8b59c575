//! One piece of a day: its lines against the payments of its province and partition.
//!
//! Invariants
//! 1. The same lines and payments give the same facts, in whatever order they come   (`tests::order_changes_nothing`).
//! 2. A payment of another day is no shortage of this one, and a line of the day after no surplus   (`tests::what_crosses_midnight_is_explained_the_day_after`).
//! 3. What moved just after midnight may be told of by either day's statement, and by one of them it must   (`tests::either_side_of_midnight_tells_of_what_moved_there`).
//! 4. What is found no more is explained   (`super::tests`).
//! 5. Lines that are the same are as many exceptions   (`tests::the_same_line_again_and_again_is_as_many_exceptions`).
//!
//! Not here: what differs (`rules::reconcile`), which stays do not go with their money (`stays`), where lines and payments come from (`super::worker`).

use super::spool::Spooled;
use rules::reconcile::{Decided, Finding, Key, Record, by_name, by_number};
use schema::{
    Currency, Day, Id, Moment, Money, StatementEvent, StatementFact,
    entity::{Fate, Payment, Receipt},
    exception::{Closing, DifferenceSum, Exception, PieceAt, Term, begins},
    journal::{AttemptState, RefundState},
    statement::{BookedPayment, Difference, LineKind, Standing, StatementLine},
    time::{DAY, MINUTE},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

/// The channel whose statements tell of a payment days after it was made: none is lacking on a certain day.
pub const CLEARED_LATER: &str = "etc";
/// For how long after midnight the statement of the day before may tell of what we booked: clocks differ, and some of our times are of when we heard.
const CROSSING: i64 = 10_i64.saturating_mul(MINUTE);

/// The texts that are compared, each with a number that stands for it.
#[derive(Default)]
struct Names(BTreeMap<(u8, Arc<str>), u64>);

impl Names {
    /// Transactions, refunds and numbers at the channel are three kinds of names.
    fn key(&mut self, kind: u8, text: &Arc<str>) -> Key {
        if text.is_empty() {
            return Key::NONE;
        }
        let next = u64::try_from(self.0.len()).unwrap_or(u64::MAX).saturating_add(1);
        Key([0, *self.0.entry((kind, text.clone())).or_insert(next)])
    }

    fn record(&mut self, kind: LineKind, standing: Standing, names: [&Arc<str>; 3], amount: i64) -> Record {
        let [transaction, number, refund] = names;
        let (name, number) = match kind {
            LineKind::Refund => (self.key(1, refund), Key::NONE),
            LineKind::Trade => (self.key(0, transaction), self.key(2, number)),
        };
        Record { name, number, amount, at: 0, line: 0, kind, standing, is_due: true, is_numbered: true }
    }
}

/// Whether a statement must tell of what we booked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Another one must.
    Elsewhere,
    /// It must.
    Here,
    /// It moved just after the day: one of both days' statements must.
    Either,
}

impl Due {
    /// Of what moved then. What moved just after midnight is judged where both statements are: at T+2 of the day before.
    fn of(moment: Moment, day: Day, term: Term) -> Self {
        let Some(first) = begins(day) else { return Self::Elsewhere };
        match (moment.since(first), term) {
            (CROSSING..DAY, _) => Self::Here,
            (after, Term::After) if (DAY..DAY.saturating_add(CROSSING)).contains(&after) => Self::Either,
            _ => Self::Elsewhere,
        }
    }
}

/// A payment as it is booked, whether this statement must tell of it, and whether its number at the channel is known.
struct Booked {
    payment: BookedPayment,
    due: Due,
    is_numbered: bool,
}

/// The money of an order that came by a channel, and what of it went back.
fn booked(payment: &Payment, channel: &str, day: Day, term: Term) -> Vec<Booked> {
    let mut all = Vec::new();
    // Which attempt brought the money is not told; where there is one alone, it is that.
    let mut paid = payment.attempts.values().filter(|attempt| &*attempt.channel == channel && attempt.state == AttemptState::Paid);
    let attempt = match (paid.next(), paid.next()) {
        (Some(attempt), None) => attempt.attempt.as_str(),
        _ => "",
    };
    let receipts: Vec<&Receipt> = payment.receipts.values().filter(|receipt| &*receipt.source.channel == channel).collect();
    let ours: Arc<str> = if receipts.len() == 1 { attempt.into() } else { "".into() };
    let number = payment.imported.clone().unwrap_or(ours);
    let order: Arc<str> = payment.order.as_str().into();
    for receipt in receipts {
        let standing = match (receipt.provisional, receipt.fate) {
            (true, Fate::Reversed) => Standing::Failed,
            (true, _) => Standing::Pending,
            (false, _) => Standing::Done,
        };
        let happened_at = receipt.paid_at.unwrap_or(receipt.came_at);
        let trade = BookedPayment {
            line: 0,
            kind: LineKind::Trade,
            standing,
            order: order.clone(),
            attempt: number.clone(),
            transaction: receipt.source.transaction.clone(),
            refund: "".into(),
            amount: receipt.amount,
            happened_at,
        };
        for refund in &receipt.refunds {
            let standing = if refund.state == RefundState::Succeeded { Standing::Done } else { Standing::Pending };
            let (kind, refund_number, amount) = (LineKind::Refund, refund.refund.as_str().into(), refund.amount);
            let due = refund.done_at.map_or(Due::Elsewhere, |at| Due::of(at, day, term));
            let payment =
                BookedPayment { kind, standing, refund: refund_number, amount, happened_at: refund.done_at.unwrap_or(happened_at), ..trade.clone() };
            all.push(Booked { payment, due, is_numbered: false });
        }
        // What may still fail is told of whenever it is cleared, and so is all that a clearing house debits at lanes.
        let is_told_then = standing == Standing::Done && channel != CLEARED_LATER;
        let due = if is_told_then { Due::of(happened_at, day, term) } else { Due::Elsewhere };
        all.push(Booked { due, is_numbered: !number.is_empty(), payment: trade });
    }
    all
}

/// Compares a piece and gives what to say of it, the result last: whoever hears that has heard all. `open` are its exceptions, those that are closed too, as far as they
/// are saved, and what this term can judge. `tells_fees`: whether its statement says what the channel keeps.
pub fn compare(piece: &PieceAt, term: Term, spooled: &[Spooled], payments: &[Payment], open: &[Exception], tells_fees: bool) -> Vec<StatementEvent> {
    let mut keys = Names::default();
    let mut ours: Vec<Booked> = payments.iter().flat_map(|payment| booked(payment, &piece.channel, piece.day, term)).collect();
    ours.sort_by(|one, other| order_of(&one.payment).cmp(&order_of(&other.payment)));
    let mut lines: Vec<&Spooled> = spooled.iter().collect();
    lines.sort_by_key(|spooled| (spooled.after, spooled.line.line));
    let records: Vec<Record> = lines
        .iter()
        .map(|Spooled { line, .. }| {
            let record = keys.record(line.kind, line.standing, [&line.transaction, &line.number, &line.refund], line.amount.minor);
            Record { line: line.line, ..record }
        })
        .collect();
    let told_after: BTreeSet<Key> = lines.iter().zip(&records).filter(|(spooled, _)| spooled.after).map(|(_, record)| record.name).collect();
    let mut own = Vec::new();
    for (place, booked) in ours.iter().enumerate() {
        let BookedPayment { kind, standing, transaction, attempt, refund, amount, .. } = &booked.payment;
        let record = keys.record(*kind, *standing, [transaction, attempt, refund], amount.minor);
        let at = u64::try_from(place).unwrap_or(u64::MAX);
        let is_due = match booked.due {
            Due::Here => true,
            // What its own day's statement tells of is that day's business.
            Due::Either => !told_after.contains(&record.name),
            Due::Elsewhere => false,
        };
        own.push(Record { at, is_due, is_numbered: booked.is_numbered, ..record });
    }
    let due: BTreeSet<Key> = own.iter().filter(|record| record.is_due).map(|record| record.name).collect();
    let mut told: BTreeSet<Key> = BTreeSet::new();
    let mut theirs = Vec::new();
    for (place, (Spooled { after, .. }, record)) in lines.iter().zip(records).enumerate() {
        // A line of the day after matters where it is what this day's statement did not tell of a payment of this day.
        if *after && (!due.contains(&record.name) || told.contains(&record.name)) {
            continue;
        }
        told.insert(record.name);
        theirs.push(Record { at: u64::try_from(place).unwrap_or(u64::MAX), ..record });
    }
    let (named, nameless): (Vec<Record>, Vec<Record>) = own.into_iter().partition(|record| record.name != Key::NONE);
    let mut rest = Vec::new();
    let mut decided = by_name(&named, &theirs, &mut rest);
    decided.add(by_number(&nameless, &rest));
    let fees = tells_fees.then(|| kept(&lines));
    conclude(piece, term, (&lines, &ours), &decided, fees, open)
}

fn order_of(payment: &BookedPayment) -> (&str, &str, &str, LineKind) {
    (&payment.order, &payment.transaction, &payment.refund, payment.kind)
}

/// What the channel keeps of the day's own lines by which money moved: their sum is rounded half away from zero, once.
fn kept(lines: &[&Spooled]) -> Money {
    let own = || lines.iter().filter(|spooled| !spooled.after).map(|spooled| &spooled.line);
    let milli = own().filter(|line| line.standing == Standing::Done).fold(0_i128, |sum, line| sum.saturating_add(line.fee_milli.into()));
    let minor = milli.saturating_add(500_i128.saturating_mul(milli.signum())) / 1_000;
    let currency = own().next().map_or(Currency::Cny, |line| line.amount.currency);
    Money::new(i64::try_from(minor).unwrap_or(if minor < 0 { i64::MIN } else { i64::MAX }), currency)
}

/// What is found, as facts: the differences by their exceptions, what is explained, and the result.
fn conclude(
    piece: &PieceAt,
    term: Term,
    (lines, ours): (&[&Spooled], &[Booked]),
    decided: &Decided,
    fees: Option<Money>,
    open: &[Exception],
) -> Vec<StatementEvent> {
    let line = |finding: &Finding| finding.line.and_then(|place| lines.get(usize::try_from(place.at).ok()?)).map(|spooled| spooled.line.clone());
    let payment =
        |finding: &Finding| finding.payment.and_then(|place| ours.get(usize::try_from(place.at).ok()?)).map(|booked| booked.payment.clone());
    let said = |fact| StatementEvent { piece: piece.clone(), run: None, fact };
    let mut found: BTreeMap<Id, StatementEvent> = BTreeMap::new();
    let mut findings: Vec<&Finding> = decided.findings.iter().collect();
    findings.sort_unstable_by_key(|finding| finding.order());
    let mut same: BTreeMap<Id, u32> = BTreeMap::new();
    for finding in findings {
        let (line, payment): (Option<StatementLine>, Option<BookedPayment>) = (line(finding), payment(finding));
        let difference = finding.difference;
        let before = same.entry(piece.exception(difference, line.as_ref(), payment.as_ref(), 0)).or_default();
        let nth = *before;
        *before = before.saturating_add(1);
        let id = piece.exception(difference, line.as_ref(), payment.as_ref(), nth);
        let fact = StatementFact::Differs { difference, line: line.map(Box::new), payment: payment.map(Box::new), nth };
        found.insert(id, said(fact));
    }
    let minor = |sum: i128| i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX });
    let sums: Vec<DifferenceSum> = Difference::ALL
        .into_iter()
        .map(|difference| (difference, decided.totals.of(difference)))
        .filter(|(_, sum)| sum.count > 0)
        .map(|(difference, sum)| DifferenceSum { difference, count: sum.count, ours: minor(sum.ours), theirs: minor(sum.theirs) })
        .collect();
    let hash: Arc<str> = hash(&sums, fees, found.keys()).into();
    let is_of_it = |exception: &&Exception| (&exception.piece.channel, &exception.piece.merchant) == (&piece.channel, &piece.merchant);
    let gone: BTreeSet<Id> = open
        .iter()
        .filter(is_of_it)
        // What was written off may be explained yet: then that is taken back.
        .filter(|exception| exception.closed.is_none_or(|why| why == Closing::WrittenOff) && !found.contains_key(&exception.exception))
        .map(|exception| exception.exception)
        .collect();
    let explained = gone.into_iter().map(|exception| StatementFact::Explained { exception, term });
    let result = StatementFact::Matched { term, sums, fees, stays: None, hash };
    let rest = explained.chain([result]).map(said);
    found.into_values().chain(rest).collect()
}

/// SHA-256 over the sums, the fees and the exceptions, each as a line of text.
fn hash<'a>(sums: &[DifferenceSum], fees: Option<Money>, exceptions: impl Iterator<Item = &'a Id>) -> String {
    let mut text = String::new();
    for DifferenceSum { difference, count, ours, theirs } in sums {
        writeln!(text, "{} {count} {ours} {theirs}", difference.as_str()).expect("a String takes all that is written");
    }
    if let Some(fees) = fees {
        writeln!(text, "fees {} {:?}", fees.minor, fees.currency).expect("a String takes all that is written");
    }
    for exception in exceptions {
        writeln!(text, "{exception}").expect("a String takes all that is written");
    }
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all that is written");
        text
    })
}

#[cfg(test)]
mod tests;
