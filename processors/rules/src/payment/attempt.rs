//! How an order is tried to be paid: somebody chooses by what, and each means is an attempt at its channel.
//!
//! A choice takes the place of the one before: what is open of that is closed first, where its channel can. Of several means those that can be held are
//! held before money moves, and the payment is made once all of them are there; what came of one that is not made goes back.
//!
//! Invariants
//! 1. An attempt is opened once nothing of an earlier choice can be paid any more, as far as the channel can say so
//!    (`tests::another_choice_closes_the_open_payment_first`).
//! 2. Of a payment by several means all count or none   (`tests::all_means_of_a_payment_count_or_none`, `tests::laws`).
//! 3. What nobody is to pay any more is closed; what is held is taken or let go   (`tests::an_order_that_is_paid_closes_what_is_open`).
//! 4. What a channel does not answer is asked again, and ends   (`tests::a_channel_that_never_answers_is_given_up`).
//! 5. A fee that is deducted by the plate is provisional until it settles, and a driver who pays otherwise is not held up by it
//!    (`tests::a_deduction_by_the_plate_is_accepted_and_may_fail`).
//! 6. What such a channel has accepted is asked about until it settles or fails, and in vain not for ever
//!    (`tests::an_accepted_deduction_without_an_outcome_is_asked_about`, `tests::a_deduction_that_comes_late_is_asked_about`).
//! 7. What can be paid is asked about before its time is over, for its notice may be lost
//!    (`tests::an_open_payment_is_asked_about_while_its_driver_waits`).
//!
//! Not here: which money counts (`payment`), how a channel is called (`channels`).

use super::{Tendered, bill, fold, give_back};
use crate::{Facts, Input};
use schema::{
    ChannelCall, Id, Moment, Money,
    channel::{Act, Outcome},
    desk::{Said, Tender},
    effect::Deducted,
    entity::{Attempt, Choice, Fate, Payment, Receipt},
    id,
    journal::{AppliedReason, AttemptState, Bill, Deduction, Departure, Note, Part, PaymentEvent, Source, Stay},
};
use std::{collections::BTreeMap, sync::Arc};

/// The channel that holds what it is to bring: it comes before those that move money.
pub const HOLDS: &str = "points";
/// The channel that nobody calls: a person takes it.
pub const CASH: &str = "cash";
/// The most attempts of an order: their numbers have two digits.
const ATTEMPTS_MAX: u16 = 99;
/// So soon after it can be paid a payment is asked about: its driver waits at the barrier.
const LOOKED_FIRST: i64 = 20 * schema::time::SECOND;
/// How often what follows may follow itself. Each time something ends.
const ROUNDS_MAX: usize = 16;

/// Somebody chooses how to pay.
pub fn choose(payment: &Payment, facts: &Facts, input: &Input, tenders: &[Tender], by: Said) -> PaymentEvent {
    let noted = |note| PaymentEvent::Noted { note, order: payment.order };
    let Some(due) = payment.due else { return noted(Note::Unknown) };
    if payment.is_paid() {
        return noted(Note::AlreadyKnown);
    }
    if payment.withdrawn {
        return noted(Note::AlreadyClosed);
    }
    let sum = tenders.iter().fold(0_i64, |sum, tender| sum.saturating_add(tender.amount.minor));
    if sum != due.minor || tenders.iter().any(|tender| tender.amount.currency != due.currency) {
        return noted(Note::AmountDiffers);
    }
    let mut tenders = tenders.to_vec();
    tenders.sort_by_key(|tender| &*tender.channel != HOLDS);
    if let Some(choice) = alive(payment, input.received_at)
        && choice.tenders == tenders
    {
        return noted(Note::AlreadyKnown);
    }
    let last = payment.attempts.keys().next_back().copied().unwrap_or(0).max(payment.choice.as_ref().map_or(0, |choice| choice.number));
    let choice = last.saturating_add(1);
    if usize::from(ATTEMPTS_MAX.saturating_sub(last)) < tenders.len() {
        return noted(Note::TooMany);
    }
    let until = input.received_at.plus(facts.limits.pay_life);
    PaymentEvent::Chosen { bill: bill(Some(payment), payment.order), choice, tenders, until, by, deducts: None }
}

