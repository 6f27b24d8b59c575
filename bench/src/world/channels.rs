//! The payment channels: drivers pay what is asked, some of them too often, and refunds are made.
//!
//! Invariants
//! 1. The same refund is made once and answered the same way, however often it is asked for   (`world::tests::a_refund_call_that_comes_again_is_answered_alike`).
//! 2. A driver who is asked again pays with the same transactions   (`tests::the_same_order_is_paid_with_the_same_transactions`).
//!
//! Not here: what is paid at booths, alone or with other means (`booths`).

use crate::{city::Payer, simulators::Simulators};
use schema::{
    ChannelCall, ChannelEvent, ChannelFact, EntryNotice, Id, Moment, Money, RefundCall,
    channel::{Act, Outcome, Standing},
    id,
    journal::{Departure, OrderEvent},
    time::SECOND,
    wire::{self, Format},
};
use std::{collections::BTreeMap, sync::Arc};
use streams::Message;

/// The channels.
const CHANNELS: [&str; 3] = ["wechat", "alipay", "etc"];
/// One refund of so many is refused when it is asked for the first time.
const REFUSED_EVERY: u32 = 8;
/// One owner of so many does not let the channel deduct by the plate.
const BLOCKED_EVERY: u32 = 6;
/// One deduction of so many fails after it was accepted.
const FAILS_EVERY: u32 = 10;
/// The channel that holds what it is to bring, until it is told to take it.
pub const POINTS: &str = "points";
/// The channel of which nobody is called: a person takes it, and gives it back.
pub const CASH: &str = "cash";

/// What the channels say because of an order; nothing where nothing is to be paid.
pub fn pay(event: &OrderEvent, now: Moment) -> Vec<Message> {
    let OrderEvent::Priced { order, departure, quote, inside, .. } = event else { return Vec::new() };
    let due = quote.total;
    // Who pays inside does so soon after having asked, whatever time a driver takes here.
    let now = if inside.is_some() { departure.left_at.plus(20 * SECOND).min(now) } else { now };
    if due.is_zero() {
        return Vec::new();
    }
    if plate_pays(departure, *inside) {
        return Vec::new();
    }
    let first = CHANNELS[pick(*order, 3) as usize];
    let success = |channel: &str, number: u16, attempt: u16, amount: Money| succeeded(*order, channel, (number, attempt), amount, now);
    let debit = |fact: fn(Id, Arc<str>, Money) -> ChannelFact| {
        let fact = fact(id::attempt(*order, 1), transaction("etc", *order, 1), due);
        ChannelEvent { channel: "etc".into(), happened_at: now, fact }
    };
    let accepted = || debit(|attempt, transaction, amount| ChannelFact::Accepted { attempt, transaction, amount });
    let settled = || debit(|attempt, transaction, amount| ChannelFact::Succeeded { attempt, transaction, amount });
    let failed = || debit(|attempt, transaction, amount| ChannelFact::Failed { attempt, transaction, amount });
    let once = success(first, 1, 1, due);
    match payer(departure) {
        // What may still fail is for who leaves.
        Payer::Accepted | Payer::Beaten | Payer::Fails | Payer::SettlesDebt if inside.is_some() => vec![message(&once, 0)],
        Payer::Accepted => vec![message(&accepted(), 0), message(&settled(), 0)],
        Payer::Beaten => vec![message(&accepted(), 0), message(&success("wechat", 2, 2, due), 0), message(&settled(), 0)],
        Payer::Fails | Payer::SettlesDebt => vec![message(&accepted(), 0), message(&failed(), 0)],
        // Where there is no booth, one pays by phone.
        Payer::Once | Payer::Cash | Payer::Split => vec![message(&once, 0)],
        Payer::Twice => {
            let second = if first == "etc" { "wechat" } else { "etc" };
            vec![message(&once, 0), message(&success(second, 2, 2, due), 0)]
        }
        Payer::Repeated => vec![message(&once, 0), message(&once, 1), message(&success(first, 1, 2, due), 0)],
        Payer::WrongAmount => {
            let wrong = Money::new(due.minor + 100, due.currency);
            vec![message(&success(first, 3, 1, wrong), 0), message(&success(first, 1, 2, due), 0)]
        }
        Payer::Stray => {
            let attempt = format!("elsewhere{}", &order.as_str()[11..]).parse().expect("letters and digits are a token");
            let fact = ChannelFact::Succeeded { attempt, transaction: "stray".into(), amount: due };
            vec![message(&once, 0), message(&ChannelEvent { channel: first.into(), happened_at: now, fact }, 0)]
        }
    }
}

