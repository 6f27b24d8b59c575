//! What is shown: one thing as it is now, or a bounded page of many.

use super::{Api, Asked, problem::Problem, routes::Read};
use schema::{Day, Entity, Event, Id, Journal, LotId, Partition, Table, desk::ShiftName, entity::Payment, id};
use serde::Serialize;
use serde_json::{Value, json};
use store::Part;

/// The most things of one page.
const PAGE_MAX: usize = 100;
/// How many messages of a journal are looked at in one request, at most.
const LOOKED_AT_MAX: usize = 40_000;
/// How many of them at once.
const SCAN: usize = 2_048;

/// What is asked for.
pub async fn read(api: &Api, read: Read, asked: &Asked) -> Result<Value, Problem> {
    match read {
        Read::Order => {
            let order: Id = asked.parameter("order")?;
            shown(api.view().order(order).await?, || format!("there is no order {order}"))
        }
        Read::Payment => {
            let order: Id = asked.parameter("order")?;
            shown(api.view().payment(order).await?, || format!("no money is known of an order {order}"))
        }
        Read::Session => {
            let session: Id = asked.parameter("session")?;
            shown(api.view().session(session).await?, || format!("there is no session {session}"))
        }
        Read::Shift => {
            let (lot, name): (LotId, ShiftName) = (asked.parameter("lot")?, asked.parameter("shift")?);
            let shift = api.view().shift(lot, &name).await?;
            let expected = shift.as_ref().map(schema::entity::Shift::expected);
            let mut shown = shown(shift, || format!("no shift {name} was begun at {lot}"))?;
            shown["expected"] = json!(expected);
            Ok(shown)
        }
        Read::Exception => {
            let exception: Id = asked.parameter("exception")?;
            shown(api.view().exception(exception).await?, || format!("there is no exception {exception}"))
        }
        Read::Exceptions => exceptions(api, asked).await,
        Read::Orders => orders(api, asked).await,
        Read::History => history(api, asked).await,
        Read::Refunds => refunds(api, asked).await,
    }
}

fn shown<T: Serialize>(entity: Option<T>, missing: impl Fn() -> String) -> Result<Value, Problem> {
    match entity {
        Some(entity) => Ok(json!(entity)),
        None => Err(Problem::not_found(missing())),
    }
}

/// The bills of a lot and day. They lie with those of the lots beside it, which are read along, so few may ask at once.
async fn orders(api: &Api, asked: &Asked) -> Result<Value, Problem> {
    let lot: LotId = asked.query("lot")?.ok_or_else(|| Problem::unsound("name the lot: ?lot=NAME&day=YYMMDD"))?;
    let day: u32 = asked.query("day")?.ok_or_else(|| Problem::unsound("name the day, as the lot's clock has it: ?lot=NAME&day=YYMMDD"))?;
    let after: Option<Id> = asked.query("after")?;
    let province = api.reference().lot(&lot).map(|lot| lot.declared.province).ok_or_else(|| Problem::not_found(format!("there is no lot {lot}")))?;
    let _room = api.scans()?;
    let part = Part { table: Table::Orders, province, day: Day(day), bucket: Partition::of_lot(lot.as_str()) };
    let rows = api.view().store().scan(part).await.map_err(crate::Error::from)?;
    let orders = rows.into_iter().filter_map(|row| match row.entity {
        Entity::Order(order) if order.stay.lot == lot && after.is_none_or(|after| row.key.id > after) => Some(order),
        _ => None,
    });
    let mut page: Vec<_> = orders.take(PAGE_MAX + 1).collect();
    let more = page.len() > PAGE_MAX;
    page.truncate(PAGE_MAX);
    let next = page.last().filter(|_| more).map(|last| last.order);
    Ok(json!({ "orders": page, "next": next }))
}

