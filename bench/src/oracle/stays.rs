//! What SESSION should say: a naive car park of one partition.
//!
//! Invariants
//! 1. A lost, doubled or changed event of a stay is a difference   (`oracle::tests::each_mutation_is_found`).

use super::World;
use schema::{
    ChannelEvent, ChannelFact, Credential, Day, DeskEvent, GateEvent, GateKind, Id, LaneId, LotId, Moment, Money, Partition, Verdict,
    desk::Says,
    fact::{self, PartId, Stated, What},
    gate::CredentialKind,
    id::{self, Kind, Place, Province},
    journal::{CouponLimit, Deduction, Departure, Entitled, Marks, Note, OrderEvent, Prepays, Refusal, RightUsed, SessionEvent, Stay, Terms},
    rate::{LocalTime, Prepaid, Validation},
    reference::{Deducts, Direction, LotReference, Passback, Policy},
    time::{DAY, MINUTE, SECOND},
};
use std::collections::BTreeMap;

/// How far a device's clock may run ahead of the broker's.
const AHEAD_MAX: i64 = 5 * MINUTE;

/// The end of a command's life is not judged here: it is put to this everywhere before events are compared.
const NO_END: Moment = Moment(0);

type Car = (LotId, Credential);

/// A car that was let out a moment ago.
struct Left {
    session: Id,
    left_at: Moment,
    /// Until when another read of it at an exit is the same read.
    until: Moment,
    /// What is recorded after this makes its lot forget it, once another car leaves there.
    kept: Moment,
    /// The newest of such reads.
    again: Option<Departure>,
}

/// How late such a read may be told of.
const KEPT: i64 = MINUTE;

/// What was asked and paid for a stay.
#[derive(Clone, Default)]
struct Asks {
    /// How often its price was asked for.
    count: u32,
    /// Where and when it was last, unless that was paid.
    newest: Option<Departure>,
    /// What was paid inside.
    paid: Vec<Prepaid>,
    /// What merchants take off.
    validations: Vec<Validation>,
    /// How many of these counted towards what its car may use, on the newest day on which there was one.
    limited: Option<(Day, u32)>,
    /// Whether nobody knows when it came.
    lost: bool,
}

impl Asks {
    /// Takes the next question; its number, and what its price depends on.
    fn ask(&mut self, departure: &Departure, gone: bool) -> (u32, Option<Box<Terms>>) {
        let before = self.newest.as_ref().map(|asked| (self.count, asked.left_at));
        self.count += 1;
        self.newest = Some(departure.clone());
        let terms = Terms { paid: self.paid.clone(), validations: self.validations.clone(), before, gone, lost: self.lost, corrected: None };
        (self.count, (terms != Terms::default()).then(|| Box::new(terms)))
    }
}

/// One partition: who is inside, who has gone, who waits.
pub struct Stays<'a> {
    world: &'a World<'a>,
    partition: Partition,
    inside: BTreeMap<Car, (Stay, Option<Departure>)>,
    gone: BTreeMap<Id, Stay>,
    /// Of those that have gone, the ones that were settled: what settled them may fail.
    settled: BTreeMap<Id, (Stay, Departure)>,
    waiting: BTreeMap<Car, (Id, Departure)>,
    left: BTreeMap<Car, Left>,
    stated: BTreeMap<(LotId, PartId), Stated>,
    rights: BTreeMap<Id, RightUsed>,
    owed: BTreeMap<Id, (Stay, Departure)>,
    asks: BTreeMap<Id, Asks>,
    passes_by: BTreeMap<Id, Moment>,
    /// Every stay that there was, as it was last.
    known: BTreeMap<Id, Stay>,
    /// Those whose fee a channel deducts.
    deducts: BTreeMap<Id, Deduction>,
    /// Those that owe what they had paid inside, and its order.
    failed: BTreeMap<Id, Id>,
    /// What those that were settled paid last.
    closed_by: BTreeMap<Id, Prepaid>,
}

impl<'a> Stays<'a> {
    /// An empty one.
    pub fn new(world: &'a World<'a>, partition: Partition) -> Self {
        Self {
            world,
            partition,
            inside: BTreeMap::new(),
            gone: BTreeMap::new(),
            settled: BTreeMap::new(),
            waiting: BTreeMap::new(),
            left: BTreeMap::new(),
            stated: BTreeMap::new(),
            rights: BTreeMap::new(),
            owed: BTreeMap::new(),
            asks: BTreeMap::new(),
            passes_by: BTreeMap::new(),
            known: BTreeMap::new(),
            deducts: BTreeMap::new(),
            failed: BTreeMap::new(),
            closed_by: BTreeMap::new(),
        }
    }

    /// How many are inside, how many of these stand at an exit, and how many exits wait.
    pub fn counts(&self) -> (u64, u64, u64) {
        let leaving = self.inside.values().filter(|(_, departure)| departure.is_some()).count();
        (self.inside.len() as u64, leaving as u64, self.waiting.len() as u64)
    }

