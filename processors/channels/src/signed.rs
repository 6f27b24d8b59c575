//! The protocol of channels that have none of their own: JSON with a stamp.
//!
//! `X-Timestamp` (seconds since 1970), `X-Nonce` and `X-Stamp`, the HMAC-SHA-256 of `timestamp\nnonce\nbody\n` in base64 with the secret that both sides
//! have. A notification is a [`ChannelEvent`] in JSON; a call (`open`, `settle`, `close`, `query`, `refund`) is its own JSON, and its answer a list of facts,
//! stamped like a notification. Status 404 says that the number is not known, 409 that the channel will not do it; both are stamped, too.
//!
//! `statement` asks where the file of a `day` is (`schema/etc-clearing.md`). Its answer is stamped and names the day again, with `state`: `there`, with `url` and `sha1`,
//! `not_yet` or `nothing`. The file is downloaded by a GET that is stamped like a call without a body.
//!
//! Invariants
//! 1. What is not stamped, or stamped long ago, says nothing   (`tests::what_is_not_stamped_lately_says_nothing`).
//! 2. What a channel refuses is told apart from what nobody knows   (`tests::each_answer_is_its_own_outcome`).
//! 3. A channel speaks for itself alone, and says only what it knows   (`tests::a_channel_says_what_is_its_own_alone`).
//! 4. Where a statement is, and that there is none, counts only where it is stamped and about that day   (`tests::where_a_statement_is_is_signed`).

use crate::{Bill, Call, Error, Heard, Kind, Notice, Now, Reply, Request, Response, Settings, seal::Secret, sha1_of, statement::Wanted};
use http::{HeaderMap, Method};
use schema::{ChannelEvent, ChannelFact, Moment, RefundCall, channel::Standing, time::SECOND};
use serde::Deserialize;
use serde_json::{Value, json};

/// How far the time of a stamp may be from ours.
const FRESH: i64 = 300 * SECOND;

/// One such channel.
#[derive(Debug)]
pub struct Signed {
    name: &'static str,
    base_url: String,
    secret: Secret,
}

/// Where the file of a day is.
#[derive(Deserialize)]
struct Told {
    day: String,
    #[serde(flatten)]
    state: State,
}

#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    There { url: String, sha1: String },
    NotYet,
    Nothing,
}

/// What such a channel may say: which money it took, by its own number, and how a refund stands. What became of our calls we say ourselves, and
/// what an older system was paid is brought in by an operator.
fn may_say(fact: &ChannelFact) -> bool {
    match fact {
        ChannelFact::Succeeded { transaction, .. } | ChannelFact::Accepted { transaction, .. } | ChannelFact::Failed { transaction, .. } => {
            !transaction.is_empty()
        }
        ChannelFact::RefundAnswered { .. } => true,
        ChannelFact::Imported { .. } | ChannelFact::CallAnswered { .. } | ChannelFact::Parked { .. } => false,
    }
}

