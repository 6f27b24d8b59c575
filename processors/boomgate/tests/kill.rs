//! The real thing, killed: real processes, a real nats-server, a real file, and SIGKILL at random moments.
//!
//! Invariants
//! 1. Whatever is killed when, nothing acknowledged is lost and nothing counts twice   (`whatever_is_killed_nothing_is_lost_and_nothing_counts_twice`).
//! 2. The channels' own books say what the journals say: they are servers that lose, double, delay, reorder and forge what they tell, and fail refunds
//!    (the same).
//! 3. The auditor's command sees it, and sees what is wrong   (`verify_tells_what_differs`).
#![expect(clippy::disallowed_methods, reason = "a test of real processes waits in real time")]

use bench::{
    City,
    city::Shape,
    judge,
    simulators::{self, Faults, Settings, Simulators},
    world::{Pace, World},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schema::time::MINUTE;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use streams::{JetStream, Options, Server};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::watch,
};

/// How often boomgate is killed.
const KILLS: u32 = 12;
/// What goes wrong at the channels, in thousandths. What is never told is not among it: nobody asks about a payment that no attempt of ours is for.
const FAULTS: [&str; 9] =
    ["lost=20", "doubled=20", "late=20", "reordered=20", "forged=10", "blocked=150", "debit_fails=50", "refund_refused=50", "refund_answers_late=50"];

/// The configuration of a second replica.
const SECOND: &str = "second.toml";

/// One system in a folder of its own.
struct System {
    folder: tempfile::TempDir,
    server: Server,
    bus: Arc<JetStream>,
    simulators: Arc<Simulators>,
}

impl System {
    async fn start(city: &City) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&folder.path().join("nats")).await.expect("a nats-server");
        let reference = folder.path().join("reference.json");
        std::fs::write(&reference, serde_json::to_vec(city.declared()).expect("JSON")).expect("a writable folder");
        let doors = free_port().await;
        let faults = Faults::of(&FAULTS.map(str::to_owned)).expect("they are faults");
        let settings = Settings { notify_url: format!("http://{doors}/notify"), faults, ..Settings::default() };
        let simulators = Arc::new(Simulators::start(settings).await.expect("free ports"));
        let channels = simulators.configure(folder.path()).expect("a writable folder");
        for (name, listen) in [("boomgate.toml", doors), (SECOND, free_port().await)] {
            let config = format!(
                "reference = {:?}\n[nats]\nurl = {:?}\n[store]\nlocation = {:?}\n[loop]\nkeep_inputs = true\ngroups = 4\n\
                 [limits]\nrefund_retry_s = 2\ncall_retry_s = 1\n[gateway]\nlisten = \"{listen}\"\n\
                 connections_each_max = 1024\n{channels}",
                reference.display().to_string(),
                server.url(),
                format!("sqlite:{}", folder.path().join("boomgate.db").display()),
            );
            std::fs::write(folder.path().join(name), config).expect("a writable folder");
        }
        let system = Self { bus: Arc::new(connect(&server).await), folder, server, simulators };
        assert!(system.command("provision", &[]).status().await.expect("boomgate runs").success());
        system
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        self.command_by("boomgate.toml", name, arguments)
    }

    fn command_by(&self, config: &str, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boomgate"));
        command.arg(name).args(arguments).arg("--config").arg(self.path(config)).stdout(Stdio::null()).kill_on_drop(true);
        command
    }

    fn run_all(&self, log: &str) -> Child {
        self.run_by("boomgate.toml", log)
    }

    /// Runs everything by a configuration: a second replica has front doors of its own.
    fn run_by(&self, config: &str, log: &str) -> Child {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path(log)).expect("a writable folder");
        self.command_by(config, "run", &["all"]).stderr(log).spawn().expect("boomgate runs")
    }

    /// The town's devices and drivers, who pay at the channels.
    async fn world(&self) -> World {
        let pace = Pace { speed: 60.0, booths: true, ..Pace::default() };
        World::with(self.bus.clone(), pace, Some(self.simulators.clone())).await.expect("the server is there")
    }

    fn log(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Runs the auditor's command; gives its report, and whether its exit status said clean.
    async fn verify(&self) -> (serde_json::Value, bool) {
        let json = self.path("audit.json");
        let status = self.command("verify", &["--json", &json.display().to_string()]).status().await.expect("boomgate runs");
        let report = std::fs::read(&json).expect("verify writes its report");
        (serde_json::from_slice(&report).expect("the report is JSON"), status.success())
    }
}

/// An address on which nobody listens.
async fn free_port() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a free port")
}

async fn connect(server: &Server) -> JetStream {
    let options = Options { name: "kill test".into(), ..Options::default() };
    JetStream::connect(&server.url(), options).await.expect("the server is there")
}

