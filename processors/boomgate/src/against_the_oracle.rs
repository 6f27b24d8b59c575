//! The rule of payments against the slow, obvious oracle: whatever comes in whatever order, both say the same.
//!
//! Not here: the loop around the rule (`simulation`), that the promise itself holds in every state (`rules::payment::search`).

use bench::oracle::{Purses, Told};
use proptest::prelude::*;
use rules::{Body, Facts, Input, Limits, View, payment::RULES};
use schema::{
    Cause, ChannelEvent, ChannelFact, Credential, Currency, DeskEvent, Entity, Event, Handle, Id, Inbox, Key, Moment, Money, Partition, Recorded,
    Reference,
    channel::{Act, Outcome, Standing},
    desk::{Says, ShiftStep, Tender},
    gate::Colour,
    id::{self, Kind, Place, Province},
    journal::{Deduction, Departure, OrderEvent, PaymentEvent, Question, Quote, Stay},
    time::{Day, MINUTE},
};
use std::{collections::BTreeMap, sync::Arc};

const START: Moment = Moment(1_795_392_000_000_000);
const DUE: i64 = 1_000;

fn cny(minor: i64) -> Money {
    Money::new(minor, Currency::Cny)
}

fn order() -> Id {
    let lot = "small";
    id::derive(Kind::Order, Place { province: Province(44), day: Day(261_123), partition: Partition::of_lot(lot) }, &["o"])
}

/// One thing that may happen.
#[derive(Clone, Debug)]
enum Happens {
    Priced,
    Withdrawn,
    Money { channel: u8, attempt: u8, transaction: u8, whole: bool, fact: u8 },
    Answered { attempt: u8, act: u8, outcome: u8 },
    Refund { which: u8, succeeded: bool },
    Said { what: u8, author: u8, minor: i64 },
    Waits(u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        2 => Just(Happens::Priced),
        1 => Just(Happens::Withdrawn),
        8 => (0..4_u8, 1..6_u8, 0..3_u8, any::<bool>(), 0..4_u8)
            .prop_map(|(channel, attempt, transaction, whole, fact)| Happens::Money { channel, attempt, transaction, whole, fact }),
        4 => (1..6_u8, 0..4_u8, 0..7_u8).prop_map(|(attempt, act, outcome)| Happens::Answered { attempt, act, outcome }),
        4 => (0..4_u8, any::<bool>()).prop_map(|(which, succeeded)| Happens::Refund { which, succeeded }),
        6 => (0..10_u8, 0..2_u8, prop_oneof![Just(100), Just(DUE), 1..DUE + 2]).prop_map(|(what, author, minor)| Happens::Said { what, author, minor }),
        2 => (1..40_u8).prop_map(Happens::Waits),
    ]
}

/// The rule with what it knows, and the oracle beside it.
struct Both {
    reference: Reference,
    entities: BTreeMap<Key, Entity>,
    last: Moment,
    now: Moment,
    answered: std::collections::BTreeSet<(Inbox, String)>,
    oracle: Purses,
}

impl View for Both {
    fn get(&self, key: &Key) -> Option<&Entity> {
        self.entities.get(key)
    }

    fn find(&self, _: &Handle) -> Option<&Entity> {
        None
    }
}

impl Both {
    fn new() -> Self {
        let (reference, oracle) = (Reference::default(), Purses::default());
        Self { reference, entities: BTreeMap::new(), last: START, now: START, answered: std::collections::BTreeSet::new(), oracle }
    }

