//! What can happen to an event and to a payment, and how often.
//!
//! Invariants
//! 1. Every fate has a word of its own, which stands in the ids   (`city::tests::an_id_tells_its_fate`).

use rand::{Rng, RngExt};
use schema::EventId;

/// What happens to the events of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Both are sent once, at once.
    Plain,
    /// Each is sent again, soon after.
    Again,
    /// The entry is sent only after the exit.
    LateEntry,
    /// The exit is sent hours after the car left.
    LateExit,
    /// The plate is read a second time at the exit.
    ReadTwice,
    /// The car comes in a second time while it is inside.
    Inside,
    /// The lane has no answer, lets the car in and out by itself, and tells so later. The car comes again before it has paid, to a lot that minds.
    ByItself,
    /// The driver asks at a pay station what is due, pays, and leaves some time after.
    Prepays,
    /// The driver asks twice and goes to the exit at once, whether the money has come or not.
    AsksAndGoes,
    /// A merchant takes something off before the exit.
    Coupon,
    /// A person lets the car in.
    ByHand,
    /// The plate is read wrongly at the entry, and put right when it stands at the exit.
    Misread,
    /// Nobody saw the car come in, and it pays for a lost ticket.
    LostTicket,
    /// The lane opens, and the car turns away.
    NeverCrosses,
    /// The entry is at a lot that nobody has declared.
    Nowhere,
    /// The device's clock is a year ahead.
    Ahead,
    /// The event was kept for two months.
    Old,
    /// The message is no gate event.
    Garbage,
    /// The message is about another lane than its subject.
    Contradiction,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Plain,
        Self::Again,
        Self::LateEntry,
        Self::LateExit,
        Self::ReadTwice,
        Self::Inside,
        Self::ByItself,
        Self::Prepays,
        Self::AsksAndGoes,
        Self::Coupon,
        Self::ByHand,
        Self::Misread,
        Self::LostTicket,
        Self::NeverCrosses,
        Self::Nowhere,
        Self::Ahead,
        Self::Old,
        Self::Garbage,
        Self::Contradiction,
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Again => "again",
            Self::LateEntry => "late_entry",
            Self::LateExit => "late_exit",
            Self::ReadTwice => "read_twice",
            Self::Inside => "inside",
            Self::ByItself => "by_itself",
            Self::Prepays => "prepays",
            Self::AsksAndGoes => "asks_and_goes",
            Self::Coupon => "coupon",
            Self::ByHand => "by_hand",
            Self::Misread => "misread",
            Self::LostTicket => "lost_ticket",
            Self::NeverCrosses => "never_crosses",
            Self::Nowhere => "nowhere",
            Self::Ahead => "ahead",
            Self::Old => "old",
            Self::Garbage => "garbage",
            Self::Contradiction => "contradiction",
        }
    }

    /// The fate that an event's id tells.
    pub fn of(event: &EventId) -> Option<Self> {
        let word = event.as_str().split('-').nth(2)?;
        Self::ALL.into_iter().find(|fate| fate.word() == word)
    }
}

/// How a stay is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Payer {
    /// Once.
    Once,
    /// By the antenna and by phone: one too many.
    Twice,
    /// Once, and the channel says it three times, the last time under another attempt.
    Repeated,
    /// First too much, then what is due.
    WrongAmount,
    /// Once, and a success for a number that is not ours comes as well.
    Stray,
    /// By the antenna, which accepts first and settles later.
    Accepted,
    /// By the antenna and by phone: what is settled counts, and what was accepted before goes back once it settles, too.
    Beaten,
    /// By the antenna, whose debit fails later; then by phone, as a debt.
    Fails,
    /// In cash, at the lot's booth.
    Cash,
    /// By points, cash and phone together; one driver of some changes his mind, and pays all of it by phone.
    Split,
    /// By the antenna, whose debit fails once the car has gone. It is turned away where it comes next, its driver pays by phone, and it comes once
    /// more.
    SettlesDebt,
}

impl Payer {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Once,
        Self::Twice,
        Self::Repeated,
        Self::WrongAmount,
        Self::Stray,
        Self::Accepted,
        Self::Beaten,
        Self::Fails,
        Self::Cash,
        Self::Split,
        Self::SettlesDebt,
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Twice => "twice",
            Self::Repeated => "repeated",
            Self::WrongAmount => "wrong_amount",
            Self::Stray => "stray",
            Self::Accepted => "accepted",
            Self::Beaten => "beaten",
            Self::Fails => "fails",
            Self::Cash => "cash",
            Self::Split => "split",
            Self::SettlesDebt => "settles_debt",
        }
    }

    /// How the stay is paid whose exit has this id.
    pub fn of(event: &EventId) -> Option<Self> {
        let word = event.as_str().split('-').nth(3)?;
        Self::ALL.into_iter().find(|payer| payer.word() == word)
    }
}

