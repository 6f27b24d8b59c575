//! The device's page says what the code does: its examples are read from it, and its lists and limits are looked up in it.

use schema::{
    Energy, EventId, GateEvent, GateKind, LaneCommand, LaneId, LotId, VehicleClass, Verdict,
    entity::Answer,
    gate::{Colour, Credential, CredentialKind},
    journal::Refusal,
    time::{DAY, MINUTE},
    wire::{self, Format, INBOX_BYTES_MAX},
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

const PAGE: &str = include_str!("../device.md");

/// The text of the blocks in one language, each with what stands before it on the page.
fn blocks(language: &str) -> Vec<(&'static str, &'static str)> {
    let opening = format!("```{language}\n");
    PAGE.match_indices(&opening)
        .map(|(at, _)| {
            let (before, block) = PAGE.split_at(at);
            let block = &block[opening.len()..];
            (before, &block[..block.find("\n```").expect("a block ends")])
        })
        .collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| u8::try_from(digit).expect("a digit")).collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(json: &str, hex: &str) -> T {
    let value: T = wire::decode(Some("application/json"), json.as_bytes()).expect("its JSON can be read");
    assert_eq!(String::from_utf8_lossy(&wire::encode(Format::Json, &value)), json);
    assert_eq!(wire::decode::<T>(None, &bytes(hex)).expect("its MessagePack can be read"), value);
    assert_eq!(wire::encode(Format::MessagePack, &value), bytes(hex), "{json}");
    value
}

#[test]
fn every_example_reads_and_writes_as_it_stands() {
    let (jsons, hexes) = (blocks("json"), blocks("hex"));
    assert!(jsons.len() == hexes.len() && jsons.len() >= 5, "each example is there in both formats");
    for ((before, json), (_, hex)) in jsons.into_iter().zip(hexes) {
        let subject = if json.contains("seen_at") {
            same::<GateEvent>(json, hex).subject()
        } else {
            let command = same::<LaneCommand>(json, hex);
            format!("lane.{}.{}", command.lot, command.lane)
        };
        let said = before.lines().last().expect("each example is introduced");
        assert!(said.contains(&format!("`{subject}`")), "{said:?} does not name {subject}");
    }
}

/// All words of an enum, as serde lists them for whoever says another.
fn words<T: DeserializeOwned + Debug>() -> Vec<String> {
    let error = serde_json::from_str::<T>("\"?\"").expect_err("no word").to_string();
    let words: Vec<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert!(words.len() > 1, "{error}");
    words
}

#[test]
fn every_word_is_on_the_page() {
    let lists = [
        words::<GateKind>(),
        words::<CredentialKind>(),
        words::<Colour>(),
        words::<VehicleClass>(),
        words::<Energy>(),
        words::<Verdict>(),
        words::<Refusal>(),
    ];
    for word in lists.concat() {
        assert!(PAGE.contains(&format!("`{word}`")), "{word} is not said");
    }
}

#[test]
fn every_limit_is_as_the_page_says() {
    assert!(PAGE.contains(&format!("at most {INBOX_BYTES_MAX} bytes")));
    assert!(PAGE.contains(&format!("`text`: 1 to {} characters", Credential::TEXT_MAX)));
    assert!(PAGE.contains(&format!("{} minutes ahead", Answer::AHEAD_MAX / MINUTE)));
    assert!(PAGE.contains(&format!("{} days late", Answer::KEPT / DAY)));
    let name = |length: usize| "x".repeat(length);
    assert!(PAGE.contains("names of 1 to 32\ncharacters") && PAGE.contains("1 to 64 characters of"));
    assert!(name(32).parse::<LotId>().is_ok() && name(33).parse::<LotId>().is_err());
    assert!(name(32).parse::<LaneId>().is_ok() && name(33).parse::<LaneId>().is_err());
    assert!(name(64).parse::<EventId>().is_ok() && name(65).parse::<EventId>().is_err());
}
