//! The prechecks of a lane: each is one pure function and the kinds of fact that it needs, one line of [`TABLE`].
//!
//! Invariants
//! 1. Facts may come in any order: whatever is decided before all are here stays decided so   (`tests::facts_in_any_order_end_the_same`).
//! 2. A refusal on what is known does not wait for the rest   (`tests::a_decisive_refusal_does_not_wait`).
//! 3. A fact that did not come in time gets its check's own policy, and no other check's   (`tests::a_missed_fact_gets_its_checks_policy`).
//! 4. An overrun of a right never refuses   (`tests::an_overrun_is_flagged_and_never_refused`).
//! 5. A lane that its lot does not declare opens for nobody by itself, also not once more
//!    (`tests::a_lane_that_its_lot_does_not_declare_asks_a_person`).
//! 6. Nothing is allocated: a [`Judged`] borrows from its [`Case`]   (`tests::a_judgement_is_plain_data`).
//!
//! Not here: what the lot's reference data looks like, how facts are loaded and how long they are waited for.

pub use schema::reference::{Missed, Passback, Policy};

use schema::{
    Credential, Energy, GateKind, LotId, Moment, VehicleClass, Verdict,
    fact::{Arrear, Ban, GroupId, Kind, Kinds, LocalMinute, OperatorId, Part, PartId, What},
    gate::Confidence,
    journal::{Ground, Refusal},
};

/// What is to be decided, and all that it may be decided on.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Whether the car asks to come in or to leave.
    pub kind: GateKind,
    /// When the device saw it.
    pub seen_at: Moment,
    /// The same moment by the lot's clock.
    pub local: LocalMinute,
    /// Who, as [`Credential::identity`] says it.
    pub credential: &'a Credential,
    /// The vehicle's class.
    pub class: VehicleClass,
    /// What drives it.
    pub energy: Energy,
    /// How sure the device is; none where it does not say.
    pub confidence: Option<Confidence>,
    /// What the lot's reference data says.
    pub lot: LotSays<'a>,
    /// What the lane's says.
    pub lane: LaneSays<'a>,
    /// What the lot's own journal says.
    pub here: Here,
    /// What is known of the vehicle elsewhere.
    pub facts: Facts<'a>,
}

/// What a lot's reference data says.
#[derive(Clone, Copy, Debug)]
pub struct LotSays<'a> {
    /// Its name.
    pub lot: &'a LotId,
    /// Whose it is.
    pub operator: &'a OperatorId,
    /// The groups that it is in.
    pub groups: &'a [GroupId],
    /// Whether it is open at this moment.
    pub open: bool,
    /// How many cars it holds.
    pub capacity: i64,
    /// Whether it takes holders of a right or a reservation alone.
    pub holders_only: bool,
    /// Whether spaces can be reserved.
    pub reservable: bool,
    /// What a car gets that is inside already.
    pub inside: Passback,
    /// What a car gets that owes something.
    pub arrears: Policy,
    /// A read below this is not sure enough.
    pub confidence_min: Confidence,
    /// Within this many microseconds the same car at the same lane is the same read.
    pub double_read: i64,
    /// What a car gets of which a fact did not come in time.
    pub missed: Missed,
}

/// What a lane's reference data says.
#[derive(Clone, Copy, Debug)]
pub struct LaneSays<'a> {
    /// Whether its lot declares it; a lot that declares no lanes has them all.
    pub declared: bool,
    /// Whether cars come in here.
    pub entry: bool,
    /// Whether cars leave here.
    pub exit: bool,
    /// The classes that it serves; none is all.
    pub classes: &'a [VehicleClass],
    /// The energies that it serves; none is all.
    pub energies: &'a [Energy],
}

/// What the lot's own journal says: exact, because a lot has one partition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Here {
    /// Spaces that are taken.
    pub occupied: i64,
    /// Spaces that are held for reservations whose cars have not come.
    pub reserved: i64,
    /// Since when this car is inside; none where it is not.
    pub inside_since: Option<Moment>,
    /// When this lane read this car last.
    pub read_at: Option<Moment>,
}

