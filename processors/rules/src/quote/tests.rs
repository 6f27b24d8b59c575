//! Prices by example; `published` has those of others, `laws` what always holds, `oracle` the slow way.

mod laws;
mod oracle;
mod published;

use super::*;
use schema::{
    Currency,
    rate::{RateLine, RateLineCollection, RateTable, Step, Terms, ValidationKind},
    reference::Declared,
    time::MINUTE,
};

/// A lot's clock.
pub(super) fn zone(name: &str) -> Zone {
    Zone::named(name).expect("a zone")
}

/// A moment by a clock that is set once, before and after; of two such moments the first.
#[track_caller]
pub(super) fn at(zone: &Zone, local: &str) -> Moment {
    let wanted: LocalTime = local.parse().expect("a local time");
    let utc = Moment(wanted.0 * MINUTE);
    let shown = |moment: &Moment| LocalTime::at(*moment, zone) == wanted;
    let candidates = (-14 * 60..=12 * 60).step_by(15).map(|offset| utc.plus(offset * MINUTE));
    candidates.into_iter().find(shown).unwrap_or_else(|| panic!("no clock shows {local}"))
}

/// The tariff of a file in `tariffs/`: one table, or tables with calendars.
pub(super) fn tariff(name: &str) -> Tariff {
    let path = format!("{}/tariffs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let declared = match toml::from_str::<RateTable>(&text) {
        Ok(table) => Declared { rate_tables: vec![table], ..Declared::default() },
        Err(_) => toml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}")),
    };
    let tables: Vec<_> = declared.rate_tables.into_iter().map(Arc::new).collect();
    Tariff::resolve(&tables, &declared.calendars).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A tariff of one table.
pub(super) fn of(table: RateTable) -> Tariff {
    Tariff::resolve(&[Arc::new(RateTable { id: "t".into(), ..table })], &[]).expect("a sound table")
}

/// A tariff of one band.
pub(super) fn plain(terms: Terms, lines: Vec<RateLine>) -> Tariff {
    let collections = vec![RateLineCollection { lines, ..RateLineCollection::default() }];
    of(RateTable { terms: vec![Terms { collections, ..terms }], ..RateTable::default() })
}

pub(super) fn unit(to_min: Option<i64>, unit_min: i64, price: i64) -> RateLine {
    RateLine { to_min, unit_min, price, ..RateLine::default() }
}

fn short(free_min: i64, steps: &[(Option<i64>, i64, i64)], cap_per_24h: Option<i64>) -> Tariff {
    let steps = steps.iter().map(|&(to_min, unit_min, price)| Step { to_min, unit_min, price }).collect();
    of(RateTable { free_min, steps, cap_per_24h, ..RateTable::default() })
}

fn fee(tariff: &Tariff, seconds: i64) -> i64 {
    let left_at = Moment(0).plus(seconds * schema::time::SECOND);
    quote(tariff, &Stay::new(Moment(0), left_at, &zone("UTC"))).expect("a price").total.minor
}

/// The price of a stay from one local time to another.
#[track_caller]
fn local_fee(tariff: &Tariff, zone_name: &str, from: &str, to: &str) -> i64 {
    let zone = zone(zone_name);
    quote(tariff, &Stay::new(at(&zone, from), at(&zone, to), &zone)).expect("a price").total.minor
}

#[test]
fn stays_cost_what_the_table_says() {
    let hourly = short(15, &[(None, 60, 500)], None);
    let capped = short(15, &[(None, 60, 500)], Some(2000));
    let station = short(30, &[(Some(120), 60, 500), (None, 60, 300)], Some(2800));
    for (name, table, minutes, fen) in [
        ("within the free minutes", &hourly, 10, 0),
        ("at their end", &hourly, 15, 0),
        ("past them all is charged", &hourly, 16, 500),
        ("a started hour is whole", &hourly, 90, 1000),
        ("below the cap", &capped, 90, 1000),
        ("a day and an hour and a half", &capped, 1530, 3000),
        ("three days", &capped, 4320, 6000),
        ("first step", &station, 120, 1000),
        ("second step", &station, 121, 1300),
        ("the day's cap", &station, 1440, 2800),
        ("the steps start again", &station, 1441, 3300),
    ] {
        assert_eq!(fee(table, minutes * 60), fen, "{name}: {minutes} minutes");
    }
}

