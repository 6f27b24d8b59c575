//! What a person does by hand: a coupon, a barrier that is opened, a read that is put right, a ticket that is lost.
//!
//! Invariants
//! 1. Each names who did it and why   (`tests::what_is_done_by_hand_has_its_outcome`).
//! 2. What changes a price has it asked for anew, and the old one is paid no more   (`tests::a_price_follows_what_is_put_right`).
//! 3. Of a stay that is over, what was paid too much goes back and what is lacking is owed   (`prepay::tests::a_stay_that_is_over_is_priced_again`).
//!
//! Not here: who may do it (the server's permissions), what it costs then (`pricing`).

use super::{Settled, admit, again, coupon, gate, gate_wants, prepay::ask_again};
use crate::{Facts, Input, View, Wanted, pricing::order_of};
use schema::{
    Credential, DeskEvent, Entity, GateEvent, GateKind, Handle, Id, Key, LaneId, LotId, Moment, Money, Partition, Table, Verdict,
    desk::{Said, Says},
    entity::{Answer, Session, Stage, Waiting},
    gate::Colour,
    id::{self, Kind, Place, Province},
    journal::{CouponLimit, Departure, Entitled, Marks, Note, SessionEvent, Stay, Terms},
    rate::{Prepaid, Validation},
    reference::LotReference,
};

/// The most validations of a stay.
const VALIDATIONS_MAX: usize = 16;

/// What becomes of it.
pub(super) fn decide(view: &dyn View, facts: &Facts, input: &Input, event: &DeskEvent, lot: &LotReference) -> Vec<SessionEvent> {
    let province = lot.declared.province;
    let decided = match &event.says {
        Says::Validated { who, validation } => validate(view, input, event, (who, validation), lot),
        Says::Corrected { .. } => correct(view, input, event, lot),
        Says::Lost { who } => lost(view, facts, event, who, lot),
        Says::LetThrough { .. } | Says::Stock { .. } => {
            crossed(view, event).map(|crossed| let_through(view, facts, input, event, province, &crossed))
        }
        // Decided where it is stated, or by `payment`.
        Says::Stated { .. }
        | Says::Refund { .. }
        | Says::RefundShared { .. }
        | Says::Approved { .. }
        | Says::Declined { .. }
        | Says::RefundSettled { .. }
        | Says::Pay { .. }
        | Says::Cash { .. }
        | Says::Shift { .. }
        | Says::Exception { .. } => Err(Note::Unknown),
    };
    decided.unwrap_or_else(|note| vec![SessionEvent::Noted { note, concerns: None, lot: event.lot, province, ask: None }])
}

fn inside<'a>(view: &'a dyn View, lot: LotId, who: &Credential) -> Option<&'a Session> {
    match view.find(&Handle::Inside(lot, who.clone())) {
        Some(Entity::Session(session)) => Some(session),
        _ => None,
    }
}

fn waiting<'a>(view: &'a dyn View, lot: LotId, who: &Credential) -> Option<&'a Waiting> {
    match view.find(&Handle::Waiting(lot, who.clone())) {
        Some(Entity::Waiting(waiting)) => Some(waiting),
        _ => None,
    }
}

/// The session that takes a coupon.
fn takes<'a>(view: &'a dyn View, lot: LotId, who: &Credential, validation: &Validation) -> Result<&'a Session, Note> {
    let session = inside(view, lot, who).ok_or(Note::Unknown)?;
    if session.validations.iter().any(|known| known.id == validation.id) {
        return Err(Note::AlreadyKnown);
    }
    if session.validations.len() >= VALIDATIONS_MAX {
        return Err(Note::TooMany);
    }
    Ok(session)
}

fn validate(
    view: &dyn View,
    input: &Input,
    event: &DeskEvent,
    (who, validation): (&Credential, &Validation),
    lot: &LotReference,
) -> Result<Vec<SessionEvent>, Note> {
    let session = takes(view, event.lot, who, validation)?;
    let judged = coupon::judge(view, input, event, session, lot);
    let validation = Validation { over: judged.is_some_and(|(_, is_over)| is_over), ..validation.clone() };
    let limit = judged.map(|(limit, _)| Box::new(limit));
    let again = ask_again(&validated(session.clone(), &validation, limit.as_deref()));
    let counts = SessionEvent::Validated { stay: session.stay.clone(), validation, by: event.said(), limit };
    Ok(std::iter::once(counts).chain(again).collect())
}

/// A session with what a merchant takes off.
pub(super) fn validated(mut session: Session, validation: &Validation, limit: Option<&CouponLimit>) -> Session {
    session.validations.push(validation.clone());
    session.coupons = limit.map(|limit| (limit.day, limit.here)).or(session.coupons);
    session
}

