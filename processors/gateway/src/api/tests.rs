use super::*;
use crate::{
    tokens::{self, Role},
    trial::{FIVE, START, append},
};
use axum::{body::Body, http::Method};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use schema::{
    desk::Says,
    id::Province,
    journal::ShiftAt,
    reference::{Declared, LotDeclared},
};
use std::{
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicI64, Ordering},
};
use store::Sqlite;
use streams::{Bus, Memory};

/// A request's method, path, token, key and body.
type Wanted<'a> = (&'a str, &'a str, &'a str, &'a str, Value);

struct Site {
    router: Router,
    bus: Arc<dyn Bus>,
    tokens: BTreeMap<Role, String>,
    _folder: tempfile::TempDir,
    _stop: watch::Sender<bool>,
}

/// The API on a bus and a store in memory, with somebody of each role, by whose name their role goes.
fn site(clock: fn() -> Moment) -> Site {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tokens.toml");
    let made = Role::ALL.map(|role| (role, tokens::make(role.name().parse().expect("a name"), role).expect("there is chance")));
    std::fs::write(&path, made.iter().map(|(_, made)| made.lines.as_str()).collect::<String>()).expect("a writable folder");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    let (stop, stopped) = watch::channel(false);
    let memory = Arc::new(Memory::new(START));
    let bus: Arc<dyn Bus> = memory.clone();
    let lot = LotDeclared { province: Province(44), zone: "Asia/Shanghai".into(), ..LotDeclared::named(crate::trial::lot()) };
    let reference = Reference::resolve(Declared { lots: vec![lot], ..Declared::default() }).expect("valid reference data");
    let api = Api::new(With {
        journals: Journals::new(bus.clone(), 64),
        view: View::new(bus.clone(), Arc::new(Sqlite::in_memory())),
        buckets: memory,
        tokens: Tokens::open(path, stopped).expect("it is sound"),
        reference: watch::Sender::new(Arc::new(reference)).subscribe(),
        proxies: Proxies::default(),
        clock,
        limits: Limits::default(),
    });
    let tokens = made.into_iter().map(|(role, made)| (role, made.token)).collect();
    Site { router: api.router(), bus, tokens, _folder: folder, _stop: stop }
}

impl Site {
    async fn ask(&self, from: [u8; 4], (method, path, token, key, body): Wanted<'_>) -> (u16, HeaderMap, Value) {
        ask(self.router.clone(), from, (method, path, token, key, body)).await
    }

    /// What was said at desks.
    async fn said(&self) -> Vec<DeskEvent> {
        let stored = self.bus.scan("DESK", 1, 100).await.expect("the bus is in memory");
        stored.iter().map(|stored| wire::decode(None, &stored.payload).expect("a desk event")).collect()
    }

    /// Decides whatever is said first to be a shift that begins, as `payment` would.
    fn decides(&self) -> tokio::task::JoinHandle<()> {
        let bus = self.bus.clone();
        tokio::spawn(async move {
            let stored = loop {
                if let Some(stored) = bus.scan("DESK", 1, 1).await.expect("the bus is in memory").pop() {
                    break stored;
                }
                timeout(Duration::from_millis(5), std::future::pending::<()>()).await.ok();
            };
            let event: DeskEvent = wire::decode(None, &stored.payload).expect("a desk event");
            let shift = ShiftAt { lot: event.lot, province: Province(44), name: "s1".parse().expect("a name") };
            append(&*bus, vec![(1, &event.key(), PaymentEvent::ShiftOpened { shift, float: FIVE, by: event.said() })]).await;
        })
    }
}

async fn ask(router: Router, from: [u8; 4], (method, path, token, key, body): Wanted<'_>) -> (u16, HeaderMap, Value) {
    let mut request = Request::builder().method(method.parse::<Method>().expect("a method")).uri(format!("{BASE}{path}"));
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if !key.is_empty() {
        request = request.header("Idempotency-Key", key);
    }
    let mut request = request.body(Body::from(body.to_string())).expect("a request");
    request.extensions_mut().insert(Peer((from, 7).into()));
    let response = TowerToHyperService::new(router).call(request).await.expect("a router answers");
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1024 * 1024).await.expect("it is whole");
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
}

const HOME: [u8; 4] = [10, 0, 0, 9];
const OPENED: &str = "/shifts/small/s1/opened";

fn opened() -> Value {
    json!({ "reason": "morning", "float": FIVE })
}

