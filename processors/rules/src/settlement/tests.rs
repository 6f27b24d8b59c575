use super::*;
use crate::trial::{Trial, at};
use proptest::prelude::*;
use schema::{
    Cause, Currency, Day, Id, Inbox, LotId, Money, Partition,
    exception::{Closing, Gap, PieceAt, ReconEvent, Term, day_of},
    id::{Kind, Place, Province},
    journal::{Bill, Departure, LineKind, OrderEvent, PaymentEvent, Quote, QuoteLine, RefundReason, ShiftAt, Source, Stay},
    ledger::{Account, Figures},
    payout::{DayPaid, PaidOut},
    statement::{self, Age, BookedPayment, Difference, Standing, StatementLine},
    time::MINUTE,
};

mod laws;

const HOUR: i64 = 60 * MINUTE;
const AMOUNT: Money = Money::new(1000, Currency::Cny);

fn place() -> Place {
    Place { province: Province(44), day: Day(261_123), partition: Partition::of_lot("small") }
}

fn order(name: &str) -> Id {
    id::derive(Kind::Order, place(), &[name])
}

fn small() -> LotId {
    "small".parse().expect("a name")
}

fn recorded(event: Event, minute: i64) -> Recorded {
    let cause = Cause { inbox: Inbox::Channel, sequence: 1, event: "k".into(), time: at(minute), index: 0 };
    Recorded { at: at(minute), cause, event }
}

fn bill() -> Bill {
    Bill { order: order("x"), lot: Some(small()), day: Day(261_123) }
}

fn by(channel: &str) -> Source {
    Source { channel: channel.into(), transaction: "2".into() }
}

fn refund() -> Id {
    id::derive(Kind::Refund, place(), &["r"])
}

fn applied(channel: &str, held: bool, provisional: bool) -> PaymentEvent {
    PaymentEvent::Applied {
        bill: bill(),
        source: by(channel),
        amount: AMOUNT,
        held,
        paid_at: None,
        provisional,
        part: None,
        discounts: None,
        reason: None,
    }
}

fn held(channel: &str, provisional: bool) -> PaymentEvent {
    PaymentEvent::Held { bill: bill(), source: by(channel), amount: AMOUNT, paid_at: None, provisional, choice: None }
}

fn requested(channel: &str, (tries, held, applied): (u32, bool, bool)) -> PaymentEvent {
    PaymentEvent::RefundRequested {
        bill: bill(),
        source: by(channel),
        amount: AMOUNT,
        refund: refund(),
        reason: RefundReason::Duplicate,
        tries,
        held,
        due_at: at(1),
        asks: false,
        applied,
        captured: None,
        by: None,
        approved: None,
    }
}

fn refunded(channel: &str, amount: i64, left: Option<i64>, drawer: bool) -> PaymentEvent {
    let (bill, source, refund, money) = (bill(), by(channel), refund(), |minor| Money::new(minor, Currency::Cny));
    PaymentEvent::Refunded { bill, source, amount: money(amount), refund, left: left.map(money), drawer, done_at: None }
}

fn counted(minor: i64) -> PaymentEvent {
    let shift = ShiftAt { lot: small(), province: Province(44), name: "early".parse().expect("a name") };
    let by = schema::desk::Said { author: "zhou".parse().expect("a name"), reason: "the early shift".into(), at: at(0) };
    PaymentEvent::ShiftClosed { shift, expected: AMOUNT, counted: Money::new(minor, Currency::Cny), by }
}

fn stay() -> Stay {
    Stay {
        session: id::derive(Kind::Session, place(), &["s"]),
        lot: small(),
        province: Province(44),
        credential: schema::Credential::plate("A", schema::gate::Colour::Blue),
        lane: "in".parse().expect("a name"),
        entered_at: at(0),
        class: schema::VehicleClass::Small,
        energy: schema::Energy::Fuel,
        sharers: Vec::new(),
    }
}

