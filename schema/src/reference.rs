//! Reference data: the operator's lots, lanes and rate tables.

pub use crate::rate::{RateTable, Step};

use crate::{
    LaneId, LotId,
    id::Province,
    rate::{Calendar, Tariff},
    time::Zone,
};
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
    /// The calendars that rate tables name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calendars: Vec<Calendar>,
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

/// A lot with what belongs to it resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct LotReference {
    /// As declared.
    pub declared: LotDeclared,
    /// Its time zone.
    pub zone: Zone,
    /// Its rate table, in all its versions.
    pub tariff: Option<Arc<Tariff>>,
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

impl LotReference {
    /// The newest version of its rate table.
    pub fn rates(&self) -> Option<&Arc<RateTable>> {
        self.tariff.as_ref().and_then(|tariff| tariff.newest())
    }
}

impl Reference {
    /// Resolves what was declared, or refuses it whole.
    pub fn resolve(declared: Declared) -> Result<Self, NotWhole> {
        let wrong = |what: String| NotWhole { what };
        let mut versions: BTreeMap<Arc<str>, Vec<Arc<RateTable>>> = BTreeMap::new();
        for table in declared.rate_tables {
            versions.entry(table.id.clone()).or_default().push(Arc::new(table));
        }
        let mut tariffs = BTreeMap::new();
        for (id, tables) in versions {
            let tariff = Tariff::resolve(&tables, &declared.calendars).map_err(|error| wrong(error.to_string()))?;
            tariffs.insert(id, Arc::new(tariff));
        }
        let mut lots = BTreeMap::new();
        for lot in declared.lots {
            let name = lot.lot;
            let zone = Zone::named(&lot.zone)
                .ok_or_else(|| wrong(format!("lot {name}: no time zone {:?}; name one of the IANA list, as Asia/Shanghai", lot.zone)))?;
            if lot.capacity < 0 || lot.province.0 > 99 {
                return Err(wrong(format!("lot {name}: capacity is at least 0 and province at most 99")));
            }
            let tariff = match &lot.rate_table {
                None => None,
                Some(id) => Some(tariffs.get(id).cloned().ok_or_else(|| wrong(format!("lot {name}: no rate table {id:?} is declared")))?),
            };
            if lots.insert(name, Arc::new(LotReference { declared: lot, zone, tariff })).is_some() {
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