#[test]
fn the_seconds_of_an_unfinished_minute_are_free() {
    let table = short(15, &[(None, 60, 500)], None);
    assert_eq!((fee(&table, 15 * 60 + 59), fee(&table, 16 * 60)), (0, 500));
}

#[test]
fn a_choice_of_the_table_decides_where_tariffs_disagree() {
    use schema::rate::{Boundary, Cap, CapPer, Charged, Hours, Restart};
    let terms = Terms::default;
    let hour = || vec![unit(None, 60, 500)];
    let steps = || vec![unit(Some(60), 60, 500), unit(None, 60, 300)];
    let bands = |boundary| {
        let band = |name: &str, hours: &str, price| RateLineCollection {
            name: name.into(),
            hours: Some(hours.parse::<Hours>().expect("hours")),
            lines: vec![unit(None, 60, price)],
            ..RateLineCollection::default()
        };
        let collections = vec![band("day", "08:00-20:00", 600), band("night", "20:00-08:00", 100)];
        of(RateTable { terms: vec![Terms { boundary, collections, ..terms() }], ..RateTable::default() })
    };
    let cap = |per, amounts: &[i64]| Some(Cap { per, amounts: amounts.to_vec() });
    let charged = |charged| plain(terms(), vec![RateLine { charged, ..unit(None, 60, 500) }]);
    for (name, tariff, from, minutes, fen) in [
        ("free minutes are a threshold", plain(Terms { free_min: 30, ..terms() }, hour()), 480, 90, 1_000),
        ("or deducted", plain(Terms { free_min: 30, free: Free::Deducted, ..terms() }, hour()), 480, 90, 500),
        ("a started unit is charged", charged(Charged::Started), 480, 119, 1_000),
        ("or only when complete", charged(Charged::Complete), 480, 119, 500),
        ("a unit is cut at a boundary", bands(Boundary::Cut), 450, 60, 100 + 600),
        ("or runs over it", bands(Boundary::RunsOver), 450, 60, 100),
        ("and the next band begins after it", bands(Boundary::RunsOver), 450, 61, 100 + 600),
        ("steps start again after 24 hours", plain(terms(), steps()), 480, 1_500, 500 + 23 * 300 + 500),
        ("or each day", plain(Terms { restart: Restart::EachDay, ..terms() }, steps()), 1380, 120, 500 + 500),
        ("or never", plain(Terms { restart: Restart::Never, ..terms() }, steps()), 480, 1_500, 500 + 24 * 300),
        ("a cap of 24 hours", plain(Terms { cap: cap(CapPer::Each24h, &[2_000]), ..terms() }, hour()), 1200, 600, 2_000),
        ("or of a calendar day", plain(Terms { cap: cap(CapPer::EachDay, &[2_000]), ..terms() }, hour()), 1200, 600, 4_000),
        ("or of the stay", plain(Terms { cap_per_stay: Some(3_000), ..terms() }, hour()), 1200, 6_000, 3_000),
        ("later days cost more", plain(Terms { cap: cap(CapPer::Each24h, &[3_000, 4_000, 5_000]), ..terms() }, hour()), 0, 4 * 1_440, 17_000),
        ("full 24 hours have a price", plain(Terms { full_24h: Some(5_000), ..terms() }, hour()), 0, 2 * 1_440 + 61, 11_000),
        ("a stay costs at least", plain(Terms { min_per_stay: 800, ..terms() }, hour()), 0, 1, 800),
    ] {
        let zone = zone("Asia/Shanghai");
        let entered_at = at(&zone, "2026-11-23T00:00").plus(from * MINUTE);
        let stay = Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone);
        assert_eq!(quote(&tariff, &stay).map(|quote| quote.total.minor), Ok(fen), "{name}");
    }
}

/// A tariff of one band from ten in the evening on, and what its lines say of a stay of so many minutes.
#[track_caller]
fn said(terms: Terms, lines: Vec<RateLine>, minutes: i64) -> (i64, Vec<String>) {
    let zone = zone("Asia/Shanghai");
    let entered_at = at(&zone, "2026-11-23T22:00");
    let quote = quote(&plain(terms, lines), &Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone)).expect("a price");
    let say = |line: &QuoteLine| format!("{}-{} {} {}", line.from_min, line.to_min, line.amount, why(line, Currency::Cny));
    (quote.total.minor, quote.lines.iter().map(say).collect())
}

