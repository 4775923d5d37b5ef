//! A row that cannot be read does not block any other.

use rstest::rstest;
use shared_events::{EventBody, OrderDetails, SagaId};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    execute, until,
};

use crate::{harness::Harness, saga::order};

#[rstest]
#[tokio::test]
async fn a_damaged_reservation_delays_no_other_and_a_damaged_item_hides_no_other(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut inventory = Harness::start(database).await;
    for sku in ["A", "B", "C"] {
        inventory.stock(sku, 10).await;
    }
    let orders: Vec<(SagaId, OrderDetails)> = (1..=3).map(|number| order(number, &[("A", 1)])).collect();
    for (saga, order) in &orders {
        inventory.publish(*saga, order, EventBody::OrderCreated).await;
    }
    inventory.events().await;
    // The damaged reservation is the first that is due.
    let database = inventory.service.another_writer().await;
    execute(&database, "UPDATE reservations SET currency = 'XXX', wake_at = 1 WHERE order_id = 2").await;
    execute(&database, "UPDATE reservations SET wake_at = 2 WHERE order_id <> 2").await;
    // Longer than any SKU.
    let long = "B".repeat(100);
    execute(&database, &format!("UPDATE stock_items SET sku = '{long}' WHERE sku = 'B'")).await;

    let mut asked = Vec::new();
    until("both others are asked about", async || {
        let [received, _] = inventory.received().await;
        asked.extend(received.into_iter().map(|envelope| envelope.event.order.order_id.0));
        asked.len() >= 2
    })
    .await;
    asked.sort_unstable();
    assert_eq!(asked, [1, 3]);

    let list = inventory.get("/api/v1/stock/").await;
    let skus: Vec<_> = list.body.as_array().unwrap().iter().map(|item| item["item_sku"].clone()).collect();
    assert_eq!((list.status, skus), (200, vec!["A".into(), "C".into()]));
    assert_eq!(inventory.units("C").await, (10, 0, 0));

    // Once repaired, the rows are read as before.
    execute(&database, &format!("UPDATE stock_items SET sku = 'B' WHERE sku = '{long}'")).await;
    execute(&database, "UPDATE reservations SET currency = 'USD' WHERE order_id = 2").await;
    database.close().await;
    inventory.finish().await;
}
