//! The lots of a city: few large ones, many small ones, spread over provinces.
//!
//! Invariants
//! 1. What is declared resolves   (`city::tests::a_city_is_whole_and_as_large_as_asked`).
//! 2. Some lots let in nobody who owes, in every city   (`city::tests::a_share_of_the_lots_minds_debts`).

use super::Shape;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use schema::{
    Currency, LotId,
    id::Province,
    rate::ValidationRules,
    reference::{Declared, Deducts, Direction, LaneDeclared, LotDeclared, Passback, Policies, Policy, RateTable, Step},
};

/// How steeply popularity falls with rank.
pub(super) const ZIPF: f64 = 0.9;

/// Provinces with how many of 100 lots lie there (GB/T 2260): Guangdong, Jiangsu, Zhejiang, Shanghai, Beijing, Sichuan, Hubei, Shaanxi, Fujian.
const PROVINCES: [(u8, u32); 9] = [(44, 26), (32, 16), (33, 14), (31, 12), (11, 10), (51, 8), (42, 6), (61, 4), (35, 4)];

/// The share of visits that each lot gets, by rank; they sum to 1.
pub(super) fn shares(lots: usize) -> Vec<f64> {
    let weights: Vec<f64> = (1..=lots).map(|rank| 1.0 / rank_weight(rank)).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

fn rank_weight(rank: usize) -> f64 {
    f64::from(u32::try_from(rank).unwrap_or(u32::MAX)).powf(ZIPF)
}

/// The name of the lot of a rank.
pub(super) fn name(rank: usize) -> LotId {
    format!("lot-{:04}", rank + 1).parse().expect("letters and digits are a token")
}

/// A lane in, or a lane out.
fn one_way(name: &str) -> LaneDeclared {
    let direction = if name == "in" { Direction::In } else { Direction::Out };
    LaneDeclared { direction, ..LaneDeclared::named(name.parse().expect("letters and digits are a token")) }
}

pub(super) fn declare(shape: &Shape) -> Declared {
    let mut dice = ChaCha12Rng::seed_from_u64(shape.seed);
    let tables = rate_tables();
    let lots = shares(shape.lots)
        .into_iter()
        .enumerate()
        .map(|(rank, share)| {
            let lanes = ["in", "out", "out-2"].iter().take(dice.random_range(2..=3));
            let odd = |every: usize| shape.odd_lots && rank % every == every - 1;
            // Room for twice as many cars as are there on average; too little at an odd lot.
            let present = shape.visits_per_hour * share * shape.stay_mean_min / 60.0;
            let capacity = if odd(25) || odd(4) && shape.lots < 25 { present * 0.7 } else { present * 2.5 + 6.0 };
            let inside = match (odd(7), odd(11)) {
                (true, _) => Passback::Close,
                (false, true) => Passback::Flag,
                (false, false) => Passback::Refuse,
            };
            // Large ones too, and where no lot is odd: what a check costs shows only where it is asked.
            let arrears = match rank % 5 {
                0 => Policy::Refuse,
                1 => Policy::Ask,
                _ => Policy::Allow,
            };
            LotDeclared {
                province: province(&mut dice),
                zone: "Asia/Shanghai".into(),
                capacity: whole(capacity).max(2),
                open: !(odd(100) || odd(5) && shape.lots < 25),
                rate_table: (!(odd(240) || odd(6) && shape.lots < 25)).then(|| tables[rank % tables.len()].id.clone()),
                lanes: lanes.map(|lane| LaneDeclared { sensor: odd(3) && *lane == "in", ..one_way(lane) }).collect(),
                pass_within_s: if shape.lots < 25 { 30 } else { 120 },
                deducts: (odd(8) || odd(3) && shape.lots < 25)
                    .then(|| Deducts { channel: "wechat".parse().expect("letters are a token"), free_min: 15 }),
                policies: Policies { inside, arrears, double_read_s: if odd(3) { 6 } else { 0 }, ..Policies::default() },
                ..LotDeclared::named(name(rank))
            }
        })
        .collect();
    Declared { lots, rate_tables: tables, ..Declared::default() }
}

#[expect(clippy::cast_possible_truncation, reason = "a number of spaces, far below 2^53")]
fn whole(spaces: f64) -> i64 {
    spaces.ceil() as i64
}

fn province(dice: &mut ChaCha12Rng) -> Province {
    let mut drawn = dice.random_range(0..100);
    for (province, weight) in PROVINCES {
        if drawn < weight {
            return Province(province);
        }
        drawn -= weight;
    }
    Province(PROVINCES[0].0)
}

fn rate_tables() -> Vec<RateTable> {
    let table = |id: &str, free_min, steps: &[(Option<i64>, i64, i64)], cap_per_24h| RateTable {
        id: id.into(),
        version: 1,
        currency: Currency::Cny,
        free_min,
        steps: steps.iter().map(|&(to_min, unit_min, price)| Step { to_min, unit_min, price }).collect(),
        cap_per_24h,
        lost_ticket: (id != "office").then_some(5_000),
        validations: ValidationRules { per_vehicle_day: (id == "mall").then_some(1), ..ValidationRules::default() },
        ..RateTable::default()
    };
    vec![
        table("street", 15, &[(Some(60), 15, 250), (None, 15, 375)], Some(6_000)),
        table("mall", 30, &[(Some(120), 60, 500), (None, 60, 800)], Some(5_000)),
        table("station", 10, &[(Some(30), 30, 500), (Some(120), 30, 400), (None, 60, 1_000)], Some(8_000)),
        table("office", 0, &[(None, 60, 600)], None),
        table("hospital", 60, &[(Some(240), 30, 100), (None, 60, 300)], Some(2_000)),
    ]
}
