use shared_events::{Envelope, EventBody, FailureReason};

use crate::{harness::System, orders::Order};

/// Tells each of `first`, hears `said`; then everything again as it was (redelivered) and as new messages (repeated), and
/// the table and the gateway stay as they are. Repeated cancellations are answered, and nothing else is.
async fn twice(order: &Order, first: Vec<Envelope>, said: &[EventBody], state: &str, held: i64) {
    let mut system = System::start().await;
    for message in &first {
        system.tell(message).await;
    }
    for body in said {
        assert_eq!(system.hear().await, order.event(body.clone()));
    }
    system.becomes(order.saga_id, state).await;
    let rows = system.rows().await;
    let charges = system.gateway.charges(order.saga_id);

    for message in &first {
        system.tell(message).await;
    }
    assert_eq!(system.rows().await, rows, "a redelivered message is dropped");

    for message in &first {
        system.tell(&order.message(message.event.body.clone())).await;
        if matches!(message.event.body, EventBody::OrderCancelRequested { .. }) {
            assert_eq!(system.hear().await, order.event(EventBody::PaymentVoided));
        }
    }
    assert_eq!(system.rows().await, rows, "a repeated message changes nothing");
    assert_eq!((system.gateway.charges(order.saga_id), system.gateway.holds(order.saga_id)), (charges, held));
    assert!(charges <= 1);
    system.finish().await;
}

#[tokio::test]
async fn stock_reserved_and_authorized() {
    let order = Order::of(1, "20");
    twice(&order, vec![order.reserved()], &[EventBody::PaymentAuthorized], "AUTHORIZED", 2_000).await;
}

#[tokio::test]
async fn stock_reserved_and_declined() {
    let order = Order::of(1, "5000");
    let failed = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
    twice(&order, vec![order.reserved()], &[failed], "DECLINED", 0).await;
}

#[tokio::test]
async fn cancelled_before_anything() {
    let order = Order::of(1, "20");
    twice(&order, vec![order.cancel()], &[EventBody::PaymentVoided], "CANCELLED", 0).await;
}

#[tokio::test]
async fn cancelled_after_the_authorization() {
    let order = Order::of(1, "20");
    let said = [EventBody::PaymentAuthorized, EventBody::PaymentVoided];
    twice(&order, vec![order.reserved(), order.cancel()], &said, "VOIDED", 0).await;
}

#[tokio::test]
async fn cancelled_before_the_authorization() {
    let order = Order::of(1, "20");
    twice(&order, vec![order.cancel(), order.reserved()], &[EventBody::PaymentVoided], "VOIDED", 0).await;
}

#[tokio::test]
async fn the_same_message_several_times_at_once() {
    let mut system = System::start().await;
    let (order, cancelled) = (Order::of(1, "20"), Order::of(2, "20"));
    let (reserved, cancel) = (order.reserved(), cancelled.cancel());
    let mut all = vec![reserved.clone(), reserved.clone(), order.reserved(), reserved, order.reserved()];
    all.extend([cancel.clone(), cancel]);
    system.say_all(&all).await;
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    assert_eq!(system.hear().await, cancelled.event(EventBody::PaymentVoided));
    for message in &all {
        system.committed(message.header.id).await;
    }
    assert_eq!(system.states().await, ["AUTHORIZED", "CANCELLED"]);
    assert_eq!(system.gateway.charges(order.saga_id), 1);
    system.finish().await;
}
