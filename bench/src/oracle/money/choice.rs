//! How an order is tried to be paid, as the journal says it, and what follows from it for money.
//!
//! Which channel is asked for what and when is no matter of right and wrong sums, so it is taken as it is; that nothing is opened which nobody chose, or
//! while something else can be paid, and that what is over is asked about only while its money may still come, is looked at all the same.

use super::{Fate, Purse, Purses, Receipt};
use schema::{
    Id, Moment, Money,
    channel::Act,
    desk::Tender,
    journal::{AppliedReason, AttemptState, Note, Part, PaymentEvent, RefundReason, Source},
};

/// Whether an event says how an order is tried to be paid.
pub(super) const fn is_given(event: &PaymentEvent) -> bool {
    matches!(event, PaymentEvent::Chosen { .. } | PaymentEvent::Attempted { .. } | PaymentEvent::AttemptStood { .. })
}

/// Whether an event gives back a part of a payment that is not made.
pub(super) const fn is_let_go(event: &PaymentEvent) -> bool {
    matches!(
        event,
        PaymentEvent::PassedOver { reason: RefundReason::Incomplete, .. }
            | PaymentEvent::RefundRequested { reason: RefundReason::Incomplete, tries: 1, .. }
    )
}

impl Purse {
    /// The receipts of a fate, by channel and transaction.
    pub(super) fn sorted(&self, wanted: impl Fn(&Receipt) -> bool) -> Vec<usize> {
        let mut found: Vec<usize> = (0..self.receipts.len()).filter(|at| wanted(&self.receipts[*at])).collect();
        found.sort_by_key(|at| format!("{}/{}", self.receipts[*at].source.channel, self.receipts[*at].source.transaction));
        found
    }

    /// The choice that can still become a payment.
    pub(super) fn choice(&self, now: Moment) -> Option<(u16, Vec<Tender>)> {
        let (number, tenders, until) = self.choice.clone()?;
        let waits = self.due.is_some() && self.payer().is_none() && !self.withdrawn && !self.dead.contains(&number) && now < until;
        waits.then_some((number, tenders))
    }

    /// The choice of which money is a part.
    pub(super) fn part(&self, source: &Source, attempt: Option<Id>, amount: Money, now: Moment) -> Option<(u16, Vec<Tender>)> {
        let (number, tenders) = self.choice(now).filter(|(_, tenders)| tenders.len() > 1)?;
        let is_its = attempt.map_or(&*source.channel == "cash", |attempt| {
            self.attempts.get(&attempt).is_some_and(|(choice, channel, _)| (*choice, channel) == (number, &source.channel))
        });
        (is_its && tenders.iter().any(|tender| tender.channel == source.channel && tender.amount == amount)).then_some((number, tenders))
    }

    /// A part waits, or it is the last one and all of them pay.
    pub(super) fn gather(&mut self, order: Id, at: usize, (number, tenders): (u16, Vec<Tender>)) -> Vec<PaymentEvent> {
        let bill = self.bill(order);
        let of = self.due.expect("its price is known");
        self.receipts[at].fate = Fate::Held;
        self.receipts[at].part_of = Some(number);
        let parts = self.sorted(|receipt| receipt.fate == Fate::Held && receipt.part_of == Some(number));
        if parts.len() < tenders.len() {
            let Receipt { source, amount, paid_at, captured, .. } = self.receipts[at].clone();
            return vec![PaymentEvent::Held { bill, source, amount, paid_at: Some(paid_at), provisional: !captured, choice: Some(number) }];
        }
        let mut events = Vec::new();
        for part in parts.iter().copied().filter(|part| *part != at).chain([at]) {
            let receipt = &mut self.receipts[part];
            receipt.fate = Fate::Pays;
            let Receipt { source, amount, paid_at, captured, .. } = receipt.clone();
            let (held, part) = (captured && part != at, Some(Part { of, last: part == at }));
            let (paid_at, provisional, discounts) = (Some(paid_at), !captured, self.taken.clone().filter(|_| part.is_some_and(|part| part.last)));
            let (bill, discounts, reason) = (bill.clone(), discounts.map(Box::new), Some(AppliedReason::Complete));
            events.push(PaymentEvent::Applied { bill, source, amount, held, paid_at, provisional, part, discounts, reason });
        }
        events
    }

