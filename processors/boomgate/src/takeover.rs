//! Taking a partition over and catching up with it: the one way after a start, a conflict and a time-out.
//!
//! Invariants, by the number of design.md's rules of the log
//! 1. Catching up reads from the own last event, inclusive; if that is gone, or at a start: mark, tail, rows, in that order
//!    (`simulation`, `tests::a_partition_whose_last_event_is_gone_is_taken_over_anew`).
//! 3. The tail behind the mark is folded again; a reload from rows alone would be wrong   (`tests::the_tail_behind_the_mark_is_folded`).
//!
//! Not here: when this is done (`turn`, `worker`).

use crate::{
    replica::Shared,
    state::{Changes, Draft, Known, Rows, State, answer_key},
    turn::Cell,
};
use schema::{Key, Moment, Partition, Recorded, entity::Answer};
use std::{collections::BTreeSet, sync::Arc};
use streams::{From, Stored};

/// Why a partition cannot be taken over or caught up with now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be read.
    #[error(transparent)]
    Bus(#[from] streams::Error),
    /// The rows cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The journal holds what this release cannot read: the partition stops.
    #[error("{journal} {sequence} cannot be read, and so the partition stops: {source}")]
    Journal {
        /// The journal.
        journal: schema::Journal,
        /// The message.
        sequence: u64,
        /// Why.
        source: schema::wire::Error,
    },
}

/// An event with its place in the stream.
type Placed = (u64, Recorded);

/// Takes a partition over from nothing: mark, then the tail behind it to its end, then rows as needed.
pub async fn take_over(shared: &Shared, partition: Partition) -> Result<State, Error> {
    let journal = shared.rules.journal;
    let mark = shared.store.marks(journal, vec![partition]).await?.into_iter().flatten().next();
    let head = shared.bus.head(journal, partition).await?.map(|stored| decode(shared, &stored)).transpose()?;
    let mut state = State::new(journal, partition);
    let tail = match &head {
        None => Vec::new(),
        Some((_, head)) => tail(shared, partition, mark, head.at).await?,
    };
    for row in shared.store.open(journal, vec![partition]).await? {
        state.put(row.key, Known { entity: Arc::new(row.entity), at: row.at }, false);
    }
    let marked = mark.map_or(0, |mark| mark.sequence);
    state.marked(marked);
    if let Some((_, head)) = &head {
        state.answers_known_from(head.at.plus(0_i64.saturating_sub(Answer::WINDOW)));
    }
    let (known, behind): (Vec<Placed>, Vec<Placed>) = tail.into_iter().partition(|(sequence, _)| *sequence <= marked);
    remember(shared, &mut state, &known);
    fold(shared, &mut state, behind, true).await?;
    if let Some((sequence, head)) = head.filter(|(sequence, _)| *sequence > state.last) {
        state.stand(sequence, head.at);
    }
    Ok(state)
}

/// The events behind the mark, and those whose answers may be asked for again.
async fn tail(shared: &Shared, partition: Partition, mark: Option<store::Mark>, head: Moment) -> Result<Vec<Placed>, Error> {
    let young = head.plus(0_i64.saturating_sub(Answer::WINDOW).saturating_sub(Answer::AHEAD_MAX).saturating_sub(Answer::AHEAD_MAX));
    let from = match mark {
        Some(mark) if mark.at > young => From::Time(young),
        Some(mark) => From::Sequence(mark.sequence),
        None => From::Sequence(1),
    };
    let stored = shared.bus.tail(shared.rules.journal, partition, from).await?;
    stored.iter().map(|stored| decode(shared, stored)).collect()
}

fn decode(shared: &Shared, stored: &Stored) -> Result<Placed, Error> {
    let journal = shared.rules.journal;
    let read = schema::wire::decode_recorded(journal, crate::input::content_type(stored), &stored.payload);
    read.map(|recorded| (stored.sequence, recorded)).map_err(|source| Error::Journal { journal, sequence: stored.sequence, source })
}