/// What is known of the vehicle elsewhere, kind by kind.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its rights.
    pub rights: Fact<'a>,
    /// Its bans.
    pub bans: Fact<'a>,
    /// What it owes.
    pub arrears: Fact<'a>,
    /// Where it is.
    pub presence: Fact<'a>,
    /// Its reservations.
    pub reservations: Fact<'a>,
    /// The coupons that it has used; no check asks for them.
    pub coupons: Fact<'a>,
}

/// One fact.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// Its parts; none of them is a removal.
    Here(&'a [Part]),
    /// It may still come.
    Pending,
    /// It did not come in time, or cannot be known.
    Missed,
}

impl<'a> Facts<'a> {
    /// Nothing has come yet.
    pub const PENDING: Self = Self {
        rights: Fact::Pending,
        bans: Fact::Pending,
        arrears: Fact::Pending,
        presence: Fact::Pending,
        reservations: Fact::Pending,
        coupons: Fact::Pending,
    };

    /// The fact of a kind.
    pub const fn get(&self, kind: Kind) -> Fact<'a> {
        match kind {
            Kind::Rights => self.rights,
            Kind::Bans => self.bans,
            Kind::Arrears => self.arrears,
            Kind::Presence => self.presence,
            Kind::Reservations => self.reservations,
            Kind::Coupons => self.coupons,
        }
    }

    /// The same with one fact as it is now.
    #[must_use]
    pub const fn with(mut self, kind: Kind, fact: Fact<'a>) -> Self {
        match kind {
            Kind::Rights => self.rights = fact,
            Kind::Bans => self.bans = fact,
            Kind::Arrears => self.arrears = fact,
            Kind::Presence => self.presence = fact,
            Kind::Reservations => self.reservations = fact,
            Kind::Coupons => self.coupons = fact,
        }
        self
    }

    /// The parts of a kind; a check sees those that it needs alone, and then they are here.
    fn parts(&self, kind: Kind) -> &'a [Part] {
        match self.get(kind) {
            Fact::Here(parts) => parts,
            Fact::Pending | Fact::Missed => &[],
        }
    }
}

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged<'a> {
    /// The same car at the same camera again: nothing new; the lane is told what it was told.
    Again,
    /// Decided.
    Decided(Decision<'a>),
    /// These facts are waited for.
    Wants(Kinds),
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// What the lane does.
    pub verdict: Verdict,
    /// Why, unless it opens.
    pub reason: Option<Refusal>,
    /// What the session is to remember; nothing where the lane stays closed.
    pub marks: Marks<'a>,
}

/// What a session is to remember of the decision that let it in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks<'a> {
    /// The right that it uses.
    pub right: Option<&'a PartId>,
    /// The right whose cars are all inside: this stay is priced as an ordinary one.
    pub overrun: Option<&'a PartId>,
    /// The reservation that it uses.
    pub reservation: Option<&'a PartId>,
    /// What becomes of its old session, where it is inside already.
    pub inside: Option<Passback>,
    /// Another lot in which it is at the same time.
    pub elsewhere: Option<&'a LotId>,
    /// The facts that did not come in time, where that let it in all the same.
    pub missed: Kinds,
}

/// What one check finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding<'a> {
    /// Nothing.
    Pass,
    /// Something to remember.
    Mark(Mark<'a>),
    /// A person is to be asked.
    Ask(Refusal),
    /// The lane stays closed.
    Refuse(Refusal),
    /// This is no new read.
    Again,
}

