//! The binary's rooms: one loop for all processors, and the commands around it.

pub mod clock;
pub mod config;
pub mod http;
pub mod input;
pub mod metrics;
pub mod replica;
pub mod run;
pub mod save;
pub mod settings;
pub mod state;
pub mod takeover;
pub mod turn;
pub mod worker;
