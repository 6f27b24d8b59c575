use super::super::{
    RULES,
    tests::{kinds, order, priced, said, withdrawn},
};
use super::*;
use crate::{
    Limits,
    trial::{Trial, at},
};
use proptest::prelude::*;
use schema::{ChannelEvent, ChannelFact, Currency, Effect, Event, Inbox, Recorded, channel::Standing, desk::Says, journal::OrderEvent};
use std::collections::BTreeSet;

const DUE: i64 = 1_000;

fn cny(minor: i64) -> Money {
    Money::new(minor, Currency::Cny)
}

fn pay(id: &str, tenders: &[(&str, i64)]) -> schema::DeskEvent {
    let tenders = tenders.iter().map(|(channel, minor)| Tender { channel: (*channel).into(), amount: cny(*minor) }).collect();
    said(id, "driver", Says::Pay { order: order(), tenders })
}

fn expecting() -> Trial {
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Order, &priced());
    trial
}

impl Trial {
    fn fact(&mut self, channel: &str, fact: ChannelFact) -> String {
        kinds(&self.channel(&ChannelEvent { channel: channel.into(), happened_at: self.now, fact }))
    }

    fn answers(&mut self, channel: &str, number: u16, act: Act, outcome: Outcome) -> String {
        let attempt = id::attempt(order(), number);
        let tries = self.payment().attempts.get(&number).map_or(1, |attempt| attempt.tries);
        self.fact(channel, ChannelFact::CallAnswered { attempt, act, tries, outcome, code: Some("code".into()) })
    }

    fn brings(&mut self, channel: &str, number: u16, minor: i64) -> String {
        let (attempt, transaction) = (id::attempt(order(), number), format!("{channel}{number}").into());
        self.fact(channel, ChannelFact::Succeeded { attempt, transaction, amount: cny(minor) })
    }

    fn holds(&mut self, number: u16, minor: i64) -> String {
        let (attempt, transaction) = (id::attempt(order(), number), format!("points{number}").into());
        self.fact("points", ChannelFact::Accepted { attempt, transaction, amount: cny(minor) })
    }

    fn lets_go(&mut self, number: u16, minor: i64) -> String {
        let (attempt, transaction) = (id::attempt(order(), number), format!("points{number}").into());
        self.fact("points", ChannelFact::Failed { attempt, transaction, amount: cny(minor) })
    }

    /// What channels were asked for: `wechat open 1`.
    fn called(&self) -> Vec<String> {
        let calls = self.effects().into_iter().filter_map(|effect| if let Effect::Call(call) = effect { Some(call) } else { None });
        calls.map(|call| format!("{} {} {}", call.channel, call.act.as_str(), id::attempt_number(call.attempt).unwrap_or(0))).collect()
    }

    fn state(&self, number: u16) -> AttemptState {
        self.payment().attempts[&number].state
    }
}

/// The same order, whose car a channel has taken note of.
fn noted(inside: Option<u32>) -> Recorded {
    let mut recorded = priced();
    let Event::Order(OrderEvent::Priced { departure, inside: asked, .. }) = &mut recorded.event else { panic!("it is priced") };
    departure.deducts = Some(Box::new(Deduction { channel: "wechat".into(), parking: "P1".into() }));
    *asked = inside;
    recorded
}

