//! Statements that a channel hands out itself: asked for when their day is worked on and no file of it lies in the folder.
//!
//! A file is written beside its place, verified whole, by its hash where the channel tells one, and only then given a name that is looked for. So what follows is the same
//! as of a file that somebody has laid down. Whose turn it is to ask, and how often that was in vain, is in the bucket of reconciliations: a day whose reconciler died is in
//! the queue still, and somebody else asks when the turn is over.
//!
//! Invariants
//! 1. What was fetched is verified before it has a name   (`tests::a_days_statement_is_fetched_verified_and_split`); what is refused has none, and is asked for again
//!    (`tests::a_file_with_another_hash_is_refused_whole`), as is what was cut off   (`tests::a_download_that_is_cut_off_is_tried_again`).
//! 2. One asks at a time, and after each time in vain later   (`tests::one_asks_at_a_time`, `tests::who_asks_in_vain_asks_ever_more_seldom`).
//! 3. That nothing happened on a day is believed only when its statement would be there   (`tests::that_nothing_happened_is_believed_once_it_would_be_known`).
//! 4. What somebody has laid down is not fetched   (`tests::nothing_is_fetched_where_a_file_lies`).
//! 5. Memory does not grow with the file: it is written piece by piece   (`Laying::write`).
//!
//! Not here: how a channel is asked (`channels`), from which hosts a file may come (`gateway::calls::statements`), when a day is due (`schedule`).

use super::{
    MISSING_WAIT, Reconciler,
    split::{self, Why},
    spool::synced,
};
use crate::{background, caller, config::Config, gateway};
use ::gateway::calls::{
    client::{Download, Failure},
    statements::{Found, Missed, Statements, WITHIN},
};
use anyhow::{Context, Result};
use channels::statement::{Form, Wanted};
use jiff::civil::Date;
use schema::{
    Moment,
    exception::{Term, begins},
    id,
    time::{DAY, MINUTE},
    work::DayWork,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use streams::table;
use tokio::io::AsyncWriteExt;

/// How the names of fetched statements begin: what a person lays beside one counts.
pub const FETCHED: &str = "0-fetched-";
/// How the name goes on of what was refused. It is kept until the next one is, for whoever looks into it.
const REFUSED: &str = ".refused";
/// What became of an ask that was broken off because we end.
const STOPPED: &str = "stopped";
/// How names begin of what is being fetched.
const PART: &str = ".fetching-";
/// What lies in the place of a statement of a day on which nothing happened (`channels::statement::Form::begin`).
const NOTHING: &[u8] = b"{\"code\":\"NO_BILL\"}\n";
/// How long a turn lasts: whoever has not handed it back then has died.
const TURN: Duration = Duration::from_secs(1_200);
/// How long nobody asks at most after a time in vain, in microseconds.
const AGAIN_MAX: i64 = 60_i64.saturating_mul(MINUTE);
/// How often that time is doubled.
const DOUBLINGS_MAX: u32 = 16;
/// How long after it was due a statement is there, or never will be, in microseconds. Some channels say of one that they are making that there is none.
const MADE_WITHIN: i64 = 120_i64.saturating_mul(MINUTE);
/// How much of the reason is kept for which there is no statement.
const WHY_MAX: usize = 500;

// Who downloads is done, and has time left to verify, before it is another one's turn.
const _: () = assert!(TURN.as_secs() > WITHIN.as_secs());

/// The channels whose statements are fetched, by their names.
#[derive(Clone, Default)]
pub struct Sources {
    of: BTreeMap<String, Arc<Statements>>,
    /// How long nobody asks after the first time in vain, in microseconds.
    again: i64,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.of.keys()).finish()
    }
}

