use super::*;
use crate::{
    replica::Readiness,
    run::{self, With},
    settings::Settings,
    trial::{START, gate, message},
};
use layout::CURRENT;
use schema::{GateKind, Journal, Reference, wire};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Sqlite;
use streams::{Bus, JetStream, Memory, Options, Server, table::REFERENCE};
use tokio::sync::watch as channel;

/// What a promise is tried on: a fresh broker, which ends with it.
struct Bed {
    name: &'static str,
    bus: Arc<dyn Buckets>,
    _server: Option<(Server, tempfile::TempDir)>,
}

/// In memory, and on a real server.
async fn beds() -> [Bed; 2] {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path()).await.expect("a nats-server");
    let bus = JetStream::connect(&server.url(), Options { name: "reference".into(), ..Options::default() }).await.expect("it connects");
    bus.provision(&streams::Declared::default()).await.expect("it is provisioned");
    [
        Bed { name: "in memory", bus: Arc::new(Memory::new(START)), _server: None },
        Bed { name: "a server", bus: Arc::new(bus), _server: Some((server, folder)) },
    ]
}

fn table(version: u32, price: i64) -> Value {
    let table = json!({ "id": "city", "version": version, "currency": "CNY", "steps": [{ "unit_min": 60, "price": price }] });
    if version == 1 {
        return table;
    }
    let mut later = table;
    later["valid_from"] = json!(format!("20{:02}-01-01T00:00", 20_u32.saturating_add(version)));
    later
}

fn lot(name: &str, capacity: i64) -> Value {
    json!({ "lot": name, "province": 44, "zone": "Asia/Shanghai", "capacity": capacity, "rate_table": "city", "lanes": ["in", "out"] })
}

fn catalog(lots: impl IntoIterator<Item = Value>, tables: impl IntoIterator<Item = Value>) -> Catalog {
    let declared = json!({ "lots": lots.into_iter().collect::<Vec<_>>(), "rate_tables": tables.into_iter().collect::<Vec<_>>() });
    Catalog::of(&serde_json::from_value(declared).expect("it reads as reference data")).expect("no name comes twice")
}

fn one_lot(capacity: i64) -> Catalog {
    catalog([lot("a", capacity)], [table(1, 500)])
}

async fn put(bed: &Bed, catalog: &Catalog) -> u64 {
    let offer = Offer::make(&*bed.bus, catalog.clone()).await.expect("it may come into force");
    offer.apply(&*bed.bus).await.expect("it comes into force")
}

async fn held(bed: &Bed) -> layout::Version {
    match layout::read(&*bed.bus).await.expect("the broker answers") {
        Held::Whole(version) => version,
        other => panic!("{}: {other:?}", bed.name),
    }
}

fn capacity(reference: &Reference, name: &str) -> Option<i64> {
    Some(reference.lot(&name.parse().expect("a name"))?.declared.capacity)
}

/// Waits until what is held says so; gives how long it took.
async fn until(in_force: &InForce, lot: &str, wanted: i64) -> Duration {
    let begin = crate::clock::now();
    while capacity(&in_force.now(), lot) != Some(wanted) {
        assert!(begin.elapsed() < Duration::from_secs(20), "{lot} never holds {wanted}: {:?}", capacity(&in_force.now(), lot));
        crate::clock::wait(Duration::from_millis(5)).await;
    }
    begin.elapsed()
}

#[tokio::test]
async fn what_is_applied_is_in_force_and_differs_no_more() {
    for bed in beds().await {
        let first = catalog([lot("a", 1), lot("b", 2)], [table(1, 500)]);
        let offer = Offer::make(&*bed.bus, first.clone()).await.expect("nothing is there");
        assert_eq!((offer.difference.to_string().as_str(), offer.is_in_force()), ("3 added, 0 changed, 0 removed", false));
        let revision = offer.apply(&*bed.bus).await.expect("it comes into force");
        assert!(Offer::make(&*bed.bus, first).await.expect("it is there").is_in_force());
        let second = catalog([lot("b", 3), lot("c", 4)], [table(1, 500), table(2, 600)]);
        let difference = Offer::make(&*bed.bus, second.clone()).await.expect("it may come into force").difference;
        let lines = ["+ lot c", "+ rate table city version 2", "- lot a", "~ lot b", "    capacity: 2 -> 3"];
        assert_eq!(difference.lines(10), lines.map(str::to_owned));
        assert!(put(&bed, &second).await > revision);
        assert_eq!(held(&bed).await.catalog, second, "{}", bed.name);
        let parts = bed.bus.keys(REFERENCE).await.expect("they are listed");
        assert_eq!(parts.len(), 2, "one part, one manifest, and what was is swept: {parts:?}");
    }
}

