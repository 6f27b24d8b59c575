use super::*;
use crate::Parked;
use crate::seal::{
    PrivateKey,
    tests::{KEY, PUBLIC, WECHAT},
};
use schema::{Currency, Money, gate::Colour};
use serde_json::Value;

const API_V3: &str = "0123456789abcdef0123456789abcdef";
const ATTEMPT: &str = "O4426112307VZx3MdpKtIUVlfy701";
const NOW: Moment = Moment(1_795_399_200 * SECOND);

fn wechat() -> WeChat {
    let keys = [("merchant", KEY), ("api_v3", API_V3), ("PUB_KEY_ID_1", PUBLIC)].map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let (merchant, base_url, notify_url) = ("1900".to_owned(), "https://wechat.invalid".to_owned(), "https://ours.invalid/notify".to_owned());
    WeChat::new(&Settings { merchant, app: "wx1".into(), base_url, notify_url, serial: "5157".into(), keys }).expect("sound")
}

fn headers(signature: &str, timestamp: &str, serial: &str) -> HeaderMap {
    let texts = [("wechatpay-timestamp", timestamp), ("wechatpay-nonce", "n"), ("wechatpay-signature", signature), ("wechatpay-serial", serial)];
    texts.into_iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
}

fn sign(timestamp: &str, body: &str) -> String {
    PrivateKey::read(KEY).expect("a key").sign(format!("{timestamp}\nn\n{body}\n").as_bytes()).expect("it signs")
}

/// A notification as the channel makes it.
fn notification(event: &str, resource: &Value) -> String {
    let sealed = Secret::read(API_V3).expect("a secret").seal(resource.to_string().as_bytes(), "abcdefghijkl", "transaction").expect("it seals");
    let resource = json!({ "algorithm": "AEAD_AES_256_GCM", "ciphertext": sealed, "associated_data": "transaction", "nonce": "abcdefghijkl" });
    json!({ "id": "1", "event_type": event, "resource_type": "encrypt-resource", "resource": resource }).to_string()
}

fn told(event: &str, resource: &Value) -> Result<Vec<ChannelEvent>, Kind> {
    let (body, timestamp) = (notification(event, resource), (NOW.0 / SECOND).to_string());
    let headers = headers(&sign(&timestamp, &body), &timestamp, "PUB_KEY_ID_1");
    wechat().notified(&Notice { headers: &headers, body: body.as_bytes(), received_at: NOW }).map_err(|error| error.kind)
}

fn transaction(more: &[(&str, Value)]) -> Value {
    let amount = json!({ "total": 500, "payer_total": 400, "currency": "CNY" });
    let mut paid = json!({ "mchid": "1900", "out_trade_no": ATTEMPT, "transaction_id": "42", "trade_state": "SUCCESS", "amount": amount });
    for (name, value) in more {
        paid[*name] = value.clone();
    }
    paid
}

#[test]
fn the_published_notification_is_opened_and_no_changed_one() {
    let vectors: Value = serde_json::from_str(WECHAT).expect("JSON");
    let vectors = vectors["notify"].as_array().expect("a list");
    assert!(!vectors.is_empty());
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().expect("a text");
        let keys = [("merchant", KEY), ("api_v3", text("apiv3_key")), ("platform", text("certificate_pem"))];
        let keys = keys.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let wechat = WeChat::new(&Settings { keys, ..Settings::default() }).expect("sound");
        let at = Moment(text("timestamp").parse::<i64>().expect("a number") * SECOND);
        let open = |serial: &str, timestamp: &str, nonce: &str, signature: &str, body: &str, received_at: Moment| {
            let mut headers = headers(signature, timestamp, serial);
            headers.insert("wechatpay-nonce", nonce.parse().expect("a value"));
            wechat.open(&Notice { headers: &headers, body: body.as_bytes(), received_at }).map(|(_, text)| text).map_err(|error| error.kind)
        };
        let [serial, timestamp, nonce, signature, body] = ["serial", "timestamp", "nonce", "signature_b64", "body"].map(text);
        assert_eq!(open(serial, timestamp, nonce, signature, body, at).as_deref(), Ok(text("plaintext").as_bytes()));
        let not_genuine = Err(Kind::NotGenuine);
        assert_eq!(open("00", timestamp, nonce, signature, body, at), not_genuine);
        assert_eq!(open(serial, "1624523847", nonce, signature, body, at), not_genuine);
        assert_eq!(open(serial, timestamp, "x", signature, body, at), not_genuine);
        assert_eq!(open(serial, timestamp, nonce, &signature.replacen('a', "b", 1), body, at), not_genuine);
        assert_eq!(open(serial, timestamp, nonce, signature, &body.replacen("2021", "2022", 1), at), not_genuine);
        assert_eq!(open(serial, timestamp, nonce, signature, body, at.plus(FRESH)), Err(Kind::Stale));
    }
}

