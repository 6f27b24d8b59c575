//! What a replica knows of one partition: the fold of its journal, in memory.
//!
//! Invariants
//! 1. Whatever an event behind the mark concerns is in memory and dirty until the store confirmed it   (`tests::what_is_not_saved_stays`).
//! 2. An open entity never leaves memory   (`tests::what_is_open_stays`).
//! 3. A draft that is not absorbed leaves no trace   (`tests::a_refused_draft_leaves_no_trace`).
//! 4. An answer that left memory is looked up and never decided anew   (`tests::an_answer_that_left_memory_is_looked_up`).
//! 5. A settlement window counts as stopped until it closes, whoever takes it over   (`audit::tests::a_row_that_was_never_posted_stops_its_window`).
//!
//! Not here: reading and writing (`turn`, `takeover`, `worker`).

use crate::{audit::Audits, facts::Loaded};
use rules::{Input, Rules, View, entry::checks::Fact, settlement};
use schema::{Credential, Entity, Event, Handle, Inbox, Journal, Key, Moment, Partition, Recorded, Table, entity::Answer, fact};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use store::{Mark, Row};

/// An entity with the `at` up to which it is folded.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The entity.
    pub entity: Arc<Entity>,
    /// Its version.
    pub at: Moment,
}

/// Rows that were read for a decision; none where there is no such row.
pub type Rows = BTreeMap<Key, Option<Known>>;

/// The fold of one partition.
#[derive(Debug)]
pub struct State {
    journal: Journal,
    partition: Partition,
    /// Sequence of the last event that is folded; 0 for none.
    pub last: u64,
    /// Its `at`.
    pub at: Moment,
    entities: BTreeMap<Key, Known>,
    handles: BTreeMap<Handle, Key>,
    dirty: BTreeSet<Key>,
    due: BTreeSet<(Moment, Key)>,
    idle: BTreeSet<(Moment, Key)>,
    /// The settlement windows that do not close, because their rows are not what was posted.
    stopped: BTreeSet<Key>,
    /// The saved answers in memory, by their inputs' time.
    answers: BTreeSet<(Moment, Key)>,
    /// The answers to all inputs of this time or later are in memory; that to an older one may be known to the store alone.
    answers_from: Moment,
    marked: u64,
}

/// What is to be saved so that the mark can move: every row that differs from what is confirmed.
#[derive(Debug)]
pub struct Snapshot {
    /// The rows.
    pub rows: Vec<Row>,
    /// The mark that they allow.
    pub mark: Mark,
}

/// What a draft became: not true before its append is.
#[derive(Debug, Default)]
pub struct Changes {
    /// The events, in order.
    pub events: Vec<Recorded>,
    entities: BTreeMap<Key, Known>,
    /// The newest row that the decisions read.
    newest_row: Moment,
}

impl State {
    /// A partition of which nothing is known yet.
    pub const fn new(journal: Journal, partition: Partition) -> Self {
        Self {
            journal,
            partition,
            last: 0,
            at: Moment(0),
            entities: BTreeMap::new(),
            handles: BTreeMap::new(),
            dirty: BTreeSet::new(),
            due: BTreeSet::new(),
            idle: BTreeSet::new(),
            stopped: BTreeSet::new(),
            answers: BTreeSet::new(),
            answers_from: Moment(0),
            marked: 0,
        }
    }

    /// Which partition this is.
    pub const fn partition(&self) -> Partition {
        self.partition
    }

    /// Takes an entity in: one that was read (`dirty` false) or folded (`dirty` true).
    pub fn put(&mut self, key: Key, known: Known, dirty: bool) {
        if let Some(old) = self.entities.get(&key) {
            // The handle of a car may be another session's by now: one that ended this one.
            if let Some(handle) = old.entity.handle().filter(|handle| self.handles.get(handle) == Some(&key)) {
                self.handles.remove(&handle);
            }
            if let Some(due) = old.entity.due_at() {
                self.due.remove(&(due, key));
            }
        }
        if let Some(handle) = known.entity.handle() {
            // Of two rows that were read, the one that is newer: it ended the other.
            let other = self.handles.get(&handle).and_then(|other| self.entities.get(other));
            if other.is_none_or(|other| other.at <= known.at) {
                self.handles.insert(handle, key);
            }
        }
        if let Some(due) = known.entity.due_at() {
            self.due.insert((due, key));
        }
        if matches!(&*known.entity, Entity::Settling(window) if window.stopped.is_some()) {
            self.stopped.insert(key);
        } else if !self.stopped.is_empty() {
            self.stopped.remove(&key);
        }
        if dirty {
            self.dirty.insert(key);
        } else {
            self.rest(key, &known);
        }
        self.entities.insert(key, known);
    }

    /// A saved entity that is closed leaves memory, at once or after it has lingered.
    fn rest(&mut self, key: Key, known: &Known) {
        if let Entity::Answer(answer) = &*known.entity {
            self.answers.insert((answer.time, key));
        } else if !known.entity.is_open() {
            self.idle.insert((known.at.plus(known.entity.lingers()), key));
        }
    }

