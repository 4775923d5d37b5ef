//! The inventory's steps in the saga, one after the other and all at once.

use inventory::domain::{Rejection, State};
use serde_json::json;
use shared_events::{
    CancelReason, Event, EventBody, FailureReason, Line, Lines, MessageId, Money, OrderDetails, OrderId, Quantity,
    SagaId, Service, Sku,
};
use uuid::Uuid;

use crate::harness::{Harness, eventually};

pub(crate) const DECLINED: EventBody = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
pub(crate) const CANCEL: EventBody = EventBody::OrderCancelRequested { reason: CancelReason::Customer };

pub(crate) fn order(number: i64, lines: &[(&str, i64)]) -> (SagaId, OrderDetails) {
    let line =
        |(sku, units): &(&str, i64)| Line { sku: Sku::parse(sku).unwrap(), quantity: Quantity::new(*units).unwrap() };
    let total = Money::from_minor_units(20_050, "USD".parse().unwrap()).unwrap();
    let lines = Lines::new(lines.iter().map(line)).unwrap();
    (SagaId(Uuid::now_v7()), OrderDetails { order_id: OrderId(number), lines, total })
}

#[tokio::test]
async fn a_confirmed_order_is_held_and_then_sold() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 10).await;
    inventory.stock("B", 5).await;
    let (saga, order) = order(1, &[("B", 5), ("A", 2)]);
    let created = inventory.tell(saga, &order, EventBody::OrderCreated).await;
    assert_eq!(inventory.numbers("A").await, (8, 2, 0));
    assert_eq!(inventory.numbers("B").await, (0, 5, 0));
    for listener in [Service::Order, Service::Payment] {
        let heard = inventory.heard_by(listener).await;
        let expected = Event { saga_id: saga, order: order.clone(), body: EventBody::StockReserved };
        assert_eq!(heard.len(), 1, "{listener}");
        assert_eq!((&heard[0].event, heard[0].header.causation_id), (&expected, created.0), "{listener}");
    }
    inventory.tell(saga, &order, EventBody::OrderConfirmed).await;
    assert_eq!(inventory.numbers("A").await, (8, 0, 2));
    assert_eq!(inventory.numbers("B").await, (0, 0, 5));
    assert_eq!(inventory.said().await, []);
    assert_eq!(inventory.state_of(saga).await, Some(State::Sold));
    inventory.finish().await;
}

#[tokio::test]
async fn a_declined_payment_and_a_cancellation_give_the_stock_back() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 10).await;
    for (number, undo) in [(1, DECLINED), (2, CANCEL)] {
        let (saga, order) = order(number, &[("A", 4)]);
        inventory.tell(saga, &order, EventBody::OrderCreated).await;
        assert_eq!(inventory.numbers("A").await, (6, 4, 0));
        inventory.tell(saga, &order, undo).await;
        assert_eq!(inventory.numbers("A").await, (10, 0, 0));
        assert_eq!(inventory.said().await, [EventBody::StockReserved, EventBody::StockReleased]);
        assert_eq!(inventory.state_of(saga).await, Some(State::Released));
    }
    inventory.finish().await;
}

#[tokio::test]
async fn what_cannot_be_held_is_rejected_and_nothing_of_it_is_held() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 10).await;
    inventory.stock("C", 1).await;
    for (number, lines, reason, item_sku) in [
        (1, [("A", 1), ("C", 2)], FailureReason::InsufficientStock, "C"),
        (2, [("A", 11), ("B", 1)], FailureReason::UnknownItem, "B"),
    ] {
        let (saga, order) = order(number, &lines);
        inventory.tell(saga, &order, EventBody::OrderCreated).await;
        let item_sku = Sku::parse(item_sku).unwrap();
        let failed = EventBody::StockReservationFailed { reason, item_sku: item_sku.clone() };
        assert_eq!(inventory.said().await, [failed]);
        assert_eq!(inventory.state_of(saga).await, Some(State::Rejected(Rejection { reason, item_sku })));
        // It stays rejected, also where there is enough by now.
        inventory.stock("C", 2).await;
        inventory.tell(saga, &order, EventBody::OrderCreated).await;
        assert_eq!(inventory.said().await, []);
        assert_eq!((inventory.numbers("A").await, inventory.numbers("C").await), ((10, 0, 0), (2, 0, 0)));
        inventory.stock("C", 1).await;
    }
    inventory.finish().await;
}

#[tokio::test]
async fn an_order_that_was_undone_before_it_was_heard_of_starts_nothing() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 10).await;
    for (number, undo) in [(1, CANCEL), (2, DECLINED)] {
        let (saga, order) = order(number, &[("A", 4)]);
        inventory.tell(saga, &order, undo).await;
        assert_eq!(inventory.said().await, [EventBody::StockReleased]);
        inventory.tell(saga, &order, EventBody::OrderCreated).await;
        assert_eq!(inventory.said().await, []);
        assert_eq!(inventory.state_of(saga).await, Some(State::Cancelled));
        assert_eq!(inventory.numbers("A").await, (10, 0, 0));
    }
    inventory.finish().await;
}

