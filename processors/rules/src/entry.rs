//! Who comes in and who leaves: gate events and settled orders become sessions.
//!
//! Invariants
//! 1. A car is inside a lot at most once   (`tests::a_car_inside_is_not_let_in_again`).
//! 2. A lot's last space has one winner   (`tests::the_last_space_has_one_winner`).
//! 3. An exit that comes before its entry ends with the same session and times   (`tests::an_exit_before_its_entry_ends_the_same`).
//! 4. A space is freed once for each that was taken   (`tests::a_space_is_freed_once`).
//! 5. A lane that decided by itself is believed, and told nothing   (`local::tests::what_a_lane_did_by_itself_is_believed`).
//! 6. What is paid before the exit counts for the stay, and a price that was asked for in between is asked for again with it
//!    (`prepay::tests::what_is_paid_inside_counts`).
//! 7. A car that never crosses the lane that was opened for it holds no space   (`tests::who_never_crosses_holds_no_space`).
//! 8. A car that comes in again is refused, or its old session ends, as its lot says   (`tests::a_second_entry_is_what_the_lot_says`).
//! 9. What a right covers costs nothing, however its car came in   (`tests::a_right_counts_however_its_car_came_in`).
//! 10. A car leaves by a way out, and well read   (`tests::a_car_leaves_by_a_way_out_and_well_read`).
//! 11. Who is kept out for what it owes is told how much, and for which order   (`tests::who_owes_is_told_what_and_for_which_order`).
//! 12. A channel that deducts fees by the plate is told of each car that drives in, and named where it leaves   (`notice::tests`).
//! 13. A car that was let out, and is read at an exit again within seconds, waits for no entry   (`again::tests::who_was_let_out_is_not_let_out_again`).
//! 14. At a lane that its lot does not declare a person is asked; what has happened there by itself or by hand is believed
//!     (`tests::who_comes_or_leaves_by_a_lane_that_nobody_declared_is_asked_about`).
//! 15. Of coupons that a vehicle may use so many of on a day, one that is over that is flagged and takes nothing off   (`coupon::tests`).
//!
//! Not here: what a stay costs (`pricing`).

mod admit;
mod again;
pub mod checks;
mod coupon;
mod desk;
mod hand;
mod local;
mod notice;
mod prepay;

use crate::{Body, Facts, Input, Rules, Touch, View, Wanted, command, no_window};
use admit::{Admission, Admitted, admit};
use schema::{
    Credential, Effect, Entity, Event, GateEvent, GateKind, Handle, Id, Journal, Key, LaneCommand, LotId, Moment, Money, Partition, Recorded, Table,
    Verdict,
    entity::{Answer, Lot, Session, Stage, Waiting},
    fact::Kinds,
    id::{self, Kind, Place, Province},
    journal::{Deduction, Departure, Marks, Note, OrderEvent, Refusal, SessionEvent, Stay},
    reference::{Direction, LotReference, Passback},
    time::SECOND,
};
use std::collections::BTreeMap;

/// The processor `entry`.
pub const RULES: Rules =
    Rules { name: "entry", journal: Journal::Session, concerns, needs, wants, audits: no_window, decide, touches, evolve, effects };

fn concerns(body: &Body) -> bool {
    match body {
        Body::Gate(_) | Body::Tick(_) => true,
        Body::Desk(event) => event.says.decided_in() == Journal::Session,
        Body::Journal(recorded) => match &recorded.event {
            Event::Order(OrderEvent::Priced { quote, inside, .. }) => quote.total.is_zero() && inside.is_none(),
            Event::Order(OrderEvent::Paid { .. } | OrderEvent::Owed { .. }) => true,
            Event::Order(_) | Event::Session(_) | Event::Payment(_) | Event::Ledger(_) | Event::Recon(_) => false,
        },
        Body::Channel(event) => !event.is_of_money(),
        Body::Statement(_) => false,
    }
}

/// An open session is found by its handle; one that an order names may have been closed, and what a person names is where its id says.
fn needs(_: &dyn View, facts: &Facts, input: &Input) -> Vec<Key> {
    if let Body::Desk(event) = &input.body {
        return desk::needs(facts, event);
    }
    if let Body::Channel(event) = &input.body {
        return notice::needs(event);
    }
    let owing = match &input.body {
        Body::Journal(recorded) => {
            if let Event::Order(OrderEvent::Owed { session, .. } | OrderEvent::Paid { session, prepays: Some(_), .. }) = &recorded.event {
                Some(*session)
            } else {
                None
            }
        }
        _ => None,
    };
    let session = settled(input).map(|settled| settled.session).or(owing);
    session.and_then(|session| Key::of(Table::Sessions, session)).into_iter().collect()
}

