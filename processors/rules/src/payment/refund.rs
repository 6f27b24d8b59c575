//! How money goes back: requested, accepted, made; or unknown, refused, and at last a person's work.
//!
//! Invariants
//! 1. A refund keeps its id, whatever happens to it, and none has the id of another   (`tests::a_refund_without_an_answer_is_asked_about`).
//! 2. What nobody knows is asked about, and not repeated   (`tests::a_refund_without_an_answer_is_asked_about`).
//! 3. No more goes back of a transaction than it captured   (`tests::no_more_goes_back_than_was_captured`, `search`).
//! 4. Past a limit two persons agree, in however many parts one asks   (`tests::past_a_limit_another_person_must_agree`,
//!    `tests::a_limit_is_not_passed_in_parts`).
//! 5. The channel that has the money says how its refund stands, and no other   (`tests::another_channel_says_nothing_of_a_refund`).
//! 6. Money went back when its channel says so, and not when we hear it   (`tests::a_refund_is_of_its_channels_time`).
//! 7. What another person declines is wanted no more   (`tests::what_another_person_declines_is_wanted_no_more`).
//! 8. No payment goes back in more parts than its channel takes   (`tests::a_channel_takes_so_many_parts_of_a_payment`).
//!
//! Not here: what is refunded without anybody's asking (`payment`), how a channel is called (`channels`).

use super::{bill, share::share};
use crate::{Facts, Input};
use schema::{
    DeskEvent, EventId, Id, Moment, Money, RefundCall,
    channel::Standing,
    desk::Said,
    entity::{Fate, Payment, Receipt, Refund, RefundWish},
    id::{self, Kind},
    journal::{Bill, Note, PaymentEvent, RefundReason, RefundState, Source},
};

/// In how many parts a channel gives back one payment at most, where it says so (WeChat Pay's documentation of APIv3, refunds).
fn parts_max(channel: &str) -> Option<usize> {
    (channel == "wechat").then_some(50)
}

/// The id of the how-many-eth refund of a transaction.
fn id_of(order: Id, source: &Source, number: usize) -> Id {
    let place = id::place(order.as_str()).expect("an order's id was checked when its event was read");
    id::derive(Kind::Refund, place, &[order.as_str(), &source.channel, &source.transaction, &number.to_string()])
}

fn retry_at(facts: &Facts, input: &Input, tries: u32) -> Moment {
    input.received_at.plus(facts.limits.refund_retry.saturating_mul(i64::from(tries.min(120))))
}

/// All of what was captured goes back.
pub fn all(facts: &Facts, input: &Input, bill: Bill, source: Source, amount: Money, (reason, held): (RefundReason, bool)) -> PaymentEvent {
    let (refund, due_at) = (id_of(bill.order, &source, 1), retry_at(facts, input, 1));
    let (tries, asks, applied, captured, by, approved) = (1, false, false, None, None, None);
    PaymentEvent::RefundRequested { bill, source, amount, refund, reason, tries, held, due_at, asks, applied, captured, by, approved }
}

/// What is left of money goes back that pays nothing any more.
pub fn rest(payment: &Payment, facts: &Facts, input: &Input, receipt: &Receipt, reason: RefundReason) -> PaymentEvent {
    let left = receipt.captured().saturating_sub(receipt.returning());
    PaymentEvent::RefundRequested {
        bill: bill(Some(payment), payment.order),
        source: receipt.source.clone(),
        amount: Money::new(left, receipt.amount.currency),
        refund: id_of(payment.order, &receipt.source, receipt.refunds.len().saturating_add(1)),
        reason,
        tries: 1,
        held: receipt.fate == Fate::Held,
        due_at: retry_at(facts, input, 1),
        asks: false,
        applied: receipt.fate == Fate::Applied,
        captured: (left != receipt.amount.minor).then_some(receipt.amount),
        by: None,
        approved: None,
    }
}

