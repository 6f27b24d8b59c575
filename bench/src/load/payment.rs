//! Orders that are paid at real channels over HTTP: how long until a notification is answered, and until the lane opens?
//!
//! The channels' simulators sign what they tell, repeat it, and fail some refunds; boomgate's own front doors verify and store it, its caller asks for
//! the refunds. So this is the whole way of money, on both sides.
//!
//! Invariants
//! 1. Every order is ready before the first one is paid, so that nothing but paying is measured   (`orders`).
//! 2. A run is good only if each lane opened, the oracle agrees, and the channels' own books say what the logs say   (`Report::is_good`).
//!
//! Not here: the decision alone (`arbitration`).

use super::{
    Wanted, decimal, ms,
    orders::{Orders, Ready},
    plan,
    step::{Span, clock, rate_of},
    system::{System, Usage, wait_until},
};
use anyhow::{Context, Result};
use bench::{
    Pace, World,
    oracle::judge,
    simulators::{Faults, Settings, Simulators},
    world::{Latency, histogram, micros},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution, Exp};
use schema::{EventId, LaneCommand, Moment, Verdict, id, reference::Declared, wire};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use streams::{Bus, JetStream, Options};
use tokio::{net::TcpListener, time::Instant};

/// How long the system runs before it counts.
const WARM: Duration = Duration::from_secs(5);
/// How long the last answers are waited for.
const SETTLE: Duration = Duration::from_secs(180);
/// Of a hundred orders, so many are paid by a second channel, too.
const TWICE: u32 = 10;
/// Of a thousand refunds, so many are refused, or answered late or not at all.
const FAULTY: [(&str, u64); 3] = [("refund_refused", 8), ("refund_times_out", 6), ("refund_answers_late", 6)];
/// How much later the second payment comes at most, in microseconds.
const SECOND_WITHIN_US: u64 = 150_000;
/// The channels of the first and of the second payment.
const CHANNELS: [&str; 3] = ["wechat", "alipay", "etc"];

/// What a run ends with.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// `payment`.
    pub scenario: &'static str,
    /// Orders a second that were meant to be paid.
    pub rate_target: f64,
    /// Orders a second whose lane opened.
    pub rate_sustained: f64,
    /// Seconds that count.
    pub seconds: u64,
    /// Orders that were paid in the whole run.
    pub orders: u64,
    /// From the channel's first byte to the answer's last, of notifications that were taken.
    pub webhook_p50_ms: f64,
    /// 99 of 100.
    pub webhook_p99_ms: f64,
    /// From the moment at which a driver meant to pay to the lane's command.
    pub open_p50_ms: f64,
    /// 99 of 100.
    pub open_p99_ms: f64,
    /// 999 of 1,000.
    pub open_p999_ms: f64,
    /// All.
    pub open_max_ms: f64,
    /// Orders that two channels paid.
    pub paid_twice: u64,
    /// Refunds that were made.
    pub refunded: u64,
    /// Calls of refunds that were refused, or answered late or not at all.
    pub refunds_failed: u64,
    /// Lanes that did not open, and inputs that were not answered.
    pub lost: u64,
    /// What happened twice, and what went back beyond what came.
    pub doubled: u64,
    /// `equal`, or the first difference.
    pub oracle: String,
    /// `holds`, or the first order for which captured is not applied + refunded + open liability, here or in a channel's own book.
    pub identity: String,
    /// The most that was resident.
    pub boomgate_rss_mb: f64,
    /// The most that was resident.
    pub nats_rss_mb: f64,
    /// CPU seconds in the seconds that count.
    pub boomgate_cpu_s: f64,
    /// CPU seconds in the seconds that count.
    pub nats_cpu_s: f64,
    /// What drivers and channels took, signatures included.
    pub bench_cpu_s: f64,
}

