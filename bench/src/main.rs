//! The bench harness: starts boomgate as the world does, loads it, and writes down what came of it.

mod load;

use clap::{Parser, Subcommand};
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
        /// Gate events in a second.
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
        /// How often something happens, of a thousand visits: `holders=150`, `banned=5`, `prepays=100`, `coupon=50`, `by_itself=5`; may be repeated.
        #[arg(long = "share", value_name = "NAME=PER_MILLE")]
        shares: Vec<String>,
        /// The seed of cars and lots.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    let Scenario::Entry { rate, seconds, find_max, boomgate, out, shares, seed } = Arguments::parse().scenario;
    if !rate.is_finite() || rate < 1.0 || seconds == 0 {
        eprintln!("bench: a rate is at least 1 and seconds are at least 1");
        return ExitCode::FAILURE;
    }
    let shares = match load::Shares::of(&shares) {
        Ok(shares) => shares,
        Err(wrong) => {
            eprintln!("bench: {wrong}");
            return ExitCode::FAILURE;
        }
    };
    let wanted = load::Wanted { rate, seconds, find_max, boomgate, out: out.clone(), shares, seed };
    // One worker: the machine belongs to what is measured.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(load::entry(wanted)));
    match done {
        Ok(report) => {
            let good = report.is_good();
            print(&report);
            println!("written: {} and entry.html", out.join("entry.json").display());
            if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
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
