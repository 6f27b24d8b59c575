//! Alipay: payments by QR code (precreate), refunds.
//!
//! A notification is a form; signed are all its parameters but `sign` and `sign_type`, decoded, sorted by name and written as `k=v` with `&` between, by
//! SHA-256 with RSA (Alipay's documentation, "异步通知验签"; some service notices keep `sign_type`, so both are tried). Answers are JSON, signed over the
//! very bytes of their response node.
//!
//! Invariants
//! 1. The published notifications are verified as published, and no changed one is   (`tests::the_published_notifications_are_what_they_are`).
//! 2. A notice of a refund is no second success   (`tests::a_notice_of_a_refund_is_no_payment`).
//! 3. The same refund goes out under the same number   (`tests::requests_are_signed_by_the_same_rules`).
//! 4. Genuine money is told whatever its number and currency are   (`tests::money_for_any_number_is_told`).
//! 5. Where a bill is, and that there is none, counts only where the channel signed it   (`tests::where_a_statement_is_is_signed`).

use crate::{
    Bill, Call, Channel, Error, Heard, Kind, Notice, Now, Reply, Request, Response, Settings, attempt_of,
    seal::{PrivateKey, PublicKey},
    statement::Wanted,
    yuan,
};
use http::Method;
use schema::{ChannelEvent, ChannelFact, Id, Moment, RefundCall, channel::Standing};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::{collections::BTreeMap, sync::Arc};

const NAME: &str = "alipay";
/// What asks where a bill is, and the node of its answer.
const BILL: (&str, &str) = ("alipay.data.dataservice.bill.downloadurl.query", "alipay_data_dataservice_bill_downloadurl_query_response");
/// How the codes end that say that a day has no bill, in capitals.
const NO_BILL: [&str; 2] = ["BILL_NOT_EXIST", "NO_BILL"];

/// The channel.
#[derive(Debug)]
pub struct Alipay {
    seller: String,
    app: String,
    base_url: String,
    notify_url: String,
    ours: PrivateKey,
    theirs: PublicKey,
}

