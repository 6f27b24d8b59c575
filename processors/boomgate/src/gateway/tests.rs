use super::*;
use crate::{
    replica::Readiness,
    run::{self, run},
    trial::{self, START, Weather, declared, gate, message},
};
use axum::{
    Router,
    body::Body,
    http::{Request, header},
};
use channels::seal::PrivateKey;
use gateway::tokens;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use schema::{
    ChannelEvent, ChannelFact, Event, GateKind, Id, Journal,
    journal::OrderEvent,
    wire::{self, Format},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use store::Sqlite;
use streams::{Bus, Memory, Message};

fn config(text: &str) -> Config {
    Config::parse(text).expect("valid")
}

#[test]
fn a_key_is_a_file_and_an_error_names_it_and_not_its_text() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("secret");
    let etc = |path: &std::path::Path| config(&format!("[channels.etc]\nkeys = {{ secret = {:?} }}", path.display().to_string()));
    std::fs::write(&secret, "hunter2").expect("a writable folder");
    let error = format!("{:#}", channels(&etc(&secret)).map(drop).expect_err("it is too short"));
    assert!(error.contains("channels.etc") && !error.contains("hunter2"), "{error}");
    std::fs::write(&secret, "a secret that is long enough\n").expect("a writable folder");
    assert_eq!(channels(&etc(&secret)).expect("it is one").len(), 1);
    let error = format!("{:#}", channels(&etc(&folder.path().join("none"))).map(drop).expect_err("it is not there"));
    assert!(error.contains("cannot read the key secret from"), "{error}");
    let error = format!("{:#}", channels(&config("[channels.paypal]")).map(drop).expect_err("nobody knows it"));
    assert!(error.contains("there is no channel paypal, there are wechat, alipay"), "{error}");
}

/// All processors and the doors, on one bus in memory, with persons of whom two are of finance.
struct Whole {
    bus: Arc<Memory>,
    store: Arc<Weather>,
    router: Router,
    tokens: BTreeMap<&'static str, String>,
    _folder: tempfile::TempDir,
    _stop: watch::Sender<bool>,
}

const PERSONS: [(&str, Role); 4] = [("wu", Role::Finance), ("mei", Role::Finance), ("lin", Role::Cashier), ("guest", Role::Viewer)];
const KEY: &str = include_str!("../../../channels/vectors/test_key.pem");
const PUBLIC: &str = include_str!("../../../channels/vectors/test_public.pem");

fn alipay() -> Arc<dyn Channel> {
    let keys = [("merchant", KEY), ("alipay", PUBLIC)].map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    channels::make("alipay", &channels::Settings { merchant: "2088".into(), app: "2021".into(), keys, ..channels::Settings::default() })
        .expect("sound")
}

