//! A car that was let out, and is read at an exit once more: by a second camera, or as it drives out.
//!
//! What was told first counts, and nobody waits for an entry. The lot remembers its car for as long as such a read may come, in its own fold: a
//! session that is over may be in the store alone.
//!
//! Invariants
//! 1. Such a read is told what the first one was, and no exit waits because of it   (`tests::who_was_let_out_is_not_let_out_again`).
//! 2. An entry between the two counts, in whatever order they are told   (`tests::who_was_let_out_is_not_let_out_again`).
//! 3. It is known to whoever takes the partition over   (`boomgate::takeover::tests::who_was_let_out_is_known_to_whoever_takes_over`).
//! 4. A lot remembers its cars for seconds, and only where it wants that   (`tests::nobody_is_remembered_for_long`).
//!
//! Not here: a car that is read twice as it comes in (`checks`).

use crate::View;
use schema::{
    Entity, GateEvent, Key, Moment,
    entity::{Left, Lot, Session, Stage},
    journal::{Departure, SessionEvent},
    reference::LotReference,
    time::SECOND,
};

fn window(lot: &LotReference) -> i64 {
    i64::from(lot.declared.policies.double_read_s).saturating_mul(SECOND)
}

/// Until when a read of a car that is let out at a moment is the same read; none where every read counts.
pub(super) fn same_read_until(lot: &LotReference, let_out_at: Moment) -> Option<Moment> {
    let window = window(lot);
    (window > 0).then(|| let_out_at.plus(window))
}

fn known<'a>(view: &'a dyn View, lot: &LotReference, event: &GateEvent) -> Option<&'a Left> {
    let Some(Entity::Lot(lot)) = view.get(&Key::lot(lot.declared.province, lot.declared.lot)) else { return None };
    lot.left.iter().find(|left| left.credential == event.credential)
}

/// The car of an exit, if it has left already and this is the same read; one that has come in since by then is another stay's.
pub(super) fn left<'a>(view: &'a dyn View, lot: &LotReference, event: &GateEvent, inside: Option<&Session>) -> Option<&'a Left> {
    let is_here = inside.is_some_and(|session| session.stage == Stage::Leaving || event.seen_at >= session.stay.entered_at);
    let left = known(view, lot, event).filter(|_| !is_here)?;
    let is_same = left.left_at.since(event.seen_at) <= window(lot) && event.seen_at <= left.until;
    is_same.then_some(left)
}

/// Nothing is new.
pub(super) fn read(left: &Left, lot: &LotReference, event: &GateEvent, expires_at: Moment) -> Vec<SessionEvent> {
    let departure = Departure { lane: event.lane, left_at: event.seen_at, event: event.id, local: event.decided.is_some(), deducts: None };
    let (session, province, credential) = (left.session, lot.declared.province, event.credential.clone());
    vec![SessionEvent::ReadAgain { session, lot: event.lot, province, credential, departure, expires_at }]
}

/// The read of a car that was no second one, as its entry shows: that was before it, and after the car had left. It was let out then.
pub(super) fn left_since(view: &dyn View, lot: &LotReference, entry: &GateEvent) -> Option<Departure> {
    let left = known(view, lot, entry)?;
    let again = left.again.as_ref().filter(|again| left.left_at < entry.seen_at && entry.seen_at <= again.left_at)?;
    Some(Departure { local: true, ..again.clone() })
}

/// What a lot remembers of who has left it.
pub(super) fn remembered(mut lot: Lot, event: &SessionEvent, at: Moment) -> Lot {
    match event {
        SessionEvent::Closed { stay, departure, same_read_until: Some(until), .. }
        | SessionEvent::Gone { stay, departure, same_read_until: Some(until), .. } => {
            let (credential, session, left_at, until) = (stay.credential.clone(), stay.session, departure.left_at, *until);
            let may_be_an_exit = |left: &Left| left.again.as_ref().is_some_and(|again| again.left_at.plus(Left::READ_KEPT) >= at);
            lot.left.retain(|left| left.credential != credential && (left.kept >= at || may_be_an_exit(left)));
            lot.left.push(Left { credential, session, left_at, until, kept: until.max(at).plus(Left::KEPT), again: None });
        }
        SessionEvent::ReadAgain { credential, departure, .. } => {
            let is_newest = |left: &&mut Left| left.again.as_ref().is_none_or(|again| again.left_at < departure.left_at);
            if let Some(left) = lot.left.iter_mut().find(|left| left.credential == *credential).filter(is_newest) {
                left.again = Some(departure.clone());
            }
        }
        // Its exit is known, or it has none yet.
        SessionEvent::Opened { stay, .. } => {
            if let Some(left) = lot.left.iter_mut().find(|left| left.credential == stay.credential && left.left_at < stay.entered_at) {
                left.again = None;
            }
        }
        _ => {}
    }
    lot
}

#[cfg(test)]
mod tests {
    use crate::{
        entry::{RULES, tests::day},
        trial::{Trial, at, gate},
    };
    use schema::{Effect, Entity, GateEvent, GateKind, Verdict, entity::Left};
    use std::collections::BTreeMap;

