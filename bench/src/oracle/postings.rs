//! What LEDGER should say, and promise 4: in every window debits equal credits.
//!
//! Invariants
//! 1. An unbalanced posting is a difference, whatever caused it   (`oracle::tests::each_mutation_is_found`).
//!
//! Not here: when a window closes and what its statement says (`settling`).

use super::{Findings, Terms, World, exceptions::more, settling::Windows};
use crate::logs::Line;
use schema::{
    Currency, Event, Id, Moment, Money, Partition,
    exception::{Closing, PieceAt, ReconEvent, begins},
    fact::OperatorId,
    id::{self, Province},
    journal::{OrderEvent, PaymentEvent, Quote},
    ledger::{Account, Discounts, Entry, FeesAt, LedgerEvent, Movement, Span},
    payout::PaidOut,
    time::{Day, Zone},
};
use std::collections::{BTreeMap, BTreeSet};

/// One partition: what was taken off stays, and the windows.
pub struct Ledger<'a> {
    world: &'a World<'a>,
    terms: &'a Terms,
    partition: Partition,
    taken: BTreeMap<Id, Discounts>,
    /// What channels' statements had more than the books, by exception.
    gaps: BTreeMap<Id, Money>,
    /// What channels keep of a day: what is booked, and what their statements tell.
    kept: BTreeMap<FeesAt, (i64, BTreeMap<String, i64>)>,
    /// Its settlement windows.
    pub windows: Windows<'a>,
}

/// A side as the words of accounting have it.
enum Side {
    Debit(Account, i64),
    Credit(Account, i64),
}
use Side::{Credit, Debit};

/// What is known of a movement before its posting is written.
struct Moved<'a> {
    what: Movement,
    order: Option<Id>,
    lot: Option<schema::LotId>,
    province: Province,
    channel: &'a str,
    currency: Currency,
    at: Moment,
    sides: Vec<Side>,
    taken: Option<Discounts>,
    /// Whose money it is, where it has no lot and that is told.
    operator: Option<OperatorId>,
}

/// What a quote takes off, as its lines say.
pub fn taken_off(quote: &Quote, session: Id, asked_at: Moment) -> Option<Discounts> {
    let mut borne = BTreeMap::new();
    for line in &quote.lines {
        if let (Some(bearer), true) = (&line.bearer, line.amount < 0) {
            *borne.entry(bearer.clone()).or_insert(0) -= line.amount;
        }
    }
    if borne.is_empty() { None } else { Some(Discounts { session, asked_at, borne }) }
}

impl<'a> Ledger<'a> {
    /// Nothing is booked yet.
    pub fn new(world: &'a World<'a>, terms: &'a Terms, partition: Partition) -> Self {
        Self {
            world,
            terms,
            partition,
            taken: BTreeMap::new(),
            gaps: BTreeMap::new(),
            kept: BTreeMap::new(),
            windows: Windows::new(terms, partition),
        }
    }

    /// The fee of an amount, rounded half up.
    fn fee(&self, channel: &str, minor: i64) -> i64 {
        if channel == "cash" || channel == "points" {
            return 0;
        }
        let rate = i128::from(self.terms.fees.get(channel).copied().unwrap_or(0));
        let millionths = i128::from(minor) * rate;
        let (whole, rest) = (millionths / 1_000_000, millionths % 1_000_000);
        i64::try_from(if rest >= 500_000 { whole + 1 } else { whole }).expect("a fee is below its amount")
    }

    /// What a channel's capture debits.
    fn capture(&self, channel: &str, minor: i64) -> Vec<Side> {
        let fee = self.fee(channel, minor);
        vec![Debit(asset(channel), minor - fee), Debit(Account::ChannelFees, fee)]
    }

