//! Load: how fast entries are decided, how much is sustained, and whether anything is lost or done twice on the way.
//!
//! Invariants
//! 1. A run is good only if the oracle agrees with its logs and nothing is lost or doubled   (`Report::is_good`).
//!
//! Not here: the processes (`system`), what is sent (`plan`), what else runs meanwhile (`beside`), the page (`page`).

pub mod arbitration;
mod beside;
mod floor;
mod orders;
mod page;
pub mod payment;
mod plan;
mod step;
mod system;

use anyhow::{Context, Result, ensure};
use bench::{
    Logs, Pace, World,
    oracle::{Counts, judge},
    world::{Latency, Unsettled},
};
use beside::{Beside, Work};
pub use plan::Shares;
use plan::{Asked, Planned};
use schema::{Event, EventId, journal::SessionEvent};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use step::{Outcome, Span};
use streams::{Bus, JetStream, Options};
pub use system::program;
use system::{System, Usage, wait_until};
use tokio::sync::watch;

/// How long the system runs before it counts.
const WARM: Duration = Duration::from_secs(5);
/// How long a step of the search for the highest rate is.
const SEARCH: Duration = Duration::from_secs(10);
/// Each step of the search asks for so much more.
const SEARCH_FACTOR: f64 = 1.25;
/// Once one was too much, the interval to the last good one is halved so often.
const SEARCH_HALVINGS: u8 = 2;
/// A rate is too high when a hundredth of the entries waits longer than this, in microseconds.
const P99_MAX_US: u64 = 1_000_000;
/// How long the last answers are waited for.
const SETTLE: Duration = Duration::from_secs(180);
/// How long whose debit has failed takes at most to pay what he owes.
const SETTLES_MOST: Duration = Duration::from_secs(20);
/// How long the first decision may take.
const FIRST: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Gate events in a second.
    pub rate: f64,
    /// For how long, in seconds.
    pub seconds: u64,
    /// Whether to look for the highest rate afterwards.
    pub find_max: bool,
    /// The program under test; none: beside this one.
    pub boomgate: Option<PathBuf>,
    /// Where the report goes.
    pub out: PathBuf,
    /// Of a thousand visits, how many are what.
    pub shares: Shares,
    /// Whether all processors run while the arbitration is measured.
    pub whole: bool,
    /// Of how many lines a statement is reconciled beside a second load, if one is.
    pub beside_lines: Option<u64>,
    /// The seed.
    pub seed: u64,
}

/// What a run ends with.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// `entry`.
    pub scenario: &'static str,
    /// Gate events a second that were meant to be sent.
    pub rate_target: f64,
    /// Gate events a second that were decided.
    pub rate_sustained: f64,
    /// Seconds that count.
    pub seconds: u64,
    /// Gate events that were sent in them.
    pub sent: u64,
    /// Live ones that a lane command answered.
    pub answered: u64,
    /// Gate events of the whole run that were acknowledged and are not in the log, or not answered.
    pub lost: u64,
    /// Effects of the whole run that happened twice.
    pub doubled: u64,
    /// `equal`, or the first difference.
    pub oracle: String,
    /// An entry, from its intended send to the lane command.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1,000.
    pub p999_ms: f64,
    /// All.
    pub max_ms: f64,
    /// An exit, to the first command that answers it (a price, or an open barrier).
    pub exit_p50_ms: f64,
    /// 99 of 100.
    pub exit_p99_ms: f64,
    /// One serial durable publish and one request with its reply, on the same server.
    pub floor_p50_ms: f64,
    /// 99 of 100.
    pub floor_p99_ms: f64,
    /// `p50_ms` by `floor_p50_ms`.
    pub ratio_p50: f64,
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
    /// Appends of the whole run.
    pub appends: u64,
    /// Journal events in each.
    pub events_per_append: f64,
    /// From the start of the process to its first decision.
    pub start_ms: u64,
    /// Payments that were reported, copies included.
    pub payments: u64,
    /// What the same load had beside other work, if it was asked for.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// The highest rate that was sustained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<f64>,
    /// What was tried to find it: rate asked for, rate sustained, p99.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<(f64, f64, f64)>,
    /// The totals of the logs.
    pub counts: Counts,
}

impl Report {
    /// Whether nothing was lost, nothing doubled, the oracle agrees, and what ran beside the load was done well.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.oracle == "equal" && self.beside.is_none_or(Beside::is_good)
    }
}

