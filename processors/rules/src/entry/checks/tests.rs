use super::*;
use proptest::prelude::*;
use schema::{
    Currency, Money, Token,
    fact::{Arrear, AssignedRight, Ban, Presence, Reservation, Scope, TimeBand, Weekdays},
    gate::Colour,
    id::{self, Place, Province},
    time::{MINUTE, SECOND},
};

const NOW: Moment = Moment(1_795_392_000_000_000);

fn name<const N: usize>(text: &str) -> Token<N> {
    text.parse().expect("a name")
}

/// Everything a case borrows. A lot of ten with one car in it, open to all; a car of which nothing is known.
#[expect(clippy::struct_excessive_bools, reason = "a table of switches for tests")]
#[derive(Clone, Debug)]
struct World {
    kind: GateKind,
    credential: Credential,
    class: VehicleClass,
    energy: Energy,
    confidence: Option<u8>,
    lot: LotId,
    operator: OperatorId,
    groups: Vec<GroupId>,
    open: bool,
    holders_only: bool,
    reservable: bool,
    inside: Passback,
    arrears: Policy,
    missed: Missed,
    declared: bool,
    entry: bool,
    classes: Vec<VehicleClass>,
    energies: Vec<Energy>,
    here: Here,
    parts: Vec<Part>,
    /// The kinds that did not come in time.
    away: Kinds,
}

fn world() -> World {
    World {
        kind: GateKind::Entry,
        credential: Credential::plate("粤B12345", Colour::Blue),
        class: VehicleClass::Small,
        energy: Energy::Fuel,
        confidence: None,
        lot: name("lot-1"),
        operator: name("city"),
        groups: vec![name("centre")],
        open: true,
        holders_only: false,
        reservable: true,
        inside: Passback::Refuse,
        arrears: Policy::Refuse,
        missed: Missed { bans: Policy::Allow, rights: Policy::Allow, arrears: Policy::Allow, reservations: Policy::Allow },
        declared: true,
        entry: true,
        classes: vec![],
        energies: vec![],
        here: Here { occupied: 1, ..Here::default() },
        parts: vec![],
        away: Kinds::NONE,
    }
}

impl World {
    fn holds(mut self, id: &str, what: What) -> Self {
        self.parts.push(Part { id: name(id), at: NOW, what });
        self
    }

    fn of(&self, kind: Kind) -> Vec<Part> {
        self.parts.iter().filter(|part| part.what.kind() == kind).cloned().collect()
    }

    /// Judges with the facts of `known` alone, the others pending, and gives what was said as text, ids in words.
    fn judge(&self, known: Kinds) -> String {
        let parts = Kind::ALL.map(|kind| (kind, self.of(kind)));
        let facts = parts.iter().fold(Facts::PENDING, |facts, (kind, parts)| match (known.contains(*kind), self.away.contains(*kind)) {
            (false, _) => facts,
            (true, true) => facts.with(*kind, Fact::Missed),
            (true, false) => facts.with(*kind, Fact::Here(parts)),
        });
        told(&judge(&self.case(facts)))
    }

    fn case<'a>(&'a self, facts: Facts<'a>) -> Case<'a> {
        Case {
            kind: self.kind,
            seen_at: NOW,
            local: LocalMinute { weekday: 0, minute: 480 },
            credential: &self.credential,
            class: self.class,
            energy: self.energy,
            confidence: self.confidence.map(|percent| percent.try_into().expect("0 to 100")),
            lot: LotSays {
                lot: &self.lot,
                operator: &self.operator,
                groups: &self.groups,
                open: self.open,
                capacity: 10,
                holders_only: self.holders_only,
                reservable: self.reservable,
                inside: self.inside,
                arrears: self.arrears,
                confidence_min: 60.try_into().expect("0 to 100"),
                double_read: 5 * SECOND,
                missed: self.missed,
            },
            lane: LaneSays { declared: self.declared, entry: self.entry, exit: !self.entry, classes: &self.classes, energies: &self.energies },
            here: self.here,
            facts,
        }
    }
}