    /// What a gate event becomes. `actual` lends the id of what waits, which is a name and no decision.
    pub fn gate(&mut self, event: &GateEvent, stored_at: Moment, actual: &[&SessionEvent]) -> Vec<SessionEvent> {
        let province = self.world.lot(&event.lot).map_or(Province(0), |lot| lot.declared.province);
        let turned_away = |reason, ask| vec![turned_away(event, province, reason, ask)];
        let refused = |reason| turned_away(reason, false);
        let Some(lot) = self.world.lot(&event.lot) else { return refused(Refusal::UnknownLot) };
        if event.seen_at > stored_at.plus(AHEAD_MAX) {
            return turned_away(Refusal::ClockAhead, true);
        }
        if event.seen_at < stored_at.plus(self.world.late_max.saturating_neg()) {
            return refused(Refusal::TooLate);
        }
        let car: Car = (event.lot, event.credential.clone());
        if event.kind == GateKind::Passed {
            return self.passed(event, lot, province, car, actual);
        }
        if event.kind == GateKind::Price {
            return self.asked(event, province, &car);
        }
        if event.decided.is_some_and(|decided| decided != Verdict::Open) {
            return vec![SessionEvent::Noted { note: Note::LocallyRefused, concerns: None, lot: event.lot, province, ask: None }];
        }
        if event.kind == GateKind::Exit {
            return self.exit(event, province, car, actual);
        }
        let policies = &lot.declared.policies;
        let old = self.inside.get(&car).map(|(stay, _)| stay.clone());
        if event.decided.is_some() && !self.waits_for(&car, event) {
            return self.entered_by_itself(event, province, car, actual);
        }
        if let Some(old) = &old {
            let apart = (event.seen_at.0 - old.entered_at.0).abs();
            if policies.double_read_s > 0 && declares(lot, event) && old.lane == event.lane && apart <= i64::from(policies.double_read_s) * SECOND {
                let ask = Some((event.lane, event.id, NO_END));
                return vec![SessionEvent::Noted { note: Note::DoubleRead, concerns: Some(old.session), lot: event.lot, province, ask }];
            }
            if policies.inside == Passback::Refuse {
                return refused(Refusal::AlreadyInside);
            }
        }
        let place = Place { province, day: lot.zone.day(event.seen_at), partition: self.partition };
        let parts = [event.lot.as_str(), event.lane.as_str(), event.id.as_str(), &event.seen_at.0.to_string()];
        let session = id::derive(Kind::Session, place, &parts);
        let (class, energy) = (event.vehicle_class(), event.vehicle_energy());
        let (lane, credential, entered_at) = (event.lane, event.credential.clone(), event.seen_at);
        let stay = Stay { session, lot: event.lot, province, credential, lane, entered_at, class, energy, sharers: Vec::new() };
        // What is known of a car beside its stay here is a moment old: the decision lends it, and it must be something that was heard.
        let lent = actual.iter().find_map(|event| if let SessionEvent::Opened { marks, .. } = event { Some(marks) } else { None });
        let marks = lent.map(|marks| self.world.heard.marks(marks, &event.credential, &event.lot)).unwrap_or_default();
        let sharers = marks.right.as_ref().and_then(|used| Some(self.world.heard.right(used, &event.credential)?.1)).unwrap_or_default();
        let holds = marks.right.is_some() || marks.overrun.is_some() || marks.reservation.is_some();
        if self.waits_for(&car, event) {
            return self.been_and_gone(event, car, stay, actual);
        }
        if let Some((reason, ask)) = self.keeps_out(lot, event, stored_at, holds, actual) {
            return turned_away(reason, ask);
        }
        let stay = Stay { sharers, ..stay };
        let mut events = Vec::new();
        if let Some(old) = old {
            self.gone.insert(old.session, old.clone());
            events.push(SessionEvent::Superseded { stay: old, by: session, flagged: policies.inside == Passback::Flag });
        }
        self.rights.extend(marks.right.clone().map(|right| (stay.session, right)));
        let (opened, marks) = (stay.clone(), Box::new(Marks { notice: Self::notice(lot, &event.credential), ..marks }));
        let has_sensor = lot.declared.lanes.iter().any(|lane| lane.lane == event.lane && lane.sensor);
        let passes_by = has_sensor.then(|| stored_at.plus(i64::from(lot.declared.pass_within_s) * SECOND));
        self.passes_by.extend(passes_by.map(|by| (stay.session, by)));
        events.push(SessionEvent::Opened { stay: opened, event: event.id, expires_at: NO_END, releases: None, marks, made_of: None, passes_by });
        self.inside.insert(car, (stay, None));
        events
    }

    /// Why a car that asks to come in does not, and whether a person is asked: a refusal counts before a question, and of each the first.
    fn keeps_out(&self, lot: &LotReference, event: &GateEvent, stored_at: Moment, holds: bool, actual: &[&SessionEvent]) -> Option<(Refusal, bool)> {
        let (heard, policies) = (&self.world.heard, &lot.declared.policies);
        // What was on its way may have been known or not: the decision lends which.
        let said = |wanted: Refusal| actual.iter().any(|event| matches!(event, SessionEvent::Refused { reason, .. } if *reason == wanted));
        let known = |reason, kind, (may, must): (bool, bool)| (may && said(reason)) || (must && !was_missed(actual, kind));
        let is_banned = known(Refusal::Banned, fact::Kind::Bans, heard.banned(&event.credential, lot, event.seen_at, stored_at));
        let owes = policies.arrears != Policy::Allow
            && known(Refusal::Arrears, fact::Kind::Arrears, heard.owes(&event.credential, &lot.declared.operator, stored_at));
        if !lot.is_open(event.seen_at) {
            return Some((Refusal::LotClosed, false));
        }
        if let Some(reason) = lane_refuses(lot, event) {
            return Some((reason, false));
        }
        let others = self.inside.keys().filter(|(lot, who)| *lot == event.lot && *who != event.credential).count();
        if i64::try_from(others).unwrap_or(i64::MAX) >= lot.declared.capacity {
            return Some((Refusal::Full, false));
        }
        if is_banned {
            return Some((Refusal::Banned, false));
        }
        if owes && policies.arrears == Policy::Refuse {
            return Some((Refusal::Arrears, false));
        }
        if lot.declared.holders_only && !holds {
            return Some((Refusal::NoRight, false));
        }
        if !declares(lot, event) {
            return Some((Refusal::UnknownLane, true));
        }
        if owes {
            return Some((Refusal::Arrears, true));
        }
        event.confidence.is_some_and(|sure| sure < policies.confidence_min).then_some((Refusal::UnsureRead, true))
    }

    /// Remembers the stays of what should have come, and who has left, each recorded when that was.
    pub fn remember(&mut self, expected: &[SessionEvent], recorded_at: impl Iterator<Item = Moment>) {
        self.known.extend(expected.iter().filter_map(SessionEvent::stay).map(|stay| (stay.session, stay.clone())));
        for (event, at) in expected.iter().zip(recorded_at) {
            match event {
                SessionEvent::Closed { stay, departure, same_read_until: Some(until), .. }
                | SessionEvent::Gone { stay, departure, same_read_until: Some(until), .. } => {
                    let may_be_an_exit = |left: &Left| left.again.as_ref().is_some_and(|again| again.left_at.plus(60 * MINUTE) >= at);
                    self.left.retain(|(lot, _), left| *lot != stay.lot || left.kept >= at || may_be_an_exit(left));
                    let (session, left_at, until, kept) = (stay.session, departure.left_at, *until, at.max(*until).plus(KEPT));
                    self.left.insert((stay.lot, stay.credential.clone()), Left { session, left_at, until, kept, again: None });
                }
                SessionEvent::ReadAgain { lot, credential, departure, .. } => {
                    let Some(left) = self.left.get_mut(&(*lot, credential.clone())) else { continue };
                    if left.again.as_ref().is_none_or(|again| again.left_at < departure.left_at) {
                        left.again = Some(departure.clone());
                    }
                }
                SessionEvent::Opened { stay, .. } => {
                    let Some(left) = self.left.get_mut(&(stay.lot, stay.credential.clone())) else { continue };
                    if left.left_at < stay.entered_at {
                        left.again = None;
                    }
                }
                _ => {}
            }
        }
    }

