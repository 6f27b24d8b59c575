//! Journal events: what a processor decided.
//!
//! An event carries what its readers need: nobody looks at another processor's rows.

use crate::{
    Credential, Energy, EventId, GateKind, Id, LaneId, LotId, Moment, Money, VehicleClass,
    channel::Act,
    desk::{Said, ShiftName, Tender},
    effect::Deducted,
    exception::ReconEvent,
    fact::{self, OperatorId, PartId, Stated, TimeBand},
    id::{self, Province},
    ledger::{Discounts, LedgerEvent},
    rate::{Prepaid, Validation},
    reference::Deducts,
    time::Day,
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The journals, each written by one processor alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Journal {
    /// Stays, by `entry`.
    Session,
    /// Bills, by `pricing`.
    Order,
    /// Money in and back, by `payment`.
    Payment,
    /// Double-entry postings, by `settlement`.
    Ledger,
    /// What matches channels' statements and what does not, by `reconciliation`.
    Recon,
}

impl Journal {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Session, Self::Order, Self::Payment, Self::Ledger, Self::Recon];

    /// The stream's name, which is the first token of its subjects.
    pub const fn stream(self) -> &'static str {
        match self {
            Self::Session => "SESSION",
            Self::Order => "ORDER",
            Self::Payment => "PAYMENT",
            Self::Ledger => "LEDGER",
            Self::Recon => "RECON",
        }
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.stream())
    }
}

/// Where an input came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Inbox {
    /// Lane devices.
    Gate,
    /// Payment channels.
    Channel,
    /// People at desks.
    Desk,
    /// Workers that compare channels' statements.
    Statement,
    /// The journal of `entry`.
    Session,
    /// The journal of `pricing`.
    Order,
    /// The journal of `payment`.
    Payment,
    /// The journal of `reconciliation`.
    Recon,
    /// The loop's clock; not stored, so it has no sequence.
    Tick,
}

impl Inbox {
    /// The stream's name.
    pub const fn stream(self) -> &'static str {
        match self {
            Self::Gate => "GATE",
            Self::Channel => "CHANNEL",
            Self::Desk => "DESK",
            Self::Statement => "STATEMENT",
            Self::Session => "SESSION",
            Self::Order => "ORDER",
            Self::Payment => "PAYMENT",
            Self::Recon => "RECON",
            Self::Tick => "TICK",
        }
    }
}

/// Why an event is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The inbox of the input.
    pub inbox: Inbox,
    /// The input's sequence in its stream; 0 for a tick.
    pub sequence: u64,
    /// The input's key within the inbox: the same when it comes again.
    pub event: Arc<str>,
    /// The input's own time, by which its answer's row is found.
    pub time: Moment,
    /// The place of this event among those of the same input.
    pub index: u16,
}

/// An event as it stands in a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded<E = Event> {
    /// When it was recorded: strictly increasing within a partition, and so its name there.
    pub at: Moment,
    /// What caused it.
    pub cause: Cause,
    /// What was decided.
    pub event: E,
}

/// An event of any journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// Of SESSION.
    Session(SessionEvent),
    /// Of ORDER.
    Order(OrderEvent),
    /// Of PAYMENT.
    Payment(PaymentEvent),
    /// Of LEDGER.
    Ledger(LedgerEvent),
    /// Of RECON.
    Recon(ReconEvent),
}

impl Event {
    /// The last token of its subject.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Session(event) => match event {
                SessionEvent::Opened { .. } => "opened",
                SessionEvent::Refused { .. } => "refused",
                SessionEvent::Superseded { .. } => "superseded",
                SessionEvent::Passed { .. } => "passed",
                SessionEvent::Vacated { .. } => "vacated",
                SessionEvent::Waiting { .. } => "waiting",
                SessionEvent::Asked { .. } => "asked",
                SessionEvent::Prepaid { .. } => "prepaid",
                SessionEvent::Leaving { .. } => "leaving",
                SessionEvent::Closed { .. } => "closed",
                SessionEvent::ReadAgain { .. } => "read_again",
                SessionEvent::Gone { .. } => "gone",
                SessionEvent::Owed { .. } => "owed",
                SessionEvent::Stated { .. } => "stated",
                SessionEvent::Validated { .. } => "validated",
                SessionEvent::Noticed { .. } => "noticed",
                SessionEvent::LetThrough { .. } => "let_through",
                SessionEvent::Corrected { .. } => "corrected",
                SessionEvent::Noted { .. } => "noted",
            },
            Self::Order(event) => match event {
                // Who waits for money need not hear of what costs nothing, nor who opens the barrier then of what does.
                OrderEvent::Priced { quote, inside: Some(_), .. } if quote.total.is_zero() => "nothing_due",
                // The ledger hears of what costs nothing only because somebody bears it.
                OrderEvent::Priced { quote, .. } if quote.total.is_zero() && quote.has_discounts() => "waived",
                OrderEvent::Priced { quote, .. } if quote.total.is_zero() => "free",
                OrderEvent::Priced { .. } => "priced",
                OrderEvent::Withdrawn { .. } => "withdrawn",
                OrderEvent::Overtaken { .. } => "overtaken",
                OrderEvent::Cancelled { .. } => "cancelled",
                OrderEvent::Gone { .. } => "gone",
                OrderEvent::Unpriced { .. } => "unpriced",
                OrderEvent::Paid { .. } => "paid",
                OrderEvent::Reopened { .. } => "reopened",
                OrderEvent::Overpaid { .. } => "overpaid",
                OrderEvent::Owed { .. } => "owed",
                OrderEvent::Cleared { .. } => "cleared",
                OrderEvent::Noted { .. } => "noted",
            },
            Self::Payment(event) => match event {
                PaymentEvent::Expected { .. } => "expected",
                PaymentEvent::Held { .. } => "held",
                PaymentEvent::Applied { .. } => "applied",
                PaymentEvent::Withdrawn { .. } => "withdrawn",
                PaymentEvent::Settled { .. } => "settled",
                PaymentEvent::PassedOver { .. } => "passed_over",
                PaymentEvent::Reversed { .. } => "reversed",
                PaymentEvent::RefundWanted { .. } => "refund_wanted",
                PaymentEvent::RefundDeclined { .. } => "refund_declined",
                PaymentEvent::Imported { .. } => "imported",
                PaymentEvent::RefundStood { .. } => "refund_stood",
                PaymentEvent::RefundRequested { .. } => "refund_requested",
                PaymentEvent::Refunded { .. } => "refunded",
                PaymentEvent::Chosen { .. } => "chosen",
                PaymentEvent::Attempted { .. } => "attempted",
                PaymentEvent::AttemptStood { .. } => "attempt_stood",
                PaymentEvent::ShiftOpened { .. } => "shift_opened",
                PaymentEvent::ShiftTook { .. } => "shift_took",
                PaymentEvent::ShiftCounted { .. } => "shift_counted",
                PaymentEvent::ShiftClosed { .. } => "shift_closed",
                PaymentEvent::ShiftNoted { .. } => "shift_noted",
                PaymentEvent::Noted { .. } => "noted",
            },
            Self::Ledger(event) => match event {
                LedgerEvent::Posted { .. } => "posted",
                LedgerEvent::WindowClosed { .. } => "window_closed",
                LedgerEvent::WindowStopped { .. } => "window_stopped",
                LedgerEvent::FeesTold { .. } => "fees_told",
                LedgerEvent::Noted { .. } => "noted",
            },
            Self::Recon(event) => event.kind(),
        }
    }
}