/// What is to be known of a vehicle, and is not yet.
fn wants(view: &dyn View, facts: &Facts, input: &Input) -> Option<Wanted> {
    match &input.body {
        Body::Gate(event) => gate_wants(view, facts, input, event),
        Body::Desk(event) => desk::wants(view, facts, input, event),
        Body::Journal(_) | Body::Channel(_) | Body::Statement(_) | Body::Tick(_) => None,
    }
}

/// Who asks to come in is put to the checks; of who is in already, or has been, it is its right alone.
fn gate_wants(view: &dyn View, facts: &Facts, input: &Input, event: &GateEvent) -> Option<Wanted> {
    let lot = facts.reference.lot(&event.lot)?;
    let (inside, waiting) = here(view, event);
    if unbelievable(facts, input, event).is_some() {
        return None;
    }
    let kinds = match (event.kind, event.decided) {
        (GateKind::Entry, Some(Verdict::Refuse | Verdict::Ask)) => Kinds::NONE,
        (GateKind::Entry, _) if been_and_gone(view, lot, event, (inside, waiting)).is_some() => admit::wants_right(view, lot, event),
        (GateKind::Entry, Some(Verdict::Open)) => admit::wants_right(view, lot, event),
        (GateKind::Entry, None) => admit::wants(view, lot, event, inside),
        (GateKind::Passed, _) if inside.is_none() && is_way_in(lot, event) => admit::wants_right(view, lot, event),
        (GateKind::Passed | GateKind::Exit | GateKind::Price, _) => Kinds::NONE,
    };
    (!kinds.is_empty()).then(|| (event.credential.clone(), kinds))
}

fn is_way_in(lot: &LotReference, event: &GateEvent) -> bool {
    lot.declared.lane(&event.lane).is_some_and(|lane| lane.direction == Direction::In)
}

fn decide(view: &dyn View, facts: &Facts, input: &Input) -> Vec<Event> {
    let events = match &input.body {
        Body::Gate(event) => gate(view, facts, input, event),
        Body::Desk(event) => desk::decide(view, facts, input, event),
        Body::Tick(key) => never_crossed(view, input, key).into_iter().collect(),
        Body::Channel(event) => notice::answered(view, event).into_iter().collect(),
        Body::Journal(_) | Body::Statement(_) => {
            let closed = settled(input)
                .map(|settled| hand::paid_meanwhile(view, facts, &settled).unwrap_or_else(|| vec![close(view, facts, input, &settled)]));
            let one = closed.or_else(|| owed(view, facts, input).map(|event| vec![event]));
            one.or_else(|| prepay::paid(view, facts, input)).unwrap_or_default()
        }
    };
    events.into_iter().map(Event::Session).collect()
}