/// The channel that has taken note of a car is to deduct its fee: nobody chooses that at the exit, its driver has let the channel do so.
pub fn deduct(facts: &Facts, input: &Input, bill: &Bill, due: Money, (stay, departure, by): (&Stay, &Departure, &Deduction)) -> PaymentEvent {
    let Deduction { channel, parking } = by;
    let (plate, entered_at, left_at) = (stay.credential.clone(), stay.entered_at, departure.left_at);
    let deducted = Deducted { parking: parking.clone(), session: stay.session, plate, entered_at, left_at };
    let author = "plate".parse().expect("letters are a token");
    PaymentEvent::Chosen {
        bill: bill.clone(),
        choice: 1,
        tenders: vec![Tender { channel: channel.clone(), amount: due }],
        until: input.received_at.plus(facts.limits.pay_life),
        by: Said { author, reason: "the channel deducts by the plate".into(), at: input.received_at },
        deducts: Some(Box::new(deducted)),
    }
}

/// The choice, while it can still become a payment.
fn alive(payment: &Payment, now: Moment) -> Option<&Choice> {
    payment.choice.as_deref().filter(|choice| !payment.is_paid() && !payment.withdrawn && now < choice.until)
}

/// The choice of which this money is a part, where others belong to it: `attempt` is none for cash.
pub fn part_of<'a>(payment: &'a Payment, now: Moment, channel: &str, attempt: Option<Id>, amount: Money) -> Option<&'a Choice> {
    let choice = alive(payment, now).filter(|choice| choice.tenders.len() > 1)?;
    let is_its = match attempt {
        Some(attempt) => payment.attempt(channel, attempt).is_some_and(|known| known.choice == choice.number),
        None => channel == CASH,
    };
    let fits = choice.tenders.iter().any(|tender| &*tender.channel == channel && tender.amount == amount);
    (is_its && fits).then_some(choice)
}

/// What of a choice is there, by channel.
fn gathered(payment: &Payment, choice: u16) -> BTreeMap<&str, &Receipt> {
    let is_here = |receipt: &&Receipt| receipt.fate == Fate::Held && receipt.choice == Some(choice);
    payment.receipts.values().filter(is_here).map(|receipt| (&*receipt.source.channel, receipt)).collect()
}

/// A part of a payment came: it waits for the others, or all of them pay the order.
pub fn gather(payment: &Payment, choice: &Choice, money: Tendered) -> Vec<PaymentEvent> {
    let bill = bill(Some(payment), payment.order);
    let mut here = gathered(payment, choice.number);
    here.remove(&*money.source.channel);
    let Tendered { source, amount, paid_at, provisional, .. } = money;
    let complete = choice.tenders.iter().all(|tender| *tender.channel == *source.channel || here.contains_key(&*tender.channel));
    if !complete {
        return vec![PaymentEvent::Held { bill, source, amount, paid_at: Some(paid_at), provisional, choice: Some(choice.number) }];
    }
    let of = payment.due.unwrap_or(amount);
    let applied = |source, amount, held, paid_at, provisional, last| PaymentEvent::Applied {
        bill: bill.clone(),
        source,
        amount,
        held,
        paid_at,
        provisional,
        part: Some(Part { of, last }),
        discounts: None,
        reason: Some(AppliedReason::Complete),
    };
    let before = here
        .values()
        .map(|receipt| applied(receipt.source.clone(), receipt.amount, !receipt.provisional, receipt.paid_at, receipt.provisional, false));
    let last = applied(source.clone(), amount, false, Some(paid_at), provisional, true);
    before.chain([last]).collect()
}

/// What money tells of the attempt by which it came.
pub fn heard_money(payment: &Payment, channel: &str, attempt: Id, state: AttemptState) -> Option<PaymentEvent> {
    let known = payment.attempt(channel, attempt)?;
    let is_waited_for = state != AttemptState::Held || known.state != AttemptState::Settling && (known.deducts.is_none() || !known.state.is_over());
    let news = known.state != state && known.state != AttemptState::Paid && is_waited_for;
    // What is held waits no longer than the choice does.
    let due_at = (state == AttemptState::Held).then_some(known.until);
    news.then(|| stood(payment, known, state, due_at))
}

/// A deduction that nobody waited for any more was accepted all the same: it may still be captured, and is asked about.
pub fn heard_late(
    payment: &Payment,
    facts: &Facts,
    input: &Input,
    attempt: Id,
    (channel, transaction): (&Arc<str>, &Arc<str>),
) -> Option<PaymentEvent> {
    let known = payment.attempt(channel, attempt).filter(|known| known.deducts.is_some() && known.state.is_over())?;
    let source = Source { channel: channel.clone(), transaction: transaction.clone() };
    let is_new = !payment.receipts.contains_key(&Payment::receipt_key(&source));
    is_new.then(|| stood(payment, known, known.state, Some(settles_by(facts, input, 0))))
}

