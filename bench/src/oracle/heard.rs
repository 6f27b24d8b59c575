//! What the whole system had heard of a vehicle: by it a decision may go that was made in another partition, a moment behind.
//!
//! Invariants
//! 1. Who owes is turned away where the lot says so, and nobody else for it   (`oracle::tests::who_owes_is_turned_away_as_the_lot_says`).
//! 2. A decision rests on nothing that nobody ever said   (`oracle::tests::a_ground_that_nobody_stated_is_found`).
//! 3. What coupons a car has used elsewhere is what was used there, a moment sooner or later   (`oracle::tests::a_coupon_over_its_limit_is_flagged`).
//!
//! Not here: whether what was stated is what somebody said at a desk (`stays`).

use crate::logs::Logs;
use schema::{
    Credential, Day, Event, Id, Journal, LotId, Moment, Money,
    fact::{AssignedRight, OperatorId, PartId, Stated, What},
    journal::{Ground, Marks, RightUsed, SessionEvent},
    reference::LotReference,
    time::{MINUTE, SECOND},
};
use std::collections::{BTreeMap, BTreeSet};

/// How long it may take until everybody goes by what was stated. A system that was restarted in between takes as long as its cache.
const SPREADS: i64 = 120 * SECOND;
/// How long at least it is known what coupons were used, whatever happens to a cache: the log keeps no less than half an hour.
const REMEMBERED: i64 = 20 * MINUTE;

/// In whose lots and on which day a stay has used how many coupons; none where it was no stay of that car.
type Used = Option<(OperatorId, Day, u32)>;

/// What each stay has used, as that changed.
type UsedBy = BTreeMap<Id, Vec<(Moment, Used)>>;

/// Everything that was stated, where each car was, what it owed and what coupons it used.
#[derive(Default)]
pub struct Heard<'a> {
    stated: BTreeMap<PartId, Vec<(Moment, &'a Stated)>>,
    lots: BTreeMap<&'a Credential, BTreeSet<LotId>>,
    debts: BTreeMap<&'a Credential, Vec<Debt<'a>>>,
    /// By car and stay, each with when that was recorded.
    coupons: BTreeMap<&'a Credential, UsedBy>,
}

/// What a car owed to an operator.
#[derive(Clone, Copy)]
struct Debt<'a> {
    car: &'a Credential,
    operator: OperatorId,
    order: Id,
    amount: Money,
    from: Moment,
    /// When it was paid, or became another one.
    until: Option<Moment>,
    /// From when on something has happened to its stay, after which not everybody need go by it.
    sure_until: Option<Moment>,
}

impl Debt<'_> {
    fn ends(&mut self, at: Moment) {
        self.until = self.until.or(Some(at));
        self.wavers(at);
    }

    fn wavers(&mut self, at: Moment) {
        self.sure_until = self.sure_until.or(Some(at));
    }
}

/// What an event makes of the debts of its stay.
fn owing<'a>(debts: &mut Vec<Debt<'a>>, event: &'a SessionEvent, at: Moment) {
    match event {
        SessionEvent::Owed { stay, order, amount, operator } => {
            for debt in &mut *debts {
                debt.ends(at);
            }
            let debt = Debt { car: &stay.credential, operator: *operator, order: *order, amount: *amount, from: at, until: None, sure_until: None };
            debts.extend((amount.minor > 0).then_some(debt));
        }
        SessionEvent::Closed { order, gone: true, .. } => settled(debts, order.as_str(), at),
        SessionEvent::Prepaid { paid, sequence: SessionEvent::PAID_ANEW, .. } => settled(debts, &paid.id, at),
        // Under its other plate it may be known before it is said again.
        SessionEvent::Corrected { stay, gone, .. } => {
            let other = |debt: &Debt<'a>| Debt { car: &stay.credential, from: at, sure_until: Some(at), ..*debt };
            let others: Vec<Debt> = debts.iter().filter(|debt| debt.until.is_none()).map(other).collect();
            for debt in &mut *debts {
                if *gone { debt.ends(at) } else { debt.wavers(at) }
            }
            debts.extend(others);
        }
        SessionEvent::Closed { .. } | SessionEvent::Prepaid { .. } | SessionEvent::Superseded { .. } | SessionEvent::Vacated { .. } => {
            for debt in debts {
                debt.wavers(at);
            }
        }
        _ => {}
    }
}

/// An order of a stay is paid; of what else it owes nobody need be sure.
fn settled(debts: &mut [Debt], order: &str, at: Moment) {
    for debt in debts {
        if debt.order.as_str() == order { debt.ends(at) } else { debt.wavers(at) }
    }
}

