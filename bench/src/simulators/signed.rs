//! ETC and points: channels without a public protocol, which speak JSON with a stamp.
//!
//! `X-Timestamp`, `X-Nonce` and `X-Stamp`, the HMAC-SHA-256 of `timestamp\nnonce\nbody\n` in base64 with the secret that both sides have. A notification is one
//! fact in JSON, the answer to a call a list of them. Calls are `open`, `settle`, `close`, `query` and `refund`; `statement` says where the file of a day is
//! (`schema/etc-clearing.md`), and `statement/DAY` is it.
//!
//! Of points, `open` holds them until `settle` or `close` says what becomes of them. Of ETC, `open` is the lane's debit, which the clearing house settles or
//! refuses by itself.
//!
//! Invariants
//! 1. What is not stamped, or long ago, is refused   (`tests::what_is_not_stamped_is_refused`).
//! 2. Points that are held are committed or released, never both   (`tests::points_are_committed_or_released`).

use super::{
    Access,
    book::{Named, Refund, Refusal, Return, Standing, Trade},
    clock,
    faults::OfStatement,
    keys,
    office::{Asked, Office, Posted, Said, Site, Told},
    statements,
};
use schema::{ChannelEvent, ChannelFact, Currency, Id, Moment, Money, RefundCall, channel, id};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The secret that both sides have.
const SECRET: &str = "a test secret that everybody knows";
/// How old a request may be, in seconds.
const FRESH: i64 = 300;
/// When a notification is sent again that was not taken, in seconds after the one before: as WeChat Pay does.
const SCHEDULE: [u64; 15] = [15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600];

/// Such a channel.
pub struct Signed {
    office: Office,
    /// Whether what is opened waits for the merchant to settle it.
    holds: bool,
    nonces: AtomicU64,
}

impl Signed {
    /// At an office. What `holds` waits for the merchant to settle it; what does not settles by itself.
    pub fn new(office: Office, holds: bool) -> Self {
        Self { office, holds, nonces: AtomicU64::new(1) }
    }

    fn stamped(&self, status: u16, body: Vec<u8>) -> Said {
        Said { status, headers: self.stamp(clock::now(), &body, SECRET), body, wait: Duration::ZERO, is_cut: false }
    }

