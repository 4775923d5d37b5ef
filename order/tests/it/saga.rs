//! Events that are published only after a loss: overdue holds, and events of orders that this database does not have.

use rstest::rstest;
use shared_events::{
    CancelReason, Envelope, Event, EventBody, EventType, FailureReason, OrderId, SagaId, Service, Sku,
};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    caused_by, outgoing,
};
use uuid::Uuid;

use crate::harness::{Harness, example};

const BY_DEADLINE: EventBody = EventBody::OrderCancelRequested { reason: CancelReason::Deadline };

#[rstest]
#[tokio::test]
async fn an_overdue_hold_of_a_confirmed_order_is_told_so_again(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    let confirmed = harness.inventory.receive(EventType::OrderConfirmed).await;
    let before = harness.order(id).await;
    let overdue = harness.inventory.publish(&created, EventBody::StockHoldOverdue).await;
    let again = harness.inventory.receive(EventType::OrderConfirmed).await;
    assert_eq!(again.event, confirmed.event);
    assert_ne!(again.header.id, confirmed.header.id, "it is a message of its own, or the inbox would drop it");
    assert_eq!(again.header.causation_id, overdue.header.id.0);
    assert_eq!(harness.order(id).await, before);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_overdue_hold_of_an_order_under_way_waits_for_its_deadline(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.inventory.publish(&created, EventBody::StockHoldOverdue).await;
    assert_eq!(harness.timeline(id).await, ["OrderCreated", "StockReserved", "StockHoldOverdue"]);
    assert_eq!(harness.remaining_events().await.0, []);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_overdue_hold_of_an_order_that_is_undone_is_told_to_let_go(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let (cancelled, created) = harness.place().await;
    harness.cancel(cancelled).await;
    let by_customer = harness.inventory.receive(EventType::OrderCancelRequested).await;
    harness.inventory.publish(&created, EventBody::StockHoldOverdue).await;
    assert_eq!(harness.inventory.receive(EventType::OrderCancelRequested).await.event, by_customer.event);
    // The same after its end: the first request to cancel was lost then.
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    harness.payment.publish(&created, EventBody::PaymentVoided).await;
    harness.inventory.publish(&created, EventBody::StockHoldOverdue).await;
    assert_eq!(harness.inventory.receive(EventType::OrderCancelRequested).await.event, by_customer.event);

    let (failed, created) = harness.place().await;
    let reason = FailureReason::UnknownItem;
    let item_sku = Sku::parse("SKU-ABC").unwrap();
    harness.inventory.publish(&created, EventBody::StockReservationFailed { reason, item_sku }).await;
    harness.inventory.publish(&created, EventBody::StockHoldOverdue).await;
    assert_eq!(harness.inventory.receive(EventType::OrderCancelRequested).await.event.body, BY_DEADLINE);
    assert_eq!(harness.status(failed).await.0, "FAILED");
    assert_eq!(harness.status(cancelled).await.0, "CANCELLED");
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn whoever_holds_something_for_an_unknown_order_is_told_to_let_go(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let (id, known) = harness.place().await;
    let before = harness.timeline(id).await;
    // Its number is in use by another order; it was placed before the database was lost.
    let unknown_order = |body| Envelope {
        event: Event { saga_id: SagaId(Uuid::now_v7()), body, ..known.event.clone() },
        ..caused_by(&known, EventBody::OrderCreated)
    };
    let declined = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
    for (body, is_answered) in [
        (EventBody::StockReserved, true),
        (EventBody::PaymentAuthorized, true),
        (EventBody::StockHoldOverdue, true),
        (EventBody::StockReleased, false),
        (EventBody::PaymentVoided, false),
        (declined, false),
    ] {
        let message = unknown_order(body);
        let by_payment = message.event.body.event_type().flow().publisher == Service::Payment;
        let peer = if by_payment { &mut harness.payment } else { &mut harness.inventory };
        peer.publish_all([&message]).await;
        if is_answered {
            let request = harness.inventory.receive(EventType::OrderCancelRequested).await;
            assert_eq!(request.event, Event { body: BY_DEADLINE, ..message.event.clone() });
        }
        if matches!(message.event.body, EventBody::PaymentFailed { .. }) {
            harness.inventory.receive(EventType::PaymentFailed).await;
        }
        assert_eq!(harness.remaining_events().await.0, [], "{:?}", message.event.body);
    }
    assert_eq!(harness.timeline(id).await, before, "the order of that number is another");
    assert_eq!((harness.order_count().await, harness.status(id).await.0.as_str()), (1, "PENDING"));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_unknown_order_with_a_number_of_the_future_does_not_take_it(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let (_, known) = harness.place().await;
    let mut message = caused_by(&known, EventBody::StockReserved);
    message.event.saga_id = SagaId(Uuid::now_v7());
    message.event.order.order_id = OrderId(2);
    harness.inventory.publish_all([&message]).await;
    harness.inventory.receive(EventType::OrderCancelRequested).await;
    harness.get("/api/v1/orders/2").await.assert_problem(404, "order not found");
    harness.get("/api/v1/orders/2/events").await.assert_problem(404, "order not found");
    assert_eq!(harness.post_async(&example()).await, 2);
    assert_eq!(harness.timeline(2).await, ["OrderCreated"]);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_message_that_cannot_be_read_is_dead_lettered_and_the_saga_goes_on(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let (id, created) = harness.place().await;
    let good = outgoing(&caused_by(&created, EventBody::StockReserved));
    let mut nonsense = outgoing(&caused_by(&created, EventBody::StockReserved));
    nonsense.body = "nonsense".into();
    let mut newer = outgoing(&caused_by(&created, EventBody::StockReserved));
    newer.body = newer.body.replace(".v1\"", ".v2\"").into();
    harness.inventory.publish_raw(vec![nonsense, newer, good]).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    assert_eq!(harness.status(id).await.0, "CONFIRMED");
    harness.service.dead_letters(2).await;
    harness.finish().await;
}
