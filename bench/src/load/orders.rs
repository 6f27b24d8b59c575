//! Orders that wait for their money: cars that stand at an exit and know their price.
//!
//! Invariants
//! 1. Nobody pays an order but who prepared it: as many are ready as were asked for, each once   (`Orders::ready`).
//!
//! Not here: how they are paid (`arbitration`, `payment`).

use super::plan::seen;
use anyhow::{Context, Result, ensure};
use bench::{
    World,
    city::{Action, Step},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution, Zipf};
use schema::{
    Credential, Event, EventId, Id, Journal, Money,
    gate::Colour,
    journal::OrderEvent,
    reference::{Declared, LotDeclared},
    time::{MINUTE, SECOND},
    wire,
};
use std::{sync::Arc, time::Duration};
use streams::Bus;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

/// How many cars may be on their way to their exit at once: enough to keep the system busy, too few to make it late.
const UNDER_WAY: usize = 256;
/// How long a price may take.
const PRICED: Duration = Duration::from_secs(120);
/// How many orders are read at once.
const SCAN_MOST: usize = 1_000;

/// An order with its price.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its id.
    pub order: Id,
    /// Its price.
    pub due: Money,
    /// What its lane saw.
    pub event: EventId,
}

/// Makes orders.
pub struct Orders {
    bus: Arc<dyn Bus>,
    dice: ChaCha12Rng,
    visit: u64,
    next: u64,
    made: u64,
}

impl Orders {
    /// Reads prices from this bus; the first car is the one after `visit`.
    pub fn new(bus: Arc<dyn Bus>, seed: u64, visit: u64) -> Self {
        Self { bus, dice: ChaCha12Rng::seed_from_u64(seed), visit, next: 1, made: 0 }
    }

    /// How many there have been.
    pub const fn made(&self) -> u64 {
        self.made
    }

    /// Brings so many cars to an exit and waits until each has its price.
    pub async fn ready(&mut self, world: &Arc<World>, declared: &Declared, count: usize) -> Result<Vec<Ready>> {
        let room = Arc::new(Semaphore::new(UNDER_WAY));
        let ranks = Zipf::new(f64::from(u32::try_from(declared.lots.len()).unwrap_or(u32::MAX)), super::plan::ZIPF).context("there are lots")?;
        let mut sends = JoinSet::new();
        for _ in 0..count {
            self.visit += 1;
            let rank = usize::try_from(super::plan::whole(ranks.sample(&mut self.dice))).unwrap_or(1);
            let lot = &declared.lots[rank.clamp(1, declared.lots.len()) - 1];
            let [entry, exit] = self.visit(world, lot);
            let permit = room.clone().acquire_owned().await.context("nobody closes it")?;
            while sends.try_join_next().is_some() {}
            let (entry, exit) = (world.fire(entry, Instant::now()), world.fire(exit, Instant::now()));
            sends.spawn(async move {
                tokio::join!(entry, exit);
                drop(permit);
            });
        }
        while sends.join_next().await.is_some() {}
        let mut ready = Vec::with_capacity(count);
        let end = Instant::now() + PRICED;
        while ready.len() < count {
            ensure!(Instant::now() < end, "{} of {count} orders have a price after {} s", ready.len(), PRICED.as_secs());
            let fresh = self.bus.scan(Journal::Order.stream(), self.next, SCAN_MOST).await?;
            let Some(last) = fresh.last() else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            self.next = last.sequence + 1;
            for stored in &fresh {
                let content_type = stored.headers.get(wire::CONTENT_TYPE).map(String::as_str);
                let recorded = wire::decode_recorded(Journal::Order, content_type, &stored.payload)?;
                if let Event::Order(OrderEvent::Priced { order, quote, departure, .. }) = recorded.event
                    && quote.total.minor > 0
                {
                    ready.push(Ready { order, due: quote.total, event: departure.event });
                }
            }
        }
        ensure!(ready.len() == count, "{} orders for {count} cars", ready.len());
        self.made += ready.len() as u64;
        Ok(ready)
    }

    /// A car that came some minutes ago and leaves now.
    fn visit(&mut self, world: &World, lot: &LotDeclared) -> [Action; 2] {
        let (at, start) = world.started();
        let now = at.plus(i64::try_from(start.elapsed().as_micros()).unwrap_or(i64::MAX));
        let who = Credential::plate(&format!("粤M{:07}", self.visit), Colour::Green);
        let came = now.plus(-(10 * MINUTE + self.dice.random_range(0..480) * SECOND));
        let event = |letter, lane, seen_at| seen(self.visit, letter, ("plain", "once"), lot, lane, seen_at, &who);
        let action = |step, event| Action { send_at: now, visit: self.visit, step, copy: 0, event, says: None };
        [action(Step::Entry, event('e', lot.lanes[0].lane, came)), action(Step::Exit, event('x', lot.lanes[1].lane, now))]
    }
}
