//! What becomes of a car that asks to come in: its case, put to the prechecks.
//!
//! Not here: the checks themselves (`checks`), what is journaled of it (`entry`).

use super::checks::{self, Case, Decision, Fact, Finding, Here, Judged, LaneSays, LotSays, Mark, Policy, State, TABLE, entitled, judge, weighed};
use crate::View;
use schema::{
    Credential, Entity, GateEvent, Id, Key, Moment, Money, Verdict,
    entity::Session,
    fact::{self, AssignedRight, Kinds, LocalMinute, Part, What},
    journal::{Known, Made, Marks, Refusal, RightUsed},
    reference::{Direction, LotReference, Passback},
    time::SECOND,
};
use std::sync::{Arc, LazyLock};

/// What becomes of a car that asks to come in.
pub(super) enum Admission {
    /// It was let in just now, into this session.
    Again(Id),
    /// It comes in.
    Open(Box<Admitted>),
    /// It does not.
    Refused(Refusal, Made),
    /// A person is asked.
    Asked(Refusal, Made),
}

/// The facts without which the prechecks cannot decide.
pub(super) fn wants(view: &dyn View, lot: &LotReference, event: &GateEvent, inside: Option<&Session>) -> Kinds {
    match judge(&case(view, lot, event, inside)) {
        Judged::Wants(kinds) => kinds,
        Judged::Again | Judged::Decided(_) => Kinds::NONE,
    }
}

/// The facts without which nobody knows the right of a car that is inside, or was, whatever the prechecks would have said.
pub(super) fn wants_right(view: &dyn View, lot: &LotReference, event: &GateEvent) -> Kinds {
    match entitled(&case(view, lot, event, None)) {
        Judged::Wants(kinds) => kinds,
        Judged::Again | Judged::Decided(_) => Kinds::NONE,
    }
}

/// The right that such a car uses, and who else may: a driver with a pass is not to pay because a lane or a network was slow.
pub(super) fn right(view: &dyn View, lot: &LotReference, event: &GateEvent) -> (Vec<Credential>, Marks) {
    let mut case = case(view, lot, event, None);
    let mut judged = entitled(&case);
    if let Judged::Wants(kinds) = judged {
        case.facts = missed(case.facts, kinds);
        judged = entitled(&case);
    }
    let pending = [fact::Kind::Rights, fact::Kind::Presence].into_iter().filter(|kind| matches!(case.facts.get(*kind), Fact::Missed));
    let missed = pending.fold(Kinds::NONE, |kinds, kind| kinds | kind.into());
    let marks = if let Judged::Decided(Decision { marks, .. }) = judged { marks } else { checks::Marks::default() };
    remembered(&case, checks::Marks { missed, ..marks })
}

fn missed(facts: checks::Facts, kinds: Kinds) -> checks::Facts {
    kinds.iter().fold(facts, |facts, kind| facts.with(kind, Fact::Missed))
}

/// Whether a car may leave by this lane, and was read well enough; why not, and whether a person is asked.
pub(super) fn held_at_exit(view: &dyn View, lot: &LotReference, event: &GateEvent) -> Option<(Refusal, bool)> {
    match judge(&case(view, lot, event, None)) {
        Judged::Decided(Decision { verdict, reason: Some(reason), .. }) => Some((reason, verdict == Verdict::Ask)),
        Judged::Decided(_) | Judged::Again | Judged::Wants(_) => None,
    }
}

fn case<'a>(view: &'a dyn View, lot: &'a LotReference, event: &'a GateEvent, inside: Option<&Session>) -> Case<'a> {
    let declared = &lot.declared;
    let policies = &declared.policies;
    let (occupied, reserved) = match view.get(&Key::lot(declared.province, declared.lot)) {
        Some(Entity::Lot(lot)) => (lot.occupied, lot.reserved(event.seen_at)),
        _ => (0, 0),
    };
    let lane = declared.lane(&event.lane);
    let direction = lane.map_or(Direction::Both, |lane| lane.direction);
    Case {
        kind: event.kind,
        seen_at: event.seen_at,
        local: LocalMinute::of(&lot.zone, event.seen_at),
        credential: &event.credential,
        class: event.vehicle_class(),
        energy: event.vehicle_energy(),
        confidence: event.confidence,
        lot: LotSays {
            lot: &declared.lot,
            operator: &declared.operator,
            groups: &declared.groups,
            open: lot.is_open(event.seen_at),
            capacity: declared.capacity,
            holders_only: declared.holders_only,
            reservable: declared.reservable,
            inside: policies.inside,
            arrears: policies.arrears,
            confidence_min: policies.confidence_min,
            double_read: i64::from(policies.double_read_s).saturating_mul(SECOND),
            missed: policies.missed,
        },
        lane: LaneSays {
            declared: lane.is_some() || declared.lanes.is_empty(),
            entry: direction != Direction::Out,
            exit: direction != Direction::In,
            classes: lane.map_or(&[], |lane| &lane.classes),
            energies: lane.map_or(&[], |lane| &lane.energies),
        },
        here: Here {
            occupied,
            reserved,
            inside_since: inside.map(|session| session.stay.entered_at),
            read_at: inside
                .map(|session| &session.stay)
                .filter(|stay| stay.lane == event.lane && policies.double_read_s > 0)
                .map(|stay| stay.entered_at),
        },
        facts: fact::Kind::ALL.into_iter().fold(checks::Facts::PENDING, |facts, kind| facts.with(kind, view.fact(&event.credential, kind))),
    }
}