fn told(judged: &Judged) -> String {
    let Decision { verdict, reason, marks } = match judged {
        Judged::Again => return "again".into(),
        Judged::Wants(kinds) => return format!("wants {kinds:?}"),
        Judged::Decided(decision) => decision,
    };
    let Marks { right, overrun, reservation, inside, elsewhere, missed } = marks;
    let marks = [
        reason.map(|reason| reason.as_str().to_owned()),
        right.map(|id| format!("right {id}")),
        overrun.map(|id| format!("overrun {id}")),
        reservation.map(|id| format!("reservation {id}")),
        inside.map(|passback| format!("inside {passback:?}")),
        elsewhere.map(|lot| format!("elsewhere {lot}")),
        (!missed.is_empty()).then(|| format!("missed {missed:?}")),
    ];
    marks.into_iter().flatten().fold(format!("{verdict:?}").to_lowercase(), |all, mark| format!("{all}, {mark}"))
}

fn all() -> Kinds {
    Kind::ALL.into_iter().collect()
}

#[track_caller]
fn check(world: &World, expected: &str) {
    assert_eq!(world.judge(all()), expected);
}

fn right(scope: Scope) -> AssignedRight {
    let (from, until) = (NOW.plus(-MINUTE), NOW.plus(MINUTE));
    AssignedRight { scope, bands: vec![], from, until, cars_max: 1, holders: vec![] }
}

fn here() -> Scope {
    Scope::Lots(vec![name("lot-1")])
}

fn presence(car: &str, lot: &str, right: Option<&str>) -> What {
    let place = Place { province: Province(44), day: NOW.utc_day(), partition: schema::Partition(0) };
    let credential = Credential::plate(car, Colour::Blue);
    What::Presence(Presence { session: id::derive(id::Kind::Session, place, &[car]), lot: name(lot), credential, since: NOW, right: right.map(name) })
}

fn owed(operator: &str, minor: i64) -> What {
    let place = Place { province: Province(44), day: NOW.utc_day(), partition: schema::Partition(0) };
    let (order, amount) = (id::derive(id::Kind::Order, place, &["o"]), Money::new(minor, Currency::Cny));
    What::Arrear(Arrear { order, operator: name(operator), lot: name("far"), amount })
}

fn banned(scope: Scope, from: i64, until: Option<i64>) -> What {
    What::Ban(Ban { scope, from: NOW.plus(from), until: until.map(|until| NOW.plus(until)), reason: "fraud".into() })
}

fn held(lot: &str, from: i64, until: i64) -> What {
    What::Reservation(Reservation { lot: name(lot), from: NOW.plus(from), until: NOW.plus(until) })
}

#[test]
fn a_car_of_which_nothing_is_known_comes_in() {
    check(&world(), "open");
}

#[test]
fn what_the_lot_and_lane_say_needs_no_facts() {
    let refused = |change: fn(&mut World), expected: &str| {
        let mut world = world();
        change(&mut world);
        // The same with no fact at all.
        assert_eq!(world.judge(Kinds::NONE), expected);
        check(&world, expected);
    };
    refused(|w| w.open = false, "refuse, lot_closed");
    refused(|w| w.entry = false, "refuse, wrong_lane");
    refused(|w| w.classes = vec![VehicleClass::Large], "refuse, wrong_class");
    refused(|w| w.energies = vec![Energy::New], "refuse, wrong_energy");
    refused(|w| w.here.occupied = 10, "refuse, full");
    refused(|w| w.here.occupied = 11, "refuse, full");
    refused(|w| w.here.inside_since = Some(NOW), "refuse, already_inside");
    refused(|w| w.here.read_at = Some(NOW.plus(-5 * SECOND)), "again");
    // The reason of the first line of the table is said.
    refused(|w| (w.open, w.here.occupied) = (false, 10), "refuse, lot_closed");
    refused(|w| (w.open, w.here.inside_since) = (false, Some(NOW)), "refuse, already_inside");
}

#[test]
fn a_lane_that_serves_it_lets_it_in() {
    check(&World { classes: vec![VehicleClass::Large, VehicleClass::Small], energies: vec![Energy::Fuel], ..world() }, "open");
    check(&World { here: Here { occupied: 9, ..Here::default() }, ..world() }, "open");
    check(&World { here: Here { read_at: Some(NOW.plus(-5 * SECOND - 1)), ..Here::default() }, ..world() }, "open");
}

#[test]
fn a_car_inside_gets_what_the_lot_says() {
    let inside = World { here: Here { occupied: 10, inside_since: Some(NOW.plus(-MINUTE)), ..Here::default() }, ..world() };
    check(&World { inside: Passback::Refuse, ..inside.clone() }, "refuse, already_inside");
    // It holds a space already, so a full lot is not full for it.
    check(&World { inside: Passback::Close, ..inside.clone() }, "open, inside Close");
    check(&World { inside: Passback::Flag, ..inside }, "open, inside Flag");
}