    fn stamp(&self, at: Moment, body: &[u8], secret: &str) -> Vec<(&'static str, String)> {
        let (timestamp, nonce) = (clock::seconds(at).to_string(), self.nonces.fetch_add(1, Relaxed).to_string());
        let text = [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", body, b"\n"].concat();
        let stamp = keys::stamp(secret, &text);
        vec![("Content-Type", "application/json".to_owned()), ("X-Timestamp", timestamp), ("X-Nonce", nonce), ("X-Stamp", stamp)]
    }

    fn is_stamped(asked: &Asked<'_>) -> bool {
        let header = |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (timestamp, nonce) = (header("x-timestamp"), header("x-nonce"));
        let text = [timestamp.as_bytes(), b"\n", nonce.as_bytes(), b"\n", asked.body, b"\n"].concat();
        let age = timestamp.parse::<i64>().map_or(i64::MAX, |at| clock::seconds(asked.at).saturating_sub(at).abs());
        keys::stamp(SECRET, &text) == header("x-stamp") && age < FRESH
    }

    /// What is said of a payment as it stands; nothing of one that nobody has paid, or whose number no fact can name.
    fn fact(&self, trade: &Trade) -> Option<ChannelEvent> {
        let attempt: Id = trade.attempt.parse().ok()?;
        let (transaction, amount) = (trade.transaction.as_str().into(), Money::new(trade.amount, Currency::Cny));
        let fact = match trade.standing {
            Standing::Held => ChannelFact::Accepted { attempt, transaction, amount },
            Standing::Paid => ChannelFact::Succeeded { attempt, transaction, amount },
            Standing::Failed => ChannelFact::Failed { attempt, transaction, amount },
            Standing::Open | Standing::Closed => return None,
        };
        Some(ChannelEvent { channel: self.office.name.into(), happened_at: trade.since, fact })
    }

    fn facts(&self, facts: Option<ChannelEvent>) -> Said {
        let facts: Vec<ChannelEvent> = facts.into_iter().collect();
        self.stamped(200, json!(facts).to_string().into_bytes())
    }

    fn refused(&self, refusal: Refusal) -> Said {
        if refusal == Refusal::Silent {
            return Said::silence(self.office.settings.hang);
        }
        let status = if refusal == Refusal::Unknown { 404 } else { 409 };
        self.stamped(status, json!({ "code": format!("{refusal:?}") }).to_string().into_bytes())
    }

    fn open(&self, content: &Value, at: Moment) -> Result<Said, Refusal> {
        let (attempt, amount) = content["attempt"].as_str().zip(content["amount"]["minor"].as_i64()).ok_or(Refusal::Unknown)?;
        // The same again is as it stands now.
        let known = self.office.book().find(Named::Attempt(attempt)).filter(|known| known.amount == amount).cloned();
        if let Some(known) = known {
            return Ok(self.facts(self.fact(&known)));
        }
        let trade = self.office.book().take(Trade::new(self.office.name, attempt, amount, at), at, Standing::Held)?;
        if !self.holds {
            let settings = &self.office.settings;
            self.office.settle_later(attempt, !settings.faults.fails(settings.seed, attempt));
        }
        Ok(self.facts(self.fact(&trade)))
    }

    /// What is held is committed, or released; both are told as well, since answers get lost.
    fn settle(&self, content: &Value, at: Moment, captures: bool) -> Result<Said, Refusal> {
        let attempt = content["attempt"].as_str().ok_or(Refusal::Unknown)?;
        let known = self.office.book().find(Named::Attempt(attempt)).cloned().ok_or(Refusal::Unknown)?;
        let settled = self.office.book().settle(attempt, at, captures)?;
        if known.standing == Standing::Held {
            self.office.tell_payment(&settled);
        }
        Ok(self.facts(self.fact(&settled)))
    }

    fn query(&self, content: &Value) -> Result<Said, Refusal> {
        let attempt = content["attempt"].as_str().ok_or(Refusal::Unknown)?;
        let known = self.office.book().find(Named::Attempt(attempt)).cloned();
        Ok(self.facts(known.and_then(|trade| self.fact(&trade))))
    }

    fn refund(&self, content: &Value, at: Moment) -> Result<Said, Refusal> {
        let call: RefundCall = serde_json::from_value(content.clone()).map_err(|_| Refusal::Unknown)?;
        let RefundCall { refund, order, ref transaction, amount, tries, asks, .. } = call;
        let answer = |succeeded, standing| {
            let fact = ChannelFact::RefundAnswered { refund, order, succeeded, tries, standing };
            Some(ChannelEvent { channel: self.office.name.into(), happened_at: at, fact })
        };
        if asks {
            let known = self.office.book().find_refund(refund.as_str()).map(|(_, refund)| refund.standing);
            return Ok(self.facts(match known {
                Some(Return::Done) => answer(true, None),
                Some(Return::Processing) => answer(false, Some(channel::Standing::Accepted)),
                Some(Return::Abnormal) => answer(false, Some(channel::Standing::Abnormal)),
                None => answer(false, Some(channel::Standing::NotFound)),
            }));
        }
        let new =
            Refund { number: refund.to_string(), amount: amount.minor, standing: Return::Processing, asked_at: at, since: at, notify_url: None };
        match self.office.refund(Named::Transaction(transaction), new, 0) {
            Ok((_, _, _, wait)) => {
                let end = self.office.end_of(refund.as_str());
                let standing = self.office.book().returned(refund.as_str(), at, end).map_or(end, |(_, refund)| refund.standing);
                let succeeded = standing == Return::Done;
                Ok(Said { wait, ..self.facts(answer(succeeded, (!succeeded).then_some(channel::Standing::Abnormal))) })
            }
            Err(Refusal::Silent) => Err(Refusal::Silent),
            Err(_) => Ok(self.facts(answer(false, None))),
        }
    }

    /// What a call is answered with.
    fn called(&self, name: &str, content: &Value, at: Moment) -> Result<Said, Refusal> {
        match name {
            "open" => self.open(content, at),
            "settle" => self.settle(content, at, true),
            "close" => self.settle(content, at, false),
            "query" => self.query(content),
            "refund" => self.refund(content, at),
            "statement" => Ok(self.bill(content["day"].as_str().unwrap_or_default())),
            _ => name.strip_prefix("statement/").and_then(|day| self.download(day)).ok_or(Refusal::Unknown),
        }
    }

    /// Where the file of a day is.
    fn bill(&self, day: &str) -> Said {
        let file = self.statement(day).into_iter().next().map(|(_, file)| file);
        let fault = file.as_ref().and_then(|_| self.office.statement_fault("ask", day));
        let told = match (file, fault) {
            (None, _) => json!({ "day": day, "state": "nothing" }),
            (Some(_), Some(OfStatement::Late)) => json!({ "day": day, "state": "not_yet" }),
            (Some(file), fault) => {
                let sha1 = if fault == Some(OfStatement::Damaged) { keys::sha1(b"another file") } else { keys::sha1(&file) };
                json!({ "day": day, "state": "there", "url": format!("{}/statement/{day}", self.office.base_url), "sha1": sha1 })
            }
        };
        self.stamped(200, told.to_string().into_bytes())
    }

    /// The file of a day, which its hash vouches for.
    fn download(&self, day: &str) -> Option<Said> {
        let (_, body) = self.statement(day).into_iter().next()?;
        let is_cut = self.office.statement_fault("download", day) == Some(OfStatement::Cut);
        Some(Said { status: 200, headers: vec![("Content-Type", "text/csv".to_owned())], body, wait: Duration::ZERO, is_cut })
    }
}

impl Site for Signed {
    fn office(&self) -> &Office {
        &self.office
    }