/// Events of PAYMENT that concern an order. The journal's partition is looked through, a part of it in each request.
async fn history(api: &Api, asked: &Asked) -> Result<Value, Problem> {
    let order: Id = asked.parameter("order")?;
    let place = id::place(order.as_str()).ok_or_else(|| Problem::not_found(format!("{order} is no order of ours")))?;
    let mut from: Option<u64> = Some(asked.query("from")?.unwrap_or(1));
    let _room = api.scans()?;
    let (mut events, mut looked_at) = (Vec::new(), 0);
    while let Some(start) = from
        && looked_at < LOOKED_AT_MAX
        && events.len() < PAGE_MAX
    {
        let concerns = |(_, recorded): &crate::follow::Placed| matches!(&recorded.event, Event::Payment(event) if event.order() == Some(order));
        let (found, more) = api.view().events((Journal::Payment, place.partition), start, SCAN, concerns).await?;
        events.extend(found.into_iter().map(|(sequence, recorded)| json!({ "sequence": sequence, "recorded": recorded })));
        (looked_at, from) = (looked_at + SCAN, more);
    }
    Ok(json!({ "events": events, "next": from }))
}

/// Refunds that wait, partition by partition: what waits is open, and open rows are few beside all.
async fn refunds(api: &Api, asked: &Asked) -> Result<Value, Problem> {
    let state: String = asked.query("state")?.unwrap_or_else(|| "stuck".to_owned());
    let picks: fn(&Payment, &mut Vec<Value>) = match state.as_str() {
        "stuck" => |payment, found| refunds_of(payment, found, |refund| refund.state.is_stuck()),
        "open" => |payment, found| refunds_of(payment, found, |refund| refund.state != schema::journal::RefundState::Succeeded),
        "wanted" => wanted,
        _ => return Err(Problem::unsound("state is stuck, wanted or open")),
    };
    let from: u8 = asked.query("from")?.unwrap_or(0);
    let _room = api.scans()?;
    let (mut found, mut next) = (Vec::new(), None);
    for partition in Partition::all().skip(usize::from(from)) {
        if found.len() >= PAGE_MAX {
            next = Some(partition.0);
            break;
        }
        for row in api.view().store().open(Journal::Payment, vec![partition]).await.map_err(crate::Error::from)? {
            if let Entity::Payment(payment) = &row.entity {
                picks(payment, &mut found);
            }
        }
    }
    Ok(json!({ "refunds": found, "next": next }))
}

/// What does not match statements and is open, partition by partition.
async fn exceptions(api: &Api, asked: &Asked) -> Result<Value, Problem> {
    let channel: Option<String> = asked.query("channel")?;
    let owner: Option<schema::desk::AuthorId> = asked.query("owner")?;
    let from: u8 = asked.query("from")?.unwrap_or(0);
    let _room = api.scans()?;
    let (mut found, mut next) = (Vec::new(), None);
    for partition in Partition::all().skip(usize::from(from)) {
        if found.len() >= PAGE_MAX {
            next = Some(partition.0);
            break;
        }
        for row in api.view().store().open(Journal::Recon, vec![partition]).await.map_err(crate::Error::from)? {
            let Entity::Exception(exception) = row.entity else { continue };
            let is_wanted = channel.as_deref().is_none_or(|channel| channel == &*exception.piece.channel);
            if is_wanted && owner.is_none_or(|owner| exception.owner == Some(owner)) {
                found.push(exception);
            }
        }
    }
    found.sort_by_key(|exception| (std::cmp::Reverse((exception.age, exception.gap().saturating_abs())), exception.exception));
    Ok(json!({ "exceptions": found, "next": next }))
}

fn refunds_of(payment: &Payment, found: &mut Vec<Value>, picks: fn(&schema::entity::Refund) -> bool) {
    for receipt in payment.receipts.values() {
        for refund in receipt.refunds.iter().filter(|refund| picks(refund)) {
            found.push(json!({
                "order": payment.order, "lot": payment.lot, "source": receipt.source, "captured": receipt.amount, "refund": refund,
                "history": format!("{}/payments/{}/history", super::routes::BASE, payment.order),
            }));
        }
    }
}

fn wanted(payment: &Payment, found: &mut Vec<Value>) {
    for (said, wish) in &payment.wanted {
        found.push(json!({ "order": payment.order, "lot": payment.lot, "wanted": said, "wish": wish }));
    }
}