impl Whole {
    async fn start() -> Self {
        let (bus, reference) = (Arc::new(Memory::new(START)), Arc::new(Reference::resolve(declared()).expect("valid reference data")));
        let store = Arc::new(Weather { inner: Sqlite::in_memory(), away: AtomicBool::new(false), marks_fail: AtomicBool::new(false) });
        let limits = rules::Limits { refund_alone_max: 600, ..rules::Limits::default() };
        let with = run::With { limits, reference: reference.clone().into(), ..trial::with(bus.clone(), store.clone()) };
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(run(rules::ALL.to_vec(), with, Arc::new(Readiness::default()), stopped.clone()));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tokens.toml");
        let made = PERSONS.map(|(name, role)| (name, tokens::make(name.parse().expect("a name"), role).expect("there is chance")));
        std::fs::write(&path, made.iter().map(|(_, made)| made.lines.as_str()).collect::<String>()).expect("a writable folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        let limits = Limits::default();
        let api = Api::new(api::With {
            journals: Journals::new(bus.clone(), FOLLOWERS_MAX),
            view: View::new(bus.clone(), store.clone()),
            buckets: bus.clone(),
            tokens: Tokens::open(path, stopped).expect("it is sound"),
            reference: watch::Sender::new(reference).subscribe(),
            proxies: Proxies::default(),
            clock: || START,
            limits,
        });
        let router = Webhooks::new(bus.clone(), [alipay()], || START, limits).router().merge(api.router());
        let tokens = made.into_iter().map(|(name, made)| (name, made.token)).collect();
        let whole = Self { bus, store, router, tokens, _folder: folder, _stop: stop };
        wait().await;
        whole
    }

    async fn send(&self, message: Message) {
        self.bus.publish(message).await.expect("the bus takes it");
        wait().await;
    }

    /// An order of ten yuan, for a stay of two hours.
    async fn priced(&self, car: &str) -> Id {
        let known = self.bus.scan("ORDER", 1, 100).await.expect("the bus is in memory").len();
        self.send(message(&gate(GateKind::Entry, car, -90))).await;
        self.send(message(&gate(GateKind::Exit, car, 0))).await;
        let stored = self.bus.scan("ORDER", 1, 100).await.expect("the bus is in memory").remove(known);
        let priced = wire::decode_recorded(Journal::Order, crate::input::content_type(&stored), &stored.payload).expect("we wrote it");
        let Event::Order(OrderEvent::Priced { order, .. }) = priced.event else { panic!("{priced:?}") };
        order
    }

    async fn paid(&self, car: &str) -> Id {
        let order = self.priced(car).await;
        let amount = schema::Money::new(1_000, schema::Currency::Cny);
        let fact = ChannelFact::Succeeded { attempt: schema::id::attempt(order, 1), transaction: "T1".into(), amount };
        let event = ChannelEvent { channel: "wechat".into(), happened_at: START, fact };
        let subject = event.subject().expect("an order of ours");
        self.send(Message { subject, payload: wire::encode(Format::Json, &event).into(), headers: BTreeMap::new() }).await;
        order
    }

    async fn ask(&self, person: &str, method: &str, path: &str, key: &str, body: Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.tokens[person])).header("Idempotency-Key", key);
        let (status, text) = self.call(request.body(Body::from(body.to_string())).expect("a request")).await;
        (status, serde_json::from_str(&text).expect("JSON"))
    }

    async fn call(&self, request: Request<Body>) -> (u16, String) {
        let response = TowerToHyperService::new(self.router.clone()).call(request).await.expect("a router answers");
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1024 * 1024).await.expect("it is whole");
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("guest", "GET", path, "", Value::Null).await
    }

    async fn stored(&self, stream: &str) -> usize {
        self.bus.scan(stream, 1, 1_000).await.expect("the bus is in memory").len()
    }
}

async fn wait() {
    crate::clock::wait(Duration::from_secs(2)).await;
}

fn refund(minor: i64) -> Value {
    json!({ "reason": "the barrier was stuck", "amount": { "minor": minor, "currency": "CNY" } })
}

#[tokio::test(start_paused = true)]
async fn a_refund_is_answered_after_its_decision_and_made_once() {
    let whole = Whole::start().await;
    let order = whole.paid("A").await;
    let path = format!("/orders/{order}/refunds");
    let (status, first) = whole.ask("wu", "POST", &path, "k1", refund(300)).await;
    assert_eq!((status, &first["result"]), (200, &json!("refund_requested")), "{first}");
    let decided = &first["decided"][0]["event"];
    assert_eq!((&decided["by"]["author"], &decided["by"]["reason"]), (&json!("wu"), &json!("the barrier was stuck")));
    // What was decided is seen at once, saved or not.
    let (status, payment) = whole.get(&format!("/payments/{order}")).await;
    let refunds = &payment["receipts"]["wechat/T1"]["refunds"];
    assert_eq!((status, refunds.as_array().map(Vec::len), &refunds[0]["amount"]["minor"]), (200, Some(1), &json!(300)));
    assert_eq!(whole.ask("wu", "POST", &path, "k1", refund(300)).await, (200, first), "the same key gets the same answer");
    assert_eq!(whole.ask("wu", "POST", &path, "k1", refund(301)).await.0, 409, "and with another body none");
    assert_eq!(whole.stored("DESK").await, 1);
    assert_eq!(whole.ask("lin", "POST", &path, "k2", refund(1)).await.0, 403, "a cashier sends nothing back");
    let (status, problem) = whole.ask("wu", "POST", &path, "k3", refund(900)).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:boomgate:problem:more_than_paid")));
    let (_, again) = whole.get(&format!("/payments/{order}")).await;
    assert_eq!(again["receipts"]["wechat/T1"]["refunds"].as_array().map(Vec::len), Some(1));
    let (_, history) = whole.get(&format!("/payments/{order}/history")).await;
    let kinds: Vec<&Value> = history["events"].as_array().expect("events").iter().map(|event| &event["recorded"]["event"]["type"]).collect();
    assert!(["expected", "applied", "refund_requested", "noted"].iter().all(|kind| kinds.contains(&&json!(kind))), "{kinds:?}");
}

