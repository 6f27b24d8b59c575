//! An open loop: who drives up when, fixed before the first one does.
//!
//! Invariants
//! 1. Arrivals are a Poisson process of the asked rate, whatever the system does   (`tests::a_plan_keeps_its_rate`).
//! 2. One message of a hundred is a copy, one of a hundred is late   (`tests::a_plan_has_copies_and_late_events`).
//!
//! Not here: sending (`step`).

use bench::{
    City,
    city::{Action, Mix, Shape, Step},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution, Exp, Zipf};
use schema::{
    Credential, Currency, GateEvent, GateKind, Moment,
    gate::Colour,
    reference::{Declared, LotDeclared, RateTable, Step as RateStep},
    time::{MINUTE, SECOND},
};
use std::collections::{BTreeMap, VecDeque};

/// How many lots there are.
const LOTS: usize = 700;
/// How steeply popularity falls with rank.
const ZIPF: f64 = 0.9;
/// Of a hundred messages, so many are copies, and so many late.
const PERCENT: u32 = 1;
/// Of a hundred cars, so many hold a pass.
const HOLDERS_PERCENT: u32 = 15;

/// The city of a load: its lots, and the cars that hold passes.
pub fn city(seed: u64, from: Moment) -> City {
    City::new(Shape { lots: LOTS, odd_lots: false, mix: Mix::load(), ..Shape::demo(seed, from) })
}

/// The lots of a load, with room for every car, and a tariff by which some stays of a few minutes are free and most are not.
pub fn declare(seed: u64) -> Declared {
    let mut declared = city(seed, Moment(0)).declared().clone();
    let table = RateTable {
        id: "load".into(),
        version: 1,
        currency: Currency::Cny,
        free_min: 2,
        steps: vec![RateStep { to_min: None, unit_min: 60, price: 500 }],
        ..RateTable::default()
    };
    for lot in &mut declared.lots {
        lot.capacity = 1_000_000;
        lot.rate_table = Some(table.id.clone());
    }
    declared.rate_tables = vec![table];
    declared
}

/// A message, and when it is sent: microseconds from the beginning.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Microseconds from the beginning.
    pub offset_us: u64,
    /// What is sent.
    pub action: Action,
}

/// A car that is inside.
struct Inside<'a> {
    visit: u64,
    lot: &'a LotDeclared,
    credential: Credential,
}

/// What one plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The seed.
    pub seed: u64,
    /// Messages in a second.
    pub rate: f64,
    /// For how long.
    pub seconds: u64,
    /// The broker's time at the beginning.
    pub base: Moment,
    /// The number of the first visit, so that no two plans share an id.
    pub first_visit: u64,
}

