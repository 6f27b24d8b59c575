//! The oracle: says from the logs alone whether a system decided what it should have.
//!
//! It takes the inputs of each partition in the order in which its journal answered them and works out again, slowly and obviously,
//! what each should have become.
//!
//! Invariants
//! 1. A right log is judged equal, and each of a list of mutations is found   (`tests::a_right_log_is_equal`, `tests::each_mutation_is_found`).
//! 2. Nothing is borrowed from the rules: this crate does not know them   (`Cargo.toml`).
//!
//! Not here: whether rows equal the fold of their journal (`boomgate verify`).

mod answers;
mod bills;
mod counts;
mod exceptions;
mod heard;
mod identity;
mod money;
mod postings;
mod price;
mod settling;
mod stays;

pub use counts::{Counts, Drawer, Taking};
pub use identity::Sums;
pub use money::{Purses, Told};
pub use price::{can_price, slow_price};

use crate::logs::Logs;
use answers::{Group, Groups, Inputs, gather};
use bills::Bills;
use exceptions::Cases;
use heard::Heard;
use postings::{Books, Ledger};
use schema::{
    Event, Inbox, Journal, LotId, Partition, Recorded,
    entity::Answer,
    exception::ReconEvent,
    journal::{OrderEvent, Part, PaymentEvent, SessionEvent},
    ledger::LedgerEvent,
    reference::{Declared, LotReference, NotWhole, Reference},
};
use serde::Serialize;
use stays::Stays;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

/// What a judgement says.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// The first differences, in words; at most [`Verdict::DIFFERENCES_MAX`].
    pub differences: Vec<String>,
    /// How many there are in all.
    pub difference_count: u64,
    /// Readable inputs that nobody has answered yet; differences too in a system at rest.
    pub unanswered: u64,
    /// Inputs that were answered twice, and money that was counted, refunded or posted twice; differences too.
    pub doubled: u64,
    /// What was counted on the way.
    pub counts: Counts,
}

impl Verdict {
    /// How many differences are told in words.
    pub const DIFFERENCES_MAX: usize = 50;

    /// Whether everything is as it should be.
    pub fn is_equal(&self) -> bool {
        self.difference_count == 0
    }

    /// `equal`, or the first difference.
    pub fn word(&self) -> &str {
        self.differences.first().map_or("equal", String::as_str)
    }
}

/// Collects differences.
#[derive(Default)]
struct Findings {
    told: Vec<String>,
    count: u64,
    doubled: u64,
}

impl Findings {
    fn found(&mut self, what: String) {
        self.count += 1;
        if self.told.len() < Verdict::DIFFERENCES_MAX {
            self.told.push(what);
        }
    }

    /// Something was done twice.
    fn found_double(&mut self, what: String) {
        self.doubled += 1;
        self.found(what);
    }
}

/// What was agreed with the operator and the channels, where it is not in the reference data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How old a gate event may be, in microseconds.
    pub late_max: i64,
    /// What channels charge, in millionths.
    pub fees: BTreeMap<String, u32>,
    /// Whether a settlement window is an hour, and not a day.
    pub hourly: bool,
    /// How long after its end a settlement window closes at the earliest, in microseconds.
    pub lateness: i64,
}

impl Default for Terms {
    fn default() -> Self {
        Self { late_max: Answer::KEPT, fees: BTreeMap::new(), hourly: false, lateness: 60 * schema::time::MINUTE }
    }
}

/// What the world declares.
struct World<'a> {
    reference: &'a Reference,
    late_max: i64,
    heard: Heard<'a>,
}

impl World<'_> {
    fn lot(&self, lot: &LotId) -> Option<&Arc<LotReference>> {
        self.reference.lot(lot)
    }
}