impl Event {
    /// The province under which it travels.
    pub fn province(&self) -> Province {
        let of = |id: &Id| id::place(id.as_str()).map(|place| place.province).unwrap_or_default();
        match self {
            Self::Session(event) => match event {
                SessionEvent::Refused { province, .. }
                | SessionEvent::Waiting { province, .. }
                | SessionEvent::ReadAgain { province, .. }
                | SessionEvent::Stated { province, .. }
                | SessionEvent::LetThrough { province, .. }
                | SessionEvent::Noted { province, .. } => *province,
                event => event.stay().map(|stay| stay.province).unwrap_or_default(),
            },
            Self::Order(event) => match event {
                OrderEvent::Priced { stay, .. } | OrderEvent::Unpriced { stay, .. } => stay.province,
                OrderEvent::Withdrawn { question, .. } | OrderEvent::Overtaken { question, .. } => question.stay.province,
                OrderEvent::Paid { province, .. }
                | OrderEvent::Overpaid { province, .. }
                | OrderEvent::Owed { province, .. }
                | OrderEvent::Cleared { province, .. }
                | OrderEvent::Reopened { province, .. }
                | OrderEvent::Cancelled { province, .. }
                | OrderEvent::Gone { province, .. }
                | OrderEvent::Noted { province, .. } => *province,
            },
            Self::Payment(event) => match (event.shift(), event.order()) {
                (Some(shift), _) => shift.province,
                (None, Some(order)) => of(&order),
                (None, None) => Province::default(),
            },
            Self::Ledger(event) => event.province(),
            Self::Recon(event) => event.province(),
        }
    }
}

/// A stay's place in the world: what every event of a session carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// The session's id.
    pub session: Id,
    /// The lot.
    pub lot: LotId,
    /// Its province.
    pub province: Province,
    /// Who.
    pub credential: Credential,
    /// The lane of entry.
    pub lane: LaneId,
    /// When the car came.
    pub entered_at: Moment,
    /// The vehicle's class.
    #[serde(default, skip_serializing_if = "is_default")]
    pub class: VehicleClass,
    /// What drives it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub energy: Energy,
    /// The other cars that may use its right, where it uses one that is shared: they are told of its coming and going.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sharers: Vec<Credential>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The right that a stay uses, as it was when the car came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightUsed {
    /// Its id.
    pub id: PartId,
    /// Its first moment.
    pub from: Moment,
    /// The moment at which it has ended.
    pub until: Moment,
    /// When in the week it counts, by the lot's own clock; none is always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<TimeBand>,
}

/// What a decision was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The prechecks in their order, with blanks between: each by its name, and after a `=` what it found, if that was anything.
    pub checks: Arc<str>,
    /// What was known of the car elsewhere, as far as it was needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Known>,
    /// The oldest order that it owes, and how much, where that is why it was not let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owes: Option<(Id, Money)>,
    /// What it rests on, each by its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grounds: Vec<Ground>,
}

/// One thing that a decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// The car is banned.
    Ban {
        /// The ban.
        part: PartId,
        /// Its first moment.
        from: Moment,
        /// The moment at which it has ended; none where it has no end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Moment>,
        /// Why, for a person.
        reason: Arc<str>,
    },
    /// The car owes something.
    Arrear {
        /// The order.
        order: Id,
        /// How much.
        amount: Money,
        /// Since when that is known.
        at: Moment,
    },
    /// It uses a right.
    Right {
        /// The right.
        part: PartId,
    },
    /// As many cars as may be are inside under a right of it.
    Overrun {
        /// The right.
        part: PartId,
    },
    /// It uses a reservation.
    Reservation {
        /// The reservation.
        part: PartId,
    },
}

/// What was known of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The kind.
    pub kind: fact::Kind,
    /// How many things; none where that did not come in time, or was not waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u16>,
    /// How long ago the newest of them was recorded, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<i64>,
}