/// One thing to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// A right is used.
    Right(&'a PartId),
    /// All cars of a right are inside.
    Overrun(&'a PartId),
    /// A reservation is used.
    Reservation(&'a PartId),
    /// It is inside already.
    Inside(Passback),
    /// It is in another lot too.
    Elsewhere(&'a LotId),
}

/// How a check stands, for a decision and for who explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'a> {
    /// It has what it needs.
    Found(Finding<'a>),
    /// It waits for these facts.
    Waits(Kinds),
    /// These facts did not come in time, and so its policy decides.
    Missed(Kinds, Policy),
}

/// A check.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name, for metrics and explanations.
    pub name: &'static str,
    /// Whether cars that leave are held to it too.
    pub at_exit: bool,
    /// The facts that it needs, by the lot's own words and state.
    pub needs: fn(&LotSays, &Here) -> Kinds,
    /// What it finds, once they are here.
    pub judge: for<'a> fn(&Case<'a>) -> Finding<'a>,
    /// What counts where one of them did not come in time.
    pub missed: fn(Missed) -> Policy,
}

/// The right that a car uses, and whether another car may use it still.
const RIGHTS: [Check; 2] = [
    check("right", false, |_, _| Kind::Rights.into(), right, |missed| missed.rights),
    check("right_overrun", false, |_, _| Kinds::from(Kind::Rights) | Kind::Presence.into(), right_overrun, allowed),
];

/// All checks. Where several refuse, the first one's reason is said.
pub const TABLE: [Check; 16] = [
    check("double_read", true, nothing, double_read, allowed),
    check("already_inside", false, nothing, already_inside, allowed),
    check("lot_open", false, nothing, lot_open, allowed),
    check("lane_declared", true, nothing, lane_declared, allowed),
    check("lane_direction", true, nothing, lane_direction, allowed),
    check("lane_class", false, nothing, lane_class, allowed),
    check("lane_energy", false, nothing, lane_energy, allowed),
    check("capacity", false, reservations_where_tight, capacity, |missed| missed.reservations),
    check("ban", false, |_, _| Kind::Bans.into(), ban, |missed| missed.bans),
    check("arrears", false, arrears_where_they_count, arrears, |missed| missed.arrears),
    check("holders_only", false, holdings_where_asked_for, holders_only, |missed| missed.rights),
    RIGHTS[0],
    RIGHTS[1],
    check("reservation", false, reservations_where_there_are_any, reservation, |missed| missed.reservations),
    check("elsewhere", false, |_, _| Kind::Presence.into(), elsewhere, allowed),
    check("confidence", true, nothing, confidence, allowed),
];

const fn check(
    name: &'static str,
    at_exit: bool,
    needs: fn(&LotSays, &Here) -> Kinds,
    judge: for<'a> fn(&Case<'a>) -> Finding<'a>,
    missed: fn(Missed) -> Policy,
) -> Check {
    Check { name, at_exit, needs, judge, missed }
}

impl Check {
    /// How it stands.
    pub fn state<'a>(&self, case: &Case<'a>) -> State<'a> {
        let needs = (self.needs)(&case.lot, &case.here);
        let (mut pending, mut missed) = (Kinds::NONE, Kinds::NONE);
        for kind in needs.iter() {
            match case.facts.get(kind) {
                Fact::Here(_) => {}
                Fact::Pending => pending = pending | kind.into(),
                Fact::Missed => missed = missed | kind.into(),
            }
        }
        // What is missed stays missed, whatever else comes: no need to wait for it.
        match (missed.is_empty(), pending.is_empty()) {
            (false, _) => State::Missed(missed, (self.missed)(case.lot.missed)),
            (true, false) => State::Waits(pending),
            (true, true) => State::Found((self.judge)(case)),
        }
    }
}

/// Judges a case by all checks that concern it. Facts may be pending: then it is decided all the same where one check refuses, or says what is
/// wanted. Judged again when more has come, it decides the same.
pub fn judge<'a>(case: &Case<'a>) -> Judged<'a> {
    judge_by(concerned(case), case)
}

/// Judges by the checks of rights alone: of a car that is inside whatever anybody decides, the right that it uses is still to be known.
pub fn entitled<'a>(case: &Case<'a>) -> Judged<'a> {
    const CHECKS: &[Check] = &RIGHTS;
    judge_by(CHECKS.iter(), case)
}

