use super::*;
use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use schema::time::SECOND;
use std::sync::Mutex;

/// What came: the path, the headers, the body.
type Heard = (String, HeaderMap, Bytes);

/// A merchant that takes what it is told, but for so many things at first.
#[derive(Clone, Default)]
struct Merchant(Arc<Mutex<(usize, Vec<Heard>)>>);

impl Merchant {
    async fn listen(refuses: usize) -> (Self, String) {
        let merchant = Self::default();
        merchant.0.lock().expect("nobody panics while holding it").0 = refuses;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/notify", listener.local_addr().expect("it listens"));
        let router = Router::new().fallback(hear).with_state(merchant.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (merchant, url)
    }

    fn heard(&self) -> Vec<Heard> {
        self.0.lock().expect("nobody panics while holding it").1.clone()
    }

    fn bodies(&self) -> Vec<String> {
        self.heard().into_iter().map(|(_, _, body)| String::from_utf8_lossy(&body).into_owned()).collect()
    }
}

async fn hear(State(merchant): State<Merchant>, request: axum::extract::Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 100_000).await.expect("it is short");
    let mut state = merchant.0.lock().expect("nobody panics while holding it");
    state.1.push((head.uri.path().to_owned(), head.headers, body));
    if state.0 > 0 {
        state.0 -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    "success".into_response()
}

/// Channels in a great hurry, and the merchant that they tell.
async fn channels(faults: &[&str], refuses: usize) -> (Simulators, Merchant) {
    let (merchant, notify_url) = Merchant::listen(refuses).await;
    let faults = Faults::of(&faults.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).expect("they are known");
    let quick = Duration::from_millis(20);
    let settings = Settings { notify_url, faults, hurry: 1_000, late_by: quick, refund_takes: quick, settle_after: quick, ..Settings::default() };
    (Simulators::start(settings).await.expect("a free port"), merchant)
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_notification_is_repeated_until_it_is_taken() {
    for channel in ["wechat", "alipay", "etc", "points"] {
        let (simulators, merchant) = channels(&[], 2).await;
        simulators.pay(channel, "attempt1", 500, clock::now()).expect("it is new");
        assert!(simulators.settled(SOON).await);
        let heard = merchant.heard();
        assert_eq!(heard.len(), 3, "{channel}");
        assert!(heard.iter().all(|(path, _, _)| *path == format!("/notify/{channel}")), "{heard:?}");
        let counts = simulators.counts(channel);
        assert_eq!((counts.told.get(), counts.taken.get(), counts.not_taken.get(), counts.given_up.get()), (1, 1, 2, 0));
    }
}

#[tokio::test]
async fn who_takes_nothing_is_given_up_after_the_schedule() {
    let (merchant, notify_url) = Merchant::listen(usize::MAX).await;
    let settings = Settings { notify_url, hurry: 1_000_000, ..Settings::default() };
    let simulators = Simulators::start(settings).await.expect("a free port");
    for (channel, sendings) in [("wechat", 16), ("alipay", 8)] {
        let before = merchant.heard().len();
        simulators.pay(channel, "attempt1", 500, clock::now()).expect("it is new");
        assert!(simulators.settled(SOON).await);
        assert_eq!(merchant.heard().len() - before, sendings, "{channel}");
        assert_eq!(simulators.counts(channel).given_up.get(), 1);
    }
}

#[tokio::test]
async fn a_debit_is_accepted_and_then_captured_or_not() {
    let (simulators, merchant) = channels(&[], 0).await;
    for (attempt, captures) in [("a", true), ("b", false)] {
        let transaction = simulators.debit("etc", attempt, 500, clock::now(), captures).expect("it is new");
        assert!(simulators.settled(SOON).await);
        let truth = &simulators.truth()[&("etc", transaction)];
        assert_eq!((truth.captured, truth.standing), if captures { (500, Standing::Paid) } else { (0, Standing::Failed) });
    }
    let kinds: Vec<String> =
        merchant.bodies().iter().map(|body| body.split("\"kind\":\"").nth(1).expect("a kind").chars().take(6).collect()).collect();
    assert_eq!(kinds, ["accept", "succee", "accept", "failed"]);
}

#[tokio::test]
async fn what_goes_wrong_is_counted() {
    let (simulators, merchant) = channels(&["lost=200", "doubled=200", "late=100", "reordered=100", "never=50", "forged=100"], 0).await;
    for number in 0..200 {
        simulators.pay("etc", &format!("attempt{number}"), 500, clock::now()).expect("it is new");
    }
    assert!(simulators.settled(SOON).await);
    let counts = simulators.counts("etc");
    for (count, about) in
        [(&counts.lost, 40), (&counts.doubled, 40), (&counts.late, 20), (&counts.reordered, 20), (&counts.never, 10), (&counts.forged, 20)]
    {
        assert!(count.get().abs_diff(about) <= about / 2 + 5, "{counts:?}");
    }
    assert_eq!((counts.told.get(), counts.given_up.get()), (200, 0));
    let sent = 200 - counts.never.get() + counts.doubled.get() + counts.forged.get();
    assert_eq!(u64::try_from(merchant.heard().len()).expect("few"), sent);
    // This merchant believes anybody.
    assert_eq!(counts.forged_taken.get(), counts.forged.get());
    assert_eq!(
        merchant.bodies().iter().filter(|body| body.contains("4299999999999999999999999999")).count(),
        usize::try_from(counts.forged.get()).expect("few")
    );
}

#[tokio::test]
async fn what_is_overtaken_comes_after_what_was_told_later() {
    let (simulators, merchant) = channels(&["reordered=500"], 0).await;
    let is_late = |attempt: &str| {
        let trade = Trade { standing: Standing::Paid, ..Trade::new("etc", attempt, 500, Moment(0)) };
        let told = simulators.site("etc").of_payment(&trade).expect("it is told");
        simulators.site("etc").office().settings.faults.of_notice(1, &told.number).is_some()
    };
    let attempts: Vec<String> = (0..50).map(|number| format!("attempt{number}")).collect();
    let first = attempts.iter().find(|attempt| is_late(attempt)).expect("one of fifty is");
    let second = attempts.iter().find(|attempt| !is_late(attempt)).expect("one of fifty is not");
    for attempt in [first, second] {
        simulators.pay("etc", attempt, 500, clock::now()).expect("it is new");
    }
    assert!(simulators.settled(SOON).await);
    let order: Vec<bool> = merchant.bodies().iter().map(|body| body.contains(&format!("\"{first}\""))).collect();
    assert_eq!(order, [false, true]);
}

#[tokio::test]
async fn a_number_is_paid_once_at_each_channel() {
    let (simulators, _) = channels(&[], 0).await;
    let numbers: Vec<String> = ["wechat", "alipay"].map(|channel| simulators.pay(channel, "attempt1", 500, clock::now()).expect("it is new")).into();
    assert_ne!(numbers[0], numbers[1]);
    assert_eq!(simulators.pay("wechat", "attempt1", 500, clock::now()), Err(Refusal::Taken));
    assert_eq!(simulators.truth().len(), 2);
    assert_eq!(simulators.scan("wechat", "attempt2"), Err(Refusal::Unknown));
}

#[tokio::test]
async fn a_configuration_names_every_channel_and_its_keys() {
    let (mut simulators, _) = channels(&[], 0).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = simulators.configure(folder.path()).expect("a writable folder");
    let read: toml::Table = text.parse().expect("TOML");
    let channels = read["channels"].as_table().expect("a table");
    assert_eq!(channels.keys().collect::<Vec<_>>(), ["alipay", "etc", "points", "wechat"]);
    for (name, channel) in channels {
        assert_eq!(channel["base_url"].as_str(), Some(simulators.access(name).base_url.as_str()));
        for file in channel["keys"].as_table().expect("a table").values() {
            assert!(std::fs::read_to_string(file.as_str().expect("a path")).is_ok_and(|text| text.len() > 16));
        }
    }
    assert_eq!(simulators.ended(), 0);
}

#[tokio::test]
async fn each_channel_writes_its_statement() {
    let (simulators, _) = channels(&[], 0).await;
    let at = Moment(1_795_399_200 * SECOND);
    for channel in ["wechat", "alipay", "etc"] {
        simulators.pay(channel, "attempt1", 500, at).expect("it is new");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let day = clock::day(at);
    assert_eq!(simulators.statements(&day, folder.path()).expect("a writable folder"), 3);
    assert!(folder.path().join("wechat").join(format!("1900000109All{day}.csv")).exists());
    assert!(folder.path().join("etc").join(format!("etc_{day}.csv")).exists());
    assert_eq!(simulators.statements("2026-01-01", folder.path()).expect("a writable folder"), 0);
}
