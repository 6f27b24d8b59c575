use super::*;
use crate::simulators::{Faults, Settings, office::Jobs};
use axum::http::{HeaderMap, Method, Uri};
use schema::time::SECOND;
use std::sync::Arc;

const AT: Moment = Moment(1_795_399_200 * SECOND);

fn alipay(faults: &[&str]) -> (Alipay, Jobs) {
    let faults = Faults::of(&faults.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).expect("they are known");
    let (office, jobs) = Office::new("alipay", "http://alipay.invalid".into(), Arc::new(Settings { faults, ..Settings::default() }));
    (Alipay::new(office), jobs)
}

/// What the channel answers to a call that the merchant has signed, as it came.
fn said(alipay: &Alipay, method: &str, content: &Value, changed: &[(&str, &str)]) -> String {
    let pairs =
        [("app_id", APP), ("method", method), ("sign_type", "RSA2"), ("timestamp", "2026-11-23 10:00:00"), ("version", "1.0"), ("charset", "utf-8")];
    let mut parameters: BTreeMap<String, String> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    parameters.insert("biz_content".into(), content.to_string());
    let text = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    parameters.insert("sign".into(), Pair::read(keys::MERCHANT).sign(text.as_bytes()));
    parameters.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let uri: Uri = "/gateway.do".parse().expect("a path");
    let said = alipay.answer(&Asked { method: &Method::POST, uri: &uri, headers: &HeaderMap::new(), body: &form(&parameters), at: AT });
    String::from_utf8(said.body).expect("UTF-8")
}

/// The node of a signed answer.
fn node(alipay: &Alipay, method: &str, content: &Value) -> Value {
    let said = said(alipay, method, content, &[]);
    let name = format!("{{\"{}_response\":", method.replace('.', "_"));
    let (node, sign) = said.strip_prefix(&name).and_then(|rest| rest.split_once(",\"sign\":\"")).expect("a node and a signature");
    assert!(Pair::read(keys::ALIPAY).signed(node.as_bytes(), sign.trim_end_matches("\"}")), "the very bytes of the node are signed");
    serde_json::from_str(node).expect("JSON")
}

fn opened(alipay: &Alipay) {
    let order = json!({ "out_trade_no": "attempt1", "total_amount": "5.00", "subject": "parking" });
    assert!(node(alipay, "alipay.trade.precreate", &order)["qr_code"].is_string());
}

fn paid(alipay: &Alipay) -> Trade {
    alipay.office.book().take(Trade::new("alipay", "attempt1", 500, AT), AT, Standing::Paid).expect("it is new")
}

#[test]
fn what_the_merchant_did_not_sign_is_refused() {
    let (alipay, _jobs) = alipay(&[]);
    let content = json!({ "out_trade_no": "attempt1" });
    let said = |changed: &[(&str, &str)]| said(&alipay, "alipay.trade.query", &content, changed);
    assert!(said(&[]).contains("ACQ.TRADE_NOT_EXIST"));
    for changed in [[("app_id", "1")], [("biz_content", "{}")], [("sign", "AAAA")], [("method", "alipay.trade.close")], [("more", "1")]] {
        assert!(said(&changed).contains("isv.invalid-signature"), "{changed:?}");
    }
    assert_eq!(alipay.office.counts.not_signed.get(), 5);
}

#[test]
fn nothing_is_known_of_a_code_that_nobody_has_scanned() {
    let (alipay, _jobs) = alipay(&[]);
    opened(&alipay);
    let number = json!({ "out_trade_no": "attempt1" });
    for method in ["alipay.trade.query", "alipay.trade.close"] {
        assert_eq!(node(&alipay, method, &number)["sub_code"], "ACQ.TRADE_NOT_EXIST");
    }
    // So it can still be paid.
    alipay.office.book().scan("attempt1").expect("it is open");
    assert_eq!(node(&alipay, "alipay.trade.query", &number)["trade_status"], "WAIT_BUYER_PAY");
    assert_eq!(node(&alipay, "alipay.trade.close", &number)["code"], "10000");
    assert_eq!(node(&alipay, "alipay.trade.query", &number)["trade_status"], "TRADE_CLOSED");
    assert_eq!(alipay.office.book().take(Trade::new("alipay", "attempt1", 500, AT), AT, Standing::Paid), Err(Refusal::Over));
}

#[test]
fn a_refund_is_made_once_and_within_what_was_paid() {
    let (alipay, _jobs) = alipay(&[]);
    let trade = paid(&alipay);
    let back = |number: &str, amount: &str| {
        let content = json!({ "trade_no": trade.transaction, "out_request_no": number, "refund_amount": amount });
        node(&alipay, "alipay.trade.refund", &content)
    };
    let of = |node: &Value| (node["fund_change"].clone(), node["refund_fee"].clone());
    assert_eq!(of(&back("r1", "2.00")), (json!("Y"), json!("2.00")));
    assert_eq!(of(&back("r1", "2.00")), (json!("N"), json!("2.00")));
    assert_eq!(back("r2", "3.01")["sub_code"], "ACQ.REASON_TRADE_REFUND_FEE_ERR");
    assert_eq!(back("r2", "0.001")["sub_code"], "ACQ.REASON_TRADE_REFUND_FEE_ERR");
    let ask = |number: &str| node(&alipay, "alipay.trade.fastpay.refund.query", &json!({ "trade_no": trade.transaction, "out_request_no": number }));
    assert_eq!((&ask("r1")["refund_status"], &ask("r1")["refund_amount"]), (&json!("REFUND_SUCCESS"), &json!("2.00")));
    assert_eq!(ask("r2"), json!({ "code": "10000", "msg": "Success" }), "of what it does not know it says nothing");
    assert_eq!(of(&back("r3", "3.00")), (json!("Y"), json!("5.00")));
    assert_eq!(node(&alipay, "alipay.trade.query", &json!({ "out_trade_no": "attempt1" }))["trade_status"], "TRADE_CLOSED");
}

