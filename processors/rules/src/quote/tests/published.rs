//! What others published: a tariff, stays, and what they must cost, to the cent.

use super::*;

/// The rows of a file in `tariffs/`, without its attribution and header.
fn rows(name: &str) -> Vec<Vec<String>> {
    let path = format!("{}/tariffs/{name}.csv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().skip(2).map(|line| line.split(',').map(Into::into).collect()).collect()
}

#[test]
fn the_cases_of_chinese_lots_hold() {
    let rows = rows("lots_cn");
    assert_eq!(rows.len(), 31);
    let zone = zone("Asia/Shanghai");
    for row in &rows {
        let [case, _, entry, minutes, vehicle, fee, currency] = row.as_slice() else { panic!("{row:?}") };
        let entered_at = match entry.as_str() {
            "" => at(&zone, "2026-11-23T08:00"),
            utc if utc.ends_with('Z') => Moment(utc.trim_end_matches(":00Z").parse::<LocalTime>().expect("a time").0 * MINUTE),
            local => at(&zone, local.trim_end_matches(":00")),
        };
        let (minutes, fee): (i64, i64) = (minutes.parse().expect("minutes"), fee.parse().expect("a fee"));
        let left_at = entered_at.plus(minutes * MINUTE);
        let pass = [Segment { from: entered_at, until: left_at, right: "monthly".into() }];
        let segments: &[Segment] = if vehicle == "monthly" { &pass } else { &[] };
        let quote = quote(&tariff(case), &Stay { segments, ..Stay::new(entered_at, left_at, &zone) });
        assert_eq!(currency, "CNY");
        // Less than no minutes are bad input and not a fee of nothing.
        let expected = if minutes < 0 { Err(NotPriced::LeftBeforeEntered) } else { Ok(Money::new(fee * 100, Currency::Cny)) };
        assert_eq!(quote.map(|quote| quote.total), expected, "{row:?}");
    }
}

#[test]
fn the_cases_of_japanese_bands_hold() {
    let rows = rows("day_night_jp");
    assert_eq!(rows.len(), 12);
    let zone = zone("Asia/Tokyo");
    for row in &rows {
        let [_, words, entry, exit, fee, _] = row.as_slice() else { panic!("{row:?}") };
        let file = match &words[..11] {
            "08:00-00:00" => "jp_to_midnight",
            "08:00-22:00" => "jp_to_ten",
            "08:00-19:00" => "jp_to_seven",
            other => panic!("no tariff {other}"),
        };
        let quote = quote(&tariff(file), &Stay::new(at(&zone, entry), at(&zone, exit), &zone)).expect("a price");
        assert_eq!(quote.total, Money::new(fee.parse().expect("a fee"), Currency::Jpy), "{row:?}");
    }
}

#[test]
fn the_tariffs_of_cities_and_of_apds_hold() {
    let zone = zone("Asia/Shanghai");
    let (fuel, new) = (Energy::Fuel, Energy::New);
    for (file, entry, minutes, energy, expected) in [
        // 2026-11-23 is a Monday, 2026-11-28 a Saturday, 2026-10-01 a holiday, 2026-10-10 a Saturday on which one works.
        ("shenzhen_zone_1", "2026-11-23T08:00", 30, fuel, 300),
        ("shenzhen_zone_1", "2026-11-23T08:00", 31, fuel, 900),
        ("shenzhen_zone_1", "2026-11-23T08:00", 180, fuel, 300 + 5 * 600),
        ("shenzhen_zone_1", "2026-11-23T08:00", 240, fuel, 3_300 + 2 * 1_000),
        ("shenzhen_zone_1", "2026-11-28T08:00", 30, fuel, 120),
        ("shenzhen_zone_1", "2026-11-28T08:00", 180, fuel, 120 + 5 * 240),
        ("shenzhen_zone_1", "2026-11-28T08:00", 181, fuel, 1_320 + 400),
        ("shenzhen_zone_1", "2026-10-01T08:00", 30, fuel, 120),
        ("shenzhen_zone_1", "2026-10-10T08:00", 30, fuel, 300),
        ("shenzhen_zone_1", "2026-11-27T23:30", 60, fuel, 300 + 120),
        ("shantou_station", "2026-11-23T08:00", 30, fuel, 0),
        ("shantou_station", "2026-11-23T08:00", 31, fuel, 500),
        ("shantou_station", "2026-11-23T08:00", 120, fuel, 1_000),
        ("shantou_station", "2026-11-23T08:00", 121, fuel, 1_300),
        ("shantou_station", "2026-11-23T08:00", 480, fuel, 2_800),
        ("shantou_station", "2026-11-23T08:00", 1_440, fuel, 2_800),
        ("shantou_station", "2026-11-23T08:00", 1_560, fuel, 3_800),
        ("hospital", "2026-11-23T08:00", 90, fuel, 0),
        ("hospital", "2026-11-23T08:00", 91, fuel, 500),
        ("hospital", "2026-11-23T08:00", 120, fuel, 500),
        ("hospital", "2026-11-23T08:00", 121, fuel, 600),
        ("hospital", "2026-11-23T08:00", 1_440, fuel, 2_000),
        ("hospital", "2026-11-23T08:00", 180, new, 0),
        ("hospital", "2026-11-23T08:00", 181, new, 250),
        ("hospital", "2026-11-23T08:00", 240, new, 250),
        ("hospital", "2026-11-23T08:00", 300, new, 350),
        ("hospital", "2026-11-23T08:00", 1_440, new, 1_000),
        ("qianshan", "2026-11-23T08:00", 30, fuel, 0),
        ("qianshan", "2026-11-23T08:00", 31, fuel, 200),
        ("qianshan", "2026-11-23T08:00", 120, fuel, 400),
        ("qianshan", "2026-11-23T19:00", 120, fuel, 100),
        ("qianshan", "2026-11-23T18:30", 90, fuel, 150),
        ("qianshan", "2026-11-23T08:00", 1_440, fuel, 2_000),
        ("qianshan", "2026-11-23T08:00", 1_500, fuel, 2_200),
        ("qianshan", "2026-11-23T08:00", 2_880, fuel, 4_000),
        ("tiers", "2026-11-23T08:00", 30, fuel, 0),
        ("tiers", "2026-11-23T08:00", 31, fuel, 500),
        ("tiers", "2026-11-23T08:00", 60, fuel, 500),
        ("tiers", "2026-11-23T08:00", 61, fuel, 1_200),
        ("tiers", "2026-11-23T22:00", 240, fuel, 1_200),
        ("tiers", "2026-11-23T22:00", 241, fuel, 2_000),
        ("tiers", "2026-11-23T08:00", 1_440, fuel, 2_000),
        ("tiers", "2026-11-23T08:00", 1_470, fuel, 2_000),
        ("tiers", "2026-11-23T08:00", 1_471, fuel, 2_500),
        ("line_bounds", "2026-11-23T08:00", 15, fuel, 500),
        ("line_bounds", "2026-11-23T08:00", 60, fuel, 600),
        ("line_bounds", "2026-11-23T08:00", 121, fuel, 1_200 + 400),
        ("line_bounds", "2026-11-23T08:00", 480, fuel, 1_200 + 2_000),
        ("line_bounds", "2026-11-23T22:00", 60, fuel, 300),
        ("line_bounds", "2026-11-23T22:00", 240, fuel, 400),
        ("line_bounds", "2026-11-23T22:00", 540, fuel, 800),
        ("line_bounds", "2026-11-23T22:00", 570, fuel, 800 + 500),
        ("apds_example", "2026-11-23T08:00", 30, fuel, 300),
        ("apds_example", "2026-11-23T08:00", 31, fuel, 500),
        ("apds_example", "2026-11-23T08:00", 60, fuel, 500),
        ("apds_example", "2026-11-23T08:00", 120, fuel, 600),
        ("apds_example", "2026-11-23T08:00", 419, fuel, 1_100),
        ("apds_example", "2026-11-23T08:00", 420, fuel, 1_100),
    ] {
        let entered_at = at(&zone, entry);
        let stay = Stay { energy, ..Stay::new(entered_at, entered_at.plus(minutes * MINUTE), &zone) };
        let quote = quote(&tariff(file), &stay).expect("a price");
        assert_eq!(quote.total.minor, expected, "{file}, from {entry} {minutes} minutes");
    }
}
