//! Which money counts: of all that channels capture for an order one payment is applied, the rest goes back.
//!
//! Money is *captured* once its channel has settled it. What a channel has merely accepted (an ETC debit, a parking deduction) is provisional: it pays an
//! order as long as nothing settled does, and may still fail; then the order is due again.
//!
//! Invariants
//! 1. At most one success of an order is applied   (`tests::a_second_success_for_the_same_order_is_refunded`, `search`).
//! 2. Captured = applied + refunded + open liability; what is provisional is none of these   (`tests::captured_is_applied_refunded_or_owed`, `search`).
//! 3. Money that comes before its order is held and then decided   (`tests::money_before_its_order_waits_for_it`).
//! 4. Nothing pays an order that was withdrawn, and one that is paid is not withdrawn   (`tests::a_withdrawn_order_takes_no_money`).
//! 5. What is settled beats what may still fail; among equals the first durable one counts   (`tests::what_is_settled_beats_what_may_fail`). Which of
//!    these it was is recorded with the choice   (`tests::the_choice_is_recorded_with_its_reason`).
//! 6. Of a payment by several means all count or none   (`attempt::tests::laws`).
//!
//! Not here: whether a notification is genuine (`channels`), how an order is tried to be paid (`attempt`), who takes cash (`shift`), how a refund goes on
//! (`refund`) and of which money it is (`share`), what was taken off a price (`discount`), what the ledger says of it (`settlement`).

mod attempt;
mod discount;
mod refund;
mod share;
mod shift;

use crate::{Body, Facts, Input, Rules, Touch, View, no_window, nothing};
use schema::{
    ChannelEvent, ChannelFact, Day, DeskEvent, Effect, Entity, Event, Id, Journal, Key, Moment, Money, Recorded, Table,
    desk::Says,
    entity::{Fate, Payment, Receipt, Shift},
    id,
    journal::{AppliedReason, AttemptState, Bill, Note, OrderEvent, PaymentEvent, RefundReason, ShiftAt, Source},
    ledger::Discounts,
};
use std::{collections::BTreeMap, sync::Arc};

pub(crate) use discount::taken_off;
pub use share::RefundShares;

/// The processor `payment`.
pub const RULES: Rules =
    Rules { name: "payment", journal: Journal::Payment, concerns, needs, wants: nothing, audits: no_window, decide, touches, evolve, effects };

fn concerns(body: &Body) -> bool {
    match body {
        Body::Tick(_) => true,
        Body::Channel(event) => event.is_of_money(),
        Body::Desk(event) => event.says.is_of_money(),
        Body::Journal(recorded) => match &recorded.event {
            Event::Order(OrderEvent::Priced { quote, .. }) => !quote.total.is_zero(),
            Event::Order(OrderEvent::Withdrawn { .. } | OrderEvent::Overpaid { .. }) => true,
            _ => false,
        },
        Body::Gate(_) | Body::Statement(_) => false,
    }
}

/// A priced order is new here unless its money came first, and held money is never out of memory. What others say may be of long ago.
fn needs(_: &dyn View, _: &Facts, input: &Input) -> Vec<Key> {
    let order = match &input.body {
        Body::Channel(event) => event.order(),
        Body::Desk(event) => {
            let shift = shift_of(event).map(|name| Key::shift(event.lot, &name));
            let order = event.says.order().and_then(|order| Key::of(Table::Payments, order));
            return order.into_iter().chain(shift).collect();
        }
        Body::Tick(key) => return vec![*key],
        Body::Journal(recorded) => match &recorded.event {
            Event::Order(OrderEvent::Withdrawn { order, .. } | OrderEvent::Overpaid { order, .. }) => Some(*order),
            _ => None,
        },
        Body::Gate(_) | Body::Statement(_) => None,
    };
    order.and_then(|order| Key::of(Table::Payments, order)).into_iter().collect()
}

