//! What every cache promises, as plain functions over the port: each implementation is held to all of them.

use super::{COUPONS_KEPT, Cache, Fact, Followed, Generation};
use crate::Kind;
use futures_util::{
    StreamExt,
    future::{BoxFuture, join_all},
};
use schema::{
    Credential, Currency, Day, Journal, Moment, Money, Partition, Token,
    fact::{self, Arrear, AssignedRight, Ban, CouponsUsed, Part, Presence, Reservation, Scope, TimeBand, Weekdays, What},
    gate::{Colour, CredentialKind},
    id::{self, Place, Province},
};
use std::time::Duration;

type Case = for<'a> fn(&'a dyn Cache) -> BoxFuture<'a, ()>;

/// All of them, by name.
const CASES: &[(&str, Case)] = &[
    ("every_kind_survives_the_round_trip", |cache| Box::pin(every_kind_survives_the_round_trip(cache))),
    ("the_newest_part_wins", |cache| Box::pin(the_newest_part_wins(cache))),
    ("a_part_written_twice_is_there_once", |cache| Box::pin(a_part_written_twice_is_there_once(cache))),
    ("a_removed_part_stays_removed", |cache| Box::pin(a_removed_part_stays_removed(cache))),
    ("what_was_used_is_forgotten_days_later", |cache| Box::pin(what_was_used_is_forgotten_days_later(cache))),
    ("an_emptied_cache_says_so", |cache| Box::pin(an_emptied_cache_says_so(cache))),
    ("a_rebuild_that_was_overtaken_does_not_complete", |cache| Box::pin(a_rebuild_that_was_overtaken_does_not_complete(cache))),
    ("what_is_written_during_a_rebuild_counts", |cache| Box::pin(what_is_written_during_a_rebuild_counts(cache))),
    ("hostile_texts_are_only_texts", |cache| Box::pin(hostile_texts_are_only_texts(cache))),
    ("thousands_of_parts_are_read_at_once", |cache| Box::pin(thousands_of_parts_are_read_at_once(cache))),
    ("it_remembers_up_to_where_it_was_written", |cache| Box::pin(it_remembers_up_to_where_it_was_written(cache))),
    ("every_fact_asked_for_is_answered_once", |cache| Box::pin(every_fact_asked_for_is_answered_once(cache))),
];

/// Runs all cases, each on an empty cache; where one fails, its name is the last one printed.
pub(super) async fn run(cache: &dyn Cache) {
    for (name, case) in CASES {
        println!("{name}");
        cache.clear().await.expect("it is here");
        rebuilt(cache).await;
        case(cache).await;
    }
}

/// Long enough for any read that works at all.
pub(super) const LONG: Duration = Duration::from_secs(30);

pub(super) async fn rebuilt(cache: &dyn Cache) {
    let generation = cache.begin_rebuild().await.expect("it is here");
    assert!(cache.complete(generation).await.expect("it is here"));
}

pub(super) fn car(text: &str) -> Credential {
    Credential::plate(text, Colour::Blue)
}

fn name<const N: usize>(text: &str) -> Token<N> {
    text.parse().expect("a name")
}

/// A ban whose reason tells its version.
pub(super) fn ban(id: &str, at: i64) -> Part {
    let what = What::Ban(Ban { scope: Scope::Operator(name("city")), from: Moment(0), until: None, reason: format!("version {at}").into() });
    Part { id: name(id), at: Moment(at), what }
}

pub(super) fn removal(id: &str, at: i64) -> Part {
    Part { id: name(id), at: Moment(at), what: What::Removed(fact::Kind::Bans) }
}

/// The coupons that a stay has used by a moment.
pub(super) fn used(id: &str, at: i64, uses: u32) -> Part {
    let place = Place { province: Province(44), day: Day(261_123), partition: Partition(7) };
    let session = id::derive(id::Kind::Session, place, &[id]);
    Part { id: name(id), at: Moment(at), what: What::Coupons(CouponsUsed { session, operator: name("city"), day: Day(261_123), uses }) }
}

/// The bans of a car, by id.
pub(super) async fn read(cache: &dyn Cache, text: &str) -> Result<Vec<Part>, Kind> {
    let mut found = read_all(cache, vec![(car(text), fact::Kind::Bans)]).await;
    found.pop().expect("one answer for one fact").1
}

/// Facts with their parts by id.
pub(super) async fn read_all(cache: &dyn Cache, facts: Vec<Fact>) -> Vec<(Fact, Result<Vec<Part>, Kind>)> {
    let found = cache.read(facts, LONG).map(|(fact, found)| {
        let sorted = found.map(|mut parts| {
            parts.sort_by_key(|part| part.id);
            parts
        });
        (fact, sorted.map_err(|error| error.kind))
    });
    found.collect().await
}