fn gate(view: &dyn View, facts: &Facts, input: &Input, event: &GateEvent) -> Vec<SessionEvent> {
    let expires_at = event.seen_at.plus(facts.limits.command_life);
    let refuse_on = |province: Province, reason: Refusal, ask: bool, made_of| {
        let GateEvent { lot, lane, credential, id, seen_at, .. } = event.clone();
        vec![SessionEvent::Refused { lot, lane, province, credential, reason, event: id, seen_at, expires_at, ask, made_of }]
    };
    let refuse = |province, reason, ask| refuse_on(province, reason, ask, None);
    let Some(lot) = facts.reference.lot(&event.lot) else { return refuse(Province(0), Refusal::UnknownLot, false) };
    let province = lot.declared.province;
    if let Some(reason) = unbelievable(facts, input, event) {
        return refuse(province, reason, reason == Refusal::ClockAhead);
    }
    let (inside, waiting) = here(view, event);
    match event.kind {
        GateKind::Entry if event.decided.is_some_and(|decided| decided != Verdict::Open) => local::refused(lot, event),
        GateKind::Exit if event.decided.is_some_and(|decided| decided != Verdict::Open) => local::refused(lot, event),
        GateKind::Passed => passed(view, lot, event, inside, expires_at),
        GateKind::Price => match inside {
            Some(session) if session.stage == Stage::Open && event.seen_at >= session.stay.entered_at => prepay::asked(session, event),
            Some(session) if session.stage == Stage::Leaving => {
                let (note, concerns) = (Note::AlreadyLeaving, Some(session.stay.session));
                vec![SessionEvent::Noted { note, concerns, lot: event.lot, province, ask: Some((event.lane, event.id, expires_at)) }]
            }
            _ => refuse(province, Refusal::NotInside, true),
        },
        GateKind::Entry => match (been_and_gone(view, lot, event, (inside, waiting)), inside) {
            (Some(exit), _) => been(view, lot, event, &exit, expires_at),
            (None, inside) if event.decided.is_some() => local::entered(view, lot, event, inside, expires_at),
            (None, inside) => match admit(view, lot, event, inside, input.received_at) {
                Admission::Again(session) => {
                    let (note, concerns) = (Note::DoubleRead, Some(session));
                    vec![SessionEvent::Noted { note, concerns, lot: event.lot, province, ask: Some((event.lane, event.id, expires_at)) }]
                }
                Admission::Refused(reason, made_of) => refuse_on(province, reason, false, Some(Box::new(made_of))),
                Admission::Asked(reason, made_of) => refuse_on(province, reason, true, Some(Box::new(made_of))),
                Admission::Open(admitted) => {
                    let Admitted { inside: passback, sharers, marks, made_of } = *admitted;
                    let stay = Stay { sharers, ..stay(lot, event) };
                    let marks = Box::new(Marks { notice: notice::wanted(lot, &stay.credential), ..*marks });
                    let (by, flagged) = (stay.session, passback == Some(Passback::Flag));
                    let has_sensor = lot.declared.lane(&event.lane).is_some_and(|lane| lane.sensor);
                    let passes_by = has_sensor.then(|| input.received_at.plus(i64::from(lot.declared.pass_within_s).saturating_mul(SECOND)));
                    let old = inside.map(|old| SessionEvent::Superseded { stay: old.stay.clone(), by, flagged });
                    old.into_iter()
                        .chain([SessionEvent::Opened {
                            stay,
                            event: event.id,
                            expires_at,
                            releases: None,
                            marks,
                            made_of: Some(Box::new(made_of)),
                            passes_by,
                        }])
                        .collect()
                }
            },
        },
        GateKind::Exit => {
            let held = if event.decided.is_none() { admit::held_at_exit(view, lot, event) } else { None };
            match (again::left(view, lot, event, inside), held) {
                // A lane that nobody declared is not opened once more, either.
                (_, Some((reason @ Refusal::UnknownLane, ask))) | (None, Some((reason, ask))) => refuse(province, reason, ask),
                (Some(left), _) => again::read(left, lot, event, expires_at),
                (None, None) => leaves(lot, event, (inside, waiting), expires_at),
            }
        }
    }
}

/// A car stands at an exit, and nothing holds it there.
fn leaves(lot: &LotReference, event: &GateEvent, (inside, waiting): (Option<&Session>, Option<&Waiting>), expires_at: Moment) -> Vec<SessionEvent> {
    let (local, province) = (event.decided.is_some(), lot.declared.province);
    // Who has gone by itself owes, and pays like anybody who owes.
    let deducts = inside.filter(|session| !local && session.stage == Stage::Open).and_then(|session| session.deducts.clone());
    let departure = Departure { lane: event.lane, left_at: event.seen_at, event: event.id, local, deducts };
    let noted = |note, concerns| {
        let ask = event.decided.is_none().then_some((event.lane, event.id, expires_at));
        vec![SessionEvent::Noted { note, concerns: Some(concerns), lot: event.lot, province, ask }]
    };
    match (inside, waiting) {
        (Some(session), _) if departure.local && (session.stage == Stage::Leaving || event.seen_at >= session.stay.entered_at) => {
            local::left(lot, session, departure)
        }
        (Some(session), _) if session.stage == Stage::Leaving => noted(Note::AlreadyLeaving, session.stay.session),
        (Some(session), _) if event.seen_at >= session.stay.entered_at => {
            let (right, terms) = (session.right.clone().map(Box::new), session.terms());
            let (stay, sequence) = (session.stay.clone(), session.sequence.saturating_add(1));
            vec![SessionEvent::Leaving { stay, departure, sequence, right, terms }]
        }
        (_, Some(waiting)) => noted(Note::AlreadyWaiting, waiting.waiting),
        (_, None) => {
            let waiting = derive(Kind::Waiting, lot, event);
            vec![SessionEvent::Waiting { waiting, lot: event.lot, province, credential: event.credential.clone(), departure, expires_at }]
        }
    }
}

