//! Saying something at a desk: from a file, checked whole before any of it is published, and the decisions waited for.
//!
//! Invariants
//! 1. What is not sound is refused before anything is published   (`tests::what_is_not_sound_is_refused_whole`).
//! 2. What was published is reported as decided only once it is   (`tests::what_was_said_is_reported_once_it_is_decided`).
//!
//! Not here: how a decision is waited for (`gateway::say`), what becomes of it (`rules::entry`, `rules::payment`).

use anyhow::{Context, bail};
use gateway::{Desks, Journals, Outcome};
use schema::{
    DeskEvent, Event, Journal, Recorded,
    exception::ReconEvent,
    journal::{PaymentEvent, SessionEvent},
};
use std::{sync::Arc, time::Duration};
use streams::Bus;

/// How long the broker may take to store what is said.
const STORE_WAIT: Duration = Duration::from_secs(10);
/// How long a decision is waited for.
const DECIDED_WAIT: Duration = Duration::from_secs(10);

/// Reads what is to be said: one JSON object, or an array of them.
pub fn read(text: &str) -> anyhow::Result<Vec<DeskEvent>> {
    let said: Vec<DeskEvent> = if text.trim_start().starts_with('[') { serde_json::from_str(text)? } else { vec![serde_json::from_str(text)?] };
    let checked = |(at, event): (usize, DeskEvent)| {
        event.checked().map_err(|wrong| anyhow::anyhow!("{wrong}")).with_context(|| format!("number {} is refused, and so nothing is said", at + 1))
    };
    said.into_iter().enumerate().map(checked).collect()
}

/// Says it all and prints what was decided of each; gives whether all of it was.
pub async fn say(bus: Arc<dyn Bus>, events: &[DeskEvent]) -> anyhow::Result<bool> {
    let desks = Desks::new(Journals::new(bus, 1), STORE_WAIT, DECIDED_WAIT);
    let mut all = true;
    for event in events {
        match desks.say(event, None).await? {
            Outcome::Decided(recorded) => println!("{}: {}", event.subject(), recorded.iter().map(words).collect::<Vec<_>>().join("; ")),
            Outcome::Stored => {
                println!("{}: stored, and not decided yet: is `boomgate run {}` running?", event.subject(), decides(event));
                all = false;
            }
        }
    }
    Ok(all)
}

/// The processor that decides what is said.
pub(crate) const fn decides(event: &DeskEvent) -> &'static str {
    match event.says.decided_in() {
        Journal::Payment => "payment",
        Journal::Recon => "reconciliation",
        Journal::Session | Journal::Order | Journal::Ledger => "entry",
    }
}

pub(crate) fn words(recorded: &Recorded) -> String {
    match &recorded.event {
        Event::Session(SessionEvent::Stated { stated, dropped, .. }) => {
            format!("{} {} is in force for {} vehicles, and no more for {}", stated.what.kind().as_str(), stated.part, stated.of.len(), dropped.len())
        }
        Event::Session(SessionEvent::Validated { validation, .. }) if validation.over => "validated, over its limit: it takes nothing off".to_owned(),
        Event::Recon(ReconEvent::Noted { note, .. }) => format!("nothing was to be done: {note:?}"),
        Event::Session(SessionEvent::Noted { note, .. })
        | Event::Payment(PaymentEvent::Noted { note, .. } | PaymentEvent::ShiftNoted { note, .. }) => format!("nothing was to be done: {note:?}"),
        event => event.kind().to_owned(),
    }
}

/// Reads a file, or standard input for `-`.
pub fn text(path: &std::path::Path) -> anyhow::Result<String> {
    if path == std::path::Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).context("cannot read standard input");
    }
    let length = std::fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.len();
    if length > FILE_BYTES_MAX {
        bail!("{} has {length} bytes: at most {FILE_BYTES_MAX} are read at once", path.display());
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, input, trial::Trial, turn::turn};

    const BAN: &str = r#"{"id": "1", "lot": "small", "said_at": 1795399200000000, "author": "lin", "reason": "three times",
        "says": {"kind": "stated", "part": "ban-1", "what": {"ban": {"scope": {"operator": "city"}, "from": 0, "reason": "fraud"}},
        "of": [{"kind": "plate", "text": "粤B·12345", "colour": "blue"}]}}"#;

    #[test]
    fn what_is_not_sound_is_refused_whole() {
        assert_eq!(read(BAN).expect("one").len(), 1);
        assert_eq!(read(&format!(" [{BAN}, {BAN}]")).expect("two").len(), 2);
        let unsound = format!("[{BAN}, {}]", BAN.replace("three times", ""));
        let refused = format!("{:#}", read(&unsound).expect_err("it has no reason"));
        assert!(refused.contains("number 2") && refused.contains("1 to 200"), "{refused}");
        for malformed in ["", "{}", "[", "[7]", r#"{"kind": "stated"}"#] {
            assert!(read(malformed).is_err(), "{malformed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_is_reported_once_it_is_decided() {
        let trial = Trial::new().await;
        let (bus, shared) = (trial.shared.bus.clone(), trial.shared.clone());
        let event = read(BAN).expect("it can be read").remove(0);
        assert!(
            !say(bus.clone(), &[DeskEvent { id: "0".parse().expect("a name"), ..event.clone() }]).await.expect("the bus is there"),
            "nobody decides"
        );
        let said = tokio::spawn({
            let (bus, event) = (bus.clone(), event.clone());
            async move { say(bus, &[event]).await }
        });
        clock::wait(Duration::from_secs(1)).await;
        let stored = bus.scan("DESK", 2, 1).await.expect("it is stored").remove(0);
        let delivery = streams::Delivery { stream: "DESK".into(), stored, deliveries: 1, place: 1, reply: String::new() };
        let cell = trial.cell().await;
        turn(shared, cell, vec![input::read(delivery).expect("it names a partition").1], false).await;
        assert!(said.await.expect("it ends").expect("the bus is there"));
        assert_eq!(words(&trial.journal().await[0]), "bans ban-1 is in force for 1 vehicles, and no more for 0");
    }
}
