use super::*;
use crate::simulators::{Faults, Settings, office::Jobs};
use axum::http::{HeaderMap, Method, Uri};
use schema::time::SECOND;
use std::sync::Arc;

const AT: Moment = Moment(1_795_399_200 * SECOND);
const ORDER: &str = "O4426112307VZx3MdpKtIUVlfy7";
const ATTEMPT: &str = "O4426112307VZx3MdpKtIUVlfy701";

fn signed(name: &'static str, faults: &[&str]) -> (Signed, Jobs) {
    let faults = Faults::of(&faults.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).expect("they are known");
    let (office, jobs) = Office::new(name, "http://etc.invalid".into(), Arc::new(Settings { faults, ..Settings::default() }));
    (Signed::new(office, name == "points"), jobs)
}

/// What it answers to a call that was stamped so many seconds ago with that secret.
fn asked(signed: &Signed, name: &str, content: &Value, (age_s, secret): (i64, &str)) -> Said {
    let (body, timestamp) = (content.to_string(), (clock::seconds(AT) - age_s).to_string());
    let stamp = keys::stamp(secret, format!("{timestamp}\nn\n{body}\n").as_bytes());
    let headers = [("x-timestamp", timestamp), ("x-nonce", "n".to_owned()), ("x-stamp", stamp)];
    let headers: HeaderMap = headers.into_iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
    let uri: Uri = format!("/{name}").parse().expect("a path");
    signed.answer(&Asked { method: &Method::POST, uri: &uri, headers: &headers, body: body.as_bytes(), at: AT })
}

fn facts(signed: &Signed, name: &str, content: &Value) -> Vec<ChannelFact> {
    let said = asked(signed, name, content, (0, SECRET));
    let facts: Vec<ChannelEvent> = serde_json::from_slice(&said.body).unwrap_or_default();
    facts.into_iter().map(|event| event.fact).collect()
}

fn open() -> Value {
    json!({ "attempt": ATTEMPT, "amount": Money::new(500, Currency::Cny), "subject": "parking", "expires_at": AT })
}

#[test]
fn what_is_not_stamped_is_refused() {
    let (etc, _jobs) = signed("etc", &[]);
    let status = |how| asked(&etc, "query", &json!({ "attempt": ATTEMPT }), how).status;
    assert_eq!((status((0, SECRET)), status((299, SECRET)), status((300, SECRET)), status((0, "another secret"))), (200, 200, 401, 401));
}

#[test]
fn points_are_committed_or_released() {
    for (call, is_committed) in [("settle", true), ("close", false)] {
        let (points, _jobs) = signed("points", &[]);
        let attempt = json!({ "attempt": ATTEMPT });
        assert_eq!(facts(&points, "query", &attempt), []);
        assert!(matches!(facts(&points, "open", &open())[..], [ChannelFact::Accepted { amount: Money { minor: 500, .. }, .. }]));
        assert!(matches!(facts(&points, "open", &open())[..], [ChannelFact::Accepted { .. }]), "the same again holds nothing more");
        let settled = facts(&points, call, &attempt);
        assert!(if is_committed {
            matches!(settled[..], [ChannelFact::Succeeded { .. }])
        } else {
            matches!(settled[..], [ChannelFact::Failed { .. }])
        });
        assert_eq!(facts(&points, call, &attempt), settled);
        assert_eq!(facts(&points, "query", &attempt), settled);
        assert_eq!(asked(&points, if is_committed { "close" } else { "settle" }, &attempt, (0, SECRET)).status, 409);
        assert_eq!(points.office.under_way(), 1, "it is told once as well");
    }
}

#[test]
fn a_refund_answers_how_it_stands() {
    let (points, _jobs) = signed("points", &[]);
    points.office.book().take(Trade::new("points", ATTEMPT, 500, AT), AT, Standing::Paid).expect("it is new");
    let transaction = points.office.book().find(Named::Attempt(ATTEMPT)).expect("it is there").transaction.clone();
    let [refund, order] = ["R4426112307VZx3MdpKtIUVlfy7", ORDER].map(|id| id.parse().expect("an id"));
    let call = |minor: i64, asks: bool| {
        let amount = Money::new(minor, Currency::Cny);
        let call =
            RefundCall { refund, order, channel: "points".into(), transaction: transaction.as_str().into(), amount, tries: 2, captured: None, asks };
        let facts = facts(&points, "refund", &json!(call));
        let [ChannelFact::RefundAnswered { succeeded, standing, tries: 2, .. }] = facts[..] else { panic!("{facts:?}") };
        (succeeded, standing)
    };
    assert_eq!(call(200, true), (false, Some(channel::Standing::NotFound)));
    assert_eq!(call(501, false), (false, None));
    assert_eq!((call(500, false), call(500, false), call(500, true)), ((true, None), (true, None), (true, None)));
    assert_eq!(points.office.book().trades().map(Trade::refunded).sum::<i64>(), 500);
}