fn judge_by<'a>(checks: impl Iterator<Item = &'static Check>, case: &Case<'a>) -> Judged<'a> {
    let (mut wants, mut asked, mut marks) = (Kinds::NONE, None, Marks::default());
    for check in checks {
        match check.state(case) {
            State::Found(Finding::Pass) => {}
            State::Found(Finding::Mark(mark)) => marks.remember(mark),
            State::Found(Finding::Again) => return Judged::Again,
            State::Found(Finding::Refuse(reason)) => return refused(reason),
            State::Found(Finding::Ask(reason)) => asked = asked.or(Some(reason)),
            State::Waits(kinds) => wants = wants | kinds,
            State::Missed(_, Policy::Refuse) => return refused(Refusal::FactMissing),
            State::Missed(kinds, Policy::Allow) => marks.missed = marks.missed | kinds,
            State::Missed(kinds, Policy::Ask) => {
                marks.missed = marks.missed | kinds;
                asked = asked.or(Some(Refusal::FactMissing));
            }
        }
    }
    match (wants.is_empty(), asked) {
        (false, _) => Judged::Wants(wants),
        (true, Some(_)) => Judged::Decided(Decision { verdict: Verdict::Ask, reason: asked, marks }),
        (true, None) => Judged::Decided(Decision { verdict: Verdict::Open, reason: None, marks }),
    }
}

/// Each check that concerns a case and how it stands: what a decision was made of.
pub fn weighed<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'static str, State<'a>)> + use<'a> {
    let case = *case;
    concerned(&case).map(move |check| (check.name, check.state(&case)))
}

/// The most bans, and the most debts, that a decision names.
const NAMED_MAX: usize = 8;

/// What the findings of all checks rest on, each by its name: the same in whatever order the facts came.
pub fn grounds(case: &Case) -> Vec<Ground> {
    let (mut marks, mut grounds) = (Marks::default(), Vec::new());
    for (_, state) in weighed(case) {
        match state {
            State::Found(Finding::Mark(mark)) => marks.remember(mark),
            State::Found(Finding::Refuse(Refusal::Banned)) => grounds.extend(named_bans(case)),
            State::Found(Finding::Refuse(Refusal::Arrears) | Finding::Ask(Refusal::Arrears)) => grounds.extend(named_debts(case)),
            State::Found(Finding::Pass | Finding::Again | Finding::Refuse(_) | Finding::Ask(_)) | State::Waits(_) | State::Missed(..) => {}
        }
    }
    let right = marks.right.map(|part| Ground::Right { part: *part });
    let overrun = marks.overrun.map(|part| Ground::Overrun { part: *part });
    let reservation = marks.reservation.map(|part| Ground::Reservation { part: *part });
    grounds.extend([right, overrun, reservation].into_iter().flatten());
    grounds
}

/// The first bans by their ids.
fn named_bans(case: &Case) -> Vec<Ground> {
    let named = |(part, ban): (&PartId, &Ban)| Ground::Ban { part: *part, from: ban.from, until: ban.until, reason: ban.reason.clone() };
    let mut bans: Vec<_> = bans(case).collect();
    bans.sort_by_key(|(part, _)| **part);
    bans.into_iter().take(NAMED_MAX).map(named).collect()
}

/// The oldest debts.
fn named_debts(case: &Case) -> Vec<Ground> {
    let mut debts: Vec<_> = debts(case).collect();
    debts.sort_by_key(|(at, arrear)| (*at, arrear.order));
    let named = |(at, arrear): (Moment, &Arrear)| Ground::Arrear { order: arrear.order, amount: arrear.amount, at };
    debts.into_iter().take(NAMED_MAX).map(named).collect()
}

fn concerned(case: &Case) -> impl Iterator<Item = &'static Check> + use<> {
    const CHECKS: &[Check] = &TABLE;
    let leaves = case.kind != GateKind::Entry;
    CHECKS.iter().filter(move |check| check.at_exit || !leaves)
}

const fn refused<'a>(reason: Refusal) -> Judged<'a> {
    let marks = Marks { right: None, overrun: None, reservation: None, inside: None, elsewhere: None, missed: Kinds::NONE };
    Judged::Decided(Decision { verdict: Verdict::Refuse, reason: Some(reason), marks })
}

impl<'a> Marks<'a> {
    const fn remember(&mut self, mark: Mark<'a>) {
        match mark {
            Mark::Right(right) => self.right = Some(right),
            Mark::Overrun(right) => (self.right, self.overrun) = (None, Some(right)),
            Mark::Reservation(reservation) => self.reservation = Some(reservation),
            Mark::Inside(passback) => self.inside = Some(passback),
            Mark::Elsewhere(lot) => self.elsewhere = Some(lot),
        }
    }
}

