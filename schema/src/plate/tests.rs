use super::*;
use crate::time::MINUTE;
use proptest::prelude::*;

/// Text of any device: what plates are made of, what devices add, and anything else.
fn any_plate() -> impl Strategy<Value = String> {
    let usual = prop_oneof![
        proptest::sample::select(PROVINCES.map(|(c, _)| c).to_vec()),
        proptest::char::range('A', 'Z'),
        proptest::char::range('a', 'z'),
        proptest::char::range('0', '9'),
        proptest::sample::select("·.- 　挂学警港澳使领Ａｚ９".chars().collect::<Vec<_>>()),
        any::<char>(),
    ];
    proptest::collection::vec(usual, 0..12).prop_map(|characters| characters.into_iter().collect())
}

#[track_caller]
fn check(text: &str, format: Format, colour: Option<Colour>) {
    let plain = normalise(text);
    assert_eq!(Format::of(&plain), format, "{text}");
    assert_eq!(Format::of(&plain).colour(), colour, "{text}");
}

#[test]
fn each_format_is_known_by_its_shape() {
    use Format::{Consulate, Embassy, HongKong, Learner, Macau, NewEnergyLarge, NewEnergySmall, Ordinary, Police, Trailer, Unknown};
    let (black, green, white, yellow) = (Some(Colour::Black), Some(Colour::Green), Some(Colour::White), Some(Colour::Yellow));
    for (text, format, colour) in [
        ("粤B12345", Ordinary, None),
        ("京A1B2C3", Ordinary, None),
        ("新ABCDEF", Ordinary, None),
        ("粤BD12345", NewEnergySmall, green),
        ("粤BF1234", Ordinary, None),
        ("沪AK12345", NewEnergySmall, green),
        ("沪AJA2345", NewEnergySmall, green),
        ("沪AAB2345", NewEnergySmall, green),
        ("沪AL12345", Unknown, None),
        ("沪AD1234X", Unknown, None),
        ("苏E12345D", NewEnergyLarge, green),
        ("苏E12345L", Unknown, None),
        ("鲁B1234挂", Trailer, yellow),
        ("鲁B1234学", Learner, yellow),
        ("鲁B1234警", Police, white),
        ("京O1234警", Police, white),
        ("京O12345", Unknown, None),
        ("京I12345", Unknown, None),
        ("京A1234O", Unknown, None),
        ("粤ZA123港", HongKong, black),
        ("粤Z1234澳", Macau, black),
        ("粤B1234港", Unknown, None),
        ("224578使", Embassy, black),
        ("22457使", Unknown, None),
        ("沪A0023领", Consulate, black),
        ("沪22478领", Consulate, black),
        ("沪2247领", Unknown, None),
        ("WJ粤12345", Unknown, None),
        ("应急12345", Unknown, None),
        ("海A12345", Unknown, None),
        ("x粤B12345", Unknown, None),
        ("粤B123456", Unknown, None),
        ("粤BD123456", Unknown, None),
        ("粤B1234", Unknown, None),
        ("AB12 CDE", Unknown, None),
        ("粤", Unknown, None),
        ("", Unknown, None),
    ] {
        check(text, format, colour);
    }
}

#[test]
fn every_province_has_one_code() {
    let facts = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
    assert_eq!(facts.chars().count(), PROVINCES.len());
    let mut codes: Vec<u8> = facts.chars().map(|c| province(&format!("{c}A12345")).expect("it is one").0).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), PROVINCES.len());
    for (text, code) in [("粤B12345", Some(44)), ("京A12345", Some(11)), ("新A12345", Some(65)), ("224578使", None), ("", None), ("海A1", None)]
    {
        assert_eq!(province(text), code.map(Province), "{text}");
    }
}

#[test]
fn devices_that_write_differently_mean_the_same_plate() {
    for text in ["粤B12345", "粤b12345", "粤B·12345", "粤B 12345", "粤Ｂ１２３４５", " 粤B•12345\n", "粤B.12345", "粤-B-12345", "粤ｂ　１２３４５"]
    {
        assert_eq!(Credential::plate(text, Colour::Blue).identity(), Credential::plate("粤B12345", Colour::Blue), "{text:?}");
    }
}

#[test]
fn an_identity_is_text_and_colour_class() {
    let of = |text: &str, colour| Credential { kind: CredentialKind::Plate, text: text.into(), colour }.identity();
    // The same text exists in blue and in yellow: two cars.
    assert_ne!(of("粤B12345", Some(Colour::Blue)), of("粤B12345", Some(Colour::Yellow)));
    // Where the format has one colour, what the camera saw of it does not count.
    for seen in [None, Some(Colour::Blue), Some(Colour::Green), Some(Colour::Yellow)] {
        assert_eq!(of("粤BD12345", seen).colour, Some(Colour::Green), "{seen:?}");
    }
    // A ticket is not a plate: its text is the issuer's.
    let ticket = Credential { kind: CredentialKind::Ticket, text: "a-7".into(), colour: None };
    assert_eq!(ticket.clone().identity(), ticket);
}

