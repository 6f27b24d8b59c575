use super::*;
use crate::{
    trial::{self, Trial, declared, gate},
    turn::turn,
};
use futures_util::stream::{BoxStream, FuturesUnordered};
use schema::{
    Event, GateKind, Moment,
    fact::{Ban, Scope, What},
    journal::{Refusal, SessionEvent},
    reference::{Declared, LotDeclared, Missed, Policies, Policy},
};
use std::sync::atomic::{AtomicUsize, Ordering};
use store::{
    Answer,
    cache::{Followed, Generation},
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A cache whose facts take their time, each kind its own; one without a time never comes.
struct Slow {
    inner: Arc<dyn Cache>,
    takes: Vec<(Kind, Duration)>,
    reads: AtomicUsize,
}

impl Cache for Slow {
    fn read(&self, facts: Vec<Fact>, within: Duration) -> BoxStream<'_, (Fact, Found)> {
        self.reads.fetch_add(facts.len(), Ordering::Relaxed);
        let one = |fact: Fact| async move {
            let takes = self.takes.iter().find(|(kind, _)| *kind == fact.1).map(|(_, takes)| *takes);
            clock::until(takes.map(|takes| clock::now() + takes)).await;
            self.inner.read(vec![fact], within).next().await.expect("one answer for one fact")
        };
        facts.into_iter().map(one).collect::<FuturesUnordered<_>>().boxed()
    }

    fn write(&self, parts: Vec<(Credential, Part)>) -> Answer<'_, ()> {
        self.inner.write(parts)
    }

    fn is_complete(&self) -> Answer<'_, bool> {
        self.inner.is_complete()
    }

    fn begin_rebuild(&self) -> Answer<'_, Generation> {
        self.inner.begin_rebuild()
    }

    fn complete(&self, generation: Generation) -> Answer<'_, bool> {
        self.inner.complete(generation)
    }

    fn clear(&self) -> Answer<'_, ()> {
        self.inner.clear()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn followed(&self) -> Answer<'_, Vec<Followed>> {
        self.inner.followed()
    }

    fn follow(&self, to: Vec<Followed>) -> Answer<'_, ()> {
        self.inner.follow(to)
    }
}

/// A car that is banned everywhere.
async fn banned(car: &str) -> Arc<dyn Cache> {
    let scope = Scope::Operator("operator".parse().expect("a name"));
    let what = What::Ban(Ban { scope, from: Moment(0), until: None, reason: "fraud".into() });
    trial::known(vec![(gate(GateKind::Entry, car, 0).credential, Part { id: "ban-1".parse().expect("a name"), at: Moment(1), what })]).await
}

/// The trial's lot, where whoever may be banned is treated like this while nobody can tell.
fn lot(bans: Policy) -> Declared {
    let mut declared = declared();
    let policies = Policies { missed: Missed { bans, ..Missed::default() }, ..Policies::default() };
    declared.lots = declared.lots.into_iter().map(|lot| LotDeclared { policies: policies.clone(), ..lot }).collect();
    declared
}

/// What becomes of cars that come together, and how long that takes; and how many facts were read.
async fn decided(cars: &[&str], bans: Policy, takes: &[(Kind, Duration)]) -> (Vec<String>, Duration, usize) {
    let slow = Arc::new(Slow { inner: banned("B").await, takes: takes.to_vec(), reads: AtomicUsize::new(0) });
    let mut trial = Trial::at(lot(bans), slow.clone()).await;
    let mut items = Vec::new();
    for car in cars {
        items.extend(trial.deliver(&gate(GateKind::Entry, car, 0)).await);
    }
    let cell = trial.cell().await;
    let begun = clock::now();
    while !items.is_empty() {
        items = turn(trial.shared.clone(), cell.clone(), items, false).await.left;
    }
    let took = clock::now() - begun;
    let word = |recorded: schema::Recorded| match recorded.event {
        Event::Session(SessionEvent::Opened { marks, .. }) if marks.missed.is_empty() => "opened".to_owned(),
        Event::Session(SessionEvent::Opened { marks, .. }) => format!("opened without {:?}", marks.missed),
        Event::Session(SessionEvent::Refused { reason, ask, .. }) => format!("{}{}", if ask { "asked: " } else { "" }, reason.as_str()),
        other => other.kind().to_owned(),
    };
    (trial.journal().await.into_iter().map(word).collect(), took, slow.reads.load(Ordering::Relaxed))
}