impl<'a> Heard<'a> {
    /// All that these logs say.
    pub fn of(logs: &'a Logs) -> Self {
        let mut heard = Self::default();
        let mut owed: BTreeMap<Id, Vec<Debt>> = BTreeMap::new();
        for line in logs.journal(Journal::Session) {
            match &line.recorded.event {
                Event::Session(SessionEvent::Stated { stated, .. }) => {
                    heard.stated.entry(stated.part).or_default().push((line.recorded.at, stated));
                }
                Event::Session(SessionEvent::Opened { stay, .. } | SessionEvent::Corrected { stay, .. }) => {
                    heard.lots.entry(&stay.credential).or_default().insert(stay.lot);
                }
                Event::Session(SessionEvent::Owed { stay, .. }) => {
                    owed.entry(stay.session).or_default();
                }
                _ => {}
            }
            if let Event::Session(event) = &line.recorded.event {
                heard.use_coupons(event, line.recorded.at);
            }
            if let Event::Session(event) = &line.recorded.event
                && let Some(debts) = event.stay().and_then(|stay| owed.get_mut(&stay.session))
            {
                owing(debts, event, line.recorded.at);
            }
        }
        for debt in owed.into_values().flatten() {
            heard.debts.entry(debt.car).or_default().push(debt);
        }
        heard
    }

    /// What an event says of the coupons that a car has used.
    fn use_coupons(&mut self, event: &'a SessionEvent, at: Moment) {
        let (car, session, used) = match event {
            SessionEvent::Validated { stay, validation, limit: Some(limit), .. } if !validation.over => {
                (&stay.credential, stay.session, Some((limit.operator, limit.day, limit.here)))
            }
            SessionEvent::Superseded { stay, .. } | SessionEvent::Vacated { stay } => (&stay.credential, stay.session, None),
            SessionEvent::Corrected { stay, was, .. } if *was != stay.credential => (was, stay.session, None),
            _ => return,
        };
        if used.is_some() || self.coupons.get(car).is_some_and(|stays| stays.contains_key(&session)) {
            self.coupons.entry(car).or_default().entry(session).or_default().push((at, used));
        }
    }

    fn of_car(&self, part: &PartId, car: &Credential) -> impl Iterator<Item = &'a What> {
        let of = self.stated.get(part).into_iter().flatten().filter(|(_, stated)| stated.of.contains(car));
        of.map(|(_, stated)| &stated.what).collect::<Vec<_>>().into_iter()
    }

    fn is_stated(&self, part: &PartId, car: &Credential, wanted: impl Fn(&What) -> bool) -> bool {
        self.of_car(part, car).any(wanted)
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

    /// What a decision on a car rests on, as far as nobody had ever said it.
    pub fn unheard<'g>(&self, car: &Credential, grounds: &'g [Ground]) -> Option<&'g Ground> {
        grounds.iter().find(|ground| match ground {
            Ground::Ban { part, from, until, reason } => {
                !self.is_stated(part, car, |what| matches!(what, What::Ban(ban) if (ban.from, ban.until, &ban.reason) == (*from, *until, reason)))
            }
            Ground::Arrear { order, amount, .. } => {
                !self.debts.get(car).into_iter().flatten().any(|debt| (debt.order, debt.amount) == (*order, *amount))
            }
            Ground::Right { part } | Ground::Overrun { part } => !self.is_stated(part, car, |what| matches!(what, What::Right(_))),
            Ground::Reservation { part } => !self.is_stated(part, car, |what| matches!(what, What::Reservation(_))),
        })
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

    /// How many coupons a car must at least have been known to use in other stays on a day, and how many it may have been.
    pub fn used(&self, car: &Credential, session: Id, (operator, day): (OperatorId, Day), stored_at: Moment) -> (u32, u32) {
        let (long_before, long_after) = (stored_at.plus(-SPREADS), stored_at.plus(SPREADS));
        let on_day = |used: Used| used.filter(|(of, on, _)| (*of, *on) == (operator, day)).map_or(0, |(.., uses)| uses);
        let (mut least, mut most) = (0, 0);
        for (_, versions) in self.coupons.get(car).into_iter().flatten().filter(|(other, _)| **other != session) {
            let settled = versions.iter().rfind(|(at, _)| *at < long_before);
            let moving = versions.iter().filter(|(at, _)| (long_before..long_after).contains(at));
            let of_late: Vec<u32> = moving.map(|(_, used)| on_day(*used)).collect();
            let before = settled.map_or(0, |(_, used)| on_day(*used));
            let is_sure = settled.is_some_and(|(at, _)| at.plus(REMEMBERED) > stored_at);
            least += of_late.iter().copied().min().unwrap_or(before).min(if is_sure { before } else { 0 });
            most += of_late.into_iter().max().unwrap_or(0).max(before);
        }
        (least, most)
    }

    /// Whether a car may have been known to owe something to an operator, and whether it must have been.
    pub fn owes(&self, car: &Credential, operator: &OperatorId, stored_at: Moment) -> (bool, bool) {
        let (long_before, long_after) = (stored_at.plus(-SPREADS), stored_at.plus(SPREADS));
        let is_over = |end: Option<Moment>, at: Moment| end.is_some_and(|end| end < at);
        let (mut may, mut must) = (false, false);
        for debt in self.debts.get(car).into_iter().flatten().filter(|debt| debt.operator == *operator) {
            may |= debt.from < long_after && !is_over(debt.until, long_before);
            must |= debt.from < long_before && !is_over(debt.sure_until, long_after);
        }
        (may, must)
    }
}
