//! Who parks where and when: the visits of a city, and what its devices send because of them.
//!
//! Invariants
//! 1. Actions come in the order in which they are sent   (`city::tests::a_plan_is_in_order`).
//! 2. Who left unpaid comes again to a lot that minds   (`city::tests::who_owes_comes_again_to_a_lot_that_minds`).
//! 3. So does who settles a debt, and once more after that   (`city::tests::who_settles_a_debt_comes_twice_to_a_lot_that_minds`).

use super::{City, Fate, Payer, fleet, lots};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution, Exp, Zipf};
use schema::{
    Credential, DeskEvent, GateEvent, GateKind, LotId, Moment, Verdict,
    desk::Says,
    gate::Colour,
    rate::{Validation, ValidationKind},
    reference::{LotDeclared, Policy},
    time::{DAY, MINUTE, SECOND},
    wire::{self, Format},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};
use streams::Message;

/// Cars that come, by the hour in Shanghai, in hundredths of the mean.
const RUSH: [u32; 24] = [20, 12, 8, 8, 12, 30, 70, 150, 190, 150, 120, 125, 130, 120, 110, 115, 130, 165, 190, 160, 130, 105, 65, 40];
/// The highest of [`RUSH`], as a factor.
const RUSH_MAX: f64 = 1.9;
/// How many minutes after its exit a car comes that has come to owe meanwhile …
const OWING_AFTER: std::ops::Range<i64> = 15..22;
/// … and how many until it comes once more, where it was turned away: by then its debt is paid.
const AGAIN_AFTER: std::ops::Range<i64> = 45..60;
/// Cars that come back: so many plates there are.
const PLATES: u32 = 400_000;

/// What a message of a plan is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The visit's entry.
    Entry,
    /// The visit's exit, which only happens if the entry was not refused.
    Exit,
    /// What only happens if the entry was not refused: the exit's plate read a second time, a car that crosses.
    ReadAgain,
    /// The entry of a car that was turned away because of what it owed, which only happens if it was.
    Returns,
    /// Something that stands for itself.
    Alone,
}

/// One message that a device sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// When it is sent, in event time.
    pub send_at: Moment,
    /// The visit's number.
    pub visit: u64,
    /// What it is about.
    pub step: Step,
    /// 0 for the first time it is sent.
    pub copy: u8,
    /// What the device saw.
    pub event: GateEvent,
    /// What a person says instead, at the lot's desk.
    pub says: Option<Box<Says>>,
}

impl Action {
    /// The visit's fate.
    pub fn fate(&self) -> Fate {
        Fate::of(&self.event.id).unwrap_or(Fate::Plain)
    }

    /// Whether it is sent long after it was seen.
    pub fn is_late(&self) -> bool {
        match (self.fate(), self.step) {
            (Fate::LateEntry, Step::Entry) | (Fate::LateExit, Step::Exit) | (Fate::Old, _) => true,
            // It comes again to a lane that asks.
            (Fate::ByItself, _) => self.event.decided.is_some(),
            _ => false,
        }
    }

    /// Whether a driver stands at the lane and waits for what it says.
    pub fn is_live(&self) -> bool {
        self.copy == 0
            && self.says.is_none()
            && self.event.kind != GateKind::Passed
            && !self.is_late()
            && self.event.decided.is_none()
            && !matches!(self.fate(), Fate::Garbage | Fate::Contradiction)
    }

    /// The message. A copy has a message id of its own: what a device repeats by itself no dedupe window shall hide.
    pub fn message(&self) -> Message {
        if let Some(says) = &self.says {
            let GateEvent { id, lot, seen_at, .. } = self.event;
            let author = "city".parse().expect("a name");
            let said = DeskEvent { id, lot, said_at: seen_at, author, reason: self.fate().word().into(), says: (**says).clone() };
            let headers = BTreeMap::from([(wire::CONTENT_TYPE.into(), Format::Json.content_type().into())]);
            return Message { subject: said.subject(), payload: wire::encode(Format::Json, &said).into(), headers };
        }
        let (mut subject, mut payload) = (self.event.subject(), wire::encode(Format::MessagePack, &self.event));
        match self.fate() {
            Fate::Garbage => payload = b"{\"v\":1,\"id\":".to_vec(),
            Fate::Contradiction => subject = format!("gate.{}.elsewhere.{}", self.event.lot, self.event.kind.as_str()),
            _ => {}
        }
        let content_type = if self.fate() == Fate::Garbage { Format::Json } else { Format::MessagePack }.content_type();
        let id = format!("{}-{}", self.event.key(), self.copy);
        let headers = BTreeMap::from([(wire::CONTENT_TYPE.into(), content_type.into()), ("Nats-Msg-Id".into(), id)]);
        Message { subject, payload: payload.into(), headers }
    }
}

