//! How long it takes to take over a partition with 10,000 events to fold, on a real nats-server: `make bench SCENARIO=takeover`.
//!
//! It looks inside, so it is no scenario of the crate `bench`, which knows the words and the roads alone. Its argument is the folder that takeover.json goes to;
//! without one it only prints.
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use anyhow::Context;
use boomgate::{metrics::Metrics, replica::Shared, settings::Settings, state, takeover};
use rules::{Body, Facts, Input, Limits};
use schema::{
    Currency, GateEvent, GateKind, Inbox, Moment, Partition, Reference,
    gate::{Colour, Credential},
    id::Province,
    reference::{Declared, LotDeclared, RateTable, Step},
    wire::{self, Format},
};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Instant};
use store::Sqlite;
use streams::{Append, Bus, JetStream, Message, Options, Server};

const EVENTS: i64 = 10_000;
/// How often the partition is taken over; the slowest counts.
const ROUNDS: usize = 5;

fn reference() -> anyhow::Result<Reference> {
    let steps = vec![Step { to_min: None, unit_min: 60, price: 500 }];
    let table = RateTable { id: "hourly".into(), version: 1, currency: Currency::Cny, free_min: 0, steps, ..RateTable::default() };
    let lot = LotDeclared {
        province: Province(44),
        zone: "Asia/Shanghai".into(),
        capacity: EVENTS,
        rate_table: Some("hourly".into()),
        lanes: vec!["in".parse()?],
        ..LotDeclared::named("large".parse()?)
    };
    Ok(Reference::resolve(Declared { lots: vec![lot], rate_tables: vec![table], ..Declared::default() })?)
}

fn entry(number: i64, now: Moment) -> anyhow::Result<Input> {
    let (lot, lane, kind) = ("large".parse()?, "in".parse()?, GateKind::Entry);
    let credential = Credential::plate(&format!("car {number}"), Colour::Blue);
    let event = GateEvent {
        id: format!("e{number}").parse()?,
        lot,
        lane,
        kind,
        seen_at: now,
        credential,
        class: None,
        energy: None,
        confidence: None,
        decided: None,
    };
    Ok(Input { inbox: Inbox::Gate, sequence: 1, key: event.key().into(), time: now, received_at: now, body: Body::Gate(event) })
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("boomgate-takeover-{}", std::process::id()));
    let mut server = Server::start(&folder).await?;
    let bus = Arc::new(JetStream::connect(&server.url(), Options { name: "takeover".into(), ..Options::default() }).await?);
    bus.provision(&streams::Declared::default()).await?;
    let rules = &rules::entry::RULES;
    let (store, reference) = (Arc::new(Sqlite::in_memory()), Arc::new(reference()?));
    let (limits, settings, metrics) = (Limits::default(), Settings::default(), Metrics::new(rules.name));
    let cache = Arc::new(store::cache::Memory::new(1));
    let shared = Shared {
        rules,
        bus: bus.clone(),
        store,
        cache,
        follower: None,
        reference: reference.clone().into(),
        limits,
        format: Format::MessagePack,
        settings,
        metrics,
    };
    let partition = Partition::of_lot("large");
    let now = bus.look("GATE").await?.now;
    let mut own = state::State::new(rules.journal, partition);
    let rows = state::Rows::new();
    for first in (0..EVENTS).step_by(Append::MESSAGES_MAX) {
        let mut draft = state::Draft::new(rules, &own, &rows);
        for number in (first..EVENTS).take(Append::MESSAGES_MAX) {
            let input = entry(number, now.plus(number))?;
            let events = (rules.decide)(&draft, &Facts { reference: &reference, limits: &shared.limits }, &input);
            draft.record(&input, shared.answer_key(&own, &input), events);
        }
        let changes = draft.finish();
        let subject = streams::subject::journal_subject(rules.journal, Province(44), partition, "opened");
        let message =
            |recorded| Message { subject: subject.clone(), payload: wire::encode(Format::MessagePack, recorded).into(), headers: BTreeMap::new() };
        let messages = changes.events.iter().map(message).collect();
        let appended = bus.append(Append { journal: rules.journal, partition, expected: own.last, messages }).await?;
        own.absorb(changes, appended.last);
    }
    let mut rounds_ms = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let taken = takeover::take_over(&shared, partition).await?;
        let took_ms = begin.elapsed().as_secs_f64() * 1e3;
        println!("{EVENTS} events, {} entities: taken over in {took_ms:.0} ms", taken.count());
        rounds_ms.push(took_ms);
    }
    server.stop().await;
    fs::remove_dir_all(&folder)?;
    if let Some(out) = std::env::args().nth(1) {
        tell(Path::new(&out), &rounds_ms)?;
    }
    Ok(())
}

/// Writes takeover.json.
fn tell(out: &Path, rounds_ms: &[f64]) -> anyhow::Result<()> {
    let slowest_ms = rounds_ms.iter().copied().fold(0.0, f64::max);
    let report = serde_json::json!({ "scenario": "takeover", "events": EVENTS, "takeover_ms": slowest_ms, "rounds_ms": rounds_ms });
    let path = out.join("takeover.json");
    fs::create_dir_all(out).with_context(|| format!("no folder {}", out.display()))?;
    fs::write(&path, serde_json::to_string_pretty(&report)? + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}
