//! The owner of one partition group: it fetches, gives each partition its turns, saves behind, and minds the clock.
//!
//! Everything happens in one task: turns of different partitions overlap, those of one partition never do.
//!
//! Invariants, by the number of design.md's rules of the log
//! 2. A mark moves only after the store confirmed every row up to it   (`save::tests`, `simulation`).
//! 4. A partition has one turn at a time   (`Queue::busy`).
//! 8. Trimming stays below the mark   (`save::tests::trimming_stays_below_the_mark`).
//! 9. Idle partitions are looked after: what a dead worker left is found   (`simulation`).
//!
//! Not here: what a turn does (`turn`), who owns the group (`replica`).

use crate::{
    clock,
    inlet::{Arrived, Inlet},
    input::{self, Item},
    replica::{Readiness, Shared},
    running,
    save::{self, Saved},
    state::State,
    turn::{Cell, Turned, turn},
};
use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{FuturesOrdered, FuturesUnordered},
};
use schema::{Journal, Moment, Partition};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use streams::{DeadLetter, Delivery, Stored};
use tokio::{sync::watch, time::Instant};

/// How long a fetch waits for its first message.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// Saves take at most about one part in so many of the time: where machine or store are pressed they are slower, so they come less often, and a row that
/// changed several times meanwhile is written once.
const SAVE_SHARE: u32 = 5;
/// The longest that saving rests for that.
const SAVE_REST_MAX: Duration = Duration::from_millis(500);
/// How long the last save of a worker may take before it leaves without it: the next owner folds the tail.
const LAST_SAVE: Duration = Duration::from_secs(5);

/// One partition's inputs, in their order.
#[expect(clippy::struct_excessive_bools, reason = "each is asked by itself; together they are no state machine")]
struct Queue {
    cell: Arc<Cell>,
    items: VecDeque<Item>,
    /// The messages that are in `items` or in the running turn, by stream and sequence.
    held: BTreeSet<(String, u64)>,
    busy: bool,
    stale: bool,
    alone: bool,
    taken_over: bool,
    held_back: bool,
}

/// What is going on beside the turns.
enum Chore {
    /// An inlet has messages, or none for a while.
    Fetched(Box<Inlet>, Result<Vec<Arrived>, streams::Error>),
    /// An inlet was opened, or could not be.
    Opened(streams::Reader, Result<Box<Inlet>, streams::Error>),
    /// The broker's time, and a partition's last sequence.
    Looked(Result<Look, streams::Error>),
    /// Messages without a partition are dead letters now, or waits were prolonged.
    Done,
}

struct Look {
    now: Moment,
    partition: Partition,
    head: u64,
}

struct Worker {
    shared: Arc<Shared>,
    group: u8,
    queues: BTreeMap<Partition, Queue>,
    turns: FuturesUnordered<BoxFuture<'static, (Partition, Turned)>>,
    chores: FuturesUnordered<BoxFuture<'static, Chore>>,
    saving: FuturesOrdered<BoxFuture<'static, Saved>>,
    /// When the save that is under way began, and until when saving rests after the last one.
    save_began: Instant,
    save_rests: Instant,
    parked: Vec<Inlet>,
    /// Partitions that may have something to do; the others are not looked at.
    runnable: BTreeSet<Partition>,
    /// Partitions that wait, by when they are to go on.
    held_back: BTreeSet<(Instant, Partition)>,
    /// How many partitions are not taken over yet.
    foreign: usize,
    /// How many items are in all queues.
    queued: usize,
    /// How many rows waited to be saved when that was last counted.
    unsaved: usize,
    looking: bool,
    round: usize,
    trimmer: save::Trimmer,
    /// The settlement windows that are to be told.
    totals: running::Totals,
}

/// Owns a group until `stop`.
pub async fn run(shared: Arc<Shared>, group: u8, readiness: Arc<Readiness>, mut stop: watch::Receiver<bool>) {
    let mut worker = Worker::new(shared.clone(), group);
    let mut save = clock::every(shared.settings.save_every);
    let mut tick = clock::every(Duration::from_secs(1));
    let mut ready = false;
    loop {
        worker.start_turns();
        worker.start_fetches();
        if !ready && worker.foreign == 0 {
            ready = true;
            readiness.caught_up(shared.rules.name, group);
            // What fell due while nobody was here does not wait for the next second.
            tick.reset_immediately();
            tracing::info!(processor = shared.rules.name, group, "ready");
        }
        let wake = worker.held_back.first().map(|(until, _)| *until);
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some((partition, turned)) = worker.turns.next(), if !worker.turns.is_empty() => worker.ended(partition, turned),
            Some(saved) = worker.saving.next(), if !worker.saving.is_empty() => worker.saved(saved),
            Some(chore) = worker.chores.next(), if !worker.chores.is_empty() => worker.did(chore),
            _ = save.tick() => worker.save(clock::now()),
            _ = tick.tick() => worker.tick(),
            () = clock::until(wake) => {}
        }
    }
    worker.leave().await;
}

