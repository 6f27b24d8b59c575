//! Reference data as files: one, or all of a folder as one whole.
//!
//! Invariants
//! 1. An error names the file and the item   (`tests::an_error_names_file_and_item`).
//! 2. What is not whole is refused whole   (`tests::an_error_names_file_and_item`).

use super::catalog::{Catalog, Name};
use crate::document::{self, Format};
use anyhow::{Context, Result, ensure};
use schema::{Reference, reference::Declared};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Reads a file, or every TOML, YAML and JSON file below a folder, and resolves the whole.
pub fn read(path: &Path) -> Result<Catalog> {
    let files = files(path)?;
    let mut catalog = Catalog::default();
    let mut origins: BTreeMap<Name, PathBuf> = BTreeMap::new();
    for file in &files {
        let declared = parse(file)?;
        let mut twice = None;
        let mut taken = |name: &Name| {
            if let Some(other) = origins.insert(name.clone(), file.clone()) {
                twice = Some(other);
            }
        };
        let added = catalog.add(serde_json::to_value(&declared)?, &mut taken);
        added.with_context(|| match twice.filter(|other| other != file) {
            Some(other) => format!("reference data is refused whole: {} and {}", other.display(), file.display()),
            None => format!("reference data is refused whole: {}", file.display()),
        })?;
    }
    Reference::resolve(catalog.declared()?).with_context(|| places(&origins, &catalog, path))?;
    Ok(catalog)
}

/// All files, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read the reference data {}", path.display());
    if !path.metadata().with_context(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut found, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // What begins with a dot is an editor's, a version control's or, in a mounted ConfigMap, Kubernetes' own.
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if Format::of(&path).is_some() {
                found.push(path);
            }
        }
    }
    ensure!(!found.is_empty(), "{} has no TOML, YAML or JSON file", path.display());
    found.sort();
    Ok(found)
}

fn parse(path: &Path) -> Result<Declared> {
    let (text, format) = document::read(path)?;
    format.parse(&text).with_context(|| format!("the reference data {} is refused whole", path.display()))
}

/// Where to look: the files of the items that the whole is refused for, one by one.
fn places(origins: &BTreeMap<Name, PathBuf>, catalog: &Catalog, path: &Path) -> String {
    let named = match Reference::resolve(catalog.declared().unwrap_or_default()) {
        Err(not_whole) => culprit(origins.keys(), &not_whole.what).and_then(|name| Some(format!("{}: {name}", origins.get(name)?.display()))),
        Ok(_) => None,
    };
    named.unwrap_or_else(|| path.display().to_string())
}

/// The item that a refusal begins with; the longest name, for one may be the beginning of another.
fn culprit<'a>(names: impl Iterator<Item = &'a Name>, what: &str) -> Option<&'a Name> {
    let begins = |name: &&Name| what.strip_prefix(&name.to_string()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()));
    names.filter(|name| !name.name.is_empty()).filter(begins).max_by_key(|name| name.name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "[[rate_tables]]\nid = 'city'\nversion = 1\ncurrency = 'CNY'\n[[rate_tables.steps]]\nunit_min = 60\nprice = 500\n";
    const LOT: &str = "province = 44\nzone = 'Asia/Shanghai'\ncapacity = 3\nlanes = ['in']\n";

    fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a writable folder");
            std::fs::write(path, text).expect("a writable folder");
        }
        folder
    }

    fn lot(name: &str, more: &str) -> String {
        format!("[[lots]]\nlot = '{name}'\n{LOT}{more}\n")
    }

    #[test]
    fn the_files_of_a_folder_are_one_whole() {
        let json = r#"{"lots":[{"lot":"b","province":44,"zone":"Asia/Shanghai","capacity":1,"rate_table":"city","lanes":["in"]}]}"#;
        let folder = folder(&[
            ("rates.toml", TABLES.to_owned()),
            ("south/a.toml", lot("a", "rate_table = 'city'")),
            ("south/b.json", json.to_owned()),
            ("README.md", "not ours".to_owned()),
            (".a.toml.swp", "not ours".to_owned()),
        ]);
        let catalog = read(folder.path()).expect("it is whole");
        assert_eq!(catalog.counts(), [("lots", 2), ("rate_tables", 1)].into());
    }

    #[test]
    fn an_error_names_file_and_item() {
        let alone = |text: String| vec![("rates.toml", TABLES.to_owned()), ("lots.toml", lot("good", "")), ("bad.toml", text)];
        for (text, said) in [
            (lot("mars", "").replace("Asia/Shanghai", "Mars/Olympus"), &["bad.toml", "lot mars", "Mars/Olympus"][..]),
            (lot("a", "rate_table = 'village'"), &["bad.toml", "lot a", "village"]),
            (lot("good", ""), &["bad.toml", "lots.toml", "lot good", "twice"]),
            (lot("a", "").replace("capacity = 3", "capacity = -3"), &["bad.toml", "lot a", "capacity"]),
            (lot("a", "colour = 'red'"), &["bad.toml", "colour"]),
            (TABLES.replace("500", "-500").replace("city", "city2"), &["bad.toml", "rate table city2 version 1"]),
            ("[[lots]".to_owned(), &["bad.toml", "line 1"]),
        ] {
            let folder = folder(&alone(text.clone()));
            let error = format!("{:#}", read(folder.path()).map(drop).expect_err("it is refused whole"));
            assert!(said.iter().all(|word| error.contains(word)), "{text}\n{error}\n{said:?}");
        }
        let empty = folder(&[("README.md", String::new())]);
        assert!(read(empty.path()).map(drop).expect_err("nothing is there").to_string().contains("no TOML, YAML or JSON file"));
        assert!(read(&empty.path().join("none.toml")).is_err());
    }
}
