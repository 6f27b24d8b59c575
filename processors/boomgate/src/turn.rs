//! A turn: one partition's inputs in their order, decided on its state, appended at once, answered.
//!
//! fetch ─► rows and facts, all together ─► decide (pure) ─► append (one conditional write) ─► evolve (pure) ─► effects ─► ack
//!
//! Invariants, by the number of design.md's rules of the log
//! 1. After any refusal the partition catches up and decides again   (`simulation`).
//! 4. One append is in flight per partition: a turn has the partition for itself   (`worker`).
//! 5. Append, effects, ack; an input already answered repeats its effects before its ack   (`tests::a_doubled_input_repeats_its_answer`).
//! 11. What is neither in memory nor readable is unknown: its input waits   (`tests::an_input_waits_while_its_row_cannot_be_read`).
//!
//! What can never be appended becomes a dead letter, and no other partition waits for that
//! (`run::tests::what_can_never_be_appended_is_a_dead_letter_and_stops_no_other_partition`).
//!
//! Not here: which partition has its turn (`worker`), what is decided (`rules`).

use crate::{
    audit::Audits,
    facts::{Asked, Loaded},
    follow::Heard,
    input::{Item, Read},
    replica::Shared,
    state::{Changes, Draft, Rows, State},
    takeover,
};
use futures_util::FutureExt;
use rules::Facts;
use schema::{Effect, Event, Key, Partition, ledger::LedgerEvent, wire};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::cache::Fact;
use streams::{Append, DeadLetter, Kind, Message, Told};

/// How often an input that cannot be appended by itself is tried before it becomes a dead letter.
const TRIES_MAX: u32 = 5;
/// How long a partition waits after the broker or the store was away.
const AWAY: Duration = Duration::from_millis(200);
/// How long a partition waits after the stream was full, or not as declared.
const STUCK: Duration = Duration::from_secs(1);

/// How long a partition waits that cannot read its input.
const STOPPED: Duration = Duration::from_secs(30);

/// A partition's state, and whether it must catch up before it decides.
pub struct Cell {
    /// Which.
    pub partition: Partition,
    state: Mutex<State>,
}

impl Cell {
    /// A partition as it was taken over.
    pub const fn new(partition: Partition, state: State) -> Self {
        Self { partition, state: Mutex::new(state) }
    }

