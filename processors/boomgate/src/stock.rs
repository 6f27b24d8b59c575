//! A look through a lot: the cars that were found there, against those that are inside as far as is known.
//!
//! Invariants
//! 1. What differs is told, each car once, and nothing else   (`tests::what_differs_is_told`).
//! 2. A plate without its colour is never taken for one of several cars   (`tests::a_plate_of_several_cars_needs_its_colour`).
//!
//! Not here: what becomes of a difference (`rules::entry`, which decides by what is known then and not by what is saved).

use anyhow::{Context, Result, bail};
use schema::{
    Credential, DeskEvent, Entity, Journal, LotId, Moment, Partition,
    desk::{AuthorId, Says},
    entity::Stage,
    gate::CredentialKind,
    id, plate,
};
use std::collections::BTreeSet;
use store::Store;

/// What differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Found, and not known to be inside.
    pub unknown: Vec<Credential>,
    /// Known to be inside, and not found.
    pub missing: Vec<Credential>,
    /// Found without its colour, and which cars it may be: several inside have this plate. Of these nothing is said.
    pub unclear: Vec<(Credential, Vec<Credential>)>,
    /// How many were found and known.
    pub agree: usize,
}

impl Differences {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.unknown.is_empty() && self.missing.is_empty() && self.unclear.is_empty()
    }
}

/// Reads the cars that were found: a line each, a plate and after a comma its colour, where that is known. Lines that begin with `#` say nothing.
pub fn read(text: &str) -> Result<BTreeSet<Credential>> {
    let mut found = BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (text, colour) = line.split_once(',').map_or((line, None), |(text, colour)| (text.trim(), Some(colour.trim())));
        let known = colour.map(|word| plate::colour(word).with_context(|| format!("line {}: {word:?} is no colour of a plate", at + 1)));
        let credential = Credential { kind: CredentialKind::Plate, text: text.into(), colour: known.transpose()? };
        if let Err(wrong) = credential.check() {
            bail!("line {}: {wrong}", at + 1);
        }
        found.insert(credential.identity());
    }
    Ok(found)
}

/// Compares them with what is saved of the lot.
pub async fn compare(store: &dyn Store, lot: LotId, mut found: BTreeSet<Credential>) -> Result<Differences> {
    let rows = store.open(Journal::Session, vec![Partition::of_lot(lot.as_str())]).await.context("cannot read the open sessions")?;
    let mut differences = Differences::default();
    for row in rows {
        let Entity::Session(session) = row.entity else { continue };
        if session.stay.lot != lot || session.stage == Stage::Closed || session.gone {
            continue;
        }
        let known = session.stay.credential;
        if found.remove(&known) {
            differences.agree += 1;
        } else {
            differences.missing.push(known);
        }
    }
    for one in found {
        // A colour that was not noted is that of the one car that is left with this plate.
        let same = |known: &&Credential| one.colour.is_none() && known.kind == one.kind && known.text == one.text;
        let cars: Vec<Credential> = differences.missing.iter().filter(same).cloned().collect();
        differences.missing.retain(|known| !cars.contains(known));
        match cars.len() {
            0 => differences.unknown.push(one),
            1 => differences.agree += 1,
            _ => differences.unclear.push((one, cars)),
        }
    }
    differences.missing.sort();
    differences.unclear.iter_mut().for_each(|(_, cars)| cars.sort());
    Ok(differences)
}

/// What to say at the lot's desk of all that differs. The same look says the same, however often it is said.
pub fn says(differences: &Differences, lot: LotId, author: AuthorId, said_at: Moment) -> Vec<DeskEvent> {
    let one = |who: &Credential, held: bool| {
        let name = id::digest(&["stock", &who.text, &format!("{:?}", who.colour), &said_at.0.to_string()], 20);
        let id = name.parse().expect("letters and digits are a token");
        DeskEvent { id, lot, said_at, author, reason: "the lot was looked through".into(), says: Says::Stock { who: who.clone(), held } }
    };
    let unknown = differences.unknown.iter().map(|who| one(who, true));
    unknown.chain(differences.missing.iter().map(|who| one(who, false))).collect()
}

