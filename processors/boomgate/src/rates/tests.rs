use super::{compare::Figures, *};

const HOURLY: &str = "id = \"t\"\nversion = 1\ncurrency = \"CNY\"\nfree_min = 15\n[[steps]]\nunit_min = 60\nprice = 500\n";

fn tariff(text: &str) -> Tariff {
    choose(&parse(text, Format::Toml, |tables| tables).expect("sound"), None).expect("one table").clone()
}

fn asked(entry: &str, exit: &str) -> Asked {
    let [entry, exit, zone, class, energy] = [entry, exit, "Asia/Shanghai", "small", "fuel"].map(Into::into);
    let (validations, rights, paid) = (Vec::new(), Vec::new(), Vec::new());
    Asked { entry, exit, zone, table: None, class, energy, validations, rights, paid, grace: 15, lost_ticket: false }
}

#[test]
fn a_file_is_one_table_or_reference_data() {
    let two = format!("[[rate_tables]]\n{}\n", HOURLY.replace("[[steps]]", "[[rate_tables.steps]]"));
    let both = format!("{two}{}", two.replace("\"t\"", "\"u\""));
    assert_eq!(parse(HOURLY, Format::Toml, |tables| tables).expect("sound").len(), 1);
    let tariffs = parse(&both, Format::Toml, |tables| tables).expect("sound");
    assert!(choose(&tariffs, Some("u")).is_ok());
    assert_eq!(choose(&tariffs, None).map_err(|e| e.to_string()), Err("there are several rate tables: name one of t, u with --table".into()));
    assert_eq!(choose(&tariffs, Some("x")).map_err(|e| e.to_string()), Err("there is no rate table x: name one of t, u".into()));
    for (text, expected) in [
        ("id = 1", "invalid type"),
        (&HOURLY.replace("unit_min = 60", "unit_min = 0"), "rate table t version 1: step 1: unit_min is 0"),
        (&HOURLY.replace("free_min", "free_minutes"), "unknown field `free_minutes`"),
        ("rate_tables = []", "it has no rate table"),
    ] {
        let error = format!("{:#}", parse(text, Format::Toml, |tables| tables).expect_err(text));
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_is_typed_is_priced() {
    let tariff = tariff(HOURLY);
    let eight_to_noon = || asked("2026-11-23T08:00", "2026-11-23T12:00");
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    for (asked, expected) in [
        (eight_to_noon(), Ok(2_000)),
        (Asked { exit: "2026-11-23T04:00:00Z".into(), ..eight_to_noon() }, Ok(2_000)),
        (Asked { validations: texts(&["time:60@shop"]), ..eight_to_noon() }, Ok(1_500)),
        (Asked { validations: texts(&["percent:10"]), ..eight_to_noon() }, Ok(1_800)),
        (Asked { rights: texts(&["2026-11-23T07:00/2026-11-23T11:00"]), ..eight_to_noon() }, Ok(500)),
        (Asked { paid: texts(&["1500@2026-11-23T11:00"]), ..eight_to_noon() }, Ok(500)),
        (Asked { paid: texts(&["2000@2026-11-23T11:50"]), ..eight_to_noon() }, Ok(0)),
        (Asked { class: "tank".into(), ..eight_to_noon() }, Err("unknown variant `tank`")),
        (Asked { validations: texts(&["time"]), ..eight_to_noon() }, Err("needs a number")),
        (Asked { zone: "Mars".into(), ..eight_to_noon() }, Err("no time zone Mars")),
        (Asked { entry: "eight".into(), ..eight_to_noon() }, Err("\"eight\" is no time")),
        (asked("2026-11-23T12:00", "2026-11-23T08:00"), Err("the stay ends before it begins")),
        (Asked { lost_ticket: true, ..eight_to_noon() }, Err("has no price for a lost ticket")),
    ] {
        match (price(&tariff, &asked), expected) {
            (Ok(quote), Ok(fen)) => assert_eq!(quote.total.minor, fen, "{asked:?}"),
            (Err(error), Err(part)) => assert!(format!("{error:#}").contains(part), "{error:#}"),
            (other, _) => panic!("{asked:?}: {other:?}"),
        }
    }
}

#[test]
fn every_stay_is_counted() {
    let tomorrow = HOURLY.replace("unit_min = 60\nprice = 500", "unit_min = 30\nprice = 300");
    let tomorrow = tomorrow.replace("version = 1", "version = 1\nvalid_from = \"2030-01-01T00:00\"");
    let old = tariff(HOURLY);
    let new = choose(&parse(&tomorrow, Format::Toml, compare::timeless).expect("sound"), None).expect("one table").clone();
    let text = "entry,exit,bay,lot\n\
        2026-11-23 08:00:00,2026-11-23 08:20:00,1,a\n\
        2026-11-23 08:00:00,2026-11-23 09:00:00,1,a\n\
        2026-11-23 08:00:00,2026-11-23 08:10:00,1,b\n\
        2026-11-23 08:00:00,2026-11-23 07:00:00,1,b\n\
        ,2026-11-23 07:00:00,1,b\n\
        2026-11-23T00:00:00+00:00,2026-11-23T00:20:00+00:00,2,c\n";
    let outcome = compare::count(&old, &new, text, &Clock::named("Asia/Shanghai").expect("a zone")).expect("stays");
    let a = Figures { stays: 2, dearer: (1, 100), cheaper: (1, 200), old: 1_000, new: 900, ..Figures::default() };
    let b = Figures { stays: 2, unpriced: 1, same: 1, ..Figures::default() };
    let c = Figures { stays: 1, cheaper: (1, 200), old: 500, new: 300, ..Figures::default() };
    assert_eq!(outcome.lots.into_iter().collect::<Vec<_>>(), [("a".into(), a), ("b".into(), b), ("c".into(), c)]);
    assert_eq!(outcome.refused.values().sum::<u64>(), 2);
}

#[test]
fn the_ends_of_tiers_are_shown() {
    let tiers = |to: i64| {
        let lines = format!("[{{ type = 'flat_rate_tier', to_min = {to}, price = 500 }}, {{ type = 'flat_rate_tier', price = 1200 }}]");
        tariff(&format!("id = 't'\nversion = 1\ncurrency = 'CNY'\n[[terms]]\n[[terms.collections]]\nlines = {lines}\n"))
    };
    let (hour, odd, clock) = (tiers(60), tiers(100), Clock::named("Asia/Shanghai").expect("a zone"));
    for (tariff, shown) in [(&hour, None), (&odd, Some("100 min"))] {
        let sheet = &sheets(tariff)[0];
        let lengths = lengths(tariff, sheet);
        assert_eq!((lengths.get(&100).map(String::as_str), lengths.len()), (shown, LENGTHS.len() + usize::from(shown.is_some())));
        let at = clock.moment("2026-11-23T08:00").expect("a moment");
        let prices: Vec<_> = [15, 60, 100, 101, 1_440].map(|minutes| cell(tariff, sheet, &clock.zone, at, minutes)).into();
        let hundred = if shown.is_some() { 500 } else { 1_200 };
        assert_eq!(prices, [Some(500), Some(500), Some(hundred), Some(1_200), Some(1_200)]);
    }
}

const CENTRE: &str = include_str!("../../../rules/tariffs/centre.toml");

#[test]
fn the_centre_shows_every_choice() {
    // The short form, `steps` and `cap_per_24h`, and ends that are the next one's begin, of a version or a line, are not in it.
    let table = ["id", "version", "currency", "valid_from", "on_change", "calendar", "lost_ticket", "not_served", "rounding", "validations", "terms"];
    let terms = ["name", "classes", "energies", "free_min", "free", "restart", "boundary", "full_24h", "cap", "cap_per_stay", "min_per_stay"];
    let coupons = ["stacking", "count_max", "amount_max", "per_vehicle_day", "free_time_from"];
    let lines = ["max_stay_min", "collections", "hours", "days", "lines", "type", "to_min", "unit_min", "price", "charged", "min_value", "max_value"];
    let is_shown = |word: &&str| {
        CENTRE.contains(&format!("{word} = ")) || CENTRE.contains(&format!("rate_tables.{word}]")) || CENTRE.contains(&format!("terms.{word}]"))
    };
    let missing: Vec<&str> = table.into_iter().chain(coupons).chain(terms).chain(lines).filter(|word| !is_shown(word)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn a_plot_has_a_picture_for_each_kind_of_vehicle() {
    let tariff = tariff(CENTRE);
    let sheets = sheets(&tariff);
    assert_eq!(
        sheets.iter().map(|sheet| sheet.name.as_str()).collect::<Vec<_>>(),
        ["centre version 7, cars (CNY)", "centre version 7, new energy (CNY)", "centre version 7, lorries and coaches (CNY)",]
    );
    let clock = Clock::named("Asia/Shanghai").expect("a zone");
    let ways = ways(&tariff, 0, &clock);
    let shown: Vec<_> = ways.iter().map(|(name, at)| (name.as_str(), clock.show(*at))).collect();
    assert_eq!(
        shown,
        [
            ("Monday 08:00", "2026-01-05 08:00".into()),
            ("Monday 20:00", "2026-01-05 20:00".into()),
            ("Saturday 08:00", "2026-01-10 08:00".into()),
            ("holiday 08:00", "2026-10-01 08:00".into()),
        ]
    );
    let line = |name: &str, last| plot::Line { name: name.into(), prices: vec![Some(0), Some(0), Some(last), Some(last), None] };
    let lines = vec![line("Monday", 500), line("Saturday", 400), line("holiday", 400)];
    let plots = [plot::Plot { name: "a < b".into(), currency: schema::Currency::Cny, lines }];
    let svg = plot::draw(&plots).expect("it can be drawn");
    assert!(svg.contains("a &lt; b") && svg.contains("Monday") && svg.contains("Saturday, holiday") && !svg.contains("href"));
}
