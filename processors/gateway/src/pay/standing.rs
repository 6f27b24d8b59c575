//! How an order stands for who is to pay it.
//!
//! Invariants
//! 1. What is paid is shown as paid, whatever else was tried   (`tests::what_is_paid_is_paid`).
//! 2. A payment can be chosen whenever nothing is open   (`tests::what_has_ended_can_be_chosen_again`).
//!
//! Not here: what counts (`rules::payment`), how it looks (`bill`).

use schema::{
    Id, Moment, Money,
    entity::{Attempt, Choice, Fate, Order, Payment},
    id,
    journal::{AttemptState, RefundState},
};
use std::sync::Arc;

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has no price yet: it is about to.
    Pricing,
    /// What it costs cannot be said: a person must help.
    NoPrice,
    /// There is nothing to pay.
    Free,
    /// Somebody is to choose how to pay. Of what was tried last this channel did not open, if one did not.
    Due { failed: Option<Arc<str>> },
    /// A channel is asked to open a payment, or to deduct the fee by the plate.
    Opening { channel: Arc<str>, by_plate: bool },
    /// It can be paid there.
    Open { channel: Arc<str>, amount: Money, until: Moment, code: Option<Arc<str>> },
    /// What lacks is taken in cash.
    Cash { amount: Money },
    /// It is paid.
    Paid(Paid),
    /// Another price of the same stay takes its place.
    Replaced { by: Option<Id> },
    /// It is over, and was not paid.
    Over,
}

/// What paid it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// How much.
    pub amount: Money,
    /// By which channels.
    pub channels: Vec<Arc<str>>,
    /// When, by the last of them.
    pub at: Option<Moment>,
}

/// Money that is to go back, or has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returning {
    /// The channel.
    pub channel: Arc<str>,
    /// How much.
    pub amount: Money,
    /// How it stands.
    pub state: RefundState,
}

impl Standing {
    /// How an order stands now.
    pub fn of(order: &Order, payment: Option<&Payment>, now: Moment) -> Self {
        if let Some(paid) = paid(order, payment) {
            return Self::Paid(paid);
        }
        if order.replaced_by.is_some() || order.cancelled && order.replaces.is_some() {
            return Self::Replaced { by: order.replaced_by.or(order.replaces) };
        }
        if order.cancelled {
            return Self::Over;
        }
        let Some(quote) = &order.quote else { return if order.question.is_some() { Self::Pricing } else { Self::NoPrice } };
        if quote.total.is_zero() {
            return Self::Free;
        }
        let Some(payment) = payment.filter(|payment| payment.due.is_some()) else { return Self::Pricing };
        if payment.withdrawn {
            return Self::Replaced { by: None };
        }
        let chosen = payment.choice.as_deref().filter(|choice| now < choice.until);
        chosen.map_or(Self::Due { failed: None }, |choice| tried(payment, choice))
    }

    /// Whether nothing more is to be waited for.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Paid(_) | Self::Replaced { by: Some(_) } | Self::Over | Self::Free => true,
            Self::Pricing
            | Self::NoPrice
            | Self::Due { .. }
            | Self::Opening { .. }
            | Self::Open { .. }
            | Self::Cash { .. }
            | Self::Replaced { by: None } => false,
        }
    }

    /// Its word, for who asks by the script.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pricing => "pricing",
            Self::NoPrice => "no_price",
            Self::Free => "free",
            Self::Due { .. } => "due",
            Self::Opening { .. } => "opening",
            Self::Open { .. } => "open",
            Self::Cash { .. } => "cash",
            Self::Paid(_) => "paid",
            Self::Replaced { .. } => "replaced",
            Self::Over => "over",
        }
    }
}

fn paid(order: &Order, payment: Option<&Payment>) -> Option<Paid> {
    let payers: Vec<_> = payment.into_iter().flat_map(Payment::payers).collect();
    let at = payers.iter().filter_map(|receipt| receipt.paid_at).max();
    if let Some((amount, source)) = &order.paid {
        let channels = payers.iter().map(|receipt| receipt.source.channel.clone());
        let channels = if payers.is_empty() { vec![source.channel.clone()] } else { channels.collect() };
        return Some(Paid { amount: *amount, channels, at });
    }
    // The order hears of it in a moment.
    let due = payment?.due?;
    (!payers.is_empty()).then(|| Paid { amount: due, channels: payers.iter().map(|receipt| receipt.source.channel.clone()).collect(), at })
}

/// How far what was chosen has come.
fn tried(payment: &Payment, choice: &Choice) -> Standing {
    let attempts: Vec<&Attempt> = payment.attempts.values().filter(|attempt| attempt.choice == choice.number).collect();
    if let Some(failed) = attempts.iter().find(|attempt| attempt.state == AttemptState::Failed) {
        return Standing::Due { failed: Some(failed.channel.clone()) };
    }
    if attempts.iter().any(|attempt| matches!(attempt.state, AttemptState::Closing | AttemptState::Closed)) {
        return Standing::Due { failed: None };
    }
    let waits = |attempt: &&&Attempt| matches!(attempt.state, AttemptState::Opening | AttemptState::Open);
    let channel_of = |attempt: &Attempt| attempt.channel.clone();
    match attempts.iter().find(waits) {
        Some(attempt) if attempt.state == AttemptState::Open => {
            Standing::Open { channel: channel_of(attempt), amount: attempt.amount, until: attempt.until, code: attempt.code.clone() }
        }
        Some(attempt) => Standing::Opening { channel: channel_of(attempt), by_plate: attempt.deducts.is_some() },
        None => match choice.tenders.iter().find(|tender| attempts.iter().all(|attempt| attempt.channel != tender.channel)) {
            Some(tender) if &*tender.channel == "cash" => Standing::Cash { amount: tender.amount },
            // An earlier choice is being closed first, or the next means is about to be opened.
            Some(tender) => Standing::Opening { channel: tender.channel.clone(), by_plate: false },
            None => {
                let channel = choice.tenders.last().map_or_else(|| "".into(), |tender| tender.channel.clone());
                Standing::Opening { channel, by_plate: choice.deducts.is_some() }
            }
        },
    }
}

/// What is held for an order, and waits for the other parts of its payment.
pub fn held(payment: &Payment) -> Option<Money> {
    payment.receipts.values().find(|receipt| receipt.fate == Fate::Held && receipt.choice.is_some()).map(|receipt| receipt.amount)
}

/// What of an order's money goes back, or has.
pub fn returning(payment: &Payment) -> Vec<Returning> {
    let of = |receipt: &schema::entity::Receipt| {
        let channel = receipt.source.channel.clone();
        receipt
            .refunds
            .iter()
            .map(move |refund| Returning { channel: channel.clone(), amount: refund.amount, state: refund.state })
            .collect::<Vec<_>>()
    };
    payment.receipts.values().flat_map(of).collect()
}

/// What tells one look at an order from another: it is the same as long as the page is.
pub fn token(standing: &Standing, payment: Option<&Payment>) -> String {
    let (held, returning) = (payment.and_then(held), payment.map(returning));
    id::digest(&[&format!("{standing:?} {held:?} {returning:?}")], 12)
}

#[cfg(test)]
pub mod tests;
