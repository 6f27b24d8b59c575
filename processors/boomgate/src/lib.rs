//! The binary's rooms: one loop for all processors, and the commands around it.
//!
//! The way of an input: `streams` hands it out, `input` reads it, `worker` gives its partition a turn, `turn` decides and appends it and
//! tells the lane, `save` brings the rows behind it. `takeover` is how a partition is begun and how it goes on after any refusal.

#[cfg(test)]
mod against_the_oracle;
pub mod audit;
pub mod auth;
pub mod background;
pub mod caller;
pub mod candidates;
pub mod config;
#[cfg(test)]
mod conformance;
pub mod connect;
pub mod deadletter;
pub mod demo;
pub mod desk;
pub mod document;
pub mod exceptions;
pub mod explain;
pub mod facts;
pub mod follow;
pub mod gateway;
pub mod http;
pub mod import;
pub mod inlet;
pub mod input;
pub mod live;
pub mod metrics;
pub mod payouts;
pub mod rates;
pub mod reconcile;
pub mod reconciler;
pub mod reference;
pub mod replay;
pub mod replica;
pub mod run;
pub mod running;
pub mod save;
pub mod settings;
pub mod settle;
pub mod silence;
pub mod state;
pub mod stock;
pub mod takeover;
#[cfg(test)]
mod trial;
pub mod turn;
pub mod verify;
pub mod worker;

/// The seam of waiting is the front doors' own.
pub use ::gateway::clock;
