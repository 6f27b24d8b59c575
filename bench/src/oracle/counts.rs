//! What the logs add up to: the numbers of every report.
//!
//! Invariants
//! 1. Revenue is what was applied, by the lot and the local day on which the car left   (`oracle::tests::a_right_log_is_equal`).
//! 2. A shift's difference is what was counted less what should have been there   (`tests::shifts_and_debts_are_counted`).

use super::identity::Sums;
use crate::logs::Logs;
use schema::{
    Credential, Currency, Event, Journal, LotId, Money,
    exception::ReconEvent,
    id::{self, Province},
    journal::{Note, OrderEvent, PaymentEvent, Refusal, SessionEvent, ShiftAt},
    ledger::LedgerEvent,
    time::Day,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a lot took on one of its days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Taking {
    /// The lot.
    pub lot: LotId,
    /// The local day on which the cars left.
    pub day: Day,
    /// How much.
    pub money: Money,
}

/// What became of a cashier's shift, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drawer {
    /// How often cash was taken or given back.
    pub times: u64,
    /// What was taken.
    pub taken: i64,
    /// What was given back.
    pub given_back: i64,
    /// What was counted in the end less what should have been there; none while it goes on.
    pub difference: Option<i64>,
}

/// The totals of a system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages of GATE.
    pub gate_messages: u64,
    /// Messages of CHANNEL.
    pub channel_messages: u64,
    /// Messages of both that said what another had said already.
    pub duplicates: u64,
    /// Inputs that became dead letters.
    pub dead_letters: u64,
    /// Events of all journals.
    pub journal_events: u64,
    /// Sessions that were opened.
    pub sessions_opened: u64,
    /// Of these, the ones whose exit had come first.
    pub sessions_released: u64,
    /// Sessions that were closed.
    pub sessions_closed: u64,
    /// Sessions that ended because their car came in again.
    pub sessions_superseded: u64,
    /// Sessions not closed at the end.
    pub inside: u64,
    /// Of these, the ones that stand at an exit.
    pub leaving: u64,
    /// Exits that still wait for their entry.
    pub waiting: u64,
    /// Gate events that were refused, by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// Inputs to which nothing was to be done, by reason.
    pub noted: BTreeMap<Note, u64>,
    /// Orders with a price above zero.
    pub orders_priced: u64,
    /// Orders with a price of zero.
    pub orders_free: u64,
    /// Orders without a rate table.
    pub orders_unpriced: u64,
    /// Orders that are paid.
    pub orders_paid: u64,
    /// Orders that were withdrawn unpaid, because their stay was priced anew.
    pub orders_withdrawn: u64,
    /// Paid orders that are due again, because what paid them has failed.
    pub orders_reopened: u64,
    /// Cars of which their lane told that they crossed it.
    pub passed: u64,
    /// Cars that never crossed the lane that was opened for them.
    pub vacated: u64,
    /// Cars that were let out, and read at an exit once more.
    pub read_again: u64,
    /// What merchants took off stays.
    pub validated: u64,
    /// Cars that a person let through.
    pub let_through: u64,
    /// Stays that a person put right.
    pub corrected: u64,
    /// Stays of which nobody knows when they began.
    pub lost: u64,
    /// Prices that were asked for inside.
    pub prices_asked: u64,
    /// Stays, and parts of them, that were paid inside.
    pub prepaid: u64,
    /// Payments that came before their order.
    pub payments_held: u64,
    /// Payments that count.
    pub payments_applied: u64,
    /// Orders that are paid by several means together, each once for every time it is paid so.
    pub payments_split: u64,
    /// Payments among these that a channel had accepted and then refused.
    pub payments_failed: u64,
    /// Refunds that were asked for, each once.
    pub refunds_requested: u64,
    /// Refunds that were asked for again.
    pub refunds_repeated: u64,
    /// Refunds that were made.
    pub refunds_made: u64,
    /// Cars whose fee a channel deducts by the plate.
    pub noticed: u64,
    /// Postings of the ledger.
    pub postings: u64,
    /// Settlement windows that have closed.
    pub windows_closed: u64,
    /// Adjustments of their statements.
    pub adjustments: u64,
    /// What did not match channels' statements.
    pub exceptions_opened: u64,
    /// Of those, closed for a reason.
    pub exceptions_closed: u64,
    /// Revenue in minor units, by `province currency`.
    pub revenue_by_province: BTreeMap<String, i64>,
    /// What was stated of vehicles.
    pub stated: u64,
    /// Cars that a lane let out by itself.
    pub sessions_gone: u64,
    /// Stays that were left unpaid when their car had gone.
    pub sessions_owed: u64,
    /// Debts that began.
    pub debts_begun: u64,
    /// Debts that ended: they were paid, or another price took their place.
    pub debts_ended: u64,
    /// Cars that were turned away because of what they owed, and let in at the same lot later.
    pub let_in_again: u64,
    /// What cashiers took, by `lot shift`.
    pub shifts: BTreeMap<String, Drawer>,
    /// Sessions under a right.
    pub sessions_under_right: u64,
    /// Sessions of cars whose right was in use by as many as may use it.
    pub sessions_overrun: u64,
    /// Revenue by lot and local day, in their order.
    pub takings: Vec<Taking>,
    /// Promise 3's sums, by currency.
    pub sums: BTreeMap<Currency, Sums>,
}

