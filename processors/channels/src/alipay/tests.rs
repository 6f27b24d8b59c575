use super::*;
use crate::seal::tests::{KEY, PUBLIC};
use http::HeaderMap;
use schema::{Currency, Money};
use serde_json::Value;

const VECTORS: &str = include_str!("../../vectors/alipay_notify.json");
const ATTEMPT: &str = "O4426112307VZx3MdpKtIUVlfy701";
const NOW: Moment = Moment(1_795_399_200_000_000);

fn alipay(public: &str, app: &str, seller: &str) -> Alipay {
    let keys = [("merchant", KEY), ("alipay", public)].map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let (base_url, notify_url) = ("https://alipay.invalid".to_owned(), "https://ours.invalid/notify".to_owned());
    Alipay::new(&Settings { merchant: seller.into(), app: app.into(), base_url, notify_url, serial: String::new(), keys }).expect("sound")
}

fn form(parameters: &BTreeMap<String, String>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

fn said(alipay: &Alipay, parameters: &BTreeMap<String, String>) -> Result<Vec<ChannelEvent>, Kind> {
    let (headers, body) = (HeaderMap::new(), form(parameters));
    alipay.notified(&Notice { headers: &headers, body: body.as_bytes(), received_at: NOW }).map_err(|error| error.kind)
}

#[test]
fn the_published_notifications_are_what_they_are() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let vectors = vectors["vectors"].as_array().expect("a list");
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let parameters: BTreeMap<String, String> =
            vector["params"].as_object().expect("parameters").iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let alipay = alipay(&text(&vector["public_key"]), &parameters["app_id"], &parameters["seller_id"]);
        let valid = vector["expected_valid"].as_bool().expect("a truth");
        assert_eq!(alipay.verified(form(&parameters).as_bytes()).is_ok(), valid, "{}", vector["name"]);
        for (keeps, expected) in [(false, "verifies_without_sign_type"), (true, "verifies_with_sign_type")] {
            let verifies =
                parameters.contains_key("sign_type") && alipay.theirs.verifies(signed_text(&parameters, keeps).as_bytes(), &parameters["sign"]);
            assert!(!parameters.contains_key("sign_type") || Some(verifies) == vector[expected].as_bool(), "{} {expected}", vector["name"]);
        }
        if !valid {
            continue;
        }
        assert_eq!(signed_text(&parameters, false), text(&vector["sign_content"]));
        let changed = |name: &str, value: &str| parameters.clone().into_iter().chain([(name.to_owned(), value.to_owned())]).collect();
        for (name, value) in
            [("total_amount", "0.01"), ("out_trade_no", "1"), ("trade_status", "TRADE_CLOSED"), ("app_id", "1"), ("more", "1"), ("sign", "")]
        {
            assert_eq!(said(&alipay, &changed(name, value)), Err(Kind::NotGenuine), "{name}");
        }
        // It is about an order of another system of this merchant, and genuine.
        let facts = said(&alipay, &parameters).expect("it is genuine");
        assert!(facts.iter().all(|event| event.order().is_none() && event.happened_at.to_string().starts_with("2019-08-15T07:56:24")), "{facts:?}");
    }
}

