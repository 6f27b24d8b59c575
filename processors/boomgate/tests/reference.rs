//! Reference data as an operator changes it: the real binary, a real nats-server, files.
//!
//! Invariants
//! 1. A processor is ready once it has read reference data whole, and what is refused or damaged changes nothing
//!    (`an_operator_changes_reference_data_while_processors_run`).
#![expect(clippy::disallowed_methods, reason = "a test of real processes waits in real time")]

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};
use streams::Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const RATES: &str = "[[rate_tables]]\nid = 'city'\nversion = 1\ncurrency = 'CNY'\n[[rate_tables.steps]]\nunit_min = 60\nprice = 500\n";

/// One system in a folder of its own.
struct System {
    folder: tempfile::TempDir,
    server: Server,
}

impl System {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&folder.path().join("nats")).await.expect("a nats-server");
        std::fs::create_dir(folder.path().join("reference")).expect("a writable folder");
        Self { folder, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration whose first line is this one.
    fn config(&self, name: &str, first: &str) -> PathBuf {
        let location = format!("sqlite:{}", self.path("boomgate.db").display());
        let text = format!("{first}\n[nats]\nurl = {:?}\n[store]\nlocation = {location:?}\n[http]\nlisten = '127.0.0.1:0'\n", self.server.url());
        std::fs::write(self.path(name), text).expect("a writable folder");
        self.path(name)
    }

    fn lot(&self, file: &str, name: &str, zone: &str) {
        let text = format!("[[lots]]\nlot = '{name}'\nprovince = 44\nzone = '{zone}'\ncapacity = 3\nrate_table = 'city'\nlanes = ['in']\n");
        std::fs::write(self.path("reference").join(file), text).expect("a writable folder");
    }

    fn run(&self, config: &Path, log: &str) -> Child {
        let log = std::fs::File::create(self.path(log)).expect("a writable folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_boomgate"));
        command.args(["run", "all", "--config"]).arg(config).stderr(log).stdout(Stdio::null()).kill_on_drop(true).spawn().expect("boomgate runs")
    }

    /// Waits until a log says this; gives it.
    async fn says(&self, log: &str, what: &str) -> String {
        let begin = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.path(log)).unwrap_or_default();
            if text.contains(what) {
                return text;
            }
            assert!(begin.elapsed() < PATIENCE, "{log} never says {what:?}:\n{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn boomgate(arguments: &[&str], config: &Path) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boomgate"));
    let output: Output = command.args(arguments).arg("--config").arg(config).stdin(Stdio::null()).output().await.expect("boomgate runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), said.concat())
}

async fn get(address: &str, path: &str) -> String {
    let mut connection = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: boomgate\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("it answers");
    answer
}

/// Waits until a page says this.
async fn page_says(address: &str, path: &str, what: &str) {
    let begin = Instant::now();
    loop {
        let page = get(address, path).await;
        if page.contains(what) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{path} never says {what:?}:\n{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The address in a log line of `probes and metrics`.
fn address(log: &str) -> String {
    let address = log.split("127.0.0.1:").nth(1).expect("the log names the address");
    format!("127.0.0.1:{}", address.chars().take_while(char::is_ascii_digit).collect::<String>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_changes_reference_data_while_processors_run() {
    let system = System::start().await;
    let config = system.config("boomgate.toml", "reference = 'kv'");
    assert!(boomgate(&["provision"], &config).await.0);
    let folder = system.path("reference").display().to_string();

    // A processor without reference data lives and is not ready.
    let mut running = system.run(&config, "run.log");
    let address = address(&system.says("run.log", "boomgate reference apply").await);
    assert!(get(&address, "/live").await.contains("200 OK"));
    assert!(get(&address, "/ready").await.contains("503"));

    // What is not whole changes nothing, and says where to look.
    std::fs::write(system.path("reference").join("rates.toml"), RATES).expect("a writable folder");
    system.lot("a.toml", "a", "Asia/Shanghai");
    system.lot("b.toml", "b", "Mars/Olympus");
    let (fine, said) = boomgate(&["reference", "apply", &folder, "--yes"], &config).await;
    assert!(!fine && ["b.toml", "lot b", "Mars/Olympus"].iter().all(|word| said.contains(word)), "{said}");
    assert!(get(&address, "/ready").await.contains("503"));

    // Nobody is there to be asked; told not to ask, it comes into force and processors begin.
    system.lot("b.toml", "b", "Asia/Tokyo");
    let (fine, said) = boomgate(&["reference", "apply", &folder], &config).await;
    assert!(!fine && said.contains("+ lot b") && said.contains("--yes"), "{said}");
    let (fine, said) = boomgate(&["reference", "apply", &folder, "--yes"], &config).await;
    assert!(fine && said.contains("3 added, 0 changed, 0 removed"), "{said}");
    page_says(&address, "/ready", "200 OK").await;
    assert!(boomgate(&["reference", "diff", &folder], &config).await.0, "nothing differs");

    // What `show --json` prints is what `apply` takes.
    let (fine, shown) = boomgate(&["reference", "show", "--json"], &config).await;
    std::fs::write(system.path("shown.json"), &shown).expect("a writable folder");
    assert!(fine && boomgate(&["reference", "diff", &system.path("shown.json").display().to_string()], &config).await.0, "{shown}");

    // A price that people were quoted is not changed under its version.
    std::fs::write(system.path("reference").join("rates.toml"), RATES.replace("500", "900")).expect("a writable folder");
    let (fine, said) = boomgate(&["reference", "apply", &folder, "--yes"], &config).await;
    assert!(!fine && said.contains("rate table city version 1 is in force with other steps"), "{said}");
    std::fs::write(system.path("reference").join("rates.toml"), RATES).expect("a writable folder");

    // A damaged manifest changes nothing; log and metric say so until something good is applied.
    let options = streams::Options { name: "a hand".into(), ..streams::Options::default() };
    let bus = streams::JetStream::connect(&system.server.url(), options).await.expect("the server is there");
    streams::Buckets::put(&bus, "reference", "current", "{".into(), None).await.expect("anybody may write");
    system.says("run.log", "changes nothing").await;
    page_says(&address, "/metrics", "boomgate_reference_refused 1").await;
    assert!(get(&address, "/ready").await.contains("200 OK"), "the last good version stays in force");
    let (fine, said) = boomgate(&["reference", "show"], &config).await;
    assert!(!fine && said.contains("damaged"), "{said}");
    assert!(boomgate(&["reference", "apply", &folder, "--yes"], &config).await.0);
    page_says(&address, "/metrics", "boomgate_reference_refused 0").await;
    let (fine, said) = boomgate(&["reference", "show"], &config).await;
    assert!(fine && said.contains("2  lots"), "{said}");
    running.kill().await.expect("our own child");

    // Started with a file, a process puts it in force first, and once.
    system.lot("c.toml", "c", "Asia/Shanghai");
    let with_folder = system.config("with_folder.toml", &format!("reference = {folder:?}"));
    for (log, brings) in [("first.log", true), ("second.log", false)] {
        let mut running = system.run(&with_folder, log);
        let said = system.says(log, "ready").await;
        assert_eq!(said.contains("1 added, 0 changed, 0 removed"), brings, "{said}");
        running.kill().await.expect("our own child");
    }
}
