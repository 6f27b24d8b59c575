//! The auditor: inboxes, journals and rows against each other, on a system that runs or rests.
//!
//! Marks are read first, then rows, then inboxes, then journals: so each promises no more than what is read after it, and a system that
//! goes on meanwhile is not taken for one that differs.
//!
//! Invariants
//! 1. An input without an answer, a row that is not its fold, money that does not add up: each is named   (`tests`).
//! 2. What has been trimmed is no difference: it is counted as not judged   (`tests::an_input_older_than_its_trimmed_journal_is_not_judged`).
//!
//! Not here: how money is held against what was told of it (`money`), a statement against its rows (`settled`); whether a decision was right (the
//! oracle in `bench` judges that).

mod money;
mod settled;

use crate::{
    input::{self, Read},
    state::answer_key,
};
use rules::{Input, Rules};
use schema::{Effect, Entity, Event, Journal, Key, Moment, Partition, Recorded, Table, exception::ReconEvent, ledger::LedgerEvent, wire};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use store::{Row, Store};
use streams::{Bus, Delivery, Stored};

/// How many messages are asked for at once.
const SCAN_MOST: usize = 1_000;
/// How long an input may be unanswered on a system that runs.
const PENDING: i64 = 30 * schema::time::SECOND;
/// How many differences are listed; all are counted.
const LISTED_MAX: usize = 100;

/// What the auditor found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether nothing differs.
    pub clean: bool,
    /// Inputs that were read, by inbox.
    pub inputs: BTreeMap<String, u64>,
    /// Of those, answered in a journal.
    pub answered: u64,
    /// Of those, in the dead letters.
    pub dead: u64,
    /// Of those, younger than half a minute and not answered yet.
    pub pending: u64,
    /// Of those, older than what their journal still holds of their partition: whether they were answered cannot be told any more.
    pub not_judged: u64,
    /// Events that were read, by journal.
    pub events: BTreeMap<String, u64>,
    /// Rows that equal their fold.
    pub rows_equal: u64,
    /// Rows whose journal has been trimmed, so that they cannot be folded again.
    pub rows_trimmed: u64,
    /// Entities that the store does not have yet: they are behind the mark.
    pub rows_unsaved: u64,
    /// Money by currency, in minor units: captured, applied, refunded, open.
    pub money: BTreeMap<String, Money>,
    /// What did not match channels' statements.
    pub exceptions: Exceptions,
    /// Settlement windows that balance and equal the sum of their postings.
    pub windows: u64,
    /// Settlement statements that equal the fold of their rows.
    pub statements: u64,
    /// How far each partition is saved, of those that have events.
    pub saved: Vec<Saved>,
    /// How many differences there are.
    pub differences_count: u64,
    /// The first of them, with their ids.
    pub differences: Vec<String>,
}

/// Promise 3 for one currency.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Money {
    /// What channels captured.
    pub captured: i64,
    /// What pays orders.
    pub applied: i64,
    /// What went back.
    pub refunded: i64,
    /// What is held or on its way back.
    pub open: i64,
}

/// How many exceptions the journal tells of.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exceptions {
    /// Opened.
    pub opened: u64,
    /// Closed for a reason.
    pub closed: u64,
}

/// How far a partition is saved.
#[derive(Debug, Serialize)]
pub struct Saved {
    /// The journal.
    pub journal: Journal,
    /// Its partition.
    pub partition: Partition,
    /// Sequence of its last event.
    pub last: u64,
    /// Sequence of the mark; 0 for none.
    pub mark: u64,
    /// Events behind the mark.
    pub behind: u64,
}

/// Everything about one journal, read whole.
struct Log {
    rules: &'static Rules,
    events: Vec<(Partition, u64, Recorded)>,
    /// When the first of the events was recorded that are left of each partition. The last one is never trimmed.
    firsts: BTreeMap<Partition, Moment>,
    trimmed: bool,
}

impl Log {
    fn new(rules: &'static Rules, events: Vec<(Partition, u64, Recorded)>, trimmed: bool) -> Self {
        let mut firsts = BTreeMap::new();
        for (partition, _, recorded) in &events {
            firsts.entry(*partition).or_insert(recorded.at);
        }
        Self { rules, events, firsts, trimmed }
    }