/// What a session remembers of the decision that let its car in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The right that it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<RightUsed>,
    /// The right whose cars are all inside: this stay is priced as an ordinary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrun: Option<PartId>,
    /// The reservation that it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<PartId>,
    /// Another lot in which it is at the same time, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<LotId>,
    /// The facts that did not come in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<fact::Kind>,
    /// Whether the lane opened by itself, having had no answer in time: no check was asked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub local: bool,
    /// Who said that nobody knows when it came, where that is so: it stood at an exit then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Said>,
    /// The channel that is told of its coming, to deduct its fee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Deducts>,
}

/// The right of a car, looked up again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitled {
    /// The right that it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<RightUsed>,
    /// The right whose cars are all inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrun: Option<PartId>,
    /// The facts that did not come in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<fact::Kind>,
}

/// How a coupon stands to what its vehicle may use on one local day, over all its stays in the lots of one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponLimit {
    /// How many it may use.
    pub most: u32,
    /// The day.
    pub day: Day,
    /// Whose lots these are.
    pub operator: OperatorId,
    /// How many of this stay count, this one included unless it is over the limit.
    pub here: u32,
    /// How many of other stays count, as far as was known; none where that did not come in time: then they are not minded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<u32>,
}

/// How a car left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// The lane of exit.
    pub lane: LaneId,
    /// When the car stood there.
    pub left_at: Moment,
    /// The device's event.
    pub event: EventId,
    /// Whether the lane opened by itself, having had no answer in time: nobody stands there any more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub local: bool,
    /// Who deducts its fee by the plate, where somebody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deducts: Option<Box<Deduction>>,
}

/// A channel that deducts the fee of a stay by the plate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deduction {
    /// The channel.
    pub channel: Arc<str>,
    /// Its number of the stay.
    pub parking: Arc<str>,
}

/// What a stay's price depends on beside its times and its right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What was paid for it before, by time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paid: Vec<Prepaid>,
    /// What merchants take off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<Validation>,
    /// The price that was asked for before and is not settled, by its number and moment: nobody may pay it once there is a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<(u32, Moment)>,
    /// Whether the car has gone already, and owes what it costs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gone: bool,
    /// Whether nobody knows when it came: it costs what a lost ticket does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lost: bool,
    /// Who put the stay right after it was over, where somebody did, and the id of what was said: what was paid too much goes back then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Box<(EventId, Said)>>,
}

/// A price that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The stay.
    pub stay: Stay,
    /// The exit, or where and when it was asked.
    pub departure: Departure,
    /// The how-many-eth price of this session it is.
    pub sequence: u32,
    /// The right that the stay uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<Box<RightUsed>>,
    /// What else it depends on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Box<Terms>>,
    /// Whether the car is inside still.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inside: bool,
}

/// Why an entry or exit was not granted. Closed: a new reason is a new word everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No such lot in the reference data.
    UnknownLot,
    /// The lot is closed.
    LotClosed,
    /// This car is inside already.
    AlreadyInside,
    /// No space is left.
    Full,
    /// The event's time is ahead of the broker's: the device's clock is wrong.
    ClockAhead,
    /// The event is older than what is remembered.
    TooLate,
    /// The lot declares its lanes, and this is none of them.
    UnknownLane,
    /// The lane does not serve this direction.
    WrongLane,
    /// The lane does not serve vehicles of this class.
    WrongClass,
    /// The lane does not serve vehicles of this energy.
    WrongEnergy,
    /// This vehicle is banned here.
    Banned,
    /// Earlier stays of this vehicle are unpaid.
    Arrears,
    /// The lot is for holders of a right or a reservation.
    NoRight,
    /// The device is not sure enough of what it read.
    UnsureRead,
    /// What the decision needs to know did not come in time.
    FactMissing,
    /// A price was asked for, and no such car is inside.
    NotInside,
}

impl Refusal {
    /// The word that devices and reports see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownLot => "unknown_lot",
            Self::LotClosed => "lot_closed",
            Self::AlreadyInside => "already_inside",
            Self::Full => "full",
            Self::ClockAhead => "clock_ahead",
            Self::TooLate => "too_late",
            Self::UnknownLane => "unknown_lane",
            Self::WrongLane => "wrong_lane",
            Self::WrongClass => "wrong_class",
            Self::WrongEnergy => "wrong_energy",
            Self::Banned => "banned",
            Self::Arrears => "arrears",
            Self::NoRight => "no_right",
            Self::UnsureRead => "unsure_read",
            Self::FactMissing => "fact_missing",
            Self::NotInside => "not_inside",
        }
    }
}

/// Why nothing was to be done. It is an answer all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The same car stands at an exit again.
    AlreadyLeaving,
    /// The same lane read the same car twice within seconds: it is told what it was told.
    DoubleRead,
    /// An exit of this car waits for its entry already.
    AlreadyWaiting,
    /// What it concerns has ended.
    AlreadyClosed,
    /// This money is known: the channel said it again in other words.
    AlreadyKnown,
    /// No such thing has ever been opened here.
    Unknown,
    /// A refund was refused by the channel; it is asked for again when it is due.
    RefundRefused,
    /// What was applied is not what was due.
    AmountDiffers,
    /// It was said too long ago to be believed.
    TooLate,
    /// Something else goes by this id.
    OfAnotherKind,
    /// The lane stayed closed by itself.
    LocallyRefused,
    /// The car has gone, and owes nothing.
    NothingOwed,
    /// A car of this credential is inside already.
    AlreadyInside,
    /// More of this than a stay, or a payment, can have.
    TooMany,
    /// What it says cannot be: a car that came after it left, or tomorrow.
    Contradicts,
    /// More is to go back than pays the order.
    MoreThanPaid,
    /// Who wants it cannot be who agrees to it.
    SamePerson,
    /// A shift ends once its drawer is counted.
    NotCounted,
    /// Cars with plates of this text in several colours are inside: which one is meant its colour must tell.
    SeveralCars,
}