/// A price of nothing, asked for at a minute, because these bear all of it.
fn waived(minute: i64, borne: &[(&str, i64)]) -> OrderEvent {
    let off = |(bearer, minor): &(&str, i64)| {
        let line = QuoteLine::new(LineKind::ValidationAmount, (0, 60), 1, 0, -minor);
        QuoteLine { bearer: Some((*bearer).into()), ..line }
    };
    let lines = borne.iter().map(off).collect();
    let quote = Quote { rate_table: "hourly".into(), version: 1, minutes: 60, lines, total: Money::new(0, Currency::Cny) };
    let departure =
        Departure { lane: "out".parse().expect("a name"), left_at: at(minute), event: "e".parse().expect("a name"), local: false, deducts: None };
    OrderEvent::Priced { order: order("x"), stay: stay(), departure, quote, expires_at: at(minute), inside: None }
}

/// What a channel has more than we booked, or less.
fn opened(channel: &str, more: i64) -> ReconEvent {
    let piece = PieceAt { channel: channel.into(), merchant: "m".into(), day: Day(261_123), province: Province(44), partition: Partition(7) };
    let amount = Money::new(more.abs(), Currency::Cny);
    let (kind, standing, transaction, refund) = (statement::LineKind::Trade, Standing::Done, "t".into(), "".into());
    let line = StatementLine { line: 1, kind, standing, transaction, number: "n".into(), refund, amount, fee_milli: 0, happened_at: at(0) };
    let payment = BookedPayment {
        line: 1,
        kind,
        standing,
        order: order("x").as_str().into(),
        attempt: "".into(),
        transaction: "t".into(),
        refund: "".into(),
        amount,
        happened_at: at(0),
    };
    let (difference, line, payment) = if more < 0 { (Difference::Shortage, None, Some(payment)) } else { (Difference::Surplus, Some(line), None) };
    let exception = piece.exception(difference, line.as_ref(), payment.as_ref(), 0);
    let (line, payment) = (line.map(Box::new), payment.map(Box::new));
    ReconEvent::ExceptionOpened { exception, piece, difference, line, payment, age: Age::T1, again: false }
}

fn settled(channel: &str, more: i64, why: Closing) -> ReconEvent {
    let event = opened(channel, more);
    let exception = event.exception().expect("it opens one");
    let gap = Gap { channel: channel.into(), money: Money::new(more, Currency::Cny) };
    ReconEvent::ExceptionClosed { exception, why, term: None, by: None, approved: None, gap: Some(Box::new(gap)) }
}

fn undone(channel: &str, more: i64) -> ReconEvent {
    let ReconEvent::ExceptionClosed { exception, gap: Some(gap), .. } = settled(channel, more, Closing::WrittenOff) else { panic!("it closes one") };
    ReconEvent::WriteOffUndone { exception, term: Term::After, gap }
}

/// What a channel has paid out to the bank, of two of its days.
fn paid_out(channel: &str, minor: i64, booked_at: Moment) -> ReconEvent {
    let days = vec![DayPaid { day: Day(261_122), minor: minor + 1 }, DayPaid { day: Day(261_123), minor: -1 }];
    let (operator, author) = ("city".parse().ok(), "lin".parse().expect("a name"));
    let paid = PaidOut { reference: "B-77".into(), operator, days, amount: Money::new(minor, Currency::Cny), booked_at, author };
    let event = paid.said(channel.into(), "m".into(), Province(44));
    let schema::StatementFact::PaidOut { paid } = event.fact else { panic!("it is one") };
    ReconEvent::PaidOut { piece: event.piece, paid }
}

#[test]
fn what_is_found_again_is_booked_again() {
    let mut back = opened("wechat", 500);
    if let ReconEvent::ExceptionOpened { again, .. } = &mut back {
        *again = true;
    }
    let mut trial = Trial::new(&RULES);
    for (minute, event) in (1..).zip([opened("wechat", 500), settled("wechat", 500, Closing::Explained), back]) {
        trial.journal(Inbox::Recon, &recorded(Event::Recon(event), minute));
    }
    let mut suspense = 0;
    for recorded in &trial.journal {
        let Event::Ledger(LedgerEvent::Posted { entries, .. }) = &recorded.event else { panic!("{recorded:?}") };
        suspense += entries.iter().filter(|entry| entry.account == Account::Suspense).map(|entry| entry.debit - entry.credit).sum::<i64>();
    }
    assert_eq!((suspense, trial.journal.len()), (-500, 3));
}