#[test]
fn a_tier_is_the_price_in_all_and_says_so() {
    use schema::rate::{Cap, CapPer, RateLineType, Restart};
    let tier =
        |name: &str, to_min, price| RateLine { name: Some(name.into()), kind: RateLineType::FlatRateTier, to_min, price, ..RateLine::default() };
    let tiers = |last| vec![tier("to 1 h", Some(60), 500), tier("to 4 h", Some(240), 1_200), last];
    let all_day = || tier("to a day", Some(1_440), 2_000);
    let endless = || tier("longer", None, 2_000);
    let hourly = || RateLine { name: Some("each hour".into()), ..unit(None, 60, 300) };
    let begins = Terms::default;
    let never = || Terms { restart: Restart::Never, ..Terms::default() };
    let capped = |per, amount| Terms { cap: Some(Cap { per, amounts: vec![amount] }), ..never() };
    let cut = |per| capped(per, 600);
    for (terms, last, minutes, fen, lines) in [
        (begins(), all_day(), 60, 500, &["0-60 500 to 1 h, 5.00 in all"][..]),
        (begins(), all_day(), 61, 1_200, &["0-61 1200 to 4 h, 12.00 in all"]),
        (begins(), all_day(), 241, 2_000, &["0-241 2000 to a day, 20.00 in all"]),
        (begins(), all_day(), 1_441, 2_500, &["0-1440 2000 to a day, 20.00 in all", "1440-1441 500 to 1 h, 5.00 in all"]),
        (begins(), all_day(), 2_880, 4_000, &["0-2880 4000 to a day: 2 × 20.00"]),
        (never(), endless(), 2_880, 2_000, &["0-2880 2000 longer, 20.00 in all"]),
        (never(), hourly(), 301, 1_800, &["0-240 1200 to 4 h, 12.00 in all", "240-301 600 each hour: 2 × 3.00"]),
        (cut(CapPer::Each24h), endless(), 300, 600, &["0-300 2000 longer, 20.00 in all", "0-300 -1400 a day costs at most 6.00"]),
        (
            cut(CapPer::EachDay),
            endless(),
            240,
            600,
            &["0-120 1200 to 4 h, 12.00 in all", "0-120 -600 a day costs at most 6.00", "120-240 0 to 4 h, charged already"],
        ),
        (
            capped(CapPer::EachDay, 1_000),
            endless(),
            300,
            1_800,
            &[
                "0-120 1200 to 4 h, 12.00 in all",
                "0-120 -200 a day costs at most 10.00",
                "120-300 800 longer, 20.00 in all, less what was charged already",
            ],
        ),
    ] {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(said(terms, tiers(last), minutes), (fen, lines));
    }
}

