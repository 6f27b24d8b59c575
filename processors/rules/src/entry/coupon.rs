//! How many merchants' coupons a vehicle may use on one day, over all its stays.
//!
//! Invariants
//! 1. Within a stay the limit is exact; of other stays it goes by what is known of them   (`tests::a_coupon_over_the_limit_is_flagged`).
//! 2. Nobody waits for long: what is not known in time of other stays is not minded, and said
//!    (`tests::what_is_not_known_in_time_is_not_minded`).
//! 3. A coupon over the limit takes nothing off: its stay costs what it would without   (`tests::a_stay_over_the_limit_is_an_ordinary_one`).
//!
//! Not here: how uses come to be known (the cache), what else of a coupon counts (`quote::validations`).

use super::checks::Fact;
use crate::{Input, View, Wanted};
use schema::{
    Day, DeskEvent, Id,
    entity::Session,
    fact::{Kind, OperatorId, Part, What},
    journal::CouponLimit,
    rate::LocalTime,
    reference::LotReference,
    time::DAY,
};

/// What must be known of the other stays of a session's car before a coupon of it is judged, unless it has come or was given up.
pub(super) fn wants(view: &dyn View, session: &Session, lot: &LotReference) -> Option<Wanted> {
    most(session, lot)?;
    let credential = &session.stay.credential;
    matches!(view.fact(credential, Kind::Coupons), Fact::Pending).then(|| (credential.clone(), Kind::Coupons.into()))
}

/// How one coupon more stands to the limit, and whether it is over it; none where there is no limit.
pub(super) fn judge(view: &dyn View, input: &Input, event: &DeskEvent, session: &Session, lot: &LotReference) -> Option<(CouponLimit, bool)> {
    let most = most(session, lot)?;
    // It counts on the day on which it was said, though of a day long over nobody knows any more what was used.
    let day = lot.zone.day(event.said_at.clamp(input.received_at.plus(DAY.saturating_neg()), input.received_at));
    // What is said late of a day before the newest on which the stay has used one counts on that: no day's count begins anew.
    let day = session.coupons.map_or(day, |(newest, _)| newest.max(day));
    let operator = lot.declared.operator;
    let before = session.coupons.filter(|(on, _)| *on == day).map_or(0, |(_, uses)| uses);
    let elsewhere = match view.fact(&session.stay.credential, Kind::Coupons) {
        Fact::Here(parts) => Some(elsewhere(parts, session.stay.session, operator, day)),
        Fact::Pending | Fact::Missed => None,
    };
    let is_over = before.saturating_add(elsewhere.unwrap_or(0)) >= most;
    let here = before.saturating_add(u32::from(!is_over));
    Some((CouponLimit { most, day, operator, here, elsewhere }, is_over))
}

/// How many a vehicle may use on one day, by the version of the rate table that was in force when it came in, as all rules of coupons are.
fn most(session: &Session, lot: &LotReference) -> Option<u32> {
    let tariff = lot.tariff.as_ref()?;
    let place = tariff.in_force(LocalTime::at(session.stay.entered_at, &lot.zone))?;
    tariff.versions().get(place)?.table.validations.per_vehicle_day
}

/// How many of other stays count on a day.
fn elsewhere(parts: &[Part], session: Id, operator: OperatorId, day: Day) -> u32 {
    parts.iter().fold(0, |sum, part| match &part.what {
        What::Coupons(used) if used.session != session && used.operator == operator && used.day == day => sum.saturating_add(used.uses),
        _ => sum,
    })
}

#[cfg(test)]
mod tests {
    use crate::{
        entry::RULES,
        pricing,
        trial::{Trial, at, gate},
    };
    use schema::{
        Credential, Day, DeskEvent, Event, GateKind, Id, Inbox, Moment, Recorded,
        desk::Says,
        fact::{CouponsUsed, Kind, OperatorId, Part, What},
        gate::Colour,
        id::{self, Place, Province},
        journal::{LineKind, OrderEvent, SessionEvent},
        rate::{Validation, ValidationKind},
    };

    /// The day on which every trial begins, by the clocks of its lots.
    const TODAY: Day = Day(261_123);

    fn car() -> Credential {
        Credential::plate("A", Colour::Blue)
    }

    fn session(name: &str) -> Id {
        id::derive(id::Kind::Session, Place { province: Province(44), day: TODAY, partition: schema::Partition(0) }, &[name])
    }

