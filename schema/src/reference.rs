//! Reference data: the operator's lots, lanes and rate tables.

pub use crate::rate::{RateTable, Step};

use crate::{
    Energy, LaneId, LotId, Moment, Token, VehicleClass,
    fact::{GroupId, LocalMinute, OperatorId, TimeBand},
    gate::Confidence,
    id::Province,
    rate::{Calendar, Tariff},
    time::Zone,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What the operator declares, as its file says it (TOML, YAML or JSON).
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
    /// Its lanes; one that has nothing to say beside its name can be its name alone. At a lane that is not among them a person is asked; where
    /// there are none at all, every name is a lane for everybody and both ways.
    pub lanes: Vec<LaneDeclared>,
    /// Whose it is. Bans and arrears count within an operator.
    #[serde(default = "the_operator")]
    pub operator: OperatorId,
    /// The groups of lots that it is in, for rights that hold in a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupId>,
    /// When cars are let in, by its own clock; none is always. Cars leave at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<TimeBand>,
    /// Whether it takes holders of a right or a reservation alone.
    #[serde(default)]
    pub holders_only: bool,
    /// Whether its spaces can be reserved.
    #[serde(default)]
    pub reservable: bool,
    /// Minutes to leave after a payment at no further price (`ExitGrace`).
    #[serde(default = "fifteen", skip_serializing_if = "is_fifteen")]
    pub exit_grace_min: u16,
    /// Within so many seconds a car crosses a lane with a passage sensor that was opened for it, or its space is free again.
    #[serde(default = "two_minutes", skip_serializing_if = "is_two_minutes")]
    pub pass_within_s: u16,
    /// What it does about what is not as it should be.
    #[serde(default, skip_serializing_if = "Policies::is_default")]
    pub policies: Policies,
    /// The channel that deducts fees by the plate (WeChat Pay's parking product); none where each driver pays by himself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deducts: Option<Deducts>,
}

/// A channel that deducts fees by the plate: it is told of each car that drives in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deducts {
    /// The channel's name.
    pub channel: Token<32>,
    /// How many minutes are free, as it tells the driver.
    #[serde(default)]
    pub free_min: u16,
}

const fn yes() -> bool {
    true
}

const fn fifteen() -> u16 {
    15
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_fifteen(minutes: &u16) -> bool {
    *minutes == fifteen()
}

fn the_operator() -> OperatorId {
    "operator".parse().expect("letters are a token")
}

const fn two_minutes() -> u16 {
    120
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_two_minutes(seconds: &u16) -> bool {
    *seconds == two_minutes()
}

impl LotDeclared {
    /// A lot of which nothing but its name is said: open, without spaces, lanes and prices, by UTC.
    pub fn named(lot: LotId) -> Self {
        Self {
            lot,
            province: Province(0),
            zone: "UTC".into(),
            capacity: 0,
            open: true,
            rate_table: None,
            lanes: Vec::new(),
            operator: the_operator(),
            groups: Vec::new(),
            hours: Vec::new(),
            holders_only: false,
            reservable: false,
            exit_grace_min: fifteen(),
            pass_within_s: two_minutes(),
            policies: Policies::default(),
            deducts: None,
        }
    }

    /// A lane by its name.
    pub fn lane(&self, lane: &LaneId) -> Option<&LaneDeclared> {
        self.lanes.iter().find(|declared| declared.lane == *lane)
    }
}

/// A lane as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "LaneSaid", into = "LaneSaid")]
pub struct LaneDeclared {
    /// Its name.
    pub lane: LaneId,
    /// Which way it is passed.
    pub direction: Direction,
    /// The classes that it serves; none is all.
    pub classes: Vec<VehicleClass>,
    /// The energies that it serves; none is all.
    pub energies: Vec<Energy>,
    /// Whether it tells when a car has crossed (`passed`); where it cannot, the decision counts.
    pub sensor: bool,
    /// Within so many seconds its device says that it lives; none where it never does.
    pub heartbeat_s: Option<u16>,
}

impl LaneDeclared {
    /// A lane for everybody and both ways.
    pub const fn named(lane: LaneId) -> Self {
        Self { lane, direction: Direction::Both, classes: Vec::new(), energies: Vec::new(), sensor: false, heartbeat_s: None }
    }
}

impl std::str::FromStr for LaneDeclared {
    type Err = <LaneId as std::str::FromStr>::Err;

    /// A lane by its name alone.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        name.parse().map(Self::named)
    }
}

/// Which way a lane is passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Cars come in.
    In,
    /// Cars leave.
    Out,
    /// Both.
    #[default]
    Both,
}

/// A lane as a file says it: its name, or a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum LaneSaid {
    Name(LaneId),
    Whole {
        lane: LaneId,
        #[serde(default)]
        direction: Direction,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        classes: Vec<VehicleClass>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        energies: Vec<Energy>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        sensor: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heartbeat_s: Option<u16>,
    },
}

impl From<LaneSaid> for LaneDeclared {
    fn from(said: LaneSaid) -> Self {
        match said {
            LaneSaid::Name(lane) => Self::named(lane),
            LaneSaid::Whole { lane, direction, classes, energies, sensor, heartbeat_s } => {
                Self { lane, direction, classes, energies, sensor, heartbeat_s }
            }
        }
    }
}

impl From<LaneDeclared> for LaneSaid {
    fn from(declared: LaneDeclared) -> Self {
        if declared == LaneDeclared::named(declared.lane) {
            return Self::Name(declared.lane);
        }
        let LaneDeclared { lane, direction, classes, energies, sensor, heartbeat_s } = declared;
        Self::Whole { lane, direction, classes, energies, sensor, heartbeat_s }
    }
}

