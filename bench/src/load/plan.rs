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
    Credential, Currency, GateEvent, GateKind, Moment, Verdict,
    desk::Says,
    gate::Colour,
    rate::{Validation, ValidationKind},
    reference::{Declared, LotDeclared, RateTable, Step as RateStep},
    time::{MINUTE, SECOND},
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

/// How many lots there are.
const LOTS: usize = 700;
/// How steeply popularity falls with rank.
pub const ZIPF: f64 = 0.9;
/// Of a hundred messages, so many are copies, and so many late.
const PERCENT: u32 = 1;

/// Of a thousand visits, how many are what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// By cars that hold a pass.
    pub holders: u32,
    /// By banned cars.
    pub banned: u32,
    /// Paid at a pay station before the exit.
    pub prepays: u32,
    /// With a merchant's coupon.
    pub coupon: u32,
    /// Let out by a lane that had no answer, and so in arrears until they are paid.
    pub by_itself: u32,
    /// Paid in cash, at a booth.
    pub cash: u32,
    /// Paid by points, cash and phone together.
    pub split: u32,
    /// Paid by a debit that fails once the car has gone, and paid again later.
    pub settles_debt: u32,
}

impl Default for Shares {
    fn default() -> Self {
        Self { holders: 150, banned: 5, prepays: 100, coupon: 50, by_itself: 5, cash: 30, split: 10, settles_debt: 5 }
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { holders, banned, prepays, coupon, by_itself, cash, split, settles_debt } = self;
        write!(f, "holders={holders} banned={banned} prepays={prepays} coupon={coupon} by_itself={by_itself} ")?;
        write!(f, "cash={cash} split={split} settles_debt={settles_debt}")
    }
}

impl Shares {
    /// The ordinary ones, but for those that are named, as `NAME=PER_MILLE`.
    pub fn of(texts: &[String]) -> Result<Self, String> {
        let mut shares = Self::default();
        for text in texts {
            let (name, number) = text.split_once('=').ok_or_else(|| format!("{text}: write a share as NAME=PER_MILLE"))?;
            let per_mille = number.parse().ok().filter(|number| *number <= 1_000);
            let per_mille = per_mille.ok_or_else(|| format!("{text}: a share is 0 to 1000 of a thousand visits"))?;
            let share = match name {
                "holders" => &mut shares.holders,
                "banned" => &mut shares.banned,
                "prepays" => &mut shares.prepays,
                "coupon" => &mut shares.coupon,
                "by_itself" => &mut shares.by_itself,
                "cash" => &mut shares.cash,
                "split" => &mut shares.split,
                "settles_debt" => &mut shares.settles_debt,
                _ => return Err(format!("no share is called {name}: there are {}", Self::default())),
            };
            *share = per_mille;
        }
        Ok(shares)
    }

    /// Whether somebody pays at a booth.
    pub fn has_booths(self) -> bool {
        self.cash + self.split > 0
    }

    /// How a visit is paid: the same whenever it is asked, and evenly spread.
    fn payer(self, visit: u64) -> &'static str {
        let drawn = u32::try_from(visit.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).unwrap_or_default() % 1_000;
        match visit % 100 {
            7 => "twice",
            8 => "repeated",
            _ if drawn < self.cash => "cash",
            _ if drawn < self.cash + self.split => "split",
            _ if drawn < self.cash + self.split + self.settles_debt => "settles_debt",
            _ => "once",
        }
    }
}

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
    asks: bool,
    coupon: bool,
}

/// What one plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The seed.
    pub seed: u64,
    /// Gate events in a second; what is said at desks comes beside them.
    pub rate: f64,
    /// For how long.
    pub seconds: u64,
    /// The broker's time at the beginning.
    pub base: Moment,
    /// The number of the first visit, so that no two plans share an id.
    pub first_visit: u64,
    /// How many visits are what.
    pub shares: Shares,
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
    let (mut at_us, mut visit, mut beside) = (0, asked.first_visit, false);
    loop {
        at_us += if beside { 1 } else { whole(gap.sample(&mut dice)) + 1 };
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
            let (visit, step) = (car.visit, if car.asks || car.coupon { Step::Alone } else { Step::Exit });
            let letter = if car.coupon {
                'd'
            } else if car.asks {
                'p'
            } else {
                'x'
            };
            let mut event = seen(visit, letter, ("plain", asked.shares.payer(visit)), car.lot, lane, now, &car.credential);
            let says = car.coupon.then(|| Box::new(coupon(visit, &car.credential)));
            if step == Step::Exit && dice.random_range(0..1_000) < asked.shares.by_itself {
                event.decided = Some(Verdict::Open);
            }
            if step == Step::Alone {
                // First the coupon, then the pay station, then the exit, each some time after the one before.
                let ready = at_us + dice.random_range(1_500_000..3_000_000);
                inside.insert((ready, visit), Inside { asks: car.asks && car.coupon, coupon: false, ..car });
            }
            Action { send_at: now, visit, step, copy: 0, event, says }
        } else {
            visit += 1;
            let lot = &declared.lots[usize::try_from(whole(rank.sample(&mut dice))).unwrap_or(1).clamp(1, declared.lots.len()) - 1];
            let Shares { holders, banned, .. } = asked.shares;
            let credential = match dice.random_range(0..1_000) {
                number if number < holders => city.holder(dice.random_range(0..u32::MAX)),
                number if number < holders + banned => city.banned(dice.random_range(0..u32::MAX)),
                _ => Credential::plate(&format!("粤L{visit:07}"), Colour::Green),
            };
            let late = (PERCENT..2 * PERCENT).contains(&drawn);
            let age = if late { dice.random_range(15..180) * MINUTE } else { dice.random_range(0..480) * SECOND };
            let fate = if late { "late_entry" } else { "plain" };
            let event = seen(visit, 'e', (fate, asked.shares.payer(visit)), lot, lot.lanes[0].lane, now.plus(-age), &credential);
            if !late {
                let ready = at_us + dice.random_range(500_000..3_000_000);
                let [asks, coupon] = [asked.shares.prepays, asked.shares.coupon].map(|share| dice.random_range(0..1_000) < share);
                inside.insert((ready, visit), Inside { visit, lot, credential, asks, coupon });
            }
            Action { send_at: now, visit, step: Step::Entry, copy: 0, event, says: None }
        };
        if action.is_live() {
            recent.push_back(action.clone());
        }
        if recent.len() > 200 {
            recent.pop_front();
        }
        beside = action.says.is_some();
        planned.push(Planned { offset_us: at_us, action });
    }
}

