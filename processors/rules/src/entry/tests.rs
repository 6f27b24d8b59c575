use super::*;
use crate::trial::{Trial, at, gate};
use schema::{
    Currency, DeskEvent, Energy, Inbox, Recorded, VehicleClass,
    desk::Says,
    fact::{self, AssignedRight, Part, Presence, Scope, What},
    gate::{Colour, Confidence},
    journal::{Ground, OrderEvent},
};

/// Tells what a day at the lot becomes, one word per event: `in CAR MINUTE`, `out CAR MINUTE`, `paid CAR`.
pub(super) fn day(lot: &str, script: &str) -> (Trial, String) {
    let mut trial = Trial::new(&RULES);
    let mut told = Vec::new();
    for line in script.split(',').map(str::trim) {
        let mut words = line.split(' ');
        let (verb, car, minute) = (words.next(), words.next().expect("a car"), words.next().map_or(0, |m| m.parse().expect("a minute")));
        let events = match verb {
            Some("in") => trial.gate(gate(GateKind::Entry, lot, car, minute)),
            Some("crossed") => {
                let lane = "in".parse().expect("a name");
                trial.gate(GateEvent { lane, ..gate(GateKind::Passed, lot, car, minute) })
            }
            Some("crossed-out") => trial.gate(gate(GateKind::Passed, lot, car, minute)),
            Some("wait") => trial.ticks(at(minute)),
            Some("out") => trial.gate(gate(GateKind::Exit, lot, car, minute)),
            Some("paid") => {
                let paid = paid(&trial, car);
                trial.journal(Inbox::Order, &paid)
            }
            other => panic!("no verb {other:?}"),
        };
        told.push(events.iter().map(word).collect::<Vec<_>>().join("+"));
    }
    (trial, told.join(", "))
}

fn word(event: &Event) -> String {
    match event {
        Event::Session(SessionEvent::Refused { reason, .. }) => reason.as_str().to_owned(),
        Event::Session(SessionEvent::Noted { note, .. }) => format!("{note:?}"),
        other => other.kind().to_owned(),
    }
}

/// ORDER(paid) for the newest session of a car.
pub(super) fn paid(trial: &Trial, car: &str) -> Recorded {
    let of = |recorded: &&Recorded| matches!(&recorded.event, Event::Session(SessionEvent::Leaving { stay, .. }) if &*stay.credential.text == car);
    let leaving = trial.journal.iter().rev().find(of).expect("the car is leaving");
    let Event::Session(SessionEvent::Leaving { stay, .. }) = &leaving.event else { unreachable!("found by this shape") };
    let order = id::derive(Kind::Order, id::place(stay.session.as_str()).expect("an id"), &[stay.session.as_str(), "1"]);
    let by = schema::journal::Source { channel: "wechat".into(), transaction: "1".into() };
    let amount = Money::new(500, Currency::Cny);
    let event = OrderEvent::Paid { order, session: stay.session, lot: stay.lot, province: stay.province, amount, by, prepays: None };
    Recorded { event: Event::Order(event), ..leaving.clone() }
}

#[test]
fn a_day_at_a_lot_of_two_spaces() {
    for (script, told) in [
        ("in A 1, out A 90, paid A", "opened, leaving, closed"),
        ("in A 1, in A 2", "opened, already_inside"),
        ("in A 1, in B 2, in C 3", "opened, opened, full"),
        ("in A 1, in B 2, out A 3, paid A, in C 4", "opened, opened, leaving, closed, opened"),
        ("in A 1, in B 2, out A 3, in C 4", "opened, opened, leaving, full"),
        ("in A 1, out A 9, out A 10", "opened, leaving, AlreadyLeaving"),
        ("out A 9", "waiting"),
        ("out A 9, out A 10", "waiting, AlreadyWaiting"),
        ("out A 9, in A 1", "waiting, opened+leaving"),
        ("out A 9, in A 10", "waiting, opened"),
        ("out A 9, in A 10, out A 20", "waiting, opened, leaving"),
        ("in A 10, out A 9", "opened, waiting"),
        ("in A 1, out A 9, paid A, paid A", "opened, leaving, closed, AlreadyClosed"),
        ("in B 1, in C 2, out A 9, in A 1", "opened, opened, waiting, opened+leaving"),
    ] {
        assert_eq!(day("small", script).1, told, "{script}");
    }
}

