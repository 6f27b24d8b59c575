use crate::{
    Body,
    trial::{Trial, at, gate},
};
use proptest::prelude::*;
use schema::{
    ChannelEvent, ChannelFact, DeskEvent, Effect, Entity, Event, GateKind, Id, Inbox, Recorded,
    desk::Says,
    entity::{Fate, Stage},
    id,
    journal::{Note, OrderEvent, PaymentEvent, SessionEvent},
    time::SECOND,
};
use std::collections::BTreeSet;

/// The three processors between a gate and a payment, each of which reads what the others have journaled when it gets to it.
struct Town {
    entry: Trial,
    pricing: Trial,
    payment: Trial,
    /// How far each reader has come: ORDER by entry, SESSION and PAYMENT by pricing, ORDER by payment.
    read: [usize; 4],
    paid: BTreeSet<Id>,
}

impl Town {
    fn new() -> Self {
        let trial = |rules| Trial::new(rules);
        let [entry, pricing, payment] = [trial(&super::super::RULES), trial(&crate::pricing::RULES), trial(&crate::payment::RULES)];
        Self { entry, pricing, payment, read: [0; 4], paid: BTreeSet::new() }
    }

    /// Lets one reader take its next event; whether there was one.
    fn step(&mut self, reader: usize) -> bool {
        let from = match reader {
            0 | 3 => &self.pricing,
            1 => &self.entry,
            _ => &self.payment,
        };
        let Some(recorded) = from.journal.get(self.read[reader]).cloned() else { return false };
        self.read[reader] += 1;
        match reader {
            0 => self.entry.journal(Inbox::Order, &recorded),
            1 => self.pricing.journal(Inbox::Session, &recorded),
            2 => self.pricing.journal(Inbox::Payment, &recorded),
            _ => self.payment.journal(Inbox::Order, &recorded),
        };
        true
    }

    fn settle(&mut self) {
        while (0..4).any(|reader| self.step(reader)) {}
    }

    /// The newest order with a price, and that price.
    fn asked_for(&self) -> Option<(Id, schema::Money, i64)> {
        self.pricing.journal.iter().rev().find_map(|recorded| match &recorded.event {
            Event::Order(OrderEvent::Priced { order, quote, departure, .. }) if !quote.total.is_zero() => {
                Some((*order, quote.total, departure.left_at.since(at(0)) / (60 * SECOND)))
            }
            _ => None,
        })
    }

    /// Somebody pays the newest order within a minute, and again, if so told.
    fn pay(&mut self) {
        let Some((order, amount, minute)) = self.asked_for() else { return };
        self.paid.insert(order);
        self.say(order, "wechat", minute, |attempt, transaction| ChannelFact::Succeeded { attempt, transaction, amount });
    }

    /// Somebody pays the first order.
    fn pay_first(&mut self) {
        let Some((order, amount)) = self.first() else { return };
        self.say(order, "wechat", 95, |attempt, transaction| ChannelFact::Succeeded { attempt, transaction, amount });
    }

    /// A channel accepts the first order, or what it accepted fails.
    fn accept(&mut self, fails: bool) {
        let Some((order, amount)) = self.first() else { return };
        self.say(order, "etc", 91, |attempt, transaction| {
            if fails { ChannelFact::Failed { attempt, transaction, amount } } else { ChannelFact::Accepted { attempt, transaction, amount } }
        });
    }

    fn first(&self) -> Option<(Id, schema::Money)> {
        self.pricing.journal.iter().find_map(|recorded| match &recorded.event {
            Event::Order(OrderEvent::Priced { order, quote, .. }) if !quote.total.is_zero() => Some((*order, quote.total)),
            _ => None,
        })
    }

    fn say(&mut self, order: Id, channel: &str, minute: i64, fact: impl FnOnce(Id, std::sync::Arc<str>) -> ChannelFact) {
        let fact = fact(id::attempt(order, 1), order.as_str().into());
        let event = ChannelEvent { channel: channel.into(), happened_at: at(minute).plus(20 * SECOND), fact };
        self.payment.now = self.payment.now.max(event.happened_at);
        self.payment.input(Inbox::Channel, &event.key(), event.happened_at, Body::Channel(event.clone()));
    }

    fn session(&self) -> &schema::entity::Session {
        self.entry
            .entities
            .values()
            .find_map(|entity| if let Entity::Session(session) = entity { Some(&**session) } else { None })
            .expect("a car came")
    }