#[tokio::test]
async fn a_version_in_force_is_never_another_thing() {
    for bed in beds().await {
        put(&bed, &one_lot(1)).await;
        let refused = Offer::make(&*bed.bus, catalog([lot("a", 1)], [table(1, 999)])).await.map(drop).expect_err("it is in force");
        assert!(refused.to_string().contains("rate table city version 1 is in force with other steps"), "{refused:#}");
        assert!(refused.to_string().contains("new version"), "{refused:#}");
        put(&bed, &catalog([lot("a", 1)], [table(1, 500), table(2, 999)])).await;
    }
}

#[tokio::test]
async fn twenty_thousand_lots_are_held() {
    let name = |number: i64| format!("lot-{number:05}");
    let lots = |more: i64| (0..20_000).map(move |number| lot(&name(number), number.saturating_add(more)));
    for bed in beds().await {
        for more in [0, 1] {
            put(&bed, &catalog(lots(more), [table(1, 500)])).await;
            let held = held(&bed).await;
            assert_eq!(held.reference.lots().count(), 20_000);
            assert_eq!(capacity(&held.reference, &name(19_999)), Some(19_999 + more), "{}", bed.name);
        }
    }
}

#[tokio::test]
async fn a_change_is_seen_within_a_second_and_a_restart_reads_it_whole() {
    for bed in beds().await {
        put(&bed, &one_lot(1)).await;
        let (_stop, stopped) = channel::channel(false);
        let in_force = follow(bed.bus.clone(), stopped.clone()).await.expect("nobody stops it");
        let snapshot = in_force.now();
        assert_eq!(capacity(&snapshot, "a"), Some(1));
        for wanted in 2..6 {
            put(&bed, &one_lot(wanted)).await;
            let took = until(&in_force, "a", wanted).await;
            assert!(took < Duration::from_secs(1), "{}: {took:?}", bed.name);
        }
        assert_eq!(capacity(&snapshot, "a"), Some(1), "who holds a version keeps it");
        let again = follow(bed.bus.clone(), stopped).await.expect("nobody stops it");
        assert_eq!(capacity(&again.now(), "a"), Some(5));
    }
}