impl Sources {
    /// Those of a configuration; an error where the keys of one cannot be read or used.
    pub fn of(config: &Config) -> Result<Self> {
        let mut of = BTreeMap::new();
        for name in &config.reconcile.fetch {
            let at = config.channels.get(name).with_context(|| format!("reconcile.fetch: there is no channels.{name}"))?;
            let source = Statements::new(caller::site(name, at)?, &at.download_hosts, &caller::limits(config), gateway::clock);
            of.insert(name.clone(), Arc::new(source.with_context(|| format!("channels.{name}: its statements cannot be fetched"))?));
        }
        Ok(Self { of, again: micros(MISSING_WAIT) })
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.of.keys().map(String::as_str)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// How long nobody asks after so many times in vain, in microseconds.
fn again(first: i64, tries: u32) -> i64 {
    first.saturating_mul(1_i64 << tries.saturating_sub(1).min(DOUBLINGS_MAX)).min(AGAIN_MAX)
}

/// Whose turn it is to ask for a statement: an entry of the bucket of reconciliations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Turn {
    /// Who has it, or had it last.
    by: String,
    /// How often somebody asked, this time included.
    tries: u32,
    /// Until when nobody else asks.
    until: Moment,
    /// Why the last time was in vain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// A turn that one has.
#[derive(Debug)]
struct Mine {
    key: String,
    revision: u64,
    turn: Turn,
}

/// A statement that is to be laid down.
#[derive(Clone, Debug)]
struct Laying {
    form: Form,
    wanted: Wanted,
    folder: PathBuf,
    writer: String,
}

impl Laying {
    /// The name by which it is looked for.
    fn place(&self) -> PathBuf {
        self.folder.join(format!("{FETCHED}{}", self.wanted.day))
    }

    /// Where it is written until then.
    fn part(&self) -> PathBuf {
        self.folder.join(format!("{PART}{}-{}.part", self.wanted.day, self.writer))
    }

    /// Asks for it and lays it down; gives a word for metrics. That there is none counts only where that can be known by now.
    async fn bring(&self, from: &Statements, is_late: bool) -> Result<&'static str, Missed> {
        let (outcome, told) = match from.ask(&self.wanted).await? {
            Found::File(file, told) => {
                self.write(Some(file)).await?;
                ("there", told)
            }
            Found::Nothing if is_late => {
                self.write(None).await?;
                ("nothing", None)
            }
            Found::Nothing => return Err(Missed::new("not_yet", "the channel has none by now")),
        };
        let laying = self.clone();
        let named = background::run(move || laying.name(told.as_deref())).await;
        named.map_err(|error| Missed::new("failed", error.to_string()))??;
        Ok(outcome)
    }

    /// Writes what comes, or that there is nothing, until it is on the disk.
    async fn write(&self, file: Option<Download>) -> Result<(), Missed> {
        let part = self.part();
        let failed = |error: std::io::Error| Missed::new("failed", format!("cannot write {}: {error}", part.display()));
        tokio::fs::create_dir_all(&self.folder).await.map_err(failed)?;
        let mut written = tokio::fs::File::create(&part).await.map_err(failed)?;
        if let Some(mut file) = file {
            let cut = |failure: Failure| Missed::new("cut_off", format!("its download was cut off: {failure}"));
            while let Some(piece) = file.next().await.map_err(cut)? {
                written.write_all(&piece).await.map_err(failed)?;
            }
        } else {
            written.write_all(NOTHING).await.map_err(failed)?;
        }
        written.flush().await.map_err(failed)?;
        written.sync_all().await.map_err(failed)
    }

    /// Verifies what was written, and gives it its name.
    fn name(&self, told: Option<&str>) -> Result<(), Missed> {
        let (part, place) = (self.part(), self.place());
        let failed = |error: anyhow::Error| Missed::new("failed", format!("{error:#}"));
        match split::verified(&self.form, &self.wanted, &part, told) {
            Ok(hash) => self.named(&part, &place, &hash).map_err(failed),
            Err(Why::Refused(why)) => {
                fs::rename(&part, split::beside(&place, REFUSED)).ok();
                Err(Missed::new("refused", format!("what it hands out is refused: {why}")))
            }
            Err(Why::Missing(what)) => Err(Missed::new("failed", what)),
            Err(Why::Failed(error)) => Err(failed(error)),
        }
    }

    /// Gives it its name, its hash beside it.
    fn named(&self, part: &Path, place: &Path, hash: &str) -> Result<()> {
        let beside = split::beside(place, split::HASH);
        fs::write(&beside, format!("{hash}\n")).with_context(|| format!("cannot write {}", beside.display()))?;
        synced(&beside)?;
        fs::rename(part, place).with_context(|| format!("cannot make {}", place.display()))?;
        synced(&self.folder)
    }
}

/// Whether a day's statement lies there. T+2 asks once more where the channel had said of T+1 that there is none: it may have been late with it.
fn is_laid(folder: &Path, day: Date, term: Term) -> bool {
    let found = split::find(folder, day);
    let is_none = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy() == format!("{FETCHED}{day}"))
            && path.metadata().is_ok_and(|about| about.len() == NOTHING.len() as u64)
            && fs::read(path).is_ok_and(|bytes| bytes == NOTHING)
    };
    match &found[..] {
        [] => false,
        [one] if term == Term::After => !is_none(one),
        _ => true,
    }
}

