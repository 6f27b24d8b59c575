//! Recordings that have a row for each stay.
//!
//! Invariants
//! 1. Each stay has a plate of its own, so that two stays on one bay never meet   (`replay::tests::stays_that_overlap_on_a_bay_are_two_cars`).

use super::{Draft, absolute, local, local_date, zone_of};
use anyhow::{Context, Result};
use schema::{GateKind, Moment};
use std::collections::{BTreeMap, BTreeSet};

/// Melbourne's bays, as recorded: local time of UTC+11, without plates.
const MELBOURNE: &str = "+11:00";
/// Where Caltech lies.
const CALTECH: &str = "America/Los_Angeles";

const NO_TIME: &str = "no time where one belongs";
const BACKWARDS: &str = "left before it came";
const OUTSIDE: &str = "entered outside of the days that were asked for";

pub fn read_melbourne(text: &str, draft: &mut Draft) -> Result<()> {
    draft.recording.format = "stays (Melbourne)";
    let zone = zone_of(MELBOURNE)?;
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let mut stays = Stays::default();
    for row in rows.records() {
        draft.recording.rows += 1;
        let row = row.context("a row has other columns than the header")?;
        let (bay, lot) = (row.get(2).unwrap_or_default(), row.get(3).unwrap_or_default());
        let (Some((day, entered_at)), Some((_, left_at))) = (local(&row[0], &zone), local(&row[1], &zone)) else {
            draft.unmapped(NO_TIME, 1);
            continue;
        };
        if !draft.wants(day) {
            draft.unmapped(OUTSIDE, 1);
            continue;
        }
        stays.add(draft, lot, MELBOURNE, bay, entered_at, left_at)?;
    }
    in_order(draft);
    Ok(())
}

pub fn read_caltech(text: &str, draft: &mut Draft) -> Result<()> {
    draft.recording.format = "stays (Caltech)";
    let zone = zone_of(CALTECH)?;
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let mut stays = Stays::default();
    let mut known = BTreeSet::new();
    for row in rows.records() {
        draft.recording.rows += 1;
        let row = row.context("a row has other columns than the header")?;
        if !known.insert(row[0].to_string()) {
            draft.unmapped("a session that was there already", 1);
            continue;
        }
        let (Some(entered_at), Some(left_at)) = (absolute(&row[3]), absolute(&row[4])) else {
            draft.unmapped(NO_TIME, 1);
            continue;
        };
        if !local_date(entered_at, &zone).is_some_and(|day| draft.wants(day)) {
            draft.unmapped(OUTSIDE, 1);
            continue;
        }
        stays.add(draft, &row[1], CALTECH, &row[2], entered_at, left_at)?;
    }
    in_order(draft);
    Ok(())
}

/// Stays that were read, with what is needed to number and order them.
#[derive(Default)]
struct Stays {
    /// Stays of each bay so far, and when the last one ended.
    bays: BTreeMap<String, (u64, Moment)>,
    number: u64,
}

impl Stays {
    fn add(&mut self, draft: &mut Draft, lot: &str, zone: &'static str, bay: &str, entered_at: Moment, left_at: Moment) -> Result<()> {
        if left_at < entered_at {
            draft.unmapped(BACKWARDS, 1);
            return Ok(());
        }
        let lot = draft.lot(lot, zone)?;
        let (ordinal, ended_at) = self.bays.entry(format!("{lot}/{bay}")).or_insert((0, Moment(i64::MIN)));
        if entered_at < *ended_at {
            draft.remark("stays that overlap on a bay, taken as two cars");
        }
        *ordinal += 1;
        *ended_at = (*ended_at).max(left_at);
        let plate = format!("{bay}.{ordinal}");
        self.number += 1;
        draft.recording.stays += 1;
        draft.event(lot, GateKind::Entry, entered_at, &plate, self.number)?;
        draft.event(lot, GateKind::Exit, left_at, &plate, self.number)?;
        draft.bill(lot, entered_at, left_at);
        Ok(())
    }
}

/// A row tells both ends of a stay, so the devices' order is that of time; a stay of no length still begins before it ends.
fn in_order(draft: &mut Draft) {
    draft.recording.events.sort_by_key(|(at, _)| *at);
}
