//! Laws of matching, over days that are made with what is wrong with each payment written down.

use super::*;
use proptest::prelude::*;

/// What is wrong with a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Agrees,
    Unbooked,
    Unpaid,
    OtherAmount,
    NotPosted,
    OtherOrder,
    TwiceInTheStatement,
    TwiceWithUs,
    ToldByNumberAlone,
    FailedOnBothSides,
    OfAnotherDay,
    RefundAgrees,
    RefundUnbooked,
    RefundUnmade,
    RefundOfAnotherAmount,
}

const FATES: [Fate; 15] = [
    Fate::Agrees,
    Fate::Unbooked,
    Fate::Unpaid,
    Fate::OtherAmount,
    Fate::NotPosted,
    Fate::OtherOrder,
    Fate::TwiceInTheStatement,
    Fate::TwiceWithUs,
    Fate::ToldByNumberAlone,
    Fate::FailedOnBothSides,
    Fate::OfAnotherDay,
    Fate::RefundAgrees,
    Fate::RefundUnbooked,
    Fate::RefundUnmade,
    Fate::RefundOfAnotherAmount,
];

fn key(salt: u64, number: usize) -> Key {
    let spread = |seed: u64| (number as u64 + 1).wrapping_add(salt << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed).rotate_left(29);
    Key([spread(salt), spread(7)])
}

/// The payment and the line of a trade or refund about which both sides agree.
fn agreed(number: usize, kind: LineKind) -> Record {
    let salt = if kind == LineKind::Trade { 1 } else { 2 };
    let amount = 100 + i64::try_from(number).expect("small");
    let (at, line) = (number as u64 * 1_000, u32::try_from(number).expect("small") * 10);
    let (name, number) = (key(salt, number), key(3, number));
    Record { name, number, amount, at, line, kind, standing: Standing::Done, is_due: true, is_numbered: true }
}

/// Both sides of a day, and what is to be found: the difference and the lines of each side.
type Day = (Vec<Record>, Vec<Record>, Vec<(Difference, Option<u32>, Option<u32>)>);