async fn write(cache: &dyn Cache, text: &str, parts: &[Part]) {
    cache.write(parts.iter().map(|part| (car(text), part.clone())).collect()).await.expect("it is here");
}

fn one_of_each() -> Vec<Part> {
    let place = Place { province: Province(44), day: Moment(0).utc_day(), partition: Partition(7) };
    let (lot, from, until) = (name("lot-1"), Moment(1), Moment(2));
    let bands = vec![TimeBand { days: Weekdays::WORKDAYS, from_min: 0, to_min: 1440 }];
    let holders = vec![car("粤B12345"), car("粤B22222")];
    let presence = Presence { session: id::derive(id::Kind::Session, place, &["s"]), lot, credential: car("x"), since: from, right: Some(name("p")) };
    let arrear = Arrear { order: id::derive(id::Kind::Order, place, &["o"]), operator: name("city"), lot, amount: Money::new(500, Currency::Cny) };
    let whats = [
        What::Right(AssignedRight { scope: Scope::Groups(vec![name("g")]), bands, from, until, cars_max: 2, holders }),
        What::Ban(Ban { scope: Scope::Lots(vec![lot]), from, until: Some(until), reason: "\u{0}\"粤\n".into() }),
        What::Arrear(arrear),
        What::Presence(presence),
        What::Reservation(Reservation { lot, from, until }),
        used("the-same-id", 9, 2).what,
    ];
    whats.into_iter().map(|what| Part { id: name("the-same-id"), at: Moment(9), what }).collect()
}

async fn every_kind_survives_the_round_trip(cache: &dyn Cache) {
    let parts = one_of_each();
    write(cache, "a", &parts).await;
    for (kind, part) in fact::Kind::ALL.into_iter().zip(parts) {
        let found = read_all(cache, vec![(car("a"), kind)]).await;
        assert_eq!(found, [((car("a"), kind), Ok(vec![part]))]);
    }
}

async fn the_newest_part_wins(cache: &dyn Cache) {
    for at in [5, 5, 3, 9, 9, 1, 8] {
        write(cache, "alone", &[ban("1", at)]).await;
    }
    assert_eq!(read(cache, "alone").await, Ok(vec![ban("1", 9)]));
    // In one call, the older ones last; another part goes its own way.
    write(cache, "together", &[ban("1", 2), ban("1", 7), ban("2", 3), ban("1", 4)]).await;
    assert_eq!(read(cache, "together").await, Ok(vec![ban("1", 7), ban("2", 3)]));
    // Racing.
    let racing = (1..=64).map(|n| write_one(cache, "racing", ban("1", n * 37 % 65)));
    join_all(racing).await;
    assert_eq!(read(cache, "racing").await, Ok(vec![ban("1", 64)]));
    // Versions that no text and no float compares rightly.
    for at in [255, 256, -1, i64::MIN, 9_007_199_254_740_993, 9_007_199_254_740_992, i64::MAX - 1, i64::MAX, 0] {
        write(cache, "far", &[ban("1", at)]).await;
    }
    assert_eq!(read(cache, "far").await, Ok(vec![ban("1", i64::MAX)]));
    write(cache, "close", &[ban("1", 9_007_199_254_740_992)]).await;
    write(cache, "close", &[ban("1", 9_007_199_254_740_993)]).await;
    assert_eq!(read(cache, "close").await, Ok(vec![ban("1", 9_007_199_254_740_993)]));
}

async fn write_one(cache: &dyn Cache, text: &str, part: Part) {
    write(cache, text, &[part]).await;
}

async fn a_part_written_twice_is_there_once(cache: &dyn Cache) {
    for _ in 0..3 {
        write(cache, "a", &[ban("1", 5), ban("2", 6), ban("1", 5)]).await;
        assert_eq!(read(cache, "a").await, Ok(vec![ban("1", 5), ban("2", 6)]));
    }
}

async fn a_removed_part_stays_removed(cache: &dyn Cache) {
    write(cache, "a", &[ban("1", 5), ban("2", 5)]).await;
    write(cache, "a", &[removal("1", 7)]).await;
    for late in [5, 6, 7] {
        write(cache, "a", &[ban("1", late)]).await;
        assert_eq!(read(cache, "a").await, Ok(vec![ban("2", 5)]), "{late}");
    }
    // The removal comes first, and nothing of the fact is left.
    write(cache, "b", &[removal("1", 7)]).await;
    write(cache, "b", &[ban("1", 6)]).await;
    assert_eq!(read(cache, "b").await, Ok(vec![]));
    // An older removal removes nothing, and a newer version is there again.
    write(cache, "a", &[removal("2", 4), ban("1", 8)]).await;
    write(cache, "b", &[ban("1", 8)]).await;
    assert_eq!(read(cache, "a").await, Ok(vec![ban("1", 8), ban("2", 5)]));
    assert_eq!(read(cache, "b").await, Ok(vec![ban("1", 8)]));
}

