use super::*;
use crate::simulators::{Faults, Settings, office::Jobs};
use axum::http::{HeaderMap, Method, Uri};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{aead, signature};
use schema::time::SECOND;
use std::sync::Arc;
use x509_cert::{
    Certificate,
    der::{Decode, pem},
};

const AT: Moment = Moment(1_795_399_200 * SECOND);

fn wechat(faults: &[&str]) -> (WeChat, Jobs) {
    let faults = Faults::of(&faults.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).expect("they are known");
    let settings = Settings { faults, hang: Duration::from_secs(9), late_by: Duration::from_secs(3), ..Settings::default() };
    let (office, jobs) = Office::new("wechat", "http://wechat.invalid".into(), Arc::new(settings));
    (WeChat::new(office), jobs)
}

/// A request that the merchant has signed `age_s` seconds ago, with `body` signed instead of the one that is sent if there is one.
fn asked(wechat: &WeChat, method: &Method, path: &str, body: &Value, (age_s, signed): (i64, Option<&str>)) -> Said {
    let uri: Uri = path.parse().expect("a path");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (timestamp, signed) = (clock::seconds(AT) - age_s, signed.unwrap_or(&body));
    let signature = Pair::read(keys::MERCHANT).sign(format!("{method}\n{path}\n{timestamp}\nabc\n{signed}\n").as_bytes());
    let authorization = format!(
        "WECHATPAY2-SHA256-RSA2048 mchid=\"{MERCHANT}\",nonce_str=\"abc\",signature=\"{signature}\",timestamp=\"{timestamp}\",serial_no=\"{MERCHANT_SERIAL}\""
    );
    let headers = HeaderMap::from_iter([("authorization".parse().expect("a name"), authorization.parse().expect("a value"))]);
    wechat.answer(&Asked { method, uri: &uri, headers: &headers, body: body.as_bytes(), at: AT })
}

/// The status of an answer, and what it says.
fn answered(wechat: &WeChat, method: &Method, path: &str, body: &Value) -> (u16, Value) {
    let said = asked(wechat, method, path, body, (0, None));
    (said.status, serde_json::from_slice(&said.body).unwrap_or_default())
}

fn order(number: &str, total: i64) -> Value {
    json!({ "appid": APP, "mchid": MERCHANT, "description": "parking", "out_trade_no": number, "notify_url": "http://ours.invalid/notify/wechat",
        "amount": { "total": total, "currency": "CNY" } })
}

fn back(number: &str, refund: i64, total: i64) -> Value {
    json!({ "out_trade_no": "attempt1", "out_refund_no": number, "amount": { "refund": refund, "total": total, "currency": "CNY" } })
}

const NATIVE: &str = "/v3/pay/transactions/native";
const REFUNDS: &str = "/v3/refund/domestic/refunds";

/// Whether headers carry a signature of the certificate that merchants are given, by the rule of the documentation.
fn is_genuine(headers: &[(&'static str, String)], body: &[u8]) -> bool {
    let header = |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str()).expect("it is there");
    let (_, der) = pem::decode_vec(keys::WECHAT_CERTIFICATE.as_bytes()).expect("PEM");
    let certificate = Certificate::from_der(&der).expect("a certificate").tbs_certificate;
    let serial = certificate.serial_number.to_string().replace(':', "");
    assert_eq!(serial, header("Wechatpay-Serial"));
    let text = [header("Wechatpay-Timestamp").as_bytes(), b"\n", header("Wechatpay-Nonce").as_bytes(), b"\n", body, b"\n"].concat();
    let key =
        signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, certificate.subject_public_key_info.subject_public_key.raw_bytes());
    key.verify(&text, &BASE64.decode(header("Wechatpay-Signature")).expect("base64")).is_ok()
}

/// What a notification has sealed, with the key that the merchant has.
fn opened(body: &[u8]) -> Option<Value> {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    let part = |name: &str| body["resource"][name].as_str().expect("a text");
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, API_V3.as_bytes()).expect("32 bytes"));
    let nonce = aead::Nonce::try_assume_unique_for_key(part("nonce").as_bytes()).expect("12 bytes");
    let mut sealed = BASE64.decode(part("ciphertext")).expect("base64");
    let text = key.open_in_place(nonce, aead::Aad::from(part("associated_data").as_bytes()), &mut sealed).ok()?;
    Some(serde_json::from_slice(text).expect("JSON"))
}