impl Report {
    /// Whether nothing was lost, nothing doubled, and all books agree.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.oracle == "equal" && self.identity == "holds"
    }

    /// Says it to a terminal.
    pub fn print(&self) {
        println!("opened      {:.0} lanes/s of {:.0}/s asked, for {} s", self.rate_sustained, self.rate_target, self.seconds);
        println!("webhooks    p50 {:.2}  p99 {:.2} ms", self.webhook_p50_ms, self.webhook_p99_ms);
        println!(
            "paid, open  p50 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms",
            self.open_p50_ms, self.open_p99_ms, self.open_p999_ms, self.open_max_ms
        );
        println!("paid twice  {} of {} orders, {} refunded, {} calls failed", self.paid_twice, self.orders, self.refunded, self.refunds_failed);
        println!("lost        {}", self.lost);
        println!("doubled     {}", self.doubled);
        println!("oracle      {}; captured = applied + refunded + open, in both books: {}", self.oracle, self.identity);
        println!("boomgate    {:.1} CPU s, {:.0} MB resident", self.boomgate_cpu_s, self.boomgate_rss_mb);
        println!("nats-server {:.1} CPU s, {:.0} MB resident", self.nats_cpu_s, self.nats_rss_mb);
        println!("world       {:.1} CPU s", self.bench_cpu_s);
    }
}

/// Lanes that are to open: since when, by the exit's event; and how long those took that did.
#[derive(Debug, Default)]
struct Opening {
    waiting: BTreeMap<EventId, Instant>,
    opened: Vec<(Instant, u64)>,
}

/// A payment that a driver makes.
#[derive(Clone, Debug)]
struct Paying {
    ready: Ready,
    channel: &'static str,
    number: u16,
    first: bool,
    /// The moment at which the channel says that it was paid.
    paid_at: Moment,
}

struct Run {
    system: System,
    world: Arc<World>,
    simulators: Arc<Simulators>,
    declared: Declared,
    opening: Arc<Mutex<Opening>>,
    dice: ChaCha12Rng,
}

