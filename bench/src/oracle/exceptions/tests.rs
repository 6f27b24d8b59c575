use super::*;
use schema::{
    Day, Partition,
    desk::Said,
    exception::{Listed, PieceAt, begins, desk_of},
    id::{Kind, Province},
    payout::DayPaid,
    statement::{Difference, LineKind, Standing},
    time::DAY,
};

fn piece() -> PieceAt {
    PieceAt { channel: "wechat".into(), merchant: "m".into(), day: Day(261_123), province: Province(44), partition: Partition(7) }
}

fn differs() -> StatementEvent {
    let order = id::derive(Kind::Order, piece().place(), &["o"]);
    let line = StatementLine {
        line: 2,
        kind: LineKind::Trade,
        standing: Standing::Done,
        transaction: "42".into(),
        number: id::attempt(order, 1).as_str().into(),
        refund: "".into(),
        amount: Money::new(500, Currency::Cny),
        fee_milli: 0,
        happened_at: Moment(1),
    };
    let fact = StatementFact::Differs { difference: Difference::Surplus, line: Some(Box::new(line)), payment: None, nth: 0 };
    StatementEvent { piece: piece(), run: None, fact }
}

fn said(author: &str, step: ExceptionStep) -> DeskEvent {
    let exception = differs().exception().expect("it differs");
    DeskEvent {
        id: "1".parse().expect("a token"),
        lot: desk_of(Partition(7)),
        said_at: Moment(9),
        author: author.parse().expect("a token"),
        reason: "why".into(),
        says: Says::Exception { exception, step },
    }
}

fn closed(why: Closing, by: Option<Said>, approved: Option<Said>) -> ReconEvent {
    ReconEvent::ExceptionClosed { exception: differs().exception().expect("it differs"), why, term: None, by, approved, gap: None }
}

#[test]
fn each_wrong_answer_is_found() {
    let next = begins(Day(261_123)).expect("a day").plus(DAY);
    let exception = differs().exception().expect("it differs");
    let opened = |cases: &mut Cases| cases.found(&differs(), next);
    let acted = |act, event: &DeskEvent| ReconEvent::ExceptionActed { exception, act, said: event.id, by: event.said(), sends: None };
    let wish = said("lin", ExceptionStep::WriteOff);
    let agree = |author| said(author, ExceptionStep::Approve("1".parse().expect("a token")));

    let mut cases = Cases::default();
    assert!(matches!(opened(&mut cases)[..], [ReconEvent::ExceptionOpened { age: Age::T1, .. }]));
    assert_eq!(opened(&mut cases), [noted(exception, ReconNote::AlreadyKnown)]);
    assert_eq!(cases.said(&wish, &[&acted(Act::WriteOffWanted, &wish)]), Vec::<String>::new());
    let alone = closed(Closing::WrittenOff, Some(wish.said()), Some(agree("lin").said()));
    assert_eq!(cases.said(&agree("lin"), &[&alone]).len(), 1, "one person is not two");

    let mut cases = Cases::default();
    opened(&mut cases);
    cases.said(&wish, &[&acted(Act::WriteOffWanted, &wish)]);
    let both = closed(Closing::WrittenOff, Some(wish.said()), Some(agree("zhou").said()));
    assert_eq!(cases.said(&agree("zhou"), &[&both]), Vec::<String>::new());
    assert_eq!(cases.said(&agree("zhou"), &[&both]).len(), 1, "it is closed once");
    assert_eq!(opened(&mut cases), [noted(exception, ReconNote::AlreadyClosed)]);

    let mut cases = Cases::default();
    let aged = |age| ReconEvent::ExceptionAged { exception, age };
    assert_eq!(cases.grew(next, &[&aged(Age::T2)]).len(), 1, "it is not there");
    opened(&mut cases);
    assert_eq!(cases.grew(next, &[&aged(Age::T2)]).len(), 1, "it is too early");
    assert_eq!(cases.grew(next.plus(DAY), &[&aged(Age::T2)]), Vec::<String>::new());
    let repair = said("lin", ExceptionStep::Repair);
    assert_eq!(cases.said(&repair, &[&closed(Closing::Repaired, Some(repair.said()), None)]).len(), 1, "nothing was sent");
}

