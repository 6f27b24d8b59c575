//! The whole system over the in-memory bus and real SQLite, with everything going wrong by the roll of seeded dice.
//!
//! `cargo test -p boomgate --test simulation -- --seeds 5000` runs more seeds, `-- --seed 17` one alone.
//!
//! Invariants
//! 1. Whatever happens, the oracle finds the logs right and the auditor finds rows and journals equal   (each seed).
//! 2. The same seed gives the same bytes, so that a failing seed can be looked at   (the first seeds run twice).
//! 3. Among a few seeds some settlement windows close, and some cars are turned away because of what they owe   (`main`).
//! 4. Among more of them some pay in cash, some by several means together, and some cars are let in again once what they owed is paid   (`main`).

#[path = "simulation/faults.rs"]
mod faults;

use bench::{
    City,
    city::Shape,
    judge,
    oracle::Counts,
    world::{Pace, World},
};
use boomgate::{
    demo,
    replica::Readiness,
    run::{self, With},
    settings::Settings,
    verify,
};
use faults::{Dice, FaultyBus, FaultyStore, Life};
use schema::{
    Moment, Partition, Reference, id,
    journal::Refusal,
    time::{MINUTE, SECOND},
};
use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use store::{Sqlite, Store};
use streams::{Bus, Memory};
use tokio::sync::{Notify, watch};

/// When every simulated world begins: 100 seconds before an hour ends, and with it the settlement windows of a town's first payments.
const START: Moment = Moment(1_795_399_100_000_000);
/// How many seeds run where nothing else is asked.
const SEEDS: u64 = 200;
/// Among so many seeds some settlement windows close, and some cars owe where they come.
const WINDOWS_AMONG: u64 = 10;
/// Among so many some pay at a booth, and some come once more.
const BOOTHS_AMONG: u64 = 50;
/// How many of them run twice, to compare their bytes.
const TWICE: u64 = 5;

/// Waits in simulated time.
#[expect(clippy::disallowed_methods, reason = "the simulation's own clock is tokio's, paused")]
pub async fn wait(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// What is asked for: the seeds, and whether anything at all (`cargo test` hands every test binary the same filters).
fn asked(arguments: &[String]) -> Result<std::ops::Range<u64>, String> {
    let mut seeds = 0..SEEDS;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number = |name: &str| words.next().and_then(|n| n.parse::<u64>().ok()).ok_or(format!("{name} takes a number"));
        match word.as_str() {
            "--seeds" => seeds = 0..number("--seeds")?,
            "--seed" => {
                let seed = number("--seed")?;
                seeds = seed..seed + 1;
            }
            "--skip" => {
                words.next();
            }
            option if option.starts_with("--") => {}
            filter if "simulation".contains(filter) => {}
            _ => seeds = 0..0,
        }
    }
    Ok(seeds)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seeds = match asked(&arguments) {
        Ok(seeds) => seeds,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if std::env::args().any(|argument| argument == "--nocapture") {
        tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).without_time().init();
    }
    println!("\nrunning {} seeds", seeds.end - seeds.start);
    let (mut failed, [closed, adjustments, owing, cash, back, split, again, twice]) = run_all(seeds.clone());
    println!("{closed} settlement windows have closed, and there are {adjustments} adjustments of them; {owing} cars owed and were turned away");
    println!(
        "{cash} shifts took cash, {back} gave some back; {split} orders were paid by several means, {again} cars were let in again; {twice} were read twice at an exit"
    );
    for (among, count, what) in [
        (WINDOWS_AMONG, closed, "no window has closed"),
        (WINDOWS_AMONG, owing, "nobody was turned away because of what it owes"),
        (WINDOWS_AMONG, twice, "nobody was read again once it was let out"),
        (BOOTHS_AMONG, cash, "nobody paid in cash"),
        (BOOTHS_AMONG, back, "no cash was given back"),
        (BOOTHS_AMONG, split, "nobody paid by several means"),
        (BOOTHS_AMONG, again, "nobody was let in again once it owed nothing"),
    ] {
        if seeds.end - seeds.start >= among && count == 0 {
            println!("FAILED: {what}");
            failed += 1;
        }
    }
    let passed = (seeds.end - seeds.start).saturating_sub(failed);
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs seeds on all cores, each on one thread; gives how many failed, and what was counted in the others.
fn run_all(seeds: std::ops::Range<u64>) -> (u64, Totals) {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let totals = [const { AtomicU64::new(0) }; TOTALS];
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match twice_or_once(seed) {
                Ok(lived) => {
                    for (total, count) in totals.iter().zip(lived.totals) {
                        total.fetch_add(count, Ordering::Relaxed);
                    }
                }
                Err(what) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    println!("seed {seed} FAILED: {what}\n    replay it alone: cargo test -p boomgate --test simulation -- --seed {seed}");
                }
            }
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            threads.spawn(work);
        }
    });
    (failed.into_inner(), totals.map(AtomicU64::into_inner))
}

