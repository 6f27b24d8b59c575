//! UnionPay, protocol 5.1.0: payments by QR code, refunds.
//!
//! Requests, answers and notifications are forms. Signed is the SHA-256, in hexadecimal, of all parameters but `signature`, sorted by name and written as
//! `k=v` with `&` between; the signature is SHA-256 with RSA of that text (UnionPay's open platform, "签名机制", `signMethod` 01).
//!
//! The protocol asks how a payment stands by its number and the time of its request, which an attempt's number does not tell: there is no such call here.
//!
//! Invariants
//! 1. What is not signed says nothing   (`tests::what_is_changed_is_refused`).
//! 2. The same refund goes out under the same number   (`tests::a_refund_has_its_own_number_and_names_its_order`).
//! 3. Genuine money is told whatever its number and currency are   (`tests::money_for_any_number_is_told`).

use crate::{
    Call, Channel, Error, Heard, Kind, Notice, Now, Reply, Request, Response, Settings, attempt_of,
    seal::{PrivateKey, PublicKey, sha256_hex},
    yuan,
};
use http::Method;
use schema::{ChannelEvent, ChannelFact, Moment, Money, RefundCall, channel::Standing};
use std::collections::BTreeMap;

const NAME: &str = "unionpay";
/// The currency where a form names none (UnionPay's open platform, `currencyCode`: 156 unless it says otherwise).
const CURRENCY: &str = "156";

/// The channel.
#[derive(Debug)]
pub struct UnionPay {
    merchant: String,
    base_url: String,
    notify_url: String,
    serial: String,
    ours: PrivateKey,
    theirs: PublicKey,
}