/// Judges the logs of a system that ran with this reference data on these terms.
///
/// In a system `at_rest` nothing may be unanswered. Refuses reference data that is not whole.
pub fn judge(declared: &Declared, terms: &Terms, logs: &Logs, at_rest: bool) -> Result<Verdict, NotWhole> {
    let reference = Reference::resolve(declared.clone())?;
    let world = World { reference: &reference, late_max: terms.late_max, heard: Heard::of(logs) };
    let inputs = Inputs::of(logs);
    let mut findings = Findings::default();
    for missing in &logs.missing {
        findings.found(missing.clone());
    }
    let mut counts = Counts::of(logs);
    let mut answered = Answered::default();

    let sessions = gather(Journal::Session, logs.journal(Journal::Session), &mut findings);
    for (partition, groups) in &sessions {
        let mut stays = Stays::new(&world, *partition);
        judge_sessions(&mut stays, *partition, groups, &inputs, at_rest, &mut findings);
        counts.add_present(stays.counts());
    }
    answered.take(Journal::Session, &sessions);

    let orders = gather(Journal::Order, logs.journal(Journal::Order), &mut findings);
    for (partition, groups) in &orders {
        let mut bills = Bills::new(&world, *partition);
        for group in groups.iter().take_while(|group| at_rest || !inputs.is_later(group)) {
            let expected = match (group.inbox, inputs.event(group, *partition)) {
                (Inbox::Session, Some(Event::Session(event))) => bills.session(event),
                (Inbox::Payment, Some(Event::Payment(event))) => bills.payment(event),
                _ => Vec::new(),
            };
            compare(Journal::Order, group, &expected, as_order, bills::normal, &mut findings);
        }
    }
    answered.take(Journal::Order, &orders);

    let payments = gather(Journal::Payment, logs.journal(Journal::Payment), &mut findings);
    for (partition, groups) in &payments {
        judge_payments(&world, *partition, groups, &inputs, at_rest, &mut findings);
    }
    answered.take(Journal::Payment, &payments);

    let ledger = gather(Journal::Ledger, logs.journal(Journal::Ledger), &mut findings);
    for (partition, groups) in &ledger {
        let mut ledger = Ledger::new(&world, terms, *partition);
        for group in groups.iter().take_while(|group| at_rest || !inputs.is_later(group)) {
            judge_ledger(&mut ledger, *partition, group, &inputs, &mut findings);
        }
    }
    answered.take(Journal::Ledger, &ledger);

    let recon = gather(Journal::Recon, logs.journal(Journal::Recon), &mut findings);
    for (partition, groups) in &recon {
        judge_exceptions(*partition, groups, &inputs, at_rest, &mut findings);
    }
    answered.take(Journal::Recon, &recon);

    let books = Books::add_up(logs.journal(Journal::Ledger), &mut findings);
    counts.sums = identity::check(&payments, &inputs, logs.journal(Journal::Payment), &books, at_rest, &mut findings);
    let unanswered = answered.check(logs, &inputs, at_rest, &mut counts, &mut findings);
    Ok(Verdict { differences: findings.told, difference_count: findings.count, unanswered, doubled: findings.doubled, counts })
}

/// What a system still has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Inputs that nobody has answered.
    pub unanswered: u64,
    /// Orders with a price that are not paid.
    pub unpaid: u64,
    /// Refunds that were asked for and not made.
    pub refunding: u64,
}

