use super::*;
use schema::{
    Currency, Day, Id, Moment, Money, Partition,
    exception::{Listed, PieceAt},
    id::{self, Kind, Place, Province},
    statement::{Age, BookedPayment, Difference, LineKind, Standing, StatementLine},
};

const PLACE: Place = Place { province: Province(44), day: Day(261_122), partition: Partition(7) };
const AT: Moment = Moment(1_795_330_800_000_000);

fn session(name: &str) -> Id {
    id::derive(Kind::Session, PLACE, &[name])
}

fn line(name: &str, fen: i64) -> StatementLine {
    StatementLine {
        line: 3,
        kind: LineKind::Trade,
        standing: Standing::Done,
        transaction: format!("42-{name}").into(),
        number: id::attempt(id::derive(Kind::Order, PLACE, &[name]), 1).as_str().into(),
        refund: "".into(),
        amount: Money::new(fen, Currency::Cny),
        fee_milli: 0,
        happened_at: AT,
    }
}

fn payment(name: &str, fen: i64) -> BookedPayment {
    BookedPayment {
        line: 0,
        kind: LineKind::Trade,
        standing: Standing::Done,
        order: id::derive(Kind::Order, PLACE, &[name]).as_str().into(),
        attempt: "".into(),
        transaction: format!("42-{name}").into(),
        refund: "".into(),
        amount: Money::new(fen, Currency::Cny),
        happened_at: AT,
    }
}

/// What the channel says of a name and what we booked, and how old that is.
fn exception(name: &str, (theirs, ours): (Option<i64>, Option<i64>), age: Age) -> Exception {
    let (channel, merchant) = ("wechat".into(), "m".into());
    let piece = PieceAt { channel, merchant, day: PLACE.day, province: PLACE.province, partition: PLACE.partition };
    let (line, payment): (Option<Box<StatementLine>>, Option<Box<BookedPayment>>) =
        (theirs.map(|fen| line(name, fen).into()), ours.map(|fen| payment(name, fen).into()));
    let difference = match (theirs, ours) {
        (Some(_), None) => Difference::Surplus,
        (None, _) => Difference::Shortage,
        (Some(_), Some(_)) => Difference::AmountDiffers,
    };
    let exception = piece.exception(difference, line.as_deref(), payment.as_deref(), 0);
    let owner = (age == Age::Older).then(|| "lin".parse().expect("a name"));
    Exception { exception, piece, difference, line, payment, age, owner, wanted: None, history: vec![], asked: 0, closed: None }
}

fn sums() -> Vec<DifferenceSum> {
    let sum = |difference, count, ours, theirs| DifferenceSum { difference, count, ours, theirs };
    vec![
        sum(Difference::Matched, 40, 20_000, 20_000),
        sum(Difference::Surplus, 1, 0, 700),
        sum(Difference::Shortage, 1, 200, 0),
        sum(Difference::AmountDiffers, 1, 330, 300),
    ]
}

/// Tells it; gives the rows of the CSV, and the page.
fn told(exceptions: &[Exception], stays: &Stays) -> (Vec<Vec<String>>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let day = |text: &str| text.parse::<Date>().expect("a day");
    let (day, as_of, sums) = (day("2026-11-22"), day("2026-12-02"), sums());
    let (channel, merchant, term) = ("wechat", "m", "T+2");
    let compared = Compared { channel, merchant, day, as_of, term, lines: 42, pieces: 3, fees: Some(120), sums: &sums, exceptions, stays };
    let out = folder.path().join("a/b");
    tell(&compared, &out).expect("it can be written");
    let text = fs::read_to_string(out.join("exceptions.csv")).expect("it was written");
    let mut csv = csv::Reader::from_reader(text.strip_prefix('\u{feff}').expect("a mark").as_bytes());
    let rows = csv.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect()).collect();
    (rows, fs::read_to_string(out.join("report.html")).expect("it was written"))
}

#[test]
fn what_is_open_is_told_by_its_id_and_age() {
    let exceptions =
        [exception("a", (Some(700), None), Age::Older), exception("b", (None, Some(200)), Age::T3), exception("c", (Some(300), Some(330)), Age::T3)];
    let stays = Stays { paid_and_inside: Listed::of([session("x")]), left_and_unpaid: Listed { count: 30, first: vec![session("y")] } };
    let (rows, page) = told(&exceptions, &stays);
    let short: Vec<String> = rows.iter().map(|row| [0, 3, 4, 5, 12, 19].map(|column| row[column].as_str()).join("|")).collect();
    assert_eq!(short, ["surplus|> 7 days|7.00|3||lin", "shortage|T+3|-2.00|||", "amount_differs|T+3|-0.30|3||"]);
    let ids: Vec<&str> = rows.iter().map(|row| row[18].as_str()).collect();
    assert_eq!(ids, exceptions.each_ref().map(|one| one.exception.to_string()));
    // Both totals with the way between them, the ages that RECON tells, and each exception by its id.
    assert_eq!(page.matches("<svg").count(), 2);
    let bars = ["&gt; 7 days</text>", "1 · ¥ 7.00", "2 · ¥ 2.30"];
    let totals = ["205.30", "210.00", "1.20", "T+2", "3 笔差异"];
    let stays = ["三方核对", session("x").as_str(), session("y").as_str(), "<td>30</td>"].map(str::to_owned);
    let ids = exceptions.each_ref().map(|one| one.exception.to_string());
    for there in bars.into_iter().chain(totals).map(str::to_owned).chain(stays).chain(ids) {
        assert!(page.contains(&there), "{there}");
    }
}

#[test]
fn what_was_closed_is_told_as_closed() {
    let (rows, page) = told(&[], &Stays::default());
    assert_eq!(rows.len(), 0);
    assert!(page.contains("全部相符") && page.contains("已结差异"), "three were found, and persons have closed them");
    assert_eq!(page.matches("<svg").count(), 1, "nothing grows older");
}