/// A part of what pays the order goes back, or all of it, because persons say so.
fn part(payment: &Payment, receipt: &Receipt, facts: &Facts, input: &Input, amount: Money, (by, approved): (&Said, Option<&Said>)) -> PaymentEvent {
    let source = receipt.source.clone();
    let refund = id_of(payment.order, &source, receipt.refunds.len().saturating_add(1));
    let (by, approved) = (by.clone(), approved.cloned());
    PaymentEvent::RefundRequested {
        bill: bill(Some(payment), payment.order),
        source,
        amount,
        refund,
        reason: RefundReason::Ordered,
        tries: 1,
        held: false,
        due_at: retry_at(facts, input, 1),
        asks: false,
        applied: true,
        captured: Some(receipt.amount),
        by: Some(by),
        approved,
    }
}

/// What of a wish can be: the receipt, or why not.
fn possible<'a>(payment: &'a Payment, source: &Source, amount: Money) -> Result<&'a Receipt, Note> {
    let receipt = payment.receipts.get(&Payment::receipt_key(source)).ok_or(Note::Unknown)?;
    // What an older system was paid, that one gives back: the money is in its books.
    let fits = payment.imported.is_none()
        && receipt.fate == Fate::Applied
        && receipt.amount.currency == amount.currency
        && amount.minor <= receipt.applied();
    if !fits {
        return Err(Note::MoreThanPaid);
    }
    let is_full = parts_max(&source.channel).is_some_and(|max| receipt.refunds.len() >= max);
    if is_full { Err(Note::TooMany) } else { Ok(receipt) }
}

/// A stay was put right and costs less: the rest goes back of what pays its order, as if the person had said that.
pub fn overpaid(
    payment: Option<&Payment>,
    facts: &Facts,
    input: &Input,
    (order, amount): (Id, Money),
    (said, by): (&EventId, &Said),
) -> Vec<PaymentEvent> {
    match payment.filter(|payment| payment.is_paid()) {
        Some(payment) => want_shared(payment, facts, input, (said, by.clone()), amount),
        None => vec![PaymentEvent::Noted { note: Note::Unknown, order }],
    }
}

/// A person wants money to go back, of whatever paid the order.
pub fn want_shared(payment: &Payment, facts: &Facts, input: &Input, said: (&EventId, Said), amount: Money) -> Vec<PaymentEvent> {
    match share(payment, amount, facts.limits.refund_shares) {
        Some(parts) => want(payment, facts, input, said, parts),
        None => vec![PaymentEvent::Noted { note: Note::MoreThanPaid, order: payment.order }],
    }
}

/// A person wants these parts of money to go back.
pub fn want(payment: &Payment, facts: &Facts, input: &Input, (said, by): (&EventId, Said), parts: Vec<(Source, Money)>) -> Vec<PaymentEvent> {
    let noted = |note| vec![PaymentEvent::Noted { note, order: payment.order }];
    let whole = parts.iter().fold(alone(payment), |sum, (_, amount)| sum.saturating_add(amount.minor));
    if whole <= facts.limits.refund_alone_max {
        return request(payment, facts, input, &parts, (&by, None)).unwrap_or_else(noted);
    }
    if let Some(note) = parts.iter().find_map(|(source, amount)| possible(payment, source, *amount).err()) {
        return noted(note);
    }
    let mut parts = parts.into_iter();
    let Some((source, amount)) = parts.next() else { return noted(Note::MoreThanPaid) };
    let bill = bill(Some(payment), payment.order);
    vec![PaymentEvent::RefundWanted { bill, source, amount, by, said: *said, beside: parts.collect() }]
}

/// What went back of an order, or is to, because one person said so and nobody approved it.
fn alone(payment: &Payment) -> i64 {
    let refunds = payment.receipts.values().flat_map(|receipt| &receipt.refunds);
    let counts = refunds.filter(|refund| refund.alone && refund.state != RefundState::Failed);
    counts.fold(0, |sum, refund| sum.saturating_add(refund.amount.minor))
}

/// All these parts, or why none of them.
fn request(
    payment: &Payment,
    facts: &Facts,
    input: &Input,
    parts: &[(Source, Money)],
    persons: (&Said, Option<&Said>),
) -> Result<Vec<PaymentEvent>, Note> {
    parts.iter().map(|(source, amount)| Ok(part(payment, possible(payment, source, *amount)?, facts, input, *amount, persons))).collect()
}

