use super::*;
use crate::statement::LineKind;
use std::collections::BTreeSet;

const DAY_OF: Day = Day(261_123);

fn piece() -> PieceAt {
    PieceAt { channel: "wechat".into(), merchant: "1900000109".into(), day: DAY_OF, province: Province(44), partition: Partition(7) }
}

fn line(number: &str, amount: i64, at: u32) -> StatementLine {
    StatementLine {
        line: at,
        kind: LineKind::Trade,
        standing: Standing::Done,
        transaction: "42000001".into(),
        number: number.into(),
        refund: "".into(),
        amount: Money::new(amount, Currency::Cny),
        fee_milli: 6,
        happened_at: Moment(1_795_399_200_000_000),
    }
}

fn surplus(line: StatementLine) -> StatementEvent {
    let fact = StatementFact::Differs { difference: Difference::Surplus, line: Some(Box::new(line)), payment: None, nth: 0 };
    StatementEvent { piece: piece(), run: None, fact }
}

#[test]
fn what_is_found_again_is_the_same_fact() {
    let (first, moved, other) = (surplus(line("n", 500, 3)), surplus(line("n", 500, 9)), surplus(line("n", 600, 3)));
    assert_eq!((first.key(), first.exception(), first.time()), (moved.key(), moved.exception(), moved.time()), "where it stands says nothing");
    assert_ne!((first.key(), first.exception()), (other.key(), other.exception()));
    assert!(first.exception().is_some_and(|id| id::place(id.as_str()) == Some(piece().place())));
    assert!(first.key().len() + "0000STATEMENT-".len() <= 32, "it is a part of an answer's key");
    let matched = |hash: &str, term| {
        StatementEvent { piece: piece(), run: None, fact: StatementFact::Matched { term, sums: vec![], fees: None, stays: None, hash: hash.into() } }
            .key()
    };
    let keys = [matched("a", Term::Next), matched("b", Term::Next), matched("a", Term::After), first.key()];
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
}

#[test]
fn another_comparison_is_heard_and_the_same_one_is_not_twice() {
    let by = |run: &str| StatementEvent { run: run.parse().ok(), ..surplus(line("n", 500, 3)) };
    let (first, again, other) = (by("one"), by("one"), by("other"));
    assert_eq!(first.key(), again.key());
    assert_eq!([&first, &other].map(StatementEvent::exception), [surplus(line("n", 500, 3)).exception(); 2], "it is the same exception");
    let keys = [first.key(), other.key(), surplus(line("n", 500, 3)).key()];
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    assert!(keys.iter().all(|key| key.len() == 18));
}

#[test]
fn several_that_are_the_same_are_several_exceptions() {
    let ids = [0, 1, 2].map(|nth| piece().exception(Difference::DuplicateLine, Some(&line("n", 500, 3)), None, nth));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 3);
    assert!(ids.iter().all(|id| id::place(id.as_str()) == Some(piece().place())));
}

#[test]
fn a_line_and_its_payment_have_one_home() {
    let order = id::derive(Kind::Order, piece().place(), &["o"]);
    let (attempt, refund) = (id::attempt(order, 2), id::derive(Kind::Refund, piece().place(), &["r"]));
    let other = Province(11);
    for numbers in [[attempt.as_str(), "", "42"], [order.as_str(), "", ""], ["", refund.as_str(), "42"], ["strange", refund.as_str(), ""]] {
        assert_eq!(home(&numbers, other), (Province(44), Partition(7)), "{numbers:?}");
    }
    assert_eq!(home(&["strange", "", "42"], other), (other, Partition::of_lot("strange")));
    assert_eq!(home(&["", "", "42"], other), (other, Partition::of_lot("42")));
    assert_eq!(home_of_line(&line(attempt.as_str(), 1, 1), other), (Province(44), Partition(7)));
}

#[test]
fn every_partition_has_a_desk() {
    let desks: BTreeSet<LotId> = Partition::all().map(desk_of).collect();
    assert_eq!(desks.len(), usize::from(Partition::COUNT));
    for partition in Partition::all() {
        assert_eq!(Partition::of_lot(desk_of(partition).as_str()), partition);
    }
}