/// The actions of a city, made as they are asked for.
#[derive(Debug)]
pub struct Plan<'a> {
    city: &'a City,
    dice: ChaCha12Rng,
    rank: Zipf<f64>,
    gap_us: Exp<f64>,
    next_visit: Option<(Moment, u64)>,
    /// What is to be sent, by time and then in the order in which it was made.
    waiting: BinaryHeap<Reverse<(Moment, u64)>>,
    actions: BTreeMap<u64, Action>,
    made: u64,
}

impl<'a> Plan<'a> {
    pub(super) fn new(city: &'a City) -> Self {
        let shape = &city.shape;
        let lots = f64::from(u32::try_from(shape.lots.max(1)).unwrap_or(u32::MAX));
        let most = shape.visits_per_hour * if shape.rush_hours { RUSH_MAX } else { 1.0 };
        let mut plan = Self {
            city,
            dice: ChaCha12Rng::seed_from_u64(shape.seed ^ 0x1a2e),
            rank: Zipf::new(lots, lots::ZIPF).expect("a city has a lot"),
            gap_us: Exp::new(most.max(0.001) / 3_600e6).expect("a rate is above 0"),
            next_visit: None,
            waiting: BinaryHeap::new(),
            actions: BTreeMap::new(),
            made: 0,
        };
        plan.next_visit = plan.arrival(shape.from, 0);
        plan
    }

    /// The next arrival of a Poisson process whose rate follows the hours: what the hour does not need is thinned out.
    fn arrival(&mut self, after: Moment, number: u64) -> Option<(Moment, u64)> {
        let shape = &self.city.shape;
        let mut at = after;
        loop {
            at = at.plus(micros(self.gap_us.sample(&mut self.dice)) + 1);
            if at >= shape.until || number >= shape.visits_max {
                return None;
            }
            let hour = usize::try_from((at.0 + 8 * 60 * MINUTE).rem_euclid(DAY) / (60 * MINUTE)).unwrap_or(0);
            if !shape.rush_hours || self.dice.random_range(0..190) < RUSH[hour] {
                return Some((at, number));
            }
        }
    }

    fn stay_us(&mut self) -> i64 {
        // Shoppers, commuters and those who stay the night; together the mean that was asked for.
        let factor = match self.dice.random_range(0..100) {
            0..70 => 0.4,
            70..95 => 1.5,
            _ => 6.9,
        };
        let mean_us = self.city.shape.stay_mean_min * 60e6 * factor;
        let drawn = Exp::new(1.0 / mean_us.max(1.0)).expect("a mean is above 0").sample(&mut self.dice);
        micros(drawn) + MINUTE
    }

