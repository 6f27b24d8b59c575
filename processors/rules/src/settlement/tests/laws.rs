//! What holds of the ledger whatever comes, in whatever order.

use super::*;

/// Something that may happen: a movement of money, or of what is owed, told at a minute and moved so many minutes before.
#[derive(Clone, Debug)]
struct Happens {
    what: u8,
    channel: u8,
    minor: i64,
    minute: i64,
    before: i64,
}

fn happens() -> impl Strategy<Value = Happens> {
    (0..18_u8, 0..4_u8, 1..5_000_i64, 0..4_000_i64, 0..3_000_i64).prop_map(|(what, channel, minor, minute, before)| Happens {
        what,
        channel,
        minor,
        minute,
        before,
    })
}

fn event(Happens { what, channel, minor, minute, before }: &Happens) -> Event {
    let channel = ["wechat", "etc", "cash", "points"][usize::from(*channel)];
    let mut event = match what {
        0 => applied(channel, false, false),
        1 => applied(channel, true, false),
        2 => applied(channel, false, true),
        3 => held(channel, false),
        4 => PaymentEvent::Settled { bill: bill(), source: by(channel), amount: AMOUNT },
        5 => PaymentEvent::Reversed { bill: bill(), source: by(channel), amount: AMOUNT, applied: true },
        6 => requested(channel, (1, false, true)),
        7 => requested(channel, (1, false, false)),
        8 => refunded(channel, *minor, Some(minor + before), false),
        9 => refunded(channel, *minor, None, true),
        10 => counted(*minor),
        11 => return Event::Order(owed(true)),
        13 => return Event::Recon(opened("wechat", minor - 2_500)),
        14 => return Event::Recon(settled("wechat", minor - 2_500, if before % 2 == 0 { Closing::WrittenOff } else { Closing::Explained })),
        16 => return Event::Recon(paid_out(channel, *minor, at(minute - before))),
        17 => return Event::Recon(undone("wechat", minor - 2_500)),
        12 => return Event::Order(OrderEvent::Cleared { order: order("x"), lot: small(), province: Province(44), amount: AMOUNT }),
        _ => return Event::Order(waived(*minute, &[("cinema", *minor), ("operator", *before)])),
    };
    match &mut event {
        PaymentEvent::Applied { amount, paid_at, .. } | PaymentEvent::Held { amount, paid_at, .. } => {
            (amount.minor, *paid_at) = (*minor, Some(at(minute - before)));
        }
        PaymentEvent::Settled { amount, .. } | PaymentEvent::Reversed { amount, .. } | PaymentEvent::RefundRequested { amount, .. } => {
            amount.minor = *minor;
        }
        _ => {}
    }
    Event::Payment(event)
}

fn tell(trial: &mut Trial, happens: &Happens, number: usize) -> Vec<Event> {
    let event = event(happens);
    let inbox = match event {
        Event::Order(_) => Inbox::Order,
        Event::Recon(_) => Inbox::Recon,
        _ => Inbox::Payment,
    };
    let moment = at(happens.minute).plus(i64::try_from(number).unwrap_or(0));
    trial.journal(inbox, &Recorded { at: moment, ..recorded(event, 0) })
}

/// All statements of each window, in their order, as they were recorded.
fn statements(trial: &Trial) -> BTreeMap<Key, Vec<Statement>> {
    let mut all: BTreeMap<Key, Vec<Statement>> = BTreeMap::new();
    for recorded in &trial.journal {
        if let Event::Ledger(LedgerEvent::WindowClosed { statement }) = &recorded.event {
            all.entry(statement.window().key()).or_default().push((**statement).clone());
        }
    }
    all
}