/// Another person agrees to it.
pub fn approve(payment: &Payment, facts: &Facts, input: &Input, event: &DeskEvent, said: &EventId) -> Vec<PaymentEvent> {
    let noted = |note| vec![PaymentEvent::Noted { note, order: payment.order }];
    let Some(wish) = payment.wanted.get(said) else { return noted(Note::Unknown) };
    if wish.by.author == event.author {
        return noted(Note::SamePerson);
    }
    let parts: Vec<_> = [(wish.source.clone(), wish.amount)].into_iter().chain(wish.beside.iter().cloned()).collect();
    request(payment, facts, input, &parts, (&wish.by, Some(&event.said()))).unwrap_or_else(noted)
}

/// Another person does not agree to it.
pub fn decline(payment: &Payment, event: &DeskEvent, said: &EventId) -> PaymentEvent {
    match payment.wanted.get(said) {
        None => PaymentEvent::Noted { note: Note::Unknown, order: payment.order },
        Some(wish) if wish.by.author == event.author => PaymentEvent::Noted { note: Note::SamePerson, order: payment.order },
        Some(_) => PaymentEvent::RefundDeclined { bill: bill(Some(payment), payment.order), said: *said, by: event.said() },
    }
}

/// A person has found out how a refund stands that waited for that.
pub fn settle_by_hand(payment: &Payment, facts: &Facts, input: &Input, refund: Id, back: bool) -> PaymentEvent {
    let noted = |note| PaymentEvent::Noted { note, order: payment.order };
    match find(payment, refund) {
        None => noted(Note::Unknown),
        Some((_, known)) if !known.state.is_stuck() => noted(Note::AlreadyKnown),
        // A person has found out that it did, and not when.
        Some((receipt, known)) if back => made(payment, receipt, known, None),
        Some((receipt, known)) => again(payment, receipt, facts, input, known, false),
    }
}

fn find(payment: &Payment, refund: Id) -> Option<(&Receipt, &Refund)> {
    payment.receipts.values().find_map(|receipt| Some((receipt, receipt.refunds.iter().find(|known| known.refund == refund)?)))
}

fn made(payment: &Payment, receipt: &Receipt, known: &Refund, done_at: Option<Moment>) -> PaymentEvent {
    let (bill, source) = (bill(Some(payment), payment.order), receipt.source.clone());
    let left = receipt.captured().saturating_sub(receipt.refunded());
    let left = (left > known.amount.minor).then_some(Money::new(left, known.amount.currency));
    PaymentEvent::Refunded { bill, source, amount: known.amount, refund: known.refund, left, drawer: false, done_at }
}

/// The same once more: made, or asked about.
fn again(payment: &Payment, receipt: &Receipt, facts: &Facts, input: &Input, known: &Refund, asks: bool) -> PaymentEvent {
    let tries = known.tries.saturating_add(1);
    PaymentEvent::RefundRequested {
        bill: bill(Some(payment), payment.order),
        source: receipt.source.clone(),
        amount: known.amount,
        refund: known.refund,
        reason: known.reason,
        tries,
        held: false,
        due_at: retry_at(facts, input, tries),
        asks,
        applied: receipt.fate == Fate::Applied,
        captured: (known.amount != receipt.amount).then_some(receipt.amount),
        by: None,
        approved: None,
    }
}

/// What a channel says of a refund.
pub fn answer(
    payment: Option<&Payment>,
    facts: &Facts,
    input: &Input,
    order: Id,
    (channel, refund, tries): (&str, Id, u32),
    (succeeded, standing): (bool, Option<Standing>),
) -> PaymentEvent {
    let noted = |note| PaymentEvent::Noted { note, order };
    let found = payment.and_then(|payment| Some((payment, find(payment, refund)?)));
    // Another channel than the one that has the money knows of no such refund.
    let Some((payment, (receipt, known))) = found.filter(|(_, (receipt, _))| &*receipt.source.channel == channel) else {
        return noted(Note::Unknown);
    };
    if known.state == RefundState::Succeeded {
        return noted(Note::AlreadyKnown);
    }
    if succeeded {
        // Nothing went back before it was told of.
        return made(payment, receipt, known, Some(input.time.min(input.received_at)));
    }
    // The answer to an earlier call says less than what came since, and a person's work is a person's.
    if (tries != 0 && tries < known.tries) || known.state.is_stuck() {
        return noted(Note::AlreadyKnown);
    }
    let state = match standing {
        Some(Standing::Accepted) => RefundState::Accepted,
        Some(Standing::Unknown) => RefundState::Unknown,
        Some(Standing::Abnormal) => RefundState::Abnormal,
        Some(Standing::NotFound) | None if known.tries >= facts.limits.refund_tries_max => RefundState::Failed,
        Some(Standing::NotFound) | None => RefundState::Refused,
    };
    let due_at = (!state.is_stuck()).then(|| retry_at(facts, input, known.tries));
    PaymentEvent::RefundStood { bill: bill(Some(payment), order), source: receipt.source.clone(), refund, state, due_at }
}