impl Counts {
    /// Counts everything that needs no judgement.
    pub(super) fn of(logs: &Logs) -> Self {
        let mut counts = Self { gate_messages: logs.gate.len() as u64, channel_messages: logs.channel.len() as u64, ..Self::default() };
        let mut takings: BTreeMap<(LotId, Day, Currency), i64> = BTreeMap::new();
        let mut turned_away: BTreeSet<(LotId, &Credential)> = BTreeSet::new();
        for line in Journal::ALL.iter().flat_map(|journal| logs.journal(*journal)) {
            counts.journal_events += 1;
            match &line.recorded.event {
                Event::Session(event) => {
                    counts.session(event);
                    counts.let_in_again += u64::from(is_let_in_again(event, &mut turned_away));
                }
                Event::Order(event) => counts.order(event),
                Event::Payment(event) => counts.payment(event, &mut takings),
                Event::Ledger(LedgerEvent::Posted { .. }) => counts.postings += 1,
                Event::Ledger(LedgerEvent::WindowClosed { statement }) if statement.number == 0 => counts.windows_closed += 1,
                Event::Ledger(LedgerEvent::WindowClosed { .. }) => counts.adjustments += 1,
                Event::Recon(ReconEvent::ExceptionOpened { .. }) => counts.exceptions_opened += 1,
                Event::Recon(ReconEvent::ExceptionClosed { .. }) => counts.exceptions_closed += 1,
                Event::Ledger(LedgerEvent::WindowStopped { .. } | LedgerEvent::FeesTold { .. } | LedgerEvent::Noted { .. }) | Event::Recon(_) => {}
            }
        }
        counts.takings = takings.into_iter().map(|((lot, day, currency), minor)| Taking { lot, day, money: Money::new(minor, currency) }).collect();
        counts
    }

    fn session(&mut self, event: &SessionEvent) {
        match event {
            SessionEvent::Opened { releases, marks, .. } => {
                self.sessions_opened += 1;
                self.sessions_under_right += u64::from(marks.right.is_some());
                self.sessions_overrun += u64::from(marks.overrun.is_some());
                self.lost += u64::from(marks.lost.is_some());
                self.sessions_released += u64::from(releases.is_some());
            }
            SessionEvent::Refused { reason, .. } => *self.refused.entry(*reason).or_default() += 1,
            SessionEvent::Closed { .. } => self.sessions_closed += 1,
            SessionEvent::Superseded { .. } => self.sessions_superseded += 1,
            SessionEvent::Noted { note, .. } => *self.noted.entry(*note).or_default() += 1,
            SessionEvent::Stated { .. } => self.stated += 1,
            SessionEvent::Gone { .. } => self.sessions_gone += 1,
            SessionEvent::Owed { .. } => self.sessions_owed += 1,
            SessionEvent::Asked { .. } => self.prices_asked += 1,
            SessionEvent::Passed { .. } => self.passed += 1,
            SessionEvent::Vacated { .. } => self.vacated += 1,
            SessionEvent::Prepaid { .. } => self.prepaid += 1,
            SessionEvent::Validated { .. } => self.validated += 1,
            SessionEvent::LetThrough { .. } => self.let_through += 1,
            SessionEvent::Corrected { .. } => self.corrected += 1,
            SessionEvent::Noticed { parking, .. } => self.noticed += u64::from(parking.is_some()),
            SessionEvent::ReadAgain { .. } => self.read_again += 1,
            SessionEvent::Waiting { .. } | SessionEvent::Leaving { .. } => {}
        }
    }

