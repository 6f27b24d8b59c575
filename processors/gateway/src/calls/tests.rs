use super::{
    queue::tests::{attempt, notice, refund},
    *,
};
use crate::doors::{self, tests::open};
use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use channels::{Settings, make, seal::Secret};
use schema::{
    ChannelEvent, ChannelFact,
    channel::{Act, Outcome, Standing},
    wire::Format,
};
use std::sync::Mutex;
use streams::{Beat, Memory, Message, table};
use tokio::{task::JoinHandle, time::Instant};

const NOW: Moment = Moment(1_795_399_200_000_000);
const SECRET: &str = "a secret that is long enough";
/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A channel's own server: it answers what a test says, and remembers when it was asked for what.
#[derive(Clone, Default)]
struct Served(Arc<Mutex<Vec<(String, Instant)>>>, Arc<Mutex<Vec<watch::Sender<bool>>>>);

impl Served {
    fn calls(&self) -> Vec<(String, Instant)> {
        self.0.lock().expect("nobody panics").clone()
    }

    fn paths(&self) -> Vec<String> {
        self.calls().into_iter().map(|(path, _)| path).collect()
    }

    /// Opens it; each answer waits so long. What is asked to be refunded is.
    async fn open(&self, channel: &'static str, wait: Duration) -> String {
        let served = self.clone();
        let answer = move |Path(path): Path<String>, body: String| async move {
            served.0.lock().expect("nobody panics").push((path.clone(), clock::now()));
            clock::wait(wait).await;
            let facts = serde_json::from_str::<RefundCall>(&body).ok().map(|call| {
                let RefundCall { refund, order, tries, .. } = call;
                let fact = ChannelFact::RefundAnswered { refund, order, succeeded: true, tries, standing: None };
                ChannelEvent { channel: channel.into(), happened_at: NOW, fact }
            });
            stamped(&serde_json::to_string(&Vec::from_iter(facts)).expect("it can be written"))
        };
        let (address, stop, _served) = open(Router::new().route("/{path}", axum::routing::post(answer)), doors::Limits::default()).await;
        self.1.lock().expect("nobody panics").push(stop);
        format!("http://{address}")
    }
}

fn stamped(body: &str) -> Response {
    let timestamp = (NOW.0 / schema::time::SECOND).to_string();
    let stamp = Secret::read(SECRET).expect("a secret").stamp(format!("{timestamp}\nn\n{body}\n").as_bytes());
    let headers = [("x-timestamp", timestamp), ("x-nonce", "n".to_owned()), ("x-stamp", stamp)];
    (StatusCode::OK, headers, body.to_owned()).into_response()
}

fn site(name: &str, base_url: &str) -> Site {
    let keys = [("secret".to_owned(), SECRET.to_owned())].into();
    let settings = Settings { base_url: base_url.to_owned(), keys, ..Settings::default() };
    Site { channel: make(name, &settings).expect("sound"), merchant: "m".into(), base_url: base_url.to_owned(), authorities: None }
}

/// A caller that runs, and its bus.
struct Running {
    bus: Arc<Memory>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(bus: Memory, sites: Vec<Site>, limits: Limits) -> Self {
        let bus = Arc::new(bus);
        let (stop, stopped) = watch::channel(false);
        let caller = Caller::new(bus.clone(), sites, "me".into(), || NOW, "parking".into(), limits).expect("sound");
        let running = Self { bus, stop, task: tokio::spawn(caller.run(stopped)) };
        until(async || running.bus.members("caller").await.expect("in memory").iter().any(|member| member == "me")).await;
        running
    }