/// Events of SESSION.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SessionEvent {
    /// A car came in: its session is open and holds a space.
    Opened {
        /// The stay.
        stay: Stay,
        /// The device's event.
        event: EventId,
        /// The command's end of life.
        expires_at: Moment,
        /// The exit that waited for this entry, if one did: `leaving` follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        releases: Option<Id>,
        /// What was found of its car.
        #[serde(default, skip_serializing_if = "is_default")]
        marks: Box<Marks>,
        /// What that was decided on; none where nothing was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made_of: Option<Box<Made>>,
        /// Until when it crosses the lane, or its space is free again; none where the decision counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passes_by: Option<Moment>,
    },
    /// The car has crossed the lane: it is inside.
    Passed {
        /// The stay.
        stay: Stay,
        /// When, by the lane.
        at: Moment,
    },
    /// The car has not crossed the lane that was opened for it: there is no stay, and its space is free.
    Vacated {
        /// The stay that was none.
        stay: Stay,
    },
    /// A channel has taken note of the car, to deduct its fee, or will not.
    Noticed {
        /// The stay.
        stay: Stay,
        /// The channel.
        channel: Arc<str>,
        /// Its number of the stay; none where it does not deduct for this car.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parking: Option<Arc<str>>,
    },
    /// A car was not let in, or its event could not be believed.
    Refused {
        /// The lot.
        lot: LotId,
        /// The lane.
        lane: LaneId,
        /// Its province; 0 where the lot is unknown.
        province: Province,
        /// Who.
        credential: Credential,
        /// Why.
        reason: Refusal,
        /// The device's event.
        event: EventId,
        /// When the device saw it.
        seen_at: Moment,
        /// The command's end of life.
        expires_at: Moment,
        /// Whether a person is asked instead.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ask: bool,
        /// What that was decided on; none where no check was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made_of: Option<Box<Made>>,
    },
    /// A car comes in that is inside already, as far as we know: its old session ends without a price and its space is free.
    Superseded {
        /// The old stay.
        stay: Stay,
        /// The session that begins.
        by: Id,
        /// Whether a person is to look at the old one.
        flagged: bool,
    },
    /// A car stands at an exit and no entry of it is known: a person is asked, and the entry may still come.
    Waiting {
        /// The id of what waits.
        waiting: Id,
        /// The lot.
        lot: LotId,
        /// Its province.
        province: Province,
        /// Who.
        credential: Credential,
        /// The exit.
        departure: Departure,
        /// The command's end of life.
        expires_at: Moment,
    },
    /// Somebody asks what a stay costs until now; its car stays inside.
    Asked {
        /// The stay.
        stay: Stay,
        /// Where and when it was asked.
        departure: Departure,
        /// The how-many-eth time this session asks for a price; part of the order's id.
        sequence: u32,
        /// The right that it uses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        right: Option<Box<RightUsed>>,
        /// What else the price depends on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terms: Option<Box<Terms>>,
    },
    /// A stay was paid until a moment, and its car may leave within minutes at no further price.
    Prepaid {
        /// The stay.
        stay: Stay,
        /// The payment, by its order.
        paid: Prepaid,
        /// The number of the price that it pays; [`SessionEvent::PAID_ANEW`] where what had paid it failed, and it is owed no more.
        sequence: u32,
        /// Until when nothing more is due.
        leave_by: Moment,
        /// The lane where it was asked, with the device's event and the command's end of life.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        told: Option<(LaneId, EventId, Moment)>,
    },
    /// A car stands at an exit: its stay is to be priced.
    Leaving {
        /// The stay.
        stay: Stay,
        /// The exit.
        departure: Departure,
        /// The how-many-eth time this session asks for a price; part of the order's id.
        sequence: u32,
        /// The right that it uses.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        right: Option<Box<RightUsed>>,
        /// What else the price depends on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terms: Option<Box<Terms>>,
    },
    /// The stay has ended and its space is free.
    Closed {
        /// The stay.
        stay: Stay,
        /// The exit.
        departure: Departure,
        /// The order that was settled.
        order: Id,
        /// What was paid, with what was paid before.
        paid: Money,
        /// The command's end of life.
        expires_at: Moment,
        /// Whether the car had gone before, and its space was free since.
        #[serde(default, skip_serializing_if = "is_default")]
        gone: bool,
        /// Until when its car, seen at an exit of its lot, is the same read; none where every read counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        same_read_until: Option<Moment>,
    },
    /// A car that was let out is read at an exit of its lot once more: nothing is new, and its lane is told what the first one was.
    ReadAgain {
        /// The session that it left.
        session: Id,
        /// The lot.
        lot: LotId,
        /// Its province.
        province: Province,
        /// Who.
        credential: Credential,
        /// Where and when it was read.
        departure: Departure,
        /// The command's end of life.
        expires_at: Moment,
    },
    /// The car has left without its stay being settled, because the lane opened by itself: its space is free, and what it owes stays owed.
    Gone {
        /// The stay.
        stay: Stay,
        /// The exit.
        departure: Departure,
        /// The how-many-eth price of this session it leaves unsettled, and when that was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<(u32, Moment)>,
        /// Until when its car, seen at an exit of its lot, is the same read; none where every read counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        same_read_until: Option<Moment>,
    },
    /// What a car that has gone owes. Settling it closes the stay.
    Owed {
        /// The stay.
        stay: Stay,
        /// The order.
        order: Id,
        /// How much.
        amount: Money,
        /// Whom it is owed to.
        operator: OperatorId,
    },
    /// A person at a desk stated something of vehicles: it counts from now on, in all lots that it is about.
    Stated {
        /// What, of which vehicles, by whom and why.
        stated: Box<Stated>,
        /// The vehicles that it was of until now and is no more.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<Credential>,
        /// The province of the desk's lot.
        province: Province,
    },
    /// A merchant takes something off a stay; it is priced anew where its price was asked for.
    Validated {
        /// The stay.
        stay: Stay,
        /// What is taken off; nothing where it is over its limit.
        validation: Validation,
        /// Who said so.
        by: Said,
        /// How it stands to what its vehicle may use on one day; none where there is no such limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<Box<CouponLimit>>,
    },
    /// A person let a car through, or saw that it passed; what came of that for its stay follows.
    LetThrough {
        /// The lot.
        lot: LotId,
        /// The lane.
        lane: LaneId,
        /// Its province.
        province: Province,
        /// Which way.
        way: GateKind,
        /// Which car, where it was looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<Credential>,
        /// Who said so.
        by: Said,
        /// Until when the barrier may open for it; none where it is not to open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opens_until: Option<Moment>,
        /// What was said, by its id.
        event: EventId,
    },
    /// A stay was recorded wrongly: this is what it really is. It is priced anew where its price was asked for.
    Corrected {
        /// The stay as it is.
        stay: Stay,
        /// Under what it was known.
        was: Credential,
        /// When it was believed to have come.
        came_at: Moment,
        /// Who said so.
        by: Said,
        /// The exit that waited for this entry, if one did: `leaving` follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        releases: Option<Id>,
        /// Whether its car has gone.
        #[serde(default, skip_serializing_if = "is_default")]
        gone: bool,
        /// The right of the car that it really is; none where the car is the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entitled: Option<Box<Entitled>>,
    },
    /// Nothing was to be done.
    Noted {
        /// Why.
        note: Note,
        /// The session or what waits, where one is concerned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        concerns: Option<Id>,
        /// Its lot.
        lot: LotId,
        /// Its province.
        province: Province,
        /// The lane to tell, with the device's event and the command's end of life.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ask: Option<(LaneId, EventId, Moment)>,
    },
}

