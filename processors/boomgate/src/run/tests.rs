use super::*;
use crate::trial::{self, START, declared, gate, message};
use rules::{Body, Facts, Input, View};
use schema::{
    ChannelEvent, ChannelFact, Event, GateEvent, GateKind, Journal, Moment, Partition, Reference, Verdict,
    journal::{Made, OrderEvent, SessionEvent},
    reference::{Declared, LotDeclared, Policies, Policy},
    time::DAY,
    wire,
};
use std::{collections::BTreeMap, time::Duration};
use store::Sqlite;
use streams::{DeadLetter, Memory, Message, table::JOURNAL_BYTES_MAX};

/// All processors on one bus in memory.
struct Whole {
    bus: Arc<dyn Bus>,
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

impl Whole {
    fn start() -> Self {
        Self::at(declared())
    }

    fn at(declared: Declared) -> Self {
        Self::of(rules::ALL.to_vec(), declared)
    }

    /// Some processors alone.
    fn of(processors: Vec<&'static Rules>, declared: Declared) -> Self {
        let bus: Arc<dyn Bus> = Arc::new(Memory::new(START));
        let reference = Arc::new(Reference::resolve(declared).expect("valid reference data")).into();
        let with = With { json: vec![Journal::Session], reference, ..trial::with(bus.clone(), Arc::new(Sqlite::in_memory())) };
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(run(processors, with, Arc::new(Readiness::default()), stopped));
        Self { bus, stop, running }
    }

    async fn send(&self, message: Message) {
        self.bus.publish(message).await.expect("the bus takes it");
    }

