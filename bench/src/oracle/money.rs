//! What PAYMENT should say: a naive purse for each order of one partition.
//!
//! Invariants
//! 1. Of the successes for one order one counts, and each other goes back once   (`oracle::tests::each_mutation_is_found`).
//!
//! Not here: how an order is tried to be paid, which is taken as it is (`choice`); cash in drawers (`drawers`); whether the sums agree across the logs
//! (`identity`).

mod choice;
mod drawers;

use super::postings::taken_off;
use drawers::Drawers;
use schema::{
    ChannelEvent, ChannelFact, DeskEvent, EventId, Id, LotId, Moment, Money,
    channel::Standing,
    desk::{Said, Says, Tender},
    id::{self, Kind, Province},
    journal::{AppliedReason, Bill, Note, OrderEvent, PaymentEvent, RefundReason, RefundState, Source},
    ledger::Discounts,
    time::Day,
};
use std::collections::{BTreeMap, BTreeSet};

/// The most that one person sends back alone.
const ALONE_MAX: i64 = 10_000;
/// How often a refund is tried.
const TRIES_MAX: u32 = 20;
/// In how many parts WeChat Pay gives back one payment.
const WECHAT_PARTS_MAX: usize = 50;

/// What became of one receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its order is not known.
    Held,
    /// It pays.
    Pays,
    /// It goes back.
    Back,
    /// It was only accepted, and does not count.
    Over,
    /// It has failed.
    Failed,
}

#[derive(Clone, Debug)]
struct Refund {
    refund: Id,
    amount: Money,
    reason: RefundReason,
    state: RefundState,
    tries: u32,
    due_at: Option<Moment>,
    /// One person wanted it, and nobody approved.
    alone: bool,
}

/// Money that came, in the order in which it came.
#[derive(Clone, Debug)]
struct Receipt {
    source: Source,
    amount: Money,
    paid_at: Moment,
    captured: bool,
    fate: Fate,
    refunds: Vec<Refund>,
    /// The choice for whose other means it waits.
    part_of: Option<u16>,
}

#[derive(Default)]
struct Purse {
    lot: Option<LotId>,
    due: Option<Money>,
    withdrawn: bool,
    receipts: Vec<Receipt>,
    /// What was taken off its price.
    taken: Option<Discounts>,
    wanted: BTreeMap<EventId, (Vec<(Source, Money)>, Said)>,
    /// The newest choice: its number, its means, until when.
    choice: Option<(u16, Vec<Tender>, Moment)>,
    /// The choices that cannot become a payment any more.
    dead: BTreeSet<u16>,
    /// Which choice an attempt belongs to, at which channel, and whether it may still be paid.
    attempts: BTreeMap<Id, (u16, std::sync::Arc<str>, bool)>,
    /// What an older system was paid for it: nothing is due for that here, and nothing goes back of it.
    imported: Vec<(Source, Money)>,
}

/// One partition: a purse for each order.
#[derive(Default)]
pub struct Purses {
    purses: BTreeMap<Id, Purse>,
    drawers: Drawers,
}

