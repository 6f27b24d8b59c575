//! Reference data: the operator's lots, lanes and rate tables.

use crate::{LaneId, LotId, id::Province, money::Currency, time::Zone};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What the operator declares, as its file says it (TOML or JSON).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// The lots.
    #[serde(default)]
    pub lots: Vec<LotDeclared>,
    /// The rate tables.
    #[serde(default)]
    pub rate_tables: Vec<RateTable>,
}

/// A lot as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LotDeclared {
    /// Its name.
    pub lot: LotId,
    /// The first two digits of its GB/T 2260 code; 0 outside of it.
    pub province: Province,
    /// IANA name of its time zone, or a fixed offset.
    pub zone: Arc<str>,
    /// How many cars it holds.
    pub capacity: i64,
    /// Whether it takes cars now.
    #[serde(default = "yes")]
    pub open: bool,
    /// The id of its rate table; none where it has none, and then its exits ask a person.
    #[serde(default)]
    pub rate_table: Option<Arc<str>>,
    /// Its lanes.
    pub lanes: Vec<LaneId>,
}

const fn yes() -> bool {
    true
}

/// A rate table in its first depth. Durations are minutes, prices minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateTable {
    /// Its name.
    pub id: Arc<str>,
    /// Its version: prices are explained by it for ever.
    pub version: u32,
    /// Its currency.
    pub currency: Currency,
    /// A stay of at most this many minutes is free; a longer one is charged from its first minute.
    #[serde(default)]
    pub free_min: i64,
    /// The steps, from the first minute of each 24 hours; the last one has no end.
    pub steps: Vec<Step>,
    /// No 24 hours from entry cost more than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_per_24h: Option<i64>,
}

/// A step: from where the one before ended to `to_min`, each started unit costs `price`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The minute where it ends; none for the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_min: Option<i64>,
    /// Minutes of a unit.
    pub unit_min: i64,
    /// Price of a started unit, in minor units.
    pub price: i64,
}

/// A lot with what belongs to it resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct LotReference {
    /// As declared.
    pub declared: LotDeclared,
    /// Its time zone.
    pub zone: Zone,
    /// Its rate table.
    pub rates: Option<Arc<RateTable>>,
}

/// Reference data that is whole: every name in it resolves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    lots: BTreeMap<LotId, Arc<LotReference>>,
}

/// Why reference data is refused whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reference data is refused whole: {what}")]
pub struct NotWhole {
    /// What is wrong, and where.
    pub what: String,
}

impl Reference {
    /// Resolves what was declared, or refuses it whole.
    pub fn resolve(declared: Declared) -> Result<Self, NotWhole> {
        let wrong = |what: String| NotWhole { what };
        let mut tables = BTreeMap::new();
        for table in declared.rate_tables {
            table.check().map_err(|what| wrong(format!("rate table {}: {what}", table.id)))?;
            if let Some(twice) = tables.insert(table.id.clone(), Arc::new(table)) {
                return Err(wrong(format!("rate table {} is declared twice", twice.id)));
            }
        }
        let mut lots = BTreeMap::new();
        for lot in declared.lots {
            let name = lot.lot;
            let zone = Zone::named(&lot.zone)
                .ok_or_else(|| wrong(format!("lot {name}: no time zone {:?}; name one of the IANA list, as Asia/Shanghai", lot.zone)))?;
            if lot.capacity < 0 || lot.province.0 > 99 {
                return Err(wrong(format!("lot {name}: capacity is at least 0 and province at most 99")));
            }
            let rates = match &lot.rate_table {
                None => None,
                Some(id) => Some(tables.get(id).cloned().ok_or_else(|| wrong(format!("lot {name}: no rate table {id:?} is declared")))?),
            };
            if lots.insert(name, Arc::new(LotReference { declared: lot, zone, rates })).is_some() {
                return Err(wrong(format!("lot {name} is declared twice")));
            }
        }
        Ok(Self { lots })
    }

    /// A lot by its name.
    pub fn lot(&self, lot: &LotId) -> Option<&Arc<LotReference>> {
        self.lots.get(lot)
    }

    /// All lots, by name.
    pub fn lots(&self) -> impl Iterator<Item = &Arc<LotReference>> {
        self.lots.values()
    }
}

impl RateTable {
    fn check(&self) -> Result<(), String> {
        let mut from = 0;
        for (at, step) in self.steps.iter().enumerate() {
            let last = at.saturating_add(1) == self.steps.len();
            if step.unit_min <= 0 || step.price < 0 {
                return Err(format!("step {at}: unit_min is above 0 and price not below"));
            }
            match step.to_min {
                Some(to) if last => {
                    return Err(format!("step {at} is the last one and ends at {to}: leave to_min out, or what is longer has no price"));
                }
                None if !last => return Err(format!("step {at} has no end, and another follows it")),
                Some(to) if to <= from || to > 1440 => {
                    return Err(format!("step {at} ends at {to}: it must end after {from} and within 1440 minutes"));
                }
                Some(to) => from = to,
                None => {}
            }
        }
        if self.steps.is_empty() || self.free_min < 0 || self.cap_per_24h.is_some_and(|cap| cap < 0) {
            return Err("needs at least one step, and free_min and cap_per_24h not below 0".into());
        }
        Ok(())
    }
}
