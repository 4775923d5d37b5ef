//! A redriven dead letter is handled like a delivery, including the call to the gateway.

use rstest::rstest;
use shared_events::EventBody;
use testkit::service::DatabaseKind::{self, Postgres, Sqlite};

use crate::{harness::Harness, orders::Order};

#[rstest]
#[tokio::test]
async fn reserved_stock_is_paid_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let order = Order::of(41, "200.50");
    let message = order.reserved();
    let answer = harness.service.dead_letter_and_redrive(&message).await;
    assert_eq!(answer["outcome"], "HANDLED", "{answer}");
    assert_eq!(harness.receive().await, order.event(EventBody::PaymentAuthorized));
    harness.publish(&message).await;
    let answer = harness.service.dead_letter_and_redrive(&message).await;
    assert_eq!(answer["outcome"], "HANDLED", "{answer}");
    assert_eq!((harness.gateway.holds(order.saga_id), harness.gateway.charges(order.saga_id)), (20_050, 1));
    assert_eq!(harness.states().await, ["AUTHORIZED"]);
    harness.finish().await;
}