fn ms(us: u64) -> f64 {
    decimal(us) / 1_000.0
}

/// A count as a number to measure with.
#[expect(clippy::cast_precision_loss, reason = "a measurement, far below 2^53")]
pub fn decimal(value: u64) -> f64 {
    value as f64
}

/// The parts of a run that goes on.
struct Run {
    system: System,
    world: Arc<World>,
    declared: schema::reference::Declared,
    wanted: Wanted,
    visits: u64,
    /// The key of every event that was planned, with its id.
    planned: BTreeMap<String, EventId>,
}

/// Runs the scenario and writes its report.
pub async fn entry(wanted: Wanted) -> Result<Report> {
    fs::create_dir_all(&wanted.out).with_context(|| format!("cannot write into {}", wanted.out.display()))?;
    // Files are made before anything is measured.
    let work = match wanted.beside_lines {
        Some(lines) => Some(Work::prepare(wanted.boomgate.as_deref(), lines, &wanted.out).await?),
        None => None,
    };
    let declared = plan::declare(wanted.seed);
    let mut system = System::prepare(wanted.boomgate.as_deref(), &wanted.out, &declared, "").await?;
    eprintln!("floor: one durable publish and one request with reply …");
    let floor = floor::measure(&system.server.url()).await?;
    eprintln!("floor: {floor}");
    system.provision().await?;
    let begun = std::time::Instant::now();
    system.start(&["all"])?;
    let bus: Arc<dyn Bus> = Arc::new(JetStream::connect(&system.server.url(), Options { name: "bench".into(), ..Options::default() }).await?);
    let booths = wanted.shares.has_booths();
    let pace = Pace { speed: 1.0, settles_most: SETTLES_MOST, booths, traced: true, reader: "bench".into(), ..Pace::default() };
    let world = Arc::new(World::open(bus, pace).await?);
    let mut run = Run { system, world, declared, wanted, visits: 0, planned: BTreeMap::new() };
    let start_ms = run.first_decision(begun).await?;
    eprintln!("first decision {start_ms} ms after the start");
    let city = plan::city(run.wanted.seed, run.world.started().0);
    let said = city.said();
    eprintln!("{} passes and bans are stated; of a thousand visits: {}", said.len(), run.wanted.shares);
    run.world.say(said).await?;
    if booths {
        run.world.say(city.shifts()).await?;
    }

    let seconds = run.wanted.seconds;
    let rate = run.wanted.rate;
    eprintln!("{rate} gate events a second for {seconds} s, after {} s that do not count …", WARM.as_secs());
    let (outcome, usage) = run.measured(rate, WARM, Duration::from_secs(seconds)).await?;
    eprintln!("entries: {}; exits: {}", outcome.entries, outcome.exits);
    let beside = match work {
        Some(work) => Some(run.beside(work, outcome.entries).await?),
        None => None,
    };
    let mut search = Vec::new();
    if run.wanted.find_max {
        search = run.find_max(rate, &outcome).await?;
    }
    let mut report = run.judge().await?;
    run.system.stop().await?;

    let Latency { p50_us, p99_us, p999_us, max_us, .. } = outcome.entries;
    report.rate_target = rate;
    report.rate_sustained = outcome.rate_sustained;
    report.seconds = seconds;
    (report.sent, report.answered) = (outcome.sent, outcome.answered);
    (report.p50_ms, report.p99_ms, report.p999_ms, report.max_ms) = (ms(p50_us), ms(p99_us), ms(p999_us), ms(max_us));
    (report.exit_p50_ms, report.exit_p99_ms) = (ms(outcome.exits.p50_us), ms(outcome.exits.p99_us));
    (report.floor_p50_ms, report.floor_p99_ms) = (ms(floor.p50_us), ms(floor.p99_us));
    report.ratio_p50 = report.p50_ms / report.floor_p50_ms.max(0.001);
    let [boomgate, nats, bench] = usage;
    (report.boomgate_rss_mb, report.nats_rss_mb) = (decimal(boomgate.rss_kb) / 1_024.0, decimal(nats.rss_kb) / 1_024.0);
    (report.boomgate_cpu_s, report.nats_cpu_s, report.bench_cpu_s) = (ms(boomgate.cpu_ms), ms(nats.cpu_ms), ms(bench.cpu_ms));
    report.start_ms = start_ms;
    report.beside = beside;
    report.max_rate = run.wanted.find_max.then(|| best(&search).max(if keeps_up(&outcome) { outcome.rate_sustained } else { 0.0 }));
    report.search = search;
    write(&run.wanted.out, &report, &outcome, floor)?;
    Ok(report)
}

