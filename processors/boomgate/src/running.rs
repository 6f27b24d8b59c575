//! The running totals of open settlement windows, told to whoever listens on `settle.<province>.<lot>.<channel>`: a console need not read the ledger.
//!
//! Each is a line of `boomgate settle show` as JSON. They are told at most once a second and window, where something was posted, and are no record: whoever
//! missed one hears the next, and finds all of them in the rows.
//!
//! Invariants
//! 1. A window of which more was posted is told once, as it stands then   (`tests::a_window_is_told_as_it_stands`).
//!
//! Not here: statements (`settle`).

use crate::{settle, state::Snapshot};
use schema::{Entity, Key};
use std::collections::BTreeMap;
use streams::{Bus, Told};

/// What running totals are told on.
pub const TOTALS: &str = "settle.*.*.*";

/// The windows that have changed since they were told.
#[derive(Default)]
pub struct Totals(BTreeMap<Key, settle::Line>);

impl Totals {
    /// Remembers what has changed among what is about to be saved.
    pub fn changed(&mut self, snapshots: &[Snapshot]) {
        for row in snapshots.iter().flat_map(|snapshot| &snapshot.rows) {
            if let Entity::Settling(window) = &row.entity
                && let Some(line) = settle::open((**window).clone())
            {
                self.0.insert(row.key, line);
            }
        }
    }

    /// What there is to tell; then nothing is any more.
    pub fn take(&mut self) -> Vec<Told> {
        let told = |line: settle::Line| {
            let lot = line.lot.as_ref().map_or("unknown", |lot| lot.as_str());
            let subject = format!("settle.{}.{lot}.{}", line.province, line.channel);
            Some(Told { subject, payload: serde_json::to_vec(&line).ok()?.into() })
        };
        std::mem::take(&mut self.0).into_values().filter_map(told).collect()
    }
}

/// Tells them, as far as the broker is there.
pub async fn tell(bus: &dyn Bus, totals: Vec<Told>) {
    for told in totals {
        if bus.tell(told).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{trial::Trial, turn::turn};

    #[tokio::test(start_paused = true)]
    async fn a_window_is_told_as_it_stands() {
        let trial = Trial::of_the_ledger().await;
        let mut ear = trial.shared.bus.listen(TOTALS).await.expect("the bus is in memory");
        let cell = trial.cell().await;
        let mut totals = Totals::default();
        for transaction in [1, 2] {
            turn(trial.shared.clone(), cell.clone(), vec![Trial::paid(transaction, 10)], false).await;
            totals.changed(&cell.with(|state| state.snapshot()).into_iter().collect::<Vec<_>>());
        }
        tell(&*trial.shared.bus, totals.take()).await;
        tell(&*trial.shared.bus, totals.take()).await;
        let mut heard = Vec::new();
        while let Ok(Some(told)) = tokio::time::timeout(std::time::Duration::from_secs(1), ear.next()).await {
            heard.push(told);
        }
        let [told] = &heard[..] else { panic!("one window: {heard:?}") };
        assert_eq!(told.subject, "settle.44.small.wechat");
        let line: serde_json::Value = serde_json::from_slice(&told.payload).expect("it is JSON");
        assert_eq!((&line["stands"], &line["postings"], &line["figures"]["net"]), (&"open".into(), &2.into(), &1_988.into()));
    }
}
