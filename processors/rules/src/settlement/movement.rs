//! Which accounts a movement touches: one balanced set of sides for each event that moves money, or that changes what is owed.
//!
//! Invariants
//! 1. Whether there is anything to post is told by the event alone   (`what`).
//! 2. Money of a channel, of a drawer and of a points issuer are different things   (`super::tests::each_means_has_its_account`).
//!
//! Not here: what depends on what is in the books: what was taken off a price (`discount`), what a channel keeps of a day (`kept`).

use super::{Fees, fee};
use schema::{
    Currency, Event, Id, LotId, Moment, Money, Partition, Recorded,
    exception::{self, Closing, PieceAt, ReconEvent},
    fact::OperatorId,
    id::{self, Province},
    journal::{OrderEvent, PaymentEvent},
    ledger::{Account, Discounts, Entry, Movement as What, NO_CHANNEL},
    payout::PaidOut,
    time::DAY,
};
use std::borrow::Cow;

/// The name of the channel whose money lies in drawers.
const CASH: &str = "cash";
/// The name of the channel that is no money.
const POINTS: &str = "points";

/// A movement of money, or of what is owed.
pub struct Movement<'a> {
    /// What it is.
    pub what: What,
    /// The order; none where it is about a drawer, or about a statement.
    pub order: Option<Id>,
    /// The lot, where it is known.
    pub lot: Option<LotId>,
    /// Whose money it is, where that is told of money without a lot.
    pub operator: Option<OperatorId>,
    /// Its province.
    pub province: Province,
    /// Its partition.
    pub partition: Partition,
    /// The channel.
    pub channel: &'a str,
    /// The currency.
    pub currency: Currency,
    /// When it took place.
    pub at: Moment,
    /// Its sides, but for what was taken off a price.
    pub entries: Vec<Entry>,
    /// What was taken off the price that it pays.
    pub discounts: Option<Cow<'a, Discounts>>,
}

/// What is to be posted of an event, if anything is.
pub fn what(event: &Event) -> Option<What> {
    match event {
        Event::Payment(event) => of_payment(event),
        Event::Order(event) => of_order(event),
        Event::Recon(ReconEvent::Matched { fees: Some(_), .. }) => Some(What::FeesAdjusted),
        Event::Recon(ReconEvent::PaidOut { .. }) => Some(What::PaidOut),
        Event::Recon(event) => of_exception(event),
        Event::Session(_) | Event::Ledger(_) => None,
    }
}

fn of_exception(event: &ReconEvent) -> Option<What> {
    event.gap()?;
    Some(match event {
        ReconEvent::ExceptionClosed { why: Closing::WrittenOff, .. } => What::WrittenOff,
        ReconEvent::ExceptionClosed { .. } => What::Resolved,
        ReconEvent::WriteOffUndone { .. } => What::WriteOffUndone,
        _ => What::Differs,
    })
}

const fn of_payment(event: &PaymentEvent) -> Option<What> {
    Some(match event {
        PaymentEvent::Applied { provisional: true, .. } => What::Accepted,
        PaymentEvent::Applied { held: true, .. } => What::Applied,
        PaymentEvent::Applied { .. } => What::Paid,
        PaymentEvent::Settled { .. } => What::Settled,
        PaymentEvent::PassedOver { applied: true, .. } | PaymentEvent::Reversed { applied: true, .. } => What::Failed,
        PaymentEvent::RefundRequested { applied: true, tries: 1, .. } => What::Returning,
        PaymentEvent::RefundRequested { held: false, tries: 1, .. } | PaymentEvent::Held { provisional: false, .. } => What::Captured,
        PaymentEvent::Refunded { .. } => What::Refunded,
        PaymentEvent::ShiftClosed { expected, counted, .. } if expected.minor != counted.minor => What::Counted,
        PaymentEvent::Expected { .. }
        | PaymentEvent::Held { .. }
        | PaymentEvent::PassedOver { .. }
        | PaymentEvent::Reversed { .. }
        | PaymentEvent::Withdrawn { .. }
        | PaymentEvent::Imported { .. }
        | PaymentEvent::RefundWanted { .. }
        | PaymentEvent::RefundDeclined { .. }
        | PaymentEvent::RefundRequested { .. }
        | PaymentEvent::RefundStood { .. }
        | PaymentEvent::Chosen { .. }
        | PaymentEvent::Attempted { .. }
        | PaymentEvent::AttemptStood { .. }
        | PaymentEvent::ShiftOpened { .. }
        | PaymentEvent::ShiftTook { .. }
        | PaymentEvent::ShiftCounted { .. }
        | PaymentEvent::ShiftClosed { .. }
        | PaymentEvent::ShiftNoted { .. }
        | PaymentEvent::Noted { .. } => return None,
    })
}

