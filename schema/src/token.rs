//! Short names that can be a token of a subject, part of an id and a key of a row, without allocation.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// 1 to `N` characters of `[0-9A-Za-z_-]`, held in place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

/// Why a text is not a [`Token`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a name has 1 to {max} characters of [0-9A-Za-z_-]: rename {text:?}")]
pub struct NotAToken {
    max: usize,
    text: String,
}

impl<const N: usize> Token<N> {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

impl<const N: usize> FromStr for Token<N> {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let mut bytes = [0_u8; N];
        match (fits, bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (true, Some(room), Ok(len)) => {
                room.copy_from_slice(text.as_bytes());
                Ok(Self { bytes, len })
            }
            _ => Err(NotAToken { max: N, text: text.chars().take(80).collect() }),
        }
    }
}

impl<const N: usize> fmt::Display for Token<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Token<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> Serialize for Token<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Token<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<const N: usize>;
        impl<const N: usize> de::Visitor<'_> for Text<N> {
            type Value = Token<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "1 to {N} characters of [0-9A-Za-z_-]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Token<N>, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_break_a_subject_is_refused() {
        for bad in ["", "a.b", "a b", "*", ">", "粤", &"x".repeat(33)] {
            assert!(bad.parse::<Token<32>>().is_err(), "{bad:?}");
        }
        assert_eq!("lot-7_B".parse::<Token<32>>().map(|t| t.to_string()), Ok("lot-7_B".into()));
    }
}
