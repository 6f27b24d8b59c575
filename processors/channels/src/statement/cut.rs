//! A file in chunks of whole lines, hashed on the way.
//!
//! Invariants
//! 1. Chunks are the file, line by line, and each is bounded   (`tests::a_chunk_is_bounded`).
//! 2. What ends the file is in its last chunk, whole: nothing shorter than [`TAIL`] is ever cut off   (the same test).

use super::{Chunk, Reason, Refusal};
use sha1::{Digest, Sha1};
use std::io::{self, Read};

/// How long a chunk is: both it and what is made of it stay in a core's cache.
pub const CHUNK: usize = 512 * 1024;
/// What the last chunk has at least, if the file is as long: more than any summary.
pub const TAIL: usize = 8 * 1024;

/// A chunk that owns its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// The lines.
    pub bytes: Vec<u8>,
    /// Where they begin, in bytes.
    pub offset: u64,
    /// The number of the first, from 1.
    pub first_line: u32,
    /// Whether nothing follows.
    pub is_last: bool,
}

impl Piece {
    /// All of it.
    pub fn chunk(&self) -> Chunk<'_> {
        Chunk { bytes: &self.bytes, offset: self.offset, first_line: self.first_line }
    }
}

/// What cuts.
pub struct Cutter<R> {
    source: R,
    size: usize,
    carried: Vec<u8>,
    offset: u64,
    line: u32,
    is_over: bool,
    hash: Option<Sha1>,
    wanted: Option<String>,
}

impl<R: Read> Cutter<R> {
    /// Of a plain file, without a hash.
    pub fn new(source: R) -> Self {
        Self { source, size: CHUNK, carried: Vec::new(), offset: 0, line: 1, is_over: false, hash: None, wanted: None }
    }

    /// Hashes it, too; a hash that is wanted must be its own.
    #[must_use]
    pub fn hashed(self, wanted: Option<&str>) -> Self {
        Self { hash: Some(Sha1::new()), wanted: wanted.map(str::to_ascii_lowercase), ..self }
    }

    /// In chunks of another size; never shorter than what a last chunk has.
    #[must_use]
    pub fn in_chunks_of(self, size: usize) -> Self {
        Self { size: size.max(2 * TAIL), ..self }
    }

    /// The next chunk, in the room of one that is not needed any more; none at the end. The last one may be empty.
    pub fn next(&mut self, room: Vec<u8>) -> Result<Option<Piece>, Refusal> {
        if self.is_over {
            return Ok(None);
        }
        let mut bytes = room;
        let carried = self.carried.len();
        // A room that is long enough already is not cleared: every byte that stays is written.
        bytes.resize(self.size, 0);
        bytes[..carried].copy_from_slice(&self.carried);
        let mut filled = carried;
        while filled < self.size {
            match self.source.read(&mut bytes[filled..]) {
                Ok(0) => {
                    self.is_over = true;
                    break;
                }
                Ok(more) => {
                    if let Some(hash) = &mut self.hash {
                        hash.update(&bytes[filled..filled + more]);
                    }
                    filled += more;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let end = if self.is_over {
            filled
        } else {
            let before = memchr::memrchr(b'\n', &bytes[..self.size - TAIL]);
            before.map(|at| at + 1).ok_or_else(|| Refusal::at(self.line, "", Reason::LongLine(self.size - TAIL)))?
        };
        self.carried.clear();
        self.carried.extend_from_slice(&bytes[end..filled]);
        bytes.truncate(end);
        let piece = Piece { offset: self.offset, first_line: self.line, is_last: self.is_over, bytes };
        let lines = u32::try_from(memchr::memchr_iter(b'\n', &piece.bytes).count()).unwrap_or(u32::MAX);
        self.offset += end as u64;
        self.line = self.line.checked_add(lines).ok_or_else(|| Refusal::whole(Reason::LongLine(self.size)))?;
        Ok(Some(piece))
    }

    /// The hash of all that was cut, as a text; none where nobody asked for it.
    pub fn sha1(&self) -> Option<String> {
        let hash = self.hash.clone()?.finalize();
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        Some(hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }

    /// Whether the hash is the one that was wanted.
    pub fn agrees(&self) -> Result<(), Refusal> {
        match (self.sha1(), &self.wanted) {
            (Some(found), Some(wanted)) if found != *wanted => Err(Refusal::whole(Reason::Hash { found, wanted: wanted.clone() })),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_bounded() {
        let text = (0..20_000).map(|line| format!("line {line} {}\n", "x".repeat(line % 90))).collect::<Vec<_>>().concat();
        for size in [2 * TAIL, 3 * TAIL + 1, 40_000, 10_000_000] {
            let mut cutter = Cutter::new(text.as_bytes()).hashed(None).in_chunks_of(size);
            let mut pieces = Vec::new();
            while let Some(piece) = cutter.next(Vec::new()).expect("it can be cut") {
                pieces.push(piece);
            }
            assert_eq!(pieces.iter().map(|piece| &piece.bytes[..]).collect::<Vec<_>>().concat(), text.as_bytes());
            let mut whole = Cutter::new(text.as_bytes()).hashed(None).in_chunks_of(text.len() * 2);
            assert!(whole.next(Vec::new()).is_ok_and(|piece| piece.is_some_and(|piece| piece.is_last)));
            assert_eq!(cutter.sha1(), whole.sha1());
            let (last, others) = pieces.split_last().expect("a piece");
            assert!(last.is_last && last.bytes.len() >= TAIL.min(text.len()));
            for piece in &pieces {
                assert!(piece.bytes.len() <= size && piece.is_last == std::ptr::eq(piece, last));
                let before = text[..usize::try_from(piece.offset).expect("small")].lines().count();
                assert_eq!(before + 1, piece.first_line as usize);
            }
            assert!(others.iter().all(|piece| piece.bytes.ends_with(b"\n")));
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let endless = vec![b'x'; 5 * TAIL];
        let refused = Cutter::new(&endless[..]).in_chunks_of(0).next(Vec::new()).expect_err("it has no end");
        assert_eq!(refused, Refusal::at(1, "", Reason::LongLine(TAIL)));
    }
}