/// What the checks of the trial's lot need.
const ALL: [(Kind, Duration); 3] = [(Kind::Bans, ms(10)), (Kind::Rights, ms(20)), (Kind::Presence, ms(30))];

#[tokio::test(start_paused = true)]
async fn a_decision_takes_as_long_as_its_slowest_fact() {
    for (takes, expected) in [(ALL, 30), ([(Kind::Bans, ms(40)), ALL[1], ALL[2]], 40), (ALL.map(|(kind, _)| (kind, ms(0))), 0)] {
        let (told, took, reads) = decided(&["A"], Policy::Allow, &takes).await;
        assert_eq!((told, reads), (vec!["opened".to_owned()], 3));
        assert!(took >= ms(expected) && took < ms(expected + 5), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_decisive_refusal_does_not_wait() {
    let (told, took, _) = decided(&["B"], Policy::Allow, &[ALL[0]]).await;
    assert_eq!(told, ["banned"]);
    assert!(took < ms(15), "{took:?}: whether it has a right never came, and would change nothing");
    // The lot has two spaces: the third car needs no fact at all.
    let (told, took, reads) = decided(&["A", "C", "D"], Policy::Allow, &ALL).await;
    assert_eq!((told, reads), (vec!["opened".to_owned(), "opened".to_owned(), refusal(Refusal::Full)], 9));
    assert!(took < ms(35), "{took:?}: all facts of a batch are asked for at once");
}

fn refusal(reason: Refusal) -> String {
    reason.as_str().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_is_late_is_missed() {
    let late = [(Kind::Rights, ms(10)), (Kind::Presence, ms(5_000))];
    for (bans, told) in [(Policy::Allow, "opened without [Bans, Presence]"), (Policy::Refuse, "fact_missing"), (Policy::Ask, "asked: fact_missing")] {
        let (said, took, _) = decided(&["B"], bans, &late).await;
        assert_eq!(said, [told]);
        assert!(took >= ms(50) && took < ms(55), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_to_be_incomplete_is_missed_at_once() {
    let mut trial = Trial::at(lot(Policy::Ask), Arc::new(store::cache::Memory::new(10))).await;
    let items = trial.deliver(&gate(GateKind::Entry, "A", 0)).await;
    let (cell, begun) = (trial.cell().await, clock::now());
    assert_eq!(turn(trial.shared.clone(), cell, items, false).await.done.len(), 1);
    assert_eq!((trial.kinds().await, clock::now() - begun), (vec!["refused"], ms(0)));
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_is_asked_for_once() {
    let slow = Arc::new(Slow { inner: banned("B").await, takes: ALL.to_vec(), reads: AtomicUsize::new(0) });
    let mut trial = Trial::at(lot(Policy::Allow), slow.clone()).await;
    let mut items = trial.deliver(&gate(GateKind::Entry, "A", 0)).await;
    items.extend(trial.deliver(&gate(GateKind::Entry, "B", 0)).await);
    let cell = trial.cell().await;
    trial.store.away.store(true, Ordering::Relaxed);
    // The first one's answer may be in a row that cannot be read now, so both wait.
    for item in &mut items {
        if let crate::input::Read::Input(input) = &mut item.read {
            input.time = Moment(-1);
        }
    }
    let turned = turn(trial.shared.clone(), cell.clone(), items, false).await;
    assert_eq!(turned.left.len(), 2);
    trial.store.away.store(false, Ordering::Relaxed);
    let turned = turn(trial.shared.clone(), cell, turned.left, false).await;
    assert_eq!((turned.left.len(), trial.kinds().await), (0, vec!["opened", "refused"]));
    assert_eq!(slow.reads.load(Ordering::Relaxed), 6, "three facts of each of two cars");
}
