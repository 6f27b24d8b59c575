//! What a channel's statement and our payments agree on, and how each of the rest differs.
//!
//! Both sides come as [`Record`]s: small, of one size, with 128-bit keys for numbers. Records of one key must come together; so a day can be
//! split by key into pieces of any number, and each piece is decided alone. First by name (the channel's transaction, or the number of a refund); then
//! what no name decided, by the merchant's number.
//!
//! Invariants
//! 1. What was planted is found, and nothing else   (`tests::what_was_planted_is_found_and_nothing_else`).
//! 2. Neither the order of lines nor the number of pieces changes what is found   (`tests::order_and_pieces_do_not_matter`).
//! 3. Our total and all differences make the channel's total   (`tests::the_way_between_the_totals_has_no_gap`).
//!
//! Not here: how files are read (`channels::statement`), how keys are made and records are kept (`boomgate`).

use schema::statement::{Difference, LineKind, Standing};
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

/// 128 bits that stand for a number; who makes them lets a trade's and a refund's never be the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub [u64; 2]);

impl Key {
    /// There is no number.
    pub const NONE: Self = Self([0; 2]);
}

impl std::hash::Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self([_, low]) = self;
        state.write_u64(*low);
    }
}

/// Keys are evenly spread already.
#[derive(Clone, Copy, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(5) ^ number;
    }
}

/// A line of a statement, or a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The channel's transaction; of a refund our number of it; none where a payment has no transaction yet.
    pub name: Key,
    /// The number under which the channel was asked for the payment.
    pub number: Key,
    /// Minor units, never negative.
    pub amount: i64,
    /// Where it begins in its file, in bytes.
    pub at: u64,
    /// Which line of its file.
    pub line: u32,
    /// Trade or refund.
    pub kind: LineKind,
    /// How it stands.
    pub standing: Standing,
    /// Of a payment: whether this statement must tell of it. One of another day may be told by another.
    pub is_due: bool,
    /// Of a payment: whether its number is known to be the one at the channel.
    pub is_numbered: bool,
}

impl Record {
    /// What it adds to the total of its side: money that moved.
    pub const fn effect(&self) -> i64 {
        match self.standing {
            Standing::Done => self.kind.signed(self.amount),
            Standing::Pending | Standing::Failed => 0,
        }
    }

    /// What is compared, and then where it stands: an order in which equal lines lie side by side.
    const fn content(&self) -> (Standing, i64, Key, u64) {
        (self.standing, self.amount, self.number, self.at)
    }

    fn agrees(&self, line: &Self) -> bool {
        (self.standing, self.amount) == (line.standing, line.amount)
    }
}

/// What came of a pair, or of what has no partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A difference of this statement's day, or that there is none.
    Of(Difference),
    /// A payment of another day, of which another statement tells.
    Elsewhere,
    /// No money on either side.
    Nothing,
}

/// Compares a payment with the line of the same money; either may be missing, not both.
pub fn compare(payment: Option<&Record>, line: Option<&Record>) -> Outcome {
    match (payment, line) {
        (Some(payment), Some(line)) => Outcome::Of(match payment.kind {
            LineKind::Refund if payment.agrees(line) => Difference::Matched,
            LineKind::Refund => Difference::RefundDiffers,
            LineKind::Trade if payment.standing != line.standing => Difference::StatusDiffers,
            LineKind::Trade if payment.is_numbered && payment.number != line.number => Difference::StatusDiffers,
            LineKind::Trade if payment.standing == Standing::Failed || payment.amount == line.amount => Difference::Matched,
            LineKind::Trade => Difference::AmountDiffers,
        }),
        (Some(payment), None) if !payment.is_due => Outcome::Elsewhere,
        (Some(payment), None) => match (payment.standing, payment.kind) {
            // What may still move is told by a later statement, if it does.
            (Standing::Failed | Standing::Pending, _) => Outcome::Nothing,
            (Standing::Done, LineKind::Trade) => Outcome::Of(Difference::Shortage),
            (Standing::Done, LineKind::Refund) => Outcome::Of(Difference::RefundDiffers),
        },
        (None, Some(line)) => match (line.standing, line.kind) {
            (Standing::Failed, _) => Outcome::Nothing,
            (Standing::Done | Standing::Pending, LineKind::Trade) => Outcome::Of(Difference::Surplus),
            (Standing::Done | Standing::Pending, LineKind::Refund) => Outcome::Of(Difference::RefundDiffers),
        },
        (None, None) => Outcome::Nothing,
    }
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// In bytes.
    pub at: u64,
    /// Which line.
    pub line: u32,
}

