use super::*;
use crate::trial::Trial;
use proptest::prelude::*;
use schema::{
    Currency, Day, Inbox, Moment, Money, Partition,
    desk::ExceptionStep,
    exception::{DifferenceSum, Listed, PieceAt, Stays, Term, begins, desk_of},
    id::{Kind, Place, Province},
    payout::DayPaid,
    statement::{BookedPayment, Difference, LineKind, Standing, StatementLine},
    time::DAY,
};
use std::{collections::BTreeMap, sync::Arc};

pub const DAY_OF: Day = Day(261_122);

pub fn piece() -> PieceAt {
    PieceAt { channel: "wechat".into(), merchant: "m".into(), day: DAY_OF, province: Province(44), partition: Partition(7) }
}

pub fn place() -> Place {
    piece().place()
}

/// The number of our attempt at an order.
pub fn number(order: &str) -> Arc<str> {
    id::attempt(id::derive(Kind::Order, place(), &[order]), 1).as_str().into()
}

pub fn line(order: &str, amount: i64) -> StatementLine {
    StatementLine {
        line: 3,
        kind: LineKind::Trade,
        standing: Standing::Done,
        transaction: format!("42-{order}").into(),
        number: number(order),
        refund: "".into(),
        amount: Money::new(amount, Currency::Cny),
        fee_milli: 6,
        happened_at: Moment(1_795_300_000_000_000),
    }
}

pub fn booked(order: &str, amount: i64, standing: Standing) -> BookedPayment {
    let StatementLine { line, kind, transaction, number: attempt, refund, amount, happened_at, .. } = line(order, amount);
    let order = id::derive(Kind::Order, place(), &[order]).as_str().into();
    BookedPayment { line, kind, standing, order, attempt, transaction, refund, amount, happened_at }
}

pub fn differs(difference: Difference, line: Option<StatementLine>, payment: Option<BookedPayment>) -> StatementEvent {
    let fact = StatementFact::Differs { difference, line: line.map(Box::new), payment: payment.map(Box::new), nth: 0 };
    StatementEvent { piece: piece(), run: None, fact }
}

fn matched(hash: &str) -> StatementEvent {
    let sums = vec![DifferenceSum { difference: Difference::Matched, count: 1, ours: 5, theirs: 5 }];
    let fact = StatementFact::Matched { term: Term::Next, sums, fees: None, stays: None, hash: hash.repeat(64).into() };
    StatementEvent { piece: piece(), run: None, fact }
}

fn explained(of: &StatementEvent) -> StatementEvent {
    let exception = of.exception().expect("it differs");
    StatementEvent { piece: piece(), run: None, fact: StatementFact::Explained { exception, term: Term::After } }
}

/// The same, found by that comparison.
fn by(run: &str, event: &StatementEvent) -> StatementEvent {
    StatementEvent { run: run.parse().ok(), ..event.clone() }
}

pub fn next_day() -> Moment {
    begins(DAY_OF).expect("a day").plus(DAY)
}

/// A trial of the day after, in which what was answered is known, as the loop knows it.
pub struct Desk {
    pub trial: Trial,
    answered: BTreeMap<String, usize>,
    said: usize,
}

impl Desk {
    pub fn new() -> Self {
        let mut trial = Trial::new(&RULES);
        trial.now = next_day();
        Self { trial, answered: BTreeMap::new(), said: 0 }
    }

    pub fn finds(&mut self, event: &StatementEvent) -> Vec<Event> {
        let event = event.clone().checked().expect("it is sound");
        let (key, time) = (event.key(), event.time());
        if self.answered.insert(key.clone(), 0).is_some() {
            return Vec::new();
        }
        self.trial.input(Inbox::Statement, &key, time, Body::Statement(Box::new(event)))
    }

    pub fn says(&mut self, exception: Id, author: &str, step: ExceptionStep) -> Vec<Event> {
        self.said += 1;
        let id = format!("d{}", self.said).parse().expect("a name");
        let (lot, said_at) = (desk_of(Partition(7)), self.trial.now);
        let (author, reason) = (author.parse().expect("a name"), "looked at".into());
        self.trial.desk(DeskEvent { id, lot, said_at, author, reason, says: Says::Exception { exception, step } })
    }

    pub fn exception(&self, id: Id) -> Exception {
        let Some(Entity::Exception(exception)) = row(id).and_then(|key| self.trial.entities.get(&key)) else { panic!("{id} was not opened") };
        (**exception).clone()
    }
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::kind).collect()
}