#[test]
fn what_the_merchant_did_not_sign_is_refused() {
    let (wechat, _jobs) = wechat(&[]);
    let (method, body) = (Method::POST, order("attempt1", 500));
    let status = |how| asked(&wechat, &method, NATIVE, &body, how).status;
    assert_eq!((status((0, None)), status((299, None)), status((300, None)), status((-300, None))), (200, 200, 401, 401));
    assert_eq!(status((0, Some("{}"))), 401);
    let uri: Uri = NATIVE.parse().expect("a path");
    let unsigned = Asked { method: &method, uri: &uri, headers: &HeaderMap::new(), body: b"{}", at: AT };
    assert_eq!(wechat.answer(&unsigned).status, 401);
    assert_eq!(wechat.office.counts.not_signed.get(), 4);
}

#[test]
fn an_answer_is_signed_whatever_it_says() {
    let (wechat, _jobs) = wechat(&[]);
    for body in [order("attempt1", 500), order("short", 500), json!({})] {
        let said = asked(&wechat, &Method::POST, NATIVE, &body, (0, None));
        assert!(is_genuine(&said.headers, &said.body), "{said:?}");
        assert!(!is_genuine(&said.headers, b"{}"));
    }
}

#[test]
fn a_notification_is_what_the_documentation_says() {
    let (wechat, _jobs) = wechat(&[]);
    let paid = wechat.office.book().take(Trade::new("wechat", "attempt1", 500, AT), AT, Standing::Paid).expect("it is new");
    let told = wechat.of_payment(&paid).expect("it is told");
    let posted = wechat.post(&told, AT, false);
    assert!(is_genuine(&posted.headers, &posted.body));
    let said = opened(&posted.body).expect("it opens");
    assert_eq!((&said["out_trade_no"], &said["trade_state"], &said["amount"]["total"]), (&json!("attempt1"), &json!("SUCCESS"), &json!(500)));
    assert_eq!(said["success_time"], "2026-11-23T10:00:00+08:00");
    // The same again has the same number and its own signature; what somebody made up has none.
    let again = wechat.post(&told, AT, false);
    let id = |body: &[u8]| serde_json::from_slice::<Value>(body).expect("JSON")["id"].clone();
    assert_eq!(id(&posted.body), id(&again.body));
    assert_ne!(posted, again);
    let forged = wechat.post(&told, AT, true);
    assert!(!is_genuine(&forged.headers, &forged.body) && opened(&forged.body).is_none());
}

#[test]
fn a_payment_is_opened_asked_about_and_closed_for_good() {
    let (wechat, _jobs) = wechat(&[]);
    let (get, post) = (Method::GET, Method::POST);
    let (status, said) = answered(&wechat, &post, NATIVE, &order("attempt1", 500));
    assert!(status == 200 && said["code_url"].as_str().is_some_and(|code| code.starts_with("weixin://")), "{said}");
    let of = "/v3/pay/transactions/out-trade-no/attempt1";
    let state = || answered(&wechat, &get, &format!("{of}?mchid={MERCHANT}"), &Value::Null).1["trade_state"].clone();
    assert_eq!(state(), "NOTPAY");
    let close = || answered(&wechat, &post, &format!("{of}/close"), &json!({ "mchid": MERCHANT })).0;
    assert_eq!((close(), close()), (204, 204));
    assert_eq!(state(), "CLOSED");
    assert_eq!(answered(&wechat, &post, NATIVE, &order("attempt1", 500)).1["code"], "ORDER_CLOSED");
    assert_eq!(
        answered(&wechat, &get, "/v3/pay/transactions/out-trade-no/attempt2", &Value::Null),
        (404, json!({ "code": "ORDER_NOT_EXIST", "message": "no such order" }))
    );
    let other = json!({ "appid": APP, "mchid": "1", "description": "p", "out_trade_no": "attempt3", "notify_url": "x", "amount": { "total": 5, "currency": "CNY" } });
    assert_eq!(answered(&wechat, &post, NATIVE, &other).1["code"], "PARAM_ERROR");
}

