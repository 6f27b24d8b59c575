//! A city made from a seed: its lots and tariffs, and who parks where, when and how they pay.
//!
//! Invariants
//! 1. The same seed gives the same city and the same plan   (`tests::the_same_seed_gives_the_same_city`).
//! 2. An event's id tells what shall become of it, so that nobody has to remember   (`tests::an_id_tells_its_fate`).
//! 3. A plan is in the order in which it is sent   (`tests::a_plan_is_in_order`).
//!
//! Not here: sending it (`world`).

pub mod booths;
mod fate;
mod fleet;
mod lots;
mod plan;

pub use fate::{Fate, Mix, Payer};
pub use plan::{Action, Plan, Step};

use schema::{Credential, DeskEvent, Moment, reference::Declared, time::DAY};

/// What a city is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The seed of everything.
    pub seed: u64,
    /// How many lots.
    pub lots: usize,
    /// The first moment at which a car may come.
    pub from: Moment,
    /// The moment from which on no car comes.
    pub until: Moment,
    /// How many cars come at most.
    pub visits_max: u64,
    /// How many cars come in an hour of event time, on average over a day.
    pub visits_per_hour: f64,
    /// How long a car stays, on average, in minutes.
    pub stay_mean_min: f64,
    /// Whether arrivals follow the hours of a day, or come evenly.
    pub rush_hours: bool,
    /// Whether some lots are too small, closed or without a tariff.
    pub odd_lots: bool,
    /// How often what goes wrong.
    pub mix: Mix,
    /// How many cars hold a monthly pass, two of them one pass for one car; and how many are banned.
    pub fleet: Fleet,
}

impl Shape {
    /// The city of the demo: 700 lots, and everything that can happen to an event happens.
    pub fn demo(seed: u64, from: Moment) -> Self {
        Self {
            seed,
            lots: 700,
            from,
            until: from.plus(365 * DAY),
            visits_max: u64::MAX,
            visits_per_hour: 900.0,
            stay_mean_min: 90.0,
            rush_hours: true,
            odd_lots: true,
            mix: Mix::demo(),
            fleet: Fleet { holders: 400, banned: 40, holders_per_mille: 150, banned_per_mille: 5 },
        }
    }

    /// Sets how often one thing happens, as `NAME=PER_MILLE`: a fate or a payer by its word, `holders` (visits by cars with a pass) or `banned`.
    pub fn share(&mut self, text: &str) -> Result<(), String> {
        let (word, number) = text.split_once('=').ok_or_else(|| format!("{text}: write a share as NAME=PER_MILLE, as prepays=150"))?;
        let per_mille = number.parse().ok().filter(|number| *number <= 1_000);
        let per_mille: u32 = per_mille.ok_or_else(|| format!("{text}: a share is 0 to 1000 of a thousand visits"))?;
        match word {
            "holders" => self.fleet.holders_per_mille = per_mille,
            "banned" => self.fleet.banned_per_mille = per_mille,
            _ => return self.mix.set(word, per_mille),
        }
        Ok(())
    }

    /// A town small enough for one run of a simulation: a few lots, all of them odd, and a hundred visits.
    pub fn tiny(seed: u64, from: Moment) -> Self {
        Self {
            lots: 6,
            visits_max: 100,
            visits_per_hour: 120.0,
            rush_hours: false,
            mix: Mix::rough(),
            fleet: Fleet { holders: 10, banned: 3, holders_per_mille: 200, banned_per_mille: 50 },
            ..Self::demo(seed, from)
        }
    }
}

/// The cars of which something is known beforehand, and how many of a thousand visits are theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// How many cars hold a pass, an even number: two cars share one, and it lets in one at a time.
    pub holders: u32,
    /// How many cars are banned everywhere.
    pub banned: u32,
    /// Of a thousand visits, so many are by holders.
    pub holders_per_mille: u32,
    /// Of a thousand visits, so many are by banned cars.
    pub banned_per_mille: u32,
}

/// A city.
#[derive(Clone, Debug)]
pub struct City {
    shape: Shape,
    declared: Declared,
}

impl City {
    /// Builds it.
    pub fn new(shape: Shape) -> Self {
        let declared = lots::declare(&shape);
        Self { shape, declared }
    }

    /// What it is made from.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its reference data.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// What is said at its desks before the first car comes: the passes and bans of its fleet, and, where somebody pays at booths, that their shifts
    /// begin.
    pub fn said(&self) -> Vec<DeskEvent> {
        let mut said = fleet::said(self);
        if self.has_booths() {
            said.extend(self.shifts());
        }
        said
    }

    /// Whether somebody pays at a booth.
    pub fn has_booths(&self) -> bool {
        self.shape.mix.has_booths()
    }

    /// What cashiers say when their shifts begin, one at each lot.
    pub fn shifts(&self) -> Vec<DeskEvent> {
        booths::opened(self)
    }

    /// A holder of a pass, by its number in the fleet.
    pub fn holder(&self, number: u32) -> Credential {
        fleet::holder(number % self.shape.fleet.holders.max(1))
    }

    /// A banned car, by its number in the fleet.
    pub fn banned(&self, number: u32) -> Credential {
        fleet::banned(number % self.shape.fleet.banned.max(1))
    }

    /// Everything that its devices send, in the order in which they do; made as it is asked for.
    pub fn plan(&self) -> Plan<'_> {
        Plan::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{
        Reference,
        reference::Policy::{self, Allow, Ask, Refuse},
        time::MINUTE,
    };
    use std::collections::BTreeSet;

    const FROM: Moment = Moment(1_795_399_200_000_000);