    /// Whether the answer to a message may have been trimmed: it is never older than what it answers first, and of what was said again its row tells.
    fn may_have_forgotten(&self, stream: &str, message: &Stored, read: Option<&Input>, rows: &BTreeMap<Key, Row>) -> bool {
        let Some(partition) = streams::subject::partition_of_subject(stream, &message.subject).filter(|_| self.trimmed) else { return false };
        let answer = read.and_then(|input| answer_key(self.rules.journal, partition, input.inbox, &input.key, input.time));
        let is_older = self.firsts.get(&partition).is_some_and(|first| message.time < *first);
        is_older || answer.is_some_and(|key| rows.contains_key(&key))
    }
}

/// What was said to the processors, what of it is dead, and the rows of what became of it.
struct Said<'a> {
    inboxes: &'a [(&'static str, Vec<Stored>)],
    dead: &'a [Stored],
    rows: &'a BTreeMap<Key, Row>,
}

impl Report {
    fn differs(&mut self, what: String) {
        self.differences_count = self.differences_count.saturating_add(1);
        if self.differences.len() < LISTED_MAX {
            self.differences.push(what);
        }
    }
}

/// Audits a system.
pub async fn verify(bus: &dyn Bus, store: &dyn Store) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let partitions: Vec<Partition> = Partition::all().collect();
    let mut marks = BTreeMap::new();
    for journal in Journal::ALL {
        marks.extend(store.marks(journal, partitions.clone()).await?.into_iter().flatten().map(|mark| ((journal, mark.partition), mark)));
    }
    let mut rows: BTreeMap<Key, Row> = BTreeMap::new();
    for table in Table::ALL {
        for part in store.parts(table).await? {
            rows.extend(store.scan(part).await?.into_iter().map(|row| (row.key, row)));
        }
    }
    let mut inboxes = Vec::new();
    for stream in ["GATE", "DESK", "CHANNEL", "STATEMENT"] {
        let (read, _) = whole(bus, stream).await?;
        inboxes.push((stream, read));
    }
    let (dead, _) = whole(bus, "DEAD").await?;
    let now = bus.look("GATE").await?.now;
    let said = Said { inboxes: &inboxes, dead: &dead, rows: &rows };
    // ORDER is read before PAYMENT, whose events it tells of.
    let mut paid = Vec::new();
    for rules in rules::ALL {
        let (stored, trimmed) = whole(bus, rules.journal.stream()).await?;
        let log = read_log(rules, stored, trimmed, &mut report);
        check_log(&log, &mut report);
        compare(&log, &rows, &marks, &mut report);
        if rules.journal == Journal::Session {
            answered(&log, &said, now, ("GATE", true), &mut report);
            answered(&log, &said, now, ("DESK", true), &mut report);
            answered(&log, &said, now, ("CHANNEL", false), &mut report);
        }
        if rules.journal == Journal::Order {
            paid = money::paid(&log);
        }
        if rules.journal == Journal::Payment {
            answered(&log, &said, now, ("DESK", false), &mut report);
            answered(&log, &said, now, ("CHANNEL", true), &mut report);
            money::check(&log, &inboxes, &paid, &mut report);
        }
        if rules.journal == Journal::Ledger {
            ledger(&log, &mut report);
        }
        if rules.journal == Journal::Recon {
            answered(&log, &said, now, ("STATEMENT", true), &mut report);
            answered(&log, &said, now, ("DESK", false), &mut report);
            exceptions(&log, &mut report);
        }
    }
    settled::check(&rows, &marks, &mut report);
    report.clean = report.differences_count == 0;
    Ok(report)
}

/// A stream from its first message to its end, and whether some have been trimmed. Those may lie behind the first, which stays where it is the only
/// one of its partition.
async fn whole(bus: &dyn Bus, stream: &str) -> Result<(Vec<Stored>, bool), streams::Error> {
    let look = bus.look(stream).await?;
    let (mut all, mut next) = (Vec::new(), look.first.max(1));
    while next <= look.last {
        let read = bus.scan(stream, next, SCAN_MOST).await?;
        let Some(last) = read.last() else { break };
        next = last.sequence.saturating_add(1);
        all.extend(read);
    }
    Ok((all, look.messages < look.last))
}

