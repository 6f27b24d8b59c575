//! WeChat Pay, APIv3: payments by QR code, the parking product, refunds, trade bills.
//!
//! Requests are signed with SHA-256 and RSA over `method\npath\ntimestamp\nnonce\nbody\n`, answers and notifications over `timestamp\nnonce\nbody\n`; what a
//! notification says is sealed with AES-256-GCM (WeChat Pay's documentation of APIv3, "签名生成", "签名验证", "证书和回调报文解密").
//!
//! A payment of the parking product is known to the parking product alone: its own address is asked how it stands. What the product accepts is said in
//! the answer and not notified; what becomes of it is.
//!
//! Invariants
//! 1. What is not signed by the merchant, or long ago, is refused   (`tests::what_the_merchant_did_not_sign_is_refused`).
//! 2. A notification can be verified and opened by the documentation alone   (`tests::a_notification_is_what_the_documentation_says`).

use super::{
    Access,
    book::{Named, Refund, Refusal, Return, Standing, Trade},
    clock,
    faults::OfStatement,
    keys,
    keys::Pair,
    office::{Asked, Office, Posted, Said, Site, Told},
    statements,
};
use schema::Moment;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The merchant's number.
pub const MERCHANT: &str = "1900000109";
/// The application's number.
pub const APP: &str = "wx2421b1c4370ec43b";
/// The number of the merchant's key.
const MERCHANT_SERIAL: &str = "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C";
/// The number of the channel's key: of its certificate.
const SERIAL: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";
/// The key of AES-256-GCM, which the merchant has chosen.
const API_V3: &str = "a test key of thirty-two letters";
/// How old a request may be.
const FRESH: i64 = 300;
/// When a notification is sent again that was not taken ("支付通知", 通知频率), in seconds after the one before.
const SCHEDULE: [u64; 15] = [15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600];
/// How far apart the refunds of a payment are at least ("申请退款"), in seconds.
const REFUND_GAP: i64 = 60;

/// The channel.
pub struct WeChat {
    office: Office,
    merchant: Pair,
    own: Pair,
    nonces: AtomicU64,
}

impl WeChat {
    /// At an office.
    pub fn new(office: Office) -> Self {
        Self { office, merchant: Pair::read(keys::MERCHANT), own: Pair::read(keys::WECHAT), nonces: AtomicU64::new(1) }
    }

    /// A number that has not been used, as many digits long.
    fn nonce(&self, digits: usize) -> String {
        format!("{:0digits$}", self.nonces.fetch_add(1, Relaxed))
    }

    fn signed(&self, status: u16, body: Vec<u8>) -> Said {
        Said { status, headers: self.sign(clock::now(), &body, false), body, wait: Duration::ZERO, is_cut: false }
    }