#[test]
fn a_line_has_a_least_and_a_most_and_says_so() {
    use schema::rate::{Cap, CapPer, Charged, Restart};
    let line = |min_value, max_value| RateLine { name: Some("hour".into()), min_value, max_value, ..unit(None, 60, 500) };
    let never = || Terms { restart: Restart::Never, ..Terms::default() };
    let daily = || Terms { cap: Some(Cap { per: CapPer::EachDay, amounts: vec![9_000] }), ..never() };
    let complete = || RateLine { charged: Charged::Complete, ..line(Some(800), None) };
    let behind = || RateLine { to_min: Some(60), ..line(Some(800), None) };
    let later = || RateLine { name: Some("later".into()), max_value: Some(500), ..unit(None, 60, 300) };
    for (terms, lines, minutes, fen, expected) in [
        (never(), vec![line(Some(800), None)], 60, 800, &["0-60 500 hour: 1 × 5.00", "0-60 300 hour costs at least 8.00"][..]),
        (never(), vec![line(Some(800), None)], 61, 1_000, &["0-61 1000 hour: 2 × 5.00"]),
        (never(), vec![line(None, Some(1_800))], 240, 1_800, &["0-240 2000 hour: 4 × 5.00", "0-240 -200 hour costs at most 18.00"]),
        (never(), vec![complete()], 59, 0, &["0-59 0 hour: 0 × 5.00"]),
        (never(), vec![complete()], 60, 800, &["0-60 500 hour: 1 × 5.00", "0-60 300 hour costs at least 8.00"]),
        (
            never(),
            vec![behind(), later()],
            181,
            1_300,
            &["0-60 500 hour: 1 × 5.00", "0-60 300 hour costs at least 8.00", "60-181 900 later: 3 × 3.00", "60-181 -400 later costs at most 5.00"],
        ),
        // Over midnight the line is the same one: what the least added is used up by what comes later.
        (
            daily(),
            vec![line(Some(1_300), None)],
            180,
            1_500,
            &[
                "0-120 1000 hour: 2 × 5.00",
                "0-120 300 hour costs at least 13.00",
                "120-180 500 hour: 1 × 5.00",
                "120-180 -300 hour costs at least 13.00",
            ],
        ),
        (
            Terms::default(),
            vec![line(None, Some(800))],
            1_500,
            1_300,
            &["0-1440 12000 hour: 24 × 5.00", "0-1440 -11200 hour costs at most 8.00", "1440-1500 500 hour: 1 × 5.00"],
        ),
    ] {
        let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(said(terms, lines, minutes), (fen, expected));
    }
}

#[test]
fn a_band_caps_each_of_its_nights() {
    let tariff = tariff("centre");
    for (from, to, fen) in [
        ("2026-11-23T22:00", "2026-11-24T06:00", 1_000), // 8 × 2.00, a night at most 10.00
        ("2026-11-23T22:00", "2026-11-24T08:00", 1_800), // and the first hour of the day: 2 × 4.00
        ("2026-11-23T07:00", "2026-11-23T08:00", 800),
        ("2026-11-23T07:00", "2026-11-23T09:00", 2_000),
        ("2026-11-23T07:00", "2026-11-23T22:00", 5_000), // the band's own cap
        ("2026-11-23T07:00", "2026-11-24T07:00", 6_000), // with the night: the cap of 24 hours
        ("2026-11-23T07:00", "2026-11-25T07:00", 12_000),
        ("2026-10-01T07:00", "2026-10-01T09:00", 1_000), // a holiday
        ("2026-10-10T07:00", "2026-10-10T09:00", 2_000), // a Saturday on which one works
        ("2026-11-23T23:00", "2026-11-23T23:16", 500),   // the least
    ] {
        assert_eq!(local_fee(&tariff, "Asia/Shanghai", from, to), fen, "{from} to {to}");
    }
}

#[test]
fn an_hour_that_clocks_skip_is_not_charged_and_one_they_repeat_is() {
    let tariff = tariff("jp_to_midnight");
    let hours = |from, to| local_fee(&tariff, "America/Los_Angeles", from, to);
    assert_eq!(hours("2026-03-07T00:00", "2026-03-07T04:00"), 400);
    assert_eq!(hours("2026-03-08T00:00", "2026-03-08T04:00"), 300, "clocks go forward at two");
    assert_eq!(hours("2026-11-01T00:00", "2026-11-01T04:00"), 500, "clocks go back at two");
    assert_eq!(hours("2026-03-08T00:00", "2026-03-08T09:00"), 7 * 100 + 3 * 100, "the day begins at eight by the clock");
}