#[test]
fn other_lots_answer_for_themselves() {
    for (lot, script, told) in [
        ("shut", "in A 1", "lot_closed"),
        ("nowhere", "in A 1", "unknown_lot"),
        ("nowhere", "out A 1", "unknown_lot"),
        ("shut", "out A 5, in A 1", "waiting, opened+leaving"),
    ] {
        assert_eq!(day(lot, script).1, told, "{lot}: {script}");
    }
}

#[test]
fn a_car_inside_is_not_let_in_again() {
    let (trial, _) = day("small", "in A 1, in A 2, in A 3");
    assert_eq!(trial.journal.iter().filter(|recorded| recorded.event.kind() == "opened").count(), 1);
}

#[test]
fn a_second_entry_is_what_the_lot_says() {
    for (lot, script, told) in [
        ("small", "in A 1, in A 5", "opened, already_inside"),
        ("closes", "in A 1, in A 5", "opened, superseded+opened"),
        ("closes", "in A 1, in B 2, in A 5, in C 6", "opened, opened, superseded+opened, full"),
        ("closes", "in A 1, out A 4, in A 5, paid A", "opened, leaving, superseded+opened, AlreadyClosed"),
        ("strict", "in A 1, in A 5", "opened, superseded+opened"),
        ("strict", "in A 1, in A 2", "opened, DoubleRead"),
    ] {
        assert_eq!(day(lot, script).1, told, "{lot}: {script}");
    }
    let flagged = |lot| {
        let (trial, _) = day(lot, "in A 1, in A 5");
        let sessions = trial.entities.into_values().filter_map(|entity| if let Entity::Session(session) = entity { Some(session) } else { None });
        sessions.filter(|session| session.superseded_by.is_some()).map(|session| (session.stage, session.flagged)).collect::<Vec<_>>()
    };
    assert_eq!(flagged("closes"), [(Stage::Closed, false)]);
    assert_eq!(flagged("strict"), [(Stage::Closed, true)]);
}

#[test]
fn a_double_read_is_told_what_it_was_told() {
    let (trial, _) = day("strict", "in A 1, in A 2");
    let verdicts: Vec<_> =
        trial.effects().into_iter().map(|effect| if let Effect::Lane(c) = effect { (c.verdict, c.reason) } else { panic!("a lane's") }).collect();
    assert_eq!(verdicts, [(Verdict::Open, "welcome".into()), (Verdict::Open, "welcome".into())]);
}

#[test]
fn a_lane_and_a_lot_take_what_they_serve() {
    let sure = |percent: u8| Confidence::try_from(percent).ok();
    let event = gate(GateKind::Entry, "strict", "A", 10);
    let lane = |name: &str| GateEvent { lane: name.parse().expect("a name"), ..event.clone() };
    for (said, event, told) in [
        ("in its hours", event.clone(), (None, Verdict::Open)),
        ("before they begin", gate(GateKind::Entry, "strict", "A", -1), (Some(Refusal::LotClosed), Verdict::Refuse)),
        ("when they are over", gate(GateKind::Entry, "strict", "A", 720), (Some(Refusal::LotClosed), Verdict::Refuse)),
        ("by the way out", lane("out"), (Some(Refusal::WrongLane), Verdict::Refuse)),
        ("a car where lorries come in", lane("heavy"), (Some(Refusal::WrongClass), Verdict::Refuse)),
        ("a lorry there", GateEvent { class: Some(VehicleClass::Large), ..lane("heavy") }, (None, Verdict::Open)),
        ("an unsure read", GateEvent { confidence: sure(79), ..event.clone() }, (Some(Refusal::UnsureRead), Verdict::Ask)),
        ("a sure one", GateEvent { confidence: sure(80), ..event.clone() }, (None, Verdict::Open)),
    ] {
        let mut trial = Trial::new(&RULES);
        let events = trial.gate(event);
        let reason = if let Some(Event::Session(SessionEvent::Refused { reason, .. })) = events.first() { Some(*reason) } else { None };
        let verdict = trial.effects().into_iter().find_map(|effect| if let Effect::Lane(command) = effect { Some(command.verdict) } else { None });
        assert_eq!((reason, verdict), (told.0, Some(told.1)), "{said}");
    }
}

