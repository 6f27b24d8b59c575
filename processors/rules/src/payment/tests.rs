use super::*;
use crate::Limits;
use crate::trial::{Trial, at, gate};
use proptest::prelude::*;
use schema::{Currency, GateKind, Inbox, RefundCall, channel::Standing, journal::RefundState};

const DUE: i64 = 1000;
const PLACE: id::Place = id::Place { province: id::Province(44), day: Day(261_122), partition: schema::Partition(7) };

pub(super) fn priced() -> Recorded {
    let mut entry = Trial::new(&crate::entry::RULES);
    entry.gate(gate(GateKind::Entry, "small", "A", 0));
    entry.gate(gate(GateKind::Exit, "small", "A", 90));
    let leaving = entry.journal.pop().expect("the car is leaving");
    let mut pricing = Trial::new(&crate::pricing::RULES);
    pricing.journal(Inbox::Session, &leaving);
    pricing.journal.pop().expect("the stay has a price")
}

pub(super) fn order() -> Id {
    match priced().event {
        Event::Order(OrderEvent::Priced { order, .. }) => order,
        other => panic!("{other:?}"),
    }
}

pub(super) fn withdrawn() -> Recorded {
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

fn debit(fact: fn(Id, std::sync::Arc<str>, Money) -> ChannelFact) -> ChannelEvent {
    let fact = fact(id::attempt(order(), 1), "2".into(), Money::new(DUE, Currency::Cny));
    ChannelEvent { channel: "etc".into(), happened_at: at(91), fact }
}

fn accepted() -> ChannelEvent {
    debit(|attempt, transaction, amount| ChannelFact::Accepted { attempt, transaction, amount })
}

fn failed() -> ChannelEvent {
    debit(|attempt, transaction, amount| ChannelFact::Failed { attempt, transaction, amount })
}

fn answered(refund: Id, succeeded: bool, tries: u32) -> ChannelEvent {
    standing(refund, succeeded, tries, None)
}

fn standing(refund: Id, succeeded: bool, tries: u32, standing: Option<Standing>) -> ChannelEvent {
    let fact = ChannelFact::RefundAnswered { refund, order: order(), succeeded, tries, standing };
    ChannelEvent { channel: "etc".into(), happened_at: at(91), fact }
}

pub(super) fn said(id: &str, author: &str, says: Says) -> DeskEvent {
    let [lot, id, author] = ["small", id, author];
    let name = "a name is a token";
    DeskEvent {
        id: id.parse().expect(name),
        lot: lot.parse().expect(name),
        said_at: at(95),
        author: author.parse().expect(name),
        reason: "the driver called".into(),
        says,
    }
}

fn refund_of(transaction: &str, minor: i64) -> Says {
    Says::Refund { order: order(), channel: "wechat".into(), transaction: transaction.into(), amount: Money::new(minor, Currency::Cny) }
}

impl Trial {
    pub(super) fn payment(&self) -> &Payment {
        let payments = self.entities.values().filter_map(|entity| if let Entity::Payment(payment) = entity { Some(&**payment) } else { None });
        payments.max_by_key(|payment| payment.order).expect("an order is known")
    }

    /// (captured, applied, refunded, open) in fen.
    pub(super) fn sums(&self) -> (i64, i64, i64, i64) {
        self.payment().receipts.values().fold((0, 0, 0, 0), |sum, receipt| {
            (sum.0 + receipt.captured(), sum.1 + receipt.applied(), sum.2 + receipt.refunded(), sum.3 + receipt.owed())
        })
    }
}

pub(super) fn kinds(events: &[Event]) -> String {
    events.iter().map(Event::kind).collect::<Vec<_>>().join("+")
}

/// `p` the price comes, `w` and `e` a success by wechat or etc, `x` one of another amount, `o` the withdrawal, `a` etc accepts, `f` it fails.
fn told(script: &str) -> String {
    heard(script).iter().map(|events| kinds(events)).collect::<Vec<_>>().join(", ")
}

/// What each letter became.
fn heard(script: &str) -> Vec<Vec<Event>> {
    let mut trial = Trial::new(&RULES);
    let events = script.chars().map(|letter| match letter {
        'p' => trial.journal(Inbox::Order, &priced()),
        'w' => trial.channel(&succeeded("wechat", "1", DUE)),
        'e' => trial.channel(&succeeded("etc", "2", DUE)),
        'a' => trial.channel(&accepted()),
        'f' => trial.channel(&failed()),
        'o' => trial.journal(Inbox::Order, &withdrawn()),
        'x' => trial.channel(&succeeded("alipay", "3", DUE + 1)),
        other => panic!("no letter {other:?}"),
    });
    events.collect()
}

#[test]
fn money_of_an_older_system_pays_its_order_and_is_not_given_back_here() {
    let mut trial = Trial::new(&RULES);
    let order = id::derive(id::Kind::Order, PLACE, &["imported", "m", "A-1"]);
    let fact = |amount| ChannelFact::Imported { order, number: "A-1".into(), transaction: "42".into(), amount: Money::new(amount, Currency::Cny) };
    let mut comes = |amount| {
        let event = ChannelEvent { channel: "wechat".into(), happened_at: at(-1), fact: fact(amount) };
        let (key, time) = (event.key(), event.happened_at);
        trial.input(Inbox::Channel, &key, time, Body::Channel(event)).iter().map(Event::kind).collect::<Vec<_>>()
    };
    assert_eq!((comes(500), comes(500), comes(600)), (vec!["imported"], vec!["noted"], vec!["noted"]));
    let Some(Entity::Payment(payment)) = Key::of(Table::Payments, order).and_then(|key| trial.entities.get(&key)) else { panic!("it is there") };
    assert_eq!((payment.is_paid(), payment.is_open(), payment.imported.as_deref()), (true, false, Some("A-1")));
    let amount = Money::new(500, Currency::Cny);
    let says = Says::Refund { order, channel: "wechat".into(), transaction: "42".into(), amount };
    let lot = schema::exception::desk_of(PLACE.partition);
    let event =
        DeskEvent { id: "d1".parse().expect("a name"), lot, said_at: at(0), author: "lin".parse().expect("a name"), reason: "x".into(), says };
    let events = trial.desk(event);
    assert!(matches!(events[..], [Event::Payment(PaymentEvent::Noted { note: Note::MoreThanPaid, .. })]), "{events:?}");
}

#[test]
fn money_of_an_older_system_pays_no_order_of_ours() {
    let imported = |transaction: &str, minor| {
        let (number, amount) = ("A-1".into(), Money::new(minor, Currency::Cny));
        let fact = ChannelFact::Imported { order: order(), number, transaction: transaction.into(), amount };
        ChannelEvent { channel: "wechat".into(), happened_at: at(91), fact }
    };
    let [price, paid, import] = ["p", "w", "i"];
    for (before, transaction, minor, expected) in [
        (&[price, paid][..], "2", DUE, Note::OfAnotherKind),
        (&[price, paid], "1", DUE, Note::AlreadyKnown),
        (&[price, paid], "1", DUE + 1, Note::AmountDiffers),
        (&[price], "1", DUE, Note::OfAnotherKind),
        (&[paid], "2", DUE, Note::OfAnotherKind),
        (&[import], "1", DUE, Note::AlreadyKnown),
    ] {
        let mut trial = Trial::new(&RULES);
        for step in before {
            match *step {
                "p" => trial.journal(Inbox::Order, &priced()),
                "w" => trial.channel(&succeeded("wechat", "1", DUE)),
                _ => trial.channel(&imported("1", DUE)),
            };
        }
        let sums = trial.sums();
        let events = trial.channel(&imported(transaction, minor));
        assert!(
            matches!(events[..], [Event::Payment(PaymentEvent::Noted { note, .. })] if note == expected),
            "{before:?} {transaction} {minor}: {events:?}"
        );
        assert_eq!(trial.sums(), sums, "{before:?}");
    }
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
fn money_that_failed_before_its_order_is_remembered() {
    let mut trial = Trial::new(&RULES);
    trial.channel(&accepted());
    trial.channel(&failed());
    assert!(trial.payment().is_open(), "whatever came before its order stays in memory: an order does not ask for its row");
    trial.journal(Inbox::Order, &priced());
    assert_eq!(trial.payment().receipts.len(), 1);
}

#[test]
fn what_is_settled_beats_what_may_fail() {
    for (script, expected) in [
        ("pa", "expected, applied"),
        ("pae", "expected, applied, settled"),
        ("pea", "expected, applied, noted"),
        ("paf", "expected, applied, reversed"),
        ("pafa", "expected, applied, reversed, noted"),
        ("pfa", "expected, reversed, noted"),
        ("pafw", "expected, applied, reversed, applied"),
        ("paw", "expected, applied, passed_over+applied"),
        ("pawe", "expected, applied, passed_over+applied, refund_requested"),
        ("pawf", "expected, applied, passed_over+applied, reversed"),
        ("pwa", "expected, applied, passed_over"),
        ("pwae", "expected, applied, passed_over, refund_requested"),
        ("ap", "held, expected+applied"),
        ("aep", "held, held, expected+applied"),
        ("awp", "held, held, expected+applied+passed_over"),
        ("afp", "held, reversed, expected"),
        ("paff", "expected, applied, reversed, noted"),
        ("pef", "expected, applied, noted"),
        ("pafe", "expected, applied, reversed, applied"),
    ] {
        assert_eq!(told(script), expected, "{script}");
    }
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Order, &priced());
    trial.channel(&accepted());
    assert_eq!(trial.sums(), (0, 0, 0, 0), "what may fail is not captured");
    assert!(trial.payment().is_open(), "and it is waited for");
    trial.channel(&succeeded("etc", "2", DUE));
    assert_eq!(trial.sums(), (DUE, DUE, 0, 0));
}

#[test]
fn the_choice_is_recorded_with_its_reason() {
    for (script, expected) in [
        ("pw", "Only"),
        ("pwe", "Only"),
        ("pxw", "Only"),
        ("xwp", "Only"),
        ("wp", "Only"),
        ("ewp", "First"),
        ("wxep", "First"),
        ("ap", "Only"),
        ("awp", "Settled"),
        ("wap", "Settled"),
        ("aewp", "First"),
        ("paw", "Only, Settled"),
        ("pae", "Only"),
        ("pafw", "Only, Only"),
        ("afwp", "Only"),
        ("pow", ""),
    ] {
        let events = heard(script).into_iter().flatten();
        let reasons = events.filter_map(|event| if let Event::Payment(PaymentEvent::Applied { reason, .. }) = event { reason } else { None });
        assert_eq!(reasons.map(|reason| format!("{reason:?}")).collect::<Vec<_>>().join(", "), expected, "{script}");
    }
}

#[test]
fn what_settles_at_another_amount_is_judged_as_what_it_is() {
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Order, &priced());
    trial.channel(&accepted());
    assert_eq!(kinds(&trial.channel(&succeeded("etc", "2", DUE + 1))), "reversed+refund_requested");
    assert_eq!(trial.sums(), (DUE + 1, 0, 0, DUE + 1));
    assert_eq!(kinds(&trial.channel(&succeeded("wechat", "1", DUE))), "applied");
}

