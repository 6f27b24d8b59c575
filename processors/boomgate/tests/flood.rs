//! The front doors of a real process, flooded: by connections that say nothing, bodies that come by drops, bodies that are too large, and signatures
//! that are wrong.
//!
//! Invariants
//! 1. A flood takes a bounded part of the process's memory   (`a_flood_takes_a_bounded_part_of_us_and_who_is_genuine_is_served`).
//! 2. Meanwhile who is genuine is served, and after it everybody, by the same process   (the same).
//!
//! Not here: what each bound is for (`gateway::doors`, `gateway::webhook`); how fast anything is (`bench`).
#![expect(clippy::disallowed_methods, reason = "a test of real processes waits in real time")]

use bench::{
    City,
    city::Shape,
    simulators::{Settings, Simulators},
};
use schema::{
    Day, Moment, Partition,
    id::{self, Kind, Place, Province},
};
use std::{io, net::SocketAddr, path::Path, process::Stdio, time::Duration};
use streams::{Bus, JetStream, Options, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    process::{Child, Command},
    task::JoinSet,
    time::timeout,
};

/// How long anything may take before it counts as never.
const PATIENCE: Duration = Duration::from_secs(120);
/// Connections that say nothing. All that are open at once are fewer than the 1,024 descriptors that a process may have by default.
const IDLE: usize = 500;
/// Bodies that come by drops, at once.
const DRIPPING: usize = 200;
/// Bodies that are too large, one after the other.
const OVERSIZE: usize = 200;
/// Notifications that nobody signed, and how many send them.
const FORGED: usize = 5_000;
const FORGERS: usize = 20;
/// How many descriptors that needs, with those that are open anyway.
const DESCRIPTORS: u64 = 900;
/// By how much the memory may grow that boomgate has resident at most, in KiB.
const GROWTH_KIB_MAX: u64 = 64 * 1024;
/// From where each part of the flood comes: all of 127.0.0.0/8 is this machine. Channels come from 127.0.0.1.
const IDLE_FROM: &str = "127.0.0.2";
const DRIPPING_FROM: &str = "127.0.0.3";
const OVERSIZE_FROM: &str = "127.0.0.4";
const FORGED_FROM: &str = "127.0.0.5";