/// What PAYMENT was told.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// By ORDER.
    Order(&'a OrderEvent),
    /// By a channel.
    Channel(&'a ChannelEvent),
    /// By a person, at a desk of this province.
    Desk(&'a DeskEvent, Province),
    /// That something is due.
    Tick,
    /// Nothing that can be read.
    Nothing,
}

impl Purses {
    /// What is wrong with what became of an input at a moment; in words.
    pub fn judge(&mut self, told: Told<'_>, now: Moment, actual: &[&PaymentEvent]) -> Vec<String> {
        let mut wrong = Vec::new();
        // How an order is tried to be paid is taken as it is: what is judged is what becomes of the money.
        let (given, judged): (Vec<&PaymentEvent>, Vec<&PaymentEvent>) = actual.iter().partition(|event| choice::is_given(event));
        // An order that is new may be tried at once.
        let ordered = if let Told::Order(event) = told { self.order(event) } else { Vec::new() };
        wrong.extend(given.iter().filter_map(|event| self.take_given(event).err()));
        let mut expected = match told {
            Told::Order(_) => ordered,
            Told::Channel(event) => self.channel(event, (now, !given.is_empty())),
            Told::Desk(event, province) => self.desk(event, (now, !given.is_empty()), province),
            Told::Tick => {
                let mut ticked = Vec::new();
                for event in judged.iter().filter(|event| !choice::is_let_go(event)) {
                    match self.tick(now, event) {
                        Ok(event) => ticked.push(event),
                        Err(why) => wrong.push(why),
                    }
                }
                ticked
            }
            Told::Nothing => Vec::new(),
        };
        if let Some(order) = actual.iter().find_map(|event| event.order()) {
            expected.extend(self.purses.get_mut(&order).map(|purse| purse.sweep(order, now)).unwrap_or_default());
        }
        let normal: Vec<PaymentEvent> = judged.iter().map(|event| normal(event)).collect();
        if normal != expected {
            wrong.push(format!("it should have become {expected:?}, but became {normal:?}"));
        } else if actual.is_empty() || (expected.is_empty() && given.is_empty()) {
            wrong.push(format!("nothing should have come of it, but it became {actual:?}"));
        }
        for event in actual {
            self.take_due(event);
        }
        wrong
    }
}

fn day(order: Id) -> Day {
    id::place(order.as_str()).map_or(Day(0), |place| place.day)
}

fn refund_id(order: Id, source: &Source, number: usize) -> Id {
    let place = id::place(order.as_str()).expect("an order that is no id of ours is a dead letter");
    id::derive(Kind::Refund, place, &[order.as_str(), &source.channel, &source.transaction, &number.to_string()])
}

impl Purse {
    fn bill(&self, order: Id) -> Bill {
        Bill { order, lot: self.lot, day: day(order) }
    }

    /// What an older system was paid is known once, and is for none of our orders.
    fn imported(&mut self, order: Id, source: Source, amount: Money, (number, paid_at): (&std::sync::Arc<str>, Moment)) -> PaymentEvent {
        let theirs = self.imported.iter().find(|(known, _)| *known == source).map(|(_, known)| *known);
        let ours = self.receipts.iter().find(|receipt| receipt.source == source).map(|receipt| receipt.amount);
        if let Some(known) = theirs.or(ours) {
            let note = if known == amount { Note::AlreadyKnown } else { Note::AmountDiffers };
            return PaymentEvent::Noted { note, order };
        }
        if self.imported.is_empty() && (self.due.is_some() || !self.receipts.is_empty()) {
            return PaymentEvent::Noted { note: Note::OfAnotherKind, order };
        }
        self.imported.push((source.clone(), amount));
        PaymentEvent::Imported { bill: self.bill(order), source, amount, number: number.clone(), paid_at }
    }

    fn payer(&self) -> Option<usize> {
        self.receipts.iter().position(|receipt| receipt.fate == Fate::Pays)
    }

    /// Counts or sends back one receipt of an order whose price is known. `held`: it was captured before.
    fn decide(&mut self, order: Id, at: usize, held: bool) -> Vec<PaymentEvent> {
        let bill = self.bill(order);
        let due = self.due.expect("its price is known");
        let mut events = Vec::new();
        let Receipt { source, amount, paid_at, captured, .. } = self.receipts[at].clone();
        // What was only accepted makes room for what is captured.
        let payers = self.sorted(|receipt| receipt.fate == Fate::Pays);
        if captured && amount == due && payers.iter().all(|payer| !self.receipts[*payer].captured) {
            for payer in payers {
                self.receipts[payer].fate = Fate::Over;
                let Receipt { source, amount, .. } = self.receipts[payer].clone();
                events.push(PaymentEvent::PassedOver { bill: bill.clone(), source, amount, reason: RefundReason::Duplicate, applied: true });
            }
        }
        let reason = if amount != due {
            Some(RefundReason::AmountDiffers)
        } else if self.payer().is_some() {
            Some(RefundReason::Duplicate)
        } else if self.withdrawn && events.is_empty() {
            Some(RefundReason::Withdrawn)
        } else {
            None
        };
        let why = if events.is_empty() { self.chosen_because(at) } else { AppliedReason::Settled };
        let receipt = &mut self.receipts[at];
        match reason {
            None => {
                receipt.fate = Fate::Pays;
                let discounts = self.taken.clone().map(Box::new);
                events.push(PaymentEvent::Applied {
                    bill,
                    source,
                    amount,
                    held,
                    paid_at: Some(paid_at),
                    provisional: !captured,
                    part: None,
                    discounts,
                    reason: Some(why),
                });
            }
            Some(reason) if !captured => {
                receipt.fate = Fate::Over;
                events.push(PaymentEvent::PassedOver { bill, source, amount, reason, applied: false });
            }
            Some(reason) => {
                receipt.fate = Fate::Back;
                events.push(receipt.send_back(bill, amount, reason, held));
            }
        }
        events
    }

    /// Why a receipt pays that nothing makes room for: what else waits for the order, and brings as much?
    fn chosen_because(&self, at: usize) -> AppliedReason {
        let Receipt { amount, captured, .. } = self.receipts[at];
        let (mut alike, mut unlike) = (0, 0);
        for (other, receipt) in self.receipts.iter().enumerate() {
            if other == at || receipt.fate != Fate::Held || receipt.part_of.is_some() || receipt.amount != amount {
                continue;
            }
            if receipt.captured == captured {
                alike += 1;
            } else {
                unlike += 1;
            }
        }
        match (alike, unlike) {
            (0, 0) => AppliedReason::Only,
            (0, _) => AppliedReason::Settled,
            _ => AppliedReason::First,
        }
    }

    fn refund(&mut self, refund: Id) -> Option<(usize, usize)> {
        let of = |receipt: &Receipt| receipt.refunds.iter().position(|known| known.refund == refund);
        self.receipts.iter().enumerate().find_map(|(at, receipt)| Some((at, of(receipt)?)))
    }

    /// The receipt of which so much can go back, or why not.
    fn returnable(&self, source: &Source, amount: Money) -> Result<usize, Note> {
        let is_imported = self.imported.iter().any(|(known, _)| known == source);
        let missing = if is_imported { Note::MoreThanPaid } else { Note::Unknown };
        let at = self.receipts.iter().position(|receipt| receipt.source == *source).ok_or(missing)?;
        let receipt = &self.receipts[at];
        let returning: i64 = receipt.refunds.iter().map(|refund| refund.amount.minor).sum();
        let pays = receipt.fate == Fate::Pays && receipt.captured && receipt.amount.currency == amount.currency;
        if !pays || amount.minor > receipt.amount.minor - returning {
            return Err(Note::MoreThanPaid);
        }
        if &*source.channel == "wechat" && receipt.refunds.len() >= WECHAT_PARTS_MAX {
            return Err(Note::TooMany);
        }
        Ok(at)
    }

    fn ordered(&mut self, order: Id, at: usize, amount: Money, by: Said, approved: Option<Said>) -> PaymentEvent {
        let bill = self.bill(order);
        let receipt = &mut self.receipts[at];
        let whole = receipt.amount;
        let mut event = receipt.send_back(bill, amount, RefundReason::Ordered, false);
        if let Some(refund) = receipt.refunds.last_mut() {
            refund.alone = approved.is_none();
        }
        if let PaymentEvent::RefundRequested { applied, captured, by: who, approved: agreed, .. } = &mut event {
            (*applied, *captured, *who, *agreed) = (true, Some(whole), Some(by), approved);
        }
        event
    }
}

impl Receipt {
    /// What had not gone back before so much does, where that is more.
    fn left(&self, amount: Money) -> Option<Money> {
        let gone: i64 = self.refunds.iter().filter(|refund| refund.state == RefundState::Succeeded).map(|refund| refund.amount.minor).sum();
        let left = self.amount.minor - gone;
        (left > amount.minor).then_some(Money::new(left, amount.currency))
    }

    fn send_back(&mut self, bill: Bill, amount: Money, reason: RefundReason, held: bool) -> PaymentEvent {
        let refund = refund_id(bill.order, &self.source, self.refunds.len() + 1);
        self.refunds.push(Refund { refund, amount, reason, state: RefundState::Requested, tries: 1, due_at: None, alone: false });
        self.request(bill, self.refunds.len() - 1, held, false)
    }

    fn request(&self, bill: Bill, at: usize, held: bool, asks: bool) -> PaymentEvent {
        let Refund { refund, amount, reason, tries, .. } = self.refunds[at].clone();
        PaymentEvent::RefundRequested {
            bill,
            source: self.source.clone(),
            amount,
            refund,
            reason,
            tries,
            held,
            due_at: Moment(0),
            asks,
            applied: self.fate == Fate::Pays,
            captured: (amount != self.amount).then_some(self.amount),
            by: None,
            approved: None,
        }
    }
}

impl Purses {
    /// What an event of ORDER becomes.
    fn order(&mut self, event: &OrderEvent) -> Vec<PaymentEvent> {
        if let OrderEvent::Withdrawn { order, .. } = event {
            return vec![self.withdraw(*order)];
        }
        let OrderEvent::Priced { order, stay, quote, departure, .. } = event else { return Vec::new() };
        if quote.total.is_zero() {
            return Vec::new();
        }
        let purse = self.purses.entry(*order).or_default();
        if purse.due.is_some() {
            return vec![PaymentEvent::Noted { note: Note::AlreadyKnown, order: *order }];
        }
        purse.due = Some(quote.total);
        purse.lot = Some(stay.lot);
        purse.taken = taken_off(quote, stay.session, departure.left_at);
        let discounts = purse.taken.clone().map(Box::new);
        let mut events = vec![PaymentEvent::Expected { bill: purse.bill(*order), due: quote.total, discounts }];
        // What is captured first, then what was only accepted, each in the order in which it came.
        for captured in [true, false] {
            for at in 0..purse.receipts.len() {
                let receipt = &purse.receipts[at];
                if receipt.fate == Fate::Held && receipt.part_of.is_none() && receipt.captured == captured {
                    events.extend(purse.decide(*order, at, captured));
                }
            }
        }
        events
    }

    fn withdraw(&mut self, order: Id) -> PaymentEvent {
        let noted = |note| PaymentEvent::Noted { note, order };
        match self.purses.get_mut(&order).filter(|purse| purse.due.is_some()) {
            None => noted(Note::Unknown),
            Some(purse) if purse.payer().is_some() => noted(Note::AlreadyKnown),
            Some(purse) if purse.withdrawn => noted(Note::AlreadyClosed),
            Some(purse) => {
                purse.withdrawn = true;
                PaymentEvent::Withdrawn { bill: purse.bill(order) }
            }
        }
    }

    /// What a channel's fact becomes.
    fn channel(&mut self, event: &ChannelEvent, (now, has_given): (Moment, bool)) -> Vec<PaymentEvent> {
        let Some(order) = event.order() else { return Vec::new() };
        let is_answer = matches!(event.fact, ChannelFact::RefundAnswered { .. } | ChannelFact::CallAnswered { .. });
        if is_answer && !self.purses.contains_key(&order) {
            return vec![PaymentEvent::Noted { note: Note::Unknown, order }];
        }
        let paid_at = event.happened_at.min(now);
        let purse = self.purses.entry(order).or_default();
        let source = |transaction: &std::sync::Arc<str>| Source { channel: event.channel.clone(), transaction: transaction.clone() };
        match &event.fact {
            ChannelFact::Succeeded { transaction, amount, attempt } => {
                purse.came(order, (source(transaction), Some(*attempt)), *amount, (event.happened_at, now), true)
            }
            ChannelFact::Accepted { transaction, amount, attempt } => {
                purse.came(order, (source(transaction), Some(*attempt)), *amount, (event.happened_at, now), false)
            }
            // An answer to what was never asked.
            ChannelFact::CallAnswered { attempt, .. } if purse.attempts.get(attempt).is_none_or(|(_, channel, _)| *channel != event.channel) => {
                vec![PaymentEvent::Noted { note: Note::Unknown, order }]
            }
            // It says nothing new, or how the attempt stands, which is given.
            ChannelFact::CallAnswered { .. } if has_given => Vec::new(),
            ChannelFact::CallAnswered { .. } => vec![PaymentEvent::Noted { note: Note::AlreadyKnown, order }],
            ChannelFact::Failed { transaction, amount, .. } => vec![purse.failed(order, source(transaction), *amount)],
            ChannelFact::Imported { transaction, amount, number, .. } => vec![purse.imported(order, source(transaction), *amount, (number, paid_at))],
            ChannelFact::RefundAnswered { refund, succeeded, tries, standing, .. } => {
                vec![purse.refund_answered(order, (&event.channel, *refund, *tries), (*succeeded, *standing), paid_at)]
            }
            ChannelFact::Parked { .. } => Vec::new(),
        }
    }

    /// What a person's saying becomes.
    fn desk(&mut self, event: &DeskEvent, (now, chosen): (Moment, bool), province: Province) -> Vec<PaymentEvent> {
        if let Says::Shift { shift, step } = &event.says {
            return vec![self.drawers.shift(event, *shift, *step, province)];
        }
        let Some(order) = event.says.order() else { return Vec::new() };
        let noted = |note| vec![PaymentEvent::Noted { note, order }];
        let Some(purse) = self.purses.get_mut(&order) else { return noted(Note::Unknown) };
        match &event.says {
            // What is chosen is given; that nothing could be chosen is judged.
            Says::Pay { tenders, .. } => match purse.choosable(tenders, chosen) {
                Ok(()) => Vec::new(),
                Err(note) => noted(note),
            },
            Says::Cash { amount, shift, .. } => {
                let took = match self.drawers.take(event, *shift, *amount, province, order) {
                    Ok(took) => took,
                    Err(noted) => return vec![*noted],
                };
                let source = Source { channel: "cash".into(), transaction: event.id.as_str().into() };
                let came = purse.came(order, (source, None), *amount, (event.said_at, now), true);
                came.into_iter().chain([took]).collect()
            }
            Says::Refund { channel, transaction, amount, .. } => {
                let source = Source { channel: channel.clone(), transaction: transaction.clone() };
                purse.want(order, event, &[(source, *amount)])
            }
            Says::RefundShared { amount, .. } => match purse.shared(*amount) {
                Some(parts) => purse.want(order, event, &parts),
                None => noted(Note::MoreThanPaid),
            },
            Says::Approved { refund, .. } => match purse.wanted.get(refund).cloned() {
                None => noted(Note::Unknown),
                Some((_, by)) if by.author == event.author => noted(Note::SamePerson),
                Some((parts, by)) => {
                    if let Some(note) = parts.iter().find_map(|(source, amount)| purse.returnable(source, *amount).err()) {
                        return noted(note);
                    }
                    purse.wanted.remove(refund);
                    purse.all_ordered(order, &parts, &by, Some(&event.said()))
                }
            },
            Says::Declined { refund, .. } => match purse.wanted.get(refund).map(|(_, by)| by.author == event.author) {
                None => noted(Note::Unknown),
                Some(true) => noted(Note::SamePerson),
                Some(false) => {
                    purse.wanted.remove(refund);
                    vec![PaymentEvent::RefundDeclined { bill: purse.bill(order), said: *refund, by: event.said() }]
                }
            },
            Says::RefundSettled { refund, back, shift, .. } => {
                let Some((at, number)) = purse.refund(*refund) else { return noted(Note::Unknown) };
                let bill = purse.bill(order);
                let receipt = &mut purse.receipts[at];
                if !matches!(receipt.refunds[number].state, RefundState::Abnormal | RefundState::Failed) {
                    return noted(Note::AlreadyKnown);
                }
                if *back {
                    let (source, amount) = (receipt.source.clone(), receipt.refunds[number].amount);
                    let (left, drawer) = (receipt.left(amount), shift.is_some());
                    let mut events = vec![PaymentEvent::Refunded { bill, source, amount, refund: *refund, left, drawer, done_at: None }];
                    if let Some(shift) = shift {
                        match self.drawers.take(event, *shift, Money::new(-amount.minor, amount.currency), province, order) {
                            Ok(took) => events.push(took),
                            Err(noted) => return vec![*noted],
                        }
                    }
                    receipt.refunds[number].state = RefundState::Succeeded;
                    return events;
                }
                receipt.refunds[number].tries += 1;
                receipt.refunds[number].state = RefundState::Requested;
                vec![receipt.request(bill, number, false, false)]
            }
            _ => Vec::new(),
        }
    }

    /// What a tick's event should have been; says why where it should not be at all.
    fn tick(&mut self, at: Moment, actual: &PaymentEvent) -> Result<PaymentEvent, String> {
        let PaymentEvent::RefundRequested { bill, refund, .. } = actual else { return Err("a tick only asks for refunds again".into()) };
        let Some(purse) = self.purses.get_mut(&bill.order) else { return Err(format!("a refund of the unknown order {}", bill.order)) };
        let bill = purse.bill(bill.order);
        let Some((receipt, number)) = purse.refund(*refund) else {
            return Err(format!("refund {refund} is asked for again, and no money waits for it"));
        };
        let receipt = &mut purse.receipts[receipt];
        let known = &mut receipt.refunds[number];
        match known.due_at {
            None => return Err(format!("refund {refund} is asked for again, and nobody waits for it")),
            Some(due_at) if due_at > at => return Err(format!("refund {refund} is asked for again before it is due")),
            Some(_) => {}
        }
        // What was refused is asked for again, everything else is asked about.
        let asks = known.state != RefundState::Refused;
        (known.tries, known.state) = (known.tries + 1, RefundState::Requested);
        Ok(receipt.request(bill, number, false, asks))
    }

    /// Takes over when a refund is due again, which is a setting and no decision.
    fn take_due(&mut self, actual: &PaymentEvent) {
        let (order, refund, again) = match actual {
            PaymentEvent::RefundRequested { bill, refund, due_at, .. } => (bill.order, refund, Some(*due_at)),
            PaymentEvent::RefundStood { bill, refund, due_at, .. } => (bill.order, refund, *due_at),
            PaymentEvent::Refunded { bill, refund, .. } => (bill.order, refund, None),
            _ => return,
        };
        if let Some(purse) = self.purses.get_mut(&order)
            && let Some((receipt, number)) = purse.refund(*refund)
        {
            purse.receipts[receipt].refunds[number].due_at = again;
        }
    }
}

impl Purse {
    fn want(&mut self, order: Id, event: &DeskEvent, parts: &[(Source, Money)]) -> Vec<PaymentEvent> {
        if let Some(note) = parts.iter().find_map(|(source, amount)| self.returnable(source, *amount).err()) {
            return vec![PaymentEvent::Noted { note, order }];
        }
        let whole: i64 = parts.iter().map(|(_, amount)| amount.minor).sum();
        let mut alone = 0;
        for refund in self.receipts.iter().flat_map(|receipt| &receipt.refunds) {
            if refund.alone && refund.state != RefundState::Failed {
                alone += refund.amount.minor;
            }
        }
        if alone + whole <= ALONE_MAX {
            return self.all_ordered(order, parts, &event.said(), None);
        }
        self.wanted.insert(event.id, (parts.to_vec(), event.said()));
        let ((source, amount), beside) = (parts[0].clone(), parts[1..].to_vec());
        vec![PaymentEvent::RefundWanted { bill: self.bill(order), source, amount, by: event.said(), said: event.id, beside }]
    }

    fn all_ordered(&mut self, order: Id, parts: &[(Source, Money)], by: &Said, approved: Option<&Said>) -> Vec<PaymentEvent> {
        let mut events = Vec::new();
        for (source, amount) in parts {
            let at = self.returnable(source, *amount).expect("it was looked at");
            events.push(self.ordered(order, at, *amount, by.clone(), approved.cloned()));
        }
        events
    }

    /// Money first, points last.
    fn shared(&self, amount: Money) -> Option<Vec<(Source, Money)>> {
        let (mut rest, mut parts) = (amount.minor, Vec::new());
        for points in [false, true] {
            for at in self.sorted(|receipt| receipt.fate == Fate::Pays && receipt.captured && (&*receipt.source.channel == "points") == points) {
                let receipt = &self.receipts[at];
                let left = receipt.amount.minor - receipt.refunds.iter().map(|refund| refund.amount.minor).sum::<i64>();
                let part = left.min(rest);
                if part > 0 && receipt.amount.currency == amount.currency {
                    parts.push((receipt.source.clone(), Money::new(part, amount.currency)));
                    rest -= part;
                }
            }
        }
        (rest == 0 && amount.minor > 0).then_some(parts)
    }

    fn came(
        &mut self,
        order: Id,
        (source, attempt): (Source, Option<Id>),
        amount: Money,
        (paid_at, now): (Moment, Moment),
        captured: bool,
    ) -> Vec<PaymentEvent> {
        let noted = |note| vec![PaymentEvent::Noted { note, order }];
        let part = self.part(&source, attempt, amount, now);
        let at = match self.receipts.iter().position(|receipt| receipt.source == source) {
            Some(at) if captured && !self.receipts[at].captured => {
                let receipt = &mut self.receipts[at];
                let before = receipt.amount;
                (receipt.captured, receipt.amount) = (true, amount);
                if receipt.fate == Fate::Pays {
                    if before == amount {
                        return vec![PaymentEvent::Settled { bill: self.bill(order), source, amount }];
                    }
                    // It captured something else than what it paid.
                    receipt.fate = Fate::Held;
                    receipt.paid_at = paid_at;
                    let undone = PaymentEvent::Reversed { bill: self.bill(order), source, amount: before, applied: true };
                    return std::iter::once(undone).chain(self.decide(order, at, false)).collect();
                }
                receipt.paid_at = paid_at;
                at
            }
            Some(at) => return noted(if self.receipts[at].amount == amount { Note::AlreadyKnown } else { Note::AmountDiffers }),
            None => {
                let (fate, refunds, part_of) = (Fate::Held, Vec::new(), None);
                self.receipts.push(Receipt { source: source.clone(), amount, paid_at, captured, fate, refunds, part_of });
                self.receipts.len() - 1
            }
        };
        if let Some(part) = part
            && self.receipts[at].fate == Fate::Held
        {
            return self.gather(order, at, part);
        }
        if self.due.is_none() {
            self.receipts[at].fate = Fate::Held;
            return vec![PaymentEvent::Held { bill: self.bill(order), source, amount, paid_at: Some(paid_at), provisional: !captured, choice: None }];
        }
        self.receipts[at].part_of = None;
        self.decide(order, at, false)
    }

    fn failed(&mut self, order: Id, source: Source, amount: Money) -> PaymentEvent {
        let bill = self.bill(order);
        let noted = PaymentEvent::Noted { note: Note::AlreadyKnown, order };
        let Some(at) = self.receipts.iter().position(|receipt| receipt.source == source) else {
            let (paid_at, captured, refunds) = (Moment(0), false, Vec::new());
            self.receipts.push(Receipt { source: source.clone(), amount, paid_at, captured, fate: Fate::Failed, refunds, part_of: None });
            return PaymentEvent::Reversed { bill, source, amount, applied: false };
        };
        let receipt = &mut self.receipts[at];
        if receipt.captured || receipt.fate == Fate::Failed {
            return noted;
        }
        let applied = receipt.fate == Fate::Pays;
        receipt.fate = Fate::Failed;
        PaymentEvent::Reversed { bill, source, amount: receipt.amount, applied }
    }

    fn refund_answered(
        &mut self,
        order: Id,
        (channel, refund, tries): (&str, Id, u32),
        (succeeded, standing): (bool, Option<Standing>),
        told_at: Moment,
    ) -> PaymentEvent {
        let noted = |note| PaymentEvent::Noted { note, order };
        let Some((at, number)) = self.refund(refund) else { return noted(Note::Unknown) };
        if &*self.receipts[at].source.channel != channel {
            return noted(Note::Unknown);
        }
        let bill = self.bill(order);
        let source = self.receipts[at].source.clone();
        let left = self.receipts[at].left(self.receipts[at].refunds[number].amount);
        let known = &mut self.receipts[at].refunds[number];
        let stuck = matches!(known.state, RefundState::Abnormal | RefundState::Failed);
        if known.state == RefundState::Succeeded || (!succeeded && (stuck || (tries != 0 && tries < known.tries))) {
            return noted(Note::AlreadyKnown);
        }
        if succeeded {
            known.state = RefundState::Succeeded;
            return PaymentEvent::Refunded { bill, source, amount: known.amount, refund, left, drawer: false, done_at: Some(told_at) };
        }
        known.state = match standing {
            Some(Standing::Accepted) => RefundState::Accepted,
            Some(Standing::Unknown) => RefundState::Unknown,
            Some(Standing::Abnormal) => RefundState::Abnormal,
            _ if known.tries >= TRIES_MAX => RefundState::Failed,
            _ => RefundState::Refused,
        };
        PaymentEvent::RefundStood { bill, source, refund, state: known.state, due_at: None }
    }
}

/// An event without what is not judged.
fn normal(event: &PaymentEvent) -> PaymentEvent {
    let mut event = event.clone();
    match &mut event {
        PaymentEvent::RefundRequested { due_at, held, tries, .. } => {
            *due_at = Moment(0);
            // What the money was before matters to the ledger once.
            *held &= *tries == 1;
        }
        PaymentEvent::RefundStood { due_at, .. } => *due_at = None,
        _ => {}
    }
    event
}