/// An order that is paid twice, and the refund of the second payment.
fn paid_twice() -> (Trial, Id) {
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Order, &priced());
    trial.channel(&succeeded("wechat", "1", DUE));
    match &trial.channel(&succeeded("etc", "2", DUE))[..] {
        [Event::Payment(PaymentEvent::RefundRequested { refund, .. })] => (trial, *refund),
        other => panic!("{other:?}"),
    }
}

impl Trial {
    fn tick(&mut self, seconds: i64) -> Vec<Event> {
        self.now = self.now.plus(seconds * schema::time::SECOND);
        let key = *self.entities.keys().next().expect("the payment");
        self.input(Inbox::Tick, "", self.now, Body::Tick(key))
    }

    fn calls(&self) -> Vec<RefundCall> {
        self.effects().into_iter().filter_map(|effect| if let Effect::Refund(call) = effect { Some(call) } else { None }).collect()
    }
}

#[test]
fn a_refund_without_an_answer_is_asked_about() {
    let (mut trial, refund) = paid_twice();
    assert_eq!(kinds(&trial.tick(0)), "", "not due yet");
    for tries in 2..5 {
        let events = trial.tick(150);
        let [Event::Payment(PaymentEvent::RefundRequested { asks: true, tries: told, .. })] = &events[..] else { panic!("{events:?}") };
        assert_eq!(*told, tries);
    }
    assert_eq!(kinds(&trial.channel(&standing(refund, false, 4, Some(Standing::NotFound)))), "refund_stood");
    let events = trial.tick(150);
    assert!(matches!(&events[..], [Event::Payment(PaymentEvent::RefundRequested { asks: false, tries: 5, .. })]), "{events:?}");
    assert!(trial.calls().iter().all(|call| call.refund == refund), "one refund, however often it is asked for");
    assert_eq!(trial.calls().iter().filter(|call| !call.asks).count(), 2);
}