    /// What is known of another stay of the car.
    fn used(name: &str, operator: &str, day: u32, uses: u32) -> Part {
        let operator: OperatorId = operator.parse().expect("a name");
        let what = What::Coupons(CouponsUsed { session: session(name), operator, day: Day(day), uses });
        Part { id: name.parse().expect("a name"), at: at(0), what }
    }

    /// A coupon of 3 yuan, said at a moment and received `late` minutes later.
    fn say(trial: &mut Trial, lot: &str, id: &str, said_at: Moment, late: i64) -> Vec<Event> {
        let validation = Validation { id: id.into(), bearer: "cinema".into(), kind: ValidationKind::AmountOff { amount: 300 }, over: false };
        let (id, lot, author) = (id.parse().expect("a name"), lot.parse().expect("a name"), "lin".parse().expect("a name"));
        trial.now = trial.now.max(said_at.plus(late.saturating_mul(schema::time::MINUTE)));
        trial.desk(DeskEvent { id, lot, said_at, author, reason: "because".into(), says: Says::Validated { who: car(), validation } })
    }

    /// What became of each coupon: whether it counts, of which day, and how many were known.
    fn told(events: &[Event]) -> String {
        let word = |event: &Event| match event {
            Event::Session(SessionEvent::Validated { validation, limit: None, .. }) => {
                assert!(!validation.over, "what has no limit is not over it");
                "free of limits".to_owned()
            }
            Event::Session(SessionEvent::Validated { validation, limit: Some(limit), .. }) => {
                let verdict = if validation.over { "over" } else { "counts" };
                let elsewhere = limit.elsewhere.map_or_else(|| "?".to_owned(), |uses| uses.to_string());
                format!("{verdict} {}+{elsewhere} of {} on {}", limit.here, limit.most, limit.day)
            }
            Event::Session(SessionEvent::Noted { note, .. }) => format!("{note:?}"),
            other => other.kind().to_owned(),
        };
        events.iter().map(word).collect::<Vec<_>>().join("+")
    }

    /// A car that is in a lot since minute 0 and of which so much is known.
    fn inside(lot: &str, known: Vec<Part>) -> Trial {
        let mut trial = Trial::new(&RULES);
        trial.known.insert((car(), Kind::Coupons), known);
        trial.gate(gate(GateKind::Entry, lot, "A", 0));
        trial
    }

    #[test]
    fn a_coupon_over_the_limit_is_flagged() {
        let own = Trial::operator("limits");
        // Two on a day, of its lot's operator; by the clocks of the lots the next day begins at minute 960.
        for (lot, known, minutes, expected) in [
            ("small", vec![used("s", &own, TODAY.0, 9)], vec![5], "free of limits"),
            ("bare", vec![], vec![5], "free of limits"),
            ("limits", vec![], vec![5], "counts 1+0 of 2 on 261123"),
            ("limits", vec![], vec![5, 6, 7], "counts 1+0 of 2 on 261123, counts 2+0 of 2 on 261123, over 2+0 of 2 on 261123"),
            ("limits", vec![used("s", &own, TODAY.0, 1)], vec![5, 6], "counts 1+1 of 2 on 261123, over 1+1 of 2 on 261123"),
            ("limits", vec![used("s", &own, TODAY.0, 2)], vec![5], "over 0+2 of 2 on 261123"),
            ("limits", vec![used("s", &own, TODAY.0, 1), used("t", &own, TODAY.0, 1)], vec![5], "over 0+2 of 2 on 261123"),
            ("limits", vec![used("s", "another", TODAY.0, 2)], vec![5], "counts 1+0 of 2 on 261123"),
            ("limits", vec![used("s", &own, 261_122, 2)], vec![5], "counts 1+0 of 2 on 261123"),
            ("limits", vec![used("s", &own, TODAY.0, 2)], vec![959, 960], "over 0+2 of 2 on 261123, counts 1+0 of 2 on 261124"),
            ("limits", vec![], vec![960, 959, 961], "counts 1+0 of 2 on 261124, counts 2+0 of 2 on 261124, over 2+0 of 2 on 261124"),
            ("limits", vec![], vec![5, 960, 961], "counts 1+0 of 2 on 261123, counts 1+0 of 2 on 261124, counts 2+0 of 2 on 261124"),
        ] {
            let mut trial = inside(lot, known);
            let became: Vec<_> = minutes.iter().map(|minute| told(&say(&mut trial, lot, &format!("v{minute}"), at(*minute), 0))).collect();
            assert_eq!(became.join(", "), expected, "{lot} at {minutes:?}");
        }
    }