#[test]
fn what_is_stale_strange_or_a_probe_is_refused() {
    let body = notification("TRANSACTION.SUCCESS", &transaction(&[]));
    let said = |age_s: i64, signature: Option<&str>| {
        let timestamp = (NOW.0 / SECOND - age_s).to_string();
        let genuine = sign(&timestamp, &body);
        let headers = headers(signature.unwrap_or(&genuine), &timestamp, "PUB_KEY_ID_1");
        wechat().notified(&Notice { headers: &headers, body: body.as_bytes(), received_at: NOW }).map(|facts| facts.len()).map_err(|error| error.kind)
    };
    assert_eq!((said(299, None), said(300, None), said(-300, None)), (Ok(1), Err(Kind::Stale), Err(Kind::Stale)));
    assert_eq!(said(0, Some("WECHATPAY/SIGNTEST/abc")), Err(Kind::Probe));
    assert_eq!(told("TRANSACTION.SUCCESS", &transaction(&[("mchid", json!("1901"))])), Err(Kind::Stranger));
}

#[test]
fn each_state_is_its_own_fact() {
    let amount = Money::new(500, Currency::Cny);
    let attempt: Id = ATTEMPT.parse().expect("an attempt");
    let (number, own) = (Arc::<str>::from("42"), Arc::<str>::from(ATTEMPT));
    let parking = ("trade_scene", json!("PARKING"));
    let state = |word: &str| ("trade_state", json!(word));
    for (more, expected) in [
        (vec![], Some(ChannelFact::Succeeded { attempt, transaction: number.clone(), amount })),
        (vec![state("REFUND")], Some(ChannelFact::Succeeded { attempt, transaction: number, amount })),
        (vec![state("NOTPAY")], None),
        (vec![state("PAYERROR")], None),
        (vec![parking.clone(), state("ACCEPT")], Some(ChannelFact::Accepted { attempt, transaction: own.clone(), amount })),
        (vec![parking.clone()], Some(ChannelFact::Succeeded { attempt, transaction: own.clone(), amount })),
        (vec![parking.clone(), state("PAY_FAIL")], Some(ChannelFact::Failed { attempt, transaction: own.clone(), amount })),
        (vec![parking, state("FAIL")], Some(ChannelFact::Failed { attempt, transaction: own, amount })),
    ] {
        let facts = told("TRANSACTION.SUCCESS", &transaction(&more)).expect("it is genuine");
        assert_eq!(facts.into_iter().map(|event| event.fact).next(), expected, "{more:?}");
    }
    assert_eq!(told("TRANSACTION.SUCCESS", &transaction(&[("amount", Value::Null)])), Err(Kind::Malformed));
    assert_eq!(told("COUPON.USE", &json!({})), Ok(vec![]));
}