    /// Both are told, and what differs.
    fn told(&mut self, inbox: Inbox, key: &str, time: Moment, body: Body) -> Vec<String> {
        // What comes again is answered before any rule sees it.
        if !(RULES.concerns)(&body) || (inbox != Inbox::Tick && !self.answered.insert((inbox, key.to_owned()))) {
            return Vec::new();
        }
        self.now = self.now.plus(1_000);
        let input = Input { inbox, sequence: 1, key: key.into(), time, received_at: self.now, body };
        let limits = Limits::default();
        let events = (RULES.decide)(self, &Facts { reference: &self.reference, limits: &limits }, &input);
        let mut first = None;
        for (index, event) in (0..).zip(&events) {
            let at = self.last.plus(1).max(self.now);
            (self.last, first) = (at, first.or(Some(at)));
            let recorded = Recorded { at, cause: Cause { inbox, sequence: 1, event: key.into(), time, index }, event: event.clone() };
            for touch in (RULES.touches)(event) {
                let entity = (RULES.evolve)(&touch.key, self.entities.get(&touch.key).cloned(), &recorded);
                self.entities.insert(touch.key, entity);
            }
        }
        let Some(at) = first else { return Vec::new() };
        let actual: Vec<&PaymentEvent> =
            events.iter().filter_map(|event| if let Event::Payment(event) = event { Some(event) } else { None }).collect();
        let told = match &input.body {
            Body::Journal(recorded) => match &recorded.event {
                Event::Order(event) => Told::Order(event),
                _ => Told::Nothing,
            },
            Body::Channel(event) => Told::Channel(event),
            Body::Desk(event) => Told::Desk(event, Province(0)),
            Body::Tick(_) => Told::Tick,
            Body::Gate(_) | Body::Statement(_) => Told::Nothing,
        };
        self.oracle.judge(told, at, &actual)
    }

    /// The refunds, each with the channel that has its money.
    fn refunds(&self) -> Vec<(Id, Arc<str>)> {
        let payments = self.entities.values().filter_map(|entity| if let Entity::Payment(payment) = entity { Some(payment) } else { None });
        let receipts = payments.flat_map(|payment| payment.receipts.values());
        receipts.flat_map(|receipt| receipt.refunds.iter().map(|refund| (refund.refund, receipt.source.channel.clone()))).collect()
    }

    fn happen(&mut self, number: usize, what: &Happens) -> Vec<String> {
        match what {
            Happens::Priced => self.order(1, priced()),
            Happens::Withdrawn => self.order(2, withdrawn()),
            Happens::Money { channel, attempt, transaction, whole, fact } => {
                let channel = ["wechat", "alipay", "etc", "points"][usize::from(*channel)];
                let known = self.entities.values().find_map(|entity| match entity {
                    Entity::Payment(payment) => payment.attempts.get(&u16::from(*attempt)).map(|known| known.amount),
                    _ => None,
                });
                let amount = if *whole { cny(DUE) } else { known.unwrap_or(cny(DUE - 7)) };
                let (attempt, transaction) = (id::attempt(order(), u16::from(*attempt)), format!("t{transaction}").into());
                let fact = match fact {
                    0 | 1 => ChannelFact::Succeeded { attempt, transaction, amount },
                    2 => ChannelFact::Accepted { attempt, transaction, amount },
                    _ => ChannelFact::Failed { attempt, transaction, amount },
                };
                self.channel(channel, fact)
            }
            Happens::Answered { attempt, act, outcome } => {
                let act = [Act::Open, Act::Settle, Act::Close, Act::Query][usize::from(*act)];
                let outcomes =
                    [Outcome::Opened, Outcome::Settled, Outcome::Closed, Outcome::Unpaid, Outcome::Refused, Outcome::Impossible, Outcome::Unknown];
                let (attempt, outcome) = (id::attempt(order(), u16::from(*attempt)), outcomes[usize::from(*outcome)]);
                let tries = u32::try_from(number).unwrap_or(1);
                self.channel("wechat", ChannelFact::CallAnswered { attempt, act, tries, outcome, code: None })
            }
            Happens::Refund { which, succeeded } => {
                let standing = [None, Some(Standing::Accepted), Some(Standing::Unknown), Some(Standing::NotFound), Some(Standing::Abnormal)];
                let Some((refund, channel)) = self.refunds().into_iter().nth(usize::from(*which)) else { return Vec::new() };
                // Now and then another channel says something of it.
                let channel = if number.is_multiple_of(7) { "wechat" } else { &*channel };
                let (tries, standing) = (u32::try_from(number % 3).unwrap_or(0), if *succeeded { None } else { standing_of(&standing, number) });
                self.channel(channel, ChannelFact::RefundAnswered { refund, order: order(), succeeded: *succeeded, tries, standing })
            }
            Happens::Said { what, author, minor } => self.said(number, *what, *author, *minor),
            Happens::Waits(minutes) => {
                self.now = self.now.plus(i64::from(*minutes) * MINUTE);
                let due: Vec<Key> =
                    self.entities.iter().filter(|(_, entity)| entity.due_at().is_some_and(|due| due <= self.now)).map(|(key, _)| *key).collect();
                due.into_iter().flat_map(|key| self.told(Inbox::Tick, "", self.now, Body::Tick(key))).collect()
            }
        }
    }

