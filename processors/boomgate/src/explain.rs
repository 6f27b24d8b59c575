//! The whole story of a session, an order or a plate, from the log: what a service desk reads to a driver.
//!
//! Invariants
//! 1. All that was journaled of a stay is told, in its order, and of nobody else   (`tests::a_story_is_whole_and_nobody_elses`).
//! 2. Of a story whose beginning was trimmed it is known what lacks   (`tests::what_began_before_the_log_is_told_by_its_rows`).
//!
//! Not here: what rows tell where the log has been trimmed (`kept`); whether what was decided is right (`verify`, the oracle).

mod kept;
mod words;

pub use kept::{before, kept, print_kept, print_whole};

use crate::input;
use anyhow::{Context, Result, bail};
use schema::{
    Credential, Effect, Event, Id, Journal, LotId, Moment, Partition, Recorded, Reference, Zone,
    exception::ReconEvent,
    id,
    journal::{OrderEvent, PaymentEvent, SessionEvent},
    ledger::LedgerEvent,
    plate, wire,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use streams::{Bus, Stored};

/// How many messages are read at once.
const WINDOW: usize = 1_000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    /// The journal.
    pub journal: Journal,
    /// Its sequence there.
    pub sequence: u64,
    /// How long it took, in microseconds: from what caused it (a device's clock, or the event of another journal) until it was recorded.
    pub took_us: i64,
    /// What happened, in words, by the lot's own clock.
    pub words: Vec<String>,
    /// The event itself.
    pub recorded: Recorded,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// All about the thing that has this id.
    Id(Id),
    /// All about a credential, as it is written when it is told apart from others.
    Credential(String),
}

impl What {
    /// An id of ours where it is one, else a plate, tag or ticket.
    pub fn of(text: &str) -> Self {
        match text.parse::<Id>() {
            Ok(id) if id::place(text).is_some() => Self::Id(id),
            _ => Self::Credential(plate::normalise(text)),
        }
    }
}

/// Everything that is told of it in the log, in order.
pub async fn story(bus: &dyn Bus, reference: &Reference, what: &What) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    for (partition, mut known) in begin(bus, what).await? {
        let mut found: BTreeMap<(Moment, Journal, u64), Recorded> = BTreeMap::new();
        // What is known of a stay grows by what is found of it: its orders name their payments, a payment its order.
        loop {
            let before = known.ids.len();
            for journal in Journal::ALL {
                read(bus, journal, partition, |sequence, recorded| {
                    if known.concerns(&recorded.event) {
                        known.ids.extend(ids(&recorded.event));
                        found.insert((recorded.at, journal, sequence), recorded);
                    }
                })
                .await?;
            }
            if known.ids.len() == before {
                break;
            }
        }
        told.extend(found.into_iter().map(|((_, journal, sequence), recorded)| tell(reference, journal, sequence, recorded)));
    }
    let depths = depths(&told);
    told.sort_by_key(|told| (told.recorded.at, depths.get(&(told.journal, told.sequence)).copied(), told.journal, told.sequence));
    Ok(told)
}

/// How many events of the story led to each, one after the other: of two in the same microsecond the cause is told first.
fn depths(told: &[Told]) -> BTreeMap<(Journal, u64), usize> {
    let causes: BTreeMap<(Journal, u64), (Journal, u64)> = told
        .iter()
        .filter_map(|told| {
            let cause = &told.recorded.cause;
            let journal = Journal::ALL.into_iter().find(|journal| journal.stream() == cause.inbox.stream())?;
            Some(((told.journal, told.sequence), (journal, cause.sequence)))
        })
        .collect();
    let depth = |mut at: (Journal, u64)| {
        let mut depth = 0_usize;
        while let Some(cause) = causes.get(&at).filter(|_| depth <= told.len()) {
            at = *cause;
            depth = depth.saturating_add(1);
        }
        depth
    };
    told.iter().map(|told| ((told.journal, told.sequence), depth((told.journal, told.sequence)))).collect()
}

/// What is known of a story in one partition.
#[derive(Default)]
struct Known {
    ids: BTreeSet<Id>,
    credential: Option<String>,
}

