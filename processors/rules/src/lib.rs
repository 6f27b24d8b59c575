//! What it means: pure rules over entities and events.
//!
//! A processor is a value of [`Rules`]: what an input needs, what is decided, whom an event concerns, how an entity
//! evolves, and what goes out. The loop in `boomgate` runs all of them in the same way.
//!
//! Invariants
//! 1. A rule is a function of what it is given: no clock, no chance, no I/O   (this crate depends on `schema` alone).
//! 2. `evolve` reads nothing but the entity and the event   (its signature).
//! 3. A refusal is an event: there are no errors here   (their signatures).
//!
//! Not here: where inputs come from (`streams`), where entities lie (`store`).
#![deny(clippy::float_arithmetic)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

pub mod entry;
pub mod exceptions;
pub mod payment;
pub mod pricing;
pub mod quote;
pub mod reconcile;
pub mod settlement;
#[cfg(test)]
mod trial;

use schema::{
    ChannelEvent, Credential, DeskEvent, Effect, Entity, Event, GateEvent, Handle, Id, Inbox, Journal, Key, Moment, Recorded, Reference,
    StatementEvent,
    effect::LaneCommand,
    entity::Answer,
    fact::Kinds,
    id::{self, Kind},
};
use std::sync::Arc;

/// Something that a processor is to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Where it came from.
    pub inbox: Inbox,
    /// Its sequence there; 0 for a tick.
    pub sequence: u64,
    /// Its key there: the same when it comes again.
    pub key: Arc<str>,
    /// Its own time: when a device saw it, a channel booked it, a processor recorded it.
    pub time: Moment,
    /// The broker's time when it was stored.
    pub received_at: Moment,
    /// What it says.
    pub body: Body,
}

/// What an input says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A lane device.
    Gate(GateEvent),
    /// A payment channel.
    Channel(ChannelEvent),
    /// A person at a desk.
    Desk(Box<DeskEvent>),
    /// A worker that compares a channel's statement.
    Statement(Box<StatementEvent>),
    /// Another processor's journal.
    Journal(Box<Recorded>),
    /// Something of this entity is due.
    Tick(Key),
}

/// The entities that are known when a decision is made.
pub trait View {
    /// An entity; none where there is none, or where it is closed and was not asked for by [`Rules::needs`].
    fn get(&self, key: &Key) -> Option<&Entity>;
    /// The open entity that a handle names.
    fn find(&self, handle: &Handle) -> Option<&Entity>;
    /// The ledger rows of a settlement window that [`Rules::audits`] named; none where they cannot be read now.
    fn rows(&self, _: &Key) -> Option<settlement::Rows<'_>> {
        None
    }
    /// What is known of a vehicle elsewhere. Whoever has no cache knows that there is nothing.
    fn fact(&self, _: &schema::Credential, _: schema::fact::Kind) -> entry::checks::Fact<'_> {
        entry::checks::Fact::Here(&[])
    }
}

/// What a decision may look at beside its entities.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The operator's lots and rate tables.
    pub reference: &'a Reference,
    /// The numbers that bound decisions.
    pub limits: &'a Limits,
}