    async fn tell(&self, channel: &'static str, job: Job) {
        let (subject, payload) = match job {
            Job::Refund(call) => (format!("refund.{channel}"), wire::encode(Format::MessagePack, &RefundCall { channel: channel.into(), ..call })),
            Job::Attempt(call) => (format!("call.{channel}"), wire::encode(Format::Json, &ChannelCall { channel: channel.into(), ..call })),
            Job::Notice(notice, _) => {
                (format!("notice.{channel}"), wire::encode(Format::MessagePack, &EntryNotice { channel: channel.into(), ..notice }))
            }
        };
        self.bus.tell(Told { subject, payload: payload.into() }).await.expect("in memory");
    }

    /// The facts that are stored, once there are so many.
    async fn facts(&self, count: usize) -> Vec<ChannelEvent> {
        until(async || self.stored().await.len() >= count).await;
        self.stored().await
    }

    async fn stored(&self) -> Vec<ChannelEvent> {
        let stored = self.bus.scan("CHANNEL", 1, 1_000).await.expect("in memory");
        let read = |message: &streams::Stored| wire::decode(message.headers.get(wire::CONTENT_TYPE).map(String::as_str), &message.payload);
        stored.iter().filter_map(|message| read(message).ok()).collect()
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.expect("it ends well");
    }
}