const fn nothing(_: &LotSays, _: &Here) -> Kinds {
    Kinds::NONE
}

/// The policy of checks that need no facts, or that only ever flag.
const fn allowed(_: Missed) -> Policy {
    Policy::Allow
}

fn refuse_if(wrong: bool, reason: Refusal) -> Finding<'static> {
    if wrong { Finding::Refuse(reason) } else { Finding::Pass }
}

fn double_read<'a>(case: &Case<'a>) -> Finding<'a> {
    let again = case.here.read_at.is_some_and(|before| case.seen_at.since(before).saturating_abs() <= case.lot.double_read);
    if again && case.lane.declared { Finding::Again } else { Finding::Pass }
}

fn already_inside<'a>(case: &Case<'a>) -> Finding<'a> {
    match (case.here.inside_since, case.lot.inside) {
        (None, _) => Finding::Pass,
        (Some(_), Passback::Refuse) => Finding::Refuse(Refusal::AlreadyInside),
        (Some(_), passback) => Finding::Mark(Mark::Inside(passback)),
    }
}

fn lot_open<'a>(case: &Case<'a>) -> Finding<'a> {
    refuse_if(!case.lot.open, Refusal::LotClosed)
}

fn lane_declared<'a>(case: &Case<'a>) -> Finding<'a> {
    if case.lane.declared { Finding::Pass } else { Finding::Ask(Refusal::UnknownLane) }
}

fn lane_direction<'a>(case: &Case<'a>) -> Finding<'a> {
    let serves = match case.kind {
        GateKind::Entry => case.lane.entry,
        GateKind::Exit => case.lane.exit,
        GateKind::Price | GateKind::Passed => true,
    };
    refuse_if(!serves, Refusal::WrongLane)
}

fn lane_class<'a>(case: &Case<'a>) -> Finding<'a> {
    refuse_if(!case.lane.classes.is_empty() && !case.lane.classes.contains(&case.class), Refusal::WrongClass)
}

fn lane_energy<'a>(case: &Case<'a>) -> Finding<'a> {
    refuse_if(!case.lane.energies.is_empty() && !case.lane.energies.contains(&case.energy), Refusal::WrongEnergy)
}

fn confidence<'a>(case: &Case<'a>) -> Finding<'a> {
    match case.confidence {
        Some(confidence) if confidence < case.lot.confidence_min => Finding::Ask(Refusal::UnsureRead),
        _ => Finding::Pass,
    }
}

/// Spaces that nobody is in. A car that is inside already, as far as we know, takes none.
fn free(lot: &LotSays, here: &Here) -> i64 {
    lot.capacity.saturating_sub(here.occupied).saturating_add(i64::from(here.inside_since.is_some()))
}

fn reservations_where_tight(lot: &LotSays, here: &Here) -> Kinds {
    let free = free(lot, here);
    if lot.reservable && free > 0 && free <= here.reserved { Kind::Reservations.into() } else { Kinds::NONE }
}

fn capacity<'a>(case: &Case<'a>) -> Finding<'a> {
    let free = free(&case.lot, &case.here);
    let tight = case.lot.reservable && free <= case.here.reserved;
    refuse_if(free <= 0 || (tight && reserved(case).is_none()), Refusal::Full)
}

/// The bans that are in force here and now.
fn bans<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a PartId, &'a Ban)> {
    case.facts.parts(Kind::Bans).iter().filter_map(|part| match &part.what {
        What::Ban(ban) => {
            let now = ban.from <= case.seen_at && ban.until.is_none_or(|until| case.seen_at < until);
            (now && ban.scope.covers(case.lot.operator, case.lot.lot, case.lot.groups)).then_some((&part.id, ban))
        }
        _ => None,
    })
}

fn ban<'a>(case: &Case<'a>) -> Finding<'a> {
    refuse_if(bans(case).next().is_some(), Refusal::Banned)
}

fn arrears_where_they_count(lot: &LotSays, _: &Here) -> Kinds {
    if lot.arrears == Policy::Allow { Kinds::NONE } else { Kind::Arrears.into() }
}

