//! What merchants take off a price, and how a price is rounded.
//!
//! Invariants
//! 1. The order in which validations are given does not matter   (`tests::laws::the_order_of_validations_is_defined`).
//! 2. They never take off more than there is   (`tests::laws::validations_never_take_off_more_than_there_is`).
//! 3. One that is over its limit is told, and changes no price   (`tests::laws::a_validation_over_its_limit_changes_no_price`).

use super::NotPriced;
use schema::{
    journal::{LineKind, QuoteLine},
    rate::{RoundingMode, Stacking, Validation, ValidationKind, ValidationRules},
};
use std::cmp::Reverse;

/// The lines of validations, each with its bearer, in the order in which they count; one that does not count takes nothing off.
///
/// `without` is the price with so many minutes of free time.
pub(super) fn lines(
    validations: &[Validation],
    rules: &ValidationRules,
    (price, minutes): (i64, i64),
    rounding: RoundingMode,
    without: impl Fn(i64) -> i64,
) -> Result<Vec<QuoteLine>, NotPriced> {
    let mut ordered: Vec<&Validation> = validations.iter().collect();
    ordered.sort_by_key(|validation| (rank(validation.kind), validation.id.clone()));
    let mut known: Vec<&str> = Vec::with_capacity(ordered.len());
    ordered.retain(|validation| {
        let is_new = !known.contains(&validation.id.as_ref());
        known.push(&validation.id);
        is_new
    });
    if let Some(wrong) = ordered.iter().find(|validation| !is_sound(validation.kind)) {
        return Err(NotPriced::BadValidation { id: wrong.id.clone() });
    }
    let off = |kind: ValidationKind, left: i64, freed: i64| match kind {
        ValidationKind::Free => left,
        ValidationKind::FreeTime { minutes } => without(freed).saturating_sub(without(freed.saturating_add(minutes))).clamp(0, left),
        ValidationKind::Percent { percent } => {
            let stays = 100_i64.saturating_sub(i64::from(percent));
            left.saturating_sub(round(left.saturating_mul(stays), 100, rounding)).clamp(0, left)
        }
        ValidationKind::AmountOff { amount } => amount.min(left),
    };
    let best = match rules.stacking {
        Stacking::Best => {
            let alone = |(at, validation): (usize, &&Validation)| (off(validation.kind, price, 0), Reverse(at));
            ordered.iter().enumerate().filter(|(_, validation)| !validation.over).map(alone).max().map(|(_, Reverse(at))| at)
        }
        Stacking::All | Stacking::None => None,
    };
    let count_max = usize::try_from(rules.count_max.unwrap_or(u32::MAX)).unwrap_or(usize::MAX);
    let (mut left, mut freed, mut counted) = (price, 0_i64, 0_usize);
    let mut lines = Vec::with_capacity(ordered.len());
    for (at, validation) in ordered.into_iter().enumerate() {
        let counts = match rules.stacking {
            Stacking::All => true,
            Stacking::Best => best == Some(at),
            Stacking::None => false,
        };
        let mut amount = 0;
        if counts && !validation.over && counted < count_max {
            let taken = price.saturating_sub(left);
            let most = rules.amount_max.map_or(left, |most| most.saturating_sub(taken).clamp(0, left));
            amount = off(validation.kind, left, freed).min(most);
            counted = counted.saturating_add(1);
            if let ValidationKind::FreeTime { minutes } = validation.kind {
                freed = freed.saturating_add(minutes);
            }
        }
        let (what, units, unit_price) = match validation.kind {
            ValidationKind::Free => (LineKind::ValidationFree, 1, 0),
            ValidationKind::FreeTime { minutes } => (LineKind::ValidationTime, minutes, 0),
            ValidationKind::Percent { percent } => (LineKind::ValidationPercent, 1, i64::from(percent)),
            ValidationKind::AmountOff { amount } => (LineKind::ValidationAmount, 1, amount),
        };
        left = left.saturating_sub(amount);
        let line = QuoteLine::new(what, (0, minutes), units, unit_price, amount.saturating_neg());
        let (due_to, bearer, over) = (Some(validation.id.clone()), Some(validation.bearer.clone()), validation.over);
        lines.push(QuoteLine { due_to, bearer, over, ..line });
    }
    Ok(lines)
}

/// Free, free time, percent, amount off; within a kind the larger first.
fn rank(kind: ValidationKind) -> (u8, i64) {
    match kind {
        ValidationKind::Free => (0, 0),
        ValidationKind::FreeTime { minutes } => (1, minutes.saturating_neg()),
        ValidationKind::Percent { percent } => (2, i64::from(percent).saturating_neg()),
        ValidationKind::AmountOff { amount } => (3, amount.saturating_neg()),
    }
}

fn is_sound(kind: ValidationKind) -> bool {
    match kind {
        ValidationKind::Free => true,
        ValidationKind::FreeTime { minutes } => minutes >= 0,
        ValidationKind::Percent { percent } => percent <= 100,
        ValidationKind::AmountOff { amount } => amount >= 0,
    }
}

/// How many units an amount is, rounded: the only place where anything is.
pub(super) fn round(amount: i64, unit: i64, mode: RoundingMode) -> i64 {
    let unit = unit.max(1);
    let (whole, rest) = (amount.div_euclid(unit), amount.rem_euclid(unit));
    let half = rest.saturating_mul(2).cmp(&unit);
    let is_up = match mode {
        RoundingMode::Down => false,
        RoundingMode::Up => rest > 0,
        RoundingMode::HalfUp => half.is_ge(),
        RoundingMode::HalfEven => half.is_gt() || half.is_eq() && whole.rem_euclid(2) == 1,
    };
    whole.saturating_add(i64::from(is_up))
}
