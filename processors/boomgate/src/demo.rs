//! A seeded city lives on this machine: real server, real store, all processors, payment channels that are servers, and a report at the end.
//!
//! Not here: the city and its drivers (`bench`), whether what was decided is right (the oracle there, and `verify`).

use crate::{
    caller,
    config::Config,
    connect::{self, Parts},
    gateway,
    replica::Readiness,
    run, verify,
};
use anyhow::Context;
use bench::{
    City, Logs, Simulators, Terms, Verdict,
    city::Shape,
    oracle::{Counts, Drawer},
    simulators::{self, Faults, Settings},
    world::{Latency, Pace, Stats, Unsettled, World},
};
use rules::{Limits, settlement::Length};
use schema::{
    Reference,
    reference::Declared,
    time::{DAY, SECOND},
};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// How long the city's last answers are waited for.
const SETTLE: Duration = Duration::from_secs(60);
/// How far back the city begins: its time runs faster than ours until it has caught up.
const BEGINS: i64 = 30 * DAY;
/// What goes wrong at the channels where nothing else is asked for, of a thousand.
const FAULTS: [&str; 6] = ["lost=10", "late=5", "doubled=20", "reordered=10", "forged=5", "refund_refused=100"];

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// After how many seconds it stops; none: at Ctrl-C.
    pub seconds: Option<u64>,
    /// The seed.
    pub seed: u64,
    /// How many lots.
    pub lots: usize,
    /// Seconds of the city in one of ours.
    pub speed: f64,
    /// How often what happens, as `NAME=PER_MILLE`.
    pub shares: Vec<String>,
    /// How often what goes wrong at the channels, as `NAME=PER_MILLE`; none: what an ordinary bad day brings.
    pub faults: Vec<String>,
    /// Where everything is kept: broker, rows and report. Emptied first.
    pub folder: PathBuf,
}

/// What a demo, and a replay, end with.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether the oracle and the auditor agree with everything.
    pub agrees: bool,
    /// `equal`, or the first difference that the oracle found.
    pub oracle: String,
    /// All differences that were listed, the oracle's and the auditor's.
    pub differences: Vec<String>,
    /// What was counted in the logs.
    pub counts: Counts,
    /// What the auditor found.
    pub audit: verify::Report,
    /// From the intended moment of an entry to its lane command.
    pub entry_latency: Latency,
    /// The same for an exit, up to the first command that answers it.
    pub exit_latency: Latency,
    /// Real seconds.
    pub seconds: f64,
}

/// Runs it; gives whether everything agrees.
pub async fn run(wanted: Wanted, mut shutdown: watch::Receiver<bool>) -> anyhow::Result<bool> {
    let mut shape = Shape { lots: wanted.lots, ..Shape::demo(wanted.seed, schema::Moment(0)) };
    wanted.shares.iter().try_for_each(|share| shape.share(share)).map_err(anyhow::Error::msg)?;
    println!("starting nats-server in {}", wanted.folder.display());
    let parts = connect::fresh(&wanted.folder).await?;
    let now = parts.bus.look("GATE").await?.now;
    let from = now.plus(0_i64.saturating_sub(BEGINS));
    let city = City::new(Shape { from, until: now, ..shape });
    println!("a city of {} lots, seed {}: its time begins at {from} and runs {} times as fast as ours", wanted.lots, wanted.seed, wanted.speed);
    let (closing, closed) = watch::channel(false);
    let (simulators, doors) = channels(&parts, &wanted, closed).await?;
    let mut books = Vec::new();
    let lives = async {
        let pace = Pace { speed: wanted.speed, booths: city.has_booths(), ..Pace::default() };
        let world = World::with(parts.bus.clone(), pace, Some(simulators.clone())).await?;
        let stats = world.stats();
        let (end, mut ended) = watch::channel(false);
        let watcher = {
            let (stats, parts, seconds) = (stats.clone(), parts.clone(), wanted.seconds);
            tokio::spawn(async move {
                watch_city(&stats, &parts, seconds, &mut shutdown).await;
                end.send_replace(true);
            })
        };
        world.say(city.said()).await?;
        world.run(city.plan(), from, &mut ended).await;
        watcher.abort();
        println!("no more cars come; waiting for the last payments and refunds, and for cashiers to count their drawers");
        let settled = world.end(SETTLE).await;
        books = settled.as_ref().map(|logs| simulators::compare(&simulators, logs)).unwrap_or_default();
        closing.send_replace(true);
        for part in doors {
            part.await.context("the front doors did not end well")?;
        }
        Ok((settled, stats))
    };
    // What is refused is asked for again soon, and windows close soon: a demo is short.
    let fees = [("wechat".into(), 6_000), ("alipay".into(), 6_000)].into();
    let limits = Limits { refund_retry: 3 * SECOND, fees, lateness: 10 * SECOND, ..Limits::default() };
    let mut report = live(&parts, city.declared(), limits, lives).await?;
    report.agrees &= books.is_empty();
    report.differences.extend(books);
    print(&report);
    let path = wanted.folder.join("report.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\nthe whole report: {}\nthe rows, to open with any SQLite tool: {}", path.display(), wanted.folder.join("boomgate.db").display());
    Ok(report.agrees)
}