    /// Says where the journal stands once something was folded.
    pub fn stand(&mut self, last: u64, at: Moment) {
        self.last = last;
        self.at = at;
    }

    /// Says how far the store has confirmed.
    pub const fn marked(&mut self, sequence: u64) {
        self.marked = sequence;
    }

    /// What is known of a key in memory.
    pub fn known(&self, key: &Key) -> Option<&Known> {
        self.entities.get(key)
    }

    /// Whether the store has confirmed all ledger rows of one place whose ids begin so.
    pub fn are_saved(&self, window: &Key, begin: &str) -> bool {
        let first = Key { table: Table::Ledger, id: begin.parse().expect("the beginning of an id is a token"), ..*window };
        self.dirty.range(first..).next().is_none_or(|key| Key { id: first.id, ..*key } != first || !key.id.as_str().starts_with(begin))
    }

    /// How many rows wait to be saved.
    pub fn unsaved(&self) -> usize {
        self.dirty.len()
    }

    /// How many settlement windows do not close. Such a window is open, and so in memory.
    pub fn stopped(&self) -> usize {
        self.stopped.len()
    }

    /// How many entities are in memory.
    pub fn count(&self) -> usize {
        self.entities.len()
    }

    /// The entities that are due at `now`.
    pub fn due(&self, now: Moment) -> Vec<Key> {
        self.due.iter().take_while(|(due, _)| *due <= now).map(|(_, key)| *key).collect()
    }

    /// What is to be saved; none where all is saved.
    pub fn snapshot(&self) -> Option<Snapshot> {
        if self.marked == self.last {
            return None;
        }
        let row = |key: &Key| self.entities.get(key).map(|known| Row { key: *key, at: known.at, entity: (*known.entity).clone() });
        let mark = Mark { journal: self.journal, partition: self.partition, at: self.at, sequence: self.last };
        Some(Snapshot { rows: self.dirty.iter().filter_map(row).collect(), mark })
    }

    /// The store has confirmed these rows and then this mark.
    pub fn confirm(&mut self, rows: &[(Key, Moment)], mark: &Mark) {
        self.marked = self.marked.max(mark.sequence);
        for (key, at) in rows {
            let Some(known) = self.entities.get(key).filter(|known| known.at == *at).cloned() else { continue };
            self.dirty.remove(key);
            self.rest(*key, &known);
        }
        self.forget();
    }

    /// Drops what is saved, closed and old.
    fn forget(&mut self) {
        while let Some(&(until, key)) = self.idle.first().filter(|(until, _)| *until <= self.at) {
            self.idle.pop_first();
            let over = |known: &Known| !known.entity.is_open() && known.at.plus(known.entity.lingers()) <= until;
            if !self.dirty.contains(&key) && self.entities.get(&key).is_some_and(over) {
                self.entities.remove(&key);
            }
        }
        let window = self.at.plus(0_i64.saturating_sub(Answer::WINDOW));
        while self.answers.first().is_some_and(|(time, _)| *time < window) {
            self.forget_oldest_answer();
        }
    }

    /// How many saved answers are in memory.
    pub fn answers(&self) -> usize {
        self.answers.len()
    }

    /// Keeps so many of the saved answers, the youngest; the others are in the store.
    pub fn keep_answers(&mut self, most: usize) {
        while self.answers.len() > most {
            self.forget_oldest_answer();
        }
    }

    fn forget_oldest_answer(&mut self) {
        let Some((time, key)) = self.answers.pop_first() else { return };
        if !self.dirty.contains(&key) {
            self.entities.remove(&key);
        }
        self.answers_known_from(time.plus(1));
    }

    /// Says that older answers than this may be in the store alone.
    pub fn answers_known_from(&mut self, time: Moment) {
        self.answers_from = self.answers_from.max(time);
    }

    /// Whether an answer to this input would be in memory: it is young, and its clock can be believed.
    pub fn would_know_answer_to(&self, input: &Input) -> bool {
        input.time >= self.answers_from && input.time.since(input.received_at) <= Answer::AHEAD_MAX
    }

    /// What a draft became is true now: its append was acknowledged with `last`.
    pub fn absorb(&mut self, changes: Changes, last: u64) {
        let Some(at) = changes.events.last().map(|recorded| recorded.at) else { return };
        assert!(changes.newest_row <= at, "{} {}: a row is newer than the journal's end", self.journal, self.partition);
        for (key, known) in changes.entities {
            self.put(key, known, true);
        }
        self.stand(last, at);
    }
}

/// A state with what was read for a decision, and what has been decided on top of it.
pub struct Draft<'a> {
    rules: &'a Rules,
    state: &'a State,
    rows: &'a Rows,
    handles: BTreeMap<Handle, Option<Key>>,
    changes: Changes,
    at: Moment,
    /// What has come of vehicles elsewhere; none where nobody asks.
    facts: Option<&'a Loaded>,
    /// The ledger rows of windows that are to close; none where none are.
    audits: Option<&'a Audits>,
}