fn of_order(event: &OrderEvent) -> Option<What> {
    match event {
        OrderEvent::Priced { quote, inside: None, .. } if quote.total.is_zero() && quote.has_discounts() => Some(What::Discounted),
        OrderEvent::Owed { begins: true, .. } => Some(What::Owed),
        OrderEvent::Cleared { .. } => Some(What::Cleared),
        OrderEvent::Priced { .. }
        | OrderEvent::Unpriced { .. }
        | OrderEvent::Withdrawn { .. }
        | OrderEvent::Overtaken { .. }
        | OrderEvent::Cancelled { .. }
        | OrderEvent::Gone { .. }
        | OrderEvent::Paid { .. }
        | OrderEvent::Reopened { .. }
        | OrderEvent::Overpaid { .. }
        | OrderEvent::Owed { .. }
        | OrderEvent::Noted { .. } => None,
    }
}

/// The movement of an event; none where nothing is to be posted.
pub fn of<'a>(recorded: &'a Recorded, fees: &Fees) -> Option<Movement<'a>> {
    let what = what(&recorded.event)?;
    match &recorded.event {
        Event::Payment(event) => of_money(what, event, recorded.at, fees),
        Event::Order(event) => of_bill(what, event, recorded.at),
        Event::Recon(ReconEvent::Matched { piece, fees: Some(fees), .. }) => Some(of_fees(what, piece, *fees, recorded.at)),
        Event::Recon(ReconEvent::PaidOut { piece, paid }) => Some(of_payout(what, piece, paid, recorded.at)),
        Event::Recon(event) => of_gap(what, event, recorded.at),
        Event::Session(_) | Event::Ledger(_) => None,
    }
}

/// What a channel keeps for itself is told by its statement of a day. What is to be booked beside what is, depends on that (`kept`).
fn of_fees(what: What, piece: &PieceAt, fees: Money, recorded_at: Moment) -> Movement<'_> {
    let PieceAt { province, partition, .. } = *piece;
    let begun = exception::begins(piece.day).unwrap_or(recorded_at);
    let at = begun.plus(DAY).plus(-1).min(recorded_at).max(begun);
    let (entries, currency) = (Vec::new(), fees.currency);
    let (order, lot, operator, channel, discounts) = (None, None, None, &*piece.channel, None);
    Movement { what, order, lot, operator, province, partition, channel, currency, at, entries, discounts }
}

/// What a channel owed has come into the bank, when the bank says so.
fn of_payout<'a>(what: What, piece: &'a PieceAt, paid: &PaidOut, recorded_at: Moment) -> Movement<'a> {
    let PieceAt { province, partition, .. } = *piece;
    let (channel, currency, at) = (&*piece.channel, paid.amount.currency, paid.booked_at.min(recorded_at));
    let entries = pair(Account::Bank, asset(channel), paid.amount.minor);
    let (order, lot, operator, discounts) = (None, None, paid.operator, None);
    Movement { what, order, lot, operator, province, partition, channel, currency, at, entries, discounts }
}

