//! Alipay: payments by QR code (precreate), queries, refunds.
//!
//! All calls go to one address, with their method among the parameters. Signed are the parameters but `sign`, sorted and joined as `k=v` with `&`, by
//! SHA-256 with RSA; of an answer, the bytes of its node; of a notification, the parameters but `sign` and `sign_type` (Alipay's documentation of
//! "自行实现签名" and "异步通知验签").
//!
//! Alipay makes a payment of a code only when somebody scans it: before, it knows nothing of that number, and closing it closes nothing.
//!
//! Invariants
//! 1. What is not signed by the merchant is refused   (`tests::what_the_merchant_did_not_sign_is_refused`).
//! 2. A notification is taken by the word `success` alone   (`tests::a_notification_is_taken_by_one_word`).

use super::{
    Access, archive,
    book::{Book, Named, Refund, Refusal, Return, Standing, Trade},
    clock,
    faults::OfStatement,
    keys,
    keys::Pair,
    office::{Asked, Office, Posted, Said, Site, Told},
    statements::{self, yuan},
};
use schema::Moment;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// The merchant's number.
pub const MERCHANT: &str = "2088102177846875";
/// The application's number.
pub const APP: &str = "2021000118634035";
/// The merchant's account, as its statements name it.
pub const ACCOUNT: &str = "20881021778468750156";
/// When a notification is sent again that was not taken ("异步通知"), in seconds after the one before.
const SCHEDULE: [u64; 7] = [240, 600, 600, 3_600, 7_200, 21_600, 54_000];

/// The channel.
pub struct Alipay {
    office: Office,
    merchant: Pair,
    own: Pair,
}

/// What is done with a call: its answer, and how long that takes; or nothing for so long.
type Done = Result<(Value, Duration), Refusal>;

impl Alipay {
    /// At an office.
    pub fn new(office: Office) -> Self {
        Self { office, merchant: Pair::read(keys::MERCHANT), own: Pair::read(keys::ALIPAY) }
    }

    fn said(&self, name: &str, node: &Value, wait: Duration) -> Said {
        let node = node.to_string();
        let sign = self.own.sign(node.as_bytes());
        let body = format!("{{\"{name}\":{node},\"sign\":\"{sign}\"}}").into_bytes();
        Said { status: 200, headers: vec![("Content-Type", "text/html;charset=utf-8".to_owned())], body, wait, is_cut: false }
    }

    fn open(&self, content: &Value, notify_url: Option<&String>, at: Moment) -> Done {
        let (attempt, amount) = content["out_trade_no"].as_str().zip(fen(&content["total_amount"])).ok_or(Refusal::OtherAmount)?;
        let expires_at = content["time_expire"].as_str().and_then(clock::read);
        let subject = content["subject"].as_str().unwrap_or_default().to_owned();
        let notify_url = notify_url.cloned();
        self.office.book().open(Trade { subject, notify_url, expires_at, ..Trade::new("alipay", attempt, amount, at) })?;
        done(json!({ "out_trade_no": attempt, "qr_code": format!("https://qr.alipay.com/{:020}", keys::number(&[attempt])) }))
    }

    fn query(&self, content: &Value) -> Done {
        let book = self.office.book();
        let trade = made(&book, content)?;
        done(described(trade))
    }

    fn close(&self, content: &Value, at: Moment) -> Done {
        let mut book = self.office.book();
        let attempt = made(&book, content)?.attempt.clone();
        let trade = book.close(&attempt, at)?;
        done(json!({ "out_trade_no": trade.attempt, "trade_no": trade.transaction }))
    }