/// Removes what was begun longer than `keep` ago and is not done: whoever began it has died.
pub fn sweep(folder: &Path, keep: Duration) {
    let Ok(files) = fs::read_dir(folder) else { return };
    for file in files.flatten().filter(|file| file.file_name().to_string_lossy().starts_with(PART)) {
        let age = file.metadata().and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > keep)
            && let Err(error) = fs::remove_file(file.path())
        {
            tracing::warn!(file = %file.path().display(), %error, "a part of a statement cannot be removed");
        }
    }
}

impl Reconciler {
    /// Fetches what statements a day lacks, as far as its channel hands them out to us; gives why one is not there then.
    pub(super) async fn fetched(&self, worker: usize, asked: &DayWork) -> Option<String> {
        let from = self.settings.sources.of.get(&*asked.channel).filter(|from| from.merchant() == &*asked.merchant)?;
        let own = split::date(asked.day)?;
        let after = (asked.term == Term::After).then(|| own.tomorrow().ok()).flatten();
        let writer = format!("{}-{worker}", self.replica);
        let mut lacks = None;
        // Who names a file has the day's own.
        for day in asked.file.is_none().then_some(own).into_iter().chain(after) {
            match self.fetch(from, asked, day, &writer).await {
                Ok(None) => {}
                Ok(why) => lacks = why,
                Err(error) => lacks = Some(format!("{error:#}")),
            }
        }
        lacks
    }

