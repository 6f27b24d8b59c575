use crate::{
    entry::RULES,
    trial::{Trial, at, gate},
};
use schema::{
    Credential, DeskEvent, Effect, Entity, Event, GateKind, Verdict,
    desk::Says,
    entity::Stage,
    gate::Colour,
    journal::{OrderEvent, SessionEvent},
    rate::{Validation, ValidationKind},
};

fn car(text: &str) -> Credential {
    Credential::plate(text, Colour::Blue)
}

fn validated(who: &str, id: &str) -> Says {
    let validation = Validation { id: id.into(), bearer: "cinema".into(), kind: ValidationKind::AmountOff { amount: 300 }, over: false };
    Says::Validated { who: car(who), validation }
}

fn word(event: &Event) -> String {
    match event {
        Event::Session(SessionEvent::Noted { note, .. }) => format!("{note:?}"),
        other => other.kind().to_owned(),
    }
}

/// Plays a day at the lot `small`: `in CAR`, `out CAR`, and with a `!` by the lane itself; by hand `coupon CAR ID`, `fix CAR CAR`, `came CAR MINUTE`,
/// `lost CAR`, `let-in CAR`, `let-out CAR`, `open`, `there CAR` and `away CAR`. The first word of each line is its minute.
fn day(script: &str) -> (Trial, String) {
    let mut trial = Trial::new(&RULES);
    let mut told = Vec::new();
    for line in script.split(", ") {
        let words: Vec<&str> = line.split(' ').collect();
        let minute = words[0].parse().expect("a minute");
        let mut seen = |kind, decided| {
            let event = gate(kind, "small", words[2], minute);
            trial.gate(schema::GateEvent { decided, ..event })
        };
        let lane = if words[1] == "let-out" { "out" } else { "in" }.parse().expect("a name");
        let through = |way, who: Option<&str>, open| Says::LetThrough { lane, way, who: who.map(car), at: None, open };
        let says = match words[1] {
            "in" => Err(seen(GateKind::Entry, None)),
            "out" => Err(seen(GateKind::Exit, None)),
            "out!" => Err(seen(GateKind::Exit, Some(Verdict::Open))),
            "coupon" => Ok(validated(words[2], words[3])),
            "fix" => Ok(Says::Corrected { who: car(words[2]), is: Some(car(words[3])), entered_at: None, stay: None }),
            "came" => Ok(Says::Corrected { who: car(words[2]), is: None, entered_at: Some(at(words[3].parse().expect("a minute"))), stay: None }),
            "lost" => Ok(Says::Lost { who: car(words[2]) }),
            "let-in" => Ok(through(GateKind::Entry, Some(words[2]), true)),
            "let-out" => Ok(through(GateKind::Exit, Some(words[2]), false)),
            "there" => Ok(Says::Stock { who: car(words[2]), held: true }),
            "away" => Ok(Says::Stock { who: car(words[2]), held: false }),
            "open" => Ok(through(GateKind::Entry, None, true)),
            other => panic!("no verb {other}"),
        };
        let events = says.map_or_else(
            |events| events,
            |says| {
                let (id, lot) = (format!("d{}", told.len()).parse().expect("a name"), "small".parse().expect("a name"));
                let author = "lin".parse().expect("a name");
                trial.desk(DeskEvent { id, lot, said_at: at(minute), author, reason: "because".into(), says })
            },
        );
        told.push(events.iter().map(word).collect::<Vec<_>>().join("+"));
    }
    (trial, told.join(", "))
}

#[test]
fn what_is_done_by_hand_has_its_outcome() {
    for (script, told, taken) in [
        ("0 in A, 5 coupon A v1", "opened, validated", 1),
        ("0 in A, 5 coupon A v1, 6 coupon A v1", "opened, validated, AlreadyKnown", 1),
        ("0 in A, 90 out A, 91 coupon A v1", "opened, leaving, validated+leaving", 1),
        ("5 coupon A v1", "Unknown", 0),
        ("0 let-in A, 90 out A", "let_through+opened, leaving", 1),
        ("0 in A, 1 let-in A", "opened, let_through+DoubleRead", 1),
        ("0 in A, 90 let-out A", "opened, let_through+leaving+gone", 0),
        ("0 in A, 90 out A, 91 let-out A", "opened, leaving, let_through+gone", 0),
        ("90 let-out A", "let_through+waiting", 0),
        ("0 open", "let_through", 0),
        // The lot is looked through.
        ("0 in A, 60 there A", "opened, AlreadyInside", 1),
        ("60 there A, 90 out A", "let_through+opened, leaving", 1),
        ("0 in A, 60 away A", "opened, let_through+leaving+gone", 0),
        ("0 in A, 90 out A, 91 away A", "opened, leaving, let_through+gone", 0),
        ("60 away A", "Unknown", 0),
        // A plate that was read wrongly at the entry.
        ("0 in A, 5 fix A B, 90 out B", "opened, corrected, leaving", 1),
        ("0 in A, 90 out B, 91 fix A B", "opened, waiting, corrected+leaving", 1),
        ("0 in A, 90 out! B, 91 fix A B", "opened, waiting, corrected+leaving+gone", 0),
        ("0 in A, 90 out A, 91 fix A B", "opened, leaving, corrected+leaving", 1),
        ("0 in A, 1 in B, 5 fix A B", "opened, opened, AlreadyInside", 2),
        ("0 in A, 5 fix A A", "opened, AlreadyKnown", 1),
        ("5 fix A B", "Unknown", 0),
        ("0 in A, 5 fix A B, 90 out A", "opened, corrected, waiting", 1),
        // A time that was wrong.
        ("50 in A, 60 came A 10, 90 out A", "opened, corrected, leaving", 1),
        ("50 in A, 90 out A, 91 came A 10", "opened, leaving, corrected+leaving", 1),
        ("50 in A, 90 out A, 91 came A 95", "opened, leaving, Contradicts", 1),
        ("50 in A, 60 came A 99", "opened, Contradicts", 1),
        ("50 out A, 60 lost A", "waiting, opened+leaving", 1),
        ("50 out! A, 60 lost A", "waiting, opened+leaving+gone", 0),
        ("60 lost A", "Unknown", 0),
        ("50 out A, 55 in A, 60 lost A, 90 out A", "waiting, opened, AlreadyInside, leaving", 1),
        ("0 in A, 60 lost A", "opened, Unknown", 1),
    ] {
        let (trial, said) = day(script);
        assert_eq!(said, told, "{script}");
        let occupied = trial.entities.values().find_map(|entity| if let Entity::Lot(lot) = entity { Some(lot.occupied) } else { None });
        assert_eq!(occupied.unwrap_or(0), taken, "{script}");
    }
}