#[test]
fn each_standing_of_a_refund_has_its_next_step() {
    for (succeeded, word, expected, next) in [
        (true, None, "refunded", None),
        (false, None, "refund_stood", Some(false)),
        (false, Some(Standing::NotFound), "refund_stood", Some(false)),
        (false, Some(Standing::Accepted), "refund_stood", Some(true)),
        (false, Some(Standing::Unknown), "refund_stood", Some(true)),
        (false, Some(Standing::Abnormal), "refund_stood", None),
    ] {
        let (mut trial, refund) = paid_twice();
        assert_eq!(kinds(&trial.channel(&standing(refund, succeeded, 1, word))), expected, "{word:?}");
        let asks = trial.tick(200).into_iter().find_map(|event| match event {
            Event::Payment(PaymentEvent::RefundRequested { asks, .. }) => Some(asks),
            _ => None,
        });
        assert_eq!(asks, next, "{succeeded} {word:?}");
    }
}

#[test]
fn another_channel_says_nothing_of_a_refund() {
    for (succeeded, word) in [(true, None), (false, None), (false, Some(Standing::Abnormal))] {
        let (mut trial, refund) = paid_twice();
        for (channel, expected) in [("wechat", "noted"), ("points", "noted"), ("etc", if succeeded { "refunded" } else { "refund_stood" })] {
            let before = trial.payment().clone();
            let event = ChannelEvent { channel: channel.into(), ..standing(refund, succeeded, 1, word) };
            assert_eq!(kinds(&trial.channel(&event)), expected, "{channel} {succeeded} {word:?}");
            assert_eq!(*trial.payment() == before, expected == "noted", "{channel} {succeeded} {word:?}");
        }
    }
}

