//! What holds for every tariff and every stay.

use super::{oracle::slow_price, *};
use proptest::prelude::*;
use schema::rate::{Boundary, Calendar, Cap, CapPer, Charged, DAY_MIN, Date, DayKind, Hours, RateLineType, Restart, RoundingMode};

/// Zones whose clocks are set at two, by half an hour, at midnight, or never.
const ZONES: [&str; 5] = ["Asia/Shanghai", "America/Los_Angeles", "Australia/Lord_Howe", "America/Havana", "+11:00"];

fn any_line() -> impl Strategy<Value = RateLine> {
    let kind = prop_oneof![4 => Just(RateLineType::IncrementingRate), 1 => Just(RateLineType::FlatRate)];
    let bounds = (prop::option::weighted(0.2, 0..3_000_i64), prop::option::weighted(0.2, 0..6_000_i64));
    (kind, 1..240_i64, 0..2_000_i64, any::<bool>(), bounds).prop_map(|(kind, unit_min, price, is_complete, (min_value, most))| {
        let charged = if is_complete { Charged::Complete } else { Charged::Started };
        if kind == RateLineType::FlatRate {
            return RateLine { kind, price, charged, ..RateLine::default() };
        }
        let max_value = most.map(|most| most.max(min_value.unwrap_or(0)));
        RateLine { kind, unit_min, price, charged, min_value, max_value, ..RateLine::default() }
    })
}

/// Lines of which so many at first are tiers, each dearer than the one before.
fn with_tiers(lines: Vec<RateLine>, tiers: usize) -> Vec<RateLine> {
    let mut in_all = 0;
    let tier = |(at, line): (usize, RateLine)| {
        in_all += line.price;
        let kind = RateLineType::FlatRateTier;
        if at < tiers { RateLine { kind, to_min: line.to_min, price: in_all, ..RateLine::default() } } else { line }
    };
    lines.into_iter().enumerate().map(tier).collect()
}

prop_compose! {
    fn any_lines()(
        ends in prop::collection::btree_set(1..1_440_i64, 0..3),
        lines in prop::collection::vec(any_line(), 4),
        tiers in prop_oneof![2 => Just(0_usize), 1 => 1..4_usize],
    ) -> Vec<RateLine> {
        let ends = ends.into_iter().map(Some).chain([None]);
        with_tiers(ends.zip(lines).map(|(to_min, line)| RateLine { to_min, ..line }).collect(), tiers)
    }
}

prop_compose! {
    fn any_collection()(lines in any_lines(), cap in prop::option::weighted(0.3, 0..6_000_i64)) -> RateLineCollection {
        RateLineCollection { lines, cap, ..RateLineCollection::default() }
    }
}

/// Collections that cover each day: one or several bands, and on days off the same, or others.
fn any_day() -> impl Strategy<Value = Vec<RateLineCollection>> {
    let bands = (prop::collection::btree_set(0..1_440_u16, 0..4), prop::collection::vec(any_collection(), 4), any_collection(), any::<bool>());
    bands.prop_map(|(starts, collections, day_off, has_day_off)| {
        let starts: Vec<_> = starts.into_iter().collect();
        let mut day = Vec::new();
        for (at, collection) in collections.into_iter().take(starts.len().max(1)).enumerate() {
            let hours = (starts.len() > 1).then(|| Hours { from: starts[at], to: starts[(at + 1) % starts.len()] });
            let days = if has_day_off { vec![DayKind::Workday] } else { Vec::new() };
            day.push(RateLineCollection { hours, days, ..collection });
        }
        if has_day_off {
            day.push(RateLineCollection { days: vec![DayKind::Weekend, DayKind::Holiday], ..day_off });
        }
        day
    })
}

prop_compose! {
    fn any_cap()(is_24h in any::<bool>(), amounts in prop::collection::vec(0..20_000_i64, 1..4)) -> Cap {
        Cap { per: if is_24h { CapPer::Each24h } else { CapPer::EachDay }, amounts }
    }
}

