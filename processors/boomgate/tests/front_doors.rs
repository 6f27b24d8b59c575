//! The front doors before the real processors, over the in-memory bus and SQLite: what a lane's device and a driver's phone see.
//!
//! Not here: payment channels' own notifications (`gateway::webhook`), real servers (`kill`).

#[path = "front_doors/devices.rs"]
mod devices;
#[path = "front_doors/pages.rs"]
mod pages;

use boomgate::{
    replica::Readiness,
    run::{self, With},
    settings::Settings,
};
use gateway::{Behind, Desks, Devices, Ear, Journals, Lanes, Limits, Pages, Proxies, View};
use schema::{
    ChannelEvent, ChannelFact, Currency, GateEvent, GateKind, Moment, Reference,
    gate::{Colour, Credential},
    id::Province,
    reference::{Declared, LotDeclared, RateTable, Step},
    time::MINUTE,
    wire::{self, Format},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use store::{Sqlite, Store, cache::Cache};
use streams::{Bus, Memory, Message};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// When every trial begins: 2026-11-23T02:00:00Z.
const START: Moment = Moment(1_795_399_200_000_000);

fn clock() -> Moment {
    START
}

/// Two lots of one operator, at 5 yuan an hour.
fn reference() -> Reference {
    let steps = vec![Step { to_min: None, unit_min: 60, price: 500 }];
    let table = RateTable { id: "hourly".into(), version: 1, currency: Currency::Cny, free_min: 0, steps, ..RateTable::default() };
    let lot = |name: &str| LotDeclared {
        province: Province(44),
        zone: "Asia/Shanghai".into(),
        capacity: 9,
        rate_table: Some("hourly".into()),
        lanes: vec!["in".parse().expect("a name"), "out".parse().expect("a name")],
        ..LotDeclared::named(name.parse().expect("a name"))
    };
    Reference::resolve(Declared { lots: vec![lot("small"), lot("other")], rate_tables: vec![table], ..Declared::default() }).expect("it is whole")
}

/// What is unlike in some trials.
struct Shape {
    /// Whether anybody decides.
    decides: bool,
    /// How many may wait for a lane's command.
    waiting_max: usize,
    /// How many may follow an order live.
    followers_max: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { decides: true, waiting_max: 64, followers_max: 8 }
    }
}

/// The doors, open, and what is behind them.
struct Site {
    bus: Arc<dyn Bus>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

/// What was answered to a request.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// The tokens of the lanes `in` and `out` of the lot, and their file.
const TOKENS: [&str; 2] = ["token-of-in", "token-of-out"];
const DEVICES: &str = "
[[device]]
lot = 'small'
lane = 'in'
sha256 = 'b3553bed355a7adb4b2062e6eb8e2e408c18d64877180e5f97d817166e66aa07'
[[device]]
lot = 'small'
lane = 'out'
sha256 = '4b9a2bea4905b192d74eb067c82493c8cf299750f204a6d8f8d3d36e659fe3c9'
";

impl Site {
    async fn open(shape: Shape) -> Self {
        let bus: Arc<dyn Bus> = Arc::new(Memory::new(START));
        let store: Arc<dyn Store> = Arc::new(Sqlite::in_memory());
        let cache: Arc<dyn Cache> = Arc::new(store::cache::Memory::new(1_000));
        let reference = Arc::new(reference());
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        if shape.decides {
            let with = With {
                bus: bus.clone(),
                store: store.clone(),
                cache: cache.clone(),
                reference: reference.clone().into(),
                limits: rules::Limits::default(),
                settings: Settings { keep_inputs: true, ..Settings::default() },
                json: Vec::new(),
                replica: "one".into(),
            };
            running.spawn(run::run(rules::ALL.to_vec(), with, Arc::new(Readiness::default()), stopped.clone()));
        }
        let (limits, ear) = (Limits { read_wait: Duration::from_millis(500), ..Limits::default() }, Ear::new(shape.waiting_max, clock));
        running.spawn(ear.clone().hear(bus.clone(), stopped.clone()));
        let journals = Journals::new(bus.clone(), 64);
        let devices = watch::Sender::new(Arc::new(Devices::parse(DEVICES).expect("sound"))).subscribe();
        let pages = Behind {
            bus: bus.clone(),
            ear: ear.clone(),
            desks: Desks::new(journals.clone(), limits.store_wait, Duration::from_secs(5)),
            view: View::new(bus.clone(), store),
            journals,
            cache: Some(cache),
            reference: watch::Sender::new(reference).subscribe(),
            channels: vec!["wechat", "alipay", "points", "cash", "etc"],
            clock,
            limits,
            proxies: Proxies::default(),
            followers_max: shape.followers_max,
            shutdown: stopped.clone(),
        };
        let router = Lanes::new(bus.clone(), ear, devices, limits).router().merge(Pages::new(pages).router());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        running.spawn(gateway::serve(listener, router, limits, Proxies::default(), stopped));
        Self { bus, address, stop, running }
    }

    /// Ends it well.
    async fn close(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.running.join_next().await {
            ended.expect("it ends well");
        }
    }

    /// What is answered to a request, whole.
    async fn ask(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let more = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
        let head = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{more}\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat()).await.expect("it is taken");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it is answered");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[("Accept-Language", "en")], b"").await
    }

    async fn form(&self, path: &str, form: &str) -> Answer {
        self.ask(&format!("POST {path}"), &[("Accept-Language", "en"), ("Content-Type", "application/x-www-form-urlencoded")], form.as_bytes()).await
    }

    /// Sends what a lane's device says, by the broker.
    async fn gate(&self, event: &GateEvent) {
        self.bus.publish(Message { subject: event.subject(), payload: json(event).into(), headers: [].into() }).await.expect("the bus is in memory");
    }

    /// Sends what a channel says.
    async fn channel(&self, channel: &str, fact: ChannelFact) {
        let event = ChannelEvent { channel: channel.into(), happened_at: START, fact };
        self.bus.publish(gateway::webhook::message(&event)).await.expect("the bus is in memory");
    }

    /// Waits until a stream has so many messages.
    async fn until(&self, stream: &str, count: u64) {
        for _ in 0..500 {
            if self.bus.look(stream).await.expect("the bus is in memory").last >= count {
                return;
            }
            wait().await;
        }
        panic!("{stream} has no {count} messages");
    }
}

impl Answer {
    /// A header's value.
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")));
        line.map_or("", |line| line.split_once(": ").expect("a name and a value").1)
    }
}

#[expect(clippy::disallowed_methods, reason = "the processors run beside, in real time")]
async fn wait() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

fn json<T: serde::Serialize>(event: &T) -> Vec<u8> {
    wire::encode(Format::Json, event)
}

/// A gate event of a car, seen some minutes after the start.
fn gate(kind: GateKind, car: &str, minutes: i64) -> GateEvent {
    GateEvent {
        id: format!("{}-{}", kind.as_str(), minutes.unsigned_abs()).parse().expect("a name"),
        lot: "small".parse().expect("a name"),
        lane: if kind == GateKind::Entry { "in" } else { "out" }.parse().expect("a name"),
        kind,
        seen_at: START.plus(minutes * MINUTE),
        credential: Credential::plate(car, Colour::Blue),
        class: None,
        energy: None,
        confidence: None,
        decided: None,
    }
}
