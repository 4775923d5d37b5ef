//! A parked message that an operator drives again goes the way of a delivery.

use shared_events::EventBody;

use crate::{harness::Harness, parking::park_and_drive};

#[tokio::test]
async fn an_order_that_waits_for_it_comes_to_its_end() {
    let mut harness = Harness::start().await;
    let (id, created) = harness.place().await;
    harness.inventory.say(&created, EventBody::StockReserved).await;
    let message = crate::peer::saying(&created, EventBody::PaymentAuthorized);
    for _ in 0..2 {
        let database = harness.intruder().await;
        let url = format!("http://{}", harness.address);
        assert_eq!(park_and_drive(&database, &harness.client, &url, &message).await["outcome"], "HANDLED");
        database.close().await;
        assert_eq!(harness.status(id).await, ("CONFIRMED".to_owned(), "SUCCEEDED".to_owned()));
        harness.payment.repeat(&[&message]).await;
    }
    let (to_inventory, to_payment) = harness.heard_besides().await;
    assert_eq!(to_inventory, [EventBody::OrderConfirmed], "told once");
    assert_eq!(to_payment, [EventBody::StockReserved]);
    harness.finish().await;
}