#[test]
fn a_right_frees_its_minutes_and_says_so() {
    let tariff = plain(Terms { free_min: 15, ..Terms::default() }, vec![unit(None, 60, 500)]);
    let zone = zone("Asia/Shanghai");
    let moment = |clock: &str| at(&zone, &format!("2026-11-23T{clock}"));
    let pass = |from, until| Segment { from: moment(from), until: moment(until), right: "pass-1".into() };
    for (name, segments, fen) in [
        ("none", vec![], 4 * 500),
        ("the whole stay", vec![pass("00:00", "23:00")], 0),
        ("a pass that ends", vec![pass("00:00", "10:00")], 2 * 500),
        ("a pass that begins", vec![pass("10:30", "23:00")], 3 * 500),
        ("one in the middle: each side counts from its own first minute", vec![pass("08:30", "11:30")], 2 * 500),
        ("what is left is within the free minutes", vec![pass("08:10", "12:00")], 0),
        ("two that overlap", vec![pass("10:00", "11:00"), pass("09:00", "10:30")], 2 * 500),
        ("another day's", vec![pass("01:00", "02:00")], 4 * 500),
    ] {
        let stay = Stay { segments: &segments, ..Stay::new(moment("08:00"), moment("12:00"), &zone) };
        let quote = quote(&tariff, &stay).expect("a price");
        assert_eq!(quote.total.minor, fen, "{name}");
        let covered = quote.lines.iter().filter(|line| line.what == LineKind::Right);
        assert!(covered.clone().all(|line| line.due_to.as_deref() == Some("pass-1") && line.amount == 0), "{name}");
        assert_eq!(quote.lines.iter().map(|line| line.to_min - line.from_min).sum::<i64>(), 240, "{name}: the lines cover the stay");
    }
}

fn coupon(id: &str, kind: ValidationKind) -> Validation {
    Validation { id: id.into(), bearer: format!("shop of {id}").into(), kind, over: false }
}

fn over(coupon: Validation) -> Validation {
    Validation { over: true, ..coupon }
}

#[test]
fn validations_count_by_rule() {
    use schema::rate::{FreeTimeFrom, Stacking, ValidationRules};
    let table = |validations, rounding| {
        let collections = vec![RateLineCollection { lines: vec![unit(None, 60, 500)], ..RateLineCollection::default() }];
        of(RateTable { validations, rounding, terms: vec![Terms { collections, ..Terms::default() }], ..RateTable::default() })
    };
    let rules = |stacking| ValidationRules { stacking, ..ValidationRules::default() };
    let all = rules(Stacking::All);
    let time = |id, minutes| coupon(id, ValidationKind::FreeTime { minutes });
    let percent = |id, percent| coupon(id, ValidationKind::Percent { percent });
    let amount = |id, amount| coupon(id, ValidationKind::AmountOff { amount });
    let free = |id| coupon(id, ValidationKind::Free);
    // Five hours at 5.00: 25.00.
    for (name, rules, coupons, expected) in [
        ("none", all, vec![], "2500 ="),
        ("amount off", all, vec![amount("a", 700)], "2500 a-700 = 1800"),
        ("never below nothing", all, vec![amount("a", 9_000)], "2500 a-2500 ="),
        ("percent", all, vec![percent("p", 33)], "2500 p-825 ="),
        ("free time", all, vec![time("t", 90)], "2500 t-500 ="),
        ("free time that frees more", all, vec![time("t", 120)], "2500 t-1000 ="),
        ("free", all, vec![free("f"), amount("a", 100)], "2500 f-2500 a0 ="),
        ("free time, then percent, then amount", all, vec![amount("a", 100), percent("p", 50), time("t", 60)], "2500 t-500 p-1000 a-100 ="),
        ("the larger first", all, vec![amount("a", 100), amount("b", 300)], "2500 b-300 a-100 ="),
        ("free times add up", all, vec![time("t", 90), time("u", 30)], "2500 t-500 u-500 ="),
        ("the same coupon twice is one", all, vec![amount("a", 700), amount("a", 700)], "2500 a-700 ="),
        ("the best one alone", rules(Stacking::Best), vec![amount("a", 600), percent("p", 20), time("t", 120)], "2500 t-1000 p0 a0 ="),
        ("of equals the first in order", rules(Stacking::Best), vec![amount("b", 500), amount("a", 500)], "2500 a-500 b0 ="),
        ("none counts", rules(Stacking::None), vec![amount("a", 600)], "2500 a0 ="),
        ("at most so many", ValidationRules { count_max: Some(1), ..all }, vec![amount("a", 600), time("t", 60)], "2500 t-500 a0 ="),
        ("at most so much", ValidationRules { amount_max: Some(800), ..all }, vec![amount("a", 600), time("t", 60)], "2500 t-500 a-300 ="),
        ("over its limit", all, vec![over(amount("a", 700)), amount("b", 300)], "2500 a0 b-300 ="),
        ("over its limit, and the best one", rules(Stacking::Best), vec![over(free("f")), amount("a", 300)], "2500 f0 a-300 ="),
        ("what is over frees no time", all, vec![over(time("t", 120)), time("u", 60)], "2500 t0 u-500 ="),
        ("what is over is none of so many", ValidationRules { count_max: Some(1), ..all }, vec![over(free("f")), time("t", 60)], "2500 f0 t-500 ="),
        ("all are over", rules(Stacking::Best), vec![over(free("f")), over(amount("a", 300))], "2500 f0 a0 ="),
        ("free time from the start", ValidationRules { free_time_from: FreeTimeFrom::Start, ..all }, vec![time("t", 61)], "2500 t-500 ="),
    ] {
        let zone = zone("UTC");
        let stay = Stay { validations: &coupons, ..Stay::new(Moment(0), Moment(300 * MINUTE), &zone) };
        let quote = quote(&table(rules, Rounding::default()), &stay).expect("a price");
        let lines = quote.lines.iter().map(|line| match &line.due_to {
            None => line.amount.to_string(),
            Some(id) => {
                assert_eq!(line.bearer.as_deref(), Some(format!("shop of {id}").as_str()), "{name}");
                format!("{id}{}", line.amount)
            }
        });
        let text = format!("{} =", lines.collect::<Vec<_>>().join(" "));
        assert_eq!(text, expected.split('=').next().map(|lines| format!("{lines}=")).unwrap_or_default(), "{name}");
    }
}