    /// The kinds in the lot's journal, and the reasons of the dead letters, once all has been handled.
    async fn outcome(self) -> (Vec<String>, Vec<String>) {
        crate::clock::wait(Duration::from_secs(5)).await;
        self.stop.send_replace(true);
        self.running.await.expect("it ends well");
        let mut kinds = Vec::new();
        for stored in self.bus.scan("SESSION", 1, 10_000).await.expect("the bus is in memory") {
            let recorded = wire::decode_recorded(Journal::Session, crate::input::content_type(&stored), &stored.payload).expect("we wrote it");
            kinds.push(match recorded.event {
                schema::Event::Session(schema::journal::SessionEvent::Refused { reason, .. }) => reason.as_str().to_owned(),
                event => event.kind().to_owned(),
            });
        }
        let dead = self.bus.scan("DEAD", 1, 100).await.expect("the bus is in memory");
        (kinds, dead.iter().filter_map(DeadLetter::read).map(|letter| letter.reason).collect())
    }
}

fn raw(subject: &str, payload: &[u8]) -> Message {
    Message { subject: subject.into(), payload: payload.to_vec().into(), headers: BTreeMap::new() }
}

fn seen(event: GateEvent, seen_at: Moment) -> Message {
    message(&GateEvent { seen_at, ..event })
}

#[tokio::test(start_paused = true)]
async fn bad_input_has_its_outcome_and_stops_nobody() {
    let entry = |car| gate(GateKind::Entry, car, 0);
    let elsewhere = GateEvent { lot: "nowhere".parse().expect("a name"), ..entry("X") };
    let dead: &[(&str, Message, &str)] = &[
        ("malformed bytes", raw("gate.small.in.entry", b"\xc1\x00\xff"), "malformed"),
        ("a wrong type", raw("gate.small.in.entry", br#"{"id":7}"#), "malformed"),
        ("a later version", raw("gate.small.in.entry", br#"{"v":9}"#), "version 9"),
        ("a subject that contradicts", raw("gate.small.out.entry", &wire::encode(Format::Json, &entry("X"))), "contradicts"),
        (
            "no number of ours",
            raw(
                "CHANNEL.5.wechat.succeeded",
                br#"{"channel":"wechat","happened_at":1,"kind":"succeeded","attempt":"zz","transaction":"1","amount":{"minor":1,"currency":"CNY"}}"#,
            ),
            "no number of ours",
        ),
    ];
    for (name, message, reason) in dead {
        let whole = Whole::start();
        whole.send(message.clone()).await;
        whole.send(self::message(&entry("A"))).await;
        let (kinds, reasons) = whole.outcome().await;
        assert_eq!(kinds, ["opened"], "{name}: the next car comes in");
        assert!(reasons.len() == 1 && reasons[0].contains(reason), "{name}: {reasons:?}");
    }
    let answered: &[(&str, Message, &str)] = &[
        ("an unknown lot", message(&elsewhere), "unknown_lot"),
        ("an event from next year", seen(entry("X"), START.plus(365 * DAY)), "clock_ahead"),
        ("an event from before the last month", seen(entry("X"), START.plus(-36 * DAY)), "too_late"),
        ("an event from the last weeks", seen(entry("X"), START.plus(-20 * DAY)), "opened"),
        ("an exit without an entry", message(&gate(GateKind::Exit, "X", 0)), "waiting"),
    ];
    for (name, message, kind) in answered {
        let whole = Whole::start();
        whole.send(message.clone()).await;
        whole.send(self::message(&entry("A"))).await;
        let (mut kinds, reasons) = whole.outcome().await;
        kinds.sort();
        let mut expected = vec!["opened", kind];
        expected.sort_unstable();
        assert_eq!((kinds, reasons), (expected.into_iter().map(str::to_owned).collect(), Vec::new()), "{name}");
    }
}

/// What cannot be appended: whatever is decided of this car is more than a journal takes.
const HEAVY_CAR: &str = "HEAVY";

/// `entry`, but of one car it records too much.
static HEAVY: Rules = Rules { decide: decide_heavily, ..rules::entry::RULES };

fn decide_heavily(view: &dyn View, facts: &Facts, input: &Input) -> Vec<Event> {
    let mut events = (rules::entry::RULES.decide)(view, facts, input);
    let is_heavy = matches!(&input.body, Body::Gate(event) if event.id.as_str().starts_with(HEAVY_CAR));
    for event in events.iter_mut().filter(|_| is_heavy) {
        if let Event::Session(SessionEvent::Opened { made_of, .. }) = event {
            *made_of = Some(Box::new(Made { checks: "x".repeat(JOURNAL_BYTES_MAX).into(), facts: Vec::new(), owes: None, grounds: Vec::new() }));
        }
    }
    events
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_appended_is_a_dead_letter_and_stops_no_other_partition() {
    let mut declared = declared();
    let elsewhere = LotDeclared { lot: "other".parse().expect("a name"), ..declared.lots[0].clone() };
    declared.lots.push(elsewhere);
    assert_ne!(Partition::of_lot("small"), Partition::of_lot("other"));
    let whole = Whole::of(vec![&HEAVY], declared);
    let wait = async |ms| crate::clock::wait(Duration::from_millis(ms)).await;
    let letters = async || whole.bus.scan("DEAD", 1, 100).await.expect("the bus is in memory");
    let journaled = async || {
        let stored = whole.bus.scan("SESSION", 1, 100).await.expect("the bus is in memory");
        stored.iter().filter_map(|stored| streams::subject::partition_of_subject("SESSION", &stored.subject)).collect::<Vec<_>>()
    };
    wait(1_000).await;
    let heavy = gate(GateKind::Entry, HEAVY_CAR, 0);
    let headers = BTreeMap::from([(wire::CONTENT_TYPE.to_owned(), "application/json".to_owned())]);
    whole.send(Message { headers, ..message(&heavy) }).await;
    whole.send(message(&gate(GateKind::Entry, "A", 0))).await;
    whole.send(message(&GateEvent { lot: "other".parse().expect("a name"), ..gate(GateKind::Entry, "B", 0) })).await;
    // It is tried for most of a second. The next car of its lot waits behind it, the one at the other lot does not.
    wait(500).await;
    assert_eq!((journaled().await, letters().await.len()), (vec![Partition::of_lot("other")], 0));
    wait(2_000).await;
    assert_eq!(journaled().await, [Partition::of_lot("other"), Partition::of_lot("small")]);
    let letters = letters().await;
    let letter = DeadLetter::read(letters.first().expect("it is dead by now")).expect("we wrote it");
    assert_eq!((letters.len(), letter.stream.as_str(), letter.partition), (1, "GATE", Partition::of_lot("small")));
    assert!(letter.reason.contains("after 5 tries") && letter.reason.contains("larger than the stream takes"), "{}", letter.reason);
    let original = whole.bus.scan("GATE", 1, 1).await.expect("the bus is in memory").remove(0);
    assert_eq!(letter.stored, original, "bytes, headers, subject, sequence and time are its own");
    let reader = streams::table::readers("entry", 1, 0).remove(0);
    assert_eq!(whole.bus.reach(&reader).await.expect("the bus is in memory").acked, 3, "and it is not handed out again");
    let (kinds, _) = whole.outcome().await;
    assert_eq!(kinds, ["opened", "opened"]);
}

#[tokio::test(start_paused = true)]
async fn who_left_without_paying_is_refused_until_it_has_paid() {
    let mut declared = declared();
    let policies = Policies { arrears: Policy::Refuse, ..Policies::default() };
    declared.lots = declared.lots.into_iter().map(|lot| LotDeclared { policies: policies.clone(), ..lot }).collect();
    let whole = Whole::at(declared);
    let wait = async || crate::clock::wait(Duration::from_secs(2)).await;
    wait().await;
    whole.send(message(&gate(GateKind::Entry, "A", -90))).await;
    wait().await;
    // No answer came in time, and the lane let it out by itself.
    whole.send(message(&GateEvent { decided: Some(Verdict::Open), ..gate(GateKind::Exit, "A", 0) })).await;
    wait().await;
    whole.send(message(&gate(GateKind::Entry, "A", 1))).await;
    wait().await;
    let stored = whole.bus.scan("ORDER", 1, 10).await.expect("the bus is in memory").remove(0);
    let priced = wire::decode_recorded(Journal::Order, crate::input::content_type(&stored), &stored.payload).expect("we wrote it");
    let Event::Order(OrderEvent::Priced { order, quote, .. }) = priced.event else { panic!("{priced:?}") };
    let fact = ChannelFact::Succeeded { attempt: schema::id::attempt(order, 1), transaction: "1".into(), amount: quote.total };
    let success = ChannelEvent { channel: "wechat".into(), happened_at: START, fact };
    whole.send(raw(&success.subject().expect("an order of ours"), &wire::encode(Format::Json, &success))).await;
    wait().await;
    whole.send(message(&gate(GateKind::Entry, "A", 2))).await;
    let (kinds, dead) = whole.outcome().await;
    assert_eq!((kinds.join(", ").as_str(), dead.len()), ("opened, leaving, gone, owed, arrears, closed, opened", 0));
}

#[tokio::test(start_paused = true)]
async fn the_same_event_a_thousand_times_is_one() {
    let whole = Whole::start();
    for _ in 0..1_000 {
        whole.send(message(&gate(GateKind::Entry, "A", 0))).await;
    }
    assert_eq!(whole.outcome().await, (vec!["opened".to_owned()], Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn an_entry_while_inside_is_refused() {
    let whole = Whole::start();
    for minute in [0, 1] {
        whole.send(message(&gate(GateKind::Entry, "A", minute))).await;
    }
    assert_eq!(whole.outcome().await.0, ["opened", "already_inside"]);
}

#[tokio::test(start_paused = true)]
async fn an_oversized_message_is_refused_to_its_sender() {
    let whole = Whole::start();
    let error = whole.bus.publish(raw("gate.small.in.entry", &vec![b' '; wire::INBOX_BYTES_MAX + 1])).await.expect_err("it must not be stored");
    assert_eq!(error.kind, streams::Kind::TooLarge);
    assert_eq!(whole.outcome().await.0, Vec::<String>::new());
}

#[test]
fn processors_are_those_of_the_table_of_streams() {
    let table: Vec<_> = streams::table::PROCESSORS.iter().map(|processor| (processor.name, processor.journal)).collect();
    let rules: Vec<_> = rules::ALL.iter().map(|rules| (rules.name, rules.journal)).collect();
    assert_eq!(table, rules);
}

#[test]
fn a_processor_that_is_not_there_is_named() {
    let names = |words: &[&str]| named(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).map(|rules| rules.len());
    assert_eq!(names(&["entry", "payment"]).ok(), Some(2));
    assert_eq!(names(&["all"]).ok(), Some(rules::ALL.len()));
    assert!(names(&["entrance"]).expect_err("no such processor").to_string().contains("entry, pricing, payment, settlement"));
}

/// The manifests run what the table declares, the two ways to payment channels and who compares statements, with settings that this binary takes.
#[test]
fn deployments_are_those_of_the_table_of_streams() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k8s");
    let base = folder.join("base");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut deployments = Vec::new();
    for entry in std::fs::read_dir(&base).expect("the manifests are in the tree") {
        let text = read(&entry.expect("a file").path());
        for document in text.split("\n---").filter(|document| document.contains("kind: Deployment") && document.contains("args:")) {
            let arguments = document.split("args:").nth(1).and_then(|rest| rest.lines().next()).expect("args are on one line");
            deployments.push(arguments.trim().to_owned());
        }
    }
    deployments.sort();
    let parts =
        streams::table::PROCESSORS.iter().map(|processor| processor.name).chain([crate::gateway::NAME, crate::caller::NAME, crate::reconciler::NAME]);
    let mut expected: Vec<_> = parts.map(|name| format!("[\"run\", \"{name}\"]")).collect();
    expected.sort();
    assert_eq!(deployments, expected);
    let mut configurations = 0;
    for path in [base.join("boomgate.toml"), folder.join("overlays/three/boomgate.toml")] {
        if path.exists() {
            configurations += 1;
            crate::config::Config::parse(&read(&path)).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        }
    }
    assert!(configurations > 0, "the pods have a configuration");
}
