//! A redriven dead letter is handled like a delivery.

use rstest::rstest;
use shared_events::EventBody;
use testkit::service::DatabaseKind::{self, Postgres, Sqlite};

use crate::{
    harness::{Harness, message},
    saga::order,
};

#[rstest]
#[tokio::test]
async fn a_created_order_gets_its_stock_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    let (saga, order) = order(1, &[("A", 3)]);
    let message = message(saga, &order, &EventBody::OrderCreated);
    for _ in 0..2 {
        let answer = inventory.service.dead_letter_and_redrive(&message).await;
        assert_eq!(answer["outcome"], "HANDLED", "{answer}");
        inventory.publish_all([&message]).await;
    }
    assert_eq!(inventory.events().await, [EventBody::StockReserved]);
    assert_eq!(inventory.units("A").await, (7, 3, 0));
    inventory.finish().await;
}