/// The coupons that the car `a` has used, by id.
async fn read_used(cache: &dyn Cache) -> Result<Vec<Part>, Kind> {
    let mut found = read_all(cache, vec![(car("a"), fact::Kind::Coupons)]).await;
    found.pop().expect("one answer for one fact").1
}

async fn what_was_used_is_forgotten_days_later(cache: &dyn Cache) {
    // What a stay has used is one part: the newest wins.
    write(cache, "a", &[used("1", 1, 1), used("2", 2, 1), used("1", 3, 2), used("1", 1, 1)]).await;
    assert_eq!(read_used(cache).await, Ok(vec![used("1", 3, 2), used("2", 2, 1)]));
    write(cache, "a", &[Part { id: name("2"), at: Moment(4), what: What::Removed(fact::Kind::Coupons) }]).await;
    write(cache, "a", &[used("2", 2, 1)]).await;
    assert_eq!(read_used(cache).await, Ok(vec![used("1", 3, 2)]), "a stay that was none has used nothing");
    // Within the days nothing is forgotten, whatever else is written of the car.
    write(cache, "a", &[ban("1", 2 + COUPONS_KEPT), used("3", 2 + COUPONS_KEPT, 1)]).await;
    assert_eq!(read_used(cache).await, Ok(vec![used("1", 3, 2), used("3", 2 + COUPONS_KEPT, 1)]));
    write(cache, "a", &[used("4", 5 + COUPONS_KEPT, 1)]).await;
    assert_eq!(read_used(cache).await, Ok(vec![used("3", 2 + COUPONS_KEPT, 1), used("4", 5 + COUPONS_KEPT, 1)]));
    assert_eq!(read(cache, "a").await, Ok(vec![ban("1", 2 + COUPONS_KEPT)]), "what has no end is not forgotten with them");
}

async fn an_emptied_cache_says_so(cache: &dyn Cache) {
    write(cache, "a", &[ban("1", 5)]).await;
    assert_eq!(read(cache, "nobody").await, Ok(vec![]));
    cache.clear().await.expect("it is here");
    for text in ["a", "nobody"] {
        assert_eq!(read(cache, text).await, Err(Kind::Incomplete));
    }
    // Writes alone do not make it whole.
    write(cache, "b", &[ban("1", 5)]).await;
    assert_eq!(read(cache, "b").await, Err(Kind::Incomplete));
    assert!(!cache.is_complete().await.expect("it is here"));
    let generation = cache.begin_rebuild().await.expect("it is here");
    assert_eq!(read(cache, "b").await, Err(Kind::Incomplete));
    assert!(cache.complete(generation).await.expect("it is here"));
    assert!(cache.is_complete().await.expect("it is here"));
    assert_eq!(read(cache, "a").await, Ok(vec![]));
    assert_eq!(read(cache, "b").await, Ok(vec![ban("1", 5)]));
    // Said again after a lost answer.
    assert!(cache.complete(generation).await.expect("it is here"));
}

async fn a_rebuild_that_was_overtaken_does_not_complete(cache: &dyn Cache) {
    let first = cache.begin_rebuild().await.expect("it is here");
    assert_eq!(read(cache, "a").await, Err(Kind::Incomplete));
    let second = cache.begin_rebuild().await.expect("it is here");
    assert_ne!(first, second);
    assert!(!cache.complete(first).await.expect("it is here"));
    assert!(!cache.is_complete().await.expect("it is here"));
    assert!(cache.complete(second).await.expect("it is here"));
    // Emptied in between.
    let third = cache.begin_rebuild().await.expect("it is here");
    cache.clear().await.expect("it is here");
    assert!(!cache.complete(third).await.expect("it is here"));
    assert!(!cache.complete(second).await.expect("it is here"));
    assert!(!cache.complete(Generation(0)).await.expect("it is here"));
    assert_eq!(read(cache, "a").await, Err(Kind::Incomplete));
    rebuilt(cache).await;
}

async fn what_is_written_during_a_rebuild_counts(cache: &dyn Cache) {
    write(cache, "kept", &[ban("1", 5)]).await;
    let generation = cache.begin_rebuild().await.expect("it is here");
    // A journal says something new before the rebuild comes by with an older row.
    write(cache, "a", &[ban("1", 9), removal("2", 9)]).await;
    write(cache, "a", &[ban("1", 3), ban("2", 3), ban("3", 3)]).await;
    assert!(cache.complete(generation).await.expect("it is here"));
    assert_eq!(read(cache, "a").await, Ok(vec![ban("1", 9), ban("3", 3)]));
    assert_eq!(read(cache, "kept").await, Ok(vec![ban("1", 5)]));
}

