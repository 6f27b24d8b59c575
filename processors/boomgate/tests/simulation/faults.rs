//! What can go wrong between a replica and its broker and store, by the roll of seeded dice.

use futures_util::future::BoxFuture;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schema::{Journal, Key, Moment, Partition, Table, entity::Posting};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::{Mark, Part, Row, Store};
use streams::{
    Append, Appended, Beat, Bus, DeadLetter, Delivery, From, Intake, Kind, Listening, Look, Message, Offered, Reach, Reader, Stored, Told,
};
use tokio::sync::Notify;

/// The dice of one run: shared, so that the order of rolls is the order of what happens.
pub struct Dice {
    rng: Mutex<ChaCha8Rng>,
    calm: AtomicBool,
    /// How much goes wrong, in units of 1 in 100,000 calls.
    pub mood: u32,
    /// Whether the store is away now.
    pub store_away: AtomicBool,
}

impl Dice {
    /// The dice of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mood = rng.random_range(0..60);
        Self { rng: Mutex::new(rng), calm: AtomicBool::new(false), mood, store_away: AtomicBool::new(false) }
    }

    /// From now on nothing goes wrong any more.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
        self.store_away.store(false, Ordering::Relaxed);
    }

    /// A number below `below`.
    pub fn number(&self, below: u64) -> u64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..below.max(1))
    }

    /// Whether something that happens in `weight` moods of 100,000 calls happens now.
    fn hits(&self, weight: u32) -> bool {
        !self.calm.load(Ordering::Relaxed) && self.number(100_000) < u64::from(self.mood.saturating_mul(weight))
    }
}

/// What one life of a replica sees of the world.
#[derive(Clone)]
pub struct Life {
    /// The dice.
    pub dice: Arc<Dice>,
    /// Rung when this life ends.
    pub crash: Arc<Notify>,
}

impl Life {
    /// The end of this life, at this very call: nothing after it happens.
    async fn perhaps_crash(&self) {
        if self.dice.hits(1) {
            self.crash.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// A pause long enough that others may have taken over.
    async fn perhaps_stall(&self) {
        if self.dice.hits(10) {
            crate::wait(Duration::from_millis(self.dice.number(15_000))).await;
        }
    }

    fn away(&self) -> Result<(), streams::Error> {
        if self.dice.hits(10) { Err(streams::Error::new(Kind::Unavailable, "simulated")) } else { Ok(()) }
    }

    fn store_away(&self) -> Result<(), store::Error> {
        let away = self.dice.store_away.load(Ordering::Relaxed) || self.dice.hits(10);
        if away { Err(store::Error::new(store::Kind::Unavailable, "simulated")) } else { Ok(()) }
    }
}

/// A broker as one life of a replica sees it.
pub struct FaultyBus {
    /// The broker.
    pub inner: Arc<dyn Bus>,
    /// Whose life.
    pub life: Life,
}

type Answer<'a, T> = BoxFuture<'a, Result<T, streams::Error>>;

struct FaultyIntake {
    inner: Box<dyn Intake>,
    life: Life,
}

impl Intake for FaultyIntake {
    fn fetch(&mut self, most: usize, wait: Duration) -> Answer<'_, Vec<Delivery>> {
        Box::pin(async move {
            self.life.away()?;
            let most = if self.life.dice.hits(200) { 1 } else { most };
            let fetched = self.inner.fetch(most, wait).await;
            self.life.perhaps_crash().await;
            fetched
        })
    }

    fn drain(&mut self) -> Answer<'_, Vec<Delivery>> {
        self.inner.drain()
    }
}

