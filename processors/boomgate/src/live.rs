//! What a person sees while a system runs: cars inside and revenue, followed from the journals.

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
            Event::Session(SessionEvent::Closed { .. } | SessionEvent::Superseded { .. }) => self.inside = self.inside.saturating_sub(1),
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
