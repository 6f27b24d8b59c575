//! Hourly counts of cars in and out, without stays: paired first in, first out.
//!
//! Invariants
//! 1. A car leaves that came first, and what never left stays open   (`replay::tests::counted_cars_are_paired_first_in_first_out`).

use super::{Draft, local, zone_of};
use anyhow::{Context, Result, bail};
use schema::{GateKind, LotId, Moment, time::MINUTE};
use std::collections::{BTreeMap, VecDeque};

/// Where the garages lie.
const KNOXVILLE: &str = "America/New_York";
/// What an hour counts.
const HOUR: i64 = 60 * MINUTE;
/// The most days that are paired at once: what was lost grows with every hour.
const DAYS_MAX: i32 = 7;

type Hours = BTreeMap<(LotId, Moment), (i64, i64)>;

pub fn read(text: &str, draft: &mut Draft) -> Result<()> {
    draft.recording.format = "hourly counters (Knoxville)";
    let (Some(from), Some(to)) = (draft.from, draft.to) else {
        bail!("counters are paired a week at a time: give --from and --to, as --from 2018-10-01 --to 2018-10-07");
    };
    if to < from || (to - from).get_days() >= DAYS_MAX {
        bail!("counters are paired at most {DAYS_MAX} days at a time, and --to is not before --from");
    }
    let zone = zone_of(KNOXVILLE)?;
    let mut hours = Hours::new();
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    for row in rows.records() {
        draft.recording.rows += 1;
        let row = row.context("a row has other columns than the header")?;
        let (Ok(cars), Some((day, hour))) = (row[0].trim().parse::<i64>(), local(&row[3], &zone)) else {
            draft.unmapped("no count and time where they belong", 1);
            continue;
        };
        if !draft.wants(day) {
            draft.unmapped("rows outside of the days that were asked for", 1);
            continue;
        }
        match &row[1] {
            "ingress" | "egress" if cars < 0 => draft.unmapped("rows that count fewer than no cars", 1),
            kind @ ("ingress" | "egress") => {
                let lot = draft.lot(&row[2], KNOXVILLE)?;
                let hour = hours.entry((lot, hour)).or_default();
                *if kind == "ingress" { &mut hour.0 } else { &mut hour.1 } += cars;
            }
            "occupancy" | "vacancy" => {
                if cars < 0 {
                    draft.remark("hours in which a garage was said to hold more cars than it has spaces");
                }
                draft.unmapped("rows of occupancy and vacancy, which are no movements", 1);
            }
            _ => draft.unmapped("rows of an unknown type", 1),
        }
    }
    pair(&hours, draft)?;
    draft.recording.events.sort_by_key(|(at, _)| *at);
    Ok(())
}

fn pair(hours: &Hours, draft: &mut Draft) -> Result<()> {
    let mut inside: BTreeMap<LotId, VecDeque<(u64, Moment)>> = BTreeMap::new();
    let mut number = 0;
    for ((lot, hour), (ingress, egress)) in hours {
        let cars = inside.entry(*lot).or_default();
        // The cars of an hour come, and go, evenly; at the same moment one comes before one goes.
        let spread = |count: i64, kind: GateKind| (0..count).map(move |car| (hour.plus(car * HOUR / count), kind));
        let mut movements: Vec<(Moment, GateKind)> = spread(*ingress, GateKind::Entry).chain(spread(*egress, GateKind::Exit)).collect();
        movements.sort_by_key(|(at, _)| *at);
        for (at, kind) in movements {
            if kind == GateKind::Entry {
                number += 1;
                draft.recording.stays += 1;
                draft.event(*lot, kind, at, &format!("{lot}.{number}"), number)?;
                cars.push_back((number, at));
            } else if let Some((car, entered_at)) = cars.pop_front() {
                draft.event(*lot, kind, at, &format!("{lot}.{car}"), car)?;
                draft.bill(*lot, entered_at, at);
            } else {
                draft.unmapped("cars that left without having come in these days", 1);
            }
        }
    }
    draft.recording.open_stays = inside.values().map(|cars| cars.len() as u64).sum();
    Ok(())
}