    fn order(&mut self, key: u8, event: OrderEvent) -> Vec<String> {
        let cause = Cause { inbox: Inbox::Session, sequence: 1, event: "k".into(), time: START, index: 0 };
        let recorded = Recorded { at: START.plus(i64::from(key)), cause, event: Event::Order(event) };
        self.told(Inbox::Order, &key.to_string(), START, Body::Journal(Box::new(recorded)))
    }

    fn channel(&mut self, channel: &str, fact: ChannelFact) -> Vec<String> {
        let event = ChannelEvent { channel: channel.into(), happened_at: START, fact };
        self.told(Inbox::Channel, &event.key(), START, Body::Channel(event))
    }

    fn said(&mut self, number: usize, what: u8, author: u8, minor: i64) -> Vec<String> {
        let name = "letters and digits are a token";
        let tender = |channel: &str, minor| Tender { channel: channel.into(), amount: cny(minor) };
        let says = match what {
            0 => Says::Pay { order: order(), tenders: vec![tender("wechat", minor)] },
            1 | 2 => Says::Pay { order: order(), tenders: vec![tender("wechat", DUE - minor.min(DUE - 1)), tender("points", minor.min(DUE - 1))] },
            3 => Says::Refund { order: order(), channel: "wechat".into(), transaction: "t0".into(), amount: cny(minor) },
            4 => Says::RefundShared { order: order(), amount: cny(minor) },
            5 => Says::Approved { order: order(), refund: number.saturating_sub(1).to_string().parse().expect(name) },
            6 => match self.refunds().into_iter().next() {
                Some((refund, _)) => Says::RefundSettled { order: order(), refund, back: minor % 2 == 0, shift: Some("early".parse().expect(name)) },
                None => return Vec::new(),
            },
            7 => Says::Cash { order: order(), amount: cny(minor), shift: "early".parse().expect(name) },
            8 => Says::Shift { shift: "early".parse().expect(name), step: ShiftStep::Opened(cny(minor)) },
            _ => Says::Shift {
                shift: "early".parse().expect(name),
                step: if minor % 2 == 0 { ShiftStep::Closed } else { ShiftStep::Counted(cny(minor)) },
            },
        };
        self.says(number, ["lin", "wang"][usize::from(author)], says)
    }

    fn says(&mut self, number: usize, author: &str, says: Says) -> Vec<String> {
        let name = "letters and digits are a token";
        let event = DeskEvent {
            id: number.to_string().parse().expect(name),
            lot: "small".parse().expect(name),
            said_at: START,
            author: author.parse().expect(name),
            reason: "it was asked for".into(),
            says,
        };
        match event.checked() {
            Ok(event) => self.told(Inbox::Desk, &event.key(), START, Body::Desk(Box::new(event))),
            Err(_) => Vec::new(),
        }
    }
}

fn standing_of(standing: &[Option<Standing>], number: usize) -> Option<Standing> {
    standing[number % standing.len()]
}

fn stay() -> Stay {
    let name = "a word is a token";
    Stay {
        session: id::derive(Kind::Session, id::place(order().as_str()).expect("an id"), &["s"]),
        lot: "small".parse().expect(name),
        province: Province(44),
        credential: Credential::plate("粤B12345", Colour::Blue),
        lane: "in".parse().expect(name),
        entered_at: START,
        class: schema::VehicleClass::Small,
        energy: schema::Energy::Fuel,
        sharers: Vec::new(),
    }
}

fn departure() -> Departure {
    Departure { lane: "out".parse().expect("a word"), left_at: START, event: "e".parse().expect("a letter"), local: false, deducts: None }
}