    fn refund(&self, content: &Value, at: Moment) -> Done {
        let amount = fen(&content["refund_amount"]).ok_or(Refusal::TooMuch)?;
        let trade = made(&self.office.book(), content)?.clone();
        // Without a number of its own a refund has its payment's, and is the whole of it.
        let number = content["out_request_no"].as_str().unwrap_or(&trade.attempt).to_owned();
        let refund = Refund { number, amount, standing: Return::Processing, asked_at: at, since: at, notify_url: None };
        let cannot = self.office.end_of(&refund.number) == Return::Abnormal;
        if cannot {
            self.office.counts.refund_calls.add(1);
            self.office.counts.refunds_refused.add(1);
            return Err(Refusal::TooLate);
        }
        let (_, refund, is_new, wait) = self.office.refund(Named::Attempt(&trade.attempt), refund, 0)?;
        let (trade, refund) = self.office.book().returned(&refund.number, at, Return::Done).ok_or(Refusal::Unknown)?;
        if is_new {
            let (trade, refund) = (trade.clone(), refund.clone());
            self.office.later(self.office.settings.refund_takes, move |site| site.of_refund(&trade, &refund));
        }
        let node = json!({
            "trade_no": trade.transaction, "out_trade_no": trade.attempt, "buyer_logon_id": "159****5620", "buyer_user_id": "2088101117955611",
            "fund_change": if is_new { "Y" } else { "N" }, "refund_fee": yuan(trade.refunded()), "gmt_refund_pay": clock::local(refund.since),
        });
        Ok((success(node), wait))
    }

    /// Where a day's statement can be fetched.
    fn bill(&self, content: &Value) -> Done {
        let day = content["bill_date"].as_str().filter(|_| content["bill_type"] == "trade").unwrap_or_default();
        if self.statement(day).is_empty() {
            return Err(Refusal::NoBill);
        }
        if self.office.statement_fault("ask", day) == Some(OfStatement::Late) {
            return Err(Refusal::TooSoon);
        }
        done(json!({ "bill_download_url": format!("{}/bill/{day}", self.office.base_url) }))
    }

    fn download(&self, day: &str) -> Said {
        let (status, mut body) = self.statement(day).into_iter().next().map_or((404, Vec::new()), |(_, file)| (200, file));
        let fault = self.office.statement_fault("download", day);
        if fault == Some(OfStatement::Damaged) {
            damage(&mut body);
        }
        let headers = vec![("Content-Type", "application/zip".to_owned())];
        Said { status, headers, body, wait: Duration::ZERO, is_cut: fault == Some(OfStatement::Cut) }
    }

    fn query_refund(&self, content: &Value) -> Done {
        let book = self.office.book();
        let trade = made(&book, content)?;
        let number = content["out_request_no"].as_str().unwrap_or(&trade.attempt);
        // Of what it does not know it says nothing, successfully.
        let Some((trade, refund)) = book.find_refund(number).filter(|(of, _)| of.attempt == trade.attempt) else { return done(json!({})) };
        done(json!({
            "trade_no": trade.transaction, "out_trade_no": trade.attempt, "out_request_no": refund.number, "refund_status": "REFUND_SUCCESS",
            "total_amount": yuan(trade.amount), "refund_amount": yuan(refund.amount), "gmt_refund_pay": clock::local(refund.since),
        }))
    }
}

/// Changes a byte of the details in an archive, where their footer begins.
fn damage(archive: &mut [u8]) {
    let footer = archive::gbk("#交易合计");
    if let Some(at) = archive.windows(footer.len()).rposition(|bytes| bytes == footer) {
        archive[at] ^= 1;
    }
}

/// An answer that says that it was done.
fn success(mut node: Value) -> Value {
    node["code"] = json!("10000");
    node["msg"] = json!("Success");
    node
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a call ends with")]
fn done(node: Value) -> Done {
    Ok((success(node), Duration::ZERO))
}

/// The payment that a call is about, where somebody has scanned its code.
fn made<'a>(book: &'a Book, content: &Value) -> Result<&'a Trade, Refusal> {
    let named = content["trade_no"].as_str().map(Named::Transaction).or(content["out_trade_no"].as_str().map(Named::Attempt));
    named.and_then(|named| book.find(named)).filter(|trade| trade.scanned).ok_or(Refusal::Unknown)
}

/// The fen of an amount in yuan, which is a text or a number; none where there are more than two decimals.
fn fen(value: &Value) -> Option<i64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (yuan, fen) = text.split_once('.').unwrap_or((&text, ""));
    let fen = format!("{fen:0<2}");
    let plain = [yuan, &fen].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    (plain && fen.len() == 2).then(|| format!("{yuan}{fen}").parse().ok()).flatten()
}