#[tokio::test]
async fn what_is_damaged_is_refused() {
    for bed in beds().await {
        put(&bed, &one_lot(1)).await;
        let (_stop, stopped) = channel::channel(false);
        let in_force = follow(bed.bus.clone(), stopped).await.expect("nobody stops it");
        let good = bed.bus.entry(REFERENCE, CURRENT).await.expect("the broker answers").expect("it is there").value;
        let good: Value = serde_json::from_slice(&good).expect("JSON");
        let with = |change: &dyn Fn(&mut Value)| {
            let mut manifest = good.clone();
            change(&mut manifest);
            manifest.to_string()
        };
        // As a second version whose part is not what its key says: a flipped bit on a disk.
        let text = one_lot(7).parts(1_000_000).remove(0);
        let part = format!("part.{}", schema::id::digest(&[&text], 21));
        bed.bus.put(REFERENCE, &part, text.replace(":7", ":8").into(), None).await.expect("it is written");
        let flipped = json!({ "layout": 1, "version": schema::id::digest(&[&part], 21), "parts": [part] }).to_string();
        let missing = json!({ "layout": 1, "version": schema::id::digest(&["part.none"], 21), "parts": ["part.none"] }).to_string();
        let whole = one_lot(-1).parts(1_000_000).remove(0);
        let unsound = format!("part.{}", schema::id::digest(&[&whole], 21));
        bed.bus.put(REFERENCE, &unsound, whole.into(), None).await.expect("it is written");
        let unsound = json!({ "layout": 1, "version": schema::id::digest(&[&unsound], 21), "parts": [unsound] }).to_string();
        for (manifest, why) in [
            ("{ not JSON".to_owned(), "key must be a string"),
            (String::new(), "deleted by hand"),
            (with(&|manifest| manifest["layout"] = json!(2)), "upgrade"),
            (with(&|manifest| manifest["parts"] = json!([])), "its parts are not those of version"),
            (missing, "part.none is missing"),
            (flipped, "holds something else"),
            (unsound, "lot a: capacity"),
        ] {
            let revision = bed.bus.put(REFERENCE, CURRENT, manifest.into(), None).await.expect("anybody may write");
            match layout::read(&*bed.bus).await.expect("the broker answers") {
                Held::Damaged { revision: found, why: said } => assert!(found == revision && said.contains(why), "{why}: {said}"),
                other => panic!("{why}: {other:?}"),
            }
            crate::clock::wait(Duration::from_millis(100)).await;
            assert_eq!(capacity(&in_force.now(), "a"), Some(1), "{why}: the last good version stays in force");
        }
        let offer = Offer::make(&*bed.bus, one_lot(1)).await.expect("it may come into force");
        assert!(!offer.is_in_force(), "what is damaged is not in force, whatever it was");
        put(&bed, &one_lot(9)).await;
        until(&in_force, "a", 9).await;
    }
}

#[tokio::test]
async fn of_racing_appliers_one_wins_and_the_others_are_told() {
    for bed in beds().await {
        for round in 0..5 {
            let offers = (0..4).map(|writer| Offer::make(&*bed.bus, one_lot(100 * round + writer)));
            let offers = futures_util::future::try_join_all(offers).await.expect("each may come into force");
            let outcomes = futures_util::future::join_all(offers.iter().map(|offer| offer.apply(&*bed.bus))).await;
            let won: Vec<i64> = (0..).zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(writer, _)| 100 * round + writer).collect();
            let told = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
            assert!(told.map(|error| error.kind).all(|kind| kind == Kind::Stale), "{outcomes:?}");
            assert_eq!(won.len(), 1, "{outcomes:?}");
            assert_eq!(capacity(&held(&bed).await.reference, "a"), won.first().copied(), "{}", bed.name);
        }
    }
}

#[tokio::test]
async fn a_sweep_leaves_what_is_about_to_be_in_force() {
    for bed in beds().await {
        put(&bed, &one_lot(1)).await;
        put(&bed, &one_lot(2)).await;
        // Somebody reads this manifest, puts his part, and is slow; meanwhile nothing comes into force.
        let read = held(&bed).await.revision;
        let text = one_lot(1).parts(1_000_000).remove(0);
        let part = format!("part.{}", schema::id::digest(&[&text], 21));
        bed.bus.put(REFERENCE, &part, text.into(), None).await.expect("it is written");
        // A sweep of what is in force, as one that was slow does it now.
        bed.bus.forget(REFERENCE, &part, read).await.expect("the broker answers");
        let manifest = json!({ "layout": 1, "version": schema::id::digest(&[&part], 21), "parts": [part] }).to_string();
        bed.bus.put(REFERENCE, CURRENT, manifest.into(), Some(read)).await.expect("nothing came into force since");
        assert_eq!(capacity(&held(&bed).await.reference, "a"), Some(1), "{}", bed.name);
    }
}