    /// What a decision rests on that nobody had ever said, in words.
    pub fn made_up(&self, actual: &SessionEvent) -> Option<String> {
        let (car, made_of) = match actual {
            SessionEvent::Opened { stay, made_of, .. } => (&stay.credential, made_of),
            SessionEvent::Refused { credential, made_of, .. } => (credential, made_of),
            _ => return None,
        };
        let unheard = self.world.heard.unheard(car, &made_of.as_ref()?.grounds)?;
        Some(format!("it rests on something that nobody ever said: {unheard:?}"))
    }

    /// Within so many microseconds a car that is read twice is read once.
    fn double_read(&self, lot: &LotId) -> i64 {
        self.world.lot(lot).map_or(0, |lot| i64::from(lot.declared.policies.double_read_s) * SECOND)
    }

    /// Until when a read of a car that is let out is the same read.
    fn same_read_until(&self, lot: &LotId, let_out_at: Moment) -> Option<Moment> {
        let window = self.double_read(lot);
        (window > 0).then(|| let_out_at.plus(window))
    }

    /// The session that a car at an exit has just left, and has not come in since by then.
    fn just_left(&self, car: &Car, event: &GateEvent) -> Option<Id> {
        if self.inside.get(car).is_some_and(|(stay, leaving)| leaving.is_some() || stay.entered_at <= event.seen_at) {
            return None;
        }
        let left = self.left.get(car)?;
        let begins = left.left_at.0 - self.double_read(&car.0);
        (begins..=left.until.0).contains(&event.seen_at.0).then_some(left.session)
    }

    /// A channel has taken note of a car, or has not.
    pub fn channel(&mut self, event: &ChannelEvent) -> Vec<SessionEvent> {
        let ChannelFact::Parked { session, lot, parking } = &event.fact else { return Vec::new() };
        let Some(stay) = self.known.get(session).cloned() else {
            let province = id::place(session.as_str()).map(|place| place.province).unwrap_or_default();
            return vec![SessionEvent::Noted { note: Note::Unknown, concerns: None, lot: *lot, province, ask: None }];
        };
        self.deducts.remove(session);
        self.deducts.extend(parking.clone().map(|parking| (*session, Deduction { channel: event.channel.clone(), parking })));
        vec![SessionEvent::Noticed { stay, channel: event.channel.clone(), parking: parking.clone() }]
    }

    /// Which channel is told of a car that has come in.
    fn notice(lot: &LotReference, credential: &Credential) -> Option<Deducts> {
        let has_plate = credential.kind == CredentialKind::Plate && credential.colour.is_some();
        if has_plate { lot.declared.deducts.clone() } else { None }
    }

    /// Whether an exit of this car waits for this entry.
    fn waits_for(&self, car: &Car, event: &GateEvent) -> bool {
        self.exit_of(car, event).is_some()
    }

    /// The exit of this car that was told before this entry, with the id under which it waits; none where it was taken for a second read.
    fn exit_of(&self, car: &Car, event: &GateEvent) -> Option<(Option<Id>, Departure)> {
        if self.inside.contains_key(car) {
            return None;
        }
        if let Some((waiting, departure)) = self.waiting.get(car).filter(|(_, departure)| departure.left_at >= event.seen_at) {
            return Some((Some(*waiting), departure.clone()));
        }
        let left = self.left.get(car).filter(|left| left.left_at < event.seen_at)?;
        let again = left.again.clone().filter(|again| event.seen_at <= again.left_at)?;
        // It was let out then.
        Some((None, Departure { local: true, ..again }))
    }

    /// The entry of a car whose exit waits for it.
    fn been_and_gone(&mut self, event: &GateEvent, car: Car, stay: Stay, actual: &[&SessionEvent]) -> Vec<SessionEvent> {
        let (releases, departure) = self.exit_of(&car, event).expect("it was told before");
        if releases.is_some() {
            self.waiting.remove(&car);
        }
        let same_read_until = self.same_read_until(&car.0, departure.left_at);
        let (stay, marks) = self.entitled(stay, actual);
        let right = marks.right.clone().map(Box::new);
        let marks = Box::new(Marks { local: event.decided.is_some(), ..marks });
        let mut events =
            vec![SessionEvent::Opened { stay: stay.clone(), event: event.id, expires_at: NO_END, releases, marks, made_of: None, passes_by: None }];
        let (sequence, terms) = self.asks.entry(stay.session).or_default().ask(&departure, false);
        events.push(SessionEvent::Leaving { stay: stay.clone(), departure: departure.clone(), sequence, right, terms });
        if departure.local {
            self.owed.insert(stay.session, (stay.clone(), departure.clone()));
            let asked = Some((1, departure.left_at));
            events.push(SessionEvent::Gone { stay, departure, asked, same_read_until });
        } else {
            self.inside.insert(car, (stay, Some(departure)));
        }
        events
    }

    /// The right of a car that is in, whoever let it in: the decision lends it, and it must be one that was heard of.
    fn entitled(&mut self, stay: Stay, actual: &[&SessionEvent]) -> (Stay, Marks) {
        let lent = actual.iter().find_map(|event| match event {
            SessionEvent::Opened { marks, .. } => Some((marks.right.clone(), marks.overrun, marks.missed.clone())),
            SessionEvent::Corrected { entitled: Some(entitled), .. } => Some((entitled.right.clone(), entitled.overrun, entitled.missed.clone())),
            _ => None,
        });
        let lent = lent.map(|(right, overrun, missed)| Marks { right, overrun, missed, ..Marks::default() });
        let marks = lent.map(|marks| self.world.heard.marks(&marks, &stay.credential, &stay.lot)).unwrap_or_default();
        let sharers = marks.right.as_ref().and_then(|used| Some(self.world.heard.right(used, &stay.credential)?.1)).unwrap_or_default();
        self.rights.remove(&stay.session);
        self.rights.extend(marks.right.clone().map(|right| (stay.session, right)));
        (Stay { sharers, ..stay }, marks)
    }