#[test]
fn a_refund_is_made_once_and_within_what_was_paid() {
    let (wechat, _jobs) = wechat(&[]);
    let post = |body: &Value| answered(&wechat, &Method::POST, REFUNDS, body);
    assert_eq!(post(&back("r1", 100, 500)).1["code"], "RESOURCE_NOT_EXISTS");
    wechat.office.book().take(Trade::new("wechat", "attempt1", 500, AT), AT, Standing::Paid).expect("it is new");
    assert_eq!(post(&back("r1", 100, 400)).1["code"], "PARAM_ERROR");
    let (status, said) = post(&back("r1", 100, 500));
    assert_eq!((status, &said["status"], &said["amount"]["refund"]), (200, &json!("PROCESSING"), &json!(100)));
    assert_eq!(post(&back("r1", 100, 500)), (status, said), "the same number, the same refund");
    assert_eq!(post(&back("r2", 100, 500)).1["code"], "FREQUENCY_LIMITED", "a minute has not passed");
    assert_eq!(post(&back("r3", 401, 500)).1["code"], "INVALID_REQUEST");
    let (trade, refund) = wechat.office.book().returned("r1", AT, Return::Done).expect("it was taken on");
    let asked = answered(&wechat, &Method::GET, &format!("{REFUNDS}/r1"), &Value::Null).1;
    assert_eq!(asked["status"], "SUCCESS");
    assert_eq!(answered(&wechat, &Method::GET, &format!("{REFUNDS}/r2"), &Value::Null).0, 404);
    let told = wechat.of_refund(&trade, &refund).expect("it is told");
    assert_eq!((told.kind, &told.text["refund_status"], &told.text["out_refund_no"]), ("REFUND.SUCCESS", &json!("SUCCESS"), &json!("r1")));
}

#[test]
fn refunds_go_wrong_as_they_are_set_to() {
    let paid = |faults: &[&str]| {
        let (wechat, jobs) = wechat(faults);
        wechat.office.book().take(Trade::new("wechat", "attempt1", 500, AT), AT, Standing::Paid).expect("it is new");
        (wechat, jobs)
    };
    let ask = |wechat: &WeChat| asked(wechat, &Method::POST, REFUNDS, &back("r1", 100, 500), (0, None));
    let (wechat, _jobs) = paid(&["refund_refused=1000"]);
    assert_eq!((ask(&wechat).status, ask(&wechat).status), (403, 200));
    let (wechat, _jobs) = paid(&["refund_times_out=1000"]);
    assert_eq!((ask(&wechat).wait, ask(&wechat).wait), (Duration::from_secs(9), Duration::ZERO));
    let (wechat, _jobs) = paid(&["refund_answers_late=1000"]);
    let late = ask(&wechat);
    assert_eq!((late.status, late.wait), (200, Duration::from_secs(3)));
    let (wechat, _jobs) = paid(&["refund_abnormal=1000"]);
    assert_eq!((ask(&wechat).status, wechat.office.end_of("r1")), (200, Return::Abnormal));
    let counts = &wechat.office.counts;
    assert_eq!((counts.refund_calls.get(), counts.refunds_refused.get()), (1, 0));
}