#[tokio::test(start_paused = true)]
async fn past_the_limit_another_person_must_agree() {
    let whole = Whole::start().await;
    let order = whole.paid("A").await;
    // All that pays it, which is more than one person may send back alone.
    let (status, wanted) = whole.ask("wu", "POST", &format!("/orders/{order}/refunds"), "k1", json!({ "reason": "flooded" })).await;
    assert_eq!((status, &wanted["result"]), (200, &json!("refund_wanted")), "{wanted}");
    wait().await;
    let (_, list) = whole.get("/refunds?state=wanted").await;
    assert_eq!((&list["refunds"][0]["order"], &list["refunds"][0]["wanted"]), (&json!(order), &wanted["event"]), "{list}");
    let approval = json!({ "reason": "seen", "order": order, "refund": wanted["event"] });
    let (status, problem) = whole.ask("wu", "POST", "/refunds/approvals", "k2", approval.clone()).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:boomgate:problem:same_person")));
    let (status, agreed) = whole.ask("mei", "POST", "/refunds/approvals", "k3", approval).await;
    assert_eq!((status, &agreed["result"]), (200, &json!("refund_requested")), "{agreed}");
    let event = &agreed["decided"][0]["event"];
    assert_eq!((&event["by"]["author"], &event["approved"]["author"], &event["amount"]["minor"]), (&json!("wu"), &json!("mei"), &json!(1_000)));
    wait().await;
    assert_eq!(whole.get("/refunds?state=wanted").await.1["refunds"], json!([]));
    assert_eq!(whole.get("/refunds?state=open").await.1["refunds"][0]["refund"]["state"], "requested");
}

#[tokio::test(start_paused = true)]
async fn what_another_person_declines_leaves_the_list() {
    let whole = Whole::start().await;
    let order = whole.paid("A").await;
    let (status, wanted) = whole.ask("wu", "POST", &format!("/orders/{order}/refunds"), "k1", json!({ "reason": "flooded" })).await;
    assert_eq!((status, &wanted["result"]), (200, &json!("refund_wanted")), "{wanted}");
    let declined = json!({ "reason": "it was not", "order": order, "refund": wanted["event"] });
    let (status, problem) = whole.ask("wu", "POST", "/refunds/declined", "k2", declined.clone()).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:boomgate:problem:same_person")));
    let (status, said) = whole.ask("mei", "POST", "/refunds/declined", "k3", declined.clone()).await;
    assert_eq!((status, &said["result"]), (200, &json!("refund_declined")), "{said}");
    let event = &said["decided"][0]["event"];
    assert_eq!((&event["by"]["author"], &event["by"]["reason"], &event["said"]), (&json!("mei"), &json!("it was not"), &wanted["event"]));
    wait().await;
    assert_eq!(whole.get("/refunds?state=wanted").await.1["refunds"], json!([]));
    assert_eq!(whole.ask("mei", "POST", "/refunds/approvals", "k4", declined).await.0, 404, "nobody wants it any more");
}

