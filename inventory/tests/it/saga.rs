//! The inventory's steps in the saga, one after the other and all at once.

use inventory::domain::{Rejection, State};
use rstest::rstest;
use serde_json::json;
use shared_events::{
    CancelReason, Envelope, Event, EventBody, FailureReason, Line, Lines, Money, OrderDetails, OrderId, Quantity,
    SagaId, Sku,
};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    until,
};
use uuid::Uuid;

use crate::harness::{Harness, message};

pub(crate) const DECLINED: EventBody = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
pub(crate) const CANCEL: EventBody = EventBody::OrderCancelRequested { reason: CancelReason::Customer };

pub(crate) fn order(number: i64, lines: &[(&str, i64)]) -> (SagaId, OrderDetails) {
    let line =
        |(sku, units): &(&str, i64)| Line { sku: Sku::parse(sku).unwrap(), quantity: Quantity::new(*units).unwrap() };
    let total = Money::from_minor_units(20_050, "USD".parse().unwrap()).unwrap();
    let lines = Lines::new(lines.iter().map(line)).unwrap();
    (SagaId(Uuid::now_v7()), OrderDetails { order_id: OrderId(number), lines, total, payment_method: None })
}

#[rstest]
#[tokio::test]
async fn a_confirmed_order_is_held_and_then_sold(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    inventory.stock("B", 5).await;
    let (saga, order) = order(1, &[("B", 5), ("A", 2)]);
    let created = inventory.publish(saga, &order, EventBody::OrderCreated).await;
    assert_eq!(inventory.units("A").await, (8, 2, 0));
    assert_eq!(inventory.units("B").await, (0, 5, 0));
    for received in inventory.received().await {
        let expected = Event { saga_id: saga, order: order.clone(), body: EventBody::StockReserved };
        assert_eq!(received.len(), 1, "{received:?}");
        assert_eq!((&received[0].event, received[0].header.causation_id), (&expected, created.header.id.0));
    }
    inventory.publish(saga, &order, EventBody::OrderConfirmed).await;
    assert_eq!(inventory.units("A").await, (8, 0, 2));
    assert_eq!(inventory.units("B").await, (0, 0, 5));
    assert_eq!(inventory.events().await, []);
    assert_eq!(inventory.state_of(saga).await, Some(State::Sold));
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_declined_payment_and_a_cancellation_give_the_stock_back(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    for (number, undo) in [(1, DECLINED), (2, CANCEL)] {
        let (saga, order) = order(number, &[("A", 4)]);
        inventory.publish(saga, &order, EventBody::OrderCreated).await;
        assert_eq!(inventory.units("A").await, (6, 4, 0));
        inventory.publish(saga, &order, undo).await;
        assert_eq!(inventory.units("A").await, (10, 0, 0));
        assert_eq!(inventory.events().await, [EventBody::StockReserved, EventBody::StockReleased]);
        assert_eq!(inventory.state_of(saga).await, Some(State::Released));
    }
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_cannot_be_held_is_rejected_and_nothing_of_it_is_held(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    inventory.stock("C", 1).await;
    for (number, lines, reason, item_sku) in [
        (1, [("A", 1), ("C", 2)], FailureReason::InsufficientStock, "C"),
        (2, [("A", 11), ("B", 1)], FailureReason::UnknownItem, "B"),
    ] {
        let (saga, order) = order(number, &lines);
        inventory.publish(saga, &order, EventBody::OrderCreated).await;
        let item_sku = Sku::parse(item_sku).unwrap();
        let failed = EventBody::StockReservationFailed { reason, item_sku: item_sku.clone() };
        assert_eq!(inventory.events().await, [failed]);
        assert_eq!(inventory.state_of(saga).await, Some(State::Rejected(Rejection { reason, item_sku })));
        // It stays rejected, even if the stock suffices by now.
        inventory.stock("C", 2).await;
        inventory.publish(saga, &order, EventBody::OrderCreated).await;
        assert_eq!(inventory.events().await, []);
        assert_eq!((inventory.units("A").await, inventory.units("C").await), ((10, 0, 0), (2, 0, 0)));
        inventory.stock("C", 1).await;
    }
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_order_that_was_undone_before_it_was_heard_of_starts_nothing(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    for (number, undo) in [(1, CANCEL), (2, DECLINED)] {
        let (saga, order) = order(number, &[("A", 4)]);
        inventory.publish(saga, &order, undo).await;
        assert_eq!(inventory.events().await, [EventBody::StockReleased]);
        inventory.publish(saga, &order, EventBody::OrderCreated).await;
        assert_eq!(inventory.events().await, []);
        assert_eq!(inventory.state_of(saga).await, Some(State::Cancelled));
        assert_eq!(inventory.units("A").await, (10, 0, 0));
    }
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_contradiction_is_dead_lettered_and_changes_nothing(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    let (sold, order_1) = order(1, &[("A", 4)]);
    inventory.publish(sold, &order_1, EventBody::OrderCreated).await;
    inventory.publish(sold, &order_1, EventBody::OrderConfirmed).await;
    let (released, order_2) = order(2, &[("A", 1)]);
    inventory.publish(released, &order_2, EventBody::OrderCreated).await;
    inventory.publish(released, &order_2, CANCEL).await;
    let (unknown, order_3) = order(3, &[("A", 1)]);
    inventory.events().await;
    let before = inventory.everything().await;
    inventory.publish(sold, &order_1, CANCEL).await;
    inventory.publish(sold, &order_1, DECLINED).await;
    inventory.publish(released, &order_2, EventBody::OrderConfirmed).await;
    inventory.publish(unknown, &order_3, EventBody::OrderConfirmed).await;
    let reasons = inventory.dead_letters(4).await;
    assert!(reasons[0].contains("OrderCancelRequested, but the stock is sold"), "{reasons:?}");
    assert!(reasons[1].contains("PaymentFailed, but the stock is sold"), "{reasons:?}");
    assert!(reasons[2].contains("it was released"), "{reasons:?}");
    assert!(reasons[3].contains("there is no reservation"), "{reasons:?}");
    assert_eq!(inventory.everything().await, before);
    assert_eq!(inventory.events().await, []);
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_hold_that_is_overdue_asks_until_it_hears_what_became_of_the_order(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut inventory = Harness::start_with(database, &["--hold-time", "50ms"]).await;
    inventory.stock("A", 10).await;
    let (saga, order) = order(7, &[("A", 4)]);
    // A client's reservation is never overdue.
    inventory.post("/api/v1/stock/reserve", &json!({"item_sku": "A", "quantity": 1})).await;
    inventory.publish(saga, &order, EventBody::OrderCreated).await;
    let repeats = async || inventory.reservations().await.iter().map(|one| one.repeats).collect::<Vec<_>>();
    until("it has asked twice", async || repeats().await[1] >= 2).await;
    assert_eq!(repeats().await[0], 0);
    inventory.publish(saga, &order, EventBody::OrderConfirmed).await;
    assert_eq!(inventory.units("A").await, (5, 1, 4));
    let asked = inventory.reservations().await[1].clone();
    assert_eq!((asked.state, asked.wake_at), (State::Sold, None));
    let [received, _] = inventory.received().await;
    let overdue = Event { saga_id: saga, order, body: EventBody::StockHoldOverdue };
    assert_eq!(received[0].event.body, EventBody::StockReserved);
    assert!(received[1..].iter().all(|envelope| envelope.event == overdue), "{received:?}");
    assert_eq!(received.len() - 1, usize::try_from(asked.repeats).unwrap());
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn many_orders_at_once_for_few_items_hold_what_there_is_and_no_more(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("HOT", 100).await;
    inventory.stock("COLD", 1_000).await;
    let orders: Vec<(SagaId, OrderDetails)> =
        (1..=300).map(|number| order(number, &[("HOT", 1), ("COLD", 2)])).collect();
    let messages = |body: &dyn Fn(usize) -> Option<EventBody>| -> Vec<Envelope> {
        let message =
            |(index, (saga, order)): (usize, &(SagaId, OrderDetails))| Some(message(*saga, order, &body(index)?));
        orders.iter().enumerate().filter_map(message).collect()
    };
    inventory.publish_all(&messages(&|_| Some(EventBody::OrderCreated))).await;
    assert_eq!(inventory.units("HOT").await, (0, 100, 0));
    assert_eq!(inventory.units("COLD").await, (800, 200, 0));
    let published = inventory.events().await;
    assert_eq!(published.iter().filter(|event| **event == EventBody::StockReserved).count(), 100);
    assert_eq!(published.len(), 300);
    // The first hundred orders hold stock: half of them are sold, half released.
    let end = |index: usize| match index {
        ..50 => Some(EventBody::OrderConfirmed),
        50..100 => Some(DECLINED),
        _ => None,
    };
    inventory.publish_all(&messages(&end)).await;
    assert_eq!(inventory.units("HOT").await, (50, 0, 50));
    assert_eq!(inventory.units("COLD").await, (900, 0, 100));
    assert_eq!(inventory.events().await.len(), 50);
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_whole_saga_in_one_batch_ends_as_one_by_one(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    let (saga, order) = order(1, &[("A", 4)]);
    let bodies = [EventBody::OrderCreated, DECLINED, CANCEL, EventBody::OrderCreated, CANCEL];
    inventory.publish_all(&bodies.map(|body| message(saga, &order, &body))).await;
    let released = EventBody::StockReleased;
    let expected = [EventBody::StockReserved, released.clone(), released.clone(), released];
    assert_eq!(inventory.events().await, expected);
    assert_eq!(inventory.units("A").await, (10, 0, 0));
    assert_eq!(inventory.reservations().await.len(), 1);
    inventory.finish().await;
}
