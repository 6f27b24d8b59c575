use super::*;
use proptest::prelude::*;
use schema::{
    Currency, Moment, Money, Partition,
    entity::{Attempt, Refund},
    exception::begins,
    id::{self, Kind, Place, Province},
    journal::{RefundReason, Source},
    time::{DAY, MINUTE},
};

const DAY_OF: Day = Day(261_122);
const PLACE: Place = Place { province: Province(44), day: DAY_OF, partition: Partition(7) };

fn piece() -> PieceAt {
    PieceAt { channel: "wechat".into(), merchant: "m".into(), day: DAY_OF, province: PLACE.province, partition: PLACE.partition }
}

fn at(hours: i64) -> Moment {
    begins(DAY_OF).expect("a day").plus(hours * DAY / 24)
}

fn order(name: &str) -> Id {
    id::derive(Kind::Order, PLACE, &[name])
}

/// An order paid once, so many hours after the day has begun.
fn paid(name: &str, amount: i64, hours: i64) -> Payment {
    let amount = Money::new(amount, Currency::Cny);
    let attempt = id::attempt(order(name), 1);
    let (state, until) = (AttemptState::Paid, at(hours));
    let tried = Attempt { attempt, choice: 1, channel: "wechat".into(), amount, until, state, tries: 1, code: None, due_at: None, deducts: None };
    let source = Source { channel: "wechat".into(), transaction: format!("42-{name}").into() };
    let (key, paid_at) = (Payment::receipt_key(&source), Some(at(hours)));
    let receipt = Receipt { source, amount, came_at: at(hours), fate: Fate::Applied, paid_at, provisional: false, choice: None, refunds: vec![] };
    Payment {
        order: order(name),
        lot: None,
        day: DAY_OF,
        due: Some(amount),
        receipts: BTreeMap::from([(key, receipt)]),
        withdrawn: false,
        imported: None,
        discounts: None,
        wanted: BTreeMap::new(),
        choice: None,
        attempts: BTreeMap::from([(1, tried)]),
    }
}

fn with(mut payment: Payment, change: impl Fn(&mut Receipt)) -> Payment {
    payment.receipts.values_mut().for_each(change);
    payment
}

fn refunded(payment: Payment, state: RefundState, done_at: Option<Moment>) -> Payment {
    let refund = id::derive(Kind::Refund, PLACE, &[payment.order.as_str()]);
    let (amount, reason) = (Money::new(200, Currency::Cny), RefundReason::Ordered);
    with(payment, |receipt| receipt.refunds.push(Refund { refund, amount, reason, state, tries: 1, due_at: None, done_at, alone: false }))
}

fn line(name: &str, amount: i64) -> Spooled {
    let line = StatementLine {
        line: u32::try_from(amount).unwrap_or_default(),
        kind: LineKind::Trade,
        standing: Standing::Done,
        transaction: format!("42-{name}").into(),
        number: id::attempt(order(name), 1).as_str().into(),
        refund: "".into(),
        amount: Money::new(amount, Currency::Cny),
        fee_milli: 0,
        happened_at: at(8),
    };
    Spooled { after: false, line }
}

fn back(name: &str, amount: i64) -> Spooled {
    let refund = id::derive(Kind::Refund, PLACE, &[order(name).as_str()]);
    let Spooled { after, line } = line(name, amount);
    Spooled { after, line: StatementLine { kind: LineKind::Refund, refund: refund.as_str().into(), number: "".into(), ..line } }
}

fn after(spooled: Spooled) -> Spooled {
    Spooled { after: true, ..spooled }
}

fn found(term: Term, lines: &[Spooled], payments: &[Payment]) -> Vec<String> {
    let compared = compare(&piece(), term, lines, payments, &[], true);
    let words = compared.iter().filter_map(|event| match &event.fact {
        StatementFact::Differs { difference, .. } => Some(difference.as_str().to_owned()),
        StatementFact::Matched { .. } | StatementFact::Explained { .. } | StatementFact::PaidOut { .. } => None,
    });
    let mut words: Vec<String> = words.collect();
    words.sort();
    words
}

