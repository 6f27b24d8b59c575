//! The cars of which a city knows something beforehand: holders of passes, and banned ones.
//!
//! Invariants
//! 1. A car is a holder, banned, or neither   (`tests::nobody_is_two_things`).

use super::City;
use rand::{Rng, RngExt};
use schema::{
    Credential, DeskEvent,
    desk::Says,
    fact::{AssignedRight, Ban, PartId, Scope, What},
    gate::Colour,
    time::DAY,
};

/// The car of a visit, if it is one of the fleet.
pub(super) fn draw(city: &City, dice: &mut impl Rng) -> Option<Credential> {
    let fleet = city.shape.fleet;
    let drawn = dice.random_range(0..1_000);
    if drawn < fleet.holders_per_mille && fleet.holders > 0 {
        return Some(holder(dice.random_range(0..fleet.holders)));
    }
    let banned_too = fleet.holders_per_mille + fleet.banned_per_mille;
    ((fleet.holders_per_mille..banned_too).contains(&drawn) && fleet.banned > 0).then(|| banned(dice.random_range(0..fleet.banned)))
}

/// Letters that no other car of the city has in this place.
pub(super) fn holder(number: u32) -> Credential {
    Credential::plate(&format!("京Y{number:05}"), Colour::Blue)
}

pub(super) fn banned(number: u32) -> Credential {
    Credential::plate(&format!("津Y{number:05}"), Colour::Blue)
}

/// Each is said at the desk of some lot, and holds in all lots of its operator.
pub(super) fn said(city: &City) -> Vec<DeskEvent> {
    let (fleet, from) = (city.shape.fleet, city.shape.from);
    let lots = &city.declared.lots;
    let says = |number: u32, part: PartId, what: What, of: Vec<Credential>| {
        let lot = lots[number as usize % lots.len()].lot;
        let (id, author) = (part.as_str().parse().expect("a name"), "city".parse().expect("a name"));
        DeskEvent { id, lot, said_at: from, author, reason: "the city begins".into(), says: Says::Stated { part, what, of } }
    };
    let scope = |number: u32| Scope::Operator(lots[number as usize % lots.len()].operator);
    let name = |text: String| text.parse().expect("letters and digits are a name");
    let passes = (0..fleet.holders / 2).map(|number| {
        let (from, until) = (from.plus(-DAY), from.plus(400 * DAY));
        let right = AssignedRight { scope: scope(number), bands: Vec::new(), from, until, cars_max: 1, holders: Vec::new() };
        says(number, name(format!("pass-{number}")), What::Right(right), vec![holder(2 * number), holder(2 * number + 1)])
    });
    let bans = (0..fleet.banned).map(|number| {
        let ban = Ban { scope: scope(number), from: from.plus(-DAY), until: None, reason: "it left without paying, often".into() };
        says(number, name(format!("ban-{number}")), What::Ban(ban), vec![banned(number)])
    });
    passes.chain(bans).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::city::Shape;
    use schema::{Moment, fact::Kind};
    use std::collections::BTreeSet;

    #[test]
    fn nobody_is_two_things() {
        let city = City::new(Shape { visits_max: 3_000, ..Shape::demo(3, Moment(1_795_399_200_000_000)) });
        let mut known = BTreeSet::new();
        let mut kinds = [0, 0];
        for event in said(&city) {
            let Says::Stated { what, of, .. } = event.checked().expect("it is sound").says else { panic!("a statement") };
            kinds[usize::from(what.kind() == Kind::Bans)] += 1;
            assert!(of.into_iter().all(|car| known.insert(car)), "each car is named once");
        }
        assert_eq!((kinds, known.len()), ([200, 40], 440));
        let visits: BTreeSet<(u64, Credential)> = city.plan().map(|action| (action.visit, action.event.credential)).collect();
        let theirs = visits.iter().filter(|(_, car)| known.contains(car)).count();
        assert!((300..640).contains(&theirs), "{theirs} of 3,000 visits are the fleet's");
    }
}
