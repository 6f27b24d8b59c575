//! What is known of a vehicle beside its stay here: its rights, bans, arrears, presence in other lots, reservations and the coupons that it has used.
//!
//! A fact is the parts of one kind of one credential. Each part has an id of its own and the moment it was recorded: the newest wins, and that
//! it was removed is a part too. So facts are the same in whatever order, and however often, their parts come.
//!
//! Invariants
//! 1. A time band covers the night that it begins in, past midnight and past Sunday   (`tests::a_band_runs_over_midnight`).
//! 2. What was written once can be read for ever   (`wire::tests::every_fact_reads_and_writes_its_golden_bytes`).
//!
//! Not here: what a fact decides (`rules::entry::checks`), where it is kept (`store::cache`).

use crate::{
    Credential, Id, LotId, Moment, Money, Token,
    desk::AuthorId,
    time::{Day, Zone},
};
use serde::{Deserialize, Serialize};
use std::{fmt, ops, sync::Arc};

/// The name of an operator.
pub type OperatorId = Token<32>;
/// The name of a group of lots.
pub type GroupId = Token<32>;
/// The id of a part: unique within the credential and kind.
pub type PartId = Token<64>;

/// The kinds of fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Monthly passes and whitelists.
    Rights,
    /// Who is not let in.
    Bans,
    /// What is owed from earlier stays.
    Arrears,
    /// Where it is now, and where the cars are that share a right with it.
    Presence,
    /// Spaces held for it.
    Reservations,
    /// Merchants' coupons that it has used, where a day has a limit of them.
    Coupons,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Rights, Self::Bans, Self::Arrears, Self::Presence, Self::Reservations, Self::Coupons];

    /// Its word in keys and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rights => "rights",
            Self::Bans => "bans",
            Self::Arrears => "arrears",
            Self::Presence => "presence",
            Self::Reservations => "reservations",
            Self::Coupons => "coupons",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Rights => 1,
            Self::Bans => 2,
            Self::Arrears => 4,
            Self::Presence => 8,
            Self::Reservations => 16,
            Self::Coupons => 32,
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one of them is here.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Those that are here, in order.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |&kind| self.contains(kind))
    }
}

impl From<Kind> for Kinds {
    fn from(kind: Kind) -> Self {
        Self(kind.bit())
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<T: IntoIterator<Item = Kind>>(kinds: T) -> Self {
        kinds.into_iter().fold(Self::NONE, |all, kind| all | kind.into())
    }
}

impl ops::BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl ops::BitAnd for Kinds {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// One part of a fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its id: the same when it changes.
    pub id: PartId,
    /// When this was recorded: the newest wins.
    pub at: Moment,
    /// What it says.
    pub what: What,
}

/// What a part says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A monthly pass or a place on a whitelist.
    Right(AssignedRight),
    /// It is not let in.
    Ban(Ban),
    /// An order that was not paid.
    Arrear(Arrear),
    /// A car that is in a lot.
    Presence(Presence),
    /// A space held for it.
    Reservation(Reservation),
    /// The coupons of a stay that count.
    Coupons(CouponsUsed),
    /// A part of this kind is no more.
    Removed(Kind),
}

impl What {
    /// The kind of fact that it is a part of.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Right(_) => Kind::Rights,
            Self::Ban(_) => Kind::Bans,
            Self::Arrear(_) => Kind::Arrears,
            Self::Presence(_) => Kind::Presence,
            Self::Reservation(_) => Kind::Reservations,
            Self::Coupons(_) => Kind::Coupons,
            Self::Removed(kind) => *kind,
        }
    }
}

/// What somebody at a desk stated of vehicles, as it is in force: the row of a part that no journal but SESSION knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// The lot at whose desk it was said.
    pub lot: LotId,
    /// The part's id.
    pub part: PartId,
    /// What.
    pub what: What,
    /// Of which vehicles; none of a removal.
    pub of: Vec<Credential>,
    /// Who said it.
    pub author: AuthorId,
    /// Why.
    pub reason: Arc<str>,
    /// When it was said.
    pub said_at: Moment,
}