#[test]
fn a_write_off_that_is_undone_leaves_nothing() {
    for (more, told) in [
        (500, ["differs channel_receivable 500 suspense -500", "written_off suspense 500 write_off -500"]),
        (-500, ["differs suspense 500 channel_receivable -500", "written_off write_off 500 suspense -500"]),
    ] {
        let mut trial = Trial::new(&RULES);
        let events = [opened("wechat", more), settled("wechat", more, Closing::WrittenOff), undone("wechat", more)];
        let said: Vec<String> =
            (1..).zip(events).map(|(minute, event)| words(&trial.journal(Inbox::Recon, &recorded(Event::Recon(event), minute)))).collect();
        let last = if more > 0 {
            "write_off_undone write_off 500 suspense -500 suspense 500 channel_receivable -500"
        } else {
            "write_off_undone suspense 500 write_off -500 channel_receivable 500 suspense -500"
        };
        assert_eq!(said, [told[0], told[1], last], "each by a posting of its own: {more}");
        assert!(sums(&trial).values().all(|net| *net == 0), "{:?}", sums(&trial));
    }
    assert_eq!(words(&Trial::new(&RULES).journal(Inbox::Recon, &recorded(Event::Recon(undone("wechat", 0)), 1))), "", "nothing was booked of it");
}

#[test]
fn a_payout_moves_money_from_the_channel_to_the_bank() {
    for (channel, asset) in [("wechat", "channel_receivable"), ("cash", "cash"), ("points", "points_issuer")] {
        let mut trial = trial();
        pay(&mut trial, applied(channel, false, false), 1);
        let before = sums(&trial);
        // The bank has booked it the day before, and a clock that is ahead books nothing under a day that has not come.
        for (booked_at, moved) in [(at(-20 * 60), at(-20 * 60)), (at(9_000), at(2_000))] {
            let events = trial.journal(Inbox::Recon, &recorded(Event::Recon(paid_out(channel, 300, booked_at)), 2_000));
            assert_eq!(words(&events), format!("paid_out bank 300 {asset} -300"));
            let [Event::Ledger(LedgerEvent::Posted { posting, lot: None, order: None, operator: Some(operator), at: Some(at), .. })] = &events[..]
            else {
                panic!("{events:?}")
            };
            assert_eq!((operator.as_str(), *at), ("city", moved));
            assert_eq!(id::place(posting.as_str()).map(|place| (place.province, place.partition)), Some((Province(44), Partition::of_lot("B-77"))));
        }
        let after = sums(&trial);
        assert_eq!((after["bank"], after[asset]), (600, before[asset] - 600));
        for entity in trial.entities.values() {
            let Entity::Settling(window) = entity else { continue };
            let Figures { gross, net, .. } = figures(&window.tally);
            if window.lot.is_none() && channel != "points" {
                assert_eq!((gross, net, window.operator), (0, 0, None), "nothing was captured by it");
            }
        }
    }
}

#[test]
fn what_reconciliation_finds_is_booked() {
    use Closing::{Explained, Refunded, Repaired, WrittenOff};
    for (more, why, told) in [
        (500, None, "channel_receivable 500, suspense -500"),
        (-500, None, "channel_receivable -500, suspense 500"),
        (500, Some(Explained), "channel_receivable 0, suspense 0"),
        (-500, Some(Explained), "channel_receivable 0, suspense 0"),
        // What was lacking is booked by what it becomes in PAYMENT.
        (500, Some(Repaired), "channel_receivable 0, suspense 0"),
        (500, Some(Refunded), "channel_receivable 0, suspense 0"),
        (500, Some(WrittenOff), "channel_receivable 500, suspense 0, write_off -500"),
        (-500, Some(WrittenOff), "channel_receivable -500, suspense 0, write_off 500"),
        (0, Some(WrittenOff), ""),
    ] {
        let mut trial = Trial::new(&RULES);
        let events = [Some(opened("wechat", more)), why.map(|why| settled("wechat", more, why))];
        for (minute, event) in (1..).zip(events.into_iter().flatten()) {
            trial.journal(Inbox::Recon, &recorded(Event::Recon(event), minute));
        }
        let mut nets: BTreeMap<&str, i64> = BTreeMap::new();
        for recorded in &trial.journal {
            let Event::Ledger(LedgerEvent::Posted { entries, lot: None, channel, .. }) = &recorded.event else { panic!("{recorded:?}") };
            assert_eq!(&**channel, "wechat");
            for entry in entries {
                *nets.entry(entry.account.as_str()).or_default() += entry.debit - entry.credit;
            }
        }
        let words = nets.iter().map(|(account, net)| format!("{account} {net}")).collect::<Vec<_>>().join(", ");
        assert_eq!(words, told, "{more} {why:?}");
        for entity in trial.entities.values() {
            let Entity::Settling(window) = entity else { continue };
            let Figures { gross, found, net, .. } = figures(&window.tally);
            assert_eq!((gross, found), (0, net), "nothing was captured, and what was found is what the channel has to bring");
        }
    }
}