    /// Fetches the statement of a day unless there is one; gives why there is none then.
    async fn fetch(&self, from: &Statements, of: &DayWork, day: Date, writer: &str) -> Result<Option<String>> {
        let (name, form) = channels::form(&of.channel)?;
        let folder = self.settings.folder.join(name);
        let (looked, term) = (folder.clone(), of.term);
        if background::run(move || is_laid(&looked, day, term)).await? {
            return Ok(None);
        }
        let now = self.bus.look("WORK").await?.now;
        let due = begins(split::day(day)).map(|first| first.plus(DAY).plus(self.settings.due_after));
        let Some(due) = due.filter(|due| *due <= now) else {
            return Ok(Some(format!("{name} is not asked for that of {day} before it is due")));
        };
        let mine = match self.turn(of, day, now, writer).await? {
            Ok(mine) => mine,
            Err(why) => return Ok(Some(why)),
        };
        let merchant = Some(of.merchant.to_string()).filter(|merchant| !merchant.is_empty());
        let laying = Laying { form, wanted: Wanted { day, merchant }, folder, writer: writer.to_owned() };
        let (mut shutdown, is_late) = (self.shutdown.clone(), now >= due.plus(MADE_WITHIN));
        let brought = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => Err(Missed::new(STOPPED, "whoever fetched it was stopped")),
            brought = laying.bring(from, is_late) => brought,
        };
        let outcome = brought.as_ref().map_or_else(|missed| missed.outcome, |outcome| *outcome);
        metrics::counter!("boomgate_statements_fetched_total", "channel" => name, "outcome" => outcome).increment(1);
        let Err(missed) = brought else {
            tracing::info!(channel = name, %day, outcome, "a statement is fetched");
            self.buckets.forget(table::RECONCILE, &mine.key, mine.revision.saturating_add(1)).await?;
            return Ok(None);
        };
        tokio::fs::remove_file(laying.part()).await.ok();
        self.missed(name, day, &missed, is_late);
        self.hand_back(mine, &missed).await?;
        Ok(Some(format!("{name} is asked for it: {missed}")))
    }

    /// Tells why a statement is not there: a channel that says for hours that it has none yet may have another reason.
    fn missed(&self, name: &'static str, day: Date, missed: &Missed, is_late: bool) {
        let (Missed { outcome, why }, by) = (missed, &self.replica);
        if *outcome == STOPPED || (*outcome == "not_yet" && !is_late) {
            tracing::info!(channel = name, %day, outcome, why, by, "a statement is not fetched yet");
        } else {
            tracing::error!(channel = name, %day, outcome, why, by, "a statement cannot be fetched");
        }
        if *outcome == "refused" {
            metrics::counter!("boomgate_statements_refused_total", "channel" => name).increment(1);
        }
    }

    /// Takes the turn to ask for a statement; else why it is not ours.
    async fn turn(&self, of: &DayWork, day: Date, now: Moment, writer: &str) -> Result<Result<Mine, String>> {
        let key = format!("fetch.{}.{}.{}", of.channel, id::digest(&[&of.merchant], 20), split::day(day));
        let entry = self.buckets.entry(table::RECONCILE, &key).await?;
        let told = entry.as_ref().filter(|entry| !entry.value.is_empty());
        let before = told.map(|entry| serde_json::from_slice::<Turn>(&entry.value)).transpose().with_context(|| format!("{key} is no turn"))?;
        if let Some(Turn { by, until, why, .. }) = before.as_ref().filter(|turn| turn.until > now) {
            return Ok(Err(match why {
                Some(why) => format!("{} is asked for it again from {until} on: {why}", of.channel),
                None => format!("{by} fetches it"),
            }));
        }
        let tries = before.map_or(0, |turn| turn.tries).saturating_add(1);
        let turn = Turn { by: writer.to_owned(), tries, until: now.plus(micros(TURN)), why: None };
        let expected = entry.map_or(0, |entry| entry.revision);
        match self.buckets.put(table::RECONCILE, &key, serde_json::to_vec(&turn)?.into(), Some(expected)).await {
            Ok(revision) => Ok(Ok(Mine { key, revision, turn })),
            Err(error) if error.kind == streams::Kind::Stale => Ok(Err("another one fetches it".to_owned())),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands a turn back that was in vain: for a while nobody asks, unless it was we who broke off.
    async fn hand_back(&self, Mine { key, revision, turn }: Mine, missed: &Missed) -> Result<()> {
        let is_ours = missed.outcome == STOPPED;
        let (tries, wait) = if is_ours { (turn.tries.saturating_sub(1), 0) } else { (turn.tries, again(self.settings.sources.again, turn.tries)) };
        let until = self.bus.look("WORK").await?.now.plus(wait);
        let turn = Turn { until, tries, why: Some(missed.why.chars().take(WHY_MAX).collect()), ..turn };
        match self.buckets.put(table::RECONCILE, &key, serde_json::to_vec(&turn)?.into(), Some(revision)).await {
            // It was over, and is another one's by now.
            Err(error) if error.kind == streams::Kind::Stale => Ok(()),
            told => Ok(told.map(drop)?),
        }
    }
}

#[cfg(test)]
mod tests;
