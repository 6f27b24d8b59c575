//! Two readings of each channel's rules, against each other over real HTTP: `channels` behind the front doors, and the simulators, which share no line with it.
//!
//! Invariants
//! 1. What the one signs the other verifies, both ways, and what somebody makes up neither   (every test here).

use crate::{
    config::Config,
    gateway::{channels, clock},
};
use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use bench::simulators::{Faults, Refusal, Settings, Simulators};
use channels::{Call, Channel, Heard, Now, Parked, Response};
use gateway::{Limits, Proxies, Webhooks};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use schema::{
    ChannelEvent, ChannelFact, Currency, Id, Money, RefundCall,
    channel::Standing,
    gate::Colour,
    id,
    time::{MINUTE, SECOND},
    wire,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use streams::{Bus, Memory};
use tokio::{net::TcpListener, sync::watch};

const ORDER: &str = "O4426112307VZx3MdpKtIUVlfy7";
const SOON: Duration = Duration::from_secs(20);

/// Channels that are simulated, and the front doors that hear them.
struct Town {
    simulators: Simulators,
    channels: BTreeMap<&'static str, Arc<dyn Channel>>,
    bus: Arc<dyn Bus>,
    memory: Memory,
    client: Client<HttpConnector, Body>,
    _open: watch::Sender<bool>,
}

fn yuan_5() -> Money {
    Money::new(500, Currency::Cny)
}

fn attempt(number: u16) -> Id {
    id::attempt(ORDER.parse().expect("an id"), number)
}

impl Town {
    async fn open(faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let notify_url = format!("http://{}/notify", listener.local_addr().expect("it listens"));
        let quick = Duration::from_millis(20);
        let settings = Settings { notify_url, faults, hurry: 1_000, late_by: quick, refund_takes: quick, settle_after: quick, ..Settings::default() };
        let settings = Settings { hang: Duration::from_millis(200), ..settings };
        let simulators = Simulators::start(settings).await.expect("a free port");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Config::parse(&simulators.configure(folder.path()).expect("a writable folder")).expect("valid");
        let channels = channels(&config).expect("the keys are sound");
        let memory = Memory::new(clock());
        let bus: Arc<dyn Bus> = Arc::new(memory.clone());
        let router = Webhooks::new(bus.clone(), channels.clone(), clock, Limits::default()).router();
        let (open, shutdown) = watch::channel(false);
        tokio::spawn(gateway::serve(listener, router, Limits::default(), Proxies::default(), shutdown));
        let channels = channels.into_iter().map(|channel| (channel.name(), channel)).collect();
        Self { simulators, channels, bus, memory, client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()), _open: open }
    }

    /// What a channel answers to a call of ours.
    async fn call(&self, channel: &str, call: &Call) -> Heard {
        let channel = &self.channels[channel];
        let request = channel.request(call, Now { moment: clock(), nonce: "abc" }).expect("it signs").expect("it has such a call");
        let mut sent = Request::builder().method(request.method).uri(request.url);
        for (name, value) in request.headers {
            sent = sent.header(name, value);
        }
        let answer = self.client.request(sent.body(Body::from(request.body)).expect("a request")).await.expect("it listens");
        let (head, body) = answer.into_parts();
        let body = to_bytes(Body::new(body), 100_000).await.expect("it is short");
        let response = Response { status: head.status.as_u16(), headers: &head.headers, body: &body, received_at: clock() };
        channel.answered(call, &response).expect("it is genuine")
    }

    /// The facts of a channel that are stored, once it has nothing more to tell.
    async fn stored(&self, channel: &str) -> Vec<ChannelFact> {
        assert!(self.simulators.settled(SOON).await);
        let stored = self.bus.scan("CHANNEL", 1, 1_000).await.expect("the bus is in memory");
        let read = |message: &streams::Stored| wire::decode(message.headers.get(wire::CONTENT_TYPE).map(String::as_str), &message.payload);
        let events: Vec<ChannelEvent> = stored.iter().map(|message| read(message).expect("a fact")).collect();
        events.into_iter().filter(|event| &*event.channel == channel).map(|event| event.fact).collect()
    }

    /// The transaction of what was paid under a number, as the simulator has it.
    fn pay(&self, channel: &str, number: u16) -> Arc<str> {
        self.simulators.pay(channel, attempt(number).as_str(), 500, clock()).expect("it can be paid").into()
    }

    fn refunded(&self, channel: &'static str, transaction: &str) -> i64 {
        self.simulators.truth()[&(channel, transaction.to_owned())].refunded
    }
}

