use super::*;
use crate::{
    input, save,
    trial::{START, Trial},
    turn::{Cell, turn},
};
use schema::time::MINUTE;
use std::sync::Arc;

async fn save(trial: &Trial, cell: &Arc<Cell>) {
    let snapshot = cell.with(|state| state.snapshot()).expect("something is unsaved");
    for (rows, mark) in save::save(trial.shared.clone(), vec![snapshot]).await.confirmed {
        cell.with(|state| state.confirm(&rows, &mark));
    }
}

/// Two payments in an hour that has closed, a late one that is an adjustment, and one in an hour that is open.
async fn settled() -> Trial {
    let trial = Trial::of_the_ledger().await;
    let cell = trial.cell().await;
    let (mut minute, hours) = (90, [vec![Trial::paid(1, 10), Trial::paid(2, 20)], vec![Trial::paid(3, 30)]]);
    for items in hours {
        turn(trial.shared.clone(), cell.clone(), items, false).await;
        save(&trial, &cell).await;
        let now = START.plus(minute * MINUTE);
        let due = cell.with(|state| state.due(now)).into_iter().map(|key| input::tick(key, now)).collect();
        turn(trial.shared.clone(), cell.clone(), due, false).await;
        minute += 90;
    }
    turn(trial.shared.clone(), cell.clone(), vec![Trial::paid(4, 300)], false).await;
    save(&trial, &cell).await;
    trial
}

fn written(found: &Found, format: Format) -> String {
    let mut out = Vec::new();
    write(found, format, &mut out).expect("a Vec takes all that is written");
    String::from_utf8(out).expect("it is text")
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_adds_up() {
    let trial = settled().await;
    let found = find(&*trial.store, &Asked::default()).await.expect("the store is there");
    let said: Vec<_> = found.statements.iter().map(|line| (line.stands, line.number, line.postings, line.figures.gross, line.figures.net)).collect();
    assert_eq!(said, [(Stands::Closed, 0, 2, 2_000, 1_988), (Stands::Closed, 1, 1, 1_000, 994), (Stands::Open, 0, 1, 1_000, 994)]);
    let total = &found.totals[&Currency::Cny];
    assert_eq!((total.postings, total.payments, total.figures.gross, total.figures.fees, total.figures.net), (4, 4, 4_000, 24, 3_976));
    let table = written(&found, Format::Table);
    assert!(table.contains("adjustment 1") && table.contains("open") && table.lines().last().is_some_and(|line| line.contains("39.76")), "{table}");
    let csv = written(&found, Format::Csv);
    assert_eq!(csv.lines().count(), 5, "{csv}");
    assert!(csv.lines().all(|line| line.matches(',').count() == 24), "{csv}");
    let json: serde_json::Value = serde_json::from_str(&written(&found, Format::Json)).expect("it is JSON");
    assert_eq!(json["statements"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_asked_for_is_not_shown() {
    let trial = settled().await;
    let date = |text: &str| Some(text.parse().expect("a date"));
    let name = |text: &str| Some(text.parse().expect("a name"));
    for (asked, count) in [
        (Asked { lot: name("small"), ..Asked::default() }, 3),
        (Asked { lot: name("large"), ..Asked::default() }, 0),
        (Asked { operator: name("operator"), province: Some(44), ..Asked::default() }, 3),
        (Asked { operator: name("another"), ..Asked::default() }, 0),
        (Asked { province: Some(11), ..Asked::default() }, 0),
        (Asked { day: date("2026-11-23"), ..Asked::default() }, 3),
        (Asked { day: date("2026-11-24"), ..Asked::default() }, 0),
        (Asked { from: date("2026-11-22"), to: date("2026-11-23"), ..Asked::default() }, 3),
        (Asked { from: date("2026-11-24"), ..Asked::default() }, 0),
    ] {
        let found = find(&*trial.store, &asked).await.expect("the store is there");
        assert_eq!(found.statements.len(), count, "{asked:?}");
        assert!(!written(&found, Format::Table).is_empty());
    }
}