    /// A car that a lane let in without asking anybody: it is in.
    fn entered_by_itself(&mut self, event: &GateEvent, province: Province, car: Car, actual: &[&SessionEvent]) -> Vec<SessionEvent> {
        let old = self.inside.get(&car).map(|(stay, _)| stay.clone());
        let asked_before = |old: &&Stay| old.lane == event.lane && (event.seen_at.0 - old.entered_at.0).abs() <= 2 * MINUTE;
        if let Some(old) = old.as_ref().filter(asked_before) {
            let concerns = Some(old.session);
            return vec![SessionEvent::Noted { note: Note::DoubleRead, concerns, lot: event.lot, province, ask: None }];
        }
        let day = self.world.lot(&event.lot).map_or_else(|| event.seen_at.utc_day(), |lot| lot.zone.day(event.seen_at));
        let parts = [event.lot.as_str(), event.lane.as_str(), event.id.as_str(), &event.seen_at.0.to_string()];
        let session = id::derive(Kind::Session, Place { province, day, partition: self.partition }, &parts);
        let (lane, credential, entered_at) = (event.lane, event.credential.clone(), event.seen_at);
        let (class, energy) = (event.vehicle_class(), event.vehicle_energy());
        let stay = Stay { session, lot: event.lot, province, credential, lane, entered_at, class, energy, sharers: Vec::new() };
        let (stay, marks) = self.entitled(stay, actual);
        let mut events = Vec::new();
        if let Some(old) = old {
            self.gone.insert(old.session, old.clone());
            events.push(SessionEvent::Superseded { stay: old, by: session, flagged: true });
        }
        let notice = self.world.lot(&event.lot).and_then(|lot| Self::notice(lot, &event.credential));
        let marks = Box::new(Marks { local: true, notice, ..marks });
        events.push(SessionEvent::Opened {
            stay: stay.clone(),
            event: event.id,
            expires_at: NO_END,
            releases: None,
            marks,
            made_of: None,
            passes_by: None,
        });
        self.inside.insert(car, (stay, None));
        events
    }

    fn exit(&mut self, event: &GateEvent, province: Province, car: Car, actual: &[&SessionEvent]) -> Vec<SessionEvent> {
        let local = event.decided.is_some();
        if !local && self.world.lot(&event.lot).is_some_and(|lot| !declares(lot, event)) {
            return vec![turned_away(event, province, Refusal::UnknownLane, true)];
        }
        if let Some(session) = self.just_left(&car, event) {
            let departure = Departure { lane: event.lane, left_at: event.seen_at, event: event.id, local, deducts: None };
            return vec![SessionEvent::ReadAgain { session, lot: car.0, province, credential: car.1, departure, expires_at: NO_END }];
        }
        let same_read_until = self.same_read_until(&car.0, event.seen_at);
        if let Some((reason, ask)) = self.world.lot(&event.lot).filter(|_| !local).and_then(|lot| held_at_exit(lot, event)) {
            return vec![turned_away(event, province, reason, ask)];
        }
        let inside = self.inside.get(&car).filter(|(_, leaving)| leaving.is_none() && !local);
        let deducts = inside.and_then(|(stay, _)| self.deducts.get(&stay.session)).cloned().map(Box::new);
        let departure = Departure { lane: event.lane, left_at: event.seen_at, event: event.id, local, deducts };
        if departure.local
            && let Some((stay, asked)) = self.inside.get(&car).cloned()
            && (asked.is_some() || event.seen_at >= stay.entered_at)
        {
            self.inside.remove(&car);
            self.owed.insert(stay.session, (stay.clone(), departure.clone()));
            let right = self.rights.get(&stay.session).cloned().map(Box::new);
            let asks = self.asks.entry(stay.session).or_default();
            if let Some(before) = asked {
                return vec![SessionEvent::Gone { stay, departure, asked: Some((asks.count, before.left_at)), same_read_until }];
            }
            let (sequence, terms) = asks.ask(&departure, false);
            let leaving = SessionEvent::Leaving { stay: stay.clone(), departure: departure.clone(), sequence, right, terms };
            let asked = Some((sequence, departure.left_at));
            return vec![leaving, SessionEvent::Gone { stay, departure, asked, same_read_until }];
        }
        let noted = |note, concerns| {
            let ask = event.decided.is_none().then_some((event.lane, event.id, NO_END));
            vec![SessionEvent::Noted { note, concerns: Some(concerns), lot: event.lot, province, ask }]
        };
        match self.inside.get_mut(&car) {
            Some((stay, leaving @ None)) if event.seen_at >= stay.entered_at => {
                *leaving = Some(departure.clone());
                let right = self.rights.get(&stay.session).cloned().map(Box::new);
                let (sequence, terms) = self.asks.entry(stay.session).or_default().ask(&departure, false);
                return vec![SessionEvent::Leaving { stay: stay.clone(), departure, sequence, right, terms }];
            }
            Some((stay, Some(_))) => return noted(Note::AlreadyLeaving, stay.session),
            _ => {}
        }
        if let Some((waiting, _)) = self.waiting.get(&car) {
            return noted(Note::AlreadyWaiting, *waiting);
        }
        // Nothing else derives from this id, so its own is taken if it lies where it must.
        let lent = actual.iter().find_map(|event| if let SessionEvent::Waiting { waiting, .. } = event { Some(*waiting) } else { None });
        let lies_here = |id: &Id| id.as_str().starts_with('W') && id::place(id.as_str()).is_some_and(|place| place.partition == self.partition);
        let waiting = lent.filter(lies_here).unwrap_or_else(|| "W".parse().expect("a letter is a token"));
        self.waiting.insert(car.clone(), (waiting, departure.clone()));
        vec![SessionEvent::Waiting { waiting, lot: car.0, province, credential: car.1, departure, expires_at: NO_END }]
    }

    /// A car has crossed a lane.
    fn passed(&mut self, event: &GateEvent, lot: &LotReference, province: Province, car: Car, actual: &[&SessionEvent]) -> Vec<SessionEvent> {
        let noted = |note, concerns| vec![SessionEvent::Noted { note, concerns, lot: event.lot, province, ask: None }];
        match self.inside.get(&car).cloned() {
            Some((stay, Some(before))) if before.lane == event.lane => {
                let departure = Departure { lane: event.lane, left_at: event.seen_at, event: event.id, local: true, deducts: None };
                self.inside.remove(&car);
                self.owed.insert(stay.session, (stay.clone(), departure.clone()));
                let count = self.asks.get(&stay.session).map_or(0, |asks| asks.count);
                let same_read_until = self.same_read_until(&stay.lot, event.seen_at);
                vec![SessionEvent::Gone { stay, departure, asked: Some((count, before.left_at)), same_read_until }]
            }
            Some((stay, _)) if stay.lane == event.lane && self.passes_by.remove(&stay.session).is_some() => {
                vec![SessionEvent::Passed { stay, at: event.seen_at }]
            }
            Some((stay, _)) => noted(Note::AlreadyInside, Some(stay.session)),
            None if lot.declared.lanes.iter().any(|lane| lane.lane == event.lane && lane.direction == Direction::In) => {
                self.entered_by_itself(event, province, car, actual)
            }
            None => noted(Note::Unknown, None),
        }
    }

