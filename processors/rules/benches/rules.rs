//! How fast the pure rules are: `cargo bench -p rules`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rules::{
    Body, Facts, Input, Limits, View,
    entry::checks::{self, Case, Fact, Here, Judged, LaneSays, LotSays, Missed, Passback, Policy},
    quote::{Stay, quote},
};
use schema::{
    Currency, Energy, Entity, GateEvent, GateKind, Handle, Inbox, Key, Moment, Money, Reference, Token, VehicleClass, Verdict, Zone,
    fact::{Arrear, AssignedRight, Ban, Kind, LocalMinute, Part, Presence, Reservation, Scope, TimeBand, Weekdays, What},
    gate::{Colour, Credential},
    id::{self, Place, Province},
    rate::Tariff,
    reference::{Declared, LotDeclared, RateTable, Step},
    time::{DAY, MINUTE},
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
    let tiers: RateTable = toml::from_str(include_str!("../tariffs/tiers.toml")).expect("a rate table");
    let tiers = Tariff::resolve(&[Arc::new(tiers)], &[]).expect("a sound table");
    let entered_at = Moment(1_795_392_420_000_000);
    for (name, tariff, zone, days) in [
        ("quote three days of tiers", &tiers, "Asia/Shanghai", 3),
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
        province: Province(44),
        zone: "Asia/Shanghai".into(),
        capacity: 100,
        rate_table: Some("city".into()),
        lanes: vec!["in".parse().expect("a name")],
        ..LotDeclared::named("lot-1".parse().expect("a name"))
    };
    let reference = Reference::resolve(Declared { lots: vec![lot], rate_tables: vec![table], ..Declared::default() }).expect("valid reference data");
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
        decided: None,
    };
    let (key, time) = (event.key().into(), event.seen_at);
    let input = Input { inbox: Inbox::Gate, sequence: 1, key, time, received_at: time, body: Body::Gate(event) };
    let limits = Limits::default();
    let facts = Facts { reference: &reference, limits: &limits };
    criterion.bench_function("decide an entry", |bench| bench.iter(|| (rules::entry::RULES.decide)(&Empty, &facts, black_box(&input))));
}

/// A car with something of everything comes to a lot that asks for everything: all checks are made, and it comes in.
fn checks(criterion: &mut Criterion) {
    let name = |text: &str| text.parse().expect("a name");
    let seen_at = Moment(1_795_392_000_000_000);
    let (credential, other) = (Credential::plate("粤B12345", Colour::Blue), Credential::plate("粤B22222", Colour::Blue));
    let (operator, lot, groups) = (name("city"), name("lot-1"), [name("centre"), name("river")]);
    let part = |id: &str, what| Part { id: id.parse().expect("a name"), at: seen_at, what };
    let (from, until, far) = (seen_at.plus(-MINUTE), seen_at.plus(MINUTE), name("far"));
    let bands = vec![TimeBand { days: Weekdays::WORKDAYS, from_min: 420, to_min: 1140 }];
    let right = |scope| What::Right(AssignedRight { scope, bands: bands.clone(), from, until, cars_max: 2, holders: vec![credential.clone()] });
    let place = Place { province: Province(44), day: seen_at.utc_day(), partition: schema::Partition(0) };
    let session = id::derive(id::Kind::Session, place, &["s"]);
    let rights = [part("pass-1", right(Scope::Lots(vec![far]))), part("pass-2", right(Scope::Groups(vec![name("river")])))];
    let banned = [part("ban-1", What::Ban(Ban { scope: Scope::Lots(vec![far]), from, until: None, reason: "fraud".into() }))];
    let owed = Arrear { order: session, operator: name("other"), lot: far, amount: Money::new(500, Currency::Cny) };
    let arrears = [part("owed-1", What::Arrear(owed))];
    let there = Presence { session, lot: far, credential: other, since: from, right: Some("pass-2".parse().expect("a name")) };
    let presence = [part("s", What::Presence(there))];
    let reservations = [part("r", What::Reservation(Reservation { lot, from, until }))];
    let facts = checks::Facts::PENDING
        .with(Kind::Rights, Fact::Here(&rights))
        .with(Kind::Bans, Fact::Here(&banned))
        .with(Kind::Arrears, Fact::Here(&arrears))
        .with(Kind::Presence, Fact::Here(&presence))
        .with(Kind::Reservations, Fact::Here(&reservations));
    let missed = Missed { bans: Policy::Allow, rights: Policy::Allow, arrears: Policy::Ask, reservations: Policy::Allow };
    let lot = LotSays {
        lot: &lot,
        operator: &operator,
        groups: &groups,
        open: true,
        capacity: 100,
        holders_only: true,
        reservable: true,
        inside: Passback::Flag,
        arrears: Policy::Refuse,
        confidence_min: 60.try_into().expect("0 to 100"),
        double_read: 5_000_000,
        missed,
    };
    let case = Case {
        kind: GateKind::Entry,
        seen_at,
        local: LocalMinute { weekday: 0, minute: 480 },
        credential: &credential,
        class: VehicleClass::Small,
        energy: Energy::Fuel,
        confidence: Some(97.try_into().expect("0 to 100")),
        lot,
        lane: LaneSays { declared: true, entry: true, exit: false, classes: &[VehicleClass::Small], energies: &[Energy::Fuel, Energy::New] },
        here: Here { occupied: 98, reserved: 2, inside_since: None, read_at: Some(seen_at.plus(-MINUTE)) },
        facts,
    };
    let Judged::Decided(decision) = checks::judge(&case) else { panic!("all facts are here") };
    assert_eq!((decision.verdict, decision.marks.right.map(Token::as_str)), (Verdict::Open, Some("pass-2")));
    let mut group = criterion.benchmark_group("judge an entry");
    group.throughput(Throughput::Elements(1));
    group.bench_function("by all checks", |bench| bench.iter(|| checks::judge(black_box(&case)).eq(&Judged::Again)));
    let pending = Case { facts: checks::Facts::PENDING, ..case };
    group.bench_function("before its facts are here", |bench| bench.iter(|| checks::judge(black_box(&pending)).eq(&Judged::Again)));
    group.finish();
}

criterion_group!(benches, rules, checks);
criterion_main!(benches);