#[test]
fn a_ban_holds_in_its_lots_and_time() {
    for (scope, from, until, expected) in [
        (here(), 0, Some(1), "refuse, banned"),
        (here(), -5, None, "refuse, banned"),
        (here(), 1, None, "open"),
        (here(), -5, Some(0), "open"),
        (Scope::Operator(name("city")), 0, None, "refuse, banned"),
        (Scope::Operator(name("other")), 0, None, "open"),
        (Scope::Groups(vec![name("centre")]), 0, None, "refuse, banned"),
        (Scope::Lots(vec![name("far")]), 0, None, "open"),
    ] {
        check(&world().holds("b", banned(scope, from, until)), expected);
    }
}

#[test]
fn arrears_over_all_lots_of_the_operator_get_its_policy() {
    for (policy, operator, minor, expected) in [
        (Policy::Refuse, "city", 1, "refuse, arrears"),
        (Policy::Ask, "city", 1, "ask, arrears"),
        (Policy::Allow, "city", 1, "open"),
        (Policy::Refuse, "other", 1, "open"),
        (Policy::Refuse, "city", 0, "open"),
    ] {
        check(&World { arrears: policy, ..world() }.holds("a", owed(operator, minor)), expected);
    }
    // A policy that lets all in waits for nothing.
    assert_eq!(World { arrears: Policy::Allow, ..world() }.judge(Kinds::NONE), "wants {Rights, Bans, Presence, Reservations}");
}

#[test]
fn a_right_counts_in_its_lots_and_hours() {
    let night = TimeBand { days: Weekdays::ALL, from_min: 1320, to_min: 480 };
    let morning = TimeBand { days: Weekdays::WORKDAYS, from_min: 480, to_min: 600 };
    for (given, expected) in [
        (right(here()), "open, right pass"),
        (right(Scope::Groups(vec![name("centre")])), "open, right pass"),
        (right(Scope::Groups(vec![name("river")])), "open"),
        (AssignedRight { bands: vec![night, morning], ..right(here()) }, "open, right pass"),
        (AssignedRight { bands: vec![night], ..right(here()) }, "open"),
        (AssignedRight { until: NOW, ..right(here()) }, "open"),
        (AssignedRight { from: NOW, ..right(here()) }, "open, right pass"),
        (AssignedRight { from: NOW.plus(1), ..right(here()) }, "open"),
    ] {
        let counts = expected != "open";
        let world = world().holds("pass", What::Right(given));
        check(&world, expected);
        check(&World { holders_only: true, ..world }, if counts { expected } else { "refuse, no_right" });
    }
    check(&World { holders_only: true, ..world() }.holds("r", held("lot-1", 0, 1)), "open, reservation r");
    check(&World { holders_only: true, ..world() }, "refuse, no_right");
}

#[test]
fn an_overrun_is_flagged_and_never_refused() {
    let family = |cars_max| world().holds("pass", What::Right(AssignedRight { cars_max, ..right(here()) }));
    let (second, third) = (presence("粤B22222", "far", Some("pass")), presence("粤B33333", "lot-1", Some("pass")));
    check(&family(1).holds("s2", second.clone()), "open, overrun pass");
    check(&family(2).holds("s2", second.clone()), "open, right pass");
    check(&family(2).holds("s2", second.clone()).holds("s3", third.clone()), "open, overrun pass");
    check(&family(0), "open, overrun pass");
    check(&World { holders_only: true, ..family(1).holds("s2", second.clone()) }, "open, overrun pass");
    // Who parks without the right, or with another one, takes nothing of it.
    check(&family(1).holds("s2", presence("粤B22222", "far", None)), "open, right pass");
    check(&family(1).holds("s2", presence("粤B22222", "far", Some("other"))), "open, right pass");
    // A forgotten exit of the car itself takes none of its own places.
    check(&family(1).holds("s1", presence("粤B12345", "far", Some("pass"))), "open, right pass, elsewhere far");
    // One right is full, another is not.
    let two = family(1).holds("s2", second).holds("z", What::Right(right(Scope::Operator(name("city")))));
    check(&two, "open, right z");
}