#[tokio::test(start_paused = true)]
async fn a_shift_takes_cash_and_ends_with_its_difference() {
    let whole = Whole::start().await;
    let order = whole.priced("A").await;
    let money = |minor: i64| json!({ "minor": minor, "currency": "CNY" });
    let say = async |path: &str, body: Value| whole.ask("lin", "POST", path, &format!("{path} {body}"), body.clone()).await;
    let cash = json!({ "reason": "booth", "amount": money(1_000), "shift": "morning" });
    let (status, problem) = say(&format!("/orders/{order}/cash"), cash.clone()).await;
    assert_eq!((status, &problem["type"]), (404, &json!("urn:boomgate:problem:unknown")), "no shift has begun");
    assert_eq!(say("/shifts/small/morning/opened", json!({ "reason": "six o'clock", "float": money(5_000) })).await.0, 200);
    let (status, paid) = whole.ask("lin", "POST", &format!("/orders/{order}/cash"), "again", cash).await;
    let kinds: Vec<&Value> = paid["decided"].as_array().expect("events").iter().map(|decided| &decided["event"]["type"]).collect();
    assert_eq!((status, kinds), (200, vec![&json!("applied"), &json!("shift_took")]), "{paid}");
    assert_eq!(say("/shifts/small/morning/closed", json!({ "reason": "noon" })).await.1["type"], "urn:boomgate:problem:not_counted");
    assert_eq!(say("/shifts/small/morning/counted", json!({ "reason": "noon", "counted": money(5_900) })).await.0, 200);
    let (status, closed) = whole.ask("lin", "POST", "/shifts/small/morning/closed", "closes", json!({ "reason": "noon" })).await;
    assert_eq!((status, &closed["decided"][0]["event"]["expected"]), (200, &money(6_000)), "{closed}");
    let (_, shift) = whole.get("/shifts/small/morning").await;
    assert_eq!((&shift["expected"], &shift["counted"], &shift["closed"]["author"]), (&money(6_000), &money(5_900), &json!("lin")));
    wait().await;
    assert!(whole.get(&format!("/orders/{order}")).await.1["paid"].is_array());
    let (_, page) = whole.get("/orders?lot=small&day=261123").await;
    assert_eq!((&page["orders"][0]["order"], &page["next"]), (&json!(order), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn with_the_store_away_reads_say_so_and_webhooks_go_on() {
    let whole = Whole::start().await;
    let order = whole.priced("A").await;
    whole.store.away.store(true, Ordering::Relaxed);
    let (status, problem) = whole.get(&format!("/orders/{order}")).await;
    assert_eq!((status, &problem["type"]), (503, &json!("urn:boomgate:problem:store_away")), "{problem}");
    assert_eq!(whole.ask("wu", "POST", &format!("/orders/{order}/refunds"), "k", refund(1)).await.0, 503);
    let attempt = schema::id::attempt(order, 1);
    let fields = [
        ("app_id", "2021"),
        ("out_trade_no", attempt.as_str()),
        ("seller_id", "2088"),
        ("total_amount", "10.00"),
        ("trade_no", "T1"),
        ("trade_status", "TRADE_SUCCESS"),
    ];
    let text = fields.map(|(name, value)| format!("{name}={value}")).join("&");
    let sign: String =
        PrivateKey::read(KEY).expect("a key").sign(text.as_bytes()).expect("it signs").replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let request = Request::builder().method("POST").uri("/notify/alipay").body(Body::from(format!("{text}&sign={sign}"))).expect("a request");
    assert_eq!(whole.call(request).await, (200, "success".to_owned()));
    wait().await;
    whole.store.away.store(false, Ordering::Relaxed);
    wait().await;
    let (status, paid) = whole.get(&format!("/orders/{order}")).await;
    assert_eq!((status, &paid["paid"][1]["channel"]), (200, &json!("alipay")), "the car has paid all the same");
    assert_eq!(whole.ask("wu", "POST", &format!("/orders/{order}/refunds"), "k", refund(1)).await.0, 200, "and the same key goes on");
}
