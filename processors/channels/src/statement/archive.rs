//! What statements come in: plain files, gzip, and zip with names in GBK.
//!
//! A zip is read by its directory (PKWARE's APPNOTE, 4.3), the one entry that is the statement, stored or deflated. Nothing here believes a size before it
//! has read as much, and nothing unfolds beyond what a statement can: a hundredfold and a mebibyte, and 16 GiB.
//!
//! Invariants
//! 1. What was packed comes out, or the archive is refused   (`tests::what_was_packed_comes_out`).
//! 2. Cut short anywhere it is refused   (`tests::an_archive_cut_short_is_refused`).
//! 3. It unfolds to no more than statements do   (`tests::a_bomb_is_refused`).

use super::{Form, Reason, Refusal, Stop};
use encoding_rs::GBK;
use flate2::{
    Crc,
    read::{DeflateDecoder, MultiGzDecoder},
};
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// How much more comes out of an archive than is in it, at most; genuine statements unfold ten- to twentyfold.
const RATIO_MAX: u64 = 100;
/// What is allowed beyond the ratio, so that small files may be as repetitive as they like.
const SLACK: u64 = 1024 * 1024;
/// What comes out of an archive at most: forty million lines.
pub const UNPACKED_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// How large the directory of an archive may be.
const DIRECTORY_MAX: u64 = 1024 * 1024;
/// The record at the end of a zip, without its comment.
const END: usize = 22;
/// The head of an entry in the directory, and before its content.
const CENTRAL: usize = 46;
const LOCAL: usize = 30;

/// What a file comes in, and its plain content.
pub struct Unpacked<R> {
    /// The plain content.
    pub content: Content<R>,
    /// The name of the entry, where it is one of an archive.
    pub entry: Option<String>,
}

/// Plain content, from the beginning.
pub enum Content<R> {
    /// As it is.
    Plain(R),
    /// Unpacked on the way.
    Packed(Box<dyn Read + Send>),
}

impl<R: Read> Read for Content<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(room),
            Self::Packed(source) => source.read(room),
        }
    }
}

/// Opens a file by how it begins.
pub fn open<R: Read + Seek + Send + 'static>(form: &Form, mut file: R) -> Result<Unpacked<R>, Refusal> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    if magic.starts_with(&[0x1f, 0x8b]) {
        let content = Bounded::new(MultiGzDecoder::new(BufReader::with_capacity(128 * 1024, file)), length);
        return Ok(Unpacked { content: Content::Packed(Box::new(content)), entry: None });
    }
    if magic.starts_with(b"PK") {
        return unzip(form, file, length);
    }
    Ok(Unpacked { content: Content::Plain(file), entry: None })
}

/// A reader that gives no more than an archive of a size may hold.
struct Bounded<R> {
    inner: R,
    left: u64,
    most: u64,
}

impl<R> Bounded<R> {
    fn new(inner: R, packed: u64) -> Self {
        let most = packed.saturating_mul(RATIO_MAX).saturating_add(SLACK).min(UNPACKED_MAX);
        Self { inner, left: most, most }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(room)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| Stop::with(Reason::Bomb(self.most)))?;
        Ok(read)
    }
}

/// An entry, as the directory describes it.
struct Entry {
    name: String,
    method: u16,
    sum: u32,
    packed: u64,
    plain: u64,
    at: u64,
}