/// One system, and the channels that tell it of payments.
struct Site {
    boomgate: Child,
    bus: JetStream,
    simulators: Simulators,
    doors: SocketAddr,
    probes: SocketAddr,
    _server: Server,
    folder: tempfile::TempDir,
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&folder.path().join("nats")).await.expect("a nats-server");
        let reference = folder.path().join("reference.json");
        let city = City::new(Shape { lots: 50, ..Shape::demo(1, now()) });
        std::fs::write(&reference, serde_json::to_vec(city.declared()).expect("JSON")).expect("a writable folder");
        let [doors, probes] = free_ports().await;
        let settings = Settings { notify_url: format!("http://{doors}/notify"), ..Settings::default() };
        let simulators = Simulators::start(settings).await.expect("free ports");
        let config = format!(
            "reference = {:?}\n[nats]\nurl = {:?}\n[store]\nlocation = {:?}\n[http]\nlisten = \"{probes}\"\n[gateway]\nlisten = \"{doors}\"\n{}",
            reference.display().to_string(),
            server.url(),
            format!("sqlite:{}", folder.path().join("boomgate.db").display()),
            simulators.configure(folder.path()).expect("a writable folder"),
        );
        std::fs::write(folder.path().join("boomgate.toml"), config).expect("a writable folder");
        assert!(command(folder.path(), &["provision"]).status().await.expect("boomgate runs").success());
        let log = std::fs::File::create(folder.path().join("boomgate.log")).expect("a writable folder");
        let boomgate = command(folder.path(), &["run", "all"]).stderr(log).spawn().expect("boomgate runs");
        let options = Options { name: "flood test".into(), ..Options::default() };
        let bus = JetStream::connect(&server.url(), options).await.expect("the server is there");
        let site = Self { boomgate, bus, simulators, doors, probes, _server: server, folder };
        site.until_served("127.0.0.1", site.probes, "/ready", "HTTP/1.1 200").await;
        site
    }

    /// Asks until it is answered like this.
    async fn until_served(&self, from: &str, to: SocketAddr, path: &str, expected: &str) {
        let served = async {
            while !answer(from, to, get(path).as_bytes()).await.starts_with(expected) {
                wait(100).await;
            }
        };
        timeout(PATIENCE, served).await.unwrap_or_else(|_| panic!("{from} is not served at {path}\n{}", self.log()));
    }

    /// A driver pays, and the channel tells us, as often as it must: in the end that is stored.
    async fn pays(&self, number: u16) {
        let place = Place { province: Province(44), day: Day(261_123), partition: Partition(7) };
        let attempt = id::attempt(id::derive(Kind::Order, place, &["flood"]), number);
        self.simulators.pay("alipay", attempt.as_str(), 500, now()).expect("it can be paid");
        assert!(self.simulators.settled(PATIENCE).await, "payment {number} cannot be told\n{}", self.log());
        let stored = self.bus.look("CHANNEL").await.expect("the broker is there").last;
        assert!(stored >= u64::from(number), "{stored} payments are stored of {number}\n{}", self.log());
    }

    /// The most memory that boomgate has had resident, in KiB.
    fn peak_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.boomgate.id().expect("it runs"));
        let status = std::fs::read_to_string(status).expect("this is Linux, and it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak.expect("the kernel tells it")
    }

    /// What a counter says.
    async fn counted(&self, counter: &str) -> u64 {
        let told = answer("127.0.0.1", self.probes, get("/metrics").as_bytes()).await;
        told.lines().find_map(|line| line.strip_prefix(counter)?.trim().parse().ok()).unwrap_or(0)
    }

    async fn outcomes(&self, outcome: &str) -> u64 {
        self.counted(&format!("boomgate_notifications_total{{channel=\"alipay\",outcome=\"{outcome}\"}}")).await
    }

    /// The end of boomgate's log.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("boomgate.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boomgate"));
    command.args(arguments).arg("--config").arg(folder.join("boomgate.toml")).stdout(Stdio::null()).kill_on_drop(true);
    command
}

/// Addresses on which nobody listens.
async fn free_ports() -> [SocketAddr; 2] {
    let listen = async || TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    // Both at once, so that they are two.
    let both = [listen().await, listen().await];
    both.map(|listener| listener.local_addr().expect("it listens"))
}

fn now() -> Moment {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Moment(i64::try_from(now.as_micros()).expect("before the year 290000"))
}

async fn wait(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// How many descriptors this process may have, and so boomgate, too.
fn descriptors_max() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("this is Linux");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("the kernel tells it");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

/// The head of a notification, with more lines.
fn head(lines: &str) -> String {
    format!("POST /notify/alipay HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n")
}

async fn connect(from: &str, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse().expect("an address"), 0))?;
    socket.connect(to).await
}