impl Left {
    /// Whether anything is left.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// What these logs leave to be done.
pub fn left(logs: &Logs) -> Left {
    let mut answered = Answered::default();
    let mut findings = Findings::default();
    for journal in Journal::ALL {
        answered.take(journal, &gather(journal, logs.journal(journal), &mut findings));
    }
    let mut counts = Counts::of(logs);
    let unanswered = answered.check(logs, &Inputs::of(logs), false, &mut counts, &mut findings);
    Left {
        unanswered,
        unpaid: (counts.orders_priced + counts.orders_reopened).saturating_sub(counts.orders_paid + counts.orders_withdrawn),
        refunding: counts.refunds_requested.saturating_sub(counts.refunds_made),
    }
}

fn judge_sessions(stays: &mut Stays, partition: Partition, groups: &[Group], inputs: &Inputs, at_rest: bool, findings: &mut Findings) {
    for group in groups.iter().take_while(|group| at_rest || !inputs.is_later(group)) {
        let actual: Vec<&SessionEvent> = group.lines.iter().filter_map(|line| as_session(&line.recorded.event)).collect();
        let expected = match group.inbox {
            Inbox::Tick => {
                let mut ticked = Vec::new();
                for line in &group.lines {
                    let Some(actual) = as_session(&line.recorded.event) else { continue };
                    match stays.tick(line.recorded.at, actual) {
                        Ok(event) => ticked.push(event),
                        Err(why) => findings.found(format!("{}: {why}", group.name(Journal::Session))),
                    }
                }
                ticked
            }
            Inbox::Gate => match inputs.gate.get(&group.sequence) {
                Some((stored_at, Ok((home, key, event)))) if *home == partition && key == group.event => stays.gate(event, *stored_at, &actual),
                _ => Vec::new(),
            },
            Inbox::Desk => match inputs.desk.get(&group.sequence) {
                Some((stored_at, Ok((home, key, event)))) if *home == partition && key == group.event => stays.desk(event, *stored_at, &actual),
                _ => Vec::new(),
            },
            Inbox::Order => match inputs.line(group, partition).map(|line| &line.recorded) {
                Some(Recorded { at, event: Event::Order(event), .. }) => stays.order(event, *at),
                _ => Vec::new(),
            },
            Inbox::Channel => match inputs.channel.get(&group.sequence) {
                Some(Ok((home, key, event))) if (*home, key.as_str()) == (partition, group.event) => stays.channel(event),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        for wrong in actual.iter().filter_map(|event| stays.made_up(event)) {
            findings.found(format!("{}: {wrong}", group.name(Journal::Session)));
        }
        stays.remember(&expected, group.lines.iter().map(|line| line.recorded.at));
        compare(Journal::Session, group, &expected, as_session, stays::normal, findings);
    }
}

fn judge_ledger(ledger: &mut Ledger, partition: Partition, group: &Group, inputs: &Inputs, findings: &mut Findings) {
    let actual: Vec<&LedgerEvent> = group.lines.iter().filter_map(|line| as_ledger(&line.recorded.event)).collect();
    let mut wrong = Vec::new();
    let expected = match (group.inbox, inputs.line(group, partition)) {
        (Inbox::Payment | Inbox::Order | Inbox::Recon, Some(line)) => ledger.event(&line.recorded.event, line.recorded.at, &actual),
        (Inbox::Tick, _) => {
            let ticked = group.lines.iter().zip(&actual).map(|(line, actual)| ledger.windows.tick(line.recorded.at, actual));
            ticked.filter_map(|event| event.map_err(|why| wrong.push(why)).ok()).collect()
        }
        _ => Vec::new(),
    };
    wrong.extend(actual.iter().filter_map(|event| ledger.windows.post(event).err()));
    for why in wrong {
        findings.found(format!("{}: {why}", group.name(Journal::Ledger)));
    }
    let expected: Vec<LedgerEvent> = expected.iter().map(postings::normal).collect();
    compare(Journal::Ledger, group, &expected, as_ledger, postings::normal, findings);
}

fn judge_payments(world: &World, partition: Partition, groups: &[Group], inputs: &Inputs, at_rest: bool, findings: &mut Findings) {
    let mut purses = Purses::default();
    for group in groups.iter().take_while(|group| at_rest || !inputs.is_later(group)) {
        let Some(now) = group.lines.first().map(|line| line.recorded.at) else { continue };
        let told = match group.inbox {
            Inbox::Channel => match inputs.channel.get(&group.sequence) {
                Some(Ok((home, key, event))) if (*home, key.as_str()) == (partition, group.event) => Told::Channel(event),
                _ => Told::Nothing,
            },
            Inbox::Order => match inputs.event(group, partition) {
                Some(Event::Order(event)) => Told::Order(event),
                _ => Told::Nothing,
            },
            Inbox::Desk => match inputs.desk.get(&group.sequence) {
                Some((_, Ok((home, key, event)))) if (*home, key.as_str()) == (partition, group.event) => {
                    Told::Desk(event, world.lot(&event.lot).map(|lot| lot.declared.province).unwrap_or_default())
                }
                _ => Told::Nothing,
            },
            Inbox::Tick => Told::Tick,
            _ => Told::Nothing,
        };
        let actual: Vec<&PaymentEvent> = group.lines.iter().filter_map(|line| as_payment(&line.recorded.event)).collect();
        for wrong in purses.judge(told, now, &actual) {
            findings.found(format!("{}: {wrong}", group.name(Journal::Payment)));
        }
    }
}

fn judge_exceptions(partition: Partition, groups: &[Group], inputs: &Inputs, at_rest: bool, findings: &mut Findings) {
    let mut cases = Cases::default();
    for group in groups.iter().take_while(|group| at_rest || !inputs.is_later(group)) {
        let actual: Vec<&ReconEvent> = group.lines.iter().filter_map(|line| as_recon(&line.recorded.event)).collect();
        let Some(now) = group.lines.first().map(|line| line.recorded.at) else { continue };
        let wrong = match group.inbox {
            Inbox::Desk => match inputs.desk.get(&group.sequence) {
                Some((_, Ok((home, key, event)))) if (*home, key.as_str()) == (partition, group.event) => cases.said(event, &actual),
                _ => vec!["nobody said it".to_owned()],
            },
            Inbox::Tick => cases.grew(now, &actual),
            inbox => {
                let expected = match inputs.statement.get(&group.sequence) {
                    Some((stored_at, Ok((home, key, event)))) if inbox == Inbox::Statement && (*home, key.as_str()) == (partition, group.event) => {
                        cases.found(event, *stored_at)
                    }
                    _ => Vec::new(),
                };
                compare(Journal::Recon, group, &expected, as_recon, ReconEvent::clone, findings);
                Vec::new()
            }
        };
        for wrong in wrong {
            findings.found(format!("{}: {wrong}", group.name(Journal::Recon)));
        }
    }
}

fn compare<E: PartialEq + Debug>(
    journal: Journal,
    group: &Group,
    expected: &[E],
    pick: impl Fn(&Event) -> Option<&E>,
    normal: impl Fn(&E) -> E,
    findings: &mut Findings,
) {
    let actual: Vec<E> = group.lines.iter().filter_map(|line| pick(&line.recorded.event)).map(normal).collect();
    if expected.is_empty() {
        findings.found(format!("{}: nothing should have come of it, but it became {actual:?}", group.name(journal)));
    } else if actual != expected {
        findings.found(format!("{}: it should have become {expected:?}, but became {actual:?}", group.name(journal)));
    }
}

fn as_session(event: &Event) -> Option<&SessionEvent> {
    if let Event::Session(event) = event { Some(event) } else { None }
}

fn as_order(event: &Event) -> Option<&OrderEvent> {
    if let Event::Order(event) = event { Some(event) } else { None }
}

fn as_payment(event: &Event) -> Option<&PaymentEvent> {
    if let Event::Payment(event) = event { Some(event) } else { None }
}

fn as_ledger(event: &Event) -> Option<&LedgerEvent> {
    if let Event::Ledger(event) = event { Some(event) } else { None }
}

fn as_recon(event: &Event) -> Option<&ReconEvent> {
    if let Event::Recon(event) = event { Some(event) } else { None }
}

/// Which inputs each journal answers.
#[derive(Default)]
struct Answered {
    keys: BTreeSet<(Journal, Partition, Inbox, String)>,
}

impl Answered {
    fn take(&mut self, journal: Journal, groups: &Groups) {
        for (partition, groups) in groups {
            self.keys.extend(groups.iter().map(|group| (journal, *partition, group.inbox, group.event.to_string())));
        }
    }

    fn has(&self, journal: Journal, partition: Partition, inbox: Inbox, key: &str) -> bool {
        self.keys.contains(&(journal, partition, inbox, key.to_string()))
    }

    /// Each input is answered, or dead for a reason, or the same as one that is answered.
    fn check(&self, logs: &Logs, inputs: &Inputs, at_rest: bool, counts: &mut Counts, findings: &mut Findings) -> u64 {
        let mut unanswered = 0;
        let mut silent = |what: String, findings: &mut Findings| {
            unanswered += 1;
            if at_rest {
                findings.found(what);
            }
        };
        let dead: BTreeSet<(&str, u64)> = logs.dead.iter().filter_map(|letter| Some((letter.stream.as_str(), letter.sequence?))).collect();
        counts.dead_letters = dead.len() as u64;
        let mut seen = BTreeSet::new();
        let gate = inputs.gate.iter().map(|(sequence, (_, read))| {
            (Inbox::Gate, Journal::Session, *sequence, read.as_ref().map(|(partition, key, _)| (*partition, key)).map_err(Clone::clone))
        });
        let desk = inputs.desk.iter().map(|(sequence, (_, read))| {
            let journal = read.as_ref().map_or(Journal::Session, |(_, _, event)| event.says.decided_in());
            (Inbox::Desk, journal, *sequence, read.as_ref().map(|(partition, key, _)| (*partition, key)).map_err(Clone::clone))
        });
        let channel = inputs.channel.iter().map(|(sequence, read)| {
            let money = read.as_ref().is_ok_and(|(_, _, event)| event.is_of_money());
            let journal = if money { Journal::Payment } else { Journal::Session };
            (Inbox::Channel, journal, *sequence, read.as_ref().map(|(partition, key, _)| (*partition, key)).map_err(Clone::clone))
        });
        let statement = inputs.statement.iter().map(|(sequence, (_, read))| {
            (Inbox::Statement, Journal::Recon, *sequence, read.as_ref().map(|(partition, key, _)| (*partition, key)).map_err(Clone::clone))
        });
        for (inbox, journal, sequence, read) in gate.chain(desk).chain(channel).chain(statement) {
            let (stream, is_dead) = (inbox.stream(), dead.contains(&(inbox.stream(), sequence)));
            match read {
                Err(_) if is_dead => {}
                Err(why) => silent(format!("{stream} {sequence} ({why}) is not among the dead letters"), findings),
                Ok(_) if is_dead => findings.found(format!("{stream} {sequence} is a dead letter, and nothing is wrong with it")),
                Ok((partition, key)) => {
                    if !self.has(journal, partition, inbox, key) {
                        silent(format!("{stream} {sequence} ({key}) is not answered"), findings);
                    }
                    counts.duplicates += u64::from(!seen.insert((inbox, key.clone())));
                }
            }
        }
        for ((inbox, sequence), line) in &inputs.lines {
            let Some(partition) = line.partition() else { continue };
            let key = line.recorded.at.0.to_string();
            for journal in readers(&line.recorded.event) {
                if !self.has(*journal, partition, *inbox, &key) {
                    silent(format!("{} {sequence} ({}) is not answered by {journal}", inbox.stream(), line.recorded.event.kind()), findings);
                }
            }
        }
        unanswered
    }
}

/// The journals that must answer an event of a journal.
fn readers(event: &Event) -> &'static [Journal] {
    match event {
        Event::Session(SessionEvent::Asked { .. } | SessionEvent::Leaving { .. } | SessionEvent::Gone { .. })
        | Event::Payment(PaymentEvent::Withdrawn { .. }) => &[Journal::Order],
        // Who asks inside and has nothing to pay is told so, and that is all.
        Event::Order(OrderEvent::Priced { quote, inside: Some(_), .. }) if quote.total.is_zero() => &[],
        Event::Order(OrderEvent::Priced { quote, .. })
            if quote.total.is_zero() && quote.lines.iter().any(|line| line.bearer.is_some() && line.amount < 0) =>
        {
            &[Journal::Session, Journal::Ledger]
        }
        Event::Order(OrderEvent::Priced { quote, .. }) if quote.total.is_zero() => &[Journal::Session],
        Event::Order(OrderEvent::Owed { begins: true, .. }) => &[Journal::Session, Journal::Ledger],
        Event::Payment(PaymentEvent::ShiftClosed { expected, counted, .. }) if expected.minor != counted.minor => &[Journal::Ledger],
        Event::Order(OrderEvent::Priced { .. } | OrderEvent::Withdrawn { .. }) => &[Journal::Payment],
        Event::Order(OrderEvent::Paid { .. } | OrderEvent::Owed { .. }) => &[Journal::Session],
        Event::Payment(PaymentEvent::Applied { part: None | Some(Part { last: true, .. }), .. } | PaymentEvent::Reversed { applied: true, .. }) => {
            &[Journal::Order, Journal::Ledger]
        }
        Event::Recon(ReconEvent::Matched { fees: Some(_), .. } | ReconEvent::PaidOut { .. })
        | Event::Order(OrderEvent::Cleared { .. })
        | Event::Payment(
            PaymentEvent::Applied { .. }
            | PaymentEvent::Held { provisional: false, .. }
            | PaymentEvent::Settled { .. }
            | PaymentEvent::PassedOver { applied: true, .. }
            | PaymentEvent::Refunded { .. }
            | PaymentEvent::RefundRequested { tries: 1, held: false, .. },
        ) => &[Journal::Ledger],
        Event::Recon(event) if event.gap().is_some() => &[Journal::Ledger],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