#[test]
fn a_deduction_by_the_plate_is_accepted_and_may_fail() {
    let plate = |trial: &mut Trial, fact: fn(Id, Arc<str>, Money) -> ChannelFact| {
        let attempt = id::attempt(order(), 1);
        trial.fact("wechat", fact(attempt, attempt.as_str().into(), cny(DUE)))
    };
    let accepted = |attempt, transaction, amount| ChannelFact::Accepted { attempt, transaction, amount };
    let succeeded = |attempt, transaction, amount| ChannelFact::Succeeded { attempt, transaction, amount };
    let failed = |attempt, transaction, amount| ChannelFact::Failed { attempt, transaction, amount };

    let gone = || {
        let mut trial = Trial::new(&RULES);
        assert_eq!(kinds(&trial.journal(Inbox::Order, &noted(None))), "expected+chosen+attempted");
        let calls = trial.effects().into_iter().filter_map(|effect| if let Effect::Call(call) = effect { call.deducts } else { None });
        assert_eq!(calls.map(|stay| stay.parking.to_string()).collect::<Vec<_>>(), ["P1"]);
        assert_eq!(plate(&mut trial, accepted), "applied+attempt_stood+attempted", "the car may go, and the channel settles by itself");
        assert_eq!(trial.answers("wechat", 1, Act::Settle, Outcome::Impossible), "attempt_stood");
        trial
    };
    let mut settles = gone();
    assert_eq!(plate(&mut settles, succeeded), "settled");
    assert!(!settles.payment().is_open());
    let mut fails = gone();
    assert_eq!(plate(&mut fails, failed), "reversed");
    assert!(!fails.payment().is_paid(), "it is due again");
    assert_eq!(fails.brings("alipay", 2, DUE), "applied", "and can be paid by anything");

    let mut pays = Trial::new(&RULES);
    pays.journal(Inbox::Order, &noted(None));
    assert_eq!(kinds(&pays.desk(pay("1", &[("alipay", DUE)]))), "chosen+attempt_stood+attempted", "a driver need not wait for it");
    assert_eq!(pays.called(), ["wechat open 1", "alipay open 2"]);
    assert_eq!(pays.brings("alipay", 2, DUE), "applied+attempt_stood");
    assert_eq!(plate(&mut pays, accepted), "passed_over+attempt_stood");
    assert_eq!(plate(&mut pays, succeeded), "refund_requested+attempt_stood", "what is deducted all the same goes back");

    let mut inside = Trial::new(&RULES);
    assert_eq!(kinds(&inside.journal(Inbox::Order, &noted(Some(1)))), "expected", "who stands at a pay station pays there");
}

/// What a channel says of the fee that it deducts by the plate.
fn deduction(trial: &mut Trial, minor: i64, fact: fn(Id, Arc<str>, Money) -> ChannelFact) -> String {
    let attempt = id::attempt(order(), 1);
    trial.fact("wechat", fact(attempt, attempt.as_str().into(), cny(minor)))
}

#[test]
fn an_accepted_deduction_without_an_outcome_is_asked_about() {
    let gone = || {
        let mut trial = Trial::new(&RULES);
        trial.journal(Inbox::Order, &noted(None));
        deduction(&mut trial, DUE, |attempt, transaction, amount| ChannelFact::Accepted { attempt, transaction, amount });
        trial.answers("wechat", 1, Act::Settle, Outcome::Impossible);
        let due = trial.payment().due_at().expect("it is asked about");
        assert_eq!(due, trial.now.plus(Limits::default().deduction_asks));
        assert_eq!(trial.ticks(due.plus(-1)).len(), 0);
        assert_eq!(kinds(&trial.ticks(due)), "attempted");
        trial
    };
    let mut silent = gone();
    let last = silent.effects().into_iter().rev().find_map(|effect| if let Effect::Call(call) = effect { Some(call) } else { None });
    assert!(last.is_some_and(|call| call.act == Act::Query && call.deducts.is_some()), "the parking product has a question of its own");
    let mut rounds = 0;
    while let Some(due) = silent.payment().due_at() {
        assert_eq!(silent.answers("wechat", 1, Act::Query, Outcome::Unknown), "noted");
        silent.ticks(due);
        rounds += 1;
        assert!(rounds < 100, "it ends");
    }
    let asked = silent.called().iter().filter(|call| *call == "wechat query 1").count();
    assert_eq!(asked, usize::try_from(Limits::default().deduction_asks_max).expect("few"));
    assert!(silent.payment().is_open() && silent.payment().is_paid(), "its channel's statement will tell");
    let said = deduction(&mut silent, DUE, |attempt, transaction, amount| ChannelFact::Succeeded { attempt, transaction, amount });
    assert_eq!(said, "settled");

    let mut settles = gone();
    let said = deduction(&mut settles, DUE, |attempt, transaction, amount| ChannelFact::Succeeded { attempt, transaction, amount });
    assert_eq!((said.as_str(), settles.payment().due_at(), settles.payment().is_open()), ("settled", None, false));
    let mut fails = gone();
    let said = deduction(&mut fails, DUE, |attempt, transaction, amount| ChannelFact::Failed { attempt, transaction, amount });
    assert_eq!((said.as_str(), fails.payment().due_at()), ("reversed", None));
}

