use super::*;
use crate::{
    trial::{Trial, gate},
    turn::turn,
};
use futures_util::{StreamExt, stream::BoxStream};
use schema::{
    DeskEvent, GateKind,
    desk::Says,
    fact::{AssignedRight, Ban, Kind, Scope},
    rate::{Validation, ValidationKind, ValidationRules},
    reference::{Declared, LotDeclared, Passback, Policies, RateTable},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};
use store::{
    Answer,
    cache::{Fact, Found, Generation, Memory},
};

fn car(text: &str) -> Credential {
    gate(GateKind::Entry, text, 0).credential
}

/// What a cache has of a car, each part by its id.
async fn known(cache: &dyn Cache, text: &str) -> Result<Vec<String>, store::Kind> {
    let mut all = Vec::new();
    let asked = Kind::ALL.map(|kind| (car(text), kind)).to_vec();
    let mut answers = cache.read(asked, Duration::from_secs(1));
    while let Some((_, found)) = answers.next().await {
        for part in found.map_err(|error| error.kind)? {
            all.push(match part.what {
                What::Presence(presence) => format!("{} in {}", presence.credential.text, presence.lot),
                What::Coupons(used) => format!("{} coupons on {}", used.uses, used.day),
                _ => part.id.to_string(),
            });
        }
    }
    all.sort();
    Ok(all)
}

fn said(id: &str, part: &str, what: What, cars: &[&str]) -> DeskEvent {
    let (lot, author) = ("small".parse().expect("a name"), "lin".parse().expect("a name"));
    let says = Says::Stated { part: part.parse().expect("a name"), what, of: cars.iter().map(|text| car(text)).collect() };
    DeskEvent { id: id.parse().expect("a name"), lot, said_at: crate::trial::START, author, reason: "because".into(), says }
}

fn ban() -> What {
    let scope = Scope::Operator("operator".parse().expect("a name"));
    What::Ban(Ban { scope, from: Moment(0), until: None, reason: "fraud".into() })
}

/// A right that A and C share.
fn pass() -> What {
    let scope = Scope::Operator("operator".parse().expect("a name"));
    What::Right(AssignedRight { scope, bands: Vec::new(), from: Moment(0), until: Moment(i64::MAX), cars_max: 1, holders: Vec::new() })
}

/// The trial's lot with entry on it, its decisions saved, and a follower of what it says.
struct Town {
    trial: Trial,
    cache: Arc<dyn Cache>,
    stop: watch::Sender<bool>,
}

/// The trial's lot, where a car may use two coupons a day, and its old stay ends when it comes in again.
fn limits() -> Declared {
    let mut declared = crate::trial::declared();
    let validations = ValidationRules { per_vehicle_day: Some(2), ..ValidationRules::default() };
    let policies = Policies { inside: Passback::Close, ..Policies::default() };
    declared.rate_tables = declared.rate_tables.into_iter().map(|table| RateTable { validations, ..table }).collect();
    declared.lots = declared.lots.into_iter().map(|lot| LotDeclared { policies: policies.clone(), ..lot }).collect();
    declared
}

/// A merchant's coupon for a car.
fn coupon(id: &str, text: &str) -> DeskEvent {
    let validation = Validation { id: id.into(), bearer: "cinema".into(), kind: ValidationKind::AmountOff { amount: 100 }, over: false };
    DeskEvent { says: Says::Validated { who: car(text), validation }, ..said(id, "none", ban(), &[text]) }
}

impl Town {
    async fn of(cache: Arc<dyn Cache>) -> Self {
        Self::at(crate::trial::declared(), cache).await
    }

    async fn at(declared: Declared, cache: Arc<dyn Cache>) -> Self {
        let trial = Trial::at(declared, cache.clone()).await;
        Self { trial, cache, stop: watch::Sender::new(false) }
    }

    fn follow(&self, replica: &str) {
        let (bus, store) = (self.trial.shared.bus.clone(), self.trial.shared.store.clone());
        let follower = Follower { bus, store, cache: self.cache.clone(), retention: Duration::from_secs(3_600) };
        tokio::spawn(follower.run(replica.to_owned(), mpsc::channel(1).1, self.stop.subscribe()));
    }

    async fn gate(&mut self, kind: GateKind, car: &str, minute: i64) {
        let items = self.trial.deliver(&gate(kind, car, minute)).await;
        self.decide(items).await;
    }