/// Something that differs, by where it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How.
    pub difference: Difference,
    /// In the statement.
    pub line: Option<Place>,
    /// Among the payments.
    pub payment: Option<Place>,
}

impl Finding {
    /// The order of reports: as the statement has them, then what it does not have.
    pub fn order(&self) -> (bool, Option<Place>, Option<Place>) {
        (self.line.is_none(), self.line, self.payment)
    }
}

/// How many there are of a kind, and what they add to each side's total, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// What we booked.
    pub ours: i128,
    /// What the channel says.
    pub theirs: i128,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.ours = self.ours.saturating_add(other.ours);
        self.theirs = self.theirs.saturating_add(other.theirs);
    }

    /// What the channel has more than we do.
    pub const fn gap(&self) -> i128 {
        self.theirs.saturating_sub(self.ours)
    }
}

/// The sums of a day or of a piece of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    by_difference: [Sum; Difference::ALL.len()],
    /// Payments of other days.
    pub elsewhere: Sum,
    /// What has no money on either side.
    pub nothing: Sum,
}

impl Totals {
    /// Those of pieces that were summed up elsewhere.
    pub fn of_sums(sums: impl IntoIterator<Item = (Difference, Sum)>) -> Self {
        let mut totals = Self::default();
        sums.into_iter().for_each(|(difference, sum)| totals.sum(Outcome::Of(difference)).add(sum));
        totals
    }

    /// The sum of a difference.
    pub fn of(&self, difference: Difference) -> Sum {
        Difference::ALL.iter().zip(self.by_difference).find(|(known, _)| **known == difference).map(|(_, sum)| sum).unwrap_or_default()
    }

    /// Of the whole day: what was booked for it, and what the channel says.
    pub fn whole(&self) -> Sum {
        let mut whole = Sum::default();
        self.by_difference.into_iter().for_each(|sum| whole.add(sum));
        whole
    }

    /// How many differences there are.
    pub fn exceptions(&self) -> u64 {
        self.whole().count.saturating_sub(self.of(Difference::Matched).count)
    }

    /// Adds another piece's.
    pub fn add(&mut self, other: &Self) {
        self.by_difference.iter_mut().zip(other.by_difference).for_each(|(sum, other)| sum.add(other));
        self.elsewhere.add(other.elsewhere);
        self.nothing.add(other.nothing);
    }

    fn sum(&mut self, outcome: Outcome) -> &mut Sum {
        match outcome {
            Outcome::Elsewhere => &mut self.elsewhere,
            Outcome::Nothing => &mut self.nothing,
            Outcome::Of(difference) => {
                let [matched, surplus, shortage, amount, status, duplicate, refund] = &mut self.by_difference;
                match difference {
                    Difference::Matched => matched,
                    Difference::Surplus => surplus,
                    Difference::Shortage => shortage,
                    Difference::AmountDiffers => amount,
                    Difference::StatusDiffers => status,
                    Difference::DuplicateLine => duplicate,
                    Difference::RefundDiffers => refund,
                }
            }
        }
    }
}

/// What came of a piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// The sums.
    pub totals: Totals,
    /// What differs, in no order.
    pub findings: Vec<Finding>,
}

impl Decided {
    /// Takes another piece in.
    pub fn add(&mut self, other: Self) {
        self.totals.add(&other.totals);
        self.findings.extend(other.findings);
    }

    fn decide(&mut self, payment: Option<&Record>, line: Option<&Record>) {
        self.note(compare(payment, line), payment, line);
    }

    fn note(&mut self, outcome: Outcome, payment: Option<&Record>, line: Option<&Record>) {
        let effect = |record: Option<&Record>| record.map_or(0, |record| i128::from(record.effect()));
        self.totals.sum(outcome).add(Sum { count: 1, ours: effect(payment), theirs: effect(line) });
        if let Outcome::Of(difference) = outcome
            && difference != Difference::Matched
        {
            let place = |record: &Record| Place { at: record.at, line: record.line };
            self.findings.push(Finding { difference, line: line.map(place), payment: payment.map(place) });
        }
    }

    fn double(&mut self, line: &Record) {
        self.note(if line.standing == Standing::Failed { Outcome::Nothing } else { Outcome::Of(Difference::DuplicateLine) }, None, Some(line));
    }
}