    /// What a tick's event should have been; says why where it should not be at all.
    pub fn tick(&mut self, at: Moment, actual: &SessionEvent) -> Result<SessionEvent, String> {
        let SessionEvent::Vacated { stay } = actual else { return Err("a tick only frees the space of who never crossed".into()) };
        let car = (stay.lot, stay.credential.clone());
        match (self.inside.get(&car), self.passes_by.get(&stay.session)) {
            (Some((known, None)), Some(by)) if known.session == stay.session && *by <= at => {
                let vacated = SessionEvent::Vacated { stay: known.clone() };
                self.gone.insert(stay.session, known.clone());
                self.inside.remove(&car);
                Ok(vacated)
            }
            _ => Err(format!("{} is vacated, and had not to cross by then", stay.session)),
        }
    }

    /// A price is asked for inside.
    fn asked(&mut self, event: &GateEvent, province: Province, car: &Car) -> Vec<SessionEvent> {
        match self.inside.get(car) {
            Some((stay, Some(_))) => {
                let (note, concerns, ask) = (Note::AlreadyLeaving, Some(stay.session), Some((event.lane, event.id, NO_END)));
                vec![SessionEvent::Noted { note, concerns, lot: event.lot, province, ask }]
            }
            Some((stay, None)) if event.seen_at >= stay.entered_at => {
                let departure = Departure { lane: event.lane, left_at: event.seen_at, event: event.id, local: false, deducts: None };
                let right = self.rights.get(&stay.session).cloned().map(Box::new);
                let (sequence, terms) = self.asks.entry(stay.session).or_default().ask(&departure, false);
                vec![SessionEvent::Asked { stay: stay.clone(), departure, sequence, right, terms }]
            }
            _ => vec![turned_away(event, province, Refusal::NotInside, true)],
        }
    }

    /// Something was paid inside; a question that does not know of it is asked again.
    fn prepaid(&mut self, session: Id, order: Id, amount: Money, prepays: Prepays) -> Option<Vec<SessionEvent>> {
        let inside = self.inside.values().find(|(stay, _)| stay.session == session).cloned();
        let owed = self.owed.get(&session).map(|(stay, departure)| (stay.clone(), Some(departure.clone())));
        let gone = owed.is_some();
        let (stay, departure) = inside.or(owed)?;
        let grace = self.world.lot(&stay.lot).map_or(0, |lot| i64::from(lot.declared.exit_grace_min));
        let paid = Prepaid { id: order.as_str().into(), at: prepays.paid_at, amount, until: prepays.until };
        let asks = self.asks.entry(session).or_default();
        asks.paid.push(paid.clone());
        asks.paid.sort_by_key(|paid| paid.at);
        let leave_by = prepays.paid_at.plus(grace * MINUTE);
        let mut counts = SessionEvent::Prepaid { stay: stay.clone(), paid, sequence: prepays.sequence, leave_by, told: None };
        if prepays.sequence == asks.count {
            let asked = asks.newest.take();
            if let SessionEvent::Prepaid { told, .. } = &mut counts {
                *told = asked.map(|asked| (asked.lane, asked.event, NO_END));
            }
            return Some(vec![counts]);
        }
        let right = self.rights.get(&session).cloned().map(Box::new);
        let again = match (departure, asks.newest.clone()) {
            (Some(departure), _) => {
                let (sequence, terms) = asks.ask(&departure, gone);
                Some(SessionEvent::Leaving { stay, departure, sequence, right, terms })
            }
            (None, Some(departure)) => {
                let (sequence, terms) = asks.ask(&departure, false);
                Some(SessionEvent::Asked { stay, departure, sequence, right, terms })
            }
            (None, None) => None,
        };
        Some(std::iter::once(counts).chain(again).collect())
    }

    /// What a person's saying becomes.
    pub fn desk(&mut self, event: &DeskEvent, stored_at: Moment, actual: &[&SessionEvent]) -> Vec<SessionEvent> {
        let province = self.world.lot(&event.lot).map(|lot| lot.declared.province);
        let noted = |note| vec![SessionEvent::Noted { note, concerns: None, lot: event.lot, province: province.unwrap_or(Province(0)), ask: None }];
        let Some(province) = province else { return noted(Note::Unknown) };
        if event.said_at < stored_at.plus(self.world.late_max.saturating_neg()) {
            return noted(Note::TooLate);
        }
        let by_hand = match &event.says {
            Says::Stated { .. } => None,
            // What is said of money is no business of a stay.
            Says::Refund { .. }
            | Says::RefundShared { .. }
            | Says::Approved { .. }
            | Says::Declined { .. }
            | Says::RefundSettled { .. }
            | Says::Pay { .. }
            | Says::Cash { .. }
            | Says::Shift { .. }
            | Says::Exception { .. } => return Vec::new(),
            Says::Validated { who, validation } => Some(self.validated(event, stored_at, who, validation, actual)),
            // The city puts no stay right that is over.
            Says::Corrected { stay: Some(_), .. } => Some(Err(Note::Unknown)),
            Says::Corrected { who, is, entered_at, stay: None } => Some(self.corrected(event, stored_at, who, (is.as_ref(), *entered_at), actual)),
            Says::Lost { who } => Some(self.lost(event, province, who)),
            Says::LetThrough { lane, way, who, at, open } => {
                let crossed = (*lane, *way, who.as_ref(), at.unwrap_or(event.said_at), *open);
                Some(Ok(self.let_through(event, stored_at, province, crossed, actual)))
            }
            Says::Stock { who, held } => Some(self.looked_through(event, stored_at, province, (who, *held), actual)),
        };
        if let Some(decided) = by_hand {
            return decided.unwrap_or_else(noted);
        }
        let Says::Stated { part, what, of } = &event.says else { return Vec::new() };
        let before = self.stated.get(&(event.lot, *part));
        match (before, what) {
            (None, What::Removed(_)) => return noted(Note::Unknown),
            (Some(Stated { what: What::Removed(_), .. }), What::Removed(_)) => return noted(Note::AlreadyClosed),
            (Some(before), what) if before.what.kind() != what.kind() => return noted(Note::OfAnotherKind),
            _ => {}
        }
        let dropped = before.map(|before| before.of.iter().filter(|car| !of.contains(car)).cloned().collect()).unwrap_or_default();
        let (author, reason, said_at) = (event.author, event.reason.clone(), event.said_at);
        let stated = Stated { lot: event.lot, part: *part, what: what.clone(), of: of.clone(), author, reason, said_at };
        self.stated.insert((event.lot, *part), stated.clone());
        vec![SessionEvent::Stated { stated: Box::new(stated), dropped, province }]
    }

