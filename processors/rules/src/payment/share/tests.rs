use super::*;
use proptest::prelude::*;
use schema::{
    Currency, Day, Moment,
    entity::{Fate, Receipt, Refund},
    journal::{RefundReason, RefundState},
};
use std::collections::BTreeMap;

fn cny(minor: i64) -> Money {
    Money::new(minor, Currency::Cny)
}

/// A payment by these means; of each a part may have gone back.
fn paid(means: &[(&str, i64, i64)]) -> Payment {
    let order = "O4426112307SE85PbTwoLFzFY9q".parse().expect("an id");
    let receipt = |(channel, minor, back): &(&str, i64, i64)| {
        let source = Source { channel: (*channel).into(), transaction: "1".into() };
        let (amount, reason, state) = (cny(*back), RefundReason::Ordered, RefundState::Succeeded);
        let back = Refund { refund: order, amount, reason, state, tries: 1, due_at: None, done_at: None, alone: false };
        let refunds = (amount.minor > 0).then_some(back).into_iter().collect();
        let (amount, came_at, fate) = (cny(*minor), Moment(0), Fate::Applied);
        (Payment::receipt_key(&source), Receipt { source, amount, came_at, fate, paid_at: None, provisional: false, choice: None, refunds })
    };
    let (wanted, attempts) = (BTreeMap::new(), BTreeMap::new());
    let receipts = means.iter().map(receipt).collect();
    Payment { order, lot: None, day: Day(0), due: None, receipts, withdrawn: false, imported: None, wanted, choice: None, attempts, discounts: None }
}

#[test]
fn a_refund_is_shared_by_the_operators_rule() {
    use RefundShares::{MoneyFirst, ProRata};
    let means = &[("points", 200, 0), ("wechat", 700, 0), ("cash", 100, 0)][..];
    for (means, minor, shares, expected) in [
        (means, 50, MoneyFirst, Some("cash 50")),
        (means, 300, MoneyFirst, Some("cash 100 wechat 200")),
        (means, 900, MoneyFirst, Some("cash 100 wechat 700 points 100")),
        (means, 1_000, MoneyFirst, Some("cash 100 wechat 700 points 200")),
        (means, 1_001, MoneyFirst, None),
        (means, 0, MoneyFirst, None),
        (means, 10, ProRata, Some("cash 1 wechat 7 points 2")),
        // 0.5, 3.5 and 1.0: the two halves stand equal, and cash comes first.
        (means, 5, ProRata, Some("cash 1 wechat 3 points 1")),
        (means, 1, ProRata, Some("wechat 1")),
        (means, 1_000, ProRata, Some("cash 100 wechat 700 points 200")),
        (&[("points", 200, 150), ("wechat", 700, 650)], 100, ProRata, Some("wechat 50 points 50")),
        (&[("points", 200, 200), ("wechat", 700, 0)], 300, MoneyFirst, Some("wechat 300")),
    ] {
        let parts = share(&paid(means), cny(minor), shares);
        let told = parts.map(|parts| parts.iter().map(|(source, part)| format!("{} {}", source.channel, part.minor)).collect::<Vec<_>>().join(" "));
        assert_eq!(told.as_deref(), expected, "{minor} {shares:?}");
    }
}

proptest! {
    #[test]
    fn laws(amounts in prop::collection::vec((1..i64::MAX / 8, 0..2_i64), 1..4), part in 1..1_000_u32, rata in any::<bool>()) {
        let channels = ["wechat", "points", "cash"];
        let means: Vec<_> = amounts.iter().zip(channels).map(|((minor, back), channel)| (channel, *minor, minor / 2 * back)).collect();
        let payment = paid(&means);
        let whole: i64 = payment.payers().map(Receipt::applied).sum();
        let minor = i64::try_from(i128::from(whole) * i128::from(part) / 1_000).expect("a part of it").max(1);
        let shares = if rata { RefundShares::ProRata } else { RefundShares::MoneyFirst };
        let parts = share(&payment, cny(minor), shares).expect("it is no more than was paid");
        prop_assert_eq!(parts.iter().map(|(_, part)| part.minor).sum::<i64>(), minor);
        for (source, part) in parts {
            let left = payment.receipts[&Payment::receipt_key(&source)].applied();
            prop_assert!(0 < part.minor && part.minor <= left, "{part} of {left}");
        }
    }
}