#[test]
fn a_piece_that_is_compared_again_changes_nothing() {
    let mut desk = Desk::new();
    let surplus = differs(Difference::Surplus, Some(line("a", 500)), None);
    for (event, expected) in [
        (matched("a"), &["matched"][..]),
        (matched("a"), &[]),
        (surplus.clone(), &["exception_opened"]),
        (surplus.clone(), &[]),
        (differs(Difference::Surplus, Some(StatementLine { line: 99, ..line("a", 500) }), None), &[]),
        (matched("b"), &["matched"]),
    ] {
        assert_eq!(kinds(&desk.finds(&event)), expected, "{event:?}");
    }
    // Whoever forgot its answers finds it by what it is about.
    desk.answered.clear();
    for event in [matched("b"), surplus] {
        assert_eq!(kinds(&desk.finds(&event)), ["noted"], "{event:?}");
    }
}

#[test]
fn other_stays_without_their_money_are_told() {
    let mut desk = Desk::new();
    let with = |count: u64, run: &str| {
        let mut event = by(run, &matched("a"));
        if let StatementFact::Matched { stays, .. } = &mut event.fact {
            let inside = Listed { count, first: vec![] };
            *stays = (count > 0).then(|| Box::new(Stays { paid_and_inside: inside, ..Stays::default() }));
        }
        event
    };
    for (event, expected) in [
        (with(2, "one"), &["matched"][..]),
        (with(2, "one"), &[]),
        (with(2, "two"), &["noted"]),
        (with(1, "three"), &["matched"]),
        (with(0, "four"), &["matched"]),
        (with(0, "five"), &["noted"]),
    ] {
        assert_eq!(kinds(&desk.finds(&event)), expected, "{event:?}");
        let Some(Entity::Piece(row)) = desk.trial.entities.get(&piece().key(Term::Next)) else { panic!("it is compared") };
        let StatementFact::Matched { stays, .. } = event.fact else { panic!("it is a result") };
        assert_eq!(row.stays, stays, "what was told last holds");
    }
}

#[test]
fn an_exception_that_is_explained_is_closed() {
    let mut desk = Desk::new();
    let surplus = differs(Difference::Surplus, Some(line("a", 500)), None);
    assert_eq!(kinds(&desk.finds(&explained(&surplus))), ["noted"], "there is none");
    let mut desk = Desk::new();
    desk.finds(&surplus);
    assert_eq!(kinds(&desk.finds(&explained(&surplus))), ["exception_closed"]);
    assert_eq!(kinds(&desk.finds(&surplus)), [] as [&str; 0], "what said it is answered, and it stays closed");
    desk.answered.clear();
    assert_eq!(kinds(&desk.finds(&explained(&surplus))), ["noted"]);
    let exception = desk.exception(surplus.exception().expect("it differs"));
    let history: Vec<_> = exception.history.iter().map(|happened| &*happened.what).collect();
    assert_eq!((exception.closed, history), (Some(Closing::Explained), vec!["exception_opened", "explained"]));
}

#[test]
fn what_was_explained_can_come_back() {
    let surplus = differs(Difference::Surplus, Some(line("a", 500)), None);
    let id = surplus.exception().expect("it differs");
    let mut desk = Desk::new();
    // The right statement, a wrong one, and the right one again.
    for (event, expected) in [
        (by("1", &surplus), "exception_opened"),
        (by("1", &matched("a")), "matched"),
        (by("2", &explained(&surplus)), "exception_closed"),
        (by("2", &matched("b")), "matched"),
        (by("3", &surplus), "exception_opened"),
        (by("3", &matched("a")), "matched"),
        (by("4", &surplus), "noted"),
        (by("4", &matched("a")), "noted"),
        (by("5", &explained(&surplus)), "exception_closed"),
        (by("6", &surplus), "exception_opened"),
    ] {
        assert_eq!(kinds(&desk.finds(&event)), [expected], "{event:?}");
        assert_eq!(kinds(&desk.finds(&event)), [] as [&str; 0], "the same message again: {event:?}");
    }
    let exception = desk.exception(id);
    let history: Vec<_> = exception.history.iter().map(|happened| &*happened.what).collect();
    assert_eq!((exception.closed, history), (None, vec!["exception_opened", "explained", "exception_opened", "explained", "exception_opened"]));
    // What a person closed is closed.
    assert_eq!(kinds(&desk.says(id, "lin", ExceptionStep::WriteOff)), ["exception_closed"]);
    assert_eq!(kinds(&desk.finds(&by("7", &surplus))), ["noted"]);
    assert_eq!(desk.exception(id).closed, Some(Closing::WrittenOff));
}