#[test]
fn a_deduction_that_comes_late_is_asked_about() {
    let accepted = |attempt, transaction, amount| ChannelFact::Accepted { attempt, transaction, amount };
    let mut paid = Trial::new(&RULES);
    paid.journal(Inbox::Order, &noted(None));
    paid.desk(pay("1", &[("alipay", DUE)]));
    paid.brings("alipay", 2, DUE);
    assert_eq!(paid.payment().due_at(), None);
    assert_eq!(deduction(&mut paid, DUE, accepted), "passed_over+attempt_stood");
    let due = paid.payment().due_at().expect("it is asked about");
    assert_eq!(kinds(&paid.ticks(due)), "attempted");
    assert_eq!(paid.called().last().map(String::as_str), Some("wechat query 1"));

    let mut differs = Trial::new(&RULES);
    differs.journal(Inbox::Order, &noted(None));
    assert_eq!(deduction(&mut differs, DUE - 1, accepted), "passed_over+attempt_stood");
    let until = differs.payment().attempts[&1].until;
    assert_eq!(kinds(&differs.ticks(until)), "attempt_stood", "nobody waits for it any more");
    let due = differs.payment().due_at().expect("it is asked about");
    assert_eq!(kinds(&differs.ticks(due)), "attempted");
    assert_eq!(differs.called(), ["wechat open 1", "wechat query 1"]);
}

#[test]
fn an_open_payment_is_asked_about_while_its_driver_waits() {
    for answer in [Some(Outcome::Unpaid), Some(Outcome::Unknown), None] {
        let mut trial = expecting();
        trial.desk(pay("1", &[("wechat", DUE)]));
        trial.answers("wechat", 1, Act::Open, Outcome::Opened);
        let (opened, until) = (trial.now, trial.payment().attempts[&1].until);
        let mut asked = Vec::new();
        while let Some(due) = trial.payment().due_at().filter(|due| *due < until) {
            assert_eq!(kinds(&trial.ticks(due)), "attempted", "{answer:?}");
            assert_eq!(trial.called().last().map(String::as_str), Some("wechat query 1"));
            if let Some(outcome) = answer {
                assert_eq!(trial.answers("wechat", 1, Act::Query, outcome), "attempt_stood", "{answer:?}");
            }
            assert_eq!(trial.state(1), AttemptState::Open);
            asked.push(due.since(opened) / schema::time::SECOND);
        }
        assert_eq!(asked, [20, 60, 180, 540], "{answer:?}");
        trial.ticks(until);
        assert_eq!(trial.called().last().map(String::as_str), Some("wechat close 1"), "{answer:?}");
    }
}

#[test]
fn what_is_chosen_is_opened_and_paid() {
    let mut trial = expecting();
    assert_eq!(kinds(&trial.desk(pay("1", &[("wechat", DUE)]))), "chosen+attempted");
    assert_eq!(kinds(&trial.desk(pay("2", &[("wechat", DUE)]))), "noted", "it is on its way");
    assert_eq!(trial.answers("wechat", 1, Act::Open, Outcome::Opened), "attempt_stood");
    assert_eq!(trial.payment().attempts[&1].code.as_deref(), Some("code"));
    assert_eq!(trial.brings("wechat", 1, DUE), "applied+attempt_stood");
    assert_eq!((trial.state(1), trial.called()), (AttemptState::Paid, vec!["wechat open 1".to_owned()]));
    assert!(!trial.payment().is_open());
    assert_eq!(kinds(&trial.desk(pay("3", &[("alipay", DUE)]))), "noted", "it is paid");
}

