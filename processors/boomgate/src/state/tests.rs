use super::*;
use schema::{
    GateEvent, GateKind, Reference, Table,
    gate::{Colour, Credential},
    id::Province,
    reference::{Declared, LotDeclared, Passback, Policies},
    time::MINUTE,
};

const START: i64 = 1_795_392_000_000_000;

fn reference() -> Reference {
    let lot = LotDeclared {
        province: Province(44),
        zone: "Asia/Shanghai".into(),
        capacity: 10,
        rate_table: None,
        lanes: vec!["in".parse().expect("a name")],
        ..LotDeclared::named("small".parse().expect("a name"))
    };
    Reference::resolve(Declared { lots: vec![lot], ..Declared::default() }).expect("valid reference data")
}

fn entry(car: &str, minute: i64) -> Input {
    let seen_at = Moment(START + minute * MINUTE);
    let event = GateEvent {
        id: format!("{car}-{minute}").parse().expect("a name"),
        lot: "small".parse().expect("a name"),
        lane: "in".parse().expect("a name"),
        kind: GateKind::Entry,
        seen_at,
        credential: Credential::plate(car, Colour::Blue),
        class: None,
        energy: None,
        confidence: None,
        decided: None,
    };
    Input { inbox: Inbox::Gate, sequence: 1, key: event.key().into(), time: seen_at, received_at: seen_at, body: rules::Body::Gate(event) }
}

fn partition() -> Partition {
    Partition::of_lot("small")
}

/// Decides an input on a state and absorbs it as the event `sequence` of the stream.
fn decide(state: &mut State, input: &Input, sequence: u64) -> Changes {
    let reference = reference();
    let limits = rules::Limits::default();
    let facts = rules::Facts { reference: &reference, limits: &limits };
    let rows = Rows::new();
    let mut draft = Draft::new(&rules::entry::RULES, state, &rows);
    let events = (rules::entry::RULES.decide)(&draft, &facts, input);
    let answer = answer_key(Journal::Session, partition(), input.inbox, &input.key, input.time);
    draft.record(input, answer, events);
    let changes = draft.finish();
    let again = Changes { events: changes.events.clone(), entities: changes.entities.clone(), newest_row: changes.newest_row };
    state.absorb(changes, sequence);
    again
}

fn confirm(state: &mut State) {
    let snapshot = state.snapshot().expect("something is unsaved");
    let rows: Vec<_> = snapshot.rows.iter().map(|row| (row.key, row.at)).collect();
    state.confirm(&rows, &snapshot.mark);
}

#[test]
fn what_is_not_saved_stays() {
    let mut state = State::new(Journal::Session, partition());
    decide(&mut state, &entry("A", 0), 1);
    let snapshot = state.snapshot().expect("something is unsaved");
    assert_eq!((snapshot.mark.sequence, snapshot.rows.len()), (1, 3), "session, lot and answer");
    // While that is being written, another car comes: its rows are not what was confirmed.
    decide(&mut state, &entry("B", 1), 2);
    let rows: Vec<_> = snapshot.rows.iter().map(|row| (row.key, row.at)).collect();
    state.confirm(&rows, &snapshot.mark);
    let next = state.snapshot().expect("the second car is unsaved");
    assert_eq!((next.mark.sequence, next.rows.len()), (2, 3), "the lot changed again");
    confirm(&mut state);
    assert!(state.snapshot().is_none());
}

#[test]
fn what_is_open_stays() {
    let mut state = State::new(Journal::Session, partition());
    decide(&mut state, &entry("A", 0), 1);
    confirm(&mut state);
    // Much later the answer has left memory; the open session and the lot have not.
    decide(&mut state, &entry("B", 60), 2);
    confirm(&mut state);
    let tables: Vec<_> = state.entities.keys().map(|key| key.table).collect();
    assert_eq!(tables, [Table::Lots, Table::Sessions, Table::Sessions, Table::SessionAnswers]);
}

#[test]
fn a_refused_draft_leaves_no_trace() {
    let mut state = State::new(Journal::Session, partition());
    decide(&mut state, &entry("A", 0), 1);
    let before = format!("{state:?}");
    let rows = Rows::new();
    let reference = reference();
    let limits = rules::Limits::default();
    let mut draft = Draft::new(&rules::entry::RULES, &state, &rows);
    let input = entry("B", 1);
    let events = (rules::entry::RULES.decide)(&draft, &rules::Facts { reference: &reference, limits: &limits }, &input);
    draft.record(&input, None, events);
    assert_eq!(draft.events(), 1);
    drop(draft);
    assert_eq!(format!("{state:?}"), before);
}

#[test]
fn folding_an_event_again_changes_nothing() {
    let mut state = State::new(Journal::Session, partition());
    let changes = decide(&mut state, &entry("A", 0), 1);
    let rows = Rows::new();
    let mut draft = Draft::new(&rules::entry::RULES, &state, &rows);
    for recorded in &changes.events {
        let cause = &recorded.cause;
        draft.fold(recorded, answer_key(Journal::Session, partition(), cause.inbox, &cause.event, cause.time));
    }
    assert!(draft.finish().entities.is_empty());
}

