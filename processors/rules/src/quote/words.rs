//! A quote's line in words, as a service desk reads it to a driver.
//!
//! Invariants
//! 1. Every kind of line has its words   (an exhaustive match; `tests::a_line_says_why_it_is_there`).

use schema::{
    Currency, Money,
    journal::{LineKind, QuoteLine},
};

/// Why a line is there.
pub fn why(line: &QuoteLine, currency: Currency) -> String {
    let money = |minor: i64| Money::new(minor, currency).number();
    let price = money(line.unit_price);
    let rate_line = line.rate_line.as_deref().filter(|name| !name.is_empty()).unwrap_or("the band");
    let due_to = line.due_to.as_deref().unwrap_or_default();
    let coupon = |what: String| {
        let bearer = line.bearer.as_deref().map(|bearer| format!(" of {bearer}")).unwrap_or_default();
        let verdict = match (line.over, line.amount) {
            (true, _) => ", over what its vehicle may use in a day: takes nothing off",
            (false, 0) => ", takes nothing off",
            (false, _) => "",
        };
        format!("coupon {due_to}{bearer}: {what}{verdict}")
    };
    match line.what {
        LineKind::Free => "free minutes".into(),
        LineKind::Step => format!("{rate_line}: {} × {price}", line.units),
        LineKind::Flat if line.units == 0 => format!("{rate_line}, charged already"),
        LineKind::Flat => format!("{rate_line}, flat"),
        LineKind::Tier if line.units > 1 => format!("{rate_line}: {} × {price}", line.units),
        LineKind::Tier if line.units == 0 && line.amount == 0 => format!("{rate_line}, charged already"),
        LineKind::Tier if line.units == 0 => format!("{rate_line}, {price} in all, less what was charged already"),
        LineKind::Tier => format!("{rate_line}, {price} in all"),
        LineKind::FullDay => format!("full 24 hours: {} × {price}", line.units),
        LineKind::Cap => format!("a day costs at most {price}"),
        LineKind::BandCap | LineKind::LineCap => format!("{rate_line} costs at most {price}"),
        LineKind::StayCap => format!("a stay costs at most {price}"),
        LineKind::Minimum => format!("a stay costs at least {price}"),
        LineKind::LineMinimum => format!("{rate_line} costs at least {price}"),
        LineKind::Right => format!("under right {due_to}"),
        LineKind::ValidationFree => coupon("all free".into()),
        LineKind::ValidationTime => coupon(format!("{} minutes free", line.units)),
        LineKind::ValidationPercent => coupon(format!("{} % off", line.unit_price)),
        LineKind::ValidationAmount => coupon(format!("{price} off")),
        LineKind::Rounding => format!("rounded to {price}"),
        LineKind::Grace => "minutes to leave after paying".into(),
        LineKind::Paid => format!("paid before: {price}, {due_to}"),
        LineKind::LostTicket => "lost ticket".into(),
    }
}