fn decide(view: &dyn View, facts: &Facts, input: &Input) -> Vec<Event> {
    let known = |order: Id| match Key::of(Table::Payments, order).and_then(|key| view.get(&key)) {
        Some(Entity::Payment(payment)) => Some(&**payment),
        _ => None,
    };
    let events = match &input.body {
        Body::Journal(recorded) => match &recorded.event {
            Event::Order(OrderEvent::Priced { order, stay, quote, departure, inside, .. }) => {
                let day = id::place(order.as_str()).map(|place| place.day).unwrap_or_default();
                let bill = Bill { order: *order, lot: Some(stay.lot), day };
                let discounts = discount::taken_off(quote, stay.session, departure.left_at).map(Box::new);
                let expected = expect(known(*order), facts, input, &bill, (quote.total, discounts));
                // Who pays inside stands at a pay station: the plate pays at the exit.
                let deducts = departure.deducts.as_deref().filter(|_| inside.is_none() && matches!(expected[..], [PaymentEvent::Expected { .. }]));
                let chosen = deducts.map(|by| attempt::deduct(facts, input, &bill, quote.total, (stay, departure, by)));
                expected.into_iter().chain(chosen).collect()
            }
            Event::Order(OrderEvent::Withdrawn { order, .. }) => vec![withdraw(known(*order), *order)],
            Event::Order(OrderEvent::Overpaid { order, amount, by, said, .. }) => {
                refund::overpaid(known(*order), facts, input, (*order, *amount), (said, by))
            }
            _ => Vec::new(),
        },
        Body::Channel(event) => {
            let Some(order) = event.order() else { return Vec::new() };
            said(known(order), facts, input, order, event)
        }
        Body::Desk(event) => {
            let shift = shift_of(event).and_then(|name| match view.get(&Key::shift(event.lot, &name)) {
                Some(Entity::Shift(shift)) => Some(&**shift),
                _ => None,
            });
            ordered(known, shift, facts, input, event)
        }
        Body::Tick(key) => known(key.id).map(|payment| due(payment, facts, input)).unwrap_or_default(),
        Body::Gate(_) | Body::Statement(_) => Vec::new(),
    };
    let order = events.iter().find_map(|event| if event.shift().is_some() { None } else { event.order() });
    // A tick at which nothing was due of a refund may be the end of what a payment by several means waited for.
    let order = order.or(if let Body::Tick(key) = &input.body { Some(key.id) } else { None });
    let begins = || order.filter(|_| events.iter().any(|event| matches!(event, PaymentEvent::Chosen { .. }))).map(|order| blank(order, Day(0)));
    let follows = match order.and_then(known) {
        Some(payment) => attempt::follow(payment, facts, input, &events),
        None => begins().map(|payment| attempt::follow(&payment, facts, input, &events)).unwrap_or_default(),
    };
    let discounts = order.and_then(known).and_then(|payment| payment.discounts.as_deref());
    discount::carried(events.into_iter().chain(follows).collect(), discounts).into_iter().map(Event::Payment).collect()
}

fn due(payment: &Payment, facts: &Facts, input: &Input) -> Vec<PaymentEvent> {
    refund::due(payment, facts, input).into_iter().chain(attempt::due(payment, facts, input)).collect()
}

/// The shift that a person speaks of.
fn shift_of(event: &DeskEvent) -> Option<schema::desk::ShiftName> {
    match &event.says {
        Says::Cash { shift, .. } | Says::Shift { shift, .. } | Says::RefundSettled { shift: Some(shift), .. } => Some(*shift),
        _ => None,
    }
}

fn ordered<'a>(
    known: impl Fn(Id) -> Option<&'a Payment>,
    shift: Option<&Shift>,
    facts: &Facts,
    input: &Input,
    event: &DeskEvent,
) -> Vec<PaymentEvent> {
    if let Says::Shift { shift: name, step } = &event.says {
        return vec![shift::step(shift, facts, event, *name, *step)];
    }
    let Some(order) = event.says.order() else { return Vec::new() };
    let Some(payment) = known(order) else { return vec![PaymentEvent::Noted { note: Note::Unknown, order }] };
    let drawer = |name| shift::at(facts, event, name);
    match &event.says {
        Says::Pay { tenders, .. } => vec![attempt::choose(payment, facts, input, tenders, event.said())],
        Says::Cash { amount, shift: name, .. } => take_cash(payment, (shift, drawer(*name)), facts, input, event, *amount),
        Says::Refund { channel, transaction, amount, .. } => {
            let source = Source { channel: channel.clone(), transaction: transaction.clone() };
            refund::want(payment, facts, input, (&event.id, event.said()), vec![(source, *amount)])
        }
        Says::RefundShared { amount, .. } => refund::want_shared(payment, facts, input, (&event.id, event.said()), *amount),
        Says::Approved { refund, .. } => refund::approve(payment, facts, input, event, refund),
        Says::Declined { refund, .. } => vec![refund::decline(payment, event, refund)],
        Says::RefundSettled { refund, back, shift: name, .. } => {
            let mut settled = refund::settle_by_hand(payment, facts, input, *refund, *back);
            let (PaymentEvent::Refunded { amount, .. }, Some(name)) = (&settled, name) else { return vec![settled] };
            let given = Money::new(amount.minor.saturating_neg(), amount.currency);
            if let PaymentEvent::Refunded { drawer, .. } = &mut settled {
                *drawer = true;
            }
            match shift::take(shift, drawer(*name), order, given, event.said()) {
                Ok(took) => vec![settled, took],
                Err(noted) => vec![*noted],
            }
        }
        _ => vec![PaymentEvent::Noted { note: Note::Unknown, order }],
    }
}

