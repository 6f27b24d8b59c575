//! What is declared, as named items: what files say, chunks carry and a difference compares.
//!
//! Here reference data has kinds (lots, rate tables, calendars …) and items, and nothing here knows what an item means: a new kind or field
//! of `schema::reference::Declared` needs no change.
//!
//! Invariants
//! 1. Taken apart and put together again, nothing is lost   (`tests::what_is_taken_apart_is_put_together_again`).
//! 2. What was in force under a version is never another thing under that version   (`tests::a_version_is_never_another_thing`).

use anyhow::{Context, Result, bail};
use schema::reference::Declared;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

/// The longest value in the words of a difference, in characters.
const SHOWN_MAX: usize = 72;
/// The lists whose items prices are explained by, so that a version of one stays what it is.
const VERSIONED: &str = "rate_tables";

/// The name of an item: its kind, and its own name within it. A part that is no list of named things is one item without a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The field of `Declared`.
    pub kind: String,
    /// Its name, with its version where it has one.
    pub name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.replace('_', " ");
        if self.name.is_empty() { write!(f, "{kind}") } else { write!(f, "{} {}", kind.strip_suffix('s').unwrap_or(&kind), self.name) }
    }
}

/// All items, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    items: BTreeMap<Name, Value>,
}

impl Catalog {
    /// Takes apart what was declared.
    pub fn of(declared: &Declared) -> Result<Self> {
        let mut catalog = Self::default();
        catalog.add(serde_json::to_value(declared)?, &mut |_| ())?;
        Ok(catalog)
    }

    /// Adds what another part declares, and tells each name; one that is there already is an error.
    pub fn add(&mut self, part: Value, taken: &mut dyn FnMut(&Name)) -> Result<()> {
        let Value::Object(kinds) = part else { bail!("reference data is a table of kinds") };
        for (kind, value) in kinds {
            for (name, item) in items(value) {
                let name = Name { kind: kind.clone(), name };
                taken(&name);
                if self.items.contains_key(&name) {
                    bail!("{name} is declared twice");
                }
                self.items.insert(name, item);
            }
        }
        Ok(())
    }

    /// Puts them together again.
    pub fn declared(&self) -> Result<Declared> {
        serde_json::from_value(together(&self.items)).context("it does not read as reference data")
    }

    /// Its parts as JSON texts of about `bytes` bytes, each of which [`Catalog::add`] takes; the same items give the same texts.
    pub fn parts(&self, bytes: usize) -> Vec<String> {
        let (mut parts, mut part, mut length) = (Vec::new(), BTreeMap::new(), 0_usize);
        for (name, item) in &self.items {
            let item_length = item.to_string().len();
            if length > 0 && length.saturating_add(item_length) > bytes {
                parts.push(together(&std::mem::take(&mut part)).to_string());
                length = 0;
            }
            length = length.saturating_add(item_length);
            part.insert(name.clone(), item.clone());
        }
        parts.push(together(&part).to_string());
        parts
    }

    /// How many items there are of each kind.
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for name in self.items.keys() {
            let count: &mut usize = counts.entry(name.kind.as_str()).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }

    /// The names of the items.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.items.keys()
    }

    /// What becomes of this when `next` comes into force.
    pub fn difference(&self, next: &Self) -> Difference {
        let mut difference = Difference::default();
        for (name, item) in &next.items {
            match self.items.get(name) {
                None => difference.added.push(name.clone()),
                Some(before) if before == item => {}
                Some(before) => difference.changed.push((name.clone(), fields(before, item))),
            }
        }
        difference.removed = self.items.keys().filter(|name| !next.items.contains_key(name)).cloned().collect();
        difference
    }
}

/// The named items of a list; all of a value that is no such list.
fn items(value: Value) -> Vec<(String, Value)> {
    match value {
        Value::Array(list) if list.iter().all(|item| name_of(item).is_some()) => {
            list.into_iter().map(|item| (name_of(&item).unwrap_or_default(), item)).collect()
        }
        Value::Null => Vec::new(),
        other => vec![(String::new(), other)],
    }
}

fn name_of(item: &Value) -> Option<String> {
    let name = ["lot", "id", "name"].iter().find_map(|field| item.get(field)?.as_str())?;
    match item.get("version").and_then(Value::as_u64) {
        Some(version) => Some(format!("{name} version {version}")),
        None => Some(name.to_owned()),
    }
}

fn together(items: &BTreeMap<Name, Value>) -> Value {
    let mut kinds = Map::new();
    for (name, item) in items {
        if name.name.is_empty() {
            kinds.insert(name.kind.clone(), item.clone());
        } else if let Value::Array(list) = kinds.entry(name.kind.clone()).or_insert_with(|| Value::Array(Vec::new())) {
            list.push(item.clone());
        }
    }
    Value::Object(kinds)
}

/// A field of an item that is another one: its name, before, after.
type Field = (String, Value, Value);

fn fields(before: &Value, after: &Value) -> Vec<Field> {
    let (Value::Object(one), Value::Object(other)) = (before, after) else { return vec![(String::new(), before.clone(), after.clone())] };
    let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
    let of = |map: &Map<String, Value>, name: &str| map.get(name).cloned().unwrap_or_default();
    names.map(|name| (name.clone(), of(one, name), of(other, name))).filter(|(_, before, after)| before != after).collect()
}