/// Many readers read while many versions come into force, each swept by the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_a_version_whole() {
    let version = |capacity: i64| catalog((0..300).map(|number| lot(&format!("lot{number}-{}", "x".repeat(20)), capacity)), [table(1, 500)]);
    for bed in beds().await {
        put(&bed, &version(0)).await;
        let (done, watching) = channel::channel(false);
        let readers = (0..3).map(|_| {
            let (bus, watching) = (bed.bus.clone(), watching.clone());
            tokio::spawn(async move {
                let mut seen = std::collections::BTreeSet::new();
                while !*watching.borrow() {
                    match layout::read(&*bus).await.expect("the broker answers") {
                        Held::Whole(version) => {
                            let capacities: std::collections::BTreeSet<i64> = version.reference.lots().map(|lot| lot.declared.capacity).collect();
                            assert_eq!((capacities.len(), version.reference.lots().count()), (1, 300), "a half: {capacities:?}");
                            seen.extend(capacities);
                        }
                        other => panic!("{other:?}"),
                    }
                    tokio::task::yield_now().await;
                }
                seen.len()
            })
        });
        let readers: Vec<_> = readers.collect();
        for capacity in 1..40 {
            put(&bed, &version(capacity)).await;
            tokio::task::yield_now().await;
        }
        done.send_replace(true);
        for reader in readers {
            assert!(reader.await.expect("no half was seen") > 1, "{}: it read while things changed", bed.name);
        }
    }
}

#[tokio::test]
async fn what_a_process_is_started_with_is_brought_once() {
    for bed in beds().await {
        bring(&*bed.bus, &one_lot(1)).await.expect("it comes into force");
        let first = held(&bed).await.revision;
        bring(&*bed.bus, &one_lot(1)).await.expect("it is in force");
        assert_eq!(held(&bed).await.revision, first, "nothing differs, so nothing is written");
        let both = [one_lot(2), one_lot(2)];
        futures_util::future::try_join_all(both.iter().map(|catalog| bring(&*bed.bus, catalog))).await.expect("two start at once");
        assert_eq!(capacity(&held(&bed).await.reference, "a"), Some(2));
        bring(&*bed.bus, &catalog([], [table(1, 1)])).await.expect_err("another thing under a version in force");
    }
}

/// All processors on one bus in memory; what they decide is told by the kinds in the journal of sessions.
#[tokio::test(start_paused = true)]
async fn nobody_decides_before_the_first_full_read() {
    let bus = Arc::new(Memory::new(START));
    let (stop, stopped) = channel::channel(false);
    let readiness = Arc::new(Readiness::default());
    let running = {
        let (bus, readiness, stopped) = (bus.clone(), readiness.clone(), stopped.clone());
        tokio::spawn(async move {
            let reference = follow(bus.clone(), stopped.clone()).await.expect("nobody stops it before");
            let (limits, settings) = (rules::Limits::default(), Settings { keep_inputs: true, ..Settings::default() });
            let cache = Arc::new(store::cache::Memory::new(1_000));
            let with = With {
                bus,
                store: Arc::new(Sqlite::in_memory()),
                cache,
                reference,
                limits,
                settings,
                json: vec![Journal::Session],
                replica: "one".into(),
            };
            run::run(rules::ALL.to_vec(), with, readiness, stopped).await;
        })
    };
    let kinds = async || {
        crate::clock::wait(Duration::from_secs(5)).await;
        let stored = bus.scan("SESSION", 1, 100).await.expect("the bus is in memory");
        let read = |stored: &streams::Stored| wire::decode_recorded(Journal::Session, crate::input::content_type(stored), &stored.payload);
        stored.iter().map(|stored| read(stored).expect("we wrote it").event.kind()).collect::<Vec<_>>()
    };
    bus.publish(message(&gate(GateKind::Entry, "A", 0))).await.expect("the bus takes it");
    assert_eq!(kinds().await, [""; 0]);
    assert!(!readiness.is_ready(&["entry"]));
    let bed = Bed { name: "in memory", bus: bus.clone(), _server: None };
    let at = |name: &str| catalog([lot(name, 2)], [table(1, 500)]);
    put(&bed, &at("elsewhere")).await;
    assert_eq!(kinds().await, ["refused"], "the lot is not known");
    assert!(readiness.is_ready(&["entry"]));
    put(&bed, &at("small")).await;
    bus.publish(message(&gate(GateKind::Entry, "B", 1))).await.expect("the bus takes it");
    assert_eq!(kinds().await, ["refused", "opened"], "the lot came into force");
    stop.send_replace(true);
    running.await.expect("it ends well");
}