#[test]
fn what_is_booked_and_what_is_told_compare_so() {
    let status = |change: fn(&mut Receipt)| with(paid("a", 500, 8), change);
    let done = Some(at(9));
    for (what, lines, payments, expected) in [
        ("both have it", vec![line("a", 500)], vec![paid("a", 500, 8)], &[][..]),
        ("the notification was lost", vec![line("a", 500)], vec![], &["surplus"]),
        ("the channel does not have it", vec![], vec![paid("a", 500, 8)], &["shortage"]),
        ("the amount is another", vec![line("a", 400)], vec![paid("a", 500, 8)], &["amount_differs"]),
        ("it is told twice", vec![line("a", 500), line("a", 500)], vec![paid("a", 500, 8)], &["duplicate_line"]),
        ("it is accepted here, and settled there", vec![line("a", 500)], vec![status(|receipt| receipt.provisional = true)], &["status_differs"]),
        ("it is accepted here, and not told yet", vec![], vec![status(|receipt| receipt.provisional = true)], &[]),
        (
            "it failed",
            vec![],
            vec![status(|receipt| {
                receipt.provisional = true;
                receipt.fate = Fate::Reversed;
            })],
            &[],
        ),
        ("it came by another channel", vec![], vec![status(|receipt| receipt.source.channel = "cash".into())], &[]),
        ("it went back", vec![line("a", 500), back("a", 200)], vec![refunded(paid("a", 500, 8), RefundState::Succeeded, done)], &[]),
        ("it went back there alone", vec![line("a", 500), back("a", 200)], vec![paid("a", 500, 8)], &["refund_differs"]),
        (
            "it went back, and we do not know",
            vec![line("a", 500), back("a", 200)],
            vec![refunded(paid("a", 500, 8), RefundState::Unknown, None)],
            &["refund_differs"],
        ),
        ("it went back here alone", vec![line("a", 500)], vec![refunded(paid("a", 500, 8), RefundState::Succeeded, done)], &["refund_differs"]),
        ("it went back another day", vec![line("a", 500)], vec![refunded(paid("a", 500, 8), RefundState::Succeeded, Some(at(33)))], &[]),
        ("it is on its way back", vec![line("a", 500)], vec![refunded(paid("a", 500, 8), RefundState::Requested, None)], &[]),
    ] {
        assert_eq!(found(Term::Next, &lines, &payments), expected, "{what}");
    }
}

#[test]
fn the_fees_of_the_days_own_lines_are_told() {
    let fees = |lines: &[Spooled]| {
        let compared = compare(&piece(), Term::After, lines, &[paid("b", 500, 23)], &[], true);
        let Some(StatementFact::Matched { fees, hash, .. }) = compared.last().map(|event| event.fact.clone()) else { panic!("{compared:?}") };
        (fees.map(|fees| fees.minor), hash)
    };
    let charged = |spooled: Spooled, fee_milli| Spooled { line: StatementLine { fee_milli, ..spooled.line }, ..spooled };
    let failed = |spooled: Spooled| Spooled { line: StatementLine { standing: Standing::Failed, ..spooled.line }, ..spooled };
    for (lines, minor) in [
        (vec![], 0),
        (vec![charged(line("a", 500), 3_000)], 3),
        (vec![charged(line("a", 500), 2_400), charged(line("c", 500), 2_100)], 5),
        (vec![charged(line("a", 500), 3_000), charged(back("a", 200), -1_000)], 2),
        (vec![charged(back("a", 200), -1_500)], -2),
        (vec![charged(line("a", 500), 3_000), failed(charged(line("c", 500), 3_000))], 3),
        (vec![charged(line("a", 500), 3_000), after(charged(line("b", 500), 3_000))], 3),
    ] {
        assert_eq!(fees(&lines).0, Some(minor), "{lines:?}");
    }
    assert_ne!(fees(&[charged(line("a", 500), 3_000)]).1, fees(&[charged(line("a", 500), 4_000)]).1, "a statement that tells other fees is another");
    let clearing = PieceAt { channel: "etc".into(), ..piece() };
    let compared = compare(&clearing, Term::Next, &[], &[], &[], false);
    assert!(matches!(compared[..], [StatementEvent { fact: StatementFact::Matched { fees: None, .. }, .. }]), "{compared:?}");
    // A clearing file that has the column tells, as others do.
    let told = compare(&clearing, Term::Next, &[charged(line("a", 500), 3_000)], &[paid("a", 500, 8)], &[], true);
    let fees = told.iter().find_map(|event| if let StatementFact::Matched { fees, .. } = &event.fact { *fees } else { None });
    assert_eq!(fees, Some(Money::new(3, Currency::Cny)), "{told:?}");
}