fn damaged(what: &str) -> Refusal {
    Refusal::whole(Reason::Damaged(what.to_owned()))
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn size(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn unzip<R: Read + Seek + Send + 'static>(form: &Form, mut file: R, length: u64) -> Result<Unpacked<R>, Refusal> {
    let mut entries = directory(&mut file, length)?;
    let names = || entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ");
    let chosen = entries.iter().position(|entry| (form.is_named)(&entry.name));
    let chosen = chosen.or_else(|| (entries.len() == 1).then_some(0)).ok_or_else(|| Refusal::whole(Reason::NoEntry(names())))?;
    let entry = entries.swap_remove(chosen);
    let mut head = [0; LOCAL];
    file.seek(SeekFrom::Start(entry.at))?;
    file.read_exact(&mut head)?;
    if !head.starts_with(b"PK\x03\x04") {
        return Err(damaged("its directory points to no entry"));
    }
    file.seek(SeekFrom::Start(entry.at + (LOCAL + size(&head, 26) + size(&head, 28)) as u64))?;
    let packed = BufReader::with_capacity(128 * 1024, file.take(entry.packed));
    let content: Box<dyn Read + Send> = match entry.method {
        0 => Box::new(packed),
        8 => Box::new(DeflateDecoder::new(packed)),
        _ => return Err(damaged("it is packed in a way that is not known")),
    };
    let checked = Checked { inner: Bounded::new(content, entry.packed), sum: Crc::new(), left: entry.plain, expected: entry.sum };
    Ok(Unpacked { content: Content::Packed(Box::new(checked)), entry: Some(entry.name) })
}

/// The entries of an archive.
fn directory<R: Read + Seek>(file: &mut R, length: u64) -> Result<Vec<Entry>, Refusal> {
    let reach = length.min(0xffff + END as u64);
    file.seek(SeekFrom::Start(length - reach))?;
    let mut tail = Vec::new();
    file.by_ref().take(reach).read_to_end(&mut tail)?;
    let at = memchr::memmem::rfind(&tail, b"PK\x05\x06").filter(|at| tail.len() - at >= END).ok_or_else(|| Refusal::whole(Reason::Truncated))?;
    let end = &tail[at..];
    if end.len() != END + size(end, 20) {
        return Err(Refusal::whole(Reason::Truncated));
    }
    let (count, bytes, begin) = (size(end, 10), number(end, 12, 4), number(end, 16, 4));
    if size(end, 8) != count || size(end, 4) != 0 {
        return Err(damaged("it is one part of several"));
    }
    if bytes > DIRECTORY_MAX {
        return Err(damaged("its directory is too large for a statement's"));
    }
    file.seek(SeekFrom::Start(begin))?;
    let mut directory = Vec::new();
    file.by_ref().take(bytes).read_to_end(&mut directory)?;
    let mut rest = &directory[..];
    let mut entries = Vec::new();
    for _ in 0..count {
        if rest.len() < CENTRAL || !rest.starts_with(b"PK\x01\x02") {
            return Err(damaged("its directory is not one"));
        }
        let (flags, named) = (size(rest, 8), size(rest, 28));
        let whole = CENTRAL + named + size(rest, 30) + size(rest, 32);
        let name = rest.get(CENTRAL..CENTRAL + named).filter(|_| whole <= rest.len()).ok_or_else(|| damaged("its directory is cut short"))?;
        if flags & 1 != 0 {
            return Err(damaged("it is encrypted"));
        }
        let (packed, plain, at) = (number(rest, 20, 4), number(rest, 24, 4), number(rest, 42, 4));
        if [packed, plain, at].contains(&0xffff_ffff) {
            return Err(damaged("it is a ZIP64, which no channel makes"));
        }
        // The flag says that a name is in UTF-8; without it names are in GBK.
        let name = if flags & 0x800 != 0 { String::from_utf8_lossy(name).into_owned() } else { GBK.decode(name).0.into_owned() };
        let sum = u32::from_le_bytes([rest[16], rest[17], rest[18], rest[19]]);
        let method = u16::from_le_bytes([rest[10], rest[11]]);
        entries.push(Entry { name, method, sum, packed, plain, at });
        rest = &rest[whole..];
    }
    Ok(entries)
}

/// A reader that compares what came with the size and sum that were told, at its end.
struct Checked<R> {
    inner: R,
    sum: Crc,
    left: u64,
    expected: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() {
            return Ok(0);
        }
        let read = self.inner.read(room)?;
        self.sum.update(&room[..read]);
        let wrong = |what: &str| Err(Stop::with(Reason::Damaged(what.to_owned())));
        match self.left.checked_sub(read as u64) {
            None => return wrong("more is in it than it says"),
            Some(left) => self.left = left,
        }
        match read {
            0 if self.left > 0 => Err(Stop::with(Reason::Truncated)),
            0 if self.sum.sum() != self.expected => wrong("its sum (CRC-32) is another"),
            _ => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{alipay, wechat};
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder},
    };
    use std::io::{Cursor, Write};

    fn deflated(content: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    fn gzipped(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    /// An archive of files by their names, in GBK; `method` 8 deflates.
    pub fn zip(files: &[(&str, &[u8])], method: u8) -> Vec<u8> {
        let le = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
        let (mut archive, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in files {
            let (name, at) = (GBK.encode(name).0, le(archive.len()));
            let packed = if method == 8 { deflated(content) } else { content.to_vec() };
            let mut sum = Crc::new();
            sum.update(content);
            let told = [
                &[20, 0, 0, 0, method, 0, 0, 0, 0x21, 0][..],
                &sum.sum().to_le_bytes(),
                &le(packed.len()),
                &le(content.len()),
                &le(name.len())[..2],
                &[0, 0],
            ]
            .concat();
            archive.extend([b"PK\x03\x04", &told[..], &name, &packed].concat());
            directory.extend([b"PK\x01\x02\x14\x00", &told[..], &[0; 10], &at, &name].concat());
        }
        let count = &le(files.len())[..2];
        let end = [b"PK\x05\x06\0\0\0\0", count, count, &le(directory.len()), &le(archive.len()), &[0, 0]].concat();
        [archive, directory, end].concat()
    }

    fn unpack(form: &Form, file: Vec<u8>) -> Result<(Vec<u8>, Option<String>), Refusal> {
        let mut unpacked = open(form, Cursor::new(file))?;
        let mut content = Vec::new();
        unpacked.content.read_to_end(&mut content)?;
        Ok((content, unpacked.entry))
    }

    const DETAILS: &str = "20882021_20260605_业务明细.csv";

    #[test]
    fn what_was_packed_comes_out() {
        let content: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(unpack(&wechat::FORM, content.clone()), Ok((content.clone(), None)));
        assert_eq!(unpack(&wechat::FORM, gzipped(&content)), Ok((content.clone(), None)));
        for method in [0, 8] {
            let archive = zip(&[("20882021_20260605_业务明细(汇总).csv", b"sum"), (DETAILS, &content)], method);
            assert_eq!(unpack(&alipay::FORM, archive), Ok((content.clone(), Some(DETAILS.into()))));
        }
        let none = zip(&[("a.txt", b"a"), ("b.txt", b"b")], 8);
        assert_eq!(unpack(&alipay::FORM, none), Err(Refusal::whole(Reason::NoEntry("a.txt, b.txt".into()))));
        assert_eq!(unpack(&alipay::FORM, zip(&[("whatever", b"x")], 0)), Ok((b"x".to_vec(), Some("whatever".into()))));
        let mut damaged = zip(&[(DETAILS, &content)], 0);
        damaged[1_000] ^= 1;
        assert_eq!(unpack(&alipay::FORM, damaged), Err(Refusal::whole(Reason::Damaged("its sum (CRC-32) is another".into()))));
    }

    #[test]
    fn an_archive_cut_short_is_refused() {
        let content: Vec<u8> = (0..5_000_u32).flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
        for (form, whole) in [(&wechat::FORM, gzipped(&content)), (&alipay::FORM, zip(&[(DETAILS, &content)], 8))] {
            for length in (4..whole.len()).step_by(37).chain([whole.len() - 1]) {
                let refused = unpack(form, whole[..length].to_vec()).expect_err("it is cut short");
                assert_eq!(refused.reason, Reason::Truncated, "{length}");
            }
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let nothing = vec![0; 20 * 1024 * 1024];
        for (form, bomb) in [(&wechat::FORM, gzipped(&nothing)), (&alipay::FORM, zip(&[(DETAILS, &nothing)], 8))] {
            let refused = unpack(form, bomb).expect_err("it is a bomb");
            assert!(matches!(refused.reason, Reason::Bomb(most) if most < 4 * 1024 * 1024), "{refused}");
        }
    }
}
