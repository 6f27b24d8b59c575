//! A zip archive as Alipay makes it: names of entries in GBK, without the flag that says they are UTF-8.
//!
//! The crates for this write names in UTF-8 alone. Entries are stored as they are, by the first version of the format (PKWARE's APPNOTE, 4.3.7 and 4.3.12).
//!
//! Invariants
//! 1. Who reads it finds what was put in   (`tests::an_archive_is_read_back`).

use encoding_rs::GBK;

/// A text in GBK.
pub fn gbk(text: &str) -> Vec<u8> {
    GBK.encode(text).0.into_owned()
}

/// An archive of some files, by their names.
pub fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let (name, offset) = (gbk(name), size(archive.len()));
        let mut sum = flate2::Crc::new();
        sum.update(content);
        // Version, flags, no compression, no time, the first day that there is.
        let mut told = vec![10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        told.extend(sum.sum().to_le_bytes());
        told.extend([size(content.len()), size(content.len())].concat());
        told.extend(&size(name.len())[..2]);
        told.extend([0, 0]);
        archive.extend([b"PK\x03\x04", &told[..], &name, content].concat());
        let rest = [[0; 10].as_slice(), &offset].concat();
        directory.extend([b"PK\x01\x02\x0a\x00", &told[..], &rest, &name].concat());
    }
    let count = &size(files.len())[..2];
    let end = [b"PK\x05\x06\0\0\0\0", count, count, &size(directory.len()), &size(archive.len()), &[0, 0]].concat();
    [archive, directory, end].concat()
}

fn size(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("a day's statement is far below 4 GiB").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_read_back() {
        let archive = zip(&[("业务明细.csv".into(), b"one".to_vec()), ("b".into(), b"another".to_vec())]);
        let number = |at: usize, bytes: usize| archive[at..at + bytes].iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte));
        let end = archive.len() - 22;
        assert_eq!((&archive[end..end + 4], number(end + 10, 2)), (&b"PK\x05\x06"[..], 2));
        let mut found = Vec::new();
        let mut at = number(end + 16, 4);
        for _ in 0..2 {
            assert_eq!((&archive[at..at + 4], number(at + 8, 2)), (&b"PK\x01\x02"[..], 0));
            let (length, name, entry) = (number(at + 24, 4), number(at + 28, 2), number(at + 42, 4));
            assert_eq!(&archive[entry..entry + 4], b"PK\x03\x04");
            let start = entry + 30 + number(entry + 26, 2);
            found.push((GBK.decode(&archive[at + 46..at + 46 + name]).0.into_owned(), archive[start..start + length].to_vec()));
            at += 46 + name;
        }
        assert_eq!(at, end);
        assert_eq!(found, [("业务明细.csv".to_owned(), b"one".to_vec()), ("b".to_owned(), b"another".to_vec())]);
    }
}