/// Cash counts like any other money, once it lies in a drawer.
fn take_cash(
    payment: &Payment,
    (shift, at): (Option<&Shift>, ShiftAt),
    facts: &Facts,
    input: &Input,
    event: &DeskEvent,
    amount: Money,
) -> Vec<PaymentEvent> {
    match shift::take(shift, at, payment.order, amount, event.said()) {
        Err(noted) => vec![*noted],
        Ok(took) => {
            let source = Source { channel: attempt::CASH.into(), transaction: event.id.as_str().into() };
            let paid_at = event.said_at.min(input.received_at);
            let money = Tendered { source, amount, paid_at, provisional: false, known: Known::New };
            succeed(Some(payment), facts, input, payment.order, (money, None)).into_iter().chain([took]).collect()
        }
    }
}

/// Money that a channel says it has captured or accepted.
#[derive(Clone)]
struct Tendered {
    source: Source,
    amount: Money,
    paid_at: Moment,
    provisional: bool,
    /// Whether it was recorded before: as captured (a liability since), or as accepted.
    known: Known,
}

/// What was known of money before it is decided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Nothing.
    New,
    /// It is held, and captured: a liability.
    Owed,
}

fn said(known: Option<&Payment>, facts: &Facts, input: &Input, order: Id, event: &ChannelEvent) -> Vec<PaymentEvent> {
    let paid_at = event.happened_at.min(input.received_at);
    let money = |transaction: &Arc<str>, amount: Money, provisional| {
        let source = Source { channel: event.channel.clone(), transaction: transaction.clone() };
        Tendered { source, amount, paid_at, provisional, known: Known::New }
    };
    let heard = |attempt: &Id, state| known.and_then(|payment| attempt::heard_money(payment, &event.channel, *attempt, state));
    match &event.fact {
        ChannelFact::Succeeded { transaction, amount, attempt } => {
            let came = succeed(known, facts, input, order, (money(transaction, *amount, false), Some(*attempt)));
            came.into_iter().chain(heard(attempt, AttemptState::Paid)).collect()
        }
        ChannelFact::Accepted { transaction, amount, attempt } => {
            let came = succeed(known, facts, input, order, (money(transaction, *amount, true), Some(*attempt)));
            let asked = known.and_then(|payment| attempt::heard_late(payment, facts, input, *attempt, (&event.channel, transaction)));
            came.into_iter().chain(heard(attempt, AttemptState::Held)).chain(asked).collect()
        }
        ChannelFact::Failed { transaction, amount, attempt } => {
            [fail(known, order, &money(transaction, *amount, true))].into_iter().chain(heard(attempt, AttemptState::Closed)).collect()
        }
        ChannelFact::Imported { number, transaction, amount, .. } => {
            let source = Source { channel: event.channel.clone(), transaction: transaction.clone() };
            vec![import(known, order, source, *amount, (number, paid_at))]
        }
        ChannelFact::RefundAnswered { refund, succeeded, tries, standing, .. } => {
            vec![refund::answer(known, facts, input, order, (&event.channel, *refund, *tries), (*succeeded, *standing))]
        }
        ChannelFact::CallAnswered { attempt, act, tries, outcome, code } => {
            vec![attempt::answer(known, facts, input, (order, &event.channel, *attempt), (*act, *tries), (*outcome, code.as_ref()))]
        }
        ChannelFact::Parked { .. } => Vec::new(),
    }
}