#[test]
fn a_reserved_space_is_its_holders() {
    let tight = World { here: Here { occupied: 8, reserved: 2, ..Here::default() }, ..world() };
    check(&tight, "refuse, full");
    for (lot, from, until, expected) in
        [("lot-1", 0, 1, "open, reservation r"), ("lot-1", 1, 2, "refuse, full"), ("lot-1", -1, 0, "refuse, full"), ("far", 0, 1, "refuse, full")]
    {
        check(&tight.clone().holds("r", held(lot, from, until)), expected);
    }
    check(&World { here: Here { occupied: 8, reserved: 1, ..Here::default() }, ..world() }, "open");
    check(&World { here: Here { occupied: 10, reserved: 2, ..Here::default() }, ..world() }.holds("r", held("lot-1", 0, 1)), "refuse, full");
    check(&World { reservable: false, ..tight }, "open");
}

#[test]
fn a_car_that_is_in_two_lots_is_flagged() {
    check(&world().holds("s", presence("粤B12345", "far", None)), "open, elsewhere far");
    check(&world().holds("s", presence("粤B12345", "lot-1", None)), "open");
    check(&world().holds("s", presence("粤B22222", "far", None)), "open");
}

#[test]
fn an_unsure_read_asks_a_person() {
    for (confidence, expected) in [(Some(59), "ask, unsure_read"), (Some(60), "open"), (None, "open")] {
        check(&World { confidence, ..world() }, expected);
    }
    // What refuses is stronger than what asks.
    check(&World { confidence: Some(0), ..world() }.holds("b", banned(here(), 0, None)), "refuse, banned");
}

#[test]
fn a_lane_that_its_lot_does_not_declare_asks_a_person() {
    let undeclared = || World { declared: false, ..world() };
    let read_again = Here { read_at: Some(NOW), ..Here::default() };
    for (world, expected) in [
        (undeclared(), "ask, unknown_lane"),
        (World { declared: true, ..undeclared() }, "open"),
        (World { kind: GateKind::Exit, entry: false, ..undeclared() }, "ask, unknown_lane"),
        (World { kind: GateKind::Exit, entry: false, confidence: Some(1), ..undeclared() }, "ask, unknown_lane"),
        (World { arrears: Policy::Ask, ..undeclared() }.holds("a", owed("city", 1)), "ask, unknown_lane"),
        // What would be the same read at a lane that is declared is not opened once more.
        (World { here: read_again, ..undeclared() }, "ask, unknown_lane"),
        (World { here: read_again, ..world() }, "again"),
        // What refuses is stronger than what asks.
        (World { open: false, ..undeclared() }, "refuse, lot_closed"),
        (undeclared().holds("b", banned(here(), 0, None)), "refuse, banned"),
    ] {
        check(&world, expected);
    }
    // It waits for what may refuse it, and who leaves waits for nothing.
    assert_eq!(undeclared().judge(Kinds::NONE), "wants {Rights, Bans, Arrears, Presence, Reservations}");
    assert_eq!(World { kind: GateKind::Exit, entry: false, ..undeclared() }.judge(Kinds::NONE), "ask, unknown_lane");
}

#[test]
fn a_car_that_leaves_is_held_to_its_lane_and_read_alone() {
    let leaves = World { kind: GateKind::Exit, entry: false, open: false, here: Here { occupied: 10, ..Here::default() }, ..world() };
    assert_eq!(leaves.judge(Kinds::NONE), "open");
    assert_eq!(World { entry: true, ..leaves.clone() }.judge(Kinds::NONE), "refuse, wrong_lane");
    assert_eq!(World { confidence: Some(1), ..leaves }.judge(Kinds::NONE), "ask, unsure_read");
}

#[test]
fn a_decisive_refusal_does_not_wait() {
    let world = world().holds("b", banned(here(), 0, None));
    assert_eq!(world.judge(Kinds::NONE), "wants {Rights, Bans, Arrears, Presence, Reservations}");
    assert_eq!(world.judge(Kind::Bans.into()), "refuse, banned");
    assert_eq!(world.judge(Kind::Arrears.into()), "wants {Rights, Bans, Presence, Reservations}");
}