#[tokio::test(start_paused = true)]
async fn roles_are_as_the_table_says() {
    let site = site(|| START);
    for route in &ROUTES {
        let path = route.path.replace("{lot}", "small").replace("{shift}", "s1").replace(['{', '}'], "");
        for role in Role::ALL {
            // Whoever may do it is told that there is no such thing, or what the request lacks: there is no key.
            let (status, ..) = site.ask(HOME, (route.method(), &path, &site.tokens[&role], "", Value::Null)).await;
            let may = route.roles.contains(&role);
            assert_eq!(status == 403, !may, "{} {} {role:?}: {status}", route.method(), route.path);
            assert!([200, 400, 403, 404, 422].contains(&status), "{} {} {role:?}: {status}", route.method(), route.path);
        }
        let (status, ..) = site.ask([10, 0, 1, 1], (route.method(), &path, "bg_nobody", "", Value::Null)).await;
        assert!([401, 429].contains(&status), "{} {}: {status}", route.method(), route.path);
    }
    assert!(site.said().await.is_empty());
    let stay = json!({ "reason": "x", "who": { "kind": "plate", "text": "粤B12345", "colour": "blue" }, "entered_at": 1, "stay": "S4426112307VZx3MdpKtIUVlfy7" });
    let (status, _, body) = site.ask(HOME, ("POST", "/lots/small/corrections", &site.tokens[&Role::Cashier], "k", stay)).await;
    assert_eq!((status, &body["detail"].as_str().expect("a sentence")[..6]), (403, "a stay"), "what is over is an admin's");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_one_request_for_ever() {
    let site = site(|| START);
    let cashier = &site.tokens[&Role::Cashier];
    let ask = async |key: &str, body: Value| site.ask(HOME, ("POST", OPENED, cashier, key, body)).await;
    // Nobody decides yet.
    let (status, _, stored) = ask("k", opened()).await;
    assert_eq!((status, &stored["result"]), (202, &json!("stored")));
    site.decides().await.expect("it decides");
    let (status, _, first) = ask("k", opened()).await;
    assert_eq!((status, &first["result"], &first["event"]), (200, &json!("shift_opened"), &stored["event"]), "{first}");
    let (status, _, again) = ask("k", opened()).await;
    assert_eq!((status, again), (200, first));
    assert_eq!(site.said().await.len(), 1);
    let (status, headers, body) = ask("k", json!({ "reason": "evening", "float": FIVE })).await;
    assert_eq!((status, &body["type"]), (409, &json!("urn:boomgate:problem:key_reused")));
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    let admin = &site.tokens[&Role::Admin];
    assert_eq!(site.ask(HOME, ("POST", OPENED, admin, "k", opened())).await.0, 409, "another person's request is another one");
    assert_eq!(ask("", opened()).await.2["type"], "urn:boomgate:problem:key_missing");
    assert_eq!(site.said().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_author_is_the_tokens_person() {
    let site = site(|| START);
    let cashier = &site.tokens[&Role::Cashier];
    let mut body = opened();
    body["author"] = json!("admin");
    let (status, _, problem) = site.ask(HOME, ("POST", OPENED, cashier, "k1", body)).await;
    assert_eq!((status, &problem["type"]), (400, &json!("urn:boomgate:problem:malformed")), "a body names no author");
    let decided = site.decides();
    let (status, ..) = site.ask(HOME, ("POST", OPENED, cashier, "k2", opened())).await;
    decided.await.expect("it decides");
    let said = site.said().await;
    assert_eq!((status, said.len(), said[0].author.as_str(), &*said[0].reason), (200, 1, "cashier", "morning"));
    assert!(matches!(said[0].says, Says::Shift { .. }) && said[0].said_at >= START);
}

#[tokio::test(start_paused = true)]
async fn what_means_nothing_is_refused_with_words() {
    let site = site(|| START);
    let admin = &site.tokens[&Role::Admin];
    let order = crate::trial::order(1);
    for (path, body, status, name) in [
        (OPENED, json!({ "reason": "", "float": FIVE }), 422, "unsound"),
        (OPENED, json!({ "float": FIVE }), 400, "malformed"),
        (OPENED, Value::Null, 400, "malformed"),
        ("/shifts/elsewhere/s1/opened", opened(), 404, "not_found"),
        ("/shifts/small/%2e%2e%20/opened", opened(), 404, "not_found"),
        (&format!("/orders/{order}/refunds"), json!({ "reason": "x", "amount": FIVE }), 404, "not_found"),
        ("/orders/nonsense/refunds", json!({ "reason": "x", "amount": FIVE }), 404, "not_found"),
        (OPENED, json!({ "reason": "x".repeat(20_000), "float": FIVE }), 422, "unsound"),
        (OPENED, json!({ "reason": "x".repeat(100_000), "float": FIVE }), 413, "too_large"),
    ] {
        let key = format!("k-{status}-{path}-{}", body.to_string().len());
        let (said, _, problem) = site.ask(HOME, ("POST", path, admin, &key[..key.len().min(100)], body)).await;
        assert_eq!((said, &problem["type"]), (status, &json!(format!("urn:boomgate:problem:{name}"))), "{path}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
    assert!(site.said().await.is_empty());
    let get = async |path: &str| site.ask(HOME, ("GET", path, admin, "", Value::Null)).await.0;
    for (path, status) in [
        ("/orders", 422),
        ("/orders?lot=small&day=261123", 200),
        ("/orders?lot=elsewhere&day=261123", 404),
        ("/refunds?state=lost", 422),
        ("/refunds", 200),
        ("/exceptions", 200),
        ("/exceptions?owner=not%20a%20name", 422),
        ("/exceptions/X4426112307VZx3MdpKtIUVlfy7", 404),
        ("/sessions/S4426112307VZx3MdpKtIUVlfy7", 404),
        ("/shifts/small/s1", 404),
        (&format!("/payments/{order}/history"), 200),
        ("/openapi.json", 200),
    ] {
        assert_eq!(get(path).await, status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_done_about_an_exception_is_said_at_its_partitions_desk() {
    let site = site(|| START);
    let (viewer, finance) = (&site.tokens[&Role::Viewer], &site.tokens[&Role::Finance]);
    let reason = || json!({ "reason": "looked at" });
    let steps = [
        ("owner", json!({ "reason": "looked at", "owner": "zhou" })),
        ("requery", reason()),
        ("repair", reason()),
        ("refund", reason()),
        ("write-off", reason()),
        ("approval", json!({ "reason": "looked at", "write_off": "key-1" })),
    ];
    for (step, body) in &steps {
        let path = format!("/exceptions/X4426112307VZx3MdpKtIUVlfy7/{step}");
        assert_eq!(site.ask(HOME, ("POST", &path, viewer, step, body.clone())).await.0, 403, "a viewer looks");
        assert_eq!(site.ask(HOME, ("POST", &path, finance, step, body.clone())).await.0, 202, "nobody decides here");
    }
    assert_eq!(site.ask(HOME, ("POST", "/exceptions/nonsense/repair", finance, "k", reason())).await.0, 404);
    let said = site.said().await;
    let desk = schema::exception::desk_of(schema::Partition(7));
    assert_eq!(said.len(), steps.len());
    assert!(said.iter().all(|event| event.lot == desk && matches!(event.says, Says::Exception { .. })), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn floods_are_bounded_and_told() {
    static NOW: AtomicI64 = AtomicI64::new(START.0);
    let site = site(|| Moment(NOW.load(Ordering::Relaxed)));
    let strange = async |from, token: &str| site.ask(from, ("GET", "/refunds", token, "", Value::Null)).await;
    let mut told = BTreeMap::<u16, usize>::new();
    for number in 0..1_000 {
        let (status, headers, _) = strange([7, 7, 7, 7], &format!("bg_{number}")).await;
        assert_eq!(headers.contains_key(header::RETRY_AFTER), status == 429);
        *told.entry(status).or_default() += 1;
    }
    assert_eq!(told, [(401, 10), (429, 990)].into());
    assert_eq!(strange([8, 8, 8, 8], "").await.0, 401, "another address has its own");
    let viewer = &site.tokens[&Role::Viewer];
    assert_eq!(strange([7, 7, 7, 7], viewer).await.0, 200, "who has a token is no stranger");
    let mut told = BTreeMap::<u16, usize>::new();
    for _ in 0..100 {
        *told.entry(strange(HOME, viewer).await.0).or_default() += 1;
    }
    assert_eq!(told, [(200, 39), (429, 61)].into());
    NOW.fetch_add(schema::time::SECOND, Ordering::Relaxed);
    assert_eq!((strange(HOME, viewer).await.0, strange([7, 7, 7, 7], "").await.0), (200, 401), "a second later they may come again");
    // As many who wait for a decision as there is room for: the next one is told to come again, and then it is served.
    let cashier = &site.tokens[&Role::Cashier];
    let waiting: Vec<_> = (0..20)
        .map(|number| {
            let (router, token) = (site.router.clone(), cashier.clone());
            tokio::spawn(async move { ask(router, HOME, ("POST", OPENED, &token, &format!("k{number}"), opened())).await.0 })
        })
        .collect();
    for answer in waiting {
        assert_eq!(answer.await.expect("it ends"), 202);
    }
    NOW.fetch_add(schema::time::SECOND, Ordering::Relaxed);
    assert_eq!(strange(HOME, viewer).await.0, 200);
}