#[test]
fn what_cannot_be_given_back_is_said_so() {
    let (etc, _jobs) = signed("etc", &["refund_abnormal=1000"]);
    let trade = etc.office.book().take(Trade::new("etc", ATTEMPT, 500, AT), AT, Standing::Paid).expect("it is new");
    let [refund, order] = ["R4426112307VZx3MdpKtIUVlfy7", ORDER].map(|id| id.parse().expect("an id"));
    let amount = Money::new(500, Currency::Cny);
    let call = RefundCall {
        refund,
        order,
        channel: "etc".into(),
        transaction: trade.transaction.as_str().into(),
        amount,
        tries: 1,
        captured: None,
        asks: false,
    };
    for _ in 0..2 {
        let facts = facts(&etc, "refund", &json!(call));
        assert!(
            matches!(facts[..], [ChannelFact::RefundAnswered { succeeded: false, standing: Some(channel::Standing::Abnormal), .. }]),
            "{facts:?}"
        );
    }
}

#[test]
fn a_statement_is_told_with_its_hash_and_handed_out() {
    let (etc, _jobs) = signed("etc", &[]);
    etc.office.book().take(Trade::new("etc", ATTEMPT, 500, AT), AT, Standing::Paid).expect("it is new");
    let told = |day: &str| {
        let said = asked(&etc, "statement", &json!({ "day": day }), (0, SECRET));
        assert!(said.status == 200 && said.headers.iter().any(|(name, _)| *name == "X-Stamp"), "{said:?}");
        serde_json::from_slice::<Value>(&said.body).expect("JSON")
    };
    let there = told("2026-11-23");
    assert_eq!((&there["state"], &there["url"]), (&json!("there"), &json!("http://etc.invalid/statement/2026-11-23")));
    let file = asked(&etc, "statement/2026-11-23", &Value::Null, (0, SECRET));
    assert!(file.status == 200 && String::from_utf8_lossy(&file.body).ends_with("#total,1,5.00,0.00\n"), "{file:?}");
    assert_eq!(there["sha1"], keys::sha1(&file.body).as_str());
    assert_eq!(told("2026-11-24"), json!({ "day": "2026-11-24", "state": "nothing" }));
    assert_eq!(asked(&etc, "statement/2026-11-24", &Value::Null, (0, SECRET)).status, 404);
    assert_eq!(asked(&etc, "statement/2026-11-23", &Value::Null, (0, "another secret")).status, 401);
}

#[test]
fn a_statement_goes_wrong_as_it_is_set_to() {
    let state =
        |etc: &Signed| serde_json::from_slice::<Value>(&asked(etc, "statement", &json!({ "day": "2026-11-23" }), (0, SECRET)).body).expect("JSON");
    let paid = |faults: &[&str]| {
        let (etc, jobs) = signed("etc", faults);
        etc.office.book().take(Trade::new("etc", ATTEMPT, 500, AT), AT, Standing::Paid).expect("it is new");
        (etc, jobs)
    };
    let (etc, _jobs) = paid(&["statement_late=1000"]);
    assert_eq!([(); 3].map(|()| state(&etc)["state"].clone()), ["not_yet", "not_yet", "there"]);
    let (etc, _jobs) = paid(&["statement_damaged=1000"]);
    let hashes = [(); 3].map(|()| state(&etc)["sha1"].clone());
    assert!(hashes[0] != hashes[1] && hashes[1] == hashes[2], "{hashes:?}");
    let (etc, _jobs) = paid(&["statement_cut=1000"]);
    assert_eq!([(); 2].map(|()| asked(&etc, "statement/2026-11-23", &Value::Null, (0, SECRET)).is_cut), [true, false]);
}
