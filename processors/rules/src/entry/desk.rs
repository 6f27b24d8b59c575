//! What a person at a desk said, and what becomes of it.
//!
//! Invariants
//! 1. Each decision names who said it and why   (`tests::what_was_stated_is_in_force_until_it_is_removed`).
//! 2. A space is held until its car has come or its time is over   (`tests::a_space_is_held_for_who_reserved_it`).
//!
//! Not here: who may say it (the server's permissions), how all processors come to know it (the cache).

use super::hand;
use crate::{Facts, Input, Touch, View, Wanted};
use schema::{
    DeskEvent, Entity, Key, Moment, Table,
    desk::Says,
    entity::Lot,
    fact::{Stated, What},
    id::Province,
    journal::{Note, SessionEvent},
};

/// What must be known, wherever it lies.
pub(super) fn needs(facts: &Facts, event: &DeskEvent) -> Vec<Key> {
    let Some(lot) = facts.reference.lot(&event.lot) else { return Vec::new() };
    match &event.says {
        Says::Stated { part, .. } => vec![Key::fact(lot.declared.province, event.lot, part)],
        Says::Corrected { stay: Some(stay), .. } => Key::of(Table::Sessions, *stay).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// What is to be known of a vehicle: the right of one that was let through, or that is really another one; what coupons it has used.
pub(super) fn wants(view: &dyn View, facts: &Facts, input: &Input, event: &DeskEvent) -> Option<Wanted> {
    let lot = facts.reference.lot(&event.lot)?;
    (input.received_at.since(event.said_at) <= facts.limits.late_max).then(|| hand::wants(view, facts, input, event, lot)).flatten()
}

pub(super) fn decide(view: &dyn View, facts: &Facts, input: &Input, event: &DeskEvent) -> Vec<SessionEvent> {
    let lot = facts.reference.lot(&event.lot);
    let province = lot.map(|lot| lot.declared.province).unwrap_or_default();
    let noted = |note| vec![SessionEvent::Noted { note, concerns: None, lot: event.lot, province, ask: None }];
    let Some(lot) = lot else { return noted(Note::Unknown) };
    if input.received_at.since(event.said_at) > facts.limits.late_max {
        return noted(Note::TooLate);
    }
    let Says::Stated { part, what, of } = &event.says else { return hand::decide(view, facts, input, event, lot) };
    let before = match view.get(&Key::fact(province, event.lot, part)) {
        Some(Entity::Stated(before)) => Some(before),
        _ => None,
    };
    match (what, before.map(|before| &before.what)) {
        (What::Removed(_), None) => return noted(Note::Unknown),
        (What::Removed(_), Some(What::Removed(_))) => return noted(Note::AlreadyClosed),
        // An id names one thing for ever: what the cache knows under it is of one kind.
        (what, Some(before)) if what.kind() != before.kind() => return noted(Note::OfAnotherKind),
        _ => {}
    }
    let dropped = before.map_or_else(Vec::new, |before| before.of.iter().filter(|credential| !of.contains(credential)).cloned().collect());
    let DeskEvent { lot, author, reason, said_at, .. } = event.clone();
    let stated = Stated { lot, part: *part, what: what.clone(), of: of.clone(), author, reason, said_at };
    vec![SessionEvent::Stated { stated: Box::new(stated), dropped, province }]
}

/// Its row, and the lot where it holds a space there, or did.
pub(super) fn touches(stated: &Stated, province: Province) -> [Option<Touch>; 3] {
    let holds = matches!(stated.what.kind(), schema::fact::Kind::Reservations);
    let row = Touch { key: Key::fact(province, stated.lot, &stated.part), born: false };
    [Some(row), holds.then(|| Touch { key: Key::lot(province, stated.lot), born: true }), None]
}

/// A lot with the space that was reserved, or given up. What is over by then is forgotten.
pub(super) fn hold(mut lot: Lot, stated: &Stated, now: Moment) -> Lot {
    lot.reservations.retain(|part, (_, until)| *until > now && *part != stated.part);
    if let What::Reservation(held) = &stated.what {
        lot.reservations.insert(stated.part, (held.from, held.until));
    }
    lot
}

#[cfg(test)]
mod tests {
    use crate::{
        entry::RULES,
        trial::{Trial, at, gate},
    };
    use schema::{
        Credential, DeskEvent, Entity, Event, GateKind,
        desk::Says,
        fact::{Ban, Kind, Reservation, Scope, What},
        gate::Colour,
        journal::SessionEvent,
    };

    fn said(minute: i64, part: &str, what: What, cars: &[&str]) -> DeskEvent {
        let of = cars.iter().map(|car| Credential::plate(car, Colour::Blue)).collect();
        DeskEvent {
            id: format!("{part}-{minute}").parse().expect("a name"),
            lot: "small".parse().expect("a name"),
            said_at: at(minute),
            author: "lin".parse().expect("a name"),
            reason: "because".into(),
            says: Says::Stated { part: part.parse().expect("a name"), what, of },
        }
    }

    fn ban() -> What {
        What::Ban(Ban { scope: Scope::Operator("city".parse().expect("a name")), from: at(0), until: None, reason: "fraud".into() })
    }

    fn held(from: i64, until: i64) -> What {
        What::Reservation(Reservation { lot: "small".parse().expect("a name"), from: at(from), until: at(until) })
    }

    #[test]
    fn what_was_stated_is_in_force_until_it_is_removed() {
        let mut trial = Trial::new(&RULES);
        for (what, cars, told) in [
            (What::Removed(Kind::Bans), &[][..], "Unknown"),
            (ban(), &["A", "B"], "stated of 2, dropped 0"),
            (ban(), &["B", "C"], "stated of 2, dropped 1"),
            (held(0, 9), &["B"], "OfAnotherKind"),
            (What::Removed(Kind::Bans), &[], "stated of 0, dropped 2"),
            (What::Removed(Kind::Bans), &[], "AlreadyClosed"),
            (ban(), &["A"], "stated of 1, dropped 0"),
        ] {
            let minute = i64::try_from(trial.journal.len()).expect("a few");
            let events = trial.desk(said(minute, "part-1", what, cars));
            let [Event::Session(event)] = events.as_slice() else { panic!("one event") };
            let said = match event {
                SessionEvent::Stated { stated, dropped, .. } => {
                    assert_eq!((stated.author.as_str(), &*stated.reason), ("lin", "because"));
                    format!("stated of {}, dropped {}", stated.of.len(), dropped.len())
                }
                SessionEvent::Noted { note, .. } => format!("{note:?}"),
                other => panic!("{other:?}"),
            };
            assert_eq!(said, told);
        }
        assert_eq!(trial.entities.len(), 1, "a change and a removal are of the one row");
    }

    #[test]
    fn what_is_said_of_an_unknown_lot_or_too_late_is_noted() {
        let mut trial = Trial::new(&RULES);
        let strange = DeskEvent { lot: "nowhere".parse().expect("a name"), ..said(0, "ban-1", ban(), &["A"]) };
        assert!(matches!(trial.desk(strange).as_slice(), [Event::Session(SessionEvent::Noted { .. })]));
        trial.now = at(60 * 24 * 40);
        assert!(matches!(trial.desk(said(1, "ban-1", ban(), &["A"])).as_slice(), [Event::Session(SessionEvent::Noted { .. })]));
    }

    #[test]
    fn a_space_is_held_for_who_reserved_it() {
        let reserved = |trial: &Trial, minute| {
            let lot = trial.entities.values().find_map(|entity| if let Entity::Lot(lot) = entity { Some(lot) } else { None });
            lot.map_or(0, |lot| lot.reserved(at(minute)))
        };
        let mut trial = Trial::new(&RULES);
        trial.desk(said(0, "res-1", held(10, 60), &["A"]));
        trial.desk(said(1, "res-2", held(10, 90), &["B"]));
        assert_eq!([9, 10, 59, 60, 90].map(|minute| reserved(&trial, minute)), [0, 2, 2, 1, 0]);
        trial.desk(said(2, "res-1", held(20, 60), &["A"]));
        assert_eq!([15, 20].map(|minute| reserved(&trial, minute)), [1, 2]);
        trial.desk(said(3, "res-2", What::Removed(Kind::Reservations), &[]));
        assert_eq!(reserved(&trial, 30), 1);
        // What is over is forgotten when the lot's reservations change.
        trial.gate(gate(GateKind::Entry, "small", "C", 70));
        trial.desk(said(71, "res-3", held(80, 90), &["C"]));
        let lot = trial.entities.values().find_map(|entity| if let Entity::Lot(lot) = entity { Some(lot) } else { None });
        assert_eq!(lot.map(|lot| lot.reservations.len()), Some(1));
    }
}