fn expect(
    known: Option<&Payment>,
    facts: &Facts,
    input: &Input,
    bill: &Bill,
    (due, discounts): (Money, Option<Box<Discounts>>),
) -> Vec<PaymentEvent> {
    if known.is_some_and(|payment| payment.due.is_some()) {
        return vec![PaymentEvent::Noted { note: Note::AlreadyKnown, order: bill.order }];
    }
    let mut events = vec![PaymentEvent::Expected { bill: bill.clone(), due, discounts }];
    let waits = |receipt: &&Receipt| receipt.fate == Fate::Held && receipt.choice.is_none();
    let mut held: Vec<&Receipt> = known.iter().flat_map(|payment| payment.receipts.values()).filter(waits).collect();
    // What is settled comes before what may still fail; then the first durable one.
    held.sort_by_key(|receipt| (receipt.provisional, receipt.came_at));
    let mut stands = Stands::Due(due);
    for receipt in &held {
        let Receipt { source, amount, came_at, paid_at, provisional, .. } = receipt;
        let known = if *provisional { Known::New } else { Known::Owed };
        let money = Tendered { source: source.clone(), amount: *amount, paid_at: paid_at.unwrap_or(*came_at), provisional: *provisional, known };
        events.push(arbitrate(facts, input, bill.clone(), money, (stands, why(receipt, &held))));
        if *amount == due {
            stands = Stands::Paid(due);
        }
    }
    events
}

/// Why it is this one that counts of all that waited for an order, if it does.
fn why(chosen: &Receipt, held: &[&Receipt]) -> AppliedReason {
    let rivals: Vec<&&Receipt> = held.iter().filter(|rival| rival.source != chosen.source && rival.amount == chosen.amount).collect();
    if rivals.is_empty() {
        AppliedReason::Only
    } else if rivals.iter().any(|rival| rival.provisional == chosen.provisional) {
        AppliedReason::First
    } else {
        AppliedReason::Settled
    }
}

/// How an order stands whose price is known.
#[derive(Clone, Copy)]
enum Stands {
    /// This is due.
    Due(Money),
    /// This was due, and is paid.
    Paid(Money),
    /// This was due, and another order has taken its place.
    Withdrawn(Money),
}

fn stands(payment: &Payment) -> Option<Stands> {
    let due = payment.due?;
    Some(match (payment.is_paid(), payment.withdrawn) {
        (true, _) => Stands::Paid(due),
        (false, true) => Stands::Withdrawn(due),
        (false, false) => Stands::Due(due),
    })
}

/// Money was captured, or accepted, by this attempt; by none where it is cash.
fn succeed(known: Option<&Payment>, facts: &Facts, input: &Input, order: Id, (money, attempt): (Tendered, Option<Id>)) -> Vec<PaymentEvent> {
    let bill = bill(known, order);
    let choice = known.and_then(|payment| {
        let choice = attempt::part_of(payment, input.received_at, &money.source.channel, attempt, money.amount)?;
        Some((payment, choice))
    });
    if let Some(receipt) = known.and_then(|payment| payment.receipts.get(&Payment::receipt_key(&money.source))) {
        // What was accepted is settled, or what had failed is captured after all.
        if receipt.provisional && !money.provisional {
            return match choice.filter(|_| receipt.fate == Fate::Held) {
                Some((payment, choice)) => attempt::gather(payment, choice, money),
                None => settle(known, facts, input, receipt, money, bill),
            };
        }
        let note = if receipt.amount == money.amount { Note::AlreadyKnown } else { Note::AmountDiffers };
        return vec![PaymentEvent::Noted { note, order }];
    }
    if let Some((payment, choice)) = choice {
        return attempt::gather(payment, choice, money);
    }
    match known.and_then(|payment| Some((payment, stands(payment)?))) {
        None => vec![held(bill, money)],
        Some((payment, stands)) => arbitrate_among(payment, facts, input, bill, money, stands),
    }
}

/// Money of an older system is taken as it is: what it paid was due there. An order of ours is none of its: what is paid for that its channel tells.
fn import(known: Option<&Payment>, order: Id, source: Source, amount: Money, (number, paid_at): (&Arc<str>, Moment)) -> PaymentEvent {
    let receipt = known.and_then(|payment| payment.receipts.get(&Payment::receipt_key(&source)));
    match receipt {
        Some(receipt) => {
            let note = if receipt.amount == amount { Note::AlreadyKnown } else { Note::AmountDiffers };
            PaymentEvent::Noted { note, order }
        }
        None if known.is_some_and(|payment| payment.imported.is_none()) => PaymentEvent::Noted { note: Note::OfAnotherKind, order },
        None => PaymentEvent::Imported { bill: bill(known, order), source, amount, number: number.clone(), paid_at },
    }
}