/// A car has crossed a lane: what was decided of it before, or not, has happened.
fn passed(view: &dyn View, lot: &LotReference, event: &GateEvent, inside: Option<&Session>, expires_at: Moment) -> Vec<SessionEvent> {
    let province = lot.declared.province;
    let noted = |note, concerns| vec![SessionEvent::Noted { note, concerns, lot: event.lot, province, ask: None }];
    let stands_at = |departure: &Departure| departure.lane == event.lane;
    match inside {
        Some(session) if session.stage == Stage::Leaving && session.departure.as_ref().is_some_and(stands_at) => {
            local::left(lot, session, Departure { lane: event.lane, left_at: event.seen_at, event: event.id, local: true, deducts: None })
        }
        Some(session) if session.passes_by.is_some() && session.stay.lane == event.lane => {
            vec![SessionEvent::Passed { stay: session.stay.clone(), at: event.seen_at }]
        }
        Some(session) => noted(Note::AlreadyInside, Some(session.stay.session)),
        // Nobody was let in, or it took longer than it may: it is inside all the same.
        None if is_way_in(lot, event) => local::entered(view, lot, event, None, expires_at),
        None => noted(Note::Unknown, None),
    }
}

/// The lane was opened for a car, and it has not crossed.
fn never_crossed(view: &dyn View, input: &Input, key: &Key) -> Option<SessionEvent> {
    let Some(Entity::Session(session)) = view.get(key) else { return None };
    let is_due = session.stage == Stage::Open && session.passes_by.is_some_and(|by| by <= input.received_at);
    is_due.then(|| SessionEvent::Vacated { stay: session.stay.clone() })
}

/// Why the time of an event is not to be believed, if it is not.
fn unbelievable(facts: &Facts, input: &Input, event: &GateEvent) -> Option<Refusal> {
    if event.seen_at.since(input.received_at) > Answer::AHEAD_MAX {
        return Some(Refusal::ClockAhead);
    }
    (input.received_at.since(event.seen_at) > facts.limits.late_max).then_some(Refusal::TooLate)
}

/// The session of an event's car here, and its exit that waits for an entry.
fn here<'a>(view: &'a dyn View, event: &GateEvent) -> (Option<&'a Session>, Option<&'a Waiting>) {
    let inside = match view.find(&Handle::Inside(event.lot, event.credential.clone())) {
        Some(Entity::Session(session)) => Some(&**session),
        _ => None,
    };
    let waiting = match view.find(&Handle::Waiting(event.lot, event.credential.clone())) {
        Some(Entity::Waiting(waiting)) => Some(&**waiting),
        _ => None,
    };
    (inside, waiting)
}

/// An exit that was told before its entry.
struct Exit {
    departure: Departure,
    /// What waited for the entry; none where the exit was taken for another read of the one before.
    waiting: Option<Id>,
}

/// The exit that was told before this entry: the car has been and gone, so there is nothing to admit any more.
fn been_and_gone(view: &dyn View, lot: &LotReference, event: &GateEvent, (inside, waiting): (Option<&Session>, Option<&Waiting>)) -> Option<Exit> {
    if inside.is_some() {
        return None;
    }
    let waited = waiting.filter(|exit| exit.departure.left_at >= event.seen_at);
    let waited = waited.map(|exit| Exit { departure: exit.departure.clone(), waiting: Some(exit.waiting) });
    waited.or_else(|| again::left_since(view, lot, event).map(|departure| Exit { departure, waiting: None }))
}

/// A car whose exit was told first: it was here from now until then.
fn been(view: &dyn View, lot: &LotReference, event: &GateEvent, exit: &Exit, expires_at: Moment) -> Vec<SessionEvent> {
    let (sharers, marks) = admit::right(view, lot, event);
    let stay = Stay { sharers, ..stay(lot, event) };
    let right = marks.right.clone().map(Box::new);
    let marks = Box::new(Marks { local: event.decided.is_some(), ..marks });
    let opened =
        SessionEvent::Opened { stay: stay.clone(), event: event.id, expires_at, releases: exit.waiting, marks, made_of: None, passes_by: None };
    let leaving = SessionEvent::Leaving { stay: stay.clone(), departure: exit.departure.clone(), sequence: 1, right, terms: None };
    let asked = Some((1, exit.departure.left_at));
    let same_read_until = again::same_read_until(lot, exit.departure.left_at);
    let gone = exit.departure.local.then(|| SessionEvent::Gone { stay, departure: exit.departure.clone(), asked, same_read_until });
    [opened, leaving].into_iter().chain(gone).collect()
}