#[test]
fn a_batch_sees_its_own_earlier_events() {
    let mut state = State::new(Journal::Session, partition());
    decide(&mut state, &entry("A", 0), 1);
    let rows = Rows::new();
    let reference = reference();
    let limits = rules::Limits::default();
    let facts = rules::Facts { reference: &reference, limits: &limits };
    let mut draft = Draft::new(&rules::entry::RULES, &state, &rows);
    for input in [entry("B", 1), entry("B", 2)] {
        let events = (rules::entry::RULES.decide)(&draft, &facts, &input);
        draft.record(&input, None, events);
    }
    let kinds: Vec<_> = draft.finish().events.iter().map(|recorded| recorded.event.kind()).collect();
    assert_eq!(kinds, ["opened", "refused"]);
}

#[test]
fn an_old_or_unbelievable_input_is_looked_up() {
    let mut state = State::new(Journal::Session, partition());
    state.answers_known_from(Moment(START - 10 * MINUTE));
    for (minutes, in_memory) in [(0, true), (-10, true), (-11, false), (5, true), (6, false)] {
        let input = Input { received_at: Moment(START), ..entry("A", minutes) };
        assert_eq!(state.would_know_answer_to(&input), in_memory, "{minutes} minutes");
    }
}

#[test]
fn an_answer_that_left_memory_is_looked_up() {
    let answered = |state: &State, minute: i64| {
        let input = entry("A", minute);
        let key = answer_key(Journal::Session, partition(), Inbox::Gate, &input.key, input.time).expect("a gate event has an answer");
        (state.known(&key).is_some(), state.would_know_answer_to(&input))
    };
    let mut state = State::new(Journal::Session, partition());
    for minute in 0..4 {
        answer(&mut state, minute);
    }
    assert_eq!(answered(&state, 0), (true, true), "unsaved answers stay");
    save_all(&mut state);
    state.keep_answers(2);
    assert_eq!([0, 1, 2, 3].map(|minute| answered(&state, minute)), [(false, false), (false, false), (true, true), (true, true)], "a bound");
    answer(&mut state, 13);
    save_all(&mut state);
    assert_eq!([2, 3, 13].map(|minute| answered(&state, minute)), [(false, false), (true, true), (true, true)], "the window");
}

/// Answers an entry of the car A in that minute.
fn answer(state: &mut State, minute: i64) {
    let reference = reference();
    let limits = rules::Limits::default();
    let facts = rules::Facts { reference: &reference, limits: &limits };
    let input = entry("A", minute);
    let key = answer_key(Journal::Session, partition(), Inbox::Gate, &input.key, input.time);
    let rows = Rows::new();
    let mut draft = Draft::new(&rules::entry::RULES, state, &rows);
    let events = (rules::entry::RULES.decide)(&draft, &facts, &input);
    draft.record(&input, key, events);
    let (changes, last) = (draft.finish(), state.last + 1);
    state.absorb(changes, last);
}

/// The store confirms all that there is.
fn save_all(state: &mut State) {
    let snapshot = state.snapshot().expect("something to save");
    let rows: Vec<_> = snapshot.rows.iter().map(|row| (row.key, row.at)).collect();
    state.confirm(&rows, &snapshot.mark);
}

#[test]
#[should_panic(expected = "a row is newer than the journal's end")]
fn a_row_that_is_newer_than_the_journal_is_a_broken_invariant() {
    let mut state = State::new(Journal::Session, partition());
    let mut changes = decide(&mut state, &entry("A", 0), 1);
    changes.newest_row = Moment(i64::MAX);
    state.absorb(changes, 2);
}

#[test]
fn a_handle_is_the_newer_sessions_in_whatever_order_they_lie() {
    let policies = Policies { inside: Passback::Close, ..Policies::default() };
    let lot = LotDeclared { capacity: 10, policies, ..LotDeclared::named("small".parse().expect("a name")) };
    let reference = Reference::resolve(Declared { lots: vec![lot], ..Declared::default() }).expect("valid reference data");
    let limits = rules::Limits::default();
    let facts = rules::Facts { reference: &reference, limits: &limits };
    // Ids are as good as random, so of so many pairs some lie in either order.
    for minute in 1..20 {
        let mut state = State::new(Journal::Session, partition());
        let mut rows = Vec::new();
        for (last, input) in [entry("A", 0), entry("A", minute)].iter().enumerate() {
            let none = Rows::new();
            let mut draft = Draft::new(&rules::entry::RULES, &state, &none);
            let events = (rules::entry::RULES.decide)(&draft, &facts, input);
            draft.record(input, None, events);
            let changes = draft.finish();
            state.absorb(changes, last as u64 + 1);
            rows.extend(state.entities.iter().filter(|(key, _)| key.table == Table::Sessions).map(|(key, known)| (*key, known.clone())));
        }
        let inside = |state: &State| {
            let handle = entry("A", 0);
            let rules::Body::Gate(event) = handle.body else { panic!("a gate event") };
            let key = state.handles.get(&Handle::Inside(event.lot, event.credential)).copied();
            let known = key.and_then(|key| state.entities.get(&key).cloned());
            known.map(|known| if let Entity::Session(session) = &*known.entity { session.stay.entered_at } else { panic!("a session") })
        };
        let newer = Some(Moment(START + minute * MINUTE));
        assert_eq!(inside(&state), newer, "folded, {minute}");
        // The old session's row as it was before, read after the new one's; then what ended it is folded.
        let (old, new, ended) = (rows[0].clone(), rows.iter().rev().find(|(key, _)| *key != rows[0].0).expect("two sessions").clone(), rows[0].0);
        let closed = state.entities[&ended].clone();
        let mut read = State::new(Journal::Session, partition());
        for (key, known) in [new, old] {
            read.put(key, known, false);
        }
        read.put(ended, closed, true);
        assert_eq!(inside(&read), newer, "read, {minute}");
    }
}
