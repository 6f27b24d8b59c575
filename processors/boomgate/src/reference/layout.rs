//! How reference data lies in its bucket: parts under keys that tell their content, and one key that says which parts are in force.
//!
//! Invariants
//! 1. A reader sees a version whole or not at all: the manifest is written last, and each part is held against its key
//!    (`tests::a_reader_sees_a_version_whole`, `tests::what_is_damaged_is_refused`).
//! 2. Of two who write on the same version one wins and the other is told   (`tests::of_racing_appliers_one_wins_and_the_others_are_told`).
//! 3. Sweeping takes no part of what is in force or about to be: only parts older than a manifest that does not name them. Who is about to
//!    write has put his parts after the manifest that he read, or his manifest is refused   (`tests::a_sweep_leaves_what_is_about_to_be_in_force`).
//!
//! Not here: what an item is (`catalog`), who watches (`watch`).

use super::catalog::Catalog;
use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use schema::{Moment, Reference, id::digest};
use serde::{Deserialize, Serialize};
use streams::{
    Buckets, Entry,
    table::{REFERENCE, VALUE_BYTES_MAX},
};

/// The key that says what is in force.
pub const CURRENT: &str = "current";
/// The beginning of a part's key.
const PART: &str = "part.";
/// The length of a part; an item that is longer is a part of its own.
const PART_BYTES: usize = 128 * 1024;
/// The layout that is written.
const LAYOUT: u32 = 1;
/// Letters of a digest: 125 bits of it.
const DIGEST: usize = 21;
/// How many parts are read at once.
const READ_AT_ONCE: usize = 8;

/// What is in force: the value of [`CURRENT`].
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// The layout; a later one is not understood.
    layout: u32,
    /// The digest of the parts' keys, by which people tell versions apart.
    version: String,
    /// The keys of the parts.
    parts: Vec<String>,
}

/// What the bucket holds.
#[derive(Clone, Debug)]
pub enum Held {
    /// Nothing was ever applied.
    Nothing,
    /// A version that is whole.
    Whole(Version),
    /// Something that is not.
    Damaged {
        /// Its revision.
        revision: u64,
        /// Why.
        why: String,
    },
}

/// A version that is whole.
#[derive(Clone, Debug)]
pub struct Version {
    /// The revision of its manifest; the later, the higher.
    pub revision: u64,
    /// The digest of what is in it.
    pub version: String,
    /// When it was applied.
    pub time: Moment,
    /// What is in it.
    pub catalog: Catalog,
    /// The same, resolved.
    pub reference: Reference,
}

impl Held {
    /// The revision on which the next one is written; 0 for none.
    pub const fn revision(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Whole(version) => version.revision,
            Self::Damaged { revision, .. } => *revision,
        }
    }
}

/// Reads what is in force, held against its keys and resolved.
pub async fn read(bus: &dyn Buckets) -> Result<Held, streams::Error> {
    let Some(mut entry) = bus.entry(REFERENCE, CURRENT).await? else { return Ok(Held::Nothing) };
    loop {
        let read = parts(bus, &entry).await?;
        let why = match read.and_then(|(manifest, texts)| version(&entry, manifest, &texts)) {
            Ok(version) => return Ok(Held::Whole(version)),
            Err(why) => why,
        };
        // A part may have been swept because another version is in force by now.
        match bus.entry(REFERENCE, CURRENT).await? {
            Some(newer) if newer.revision != entry.revision => entry = newer,
            _ => return Ok(Held::Damaged { revision: entry.revision, why: format!("{why:#}") }),
        }
    }
}

/// The texts of the parts that a manifest names; the inner error says what is damaged.
async fn parts(bus: &dyn Buckets, entry: &Entry) -> Result<Result<(Manifest, Vec<Option<Entry>>)>, streams::Error> {
    let manifest = match manifest(entry) {
        Ok(manifest) => manifest,
        Err(why) => return Ok(Err(why)),
    };
    let mut texts = Vec::with_capacity(manifest.parts.len());
    for keys in manifest.parts.chunks(READ_AT_ONCE) {
        texts.extend(try_join_all(keys.iter().map(|key| bus.entry(REFERENCE, key))).await?);
    }
    Ok(Ok((manifest, texts)))
}

fn manifest(entry: &Entry) -> Result<Manifest> {
    ensure!(!entry.value.is_empty(), "the key {CURRENT} was deleted by hand");
    let manifest: Manifest = serde_json::from_slice(&entry.value)?;
    ensure!(manifest.layout == LAYOUT, "it has layout {}, which a later boomgate wrote: upgrade this one", manifest.layout);
    ensure!(manifest.version == version_of(&manifest.parts), "its parts are not those of version {}", manifest.version);
    Ok(manifest)
}

fn version(entry: &Entry, manifest: Manifest, parts: &[Option<Entry>]) -> Result<Version> {
    let mut catalog = Catalog::default();
    for (key, part) in manifest.parts.iter().zip(parts) {
        let text = part.as_ref().map(|part| std::str::from_utf8(&part.value)).transpose()?;
        let Some(text) = text else { anyhow::bail!("{key} is missing") };
        ensure!(key_of(text) == *key, "{key} holds something else");
        catalog.add(serde_json::from_str(text)?, &mut |_| ())?;
    }
    // What an older boomgate wrote is taken apart anew, so that fields which came since have their defaults and do not look like changes.
    let declared = catalog.declared()?;
    let catalog = Catalog::of(&declared)?;
    let reference = Reference::resolve(declared)?;
    Ok(Version { revision: entry.revision, version: manifest.version, time: entry.time, catalog, reference })
}

fn key_of(text: &str) -> String {
    format!("{PART}{}", digest(&[text], DIGEST))
}

fn version_of(parts: &[String]) -> String {
    digest(&parts.iter().map(String::as_str).collect::<Vec<_>>(), DIGEST)
}

/// Puts a catalog in force, if `expected` is what is in force still; gives its revision. It was resolved before: nothing is checked here.
pub async fn write(bus: &dyn Buckets, catalog: &Catalog, expected: u64) -> Result<u64, streams::Error> {
    let texts = catalog.parts(PART_BYTES);
    if let Some(long) = texts.iter().find(|text| text.len() > VALUE_BYTES_MAX) {
        let doing = format!("write an item of {} bytes, which begins {:.60}", long.len(), long);
        return Err(streams::Error::new(streams::Kind::TooLarge, doing));
    }
    let parts: Vec<String> = texts.iter().map(|text| key_of(text)).collect();
    // Each is written even where it is there already: now it is younger than the manifest that was read, and no sweep takes it.
    for (key, text) in parts.iter().zip(texts) {
        bus.put(REFERENCE, key, text.into(), None).await?;
    }
    let manifest = Manifest { layout: LAYOUT, version: version_of(&parts), parts };
    let value = serde_json::to_vec(&manifest).expect("strings and a number are JSON");
    let revision = bus.put(REFERENCE, CURRENT, value.into(), Some(expected)).await?;
    if let Err(error) = sweep(bus, &manifest, revision).await {
        tracing::warn!(%error, "parts of older reference data are left; the next apply sweeps them");
    }
    Ok(revision)
}

/// Forgets the parts that the manifest of this revision does not name and that are older than it.
async fn sweep(bus: &dyn Buckets, manifest: &Manifest, revision: u64) -> Result<(), streams::Error> {
    for key in bus.keys(REFERENCE).await? {
        if key.starts_with(PART) && !manifest.parts.contains(&key) {
            bus.forget(REFERENCE, &key, revision).await?;
        }
    }
    Ok(())
}
