use super::*;
use crate::trial::{Trial, at, gate};
use proptest::prelude::*;
use schema::{ChannelEvent, Currency, GateKind, Inbox};

const DUE: i64 = 1000;

fn priced() -> Recorded {
    let mut entry = Trial::new(&crate::entry::RULES);
    entry.gate(gate(GateKind::Entry, "small", "A", 0));
    entry.gate(gate(GateKind::Exit, "small", "A", 90));
    let leaving = entry.journal.pop().expect("the car is leaving");
    let mut pricing = Trial::new(&crate::pricing::RULES);
    pricing.journal(Inbox::Session, &leaving);
    pricing.journal.pop().expect("the stay has a price")
}

fn order() -> Id {
    match priced().event {
        Event::Order(OrderEvent::Priced { order, .. }) => order,
        other => panic!("{other:?}"),
    }
}

fn withdrawn() -> Recorded {
    let priced = priced();
    let Event::Order(OrderEvent::Priced { order, stay, departure, .. }) = priced.event.clone() else { panic!("a price") };
    let question = schema::journal::Question { stay, departure, sequence: 2, right: None, terms: None, inside: false };
    Recorded { event: Event::Order(OrderEvent::Withdrawn { order, by: order, question: Box::new(question) }), at: priced.at.plus(5), ..priced }
}

fn succeeded(channel: &str, transaction: &str, amount: i64) -> ChannelEvent {
    let fact =
        ChannelFact::Succeeded { attempt: id::attempt(order(), 1), transaction: transaction.into(), amount: Money::new(amount, Currency::Cny) };
    ChannelEvent { channel: channel.into(), happened_at: at(91), fact }
}

fn answered(refund: Id, succeeded: bool, tries: u32) -> ChannelEvent {
    ChannelEvent { channel: "etc".into(), happened_at: at(91), fact: ChannelFact::RefundAnswered { refund, order: order(), succeeded, tries } }
}

impl Trial {
    fn channel(&mut self, event: &ChannelEvent) -> Vec<Event> {
        self.now = self.now.max(event.happened_at);
        self.input(Inbox::Channel, &event.key(), event.happened_at, Body::Channel(event.clone()))
    }

    fn payment(&self) -> &Payment {
        match self.entities.values().next() {
            Some(Entity::Payment(payment)) => payment,
            other => panic!("{other:?}"),
        }
    }

    /// (captured, applied, refunded, open) in fen.
    fn sums(&self) -> (i64, i64, i64, i64) {
        self.payment().receipts.values().fold((0, 0, 0, 0), |(captured, applied, refunded, open), receipt| {
            let amount = receipt.amount.minor;
            match receipt.fate {
                Fate::Applied => (captured + amount, applied + amount, refunded, open),
                Fate::Refunded { .. } => (captured + amount, applied, refunded + amount, open),
                Fate::Held | Fate::Refunding { .. } => (captured + amount, applied, refunded, open + amount),
            }
        })
    }
}

fn kinds(events: &[Event]) -> String {
    events.iter().map(Event::kind).collect::<Vec<_>>().join("+")
}

/// `p` the price comes, `w` and `e` a success by wechat or etc, `W` the same transaction again, `x` one of another amount.
fn told(script: &str) -> String {
    let mut trial = Trial::new(&RULES);
    let events = script.chars().map(|letter| match letter {
        'p' => trial.journal(Inbox::Order, &priced()),
        'w' => trial.channel(&succeeded("wechat", "1", DUE)),
        'e' => trial.channel(&succeeded("etc", "2", DUE)),
        'o' => trial.journal(Inbox::Order, &withdrawn()),
        'x' => trial.channel(&succeeded("alipay", "3", DUE + 1)),
        other => panic!("no letter {other:?}"),
    });
    events.map(|events| kinds(&events)).collect::<Vec<_>>().join(", ")
}

#[test]
fn successes_in_any_order_apply_one() {
    for (script, expected) in [
        ("pw", "expected, applied"),
        ("wp", "held, expected+applied"),
        ("pwe", "expected, applied, refund_requested"),
        ("ewp", "held, held, expected+applied+refund_requested"),
        ("wpe", "held, expected+applied, refund_requested"),
        ("pxw", "expected, refund_requested, applied"),
        ("xp", "held, expected+refund_requested"),
        ("pp", "expected, noted"),
        ("pww", "expected, applied, noted"),
    ] {
        assert_eq!(told(script), expected, "{script}");
    }
}

#[test]
fn a_withdrawn_order_takes_no_money() {
    for (script, expected) in [
        ("pow", "expected, withdrawn, refund_requested"),
        ("pwo", "expected, applied, noted"),
        ("wpo", "held, expected+applied, noted"),
        ("pxow", "expected, refund_requested, withdrawn, refund_requested"),
        ("poo", "expected, withdrawn, noted"),
        ("o", "noted"),
    ] {
        assert_eq!(told(script), expected, "{script}");
    }
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Order, &priced());
    trial.journal(Inbox::Order, &withdrawn());
    assert!(!trial.payment().is_open(), "nothing is waited for");
    let events = trial.channel(&succeeded("wechat", "1", DUE));
    assert!(matches!(&events[..], [Event::Payment(PaymentEvent::RefundRequested { reason: RefundReason::Withdrawn, .. })]), "{events:?}");
    assert_eq!(trial.sums(), (DUE, 0, 0, DUE));
}