/// When it is asked whether a deduction has settled, after so many questions.
fn settles_by(facts: &Facts, input: &Input, asked: u32) -> Moment {
    input.received_at.plus(facts.limits.deduction_asks.saturating_mul(i64::from(asked.saturating_add(1))))
}

/// When what can be paid is asked about again: at three times the age that it has now, and at its end at the latest.
fn look_at(facts: &Facts, input: &Input, known: &Attempt) -> Moment {
    let chosen_at = known.until.plus(facts.limits.pay_life.saturating_neg());
    let wait = input.received_at.since(chosen_at).saturating_mul(2).max(LOOKED_FIRST);
    known.until.min(input.received_at.plus(wait))
}

fn stood(payment: &Payment, known: &Attempt, state: AttemptState, due_at: Option<Moment>) -> PaymentEvent {
    let bill = bill(Some(payment), payment.order);
    PaymentEvent::AttemptStood { bill, attempt: known.attempt, state, code: None, due_at }
}

/// What a channel answered that tells of no money.
pub fn answer(
    payment: Option<&Payment>,
    facts: &Facts,
    input: &Input,
    (order, channel, attempt): (Id, &str, Id),
    (act, tries): (Act, u32),
    (outcome, code): (Outcome, Option<&Arc<str>>),
) -> PaymentEvent {
    let noted = |note| PaymentEvent::Noted { note, order };
    let Some((payment, known)) = payment.and_then(|payment| Some((payment, payment.attempt(channel, attempt)?))) else {
        return noted(Note::Unknown);
    };
    // The answer to an earlier call says less than what came since.
    if known.state.is_over() || tries < known.tries && act == act_of(known.state) {
        return noted(Note::AlreadyKnown);
    }
    let later = || input.received_at.plus(facts.limits.call_retry.saturating_mul(i64::from(known.tries.clamp(1, 60))));
    let given_up = known.tries >= facts.limits.call_tries_max;
    // A fee that is deducted by the plate settles by itself, and is asked about if it does not.
    let settles = || known.deducts.as_ref().map(|_| settles_by(facts, input, 0));
    let state = known.state;
    let (state, due_at) = match (outcome, state) {
        (Outcome::Opened, AttemptState::Opening) => {
            let bill = bill(Some(payment), order);
            let state = AttemptState::Open;
            let due_at = Some(known.until.min(input.received_at.plus(LOOKED_FIRST)));
            return PaymentEvent::AttemptStood { bill, attempt, state, code: code.cloned(), due_at };
        }
        // Or nobody can close it: what is paid by it all the same goes back.
        (Outcome::Closed, _) | (Outcome::Impossible, AttemptState::Closing) => (AttemptState::Closed, None),
        // It may be paid already.
        (Outcome::Refused, AttemptState::Closing) if act == Act::Close && !given_up => return ask(payment, facts, input, known, Act::Query),
        (Outcome::Impossible, AttemptState::Opening) => (AttemptState::Failed, None),
        // It settles by itself, and says so.
        (Outcome::Impossible | Outcome::Settled, AttemptState::Settling) => (AttemptState::Paid, settles()),
        (Outcome::Refused | Outcome::Unknown, AttemptState::Opening) if given_up => (AttemptState::Failed, None),
        (Outcome::Refused | Outcome::Unknown | Outcome::Unpaid, AttemptState::Closing) if given_up => (AttemptState::Closed, None),
        (Outcome::Refused | Outcome::Unknown, AttemptState::Settling) if given_up => (AttemptState::Paid, settles()),
        (Outcome::Unpaid, AttemptState::Open) if input.received_at >= known.until => return ask(payment, facts, input, known, Act::Close),
        (Outcome::Unpaid | Outcome::Refused | Outcome::Unknown, AttemptState::Open) if input.received_at < known.until => {
            (state, Some(look_at(facts, input, known)))
        }
        (Outcome::Unpaid | Outcome::Impossible, AttemptState::Open) => (state, Some(known.until.max(later()))),
        (Outcome::Opened | Outcome::Settled, _) => return noted(Note::AlreadyKnown),
        (_, state) => (state, Some(later())),
    };
    stood(payment, known, state, due_at)
}

/// What an attempt waits for.
const fn act_of(state: AttemptState) -> Act {
    match state {
        AttemptState::Opening => Act::Open,
        AttemptState::Held | AttemptState::Settling => Act::Settle,
        AttemptState::Closing => Act::Close,
        AttemptState::Open | AttemptState::Paid | AttemptState::Closed | AttemptState::Failed => Act::Query,
    }
}