#[test]
fn a_write_off_is_undone_when_the_money_comes() {
    let surplus = differs(Difference::Surplus, Some(line("a", 10_001)), None);
    let id = surplus.exception().expect("it differs");
    let mut desk = Desk::new();
    desk.finds(&by("1", &surplus));
    desk.says(id, "lin", ExceptionStep::WriteOff);
    assert_eq!(kinds(&desk.says(id, "zhou", ExceptionStep::Approve("d1".parse().expect("a name")))), ["exception_closed"]);
    let undone = desk.finds(&by("2", &explained(&surplus)));
    let [Event::Recon(ReconEvent::WriteOffUndone { exception, term: Term::After, gap })] = &undone[..] else { panic!("{undone:?}") };
    assert_eq!((*exception, &*gap.channel, gap.money), (id, "wechat", Money::new(10_001, Currency::Cny)));
    assert_eq!(kinds(&desk.finds(&by("3", &explained(&surplus)))), ["noted"], "it is taken back once");
    assert_eq!(kinds(&desk.says(id, "lin", ExceptionStep::WriteOff)), ["noted"], "it is closed");
    // A statement that has it again opens it again, and it can be given up again.
    assert_eq!(kinds(&desk.finds(&by("4", &surplus))), ["exception_opened"]);
    let history: Vec<_> = desk.exception(id).history.iter().map(|happened| happened.what.to_string()).collect();
    assert_eq!(history, ["exception_opened", "write_off_wanted", "written_off", "write_off_undone", "exception_opened"]);
    // What a person repaired, or gave back, is settled whatever a comparison finds.
    let repaired = differs(Difference::Surplus, Some(line("b", 500)), None);
    desk.finds(&repaired);
    desk.says(repaired.exception().expect("it differs"), "lin", ExceptionStep::Repair);
    assert_eq!(kinds(&desk.finds(&by("5", &explained(&repaired)))), ["noted"]);
}

fn payout_of(days: &[(u32, i64)]) -> PaidOut {
    let days: Vec<DayPaid> = days.iter().map(|(day, minor)| DayPaid { day: Day(*day), minor: *minor }).collect();
    let amount = Money::new(days.iter().map(|part| part.minor).sum(), Currency::Cny);
    PaidOut { reference: "B-77".into(), operator: None, days, amount, booked_at: next_day(), author: "lin".parse().expect("a name") }
}

#[test]
fn a_reference_is_paid_out_once() {
    let said = |paid: PaidOut, channel: &str| paid.said(channel.into(), "m".into(), Province(44));
    let first = || payout_of(&[(261_121, 300), (261_122, 200)]);
    let mut desk = Desk::new();
    for forgets in [false, true] {
        for (event, expected) in [
            (said(first(), "wechat"), ["paid_out", "noted"]),
            (said(PaidOut { author: "zhou".parse().expect("a name"), ..first() }, "wechat"), ["", "noted"]),
            (said(payout_of(&[(261_122, 501)]), "wechat"), ["payout_differs"; 2]),
            // The same sum of other days is something else, too.
            (said(payout_of(&[(261_121, 200), (261_122, 300)]), "wechat"), ["payout_differs"; 2]),
            (said(first(), "alipay"), ["paid_out", "noted"]),
            (said(PaidOut { reference: "B-78".into(), ..first() }, "wechat"), ["paid_out", "noted"]),
        ] {
            if forgets {
                desk.answered.clear();
            }
            assert_eq!(kinds(&desk.finds(&event)).join(" "), expected[usize::from(forgets)], "{event:?}");
        }
    }
    let known = said(first(), "wechat");
    let Some(Entity::Payout(payout)) = desk.trial.entities.get(&first().row(&known.piece)) else { panic!("it is booked") };
    assert_eq!((&payout.paid, &payout.at, payout.refused.len()), (&first(), &known.piece, 4));
    for n in 0..20 {
        desk.finds(&said(payout_of(&[(261_122, 600 + n)]), "wechat"));
    }
    let Some(Entity::Payout(payout)) = desk.trial.entities.get(&first().row(&known.piece)) else { panic!("it is booked") };
    assert_eq!((payout.refused.len(), payout.refused.last().map(|last| last.amount.minor)), (Payout::REFUSED_MAX, Some(619)));
}

