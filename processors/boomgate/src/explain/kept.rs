//! What the rows tell of a thing that the log tells no more of: how it stands, and not how it came to that.
//!
//! Invariants
//! 1. What was trimmed is told by its rows   (`explain::tests::what_was_trimmed_is_told_by_its_rows`, `what_began_before_the_log_…`).

use super::{Told, What, print, words};
use anyhow::{Result, bail};
use schema::{
    Entity, Id, Key, LotId, Moment, Money, Reference, Table, Zone,
    entity::{Fate, Order, Payment, Session, Stage},
    id,
};
use std::{collections::BTreeSet, time::Duration};
use store::Store;

/// The rows that go by an id, in words; none of a plate, which no row goes by.
pub async fn kept(store: &dyn Store, reference: &Reference, what: &What) -> Result<Vec<(String, Entity)>> {
    let What::Id(id) = what else { return Ok(Vec::new()) };
    before(store, reference, &std::iter::once(*id).chain(id::order_of(id.as_str())).collect()).await
}

/// The rows that go by ids, in words: of stays, then of orders and what was paid for them.
pub async fn before(store: &dyn Store, reference: &Reference, ids: &BTreeSet<Id>) -> Result<Vec<(String, Entity)>> {
    let of = |table: Table| ids.iter().filter_map(move |id| Key::of(table, *id));
    let keys = [Table::Sessions, Table::Orders, Table::Payments].into_iter().flat_map(of).collect();
    let rows = store.load(keys).await?;
    Ok(rows.into_iter().flatten().filter_map(|row| Some((told(reference, &row.entity)?, row.entity))).collect())
}

fn told(reference: &Reference, entity: &Entity) -> Option<String> {
    let clock = |lot: Option<LotId>| {
        let zone = lot.and_then(|lot| Some(reference.lot(&lot)?.zone.clone())).or_else(|| Zone::named("UTC"));
        move |moment: Moment| zone.as_ref().map_or_else(|| moment.to_string(), |zone| zone.text(moment))
    };
    match entity {
        Entity::Session(stay) => Some(session(stay, &clock(Some(stay.stay.lot)))),
        Entity::Order(order) => Some(self::order(order, &clock(Some(order.stay.lot)))),
        Entity::Payment(payment) => Some(self::payment(payment)),
        _ => None,
    }
}

fn session(session: &Session, clock: &dyn Fn(Moment) -> String) -> String {
    let stay = &session.stay;
    let stands = match (session.stage, session.gone) {
        (Stage::Open, _) => "it is inside",
        (Stage::Leaving, false) => "it stands at an exit",
        (Stage::Leaving, true) => "it has gone, and its stay is not settled",
        (Stage::Closed, _) => "its stay is over",
    };
    let left = session.departure.as_ref().map(|exit| format!("; it was at lane {} at {}", exit.lane, clock(exit.left_at))).unwrap_or_default();
    let paid = session.paid.map(|paid| format!("; {paid} were paid")).unwrap_or_default();
    let owes = session.owes.map(|(order, amount, _)| format!("; it owes {amount} of order {order}")).unwrap_or_default();
    let came = format!("{} came into {} by lane {} at {}", words::car(&stay.credential), stay.lot, stay.lane, clock(stay.entered_at));
    format!("Stay {}: {came}: {stands}{left}{paid}{owes}", stay.session)
}

fn order(order: &Order, clock: &dyn Fn(Moment) -> String) -> String {
    let price = order.quote.as_ref().map_or_else(|| "it has no price".to_owned(), |quote| format!("{} minutes: {}", quote.minutes, quote.total));
    let paid = match (&order.paid, order.cancelled) {
        (Some((amount, source)), _) => format!("; {amount} were paid by {}", words::source(source)),
        (None, true) => "; another order has taken its place".to_owned(),
        (None, false) => String::new(),
    };
    format!("Order {} of stay {}, asked for at {}: {price}{paid}", order.order, order.stay.session, clock(order.departure.left_at))
}

fn payment(payment: &Payment) -> String {
    let due = payment.due.map_or_else(|| "its price is not known".to_owned(), |due| format!("{due} are due"));
    let came = payment.receipts.values().map(|receipt| {
        let fate = match receipt.fate {
            Fate::Held => "are held",
            Fate::Applied => "pay it",
            Fate::Surplus => "pay nothing and go back",
            Fate::PassedOver => "do not count",
            Fate::Reversed => "have failed",
        };
        let back = Money::new(receipt.refunded(), receipt.amount.currency);
        let back = if back.is_zero() { String::new() } else { format!(", of which {back} went back") };
        format!("{} by {} {fate}{back}", receipt.amount, words::source(&receipt.source))
    });
    let all: Vec<String> = std::iter::once(due).chain(came).collect();
    format!("Payments of order {}: {}", payment.order, all.join("; "))
}

/// Prints what rows tell for a person; fails where there is none.
pub fn print_kept(kept: &[(String, Entity)], what: &str, retention: Duration, json: bool) -> Result<()> {
    let log = keeps(retention);
    if kept.is_empty() {
        bail!(
            "nothing is about {what}: {log}, and no row of what was before goes by it. Ask by the id of a stay or an order, or see how it is spelt"
        );
    }
    if json {
        let entities: Vec<&Entity> = kept.iter().map(|(_, entity)| entity).collect();
        println!("{}", serde_json::to_string_pretty(&entities)?);
        return Ok(());
    }
    print_rows(kept, &log);
    Ok(())
}

/// Prints a story of which the log has no beginning any more: what rows tell of that, then the rest in its order.
pub fn print_whole(before: &[(String, Entity)], told: &[Told], what: &str, retention: Duration, json: bool) -> Result<()> {
    if before.is_empty() {
        return print(told, what, json);
    }
    if json {
        let rows = before.iter().map(|(_, entity)| serde_json::to_value(entity));
        let all = rows.chain(told.iter().map(serde_json::to_value)).collect::<Result<Vec<_>, _>>()?;
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    print_rows(before, &keeps(retention));
    println!("since then:");
    print(told, what, false)
}

fn keeps(retention: Duration) -> String {
    format!("the log keeps {} hours", retention.as_secs().div_euclid(3_600))
}

fn print_rows(rows: &[(String, Entity)], log: &str) {
    println!("{log}; what was before is in the rows:");
    for (words, _) in rows {
        println!("    {words}");
    }
}