    /// What a look through the lot becomes. A plate without its colour is that of the one car inside with this text.
    fn looked_through(
        &mut self,
        event: &DeskEvent,
        stored_at: Moment,
        province: Province,
        (who, held): (&Credential, bool),
        actual: &[&SessionEvent],
    ) -> Result<Vec<SessionEvent>, Note> {
        let mut car = (event.lot, who.clone());
        if who.colour.is_none() && !self.inside.contains_key(&car) {
            let same = |(lot, other): &&Car| *lot == event.lot && other.kind == who.kind && other.text == who.text;
            let mut cars = self.inside.keys().filter(same);
            car = match (cars.next(), cars.next()) {
                (Some(_), Some(_)) => return Err(Note::SeveralCars),
                (Some(only), None) => only.clone(),
                (None, _) => car,
            };
        }
        let came_at = self.inside.get(&car).map(|(stay, _)| stay.entered_at);
        let crossed = |way| (DeskEvent::no_lane(), way, Some(&car.1), event.said_at, false);
        match (held, came_at) {
            (true, Some(_)) => Err(Note::AlreadyInside),
            (false, Some(came_at)) if came_at > event.said_at => Err(Note::AlreadyInside),
            (false, None) => Err(Note::Unknown),
            (true, None) => Ok(self.let_through(event, stored_at, province, crossed(GateKind::Entry), actual)),
            (false, Some(_)) => Ok(self.let_through(event, stored_at, province, crossed(GateKind::Exit), actual)),
        }
    }

    /// The price that was asked for, asked for again.
    fn again(&mut self, car: &Car) -> Option<SessionEvent> {
        let (stay, departure) = self.inside.get(car)?.clone();
        let right = self.rights.get(&stay.session).cloned().map(Box::new);
        let asks = self.asks.entry(stay.session).or_default();
        match (departure, asks.newest.clone()) {
            (Some(departure), _) => {
                let (sequence, terms) = asks.ask(&departure, false);
                Some(SessionEvent::Leaving { stay, departure, sequence, right, terms })
            }
            (None, Some(departure)) => {
                let (sequence, terms) = asks.ask(&departure, false);
                Some(SessionEvent::Asked { stay, departure, sequence, right, terms })
            }
            (None, None) => None,
        }
    }

    fn validated(
        &mut self,
        event: &DeskEvent,
        stored_at: Moment,
        who: &Credential,
        validation: &Validation,
        actual: &[&SessionEvent],
    ) -> Result<Vec<SessionEvent>, Note> {
        let car = (event.lot, who.clone());
        let (stay, _) = self.inside.get(&car).cloned().ok_or(Note::Unknown)?;
        let asks = self.asks.entry(stay.session).or_default();
        if asks.validations.iter().any(|known| known.id == validation.id) {
            return Err(Note::AlreadyKnown);
        }
        if asks.validations.len() >= 16 {
            return Err(Note::TooMany);
        }
        let limit = self.limit(event, stored_at, &stay, actual);
        let over = limit.is_some_and(|limit| limit.here + limit.elsewhere.unwrap_or(0) >= limit.most);
        // What is over the limit uses nothing.
        let limit = limit.map(|limit| CouponLimit { here: limit.here + u32::from(!over), ..limit });
        let validation = Validation { over, ..validation.clone() };
        let asks = self.asks.entry(stay.session).or_default();
        asks.limited = limit.map(|limit| (limit.day, limit.here)).or(asks.limited);
        asks.validations.push(validation.clone());
        let counts = SessionEvent::Validated { stay, validation, by: event.said(), limit: limit.map(Box::new) };
        Ok(std::iter::once(counts).chain(self.again(&car)).collect())
    }

    /// What a car may use on a day, and what it has used before: in its own stay for sure; in others as the decision says, as far as that can be.
    fn limit(&self, event: &DeskEvent, stored_at: Moment, stay: &Stay, actual: &[&SessionEvent]) -> Option<CouponLimit> {
        let lot = self.world.lot(&event.lot)?;
        let tariff = lot.tariff.as_ref()?;
        let version = &tariff.versions()[tariff.in_force(LocalTime::at(stay.entered_at, &lot.zone))?];
        let most = version.table.validations.per_vehicle_day?;
        let day = lot.zone.day(event.said_at.clamp(stored_at.plus(-DAY), stored_at));
        let limited = self.asks.get(&stay.session).and_then(|asks| asks.limited);
        let day = limited.map_or(day, |(newest, _)| newest.max(day));
        let operator = lot.declared.operator;
        let here = limited.filter(|(on, _)| *on == day).map_or(0, |(_, uses)| uses);
        // That it did not come in time nobody can tell from here.
        let lent =
            actual.iter().find_map(|event| if let SessionEvent::Validated { limit: Some(limit), .. } = event { Some(limit.elsewhere) } else { None });
        let (least, may) = self.world.heard.used(&stay.credential, stay.session, (operator, day), stored_at);
        let elsewhere = lent.map_or(Some(least), |lent| lent.map(|lent| lent.clamp(least, may)));
        Some(CouponLimit { most, day, operator, here, elsewhere })
    }

    fn corrected(
        &mut self,
        event: &DeskEvent,
        stored_at: Moment,
        who: &Credential,
        (is, entered_at): (Option<&Credential>, Option<Moment>),
        actual: &[&SessionEvent],
    ) -> Result<Vec<SessionEvent>, Note> {
        let car = (event.lot, who.clone());
        let (old, departure) = self.inside.get(&car).cloned().ok_or(Note::Unknown)?;
        let mut stay = old.clone();
        if let Some(is) = is {
            stay.credential = is.clone();
            stay.energy = is.energy().unwrap_or(stay.energy);
        }
        stay.entered_at = entered_at.unwrap_or(stay.entered_at);
        let new_car = (event.lot, stay.credential.clone());
        if stay == old {
            return Err(Note::AlreadyKnown);
        }
        if new_car != car && self.inside.contains_key(&new_car) {
            return Err(Note::AlreadyInside);
        }
        if stay.entered_at > stored_at.plus(AHEAD_MAX) || departure.as_ref().is_some_and(|departure| departure.left_at < stay.entered_at) {
            return Err(Note::Contradicts);
        }
        self.inside.remove(&car);
        let releases = self.waiting.get(&new_car).filter(|(_, exit)| departure.is_none() && exit.left_at >= stay.entered_at).cloned();
        let (waiting, by) = (releases.as_ref().map(|(waiting, _)| *waiting), event.said());
        let (was, came_at) = (old.credential, old.entered_at);
        let (stay, entitled) = if new_car == car {
            (stay, None)
        } else {
            let (stay, Marks { right, overrun, missed, .. }) = self.entitled(stay, actual);
            (stay, Some(Box::new(Entitled { right, overrun, missed })))
        };
        let mut events = vec![SessionEvent::Corrected { stay: stay.clone(), was, came_at, by, releases: waiting, gone: false, entitled }];
        let Some((_, exit)) = releases else {
            self.inside.insert(new_car.clone(), (stay, departure));
            events.extend(self.again(&new_car));
            return Ok(events);
        };
        self.waiting.remove(&new_car);
        events.extend(self.leaves(new_car, stay, exit));
        Ok(events)
    }

