//! The booths: who pays in cash, or by several means together, and what cashiers say of that.
//!
//! A cashier takes nothing for an order that PAYMENT does not know yet, so what is told by ORDER waits here until both have told of it.
//!
//! Invariants
//! 1. Whoever comes first, ORDER or PAYMENT, a driver pays once both know his order, and who is heard again says the same again
//!    (`tests::a_driver_pays_once_both_journals_know_his_order`).
//! 2. The parts of a payment are what is due   (`tests::the_parts_are_what_is_due`).
//! 3. Who changes his mind, or cannot pay a part, pays all of it by phone   (`tests::who_changes_his_mind_pays_all_by_phone`).
//! 4. Every drawer is counted and every shift ends, some with a difference that is known beforehand   (`tests::each_shift_is_counted_and_ends`).
//!
//! Not here: at which lots there are booths (`city::booths`), what channels say (`channels`).

use super::channels::{self, CASH, POINTS};
use crate::{
    Logs,
    city::{Payer, booths},
};
use schema::{
    DeskEvent, Event, EventId, Id, Journal, LotId, Moment, Money, Recorded,
    desk::{Says, ShiftName, ShiftStep, Tender},
    id,
    journal::{AttemptState, OrderEvent, PaymentEvent, RefundState},
    time::SECOND,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

/// What is less than this, in fen, is not taken apart.
const SPLIT_MIN: i64 = 5;
/// The numbers of the attempts that are parts: points come first, cash is none, and the phone is the third.
const PARTS: [u16; 2] = [1, 3];
/// The number of the attempt by which a driver pays whose choices have all come to nothing.
const LAST_ATTEMPT: u16 = 98;
/// One driver of so many changes his mind before he has paid the last part.
const CHANGES_MIND_EVERY: u32 = 5;
/// What cashiers miss in their drawers, or have too much, by turns, in fen.
const DIFFERENCES: [i64; 4] = [0, -50, 0, 100];

/// Something that is done because of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Somebody says something at a desk.
    Says(Box<DeskEvent>),
    /// A driver pays by phone what was opened; left out: now.
    Pays {
        /// The channel.
        channel: &'static str,
        /// What was opened.
        attempt: Id,
        /// How much.
        amount: Money,
        /// When.
        at: Option<Moment>,
    },
}

/// An order that is paid at a booth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bill {
    order: Id,
    lot: LotId,
    due: Money,
    /// When people at the booth say what they do.
    said_at: Moment,
    /// When a phone pays; none: now.
    paid_at: Option<Moment>,
    /// Whether it is paid by several means.
    splits: bool,
}

/// How far an order is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// ORDER has told its price, and it is not paid at a booth.
    Priced,
    /// PAYMENT has told of it first.
    Expected,
    /// ORDER has told its price, and it is paid at a booth.
    Waits(Bill),
    /// Both have told of it.
    Served(Bill),
}

/// All booths of the world.
#[derive(Debug, Default)]
pub struct Booths {
    known: Mutex<BTreeMap<Id, Known>>,
}

impl Booths {
    fn known(&self) -> MutexGuard<'_, BTreeMap<Id, Known>> {
        self.known.lock().expect("nobody panics while holding it")
    }

    /// What is done at booths because of an event; none where it is not about what is paid there.
    pub fn deeds(&self, recorded: &Recorded) -> Option<Vec<Deed>> {
        let at = recorded.at;
        match &recorded.event {
            Event::Order(event @ OrderEvent::Priced { order, quote, .. }) if !quote.total.is_zero() => {
                let bill = Bill::of(event, at);
                let served = self.priced(*order, bill);
                bill.map(|_| served.map(|bill| bill.begins()).unwrap_or_default())
            }
            Event::Payment(PaymentEvent::Expected { bill, .. }) => Some(self.expected(bill.order).map(|bill| bill.begins()).unwrap_or_default()),
            Event::Payment(PaymentEvent::AttemptStood { bill, attempt, state, .. }) => {
                let served = self.served(bill.order).filter(|bill| bill.splits);
                Some(served.map(|bill| bill.goes_on(*attempt, *state, at)).unwrap_or_default())
            }
            Event::Payment(PaymentEvent::RefundStood { bill, source, refund, state: RefundState::Abnormal | RefundState::Failed, .. })
                if &*source.channel == CASH =>
            {
                let says = Says::RefundSettled { order: bill.order, refund: *refund, back: true, shift: Some(booths::shift()) };
                Some(bill.lot.map(|lot| said(lot, &format!("back-{refund}"), "it was paid twice, or too much", at, says)).into_iter().collect())
            }
            _ => None,
        }
    }

    /// ORDER has told the price of an order; gives it if it can be paid at its booth now.
    fn priced(&self, order: Id, bill: Option<Bill>) -> Option<Bill> {
        let mut known = self.known();
        match (known.remove(&order), bill) {
            (Some(Known::Expected | Known::Served(_)), Some(bill)) => {
                known.insert(order, Known::Served(bill));
                Some(bill)
            }
            (_, Some(bill)) => {
                known.insert(order, Known::Waits(bill));
                None
            }
            (None, None) => {
                known.insert(order, Known::Priced);
                None
            }
            // Both have told of it, and it is paid elsewhere.
            (Some(_), None) => None,
        }
    }

    /// PAYMENT expects that an order is paid; gives it if it is paid at its booth.
    fn expected(&self, order: Id) -> Option<Bill> {
        let mut known = self.known();
        match known.remove(&order) {
            Some(Known::Waits(bill) | Known::Served(bill)) => {
                known.insert(order, Known::Served(bill));
                Some(bill)
            }
            None | Some(Known::Expected) => {
                known.insert(order, Known::Expected);
                None
            }
            Some(Known::Priced) => None,
        }
    }

    fn served(&self, order: Id) -> Option<Bill> {
        match self.known().get(&order) {
            Some(Known::Served(bill)) => Some(*bill),
            _ => None,
        }
    }
}

