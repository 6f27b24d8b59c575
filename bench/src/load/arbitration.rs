//! Money that comes by several channels at once, straight into CHANNEL: how long until a subscriber of PAYMENT reads what became of it?
//!
//! Who arbitrates and who posts to the ledger run alone while it counts, unless the whole system is asked for; the others go on afterwards, and only
//! then the oracle judges.
//!
//! Invariants
//! 1. Every order is ready before the first money comes, so that nothing but money is measured   (`orders`).
//! 2. A run is good only if each success has its event in PAYMENT, and the oracle agrees   (`Report::is_good`).
//!
//! Not here: notifications over HTTP and their signatures (`payment`).

use super::{
    Wanted, decimal, floor, ms,
    orders::{Orders, Ready},
    plan,
    step::{Span, clock, rate_of},
    system::{System, Usage, wait_until},
};
use anyhow::{Context, Result};
use async_nats::jetstream::{self, consumer};
use bench::{
    Pace, World,
    oracle::judge,
    world::{Latency, Stats, histogram, micros, send},
};
use futures_util::StreamExt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution, Exp};
use schema::{
    ChannelEvent, ChannelFact, Event, Inbox, Journal, Moment, id,
    journal::PaymentEvent,
    wire::{self, Format},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};
use streams::{Bus, JetStream, Message, Options};
use tokio::{task::JoinSet, time::Instant};

/// How long the system runs before it counts.
const WARM: Duration = Duration::from_secs(5);
/// How long a step of the search is.
const SEARCH: Duration = Duration::from_secs(10);
/// Each step of the search asks for so much more.
const SEARCH_FACTOR: f64 = 1.25;
/// A rate is too high when a hundredth waits longer than this, in microseconds.
const P99_MAX_US: u64 = 1_000_000;
/// How long the last answers are waited for.
const SETTLE: Duration = Duration::from_secs(180);
/// Of a hundred orders, so many are paid by a second channel, too.
const TWICE: u32 = 10;
/// Of a hundred orders, the first success of so many is told again.
const REDELIVERED: u32 = 2;
/// How much later the second one comes at most, in microseconds: a driver's phone and an antenna at the lane.
const SECOND_WITHIN_US: u64 = 150_000;
/// Who runs while it counts.
const ALONE: [&str; 2] = ["payment", "settlement"];
/// The channels of the first and of the second success.
const CHANNELS: [&str; 3] = ["wechat", "alipay", "etc"];

/// What a run ends with.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// `arbitration`.
    pub scenario: &'static str,
    /// Orders a second that were meant to be paid.
    pub rate_target: f64,
    /// Orders a second whose money was decided.
    pub rate_sustained: f64,
    /// Seconds that count.
    pub seconds: u64,
    /// The processors that ran in them.
    pub processors: String,
    /// Orders that were paid in the whole run.
    pub orders: u64,
    /// Messages in the seconds that count.
    pub sent: u64,
    /// Successes among them of which a subscriber read what became of them; what is told again has no event of its own.
    pub answered: u64,
    /// From the intended send of a success to the subscriber.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1,000.
    pub p999_ms: f64,
    /// All.
    pub max_ms: f64,
    /// One serial durable publish and one request with its reply, on the same server.
    pub floor_p50_ms: f64,
    /// 99 of 100.
    pub floor_p99_ms: f64,
    /// `p50_ms` by `floor_p50_ms`.
    pub ratio_p50: f64,
    /// Orders that two channels paid.
    pub paid_twice: u64,
    /// Refunds that were made.
    pub refunded: u64,
    /// Successes of the whole run without an event in PAYMENT.
    pub lost: u64,
    /// What happened twice.
    pub doubled: u64,
    /// `equal`, or the first difference.
    pub oracle: String,
    /// `holds`, or the first order for which captured is not applied + refunded + open liability.
    pub identity: String,
    /// The most that was resident.
    pub boomgate_rss_mb: f64,
    /// The most that was resident.
    pub nats_rss_mb: f64,
    /// CPU seconds in the seconds that count.
    pub boomgate_cpu_s: f64,
    /// CPU seconds in the seconds that count.
    pub nats_cpu_s: f64,
    /// What the generator itself took.
    pub bench_cpu_s: f64,
    /// The highest rate that was sustained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<f64>,
    /// What was tried to find it: rate asked for, rate sustained, p99; of one that was too high p99 is told as 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<(f64, f64, f64)>,
}