fn read_log(rules: &'static Rules, stored: Vec<Stored>, trimmed: bool, report: &mut Report) -> Log {
    let journal = rules.journal;
    let mut events = Vec::new();
    for message in stored {
        let partition = streams::subject::partition_of_subject(journal.stream(), &message.subject);
        match (partition, wire::decode_recorded(journal, input::content_type(&message), &message.payload)) {
            (Some(partition), Ok(recorded)) => events.push((partition, message.sequence, recorded)),
            (None, _) => report.differs(format!("{journal} {}: the subject {:?} names no partition", message.sequence, message.subject)),
            (_, Err(error)) => report.differs(format!("{journal} {}: {error}", message.sequence)),
        }
    }
    report.events.insert(journal.to_string(), events.len() as u64);
    Log::new(rules, events, trimmed)
}

/// Time goes forward in every partition, and no input has two answers.
fn check_log(log: &Log, report: &mut Report) {
    let journal = log.rules.journal;
    let mut last: BTreeMap<Partition, Moment> = BTreeMap::new();
    let mut causes: BTreeMap<(Partition, String, String), (u64, u16)> = BTreeMap::new();
    for (partition, sequence, recorded) in &log.events {
        if last.insert(*partition, recorded.at).is_some_and(|before| before >= recorded.at) {
            report.differs(format!("{journal} {sequence}: its time {} is not after the one before it in partition {partition}", recorded.at));
        }
        let cause = &recorded.cause;
        if cause.sequence == 0 {
            continue;
        }
        let key = (*partition, cause.inbox.stream().to_owned(), cause.event.to_string());
        match causes.get_mut(&key) {
            None => {
                causes.insert(key, (*sequence, cause.index));
            }
            Some((first, index)) if cause.index == index.saturating_add(1) => {
                let _ = first;
                *index = cause.index;
            }
            Some((first, _)) => {
                let text = format!("{journal} {sequence}: the input {} {} was answered before, at {first}", key.1, key.2);
                report.differs(text);
            }
        }
    }
}

/// Every row against the fold of its journal up to the row's own version, and every mark against its rows.
fn compare(log: &Log, rows: &BTreeMap<Key, Row>, marks: &BTreeMap<(Journal, Partition), store::Mark>, report: &mut Report) {
    let journal = log.rules.journal;
    let mut histories: BTreeMap<Key, Vec<(&Recorded, bool)>> = BTreeMap::new();
    let mut ends: BTreeMap<Partition, (u64, u64)> = BTreeMap::new();
    for (partition, sequence, recorded) in &log.events {
        for touch in (log.rules.touches)(&recorded.event) {
            histories.entry(touch.key).or_default().push((recorded, touch.born));
        }
        let cause = &recorded.cause;
        if let Some(key) = answer_key(journal, *partition, cause.inbox, &cause.event, cause.time) {
            histories.entry(key).or_default().push((recorded, cause.index == 0));
        }
        let mark = marks.get(&(journal, *partition)).map_or(0, |mark| mark.sequence);
        let end = ends.entry(*partition).or_default();
        *end = (*sequence, end.1.saturating_add(u64::from(*sequence > mark)));
    }
    for (key, history) in &histories {
        let whole = !log.trimmed || (history.first().is_some_and(|(_, born)| *born) && !matches!(key.table, Table::Lots | Table::Windows));
        let mark = marks.get(&(journal, key.bucket)).map_or(Moment(0), |mark| mark.at);
        let promised = history.iter().map(|(recorded, _)| recorded.at).filter(|at| *at <= mark).max();
        match rows.get(key) {
            None if promised.is_some() => {
                report.differs(format!("{} {}: no row, although the mark of partition {} is past it", key.table.name(), key.id, key.bucket));
            }
            None => report.rows_unsaved = report.rows_unsaved.saturating_add(1),
            Some(row) if promised.is_some_and(|at| row.at < at) => {
                report.differs(format!("{} {}: the row is of {}, although the mark promises {}", key.table.name(), key.id, row.at, mark));
            }
            Some(_) if !whole => report.rows_trimmed = report.rows_trimmed.saturating_add(1),
            Some(row) => {
                if fold(log.rules, key, history, row.at).as_ref() == Some(&row.entity) {
                    report.rows_equal = report.rows_equal.saturating_add(1);
                } else {
                    report.differs(format!("{} {}: the row of {} is not the fold of its journal", key.table.name(), key.id, row.at));
                }
            }
        }
    }
    for key in rows.keys().filter(|key| key.table.journal() == journal && !histories.contains_key(key)) {
        if log.trimmed {
            report.rows_trimmed = report.rows_trimmed.saturating_add(1);
        } else {
            report.differs(format!("{} {}: a row that no event concerns", key.table.name(), key.id));
        }
    }
    let saved = |(partition, (last, behind))| Saved {
        journal,
        partition,
        last,
        mark: marks.get(&(journal, partition)).map_or(0, |mark| mark.sequence),
        behind,
    };
    report.saved.extend(ends.into_iter().map(saved));
}

