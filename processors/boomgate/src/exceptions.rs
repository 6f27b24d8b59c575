//! What does not match channels' statements, shown to persons, and what they do about it: said at the desk of its partition like everything that persons say.
//!
//! Invariants
//! 1. The oldest and the largest come first   (`tests::the_oldest_and_largest_come_first`).
//! 2. What is done is told once it is decided, and a refund goes on to its ordinary rule   (`tests::what_is_done_is_told_once_it_is_decided`).
//! 3. A refund whose second half was not said goes on when it is asked for again   (`tests::a_refund_that_was_begun_goes_on`).
//!
//! Not here: what may be done, and what becomes of it (`rules::exceptions`).

use crate::desk::words;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use gateway::{Desks, Journals, Outcome, View};
use schema::{
    DeskEvent, Entity, Event, Id, Journal, Moment, Partition, Recorded, Table,
    desk::{AuthorId, ExceptionStep, Says},
    exception::{Closing, Exception, ReconEvent, desk_of},
    id::{self, order_of},
    journal::{Note, PaymentEvent, Source},
    time::Day,
};
use std::{sync::Arc, time::Duration};
use store::Store;
use streams::Bus;

/// How long the broker may take to store what is said.
const STORE_WAIT: Duration = Duration::from_secs(10);
/// How long a decision is waited for.
const DECIDED_WAIT: Duration = Duration::from_secs(10);
/// How often a refund is tried to be asked for until its money is booked, and how long is between two tries.
const REFUND_TRIES: (u32, Duration) = (20, Duration::from_millis(500));

