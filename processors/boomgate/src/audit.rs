//! The ledger rows of settlement windows that are to close, read from the store before it is decided whether they do.
//!
//! Invariants
//! 1. A window is looked at only once the store has confirmed every row that was posted into it   (`tests::a_window_waits_for_its_rows`).
//! 2. What cannot be read is not there: its window waits   (`tests::a_window_waits_for_its_rows`).
//!
//! 3. A row that was never posted stops its window, and does not hold it up in silence   (`tests::a_row_that_was_never_posted_stops_its_window`).
//!
//! Not here: what a window and its rows must have in common (`rules::settlement`).

use crate::{replica::Shared, state::State, turn::Cell};
use futures_util::{StreamExt, stream};
use rules::{Input, settlement::Rows};
use schema::{Key, Moment, Table, entity::Posting, ledger};
use std::collections::BTreeMap;
use store::Part;

/// How many windows are read at once.
const AT_ONCE: usize = 16;

/// Ledger rows by the window for which they were read.
#[derive(Debug, Default)]
pub struct Audits {
    rows: BTreeMap<Key, Vec<(Moment, Posting)>>,
    as_of: Moment,
}

impl Audits {
    /// Reads the rows of all windows that inputs name, as far as they can be read now.
    pub async fn read(shared: &Shared, cell: &Cell, inputs: impl Iterator<Item = &Input>) -> Self {
        let windows: Vec<Key> = inputs.filter_map(|input| (shared.rules.audits)(input)).collect();
        if windows.is_empty() {
            return Self::default();
        }
        let (ready, as_of) = cell.with(|state| (windows.into_iter().filter(|window| is_ready(state, window)).collect::<Vec<_>>(), state.at));
        let read = |window: Key| async move {
            let Key { province, day, bucket, .. } = window;
            let part = Part { table: Table::Ledger, province, day, bucket };
            match shared.store.postings(part, ledger::rows_of(&window)).await {
                Ok(rows) => Some((window, rows)),
                Err(error) => {
                    tracing::warn!(window = %window.id, %error, "a settlement window waits for its rows");
                    None
                }
            }
        };
        let rows = stream::iter(ready).map(read).buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
        Self { rows, as_of }
    }

    /// The rows of a window, if they could be read.
    pub fn get(&self, window: &Key) -> Option<Rows<'_>> {
        self.rows.get(window).map(|rows| Rows { rows, as_of: self.as_of })
    }

    /// When the newest of all these rows was recorded.
    pub fn newest(&self) -> Moment {
        self.rows.values().flatten().map(|(at, _)| *at).max().unwrap_or_default()
    }
}

fn is_ready(state: &State, window: &Key) -> bool {
    state.are_saved(window, &ledger::rows_of(window))
}

#[cfg(test)]
mod tests;
