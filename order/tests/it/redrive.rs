//! A redriven dead letter is handled like a delivery.

use rstest::rstest;
use shared_events::EventBody;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    caused_by,
};

use crate::harness::Harness;

#[rstest]
#[tokio::test]
async fn an_order_that_waits_for_it_comes_to_its_end(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    let message = caused_by(&created, EventBody::PaymentAuthorized);
    for _ in 0..2 {
        assert_eq!(harness.service.dead_letter_and_redrive(&message).await["outcome"], "HANDLED");
        assert_eq!(harness.status(id).await, ("CONFIRMED".to_owned(), "SUCCEEDED".to_owned()));
        harness.payment.publish_all([&message]).await;
    }
    let (to_inventory, to_payment) = harness.remaining_events().await;
    assert_eq!(to_inventory, [EventBody::OrderConfirmed], "published once");
    assert_eq!(to_payment, [EventBody::StockReserved, EventBody::OrderConfirmed]);
    harness.finish().await;
}
