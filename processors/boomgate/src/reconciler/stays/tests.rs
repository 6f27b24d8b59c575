use super::*;
use schema::{
    Currency, Day, LotId, Money, Partition,
    entity::{Fate, Receipt},
    exception::begins,
    gate::{Colour, Credential},
    id::{self, Kind, Place},
    journal::{Departure, Source, Stay},
    rate::Prepaid,
    time::DAY,
};

const DAY_OF: Day = Day(261_122);

/// A moment, so many hours after the day has begun.
fn at(hours: i64) -> Moment {
    begins(DAY_OF).expect("a day").plus(hours * DAY / 24)
}

fn lot() -> LotId {
    "small".parse().expect("a name")
}

fn place() -> Place {
    Place { province: Province(44), day: DAY_OF, partition: Partition::of_lot(lot().as_str()) }
}

fn piece(channel: &str) -> PieceAt {
    let Place { province, day, partition } = place();
    PieceAt { channel: channel.into(), merchant: "m".into(), day, province, partition }
}

/// A car that is inside, in a partition and province, and that these orders were paid for.
pub(in super::super) fn inside(place: Place, name: &str, orders: &[Id]) -> Session {
    let stay = Stay {
        session: id::derive(Kind::Session, place, &[name]),
        lot: lot(),
        province: place.province,
        credential: Credential::plate("粤B12345", Colour::Blue),
        lane: "in".parse().expect("a name"),
        entered_at: at(7),
        class: schema::VehicleClass::default(),
        energy: schema::Energy::default(),
        sharers: vec![],
    };
    let amount = Money::new(500, Currency::Cny);
    let prepaid = orders.iter().map(|order| Prepaid { id: order.as_str().into(), at: at(8), amount, until: at(8) }).collect();
    Session {
        stay,
        stage: Stage::Open,
        departure: None,
        sequence: 1,
        order: None,
        paid: None,
        superseded_by: None,
        flagged: false,
        right: None,
        gone: false,
        owes: None,
        asked: None,
        prepaid,
        validations: vec![],
        lost: false,
        passes_by: None,
        corrected: None,
        deducts: None,
        coupons: None,
    }
}

fn order(name: &str) -> Id {
    id::derive(Kind::Order, place(), &[name])
}

fn departure(hours: i64) -> Departure {
    Departure { lane: "out".parse().expect("a name"), left_at: at(hours), event: "e".parse().expect("a name"), local: false, deducts: None }
}

/// One that stands at the exit, or has gone.
fn leaving(name: &str, hours: i64, gone: bool) -> Session {
    let session = inside(place(), name, &[]);
    Session { stage: Stage::Leaving, departure: Some(departure(hours)), asked: Some(departure(hours)), gone, ..session }
}

/// An order of five yuan that this money has paid.
pub(in super::super) fn paid(order: Id, (channel, transaction): (&str, &str), hours: i64) -> Payment {
    let (amount, source) = (Money::new(500, Currency::Cny), Source { channel: channel.into(), transaction: transaction.into() });
    let (key, paid_at) = (Payment::receipt_key(&source), Some(at(hours)));
    let receipt = Receipt { source, amount, came_at: at(hours), fate: Fate::Applied, paid_at, provisional: false, choice: None, refunds: vec![] };
    Payment {
        order,
        lot: None,
        day: DAY_OF,
        due: Some(amount),
        receipts: BTreeMap::from([(key, receipt)]),
        withdrawn: false,
        imported: None,
        discounts: None,
        wanted: BTreeMap::new(),
        choice: None,
        attempts: BTreeMap::new(),
    }
}

/// How many are told of: paid and inside, left and unpaid.
fn counts(piece: &PieceAt, payments: &[Payment], sessions: &[Session], now: Moment) -> (u64, u64) {
    let stays = look(piece, payments, sessions, now).unwrap_or_default();
    (stays.paid_and_inside.count, stays.left_and_unpaid.count)
}

#[test]
fn who_was_paid_for_and_stays_is_told_of() {
    let payments = [paid(order("a"), ("wechat", "42"), 8)];
    let stays = [inside(place(), "a", &[order("a")]), inside(place(), "b", &[order("b")]), inside(place(), "c", &[])];
    let told = |now| look(&piece("wechat"), &payments, &stays, now);
    assert_eq!(told(at(20).plus(-1)), None, "it may still be on its way");
    let stays = *told(at(20)).expect("it should have left");
    assert_eq!((stays.paid_and_inside, stays.left_and_unpaid), (Listed::of([id::derive(Kind::Session, place(), &["a"])]), Listed::default()));
    let left = Session { gone: true, ..inside(place(), "a", &[order("a")]) };
    let closed = Session { stage: Stage::Closed, ..inside(place(), "a", &[order("a")]) };
    for session in [left, closed] {
        assert_eq!(counts(&piece("wechat"), &payments, &[session], at(48)), (0, 0));
    }
    // It was paid again since.
    let twice = [paid(order("a"), ("wechat", "42"), 8), paid(order("b"), ("wechat", "42"), 20)];
    let session = inside(place(), "a", &[order("a"), order("b")]);
    let told = [at(31), at(32)].map(|now| counts(&piece("wechat"), &twice, std::slice::from_ref(&session), now).0);
    assert_eq!(told, [0, 1]);
}

#[test]
fn a_stay_is_told_of_by_what_paid_it() {
    let stays = [inside(place(), "a", &[order("a")])];
    for (channel, hours, expected) in [("wechat", 8, 1), ("alipay", 8, 0), ("wechat", -1, 0), ("wechat", 24, 0)] {
        let payments = [paid(order("a"), (channel, "42"), hours)];
        assert_eq!(counts(&piece("wechat"), &payments, &stays, at(48)), (expected, 0), "{channel} {hours}");
    }
    // Its payment was booked, and the stay has not heard of it.
    let session = leaving("a", 8, false);
    let payments = [paid(order_on(DAY_OF, &session.stay, 1), ("wechat", "42"), 8)];
    assert_eq!(counts(&piece("wechat"), &payments, &[session], at(48)), (1, 0));
}

#[test]
fn who_left_and_owes_is_told_of() {
    let owes = Some((order("a"), Money::new(500, Currency::Cny), "city".parse().expect("a name")));
    for (hours, gone, owes, expected) in
        [(8, true, owes, 1), (8, false, owes, 0), (8, true, None, 0), (-1, true, owes, 0), (25, true, owes, 0), (23, true, owes, 1)]
    {
        let session = Session { owes, ..leaving("a", hours, gone) };
        assert_eq!(counts(&piece("wechat"), &[], &[session], at(48)), (0, expected), "{hours} {gone} {owes:?}");
    }
}

#[test]
fn stays_of_another_province_are_its_own() {
    let session = inside(place(), "a", &[]);
    let key = schema::Key::of(schema::Table::Sessions, session.stay.session).expect("an id of ours");
    let row = Row { key, at: at(8), entity: Entity::Session(Box::new(session)) };
    assert_eq!([44, 11].map(|province| of(vec![row.clone()], Province(province)).len()), [1, 0]);
}
