//! Cash, at a booth: a person takes it and gives it back, and says so at the operator's desk.
//!
//! There is nobody to call and nobody who notifies.

use crate::{Call, Channel, Error, Heard, Kind, Notice, Now, Reply, Request, Response};
use schema::ChannelEvent;

/// The channel.
#[derive(Debug)]
pub struct Cash;

impl Channel for Cash {
    fn name(&self) -> &'static str {
        "cash"
    }

    fn notified(&self, _: &Notice<'_>) -> Result<Vec<ChannelEvent>, Error> {
        Err(Error::new(Kind::NotGenuine, "cash does not notify: who takes it says so at the operator's desk"))
    }

    fn reply(&self, _: Result<(), &Error>) -> Reply {
        Reply { status: 404, content_type: "text/plain", body: "" }
    }

    fn request(&self, _: &Call, _: Now<'_>) -> Result<Option<Request>, Error> {
        Ok(None)
    }

    fn answered(&self, _: &Call, _: &Response<'_>) -> Result<Heard, Error> {
        Ok(Heard::Later)
    }
}
