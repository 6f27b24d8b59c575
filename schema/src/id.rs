//! Ids: derived from what they name, so that the same input gives the same id on every machine, for ever.
//!
//! Layout: a letter (what it is) · province, 2 digits (GB/T 2260; 00 outside of it) · local day of birth, `yymmdd` ·
//! partition, 2 digits · 16 characters of base 62 (95 bits of SHA-256). 27 characters in all; an attempt appends 2, and a ledger posting has 5 of its window
//! before the last 16.

use crate::{Day, Token};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// An id as it travels: at most 32 characters of `[0-9A-Za-z]`.
pub type Id = Token<32>;

/// The first two digits of a GB/T 2260 code (44 is Guangdong); 0 for a lot outside of it or unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Province(pub u8);

impl fmt::Display for Province {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

/// One of the 64 parts of every journal; all about a lot has the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub u8);

impl Partition {
    /// How many there are, always.
    pub const COUNT: u8 = 64;

    /// The partition of a lot: FNV-1a (32 bits) of its id, mod 64, as nats-server's `partition(64,1)` computes it.
    pub fn of_lot(lot: &str) -> Self {
        let hash = lot.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        const { assert!(Self::COUNT == 64) };
        Self(hash.to_le_bytes()[0] & 0x3f)
    }

    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What an id names; its letter is the id's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A session.
    Session = b'S',
    /// An exit that waits for its entry.
    Waiting = b'W',
    /// An order.
    Order = b'O',
    /// A refund.
    Refund = b'R',
    /// A ledger posting.
    Posting = b'L',
    /// A lane command.
    Command = b'C',
    /// A settlement statement.
    Statement = b'T',
    /// An exception of a reconciliation.
    Exception = b'X',
}

/// Where the row of an id lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Province of the lot.
    pub province: Province,
    /// Local day of birth.
    pub day: Day,
    /// Partition of the lot, which is the bucket of its rows.
    pub partition: Partition,
}

/// The id of `kind` at `place` that `parts` determine.
pub fn derive(kind: Kind, place: Place, parts: &[&str]) -> Id {
    let text = format!("{}{}{}{:02}{}", char::from(kind as u8), place.province, place.day, place.partition.0, digest(parts, 16));
    text.parse().expect("27 letters and digits are a token")
}

/// `len` characters of base 62 over SHA-256 of the parts; each part goes in with its length, so that no two lists collide.
pub fn digest(parts: &[&str], len: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let bytes = hash.finalize();
    let mut number = bytes.iter().take(16).fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(len);
    for _ in 0..len.min(21) {
        text.push(usize::try_from(number % 62).ok().and_then(|at| digits.get(at)).map_or('0', |digit| char::from(*digit)));
        number /= 62;
    }
    text
}

/// The place that an id (or an attempt's longer one) tells; none where it is not an id of ours.
pub fn place(id: &str) -> Option<Place> {
    let number = |from: usize, to: usize| id.get(from..to).filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    let partition = number(9, 11)?.parse().ok().filter(|p| *p < Partition::COUNT)?;
    id.starts_with(|c: char| c.is_ascii_uppercase()).then_some(())?;
    (27..=32).contains(&id.len()).then_some(())?;
    Some(Place { province: Province(number(1, 3)?.parse().ok()?), day: Day(number(3, 9)?.parse().ok()?), partition: Partition(partition) })
}

/// The number under which a payment is tried at a channel (`out_trade_no`): the order's id and the attempt, 29 characters.
pub fn attempt(order: Id, attempt: u16) -> Id {
    format!("{order}{:02}", attempt % 100).parse().expect("29 letters and digits are a token")
}

/// The order that an attempt belongs to; none where the text is no attempt of ours.
pub fn order_of(attempt: &str) -> Option<Id> {
    let order = attempt.get(..27).filter(|order| order.starts_with('O') && attempt.len() == 29)?;
    place(order)?;
    order.parse().ok()
}

/// The number of an attempt within its order; none where the text is no attempt of ours.
pub fn attempt_number(attempt: Id) -> Option<u16> {
    order_of(attempt.as_str())?;
    attempt.as_str().get(27..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { province: Province(44), day: Day(261_123), partition: Partition(7) };

    #[test]
    fn an_id_tells_where_its_row_is() {
        let id = derive(Kind::Order, PLACE, &["session", "1"]);
        assert_eq!(id.as_str(), "O4426112307VZx3MdpKtIUVlfy7");
        assert_eq!(place(id.as_str()), Some(PLACE));
        let attempt = attempt(id, 3);
        assert_eq!(order_of(attempt.as_str()), Some(id));
        assert_eq!((attempt_number(attempt), attempt_number(id)), (Some(3), None));
        assert_eq!(place(attempt.as_str()), Some(PLACE));
    }

    #[test]
    fn parts_cannot_be_shifted_into_each_other() {
        assert_ne!(derive(Kind::Session, PLACE, &["ab", "c"]), derive(Kind::Session, PLACE, &["a", "bc"]));
    }

    #[test]
    fn what_is_no_id_has_no_place() {
        for bad in ["", "O44", "o4426112307VZx3MdpKtIUVlfy7", "O4426112364VZx3MdpKtIUVlfy7", "粤B粤B粤B粤B粤B粤B粤B粤B粤B"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_partition_is_fnv_1a_as_the_server_computes_it() {
        // Published vectors of FNV-1a, 32 bits: "" 811c9dc5, "a" e40c292c, "foobar" bf9cf968.
        assert_eq!(Partition::of_lot(""), Partition(0x05));
        assert_eq!(Partition::of_lot("a"), Partition(0x2c));
        assert_eq!(Partition::of_lot("foobar"), Partition(0x28));
    }
}
