//! Points: held first, then committed or released; they are their issuer's liability, not the operator's revenue.
//!
//! The issuer is outside, and speaks `signed`: `accepted` is a hold, `succeeded` its commitment, `failed` its release.

use crate::{Bill, Call, Channel, Error, Heard, Notice, Now, Reply, Request, Response, Settings, signed::Signed, statement::Wanted};
use schema::ChannelEvent;

/// The issuer.
#[derive(Debug)]
pub struct Points(Signed);

impl Points {
    /// From its settings; keys: `secret`.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self(Signed::new("points", settings)?))
    }
}

impl Channel for Points {
    fn name(&self) -> &'static str {
        "points"
    }

    fn notified(&self, notice: &Notice<'_>) -> Result<Vec<ChannelEvent>, Error> {
        self.0.notified(notice)
    }

    fn reply(&self, outcome: Result<(), &Error>) -> Reply {
        Signed::reply(outcome)
    }

    fn request(&self, call: &Call, now: Now<'_>) -> Result<Option<Request>, Error> {
        Ok(self.0.request(call, now))
    }

    fn answered(&self, call: &Call, response: &Response<'_>) -> Result<Heard, Error> {
        self.0.answered(call, response)
    }

    fn statement_request(&self, wanted: &Wanted, now: Now<'_>) -> Result<Option<Request>, Error> {
        Ok(Some(self.0.statement_request(wanted, now)))
    }

    fn statement_answered(&self, wanted: &Wanted, response: &Response<'_>) -> Result<Bill, Error> {
        self.0.statement_answered(wanted, response)
    }

    fn download_request(&self, url: &str, now: Now<'_>) -> Result<Request, Error> {
        Ok(self.0.download_request(url, now))
    }
}