/// What comes, goes and changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Items that were not there.
    pub added: Vec<Name>,
    /// Items that are there no more.
    pub removed: Vec<Name>,
    /// Items that are others, by their fields.
    pub changed: Vec<(Name, Vec<Field>)>,
}

impl Difference {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Refuses another thing under a version that is in force: prices are explained by it.
    pub fn check(&self) -> Result<()> {
        let Some((name, fields)) = self.changed.iter().find(|(name, _)| name.kind == VERSIONED) else { return Ok(()) };
        let fields: Vec<&str> = fields.iter().map(|(field, ..)| field.as_str()).collect();
        bail!(
            "{name} is in force with other {}: prices are explained by it, so leave it as it was and declare the change as a new version with its valid_from",
            fields.join(", ")
        )
    }

    /// One line for each item and field, at most `most`, and how many more there are.
    pub fn lines(&self, most: usize) -> Vec<String> {
        let added = self.added.iter().map(|name| format!("+ {name}"));
        let removed = self.removed.iter().map(|name| format!("- {name}"));
        let changed = self.changed.iter().flat_map(|(name, fields)| {
            let field = |(field, before, after): &Field| format!("    {field}: {} -> {}", shown(before), shown(after));
            std::iter::once(format!("~ {name}")).chain(fields.iter().map(field))
        });
        let all: Vec<String> = added.chain(removed).chain(changed).collect();
        let more = all.len().saturating_sub(most);
        let rest = (more > 0).then(|| format!("… and {more} lines more: `boomgate reference diff` prints them all"));
        all.into_iter().take(most).chain(rest).collect()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} added, {} changed, {} removed", self.added.len(), self.changed.len(), self.removed.len())
    }
}

fn shown(value: &Value) -> String {
    let text = if value.is_null() { "none".to_owned() } else { value.to_string() };
    if text.chars().count() <= SHOWN_MAX { text } else { text.chars().take(SHOWN_MAX).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn catalog(part: Value) -> Catalog {
        let mut catalog = Catalog::default();
        catalog.add(part, &mut |_| ()).expect("no name comes twice");
        catalog
    }

    fn table(version: u32, price: i64) -> Value {
        json!({ "id": "city", "version": version, "currency": "CNY", "steps": [{ "unit_min": 60, "price": price }] })
    }

    #[test]
    fn what_is_taken_apart_is_put_together_again() {
        let lots: Vec<Value> = (0..100).map(|lot| json!({ "lot": format!("lot{lot:03}"), "lanes": ["in", "out"] })).collect();
        let whole = json!({ "lots": lots, "rate_tables": [table(1, 5), table(2, 6)], "operator": { "title": "x" }, "points": [1, 2] });
        let catalog = catalog(whole.clone());
        assert_eq!(together(&catalog.items), whole);
        for bytes in [1, 200, 1_000, 1_000_000] {
            let mut again = Catalog::default();
            for part in catalog.parts(bytes) {
                assert!(part.len() < bytes + 300, "{bytes}: {}", part.len());
                again.add(serde_json::from_str(&part).expect("JSON"), &mut |_| ()).expect("no name comes twice");
            }
            assert_eq!(again, catalog, "{bytes}");
        }
        assert_eq!(Catalog::default().parts(100), ["{}"]);
    }

    #[test]
    fn a_difference_names_items_and_fields() {
        let before = catalog(json!({ "lots": [{ "lot": "a", "capacity": 1 }, { "lot": "b", "capacity": 2, "open": true }], "operator": 1 }));
        let after = catalog(json!({ "lots": [{ "lot": "c", "capacity": 1 }, { "lot": "b", "capacity": 3 }], "operator": 2 }));
        let difference = before.difference(&after);
        let lines =
            ["+ lot c", "- lot a", "~ lot b", "    capacity: 2 -> 3", "    open: true -> none", "~ operator", "    : 1 -> 2"].map(str::to_owned);
        assert_eq!(difference.lines(10), lines);
        assert_eq!(difference.to_string(), "1 added, 2 changed, 1 removed");
        assert_eq!(difference.lines(6).last().map(String::as_str), Some("… and 1 lines more: `boomgate reference diff` prints them all"));
        assert!(before.difference(&before).is_empty());
    }

    #[test]
    fn a_version_is_never_another_thing() {
        let before = catalog(json!({ "rate_tables": [table(1, 5)] }));
        before.difference(&catalog(json!({ "rate_tables": [table(1, 5), table(2, 6)] }))).check().expect("a new version is welcome");
        let refused = before.difference(&catalog(json!({ "rate_tables": [table(1, 6)] }))).check().expect_err("the old one is not another");
        assert!(refused.to_string().contains("rate table city version 1 is in force with other steps"), "{refused}");
    }

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        let mut catalog = catalog(json!({ "lots": [{ "lot": "a" }] }));
        let refused = catalog.add(json!({ "lots": [{ "lot": "a" }] }), &mut |_| ()).expect_err("it is there");
        assert_eq!(refused.to_string(), "lot a is declared twice");
    }
}