async fn wait(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Ends a process as the kernel's own SIGKILL does.
async fn kill(child: &mut Child) {
    child.kill().await.expect("our own child");
}

fn a_town(seed: u64, now: schema::Moment) -> City {
    // An hour of the town in a minute of ours: 150 cars a second, 300 gate events.
    let shape = Shape { visits_per_hour: 9_000.0, stay_mean_min: 15.0, rush_hours: false, ..Shape::demo(seed, now.plus(-62 * MINUTE)) };
    City::new(Shape { lots: 200, ..shape })
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_nothing_is_lost_and_nothing_counts_twice() {
    let seed = 7;
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let city = a_town(seed, schema::Moment(now_us()));
    let mut system = System::start(&city).await;
    let world = system.world().await;
    let (stop, mut stopped) = watch::channel(false);
    let from = city.shape().from;
    let town = async {
        world.say(city.said()).await.expect("the server takes it");
        world.run(city.plan(), from, &mut stopped).await;
    };
    let killer = async {
        let mut boomgate = system.run_all("first.log");
        let mut second = None;
        for round in 0..KILLS {
            wait(dice.random_range(1_500..4_500)).await;
            match round {
                2 | 8 => {
                    system.server.kill().await;
                    wait(dice.random_range(0..800)).await;
                    system.server.restart().await.expect("the server comes back on its data");
                }
                4 => fail_the_store_for_ten_seconds(&system.path("boomgate.db")),
                5 => second = Some(system.run_by(SECOND, "second.log")),
                9 => {
                    if let Some(mut second) = second.take() {
                        kill(&mut second).await;
                    }
                }
                _ => {}
            }
            kill(&mut boomgate).await;
            boomgate = system.run_all("first.log");
        }
        wait(3_000).await;
        stop.send_replace(true);
        boomgate
    };
    let ((), mut boomgate) = tokio::join!(town, killer);
    let settled = world.end(Duration::from_secs(150)).await;
    let logs = match settled {
        Ok(logs) => logs,
        Err(unsettled) => panic!("{unsettled}\nthe end of boomgate's log:\n{}", system.log("first.log")),
    };
    let verdict = judge(city.declared(), &bench::Terms::default(), &logs, true).expect("the town's reference data is whole");
    assert!(verdict.is_equal(), "{} differences: {:#?}", verdict.difference_count, verdict.differences);
    let books = simulators::compare(&system.simulators, &logs);
    assert!(books.is_empty() && system.simulators.too_much() == 0, "the channels' books differ: {books:#?}");
    let taken: i64 = verdict.counts.shifts.values().map(|drawer| drawer.taken).sum();
    assert!(taken > 0 && verdict.counts.shifts.values().all(|drawer| drawer.difference.is_some()), "every drawer is counted, and some have cash");
    assert!(verdict.counts.payments_split > 0, "some pay by several means: {:?}", verdict.counts);
    assert!(verdict.counts.noticed > 10, "some fees are deducted by the plate: {:?}", verdict.counts);
    assert!(verdict.counts.sessions_opened > 1_000 && verdict.counts.orders_paid > 100, "{:?}", verdict.counts);
    // On a system that runs …
    let (report, clean) = system.verify().await;
    assert!(clean, "{report:#}");
    // … and on one that rests: a signal lets it finish, and everything is saved.
    let pid = boomgate.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill is a program").success());
    assert!(boomgate.wait().await.expect("our own child").success());
    let (report, clean) = system.verify().await;
    assert!(clean, "{report:#}");
    let behind = report["saved"].as_array().expect("a list").iter().filter(|saved| saved["behind"] != 0).count();
    assert_eq!(behind, 0, "everything is saved to its end");
}

/// Another process holds the file: every write fails until it lets go.
fn fail_the_store_for_ten_seconds(path: &Path) {
    let path = path.to_owned();
    std::thread::spawn(move || {
        let connection = rusqlite::Connection::open(path).expect("the file is there");
        connection.busy_timeout(Duration::from_secs(5)).expect("a plain setting");
        connection.execute_batch("BEGIN EXCLUSIVE").expect("a writer's turn comes");
        std::thread::sleep(Duration::from_secs(10));
        connection.execute_batch("ROLLBACK").expect("nothing was changed");
    });
}

fn now_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_micros()).expect("before the year 290000")
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_tells_what_differs() {
    let city = a_town(3, schema::Moment(now_us()));
    let system = System::start(&city).await;
    let world = system.world().await;
    let mut boomgate = system.run_all("first.log");
    let (stop, mut stopped) = watch::channel(false);
    world.say(city.shifts()).await.expect("the server takes it");
    tokio::join!(world.run(city.plan(), city.shape().from, &mut stopped), async {
        wait(5_000).await;
        stop.send_replace(true);
    });
    let settled = world.settle(Duration::from_secs(60)).await;
    assert!(settled.is_ok(), "{}\n{}", settled.map_or_else(|unsettled| unsettled.to_string(), |_| String::new()), system.log("first.log"));
    let pid = boomgate.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill is a program").success());
    boomgate.wait().await.expect("our own child");
    assert!(system.verify().await.1, "nothing differs yet");
    // Somebody changes a row by hand.
    let connection = rusqlite::Connection::open(system.path("boomgate.db")).expect("the file is there");
    let id: String = connection.query_row("SELECT id FROM sessions LIMIT 1", [], |row| row.get(0)).expect("a session");
    let changed = connection.execute("UPDATE sessions SET body = replace(body, '\"in\"', '\"out\"') WHERE id = ?1", [&id]).expect("a plain update");
    assert_eq!(changed, 1);
    let (report, clean) = system.verify().await;
    assert!(!clean);
    let said = report["differences"].as_array().expect("a list").iter().map(serde_json::Value::to_string).collect::<String>();
    assert!(said.contains(&id) && said.contains("not the fold"), "{said}");
    // And removes it altogether.
    connection.execute("DELETE FROM sessions WHERE id = ?1", [&id]).expect("a plain delete");
    let (report, clean) = system.verify().await;
    let said = report["differences"].to_string();
    assert!(!clean && said.contains(&id) && said.contains("no row"), "{said}");
}