/// A comparison of wechat's statement of the trial's day, or of the day after, for one of two merchants.
fn tells(day: u32, merchant: &str, minor: i64) -> ReconEvent {
    let Place { province, partition, .. } = place();
    let piece = PieceAt { channel: "wechat".into(), merchant: merchant.into(), day: Day(day), province, partition };
    let fees = Some(Money::new(minor, Currency::Cny));
    ReconEvent::Matched { piece, term: Term::Next, sums: Vec::new(), fees, stays: None, hash: "0f".repeat(32).into() }
}

/// What the books hold of wechat's fees by the channel's day.
fn fees_by_day(trial: &Trial) -> BTreeMap<Day, i64> {
    let mut days = BTreeMap::new();
    for recorded in &trial.journal {
        let Event::Ledger(LedgerEvent::Posted { entries, at: Some(at), .. }) = &recorded.event else { continue };
        assert_eq!(entries.iter().map(|entry| entry.debit - entry.credit).sum::<i64>(), 0, "{entries:?}");
        for entry in entries.iter().filter(|entry| entry.account == Account::ChannelFees) {
            *days.entry(day_of(*at)).or_default() += entry.debit - entry.credit;
        }
    }
    days
}

#[test]
fn fees_are_what_the_statement_tells() {
    let mut trial = trial();
    pay(&mut trial, applied("wechat", false, false), 10);
    let told = trial.journal(Inbox::Recon, &recorded(Event::Recon(tells(261_123, "1900", 5)), 2_000));
    let [Event::Ledger(LedgerEvent::FeesTold { minor: 5, .. }), posted] = &told[..] else { panic!("{told:?}") };
    assert_eq!(words(std::slice::from_ref(posted)), "fees_adjusted channel_receivable 1 channel_fees -1", "6 were booked");
    assert_eq!(fees_by_day(&trial), BTreeMap::from([(Day(261_123), 5)]));
    // The same again books nothing, and a payment that the books lacked leaves the sum as it is.
    let again = trial.journal(Inbox::Recon, &recorded(Event::Recon(tells(261_123, "1900", 5)), 2_001));
    assert!(matches!(&again[..], [Event::Ledger(LedgerEvent::FeesTold { .. })]), "{again:?}");
    let PaymentEvent::Applied { bill, source, amount, held, provisional, part, discounts, reason, .. } = applied("wechat", false, false) else {
        return;
    };
    let late = PaymentEvent::Applied { bill, source, amount, held, paid_at: Some(at(20)), provisional, part, discounts, reason };
    pay(&mut trial, late, 2_002);
    assert_eq!(fees_by_day(&trial), BTreeMap::from([(Day(261_123), 5)]));
    // Today's are booked by the contract.
    pay(&mut trial, applied("wechat", false, false), 2_003);
    assert_eq!(fees_by_day(&trial), BTreeMap::from([(Day(261_123), 5), (Day(261_124), 6)]));
}

