//! Stays beside money: cars that a channel's money has paid for and that are inside still, and cars that have left and owe.
//!
//! A statement and our payments may agree to the fen while a stay goes with neither. So each piece looks at the open stays of its partition, too, and tells of those
//! in its result.
//!
//! Invariants
//! 1. Who was paid for may stay for a while; after that it is told of, until the car has left   (`tests::who_was_paid_for_and_stays_is_told_of`).
//! 2. It is told of by the channel and day whose money paid it, and by no other   (`tests::a_stay_is_told_of_by_what_paid_it`).
//! 3. Who left without paying is told of by the day on which the car left   (`tests::who_left_and_owes_is_told_of`).
//!
//! Not here: how lines and payments differ (`compare`), what a car owes (`rules::pricing`), how stays are read (`super`).

use rules::pricing::order_on;
use schema::{
    Entity, Id, Moment,
    entity::{Payment, Session, Stage},
    exception::{Listed, PieceAt, Stays, day_of},
    id::Province,
    time::MINUTE,
};
use std::collections::BTreeMap;
use store::Row;

/// How long a car may stay after it was paid for, in microseconds: then somebody is to look whether its exit was missed.
const LEAVES_WITHIN: i64 = 12_i64.saturating_mul(60).saturating_mul(MINUTE);

/// The stays among open rows that are of a province.
pub fn of(rows: Vec<Row>, province: Province) -> Vec<Session> {
    let ours = rows.into_iter().filter(|row| row.key.province == province);
    ours.filter_map(|row| if let Entity::Session(session) = row.entity { Some(*session) } else { None }).collect()
}

/// What is wrong at `now` with the open stays of a piece's place; none where nothing is.
pub fn look(piece: &PieceAt, payments: &[Payment], sessions: &[Session], now: Moment) -> Option<Box<Stays>> {
    let paid = paid(piece, payments);
    let inside = sessions.iter().filter(|session| is_inside(session) && has_paid_long_ago(session, &paid, now));
    let left = sessions.iter().filter(|session| left_and_owes(session, piece));
    let stays = Stays { paid_and_inside: listed(inside), left_and_unpaid: listed(left) };
    (!stays.is_none()).then(|| Box::new(stays))
}

fn listed<'a>(sessions: impl Iterator<Item = &'a Session>) -> Listed {
    let mut sessions: Vec<Id> = sessions.map(|session| session.stay.session).collect();
    sessions.sort_unstable();
    Listed::of(sessions)
}

/// The orders that money of the piece's channel and day pays, each with when it was paid last.
fn paid(piece: &PieceAt, payments: &[Payment]) -> BTreeMap<Id, Moment> {
    let paid_at = |payment: &Payment| {
        let ours = payment.payers().filter(|receipt| receipt.source.channel == piece.channel);
        ours.map(|receipt| receipt.paid_at.unwrap_or(receipt.came_at)).filter(|at| day_of(*at) == piece.day).max()
    };
    payments.iter().filter_map(|payment| Some((payment.order, paid_at(payment)?))).collect()
}

fn is_inside(session: &Session) -> bool {
    session.stage != Stage::Closed && !session.gone
}

fn has_paid_long_ago(session: &Session, paid: &BTreeMap<Id, Moment>, now: Moment) -> bool {
    let newest = orders(session).filter_map(|order| paid.get(&order)).max();
    newest.is_some_and(|at| now.since(*at) >= LEAVES_WITHIN)
}

/// The orders of a stay that is open: those that were paid inside, and the newest price that was asked for, whose payment may not have been heard of.
fn orders(session: &Session) -> impl Iterator<Item = Id> {
    let prepaid = session.prepaid.iter().filter_map(|paid| paid.id.parse::<Id>().ok());
    let asked = session.asked.iter().map(|asked| order_on(day_of(asked.left_at), &session.stay, session.sequence));
    prepaid.chain(asked)
}

fn left_and_owes(session: &Session, piece: &PieceAt) -> bool {
    let left_at = session.departure.as_ref().map(|departure| departure.left_at);
    session.gone && session.owes.is_some() && left_at.is_some_and(|at| day_of(at) == piece.day)
}

#[cfg(test)]
pub(super) mod tests;
