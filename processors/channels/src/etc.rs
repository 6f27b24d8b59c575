//! ETC: the lane's debit is accepted first, and cleared or refused up to days later.
//!
//! There is no public protocol between a car park and an ETC issuer's clearing house, so ours is `signed`: `accepted`, then `succeeded` or `failed`.

use crate::{Bill, Call, Channel, Error, Heard, Notice, Now, Reply, Request, Response, Settings, signed::Signed, statement::Wanted};
use schema::ChannelEvent;

/// The channel.
#[derive(Debug)]
pub struct Etc(Signed);

impl Etc {
    /// From its settings; keys: `secret`.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self(Signed::new("etc", settings)?))
    }
}

impl Channel for Etc {
    fn name(&self) -> &'static str {
        "etc"
    }

    fn notified(&self, notice: &Notice<'_>) -> Result<Vec<ChannelEvent>, Error> {
        self.0.notified(notice)
    }

    fn reply(&self, outcome: Result<(), &Error>) -> Reply {
        Signed::reply(outcome)
    }

    fn request(&self, call: &Call, now: Now<'_>) -> Result<Option<Request>, Error> {
        // What is accepted is cleared by the issuer, who is not asked for it.
        Ok((!matches!(call, Call::Settle { .. })).then(|| self.0.request(call, now)).flatten())
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