fn fold(rules: &Rules, key: &Key, history: &[(&Recorded, bool)], until: Moment) -> Option<Entity> {
    let events = history.iter().map(|(recorded, _)| *recorded).take_while(|recorded| recorded.at <= until);
    if key.table == Table::answers(rules.journal) {
        let effects = |recorded: &Recorded| -> Vec<Effect> { (rules.effects)(recorded) };
        return events.fold(None, |answer, recorded| Some(rules::evolve_answer(answer, recorded, effects(recorded)))).map(Entity::Answer);
    }
    events.fold(None, |entity, recorded| Some((rules.evolve)(key, entity, recorded)))
}

/// Every input of an inbox that concerns the journal's processor is answered there, or a dead letter, or too young to be either, or too old to be
/// judged. What cannot be read concerns whom `unreadable` says, so that it is counted once.
fn answered(log: &Log, said: &Said<'_>, now: Moment, (stream, unreadable): (&str, bool), report: &mut Report) {
    let answers: BTreeSet<(&str, &str)> = log.events.iter().map(|(_, _, recorded)| (recorded.cause.inbox.stream(), &*recorded.cause.event)).collect();
    let dead: BTreeSet<u64> = said
        .dead
        .iter()
        .filter(|letter| letter.subject.split('.').nth(1) == Some(stream))
        .filter_map(streams::DeadLetter::read)
        .map(|letter| letter.stored.sequence)
        .collect();
    for (_, messages) in said.inboxes.iter().filter(|(name, _)| *name == stream) {
        for message in messages {
            let delivery = Delivery { stream: stream.to_owned(), stored: message.clone(), deliveries: 1, place: 1, reply: String::new() };
            let read = input::read(delivery).ok().and_then(|(_, item)| if let Read::Input(input) = item.read { Some(input) } else { None });
            if read.as_ref().map_or(!unreadable, |input| !(log.rules.concerns)(&input.body)) {
                continue;
            }
            let count = report.inputs.entry(stream.to_owned()).or_default();
            *count = count.saturating_add(1);
            let known = read.as_ref().is_some_and(|input| answers.contains(&(input.inbox.stream(), &*input.key)));
            if known {
                report.answered = report.answered.saturating_add(1);
            } else if dead.contains(&message.sequence) {
                report.dead = report.dead.saturating_add(1);
            } else if log.may_have_forgotten(stream, message, read.as_deref(), said.rows) {
                report.not_judged = report.not_judged.saturating_add(1);
            } else if now.since(message.time) < PENDING {
                report.pending = report.pending.saturating_add(1);
            } else {
                report.differs(format!(
                    "{stream} {}: neither answered nor a dead letter after {} s",
                    message.sequence,
                    now.since(message.time) / schema::time::SECOND
                ));
            }
        }
    }
}