fn stay(lot: &LotReference, event: &GateEvent) -> Stay {
    Stay {
        session: derive(Kind::Session, lot, event),
        lot: event.lot,
        province: lot.declared.province,
        credential: event.credential.clone(),
        lane: event.lane,
        entered_at: event.seen_at,
        class: event.vehicle_class(),
        energy: event.vehicle_energy(),
        sharers: Vec::new(),
    }
}

fn derive(kind: Kind, lot: &LotReference, event: &GateEvent) -> Id {
    let place = Place { province: lot.declared.province, day: lot.zone.day(event.seen_at), partition: Partition::of_lot(event.lot.as_str()) };
    id::derive(kind, place, &[event.lot.as_str(), event.lane.as_str(), event.id.as_str(), &event.seen_at.0.to_string()])
}

/// An order that asks for nothing any more.
struct Settled {
    order: Id,
    session: Id,
    lot: LotId,
    province: Province,
    paid: Money,
}

fn settled(input: &Input) -> Option<Settled> {
    let Body::Journal(recorded) = &input.body else { return None };
    match &recorded.event {
        Event::Order(OrderEvent::Priced { order, stay, quote, inside: None, .. }) if quote.total.is_zero() => {
            Some(Settled { order: *order, session: stay.session, lot: stay.lot, province: stay.province, paid: quote.total })
        }
        Event::Order(OrderEvent::Paid { order, session, lot, province, amount, prepays: None, .. }) => {
            Some(Settled { order: *order, session: *session, lot: *lot, province: *province, paid: *amount })
        }
        Event::Order(_) | Event::Session(_) | Event::Payment(_) | Event::Ledger(_) | Event::Recon(_) => None,
    }
}

fn close(view: &dyn View, facts: &Facts, input: &Input, settled: &Settled) -> SessionEvent {
    let Settled { order, session, lot, province, paid } = *settled;
    let noted = |note| SessionEvent::Noted { note, concerns: Some(session), lot, province, ask: None };
    match Key::of(Table::Sessions, session).and_then(|key| view.get(&key)) {
        // It was paid inside, and that failed: paying it now is not paying what leaving costs.
        Some(Entity::Session(session)) if prepay::has_failed(session, order) && !session.gone => prepay::paid_anew(session, order),
        Some(Entity::Session(session)) => match (&session.stage, &session.departure) {
            (Stage::Closed, _) => noted(Note::AlreadyClosed),
            (Stage::Open | Stage::Leaving, Some(departure)) => {
                let expires_at = input.received_at.plus(facts.limits.command_life);
                let others = session.prepaid.iter().filter(|paid| &*paid.id != order.as_str());
                let before = others.fold(0_i64, |sum, paid| sum.saturating_add(paid.amount.minor));
                let paid = Money::new(paid.minor.saturating_add(before), paid.currency);
                let (stay, departure, gone) = (session.stay.clone(), departure.clone(), session.gone);
                let let_out_at = departure.left_at.max(input.time);
                let lets_out = facts.reference.lot(&lot).filter(|_| !gone);
                let same_read_until = lets_out.and_then(|lot| again::same_read_until(lot, let_out_at));
                SessionEvent::Closed { stay, departure, order, paid, expires_at, gone, same_read_until }
            }
            (Stage::Open | Stage::Leaving, None) => noted(Note::Unknown),
        },
        _ => noted(Note::Unknown),
    }
}

/// A car that has gone owes what its order says.
fn owed(view: &dyn View, facts: &Facts, input: &Input) -> Option<SessionEvent> {
    let Body::Journal(recorded) = &input.body else { return None };
    let Event::Order(OrderEvent::Owed { order, session, lot, province, amount, .. }) = recorded.event else { return None };
    let noted = |note| SessionEvent::Noted { note, concerns: Some(session), lot, province, ask: None };
    let Some(Entity::Session(known)) = Key::of(Table::Sessions, session).and_then(|key| view.get(&key)) else {
        return Some(noted(Note::Unknown));
    };
    let operator = facts.reference.lot(&lot).map(|lot| lot.declared.operator);
    Some(match operator {
        // One that was settled by what has failed since owes it, too; one that another stay has ended is nobody's any more.
        Some(operator) if known.superseded_by.is_none() => SessionEvent::Owed { stay: known.stay.clone(), order, amount, operator },
        Some(_) => noted(Note::AlreadyClosed),
        None => noted(Note::Unknown),
    })
}