#[test]
fn a_missed_fact_gets_its_checks_policy() {
    let one = |kind: Kind, policy: Policy| {
        let mut world = world();
        world.away = kind.into();
        match kind {
            Kind::Bans => world.missed.bans = policy,
            Kind::Rights => world.missed.rights = policy,
            Kind::Arrears => world.missed.arrears = policy,
            Kind::Reservations => world.missed.reservations = policy,
            Kind::Presence | Kind::Coupons => {}
        }
        world.judge(all())
    };
    // No check asks what coupons it has used.
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Coupons) {
        let flagged = format!("missed {{{kind:?}}}");
        assert_eq!(one(kind, Policy::Allow), format!("open, {flagged}"));
        let (ask, refuse) = match kind {
            Kind::Presence => (format!("open, {flagged}"), format!("open, {flagged}")),
            _ => (format!("ask, fact_missing, {flagged}"), "refuse, fact_missing".to_owned()),
        };
        assert_eq!(one(kind, Policy::Ask), ask);
        assert_eq!(one(kind, Policy::Refuse), refuse);
    }
    // Nothing at all came in time: by these policies the lane goes on.
    let mut world = world();
    world.away = all();
    check(&world, "open, missed {Rights, Bans, Arrears, Presence, Reservations}");
}

#[test]
fn an_explanation_has_each_check_once() {
    let world = world().holds("b", banned(here(), 0, None));
    let bans = world.of(Kind::Bans);
    let case = world.case(Facts::PENDING.with(Kind::Bans, Fact::Here(&bans)).with(Kind::Rights, Fact::Missed));
    let weighed: Vec<_> = weighed(&case).collect();
    assert_eq!(weighed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), TABLE.iter().map(|check| check.name).collect::<Vec<_>>());
    let state = |name| weighed.iter().find(|(other, _)| *other == name).map(|(_, state)| *state);
    assert_eq!(state("ban"), Some(State::Found(Finding::Refuse(Refusal::Banned))));
    assert_eq!(state("arrears"), Some(State::Waits(Kind::Arrears.into())));
    assert_eq!(state("right_overrun"), Some(State::Missed(Kind::Rights.into(), Policy::Allow)));
    let mut names: Vec<_> = TABLE.iter().map(|check| check.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TABLE.len(), "two checks of one name");
}

#[test]
fn a_decision_names_what_it_rests_on() {
    let told = |world: &World| {
        let parts = Kind::ALL.map(|kind| (kind, world.of(kind)));
        let facts = parts.iter().fold(Facts::PENDING, |facts, (kind, parts)| facts.with(*kind, Fact::Here(parts)));
        let word = |ground: &Ground| match ground {
            Ground::Ban { part, reason, .. } => format!("ban {part} {reason}"),
            Ground::Arrear { amount, at, .. } => format!("owes {} since {}", amount.minor, at.since(NOW)),
            Ground::Right { part } => format!("right {part}"),
            Ground::Overrun { part } => format!("overrun {part}"),
            Ground::Reservation { part } => format!("reservation {part}"),
        };
        grounds(&world.case(facts)).iter().map(word).collect::<Vec<_>>().join(", ")
    };
    let holder = || world().holds("p", What::Right(right(here())));
    let two_bans = || world().holds("b2", banned(here(), 0, None)).holds("b1", banned(here(), -1, None));
    let debts = (0..20).fold(world(), |world, n| world.holds(&format!("d{n}"), owed("city", 7)));
    for (world, expected) in [
        (world(), String::new()),
        (two_bans(), "ban b1 fraud, ban b2 fraud".to_owned()),
        (world().holds("b", banned(here(), 1, None)), String::new()),
        (world().holds("b", banned(Scope::Lots(vec![name("far")]), 0, None)), String::new()),
        (world().holds("d", owed("city", 1_200)), "owes 1200 since 0".to_owned()),
        (world().holds("d", owed("other", 1_200)), String::new()),
        (World { arrears: Policy::Ask, ..world() }.holds("d", owed("city", 1)), "owes 1 since 0".to_owned()),
        (World { arrears: Policy::Allow, ..world() }.holds("d", owed("city", 1)), String::new()),
        (holder(), "right p".to_owned()),
        (holder().holds("s", presence("粤B22222", "far", Some("p"))), "overrun p".to_owned()),
        (world().holds("r", held("lot-1", 0, 1)), "reservation r".to_owned()),
        (holder().holds("b", banned(here(), 0, None)), "ban b fraud, right p".to_owned()),
        (debts, ["owes 7 since 0"; NAMED_MAX].join(", ")),
    ] {
        assert_eq!(told(&world), expected, "{world:?}");
    }
}

#[test]
fn a_judgement_is_plain_data() {
    // What is `Copy` owns nothing on the heap, so nothing was allocated to say it.
    const fn plain<T: Copy>() {}
    const { plain::<Judged>() };
    const { plain::<Case>() };
    const { plain::<State>() };
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Allow), Just(Policy::Ask), Just(Policy::Refuse)]
}