/// What a device saw. Its id tells what happens, and who pays how.
pub fn seen(
    visit: u64,
    letter: char,
    (fate, payer): (&str, &str),
    lot: &LotDeclared,
    lane: schema::LaneId,
    seen_at: Moment,
    credential: &Credential,
) -> GateEvent {
    let id = format!("{visit}-{letter}-{fate}-{payer}").parse().expect("digits and words are a token");
    let kind = match letter {
        'e' => GateKind::Entry,
        'p' => GateKind::Price,
        _ => GateKind::Exit,
    };
    GateEvent { id, lot: lot.lot, lane, kind, seen_at, credential: credential.clone(), class: None, energy: None, confidence: None, decided: None }
}

fn coupon(visit: u64, who: &Credential) -> Says {
    let kind = ValidationKind::AmountOff { amount: 200 };
    Says::Validated { who: who.clone(), validation: Validation { id: format!("v-{visit}").into(), bearer: "cinema".into(), kind, over: false } }
}

/// A drawn number as a whole one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an interval or a rank, far below 2^53 and above 0")]
pub fn whole(drawn: f64) -> u64 {
    drawn.clamp(0.0, 4e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute() -> Vec<Planned> {
        let asked = Asked { seed: 1, rate: 600.0, seconds: 60, base: Moment(1_795_399_200_000_000), first_visit: 0, shares: Shares::default() };
        plan(&declare(1), asked)
    }

    #[test]
    fn a_plan_keeps_its_rate() {
        let plan = minute();
        let gate_events = plan.iter().filter(|planned| planned.action.says.is_none()).count();
        assert!((35_500..36_500).contains(&gate_events), "{gate_events}");
        assert!(plan.windows(2).all(|two| two[0].offset_us < two[1].offset_us));
        let exits = plan.iter().filter(|planned| planned.action.step == Step::Exit).count();
        assert!((15_000..19_000).contains(&exits), "{exits}");
    }

    #[test]
    fn so_many_pay_at_booths_as_were_asked_for() {
        let asked = Shares { cash: 300, split: 100, settles_debt: 50, ..Shares::default() };
        let count = |wanted: &str| (0..10_000).filter(|visit| asked.payer(*visit) == wanted).count();
        let counts = ["cash", "split", "settles_debt", "twice"].map(count);
        assert!((2_700..3_200).contains(&counts[0]) && (850..1_100).contains(&counts[1]), "{counts:?}");
        assert!((400..600).contains(&counts[2]) && counts[3] == 100, "{counts:?}");
        assert!(asked.has_booths() && !Shares { cash: 0, split: 0, ..asked }.has_booths());
    }

    #[test]
    fn a_share_is_read_by_its_name() {
        let shares = |texts: &[&str]| Shares::of(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(shares(&["prepays=0", "coupon=7"]), Ok(Shares { prepays: 0, coupon: 7, ..Shares::default() }));
        for wrong in ["rain=1", "coupon", "coupon=1001", "coupon=x"] {
            assert!(shares(&[wrong]).is_err_and(|said| said.contains(wrong) || said.contains("no share is called rain")), "{wrong}");
        }
    }

    #[test]
    fn a_plan_has_the_shares_that_were_asked_for() {
        let plan = minute();
        let visits = plan.iter().filter(|planned| planned.action.step == Step::Entry).count();
        let count =
            |wanted: fn(&Action) -> bool| plan.iter().filter(|planned| planned.action.copy == 0 && wanted(&planned.action)).count() * 1_000 / visits;
        let shares = [
            count(|action| action.event.kind == GateKind::Price && action.says.is_none()),
            count(|action| action.says.is_some()),
            count(|action| action.event.decided.is_some()),
        ];
        assert!((70..110).contains(&shares[0]) && (35..60).contains(&shares[1]) && (2..9).contains(&shares[2]), "{shares:?}");
    }

    #[test]
    fn a_plan_has_copies_and_late_events() {
        let plan = minute();
        let copies = plan.iter().filter(|planned| planned.action.copy > 0).count();
        let late = plan.iter().filter(|planned| planned.action.is_late()).count();
        assert!((250..500).contains(&copies) && (250..500).contains(&late), "{copies} copies, {late} late");
    }
}
