//! WeChat Pay v3: plain transactions (Native, a QR code), the parking product's deductions, refunds.
//!
//! Signatures are SHA-256 with RSA over `timestamp\nnonce\nbody\n`, by the key that `Wechatpay-Serial` names; what a notification says is sealed
//! with AES-256-GCM beside that (WeChat Pay's documentation of APIv3, "签名验证" and "证书和回调报文解密").
//!
//! A deduction of the parking product has no transaction number until it is settled, so its own number, ours, names its money from the
//! beginning: the channel uses it once.
//!
//! Invariants
//! 1. The published notification is opened, and no changed one is   (`tests::the_published_notification_is_opened_and_no_changed_one`).
//! 2. A signature is refused once it is 300 s old   (`tests::what_is_stale_strange_or_a_probe_is_refused`).
//! 3. The same refund goes out under the same number   (`tests::a_refund_is_asked_for_under_its_own_number`).
//! 4. Genuine money is told whatever its number and currency are   (`tests::money_for_any_number_is_told`).
//! 5. Where a trade bill is, and that there is none, counts only where the channel signed it   (`tests::where_a_statement_is_is_signed`).

mod parking;

use crate::{
    Bill, Call, Channel, Error, Heard, Kind, Notice, Now, Pace, Reply, Request, Response, Settings, attempt_of,
    seal::{PrivateKey, PublicKey, Secret},
    sha1_of,
    statement::Wanted,
    yuan,
};
use http::{HeaderMap, Method, Uri};
use schema::{ChannelEvent, ChannelFact, Id, Moment, Money, RefundCall, channel::Standing, id, time::SECOND};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

const NAME: &str = "wechat";
/// How far the time of a signature may be from ours.
const FRESH: i64 = 300 * SECOND;
/// How signatures begin that the channel makes wrong on purpose.
const PROBE: &str = "WECHATPAY/SIGNTEST/";
/// What it says of a day on which nothing happened ("申请交易账单", 错误码).
const NO_STATEMENT: &str = "NO_STATEMENT_EXIST";

/// The channel.
#[derive(Debug)]
pub struct WeChat {
    merchant: String,
    app: String,
    base_url: String,
    notify_url: String,
    serial: String,
    ours: PrivateKey,
    api_v3: Secret,
    /// The channel's keys by their serial numbers: of certificates their own, of public keys the names of their files (`PUB_KEY_ID_…`).
    theirs: BTreeMap<String, PublicKey>,
}

#[derive(Deserialize)]
struct Notification {
    event_type: String,
    resource: Sealed,
}

#[derive(Deserialize)]
struct Sealed {
    algorithm: String,
    ciphertext: String,
    #[serde(default)]
    associated_data: String,
    nonce: String,
}

#[derive(Deserialize)]
struct Amount {
    total: i64,
    #[serde(default = "cny")]
    currency: String,
}

fn cny() -> String {
    "CNY".to_owned()
}

#[derive(Deserialize)]
struct Transaction {
    #[serde(alias = "sp_mchid")]
    mchid: Option<String>,
    out_trade_no: String,
    transaction_id: Option<Arc<str>>,
    trade_state: String,
    #[serde(default)]
    trade_scene: Option<String>,
    success_time: Option<String>,
    amount: Option<Amount>,
}

#[derive(Deserialize)]
struct Refund {
    mchid: Option<String>,
    out_trade_no: Id,
    out_refund_no: Id,
    /// In a notification.
    refund_status: Option<String>,
    /// In an answer.
    status: Option<String>,
    success_time: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    code: String,
}

/// Where a trade bill is ("申请交易账单").
#[derive(Deserialize)]
struct TradeBill {
    hash_type: String,
    hash_value: String,
    download_url: String,
}