fn touches(event: &Event) -> Vec<Touch> {
    let Event::Session(event) = event else { return Vec::new() };
    let row = |table, id, born| Key::of(table, id).map(|key| Touch { key, born });
    let lot = |stay: &Stay| Some(Touch { key: Key::lot(stay.province, stay.lot), born: true });
    let touched = match event {
        SessionEvent::Opened { stay, releases, .. } => {
            [row(Table::Sessions, stay.session, true), lot(stay), releases.and_then(|exit| row(Table::Waiting, exit, false))]
        }
        SessionEvent::Waiting { waiting, .. } => [row(Table::Waiting, *waiting, true), None, None],
        SessionEvent::Asked { stay, .. }
        | SessionEvent::Prepaid { stay, .. }
        | SessionEvent::Passed { stay, .. }
        | SessionEvent::Validated { stay, .. }
        | SessionEvent::Noticed { stay, .. }
        | SessionEvent::Leaving { stay, .. }
        | SessionEvent::Owed { stay, .. }
        | SessionEvent::Closed { stay, gone: true, .. } => [row(Table::Sessions, stay.session, false), None, None],
        SessionEvent::Closed { stay, .. }
        | SessionEvent::Superseded { stay, .. }
        | SessionEvent::Vacated { stay }
        | SessionEvent::Gone { stay, .. } => [row(Table::Sessions, stay.session, false), lot(stay), None],
        SessionEvent::Corrected { stay, releases, .. } => {
            [row(Table::Sessions, stay.session, false), releases.and_then(|exit| row(Table::Waiting, exit, false)), None]
        }
        SessionEvent::Stated { stated, province, .. } => desk::touches(stated, *province),
        SessionEvent::ReadAgain { lot, province, .. } => [Some(Touch { key: Key::lot(*province, *lot), born: true }), None, None],
        SessionEvent::Refused { .. } | SessionEvent::LetThrough { .. } | SessionEvent::Noted { .. } => [None, None, None],
    };
    touched.into_iter().flatten().collect()
}

