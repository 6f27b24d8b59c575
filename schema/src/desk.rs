//! What a person says at a desk: a service desk, a booth, an operator's back office. Each thing with its author and reason.
//!
//! Nothing is overwritten by it: a correction is a new fact (design.md, promise 10).
//!
//! Not here: who may say it (the server's permissions, the operator API), what becomes of it (`rules`).

use crate::{
    Credential, EventId, GateKind, Id, Journal, LaneId, LotId, Moment, Money, Partition, Token,
    fact::{self, PartId, What},
    id,
    rate::{Validation, ValidationKind},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Who said it: the name of a person's account, or of the tool that speaks for one.
pub type AuthorId = Token<64>;

/// One thing that was said: the payload of `desk.<lot>.<kind>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskEvent {
    /// The id of this saying: the same when it is sent again.
    pub id: EventId,
    /// The lot at whose desk it was said: its partition decides it.
    pub lot: LotId,
    /// When; microseconds since 1970 in UTC.
    pub said_at: Moment,
    /// Who.
    pub author: AuthorId,
    /// Why, for whoever reads it later; 1 to [`DeskEvent::REASON_MAX`] characters.
    pub reason: Arc<str>,
    /// What.
    pub says: Says,
}

/// What can be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Says {
    /// Something that is known of vehicles from now on, in whatever lots it says: a right, a ban, a reservation; or that one of these is no more.
    Stated {
        /// Its id, under which it is changed and removed at the same desk; unique among all desks.
        part: PartId,
        /// What.
        what: What,
        /// Of which vehicles; 1 to [`DeskEvent::VEHICLES_MAX`]. For a right they are its holders. Whoever is no longer named is no longer
        /// concerned. None with a removal.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        of: Vec<Credential>,
    },
    /// A merchant takes something off the stay of a car that is inside.
    Validated {
        /// Which car.
        who: Credential,
        /// What is taken off, and who bears it. Its id counts once for a stay.
        validation: Validation,
    },
    /// A person let a car through, or saw that it passed unseen by any device.
    LetThrough {
        /// The lane.
        lane: LaneId,
        /// Which way: `entry` or `exit`.
        way: GateKind,
        /// Which car, where it was looked at: it is inside from then on, or has left and owes what it has not paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<Credential>,
        /// When; left out: now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Moment>,
        /// Whether the barrier is to open for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        open: bool,
    },
    /// A car that is inside was read wrongly, or came at another time. An exit that waits for its entry under the right plate has it then. Of a stay
    /// that is over the price is found anew: what was paid too much goes back, what is lacking is owed.
    Corrected {
        /// Under what it is known.
        who: Credential,
        /// What it really is; left out: that is right.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        is: Option<Credential>,
        /// When it really came; left out: that is right.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entered_at: Option<Moment>,
        /// Which stay, where its car has gone; left out: the one that is inside.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stay: Option<Id>,
    },
    /// A car was found inside, or was not, when the lot was looked through. What is known already changes nothing; what differs becomes an entry or
    /// an exit that no device saw, at the moment of saying.
    Stock {
        /// Which car. A plate without its colour is that of the one car inside with this text.
        who: Credential,
        /// Whether it is there.
        held: bool,
    },
    /// Money that pays an order is to go back, all of it or a part. Past a limit another person must agree.
    Refund {
        /// The order.
        order: Id,
        /// The channel by which it came.
        channel: Arc<str>,
        /// The channel's transaction.
        transaction: Arc<str>,
        /// How much; above zero.
        amount: Money,
    },
    /// Another person agrees to a refund.
    Approved {
        /// The order.
        order: Id,
        /// What the first one said, by its id.
        refund: EventId,
    },
    /// Another person does not agree to a refund: nothing of it goes back.
    Declined {
        /// The order.
        order: Id,
        /// What the first one said, by its id.
        refund: EventId,
    },
    /// A person has found out how a refund stands that its channel could not make.
    RefundSettled {
        /// The order.
        order: Id,
        /// The refund.
        refund: Id,
        /// Whether the money went back, by whatever way; if not, it is asked for once more.
        back: bool,
        /// The shift from whose drawer it was given, if it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shift: Option<ShiftName>,
    },
    /// A driver, or who serves one, chose how to pay an order. The open payments of an earlier choice are closed first.
    Pay {
        /// The order.
        order: Id,
        /// By what, each a channel of its own; the sum is what is due. 1 to [`DeskEvent::TENDERS_MAX`].
        tenders: Vec<Tender>,
    },
    /// Cash was taken at a booth.
    Cash {
        /// The order.
        order: Id,
        /// How much of it is kept: what was due, without the change.
        amount: Money,
        /// The shift that took it.
        shift: ShiftName,
    },
    /// A cashier's shift begins, counts its drawer, or ends.
    Shift {
        /// Its name: unique at the lot, for ever.
        shift: ShiftName,
        /// What happens.
        step: ShiftStep,
    },
    /// Money goes back of whatever paid an order, split by the operator's rule where several means did. Past a limit another person must agree.
    RefundShared {
        /// The order.
        order: Id,
        /// How much; above zero.
        amount: Money,
    },
    /// Nobody knows when the car came that waits at an exit, and it has no ticket: it pays what the rate table says of that.
    Lost {
        /// The car.
        who: Credential,
    },
    /// Something is done about an exception of a reconciliation, at the desk of its partition ([`crate::exception::desk_of`]).
    Exception {
        /// The exception.
        exception: Id,
        /// What.
        step: ExceptionStep,
    },
}