impl Known {
    fn concerns(&self, event: &Event) -> bool {
        let is_theirs = |credential: &Credential| self.credential.as_deref() == Some(&*credential.text);
        ids(event).iter().any(|id| self.ids.contains(id)) || who(event).is_some_and(is_theirs)
    }
}

/// The partitions in which there is something to tell.
async fn begin(bus: &dyn Bus, what: &What) -> Result<BTreeMap<Partition, Known>> {
    match what {
        What::Id(id) => {
            let place = id::place(id.as_str()).with_context(|| format!("{id} is no id of ours"))?;
            // An attempt at a channel has its order's id, and two digits more.
            let order = id::order_of(id.as_str());
            let ids = std::iter::once(*id).chain(order).collect();
            Ok(BTreeMap::from([(place.partition, Known { ids, credential: None })]))
        }
        What::Credential(text) => {
            let mut begun = BTreeMap::new();
            for partition in Partition::all() {
                let mut is_there = false;
                // Of a stay that is trimmed already its prices may tell still.
                for journal in [Journal::Session, Journal::Order] {
                    read(bus, journal, partition, |_, recorded| {
                        is_there |= who(&recorded.event).is_some_and(|credential| *credential.text == **text);
                    })
                    .await?;
                }
                if is_there {
                    begun.insert(partition, Known { credential: Some(text.clone()), ..Known::default() });
                }
            }
            Ok(begun)
        }
    }
}

/// Reads one partition of a journal from its beginning to its end.
async fn read(bus: &dyn Bus, journal: Journal, partition: Partition, mut each: impl FnMut(u64, Recorded)) -> Result<()> {
    let mut next = 1;
    loop {
        let window = bus.scan_partition(journal.stream(), partition, next, WINDOW).await?;
        let Some(Stored { sequence: last, .. }) = window.last() else { return Ok(()) };
        next = last.saturating_add(1);
        for stored in window {
            let recorded = wire::decode_recorded(journal, input::content_type(&stored), &stored.payload);
            each(stored.sequence, recorded.with_context(|| format!("{journal} {} cannot be read", stored.sequence))?);
        }
    }
}

/// The ids by which an event belongs to a stay.
fn ids(event: &Event) -> Vec<Id> {
    match event {
        Event::Session(event) => {
            let stay = event.stay().map(|stay| stay.session);
            let other = match event {
                SessionEvent::Opened { releases, .. } | SessionEvent::Corrected { releases, .. } => *releases,
                SessionEvent::Closed { order, .. } | SessionEvent::Owed { order, .. } => Some(*order),
                SessionEvent::Waiting { waiting, .. } => Some(*waiting),
                SessionEvent::ReadAgain { session, .. } => Some(*session),
                SessionEvent::Noted { concerns, .. } => *concerns,
                _ => None,
            };
            stay.into_iter().chain(other).collect()
        }
        Event::Order(event) => match event {
            OrderEvent::Priced { order, stay, .. } | OrderEvent::Unpriced { order, stay, .. } => vec![*order, stay.session],
            OrderEvent::Withdrawn { order, by, question } | OrderEvent::Overtaken { order, by, question } => {
                vec![*order, *by, question.stay.session]
            }
            OrderEvent::Paid { order, session, .. } | OrderEvent::Overpaid { order, session, .. } | OrderEvent::Owed { order, session, .. } => {
                vec![*order, *session]
            }
            OrderEvent::Cancelled { order, .. }
            | OrderEvent::Gone { order, .. }
            | OrderEvent::Cleared { order, .. }
            | OrderEvent::Reopened { order, .. }
            | OrderEvent::Noted { order, .. } => vec![*order],
        },
        Event::Payment(event) => match event {
            PaymentEvent::RefundRequested { bill, refund, .. }
            | PaymentEvent::RefundStood { bill, refund, .. }
            | PaymentEvent::Refunded { bill, refund, .. } => vec![bill.order, *refund],
            PaymentEvent::Attempted { bill, attempt, .. } | PaymentEvent::AttemptStood { bill, attempt, .. } => vec![bill.order, *attempt],
            event => event.order().into_iter().collect(),
        },
        Event::Ledger(event) => match event {
            LedgerEvent::Posted { posting, order, .. } => std::iter::once(*posting).chain(*order).collect(),
            LedgerEvent::WindowClosed { statement } => std::iter::once(statement.statement).chain(statement.adjusts).collect(),
            LedgerEvent::WindowStopped { .. } | LedgerEvent::FeesTold { .. } => Vec::new(),
            LedgerEvent::Noted { order, .. } => vec![*order],
        },
        Event::Recon(event) => {
            // An exception belongs to the story of the order whose payment it is about.
            let order = match event {
                ReconEvent::ExceptionOpened { line, payment, .. } => {
                    let of_line = line.as_ref().and_then(|line| id::order_of(&line.number));
                    of_line.or_else(|| payment.as_ref().and_then(|payment| payment.order.parse().ok()))
                }
                _ => None,
            };
            event.exception().into_iter().chain(order).collect()
        }
    }
}