#[test]
fn a_second_success_for_the_same_order_is_refunded() {
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Order, &priced());
    trial.channel(&succeeded("wechat", "1", DUE));
    let events = trial.channel(&succeeded("etc", "2", DUE));
    let [Event::Payment(PaymentEvent::RefundRequested { refund, reason, .. })] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*reason, RefundReason::Duplicate);
    assert_eq!(trial.sums(), (2 * DUE, DUE, 0, DUE));
    assert_eq!(kinds(&trial.channel(&answered(*refund, true, 1))), "refunded");
    assert_eq!(kinds(&trial.channel(&answered(*refund, true, 2))), "noted");
    assert_eq!(trial.sums(), (2 * DUE, DUE, DUE, 0));
    assert!(!trial.payment().is_open());
}

#[test]
fn money_before_its_order_waits_for_it() {
    let mut trial = Trial::new(&RULES);
    trial.channel(&succeeded("etc", "2", DUE));
    assert!(trial.payment().is_open(), "held money is a liability and stays in memory");
    trial.channel(&succeeded("wechat", "1", DUE));
    trial.journal(Inbox::Order, &priced());
    let applied = trial.payment().receipts.values().find(|receipt| receipt.fate == Fate::Applied).expect("one is applied");
    assert_eq!(&*applied.source.channel, "etc", "the first durable one");
}

#[test]
fn a_refund_without_an_answer_is_asked_for_again() {
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Order, &priced());
    trial.channel(&succeeded("wechat", "1", DUE));
    let events = trial.channel(&succeeded("etc", "2", DUE));
    let [Event::Payment(PaymentEvent::RefundRequested { refund, .. })] = &events[..] else { panic!("{events:?}") };
    assert_eq!(kinds(&trial.channel(&answered(*refund, false, 1))), "noted");
    let key = *trial.entities.keys().next().expect("the payment");
    assert_eq!(kinds(&trial.input(Inbox::Tick, "", trial.now, Body::Tick(key))), "", "not due yet");
    for tries in 2..5 {
        trial.now = trial.now.plus(120 * schema::time::SECOND);
        let events = trial.input(Inbox::Tick, "", trial.now, Body::Tick(key));
        assert!(
            matches!(&events[..], [Event::Payment(PaymentEvent::RefundRequested { refund: again, tries: t, .. })] if again == refund && *t == tries),
            "{events:?}"
        );
    }
    let ids: std::collections::BTreeSet<_> =
        trial.effects().into_iter().map(|effect| if let Effect::Refund(call) = effect { call.refund } else { *refund }).collect();
    assert_eq!(ids.len(), 1, "one refund, however often it is asked for");
}

#[test]
fn the_same_transaction_with_another_amount_changes_nothing() {
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Order, &priced());
    trial.channel(&succeeded("wechat", "1", DUE));
    let events = trial.channel(&succeeded("wechat", "1", DUE + 5));
    assert!(matches!(&events[..], [Event::Payment(PaymentEvent::Noted { note: Note::AmountDiffers, .. })]), "{events:?}");
    assert_eq!(trial.sums(), (DUE, DUE, 0, 0));
}

proptest! {
    #[test]
    fn captured_is_applied_refunded_or_owed(steps in prop::collection::vec((0..4_u8, 0..4_u8, 0..2_i64), 1..20)) {
        let mut trial = Trial::new(&RULES);
        let mut captured = std::collections::BTreeMap::new();
        for (what, number, more) in steps {
            match what {
                0 => { trial.journal(Inbox::Order, &priced()); }
                1 | 2 => {
                    let amount = DUE + more;
                    trial.channel(&succeeded("wechat", &number.to_string(), amount));
                    captured.entry(number).or_insert(amount);
                }
                _ => {
                    let refunds: Vec<_> = trial.entities.values().flat_map(|e| if let Entity::Payment(p) = e { p.receipts.values().collect() } else { Vec::new() })
                        .filter_map(|receipt| if let Fate::Refunding { refund, .. } = receipt.fate { Some(refund) } else { None }).collect();
                    for refund in refunds { trial.channel(&answered(refund, more == 0, 1)); }
                }
            }
            if !trial.entities.is_empty() {
                let (sum, applied, refunded, open) = trial.sums();
                prop_assert_eq!(sum, applied + refunded + open);
                prop_assert_eq!(sum, captured.values().sum::<i64>());
                prop_assert!(trial.payment().receipts.values().filter(|r| r.fate == Fate::Applied).count() <= 1);
            }
        }
    }
}
