//! The front doors, and the way out: what comes over HTTP, checked, and stored before it is answered; and calls to payment channels.
//!
//! Invariants
//! 1. What is answered as handled is stored   (`webhook::tests::a_notification_is_answered_once_its_fact_is_stored`).
//! 2. What is not genuine, fresh and ours changes nothing   (`webhook::tests::what_is_not_genuine_changes_nothing`).
//! 3. Nobody holds more than a bounded part of us, for longer than a bounded time   (`doors::tests`).
//!
//! Not here: what a channel's words mean (`channels`), which money counts (`rules::payment`).

pub mod address;
pub mod api;
pub mod body;
pub mod calls;
pub mod clock;
pub mod device;
pub mod doors;
pub mod ear;
pub mod error;
pub mod follow;
pub mod keys;
pub mod pay;
pub mod rate;
pub mod say;
pub mod tokens;
#[cfg(test)]
mod trial;
pub mod view;
pub mod webhook;

pub use address::Proxies;
pub use api::Api;
pub use calls::Caller;
pub use device::{Devices, Lanes};
pub use doors::{Limits, serve};
pub use ear::Ear;
pub use error::{Error, Kind};
pub use follow::Journals;
pub use pay::{Behind, Pages};
pub use say::{Desks, Outcome};
pub use tokens::Tokens;
pub use view::View;
pub use webhook::Webhooks;