#[test]
fn a_refund_is_of_its_channels_time() {
    let (mut trial, refund) = paid_twice();
    // We hear of it the day after.
    trial.now = at(24 * 60);
    assert_eq!(kinds(&trial.channel(&answered(refund, true, 1))), "refunded");
    let done: Vec<_> = trial.payment().receipts.values().flat_map(|receipt| &receipt.refunds).map(|known| known.done_at).collect();
    assert_eq!(done, [Some(at(91))]);
}

#[test]
fn an_old_answer_says_less_than_what_came_since() {
    let (mut trial, refund) = paid_twice();
    trial.channel(&standing(refund, false, 1, None));
    trial.tick(200);
    assert_eq!(kinds(&trial.channel(&standing(refund, false, 1, Some(Standing::Unknown)))), "noted");
    assert_eq!(kinds(&trial.channel(&answered(refund, true, 1))), "refunded", "but a yes is a yes");
}

#[test]
fn a_refund_that_is_refused_too_often_is_a_persons_work() {
    let (mut trial, refund) = paid_twice();
    let max = Limits::default().refund_tries_max;
    for tries in 1..=max {
        let events = trial.channel(&standing(refund, false, tries, None));
        let [Event::Payment(PaymentEvent::RefundStood { state, .. })] = &events[..] else { panic!("{events:?}") };
        assert_eq!(*state == RefundState::Failed, tries == max, "{tries}");
        trial.tick(30 * i64::from(tries) + 1);
    }
    assert_eq!(kinds(&trial.tick(100_000)), "", "nobody asks again by himself");
    assert!(trial.payment().is_open());
    let says = |back| Says::RefundSettled { order: order(), refund, back, shift: None };
    assert_eq!(kinds(&trial.desk(said("1", "lin", says(false)))), "refund_requested");
    assert_eq!(kinds(&trial.desk(said("2", "lin", says(true)))), "noted", "it is the channel's again");
    trial.channel(&standing(refund, false, max + 1, Some(Standing::Abnormal)));
    assert_eq!(kinds(&trial.desk(said("3", "lin", says(true)))), "refunded");
    assert_eq!(trial.sums(), (2 * DUE, DUE, DUE, 0));
}