/// What is signed of parameters, which may keep their `sign_type`.
fn signed_text(parameters: &BTreeMap<String, String>, keeps_sign_type: bool) -> String {
    let signed = parameters.iter().filter(|(name, _)| *name != "sign" && (keeps_sign_type || *name != "sign_type"));
    signed.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

impl Alipay {
    /// From its settings; keys: `merchant` (our private key) and `alipay` (the channel's public key).
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            seller: settings.merchant.clone(),
            app: settings.app.clone(),
            base_url: settings.base_url.clone(),
            notify_url: settings.notify_url.clone(),
            ours: PrivateKey::read(settings.key("merchant")?)?,
            theirs: PublicKey::read(settings.key("alipay")?)?,
        })
    }

    /// A form's parameters, once the channel's signature of them is verified.
    fn verified(&self, body: &[u8]) -> Result<BTreeMap<String, String>, Error> {
        let parameters: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let sign = parameters.get("sign").map(String::as_str).unwrap_or_default();
        let is_signed = [false, true].into_iter().any(|keeps| self.theirs.verifies(signed_text(&parameters, keeps).as_bytes(), sign));
        if is_signed { Ok(parameters) } else { Err(Error::new(Kind::NotGenuine, "checking Alipay's signature")) }
    }

    /// The fields of an answer, once the channel's signature of its node is verified.
    fn answer(&self, body: &[u8], name: &str) -> Result<Node, Error> {
        let node = self.node(body, name)?;
        serde_json::from_str(node).map_err(|error| Error::because(Kind::Malformed, "reading Alipay's answer", error))
    }

    /// The node of an answer, once the channel's signature of its bytes is verified.
    fn node<'a>(&self, body: &'a [u8], name: &str) -> Result<&'a str, Error> {
        let malformed = |error| Error::because(Kind::Malformed, "reading Alipay's answer", error);
        let answer: BTreeMap<String, &'a RawValue> = serde_json::from_slice(body).map_err(malformed)?;
        let node = answer.get(name).or_else(|| answer.get("error_response"));
        let node = node.ok_or_else(|| Error::new(Kind::Malformed, format!("Alipay's answer has no {name}")))?.get();
        let sign: String = answer.get("sign").map_or(Ok(String::new()), |sign| serde_json::from_str(sign.get()).map_err(malformed))?;
        if self.theirs.verifies(node.as_bytes(), &sign) { Ok(node) } else { Err(Error::new(Kind::NotGenuine, "checking Alipay's signature")) }
    }

    fn call(&self, method: &str, content: &serde_json::Value, now: Now<'_>) -> Result<Request, Error> {
        let mut parameters: BTreeMap<String, String> = [
            ("app_id", self.app.clone()),
            ("method", method.to_owned()),
            ("format", "JSON".to_owned()),
            ("charset", "utf-8".to_owned()),
            ("sign_type", "RSA2".to_owned()),
            ("timestamp", yuan::in_beijing(now.moment, "%Y-%m-%d %H:%M:%S")),
            ("version", "1.0".to_owned()),
            ("notify_url", format!("{}/{NAME}", self.notify_url)),
            ("biz_content", content.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let sign = self.ours.sign(signed_text(&parameters, true).as_bytes())?;
        parameters.insert("sign".to_owned(), sign);
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
        let headers = vec![("Content-Type", "application/x-www-form-urlencoded;charset=utf-8".to_owned())];
        Ok(Request { method: Method::POST, url: format!("{}/gateway.do", self.base_url), headers, body: body.into_bytes() })
    }
}

/// The fields of any answer that are looked at.
#[derive(Deserialize)]
struct Node {
    code: String,
    #[serde(default)]
    sub_code: String,
    qr_code: Option<String>,
    trade_no: Option<Arc<str>>,
    out_trade_no: Option<Id>,
    trade_status: Option<String>,
    total_amount: Option<String>,
    trans_currency: Option<String>,
    send_pay_date: Option<String>,
    fund_change: Option<String>,
    refund_status: Option<String>,
    bill_download_url: Option<String>,
}

impl Node {
    /// Whether it says that nothing of that number is known.
    fn is_unknown(&self) -> bool {
        self.sub_code.ends_with("TRADE_NOT_EXIST") || self.sub_code.ends_with("TRADE_NOT_FOUND")
    }
}

const fn node_name(call: &Call) -> (&'static str, &'static str) {
    match call {
        Call::Open { .. } => ("alipay.trade.precreate", "alipay_trade_precreate_response"),
        // There are no such calls; they are not made (`request`).
        Call::Settle { .. } | Call::Enter { .. } | Call::Deduct { .. } | Call::Deduction { .. } => ("", ""),
        Call::Close { .. } => ("alipay.trade.close", "alipay_trade_close_response"),
        Call::Query { .. } => ("alipay.trade.query", "alipay_trade_query_response"),
        Call::Refund(RefundCall { asks: true, .. }) => ("alipay.trade.fastpay.refund.query", "alipay_trade_fastpay_refund_query_response"),
        Call::Refund(_) => ("alipay.trade.refund", "alipay_trade_refund_response"),
    }
}

/// How a payment stands, by the words of notifications and answers. An amount without a currency is in yuan.
fn stands(
    attempt: Id,
    number: Option<&str>,
    status: &str,
    (amount, currency): (Option<&str>, Option<&str>),
    happened_at: Moment,
) -> Result<Vec<ChannelEvent>, Error> {
    if !["TRADE_SUCCESS", "TRADE_FINISHED"].contains(&status) {
        return Ok(Vec::new());
    }
    let missing = || Error::new(Kind::Malformed, format!("Alipay says {status} of {attempt} without its amount or number"));
    let transaction = number.filter(|number| !number.is_empty()).ok_or_else(missing)?.into();
    let amount = yuan::read(amount.ok_or_else(missing)?, yuan::currency(currency.unwrap_or("CNY"))?)?;
    Ok(vec![ChannelEvent { channel: NAME.into(), happened_at, fact: ChannelFact::Succeeded { attempt, transaction, amount } }])
}

impl Channel for Alipay {
    fn name(&self) -> &'static str {
        NAME
    }

    fn notified(&self, notice: &Notice<'_>) -> Result<Vec<ChannelEvent>, Error> {
        let parameters = self.verified(notice.body)?;
        let get = |name: &str| parameters.get(name).map(String::as_str);
        // There is no time limit in the protocol: it repeats for 25 hours. What is played back later is the same fact, which counts once.
        if get("app_id") != Some(&self.app) || get("seller_id").is_some_and(|seller| seller != self.seller) {
            return Err(Error::new(Kind::Stranger, "reading what Alipay says"));
        }
        // A partial refund tells the payment's own address, with the payment's own words.
        if get("refund_fee").is_some() {
            return Ok(Vec::new());
        }
        let attempt = attempt_of(NAME, get("out_trade_no").unwrap_or_default());
        let happened_at = get("gmt_payment").map_or(Ok(notice.received_at), yuan::beijing)?;
        let amount = (get("total_amount"), get("trans_currency"));
        stands(attempt, get("trade_no"), get("trade_status").unwrap_or_default(), amount, happened_at)
    }

    fn reply(&self, outcome: Result<(), &Error>) -> Reply {
        let content_type = "text/plain";
        match outcome {
            Ok(()) => Reply { status: 200, content_type, body: "success" },
            Err(_) => Reply { status: 200, content_type, body: "failure" },
        }
    }

    fn request(&self, call: &Call, now: Now<'_>) -> Result<Option<Request>, Error> {
        let content = match call {
            Call::Open { attempt, amount, subject, expires_at } => json!({
                "out_trade_no": attempt, "total_amount": amount.number(), "subject": subject, "seller_id": self.seller,
                "time_expire": yuan::in_beijing(*expires_at, "%Y-%m-%d %H:%M:%S"),
            }),
            // What is paid by a code is captured at once.
            Call::Settle { .. } | Call::Enter { .. } | Call::Deduct { .. } | Call::Deduction { .. } => return Ok(None),
            Call::Close { attempt } | Call::Query { attempt } => json!({ "out_trade_no": attempt }),
            Call::Refund(RefundCall { refund, transaction, asks: true, .. }) => {
                json!({ "trade_no": transaction, "out_request_no": refund, "query_options": ["gmt_refund_pay"] })
            }
            Call::Refund(RefundCall { refund, transaction, amount, .. }) => {
                json!({ "trade_no": transaction, "out_request_no": refund, "refund_amount": amount.number() })
            }
        };
        self.call(node_name(call).0, &content, now).map(Some)
    }

    fn answered(&self, call: &Call, response: &Response<'_>) -> Result<Heard, Error> {
        if response.status != 200 {
            return Ok(Heard::Later);
        }
        let node = self.answer(response.body, node_name(call).1)?;
        let is_done = node.code == "10000";
        // 20000 is busy: nobody knows what became of it.
        let is_busy = node.code == "20000" || node.sub_code.ends_with("SYSTEM_ERROR");
        Ok(match call {
            _ if is_busy && !matches!(call, Call::Refund(_)) => Heard::Later,
            Call::Open { .. } if is_done => Heard::Opened(Some(node.qr_code.ok_or_else(|| Error::new(Kind::Malformed, "Alipay opened nothing"))?)),
            Call::Open { .. } | Call::Close { .. } if node.sub_code.ends_with("TRADE_HAS_CLOSE") => Heard::Closed,
            Call::Close { .. } if is_done || node.is_unknown() => Heard::Closed,
            // A code makes no trade before somebody scans it: an unknown number may be paid yet.
            Call::Query { .. } if node.is_unknown() => Heard::Unpaid,
            Call::Query { attempt } if is_done => {
                let status = node.trade_status.as_deref().unwrap_or_default();
                let happened_at = node.send_pay_date.as_deref().map_or(Ok(response.received_at), yuan::beijing)?;
                let amount = (node.total_amount.as_deref(), node.trans_currency.as_deref());
                let facts = stands(node.out_trade_no.unwrap_or(*attempt), node.trade_no.as_deref(), status, amount, happened_at)?;
                match status {
                    "TRADE_CLOSED" => Heard::Closed,
                    _ if facts.is_empty() => Heard::Unpaid,
                    _ => Heard::Facts(facts),
                }
            }
            // What is paid already cannot be closed: it is asked about then.
            Call::Open { .. } | Call::Settle { .. } | Call::Close { .. } => Heard::Refused,
            Call::Query { .. } | Call::Enter { .. } | Call::Deduct { .. } | Call::Deduction { .. } => Heard::Later,
            Call::Refund(RefundCall { refund, order, tries, asks, .. }) => {
                let (succeeded, standing) = if is_busy {
                    (false, Some(Standing::Unknown))
                } else if *asks {
                    match (is_done, node.refund_status.as_deref()) {
                        (true, Some("REFUND_SUCCESS")) => (true, None),
                        (true, _) => (false, Some(Standing::NotFound)),
                        (false, _) if node.is_unknown() => (false, Some(Standing::NotFound)),
                        (false, _) => (false, Some(Standing::Unknown)),
                    }
                } else if is_done {
                    // N says that no money moved by this call, as where this number had been refunded before: the question how it stands tells which.
                    let moved = node.fund_change.as_deref() == Some("Y");
                    (moved, (!moved).then_some(Standing::Unknown))
                } else {
                    let is_over = ["REASON_TRADE_REFUND_FEE_ERR", "TRADE_HAS_FINISHED"].iter().any(|code| node.sub_code.ends_with(code));
                    (false, is_over.then_some(Standing::Abnormal))
                };
                let fact = ChannelFact::RefundAnswered { refund: *refund, order: *order, succeeded, tries: *tries, standing };
                Heard::Facts(vec![ChannelEvent { channel: NAME.into(), happened_at: response.received_at, fact }])
            }
        })
    }

    /// The details of a day (`trade`, 业务明细). The other type, `signcustomer`, is what moved on the account (账务明细): another file, which is not read here.
    fn statement_request(&self, wanted: &Wanted, now: Now<'_>) -> Result<Option<Request>, Error> {
        self.call(BILL.0, &json!({ "bill_type": "trade", "bill_date": wanted.day.to_string() }), now).map(Some)
    }

    /// An address that counts for 30 seconds, without a hash: the archive has sums of its own.
    fn statement_answered(&self, _: &Wanted, response: &Response<'_>) -> Result<Bill, Error> {
        if response.status != 200 {
            return Ok(Bill::not_yet(&format!("status {}", response.status)));
        }
        let node = self.answer(response.body, BILL.1)?;
        if node.code == "10000" {
            let url = node.bill_download_url.filter(|url| !url.is_empty());
            let url = url.ok_or_else(|| Error::new(Kind::Malformed, "reading where Alipay's bill is"))?;
            return Ok(Bill::There { url, sha1: None });
        }
        let code = node.sub_code.to_ascii_uppercase();
        let is_none = NO_BILL.iter().any(|end| code.ends_with(end));
        Ok(if is_none { Bill::Nothing } else { Bill::not_yet(if code.is_empty() { &node.code } else { &node.sub_code }) })
    }
}

#[cfg(test)]
mod tests;