/// A channel is asked for something of an attempt that is known.
fn ask(payment: &Payment, facts: &Facts, input: &Input, known: &Attempt, act: Act) -> PaymentEvent {
    let tries = if act == act_of(known.state) || act == Act::Query { known.tries.saturating_add(1) } else { 1 };
    let due_at = match known.state {
        AttemptState::Open if act == Act::Query && input.received_at < known.until => look_at(facts, input, known),
        state if state.is_over() => settles_by(facts, input, tries),
        _ => input.received_at.plus(facts.limits.call_retry.saturating_mul(i64::from(tries.min(60)))),
    };
    PaymentEvent::Attempted {
        bill: bill(Some(payment), payment.order),
        attempt: known.attempt,
        choice: known.choice,
        channel: known.channel.clone(),
        amount: known.amount,
        act,
        tries,
        until: known.until,
        due_at,
        deducts: known.deducts.clone(),
    }
}

/// An attempt is waited for no longer; what a channel has accepted to deduct may still be captured, and is asked about.
fn let_be(payment: &Payment, facts: &Facts, input: &Input, attempt: &Attempt) -> PaymentEvent {
    let is_accepted = attempt.deducts.is_some() && matches!(attempt.state, AttemptState::Held | AttemptState::Settling);
    stood(payment, attempt, AttemptState::Closed, is_accepted.then(|| settles_by(facts, input, 0)))
}

/// What is due of attempts.
pub fn due(payment: &Payment, facts: &Facts, input: &Input) -> Vec<PaymentEvent> {
    let due = payment.attempts.values().filter(|attempt| attempt.due_at.is_some_and(|due_at| due_at <= input.received_at));
    let asked = due.filter(|attempt| !attempt.state.is_over() || payment.may_fail(attempt)).map(|attempt| match attempt.state {
        // Its channel's statement will tell.
        state if state.is_over() && attempt.tries >= facts.limits.deduction_asks_max => stood(payment, attempt, state, None),
        state if state.is_over() => ask(payment, facts, input, attempt, Act::Query),
        AttemptState::Open if input.received_at < attempt.until => ask(payment, facts, input, attempt, Act::Query),
        _ if attempt.tries > facts.limits.call_tries_max.saturating_mul(2) => let_be(payment, facts, input, attempt),
        AttemptState::Held if attempt.deducts.is_some() => let_be(payment, facts, input, attempt),
        AttemptState::Held => ask(payment, facts, input, attempt, Act::Close),
        state => ask(payment, facts, input, attempt, act_of(state)),
    });
    asked.collect()
}

/// What follows for attempts, and for money that was a part, from how a payment stands.
pub fn follow(before: &Payment, facts: &Facts, input: &Input, events: &[PaymentEvent]) -> Vec<PaymentEvent> {
    let has_choice = before.choice.is_some() || events.iter().any(|event| matches!(event, PaymentEvent::Chosen { .. }));
    if !has_choice && before.attempts.is_empty() {
        return Vec::new();
    }
    let mut payment = before.clone();
    for event in events {
        fold(&mut payment, input.received_at, event);
    }
    let mut all = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let next = step(&payment, facts, input);
        if next.is_empty() {
            break;
        }
        for event in &next {
            fold(&mut payment, input.received_at, event);
        }
        all.extend(next);
    }
    all
}

fn step(payment: &Payment, facts: &Facts, input: &Input) -> Vec<PaymentEvent> {
    let Some(due) = payment.due else { return Vec::new() };
    let brings = payment.payers().fold(0_i64, |sum, receipt| sum.saturating_add(receipt.amount.minor));
    if payment.is_paid() && brings != due.minor {
        return payment.payers().map(|receipt| give_back(payment, facts, input, receipt)).collect();
    }
    let choice = alive(payment, input.received_at);
    let awaited = |number: u16| choice.is_some_and(|choice| choice.number == number);
    let stranded = payment.receipts.values().filter(|receipt| receipt.fate == Fate::Held && receipt.choice.is_some_and(|number| !awaited(number)));
    let mut events: Vec<PaymentEvent> = stranded.map(|receipt| give_back(payment, facts, input, receipt)).collect();
    for attempt in payment.attempts.values() {
        let fate =
            |fate| payment.receipts.values().any(|receipt| receipt.source.channel == attempt.channel && receipt.provisional && receipt.fate == fate);
        match attempt.state {
            AttemptState::Held if fate(Fate::Applied) => events.push(ask(payment, facts, input, attempt, Act::Settle)),
            // Nobody can take back what is deducted by the plate: it is waited for no longer.
            AttemptState::Opening | AttemptState::Open | AttemptState::Held if !awaited(attempt.choice) => events.push(match attempt.deducts {
                Some(_) => let_be(payment, facts, input, attempt),
                None => ask(payment, facts, input, attempt, Act::Close),
            }),
            _ => {}
        }
    }
    if events.is_empty() {
        events.extend(choice.and_then(|choice| open_next(payment, facts, input, choice)));
    }
    events
}