/// The channels as servers, and what of ours talks with them: the front doors and the caller.
async fn channels(parts: &Parts, wanted: &Wanted, closed: watch::Receiver<bool>) -> anyhow::Result<(Arc<Simulators>, [JoinHandle<()>; 2])> {
    let listen = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let faults = if wanted.faults.is_empty() { FAULTS.map(str::to_owned).to_vec() } else { wanted.faults.clone() };
    let faults = Faults::of(&faults).map_err(anyhow::Error::msg)?;
    let settings = Settings { seed: wanted.seed, notify_url: format!("http://{listen}/notify"), faults, ..Settings::default() };
    let simulators = Arc::new(Simulators::start(settings).await.context("the channels cannot listen")?);
    let keys = wanted.folder.join("keys");
    std::fs::create_dir_all(&keys).with_context(|| format!("cannot write into {}", keys.display()))?;
    let text = format!("[gateway]\nlisten = \"{listen}\"\nconnections_each_max = 1024\n{}", simulators.configure(Path::new(&keys))?);
    let config = Config::parse(&text).context("the channels cannot be configured")?;
    let with = gateway::With { bus: parts.jetstream.clone(), store: parts.store.clone(), cache: None };
    let doors = gateway::open(&config, with, closed.clone()).await?;
    let caller = caller::start(&config, parts.bus.clone(), connect::replica(), closed)?;
    println!("WeChat Pay, Alipay, ETC and a points issuer are simulated; they reach the front doors at http://{listen}");
    Ok((simulators, [doors, caller]))
}

/// Runs all processors while something `happens`, which ends with the logs; then ends them and their nats-server, and judges and audits
/// what became of it.
pub async fn live(
    parts: &Parts,
    declared: &Declared,
    limits: Limits,
    happens: impl Future<Output = anyhow::Result<(Result<Logs, Unsettled>, Arc<Stats>)>>,
) -> anyhow::Result<Report> {
    let (reference, terms) = (Arc::new(Reference::resolve(declared.clone())?), terms(&limits));
    let (stop, stopped) = watch::channel(false);
    let readiness = Arc::new(Readiness::default());
    let processors = tokio::spawn(run::run(rules::ALL.to_vec(), parts.with(reference, limits), readiness.clone(), stopped));
    until_ready(&readiness).await?;
    let begin = crate::clock::now();
    let (settled, stats) = happens.await?;
    let seconds = begin.elapsed().as_secs_f64();
    stop.send_replace(true);
    processors.await.context("the processors did not end well")?;
    let (logs, unsettled) = match settled {
        Ok(logs) => (logs, None),
        Err(unsettled) => {
            let said = unsettled.to_string();
            (unsettled.logs, Some(said))
        }
    };
    let verdict = bench::judge(declared, &terms, &logs, true)?;
    let audit = verify::verify(&*parts.bus, &*parts.store).await?;
    parts.stop().await;
    Ok(report(verdict, audit, unsettled, &stats, seconds))
}

/// What the oracle is told was agreed.
pub fn terms(limits: &Limits) -> Terms {
    let Limits { late_max, lateness, window, fees, .. } = limits;
    let fees = fees.iter().map(|(channel, rate)| (channel.to_string(), *rate)).collect();
    Terms { late_max: *late_max, fees, hourly: *window == Length::Hour, lateness: *lateness }
}

/// Waits until every processor owns its groups and has caught up.
async fn until_ready(readiness: &Readiness) -> anyhow::Result<()> {
    let names = rules::ALL.map(|rules| rules.name);
    for _ in 0..1_200 {
        if readiness.is_ready(&names) {
            return Ok(());
        }
        crate::clock::wait(Duration::from_millis(25)).await;
    }
    anyhow::bail!("the processors were not ready within 30 s: see the log above")
}

/// Puts a verdict and an audit together.
fn report(verdict: Verdict, audit: verify::Report, unsettled: Option<String>, stats: &Stats, seconds: f64) -> Report {
    let oracle = unsettled.clone().unwrap_or_else(|| verdict.word().to_owned());
    let differences: Vec<String> =
        unsettled.into_iter().chain(verdict.differences.iter().cloned()).chain(audit.differences.iter().cloned()).collect();
    Report {
        agrees: differences.is_empty() && verdict.is_equal() && audit.clean,
        oracle,
        differences,
        counts: verdict.counts,
        audit,
        entry_latency: stats.entries(),
        exit_latency: stats.exits(),
        seconds,
    }
}