    /// A stay whose exit had waited leaves by it.
    fn leaves(&mut self, car: Car, stay: Stay, departure: Departure) -> Vec<SessionEvent> {
        let right = self.rights.get(&stay.session).cloned().map(Box::new);
        let (sequence, terms) = self.asks.entry(stay.session).or_default().ask(&departure, false);
        let mut events = vec![SessionEvent::Leaving { stay: stay.clone(), departure: departure.clone(), sequence, right, terms }];
        if departure.local {
            self.owed.insert(stay.session, (stay.clone(), departure.clone()));
            let (asked, same_read_until) = (Some((sequence, departure.left_at)), self.same_read_until(&stay.lot, departure.left_at));
            events.push(SessionEvent::Gone { stay, departure, asked, same_read_until });
        } else {
            self.inside.insert(car, (stay, Some(departure)));
        }
        events
    }

    fn lost(&mut self, event: &DeskEvent, province: Province, who: &Credential) -> Result<Vec<SessionEvent>, Note> {
        let car = (event.lot, who.clone());
        if self.waiting.contains_key(&car) && self.inside.contains_key(&car) {
            return Err(Note::AlreadyInside);
        }
        let (waiting, departure) = self.waiting.remove(&car).ok_or(Note::Unknown)?;
        let day = self.world.lot(&event.lot).map_or_else(|| departure.left_at.utc_day(), |lot| lot.zone.day(departure.left_at));
        let session = id::derive(Kind::Session, Place { province, day, partition: self.partition }, &["lost", waiting.as_str()]);
        let (class, energy) = (schema::VehicleClass::Small, who.energy().unwrap_or_default());
        let (lane, entered_at, credential) = (departure.lane, departure.left_at, who.clone());
        let stay = Stay { session, lot: event.lot, province, credential, lane, entered_at, class, energy, sharers: Vec::new() };
        let marks = Box::new(Marks { lost: Some(event.said()), ..Marks::default() });
        self.asks.entry(session).or_default().lost = true;
        let (event, releases) = (departure.event, Some(waiting));
        let opened = SessionEvent::Opened { stay: stay.clone(), event, expires_at: NO_END, releases, marks, made_of: None, passes_by: None };
        Ok(std::iter::once(opened).chain(self.leaves(car, stay, departure)).collect())
    }

    fn let_through(
        &mut self,
        event: &DeskEvent,
        stored_at: Moment,
        province: Province,
        (lane, way, who, seen_at, open): (LaneId, GateKind, Option<&Credential>, Moment, bool),
        actual: &[&SessionEvent],
    ) -> Vec<SessionEvent> {
        let (lot, by, opens_until) = (event.lot, event.said(), open.then_some(NO_END));
        let mut events = vec![SessionEvent::LetThrough { lot, lane, province, way, who: who.cloned(), by, opens_until, event: event.id }];
        if let Some(credential) = who.cloned() {
            let (class, energy, confidence, decided) = (None, None, None, Some(Verdict::Open));
            let passed = GateEvent { id: event.id, lot, lane, kind: way, seen_at, credential, class, energy, confidence, decided };
            events.extend(self.gate(&passed, stored_at, actual));
        }
        events
    }

    /// What an event of ORDER becomes that was recorded then.
    pub fn order(&mut self, event: &OrderEvent, at: Moment) -> Vec<SessionEvent> {
        match event {
            OrderEvent::Priced { order, stay, quote, inside: None, .. } if quote.total.is_zero() => {
                self.close(stay.session, *order, quote.total, (stay.lot, stay.province), at)
            }
            OrderEvent::Paid { order, session, lot, province, amount, prepays: Some(prepays), .. } => {
                let noted = |note, concerns| vec![SessionEvent::Noted { note, concerns, lot: *lot, province: *province, ask: None }];
                if self.gone.contains_key(session) {
                    return noted(Note::AlreadyClosed, Some(*session));
                }
                self.prepaid(*session, *order, *amount, *prepays).unwrap_or_else(|| noted(Note::Unknown, None))
            }
            OrderEvent::Paid { order, session, lot, province, amount, .. } => self.close(*session, *order, *amount, (*lot, *province), at),
            OrderEvent::Owed { order, session, lot, province, amount, .. } => {
                let noted = |note, concerns| vec![SessionEvent::Noted { note, concerns, lot: *lot, province: *province, ask: None }];
                if self.has_paid(*session, *order) {
                    self.failed.insert(*session, *order);
                } else {
                    self.failed.remove(session);
                }
                if let Some((stay, _)) = self.inside.values().find(|(stay, _)| stay.session == *session).cloned() {
                    let Some(lot) = self.world.lot(lot) else { return noted(Note::Unknown, None) };
                    return vec![SessionEvent::Owed { stay, order: *order, amount: *amount, operator: lot.declared.operator }];
                }
                // What closed it is paid still, if that is not what has failed.
                if let Some(closed) = self.closed_by.remove(session).filter(|closed| &*closed.id != order.as_str() && closed.amount.minor > 0) {
                    self.asks.entry(*session).or_default().paid.push(closed);
                }
                if let Some(settled) = self.settled.remove(session) {
                    self.gone.remove(session);
                    self.owed.insert(*session, settled);
                }
                if self.gone.contains_key(session) {
                    return noted(Note::AlreadyClosed, Some(*session));
                }
                let operator = self.world.lot(lot).map(|lot| lot.declared.operator);
                let Some(((stay, _), operator)) = self.owed.get(session).zip(operator) else { return noted(Note::Unknown, None) };
                vec![SessionEvent::Owed { stay: stay.clone(), order: *order, amount: *amount, operator }]
            }
            _ => Vec::new(),
        }
    }

