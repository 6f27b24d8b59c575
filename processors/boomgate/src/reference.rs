//! Reference data: the operator's lots, lanes, rate tables and calendars, from files into a bucket that all processors watch.
//!
//! files ─► resolved whole ─► difference, shown ─► parts, then one manifest ─► every processor, within a second
//!
//! Invariants
//! 1. Nothing changes before the whole is resolved   (`files::tests::an_error_names_file_and_item`).
//! 2. Nobody sees a half, and of two who apply at once one is told   (`layout`).
//! 3. What is damaged changes nothing   (`watch`).
//!
//! Not here: what the data says (`schema::reference`), what is decided by it (`rules`).

pub mod catalog;
pub mod files;
pub mod layout;
pub mod watch;

use anyhow::{Context, Result, bail};
use catalog::{Catalog, Difference};
use layout::Held;
use std::{
    io::{BufRead, IsTerminal, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};
use streams::{Buckets, Kind};
use tokio::sync::watch as watched;
pub use watch::{InForce, follow};

/// The most lines of a difference that are shown before somebody is asked.
const SHOWN_LINES: usize = 60;
/// How long a broker that is away is left alone at a start.
const AWAY: Duration = Duration::from_secs(1);

/// What is to come into force: the difference, and on what it is written.
#[derive(Debug)]
pub struct Offer {
    /// What comes, goes and changes.
    pub difference: Difference,
    catalog: Catalog,
    expected: u64,
    damaged: Option<String>,
}

impl Offer {
    /// Holds a catalog against what is in force. Refuses another thing under a version that is in force.
    pub async fn make(bus: &dyn Buckets, catalog: Catalog) -> Result<Self> {
        let held = layout::read(bus).await?;
        let expected = held.revision();
        let (before, damaged) = match held {
            Held::Nothing => (Catalog::default(), None),
            Held::Whole(version) => (version.catalog, None),
            Held::Damaged { why, .. } => (Catalog::default(), Some(why)),
        };
        let difference = before.difference(&catalog);
        difference.check()?;
        Ok(Self { difference, catalog, expected, damaged })
    }

    /// Whether it is in force already.
    pub fn is_in_force(&self) -> bool {
        self.difference.is_empty() && self.damaged.is_none() && self.expected != 0
    }

    /// Puts it in force; gives its revision. [`Kind::Stale`]: something else came into force since it was made.
    pub async fn apply(&self, bus: &dyn Buckets) -> Result<u64, streams::Error> {
        layout::write(bus, &self.catalog, self.expected).await
    }

    fn print(&self, most: usize) {
        if let Some(why) = &self.damaged {
            println!("what is in the bucket is damaged ({why}): everything is written anew");
        }
        for line in self.difference.lines(most) {
            println!("{line}");
        }
        println!("{}", self.difference);
    }
}

/// Shows what a file or folder would change, asks unless `yes`, and puts it in force.
pub async fn apply(bus: &dyn Buckets, path: &Path, yes: bool) -> Result<()> {
    let offer = Offer::make(bus, files::read(path)?).await?;
    if offer.is_in_force() {
        println!("nothing differs: {} is in force", path.display());
        return Ok(());
    }
    offer.print(SHOWN_LINES);
    if !yes && !asked()? {
        bail!("nothing was changed");
    }
    match offer.apply(bus).await {
        Ok(revision) => println!("in force as revision {revision}"),
        Err(error) if error.kind == Kind::Stale => {
            bail!("nothing was changed: somebody else applied something meanwhile; look at the difference again")
        }
        Err(error) if error.kind == Kind::Unavailable => {
            return Err(error).context("whether it is in force is not known: `boomgate reference diff` tells, and applying it again does no harm");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn asked() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to be asked: look at the difference and say --yes");
    }
    print!("apply? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Prints all that a file or folder would change; gives whether it is in force as it is.
pub async fn diff(bus: &dyn Buckets, path: &Path) -> Result<bool> {
    let offer = Offer::make(bus, files::read(path)?).await?;
    offer.print(usize::MAX);
    Ok(offer.is_in_force())
}

async fn whole(bus: &dyn Buckets) -> Result<layout::Version> {
    match layout::read(bus).await? {
        Held::Whole(version) => Ok(version),
        Held::Nothing => bail!("no reference data was ever applied: `boomgate reference apply FOLDER`"),
        Held::Damaged { revision, why } => {
            bail!("revision {revision} is damaged ({why}): processors keep the last good one; apply it again")
        }
    }
}

/// What is in force, as declared.
pub async fn in_force(bus: &dyn Buckets) -> Result<schema::reference::Declared> {
    whole(bus).await?.catalog.declared()
}

/// Prints what is in force: a summary, or all of it as JSON that `apply` takes.
pub async fn show(bus: &dyn Buckets, json: bool) -> Result<()> {
    let version = whole(bus).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&version.catalog.declared()?)?);
        return Ok(());
    }
    println!("revision  {}\nversion   {}\napplied   {}", version.revision, version.version, version.time);
    for (kind, count) in version.catalog.counts() {
        println!("{count:>8}  {}", kind.replace('_', " "));
    }
    Ok(())
}

/// What a process begins with: what it was started with is put in force, and what is in force is read and watched. None where `shutdown` comes
/// first.
pub async fn begin(bus: Arc<dyn Buckets>, declared: Option<Catalog>, mut shutdown: watched::Receiver<bool>) -> Result<Option<InForce>> {
    if let Some(declared) = declared {
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => return Ok(None),
            brought = bring(&*bus, &declared) => brought?,
        }
    }
    Ok(follow(bus, shutdown).await)
}

/// Puts what a process was started with in force, unless it is. Waits for a broker that is away.
pub async fn bring(bus: &dyn Buckets, catalog: &Catalog) -> Result<()> {
    loop {
        let offer = Offer::make(bus, catalog.clone()).await;
        let failed = match offer {
            Ok(offer) if offer.is_in_force() => return Ok(()),
            Ok(offer) => match offer.apply(bus).await {
                Ok(revision) => {
                    tracing::info!(revision, difference = %offer.difference, "the reference data of the configuration is in force now");
                    return Ok(());
                }
                // Another process was started with it, too.
                Err(error) if error.kind == Kind::Stale => continue,
                Err(error) => error,
            },
            Err(error) => error.downcast::<streams::Error>()?,
        };
        if failed.kind != Kind::Unavailable {
            return Err(failed.into());
        }
        tracing::warn!(error = %failed, "the reference data cannot be applied yet: it is tried again");
        crate::clock::wait(AWAY).await;
    }
}

#[cfg(test)]
mod tests;