/// The name of a shift.
pub type ShiftName = Token<32>;

/// One means inside a payment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tender {
    /// The channel: `wechat`, `points`, `cash` …
    pub channel: Arc<str>,
    /// What it is to bring; above zero.
    pub amount: Money,
}

/// What happens to a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShiftStep {
    /// It begins with so much in the drawer.
    Opened(Money),
    /// So much was counted in the drawer. The newest count before the end counts.
    Counted(Money),
    /// It ends. Its difference is what was counted less what should be there.
    Closed,
}

/// What is done about an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionStep {
    /// This person looks after it.
    Assign(AuthorId),
    /// Its channel is asked how the payment stands.
    Requery,
    /// What we lack goes in as if the channel had said it.
    Repair,
    /// What the channel has too much is booked, and goes back.
    Refund,
    /// It is let be. Past a limit another person must agree.
    WriteOff,
    /// Another person agrees to that, by the id of what the first one said.
    Approve(EventId),
}

/// Who said something, when and why: what an event carries of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Who.
    pub author: AuthorId,
    /// Why.
    pub reason: Arc<str>,
    /// When.
    pub at: Moment,
}

impl Says {
    /// The last token of its subject.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Stated { .. } => "stated",
            Self::Validated { .. } => "validated",
            Self::LetThrough { .. } => "let_through",
            Self::Corrected { .. } => "corrected",
            Self::Lost { .. } => "lost",
            Self::Stock { .. } => "stock",
            Self::Refund { .. } => "refund",
            Self::Approved { .. } => "approved",
            Self::Declined { .. } => "declined",
            Self::RefundSettled { .. } => "refund_settled",
            Self::RefundShared { .. } => "refund_shared",
            Self::Pay { .. } => "pay",
            Self::Cash { .. } => "cash",
            Self::Shift { .. } => "shift",
            Self::Exception { .. } => "exception",
        }
    }
}

impl Says {
    /// The journal in which it is decided.
    pub const fn decided_in(&self) -> Journal {
        match self {
            Self::Refund { .. }
            | Self::RefundShared { .. }
            | Self::Approved { .. }
            | Self::Declined { .. }
            | Self::RefundSettled { .. }
            | Self::Pay { .. }
            | Self::Cash { .. }
            | Self::Shift { .. } => Journal::Payment,
            Self::Exception { .. } => Journal::Recon,
            Self::Stated { .. }
            | Self::Validated { .. }
            | Self::LetThrough { .. }
            | Self::Corrected { .. }
            | Self::Stock { .. }
            | Self::Lost { .. } => Journal::Session,
        }
    }

    /// Whether it is about money that a channel or a drawer has.
    pub const fn is_of_money(&self) -> bool {
        matches!(self.decided_in(), Journal::Payment)
    }

    /// The order that it is about, where it is about one.
    pub const fn order(&self) -> Option<Id> {
        match self {
            Self::Refund { order, .. }
            | Self::RefundShared { order, .. }
            | Self::Approved { order, .. }
            | Self::Declined { order, .. }
            | Self::RefundSettled { order, .. }
            | Self::Pay { order, .. }
            | Self::Cash { order, .. } => Some(*order),
            Self::Stated { .. }
            | Self::Validated { .. }
            | Self::LetThrough { .. }
            | Self::Corrected { .. }
            | Self::Stock { .. }
            | Self::Lost { .. }
            | Self::Shift { .. }
            | Self::Exception { .. } => None,
        }
    }
}