#[test]
fn what_crosses_midnight_is_explained_the_day_after() {
    // Paid at 23:59 by our books, and told by the statement of the day after.
    let crossing = [paid("a", 500, 23)];
    assert_eq!(found(Term::Next, &[], &crossing), ["shortage"]);
    assert_eq!(found(Term::After, &[after(line("a", 500))], &crossing), [] as [&str; 0]);
    assert_eq!(found(Term::After, &[after(line("a", 400))], &crossing), ["amount_differs"]);
    // A line of the day after about nothing of this day is its own day's business.
    assert_eq!(found(Term::After, &[after(line("b", 500))], &crossing), ["shortage"]);
    assert_eq!(found(Term::After, &[line("a", 500), after(line("a", 500))], &crossing), [] as [&str; 0]);
    // The statement of the next day has it, and it is of the day before: both sides are there.
    assert_eq!(found(Term::Next, &[line("a", 500)], &[paid("a", 500, -1)]), [] as [&str; 0]);
    assert_eq!(found(Term::Next, &[], &[paid("a", 500, -1), paid("b", 500, 25)]), [] as [&str; 0], "of other days");
    // What is cleared later is not lacking on its day.
    let etc = [with(paid("a", 500, 8), |receipt| receipt.source.channel = "etc".into())];
    let piece = PieceAt { channel: "etc".into(), ..piece() };
    assert_eq!(compare(&piece, Term::Next, &[], &etc, &[], true).len(), 1);
}

#[test]
fn either_side_of_midnight_tells_of_what_moved_there() {
    let moved = |minutes: i64| refunded(paid("a", 500, 8), RefundState::Succeeded, Some(at(0).plus(minutes * MINUTE)));
    let trade = line("a", 500);
    for (what, minutes, term, lines, expected) in [
        // We heard of it just after midnight, and the statement of the day before tells of it.
        ("of the day before", 5, Term::Next, vec![trade.clone()], &[][..]),
        ("of the day before, at T+2", 5, Term::After, vec![trade.clone()], &[]),
        ("of this day by our clock", 5, Term::Next, vec![trade.clone(), back("a", 200)], &[]),
        ("told today", 24 * 60 + 5, Term::Next, vec![trade.clone(), back("a", 200)], &[]),
        ("told today, and seen again", 24 * 60 + 5, Term::After, vec![trade.clone(), back("a", 200)], &[]),
        ("told tomorrow", 24 * 60 + 5, Term::After, vec![trade.clone(), after(back("a", 200))], &[]),
        ("told tomorrow, and we thought today", 23 * 60 + 55, Term::After, vec![trade.clone(), after(back("a", 200))], &[]),
        ("not known yet", 24 * 60 + 5, Term::Next, vec![trade.clone()], &[]),
        ("told by neither", 24 * 60 + 5, Term::After, vec![trade.clone()], &["refund_differs"]),
        ("told by neither, and tomorrow's for sure", 24 * 60 + 15, Term::After, vec![trade.clone()], &[]),
        ("told by none", 15, Term::Next, vec![trade.clone()], &["refund_differs"]),
    ] {
        assert_eq!(found(term, &lines, &[moved(minutes)]), expected, "{what}");
    }
    let paid_at = |minutes: i64| with(paid("a", 500, 8), |receipt| receipt.paid_at = Some(at(0).plus(minutes * MINUTE)));
    for (minutes, term, lines, expected) in [
        (5, Term::Next, vec![], &[][..]),
        (24 * 60 + 5, Term::After, vec![line("a", 500)], &[]),
        (24 * 60 + 5, Term::After, vec![after(line("a", 500))], &[]),
        (24 * 60 + 5, Term::After, vec![], &["shortage"]),
    ] {
        assert_eq!(found(term, &lines, &[paid_at(minutes)]), expected, "{minutes} {term:?}");
    }
}