fn evolve(key: &Key, entity: Option<Entity>, recorded: &Recorded) -> Entity {
    let Event::Session(event) = &recorded.event else { unreachable!("SESSION holds its own events alone") };
    match (key.table, event, entity) {
        (
            Table::Lots,
            SessionEvent::Opened { .. }
            | SessionEvent::Closed { .. }
            | SessionEvent::Superseded { .. }
            | SessionEvent::Vacated { .. }
            | SessionEvent::Gone { .. },
            lot,
        ) => Entity::Lot(Box::new(counted(again::remembered(known_lot(key, lot), event, recorded.at), event))),
        (Table::Lots, SessionEvent::ReadAgain { .. }, lot) => Entity::Lot(Box::new(again::remembered(known_lot(key, lot), event, recorded.at))),
        (Table::Lots, SessionEvent::Stated { stated, .. }, lot) => Entity::Lot(Box::new(desk::hold(known_lot(key, lot), stated, recorded.at))),
        (Table::Facts, SessionEvent::Stated { stated, .. }, _) => Entity::Stated(stated.clone()),
        (Table::Sessions, SessionEvent::Opened { stay, marks, passes_by, .. }, _) => Entity::Session(Box::new(Session {
            stay: stay.clone(),
            stage: Stage::Open,
            departure: None,
            sequence: 0,
            order: None,
            paid: None,
            superseded_by: None,
            flagged: false,
            right: marks.right.clone(),
            gone: false,
            owes: None,
            asked: None,
            prepaid: Vec::new(),
            validations: Vec::new(),
            lost: marks.lost.is_some(),
            passes_by: *passes_by,
            corrected: None,
            deducts: None,
            coupons: None,
        })),
        (Table::Sessions, SessionEvent::Asked { departure, sequence, .. }, Some(Entity::Session(session))) => {
            Entity::Session(Box::new(Session { asked: Some(departure.clone()), sequence: *sequence, ..*session }))
        }
        (Table::Sessions, SessionEvent::Prepaid { paid, sequence, .. }, Some(Entity::Session(session))) => {
            Entity::Session(Box::new(prepay::with(*session, paid, *sequence)))
        }
        (Table::Sessions, SessionEvent::Validated { validation, limit, .. }, Some(Entity::Session(session))) => {
            Entity::Session(Box::new(hand::validated(*session, validation, limit.as_deref())))
        }
        (Table::Sessions, SessionEvent::Noticed { channel, parking, .. }, Some(Entity::Session(session))) => {
            let deducts = parking.clone().map(|parking| Box::new(Deduction { channel: channel.clone(), parking }));
            Entity::Session(Box::new(Session { deducts, ..*session }))
        }
        (Table::Sessions, SessionEvent::Corrected { stay, entitled, .. }, Some(Entity::Session(session))) => {
            Entity::Session(Box::new(hand::corrected(*session, stay, entitled.as_deref())))
        }
        (Table::Sessions, SessionEvent::Leaving { departure, sequence, terms, .. }, Some(Entity::Session(session))) => {
            let (asked, departure) = (Some(departure.clone()), Some(departure.clone()));
            let corrected = terms.as_ref().and_then(|terms| terms.corrected.clone());
            Entity::Session(Box::new(Session { stage: Stage::Leaving, departure, asked, sequence: *sequence, corrected, ..hand::reopened(*session) }))
        }
        (Table::Sessions, SessionEvent::Passed { .. }, Some(Entity::Session(session))) => {
            Entity::Session(Box::new(Session { passes_by: None, ..*session }))
        }
        (Table::Sessions, SessionEvent::Vacated { .. }, Some(Entity::Session(session))) => {
            Entity::Session(Box::new(Session { stage: Stage::Closed, ..*session }))
        }
        (Table::Sessions, SessionEvent::Closed { order, paid, .. }, Some(Entity::Session(session))) => {
            Entity::Session(Box::new(prepay::closed(*session, *order, *paid)))
        }
        (Table::Sessions, SessionEvent::Superseded { by, flagged, .. }, Some(Entity::Session(session))) => {
            Entity::Session(Box::new(Session { stage: Stage::Closed, superseded_by: Some(*by), flagged: *flagged, ..*session }))
        }
        (Table::Sessions, SessionEvent::Gone { departure, .. }, Some(Entity::Session(session))) => {
            Entity::Session(Box::new(Session { stage: Stage::Leaving, departure: Some(departure.clone()), gone: true, ..*session }))
        }
        (Table::Sessions, SessionEvent::Owed { order, amount, operator, .. }, Some(Entity::Session(session))) => {
            let owes = Some((*order, *amount, *operator));
            if session.stage == Stage::Closed {
                // What it owes was not paid; if that was not what closed it, what did is paid still.
                let session = if session.order == Some(*order) { Session { order: None, paid: None, ..*session } } else { *session };
                return Entity::Session(Box::new(Session { owes, ..hand::reopened(session) }));
            }
            Entity::Session(Box::new(Session { owes, ..*session }))
        }
        (Table::Waiting, SessionEvent::Waiting { waiting, lot, province, credential, departure, .. }, _) => Entity::Waiting(Box::new(Waiting {
            waiting: *waiting,
            lot: *lot,
            province: *province,
            credential: credential.clone(),
            departure: departure.clone(),
            released_by: None,
        })),
        (Table::Waiting, SessionEvent::Opened { stay, .. } | SessionEvent::Corrected { stay, .. }, Some(Entity::Waiting(waiting))) => {
            Entity::Waiting(Box::new(Waiting { released_by: Some(stay.session), ..*waiting }))
        }
        (table, ..) => unreachable!("{} does not concern {} {}", recorded.event.kind(), table.name(), key.id),
    }
}

/// A lot with one car more, or one less.
fn counted(mut lot: Lot, event: &SessionEvent) -> Lot {
    let step = if let SessionEvent::Opened { marks, .. } = event {
        lot.reservations.retain(|part, _| marks.reservation.as_ref() != Some(part));
        1
    } else {
        -1
    };
    Lot { occupied: lot.occupied.saturating_add(step), ..lot }
}

fn known_lot(key: &Key, lot: Option<Entity>) -> Lot {
    match lot {
        Some(Entity::Lot(lot)) => *lot,
        _ => Lot { lot: key.id, occupied: 0, reservations: BTreeMap::new(), left: Vec::new() },
    }
}

