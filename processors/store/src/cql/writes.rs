//! Which statements save rows, and which of them travel together.
//!
//! A group is an unlogged batch inside one partition: one mutation on one replica, so it is cheaper than its parts and no less sure.
//!
//! Invariants
//! 1. A group lies in one partition and within its bounds, and nothing is left out   (`tests::groups_lie_in_one_partition_and_lose_nothing`).

use crate::{
    Part,
    tables::{self, Cells, Value},
};
use schema::{Key, Partition, Table};
use scylla::value::CqlValue;
use std::collections::BTreeMap;

/// Statements in one group.
const COUNT_MAX: usize = 64;
/// Text in one group: far below what a server refuses, small enough not to hold up others.
const BYTES_MAX: usize = 32 * 1024;

/// A statement of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Write a row of a table.
    Save(Table),
    /// Write the line that says where an open row lies.
    OpenLine,
    /// Delete it.
    CloseLine,
}

/// A statement with its values.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) verb: Verb,
    pub(super) values: Vec<CqlValue>,
    bytes: usize,
}

/// What a partition is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Rows(Part),
    Lines(Table, Partition),
}

/// What saves these rows: each group can be run beside the others.
pub(super) fn groups(rows: Vec<Cells>) -> Vec<Vec<Write>> {
    let mut places: BTreeMap<Place, Vec<Vec<Write>>> = BTreeMap::new();
    let mut add = |place, write: Write| {
        let groups = places.entry(place).or_default();
        match groups.last_mut() {
            Some(group) if group.len() < COUNT_MAX && group.iter().map(|w| w.bytes).sum::<usize>() + write.bytes <= BYTES_MAX => group.push(write),
            _ => groups.push(vec![write]),
        }
    };
    for cells in rows {
        let Key { table, province, day, bucket, .. } = cells.key;
        if tables::opens(table) {
            add(Place::Lines(table, bucket), line(&cells));
        }
        add(Place::Rows(Part { table, province, day, bucket }), row(cells));
    }
    places.into_values().flatten().collect()
}

fn key(key: Key) -> [CqlValue; 4] {
    let id = CqlValue::Text(key.id.to_string());
    [CqlValue::SmallInt(key.province.0.into()), CqlValue::Int(key.day.0.cast_signed()), CqlValue::SmallInt(key.bucket.0.into()), id]
}

/// In the order of [`tables::names`], with the timestamp behind.
fn row(cells: Cells) -> Write {
    let bytes = cells.body.len();
    let own = cells.values.into_iter().map(|value| match value {
        Value::Text(text) => CqlValue::Text(text),
        Value::Number(number) => CqlValue::BigInt(number),
    });
    let common = [CqlValue::BigInt(cells.at), CqlValue::Boolean(cells.open), CqlValue::Text(cells.body)];
    let values = key(cells.key).into_iter().chain(common).chain(own).chain([CqlValue::BigInt(cells.at)]).collect();
    Write { verb: Verb::Save(cells.key.table), values, bytes }
}

fn line(cells: &Cells) -> Write {
    let (table, at) = (CqlValue::Text(cells.key.table.name().to_owned()), CqlValue::BigInt(cells.at));
    let [province, day, bucket, id] = key(cells.key);
    let (verb, values) = if cells.open {
        (Verb::OpenLine, vec![table, bucket, province, day, id, at])
    } else {
        (Verb::CloseLine, vec![at, table, bucket, province, day, id])
    };
    Write { verb, values, bytes: cells.key.id.as_str().len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn groups_lie_in_one_partition_and_lose_nothing() {
        let rows: Vec<Cells> = (0..10_000).map(|n| Cells::of(&conformance::large(n))).chain(conformance::samples().iter().map(Cells::of)).collect();
        let lines = rows.iter().filter(|cells| tables::opens(cells.key.table)).count();
        let expected = rows.len() + lines;
        let groups = groups(rows);
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), expected);
        assert!(groups.len() < expected / 20, "{} groups for {expected} statements", groups.len());
        for group in groups {
            let partition = |write: &Write| match write.verb {
                Verb::Save(table) => format!("{table:?} {:?}", &write.values[..3]),
                Verb::OpenLine => format!("{:?}", &write.values[..2]),
                Verb::CloseLine => format!("{:?}", &write.values[1..3]),
            };
            assert!(group.iter().all(|write| partition(write) == partition(&group[0])));
            assert!(group.len() <= COUNT_MAX && group.iter().map(|write| write.bytes).sum::<usize>() <= BYTES_MAX);
        }
    }
}