impl SessionEvent {
    /// The number of no price: they begin at 1.
    pub const PAID_ANEW: u32 = 0;

    /// The stay that it is about; none where it is about none.
    pub const fn stay(&self) -> Option<&Stay> {
        match self {
            Self::Opened { stay, .. }
            | Self::Passed { stay, .. }
            | Self::Vacated { stay }
            | Self::Superseded { stay, .. }
            | Self::Asked { stay, .. }
            | Self::Prepaid { stay, .. }
            | Self::Leaving { stay, .. }
            | Self::Closed { stay, .. }
            | Self::Gone { stay, .. }
            | Self::Owed { stay, .. }
            | Self::Validated { stay, .. }
            | Self::Noticed { stay, .. }
            | Self::Corrected { stay, .. } => Some(stay),
            Self::Refused { .. }
            | Self::Waiting { .. }
            | Self::ReadAgain { .. }
            | Self::Stated { .. }
            | Self::LetThrough { .. }
            | Self::Noted { .. } => None,
        }
    }
}

/// A price at a moment, line by line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The rate table and its version.
    pub rate_table: Arc<str>,
    /// The version of the table.
    pub version: u32,
    /// Complete minutes of the stay; the seconds of an unfinished minute are free.
    pub minutes: i64,
    /// What adds up to the total.
    pub lines: Vec<QuoteLine>,
    /// The total.
    pub total: Money,
}

impl Quote {
    /// Whether somebody bears a part of what the stay would cost.
    pub fn has_discounts(&self) -> bool {
        self.lines.iter().any(|line| line.bearer.is_some() && line.amount < 0)
    }
}

/// One line of a quote. The lines' amounts sum to the total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteLine {
    /// Why this line is there.
    pub what: LineKind,
    /// First minute of the stay that it covers.
    pub from_min: i64,
    /// The minute before which it ends.
    pub to_min: i64,
    /// Units that are charged.
    pub units: i64,
    /// The price of one unit, in minor units; of a cap its height, of a validation its percent or amount, of a payment what was paid.
    pub unit_price: i64,
    /// What it adds, in minor units; negative for what is taken off.
    pub amount: i64,
    /// The rate line or collection, as the table names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_line: Option<Arc<str>>,
    /// What it is due to: the right, the validation or the payment, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_to: Option<Arc<str>>,
    /// Who bears what is taken off: the merchant of a validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Arc<str>>,
    /// Whether it is a validation that is over its limit, and takes nothing off therefore.
    #[serde(default, skip_serializing_if = "is_default")]
    pub over: bool,
}

impl QuoteLine {
    /// A line that speaks for itself.
    pub const fn new(what: LineKind, (from_min, to_min): (i64, i64), units: i64, unit_price: i64, amount: i64) -> Self {
        Self { what, from_min, to_min, units, unit_price, amount, rate_line: None, due_to: None, bearer: None, over: false }
    }
}