    /// What of payments by several means is not made goes back.
    pub(super) fn sweep(&mut self, order: Id, now: Moment) -> Vec<PaymentEvent> {
        let mut events = Vec::new();
        let paid: i64 = self.receipts.iter().filter(|receipt| receipt.fate == Fate::Pays).map(|receipt| receipt.amount.minor).sum();
        if self.payer().is_some() && self.due.is_some_and(|due| due.minor != paid) {
            for at in self.sorted(|receipt| receipt.fate == Fate::Pays) {
                events.push(self.let_go(order, at));
            }
        }
        let waits = self.choice(now).map(|(number, _)| number);
        for at in self.sorted(|receipt| receipt.fate == Fate::Held && receipt.part_of.is_some() && receipt.part_of != waits) {
            events.push(self.let_go(order, at));
        }
        events
    }

    fn let_go(&mut self, order: Id, at: usize) -> PaymentEvent {
        let bill = self.bill(order);
        let receipt = &mut self.receipts[at];
        let (paid, reason) = (receipt.fate == Fate::Pays, RefundReason::Incomplete);
        if !receipt.captured {
            receipt.fate = Fate::Over;
            return PaymentEvent::PassedOver { bill, source: receipt.source.clone(), amount: receipt.amount, reason, applied: paid };
        }
        let returning: i64 = receipt.refunds.iter().map(|refund| refund.amount.minor).sum();
        receipt.fate = Fate::Back;
        let rest = Money::new(receipt.amount.minor - returning, receipt.amount.currency);
        let mut event = receipt.send_back(bill, rest, reason, !paid);
        if let PaymentEvent::RefundRequested { applied, .. } = &mut event {
            *applied = paid;
        }
        event
    }

    /// Whether these means can be chosen; `chosen` is whether they were.
    pub(super) fn choosable(&self, tenders: &[Tender], chosen: bool) -> Result<(), Note> {
        let due = self.due.ok_or(Note::Unknown)?;
        if self.payer().is_some() {
            return Err(Note::AlreadyKnown);
        }
        if self.withdrawn {
            return Err(Note::AlreadyClosed);
        }
        let sum: i64 = tenders.iter().map(|tender| tender.amount.minor).sum();
        if sum != due.minor || tenders.iter().any(|tender| tender.amount.currency != due.currency) {
            return Err(Note::AmountDiffers);
        }
        // It was chosen before, or too often.
        if chosen { Ok(()) } else { Err(if self.attempts.len() < 90 { Note::AlreadyKnown } else { Note::TooMany }) }
    }
}

impl Purses {
    /// Takes over how an order is tried to be paid, or says what is wrong with it.
    pub(super) fn take_given(&mut self, event: &PaymentEvent) -> Result<(), String> {
        let Some(purse) = event.order().and_then(|order| self.purses.get_mut(&order)) else { return Err("an unknown order is tried".into()) };
        match event {
            PaymentEvent::Chosen { choice, tenders, until, .. } => {
                let sum: i64 = tenders.iter().map(|tender| tender.amount.minor).sum();
                if purse.due.is_none_or(|due| due.minor != sum) {
                    return Err(format!("{sum} are chosen of {:?}", purse.due));
                }
                if let Some((before, _, _)) = purse.choice.replace((*choice, tenders.clone(), *until)) {
                    purse.dead.insert(before);
                }
            }
            PaymentEvent::Attempted { attempt, choice, channel, act, amount, .. } => {
                if *act == Act::Close {
                    purse.dead.insert(*choice);
                }
                if *act == Act::Open {
                    let wanted = purse.choice.as_ref().is_some_and(|(number, tenders, _)| {
                        number == choice && tenders.iter().any(|tender| tender.channel == *channel && tender.amount == *amount)
                    });
                    let others = purse.attempts.values().any(|(other, _, open)| other != choice && *open);
                    if !wanted || others {
                        return Err(format!("attempt {attempt} is opened, which nobody chose or while another one can be paid"));
                    }
                }
                let ended = purse.attempts.get(attempt).is_some_and(|(_, _, open)| !open);
                if *act == Act::Query && ended {
                    // Nobody can pay it any more; what it brought may still be captured or fail.
                    let waits = |receipt: &Receipt| receipt.source.channel == *channel && !receipt.captured && receipt.fate != Fate::Failed;
                    if !purse.receipts.iter().any(waits) {
                        return Err(format!("attempt {attempt} is over and asked about, and nothing of it may still come"));
                    }
                    return Ok(());
                }
                purse.attempts.insert(*attempt, (*choice, channel.clone(), true));
            }
            PaymentEvent::AttemptStood { attempt, state, .. } => {
                let Some((choice, _, open)) = purse.attempts.get_mut(attempt) else { return Err(format!("attempt {attempt} was never made")) };
                *open = !state.is_over();
                if matches!(state, AttemptState::Closed | AttemptState::Failed) {
                    purse.dead.insert(*choice);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