impl Bill {
    /// An order that is paid at a booth, as its price tells. Who has gone, and whose fee is deducted, does not stand there.
    fn of(event: &OrderEvent, at: Moment) -> Option<Self> {
        let OrderEvent::Priced { order, stay, departure, quote, inside, .. } = event else { return None };
        let due = quote.total;
        let splits = match channels::payer(departure) {
            Payer::Cash => false,
            Payer::Split => due.minor >= SPLIT_MIN,
            _ => return None,
        };
        if departure.local || channels::plate_pays(departure, *inside) {
            return None;
        }
        // Who pays inside does so soon after having asked, whatever time a driver takes here.
        let paid_at = inside.map(|_| departure.left_at.plus(20 * SECOND).min(at));
        Some(Self { order: *order, lot: stay.lot, due, said_at: paid_at.unwrap_or(at), paid_at, splits })
    }

    /// The parts: points, cash, phone.
    fn parts(&self) -> [Money; 3] {
        let part = |minor| Money::new(minor, self.due.currency);
        let (points, cash) = (self.due.minor / 5, self.due.minor * 2 / 5);
        [part(points), part(cash), part(self.due.minor - points - cash)]
    }

    fn phone(&self) -> &'static str {
        if channels::pick(self.order, 2) == 0 { "wechat" } else { "alipay" }
    }

    fn changes_mind(&self) -> bool {
        channels::pick(self.order, CHANGES_MIND_EVERY) == 0
    }

    fn tender(channel: &str, amount: Money) -> Tender {
        Tender { channel: channel.into(), amount }
    }

    /// A driver stands at the booth: all in cash, or a part of it.
    fn begins(&self) -> Vec<Deed> {
        let Self { order, lot, due, said_at, .. } = *self;
        let [points, cash, phone] = self.parts();
        let takes = |amount| said(lot, &format!("cash-{order}"), "a driver pays", said_at, Says::Cash { order, amount, shift: booths::shift() });
        if !self.splits {
            return vec![takes(due)];
        }
        let tenders = vec![Self::tender(POINTS, points), Self::tender(CASH, cash), Self::tender(self.phone(), phone)];
        vec![said(lot, &format!("split-{order}"), "a driver pays by several means", said_at, Says::Pay { order, tenders }), takes(cash)]
    }

    /// What a driver does once his phone shows a code, or what he has chosen cannot be had.
    fn goes_on(&self, attempt: Id, state: AttemptState, at: Moment) -> Vec<Deed> {
        let is_part = id::attempt_number(attempt).is_some_and(|number| PARTS.contains(&number));
        let [_, _, phone] = self.parts();
        match (state, is_part) {
            (AttemptState::Open, true) if !self.changes_mind() => vec![self.pays(self.phone(), attempt, phone)],
            (AttemptState::Open, false) => vec![self.pays(self.phone(), attempt, self.due)],
            (AttemptState::Open | AttemptState::Closed | AttemptState::Failed, true) => {
                let says = Says::Pay { order: self.order, tenders: vec![Self::tender(self.phone(), self.due)] };
                vec![said(self.lot, &format!("whole-{attempt}"), "a driver pays by phone alone", at, says)]
            }
            (AttemptState::Closed | AttemptState::Failed, false) => vec![self.pays("wechat", id::attempt(self.order, LAST_ATTEMPT), self.due)],
            (AttemptState::Opening | AttemptState::Held | AttemptState::Settling | AttemptState::Closing | AttemptState::Paid, _) => Vec::new(),
        }
    }

    fn pays(&self, channel: &'static str, attempt: Id, amount: Money) -> Deed {
        Deed::Pays { channel, attempt, amount, at: self.paid_at }
    }
}

