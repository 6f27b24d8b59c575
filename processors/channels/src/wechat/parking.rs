//! The parking product: a car is noted when it drives in, and its fee deducted when it leaves, asynchronously (WeChat Pay's documentation of APIv3,
//! "微信支付分停车服务").
//!
//! A deduction is accepted first, which lets the car leave, and is provisional until a notification says that it was paid or failed.
//!
//! Invariants
//! 1. A blocked owner's car is not noted: its driver pays by other means   (`tests::a_car_is_noted_unless_its_owner_is_blocked`).
//! 2. A deduction names the stay that was noted, and its own number   (`tests::a_deduction_is_accepted_and_not_yet_paid`).

use super::{NAME, WeChat, parse};
use crate::{Error, Heard, Kind, Parked, yuan};
use schema::{Id, Moment, Money, gate::Colour, time::SECOND};
use serde::Deserialize;
use serde_json::{Value, json};

/// Where a car is noted.
pub const ENTER: &str = "/v3/vehicle/parking/parkings";
/// Where a fee is deducted.
pub const DEDUCT: &str = "/v3/vehicle/transactions/parking";

const fn colour(colour: Colour) -> &'static str {
    match colour {
        Colour::Blue => "BLUE",
        Colour::Green => "GREEN",
        Colour::Yellow => "YELLOW",
        Colour::White => "WHITE",
        Colour::Black => "BLACK",
    }
}

/// The body by which a car is noted.
pub fn enter(wechat: &WeChat, parked: &Parked, free_s: i64) -> Value {
    json!({
        "out_parking_no": parked.session, "plate_number": parked.plate, "plate_color": colour(parked.colour),
        "notify_url": format!("{}/{NAME}", wechat.notify_url), "start_time": yuan::to_rfc3339(parked.entered_at), "parking_name": parked.lot,
        "free_duration": free_s,
    })
}

/// The body by which a fee is deducted.
pub fn deduct(wechat: &WeChat, (attempt, amount): (Id, Money), subject: &str, parking: &str, (parked, left_at): (&Parked, Moment)) -> Value {
    let stayed_s = left_at.since(parked.entered_at).max(0).div_euclid(SECOND);
    json!({
        "appid": wechat.app, "description": subject, "out_trade_no": attempt, "trade_scene": "PARKING",
        "notify_url": format!("{}/{NAME}", wechat.notify_url),
        "amount": { "total": amount.minor, "currency": format!("{:?}", amount.currency).to_uppercase() },
        "parking_info": {
            "parking_id": parking, "plate_number": parked.plate, "plate_color": colour(parked.colour), "start_time": yuan::to_rfc3339(parked.entered_at),
            "end_time": yuan::to_rfc3339(left_at), "parking_name": parked.lot, "charging_duration": stayed_s,
        },
    })
}

/// What the answer to a car's entry says.
pub fn entered(body: &[u8]) -> Result<Heard, Error> {
    #[derive(Deserialize)]
    struct Entered {
        id: Option<String>,
        state: String,
    }
    let entered: Entered = parse(body)?;
    match entered.state.as_str() {
        "NORMAL" => Ok(Heard::Entered(entered.id.ok_or_else(|| Error::new(Kind::Malformed, "WeChat noted a car without a number"))?)),
        // It is paused, overdue, out of service, or its owner is not trusted: which of them is the owner's business.
        "BLOCKED" => Ok(Heard::Refused),
        other => Err(Error::new(Kind::Malformed, format!("WeChat's state {other} of a parked car is not known"))),
    }
}