prop_compose! {
    fn any_terms()(
        collections in any_day(),
        (free_min, is_deducted) in (0..90_i64, any::<bool>()),
        restart in prop::sample::select(vec![Restart::Each24h, Restart::EachDay, Restart::EachBand, Restart::Never]),
        runs_over in any::<bool>(),
        full_24h in prop::option::weighted(0.2, 0..20_000_i64),
        cap in prop::option::of(any_cap()),
        cap_per_stay in prop::option::weighted(0.2, 1_000..60_000_i64),
        min_per_stay in prop_oneof![Just(0), 0..1_000_i64],
    ) -> Terms {
        let free = if is_deducted { Free::Deducted } else { Free::Threshold };
        let boundary = if runs_over { Boundary::RunsOver } else { Boundary::Cut };
        let full_24h = full_24h.filter(|_| cap.as_ref().is_none_or(|cap| cap.per == CapPer::Each24h));
        let name = "".into();
        let (classes, energies, max_stay_min) = (Vec::new(), Vec::new(), None);
        Terms { name, classes, energies, free_min, free, restart, boundary, full_24h, cap, cap_per_stay, min_per_stay, max_stay_min, collections }
    }
}

/// Some days around the nights on which clocks are set, and a holiday among them.
fn any_entry() -> impl Strategy<Value = Moment> {
    let nights = ["2026-03-06T00:00", "2026-04-03T00:00", "2026-10-02T00:00", "2026-10-30T00:00", "2026-11-23T00:00"];
    let night = prop::sample::select(nights.map(|night| night.parse::<LocalTime>().expect("a time").0).to_vec());
    (night, 0..3 * DAY_MIN * 60).prop_map(|(night, second)| Moment(night * MINUTE + second * schema::time::SECOND))
}

fn calendar() -> Calendar {
    let date = |text: &str| text.parse::<Date>().expect("a date");
    Calendar { name: "c".into(), holidays: vec![date("2026-10-05")], working: vec![date("2026-10-03"), date("2026-11-01")] }
}

fn table_of(terms: Terms) -> RateTable {
    RateTable { id: "t".into(), calendar: Some("c".into()), terms: vec![terms], ..RateTable::default() }
}

fn resolved(table: RateTable) -> Tariff {
    Tariff::resolve(&[Arc::new(table)], &[calendar()]).unwrap_or_else(|error| panic!("{error}"))
}

fn price(tariff: &Tariff, stay: Stay) -> i64 {
    quote(tariff, &stay).unwrap_or_else(|not_priced| panic!("{not_priced}")).total.minor
}

fn any_coupons() -> impl Strategy<Value = Vec<Validation>> {
    let kind = prop_oneof![
        1 => Just(ValidationKind::Free),
        3 => (0..300_i64).prop_map(|minutes| ValidationKind::FreeTime { minutes }),
        3 => (0..=100_u8).prop_map(|percent| ValidationKind::Percent { percent }),
        3 => (0..3_000_i64).prop_map(|amount| ValidationKind::AmountOff { amount }),
    ];
    prop::collection::vec(kind, 0..4).prop_map(|kinds| {
        let coupons = kinds.into_iter().enumerate();
        coupons.map(|(at, kind)| Validation { id: format!("c{at}").into(), bearer: "shop".into(), kind, over: false }).collect()
    })
}