/// How much is counted of a town.
const TOTALS: usize = 8;
/// Settlement windows that have closed, adjustments of them, cars that were turned away because of what they owe; shifts that took cash, and that
/// gave some back; orders that were paid by several means, cars that were let in again, and reads of cars that were let out already.
type Totals = [u64; TOTALS];

/// What became of a town.
#[derive(PartialEq, Eq)]
struct Lived {
    /// A digest of everything that was stored.
    digest: String,
    /// What was counted.
    totals: Totals,
}

fn twice_or_once(seed: u64) -> Result<Lived, String> {
    let lived = simulate(seed)?;
    if seed < TWICE && simulate(seed)? != lived { Err("the same seed gave other bytes".into()) } else { Ok(lived) }
}

/// Runs one seed.
fn simulate(seed: u64) -> Result<Lived, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().map_err(|error| error.to_string())?;
    runtime.block_on(life_of_a_town(seed))
}

async fn life_of_a_town(seed: u64) -> Result<Lived, String> {
    let dice = Arc::new(Dice::new(seed));
    let broker = Memory::new(START);
    let bus: Arc<dyn Bus> = Arc::new(broker.clone());
    let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory());
    // Events begin three quarters of an hour in the past and run faster than the clock: old ones are looked up in rows, young ones in memory.
    let from = START.plus(-45 * MINUTE);
    let city = City::new(Shape::tiny(seed, from));
    let reference = Arc::new(Reference::resolve(city.declared().clone()).map_err(|error| error.to_string())?);
    let pace = Pace { speed: 8.0, booths: city.has_booths(), ..Pace::default() };
    let world = World::open(bus.clone(), pace).await.map_err(|error| error.to_string())?;
    let (stop, stopped) = watch::channel(false);
    let mut replicas = tokio::task::JoinSet::new();
    for number in 0..2 {
        let settings = Settings { groups: 2, save_every: Duration::from_millis(250), keep_inputs: true, ..Settings::default() };
        let with = With {
            bus: bus.clone(),
            store: store.clone(),
            cache: facts(),
            reference: reference.clone().into(),
            limits: limits(seed),
            settings,
            json: Vec::new(),
            replica: format!("replica-{number}"),
        };
        replicas.spawn(lives(with, dice.clone(), stopped.clone()));
    }
    let weather = tokio::spawn(weather(dice.clone(), broker));
    world.say(city.said()).await.map_err(|error| error.to_string())?;
    world.run(city.plan(), from, &mut stopped.clone()).await;
    weather.abort();
    dice.calm_down();
    let logs = world.end(Duration::from_secs(600)).await.map_err(|unsettled| unsettled.to_string())?;
    // What a dead replica appended last, and nobody has had a reason to look at since, is found by polling one idle partition a second (rule 9).
    wait(Duration::from_secs(u64::from(Partition::COUNT) + 10)).await;
    stop.send_replace(true);
    while replicas.join_next().await.is_some() {}
    // Writes that were delayed come now, and must change nothing.
    wait(Duration::from_secs(60)).await;
    let verdict = judge(city.declared(), &demo::terms(&limits(seed)), &logs, true).map_err(|error| error.to_string())?;
    if !verdict.is_equal() {
        return Err(format!("{} differences, the first: {}", verdict.difference_count, verdict.word()));
    }
    if verdict.counts.sessions_opened == 0 || verdict.counts.orders_paid == 0 {
        return Err("nothing happened in this town".into());
    }
    let report = verify::verify(&*bus, &*store).await.map_err(|error| format!("{error:#}"))?;
    if !report.clean {
        return Err(format!("{} differences, the first: {}", report.differences_count, report.differences.join("; ")));
    }
    if let Some(saved) = report.saved.iter().find(|saved| saved.behind > 0) {
        return Err(format!("partition {} of {} is not saved to its end", saved.partition, saved.journal));
    }
    let digest = digest(&*bus).await.map_err(|error| error.to_string())?;
    Ok(Lived { digest, totals: totals(&verdict.counts)? })
}

