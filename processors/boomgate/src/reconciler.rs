//! The workers of reconciliation: they take days and pieces from the queue, compare, and say what they found.
//!
//! A day is verified whole and split before anything of it is enqueued; a piece says its facts, the result last, before it is acked. Whoever dies in between leaves work
//! that comes again to somebody, and says the same.
//!
//! Invariants
//! 1. A piece whose worker died is done again, and says the same   (`tests::a_piece_whose_worker_died_is_done_again_and_says_the_same`).
//! 2. Nothing is said of a statement that is refused   (`tests::nothing_is_said_of_a_statement_that_is_refused`).
//! 3. A day whose statement is not there yet waits for it   (`tests::a_day_waits_for_its_statement`), and one that is due for another one where that is refused
//!    (`tests::a_day_that_is_due_waits_for_another_file_where_one_is_refused`).
//! 4. T+2 comes after T+1   (`tests::the_second_comparison_waits_for_the_first`), and T+1 asked for after it knows what it knew
//!    (`tests::the_first_comparison_asked_for_again_is_the_second`).
//! 5. A right statement undoes what a wrong one did   (`tests::the_right_statement_undoes_what_a_wrong_one_did`).
//! 6. What cannot be said holds nothing up   (`tests::a_number_that_is_too_long_is_found_still`).
//! 7. No work waits for ever: a day without a statement is given up   (`tests::a_day_without_a_statement_is_given_up`), and so is a piece whose statement is gone
//!    (`tests::a_piece_whose_statement_is_gone_is_given_up`) or another one, which is compared instead (`tests::a_statement_that_is_replaced_meanwhile_is_compared_anew`).
//! 8. A statement tells of all pieces that an earlier one had told of   (`tests::what_a_correction_leaves_out_is_explained`).
//! 9. Lines of statements do not pile up   (`tests::lines_are_swept_once_nobody_needs_them`).
//! 10. Each comparison tells of stays that do not go with their money   (`tests::stays_without_their_money_are_told_of_by_themselves`).
//! 11. A channel that has no statements has no day that is due   (`tests::a_channel_without_statements_is_due_nothing`).
//! 12. A statement that nobody has laid down is fetched from its channel, where that is wanted   (`fetch::tests::a_days_statement_is_fetched_verified_and_split`).
//!
//! Not here: what becomes of what is said (`rules::exceptions`), when a day is due (`schedule`), who asks by hand (`ask`).

pub mod ask;
mod compare;
mod fetch;
pub mod schedule;
mod split;
mod spool;
mod stays;

use crate::{background, clock, config::Config, connect::Parts};
use anyhow::{Context, Result};
use compare::compare;
pub use fetch::Sources;
use futures_util::FutureExt;
use schema::{
    Day, Entity, Id, Journal, Key, Moment, Partition, StatementEvent, StatementFact, Table, Token,
    entity::Payment,
    exception::{Exception, Stays, Term, begins, day_of, days_after},
    id::{self, Province, order_of},
    time::{DAY, MINUTE},
    wire::{self, Format},
    work::{DayWork, PieceWork, Work},
};
use serde::{Deserialize, Serialize};
use split::{Split, Why, split};
use spool::Spooled;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use store::{Part, Store};
use streams::{Buckets, Bus, Delivery, Message, table};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// The name by which `boomgate run` knows it.
pub const NAME: &str = "reconciler";
/// How long a fetch waits.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// How often it is said that something is still worked on.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// How long a day waits until it is looked again for its statement.
const MISSING_WAIT: Duration = Duration::from_secs(60);
/// How long a day waits until it is looked again for another statement than the one that is refused.
const REFUSED_WAIT: Duration = Duration::from_secs(600);
/// How long work waits after the broker or the store was away.
const AWAY: Duration = Duration::from_secs(2);
/// How many days a statement may be late: then its day is given up.
const LATE_DAYS_MAX: usize = 20;
/// For how long a piece waits for the file that its lines were in, in microseconds: then it is given up.
const LACKING_MAX: i64 = 60_i64.saturating_mul(MINUTE);
/// For how long it is known that a statement is another one now, without a look.
const PAST_KEPT: Duration = Duration::from_secs(600);
/// For how long lines of a statement are kept that no piece in the queue names.
const SPOOL_KEPT: Duration = Duration::from_secs(2 * 3600);
/// How often those are swept that are kept no longer.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How a day is asked for whose statement was replaced while it was compared.
const AGAIN: &str = "again-";
/// How many rows are read by key at once.
const LOAD_MOST: usize = 500;

