//! From a plate or ticket to its bill: the price of a stay is asked for as a pay station does, and the answer is waited for.
//!
//! The question is a gate event of the kind `price` at a lane of its own ([`GateEvent::pay_page`]). A new price takes the place of the one before; so that nobody
//! who types another one's plate can take a bill away while it is being paid, the same question within a minute gives the same bill.
//!
//! Invariants
//! 1. A car that is inside is found, and gets its bill   (`front_doors` `a_plate_becomes_a_bill_and_the_bill_is_paid`).
//! 2. A car that is not inside is said to be so, and nothing of others   (`front_doors` `a_plate_that_is_not_inside_says_so`).
//! 3. The same question within a minute gives the same bill   (`front_doors` `the_same_question_gives_the_same_bill`).
//! 4. Who stands at the exit already finds what is asked of it there   (`front_doors` `who_stands_at_the_exit_finds_its_bill`).

use super::{Inner, page::Typed};
use crate::{Error, error::Kind};
use schema::{
    Credential, Event, EventId, GateEvent, GateKind, Id, Inbox, Journal, Moment, Partition, Reference,
    gate::CredentialKind,
    id,
    journal::SessionEvent,
    plate,
    reference::LotReference,
    time::MINUTE,
    wire::{self, Format},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::PoisonError,
    time::Duration,
};
use streams::{From, Message};
use tokio::time::timeout;

/// How long a price is waited for.
const PRICE_WAIT: Duration = Duration::from_secs(5);
/// How long the same question gives the same bill.
const SAME: i64 = MINUTE;
/// How many questions are remembered.
const ASKED_MAX: usize = 4_096;

/// What came of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its bill.
    Order(Id),
    /// There is nothing to pay now.
    NothingDue,
    /// No such car is inside.
    NotInside,
    /// What it costs cannot be said.
    AskPerson,
    /// Nobody has answered in time.
    NotInTime,
}

/// Who asks, by what was typed; none where that is nothing.
pub fn credential(typed: &Typed) -> Option<Credential> {
    let ticket = typed.ticket.trim();
    if !ticket.is_empty() {
        return Some(Credential { kind: CredentialKind::Ticket, text: ticket.into(), colour: None });
    }
    let plain = plate::normalise(&typed.plate);
    if plain.trim().is_empty() {
        return None;
    }
    // Whoever typed or pasted it whole has said the province.
    let is_whole = plain.chars().next().is_none_or(|first| !first.is_ascii_alphabetic()) || typed.province.starts_with('-');
    let whole = if is_whole { plain } else { typed.province.chars().take(1).collect::<String>() + &plain };
    Some(Credential { kind: CredentialKind::Plate, text: whole.into(), colour: plate::colour(&typed.colour) }.identity())
}

/// The bills that were asked for just now, so that the same question gives the same one.
#[derive(Debug, Default)]
pub struct Asked {
    bills: BTreeMap<String, (Id, Moment)>,
    order: VecDeque<String>,
}

impl Asked {
    fn bill(&self, question: &str, now: Moment) -> Option<Id> {
        self.bills.get(question).filter(|(_, at)| now.since(*at) < SAME).map(|(order, _)| *order)
    }

    fn remember(&mut self, question: String, order: Id, now: Moment) {
        if self.bills.insert(question.clone(), (order, now)).is_none() {
            self.order.push_back(question);
        }
        while self.order.len() > ASKED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.bills.remove(&oldest);
            }
        }
    }
}

/// Looks for a car in a lot, and asks what its stay costs.
pub async fn look_up(pages: &Inner, reference: &Reference, lot: &LotReference, who: Credential) -> Result<Found, Error> {
    let found = ask(pages, reference, lot, who.clone()).await?;
    if found == Found::NotInside && who.kind == CredentialKind::Plate && plate::Format::of(&who.text).colour().is_none() {
        // Its camera may tell no colour.
        return ask(pages, reference, lot, Credential { colour: None, ..who }).await;
    }
    Ok(found)
}