/// All that is answered to some bytes; nothing where the connection is cut off before.
async fn answer(from: &str, to: SocketAddr, bytes: &[u8]) -> String {
    let Ok(mut stream) = connect(from, to).await else { return String::new() };
    let mut answer = Vec::new();
    let asked = async {
        // It may be cut off before all is sent.
        stream.write_all(bytes).await.ok();
        stream.read_to_end(&mut answer).await.ok();
    };
    timeout(PATIENCE, asked).await.expect("nobody is kept waiting for ever");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends a body by drops, until it is cut off; gives what was answered.
async fn drip(doors: SocketAddr) -> String {
    let Ok(stream) = connect(DRIPPING_FROM, doors).await else { return String::new() };
    let (mut reads, mut writes) = stream.into_split();
    let drops = async {
        writes.write_all(head("Content-Length: 10000").as_bytes()).await.ok();
        while writes.write_all(b"a").await.is_ok() {
            wait(200).await;
        }
        // What was answered is still to be read.
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = drops => {}
        read = timeout(PATIENCE, reads.read_to_end(&mut answer)) => { read.expect("nobody may drip for ever").ok(); }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends notifications that nobody signed, one after the other on one connection, until so many are refused.
async fn forge(doors: SocketAddr, count: usize) {
    let sign = "A".repeat(342);
    let body = format!("app_id=2021&out_trade_no=x&trade_no=1&trade_status=TRADE_SUCCESS&total_amount=5.00&sign_type=RSA2&sign={sign}%3D%3D");
    let request = head(&format!("Content-Length: {}", body.len())) + &body;
    let (mut refused, mut kept) = (0, None);
    while refused < count {
        // Who is slow, as on a machine that is busy, is cut off and comes again.
        let stream = match kept.take() {
            Some(stream) => stream,
            None => connect(FORGED_FROM, doors).await.expect("there are places for its address"),
        };
        kept = refuse(stream, request.as_bytes()).await;
        refused += usize::from(kept.is_some());
    }
}

/// Sends a notification that nobody signed; gives the connection back once that is refused, and nothing where it was cut off.
async fn refuse(mut stream: TcpStream, request: &[u8]) -> Option<TcpStream> {
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nfailure") {
        let read = stream.read_buf(&mut answer).await.ok()?;
        if read == 0 {
            return None;
        }
    }
    Some(stream)
}

/// Sends bodies that are too large, by their own word or without one.
async fn send_too_much(doors: SocketAddr) {
    let told = head("Connection: close\r\nContent-Length: 100000000");
    let chunk = "a".repeat(200_000);
    let untold = head("Connection: close\r\nTransfer-Encoding: chunked") + &format!("{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len());
    for _ in 0..OVERSIZE / 2 {
        let refused = answer(OVERSIZE_FROM, doors, told.as_bytes()).await;
        assert!(refused.starts_with("HTTP/1.1 413"), "{refused:?}");
        // Who still sends when it is cut off may not hear why.
        let refused = answer(OVERSIZE_FROM, doors, untold.as_bytes()).await;
        assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 413"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_takes_a_bounded_part_of_us_and_who_is_genuine_is_served() {
    let may = descriptors_max();
    assert!(may >= DESCRIPTORS, "this test opens {DESCRIPTORS} descriptors, and {may} are allowed: raise `ulimit -n`");
    let mut site = Site::start().await;
    site.pays(1).await;
    let before = site.peak_kib();

    // All of it at once, as far as it lasts.
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(connect(IDLE_FROM, site.doors).await.expect("it is closed afterwards, if at all"));
    }
    let (mut dripping, mut forging) = (JoinSet::new(), JoinSet::new());
    for _ in 0..DRIPPING {
        dripping.spawn(drip(site.doors));
    }
    for _ in 0..FORGERS {
        forging.spawn(forge(site.doors, FORGED / FORGERS));
    }
    site.pays(2).await;
    send_too_much(site.doors).await;
    timeout(PATIENCE, forging.join_all()).await.expect("whatever is not genuine is answered");
    site.pays(3).await;
    let answers = dripping.join_all().await;
    assert!(answers.iter().all(|answer| answer.is_empty() || answer.starts_with("HTTP/1.1 408")), "{answers:?}");
    drop(idle);

    // Everybody is served again, and nobody had to start it anew.
    site.pays(4).await;
    for from in [IDLE_FROM, DRIPPING_FROM, OVERSIZE_FROM, FORGED_FROM] {
        site.until_served(from, site.doors, "/nothing", "HTTP/1.1 404").await;
    }
    assert!(site.boomgate.try_wait().expect("our own child").is_none(), "it has ended:\n{}", site.log());
    let grown = site.peak_kib() - before;
    println!("of {before} KiB at most that were resident became {} KiB", before + grown);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more are resident than the {before} KiB before\n{}", site.log());

    // What was refused was counted, each for what it was.
    let count = |number: usize| u64::try_from(number).expect("a small number");
    assert!(site.counted("boomgate_connections_turned_away_total").await > 0, "one address may not hold {IDLE} connections");
    assert!(site.outcomes("not_genuine").await >= count(FORGED));
    assert!(site.outcomes("too_large").await >= count(OVERSIZE / 2));
    assert!(site.outcomes("slow").await > 0);
}
