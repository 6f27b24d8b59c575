//! A file that people write: TOML, YAML or JSON, by its ending.
//!
//! Invariants
//! 1. The same content means the same in each   (`tests::each_way_of_writing_says_the_same`).
//! 2. A refusal names the line   (`tests::a_refusal_names_the_line`).

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use std::path::Path;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.toml`.
    Toml,
    /// `.yaml` or `.yml`.
    Yaml,
    /// `.json`.
    Json,
}

impl Format {
    /// The format that a file's name tells, if it tells one.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Parses a text.
    pub fn parse<T: DeserializeOwned>(self, text: &str) -> Result<T> {
        match self {
            Self::Toml => Ok(toml::from_str(text)?),
            Self::Yaml => Ok(serde_saphyr::from_str(text)?),
            Self::Json => Ok(serde_json::from_str(text)?),
        }
    }
}

/// A file's text and its format; TOML where its name tells none.
pub fn read(path: &Path) -> Result<(String, Format)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((text, Format::of(path).unwrap_or(Format::Toml)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::rate::RateTable;

    const YAML: &str = "
# 15 minutes free, then 5.00 an hour, at most 30.00 in 24 hours.
id: city
version: 2
currency: CNY
free_min: 15
steps:
  - { unit_min: 60, price: 500 }
cap_per_24h: 3000
";

    #[test]
    fn each_way_of_writing_says_the_same() {
        let json = r#"{"id": "city", "version": 2, "currency": "CNY", "free_min": 15,
            "steps": [{"unit_min": 60, "price": 500}], "cap_per_24h": 3000}"#;
        let toml = "id = 'city'\nversion = 2\ncurrency = 'CNY'\nfree_min = 15\ncap_per_24h = 3000\n\
                    [[steps]]\nunit_min = 60\nprice = 500\n";
        let yaml: RateTable = Format::Yaml.parse(YAML).expect("sound");
        assert_eq!(Format::Json.parse::<RateTable>(json).expect("sound"), yaml);
        assert_eq!(Format::Toml.parse::<RateTable>(toml).expect("sound"), yaml);
    }

    #[test]
    fn every_tariff_we_ship_can_be_written_as_yaml() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../rules/tariffs"));
        let files = folder.read_dir().expect("they are there").map(|file| file.expect("readable").path());
        let mut seen = 0;
        for path in files.filter(|path| Format::of(path) == Some(Format::Toml)) {
            let (text, format) = read(&path).expect("readable");
            let whole: serde_json::Value = format.parse(&text).expect("sound");
            // JSON is YAML as well, which is one way of writing all of it.
            let again: serde_json::Value = Format::Yaml.parse(&whole.to_string()).expect("sound");
            assert_eq!(whole, again, "{}", path.display());
            seen += 1;
        }
        assert!(seen > 10, "{seen} tariffs");
    }

    #[test]
    fn a_refusal_names_the_line() {
        for (format, text, line) in [
            (Format::Yaml, YAML.replace("price", "prise"), "line 8"),
            (Format::Toml, "id = 'city'\nversion = 'two'".to_owned(), "line 2"),
            (Format::Json, "{\"id\": \"city\",\n\"version\": \"two\"}".to_owned(), "line 2"),
        ] {
            let error = format.parse::<RateTable>(&text).expect_err("it is wrong").to_string();
            assert!(error.contains(line), "{format:?}: {error}");
        }
    }

    #[test]
    fn a_hostile_yaml_file_is_refused_and_not_unfolded() {
        let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                      e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
        assert!(Format::Yaml.parse::<serde_json::Value>(laughs).is_err());
    }
}