/// Makes the plan.
///
/// Everything is seen within the last minutes of the broker's time, as on an ordinary day; a car's entry is up to eight minutes old when
/// it is sent, so that a run of a minute has stays that cost something.
pub fn plan(declared: &Declared, asked: Asked) -> Vec<Planned> {
    let city = city(asked.seed, Moment(0));
    let mut dice = ChaCha12Rng::seed_from_u64(asked.seed ^ asked.first_visit);
    let gap = Exp::new(asked.rate / 1e6).expect("a rate is above 0");
    let rank = Zipf::new(f64::from(u32::try_from(declared.lots.len()).unwrap_or(u32::MAX)), ZIPF).expect("there are lots");
    let mut planned: Vec<Planned> = Vec::new();
    // Cars by the moment from which they may leave.
    let mut inside: BTreeMap<(u64, u64), Inside> = BTreeMap::new();
    let mut recent: VecDeque<Action> = VecDeque::new();
    let (mut at_us, mut visit) = (0, asked.first_visit);
    loop {
        at_us += whole(gap.sample(&mut dice)) + 1;
        if at_us >= asked.seconds * 1_000_000 {
            return planned;
        }
        let now = asked.base.plus(i64::try_from(at_us).unwrap_or(i64::MAX));
        let drawn = dice.random_range(0..100);
        if drawn < PERCENT && !recent.is_empty() {
            let original = recent[dice.random_range(0..recent.len())].clone();
            planned.push(Planned { offset_us: at_us, action: Action { copy: 1, send_at: now, ..original } });
            continue;
        }
        let leaves = drawn % 2 == 0 && inside.first_key_value().is_some_and(|((ready, _), _)| *ready <= at_us);
        let leaving = if leaves { inside.pop_first() } else { None };
        let action = if let Some((_, car)) = leaving {
            let lane = car.lot.lanes[1].lane;
            let event = seen(car.visit, 'x', "plain", car.lot, lane, now, &car.credential);
            Action { send_at: now, visit: car.visit, step: Step::Exit, copy: 0, event, says: None }
        } else {
            visit += 1;
            let lot = &declared.lots[usize::try_from(whole(rank.sample(&mut dice))).unwrap_or(1).clamp(1, declared.lots.len()) - 1];
            let credential = if dice.random_range(0..100) < HOLDERS_PERCENT {
                city.holder(dice.random_range(0..u32::MAX))
            } else {
                Credential::plate(&format!("粤L{visit:07}"), Colour::Green)
            };
            let late = (PERCENT..2 * PERCENT).contains(&drawn);
            let age = if late { dice.random_range(15..180) * MINUTE } else { dice.random_range(0..480) * SECOND };
            let fate = if late { "late_entry" } else { "plain" };
            let event = seen(visit, 'e', fate, lot, lot.lanes[0].lane, now.plus(-age), &credential);
            if !late {
                let ready = at_us + dice.random_range(500_000..3_000_000);
                inside.insert((ready, visit), Inside { visit, lot, credential });
            }
            Action { send_at: now, visit, step: Step::Entry, copy: 0, event, says: None }
        };
        if action.is_live() {
            recent.push_back(action.clone());
        }
        if recent.len() > 200 {
            recent.pop_front();
        }
        planned.push(Planned { offset_us: at_us, action });
    }
}

fn seen(visit: u64, letter: char, fate: &str, lot: &LotDeclared, lane: schema::LaneId, seen_at: Moment, credential: &Credential) -> GateEvent {
    let payer = match visit % 100 {
        7 => "twice",
        8 => "repeated",
        _ => "once",
    };
    let id = format!("{visit}-{letter}-{fate}-{payer}").parse().expect("digits and words are a token");
    let kind = if letter == 'e' { GateKind::Entry } else { GateKind::Exit };
    GateEvent { id, lot: lot.lot, lane, kind, seen_at, credential: credential.clone(), class: None, energy: None, confidence: None, decided: None }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an interval or a rank, far below 2^53 and above 0")]
fn whole(drawn: f64) -> u64 {
    drawn.clamp(0.0, 4e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute() -> Vec<Planned> {
        let asked = Asked { seed: 1, rate: 600.0, seconds: 60, base: Moment(1_795_399_200_000_000), first_visit: 0 };
        plan(&declare(1), asked)
    }

    #[test]
    fn a_plan_keeps_its_rate() {
        let plan = minute();
        assert!((35_000..37_000).contains(&plan.len()), "{}", plan.len());
        assert!(plan.windows(2).all(|two| two[0].offset_us < two[1].offset_us));
        let exits = plan.iter().filter(|planned| planned.action.step == Step::Exit).count();
        assert!((15_000..19_000).contains(&exits), "{exits}");
    }

    #[test]
    fn a_plan_has_copies_and_late_events() {
        let plan = minute();
        let copies = plan.iter().filter(|planned| planned.action.copy > 0).count();
        let late = plan.iter().filter(|planned| planned.action.is_late()).count();
        assert!((250..500).contains(&copies) && (250..500).contains(&late), "{copies} copies, {late} late");
    }
}