/// Whose car an event is about, where it says so itself.
fn who(event: &Event) -> Option<&Credential> {
    let event = match event {
        Event::Session(event) => event,
        Event::Order(OrderEvent::Priced { stay, .. } | OrderEvent::Unpriced { stay, .. }) => return Some(&stay.credential),
        _ => return None,
    };
    match event {
        SessionEvent::Refused { credential, .. } | SessionEvent::Waiting { credential, .. } | SessionEvent::ReadAgain { credential, .. } => {
            Some(credential)
        }
        SessionEvent::LetThrough { who, .. } => who.as_ref(),
        event => event.stay().map(|stay| &stay.credential),
    }
}

/// The stays and orders of a story whose beginning it does not tell, because the log does not keep it any more.
pub fn lacking(told: &[Told]) -> BTreeSet<Id> {
    let mut lacking: BTreeSet<Id> = told.iter().flat_map(|told| ids(&told.recorded.event)).filter(|id| id.as_str().starts_with(['S', 'O'])).collect();
    for told in told {
        let begun = match &told.recorded.event {
            Event::Session(SessionEvent::Opened { stay, .. }) => stay.session,
            Event::Order(OrderEvent::Priced { order, .. } | OrderEvent::Unpriced { order, .. } | OrderEvent::Overtaken { order, .. }) => *order,
            Event::Order(OrderEvent::Withdrawn { by, .. }) => *by,
            _ => continue,
        };
        lacking.remove(&begun);
    }
    // An attempt has the letter of its order and is told with that.
    lacking.retain(|id| id::order_of(id.as_str()).is_none());
    lacking
}

fn tell(reference: &Reference, journal: Journal, sequence: u64, recorded: Recorded) -> Told {
    let zone = words::lot(&recorded.event).and_then(|lot: LotId| Some(reference.lot(&lot)?.zone.clone())).or_else(|| Zone::named("UTC"));
    let clock = |moment: Moment| zone.as_ref().map_or_else(|| moment.to_string(), |zone| zone.text(moment));
    let mut said = words::of(&recorded.event, &clock);
    let effects = rules::ALL.into_iter().find(|rules| rules.journal == journal).map(|rules| (rules.effects)(&recorded)).unwrap_or_default();
    said.extend(effects.iter().map(|effect: &Effect| words::effect(effect, &clock)));
    let took_us = recorded.at.since(recorded.cause.time);
    Told { journal, sequence, took_us, words: said, recorded }
}

/// Prints a story for a person; fails where there is nothing to tell.
pub fn print(told: &[Told], what: &str, json: bool) -> Result<()> {
    if told.is_empty() {
        bail!("nothing in the log is about {what}: it is older than what the journals keep, or misspelt");
    }
    if json {
        println!("{}", serde_json::to_string_pretty(told)?);
        return Ok(());
    }
    for one in told {
        let mut lines = one.words.iter();
        println!("{}", lines.next().map_or("", String::as_str));
        for line in lines {
            println!("    {line}");
        }
        let cause = &one.recorded.cause;
        let from = if cause.sequence == 0 { "due by the clock".to_owned() } else { format!("from {} {}", cause.inbox.stream(), cause.sequence) };
        println!("    {} {}, {from}, after {}", one.journal, one.sequence, words::span(one.took_us));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