/// Prints them for a person.
pub fn print(differences: &Differences) {
    println!("{} cars are as they should be", differences.agree);
    for car in &differences.unknown {
        println!("found, and not known to be inside: {}", car.text);
    }
    for car in &differences.missing {
        println!("known to be inside, and not found: {}", car.text);
    }
    for (car, known) in &differences.unclear {
        let colours: Vec<String> =
            known.iter().map(|known| known.colour.map_or("no".into(), |colour| format!("{colour:?}").to_lowercase())).collect();
        println!("found, and several cars inside have this plate: {} ({}); note its colour", car.text, colours.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        save,
        trial::{Trial, gate},
        turn::turn,
    };
    use schema::{GateEvent, GateKind, gate::Colour};

    #[tokio::test(start_paused = true)]
    async fn what_differs_is_told() {
        let mut trial = Trial::new().await;
        let cell = trial.cell().await;
        for (car, minute) in [("AB10001", -9), ("AB10002", -8)] {
            let items = trial.deliver(&gate(GateKind::Entry, car, minute)).await;
            turn(trial.shared.clone(), cell.clone(), items, false).await;
        }
        let snapshots = cell.with(|state| state.snapshot()).into_iter().collect();
        save::save(trial.shared.clone(), snapshots).await;
        let lot = "small".parse().expect("a name");
        let found = read("# level 1\nab·10001, blue\nAB10003\n\nAB10003\n").expect("it can be read");
        let differences = compare(&*trial.shared.store, lot, found).await.expect("the store is there");
        let cars = |cars: &[Credential]| cars.iter().map(|car| car.text.to_string()).collect::<Vec<_>>();
        assert_eq!((cars(&differences.unknown), cars(&differences.missing), differences.agree), (vec!["AB10003".into()], vec!["AB10002".into()], 1));
        print(&differences);
        let said = says(&differences, lot, "lin".parse().expect("a name"), Moment(7));
        let told: Vec<_> = said.into_iter().map(|event| event.checked().expect("it is sound").says).collect();
        let unknown = Credential { kind: CredentialKind::Plate, text: "AB10003".into(), colour: None };
        assert_eq!(told, [Says::Stock { who: unknown, held: true }, Says::Stock { who: Credential::plate("AB10002", Colour::Blue), held: false }]);
        assert!(
            compare(&*trial.shared.store, "other".parse().expect("a name"), BTreeSet::new()).await.expect("it is there") == Differences::default()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_plate_of_several_cars_needs_its_colour() {
        let mut trial = Trial::new().await;
        let cell = trial.cell().await;
        for (colour, minute) in [(Colour::Yellow, -9), (Colour::Blue, -8)] {
            let event = gate(GateKind::Entry, "AB10001", minute);
            let items = trial.deliver(&GateEvent { credential: Credential::plate("AB10001", colour), ..event }).await;
            turn(trial.shared.clone(), cell.clone(), items, false).await;
        }
        let snapshots = cell.with(|state| state.snapshot()).into_iter().collect();
        save::save(trial.shared.clone(), snapshots).await;
        let lot: LotId = "small".parse().expect("a name");
        let (blue, yellow) = (Credential::plate("AB10001", Colour::Blue), Credential::plate("AB10001", Colour::Yellow));
        let bare = Credential { colour: None, ..blue.clone() };
        for (text, expected) in [
            ("AB10001", Differences { unclear: vec![(bare, vec![blue, yellow.clone()])], ..Differences::default() }),
            ("AB10001, blue", Differences { missing: vec![yellow], agree: 1, ..Differences::default() }),
            ("AB10001\nAB10001, blue", Differences { agree: 2, ..Differences::default() }),
        ] {
            let found = read(text).expect("it can be read");
            let differences = compare(&*trial.shared.store, lot, found).await.expect("the store is there");
            print(&differences);
            assert_eq!(differences, expected, "{text}");
            assert_eq!(says(&differences, lot, "lin".parse().expect("a name"), Moment(7)).len(), expected.missing.len(), "{text}");
        }
    }

    #[test]
    fn a_line_that_means_nothing_is_named() {
        for (text, part) in [("A1\nB2, mauve", "line 2"), ("A1\n,blue", "line 2"), (&"x".repeat(40), "line 1")] {
            assert!(read(text).is_err_and(|error| error.to_string().contains(part)), "{text}");
        }
    }
}
