use super::*;
use std::fmt::Write;

/// A table with these lines under its header.
fn table(text: &str) -> RateTable {
    let json = to_json(&format!("id = \"t\"\nversion = 1\ncurrency = \"CNY\"\n{text}"));
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// `key = value` lines and lines that begin with `{`, which are the terms, as JSON.
fn to_json(text: &str) -> String {
    let (mut fields, mut terms) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once(" = ").filter(|_| !line.starts_with('{')) {
            Some((key, value)) => fields.push(format!("\"{key}\":{value}")),
            None => terms.push(line.to_owned()),
        }
    }
    let mut json = format!("{{{}", fields.join(","));
    if !terms.is_empty() {
        write!(json, ",\"terms\":[{}]", terms.join(",")).expect("a string takes all");
    }
    json.push('}');
    json
}

fn resolve(text: &str) -> Result<Tariff, NotSound> {
    Tariff::resolve(&[Arc::new(table(text))], &[])
}

const HOUR: &str = r#"{"unit_min":60,"price":500}"#;
const TIER: &str = r#"{"type":"flat_rate_tier","to_min":60,"price":500}"#;
const LONGER: &str = r#"{"type":"flat_rate_tier","price":900}"#;

/// Terms of one collection that has these lines.
fn lines(lines: &str) -> String {
    format!(r#"{{"collections":[{{"name":"day","lines":[{lines}]}}]}}"#)
}

/// Terms of collections with these hours or days.
fn bands(bands: &[&str]) -> String {
    let bands = bands.iter().enumerate().map(|(at, band)| format!(r#"{{"name":"b{at}",{band},"lines":[{HOUR}]}}"#));
    format!(r#"{{"collections":[{}]}}"#, bands.collect::<Vec<_>>().join(","))
}

#[test]
fn the_short_form_still_reads() {
    let text = r#"{"id":"city","version":1,"currency":"CNY","free_min":15,"steps":[{"to_min":120,"unit_min":30,"price":300},{"unit_min":60,"price":500}],"cap_per_24h":4000}"#;
    let table: RateTable = serde_json::from_str(text).expect("the form of the first release");
    assert!(table.is_short());
    assert_eq!(serde_json::to_string(&table).expect("JSON"), text, "and it is written as it was");
    let tariff = Tariff::resolve(&[Arc::new(table)], &[]).expect("sound");
    let terms = tariff.versions()[0].terms(VehicleClass::Large, Energy::New).expect("for every vehicle");
    assert_eq!(
        terms.lines[0].iter().map(|line| (line.from, line.to, line.unit, line.price)).collect::<Vec<_>>(),
        [(0, 120, 30, 300), (120, i64::MAX, 60, 500)]
    );
}

#[test]
fn an_unsound_table_names_its_line() {
    for (text, expected) in [
        (String::new(), "has no price: give it at least one step, or terms"),
        (format!("steps = [{HOUR}]\n{}", lines(HOUR)), "has steps and terms: keep one of the two"),
        (format!("free_min = 5\n{}", lines(HOUR)), "free_min and cap_per_24h belong to the short form: put them into the terms (free_min, cap)"),
        (format!("steps = [{HOUR}]\nfree_min = -1"), "free_min is -1: it is not below 0"),
        (format!("steps = [{HOUR}]\ncap_per_24h = -1"), "cap_per_24h is -1: an amount is not below 0"),
        (format!("steps = [{HOUR}]\nlost_ticket = -1"), "lost_ticket is -1: an amount is not below 0"),
        (format!("steps = [{HOUR},{HOUR}]"), "step 1: has no end, and another follows it: give it a to_min"),
        (r#"steps = [{"unit_min":0,"price":5}]"#.into(), "step 1: unit_min is 0: a unit has at least 1 minute, as 60 for an hour"),
        (
            r#"steps = [{"to_min":60,"unit_min":1,"price":5}]"#.into(),
            "step 1: is the last one and ends at 60: leave to_min out, or what is longer has no price",
        ),
        (
            lines(&format!(r#"{{"to_min":60,"unit_min":30,"price":1}},{{"to_min":60,"unit_min":30,"price":1}},{HOUR}"#)),
            "terms 1: collection 1 (day): line 2: ends at 60: it must end after 60, where the one before it ends",
        ),
        (
            lines(&format!(r#"{{"to_min":1440,"unit_min":30,"price":1}},{HOUR}"#)),
            "terms 1: collection 1 (day): line 1: ends at 1440: durations begin again before, so that what follows is never reached; see restart",
        ),
        (lines(r#"{"name":"peak","unit_min":30,"price":-1}"#), "terms 1: collection 1 (day): line 1 (peak): price is -1: an amount is not below 0"),
        (
            lines(r#"{"unit_min":30,"price":1000000001}"#),
            "terms 1: collection 1 (day): line 1: price is 1000000001: an amount is at most 1000000000 minor units",
        ),
        (
            lines(r#"{"type":"flat_rate","unit_min":30,"price":1}"#),
            "terms 1: collection 1 (day): line 1: a flat_rate has no unit: leave unit_min out",
        ),
        (lines(""), "terms 1: collection 1 (day): has no line: give it at least one"),
        (r#"{"collections":[]}"#.into(), "terms 1: have no collection: give them at least one, with lines"),
        (
            bands(&[r#""hours":"06:00-20:00""#, r#""hours":"20:01-06:00""#]),
            "terms 1: no collection holds, workday 20:00-20:01: stretch one of them over it",
        ),
        (
            bands(&[r#""hours":"06:00-20:00""#, r#""hours":"19:30-06:00""#]),
            "terms 1: collection 1 (b0) and collection 2 (b1) overlap, workday 19:30-20:00: take the hours off one of them",
        ),
        (bands(&[r#""days":["workday","holiday"]"#]), "terms 1: no collection holds, weekend 00:00-24:00: stretch one of them over it"),
        (
            bands(&[r#""days":["workday","weekend"]"#, r#""days":["holiday"]"#]),
            "has lines for holidays alone and names no calendar: no day would be one; name a calendar",
        ),
        (
            format!(r#"{{"classes":["small"],"collections":[{{"lines":[{HOUR}]}}]}}"#),
            "no terms fit class motorcycle with energy fuel: add some, or name the class in not_served",
        ),
        (
            format!("{0}\n{{\"name\":\"cars\",{1}", lines(HOUR), lines(HOUR).trim_start_matches('{')),
            "terms 2 (cars) fit no vehicle that an earlier one does not fit: move them up or take them out",
        ),
        (
            format!(r#"{{"cap":{{"per":"each_day","amounts":[]}},"collections":[{{"lines":[{HOUR}]}}]}}"#),
            "terms 1: cap.amounts is empty: name at least one amount, or leave the cap out",
        ),
        (
            format!(r#"{{"min_per_stay":10,"cap_per_stay":5,"collections":[{{"lines":[{HOUR}]}}]}}"#),
            "terms 1: min_per_stay is above cap_per_stay: a stay cannot keep both",
        ),
        (format!("steps = [{HOUR}]\nrounding = {{\"to\":0}}"), "rounding.to is 0: it is 1 or more minor units, as 10 for whole jiao"),
        (
            format!("steps = [{HOUR}]\nvalidations = {{\"per_vehicle_day\":0}}"),
            "validations.per_vehicle_day is 0: it is 1 or more; where no coupon counts, stacking is \"none\"",
        ),
        (
            format!("steps = [{HOUR}]\nvalid_from = \"2026-02-01T00:00\"\nvalid_until = \"2026-01-01T00:00\""),
            "valid_until 2026-01-01T00:00 is not after valid_from 2026-02-01T00:00: it would never be in force",
        ),
        (format!("steps = [{HOUR}]\ncalendar = \"cn\""), "no calendar \"cn\" is declared: declare it, or leave calendar out"),
    ] {
        let error = resolve(&text).expect_err(&text).to_string();
        assert_eq!(error, format!("rate table t version 1: {expected}"), "{text}");
    }
}

#[test]
fn an_unsound_tier_or_bound_names_its_line() {
    for (text, expected) in [
        (
            lines(&format!(r#"{TIER},{{"name":"half","type":"flat_rate_tier","to_min":30,"price":900}},{LONGER}"#)),
            "line 2 (half): ends at 30: it must end after 60, where the one before it ends",
        ),
        (
            lines(&format!(r#"{TIER},{{"type":"flat_rate_tier","from_min":90,"price":900}}"#)),
            "line 2: begins at 90: the minutes 60 to 90 have no price; let it begin at 60",
        ),
        (
            lines(&format!(r#"{TIER},{{"type":"flat_rate_tier","from_min":30,"price":900}}"#)),
            "line 2: begins at 30: the one before it ends at 60, so that they overlap; let it begin at 60",
        ),
        (
            lines(&format!(r#"{TIER},{{"type":"flat_rate_tier","price":400}}"#)),
            "line 2: costs 400 in all, and the tier before it 500: a longer stay would cost less; raise it",
        ),
        (
            lines(&format!(r#"{TIER},{{"type":"flat_rate_tier","to_min":720,"price":900}}"#)),
            "line 2: is the last one and ends at 720: leave to_min out, or what is longer has no price",
        ),
        (
            lines(&format!(r#"{{"to_min":30,"unit_min":30,"price":1}},{TIER},{LONGER}"#)),
            "line 2: is a flat_rate_tier behind a line that is none: tiers come first, because each is the price in all; \
             move it up",
        ),
        (
            lines(&format!(r#"{{"type":"flat_rate_tier","unit_min":30,"to_min":60,"price":1}},{LONGER}"#)),
            "line 1: a flat_rate_tier has no unit: leave unit_min out",
        ),
        (
            lines(&format!(r#"{{"type":"flat_rate_tier","charged":"complete","to_min":60,"price":1}},{LONGER}"#)),
            "line 1: a flat_rate_tier has no unit that could be complete: leave charged out",
        ),
        (
            lines(&format!(r#"{{"type":"flat_rate_tier","to_min":60,"price":1,"max_value":1}},{LONGER}"#)),
            "line 1: costs its price, neither less nor more: leave min_value and max_value out",
        ),
        (lines(r#"{"unit_min":30,"price":1,"min_value":9,"max_value":8}"#), "line 1: min_value 9 is above max_value 8: a line cannot keep both"),
        (lines(r#"{"unit_min":30,"price":1,"min_value":-9}"#), "line 1: min_value is -9: an amount is not below 0"),
    ] {
        let error = resolve(&text).expect_err(&text).to_string();
        assert_eq!(error, format!("rate table t version 1: terms 1: collection 1 (day): {expected}"), "{text}");
    }
}

#[test]
fn the_last_line_ends_never_or_where_durations_begin_again() {
    let tiers = |end: &str| lines(&format!(r#"{TIER},{{"type":"flat_rate_tier"{end},"price":900}}"#));
    for (end, ends_at) in [("", None), (r#","from_min":60,"to_min":1440"#, Some(1_440))] {
        let tariff = resolve(&tiers(end)).expect(end);
        let version = &tariff.versions()[0];
        assert_eq!(version.table.terms[0].collections[0].lines[1].to_min, ends_at);
        let resolved = &version.terms(VehicleClass::Small, Energy::Fuel).expect("for every vehicle").lines[0];
        let tiers: Vec<_> = resolved.iter().map(|line| (line.kind, line.from, line.to, line.price)).collect();
        assert_eq!(tiers, [(RateLineType::FlatRateTier, 0, 60, 500), (RateLineType::FlatRateTier, 60, i64::MAX, 900)], "{end}");
    }
    let never = tiers(r#","to_min":1440"#).replace("{\"collections\"", "{\"restart\":\"never\",\"collections\"");
    let error = resolve(&never).expect_err("a stay of two days would have no price").to_string();
    assert!(error.ends_with("line 2: is the last one and ends at 1440: leave to_min out, or what is longer has no price"), "{error}");
}

#[test]
fn what_cannot_be_read_says_what_is_expected() {
    for (field, value, expected) in [
        ("currency", r#""GBP""#, "unknown variant `GBP`, expected one of `CNY`"),
        ("surcharge", "1", "unknown field `surcharge`"),
        ("valid_from", r#""January""#, "\"January\" is no local time: write it as 2026-01-01T00:00"),
        ("terms", r#"[{"collections":[{"hours":"7-19","lines":[]}]}]"#, "\"7-19\" are no hours: write them as 07:00-19:00"),
        ("terms", r#"[{"collections":[{"hours":"08:00-08:00","lines":[]}]}]"#, "leave them out for the whole day"),
        ("version", "1.5", "expected u32"),
    ] {
        let currency = if field == "currency" { "" } else { r#""currency":"CNY","# };
        let version = if field == "version" { "" } else { r#""version":1,"# };
        let text = format!(r#"{{"id":"t",{currency}{version}"{field}":{value}}}"#);
        let error = serde_json::from_str::<RateTable>(&text).expect_err(&text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn versions_follow_each_other() {
    let version = |version, valid_from: Option<&str>, valid_until: Option<&str>| {
        let local = |text: Option<&str>| text.map(|text| text.parse().expect("a local time"));
        let table = table(&format!("steps = [{HOUR}]"));
        Arc::new(RateTable { version, valid_from: local(valid_from), valid_until: local(valid_until), ..table })
    };
    let (spring, autumn) = (Some("2026-03-01T00:00"), Some("2026-09-01T00:00"));
    let both = Tariff::resolve(&[version(2, spring, autumn), version(1, None, None)], &[]).expect("in any order");
    for (at, place) in [("2020-01-01T00:00", Some(0)), ("2026-02-28T23:59", Some(0)), ("2026-03-01T00:00", Some(1)), ("2026-09-01T00:00", None)] {
        assert_eq!(both.in_force(at.parse().expect("a local time")), place, "{at}");
    }
    for (versions, expected) in [
        (vec![], "rate table  version 0: there is no table: declare one"),
        (vec![version(1, None, None), version(1, spring, None)], "rate table t version 1: is declared twice: give each its own version"),
        (
            vec![version(1, spring, None), version(2, spring, None)],
            "rate table t version 2: follows version 1, and its valid_from is not later: say from when on it is in force",
        ),
        (
            vec![version(1, None, None), version(2, None, None)],
            "rate table t version 2: follows version 1, and its valid_from is not later: say from when on it is in force",
        ),
    ] {
        assert_eq!(Tariff::resolve(&versions, &[]).map_err(|error| error.to_string()), Err(expected.into()));
    }
}

#[test]
fn a_calendar_knows_its_days() {
    let dates = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a date")).collect::<Vec<Date>>();
    let calendar = Calendar { name: "cn".into(), holidays: dates(&["2026-10-07", "2026-10-01"]), working: dates(&["2026-10-10"]) };
    let calendar = calendar.sorted().expect("sound");
    for (date, kind) in [
        ("1970-01-01", DayKind::Workday),
        ("1969-12-28", DayKind::Weekend),
        ("2026-09-30", DayKind::Workday),
        ("2026-10-01", DayKind::Holiday),
        ("2026-10-07", DayKind::Holiday),
        ("2026-10-10", DayKind::Workday),
        ("2026-10-11", DayKind::Weekend),
        ("2028-02-29", DayKind::Workday),
    ] {
        let day: Date = date.parse().expect("a date");
        assert_eq!((calendar.kind(day), day.to_string()), (kind, date.to_string()));
    }
    let both = Calendar { working: dates(&["2026-10-01"]), ..calendar };
    assert_eq!(both.sorted(), Err("calendar cn: 2026-10-01 is a holiday and a working day: take it off one of the two".into()));
}
