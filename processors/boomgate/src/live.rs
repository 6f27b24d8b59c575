//! What a person sees while a system runs: cars inside and revenue, followed from the journals.
//!
//! Invariants
//! 1. A car counts once as it comes in and once as it goes, however its stay ends   (`tests::a_car_counts_out_once`).

use schema::{
    Event, Journal,
    journal::{OrderEvent, SessionEvent},
    wire,
};
use std::collections::BTreeMap;
use streams::Bus;

/// How many messages are read at once.
const SCAN_MOST: usize = 2_000;

/// The running sums.
#[derive(Debug, Default)]
pub struct Live {
    next: BTreeMap<&'static str, u64>,
    /// Cars inside.
    pub inside: i64,
    revenue: BTreeMap<String, i64>,
}

impl Live {
    /// Reads what came since; what cannot be read now is read the next time.
    pub async fn follow(&mut self, bus: &dyn Bus) {
        for journal in [Journal::Session, Journal::Order] {
            loop {
                let next = self.next.entry(journal.stream()).or_insert(1);
                let Ok(stored) = bus.scan(journal.stream(), *next, SCAN_MOST).await else { break };
                let Some(last) = stored.last() else { break };
                *next = last.sequence.saturating_add(1);
                for message in &stored {
                    if let Ok(recorded) = wire::decode_recorded(journal, crate::input::content_type(message), &message.payload) {
                        self.take(&recorded.event);
                    }
                }
            }
        }
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Session(SessionEvent::Opened { .. }) => self.inside = self.inside.saturating_add(1),
            // A stay that is settled after its car has gone was counted out then.
            Event::Session(
                SessionEvent::Closed { gone: false, .. } | SessionEvent::Superseded { .. } | SessionEvent::Vacated { .. } | SessionEvent::Gone { .. },
            ) => self.inside = self.inside.saturating_sub(1),
            Event::Order(OrderEvent::Paid { amount, .. }) => {
                let sum = self.revenue.entry(format!("{:?}", amount.currency)).or_default();
                *sum = sum.saturating_add(amount.minor);
            }
            _ => {}
        }
    }

    /// Revenue by currency, in words.
    pub fn revenue(&self) -> String {
        let sums: Vec<String> = self.revenue.iter().map(|(currency, minor)| format!("{}.{:02} {currency}", minor / 100, minor % 100)).collect();
        if sums.is_empty() { "0".to_owned() } else { sums.join(" ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{START, gate, partition};
    use schema::{
        Currency, GateKind, Money,
        id::{self, Kind, Place, Province},
        journal::{Departure, Marks, Stay},
        time::Day,
    };

    fn stay() -> Stay {
        let came = gate(GateKind::Entry, "A", 0);
        let place = Place { province: Province(44), day: Day(261_123), partition: partition() };
        Stay {
            session: id::derive(Kind::Session, place, &["A"]),
            lot: came.lot,
            province: place.province,
            credential: came.credential,
            lane: came.lane,
            entered_at: came.seen_at,
            class: schema::VehicleClass::default(),
            energy: schema::Energy::default(),
            sharers: Vec::new(),
        }
    }

    fn departure() -> Departure {
        let left = gate(GateKind::Exit, "A", 90);
        Departure { lane: left.lane, left_at: left.seen_at, event: left.id, local: false, deducts: None }
    }

    fn opened() -> SessionEvent {
        let (event, marks) = (gate(GateKind::Entry, "A", 0).id, Box::new(Marks::default()));
        SessionEvent::Opened { stay: stay(), event, expires_at: START, releases: None, marks, made_of: None, passes_by: None }
    }

    fn closed(gone: bool) -> SessionEvent {
        let (order, paid) = (stay().session, Money::new(0, Currency::Cny));
        SessionEvent::Closed { stay: stay(), departure: departure(), order, paid, expires_at: START, gone, same_read_until: None }
    }

    #[test]
    fn a_car_counts_out_once() {
        let gone = || SessionEvent::Gone { stay: stay(), departure: departure(), asked: None, same_read_until: None };
        let superseded = SessionEvent::Superseded { stay: stay(), by: stay().session, flagged: false };
        for (what, events, inside) in [
            ("it is inside", vec![opened()], 1),
            ("it has left", vec![opened(), closed(false)], 0),
            ("it comes in again", vec![opened(), superseded, opened()], 1),
            ("it has not crossed the lane", vec![opened(), SessionEvent::Vacated { stay: stay() }], 0),
            ("it has gone unpaid", vec![opened(), gone()], 0),
            ("it has gone and pays later", vec![opened(), gone(), closed(true)], 0),
        ] {
            let mut live = Live::default();
            for event in events {
                live.take(&Event::Session(event));
            }
            assert_eq!(live.inside, inside, "{what}");
        }
    }
}