#[test]
fn no_more_goes_back_than_was_captured() {
    let mut trial = Trial::new(&RULES);
    trial.journal(Inbox::Order, &priced());
    trial.channel(&succeeded("wechat", "1", DUE));
    for (number, minor, expected) in
        [("1", 400, "refund_requested"), ("2", 400, "refund_requested"), ("3", 201, "noted"), ("4", 200, "refund_requested")]
    {
        assert_eq!(kinds(&trial.desk(said(number, "lin", refund_of("1", minor)))), expected, "{number}");
    }
    assert_eq!(trial.sums(), (DUE, 0, 0, DUE));
    let calls = trial.calls();
    let ids: std::collections::BTreeSet<_> = calls.iter().map(|call| call.refund).collect();
    assert_eq!((calls.len(), ids.len()), (3, 3), "two equal parts are two refunds");
    assert!(calls.iter().all(|call| call.captured == Some(Money::new(DUE, Currency::Cny))));
    assert_eq!(kinds(&trial.desk(said("5", "lin", refund_of("9", 1)))), "noted", "no such money");
    assert_eq!(kinds(&trial.desk(said("1", "lin", Says::Approved { order: order(), refund: "1".parse().expect("a token") }))), "noted");
}

#[test]
fn past_a_limit_another_person_must_agree() {
    let mut trial = Trial::new(&RULES);
    let mut dear = priced();
    if let Event::Order(OrderEvent::Priced { quote, .. }) = &mut dear.event {
        quote.total.minor = 50_000;
    }
    trial.journal(Inbox::Order, &dear);
    trial.channel(&succeeded("wechat", "1", 50_000));
    assert_eq!(kinds(&trial.desk(said("1", "lin", refund_of("1", 10_001)))), "refund_wanted");
    let agrees = || Says::Approved { order: order(), refund: "1".parse().expect("a token") };
    let events = trial.desk(said("2", "lin", agrees()));
    assert!(matches!(&events[..], [Event::Payment(PaymentEvent::Noted { note: Note::SamePerson, .. })]), "{events:?}");
    assert!(trial.calls().is_empty() && trial.payment().is_open());
    let events = trial.desk(said("3", "wang", agrees()));
    let [Event::Payment(PaymentEvent::RefundRequested { by: Some(by), approved: Some(approved), .. })] = &events[..] else { panic!("{events:?}") };
    assert_eq!((by.author.as_str(), approved.author.as_str()), ("lin", "wang"));
    assert_eq!(kinds(&trial.desk(said("4", "wang", agrees()))), "noted", "once is enough");
    assert_eq!(trial.sums(), (50_000, 39_999, 0, 10_001));
}

#[test]
fn what_another_person_declines_is_wanted_no_more() {
    let mut trial = Trial::new(&RULES);
    let mut dear = priced();
    if let Event::Order(OrderEvent::Priced { quote, .. }) = &mut dear.event {
        quote.total.minor = 50_000;
    }
    trial.journal(Inbox::Order, &dear);
    trial.channel(&succeeded("wechat", "1", 50_000));
    assert_eq!(kinds(&trial.desk(said("1", "lin", refund_of("1", 10_001)))), "refund_wanted");
    assert!(trial.payment().is_open(), "it waits for another person");
    let declines = || Says::Declined { order: order(), refund: "1".parse().expect("a token") };
    for (number, author, says, expected) in [
        ("2", "lin", declines(), Err(Note::SamePerson)),
        ("3", "wang", declines(), Ok("refund_declined")),
        ("4", "wang", declines(), Err(Note::Unknown)),
        ("5", "wang", Says::Approved { order: order(), refund: "1".parse().expect("a token") }, Err(Note::Unknown)),
    ] {
        let events = trial.desk(said(number, author, says));
        match (&events[..], expected) {
            ([Event::Payment(PaymentEvent::Noted { note, .. })], Err(expected)) => assert_eq!(*note, expected, "{number}"),
            (events, Ok(expected)) => assert_eq!(kinds(events), expected, "{number}"),
            (events, Err(expected)) => panic!("{number}: {events:?} for {expected:?}"),
        }
    }
    assert!(trial.payment().wanted.is_empty() && !trial.payment().is_open() && trial.calls().is_empty());
    assert_eq!(trial.sums(), (50_000, 50_000, 0, 0));
    assert_eq!(kinds(&trial.desk(said("6", "lin", refund_of("1", 10_001)))), "refund_wanted", "and can be wanted anew");
}