/// One line a second until it is time to stop.
async fn watch_city(stats: &Stats, parts: &Parts, seconds: Option<u64>, shutdown: &mut watch::Receiver<bool>) {
    let mut second = crate::clock::every(Duration::from_secs(1));
    let mut live = crate::live::Live::default();
    let mut passed = 0_u64;
    second.tick().await;
    loop {
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => return,
            _ = second.tick() => {}
        }
        passed = passed.saturating_add(1);
        live.follow(&*parts.bus).await;
        let of = seconds.map_or_else(String::new, |all| format!("/{all}"));
        println!(
            "{passed:>4}{of} s  events {:>7}  decisions {:>7}  inside {:>5}  revenue {:>12}  entry {}",
            stats.gate_events.get(),
            stats.commands.get(),
            live.inside,
            live.revenue(),
            stats.entries()
        );
        if seconds.is_some_and(|all| passed >= all) {
            return;
        }
    }
}

/// Prints what was taken at booths, and what was owed.
fn print_booths(counts: &Counts) {
    let sum = |part: fn(&Drawer) -> i64| counts.shifts.values().map(part).fold(0_i64, i64::saturating_add);
    let times = counts.shifts.values().map(|drawer| drawer.times).sum::<u64>();
    let closed = counts.shifts.values().filter(|drawer| drawer.difference.is_some()).count();
    println!("split        {} orders paid by points, cash and phone together", counts.payments_split);
    println!(
        "debts        {} begun, {} paid later or priced anew; {} cars turned away for one and let in after that",
        counts.debts_begun, counts.debts_ended, counts.let_in_again
    );
    println!(
        "cash         {} taken, {} given back, {times} times; {closed} of {} shifts have ended, with a difference of {} in all, in minor units",
        sum(|drawer| drawer.taken),
        sum(|drawer| drawer.given_back),
        counts.shifts.len(),
        sum(|drawer| drawer.difference.unwrap_or(0))
    );
    let mut shifts: Vec<(&String, &Drawer)> = counts.shifts.iter().filter(|(_, drawer)| drawer.times > 0).collect();
    shifts.sort_by_key(|(name, drawer)| (std::cmp::Reverse(drawer.taken), *name));
    for (name, Drawer { taken, given_back, difference, .. }) in shifts.into_iter().take(5) {
        let difference = difference.map_or_else(|| "not counted".to_owned(), |difference| format!("difference {difference}"));
        println!("  {name:<16} {taken:>14} taken, {given_back} given back, {difference}");
    }
}

/// Prints the report for a person.
fn print(report: &Report) {
    let Counts { sessions_opened, sessions_closed, inside, leaving, refused, .. } = &report.counts;
    let counts = &report.counts;
    println!(
        "\nsessions     {sessions_opened} opened, {sessions_closed} closed, {} inside, {} exits without an entry",
        inside + leaving,
        counts.waiting
    );
    let refused: Vec<String> = refused.iter().map(|(reason, count)| format!("{} {count}", reason.as_str())).collect();
    println!("refusals     {}", if refused.is_empty() { "none".to_owned() } else { refused.join(", ") });
    println!("orders       {} priced, {} of them free, {} paid", counts.orders_priced, counts.orders_free, counts.orders_paid);
    println!("payments     {} applied, {} refunds asked for, {} made", counts.payments_applied, counts.refunds_requested, counts.refunds_made);
    print_booths(counts);
    println!(
        "inputs       {} gate events, {} channel facts, {} doubled, {} dead letters",
        counts.gate_messages, counts.channel_messages, counts.duplicates, counts.dead_letters
    );
    println!("revenue by province (GB/T 2260), in minor units");
    for (province, revenue) in &counts.revenue_by_province {
        println!("  {province:<16} {revenue:>14}");
    }
    for (currency, money) in &report.audit.money {
        println!(
            "money        {currency}: captured {} = applied {} + refunded {} + open {}",
            money.captured, money.applied, money.refunded, money.open
        );
    }
    println!("entry        {}", report.entry_latency);
    println!("exit         {}", report.exit_latency);
    println!("settlement   {} windows closed, {} adjustments of them", counts.windows_closed, counts.adjustments);
    println!("rows         {} equal their fold, {} windows balance", report.audit.rows_equal, report.audit.windows);
    println!("oracle       {}", report.oracle);
    for difference in report.differences.iter().take(10) {
        println!("  differs: {difference}");
    }
    println!("{}", if report.agrees { "everything agrees" } else { "NOT everything agrees" });
}