async fn until(holds: impl AsyncFn() -> bool) {
    let holds = async {
        while !holds().await {
            clock::wait(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, holds).await.expect("it comes to hold");
}

/// Long enough for what should not happen to happen.
async fn a_while() {
    clock::wait(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn a_refund_is_called_once_and_its_answer_is_stored() {
    let served = Served::default();
    let url = served.open("points", Duration::from_millis(50)).await;
    let running = Running::start(Memory::new(NOW), vec![site("points", &url)], Limits::default()).await;
    for _ in 0..3 {
        running.tell("points", refund(1, 1, false)).await;
    }
    let facts = running.facts(1).await;
    running.tell("points", refund(1, 1, false)).await;
    a_while().await;
    assert_eq!(served.paths(), ["refund"]);
    let [ChannelEvent { fact: ChannelFact::RefundAnswered { succeeded: true, tries: 1, refund: number, .. }, .. }] = &facts[..] else {
        panic!("{facts:?}")
    };
    assert_eq!(*number, refund(1, 1, false).number());
    assert_eq!(running.stored().await.len(), 1);
    running.end().await;
}

#[tokio::test]
async fn who_cannot_deduct_by_the_plate_is_known_to_do_so() {
    let served = Served::default();
    let url = served.open("points", Duration::ZERO).await;
    let running = Running::start(Memory::new(NOW), vec![site("points", &url)], Limits::default()).await;
    for channel in ["points", "nobody"] {
        running.tell(channel, Job::Notice(notice(), 1)).await;
    }
    let facts = running.facts(2).await;
    let is_told = |event: &ChannelEvent| event.fact == ChannelFact::Parked { session: notice().session, lot: notice().lot, parking: None };
    assert!(facts.len() == 2 && facts.iter().all(is_told), "{facts:?}");
    assert!(served.paths().is_empty(), "nobody is called for what he does not do");
    running.end().await;
}

#[tokio::test]
async fn an_attempt_is_opened_and_closed() {
    let served = Served::default();
    let url = served.open("points", Duration::ZERO).await;
    let running = Running::start(Memory::new(NOW), vec![site("points", &url)], Limits::default()).await;
    for (count, (act, outcome)) in
        [(Act::Open, Outcome::Opened), (Act::Settle, Outcome::Settled), (Act::Query, Outcome::Unpaid), (Act::Close, Outcome::Closed)]
            .into_iter()
            .enumerate()
    {
        running.tell("points", attempt(1, act, 1)).await;
        let facts = running.facts(count + 1).await;
        let ChannelFact::CallAnswered { act: asked, outcome: came, tries: 1, .. } = facts[count].fact else { panic!("{facts:?}") };
        assert_eq!((asked, came), (act, outcome));
    }
    assert_eq!(served.paths(), ["open", "settle", "query", "close"]);
    running.end().await;
}

#[tokio::test]
async fn a_time_out_is_told_as_unknown() {
    let served = Served::default();
    let url = served.open("points", PATIENCE).await;
    let limits = Limits { answer_wait: Duration::from_millis(100), ..Limits::default() };
    let running = Running::start(Memory::new(NOW), vec![site("points", &url), site("etc", "http://127.0.0.1:1")], limits).await;
    running.tell("points", refund(1, 1, false)).await;
    running.tell("points", attempt(1, Act::Open, 1)).await;
    // Nobody listens there: nothing was sent, and that is certain.
    running.tell("etc", refund(2, 1, false)).await;
    running.tell("etc", attempt(2, Act::Close, 1)).await;
    let facts = running.facts(4).await;
    let said = |channel: &str, kind: &str| {
        let event = facts.iter().find(|event| &*event.channel == channel && event.kind() == kind).expect("it is told");
        match &event.fact {
            ChannelFact::RefundAnswered { succeeded: false, standing, .. } => (*standing, None),
            ChannelFact::CallAnswered { outcome, .. } => (None, Some(*outcome)),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(said("points", "refund_answered"), (Some(Standing::Unknown), None));
    assert_eq!(said("points", "call_answered"), (None, Some(Outcome::Unknown)));
    assert_eq!(said("etc", "refund_answered"), (None, None));
    assert_eq!(said("etc", "call_answered"), (None, Some(Outcome::Unknown)), "it may be paid meanwhile");
    running.end().await;
}

#[tokio::test]
async fn a_slow_channel_holds_up_no_other() {
    let (slow, quick) = (Served::default(), Served::default());
    let sites = vec![site("points", &slow.open("points", PATIENCE).await), site("etc", &quick.open("etc", Duration::ZERO).await)];
    let limits = Limits { under_way_max: 1, drain: Duration::from_millis(10), ..Limits::default() };
    let running = Running::start(Memory::new(NOW), sites, limits).await;
    for number in 0..9 {
        running.tell("points", refund(number, 1, false)).await;
        running.tell("etc", refund(number, 1, false)).await;
    }
    let facts = running.facts(9).await;
    assert!(facts.iter().all(|event| &*event.channel == "etc"));
    assert_eq!(slow.paths().len(), 1, "of the slow one as many are under way as may be");
    // A driver does not wait behind refunds, either.
    running.tell("points", attempt(1, Act::Open, 1)).await;
    until(async || slow.paths().contains(&"open".to_owned())).await;
    running.end().await;
}

#[tokio::test]
async fn calls_are_paced() {
    let served = Served::default();
    let url = served.open("points", Duration::ZERO).await;
    let running = Running::start(Memory::new(NOW), vec![site("points", &url)], Limits::default()).await;
    for number in 0..50 {
        running.tell("points", refund(number, 1, false)).await;
    }
    running.facts(50).await;
    let calls = served.calls();
    let took = calls[49].1 - calls[0].1;
    let least = Duration::from_secs(1) / Pace::default().refunds_per_s * 48;
    assert!(took >= least, "49 pauses took {took:?}, not {least:?}");
    running.end().await;
}

#[tokio::test]
async fn a_queue_that_is_full_drops_and_counts() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let counts = recorder.handle();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let served = Served::default();
    let url = served.open("points", PATIENCE).await;
    let limits = Limits { queue_max: 4, under_way_max: 1, drain: Duration::from_millis(10), ..Limits::default() };
    let running = Running::start(Memory::new(NOW), vec![site("points", &url)], limits).await;
    running.tell("points", refund(0, 1, false)).await;
    until(async || served.paths().len() == 1).await;
    for number in 1..20 {
        running.tell("points", refund(number, 1, false)).await;
    }
    let dropped = r#"boomgate_calls_total{channel="points",act="refund",outcome="dropped"} 15"#;
    until(async || counts.render().contains(dropped)).await;
    assert!(counts.render().contains(r#"boomgate_calls_waiting{channel="points",kind="refunds"} 4"#), "{}", counts.render());
    running.end().await;
}

#[tokio::test]
async fn who_is_not_the_owner_stays_silent() {
    let served = Served::default();
    let url = served.open("points", Duration::ZERO).await;
    let bus = Memory::new(NOW);
    // Another replica lives, and the channel is its.
    let other = (0..100).map(|number| format!("other{number}")).find(|other| {
        let members = ["me".to_owned(), other.clone()];
        streams::owner(&members, &["caller", "points", "m"]) == Some(other.as_str())
    });
    let other = Beat { room: "caller".into(), replica: other.expect("half of all names would do") };
    bus.beat(other.clone()).await.expect("in memory");
    let running = Running::start(bus, vec![site("points", &url)], Limits::default()).await;
    running.tell("points", refund(1, 1, false)).await;
    a_while().await;
    assert!(served.paths().is_empty());
    // It leaves, and the call is due again.
    running.bus.leave(other).await.expect("in memory");
    let mut tries = 1;
    while served.paths().is_empty() {
        tries += 1;
        running.tell("points", refund(1, tries, false)).await;
        clock::wait(Duration::from_millis(50)).await;
        assert!(tries < 100, "nobody calls");
    }
    running.end().await;
}

#[tokio::test]
async fn what_no_channel_here_can_do_is_a_persons_work() {
    let running = Running::start(Memory::new(NOW), vec![site("cash", ""), site("points", "")], Limits::default()).await;
    for (number, channel) in [(1, "cash"), (2, "points"), (3, "paypal")] {
        running.tell(channel, refund(number, 1, false)).await;
        running.tell(channel, attempt(number, Act::Open, 1)).await;
    }
    let facts = running.facts(6).await;
    for event in &facts {
        match event.fact {
            ChannelFact::RefundAnswered { succeeded: false, standing: Some(Standing::Abnormal), .. }
            | ChannelFact::CallAnswered { outcome: Outcome::Impossible, .. } => {}
            ref other => panic!("{other:?}"),
        }
    }
    running.bus.tell(Told { subject: "refund.points".into(), payload: "nonsense".into() }).await.expect("in memory");
    a_while().await;
    assert_eq!(running.stored().await.len(), 6);
    running.end().await;
}

#[tokio::test]
async fn an_answer_is_stored_once_the_bus_is_back() {
    let served = Served::default();
    let url = served.open("points", Duration::ZERO).await;
    // A stream that is full stores nothing, as one that is away.
    let bus = Memory::declared(NOW, &table::Declared { storage_bytes: 50_000, ..table::Declared::default() });
    let reader = |processor| table::readers(processor, 1, 0).into_iter().find(|reader| reader.stream == "CHANNEL").expect("it reads it");
    let mut intake = bus.consume(reader("payment")).await.expect("in memory");
    let _entry = bus.consume(reader("entry")).await.expect("in memory");
    let large = |number: usize| Message { subject: "CHANNEL.7.etc.succeeded".into(), payload: "x".repeat(number).into(), headers: BTreeMap::new() };
    for size in [500, 50, 1] {
        while bus.publish(large(size)).await.is_ok() {}
    }
    let running = Running::start(bus.clone(), vec![site("points", &url)], Limits::default()).await;
    running.tell("points", refund(1, 1, false)).await;
    until(async || served.paths().len() == 1).await;
    a_while().await;
    assert!(running.stored().await.is_empty());
    loop {
        let taken = intake.fetch(1_000, Duration::from_millis(1)).await.expect("in memory");
        if taken.is_empty() {
            break;
        }
        for delivery in &taken {
            bus.ack(delivery).await.expect("in memory");
        }
    }
    bus.trim_answered("CHANNEL").await.expect("all of it is answered");
    running.facts(1).await;
    assert_eq!(served.paths(), ["refund"], "it was called once");
    running.end().await;
}