/// Decides a piece by name. Trades that only the statement has are left in `rest`, for [`by_number`].
pub fn by_name(payments: &[Record], lines: &[Record], rest: &mut Vec<Record>) -> Decided {
    let mut decided = Decided::default();
    let mut places: HashMap<Key, usize, BuildHasherDefault<AsItIs>> =
        HashMap::with_capacity_and_hasher(payments.len(), BuildHasherDefault::default());
    let mut crowded = Vec::new();
    for (place, payment) in payments.iter().enumerate() {
        match places.entry(payment.name) {
            Entry::Vacant(free) => drop(free.insert(place)),
            Entry::Occupied(_) => crowded.push(payment.name),
        }
    }
    let mut partners: Vec<Option<&Record>> = vec![None; payments.len()];
    let mut strange = Vec::new();
    for line in lines {
        match places.get(&line.name).and_then(|place| partners.get_mut(*place)) {
            Some(free @ None) => *free = Some(line),
            Some(Some(_)) => crowded.push(line.name),
            None => strange.push(line),
        }
    }
    // Names that are there once on each side, nearly all of them, are done with here.
    crowded.sort_unstable();
    let is_crowded = |record: &Record| !crowded.is_empty() && crowded.binary_search(&record.name).is_ok();
    for (payment, partner) in payments.iter().zip(&partners) {
        if !is_crowded(payment) {
            decided.decide(Some(payment), *partner);
        }
    }
    let mut groups: BTreeMap<Key, (Vec<&Record>, Vec<&Record>)> = BTreeMap::new();
    if !crowded.is_empty() {
        payments.iter().filter(|payment| is_crowded(payment)).for_each(|payment| groups.entry(payment.name).or_default().0.push(payment));
        lines.iter().filter(|line| is_crowded(line)).for_each(|line| groups.entry(line.name).or_default().1.push(line));
    }
    for (mut payments, mut lines) in groups.into_values() {
        pair(&mut payments, &mut lines, &mut decided);
    }
    strange.sort_unstable_by_key(|line| (line.name, line.content()));
    for same in strange.chunk_by(|one, other| one.name == other.name) {
        let Some((first, doubles)) = same.split_first() else { continue };
        match first.kind {
            LineKind::Trade => rest.push(**first),
            LineKind::Refund => decided.decide(None, Some(first)),
        }
        for line in doubles {
            decided.double(line);
        }
    }
    decided
}

/// Decides what several payments or lines of one name are: two that agree are one pair; each further line is a double, each further payment has none.
fn pair(payments: &mut [&Record], lines: &mut [&Record], decided: &mut Decided) {
    payments.sort_unstable_by_key(|payment| payment.content());
    lines.sort_unstable_by_key(|line| line.content());
    let agreeing = payments.iter().find_map(|payment| Some((*payment, *lines.iter().find(|line| payment.agrees(line))?)));
    let chosen = agreeing.or_else(|| Some((*payments.first()?, *lines.first()?)));
    if let Some((payment, line)) = chosen {
        decided.decide(Some(payment), Some(line));
    }
    let is_other = |record: &Record, chosen: Option<&Record>| chosen.is_none_or(|chosen| !std::ptr::eq(record, chosen));
    payments.iter().filter(|payment| is_other(payment, chosen.map(|(payment, _)| payment))).for_each(|payment| decided.decide(Some(payment), None));
    lines.iter().filter(|line| is_other(line, chosen.map(|(_, line)| line))).for_each(|line| decided.double(line));
}

/// Decides what has no name or no partner of it: payments without a transaction, and trades that only the statement has.
pub fn by_number(payments: &[Record], lines: &[Record]) -> Decided {
    let mut decided = Decided::default();
    let in_order = |records: &[Record]| {
        let mut records = records.to_vec();
        records.sort_unstable_by_key(|record| (record.number, record.content()));
        records
    };
    let (payments, lines) = (in_order(payments), in_order(lines));
    let (mut payments, mut lines) = (payments.iter().peekable(), lines.iter().peekable());
    loop {
        let least = [payments.peek(), lines.peek()].into_iter().flatten().map(|record| record.number).min();
        let Some(number) = least else { return decided };
        let payment = payments.next_if(|payment| payment.number == number);
        let line = lines.next_if(|line| line.number == number);
        decided.decide(payment, line);
    }
}

#[cfg(test)]
mod tests;