fn held(bill: Bill, money: Tendered) -> PaymentEvent {
    let Tendered { source, amount, paid_at, provisional, .. } = money;
    PaymentEvent::Held { bill, source, amount, paid_at: Some(paid_at), provisional, choice: None }
}

/// What was accepted is captured. Its amount is what was captured.
fn settle(known: Option<&Payment>, facts: &Facts, input: &Input, receipt: &Receipt, money: Tendered, bill: Bill) -> Vec<PaymentEvent> {
    let (source, amount) = (money.source.clone(), money.amount);
    match (receipt.fate, known.and_then(|payment| Some((payment, stands(payment)?)))) {
        (Fate::Applied, _) if receipt.amount == amount => vec![PaymentEvent::Settled { bill, source, amount }],
        // It paid what it did not capture: that is undone, and what came is judged as what it is.
        (Fate::Applied, Some((payment, paid))) => {
            let undone = PaymentEvent::Reversed { bill: bill.clone(), source, amount: receipt.amount, applied: true };
            let mut left = payment.clone();
            fold(&mut left, input.received_at, &undone);
            let stands = stands(&left).unwrap_or(paid);
            std::iter::once(undone).chain(arbitrate_among(&left, facts, input, bill, money, stands)).collect()
        }
        (_, Some((payment, stands))) => arbitrate_among(payment, facts, input, bill, money, stands),
        (_, None) => vec![held(bill, money)],
    }
}

/// What had been accepted has failed. It is remembered, even if nothing was accepted here yet: that may come after it.
fn fail(known: Option<&Payment>, order: Id, money: &Tendered) -> PaymentEvent {
    let (bill, source, amount) = (bill(known, order), money.source.clone(), money.amount);
    let receipt = known.and_then(|payment| payment.receipts.get(&Payment::receipt_key(&source)));
    match receipt {
        // What was captured goes back by a refund, and not by a word.
        Some(Receipt { provisional: false, .. } | Receipt { fate: Fate::Reversed, .. }) => PaymentEvent::Noted { note: Note::AlreadyKnown, order },
        Some(receipt) => PaymentEvent::Reversed { bill, source, amount: receipt.amount, applied: receipt.fate == Fate::Applied },
        None => PaymentEvent::Reversed { bill, source, amount, applied: false },
    }
}

/// The same among what is there: what is settled takes the place of what may still fail.
fn arbitrate_among(payment: &Payment, facts: &Facts, input: &Input, bill: Bill, money: Tendered, stands: Stands) -> Vec<PaymentEvent> {
    if let Stands::Paid(due) = stands
        && payment.payers().all(|before| before.provisional)
        && !money.provisional
        && money.amount == due
    {
        let over = payment.payers().map(|before| {
            let (source, amount, reason) = (before.source.clone(), before.amount, RefundReason::Duplicate);
            PaymentEvent::PassedOver { bill: bill.clone(), source, amount, reason, applied: true }
        });
        return over.chain([arbitrate(facts, input, bill.clone(), money, (Stands::Due(due), AppliedReason::Settled))]).collect();
    }
    // Whatever else came for an order whose price is known was decided when it came: nothing of it waits to be chosen.
    vec![arbitrate(facts, input, bill, money, (stands, AppliedReason::Only))]
}

/// The one place where money is chosen: what is due and not yet paid is applied, everything else goes back, or is passed over until it is captured.
/// `why` is what is recorded of the choice, if this is it.
fn arbitrate(facts: &Facts, input: &Input, bill: Bill, money: Tendered, (stands, why): (Stands, AppliedReason)) -> PaymentEvent {
    let Tendered { source, amount, paid_at, provisional, known } = money;
    let held = known == Known::Owed;
    match goes_back(amount, stands) {
        None => {
            let (paid_at, reason) = (Some(paid_at), Some(why));
            PaymentEvent::Applied { bill, source, amount, held, paid_at, provisional, part: None, discounts: None, reason }
        }
        Some(reason) if provisional => PaymentEvent::PassedOver { bill, source, amount, reason, applied: false },
        Some(reason) => refund::all(facts, input, bill, source, amount, (reason, held)),
    }
}