impl DeskEvent {
    /// The lane of what no lane saw: a car that was found, or missed, when a lot was looked through.
    pub fn no_lane() -> LaneId {
        "stock".parse().expect("letters are a token")
    }

    /// The longest reason, in characters.
    pub const REASON_MAX: usize = 200;
    /// The longest id and bearer of a validation, in characters.
    pub const NAME_MAX: usize = 64;
    /// The most vehicles of one statement.
    pub const VEHICLES_MAX: usize = 64;
    /// The most means of one payment.
    pub const TENDERS_MAX: usize = 4;

    /// Who said it, when and why.
    pub fn said(&self) -> Said {
        Said { author: self.author, reason: self.reason.clone(), at: self.said_at }
    }

    /// The subject that it is published on.
    pub fn subject(&self) -> String {
        format!("desk.{}.{}", self.lot, self.says.kind())
    }

    /// What tells this from all others of the inbox, in 20 characters.
    pub fn key(&self) -> String {
        id::digest(&["desk", self.lot.as_str(), self.id.as_str(), &self.said_at.0.to_string()], 20)
    }

    /// The same with every credential as [`Credential::identity`] says it, or what is wrong with it and what to do about that.
    pub fn checked(mut self) -> Result<Self, String> {
        let reason = self.reason.chars().count();
        if reason == 0 || reason > Self::REASON_MAX {
            return Err(format!("the reason has {reason} characters: say why in 1 to {}", Self::REASON_MAX));
        }
        if self.said_at.0 < 0 {
            return Err("said_at is before 1970: it is microseconds since then, in UTC".into());
        }
        let identify = |credential: &mut Credential| {
            credential.check()?;
            *credential = credential.clone().identity();
            Ok::<(), String>(())
        };
        match &mut self.says {
            Says::Stated { what, of, .. } => stated(&self.lot, what, of)?,
            Says::Validated { who, validation } => {
                identify(who)?;
                sound(validation)?;
            }
            Says::LetThrough { way: GateKind::Price | GateKind::Passed, .. } => return Err("way is entry or exit".into()),
            Says::LetThrough { who: None, open: false, .. } => {
                return Err("it names no car and opens nothing: name the car, or let it open the barrier".into());
            }
            Says::LetThrough { who, .. } => who.iter_mut().try_for_each(identify)?,
            Says::Corrected { is: None, entered_at: None, .. } => return Err("nothing is corrected: say what it is, or entered_at".into()),
            Says::Corrected { who, is, stay, .. } => {
                identify(who)?;
                is.iter_mut().try_for_each(identify)?;
                if let Some(stay) = stay {
                    of_this_desk(self.lot, "stay", stay)?;
                }
            }
            Says::Lost { who } | Says::Stock { who, .. } => identify(who)?,
            Says::Refund { amount, .. } | Says::RefundShared { amount, .. } if amount.minor <= 0 => {
                return Err(format!("{amount} are to go back: an amount above zero"));
            }
            Says::Cash { amount, .. } if amount.minor <= 0 => return Err(format!("{amount} were taken: an amount above zero")),
            Says::Shift { step: ShiftStep::Opened(amount) | ShiftStep::Counted(amount), .. } if amount.minor < 0 => {
                return Err(format!("{amount} in a drawer: zero or more"));
            }
            Says::Shift { .. } => {}
            Says::Exception { exception, .. } => of_this_desk(self.lot, "exception", exception)?,
            Says::Pay { order, tenders } => {
                of_this_desk(self.lot, "order", order)?;
                tendered(tenders)?;
            }
            Says::Refund { order, .. }
            | Says::RefundShared { order, .. }
            | Says::Approved { order, .. }
            | Says::Declined { order, .. }
            | Says::RefundSettled { order, .. }
            | Says::Cash { order, .. } => of_this_desk(self.lot, "order", order)?,
        }
        Ok(self)
    }
}

fn of_this_desk(lot: LotId, what: &str, id: &Id) -> Result<(), String> {
    let place = id::place(id.as_str()).ok_or_else(|| format!("{id} is no {what} of ours"))?;
    let is_of_lot = place.partition == Partition::of_lot(lot.as_str());
    if is_of_lot { Ok(()) } else { Err(format!("{what} {id} is not of lot {lot}: say it at its own lot's desk")) }
}