/// How a stay is paid. Who settles a debt pays like anybody where it comes after that.
pub fn payer(departure: &Departure) -> Payer {
    match Payer::of(&departure.event).unwrap_or(Payer::Once) {
        Payer::SettlesDebt if !departure.event.as_str().contains("-x-") => Payer::Once,
        payer => payer,
    }
}

/// Whether a driver waits for the channel to deduct by the plate. One who pays twice does not.
pub fn plate_pays(departure: &Departure, inside: Option<u32>) -> bool {
    departure.deducts.is_some() && inside.is_none() && Payer::of(&departure.event) != Some(Payer::Twice)
}

/// What the channel answers to a car's entry: some owners do not let it deduct.
pub fn note(notice: &EntryNotice, now: Moment) -> Message {
    let blocked = pick(notice.session, BLOCKED_EVERY) == 0;
    let parking = (!blocked).then(|| format!("P{}", notice.session).into());
    let fact = ChannelFact::Parked { session: notice.session, lot: notice.lot, parking };
    message(&ChannelEvent { channel: notice.channel.clone(), happened_at: now, fact }, 0)
}

/// What a channel answers to a call about an attempt: a fee that it deducts by the plate is accepted, and then settled, or fails. Points are held
/// until they are taken or let go; everything else can be paid until it is closed.
pub fn answer(call: &ChannelCall, now: Moment) -> Vec<Message> {
    let ChannelCall { attempt, act, tries, amount, channel, .. } = call;
    let said = |fact| message(&ChannelEvent { channel: channel.clone(), happened_at: now, fact }, 0);
    let outcome = match (act, call.deducts.is_some(), &**channel == POINTS) {
        (Act::Open, true, _) | (Act::Open | Act::Settle, false, true) => None,
        (Act::Open, false, false) => Some(Outcome::Opened),
        (Act::Close, false, _) => Some(Outcome::Closed),
        (Act::Query, false, _) => Some(Outcome::Unpaid),
        (Act::Settle, _, _) | (Act::Close | Act::Query, true, _) => Some(Outcome::Impossible),
    };
    if let Some(outcome) = outcome {
        return vec![said(ChannelFact::CallAnswered { attempt: *attempt, act: *act, tries: *tries, outcome, code: None })];
    }
    let (attempt, transaction, amount) = (*attempt, Arc::from(attempt.as_str()), *amount);
    let accepted = ChannelFact::Accepted { attempt, transaction, amount };
    let transaction = Arc::from(attempt.as_str());
    if call.deducts.is_none() {
        return vec![said(if *act == Act::Settle { ChannelFact::Succeeded { attempt, transaction, amount } } else { accepted })];
    }
    let fails = pick(attempt, FAILS_EVERY) == 0;
    let ended = if fails { ChannelFact::Failed { attempt, transaction, amount } } else { ChannelFact::Succeeded { attempt, transaction, amount } };
    vec![said(accepted), said(ended)]
}

/// What a channel says because what was opened is paid.
pub fn paid(channel: &str, attempt: Id, amount: Money, now: Moment) -> Message {
    let fact = ChannelFact::Succeeded { attempt, transaction: attempt.as_str().into(), amount };
    message(&ChannelEvent { channel: channel.into(), happened_at: now, fact }, 0)
}

/// What a channel says because a debt is paid.
pub fn pay_debt(order: Id, due: Money, now: Moment) -> Message {
    message(&succeeded(order, "wechat", (9, 9), due, now), 0)
}

