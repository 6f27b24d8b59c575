//! Every state that messages, crashes, lost answers and a second owner can lead one order to, for the very rules that ship.
//!
//! Around them stands the protocol of the log in small: an input is decided on what its worker has folded; the append takes place only if that is all
//! there is; whoever is refused folds what came and decides again; an input that was answered is not answered again; it may come again until
//! it is acked, and its ack may be lost. Two workers do so at once, each with a past of its own.
//!
//! The search is a plain walk over all states, each once. Two deliberate mistakes show that it finds any: an append without its condition, and a rule
//! that applies every success.

use super::*;
use crate::{Limits, trial};
use schema::{Cause, Currency, Inbox, Reference};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    rc::Rc,
};

const DUE: i64 = 1_000;

/// What can come. Refunds are answered once they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Comes {
    Price,
    Withdrawal,
    /// Captured by that channel, and whether it is what is due.
    Success(&'static str, bool),
    Accepted(&'static str),
    Failed(&'static str),
    /// What a channel says of its first refund.
    Answer(&'static str, Option<bool>),
    Tick(u8),
}

/// What is known after some inputs, in the order in which they were appended, each with how much its worker had folded.
struct Folded {
    payment: Option<Payment>,
    events: Vec<PaymentEvent>,
    answered: BTreeSet<Comes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    log: Vec<(Comes, u8)>,
    /// How much of the log each worker has folded.
    folded: [u8; 2],
    acked: Vec<Comes>,
}

/// How wrong things are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Appends take place whatever was appended meanwhile.
    Unconditional,
    /// Every success pays.
    AllApply,
}

struct Search {
    inputs: Vec<Comes>,
    flaw: Flaw,
    order: Id,
    priced: Recorded,
    reference: Reference,
    folds: HashMap<Vec<(Comes, u8)>, Rc<Folded>>,
}

struct Alone<'a>(Option<&'a Entity>);

impl View for Alone<'_> {
    fn get(&self, _: &Key) -> Option<&Entity> {
        self.0
    }

    fn find(&self, _: &schema::Handle) -> Option<&Entity> {
        None
    }
}

impl Search {
    fn new(inputs: &[Comes], flaw: Flaw) -> Self {
        let priced = tests::priced();
        let order = tests::order();
        Self { inputs: inputs.to_vec(), flaw, order, priced, reference: trial::reference(), folds: HashMap::new() }
    }

    fn body(&self, comes: Comes) -> Body {
        let amount = |exact| Money::new(if exact { DUE } else { DUE + 1 }, Currency::Cny);
        let attempt = id::attempt(self.order, 1);
        let told = |channel: &str, fact| Body::Channel(ChannelEvent { channel: channel.into(), happened_at: trial::at(91), fact });
        match comes {
            Comes::Price => Body::Journal(Box::new(self.priced.clone())),
            Comes::Withdrawal => Body::Journal(Box::new(tests::withdrawn())),
            Comes::Success(channel, exact) => told(channel, ChannelFact::Succeeded { attempt, transaction: "1".into(), amount: amount(exact) }),
            Comes::Accepted(channel) => told(channel, ChannelFact::Accepted { attempt, transaction: "1".into(), amount: amount(true) }),
            Comes::Failed(channel) => told(channel, ChannelFact::Failed { attempt, transaction: "1".into(), amount: amount(true) }),
            Comes::Answer(channel, said) => {
                let (refund, standing) = (self.refund(channel), said.is_none().then_some(schema::channel::Standing::Unknown));
                let (order, succeeded) = (self.order, said == Some(true));
                told(channel, ChannelFact::RefundAnswered { refund, order, succeeded, tries: 0, standing })
            }
            Comes::Tick(_) => Body::Tick(Key::of(Table::Payments, self.order).expect("an order has a key")),
        }
    }

    fn refund(&self, channel: &str) -> Id {
        let place = id::place(self.order.as_str()).expect("an order of ours");
        id::derive(id::Kind::Refund, place, &[self.order.as_str(), channel, "1", "1"])
    }

    fn fold(&mut self, log: &[(Comes, u8)]) -> Rc<Folded> {
        if let Some(known) = self.folds.get(log) {
            return known.clone();
        }
        let folded = match log.split_last() {
            None => Folded { payment: None, events: Vec::new(), answered: BTreeSet::new() },
            Some(((comes, from), before)) => {
                let all = self.fold(before);
                let seen = self.fold(&log[..usize::from(*from)]);
                let decided = self.decide(*comes, &seen);
                let key = Key::of(Table::Payments, self.order).expect("an order has a key");
                let mut payment = all.payment.clone().map(|payment| Entity::Payment(Box::new(payment)));
                for (index, event) in (0..).zip(&decided) {
                    // Each event is recorded a little later than the one before.
                    let at = trial::at(100).plus(i64::try_from(all.events.len()).unwrap_or(0) * 10 + i64::from(index));
                    let cause = Cause { inbox: Inbox::Channel, sequence: 1, event: "k".into(), time: at, index };
                    let recorded = Recorded { at, cause, event: Event::Payment(event.clone()) };
                    for touch in touches(&recorded.event) {
                        assert_eq!(touch.key, key);
                        payment = Some(evolve(&key, payment, &recorded));
                    }
                }
                let payment = payment.map(|entity| if let Entity::Payment(payment) = entity { *payment } else { panic!("a payment") });
                let mut answered = all.answered.clone();
                answered.insert(*comes);
                Folded { payment, events: all.events.iter().cloned().chain(decided).collect(), answered }
            }
        };
        let folded = Rc::new(folded);
        self.folds.insert(log.to_vec(), folded.clone());
        folded
    }