    fn sign(&self, at: Moment, body: &[u8], is_forged: bool) -> Vec<(&'static str, String)> {
        let (timestamp, nonce) = (clock::seconds(at).to_string(), self.nonce(32));
        let text = [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"].concat();
        let signature = if is_forged { &self.merchant } else { &self.own }.sign(&text);
        vec![
            ("Content-Type", "application/json".to_owned()),
            ("Request-ID", format!("08{}-0", self.nonce(20))),
            ("Wechatpay-Timestamp", timestamp),
            ("Wechatpay-Nonce", nonce),
            ("Wechatpay-Signature", signature),
            ("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048".to_owned()),
            ("Wechatpay-Serial", SERIAL.to_owned()),
        ]
    }

    fn said(&self, body: &Value) -> Said {
        self.signed(200, body.to_string().into_bytes())
    }

    fn error(&self, status: u16, code: &str, message: &str) -> Said {
        self.signed(status, json!({ "code": code, "message": message }).to_string().into_bytes())
    }

    fn refused(&self, refusal: Refusal) -> Said {
        let (status, code) = match refusal {
            Refusal::Unknown => (404, "RESOURCE_NOT_EXISTS"),
            Refusal::Taken => (400, "ORDER_PAID"),
            Refusal::Over => (400, "ORDER_CLOSED"),
            Refusal::OtherAmount => (403, "OUT_TRADE_NO_USED"),
            Refusal::NotPaid | Refusal::TooMuch | Refusal::TooMany | Refusal::TooLate => (400, "INVALID_REQUEST"),
            Refusal::TooSoon => (429, "FREQUENCY_LIMITED"),
            Refusal::NoMoney => (403, "NOT_ENOUGH"),
            Refusal::NoBill => (400, "NO_STATEMENT_EXIST"),
            Refusal::Silent => return Said::silence(self.office.settings.hang),
        };
        self.error(status, code, &format!("{refusal:?}"))
    }

    /// Why a request is not the merchant's; none where it is.
    fn is_strange(&self, asked: &Asked<'_>) -> Option<&'static str> {
        let authorization = asked.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(("WECHATPAY2-SHA256-RSA2048", parts)) = authorization.split_once(' ') else { return Some("no signature") };
        let parts: BTreeMap<&str, &str> =
            parts.split(',').filter_map(|part| part.split_once('=')).map(|(name, text)| (name, text.trim_matches('"'))).collect();
        let part = |name: &str| parts.get(name).copied().unwrap_or_default();
        if part("mchid") != MERCHANT || part("serial_no") != MERCHANT_SERIAL {
            return Some("another merchant or key");
        }
        let (timestamp, nonce, path) = (part("timestamp"), part("nonce_str"), asked.uri.path_and_query().map_or("/", |path| path.as_str()));
        let text = [asked.method.as_str(), "\n", path, "\n", timestamp, "\n", nonce, "\n"].concat();
        if !self.merchant.signed(&[text.as_bytes(), asked.body, b"\n"].concat(), part("signature")) {
            return Some("another text");
        }
        let age = timestamp.parse::<i64>().map_or(i64::MAX, |at| clock::seconds(asked.at).saturating_sub(at).abs());
        (age >= FRESH).then_some("another time")
    }

    fn open(&self, body: &Value, at: Moment) -> Said {
        match ordered(body, at) {
            Some(trade) => match self.office.book().open(trade) {
                Ok(trade) => self.said(&json!({ "code_url": format!("weixin://wxpay/bizpayurl?pr={}", trade.attempt) })),
                Err(refusal) => self.refused(refusal),
            },
            None => self.error(400, "PARAM_ERROR", "an order has a number, an amount and an address, and is the merchant's"),
        }
    }

    fn query(&self, named: Named<'_>, is_parking: bool) -> Said {
        let found = self.office.book().find(named).filter(|trade| trade.parking.is_some() == is_parking).cloned();
        found.map_or_else(|| self.error(404, "ORDER_NOT_EXIST", "no such order"), |trade| self.said(&transaction(&trade)))
    }

    fn close(&self, attempt: &str, at: Moment) -> Said {
        match self.office.book().close(attempt, at) {
            Ok(_) => self.signed(204, Vec::new()),
            Err(Refusal::Unknown) => self.error(404, "ORDER_NOT_EXIST", "no such order"),
            Err(refusal) => self.refused(refusal),
        }
    }

    fn refund(&self, body: &Value, at: Moment) -> Said {
        let text = |name: &str| body[name].as_str();
        let named = text("transaction_id").map(Named::Transaction).or(text("out_trade_no").map(Named::Attempt));
        let (Some(named), Some(number), Some(amount), Some(total)) =
            (named, text("out_refund_no"), body["amount"]["refund"].as_i64(), body["amount"]["total"].as_i64())
        else {
            return self.error(400, "PARAM_ERROR", "a refund has a number, a payment, and both amounts");
        };
        if number.len() > 64 || body["amount"]["currency"] != "CNY" {
            return self.error(400, "PARAM_ERROR", "a number has at most 64 characters, and money is CNY");
        }
        let known = self.office.book().find(named).map(Trade::captured);
        if known.is_some_and(|captured| captured != 0 && captured != total) {
            return self.error(400, "PARAM_ERROR", "the total is not what was paid");
        }
        let notify_url = text("notify_url").map(str::to_owned);
        let refund = Refund { number: number.to_owned(), amount, standing: Return::Processing, asked_at: at, since: at, notify_url };
        match self.office.refund(named, refund, self.office.hurried(REFUND_GAP)) {
            Ok((trade, refund, is_new, wait)) => {
                if is_new {
                    let (number, end) = (refund.number.clone(), self.office.end_of(&refund.number));
                    self.office.later(self.office.settings.refund_takes, move |site| {
                        let (trade, refund) = site.office().book().returned(&number, clock::now(), end)?;
                        site.of_refund(&trade, &refund)
                    });
                }
                Said { wait, ..self.said(&refund_of(&trade, &refund)) }
            }
            Err(refusal) => self.refused(refusal),
        }
    }

    fn query_refund(&self, number: &str) -> Said {
        let book = self.office.book();
        let found = book.find_refund(number).map(|(trade, refund)| refund_of(trade, refund));
        found.map_or_else(|| self.error(404, "RESOURCE_NOT_EXISTS", "no such refund"), |refund| self.said(&refund))
    }

    /// A car drives in: whether its owner lets its parking be paid.
    fn enter(&self, body: &Value) -> Said {
        let (Some(number), Some(plate)) = (body["out_parking_no"].as_str(), body["plate_number"].as_str()) else {
            return self.error(400, "PARAM_ERROR", "a stay has a number and a plate");
        };
        let settings = &self.office.settings;
        let mut said = body.clone();
        said["id"] = json!(format!("5K8264ILTKCH{:08}", keys::number(&[number]) % 100_000_000));
        said["state"] = json!("NORMAL");
        if settings.faults.is_blocked(settings.seed, plate) {
            let reasons = ["PAUSE", "OVERDUE", "OUT_SERVICE", "EVALUATION_FAILED"];
            said["state"] = json!("BLOCKED");
            said["block_reason"] = json!(reasons[usize::try_from(keys::number(&[plate]) % 4).unwrap_or_default()]);
        }
        self.said(&said)
    }

    /// A car drives out: the fee is accepted now, and deducted later.
    fn deduct(&self, body: &Value, at: Moment) -> Said {
        let ours = body["trade_scene"] == "PARKING" && body["parking_info"]["parking_id"].is_string();
        let Some(trade) = ordered(body, at).filter(|_| ours) else {
            return self.error(400, "PARAM_ERROR", "a deduction is an order with a parking stay");
        };
        let trade = Trade { parking: Some(body["parking_info"].clone()), ..trade };
        let attempt = trade.attempt.clone();
        // The same request again is answered with how it stands.
        if let Some(known) = self.office.book().find(Named::Attempt(&attempt)).filter(|known| known.parking.is_some() && known.amount == trade.amount)
        {
            return self.said(&transaction(known));
        }
        match self.office.book().take(trade, at, Standing::Held) {
            Ok(trade) => {
                let settings = &self.office.settings;
                self.office.settle_later(&attempt, !settings.faults.fails(settings.seed, &attempt));
                self.said(&transaction(&trade))
            }
            Err(refusal) => self.refused(refusal),
        }
    }

    fn bill(&self, asked: &Asked<'_>) -> Said {
        let query: BTreeMap<String, String> = form_urlencoded::parse(asked.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let day = query.get("bill_date").map(String::as_str).unwrap_or_default();
        let Some((_, file)) = self.statement(day).into_iter().next() else {
            return self.refused(Refusal::NoBill);
        };
        let is_packed = query.get("tar_type").is_some_and(|kind| kind == "GZIP");
        if asked.uri.path().ends_with("/file") {
            let is_cut = self.office.statement_fault("download", day) == Some(OfStatement::Cut);
            let body = if is_packed { packed(&file) } else { file };
            let headers = vec![("Content-Type", "application/octet-stream".to_owned())];
            return Said { status: 200, headers, body, wait: Duration::ZERO, is_cut };
        }
        let hash = match self.office.statement_fault("ask", day) {
            Some(OfStatement::Late) => return self.error(400, "STATEMENT_CREATING", "it is being made"),
            Some(OfStatement::Damaged) => keys::sha1(b"another file"),
            Some(OfStatement::Cut) | None => keys::sha1(&file),
        };
        let more = if is_packed { "&tar_type=GZIP" } else { "" };
        let download_url = format!("{}/v3/billdownload/file?bill_date={day}{more}", self.office.base_url);
        self.said(&json!({ "hash_type": "SHA1", "hash_value": hash, "download_url": download_url }))
    }
}

/// An order of a merchant's request; none where it is not as it should be, or another merchant's.
fn ordered(body: &Value, at: Moment) -> Option<Trade> {
    let text = |name: &str| body[name].as_str();
    let number = text("out_trade_no").filter(|number| (6..=32).contains(&number.len()))?;
    let amount = body["amount"]["total"].as_i64().filter(|amount| *amount > 0)?;
    let is_ours = body["appid"] == APP && (body["mchid"].is_null() || body["mchid"] == MERCHANT) && body["amount"]["currency"] == "CNY";
    let expires_at = text("time_expire").map(|text| clock::read(text).ok_or(())).transpose().ok()?;
    let (notify_url, subject) = (text("notify_url")?.to_owned(), text("description")?.to_owned());
    is_ours.then(|| Trade { notify_url: Some(notify_url), subject, expires_at, ..Trade::new("wechat", number, amount, at) })
}

/// A payment in the channel's words.
fn transaction(trade: &Trade) -> Value {
    let is_parking = trade.parking.is_some();
    let state = match trade.standing {
        Standing::Open => "NOTPAY",
        Standing::Held => "ACCEPTED",
        Standing::Paid if trade.refunds.is_empty() => "SUCCESS",
        Standing::Paid => "REFUND",
        Standing::Failed if is_parking => "PAY_FAIL",
        Standing::Failed => "PAYERROR",
        Standing::Closed => "CLOSED",
    };
    let mut said = json!({
        "appid": APP, "mchid": MERCHANT, "out_trade_no": trade.attempt, "trade_state": state, "trade_state_desc": state, "attach": "",
        "amount": { "total": trade.amount, "payer_total": trade.amount, "currency": "CNY", "payer_currency": "CNY" },
        "payer": { "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o" },
    });
    if trade.standing == Standing::Paid {
        said["transaction_id"] = json!(trade.transaction);
        said["success_time"] = json!(clock::rfc3339(trade.since));
        said["bank_type"] = json!("OTHERS");
        said["trade_type"] = json!("NATIVE");
    }
    if let Some(parking) = &trade.parking {
        said["trade_scene"] = json!("PARKING");
        said["description"] = json!(trade.subject);
        said["create_time"] = json!(clock::rfc3339(trade.opened_at));
        said["parking_info"] = parking.clone();
        said["user_repaid"] = json!("N");
    }
    said
}

/// A refund in the words of an answer.
fn refund_of(trade: &Trade, refund: &Refund) -> Value {
    let mut said = json!({
        "refund_id": refund_number(refund), "out_refund_no": refund.number, "transaction_id": trade.transaction, "out_trade_no": trade.attempt,
        "channel": "ORIGINAL", "user_received_account": "支付用户零钱", "create_time": clock::rfc3339(refund.asked_at), "status": state(refund.standing),
        "funds_account": "AVAILABLE", "amount": { "total": trade.amount, "refund": refund.amount, "payer_total": trade.amount, "payer_refund": refund.amount,
        "settlement_total": trade.amount, "settlement_refund": refund.amount, "discount_refund": 0, "currency": "CNY" },
    });
    if refund.standing == Return::Done {
        said["success_time"] = json!(clock::rfc3339(refund.since));
    }
    said
}

const fn state(standing: Return) -> &'static str {
    match standing {
        Return::Processing => "PROCESSING",
        Return::Done => "SUCCESS",
        Return::Abnormal => "ABNORMAL",
    }
}

/// The channel's number of a refund.
pub fn refund_number(refund: &Refund) -> String {
    format!("503{:020}", keys::number(&["wechat", &refund.number]))
}

fn packed(file: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(file).and_then(|()| gzip.finish()).expect("a vector takes all that is written")
}

impl Site for WeChat {
    fn office(&self) -> &Office {
        &self.office
    }

    fn access(&self) -> Access {
        let keys = [("merchant", keys::MERCHANT), ("api_v3", API_V3), ("platform", keys::WECHAT_CERTIFICATE)];
        Access::new(&self.office, MERCHANT, APP, MERCHANT_SERIAL, &keys)
    }

    fn schedule(&self) -> &'static [u64] {
        &SCHEDULE
    }

    fn answer(&self, asked: &Asked<'_>) -> Said {
        if let Some(why) = self.is_strange(asked) {
            self.office.counts.not_signed.add(1);
            return self.error(401, "SIGN_ERROR", why);
        }
        let body: Value = serde_json::from_slice(asked.body).unwrap_or_default();
        let parts: Vec<&str> = asked.uri.path().trim_matches('/').split('/').collect();
        match (asked.method.as_str(), &parts[..]) {
            ("POST", ["v3", "pay", "transactions", "native"]) => self.open(&body, asked.at),
            ("GET", ["v3", "pay", "transactions", "out-trade-no", number]) => self.query(Named::Attempt(number), false),
            ("GET", ["v3", "pay", "transactions", "id", number]) => self.query(Named::Transaction(number), false),
            ("POST", ["v3", "pay", "transactions", "out-trade-no", number, "close"]) if body["mchid"] == MERCHANT => self.close(number, asked.at),
            ("POST", ["v3", "refund", "domestic", "refunds"]) => self.refund(&body, asked.at),
            ("GET", ["v3", "refund", "domestic", "refunds", number]) => self.query_refund(number),
            ("POST", ["v3", "vehicle", "parking", "parkings"]) => self.enter(&body),
            ("POST", ["v3", "vehicle", "transactions", "parking"]) => self.deduct(&body, asked.at),
            ("GET", ["v3", "vehicle", "transactions", "out-trade-no", number]) => self.query(Named::Attempt(number), true),
            ("GET", ["v3", "bill", "tradebill"] | ["v3", "billdownload", "file"]) => self.bill(asked),
            _ => self.error(404, "NOT_FOUND", "no such address"),
        }
    }

    fn of_payment(&self, trade: &Trade) -> Option<Told> {
        let kind = match trade.standing {
            Standing::Paid => "TRANSACTION.SUCCESS",
            Standing::Failed if trade.parking.is_some() => "TRANSACTION.FAIL",
            Standing::Open | Standing::Held | Standing::Failed | Standing::Closed => return None,
        };
        let url = trade.notify_url.clone().unwrap_or_else(|| self.office.notify_url());
        // It is told as it was when it was paid, however much went back since.
        let paid = Trade { refunds: Vec::new(), ..trade.clone() };
        Some(Told { number: format!("{kind}-{}", trade.attempt), kind, url, text: transaction(&paid) })
    }

    fn of_refund(&self, trade: &Trade, refund: &Refund) -> Option<Told> {
        let kind = match refund.standing {
            Return::Processing => return None,
            Return::Done => "REFUND.SUCCESS",
            Return::Abnormal => "REFUND.ABNORMAL",
        };
        let mut text = json!({
            "mchid": MERCHANT, "transaction_id": trade.transaction, "out_trade_no": trade.attempt, "refund_id": refund_number(refund),
            "out_refund_no": refund.number, "refund_status": state(refund.standing), "user_received_account": "支付用户零钱",
            "amount": { "total": trade.amount, "refund": refund.amount, "payer_total": trade.amount, "payer_refund": refund.amount },
        });
        if refund.standing == Return::Done {
            text["success_time"] = json!(clock::rfc3339(refund.since));
        }
        let url = refund.notify_url.clone().unwrap_or_else(|| self.office.notify_url());
        Some(Told { number: format!("{kind}-{}", refund.number), kind, url, text })
    }

    fn post(&self, told: &Told, at: Moment, is_forged: bool) -> Posted {
        let (mut text, nonce) = (told.text.clone(), self.nonce(12));
        if is_forged {
            text["transaction_id"] = json!("4299999999999999999999999999");
        }
        let is_refund = told.kind.starts_with("REFUND.");
        let original = if is_refund { "refund" } else { "transaction" };
        // Who forges it does not know the key of its seal either.
        let key = if is_forged { "somebody else's key of 32 letters" } else { API_V3 };
        let body = json!({
            "id": told_number(told), "create_time": clock::rfc3339(at), "event_type": told.kind, "resource_type": "encrypt-resource", "summary": told.kind,
            "resource": { "original_type": original, "algorithm": "AEAD_AES_256_GCM", "associated_data": original, "nonce": nonce,
            "ciphertext": keys::seal(&key[..32], &nonce, original, text.to_string().as_bytes()) },
        });
        let body = body.to_string().into_bytes();
        Posted { headers: self.sign(at, &body, is_forged), body }
    }

    fn takes(&self, status: u16, _: &[u8]) -> bool {
        matches!(status, 200 | 204)
    }

    fn statement(&self, day: &str) -> Vec<(String, Vec<u8>)> {
        let book = self.office.book();
        let file = statements::wechat(book.trades(), day);
        file.map(|file| (format!("{MERCHANT}All{day}.csv"), file)).into_iter().collect()
    }
}

/// The channel's number of a notification: the same whenever it is sent again.
fn told_number(told: &Told) -> String {
    let number = keys::number(&["wechat", &told.number]);
    format!("{number:016x}-{:04x}-5000-8000-{:012x}", number >> 48, number & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests;