/// The kinds of quote line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Within the free minutes.
    Free,
    /// A line of the rate table, by units.
    Step,
    /// What the cap of a day takes off.
    Cap,
    /// A line of the rate table that costs the same however long it is.
    Flat,
    /// A tier of the rate table: the price in all, less what the tiers before it cost; no unit where these were charged already.
    Tier,
    /// Full 24 hours, at the table's price for them.
    FullDay,
    /// What the cap of a band takes off, as of one night.
    BandCap,
    /// What the most that a line costs takes off.
    LineCap,
    /// What the least that a line costs adds, and what of that is used up later.
    LineMinimum,
    /// What the cap of the stay takes off.
    StayCap,
    /// What is added up to the least that a stay costs.
    Minimum,
    /// Under a right of the vehicle: nothing to pay.
    Right,
    /// What a validation takes off by making all free.
    ValidationFree,
    /// What a validation takes off by its free time; the units are minutes.
    ValidationTime,
    /// What a validation takes off by its percent.
    ValidationPercent,
    /// What a validation takes off by its amount.
    ValidationAmount,
    /// What rounding adds or takes off.
    Rounding,
    /// Between the payment and the end of the minutes to leave.
    Grace,
    /// What was paid before.
    Paid,
    /// The price of a lost ticket.
    LostTicket,
}

/// Events of ORDER.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OrderEvent {
    /// A stay has its price. One of nothing is settled by that.
    Priced {
        /// The order.
        order: Id,
        /// The stay.
        stay: Stay,
        /// The exit.
        departure: Departure,
        /// The price.
        quote: Quote,
        /// Until when the displayed price stands at the lane.
        expires_at: Moment,
        /// The number of the question, where the car is inside still.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inside: Option<u32>,
    },
    /// A stay cannot be priced: the lane asks a person.
    Unpriced {
        /// The order.
        order: Id,
        /// The stay.
        stay: Stay,
        /// The exit.
        departure: Departure,
        /// What is missing, and where to put it.
        reason: Arc<str>,
        /// The same as a word that a device may translate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        word: Option<Arc<str>>,
        /// The command's end of life.
        expires_at: Moment,
        /// The number of the question, where the car is inside still.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inside: Option<u32>,
    },
    /// An unpaid order is to be paid no more, because its stay is to be priced anew. `payment` says whether it came in time.
    Withdrawn {
        /// The order.
        order: Id,
        /// The order that waits for that.
        by: Id,
        /// What that one is to price.
        question: Box<Question>,
    },
    /// A price was asked for without knowing of money that had come: it is not found, and asked for again with that.
    Overtaken {
        /// The order.
        order: Id,
        /// The order that was paid.
        by: Id,
        /// What was to be priced.
        question: Box<Question>,
    },
    /// The order is over without having been settled: another one has taken its place.
    Cancelled {
        /// The order.
        order: Id,
        /// Its province.
        province: Province,
    },
    /// The car has gone while the order waited for its price: it will owe that.
    Gone {
        /// The order.
        order: Id,
        /// Its province.
        province: Province,
    },
    /// The order is paid.
    Paid {
        /// The order.
        order: Id,
        /// The session it settles.
        session: Id,
        /// The lot.
        lot: LotId,
        /// Its province.
        province: Province,
        /// What was paid.
        amount: Money,
        /// By which channel and transaction.
        by: Source,
        /// Until when the stay is paid, where the car was inside still.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prepays: Option<Prepays>,
    },
    /// What had paid the order has failed: it is due again, and `owed` follows.
    Reopened {
        /// The order.
        order: Id,
        /// Its province.
        province: Province,
        /// What is due.
        amount: Money,
    },
    /// An order was paid, and its stay costs less since it was put right: the rest goes back.
    Overpaid {
        /// The order.
        order: Id,
        /// The session that it belongs to.
        session: Id,
        /// Its province.
        province: Province,
        /// What goes back.
        amount: Money,
        /// Who put it right.
        by: Said,
        /// What was said, by its id.
        said: EventId,
    },
    /// The car has gone and has not paid.
    Owed {
        /// The order.
        order: Id,
        /// The session that it belongs to.
        session: Id,
        /// The lot.
        lot: LotId,
        /// Its province.
        province: Province,
        /// What is owed.
        amount: Money,
        /// Whether it is owed since now, and remembered by the order; not in the first releases, nor where it was owed already.
        #[serde(default, skip_serializing_if = "is_default")]
        begins: bool,
    },
    /// What a car owed since it had gone is paid, or no more owed.
    Cleared {
        /// The order.
        order: Id,
        /// The lot.
        lot: LotId,
        /// Its province.
        province: Province,
        /// What was owed.
        amount: Money,
    },
    /// Nothing was to be done.
    Noted {
        /// Why.
        note: Note,
        /// The order.
        order: Id,
        /// Its province.
        province: Province,
    },
}

/// What an order pays whose car was inside still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepays {
    /// The number of the question.
    pub sequence: u32,
    /// The moment whose price it is.
    pub until: Moment,
    /// When it was paid, by the channel.
    pub paid_at: Moment,
}

/// Where money came from: a channel and its transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    /// The channel.
    pub channel: Arc<str>,
    /// The channel's transaction.
    pub transaction: Arc<str>,
}

/// Where an order's money belongs: what every PAYMENT event carries, so that the ledger needs nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// The order.
    pub order: Id,
    /// The lot; none while the order is not known here.
    pub lot: Option<LotId>,
    /// The lot's local day on which the car left; the order's day while it is not known.
    pub day: Day,
}

/// Why this money pays its order, of all that came for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppliedReason {
    /// Nothing else that could pay it had come.
    Only,
    /// Of several that are equal it is the first durable one.
    First,
    /// It is settled: that comes before what may still fail, whichever came first.
    Settled,
    /// It is a means of a payment of which all means have come.
    Complete,
}

/// Why money goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// The order was paid already.
    Duplicate,
    /// The amount is not what was due.
    AmountDiffers,
    /// The order had been withdrawn.
    Withdrawn,
    /// A person decided so.
    Ordered,
    /// It was a part of a payment whose other parts did not come.
    Incomplete,
}

