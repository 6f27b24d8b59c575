use super::*;
use schema::{
    Currency, Day,
    desk::Tender,
    entity::Receipt,
    gate::{Colour, Credential},
    id::Province,
    journal::{Departure, Quote, Source, Stay},
};
use std::collections::BTreeMap;

const NOW: Moment = Moment(1_795_399_200_000_000);
const DUE: Money = Money::new(1_000, Currency::Cny);

fn id(text: &str) -> Id {
    text.parse().expect("a name")
}

/// An order of ten yuan.
pub fn order() -> Order {
    let stay = Stay {
        session: id("S4426112307aoCjMg21YARM4n5d"),
        lot: "small".parse().expect("a name"),
        province: Province(44),
        credential: Credential::plate("粤B12345", Colour::Blue),
        lane: "in".parse().expect("a name"),
        entered_at: NOW.plus(-7_200_000_000),
        class: schema::VehicleClass::Small,
        energy: schema::Energy::Fuel,
        sharers: Vec::new(),
    };
    let departure =
        Departure { lane: "out".parse().expect("a name"), left_at: NOW, event: "e2".parse().expect("a name"), local: false, deducts: None };
    let quote = Quote { rate_table: "hourly".into(), version: 1, minutes: 120, lines: Vec::new(), total: DUE };
    Order { quote: Some(quote), ..Order::of(id("O4426112307bhsoAVeaPIlNaJs2"), stay, departure, Some(1)) }
}

fn payment(choice: &[(&str, i64)], attempts: &[(&str, AttemptState)]) -> Payment {
    let order = order().order;
    let tenders = choice.iter().map(|(channel, minor)| Tender { channel: (*channel).into(), amount: Money::new(*minor, Currency::Cny) }).collect();
    let choice = (!choice.is_empty()).then(|| Box::new(Choice { number: 1, tenders, until: NOW.plus(1), deducts: None }));
    let attempt = |(number, (channel, state)): (u16, &(&str, AttemptState))| {
        let attempt = id::attempt(order, number);
        let (channel, code) = ((*channel).into(), (*state == AttemptState::Open).then(|| "weixin://x".into()));
        (number, Attempt { attempt, choice: 1, channel, amount: DUE, until: NOW.plus(1), state: *state, tries: 1, code, due_at: None, deducts: None })
    };
    let attempts = (1..).zip(attempts).map(attempt).collect();
    let (receipts, wanted) = (BTreeMap::new(), BTreeMap::new());
    Payment {
        order,
        lot: Some("small".parse().expect("a name")),
        day: Day(261_123),
        due: Some(DUE),
        receipts,
        withdrawn: false,
        imported: None,
        wanted,
        choice,
        attempts,
        discounts: None,
    }
}

fn with(mut payment: Payment, channel: &str, fate: Fate) -> Payment {
    let source = Source { channel: channel.into(), transaction: "T1".into() };
    let receipt = Receipt {
        source: source.clone(),
        amount: DUE,
        came_at: NOW,
        fate,
        paid_at: Some(NOW),
        provisional: false,
        choice: Some(1),
        refunds: Vec::new(),
    };
    payment.receipts.insert(Payment::receipt_key(&source), receipt);
    payment
}

#[test]
fn what_is_paid_is_paid() {
    let order = order();
    let by = |channel: &str| Standing::Paid(Paid { amount: DUE, channels: vec![channel.into()], at: Some(NOW) });
    let applied = with(payment(&[("wechat", 1_000)], &[("wechat", AttemptState::Open)]), "alipay", Fate::Applied);
    assert_eq!(Standing::of(&order, Some(&applied), NOW), by("alipay"));
    let source = Source { channel: "etc".into(), transaction: "T2".into() };
    let settled = Order { paid: Some((DUE, source)), cancelled: true, ..order.clone() };
    assert_eq!(Standing::of(&settled, Some(&applied), NOW), by("alipay"));
    assert!(matches!(Standing::of(&settled, None, NOW), Standing::Paid(Paid { channels, .. }) if *channels[0] == *"etc"));
    let surplus = with(payment(&[], &[]), "alipay", Fate::Surplus);
    assert_eq!(Standing::of(&order, Some(&surplus), NOW), Standing::Due { failed: None });
}

#[test]
fn what_has_ended_can_be_chosen_again() {
    use AttemptState::{Closed, Closing, Failed, Held, Open, Opening};
    let stands = |choice: &[(&str, i64)], attempts: &[(&str, AttemptState)]| Standing::of(&order(), Some(&payment(choice, attempts)), NOW).word();
    for (choice, attempts, word) in [
        (&[][..], &[][..], "due"),
        (&[("wechat", 1_000)], &[], "opening"),
        (&[("wechat", 1_000)], &[("wechat", Opening)], "opening"),
        (&[("wechat", 1_000)], &[("wechat", Open)], "open"),
        (&[("wechat", 1_000)], &[("wechat", Failed)], "due"),
        (&[("wechat", 1_000)], &[("wechat", Closing)], "due"),
        (&[("wechat", 1_000)], &[("wechat", Closed)], "due"),
        (&[("points", 500), ("wechat", 500)], &[("points", Held)], "opening"),
        (&[("points", 500), ("wechat", 500)], &[("points", Held), ("wechat", Open)], "open"),
        (&[("points", 500), ("cash", 500)], &[("points", Held)], "cash"),
    ] {
        assert_eq!(stands(choice, attempts), word, "{choice:?} {attempts:?}");
    }
    let late = Standing::of(&order(), Some(&payment(&[("wechat", 1_000)], &[("wechat", Open)])), NOW.plus(1));
    assert_eq!(late, Standing::Due { failed: None }, "its time is over");
}

#[test]
fn what_cannot_be_paid_says_why() {
    let new = id("O4426112307new0000000000000");
    let known = payment(&[], &[]);
    let without = || Order { quote: None, ..order() };
    let free = || Order { quote: order().quote.map(|quote| Quote { total: Money::new(0, Currency::Cny), ..quote }), ..order() };
    for (order, payment, word, over) in [
        (Order { replaced_by: Some(new), ..order() }, Some(known.clone()), "replaced", true),
        (Order { cancelled: true, replaces: Some(new), ..without() }, None, "replaced", true),
        (Order { cancelled: true, ..order() }, Some(known.clone()), "over", true),
        (order(), Some(Payment { withdrawn: true, ..known.clone() }), "replaced", false),
        (without(), None, "no_price", false),
        (free(), None, "free", true),
        (order(), None, "pricing", false),
    ] {
        let standing = Standing::of(&order, payment.as_ref(), NOW);
        assert_eq!((standing.word(), standing.is_over()), (word, over), "{order:?}");
    }
}

#[test]
fn a_token_is_the_same_as_long_as_the_page_is() {
    let look = |payment: &Payment| token(&Standing::of(&order(), Some(payment), NOW), Some(payment));
    let open = payment(&[("wechat", 1_000)], &[("wechat", AttemptState::Open)]);
    let mut asked_again = open.clone();
    asked_again.attempts.values_mut().for_each(|attempt| attempt.tries = 7);
    assert_eq!(look(&open), look(&asked_again));
    assert_ne!(look(&open), look(&with(open.clone(), "points", Fate::Held)));
}