// Days that wait, at both terms, leave room for what can be done.
const _: () = assert!((LATE_DAYS_MAX + 1) * Term::ALL.len() * channels::ALL.len() < table::WORK_PENDING_MAX);

/// A channel whose statements are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Our number there; empty where it has none for us.
    pub merchant: Arc<str>,
}

/// What a reconciler works by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where statements lie: a folder for each channel.
    pub folder: PathBuf,
    /// Where lines lie by pieces; all reconcilers share it, or each splits for itself.
    pub spool: PathBuf,
    /// The channels.
    pub sites: BTreeMap<String, Site>,
    /// Of those the ones whose statements are fetched.
    pub sources: Sources,
    /// The province of payments whose numbers are none of ours, by merchant.
    pub provinces: BTreeMap<String, Province>,
    /// That of all other merchants.
    pub province: Province,
    /// How many days before its statement's an order may be born.
    pub days_back: u32,
    /// When a statement is due: so long after midnight in China, in microseconds.
    pub due_after: i64,
    /// How many pieces this process compares at once.
    pub workers: usize,
}

impl Settings {
    /// Those of a configuration, by which nothing is fetched yet.
    pub fn of(config: &Config) -> Self {
        let at = &config.reconcile;
        let has_statements = |name: &String| channels::form(name).is_ok();
        let named = config.channels.iter().filter(|(name, _)| has_statements(name));
        let sites = named.map(|(name, at)| (name.clone(), Site { merchant: at.merchant.as_str().into() })).collect();
        let (folder, spool) = (at.folder.clone(), at.spool.clone());
        let due_after = i64::from(at.due_min).saturating_mul(schema::time::MINUTE);
        let provinces = at.provinces.iter().map(|(merchant, province)| (merchant.clone(), Province(*province))).collect();
        let (province, days_back, workers) = (Province(at.province), at.days_back, at.workers.max(1));
        let sources = Sources::default();
        Self { folder, spool, sites, sources, provinces, province, days_back, due_after, workers }
    }

    /// With the channels whose statements are to be fetched; an error where the keys of one cannot be read or used.
    pub fn fetching(self, config: &Config) -> Result<Self> {
        Ok(Self { sources: Sources::of(config)?, ..self })
    }

    /// The province of a merchant's payments whose numbers are none of ours.
    fn province(&self, merchant: &str) -> Province {
        self.provinces.get(merchant).copied().unwrap_or(self.province)
    }
}

/// How far a day is, as the bucket tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Who asked for it.
    pub asked: Arc<str>,
    /// As what it is compared, once it is split: T+1 of a day that has had T+2 is that again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<Term>,
    /// What it waits for, or why it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Whether it is refused.
    #[serde(default)]
    pub refused: bool,
    /// Its pieces, once it is split.
    #[serde(default)]
    pub pieces: Vec<(Province, Partition)>,
    /// How many lines its statement has.
    #[serde(default)]
    pub lines: u64,
}

/// How work ended.
enum Ended {
    /// It is done.
    Done,
    /// It is to come again after a while.
    Again(Duration),
}

/// The lines of a piece.
enum Lines {
    /// They are these.
    There(Vec<Spooled>),
    /// The statement is another one now: its run.
    Past(Token<32>),
}