#[test]
fn a_class_and_an_energy_go_with_the_stay() {
    let mut trial = Trial::new(&RULES);
    let events = trial.gate(GateEvent {
        class: Some(VehicleClass::Large),
        credential: Credential::plate("粤BD12345", Colour::Green),
        ..gate(GateKind::Entry, "small", "A", 1)
    });
    let Some(Event::Session(SessionEvent::Opened { stay, .. })) = events.first() else { panic!("it comes in: {events:?}") };
    assert_eq!((stay.class, stay.energy), (VehicleClass::Large, Energy::New));
}

#[test]
fn the_last_space_has_one_winner() {
    let (_, told) = day("small", "in A 1, in B 1, in C 1, in D 1");
    assert_eq!(told, "opened, opened, full, full");
}

#[test]
fn an_exit_before_its_entry_ends_the_same() {
    let session = |script| {
        let (trial, _) = day("small", script);
        trial.entities.into_values().find(|entity| matches!(entity, Entity::Session(_))).expect("a session")
    };
    assert_eq!(session("in A 1, out A 90, paid A"), session("out A 90, in A 1, paid A"));
}

#[test]
fn a_space_is_freed_once() {
    let (trial, _) = day("small", "in A 1, in B 2, out A 9, paid A, paid A, out A 12");
    let lot = trial.entities.into_values().find_map(|entity| if let Entity::Lot(lot) = entity { Some(lot.occupied) } else { None });
    assert_eq!(lot, Some(1));
}

#[test]
fn an_event_from_next_year_or_from_last_year_is_not_believed() {
    for (seen, now, told) in
        [(6, 0, "clock_ahead"), (5, 0, "opened"), (-60 * 24 * 35, 0, "opened"), (-60 * 24 * 35 - 1, 0, "too_late"), (60 * 24 * 365, 0, "clock_ahead")]
    {
        let mut trial = Trial::new(&RULES);
        trial.now = at(now);
        let event = gate(GateKind::Entry, "small", "A", seen);
        let events = trial.input(Inbox::Gate, &event.key(), event.seen_at, Body::Gate(event.clone()));
        assert_eq!(events.iter().map(word).collect::<Vec<_>>(), [told], "{seen} minutes");
    }
}

#[test]
fn every_gate_event_is_told_to_its_lane_with_an_expiry() {
    let (trial, _) = day("small", "in A 1, in A 2, out B 3, out B 4, out A 5, out A 6, paid A");
    let commands: Vec<_> =
        trial.effects().into_iter().filter_map(|effect| if let Effect::Lane(command) = effect { Some(command) } else { None }).collect();
    let told: Vec<_> = commands.iter().map(|command| (command.verdict, &*command.reason)).collect();
    let ask = |reason| (Verdict::Ask, reason);
    let expected = [
        (Verdict::Open, "welcome"),
        (Verdict::Refuse, "already_inside"),
        ask("no_entry_known"),
        ask("no_entry_known"),
        ask("pay_first"),
        (Verdict::Open, "goodbye"),
    ];
    assert_eq!(told, expected);
    let ids: std::collections::BTreeSet<_> = commands.iter().map(|command| command.id).collect();
    assert_eq!(ids.len(), commands.len(), "each command has its own id");
    assert!(commands.iter().all(|command| command.expires_at > at(1)));
}

