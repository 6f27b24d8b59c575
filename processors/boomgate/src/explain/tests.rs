use super::*;
use crate::run::With;
use crate::trial::{self, START, declared, gate, message};
use schema::{ChannelEvent, ChannelFact, GateKind, time::MINUTE, wire::Format};
use std::{sync::Arc, time::Duration};
use store::Sqlite;
use streams::{Memory, Message};
use tokio::sync::watch;

/// A driver who comes in, pays twice, and another one; all processors run.
async fn day() -> (Arc<dyn Bus>, Reference) {
    day_in(Arc::new(Sqlite::in_memory())).await
}

/// The same with its rows in a store.
async fn day_in(store: Arc<Sqlite>) -> (Arc<dyn Bus>, Reference) {
    let bus: Arc<dyn Bus> = Arc::new(Memory::new(START));
    let reference = Arc::new(Reference::resolve(declared()).expect("valid reference data"));
    let with = With { json: vec![Journal::Session], reference: reference.clone().into(), ..trial::with(bus.clone(), store) };
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(crate::run::run(rules::ALL.to_vec(), with, Arc::default(), stopped));
    for event in [gate(GateKind::Entry, "AB00001", -100), gate(GateKind::Entry, "AB00002", -99), gate(GateKind::Exit, "AB00001", -5)] {
        bus.publish(message(&event)).await.expect("in memory");
        crate::clock::wait(Duration::from_secs(2)).await;
    }
    let order = priced(&*bus).await;
    for (channel, number) in [("etc", 1), ("wechat", 2)] {
        let amount = schema::Money::new(1_000, schema::Currency::Cny);
        let fact = ChannelFact::Succeeded { attempt: id::attempt(order, number), transaction: channel.into(), amount };
        let event = ChannelEvent { channel: channel.into(), happened_at: START.plus(-4 * MINUTE), fact };
        let subject = event.subject().expect("an order of ours");
        let payload = wire::encode(Format::Json, &event).into();
        bus.publish(Message { subject, payload, headers: BTreeMap::new() }).await.expect("in memory");
        crate::clock::wait(Duration::from_secs(2)).await;
    }
    stop.send_replace(true);
    running.await.expect("they stop");
    (bus, Arc::unwrap_or_clone(reference))
}

async fn priced(bus: &dyn Bus) -> Id {
    let mut order = None;
    read(bus, Journal::Order, Partition::of_lot("small"), |_, recorded| {
        if let Event::Order(OrderEvent::Priced { order: priced, .. }) = recorded.event {
            order = Some(priced);
        }
    })
    .await
    .expect("it is read");
    order.expect("one is priced")
}

#[tokio::test(start_paused = true)]
async fn a_story_is_whole_and_nobody_elses() {
    let (bus, reference) = day().await;
    let order = priced(&*bus).await;
    let kinds = |told: &[Told]| told.iter().map(|told| told.recorded.event.kind()).collect::<Vec<_>>().join(" ");
    let whole = story(&*bus, &reference, &What::Id(order)).await.expect("it is told");
    assert_eq!(
        kinds(&whole),
        "opened leaving priced expected applied paid posted closed refund_requested posted".to_owned(),
        "from the first to the last, whatever it is asked by"
    );
    let Event::Session(SessionEvent::Opened { stay, .. }) = &whole[0].recorded.event else { panic!("it begins with the entry") };
    for what in ["AB00001", "a b·00001", stay.session.as_str(), id::attempt(order, 1).as_str()] {
        assert_eq!(story(&*bus, &reference, &What::of(what)).await.expect("it is told"), whole, "{what}");
    }
    assert_eq!(kinds(&story(&*bus, &reference, &What::of("AB00002")).await.expect("it is told")), "opened");
    let nobody = story(&*bus, &reference, &What::of("AB00003")).await.expect("it is looked for");
    assert!(print(&nobody, "AB00003", false).is_err_and(|error| error.to_string().contains("AB00003")));
}