#[test]
fn a_notification_is_signed_over_all_but_its_signature() {
    let (alipay, _jobs) = alipay(&[]);
    let told = alipay.of_payment(&paid(&alipay)).expect("it is told");
    let read = |posted: &Posted| form_urlencoded::parse(&posted.body).into_owned().collect::<BTreeMap<String, String>>();
    let is_genuine = |parameters: &BTreeMap<String, String>| {
        let signed = parameters.iter().filter(|(name, _)| !["sign", "sign_type"].contains(&name.as_str()));
        let text = signed.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        Pair::read(keys::ALIPAY).signed(text.as_bytes(), &parameters["sign"])
    };
    let parameters = read(&alipay.post(&told, AT, false));
    assert!(is_genuine(&parameters));
    let get = |name: &str| parameters[name].as_str();
    assert_eq!((get("out_trade_no"), get("trade_status"), get("total_amount"), get("seller_id")), ("attempt1", "TRADE_SUCCESS", "5.00", MERCHANT));
    assert_eq!(get("gmt_payment"), "2026-11-23 10:00:00");
    assert!(!is_genuine(&read(&alipay.post(&told, AT, true))));
}

#[test]
fn a_notification_is_taken_by_one_word() {
    let (alipay, _jobs) = alipay(&[]);
    assert!(alipay.takes(200, b"success"));
    for (status, body) in [(200, &b"failure"[..]), (200, b"success\n"), (200, b"SUCCESS"), (200, b""), (500, b"success"), (204, b"")] {
        assert!(!alipay.takes(status, body), "{status} {body:?}");
    }
}

#[test]
fn refunds_go_wrong_as_they_are_set_to() {
    let ask = |faults: &[&str]| {
        let (alipay, _jobs) = alipay(faults);
        let trade = paid(&alipay);
        let content = json!({ "trade_no": trade.transaction, "out_request_no": "r1", "refund_amount": "5.00" });
        [0, 1].map(|_| node(&alipay, "alipay.trade.refund", &content)["sub_code"].clone())
    };
    assert_eq!(ask(&["refund_refused=1000"]), [json!("ACQ.SELLER_BALANCE_NOT_ENOUGH"), Value::Null]);
    assert_eq!(ask(&["refund_abnormal=1000"]), [json!("ACQ.TRADE_HAS_FINISHED"), json!("ACQ.TRADE_HAS_FINISHED")]);
}

#[test]
fn an_amount_is_read_exactly_or_not_at_all() {
    for (text, expected) in
        [("5.00", Some(500)), ("0.1", Some(10)), ("7", Some(700)), ("0.001", None), ("-1", None), ("1e3", None), ("", None), (".5", None)]
    {
        assert_eq!(fen(&json!(text)), expected, "{text}");
    }
    assert_eq!(fen(&json!(5)), Some(500));
}

#[test]
fn a_statement_is_told_of_and_fetched() {
    let (alipay, _jobs) = alipay(&[]);
    paid(&alipay);
    let ask = |day: &str| node(&alipay, "alipay.data.dataservice.bill.downloadurl.query", &json!({ "bill_type": "trade", "bill_date": day }));
    assert_eq!(ask("2026-11-24")["sub_code"], "isp.bill_not_exist");
    let url = ask("2026-11-23")["bill_download_url"].clone();
    let uri: Uri = url.as_str().and_then(|url| url.strip_prefix("http://alipay.invalid")).expect("it is of this channel").parse().expect("a path");
    let said = alipay.answer(&Asked { method: &Method::GET, uri: &uri, headers: &HeaderMap::new(), body: b"", at: AT });
    assert!(said.status == 200 && said.body.starts_with(b"PK\x03\x04"));
    let name = archive::gbk("_业务明细.csv");
    assert!(said.body.windows(name.len()).any(|bytes| bytes == name));
}

#[test]
fn a_statement_goes_wrong_as_it_is_set_to() {
    let bill = json!({ "bill_type": "trade", "bill_date": "2026-11-23" });
    let (late, _jobs) = alipay(&["statement_late=1000"]);
    paid(&late);
    let codes = [(); 3].map(|()| node(&late, "alipay.data.dataservice.bill.downloadurl.query", &bill)["code"].clone());
    assert_eq!(codes, ["40004", "40004", "10000"]);
    let (damaged, _jobs) = alipay(&["statement_damaged=1000"]);
    paid(&damaged);
    let files = [(); 3].map(|()| damaged.download("2026-11-23").body);
    assert!(files[0] != files[1] && files[1] == files[2] && files[0].len() == files[1].len());
}