/// What is done.
#[derive(Subcommand)]
pub enum What {
    /// A line for each that is open, the oldest and largest first.
    List(Wanted),
    /// One, with all that happened to it.
    Show {
        /// Its id.
        exception: Id,
        /// Prints it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Somebody looks after it from now on.
    Assign {
        /// Who.
        owner: AuthorId,
        /// Of which exception, and who says so.
        #[command(flatten)]
        said: Said,
    },
    /// Its channel is asked how the payment stands; the answer comes in like every notification.
    Requery(Said),
    /// What we lack goes in as if the channel had said it, so that everything promised of payments holds for it.
    Repair(Said),
    /// What the channel has too much is booked, and goes back by the ordinary rule of refunds. Where that was begun and broken off, it goes on.
    Refund(Said),
    /// It is let be. Above `limits.refund_alone_max` another person must agree, with `approve`.
    WriteOff(Said),
    /// Another person agrees that it is written off.
    Approve(Said),
}

/// Which exceptions are listed.
#[derive(Args, Default)]
pub struct Wanted {
    /// Of this channel alone.
    #[arg(long)]
    channel: Option<String>,
    /// Of this day's statement alone (yymmdd), the closed ones too.
    #[arg(long)]
    day: Option<u32>,
    /// Those that this person looks after.
    #[arg(long)]
    owner: Option<AuthorId>,
    /// Prints them as JSON.
    #[arg(long)]
    json: bool,
}

/// Of what something is said, by whom, and why.
#[derive(Args)]
pub struct Said {
    /// The exception's id.
    exception: Id,
    /// Who says so.
    #[arg(long)]
    author: AuthorId,
    /// Why, for whoever reads it later.
    #[arg(long)]
    reason: String,
}

impl Said {
    /// What somebody says of an exception, and why; the author's name must be one.
    #[cfg(test)]
    pub(crate) fn by(exception: Id, author: &str, reason: &str) -> Self {
        Self { exception, author: author.parse().expect("a name"), reason: reason.into() }
    }
}

/// Does it; gives whether it was done.
pub async fn run(what: &What, bus: Arc<dyn Bus>, store: Arc<dyn Store>) -> Result<bool> {
    let view = View::new(bus.clone(), store.clone());
    let (said, step) = match what {
        What::List(wanted) => {
            let found = list(&*store, wanted).await?;
            print(&found, wanted.json)?;
            return Ok(true);
        }
        What::Show { exception, json } => {
            let found = view.exception(*exception).await?.with_context(|| format!("there is no exception {exception}"))?;
            show(&found, *json)?;
            return Ok(true);
        }
        What::Assign { owner, said } => (said, ExceptionStep::Assign(*owner)),
        What::Requery(said) => (said, ExceptionStep::Requery),
        What::Repair(said) => (said, ExceptionStep::Repair),
        What::Refund(said) => (said, ExceptionStep::Refund),
        What::WriteOff(said) => (said, ExceptionStep::WriteOff),
        What::Approve(said) => {
            let found = view.exception(said.exception).await?.with_context(|| format!("there is no exception {}", said.exception))?;
            let Some(wanted) = found.wanted else { bail!("nobody wants exception {} written off, or it is done", said.exception) };
            (said, ExceptionStep::Approve(wanted.0))
        }
    };
    act(&Desks::new(Journals::new(bus, 1), STORE_WAIT, DECIDED_WAIT), &view, said, step).await
}

/// The exceptions that are wanted: those that are open, or all of a day's statement; by what is saved.
pub async fn list(store: &dyn Store, wanted: &Wanted) -> Result<Vec<Exception>> {
    let mut rows = Vec::new();
    if let Some(day) = wanted.day {
        for part in store.parts(Table::Exceptions).await?.into_iter().filter(|part| part.day == Day(day)) {
            rows.extend(store.scan(part).await?);
        }
    } else {
        rows = store.open(Journal::Recon, Partition::all().collect()).await?;
    }
    let of = |row: store::Row| if let Entity::Exception(exception) = row.entity { Some(*exception) } else { None };
    let is_wanted = |exception: &Exception| {
        wanted.channel.as_deref().is_none_or(|channel| channel == &*exception.piece.channel)
            && wanted.owner.is_none_or(|owner| exception.owner == Some(owner))
    };
    let mut found: Vec<Exception> = rows.into_iter().filter_map(of).filter(is_wanted).collect();
    found.sort_by_key(|one| (one.closed.is_some(), std::cmp::Reverse((one.age, one.gap().saturating_abs())), one.exception));
    Ok(found)
}

/// Says what is to be done about one, and prints what was decided.
async fn act(desks: &Desks, view: &View, said: &Said, step: ExceptionStep) -> Result<bool> {
    let now = desks.now().await?;
    let place = id::place(said.exception.as_str()).with_context(|| format!("{} is no exception of ours", said.exception))?;
    let says = Says::Exception { exception: said.exception, step };
    let event = spoken(said, desk_of(place.partition), says, now)?;
    let Some(decided) = decide(desks, &event).await? else { return Ok(false) };
    println!("{}", decided.iter().map(told).collect::<Vec<_>>().join("; "));
    let is_refused = decided.iter().any(|recorded| matches!(recorded.event, Event::Recon(ReconEvent::Noted { .. })));
    if step != ExceptionStep::Refund {
        return Ok(!is_refused);
    }
    let exception = view.exception(said.exception).await?.with_context(|| format!("there is no exception {}", said.exception))?;
    // Whoever asked for it before may have died once it was decided here and before it was said to `payment`: saying that again gives nothing back twice.
    if is_refused && exception.closed != Some(Closing::Refunded) {
        return Ok(false);
    }
    if is_wanted(view, &exception).await? {
        println!("its refund waits for another person to agree");
        return Ok(true);
    }
    refund(desks, said, &exception).await
}

/// Whether somebody wants its money back already, and another person must agree.
async fn is_wanted(view: &View, exception: &Exception) -> Result<bool> {
    let (Some(order), Some(line)) = (order_of(exception.number()), &exception.line) else { return Ok(false) };
    let Some(payment) = view.payment(order).await? else { return Ok(false) };
    let is_its = |source: &Source| (&source.channel, &source.transaction) == (&exception.piece.channel, &line.transaction);
    Ok(payment.wanted.values().any(|wish| is_its(&wish.source) && wish.amount == line.amount))
}

/// Money that was a surplus is booked by now, or will be in a moment, and goes back by the ordinary rule.
async fn refund(desks: &Desks, said: &Said, exception: &Exception) -> Result<bool> {
    let order = order_of(exception.number()).context("its number is none of ours")?;
    let place = id::place(order.as_str()).context("its order is none of ours")?;
    let line = exception.line.as_ref().context("it has no line of a statement")?;
    let (channel, transaction) = (exception.piece.channel.clone(), line.transaction.clone());
    let says = Says::Refund { order, channel, transaction, amount: line.amount };
    let (tries, apart) = REFUND_TRIES;
    for _ in 0..tries {
        let event = spoken(said, desk_of(place.partition), says.clone(), desks.now().await?)?;
        let Some(decided) = decide(desks, &event).await? else { return Ok(false) };
        let note = decided
            .iter()
            .find_map(|recorded| if let Event::Payment(PaymentEvent::Noted { note, .. }) = &recorded.event { Some(*note) } else { None });
        match note {
            // Its money is not booked yet.
            Some(Note::Unknown) => crate::clock::wait(apart).await,
            // It paid nothing, and so it is on its way back already.
            Some(Note::MoreThanPaid | Note::AlreadyKnown) => {
                println!("it pays no order, and goes back by itself");
                return Ok(true);
            }
            Some(note) => bail!("it cannot go back: {note:?}"),
            None => {
                println!("{}", decided.iter().map(words).collect::<Vec<_>>().join("; "));
                return Ok(true);
            }
        }
    }
    bail!("its money is not booked yet: is `boomgate run payment` running? ask for the refund of {order} at its desk then")
}

fn spoken(said: &Said, lot: schema::LotId, says: Says, now: Moment) -> Result<DeskEvent> {
    let name = id::digest(&["exception", said.exception.as_str(), said.author.as_str(), &format!("{says:?}"), &now.0.to_string()], 20);
    let event = DeskEvent { id: name.parse()?, lot, said_at: now, author: said.author, reason: said.reason.as_str().into(), says };
    event.checked().map_err(anyhow::Error::msg)
}

async fn decide(desks: &Desks, event: &DeskEvent) -> Result<Option<Vec<Recorded>>> {
    match desks.say(event, None).await? {
        Outcome::Decided(recorded) => Ok(Some(recorded)),
        Outcome::Stored => {
            println!("stored, and not decided yet: is `boomgate run {}` running?", crate::desk::decides(event));
            Ok(None)
        }
    }
}

fn told(recorded: &Recorded) -> String {
    match &recorded.event {
        Event::Recon(ReconEvent::ExceptionActed { act, .. }) => act.as_str().replace('_', " "),
        Event::Recon(ReconEvent::ExceptionClosed { why, .. }) => format!("closed: {}", why.as_str().replace('_', " ")),
        _ => words(recorded),
    }
}

fn print(found: &[Exception], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(found)?);
        return Ok(());
    }
    for one in found {
        let owner = one.owner.map_or_else(|| "nobody".into(), |owner| owner.to_string());
        let state = one.closed.map_or_else(|| one.age.as_str().to_owned(), |closed| closed.as_str().replace('_', " "));
        let (what, number) = (one.difference.english(), one.number());
        println!(
            "{}  {:<10}  {what} {}  {}  {} of {}  {number}  {owner}",
            one.exception,
            state,
            one.difference.chinese(),
            one.money(),
            one.piece.channel,
            one.piece.day
        );
    }
    println!("{} exceptions", found.len());
    Ok(())
}

fn show(exception: &Exception, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(exception)?);
        return Ok(());
    }
    print(std::slice::from_ref(exception), false)?;
    if let Some(line) = &exception.line {
        let kind = line.kind.as_str();
        println!(
            "  the channel: line {}, {kind} {} of {} at {}, {}",
            line.line,
            line.transaction,
            line.amount,
            line.happened_at,
            line.standing.as_str()
        );
    }
    if let Some(payment) = &exception.payment {
        let kind = payment.kind.as_str();
        println!("  we: {kind} of order {}, {} at {}, {}", payment.order, payment.amount, payment.happened_at, payment.standing.as_str());
    }
    for happened in &exception.history {
        let by = happened.by.as_ref().map(|said| format!(" by {}: {}", said.author, said.reason)).unwrap_or_default();
        println!("  {}  {}{by}", happened.at, happened.what.replace('_', " "));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
