//! The front doors, and the way out: what comes over HTTP, checked, and stored before it is answered; and calls to payment channels.
//!
//! Invariants
//! 1. What is answered as handled is stored   (`webhook::tests::a_notification_is_answered_once_its_fact_is_stored`).
//! 2. What is not genuine, fresh and ours changes nothing   (`webhook::tests::what_is_not_genuine_changes_nothing`).
//! 3. Nobody holds more than a bounded part of us, for longer than a bounded time   (`doors::tests`).
//!
//! Not here: what a channel's words mean (`channels`), which money counts (`rules::payment`).

pub mod calls;
mod clock;
pub mod address;
pub mod api;
pub mod body;
pub mod doors;
pub mod error;
pub mod follow;
pub mod keys;
pub mod rate;
pub mod say;
pub mod tokens;
#[cfg(test)]
mod trial;
pub mod view;
pub mod webhook;

pub use calls::Caller;
pub use api::Api;
pub use doors::{Limits, serve};
pub use error::{Error, Kind};
pub use follow::Journals;
pub use say::{Desks, Outcome};
pub use tokens::Tokens;
pub use view::View;
pub use webhook::Webhooks;