    fn decide(&self, comes: Comes, seen: &Folded) -> Vec<PaymentEvent> {
        let minutes = if let Comes::Tick(number) = comes { 200 + 100 * i64::from(number) } else { 100 };
        let now = trial::at(minutes);
        let entity = seen.payment.clone().map(|payment| Entity::Payment(Box::new(payment)));
        let input = Input { inbox: Inbox::Channel, sequence: 1, key: "k".into(), time: now, received_at: now, body: self.body(comes) };
        let facts = Facts { reference: &self.reference, limits: &Limits::default() };
        let decided = decide(&Alone(entity.as_ref()), &facts, &input);
        let event = |event| if let Event::Payment(event) = event { event } else { panic!("of PAYMENT") };
        decided.into_iter().map(event).map(|event| if self.flaw == Flaw::AllApply { applied_anyway(event) } else { event }).collect()
    }

    /// Whether it can come now: an answer waits for its question.
    fn can_come(&self, comes: Comes, all: &Folded) -> bool {
        match comes {
            Comes::Answer(channel, _) => {
                let refund = self.refund(channel);
                all.events.iter().any(|event| matches!(event, PaymentEvent::RefundRequested { refund: asked, .. } if *asked == refund))
            }
            Comes::Withdrawal => all.answered.contains(&Comes::Price),
            _ => true,
        }
    }

    fn next(&mut self, state: &State) -> Vec<State> {
        let all = self.fold(&state.log);
        let mut next = Vec::new();
        for comes in self.inputs.clone() {
            if state.acked.contains(&comes) || !self.can_come(comes, &all) {
                continue;
            }
            for worker in 0..2 {
                let from = state.folded[worker];
                let seen = self.fold(&state.log[..usize::from(from)]);
                let with = |log: &Vec<(Comes, u8)>, folded: u8, acked: bool| {
                    let mut new = State { log: log.clone(), ..state.clone() };
                    new.folded[worker] = folded;
                    if acked {
                        new.acked.push(comes);
                        new.acked.sort();
                    }
                    new
                };
                let end = u8::try_from(state.log.len()).unwrap_or(u8::MAX);
                if seen.answered.contains(&comes) {
                    next.push(with(&state.log, from, true));
                    continue;
                }
                if from != end && self.flaw != Flaw::Unconditional {
                    // Refused: it folds what came, and decides again.
                    next.push(with(&state.log, end, false));
                    continue;
                }
                if self.decide(comes, &seen).is_empty() {
                    next.push(with(&state.log, from, true));
                    continue;
                }
                let log: Vec<_> = state.log.iter().copied().chain([(comes, from)]).collect();
                // All is well; or it dies before its ack; or the answer to its append is lost, and it knows nothing of it.
                let folded = if self.flaw == Flaw::Unconditional { from + 1 } else { end + 1 };
                next.push(with(&log, folded, true));
                next.push(with(&log, folded, false));
                next.push(with(&log, from, false));
            }
        }
        next
    }