async fn ask(pages: &Inner, reference: &Reference, lot: &LotReference, who: Credential) -> Result<Found, Error> {
    let now = pages.desks.now().await?;
    let name = lot.declared.lot;
    let question = id::digest(&[name.as_str(), &format!("{:?} {:?}", who.kind, who.colour), &who.text], 20);
    let asked = || pages.asked.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(order) = asked().bill(&question, now) {
        return Ok(Found::Order(order));
    }
    let event = question_of(&question, now, lot, who);
    let (journal, partition) = (Journal::Session, Partition::of_lot(name.as_str()));
    let busy = || Error::new(Kind::Busy, format!("ask for a price at {name}"));
    let mut place = pages.ear.wait_for((name, event.lane, event.id)).ok_or_else(busy)?;
    let from = pages.bus.head(journal, partition).await?.map_or(1, |head| head.sequence.saturating_add(1));
    let headers = [(wire::CONTENT_TYPE.to_owned(), Format::MessagePack.content_type().to_owned())].into();
    let message = Message { subject: event.subject(), payload: wire::encode(Format::MessagePack, &event).into(), headers };
    let stored = timeout(pages.limits.store_wait, pages.bus.publish(message)).await;
    stored.map_err(|late| Error::caused(Kind::BrokerAway, format!("ask for a price at {name}"), late))??;
    let Some(command) = place.command(None, PRICE_WAIT).await else { return Ok(Found::NotInTime) };
    let found = match (&*command.reason, command.order) {
        (_, Some(order)) => Found::Order(order),
        ("nothing_due", _) => Found::NothingDue,
        ("not_inside", _) => Found::NotInside,
        ("pay_first", _) => at_the_exit(pages, reference, (partition, from), &event.key()).await?.map_or(Found::AskPerson, Found::Order),
        _ => Found::AskPerson,
    };
    if let Found::Order(order) = found {
        asked().remember(question, order, now);
    }
    Ok(found)
}

fn question_of(question: &str, now: Moment, lot: &LotReference, credential: Credential) -> GateEvent {
    let id: EventId = format!("{question}-{}", now.0).parse().expect("letters, digits and a hyphen are a token");
    let (lane, kind) = (GateEvent::pay_page(), GateKind::Price);
    GateEvent { id, lot: lot.declared.lot, lane, kind, seen_at: now, credential, class: None, energy: None, confidence: None, decided: None }
}

/// The bill of a car that stands at an exit: it is asked for there, and no other one is made.
async fn at_the_exit(pages: &Inner, reference: &Reference, (partition, from): (Partition, u64), key: &str) -> Result<Option<Id>, Error> {
    let tail = pages.bus.tail(Journal::Session, partition, From::Sequence(from)).await?;
    let answers = tail.iter().filter_map(|stored| crate::follow::placed(Journal::Session, stored)).find_map(|(_, recorded)| {
        let is_ours = recorded.cause.inbox == Inbox::Gate && &*recorded.cause.event == key;
        match recorded.event {
            Event::Session(SessionEvent::Noted { concerns, .. }) if is_ours => concerns,
            _ => None,
        }
    });
    let Some(session) = answers else { return Ok(None) };
    let Some(session) = pages.view.session(session).await? else { return Ok(None) };
    let Some(departure) = &session.departure else { return Ok(None) };
    let facts = rules::Facts { reference, limits: &rules::Limits::default() };
    Ok(Some(rules::pricing::order_of(&facts, &session.stay, departure.left_at, session.sequence)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::gate::Colour;

    fn typed(province: &str, plate: &str, colour: &str, ticket: &str) -> Option<Credential> {
        credential(&Typed { province: province.into(), plate: plate.into(), colour: colour.into(), ticket: ticket.into() })
    }

    #[test]
    fn what_was_typed_is_who_asks() {
        let blue = Some(Credential::plate("粤B12345", Colour::Blue));
        for (province, plate, colour) in
            [("粤", "b·12345", "blue"), ("京", "粤B12345", "blue"), ("-", "粤B 12345", "blue"), ("粤", "Ｂ１２３４５", "蓝")]
        {
            assert_eq!(typed(province, plate, colour, ""), blue, "{province} {plate}");
        }
        assert_eq!(typed("粤", "BD12345", "blue", ""), Some(Credential::plate("粤BD12345", Colour::Green)), "its format tells the colour");
        assert_eq!(typed("-", "AB123", "white", ""), Some(Credential::plate("AB123", Colour::White)));
        assert_eq!(typed("粤", "123456使", "black", ""), Some(Credential::plate("123456使", Colour::Black)));
        let ticket = Credential { kind: CredentialKind::Ticket, text: "T-77".into(), colour: None };
        assert_eq!(typed("粤", "", "blue", " T-77 "), Some(ticket));
        for nothing in ["", "  ", "···"] {
            assert!(typed("粤", nothing, "blue", "").is_none_or(|who| who.check().is_ok()), "{nothing:?}");
        }
        assert_eq!(typed("粤", " ", "blue", ""), None);
    }

    #[test]
    fn only_so_many_questions_are_remembered() {
        let (mut asked, order, now) = (Asked::default(), "O4426112307bhsoAVeaPIlNaJs2".parse().expect("a name"), Moment(1));
        for number in 0..ASKED_MAX + 10 {
            asked.remember(number.to_string(), order, now);
        }
        assert_eq!((asked.bills.len(), asked.order.len()), (ASKED_MAX, ASKED_MAX));
        assert_eq!((asked.bill("0", now), asked.bill("10", now), asked.bill("10", now.plus(SAME))), (None, Some(order), None));
    }
}
