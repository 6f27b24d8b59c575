//! boomgate: what a person at a terminal, an init system and a test harness start.

use anyhow::Context;
use boomgate::{
    auth::{self, User},
    background, caller, candidates,
    config::Config,
    connect::{self, Parts},
    deadletter, demo, desk, exceptions, explain, gateway, http, import, payouts, rates, reconcile, reconciler, reference, replay,
    replica::Readiness,
    run, settle, stock, verify,
};
use clap::{Parser, Subcommand};
use schema::exception::Term;
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// A turn makes and drops many small values on any thread; this one is measurably quicker at that than the system's and gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Stream processing for car parks: opened barriers, priced stays, payments that count once.
#[derive(Parser)]
#[command(name = "boomgate", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs processors until a signal: some of entry, pricing, payment, settlement, reconciliation, gateway (the front doors), caller (of payment
    /// channels), reconciler (of their statements), or all.
    Run {
        /// Which.
        #[arg(required = true)]
        processors: Vec<String>,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml")]
        config: PathBuf,
    },
    /// Compares broker and store with what is declared, prints the difference and applies it.
    Provision {
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml")]
        config: PathBuf,
        /// Prints the difference and changes nothing.
        #[arg(long)]
        dry_run: bool,
        /// Also applies what could cost data.
        #[arg(long)]
        allow_destructive: bool,
        /// Writes keys for every lane's device and for ourselves into this folder, with the part of nats-server's configuration that says who may
        /// do what, and does nothing else. Seeds that are there stay.
        #[arg(long, value_name = "FOLDER", conflicts_with_all = ["dry_run", "allow_destructive"])]
        auth: Option<PathBuf>,
    },
    /// Lets a seeded city live on this machine, and reports.
    Demo {
        /// Stops after so many seconds; without it at Ctrl-C.
        #[arg(long)]
        seconds: Option<u64>,
        /// The city's seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many lots.
        #[arg(long, default_value_t = 700)]
        lots: usize,
        /// Seconds of the city in one of ours.
        #[arg(long, default_value_t = 600.0)]
        speed: f64,
        /// How often something happens, of a thousand visits: `prepays=150`, `coupon=50`, `holders=150`, `banned=5`, `twice=30` …; may be
        /// repeated. A word that is not there is answered with all that are.
        #[arg(long = "share", value_name = "NAME=PER_MILLE")]
        shares: Vec<String>,
        /// How often something goes wrong at the payment channels, of a thousand: `lost=10`, `doubled=20`, `forged=5`, `refund_refused=100` …; may be
        /// repeated, and replaces all that goes wrong otherwise. A word that is not there is answered with all that are.
        #[arg(long = "fault", value_name = "NAME=PER_MILLE")]
        faults: Vec<String>,
        /// Where everything is kept; emptied first.
        #[arg(long, default_value = "target/demo")]
        folder: PathBuf,
    },
    /// Pushes recorded stays through the pipeline and compares the revenue with the file.
    Replay {
        /// The recording.
        file: PathBuf,
        /// Seconds of the recording in one second, or max.
        #[arg(long, default_value = "max")]
        speed: String,
        /// The tariff (TOML, YAML or JSON); without it the default one.
        #[arg(long)]
        rates: Option<PathBuf>,
        /// First local day, as 2018-08-06.
        #[arg(long)]
        from: Option<jiff::civil::Date>,
        /// Last local day, inclusive.
        #[arg(long)]
        to: Option<jiff::civil::Date>,
        /// Writes the report here, too.
        #[arg(long)]
        json: Option<PathBuf>,
        /// Where everything is kept; emptied first.
        #[arg(long, default_value = "target/replay")]
        folder: PathBuf,
    },
    /// Says what a stay costs, line by line.
    Quote {
        /// The rate table (TOML, YAML or JSON), or reference data with several.
        #[arg(long, required_unless_present = "lot", conflicts_with = "lot")]
        rates: Option<PathBuf>,
        /// A lot of a running system: its rate table, time zone and minutes to leave count.
        #[arg(long)]
        lot: Option<schema::LotId>,
        /// The stay.
        #[command(flatten)]
        asked: rates::Asked,
        /// Prints the quote as JSON.
        #[arg(long)]
        json: bool,
        /// The configuration, for `--lot`.
        #[arg(long, default_value = "boomgate.toml")]
        config: PathBuf,
    },
    /// Looks at rate tables before they go live.
    Rates {
        /// What to do.
        #[command(subcommand)]
        what: Rates,
    },
    /// Compares a channel's statement of a day with our payments, two files alone. The exit status is 0 where all matched, 1 where something differs, and 2 where a
    /// file was refused.
    Reconcile(Reconciled),
    /// Audits a system: inboxes, journals and rows against each other.
    Verify {
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml")]
        config: PathBuf,
        /// Writes the report here, too.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Shows what could not be handled, and tries it again.
    Deadletter {
        /// What to do.
        #[command(subcommand)]
        what: Letters,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml", global = true)]
        config: PathBuf,
    },
    /// Says something at a desk: rights, bans and reservations of vehicles, each with author and reason.
    Desk {
        /// A file with one JSON object or an array of them, as the module `schema::desk` says; `-` for standard input.
        file: PathBuf,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml")]
        config: PathBuf,
    },
    /// Payments of an older system.
    Payments {
        /// What to do.
        #[command(subcommand)]
        what: Payments,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml", global = true)]
        config: PathBuf,
    },
    /// What does not match channels' statements: shows it, and does something about it.
    Exceptions {
        /// What to do.
        #[command(subcommand)]
        what: exceptions::What,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml", global = true)]
        config: PathBuf,
    },
    /// Tells the whole story of a session, order, refund or plate from the log, in plain words.
    Explain {
        /// An id, or the text of a plate, tag or ticket.
        what: String,
        /// Prints it as JSON, with the events themselves.
        #[arg(long)]
        json: bool,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml")]
        config: PathBuf,
    },
    /// Shows which cars inside a lot a plate may be that was read wrongly, the nearest first, with what to say at its desk of each.
    Candidates {
        /// The lot.
        lot: schema::LotId,
        /// The plate as it was read at the exit.
        plate: String,
        /// How many at most.
        #[arg(long, default_value_t = 5)]
        most: usize,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml")]
        config: PathBuf,
    },
    /// Compares the cars that were found in a lot with those that are inside as far as is known, and with `--author` says at its desk what differs.
    Stock {
        /// The lot.
        lot: schema::LotId,
        /// A line for each car that was found: its plate, and after a comma its colour, which several cars of one plate need; `-` for standard input.
        file: PathBuf,
        /// Who looked. Without it nothing is said.
        #[arg(long)]
        author: Option<schema::desk::AuthorId>,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml")]
        config: PathBuf,
    },
    /// What channels have paid out to the bank.
    Payouts {
        /// What to do.
        #[command(subcommand)]
        what: Payouts,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml", global = true)]
        config: PathBuf,
    },
    /// Settlement statements with their adjustments, and the running totals of windows that are open.
    Settle {
        /// What to do.
        #[command(subcommand)]
        what: Settle,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml", global = true)]
        config: PathBuf,
    },
    /// What is known of vehicles elsewhere, in the Redis that all processes share.
    Cache {
        /// What to do.
        #[command(subcommand)]
        what: Caches,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml", global = true)]
        config: PathBuf,
    },
    /// Lots, lanes, rate tables and calendars: from files into the bucket that all processors watch.
    Reference {
        /// What to do.
        #[command(subcommand)]
        what: References,
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml", global = true)]
        config: PathBuf,
    },
    /// Makes a token: prints it once, and the lines for the file that `gateway.tokens_file` or `gateway.devices_file` names.
    Token {
        /// Whose, at the operator API: the author of all that is said with it.
        #[arg(required_unless_present = "device", requires = "role")]
        person: Option<schema::desk::AuthorId>,
        /// What a person may do: viewer, cashier, finance or admin.
        #[arg(long)]
        role: Option<::gateway::tokens::Role>,
        /// The device that comes over HTTP, as LOT/LANE.
        #[arg(long, conflicts_with_all = ["person", "role"])]
        device: Option<::gateway::device::Device>,
    },
    /// Prints the configuration in force.
    Config {
        /// The configuration.
        #[arg(long, default_value = "boomgate.toml")]
        config: PathBuf,
    },
}