#[test]
fn a_channel_takes_so_many_parts_of_a_payment() {
    for (channel, at_most) in [("wechat", 50), ("alipay", 60)] {
        let mut trial = Trial::new(&RULES);
        trial.journal(Inbox::Order, &priced());
        trial.channel(&succeeded(channel, "1", DUE));
        for number in 1..=60_u32 {
            let says = Says::Refund { order: order(), channel: channel.into(), transaction: "1".into(), amount: Money::new(1, Currency::Cny) };
            let events = trial.desk(said(&number.to_string(), "lin", says));
            let refused = matches!(&events[..], [Event::Payment(PaymentEvent::Noted { note: Note::TooMany, .. })]);
            assert_eq!((refused, kinds(&events) == "refund_requested"), (number > at_most, number <= at_most), "{channel} {number}");
        }
        assert_eq!(trial.calls().len(), usize::try_from(at_most).expect("few"));
    }
}

#[test]
fn a_limit_is_not_passed_in_parts() {
    let mut trial = Trial::new(&RULES);
    let mut dear = priced();
    if let Event::Order(OrderEvent::Priced { quote, .. }) = &mut dear.event {
        quote.total.minor = 50_000;
    }
    trial.journal(Inbox::Order, &dear);
    trial.channel(&succeeded("wechat", "1", 50_000));
    // What goes back by itself is nobody's wish.
    assert_eq!(kinds(&trial.channel(&succeeded("etc", "2", 50_000))), "refund_requested");
    let agrees = |said: &str| Says::Approved { order: order(), refund: said.parse().expect("a token") };
    for (number, author, says, expected) in [
        ("1", "lin", refund_of("1", 10_000), "refund_requested"),
        ("2", "lin", refund_of("1", 10_000), "refund_wanted"),
        ("3", "lin", refund_of("1", 1), "refund_wanted"),
        ("4", "wang", refund_of("1", 1), "refund_wanted"),
        ("5", "wang", agrees("2"), "refund_requested"),
        // What two persons wanted counts for nobody alone, and what one did still counts.
        ("6", "lin", refund_of("1", 1), "refund_wanted"),
    ] {
        assert_eq!(kinds(&trial.desk(said(number, author, says))), expected, "{number}");
    }
    let alone = trial.payment().receipts["wechat/1"].refunds[0].refund;
    let failed = ChannelEvent { channel: "wechat".into(), ..standing(alone, false, 0, None) };
    // Asked for again it is still what one person wanted; once it has failed for good nobody has that money.
    for tries in 1..=Limits::default().refund_tries_max {
        assert_eq!(kinds(&trial.desk(said(&format!("7-{tries}"), "lin", refund_of("1", 1)))), "refund_wanted", "{tries}");
        trial.channel(&failed);
        trial.tick(30 * i64::from(tries) + 1);
    }
    assert_eq!(kinds(&trial.desk(said("8", "lin", refund_of("1", 1)))), "refund_requested");
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
        let mut is_priced = false;
        for (what, number, more) in steps {
            match what {
                // No input is decided twice.
                0 if is_priced => {}
                0 => {
                    is_priced = true;
                    trial.journal(Inbox::Order, &priced());
                }
                1 | 2 => {
                    let amount = DUE + more;
                    trial.channel(&succeeded("wechat", &number.to_string(), amount));
                    captured.entry(number).or_insert(amount);
                }
                _ => {
                    let receipts = trial.entities.values().flat_map(|e| if let Entity::Payment(p) = e { p.receipts.values().collect() } else { Vec::new() });
                    let refunds: Vec<_> = receipts.flat_map(|receipt| receipt.refunds.iter().map(|refund| refund.refund)).collect();
                    for refund in refunds { trial.channel(&ChannelEvent { channel: "wechat".into(), ..answered(refund, more == 0, 1) }); }
                }
            }
            if !trial.entities.is_empty() {
                let (sum, applied, refunded, open) = trial.sums();
                prop_assert_eq!(sum, applied + refunded + open);
                prop_assert!(applied >= 0 && refunded >= 0 && open >= 0);
                prop_assert_eq!(sum, captured.values().sum::<i64>());
                prop_assert!(trial.payment().receipts.values().filter(|r| r.fate == Fate::Applied).count() <= 1);
            }
        }
    }
}