fn open_call(number: u16) -> Call {
    Call::Open { attempt: attempt(number), amount: yuan_5(), subject: "停车费 parking".into(), expires_at: clock().plus(5 * MINUTE) }
}

fn refund_call(channel: &str, transaction: &Arc<str>, fen: i64, tries: u32, asks: bool) -> Call {
    let [refund, order] = ["R4426112307VZx3MdpKtIUVlfy7", ORDER].map(|id| id.parse().expect("an id"));
    let amount = Money::new(fen, Currency::Cny);
    Call::Refund(RefundCall {
        refund,
        order,
        channel: channel.into(),
        transaction: transaction.clone(),
        amount,
        tries,
        captured: Some(yuan_5()),
        asks,
    })
}

/// Whether a refund succeeded, and how it stands otherwise.
fn standing(heard: &Heard) -> (bool, Option<Standing>) {
    match heard {
        Heard::Facts(facts) => match &facts[..] {
            [ChannelEvent { fact: ChannelFact::RefundAnswered { succeeded, standing, .. }, .. }] => (*succeeded, *standing),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_opened_is_paid_and_told_and_found_so() {
    let town = Town::open(Faults { forged: 1_000, ..Faults::default() }).await;
    for channel in ["wechat", "alipay"] {
        let Heard::Opened(code) = town.call(channel, &open_call(1)).await else { panic!("{channel} opens nothing") };
        let code = code.unwrap_or_default();
        assert!(code.contains("://"), "{code}");
        assert_eq!(town.call(channel, &Call::Query { attempt: attempt(1) }).await, Heard::Unpaid, "{channel}");
        let transaction = town.pay(channel, 1);
        let expected = ChannelFact::Succeeded { attempt: attempt(1), transaction, amount: yuan_5() };
        let told = town.stored(channel).await;
        assert_eq!(told, [expected], "{channel}");
        let Heard::Facts(found) = town.call(channel, &Call::Query { attempt: attempt(1) }).await else { panic!("{channel} finds nothing") };
        assert_eq!(found.into_iter().map(|event| event.fact).collect::<Vec<_>>(), told, "{channel}");
        let counts = town.simulators.counts(channel);
        assert_eq!((counts.forged.get(), counts.forged_taken.get(), counts.not_signed.get()), (1, 0, 0), "{channel}");
    }
}

#[tokio::test]
async fn what_was_never_opened_is_told_as_well() {
    let town = Town::open(Faults { forged: 1_000, ..Faults::default() }).await;
    for channel in ["wechat", "alipay", "etc", "points"] {
        let transaction = town.pay(channel, 2);
        assert_eq!(town.stored(channel).await, [ChannelFact::Succeeded { attempt: attempt(2), transaction, amount: yuan_5() }], "{channel}");
        assert_eq!(town.simulators.counts(channel).forged_taken.get(), 0, "{channel}");
    }
}

#[tokio::test]
async fn what_is_closed_cannot_be_paid() {
    let town = Town::open(Faults::default()).await;
    town.call("wechat", &open_call(1)).await;
    assert_eq!(town.call("wechat", &Call::Close { attempt: attempt(1) }).await, Heard::Closed);
    assert_eq!(town.simulators.pay("wechat", attempt(1).as_str(), 500, clock()), Err(Refusal::Over));
    assert_eq!(town.call("wechat", &Call::Query { attempt: attempt(1) }).await, Heard::Closed);
    // Of Alipay that is so once the code was scanned.
    town.call("alipay", &open_call(1)).await;
    town.simulators.scan("alipay", attempt(1).as_str()).expect("it is open");
    assert_eq!(town.call("alipay", &Call::Close { attempt: attempt(1) }).await, Heard::Closed);
    assert_eq!(town.simulators.pay("alipay", attempt(1).as_str(), 500, clock()), Err(Refusal::Over));
    for channel in ["wechat", "alipay"] {
        assert_eq!(town.stored(channel).await, [], "{channel}");
    }
}

#[tokio::test]
async fn a_refund_is_made_once_however_often_it_is_asked_for() {
    let town = Town::open(Faults::default()).await;
    for channel in ["wechat", "alipay", "etc", "points"] {
        let transaction = town.pay(channel, 1);
        let before = town.call(channel, &refund_call(channel, &transaction, 200, 1, true)).await;
        assert_eq!(standing(&before), (false, Some(Standing::NotFound)), "{channel}");
        for tries in 1..=3 {
            let heard = standing(&town.call(channel, &refund_call(channel, &transaction, 200, tries, false)).await);
            // Alipay says of a refund that is asked for again only that no money moved now: that is asked about.
            let again = channel == "alipay" && tries > 1 && heard == (false, Some(Standing::Unknown));
            assert!(again || matches!(heard, (true, None) | (false, Some(Standing::Accepted))), "{channel} {heard:?}");
        }
        let facts = town.stored(channel).await;
        let after = town.call(channel, &refund_call(channel, &transaction, 200, 4, true)).await;
        assert_eq!((standing(&after), town.refunded(channel, &transaction)), ((true, None), 200), "{channel}");
        // WeChat Pay tells of it; a notice of Alipay's refund is no second success.
        let told = facts.iter().filter(|fact| matches!(fact, ChannelFact::RefundAnswered { succeeded: true, .. })).count();
        assert_eq!((facts.len(), told), if channel == "wechat" { (2, 1) } else { (1, 0) }, "{channel} {facts:?}");
    }
    assert_eq!(town.simulators.too_much(), 0);
}

#[tokio::test]
async fn more_than_was_paid_is_not_given_back() {
    let town = Town::open(Faults::default()).await;
    for channel in ["wechat", "alipay", "etc", "points"] {
        let transaction = town.pay(channel, 1);
        let (succeeded, _) = standing(&town.call(channel, &refund_call(channel, &transaction, 501, 1, false)).await);
        assert!(town.simulators.settled(SOON).await);
        assert_eq!((succeeded, town.refunded(channel, &transaction)), (false, 0), "{channel}");
    }
    assert_eq!(town.simulators.too_much(), 4);
}

#[tokio::test]
async fn a_refund_that_is_refused_at_first_is_made_when_it_is_asked_for_again() {
    let town = Town::open(Faults { refund_refused: 1_000, ..Faults::default() }).await;
    for channel in ["wechat", "alipay", "etc", "points"] {
        let transaction = town.pay(channel, 1);
        assert_eq!(standing(&town.call(channel, &refund_call(channel, &transaction, 500, 1, false)).await), (false, None), "{channel}");
        town.call(channel, &refund_call(channel, &transaction, 500, 2, false)).await;
        assert!(town.simulators.settled(SOON).await);
        assert_eq!(town.refunded(channel, &transaction), 500, "{channel}");
    }
}

#[tokio::test]
async fn a_refund_that_was_not_answered_is_asked_about() {
    let town = Town::open(Faults { refund_times_out: 1_000, ..Faults::default() }).await;
    for channel in ["wechat", "alipay", "etc", "points"] {
        let transaction = town.pay(channel, 1);
        assert_eq!(town.call(channel, &refund_call(channel, &transaction, 500, 1, false)).await, Heard::Later, "{channel}");
        assert!(town.simulators.settled(SOON).await);
        let (succeeded, stands) = standing(&town.call(channel, &refund_call(channel, &transaction, 500, 2, true)).await);
        let is_made = town.refunded(channel, &transaction) == 500;
        assert_eq!((succeeded, stands), if is_made { (true, None) } else { (false, Some(Standing::NotFound)) }, "{channel}");
    }
}

#[tokio::test]
async fn a_refund_that_cannot_be_made_is_for_a_person() {
    let town = Town::open(Faults { refund_abnormal: 1_000, ..Faults::default() }).await;
    for channel in ["wechat", "etc", "points"] {
        let transaction = town.pay(channel, 1);
        town.call(channel, &refund_call(channel, &transaction, 500, 1, false)).await;
        assert!(town.simulators.settled(SOON).await);
        let heard = standing(&town.call(channel, &refund_call(channel, &transaction, 500, 2, true)).await);
        assert_eq!((heard, town.refunded(channel, &transaction)), ((false, Some(Standing::Abnormal)), 0), "{channel}");
    }
    // Alipay says that nothing can be given back any more, as often as it is asked.
    let transaction = town.pay("alipay", 1);
    for tries in 1..3 {
        let heard = standing(&town.call("alipay", &refund_call("alipay", &transaction, 500, tries, false)).await);
        assert_eq!(heard, (false, Some(Standing::Abnormal)));
    }
}

#[tokio::test]
async fn a_debit_is_accepted_and_then_captured_or_not() {
    let town = Town::open(Faults::default()).await;
    let mut expected = Vec::new();
    for (number, captures) in [(1, true), (2, false)] {
        let debited = town.simulators.debit("etc", attempt(number).as_str(), 500, clock(), captures).expect("it is new");
        let (attempt, transaction, amount) = (attempt(number), Arc::from(debited), yuan_5());
        expected.push(ChannelFact::Accepted { attempt, transaction: Arc::clone(&transaction), amount });
        let ends =
            if captures { ChannelFact::Succeeded { attempt, transaction, amount } } else { ChannelFact::Failed { attempt, transaction, amount } };
        expected.push(ends);
        assert_eq!(town.stored("etc").await, expected);
    }
}

fn parked() -> Parked {
    let (session, lot) = ("S4426112307SE85PbTwoLFzFY9q".parse().expect("an id"), "lot-1".into());
    Parked { session, plate: "粤B12345".into(), colour: Colour::Blue, entered_at: clock().plus(-90 * MINUTE), lot }
}

#[tokio::test]
async fn a_fee_is_deducted_by_the_plate_of_a_car_that_was_noted() {
    let (attempt, amount) = (attempt(1), yuan_5());
    let transaction: Arc<str> = attempt.as_str().into();
    for fails in [0, 1_000] {
        let town = Town::open(Faults { debit_fails: fails, ..Faults::default() }).await;
        let Heard::Entered(parking) = town.call("wechat", &Call::Enter { parked: parked(), free_s: 900 }).await else { panic!("it is noted") };
        let call = Call::Deduct { attempt, amount, subject: "停车费".into(), parking: parking.into(), parked: parked(), left_at: clock() };
        let Heard::Facts(accepted) = town.call("wechat", &call).await else { panic!("it is accepted") };
        assert_eq!(accepted[0].fact, ChannelFact::Accepted { attempt, transaction: transaction.clone(), amount });
        let facts = town.stored("wechat").await;
        let ended = if fails == 0 {
            ChannelFact::Succeeded { attempt, transaction: transaction.clone(), amount }
        } else {
            ChannelFact::Failed { attempt, transaction: transaction.clone(), amount }
        };
        assert_eq!(facts, std::slice::from_ref(&ended));
        // Whoever has not heard of it asks.
        let Heard::Facts(asked) = town.call("wechat", &Call::Deduction { attempt }).await else { panic!("it is known") };
        assert_eq!(asked[0].fact, ended);
        if fails == 0 {
            town.call("wechat", &refund_call("wechat", &transaction, 500, 1, false)).await;
            assert!(town.simulators.settled(SOON).await);
            assert_eq!(town.refunded("wechat", &transaction), 500);
        }
    }
    let town = Town::open(Faults { blocked: 1_000, ..Faults::default() }).await;
    assert_eq!(town.call("wechat", &Call::Enter { parked: parked(), free_s: 900 }).await, Heard::Refused, "its owner does not let the channel do so");
}

#[tokio::test]
async fn points_are_held_and_released() {
    let town = Town::open(Faults::default()).await;
    let Heard::Facts(held) = town.call("points", &open_call(1)).await else { panic!("nothing is held") };
    assert!(matches!(held[0].fact, ChannelFact::Accepted { .. }), "{held:?}");
    let Heard::Facts(freed) = town.call("points", &Call::Close { attempt: attempt(1) }).await else { panic!("nothing is released") };
    assert!(matches!(freed[..], [ChannelEvent { fact: ChannelFact::Failed { .. }, .. }]), "{freed:?}");
    let facts = town.stored("points").await;
    assert!(matches!(facts[..], [ChannelFact::Failed { .. }]), "{facts:?}");
}

#[tokio::test]
async fn whatever_goes_wrong_on_the_way_all_money_is_known_in_the_end() {
    let faults = Faults { lost: 200, late: 100, doubled: 200, reordered: 100, forged: 300, ..Faults::default() };
    let town = Town::open(faults).await;
    let begin = clock();
    for number in 0..40 {
        for channel in ["wechat", "alipay", "etc"] {
            town.pay(channel, number);
        }
    }
    for channel in ["wechat", "alipay", "etc"] {
        let mut attempts: Vec<Id> = town
            .stored(channel)
            .await
            .into_iter()
            .filter_map(|fact| match fact {
                ChannelFact::Succeeded { attempt, .. } => Some(attempt),
                _ => None,
            })
            .collect();
        attempts.sort_unstable();
        assert_eq!(attempts, (0..40).map(attempt).collect::<Vec<_>>(), "{channel}");
        let counts = town.simulators.counts(channel);
        assert!(counts.forged.get() > 0 && counts.forged_taken.get() == 0 && counts.given_up.get() == 0, "{counts:?}");
    }
    assert!(clock().since(begin) < 60 * SECOND);
}

#[tokio::test]
async fn each_channels_statement_is_read_and_agrees_with_what_was_paid() {
    let town = Town::open(Faults::default()).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let day = clock();
    let mut booked = "order_id,channel,channel_transaction,amount,time,merchant,kind,refund_id\n".to_owned();
    for channel in ["wechat", "alipay", "etc", "points"] {
        let merchant = Some(town.simulators.access(channel).merchant).filter(|merchant| !merchant.is_empty()).unwrap_or_else(|| "none".into());
        for number in 1..=3 {
            let transaction = town.pay(channel, number);
            let row = |amount: &str, more: &str| format!("{},{channel},{transaction},{amount},{},{merchant},{more}\n", attempt(number), day);
            booked += &row("5.00", "trade,");
            if number == 2 {
                let call = refund_call(channel, &transaction, 200, 1, false);
                town.call(channel, &call).await;
                let Call::Refund(RefundCall { refund, .. }) = call else { unreachable!("it is a refund") };
                booked += &row("2.00", &format!("refund,{refund}"));
                let back = async {
                    while town.refunded(channel, &transaction) < 200 {
                        crate::clock::wait(Duration::from_millis(5)).await;
                    }
                };
                tokio::time::timeout(SOON, back).await.unwrap_or_else(|_| panic!("{channel} gave nothing back"));
            }
        }
    }
    let against = folder.path().join("payments.csv");
    std::fs::write(&against, booked).expect("it can be written");
    let local = |moment: schema::Moment| jiff::tz::Offset::constant(8).to_datetime(jiff::Timestamp::from_microsecond(moment.0).expect("now")).date();
    town.simulators.statements(&local(day).to_string(), folder.path()).expect("a writable folder");
    for (channel, lines) in [("wechat", 4), ("alipay", 4), ("etc", 4), ("points", 4)] {
        let files: Vec<_> = std::fs::read_dir(folder.path().join(channel)).expect("a statement").map(|file| file.expect("a file").path()).collect();
        let file = files.into_iter().find(|file| !file.to_string_lossy().contains("汇总")).expect("a statement");
        let out = folder.path().join("out");
        let wanted = crate::reconcile::Wanted {
            channel: channel.into(),
            day: local(day),
            file,
            against: against.clone(),
            merchant: None,
            sha1: None,
            as_of: None,
            json: Some(out.join("report.json")),
            out: out.clone(),
        };
        let all = crate::reconcile::run(&wanted).unwrap_or_else(|refused| panic!("{channel}: {refused:#}"));
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).expect("it was written")).expect("JSON");
        assert!(all && report["lines"] == lines && report["theirs_minor"] == 1_300, "{channel}: {report:#}");
    }
}

/// How much money is in the rows of payments, by number.
async fn received(store: &dyn store::Store) -> u64 {
    let mut count = 0;
    for part in store.parts(schema::Table::Payments).await.expect("the store is there") {
        for row in store.scan(part).await.expect("the store is there") {
            if let schema::Entity::Payment(payment) = row.entity {
                count += payment.receipts.len() as u64;
            }
        }
    }
    count
}

/// What comparisons tell of fees by channel, how many of them the ledger has heard of, and what it holds of each channel's fees.
async fn fees(bus: &dyn streams::Bus) -> (Vec<(Arc<str>, i64)>, usize, BTreeMap<String, i64>) {
    use schema::{
        Event, Journal,
        exception::ReconEvent,
        ledger::{Account, LedgerEvent},
        wire,
    };
    let (mut told, mut heard, mut booked) = (Vec::new(), 0, BTreeMap::new());
    for journal in [Journal::Recon, Journal::Ledger] {
        for stored in bus.scan(journal.stream(), 1, usize::MAX).await.expect("the bus is in memory") {
            let content_type = stored.headers.get(wire::CONTENT_TYPE).map(String::as_str);
            match wire::decode_recorded(journal, content_type, &stored.payload).expect("a journal is read").event {
                Event::Recon(ReconEvent::Matched { piece, fees: Some(fees), .. }) => told.push((piece.channel, fees.minor)),
                Event::Ledger(LedgerEvent::FeesTold { .. }) => heard += 1,
                Event::Ledger(LedgerEvent::Posted { channel, entries, .. }) => {
                    let sides = entries.iter().filter(|entry| entry.account == Account::ChannelFees);
                    *booked.entry(channel.to_string()).or_default() += sides.map(|entry| entry.debit - entry.credit).sum::<i64>();
                }
                _ => {}
            }
        }
    }
    (told, heard, booked)
}

/// A day of payments at channels that are simulated, some of whose notifications never come, compared with the channels' own statements.
#[tokio::test]
async fn what_was_lost_on_the_way_is_found_in_the_statement_and_nothing_else() {
    use crate::{
        reconciler::{self, Shared, ask},
        replica::Readiness,
        run::{With, run},
    };
    use schema::{exception::Term, statement::Difference};
    let town = Town::open(Faults { never: 300, ..Faults::default() }).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bus = town.memory.clone();
    let store: Arc<dyn store::Store> = Arc::new(store::Sqlite::in_memory());
    // By contract they would keep less than they do.
    let limits = rules::Limits { fees: [("wechat".into(), 4_000), ("alipay".into(), 4_000)].into(), ..rules::Limits::default() };
    let with = With { limits, ..crate::trial::with(town.bus.clone(), store.clone()) };
    let (stop, stopped) = watch::channel(false);
    let processors = vec![&rules::payment::RULES, &rules::exceptions::RULES, &rules::settlement::RULES];
    let running = tokio::spawn(run(processors, with, Arc::new(Readiness::default()), stopped));
    let day = clock();
    let channels = ["wechat", "alipay", "points"];
    let mut lost = BTreeMap::new();
    for channel in channels {
        (1..=12).for_each(|number| drop(town.pay(channel, number)));
        lost.insert(channel, 12 - u64::try_from(town.stored(channel).await.len()).expect("a few"));
    }
    assert!(lost.values().any(|lost| *lost > 0), "the seed loses some");
    // What is compared is what is saved.
    let came = 36 - lost.values().sum::<u64>();
    let saved = async {
        while received(&*store).await < came {
            crate::clock::wait(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, saved).await.expect("what came is saved");
    let local = jiff::tz::Offset::constant(8).to_datetime(jiff::Timestamp::from_microsecond(day.0).expect("now")).date();
    town.simulators.statements(&local.to_string(), folder.path()).expect("a writable folder");
    let shared = Shared { bus: town.bus.clone(), buckets: Arc::new(bus), store };
    let settings = reconciler::Settings { spool: folder.path().join("spool"), ..reconciler::Settings::of(&Config::parse("").expect("valid")) };
    let worker = tokio::spawn(reconciler::run(shared.clone(), settings, "one".into(), stop.subscribe()));
    for channel in channels {
        let files = std::fs::read_dir(folder.path().join(channel)).expect("a statement").map(|file| file.expect("a file").path());
        let file = files.into_iter().find(|file| !file.to_string_lossy().contains("汇总")).expect("a statement");
        let merchant = town.simulators.access(channel).merchant;
        let file = Some(file.display().to_string());
        let wanted = ask::Wanted { channel: channel.into(), merchant, day: local, term: Term::Next, file, wait: SOON };
        let report = ask::ask(&shared, &wanted).await.unwrap_or_else(|refused| panic!("{channel}: {refused:#}"));
        let count = |difference| report.sums.iter().filter(|sum| sum.difference == difference).map(|sum| sum.count).sum::<u64>();
        assert_eq!((count(Difference::Matched), count(Difference::Surplus)), (12 - lost[channel], lost[channel]), "{channel}: {report:#?}");
        assert_eq!(u64::try_from(report.exceptions.len()).expect("a few"), lost[channel], "{channel}: nothing else differs");
    }
    let books = async {
        loop {
            let (told, heard, booked) = fees(&*town.bus).await;
            if heard == told.len() {
                return (told, booked);
            }
            crate::clock::wait(Duration::from_millis(20)).await;
        }
    };
    let (told, booked) = tokio::time::timeout(SOON, books).await.expect("the ledger hears what statements tell of fees");
    for channel in ["wechat", "alipay"] {
        let kept: i64 = told.iter().filter(|(name, _)| &**name == channel).map(|(_, minor)| minor).sum();
        assert!(kept > 0 && booked[channel] == kept, "{channel} keeps {kept}, and the books hold {booked:?}");
    }
    stop.send_replace(true);
    worker.await.expect("it ends well");
    running.await.expect("it ends well");
    let logs = bench::Logs::read(&*town.bus).await.expect("the bus is in memory");
    let terms = bench::Terms { fees: [("wechat".into(), 4_000), ("alipay".into(), 4_000)].into(), ..bench::Terms::default() };
    let verdict = bench::judge(&crate::trial::declared(), &terms, &logs, false).expect("valid reference data");
    assert!(verdict.is_equal(), "{:#?}", verdict.differences);
}