    fn access(&self) -> Access {
        Access::new(&self.office, "", "", "", &[("secret", SECRET)])
    }

    fn schedule(&self) -> &'static [u64] {
        &SCHEDULE
    }

    fn answer(&self, asked: &Asked<'_>) -> Said {
        if !Self::is_stamped(asked) {
            self.office.counts.not_signed.add(1);
            return self.stamped(401, br#"{"code":"refused"}"#.to_vec());
        }
        let content = serde_json::from_slice(asked.body).unwrap_or_default();
        self.called(asked.uri.path().trim_matches('/'), &content, asked.at).unwrap_or_else(|refusal| self.refused(refusal))
    }

    fn of_payment(&self, trade: &Trade) -> Option<Told> {
        let fact = self.fact(trade)?;
        // A number that a merchant's facts cannot name is told with its own words all the same.
        let number = format!("{}-{}", fact.kind(), id::digest(&[&fact.key()], 20));
        Some(Told { number, kind: "fact", url: self.office.notify_url(), text: json!(fact) })
    }

    fn of_refund(&self, _: &Trade, _: &Refund) -> Option<Told> {
        None
    }

    fn post(&self, told: &Told, at: Moment, is_forged: bool) -> Posted {
        let mut text = told.text.clone();
        if is_forged {
            text["transaction"] = json!("4299999999999999999999999999");
        }
        let body = text.to_string().into_bytes();
        Posted { headers: self.stamp(at, &body, if is_forged { "a secret that somebody has made up" } else { SECRET }), body }
    }

    fn takes(&self, status: u16, _: &[u8]) -> bool {
        status == 200
    }

    fn statement(&self, day: &str) -> Vec<(String, Vec<u8>)> {
        let file = statements::clearing(self.office.book().trades(), day);
        file.map(|file| (format!("{}_{day}.csv", self.office.name), file)).into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
