//! The disk full: a real boomgate whose own nats-server keeps its data on a small file system, which this test fills and frees again.
//!
//! The file system is a tmpfs that boomgate's processes alone see (namespaces of user and mounts, `unshare`); from here it is reached through
//! `/proc/PID/root`. Where the kernel allows no such namespaces the test fails and says so.
//!
//! Invariants
//! 1. While the disk is full nobody is acknowledged, and log and metric say why; with space again boomgate restarts its own nats-server, everything
//!    acknowledged is there, and whoever uses that server without owning it was told what to do
//!    (`a_full_disk_stops_the_intake_and_loses_nothing`).
#![expect(clippy::disallowed_methods, reason = "a test of real processes waits in real time")]

use bench::{
    City,
    city::Shape,
    judge,
    world::{Pace, World},
};
use schema::time::MINUTE;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use streams::{Bus, JetStream, Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

/// The size of the file system; streams may take 64 MiB of it.
const DISK: &str = "160m";
/// How long each step may take at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A boomgate; ended in order when it is dropped, so that no nats-server is left behind.
struct Boomgate {
    child: Child,
    log: PathBuf,
}

impl Boomgate {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let to = fs::File::create(&log).expect("a writable folder");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(to).spawn().expect("the program runs");
        Self { child, log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log says something.
    async fn says(&mut self, what: &str) {
        let begin = Instant::now();
        while !self.log().contains(what) {
            let ended = self.child.try_wait().expect("our own child");
            assert!(
                ended.is_none(),
                "boomgate ended before it said {what:?} (where it says unshare or mount: this test needs user namespaces and tmpfs):\n{}",
                self.log()
            );
            assert!(begin.elapsed() < PATIENCE, "boomgate never said {what:?}:\n{}", self.log());
            wait(100).await;
        }
    }

    /// The value of `boomgate_broker_refuses`, as `/metrics` gives it.
    async fn refuses(&self) -> f64 {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("probes and metrics")).expect("it was waited for");
        let address = line.split("address=").nth(1).expect("the line names the address").trim();
        let mut stream = TcpStream::connect(address).await.expect("boomgate listens");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.expect("boomgate listens");
        let mut page = String::new();
        stream.read_to_string(&mut page).await.expect("boomgate answers");
        let value = page.lines().find_map(|line| line.strip_prefix("boomgate_broker_refuses "));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }
}

impl Drop for Boomgate {
    fn drop(&mut self) {
        let _gone = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

async fn wait(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

fn config(folder: &Path, name: &str, broker: &str) -> PathBuf {
    let text = format!(
        "reference = {:?}\n[nats]\n{broker}\nstorage_mb = 64\n[store]\nlocation = {:?}\n[loop]\nkeep_inputs = true\ngroups = 4\n[http]\nlisten = \"127.0.0.1:0\"\n",
        folder.join("reference.json").display().to_string(),
        format!("sqlite:{}", folder.join("boomgate.db").display()),
    );
    let path = folder.join(name);
    fs::write(&path, text).expect("a writable folder");
    path
}

fn boomgate(arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boomgate"));
    command.args(arguments).arg("--config").arg(config);
    command
}

/// Writes into one file until not a byte more fits.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).expect("the disk has space yet");
    for size in [1024 * 1024, 4096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

fn now_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_micros()).expect("before the year 290000")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_intake_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("a writable folder");
    let shape =
        Shape { visits_per_hour: 3_000.0, stay_mean_min: 15.0, rush_hours: false, ..Shape::demo(11, schema::Moment(now_us()).plus(-62 * MINUTE)) };
    let city = City::new(Shape { lots: 50, ..shape });
    fs::write(folder.path().join("reference.json"), serde_json::to_vec(city.declared()).expect("JSON")).expect("a writable folder");

    // boomgate with a nats-server of its own on the small disk …
    let own = config(folder.path(), "own.toml", &format!("folder = {:?}", disk.join("nats").display().to_string()));
    let program = boomgate(&["run", "all"], &own);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs -o size=\"$0\" disk \"$1\" && shift && exec \"$@\"", DISK]);
    command.arg(&disk).arg(program.get_program()).args(program.get_args());
    let mut owner = Boomgate::start(command, folder.path().join("owner.log"));
    owner.says("nats-server started").await;
    owner.says("ready").await;
    let seen = PathBuf::from(format!("/proc/{}/root{}", owner.child.id(), fs::canonicalize(&disk).expect("our folder").display()));
    let log = owner.log();
    let url = log.split("nats://").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').next());
    let url = format!("nats://{}", url.expect("the log names the server's address"));
    // … and another one that uses that server without owning it.
    let guest_config = config(folder.path(), "guest.toml", &format!("url = {url:?}"));
    let mut guest = Boomgate::start(boomgate(&["run", "all"], &guest_config), folder.path().join("guest.log"));
    guest.says("ready").await;

    let options = Options { name: "full disk test".into(), ..Options::default() };
    let bus: Arc<dyn Bus> = Arc::new(JetStream::connect(&url, options).await.expect("the server is there"));
    let world = World::open(bus, Pace { speed: 60.0, ..Pace::default() }).await.expect("the server is there");
    let stats = world.stats();
    let (stop, mut stopped) = watch::channel(false);
    let town = world.run(city.plan(), city.shape().from, &mut stopped);
    let trouble = async {
        wait(3_000).await;
        assert!(stats.acked.get() > 50, "the town is at work: {}", stats.acked.get());
        assert!(owner.refuses().await < 0.5, "the broker stores");
        let filler = seen.join("filler");
        fill(&filler);
        owner.says("the disk of our nats-server is full").await;
        assert!(owner.refuses().await > 0.5, "the metric says so, too");
        guest.says("free space and then restart nats-server").await;
        // Nobody is acknowledged, though devices go on trying.
        let acked = stats.acked.get();
        wait(3_000).await;
        assert_eq!(stats.acked.get(), acked, "an acknowledgement while nothing can be stored");
        assert!(!owner.log().contains("is started again"), "there is no use in that yet:\n{}", owner.log());
        fs::remove_file(&filler).expect("it was made");
        owner.says("it is started again on its data").await;
        let begin = Instant::now();
        while owner.refuses().await > 0.5 || stats.acked.get() < acked + 50 {
            assert!(begin.elapsed() < PATIENCE, "the intake does not go on: {} acknowledged\n{}", stats.acked.get(), owner.log());
            wait(200).await;
        }
        wait(2_000).await;
        stop.send_replace(true);
    };
    tokio::join!(town, trouble);
    let logs = match world.settle(Duration::from_secs(60)).await {
        Ok(logs) => logs,
        Err(unsettled) => panic!("{unsettled}\n{}", owner.log()),
    };
    let verdict = judge(city.declared(), &bench::Terms::default(), &logs, true).expect("the town's reference data is whole");
    assert!(verdict.is_equal(), "{} differences: {:#?}", verdict.difference_count, verdict.differences);
    assert!(verdict.counts.sessions_opened > 50, "{:?}", verdict.counts);
    let json = folder.path().join("audit.json");
    let audit = boomgate(&["verify", "--json", &json.display().to_string()], &guest_config).stdout(Stdio::null()).status().expect("boomgate runs");
    assert!(audit.success(), "{}", fs::read_to_string(&json).unwrap_or_default());
}