#[test]
fn vendors_words_are_colour_classes() {
    for (word, class) in [
        ("BLUE", Some(Colour::Blue)),
        ("GREEN", Some(Colour::Green)),
        ("YELLOW", Some(Colour::Yellow)),
        ("BLACK", Some(Colour::Black)),
        ("WHITE", Some(Colour::White)),
        ("LIMEGREEN", Some(Colour::Green)),
        ("渐变绿", Some(Colour::Green)),
        (" 蓝色 ", Some(Colour::Blue)),
        ("pink", None),
        ("", None),
    ] {
        assert_eq!(colour(word), class, "{word}");
    }
}

#[test]
fn the_energy_is_told_by_format_and_colour() {
    for (text, colour, energy) in [
        ("粤BD12345", None, Some(Energy::New)),
        ("粤B12345D", Some(Colour::Green), Some(Energy::New)),
        ("粤B12345", Some(Colour::Blue), Some(Energy::Fuel)),
        ("粤B12345", Some(Colour::Yellow), Some(Energy::Fuel)),
        ("粤B12345", Some(Colour::Green), Some(Energy::New)),
        ("粤B12345", None, None),
        ("京O1234警", Some(Colour::White), None),
        ("FOREIGN1", Some(Colour::Black), None),
    ] {
        assert_eq!(Credential { kind: CredentialKind::Plate, text: text.into(), colour }.energy(), energy, "{text} {colour:?}");
    }
}

#[test]
fn candidates_come_by_distance_and_time() {
    let plate = |text| Credential::plate(text, Colour::Blue);
    let inside = [
        ("粤B12345", 10),
        ("粤BI2345", 20),
        ("粤BI234S", 90),
        ("粤BI234S", 30),
        ("京B12345", 40),
        ("粤B92345", 50),
        ("粤B1234", 60),
        ("粤B99345", 70),
        ("粤B99945", 80),
    ]
    .map(|(text, minutes)| (plate(text), Moment(minutes * MINUTE)));
    let read = plate("粤B12345");
    let list = |count_max| -> Vec<String> {
        let among = inside.iter().map(|(credential, entered_at)| (credential, *entered_at, &*credential.text));
        let found = candidates(&read, Moment(85 * MINUTE), among, count_max);
        found.into_iter().map(|c| format!("{} {} {}", c.what, c.distance, c.entered_at.0 / MINUTE)).collect()
    };
    // Who came after the exit is not among them, nor is a plate of three other characters.
    assert_eq!(list(9), ["粤B12345 0 10", "粤BI2345 1 20", "京B12345 2 40", "粤BI234S 2 30", "粤B1234 3 60", "粤B92345 3 50", "粤B99345 6 70"]);
    assert_eq!(list(2), ["粤B12345 0 10", "粤BI2345 1 20"]);
    assert_eq!(list(0), [""; 0]);
}

#[test]
fn another_colour_is_further_away() {
    let inside = [Credential::plate("粤B12345", Colour::Yellow), Credential::plate("粤B12345", Colour::Blue)];
    let among = inside.iter().map(|credential| (credential, Moment(0), credential.colour));
    let found = candidates(&Credential::plate("粤B12345", Colour::Blue), Moment(0), among, 9);
    assert_eq!(found.iter().map(|c| (c.what, c.distance)).collect::<Vec<_>>(), [(Some(Colour::Blue), 0), (Some(Colour::Yellow), 1)]);
}

proptest! {
    #[test]
    fn any_text_has_a_format(text in any_plate()) {
        let plain = normalise(&text);
        let format = Format::of(&plain);
        prop_assert!(format == Format::Unknown || (7..=8).contains(&plain.chars().count()));
        // Nothing is lost but what stands between the characters.
        prop_assert!(plain.chars().count() <= text.chars().count());
        prop_assert_eq!(plain.is_empty(), text.is_empty());
    }

    #[test]
    fn an_identity_is_its_own_identity(text in any_plate(), colour in proptest::option::of(Just(Colour::Blue))) {
        let once = Credential { kind: CredentialKind::Plate, text: text.into(), colour }.identity();
        prop_assert_eq!(once.clone().identity(), once);
    }

    #[test]
    fn a_distance_is_the_same_from_both_sides(one in any_plate(), other in any_plate()) {
        let characters = |text: &str| text.chars().collect::<Vec<_>>();
        let there = distance(&characters(&one), &other);
        prop_assert_eq!(there, distance(&characters(&other), &one));
        prop_assert_eq!(there == 0, one == other);
        let longest = one.chars().count().max(other.chars().count());
        prop_assert!(there <= u32::try_from(longest).expect("a short one") * OTHER);
    }
}
