//! The world outside of boomgate: a seeded city, its drivers and payment channels, recorded stays, load, and the oracle.
//!
//! Invariants
//! 1. This crate knows the words and the roads alone, never the rules: the oracle cannot borrow what it judges   (`Cargo.toml`).
//! 2. The same seed gives the same city, and over the in-memory bus the same run   (`city::tests::the_same_seed_gives_the_same_city`).
//!
//! Not here: faults (the simulation in `boomgate` makes them), rows (`boomgate verify` compares them).

pub mod city;
pub mod logs;
pub mod oracle;
pub mod replay;
pub mod simulators;
pub mod world;

pub use city::City;
pub use logs::Logs;
pub use oracle::{Terms, Verdict, judge};
pub use simulators::Simulators;
pub use world::{Pace, World};
