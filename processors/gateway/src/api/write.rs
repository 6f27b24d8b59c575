//! What a request says at a desk: the bodies, and the desk event that each becomes. Who says it is the token's person, never the body's word.

use super::{Api, Asked, problem::Problem, routes::Write};
use crate::tokens::Role;
use axum::http::StatusCode;
use schema::{
    Credential, EventId, GateKind, Id, LaneId, LotId, Moment, Money,
    desk::{AuthorId, ExceptionStep, Says, ShiftName, ShiftStep},
    exception::desk_of,
    fact::{PartId, What},
    id,
    rate::Validation,
};
use serde::{Deserialize, de::DeserializeOwned};
use std::sync::Arc;

/// What is to be said, where, and why.
pub struct Wish {
    /// The lot at whose desk.
    pub lot: LotId,
    /// Why.
    pub reason: Arc<str>,
    /// What.
    pub says: Says,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: Arc<str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refund {
    reason: Arc<str>,
    /// Left out: all that pays the order, or all of the transaction that pays it still.
    amount: Option<Money>,
    channel: Option<Arc<str>>,
    transaction: Option<Arc<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    reason: Arc<str>,
    order: Id,
    refund: EventId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settled {
    reason: Arc<str>,
    order: Id,
    back: bool,
    shift: Option<ShiftName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cash {
    reason: Arc<str>,
    amount: Money,
    shift: ShiftName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opened {
    reason: Arc<str>,
    float: Money,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Counted {
    reason: Arc<str>,
    counted: Money,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Correction {
    reason: Arc<str>,
    who: Credential,
    is: Option<Credential>,
    entered_at: Option<Moment>,
    stay: Option<Id>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lost {
    reason: Arc<str>,
    who: Credential,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LetThrough {
    reason: Arc<str>,
    lane: LaneId,
    way: GateKind,
    who: Option<Credential>,
    at: Option<Moment>,
    #[serde(default)]
    open: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Validated {
    reason: Arc<str>,
    who: Credential,
    validation: Validation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stock {
    reason: Arc<str>,
    who: Credential,
    held: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    reason: Arc<str>,
    part: PartId,
    what: What,
    #[serde(default)]
    of: Vec<Credential>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    reason: Arc<str>,
    owner: AuthorId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteOffApproval {
    reason: Arc<str>,
    /// What the first person said, by its event.
    write_off: EventId,
}

fn body<T: DeserializeOwned>(asked: &Asked) -> Result<T, Problem> {
    serde_json::from_slice(&asked.body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed", format!("the body cannot be read: {error}")))
}

/// What a request says.
pub async fn wish(api: &Api, write: Write, asked: &Asked) -> Result<Wish, Problem> {
    match write {
        Write::Refund => refund(api, asked).await,
        Write::Approval => {
            let Approval { reason, order, refund } = body(asked)?;
            Ok(Wish { lot: lot_of(api, order).await?, reason, says: Says::Approved { order, refund } })
        }
        Write::Declined => {
            let Approval { reason, order, refund } = body(asked)?;
            Ok(Wish { lot: lot_of(api, order).await?, reason, says: Says::Declined { order, refund } })
        }
        Write::Settled => {
            let Settled { reason, order, back, shift } = body(asked)?;
            let refund = asked.parameter("refund")?;
            Ok(Wish { lot: lot_of(api, order).await?, reason, says: Says::RefundSettled { order, refund, back, shift } })
        }
        Write::Cash => {
            let Cash { reason, amount, shift } = body(asked)?;
            let order = asked.parameter("order")?;
            Ok(Wish { lot: lot_of(api, order).await?, reason, says: Says::Cash { order, amount, shift } })
        }
        Write::ShiftOpened => {
            let Opened { reason, float } = body(asked)?;
            shift(api, asked, reason, ShiftStep::Opened(float))
        }
        Write::ShiftCounted => {
            let Counted { reason, counted } = body(asked)?;
            shift(api, asked, reason, ShiftStep::Counted(counted))
        }
        Write::ShiftClosed => {
            let Reason { reason } = body(asked)?;
            shift(api, asked, reason, ShiftStep::Closed)
        }
        Write::Correction => {
            let Correction { reason, who, is, entered_at, stay } = body(asked)?;
            if stay.is_some() && asked.person.role != Role::Admin {
                let detail = "a stay that is over is put right by an admin: its price is found anew, and money may go back";
                return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
            }
            at_lot(api, asked, reason, Says::Corrected { who, is, entered_at, stay })
        }
        Write::LostTicket => {
            let Lost { reason, who } = body(asked)?;
            at_lot(api, asked, reason, Says::Lost { who })
        }
        Write::LetThrough => {
            let LetThrough { reason, lane, way, who, at, open } = body(asked)?;
            at_lot(api, asked, reason, Says::LetThrough { lane, way, who, at, open })
        }
        Write::Validation => {
            let Validated { reason, who, validation } = body(asked)?;
            at_lot(api, asked, reason, Says::Validated { who, validation })
        }
        Write::Stock => {
            let Stock { reason, who, held } = body(asked)?;
            at_lot(api, asked, reason, Says::Stock { who, held })
        }
        Write::Statement => {
            let Statement { reason, part, what, of } = body(asked)?;
            at_lot(api, asked, reason, Says::Stated { part, what, of })
        }
        Write::ExceptionAssigned => {
            let Owner { reason, owner } = body(asked)?;
            exception(asked, reason, ExceptionStep::Assign(owner))
        }
        Write::ExceptionApproved => {
            let WriteOffApproval { reason, write_off } = body(asked)?;
            exception(asked, reason, ExceptionStep::Approve(write_off))
        }
        Write::ExceptionRequeried => plainly(asked, ExceptionStep::Requery),
        Write::ExceptionRepaired => plainly(asked, ExceptionStep::Repair),
        Write::ExceptionRefunded => plainly(asked, ExceptionStep::Refund),
        Write::ExceptionWrittenOff => plainly(asked, ExceptionStep::WriteOff),
    }
}

/// The lot of an order: at its desk money is spoken of.
async fn lot_of(api: &Api, order: Id) -> Result<LotId, Problem> {
    let known = api.view().order(order).await?;
    known.map(|order| order.stay.lot).ok_or_else(|| Problem::not_found(format!("there is no order {order}")))
}

fn at_lot(api: &Api, asked: &Asked, reason: Arc<str>, says: Says) -> Result<Wish, Problem> {
    let lot: LotId = asked.parameter("lot")?;
    let known = api.reference().lot(&lot).is_some();
    if known { Ok(Wish { lot, reason, says }) } else { Err(Problem::not_found(format!("there is no lot {lot}"))) }
}

/// Exceptions are spoken of at the desk of their partition.
fn exception(asked: &Asked, reason: Arc<str>, step: ExceptionStep) -> Result<Wish, Problem> {
    let exception: Id = asked.parameter("exception")?;
    let place = id::place(exception.as_str()).ok_or_else(|| Problem::not_found(format!("{exception} is no exception of ours")))?;
    Ok(Wish { lot: desk_of(place.partition), reason, says: Says::Exception { exception, step } })
}

fn plainly(asked: &Asked, step: ExceptionStep) -> Result<Wish, Problem> {
    let Reason { reason } = body(asked)?;
    exception(asked, reason, step)
}

fn shift(api: &Api, asked: &Asked, reason: Arc<str>, step: ShiftStep) -> Result<Wish, Problem> {
    at_lot(api, asked, reason, Says::Shift { shift: asked.parameter("shift")?, step })
}

/// What is left out of an amount is what pays the order as it is now.
async fn refund(api: &Api, asked: &Asked) -> Result<Wish, Problem> {
    let Refund { reason, amount, channel, transaction } = body(asked)?;
    let order: Id = asked.parameter("order")?;
    let lot = lot_of(api, order).await?;
    let none = || Problem::new(StatusCode::CONFLICT, "more_than_paid", "nothing that could go back pays this order");
    let one = match (channel, transaction) {
        (None, None) => None,
        (Some(channel), Some(transaction)) => Some((channel, transaction)),
        _ => return Err(Problem::unsound("channel and transaction belong together: name both, or neither for all means of the order")),
    };
    let amount = if let Some(amount) = amount {
        amount
    } else {
        let payment = api.view().payment(order).await?.ok_or_else(none)?;
        let of = |receipt: &&schema::entity::Receipt| {
            one.as_ref().is_none_or(|(channel, transaction)| receipt.source.channel == *channel && receipt.source.transaction == *transaction)
        };
        let (minor, currency) = payment.payers().filter(of).fold((0_i64, None), |(sum, _), receipt| {
            let left = receipt.applied();
            (sum.saturating_add(left), Some(receipt.amount.currency))
        });
        Money::new(minor, currency.filter(|_| minor > 0).ok_or_else(none)?)
    };
    let says = match one {
        None => Says::RefundShared { order, amount },
        Some((channel, transaction)) => Says::Refund { order, channel, transaction, amount },
    };
    Ok(Wish { lot, reason, says })
}