fn effects(recorded: &Recorded) -> Vec<Effect> {
    let Event::Session(event) = &recorded.event else { return Vec::new() };
    let at = |subject, lot, lane, answers, verdict, reason: &str, expires_at: Moment| {
        command(recorded, subject, |id| LaneCommand {
            id,
            lot,
            lane,
            answers: Some(answers),
            verdict,
            reason: reason.into(),
            due: None,
            order: None,
            expires_at,
        })
    };
    match event {
        // A lane that has decided by itself waits for nothing.
        SessionEvent::Opened { stay, marks, .. } if marks.local || marks.lost.is_some() => notice::effect(stay, marks).into_iter().collect(),
        SessionEvent::LetThrough { lot, lane, province, by, opens_until: Some(expires_at), event, .. } => {
            let subject = hand::subject(*province, *lot, by, event);
            command(recorded, subject, |id| LaneCommand {
                id,
                lot: *lot,
                lane: *lane,
                answers: None,
                verdict: Verdict::Open,
                reason: "by_hand".into(),
                due: None,
                order: None,
                expires_at: *expires_at,
            })
        }
        SessionEvent::Waiting { departure, .. } | SessionEvent::ReadAgain { departure, .. } if departure.local => Vec::new(),
        SessionEvent::Closed { gone: true, .. } => Vec::new(),
        SessionEvent::Opened { stay, event, expires_at, marks, .. } => {
            let opens = at(stay.session, stay.lot, stay.lane, *event, Verdict::Open, "welcome", *expires_at);
            opens.into_iter().chain(notice::effect(stay, marks)).collect()
        }
        SessionEvent::Refused { lot, lane, province, credential, reason, event, seen_at, expires_at, ask, made_of } => {
            let verdict = if *ask || *reason == Refusal::ClockAhead { Verdict::Ask } else { Verdict::Refuse };
            let owes = made_of.as_ref().and_then(|made| made.owes);
            command(recorded, refused(*province, *lot, credential, *seen_at), |id| LaneCommand {
                id,
                lot: *lot,
                lane: *lane,
                answers: Some(*event),
                verdict,
                reason: reason.as_str().into(),
                due: owes.map(|(_, amount)| amount),
                order: owes.map(|(order, _)| order),
                expires_at: *expires_at,
            })
        }
        SessionEvent::Waiting { waiting, lot, departure, expires_at, .. } => {
            at(*waiting, *lot, departure.lane, departure.event, Verdict::Ask, "no_entry_known", *expires_at)
        }
        SessionEvent::Closed { stay, departure, expires_at, .. } => {
            at(stay.session, stay.lot, departure.lane, departure.event, Verdict::Open, "goodbye", *expires_at)
        }
        SessionEvent::ReadAgain { session, lot, departure, expires_at, .. } => {
            at(*session, *lot, departure.lane, departure.event, Verdict::Open, "goodbye", *expires_at)
        }
        SessionEvent::Prepaid { stay, told: Some((lane, event, expires_at)), .. } => {
            at(stay.session, stay.lot, *lane, *event, Verdict::Ask, "paid", *expires_at)
        }
        SessionEvent::Noted { note: Note::DoubleRead, concerns: Some(concerns), lot, ask: Some((lane, event, expires_at)), .. } => {
            at(*concerns, *lot, *lane, *event, Verdict::Open, "welcome", *expires_at)
        }
        SessionEvent::Noted { note, concerns: Some(concerns), lot, ask: Some((lane, event, expires_at)), .. } => {
            let reason = if *note == Note::AlreadyLeaving { "pay_first" } else { "no_entry_known" };
            at(*concerns, *lot, *lane, *event, Verdict::Ask, reason, *expires_at)
        }
        SessionEvent::Leaving { .. }
        | SessionEvent::Asked { .. }
        | SessionEvent::Prepaid { .. }
        | SessionEvent::Passed { .. }
        | SessionEvent::Vacated { .. }
        | SessionEvent::Owed { .. }
        | SessionEvent::Gone { .. }
        | SessionEvent::Superseded { .. }
        | SessionEvent::Stated { .. }
        | SessionEvent::Validated { .. }
        | SessionEvent::Noticed { .. }
        | SessionEvent::LetThrough { .. }
        | SessionEvent::Corrected { .. }
        | SessionEvent::Noted { .. } => Vec::new(),
    }
}

/// What a refusal's command is about: nothing was opened, so it names the event itself.
fn refused(province: Province, lot: LotId, credential: &Credential, seen_at: Moment) -> Id {
    let place = Place { province, day: seen_at.utc_day(), partition: Partition::of_lot(lot.as_str()) };
    id::derive(Kind::Session, place, &[lot.as_str(), &credential.text, &seen_at.0.to_string()])
}

#[cfg(test)]
mod tests;