/// What the workers share.
pub struct Reconciler {
    bus: Arc<dyn Bus>,
    buckets: Arc<dyn Buckets>,
    store: Arc<dyn Store>,
    settings: Settings,
    replica: String,
    shutdown: watch::Receiver<bool>,
    /// Runs whose statement is another one now: that one's run, and since when it is known.
    past: Mutex<BTreeMap<Token<32>, (Token<32>, Instant)>>,
}

/// The message of some work.
pub fn message(work: &Work) -> Message {
    let headers =
        BTreeMap::from([(wire::CONTENT_TYPE.to_owned(), Format::Json.content_type().to_owned()), (streams::MESSAGE_ID.to_owned(), work.key())]);
    Message { subject: work.subject(), payload: wire::encode(Format::Json, work).into(), headers }
}

/// The message of a finding. The same again within minutes costs nothing; later it is found by its key.
pub(crate) fn finding(event: &StatementEvent) -> Message {
    let headers =
        BTreeMap::from([(wire::CONTENT_TYPE.to_owned(), Format::Json.content_type().to_owned()), (streams::MESSAGE_ID.to_owned(), event.key())]);
    Message { subject: event.subject(), payload: wire::encode(Format::Json, event).into(), headers }
}

/// Works as this replica until `shutdown`.
pub async fn run(parts: Shared, settings: Settings, replica: String, shutdown: watch::Receiver<bool>) {
    let Shared { bus, buckets, store } = parts;
    let reconciler = Arc::new(Reconciler { bus, buckets, store, settings, replica, shutdown: shutdown.clone(), past: Mutex::default() });
    let mut tasks = JoinSet::new();
    tasks.spawn(reconciler.clone().sweep(shutdown.clone()));
    for worker in 0..reconciler.settings.workers {
        tasks.spawn(reconciler.clone().work(worker, shutdown.clone()));
    }
    let (bus, buckets, settings) = (reconciler.bus.clone(), reconciler.buckets.clone(), reconciler.settings.clone());
    tasks.spawn(schedule::watch(bus, buckets, settings, shutdown));
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a worker did not end well: its work comes again");
        }
    }
}

/// Whom the workers speak with.
#[derive(Clone)]
pub struct Shared {
    /// The broker.
    pub bus: Arc<dyn Bus>,
    /// Its buckets.
    pub buckets: Arc<dyn Buckets>,
    /// The store.
    pub store: Arc<dyn Store>,
}

impl Shared {
    /// Those of a process.
    pub fn of(parts: &Parts) -> Self {
        Self { bus: parts.bus.clone(), buckets: parts.jetstream.clone(), store: parts.store.clone() }
    }
}

impl Reconciler {
    /// One worker: one thing at a time.
    async fn work(self: Arc<Self>, worker: usize, mut shutdown: watch::Receiver<bool>) {
        let mut intake = None;
        while !*shutdown.borrow() {
            let Some(from) = &mut intake else {
                match self.bus.consume(table::worker()).await {
                    Ok(opened) => intake = Some(opened),
                    Err(error) => {
                        tracing::error!(%error, "cannot read the queue of work");
                        clock::wait(AWAY).await;
                    }
                }
                continue;
            };
            let fetched = tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                fetched = from.fetch(1, FETCH_WAIT) => fetched,
            };
            match fetched {
                Ok(deliveries) => {
                    for delivery in deliveries {
                        self.handle(worker, &delivery).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot fetch work");
                    intake = None;
                    clock::wait(AWAY).await;
                }
            }
        }
        // What was handed out and not begun comes to somebody else at once.
        if let Some(mut intake) = intake {
            for delivery in intake.drain().await.unwrap_or_default() {
                self.bus.nak(&delivery, Duration::ZERO).await.ok();
            }
        }
    }