fn added(all: &[Statement]) -> (u64, BTreeMap<String, (i64, i64)>) {
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (name, (debit, credit)) in all.iter().flat_map(|statement| &statement.tally.sums) {
        let sum = sums.entry(name.clone()).or_default();
        *sum = (sum.0 + debit, sum.1 + credit);
    }
    (all.iter().map(|statement| statement.tally.rows).sum(), sums)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_posting_balances(steps in prop::collection::vec(happens(), 1..30), rate in 0..1_000_000_u32) {
        let mut trial = trial();
        trial.limits.fees.insert("wechat".into(), rate);
        for (number, step) in steps.iter().enumerate() {
            for event in tell(&mut trial, step, number) {
                let Event::Ledger(LedgerEvent::Posted { entries, .. }) = event else { continue };
                let (debits, credits) = entries.iter().fold((0, 0), |sums, entry| (sums.0 + entry.debit, sums.1 + entry.credit));
                prop_assert!(debits == credits && debits > 0, "{step:?}: {entries:?}");
                prop_assert!(entries.iter().all(|entry| (entry.debit > 0) != (entry.credit > 0)), "{entries:?}");
            }
        }
    }

    #[test]
    fn statement_and_adjustments_are_all_rows(
        mut steps in prop::collection::vec(happens(), 1..40),
        ticks in prop::collection::vec(0..5_000_i64, 0..6),
        hourly in any::<bool>(),
    ) {
        // Of two prices of a stay the later one counts, so these keep their order.
        let (mut prices, mut money): (Vec<Happens>, Vec<Happens>) = std::mem::take(&mut steps).into_iter().partition(|step| step.what > 12);
        prices.sort_by_key(|step| (step.minute, step.minor, step.before));
        let mut totals = Vec::new();
        for _ in 0..2 {
            money.reverse();
            let mut trial = trial();
            trial.limits.window = if hourly { Length::Hour } else { Length::Day };
            let each = money.len().checked_div(ticks.len()).unwrap_or(0).max(1);
            let mut ticking = ticks.clone();
            for (number, step) in money.iter().enumerate() {
                tell(&mut trial, step, number);
                if number.is_multiple_of(each) && let Some(tick) = ticking.pop() {
                    trial.ticks(at(tick));
                }
            }
            for (number, step) in prices.iter().enumerate() {
                tell(&mut trial, step, money.len() + number);
            }
            trial.ticks(at(100_000));
            prop_assert_eq!(trial.ticks(at(200_000)), vec![], "a window closes once");
            prop_assert!(trial.entities.values().all(|entity| entity.due_at().is_none()));
            let mut rows: BTreeMap<Key, Vec<Posting>> = BTreeMap::new();
            for recorded in &trial.journal {
                let Event::Ledger(event @ LedgerEvent::Posted { .. }) = &recorded.event else { continue };
                rows.entry(event.window().expect("it has one").key()).or_default().extend(row(event));
            }
            let statements = statements(&trial);
            prop_assert_eq!(rows.keys().collect::<Vec<_>>(), statements.keys().collect::<Vec<_>>());
            for (window, rows) in &rows {
                let all = &statements[window];
                let mut tally = Tally::default();
                for row in rows {
                    tally::add(&mut tally, row);
                }
                prop_assert_eq!(added(all), (tally.rows, tally.sums.clone()));
                for (number, statement) in all.iter().enumerate() {
                    prop_assert_eq!(usize::try_from(statement.number).ok(), Some(number));
                    prop_assert_eq!(statement.adjusts, number.checked_sub(1).map(|before| all[before].statement));
                    let Figures { gross, discounts, points, refunded, fees, short, found, net } = &statement.figures;
                    prop_assert_eq!(gross - discounts.values().sum::<i64>() - points - refunded - fees - short + found, *net);
                }
                let hash = rows.iter().fold(String::new(), |hash, row| row.hash_after(&hash));
                prop_assert_eq!(&*all.last().expect("there is one").hash, hash.as_str());
            }
            totals.push(rows.keys().map(|window| added(&statements[window])).collect::<Vec<_>>());
        }
        prop_assert_eq!(&totals[0], &totals[1], "whatever the order");
    }
}