#[test]
fn a_deduction_is_accepted_and_known_to_the_parking_product_alone() {
    let (wechat, _jobs) = wechat(&["blocked=500"]);
    let enter = |plate: &str| {
        answered(
            &wechat,
            &Method::POST,
            "/v3/vehicle/parking/parkings",
            &json!({ "out_parking_no": "s1", "plate_number": plate, "plate_color": "BLUE" }),
        )
        .1
    };
    let states: Vec<Value> = (0..40).map(|n| enter(&format!("粤B{n:05}"))).collect();
    let blocked = states.iter().filter(|state| state["state"] == "BLOCKED" && state["block_reason"].is_string()).count();
    assert!((10..30).contains(&blocked) && states.iter().all(|state| state["id"].is_string()), "{blocked}");
    let mut body = order("attempt1", 500);
    body["trade_scene"] = json!("PARKING");
    let deduct = |body: &Value| answered(&wechat, &Method::POST, "/v3/vehicle/transactions/parking", body);
    assert_eq!(deduct(&body).1["code"], "PARAM_ERROR");
    body["parking_info"] = json!({ "parking_id": states[0]["id"], "plate_number": "粤B00000" });
    let (code, said) = deduct(&body);
    assert_eq!((code, &said["trade_state"]), (200, &json!("ACCEPTED")));
    assert_eq!(deduct(&body), (code, said), "the same again is as it stands");
    let at = |path: &str| answered(&wechat, &Method::GET, path, &Value::Null);
    assert_eq!(at("/v3/vehicle/transactions/out-trade-no/attempt1").1["trade_state"], "ACCEPTED");
    assert_eq!(at("/v3/pay/transactions/out-trade-no/attempt1").0, 404);
    let failed = wechat.office.book().settle("attempt1", AT, false).expect("it was held");
    let told = wechat.of_payment(&failed).expect("it is told");
    assert_eq!((told.kind, &told.text["trade_state"], &told.text["trade_scene"]), ("TRANSACTION.FAIL", &json!("PAY_FAIL"), &json!("PARKING")));
}

#[test]
fn a_bill_is_told_with_its_digest_and_handed_out_packed() {
    let (wechat, _jobs) = wechat(&[]);
    wechat.office.book().take(Trade::new("wechat", "attempt1", 500, AT), AT, Standing::Paid).expect("it is new");
    let (status, said) = answered(&wechat, &Method::GET, "/v3/bill/tradebill?bill_date=2026-11-23&bill_type=ALL&tar_type=GZIP", &Value::Null);
    assert_eq!((status, &said["hash_type"]), (200, &json!("SHA1")));
    let path = said["download_url"].as_str().and_then(|url| url.strip_prefix("http://wechat.invalid")).expect("it is of this channel");
    let file = asked(&wechat, &Method::GET, path, &Value::Null, (0, None)).body;
    let mut plain = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&file[..]), &mut plain).expect("it is packed");
    assert_eq!(said["hash_value"], keys::sha1(&plain).as_str());
    assert!(String::from_utf8_lossy(&plain).contains("`attempt1"));
    assert_eq!(answered(&wechat, &Method::GET, "/v3/bill/tradebill?bill_date=2026-11-24", &Value::Null).1["code"], "NO_STATEMENT_EXIST");
}

#[test]
fn a_bill_goes_wrong_as_it_is_set_to() {
    let paid = |faults: &[&str]| {
        let (wechat, jobs) = wechat(faults);
        wechat.office.book().take(Trade::new("wechat", "attempt1", 500, AT), AT, Standing::Paid).expect("it is new");
        (wechat, jobs)
    };
    let ask = |wechat: &WeChat| answered(wechat, &Method::GET, "/v3/bill/tradebill?bill_date=2026-11-23&bill_type=ALL&tar_type=GZIP", &Value::Null);
    let (late, _jobs) = paid(&["statement_late=1000"]);
    let codes = [(); 3].map(|()| ask(&late).1["code"].clone());
    assert_eq!(codes, [json!("STATEMENT_CREATING"), json!("STATEMENT_CREATING"), Value::Null]);
    let (damaged, _jobs) = paid(&["statement_damaged=1000"]);
    let hashes = [(); 3].map(|()| ask(&damaged).1["hash_value"].clone());
    assert!(hashes[0] != hashes[1] && hashes[1] == hashes[2], "{hashes:?}");
    let (cut, _jobs) = paid(&["statement_cut=1000"]);
    let file = "/v3/billdownload/file?bill_date=2026-11-23&tar_type=GZIP";
    assert_eq!([(); 2].map(|()| asked(&cut, &Method::GET, file, &Value::Null, (0, None)).is_cut), [true, false]);
}