    fn remembered(trial: &Trial) -> Vec<Left> {
        let lots = trial.entities.values().filter_map(|entity| if let Entity::Lot(lot) = entity { Some(&lot.left) } else { None });
        lots.flatten().cloned().collect()
    }

    /// At `strict` a read within 90 seconds is the same read; an exit that is read at the minute is 60 seconds after the one before.
    #[test]
    fn who_was_let_out_is_not_let_out_again() {
        for (lot, script, told) in [
            ("strict", "in A 1, out A 9, paid A, out A 10", "opened, leaving, closed, read_again"),
            ("strict", "in A 1, out A 9, paid A, out A 9, out A 10", "opened, leaving, closed, read_again, read_again"),
            ("strict", "in A 1, out A 9, paid A, out A 8", "opened, leaving, closed, read_again"),
            ("strict", "in A 1, out A 9, paid A, out A 7", "opened, leaving, closed, waiting"),
            ("strict", "in A 1, out A 9, paid A, out A 11", "opened, leaving, closed, waiting"),
            ("strict", "in A 1, out A 9, paid A, out B 10", "opened, leaving, closed, waiting"),
            ("small", "in A 1, out A 9, paid A, out A 10", "opened, leaving, closed, waiting"),
            // Nobody is let out twice who was not let out once.
            ("strict", "in A 1, out A 9, out A 10", "opened, leaving, AlreadyLeaving"),
            ("strict", "out A 9, out A 10", "waiting, AlreadyWaiting"),
            // It came in again, and this is told first, last, or in between.
            ("strict", "in A 1, out A 9, paid A, in A 10, out A 10", "opened, leaving, closed, opened, leaving"),
            ("strict", "in A 1, out A 9, paid A, out A 10, in A 10", "opened, leaving, closed, read_again, opened+leaving+gone"),
            ("strict", "in A 1, out A 9, paid A, out A 10, in A 11", "opened, leaving, closed, read_again, opened"),
            ("strict", "in A 1, out A 9, paid A, out A 10, in A 9", "opened, leaving, closed, read_again, opened"),
            ("strict", "in A 1, out A 9, paid A, in A 20, out A 10", "opened, leaving, closed, opened, read_again"),
            ("strict", "in A 1, out A 9, paid A, in A 20, out A 30", "opened, leaving, closed, opened, leaving"),
            // The exit that shows to be one is that of one entry alone.
            (
                "strict",
                "in A 1, out A 9, paid A, out A 10, in A 10, paid A, in A 10",
                "opened, leaving, closed, read_again, opened+leaving+gone, closed, opened",
            ),
        ] {
            let (trial, said) = day(lot, script);
            assert_eq!(said, told, "{lot}: {script}");
            let waits = trial.entities.values().any(|entity| matches!(entity, Entity::Waiting(_)));
            assert_eq!(waits, told.contains("waiting"), "{lot}: {script}");
        }
    }

    #[test]
    fn a_second_read_is_told_what_the_first_was() {
        let told = |decided| {
            let (mut trial, _) = day("strict", "in A 1, out A 9, paid A");
            trial.gate(GateEvent { decided, ..gate(GateKind::Exit, "strict", "A", 10) });
            let commands = trial.effects().into_iter().filter_map(|effect| if let Effect::Lane(command) = effect { Some(command) } else { None });
            let told: BTreeMap<_, _> = commands.map(|command| (command.id, format!("{:?} {}", command.verdict, command.reason))).collect();
            let mut told: Vec<_> = told.into_values().collect();
            told.sort();
            told.join(", ")
        };
        assert_eq!(told(None), "Open goodbye, Open goodbye, Open welcome", "each command has its own id");
        assert_eq!(told(Some(Verdict::Open)), "Open goodbye, Open welcome", "a lane that has decided by itself is told nothing");
    }

    #[test]
    fn who_has_gone_by_itself_is_read_again_too() {
        let mut trial = Trial::new(&RULES);
        let by_itself = |minute| GateEvent { decided: Some(Verdict::Open), ..gate(GateKind::Exit, "strict", "A", minute) };
        trial.gate(gate(GateKind::Entry, "strict", "A", 1));
        for (event, told) in [(by_itself(90), "leaving gone"), (by_itself(91), "read_again"), (gate(GateKind::Exit, "strict", "A", 91), "read_again")]
        {
            let events = trial.gate(event);
            assert_eq!(events.iter().map(schema::Event::kind).collect::<Vec<_>>().join(" "), told);
        }
        let read_again: Vec<_> = remembered(&trial).into_iter().map(|left| left.again.map(|again| again.left_at)).collect();
        assert_eq!(read_again, [Some(at(91))]);
    }

    #[test]
    fn nobody_is_remembered_for_long() {
        for (lot, script, cars) in [
            ("strict", "in A 1, out A 9, paid A", 1),
            ("strict", "in A 1, in B 2, out A 9, paid A, out B 10, paid B", 2),
            ("strict", "in A 1, in B 2, out A 9, paid A, out B 90, paid B", 1),
            ("strict", "in A 1, out A 9, paid A, in A 20, out A 21, paid A", 1),
            ("small", "in A 1, out A 9, paid A", 0),
        ] {
            assert_eq!(remembered(&day(lot, script).0).len(), cars, "{lot}: {script}");
        }
    }
}
