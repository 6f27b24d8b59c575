//! What goes out after an append: it may go out twice, and its id makes twice harmless.

use crate::{
    ChannelEvent, EventId, Id, LaneId, LotId, Moment, Money,
    channel::Act,
    gate::{Colour, Credential},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Something to tell the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// To a lane's device, on `lane.<lot>.<lane>`.
    Lane(LaneCommand),
    /// To a payment channel, on `refund.<channel>`.
    Refund(RefundCall),
    /// To a payment channel, on `call.<channel>`.
    Call(ChannelCall),
    /// To a payment channel, on `notice.<channel>`.
    Notice(EntryNotice),
    /// To our own inbox of channels, stored like what a channel says: what it would have told us, had it reached us.
    Channel(ChannelEvent),
}

impl Effect {
    /// The subject it goes out on.
    pub fn subject(&self) -> String {
        match self {
            Self::Lane(command) => format!("lane.{}.{}", command.lot, command.lane),
            Self::Refund(call) => format!("refund.{}", call.channel),
            Self::Call(call) => format!("call.{}", call.channel),
            Self::Notice(notice) => format!("notice.{}", notice.channel),
            // Nothing goes out about an order that is none of ours.
            Self::Channel(event) => event.subject().unwrap_or_default(),
        }
    }
}

/// What a barrier shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Open.
    Open,
    /// Stay closed.
    Refuse,
    /// Stay closed and say what is missing: money, or a person.
    Ask,
}

/// An order to one lane. A device drops one whose id it has handled, and never fires one that has expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneCommand {
    /// Derived; the same whenever the same command is sent again.
    pub id: Id,
    /// The lot.
    pub lot: LotId,
    /// The lane.
    pub lane: LaneId,
    /// The device's event that this answers; none where something else (a payment) moved the barrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<EventId>,
    /// What to do.
    pub verdict: Verdict,
    /// Why, as a word that a device may translate.
    pub reason: Arc<str>,
    /// What to pay, where that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Money>,
    /// The order to pay, where that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Id>,
    /// Past this moment it must not fire.
    pub expires_at: Moment,
}

/// A refund that a channel shall make. The same id refunds once, however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundCall {
    /// Our id of the refund (`out_refund_no`).
    pub refund: Id,
    /// The order.
    pub order: Id,
    /// The channel.
    pub channel: Arc<str>,
    /// The channel's transaction that is refunded.
    pub transaction: Arc<str>,
    /// How much of it.
    pub amount: Money,
    /// How often it has been asked for, this time included.
    pub tries: u32,
    /// What the transaction has captured in all; none where that is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured: Option<Money>,
    /// Whether it is to be asked about, and not made: nobody knows whether it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks: bool,
}

/// What a channel shall do with an attempt. The same call may come twice: the attempt's number makes twice harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelCall {
    /// Our number of the attempt (`out_trade_no`).
    pub attempt: Id,
    /// The channel.
    pub channel: Arc<str>,
    /// What it shall do.
    pub act: Act,
    /// What the attempt is to bring.
    pub amount: Money,
    /// Until when it can be paid.
    pub until: Moment,
    /// How often it has been asked for this, this time included.
    pub tries: u32,
    /// The lot, for what the driver reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<LotId>,
    /// The stay whose fee it shall deduct by the plate; none where a driver pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deducts: Option<Box<Deducted>>,
    /// Whether a fee is asked about that was deducted by the plate, where its stay is not known any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_plate: bool,
}

/// A stay whose fee a channel deducts by the plate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deducted {
    /// The channel's number of the stay ([`crate::ChannelFact::Parked`]).
    pub parking: Arc<str>,
    /// Our id of it.
    pub session: Id,
    /// The plate.
    pub plate: Credential,
    /// When it began.
    pub entered_at: Moment,
    /// When it ended.
    pub left_at: Moment,
}

/// A car has driven in whose fee a channel may deduct when it leaves. The stay's id makes twice harmless; what is lost costs the driver a payment by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryNotice {
    /// The channel.
    pub channel: Arc<str>,
    /// Our id of the stay.
    pub session: Id,
    /// The plate's text.
    pub plate: Arc<str>,
    /// Its colour.
    pub colour: Colour,
    /// When it began.
    pub entered_at: Moment,
    /// The lot.
    pub lot: LotId,
    /// How many minutes are free.
    pub free_min: u16,
}