    /// What was applied to orders of the stay, and what went back or is about to.
    fn money(&self) -> (i64, i64) {
        let receipts = self.payment.entities.values().filter_map(|entity| if let Entity::Payment(payment) = entity { Some(payment) } else { None });
        receipts.flat_map(|payment| payment.receipts.values()).fold((0, 0), |(applied, back), receipt| match receipt.fate {
            Fate::Applied => (applied + receipt.applied(), back + receipt.returning()),
            _ => (applied, back + receipt.amount.minor),
        })
    }

    /// Somebody at the desk says of the stay, which is over, that its car came at another minute.
    fn came(&mut self, minute: i64) {
        let (stay, now) = (self.session().stay.clone(), self.entry.now);
        let id = format!("d{}", self.entry.journal.len()).parse().expect("a name");
        let says = Says::Corrected { who: stay.credential, is: None, entered_at: Some(at(minute)), stay: Some(stay.session) };
        self.entry.desk(DeskEvent { id, lot: stay.lot, said_at: now, author: "lin".parse().expect("a name"), reason: "two clocks".into(), says });
    }

    fn told(&self) -> String {
        let word = |recorded: &Recorded| match &recorded.event {
            Event::Session(SessionEvent::Noted { note, .. }) | Event::Order(OrderEvent::Noted { note, .. }) => format!("{note:?}"),
            Event::Session(SessionEvent::Refused { reason, .. }) => reason.as_str().to_owned(),
            Event::Order(OrderEvent::Priced { quote, .. }) if !quote.total.is_zero() => format!("{} {}", recorded.event.kind(), quote.total.minor),
            Event::Payment(PaymentEvent::RefundRequested { reason, .. }) => format!("refund {reason:?}"),
            other => other.kind().to_owned(),
        };
        let words = |trial: &Trial| trial.journal.iter().map(word).collect::<Vec<_>>().join(" ");
        format!("{} | {} | {}", words(&self.entry), words(&self.pricing), words(&self.payment))
    }
}

/// Plays a script: `in`, `ask`, `out` and `out!` (the lane opens by itself) with their minute, `pay`, what a channel says of the first order (`accepted`,
/// `failed`, `pay-first`), and `-` where all readers catch up.
fn played(script: &str) -> Town {
    let mut town = Town::new();
    for line in script.split(", ") {
        let mut words = line.split(' ');
        let (verb, minute) = (words.next().expect("a verb"), words.next().map_or(0, |minute| minute.parse().expect("a minute")));
        let mut say = |kind, decided| {
            let mut event = gate(kind, "small", "A", minute);
            event.decided = decided;
            town.entry.gate(event);
        };
        match verb {
            "in" => say(GateKind::Entry, None),
            "ask" => say(GateKind::Price, None),
            "out" => say(GateKind::Exit, None),
            "out!" => say(GateKind::Exit, Some(schema::Verdict::Open)),
            "pay" => town.pay(),
            "pay-first" => town.pay_first(),
            "accepted" => town.accept(false),
            "failed" => town.accept(true),
            "came" => town.came(minute),
            _ => town.settle(),
        }
    }
    town.settle();
    town
}

#[test]
fn what_is_paid_inside_counts() {
    for (script, told) in [
        ("in 0, ask 90, -, pay, -, out 100", "opened asked prepaid leaving closed | priced 1000 paid free | expected applied"),
        ("in 0, ask 90, -, pay, -, out 119", "opened asked prepaid leaving closed | priced 1000 paid free | expected applied"),
        (
            "in 0, ask 90, -, pay, -, out 130, -, pay",
            "opened asked prepaid leaving closed | priced 1000 paid priced 500 paid | expected applied expected applied",
        ),
        ("in 0, ask 10, -, out 90, -, pay", "opened asked leaving closed | nothing_due priced 1000 paid | expected applied"),
        // A second question before the first one is paid: one of them can be.
        (
            "in 0, ask 50, -, ask 90, -, pay, -, out 95",
            "opened asked asked prepaid leaving closed | priced 500 withdrawn cancelled priced 1000 paid free | expected withdrawn expected applied",
        ),
        // Who asked and has not paid pays at the exit.
        (
            "in 0, ask 90, -, out 95, -, pay",
            "opened asked leaving closed | priced 1000 withdrawn cancelled priced 1000 paid | expected withdrawn expected applied",
        ),
        // The money is under way when the car stands at the exit.
        (
            "in 0, ask 90, -, out 95, pay, -",
            "opened asked leaving prepaid leaving closed | priced 1000 withdrawn paid cancelled free | expected applied noted",
        ),
        // What comes too late for the old price goes back.
        ("in 0, ask 90", "opened asked | priced 1000 | expected"),
        ("ask 90", "not_inside |  | "),
        ("in 0, out 90, -, ask 91", "opened leaving AlreadyLeaving | priced 1000 | expected"),
        // A lane that opens by itself: what was not paid is owed, what was paid counts.
        ("in 0, ask 90, -, pay, -, out! 95", "opened asked prepaid leaving gone closed | priced 1000 paid free NothingOwed | expected applied"),
        (
            "in 0, ask 90, -, out! 95",
            "opened asked leaving gone owed | priced 1000 withdrawn gone cancelled priced 1000 owed | expected withdrawn expected",
        ),
        (
            "in 0, ask 90, -, out! 95, pay",
            "opened asked leaving gone prepaid leaving closed | priced 1000 withdrawn gone paid cancelled free | expected applied noted",
        ),
        (
            "in 0, ask 50, -, out! 95, pay",
            "opened asked leaving gone prepaid leaving owed | priced 500 withdrawn gone paid cancelled priced 500 owed | expected applied noted expected",
        ),
    ] {
        assert_eq!(played(script).told(), told, "{script}");
    }
}