#[test]
fn what_was_explained_comes_back() {
    let next = begins(Day(261_123)).expect("a day").plus(DAY);
    let exception = differs().exception().expect("it differs");
    let explained = StatementEvent { piece: piece(), run: None, fact: StatementFact::Explained { exception, term: Term::After } };
    let mut cases = Cases::default();
    let kinds: Vec<_> = [&differs(), &explained, &differs(), &differs(), &explained]
        .into_iter()
        .flat_map(|event| cases.found(event, next))
        .map(|event| (event.kind(), matches!(event, ReconEvent::ExceptionOpened { again: true, .. })))
        .collect();
    let closed = ("exception_closed", false);
    assert_eq!(kinds, [("exception_opened", false), closed, ("exception_opened", true), ("noted", false), closed]);
}

#[test]
fn a_write_off_is_taken_back() {
    let next = begins(Day(261_123)).expect("a day").plus(DAY);
    let exception = differs().exception().expect("it differs");
    let explained = StatementEvent { piece: piece(), run: None, fact: StatementFact::Explained { exception, term: Term::After } };
    let wish = said("lin", ExceptionStep::WriteOff);
    let mut cases = Cases::default();
    cases.found(&differs(), next);
    assert_eq!(cases.said(&wish, &[&closed(Closing::WrittenOff, Some(wish.said()), None)]), Vec::<String>::new());
    let gap = Box::new(Gap { channel: "wechat".into(), money: Money::new(500, Currency::Cny) });
    assert_eq!(cases.found(&explained, next), [ReconEvent::WriteOffUndone { exception, term: Term::After, gap }]);
    assert_eq!(cases.found(&explained, next), [noted(exception, ReconNote::AlreadyClosed)], "once");
    assert!(matches!(cases.found(&differs(), next)[..], [ReconEvent::ExceptionOpened { again: true, .. }]));
    assert!(matches!(cases.found(&explained, next)[..], [ReconEvent::ExceptionClosed { why: Closing::Explained, .. }]), "nobody gave it up again");
}

#[test]
fn the_first_payout_of_a_reference_counts() {
    let paid = |minor: i64, author: &str| {
        let days = vec![DayPaid { day: Day(261_123), minor }];
        let (amount, author) = (Money::new(minor, Currency::Cny), author.parse().expect("a name"));
        PaidOut { reference: "B-77".into(), operator: None, days, amount, booked_at: Moment(9), author }
    };
    let mut cases = Cases::default();
    let mut told = |paid: PaidOut, channel: &str| -> Vec<&'static str> {
        let event = paid.said(channel.into(), "m".into(), Province(44));
        cases.found(&event, Moment(0)).iter().map(ReconEvent::kind).collect()
    };
    assert_eq!(told(paid(500, "lin"), "wechat"), ["paid_out"]);
    assert_eq!(told(paid(500, "zhou"), "wechat"), ["noted"]);
    assert_eq!(told(paid(501, "lin"), "wechat"), ["payout_differs"]);
    assert_eq!(told(paid(500, "lin"), "wechat"), ["noted"], "what is refused changes nothing");
    assert_eq!(told(paid(501, "lin"), "alipay"), ["paid_out"]);
}

#[test]
fn a_piece_that_comes_to_the_same_is_known() {
    let matched = |(hash, inside): (&str, bool)| {
        let stays = inside.then(|| Box::new(Stays { paid_and_inside: Listed { count: 1, first: vec![] }, ..Stays::default() }));
        let fact = StatementFact::Matched { term: Term::Next, sums: vec![], fees: None, stays, hash: hash.into() };
        StatementEvent { piece: piece(), run: None, fact }
    };
    let mut cases = Cases::default();
    let told = [("a", false), ("a", false), ("b", false), ("b", true), ("b", true), ("b", false)];
    let kinds: Vec<_> = told.into_iter().flat_map(|told| cases.found(&matched(told), Moment(0))).map(|event| event.kind()).collect();
    assert_eq!(kinds, ["matched", "noted", "matched", "matched", "noted", "matched"]);
}