/// Where something holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// In all lots of an operator.
    Operator(OperatorId),
    /// In these lots.
    Lots(Vec<LotId>),
    /// In all lots of these groups.
    Groups(Vec<GroupId>),
}

impl Scope {
    /// Whether it holds in a lot of an operator and of some groups.
    pub fn covers(&self, operator: &OperatorId, lot: &LotId, groups: &[GroupId]) -> bool {
        match self {
            Self::Operator(of) => of == operator,
            Self::Lots(lots) => lots.contains(lot),
            Self::Groups(of) => of.iter().any(|group| groups.contains(group)),
        }
    }
}

/// A right to park without paying by the hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedRight {
    /// Where.
    pub scope: Scope,
    /// When in the week, by the lot's own clock; none is always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<TimeBand>,
    /// Its first moment.
    pub from: Moment,
    /// The moment at which it has ended.
    pub until: Moment,
    /// How many cars may use it at once, over all lots.
    pub cars_max: u32,
    /// The cars that may use it; each of them has this part.
    pub holders: Vec<Credential>,
}

impl AssignedRight {
    /// Whether it counts at a moment, which in the lot is `local`.
    pub fn holds(&self, moment: Moment, local: LocalMinute) -> bool {
        self.from <= moment && moment < self.until && (self.bands.is_empty() || self.bands.iter().any(|band| band.covers(local)))
    }
}

/// That a vehicle is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Where.
    pub scope: Scope,
    /// Its first moment.
    pub from: Moment,
    /// The moment at which it has ended; none where it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Why, for a person.
    pub reason: Arc<str>,
}

/// An order that was left unpaid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrear {
    /// The order.
    pub order: Id,
    /// Whom it is owed to.
    pub operator: OperatorId,
    /// Where.
    pub lot: LotId,
    /// How much.
    pub amount: Money,
}

/// A car that is in a lot. Where it uses a right, each holder of the right has this part, so that one read tells how many use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Its session.
    pub session: Id,
    /// The lot.
    pub lot: LotId,
    /// The car.
    pub credential: Credential,
    /// Since when.
    pub since: Moment,
    /// The right that it uses, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<PartId>,
}

/// A space that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Where.
    pub lot: LotId,
    /// From when.
    pub from: Moment,
    /// The moment at which it is given up.
    pub until: Moment,
}

/// How many coupons of one stay count towards what its vehicle may use on one day. It is of no use once that day is long over, and ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponsUsed {
    /// The stay's session.
    pub session: Id,
    /// In whose lots.
    pub operator: OperatorId,
    /// The local day of its lot, the newest on which one was used.
    pub day: Day,
    /// How many, on that day.
    pub uses: u32,
}

/// A minute of the week by a lot's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalMinute {
    /// 0 is Monday, 6 is Sunday.
    pub weekday: u8,
    /// Minutes since midnight.
    pub minute: u16,
}

impl LocalMinute {
    /// The minute of a moment in a zone.
    pub fn of(zone: &Zone, moment: Moment) -> Self {
        let (weekday, minute) = zone.week_minute(moment);
        Self { weekday, minute }
    }
}

/// Days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weekdays(
    /// Bit 0 is Monday, bit 6 is Sunday.
    pub u8,
);

impl Weekdays {
    /// All seven.
    pub const ALL: Self = Self(0x7f);
    /// Monday to Friday.
    pub const WORKDAYS: Self = Self(0x1f);

    const fn contains(self, weekday: u8) -> bool {
        self.0 >> (weekday % 7) & 1 == 1
    }
}

/// A part of a day, in minutes since midnight. One that ends where it began or before runs over midnight, and belongs to the day it begins on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBand {
    /// The days that it begins on.
    pub days: Weekdays,
    /// Its first minute.
    pub from_min: u16,
    /// The minute before which it ends; 1440 is the end of the day.
    pub to_min: u16,
}

