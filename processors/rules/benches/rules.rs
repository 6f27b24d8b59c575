//! How fast the pure rules are: `cargo bench -p rules`.

use criterion::{Criterion, criterion_group, criterion_main};
use rules::{
    Body, Facts, Input, Limits, View,
    quote::{Stay, quote},
};
use schema::{
    Currency, Entity, GateEvent, GateKind, Handle, Inbox, Key, Moment, Reference, Zone,
    gate::{Colour, Credential},
    id::Province,
    rate::Tariff,
    reference::{Declared, LotDeclared, RateTable, Step},
    time::DAY,
};
use std::{hint::black_box, sync::Arc};

struct Empty;

impl View for Empty {
    fn get(&self, _: &Key) -> Option<&Entity> {
        None
    }

    fn find(&self, _: &Handle) -> Option<&Entity> {
        None
    }
}

fn rates() -> RateTable {
    let steps = vec![Step { to_min: Some(120), unit_min: 30, price: 300 }, Step { to_min: None, unit_min: 60, price: 500 }];
    RateTable { id: "city".into(), version: 1, currency: Currency::Cny, free_min: 15, steps, cap_per_24h: Some(4_000), ..RateTable::default() }
}

/// Steps alone, and bands of day and night with caps, from Monday 08:07 in Shanghai and, where clocks are set, in Los Angeles.
fn quotes(criterion: &mut Criterion) {
    let steps = Tariff::resolve(&[Arc::new(rates())], &[]).expect("a sound table");
    let centre: Declared = toml::from_str(include_str!("../tariffs/centre.toml")).expect("reference data");
    let tables: Vec<_> = centre.rate_tables.into_iter().map(Arc::new).collect();
    let bands = Tariff::resolve(&tables, &centre.calendars).expect("a sound table");
    let entered_at = Moment(1_795_392_420_000_000);
    for (name, tariff, zone, days) in [
        ("quote three days of steps", &steps, "Asia/Shanghai", 3),
        ("quote three days of bands with caps", &bands, "Asia/Shanghai", 3),
        ("quote three days of bands with caps where clocks are set", &bands, "America/Los_Angeles", 3),
        ("quote ten years of bands with caps", &bands, "Asia/Shanghai", 3_653),
    ] {
        let zone = Zone::named(zone).expect("a zone");
        let stay = Stay::new(entered_at, entered_at.plus(days * DAY), &zone);
        criterion.bench_function(name, |bench| bench.iter(|| quote(black_box(tariff), black_box(&stay))));
    }
}

fn rules(criterion: &mut Criterion) {
    quotes(criterion);
    let table = rates();
    let lot = LotDeclared {
        lot: "lot-1".parse().expect("a name"),
        province: Province(44),
        zone: "Asia/Shanghai".into(),
        capacity: 100,
        open: true,
        rate_table: Some("city".into()),
        lanes: vec!["in".parse().expect("a name")],
    };
    let reference = Reference::resolve(Declared { lots: vec![lot], rate_tables: vec![table], ..Declared::default() }).expect("valid reference data");
    let event = GateEvent {
        id: "e1".parse().expect("a name"),
        lot: "lot-1".parse().expect("a name"),
        lane: "in".parse().expect("a name"),
        kind: GateKind::Entry,
        seen_at: Moment(1_795_392_000_000_000),
        credential: Credential::plate("粤B12345", Colour::Blue),
    };
    let (key, time) = (event.key().into(), event.seen_at);
    let input = Input { inbox: Inbox::Gate, sequence: 1, key, time, received_at: time, body: Body::Gate(event) };
    let limits = Limits::default();
    let facts = Facts { reference: &reference, limits: &limits };
    criterion.bench_function("decide an entry", |bench| bench.iter(|| (rules::entry::RULES.decide)(&Empty, &facts, black_box(&input))));
}

criterion_group!(benches, rules);
criterion_main!(benches);
