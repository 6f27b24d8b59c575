//! The payment channels: one file each, all behind one port.
//!
//! A channel speaks no network. It makes requests and reads what came, signed and verified by its own rules; who sends them is the
//! gateway. So each can be tried with the channel's published vectors alone.
//!
//! Invariants
//! 1. What is not signed by the channel, fresh and about our merchant says nothing   (each channel's tests).
//! 2. The same call makes the same number at the channel, however often it is made   (each channel's tests: `out_refund_no`, `out_trade_no`).
//! 3. Money is read and written in minor units, exactly   (`yuan::tests`).
//! 4. A statement that disagrees with itself is refused whole   (`statement::tests`).
//! 5. Genuine money is told whatever its number and currency are   (each channel's tests: `money_for_any_number_is_told`).
//! 6. Where a statement is, and that there is none, counts only where the channel signed it   (each channel's tests: `where_a_statement_is_is_signed`).
//!
//! Not here: which money counts (`rules::payment`), who listens and calls (`gateway`).

mod alipay;
mod cash;
mod error;
mod etc;
mod points;
pub mod seal;
mod signed;
pub mod statement;
mod unionpay;
mod wechat;
mod yuan;

pub use alipay::Alipay;
pub use cash::Cash;
pub use error::{Error, Kind};
pub use etc::Etc;
pub use points::Points;
pub use unionpay::UnionPay;
pub use wechat::WeChat;

use http::{HeaderMap, Method};
use schema::{
    ChannelEvent, Day, Id, Moment, Money, Partition, RefundCall,
    gate::Colour,
    id::{self, Place, Province},
};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// A notification as it came.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, whole.
    pub body: &'a [u8],
    /// When it came, by our clock.
    pub received_at: Moment,
}

/// What to answer to a notification: the channel repeats it unless it reads what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body's type.
    pub content_type: &'static str,
    /// The body.
    pub body: &'static str,
}

/// What a channel is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// To open a payment that a driver can make.
    Open {
        /// Our number of the attempt.
        attempt: Id,
        /// What is to be paid.
        amount: Money,
        /// What it is for, as the driver reads it.
        subject: Arc<str>,
        /// Until when it can be paid.
        expires_at: Moment,
    },
    /// To take what is held.
    Settle {
        /// Our number of the attempt.
        attempt: Id,
    },
    /// To close a payment that nobody is to make any more, or to let go what is held.
    Close {
        /// Our number of the attempt.
        attempt: Id,
    },
    /// To say how a payment stands.
    Query {
        /// Our number of the attempt.
        attempt: Id,
    },
    /// To give money back, or to say how that stands.
    Refund(RefundCall),
    /// To take note of a car that drives in, so that its fee can be deducted when it leaves.
    Enter {
        /// The stay.
        parked: Parked,
        /// How long it may stay for nothing, in seconds.
        free_s: i64,
    },
    /// To deduct the fee of a car that was noted.
    Deduct {
        /// Our number of the attempt.
        attempt: Id,
        /// The fee.
        amount: Money,
        /// What it is for, as the driver reads it.
        subject: Arc<str>,
        /// The channel's number of the stay ([`Heard::Entered`]).
        parking: Arc<str>,
        /// The stay.
        parked: Parked,
        /// When it ended.
        left_at: Moment,
    },
    /// To say how a deduction stands.
    Deduction {
        /// Our number of the attempt.
        attempt: Id,
    },
}

/// A stay as a channel knows it that is paid by plate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Our number of it.
    pub session: Id,
    /// The plate's text.
    pub plate: Arc<str>,
    /// Its colour.
    pub colour: Colour,
    /// When it began.
    pub entered_at: Moment,
    /// The lot, as the driver reads it.
    pub lot: Arc<str>,
}

/// When a request is made, and the text that makes it unlike all others.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The moment.
    pub moment: Moment,
    /// At most 32 letters and digits, never the same twice.
    pub nonce: &'a str,
}

/// A signed request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// A channel's answer as it came.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, whole.
    pub body: &'a [u8],
    /// When it came, by our clock.
    pub received_at: Moment,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The payment is open: what the driver scans or follows, where there is such a thing.
    Opened(Option<String>),
    /// The car is noted, and its fee can be deducted: the channel's number of the stay.
    Entered(String),
    /// What is held is taken on to be settled; a notification tells the rest.
    Settled,
    /// The payment is closed, or never was open: nobody can make it.
    Closed,
    /// What is known of it now.
    Facts(Vec<ChannelEvent>),
    /// The payment is not made yet.
    Unpaid,
    /// The channel did not do it, and says so: nothing came of the call.
    Refused,
    /// Nobody knows what came of it: the channel is busy or slow.
    Later,
}

/// Where a day's statement is, as the channel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bill {
    /// It can be downloaded.
    There {
        /// From where. Whoever downloads sees to it that this is the channel's own.
        url: String,
        /// The SHA-1 of the plain file, in lower case hexadecimal, where the channel tells one.
        sha1: Option<String>,
    },
    /// Nothing happened on that day: the channel has no statement of it. Some say so of one that they have not made yet, too.
    Nothing,
    /// It is not there yet, or the channel is busy: the channel's own word for it.
    NotYet(String),
}

/// How long the word of a channel may be that is repeated.
const WORD_MAX: usize = 64;

impl Bill {
    /// Not yet, by a word that comes from outside: of that only what is harmless in a log.
    fn not_yet(word: &str) -> Self {
        let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' ');
        Self::NotYet(word.chars().filter(is_plain).take(WORD_MAX).collect())
    }
}