/// What a channel's statement has more than the books is taken into them, beside what stays and payments say: a debit of suspense says that something is
/// lacking. Once it is known why, what was lacking is booked by itself, and this is taken back. Where it was given up meanwhile, that is taken back first.
fn of_gap(what: What, event: &ReconEvent, recorded_at: Moment) -> Option<Movement<'_>> {
    let gap = event.gap()?;
    let channel = match event {
        ReconEvent::ExceptionOpened { piece, .. } => &piece.channel,
        ReconEvent::ExceptionClosed { gap: Some(gap), .. } | ReconEvent::WriteOffUndone { gap, .. } => &gap.channel,
        _ => return None,
    };
    let place = id::place(event.exception()?.as_str())?;
    let (asset, minor) = (asset(channel), gap.money.minor);
    let steps = match what {
        What::Differs => vec![(asset, Account::Suspense)],
        What::Resolved => vec![(Account::Suspense, asset)],
        What::WriteOffUndone => vec![(Account::WriteOff, Account::Suspense), (Account::Suspense, asset)],
        _ => vec![(Account::Suspense, Account::WriteOff)],
    };
    let sides = |(more, less)| if minor > 0 { pair(more, less, minor) } else { pair(less, more, minor.saturating_neg()) };
    let entries = steps.into_iter().flat_map(sides).collect();
    Some(Movement {
        what,
        // It is no money of the order yet, whatever its number says.
        order: None,
        lot: None,
        operator: None,
        province: place.province,
        partition: place.partition,
        channel,
        currency: gap.money.currency,
        at: recorded_at,
        entries,
        discounts: None,
    })
}

fn of_money<'a>(what: What, event: &'a PaymentEvent, recorded_at: Moment, fees: &Fees) -> Option<Movement<'a>> {
    if let PaymentEvent::ShiftClosed { shift, expected, counted, .. } = event {
        let short = expected.minor.saturating_sub(counted.minor);
        let more = short.saturating_neg();
        let entries =
            if short > 0 { pair(Account::CashDifference, Account::Cash, short) } else { pair(Account::Cash, Account::CashDifference, more) };
        return Some(Movement {
            what,
            order: None,
            lot: Some(shift.lot),
            operator: None,
            province: shift.province,
            partition: Partition::of_lot(shift.lot.as_str()),
            channel: CASH,
            currency: counted.currency,
            at: recorded_at,
            entries,
            discounts: None,
        });
    }
    let (bill, source, amount) = match event {
        PaymentEvent::Held { bill, source, amount, .. }
        | PaymentEvent::Applied { bill, source, amount, .. }
        | PaymentEvent::Settled { bill, source, amount }
        | PaymentEvent::PassedOver { bill, source, amount, .. }
        | PaymentEvent::Reversed { bill, source, amount, .. }
        | PaymentEvent::RefundRequested { bill, source, amount, .. }
        | PaymentEvent::Refunded { bill, source, amount, .. } => (bill, source, *amount),
        _ => return None,
    };
    let (paid_at, discounts) = match event {
        PaymentEvent::Held { paid_at, .. } => (*paid_at, None),
        PaymentEvent::Applied { paid_at, discounts, .. } => (*paid_at, discounts.as_deref().map(Cow::Borrowed)),
        _ => (None, None),
    };
    let gone = if let PaymentEvent::Refunded { left, drawer, .. } = event { Some((left.unwrap_or(amount), *drawer)) } else { None };
    let place = id::place(bill.order.as_str())?;
    Some(Movement {
        what,
        order: Some(bill.order),
        lot: bill.lot,
        operator: None,
        province: place.province,
        partition: place.partition,
        channel: &source.channel,
        currency: amount.currency,
        // Nothing is booked under a day that has not come.
        at: paid_at.map_or(recorded_at, |paid_at| paid_at.min(recorded_at)),
        entries: sides(what, &source.channel, amount, gone, fees),
        discounts,
    })
}

