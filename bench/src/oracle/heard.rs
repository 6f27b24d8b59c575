//! What the whole system had heard of a vehicle: by it a decision may go that was made in another partition, a moment behind.
//!
//! Not here: whether what was stated is what somebody said at a desk (`stays`).

use crate::logs::Logs;
use schema::{
    Credential, Event, Journal, LotId, Moment,
    fact::{AssignedRight, PartId, Stated, What},
    journal::{Marks, RightUsed, SessionEvent},
    reference::LotReference,
    time::SECOND,
};
use std::collections::{BTreeMap, BTreeSet};

/// How long it may take until everybody goes by what was stated. A system that was restarted in between takes as long as its cache.
const SPREADS: i64 = 120 * SECOND;

/// Everything that was stated, and where each car was.
#[derive(Default)]
pub struct Heard<'a> {
    stated: BTreeMap<PartId, Vec<(Moment, &'a Stated)>>,
    lots: BTreeMap<&'a Credential, BTreeSet<LotId>>,
}

impl<'a> Heard<'a> {
    /// All that these logs say.
    pub fn of(logs: &'a Logs) -> Self {
        let mut heard = Self::default();
        for line in logs.journal(Journal::Session) {
            match &line.recorded.event {
                Event::Session(SessionEvent::Stated { stated, .. }) => {
                    heard.stated.entry(stated.part).or_default().push((line.recorded.at, stated));
                }
                Event::Session(SessionEvent::Opened { stay, .. } | SessionEvent::Corrected { stay, .. }) => {
                    heard.lots.entry(&stay.credential).or_default().insert(stay.lot);
                }
                _ => {}
            }
        }
        heard
    }

    fn of_car(&self, part: &PartId, car: &Credential) -> impl Iterator<Item = &'a What> {
        let of = self.stated.get(part).into_iter().flatten().filter(|(_, stated)| stated.of.contains(car));
        of.map(|(_, stated)| &stated.what).collect::<Vec<_>>().into_iter()
    }

    /// The right that a car may have come in by, with who shares it: one that was stated of it.
    pub fn right(&self, used: &RightUsed, car: &Credential) -> Option<(RightUsed, Vec<Credential>)> {
        let is_it = |right: &AssignedRight| (right.from, right.until, &right.bands) == (used.from, used.until, &used.bands);
        let right = self.of_car(&used.id, car).find_map(|what| if let What::Right(right) = what { is_it(right).then_some(right) } else { None })?;
        Some((used.clone(), right.holders.iter().filter(|holder| *holder != car).cloned().collect()))
    }

    /// The marks that may be true of a car that comes to a lot; what cannot be is taken out.
    pub fn marks(&self, marks: &Marks, car: &Credential, lot: &LotId) -> Marks {
        let stated = |part: &PartId, wanted: fn(&What) -> bool| self.of_car(part, car).any(wanted);
        let was_in = |other: &LotId| other != lot && self.lots.get(car).is_some_and(|lots| lots.contains(other));
        Marks {
            right: marks.right.as_ref().and_then(|used| Some(self.right(used, car)?.0)),
            overrun: marks.overrun.filter(|part| stated(part, |what| matches!(what, What::Right(_)))),
            reservation: marks.reservation.filter(|part| stated(part, |what| matches!(what, What::Reservation(_)))),
            elsewhere: marks.elsewhere.filter(was_in),
            missed: marks.missed.clone(),
            local: marks.local,
            lost: None,
            notice: None,
        }
    }

    /// Whether a car may have been known to be banned at a lot, and whether it must have been.
    pub fn banned(&self, car: &Credential, lot: &LotReference, seen_at: Moment, stored_at: Moment) -> (bool, bool) {
        let covers = |stated: &Stated| {
            let What::Ban(ban) = &stated.what else { return false };
            let declared = &lot.declared;
            let now = ban.from <= seen_at && ban.until.is_none_or(|until| seen_at < until);
            now && stated.of.contains(car) && ban.scope.covers(&declared.operator, &declared.lot, &declared.groups)
        };
        let (mut may, mut must) = (false, false);
        for versions in self.stated.values() {
            may |= versions.iter().any(|(_, stated)| covers(stated));
            // In force long before, and not changed until long after.
            let settled = versions.iter().rev().find(|(at, _)| at.plus(SPREADS) < stored_at);
            let changes = versions.iter().any(|(at, _)| at.plus(SPREADS) >= stored_at && *at < stored_at.plus(SPREADS));
            must |= !changes && settled.is_some_and(|(_, stated)| covers(stated));
        }
        (may, must)
    }
}