fn transaction(channel: &str, order: Id, number: u16) -> Arc<str> {
    format!("{channel}-{}-{number}", &order.as_str()[11..]).into()
}

fn succeeded(order: Id, channel: &str, (number, attempt): (u16, u16), amount: Money, now: Moment) -> ChannelEvent {
    let fact = ChannelFact::Succeeded { attempt: id::attempt(order, attempt), transaction: transaction(channel, order, number), amount };
    ChannelEvent { channel: channel.into(), happened_at: now, fact }
}

/// The same by channels that are servers: they tell it themselves, and settle what they have accepted. Gives how many payments were made.
///
/// A driver who is asked again has paid already, and the channel takes nothing more of him.
pub fn pay_at(simulators: &Simulators, event: &OrderEvent, now: Moment) -> u64 {
    let OrderEvent::Priced { order, departure, quote, inside, .. } = event else { return 0 };
    let plate_pays = plate_pays(departure, *inside);
    let (due, inside) = (quote.total.minor, inside.is_some());
    if due == 0 || plate_pays {
        return 0;
    }
    let now = if inside { departure.left_at.plus(20 * SECOND).min(now) } else { now };
    let first = CHANNELS[pick(*order, 3) as usize];
    let pays = |channel: &str, attempt: Id, fen: i64| u64::from(simulators.pay(channel, attempt.as_str(), fen, now).is_ok());
    let attempt = |number| id::attempt(*order, number);
    let debits = |captures| u64::from(simulators.debit("etc", attempt(1).as_str(), due, now, captures).is_ok());
    match payer(departure) {
        Payer::Accepted | Payer::Beaten | Payer::Fails | Payer::SettlesDebt if inside => pays(first, attempt(1), due),
        Payer::Accepted => debits(true),
        Payer::Beaten => debits(true) + pays("wechat", attempt(2), due),
        Payer::Fails | Payer::SettlesDebt => debits(false),
        // Channels repeat what they tell of themselves. Where there is no booth, one pays by phone.
        Payer::Once | Payer::Repeated | Payer::Cash | Payer::Split => pays(first, attempt(1), due),
        Payer::Twice => pays(first, attempt(1), due) + pays(if first == "etc" { "wechat" } else { "etc" }, attempt(2), due),
        Payer::WrongAmount => pays(first, attempt(1), due + 100) + pays(first, attempt(2), due),
        Payer::Stray => {
            let stray = format!("elsewhere{}", &order.as_str()[11..]).parse().expect("letters and digits are a token");
            pays(first, attempt(1), due) + pays(first, stray, due)
        }
    }
}

/// The same of a debt.
pub fn pay_debt_at(simulators: &Simulators, order: Id, due: Money, now: Moment) -> u64 {
    u64::from(simulators.pay("wechat", id::attempt(order, 9).as_str(), due.minor, now).is_ok())
}

/// What a channel answers to a refund call, and whether the money went back. Of cash nobody is called: a person gives it back.
pub fn refund(call: &RefundCall, now: Moment) -> (Message, bool) {
    let is_cash = &*call.channel == CASH;
    // One of the refused was never heard of, so that asking about it finds nothing.
    let refused = pick(call.refund, REFUSED_EVERY) == 0;
    let succeeded = !is_cash && (!refused || (call.tries > 1 && !call.asks));
    let standing = if is_cash { Some(Standing::Abnormal) } else { (refused && call.asks).then_some(Standing::NotFound) };
    let fact = ChannelFact::RefundAnswered { refund: call.refund, order: call.order, succeeded, tries: call.tries, standing };
    (message(&ChannelEvent { channel: call.channel.clone(), happened_at: now, fact }, 0), succeeded)
}

/// A number below `most` that an id determines.
pub fn pick(id: Id, most: u32) -> u32 {
    id.as_str().bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % most
}