#[test]
fn a_channels_day_is_of_china() {
    // 2026-11-23T00:00:00+08:00.
    let first = Moment(1_795_363_200_000_000);
    assert_eq!(begins(DAY_OF), Some(first));
    for (after, day, days) in [(0, 261_123, 0), (DAY - 1, 261_123, 0), (DAY, 261_124, 1), (-1, 261_122, -1)] {
        let moment = first.plus(after);
        assert_eq!((day_of(moment), days_after(DAY_OF, moment)), (Day(day), days), "{after}");
    }
    for no_day in [0, 261_132, 261_301, 260_229, 99_999_999] {
        assert_eq!(begins(Day(no_day)), None, "{no_day}");
    }
}

#[test]
fn what_means_nothing_is_refused() {
    let with = |change: fn(&mut StatementEvent)| {
        let mut event = surplus(line("n", 500, 3));
        change(&mut event);
        event.checked().err().unwrap_or_default()
    };
    assert_eq!(with(|_| {}), "");
    for (told, part) in [
        (with(|event| event.piece.day = Day(0)), "no day"),
        (with(|event| event.piece.channel = "a.b".into()), "a word"),
        (with(|event| event.piece.merchant = "x".repeat(65).into()), "at most 64"),
        (with(|event| event.piece.partition = Partition(64)), "0 to 63"),
        (with(|event| event.fact = StatementFact::Matched { term: Term::Next, sums: vec![], fees: None, stays: None, hash: "".into() }), "64"),
        (
            with(|event| {
                let hash = "0f".repeat(32).into();
                let left_and_unpaid = Listed { count: 21, first: vec![id::derive(Kind::Session, piece().place(), &["s"]); 21] };
                let stays = Some(Box::new(Stays { left_and_unpaid, ..Stays::default() }));
                event.fact = StatementFact::Matched { term: Term::Next, sums: vec![], fees: None, stays, hash };
            }),
            "20",
        ),
        (with(|event| event.fact = StatementFact::Differs { difference: Difference::Surplus, line: None, payment: None, nth: 0 }), "nothing differs"),
        (with(|event| *event = surplus(line(&"x".repeat(65), 1, 1))), "65 bytes"),
        (
            with(|event| {
                let elsewhere = Place { day: Day(261_124), ..event.piece.place() };
                let exception = id::derive(Kind::Exception, elsewhere, &["x"]);
                event.fact = StatementFact::Explained { exception, term: Term::After };
            }),
            "another piece",
        ),
    ] {
        assert!(told.contains(part), "{told:?} does not say {part:?}");
    }
}

#[test]
fn an_exception_says_what_it_is_about() {
    let StatementFact::Differs { difference, line, .. } = surplus(line("n", 500, 3)).fact else { panic!("it differs") };
    let exception = |line, payment, age, closed| Exception {
        exception: piece().exception(difference, None, None, 0),
        piece: piece(),
        difference,
        line,
        payment,
        age,
        owner: None,
        wanted: None,
        history: vec![],
        asked: 0,
        closed,
    };
    let open = exception(line.clone(), None, Age::T1, None);
    assert_eq!((open.money(), open.number(), open.transaction()), (Money::new(500, Currency::Cny), "n", "42000001"));
    let due = |age, closed| exception(None, None, age, closed).due_at().map(|due| days_after(DAY_OF, due));
    for (age, days) in [(Age::T1, Some(2)), (Age::T2, Some(3)), (Age::T3, Some(4)), (Age::Week, Some(8)), (Age::Older, None)] {
        assert_eq!(due(age, None), days);
        assert!(days.is_none_or(|days| Age::of_days(days) > age && Age::of_days(days - 1) == age), "{age:?} ends then");
        assert_eq!(due(age, Some(Closing::Explained)), None);
    }
}

#[test]
fn of_many_stays_all_are_counted_and_a_few_are_told() {
    let sessions = |names: std::ops::Range<u32>| names.map(|name| id::derive(Kind::Session, piece().place(), &[&name.to_string()]));
    let mut listed = Listed::of(sessions(0..15));
    assert_eq!((listed.count, listed.first.len()), (15, 15));
    listed.add(&Listed::of(sessions(15..40)));
    assert_eq!((listed.count, listed.first), (40, sessions(0..20).collect::<Vec<_>>()));
    let mut stays = Stays::default();
    assert!(stays.is_none());
    stays.add(&Stays { left_and_unpaid: Listed::of(sessions(0..1)), ..Stays::default() });
    assert!(!stays.is_none());
}
