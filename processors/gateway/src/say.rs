//! Speaking at a desk: what a person says, stored, and then what was decided of it.
//!
//! Invariants
//! 1. An answer is what was decided, and not that something was stored   (`tests::what_was_said_is_answered_once_it_is_decided`).
//! 2. What is not decided in time is told to be so, and may be asked for again   (`tests::what_is_not_decided_in_time_is_asked_for_again`).
//! 3. What was decided before is found, and not said a second time   (`tests::what_is_not_decided_in_time_is_asked_for_again`).
//!
//! Not here: who may say it (`api`), what becomes of it (`rules`).

use crate::{
    Error,
    error::Kind,
    follow::{Heard, Journals, Placed, placed},
};
use schema::{
    DeskEvent, Inbox, Journal, Moment, Partition, Recorded,
    wire::{self, Format},
};
use std::{collections::BTreeMap, time::Duration};
use streams::{From, Message};
use tokio::time::timeout;

/// Where people are heard.
#[derive(Clone)]
pub struct Desks {
    journals: Journals,
    store_wait: Duration,
    decided_wait: Duration,
}

/// What came of something that was said.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was decided to be these events, in order.
    Decided(Vec<Recorded>),
    /// It is stored, and not decided yet: it will be. Saying the same again gives the decision.
    Stored,
}

/// The message of something that is said.
pub fn message(event: &DeskEvent) -> Message {
    // The same again within minutes costs nothing; later it is found by its key.
    let headers = BTreeMap::from([(streams::MESSAGE_ID.to_owned(), event.key())]);
    Message { subject: event.subject(), payload: wire::encode(Format::Json, event).into(), headers }
}

/// The journal in which it is decided, and the partition.
pub const fn decided_in(event: &DeskEvent) -> Journal {
    event.says.decided_in()
}

impl Desks {
    /// Speaks at desks, and waits so long for the broker to store, and then for the decision.
    pub const fn new(journals: Journals, store_wait: Duration, decided_wait: Duration) -> Self {
        Self { journals, store_wait, decided_wait }
    }

    /// The broker's time: when something is said that is said now.
    pub async fn now(&self) -> Result<Moment, Error> {
        Ok(self.journals.bus().look("DESK").await?.now)
    }

    /// The place in its journal behind which the decision will stand of what has not been said yet.
    pub async fn place(&self, event: &DeskEvent) -> Result<u64, Error> {
        let head = self.journals.bus().head(decided_in(event), Partition::of_lot(event.lot.as_str())).await?;
        Ok(head.map_or(1, |head| head.sequence.saturating_add(1)))
    }

    /// Says it, and waits for what is decided. It must be sound ([`DeskEvent::checked`]), or nobody decides it.
    ///
    /// What may have been said before is given with the [`Desks::place`] from before that: if it was decided, that is given and it is not said again.
    pub async fn say(&self, event: &DeskEvent, before: Option<u64>) -> Result<Outcome, Error> {
        let (journal, partition, key) = (decided_in(event), Partition::of_lot(event.lot.as_str()), event.key());
        let mut followed = self.journals.follow(journal, partition).await?;
        let from = before.unwrap_or(followed.from);
        if from < followed.from
            && let Some(decided) = self.decided(journal, partition, from, &key).await?
        {
            return Ok(Outcome::Decided(decided));
        }
        let stored = timeout(self.store_wait, self.journals.bus().publish(message(event))).await;
        stored.map_err(|late| Error::caused(Kind::BrokerAway, format!("say {} at {}", event.says.kind(), event.lot), late))??;
        let heard = async {
            loop {
                match followed.next().await {
                    Heard::Events(page) => {
                        if let Some(decided) = of(&page, &key) {
                            return decided;
                        }
                    }
                    Heard::Missed => {
                        if let Ok(Some(decided)) = self.decided(journal, partition, from, &key).await {
                            return decided;
                        }
                    }
                }
            }
        };
        Ok(timeout(self.decided_wait, heard).await.map_or(Outcome::Stored, Outcome::Decided))
    }

    /// What was decided, from a place on to the journal's end.
    async fn decided(&self, journal: Journal, partition: Partition, from: u64, key: &str) -> Result<Option<Vec<Recorded>>, Error> {
        let stored = self.journals.bus().tail(journal, partition, From::Sequence(from)).await?;
        let page: Vec<Placed> = stored.iter().filter_map(|stored| placed(journal, stored)).collect();
        Ok(of(&page, key))
    }
}

/// The events that something said at a desk became: they are appended at once, so they stand in one page.
fn of(page: &[Placed], key: &str) -> Option<Vec<Recorded>> {
    let events = page.iter().map(|(_, recorded)| recorded).filter(|recorded| recorded.cause.inbox == Inbox::Desk && &*recorded.cause.event == key);
    let events: Vec<Recorded> = events.cloned().collect();
    (!events.is_empty()).then_some(events)
}

#[cfg(test)]
mod tests;