/// What a car owes to the lot's operator, and since when that is known.
pub fn debts<'a>(case: &Case<'a>) -> impl Iterator<Item = (Moment, &'a Arrear)> {
    let operator = case.lot.operator;
    case.facts.parts(Kind::Arrears).iter().filter_map(move |part| match &part.what {
        What::Arrear(arrear) if arrear.operator == *operator && arrear.amount.minor > 0 => Some((part.at, arrear)),
        _ => None,
    })
}

fn arrears<'a>(case: &Case<'a>) -> Finding<'a> {
    match (debts(case).next().is_some(), case.lot.arrears) {
        (false, _) | (true, Policy::Allow) => Finding::Pass,
        (true, Policy::Ask) => Finding::Ask(Refusal::Arrears),
        (true, Policy::Refuse) => Finding::Refuse(Refusal::Arrears),
    }
}

/// The rights that count here and now, with how many cars may use each.
fn rights<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a PartId, u32)> {
    case.facts.parts(Kind::Rights).iter().filter_map(|part| match &part.what {
        What::Right(right) => {
            let covers = right.holds(case.seen_at, case.local) && right.scope.covers(case.lot.operator, case.lot.lot, case.lot.groups);
            covers.then_some((&part.id, right.cars_max))
        }
        _ => None,
    })
}

/// The reservation that counts here and now: the first by its id, so that it is the same in whatever order they come.
fn reserved<'a>(case: &Case<'a>) -> Option<&'a PartId> {
    let counts = case.facts.parts(Kind::Reservations).iter().filter(|part| match &part.what {
        What::Reservation(held) => case.lot.reservable && held.lot == *case.lot.lot && held.from <= case.seen_at && case.seen_at < held.until,
        _ => false,
    });
    counts.map(|part| &part.id).min()
}

fn holdings_where_asked_for(lot: &LotSays, here: &Here) -> Kinds {
    if lot.holders_only { Kinds::from(Kind::Rights) | reservations_where_there_are_any(lot, here) } else { Kinds::NONE }
}

fn holders_only<'a>(case: &Case<'a>) -> Finding<'a> {
    refuse_if(case.lot.holders_only && rights(case).next().is_none() && reserved(case).is_none(), Refusal::NoRight)
}

fn right<'a>(case: &Case<'a>) -> Finding<'a> {
    rights(case).map(|(id, _)| id).min().map_or(Finding::Pass, |id| Finding::Mark(Mark::Right(id)))
}

fn right_overrun<'a>(case: &Case<'a>) -> Finding<'a> {
    let used = |id: &PartId| {
        let uses = |part: &&Part| match &part.what {
            // Whoever came later than this one does not use it before this one, however late this one is told of.
            What::Presence(car) => car.right.as_ref() == Some(id) && car.credential != *case.credential && car.since <= case.seen_at,
            _ => false,
        };
        u32::try_from(case.facts.parts(Kind::Presence).iter().filter(uses).count()).unwrap_or(u32::MAX)
    };
    let with_room = rights(case).filter(|(id, cars_max)| used(id) < *cars_max).map(|(id, _)| id).min();
    match (with_room, rights(case).map(|(id, _)| id).min()) {
        (Some(id), _) => Finding::Mark(Mark::Right(id)),
        (None, Some(id)) => Finding::Mark(Mark::Overrun(id)),
        (None, None) => Finding::Pass,
    }
}

fn reservations_where_there_are_any(lot: &LotSays, _: &Here) -> Kinds {
    if lot.reservable { Kind::Reservations.into() } else { Kinds::NONE }
}

fn reservation<'a>(case: &Case<'a>) -> Finding<'a> {
    reserved(case).map_or(Finding::Pass, |id| Finding::Mark(Mark::Reservation(id)))
}

fn elsewhere<'a>(case: &Case<'a>) -> Finding<'a> {
    let lots = case.facts.parts(Kind::Presence).iter().filter_map(|part| match &part.what {
        What::Presence(car) if car.credential == *case.credential && car.lot != *case.lot.lot => Some(&car.lot),
        _ => None,
    });
    lots.min().map_or(Finding::Pass, |lot| Finding::Mark(Mark::Elsewhere(lot)))
}

#[cfg(test)]
mod tests;
