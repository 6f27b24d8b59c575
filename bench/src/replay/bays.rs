//! Raw changes of single bays: occupied or free, doubled, lost and out of order, as sensors send them.
//!
//! Invariants
//! 1. Events are sent in the order of the file, whatever their times   (`replay::tests::bay_events_are_sent_as_they_were_recorded`).
//! 2. What repeats a state or ends nothing is counted and not sent   (`replay::tests::every_row_is_mapped_or_counted`).

use super::{Draft, local_date, zone_of};
use anyhow::Result;
use schema::{GateKind, Moment};
use std::collections::BTreeMap;

/// Where the bays lie.
const BERLIN: &str = "Europe/Berlin";
/// The lot that they make up.
const LOT: &str = "berlin";

struct Change {
    at: Moment,
    occupied: bool,
    /// The stay that it begins or ends, once that is known.
    stay: Option<(u64, String)>,
}

pub fn read(text: &str, draft: &mut Draft) -> Result<()> {
    draft.recording.format = "changes of bays (Berlin)";
    let zone = zone_of(BERLIN)?;
    let lot = draft.lot(LOT, BERLIN)?;
    let mut changes: Vec<Change> = Vec::new();
    let mut bays: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut latest = Moment(i64::MIN);
    for row in text.lines().skip(1).filter(|row| !row.trim().is_empty()) {
        draft.recording.rows += 1;
        let columns: Vec<&str> = row.split_whitespace().collect();
        let [bay, ms, state @ ("0" | "1")] = columns.as_slice() else {
            draft.unmapped("no bay, time and state", 1);
            continue;
        };
        let Some(at) = ms.parse::<i64>().ok().and_then(|ms| ms.checked_mul(1_000)).map(Moment) else {
            draft.unmapped("no time where one belongs", 1);
            continue;
        };
        if !local_date(at, &zone).is_some_and(|day| draft.wants(day)) {
            draft.unmapped("outside of the days that were asked for", 1);
            continue;
        }
        if at < latest {
            draft.remark("changes that are older than the row before them, sent as they came");
        }
        latest = at;
        bays.entry((*bay).to_string()).or_default().push(changes.len());
        changes.push(Change { at, occupied: *state == "1", stay: None });
    }

    // Which change begins and ends which stay only time can tell; it decides the plates and nothing about the order of sending.
    let mut stays = 0;
    for (bay, mut own) in bays {
        own.sort_by_key(|change| changes[*change].at);
        let mut begun: Option<(usize, u64, String)> = None;
        let mut first = true;
        for change in own {
            match (changes[change].occupied, begun.take()) {
                (true, None) => {
                    stays += 1;
                    let plate = format!("{bay}.{stays}");
                    changes[change].stay = Some((stays, plate.clone()));
                    begun = Some((change, stays, plate));
                }
                (true, already) => {
                    begun = already;
                    draft.unmapped("occupied again without having been free", 1);
                }
                (false, Some((entry, number, plate))) => {
                    changes[change].stay = Some((number, plate));
                    draft.bill(lot, changes[entry].at, changes[change].at);
                }
                (false, None) if first => draft.unmapped("free before the bay was first recorded as occupied", 1),
                (false, None) => draft.unmapped("free again without having been occupied", 1),
            }
            first = false;
        }
        draft.recording.open_stays += u64::from(begun.is_some());
    }
    draft.recording.stays = stays;
    for change in changes {
        let Some((number, plate)) = change.stay else { continue };
        let kind = if change.occupied { GateKind::Entry } else { GateKind::Exit };
        draft.event(lot, kind, change.at, &plate, number)?;
    }
    Ok(())
}