#[test]
fn a_line_says_that_its_coupon_is_over_its_limit() {
    let tariff = short(0, &[(None, 60, 500)], None);
    let coupons = [over(coupon("a", ValidationKind::AmountOff { amount: 300 }))];
    let zone = zone("UTC");
    let stay = Stay { validations: &coupons, ..Stay::new(Moment(0), Moment(60 * MINUTE), &zone) };
    let quote = quote(&tariff, &stay).expect("a price");
    let said: Vec<_> = quote.lines.iter().map(|line| why(line, Currency::Cny)).collect();
    let told = "coupon a of shop of a: 3.00 off, over what its vehicle may use in a day: takes nothing off";
    assert_eq!((quote.total.minor, said.last().map(String::as_str)), (500, Some(told)));
}

#[test]
fn a_price_is_rounded_as_the_table_says() {
    use schema::rate::RoundingMode::{Down, HalfEven, HalfUp, Up};
    for (price, to, mode, fen) in [
        (1_234, 1, HalfUp, 1_234),
        (1_234, 10, HalfUp, 1_230),
        (1_235, 10, HalfUp, 1_240),
        (1_235, 10, HalfEven, 1_240),
        (1_225, 10, HalfEven, 1_220),
        (1_231, 10, Up, 1_240),
        (1_239, 10, Down, 1_230),
        (1_250, 100, HalfEven, 1_200),
        (1_200, 100, Up, 1_200),
    ] {
        let collections = vec![RateLineCollection { lines: vec![unit(None, 60, price)], ..RateLineCollection::default() }];
        let terms = vec![Terms { collections, ..Terms::default() }];
        let tariff = of(RateTable { rounding: Rounding { to, mode }, terms, ..RateTable::default() });
        assert_eq!(fee(&tariff, 60), fen, "{price} to {to}, {mode:?}");
    }
}

fn paid(id: &str, minute: i64, amount: i64) -> Prepaid {
    let at = Moment(minute * MINUTE);
    Prepaid { id: id.into(), at, amount: Money::new(amount, Currency::Cny), until: at }
}

#[test]
fn who_paid_has_minutes_to_leave_and_then_owes_the_remainder() {
    let tariff = short(15, &[(None, 60, 500)], None);
    let zone = zone("UTC");
    for (name, payments, left, fen) in [
        ("within the grace", vec![paid("a", 110, 1_000)], 125, 0),
        ("past it, the remainder", vec![paid("a", 110, 1_000)], 126, 500),
        ("the unit that was paid goes on", vec![paid("a", 61, 1_000)], 119, 0),
        ("too little has no grace", vec![paid("a", 110, 999)], 121, 501),
        ("a second payment has its own", vec![paid("a", 61, 1_000), paid("b", 130, 500)], 145, 0),
        ("and then the remainder of all", vec![paid("a", 61, 1_000), paid("b", 130, 500)], 181, 500),
        ("more than the price is not given back here", vec![paid("a", 61, 9_000)], 119, 0),
    ] {
        let stay = Stay { paid: &payments, grace_min: 15, ..Stay::new(Moment(0), Moment(left * MINUTE), &zone) };
        let quote = quote(&tariff, &stay).expect("a price");
        assert_eq!(quote.total.minor, fen, "{name}");
        assert_eq!(quote.lines.iter().map(|line| line.amount).sum::<i64>(), fen, "{name}");
    }
}