impl Worker {
    fn new(shared: Arc<Shared>, group: u8) -> Self {
        let journal = shared.rules.journal;
        let partitions = Partition::all().filter(|partition| partition.0 % shared.settings.groups == group);
        let queue = |partition| Queue {
            cell: Arc::new(Cell::new(partition, State::new(journal, partition))),
            items: VecDeque::new(),
            held: BTreeSet::new(),
            busy: false,
            stale: true,
            alone: false,
            taken_over: false,
            held_back: false,
        };
        let queues: BTreeMap<Partition, Queue> = partitions.map(|partition| (partition, queue(partition))).collect();
        let worker = Self {
            runnable: queues.keys().copied().collect(),
            held_back: BTreeSet::new(),
            foreign: queues.len(),
            queued: 0,
            unsaved: 0,
            queues,
            turns: FuturesUnordered::new(),
            chores: FuturesUnordered::new(),
            saving: FuturesOrdered::new(),
            save_began: clock::now(),
            save_rests: clock::now(),
            parked: Vec::new(),
            looking: false,
            round: 0,
            trimmer: save::Trimmer::default(),
            totals: running::Totals::default(),
            group,
            shared,
        };
        for reader in streams::table::readers(worker.shared.rules.name, worker.shared.settings.groups, group) {
            worker.open(reader, Duration::ZERO);
        }
        worker
    }

    fn open(&self, reader: streams::Reader, after: Duration) {
        let shared = self.shared.clone();
        self.chores.push(Box::pin(async move {
            clock::wait(after).await;
            let opened = shared.bus.consume(reader.clone()).await;
            Chore::Opened(reader.clone(), opened.map(|intake| Box::new(Inlet::new(reader, intake))))
        }));
    }

    /// Gives a turn to every partition that has something to do and is not busy or held back.
    fn start_turns(&mut self) {
        let now = clock::now();
        while let Some((_, partition)) = self.held_back.first().copied().filter(|(until, _)| *until <= now) {
            self.held_back.pop_first();
            self.runnable.insert(partition);
            self.queues.entry(partition).and_modify(|queue| queue.held_back = false);
        }
        while let Some(partition) = self.runnable.pop_first() {
            let Some(queue) = self.queues.get_mut(&partition) else { continue };
            if queue.busy || queue.held_back || !(queue.stale || (queue.taken_over && !queue.items.is_empty())) {
                continue;
            }
            queue.busy = true;
            // Below so many inputs, of all partitions, the bus appends them faster one by one.
            let alone = queue.alone || self.queued < self.shared.bus.batch_from();
            let most = if alone { 1 } else { self.shared.settings.batch_max };
            let items: Vec<Item> = queue.items.drain(..queue.items.len().min(most)).collect();
            self.queued = self.queued.saturating_sub(items.len());
            let (shared, cell, stale) = (self.shared.clone(), queue.cell.clone(), queue.stale);
            self.turns.push(Box::pin(async move { (partition, turn(shared, cell, items, stale).await) }));
        }
    }

    /// Asks for more messages unless too much waits already.
    fn start_fetches(&mut self) {
        let settings = self.shared.settings;
        if self.parked.is_empty() || self.queued >= settings.queue_max || self.unsaved >= settings.unsaved_max {
            return;
        }
        for mut inlet in self.parked.drain(..) {
            let shared = self.shared.clone();
            self.chores.push(Box::pin(async move {
                let fetched = inlet.take(&*shared.bus, settings.batch_max, FETCH_WAIT).await;
                Chore::Fetched(Box::new(inlet), fetched)
            }));
        }
    }

    fn ended(&mut self, partition: Partition, turned: Turned) {
        let Some(queue) = self.queues.get_mut(&partition) else { return };
        queue.busy = false;
        if !turned.stale && !queue.taken_over {
            queue.taken_over = true;
            self.foreign = self.foreign.saturating_sub(1);
        }
        queue.stale = turned.stale;
        queue.alone = turned.alone;
        if let Some(hold) = turned.hold {
            queue.held_back = true;
            self.held_back.insert((clock::now() + hold, partition));
        }
        for message in turned.done.iter().filter_map(Item::message) {
            queue.held.remove(&message);
        }
        self.queued = self.queued.saturating_add(turned.left.len());
        for item in turned.left.into_iter().rev() {
            queue.items.push_front(item);
        }
        self.runnable.insert(partition);
    }

