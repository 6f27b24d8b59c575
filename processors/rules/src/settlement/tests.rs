use super::*;
use crate::trial::{Trial, at};
use schema::{Cause, Currency, Day, Id, Inbox, Partition, id::Province, journal::RefundReason};

fn order() -> Id {
    id::derive(Kind::Order, Place { province: Province(44), day: Day(261_123), partition: Partition(7) }, &["x"])
}

fn recorded(event: PaymentEvent, minute: i64) -> Recorded {
    let cause = Cause { inbox: Inbox::Channel, sequence: 1, event: "k".into(), time: at(minute), index: 0 };
    Recorded { at: at(minute), cause, event: Event::Payment(event) }
}

fn bill() -> Bill {
    Bill { order: order(), lot: Some("small".parse().expect("a name")), day: Day(261_123) }
}

fn source() -> Source {
    Source { channel: "etc".into(), transaction: "2".into() }
}

const AMOUNT: Money = Money::new(1000, Currency::Cny);

fn requested(tries: u32, held: bool) -> PaymentEvent {
    let refund = id::derive(Kind::Refund, id::place(order().as_str()).expect("an id"), &["r"]);
    PaymentEvent::RefundRequested {
        bill: bill(),
        source: source(),
        amount: AMOUNT,
        refund,
        reason: RefundReason::Duplicate,
        tries,
        held,
        due_at: at(1),
        asks: false,
        applied: false,
        captured: None,
        by: None,
        approved: None,
    }
}

fn refunded() -> PaymentEvent {
    let refund = id::derive(Kind::Refund, id::place(order().as_str()).expect("an id"), &["r"]);
    PaymentEvent::Refunded { bill: bill(), source: source(), amount: AMOUNT, refund }
}

fn window(trial: &Trial) -> Window {
    let windows: Vec<_> =
        trial.entities.values().filter_map(|entity| if let Entity::Window(window) = entity { Some(window) } else { None }).collect();
    windows.into_iter().next().cloned().unwrap_or_default()
}

#[test]
fn every_posting_balances() {
    let mut trial = Trial::new(&RULES);
    let applied =
        |held| PaymentEvent::Applied { bill: bill(), source: source(), amount: AMOUNT, held, paid_at: None, provisional: false, part: None };
    let held = PaymentEvent::Held { bill: bill(), source: source(), amount: AMOUNT, paid_at: None, provisional: false, choice: None };
    for (minute, event) in (0..).zip([held, applied(false), applied(true), requested(1, false), refunded()]) {
        let events = trial.journal(Inbox::Payment, &recorded(event, minute));
        let [Event::Ledger(LedgerEvent::Posted { entries, .. })] = &events[..] else { panic!("{events:?}") };
        assert_eq!(entries.iter().map(|entry| entry.debit).sum::<i64>(), entries.iter().map(|entry| entry.credit).sum::<i64>());
    }
    let sums = window(&trial).sums;
    assert_eq!(sums.values().map(|(debit, _)| debit).sum::<i64>(), sums.values().map(|(_, credit)| credit).sum::<i64>());
    assert_eq!(window(&trial).postings, 5);
}

#[test]
fn a_refund_ends_where_it_began() {
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Payment, &recorded(requested(1, false), 0));
    trial.journal(Inbox::Payment, &recorded(refunded(), 1));
    let net: Vec<i64> = window(&trial).sums.values().map(|(debit, credit)| debit - credit).collect();
    assert!(net.iter().all(|net| *net == 0), "{net:?}");
}

#[test]
fn what_may_still_fail_is_kept_apart_until_it_is_settled() {
    let applied = PaymentEvent::Applied { bill: bill(), source: source(), amount: AMOUNT, held: false, paid_at: None, provisional: true, part: None };
    let settled = PaymentEvent::Settled { bill: bill(), source: source(), amount: AMOUNT };
    let over = PaymentEvent::PassedOver { bill: bill(), source: source(), amount: AMOUNT, reason: RefundReason::Duplicate, applied: true };
    let reversed = PaymentEvent::Reversed { bill: bill(), source: source(), amount: AMOUNT, applied: true };
    for (then, receivable, revenue) in [(settled, 1_000, -1_000), (over, 0, 0), (reversed, 0, 0)] {
        let mut trial = Trial::new(&RULES);
        trial.journal(Inbox::Payment, &recorded(applied.clone(), 0));
        trial.journal(Inbox::Payment, &recorded(then.clone(), 1));
        let sums = window(&trial).sums;
        let net = |account: &str| sums.get(&format!("Cny/{account}")).map_or(0, |(debit, credit)| debit - credit);
        let all = (net("ProvisionalReceivable"), net("ChannelReceivable"), net("ParkingRevenue"));
        assert_eq!(all, (0, receivable, revenue), "{then:?}: {sums:?}");
    }
}

#[test]
fn what_paid_and_is_to_go_back_is_no_revenue_any_more() {
    let mut trial = Trial::new(&RULES);
    let mut event = requested(1, false);
    if let PaymentEvent::RefundRequested { applied, .. } = &mut event {
        *applied = true;
    }
    trial.journal(
        Inbox::Payment,
        &recorded(
            PaymentEvent::Applied { bill: bill(), source: source(), amount: AMOUNT, held: false, paid_at: None, provisional: false, part: None },
            0,
        ),
    );
    trial.journal(Inbox::Payment, &recorded(event, 1));
    trial.journal(Inbox::Payment, &recorded(refunded(), 2));
    let net: Vec<i64> = window(&trial).sums.values().map(|(debit, credit)| debit - credit).collect();
    assert!(net.iter().all(|net| *net == 0), "{net:?}");
}

#[test]
fn asking_again_and_what_was_held_are_not_posted_again() {
    let mut trial = Trial::new(&RULES);
    for event in [requested(2, false), requested(1, true)] {
        assert_eq!(trial.journal(Inbox::Payment, &recorded(event, 0)), []);
    }
}