#[test]
fn a_decision_says_what_it_was_made_of() {
    let made = |lot: &str, script: &str| {
        let (trial, _) = day(lot, script);
        match trial.journal.last().map(|recorded| &recorded.event) {
            Some(Event::Session(SessionEvent::Opened { made_of, .. } | SessionEvent::Refused { made_of, .. })) => {
                let made = made_of.clone().expect("it was put to the checks");
                (made.checks.to_string(), made.facts.iter().map(|known| (known.kind.as_str(), known.parts)).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        }
    };
    let (checks, facts) = made("small", "in A 1");
    assert!(checks.starts_with("double_read already_inside lot_open") && !checks.contains('='), "{checks}");
    assert_eq!(facts, [("rights", Some(0)), ("bans", Some(0)), ("presence", Some(0))]);
    for (lot, script, said) in [
        ("shut", "in A 1", "lot_open=refuse:lot_closed"),
        ("small", "in A 1, in A 2", "already_inside=refuse:already_inside"),
        ("closes", "in A 1, in A 9", "already_inside=close"),
        ("small", "in A 1, in B 2, in C 3", "capacity=refuse:full"),
    ] {
        let (checks, _) = made(lot, script);
        assert!(checks.split(' ').any(|check| check == said), "{lot}, {script}: {checks}");
    }
}

#[test]
fn who_never_crosses_holds_no_space() {
    for (script, told, taken) in [
        ("in A 1, crossed A 2, wait - 9", "opened, passed, ", 1),
        ("in A 1, wait - 2", "opened, ", 1),
        ("in A 1, wait - 3", "opened, vacated", 0),
        ("in A 1, wait - 3, wait - 9", "opened, vacated, ", 0),
        ("in A 1, in B 2, wait - 9, in C 10", "opened, opened, vacated+vacated, opened", 1),
        // It crossed after all, later than it may: it is inside.
        ("in A 1, wait - 3, crossed A 4", "opened, vacated, opened", 1),
        ("in A 1, crossed A 2, crossed A 3", "opened, passed, AlreadyInside", 1),
        // Who stands at the exit has crossed, whether its lane has told or not.
        ("in A 1, out A 2, wait - 9", "opened, leaving, ", 1),
        // Nobody was let in, and somebody crossed.
        ("crossed A 4", "opened", 1),
        ("crossed-out A 4", "Unknown", 0),
        // Who crosses the exit without having paid has left, and owes.
        ("in A 1, crossed A 2, out A 90, crossed-out A 91", "opened, passed, leaving, gone", 0),
        ("in A 1, crossed A 2, out A 90, paid A, crossed-out A 91", "opened, passed, leaving, closed, Unknown", 0),
    ] {
        let (trial, said) = day("senses", script);
        assert_eq!(said, told, "{script}");
        let occupied = trial.entities.values().find_map(|entity| if let Entity::Lot(lot) = entity { Some(lot.occupied) } else { None });
        assert_eq!(occupied.unwrap_or(0), taken, "{script}");
    }
    assert_eq!(day("small", "in A 1, wait - 99").1, "opened, ", "where no lane tells, the decision counts");
}

/// What becomes of a car until it stands at the exit.
type Day<'a> = &'a dyn Fn(&mut Trial);

#[test]
fn a_right_counts_however_its_car_came_in() {
    let plate = |car: &str| Credential::plate(car, Colour::Blue);
    let asks = |kind, car, minute| gate(kind, "senses", car, minute);
    let by_itself = |kind, minute| GateEvent { decided: Some(Verdict::Open), ..asks(kind, "HOLDER", minute) };
    let says = |minute, says| DeskEvent {
        id: format!("said-{minute}").parse().expect("a name"),
        lot: "senses".parse().expect("a name"),
        said_at: at(minute),
        author: "lin".parse().expect("a name"),
        reason: "because".into(),
        says,
    };
    let is_really = |who, is| says(60, Says::Corrected { who: plate(who), is: Some(plate(is)), entered_at: None, stay: None });
    let lane = "in".parse().expect("a name");
    let by_hand = Says::LetThrough { lane, way: GateKind::Entry, who: Some(plate("HOLDER")), at: None, open: true };
    let days: [(&str, Day, Option<&str>); 9] = [
        ("it asked", &|trial| drop(trial.gate(asks(GateKind::Entry, "HOLDER", 1))), Some("pass-1")),
        ("another one asked", &|trial| drop(trial.gate(asks(GateKind::Entry, "STRANGER", 1))), None),
        ("its lane opened by itself", &|trial| drop(trial.gate(by_itself(GateKind::Entry, 1))), Some("pass-1")),
        ("it was seen to cross", &|trial| drop(trial.gate(GateEvent { lane, ..asks(GateKind::Passed, "HOLDER", 1) })), Some("pass-1")),
        ("a person let it in", &|trial| drop(trial.desk(says(1, by_hand.clone()))), Some("pass-1")),
        ("it was found inside", &|trial| drop(trial.desk(says(1, Says::Stock { who: plate("HOLDER"), held: true }))), Some("pass-1")),
        (
            "its exit was told first",
            &|trial| {
                trial.gate(asks(GateKind::Exit, "HOLDER", 90));
                trial.gate(asks(GateKind::Entry, "HOLDER", 1));
            },
            Some("pass-1"),
        ),
        (
            "it was misread",
            &|trial| {
                trial.gate(asks(GateKind::Entry, "STRANGER", 1));
                trial.desk(is_really("STRANGER", "HOLDER"));
            },
            Some("pass-1"),
        ),
        (
            "another one was read as it",
            &|trial| {
                trial.gate(asks(GateKind::Entry, "HOLDER", 1));
                trial.desk(is_really("HOLDER", "STRANGER"));
            },
            None,
        ),
    ];
    for (name, day, right) in days {
        let mut trial = Trial::new(&RULES);
        let holders = vec![plate("HOLDER"), plate("SHARER")];
        let (from, until, scope) = (at(-600), at(6_000), Scope::Lots(vec!["senses".parse().expect("a name")]));
        let what = What::Right(AssignedRight { scope, bands: Vec::new(), from, until, cars_max: 1, holders });
        let pass = Part { id: "pass-1".parse().expect("a name"), at: from, what };
        trial.known.insert((plate("HOLDER"), fact::Kind::Rights), vec![pass]);
        day(&mut trial);
        for car in ["HOLDER", "STRANGER"] {
            trial.gate(asks(GateKind::Exit, car, 95));
        }
        let mut left = trial.journal.iter().filter_map(|recorded| match &recorded.event {
            Event::Session(SessionEvent::Leaving { stay, right, .. }) => Some((stay, right.as_ref().map(|right| right.id.to_string()))),
            _ => None,
        });
        let (stay, used) = left.next().unwrap_or_else(|| panic!("{name}: nobody left"));
        assert_eq!(used.as_deref(), right, "{name}");
        assert_eq!(stay.sharers, right.map(|_| plate("SHARER")).into_iter().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn who_came_later_does_not_use_a_right_before_who_is_told_of_late() {
    for (since, right, overrun) in [(10, None, Some("pass-1")), (120, Some("pass-1"), None)] {
        let mut trial = Trial::new(&RULES);
        let (own, other) = (Credential::plate("HOLDER", Colour::Blue), Credential::plate("SHARER", Colour::Blue));
        let id = "pass-1".parse().expect("a name");
        let (from, until, scope) = (at(-600), at(6_000), Scope::Lots(vec!["small".parse().expect("a name")]));
        let pass = AssignedRight { scope, bands: Vec::new(), from, until, cars_max: 1, holders: vec![own.clone(), other.clone()] };
        trial.known.insert((own.clone(), fact::Kind::Rights), vec![Part { id, at: from, what: What::Right(pass) }]);
        let session = "S1".parse().expect("an id");
        let what = What::Presence(Presence { session, lot: "bare".parse().expect("a name"), credential: other, since: at(since), right: Some(id) });
        trial.known.insert((own, fact::Kind::Presence), vec![Part { id: "p-1".parse().expect("a name"), at: at(since), what }]);
        trial.gate(gate(GateKind::Exit, "small", "HOLDER", 90));
        let opened = trial.gate(gate(GateKind::Entry, "small", "HOLDER", 60));
        let Some(Event::Session(SessionEvent::Opened { marks, .. })) = opened.first() else { panic!("it is in: {opened:?}") };
        let told = (marks.right.as_ref().map(|right| right.id.to_string()), marks.overrun.map(|id| id.to_string()));
        assert_eq!(told, (right.map(str::to_owned), overrun.map(str::to_owned)), "the other came at {since}");
    }
}

#[test]
fn a_car_leaves_by_a_way_out_and_well_read() {
    for (lane, confidence, told) in [("out", 99, "leaving"), ("in", 99, "wrong_lane"), ("out", 5, "unsure_read")] {
        let mut trial = Trial::new(&RULES);
        trial.gate(gate(GateKind::Entry, "strict", "A", 1));
        let confidence = Confidence::try_from(confidence).ok();
        let lane = lane.parse().expect("a name");
        let events = trial.gate(GateEvent { lane, confidence, ..gate(GateKind::Exit, "strict", "A", 90) });
        assert_eq!(events.iter().map(word).collect::<Vec<_>>(), [told]);
    }
}

#[test]
fn who_comes_or_leaves_by_a_lane_that_nobody_declared_is_asked_about() {
    let by_itself = Some(Verdict::Open);
    // What the car did before; then the lot, the lane, what is asked and whether the lane had opened by itself; what it becomes, and what is told.
    for (before, (lot, lane), kind, decided, told) in [
        ("", ("strict", "in"), GateKind::Entry, None, "opened: Open welcome"),
        ("", ("strict", "side"), GateKind::Entry, None, "unknown_lane: Ask unknown_lane"),
        ("", ("small", "side"), GateKind::Entry, None, "unknown_lane: Ask unknown_lane"),
        ("", ("laneless", "side"), GateKind::Entry, None, "opened: Open welcome"),
        ("", ("strict", "side"), GateKind::Entry, by_itself, "opened: "),
        ("", ("shut", "side"), GateKind::Entry, None, "lot_closed: Refuse lot_closed"),
        ("in A 1", ("strict", "out"), GateKind::Exit, None, "leaving: "),
        ("in A 1", ("strict", "side"), GateKind::Exit, None, "unknown_lane: Ask unknown_lane"),
        ("in A 1", ("small", "side"), GateKind::Exit, None, "unknown_lane: Ask unknown_lane"),
        ("in A 1", ("laneless", "side"), GateKind::Exit, None, "leaving: "),
        ("in A 1", ("strict", "side"), GateKind::Exit, by_itself, "leaving+gone: "),
        // Nobody is let out once more by such a lane, and who stands at another one already is not sent back to it.
        ("in A 1, out A 9, paid A", ("strict", "out"), GateKind::Exit, None, "read_again: Open goodbye"),
        ("in A 1, out A 9, paid A", ("strict", "side"), GateKind::Exit, None, "unknown_lane: Ask unknown_lane"),
        ("in A 1, out A 9", ("strict", "side"), GateKind::Exit, None, "unknown_lane: Ask unknown_lane"),
        // A price may be asked for anywhere: that opens nothing.
        ("in A 1", ("strict", "side"), GateKind::Price, None, "asked: "),
    ] {
        let mut trial = if before.is_empty() { Trial::new(&RULES) } else { day(lot, before).0 };
        let earlier = trial.effects().len();
        let events = trial.gate(GateEvent { lane: lane.parse().expect("a name"), decided, ..gate(kind, lot, "A", 10) });
        let became: Vec<_> = events.iter().map(word).collect();
        let told_lane = |effect: Effect| if let Effect::Lane(told) = effect { Some(format!("{:?} {}", told.verdict, told.reason)) } else { None };
        let commands: Vec<_> = trial.effects().into_iter().skip(earlier).filter_map(told_lane).collect();
        assert_eq!(format!("{}: {}", became.join("+"), commands.join("+")), told, "{before}, {kind:?} at {lane} of {lot}");
    }
}

#[test]
fn what_is_asked_at_a_lane_that_nobody_declared_says_so_and_a_person_may_let_it_in() {
    let (mut trial, lane) = (Trial::new(&RULES), "side".parse().expect("a name"));
    let asked = trial.gate(GateEvent { lane, ..gate(GateKind::Entry, "small", "A", 1) });
    let [Event::Session(SessionEvent::Refused { made_of: Some(made_of), ask: true, .. })] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(made_of.checks.split(' ').any(|check| check == "lane_declared=ask:unknown_lane"), "{made_of:?}");
    let (who, lot) = (Credential::plate("A", Colour::Blue), "small".parse().expect("a name"));
    let says = Says::LetThrough { lane, way: GateKind::Entry, who: Some(who), at: None, open: true };
    let (id, author) = ("said-2".parse().expect("a name"), "lin".parse().expect("a name"));
    let through = trial.desk(DeskEvent { id, lot, said_at: at(2), author, reason: "because".into(), says });
    assert_eq!(through.iter().map(word).collect::<Vec<_>>(), ["let_through", "opened"]);
}

#[test]
fn who_owes_is_told_what_and_for_which_order() {
    let yuan = |minor| Money::new(minor, Currency::Cny);
    let debt = |order: &str, operator: &str, minute, minor| {
        let (order, lot) = (order.parse().expect("an id"), "small".parse().expect("a name"));
        let what = What::Arrear(fact::Arrear { order, operator: operator.parse().expect("a name"), lot, amount: yuan(minor) });
        Part { id: format!("debt-{minute}").parse().expect("a name"), at: at(minute), what }
    };
    let own = Trial::operator("minds");
    for (debts, due) in [
        (vec![], None),
        (vec![debt("O1", "another", -90, 700)], None),
        (vec![debt("O1", &own, -90, 0)], None),
        (vec![debt("O2", &own, -60, 500), debt("O1", &own, -90, 700)], Some(("O1", yuan(700)))),
    ] {
        let mut trial = Trial::new(&RULES);
        trial.known.insert((Credential::plate("A", Colour::Blue), fact::Kind::Arrears), debts);
        trial.gate(gate(GateKind::Entry, "minds", "A", 1));
        let effects = trial.effects();
        let [Effect::Lane(command)] = effects.as_slice() else { panic!("one command: {effects:?}") };
        let orders = trial.journal.iter().find_map(|recorded| match &recorded.event {
            Event::Session(SessionEvent::Refused { made_of: Some(made), .. }) => Some(made.grounds.clone()),
            _ => None,
        });
        let named = |ground: &Ground| if let Ground::Arrear { order, .. } = ground { Some(order.to_string()) } else { None };
        let orders: Vec<_> = orders.iter().flatten().filter_map(named).collect();
        assert_eq!(orders.first().map(String::as_str), due.map(|(order, _)| order), "the oldest is named first");
        let told = command.order.zip(command.due);
        assert_eq!(told, due.map(|(order, amount)| (order.parse().expect("an id"), amount)), "{command:?}");
        assert_eq!(command.verdict == Verdict::Refuse, due.is_some());
    }
}