fn tendered(tenders: &[Tender]) -> Result<(), String> {
    if tenders.is_empty() || tenders.len() > DeskEvent::TENDERS_MAX {
        return Err(format!("{} means of payment: 1 to {}", tenders.len(), DeskEvent::TENDERS_MAX));
    }
    for (at, tender) in tenders.iter().enumerate() {
        if tender.amount.minor <= 0 {
            return Err(format!("{} by {}: an amount above zero", tender.amount, tender.channel));
        }
        if tender.channel.parse::<Token<32>>().is_err() {
            return Err("a channel is a word, as wechat or points".into());
        }
        if tenders.iter().take(at).any(|before| before.channel == tender.channel) {
            return Err(format!("{} is named twice: each means once", tender.channel));
        }
    }
    Ok(())
}

fn sound(validation: &Validation) -> Result<(), String> {
    let has_a_name = |text: &str| (1..=DeskEvent::NAME_MAX).contains(&text.chars().count());
    if !has_a_name(&validation.id) || !has_a_name(&validation.bearer) {
        return Err(format!("a validation has an id and a bearer of 1 to {} characters each", DeskEvent::NAME_MAX));
    }
    if validation.over {
        return Err("whether a validation is over its limit is decided, and not said: leave over out".into());
    }
    match validation.kind {
        ValidationKind::Percent { percent } if percent > 100 => Err(format!("{percent} percent: at most 100")),
        ValidationKind::FreeTime { minutes: less } | ValidationKind::AmountOff { amount: less } if less < 0 => Err(format!("{less}: at least 0")),
        ValidationKind::Free | ValidationKind::Percent { .. } | ValidationKind::FreeTime { .. } | ValidationKind::AmountOff { .. } => Ok(()),
    }
}