#[test]
fn what_cannot_be_chosen_is_refused_with_a_reason() {
    for (tenders, before, expected) in [
        (&[("wechat", DUE - 1)][..], "", Note::AmountDiffers),
        (&[("points", DUE), ("wechat", 1)], "", Note::AmountDiffers),
        (&[("wechat", DUE)], "withdrawn", Note::AlreadyClosed),
        (&[("wechat", DUE)], "paid", Note::AlreadyKnown),
    ] {
        let mut trial = expecting();
        match before {
            "withdrawn" => drop(trial.journal(Inbox::Order, &withdrawn())),
            "paid" => drop(trial.brings("alipay", 1, DUE)),
            _ => {}
        }
        let events = trial.desk(pay("1", tenders));
        let [Event::Payment(PaymentEvent::Noted { note, .. })] = events[..] else { panic!("{events:?}") };
        assert_eq!(note, expected, "{tenders:?} {before}");
    }
    let mut unknown = Trial::new(&RULES);
    assert_eq!(kinds(&unknown.desk(pay("1", &[("wechat", DUE)]))), "noted");
}

#[test]
fn another_choice_closes_the_open_payment_first() {
    let mut trial = expecting();
    trial.desk(pay("1", &[("wechat", DUE)]));
    trial.answers("wechat", 1, Act::Open, Outcome::Opened);
    assert_eq!(kinds(&trial.desk(pay("2", &[("alipay", DUE)]))), "chosen+attempted");
    assert_eq!(trial.called(), ["wechat open 1", "wechat close 1"], "the second is not opened yet");
    assert_eq!(trial.answers("wechat", 1, Act::Close, Outcome::Closed), "attempt_stood+attempted");
    assert_eq!(trial.called(), ["wechat open 1", "wechat close 1", "alipay open 2"]);
    assert_eq!(trial.brings("wechat", 1, DUE), "applied+attempt_stood+attempted", "what was paid all the same counts, and the other is closed");
    assert_eq!(trial.called().last().map(String::as_str), Some("alipay close 2"));
}

#[test]
fn a_payment_that_was_made_while_it_was_to_be_closed_counts() {
    let mut trial = expecting();
    trial.desk(pay("1", &[("wechat", DUE)]));
    trial.answers("wechat", 1, Act::Open, Outcome::Opened);
    trial.desk(pay("2", &[("alipay", DUE)]));
    assert_eq!(trial.answers("wechat", 1, Act::Close, Outcome::Refused), "attempted", "it is asked how it stands");
    assert_eq!(trial.called().last().map(String::as_str), Some("wechat query 1"));
    assert_eq!(trial.brings("wechat", 1, DUE), "applied+attempt_stood");
    assert_eq!(trial.sums(), (DUE, DUE, 0, 0));
    assert_eq!(trial.payment().attempts.len(), 1, "the second never was opened");
}

#[test]
fn an_order_that_is_paid_closes_what_is_open() {
    for withdraws in [false, true] {
        let mut trial = expecting();
        trial.desk(pay("1", &[("wechat", DUE)]));
        trial.answers("wechat", 1, Act::Open, Outcome::Opened);
        let events = if withdraws { kinds(&trial.journal(Inbox::Order, &withdrawn())) } else { trial.brings("etc", 9, DUE) };
        assert_eq!(events, if withdraws { "withdrawn+attempted" } else { "applied+attempted" });
        assert_eq!(trial.called().last().map(String::as_str), Some("wechat close 1"));
    }
}

