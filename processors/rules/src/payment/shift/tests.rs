use super::super::{
    RULES,
    tests::{kinds, order, priced, said},
};
use super::*;
use crate::trial::Trial;
use schema::{Currency, Event, Inbox, desk::Says, entity::Fate};

const DUE: i64 = 1_000;

fn cny(minor: i64) -> Money {
    Money::new(minor, Currency::Cny)
}

impl Trial {
    fn step(&mut self, id: &str, shift: &str, step: ShiftStep) -> String {
        let events = self.desk(said(id, "zhou", Says::Shift { shift: shift.parse().expect("a name"), step }));
        told(&events)
    }

    fn cash(&mut self, id: &str, shift: &str, minor: i64) -> String {
        told(&self.desk(said(id, "zhou", Says::Cash { order: order(), amount: cny(minor), shift: shift.parse().expect("a name") })))
    }

    fn drawer(&self) -> &Shift {
        self.entities.values().find_map(|entity| if let Entity::Shift(shift) = entity { Some(&**shift) } else { None }).expect("a shift")
    }
}

/// The kinds, and of notes why.
fn told(events: &[Event]) -> String {
    match events {
        [Event::Payment(PaymentEvent::ShiftNoted { note, .. })] => format!("{note:?}"),
        events => kinds(events),
    }
}

fn expecting() -> Trial {
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Order, &priced());
    trial
}

#[test]
fn cash_is_taken_by_an_open_shift() {
    let mut trial = expecting();
    assert_eq!(trial.cash("1", "early", DUE), "Unknown");
    assert_eq!(trial.step("2", "early", ShiftStep::Opened(cny(5_000))), "shift_opened");
    assert_eq!(trial.cash("3", "early", DUE), "applied+shift_took");
    assert_eq!((trial.drawer().expected(), trial.sums()), (cny(6_000), (DUE, DUE, 0, 0)));
    // The driver had paid by phone meanwhile: whoever comes second is given it back, and says so.
    assert_eq!(trial.cash("4", "early", DUE), "refund_requested+shift_took");
    let surplus = trial.payment().receipts.values().find(|receipt| receipt.fate == Fate::Surplus).expect("it is no payment").clone();
    let fact = schema::ChannelFact::RefundAnswered {
        refund: surplus.refunds[0].refund,
        order: order(),
        succeeded: false,
        tries: 1,
        standing: Some(schema::channel::Standing::Abnormal),
    };
    trial.channel(&schema::ChannelEvent { channel: "cash".into(), happened_at: trial.now, fact });
    let back = |shift: &str| Says::RefundSettled { order: order(), refund: surplus.refunds[0].refund, back: true, shift: shift.parse().ok() };
    assert_eq!(told(&trial.desk(said("5", "zhou", back("late")))), "Unknown");
    assert_eq!(told(&trial.desk(said("6", "zhou", back("early")))), "refunded+shift_took");
    assert_eq!((trial.drawer().expected(), trial.sums()), (cny(6_000), (2 * DUE, DUE, DUE, 0)));
    assert_eq!(trial.step("7", "early", ShiftStep::Counted(cny(6_000))), "shift_counted");
    assert_eq!(trial.step("8", "early", ShiftStep::Closed), "shift_closed");
    assert_eq!(trial.cash("9", "early", DUE), "AlreadyClosed");
}

#[test]
fn a_shift_ends_with_its_difference() {
    let mut trial = expecting();
    assert_eq!(trial.step("1", "early", ShiftStep::Counted(cny(1))), "Unknown");
    assert_eq!(trial.step("2", "early", ShiftStep::Opened(cny(5_000))), "shift_opened");
    assert_eq!(trial.step("3", "early", ShiftStep::Opened(cny(5_000))), "AlreadyKnown");
    assert_eq!(trial.step("4", "early", ShiftStep::Closed), "NotCounted");
    assert_eq!(trial.step("5", "early", ShiftStep::Counted(Money::new(5_000, Currency::Jpy))), "AmountDiffers");
    assert_eq!(trial.step("6", "early", ShiftStep::Counted(cny(5_000))), "shift_counted");
    assert_eq!(trial.cash("7", "early", DUE), "applied+shift_took");
    assert_eq!(trial.step("8", "early", ShiftStep::Closed), "NotCounted", "cash came after the count");
    assert_eq!(trial.step("9", "early", ShiftStep::Counted(cny(5_990))), "shift_counted");
    let events = trial.desk(said("10", "zhou", Says::Shift { shift: "early".parse().expect("a name"), step: ShiftStep::Closed }));
    let [Event::Payment(PaymentEvent::ShiftClosed { expected, counted, .. })] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*expected, *counted), (cny(6_000), cny(5_990)));
    assert_eq!(trial.step("11", "early", ShiftStep::Opened(cny(0))), "AlreadyKnown", "a name is one shift, for ever");
    assert_eq!(trial.step("12", "early", ShiftStep::Counted(cny(0))), "AlreadyClosed");
}

#[test]
fn cash_is_a_part_of_a_payment_like_any_other() {
    let mut trial = expecting();
    trial.step("1", "early", ShiftStep::Opened(cny(0)));
    let tender = |channel: &str, minor| schema::desk::Tender { channel: channel.into(), amount: cny(minor) };
    let tenders = vec![tender("cash", 400), tender("wechat", 600)];
    assert_eq!(kinds(&trial.desk(said("2", "zhou", Says::Pay { order: order(), tenders }))), "chosen+attempted");
    assert_eq!(trial.cash("3", "early", 400), "held+shift_took");
    let attempt = schema::id::attempt(order(), 2);
    let fact = schema::ChannelFact::Succeeded { attempt, transaction: "w".into(), amount: cny(600) };
    let events = trial.channel(&schema::ChannelEvent { channel: "wechat".into(), happened_at: trial.now, fact });
    assert_eq!(kinds(&events), "applied+applied+attempt_stood");
    assert_eq!(trial.sums(), (DUE, DUE, 0, 0));
}