impl Bus for FaultyBus {
    fn offer(&self, message: Message) -> Answer<'_, Offered> {
        self.inner.offer(message)
    }

    fn consume(&self, reader: Reader) -> Answer<'_, Box<dyn Intake>> {
        Box::pin(async move {
            let intake = FaultyIntake { inner: self.inner.consume(reader).await?, life: self.life.clone() };
            Ok(Box::new(intake) as Box<dyn Intake>)
        })
    }

    fn reach<'a>(&'a self, reader: &'a Reader) -> Answer<'a, Reach> {
        Box::pin(async move {
            self.life.away()?;
            self.inner.reach(reader).await
        })
    }

    fn ack<'a>(&'a self, delivery: &'a Delivery) -> Answer<'a, ()> {
        Box::pin(async move {
            self.life.perhaps_crash().await;
            // An ack that is lost on its way: the message comes again.
            if self.life.dice.hits(40) { Ok(()) } else { self.inner.ack(delivery).await }
        })
    }

    fn nak<'a>(&'a self, delivery: &'a Delivery, delay: Duration) -> Answer<'a, ()> {
        self.inner.nak(delivery, delay)
    }

    fn progress<'a>(&'a self, delivery: &'a Delivery) -> Answer<'a, ()> {
        self.inner.progress(delivery)
    }

    fn batch_from(&self) -> usize {
        self.inner.batch_from()
    }

    fn append(&self, append: Append) -> Answer<'_, Appended> {
        Box::pin(async move {
            self.life.perhaps_crash().await;
            self.life.away()?;
            self.life.perhaps_stall().await;
            let appended = self.inner.append(append).await;
            self.life.perhaps_crash().await;
            self.life.away()?;
            appended
        })
    }

    fn head(&self, journal: Journal, partition: Partition) -> Answer<'_, Option<Stored>> {
        Box::pin(async move {
            self.life.away()?;
            self.inner.head(journal, partition).await
        })
    }

    fn tail(&self, journal: Journal, partition: Partition, from: From) -> Answer<'_, Vec<Stored>> {
        Box::pin(async move {
            self.life.away()?;
            let tail = self.inner.tail(journal, partition, from).await;
            self.life.perhaps_stall().await;
            tail
        })
    }

    fn scan<'a>(&'a self, stream: &'a str, from: u64, most: usize) -> Answer<'a, Vec<Stored>> {
        self.inner.scan(stream, from, most)
    }

    fn scan_subject<'a>(&'a self, stream: &'a str, subject: &'a str, from: u64, most: usize) -> Answer<'a, Vec<Stored>> {
        Box::pin(async move {
            self.life.away()?;
            self.inner.scan_subject(stream, subject, from, most).await
        })
    }

    fn scan_partition<'a>(&'a self, stream: &'a str, partition: Partition, from: u64, most: usize) -> Answer<'a, Vec<Stored>> {
        self.inner.scan_partition(stream, partition, from, most)
    }

    fn look<'a>(&'a self, stream: &'a str) -> Answer<'a, Look> {
        self.inner.look(stream)
    }

    fn dead_letter(&self, letter: DeadLetter) -> Answer<'_, u64> {
        Box::pin(async move {
            self.life.away()?;
            let stored = self.inner.dead_letter(letter).await;
            self.life.perhaps_crash().await;
            stored
        })
    }

    fn trim(&self, journal: Journal, partition: Partition, keep_from: u64) -> Answer<'_, u64> {
        self.inner.trim(journal, partition, keep_from)
    }

    fn trim_answered<'a>(&'a self, stream: &'a str) -> Answer<'a, u64> {
        self.inner.trim_answered(stream)
    }

    fn tell(&self, told: Told) -> Answer<'_, ()> {
        Box::pin(async move {
            self.life.perhaps_crash().await;
            self.life.away()?;
            let told = self.inner.tell(told).await;
            self.life.perhaps_crash().await;
            told
        })
    }

    fn listen<'a>(&'a self, subject: &'a str) -> Answer<'a, Box<dyn Listening>> {
        self.inner.listen(subject)
    }

    fn beat(&self, beat: Beat) -> Answer<'_, ()> {
        Box::pin(async move {
            self.life.perhaps_stall().await;
            self.inner.beat(beat).await
        })
    }

    fn leave(&self, beat: Beat) -> Answer<'_, ()> {
        self.inner.leave(beat)
    }

    fn members<'a>(&'a self, room: &'a str) -> Answer<'a, Vec<String>> {
        self.inner.members(room)
    }
}

/// A store as one life of a replica sees it.
pub struct FaultyStore {
    /// The store.
    pub inner: Arc<dyn Store>,
    /// Whose life.
    pub life: Life,
}

impl Store for FaultyStore {
    fn save(&self, rows: Vec<Row>) -> store::Answer<'_, ()> {
        Box::pin(async move {
            self.life.perhaps_crash().await;
            self.life.store_away()?;
            if self.life.dice.hits(40) {
                // A write that times out and happens much later, whoever lives then.
                let (inner, wait) = (self.inner.clone(), Duration::from_millis(self.life.dice.number(20_000)));
                tokio::spawn(async move {
                    crate::wait(wait).await;
                    inner.save(rows).await.ok();
                });
                return Err(store::Error::new(store::Kind::Unavailable, "simulated time-out"));
            }
            self.inner.save(rows).await?;
            self.life.perhaps_crash().await;
            self.life.store_away()
        })
    }

    fn mark(&self, marks: Vec<Mark>) -> store::Answer<'_, ()> {
        Box::pin(async move {
            self.life.perhaps_crash().await;
            self.life.store_away()?;
            self.inner.mark(marks).await?;
            self.life.perhaps_crash().await;
            self.life.store_away()
        })
    }

    fn marks(&self, journal: Journal, partitions: Vec<Partition>) -> store::Answer<'_, Vec<Option<Mark>>> {
        Box::pin(async move {
            self.life.store_away()?;
            self.inner.marks(journal, partitions).await
        })
    }

    fn load(&self, keys: Vec<Key>) -> store::Answer<'_, Vec<Option<Row>>> {
        Box::pin(async move {
            self.life.store_away()?;
            self.inner.load(keys).await
        })
    }

    fn open(&self, journal: Journal, partitions: Vec<Partition>) -> store::Answer<'_, Vec<Row>> {
        Box::pin(async move {
            self.life.store_away()?;
            self.inner.open(journal, partitions).await
        })
    }

    fn parts(&self, table: Table) -> store::Answer<'_, Vec<Part>> {
        self.inner.parts(table)
    }

    fn scan(&self, part: Part) -> store::Answer<'_, Vec<Row>> {
        self.inner.scan(part)
    }

    fn postings(&self, part: Part, begin: String) -> store::Answer<'_, Vec<(Moment, Posting)>> {
        Box::pin(async move {
            self.life.store_away()?;
            self.inner.postings(part, begin).await
        })
    }
}
