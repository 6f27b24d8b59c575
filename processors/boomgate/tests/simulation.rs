//! The whole system over the in-memory bus and real SQLite, with everything going wrong by the roll of seeded dice.
//!
//! `cargo test -p boomgate --test simulation -- --seeds 5000` runs more seeds, `-- --seed 17` one alone.
//!
//! Invariants
//! 1. Whatever happens, the oracle finds the logs right and the auditor finds rows and journals equal   (each seed).
//! 2. The same seed gives the same bytes, so that a failing seed can be looked at   (the first seeds run twice).
//! 3. Among a few seeds some settlement windows close, and some cars are turned away because of what they owe   (`main`).

#[path = "simulation/faults.rs"]
mod faults;

use bench::{
    City,
    city::Shape,
    judge,
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
    let (mut failed, [closed, adjustments, owing]) = run_all(seeds.clone());
    println!("{closed} settlement windows have closed, and there are {adjustments} adjustments of them; {owing} cars owed and were turned away");
    if seeds.end - seeds.start >= WINDOWS_AMONG && closed == 0 {
        println!("FAILED: no window has closed");
        failed += 1;
    }
    if seeds.end - seeds.start >= WINDOWS_AMONG && owing == 0 {
        println!("FAILED: nobody was turned away because of what it owes");
        failed += 1;
    }
    let passed = (seeds.end - seeds.start).saturating_sub(failed);
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs seeds on all cores, each on one thread; gives how many failed, and how many settlement windows, adjustments and cars that owed there were.
fn run_all(seeds: std::ops::Range<u64>) -> (u64, [u64; 3]) {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let [closed, adjustments, owing] = [const { AtomicU64::new(0) }; 3];
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match twice_or_once(seed) {
                Ok(lived) => {
                    closed.fetch_add(lived.closed, Ordering::Relaxed);
                    adjustments.fetch_add(lived.adjustments, Ordering::Relaxed);
                    owing.fetch_add(lived.owing, Ordering::Relaxed);
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
    (failed.into_inner(), [closed.into_inner(), adjustments.into_inner(), owing.into_inner()])
}

/// What became of a town.
#[derive(PartialEq, Eq)]
struct Lived {
    /// A digest of everything that was stored.
    digest: String,
    /// How many settlement windows have closed.
    closed: u64,
    /// How many adjustments of them there are.
    adjustments: u64,
    /// How many cars were turned away because of what they owe.
    owing: u64,
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
    let pace = Pace { speed: 8.0, ..Pace::default() };
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
    let logs = world.settle(Duration::from_secs(600)).await.map_err(|unsettled| unsettled.to_string())?;
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
    let counts = verdict.counts;
    let owing = counts.refused.get(&Refusal::Arrears).copied().unwrap_or_default();
    Ok(Lived { digest, closed: counts.windows_closed, adjustments: counts.adjustments, owing })
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
