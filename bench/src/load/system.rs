//! The system under test, as the world starts it: a nats-server, `boomgate provision`, `boomgate run all`, each a process.
//!
//! Invariants
//! 1. Nothing is left running when this is dropped   (`Server` and `Child` are killed on drop).
//!
//! Not here: what is sent to it (`step`).

use anyhow::{Context, Result, bail, ensure};
use bench::Terms;
use schema::reference::Declared;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use streams::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::Instant,
};

/// Ticks of a CPU second in `/proc` (`USER_HZ`; 100 on every Linux of today).
const TICKS: u64 = 100;
/// What the channels charge here.
const FEES: &str = "[limits.fees]\nwechat = \"0.006\"\nalipay = \"0.006\"\n";

/// The terms of that, as the oracle is told.
pub fn terms() -> Terms {
    Terms { fees: ["wechat", "alipay"].map(|channel| (channel.to_owned(), 6_000)).into(), ..Terms::default() }
}

/// The program under test: the one that is named, or `boomgate` beside this one.
pub fn program(named: Option<&Path>) -> Result<PathBuf> {
    let program = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe().context("where am I?")?.with_file_name("boomgate"),
    };
    ensure!(program.is_file(), "there is no {}: build it (`cargo build --release`), or name it with --boomgate", program.display());
    Ok(program)
}

/// A running system.
pub struct System {
    /// The broker.
    pub server: Server,
    boomgate: Option<Child>,
    binary: PathBuf,
    config: PathBuf,
    metrics: String,
    /// Where `boomgate` writes what it says.
    pub log: PathBuf,
    /// Everything of it.
    folder: tempfile::TempDir,
}

impl System {
    /// Starts the broker and writes the configuration; `boomgate` is not running yet.
    ///
    /// `more` is added to it: tables that this run needs.
    pub async fn prepare(boomgate: Option<&Path>, out: &Path, declared: &Declared, more: &str) -> Result<Self> {
        let binary = program(boomgate)?;
        let folder = tempfile::tempdir().context("no folder for the run")?;
        let server = Server::start(&folder.path().join("nats")).await?;
        let reference = folder.path().join("reference.toml");
        fs::write(&reference, toml::to_string(declared)?)?;
        let listen = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
        let log = out.join("boomgate.log");
        fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
        let config = folder.path().join("boomgate.toml");
        let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
        let store = format!("sqlite:{}", folder.path().join("boomgate.db").display());
        let text = format!(
            "reference = {}\n[nats]\nurl = \"{}\"\n[store]\nlocation = {}\n[http]\nlisten = \"{listen}\"\n[loop]\nkeep_inputs = true\n{FEES}{more}",
            quoted(&reference),
            server.url(),
            quoted(Path::new(&store)),
        );
        fs::write(&config, text)?;
        Ok(Self { server, boomgate: None, binary, config, metrics: listen, log, folder })
    }

    /// Brings the broker to what is declared.
    pub async fn provision(&self) -> Result<()> {
        let mut provision = Command::new(&self.binary);
        provision.arg("provision").arg("--config").arg(&self.config).kill_on_drop(true);
        let done = provision.output().await.with_context(|| format!("{} cannot be run", self.binary.display()))?;
        ensure!(done.status.success(), "boomgate provision failed:\n{}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    /// Starts processors.
    pub fn start(&mut self, processors: &[&str]) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut run = Command::new(&self.binary);
        run.arg("run").args(processors).arg("--config").arg(&self.config).current_dir(self.folder.path());
        run.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        self.boomgate = Some(run.spawn()?);
        Ok(())
    }

    /// Fails where `boomgate` has ended.
    pub fn check(&mut self) -> Result<()> {
        let Some(child) = &mut self.boomgate else { bail!("boomgate has not been started") };
        if let Some(status) = child.try_wait()? {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            bail!("boomgate ended: {status}; its last lines:\n{}", lines[lines.len().saturating_sub(10)..].join("\n"));
        }
        Ok(())
    }

    /// Has other processors run.
    pub async fn restart(&mut self, processors: &[&str]) -> Result<()> {
        self.leave().await?;
        self.start(processors)
    }

    /// Asks `boomgate` to leave and waits for it, then ends the broker.
    pub async fn stop(&mut self) -> Result<()> {
        self.leave().await?;
        self.server.stop().await;
        Ok(())
    }

    async fn leave(&mut self) -> Result<()> {
        if let Some(mut child) = self.boomgate.take() {
            if let Some(pid) = child.id() {
                Command::new("kill").arg(pid.to_string()).status().await.context("kill cannot be run")?;
            }
            if tokio::time::timeout(Duration::from_secs(15), child.wait()).await.is_err() {
                child.kill().await?;
            }
        }
        Ok(())
    }

    /// What the processes have used until now.
    pub fn usage(&self) -> [Usage; 3] {
        let boomgate = self.boomgate.as_ref().and_then(Child::id).unwrap_or(0);
        [Usage::of(boomgate), Usage::of(self.server.pid()), Usage::of(std::process::id())]
    }

    /// The sums of some of `boomgate`'s counters over all processors; an error where it does not answer.
    pub async fn counters<const N: usize>(&self, names: [&str; N]) -> Result<[u64; N]> {
        let text = tokio::time::timeout(Duration::from_secs(5), get(&self.metrics)).await.context("no metrics in 5 s")??;
        Ok(names.map(|name| sum(&text, name)))
    }
}

async fn get(host: &str) -> Result<String> {
    let mut stream = TcpStream::connect(host).await.context("boomgate does not serve its metrics")?;
    stream.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// Adds up a counter over its labels, in the text format of Prometheus.
fn sum(text: &str, name: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit(' ').next()?.split('.').next()?.parse::<u64>().ok()
    };
    text.lines().filter_map(value).sum()
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since its start, user and system.
    pub cpu_ms: u64,
    /// Resident memory now.
    pub rss_kb: u64,
}

impl Usage {
    /// Reads `/proc`; zero where there is no such process.
    pub fn of(pid: u32) -> Self {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let stat = read("stat");
        // The name may hold blanks and brackets: what follows the last bracket is well-formed.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = read("status");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        Self { cpu_ms: ticks * 1_000 / TICKS, rss_kb: rss.unwrap_or(0) }
    }
}

/// Waits until `done` says so, for at most `bound`; says whether it did.
pub async fn wait_until(bound: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + bound;
    while !done() {
        if Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_added_up_over_their_labels() {
        let text = "# TYPE boomgate_appends_total counter\nboomgate_appends_total{processor=\"entry\"} 12\n\
            boomgate_appends_total{processor=\"pricing\"} 30\nboomgate_appends_stale_total{processor=\"entry\"} 7\n";
        assert_eq!(sum(text, "boomgate_appends_total"), 42);
        assert_eq!(sum(text, "boomgate_appends"), 0);
    }

    #[test]
    fn a_process_knows_what_it_uses() {
        assert!(Usage::of(std::process::id()).rss_kb > 0);
        assert_eq!(Usage::of(0), Usage::default());
    }
}
