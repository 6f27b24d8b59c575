//! A lane's device over HTTP.

use super::{Answer, Shape, Site, TOKENS, gate, json};
use schema::{
    ChannelFact, GateEvent, GateKind, LaneCommand, Verdict, id,
    wire::{self, Format},
};

/// An event as its lane's device sends it.
async fn send(site: &Site, event: &GateEvent, more: &str, wait: &str) -> Answer {
    let path = format!("POST /device/v1/{}/{}/{}{more}", event.lot, event.lane, event.kind.as_str());
    let token = format!("Bearer {}", TOKENS[usize::from(event.lane.as_str() == "out")]);
    site.ask(&path, &[("Authorization", &token), ("Prefer", &format!("wait={wait}"))], &json(event)).await
}

fn command(answer: &Answer) -> LaneCommand {
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{answer:?}");
    wire::decode(Some("application/json"), answer.body.as_bytes()).expect("a command")
}

#[tokio::test]
async fn an_event_is_answered_with_its_command() {
    let site = Site::open(Shape::default()).await;
    let entry = gate(GateKind::Entry, "A", -90);
    let opened = command(&send(&site, &entry, "", "5").await);
    assert_eq!((opened.verdict, &*opened.reason, opened.answers), (Verdict::Open, "welcome", Some(entry.id)));
    assert_eq!(command(&send(&site, &entry, "", "5").await), opened, "the same event has the same command");
    let exit = gate(GateKind::Exit, "A", 0);
    let asked = command(&send(&site, &exit, "", "5").await);
    let (order, due) = (asked.order.expect("it is to be paid"), asked.due.expect("it costs something"));
    assert_eq!((asked.verdict, &*asked.reason, due.minor), (Verdict::Ask, "pay", 1_000));
    // It waits at the exit for what comes next, while the driver pays.
    let after = format!("?after={}", asked.id);
    let waits = send(&site, &exit, &after, "5");
    let pays = async {
        site.until("PAYMENT", 1).await;
        site.channel("wechat", ChannelFact::Succeeded { attempt: id::attempt(order, 1), transaction: "T1".into(), amount: due }).await;
    };
    let (answer, ()) = tokio::join!(waits, pays);
    let goodbye = command(&answer);
    assert_eq!((goodbye.verdict, &*goodbye.reason), (Verdict::Open, "goodbye"));
    site.close().await;
}

#[tokio::test]
async fn at_the_deadline_the_lane_decides_and_the_event_is_stored() {
    let site = Site::open(Shape { decides: false, ..Shape::default() }).await;
    let answer = send(&site, &gate(GateKind::Entry, "A", 0), "", "0").await;
    assert_eq!((answer.status, &*answer.body), (202, r#"{"decide":"locally"}"#));
    // What it tells later waits for nobody.
    for event in [GateEvent { decided: Some(Verdict::Open), ..gate(GateKind::Entry, "A", 0) }, gate(GateKind::Passed, "A", 1)] {
        let answer = send(&site, &event, "", "5").await;
        assert_eq!((answer.status, &*answer.body), (202, r#"{"stored":true}"#));
    }
    let stored = site.bus.scan("GATE", 1, 10).await.expect("the bus is in memory");
    let subjects: Vec<_> = stored.iter().map(|stored| stored.subject.rsplit('.').next().expect("a kind")).collect();
    assert_eq!(subjects, ["entry", "entry", "passed"]);
    assert_eq!(stored[0].payload, json(&gate(GateKind::Entry, "A", 0)), "as it came");
    site.close().await;
}

#[tokio::test]
async fn a_device_is_kept_to_its_lane() {
    let site = Site::open(Shape::default()).await;
    let body = json(&gate(GateKind::Entry, "A", 0));
    for (path, token, status) in [
        ("small/in/entry", None, 401),
        ("small/in/entry", Some("Bearer nobody"), 401),
        ("small/in/entry", Some("token-of-in"), 401),
        ("small/in/entry", Some("Bearer token-of-out"), 403),
        ("other/in/entry", Some("Bearer token-of-in"), 403),
        ("small/out/alive", Some("Bearer token-of-in"), 403),
        ("small/out/exit", Some("Bearer token-of-out"), 400),
    ] {
        let headers: Vec<_> = token.map(|token| ("Authorization", token)).into_iter().collect();
        let answer = site.ask(&format!("POST /device/v1/{path}"), &headers, &body).await;
        assert_eq!(answer.status, status, "{path} {token:?}: {answer:?}");
    }
    assert_eq!(site.bus.look("GATE").await.expect("the bus is in memory").last, 0, "nothing was stored");
    let mut alive = site.bus.listen("alive.small.*").await.expect("the bus is in memory");
    let answer = site.ask("POST /device/v1/small/in/alive", &[("Authorization", "Bearer token-of-in")], b"").await;
    assert_eq!(answer.status, 204);
    assert_eq!(alive.next().await.expect("it is told").subject, "alive.small.in");
    site.close().await;
}

/// What a device's page says of the answers is what they are.
#[test]
fn the_page_says_what_is_answered() {
    const PAGE: &str = include_str!("../../../../schema/device.md");
    let said = [
        "POST /device/v1/<lot>/<lane>/<kind>",
        "POST /device/v1/<lot>/<lane>/alive",
        "202 `{\"decide\":\"locally\"}`",
        "202 `{\"stored\":true}`",
        "Prefer: wait=",
        "?after=",
        "boomgate token --device LOT/LANE",
        "devices_file",
    ];
    for text in said {
        assert!(PAGE.contains(text), "{text} is not on the page");
    }
    for seconds in [gateway::device::WAIT, gateway::device::WAIT_MAX].map(|wait| wait.as_secs()) {
        assert!(PAGE.contains(&format!(" {seconds}")), "{seconds} s is not on the page");
    }
}

#[tokio::test]
async fn what_is_not_sound_is_refused_with_words() {
    let site = Site::open(Shape { decides: false, waiting_max: 0, ..Shape::default() }).await;
    let ask = async |body: &[u8], content_type| {
        let headers = [("Authorization", "Bearer token-of-in"), ("Content-Type", content_type)];
        site.ask("POST /device/v1/small/in/entry", &headers, body).await
    };
    let entry = gate(GateKind::Entry, "A", 0);
    let long = GateEvent { credential: schema::Credential::plate(&"9".repeat(33), schema::gate::Colour::Blue), ..entry.clone() };
    for (body, content_type, status, said) in [
        (b"{}".to_vec(), "application/json", 400, "malformed message"),
        (br#"{"v":9}"#.to_vec(), "application/json", 400, "version 9"),
        (json(&entry), "text/plain", 400, "neither application/msgpack nor"),
        (json(&gate(GateKind::Exit, "A", 0)), "application/json", 400, "both must say the same"),
        (json(&long), "application/json", 400, "33 characters"),
        (vec![b' '; 16_385], "application/json", 413, "at most 16384 bytes"),
        // Sound, and there is no room to wait.
        (wire::encode(Format::MessagePack, &entry), "application/msgpack", 503, "decide locally"),
    ] {
        let answer = ask(&body, content_type).await;
        assert_eq!(answer.status, status, "{said}: {answer:?}");
        assert!(answer.body.contains(said), "{said}: {answer:?}");
    }
    assert_eq!(site.bus.look("GATE").await.expect("the bus is in memory").last, 0, "nothing was stored");
    site.close().await;
}