    /// What must hold in every state; says what does not.
    fn wrong(&mut self, state: &State) -> Option<String> {
        let folded = self.fold(&state.log);
        let payment = folded.payment.as_ref()?;
        let applied: Vec<&Receipt> = payment.receipts.values().filter(|receipt| receipt.fate == Fate::Applied).collect();
        if applied.len() > 1 {
            return Some(format!("{} payments count", applied.len()));
        }
        let due = payment.due.map(|due| due.minor);
        if applied.iter().any(|receipt| Some(receipt.amount.minor) != due) {
            return Some("what counts is not what was due".into());
        }
        // What was captured, by what came; what goes back, by the ids that channels were called with.
        let mut captured: BTreeMap<&str, i64> = BTreeMap::new();
        for comes in &folded.answered {
            if let Comes::Success(channel, exact) = comes {
                captured.insert(channel, if *exact { DUE } else { DUE + 1 });
            }
        }
        let mut asked: BTreeMap<String, BTreeMap<Id, i64>> = BTreeMap::new();
        for event in &folded.events {
            if let PaymentEvent::RefundRequested { source, refund, amount, .. } = event {
                asked.entry(source.channel.to_string()).or_default().insert(*refund, amount.minor);
            }
        }
        let sums = payment.receipts.values().fold((0, 0, 0, 0), |sum, receipt| {
            (sum.0 + receipt.captured(), sum.1 + receipt.applied(), sum.2 + receipt.refunded(), sum.3 + receipt.owed())
        });
        if sums.0 != captured.values().sum::<i64>() || sums.0 != sums.1 + sums.2 + sums.3 || sums.3 < 0 {
            return Some(format!("captured {captured:?} is not applied + refunded + owed: {sums:?}"));
        }
        for (channel, refunds) in &asked {
            let back: i64 = refunds.values().sum();
            if back > captured.get(channel.as_str()).copied().unwrap_or(0) {
                return Some(format!("{back} are asked back of {channel}, more than it captured"));
            }
            if refunds.len() > 1 {
                return Some(format!("{channel} is asked twice for the same money: {refunds:?}"));
            }
            if applied.iter().any(|receipt| *receipt.source.channel == **channel) {
                return Some(format!("{channel} pays the order and goes back"));
            }
        }
        let at_rest = state.acked.len() == self.inputs.iter().filter(|comes| self.can_come(**comes, &folded)).count();
        if at_rest && payment.due.is_some() {
            for channel in captured.keys() {
                let counts = applied.iter().any(|receipt| *receipt.source.channel == **channel);
                if !counts && !asked.contains_key(*channel) {
                    return Some(format!("the money of {channel} neither counts nor goes back"));
                }
            }
            let exact = captured.values().any(|minor| Some(*minor) == due);
            if exact && applied.is_empty() && !payment.withdrawn {
                return Some("what was due came, and does not count".into());
            }
        }
        None
    }

    /// Walks all states; gives how many there are, or the first wrong one.
    fn walk(&mut self) -> Result<usize, String> {
        let first = State { log: Vec::new(), folded: [0, 0], acked: Vec::new() };
        let mut seen = HashSet::from([first.clone()]);
        // The shortest way to a wrong state is the one that is shown.
        let mut waiting = VecDeque::from([first]);
        while let Some(state) = waiting.pop_front() {
            if let Some(wrong) = self.wrong(&state) {
                return Err(format!("{wrong}: {state:?}"));
            }
            for next in self.next(&state) {
                if seen.insert(next.clone()) {
                    waiting.push_back(next);
                }
            }
        }
        Ok(seen.len())
    }
}

/// A rule that refuses nothing.
fn applied_anyway(event: PaymentEvent) -> PaymentEvent {
    match event {
        PaymentEvent::RefundRequested { bill, source, amount, held, .. } => {
            PaymentEvent::Applied { bill, source, amount, held, paid_at: None, provisional: false, part: None, discounts: None, reason: None }
        }
        other => other,
    }
}

const WECHAT: Comes = Comes::Success("wechat", true);
const ALIPAY: Comes = Comes::Success("alipay", true);
const WRONG: Comes = Comes::Success("alipay", false);
const ETC: Comes = Comes::Success("etc", true);

/// What comes together, so that each pair of things that can meet does.
const SCENES: [&[Comes]; 7] = [
    &[Comes::Price, WECHAT, ALIPAY, ETC, Comes::Withdrawal],
    &[Comes::Price, WECHAT, Comes::Accepted("etc"), ETC, Comes::Answer("etc", Some(true))],
    &[Comes::Price, WECHAT, Comes::Accepted("etc"), Comes::Failed("etc"), Comes::Accepted("alipay")],
    &[Comes::Price, Comes::Accepted("etc"), Comes::Failed("etc"), Comes::Accepted("alipay"), ALIPAY],
    &[Comes::Price, Comes::Accepted("etc"), Comes::Failed("etc"), ETC, Comes::Withdrawal],
    &[Comes::Price, WECHAT, WRONG, Comes::Answer("alipay", Some(false)), Comes::Answer("alipay", Some(true)), Comes::Tick(0)],
    &[Comes::Price, WECHAT, ALIPAY, Comes::Answer("alipay", None), Comes::Answer("wechat", None), Comes::Tick(0), Comes::Tick(1)],
];

#[test]
fn in_every_state_one_success_counts_and_every_other_goes_back_once() {
    let mut all = 0;
    for scene in SCENES {
        let states = Search::new(scene, Flaw::None).walk().unwrap_or_else(|wrong| panic!("{wrong}"));
        println!("{states} states of {scene:?}");
        all += states;
    }
    println!("{all} states, and it holds in each");
    assert!(all > 100_000, "{all} states are not much of a search");
}

#[test]
fn the_search_finds_an_append_without_its_condition() {
    let found = Search::new(SCENES[0], Flaw::Unconditional).walk();
    assert!(found.is_err(), "{found:?}");
}

#[test]
fn the_search_finds_a_rule_that_applies_everything() {
    let found = Search::new(SCENES[0], Flaw::AllApply).walk();
    assert!(found.is_err_and(|wrong| wrong.contains("payments count")));
}
