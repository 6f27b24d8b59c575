//! Gate events: what a lane device saw, as it says it.

use crate::{Energy, EventId, LaneId, LotId, Moment, VehicleClass, Verdict, id};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What identifies a car at a lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Credential {
    /// What kind of thing was read.
    pub kind: CredentialKind,
    /// The text of the plate, tag or ticket, as read; 1 to 32 characters.
    pub text: Arc<str>,
    /// The colour class of a plate; the same text can exist in two colours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<Colour>,
}

/// The kinds of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A licence plate.
    Plate,
    /// An ETC tag.
    Tag,
    /// A printed or QR ticket of an unplated car.
    Ticket,
}

/// The colour class of a plate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Small cars.
    Blue,
    /// New energy.
    Green,
    /// Large cars.
    Yellow,
    /// Police, embassy and others.
    White,
    /// Foreign and cross-border.
    Black,
}

impl Colour {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Blue, Self::Green, Self::Yellow, Self::White, Self::Black];
}

impl Credential {
    /// The longest text of a credential, in characters.
    pub const TEXT_MAX: usize = 32;

    /// A plate in a colour.
    pub fn plate(text: &str, colour: Colour) -> Self {
        Self { kind: CredentialKind::Plate, text: text.into(), colour: Some(colour) }
    }

    /// What is wrong with its text, and what to do about that.
    pub fn check(&self) -> Result<(), String> {
        let length = self.text.chars().count();
        if length == 0 || length > Self::TEXT_MAX {
            return Err(format!("the credential has {length} characters: it needs 1 to {}", Self::TEXT_MAX));
        }
        Ok(())
    }

    /// The text with its middle hidden, for logs and errors.
    pub fn masked(&self) -> String {
        let count = self.text.chars().count();
        self.text.chars().enumerate().map(|(i, c)| if i < 2 || i.saturating_add(2) > count { c } else { '*' }).collect()
    }
}

/// What happened at the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// A car asks to come in.
    Entry,
    /// A car asks to leave.
    Exit,
    /// Somebody asks, at a pay station, what its stay costs until now.
    Price,
    /// A car has crossed the lane, by its passage sensor.
    Passed,
}

impl GateKind {
    /// The token of the subject.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Exit => "exit",
            Self::Price => "price",
            Self::Passed => "passed",
        }
    }
}

/// One observation at one lane: the payload of `gate.<lot>.<lane>.<kind>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateEvent {
    /// The device's id of this event: the same when it is sent again.
    pub id: EventId,
    /// The lot.
    pub lot: LotId,
    /// The lane.
    pub lane: LaneId,
    /// What happened.
    pub kind: GateKind,
    /// When the device saw it, by its own clock; microseconds since 1970 in UTC.
    pub seen_at: Moment,
    /// Who it was.
    pub credential: Credential,
    /// The vehicle's class, where the device tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<VehicleClass>,
    /// What drives it, where the device tells it; a plate tells it too ([`Credential::energy`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
    /// How sure the device is of what it read, where it tells that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// What the lane decided by itself, where it had no answer in time: it is told, and waits for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Verdict>,
}

/// How sure a device is of a read: 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub struct Confidence(u8);

/// Why a number is not a [`Confidence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a confidence is 0 to 100, not {0}: scale what the device says")]
pub struct NotAConfidence(u8);

impl TryFrom<u8> for Confidence {
    type Error = NotAConfidence;

    fn try_from(percent: u8) -> Result<Self, NotAConfidence> {
        if percent <= 100 { Ok(Self(percent)) } else { Err(NotAConfidence(percent)) }
    }
}

impl From<Confidence> for u8 {
    fn from(confidence: Confidence) -> Self {
        confidence.0
    }
}

impl GateEvent {
    /// The lane of who asks for a price on the pay page: no device stands there, and no lot need declare it.
    pub fn pay_page() -> LaneId {
        "pay-page".parse().expect("letters are a token")
    }

    /// The vehicle's class: what the device says, else a car.
    pub fn vehicle_class(&self) -> VehicleClass {
        self.class.unwrap_or_default()
    }

    /// What drives it: what the device says, else what the plate tells.
    pub fn vehicle_energy(&self) -> Energy {
        self.energy.or_else(|| self.credential.energy()).unwrap_or_default()
    }

    /// The subject that a device publishes this event on.
    pub fn subject(&self) -> String {
        format!("gate.{}.{}.{}", self.lot, self.lane, self.kind.as_str())
    }

    /// What tells this event from all others of the inbox, in 20 characters.
    pub fn key(&self) -> String {
        id::digest(&["gate", self.lot.as_str(), self.lane.as_str(), self.id.as_str(), &self.seen_at.0.to_string()], 20)
    }
}