impl Report {
    /// Whether nothing was lost, nothing doubled, and the oracle agrees.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.oracle == "equal" && self.identity == "holds"
    }

    /// Says it to a terminal.
    pub fn print(&self) {
        let Self { rate_sustained, rate_target, seconds, processors, .. } = self;
        println!("decided     {rate_sustained:.0} orders/s of {rate_target:.0}/s asked, for {seconds} s, by {processors}");
        println!("successes   p50 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms", self.p50_ms, self.p99_ms, self.p999_ms, self.max_ms);
        println!("floor       p50 {:.2}  p99 {:.2} ms; a success takes {:.1} times that", self.floor_p50_ms, self.floor_p99_ms, self.ratio_p50);
        println!("paid twice  {} of {} orders, {} refunded", self.paid_twice, self.orders, self.refunded);
        println!("lost        {}", self.lost);
        println!("doubled     {}", self.doubled);
        println!("oracle      {}; captured = applied + refunded + open: {}", self.oracle, self.identity);
        println!("boomgate    {:.1} CPU s, {:.0} MB resident", self.boomgate_cpu_s, self.boomgate_rss_mb);
        println!("nats-server {:.1} CPU s, {:.0} MB resident", self.nats_cpu_s, self.nats_rss_mb);
        if let Some(rate) = self.max_rate {
            println!("highest     {rate:.0} orders/s");
        }
    }
}

/// Money, and when it is told.
#[derive(Clone, Debug)]
struct Told {
    event: ChannelEvent,
    again: bool,
}

/// What a subscriber has read of PAYMENT: when each success was meant to be told, until it is read.
#[derive(Debug, Default)]
struct Seen {
    waiting: BTreeMap<String, Instant>,
    /// Successes that were read, by when they were meant to be told.
    read: Vec<(Instant, u64)>,
}

/// A step's figures.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    sent: u64,
    rate_sustained: f64,
    latency: Latency,
    waiting: u64,
}

struct Run {
    system: System,
    world: Arc<World>,
    bus: Arc<dyn Bus>,
    orders: Orders,
    seen: Arc<Mutex<Seen>>,
    declared: schema::reference::Declared,
    dice: ChaCha12Rng,
    stats: Arc<Stats>,
    processors: &'static [&'static str],
}