    async fn desk(&mut self, event: DeskEvent) {
        let (headers, payload) = (BTreeMap::new(), wire::encode(wire::Format::Json, &event).into());
        let bus = &self.trial.shared.bus;
        let sequence = bus.publish(streams::Message { subject: event.subject(), payload, headers }).await.expect("it is taken");
        let stored = bus.scan("DESK", sequence, 1).await.expect("it is there").remove(0);
        let delivery = streams::Delivery { stream: "DESK".into(), stored, deliveries: 1, place: 1, reply: String::new() };
        let item = input::read(delivery).expect("it names a partition").1;
        self.decide(vec![item]).await;
    }

    async fn decide(&mut self, items: Vec<crate::input::Item>) {
        let cell = self.trial.cell().await;
        let turned = turn(self.trial.shared.clone(), cell, items, false).await;
        assert_eq!(turned.left.len(), 0, "it is decided");
        clock::wait(Duration::from_millis(300)).await;
    }

    /// Saves all that was decided.
    async fn save(&self) {
        let cell = self.trial.cell().await;
        let snapshots = cell.with(|state| state.snapshot()).into_iter().collect();
        assert!(!crate::save::save(self.trial.shared.clone(), snapshots).await.failed);
    }
}

#[tokio::test(start_paused = true)]
async fn what_journals_say_is_in_the_cache() {
    let mut town = Town::of(Arc::new(Memory::new(1_000))).await;
    town.follow("one");
    clock::wait(Duration::from_millis(100)).await;
    let cache = town.cache.clone();
    assert_eq!(known(&*cache, "A").await, Ok(vec![]), "it is complete, and nothing has been said");
    town.desk(said("1", "pass-1", pass(), &["A", "C"])).await;
    town.desk(said("2", "ban-1", ban(), &["B"])).await;
    assert_eq!(known(&*cache, "B").await, Ok(vec!["ban-1".to_owned()]));
    town.gate(GateKind::Entry, "A", 0).await;
    // Who shares the right is told of the car, so that one read tells how many use it.
    for holder in ["A", "C"] {
        assert_eq!(known(&*cache, holder).await, Ok(vec!["A in small".to_owned(), "pass-1".to_owned()]));
    }
    town.gate(GateKind::Entry, "B", 1).await;
    assert_eq!(town.trial.kinds().await, ["stated", "stated", "opened", "refused"], "what was stated is judged by");
    town.gate(GateKind::Entry, "C", 2).await;
    let overrun = town.trial.journal().await.pop().expect("it came in");
    assert!(
        matches!(&overrun.event, Event::Session(SessionEvent::Opened { marks, .. }) if marks.right.is_none() && marks.overrun.is_some()),
        "a right for one car does not hold for the second: {overrun:?}"
    );
    town.desk(said("3", "pass-1", pass(), &["A"])).await;
    town.desk(said("4", "ban-1", What::Removed(Kind::Bans), &[])).await;
    assert_eq!(known(&*cache, "B").await, Ok(vec![]));
    assert_eq!(known(&*cache, "C").await, Ok(vec!["A in small".to_owned(), "C in small".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn an_emptied_cache_is_built_again() {
    let mut town = Town::of(Arc::new(Memory::new(1_000))).await;
    town.desk(said("1", "pass-1", pass(), &["A"])).await;
    town.gate(GateKind::Entry, "A", 0).await;
    town.save().await;
    // What follows is in the journal alone.
    town.desk(said("2", "ban-1", ban(), &["B"])).await;
    town.gate(GateKind::Entry, "D", 1).await;
    let cache = town.cache.clone();
    assert_eq!(known(&*cache, "A").await, Err(store::Kind::Incomplete));
    town.follow("one");
    let all = async || {
        clock::wait(Duration::from_secs(3)).await;
        [known(&*cache, "A").await, known(&*cache, "B").await, known(&*cache, "D").await].map(|known| known.map(|parts| parts.join(", ")))
    };
    let expected = [Ok("A in small, pass-1".to_owned()), Ok("ban-1".to_owned()), Ok("D in small".to_owned())];
    assert_eq!(all().await, expected);
    cache.clear().await.expect("it is in memory");
    assert_eq!(known(&*cache, "A").await, Err(store::Kind::Incomplete));
    assert_eq!(all().await, expected, "it is found empty and built again");
}

#[tokio::test(start_paused = true)]
async fn what_coupons_a_car_has_used_is_known() {
    let mut town = Town::at(limits(), Arc::new(Memory::new(1_000))).await;
    town.follow("one");
    clock::wait(Duration::from_millis(100)).await;
    let cache = town.cache.clone();
    town.gate(GateKind::Entry, "A", -20).await;
    town.desk(coupon("v1", "A")).await;
    assert_eq!(known(&*cache, "A").await, Ok(vec!["1 coupons on 261123".to_owned(), "A in small".to_owned()]));
    town.desk(coupon("v2", "A")).await;
    town.desk(coupon("v3", "A")).await;
    // The third one is over the limit, and uses nothing.
    assert_eq!(known(&*cache, "A").await, Ok(vec!["2 coupons on 261123".to_owned(), "A in small".to_owned()]));
    let is_over = |recorded: &Recorded| matches!(&recorded.event, Event::Session(SessionEvent::Validated { validation, .. }) if validation.over);
    assert_eq!(town.trial.journal().await.iter().map(is_over).collect::<Vec<_>>(), [false, false, false, true]);
    // Its lane opens by itself: what it has used stays used, though nobody is inside.
    let left = schema::GateEvent { decided: Some(schema::Verdict::Open), ..gate(GateKind::Exit, "A", -11) };
    let items = town.trial.deliver(&left).await;
    town.decide(items).await;
    assert_eq!(known(&*cache, "A").await, Ok(vec!["2 coupons on 261123".to_owned()]));
    // So its next stay of the day has none left.
    town.gate(GateKind::Entry, "A", -10).await;
    town.desk(coupon("v4", "A")).await;
    assert_eq!(town.trial.journal().await.iter().map(is_over).filter(|over| *over).count(), 2);
    // A stay that ends because its car comes in again has used nothing, nor has one that is another car's.
    town.gate(GateKind::Entry, "B", -9).await;
    town.desk(coupon("v5", "B")).await;
    town.gate(GateKind::Entry, "B", -8).await;
    assert_eq!(known(&*cache, "B").await, Ok(vec!["B in small".to_owned()]));
    town.desk(coupon("v6", "B")).await;
    assert_eq!(known(&*cache, "B").await, Ok(vec!["1 coupons on 261123".to_owned(), "B in small".to_owned()]));
    let says = Says::Corrected { who: car("B"), is: Some(car("C")), entered_at: None, stay: None };
    town.desk(DeskEvent { says, ..coupon("fix", "B") }).await;
    assert_eq!(known(&*cache, "B").await, Ok(vec![]));
    assert_eq!(known(&*cache, "C").await, Ok(vec!["C in small".to_owned()]));
    // A cache that is built again knows the same, though the rows are saved and the stay is over.
    town.save().await;
    cache.clear().await.expect("it is in memory");
    clock::wait(Duration::from_secs(3)).await;
    assert_eq!(known(&*cache, "A").await, Ok(vec!["2 coupons on 261123".to_owned(), "A in small".to_owned()]));
    assert_eq!(known(&*cache, "B").await, Ok(vec![]));
}

/// A cache that says that it is shared, and counts who writes to it.
struct Shared {
    inner: Arc<Memory>,
    writes: Arc<AtomicUsize>,
}

impl Cache for Shared {
    fn read(&self, facts: Vec<Fact>, within: Duration) -> BoxStream<'_, (Fact, Found)> {
        self.inner.read(facts, within)
    }

    fn write(&self, parts: Vec<(Credential, Part)>) -> Answer<'_, ()> {
        self.writes.fetch_add(1, Ordering::Relaxed);
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
        true
    }

    fn followed(&self) -> Answer<'_, Vec<Followed>> {
        self.inner.followed()
    }

    fn follow(&self, to: Vec<Followed>) -> Answer<'_, ()> {
        self.inner.follow(to)
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_several_writes_to_a_shared_cache() {
    let inner = Arc::new(Memory::new(1_000));
    let mut town = Town::of(inner.clone()).await;
    let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let mut stops = Vec::new();
    for (replica, writes) in ["one", "two"].into_iter().zip(&counts) {
        let (bus, store) = (town.trial.shared.bus.clone(), town.trial.shared.store.clone());
        let cache = Arc::new(Shared { inner: inner.clone(), writes: writes.clone() });
        let stop = watch::Sender::new(false);
        let follower = Follower { bus, store, cache, retention: Duration::from_secs(3_600) };
        tokio::spawn(follower.run(replica.to_owned(), mpsc::channel(1).1, stop.subscribe()));
        stops.push(stop);
    }
    clock::wait(Duration::from_secs(5)).await;
    let before = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
    for n in 0..2 {
        town.gate(GateKind::Entry, &format!("A{n}"), n).await;
    }
    clock::wait(Duration::from_secs(2)).await;
    let after = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
    let wrote: Vec<usize> = (0..2).filter(|one| after[*one] > before[*one]).collect();
    assert_eq!(wrote.len(), 1, "{before:?} {after:?}");
    assert_eq!(known(&*inner, "A1").await, Ok(vec!["A1 in small".to_owned()]));
    // Its part is taken over by the other, which goes on where it stood.
    stops[wrote[0]].send_replace(true);
    clock::wait(Duration::from_secs(5)).await;
    town.desk(said("2", "ban-1", ban(), &["B"])).await;
    clock::wait(Duration::from_secs(2)).await;
    assert_eq!(known(&*inner, "B").await, Ok(vec!["ban-1".to_owned()]));
    assert!(counts[1 - wrote[0]].load(Ordering::Relaxed) > after[1 - wrote[0]]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_heard_is_read() {
    let mut town = Town::of(Arc::new(Memory::new(1_000))).await;
    let (says, hears) = mpsc::channel(HEARD_MAX);
    let (bus, store) = (town.trial.shared.bus.clone(), town.trial.shared.store.clone());
    let follower = Follower { bus, store, cache: town.cache.clone(), retention: Duration::from_secs(3_600) };
    tokio::spawn(follower.run("one".to_owned(), hears, town.stop.subscribe()));
    clock::wait(Duration::from_millis(200)).await;
    for (car, is_heard) in [("A", true), ("B", false), ("C", true), ("D", false)] {
        let event = said(car, &format!("ban-{car}"), ban(), &[car]);
        town.desk(event).await;
        let last = town.trial.journal().await.pop().expect("it was decided");
        let sequence = town.trial.journal().await.len() as u64;
        if is_heard {
            says.send(Heard::of(&[last], sequence)).await.expect("it is there");
        }
        clock::wait(Duration::from_millis(300)).await;
        assert_eq!(known(&*town.cache, car).await, Ok(vec![format!("ban-{car}")]), "{car} is known, whether it was heard or not");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_is_in_the_row_too() {
    let mut town = Town::of(Arc::new(Memory::new(1_000))).await;
    town.gate(GateKind::Entry, "A", 0).await;
    let opened = town.trial.journal().await.remove(0);
    let Event::Session(SessionEvent::Opened { stay, .. }) = &opened.event else { panic!("it came in") };
    let (order, operator) = (stay.session, "operator".parse().expect("a name"));
    let amount = Money::new(500, schema::Currency::Cny);
    let owed = Recorded { event: Event::Session(SessionEvent::Owed { stay: stay.clone(), order, amount, operator }), ..opened.clone() };
    let kind = |said: Said| said.into_iter().map(|(_, part)| part.what.kind()).collect::<Vec<_>>();
    assert_eq!(kind(parts(&owed)), [Kind::Arrears]);
    let cell = town.trial.cell().await;
    let key = schema::Key::of(Table::Sessions, stay.session).expect("an id");
    let known = cell.with(|state| state.known(&key).map(|known| (*known.entity).clone()));
    let Some(Entity::Session(session)) = known else { panic!("it is open") };
    assert_eq!(kind(inside(&session, opened.at)), [Kind::Presence]);
    let gone = Session { gone: true, ..*session };
    assert_eq!(kind(inside(&gone, opened.at)), []);
    assert_eq!(kind(inside(&Session { owes: Some((order, amount, operator)), ..gone }, opened.at)), [Kind::Arrears]);
}

#[test]
fn a_position_knows_what_it_lacks() {
    let mut position = Position { seen: 10, ..Position::default() };
    assert!(!position.lacks(), "it has come this far since");
    assert!(position.lacks(), "nothing was heard: others may have decided something");
    position.hear(12, 2);
    assert_eq!((position.seen, position.lacks()), (12, false));
    position.hear(15, 2);
    assert_eq!((position.seen, position.lacks()), (12, true), "13 was not heard");
    position.hear(13, 1);
    assert_eq!((position.seen, position.lacks(), position.ahead.len()), (15, false, 0));
    position.hear(20, 1);
    position.read(19);
    position.hear(18, 3);
    assert_eq!((position.seen, position.ahead.len()), (20, 0));
}
