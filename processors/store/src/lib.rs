//! What is saved behind the log and asked for by key: the Store port; what is known of vehicles, close at hand: the Cache port.
//!
//! Invariants
//! 1. A row can be written twice, late or out of order, and the newest wins   (`conformance::the_newest_row_wins`).
//! 2. A mark never goes back   (`conformance::an_older_mark_does_not_overwrite`).
//! 3. What was confirmed can be read   (`conformance::a_confirmed_row_is_read_back`).
//!
//! Not here: what a row means (`rules`), when it is saved (`boomgate`). The store decides nothing.

pub mod cache;
#[cfg(test)]
mod conformance;
mod cql;
mod error;
mod location;
mod port;
#[cfg(test)]
mod production;
mod sqlite;
mod tables;

pub use cql::{Cql, Options};
pub use error::{Error, Kind};
pub use location::{Location, NotALocation, open, provision};
pub use port::{Answer, Mark, Part, Row, Store};
pub use sqlite::Sqlite;
