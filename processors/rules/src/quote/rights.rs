//! Which parts of a stay a right covers, by the lot's own clock.
//!
//! Invariants
//! 1. A minute is covered where the right holds at it, and nowhere else   (`tests::a_minute_is_covered_where_the_right_holds`).

use super::STAY_MAX;
use schema::{Moment, Zone, fact::LocalMinute, journal::RightUsed, rate::Segment, time::MINUTE};

/// The parts of a stay from one moment to another that a right covers, in order, none of which touches the next.
pub fn segments(right: &RightUsed, (entered_at, left_at): (Moment, Moment), zone: &Zone) -> Vec<Segment> {
    let (from, until) = (entered_at.max(right.from), left_at.min(right.until));
    if from >= until || left_at.since(entered_at) > STAY_MAX {
        return Vec::new();
    }
    let segment = |from, until| Segment { from, until, right: right.id.as_str().into() };
    if right.bands.is_empty() {
        return vec![segment(from, until)];
    }
    // Nothing changes before a band begins or ends; and where clocks are changed, they are at a full hour.
    let next = |moment: Moment, local: LocalMinute| {
        let bounds = right
            .bands
            .iter()
            .flat_map(|band| [band.from_min, band.to_min])
            .chain([local.minute.saturating_sub(local.minute % 60).saturating_add(60)]);
        let minutes = bounds.filter(|bound| *bound > local.minute).map(|bound| bound.saturating_sub(local.minute)).min().unwrap_or(1);
        let minute = moment.0.saturating_sub(moment.0.rem_euclid(MINUTE));
        Moment(minute.saturating_add(MINUTE.saturating_mul(i64::from(minutes))))
    };
    let (mut found, mut at, mut open) = (Vec::new(), from, None);
    while at < until {
        let local = LocalMinute::of(zone, at);
        match (right.bands.iter().any(|band| band.covers(local)), open) {
            (true, None) => open = Some(at),
            (false, Some(begun)) => {
                found.push(segment(begun, at));
                open = None;
            }
            _ => {}
        }
        at = next(at, local);
    }
    found.extend(open.map(|begun| segment(begun, until)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{
        fact::{TimeBand, Weekdays},
        time::DAY,
    };

    /// Monday, 2026-11-23, in Shanghai, so many minutes after midnight.
    fn at(minute: i64) -> Moment {
        Moment(1_795_363_200_000_000).plus(minute * MINUTE)
    }

    #[test]
    fn a_minute_is_covered_where_the_right_holds() {
        let zone = Zone::named("Asia/Shanghai").expect("it is one");
        let band = |days, from_min, to_min| TimeBand { days, from_min, to_min };
        let office = vec![band(Weekdays::WORKDAYS, 480, 1080)];
        let night = vec![band(Weekdays::ALL, 1320, 360)];
        let both = [office.clone(), night.clone()].concat();
        for (bands, (from, until), stay, expected) in [
            (vec![], (0, 10_000), (100, 200), vec![(100, 200)]),
            (vec![], (150, 10_000), (100, 200), vec![(150, 200)]),
            (vec![], (0, 150), (100, 200), vec![(100, 150)]),
            (vec![], (0, 100), (100, 200), vec![]),
            (office.clone(), (0, 10_000), (400, 1_200), vec![(480, 1_080)]),
            (office.clone(), (0, 10_000), (500, 600), vec![(500, 600)]),
            (office, (0, 10_000), (1_000, 2_000), vec![(1_000, 1_080), (1_920, 2_000)]),
            (night.clone(), (0, 10_000), (1_300, 1_900), vec![(1_320, 1_800)]),
            (night, (0, 1_500), (1_300, 1_900), vec![(1_320, 1_500)]),
            (both, (0, 10_000), (0, 1_440), vec![(0, 360), (480, 1_080), (1_320, 1_440)]),
        ] {
            let right = RightUsed { id: "pass-1".parse().expect("a name"), from: at(from), until: at(until), bands };
            let found: Vec<_> = segments(&right, (at(stay.0), at(stay.1)), &zone).into_iter().map(|segment| (segment.from, segment.until)).collect();
            let expected: Vec<_> = expected.into_iter().map(|(from, until)| (at(from), at(until))).collect();
            assert_eq!(found, expected, "{:?} {stay:?}", right.bands);
        }
    }

    #[test]
    fn a_year_of_nights_is_found_quickly_enough() {
        let zone = Zone::named("Asia/Shanghai").expect("it is one");
        let bands = vec![TimeBand { days: Weekdays::ALL, from_min: 1320, to_min: 360 }];
        let right = RightUsed { id: "pass-1".parse().expect("a name"), from: at(0), until: at(0).plus(400 * DAY), bands };
        assert_eq!(segments(&right, (at(720), at(720).plus(365 * DAY)), &zone).len(), 365);
    }
}