#[test]
fn an_exception_grows_older_until_it_is_closed() {
    let mut desk = Desk::new();
    let (one, other) = (differs(Difference::Surplus, Some(line("a", 500)), None), differs(Difference::Surplus, Some(line("b", 500)), None));
    desk.finds(&one);
    desk.finds(&other);
    desk.finds(&explained(&other));
    let mut told = Vec::new();
    for hours in (0..=10 * 24).step_by(6) {
        for event in desk.trial.ticks(next_day().plus(hours * DAY / 24)) {
            let Event::Recon(ReconEvent::ExceptionAged { age, .. }) = event else { panic!("{event:?}") };
            told.push((hours, age));
        }
    }
    assert_eq!(told, [(24, Age::T2), (48, Age::T3), (72, Age::Week), (168, Age::Older)]);
    let mut late = Desk::new();
    late.trial.now = next_day().plus(30 * DAY);
    late.finds(&one);
    assert_eq!(late.exception(one.exception().expect("it differs")).age, Age::Older, "it is as old as its statement");
}

#[test]
fn a_history_is_bounded() {
    let mut desk = Desk::new();
    let surplus = differs(Difference::Surplus, Some(line("a", 500)), None);
    let id = surplus.exception().expect("it differs");
    desk.finds(&surplus);
    for author in ["lin", "zhou"].iter().cycle().take(50) {
        assert_eq!(kinds(&desk.says(id, "lin", ExceptionStep::Assign(author.parse().expect("a name")))), ["exception_assigned"]);
    }
    assert_eq!(kinds(&desk.says(id, "lin", ExceptionStep::Assign("zhou".parse().expect("a name")))), ["noted"]);
    let exception = desk.exception(id);
    assert_eq!((exception.history.len(), exception.owner.map(|owner| owner.to_string())), (Exception::HISTORY_MAX, Some("zhou".into())));
}

#[test]
fn what_is_lacking_is_what_the_channel_would_have_said() {
    use Difference::{AmountDiffers, DuplicateLine, RefundDiffers, Shortage, StatusDiffers, Surplus};
    let failed = |line: StatementLine| StatementLine { standing: Standing::Failed, ..line };
    let refund: Id = id::derive(Kind::Refund, place(), &["r"]);
    let back = StatementLine { kind: LineKind::Refund, refund: refund.as_str().into(), ..line("a", 200) };
    let our_refund = |standing| BookedPayment { kind: LineKind::Refund, refund: refund.as_str().into(), ..booked("a", 200, standing) };
    for (difference, line, payment, step, expected) in [
        (Surplus, Some(line("a", 500)), None, ExceptionStep::Repair, "succeeded"),
        (Surplus, Some(line("a", 500)), None, ExceptionStep::Refund, "succeeded"),
        (Surplus, Some(StatementLine { standing: Standing::Pending, ..line("a", 500) }), None, ExceptionStep::Repair, ""),
        (Surplus, Some(line("a", 0)), None, ExceptionStep::Repair, ""),
        (StatusDiffers, Some(line("a", 500)), Some(booked("a", 500, Standing::Pending)), ExceptionStep::Repair, "succeeded"),
        (StatusDiffers, Some(line("a", 500)), Some(booked("a", 500, Standing::Failed)), ExceptionStep::Repair, "succeeded"),
        (StatusDiffers, Some(line("a", 500)), Some(booked("b", 500, Standing::Done)), ExceptionStep::Repair, ""),
        (StatusDiffers, Some(failed(line("a", 500))), Some(booked("a", 500, Standing::Pending)), ExceptionStep::Repair, "failed"),
        (StatusDiffers, Some(failed(line("a", 500))), Some(booked("a", 500, Standing::Done)), ExceptionStep::Repair, ""),
        (StatusDiffers, Some(line("a", 500)), Some(booked("a", 500, Standing::Pending)), ExceptionStep::Refund, ""),
        (RefundDiffers, Some(back.clone()), Some(our_refund(Standing::Pending)), ExceptionStep::Repair, "refund_answered"),
        (RefundDiffers, Some(back.clone()), Some(our_refund(Standing::Done)), ExceptionStep::Repair, ""),
        (RefundDiffers, Some(back), None, ExceptionStep::Repair, ""),
        (Shortage, None, Some(booked("a", 500, Standing::Done)), ExceptionStep::Repair, ""),
        (AmountDiffers, Some(line("a", 500)), Some(booked("a", 400, Standing::Done)), ExceptionStep::Repair, ""),
        (DuplicateLine, Some(line("a", 500)), None, ExceptionStep::Refund, ""),
    ] {
        let mut desk = Desk::new();
        let event = differs(difference, line, payment);
        desk.finds(&event);
        let id = event.exception().expect("it differs");
        let told = kinds(&desk.says(id, "lin", step));
        let sent: Vec<_> = desk.trial.effects();
        match &sent[..] {
            [Effect::Channel(fact)] => {
                assert_eq!((fact.kind(), told), (expected, vec!["exception_acted", "exception_closed"]), "{event:?}");
                assert!(fact.order().is_some_and(|order| id::place(order.as_str()) == Some(place())), "{fact:?}");
                assert!(desk.exception(id).closed.is_some());
            }
            [] => assert_eq!((expected, told), ("", vec!["noted"]), "{event:?}"),
            more => panic!("{more:?}"),
        }
    }
}