/// How an attempt stands at its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// It is asked for, and nothing has been heard.
    Opening,
    /// It can be paid.
    Open,
    /// The channel holds what it is to bring, and waits to be told to take it.
    Held,
    /// The channel is told to take what it holds.
    Settling,
    /// It is to be closed, or let go.
    Closing,
    /// It brought its money.
    Paid,
    /// Nobody can pay it, or it cannot be closed.
    Closed,
    /// Its channel did not open it.
    Failed,
}

impl AttemptState {
    /// Whether nothing more is to be done about it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Paid | Self::Closed | Self::Failed)
    }
}

/// A cashier's shift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftAt {
    /// The lot.
    pub lot: LotId,
    /// Its province.
    pub province: Province,
    /// The shift's name.
    pub name: ShiftName,
}

/// How a refund stands, from the day it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundState {
    /// It is asked for, and nothing has been heard: it is asked about.
    #[default]
    Requested,
    /// The channel has taken it on: it is asked about.
    Accepted,
    /// Nobody knows: it is asked about, and not repeated.
    Unknown,
    /// The channel refused it for now, or knows nothing of it: it is asked for again.
    Refused,
    /// The channel cannot make it in its own way: a person must.
    Abnormal,
    /// It was refused too often: a person must look at it.
    Failed,
    /// The money went back.
    Succeeded,
}

impl RefundState {
    /// Whether it waits for a person.
    pub const fn is_stuck(self) -> bool {
        matches!(self, Self::Abnormal | Self::Failed)
    }
}

/// Events of PAYMENT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PaymentEvent {
    /// An order waits for money.
    Expected {
        /// The order.
        bill: Bill,
        /// What is due.
        due: Money,
        /// What was taken off its price, where something was: what pays it tells the ledger.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        discounts: Option<Box<Discounts>>,
    },
    /// Money came for an order that is not known here yet: it is a liability until the order comes.
    Held {
        /// The order.
        bill: Bill,
        /// The money.
        source: Source,
        /// How much.
        amount: Money,
        /// When it was paid, by the channel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paid_at: Option<Moment>,
        /// Whether it may still fail: nothing is captured, and so nothing is a liability.
        #[serde(default, skip_serializing_if = "is_default")]
        provisional: bool,
        /// The choice of which it is a part: it waits for the others. None where it waits for its order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        choice: Option<u16>,
    },
    /// This money pays the order.
    Applied {
        /// The order.
        bill: Bill,
        /// The money.
        source: Source,
        /// How much.
        amount: Money,
        /// Whether it had been held before.
        held: bool,
        /// When it was paid, by the channel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paid_at: Option<Moment>,
        /// Whether it may still fail: nothing is captured yet.
        #[serde(default, skip_serializing_if = "is_default")]
        provisional: bool,
        /// Of a payment by several means what all of them bring, and whether this is the last of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<Part>,
        /// What was taken off the price that is paid by it, where something was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        discounts: Option<Box<Discounts>>,
        /// Why this money and no other; none in events of the first releases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<AppliedReason>,
    },
    /// What was applied and could still fail is captured.
    Settled {
        /// The order.
        bill: Bill,
        /// The money.
        source: Source,
        /// How much.
        amount: Money,
    },
    /// What may still fail does not count: the order is paid otherwise, or is not due it. If it is captured after all, it goes back.
    PassedOver {
        /// The order.
        bill: Bill,
        /// The money.
        source: Source,
        /// How much.
        amount: Money,
        /// Why.
        reason: RefundReason,
        /// Whether it had paid the order until now.
        applied: bool,
    },
    /// What could still fail has failed: nothing is captured, and nothing will be.
    Reversed {
        /// The order.
        bill: Bill,
        /// The money.
        source: Source,
        /// How much.
        amount: Money,
        /// Whether it had paid the order until now: it is due again.
        applied: bool,
    },
    /// A person wants money to go back that pays the order, and so much of it that another person must agree.
    RefundWanted {
        /// The order.
        bill: Bill,
        /// The money.
        source: Source,
        /// How much of it.
        amount: Money,
        /// Who wants it.
        by: Said,
        /// What they said, by its id.
        said: EventId,
        /// What of it is to go back from other money that pays the order beside this.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        beside: Vec<(Source, Money)>,
    },
    /// Another person does not agree to that: nothing of it goes back.
    RefundDeclined {
        /// The order.
        bill: Bill,
        /// What the first one said, by its id.
        said: EventId,
        /// Who does not agree, and why.
        by: Said,
    },
    /// The order takes no money any more: what comes for it goes back.
    Withdrawn {
        /// The order.
        bill: Bill,
    },
    /// This money paid an order of an older system: it is known here, and its books, refunds included, are there.
    Imported {
        /// The order.
        bill: Bill,
        /// The money.
        source: Source,
        /// How much.
        amount: Money,
        /// The number under which the channel was asked.
        number: Arc<str>,
        /// When it was paid, by the channel.
        paid_at: Moment,
    },
    /// This money is to go back.
    RefundRequested {
        /// The order.
        bill: Bill,
        /// The money.
        source: Source,
        /// How much.
        amount: Money,
        /// The refund.
        refund: Id,
        /// Why.
        reason: RefundReason,
        /// How often it has been asked for, this time included.
        tries: u32,
        /// Whether the money had been held before.
        held: bool,
        /// When to ask again if no answer came.
        due_at: Moment,
        /// Whether it is asked about, and not asked for.
        #[serde(default, skip_serializing_if = "is_default")]
        asks: bool,
        /// Whether it had paid the order until now.
        #[serde(default, skip_serializing_if = "is_default")]
        applied: bool,
        /// What the transaction captured in all, where this is a part of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        captured: Option<Money>,
        /// Who decided so, where a person did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Said>,
        /// Who agreed, where two must.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approved: Option<Said>,
    },
    /// How a refund stands at its channel.
    RefundStood {
        /// The order.
        bill: Bill,
        /// The money.
        source: Source,
        /// The refund.
        refund: Id,
        /// How it stands.
        state: RefundState,
        /// When it is asked for, or about, again; none where it waits for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_at: Option<Moment>,
    },
    /// This money went back.
    Refunded {
        /// The order.
        bill: Bill,
        /// The money.
        source: Source,
        /// How much.
        amount: Money,
        /// The refund.
        refund: Id,
        /// What of the money had not gone back before this, where that is more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<Money>,
        /// Whether it was given out of a drawer, whatever it had come by.
        #[serde(default, skip_serializing_if = "is_default")]
        drawer: bool,
        /// When, by its channel's own clock, where that has said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        done_at: Option<Moment>,
    },
    /// It was chosen how to pay an order.
    Chosen {
        /// The order.
        bill: Bill,
        /// The choice's number, which is the number of its first attempt.
        choice: u16,
        /// By what, in the order in which it is asked for.
        tenders: Vec<Tender>,
        /// Until when.
        until: Moment,
        /// Who chose.
        by: Said,
        /// The stay whose fee its channel deducts by the plate: the choice of nobody, but of whoever let the channel do so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deducts: Option<Box<Deducted>>,
    },
    /// A channel is asked to do something with an attempt.
    Attempted {
        /// The order.
        bill: Bill,
        /// The attempt.
        attempt: Id,
        /// The choice that it belongs to.
        choice: u16,
        /// The channel.
        channel: Arc<str>,
        /// What it is to bring.
        amount: Money,
        /// What is asked.
        act: Act,
        /// How often that has been asked, this time included.
        tries: u32,
        /// Until when it can be paid.
        until: Moment,
        /// When to ask again if no answer came.
        due_at: Moment,
        /// The stay whose fee is deducted by the plate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deducts: Option<Box<Deducted>>,
    },
    /// How an attempt stands at its channel.
    AttemptStood {
        /// The order.
        bill: Bill,
        /// The attempt.
        attempt: Id,
        /// How it stands.
        state: AttemptState,
        /// What the driver scans or follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Arc<str>>,
        /// When it is asked about again; none once it is over, unless what it brought may still fail.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_at: Option<Moment>,
    },
    /// A cashier's shift begins.
    ShiftOpened {
        /// The shift.
        shift: ShiftAt,
        /// What is in the drawer.
        float: Money,
        /// Who begins it.
        by: Said,
    },
    /// A shift took cash, or gave it back.
    ShiftTook {
        /// The shift.
        shift: ShiftAt,
        /// The order.
        order: Id,
        /// How much; below zero where it was given back.
        amount: Money,
        /// Who.
        by: Said,
    },
    /// The drawer was counted.
    ShiftCounted {
        /// The shift.
        shift: ShiftAt,
        /// What was in it.
        counted: Money,
        /// Who counted.
        by: Said,
    },
    /// A shift ended.
    ShiftClosed {
        /// The shift.
        shift: ShiftAt,
        /// What should be in the drawer.
        expected: Money,
        /// What was in it.
        counted: Money,
        /// Who ended it.
        by: Said,
    },
    /// Of a shift nothing was to be done.
    ShiftNoted {
        /// The shift.
        shift: ShiftAt,
        /// Why.
        note: Note,
        /// Who wanted something.
        by: Said,
    },
    /// Nothing was to be done.
    Noted {
        /// Why.
        note: Note,
        /// The order.
        order: Id,
    },
}

