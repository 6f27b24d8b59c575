//! Where records wait for each other: by the first bits of a key, in memory as far as a bound goes, and in a temporary file beyond.
//!
//! Invariants
//! 1. What was put on a place is taken from it, once, wherever it lay   (`tests::what_was_put_is_taken`).
//! 2. No more is in memory than the bound and what each thread holds open   (the same test).

use anyhow::{Context, Result};
use rules::reconcile::{Key, Record};
use schema::statement::{LineKind, Standing};
use std::{
    fs::File,
    mem,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// How many shelves there are. Of ten million records each has forty thousand.
pub const SHELVES: usize = 256;
/// How many records are put at a time.
const BLOCK: usize = 128;
/// How long a record is in the file.
const BYTES: usize = 56;

/// What all shelves of a run have together: the bound, and the file for what is beyond it.
pub struct Store {
    folder: PathBuf,
    most: usize,
    held: AtomicUsize,
    file: Mutex<Option<Beyond>>,
}

/// A file without a name, gone with the process.
struct Beyond {
    file: File,
    length: u64,
}

impl Store {
    /// With at most so many bytes of records in memory; what is beyond lies in a folder.
    pub fn new(folder: PathBuf, most: usize) -> Self {
        Self { folder, most, held: AtomicUsize::new(0), file: Mutex::new(None) }
    }

    /// How many bytes lie in the file.
    #[cfg(test)]
    fn beyond(&self) -> u64 {
        self.file.lock().expect("nobody panics here").as_ref().map_or(0, |beyond| beyond.length)
    }

    fn write(&self, block: &[Record]) -> Result<u64> {
        let mut beyond = self.file.lock().expect("nobody panics here");
        let beyond = match &mut *beyond {
            Some(beyond) => beyond,
            none => {
                let file = tempfile::tempfile_in(&self.folder).with_context(|| format!("no temporary file in {}", self.folder.display()))?;
                none.insert(Beyond { file, length: 0 })
            }
        };
        let bytes: Vec<u8> = block.iter().flat_map(to_bytes).collect();
        let at = beyond.length;
        beyond.file.write_all_at(&bytes, at).context("cannot write what does not fit in memory")?;
        beyond.length += bytes.len() as u64;
        Ok(at)
    }

    fn read(&self, at: u64, count: usize, into: &mut Vec<Record>) -> Result<()> {
        let beyond = self.file.lock().expect("nobody panics here");
        let file = &beyond.as_ref().context("the temporary file is gone")?.file;
        let mut bytes = vec![0; count * BYTES];
        file.read_exact_at(&mut bytes, at).context("cannot read what did not fit in memory")?;
        into.extend(bytes.chunks_exact(BYTES).map(of_bytes));
        Ok(())
    }
}

#[derive(Default)]
struct Shelf {
    blocks: Vec<Vec<Record>>,
    beyond: Vec<(u64, usize)>,
}

/// Some shelves, by a key of their records.
pub struct Shelves<'s> {
    store: &'s Store,
    key: fn(&Record) -> Key,
    shelves: Vec<Mutex<Shelf>>,
}

impl<'s> Shelves<'s> {
    /// Empty ones.
    pub fn new(store: &'s Store, key: fn(&Record) -> Key) -> Self {
        Self { store, key, shelves: (0..SHELVES).map(|_| Mutex::default()).collect() }
    }

    /// A thread's hand, in which records are held until they are a block.
    pub fn hand(&self) -> Hand<'_> {
        Hand { shelves: self, open: vec![Vec::new(); SHELVES], failed: None }
    }

    fn put(&self, place: usize, block: Vec<Record>) -> Result<()> {
        let bytes = block.len() * size_of::<Record>();
        let fits = self.store.held.fetch_add(bytes, Relaxed) + bytes <= self.store.most;
        if fits {
            self.shelves[place].lock().expect("nobody panics here").blocks.push(block);
            return Ok(());
        }
        self.store.held.fetch_sub(bytes, Relaxed);
        let at = self.store.write(&block)?;
        self.shelves[place].lock().expect("nobody panics here").beyond.push((at, block.len()));
        Ok(())
    }

    /// Takes all that lies on a shelf, in no order.
    pub fn take(&self, place: usize, into: &mut Vec<Record>) -> Result<()> {
        into.clear();
        let Shelf { blocks, beyond } = mem::take(&mut *self.shelves[place].lock().expect("nobody panics here"));
        for block in blocks {
            into.extend_from_slice(&block);
            self.store.held.fetch_sub(block.len() * size_of::<Record>(), Relaxed);
        }
        beyond.into_iter().try_for_each(|(at, count)| self.store.read(at, count, into))
    }
}