#[test]
fn money_for_any_number_is_told() {
    let amount = |total: i64, currency: &str| ("amount", json!({ "total": total, "currency": currency }));
    for (number, more, expected) in [
        (ATTEMPT, vec![], Ok(Money::new(500, Currency::Cny))),
        ("elsewhere1", vec![], Ok(Money::new(500, Currency::Cny))),
        ("*A|1", vec![], Ok(Money::new(500, Currency::Cny))),
        (ATTEMPT, vec![amount(500, "USD")], Ok(Money::new(500, Currency::Usd))),
        (ATTEMPT, vec![amount(500, "JPY")], Ok(Money::new(500, Currency::Jpy))),
        (ATTEMPT, vec![amount(500, "XAU")], Err(Kind::Malformed)),
        (ATTEMPT, vec![("transaction_id", json!(""))], Err(Kind::Malformed)),
    ] {
        let more: Vec<_> = more.into_iter().chain([("out_trade_no", json!(number))]).collect();
        let told = told("TRANSACTION.SUCCESS", &transaction(&more));
        let ours = told.as_ref().is_ok_and(|events| events.iter().all(|event| event.order().is_some()));
        assert_eq!(ours, number == ATTEMPT && expected.is_ok(), "{number}");
        let amount = told.map(|events| match &events[..] {
            [ChannelEvent { fact: ChannelFact::Succeeded { amount, transaction, .. }, .. }] if &**transaction == "42" => *amount,
            other => panic!("{other:?}"),
        });
        assert_eq!(amount, expected, "{number} {more:?}");
    }
}

fn refund_call(asks: bool) -> Call {
    let [refund, order] = ["R4426112307VZx3MdpKtIUVlfy7", &ATTEMPT[..27]].map(|id| id.parse().expect("an id"));
    let [amount, captured] = [200, 500].map(|minor| Money::new(minor, Currency::Cny));
    Call::Refund(RefundCall { refund, order, channel: NAME.into(), transaction: "42".into(), amount, tries: 3, captured: Some(captured), asks })
}

#[test]
fn a_refund_is_asked_for_under_its_own_number() {
    let now = Now { moment: NOW, nonce: "abc" };
    let request = wechat().request(&refund_call(false), now).expect("it signs").expect("it refunds");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!((&body["out_refund_no"], &body["transaction_id"]), (&json!("R4426112307VZx3MdpKtIUVlfy7"), &json!("42")));
    assert_eq!(body["amount"], json!({ "refund": 200, "total": 500, "currency": "CNY" }));
    let authorization = &request.headers.iter().find(|(name, _)| *name == "Authorization").expect("it is signed").1;
    let signature = authorization.split("signature=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a signature");
    let text = format!("POST\n/v3/refund/domestic/refunds\n1795399200\nabc\n{}\n", String::from_utf8_lossy(&request.body));
    assert!(PublicKey::read(PUBLIC).expect("a key").verifies(text.as_bytes(), signature));
    let asked = wechat().request(&refund_call(true), now).expect("it signs").expect("it asks");
    assert_eq!((asked.method, asked.url.as_str()), (Method::GET, "https://wechat.invalid/v3/refund/domestic/refunds/R4426112307VZx3MdpKtIUVlfy7"));
}

#[test]
fn each_answer_to_a_refund_is_its_own_standing() {
    let stands = |status: u16, body: &Value| {
        let (body, timestamp) = (body.to_string(), (NOW.0 / SECOND).to_string());
        let headers = headers(&sign(&timestamp, &body), &timestamp, "PUB_KEY_ID_1");
        let response = Response { status, headers: &headers, body: body.as_bytes(), received_at: NOW };
        match wechat().answered(&refund_call(false), &response).expect("it is genuine") {
            Heard::Facts(facts) => match &facts[0].fact {
                ChannelFact::RefundAnswered { succeeded, standing, tries: 3, .. } => Some((*succeeded, *standing)),
                other => panic!("{other:?}"),
            },
            _ => None,
        }
    };
    let answer = |status: &str| json!({ "out_refund_no": "R4426112307VZx3MdpKtIUVlfy7", "out_trade_no": ATTEMPT, "status": status });
    for (status, body, expected) in [
        (200, answer("SUCCESS"), Some((true, None))),
        (200, answer("PROCESSING"), Some((false, Some(Standing::Accepted)))),
        (200, answer("ABNORMAL"), Some((false, Some(Standing::Abnormal)))),
        (200, answer("CLOSED"), Some((false, None))),
        (404, json!({ "code": "RESOURCE_NOT_EXISTS" }), Some((false, Some(Standing::NotFound)))),
        (403, json!({ "code": "NOT_ENOUGH" }), Some((false, None))),
        (403, json!({ "code": "USER_ACCOUNT_ABNORMAL" }), Some((false, Some(Standing::Abnormal)))),
        (429, json!({ "code": "FREQUENCY_LIMITED" }), Some((false, None))),
        (500, json!({ "code": "SYSTEM_ERROR" }), None),
    ] {
        assert_eq!(stands(status, &body), expected, "{status} {body}");
    }
}