/// A part of a payment that is not made goes back, or is let go.
fn give_back(payment: &Payment, facts: &Facts, input: &Input, receipt: &Receipt) -> PaymentEvent {
    let (bill, source, reason) = (bill(Some(payment), payment.order), receipt.source.clone(), RefundReason::Incomplete);
    let applied = receipt.fate == Fate::Applied;
    if receipt.provisional {
        return PaymentEvent::PassedOver { bill, source, amount: receipt.amount, reason, applied };
    }
    refund::rest(payment, facts, input, receipt, reason)
}

/// Why money goes back, if it does.
fn goes_back(amount: Money, stands: Stands) -> Option<RefundReason> {
    match stands {
        Stands::Due(due) | Stands::Paid(due) | Stands::Withdrawn(due) if due != amount => Some(RefundReason::AmountDiffers),
        Stands::Due(_) => None,
        Stands::Paid(_) => Some(RefundReason::Duplicate),
        Stands::Withdrawn(_) => Some(RefundReason::Withdrawn),
    }
}

/// An order is to take no money any more; if it has, that stays.
fn withdraw(known: Option<&Payment>, order: Id) -> PaymentEvent {
    let note = |note| PaymentEvent::Noted { note, order };
    match known.and_then(stands) {
        Some(Stands::Paid(_)) => note(Note::AlreadyKnown),
        Some(Stands::Withdrawn(_)) => note(Note::AlreadyClosed),
        Some(Stands::Due(_)) => PaymentEvent::Withdrawn { bill: bill(known, order) },
        // Its price came first, as all that is journaled of an order comes here in its order.
        None => note(Note::Unknown),
    }
}

fn bill(known: Option<&Payment>, order: Id) -> Bill {
    let born = id::place(order.as_str()).map_or(Day(0), |place| place.day);
    Bill { order, lot: known.and_then(|payment| payment.lot), day: known.map_or(born, |payment| payment.day) }
}

fn touches(event: &Event) -> Vec<Touch> {
    let Event::Payment(event) = event else { return Vec::new() };
    if let Some(shift) = event.shift() {
        let born = matches!(event, PaymentEvent::ShiftOpened { .. });
        let noted = matches!(event, PaymentEvent::ShiftNoted { .. });
        return if noted { Vec::new() } else { vec![Touch { key: Key::shift(shift.lot, &shift.name), born }] };
    }
    let born = match event {
        // What begins before its order stays in memory until that comes.
        PaymentEvent::Expected { .. } | PaymentEvent::Held { .. } => true,
        PaymentEvent::Imported { .. }
        | PaymentEvent::Applied { .. }
        | PaymentEvent::Settled { .. }
        | PaymentEvent::PassedOver { .. }
        | PaymentEvent::Reversed { .. }
        | PaymentEvent::Withdrawn { .. }
        | PaymentEvent::RefundWanted { .. }
        | PaymentEvent::RefundDeclined { .. }
        | PaymentEvent::RefundRequested { .. }
        | PaymentEvent::RefundStood { .. }
        | PaymentEvent::Refunded { .. }
        | PaymentEvent::Chosen { .. }
        | PaymentEvent::Attempted { .. }
        | PaymentEvent::AttemptStood { .. } => false,
        PaymentEvent::ShiftOpened { .. }
        | PaymentEvent::ShiftTook { .. }
        | PaymentEvent::ShiftCounted { .. }
        | PaymentEvent::ShiftClosed { .. }
        | PaymentEvent::ShiftNoted { .. }
        | PaymentEvent::Noted { .. } => return Vec::new(),
    };
    event.order().and_then(|order| Key::of(Table::Payments, order)).map(|key| Touch { key, born }).into_iter().collect()
}

fn evolve(key: &Key, entity: Option<Entity>, recorded: &Recorded) -> Entity {
    let Event::Payment(event) = &recorded.event else { unreachable!("PAYMENT holds its own events alone") };
    if key.table == Table::Shifts {
        return shift::evolve(entity, recorded, event);
    }
    let mut payment = match entity {
        Some(Entity::Payment(payment)) => payment,
        _ => Box::new(blank(key.id, key.day)),
    };
    fold(&mut payment, recorded.at, event);
    Entity::Payment(payment)
}