/// How a payment stands, in the channel's words.
fn status(trade: &Trade) -> &'static str {
    match trade.standing {
        Standing::Open | Standing::Held => "WAIT_BUYER_PAY",
        Standing::Paid if trade.refunded() < trade.amount => "TRADE_SUCCESS",
        Standing::Paid | Standing::Failed | Standing::Closed => "TRADE_CLOSED",
    }
}

fn described(trade: &Trade) -> Value {
    let mut said = json!({
        "trade_no": trade.transaction, "out_trade_no": trade.attempt, "buyer_logon_id": "159****5620", "buyer_user_id": "2088101117955611",
        "trade_status": status(trade), "total_amount": yuan(trade.amount), "receipt_amount": yuan(trade.captured()), "point_amount": "0.00",
    });
    if trade.standing == Standing::Paid {
        said["send_pay_date"] = json!(clock::local(trade.since));
    }
    said
}

const fn sub_code(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "ACQ.TRADE_NOT_EXIST",
        Refusal::NoBill => "isp.bill_not_exist",
        Refusal::Taken => "ACQ.TRADE_HAS_SUCCESS",
        Refusal::Over => "ACQ.TRADE_HAS_CLOSE",
        Refusal::OtherAmount => "ACQ.CONTEXT_INCONSISTENT",
        Refusal::NotPaid => "ACQ.TRADE_STATUS_ERROR",
        Refusal::TooLate => "ACQ.TRADE_HAS_FINISHED",
        Refusal::TooMuch | Refusal::TooMany => "ACQ.REASON_TRADE_REFUND_FEE_ERR",
        Refusal::NoMoney => "ACQ.SELLER_BALANCE_NOT_ENOUGH",
        Refusal::TooSoon | Refusal::Silent => "ACQ.SYSTEM_ERROR",
    }
}

/// Parameters as they are signed; those without a value are not.
fn signed_text(parameters: &BTreeMap<String, String>, without: &[&str]) -> String {
    let signed = parameters.iter().filter(|(name, value)| !without.contains(&name.as_str()) && !value.is_empty());
    signed.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn form(parameters: &BTreeMap<String, String>) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish().into_bytes()
}

impl Site for Alipay {
    fn office(&self) -> &Office {
        &self.office
    }

    fn access(&self) -> Access {
        Access::new(&self.office, MERCHANT, APP, "", &[("merchant", keys::MERCHANT), ("alipay", keys::ALIPAY_PUBLIC)])
    }