#[test]
fn all_means_of_a_payment_count_or_none() {
    let means = [("wechat", 800), ("points", 200)];
    let mut trial = expecting();
    assert_eq!(kinds(&trial.desk(pay("1", &means))), "chosen+attempted");
    assert_eq!(trial.called(), ["points open 1"], "points are held before money moves");
    assert_eq!(trial.holds(1, 200), "held+attempt_stood+attempted");
    assert_eq!(trial.called(), ["points open 1", "wechat open 2"]);
    assert_eq!((trial.sums(), trial.payment().is_paid()), ((0, 0, 0, 0), false), "nothing is captured");
    trial.answers("wechat", 2, Act::Open, Outcome::Opened);
    assert_eq!(trial.brings("wechat", 2, 800), "applied+applied+attempt_stood+attempted");
    assert_eq!(trial.called().last().map(String::as_str), Some("points settle 1"));
    assert_eq!(trial.brings("points", 1, 200), "settled+attempt_stood");
    assert_eq!(trial.sums(), (DUE, DUE, 0, 0));
    assert!(!trial.payment().is_open());
}

#[test]
fn the_last_part_alone_pays_the_order() {
    let mut trial = expecting();
    trial.desk(pay("1", &[("wechat", 800), ("points", 200)]));
    trial.holds(1, 200);
    trial.brings("wechat", 2, 800);
    let parts: Vec<Part> = trial
        .journal
        .iter()
        .filter_map(|recorded| if let Event::Payment(PaymentEvent::Applied { part, .. }) = &recorded.event { *part } else { None })
        .collect();
    assert_eq!(parts, [Part { of: cny(DUE), last: false }, Part { of: cny(DUE), last: true }]);
    let reasons = trial.journal.iter().filter_map(|recorded| match &recorded.event {
        Event::Payment(PaymentEvent::Applied { reason, .. }) => *reason,
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), [AppliedReason::Complete; 2]);
    let reads = |last| {
        let recorded = trial
            .journal
            .iter()
            .find(|recorded| matches!(&recorded.event, Event::Payment(PaymentEvent::Applied { part: Some(part), .. }) if part.last == last));
        (crate::pricing::RULES.concerns)(&crate::Body::Journal(Box::new(recorded.expect("it was applied").clone())))
    };
    assert!(reads(true) && !reads(false));
}

#[test]
fn a_payment_that_lacks_a_part_goes_back() {
    // Points are let go before the money comes; what comes then is not what is due.
    let mut trial = expecting();
    trial.desk(pay("1", &[("wechat", 800), ("points", 200)]));
    trial.holds(1, 200);
    assert_eq!(trial.lets_go(1, 200), "reversed+attempt_stood+attempted", "and the other is closed");
    assert_eq!(trial.brings("wechat", 2, 800), "refund_requested+attempt_stood");
    assert_eq!(trial.sums(), (800, 0, 0, 800));
    // Points are refused after all was applied: the order is due again, and the money goes back.
    let mut trial = expecting();
    trial.desk(pay("1", &[("wechat", 800), ("points", 200)]));
    trial.holds(1, 200);
    trial.brings("wechat", 2, 800);
    assert_eq!(trial.lets_go(1, 200), "reversed+attempt_stood+refund_requested");
    assert_eq!((trial.sums(), trial.payment().is_paid()), ((800, 0, 0, 800), false));
    assert_eq!(kinds(&trial.desk(pay("2", &[("alipay", DUE)]))), "chosen+attempted", "and it can be paid anew");
    assert_eq!(trial.brings("alipay", 3, DUE), "applied+attempt_stood");
    assert_eq!(trial.sums(), (1_800, DUE, 0, 800));
}

#[test]
fn what_waits_for_the_rest_goes_back_when_its_time_is_over() {
    let mut trial = expecting();
    trial.desk(pay("1", &[("wechat", 800), ("points", 200)]));
    trial.holds(1, 200);
    let over = trial.payment().choice.as_ref().expect("a choice").until;
    assert_eq!(kinds(&trial.ticks(over.plus(-1))).matches("passed_over").count(), 0);
    let events = kinds(&trial.ticks(over));
    assert!(events.contains("passed_over"), "{events}");
    assert!(trial.called().contains(&"points close 1".to_owned()));
    assert_eq!(trial.lets_go(1, 200), "reversed+attempt_stood");
    assert_eq!(trial.sums(), (0, 0, 0, 0));
}