/// What is compared with what: two files alone, or a statement with what a running system has booked.
#[derive(clap::Args)]
struct Reconciled {
    /// Whose statement: wechat, alipay, etc or points.
    #[arg(long)]
    channel: String,
    /// The channel's day, in China, as 2026-11-23.
    #[arg(long)]
    day: jiff::civil::Date,
    /// The statement, as the channel gave it: plain, gzip or zip. Without it a running system takes the one in its folder.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Our payments as a CSV, for two files alone; `processors/channels/src/statement/payments.rs` says its columns. Without it a running system compares
    /// the statement with what it has booked, piece by piece.
    #[arg(long, requires = "file")]
    against: Option<PathBuf>,
    /// Our number at the channel. Without it that of the configuration; of two files, payments and statement must be of one merchant.
    #[arg(long)]
    merchant: Option<String>,
    /// The SHA-1 of the plain file, as the channel told it; with `--against`.
    #[arg(long, requires = "against")]
    sha1: Option<String>,
    /// The day on which exceptions are looked at, for their age; without it the day after the statement's. With `--against`.
    #[arg(long, requires = "against")]
    as_of: Option<jiff::civil::Date>,
    /// Writes the summary here, too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where exceptions.csv and report.html go.
    #[arg(long, default_value = "target/reconcile")]
    out: PathBuf,
    /// Takes the processor when nothing else wants it, so that it may run beside lanes; with `--against` (a running system compares so by itself).
    #[arg(long, requires = "against")]
    background: bool,
    /// Compares again at T+2, with the statement of the day after.
    #[arg(long, conflicts_with = "against")]
    after: bool,
    /// The configuration of the running system.
    #[arg(long, default_value = "boomgate.toml")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Rates {
    /// Refuses what is not sound, and shows what stays of 15 minutes to 3 days cost.
    Check {
        /// The rate table (TOML, YAML or JSON), or reference data with several.
        file: PathBuf,
        /// Draws the prices here.
        #[arg(long)]
        svg: Option<PathBuf>,
        /// The lots' time zone.
        #[arg(long, default_value = "Asia/Shanghai")]
        zone: String,
    },
    /// Prices recorded stays under two tariffs: who pays more, who less, and the revenue.
    Compare(rates::Compared),
}

