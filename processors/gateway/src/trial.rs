//! A place to try the doors in tests: the in-memory bus, one lot, and a hand that decides as a processor would.

use schema::{
    Cause, Day, DeskEvent, Event, Id, Inbox, Journal, LotId, Moment, Money, Partition, Recorded,
    desk::Says,
    id::{self, Kind, Place, Province},
    journal::{Bill, PaymentEvent, Source},
    money::Currency,
    wire::{self, Format},
};
use streams::{Append, Bus, Message, subject};

/// When every trial begins: 2026-11-23T02:00:00Z.
pub const START: Moment = Moment(1_795_399_200_000_000);

/// The lot.
pub fn lot() -> LotId {
    "small".parse().expect("a name")
}

/// The partition of the lot.
pub fn partition() -> Partition {
    Partition::of_lot("small")
}

/// An order of the lot.
pub fn order(number: u32) -> Id {
    id::derive(Kind::Order, Place { province: Province(44), day: Day(261_123), partition: partition() }, &["order", &number.to_string()])
}

/// Five yuan.
pub const FIVE: Money = Money::new(500, Currency::Cny);

/// A person says that an order is to be paid back.
pub fn refund(id: &str) -> DeskEvent {
    let says = Says::RefundShared { order: order(1), amount: FIVE };
    DeskEvent { id: id.parse().expect("a name"), lot: lot(), said_at: START, author: "lin".parse().expect("a name"), reason: "double".into(), says }
}

fn bill() -> Bill {
    Bill { order: order(1), lot: Some(lot()), day: Day(261_123) }
}

/// The order waits for money.
pub fn expected() -> PaymentEvent {
    PaymentEvent::Expected { bill: bill(), due: FIVE, discounts: None }
}

/// The order is paid.
pub fn applied() -> PaymentEvent {
    let source = Source { channel: "wechat".into(), transaction: "T1".into() };
    PaymentEvent::Applied {
        bill: bill(),
        source,
        amount: FIVE,
        held: false,
        paid_at: None,
        provisional: false,
        part: None,
        discounts: None,
        reason: None,
    }
}

/// Appends events as `payment` would, each some microseconds after the start; gives the last one's sequence.
pub async fn append(bus: &dyn Bus, events: Vec<(i64, &str, PaymentEvent)>) -> u64 {
    let (journal, partition) = (Journal::Payment, partition());
    let message = |(index, (after, key, event)): (usize, (i64, &str, PaymentEvent))| {
        let at = START.plus(after);
        let cause = Cause { inbox: Inbox::Desk, sequence: 1, event: key.into(), time: at, index: u16::try_from(index).expect("few") };
        let recorded = Recorded { at, cause, event: Event::Payment(event) };
        let subject = subject::journal_subject(journal, Province(44), partition, recorded.event.kind());
        let headers = [(wire::CONTENT_TYPE.to_owned(), Format::Json.content_type().to_owned())].into();
        Message { subject, payload: wire::encode(Format::Json, &recorded).into(), headers }
    };
    let expected = bus.head(journal, partition).await.expect("the bus is in memory").map_or(0, |head| head.sequence);
    let messages = events.into_iter().enumerate().map(message).collect();
    bus.append(Append { journal, partition, expected, messages }).await.expect("nobody else appends").last
}