/// What a thread puts on shelves.
pub struct Hand<'h> {
    shelves: &'h Shelves<'h>,
    open: Vec<Vec<Record>>,
    failed: Option<anyhow::Error>,
}

impl Hand<'_> {
    /// Puts a record where its key says. What fails is told at the end.
    #[inline]
    pub fn put(&mut self, record: Record) {
        let Key([high, _]) = (self.shelves.key)(&record);
        let place = usize::from(high.to_be_bytes()[0]);
        let open = &mut self.open[place];
        if open.capacity() == 0 {
            open.reserve_exact(BLOCK);
        }
        open.push(record);
        if open.len() == BLOCK {
            let block = mem::take(open);
            if let Err(error) = self.shelves.put(place, block) {
                self.failed.get_or_insert(error);
            }
        }
    }

    /// Puts what is still held.
    pub fn finish(mut self) -> Result<()> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut held = mem::take(&mut self.open).into_iter().enumerate().filter(|(_, block)| !block.is_empty());
        held.try_for_each(|(place, block)| self.shelves.put(place, block))
    }
}

fn to_bytes(record: &Record) -> [u8; BYTES] {
    let Record { name: Key([a, b]), number: Key([c, d]), amount, at, line, kind, standing, is_due, is_numbered } = *record;
    let mut bytes = [0; BYTES];
    for (room, word) in bytes.chunks_exact_mut(8).zip([a, b, c, d, amount.cast_unsigned(), at, u64::from(line)]) {
        room.copy_from_slice(&word.to_le_bytes());
    }
    let kind = u8::from(kind == LineKind::Refund);
    let standing = match standing {
        Standing::Done => 0,
        Standing::Pending => 1,
        Standing::Failed => 2,
    };
    bytes[52..].copy_from_slice(&[kind, standing, u8::from(is_due), u8::from(is_numbered)]);
    bytes
}

fn of_bytes(bytes: &[u8]) -> Record {
    let word = |place: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[place * 8..place * 8 + 8]);
        u64::from_le_bytes(word)
    };
    let [.., kind, standing, due, numbered] = *bytes else { unreachable!("a record has {BYTES} bytes") };
    Record {
        name: Key([word(0), word(1)]),
        number: Key([word(2), word(3)]),
        amount: word(4).cast_signed(),
        at: word(5),
        line: u32::try_from(word(6) & 0xffff_ffff).expect("32 bits are 32 bits"),
        kind: if kind == 0 { LineKind::Trade } else { LineKind::Refund },
        standing: match standing {
            0 => Standing::Done,
            1 => Standing::Pending,
            _ => Standing::Failed,
        },
        is_due: due != 0,
        is_numbered: numbered != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Record {
        let key = |salt: u64| Key([(number + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15), number ^ salt]);
        let (odd, standing) = (number % 2 == 1, [Standing::Done, Standing::Pending, Standing::Failed][(number % 3) as usize]);
        let kind = if odd { LineKind::Refund } else { LineKind::Trade };
        let line = u32::try_from(number).expect("small") + 4_000_000_000;
        Record {
            name: key(1),
            number: key(2),
            amount: -5 - number.cast_signed(),
            at: number << 33,
            line,
            kind,
            standing,
            is_due: odd,
            is_numbered: !odd,
        }
    }

    #[test]
    fn what_was_put_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        for (most, spills) in [(usize::MAX, false), (200_000, true), (0, true)] {
            let store = Store::new(folder.path().to_owned(), most);
            let shelves = Shelves::new(&store, |record| record.name);
            std::thread::scope(|scope| {
                for part in 0..3 {
                    let shelves = &shelves;
                    scope.spawn(move || {
                        let mut hand = shelves.hand();
                        (0..60_000).filter(|number| number % 3 == part).for_each(|number| hand.put(record(number)));
                        hand.finish().expect("it can be put");
                    });
                }
            });
            assert!(store.held.load(Relaxed) <= most);
            assert_eq!(store.beyond() > 0, spills);
            let (mut all, mut some) = (Vec::new(), Vec::new());
            for place in 0..SHELVES {
                shelves.take(place, &mut some).expect("it can be taken");
                assert!(some.iter().all(|record| record.name.0[0] >> 56 == place as u64));
                all.append(&mut some);
            }
            all.sort_by_key(|record| record.at);
            assert_eq!(all, (0..60_000).map(record).collect::<Vec<_>>());
            assert_eq!(store.held.load(Relaxed), 0);
        }
    }
}