/// The next means of a choice that is to be asked for, once nothing of an earlier one is open.
fn open_next(payment: &Payment, facts: &Facts, input: &Input, choice: &Choice) -> Option<PaymentEvent> {
    if payment.attempts.values().any(|attempt| attempt.choice != choice.number && !attempt.state.is_over()) {
        return None;
    }
    let here = gathered(payment, choice.number);
    for (at, tender) in choice.tenders.iter().enumerate() {
        if here.contains_key(&*tender.channel) || &*tender.channel == CASH {
            continue;
        }
        if payment.attempts.values().any(|attempt| attempt.choice == choice.number && attempt.channel == tender.channel) {
            return None;
        }
        let number = choice.number.saturating_add(u16::try_from(at).unwrap_or(u16::MAX));
        return Some(PaymentEvent::Attempted {
            bill: bill(Some(payment), payment.order),
            attempt: id::attempt(payment.order, number),
            choice: choice.number,
            channel: tender.channel.clone(),
            amount: tender.amount,
            act: Act::Open,
            tries: 1,
            until: choice.until,
            due_at: input.received_at.plus(facts.limits.call_retry),
            deducts: choice.deducts.clone(),
        });
    }
    None
}

/// The fold of what concerns attempts.
pub fn evolve(payment: &mut Payment, event: &PaymentEvent) {
    match event {
        PaymentEvent::Chosen { choice, tenders, until, deducts, .. } => {
            let (tenders, deducts) = (tenders.clone(), deducts.clone());
            payment.choice = Some(Box::new(Choice { number: *choice, tenders, until: *until, deducts }));
        }
        PaymentEvent::Attempted { attempt, choice, channel, amount, act, tries, until, due_at, deducts, .. } => {
            let known = payment.attempts.values().find(|known| known.attempt == *attempt);
            let state = match act {
                Act::Open => AttemptState::Opening,
                Act::Settle => AttemptState::Settling,
                Act::Close => AttemptState::Closing,
                Act::Query => known.map_or(AttemptState::Open, |known| known.state),
            };
            let code = known.and_then(|known| known.code.clone());
            let (attempt, channel, due_at, deducts) = (*attempt, channel.clone(), Some(*due_at), deducts.clone());
            let new = Attempt { attempt, choice: *choice, channel, amount: *amount, until: *until, state, tries: *tries, code, due_at, deducts };
            payment.attempts.insert(id::attempt_number(attempt).unwrap_or_default(), new);
            if *act == Act::Close {
                give_up(payment, *choice);
            }
        }
        PaymentEvent::AttemptStood { attempt, state, code, due_at, .. } => {
            if let Some(known) = payment.attempts.values_mut().find(|known| known.attempt == *attempt) {
                (known.state, known.due_at) = (*state, *due_at);
                // What it is asked from now on is whether what it brought has settled.
                if state.is_over() && due_at.is_some() {
                    known.tries = 0;
                }
                if code.is_some() {
                    known.code.clone_from(code);
                }
                let choice = known.choice;
                if matches!(state, AttemptState::Closed | AttemptState::Failed) {
                    give_up(payment, choice);
                }
            }
        }
        _ => {}
    }
}

/// A choice of which one means cannot be had any more is none.
fn give_up(payment: &mut Payment, number: u16) {
    if payment.choice.as_ref().is_some_and(|choice| choice.number == number) {
        payment.choice = None;
    }
}

/// What a channel is asked for.
pub fn call(event: &PaymentEvent) -> Option<ChannelCall> {
    let PaymentEvent::Attempted { bill, attempt, channel, amount, act, tries, until, deducts, .. } = event else { return None };
    let (attempt, channel, lot, deducts) = (*attempt, channel.clone(), bill.lot, deducts.clone());
    Some(ChannelCall { attempt, channel, act: *act, amount: *amount, until: *until, tries: *tries, lot, deducts, by_plate: false })
}

#[cfg(test)]
mod tests;