    #[test]
    fn its_own_stay_is_not_counted_twice() {
        let mut trial = inside("limits", Vec::new());
        let Some(Event::Session(SessionEvent::Opened { stay, .. })) = trial.journal.first().map(|recorded| recorded.event.clone()) else {
            panic!("it came in")
        };
        assert_eq!(told(&say(&mut trial, "limits", "v1", at(5), 0)), "counts 1+0 of 2 on 261123");
        // What its own stay has used has come by now.
        let operator = Trial::operator("limits").parse().expect("a name");
        let what = What::Coupons(CouponsUsed { session: stay.session, operator, day: TODAY, uses: 1 });
        trial.known.insert((car(), Kind::Coupons), vec![Part { id: "s".parse().expect("a name"), at: at(5), what }]);
        assert_eq!(told(&say(&mut trial, "limits", "v2", at(6), 0)), "counts 2+0 of 2 on 261123");
        assert_eq!(told(&say(&mut trial, "limits", "v1", at(7), 0)), "AlreadyKnown");
    }

    #[test]
    fn what_is_not_known_in_time_is_not_minded() {
        let own = Trial::operator("limits");
        let mut trial = inside("limits", vec![used("s", &own, TODAY.0, 2)]);
        trial.away.insert(Kind::Coupons);
        let told: Vec<_> = (5..8).map(|minute| told(&say(&mut trial, "limits", &format!("v{minute}"), at(minute), 0))).collect();
        assert_eq!(told, ["counts 1+? of 2 on 261123", "counts 2+? of 2 on 261123", "over 2+? of 2 on 261123"]);
    }

    #[test]
    fn a_coupon_counts_on_the_day_on_which_it_was_said() {
        for (said, late, day) in [(959, 0, "261123"), (959, 60, "261123"), (960, 0, "261124"), (5, 1_440 + 960, "261124"), (5, 1_440, "261123")] {
            let mut trial = inside("limits", Vec::new());
            assert_eq!(told(&say(&mut trial, "limits", "v1", at(said), late)), format!("counts 1+0 of 2 on {day}"), "{said}, {late} late");
        }
        // Nor does it count on a day that has not come.
        let mut trial = inside("limits", Vec::new());
        trial.gate(gate(GateKind::Entry, "limits", "B", 5));
        let validation = Validation { id: "v1".into(), bearer: "cinema".into(), kind: ValidationKind::Free, over: false };
        let (id, lot, author) = ("d1".parse().expect("a name"), "limits".parse().expect("a name"), "lin".parse().expect("a name"));
        let event = DeskEvent { id, lot, said_at: at(2_000), author, reason: "because".into(), says: Says::Validated { who: car(), validation } };
        let (key, time) = (event.key(), event.said_at);
        let events = trial.input(Inbox::Desk, &key, time, crate::Body::Desk(Box::new(event)));
        assert_eq!(told(&events), "counts 1+0 of 2 on 261123");
    }

    /// The last price of a stay of 90 minutes with so many coupons, and what its lines of coupons take off.
    fn priced(known: Vec<Part>, coupons: i64) -> (i64, Vec<(i64, bool)>) {
        let mut trial = inside("limits", known);
        for minute in 1..=coupons {
            say(&mut trial, "limits", &format!("v{minute}"), at(minute), 0);
        }
        trial.gate(gate(GateKind::Exit, "limits", "A", 90));
        let mut pricing = Trial::new(&pricing::RULES);
        for recorded in &trial.journal {
            pricing.journal(Inbox::Session, recorded);
        }
        let quote = pricing.journal.iter().rev().find_map(|Recorded { event, .. }| match event {
            Event::Order(OrderEvent::Priced { quote, .. }) => Some(quote.clone()),
            _ => None,
        });
        let quote = quote.expect("it has a price");
        let off = quote.lines.iter().filter(|line| line.what == LineKind::ValidationAmount).map(|line| (line.amount, line.over)).collect();
        (quote.total.minor, off)
    }

    #[test]
    fn a_stay_over_the_limit_is_an_ordinary_one() {
        let own = Trial::operator("limits");
        for (known, coupons, price, off) in [
            (vec![], 0, 1_000, vec![]),
            (vec![], 2, 400, vec![(-300, false), (-300, false)]),
            (vec![], 3, 400, vec![(-300, false), (-300, false), (0, true)]),
            (vec![used("s", &own, TODAY.0, 1)], 2, 700, vec![(-300, false), (0, true)]),
            (vec![used("s", &own, TODAY.0, 2)], 2, 1_000, vec![(0, true), (0, true)]),
        ] {
            assert_eq!(priced(known.clone(), coupons), (price, off), "{known:?}, {coupons}");
        }
    }
}