fn stated(lot: &LotId, what: &mut What, of: &mut Vec<Credential>) -> Result<(), String> {
    for credential in of.iter_mut() {
        credential.check()?;
        *credential = credential.clone().identity();
    }
    of.sort();
    of.dedup();
    if of.len() > DeskEvent::VEHICLES_MAX {
        return Err(format!("{} vehicles: a statement is of at most {}; make several", of.len(), DeskEvent::VEHICLES_MAX));
    }
    match what {
        What::Arrear(_) | What::Presence(_) | What::Coupons(_) | What::Removed(fact::Kind::Arrears | fact::Kind::Presence | fact::Kind::Coupons) => {
            return Err("what a vehicle owes, where it is and what it has used follow from its orders and sessions: correct those".into());
        }
        What::Removed(_) if !of.is_empty() => return Err("a removal is of whoever it was stated of: name no vehicles".into()),
        What::Right(_) | What::Ban(_) | What::Reservation(_) if of.is_empty() => return Err("no vehicle is named: name at least one".into()),
        What::Reservation(held) if held.lot != *lot => {
            return Err(format!("a space of lot {} is held at its own desk: publish on desk.{}.stated", held.lot, held.lot));
        }
        What::Right(right) => {
            right.holders.clone_from(of);
        }
        What::Ban(_) | What::Reservation(_) | What::Removed(_) => {}
    }
    if let What::Right(right) = what
        && right.bands.iter().any(|band| !band.is_sound())
    {
        return Err("a time band: days is the sum of 1 for Monday to 64 for Sunday, from_min below 1440, to_min at most 1440".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fact::{AssignedRight, Ban, Reservation, Scope, TimeBand, Weekdays},
        gate::Colour,
    };

    fn name<const N: usize>(text: &str) -> Token<N> {
        text.parse().expect("a name")
    }

    fn said(what: What, of: Vec<Credential>) -> DeskEvent {
        let says = Says::Stated { part: name("pass-1"), what, of };
        DeskEvent { id: name("1"), lot: name("centre"), said_at: Moment(1), author: name("lin"), reason: "a resident".into(), says }
    }

    fn right(bands: Vec<TimeBand>) -> What {
        let scope = Scope::Operator(name("city"));
        What::Right(AssignedRight { scope, bands, from: Moment(0), until: Moment(9), cars_max: 1, holders: Vec::new() })
    }

    #[test]
    fn a_statement_that_means_nothing_is_refused_with_a_reason() {
        let car = |text: &str| Credential::plate(text, Colour::Blue);
        let one = || vec![car("粤B12345")];
        let band = TimeBand { days: Weekdays(0), from_min: 0, to_min: 60 };
        let held = |lot: &str| What::Reservation(Reservation { lot: name(lot), from: Moment(0), until: Moment(9) });
        let many = (0..65).map(|n| car(&format!("粤B{n:05}"))).collect();
        for (event, part) in [
            (said(right(vec![]), one()), ""),
            (said(right(vec![]), vec![]), "no vehicle is named"),
            (said(right(vec![]), many), "65 vehicles"),
            (said(right(vec![band]), one()), "a time band"),
            (said(right(vec![]), vec![car("")]), "0 characters"),
            (said(held("centre"), one()), ""),
            (said(held("river"), one()), "desk.river.stated"),
            (said(What::Removed(fact::Kind::Bans), vec![]), ""),
            (said(What::Removed(fact::Kind::Bans), one()), "name no vehicles"),
            (said(What::Removed(fact::Kind::Arrears), vec![]), "follow from its orders"),
            (said(What::Removed(fact::Kind::Coupons), vec![]), "follow from its orders"),
            (DeskEvent { reason: "".into(), ..said(right(vec![]), one()) }, "0 characters"),
            (DeskEvent { reason: "x".repeat(201).into(), ..said(right(vec![]), one()) }, "201 characters"),
            (DeskEvent { said_at: Moment(-1), ..said(right(vec![]), one()) }, "before 1970"),
        ] {
            let told = event.clone().checked().err().unwrap_or_default();
            assert!(told.contains(part) && told.is_empty() == part.is_empty(), "{event:?}: {told:?}");
        }
    }

    #[test]
    fn what_is_done_by_hand_is_held_to_what_it_means() {
        let (who, lane) = (Credential::plate("粤b·12345", Colour::Blue), name("out"));
        let coupon = |id: &str, kind| Validation { id: id.into(), bearer: "cinema".into(), kind, over: false };
        let off = |kind| Says::Validated { who: who.clone(), validation: coupon("v-1", kind) };
        let through = |way, who, open| Says::LetThrough { lane, way, who, at: None, open };
        let right = |is, entered_at| Says::Corrected { who: who.clone(), is, entered_at, stay: None };
        for (says, part) in [
            (off(ValidationKind::Percent { percent: 100 }), ""),
            (off(ValidationKind::Percent { percent: 101 }), "101 percent"),
            (off(ValidationKind::FreeTime { minutes: -1 }), "-1"),
            (Says::Validated { who: who.clone(), validation: coupon("", ValidationKind::Free) }, "1 to 64"),
            (
                Says::Validated { who: who.clone(), validation: Validation { over: true, ..coupon("v-1", ValidationKind::Free) } },
                "decided, and not said",
            ),
            (through(GateKind::Exit, Some(who.clone()), false), ""),
            (through(GateKind::Entry, None, true), ""),
            (through(GateKind::Entry, None, false), "names no car"),
            (through(GateKind::Price, Some(who.clone()), true), "entry or exit"),
            (right(Some(Credential::plate("粤B12346", Colour::Blue)), None), ""),
            (right(None, Some(Moment(1))), ""),
            (right(None, None), "nothing is corrected"),
            (Says::Lost { who: Credential::plate("", Colour::Blue) }, "0 characters"),
        ] {
            let event = DeskEvent { says, ..said(What::Removed(fact::Kind::Bans), vec![]) };
            let told = event.clone().checked().err().unwrap_or_default();
            assert!(told.contains(part) && told.is_empty() == part.is_empty(), "{event:?}: {told:?}");
        }
        let lost = DeskEvent { says: Says::Lost { who: who.clone() }, ..said(What::Removed(fact::Kind::Bans), vec![]) };
        let Ok(DeskEvent { says: Says::Lost { who }, .. }) = lost.checked() else { panic!("it is sound") };
        assert_eq!(who, Credential::plate("粤B12345", Colour::Blue));
    }

    #[test]
    fn the_vehicles_of_a_right_are_its_holders_each_once() {
        let wide = Credential { kind: crate::gate::CredentialKind::Plate, text: "粤b·12345".into(), colour: Some(Colour::Blue) };
        let event = said(right(vec![]), vec![wide, Credential::plate("粤B12345", Colour::Blue)]).checked().expect("it can be read");
        let Says::Stated { what: What::Right(right), of, .. } = event.says else { panic!("a right") };
        assert_eq!((right.holders.clone(), of), (vec![Credential::plate("粤B12345", Colour::Blue)], right.holders));
        let ban = What::Ban(Ban { scope: Scope::Lots(vec![]), from: Moment(0), until: None, reason: "x".into() });
        assert_eq!(said(ban, vec![Credential::plate("粤B12345", Colour::Blue)]).subject(), "desk.centre.stated");
    }
}