fn priced() -> OrderEvent {
    let quote = Quote { rate_table: "hourly".into(), version: 1, minutes: 90, lines: Vec::new(), total: cny(DUE) };
    OrderEvent::Priced { order: order(), stay: stay(), departure: departure(), quote, expires_at: START, inside: None }
}

fn withdrawn() -> OrderEvent {
    let question = Question { stay: stay(), departure: departure(), sequence: 2, right: None, terms: None, inside: false };
    OrderEvent::Withdrawn { order: order(), by: order(), question: Box::new(question) }
}

/// An order that is paid by one transaction, and costs so much.
fn paid(minor: i64) -> Both {
    let mut both = Both::new();
    let mut dear = priced();
    if let OrderEvent::Priced { quote, .. } = &mut dear {
        quote.total = cny(minor);
    }
    assert!(both.order(1, dear).is_empty());
    let fact = ChannelFact::Succeeded { attempt: id::attempt(order(), 1), transaction: "t0".into(), amount: cny(minor) };
    assert!(both.channel("wechat", fact).is_empty());
    both
}

#[test]
fn both_say_the_same_of_a_refund_that_is_declined() {
    let mut both = paid(50_000);
    let name = "digits are a token";
    let wants = || Says::Refund { order: order(), channel: "wechat".into(), transaction: "t0".into(), amount: cny(10_001) };
    let declines = |wish: &str| Says::Declined { order: order(), refund: wish.parse().expect(name) };
    let agrees = |wish: &str| Says::Approved { order: order(), refund: wish.parse().expect(name) };
    for (number, author, says) in [
        (1, "lin", wants()),
        (2, "lin", declines("1")),
        (3, "wang", declines("9")),
        (4, "wang", declines("1")),
        (5, "wang", agrees("1")),
        (6, "lin", wants()),
        (7, "wang", agrees("6")),
        (8, "wang", declines("6")),
    ] {
        let wrong = both.says(number, author, says);
        assert!(wrong.is_empty(), "number {number}: {wrong:#?}");
    }
    assert_eq!(both.refunds().len(), 1);
}

#[test]
fn both_say_the_same_of_the_parts_of_a_payment() {
    let mut both = paid(DUE);
    for number in 1..60 {
        let says = Says::Refund { order: order(), channel: "wechat".into(), transaction: "t0".into(), amount: cny(1) };
        let wrong = both.says(number, "lin", says);
        assert!(wrong.is_empty(), "number {number}: {wrong:#?}");
    }
    assert_eq!(both.refunds().len(), 50);
}

#[test]
fn both_say_the_same_of_a_deduction_that_is_asked_about() {
    let mut both = Both::new();
    let mut noted = priced();
    if let OrderEvent::Priced { departure, .. } = &mut noted {
        departure.deducts = Some(Box::new(Deduction { channel: "wechat".into(), parking: "P1".into() }));
    }
    assert!(both.order(1, noted).is_empty());
    let money = |fact| Happens::Money { channel: 0, attempt: 1, transaction: 0, whole: true, fact };
    // It is accepted, settles by itself, is asked about, and fails: the order is due again, and is paid otherwise.
    let impossible = Happens::Answered { attempt: 1, act: 1, outcome: 5 };
    let steps = [money(2), impossible, Happens::Waits(3), Happens::Waits(9), money(3), Happens::Said { what: 1, author: 0, minor: 100 }];
    for (number, what) in (10..).zip(&steps) {
        let wrong = both.happen(number, what);
        assert!(wrong.is_empty(), "{what:?}, number {number}: {wrong:#?}");
    }
    let Some(Entity::Payment(payment)) = both.entities.values().next() else { panic!("an order is known") };
    let tries: Vec<u32> = payment.attempts.values().map(|attempt| attempt.tries).collect();
    assert_eq!(tries, [2, 1], "asked twice, and another one opened");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn whatever_comes_rule_and_oracle_say_the_same(steps in prop::collection::vec(happens(), 1..40)) {
        let mut both = Both::new();
        for (number, what) in steps.iter().enumerate() {
            let wrong = both.happen(number, what);
            prop_assert!(wrong.is_empty(), "{what:?}, number {number}: {wrong:#?}");
        }
    }
}
