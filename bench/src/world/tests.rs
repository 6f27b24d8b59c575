//! The world against the in-memory bus: its own promises, without a system that answers.

use super::*;
use crate::city::{City, Mix, Shape};
use schema::{EventId, Id, LaneCommand, Money, Verdict, time::SECOND, wire::Format};
use streams::{DeadLetter, Declared, Kind, Memory};

const NOW: Moment = Moment(1_795_399_200_000_000);

fn command(id: &str, event: &str, verdict: Verdict, expires_at: Moment) -> Vec<u8> {
    let token = |text: &str| -> Id { text.parse().expect("a token") };
    let command = LaneCommand {
        id: token(id),
        lot: token("north"),
        lane: token("in"),
        answers: event.parse().ok(),
        verdict,
        reason: "test".into(),
        due: None,
        order: None,
        expires_at,
    };
    wire::encode(Format::MessagePack, &command)
}

fn lanes() -> (Lanes, Arc<Stats>) {
    let stats = Arc::new(Stats::default());
    (Lanes::new(stats.clone(), Instant::now(), NOW, true), stats)
}

#[tokio::test(start_paused = true)]
async fn an_expired_command_opens_nothing() {
    let (lanes, stats) = lanes();
    lanes.take(&command("C1", "1-e-plain-once", Verdict::Open, NOW.plus(SECOND)));
    tokio::time::advance(Duration::from_secs(2)).await;
    lanes.take(&command("C2", "2-e-plain-once", Verdict::Open, NOW.plus(SECOND)));
    lanes.take(&command("C1", "1-e-plain-once", Verdict::Open, NOW.plus(9 * SECOND)));
    assert_eq!((stats.opened.get(), stats.expired.get(), stats.repeated.get()), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_late_sender_is_not_excused() {
    let (lanes, stats) = lanes();
    let event: EventId = "1-e-plain-once".parse().expect("a token");
    let intended = Instant::now();
    tokio::time::advance(Duration::from_millis(300)).await;
    lanes.expect("north".parse().expect("a token"), event, intended, true);
    tokio::time::advance(Duration::from_millis(20)).await;
    lanes.take(&command("C1", event.as_str(), Verdict::Refuse, NOW.plus(SECOND)));
    assert_eq!(stats.trace(), [Sample { intended_us: 0, latency_us: 320_000, is_entry: true }]);
    assert!(lanes.was_refused(&event));
    assert_eq!(lanes.waiting(), 0);
}

#[test]
fn a_refund_call_that_comes_again_is_answered_alike() {
    let token = |text: &str| -> Id { text.parse().expect("a token") };
    let mut refused = 0;
    for number in 10..60 {
        let call = |tries| RefundCall {
            refund: token(&format!("R4426112307SE85PbTwoLFzFY{number}")),
            order: token("O4426112307SE85PbTwoLFzFY9q"),
            channel: "etc".into(),
            transaction: "etc-1".into(),
            amount: Money::new(500, schema::Currency::Cny),
            tries,
            captured: None,
            asks: false,
        };
        let [first, again] = [NOW, NOW.plus(SECOND)].map(|now| channels::refund(&call(1), now));
        assert_eq!((first.0.headers, first.1), (again.0.headers, again.1));
        assert!(channels::refund(&call(2), NOW).1, "a refund that was refused once is made");
        refused += u32::from(!first.1);
    }
    assert!((1..25).contains(&refused), "{refused} of 50");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_acknowledged_is_sent_again() {
    let memory = Memory::declared(NOW, &Declared { storage_bytes: 20_000, ..Declared::default() });
    let bus: Arc<dyn Bus> = Arc::new(memory);
    let city = City::new(Shape { mix: Mix::smooth(), ..Shape::tiny(1, NOW) });
    let mut plan = city.plan();
    let full = loop {
        let message = plan.next().expect("a plan is longer than the stream").message();
        match bus.publish(message.clone()).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind, Kind::Full);
                break message;
            }
        }
    };
    let stats = Arc::new(Stats::default());
    let sending = tokio::spawn({
        let (bus, stats) = (bus.clone(), stats.clone());
        async move { send(&bus, &stats, full).await }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((stats.under_way.get(), stats.acked.get()), (1, 0));
    assert!(stats.retried.get() > 3);

    for reader in streams::table::readers("entry", 1, 0).into_iter().filter(|reader| reader.stream == "GATE") {
        let mut intake = bus.consume(reader).await.expect("in memory");
        for delivery in intake.fetch(1_000, Duration::from_secs(1)).await.expect("in memory") {
            bus.ack(&delivery).await.expect("in memory");
        }
    }
    bus.trim_answered("GATE").await.expect("all is answered");
    assert!(sending.await.expect("it does not panic").is_some());
    assert_eq!((stats.sent.get(), stats.acked.get(), stats.under_way.get()), (1, 1, 0));
}

/// Answers everything in the one way that needs no rules: with a dead letter.
async fn bury(bus: Arc<dyn Bus>, stream: &str, after: Duration) {
    let reader =
        Reader { stream: stream.into(), durable: "grave".into(), filters: Vec::new(), ack_wait: Duration::from_secs(30), ack_pending_max: 1_000 };
    let mut intake = bus.consume(reader).await.expect("in memory");
    loop {
        tokio::time::sleep(after).await;
        for delivery in intake.fetch(50, Duration::from_secs(1)).await.expect("in memory") {
            let partition = crate::logs::partition_token(&delivery.stored.subject, 1).expect("stored under its partition");
            let letter = DeadLetter { stream: stream.into(), partition, reason: "test".into(), stored: delivery.stored.clone() };
            bus.dead_letter(letter).await.expect("in memory");
            bus.ack(&delivery).await.expect("in memory");
        }
    }
}

async fn run_tiny(seed: u64) -> (u64, String) {
    let bus: Arc<dyn Bus> = Arc::new(Memory::new(NOW));
    let world = World::open(bus.clone(), Pace::default()).await.expect("in memory");
    let city = City::new(Shape::tiny(seed, NOW));
    let (_stop, mut stopped) = watch::channel(false);
    world.run(city.plan(), NOW, &mut stopped).await;
    let early = world.settle(Duration::from_millis(1)).await.expect_err("nothing is buried yet");
    assert!(early.left.unanswered > 0, "{early}");
    let graves = ["GATE", "DESK"].map(|stream| {
        let bus = bus.clone();
        tokio::spawn(async move { bury(bus, stream, Duration::from_secs(3)).await })
    });
    let logs = world.settle(Duration::from_secs(600)).await.expect("all is buried in the end");
    graves.iter().for_each(tokio::task::JoinHandle::abort);
    (world.stats().gate_acked.get(), format!("{:?}", logs.gate))
}

#[tokio::test(start_paused = true)]
async fn a_world_settles_when_all_is_answered() {
    let (acked, _) = run_tiny(5).await;
    assert!(acked > 150, "{acked}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_makes_the_same_messages() {
    assert_eq!(run_tiny(9).await, run_tiny(9).await);
}
