//! How fast payments are posted, and how long it takes to close a province's day, on a real nats-server with rows in SQLite:
//! `make bench SCENARIO=settlement`.
//!
//! 300,000 payments of yesterday lie in PAYMENT, of 700 lots and by four channels; the processor `settlement` alone runs. First it posts all of them. Then
//! it is stopped until every window is due, and started again: what is measured is from when it has caught up until the last window has closed, each
//! after its rows were read from the file and folded.
//!
//! It looks inside, so it is no scenario of the crate `bench`, which knows the words and the roads alone. Its argument is the folder that settlement.json goes to;
//! without one it only prints.
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use anyhow::{Context, ensure};
use boomgate::{replica::Readiness, run, settings::Settings};
use rules::{Limits, settlement::Fees};
use schema::{
    Cause, Currency, Event, Inbox, Journal, Moment, Money, Partition, Recorded, Reference,
    id::{self, Kind, Place, Province},
    journal::{Bill, PaymentEvent, Source},
    reference::{Declared, LotDeclared},
    time::{DAY, SECOND},
    wire::{self, Format},
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use store::Sqlite;
use streams::{Append, Bus, JetStream, Message, Options, Server};
use tokio::{sync::watch, task::JoinHandle};

const PAYMENTS: i64 = 300_000;
const LOTS: i64 = 700;
/// How many payments of one partition stand together.
const BATCH: usize = 100;
const CHANNELS: [&str; 4] = ["wechat", "alipay", "etc", "unionpay"];

fn reference() -> anyhow::Result<Reference> {
    let lot = |number: i64| -> anyhow::Result<LotDeclared> {
        Ok(LotDeclared { province: Province(44), zone: "Asia/Shanghai".into(), ..LotDeclared::named(format!("lot-{number}").parse()?) })
    };
    Ok(Reference::resolve(Declared { lots: (0..LOTS).map(lot).collect::<Result<_, _>>()?, ..Declared::default() })?)
}

/// The payment of that number: it was paid on the local day that began at `from`, and its like come one after the other.
fn payment(number: i64, from: Moment, now: Moment) -> anyhow::Result<(Partition, Recorded)> {
    let lot = format!("lot-{}", number % LOTS);
    let partition = Partition::of_lot(&lot);
    let place = Place { province: Province(44), day: schema::Zone::named("Asia/Shanghai").context("a zone")?.day(from), partition };
    let channel = CHANNELS[usize::try_from((number / LOTS) % 4)?];
    let event = PaymentEvent::Applied {
        bill: Bill { order: id::derive(Kind::Order, place, &[&number.to_string()]), lot: Some(lot.parse()?), day: place.day },
        source: Source { channel: channel.into(), transaction: format!("4200{number}").into() },
        amount: Money::new(500 + number % 3_000, Currency::Cny),
        held: false,
        paid_at: Some(from.plus(number * (DAY / PAYMENTS))),
        provisional: false,
        part: None,
        discounts: None,
        reason: None,
    };
    let at = now.plus(number);
    let cause = Cause { inbox: Inbox::Channel, sequence: 1, event: number.to_string().into(), time: at, index: 0 };
    Ok((partition, Recorded { at, cause, event: Event::Payment(event) }))
}

/// Writes all payments into PAYMENT, all partitions side by side, each in its order.
async fn fill(bus: &dyn Bus, from: Moment, now: Moment) -> anyhow::Result<()> {
    let mut messages: BTreeMap<Partition, Vec<Message>> = BTreeMap::new();
    for number in 0..PAYMENTS {
        let (partition, recorded) = payment(number, from, now)?;
        let subject = streams::subject::journal_subject(Journal::Payment, Province(44), partition, "applied");
        let payload = wire::encode(Format::MessagePack, &recorded).into();
        let headers = BTreeMap::from([(wire::CONTENT_TYPE.to_owned(), Format::MessagePack.content_type().to_owned())]);
        messages.entry(partition).or_default().push(Message { subject, payload, headers });
    }
    let mut last: BTreeMap<Partition, u64> = BTreeMap::new();
    for at in 0_usize.. {
        let mut some = false;
        for (partition, messages) in &messages {
            let Some(batch) = messages.chunks(BATCH).nth(at) else { continue };
            let expected = last.get(partition).copied().unwrap_or(0);
            let appended = bus.append(Append { journal: Journal::Payment, partition: *partition, expected, messages: batch.to_vec() }).await?;
            last.insert(*partition, appended.last);
            some = true;
        }
        if !some {
            break;
        }
    }
    Ok(())
}

/// The processor, until it is told to stop.
fn start(bus: &Arc<JetStream>, store: &Arc<Sqlite>, limits: &Limits) -> anyhow::Result<(watch::Sender<bool>, Arc<Readiness>, JoinHandle<()>)> {
    let (stop, stopped) = watch::channel(false);
    let readiness = Arc::new(Readiness::default());
    let with = run::With {
        bus: bus.clone(),
        store: store.clone(),
        cache: Arc::new(store::cache::Memory::new(1)),
        reference: Arc::new(reference()?).into(),
        limits: limits.clone(),
        settings: Settings::default(),
        json: Vec::new(),
        replica: "settlement".into(),
    };
    let running = tokio::spawn(run::run(vec![&rules::settlement::RULES], with, readiness.clone(), stopped));
    Ok((stop, readiness, running))
}

/// How many messages LEDGER has.
async fn ledger(bus: &dyn Bus) -> anyhow::Result<u64> {
    Ok(bus.look("LEDGER").await?.last)
}

async fn until(bound: Duration, what: &str, mut done: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    while !done().await? {
        ensure!(begin.elapsed() < bound, "{what} took longer than {bound:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(begin.elapsed())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("boomgate-settlement-{}", std::process::id()));
    let mut server = Server::start(&folder).await?;
    let bus = Arc::new(JetStream::connect(&server.url(), Options { name: "settlement".into(), ..Options::default() }).await?);
    bus.provision(&streams::Declared::default()).await?;
    let store = Arc::new(Sqlite::open(&folder.join("rows.db"))?);
    let now = bus.look("GATE").await?.now;
    let (from, _) = schema::Zone::named("Asia/Shanghai").context("a zone")?.day_span(now.plus(-DAY));
    fill(&*bus, from, now).await?;

    let fees = Fees::from([("wechat".into(), 6_000), ("alipay".into(), 6_000)]);
    // Each window has a posting every few seconds, so none closes while they are posted.
    let limits = Limits { fees, lateness: 150 * SECOND, ..Limits::default() };
    let payments = u64::try_from(PAYMENTS)?;
    let (stop, readiness, running) = start(&bus, &store, &limits)?;
    until(Duration::from_secs(30), "starting", async || Ok(readiness.is_ready(&["settlement"]))).await?;
    let begun = ledger(&*bus).await?;
    let took = until(Duration::from_secs(590), "posting", async || Ok(ledger(&*bus).await? >= payments)).await?;
    // What was posted while it started is not counted, for nobody timed it.
    let counted = payments.saturating_sub(begun);
    let posted_per_s = f64::from(u32::try_from(counted)?) / took.as_secs_f64();
    println!("{counted} payments posted in {:.1} s: {posted_per_s:.0} a second", took.as_secs_f64());
    stop.send_replace(true);
    running.await?;

    let posted = ledger(&*bus).await?;
    let due = bus.look("LEDGER").await?.now.plus(limits.lateness);
    println!("waiting until every window is due, 150 s after the last payment");
    until(Duration::from_secs(200), "waiting", async || Ok(bus.look("LEDGER").await?.now > due)).await?;
    let (stop, readiness, running) = start(&bus, &store, &limits)?;
    let caught_up = until(Duration::from_secs(60), "starting", async || Ok(readiness.is_ready(&["settlement"]))).await?;
    let windows = u64::try_from(LOTS)? * CHANNELS.len() as u64;
    let closing = until(Duration::from_secs(120), "closing", async || Ok(ledger(&*bus).await? >= posted + windows)).await?;
    println!("{windows} windows closed in {:.2} s after {:.2} s to take over", closing.as_secs_f64(), caught_up.as_secs_f64());
    stop.send_replace(true);
    running.await?;
    ensure!(ledger(&*bus).await? == posted + windows, "something else was posted");
    let found = boomgate::settle::find(&*store, &boomgate::settle::Asked::default()).await?;
    let total = found.totals.get(&Currency::Cny).context("there is money")?;
    ensure!(total.payments == payments && found.statements.iter().all(|line| line.hash.is_some()), "a statement lacks something");
    server.stop().await;
    fs::remove_dir_all(&folder)?;
    if let Some(out) = std::env::args().nth(1) {
        let report = serde_json::json!({
            "scenario": "settlement",
            "payments": PAYMENTS,
            "posted_per_s": posted_per_s,
            "windows": windows,
            "caught_up_s": caught_up.as_secs_f64(),
            "close_s": closing.as_secs_f64(),
        });
        tell(Path::new(&out), &report)?;
    }
    Ok(())
}

/// Writes settlement.json.
fn tell(out: &Path, report: &serde_json::Value) -> anyhow::Result<()> {
    let path = out.join("settlement.json");
    fs::create_dir_all(out).with_context(|| format!("no folder {}", out.display()))?;
    fs::write(&path, serde_json::to_string_pretty(report)? + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}
