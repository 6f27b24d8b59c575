//! What kind of vehicle stands at a lane: lanes, checks and rate lines tell them apart.

use serde::{Deserialize, Serialize};

/// The classes of a tariff, by size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VehicleClass {
    /// Motorcycles.
    Motorcycle,
    /// Cars; what no device says otherwise is one.
    #[default]
    Small,
    /// Lorries and coaches.
    Large,
}

/// What drives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Energy {
    /// Petrol, diesel or gas.
    #[default]
    Fuel,
    /// New energy: battery, plug-in hybrid or fuel cell.
    New,
}