impl Signed {
    /// From its settings; keys: `secret`.
    pub fn new(name: &'static str, settings: &Settings) -> Result<Self, Error> {
        Ok(Self { name, base_url: settings.base_url.clone(), secret: Secret::read(settings.key("secret")?)? })
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8], now: Moment) -> Result<(), Error> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let [timestamp, nonce, stamp] = ["X-Timestamp", "X-Nonce", "X-Stamp"].map(header);
        let text = [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"].concat();
        if !self.secret.stamped(&text, stamp) {
            return Err(Error::new(Kind::NotGenuine, format!("checking the stamp of {}", self.name)));
        }
        let at = timestamp.parse::<i64>().map_err(|error| Error::because(Kind::Malformed, "reading a timestamp", error))?;
        if Moment(at.saturating_mul(SECOND)).since(now).abs() >= FRESH {
            return Err(Error::new(Kind::Stale, format!("checking the time of {}", self.name)));
        }
        Ok(())
    }

    fn read<T: serde::de::DeserializeOwned>(&self, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|error| Error::because(Kind::Malformed, format!("reading what {} says", self.name), error))
    }

    fn is_its_own(&self, events: Vec<ChannelEvent>) -> Result<Vec<ChannelEvent>, Error> {
        if events.iter().any(|event| &*event.channel != self.name) {
            return Err(Error::new(Kind::Stranger, format!("{} speaks for another channel", self.name)));
        }
        match events.iter().find(|event| !may_say(&event.fact)) {
            Some(event) => Err(Error::new(Kind::Malformed, format!("{} says {}, which it cannot know", self.name, event.kind()))),
            None => Ok(events),
        }
    }

    /// What a notification says.
    pub fn notified(&self, notice: &Notice<'_>) -> Result<Vec<ChannelEvent>, Error> {
        self.verify(notice.headers, notice.body, notice.received_at)?;
        self.is_its_own(vec![self.read(notice.body)?])
    }

    /// What to answer to one.
    pub fn reply(outcome: Result<(), &Error>) -> Reply {
        let content_type = "application/json";
        match outcome {
            Ok(()) => Reply { status: 200, content_type, body: r#"{"code":"ok"}"# },
            Err(error) if matches!(error.kind, Kind::NotGenuine | Kind::Stale) => Reply { status: 401, content_type, body: r#"{"code":"refused"}"# },
            Err(error) if error.kind == Kind::NotStored => Reply { status: 503, content_type, body: r#"{"code":"again"}"# },
            Err(_) => Reply { status: 400, content_type, body: r#"{"code":"not understood"}"# },
        }
    }

    /// A call's request; none of what the protocol does not have.
    pub fn request(&self, call: &Call, now: Now<'_>) -> Option<Request> {
        let (path, content): (_, Value) = match call {
            Call::Open { attempt, amount, subject, expires_at } => {
                ("open", json!({ "attempt": attempt, "amount": amount, "subject": subject, "expires_at": expires_at }))
            }
            Call::Settle { attempt } => ("settle", json!({ "attempt": attempt })),
            Call::Close { attempt } => ("close", json!({ "attempt": attempt })),
            Call::Query { attempt } => ("query", json!({ "attempt": attempt })),
            Call::Refund(call) => ("refund", json!(call)),
            Call::Enter { .. } | Call::Deduct { .. } | Call::Deduction { .. } => return None,
        };
        Some(self.stamped(Method::POST, format!("{}/{path}", self.base_url), content.to_string(), now))
    }

    fn stamped(&self, method: Method, url: String, body: String, now: Now<'_>) -> Request {
        let timestamp = now.moment.0.div_euclid(SECOND).to_string();
        let stamp = self.secret.stamp(format!("{timestamp}\n{}\n{body}\n", now.nonce).as_bytes());
        let mut headers = vec![("X-Timestamp", timestamp), ("X-Nonce", now.nonce.to_owned()), ("X-Stamp", stamp)];
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        Request { method, url, headers, body: body.into_bytes() }
    }

    /// What asks where the file of a day is.
    pub fn statement_request(&self, wanted: &Wanted, now: Now<'_>) -> Request {
        let content = json!({ "day": wanted.day.to_string() });
        self.stamped(Method::POST, format!("{}/statement", self.base_url), content.to_string(), now)
    }

    /// What the answer to that says.
    pub fn statement_answered(&self, wanted: &Wanted, response: &Response<'_>) -> Result<Bill, Error> {
        if response.status != 200 {
            return Ok(Bill::not_yet(&format!("status {}", response.status)));
        }
        self.verify(response.headers, response.body, response.received_at)?;
        let Told { day, state } = self.read(response.body)?;
        if day != wanted.day.to_string() {
            return Err(Error::new(Kind::Malformed, format!("{} speaks of another day's statement", self.name)));
        }
        Ok(match state {
            State::There { url, sha1 } => Bill::There { url, sha1: Some(sha1_of(&sha1)?) },
            State::NotYet => Bill::not_yet("not yet"),
            State::Nothing => Bill::Nothing,
        })
    }

    /// What downloads it.
    pub fn download_request(&self, url: &str, now: Now<'_>) -> Request {
        self.stamped(Method::GET, url.to_owned(), String::new(), now)
    }

    /// What an answer says.
    pub fn answered(&self, call: &Call, response: &Response<'_>) -> Result<Heard, Error> {
        if ![200, 404, 409].contains(&response.status) {
            return Ok(Heard::Later);
        }
        self.verify(response.headers, response.body, response.received_at)?;
        let refund_stands = |RefundCall { refund, order, tries, .. }: &RefundCall, standing| {
            let fact = ChannelFact::RefundAnswered { refund: *refund, order: *order, succeeded: false, tries: *tries, standing };
            Heard::Facts(vec![ChannelEvent { channel: self.name.into(), happened_at: response.received_at, fact }])
        };
        match (response.status, call) {
            (404, Call::Refund(call)) => return Ok(refund_stands(call, Some(Standing::NotFound))),
            (409, Call::Refund(call)) => return Ok(refund_stands(call, None)),
            (404, Call::Close { .. } | Call::Query { .. }) => return Ok(Heard::Closed),
            (404 | 409, _) => return Ok(Heard::Refused),
            _ => {}
        }
        let facts = self.is_its_own(self.read(response.body)?)?;
        if !facts.is_empty() {
            return Ok(Heard::Facts(facts));
        }
        Ok(match call {
            Call::Open { .. } => Heard::Opened(None),
            Call::Settle { .. } => Heard::Settled,
            Call::Close { .. } => Heard::Closed,
            Call::Query { .. } => Heard::Unpaid,
            Call::Refund(_) | Call::Enter { .. } | Call::Deduct { .. } | Call::Deduction { .. } => Heard::Later,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{
        Currency, Money,
        channel::{Act, Outcome},
    };

    fn signed() -> Signed {
        let keys = [("secret".to_owned(), "0123456789abcdef0123".to_owned())].into();
        Signed::new("etc", &Settings { keys, ..Settings::default() }).expect("sound")
    }

    const NOW: Moment = Moment(1_795_399_200 * SECOND);

    fn told(channel: &str, body: Option<&str>, age_s: i64) -> Result<Vec<ChannelEvent>, Kind> {
        let attempt = "O4426112307VZx3MdpKtIUVlfy701".parse().expect("an attempt");
        let fact = ChannelFact::Accepted { attempt, transaction: "t".into(), amount: Money::new(500, Currency::Cny) };
        let text = serde_json::to_string(&ChannelEvent { channel: channel.into(), happened_at: NOW, fact }).expect("it can be written");
        said(&text, body.unwrap_or(&text), age_s)
    }

    /// What a body says beside the stamp of a text.
    fn said(text: &str, body: &str, age_s: i64) -> Result<Vec<ChannelEvent>, Kind> {
        let timestamp = (NOW.0 / SECOND - age_s).to_string();
        let stamp = signed().secret.stamp(format!("{timestamp}\nn\n{text}\n").as_bytes());
        let headers = [("x-timestamp", timestamp), ("x-nonce", "n".to_owned()), ("x-stamp", stamp)];
        let headers: HeaderMap = headers.into_iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
        signed().notified(&Notice { headers: &headers, body: body.as_bytes(), received_at: NOW }).map_err(|error| error.kind)
    }

    #[test]
    fn what_is_not_stamped_lately_says_nothing() {
        assert_eq!(told("etc", None, 0).map(|events| events.len()), Ok(1));
        assert_eq!(told("etc", None, 299).map(|events| events.len()), Ok(1));
        assert_eq!(told("etc", None, 300), Err(Kind::Stale));
        assert_eq!(told("etc", None, -300), Err(Kind::Stale));
        assert_eq!(told("etc", Some("{}"), 0), Err(Kind::NotGenuine));
        assert_eq!(told("wechat", None, 0), Err(Kind::Stranger));
    }

    #[test]
    fn a_channel_says_what_is_its_own_alone() {
        let id = |text: &str| text.parse().expect("an id");
        let (attempt, order) = (id("O4426112307VZx3MdpKtIUVlfy701"), id("O4426112307VZx3MdpKtIUVlfy7"));
        let (refund, session) = (id("R4426112307VZx3MdpKtIUVlfy7"), id("S4426112307VZx3MdpKtIUVlfy7"));
        let (amount, lot) = (Money::new(500, Currency::Cny), "small".parse().expect("a name"));
        for (fact, expected) in [
            (ChannelFact::Succeeded { attempt, transaction: "t".into(), amount }, Ok(1)),
            (ChannelFact::Accepted { attempt, transaction: "t".into(), amount }, Ok(1)),
            (ChannelFact::Failed { attempt, transaction: "t".into(), amount }, Ok(1)),
            (ChannelFact::RefundAnswered { refund, order, succeeded: true, tries: 0, standing: None }, Ok(1)),
            (ChannelFact::Succeeded { attempt, transaction: "".into(), amount }, Err(Kind::Malformed)),
            (ChannelFact::Imported { order, number: "A-1".into(), transaction: "t".into(), amount }, Err(Kind::Malformed)),
            (ChannelFact::CallAnswered { attempt, act: Act::Query, tries: 1, outcome: Outcome::Closed, code: None }, Err(Kind::Malformed)),
            (ChannelFact::Parked { session, lot, parking: None }, Err(Kind::Malformed)),
        ] {
            let text = serde_json::to_string(&ChannelEvent { channel: "etc".into(), happened_at: NOW, fact }).expect("it can be written");
            assert_eq!(said(&text, &text, 0).map(|events| events.len()), expected, "{text}");
        }
    }

    #[test]
    fn each_answer_is_its_own_outcome() {
        let attempt = "O4426112307VZx3MdpKtIUVlfy701".parse().expect("an attempt");
        let amount = Money::new(500, Currency::Cny);
        let fact = ChannelFact::Failed { attempt, transaction: "t".into(), amount };
        let facts = vec![ChannelEvent { channel: "etc".into(), happened_at: NOW, fact }];
        let released = serde_json::to_string(&facts).expect("it can be written");
        let open = Call::Open { attempt, amount, subject: "p".into(), expires_at: NOW };
        let [settle, close, query] = [Call::Settle { attempt }, Call::Close { attempt }, Call::Query { attempt }];
        for (call, status, body, expected) in [
            (&open, 200, "[]", Heard::Opened(None)),
            (&open, 409, "{}", Heard::Refused),
            (&open, 503, "", Heard::Later),
            (&settle, 200, "[]", Heard::Settled),
            (&settle, 404, "{}", Heard::Refused),
            (&close, 200, "[]", Heard::Closed),
            (&close, 200, released.as_str(), Heard::Facts(facts.clone())),
            (&close, 404, "{}", Heard::Closed),
            (&close, 409, "{}", Heard::Refused),
            (&query, 200, "[]", Heard::Unpaid),
            (&query, 404, "{}", Heard::Closed),
        ] {
            let timestamp = (NOW.0 / SECOND).to_string();
            let stamp = signed().secret.stamp(format!("{timestamp}\nn\n{body}\n").as_bytes());
            let headers = [("x-timestamp", timestamp), ("x-nonce", "n".to_owned()), ("x-stamp", stamp)];
            let headers: HeaderMap =
                headers.into_iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
            let response = Response { status, headers: &headers, body: body.as_bytes(), received_at: NOW };
            assert_eq!(signed().answered(call, &response).map_err(|error| error.kind), Ok(expected), "{call:?} {status} {body}");
        }
        let headers = HeaderMap::new();
        let forged = Response { status: 409, headers: &headers, body: b"{}", received_at: NOW };
        assert_eq!(signed().answered(&open, &forged).map_err(|error| error.kind), Err(Kind::NotGenuine));
    }

    fn wanted() -> Wanted {
        Wanted { day: "2026-11-22".parse().expect("a date"), merchant: None }
    }

    /// What a body says of where the file of a day is, beside the stamp of a text.
    fn bill(status: u16, text: &str, body: &str) -> Result<Bill, Kind> {
        let timestamp = (NOW.0 / SECOND).to_string();
        let stamp = signed().secret.stamp(format!("{timestamp}\nn\n{text}\n").as_bytes());
        let headers = [("x-timestamp", timestamp), ("x-nonce", "n".to_owned()), ("x-stamp", stamp)];
        let headers: HeaderMap = headers.into_iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
        let response = Response { status, headers: &headers, body: body.as_bytes(), received_at: NOW };
        signed().statement_answered(&wanted(), &response).map_err(|error| error.kind)
    }

    #[test]
    fn where_a_statement_is_is_signed() {
        let sha1 = "79bb0f45fc4c42234a918000b2668d689e2bde04";
        let there = format!(r#"{{"day":"2026-11-22","state":"there","url":"https://etc.invalid/f","sha1":"{sha1}"}}"#);
        let nothing = r#"{"day":"2026-11-22","state":"nothing"}"#;
        let not_yet = r#"{"day":"2026-11-22","state":"not_yet"}"#;
        assert_eq!(bill(200, &there, &there), Ok(Bill::There { url: "https://etc.invalid/f".into(), sha1: Some(sha1.into()) }));
        assert_eq!((bill(200, nothing, nothing), bill(200, not_yet, not_yet)), (Ok(Bill::Nothing), Ok(Bill::NotYet("not yet".into()))));
        assert_eq!(bill(503, "", ""), Ok(Bill::NotYet("status 503".into())));
        for (text, body) in [(there.as_str(), nothing), (not_yet, nothing), (nothing, there.as_str())] {
            assert_eq!(bill(200, text, body), Err(Kind::NotGenuine), "{body}");
        }
        // An answer of another day, played back, says nothing of this one.
        for wrong in [nothing.replace("22", "23"), there.replace(sha1, "79bb"), r#"{"day":"2026-11-22","state":"there"}"#.to_owned()] {
            assert_eq!(bill(200, &wrong, &wrong), Err(Kind::Malformed), "{wrong}");
        }
    }

    #[test]
    fn a_statement_is_asked_for_and_downloaded_by_stamped_requests() {
        let now = Now { moment: NOW, nonce: "n" };
        let asked = signed().statement_request(&wanted(), now);
        assert_eq!((asked.method.clone(), asked.url.as_str(), &asked.body[..]), (Method::POST, "/statement", &br#"{"day":"2026-11-22"}"#[..]));
        let download = signed().download_request("https://etc.invalid/f", now);
        assert_eq!((download.method.clone(), download.url.as_str(), download.body.len()), (Method::GET, "https://etc.invalid/f", 0));
        for request in [asked, download] {
            let text = format!("{}\nn\n{}\n", NOW.0 / SECOND, String::from_utf8_lossy(&request.body));
            let stamp = &request.headers.iter().find(|(name, _)| *name == "X-Stamp").expect("it is stamped").1;
            assert!(signed().secret.stamped(text.as_bytes(), stamp), "{request:?}");
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        let keys = [("secret".to_owned(), "short".to_owned())].into();
        assert!(Signed::new("etc", &Settings { keys, ..Settings::default() }).is_err());
    }
}