fn message(event: &ChannelEvent, copy: u8) -> Message {
    let subject = event.subject().unwrap_or_else(|| format!("CHANNEL.0.{}.{}", event.channel, event.kind()));
    let content_type = Format::MessagePack.content_type();
    let id = format!("{}-{copy}", event.key());
    let headers = BTreeMap::from([(wire::CONTENT_TYPE.into(), content_type.into()), ("Nats-Msg-Id".into(), id)]);
    Message { subject, payload: wire::encode(Format::MessagePack, event).into(), headers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{
        Credential, Currency,
        gate::Colour,
        id::Province,
        journal::{Quote, Stay},
    };

    fn priced(payer: &str) -> OrderEvent {
        let id = |text: &str| text.parse().expect("a token");
        let credential = Credential::plate("粤B12345", Colour::Blue);
        let stay = Stay {
            session: id("S4426112307SE85PbTwoLFzFY9q"),
            lot: "lot-1".parse().expect("a token"),
            province: Province(44),
            credential,
            lane: "in".parse().expect("a token"),
            entered_at: Moment(0),
            class: schema::VehicleClass::Small,
            energy: schema::Energy::Fuel,
            sharers: vec![],
        };
        let departure = Departure {
            lane: stay.lane,
            left_at: Moment(0),
            event: format!("7-x-plain-{payer}").parse().expect("a token"),
            local: false,
            deducts: None,
        };
        let quote = Quote { rate_table: "t".into(), version: 1, minutes: 60, lines: Vec::new(), total: Money::new(500, Currency::Cny) };
        OrderEvent::Priced { order: id("O4426112307SE85PbTwoLFzFY9q"), stay, departure, quote, expires_at: Moment(0), inside: None }
    }

    #[test]
    fn the_same_order_is_paid_with_the_same_transactions() {
        for (payer, messages) in [
            ("once", 1),
            ("twice", 2),
            ("repeated", 3),
            ("wrong_amount", 2),
            ("stray", 2),
            ("accepted", 2),
            ("beaten", 3),
            ("fails", 2),
            ("cash", 1),
            ("split", 1),
            ("settles_debt", 2),
        ] {
            let [one, again] = [Moment(5), Moment(9)].map(|now| pay(&priced(payer), now));
            assert_eq!(one.len(), messages, "{payer}");
            let ids = |messages: &[Message]| messages.iter().map(|message| message.headers["Nats-Msg-Id"].clone()).collect::<Vec<_>>();
            assert_eq!(ids(&one), ids(&again), "{payer}");
        }
    }

    #[test]
    fn points_are_held_and_taken_and_what_is_opened_waits_for_its_driver() {
        let call = |channel: &str, act| ChannelCall {
            attempt: id::attempt("O4426112307SE85PbTwoLFzFY9q".parse().expect("a token"), 1),
            channel: channel.into(),
            act,
            amount: Money::new(500, Currency::Cny),
            until: Moment(9),
            tries: 1,
            lot: None,
            deducts: None,
            by_plate: false,
        };
        for (channel, act, kind) in [
            ("points", Act::Open, "accepted"),
            ("points", Act::Settle, "succeeded"),
            ("points", Act::Close, "call_answered"),
            ("wechat", Act::Open, "call_answered"),
            ("wechat", Act::Query, "call_answered"),
        ] {
            let told = answer(&call(channel, act), Moment(5));
            assert_eq!(told.len(), 1, "{channel} {act:?}");
            assert!(told[0].subject.ends_with(&format!(".{channel}.{kind}")), "{}", told[0].subject);
        }
    }

    #[test]
    fn cash_goes_back_by_hand_alone() {
        let call = |channel: &str| RefundCall {
            refund: "R4426112307SE85PbTwoLFzFY11".parse().expect("a token"),
            order: "O4426112307SE85PbTwoLFzFY9q".parse().expect("a token"),
            channel: channel.into(),
            transaction: "1".into(),
            amount: Money::new(500, Currency::Cny),
            tries: 2,
            captured: None,
            asks: false,
        };
        assert_eq!(["wechat", CASH].map(|channel| refund(&call(channel), Moment(5)).1), [true, false]);
    }
}