#[test]
fn a_change_of_tariff_is_by_entry_or_cut() {
    let version = |version, price, valid_from: Option<&str>, valid_until: Option<&str>, on_change| {
        let collections = vec![RateLineCollection { lines: vec![unit(None, 60, price)], ..RateLineCollection::default() }];
        let local = |text: Option<&str>| text.map(|text| text.parse().expect("a local time"));
        let (valid_from, valid_until) = (local(valid_from), local(valid_until));
        let terms = vec![Terms { collections, ..Terms::default() }];
        Arc::new(RateTable { id: "t".into(), version, valid_from, valid_until, on_change, terms, ..RateTable::default() })
    };
    let new_year = Some("2027-01-01T00:00");
    let tariff = |on_change, until| {
        let versions = [version(1, 500, None, until, on_change), version(2, 800, new_year, None, OnChange::ByEntry)];
        Tariff::resolve(&versions, &[]).expect("sound")
    };
    let (by_entry, cut) = (tariff(OnChange::ByEntry, None), tariff(OnChange::Cut, None));
    let gap = tariff(OnChange::Cut, Some("2026-12-31T23:00"));
    let zone = zone("Asia/Shanghai");
    for (name, tariff, from, to, expected) in [
        ("by entry", &by_entry, "2026-12-31T22:00", "2027-01-01T02:00", Ok((2_000, 1))),
        ("cut", &cut, "2026-12-31T22:30", "2027-01-01T02:00", Ok((1_000 + 1_600, 1))),
        ("before", &cut, "2026-12-31T20:00", "2027-01-01T00:00", Ok((2_000, 1))),
        ("after", &cut, "2027-01-01T00:00", "2027-01-01T02:00", Ok((1_600, 2))),
        ("a gap in the middle", &gap, "2026-12-31T22:30", "2027-01-01T02:00", Err("no version of rate table t is in force at 2026-12-31T23:00")),
        ("entry in a gap", &gap, "2026-12-31T23:30", "2027-01-01T02:00", Err("no version of rate table t is in force at 2026-12-31T23:30")),
    ] {
        let found = quote(tariff, &Stay::new(at(&zone, from), at(&zone, to), &zone));
        match (found, expected) {
            (Ok(quote), Ok(expected)) => assert_eq!((quote.total.minor, quote.version), expected, "{name}"),
            (Err(not_priced), Err(expected)) => assert!(not_priced.to_string().starts_with(expected), "{name}: {not_priced}"),
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
}

#[test]
fn what_has_no_price_says_why() {
    let zone = zone("Asia/Shanghai");
    let now = at(&zone, "2026-11-23T08:00");
    let later = now.plus(60 * MINUTE);
    let centre = tariff("centre");
    let stay = Stay::new(now, later, &zone);
    let bad = [coupon("c", ValidationKind::Percent { percent: 101 })];
    let dollars = [Prepaid { id: "p".into(), at: now, amount: Money::new(1, Currency::Usd), until: now }];
    for (stay, expected) in [
        (Stay::new(later, now, &zone), "the stay ends before it begins: correct one of the two times"),
        (Stay { left_at: now.plus(STAY_MAX + 1), ..stay }, "the stay is longer than twenty years: correct one of its times"),
        (Stay { class: VehicleClass::Motorcycle, ..stay }, "rate table centre does not serve class Motorcycle: ask a person, or give it terms"),
        (Stay { validations: &bad, ..stay }, "validation c has a number below 0 or a percent above 100: void it"),
        (Stay { paid: &dollars, ..stay }, "payment p is below 0 or not in the table's currency: ask a person"),
        (
            Stay::new(at(&zone, "2025-12-31T23:59"), now, &zone),
            "no version of rate table centre is in force at 2025-12-31T23:59: give it one in the reference data",
        ),
    ] {
        assert_eq!(quote(&centre, &stay).map_err(|not_priced| not_priced.to_string()), Err(expected.into()));
    }
    let long = quote(&tariff("apds_example"), &Stay::new(now, now.plus(421 * MINUTE), &zone));
    assert_eq!(long, Err(NotPriced::NotSold { table: "apds_example".into(), most_min: 420 }));
}

#[test]
fn a_lost_ticket_costs_what_the_table_says_and_is_never_guessed() {
    let zone = zone("Asia/Shanghai");
    let now = at(&zone, "2026-11-23T08:00");
    assert_eq!(lost_ticket(&tariff("centre"), now, &zone).map(|quote| quote.total.minor), Ok(8_000));
    assert_eq!(lost_ticket(&tariff("cn_lot_b"), now, &zone), Err(NotPriced::NoLostTicket { table: "cn_lot_b".into() }));
}

#[test]
fn ten_years_have_a_price_that_fits_a_message() {
    let zone = zone("America/Los_Angeles");
    let entered_at = at(&zone, "2026-11-23T08:00");
    for name in ["centre", "cn_lot_g", "jp_to_seven", "qianshan", "shenzhen_zone_1", "hospital"] {
        let left_at = entered_at.plus(3_653 * DAY);
        let quote = quote(&tariff(name), &Stay::new(entered_at, left_at, &zone)).expect("a price");
        assert_eq!(quote.lines.iter().map(|line| line.amount).sum::<i64>(), quote.total.minor, "{name}");
        assert!(quote.lines.len() < 300, "{name}: {} lines", quote.lines.len());
        assert!(quote.total.minor > 3_000 * 1_000, "{name}: {}", quote.total);
    }
}

#[test]
fn every_sample_tariff_is_sound_and_named_after_its_file() {
    for entry in std::fs::read_dir(format!("{}/tariffs", env!("CARGO_MANIFEST_DIR"))).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
            assert_eq!(tariff(name).newest().map(|table| table.id.as_ref()), Some(name));
        }
    }
}