#[test]
fn a_look_that_notes_no_colour_means_the_one_car_with_this_plate() {
    let (blue, yellow) = (Some(Colour::Blue), Some(Colour::Yellow));
    for (inside, held, told) in [
        (vec![], true, "let_through+opened"),
        (vec![], false, "Unknown"),
        (vec![None], true, "AlreadyInside"),
        (vec![yellow], true, "AlreadyInside"),
        (vec![yellow], false, "let_through+leaving+gone"),
        (vec![blue, yellow], true, "SeveralCars"),
        (vec![blue, yellow], false, "SeveralCars"),
    ] {
        let mut trial = Trial::new(&RULES);
        let mut look = |minute: i64, colour, held| {
            let (id, lot) = (format!("d{minute}").parse().expect("a name"), "small".parse().expect("a name"));
            let says = Says::Stock { who: Credential { colour, ..car("A") }, held };
            let author = "lin".parse().expect("a name");
            let events = trial.desk(DeskEvent { id, lot, said_at: at(minute), author, reason: "because".into(), says });
            events.iter().map(word).collect::<Vec<_>>().join("+")
        };
        for (minute, colour) in (0..).zip(&inside) {
            assert_eq!(look(minute, *colour, true), "let_through+opened", "{inside:?}");
        }
        assert_eq!(look(9, None, held), told, "{inside:?} {held}");
    }
}

#[test]
fn a_barrier_opens_for_who_is_let_through_and_for_nobody_who_passed() {
    let opened = |script: &str| {
        let by_hand = |effect: &Effect| matches!(effect, Effect::Lane(command) if command.verdict == Verdict::Open && &*command.reason == "by_hand");
        day(script).0.effects().iter().filter(|effect| by_hand(effect)).count()
    };
    assert_eq!([opened("0 let-in A"), opened("0 open"), opened("0 in A, 90 let-out A")], [1, 1, 0]);
}

#[test]
fn a_stay_has_sixteen_validations_at_most() {
    let script: Vec<String> = (0..17).map(|n| format!("5 coupon A v{n}")).collect();
    let (trial, told) = day(&format!("0 in A, {}", script.join(", ")));
    assert!(told.ends_with("validated, TooMany"), "{told}");
    let session = trial.entities.values().find_map(|entity| if let Entity::Session(session) = entity { Some(session) } else { None });
    assert_eq!(session.map(|session| (session.stage, session.validations.len())), Some((Stage::Open, 16)));
}

/// The prices of the stay's orders, in the order in which they were asked for, of a lot with 5 yuan an hour, and 20 for a lost ticket.
fn prices(script: &str) -> Vec<i64> {
    let (entry, _) = day(script);
    let mut pricing = Trial::new(&crate::pricing::RULES);
    for recorded in &entry.journal {
        pricing.journal(schema::Inbox::Session, recorded);
    }
    let asked = |recorded: &schema::Recorded| match &recorded.event {
        Event::Order(OrderEvent::Priced { quote, .. }) => Some(quote.total.minor),
        Event::Order(OrderEvent::Withdrawn { .. }) => Some(-1),
        _ => None,
    };
    pricing.journal.iter().filter_map(asked).collect()
}

#[test]
fn a_price_follows_what_is_put_right() {
    for (script, fen) in [
        ("0 in A, 5 coupon A v1, 90 out A", vec![700]),
        ("0 in A, 90 out A, 91 coupon A v1", vec![1_000, -1]),
        ("50 in A, 60 came A 10, 90 out A", vec![1_000]),
        ("0 in A, 90 out B, 91 fix A B", vec![1_000]),
        ("50 out A, 60 lost A", vec![2_000]),
    ] {
        assert_eq!(prices(script), fen, "{script}");
    }
}