#[test]
fn a_channel_is_asked_how_its_payment_stands() {
    let mut desk = Desk::new();
    let shortage = differs(Difference::Shortage, None, Some(booked("a", 500, Standing::Done)));
    desk.finds(&shortage);
    let id = shortage.exception().expect("it differs");
    for tries in 1..3 {
        assert_eq!(kinds(&desk.says(id, "lin", ExceptionStep::Requery)), ["exception_acted"]);
        let Some(Effect::Call(call)) = desk.trial.effects().pop() else { panic!("it is asked") };
        assert_eq!((call.attempt.as_str(), &*call.channel, call.act.as_str(), call.tries), (&*number("a"), "wechat", "query", tries));
    }
    assert!(desk.exception(id).closed.is_none(), "the answer tells");
}

#[test]
fn a_deduction_by_the_plate_is_asked_about_as_one() {
    for (transaction, by_plate) in [(number("a"), true), ("42-a".into(), false), ("".into(), false)] {
        let mut desk = Desk::new();
        let payment = BookedPayment { attempt: number("a"), transaction: transaction.clone(), ..booked("a", 500, Standing::Done) };
        let shortage = differs(Difference::Shortage, None, Some(payment));
        desk.finds(&shortage);
        desk.says(shortage.exception().expect("it differs"), "lin", ExceptionStep::Requery);
        let Some(Effect::Call(call)) = desk.trial.effects().pop() else { panic!("it is asked") };
        assert_eq!((call.by_plate, call.deducts.is_some()), (by_plate, false), "{transaction}");
    }
}

#[test]
fn a_strangers_number_is_a_persons_work() {
    for step in [ExceptionStep::Requery, ExceptionStep::Repair, ExceptionStep::Refund] {
        let mut desk = Desk::new();
        let event = differs(Difference::Surplus, Some(StatementLine { number: "20261123-7".into(), ..line("a", 500) }), None);
        desk.finds(&event);
        let id = event.exception().expect("it differs");
        let events = desk.says(id, "lin", step);
        assert!(matches!(events[..], [Event::Recon(ReconEvent::Noted { note: ReconNote::NotOurs, .. })]), "{events:?}");
        assert_eq!(kinds(&desk.says(id, "lin", ExceptionStep::WriteOff)), ["exception_closed"], "a person lets it be");
    }
}

#[test]
fn above_the_limit_two_persons_write_off() {
    let mut desk = Desk::new();
    let events = [10_000, 10_001].map(|amount| differs(Difference::Surplus, Some(line("a", amount)), None));
    let [small, large] = events.each_ref().map(|event| event.exception().expect("it differs"));
    for event in &events {
        desk.finds(event);
    }
    assert_eq!(kinds(&desk.says(small, "lin", ExceptionStep::WriteOff)), ["exception_closed"]);
    let agrees = |said: &str| ExceptionStep::Approve(said.parse().expect("a name"));
    for (author, step, expected) in [
        ("zhou", agrees("d2"), "noted"),
        ("lin", ExceptionStep::WriteOff, "exception_acted"),
        ("lin", agrees("d3"), "noted"),
        ("zhou", agrees("d2"), "noted"),
        ("zhou", agrees("d3"), "exception_closed"),
        ("zhou", agrees("d3"), "noted"),
        ("lin", ExceptionStep::Repair, "noted"),
    ] {
        assert_eq!(kinds(&desk.says(large, author, step)), [expected], "{author} {step:?}");
    }
    let by = desk.exception(large).history.pop().and_then(|last| last.by).expect("two persons");
    assert_eq!((by.author.as_str(), desk.exception(large).closed), ("zhou", Some(Closing::WrittenOff)));
    assert_eq!(desk.exception(large).history.iter().filter(|happened| &*happened.what == "write_off_wanted").count(), 1);
}

