//! A database of an earlier version comes up and goes on.

use rstest::rstest;
use shared_events::EventBody;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    until,
};

use crate::{harness::Harness, orders::Order, scripted::Point};

/// Earlier versions knew no due times, and voided by the state.
#[rstest]
#[tokio::test]
async fn what_an_earlier_version_was_voiding_is_voided(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let orders = [Order::of(1, "20"), Order::of(2, "20")];
    for order in &orders {
        harness.publish(&order.reserved()).await;
        assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    }
    let writer = harness.service.another_writer().await;
    let transaction = writer.begin().await.unwrap();
    let sql = "UPDATE payments SET state = 'VOIDING', due_at = NULL, lines = NULL WHERE order_id = 1";
    sea_orm::ConnectionTrait::execute_unprepared(&transaction, sql).await.unwrap();
    transaction.commit().await.unwrap();
    writer.close().await;
    until("it is voided", async || harness.states().await[0] == "VOIDED").await;
    assert_eq!((harness.gateway.holds(orders[0].saga_id), harness.gateway.count(Point::BeforeVoid)), (0, 1));
    // It is not known for which lines, so nothing is published; order repeats its cancellation.
    harness.publish(&orders[0].cancel()).await;
    assert_eq!(harness.receive().await, orders[0].event(EventBody::PaymentVoided));
    // The other one is authorized as before.
    harness.publish(&orders[1].cancel()).await;
    assert_eq!(harness.receive().await, orders[1].event(EventBody::PaymentVoided));
    harness.finish().await;
}
