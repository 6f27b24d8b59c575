use super::*;
use crate::trial::{Trial, at, gate};
use schema::{Currency, GateKind, Inbox, Money, journal::RightUsed};

fn leaving(lot: &str, from: i64, to: i64) -> Recorded {
    let mut entry = Trial::new(&crate::entry::RULES);
    entry.gate(gate(GateKind::Entry, lot, "A", from));
    entry.gate(gate(GateKind::Exit, lot, "A", to));
    entry.journal.pop().expect("the car is leaving")
}

fn applied(order: schema::Id, amount: i64) -> Recorded {
    let bill = schema::journal::Bill { order, lot: None, day: schema::Day(0) };
    let source = Source { channel: "wechat".into(), transaction: "1".into() };
    let event = PaymentEvent::Applied {
        bill,
        source,
        amount: Money::new(amount, Currency::Cny),
        held: false,
        paid_at: None,
        provisional: false,
        part: None,
        discounts: None,
        reason: None,
    };
    Recorded { event: Event::Payment(event), ..leaving("small", 0, 1) }
}

fn order(events: &[Event]) -> schema::Id {
    match events {
        [Event::Order(OrderEvent::Priced { order, .. } | OrderEvent::Unpriced { order, .. })] => *order,
        other => panic!("one price, not {other:?}"),
    }
}

#[test]
fn a_stay_is_priced_by_its_lots_table_and_asked_for_at_the_lane() {
    for (to, fen, asks) in [(15, 0, 0), (16, 500, 1), (90, 1000, 1), (1530, 3000, 1)] {
        let mut trial = Trial::new(&RULES);
        let events = trial.journal(Inbox::Session, &leaving("small", 0, to));
        assert!(matches!(&events[..], [Event::Order(OrderEvent::Priced { quote, .. })] if quote.total.minor == fen), "{to} minutes: {events:?}");
        assert_eq!(trial.effects().len(), asks, "{to} minutes");
    }
}

#[test]
fn a_right_covers_its_own_time_alone() {
    for (until, fen) in [(None, 1_500), (Some(0), 1_500), (Some(61), 1_000), (Some(125), 500), (Some(170), 0), (Some(9_000), 0)] {
        let mut leaves = leaving("small", 0, 180);
        if let Event::Session(SessionEvent::Leaving { right, .. }) = &mut leaves.event {
            let id = "pass-1".parse().expect("a name");
            *right = until.map(|until| Box::new(RightUsed { id, from: at(-9_000), until: at(until), bands: Vec::new() }));
        }
        let events = Trial::new(&RULES).journal(Inbox::Session, &leaves);
        let [Event::Order(OrderEvent::Priced { quote, .. })] = &events[..] else { panic!("one price, not {events:?}") };
        assert_eq!(quote.total.minor, fen, "a right until minute {until:?}");
        let named = quote.lines.iter().any(|line| line.due_to.as_deref() == Some("pass-1"));
        assert_eq!(named, until.is_some_and(|until| until > 0), "{:?}", quote.lines);
    }
}

#[test]
fn what_is_owed_ends_once() {
    let leaves = leaving("small", 0, 90);
    let Event::Session(SessionEvent::Leaving { stay, departure, sequence, .. }) = &leaves.event else { panic!("it leaves") };
    let later = Departure { left_at: at(24 * 60), local: true, ..departure.clone() };
    let gone = SessionEvent::Gone { stay: stay.clone(), departure: later, asked: Some((*sequence, departure.left_at)), same_read_until: None };
    let mut trial = Trial::new(&RULES);
    let id = order(&trial.journal(Inbox::Session, &leaves));
    let begins = |events: &[Event]| {
        events.iter().find_map(|event| if let Event::Order(OrderEvent::Owed { begins, .. }) = event { Some(*begins) } else { None })
    };
    let gone = Recorded { event: Event::Session(gone), ..leaves.clone() };
    assert_eq!(begins(&trial.journal(Inbox::Session, &gone)), Some(true));
    // That it has gone may be told twice; it owes once.
    assert_eq!(begins(&trial.journal(Inbox::Session, &gone)), Some(false));
    let kinds = |events: &[Event]| events.iter().map(Event::kind).collect::<Vec<_>>();
    assert_eq!(kinds(&trial.journal(Inbox::Payment, &applied(id, 1_000))), ["paid", "cleared"]);
    let failed = PaymentEvent::Reversed {
        bill: schema::journal::Bill { order: id, lot: None, day: schema::Day(0) },
        source: Source { channel: "wechat".into(), transaction: "1".into() },
        amount: Money::new(1_000, Currency::Cny),
        applied: true,
    };
    let failed = trial.journal(Inbox::Payment, &Recorded { event: Event::Payment(failed), ..leaves });
    assert_eq!((kinds(&failed), begins(&failed)), (vec!["reopened", "owed"], Some(true)));
}

