use super::*;
use crate::doors::tests::{open, said};
use channels::{Settings, make, seal::PrivateKey};
use schema::ChannelFact;
use streams::{Memory, table::Declared};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const KEY: &str = include_str!("../../../channels/vectors/test_key.pem");
const PUBLIC: &str = include_str!("../../../channels/vectors/test_public.pem");
const ATTEMPT: &str = "O4426112307VZx3MdpKtIUVlfy701";
const NOW: Moment = Moment(1_795_399_200_000_000);

fn alipay() -> Arc<dyn Channel> {
    let keys = [("merchant", KEY), ("alipay", PUBLIC)].map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    make("alipay", &Settings { merchant: "2088".into(), app: "2021".into(), keys, ..Settings::default() }).expect("sound")
}

/// A notification that the channel signed, by the test's own key.
fn signed(more: &[(&str, &str)]) -> String {
    let always = [("app_id", "2021"), ("seller_id", "2088"), ("out_trade_no", ATTEMPT), ("trade_no", "T1"), ("trade_status", "TRADE_SUCCESS")];
    let all: BTreeMap<&str, &str> = always.into_iter().chain([("total_amount", "5.00")]).chain(more.iter().copied()).collect();
    let text = all.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let sign = PrivateKey::read(KEY).expect("a key").sign(text.as_bytes()).expect("it signs");
    form_urlencoded::Serializer::new(String::new()).extend_pairs(&all).append_pair("sign", &sign).finish()
}

fn post(channel: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /notify/{channel} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// What is said to each of some requests, and the facts that are stored then.
async fn doors(bus: Memory, limits: Limits, requests: &[Vec<u8>]) -> (Vec<String>, Vec<(String, ChannelEvent)>) {
    let bus: Arc<dyn Bus> = Arc::new(bus);
    let webhooks = Webhooks::new(bus.clone(), [alipay()], || NOW, limits);
    let (address, _stop, _served) = open(webhooks.router(), limits).await;
    let mut answers = Vec::new();
    for request in requests {
        answers.push(said(address, request).await);
    }
    let stored = bus.scan("CHANNEL", 1, 100).await.expect("the bus is in memory");
    let read =
        |message: &streams::Stored| wire::decode(message.headers.get(wire::CONTENT_TYPE).map(String::as_str), &message.payload).expect("a fact");
    (answers, stored.iter().map(|message| (message.subject.clone(), read(message))).collect())
}

#[tokio::test]
async fn a_notification_is_answered_once_its_fact_is_stored() {
    // Twice, as channels do.
    let (answers, facts) = doors(Memory::new(NOW), Limits::default(), &[post("alipay", &signed(&[])), post("alipay", &signed(&[]))]).await;
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nsuccess")), "{answers:?}");
    let [(subject, event)] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(subject, "CHANNEL.7.alipay.succeeded");
    assert!(matches!(&event.fact, ChannelFact::Succeeded { attempt, amount, .. } if attempt.as_str() == ATTEMPT && amount.minor == 500));
}

#[tokio::test]
async fn what_is_not_genuine_changes_nothing() {
    let genuine = signed(&[]);
    let requests = [
        post("alipay", &genuine.replace("5.00", "0.01")),
        post("alipay", &genuine.replace("&sign=", "&sing=")),
        post("alipay", ""),
        post("alipay", "\u{0}\u{1}%%%=&&&"),
        post("alipay", &signed(&[("seller_id", "2089")])),
        post("alipay", &signed(&[("total_amount", "a lot")])),
    ];
    let (answers, facts) = doors(Memory::new(NOW), Limits::default(), &requests).await;
    assert!(answers.iter().all(|answer| answer.ends_with("\r\n\r\nfailure")), "{answers:?}");
    assert!(facts.is_empty(), "{facts:?}");
}

#[tokio::test]
async fn what_cannot_be_stored_is_told_again() {
    let full = Memory::declared(NOW, &Declared { storage_bytes: 100, ..Declared::default() });
    let (answers, facts) = doors(full, Limits::default(), &[post("alipay", &signed(&[]))]).await;
    assert!(answers[0].ends_with("\r\n\r\nfailure"), "{answers:?}");
    assert!(facts.is_empty());
}

#[tokio::test]
async fn money_for_a_number_that_is_not_ours_is_kept() {
    for number in ["elsewhere1", "a number/of another system, and long"] {
        let (answers, facts) = doors(Memory::new(NOW), Limits::default(), &[post("alipay", &signed(&[("out_trade_no", number)]))]).await;
        assert!(answers[0].ends_with("\r\n\r\nsuccess"), "{answers:?}");
        assert_eq!(facts[0].0, "CHANNEL.0.alipay.succeeded", "from where it goes to the dead letters");
    }
}

#[tokio::test]
async fn what_says_nothing_is_told_apart() {
    let Webhooks(inner) = Webhooks::new(Arc::new(Memory::new(NOW)), [alipay()], || NOW, Limits::default());
    for (more, expected) in [
        (("trade_status", "TRADE_SUCCESS"), Handled::Stored),
        (("trade_status", "TRADE_SUCCESS"), Handled::Replayed),
        (("trade_status", "WAIT_BUYER_PAY"), Handled::Empty),
        (("refund_fee", "1.00"), Handled::Empty),
    ] {
        let handled = handle(&inner, &*alipay(), &HeaderMap::new(), &Bytes::from(signed(&[more]))).await;
        assert_eq!(handled.map_err(|error| error.kind), Ok(expected), "{more:?}");
    }
}

#[tokio::test]
async fn what_was_told_before_is_counted_as_replayed() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let counts = recorder.handle();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let (told, other) = (post("alipay", &signed(&[])), post("alipay", &signed(&[("trade_no", "T2")])));
    let (answers, facts) = doors(Memory::new(NOW), Limits::default(), &[told.clone(), told.clone(), other, told]).await;
    assert!(answers.iter().all(|answer| answer.ends_with("\r\n\r\nsuccess")), "a channel is not to tell it again: {answers:?}");
    assert_eq!(facts.len(), 2);
    for outcome in ["stored", "replayed"] {
        let line = format!("boomgate_notifications_total{{channel=\"alipay\",outcome=\"{outcome}\"}} 2");
        assert!(counts.render().contains(&line), "{line} is not in {}", counts.render());
    }
}