/// Promise 4: every posting and every window balances.
fn ledger(log: &Log, report: &mut Report) {
    let mut windows: BTreeMap<(String, String, i64), i64> = BTreeMap::new();
    for (_, sequence, recorded) in &log.events {
        if let Event::Ledger(LedgerEvent::WindowStopped { window, differs, .. }) = &recorded.event {
            let lot = window.lot.as_ref().map_or("unknown", |lot| lot.as_str());
            report.differs(format!("LEDGER {sequence}: the window of {lot} by {} from {} does not close: {differs}", window.channel, window.from));
        }
        let Event::Ledger(LedgerEvent::Posted { posting, lot, day, entries, channel, span, .. }) = &recorded.event else { continue };
        let net = entries.iter().fold(0_i64, |net, entry| net.saturating_add(entry.debit).saturating_sub(entry.credit));
        if net != 0 {
            report.differs(format!("LEDGER {sequence}: the posting {posting} is out of balance by {net}"));
        }
        let lot = lot.map_or_else(|| "unknown".to_owned(), |lot| lot.to_string());
        let from = span.map_or_else(|| day.0.into(), |span| span.from.0);
        let sum = windows.entry((lot, channel.to_string(), from)).or_default();
        *sum = sum.saturating_add(net);
    }
    for ((lot, channel, from), net) in windows {
        if net == 0 {
            report.windows = report.windows.saturating_add(1);
        } else {
            report.differs(format!("window {lot} {channel} from {from}: debits and credits differ by {net}"));
        }
    }
}

/// No exception is opened twice, or goes on after it was closed, unless it was found again.
fn exceptions(log: &Log, report: &mut Report) {
    let mut open: BTreeMap<schema::Id, bool> = BTreeMap::new();
    for (_, sequence, recorded) in &log.events {
        let Event::Recon(event) = &recorded.event else { continue };
        let Some(id) = event.exception() else { continue };
        let is_right = match event {
            ReconEvent::Matched { .. } | ReconEvent::Noted { .. } => true,
            ReconEvent::ExceptionOpened { again: false, .. } => open.insert(id, true).is_none(),
            ReconEvent::ExceptionOpened { .. } => open.insert(id, true).map_or(log.trimmed, |was_open| !was_open),
            ReconEvent::ExceptionClosed { .. } => open.insert(id, false).unwrap_or(log.trimmed),
            // It was closed, and stays so.
            ReconEvent::WriteOffUndone { .. } => open.insert(id, false).map_or(log.trimmed, |was_open| !was_open),
            _ => open.get(&id).copied().unwrap_or(log.trimmed),
        };
        if !is_right {
            report.differs(format!("RECON {sequence}: {} of exception {id}, which is not open then", event.kind()));
        }
        report.exceptions.opened = report.exceptions.opened.saturating_add(u64::from(matches!(event, ReconEvent::ExceptionOpened { .. })));
        report.exceptions.closed = report.exceptions.closed.saturating_add(u64::from(matches!(event, ReconEvent::ExceptionClosed { .. })));
    }
}

/// Prints a report for a person.
pub fn print(report: &Report) {
    for (inbox, count) in &report.inputs {
        println!("inbox    {inbox:<8} {count:>9} inputs");
    }
    let Report { answered, dead, pending, not_judged, .. } = report;
    println!("answers  {answered:>18} in a journal, {dead} dead letters, {pending} not yet, {not_judged} not judged any more");
    for (journal, count) in &report.events {
        let behind: u64 = report.saved.iter().filter(|saved| saved.journal.stream() == journal).map(|saved| saved.behind).sum();
        println!("journal  {journal:<8} {count:>9} events, {behind} of them behind the mark");
    }
    println!(
        "rows     {:>18} equal their fold, {} not saved yet, {} older than their journal",
        report.rows_equal, report.rows_unsaved, report.rows_trimmed
    );
    for (currency, money) in &report.money {
        println!("money    {currency}: captured {} = applied {} + refunded {} + open {}", money.captured, money.applied, money.refunded, money.open);
    }
    println!("windows  {:>18} balance, {} statements equal their rows", report.windows, report.statements);
    let Exceptions { opened, closed } = report.exceptions;
    println!("recon    {opened:>18} exceptions, {closed} of them closed");
    for difference in &report.differences {
        println!("differs  {difference}");
    }
    println!("{}", if report.clean { "clean".to_owned() } else { format!("{} differences", report.differences_count) });
}

#[cfg(test)]
mod tests;