    fn close(&mut self, session: Id, order: Id, paid: Money, (lot, province): (LotId, Province), at: Moment) -> Vec<SessionEvent> {
        let noted = |note, concerns| vec![SessionEvent::Noted { note, concerns, lot, province, ask: None }];
        if self.gone.contains_key(&session) {
            return noted(Note::AlreadyClosed, Some(session));
        }
        let mut prepaid = self.asks.get(&session).map(|asks| asks.paid.clone()).unwrap_or_default();
        let has_failed = self.failed.get(&session).copied();
        if has_failed == Some(order) {
            self.failed.remove(&session);
            let inside = self.inside.values().find(|(stay, _)| stay.session == session).cloned();
            if let Some(((stay, _), paid)) = inside.zip(prepaid.iter().find(|paid| &*paid.id == order.as_str()).cloned()) {
                return vec![SessionEvent::Prepaid { stay, leave_by: paid.until, paid, sequence: SessionEvent::PAID_ANEW, told: None }];
            }
        }
        prepaid.retain(|paid| &*paid.id != order.as_str());
        let before: i64 = prepaid.iter().map(|paid| paid.amount.minor).sum();
        let paid = Money::new(paid.minor + before, paid.currency);
        let own = Money::new(paid.minor - before, paid.currency);
        let car = self.inside.iter().find(|(_, (stay, departure))| stay.session == session && departure.is_some()).map(|(car, _)| car.clone());
        let (stay, departure, gone) = match (self.owed.remove(&session), car.and_then(|car| self.inside.remove(&car))) {
            (Some((stay, departure)), _) => (stay, departure, true),
            (None, Some((stay, Some(departure)))) => (stay, departure, false),
            (None, _) => return noted(Note::Unknown, None),
        };
        let closed = Prepaid { id: order.as_str().into(), at: departure.left_at, amount: own, until: departure.left_at };
        if has_failed.is_some_and(|failed| failed != order) {
            // It has gone, and owes what it had paid inside.
            self.owed.insert(session, (stay.clone(), departure.clone()));
            self.asks.entry(session).or_default().paid.extend((own.minor > 0).then_some(closed));
        } else {
            self.gone.insert(session, stay.clone());
            self.settled.insert(session, (stay.clone(), departure.clone()));
            self.closed_by.insert(session, closed);
        }
        let same_read_until = if gone { None } else { self.same_read_until(&lot, departure.left_at.max(at)) };
        vec![SessionEvent::Closed { stay, departure, order, paid, expires_at: NO_END, gone, same_read_until }]
    }

    /// Whether an order is among what was paid for a stay before it was closed.
    fn has_paid(&self, session: Id, order: Id) -> bool {
        self.asks.get(&session).is_some_and(|asks| asks.paid.iter().any(|paid| &*paid.id == order.as_str()))
    }
}

/// Whether a decision went without a fact: it did not come in time, or something else had decided before it came.
fn was_missed(actual: &[&SessionEvent], kind: fact::Kind) -> bool {
    actual.iter().any(|event| match event {
        SessionEvent::Opened { marks, .. } => marks.missed.contains(&kind),
        SessionEvent::Refused { made_of: Some(made_of), .. } => made_of.facts.iter().any(|known| known.kind == kind && known.parts.is_none()),
        _ => false,
    })
}

/// A car is not let in or out, and a person is asked or is not.
fn turned_away(event: &GateEvent, province: Province, reason: Refusal, ask: bool) -> SessionEvent {
    let GateEvent { id: event, lot, lane, seen_at, credential, .. } = event.clone();
    SessionEvent::Refused { lot, lane, province, credential, reason, event, seen_at, expires_at: NO_END, ask, made_of: None }
}

/// Whether a lot knows the lane of an event; one that names no lanes knows them all.
fn declares(lot: &LotReference, event: &GateEvent) -> bool {
    lot.declared.lanes.is_empty() || lot.declared.lanes.iter().any(|lane| lane.lane == event.lane)
}

/// Why a car does not leave by a lane, and whether a person is asked.
fn held_at_exit(lot: &LotReference, event: &GateEvent) -> Option<(Refusal, bool)> {
    if lot.declared.lanes.iter().any(|lane| lane.lane == event.lane && lane.direction == Direction::In) {
        return Some((Refusal::WrongLane, false));
    }
    event.confidence.is_some_and(|sure| sure < lot.declared.policies.confidence_min).then_some((Refusal::UnsureRead, true))
}

/// Why a lane does not serve a car, if it does not.
fn lane_refuses(lot: &LotReference, event: &GateEvent) -> Option<Refusal> {
    let lane = lot.declared.lanes.iter().find(|lane| lane.lane == event.lane)?;
    if lane.direction == Direction::Out {
        return Some(Refusal::WrongLane);
    }
    if !lane.classes.is_empty() && !lane.classes.contains(&event.vehicle_class()) {
        return Some(Refusal::WrongClass);
    }
    (!lane.energies.is_empty() && !lane.energies.contains(&event.vehicle_energy())).then_some(Refusal::WrongEnergy)
}

/// An event without what is not judged.
pub fn normal(event: &SessionEvent) -> SessionEvent {
    let mut event = event.clone();
    match &mut event {
        // What it was decided on is told for people; whether it was decided rightly is judged by what came of it.
        SessionEvent::Opened { expires_at, made_of, .. } | SessionEvent::Refused { expires_at, made_of, .. } => {
            (*expires_at, *made_of) = (NO_END, None);
        }
        SessionEvent::Waiting { expires_at, .. } | SessionEvent::Closed { expires_at, .. } | SessionEvent::ReadAgain { expires_at, .. } => {
            *expires_at = NO_END;
        }
        SessionEvent::Noted { note, concerns, ask, .. } => {
            if let Some((_, _, end)) = ask {
                *end = NO_END;
            }
            if *note == Note::Unknown {
                *concerns = None;
            }
            if matches!(note, Note::Unknown | Note::AlreadyClosed) {
                *ask = None;
            }
        }
        SessionEvent::Prepaid { told: Some((_, _, end)), .. } | SessionEvent::LetThrough { opens_until: Some(end), .. } => *end = NO_END,
        SessionEvent::Leaving { .. }
        | SessionEvent::Asked { .. }
        | SessionEvent::Prepaid { .. }
        | SessionEvent::Passed { .. }
        | SessionEvent::Vacated { .. }
        | SessionEvent::Validated { .. }
        | SessionEvent::Noticed { .. }
        | SessionEvent::LetThrough { .. }
        | SessionEvent::Corrected { .. }
        | SessionEvent::Owed { .. }
        | SessionEvent::Gone { .. }
        | SessionEvent::Superseded { .. }
        | SessionEvent::Stated { .. } => {}
    }
    event
}