#[test]
fn what_was_not_paid_is_owed() {
    for (minutes, is_paid, told) in [(90, false, "priced, owed 1000"), (90, true, "priced, paid, AlreadyKnown"), (10, false, "free, NothingOwed")] {
        let leaves = leaving("small", 0, minutes);
        let Event::Session(SessionEvent::Leaving { stay, departure, sequence, .. }) = &leaves.event else { panic!("it leaves") };
        let asked = Some((*sequence, departure.left_at));
        let later = Departure { left_at: at(minutes + 24 * 60), local: true, ..departure.clone() };
        let gone = Event::Session(SessionEvent::Gone { stay: stay.clone(), departure: later, asked, same_read_until: None });
        let gone = Recorded { event: gone, at: leaves.at.plus(1), ..leaves.clone() };
        let mut trial = Trial::new(&RULES);
        let priced = trial.journal(Inbox::Session, &leaves);
        let mut events = priced.clone();
        if is_paid {
            events.extend(trial.journal(Inbox::Payment, &applied(order(&priced), 1_000)));
        }
        events.extend(trial.journal(Inbox::Session, &gone));
        let word = |event: &Event| match event {
            Event::Order(OrderEvent::Owed { amount, .. }) => format!("owed {}", amount.minor),
            Event::Order(OrderEvent::Noted { note, .. }) => format!("{note:?}"),
            other => other.kind().to_owned(),
        };
        assert_eq!(events.iter().map(word).collect::<Vec<_>>().join(", "), told);
    }
}

#[test]
fn an_order_is_born_on_the_local_day_of_leaving() {
    let mut trial = Trial::new(&RULES);
    // The trial starts at 08:00 in Shanghai: 16 hours later it is the next day there.
    let id = order(&trial.journal(Inbox::Session, &leaving("small", 0, 16 * 60)));
    assert_eq!(id::place(id.as_str()).map(|place| place.day), Some(schema::Day(261_124)));
}

#[test]
fn an_order_is_paid_once() {
    let mut trial = Trial::new(&RULES);
    let id = order(&trial.journal(Inbox::Session, &leaving("small", 0, 90)));
    let kinds: Vec<_> = (0..2).flat_map(|_| trial.journal(Inbox::Payment, &applied(id, 1000))).map(|event| event.kind()).collect();
    assert_eq!(kinds, ["paid", "noted"]);
}

#[test]
fn money_for_no_order_of_ours_is_noted() {
    let mut trial = Trial::new(&RULES);
    let unknown = id::derive(Kind::Order, Place { province: schema::id::Province(44), day: at(0).utc_day(), partition: Partition(1) }, &["x"]);
    let events = trial.journal(Inbox::Payment, &applied(unknown, 1000));
    assert!(matches!(&events[..], [Event::Order(OrderEvent::Noted { note: Note::Unknown, .. })]), "{events:?}");
}

#[test]
fn a_lot_without_a_rate_table_is_asked() {
    let mut trial = Trial::new(&RULES);
    let events = trial.journal(Inbox::Session, &leaving("bare", 0, 90));
    assert!(matches!(&events[..], [Event::Order(OrderEvent::Unpriced { .. })]), "{events:?}");
    assert!(matches!(&trial.effects()[..], [Effect::Lane(LaneCommand { verdict: Verdict::Ask, due: None, .. })]));
}
