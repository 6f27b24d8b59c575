//! The words of boomgate: what is said on the roads and kept in the store.
//!
//! Invariants
//! 1. What was written once can be read for ever: one golden file per event and version   (`wire::tests`).
//! 2. An id alone tells province, local day and partition of its row   (`id::tests`).
//! 3. Money is whole minor units and never a float   (lint `float_arithmetic`).
//!
//! Not here: what the words mean (`rules`), where they travel (`streams`), where they are kept (`store`).
#![deny(clippy::float_arithmetic)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

pub mod channel;
pub mod desk;
pub mod effect;
pub mod entity;
pub mod exception;
pub mod fact;
pub mod gate;
pub mod id;
pub mod journal;
pub mod ledger;
pub mod money;
pub mod payout;
pub mod plate;
pub mod rate;
pub mod reference;
pub mod statement;
pub mod time;
pub mod token;
pub mod vehicle;
pub mod wire;
pub mod work;

pub use channel::{ChannelEvent, ChannelFact};
pub use desk::DeskEvent;
pub use effect::{ChannelCall, Effect, EntryNotice, LaneCommand, RefundCall, Verdict};
pub use entity::{Entity, Handle, Key, Table};
pub use exception::{StatementEvent, StatementFact};
pub use gate::{Credential, GateEvent, GateKind};
pub use id::{Id, Partition};
pub use journal::{Cause, Event, Inbox, Journal, Recorded};
pub use money::{Currency, Money};
pub use reference::Reference;
pub use time::{Day, Moment, Zone};
pub use token::Token;
pub use vehicle::{Energy, VehicleClass};

/// The name of a lot: a subject token, chosen by the operator.
pub type LotId = Token<32>;
/// The name of a lane within its lot.
pub type LaneId = Token<32>;
/// The id that a device gave to its event; unique per lane together with the event's time.
pub type EventId = Token<64>;