/// What is wanted of a vehicle before it is decided.
pub(super) fn wants(view: &dyn View, facts: &Facts, input: &Input, event: &DeskEvent, lot: &LotReference) -> Option<Wanted> {
    match &event.says {
        Says::LetThrough { .. } | Says::Stock { .. } => {
            let crossed = crossed(view, event).ok()?;
            gate_wants(view, facts, input, &crossed.told(event)?)
        }
        Says::Corrected { .. } => {
            let (_, told) = put_right(view, event).ok()?;
            let told = told.another?;
            let kinds = admit::wants_right(view, lot, &told);
            (!kinds.is_empty()).then_some((told.credential, kinds))
        }
        Says::Validated { who, validation } => coupon::wants(view, takes(view, event.lot, who, validation).ok()?, lot),
        _ => None,
    }
}

/// A stay as it really was, and what its lane would have told of the car that it really is, where that is another one.
struct PutRight {
    stay: Stay,
    another: Option<GateEvent>,
}

fn put_right<'a>(view: &'a dyn View, event: &DeskEvent) -> Result<(&'a Session, PutRight), Note> {
    let Says::Corrected { who, is, entered_at, stay: which } = &event.says else { return Err(Note::Unknown) };
    let session = match which {
        Some(stay) => over(view, event.lot, *stay, who)?,
        None => inside(view, event.lot, who).ok_or(Note::Unknown)?,
    };
    let old = &session.stay;
    let credential = is.clone().unwrap_or_else(|| old.credential.clone());
    let energy = is.as_ref().and_then(Credential::energy).unwrap_or(old.energy);
    let stay = Stay { entered_at: entered_at.unwrap_or(old.entered_at), energy, credential, ..old.clone() };
    let another = (stay.credential != old.credential).then(|| GateEvent {
        id: event.id,
        lot: stay.lot,
        lane: stay.lane,
        kind: GateKind::Entry,
        seen_at: stay.entered_at,
        credential: stay.credential.clone(),
        class: Some(stay.class),
        energy: Some(stay.energy),
        confidence: None,
        decided: Some(Verdict::Open),
    });
    Ok((session, PutRight { stay, another }))
}

/// A session as it really is.
pub(super) fn corrected(session: Session, stay: &Stay, entitled: Option<&Entitled>) -> Session {
    let right = entitled.map_or(session.right, |entitled| entitled.right.clone());
    Session { stay: stay.clone(), right, ..session }
}

fn correct(view: &dyn View, input: &Input, event: &DeskEvent, lot: &LotReference) -> Result<Vec<SessionEvent>, Note> {
    let Says::Corrected { stay: which, .. } = &event.says else { return Err(Note::Unknown) };
    let (session, PutRight { stay, another }) = put_right(view, event)?;
    let (old, gone) = (&session.stay, which.is_some());
    if stay == *old {
        return Err(Note::AlreadyKnown);
    }
    let (stay, entitled) = match another.map(|told| admit::right(view, lot, &told)) {
        Some((sharers, Marks { right, overrun, missed, .. })) => (Stay { sharers, ..stay }, Some(Box::new(Entitled { right, overrun, missed }))),
        None => (stay, None),
    };
    if !gone && stay.credential != old.credential && inside(view, event.lot, &stay.credential).is_some() {
        return Err(Note::AlreadyInside);
    }
    let left_at = session.departure.as_ref().map(|departure| departure.left_at);
    if stay.entered_at.since(input.received_at) > Answer::AHEAD_MAX || left_at.is_some_and(|left_at| left_at < stay.entered_at) {
        return Err(Note::Contradicts);
    }
    let exit = waiting(view, event.lot, &stay.credential).filter(|exit| session.stage == Stage::Open && exit.departure.left_at >= stay.entered_at);
    let (was, came_at, by, releases) = (old.credential.clone(), old.entered_at, event.said(), exit.map(|exit| exit.waiting));
    let session = corrected(session.clone(), &stay, entitled.as_deref());
    let corrected = SessionEvent::Corrected { stay, was, came_at, by, releases, gone, entitled };
    let again = match exit {
        Some(exit) => leave(lot, &session, exit.departure.clone(), session.terms()),
        None if gone => price_again(session, event).into_iter().collect(),
        None => ask_again(&session).into_iter().collect(),
    };
    Ok(std::iter::once(corrected).chain(again).collect())
}

