use super::*;
use crate::trial::{START, append, applied, expected, order, partition};
use schema::entity::Fate;
use store::{Mark, Row, Sqlite};
use streams::Memory;

struct Sight {
    view: View,
    key: Key,
}

fn sight() -> Sight {
    let (bus, store): (Arc<dyn Bus>, Arc<dyn Store>) = (Arc::new(Memory::new(START)), Arc::new(Sqlite::in_memory()));
    Sight { view: View::new(bus, store), key: Key::of(Table::Payments, order(1)).expect("an order of ours") }
}

impl Sight {
    async fn payment(&self) -> Option<Payment> {
        self.view.payment(order(1)).await.expect("bus and store are there")
    }

    async fn save(&self, entity: Payment, after: i64) {
        let row = Row { key: self.key, at: START.plus(after), entity: Entity::Payment(Box::new(entity)) };
        self.view.store().save(vec![row]).await.expect("it is in memory");
    }
}

#[tokio::test]
async fn what_is_not_saved_yet_is_seen() {
    let sight = sight();
    assert_eq!(sight.payment().await, None);
    append(&**sight.view.bus(), vec![(1, "a", expected())]).await;
    assert!(!sight.payment().await.expect("it is expected").is_paid());
    append(&**sight.view.bus(), vec![(2, "b", applied())]).await;
    assert!(sight.payment().await.expect("it is expected").is_paid());
}

#[tokio::test]
async fn what_is_saved_is_not_folded_twice() {
    let sight = sight();
    append(&**sight.view.bus(), vec![(1, "a", expected()), (2, "b", applied())]).await;
    let mut saved = sight.payment().await.expect("it is expected");
    // What only this row has would be lost if an event that it has were folded again.
    saved.receipts.values_mut().for_each(|receipt| receipt.fate = Fate::Surplus);
    sight.save(saved.clone(), 2).await;
    assert_eq!(sight.payment().await, Some(saved.clone()));
    let mark = Mark { journal: Journal::Payment, partition: partition(), at: START.plus(2), sequence: 2 };
    sight.view.store().mark(vec![mark]).await.expect("it is in memory");
    assert_eq!(sight.payment().await, Some(saved));
    append(&**sight.view.bus(), vec![(3, "c", applied())]).await;
    assert!(sight.payment().await.expect("it is expected").is_paid(), "what came after the row is folded");
}

#[tokio::test]
async fn a_store_that_is_away_is_no_absence() {
    let sight = sight();
    // The order's beginning is in no row and in no journal: somebody lost it.
    append(&**sight.view.bus(), vec![(1, "a", applied())]).await;
    assert_eq!(sight.view.payment(order(1)).await.expect_err("it is unknown").kind, Kind::StoreAway);
}