#[test]
fn a_clearing_file_tells_of_fees_like_any_other() {
    let mut trial = trial();
    trial.limits.fees.insert("etc".into(), 5_000);
    pay(&mut trial, applied("etc", false, true), 10);
    assert_eq!(fees_by_day(&trial), BTreeMap::new(), "what may still fail costs nothing");
    pay(&mut trial, PaymentEvent::Settled { bill: bill(), source: by("etc"), amount: AMOUNT }, 20);
    assert_eq!(fees_by_day(&trial), BTreeMap::from([(Day(261_123), 5)]));
    let mut told = tells(261_123, "M1", 4);
    if let ReconEvent::Matched { piece, .. } = &mut told {
        piece.channel = "etc".into();
    }
    let events = trial.journal(Inbox::Recon, &recorded(Event::Recon(told), 2_000));
    let [Event::Ledger(LedgerEvent::FeesTold { minor: 4, .. }), posted] = &events[..] else { panic!("{events:?}") };
    assert_eq!(words(std::slice::from_ref(posted)), "fees_adjusted channel_receivable 1 channel_fees -1", "5 were booked");
    assert_eq!(fees_by_day(&trial), BTreeMap::from([(Day(261_123), 4)]));
}

proptest! {
    #[test]
    fn the_books_hold_what_the_statement_tells(steps in prop::collection::vec((0..4_u8, 0..2_u32, 0..20_i64), 1..30)) {
        let mut trial = trial();
        let mut told: BTreeMap<(Day, &str), i64> = BTreeMap::new();
        for (minute, (what, day, minor)) in (3_000..).zip(steps) {
            if what < 2 {
                let PaymentEvent::Applied { bill, source, amount, .. } = applied("wechat", false, false) else { continue };
                let paid_at = Some(at(i64::from(day) * 24 * 60 + 10));
                let amount = Money::new(amount.minor * (minor + 1), amount.currency);
                let (part, discounts, reason) = (None, None, None);
                let late = PaymentEvent::Applied { bill, source, amount, held: false, paid_at, provisional: false, part, discounts, reason };
                pay(&mut trial, late, minute);
            } else {
                let merchant = if what == 2 { "1900" } else { "1901" };
                trial.journal(Inbox::Recon, &recorded(Event::Recon(tells(261_123 + day, merchant, minor)), minute));
                told.insert((Day(261_123 + day), merchant), minor);
            }
            let books = fees_by_day(&trial);
            for day in told.keys().map(|(day, _)| *day) {
                let sum: i64 = told.iter().filter(|((other, _), _)| *other == day).map(|(_, minor)| minor).sum();
                prop_assert_eq!(books.get(&day).copied().unwrap_or(0), sum);
            }
        }
    }
}

fn owed(begins: bool) -> OrderEvent {
    OrderEvent::Owed { order: order("x"), session: stay().session, lot: small(), province: Province(44), amount: AMOUNT, begins }
}

fn trial() -> Trial {
    let mut trial = Trial::new(&RULES);
    trial.limits.fees = Fees::from([("wechat".into(), 6_000)]);
    trial
}

fn pay(trial: &mut Trial, event: PaymentEvent, minute: i64) -> Vec<Event> {
    trial.journal(Inbox::Payment, &recorded(Event::Payment(event), minute))
}

fn say(trial: &mut Trial, event: OrderEvent, minute: i64) -> Vec<Event> {
    trial.journal(Inbox::Order, &recorded(Event::Order(event), minute))
}

