//! What payment channels say, as facts of the CHANNEL inbox.

use crate::{Id, LotId, Moment, Money, id};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One thing that a channel said: the payload of `CHANNEL.<partition>.<channel>.<kind>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelEvent {
    /// The channel's short name (`wechat`, `alipay`, `etc`): a subject token.
    pub channel: Arc<str>,
    /// When it happened, by the channel's clock; microseconds since 1970 in UTC.
    pub happened_at: Moment,
    /// What it said.
    #[serde(flatten)]
    pub fact: ChannelFact,
}

/// The kinds of fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChannelFact {
    /// An attempt was paid.
    Succeeded {
        /// Our number of the attempt (`out_trade_no`).
        attempt: Id,
        /// The channel's transaction; with the channel's name it identifies the money.
        transaction: Arc<str>,
        /// What was captured.
        amount: Money,
    },
    /// An attempt may be acted on as if it were paid, and may still fail: nothing is captured yet.
    Accepted {
        /// Our number of the attempt.
        attempt: Id,
        /// The channel's transaction: the same as of what settles it.
        transaction: Arc<str>,
        /// What will be captured.
        amount: Money,
    },
    /// What had been accepted is not paid after all: nothing is captured, and nothing will be.
    Failed {
        /// Our number of the attempt.
        attempt: Id,
        /// The channel's transaction.
        transaction: Arc<str>,
        /// What had been accepted.
        amount: Money,
    },
    /// An older system was paid this before we were there: it pays its order there, and nothing here is due for it.
    Imported {
        /// The order's id here, which follows from what it was called there.
        order: Id,
        /// The number under which the channel was asked (`out_trade_no`).
        number: Arc<str>,
        /// The channel's transaction.
        transaction: Arc<str>,
        /// What was captured.
        amount: Money,
    },
    /// The answer to a refund call, or to a question how it stands.
    RefundAnswered {
        /// Our id of the refund (`out_refund_no`).
        refund: Id,
        /// The order it belongs to.
        order: Id,
        /// Whether the money went back.
        succeeded: bool,
        /// How often it had been asked for when this was answered; tells one failed answer from the next.
        tries: u32,
        /// How it stands, where that is neither a plain yes nor a plain no.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        standing: Option<Standing>,
    },
    /// The answer to a call about an attempt that tells of no money.
    CallAnswered {
        /// Our number of the attempt.
        attempt: Id,
        /// What was asked.
        act: Act,
        /// How often it had been asked when this was answered.
        tries: u32,
        /// What came of it.
        outcome: Outcome,
        /// Where it was opened: what the driver scans or follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Arc<str>>,
    },
    /// The answer to the notice that a car has driven in ([`crate::effect::EntryNotice`]).
    Parked {
        /// The stay.
        session: Id,
        /// The lot.
        lot: LotId,
        /// The channel's number of the stay, by which its fee is deducted; none where it does not deduct for this car.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parking: Option<Arc<str>>,
    },
}

/// What a channel is asked to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// To open it, so that a driver can pay it; of points: to hold them.
    Open,
    /// To take what it holds.
    Settle,
    /// To close it, or to let go what it holds.
    Close,
    /// To say how it stands.
    Query,
}

impl Act {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Settle => "settle",
            Self::Close => "close",
            Self::Query => "query",
        }
    }
}

/// What came of a call about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is open: it can be paid.
    Opened,
    /// It is taken on to be settled.
    Settled,
    /// It is closed, or never was open: nobody can pay it.
    Closed,
    /// It is open and not paid.
    Unpaid,
    /// The channel did not do it.
    Refused,
    /// The channel has no such thing.
    Impossible,
    /// Nobody knows: the call was not answered.
    Unknown,
}

impl Outcome {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Settled => "settled",
            Self::Closed => "closed",
            Self::Unpaid => "unpaid",
            Self::Refused => "refused",
            Self::Impossible => "impossible",
            Self::Unknown => "unknown",
        }
    }
}

/// How a refund stands at its channel, beside having been made or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The channel has taken it on; the money is on its way.
    Accepted,
    /// Nobody knows: the call was not answered. It is asked about, and not repeated.
    Unknown,
    /// The channel knows nothing of it: it can be asked for again.
    NotFound,
    /// The channel cannot give the money back in its own way: a person must.
    Abnormal,
}

impl ChannelEvent {
    /// The order that this is about; none where the attempt is no number of ours, and of a car that has driven in.
    pub fn order(&self) -> Option<Id> {
        match &self.fact {
            ChannelFact::Succeeded { attempt, .. }
            | ChannelFact::Accepted { attempt, .. }
            | ChannelFact::Failed { attempt, .. }
            | ChannelFact::CallAnswered { attempt, .. } => id::order_of(attempt.as_str()),
            ChannelFact::RefundAnswered { order, .. } | ChannelFact::Imported { order, .. } => id::place(order.as_str()).map(|_| *order),
            ChannelFact::Parked { .. } => None,
        }
    }

    /// Whether it is about money, which `payment` decides on; the rest is about a stay, and `entry`'s.
    pub const fn is_of_money(&self) -> bool {
        !matches!(self.fact, ChannelFact::Parked { .. })
    }

    /// The order, or the stay, under which it lies; none where that is no id of ours.
    pub fn about(&self) -> Option<Id> {
        match &self.fact {
            ChannelFact::Parked { session, .. } => id::place(session.as_str()).map(|_| *session),
            _ => self.order(),
        }
    }

    /// The kind's token of the subject.
    pub const fn kind(&self) -> &'static str {
        match self.fact {
            ChannelFact::Succeeded { .. } => "succeeded",
            ChannelFact::Accepted { .. } => "accepted",
            ChannelFact::Failed { .. } => "failed",
            ChannelFact::RefundAnswered { .. } => "refund_answered",
            ChannelFact::Imported { .. } => "imported",
            ChannelFact::CallAnswered { .. } => "call_answered",
            ChannelFact::Parked { .. } => "parked",
        }
    }

    /// The subject of this fact; none where what it is about is no id of ours.
    pub fn subject(&self) -> Option<String> {
        let partition = id::place(self.about()?.as_str())?.partition;
        Some(format!("CHANNEL.{partition}.{}.{}", self.channel, self.kind()))
    }

    /// What tells this fact from all others of the inbox. A notification that comes again has the same key, however late.
    pub fn key(&self) -> String {
        match &self.fact {
            ChannelFact::Succeeded { attempt, transaction, amount }
            | ChannelFact::Accepted { attempt, transaction, amount }
            | ChannelFact::Failed { attempt, transaction, amount } => {
                let parts = [self.kind(), &self.channel, attempt.as_str(), transaction, &amount.minor.to_string(), &format!("{:?}", amount.currency)];
                id::digest(&parts, 20)
            }
            ChannelFact::Imported { order, transaction, amount, .. } => {
                let parts = [self.kind(), &self.channel, order.as_str(), transaction, &amount.minor.to_string(), &format!("{:?}", amount.currency)];
                id::digest(&parts, 20)
            }
            ChannelFact::RefundAnswered { refund, succeeded, tries, standing, .. } => {
                let said = match (standing, succeeded) {
                    (None, true) => "yes",
                    (None, false) => "no",
                    (Some(Standing::Accepted), _) => "accepted",
                    (Some(Standing::Unknown), _) => "unknown",
                    (Some(Standing::NotFound), _) => "not_found",
                    (Some(Standing::Abnormal), _) => "abnormal",
                };
                id::digest(&[self.kind(), &self.channel, refund.as_str(), said, &tries.to_string()], 20)
            }
            ChannelFact::CallAnswered { attempt, act, tries, outcome, .. } => {
                id::digest(&[self.kind(), &self.channel, attempt.as_str(), act.as_str(), outcome.as_str(), &tries.to_string()], 20)
            }
            ChannelFact::Parked { session, parking, .. } => {
                id::digest(&[self.kind(), &self.channel, session.as_str(), parking.as_deref().unwrap_or_default()], 20)
            }
        }
    }
}