/// A notification that the channel signed, by the test's own key.
fn notification(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let always = [("app_id", "2021"), ("seller_id", "2088"), ("out_trade_no", ATTEMPT), ("trade_no", "T1"), ("trade_status", "TRADE_SUCCESS")];
    let always = always.into_iter().chain([("total_amount", "5.00"), ("gmt_payment", "2026-11-23 08:00:00"), ("sign_type", "RSA2")]);
    let mut parameters: BTreeMap<String, String> =
        always.chain(more.iter().copied()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let sign = PrivateKey::read(KEY).expect("a key").sign(signed_text(&parameters, false).as_bytes()).expect("it signs");
    parameters.insert("sign".into(), sign);
    parameters
}

#[test]
fn a_notice_of_a_refund_is_no_payment() {
    let alipay = alipay(PUBLIC, "2021", "2088");
    let paid = said(&alipay, &notification(&[])).expect("it is genuine");
    let attempt = ATTEMPT.parse().expect("an attempt");
    let expected = ChannelFact::Succeeded { attempt, transaction: "T1".into(), amount: Money::new(500, Currency::Cny) };
    assert_eq!(paid.into_iter().map(|event| event.fact).collect::<Vec<_>>(), [expected]);
    assert_eq!(said(&alipay, &notification(&[("refund_fee", "1.00")])), Ok(vec![]));
    assert_eq!(said(&alipay, &notification(&[("trade_status", "WAIT_BUYER_PAY")])), Ok(vec![]));
    assert_eq!(said(&alipay, &notification(&[("total_amount", "5.001")])), Err(Kind::Malformed));
}

#[test]
fn money_for_any_number_is_told() {
    let alipay = alipay(PUBLIC, "2021", "2088");
    for (number, more, expected) in [
        (ATTEMPT, vec![], Ok(Money::new(500, Currency::Cny))),
        ("elsewhere1", vec![], Ok(Money::new(500, Currency::Cny))),
        ("停车 1/2", vec![], Ok(Money::new(500, Currency::Cny))),
        ("a number of more than 32 characters", vec![], Ok(Money::new(500, Currency::Cny))),
        (ATTEMPT, vec![("trans_currency", "USD")], Ok(Money::new(500, Currency::Usd))),
        (ATTEMPT, vec![("trans_currency", "JPY"), ("total_amount", "500")], Ok(Money::new(500, Currency::Jpy))),
        (ATTEMPT, vec![("trans_currency", "XAU")], Err(Kind::Malformed)),
        (ATTEMPT, vec![("trade_no", "")], Err(Kind::Malformed)),
    ] {
        let more: Vec<_> = more.into_iter().chain([("out_trade_no", number)]).collect();
        let told = said(&alipay, &notification(&more));
        let amount = told.clone().map(|events| match &events[..] {
            [ChannelEvent { fact: ChannelFact::Succeeded { amount, transaction, .. }, .. }] if &**transaction == "T1" => *amount,
            other => panic!("{other:?}"),
        });
        assert_eq!(amount, expected, "{number} {more:?}");
        let ours = told.is_ok_and(|events| events.iter().all(|event| event.order().is_some()));
        assert_eq!(ours, number == ATTEMPT && expected.is_ok(), "{number}");
    }
    let attempts = ["停车 1", "停车 2"].map(|number| attempt_of(NAME, number));
    assert_ne!(attempts[0], attempts[1], "two numbers are two attempts");
}

#[test]
fn what_is_about_others_is_refused_and_told_as_the_protocol_asks() {
    for (app, seller) in [("2022", "2088"), ("2021", "2089")] {
        let alipay = alipay(PUBLIC, app, seller);
        assert_eq!(said(&alipay, &notification(&[])), Err(Kind::Stranger));
        assert_eq!(alipay.reply(Err(&Error::new(Kind::Stranger, ""))).body, "failure");
        assert_eq!(alipay.reply(Ok(())).body, "success");
    }
}

fn refund_call(asks: bool) -> Call {
    let [refund, order] = ["R4426112307VZx3MdpKtIUVlfy7", &ATTEMPT[..27]].map(|id| id.parse().expect("an id"));
    let amount = Money::new(205, Currency::Cny);
    Call::Refund(RefundCall { refund, order, channel: NAME.into(), transaction: "T1".into(), amount, tries: 1, captured: None, asks })
}

#[test]
fn requests_are_signed_by_the_same_rules() {
    let request =
        alipay(PUBLIC, "2021", "2088").request(&refund_call(false), Now { moment: NOW, nonce: "n" }).expect("it signs").expect("it refunds");
    let parameters: BTreeMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
    assert!(PublicKey::read(PUBLIC).expect("a key").verifies(signed_text(&parameters, true).as_bytes(), &parameters["sign"]));
    let content: Value = serde_json::from_str(&parameters["biz_content"]).expect("JSON");
    assert_eq!(content, json!({ "trade_no": "T1", "out_request_no": "R4426112307VZx3MdpKtIUVlfy7", "refund_amount": "2.05" }));
    assert_eq!((parameters["method"].as_str(), parameters["timestamp"].as_str()), ("alipay.trade.refund", "2026-11-23 10:00:00"));
}

#[test]
fn each_answer_to_a_refund_is_its_own_standing() {
    let stands = |asks: bool, node: &str| {
        let call = refund_call(asks);
        let sign = PrivateKey::read(KEY).expect("a key").sign(node.as_bytes()).expect("it signs");
        let body = format!("{{\"{}\":{node},\"sign\":\"{sign}\"}}", node_name(&call).1);
        let headers = HeaderMap::new();
        let response = Response { status: 200, headers: &headers, body: body.as_bytes(), received_at: NOW };
        match alipay(PUBLIC, "2021", "2088").answered(&call, &response).expect("it is genuine") {
            Heard::Facts(facts) => match facts[0].fact {
                ChannelFact::RefundAnswered { succeeded, standing, .. } => (succeeded, standing),
                ref other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    for (asks, node, expected) in [
        (false, r#"{"code":"10000","fund_change":"Y","refund_fee":"2.05"}"#, (true, None)),
        (false, r#"{"code":"10000","fund_change":"N"}"#, (false, Some(Standing::Unknown))),
        (false, r#"{"code":"40004","sub_code":"ACQ.TRADE_HAS_FINISHED"}"#, (false, Some(Standing::Abnormal))),
        (false, r#"{"code":"20000","sub_code":"aop.ACQ.SYSTEM_ERROR"}"#, (false, Some(Standing::Unknown))),
        (false, r#"{"code":"40004","sub_code":"ACQ.SELLER_BALANCE_NOT_ENOUGH"}"#, (false, None)),
        (true, r#"{"code":"10000","refund_status":"REFUND_SUCCESS"}"#, (true, None)),
        (true, r#"{"code":"10000"}"#, (false, Some(Standing::NotFound))),
        (true, r#"{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST"}"#, (false, Some(Standing::NotFound))),
        (true, r#"{"code":"40002","sub_code":"isv.invalid-signature"}"#, (false, Some(Standing::Unknown))),
    ] {
        assert_eq!(stands(asks, node), expected, "{node}");
    }
}

#[test]
fn an_answer_that_was_changed_says_nothing() {
    let node = r#"{"code":"10000","fund_change":"Y"}"#;
    let sign = PrivateKey::read(KEY).expect("a key").sign(node.as_bytes()).expect("it signs");
    let body = format!("{{\"alipay_trade_refund_response\":{},\"sign\":\"{sign}\"}}", node.replace('Y', "N"));
    let headers = HeaderMap::new();
    let response = Response { status: 200, headers: &headers, body: body.as_bytes(), received_at: NOW };
    let heard = alipay(PUBLIC, "2021", "2088").answered(&refund_call(false), &response).map_err(|error| error.kind);
    assert_eq!(heard, Err(Kind::NotGenuine));
}

#[test]
fn each_answer_about_an_attempt_is_its_own_outcome() {
    let attempt = ATTEMPT.parse().expect("an attempt");
    let open = Call::Open { attempt, amount: Money::new(1, Currency::Cny), subject: "p".into(), expires_at: NOW };
    let (close, query) = (Call::Close { attempt }, Call::Query { attempt });
    for (call, node, expected) in [
        (&open, r#"{"code":"10000","qr_code":"https://qr.alipay.com/x"}"#, Heard::Opened(Some("https://qr.alipay.com/x".into()))),
        (&open, r#"{"code":"40004","sub_code":"ACQ.TRADE_HAS_CLOSE"}"#, Heard::Closed),
        (&open, r#"{"code":"40004","sub_code":"ACQ.INVALID_PARAMETER"}"#, Heard::Refused),
        (&open, r#"{"code":"20000","sub_code":"isp.unknow-error"}"#, Heard::Later),
        (&close, r#"{"code":"10000"}"#, Heard::Closed),
        (&close, r#"{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST"}"#, Heard::Closed),
        (&close, r#"{"code":"40004","sub_code":"ACQ.TRADE_STATUS_ERROR"}"#, Heard::Refused),
        (&query, r#"{"code":"10000","trade_status":"WAIT_BUYER_PAY"}"#, Heard::Unpaid),
        (&query, r#"{"code":"10000","trade_status":"TRADE_CLOSED"}"#, Heard::Closed),
        (&query, r#"{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST"}"#, Heard::Unpaid),
        (&query, r#"{"code":"40004","sub_code":"ACQ.SYSTEM_ERROR"}"#, Heard::Later),
    ] {
        let sign = PrivateKey::read(KEY).expect("a key").sign(node.as_bytes()).expect("it signs");
        let body = format!("{{\"{}\":{node},\"sign\":\"{sign}\"}}", node_name(call).1);
        let headers = HeaderMap::new();
        let response = Response { status: 200, headers: &headers, body: body.as_bytes(), received_at: NOW };
        let heard = alipay(PUBLIC, "2021", "2088").answered(call, &response).map_err(|error| error.kind);
        assert_eq!(heard, Ok(expected), "{call:?} {node}");
    }
}

fn wanted() -> Wanted {
    Wanted { day: "2026-11-22".parse().expect("a date"), merchant: Some("2088".into()) }
}

/// What the channel says of where the bill of a day is, with another node than the one that it has signed, if so.
fn bill(signed: &str, sent: Option<&str>) -> Result<Bill, Kind> {
    let sign = PrivateKey::read(KEY).expect("a key").sign(signed.as_bytes()).expect("it signs");
    let body = format!("{{\"{}\":{},\"sign\":\"{sign}\"}}", BILL.1, sent.unwrap_or(signed));
    let headers = HeaderMap::new();
    let response = Response { status: 200, headers: &headers, body: body.as_bytes(), received_at: NOW };
    alipay(PUBLIC, "2021", "2088").statement_answered(&wanted(), &response).map_err(|error| error.kind)
}

#[test]
fn a_bill_is_asked_for_by_a_signed_request_and_downloaded_by_its_address_alone() {
    let (alipay, now) = (alipay(PUBLIC, "2021", "2088"), Now { moment: NOW, nonce: "n" });
    let request = alipay.statement_request(&wanted(), now).expect("it signs").expect("it has bills");
    let parameters: BTreeMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
    assert!(PublicKey::read(PUBLIC).expect("a key").verifies(signed_text(&parameters, true).as_bytes(), &parameters["sign"]));
    let content: Value = serde_json::from_str(&parameters["biz_content"]).expect("JSON");
    assert_eq!((parameters["method"].as_str(), content), (BILL.0, json!({ "bill_type": "trade", "bill_date": "2026-11-22" })));
    let url = "http://dwbillcenter.alipay.com/downloadBillFile.resource?bizType=trade&token=1";
    let download = alipay.download_request(url, now).expect("it needs nothing");
    assert_eq!((download.method, download.url.as_str(), download.headers.len(), download.body.len()), (Method::GET, url, 0, 0));
}

#[test]
fn where_a_statement_is_is_signed() {
    let there = r#"{"code":"10000","bill_download_url":"https://dwbillcenter.alipay.com/f"}"#;
    let none = r#"{"code":"40004","sub_code":"isp.bill_not_exist"}"#;
    for (node, expected) in [
        (there, Bill::There { url: "https://dwbillcenter.alipay.com/f".into(), sha1: None }),
        (none, Bill::Nothing),
        (r#"{"code":"40004","sub_code":"BILL_NOT_EXIST"}"#, Bill::Nothing),
        (r#"{"code":"40004","sub_code":"NO_BILL"}"#, Bill::Nothing),
        (r#"{"code":"20000","sub_code":"isp.unknow-error"}"#, Bill::NotYet("isp.unknow-error".into())),
        (r#"{"code":"40004"}"#, Bill::NotYet("40004".into())),
    ] {
        assert_eq!(bill(node, None), Ok(expected), "{node}");
    }
    let elsewhere = there.replace("dwbillcenter.alipay.com", "evil.invalid");
    for (signed, sent) in [(there, elsewhere.as_str()), (there, none), (none, there)] {
        assert_eq!(bill(signed, Some(sent)), Err(Kind::NotGenuine), "{sent}");
    }
    for wrong in [r#"{"code":"10000"}"#, r#"{"code":"10000","bill_download_url":""}"#] {
        assert_eq!(bill(wrong, None), Err(Kind::Malformed), "{wrong}");
    }
    let headers = HeaderMap::new();
    let away = Response { status: 502, headers: &headers, body: none.as_bytes(), received_at: NOW };
    let heard = alipay(PUBLIC, "2021", "2088").statement_answered(&wanted(), &away).map_err(|error| error.kind);
    assert_eq!(heard, Ok(Bill::NotYet("status 502".into())));
}