    /// Works on the state; never across an await.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How a turn ended.
pub struct Turned {
    /// What is still to be done, in order.
    pub left: Vec<Item>,
    /// What was acked, to be forgotten by the queue.
    pub done: Vec<Item>,
    /// How long the partition is to wait.
    pub hold: Option<Duration>,
    /// Whether the state is old and must catch up first.
    pub stale: bool,
    /// Whether the next turn shall take one input alone, to find the one that cannot be appended.
    pub alone: bool,
}

/// What a batch was decided to be.
#[derive(Default)]
struct Decided {
    changes: Changes,
    effects: Vec<Effect>,
    /// How many of the items, from the first, are answered by this.
    answered: usize,
    /// What must be read before the next one can be decided.
    missing: Vec<Key>,
    /// The facts that the next one waits for, if that is why it is not decided.
    wanted: Option<Vec<Fact>>,
}

/// Takes a turn with items that belong to the cell's partition.
pub async fn turn(shared: Arc<Shared>, cell: Arc<Cell>, mut items: Vec<Item>, stale: bool) -> Turned {
    if stale && let Err(error) = takeover::catch_up(&shared, &cell).await {
        tracing::warn!(processor = shared.rules.name, partition = %cell.partition, %error, "cannot catch up yet");
        return Turned { left: items, done: Vec::new(), hold: Some(AWAY), stale: true, alone: false };
    }
    // One version for the whole turn: what an input needs and what it is decided to be are told by the same.
    let reference = shared.reference.now();
    let facts = shared.facts(&reference);
    ask(&shared, &cell, &facts, &mut items);
    let (rows, unread) = match read(&shared, &cell, &facts, &items).await {
        Ok(rows) => (rows, None),
        Err(error) => (Rows::new(), Some(error)),
    };
    let audits = Audits::read(&shared, &cell, items.iter().filter_map(Item::input)).await;
    let newest = rows.values().flatten().map(|known| known.at).max().unwrap_or_default();
    // A ledger row that is newer than the journal's end, once that was read, was never posted: its window says so.
    let newest = if stale { newest } else { newest.max(audits.newest()) };
    if cell.with(|state| newest > state.at) {
        return Turned { left: items, done: Vec::new(), hold: None, stale: true, alone: false };
    }
    let decided = loop {
        let loaded = Loaded::of(items.iter().flat_map(|item| &item.asked));
        let decided = cell.with(|state| decide(&shared, state, &facts, (&rows, &loaded, &audits), &items));
        // What can be decided does not wait for what cannot.
        let (0, Some(wanted)) = (decided.answered, &decided.wanted) else { break decided };
        let Some(first) = items.first_mut() else { break decided };
        let unasked: Vec<_> = wanted.iter().filter(|fact| !first.asked.iter().any(|asked| asked.has(fact))).cloned().collect();
        if unasked.is_empty() {
            futures_util::future::select_all(first.asked.iter().map(|asked| asked.more().boxed())).await;
        } else {
            first.asked.push(Asked::ask(&shared.cache, unasked, shared.settings.fact_wait));
        }
    };
    if !decided.changes.events.is_empty()
        && let Err(error) = append(&shared, &cell, decided.changes).await
    {
        return refused(&shared, &cell, items, &error).await;
    }
    let hold = match unread {
        Some(error) if decided.answered < items.len() => {
            tracing::warn!(processor = shared.rules.name, partition = %cell.partition, %error, "an input waits for a row that cannot be read");
            Some(AWAY)
        }
        _ => None,
    };
    let left = items.split_off(decided.answered);
    let stopped = left.first().and_then(|item| if let Read::Stopped(reason) = &item.read { Some(reason) } else { None });
    if let Some(reason) = stopped {
        tracing::error!(processor = shared.rules.name, partition = %cell.partition, reason, "the partition stops: upgrade this processor");
    }
    let hold = stopped.map(|_| STOPPED).or(hold);
    match answer(&shared, &items, decided.effects).await {
        Ok(()) => Turned { left, done: items, hold, stale: false, alone: false },
        Err(error) => {
            tracing::warn!(processor = shared.rules.name, partition = %cell.partition, %error, "answered, but it could not be told");
            items.extend(left);
            Turned { left: items, done: Vec::new(), hold: Some(AWAY), stale: false, alone: false }
        }
    }
}

/// Reads all rows that the items need and memory does not have, in one go.
async fn read(shared: &Shared, cell: &Cell, facts: &Facts<'_>, items: &[Item]) -> Result<Rows, store::Error> {
    let keys = cell.with(|state| wants(shared, state, facts, items));
    if keys.is_empty() {
        return Ok(Rows::new());
    }
    takeover::load(shared, keys).await
}

/// What the items need as far as it can be told before any of them is decided.
fn wants(shared: &Shared, state: &State, facts: &Facts, items: &[Item]) -> BTreeSet<Key> {
    let rows = Rows::new();
    let draft = Draft::new(shared.rules, state, &rows);
    items.iter().filter_map(|item| item.input()).flat_map(|input| unknown(shared, state, facts, &draft, input)).collect()
}

/// Asks for all facts that the items want, as far as it can be told before any of them is decided.
fn ask(shared: &Shared, cell: &Cell, facts: &Facts<'_>, items: &mut [Item]) {
    let (rows, none) = (Rows::new(), Loaded::default());
    let wanted: BTreeSet<Fact> = cell.with(|state| {
        let draft = Draft::new(shared.rules, state, &rows).with(&none);
        let unasked = items.iter().filter(|item| item.asked.is_empty()).filter_map(|item| item.input());
        unasked.filter(|input| (shared.rules.concerns)(&input.body)).flat_map(|input| wanted(shared, &draft, facts, input)).collect()
    });
    if wanted.is_empty() {
        return;
    }
    let asked = Asked::ask(&shared.cache, wanted.into_iter().collect(), shared.settings.fact_wait);
    for item in items.iter_mut().filter(|item| item.asked.is_empty() && item.input().is_some()) {
        item.asked.push(asked.clone());
    }
}

/// The facts that an input wants and that have neither come nor been given up.
fn wanted(shared: &Shared, draft: &Draft, facts: &Facts, input: &rules::Input) -> Vec<Fact> {
    let wanted = (shared.rules.wants)(draft, facts, input);
    wanted.map(|(credential, kinds)| kinds.iter().map(|kind| (credential.clone(), kind)).collect()).unwrap_or_default()
}

/// The keys that an input needs and that are not known.
fn unknown(shared: &Shared, state: &State, facts: &Facts, draft: &Draft, input: &rules::Input) -> Vec<Key> {
    if !(shared.rules.concerns)(&input.body) {
        return Vec::new();
    }
    let answer = shared.answer_key(state, input).filter(|_| !state.would_know_answer_to(input));
    if answer.is_some_and(|key| draft.known(&key).is_some()) {
        return Vec::new();
    }
    let needs = (shared.rules.needs)(draft, facts, input);
    needs.into_iter().chain(answer).filter(|key| !draft.knows(key)).collect()
}

/// Decides the items in their order, each on what the ones before it became, until one needs what is not known.
fn decide(shared: &Shared, state: &State, facts: &Facts, (rows, loaded, audits): (&Rows, &Loaded, &Audits), items: &[Item]) -> Decided {
    let mut draft = Draft::new(shared.rules, state, rows).with(loaded).auditing(audits);
    let mut decided = Decided::default();
    for item in items {
        if matches!(item.read, Read::Stopped(_)) {
            break;
        }
        if let Some(input) = item.input().filter(|input| (shared.rules.concerns)(&input.body)) {
            let answer = shared.answer_key(state, input);
            if let Some(schema::Entity::Answer(known)) = answer.and_then(|key| draft.known(&key)).map(|known| &*known.entity) {
                decided.effects.extend(known.effects.iter().cloned());
            } else {
                decided.missing = unknown(shared, state, facts, &draft, input);
                if !decided.missing.is_empty() {
                    break;
                }
                let wanted = wanted(shared, &draft, facts, input);
                if !wanted.is_empty() {
                    decided.wanted = Some(wanted);
                    break;
                }
                let events = (shared.rules.decide)(&draft, facts, input);
                if draft.events() > 0 && draft.events().saturating_add(events.len()) > Append::MESSAGES_MAX {
                    break;
                }
                decided.effects.extend(draft.record(input, answer, events));
            }
        }
        decided.answered = decided.answered.saturating_add(1);
    }
    decided.changes = draft.finish();
    decided
}

/// The commit, and then what it means for the state.
async fn append(shared: &Shared, cell: &Cell, changes: Changes) -> Result<(), streams::Error> {
    let journal = shared.rules.journal;
    let message = |recorded: &schema::Recorded| Message {
        subject: streams::subject::journal_subject(journal, recorded.event.province(), cell.partition, recorded.event.kind()),
        payload: wire::encode(shared.format, recorded).into(),
        headers: BTreeMap::from([(wire::CONTENT_TYPE.to_owned(), shared.format.content_type().to_owned())]),
    };
    let messages: Vec<Message> = changes.events.iter().map(message).collect();
    let (expected, count) = (cell.with(|state| state.last), messages.len());
    let appended = shared.bus.append(Append { journal, partition: cell.partition, expected, messages }).await;
    shared.metrics.append(count, appended.as_ref().err().map(|error| error.kind));
    let last = appended?.last;
    if let Some(follower) = &shared.follower {
        // Where there is no room, the follower reads it back.
        let _told = follower.try_send(Heard::of(&changes.events, last));
    }
    alarm(shared, cell.partition, &changes.events);
    cell.with(|state| state.absorb(changes, last));
    Ok(())
}

/// What a person must hear of at once: a settlement window that does not close.
fn alarm(shared: &Shared, partition: Partition, events: &[schema::Recorded]) {
    for recorded in events {
        match &recorded.event {
            Event::Ledger(LedgerEvent::WindowStopped { window, differs, .. }) => {
                shared.metrics.window_stopped();
                let lot = window.lot.as_ref().map_or("unknown", |lot| lot.as_str());
                tracing::error!(%partition, lot, channel = &*window.channel, day = %window.day, from = %window.from, %differs, "a settlement window does not close");
            }
            Event::Ledger(LedgerEvent::WindowClosed { .. }) => shared.metrics.window_closed(),
            _ => {}
        }
    }
}

/// An append that was refused, or whose answer was lost: everything decided is discarded.
async fn refused(shared: &Shared, cell: &Cell, mut items: Vec<Item>, error: &streams::Error) -> Turned {
    let again = |items, hold, stale| Turned { left: items, done: Vec::new(), hold, stale, alone: false };
    tracing::debug!(processor = shared.rules.name, partition = %cell.partition, %error, "append refused");
    match error.kind {
        Kind::Stale => again(items, None, true),
        Kind::Unavailable => again(items, Some(AWAY), true),
        Kind::Full | Kind::NotProvisioned => {
            tracing::error!(processor = shared.rules.name, partition = %cell.partition, %error, "nothing can be appended");
            again(items, Some(STUCK), true)
        }
        Kind::TooLarge | Kind::Malformed => {
            if items.len() > 1 {
                return Turned { left: items, done: Vec::new(), hold: None, stale: true, alone: true };
            }
            let mut done = Vec::new();
            for item in &mut items {
                item.tries = item.tries.saturating_add(1);
            }
            if items.iter().any(|item| item.tries >= TRIES_MAX) {
                let reason = format!("cannot be appended after {TRIES_MAX} tries: {error}");
                if bury(shared, cell.partition, &items, &reason).await.is_ok() {
                    done.append(&mut items);
                }
            }
            Turned { left: items, done, hold: Some(AWAY), stale: true, alone: true }
        }
    }
}

async fn bury(shared: &Shared, partition: Partition, items: &[Item], reason: &str) -> Result<(), streams::Error> {
    for delivery in items.iter().filter_map(|item| item.delivery()) {
        let letter = DeadLetter { stream: delivery.stream.clone(), partition, reason: reason.to_owned(), stored: delivery.stored.clone() };
        shared.bus.dead_letter(letter).await?;
        shared.metrics.dead_letter();
        tracing::warn!(processor = shared.rules.name, stream = delivery.stream, sequence = delivery.stored.sequence, reason, "dead letter");
        shared.bus.ack(delivery).await?;
    }
    Ok(())
}

/// Effects, then acks. What could not be read is a dead letter before it is acked.
async fn answer(shared: &Shared, items: &[Item], effects: Vec<Effect>) -> Result<(), streams::Error> {
    for effect in effects {
        let payload = match &effect {
            Effect::Lane(command) => wire::encode(shared.format, command),
            Effect::Refund(call) => wire::encode(shared.format, call),
            Effect::Call(call) => wire::encode(shared.format, call),
            Effect::Notice(notice) => wire::encode(shared.format, notice),
            Effect::Channel(event) => {
                // An inbox takes it, so it is stored before its cause is acked.
                shared.bus.publish(channel_message(event)).await?;
                continue;
            }
        };
        shared.bus.tell(Told { subject: effect.subject(), payload: payload.into() }).await?;
    }
    for item in items {
        let Some(delivery) = item.delivery() else { continue };
        if let Read::Unreadable { partition, reason } = &item.read {
            bury(shared, *partition, std::slice::from_ref(item), reason).await?;
        } else {
            shared.bus.ack(delivery).await?;
        }
        shared.metrics.answered(delivery);
    }
    Ok(())
}

/// A fact of a channel that we say ourselves. The same again within minutes costs nothing; later it is found by its key.
fn channel_message(event: &schema::ChannelEvent) -> Message {
    let json = wire::Format::Json;
    let headers = BTreeMap::from([(wire::CONTENT_TYPE.to_owned(), json.content_type().to_owned()), (streams::MESSAGE_ID.to_owned(), event.key())]);
    Message { subject: Effect::Channel(event.clone()).subject(), payload: wire::encode(json, event).into(), headers }
}

#[cfg(test)]
mod tests;