#[test]
fn a_line_says_why_it_is_there() {
    let zone = zone("Asia/Shanghai");
    let moment = |clock: &str| at(&zone, &format!("2026-11-2{clock}"));
    let segments = [Segment { from: moment("3T07:00"), until: moment("3T20:30"), right: "pass-7".into() }];
    let validations = [coupon("c1", ValidationKind::Percent { percent: 33 }), coupon("c2", ValidationKind::AmountOff { amount: 9_000 })];
    let at = moment("4T08:00");
    let paid = [Prepaid { id: "4200001".into(), at, amount: Money::new(500, Currency::Cny), until: at }];
    let stay = Stay { segments: &segments, validations: &validations, paid: &paid, ..Stay::new(moment("3T20:00"), moment("4T08:20"), &zone) };
    let centre = tariff("centre");
    let mut quote_lines = quote(&centre, &stay).expect("a price").lines;
    quote_lines.extend(quote(&centre, &Stay { energy: Energy::New, segments: &[], validations: &[], ..stay }).expect("a price").lines);
    let said: Vec<_> =
        quote_lines.iter().map(|line| format!("{}-{} {} {}", line.from_min, line.to_min, line.amount, why(line, Currency::Cny))).collect();
    assert_eq!(
        said,
        [
            "0-30 0 under right pass-7",
            "30-90 800 first hour: 2 × 4.00",
            "90-120 600 later hours: 1 × 6.00",
            "120-660 1800 night: 9 × 2.00",
            "120-660 -800 night costs at most 10.00",
            "660-720 800 first hour: 2 × 4.00",
            "720-740 600 later hours: 1 × 6.00",
            "0-740 -1254 coupon c1 of shop of c1: 33 % off",
            "0-740 -2546 coupon c2 of shop of c2: 90.00 off",
            "0-720 0 paid before: 5.00, 4200001",
            "0-60 0 free minutes",
            "60-120 300 day: 1 × 3.00",
            "120-660 500 night, flat",
            "660-740 600 day: 2 × 3.00",
            "0-720 -500 paid before: 5.00, 4200001",
        ]
    );
}
