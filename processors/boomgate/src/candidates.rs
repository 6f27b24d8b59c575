//! Which car inside it may be whose plate was read wrongly: shown for a person to choose.
//!
//! Invariants
//! 1. Those whose characters are taken for one another come first   (`tests::the_nearest_plate_comes_first`).
//!
//! Not here: how near two plates are (`schema::plate`), what becomes of the choice (`rules::entry`).

use anyhow::{Context, Result};
use schema::{
    Credential, Entity, Journal, LotId, Moment, Partition,
    entity::{Session, Stage},
    gate::CredentialKind,
    plate::{self, Candidate},
};
use store::Store;

/// The sessions of a lot that a plate may belong to, by what is saved of them.
pub async fn find(store: &dyn Store, lot: LotId, text: &str, most: usize) -> Result<Vec<Candidate<Session>>> {
    let rows = store.open(Journal::Session, vec![Partition::of_lot(lot.as_str())]).await.context("cannot read the open sessions")?;
    let sessions: Vec<Session> = rows
        .into_iter()
        .filter_map(|row| if let Entity::Session(session) = row.entity { Some(*session) } else { None })
        .filter(|session| session.stay.lot == lot && session.stage == Stage::Open && !session.gone)
        .collect();
    let read = Credential { kind: CredentialKind::Plate, text: text.into(), colour: None }.identity();
    let among = sessions.iter().map(|session| (&session.stay.credential, session.stay.entered_at, session.clone()));
    Ok(plate::candidates(&read, Moment(i64::MAX), among, most))
}

/// Prints them for a person; gives whether there are any.
pub fn print(found: &[Candidate<Session>], lot: LotId, text: &str) -> bool {
    if found.is_empty() {
        println!("no car is inside {lot} whose plate could be read as {text}");
        return false;
    }
    for Candidate { what, distance, entered_at } in found {
        let stay = &what.stay;
        println!("{}  came at {entered_at} by lane {}; distance {distance}; session {}", stay.credential.text, stay.lane, stay.session);
        let is = Credential { text: text.into(), ..stay.credential.clone() };
        println!("    at the desk: {}", serde_json::json!({"kind": "corrected", "who": stay.credential, "is": is}));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{Trial, gate};
    use crate::turn::turn;
    use schema::GateKind;

    #[tokio::test(start_paused = true)]
    async fn the_nearest_plate_comes_first() {
        let mut trial = Trial::new().await;
        let cell = trial.cell().await;
        for (car, minute) in [("AB10B45", -9), ("AB18845", -8)] {
            let items = trial.deliver(&gate(GateKind::Entry, car, minute)).await;
            turn(trial.shared.clone(), cell.clone(), items, false).await;
        }
        let snapshots = cell.with(|state| state.snapshot()).into_iter().collect();
        crate::save::save(trial.shared.clone(), snapshots).await;
        let lot = "small".parse().expect("a name");
        let found = find(&*trial.shared.store, lot, "AB1OB45", 5).await.expect("the store is there");
        let texts: Vec<&str> = found.iter().map(|one| &*one.what.stay.credential.text).collect();
        assert_eq!(texts, ["AB10B45", "AB18845"], "an O for a 0 is nearer than two others");
        assert!(print(&found, lot, "AB1OB45"));
        let elsewhere = find(&*trial.shared.store, "other".parse().expect("a name"), "AB1OB45", 5).await.expect("the store is there");
        assert!(elsewhere.is_empty() && !print(&elsewhere, lot, "AB1OB45"));
    }
}