/// A hash that a channel tells of a plain file.
fn sha1_of(text: &str) -> Result<String, Error> {
    let is_one = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| text.to_ascii_lowercase()).ok_or_else(|| Error::new(Kind::Malformed, "reading the hash of a statement"))
}

/// How fast a channel may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Calls about attempts a second.
    pub attempts_per_s: u32,
    /// Refunds a second.
    pub refunds_per_s: u32,
    /// Of those the refused ones a second.
    pub refused_per_s: u32,
    /// How many seconds are between two refunds of parts of one transaction.
    pub parts_apart_s: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { attempts_per_s: 300, refunds_per_s: 100, refused_per_s: 5, parts_apart_s: 0 }
    }
}

/// One payment channel.
pub trait Channel: Send + Sync + fmt::Debug {
    /// Its name: a subject token, in every fact of it.
    fn name(&self) -> &'static str;

    /// What a notification says; nothing where it is genuine and of no use to us.
    fn notified(&self, notice: &Notice<'_>) -> Result<Vec<ChannelEvent>, Error>;

    /// What to answer once all that it said is stored, or where nothing was changed.
    fn reply(&self, outcome: Result<(), &Error>) -> Reply;

    /// How fast it may be called; what it does not publish is a guess that harms nobody.
    fn pace(&self) -> Pace {
        Pace::default()
    }

    /// The request of a call; none where the channel has no such thing.
    fn request(&self, call: &Call, now: Now<'_>) -> Result<Option<Request>, Error>;

    /// What the answer to a call says.
    fn answered(&self, call: &Call, response: &Response<'_>) -> Result<Heard, Error>;

    /// The request that asks where the statement of a day is; none where the channel hands out none.
    fn statement_request(&self, _wanted: &statement::Wanted, _now: Now<'_>) -> Result<Option<Request>, Error> {
        Ok(None)
    }

    /// What the answer to that says. Its signature is checked before it is read.
    fn statement_answered(&self, _wanted: &statement::Wanted, _response: &Response<'_>) -> Result<Bill, Error> {
        Err(Error::new(Kind::Malformed, "reading where a statement is of a channel that hands out none"))
    }

    /// The request that downloads a statement from where the channel says that it is. What comes is not signed: its hash, if one was told, and its own count and sums
    /// tell whether it is whole.
    fn download_request(&self, url: &str, _now: Now<'_>) -> Result<Request, Error> {
        Ok(Request { method: Method::GET, url: url.to_owned(), headers: Vec::new(), body: Vec::new() })
    }
}

/// What a channel needs to know.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Our number at the channel.
    pub merchant: String,
    /// Our application's number at the channel.
    pub app: String,
    /// Where the channel listens, without a slash at the end.
    pub base_url: String,
    /// Where the channel reaches us, without a slash at the end.
    pub notify_url: String,
    /// The number of our key, where the channel has given it one.
    pub serial: String,
    /// Texts of keys by their names.
    pub keys: BTreeMap<String, String>,
}

impl Settings {
    /// A key by its name.
    pub fn key(&self, name: &str) -> Result<&str, Error> {
        self.keys.get(name).map(String::as_str).ok_or_else(|| Error::new(Kind::Settings, format!("the key {name} is not given")))
    }
}

/// The attempt of a number at a channel. A number that is no id at all gets one that follows from it and is no attempt of ours, so that its money is
/// kept like that of any number that is not ours.
fn attempt_of(channel: &str, number: &str) -> Id {
    let nowhere = Place { province: Province(0), day: Day(0), partition: Partition(0) };
    number.parse().unwrap_or_else(|_| id::derive(id::Kind::Order, nowhere, &["number", channel, number]))
}

/// How a channel is made from its settings.
pub type Make = fn(&Settings) -> Result<Arc<dyn Channel>, Error>;

/// Every channel, and the form of its statements where it has some. A new one is its file and its line here.
pub const ALL: [(&str, Make, Option<statement::Form>); 6] = [
    ("wechat", |settings| Ok(Arc::new(WeChat::new(settings)?)), Some(statement::wechat::FORM)),
    ("alipay", |settings| Ok(Arc::new(Alipay::new(settings)?)), Some(statement::alipay::FORM)),
    ("etc", |settings| Ok(Arc::new(Etc::new(settings)?)), Some(statement::etc::FORM)),
    ("points", |settings| Ok(Arc::new(Points::new(settings)?)), Some(statement::etc::FORM)),
    ("cash", |_| Ok(Arc::new(Cash)), None),
    ("unionpay", |settings| Ok(Arc::new(UnionPay::new(settings)?)), None),
];

/// The channel of that name.
pub fn make(name: &str, settings: &Settings) -> Result<Arc<dyn Channel>, Error> {
    let known = || ALL.map(|(name, ..)| name).join(", ");
    let (_, make, _) = ALL
        .iter()
        .find(|(known, ..)| *known == name)
        .ok_or_else(|| Error::new(Kind::Settings, format!("there is no channel {name}, there are {}", known())))?;
    make(settings)
}

/// The form of a channel's statements, with the channel's name.
pub fn form(name: &str) -> Result<(&'static str, statement::Form), Error> {
    let known = || ALL.iter().filter(|(.., form)| form.is_some()).map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
    let found = ALL.iter().find(|(known, ..)| *known == name).and_then(|(name, _, form)| Some((*name, (*form)?)));
    found.ok_or_else(|| Error::new(Kind::Settings, format!("there is no channel {name} with statements, there are {}", known())))
}
