//! How fast the pure rules are: `cargo bench -p rules`.

use criterion::{Criterion, criterion_group, criterion_main};
use rules::{Body, Facts, Input, Limits, View};
use schema::{
    Currency, Entity, GateEvent, GateKind, Handle, Inbox, Key, Moment, Reference,
    gate::{Colour, Credential},
    id::Province,
    reference::{Declared, LotDeclared, RateTable, Step},
    time::MINUTE,
};
use std::hint::black_box;

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
    RateTable { id: "city".into(), version: 1, currency: Currency::Cny, free_min: 15, steps, cap_per_24h: Some(4_000) }
}

fn rules(criterion: &mut Criterion) {
    let table = rates();
    criterion.bench_function("quote a stay of three days", |bench| {
        bench.iter(|| rules::quote::quote(black_box(&table), Moment(0), Moment(3 * 24 * 60 * MINUTE)));
    });
    let lot = LotDeclared {
        lot: "lot-1".parse().expect("a name"),
        province: Province(44),
        zone: "Asia/Shanghai".into(),
        capacity: 100,
        open: true,
        rate_table: Some("city".into()),
        lanes: vec!["in".parse().expect("a name")],
    };
    let reference = Reference::resolve(Declared { lots: vec![lot], rate_tables: vec![table] }).expect("valid reference data");
    let event = GateEvent {
        id: "e1".parse().expect("a name"),
        lot: "lot-1".parse().expect("a name"),
        lane: "in".parse().expect("a name"),
        kind: GateKind::Entry,
        seen_at: Moment(1_795_392_000_000_000),
        credential: Credential::plate("粤B12345", Colour::Blue),
        class: None,
        energy: None,
        confidence: None,
    };
    let (key, time) = (event.key().into(), event.seen_at);
    let input = Input { inbox: Inbox::Gate, sequence: 1, key, time, received_at: time, body: Body::Gate(event) };
    let limits = Limits::default();
    let facts = Facts { reference: &reference, limits: &limits };
    criterion.bench_function("decide an entry", |bench| bench.iter(|| (rules::entry::RULES.decide)(&Empty, &facts, black_box(&input))));
}

criterion_group!(benches, rules);
criterion_main!(benches);