fn of_bill(what: What, event: &OrderEvent, recorded_at: Moment) -> Option<Movement<'_>> {
    let (order, lot, amount) = match event {
        OrderEvent::Priced { order, stay, quote, .. } => (order, stay.lot, quote.total),
        OrderEvent::Owed { order, lot, amount, .. } | OrderEvent::Cleared { order, lot, amount, .. } => (order, *lot, *amount),
        _ => return None,
    };
    let discounts = if let OrderEvent::Priced { stay, quote, departure, .. } = event {
        crate::payment::taken_off(quote, stay.session, departure.left_at).map(Cow::Owned)
    } else {
        None
    };
    let entries = match what {
        What::Owed => pair(Account::Arrears, Account::ArrearsUnearned, amount.minor),
        What::Cleared => pair(Account::ArrearsUnearned, Account::Arrears, amount.minor),
        _ => Vec::new(),
    };
    let place = id::place(order.as_str())?;
    let (province, partition, currency) = (place.province, place.partition, amount.currency);
    Some(Movement {
        what,
        order: Some(*order),
        lot: Some(lot),
        operator: None,
        province,
        partition,
        channel: NO_CHANNEL,
        currency,
        at: recorded_at,
        entries,
        discounts,
    })
}

fn pair(debit: Account, credit: Account, minor: i64) -> Vec<Entry> {
    vec![Entry::debit(debit, minor), Entry::credit(credit, minor)]
}

/// Where money of a channel is.
fn asset(channel: &str) -> Account {
    match channel {
        CASH => Account::Cash,
        POINTS => Account::PointsIssuer,
        _ => Account::ChannelReceivable,
    }
}

/// What it has earned.
fn income(channel: &str) -> Account {
    if channel == POINTS { Account::PointsRedeemed } else { Account::ParkingRevenue }
}

/// The sides of a movement of money. `gone`: what had not gone back before a refund, and whether that was given out of a drawer.
fn sides(what: What, channel: &str, amount: Money, gone: Option<(Money, bool)>, fees: &Fees) -> Vec<Entry> {
    use Account::{ChannelFees, ProvisionalReceivable, RefundLiability};
    let minor = amount.minor;
    let income = income(channel);
    let charged = |fee: i64| if asset(channel) == Account::ChannelReceivable { fee } else { 0 };
    let captured = |credit| {
        let fee = charged(fee::of(fees, channel, minor));
        vec![Entry::debit(asset(channel), minor.saturating_sub(fee)), Entry::debit(ChannelFees, fee), Entry::credit(credit, minor)]
    };
    let mut entries = match what {
        What::Paid => captured(income),
        What::Captured => captured(RefundLiability),
        What::Settled => captured(ProvisionalReceivable),
        What::Applied => pair(RefundLiability, income, minor),
        What::Accepted => pair(ProvisionalReceivable, income, minor),
        What::Failed => pair(income, ProvisionalReceivable, minor),
        What::Returning => pair(income, RefundLiability, minor),
        What::Refunded => match gone {
            // The channel has kept its fee, and has given nothing back.
            Some((_, true)) => pair(RefundLiability, Account::Cash, minor),
            gone => {
                let back = charged(fee::back(fees, channel, minor, gone.map_or(minor, |(left, _)| left.minor)));
                let given = Entry::credit(asset(channel), minor.saturating_sub(back));
                vec![Entry::debit(RefundLiability, minor), given, Entry::credit(ChannelFees, back)]
            }
        },
        What::Discounted
        | What::Owed
        | What::Cleared
        | What::Counted
        | What::Differs
        | What::Resolved
        | What::WrittenOff
        | What::FeesAdjusted
        | What::WriteOffUndone
        | What::PaidOut => Vec::new(),
    };
    entries.retain(|entry| entry.debit != 0 || entry.credit != 0);
    entries
}
