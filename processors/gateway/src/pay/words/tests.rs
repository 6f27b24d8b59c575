use super::*;
use std::collections::BTreeMap;

fn table(language: Language) -> BTreeMap<String, String> {
    let words = serde_json::to_value(language.words()).expect("texts are JSON");
    serde_json::from_value(words).expect("each is a text")
}

fn gaps(text: &str) -> Vec<&str> {
    let mut gaps: Vec<&str> = text.split('{').skip(1).map(|rest| rest.split('}').next().expect("a gap ends")).collect();
    gaps.sort_unstable();
    gaps
}

#[test]
fn both_languages_have_every_text() {
    let (chinese, english) = (table(Language::Chinese), table(Language::English));
    let is_chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    assert!(chinese.len() > 80 && chinese.len() == english.len());
    for (name, text) in &chinese {
        let other = &english[name];
        assert!(!text.trim().is_empty() && !other.trim().is_empty(), "{name} is not said");
        assert_eq!(gaps(text), gaps(other), "{name}");
        if !["code", "other"].contains(&name.as_str()) {
            assert!(!is_chinese(other), "{name} is not English: {other}");
            let bare = ["etc", "pay_by", "line_step"].contains(&name.as_str());
            assert!(is_chinese(text) || bare, "{name} is not Chinese: {text}");
        }
    }
}

#[test]
fn a_browser_is_answered_in_the_language_that_it_prefers() {
    for (switched, accepts, language) in [
        (None, None, Language::Chinese),
        (None, Some("en-GB,en;q=0.9"), Language::English),
        (None, Some("fr-FR, zh;q=0.3, en;q=0.7"), Language::English),
        (None, Some("en;q=0.5,zh-CN"), Language::Chinese),
        (None, Some("en;q=0, *"), Language::Chinese),
        (None, Some("de"), Language::Chinese),
        (Some("en"), Some("zh"), Language::English),
        (Some("xx"), Some("en"), Language::English),
    ] {
        assert_eq!(Language::wanted(switched, accepts), language, "{switched:?} {accepts:?}");
    }
}

#[test]
fn what_is_filled_in_is_not_filled_again() {
    assert_eq!(fill("{a} and {b}", &[("a", "{b}"), ("b", "2")]), "{b} and 2");
    assert_eq!(fill("{none}, {", &[]), ", {");
}

#[test]
fn an_amount_is_written_as_a_driver_reads_it() {
    assert_eq!(money(Money::new(1_250, Currency::Cny)), "¥12.50");
    assert_eq!(money(Money::new(-50, Currency::Cny)), "−¥0.50");
    assert_eq!(money(Money::new(330, Currency::Jpy)), "330 JPY");
}

#[test]
fn a_coupon_over_its_limit_is_told_to_its_driver() {
    let line = QuoteLine::new(LineKind::ValidationAmount, (0, 60), 1, 300, 0);
    let line = QuoteLine { due_to: Some("v-1".into()), bearer: Some("cinema".into()), over: true, ..line };
    for (language, said) in [
        (Language::English, "Coupon v-1 cinema: ¥3.00 off (more than can be used in a day: nothing is taken off)"),
        (Language::Chinese, "优惠 v-1 cinema：减 ¥3.00（超出当日可用次数，不抵扣）"),
    ] {
        assert_eq!(language.words().line(&line, Currency::Cny), said);
    }
}