    fn schedule(&self) -> &'static [u64] {
        &SCHEDULE
    }

    fn answer(&self, asked: &Asked<'_>) -> Said {
        if let Some(day) = asked.uri.path().strip_prefix("/bill/") {
            return self.download(day);
        }
        // The official libraries put the common parameters into the query.
        let query = asked.uri.query().unwrap_or_default().as_bytes();
        let parameters: BTreeMap<String, String> =
            form_urlencoded::parse(query).into_owned().chain(form_urlencoded::parse(asked.body).into_owned()).collect();
        let get = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        let refused = |code: &str, sub_code: &str| {
            self.said(
                "error_response",
                &json!({ "code": code, "msg": "Invalid Arguments", "sub_code": sub_code, "sub_msg": sub_code }),
                Duration::ZERO,
            )
        };
        if !self.merchant.signed(signed_text(&parameters, &["sign"]).as_bytes(), get("sign")) || get("sign_type") != "RSA2" {
            self.office.counts.not_signed.add(1);
            return refused("40002", "isv.invalid-signature");
        }
        if get("app_id") != APP {
            return refused("40002", "isv.invalid-app-id");
        }
        if clock::read(get("timestamp")).is_none() || get("version") != "1.0" || asked.uri.path() != "/gateway.do" {
            return refused("40002", "isv.invalid-timestamp");
        }
        let Ok(content) = serde_json::from_str::<Value>(get("biz_content")) else { return refused("40001", "isv.missing-parameter") };
        let done = match get("method") {
            "alipay.trade.precreate" => self.open(&content, parameters.get("notify_url"), asked.at),
            "alipay.trade.query" => self.query(&content),
            "alipay.trade.close" => self.close(&content, asked.at),
            "alipay.trade.refund" => self.refund(&content, asked.at),
            "alipay.trade.fastpay.refund.query" => self.query_refund(&content),
            "alipay.data.dataservice.bill.downloadurl.query" => self.bill(&content),
            _ => return refused("40002", "isv.invalid-method"),
        };
        let name = format!("{}_response", get("method").replace('.', "_"));
        match done {
            Ok((node, wait)) => self.said(&name, &node, wait),
            Err(Refusal::Silent) => Said::silence(self.office.settings.hang),
            Err(refusal) => {
                let sub_code = sub_code(refusal);
                let node = json!({ "code": "40004", "msg": "Business Failed", "sub_code": sub_code, "sub_msg": sub_code });
                self.said(&name, &node, Duration::ZERO)
            }
        }
    }

    fn of_payment(&self, trade: &Trade) -> Option<Told> {
        let paid = Trade { refunds: Vec::new(), ..trade.clone() };
        (trade.standing == Standing::Paid).then(|| self.told(&paid, format!("paid-{}", trade.attempt), &json!({})))
    }

    fn of_refund(&self, trade: &Trade, refund: &Refund) -> Option<Told> {
        let more =
            json!({ "refund_fee": yuan(trade.refunded()), "gmt_refund": format!("{}.000", clock::local(refund.since)), "out_biz_no": refund.number });
        Some(self.told(trade, format!("refund-{}", refund.number), &more))
    }

    fn post(&self, told: &Told, at: Moment, is_forged: bool) -> Posted {
        let text = told.text.as_object().into_iter().flatten();
        let mut parameters: BTreeMap<String, String> =
            text.map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))).collect();
        parameters.insert("notify_time".into(), clock::local(at));
        parameters.insert("notify_id".into(), format!("{:034}", keys::number(&["alipay", &told.number])));
        if is_forged {
            parameters.insert("trade_no".into(), "4299999999999999999999999999".into());
        }
        // A parameter without a value is not sent.
        parameters.retain(|_, value| !value.is_empty());
        let signer = if is_forged { &self.merchant } else { &self.own };
        let sign = signer.sign(signed_text(&parameters, &["sign", "sign_type"]).as_bytes());
        parameters.insert("sign".into(), sign);
        let headers = vec![("Content-Type", "application/x-www-form-urlencoded; charset=utf-8".to_owned())];
        Posted { headers, body: form(&parameters) }
    }

    fn takes(&self, status: u16, body: &[u8]) -> bool {
        status == 200 && body == b"success"
    }

    fn statement(&self, day: &str) -> Vec<(String, Vec<u8>)> {
        let files = statements::alipay(self.office.book().trades(), day);
        if files.is_empty() {
            return files;
        }
        vec![(format!("{ACCOUNT}_{}.csv.zip", day.replace('-', "")), archive::zip(&files))]
    }
}

impl Alipay {
    fn told(&self, trade: &Trade, number: String, more: &Value) -> Told {
        let mut text = json!({
            "app_id": APP, "auth_app_id": APP, "charset": "utf-8", "version": "1.0", "sign_type": "RSA2", "notify_type": "trade_status_sync",
            "trade_no": trade.transaction, "out_trade_no": trade.attempt, "seller_id": MERCHANT, "buyer_id": "2088101117955611",
            "trade_status": status(trade), "total_amount": yuan(trade.amount), "receipt_amount": yuan(trade.amount),
            "buyer_pay_amount": yuan(trade.amount), "invoice_amount": yuan(trade.amount), "point_amount": "0.00", "subject": trade.subject,
            "gmt_create": clock::local(trade.opened_at), "gmt_payment": clock::local(trade.since),
            "fund_bill_list": format!("[{{\"amount\":\"{}\",\"fundChannel\":\"ALIPAYACCOUNT\"}}]", yuan(trade.amount)),
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            text[name] = value.clone();
        }
        let url = trade.notify_url.clone().unwrap_or_else(|| self.office.notify_url());
        Told { number, kind: "trade_status_sync", url, text }
    }
}

#[cfg(test)]
mod tests;