impl WeChat {
    /// From its settings; keys: `merchant` (our private key), `api_v3`, and the channel's, each by its serial number.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let mut theirs = BTreeMap::new();
        for (name, text) in settings.keys.iter().filter(|(name, _)| !["merchant", "api_v3"].contains(&name.as_str())) {
            let (serial, key) = match PublicKey::of_certificate(text) {
                Ok(certified) if text.contains("CERTIFICATE") => certified,
                _ => (name.clone(), PublicKey::read(text)?),
            };
            theirs.insert(serial, key);
        }
        Ok(Self {
            merchant: settings.merchant.clone(),
            app: settings.app.clone(),
            base_url: settings.base_url.clone(),
            notify_url: settings.notify_url.clone(),
            serial: settings.serial.clone(),
            ours: PrivateKey::read(settings.key("merchant")?)?,
            api_v3: Secret::read(settings.key("api_v3")?)?,
            theirs,
        })
    }

    /// Whether the channel signed it, lately.
    fn verify(&self, headers: &HeaderMap, body: &[u8], now: Moment) -> Result<(), Error> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let [timestamp, nonce, signature, serial] = ["Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial"].map(header);
        if signature.starts_with(PROBE) {
            return Err(Error::new(Kind::Probe, "checking WeChat's signature"));
        }
        let not_genuine = |what: &str| Error::new(Kind::NotGenuine, format!("checking WeChat's signature: {what}"));
        let key = self.theirs.get(serial).ok_or_else(|| not_genuine("the key is not known"))?;
        let signed = [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"].concat();
        if !key.verifies(&signed, signature) {
            return Err(not_genuine("it is of another text"));
        }
        let at = timestamp.parse::<i64>().map_err(|error| Error::because(Kind::Malformed, "reading WeChat's timestamp", error))?;
        if Moment(at.saturating_mul(SECOND)).since(now).abs() >= FRESH {
            return Err(Error::new(Kind::Stale, "checking WeChat's timestamp"));
        }
        Ok(())
    }

    fn is_ours(&self, merchant: Option<&str>) -> Result<(), Error> {
        match merchant {
            Some(merchant) if merchant != self.merchant => Err(Error::new(Kind::Stranger, "reading what WeChat says")),
            _ => Ok(()),
        }
    }

    /// A genuine notification's text.
    fn open(&self, notice: &Notice<'_>) -> Result<(Notification, Vec<u8>), Error> {
        self.verify(notice.headers, notice.body, notice.received_at)?;
        let notification: Notification = parse(notice.body)?;
        let Sealed { algorithm, ciphertext, associated_data, nonce } = &notification.resource;
        if algorithm != "AEAD_AES_256_GCM" {
            return Err(Error::new(Kind::Malformed, format!("WeChat's algorithm {algorithm} is not known")));
        }
        let text = self.api_v3.open(ciphertext, nonce, associated_data)?;
        Ok((notification, text))
    }

    fn transaction(&self, transaction: &Transaction, received_at: Moment) -> Result<Vec<ChannelEvent>, Error> {
        self.is_ours(transaction.mchid.as_deref())?;
        let Transaction { out_trade_no, transaction_id, trade_state, trade_scene, success_time, amount, .. } = transaction;
        let attempt = attempt_of(NAME, out_trade_no);
        let money = |amount: &Amount| yuan::currency(&amount.currency).map(|currency| Money::new(amount.total, currency));
        let amount = amount.as_ref().map(money).transpose()?;
        let parking = trade_scene.as_deref() == Some("PARKING");
        let number: Option<Arc<str>> = if parking { Some(out_trade_no.as_str().into()) } else { transaction_id.clone() };
        let number = number.filter(|number| !number.is_empty());
        let happened_at = success_time.as_deref().map_or(Ok(received_at), yuan::rfc3339)?;
        let told = |fact| Ok(vec![ChannelEvent { channel: NAME.into(), happened_at, fact }]);
        let missing = || Error::new(Kind::Malformed, format!("WeChat says {trade_state} of {out_trade_no} without its amount or number"));
        let whole = || number.clone().zip(amount).ok_or_else(missing);
        match trade_state.as_str() {
            // A transaction of which something was given back was paid.
            "SUCCESS" | "REFUND" => {
                let (transaction, amount) = whole()?;
                told(ChannelFact::Succeeded { attempt, transaction, amount })
            }
            "ACCEPT" | "ACCEPTED" => {
                let (transaction, amount) = whole()?;
                told(ChannelFact::Accepted { attempt, transaction, amount })
            }
            "FAIL" | "PAY_FAIL" | "PAYERROR" | "REVOKED" if parking => {
                let (transaction, amount) = whole()?;
                told(ChannelFact::Failed { attempt, transaction, amount })
            }
            _ => Ok(Vec::new()),
        }
    }

    fn refund(&self, refund: &Refund, tries: u32, received_at: Moment) -> Result<Vec<ChannelEvent>, Error> {
        self.is_ours(refund.mchid.as_deref())?;
        let order = id::order_of(refund.out_trade_no.as_str());
        let order = order.ok_or_else(|| Error::new(Kind::Malformed, "WeChat tells of a refund of an order that is none of ours"))?;
        let happened_at = refund.success_time.as_deref().map_or(Ok(received_at), yuan::rfc3339)?;
        let (succeeded, standing) = match refund.refund_status.as_deref().or(refund.status.as_deref()) {
            Some("SUCCESS") => (true, None),
            Some("PROCESSING") => (false, Some(Standing::Accepted)),
            Some("ABNORMAL") => (false, Some(Standing::Abnormal)),
            // Closed: the channel gave it up, and nothing went back.
            Some("CLOSED") => (false, None),
            other => return Err(Error::new(Kind::Malformed, format!("WeChat's refund status {other:?} is not known"))),
        };
        let fact = ChannelFact::RefundAnswered { refund: refund.out_refund_no, order, succeeded, tries, standing };
        Ok(vec![ChannelEvent { channel: NAME.into(), happened_at, fact }])
    }

    fn signed(&self, method: Method, path: &str, body: String, now: Now<'_>) -> Result<Request, Error> {
        self.signed_at(format!("{}{path}", self.base_url), method, path, body, now)
    }

    /// A request to an address whose path and query, which are what is signed of it, are `path`.
    fn signed_at(&self, url: String, method: Method, path: &str, body: String, now: Now<'_>) -> Result<Request, Error> {
        let timestamp = now.moment.0.div_euclid(SECOND);
        let nonce = now.nonce;
        let signature = self.ours.sign(format!("{method}\n{path}\n{timestamp}\n{nonce}\n{body}\n").as_bytes())?;
        let Self { merchant, serial, .. } = self;
        let authorization = format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{merchant}\",nonce_str=\"{nonce}\",signature=\"{signature}\",timestamp=\"{timestamp}\",serial_no=\"{serial}\""
        );
        let mut headers = vec![("Accept", "application/json".to_owned()), ("Authorization", authorization)];
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        Ok(Request { method, url, headers, body: body.into_bytes() })
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::because(Kind::Malformed, "reading what WeChat says", error))
}