fn best(search: &[(f64, f64, f64)]) -> f64 {
    search.iter().filter(|(_, _, p99)| *p99 > 0.0).map(|(_, sustained, _)| *sustained).fold(0.0, f64::max)
}

/// Whether a rate was kept: hardly anybody waited long, and the queue did not grow by as much as comes in half a second.
fn keeps_up(outcome: &Outcome) -> bool {
    let grown = decimal(outcome.waiting.1.saturating_sub(outcome.waiting.0));
    outcome.entries.p99_us <= P99_MAX_US && grown < outcome.rate_target / 2.0 && outcome.rate_sustained > outcome.rate_target * 0.9
}

fn write(out: &Path, report: &Report, outcome: &Outcome, floor: Latency) -> Result<()> {
    fs::write(out.join("entry.json"), serde_json::to_string_pretty(report)? + "\n")?;
    fs::write(out.join("entry.html"), page::render(report, outcome, floor)?)?;
    Ok(())
}

impl Run {
    fn plan(&mut self, rate: f64, seconds: u64) -> Vec<Planned> {
        let (at, start) = self.world.started();
        // The plan's zero lies a moment ahead; a device's clock is never that exact.
        let base = at.plus(i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX));
        let asked = Asked { seed: self.wanted.seed, rate, seconds, base, first_visit: self.visits, shares: self.wanted.shares };
        let plan = plan::plan(&self.declared, asked);
        self.visits = plan.iter().map(|planned| planned.action.visit).max().unwrap_or(self.visits);
        plan
    }

    /// Remembers what will be sent, so that nothing of it can be missing in silence.
    fn remember(&mut self, plan: &[Planned]) {
        self.planned.extend(
            plan.iter().map(|planned| &planned.action).filter(|action| action.says.is_none()).map(|action| (action.event.key(), action.event.id)),
        );
    }

    /// Sends entries until the first one is answered; gives the milliseconds since the start.
    async fn first_decision(&mut self, begun: std::time::Instant) -> Result<u64> {
        let stats = self.world.stats();
        let mut probe = self.plan(100.0, 1);
        probe.truncate(1);
        self.remember(&probe);
        for planned in probe {
            tokio::spawn(self.world.fire(planned.action, tokio::time::Instant::now()));
        }
        ensure!(wait_until(FIRST, || stats.entries().count > 0).await, "no decision in {} s; see {}", FIRST.as_secs(), self.system.log.display());
        self.system.check()?;
        u64::try_from(begun.elapsed().as_millis()).context("a short time")
    }

    async fn step(&mut self, rate: f64, warm: Duration, counted: Duration) -> Result<Outcome> {
        let plan = self.plan(rate, (warm + counted).as_secs());
        self.remember(&plan);
        let outcome = step::run(&self.world, plan, Span::soon(warm, counted), rate).await?;
        self.system.check()?;
        Ok(outcome)
    }

    /// A step, with what the processes used in its counted part: CPU as a difference, memory as the most that was seen.
    async fn measured(&mut self, rate: f64, warm: Duration, counted: Duration) -> Result<(Outcome, [Usage; 3])> {
        let plan = self.plan(rate, (warm + counted).as_secs());
        self.remember(&plan);
        let span = Span::soon(warm, counted);
        let mut stepping = tokio::spawn({
            let world = self.world.clone();
            async move { step::run(&world, plan, span, rate).await }
        });
        tokio::time::sleep_until(span.begin + span.warm).await;
        let before = self.system.usage();
        let mut most = before;
        let end = span.begin + span.total;
        while tokio::time::Instant::now() < end {
            let _ = tokio::time::timeout(Duration::from_secs(1), tokio::time::sleep_until(end)).await;
            for (most, now) in most.iter_mut().zip(self.system.usage()) {
                *most = Usage { cpu_ms: now.cpu_ms, rss_kb: most.rss_kb.max(now.rss_kb) };
            }
        }
        for (most, before) in most.iter_mut().zip(before) {
            most.cpu_ms = most.cpu_ms.saturating_sub(before.cpu_ms);
        }
        let outcome = (&mut stepping).await.context("the step ended")??;
        self.system.check()?;
        Ok((outcome, most))
    }

    /// The same load again, on the system that runs, while a statement is reconciled again and again.
    async fn beside(&mut self, work: Work, alone: Latency) -> Result<Beside> {
        self.drain().await;
        let (rate, seconds, lines) = (self.wanted.rate, self.wanted.seconds, work.lines());
        eprintln!("the same for {seconds} s more, while a statement of {lines} lines is reconciled again and again …");
        let (stop, stopped) = watch::channel(false);
        let working = tokio::spawn(work.again_and_again(stopped));
        let (outcome, _) = self.measured(rate, WARM, Duration::from_secs(seconds)).await?;
        stop.send_replace(true);
        let runs = working.await.context("the work beside it ended")??;
        eprintln!("entries: {}; {} reconciliations", outcome.entries, runs.len());
        Ok(Beside::of(lines, alone, outcome.entries, &runs))
    }

    /// Waits until all that was sent is answered: what is left over from one load is not the next one's.
    async fn drain(&self) {
        wait_until(SETTLE, || self.world.unheard() == 0).await;
    }

    /// Asks for more and more until it is too much, then between the last two; of a rate that was too high p99 is told as 0.
    async fn find_max(&mut self, rate: f64, first: &Outcome) -> Result<Vec<(f64, f64, f64)>> {
        let mut search = Vec::new();
        let (mut good, mut bad) = (rate, None);
        let mut halvings = 0;
        if !keeps_up(first) {
            return Ok(search);
        }
        while halvings <= SEARCH_HALVINGS {
            let rate = bad.map_or(good * SEARCH_FACTOR, |bad: f64| f64::midpoint(good, bad));
            let outcome = self.step(rate, Duration::from_secs(2), SEARCH).await?;
            let kept = keeps_up(&outcome);
            eprintln!("{rate:.0}/s asked, {:.0}/s decided, entries {}", outcome.rate_sustained, outcome.entries);
            search.push((rate, outcome.rate_sustained, if kept { ms(outcome.entries.p99_us) } else { 0.0 }));
            (good, bad) = if kept { (rate, bad) } else { (good, Some(rate)) };
            halvings += u8::from(bad.is_some());
            if !kept {
                self.drain().await;
            }
        }
        Ok(search)
    }

    /// Waits for the last answer and asks the oracle.
    async fn judge(&mut self) -> Result<Report> {
        eprintln!("waiting for the last answers …");
        let (logs, left) = match self.world.end(SETTLE).await {
            Ok(logs) => (logs, None),
            Err(unsettled) => {
                let said = unsettled.to_string();
                let Unsettled { logs, left, .. } = unsettled;
                (logs, Some((left, said)))
            }
        };
        let mut verdict = judge(&self.declared, &system::terms(), &logs, true)?;
        // Seven hundred lots' takings say nothing about speed.
        verdict.counts.takings.clear();
        verdict.counts.shifts.clear();
        for difference in verdict.differences.iter().take(5) {
            eprintln!("the oracle: {difference}");
        }
        let [appends, events] = self.system.counters(["boomgate_appends_total", "boomgate_events_total"]).await.unwrap_or_default();
        let stats = self.world.stats();
        let oracle = left.as_ref().map_or_else(|| verdict.word().to_owned(), |(_, said)| said.clone());
        Ok(Report {
            scenario: "entry",
            lost: missing(&logs, &self.planned) + verdict.unanswered,
            doubled: verdict.doubled,
            oracle,
            appends,
            events_per_append: decimal(events) / decimal(appends.max(1)),
            payments: stats.payments.get(),
            counts: verdict.counts,
            ..Report::default()
        })
    }
}

/// How many planned events are not in the log, although their car was let in.
fn missing(logs: &Logs, planned: &BTreeMap<String, EventId>) -> u64 {
    let read = |stored: &streams::Stored| {
        let content_type = stored.headers.get(schema::wire::CONTENT_TYPE).map(String::as_str);
        schema::wire::decode::<schema::GateEvent>(content_type, &stored.payload).ok().map(|event| event.key())
    };
    let stored: BTreeSet<String> = logs.gate.iter().filter_map(read).collect();
    let refused: BTreeSet<&str> = logs
        .journal(schema::Journal::Session)
        .iter()
        .filter_map(|line| if let Event::Session(SessionEvent::Refused { event, .. }) = &line.recorded.event { Some(event.as_str()) } else { None })
        .collect();
    let never_left = |id: &EventId| refused.contains(id.as_str().replacen("-x-", "-e-", 1).as_str());
    planned.iter().filter(|(key, id)| !stored.contains(*key) && !never_left(id)).count() as u64
}