#[test]
fn the_same_line_again_and_again_is_as_many_exceptions() {
    let again = |number: u32| Spooled { after: false, line: StatementLine { line: number, ..line("a", 500).line } };
    let ids = |lines: &[Spooled]| {
        let compared = compare(&piece(), Term::Next, lines, &[paid("a", 500, 8)], &[], true);
        compared.iter().filter_map(StatementEvent::exception).collect::<BTreeSet<_>>()
    };
    let lines: Vec<Spooled> = (2..5).map(again).collect();
    let (none, one, two) = (ids(&lines[..1]), ids(&lines[..2]), ids(&lines));
    assert_eq!((none.len(), one.len(), two.len()), (0, 1, 2));
    assert!(one.is_subset(&two), "the first of them is what it was");
    let known = piece().exception(Difference::DuplicateLine, Some(&again(3).line), None, 0);
    assert!(one.contains(&known));
}

#[test]
fn what_is_found_no_more_is_explained() {
    let first = compare(&piece(), Term::Next, &[line("a", 500), line("b", 600)], &[], &[], true);
    let opened: Vec<Exception> = first
        .iter()
        .filter_map(|event| {
            let StatementFact::Differs { difference, line, payment, .. } = &event.fact else { return None };
            let (exception, piece, difference, age) = (event.exception()?, event.piece.clone(), *difference, schema::statement::Age::T1);
            let (line, payment, owner, wanted, history, asked, closed) = (line.clone(), payment.clone(), None, None, vec![], 0, None);
            Some(Exception { exception, piece, difference, line, payment, age, owner, wanted, history, asked, closed })
        })
        .collect();
    assert_eq!(opened.len(), 2);
    let explained = |open: &[Exception], payments: &[Payment]| {
        let compared = compare(&piece(), Term::After, &[line("a", 500), line("b", 600)], payments, open, true);
        compared.iter().filter(|event| matches!(event.fact, StatementFact::Explained { .. })).count()
    };
    assert_eq!(explained(&opened, &[]), 0);
    assert_eq!(explained(&opened, &[paid("a", 500, 8)]), 1, "its payment came late");
    assert_eq!(explained(&opened, &[paid("a", 500, 8), paid("b", 600, 8)]), 2);
    let others: Vec<_> = opened
        .iter()
        .cloned()
        .map(|one| Exception { piece: PieceAt { channel: "alipay".into(), ..piece() }, ..one })
        .chain(opened.iter().cloned().map(|one| Exception { closed: Some(schema::exception::Closing::Repaired), ..one }))
        .collect();
    assert_eq!(explained(&others, &[paid("a", 500, 8), paid("b", 600, 8)]), 0, "another channel's, and closed ones");
    let given_up: Vec<_> = opened.iter().cloned().map(|one| Exception { closed: Some(schema::exception::Closing::WrittenOff), ..one }).collect();
    assert_eq!(explained(&given_up, &[paid("a", 500, 8)]), 1, "what was written off is taken back once it is explained");
}

proptest! {
    #[test]
    fn order_changes_nothing(order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(), other in Just((0..9_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let lines: Vec<Spooled> = (0..12).map(|at: usize| line(names[at % 7], 500 + i64::try_from(at).expect("small"))).collect();
        let payments: Vec<Payment> = names.iter().map(|name| paid(name, 503, 8)).collect();
        let straight = compare(&piece(), Term::Next, &lines, &payments, &[], true);
        let lines: Vec<_> = order.iter().map(|at| lines[*at].clone()).collect();
        let payments: Vec<_> = other.iter().map(|at| payments[*at].clone()).collect();
        let shuffled = compare(&piece(), Term::Next, &lines, &payments, &[], true);
        prop_assert_eq!(serde_json::to_vec(&straight).expect("JSON"), serde_json::to_vec(&shuffled).expect("JSON"));
    }
}