/// How often what happens, in thousandths; what is left is plain, and paid once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Fates other than plain.
    pub fates: Vec<(Fate, u32)>,
    /// Payers other than once.
    pub payers: Vec<(Payer, u32)>,
}

impl Mix {
    /// Nothing goes wrong.
    pub const fn smooth() -> Self {
        Self { fates: Vec::new(), payers: Vec::new() }
    }

    /// What an ordinary bad day brings.
    pub fn demo() -> Self {
        let fates = vec![
            (Fate::Again, 10),
            (Fate::LateEntry, 10),
            (Fate::LateExit, 5),
            (Fate::ReadTwice, 10),
            (Fate::Inside, 5),
            (Fate::ByItself, 10),
            (Fate::Prepays, 150),
            (Fate::AsksAndGoes, 20),
            (Fate::Coupon, 50),
            (Fate::ByHand, 5),
            (Fate::Misread, 5),
            (Fate::LostTicket, 3),
            (Fate::NeverCrosses, 3),
            (Fate::Nowhere, 2),
            (Fate::Ahead, 2),
            (Fate::Old, 2),
            (Fate::Garbage, 2),
            (Fate::Contradiction, 2),
        ];
        let payers = vec![
            (Payer::Twice, 30),
            (Payer::Repeated, 20),
            (Payer::WrongAmount, 5),
            (Payer::Stray, 2),
            (Payer::Accepted, 200),
            (Payer::Beaten, 10),
            (Payer::Fails, 10),
            (Payer::Cash, 60),
            (Payer::Split, 20),
            (Payer::SettlesDebt, 10),
        ];
        Self { fates, payers }
    }

    /// What load is measured with: 1 % comes twice and 1 % late.
    pub fn load() -> Self {
        let fates = vec![(Fate::Again, 10), (Fate::LateEntry, 10), (Fate::LateExit, 10)];
        let payers = vec![(Payer::Twice, 10), (Payer::Repeated, 10)];
        Self { fates, payers }
    }

    /// Half of everything goes wrong.
    pub fn rough() -> Self {
        let fates = Fate::ALL.into_iter().filter(|fate| *fate != Fate::Plain).map(|fate| (fate, 50)).collect();
        let payers = Payer::ALL.into_iter().filter(|payer| *payer != Payer::Once).map(|payer| (payer, 95)).collect();
        Self { fates, payers }
    }

    /// Sets how often one thing happens, in thousandths: a fate or a payer by its word. Gives an error where there is no such word, or more than a
    /// thousand of a thousand come out.
    pub fn set(&mut self, word: &str, per_mille: u32) -> Result<(), String> {
        let fate = Fate::ALL.into_iter().find(|fate| fate.word() == word && *fate != Fate::Plain);
        let payer = Payer::ALL.into_iter().find(|payer| payer.word() == word && *payer != Payer::Once);
        match (fate, payer) {
            (Some(fate), _) => put(&mut self.fates, fate, per_mille),
            (None, Some(payer)) => put(&mut self.payers, payer, per_mille),
            (None, None) => {
                let words = Fate::ALL.into_iter().skip(1).map(Fate::word).chain(Payer::ALL.into_iter().skip(1).map(Payer::word));
                return Err(format!("nothing happens that is called {word}: it is one of {}", words.collect::<Vec<_>>().join(", ")));
            }
        }
        let sums = [self.fates.iter().map(|(_, weight)| weight).sum::<u32>(), self.payers.iter().map(|(_, weight)| weight).sum()];
        if sums.into_iter().any(|sum| sum > 1_000) { Err(format!("{word}: more than a thousand of a thousand visits have a share")) } else { Ok(()) }
    }

    /// Whether anybody pays at a booth.
    pub(super) fn has_booths(&self) -> bool {
        self.payers.iter().any(|(payer, weight)| matches!(payer, Payer::Cash | Payer::Split) && *weight > 0)
    }

    /// Draws a fate and a payer.
    pub(super) fn draw(&self, dice: &mut impl Rng) -> (Fate, Payer) {
        (pick(&self.fates, Fate::Plain, dice), pick(&self.payers, Payer::Once, dice))
    }
}

fn put<T: PartialEq>(weights: &mut Vec<(T, u32)>, what: T, per_mille: u32) {
    weights.retain(|(known, _)| *known != what);
    weights.push((what, per_mille));
}

fn pick<T: Copy>(weights: &[(T, u32)], rest: T, dice: &mut impl Rng) -> T {
    let mut drawn = dice.random_range(0..1_000);
    for (value, weight) in weights {
        if drawn < *weight {
            return *value;
        }
        drawn -= weight;
    }
    rest
}
