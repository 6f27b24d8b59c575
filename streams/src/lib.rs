//! The roads of boomgate: which streams there are, and the port through which everything travels.
//!
//! Invariants
//! 1. What was acknowledged is stored   (`conformance::inbox::acknowledged_means_stored`).
//! 2. An append is one conditional write per partition: whoever holds an old state is refused   (`conformance::journal::a_stale_append_is_refused`).
//! 3. Trimming never empties a partition   (`conformance::journal::trimming_never_empties_a_partition`).
//!
//! Not here: what the messages mean (`rules`), what is done with them (`boomgate`).

mod bucket;
mod bus;
mod check;
#[cfg(test)]
mod conformance;
mod dead;
mod error;
mod jetstream;
mod memory;
pub mod provision;
pub mod server;
pub mod subject;
pub mod table;

pub use bucket::{Buckets, Entry};
pub use bus::{
    Answer, Append, Appended, BEAT_TTL, Beat, Bus, DeadLetter, Delivery, From, Intake, Listening, Look, Message, Offered, Reach, Reader, Stored,
    Told, owner,
};
pub use error::{Error, Kind};
pub use jetstream::{JetStream, Options};
pub use memory::Memory;
pub use server::Server;
pub use table::Declared;

/// The header by which an inbox knows a message that is sent twice, for a while.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