#[tokio::test]
async fn a_contradiction_is_parked_and_changes_nothing() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 10).await;
    let (sold, order_1) = order(1, &[("A", 4)]);
    inventory.tell(sold, &order_1, EventBody::OrderCreated).await;
    inventory.tell(sold, &order_1, EventBody::OrderConfirmed).await;
    let (released, order_2) = order(2, &[("A", 1)]);
    inventory.tell(released, &order_2, EventBody::OrderCreated).await;
    inventory.tell(released, &order_2, CANCEL).await;
    let (unknown, order_3) = order(3, &[("A", 1)]);
    inventory.said().await;
    let before = inventory.everything().await;
    inventory.tell(sold, &order_1, CANCEL).await;
    inventory.tell(sold, &order_1, DECLINED).await;
    inventory.tell(released, &order_2, EventBody::OrderConfirmed).await;
    inventory.tell(unknown, &order_3, EventBody::OrderConfirmed).await;
    let reasons = inventory.parked(4).await;
    assert!(reasons[0].contains("OrderCancelRequested, but the stock is sold"), "{reasons:?}");
    assert!(reasons[1].contains("PaymentFailed, but the stock is sold"), "{reasons:?}");
    assert!(reasons[2].contains("it was released"), "{reasons:?}");
    assert!(reasons[3].contains("there is no reservation"), "{reasons:?}");
    assert_eq!(inventory.everything().await, before);
    assert_eq!(inventory.said().await, []);
    inventory.finish().await;
}

#[tokio::test]
async fn a_hold_that_is_overdue_asks_until_it_hears_what_became_of_the_order() {
    let mut inventory = Harness::start_with(&["--hold-time", "50ms"]).await;
    inventory.stock("A", 10).await;
    let (saga, order) = order(7, &[("A", 4)]);
    // What a client holds is never overdue.
    inventory.post("/api/v1/stock/reserve", &json!({"item_sku": "A", "quantity": 1})).await;
    inventory.tell(saga, &order, EventBody::OrderCreated).await;
    let repeats = async || inventory.reservations().await.iter().map(|one| one.repeats).collect::<Vec<_>>();
    eventually("it has asked twice", async || repeats().await[1] >= 2).await;
    assert_eq!(repeats().await[0], 0);
    inventory.tell(saga, &order, EventBody::OrderConfirmed).await;
    assert_eq!(inventory.numbers("A").await, (5, 1, 4));
    let asked = inventory.reservations().await[1].clone();
    assert_eq!((asked.state, asked.wake_at), (State::Sold, None));
    let heard = inventory.heard_by(Service::Order).await;
    let overdue = Event { saga_id: saga, order, body: EventBody::StockHoldOverdue };
    assert_eq!(heard[0].event.body, EventBody::StockReserved);
    assert!(heard[1..].iter().all(|envelope| envelope.event == overdue), "{heard:?}");
    assert_eq!(heard.len() - 1, usize::try_from(asked.repeats).unwrap());
    inventory.finish().await;
}

#[tokio::test]
async fn many_orders_at_once_for_few_items_hold_what_there_is_and_no_more() {
    let mut inventory = Harness::start().await;
    inventory.stock("HOT", 100).await;
    inventory.stock("COLD", 1_000).await;
    let orders: Vec<(SagaId, OrderDetails)> =
        (1..=300).map(|number| order(number, &[("HOT", 1), ("COLD", 2)])).collect();
    let events = |body: &dyn Fn(usize) -> Option<EventBody>| -> Vec<(MessageId, Event)> {
        let told = |(index, (saga_id, order)): (usize, &(SagaId, OrderDetails))| {
            let event = Event { saga_id: *saga_id, order: order.clone(), body: body(index)? };
            Some((MessageId(Uuid::now_v7()), event))
        };
        orders.iter().enumerate().filter_map(told).collect()
    };
    inventory.deliver(events(&|_| Some(EventBody::OrderCreated))).await;
    assert_eq!(inventory.numbers("HOT").await, (0, 100, 0));
    assert_eq!(inventory.numbers("COLD").await, (800, 200, 0));
    let said = inventory.said().await;
    assert_eq!(said.iter().filter(|said| **said == EventBody::StockReserved).count(), 100);
    assert_eq!(said.len(), 300);
    // The first hundred hold it: half of them are sold, half given back.
    let end = |index: usize| match index {
        ..50 => Some(EventBody::OrderConfirmed),
        50..100 => Some(DECLINED),
        _ => None,
    };
    inventory.deliver(events(&end)).await;
    assert_eq!(inventory.numbers("HOT").await, (50, 0, 50));
    assert_eq!(inventory.numbers("COLD").await, (900, 0, 100));
    assert_eq!(inventory.said().await.len(), 50);
    inventory.finish().await;
}

#[tokio::test]
async fn a_whole_saga_in_one_batch_ends_as_one_by_one() {
    let mut inventory = Harness::start().await;
    inventory.stock("A", 10).await;
    let (saga_id, order) = order(1, &[("A", 4)]);
    let event = |body| (MessageId(Uuid::now_v7()), Event { saga_id, order: order.clone(), body });
    let created = event(EventBody::OrderCreated);
    let batch = vec![created.clone(), event(DECLINED), event(CANCEL), event(EventBody::OrderCreated), event(CANCEL)];
    inventory.deliver(batch).await;
    let released = EventBody::StockReleased;
    let expected = [EventBody::StockReserved, released.clone(), released.clone(), released];
    assert_eq!(inventory.said().await, expected);
    assert_eq!(inventory.numbers("A").await, (10, 0, 0));
    assert_eq!(inventory.reservations().await.len(), 1);
    inventory.finish().await;
}
