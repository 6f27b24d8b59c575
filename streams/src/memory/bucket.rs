//! Buckets in memory.

use super::{Memory, instant, soon};
use crate::{
    Answer, Buckets, Entry, Error, Kind, check,
    table::{Declared, KEYS, RECONCILE, REFERENCE, keys_bytes_max, reconcile_bytes_max, reference_bytes_max},
};
use bytes::Bytes;
use futures_util::FutureExt;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout_at;

/// One bucket.
pub(super) struct Shelf {
    bytes_max: u64,
    last: u64,
    entries: BTreeMap<String, Entry>,
}

/// The buckets that are declared.
pub(super) fn shelves(declared: &Declared) -> BTreeMap<&'static str, Shelf> {
    let shelf = |bytes_max| Shelf { bytes_max, last: 0, entries: BTreeMap::new() };
    BTreeMap::from([
        (REFERENCE, shelf(reference_bytes_max(declared))),
        (KEYS, shelf(keys_bytes_max(declared))),
        (RECONCILE, shelf(reconcile_bytes_max(declared))),
    ])
}

impl Shelf {
    fn put(&mut self, key: &str, entry: Entry, expected: Option<u64>) -> Result<u64, Error> {
        let doing = || format!("write {key} after {expected:?}");
        let found = self.entries.get(key).map_or(0, |entry| entry.revision);
        if expected.is_some_and(|expected| expected != found) {
            return Err(Error::caused(Kind::Stale, doing(), format!("wrong last sequence: {found}")));
        }
        let others = self.entries.iter().filter(|(other, _)| *other != key);
        let bytes: usize = others.map(|(key, entry)| key.len() + entry.value.len()).sum();
        if u64::try_from(bytes + key.len() + entry.value.len()).is_ok_and(|bytes| bytes > self.bytes_max) {
            return Err(Error::caused(Kind::Full, doing(), "maximum bytes exceeded"));
        }
        self.last += 1;
        self.entries.insert(key.to_owned(), Entry { revision: self.last, ..entry });
        Ok(self.last)
    }
}

impl Memory {
    fn shelf<T>(&self, bucket: &str, work: impl FnOnce(&mut Shelf) -> Result<T, Error>) -> Result<T, Error> {
        let missing = || Error::new(Kind::NotProvisioned, format!("use the bucket {bucket}"));
        let done = self.state().shelves.get_mut(bucket).ok_or_else(missing).and_then(work);
        self.0.changed.notify_waiters();
        done
    }

    fn newest(&self, bucket: &str, key: &str) -> Result<Option<Entry>, Error> {
        let missing = || Error::new(Kind::NotProvisioned, format!("use the bucket {bucket}"));
        Ok(self.state().shelves.get(bucket).ok_or_else(missing)?.entries.get(key).cloned())
    }
}

impl Buckets for Memory {
    fn entry<'a>(&'a self, bucket: &'a str, key: &'a str) -> Answer<'a, Option<Entry>> {
        soon(move || {
            check::keyable(bucket, key, 0)?;
            self.newest(bucket, key)
        })
    }

    fn put<'a>(&'a self, bucket: &'a str, key: &'a str, value: Bytes, expected: Option<u64>) -> Answer<'a, u64> {
        soon(move || {
            check::keyable(bucket, key, value.len())?;
            let entry = Entry { revision: 0, time: self.now(), value };
            self.shelf(bucket, |shelf| shelf.put(key, entry, expected))
        })
    }

    fn keys<'a>(&'a self, bucket: &'a str) -> Answer<'a, Vec<String>> {
        soon(move || self.shelf(bucket, |shelf| Ok(shelf.entries.keys().cloned().collect())))
    }

    fn forget<'a>(&'a self, bucket: &'a str, key: &'a str, before: u64) -> Answer<'a, ()> {
        soon(move || {
            check::keyable(bucket, key, 0)?;
            self.shelf(bucket, |shelf| {
                shelf.entries.retain(|other, entry| other != key || entry.revision >= before);
                Ok(())
            })
        })
    }

    fn change<'a>(&'a self, bucket: &'a str, key: &'a str, after: u64, wait: Duration) -> Answer<'a, Option<Entry>> {
        async move {
            check::keyable(bucket, key, 0)?;
            let deadline = instant() + wait;
            loop {
                // Registered before the look, so that no write falls between the two.
                let mut changed = std::pin::pin!(self.0.changed.notified());
                changed.as_mut().enable();
                let newer = self.newest(bucket, key)?.filter(|entry| entry.revision != after);
                if newer.is_some() || timeout_at(deadline, changed).await.is_err() {
                    return Ok(newer);
                }
            }
        }
        .boxed()
    }
}
