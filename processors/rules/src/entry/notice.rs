//! A channel that deducts fees by the plate is told of a car that drives in, and says under which number it knows the stay.
//!
//! The notice goes out with the command that opens the lane. What the channel answers is a fact in CHANNEL; a car of which it has said nothing when it
//! leaves is paid for by its driver, like any other.
//!
//! Invariants
//! 1. Who is not told of a car deducts nothing   (`tests::a_plate_is_told_to_the_lots_channel`).
//! 2. The number of a stay goes with its exit, and with no other   (`tests::who_has_taken_note_is_named_at_the_exit`).
//!
//! Not here: the deduction (`payment::deduct`), what the channel is asked (`channels`).

use crate::View;
use schema::{
    ChannelEvent, ChannelFact, Credential, Effect, Entity, EntryNotice, Key, Table,
    gate::CredentialKind,
    journal::{Marks, Note, SessionEvent, Stay},
    reference::{Deducts, LotReference},
};

/// The channel that is to be told of a car; none where the lot has none, or the car no plate that a channel could know it by.
pub(super) fn wanted(lot: &LotReference, credential: &Credential) -> Option<Deducts> {
    let known = credential.kind == CredentialKind::Plate && credential.colour.is_some();
    lot.declared.deducts.clone().filter(|_| known)
}

/// The notice of a car that has driven in.
pub(super) fn effect(stay: &Stay, marks: &Marks) -> Option<Effect> {
    let Deducts { channel, free_min } = marks.notice.as_ref()?;
    Some(Effect::Notice(EntryNotice {
        channel: channel.as_str().into(),
        session: stay.session,
        plate: stay.credential.text.clone(),
        colour: stay.credential.colour?,
        entered_at: stay.entered_at,
        lot: stay.lot,
        free_min: *free_min,
    }))
}

/// The stay may be over by now.
pub(super) fn needs(event: &ChannelEvent) -> Vec<Key> {
    event.about().and_then(|session| Key::of(Table::Sessions, session)).into_iter().collect()
}

/// What a channel answered to a notice.
pub(super) fn answered(view: &dyn View, event: &ChannelEvent) -> Option<SessionEvent> {
    let ChannelFact::Parked { session, lot, parking } = &event.fact else { return None };
    if let Some(Entity::Session(known)) = Key::of(Table::Sessions, *session).and_then(|key| view.get(&key)) {
        return Some(SessionEvent::Noticed { stay: known.stay.clone(), channel: event.channel.clone(), parking: parking.clone() });
    }
    let province = schema::id::place(session.as_str()).map(|place| place.province).unwrap_or_default();
    Some(SessionEvent::Noted { note: Note::Unknown, concerns: None, lot: *lot, province, ask: None })
}

#[cfg(test)]
mod tests {
    use crate::{
        entry::RULES,
        trial::{Trial, at, gate},
    };
    use schema::{
        ChannelEvent, ChannelFact, Effect, EntryNotice, Event, GateKind, Id,
        gate::{Colour, Credential, CredentialKind},
        journal::{Note, SessionEvent},
    };

    fn parked(session: Id, parking: Option<&str>) -> ChannelEvent {
        let fact = ChannelFact::Parked { session, lot: "deducts".parse().expect("a name"), parking: parking.map(Into::into) };
        ChannelEvent { channel: "wechat".into(), happened_at: at(2), fact }
    }

    fn notices(trial: &Trial) -> Vec<EntryNotice> {
        trial.effects().into_iter().filter_map(|effect| if let Effect::Notice(notice) = effect { Some(notice) } else { None }).collect()
    }

    #[test]
    fn a_plate_is_told_to_the_lots_channel() {
        let plate = Credential::plate("粤B12345", Colour::Blue);
        let (no_colour, ticket) = (Credential { colour: None, ..plate.clone() }, Credential { kind: CredentialKind::Ticket, ..plate.clone() });
        for (lot, credential, told) in [("deducts", &plate, 1), ("small", &plate, 0), ("deducts", &no_colour, 0), ("deducts", &ticket, 0)] {
            for decided in [None, Some(schema::Verdict::Open)] {
                let mut trial = Trial::new(&RULES);
                let event = schema::GateEvent { credential: credential.clone(), decided, ..gate(GateKind::Entry, lot, "A", 1) };
                let opened = trial.gate(event);
                let [Event::Session(SessionEvent::Opened { stay, .. })] = &opened[..] else { panic!("{opened:?}") };
                let notices = notices(&trial);
                assert_eq!(notices.len(), told, "{lot} {credential:?} {decided:?}");
                for notice in notices {
                    assert_eq!((notice.session, &*notice.plate, notice.colour, notice.free_min), (stay.session, "粤B12345", Colour::Blue, 15));
                }
            }
        }
    }

    #[test]
    fn who_has_taken_note_is_named_at_the_exit() {
        for (answer, decided, named) in
            [(Some(Some("P1")), None, true), (Some(None), None, false), (None, None, false), (Some(Some("P1")), Some(schema::Verdict::Open), false)]
        {
            let mut trial = Trial::new(&RULES);
            let entered = trial.gate(gate(GateKind::Entry, "deducts", "A", 1));
            let [Event::Session(SessionEvent::Opened { stay, .. })] = &entered[..] else { panic!("{entered:?}") };
            if let Some(parking) = answer {
                let noticed = trial.channel(&parked(stay.session, parking));
                assert!(matches!(&noticed[..], [Event::Session(SessionEvent::Noticed { .. })]), "{noticed:?}");
            }
            let left = trial.gate(schema::GateEvent { decided, ..gate(GateKind::Exit, "deducts", "A", 90) });
            let Some(Event::Session(SessionEvent::Leaving { departure, .. })) = left.first() else { panic!("{left:?}") };
            assert_eq!(departure.deducts.is_some(), named, "{answer:?} {decided:?}");
        }
    }

    #[test]
    fn a_stay_that_nobody_knows_is_noted() {
        let mut trial = Trial::new(&RULES);
        let said = trial.channel(&parked("S4426112307SE85PbTwoLFzFY9q".parse().expect("an id"), None));
        assert!(matches!(&said[..], [Event::Session(SessionEvent::Noted { note: Note::Unknown, .. })]), "{said:?}");
    }
}
