//! An entity as it is now: its row, and what stands in the journal behind it.
//!
//! Rows are saved behind. So a look reads the partition's mark, then the tail behind it, then the row, and folds what the row does not have by the
//! rules' own fold.
//!
//! Invariants
//! 1. What was decided is seen at once, saved or not   (`tests::what_is_not_saved_yet_is_seen`).
//! 2. A row that has an event is not given it again   (`tests::what_is_saved_is_not_folded_twice`).
//! 3. What cannot be read is unknown, and not absent   (`tests::a_store_that_is_away_is_no_absence`).
//!
//! Not here: what can be asked for by many things at once (`api::read`), what happened before (`history`).

use crate::{
    Error,
    error::Kind,
    follow::{Placed, placed},
};
use rules::Rules;
use schema::{
    Entity, Id, Journal, Key, LotId, Table,
    desk::ShiftName,
    entity::{Order, Payment, Session, Shift},
    exception::Exception,
};
use std::sync::Arc;
use store::Store;
use streams::{Bus, From};

/// Looks at entities.
#[derive(Clone)]
pub struct View {
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
}

/// What writes a journal.
fn writer(journal: Journal) -> &'static Rules {
    rules::ALL.into_iter().find(|rules| rules.journal == journal).expect("each journal has one writer")
}

impl View {
    /// Looks at what these have.
    pub const fn new(bus: Arc<dyn Bus>, store: Arc<dyn Store>) -> Self {
        Self { bus, store }
    }

    /// The store, for what is asked of many rows at once.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The broker, for what happened before.
    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    /// A bill; none where there is no such order.
    pub async fn order(&self, order: Id) -> Result<Option<Order>, Error> {
        match self.of(Table::Orders, order).await? {
            Some(Entity::Order(order)) => Ok(Some(*order)),
            _ => Ok(None),
        }
    }

    /// The money of an order; none where none was expected and none came.
    pub async fn payment(&self, order: Id) -> Result<Option<Payment>, Error> {
        match self.of(Table::Payments, order).await? {
            Some(Entity::Payment(payment)) => Ok(Some(*payment)),
            _ => Ok(None),
        }
    }

    /// A stay; none where there is no such session.
    pub async fn session(&self, session: Id) -> Result<Option<Session>, Error> {
        match self.of(Table::Sessions, session).await? {
            Some(Entity::Session(session)) => Ok(Some(*session)),
            _ => Ok(None),
        }
    }

    /// What does not match a statement; none where there is no such exception.
    pub async fn exception(&self, exception: Id) -> Result<Option<Exception>, Error> {
        match self.of(Table::Exceptions, exception).await? {
            Some(Entity::Exception(exception)) => Ok(Some(*exception)),
            _ => Ok(None),
        }
    }

    /// A cashier's shift; none where none of that name was begun at the lot.
    pub async fn shift(&self, lot: LotId, name: &ShiftName) -> Result<Option<Shift>, Error> {
        match self.entity(Key::shift(lot, name)).await? {
            Some(Entity::Shift(shift)) => Ok(Some(*shift)),
            _ => Ok(None),
        }
    }

    async fn of(&self, table: Table, id: Id) -> Result<Option<Entity>, Error> {
        match Key::of(table, id) {
            Some(key) => self.entity(key).await,
            None => Ok(None),
        }
    }

    /// An entity as it is now.
    pub async fn entity(&self, key: Key) -> Result<Option<Entity>, Error> {
        let (journal, partition) = (key.table.journal(), key.bucket);
        let rules = writer(journal);
        // In this order: what is saved after the tail was read is newer than it, and then nothing of the tail is folded.
        let mark = self.store.marks(journal, vec![partition]).await?.into_iter().flatten().next();
        let from = From::Sequence(mark.map_or(1, |mark| mark.sequence));
        let tail = self.bus.tail(journal, partition, from).await?;
        let row = self.store.load(vec![key]).await?.into_iter().flatten().next();
        let at = row.as_ref().map(|row| row.at);
        let mut entity = row.map(|row| row.entity);
        for (_, recorded) in tail.iter().filter_map(|stored| placed(journal, stored)).filter(|(_, recorded)| at.is_none_or(|at| recorded.at > at)) {
            let Some(touch) = (rules.touches)(&recorded.event).into_iter().find(|touch| touch.key == key) else { continue };
            if entity.is_none() && !touch.born {
                return Err(Error::new(Kind::StoreAway, format!("read {} {}", key.table.name(), key.id)));
            }
            entity = Some((rules.evolve)(&key, entity, &recorded));
        }
        Ok(entity)
    }

    /// The events of a journal's partition from a sequence on that `wanted` picks, of at most `most` that are looked at; and from where on there are
    /// more to look at, if there are.
    pub async fn events(
        &self,
        (journal, partition): (Journal, schema::Partition),
        from: u64,
        most: usize,
        wanted: impl Fn(&Placed) -> bool,
    ) -> Result<(Vec<Placed>, Option<u64>), Error> {
        let stored = self.bus.scan_partition(journal.stream(), partition, from, most).await?;
        let more = (stored.len() >= most).then(|| stored.last().map(|last| last.sequence.saturating_add(1))).flatten();
        Ok((stored.iter().filter_map(|stored| placed(journal, stored)).filter(wanted).collect(), more))
    }
}

#[cfg(test)]
mod tests;