/// An amount as requests have it.
fn priced(amount: Money) -> [(&'static str, String); 2] {
    [("txnAmt", amount.minor.to_string()), ("currencyCode", yuan::number(amount.currency).to_owned())]
}

fn signed_text(parameters: &BTreeMap<String, String>) -> String {
    let signed = parameters.iter().filter(|(name, _)| *name != "signature").map(|(name, value)| format!("{name}={value}"));
    sha256_hex(signed.collect::<Vec<_>>().join("&").as_bytes())
}

impl UnionPay {
    /// From its settings; keys: `merchant` (our private key) and `unionpay` (the channel's certificate).
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            merchant: settings.merchant.clone(),
            base_url: settings.base_url.clone(),
            notify_url: settings.notify_url.clone(),
            serial: settings.serial.clone(),
            ours: PrivateKey::read(settings.key("merchant")?)?,
            theirs: PublicKey::read(settings.key("unionpay")?)?,
        })
    }

    fn verified(&self, body: &[u8]) -> Result<BTreeMap<String, String>, Error> {
        let parameters: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let signature = parameters.get("signature").map(String::as_str).unwrap_or_default();
        if !self.theirs.verifies(signed_text(&parameters).as_bytes(), signature) {
            return Err(Error::new(Kind::NotGenuine, "checking UnionPay's signature"));
        }
        if parameters.get("merId").is_none_or(|merchant| *merchant != self.merchant) {
            return Err(Error::new(Kind::Stranger, "reading what UnionPay says"));
        }
        Ok(parameters)
    }

    fn call(&self, path: &str, more: Vec<(&str, String)>, now: Now<'_>) -> Result<Request, Error> {
        let always = [
            ("version", "5.1.0"),
            ("encoding", "UTF-8"),
            ("signMethod", "01"),
            ("certId", &self.serial),
            ("bizType", "000000"),
            ("accessType", "0"),
            ("channelType", "07"),
            ("merId", &self.merchant),
            ("currencyCode", CURRENCY),
        ];
        let always = always.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut parameters: BTreeMap<String, String> = always.into();
        parameters.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        parameters.insert("txnTime".to_owned(), yuan::in_beijing(now.moment, "%Y%m%d%H%M%S"));
        parameters.insert("backUrl".to_owned(), format!("{}/{NAME}", self.notify_url));
        let signature = self.ours.sign(signed_text(&parameters).as_bytes())?;
        parameters.insert("signature".to_owned(), signature);
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
        let headers = vec![("Content-Type", "application/x-www-form-urlencoded;charset=utf-8".to_owned())];
        Ok(Request { method: Method::POST, url: format!("{}{path}", self.base_url), headers, body: body.into_bytes() })
    }

    /// What a genuine form says of a payment or a refund.
    fn facts(parameters: &BTreeMap<String, String>, tries: u32, happened_at: Moment) -> Result<Vec<ChannelEvent>, Error> {
        let get = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        let malformed = |what: &str| Error::new(Kind::Malformed, format!("UnionPay's {what} is not what it should be"));
        let succeeded = ["00", "A6"].contains(&get("respCode"));
        let told = |fact| Ok(vec![ChannelEvent { channel: NAME.into(), happened_at, fact }]);
        match get("txnType") {
            "01" if succeeded => {
                let currency = yuan::currency(parameters.get("currencyCode").map_or(CURRENCY, String::as_str))?;
                let amount = Money::new(get("txnAmt").parse().map_err(|_| malformed("txnAmt"))?, currency);
                let transaction = Some(get("queryId")).filter(|number| !number.is_empty()).ok_or_else(|| malformed("queryId"))?.into();
                told(ChannelFact::Succeeded { attempt: attempt_of(NAME, get("orderId")), transaction, amount })
            }
            "04" => {
                let refund = get("orderId").parse().map_err(|_| malformed("orderId"))?;
                let order = get("reqReserved").parse().map_err(|_| malformed("reqReserved"))?;
                told(ChannelFact::RefundAnswered { refund, order, succeeded, tries, standing: None })
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Channel for UnionPay {
    fn name(&self) -> &'static str {
        NAME
    }

    fn notified(&self, notice: &Notice<'_>) -> Result<Vec<ChannelEvent>, Error> {
        Self::facts(&self.verified(notice.body)?, 0, notice.received_at)
    }

    fn reply(&self, outcome: Result<(), &Error>) -> Reply {
        let content_type = "text/plain";
        match outcome {
            Ok(()) => Reply { status: 200, content_type, body: "ok" },
            Err(_) => Reply { status: 400, content_type, body: "refused" },
        }
    }

    fn request(&self, call: &Call, now: Now<'_>) -> Result<Option<Request>, Error> {
        match call {
            Call::Open { attempt, amount, expires_at, .. } => {
                let until = yuan::in_beijing(*expires_at, "%Y%m%d%H%M%S");
                let more = vec![("txnType", "01".into()), ("txnSubType", "07".into()), ("orderId", attempt.to_string()), ("payTimeout", until)];
                let more = more.into_iter().chain(priced(*amount)).collect();
                self.call("/gateway/api/backTransReq.do", more, now).map(Some)
            }
            Call::Refund(RefundCall { asks: false, refund, order, transaction, amount, .. }) => {
                let more = vec![("txnType", "04".into()), ("txnSubType", "00".into()), ("orderId", refund.to_string())];
                let more = more.into_iter().chain([("origQryId", transaction.to_string()), ("reqReserved", order.to_string())]);
                self.call("/gateway/api/backTransReq.do", more.chain(priced(*amount)).collect(), now).map(Some)
            }
            Call::Refund(_)
            | Call::Settle { .. }
            | Call::Close { .. }
            | Call::Query { .. }
            | Call::Enter { .. }
            | Call::Deduct { .. }
            | Call::Deduction { .. } => Ok(None),
        }
    }

    fn answered(&self, call: &Call, response: &Response<'_>) -> Result<Heard, Error> {
        if response.status != 200 {
            return Ok(Heard::Later);
        }
        let parameters = self.verified(response.body)?;
        let code = parameters.get("respCode").map(String::as_str).unwrap_or_default();
        let done = code == "00";
        // Taken on and not ended, or nobody knows yet (UnionPay's table of answer codes).
        let is_open = ["03", "04", "05"].contains(&code);
        Ok(match call {
            _ if is_open && !matches!(call, Call::Refund(_)) => Heard::Later,
            Call::Open { .. } => match parameters.get("qrCode").filter(|_| done) {
                Some(code) => Heard::Opened(Some(code.clone())),
                None => Heard::Refused,
            },
            // What it says to a refund is that it has taken it on, now or when the same number came before (12); a notification tells the rest.
            Call::Refund(RefundCall { refund, order, tries, .. }) => {
                let standing = if is_open { Some(Standing::Unknown) } else { (done || code == "12").then_some(Standing::Accepted) };
                let fact = ChannelFact::RefundAnswered { refund: *refund, order: *order, succeeded: false, tries: *tries, standing };
                Heard::Facts(vec![ChannelEvent { channel: NAME.into(), happened_at: response.received_at, fact }])
            }
            // There are no such calls; they are not made.
            _ => Heard::Later,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::tests::{KEY, PUBLIC};
    use http::HeaderMap;
    use schema::Currency;

    fn unionpay() -> UnionPay {
        let keys = [("merchant", KEY), ("unionpay", PUBLIC)].map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        UnionPay::new(&Settings { merchant: "777".into(), keys, ..Settings::default() }).expect("sound")
    }

    /// A form that the channel signed, by the test's own key.
    fn form(parameters: &[(&str, &str)]) -> String {
        let mut parameters: BTreeMap<String, String> = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let signature = PrivateKey::read(KEY).expect("a key").sign(signed_text(&parameters).as_bytes()).expect("it signs");
        parameters.insert("signature".into(), signature);
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish()
    }

    const PAID: [(&str, &str); 6] = [
        ("merId", "777"),
        ("orderId", "O4426112307VZx3MdpKtIUVlfy701"),
        ("queryId", "2026"),
        ("respCode", "00"),
        ("txnAmt", "500"),
        ("txnType", "01"),
    ];

    #[test]
    fn what_is_changed_is_refused() {
        let said = |body: &str| {
            let headers = HeaderMap::new();
            unionpay().notified(&Notice { headers: &headers, body: body.as_bytes(), received_at: Moment(0) }).map_err(|error| error.kind)
        };
        let genuine = form(&PAID);
        assert!(matches!(
            said(&genuine).as_deref(),
            Ok([ChannelEvent { fact: ChannelFact::Succeeded { amount: Money { minor: 500, .. }, .. }, .. }])
        ));
        for changed in [genuine.replace("txnAmt=500", "txnAmt=5"), genuine.replace("respCode=00", "respCode=01"), form(&PAID[..0]), String::new()] {
            assert!(matches!(said(&changed), Err(Kind::NotGenuine | Kind::Stranger)), "{changed}");
        }
        let other = form(&PAID).replace("merId=777", "merId=778");
        assert_eq!(said(&other), Err(Kind::NotGenuine));
        assert_eq!(said(&form(&[("merId", "778"), ("respCode", "00")])), Err(Kind::Stranger));
    }

    #[test]
    fn money_for_any_number_is_told() {
        for (name, value, expected) in [
            ("currencyCode", "156", Ok((500, Currency::Cny, true))),
            ("currencyCode", "840", Ok((500, Currency::Usd, true))),
            ("currencyCode", "999", Err(Kind::Malformed)),
            ("orderId", "elsewhere1", Ok((500, Currency::Cny, false))),
            ("orderId", "a number of more than 32 characters", Ok((500, Currency::Cny, false))),
            ("queryId", "", Err(Kind::Malformed)),
        ] {
            let changed: Vec<_> = PAID.into_iter().filter(|(known, _)| *known != name).chain([(name, value)]).collect();
            let (headers, body) = (HeaderMap::new(), form(&changed));
            let told = unionpay().notified(&Notice { headers: &headers, body: body.as_bytes(), received_at: Moment(0) });
            let told = told.map_err(|error| error.kind).map(|events| match &events[..] {
                [event @ ChannelEvent { fact: ChannelFact::Succeeded { amount, .. }, .. }] => {
                    (amount.minor, amount.currency, event.order().is_some())
                }
                other => panic!("{other:?}"),
            });
            assert_eq!(told, expected, "{name} {value}");
        }
    }

    #[test]
    fn a_refund_has_its_own_number_and_names_its_order() {
        let [refund, order] = ["R4426112307VZx3MdpKtIUVlfy7", "O4426112307VZx3MdpKtIUVlfy7"].map(|id| id.parse().expect("an id"));
        let amount = Money::new(500, Currency::Cny);
        let call = RefundCall { refund, order, channel: NAME.into(), transaction: "2026".into(), amount, tries: 2, captured: None, asks: false };
        let now = Now { moment: Moment(0), nonce: "n" };
        let request = unionpay().request(&Call::Refund(call), now).expect("it can be signed").expect("it can refund");
        let parameters: BTreeMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        assert!(unionpay().theirs.verifies(signed_text(&parameters).as_bytes(), &parameters["signature"]));
        assert_eq!((parameters["orderId"].as_str(), parameters["origQryId"].as_str()), (refund.as_str(), "2026"));
        let told = form(&[("merId", "777"), ("orderId", refund.as_str()), ("reqReserved", order.as_str()), ("respCode", "00"), ("txnType", "04")]);
        let headers = HeaderMap::new();
        let told = unionpay().notified(&Notice { headers: &headers, body: told.as_bytes(), received_at: Moment(0) }).expect("it is genuine");
        assert!(matches!(told[..], [ChannelEvent { fact: ChannelFact::RefundAnswered { succeeded: true, order: of, .. }, .. }] if of == order));
    }
}