#[tokio::test]
async fn a_slow_body_holds_up_nobody() {
    let limits = Limits { under_way_max: 1, ..Limits::default() };
    let webhooks = Webhooks::new(Arc::new(Memory::new(NOW)), [alipay()], || NOW, limits);
    let (address, _stop, _served) = open(webhooks.router(), limits).await;
    let mut slow = TcpStream::connect(address).await.expect("it listens");
    let head = b"POST /notify/alipay HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n";
    slow.write_all(head).await.expect("it is taken");
    // Its body is waited for from now on, and never comes.
    let mut word = [0; 12];
    slow.read_exact(&mut word).await.expect("it is waited for");
    assert_eq!(&word, b"HTTP/1.1 100");
    let answer = said(address, &post("alipay", &signed(&[]))).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("success"), "{answer}");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let limits = Limits { body_bytes_max: 1_000, ..Limits::default() };
    let told = |length: usize| format!("POST /notify/alipay HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    let large = [told(2_000).as_bytes(), &[b'a'; 2_000]].concat();
    let requests = [large, told(usize::MAX / 4).into_bytes(), post("alipay", &signed(&[]))];
    let limits = Limits { read_wait: std::time::Duration::from_millis(300), ..limits };
    let (answers, _) = doors(Memory::new(NOW), limits, &requests).await;
    assert!(answers[0].starts_with("HTTP/1.1 413") && answers[1].starts_with("HTTP/1.1 413"), "{answers:?}");
    assert!(answers[2].starts_with("HTTP/1.1 200"), "{answers:?}");
}

#[tokio::test]
async fn who_is_no_channel_is_not_found() {
    let requests = [post("nobody", ""), post("cash", ""), b"GET /notify/alipay HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec()];
    let (answers, facts) = doors(Memory::new(NOW), Limits::default(), &requests).await;
    let statuses: Vec<&str> = answers.iter().map(|answer| &answer[9..12]).collect();
    assert_eq!(statuses, ["404", "404", "405"]);
    assert!(facts.is_empty());
}