#[test]
fn what_was_paid_inside_and_fails_is_owed() {
    for (script, told, owes) in [
        (
            "in 0, ask 90, -, accepted, -, failed, -, out 100",
            "opened asked prepaid owed leaving closed | priced 1000 paid reopened owed free | expected applied reversed",
            Some(1_000),
        ),
        (
            "in 0, ask 90, -, accepted, -, failed, -, out 100, -, pay-first",
            "opened asked prepaid owed leaving closed closed | priced 1000 paid reopened owed free paid cleared | expected applied reversed applied",
            None,
        ),
        // While it is inside still: it counts as before.
        (
            "in 0, ask 90, -, accepted, -, failed, -, pay-first, -, out 100",
            "opened asked prepaid owed prepaid leaving closed | priced 1000 paid reopened owed paid cleared free | expected applied reversed applied",
            None,
        ),
        // At the exit something else is due: the old debt does not open it.
        (
            "in 0, ask 30, -, accepted, -, failed, -, out 90, -, pay-first",
            "opened asked prepaid owed leaving prepaid | priced 500 paid reopened owed priced 500 paid cleared | expected applied reversed expected applied",
            None,
        ),
        (
            "in 0, ask 30, -, accepted, -, failed, -, out 90, -, pay",
            "opened asked prepaid owed leaving closed | priced 500 paid reopened owed priced 500 paid | expected applied reversed expected applied",
            Some(500),
        ),
        // It had left on the strength of it.
        (
            "in 0, ask 30, -, accepted, -, out 90, -, pay, -, failed, -, pay-first",
            "opened asked prepaid leaving closed owed closed | priced 500 paid priced 500 paid reopened owed paid cleared | \
             expected applied expected applied reversed applied",
            None,
        ),
    ] {
        let town = played(script);
        let session = town.session();
        assert_eq!(town.told(), told, "{script}");
        assert_eq!(session.owes.as_ref().map(|(_, amount, _)| amount.minor), owes, "{script}");
        if session.stage == Stage::Closed {
            assert_eq!(session.paid.map(|paid| paid.minor), Some(town.money().0), "{script}");
        }
    }
}

#[test]
fn a_stay_that_is_over_is_priced_again() {
    for (script, told, money) in [
        (
            "in 0, out 90, -, pay, -, came 40",
            "opened leaving closed corrected leaving closed | priced 1000 paid free overpaid | expected applied refund Ordered",
            (500, 500),
        ),
        // It was free, and is not.
        ("in 80, out 90, -, came 0", "opened leaving closed corrected leaving owed | free priced 1000 owed | expected", (0, 0)),
        (
            "in 40, out 90, -, pay, -, came 0, -, pay",
            "opened leaving closed corrected leaving owed closed | priced 500 paid priced 500 owed paid cleared | expected applied expected applied",
            (1_000, 0),
        ),
        // Twice: no more goes back than was paid, and what went back is due again.
        (
            "in 0, out 90, -, pay, -, came 40, came 80",
            "opened leaving closed corrected leaving corrected leaving closed AlreadyClosed | priced 1000 paid free overpaid free overpaid | \
             expected applied refund Ordered refund Ordered",
            (0, 1_000),
        ),
        (
            "in 0, out 90, -, pay, -, came 40, -, came 5, -, pay",
            "opened leaving closed corrected leaving closed corrected leaving owed closed | priced 1000 paid free overpaid priced 500 owed paid cleared | \
             expected applied refund Ordered expected applied",
            (1_000, 500),
        ),
        // What was owed is withdrawn, and something else is owed.
        (
            "in 0, out! 90, -, came 40",
            "opened leaving gone owed corrected leaving owed | priced 1000 owed withdrawn cancelled cleared priced 500 owed | expected withdrawn expected",
            (0, 0),
        ),
        // Of what was paid inside, too.
        (
            "in 0, ask 90, -, pay, -, out 100, -, came 40",
            "opened asked prepaid leaving closed corrected leaving closed | priced 1000 paid free free overpaid | expected applied refund Ordered",
            (500, 500),
        ),
        ("in 0, came 5", "opened AlreadyInside |  | ", (0, 0)),
        ("in 0, out 90, -, pay, -, came 95", "opened leaving closed Contradicts | priced 1000 paid | expected applied", (1_000, 0)),
    ] {
        let town = played(script);
        assert_eq!((town.told().as_str(), town.money()), (told, money), "{script}");
    }
}