async fn hostile_texts_are_only_texts(cache: &dyn Cache) {
    let texts = [
        "",
        " ",
        ":",
        "::",
        "*",
        "?",
        "[a]",
        "\\",
        "\0",
        "a\0b",
        "\r\n",
        "\r\nFLUSHALL\r\n",
        "$5",
        "generation",
        ":generation",
        "a:b",
        "a",
        "A",
        "粤B12345",
        "粤",
        "p-a",
        "-a",
        "']]..",
        "%s{}",
        "\u{202e}",
        "e\u{301}",
        "\u{e9}",
    ];
    let mut cars: Vec<Credential> = texts.into_iter().map(car).collect();
    // The same text in every colour and as another credential is another vehicle.
    let same = |kind, colour| Credential { kind, text: "a".into(), colour };
    cars.extend([None, Some(Colour::Green), Some(Colour::Yellow), Some(Colour::White), Some(Colour::Black)].map(|c| same(CredentialKind::Plate, c)));
    cars.extend([CredentialKind::Tag, CredentialKind::Ticket].map(|kind| same(kind, None)));
    let mine = |n: usize| ban(&format!("ban-{n}"), 1);
    cache.write(cars.iter().enumerate().map(|(n, car)| (car.clone(), mine(n))).collect()).await.expect("it is here");
    let asked: Vec<Fact> = cars.iter().map(|car| (car.clone(), fact::Kind::Bans)).collect();
    for (fact, found) in read_all(cache, asked.clone()).await {
        let n = asked.iter().position(|other| *other == fact).expect("it was asked for");
        assert_eq!(found, Ok(vec![mine(n)]), "{:?}", fact.0.text);
    }
    // Nor is it in another kind.
    assert!(read_all(cache, cars.into_iter().map(|car| (car, fact::Kind::Rights)).collect()).await.iter().all(|(_, found)| *found == Ok(vec![])));
}

async fn thousands_of_parts_are_read_at_once(cache: &dyn Cache) {
    const CARS: usize = 2_000;
    let mut parts: Vec<(Credential, Part)> = (0..5_000).map(|n| (car("fleet"), ban(&format!("{n:05}"), n + 1))).collect();
    parts.extend((0..CARS).map(|n| (car(&format!("car {n}")), ban("1", 1))));
    cache.write(parts.clone()).await.expect("it is here");
    let fleet: Vec<Part> = parts.drain(..5_000).map(|(_, part)| part).collect();
    let mut asked: Vec<Fact> = parts.into_iter().map(|(car, _)| (car, fact::Kind::Bans)).collect();
    asked.push((car("fleet"), fact::Kind::Bans));
    let found = read_all(cache, asked.clone()).await;
    assert_eq!(found.len(), CARS + 1);
    for (fact, found) in found {
        let expected = if fact.0 == car("fleet") { fleet.clone() } else { vec![ban("1", 1)] };
        assert_eq!(found, Ok(expected), "{}", fact.0.text);
    }
    // All of a fleet at once is gone again.
    write(cache, "fleet", &(0..5_000).map(|n| removal(&format!("{n:05}"), 10_000)).collect::<Vec<_>>()).await;
    assert_eq!(read(cache, "fleet").await, Ok(vec![]));
}

async fn it_remembers_up_to_where_it_was_written(cache: &dyn Cache) {
    assert_eq!(cache.followed().await.expect("it is here"), []);
    let at = |journal, sequence| Followed { journal, sequence, at: Moment(-5) };
    cache.follow(vec![at(Journal::Session, 7), at(Journal::Order, u64::MAX)]).await.expect("it is here");
    cache.follow(vec![at(Journal::Session, 9)]).await.expect("it is here");
    cache.follow(vec![]).await.expect("it is here");
    let mut followed = cache.followed().await.expect("it is here");
    followed.sort_by_key(|followed| followed.journal);
    assert_eq!(followed, [at(Journal::Session, 9), at(Journal::Order, u64::MAX)]);
    cache.clear().await.expect("it is here");
    assert_eq!(cache.followed().await.expect("it is here"), []);
}

async fn every_fact_asked_for_is_answered_once(cache: &dyn Cache) {
    assert_eq!(read_all(cache, vec![]).await, []);
    cache.write(vec![]).await.expect("it is here");
    write(cache, "a", &[ban("1", 1)]).await;
    let (a, b) = ((car("a"), fact::Kind::Bans), (car("b"), fact::Kind::Bans));
    let mut found = read_all(cache, vec![a.clone(), b.clone(), a.clone()]).await;
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found, [(a.clone(), Ok(vec![ban("1", 1)])), (a, Ok(vec![ban("1", 1)])), (b, Ok(vec![]))]);
}