/// Runs the scenario and writes its report.
pub async fn run(wanted: Wanted) -> Result<Report> {
    fs::create_dir_all(&wanted.out).with_context(|| format!("cannot write into {}", wanted.out.display()))?;
    let declared = plan::declare(wanted.seed);
    let keys = tempfile::tempdir().context("no folder for keys")?;
    let listen = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
    let simulators = Arc::new(simulate(&listen, wanted.seed).await?);
    let more = configuration(&simulators, keys.path(), &listen)?;
    let mut system = System::prepare(wanted.boomgate.as_deref(), &wanted.out, &declared, &more).await?;
    system.provision().await?;
    system.start(&["all"])?;
    let bus: Arc<dyn Bus> = Arc::new(JetStream::connect(&system.server.url(), Options { name: "bench".into(), ..Options::default() }).await?);
    let pace = Pace { speed: 1.0, pays: false, reader: "bench".into(), ..Pace::default() };
    let world = Arc::new(World::with(bus.clone(), pace, Some(simulators.clone())).await?);
    let opening = Arc::new(Mutex::new(Opening::default()));
    let listening = tokio::spawn(listen_to_lanes(bus.clone(), opening.clone()));
    let mut orders = Orders::new(bus, wanted.seed, 0);
    let mut run = Run { system, world, simulators, declared, opening, dice: ChaCha12Rng::seed_from_u64(wanted.seed) };
    let mut report = run.step(&mut orders, wanted.rate, Duration::from_secs(wanted.seconds)).await?;
    listening.abort();
    run.judge(&mut report).await?;
    run.system.stop().await?;
    (report.scenario, report.rate_target, report.seconds, report.orders) = ("payment", wanted.rate, wanted.seconds, orders.made());
    fs::write(wanted.out.join("payment.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    Ok(report)
}

async fn simulate(listen: &str, seed: u64) -> Result<Simulators> {
    let faults = FAULTY.map(|(name, share)| format!("{name}={share}"));
    let faults = Faults::of(&faults).map_err(anyhow::Error::msg)?;
    let settings = Settings { seed, notify_url: format!("http://{listen}/notify"), faults, ..Settings::default() };
    Simulators::start(settings).await.context("the channels cannot listen")
}

/// What boomgate's configuration needs for these channels. Refunds are tried again soon: a run is short. All channels come from one address here.
fn configuration(simulators: &Simulators, keys: &Path, listen: &str) -> Result<String> {
    let channels = simulators.configure(keys).context("keys cannot be written")?;
    Ok(format!("[limits]\nrefund_retry_s = 2\n[gateway]\nlisten = \"{listen}\"\nconnections_each_max = 1024\n{channels}"))
}

/// Signs what will be notified, on all cores: what the channels' machines would do is not to be measured on ours.
async fn sign(simulators: &Arc<Simulators>, planned: &[(u64, Paying)]) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let parts = planned.chunks(planned.len().div_ceil(cores).max(1)).map(|part| {
        let (simulators, part) = (simulators.clone(), part.to_vec());
        tokio::task::spawn_blocking(move || {
            for (_, Paying { ready, channel, number, paid_at, .. }) in part {
                simulators.sign_beforehand(channel, id::attempt(ready.order, number).as_str(), ready.due.minor, paid_at);
            }
        })
    });
    for part in parts.collect::<Vec<_>>() {
        part.await.context("signing ended")?;
    }
    Ok(())
}

/// Hears lanes open.
async fn listen_to_lanes(bus: Arc<dyn Bus>, opening: Arc<Mutex<Opening>>) -> Result<()> {
    let mut lanes = bus.listen("lane.>").await?;
    while let Some(told) = lanes.next().await {
        let now = Instant::now();
        let Ok(command) = wire::decode::<LaneCommand>(None, &told.payload) else { continue };
        let (Verdict::Open, Some(event)) = (command.verdict, command.answers) else { continue };
        let mut opening = opening.lock().expect("nobody panics while holding it");
        if let Some(intended) = opening.waiting.remove(&event) {
            opening.opened.push((intended, micros(now.saturating_duration_since(intended))));
        }
    }
    Ok(())
}

impl Run {
    /// Who pays when by what, fixed before the first one does.
    fn plan(&mut self, ready: &[Ready], rate: f64) -> Vec<(u64, Paying)> {
        let gap = Exp::new(rate / 1e6).expect("a rate is above 0");
        let (mut at_us, mut planned) = (0, Vec::new());
        let begin = bench::simulators::now();
        let moment = |at_us: u64| begin.plus(i64::try_from(at_us).unwrap_or(i64::MAX));
        for ready in ready {
            at_us += plan::whole(gap.sample(&mut self.dice)) + 1;
            let first = self.dice.random_range(0..CHANNELS.len());
            let paying = Paying { ready: ready.clone(), channel: CHANNELS[first], number: 1, first: true, paid_at: moment(at_us) };
            planned.push((at_us, paying));
            if self.dice.random_range(0..100) < TWICE {
                let later = at_us + self.dice.random_range(0..SECOND_WITHIN_US);
                let channel = CHANNELS[(first + 1) % CHANNELS.len()];
                planned.push((later, Paying { ready: ready.clone(), channel, number: 2, first: false, paid_at: moment(later) }));
            }
        }
        planned.sort_by_key(|(at_us, _)| *at_us);
        planned
    }

    async fn step(&mut self, orders: &mut Orders, rate: f64, counted: Duration) -> Result<Report> {
        let total = WARM + counted;
        let count = usize::try_from(plan::whole(rate * total.as_secs_f64())).unwrap_or(usize::MAX);
        eprintln!("{count} cars drive to their exits …");
        let ready = orders.ready(&self.world, &self.declared, count).await?;
        let planned = self.plan(&ready, rate);
        eprintln!("{} notifications are signed …", planned.len());
        sign(&self.simulators, &planned).await?;
        let span = Span::soon(WARM, counted);
        let mut due = clock(planned, span.begin)?;
        let (simulators, opening) = (self.simulators.clone(), self.opening.clone());
        let firing = tokio::spawn(async move {
            while let Some((Paying { ready, channel, number, first, paid_at }, at)) = due.recv().await {
                if first {
                    opening.lock().expect("nobody panics while holding it").waiting.insert(ready.event, at);
                }
                let attempt = id::attempt(ready.order, number);
                simulators
                    .pay(channel, attempt.as_str(), ready.due.minor, paid_at)
                    .map_err(|error| anyhow::anyhow!("{channel} takes no payment: {error:?}"))?;
            }
            Ok::<(), anyhow::Error>(())
        });
        tokio::time::sleep_until(span.begin + span.warm).await;
        // What was told before does not count.
        drop(self.simulators.take_answers());
        let before = self.system.usage();
        tokio::time::sleep_until(span.begin + span.total).await;
        let after = self.system.usage();
        let (late, webhooks) = (self.opening.lock().expect("nobody panics while holding it").waiting.len() as u64, self.simulators.take_answers());
        firing.await.context("the drivers ended")??;
        let opening = self.opening.clone();
        wait_until(SETTLE, || opening.lock().expect("nobody panics while holding it").waiting.is_empty()).await;
        self.system.check()?;
        let mut latencies = histogram();
        let opening = self.opening.lock().expect("nobody panics while holding it");
        let counts = |intended: Instant| intended >= span.begin + span.warm && intended < span.begin + span.total;
        opening.opened.iter().filter(|(at, _)| counts(*at)).for_each(|(_, latency_us)| latencies.saturating_record(*latency_us));
        let Latency { p50_us, p99_us, p999_us, max_us, count, .. } = Latency::of(&latencies);
        let webhooks = Latency::of(&webhooks);
        let spent = |usage: Usage, before: Usage| ms(usage.cpu_ms.saturating_sub(before.cpu_ms));
        Ok(Report {
            rate_sustained: rate_of(count.saturating_sub(late), counted.as_secs_f64()),
            webhook_p50_ms: ms(webhooks.p50_us),
            webhook_p99_ms: ms(webhooks.p99_us),
            open_p50_ms: ms(p50_us),
            open_p99_ms: ms(p99_us),
            open_p999_ms: ms(p999_us),
            open_max_ms: ms(max_us),
            lost: opening.waiting.len() as u64,
            boomgate_rss_mb: decimal(after[0].rss_kb) / 1_024.0,
            nats_rss_mb: decimal(after[1].rss_kb) / 1_024.0,
            boomgate_cpu_s: spent(after[0], before[0]),
            nats_cpu_s: spent(after[1], before[1]),
            bench_cpu_s: spent(after[2], before[2]),
            ..Report::default()
        })
    }

    /// Waits for the last refund, asks the oracle, and compares the channels' own books with the logs.
    async fn judge(&mut self, report: &mut Report) -> Result<()> {
        eprintln!("waiting for the last refunds …");
        let (logs, left) = match self.world.settle(SETTLE).await {
            Ok(logs) => (logs, None),
            Err(unsettled) => (unsettled.logs.clone(), Some(unsettled.to_string())),
        };
        let verdict = judge(&self.declared, &super::system::terms(), &logs, true)?;
        for difference in verdict.differences.iter().take(5) {
            eprintln!("the oracle: {difference}");
        }
        let identity = verdict.differences.iter().find(|difference| difference.contains("captured is not")).cloned();
        let books = bench::simulators::compare(&self.simulators, &logs);
        for difference in books.iter().take(5) {
            eprintln!("the channels' books: {difference}");
        }
        report.paid_twice = verdict.counts.refunds_requested;
        report.refunded = verdict.counts.refunds_made;
        let failed = |counts: &bench::simulators::Counts| counts.refunds_silent.get() + counts.refunds_refused.get();
        report.refunds_failed = CHANNELS.iter().map(|channel| failed(&self.simulators.counts(channel))).sum();
        report.lost += verdict.unanswered;
        report.doubled = verdict.doubled + self.simulators.too_much();
        report.oracle = left.unwrap_or_else(|| verdict.word().to_owned());
        report.identity = identity.or_else(|| books.first().cloned()).unwrap_or_else(|| "holds".to_owned());
        Ok(())
    }
}