#[test]
fn who_asked_is_told_at_the_pay_station() {
    let town = played("in 0, ask 90, -, pay, -");
    let reasons = |trial: &Trial| {
        let lane = |effect: Effect| if let Effect::Lane(command) = effect { Some(format!("{}@{}", command.reason, command.lane)) } else { None };
        trial.effects().into_iter().filter_map(lane).collect::<Vec<_>>()
    };
    assert_eq!(reasons(&town.pricing), ["pay@out"]);
    assert_eq!(reasons(&town.entry), ["welcome@in", "paid@out"]);
    let session = town.session();
    assert_eq!((session.stage, session.prepaid.len(), session.asked.clone()), (Stage::Open, 1, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// However often and at whatever moment it is put right: in the end its stay was paid once, at its last price.
    #[test]
    fn a_stay_that_is_put_right_costs_what_it_costs(steps in prop::collection::vec(0..40_u8, 0..60), local in any::<bool>()) {
        const EXIT: i64 = 200;
        let mut town = played("in 150");
        town.entry.gate(schema::GateEvent { decided: local.then_some(schema::Verdict::Open), ..gate(GateKind::Exit, "small", "A", EXIT) });
        if !local {
            town.settle();
            town.pay();
            town.settle();
        }
        let mut came = 150;
        for step in steps {
            match step {
                0..16 => { town.step(usize::from(step % 4)); }
                16..20 => town.pay(),
                _ => {
                    came = i64::from(step - 20) * 10;
                    town.came(came);
                }
            }
        }
        for _ in 0..3 {
            town.settle();
            town.pay();
        }
        town.settle();
        let told = town.told();
        prop_assert_eq!(town.session().stage, Stage::Closed, "{}", told);
        let price = |minutes: i64| if minutes <= 15 { 0 } else { 500 * ((minutes + 59) / 60) };
        prop_assert_eq!(town.money().0, price(EXIT - came), "{}", told);
    }

    /// Whatever comes between: the car leaves, and has paid what its stay costs and not a cent more.
    #[test]
    fn in_any_order_the_stay_is_paid_once(steps in prop::collection::vec(0..9_u8, 0..60), exit in 91..200_i64) {
        let mut town = Town::new();
        town.entry.gate(gate(GateKind::Entry, "small", "A", 0));
        let (mut minute, mut is_out) = (1, false);
        for step in steps {
            match step {
                0..4 => { town.step(usize::from(step)); }
                4 if !is_out && minute < 90 => {
                    minute += 13;
                    town.entry.gate(gate(GateKind::Price, "small", "A", minute));
                }
                5 | 6 => town.pay(),
                7 if !is_out => {
                    is_out = true;
                    town.entry.gate(gate(GateKind::Exit, "small", "A", exit));
                }
                _ => { (0..4).for_each(|reader| { town.step(reader); }); }
            }
        }
        if !is_out {
            town.entry.gate(gate(GateKind::Exit, "small", "A", exit));
        }
        town.settle();
        for _ in 0..3 {
            town.pay();
            town.settle();
        }
        let told = town.told();
        prop_assert_eq!(town.session().stage, Stage::Closed, "{}", told);
        let payable = town.pricing.entities.values().filter(|entity| matches!(entity, Entity::Order(order) if order.is_open())).count();
        prop_assert_eq!(payable, 0, "{}", told);
        let price = |minutes: i64| if minutes <= 15 { 0 } else { 500 * ((minutes + 59) / 60) };
        let (applied, _) = town.money();
        prop_assert!(applied == price(exit) || price(minute) == applied && exit - minute <= 15, "{} of {}: {}", applied, price(exit), told);
        prop_assert_eq!(town.session().paid.map(|paid| paid.minor), Some(applied), "{}", told);
        let notes = told.matches(&format!("{:?}", Note::Unknown)).count();
        prop_assert_eq!(notes, 0, "{}", told);
    }
}