impl<'a> Draft<'a> {
    /// A draft on a state and the rows that were read.
    pub fn new(rules: &'a Rules, state: &'a State, rows: &'a Rows) -> Self {
        Self { rules, state, rows, handles: BTreeMap::new(), changes: Changes::default(), at: state.at, facts: None, audits: None }
    }

    /// The same with what has come of vehicles elsewhere.
    #[must_use]
    pub fn with(self, facts: &'a Loaded) -> Self {
        Self { facts: Some(facts), ..self }
    }

    /// The same with the ledger rows of windows that are to close.
    #[must_use]
    pub fn auditing(self, audits: &'a Audits) -> Self {
        Self { audits: Some(audits), ..self }
    }

    /// The `at` of the last event, decided or folded.
    pub const fn at(&self) -> Moment {
        self.at
    }

    /// How many events were decided.
    pub fn events(&self) -> usize {
        self.changes.events.len()
    }

    /// Whether it is known if this entity exists: in memory, read, or decided just now.
    pub fn knows(&self, key: &Key) -> bool {
        self.changes.entities.contains_key(key) || self.state.entities.contains_key(key) || self.rows.contains_key(key)
    }

    /// What is known of a key.
    pub fn known(&self, key: &Key) -> Option<&Known> {
        let read = || self.rows.get(key).and_then(Option::as_ref);
        self.changes.entities.get(key).or_else(|| self.state.entities.get(key)).or_else(read)
    }

    /// Records what was decided on an input, and folds it. Gives the events' effects.
    pub fn record(&mut self, input: &Input, answer: Option<Key>, events: Vec<Event>) -> Vec<schema::Effect> {
        let mut effects = Vec::new();
        for (index, event) in (0..).zip(events) {
            let at = Moment(input.received_at.0.max(self.at.0.saturating_add(1)));
            let cause = schema::Cause { inbox: input.inbox, sequence: input.sequence, event: input.key.clone(), time: input.time, index };
            let recorded = Recorded { at, cause, event };
            effects.extend(self.fold(&recorded, answer));
            self.changes.events.push(recorded);
        }
        effects
    }

    /// Folds one event into what it concerns and its answer, where those are older than it. Gives its effects.
    pub fn fold(&mut self, recorded: &Recorded, answer: Option<Key>) -> Vec<schema::Effect> {
        self.at = recorded.at;
        for touch in (self.rules.touches)(&recorded.event) {
            let known = self.known(&touch.key);
            assert!(touch.born || known.is_some() || self.knows(&touch.key), "an event concerns only what its input needed: {:?}", touch.key);
            if known.is_some_and(|known| known.at >= recorded.at) {
                continue;
            }
            let entity = (self.rules.evolve)(&touch.key, known.map(|known| (*known.entity).clone()), recorded);
            self.change(touch.key, entity, recorded.at);
        }
        let effects = (self.rules.effects)(recorded);
        if let Some(key) = answer {
            let known = self.known(&key);
            if known.is_none_or(|known| known.at < recorded.at) {
                let before = known.and_then(|known| if let Entity::Answer(answer) = &*known.entity { Some(answer.clone()) } else { None });
                let answer = rules::evolve_answer(before, recorded, effects.clone());
                self.change(key, Entity::Answer(answer), recorded.at);
            }
        }
        effects
    }

    fn change(&mut self, key: Key, entity: Entity, at: Moment) {
        let before = self.known(&key).map(|known| (known.at, known.entity.handle()));
        if let Some((row, handle)) = before {
            self.changes.newest_row = self.changes.newest_row.max(row);
            if let Some(handle) = handle {
                self.handles.insert(handle, None);
            }
        }
        if let Some(handle) = entity.handle() {
            self.handles.insert(handle, Some(key));
        }
        self.changes.entities.insert(key, Known { entity: Arc::new(entity), at });
    }

    /// What it became.
    pub fn finish(self) -> Changes {
        self.changes
    }
}

impl View for Draft<'_> {
    fn get(&self, key: &Key) -> Option<&Entity> {
        self.known(key).map(|known| &*known.entity)
    }

    fn find(&self, handle: &Handle) -> Option<&Entity> {
        let key = self.handles.get(handle).copied().unwrap_or_else(|| self.state.handles.get(handle).copied())?;
        self.get(&key)
    }

    fn rows(&self, window: &Key) -> Option<settlement::Rows<'_>> {
        self.audits.and_then(|audits| audits.get(window))
    }

    fn fact(&self, credential: &Credential, kind: fact::Kind) -> Fact<'_> {
        self.facts.map_or(Fact::Here(&[]), |facts| facts.get(credential, kind))
    }
}

impl Changes {
    /// The folded entities, for a state that takes over or catches up.
    pub fn into_entities(self) -> BTreeMap<Key, Known> {
        self.entities
    }
}

/// The key of the answer to an input: it follows from the input alone. None for a tick, which nobody sends again.
pub fn answer_key(journal: Journal, partition: Partition, inbox: Inbox, event: &str, time: Moment) -> Option<Key> {
    (inbox != Inbox::Tick).then(|| Key::answer(journal, partition, inbox.stream(), event, time))
}

#[cfg(test)]
mod tests;