/// A part of a payment by several means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What all of them bring.
    pub of: Money,
    /// Whether it is the last of them: the order is paid.
    pub last: bool,
}

impl PaymentEvent {
    /// The bill that it is about; none where nothing was to be done, or where it is about a shift.
    pub const fn bill(&self) -> Option<&Bill> {
        match self {
            Self::Expected { bill, .. }
            | Self::Held { bill, .. }
            | Self::Applied { bill, .. }
            | Self::Settled { bill, .. }
            | Self::PassedOver { bill, .. }
            | Self::Reversed { bill, .. }
            | Self::RefundWanted { bill, .. }
            | Self::RefundDeclined { bill, .. }
            | Self::Withdrawn { bill }
            | Self::Imported { bill, .. }
            | Self::RefundRequested { bill, .. }
            | Self::RefundStood { bill, .. }
            | Self::Refunded { bill, .. }
            | Self::Chosen { bill, .. }
            | Self::Attempted { bill, .. }
            | Self::AttemptStood { bill, .. } => Some(bill),
            Self::ShiftOpened { .. }
            | Self::ShiftTook { .. }
            | Self::ShiftCounted { .. }
            | Self::ShiftClosed { .. }
            | Self::ShiftNoted { .. }
            | Self::Noted { .. } => None,
        }
    }

    /// The order that it is about; none where it is about a shift alone.
    pub fn order(&self) -> Option<Id> {
        match self {
            Self::Noted { order, .. } | Self::ShiftTook { order, .. } => Some(*order),
            event => event.bill().map(|bill| bill.order),
        }
    }

    /// The shift that it is about, if it is about one.
    pub const fn shift(&self) -> Option<&ShiftAt> {
        match self {
            Self::ShiftOpened { shift, .. }
            | Self::ShiftTook { shift, .. }
            | Self::ShiftCounted { shift, .. }
            | Self::ShiftClosed { shift, .. }
            | Self::ShiftNoted { shift, .. } => Some(shift),
            _ => None,
        }
    }
}