/// The money of an order of which nothing is known yet.
fn blank(order: Id, day: Day) -> Payment {
    let (receipts, wanted, attempts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    Payment { order, lot: None, day, due: None, receipts, withdrawn: false, imported: None, wanted, choice: None, attempts, discounts: None }
}

/// The fold of one payment.
fn fold(payment: &mut Payment, at: Moment, event: &PaymentEvent) {
    match event {
        PaymentEvent::Withdrawn { .. } => payment.withdrawn = true,
        PaymentEvent::Imported { source, amount, number, paid_at, .. } => {
            receive(payment, at, (source, *amount, Some(*paid_at)), Fate::Applied);
            payment.imported = Some(number.clone());
        }
        PaymentEvent::Expected { bill, due, discounts } => {
            payment.discounts.clone_from(discounts);
            payment.lot = bill.lot;
            payment.day = bill.day;
            payment.due = Some(*due);
        }
        PaymentEvent::Held { source, amount, provisional, paid_at, choice, .. } => {
            let receipt = receive(payment, at, (source, *amount, *paid_at), Fate::Held);
            (receipt.provisional, receipt.choice) = (*provisional, *choice);
        }
        PaymentEvent::Applied { source, amount, provisional, paid_at, .. } => {
            receive(payment, at, (source, *amount, *paid_at), Fate::Applied).provisional = *provisional;
        }
        PaymentEvent::Settled { source, amount, .. } => {
            receive(payment, at, (source, *amount, None), Fate::Applied).provisional = false;
        }
        PaymentEvent::PassedOver { source, amount, .. } => {
            receive(payment, at, (source, *amount, None), Fate::PassedOver).provisional = true;
        }
        PaymentEvent::Reversed { source, amount, .. } => {
            receive(payment, at, (source, *amount, None), Fate::Reversed).provisional = true;
        }
        PaymentEvent::RefundRequested { source, amount, applied, captured, reason, .. } => {
            let amount = captured.unwrap_or(*amount);
            // What was a part of a payment that is not made pays nothing any more.
            let fate = if *applied && *reason != RefundReason::Incomplete { Fate::Applied } else { Fate::Surplus };
            let receipt = receive(payment, at, (source, amount, None), fate);
            receipt.provisional = false;
            refund::evolve(receipt, event);
            refund::agreed(payment, event);
        }
        PaymentEvent::RefundWanted { .. } | PaymentEvent::RefundDeclined { .. } => refund::agreed(payment, event),
        PaymentEvent::Chosen { .. } | PaymentEvent::Attempted { .. } | PaymentEvent::AttemptStood { .. } => attempt::evolve(payment, event),
        PaymentEvent::RefundStood { source, .. } | PaymentEvent::Refunded { source, .. } => {
            if let Some(receipt) = payment.receipts.get_mut(&Payment::receipt_key(source)) {
                refund::evolve(receipt, event);
                refund::done(receipt, event, at);
            }
        }
        // What concerns no payment is nothing to it.
        PaymentEvent::ShiftOpened { .. }
        | PaymentEvent::ShiftTook { .. }
        | PaymentEvent::ShiftCounted { .. }
        | PaymentEvent::ShiftClosed { .. }
        | PaymentEvent::ShiftNoted { .. }
        | PaymentEvent::Noted { .. } => {}
    }
}

/// The receipt of that money, new or known, with what became of it. What is captured tells how much it is.
fn receive<'a>(payment: &'a mut Payment, at: Moment, (source, amount, paid_at): (&Source, Money, Option<Moment>), fate: Fate) -> &'a mut Receipt {
    let new = || Receipt { source: source.clone(), amount, came_at: at, fate, paid_at, provisional: false, choice: None, refunds: Vec::new() };
    let receipt = payment.receipts.entry(Payment::receipt_key(source)).or_insert_with(new);
    receipt.fate = fate;
    receipt.amount = amount;
    receipt.paid_at = paid_at.or(receipt.paid_at);
    receipt
}

fn effects(recorded: &Recorded) -> Vec<Effect> {
    let Event::Payment(event) = &recorded.event else { return Vec::new() };
    refund::call(event).map(Effect::Refund).into_iter().chain(attempt::call(event).map(Effect::Call)).collect()
}

#[cfg(test)]
mod search;
#[cfg(test)]
mod tests;