    fn visit(&mut self, entered_at: Moment, visit: u64) {
        let mix = self.city.shape.mix.clone();
        let (fate, payer) = mix.draw(&mut self.dice);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank between 1 and the number of lots")]
        let rank = (self.rank.sample(&mut self.dice) as usize).clamp(1, self.city.declared.lots.len()) - 1;
        let lot = &self.city.declared.lots[rank];
        let exits = lot.lanes.len() - 1;
        let out = lot.lanes[1 + self.dice.random_range(0..exits)].lane;
        let credential = fleet::draw(self.city, &mut self.dice).unwrap_or_else(|| plate(&mut self.dice));
        let left_at = entered_at.plus(self.stay_us());
        let minutes = |dice: &mut ChaCha12Rng, most| dice.random_range(1..=most) * MINUTE;
        let seen = |letter: &str, lot: LotId, lane, kind, seen_at| GateEvent {
            id: format!("{visit}-{letter}-{}-{}", fate.word(), payer.word()).parse().expect("digits and words are a token"),
            lot,
            lane,
            kind,
            seen_at,
            credential: credential.clone(),
            class: None,
            energy: None,
            confidence: None,
            decided: (fate == Fate::ByItself).then_some(Verdict::Open),
        };
        let (id, enters) = (lot.lot, lot.lanes[0].lane);
        let mut entry = seen("e", id, enters, GateKind::Entry, entered_at);
        let exit = seen("x", id, out, GateKind::Exit, left_at);
        let (mut enters_at, mut leaves_at) = (entered_at, left_at);
        match fate {
            Fate::Plain => {}
            Fate::Again => {
                for (event, at, step) in [(&entry, entered_at, Step::Entry), (&exit, left_at, Step::Exit)] {
                    let again = at.plus(self.dice.random_range(1..=40) * SECOND);
                    self.add(Action { send_at: again, visit, step, copy: 1, event: event.clone(), says: None });
                }
            }
            Fate::LateEntry => enters_at = left_at.plus(minutes(&mut self.dice, 20)),
            Fate::LateExit => leaves_at = left_at.plus(minutes(&mut self.dice, 240)),
            Fate::ReadTwice => {
                let event = seen("r", id, out, GateKind::Exit, left_at.plus(5 * SECOND));
                self.add(Action { send_at: event.seen_at, visit, step: Step::ReadAgain, copy: 0, event, says: None });
            }
            Fate::Inside => {
                let between = entered_at.plus(left_at.since(entered_at) / 2);
                let event = seen("i", id, enters, GateKind::Entry, between);
                self.add(Action { send_at: between, visit, step: Step::Alone, copy: 0, event, says: None });
            }
            Fate::ByItself => {
                enters_at = entered_at.plus(minutes(&mut self.dice, 10));
                leaves_at = left_at.max(enters_at).plus(minutes(&mut self.dice, 10));
                self.comes_again(&exit, leaves_at, visit);
            }
            Fate::Coupon | Fate::ByHand | Fate::Misread | Fate::LostTicket => {
                if fate == Fate::Misread {
                    let text: String = credential.text.chars().take(20).chain(['X']).collect();
                    entry.credential = Credential::plate(&text, Colour::Black);
                }
                let (at, says) = by_hand(fate, &entry, &credential, left_at, visit);
                let event = seen("d", id, enters, GateKind::Entry, at);
                self.add(Action { send_at: at, visit, step: Step::Alone, copy: 0, event, says: Some(Box::new(says)) });
                if matches!(fate, Fate::ByHand | Fate::LostTicket) {
                    return self.add(Action { send_at: left_at, visit, step: Step::Exit, copy: 0, event: exit, says: None });
                }
            }
            Fate::NeverCrosses => return self.add(Action { send_at: enters_at, visit, step: Step::Entry, copy: 0, event: entry, says: None }),
            Fate::Prepays | Fate::AsksAndGoes => {
                let before: &[i64] = if fate == Fate::Prepays { &[self.dice.random_range(1..=25) * 60] } else { &[70, 10] };
                for (number, seconds) in before.iter().enumerate() {
                    let seen_at = left_at.plus(-seconds * SECOND).max(entered_at.plus(SECOND));
                    let event = seen(["p", "q"][number], id, out, GateKind::Price, seen_at);
                    self.add(Action { send_at: seen_at, visit, step: Step::Alone, copy: 0, event, says: None });
                }
            }
            Fate::Nowhere | Fate::Ahead | Fate::Old | Fate::Garbage | Fate::Contradiction => {
                let mut event = entry;
                match fate {
                    Fate::Nowhere => event.lot = format!("nowhere-{}", visit % 100).parse().expect("letters and digits are a token"),
                    Fate::Ahead => event.seen_at = entered_at.plus(365 * DAY),
                    Fate::Old => event.seen_at = entered_at.plus(-60 * DAY),
                    _ => {}
                }
                return self.add(Action { send_at: entered_at, visit, step: Step::Alone, copy: 0, event, says: None });
            }
        }
        if lot.lanes[0].sensor && entry.decided.is_none() {
            let seen_at = entered_at.plus(4 * SECOND);
            let event = GateEvent { credential: entry.credential.clone(), decided: None, ..seen("t", id, enters, GateKind::Passed, seen_at) };
            self.add(Action { send_at: enters_at.plus(4 * SECOND), visit, step: Step::ReadAgain, copy: 0, event, says: None });
        }
        if payer == Payer::SettlesDebt && !matches!(fate, Fate::ByItself | Fate::LateEntry) {
            self.settles_debt(&exit, leaves_at, visit);
        }
        self.add(Action { send_at: enters_at, visit, step: Step::Entry, copy: 0, event: entry, says: None });
        self.add(Action { send_at: leaves_at, visit, step: Step::Exit, copy: 0, event: exit, says: None });
    }

    /// Who has left by itself comes again before that is paid, to a lot that minds; it leaves from there as anybody, if it was let in.
    fn comes_again(&mut self, exit: &GateEvent, told_at: Moment, visit: u64) {
        let Some(lot) = a_lot_that_minds(self.city, &mut self.dice) else { return };
        let entered_at = told_at.plus(self.dice.random_range(40..160) * SECOND);
        let left_at = entered_at.plus(self.stay_us());
        let entry = seen_again(exit, "-b-", lot, GateKind::Entry, entered_at);
        let leaves = seen_again(exit, "-y-", lot, GateKind::Exit, left_at);
        self.add(Action { send_at: entered_at, visit, step: Step::Alone, copy: 0, event: entry, says: None });
        self.add(Action { send_at: left_at, visit, step: Step::Exit, copy: 0, event: leaves, says: None });
    }