    fn order(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Priced { quote, .. } if quote.total.is_zero() => self.orders_free += 1,
            OrderEvent::Priced { .. } => self.orders_priced += 1,
            OrderEvent::Unpriced { .. } => self.orders_unpriced += 1,
            OrderEvent::Paid { .. } => self.orders_paid += 1,
            OrderEvent::Reopened { .. } => self.orders_reopened += 1,
            OrderEvent::Owed { begins: true, .. } => self.debts_begun += 1,
            OrderEvent::Cleared { .. } => self.debts_ended += 1,
            OrderEvent::Owed { .. }
            | OrderEvent::Overpaid { .. }
            | OrderEvent::Withdrawn { .. }
            | OrderEvent::Overtaken { .. }
            | OrderEvent::Cancelled { .. }
            | OrderEvent::Gone { .. } => {}
            OrderEvent::Noted { note, .. } => *self.noted.entry(*note).or_default() += 1,
        }
    }

    fn payment(&mut self, event: &PaymentEvent, takings: &mut BTreeMap<(LotId, Day, Currency), i64>) {
        match event {
            PaymentEvent::Applied { bill, amount, part, .. } => {
                self.payments_applied += 1;
                self.payments_split += u64::from(part.is_some_and(|part| part.last));
                self.earn(bill, amount.currency, amount.minor, takings);
            }
            PaymentEvent::Reversed { bill, amount, applied: true, .. } => {
                self.payments_failed += 1;
                self.earn(bill, amount.currency, -amount.minor, takings);
            }
            PaymentEvent::PassedOver { bill, amount, applied: true, .. } => self.earn(bill, amount.currency, -amount.minor, takings),
            PaymentEvent::RefundRequested { bill, amount, applied: true, tries: 1, .. } => {
                self.refunds_requested += 1;
                self.earn(bill, amount.currency, -amount.minor, takings);
            }
            PaymentEvent::Held { .. } => self.payments_held += 1,
            PaymentEvent::RefundRequested { tries: 1, .. } => self.refunds_requested += 1,
            PaymentEvent::RefundRequested { .. } => self.refunds_repeated += 1,
            PaymentEvent::Refunded { .. } => self.refunds_made += 1,
            PaymentEvent::Noted { note, .. } => *self.noted.entry(*note).or_default() += 1,
            PaymentEvent::Withdrawn { .. } => self.orders_withdrawn += 1,
            PaymentEvent::ShiftOpened { shift, .. } => {
                self.drawer(shift);
            }
            PaymentEvent::ShiftTook { shift, amount, .. } => {
                let drawer = self.drawer(shift);
                drawer.times += 1;
                if amount.minor > 0 { drawer.taken += amount.minor } else { drawer.given_back -= amount.minor }
            }
            PaymentEvent::ShiftClosed { shift, expected, counted, .. } => self.drawer(shift).difference = Some(counted.minor - expected.minor),
            PaymentEvent::Expected { .. }
            | PaymentEvent::Settled { .. }
            | PaymentEvent::PassedOver { .. }
            | PaymentEvent::Reversed { .. }
            | PaymentEvent::RefundWanted { .. }
            | PaymentEvent::RefundDeclined { .. }
            | PaymentEvent::Imported { .. }
            | PaymentEvent::RefundStood { .. }
            | PaymentEvent::Chosen { .. }
            | PaymentEvent::Attempted { .. }
            | PaymentEvent::AttemptStood { .. }
            | PaymentEvent::ShiftCounted { .. }
            | PaymentEvent::ShiftNoted { .. } => {}
        }
    }

    fn drawer(&mut self, shift: &ShiftAt) -> &mut Drawer {
        self.shifts.entry(format!("{} {}", shift.lot, shift.name)).or_default()
    }

    fn earn(&mut self, bill: &schema::journal::Bill, currency: Currency, minor: i64, takings: &mut BTreeMap<(LotId, Day, Currency), i64>) {
        let province = id::place(bill.order.as_str()).map_or(Province(0), |place| place.province);
        *self.revenue_by_province.entry(format!("{province} {currency:?}")).or_default() += minor;
        if let Some(lot) = bill.lot {
            *takings.entry((lot, bill.day, currency)).or_default() += minor;
        }
    }

    /// Adds who is inside, leaving and waiting in one partition.
    pub(super) fn add_present(&mut self, (inside, leaving, waiting): (u64, u64, u64)) {
        self.inside += inside;
        self.leaving += leaving;
        self.waiting += waiting;
    }
}