    fn money<'e>(&self, event: &'e PaymentEvent, at: Moment) -> Option<Moved<'e>> {
        use Account::{Cash, CashDifference, ChannelFees, ParkingRevenue, PointsRedeemed, ProvisionalReceivable, RefundLiability};
        if let PaymentEvent::ShiftClosed { shift, expected, counted, .. } = event {
            let short = expected.minor - counted.minor;
            let sides = match short {
                0 => return None,
                1.. => vec![Debit(CashDifference, short), Credit(Cash, short)],
                _ => vec![Debit(Cash, -short), Credit(CashDifference, -short)],
            };
            let (what, order, lot, province, channel) = (Movement::Counted, None, Some(shift.lot), shift.province, "cash");
            return Some(Moved { what, order, lot, province, channel, currency: counted.currency, at, sides, taken: None, operator: None });
        }
        let bill = event.bill()?;
        let both = |source: &'e schema::journal::Source, amount: &Money| (&*source.channel, *amount);
        let earns = |channel: &str| if channel == "points" { PointsRedeemed } else { ParkingRevenue };
        let (what, (channel, amount), sides) = match event {
            PaymentEvent::Held { source, amount, provisional: false, .. }
            | PaymentEvent::RefundRequested { source, amount, held: false, applied: false, tries: 1, .. } => {
                let mut sides = self.capture(&source.channel, amount.minor);
                sides.push(Credit(RefundLiability, amount.minor));
                (Movement::Captured, both(source, amount), sides)
            }
            PaymentEvent::Applied { source, amount, provisional: true, .. } => {
                let sides = vec![Debit(ProvisionalReceivable, amount.minor), Credit(earns(&source.channel), amount.minor)];
                (Movement::Accepted, both(source, amount), sides)
            }
            PaymentEvent::Applied { source, amount, held: true, .. } => {
                (Movement::Applied, both(source, amount), vec![Debit(RefundLiability, amount.minor), Credit(earns(&source.channel), amount.minor)])
            }
            PaymentEvent::Applied { source, amount, .. } => {
                let mut sides = self.capture(&source.channel, amount.minor);
                sides.push(Credit(earns(&source.channel), amount.minor));
                (Movement::Paid, both(source, amount), sides)
            }
            PaymentEvent::Settled { source, amount, .. } => {
                let mut sides = self.capture(&source.channel, amount.minor);
                sides.push(Credit(ProvisionalReceivable, amount.minor));
                (Movement::Settled, both(source, amount), sides)
            }
            PaymentEvent::PassedOver { source, amount, applied: true, .. } | PaymentEvent::Reversed { source, amount, applied: true, .. } => (
                Movement::Failed,
                both(source, amount),
                vec![Debit(earns(&source.channel), amount.minor), Credit(ProvisionalReceivable, amount.minor)],
            ),
            PaymentEvent::RefundRequested { source, amount, applied: true, tries: 1, .. } => {
                (Movement::Returning, both(source, amount), vec![Debit(earns(&source.channel), amount.minor), Credit(RefundLiability, amount.minor)])
            }
            PaymentEvent::Refunded { source, amount, drawer: true, .. } => {
                (Movement::Refunded, both(source, amount), vec![Debit(RefundLiability, amount.minor), Credit(Cash, amount.minor)])
            }
            PaymentEvent::Refunded { source, amount, left, .. } => {
                // The channel charges for what stays, so it gives back the rest of what it charged.
                let before = left.map_or(amount.minor, |left| left.minor);
                let fee = self.fee(&source.channel, before) - self.fee(&source.channel, before - amount.minor);
                let sides = vec![Debit(RefundLiability, amount.minor), Credit(asset(&source.channel), amount.minor - fee), Credit(ChannelFees, fee)];
                (Movement::Refunded, both(source, amount), sides)
            }
            _ => return None,
        };
        let (paid_at, taken) = match event {
            PaymentEvent::Held { paid_at, .. } => (*paid_at, None),
            PaymentEvent::Applied { paid_at, discounts, .. } => (*paid_at, discounts.as_deref().cloned()),
            _ => (None, None),
        };
        let at = paid_at.map_or(at, |paid_at| paid_at.min(at));
        let province = id::place(bill.order.as_str())?.province;
        Some(Moved { what, order: Some(bill.order), lot: bill.lot, province, channel, currency: amount.currency, at, sides, taken, operator: None })
    }

    fn bill(event: &OrderEvent, at: Moment) -> Option<Moved<'static>> {
        use Account::{Arrears, ArrearsUnearned};
        let (what, order, lot, amount, sides, taken) = match event {
            OrderEvent::Priced { order, stay, departure, quote, inside: None, .. } if quote.total.minor == 0 => {
                let taken = taken_off(quote, stay.session, departure.left_at)?;
                (Movement::Discounted, order, stay.lot, quote.total, Vec::new(), Some(taken))
            }
            OrderEvent::Owed { order, lot, amount, begins: true, .. } => {
                (Movement::Owed, order, *lot, *amount, vec![Debit(Arrears, amount.minor), Credit(ArrearsUnearned, amount.minor)], None)
            }
            OrderEvent::Cleared { order, lot, amount, .. } => {
                (Movement::Cleared, order, *lot, *amount, vec![Debit(ArrearsUnearned, amount.minor), Credit(Arrears, amount.minor)], None)
            }
            _ => return None,
        };
        let province = id::place(order.as_str())?.province;
        Some(Moved {
            what,
            order: Some(*order),
            lot: Some(lot),
            province,
            channel: "none",
            currency: amount.currency,
            at,
            sides,
            taken,
            operator: None,
        })
    }

    /// What differs from a statement is booked while nobody knows why, and goes back, or away for good, once it is closed.
    fn gap<'e>(&mut self, event: &'e ReconEvent, at: Moment) -> Option<Moved<'e>> {
        use Account::{Suspense, WriteOff};
        let (exception, channel) = match event {
            ReconEvent::ExceptionOpened { exception, piece, line, payment, .. } => {
                self.gaps.insert(*exception, more(line.as_deref(), payment.as_deref()));
                (exception, &piece.channel)
            }
            ReconEvent::ExceptionClosed { exception, gap: Some(gap), .. } | ReconEvent::WriteOffUndone { exception, gap, .. } => {
                (exception, &gap.channel)
            }
            _ => return None,
        };
        let Money { minor, currency } = *self.gaps.get(exception)?;
        let (what, steps) = match event {
            ReconEvent::ExceptionOpened { .. } => (Movement::Differs, vec![[asset(channel), Suspense]]),
            ReconEvent::ExceptionClosed { why: Closing::WrittenOff, .. } => (Movement::WrittenOff, vec![[Suspense, WriteOff]]),
            // What was given up is not, and then it is explained like any other.
            ReconEvent::WriteOffUndone { .. } => (Movement::WriteOffUndone, vec![[WriteOff, Suspense], [Suspense, asset(channel)]]),
            _ => (Movement::Resolved, vec![[Suspense, asset(channel)]]),
        };
        let mut sides = Vec::new();
        for [up, down] in steps {
            match minor {
                0 => return None,
                1.. => sides.extend([Debit(up, minor), Credit(down, minor)]),
                _ => sides.extend([Debit(down, -minor), Credit(up, -minor)]),
            }
        }
        let province = id::place(exception.as_str())?.province;
        Some(Moved { what, order: None, lot: None, province, channel, currency, at, sides, taken: None, operator: None })
    }

    /// What a channel owes less, the bank has.
    fn payout<'e>(piece: &'e PieceAt, paid: &PaidOut, recorded_at: Moment) -> Moved<'e> {
        let Money { minor, currency } = paid.amount;
        let sides = vec![Debit(Account::Bank, minor), Credit(asset(&piece.channel), minor)];
        let (what, at, operator) = (Movement::PaidOut, Moment(paid.booked_at.0.min(recorded_at.0)), paid.operator);
        Moved { what, order: None, lot: None, province: piece.province, channel: &piece.channel, currency, at, sides, taken: None, operator }
    }

    /// What an event of PAYMENT, ORDER or RECON becomes, that was recorded at a moment. `actual` lends the posting's id, which is a name and no decision.
    pub fn event(&mut self, event: &Event, recorded_at: Moment, actual: &[&LedgerEvent]) -> Vec<LedgerEvent> {
        let moved = match event {
            Event::Payment(event) => self.money(event, recorded_at),
            Event::Order(event) => Self::bill(event, recorded_at),
            Event::Recon(ReconEvent::Matched { piece, fees: Some(fees), .. }) => Some(Self::told(piece, *fees, recorded_at)),
            Event::Recon(ReconEvent::PaidOut { piece, paid }) => Some(Self::payout(piece, paid, recorded_at)),
            Event::Recon(event) => self.gap(event, recorded_at),
            _ => None,
        };
        let told = if let Event::Recon(ReconEvent::Matched { piece, fees: Some(fees), .. }) = event { Some((piece, fees.minor)) } else { None };
        let Some(Moved { what, order, lot, province, channel, currency, at, sides, taken, operator: owner }) = moved else { return Vec::new() };
        let known = lot.as_ref().and_then(|lot| self.world.lot(lot));
        let operator = known.map(|lot| lot.declared.operator).or(owner);
        let mut entries: Vec<Entry> = sides
            .iter()
            .map(|side| match side {
                Debit(account, minor) => Entry { account: *account, debit: *minor, credit: 0, of: None },
                Credit(account, minor) => Entry { account: *account, debit: 0, credit: *minor, of: None },
            })
            .filter(|entry| entry.debit + entry.credit != 0)
            .collect();
        let taken = taken.filter(|taken| self.taken.get(&taken.session).is_none_or(|before| before.asked_at <= taken.asked_at));
        if let Some(taken) = &taken {
            entries.extend(self.take_off(taken, operator.as_ref().map(schema::Token::as_str)));
        }
        let fees = FeesAt { province, partition: self.partition, channel: channel.into(), day: in_china(at), currency };
        let tells = told.map(|(piece, minor)| {
            let told = LedgerEvent::FeesTold { fees: fees.clone(), merchant: piece.merchant.clone(), minor };
            self.kept.entry(fees.clone()).or_default().1.insert(piece.merchant.to_string(), minor);
            told
        });
        entries.extend(self.adjust(&fees, &entries));
        if entries.is_empty() {
            return tells.or(order.map(|order| LedgerEvent::Noted { order, province })).into_iter().collect();
        }
        let zone = known.map_or_else(|| Zone::named("UTC").expect("a zone"), |lot| lot.zone.clone());
        let (from, until) = if self.terms.hourly { zone.hour_span(at) } else { zone.day_span(at) };
        let lent = actual.iter().find_map(|event| if let LedgerEvent::Posted { posting, .. } = event { Some(*posting) } else { None });
        let day = zone.day(at);
        let lies_here = |id: &Id| {
            id.as_str().starts_with('L') && id::place(id.as_str()).is_some_and(|place| (place.partition, place.day) == (self.partition, day))
        };
        let posted = LedgerEvent::Posted {
            posting: lent.filter(lies_here).unwrap_or_else(|| "L".parse().expect("a letter is a token")),
            order,
            lot,
            day,
            province,
            channel: channel.into(),
            currency,
            entries,
            operator,
            at: Some(at),
            movement: Some(what),
            span: Some(Span { from, until, closes_at: Moment(0) }),
            discounts: taken.map(Box::new),
        };
        tells.into_iter().chain([posted]).collect()
    }

    /// What a statement tells of fees belongs to the end of its day.
    fn told(piece: &PieceAt, fees: Money, recorded_at: Moment) -> Moved<'_> {
        let midnight = begins(piece.day).expect("a statement has a day");
        let at = Moment((midnight.0 + 86_400_000_000 - 1).min(recorded_at.0).max(midnight.0));
        let (what, province, channel) = (Movement::FeesAdjusted, piece.province, &*piece.channel);
        Moved { what, order: None, lot: None, province, channel, currency: fees.currency, at, sides: Vec::new(), taken: None, operator: None }
    }

    /// Once a day's fees are told, what is booked under it is what is told.
    fn adjust(&mut self, fees: &FeesAt, entries: &[Entry]) -> Vec<Entry> {
        let charged: Vec<i64> =
            entries.iter().filter(|entry| entry.account == Account::ChannelFees).map(|entry| entry.debit - entry.credit).collect();
        let known = if charged.is_empty() { self.kept.get_mut(fees) } else { Some(self.kept.entry(fees.clone()).or_default()) };
        let Some((booked, told)) = known else { return Vec::new() };
        *booked += charged.iter().sum::<i64>();
        let more = told.values().sum::<i64>() - *booked;
        if told.is_empty() || more == 0 {
            return Vec::new();
        }
        *booked += more;
        let side = |account, minor: i64| Entry { account, debit: minor.max(0), credit: (-minor).max(0), of: None };
        vec![side(Account::ChannelFees, more), side(Account::ChannelReceivable, -more)]
    }

    /// What a stay's discounts became is booked against what they were.
    fn take_off(&mut self, taken: &Discounts, operator: Option<&str>) -> Vec<Entry> {
        let before = self.taken.insert(taken.session, taken.clone()).map(|before| before.borne).unwrap_or_default();
        let names: BTreeSet<_> = before.keys().chain(taken.borne.keys()).cloned().collect();
        let (mut entries, mut sum) = (Vec::new(), 0);
        for name in names {
            let more = taken.borne.get(&name).unwrap_or(&0) - before.get(&name).unwrap_or(&0);
            let account = if operator == Some(&name) { Account::DiscountsOperator } else { Account::DiscountsMerchant };
            if more != 0 {
                entries.push(Entry { account, debit: more.max(0), credit: (-more).max(0), of: Some(name) });
            }
            sum += more;
        }
        if sum != 0 {
            entries.push(Entry { account: Account::ParkingRevenue, debit: (-sum).max(0), credit: sum.max(0), of: None });
        }
        entries
    }
}

