//! A parked message that an operator drives again goes the way of a delivery, over the gateway.

use shared_events::EventBody;

use crate::{harness::System, orders::Order, parking::park_and_drive};

#[tokio::test]
async fn reserved_stock_is_paid_once() {
    let mut system = System::start().await;
    let order = Order::of(41, "200.50");
    let message = order.reserved();
    let answer = park_and_drive(&system.database, &system.http, &system.url, &message).await;
    assert_eq!(answer["outcome"], "HANDLED", "{answer}");
    assert_eq!(system.hear().await, order.event(EventBody::PaymentAuthorized));
    system.tell(&message).await;
    let answer = park_and_drive(&system.database, &system.http, &system.url, &message).await;
    assert_eq!(answer["outcome"], "HANDLED", "{answer}");
    assert_eq!((system.gateway.holds(order.saga_id), system.gateway.charges(order.saga_id)), (20_050, 1));
    assert_eq!(system.states().await, ["AUTHORIZED"]);
    system.finish().await;
}