/// Whether a car is let in where it was turned away before because of what it owed.
fn is_let_in_again<'a>(event: &'a SessionEvent, turned_away: &mut BTreeSet<(LotId, &'a Credential)>) -> bool {
    match event {
        SessionEvent::Refused { lot, credential, reason: Refusal::Arrears, .. } => {
            turned_away.insert((*lot, credential));
            false
        }
        SessionEvent::Opened { stay, .. } => turned_away.remove(&(stay.lot, &stay.credential)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Line;
    use schema::{Cause, Id, Inbox, Moment, Recorded, desk::Said};

    #[test]
    fn shifts_and_debts_are_counted() {
        let order: Id = "O4426112307SE85PbTwoLFzFY9q".parse().expect("an id");
        let (lot, province) = ("lot-1".parse().expect("a token"), Province(44));
        let shift = ShiftAt { lot, province, name: "day".parse().expect("a token") };
        let by = Said { author: "cashier".parse().expect("a token"), reason: "test".into(), at: Moment(1) };
        let cny = |minor| Money::new(minor, Currency::Cny);
        let took = |minor| Event::Payment(PaymentEvent::ShiftTook { shift: shift.clone(), order, amount: cny(minor), by: by.clone() });
        let session = "S4426112307SE85PbTwoLFzFY9q".parse().expect("an id");
        let owed = |begins| Event::Order(OrderEvent::Owed { order, session, lot, province, amount: cny(500), begins });
        let (expected, counted) = (cny(20_500), cny(20_450));
        let events = [
            Event::Payment(PaymentEvent::ShiftOpened { shift: shift.clone(), float: cny(20_000), by: by.clone() }),
            took(700),
            took(-200),
            Event::Payment(PaymentEvent::ShiftClosed { shift: shift.clone(), expected, counted, by: by.clone() }),
            owed(true),
            owed(false),
            Event::Order(OrderEvent::Cleared { order, lot, province, amount: cny(500) }),
        ];
        let mut logs = Logs::default();
        for event in events {
            let cause = Cause { inbox: Inbox::Desk, sequence: 1, event: "1".into(), time: Moment(1), index: 0 };
            let journal = if matches!(event, Event::Order(_)) { Journal::Order } else { Journal::Payment };
            let lines = logs.journals.entry(journal).or_default();
            lines.push(Line { sequence: 1, subject: String::new(), recorded: Recorded { at: Moment(1), cause, event } });
        }
        let counts = Counts::of(&logs);
        let drawer = Drawer { times: 2, taken: 700, given_back: 200, difference: Some(-50) };
        assert_eq!((counts.shifts, counts.debts_begun, counts.debts_ended), (BTreeMap::from([("lot-1 day".to_owned(), drawer)]), 1, 1));
    }
}