    #[test]
    fn the_same_seed_gives_the_same_city() {
        let [one, same, other] = [7, 7, 8].map(|seed| City::new(Shape::tiny(seed, FROM)));
        assert_eq!(one.declared(), same.declared());
        let plans: [Vec<Action>; 3] = [one, same, other].each_ref().map(|city| city.plan().collect());
        assert_eq!(plans[0], plans[1]);
        assert_ne!(plans[0], plans[2]);
    }

    #[test]
    fn a_city_is_whole_and_as_large_as_asked() {
        let city = City::new(Shape::demo(1, FROM));
        assert_eq!(city.declared().lots.len(), 700);
        assert!(city.declared().lots.iter().all(|lot| (2..=3).contains(&lot.lanes.len())));
        Reference::resolve(city.declared().clone()).expect("a city resolves");
    }

    #[test]
    fn a_share_of_the_lots_minds_debts() {
        for odd_lots in [true, false] {
            let city = City::new(Shape { odd_lots, ..Shape::demo(1, FROM) });
            let count = |policy: Policy| city.declared().lots.iter().filter(|lot| lot.policies.arrears == policy).count();
            assert_eq!([Refuse, Ask, Allow].map(count), [140, 140, 420]);
        }
    }

    #[test]
    fn who_owes_comes_again_to_a_lot_that_minds() {
        let city = City::new(Shape { visits_max: 3_000, ..Shape::demo(3, FROM) });
        let minds = |action: &Action| city.declared().lots.iter().any(|lot| lot.lot == action.event.lot && lot.policies.arrears != Allow);
        let left_unpaid = city.plan().filter(|action| action.step == Step::Exit && action.event.decided.is_some());
        let owe: BTreeSet<u64> = left_unpaid.map(|action| action.visit).collect();
        let again: Vec<Action> = city.plan().filter(|action| action.event.id.as_str().contains("-b-")).collect();
        assert!(again.len() > 10, "{} come again", again.len());
        assert!(again.iter().all(|action| action.is_live() && minds(action)), "a lane that minds is asked");
        assert_eq!(again.iter().map(|action| action.visit).collect::<BTreeSet<u64>>(), owe);
    }

    #[test]
    fn who_settles_a_debt_comes_twice_to_a_lot_that_minds() {
        let city = City::new(Shape { visits_max: 3_000, ..Shape::demo(3, FROM) });
        let minds = |action: &Action| city.declared().lots.iter().any(|lot| lot.lot == action.event.lot && lot.policies.arrears != Allow);
        let with = |letter: &str| -> Vec<Action> { city.plan().filter(|action| action.event.id.as_str().contains(letter)).collect() };
        let (owing, again) = (with("-o-"), with("-c-"));
        let visits = |actions: &[Action]| actions.iter().map(|action| action.visit).collect::<BTreeSet<u64>>();
        assert!(owing.len() > 10 && visits(&owing) == visits(&again), "{} and {}", owing.len(), again.len());
        assert!(owing.iter().chain(&again).all(|action| action.is_live() && minds(action) && Payer::from(action) == Payer::SettlesDebt));
        assert!(again.iter().all(|action| action.step == Step::Returns), "only who was turned away comes once more");
        let leaves = [with("-w-"), with("-z-")].concat();
        assert!(leaves.len() == 2 * owing.len() && leaves.iter().all(|action| action.step == Step::Exit));
    }

    #[test]
    fn a_share_is_set_by_its_word() {
        let mut shape = Shape { mix: Mix::smooth(), fleet: Fleet::default(), visits_max: 2_000, ..Shape::demo(3, FROM) };
        for (text, wrong) in [
            ("prepays=400", ""),
            ("prepays=500", ""),
            ("twice=100", ""),
            ("cash=40", ""),
            ("settles_debt=860", ""),
            ("split=1", "more than a thousand"),
            ("split=0", ""),
            ("holders=7", ""),
            ("coupon=501", "more than a thousand"),
            ("coupon=500", ""),
            ("rain=1", "it is one of again, late_entry"),
            ("banned=1001", "0 to 1000"),
            ("banned", "NAME=PER_MILLE"),
        ] {
            let said = shape.share(text).err().unwrap_or_default();
            assert!(said.contains(wrong) && said.is_empty() == wrong.is_empty(), "{text}: {said}");
        }
        let fates: Vec<Fate> = City::new(shape).plan().map(|action| action.fate()).collect();
        assert!(fates.iter().all(|fate| matches!(fate, Fate::Prepays | Fate::Coupon)), "half of them each");
    }

    #[test]
    fn a_plan_is_in_order() {
        let city = City::new(Shape { visits_max: 3_000, ..Shape::demo(3, FROM) });
        let plan: Vec<Action> = city.plan().collect();
        assert!(plan.windows(2).all(|two| two[0].send_at <= two[1].send_at));
        assert!(plan.len() > 5_500, "{}", plan.len());
        let hours = plan.iter().filter(|action| action.step == Step::Entry && action.send_at < FROM.plus(60 * MINUTE)).count();
        assert!((200..1_800).contains(&hours), "{hours} cars in the first hour");
    }

    #[test]
    fn an_id_tells_its_fate() {
        let city = City::new(Shape { visits_max: 3_000, ..Shape::demo(3, FROM) });
        let mut fates = BTreeSet::new();
        let mut payers = BTreeSet::new();
        for action in city.plan() {
            fates.insert(Fate::of(&action.event.id).expect("an id of the plan tells its fate"));
            payers.insert(Payer::of(&action.event.id).expect("an id of the plan tells how it is paid"));
        }
        assert_eq!(fates, Fate::ALL.into_iter().collect());
        assert_eq!(payers, Payer::ALL.into_iter().collect());
    }
}