/// What was counted of a town whose cashiers have all counted their drawers.
fn totals(counts: &Counts) -> Result<Totals, String> {
    if let Some((name, _)) = counts.shifts.iter().find(|(_, drawer)| drawer.difference.is_none()) {
        return Err(format!("the shift {name} was not counted"));
    }
    let owing = counts.refused.get(&Refusal::Arrears).copied().unwrap_or_default();
    let (cash, back) =
        counts.shifts.values().fold((0, 0), |(cash, back), drawer| (cash + u64::from(drawer.taken > 0), back + u64::from(drawer.given_back > 0)));
    Ok([counts.windows_closed, counts.adjustments, owing, cash, back, counts.payments_split, counts.let_in_again, counts.read_again])
}

/// Windows are short here, so that some close; in every other town at once, where something may come into them after that.
fn limits(seed: u64) -> rules::Limits {
    let fees = [("wechat".into(), 6_000), ("alipay".into(), 5_500)].into();
    let lateness = if seed.is_multiple_of(2) { 45 * SECOND } else { 0 };
    rules::Limits { fees, window: rules::settlement::Length::Hour, lateness, ..rules::Limits::default() }
}

/// What a process knows of vehicles elsewhere ends with it.
fn facts() -> Arc<dyn store::cache::Cache> {
    Arc::new(store::cache::Memory::new(10_000))
}

/// One replica's lives: each ends by a crash and is followed by another, until all is done.
async fn lives(with: With, dice: Arc<Dice>, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let crash = Arc::new(Notify::new());
        let life = Life { dice: dice.clone(), crash: crash.clone() };
        let bus: Arc<dyn Bus> = Arc::new(FaultyBus { inner: with.bus.clone(), life: life.clone() });
        let store: Arc<dyn Store> = Arc::new(FaultyStore { inner: with.store.clone(), life });
        let alive = With { bus, store, cache: facts(), ..with.clone() };
        let mut running = tokio::spawn(run::run(rules::ALL.to_vec(), alive, Arc::new(Readiness::default()), stopped.clone()));
        tokio::select! {
            biased;
            () = crash.notified() => {
                running.abort();
                running.await.ok();
                wait(Duration::from_millis(dice.number(8_000))).await;
            }
            _ = &mut running => {}
        }
        if stopped.has_changed().is_err() {
            return;
        }
        stopped.borrow_and_update();
    }
}

/// Now and then the broker starts again, or the store is away for a while.
async fn weather(dice: Arc<Dice>, broker: Memory) {
    loop {
        wait(Duration::from_millis(dice.number(20_000))).await;
        if dice.number(6) > 0 {
            broker.restarted();
            continue;
        }
        wait(Duration::from_millis(dice.number(120_000))).await;
        dice.store_away.store(true, Ordering::Relaxed);
        wait(Duration::from_millis(dice.number(30_000))).await;
        dice.store_away.store(false, Ordering::Relaxed);
    }
}

/// A digest of everything that is stored on the bus.
async fn digest(bus: &dyn Bus) -> Result<String, streams::Error> {
    let mut digest = String::new();
    for stream in streams::table::STREAMS {
        let stored = bus.scan(stream.name, 1, usize::MAX).await?;
        for message in stored {
            let text = format!("{digest} {} {} {:?}", message.subject, message.sequence, message.payload);
            digest = id::digest(&[&text], 20);
        }
    }
    Ok(digest)
}