/// Answers of events that are saved: what they concern is in the rows.
fn remember(shared: &Shared, state: &mut State, known: &[Placed]) {
    for (sequence, recorded) in known {
        let cause = &recorded.cause;
        if let Some(key) = answer_key(shared.rules.journal, state.partition(), cause.inbox, &cause.event, cause.time) {
            let before =
                state.known(&key).and_then(|known| if let schema::Entity::Answer(answer) = &*known.entity { Some(answer.clone()) } else { None });
            let answer = rules::evolve_answer(before, recorded, (shared.rules.effects)(recorded));
            state.put(key, Known { entity: Arc::new(schema::Entity::Answer(answer)), at: recorded.at }, false);
        }
        state.stand(*sequence, recorded.at);
    }
}

/// Folds events forward, reading what they concern and memory does not have. What begins with an event needs no row, unless
/// rows may hold more than we have read: after `rows_first`, when nothing was in memory.
async fn fold(shared: &Shared, state: &mut State, events: Vec<Placed>, rows_first: bool) -> Result<(), Error> {
    let Some(last) = events.last().map(|(sequence, recorded)| (*sequence, recorded.at)) else { return Ok(()) };
    let (mut begun, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for touch in events.iter().flat_map(|(_, recorded)| (shared.rules.touches)(&recorded.event)) {
        if touch.born && !rows_first {
            begun.insert(touch.key);
        }
        if state.known(&touch.key).is_none() && !begun.contains(&touch.key) {
            unknown.insert(touch.key);
        }
    }
    let rows = if unknown.is_empty() { Rows::new() } else { load(shared, unknown).await? };
    for (key, changed) in folded(shared, state, &rows, &events).into_entities() {
        state.put(key, changed, true);
    }
    for (key, row) in rows {
        if let Some(known) = row.filter(|_| state.known(&key).is_none()) {
            state.put(key, known, false);
        }
    }
    state.stand(last.0, last.1);
    Ok(())
}

fn folded(shared: &Shared, state: &State, rows: &Rows, events: &[Placed]) -> Changes {
    let mut draft = Draft::new(shared.rules, state, rows);
    for (_, recorded) in events {
        let cause = &recorded.cause;
        let answer = answer_key(shared.rules.journal, state.partition(), cause.inbox, &cause.event, cause.time);
        draft.fold(recorded, answer);
    }
    draft.finish()
}

/// Reads rows by key, at quorum; none where there is no such row.
pub async fn load(shared: &Shared, keys: BTreeSet<Key>) -> Result<Rows, store::Error> {
    let keys: Vec<Key> = keys.into_iter().collect();
    let rows = shared.store.load(keys.clone()).await?;
    let known = |row: store::Row| Known { entity: Arc::new(row.entity), at: row.at };
    Ok(keys.into_iter().zip(rows.into_iter().map(|row| row.map(known))).collect())
}

/// Folds forward what others appended, or what we did ourselves when the answer was lost. The state is current afterwards.
pub async fn catch_up(shared: &Shared, cell: &Cell) -> Result<(), Error> {
    shared.metrics.caught_up();
    let (partition, last) = (cell.partition, cell.with(|state| state.last));
    if last > 0 {
        let tail = shared.bus.tail(shared.rules.journal, partition, From::Sequence(last)).await?;
        if tail.first().is_some_and(|first| first.sequence == last) {
            let events = tail.iter().skip(1).map(|stored| decode(shared, stored)).collect::<Result<Vec<_>, _>>()?;
            // The turn has the partition for itself, so nothing is folded while the rows are read.
            let mut state = cell.with(|state| std::mem::replace(state, State::new(shared.rules.journal, partition)));
            let folded = fold(shared, &mut state, events, false).await;
            cell.with(|own| *own = state);
            return folded;
        }
    }
    let state = take_over(shared, partition).await?;
    cell.with(|own| *own = state);
    Ok(())
}

#[cfg(test)]
mod tests;