fn scopes() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(here()), Just(Scope::Operator(name("city"))), Just(Scope::Groups(vec![name("river")])), Just(Scope::Lots(vec![name("far")]))]
}

fn whats() -> impl Strategy<Value = What> {
    let rights = (scopes(), 0..3_u32).prop_map(|(scope, cars_max)| What::Right(AssignedRight { cars_max, ..right(scope) }));
    let bans = (scopes(), -1..2_i64).prop_map(|(scope, from)| banned(scope, from, None));
    let cars = (0..3_usize, 0..2_usize, proptest::option::of(0..6_u32)).prop_map(|(car, lot, right)| {
        let right = right.map(|n| format!("p{n}"));
        presence(["粤B12345", "粤B22222", "粤B33333"][car], ["far", "lot-1"][lot], right.as_deref())
    });
    prop_oneof![2 => rights, 1 => bans, 1 => (0..2_i64).prop_map(|minor| owed("city", minor)), 3 => cars, 1 => (-1..2_i64).prop_map(|from| held("lot-1", from, 2))]
}

prop_compose! {
    fn worlds()(
        whats in proptest::collection::vec(whats(), 0..6),
        (occupied, reserved, inside_since) in (7..12_i64, 0..3_i64, proptest::option::weighted(0.2, Just(NOW.plus(-MINUTE)))),
        (holders_only, reservable) in (proptest::bool::weighted(0.3), any::<bool>()),
        inside in prop_oneof![Just(Passback::Close), Just(Passback::Flag), Just(Passback::Refuse)],
        confidence in proptest::option::weighted(0.2, 50..70_u8),
        arrears in policies(),
        (bans, rights, owes, reservations) in (policies(), policies(), policies(), policies()),
        away in proptest::collection::vec(proptest::bool::weighted(0.15), 5),
    ) -> World {
        let away = Kind::ALL.into_iter().zip(away).filter_map(|(kind, away)| away.then_some(kind)).collect();
        let missed = Missed { bans, rights, arrears: owes, reservations };
        let here = Here { occupied, reserved, inside_since, read_at: None };
        let world = World { confidence, holders_only, reservable, inside, arrears, missed, here, away, ..world() };
        whats.into_iter().enumerate().fold(world, |world, (n, what)| world.holds(&format!("p{n}"), what))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn facts_in_any_order_end_the_same(world in worlds(), order in Just(Kind::ALL.to_vec()).prop_shuffle()) {
        let end = world.judge(all());
        prop_assert!(!end.starts_with("wants"), "{end}");
        let refusals: Vec<String> = reasons(&world);
        let mut known = Kinds::NONE;
        for kind in order {
            let now = world.judge(known);
            if now.starts_with("refuse") {
                // An early refusal stays one, for a reason that holds in the end.
                prop_assert!(end.starts_with("refuse"), "{now} became {end}");
                prop_assert!(refusals.contains(&now), "{now} is none of {refusals:?}");
            } else if !now.starts_with("wants") {
                prop_assert_eq!(&now, &end);
            }
            known = known | kind.into();
        }
    }

    #[test]
    fn parts_in_any_order_end_the_same(world in worlds(), seed in any::<proptest::sample::Index>()) {
        let mut turned = world.clone();
        turned.parts.rotate_left(seed.index(world.parts.len().max(1)));
        prop_assert_eq!(turned.judge(all()), world.judge(all()));
        turned.parts.reverse();
        prop_assert_eq!(turned.judge(all()), world.judge(all()));
    }

    #[test]
    fn a_full_lot_is_never_opened(world in worlds()) {
        let full = world.here.occupied >= 10 && world.here.inside_since.is_none();
        prop_assert!(!full || world.judge(all()).starts_with("refuse"));
    }
}

/// All refusals of a world in which every fact has come or is missed.
fn reasons(world: &World) -> Vec<String> {
    let parts = Kind::ALL.map(|kind| (kind, world.of(kind)));
    let facts = parts
        .iter()
        .fold(Facts::PENDING, |facts, (kind, parts)| facts.with(*kind, if world.away.contains(*kind) { Fact::Missed } else { Fact::Here(parts) }));
    let refusals = weighed(&world.case(facts)).filter_map(|(_, state)| match state {
        State::Found(Finding::Refuse(reason)) => Some(reason),
        State::Missed(_, Policy::Refuse) => Some(Refusal::FactMissing),
        _ => None,
    });
    refusals.map(|reason| format!("refuse, {}", reason.as_str())).collect()
}