/// Puts the case to the prechecks.
pub(super) fn admit(view: &dyn View, lot: &LotReference, event: &GateEvent, inside: Option<&Session>, now: Moment) -> Admission {
    let mut case = case(view, lot, event, inside);
    // Whoever decides has waited as long as it may: what has not come by now does not come.
    let mut judged = judge(&case);
    if let Judged::Wants(kinds) = judged {
        case.facts = missed(case.facts, kinds);
        judged = judge(&case);
    }
    let turned_away = |how: fn(Refusal, Made) -> Admission, reason: Option<Refusal>| {
        let reason = reason.unwrap_or(Refusal::FactMissing);
        let owes = (reason == Refusal::Arrears).then(|| oldest_debt(&case)).flatten();
        how(reason, Made { owes, ..made_of(&case, false, now) })
    };
    match (judged, inside) {
        (Judged::Again, Some(session)) => Admission::Again(session.stay.session),
        (Judged::Decided(Decision { verdict: Verdict::Open, marks, .. }), _) => {
            // Where nothing is to be remembered no check has found anything, and none need be asked again.
            let is_plain = marks == checks::Marks::default();
            Admission::Open(Box::new(admitted(&case, marks, made_of(&case, is_plain, now))))
        }
        (Judged::Decided(Decision { verdict: Verdict::Refuse, reason, .. }), _) => turned_away(Admission::Refused, reason),
        (Judged::Decided(Decision { verdict: Verdict::Ask, reason, .. }), _) => turned_away(Admission::Asked, reason),
        (Judged::Again, None) | (Judged::Wants(_), _) => turned_away(Admission::Asked, None),
    }
}

/// What all checks of an entry are called, for the many cars of which none of them finds anything.
static ALL_PASS: LazyLock<Arc<str>> = LazyLock::new(|| TABLE.iter().map(|check| check.name).collect::<Vec<_>>().join(" ").into());

/// What a decision was made of, for whoever has it explained.
fn made_of(case: &Case, is_plain: bool, now: Moment) -> Made {
    let checks = if is_plain { ALL_PASS.clone() } else { weighed(case).map(|(name, state)| word(name, state)).collect::<Vec<_>>().join(" ").into() };
    let needed = TABLE.iter().fold(Kinds::NONE, |kinds, check| kinds | (check.needs)(&case.lot, &case.here));
    let known = |kind| match case.facts.get(kind) {
        Fact::Here(parts) => {
            let newest = parts.iter().map(|part| part.at).max();
            let age_ms = newest.map(|at| now.since(at).max(0).div_euclid(SECOND.div_euclid(1_000)));
            Known { kind, parts: u16::try_from(parts.len()).ok(), age_ms }
        }
        Fact::Pending | Fact::Missed => Known { kind, parts: None, age_ms: None },
    };
    let grounds = if is_plain { Vec::new() } else { checks::grounds(case) };
    Made { checks, facts: needed.iter().map(known).collect(), owes: None, grounds }
}

/// The oldest order that a car owes here, for its driver to pay.
fn oldest_debt(case: &Case) -> Option<(Id, Money)> {
    checks::debts(case).min_by_key(|(at, arrear)| (*at, arrear.order)).map(|(_, arrear)| (arrear.order, arrear.amount))
}

fn word(name: &str, state: State) -> String {
    let policy = |policy| match policy {
        Policy::Allow => "allow",
        Policy::Ask => "ask",
        Policy::Refuse => "refuse",
    };
    let found = match state {
        State::Found(Finding::Pass) => return name.to_owned(),
        State::Found(Finding::Again) => "again".to_owned(),
        State::Found(Finding::Ask(reason)) => format!("ask:{}", reason.as_str()),
        State::Found(Finding::Refuse(reason)) => format!("refuse:{}", reason.as_str()),
        State::Found(Finding::Mark(Mark::Inside(passback))) => format!("{passback:?}").to_lowercase(),
        State::Found(Finding::Mark(Mark::Right(id) | Mark::Reservation(id))) => id.to_string(),
        State::Found(Finding::Mark(Mark::Overrun(id))) => format!("overrun:{id}"),
        State::Found(Finding::Mark(Mark::Elsewhere(lot))) => lot.to_string(),
        State::Waits(_) => "not_waited_for".to_owned(),
        State::Missed(_, missed) => format!("missed:{}", policy(missed)),
    };
    format!("{name}={found}")
}

/// What its session begins with.
pub(super) struct Admitted {
    /// What is done about the session that it has already.
    pub inside: Option<Passback>,
    /// The others that may use its right.
    pub sharers: Vec<Credential>,
    /// What its session is to remember.
    pub marks: Box<Marks>,
    /// What that was decided on.
    pub made_of: Made,
}

fn admitted(case: &Case, marks: checks::Marks, made_of: Made) -> Admitted {
    let inside = marks.inside;
    let (sharers, marks) = remembered(case, marks);
    Admitted { inside, sharers, marks: Box::new(marks), made_of }
}

/// Who else may use the right, and what a session is to remember.
fn remembered(case: &Case, marks: checks::Marks) -> (Vec<Credential>, Marks) {
    let is_used = |part: &&Part| marks.right == Some(&part.id);
    let used = match case.facts.rights {
        Fact::Here(parts) => {
            parts.iter().find(is_used).and_then(|part| if let What::Right(right) = &part.what { Some((part.id, right)) } else { None })
        }
        Fact::Pending | Fact::Missed => None,
    };
    let right = used.map(|(id, AssignedRight { from, until, bands, .. })| RightUsed { id, from: *from, until: *until, bands: bands.clone() });
    let sharers = used.map_or_else(Vec::new, |(_, right)| right.holders.iter().filter(|other| *other != case.credential).cloned().collect());
    let marks = Marks {
        right,
        overrun: marks.overrun.copied(),
        reservation: marks.reservation.copied(),
        elsewhere: marks.elsewhere.copied(),
        missed: marks.missed.iter().collect(),
        local: false,
        lost: None,
        notice: None,
    };
    (sharers, marks)
}