/// What is due: what was refused is asked for again, everything else is asked about.
pub fn due(payment: &Payment, facts: &Facts, input: &Input) -> Vec<PaymentEvent> {
    let of = |receipt: &Receipt| {
        let due = receipt.refunds.iter().filter(|refund| refund.due_at.is_some_and(|due_at| due_at <= input.received_at));
        due.map(|refund| again(payment, receipt, facts, input, refund, refund.state != RefundState::Refused)).collect::<Vec<_>>()
    };
    payment.receipts.values().flat_map(of).collect()
}

/// When money went back: by its channel's clock; else when that was recorded.
pub fn done(receipt: &mut Receipt, event: &PaymentEvent, at: Moment) {
    if let PaymentEvent::Refunded { refund: done, done_at, .. } = event
        && let Some(refund) = receipt.refunds.iter_mut().find(|refund| refund.refund == *done)
    {
        refund.done_at = refund.done_at.or(*done_at).or(Some(at));
    }
}

/// The fold of what concerns the refunds of a receipt.
pub fn evolve(receipt: &mut Receipt, event: &PaymentEvent) {
    let (refund, state, due_at) = match event {
        PaymentEvent::RefundRequested { refund, amount, reason, tries, due_at, by, approved, .. } => {
            let (amount, reason, tries) = (*amount, *reason, *tries);
            let (state, due_at, done_at) = (RefundState::Requested, Some(*due_at), None);
            let new = Refund { refund: *refund, amount, reason, state, tries, due_at, done_at, alone: by.is_some() && approved.is_none() };
            match receipt.refunds.iter_mut().find(|known| known.refund == *refund) {
                // Who wanted it is said when it is first asked for.
                Some(known) => *known = Refund { alone: known.alone || new.alone, ..new },
                None => receipt.refunds.push(new),
            }
            return;
        }
        PaymentEvent::RefundStood { refund, state, due_at, .. } => (refund, *state, *due_at),
        PaymentEvent::Refunded { refund, .. } => (refund, RefundState::Succeeded, None),
        _ => return,
    };
    if let Some(known) = receipt.refunds.iter_mut().find(|known| known.refund == *refund) {
        (known.state, known.due_at) = (state, due_at);
    }
}

/// The fold of what persons want.
pub fn agreed(payment: &mut Payment, event: &PaymentEvent) {
    match event {
        PaymentEvent::RefundWanted { source, amount, by, said, beside, .. } => {
            let (source, by, beside) = (source.clone(), by.clone(), beside.clone());
            payment.wanted.insert(*said, RefundWish { source, amount: *amount, by, beside });
        }
        PaymentEvent::RefundRequested { by: Some(by), approved: Some(_), .. } => payment.wanted.retain(|_, wish| wish.by != *by),
        PaymentEvent::RefundDeclined { said, .. } => drop(payment.wanted.remove(said)),
        _ => {}
    }
}

/// What a channel is asked for, or about.
pub fn call(event: &PaymentEvent) -> Option<RefundCall> {
    let PaymentEvent::RefundRequested { bill, source, amount, refund, tries, asks, captured, .. } = event else { return None };
    let (channel, transaction) = (source.channel.clone(), source.transaction.clone());
    Some(RefundCall { refund: *refund, order: bill.order, channel, transaction, amount: *amount, tries: *tries, captured: *captured, asks: *asks })
}
