//! The bench harness: starts boomgate as the world does, loads it, and writes down what came of it.

mod load;
mod reconcile;

use clap::{Args, Parser, Subcommand};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Parser)]
#[command(about = "Loads a boomgate of its own and says how it did.")]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Cars drive up at a fixed rate: how long until the barrier knows?
    Entry {
        #[command(flatten)]
        load: Load,
        /// How often something happens, of a thousand visits: `holders=150`, `banned=5`, `prepays=100`, `coupon=50`, `by_itself=5`; may be repeated.
        #[arg(long = "share", value_name = "NAME=PER_MILLE")]
        shares: Vec<String>,
        /// Measure the same load once more while `boomgate reconcile --background` compares a statement with payments again and again.
        #[arg(long)]
        beside_reconcile: bool,
        /// How many payments there are in that.
        #[arg(long, default_value_t = 2_000_000)]
        lines: u64,
    },
    /// Money comes by several channels at once, straight into CHANNEL: how long until a subscriber reads what became of it?
    Arbitration {
        #[command(flatten)]
        load: Load,
        /// Let all processors run while it counts, not those alone that arbitrate and post.
        #[arg(long)]
        whole: bool,
    },
    /// Drivers pay at channels that are servers: how long until a notification is answered, and until the lane opens?
    Payment {
        #[command(flatten)]
        load: Load,
    },
    /// A channel's statement against payments, of a day in which differences are planted: is all of it found, and how long does it take beside DuckDB?
    Reconcile(reconcile::Wanted),
    /// The files of such a day, alone.
    Statements(reconcile::day::Wanted),
}

#[derive(Args)]
struct Load {
    /// Gate events, or orders, in a second.
    #[arg(long, default_value_t = 600.0)]
    rate: f64,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Ask for more and more until a hundredth waits longer than a second, or the queue grows.
    #[arg(long)]
    find_max: bool,
    /// The program to load [default: `boomgate` beside this one].
    #[arg(long)]
    boomgate: Option<PathBuf>,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The seed of cars and lots.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    // One worker: the machine belongs to what is measured.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(execute(Arguments::parse().scenario)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Load {
    fn wanted(self, shares: load::Shares, whole: bool) -> anyhow::Result<load::Wanted> {
        let Self { rate, seconds, find_max, boomgate, out, seed } = self;
        anyhow::ensure!(rate.is_finite() && rate >= 1.0 && seconds > 0, "a rate is at least 1 and seconds are at least 1");
        Ok(load::Wanted { rate, seconds, find_max, boomgate, out, shares, whole, beside_lines: None, seed })
    }
}

/// Runs a scenario, and says whether all was as it should be.
async fn execute(scenario: Scenario) -> anyhow::Result<bool> {
    let written = |out: &Path, files: &str| println!("written to {}: {files}", out.display());
    match scenario {
        Scenario::Entry { load, shares, beside_reconcile, lines } => {
            let out = load.out.clone();
            let wanted = load.wanted(load::Shares::of(&shares).map_err(anyhow::Error::msg)?, false)?;
            let report = load::entry(load::Wanted { beside_lines: beside_reconcile.then_some(lines), ..wanted }).await?;
            print(&report);
            written(&out, "entry.json, entry.html");
            Ok(report.is_good())
        }
        Scenario::Arbitration { load, whole } => {
            let out = load.out.clone();
            let report = load::arbitration::run(load.wanted(load::Shares::default(), whole)?).await?;
            report.print();
            written(&out, "arbitration.json");
            Ok(report.is_good())
        }
        Scenario::Payment { load } => {
            let out = load.out.clone();
            let report = load::payment::run(load.wanted(load::Shares::default(), false)?).await?;
            report.print();
            written(&out, "payment.json");
            Ok(report.is_good())
        }
        Scenario::Reconcile(wanted) => reconcile::run(&wanted).await,
        Scenario::Statements(wanted) => {
            reconcile::day::make(&wanted)?;
            written(&wanted.out, "statement.csv, payments.csv, planted.csv");
            Ok(true)
        }
    }
}

fn print(report: &load::Report) {
    println!("decided     {:.0}/s of {:.0}/s asked, for {} s", report.rate_sustained, report.rate_target, report.seconds);
    println!("entries     p50 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms", report.p50_ms, report.p99_ms, report.p999_ms, report.max_ms);
    println!("exits       p50 {:.2}  p99 {:.2} ms", report.exit_p50_ms, report.exit_p99_ms);
    println!("floor       p50 {:.2}  p99 {:.2} ms; entries take {:.1} times that", report.floor_p50_ms, report.floor_p99_ms, report.ratio_p50);
    if let Some(beside) = report.beside {
        println!("beside      {beside}");
    }
    println!("lost        {}", report.lost);
    println!("doubled     {}", report.doubled);
    println!("oracle      {}", report.oracle);
    println!("boomgate    {:.1} CPU s, {:.0} MB resident", report.boomgate_cpu_s, report.boomgate_rss_mb);
    println!("nats-server {:.1} CPU s, {:.0} MB resident", report.nats_cpu_s, report.nats_rss_mb);
    println!("appends     {}, {:.1} events in each", report.appends, report.events_per_append);
    println!("start       {} ms to the first decision", report.start_ms);
    if let Some(rate) = report.max_rate {
        println!("highest     {rate:.0}/s");
    }
}
