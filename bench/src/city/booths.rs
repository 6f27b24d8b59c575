//! The booths of a city: each lot has one, where a cashier takes cash.
//!
//! Invariants
//! 1. A shift begins at each lot before the first car comes   (`tests::each_lot_has_a_shift_where_somebody_pays_at_a_booth`).
//!
//! Not here: who pays there, and how the shifts end (`world::booths`).

use super::City;
use schema::{
    Currency, DeskEvent, Money,
    desk::{AuthorId, Says, ShiftName, ShiftStep},
};

/// What is in a drawer when its shift begins, in fen.
const FLOAT: i64 = 20_000;

/// The shift of each lot's booth.
pub fn shift() -> ShiftName {
    "day".parse().expect("letters are a name")
}

/// Who sits there.
pub fn cashier() -> AuthorId {
    "cashier".parse().expect("letters are a name")
}

/// The shifts begin.
pub(super) fn opened(city: &City) -> Vec<DeskEvent> {
    let opens = Says::Shift { shift: shift(), step: ShiftStep::Opened(Money::new(FLOAT, Currency::Cny)) };
    let lots = city.declared.lots.iter().map(|lot| DeskEvent {
        id: "shift-opens".parse().expect("letters are a token"),
        lot: lot.lot,
        said_at: city.shape.from,
        author: cashier(),
        reason: "the day begins".into(),
        says: opens.clone(),
    });
    lots.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::city::{Mix, Shape};
    use schema::Moment;

    #[test]
    fn each_lot_has_a_shift_where_somebody_pays_at_a_booth() {
        let shape = Shape::demo(3, Moment(1_795_399_200_000_000));
        let count = |city: &City| city.said().iter().filter(|event| matches!(event.says, Says::Shift { .. })).count();
        let city = City::new(shape.clone());
        assert_eq!((city.has_booths(), count(&city)), (true, 700));
        assert!(opened(&city).into_iter().all(|event| event.checked().is_ok()));
        let city = City::new(Shape { mix: Mix::smooth(), ..shape });
        assert_eq!((city.has_booths(), count(&city), city.shifts().len()), (false, 0, 700));
    }
}