impl TimeBand {
    /// Whether its numbers mean something.
    pub const fn is_sound(self) -> bool {
        self.from_min < 1440 && self.to_min <= 1440 && self.days.0 > 0 && self.days.0 < 128
    }

    /// Whether a minute is in it.
    pub const fn covers(self, local: LocalMinute) -> bool {
        let LocalMinute { weekday, minute } = local;
        if self.from_min < self.to_min {
            return self.days.contains(weekday) && self.from_min <= minute && minute < self.to_min;
        }
        let yesterday = weekday.saturating_add(6) % 7;
        (self.days.contains(weekday) && self.from_min <= minute) || (self.days.contains(yesterday) && minute < self.to_min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    #[test]
    fn a_band_runs_over_midnight() {
        let (monday, friday, weekend) = (Weekdays(1), Weekdays(1 << 4), Weekdays(0b110_0000));
        for (days, from_min, to_min, weekday, minute, covered) in [
            (Weekdays::ALL, 0, 1440, 3, 0, true),
            (Weekdays::ALL, 0, 1440, 3, 1439, true),
            (Weekdays::WORKDAYS, 480, 1080, 4, 480, true),
            (Weekdays::WORKDAYS, 480, 1080, 4, 1080, false),
            (Weekdays::WORKDAYS, 480, 1080, 5, 600, false),
            (friday, 1320, 360, 4, 1319, false),
            (friday, 1320, 360, 4, 1320, true),
            (friday, 1320, 360, 5, 359, true),
            (friday, 1320, 360, 5, 360, false),
            (friday, 1320, 360, 4, 100, false),
            (weekend, 1320, 360, 0, 100, true),
            (weekend, 1320, 360, 5, 100, false),
            (monday, 1320, 360, 6, 1400, false),
            (monday, 600, 600, 0, 700, true),
            (monday, 600, 600, 1, 599, true),
            (monday, 600, 600, 1, 600, false),
        ] {
            let band = TimeBand { days, from_min, to_min };
            assert_eq!(band.covers(LocalMinute { weekday, minute }), covered, "{band:?} on {weekday} at {minute}");
        }
    }

    #[test]
    fn a_minute_is_the_lots_own() {
        // Monday, 2026-11-23T16:30:00Z.
        let moment = Moment(1_795_451_400 * SECOND);
        for (zone, weekday, minute) in [("Asia/Shanghai", 1, 30), ("America/Los_Angeles", 0, 510), ("+05:45", 0, 22 * 60 + 15)] {
            let zone = Zone::named(zone).expect("it is one");
            assert_eq!(LocalMinute::of(&zone, moment), LocalMinute { weekday, minute });
        }
    }

    #[test]
    fn a_scope_covers_by_operator_lot_or_group() {
        let name = |text: &str| text.parse::<Token<32>>().expect("a name");
        for (scope, covered) in [
            (Scope::Operator(name("city")), true),
            (Scope::Operator(name("other")), false),
            (Scope::Lots(vec![name("a"), name("b")]), true),
            (Scope::Lots(vec![name("a")]), false),
            (Scope::Lots(vec![]), false),
            (Scope::Groups(vec![name("x"), name("centre")]), true),
            (Scope::Groups(vec![name("x")]), false),
        ] {
            assert_eq!(scope.covers(&name("city"), &name("b"), &[name("centre"), name("river")]), covered, "{scope:?}");
        }
    }

    #[test]
    fn kinds_are_a_set() {
        let some: Kinds = [Kind::Bans, Kind::Presence, Kind::Bans].into_iter().collect();
        assert_eq!(some.iter().collect::<Vec<_>>(), [Kind::Bans, Kind::Presence]);
        assert_eq!((some & Kind::Bans.into()) | Kind::Rights.into(), [Kind::Rights, Kind::Bans].into_iter().collect());
        assert!((some & Kind::Rights.into()).is_empty());
        assert_eq!(format!("{some:?}"), "{Bans, Presence}");
    }
}