    fn did(&mut self, chore: Chore) {
        match chore {
            Chore::Opened(_, Ok(inlet)) => self.parked.push(*inlet),
            Chore::Opened(reader, Err(error)) => {
                tracing::error!(processor = self.shared.rules.name, reader = reader.durable, %error, "cannot read an inbox");
                self.open(reader, Duration::from_secs(1));
            }
            Chore::Fetched(inlet, Ok(arrived)) => {
                for message in arrived {
                    match message {
                        Arrived::Handed(delivery) => self.route(delivery),
                        Arrived::Missed(stored) => self.route_missed(&inlet.reader.stream, stored),
                    }
                }
                self.parked.push(*inlet);
            }
            Chore::Fetched(inlet, Err(error)) => {
                tracing::warn!(processor = self.shared.rules.name, %error, "cannot fetch");
                self.chores.push(Box::pin(async move {
                    clock::wait(Duration::from_millis(200)).await;
                    Chore::Fetched(inlet, Ok(Vec::new()))
                }));
            }
            Chore::Looked(looked) => {
                self.looking = false;
                match looked {
                    Ok(look) => self.looked(&look),
                    Err(error) => tracing::warn!(processor = self.shared.rules.name, %error, "cannot look at the journal"),
                }
            }
            Chore::Done => {}
        }
    }

    fn route(&mut self, delivery: Delivery) {
        match input::read(delivery) {
            Ok((partition, item)) => {
                let Some(queue) = self.queues.get_mut(&partition) else {
                    tracing::error!(%partition, "a message of another group was handed out: run `boomgate provision`");
                    return;
                };
                // A message that is handed out again while it waits is the same message: its first handing-out acks it.
                if item.message().is_none_or(|message| queue.held.insert(message)) {
                    queue.items.push_back(item);
                    self.queued = self.queued.saturating_add(1);
                    self.runnable.insert(partition);
                }
            }
            Err(delivery) => {
                let shared = self.shared.clone();
                self.chores.push(Box::pin(async move {
                    let reason = format!("the subject {:?} names no partition", delivery.stored.subject);
                    let letter = DeadLetter { stream: delivery.stream.clone(), partition: Partition(0), reason, stored: delivery.stored.clone() };
                    if shared.bus.dead_letter(letter).await.is_ok() {
                        shared.metrics.dead_letter();
                        shared.bus.ack(&delivery).await.ok();
                    }
                    Chore::Done
                }));
            }
        }
    }

    /// A message that was handed to another, or to nobody. One that waits here already is not put there again.
    fn route_missed(&mut self, stream: &str, stored: Stored) {
        let message = (stream.to_owned(), stored.sequence);
        let Some((partition, item)) = input::read_missed(stream, stored) else { return };
        let Some(queue) = self.queues.get_mut(&partition).filter(|queue| !queue.held.contains(&message)) else { return };
        queue.items.push_back(item);
        self.queued = self.queued.saturating_add(1);
        self.runnable.insert(partition);
        self.shared.metrics.missed();
    }

    /// Saves what is not saved, if no save is under way and the last one was long enough before `now`.
    fn save(&mut self, now: Instant) {
        let entities = self.queues.values().map(|queue| queue.cell.with(|state| state.count())).sum();
        self.unsaved = self.queues.values().map(|queue| queue.cell.with(|state| state.unsaved())).sum();
        self.shared.metrics.holds(self.unsaved, entities);
        if self.shared.rules.journal == Journal::Ledger {
            let stopped = self.queues.values().map(|queue| queue.cell.with(|state| state.stopped())).sum();
            self.shared.metrics.stopped(self.group, stopped);
        }
        if self.saving.is_empty() && self.save_rests <= now {
            let snapshots: Vec<_> = self.queues.values().filter_map(|queue| queue.cell.with(|state| state.snapshot())).collect();
            self.totals.changed(&snapshots);
            if !snapshots.is_empty() {
                self.save_began = now;
                self.saving.push_back(Box::pin(save::save(self.shared.clone(), snapshots)));
            }
        }
    }

    fn saved(&mut self, saved: Saved) {
        let now = clock::now();
        self.save_rests = now + rest(now.duration_since(self.save_began));
        for (rows, mark) in saved.confirmed {
            if let Some(queue) = self.queues.get(&mark.partition) {
                queue.cell.with(|state| state.confirm(&rows, &mark));
                self.trimmer.marked(&mark);
            }
        }
        self.bound_answers();
        if saved.failed {
            self.shared.metrics.save_failed();
        }
    }