#[tokio::test(start_paused = true)]
async fn a_driver_can_be_shown_why() {
    let (bus, reference) = day().await;
    let told = story(&*bus, &reference, &What::of("AB00001")).await.expect("it is told");
    let text = told.iter().flat_map(|told| told.words.clone()).collect::<Vec<_>>().join("\n");
    for said in [
        "2026-11-23 08:20:00.000  blue plate AB00001 came into small by lane in",
        "checks that found nothing: double_read, already_inside, lot_open",
        "what was known of the car elsewhere: no rights, no bans",
        "lane in was told: open (welcome), until 2026-11-23 08:20:30.000",
        "95 minutes: 10.00 Cny",
        "by rate table hourly version 1",
        "lane out was told: stay closed and say what is missing (pay 10.00 Cny)",
        "2026-11-23 09:56:00.000  10.00 Cny came by etc etc, and pay order",
        "as nothing else had come that could",
        "10.00 Cny of wechat wechat are to go back, because the order was paid already",
        "lane out was told: open (goodbye)",
    ] {
        assert!(text.contains(said), "{said:?} is not told in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_began_before_the_log_is_told_by_its_rows() {
    let store = Arc::new(Sqlite::in_memory());
    let (bus, reference) = day_in(store.clone()).await;
    let what = What::of("AB00001");
    let whole = story(&*bus, &reference, &what).await.expect("it is told");
    assert_eq!(lacking(&whole), BTreeSet::new());
    let leaves = whole.iter().find(|told| told.recorded.event.kind() == "leaving").expect("it leaves");
    bus.trim(Journal::Session, Partition::of_lot("small"), leaves.sequence).await.expect("in memory");
    let rest = story(&*bus, &reference, &what).await.expect("it is told");
    assert_eq!(rest, whole[1..], "all but the entry, in its order");
    let before = before(&*store, &reference, &lacking(&rest)).await.expect("the store is there");
    let said: Vec<&str> = before.iter().map(|(words, _)| words.as_str()).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("blue plate AB00001 came into small by lane in at 2026-11-23 08:20:00.000: its stay is over"), "{said:?}");
    for json in [false, true] {
        print_whole(&before, &rest, "AB00001", Duration::from_secs(24 * 3_600), json).expect("there is something to tell");
    }
}

#[test]
fn a_refusal_names_what_it_rests_on() {
    use schema::journal::{Ground, Made, Refusal};
    let minute = |minutes: i64| START.plus(minutes * MINUTE);
    let clock = |moment: Moment| format!("minute {}", moment.since(START) / MINUTE);
    let (order, amount) = ("O1".parse().expect("an id"), schema::Money::new(1_200, schema::Currency::Cny));
    let part = |name: &str| name.parse().expect("a name");
    for (ground, said) in [
        (
            Ground::Ban { part: part("B123"), from: minute(7), until: None, reason: "fraud".into() },
            "it rests on this: banned by B123 since minute 7 (fraud)",
        ),
        (
            Ground::Ban { part: part("B123"), from: minute(7), until: Some(minute(90)), reason: "fraud".into() },
            "it rests on this: banned by B123 since minute 7 until minute 90 (fraud)",
        ),
        (Ground::Arrear { order, amount, at: minute(8) }, "it rests on this: owes 12.00 Cny for order O1, as is known since minute 8"),
        (Ground::Right { part: part("pass-1") }, "it rests on this: uses right pass-1"),
        (Ground::Overrun { part: part("pass-1") }, "it rests on this: as many cars as may be were inside under right pass-1"),
        (Ground::Reservation { part: part("res-1") }, "it rests on this: uses reservation res-1"),
    ] {
        let schema::GateEvent { id: event, lot, lane, credential, seen_at, .. } = gate(GateKind::Entry, "AB00001", 0);
        let made_of = Some(Box::new(Made { checks: "lot_open".into(), facts: Vec::new(), owes: None, grounds: vec![ground] }));
        let (province, reason, expires_at, ask) = (id::Province(44), Refusal::Banned, seen_at, false);
        let refused = SessionEvent::Refused { lot, lane, province, credential, reason, event, seen_at, expires_at, ask, made_of };
        let told = words::of(&Event::Session(refused), &clock);
        assert!(told.iter().any(|line| line == said), "{said:?} is not told in {told:?}");
    }
}

#[test]
fn a_lane_that_nobody_declared_is_told_as_a_question() {
    use schema::journal::{Made, Refusal};
    let clock = |moment: Moment| format!("minute {}", moment.since(START) / MINUTE);
    let schema::GateEvent { id: event, lot, lane, credential, seen_at, .. } = gate(GateKind::Entry, "AB00001", 0);
    let checks = "lot_open lane_declared=ask:unknown_lane".into();
    let made_of = Some(Box::new(Made { checks, facts: Vec::new(), owes: None, grounds: Vec::new() }));
    let (province, reason, expires_at, ask) = (id::Province(44), Refusal::UnknownLane, seen_at, true);
    let refused = SessionEvent::Refused { lot, lane, province, credential, reason, event, seen_at, expires_at, ask, made_of };
    let told = words::of(&Event::Session(refused), &clock).join("\n");
    for said in ["blue plate AB00001 stood at lane in of small, and a person was asked: unknown_lane", "lane_declared → ask:unknown_lane"] {
        assert!(told.contains(said), "{said:?} is not told in\n{told}");
    }
}

#[test]
fn a_coupon_tells_how_it_stands_to_its_limit() {
    use schema::{
        desk::Said,
        journal::{CouponLimit, Stay},
        rate::{Validation, ValidationKind},
    };
    let clock = |moment: Moment| format!("minute {}", moment.since(START) / MINUTE);
    let schema::GateEvent { lot, lane, credential, seen_at: entered_at, .. } = gate(GateKind::Entry, "AB00001", 0);
    let (session, province) = ("S1".parse().expect("an id"), id::Province(44));
    let (class, energy) = (schema::VehicleClass::default(), schema::Energy::default());
    let stay = Stay { session, lot, province, credential, lane, entered_at, class, energy, sharers: Vec::new() };
    let limit = |here, elsewhere| {
        let operator = "city".parse().expect("a name");
        Some(Box::new(CouponLimit { most: 2, day: schema::Day(261_123), operator, here, elsewhere }))
    };
    for (over, limit, said) in [
        (false, None, None),
        (false, limit(1, Some(1)), Some("a vehicle may use 2 coupons on day 261123: 1 of this stay and 1 of others count; this one is within that")),
        (
            true,
            limit(0, Some(2)),
            Some("a vehicle may use 2 coupons on day 261123: 0 of this stay and 2 of others count; this one is over that, and takes nothing off"),
        ),
        (
            false,
            limit(1, None),
            Some(
                "a vehicle may use 2 coupons on day 261123: 1 of this stay count, and what others have used was not known in time; this one is within that",
            ),
        ),
    ] {
        let validation = Validation { id: "v-1".into(), bearer: "cinema".into(), kind: ValidationKind::Free, over };
        let by = Said { author: "lin".parse().expect("a name"), reason: "shown".into(), at: START };
        let told = words::of(&Event::Session(SessionEvent::Validated { stay: stay.clone(), validation, by, limit }), &clock);
        assert_eq!(told.len(), 2 + usize::from(said.is_some()), "{told:?}");
        assert!(said.is_none_or(|said| told.iter().any(|line| line == said)), "{said:?} is not told in {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_trimmed_is_told_by_its_rows() {
    let store = Arc::new(Sqlite::in_memory());
    let (bus, reference) = day_in(store.clone()).await;
    let order = priced(&*bus).await;
    // A log that knows nothing any more, as after its retention.
    let empty = Memory::new(START);
    let told = async |what: &What| {
        assert_eq!(story(&empty, &reference, what).await.expect("it is looked for"), []);
        kept(&*store, &reference, what).await.expect("the store is there").into_iter().map(|(words, _)| words).collect::<Vec<_>>().join("\n")
    };
    for id in [order, id::attempt(order, 1)] {
        let text = told(&What::Id(id)).await;
        for said in [
            "asked for at 2026-11-23 09:55:00.000: 95 minutes: 10.00 Cny; 10.00 Cny were paid by etc etc",
            "10.00 Cny by etc etc pay it",
            "10.00 Cny by wechat wechat pay nothing and go back",
        ] {
            assert!(text.contains(said), "{said:?} is not told in\n{text}");
        }
    }
    let whole = story(&*bus, &reference, &What::Id(order)).await.expect("it is told");
    let Event::Session(SessionEvent::Opened { stay, .. }) = &whole[0].recorded.event else { panic!("it begins with the entry") };
    let text = told(&What::Id(stay.session)).await;
    assert!(text.contains("blue plate AB00001 came into small by lane in at 2026-11-23 08:20:00.000: its stay is over"), "{text}");
    assert_eq!(told(&What::of("AB00001")).await, "", "no row goes by a plate");
    let day = Duration::from_secs(24 * 3_600);
    assert!(print_kept(&[], "AB00001", day, false).is_err_and(|error| error.to_string().contains("the log keeps 24 hours")));
}
