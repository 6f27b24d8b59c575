//! What a person says at a desk: a service desk, a booth, an operator's back office. Each thing with its author and reason.
//!
//! Nothing is overwritten by it: a correction is a new fact (design.md, promise 10).
//!
//! Not here: who may say it (the server's permissions, the operator API), what becomes of it (`rules`).

use crate::{
    Credential, EventId, LotId, Moment, Token,
    fact::{self, PartId, What},
    id,
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
}

impl Says {
    /// The last token of its subject.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Stated { .. } => "stated",
        }
    }
}

impl DeskEvent {
    /// The longest reason, in characters.
    pub const REASON_MAX: usize = 200;
    /// The most vehicles of one statement.
    pub const VEHICLES_MAX: usize = 64;

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
        let Says::Stated { what, of, .. } = &mut self.says;
        stated(&self.lot, what, of)?;
        Ok(self)
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
        What::Arrear(_) | What::Presence(_) | What::Removed(fact::Kind::Arrears | fact::Kind::Presence) => {
            return Err("what a vehicle owes and where it is follow from its orders and sessions: correct those".into());
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
            (DeskEvent { reason: "".into(), ..said(right(vec![]), one()) }, "0 characters"),
            (DeskEvent { reason: "x".repeat(201).into(), ..said(right(vec![]), one()) }, "201 characters"),
            (DeskEvent { said_at: Moment(-1), ..said(right(vec![]), one()) }, "before 1970"),
        ] {
            let told = event.clone().checked().err().unwrap_or_default();
            assert!(told.contains(part) && told.is_empty() == part.is_empty(), "{event:?}: {told:?}");
        }
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