/// A stay whose car has left, and which has a price.
fn over<'a>(view: &'a dyn View, lot: LotId, stay: Id, who: &Credential) -> Result<&'a Session, Note> {
    let Some(Entity::Session(session)) = Key::of(Table::Sessions, stay).and_then(|key| view.get(&key)) else { return Err(Note::Unknown) };
    if session.stay.lot != lot || session.stay.credential != *who {
        return Err(Note::Contradicts);
    }
    let is_over = session.gone || session.stage == Stage::Closed;
    match (is_over, &session.departure, session.superseded_by) {
        (false, ..) => Err(Note::AlreadyInside),
        (true, Some(_), None) => Ok(session),
        (true, ..) => Err(Note::AlreadyClosed),
    }
}

/// What a stay that is over costs now that it is put right. The car has gone: what is lacking it owes.
fn price_again(session: Session, event: &DeskEvent) -> Option<SessionEvent> {
    let session = Session { corrected: Some(Box::new((event.id, event.said()))), ..reopened(session) };
    let (stay, departure, sequence) = (session.stay.clone(), session.departure.clone()?, session.sequence.saturating_add(1));
    let (right, terms) = (session.right.clone().map(Box::new), session.terms());
    Some(SessionEvent::Leaving { stay, departure, sequence, right, terms })
}

/// What an older price of a stay was paid while a newer one was asked for that puts it right: the newer one is asked for again with it.
pub(super) fn paid_meanwhile(view: &dyn View, facts: &Facts, settled: &Settled) -> Option<Vec<SessionEvent>> {
    let Some(Entity::Session(session)) = Key::of(Table::Sessions, settled.session).and_then(|key| view.get(&key)) else { return None };
    let is_known = session.prepaid.iter().any(|paid| &*paid.id == settled.order.as_str());
    if session.corrected.is_none() || session.stage != Stage::Leaving || settled.paid.is_zero() || is_known {
        return None;
    }
    let (departure, asked) = (session.departure.as_ref()?, session.asked.as_ref()?);
    if settled.order == order_of(facts, &session.stay, asked.left_at, session.sequence) {
        return None;
    }
    let at = departure.left_at;
    let paid = Prepaid { id: settled.order.as_str().into(), at, amount: settled.paid, until: at };
    let (stay, sequence) = (session.stay.clone(), session.sequence.saturating_sub(1));
    let again = ask_again(&super::prepay::with((**session).clone(), &paid, sequence));
    Some(std::iter::once(SessionEvent::Prepaid { stay, paid, sequence, leave_by: at, told: None }).chain(again).collect())
}

/// A stay that was settled and is priced anew: all that was paid for it was paid before.
pub(super) fn reopened(mut session: Session) -> Session {
    if session.stage != Stage::Closed {
        return session;
    }
    if let (Some(order), Some(paid), Some(departure)) = (session.order, session.paid, &session.departure) {
        let before = session.prepaid.iter().fold(0_i64, |sum, paid| sum.saturating_add(paid.amount.minor));
        let amount = Money::new(paid.minor.saturating_sub(before), paid.currency);
        let at = departure.left_at;
        if amount.minor > 0 {
            session.prepaid.push(Prepaid { id: order.as_str().into(), at, amount, until: at });
        }
    }
    Session { stage: Stage::Leaving, gone: true, order: None, paid: None, ..session }
}

/// The exit that waited is that of this session.
fn leave(lot: &LotReference, session: &Session, departure: Departure, terms: Option<Box<Terms>>) -> Vec<SessionEvent> {
    let (stay, sequence) = (session.stay.clone(), session.sequence.saturating_add(1));
    let asked = Some((sequence, departure.left_at));
    let right = session.right.clone().map(Box::new);
    let leaving = SessionEvent::Leaving { stay: stay.clone(), departure: departure.clone(), sequence, right, terms };
    let same_read_until = again::same_read_until(lot, departure.left_at);
    let gone = departure.local.then_some(SessionEvent::Gone { stay, departure, asked, same_read_until });
    std::iter::once(leaving).chain(gone).collect()
}