impl Channel for WeChat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn notified(&self, notice: &Notice<'_>) -> Result<Vec<ChannelEvent>, Error> {
        let (notification, text) = self.open(notice)?;
        match notification.event_type.as_str() {
            event if event.starts_with("TRANSACTION.") => self.transaction(&parse(&text)?, notice.received_at),
            event if event.starts_with("REFUND.") => self.refund(&parse(&text)?, 0, notice.received_at),
            _ => Ok(Vec::new()),
        }
    }

    fn reply(&self, outcome: Result<(), &Error>) -> Reply {
        let content_type = "application/json";
        match outcome {
            Ok(()) => Reply { status: 204, content_type, body: "" },
            Err(error) if matches!(error.kind, Kind::NotGenuine | Kind::Probe | Kind::Stale) => {
                Reply { status: 401, content_type, body: r#"{"code":"FAIL","message":"signature refused"}"# }
            }
            Err(error) if matches!(error.kind, Kind::Settings | Kind::NotStored) => {
                Reply { status: 500, content_type, body: r#"{"code":"FAIL","message":"try again"}"# }
            }
            Err(_) => Reply { status: 400, content_type, body: r#"{"code":"FAIL","message":"not understood"}"# },
        }
    }

    /// As published: 150 refunds a second, 6 failing ones, a part of a transaction a minute. Of parts there are 50 at most; the channel refuses the next.
    fn pace(&self) -> Pace {
        Pace { attempts_per_s: 300, refunds_per_s: 150, refused_per_s: 6, parts_apart_s: 60 }
    }

    fn request(&self, call: &Call, now: Now<'_>) -> Result<Option<Request>, Error> {
        let Self { merchant, app, notify_url, .. } = self;
        let request = match call {
            Call::Open { attempt, amount, subject, expires_at } => {
                let body = json!({
                    "appid": app, "mchid": merchant, "description": subject, "out_trade_no": attempt, "notify_url": format!("{notify_url}/{NAME}"),
                    "time_expire": yuan::to_rfc3339(*expires_at), "amount": { "total": amount.minor, "currency": format!("{:?}", amount.currency).to_uppercase() },
                });
                self.signed(Method::POST, "/v3/pay/transactions/native", body.to_string(), now)
            }
            // What is paid by a code is captured at once.
            Call::Settle { .. } => return Ok(None),
            Call::Close { attempt } => {
                let path = format!("/v3/pay/transactions/out-trade-no/{attempt}/close");
                self.signed(Method::POST, &path, json!({ "mchid": merchant }).to_string(), now)
            }
            Call::Query { attempt } => {
                let path = format!("/v3/pay/transactions/out-trade-no/{attempt}?mchid={merchant}");
                self.signed(Method::GET, &path, String::new(), now)
            }
            Call::Enter { parked, free_s } => self.signed(Method::POST, parking::ENTER, parking::enter(self, parked, *free_s).to_string(), now),
            Call::Deduct { attempt, amount, subject, parking, parked, left_at } => {
                let body = parking::deduct(self, (*attempt, *amount), subject, parking, (parked, *left_at));
                self.signed(Method::POST, parking::DEDUCT, body.to_string(), now)
            }
            Call::Deduction { attempt } => self.signed(Method::GET, &format!("/v3/vehicle/transactions/out-trade-no/{attempt}"), String::new(), now),
            Call::Refund(RefundCall { refund, asks: true, .. }) => {
                self.signed(Method::GET, &format!("/v3/refund/domestic/refunds/{refund}"), String::new(), now)
            }
            Call::Refund(RefundCall { refund, transaction, amount, captured, .. }) => {
                let currency = format!("{:?}", amount.currency).to_uppercase();
                let total = captured.unwrap_or(*amount).minor;
                let mut body = json!({
                    "out_refund_no": refund, "notify_url": format!("{notify_url}/{NAME}"),
                    "amount": { "refund": amount.minor, "total": total, "currency": currency },
                });
                let number = if id::order_of(transaction).is_some() { "out_trade_no" } else { "transaction_id" };
                body[number] = json!(transaction);
                self.signed(Method::POST, "/v3/refund/domestic/refunds", body.to_string(), now)
            }
        };
        request.map(Some)
    }

    fn answered(&self, call: &Call, response: &Response<'_>) -> Result<Heard, Error> {
        let refund_stands = |standing, succeeded| {
            let Call::Refund(RefundCall { refund, order, tries, .. }) = call else { return Heard::Later };
            let fact = ChannelFact::RefundAnswered { refund: *refund, order: *order, succeeded, tries: *tries, standing };
            Heard::Facts(vec![ChannelEvent { channel: NAME.into(), happened_at: response.received_at, fact }])
        };
        match response.status {
            200..=299 => self.verify(response.headers, response.body, response.received_at)?,
            404 => {
                return Ok(match call {
                    Call::Refund(_) => refund_stands(Some(Standing::NotFound), false),
                    // A number that the channel does not know can be paid by nobody.
                    Call::Close { .. } | Call::Query { .. } | Call::Deduction { .. } => Heard::Closed,
                    Call::Open { .. } | Call::Settle { .. } | Call::Enter { .. } | Call::Deduct { .. } => Heard::Refused,
                });
            }
            400 | 403 | 429 => {
                let code = parse::<Refused>(response.body).map(|refused| refused.code).unwrap_or_default();
                return Ok(match (call, code.as_str()) {
                    // A number that was closed cannot be opened again.
                    (Call::Open { .. } | Call::Close { .. } | Call::Query { .. }, "ORDER_CLOSED" | "ORDERCLOSED") => Heard::Closed,
                    (Call::Refund(_), "USER_ACCOUNT_ABNORMAL" | "INVALID_REQUEST") => refund_stands(Some(Standing::Abnormal), false),
                    // What is busy or out of our money for now may be asked for again under the same number.
                    (Call::Refund(call), _) if !call.asks => refund_stands(None, false),
                    // To a question that says nothing.
                    (Call::Refund(_) | Call::Query { .. } | Call::Deduction { .. }, _) => Heard::Later,
                    // What is paid already (ORDERPAID) cannot be closed: it is asked about then.
                    _ => Heard::Refused,
                });
            }
            _ => return Ok(Heard::Later),
        }
        match call {
            Call::Open { .. } => {
                #[derive(Deserialize)]
                struct Opened {
                    code_url: String,
                }
                Ok(Heard::Opened(Some(parse::<Opened>(response.body)?.code_url)))
            }
            Call::Settle { .. } => Ok(Heard::Settled),
            Call::Close { .. } => Ok(Heard::Closed),
            Call::Enter { .. } => parking::entered(response.body),
            Call::Query { .. } | Call::Deduct { .. } | Call::Deduction { .. } => {
                let transaction: Transaction = parse(response.body)?;
                let facts = self.transaction(&transaction, response.received_at)?;
                Ok(match transaction.trade_state.as_str() {
                    "CLOSED" | "REVOKED" => Heard::Closed,
                    _ if facts.is_empty() => Heard::Unpaid,
                    _ => Heard::Facts(facts),
                })
            }
            Call::Refund(call) => Ok(Heard::Facts(self.refund(&parse(response.body)?, call.tries, response.received_at)?)),
        }
    }

    /// The trade bill with all that happened, packed.
    fn statement_request(&self, wanted: &Wanted, now: Now<'_>) -> Result<Option<Request>, Error> {
        let path = format!("/v3/bill/tradebill?bill_date={}&bill_type=ALL&tar_type=GZIP", wanted.day);
        self.signed(Method::GET, &path, String::new(), now).map(Some)
    }

    fn statement_answered(&self, _: &Wanted, response: &Response<'_>) -> Result<Bill, Error> {
        // It signs whatever it answers to a request that is genuine; of all else nothing is believed but that there is no bill yet.
        if ![200, 400, 404].contains(&response.status) {
            return Ok(Bill::not_yet(&format!("status {}", response.status)));
        }
        self.verify(response.headers, response.body, response.received_at)?;
        if response.status != 200 {
            let Refused { code } = parse(response.body)?;
            return Ok(if code == NO_STATEMENT { Bill::Nothing } else { Bill::not_yet(&code) });
        }
        let TradeBill { hash_type, hash_value, download_url } = parse(response.body)?;
        if hash_type != "SHA1" {
            return Err(Error::new(Kind::Malformed, "reading the hash of WeChat's bill, which is no SHA1"));
        }
        Ok(Bill::There { url: download_url, sha1: Some(sha1_of(&hash_value)?) })
    }

    /// Signed like every request; the answer is not ("下载账单").
    fn download_request(&self, url: &str, now: Now<'_>) -> Result<Request, Error> {
        let uri: Uri = url.parse().map_err(|error| Error::because(Kind::Malformed, "reading where WeChat's bill is", error))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        self.signed_at(url.to_owned(), Method::GET, path, String::new(), now)
    }
}

#[cfg(test)]
mod tests;
