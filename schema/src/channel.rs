//! What payment channels say, as facts of the CHANNEL inbox.

use crate::{Id, Moment, Money, id};
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
    /// The answer to a refund call.
    RefundAnswered {
        /// Our id of the refund (`out_refund_no`).
        refund: Id,
        /// The order it belongs to.
        order: Id,
        /// Whether the money went back.
        succeeded: bool,
        /// How often it had been asked for when this was answered; tells one failed answer from the next.
        tries: u32,
    },
}

impl ChannelEvent {
    /// The order that this is about; none where the attempt is no number of ours.
    pub fn order(&self) -> Option<Id> {
        match &self.fact {
            ChannelFact::Succeeded { attempt, .. } => id::order_of(attempt.as_str()),
            ChannelFact::RefundAnswered { order, .. } => id::place(order.as_str()).map(|_| *order),
        }
    }

    /// The kind's token of the subject.
    pub const fn kind(&self) -> &'static str {
        match self.fact {
            ChannelFact::Succeeded { .. } => "succeeded",
            ChannelFact::RefundAnswered { .. } => "refund_answered",
        }
    }

    /// The subject of this fact; none where its order is no id of ours.
    pub fn subject(&self) -> Option<String> {
        let partition = id::place(self.order()?.as_str())?.partition;
        Some(format!("CHANNEL.{partition}.{}.{}", self.channel, self.kind()))
    }

    /// What tells this fact from all others of the inbox. A notification that comes again has the same key, however late.
    pub fn key(&self) -> String {
        match &self.fact {
            ChannelFact::Succeeded { attempt, transaction, amount } => {
                let parts = [self.kind(), &self.channel, attempt.as_str(), transaction, &amount.minor.to_string(), &format!("{:?}", amount.currency)];
                id::digest(&parts, 20)
            }
            ChannelFact::RefundAnswered { refund, succeeded, tries, .. } => {
                id::digest(&[self.kind(), &self.channel, refund.as_str(), if *succeeded { "yes" } else { "no" }, &tries.to_string()], 20)
            }
        }
    }
}