fn lost(view: &dyn View, facts: &Facts, event: &DeskEvent, who: &Credential, lot: &LotReference) -> Result<Vec<SessionEvent>, Note> {
    let exit = waiting(view, event.lot, who).ok_or(Note::Unknown)?;
    // It has come in since it stood there, if that was it: whose ticket was lost a person has to find out.
    if inside(view, event.lot, who).is_some() {
        return Err(Note::AlreadyInside);
    }
    let departure = exit.departure.clone();
    let place = Place { province: lot.declared.province, day: lot.zone.day(departure.left_at), partition: Partition::of_lot(event.lot.as_str()) };
    let session = id::derive(Kind::Session, place, &["lost", exit.waiting.as_str()]);
    let stay = Stay {
        session,
        lot: event.lot,
        province: lot.declared.province,
        credential: who.clone(),
        lane: departure.lane,
        entered_at: departure.left_at,
        class: schema::VehicleClass::default(),
        energy: who.energy().unwrap_or_default(),
        sharers: Vec::new(),
    };
    let marks = Box::new(Marks { lost: Some(event.said()), ..Marks::default() });
    let expires_at = event.said_at.plus(facts.limits.command_life);
    let opened = SessionEvent::Opened {
        stay: stay.clone(),
        event: departure.event,
        expires_at,
        releases: Some(exit.waiting),
        marks,
        made_of: None,
        passes_by: None,
    };
    let terms = Some(Box::new(Terms { lost: true, ..Terms::default() }));
    let leaving = SessionEvent::Leaving { stay: stay.clone(), departure: departure.clone(), sequence: 1, right: None, terms };
    let (asked, same_read_until) = (Some((1, departure.left_at)), again::same_read_until(lot, departure.left_at));
    let gone = departure.local.then_some(SessionEvent::Gone { stay, departure, asked, same_read_until });
    Ok([opened, leaving].into_iter().chain(gone).collect())
}

/// What a person saw cross, or let cross.
struct Crossed<'a> {
    lane: LaneId,
    way: GateKind,
    who: Option<&'a Credential>,
    at: Moment,
    open: bool,
}

impl Crossed<'_> {
    /// What a lane would have told that opened by itself.
    fn told(&self, event: &DeskEvent) -> Option<GateEvent> {
        let &Crossed { lane, way, who, at, .. } = self;
        let credential = who?.clone();
        let (class, energy, confidence, decided) = (None, None, None, Some(Verdict::Open));
        Some(GateEvent { id: event.id, lot: event.lot, lane, kind: way, seen_at: at, credential, class, energy, confidence, decided })
    }
}

fn crossed<'a>(view: &'a dyn View, event: &'a DeskEvent) -> Result<Crossed<'a>, Note> {
    match &event.says {
        Says::LetThrough { lane, way, who, at, open } => {
            Ok(Crossed { lane: *lane, way: *way, who: who.as_ref(), at: at.unwrap_or(event.said_at), open: *open })
        }
        Says::Stock { who, held } => stock(view, event, who, *held),
        _ => Err(Note::Unknown),
    }
}

fn let_through(view: &dyn View, facts: &Facts, input: &Input, event: &DeskEvent, province: Province, crossed: &Crossed) -> Vec<SessionEvent> {
    let &Crossed { lane, way, who, open, .. } = crossed;
    let opens_until = open.then(|| event.said_at.plus(facts.limits.command_life));
    let (lot, by) = (event.lot, event.said());
    let fact = SessionEvent::LetThrough { lot, lane, province, way, who: who.cloned(), by, opens_until, event: event.id };
    let became = crossed.told(event).map(|told| gate(view, facts, input, &told)).unwrap_or_default();
    std::iter::once(fact).chain(became).collect()
}

/// What a look through the lot finds to differ, if anything does.
fn stock<'a>(view: &'a dyn View, event: &DeskEvent, who: &'a Credential, held: bool) -> Result<Crossed<'a>, Note> {
    let known = found(view, event.lot, who)?;
    let way = match (held, known) {
        (true, Some(_)) => return Err(Note::AlreadyInside),
        (true, None) => GateKind::Entry,
        // It came after the look.
        (false, Some(session)) if session.stay.entered_at > event.said_at => return Err(Note::AlreadyInside),
        (false, Some(_)) => GateKind::Exit,
        (false, None) => return Err(Note::Unknown),
    };
    // It goes by the name by which it came in.
    let who = known.map_or(who, |session| &session.stay.credential);
    Ok(Crossed { lane: DeskEvent::no_lane(), way, who: Some(who), at: event.said_at, open: false })
}

/// The car inside that a look means: of a plate without its colour the only one with this text.
fn found<'a>(view: &'a dyn View, lot: LotId, who: &Credential) -> Result<Option<&'a Session>, Note> {
    let known = inside(view, lot, who);
    if known.is_some() || who.colour.is_some() {
        return Ok(known);
    }
    let mut cars = Colour::ALL.into_iter().filter_map(|colour| inside(view, lot, &Credential { colour: Some(colour), ..who.clone() }));
    match (cars.next(), cars.next()) {
        (Some(_), Some(_)) => Err(Note::SeveralCars),
        (only, _) => Ok(only),
    }
}

/// What the command of a barrier that is opened by hand is about.
pub(super) fn subject(province: Province, lot: LotId, by: &Said, event: &schema::EventId) -> Id {
    let place = Place { province, day: by.at.utc_day(), partition: Partition::of_lot(lot.as_str()) };
    id::derive(Kind::Session, place, &[lot.as_str(), event.as_str(), &by.at.0.to_string()])
}

#[cfg(test)]
mod tests;