/// What a cashier says, or types for a driver.
fn said(lot: LotId, id: &str, reason: &str, said_at: Moment, says: Says) -> Deed {
    let id: EventId = id.parse().expect("a word and an id are a token");
    Deed::Says(Box::new(DeskEvent { id, lot, said_at, author: booths::cashier(), reason: reason.into(), says }))
}

/// What cashiers say when all is paid: what they have counted in their drawers, and that they go.
pub fn counted(logs: &Logs) -> Vec<DeskEvent> {
    let mut drawers: BTreeMap<(LotId, ShiftName), Money> = BTreeMap::new();
    let mut at = Moment(0);
    for recorded in logs.journal(Journal::Payment).iter().map(|line| &line.recorded) {
        at = at.max(recorded.at);
        match &recorded.event {
            Event::Payment(PaymentEvent::ShiftOpened { shift, float, .. }) => {
                drawers.insert((shift.lot, shift.name), *float);
            }
            Event::Payment(PaymentEvent::ShiftTook { shift, amount, .. }) => {
                if let Some(holds) = drawers.get_mut(&(shift.lot, shift.name)) {
                    holds.minor += amount.minor;
                }
            }
            Event::Payment(PaymentEvent::ShiftClosed { shift, .. }) => {
                drawers.remove(&(shift.lot, shift.name));
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    for (((lot, shift), holds), difference) in drawers.into_iter().zip(DIFFERENCES.into_iter().cycle()) {
        let counted = Money::new((holds.minor + difference).max(0), holds.currency);
        for (id, step) in [("shift-counts", ShiftStep::Counted(counted)), ("shift-ends", ShiftStep::Closed)] {
            let (id, author) = (id.parse().expect("letters are a token"), booths::cashier());
            all.push(DeskEvent { id, lot, said_at: at, author, reason: "the day ends".into(), says: Says::Shift { shift, step } });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Line;
    use schema::{
        Cause, Credential, Currency, Day, Inbox,
        desk::Said,
        gate::Colour,
        id::Province,
        journal::{self, Departure, Quote, ShiftAt, Source, Stay},
    };

    const AT: Moment = Moment(1_795_399_200_000_000);

    fn order(number: u32) -> Id {
        format!("O4426112307SE85PbTwoLFzFY{number:02}").parse().expect("an id")
    }

    fn recorded(event: Event) -> Recorded {
        Recorded { at: AT, cause: Cause { inbox: Inbox::Order, sequence: 1, event: "1".into(), time: AT, index: 0 }, event }
    }

    fn priced(order: Id, payer: &str, minor: i64) -> Recorded {
        let lane = "out".parse().expect("a token");
        let stay = Stay {
            session: "S4426112307SE85PbTwoLFzFY9q".parse().expect("an id"),
            lot: "lot-1".parse().expect("a token"),
            province: Province(44),
            credential: Credential::plate("粤B12345", Colour::Blue),
            lane,
            entered_at: AT,
            class: schema::VehicleClass::Small,
            energy: schema::Energy::Fuel,
            sharers: vec![],
        };
        let event = format!("7-x-plain-{payer}").parse().expect("a token");
        let departure = Departure { lane, left_at: AT, event, local: false, deducts: None };
        let quote = Quote { rate_table: "t".into(), version: 1, minutes: 60, lines: Vec::new(), total: Money::new(minor, Currency::Cny) };
        recorded(Event::Order(OrderEvent::Priced { order, stay, departure, quote, expires_at: AT, inside: None }))
    }

    fn bill(order: Id) -> journal::Bill {
        journal::Bill { order, lot: "lot-1".parse().ok(), day: Day(261_123) }
    }

    fn expected(order: Id) -> Recorded {
        let due = Money::new(500, Currency::Cny);
        recorded(Event::Payment(PaymentEvent::Expected { bill: bill(order), due, discounts: None }))
    }

    fn stood(order: Id, number: u16, state: AttemptState) -> Recorded {
        let attempt = id::attempt(order, number);
        recorded(Event::Payment(PaymentEvent::AttemptStood { bill: bill(order), attempt, state, code: None, due_at: None }))
    }

    /// What is said, by kind, and what is paid.
    fn told(deeds: Option<Vec<Deed>>) -> String {
        let Some(deeds) = deeds else { return "elsewhere".into() };
        let words = deeds.into_iter().map(|deed| match deed {
            Deed::Says(event) => match event.says {
                Says::Cash { amount, .. } => format!("cash {}", amount.minor),
                Says::Pay { tenders, .. } => tenders.iter().map(|tender| tender.amount.minor.to_string()).collect::<Vec<_>>().join("+"),
                says => says.kind().to_owned(),
            },
            Deed::Pays { amount, .. } => format!("pays {}", amount.minor),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_driver_pays_once_both_journals_know_his_order() {
        for (payer, minor, said) in
            [("cash", 500, "cash 500"), ("split", 500, "100+200+200, cash 200"), ("split", 4, "cash 4"), ("once", 500, "elsewhere")]
        {
            let (one, other) = (order(10), order(11));
            let booths = Booths::default();
            let waits = if said == "elsewhere" { said } else { "" };
            let then = if said == "elsewhere" { "" } else { said };
            assert_eq!(told(booths.deeds(&priced(one, payer, minor))), waits, "{payer}");
            assert_eq!(told(booths.deeds(&expected(one))), then, "{payer}");
            assert_eq!(told(booths.deeds(&expected(other))), "", "{payer}");
            let first = booths.deeds(&priced(other, payer, minor));
            assert_eq!(told(first.clone()), said, "{payer}");
            if said != "elsewhere" {
                assert_eq!(booths.deeds(&priced(other, payer, minor)), first, "who is heard again says the same again");
            }
        }
    }

    #[test]
    fn the_parts_are_what_is_due() {
        for minor in SPLIT_MIN..200 {
            let Recorded { event: Event::Order(event), .. } = priced(order(10), "split", minor) else { panic!("a price") };
            let parts = Bill::of(&event, AT).expect("it is paid at a booth").parts().map(|part| part.minor);
            assert!(parts.iter().sum::<i64>() == minor && parts.iter().all(|part| *part > 0), "{minor}: {parts:?}");
        }
    }

    #[test]
    fn who_changes_his_mind_pays_all_by_phone() {
        let serve = |wanted: bool| {
            let booths = Booths::default();
            let order = (10..99).map(order).find(|order| (channels::pick(*order, CHANGES_MIND_EVERY) == 0) == wanted).expect("one of many");
            booths.deeds(&priced(order, "split", 500));
            booths.deeds(&expected(order));
            let after = |number, state| told(booths.deeds(&stood(order, number, state)));
            [
                after(3, AttemptState::Open),
                after(3, AttemptState::Closed),
                after(4, AttemptState::Open),
                after(4, AttemptState::Failed),
                after(4, AttemptState::Paid),
            ]
        };
        assert_eq!(serve(false), ["pays 200", "500", "pays 500", "pays 500", ""]);
        assert_eq!(serve(true), ["500", "500", "pays 500", "pays 500", ""]);
    }

    #[test]
    fn cash_that_goes_back_is_given_back_at_its_booth() {
        let stood = |channel: &str, state| {
            let (bill, source) = (bill(order(10)), Source { channel: channel.into(), transaction: "1".into() });
            let refund = "R4426112307SE85PbTwoLFzFY9q".parse().expect("an id");
            recorded(Event::Payment(PaymentEvent::RefundStood { bill, source, refund, state, due_at: None }))
        };
        let booths = Booths::default();
        assert_eq!(told(booths.deeds(&stood("cash", RefundState::Abnormal))), "refund_settled");
        assert_eq!(told(booths.deeds(&stood("cash", RefundState::Unknown))), "elsewhere");
        assert_eq!(told(booths.deeds(&stood("wechat", RefundState::Abnormal))), "elsewhere");
    }

    #[test]
    fn each_shift_is_counted_and_ends() {
        let by = Said { author: booths::cashier(), reason: "test".into(), at: AT };
        let cny = |minor| Money::new(minor, Currency::Cny);
        let mut logs = Logs::default();
        let mut write = |event: PaymentEvent| {
            let lines = logs.journals.entry(Journal::Payment).or_default();
            lines.push(Line { sequence: lines.len() as u64 + 1, subject: String::new(), recorded: recorded(Event::Payment(event)) });
        };
        for lot in ["lot-1", "lot-2", "lot-3"] {
            let shift = ShiftAt { lot: lot.parse().expect("a token"), province: Province(44), name: booths::shift() };
            write(PaymentEvent::ShiftOpened { shift: shift.clone(), float: cny(20_000), by: by.clone() });
            write(PaymentEvent::ShiftTook { shift: shift.clone(), order: order(10), amount: cny(700), by: by.clone() });
            write(PaymentEvent::ShiftTook { shift: shift.clone(), order: order(11), amount: cny(-200), by: by.clone() });
            if lot == "lot-1" {
                write(PaymentEvent::ShiftClosed { shift, expected: cny(20_500), counted: cny(20_500), by: by.clone() });
            }
        }
        let steps: Vec<ShiftStep> =
            counted(&logs).into_iter().filter_map(|event| if let Says::Shift { step, .. } = event.says { Some(step) } else { None }).collect();
        let (right, lacking) = (ShiftStep::Counted(cny(20_500)), ShiftStep::Counted(cny(20_450)));
        assert_eq!(steps, [right, ShiftStep::Closed, lacking, ShiftStep::Closed]);
    }
}