/// What a lot does about what is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    /// What a car gets that is inside already (anti-passback).
    pub inside: Passback,
    /// What a car gets that owes something to the operator.
    pub arrears: Policy,
    /// A read less sure than this asks a person; 0 to 100.
    pub confidence_min: Confidence,
    /// Within so many seconds the same car at the same lane is the same read; once it was let out, at any exit of the lot.
    pub double_read_s: u16,
    /// What a car gets of which a fact did not come in time.
    pub missed: Missed,
}

impl Policies {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What to do about something that is not as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Open all the same.
    #[default]
    Allow,
    /// Ask a person.
    Ask,
    /// Keep closed.
    Refuse,
}

/// What to do about a car that is inside already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passback {
    /// Let it in; the old session is closed at nothing.
    Close,
    /// Let it in; the old session is closed and flagged for a person.
    Flag,
    /// Keep closed.
    #[default]
    Refuse,
}

/// What to do where a fact did not come in time, by its kind. Presence has no choice: it only ever flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Missed {
    /// Whether it is banned.
    pub bans: Policy,
    /// Whether it has a right.
    pub rights: Policy,
    /// Whether it owes something.
    pub arrears: Policy,
    /// Whether it has a reservation.
    pub reservations: Policy,
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

    /// Whether it lets cars in at a moment.
    pub fn is_open(&self, at: Moment) -> bool {
        let declared = &self.declared;
        declared.open && (declared.hours.is_empty() || declared.hours.iter().any(|band| band.covers(LocalMinute::of(&self.zone, at))))
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
            check(&lot).map_err(|what| wrong(format!("lot {name}: {what}")))?;
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

/// What is wrong with a lot by itself.
fn check(lot: &LotDeclared) -> Result<(), String> {
    if lot.capacity < 0 || lot.province.0 > 99 {
        return Err("capacity is at least 0 and province at most 99".into());
    }
    if let Some(lane) = lot.lanes.iter().find(|lane| lane.heartbeat_s == Some(0)) {
        return Err(format!("lane {}: heartbeat_s is at least 1, or left out where its device never tells that it lives", lane.lane));
    }
    for (at, lane) in lot.lanes.iter().enumerate() {
        if lot.lanes.iter().skip(at.saturating_add(1)).any(|other| other.lane == lane.lane) {
            return Err(format!("lane {} is declared twice: give each lane a name of its own", lane.lane));
        }
    }
    if let Some(band) = lot.hours.iter().find(|band| !band.is_sound()) {
        return Err(format!("hours {band:?}: days is the sum of 1 for Monday to 64 for Sunday, from_min below 1440, to_min at most 1440"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lot: &str) -> Result<LotDeclared, String> {
        let json = format!(r#"{{"lot": "a", "province": 44, "zone": "Asia/Shanghai", "capacity": 2, {lot}}}"#);
        let lot: LotDeclared = serde_json::from_str(&json).map_err(|error| error.to_string())?;
        Reference::resolve(Declared { lots: vec![lot.clone()], ..Declared::default() }).map_err(|error| error.what)?;
        Ok(lot)
    }

    #[test]
    fn a_lane_is_a_name_or_a_table() {
        let lot = read(r#""lanes": ["in", {"lane": "out", "direction": "out", "classes": ["large"]}]"#).expect("both can be read");
        assert_eq!(lot.lanes[0], LaneDeclared::named("in".parse().expect("a name")));
        assert_eq!((lot.lanes[1].direction, lot.lanes[1].classes.as_slice()), (Direction::Out, &[VehicleClass::Large][..]));
        let again = serde_json::to_string(&lot.lanes).expect("it can be written");
        assert_eq!(again, r#"["in",{"lane":"out","direction":"out","classes":["large"]}]"#);
    }

    #[test]
    fn a_lot_that_contradicts_itself_is_refused_by_name() {
        for (lot, said) in [
            (r#""lanes": ["in", "in"]"#, "lot a: lane in is declared twice"),
            (r#""lanes": [], "capacity": -1"#, "duplicate field"),
            (r#""lanes": [], "hours": [{"days": 0, "from_min": 0, "to_min": 1440}]"#, "lot a: hours"),
            (r#""lanes": [], "hours": [{"days": 127, "from_min": 1440, "to_min": 1440}]"#, "lot a: hours"),
            (r#""lanes": [], "policies": {"confidence_min": 101}"#, "101"),
            (r#""lanes": [], "polices": {}"#, "unknown field"),
            (r#""lanes": [{"lane": "in", "heartbeat_s": 0}]"#, "lot a: lane in: heartbeat_s"),
            (r#""lanes": [], "rate_table": "hourly""#, "lot a: no rate table"),
        ] {
            let refused = read(lot).expect_err(lot);
            assert!(refused.contains(said), "{lot}: {refused}");
        }
    }

    #[test]
    fn a_lot_is_open_in_its_own_hours() {
        let lot = read(r#""lanes": [], "hours": [{"days": 31, "from_min": 480, "to_min": 1200}]"#).expect("it can be read");
        let reference = Reference::resolve(Declared { lots: vec![lot], ..Declared::default() }).expect("it is whole");
        let lot = reference.lot(&"a".parse().expect("a name")).expect("it is there").clone();
        // 2026-11-23 is a Monday; Shanghai is 8 hours ahead of UTC.
        let monday = 1_795_392_000_000_000_i64;
        for (hour_utc, open) in [(-1, false), (0, true), (11, true), (12, false), (5 * 24, false)] {
            assert_eq!(lot.is_open(Moment(monday + hour_utc * 3_600_000_000)), open, "{hour_utc} h");
        }
    }
}