/// A posting in words: what it is about, then its sides, debits without a sign.
fn words(events: &[Event]) -> String {
    match events {
        [] => String::new(),
        [Event::Ledger(LedgerEvent::Noted { .. })] => "noted".into(),
        [Event::Ledger(LedgerEvent::Posted { movement: Some(movement), entries, .. })] => {
            let side = |entry: &schema::ledger::Entry| {
                let of = entry.of.as_deref().map(|of| format!("/{of}")).unwrap_or_default();
                format!(" {}{of} {}", entry.account.as_str(), entry.debit - entry.credit)
            };
            movement.as_str().to_owned() + &entries.iter().map(side).collect::<String>()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_movement_has_its_sides() {
    for (event, said) in [
        (applied("wechat", false, false), "paid channel_receivable 994 channel_fees 6 parking_revenue -1000"),
        (applied("etc", false, false), "paid channel_receivable 1000 parking_revenue -1000"),
        (applied("wechat", true, false), "applied refund_liability 1000 parking_revenue -1000"),
        (applied("etc", false, true), "accepted provisional_receivable 1000 parking_revenue -1000"),
        (held("wechat", false), "captured channel_receivable 994 channel_fees 6 refund_liability -1000"),
        (held("etc", true), ""),
        (
            PaymentEvent::Settled { bill: bill(), source: by("wechat"), amount: AMOUNT },
            "settled channel_receivable 994 channel_fees 6 provisional_receivable -1000",
        ),
        (requested("wechat", (1, false, false)), "captured channel_receivable 994 channel_fees 6 refund_liability -1000"),
        (requested("wechat", (1, false, true)), "returning parking_revenue 1000 refund_liability -1000"),
        (requested("wechat", (1, true, false)), ""),
        (requested("wechat", (2, false, false)), ""),
        (refunded("wechat", 1_000, None, false), "refunded refund_liability 1000 channel_receivable -994 channel_fees -6"),
        // 10.00 had cost 6 fen; of the 6.00 that are left the channel keeps 4.
        (refunded("wechat", 400, Some(1_000), false), "refunded refund_liability 400 channel_receivable -398 channel_fees -2"),
        (refunded("wechat", 1_000, None, true), "refunded refund_liability 1000 cash -1000"),
        (counted(990), "counted cash_difference 10 cash -10"),
        (counted(1_010), "counted cash 10 cash_difference -10"),
        (counted(1_000), ""),
    ] {
        assert_eq!(words(&pay(&mut trial(), event.clone(), 1)), said, "{event:?}");
    }
    for (event, said) in [
        (owed(true), "owed arrears 1000 arrears_unearned -1000"),
        (owed(false), ""),
        (
            OrderEvent::Cleared { order: order("x"), lot: small(), province: Province(44), amount: AMOUNT },
            "cleared arrears_unearned 1000 arrears -1000",
        ),
        (waived(1, &[]), ""),
        (
            waived(1, &[("cinema", 300), ("operator", 50)]),
            "discounted discounts_merchant/cinema 300 discounts_operator/operator 50 parking_revenue -350",
        ),
    ] {
        assert_eq!(words(&say(&mut trial(), event.clone(), 1)), said, "{event:?}");
    }
}

#[test]
fn each_means_has_its_account() {
    for (channel, said) in [
        ("cash", "paid cash 1000 parking_revenue -1000"),
        // What points pay is their issuer's, and no revenue.
        ("points", "paid points_issuer 1000 points_redeemed -1000"),
        ("alipay", "paid channel_receivable 1000 parking_revenue -1000"),
    ] {
        let mut trial = trial();
        trial.limits.fees.extend([("cash".into(), 6_000), ("points".into(), 6_000)]);
        assert_eq!(words(&pay(&mut trial, applied(channel, false, false), 1)), said);
    }
    assert_eq!(words(&pay(&mut trial(), requested("points", (1, false, true)), 1)), "returning points_redeemed 1000 refund_liability -1000");
}

#[test]
fn what_was_taken_off_a_stay_is_booked_once() {
    let paid = |minute, borne: &[(&str, i64)]| {
        let mut event = applied("etc", false, false);
        if let (PaymentEvent::Applied { discounts, .. }, OrderEvent::Priced { quote, stay, departure, .. }) = (&mut event, waived(minute, borne)) {
            *discounts = crate::payment::taken_off(&quote, stay.session, departure.left_at).map(Box::new);
        }
        event
    };
    let mut trial = trial();
    let first = "paid channel_receivable 1000 parking_revenue -1000 discounts_merchant/cinema 300 parking_revenue -300";
    assert_eq!(words(&pay(&mut trial, paid(10, &[("cinema", 300)]), 11)), first);
    // What paid it has failed, and something else pays it: it was taken off before.
    assert_eq!(words(&pay(&mut trial, paid(10, &[("cinema", 300)]), 12)), "paid channel_receivable 1000 parking_revenue -1000");
    // At the exit the whole stay is priced anew.
    assert_eq!(words(&say(&mut trial, waived(60, &[("cinema", 500)]), 61)), "discounted discounts_merchant/cinema 200 parking_revenue -200");
    assert_eq!(words(&say(&mut trial, waived(60, &[("cinema", 500)]), 62)), "noted");
    // An earlier price says less than a later one.
    assert_eq!(words(&pay(&mut trial, paid(10, &[("cinema", 300)]), 63)), "paid channel_receivable 1000 parking_revenue -1000");
    assert_eq!(
        words(&say(&mut trial, waived(70, &[("shop", 100)]), 71)),
        "discounted discounts_merchant/cinema -500 discounts_merchant/shop 100 parking_revenue 400"
    );
}

fn sums(trial: &Trial) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for (_, row) in trial.rows.iter().flatten() {
        for entry in &row.entries {
            *sums.entry(entry.account.as_str().to_owned()).or_default() += entry.debit - entry.credit;
        }
    }
    sums
}

#[test]
fn a_refund_ends_where_it_began() {
    for events in [
        vec![requested("wechat", (1, false, false)), refunded("wechat", 1_000, None, false)],
        vec![applied("wechat", false, false), requested("wechat", (1, false, true)), refunded("wechat", 1_000, None, false)],
        vec![
            applied("wechat", false, false),
            requested("wechat", (1, false, true)),
            refunded("wechat", 1, Some(1_000), false),
            refunded("wechat", 999, None, false),
        ],
        vec![
            applied("etc", false, true),
            PaymentEvent::PassedOver { bill: bill(), source: by("etc"), amount: AMOUNT, reason: RefundReason::Duplicate, applied: true },
        ],
        vec![applied("etc", false, true), PaymentEvent::Reversed { bill: bill(), source: by("etc"), amount: AMOUNT, applied: true }],
    ] {
        let mut trial = trial();
        for (minute, event) in (0..).zip(events) {
            pay(&mut trial, event, minute);
        }
        assert!(sums(&trial).values().all(|net| *net == 0), "{:?}", sums(&trial));
    }
}

#[test]
fn money_lies_under_the_local_day_on_which_it_moved() {
    // The trial begins at 08:00 in Shanghai.
    let paid = |channel_at: Option<i64>, recorded_at| {
        let mut event = applied("etc", false, false);
        if let PaymentEvent::Applied { paid_at, .. } = &mut event {
            *paid_at = channel_at.map(at);
        }
        let events = pay(&mut trial(), event, recorded_at);
        let [Event::Ledger(LedgerEvent::Posted { posting, day, at: Some(moved), operator, span: Some(span), .. })] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(operator.map(|operator| operator.to_string()).as_deref(), Some("operator"));
        assert_eq!(id::place(posting.as_str()).map(|place| place.day), Some(*day));
        assert!(span.from <= *moved && *moved < span.until && span.until.since(span.from) == 24 * HOUR);
        (day.0, moved.since(at(0)) / MINUTE)
    };
    let midnight = 16 * 60;
    assert_eq!(paid(None, midnight - 1), (261_123, midnight - 1));
    assert_eq!(paid(None, midnight), (261_124, midnight));
    assert_eq!(paid(Some(midnight - 1), midnight + 300), (261_123, midnight - 1));
    // A channel's clock that is ahead books nothing under a day that has not come.
    assert_eq!(paid(Some(midnight + 1), midnight - 1), (261_123, midnight - 1));
}

fn closed(events: &[Event]) -> Vec<&Statement> {
    events
        .iter()
        .filter_map(|event| if let Event::Ledger(LedgerEvent::WindowClosed { statement }) = event { Some(&**statement) } else { None })
        .collect()
}

#[test]
fn a_window_closes_after_its_end_and_the_last_posting() {
    let mut trial = trial();
    let late = trial.limits.lateness / MINUTE;
    let midnight = 16 * 60;
    pay(&mut trial, applied("wechat", false, false), 10);
    assert_eq!(trial.ticks(at(midnight + late - 1)), []);
    // It was paid before midnight, and its channel tells late.
    let mut event = applied("wechat", false, false);
    if let PaymentEvent::Applied { paid_at, amount, .. } = &mut event {
        (*paid_at, amount.minor) = (Some(at(midnight - 1)), 2_990);
    }
    pay(&mut trial, event.clone(), midnight + late - 1);
    assert_eq!(trial.ticks(at(midnight + late)), []);
    assert_eq!(trial.ticks(at(midnight + late + late - 2)), []);
    let events = trial.ticks(at(midnight + late + late - 1));
    let [statement] = closed(&events)[..] else { panic!("{events:?}") };
    assert_eq!((statement.number, statement.adjusts, statement.tally.rows, statement.tally.payments), (0, None, 2, 2));
    assert_eq!((statement.from, statement.until), (at(midnight - 24 * 60), at(midnight)));
    let Figures { gross, fees, net, .. } = statement.figures;
    assert_eq!((gross, fees, net), (3_990, 24, 3_966));
    let first = statement.statement;
    assert_eq!(trial.ticks(at(9 * 24 * 60)), [], "a window closes once");
    // What comes now is an adjustment.
    pay(&mut trial, event, 9 * 24 * 60);
    assert_eq!(trial.ticks(at(9 * 24 * 60 + late - 1)), []);
    let events = trial.ticks(at(9 * 24 * 60 + late));
    let [adjustment] = closed(&events)[..] else { panic!("{events:?}") };
    assert_eq!((adjustment.number, adjustment.adjusts, adjustment.tally.rows), (1, Some(first), 1));
    assert_ne!(adjustment.statement, first);
}

#[test]
fn a_window_whose_rows_differ_stops() {
    type Harm = fn(&mut Vec<(Moment, Posting)>);
    let harms: [(Harm, &str); 4] = [
        (|rows| drop(rows.pop()), "2 rows were posted since the last statement, and 1 are there"),
        (|rows| rows.push(rows[0].clone()), "2 rows were posted since the last statement, and 3 are there"),
        (|rows| rows[0].1.entries[0].debit += 1, "what was posted adds up to"),
        (|rows| rows[0].1.order = None, "the rows have the hash"),
    ];
    for (harm, said) in harms {
        let mut trial = trial();
        pay(&mut trial, applied("wechat", false, false), 1);
        pay(&mut trial, held("wechat", false), 2);
        let right = trial.rows.clone();
        harm(trial.rows.as_mut().expect("it is there"));
        let due = 24 * 60;
        let events = trial.ticks(at(due));
        let [Event::Ledger(LedgerEvent::WindowStopped { differs, .. })] = &events[..] else { panic!("{events:?}") };
        assert!(differs.starts_with(said), "{differs}");
        // It is looked at once a day, until it is mended.
        assert_eq!(trial.ticks(at(due + 24 * 60 - 1)), []);
        assert_eq!(trial.ticks(at(due + 24 * 60)).len(), 1);
        trial.rows = right;
        assert_eq!(closed(&trial.ticks(at(due + 48 * 60))).len(), 1);
        assert_eq!(trial.ticks(at(due + 900 * 60)), []);
    }
}

#[test]
fn a_window_waits_while_its_rows_cannot_be_read() {
    let mut trial = trial();
    pay(&mut trial, applied("wechat", false, false), 1);
    let rows = trial.rows.take();
    assert_eq!(trial.ticks(at(24 * 60)), []);
    trial.rows = rows;
    assert_eq!(closed(&trial.ticks(at(24 * 60 + 1))).len(), 1);
}

#[test]
fn what_the_first_releases_posted_is_summed_up_as_they_did() {
    let posting = id::derive(Kind::Posting, place(), &["l"]);
    let old = LedgerEvent::Posted {
        posting,
        order: Some(order("x")),
        lot: Some(small()),
        day: Day(261_123),
        province: Province(44),
        channel: "etc".into(),
        currency: Currency::Cny,
        entries: vec![schema::ledger::Entry::credit(schema::ledger::Account::ParkingRevenue, 7)],
        operator: None,
        at: None,
        movement: None,
        span: None,
        discounts: None,
    };
    let recorded = recorded(Event::Ledger(old), 1);
    let touched = touches(&recorded.event);
    let [_, Touch { key, born: false }] = touched[..] else { panic!("{touched:?}") };
    assert_eq!(key, Key::window(Province(44), small(), Day(261_123)));
    let window = evolve(&key, None, &recorded);
    assert_eq!(window, Entity::Window(Window { postings: 1, sums: BTreeMap::from([("Cny/ParkingRevenue".into(), (0, 7))]) }));
    assert_eq!((window.due_at(), window.is_open()), (None, false));
}
