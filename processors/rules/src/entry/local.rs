//! What a lane decided by itself, having had no answer in time: it is told later, and the car has crossed or not whatever we think of it.
//!
//! Invariants
//! 1. A lane that decided by itself is believed, and told nothing   (`tests::what_a_lane_did_by_itself_is_believed`).
//! 2. A crossing that was told in both ways counts once   (`tests::what_a_lane_did_by_itself_is_believed`).
//!
//! Not here: by which policy a lane decides (its device), how old its word may be (`entry`).

use super::{admit, again, notice, stay};
use crate::View;
use schema::{
    GateEvent, Moment,
    entity::{Session, Stage},
    journal::{Departure, Marks, Note, SessionEvent, Stay},
    reference::LotReference,
    time::MINUTE,
};

/// Within this time the same car at the same lane is the same crossing, asked for first and told of then.
const SAME: i64 = 2 * MINUTE;

/// The lane stayed closed: nothing has changed.
pub(super) fn refused(lot: &LotReference, event: &GateEvent) -> Vec<SessionEvent> {
    vec![SessionEvent::Noted { note: Note::LocallyRefused, concerns: None, lot: event.lot, province: lot.declared.province, ask: None }]
}

/// The car is in, whatever the checks would have said; what its right covers it does not pay.
pub(super) fn entered(view: &dyn View, lot: &LotReference, event: &GateEvent, inside: Option<&Session>, expires_at: Moment) -> Vec<SessionEvent> {
    let asked_before = |old: &&Session| old.stay.lane == event.lane && event.seen_at.since(old.stay.entered_at).saturating_abs() <= SAME;
    if let Some(old) = inside.filter(asked_before) {
        let concerns = Some(old.stay.session);
        return vec![SessionEvent::Noted { note: Note::DoubleRead, concerns, lot: event.lot, province: lot.declared.province, ask: None }];
    }
    let (sharers, marks) = admit::right(view, lot, event);
    let stay = Stay { sharers, ..stay(lot, event) };
    let by = stay.session;
    let old = inside.map(|old| SessionEvent::Superseded { stay: old.stay.clone(), by, flagged: true });
    let marks = Box::new(Marks { local: true, notice: notice::wanted(lot, &stay.credential), ..marks });
    old.into_iter()
        .chain([SessionEvent::Opened { stay, event: event.id, expires_at, releases: None, marks, made_of: None, passes_by: None }])
        .collect()
}

/// The car is gone. Its stay is priced, unless that was asked for before.
pub(super) fn left(lot: &LotReference, session: &Session, departure: Departure) -> Vec<SessionEvent> {
    let stay = session.stay.clone();
    let asked = session.stage == Stage::Leaving;
    let (sequence, right) = (session.sequence.saturating_add(1), session.right.clone().map(Box::new));
    let priced_at = session.departure.as_ref().filter(|_| asked).map_or(departure.left_at, |before| before.left_at);
    let priced = Some((if asked { session.sequence } else { sequence }, priced_at));
    let terms = session.terms();
    let leaving = (!asked).then(|| SessionEvent::Leaving { stay: stay.clone(), departure: departure.clone(), sequence, right, terms });
    let same_read_until = again::same_read_until(lot, departure.left_at);
    leaving.into_iter().chain([SessionEvent::Gone { stay, departure, asked: priced, same_read_until }]).collect()
}

#[cfg(test)]
mod tests {
    use crate::{
        entry::RULES,
        trial::{Trial, at, gate},
    };
    use schema::{Entity, Event, GateKind, Inbox, Verdict, journal::SessionEvent};

    /// Tells what a day becomes: `in CAR MINUTE` and `out CAR MINUTE` are asked, with a `!` the lane opened by itself, with a `?` it did not.
    fn day(script: &str) -> (Trial, String) {
        let mut trial = Trial::new(&RULES);
        let mut told = Vec::new();
        for line in script.split(", ") {
            let mut words = line.split(' ');
            let (verb, car, minute) = (words.next().expect("a verb"), words.next().expect("a car"), words.next().expect("a minute"));
            let kind = if verb.starts_with("in") { GateKind::Entry } else { GateKind::Exit };
            let mut event = gate(kind, "small", car, minute.parse().expect("a minute"));
            event.decided = verb.ends_with('!').then_some(Verdict::Open).or(verb.ends_with('?').then_some(Verdict::Refuse));
            event.id = format!("{}-{verb}", event.id).replace(['!', '?'], "").parse().expect("a name");
            if verb == "out-late!" {
                trial.now = at(600);
            }
            let events = trial.gate(event);
            told.push(events.iter().map(word).collect::<Vec<_>>().join("+"));
        }
        (trial, told.join(", "))
    }

    fn word(event: &Event) -> String {
        match event {
            Event::Session(SessionEvent::Noted { note, .. }) => format!("{note:?}"),
            Event::Session(SessionEvent::Refused { reason, .. }) => reason.as_str().to_owned(),
            Event::Session(SessionEvent::Opened { marks, .. }) if marks.local => "opened locally".to_owned(),
            other => other.kind().to_owned(),
        }
    }

    #[test]
    fn what_a_lane_did_by_itself_is_believed() {
        for (script, told, taken) in [
            ("in! A 1", "opened locally", 1),
            ("in? A 1", "LocallyRefused", 0),
            ("in A 1, in B 2, in! C 3", "opened, opened, opened locally", 3),
            ("in A 1, in! A 2", "opened, DoubleRead", 1),
            ("in A 1, in! A 9", "opened, superseded+opened locally", 1),
            ("in A 1, in B 2, in C 3, in! C 4", "opened, opened, full, opened locally", 3),
            ("in A 1, out! A 90", "opened, leaving+gone", 0),
            ("in A 1, out A 90, out! A 91", "opened, leaving, gone", 0),
            ("in A 1, out! A 90, out! A 91", "opened, leaving+gone, waiting", 0),
            ("in A 1, out! A 90, in A 100", "opened, leaving+gone, opened", 1),
            ("out? A 90", "LocallyRefused", 0),
            ("out! A 90, in A 1", "waiting, opened+leaving+gone", 0),
            ("out! A 90, in! A 1", "waiting, opened locally+leaving+gone", 0),
        ] {
            let (trial, said) = day(script);
            assert_eq!(said, told, "{script}");
            let occupied = trial.entities.values().find_map(|entity| if let Entity::Lot(lot) = entity { Some(lot.occupied) } else { None });
            assert_eq!(occupied.unwrap_or(0), taken, "{script}");
            let asked = script.split(", ").filter(|line| !line.contains(['!', '?'])).count();
            assert!(trial.effects().len() <= asked, "{script}: who decided by itself is told nothing");
        }
    }

    #[test]
    fn what_is_settled_after_the_car_has_gone_frees_no_second_space() {
        let (mut trial, _) = day("in A 1, in B 2, out! A 90");
        let paid = super::super::tests::paid(&trial, "A");
        let closed = trial.journal(Inbox::Order, &paid);
        assert!(matches!(&closed[..], [Event::Session(SessionEvent::Closed { gone: true, .. })]), "{closed:?}");
        let occupied = trial.entities.values().find_map(|entity| if let Entity::Lot(lot) = entity { Some(lot.occupied) } else { None });
        assert_eq!(occupied, Some(1), "B is still inside");
    }
}
