//! Saving behind the log, and trimming below what is saved.
//!
//! Invariants, by the number of design.md's rules of the log
//! 2. A mark is written only after every row that it promises was confirmed   (`tests::a_mark_waits_for_its_rows`).
//! 8. Trimming stays below the mark and keeps the retention   (`tests::trimming_stays_below_the_mark`).
//!
//! Not here: what a snapshot holds (`state`).

use crate::{clock, replica::Shared, state::Snapshot};
use schema::{Key, Moment, Partition};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use store::{Mark, Row};
use streams::table;

/// The most rows of one write.
const ROWS_MAX: usize = 1_000;
/// How long saving waits after a failure.
const AWAY: Duration = Duration::from_millis(500);
/// How many marks per partition are remembered for trimming, one a minute of event time.
const SAMPLES_MAX: usize = 4_096;

/// What was saved: per partition the rows that the store confirmed, and its mark.
pub struct Saved {
    /// Confirmed.
    pub confirmed: Vec<(Vec<(Key, Moment)>, Mark)>,
    /// Whether the store refused; what is not confirmed stays dirty.
    pub failed: bool,
}

/// Writes the rows of all snapshots, then their marks.
pub async fn save(shared: Arc<Shared>, snapshots: Vec<Snapshot>) -> Saved {
    let mut rows: Vec<Row> = Vec::new();
    let mut confirmed = Vec::new();
    for Snapshot { rows: of, mark } in snapshots {
        confirmed.push((of.iter().map(|row| (row.key, row.at)).collect(), mark));
        rows.extend(of);
    }
    match write(&shared, rows, confirmed.iter().map(|(_, mark)| *mark).collect()).await {
        Ok(()) => Saved { confirmed, failed: false },
        Err(error) => {
            tracing::warn!(processor = shared.rules.name, %error, "rows wait to be saved");
            clock::wait(AWAY).await;
            Saved { confirmed: Vec::new(), failed: true }
        }
    }
}

async fn write(shared: &Shared, mut rows: Vec<Row>, marks: Vec<Mark>) -> Result<(), store::Error> {
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(ROWS_MAX));
        shared.store.save(rows).await?;
        rows = rest;
    }
    shared.store.mark(marks).await
}

/// Remembers where each partition's mark stood, to know later what is old enough to be forgotten.
#[derive(Debug, Default)]
pub struct Trimmer {
    samples: BTreeMap<Partition, VecDeque<(Moment, u64)>>,
}

impl Trimmer {
    /// A mark moved.
    pub fn marked(&mut self, mark: &Mark) {
        let samples = self.samples.entry(mark.partition).or_default();
        if samples.back().is_none_or(|(at, _)| mark.at.since(*at) >= schema::time::MINUTE) {
            samples.push_back((mark.at, mark.sequence));
        }
        if samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
    }

    /// What may be forgotten: each partition below a mark that is older than its newest one by the retention.
    pub fn jobs(&mut self, retention: Duration) -> Vec<(Partition, u64)> {
        let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let mut jobs = Vec::new();
        for (partition, samples) in &mut self.samples {
            let Some((newest, _)) = samples.back().copied() else { continue };
            let mut keep_from = None;
            while let Some((_, sequence)) = samples.front().copied().filter(|(at, _)| newest.since(*at) > retention) {
                samples.pop_front();
                keep_from = Some(sequence);
            }
            jobs.extend(keep_from.map(|sequence| (*partition, sequence)));
        }
        jobs
    }
}

/// Forgets what is saved, older than the retention, and acked by every reader of the journal; and the answered part of the inboxes that are ours to trim.
pub async fn trim(shared: &Shared, jobs: Vec<(Partition, u64)>) {
    let journal = shared.rules.journal;
    for (partition, keep_from) in jobs {
        match shared.bus.trim(journal, partition, keep_from).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(%journal, %partition, count, "trimmed"),
            Err(error) => tracing::warn!(%journal, %partition, %error, "cannot trim"),
        }
    }
    if shared.settings.keep_inputs {
        return;
    }
    let is_ours = |stream: &&table::Stream| table::trimmer_of(stream.name).is_some_and(|processor| processor.name == shared.rules.name);
    for inbox in table::STREAMS.iter().filter(|stream| stream.role == table::Role::Inbox).filter(is_ours).map(|stream| stream.name) {
        if let Err(error) = shared.bus.trim_answered(inbox).await {
            tracing::warn!(inbox, %error, "cannot trim");
        }
    }
}

#[cfg(test)]
mod tests;
