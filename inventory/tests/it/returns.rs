//! Goods that come back with a refund.

use inventory::domain::State;
use rstest::rstest;
use shared_events::{EventBody, Line, Lines, Money, Quantity, RefundDetails, RefundId, Sku};
use testkit::service::DatabaseKind::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::{
    harness::Harness,
    saga::{CANCEL, order},
};

fn refund(restock: &[(&str, i64)]) -> RefundDetails {
    let line =
        |(sku, units): &(&str, i64)| Line { sku: Sku::parse(sku).unwrap(), quantity: Quantity::new(*units).unwrap() };
    RefundDetails {
        refund_id: RefundId(Uuid::now_v7()),
        amount: Money::from_minor_units(100, "USD".parse().unwrap()).unwrap(),
        restock: Lines::new(restock.iter().map(line)).ok(),
    }
}

fn refunded(refund: &RefundDetails) -> EventBody {
    EventBody::PaymentRefunded { refund: refund.clone() }
}

fn returned(refund: &RefundDetails) -> EventBody {
    EventBody::StockReturned { refund: refund.clone() }
}

#[rstest]
#[tokio::test]
async fn what_comes_back_is_available_again_and_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    inventory.stock("B", 5).await;
    let (saga, order) = order(1, &[("A", 4), ("B", 2)]);
    inventory.publish(saga, &order, EventBody::OrderCreated).await;
    inventory.publish(saga, &order, EventBody::OrderConfirmed).await;
    assert_eq!(inventory.events().await, [EventBody::StockReserved]);

    let (first, second, none) = (refund(&[("A", 1), ("B", 2)]), refund(&[("A", 3)]), refund(&[]));
    // Payment publishes it again if order asks again. It is answered again, and nothing comes back twice.
    for _ in 0..2 {
        inventory.publish(saga, &order, refunded(&first)).await;
        assert_eq!(inventory.events().await, [returned(&first)]);
        assert_eq!((inventory.units("A").await, inventory.units("B").await), ((7, 0, 3), (5, 0, 0)));
    }
    inventory.publish(saga, &order, refunded(&none)).await;
    assert_eq!(inventory.events().await, []);
    inventory.publish(saga, &order, refunded(&second)).await;
    assert_eq!(inventory.events().await, [returned(&second)]);
    assert_eq!((inventory.units("A").await, inventory.state_of(saga).await), ((10, 0, 0), Some(State::Sold)));
    // A late confirmation sells nothing again.
    inventory.publish(saga, &order, EventBody::OrderConfirmed).await;
    assert_eq!(inventory.units("A").await, (10, 0, 0));
    // What is there again can be ordered again.
    let (next, order) = crate::saga::order(2, &[("A", 10)]);
    inventory.publish(next, &order, EventBody::OrderCreated).await;
    assert_eq!((inventory.events().await, inventory.units("A").await), (vec![EventBody::StockReserved], (0, 10, 0)));
    inventory.publish(next, &order, CANCEL).await;
    inventory.events().await;
    inventory.finish().await;
}

/// `PaymentRefunded` overtakes `OrderConfirmed`.
#[rstest]
#[tokio::test]
async fn goods_that_are_still_held_are_sold_and_come_back(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    let (saga, order) = order(1, &[("A", 4)]);
    inventory.publish(saga, &order, EventBody::OrderCreated).await;
    let back = refund(&[("A", 3)]);
    for event in [refunded(&back), EventBody::OrderConfirmed, refunded(&back)] {
        inventory.publish(saga, &order, event).await;
        assert_eq!((inventory.units("A").await, inventory.state_of(saga).await), ((9, 0, 1), Some(State::Sold)));
    }
    assert_eq!(inventory.events().await, [EventBody::StockReserved, returned(&back), returned(&back)]);
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn more_than_was_sold_is_dead_lettered_and_changes_nothing(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    let (saga, order) = order(1, &[("A", 2)]);
    let (cancelled, other) = crate::saga::order(2, &[("A", 2)]);
    inventory.publish(saga, &order, EventBody::OrderCreated).await;
    inventory.publish(saga, &order, EventBody::OrderConfirmed).await;
    inventory.publish(cancelled, &other, CANCEL).await;
    inventory.events().await;
    for (saga, order, back) in
        [(saga, &order, &[("A", 3)][..]), (saga, &order, &[("B", 1)]), (cancelled, &other, &[("A", 1)])]
    {
        inventory.publish(saga, order, refunded(&refund(back))).await;
    }
    assert_eq!((inventory.events().await, inventory.units("A").await), (vec![], (8, 0, 2)));
    let reasons = inventory.dead_letters(3).await;
    assert!(reasons.iter().any(|reason| reason.contains("no stock was sold for the order")), "{reasons:?}");
    inventory.finish().await;
}