fn day(fates: &[Fate]) -> Day {
    let (mut payments, mut lines, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for (number, fate) in fates.iter().enumerate() {
        let refund = matches!(fate, Fate::RefundAgrees | Fate::RefundUnbooked | Fate::RefundUnmade | Fate::RefundOfAnotherAmount);
        let one = agreed(number, if refund { LineKind::Refund } else { LineKind::Trade });
        let (mut ours, mut theirs) = (vec![one], vec![one]);
        let (here, both) = (Some(one.line), |difference| (difference, Some(one.line), Some(one.line)));
        let again = Record { at: one.at + 5, line: one.line + 1, ..one };
        match fate {
            Fate::Agrees | Fate::RefundAgrees => {}
            Fate::Unbooked => {
                ours.clear();
                expected.push((Difference::Surplus, here, None));
            }
            Fate::Unpaid => {
                theirs.clear();
                expected.push((Difference::Shortage, None, here));
            }
            Fate::OtherAmount => {
                theirs[0].amount += 1;
                expected.push(both(Difference::AmountDiffers));
            }
            Fate::NotPosted => {
                theirs[0].standing = Standing::Failed;
                expected.push(both(Difference::StatusDiffers));
            }
            Fate::OtherOrder => {
                theirs[0].number = key(4, number);
                expected.push(both(Difference::StatusDiffers));
            }
            Fate::TwiceInTheStatement => {
                theirs.push(again);
                expected.push((Difference::DuplicateLine, Some(again.line), None));
            }
            Fate::TwiceWithUs => {
                ours.push(again);
                expected.push((Difference::Shortage, None, Some(again.line)));
            }
            Fate::ToldByNumberAlone => ours[0].name = Key::NONE,
            Fate::FailedOnBothSides => {
                (ours[0].standing, theirs[0].standing) = (Standing::Failed, Standing::Failed);
                theirs[0].amount = 0;
            }
            Fate::OfAnotherDay => {
                ours[0].is_due = false;
                theirs.clear();
            }
            Fate::RefundUnbooked => {
                ours.clear();
                expected.push((Difference::RefundDiffers, here, None));
            }
            Fate::RefundUnmade => {
                theirs.clear();
                expected.push((Difference::RefundDiffers, None, here));
            }
            Fate::RefundOfAnotherAmount => {
                theirs[0].amount += 1;
                expected.push(both(Difference::RefundDiffers));
            }
        }
        payments.extend(ours);
        lines.extend(theirs);
    }
    expected.sort();
    (payments, lines, expected)
}

/// As whoever calls this does it: split by key, decided piece by piece.
fn decide(payments: &[Record], lines: &[Record], pieces: u64) -> Decided {
    let of = |records: &[Record], key: fn(&Record) -> Key, piece: u64| {
        records.iter().filter(|record| key(record).0[0] % pieces == piece).copied().collect::<Vec<_>>()
    };
    let (nameless, named): (Vec<Record>, Vec<Record>) = payments.iter().partition(|payment| payment.name == Key::NONE);
    let (mut decided, mut rest) = (Decided::default(), Vec::new());
    for piece in 0..pieces {
        decided.add(by_name(&of(&named, |record| record.name, piece), &of(lines, |record| record.name, piece), &mut rest));
    }
    for piece in 0..pieces {
        decided.add(by_number(&of(&nameless, |record| record.number, piece), &of(&rest, |record| record.number, piece)));
    }
    decided.findings.sort_unstable_by_key(Finding::order);
    decided
}

fn found(decided: &Decided) -> Vec<(Difference, Option<u32>, Option<u32>)> {
    let mut found: Vec<_> = decided
        .findings
        .iter()
        .map(|finding| (finding.difference, finding.line.map(|place| place.line), finding.payment.map(|place| place.line)))
        .collect();
    found.sort();
    found
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    prop::collection::vec(prop::sample::select(FATES.to_vec()), 0..80)
}

proptest! {
    #[test]
    fn what_was_planted_is_found_and_nothing_else(fates in fates()) {
        let (payments, lines, expected) = day(&fates);
        let decided = decide(&payments, &lines, 3);
        prop_assert_eq!(found(&decided), expected);
        prop_assert_eq!(decided.totals.exceptions(), decided.findings.len() as u64);
    }

    #[test]
    fn order_and_pieces_do_not_matter(
        (fates, payments, lines, pieces) in fates().prop_flat_map(|fates| {
            let (payments, lines, _) = day(&fates);
            (Just(fates), Just(payments).prop_shuffle(), Just(lines).prop_shuffle(), 1_u64..20)
        })
    ) {
        let (in_order, of_day, _) = day(&fates);
        prop_assert_eq!(decide(&payments, &lines, pieces), decide(&in_order, &of_day, 1));
    }

    #[test]
    fn the_way_between_the_totals_has_no_gap(fates in fates()) {
        let (payments, lines, _) = day(&fates);
        let totals = decide(&payments, &lines, 1).totals;
        let of_day = |records: &[Record]| records.iter().map(|record| i128::from(record.effect())).sum::<i128>();
        let whole = totals.whole();
        prop_assert_eq!(whole.theirs, of_day(&lines));
        prop_assert_eq!(whole.ours + totals.elsewhere.ours, of_day(&payments));
        let way: i128 = Difference::ALL.iter().map(|difference| totals.of(*difference).gap()).sum();
        prop_assert_eq!(whole.ours + way, whole.theirs);
        prop_assert_eq!(totals.of(Difference::Matched).gap(), 0);
    }
}

#[test]
fn of_lines_that_tell_a_transaction_twice_the_one_that_agrees_is_the_pair() {
    let payment = agreed(1, LineKind::Trade);
    let other = Record { amount: 1, at: 0, line: 1, ..payment };
    for lines in [[other, payment], [payment, other]] {
        let decided = decide(&[payment], &lines, 1);
        assert_eq!(found(&decided), [(Difference::DuplicateLine, Some(other.line), None)]);
        assert_eq!(decided.totals.of(Difference::DuplicateLine).gap(), 1);
    }
}

#[test]
fn another_transaction_under_the_same_number_is_other_money() {
    let payment = agreed(1, LineKind::Trade);
    let line = Record { name: key(9, 1), line: 7, ..payment };
    let expected = [(Difference::Surplus, Some(7), None), (Difference::Shortage, None, Some(payment.line))];
    assert_eq!(found(&decide(&[payment], &[line], 2)), expected);
}

#[test]
fn what_may_still_move_is_no_money_yet() {
    let pending = Record { standing: Standing::Pending, ..agreed(1, LineKind::Trade) };
    let decided = decide(&[pending], &[agreed(1, LineKind::Trade)], 1);
    assert_eq!(found(&decided), [(Difference::StatusDiffers, Some(10), Some(10))]);
    assert_eq!(decided.totals.of(Difference::StatusDiffers), Sum { count: 1, ours: 0, theirs: 101 });
    for standing in [Standing::Pending, Standing::Failed] {
        let alone = decide(&[Record { standing, ..pending }], &[], 1);
        assert_eq!((alone.totals.nothing.count, alone.totals.exceptions()), (1, 0));
    }
}
