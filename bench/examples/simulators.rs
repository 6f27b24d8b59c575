//! The channels' simulators alone, for whoever wants to try them by hand or with a channel's own library (`scripts/check-sdk`).
//!
//! `cargo run --package bench --example simulators -- FOLDER` starts them, lets drivers pay at WeChat Pay and Alipay, and writes into the folder:
//! `access.json` (where each channel listens, our numbers there, and keys) and `notifications.jsonl`, each notification as it came; before each genuine one
//! comes one that somebody else has made up. It runs until its input ends.

use anyhow::{Context, Result, ensure};
use axum::{Router, body::to_bytes, extract::Request};
use bench::simulators::{Faults, Settings, Simulators};
use schema::Moment;
use serde_json::json;
use std::{
    fs::File,
    io::{Read, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).context("name a folder to write to")?);
    std::fs::create_dir_all(&folder)?;
    let file = Arc::new(Mutex::new(File::create(folder.join("notifications.jsonl"))?));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let notify_url = format!("http://{}/notify", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(move |request| write(file.clone(), request))).await });

    let settings = Settings { notify_url, faults: Faults { forged: 1_000, ..Faults::default() }, hurry: 1_000, ..Settings::default() };
    let simulators = Simulators::start(settings).await?;
    let access: serde_json::Map<_, _> = simulators
        .channels()
        .map(|name| {
            let at = simulators.access(name);
            (name.to_owned(), json!({ "merchant": at.merchant, "app": at.app, "base_url": at.base_url, "notify_url": at.notify_url, "serial": at.serial, "keys": at.keys }))
        })
        .collect();
    std::fs::write(folder.join("access.json"), serde_json::to_vec_pretty(&access)?)?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    for channel in ["wechat", "alipay"] {
        let paid = simulators.pay(channel, "paidattempt1", 500, Moment(i64::try_from(since.as_micros())?));
        ensure!(paid.is_ok(), "{channel} is not paid: {paid:?}");
        ensure!(simulators.settled(Duration::from_secs(10)).await, "{channel} does not come to an end");
    }
    println!("ready");
    // Until nobody writes to us any more.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// Keeps what a channel tells, and takes it.
async fn write(file: Arc<Mutex<File>>, request: Request) -> &'static str {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 100_000).await else { return "failure" };
    let headers: serde_json::Map<_, _> =
        head.headers.iter().map(|(name, value)| (name.to_string(), json!(String::from_utf8_lossy(value.as_bytes())))).collect();
    let line = json!({ "path": head.uri.path(), "headers": headers, "body": String::from_utf8_lossy(&body) });
    let written = writeln!(file.lock().expect("nobody panics while holding it"), "{line}");
    if written.is_ok() { "success" } else { "failure" }
}