/// Runs the scenario and writes its report.
pub async fn run(wanted: Wanted) -> Result<Report> {
    fs::create_dir_all(&wanted.out).with_context(|| format!("cannot write into {}", wanted.out.display()))?;
    let declared = plan::declare(wanted.seed);
    let mut system = System::prepare(wanted.boomgate.as_deref(), &wanted.out, &declared, "").await?;
    eprintln!("floor: one durable publish and one request with reply …");
    let floor = floor::measure(&system.server.url()).await?;
    eprintln!("floor: {floor}");
    system.provision().await?;
    system.start(&["all"])?;
    let bus: Arc<dyn Bus> = Arc::new(JetStream::connect(&system.server.url(), Options { name: "bench".into(), ..Options::default() }).await?);
    let pace = Pace { speed: 1.0, pays: false, reader: "bench".into(), ..Pace::default() };
    let world = Arc::new(World::open(bus.clone(), pace).await?);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let reading = tokio::spawn(subscribe(system.server.url(), seen.clone()));
    let orders = Orders::new(bus.clone(), wanted.seed, 0);
    let (dice, stats) = (ChaCha12Rng::seed_from_u64(wanted.seed), world.stats());
    let processors: &[&str] = if wanted.whole { &["all"] } else { &ALONE };
    let mut run = Run { system, world, bus, orders, seen, declared, dice, stats, processors };

    let (outcome, usage) = run.step(wanted.rate, WARM, Duration::from_secs(wanted.seconds)).await?;
    eprintln!("{} orders/s for {} s: {}", wanted.rate, wanted.seconds, outcome.latency);
    let mut search = Vec::new();
    let mut rate = wanted.rate;
    let mut kept = keeps_up(&outcome, rate);
    while wanted.find_max && kept {
        rate *= SEARCH_FACTOR;
        let (outcome, _) = run.step(rate, Duration::from_secs(2), SEARCH).await?;
        kept = keeps_up(&outcome, rate);
        eprintln!("{rate:.0}/s asked, {:.0}/s decided, {}", outcome.rate_sustained, outcome.latency);
        search.push((rate, outcome.rate_sustained, if kept { ms(outcome.latency.p99_us) } else { 0.0 }));
    }
    reading.abort();
    let mut report = run.judge().await?;
    run.system.stop().await?;

    report.rate_target = wanted.rate;
    report.rate_sustained = outcome.rate_sustained;
    report.seconds = wanted.seconds;
    report.processors = processors.join(" ");
    (report.sent, report.answered) = (outcome.sent, outcome.latency.count);
    let Latency { p50_us, p99_us, p999_us, max_us, .. } = outcome.latency;
    (report.p50_ms, report.p99_ms, report.p999_ms, report.max_ms) = (ms(p50_us), ms(p99_us), ms(p999_us), ms(max_us));
    (report.floor_p50_ms, report.floor_p99_ms) = (ms(floor.p50_us), ms(floor.p99_us));
    report.ratio_p50 = report.p50_ms / report.floor_p50_ms.max(0.001);
    let [boomgate, nats, bench] = usage;
    (report.boomgate_rss_mb, report.nats_rss_mb) = (decimal(boomgate.rss_kb) / 1_024.0, decimal(nats.rss_kb) / 1_024.0);
    (report.boomgate_cpu_s, report.nats_cpu_s, report.bench_cpu_s) = (ms(boomgate.cpu_ms), ms(nats.cpu_ms), ms(bench.cpu_ms));
    let best = search.iter().filter(|(_, _, p99)| *p99 > 0.0).map(|(_, sustained, _)| *sustained).fold(outcome.rate_sustained, f64::max);
    report.max_rate = wanted.find_max.then_some(best);
    report.search = search;
    fs::write(wanted.out.join("arbitration.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    Ok(report)
}

fn keeps_up(outcome: &Outcome, rate: f64) -> bool {
    outcome.latency.p99_us <= P99_MAX_US && decimal(outcome.waiting) < rate / 2.0 && outcome.rate_sustained > rate * 0.9
}

/// Reads PAYMENT as a subscriber does who keeps no position: an ordered consumer without acks.
async fn subscribe(url: String, seen: Arc<Mutex<Seen>>) -> Result<()> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let stream = context.get_stream(Journal::Payment.stream()).await?;
    let config = consumer::push::OrderedConfig {
        deliver_subject: "bench.payments".into(),
        deliver_policy: consumer::DeliverPolicy::New,
        ..Default::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let now = Instant::now();
        let content_type = message.headers.as_ref().and_then(|headers| headers.get(wire::CONTENT_TYPE)).map(async_nats::HeaderValue::as_str);
        let recorded = wire::decode_recorded(Journal::Payment, content_type, &message.payload)?;
        if recorded.cause.inbox != Inbox::Channel {
            continue;
        }
        let mut seen = seen.lock().expect("nobody panics while holding it");
        if let Some(intended) = seen.waiting.remove(&*recorded.cause.event) {
            seen.read.push((intended, micros(now.saturating_duration_since(intended))));
        }
    }
    Ok(())
}

impl Run {
    /// Who pays when, fixed before the first one does.
    fn plan(&mut self, rate: f64, total: Duration) -> Vec<u64> {
        let gap = Exp::new(rate / 1e6).expect("a rate is above 0");
        let (mut at_us, mut planned) = (0, Vec::new());
        loop {
            at_us += plan::whole(gap.sample(&mut self.dice)) + 1;
            if at_us >= micros(total) {
                return planned;
            }
            planned.push(at_us);
        }
    }

    /// What is told of an order, by whom, and when.
    fn told(&mut self, ready: &Ready, at_us: u64, now: Moment) -> Vec<(u64, Told)> {
        let first = self.dice.random_range(0..CHANNELS.len());
        let later = at_us + self.dice.random_range(0..SECOND_WITHIN_US);
        let success = |channel: &str, number: u16, at_us: u64| {
            let transaction = format!("{channel}-{}-{number}", ready.order).into();
            let fact = ChannelFact::Succeeded { attempt: id::attempt(ready.order, number), transaction, amount: ready.due };
            ChannelEvent { channel: channel.into(), happened_at: now.plus(i64::try_from(at_us).unwrap_or(i64::MAX)), fact }
        };
        let event = success(CHANNELS[first], 1, at_us);
        let mut told = vec![(at_us, Told { event: event.clone(), again: false })];
        match self.dice.random_range(0..100) {
            share if share < TWICE => told.push((later, Told { event: success(CHANNELS[(first + 1) % CHANNELS.len()], 2, later), again: false })),
            share if share < TWICE + REDELIVERED => told.push((later, Told { event, again: true })),
            _ => {}
        }
        told
    }

    async fn step(&mut self, rate: f64, warm: Duration, counted: Duration) -> Result<(Outcome, [Usage; 3])> {
        let arrivals = self.plan(rate, warm + counted);
        eprintln!("{} cars drive to their exits …", arrivals.len());
        let ready = self.orders.ready(&self.world, &self.declared, arrivals.len()).await?;
        self.system.restart(self.processors).await?;
        let (started_at, start) = self.world.started();
        let now = started_at.plus(i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX));
        let mut planned: Vec<(u64, Told)> = Vec::new();
        for (ready, at_us) in ready.iter().zip(&arrivals) {
            planned.extend(self.told(ready, *at_us, now));
        }
        planned.sort_by_key(|(at_us, _)| *at_us);
        let span = Span::soon(warm, counted);
        let mut due = clock(planned, span.begin)?;
        let firing = tokio::spawn({
            let (bus, seen, stats) = (self.bus.clone(), self.seen.clone(), self.stats.clone());
            async move {
                let (mut sends, mut sent) = (JoinSet::new(), 0_u64);
                while let Some((told, at)) = due.recv().await {
                    while sends.try_join_next().is_some() {}
                    if !told.again {
                        seen.lock().expect("nobody panics while holding it").waiting.insert(told.event.key(), at);
                    }
                    sent += u64::from(at >= span.begin + span.warm);
                    let (bus, stats) = (bus.clone(), stats.clone());
                    sends.spawn(async move { send(&bus, &stats, message(&told.event)).await });
                }
                (sends, sent)
            }
        });
        tokio::time::sleep_until(span.begin + span.warm).await;
        let before = self.system.usage();
        tokio::time::sleep_until(span.begin + span.total).await;
        let after = self.system.usage();
        let waiting = self.seen.lock().expect("nobody panics while holding it").waiting.len() as u64;
        let (mut sends, sent) = firing.await.context("the sender ended")?;
        let seen = self.seen.clone();
        let all_read = wait_until(SETTLE, || seen.lock().expect("nobody panics while holding it").waiting.is_empty());
        tokio::join!(all_read, async { while sends.join_next().await.is_some() {} });
        self.system.check()?;
        self.system.restart(&["all"]).await?;
        let mut latencies = histogram();
        let mut seen = self.seen.lock().expect("nobody panics while holding it");
        let counts = |(intended, _): &&(Instant, u64)| *intended >= span.begin + span.warm;
        seen.read.iter().filter(counts).for_each(|(_, latency_us)| latencies.saturating_record(*latency_us));
        seen.read.clear();
        let latency = Latency::of(&latencies);
        // Of what is told, so many are orders; what waits at the end was not decided in time.
        let orders = arrivals.iter().filter(|at_us| **at_us >= micros(warm)).count() as u64;
        let rate_sustained = rate_of(orders.saturating_sub(waiting), counted.as_secs_f64());
        let mut usage = after;
        for (usage, before) in usage.iter_mut().zip(before) {
            usage.cpu_ms = usage.cpu_ms.saturating_sub(before.cpu_ms);
        }
        Ok((Outcome { sent, rate_sustained, latency, waiting }, usage))
    }

    /// Waits for the last refund and asks the oracle.
    async fn judge(&mut self) -> Result<Report> {
        eprintln!("waiting for the last refunds …");
        let (logs, left) = match self.world.settle(SETTLE).await {
            Ok(logs) => (logs, None),
            Err(unsettled) => (unsettled.logs.clone(), Some(unsettled.to_string())),
        };
        let verdict = judge(&self.declared, &super::system::terms(), &logs, true)?;
        for difference in verdict.differences.iter().take(5) {
            eprintln!("the oracle: {difference}");
        }
        let refunds =
            logs.journal(Journal::Payment).iter().filter(|line| matches!(line.recorded.event, Event::Payment(PaymentEvent::Refunded { .. })));
        let identity = verdict.differences.iter().find(|difference| difference.contains("captured is not"));
        let unread = self.seen.lock().expect("nobody panics while holding it").waiting.len() as u64;
        Ok(Report {
            scenario: "arbitration",
            orders: self.orders.made(),
            paid_twice: verdict.counts.refunds_requested,
            refunded: refunds.count() as u64,
            lost: unread + verdict.unanswered,
            doubled: verdict.doubled,
            oracle: left.unwrap_or_else(|| verdict.word().to_owned()),
            identity: identity.map_or_else(|| "holds".to_owned(), Clone::clone),
            ..Report::default()
        })
    }
}

/// The message of a fact, as the gateway stores it, but for its id: what is told again is to be found by the payment processor itself.
fn message(event: &ChannelEvent) -> Message {
    let subject = event.subject().unwrap_or_else(|| format!("CHANNEL.0.{}.{}", event.channel, event.kind()));
    let headers = BTreeMap::from([(wire::CONTENT_TYPE.into(), Format::MessagePack.content_type().into())]);
    Message { subject, payload: wire::encode(Format::MessagePack, event).into(), headers }
}
