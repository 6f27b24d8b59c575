//! The bench harness: starts boomgate as the world does, loads it, and writes down what came of it.

mod load;

use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

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
    let scenario = Arguments::parse().scenario;
    let (load, shares) = match &scenario {
        Scenario::Entry { load, shares } => (load, load::Shares::of(shares)),
        Scenario::Arbitration { load, .. } | Scenario::Payment { load } => (load, Ok(load::Shares::default())),
    };
    let &Load { rate, seconds, find_max, ref boomgate, ref out, seed } = load;
    if !rate.is_finite() || rate < 1.0 || seconds == 0 {
        eprintln!("bench: a rate is at least 1 and seconds are at least 1");
        return ExitCode::FAILURE;
    }
    let shares = match shares {
        Ok(shares) => shares,
        Err(wrong) => {
            eprintln!("bench: {wrong}");
            return ExitCode::FAILURE;
        }
    };
    let whole = matches!(scenario, Scenario::Arbitration { whole: true, .. });
    let wanted = load::Wanted { whole, rate, seconds, find_max, boomgate: boomgate.clone(), out: out.clone(), shares, seed };
    // One worker: the machine belongs to what is measured.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(&scenario, wanted)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs it, and says whether all was as it should be.
async fn run(scenario: &Scenario, wanted: load::Wanted) -> anyhow::Result<bool> {
    let out = wanted.out.clone();
    let (good, written) = match scenario {
        Scenario::Entry { .. } => {
            let report = load::entry(wanted).await?;
            print(&report);
            (report.is_good(), "entry.json, entry.html")
        }
        Scenario::Arbitration { .. } => {
            let report = load::arbitration::run(wanted).await?;
            report.print();
            (report.is_good(), "arbitration.json")
        }
        Scenario::Payment { .. } => {
            let report = load::payment::run(wanted).await?;
            report.print();
            (report.is_good(), "payment.json")
        }
    };
    println!("written to {}: {written}", out.display());
    Ok(good)
}

fn print(report: &load::Report) {
    println!("decided     {:.0}/s of {:.0}/s asked, for {} s", report.rate_sustained, report.rate_target, report.seconds);
    println!("entries     p50 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2} ms", report.p50_ms, report.p99_ms, report.p999_ms, report.max_ms);
    println!("exits       p50 {:.2}  p99 {:.2} ms", report.exit_p50_ms, report.exit_p99_ms);
    println!("floor       p50 {:.2}  p99 {:.2} ms; entries take {:.1} times that", report.floor_p50_ms, report.floor_p99_ms, report.ratio_p50);
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