#[test]
fn an_answer_that_is_not_signed_says_nothing() {
    let headers = headers("AAAA", "1795399200", "PUB_KEY_ID_1");
    let response = Response { status: 200, headers: &headers, body: b"{\"code_url\":\"weixin://x\"}", received_at: NOW };
    let open =
        Call::Open { attempt: ATTEMPT.parse().expect("an attempt"), amount: Money::new(1, Currency::Cny), subject: "p".into(), expires_at: NOW };
    assert_eq!(wechat().answered(&open, &response).map_err(|error| error.kind), Err(Kind::NotGenuine));
}

#[test]
fn each_answer_about_an_attempt_is_its_own_outcome() {
    let attempt: Id = ATTEMPT.parse().expect("an attempt");
    let open = Call::Open { attempt, amount: Money::new(1, Currency::Cny), subject: "p".into(), expires_at: NOW };
    let (close, query) = (Call::Close { attempt }, Call::Query { attempt });
    let transaction = |state: &str| transaction(&[("trade_state", json!(state))]);
    let error = |code: &str| json!({ "code": code });
    for (call, status, body, expected) in [
        (&open, 200, json!({ "code_url": "weixin://x" }), Heard::Opened(Some("weixin://x".into()))),
        (&open, 403, error("ORDER_CLOSED"), Heard::Closed),
        (&open, 400, error("PARAM_ERROR"), Heard::Refused),
        (&open, 429, error("FREQUENCY_LIMITED"), Heard::Refused),
        (&open, 500, error("SYSTEM_ERROR"), Heard::Later),
        (&close, 204, Value::Null, Heard::Closed),
        (&close, 404, error("ORDER_NOT_EXIST"), Heard::Closed),
        (&close, 400, error("ORDERPAID"), Heard::Refused),
        (&close, 502, Value::Null, Heard::Later),
        (&query, 200, transaction("NOTPAY"), Heard::Unpaid),
        (&query, 200, transaction("CLOSED"), Heard::Closed),
        (&query, 404, error("ORDER_NOT_EXIST"), Heard::Closed),
        (&query, 429, error("FREQUENCY_LIMITED"), Heard::Later),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let timestamp = (NOW.0 / SECOND).to_string();
        let headers = headers(&sign(&timestamp, &body), &timestamp, "PUB_KEY_ID_1");
        let response = Response { status, headers: &headers, body: body.as_bytes(), received_at: NOW };
        assert_eq!(wechat().answered(call, &response).map_err(|error| error.kind), Ok(expected), "{call:?} {status} {body}");
    }
    let now = Now { moment: NOW, nonce: "abc" };
    assert_eq!(wechat().request(&Call::Settle { attempt }, now).map_err(|error| error.kind), Ok(None), "what is paid by a code is captured at once");
    let closed = wechat().request(&close, now).expect("it signs").expect("it closes");
    assert_eq!((closed.method, closed.body), (Method::POST, br#"{"mchid":"1900"}"#.to_vec()));
}

fn parked() -> Parked {
    let session = "S4426112307VZx3MdpKtIUVlfy7".parse().expect("an id");
    Parked { session, plate: "粤B12345".into(), colour: Colour::Green, entered_at: NOW, lot: "Lot 1".into() }
}

/// What a call's answer says, signed by the channel.
fn heard(call: &Call, status: u16, body: &Value) -> Result<Heard, Kind> {
    let (body, timestamp) = (body.to_string(), (NOW.0 / SECOND).to_string());
    let headers = headers(&sign(&timestamp, &body), &timestamp, "PUB_KEY_ID_1");
    wechat().answered(call, &Response { status, headers: &headers, body: body.as_bytes(), received_at: NOW }).map_err(|error| error.kind)
}

#[test]
fn a_car_is_noted_unless_its_owner_is_blocked() {
    let call = Call::Enter { parked: parked(), free_s: 900 };
    let request = wechat().request(&call, Now { moment: NOW, nonce: "abc" }).expect("it signs").expect("it has it");
    assert_eq!(request.url, "https://wechat.invalid/v3/vehicle/parking/parkings");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let expected = json!({
        "out_parking_no": "S4426112307VZx3MdpKtIUVlfy7", "plate_number": "粤B12345", "plate_color": "GREEN", "start_time": yuan::to_rfc3339(NOW),
        "notify_url": "https://ours.invalid/notify/wechat", "parking_name": "Lot 1", "free_duration": 900,
    });
    assert_eq!(body, expected);
    for (status, body, expected) in [
        (200, json!({ "id": "5K8264ILTKCH16CQ250", "state": "NORMAL" }), Ok(Heard::Entered("5K8264ILTKCH16CQ250".into()))),
        (200, json!({ "id": "5K8264ILTKCH16CQ250", "state": "BLOCKED", "block_reason": "OVERDUE" }), Ok(Heard::Refused)),
        (200, json!({ "state": "NORMAL" }), Err(Kind::Malformed)),
        (200, json!({ "state": "PARKED" }), Err(Kind::Malformed)),
        (403, json!({ "code": "NO_AUTH" }), Ok(Heard::Refused)),
        (500, json!({ "code": "SYSTEM_ERROR" }), Ok(Heard::Later)),
    ] {
        assert_eq!(heard(&call, status, &body), expected, "{status} {body}");
    }
}

#[test]
fn a_deduction_is_accepted_and_not_yet_paid() {
    let (attempt, amount): (Id, _) = (ATTEMPT.parse().expect("an attempt"), Money::new(500, Currency::Cny));
    let left_at = NOW.plus(3_600 * SECOND);
    let call = Call::Deduct { attempt, amount, subject: "p".into(), parking: "5K82".into(), parked: parked(), left_at };
    let request = wechat().request(&call, Now { moment: NOW, nonce: "abc" }).expect("it signs").expect("it has it");
    assert_eq!(request.url, "https://wechat.invalid/v3/vehicle/transactions/parking");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!((&body["out_trade_no"], &body["trade_scene"], &body["amount"]["total"]), (&json!(ATTEMPT), &json!("PARKING"), &json!(500)));
    let stay = &body["parking_info"];
    assert_eq!(
        (&stay["parking_id"], &stay["charging_duration"], &stay["end_time"]),
        (&json!("5K82"), &json!(3_600), &json!(yuan::to_rfc3339(left_at)))
    );
    let answer = |state: &str| transaction(&[("trade_scene", json!("PARKING")), ("trade_state", json!(state)), ("transaction_id", Value::Null)]);
    let fact = |heard| match heard {
        Ok(Heard::Facts(facts)) => facts.into_iter().map(|event| event.fact).next(),
        other => panic!("{other:?}"),
    };
    let own = Arc::<str>::from(ATTEMPT);
    let accepted = fact(heard(&call, 200, &answer("ACCEPTED")));
    assert_eq!(accepted, Some(ChannelFact::Accepted { attempt, transaction: own.clone(), amount }));
    let asked = Call::Deduction { attempt };
    let request = wechat().request(&asked, Now { moment: NOW, nonce: "abc" }).expect("it signs").expect("it has it");
    assert_eq!(request.url, format!("https://wechat.invalid/v3/vehicle/transactions/out-trade-no/{ATTEMPT}"));
    assert_eq!(fact(heard(&asked, 200, &answer("SUCCESS"))), Some(ChannelFact::Succeeded { attempt, transaction: own.clone(), amount }));
    assert_eq!(fact(heard(&asked, 200, &answer("PAY_FAIL"))), Some(ChannelFact::Failed { attempt, transaction: own, amount }));
    assert_eq!(heard(&asked, 404, &json!({ "code": "ORDER_NOT_EXIST" })), Ok(Heard::Closed));
    assert_eq!(heard(&call, 403, &json!({ "code": "ORDER_DENIED" })), Ok(Heard::Refused));
}

/// What the channel says of where the bill of a day is, with another body than the one that it has signed, if so.
fn bill(status: u16, signed: &Value, sent: Option<&Value>, age_s: i64) -> Result<Bill, Kind> {
    let (signed, timestamp) = (signed.to_string(), (NOW.0 / SECOND - age_s).to_string());
    let headers = headers(&sign(&timestamp, &signed), &timestamp, "PUB_KEY_ID_1");
    let body = sent.map_or(signed, Value::to_string);
    let response = Response { status, headers: &headers, body: body.as_bytes(), received_at: NOW };
    wechat().statement_answered(&wanted(), &response).map_err(|error| error.kind)
}

fn wanted() -> Wanted {
    Wanted { day: "2026-11-22".parse().expect("a date"), merchant: Some("1900".into()) }
}

/// Whether a request is signed by our key over this text.
fn is_signed(request: &Request, text: &str) -> bool {
    let authorization = &request.headers.iter().find(|(name, _)| *name == "Authorization").expect("it is signed").1;
    let signature = authorization.split("signature=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a signature");
    PublicKey::read(PUBLIC).expect("a key").verifies(text.as_bytes(), signature)
}

#[test]
fn a_bill_is_asked_for_and_downloaded_by_signed_requests() {
    let now = Now { moment: NOW, nonce: "abc" };
    let asked = wechat().statement_request(&wanted(), now).expect("it signs").expect("it has bills");
    let path = "/v3/bill/tradebill?bill_date=2026-11-22&bill_type=ALL&tar_type=GZIP";
    assert_eq!((asked.method.clone(), asked.url.clone(), asked.body.len()), (Method::GET, format!("https://wechat.invalid{path}"), 0));
    assert!(is_signed(&asked, &format!("GET\n{path}\n1795399200\nabc\n\n")));
    // What is signed is the path and query of wherever the file is.
    let url = "https://files.wechat.invalid/v3/billdownload/file?token=a%2Fb&tartype=gzip";
    let download = wechat().download_request(url, now).expect("it signs");
    assert_eq!((&download.method, download.url.as_str()), (&Method::GET, url));
    assert!(is_signed(&download, "GET\n/v3/billdownload/file?token=a%2Fb&tartype=gzip\n1795399200\nabc\n\n"));
    assert_eq!(wechat().download_request("no address", now).map_err(|error| error.kind), Err(Kind::Malformed));
}

#[test]
fn where_a_statement_is_is_signed() {
    let sha1 = "79bb0f45fc4c42234a918000b2668d689e2bde04";
    let there = |url: &str, kind: &str, hash: &str| json!({ "download_url": url, "hash_type": kind, "hash_value": hash });
    let none = json!({ "code": "NO_STATEMENT_EXIST", "message": "m" });
    let genuine = there("https://wechat.invalid/f", "SHA1", &sha1.to_uppercase());
    let expected = Bill::There { url: "https://wechat.invalid/f".into(), sha1: Some(sha1.into()) };
    assert_eq!(bill(200, &genuine, None, 0), Ok(expected));
    assert_eq!(bill(400, &none, None, 0), Ok(Bill::Nothing));
    for code in ["STATEMENT_CREATING", "SYSTEM_ERROR", "PARAM_ERROR"] {
        assert_eq!(bill(400, &json!({ "code": code }), None, 0), Ok(Bill::NotYet(code.into())));
    }
    assert_eq!(bill(400, &json!({ "code": "x\n\u{1b}[31m<b>" }), None, 0), Ok(Bill::NotYet("x31mb".into())), "nothing of it harms a log");
    assert_eq!(bill(502, &none, None, 0), Ok(Bill::NotYet("status 502".into())), "what a proxy says is no word of the channel");
    // Nobody else says where it is, or that there is none.
    let elsewhere = there("https://evil.invalid/f", "SHA1", sha1);
    for (status, signed, sent) in [(200, &genuine, &elsewhere), (400, &json!({ "code": "STATEMENT_CREATING" }), &none), (200, &none, &genuine)] {
        assert_eq!(bill(status, signed, Some(sent), 0), Err(Kind::NotGenuine), "{sent}");
    }
    assert_eq!((bill(200, &genuine, None, 300), bill(400, &none, None, 300)), (Err(Kind::Stale), Err(Kind::Stale)));
    for wrong in [there("https://wechat.invalid/f", "MD5", sha1), there("https://wechat.invalid/f", "SHA1", &sha1[1..]), json!({})] {
        assert_eq!(bill(200, &wrong, None, 0), Err(Kind::Malformed), "{wrong}");
    }
}