#[test]
fn an_order_paid_otherwise_lets_go_what_is_held() {
    let mut trial = expecting();
    trial.desk(pay("1", &[("wechat", 800), ("points", 200)]));
    trial.holds(1, 200);
    let events = trial.brings("etc", 9, DUE);
    assert_eq!(events, "applied+passed_over+attempted+attempted");
    let called: BTreeSet<String> = trial.called().into_iter().collect();
    assert!(called.contains("points close 1") && called.contains("wechat close 2"), "{called:?}");
    // The issuer had taken them all the same: they go back.
    assert_eq!(trial.brings("points", 1, 200), "refund_requested+attempt_stood");
    assert_eq!(trial.sums(), (1_200, DUE, 0, 200));
}

#[test]
fn a_channel_that_never_answers_is_given_up() {
    let mut trial = expecting();
    trial.desk(pay("1", &[("wechat", DUE)]));
    let mut now = at(95);
    for _ in 0..200 {
        now = now.plus(schema::time::MINUTE);
        trial.ticks(now);
        for (number, act) in [(1, Act::Open), (1, Act::Close)] {
            if trial.payment().attempts.get(&number).is_some_and(|attempt| act_of(attempt.state) == act) {
                trial.answers("wechat", number, act, Outcome::Unknown);
            }
        }
    }
    assert!(trial.state(1).is_over());
    let calls = trial.called().len();
    assert!(calls <= 2 * usize::try_from(Limits::default().call_tries_max).expect("few"), "{calls}");
    assert_eq!(trial.ticks(now.plus(schema::time::DAY)).len(), 0);
}

#[test]
fn an_open_payment_without_an_outcome_is_asked_about_and_closed() {
    let mut trial = expecting();
    trial.desk(pay("1", &[("wechat", DUE)]));
    trial.answers("wechat", 1, Act::Open, Outcome::Opened);
    let until = trial.payment().attempts[&1].until;
    assert_eq!(kinds(&trial.ticks(until.plus(-1))), "attempted", "it is asked about, and stays open");
    trial.ticks(until);
    assert_eq!(trial.called().last().map(String::as_str), Some("wechat close 1"), "its time is over");
    assert_eq!(trial.answers("wechat", 1, Act::Close, Outcome::Refused), "attempted");
    assert_eq!(trial.answers("wechat", 1, Act::Query, Outcome::Closed), "attempt_stood");
    assert!(trial.state(1).is_over());
}

/// One thing that may happen to an order with choices.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Chosen(u8),
    Answered(u8, u8),
    Brings(u8, bool),
    Holds(u8),
    LetsGo(u8),
    Withdrawn,
    Waits(u8),
    Refunded(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => (0..4_u8).prop_map(Happens::Chosen),
        3 => (0..5_u8, 0..7_u8).prop_map(|(attempt, outcome)| Happens::Answered(attempt, outcome)),
        3 => (0..5_u8, any::<bool>()).prop_map(|(attempt, whole)| Happens::Brings(attempt, whole)),
        2 => (0..5_u8).prop_map(Happens::Holds),
        1 => (0..5_u8).prop_map(Happens::LetsGo),
        1 => Just(Happens::Withdrawn),
        2 => (1..30_u8).prop_map(Happens::Waits),
        2 => any::<bool>().prop_map(Happens::Refunded),
    ]
}

