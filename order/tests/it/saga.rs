//! Events that only a loss brings about: overdue holds, and orders that this database does not know.

use shared_events::{
    CancelReason, Envelope, Event, EventBody, EventType, FailureReason, OrderId, SagaId, Service, Sku,
};
use uuid::Uuid;

use crate::{
    harness::{Harness, example},
    peer::{outgoing, saying},
};

const BY_DEADLINE: EventBody = EventBody::OrderCancelRequested { reason: CancelReason::Deadline };

#[tokio::test]
async fn an_overdue_hold_of_a_confirmed_order_is_told_so_again() {
    let mut harness = Harness::start().await;
    let (id, created) = harness.place().await;
    harness.inventory.say(&created, EventBody::StockReserved).await;
    harness.payment.say(&created, EventBody::PaymentAuthorized).await;
    let confirmed = harness.inventory.hear(EventType::OrderConfirmed).await;
    let before = harness.order(id).await;
    let overdue = harness.inventory.say(&created, EventBody::StockHoldOverdue).await;
    let again = harness.inventory.hear(EventType::OrderConfirmed).await;
    assert_eq!(again.event, confirmed.event);
    assert_ne!(again.header.id, confirmed.header.id, "it is a message of its own, or the inbox would drop it");
    assert_eq!(again.header.causation_id, overdue.header.id.0);
    assert_eq!(harness.order(id).await, before);
    harness.finish().await;
}

#[tokio::test]
async fn an_overdue_hold_of_an_order_under_way_waits_for_its_deadline() {
    let mut harness = Harness::start().await;
    let (id, created) = harness.place().await;
    harness.inventory.say(&created, EventBody::StockReserved).await;
    harness.inventory.say(&created, EventBody::StockHoldOverdue).await;
    assert_eq!(harness.timeline(id).await, ["OrderCreated", "StockReserved", "StockHoldOverdue"]);
    assert_eq!(harness.heard_besides().await.0, []);
    harness.finish().await;
}

#[tokio::test]
async fn an_overdue_hold_of_an_order_that_is_undone_is_told_to_let_go() {
    let mut harness = Harness::start().await;
    let (cancelled, created) = harness.place().await;
    harness.cancel(cancelled).await;
    let by_customer = harness.inventory.hear(EventType::OrderCancelRequested).await;
    harness.inventory.say(&created, EventBody::StockHoldOverdue).await;
    assert_eq!(harness.inventory.hear(EventType::OrderCancelRequested).await.event, by_customer.event);
    // And after its end the same: the word was lost then.
    harness.inventory.say(&created, EventBody::StockReleased).await;
    harness.payment.say(&created, EventBody::PaymentVoided).await;
    harness.inventory.say(&created, EventBody::StockHoldOverdue).await;
    assert_eq!(harness.inventory.hear(EventType::OrderCancelRequested).await.event, by_customer.event);

    let (failed, created) = harness.place().await;
    let reason = FailureReason::UnknownItem;
    let item_sku = Sku::parse("SKU-ABC").unwrap();
    harness.inventory.say(&created, EventBody::StockReservationFailed { reason, item_sku }).await;
    harness.inventory.say(&created, EventBody::StockHoldOverdue).await;
    assert_eq!(harness.inventory.hear(EventType::OrderCancelRequested).await.event.body, BY_DEADLINE);
    assert_eq!(harness.status(failed).await.0, "FAILED");
    assert_eq!(harness.status(cancelled).await.0, "CANCELLED");
    harness.finish().await;
}

#[tokio::test]
async fn whoever_holds_something_for_an_unknown_order_is_told_to_let_go() {
    let mut harness = Harness::start().await;
    let (id, known) = harness.place().await;
    let before = harness.timeline(id).await;
    // Its number is one that is in use: another order, from before the database was lost.
    let stranger = |body| Envelope {
        event: Event { saga_id: SagaId(Uuid::now_v7()), body, ..known.event.clone() },
        ..saying(&known, EventBody::OrderCreated)
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
        let said = stranger(body);
        let by_payment = said.event.body.event_type().flow().publisher == Service::Payment;
        let speaker = if by_payment { &mut harness.payment } else { &mut harness.inventory };
        speaker.repeat(&[&said]).await;
        if is_answered {
            let wish = harness.inventory.hear(EventType::OrderCancelRequested).await;
            assert_eq!(wish.event, Event { body: BY_DEADLINE, ..said.event.clone() });
        }
        if matches!(said.event.body, EventBody::PaymentFailed { .. }) {
            harness.inventory.hear(EventType::PaymentFailed).await;
        }
        assert_eq!(harness.heard_besides().await.0, [], "{:?}", said.event.body);
    }
    assert_eq!(harness.timeline(id).await, before, "the order of that number is another");
    assert_eq!((harness.how_many_orders().await, harness.status(id).await.0.as_str()), (1, "PENDING"));
    harness.finish().await;
}

#[tokio::test]
async fn an_unknown_order_with_a_number_of_the_future_does_not_take_it() {
    let mut harness = Harness::start().await;
    let (_, known) = harness.place().await;
    let mut said = saying(&known, EventBody::StockReserved);
    said.event.saga_id = SagaId(Uuid::now_v7());
    said.event.order.order_id = OrderId(2);
    harness.inventory.repeat(&[&said]).await;
    harness.inventory.hear(EventType::OrderCancelRequested).await;
    harness.get("/api/v1/orders/2").await.assert_problem(404, "order not found");
    harness.get("/api/v1/orders/2/events").await.assert_problem(404, "order not found");
    assert_eq!(harness.post_async(&example()).await, 2);
    assert_eq!(harness.timeline(2).await, ["OrderCreated"]);
    harness.finish().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_parked_and_the_saga_goes_on() {
    let mut harness = Harness::start().await;
    let (id, created) = harness.place().await;
    let good = outgoing(&saying(&created, EventBody::StockReserved));
    let mut nonsense = outgoing(&saying(&created, EventBody::StockReserved));
    nonsense.body = "nonsense".into();
    let mut newer = outgoing(&saying(&created, EventBody::StockReserved));
    newer.body = newer.body.replace(".v1\"", ".v2\"").into();
    harness.inventory.publish(vec![nonsense, newer, good]).await;
    harness.payment.say(&created, EventBody::PaymentAuthorized).await;
    assert_eq!(harness.status(id).await.0, "CONFIRMED");
    harness.finish_with_dead_letters(2).await;
}