/// Channels count their days in China, eight hours before UTC.
fn in_china(at: Moment) -> Day {
    Zone::named("Asia/Shanghai").expect("a zone").day(at)
}

fn asset(channel: &str) -> Account {
    match channel {
        "cash" => Account::Cash,
        "points" => Account::PointsIssuer,
        _ => Account::ChannelReceivable,
    }
}

/// An event with its sides in one order, and without what is not judged here: when its window closes.
pub fn normal(event: &LedgerEvent) -> LedgerEvent {
    let mut event = event.clone();
    if let LedgerEvent::Posted { entries, span, .. } = &mut event {
        entries.sort_by_key(|entry| (entry.debit == 0, entry.account, entry.of.clone(), entry.debit, entry.credit));
        if let Some(span) = span {
            span.closes_at = Moment(0);
        }
    }
    event
}

/// The sums of the whole ledger.
#[derive(Default)]
pub struct Books {
    /// Debits less credits by order, account and currency.
    pub orders: BTreeMap<(Id, Account, Currency), i64>,
    windows: BTreeMap<(Option<String>, Day, Currency), (i64, i64)>,
    postings: BTreeSet<Id>,
}

impl Books {
    /// Adds up a ledger and says what does not balance.
    pub fn add_up(lines: &[Line], findings: &mut Findings) -> Self {
        let mut books = Self::default();
        for line in lines {
            let Event::Ledger(LedgerEvent::Posted { posting, order, lot, day, currency, entries, .. }) = &line.recorded.event else { continue };
            if !books.postings.insert(*posting) {
                findings.found_double(format!("LEDGER {}: posting {posting} is there twice", line.sequence));
            }
            let (debits, credits) = entries.iter().fold((0, 0), |(debits, credits), entry| (debits + entry.debit, credits + entry.credit));
            if debits != credits || entries.iter().any(|entry| entry.debit < 0 || entry.credit < 0) {
                findings.found(format!("LEDGER {}: posting {posting} debits {debits} and credits {credits}", line.sequence));
            }
            let window = books.windows.entry((lot.map(|lot| lot.to_string()), *day, *currency)).or_default();
            *window = (window.0 + debits, window.1 + credits);
            for entry in entries {
                if let Some(order) = order {
                    *books.orders.entry((*order, entry.account, *currency)).or_default() += entry.debit - entry.credit;
                }
            }
        }
        for ((lot, day, currency), (debits, credits)) in &books.windows {
            if debits != credits {
                let lot = lot.as_deref().unwrap_or("no lot yet");
                findings.found(format!("window {lot}, {day}: debits {debits} and credits {credits} {currency:?} differ"));
            }
        }
        books
    }
}
