//! What the wire format costs: one gate event and one priced order, in both formats, there and back.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use schema::{
    Cause, Credential, Currency, Event, GateEvent, GateKind, Inbox, Journal, LaneId, LotId, Moment, Money, Recorded,
    gate::Colour,
    id::Province,
    journal::{Departure, LineKind, OrderEvent, Quote, QuoteLine, Stay},
    wire::{self, Format},
};
use std::hint::black_box;

fn lot() -> LotId {
    "lot-0042".parse().expect("a token")
}

fn lane(name: &str) -> LaneId {
    name.parse().expect("a token")
}

fn gate_event() -> GateEvent {
    GateEvent {
        id: "1042-e-plain-once".parse().expect("a token"),
        lot: lot(),
        lane: lane("in"),
        kind: GateKind::Entry,
        seen_at: Moment(1_795_399_200_000_000),
        credential: Credential::plate("粤B12345", Colour::Blue),
        class: None,
        energy: None,
        confidence: None,
        decided: None,
    }
}

fn priced() -> Recorded {
    let entry = gate_event();
    let stay = Stay {
        session: "S4426112307SE85PbTwoLFzFY9q".parse().expect("a token"),
        lot: lot(),
        province: Province(44),
        credential: entry.credential,
        lane: entry.lane,
        entered_at: entry.seen_at,
        class: schema::VehicleClass::Small,
        energy: schema::Energy::Fuel,
        sharers: vec![],
    };
    let line = |from_min, to_min| QuoteLine::new(LineKind::Step, (from_min, to_min), 4, 250, 1_000);
    let total = Money::new(2_000, Currency::Cny);
    let quote = Quote { rate_table: "street".into(), version: 1, minutes: 125, lines: vec![line(0, 60), line(60, 125)], total };
    let departure = Departure { lane: lane("out"), left_at: entry.seen_at.plus(7_500_000_000), event: entry.id, local: false, deducts: None };
    let order = "O4426112307SE85PbTwoLFzFY9q".parse().expect("a token");
    let cause = Cause { inbox: Inbox::Session, sequence: 77, event: "1795399200000000".into(), time: entry.seen_at, index: 0 };
    let event = OrderEvent::Priced { order, stay, departure, quote, expires_at: Moment(1_795_399_230_000_000), inside: None };
    Recorded { at: Moment(1_795_406_700_000_000), cause, event: Event::Order(event) }
}

fn wire_format(criterion: &mut Criterion) {
    for format in [Format::MessagePack, Format::Json] {
        let (gate, order) = (gate_event(), priced());
        let (gate_bytes, order_bytes) = (wire::encode(format, &gate), wire::encode(format, &order));
        let content_type = Some(format.content_type());
        let mut group = criterion.benchmark_group(format.content_type());
        group.throughput(Throughput::Bytes(gate_bytes.len() as u64));
        group.bench_function("write a gate event", |bench| bench.iter(|| wire::encode(format, black_box(&gate))));
        group.bench_function("read a gate event", |bench| bench.iter(|| wire::decode::<GateEvent>(content_type, black_box(&gate_bytes))));
        group.throughput(Throughput::Bytes(order_bytes.len() as u64));
        group.bench_function("write a priced order", |bench| bench.iter(|| wire::encode(format, black_box(&order))));
        group.bench_function("read a priced order", |bench| {
            bench.iter(|| wire::decode_recorded(Journal::Order, content_type, black_box(&order_bytes)));
        });
        group.finish();
    }
}

criterion_group!(benches, wire_format);
criterion_main!(benches);