/// The numbers that bound decisions, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// An event older than this is too late to be decided.
    pub late_max: i64,
    /// How long a lane command may fire after its event was seen.
    pub command_life: i64,
    /// How long after a refund call without an answer it is asked for again; each try waits as long again.
    pub refund_retry: i64,
    /// How often a refund is asked for, or about, before it is a person's work.
    pub refund_tries_max: u32,
    /// The most, in minor units, that is sent back of an order, in however many parts, because one person says so; above it another one must agree.
    pub refund_alone_max: i64,
    /// Of which money a refund is, where several means paid.
    pub refund_shares: payment::RefundShares,
    /// How long a payment that somebody chose can be made.
    pub pay_life: i64,
    /// How long after a call about a payment without an answer it is made again; each try waits as long again.
    pub call_retry: i64,
    /// How often such a call is made before it is given up.
    pub call_tries_max: u32,
    /// How long after a fee was accepted that is deducted by the plate it is asked whether it has settled; each try waits as long again.
    pub deduction_asks: i64,
    /// How often that is asked before it is left to the channel's statement.
    pub deduction_asks_max: u32,
    /// What channels charge.
    pub fees: settlement::Fees,
    /// How long a settlement window is.
    pub window: settlement::Length,
    /// How long after its end, and after the last posting into it, a settlement window closes.
    pub lateness: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            late_max: Answer::KEPT,
            command_life: 30 * schema::time::SECOND,
            refund_retry: 30 * schema::time::SECOND,
            refund_tries_max: 20,
            refund_alone_max: 10_000,
            refund_shares: payment::RefundShares::default(),
            pay_life: 15 * schema::time::MINUTE,
            call_retry: 5 * schema::time::SECOND,
            call_tries_max: 12,
            deduction_asks: 2 * schema::time::MINUTE,
            deduction_asks_max: 10,
            fees: settlement::Fees::new(),
            window: settlement::Length::default(),
            lateness: 60 * schema::time::MINUTE,
        }
    }
}

/// An entity that an event concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The entity.
    pub key: Key,
    /// Whether it begins with this event unless it is in memory, so that the store need not be asked.
    pub born: bool,
}

/// What is wanted of a vehicle.
pub type Wanted = (Credential, Kinds);

/// One processor, as pure functions.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Its name.
    pub name: &'static str,
    /// The journal that it alone writes.
    pub journal: Journal,
    /// Whether there can be anything to do, by the input alone: if not, it is acked without an event.
    pub concerns: fn(&Body) -> bool,
    /// The entities that must be known, from memory or the store, before `decide`: those that may be closed by now.
    pub needs: fn(&dyn View, &Facts, &Input) -> Vec<Key>,
    /// What must be known of a vehicle elsewhere before `decide`, as far as it is not known yet: what is still missing when it is called does
    /// not come, and the rule's own policy counts.
    pub wants: fn(&dyn View, &Facts, &Input) -> Option<Wanted>,
    /// The settlement window whose ledger rows must be read before `decide`, as far as they can be; most inputs name none.
    pub audits: fn(&Input) -> Option<Key>,
    /// The decision: at least one event, or none at all for a tick that is no longer due.
    pub decide: fn(&dyn View, &Facts, &Input) -> Vec<Event>,
    /// The entities that an event concerns, beside the answer to its cause.
    pub touches: fn(&Event) -> Vec<Touch>,
    /// The fold.
    pub evolve: fn(&Key, Option<Entity>, &Recorded) -> Entity,
    /// What goes out.
    pub effects: fn(&Recorded) -> Vec<Effect>,
}

/// All processors, in the order of the flow.
pub const ALL: [&Rules; 5] = [&entry::RULES, &pricing::RULES, &payment::RULES, &settlement::RULES, &exceptions::RULES];

/// Whoever decides by its own entities alone wants nothing else.
fn nothing(_: &dyn View, _: &Facts, _: &Input) -> Option<Wanted> {
    None
}

/// Whoever closes no settlement window reads no ledger rows.
fn no_window(_: &Input) -> Option<Key> {
    None
}

/// The fold of an answer: what an input became, with enough to do its effects again.
pub fn evolve_answer(answer: Option<Answer>, recorded: &Recorded, effects: Vec<Effect>) -> Answer {
    let mut answer = answer.unwrap_or(Answer { time: recorded.cause.time, events: 0, effects: Vec::new() });
    answer.events = answer.events.saturating_add(1);
    answer.effects.extend(effects);
    answer
}

/// The id of the command that an event sends to a lane: the same whenever it is sent again.
fn command(recorded: &Recorded, subject: Id, command: impl FnOnce(Id) -> LaneCommand) -> Vec<Effect> {
    let Some(place) = id::place(subject.as_str()) else { return Vec::new() };
    let cause = &recorded.cause;
    let id = id::derive(Kind::Command, place, &[cause.inbox.stream(), &cause.event, &cause.index.to_string(), subject.as_str()]);
    vec![Effect::Lane(command(id))]
}