fn any_rules() -> impl Strategy<Value = (schema::rate::ValidationRules, Rounding)> {
    use schema::rate::{FreeTimeFrom, Stacking, ValidationRules};
    let stacking = prop::sample::select(vec![Stacking::All, Stacking::Best, Stacking::None]);
    let mode = prop::sample::select(vec![RoundingMode::Down, RoundingMode::Up, RoundingMode::HalfUp, RoundingMode::HalfEven]);
    let most = (prop::option::of(0..4_u32), prop::option::of(0..5_000_i64), any::<bool>());
    (stacking, most, mode, prop::sample::select(vec![1, 10, 50, 100])).prop_map(|(stacking, (count_max, amount_max, is_start), mode, to)| {
        let free_time_from = if is_start { FreeTimeFrom::Start } else { FreeTimeFrom::End };
        (ValidationRules { stacking, count_max, amount_max, per_vehicle_day: None, free_time_from }, Rounding { to, mode })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_price_is_what_its_minutes_say(terms in any_terms(), entered_at in any_entry(), minutes in 0..6_000_i64, zone_name in prop::sample::select(&ZONES[..])) {
        let zone = zone(zone_name);
        let left_at = entered_at.plus(minutes * MINUTE);
        let slow = slow_price(&terms, &calendar(), &zone, entered_at, left_at);
        prop_assert_eq!(price(&resolved(table_of(terms)), Stay::new(entered_at, left_at, &zone)), slow);
    }

    #[test]
    fn the_lines_sum_to_the_total(terms in any_terms(), (validations, rounding) in any_rules(), coupons in any_coupons(), entered_at in any_entry(), minutes in 0..6_000_i64, paid in 0..4_000_i64) {
        let zone = zone("America/Los_Angeles");
        let tariff = resolved(RateTable { validations, rounding, ..table_of(terms) });
        let at = entered_at.plus(30 * MINUTE);
        let paid = [Prepaid { id: "p".into(), at, amount: Money::new(paid, Currency::Cny), until: at }];
        let right = [Segment { from: entered_at.plus(40 * MINUTE), until: entered_at.plus(700 * MINUTE), right: "pass".into() }];
        let stay = Stay { validations: &coupons, paid: &paid, segments: &right, grace_min: 15, ..Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone) };
        let quote = quote(&tariff, &stay).expect("a price");
        prop_assert_eq!(quote.lines.iter().map(|line| line.amount).sum::<i64>(), quote.total.minor);
        prop_assert!(quote.total.minor >= 0);
        let covers = |line: &&QuoteLine| matches!(line.what, LineKind::Free | LineKind::Step | LineKind::Flat | LineKind::Tier | LineKind::FullDay | LineKind::Right | LineKind::Grace);
        let mut covered: Vec<_> = quote.lines.iter().filter(covers).map(|line| (line.from_min, line.to_min)).collect();
        covered.dedup();
        prop_assert_eq!(covered.first().map(|line| line.0), Some(0));
        prop_assert!(covered.windows(2).all(|pair| pair[0].1 == pair[1].0), "a gap or an overlap: {:?}", covered);
        prop_assert_eq!(covered.last().map(|line| line.1), Some(minutes));
    }

    #[test]
    fn longer_never_costs_less(terms in any_terms(), entered_at in any_entry(), minutes in 0..5_000_i64, more in 0..500_i64, rules in any_rules()) {
        let zone = zone("Australia/Lord_Howe");
        let tariff = resolved(RateTable { rounding: rules.1, ..table_of(Terms { full_24h: None, ..terms }) });
        let cost = |minutes| price(&tariff, Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone));
        prop_assert!(cost(minutes) <= cost(minutes + more));
    }

    #[test]
    fn the_caps_hold(terms in any_terms(), entered_at in any_entry(), minutes in 0..6_000_i64) {
        let zone = zone("Asia/Shanghai");
        let cost = price(&resolved(table_of(terms.clone())), Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone));
        let least = |most: i64| most.max(terms.min_per_stay);
        if let Some(most) = terms.cap_per_stay {
            prop_assert!(cost <= least(most));
        }
        if let (Some(cap), None) = (&terms.cap, terms.full_24h) {
            let days = usize::try_from(minutes / DAY_MIN + if cap.per == CapPer::Each24h { 1 } else { 2 }).expect("days");
            let most = (0..days).map(|day| cap.amounts.get(day).or(cap.amounts.last()).expect("an amount")).sum();
            prop_assert!(cost <= least(most));
        }
    }

    #[test]
    fn a_tier_is_the_price_in_all(lines in any_lines(), entered_at in any_entry(), minutes in 1..6_000_i64) {
        let tiers = with_tiers(lines, 4);
        let expected = tiers.iter().find(|line| line.to_min.is_none_or(|to| minutes <= to)).expect("the last one has no end").price;
        let tariff = plain(Terms { restart: Restart::Never, ..Terms::default() }, tiers);
        let zone = zone("America/Havana");
        prop_assert_eq!(price(&tariff, Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone)), expected);
    }

    #[test]
    fn a_line_keeps_its_bounds(line in any_line(), entered_at in any_entry(), minutes in 0..6_000_i64) {
        let (least, most) = (line.min_value.unwrap_or(0), line.max_value.unwrap_or(i64::MAX));
        let tariff = plain(Terms { restart: Restart::Never, ..Terms::default() }, vec![line]);
        let zone = zone("America/Havana");
        let cost = price(&tariff, Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone));
        prop_assert!(cost == 0 || (least..=most).contains(&cost), "{} is not from {} to {}", cost, least, most);
    }

    #[test]
    fn a_prepayment_changes_no_sum(terms in any_terms(), (validations, rounding) in any_rules(), entered_at in any_entry(), first in 0..3_000_i64, more in 0..3_000_i64) {
        let zone = zone("Asia/Shanghai");
        let tariff = resolved(RateTable { validations, rounding, ..table_of(Terms { full_24h: None, ..terms }) });
        let paid_at = entered_at.plus(first * MINUTE);
        let (before, whole) = (Stay::new(entered_at, paid_at, &zone), Stay::new(entered_at, paid_at.plus(more * MINUTE), &zone));
        let amount = quote(&tariff, &before).expect("a price").total;
        let paid = [Prepaid { id: "p".into(), at: paid_at, amount, until: paid_at }];
        let after = price(&tariff, Stay { paid: &paid, grace_min: 15, ..whole });
        prop_assert_eq!(amount.minor + after, if more <= 15 { amount.minor } else { price(&tariff, whole) });
    }

    #[test]
    fn the_order_of_validations_is_defined(terms in any_terms(), (validations, rounding) in any_rules(), coupons in any_coupons(), entered_at in any_entry(), minutes in 0..3_000_i64) {
        let zone = zone("Asia/Shanghai");
        let tariff = resolved(RateTable { validations, rounding, ..table_of(terms) });
        let stay = Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone);
        let reversed: Vec<_> = coupons.iter().rev().cloned().collect();
        prop_assert_eq!(quote(&tariff, &Stay { validations: &coupons, ..stay }), quote(&tariff, &Stay { validations: &reversed, ..stay }));
    }

    #[test]
    fn validations_never_take_off_more_than_there_is(terms in any_terms(), (validations, rounding) in any_rules(), coupons in any_coupons(), entered_at in any_entry(), minutes in 0..3_000_i64) {
        let zone = zone("Asia/Shanghai");
        let tariff = resolved(RateTable { validations, rounding, ..table_of(terms) });
        let stay = Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone);
        let without = price(&tariff, stay);
        let quote = quote(&tariff, &Stay { validations: &coupons, ..stay }).expect("a price");
        let off: i64 = quote.lines.iter().filter(|line| line.bearer.is_some()).map(|line| -line.amount).sum();
        prop_assert!(0 <= quote.total.minor && quote.total.minor <= without);
        prop_assert!(off >= 0 && validations.amount_max.is_none_or(|most| off <= most));
    }

    #[test]
    fn a_validation_over_its_limit_changes_no_price(terms in any_terms(), (validations, rounding) in any_rules(), coupons in any_coupons(), over in prop::collection::vec(any::<bool>(), 4), entered_at in any_entry(), minutes in 0..3_000_i64) {
        let zone = zone("Asia/Shanghai");
        let tariff = resolved(RateTable { validations, rounding, ..table_of(terms) });
        let stay = Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone);
        let given: Vec<_> = coupons.into_iter().zip(over).map(|(coupon, over)| Validation { over, ..coupon }).collect();
        let within: Vec<_> = given.iter().filter(|coupon| !coupon.over).cloned().collect();
        prop_assert_eq!(price(&tariff, Stay { validations: &given, ..stay }), price(&tariff, Stay { validations: &within, ..stay }));
    }

    #[test]
    fn a_later_version_changes_no_price_of_before(terms in any_terms(), later in any_terms(), entered_at in any_entry(), minutes in 0..3_000_i64, is_cut in any::<bool>()) {
        let zone = zone("Asia/Shanghai");
        let left_at = entered_at.plus(minutes * MINUTE);
        let on_change = if is_cut { OnChange::Cut } else { OnChange::ByEntry };
        let one = RateTable { on_change, ..table_of(terms) };
        let from = LocalTime(LocalTime::at(left_at, &zone).0 + 1);
        let two = RateTable { version: 2, valid_from: Some(from), ..table_of(later) };
        let both = Tariff::resolve(&[Arc::new(two), Arc::new(one.clone())], &[calendar()]).expect("sound");
        let stay = Stay::new(entered_at, left_at, &zone);
        prop_assert_eq!(quote(&resolved(one), &stay), quote(&both, &stay));
    }

    #[test]
    fn ten_years_do_not_overflow(terms in any_terms(), entered_at in any_entry()) {
        let dearest = |mut terms: Terms| {
            terms.collections.iter_mut().flat_map(|collection| &mut collection.lines).for_each(|line| {
                line.price = schema::rate::PRICE_MAX;
                line.unit_min = line.unit_min.min(1);
            });
            terms
        };
        let zone = zone("America/Los_Angeles");
        let stay = Stay::new(entered_at, entered_at.plus(3_653 * DAY), &zone);
        let quote = quote(&resolved(table_of(dearest(terms))), &stay).expect("a price");
        let sum: i128 = quote.lines.iter().map(|line| i128::from(line.amount)).sum();
        prop_assert_eq!(sum, i128::from(quote.total.minor));
        prop_assert!(quote.total.minor < i64::MAX / 2 && quote.lines.len() < 400, "{} lines", quote.lines.len());
    }
}