fn happen(trial: &mut Trial, what: Happens, number: usize) {
    let attempt = |trial: &Trial, at: u8| trial.payment().attempts.iter().nth(usize::from(at)).map(|(number, known)| (*number, known.clone()));
    match what {
        Happens::Chosen(kind) => {
            let means: &[(&str, i64)] = match kind {
                0 => &[("wechat", DUE)],
                1 => &[("points", 200), ("wechat", 800)],
                2 => &[("points", 300), ("alipay", 700)],
                _ => &[("points", DUE)],
            };
            let mut event = pay(&number.to_string(), means);
            event.said_at = trial.now;
            trial.desk(event);
        }
        Happens::Answered(at, outcome) => {
            let outcomes =
                [Outcome::Opened, Outcome::Settled, Outcome::Closed, Outcome::Unpaid, Outcome::Refused, Outcome::Impossible, Outcome::Unknown];
            if let Some((number, known)) = attempt(trial, at) {
                trial.answers(&known.channel.clone(), number, act_of(known.state), outcomes[usize::from(outcome)]);
            }
        }
        Happens::Brings(at, whole) => {
            if let Some((number, known)) = attempt(trial, at) {
                trial.brings(&known.channel.clone(), number, if whole { known.amount.minor } else { known.amount.minor + 1 });
            }
        }
        Happens::Holds(at) => {
            if let Some((number, known)) = attempt(trial, at).filter(|(_, known)| &*known.channel == "points") {
                trial.holds(number, known.amount.minor);
            }
        }
        Happens::LetsGo(at) => {
            if let Some((number, known)) = attempt(trial, at).filter(|(_, known)| &*known.channel == "points") {
                trial.lets_go(number, known.amount.minor);
            }
        }
        Happens::Withdrawn => drop(trial.journal(Inbox::Order, &withdrawn())),
        Happens::Waits(minutes) => {
            let now = trial.now.plus(i64::from(minutes) * schema::time::MINUTE);
            trial.ticks(now);
        }
        Happens::Refunded(succeeded) => {
            let of = |receipt: &Receipt| receipt.refunds.iter().map(|refund| (refund.refund, receipt.source.channel.clone())).collect::<Vec<_>>();
            let refunds: Vec<_> = trial.payment().receipts.values().flat_map(of).collect();
            for (refund, channel) in refunds {
                let standing = (!succeeded).then_some(Standing::Accepted);
                trial.fact(&channel, ChannelFact::RefundAnswered { refund, order: order(), succeeded, tries: 0, standing });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn laws(steps in prop::collection::vec(happens(), 1..30)) {
        let mut trial = expecting();
        for (number, what) in steps.into_iter().enumerate() {
            happen(&mut trial, what, number);
            let (captured, applied, refunded, open) = trial.sums();
            prop_assert_eq!(captured, applied + refunded + open);
            prop_assert!(applied >= 0 && refunded >= 0 && open >= 0);
            let payment = trial.payment();
            // What pays is what is due: all means of one payment, or none.
            let brings: i64 = payment.payers().map(|receipt| receipt.amount.minor).sum();
            prop_assert!(brings == 0 || brings == DUE, "{} of {}", brings, DUE);
            // Nothing of one choice is opened while something of another one can be paid, as far as is known.
            let opening: BTreeSet<u16> = payment.attempts.values().filter(|a| matches!(a.state, AttemptState::Opening | AttemptState::Open)).map(|a| a.choice).collect();
            prop_assert!(opening.len() <= 1, "{:?}", opening);
            // What waits for the rest of its payment has a choice that can still become one.
            for receipt in payment.receipts.values().filter(|receipt| receipt.fate == Fate::Held) {
                prop_assert_eq!(receipt.choice, alive(payment, trial.now).map(|choice| choice.number));
            }
        }
        // Left alone, with channels that answer nothing, everything about the attempts ends.
        for _ in 0..400 {
            let now = trial.now.plus(schema::time::MINUTE);
            trial.ticks(now);
        }
        prop_assert!(trial.payment().attempts.values().all(|attempt| attempt.state.is_over()), "{:?}", trial.payment().attempts);
        prop_assert!(trial.payment().receipts.values().all(|receipt| receipt.fate != Fate::Held));
    }
}