#[derive(Subcommand)]
enum Letters {
    /// A line for each.
    List,
    /// One, whole.
    Show {
        /// Its sequence, as `list` shows it.
        letter: u64,
    },
    /// Publishes one to its inbox again, under a new message id.
    Replay {
        /// Its sequence, as `list` shows it.
        letter: u64,
    },
}

#[derive(Subcommand)]
enum Settle {
    /// Prints them for a person.
    Show(settle::Asked),
    /// Writes them for a machine to standard output, all of each.
    Export(settle::Asked),
}

#[derive(Subcommand)]
enum Payments {
    /// Brings them in by the inbox of channels, so that the first day can be compared; again changes nothing. The provinces of their merchants are in
    /// `[reconcile]`.
    Import {
        /// A CSV as `reconcile --against` takes it.
        file: PathBuf,
        /// Writes what came of it here, too.
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum Payouts {
    /// Brings them in by the inbox of statements, each to be booked once; again changes nothing, and another amount under the same reference is refused. The
    /// provinces of their merchants are in `[reconcile]`.
    Import {
        /// A CSV with the columns channel, merchant, day (the channel's, as 2026-11-23), amount (yuan), reference (the bank's), `booked_at` (by the bank, in China or
        /// with an offset) and, if wanted, operator; a row for each day of a payout. `-` for standard input.
        file: PathBuf,
        /// Who says so.
        #[arg(long)]
        author: schema::desk::AuthorId,
    },
    /// Prints what each day's statement says, what has come into the bank of it, and what is still to come.
    Show(payouts::Asked),
}

#[derive(Subcommand)]
enum Caches {
    /// Empties it and builds it anew from rows and journals. Meanwhile lanes go by their own policy.
    Rebuild,
}

#[derive(Subcommand)]
enum References {
    /// Checks a file, or all files of a folder, whole; shows what changes; asks; and puts it in force.
    Apply {
        /// The file or folder (TOML, YAML or JSON).
        path: PathBuf,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Prints what is in force.
    Show {
        /// All of it, as JSON that `apply` takes.
        #[arg(long)]
        json: bool,
    },
    /// Prints all that a file or folder would change; the exit status says whether there is something.
    Diff {
        /// The file or folder (TOML, YAML or JSON).
        path: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry(match &arguments.command {
        Command::Run { .. } => "info",
        // The city sends what becomes a dead letter on purpose; the report counts them.
        Command::Demo { .. } | Command::Replay { .. } => "error",
        _ => "warn",
    });
    let failed = ExitCode::from(match &arguments.command {
        Command::Reconcile(_) => 2,
        _ => 1,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.context("cannot start the runtime").and_then(|runtime| runtime.block_on(execute(arguments.command)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("boomgate: {error:#}");
            failed
        }
    }
}

/// Logs go to stderr; `RUST_LOG` says how much.
fn telemetry(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| default.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
}

#[expect(clippy::too_many_lines, reason = "one arm for each command")]
async fn execute(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Run { processors, config } => run_processors(&processors, &config).await.map(|()| true),
        Command::Provision { config, auth: Some(folder), .. } => authorize(&config, &folder).await.map(|()| true),
        Command::Provision { config, dry_run, allow_destructive, auth: None } => provision(&config, dry_run, allow_destructive).await.map(|()| true),
        Command::Demo { seconds, seed, lots, speed, shares, faults, folder } => {
            anyhow::ensure!(speed.is_finite() && speed > 0.0 && lots > 0, "--speed and --lots are above 0");
            demo::run(demo::Wanted { seconds, seed, lots, speed, shares, faults, folder }, signalled()).await
        }
        Command::Replay { file, speed, rates, from, to, json, folder } => {
            let speed = speed.parse().map_err(anyhow::Error::msg)?;
            replay::run(replay::Wanted { file, speed, rates, from, to, json, folder }).await
        }
        Command::Quote { rates: path, lot, mut asked, json, config } => {
            let quote = match (lot, path) {
                (Some(lot), _) => rates::price_at(reference_in_force(&config).await?, &lot, &mut asked)?,
                (None, path) => {
                    let tariffs = rates::read(&path.context("name a rate table or a lot")?)?;
                    rates::price(rates::choose(&tariffs, asked.table.as_deref())?, &asked)?
                }
            };
            print_quote(&quote, &asked, json).map(|()| true)
        }
        Command::Rates { what: Rates::Check { file, svg, zone } } => rates::check(&file, svg.as_deref(), &zone).map(|()| true),
        Command::Rates { what: Rates::Compare(compared) } => rates::compare(&compared).map(|()| true),
        Command::Reconcile(reconciled) if reconciled.against.is_some() => compare_files(reconciled),
        Command::Reconcile(reconciled) => compare(&reconciled).await,
        Command::Verify { config, json } => audit(&config, json.as_deref()).await,
        Command::Deadletter { what, config } => {
            let parts = connect::connect(&Config::read(&config)?, User::Operator, "boomgate deadletter").await?;
            match what {
                Letters::List => deadletter::list(&*parts.bus).await?,
                Letters::Show { letter } => deadletter::show(&*parts.bus, letter).await?,
                Letters::Replay { letter } => deadletter::replay(&*parts.bus, letter).await?,
            }
            parts.stop().await;
            Ok(true)
        }
        Command::Desk { file, config } => {
            let events = desk::read(&desk::text(&file)?)?;
            let (bus, server) = Parts::broker(&Config::read(&config)?, User::Operator, "boomgate desk", true).await?;
            let all = desk::say(bus, &events).await;
            if let Some(mut server) = server {
                server.stop().await;
            }
            all
        }
        Command::Payments { what: Payments::Import { file, json }, config } => {
            let config = Config::read(&config)?;
            let (bus, server) = Parts::broker(&config, User::Operator, "boomgate payments", true).await?;
            let counts = import::import(bus, &file, |merchant| Some(config.province(merchant)).filter(|province| province.0 > 0)).await;
            if let Some(mut server) = server {
                server.stop().await;
            }
            let counts = counts?;
            import::print(&counts);
            if let Some(path) = json {
                std::fs::write(&path, serde_json::to_vec_pretty(&counts)?).with_context(|| format!("cannot write {}", path.display()))?;
            }
            Ok(counts.left.is_empty())
        }
        Command::Exceptions { what, config } => {
            let parts = connect::connect(&Config::read(&config)?, User::Operator, "boomgate exceptions").await?;
            let done = exceptions::run(&what, parts.bus.clone(), parts.store.clone()).await;
            parts.stop().await;
            done
        }
        Command::Candidates { lot, plate, most, config } => {
            let parts = connect::connect(&Config::read(&config)?, User::Auditor, "boomgate candidates").await?;
            let found = candidates::find(&*parts.store, lot, &plate, most).await;
            parts.stop().await;
            Ok(candidates::print(&found?, lot, &plate))
        }
        Command::Stock { lot, file, author, config } => {
            let found = stock::read(&desk::text(&file)?)?;
            let parts = connect::connect(&Config::read(&config)?, User::Operator, "boomgate stock").await?;
            let differences = stock::compare(&*parts.store, lot, found).await;
            let said = match (&differences, author) {
                (Ok(differences), Some(author)) => {
                    stock::print(differences);
                    let now = parts.bus.look("DESK").await?.now;
                    let said = desk::say(parts.bus.clone(), &stock::says(differences, lot, author, now)).await;
                    said.map(|all| all && differences.unclear.is_empty())
                }
                (Ok(differences), None) => {
                    stock::print(differences);
                    Ok(differences.is_empty())
                }
                (Err(_), _) => Ok(false),
            };
            parts.stop().await;
            differences.and(said)
        }
        Command::Explain { what, json, config } => explained(&what, json, &Config::read(&config)?).await.map(|()| true),
        Command::Payouts { what, config } => paid_out(what, &config).await,
        Command::Settle { what, config } => settled(what, &config).await.map(|()| true),
        Command::Cache { what: Caches::Rebuild, config } => {
            let parts = connect::connect(&Config::read(&config)?, User::Operator, "boomgate cache").await?;
            anyhow::ensure!(parts.cache.is_shared(), "no cache.address is set: each process has a cache of its own, and builds it at its start");
            let rebuilt = parts.follower().rebuild().await;
            parts.stop().await;
            // Somebody else has begun to do the same since: it is on its way either way.
            rebuilt.map(|_| true).map_err(Into::into)
        }
        Command::Reference { what, config } => refer(&what, &config).await,
        Command::Token { person, role, device } => match (person, role, device) {
            (_, _, Some(device)) => gateway::device_token(device).map(|()| true),
            (Some(person), Some(role), None) => gateway::token(person, role).map(|()| true),
            _ => anyhow::bail!("whose token? name a person with --role, or a --device"),
        },
        Command::Config { config } => print_config(&config).map(|()| true),
    }
}

/// Tells a story from the log, and of what the log does not keep any more how the rows say that it stands.
async fn explained(what: &str, json: bool, config: &Config) -> anyhow::Result<()> {
    let (bus, server) = Parts::broker(config, User::Auditor, "boomgate explain", true).await?;
    // Without reference data times are told in UTC.
    let declared = reference::in_force(&*bus).await.unwrap_or_default();
    let (reference, asked) = (schema::Reference::resolve(declared)?, explain::What::of(what));
    let told = explain::story(&*bus, &reference, &asked).await;
    if let Some(mut server) = server {
        server.stop().await;
    }
    let (told, retention) = (told?, config.settings().retention);
    let lacking = explain::lacking(&told);
    if !told.is_empty() && lacking.is_empty() {
        return explain::print(&told, what, json);
    }
    let rows = async {
        let location: store::Location = config.store.location.parse()?;
        let store = store::open(&location).await?;
        if told.is_empty() { explain::kept(&*store, &reference, &asked).await } else { explain::before(&*store, &reference, &lacking).await }
    };
    match rows.await {
        Ok(kept) if told.is_empty() => explain::print_kept(&kept, what, retention, json),
        Ok(before) => explain::print_whole(&before, &told, what, retention, json),
        Err(error) if told.is_empty() => Err(error),
        Err(error) => {
            // What the log tells needs no store.
            eprintln!("its beginning is not in the log any more, and its rows cannot be read: {error:#}");
            explain::print(&told, what, json)
        }
    }
}

async fn paid_out(what: Payouts, path: &Path) -> anyhow::Result<bool> {
    let config = Config::read(path)?;
    match what {
        Payouts::Show(asked) => {
            let location: store::Location = config.store.location.parse()?;
            let found = payouts::find(&*store::open(&location).await?, &asked).await?;
            payouts::write(&found, asked.format.unwrap_or(settle::Format::Table), &mut std::io::stdout().lock())?;
            Ok(true)
        }
        Payouts::Import { file, author } => {
            let province = |merchant: &str| Some(config.province(merchant)).filter(|province| province.0 > 0);
            let told = payouts::read(&desk::text(&file)?, author, province).with_context(|| format!("cannot bring {} in", file.display()))?;
            let parts = connect::connect(&config, User::Operator, "boomgate payouts").await?;
            let came = payouts::import(&*parts.bus, &*parts.store, &told).await;
            parts.stop().await;
            Ok(payouts::print(&told, &came?))
        }
    }
}

async fn settled(what: Settle, path: &Path) -> anyhow::Result<()> {
    let (asked, otherwise) = match what {
        Settle::Show(asked) => (asked, settle::Format::Table),
        Settle::Export(asked) => (asked, settle::Format::Csv),
    };
    let location: store::Location = Config::read(path)?.store.location.parse()?;
    let found = settle::find(&*store::open(&location).await?, &asked).await?;
    settle::write(&found, asked.format.unwrap_or(otherwise), &mut std::io::stdout().lock())
}

fn print_quote(quote: &schema::journal::Quote, asked: &rates::Asked, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(quote)?);
        return Ok(());
    }
    rates::show(quote, asked)
}

fn print_config(path: &Path) -> anyhow::Result<()> {
    print!("{}", toml::to_string_pretty(&Config::read(path)?)?);
    Ok(())
}

async fn run_processors(names: &[String], path: &Path) -> anyhow::Result<()> {
    let config = Config::read(path)?;
    let (parts, names): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| [gateway::NAME, caller::NAME, reconciler::NAME].contains(&name.as_str()));
    let is_named = |part: &str| parts.iter().any(|name| *name == part);
    let is_all = names.iter().any(|name| *name == "all");
    let has_doors = is_named(gateway::NAME) || (is_all && !config.gateway.listen.is_empty());
    // Without a channel of our own somebody else plays them: the harness does.
    let calls = is_named(caller::NAME) || (is_all && !config.channels.is_empty());
    let compares = is_named(reconciler::NAME) || (is_all && !config.reconcile.folder.as_os_str().is_empty());
    anyhow::ensure!(!compares || !config.reconcile.folder.as_os_str().is_empty(), "statements lie nowhere: set reconcile.folder");
    anyhow::ensure!(!has_doors || !config.gateway.listen.is_empty(), "the front doors have no address: set gateway.listen");
    let processors = run::named(&names)?;
    let declared = config.reference_files().map(reference::files::read).transpose()?;
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().context("cannot count")?;
    let shutdown = signalled();
    let readiness = Arc::new(Readiness::default());
    let beside = [(has_doors, gateway::NAME), (calls, caller::NAME)].into_iter().filter(|(is_here, _)| *is_here).map(|(_, name)| name);
    let names = processors.iter().map(|rules| rules.name).chain(beside).collect();
    if !config.http.listen.is_empty() {
        let address = http::serve(&config.http.listen, names, readiness.clone(), metrics, shutdown.clone()).await?;
        tracing::info!(%address, "probes and metrics");
    }
    if processors.is_empty() {
        if has_doors {
            let parts = connect::connect(&config, User::Gateway, "boomgate gateway").await?;
            // A cache of this process's own would know of nothing.
            let shared = !config.cache.address.is_empty() || !config.cache.address_file.as_os_str().is_empty();
            let cache = shared.then(|| parts.cache.clone());
            let with = gateway::With { bus: parts.jetstream.clone(), store: parts.store.clone(), cache };
            let doors = gateway::open(&config, with, shutdown.clone()).await?;
            readiness.opened(gateway::NAME);
            let reconciler = reconcile_beside(compares, &parts, &config, shutdown.clone()).await?;
            if calls {
                let bus = parts.beside(&config, User::Caller, "boomgate caller").await?;
                let caller = caller::start(&config, bus, connect::replica(), shutdown)?;
                readiness.opened(caller::NAME);
                caller.await?;
            }
            doors.await?;
            ended(reconciler).await?;
            parts.stop().await;
        } else if compares {
            let parts = connect::connect(&config, User::Reconciler, "boomgate reconciler").await?;
            let caller = if calls {
                let bus = parts.beside(&config, User::Caller, "boomgate caller").await?;
                Some(caller::start(&config, bus, connect::replica(), shutdown.clone())?)
            } else {
                None
            };
            let settings = reconciler::Settings::of(&config).fetching(&config)?;
            reconciler::run(reconciler::Shared::of(&parts), settings, connect::replica(), shutdown).await;
            ended(caller).await?;
            parts.stop().await;
        } else {
            let (bus, server) = Parts::broker(&config, User::Caller, "boomgate caller", true).await?;
            let caller = caller::start(&config, bus, connect::replica(), shutdown)?;
            readiness.opened(caller::NAME);
            caller.await?;
            if let Some(mut server) = server {
                server.stop().await;
            }
        }
        return Ok(());
    }
    let parts = connect::connect(&config, User::of(processors[0]), "boomgate run").await?;
    // Each is a part of its own at the broker, with rights of its own.
    let doors = if has_doors {
        let bus = parts.beside(&config, User::Gateway, "boomgate gateway").await?;
        let with = gateway::With { bus, store: parts.store.clone(), cache: Some(parts.cache.clone()) };
        let doors = gateway::open(&config, with, shutdown.clone()).await?;
        readiness.opened(gateway::NAME);
        Some(doors)
    } else {
        None
    };
    let caller = if calls {
        let bus = parts.beside(&config, User::Caller, "boomgate caller").await?;
        let caller = caller::start(&config, bus, connect::replica(), shutdown.clone())?;
        readiness.opened(caller::NAME);
        Some(caller)
    } else {
        None
    };
    let reconciler = reconcile_beside(compares, &parts, &config, shutdown.clone()).await?;
    let guard = parts.guard(shutdown.clone());
    if let Some(reference) = reference::begin(parts.jetstream.clone(), declared, shutdown.clone()).await? {
        parts.run(&config, processors, reference, readiness, shutdown).await?;
    }
    if let Some(doors) = doors {
        doors.await?;
    }
    if let Some(caller) = caller {
        caller.await?;
    }
    ended(reconciler).await?;
    guard.abort();
    parts.stop().await;
    Ok(())
}

/// Waits until a part of the program has ended, if there is one.
async fn ended(part: Option<tokio::task::JoinHandle<()>>) -> anyhow::Result<()> {
    match part {
        Some(part) => Ok(part.await?),
        None => Ok(()),
    }
}

/// Compares channels' statements beside the other parts, as a part of its own at the broker, where that is wanted.
async fn reconcile_beside(
    wanted: bool,
    parts: &Parts,
    config: &Config,
    shutdown: watch::Receiver<bool>,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    if !wanted {
        return Ok(None);
    }
    let settings = reconciler::Settings::of(config).fetching(config)?;
    let bus = parts.beside(config, User::Reconciler, "boomgate reconciler").await?;
    let shared = reconciler::Shared { bus: bus.clone(), buckets: bus, store: parts.store.clone() };
    Ok(Some(tokio::spawn(reconciler::run(shared, settings, connect::replica(), shutdown))))
}

/// Compares two files alone, on this thread and those that it starts.
fn compare_files(wanted: Reconciled) -> anyhow::Result<bool> {
    let Reconciled { channel, day, file, against, merchant, sha1, as_of, json, out, background, .. } = wanted;
    let (file, against) = file.zip(against).context("two files are compared: name --file and --against")?;
    if background {
        background::lower();
    }
    reconcile::run(&reconcile::Wanted { channel, day, file, against, merchant, sha1, as_of, json, out })
}

/// Asks the reconcilers to compare a day, and shows what comes of it.
async fn compare(wanted: &Reconciled) -> anyhow::Result<bool> {
    let Reconciled { after, config: path, .. } = wanted;
    let config = Config::read(path)?;
    let (channel, _) = channels::form(&wanted.channel)?;
    let of_channel = || config.channels.get(channel).map(|at| at.merchant.clone());
    let merchant = wanted.merchant.clone().or_else(of_channel).unwrap_or_default();
    let file = wanted.file.as_ref().map(|file| std::path::absolute(file).map(|file| file.display().to_string())).transpose()?;
    let term = if *after { Term::After } else { Term::Next };
    let asked = reconciler::ask::Wanted { channel: channel.to_owned(), merchant, day: wanted.day, term, file, wait: Duration::from_secs(60) };
    let parts = connect::connect(&config, User::Operator, "boomgate reconcile").await?;
    let report = reconciler::ask::ask(&reconciler::Shared::of(&parts), &asked).await;
    parts.stop().await;
    let report = report?;
    if let Some(path) = &wanted.json {
        reconciler::ask::write(&report, path)?;
    }
    let is_good = reconciler::ask::print(&report);
    reconciler::ask::tell(&report, &wanted.out)?;
    println!("  written to {}: exceptions.csv, report.html", wanted.out.display());
    Ok(is_good)
}

async fn provision(path: &Path, dry_run: bool, allow_destructive: bool) -> anyhow::Result<()> {
    let config = Config::read(path)?;
    let location: store::Location = config.store.location.parse()?;
    if !dry_run {
        let declared = connect::declared(&config);
        store::provision(&location, declared.replicas).await?;
        println!("store {location}: as declared");
    }
    let parts = Parts::broker(&config, User::Operator, "boomgate provision", false).await?;
    let declared = connect::declared(&config);
    let differences = streams::provision::plan(&parts.0, &declared).await?;
    for difference in &differences {
        println!("{difference}");
    }
    if dry_run {
        println!("{} differences, nothing was changed", differences.len());
    } else {
        let left = streams::provision::apply(&parts.0, &declared, allow_destructive).await?;
        println!("streams and consumers: {} differences found, {} left as they are", differences.len(), left.len());
    }
    if let Some(mut server) = parts.1 {
        server.stop().await;
    }
    Ok(())
}

/// Writes who may do what. The lanes are those of the configuration's reference data, or of the bucket where that alone counts.
async fn authorize(path: &Path, folder: &Path) -> anyhow::Result<()> {
    let config = Config::read(path)?;
    let declared = if let Some(files) = config.reference_files() {
        reference::files::read(files)?.declared()?
    } else {
        reference_in_force(path).await.context(
            "the lanes are read from the bucket of reference data; where no broker lets us in yet, name the files in `reference` for this once",
        )?
    };
    let lanes = declared.lots.iter().flat_map(|lot| lot.lanes.iter().map(|lane| auth::Device { lot: lot.lot, lane: lane.lane }));
    let auth::Written { kept, made, dropped } = auth::write(folder, config.settings.groups, lanes)?;
    for name in &made {
        println!("new key for {name}");
    }
    for name in &dropped {
        println!("no access any more for {name}; delete its seed, or it is let in again if that lane comes back");
    }
    println!(
        "keys: {} new, {kept} kept, {} without access; nats-server takes {} in at its next reload, and keys of new lanes in full at the second",
        made.len(),
        dropped.len(),
        auth::config(folder).display()
    );
    Ok(())
}

/// The reference data of a running system.
async fn reference_in_force(path: &Path) -> anyhow::Result<schema::reference::Declared> {
    let (bus, server) = Parts::broker(&Config::read(path)?, User::Operator, "boomgate", true).await?;
    let declared = reference::in_force(&*bus).await;
    if let Some(mut server) = server {
        server.stop().await;
    }
    declared
}

async fn refer(what: &References, path: &Path) -> anyhow::Result<bool> {
    let config = Config::read(path)?;
    let (bus, server) = Parts::broker(&config, User::Operator, "boomgate reference", true).await?;
    let outcome = match what {
        References::Apply { path, yes } => reference::apply(&*bus, path, *yes).await.map(|()| true),
        References::Show { json } => reference::show(&*bus, *json).await.map(|()| true),
        References::Diff { path } => reference::diff(&*bus, path).await,
    };
    if let Some(mut server) = server {
        server.stop().await;
    }
    outcome
}

async fn audit(path: &Path, json: Option<&Path>) -> anyhow::Result<bool> {
    let parts = connect::connect(&Config::read(path)?, User::Auditor, "boomgate verify").await?;
    let report = verify::verify(&*parts.bus, &*parts.store).await?;
    verify::print(&report);
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    parts.stop().await;
    Ok(report.clean)
}

/// Becomes true at the first signal; the second one leaves at once.
fn signalled() -> watch::Receiver<bool> {
    let (shutdown, receiver) = watch::channel(false);
    tokio::spawn(async move {
        signal().await;
        tracing::info!("stopping: what is begun is finished; a second signal leaves at once");
        shutdown.send_replace(true);
        signal().await;
        leave_at_once();
    });
    receiver
}

#[expect(clippy::disallowed_methods, reason = "the second signal asks for just this, and this is main")]
fn leave_at_once() -> ! {
    std::process::exit(130)
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::error!(%error, "cannot hear SIGTERM");
            tokio::signal::ctrl_c().await.ok();
        }
    }
}