    /// Who owes because what had paid has failed is turned away at a lot that minds, and comes there once more when that is paid. The dice are the
    /// visit's own, so that how many settle debts changes nothing else of a city.
    fn settles_debt(&mut self, exit: &GateEvent, told_at: Moment, visit: u64) {
        let mut dice = ChaCha12Rng::seed_from_u64(self.city.shape.seed ^ visit.rotate_left(32) ^ 0xdeb7);
        let Some(lot) = a_lot_that_minds(self.city, &mut dice) else { return };
        for (letters, step, after) in [(["-o-", "-w-"], Step::Alone, OWING_AFTER), (["-c-", "-z-"], Step::Returns, AGAIN_AFTER)] {
            let entered_at = told_at.plus(dice.random_range(after) * MINUTE);
            let left_at = entered_at.plus(dice.random_range(20..120) * MINUTE);
            let entry = seen_again(exit, letters[0], lot, GateKind::Entry, entered_at);
            let leaves = seen_again(exit, letters[1], lot, GateKind::Exit, left_at);
            self.add(Action { send_at: entered_at, visit, step, copy: 0, event: entry, says: None });
            self.add(Action { send_at: left_at, visit, step: Step::Exit, copy: 0, event: leaves, says: None });
        }
    }

    fn add(&mut self, action: Action) {
        self.made += 1;
        self.waiting.push(Reverse((action.send_at, self.made)));
        self.actions.insert(self.made, action);
    }
}

impl Iterator for Plan<'_> {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        // A visit's actions are never sent before its car comes, so what waits longest is next once no car comes before it.
        while let Some((at, number)) = self.next_visit {
            if self.waiting.peek().is_some_and(|Reverse((first, _))| *first < at) {
                break;
            }
            self.visit(at, number);
            self.next_visit = self.arrival(at, number + 1);
        }
        let Reverse((_, made)) = self.waiting.pop()?;
        self.actions.remove(&made)
    }
}

/// A lot that lets in nobody who owes, and whose lanes need not see a car cross.
fn a_lot_that_minds<'a>(city: &'a City, dice: &mut impl Rng) -> Option<&'a LotDeclared> {
    let minds = |lot: &&LotDeclared| lot.policies.arrears != Policy::Allow && !lot.lanes[0].sensor;
    let lots: Vec<&LotDeclared> = city.declared.lots.iter().filter(minds).collect();
    lots.get(dice.random_range(0..lots.len().max(1))).copied()
}

/// The car of an exit, seen at another lot: as it drives in, or out.
fn seen_again(exit: &GateEvent, letter: &str, lot: &LotDeclared, kind: GateKind, seen_at: Moment) -> GateEvent {
    GateEvent {
        id: exit.id.as_str().replacen("-x-", letter, 1).parse().expect("digits and words are a token"),
        lot: lot.lot,
        lane: lot.lanes[usize::from(kind == GateKind::Exit)].lane,
        kind,
        seen_at,
        decided: None,
        ..exit.clone()
    }
}

/// What a person says because of a visit, and when.
fn by_hand(fate: Fate, entry: &GateEvent, who: &Credential, left_at: Moment, visit: u64) -> (Moment, Says) {
    let who = who.clone();
    match fate {
        Fate::Coupon => {
            let kind = if visit.is_multiple_of(5) { ValidationKind::Free } else { ValidationKind::AmountOff { amount: 300 } };
            let validation = Validation { id: format!("v-{visit}").into(), bearer: "cinema".into(), kind, over: false };
            (left_at.plus(-30 * SECOND), Says::Validated { who, validation })
        }
        Fate::ByHand if visit.is_multiple_of(2) => (entry.seen_at, Says::Stock { who, held: true }),
        Fate::ByHand => {
            let at = entry.seen_at;
            (at, Says::LetThrough { lane: entry.lane, way: GateKind::Entry, who: Some(who), at: Some(at), open: true })
        }
        Fate::Misread => (left_at.plus(30 * SECOND), Says::Corrected { who: entry.credential.clone(), is: Some(who), entered_at: None, stay: None }),
        _ => (left_at.plus(30 * SECOND), Says::Lost { who }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an interval in microseconds, far below 2^53")]
fn micros(drawn: f64) -> i64 {
    drawn.min(4e15) as i64
}

fn plate(dice: &mut impl Rng) -> Credential {
    const LETTERS: &[u8; 24] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
    let number = dice.random_range(0..PLATES);
    let home = ['粤', '苏', '浙', '沪', '京', '川', '鄂', '陕'][number as usize % 8];
    let letter = char::from(LETTERS[number as usize / 8 % 24]);
    let (colour, tail) = match number % 10 {
        0..7 => (Colour::Blue, format!("{:05}", number / 4)),
        7..9 => (Colour::Green, format!("D{:05}", number / 4)),
        _ => (Colour::Yellow, format!("{:05}", number / 4)),
    };
    Credential::plate(&format!("{home}{letter}{tail}"), colour)
}

/// The payer of an action's visit.
impl From<&Action> for Payer {
    fn from(action: &Action) -> Self {
        Self::of(&action.event.id).unwrap_or(Self::Once)
    }
}