    /// Lets the oldest answers go where there are too many, of each partition in proportion.
    fn bound_answers(&self) {
        let most = self.shared.settings.answers_max / usize::from(self.shared.settings.groups);
        let all: usize = self.queues.values().map(|queue| queue.cell.with(|state| state.answers())).sum();
        if all > most {
            for queue in self.queues.values() {
                queue.cell.with(|state| state.keep_answers(state.answers().saturating_mul(most).checked_div(all).unwrap_or(0)));
            }
        }
    }

    /// Once a second: the broker's time, one idle partition after the other, and waits that are to be prolonged.
    fn tick(&mut self) {
        self.round = self.round.wrapping_add(1);
        if !self.looking {
            self.looking = true;
            let partitions: Vec<Partition> = self.queues.keys().copied().collect();
            let partition = partitions[self.round % partitions.len()];
            let shared = self.shared.clone();
            self.chores.push(Box::pin(async move { Chore::Looked(look(&shared, partition).await) }));
        }
        let totals = self.totals.take();
        if !totals.is_empty() {
            let shared = self.shared.clone();
            self.chores.push(Box::pin(async move {
                running::tell(&*shared.bus, totals).await;
                Chore::Done
            }));
        }
        if self.round.is_multiple_of(3) {
            let waiting: Vec<Delivery> = self.queues.values().flat_map(|queue| &queue.items).filter_map(|item| item.delivery().cloned()).collect();
            let shared = self.shared.clone();
            self.chores.push(Box::pin(async move {
                for delivery in &waiting {
                    shared.bus.progress(delivery).await.ok();
                }
                Chore::Done
            }));
        }
        if self.round.is_multiple_of(60) {
            let (shared, jobs) = (self.shared.clone(), self.trimmer.jobs(self.shared.settings.retention));
            self.chores.push(Box::pin(async move {
                save::trim(&shared, jobs).await;
                Chore::Done
            }));
        }
    }

    fn looked(&mut self, look: &Look) {
        for queue in self.queues.values_mut().filter(|queue| queue.taken_over && !queue.busy && queue.items.is_empty()) {
            let due = queue.cell.with(|state| state.due(look.now));
            self.queued = self.queued.saturating_add(due.len());
            queue.items.extend(due.into_iter().map(|key| input::tick(key, look.now)));
            self.runnable.insert(queue.cell.partition);
        }
        // Somebody else appended here: what it left unsaved is ours to save.
        if let Some(queue) = self.queues.get_mut(&look.partition).filter(|queue| !queue.busy) {
            queue.stale |= queue.cell.with(|state| state.last < look.head);
            self.runnable.insert(look.partition);
        }
    }

    /// Finishes what runs, saves, and hands back what was not begun.
    async fn leave(mut self) {
        while let Some((partition, turned)) = self.turns.next().await {
            self.ended(partition, turned);
        }
        let last = async {
            while let Some(saved) = self.saving.next().await {
                self.saved(saved);
            }
            self.save(self.save_rests);
            while let Some(saved) = self.saving.next().await {
                self.saved(saved);
            }
        };
        if tokio::time::timeout(LAST_SAVE, last).await.is_err() {
            tracing::warn!(processor = self.shared.rules.name, "left without the last save: the next owner folds the tail");
        }
        if self.shared.rules.journal == Journal::Ledger {
            self.shared.metrics.stopped(self.group, 0);
        }
        let mut left: Vec<Delivery> = self.queues.into_values().flat_map(|queue| queue.items).filter_map(|item| item.delivery.map(|d| *d)).collect();
        while let Some(chore) = self.chores.next().await {
            match chore {
                Chore::Fetched(inlet, fetched) => {
                    let handed = |message| if let Arrived::Handed(delivery) = message { Some(delivery) } else { None };
                    left.extend(fetched.unwrap_or_default().into_iter().filter_map(handed));
                    self.parked.push(*inlet);
                }
                Chore::Opened(_, Ok(inlet)) => self.parked.push(*inlet),
                Chore::Opened(_, Err(_)) | Chore::Looked(_) | Chore::Done => {}
            }
        }
        for inlet in self.parked {
            left.extend(inlet.close().await);
        }
        for delivery in &left {
            self.shared.bus.nak(delivery, Duration::ZERO).await.ok();
        }
    }
}

/// How long saving rests after a save that took so long.
fn rest(took: Duration) -> Duration {
    took.saturating_mul(SAVE_SHARE - 1).min(SAVE_REST_MAX)
}

async fn look(shared: &Shared, partition: Partition) -> Result<Look, streams::Error> {
    let journal = shared.rules.journal;
    let now = shared.bus.look(journal.stream()).await?.now;
    let head = shared.bus.head(journal, partition).await?.map_or(0, |stored| stored.sequence);
    Ok(Look { now, partition, head })
}