#[test]
fn what_is_said_of_nothing_is_noted() {
    let mut desk = Desk::new();
    let nobody = id::derive(Kind::Exception, place(), &["nobody"]);
    let events = desk.says(nobody, "lin", ExceptionStep::WriteOff);
    assert!(matches!(events[..], [Event::Recon(ReconEvent::Noted { note: ReconNote::Unknown, .. })]), "{events:?}");
}

/// Eight findings of two days, and that some of them are explained.
fn findings() -> Vec<StatementEvent> {
    let surplus = ["a", "b", "c"].map(|order| differs(Difference::Surplus, Some(line(order, 500)), None));
    let shortage = ["d", "e"].map(|order| differs(Difference::Shortage, None, Some(booked(order, 500, Standing::Done))));
    [matched("a")].into_iter().chain(surplus).chain(shortage).collect()
}

fn is_open(desk: &Desk) -> BTreeMap<Id, bool> {
    let exceptions = desk.trial.entities.values().filter_map(|entity| if let Entity::Exception(one) = entity { Some(one) } else { None });
    exceptions.map(|exception| (exception.exception, exception.closed.is_none())).collect()
}

proptest! {
    #[test]
    fn any_order_ends_the_same(order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(), again in prop::collection::vec(0..6_usize, 0..9), forgets in any::<bool>()) {
        let findings = findings();
        let mut straight = Desk::new();
        for event in &findings {
            straight.finds(event);
        }
        let mut desk = Desk::new();
        for at in order.iter().chain(&again) {
            if forgets {
                desk.answered.clear();
            }
            desk.finds(&findings[*at]);
        }
        prop_assert_eq!(is_open(&desk), is_open(&straight));
    }

    #[test]
    fn laws(steps in prop::collection::vec((0..12_usize, 0..3_usize), 1..60)) {
        let findings = findings();
        let ids: Vec<Id> = findings.iter().filter_map(StatementEvent::exception).collect();
        let mut desk = Desk::new();
        for (at, (what, who)) in steps.into_iter().enumerate() {
            let author = ["lin", "zhou", "wu"][who];
            let id = ids[who];
            match what {
                // Each time by another comparison.
                0..6 => drop(desk.finds(&by(&at.to_string(), &findings[what]))),
                6 => drop(desk.finds(&by(&at.to_string(), &explained(&findings[who + 1])))),
                7 => drop(desk.says(id, author, ExceptionStep::WriteOff)),
                8 => drop(desk.says(id, author, ExceptionStep::Repair)),
                9 => drop(desk.says(id, author, ExceptionStep::Requery)),
                10 => drop(desk.says(id, author, ExceptionStep::Assign(author.parse().expect("a name")))),
                _ => drop(desk.trial.ticks(desk.trial.now.plus(DAY / 2))),
            }
        }
        let (mut opened, mut closed) = (BTreeMap::new(), BTreeMap::new());
        for recorded in &desk.trial.journal {
            let Event::Recon(event) = &recorded.event else { panic!("RECON holds its own events alone") };
            let Some(id) = event.exception() else { continue };
            match event {
                ReconEvent::ExceptionOpened { again: false, .. } => prop_assert!(opened.insert(id, recorded.at).is_none(), "{} is opened twice", id),
                ReconEvent::ExceptionOpened { .. } => prop_assert_eq!(closed.remove(&id), Some(Closing::Explained), "{} was not explained", id),
                ReconEvent::ExceptionClosed { why, by, .. } => {
                    prop_assert!(closed.insert(id, *why).is_none(), "{} is closed twice", id);
                    prop_assert_eq!(by.is_none(), *why == Closing::Explained);
                }
                ReconEvent::WriteOffUndone { .. } => prop_assert_eq!(closed.insert(id, Closing::Explained), Some(Closing::WrittenOff)),
                ReconEvent::Noted { .. } | ReconEvent::Matched { .. } => {}
                _ => prop_assert!(opened.contains_key(&id) && !closed.contains_key(&id), "{} goes on after its end", id),
            }
        }
        for (id, open) in is_open(&desk) {
            prop_assert_eq!(open, !closed.contains_key(&id));
        }
    }
}