    /// Sweeps old lines until `shutdown`.
    async fn sweep(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut every = clock::every(SWEEP_EVERY);
        loop {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => return,
                _ = every.tick() => {}
            }
            if let Err(error) = self.swept().await {
                tracing::warn!(error = format!("{error:#}"), "old lines of statements are not swept");
            }
        }
    }

    /// Removes the lines that nobody needs any more: those that are old and that no piece in the queue names.
    async fn swept(&self) -> Result<()> {
        let queued = ask::queued(&*self.bus).await?;
        let run = |work: &Work| if let Work::Piece(piece) = work { Some(piece.run.to_string()) } else { None };
        let needed: BTreeSet<String> = queued.iter().filter_map(run).collect();
        let root = self.settings.spool.clone();
        background::run(move || spool::sweep(&root, SPOOL_KEPT, &needed)).await?;
        let folders = self.settings.sources.names().map(|name| self.settings.folder.join(name)).collect::<Vec<_>>();
        background::run(move || folders.iter().for_each(|folder| fetch::sweep(folder, SPOOL_KEPT))).await?;
        Ok(())
    }

    /// Does one thing, and says while it does that it is still worked on.
    async fn handle(&self, worker: usize, delivery: &Delivery) {
        let stored = &delivery.stored;
        let content_type = stored.headers.get(wire::CONTENT_TYPE).map(String::as_str);
        let work: Work = match wire::decode(content_type, &stored.payload) {
            Ok(work) => work,
            Err(error) => {
                let (stream, reason) = (delivery.stream.clone(), error.to_string());
                let letter = streams::DeadLetter { stream, partition: Partition(0), reason, stored: stored.clone() };
                if self.bus.dead_letter(letter).await.is_ok() {
                    self.bus.ack(delivery).await.ok();
                }
                return;
            }
        };
        let mut doing = self.done(worker, &work, stored.time).boxed();
        let ended = loop {
            tokio::select! {
                ended = &mut doing => break ended,
                () = clock::wait(PROGRESS_EVERY) => drop(self.bus.progress(delivery).await),
            }
        };
        drop(doing);
        let told = match ended {
            Ok(Ended::Done) => self.bus.ack(delivery).await,
            Ok(Ended::Again(after)) => self.bus.nak(delivery, after).await,
            Err(error) => {
                tracing::warn!(subject = stored.subject, error = format!("{error:#}"), "work is to come again");
                self.bus.nak(delivery, AWAY).await
            }
        };
        if let Err(error) = told {
            tracing::warn!(subject = stored.subject, %error, "the queue was not told: the work comes again");
        }
    }

    /// Does what was asked for at `since`.
    async fn done(&self, worker: usize, work: &Work, since: Moment) -> Result<Ended> {
        match work {
            Work::Day(day) => self.day(worker, day, since).await,
            Work::Piece(piece) => self.piece(worker, piece, since).await,
        }
    }

    /// Splits a day; it is told how it stands.
    async fn split(&self, worker: usize, work: &DayWork) -> Result<Split, Why> {
        let (work, folder, spool) = (work.clone(), self.settings.folder.clone(), self.settings.spool.clone());
        let (province, writer) = (self.settings.province(&work.merchant), format!("{}-{worker}", self.replica));
        let split = background::run(move || split(&work, &folder, &spool, province, &writer)).await;
        split.map_err(|error| Why::Failed(anyhow::Error::from(error).context("a statement was not read to its end")))?
    }

    async fn tell(&self, work: &DayWork, standing: &Standing) -> Result<()> {
        let value = serde_json::to_vec(standing)?;
        self.buckets.put(table::RECONCILE, &work.key(), value.into(), None).await?;
        Ok(())
    }

    async fn day(&self, worker: usize, asked: &DayWork, since: Moment) -> Result<Ended> {
        let by = asked.asked.as_str().into();
        let standing = Standing { asked: by, term: None, waits: None, refused: false, pieces: Vec::new(), lines: 0 };
        let unfetched = self.fetched(worker, asked).await;
        let (work, split) = match self.laid(worker, asked).await {
            Ok(laid) => laid,
            Err(Why::Missing(what)) => {
                let waits = Some(unfetched.map_or_else(|| what.clone(), |why| format!("{what}; {why}")));
                return self.waits(asked, &Standing { waits, ..standing }, since).await;
            }
            Err(Why::Refused(why)) => return self.refused(asked, &Standing { waits: Some(why), refused: true, ..standing }, since).await,
            Err(Why::Failed(error)) => return Err(error),
        };
        for (province, partition) in &split.pieces {
            let piece = PieceWork { of: work.clone(), run: split.run, province: *province, partition: *partition };
            self.bus.publish(message(&Work::Piece(piece))).await?;
        }
        let pieces: Vec<_> = split.pieces.into_iter().collect();
        tracing::info!(channel = &*work.channel, day = %work.day, term = work.term.name(), lines = split.lines, pieces = pieces.len(), "is compared");
        self.tell(asked, &Standing { term: Some(work.term), pieces, lines: split.lines, ..standing }).await?;
        Ok(Ended::Done)
    }

    /// A statement is not there yet: its day waits, for as long as a statement may be late.
    async fn waits(&self, work: &DayWork, standing: &Standing, since: Moment) -> Result<Ended> {
        if self.is_over(work, since).await? {
            return self.given_up(work, standing).await;
        }
        self.tell(work, standing).await?;
        Ok(Ended::Again(MISSING_WAIT))
    }

    /// Whether a day that was asked for at `since` waits no longer: one that is due because of its age, one that was asked for by hand because of that.
    async fn is_over(&self, work: &DayWork, since: Moment) -> Result<bool> {
        let now = self.bus.look("WORK").await?.now;
        let days = if work.asked == DayWork::schedule() { days_after(work.day, now) } else { now.since(since).div_euclid(DAY) };
        Ok(usize::try_from(days).is_ok_and(|days| days > LATE_DAYS_MAX))
    }

    /// A day has waited for too long. Who has its statement after all asks by hand.
    async fn given_up(&self, work: &DayWork, standing: &Standing) -> Result<Ended> {
        let what = standing.waits.as_deref().unwrap_or_default();
        tracing::error!(channel = &*work.channel, day = %work.day, term = work.term.name(), what, "a day is given up: nothing of it is compared");
        metrics::counter!("boomgate_days_given_up_total", "channel" => work.channel.to_string()).increment(1);
        let waits = Some(format!("it is given up, and is to be asked for by hand: {what}"));
        self.tell(work, &Standing { waits, ..standing.clone() }).await?;
        Ok(Ended::Done)
    }

    /// A statement is refused. Who asked by hand hears of it and asks again; a day that is due waits for another file.
    async fn refused(&self, work: &DayWork, standing: &Standing, since: Moment) -> Result<Ended> {
        // It is said once of each file.
        if self.standing(work).await?.as_ref() != Some(standing) {
            let why = standing.waits.as_deref().unwrap_or_default();
            tracing::error!(channel = &*work.channel, day = %work.day, why, "a statement is refused: nothing of it is compared");
            metrics::counter!("boomgate_statements_refused_total", "channel" => work.channel.to_string()).increment(1);
            self.tell(work, standing).await?;
        }
        if work.asked != DayWork::schedule() {
            return Ok(Ended::Done);
        }
        if self.is_over(work, since).await? {
            return self.given_up(work, standing).await;
        }
        Ok(Ended::Again(REFUSED_WAIT))
    }

    /// How a day stands, if that was told.
    async fn standing(&self, work: &DayWork) -> Result<Option<Standing>> {
        let entry = self.buckets.entry(table::RECONCILE, &work.key()).await?;
        let told = entry.filter(|entry| !entry.value.is_empty());
        Ok(told.map(|entry| serde_json::from_slice(&entry.value)).transpose()?)
    }

    /// Splits a day, and gives all its pieces: those that have lines, those that have payments, and those that an earlier comparison has told of. T+1 of a day that has
    /// had T+2 is that again: it knows less, and would take back what that has found.
    async fn laid(&self, worker: usize, asked: &DayWork) -> Result<(DayWork, Split), Why> {
        // Who names a file has seen to it.
        if asked.term == Term::After && asked.file.is_none() && !self.has_had_next(asked).await? {
            return Err(Why::Missing(format!("T+1 of {} of {} is not done yet", asked.channel, asked.day)));
        }
        let mut work = asked.clone();
        loop {
            let mut split = self.split(worker, &work).await?;
            split.pieces.extend(self.parts(Table::Payments, &self.days(work.day)).await?);
            split.pieces.extend(self.told(&work).await?);
            let after: Vec<Key> = split.pieces.iter().map(|piece| ask::at(&work, *piece).key(Term::After)).collect();
            if work.term == Term::After || self.saved(&after).await? == 0 {
                return Ok((work, split));
            }
            work.term = Term::After;
        }
    }

    /// Whether T+1 of a day is over: nothing of it is in the queue, and what came of it is saved, for that is what T+2 explains. One that nobody asked for is over.
    async fn has_had_next(&self, work: &DayWork) -> Result<bool> {
        let next = DayWork { term: Term::Next, ..work.clone() };
        let queued = ask::queued(&*self.bus).await?;
        // Who named a file that never comes waits alone.
        let is_next = |of: &DayWork| DayWork { asked: next.asked, ..of.clone() } == next;
        if queued.iter().any(|queued| is_next(queued.of())) {
            return Ok(false);
        }
        let split = self.standing(&next).await?.filter(|standing| !standing.refused && standing.waits.is_none());
        let Some(Standing { term, pieces, .. }) = split else { return Ok(true) };
        let keys: Vec<Key> = pieces.iter().map(|piece| ask::at(work, *piece).key(term.unwrap_or(Term::Next))).collect();
        Ok(self.saved(&keys).await? == pieces.len())
    }

    /// How many of these rows are saved.
    async fn saved(&self, keys: &[Key]) -> Result<usize> {
        let mut saved = 0_usize;
        for keys in keys.chunks(LOAD_MOST) {
            saved = saved.saturating_add(self.store.load(keys.to_vec()).await?.into_iter().flatten().count());
        }
        Ok(saved)
    }

    /// The days whose orders a statement may tell of.
    fn days(&self, day: Day) -> BTreeSet<Day> {
        let Some(first) = begins(day) else { return BTreeSet::new() };
        (-i64::from(self.settings.days_back)..=1).map(|days| day_of(first.plus(days.saturating_mul(DAY)))).collect()
    }

    /// The pieces that have rows of a table, of all channels.
    async fn parts(&self, table: Table, days: &BTreeSet<Day>) -> Result<BTreeSet<(Province, Partition)>> {
        let parts = self.store.parts(table).await?;
        Ok(parts.into_iter().filter(|part| days.contains(&part.day)).map(|part| (part.province, part.bucket)).collect())
    }

    /// The pieces of a day that a comparison has told of: what it found there may be undone by a statement that has nothing there.
    async fn told(&self, work: &DayWork) -> Result<BTreeSet<(Province, Partition)>> {
        let pieces: Vec<_> = self.parts(Table::Pieces, &BTreeSet::from([work.day])).await?.into_iter().collect();
        let mut told = BTreeSet::new();
        for term in Term::ALL {
            for pieces in pieces.chunks(LOAD_MOST) {
                let keys = pieces.iter().map(|piece| ask::at(work, *piece).key(term)).collect();
                let rows = self.store.load(keys).await?;
                told.extend(pieces.iter().zip(rows).filter(|(_, row)| row.is_some()).map(|(piece, _)| *piece));
            }
        }
        Ok(told)
    }

    async fn piece(&self, worker: usize, work: &PieceWork, since: Moment) -> Result<Ended> {
        let lines = match self.lines(worker, work).await {
            Ok(Lines::There(lines)) => lines,
            Ok(Lines::Past(now)) => return self.past(work, now).await,
            Err(Why::Missing(what) | Why::Refused(what)) => return self.lacking(work, &what, since).await,
            Err(Why::Failed(error)) => return Err(error),
        };
        let payments = self.payments(work, &lines).await?;
        let stays = self.stays(work, &payments).await?;
        let (at, term) = (work.at(), work.of.term);
        // What T+2 has found meanwhile is not for T+1 to close.
        let is_late = term == Term::Next && self.saved(&[at.key(Term::After)]).await? > 0;
        let open = if is_late { Vec::new() } else { self.open(work).await? };
        let tells_fees = spool::tells_fees(&self.settings.spool, work.run.as_str());
        let mut compared = background::run(move || compare(&at, term, &lines, &payments, &open, tells_fees)).await?;
        if let Some(StatementEvent { fact: StatementFact::Matched { stays: told, .. }, .. }) = compared.last_mut() {
            *told = stays;
        }
        let run: Token<32> = Work::Piece(work.clone()).key().parse().context("20 letters and digits are a token")?;
        for event in compared {
            match (StatementEvent { run: Some(run), ..event }).checked() {
                Ok(event) => {
                    self.bus.publish(finding(&event)).await?;
                }
                // It would be the same each time, and is no reason to say nothing of all else.
                Err(why) => {
                    tracing::error!(channel = &*work.of.channel, day = %work.of.day, why, "what was found cannot be said");
                    metrics::counter!("boomgate_findings_unsaid_total", "channel" => work.of.channel.to_string()).increment(1);
                }
            }
        }
        Ok(Ended::Done)
    }

    /// The statement of a piece is another one now: that is compared anew, all of it, and the piece is given up.
    async fn past(&self, work: &PieceWork, now: Token<32>) -> Result<Ended> {
        self.dropped(work, "its statement is another one now, and is compared anew").await?;
        let asked: Token<32> = format!("{AGAIN}{}", id::digest(&[now.as_str()], 20)).parse().context("26 letters, digits and a dash are a token")?;
        // Where reconcilers have different files, they do not ask one another for ever.
        if work.of.asked != asked {
            self.bus.publish(message(&Work::Day(DayWork { asked, ..work.of.clone() }))).await?;
        }
        Ok(Ended::Done)
    }

    /// The files of a piece were there and sound when its day was split, and are not now. It waits for them, and not for ever.
    async fn lacking(&self, work: &PieceWork, what: &str, since: Moment) -> Result<Ended> {
        let now = self.bus.look("WORK").await?.now;
        if now.since(since) > LACKING_MAX {
            self.dropped(work, what).await?;
            return Ok(Ended::Done);
        }
        tracing::warn!(channel = &*work.of.channel, day = %work.of.day, what, "the lines of a piece are gone");
        Ok(Ended::Again(MISSING_WAIT))
    }

    /// A piece is given up, and whoever asked for its day is told.
    async fn dropped(&self, work: &PieceWork, why: &str) -> Result<()> {
        let (of, piece) = (&work.of, format!("{}-{}", work.province, work.partition));
        tracing::warn!(channel = &*of.channel, day = %of.day, term = of.term.name(), piece, why, "a piece is given up");
        metrics::counter!("boomgate_pieces_given_up_total", "channel" => of.channel.to_string()).increment(1);
        // T+1 that was asked for may have become T+2.
        for term in Term::ALL {
            let key = DayWork { term, ..of.clone() }.key();
            let Some(entry) = self.buckets.entry(table::RECONCILE, &key).await?.filter(|entry| !entry.value.is_empty()) else { continue };
            let standing: Standing = serde_json::from_slice(&entry.value)?;
            if &*standing.asked != of.asked.as_str() || standing.term != Some(of.term) || standing.waits.is_some() {
                continue;
            }
            let value = serde_json::to_vec(&Standing { waits: Some(format!("piece {piece} is given up: {why}")), ..standing })?;
            match self.buckets.put(table::RECONCILE, &key, value.into(), Some(entry.revision)).await {
                // Another worker has told the same, or another comparison was asked for.
                Err(error) if error.kind == streams::Kind::Stale => {}
                told => {
                    told?;
                }
            }
        }
        Ok(())
    }

    /// The lines of a piece; where they do not lie here, the day is split once more.
    async fn lines(&self, worker: usize, work: &PieceWork) -> Result<Lines, Why> {
        if !spool::is_there(&self.settings.spool, work.run.as_str()) {
            if let Some(now) = self.known_past(work.run) {
                return Ok(Lines::Past(now));
            }
            let again = self.split(worker, &work.of).await?;
            if again.run != work.run {
                let known = (again.run, clock::now());
                self.past.lock().expect("nobody panics who holds it").insert(work.run, known);
                return Ok(Lines::Past(again.run));
            }
        }
        let (spool, run, at) = (self.settings.spool.clone(), work.run, (work.province, work.partition));
        let read = background::run(move || spool::read(&spool, run.as_str(), at.0, at.1)).await;
        Ok(Lines::There(read.map_err(|error| Why::Failed(error.into()))??))
    }

    /// The run of the statement that a look a moment ago found in place of this one: all pieces of a day ask the same.
    fn known_past(&self, run: Token<32>) -> Option<Token<32>> {
        let mut past = self.past.lock().expect("nobody panics who holds it");
        past.retain(|_, (_, since)| since.elapsed() < PAST_KEPT);
        past.get(&run).map(|(now, _)| *now)
    }

    /// The payments of a piece: those of its days, and those that its lines name.
    async fn payments(&self, work: &PieceWork, lines: &[Spooled]) -> Result<Vec<Payment>> {
        let mut payments: BTreeMap<Id, Payment> = BTreeMap::new();
        let mut keep = |entity: Entity| {
            if let Entity::Payment(payment) = entity {
                payments.insert(payment.order, *payment);
            }
        };
        let days = self.days(work.of.day);
        for day in &days {
            let part = Part { table: Table::Payments, province: work.province, day: *day, bucket: work.partition };
            self.store.scan(part).await?.into_iter().for_each(|row| keep(row.entity));
        }
        let named: BTreeSet<Key> = lines
            .iter()
            .filter_map(|spooled| Key::of(Table::Payments, order_of(&spooled.line.number)?))
            .filter(|key| !days.contains(&key.day) && (key.province, key.bucket) == (work.province, work.partition))
            .collect();
        let named: Vec<Key> = named.into_iter().collect();
        for keys in named.chunks(LOAD_MOST) {
            self.store.load(keys.to_vec()).await?.into_iter().flatten().for_each(|row| keep(row.entity));
        }
        Ok(payments.into_values().collect())
    }

    /// The open stays of a piece's place that do not go with their money, as far as they are saved. Each comparison counts them, for a person must look at them.
    async fn stays(&self, work: &PieceWork, payments: &[Payment]) -> Result<Option<Box<Stays>>> {
        let (at, now) = (work.at(), self.bus.look("WORK").await?.now);
        let open = self.store.open(Journal::Session, vec![work.partition]).await?;
        let found = stays::look(&at, payments, &stays::of(open, work.province), now);
        for (what, listed) in found.iter().flat_map(|found| found.lists()) {
            metrics::counter!("boomgate_stays_found_total", "channel" => at.channel.to_string(), "what" => what).increment(listed.count);
        }
        Ok(found)
    }

    /// The exceptions of a piece, as far as they are saved.
    async fn open(&self, work: &PieceWork) -> Result<Vec<Exception>> {
        let part = Part { table: Table::Exceptions, province: work.province, day: work.of.day, bucket: work.partition };
        let rows = self.store.scan(part).await?;
        Ok(rows.into_iter().filter_map(|row| if let Entity::Exception(one) = row.entity { Some(*one) } else { None }).collect())
    }
}

#[cfg(test)]
mod tests;
