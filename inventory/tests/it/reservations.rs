//! Reading reservations over REST: one, many, and those of an order.

use rstest::rstest;
use serde_json::{Value, json};
use shared_events::EventBody;
use testkit::service::DatabaseKind::{self, Postgres, Sqlite};

use crate::{
    harness::Harness,
    saga::{CANCEL, order},
};

/// The reservations that a path answers with, without their times.
async fn read(inventory: &Harness, path: &str) -> Vec<Value> {
    let answer = inventory.get(path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut reservations = answer.body.as_array().unwrap().clone();
    for reservation in &mut reservations {
        let fields = reservation.as_object_mut().unwrap();
        for time in ["created_at", "updated_at"] {
            assert!(fields.remove(time).unwrap().is_string());
        }
    }
    reservations
}

#[rstest]
#[tokio::test]
async fn the_reservation_of_an_order_is_found(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    inventory.stock("B", 5).await;
    let (held, sold, rejected, cancelled) =
        (order(41, &[("B", 2), ("A", 1)]), order(42, &[("A", 1)]), order(43, &[("A", 99)]), order(44, &[("A", 1)]));
    for (saga, order) in [&held, &sold, &rejected] {
        inventory.publish(*saga, order, EventBody::OrderCreated).await;
    }
    inventory.publish(sold.0, &sold.1, EventBody::OrderConfirmed).await;
    inventory.publish(cancelled.0, &cancelled.1, CANCEL).await;
    let line = |sku: &str, quantity: i64| json!({"item_sku": sku, "quantity": quantity});
    let expected = [
        json!({"reservation_id": 1, "status": "HELD", "order_id": 41, "items": [line("A", 1), line("B", 2)]}),
        json!({"reservation_id": 2, "status": "SOLD", "order_id": 42, "items": [line("A", 1)]}),
        json!({
            "reservation_id": 3, "status": "REJECTED", "order_id": 43, "items": [line("A", 99)],
            "reason": "INSUFFICIENT_STOCK", "rejected_sku": "A",
        }),
        json!({"reservation_id": 4, "status": "CANCELLED", "order_id": 44, "items": [line("A", 1)]}),
    ];
    for (order_id, expected) in (41..).zip(&expected) {
        let path = format!("/api/v1/reservations?order_id={order_id}");
        assert_eq!(read(&inventory, &path).await, std::slice::from_ref(expected));
    }
    assert_eq!(read(&inventory, "/api/v1/reservations/").await, expected);
    for path in ["/api/v1/reservations?order_id=40", "/api/v1/reservations?order_id=41&after=1"] {
        assert_eq!(read(&inventory, path).await, [json!(null); 0], "{path}");
    }
    let page = inventory.get("/api/v1/reservations?limit=3").await;
    assert_eq!(page.header("link"), Some("</api/v1/reservations?limit=3&after=3>; rel=\"next\""));
    // The id of an order may come back in a rebuilt order database.
    let again = order(41, &[("A", 1)]);
    inventory.publish(again.0, &again.1, EventBody::OrderCreated).await;
    let both = read(&inventory, "/api/v1/reservations?order_id=41").await;
    assert_eq!(both.iter().map(|one| &one["reservation_id"]).collect::<Vec<_>>(), [1, 5]);
    inventory.received().await;
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_reservation_of_a_client_has_no_order(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    inventory.post("/api/v1/stock/reserve", &json!({"item_sku": "A", "quantity": 2})).await;
    let one = inventory.get("/api/v1/reservations/1").await;
    assert_eq!((one.status, &one.body["status"], one.body.get("order_id")), (200, &json!("HELD"), None));
    inventory.post("/api/v1/stock/release", &json!({"reservation_id": 1})).await;
    assert_eq!(inventory.get("/api/v1/reservations/1/").await.body["status"], "RELEASED");
    inventory.get("/api/v1/reservations/2").await.assert_problem(404, "reservation not found");
    for (path, field) in [
        ("/api/v1/reservations?order_id=x", "order_id"),
        ("/api/v1/reservations?order_id=", "order_id"),
        ("/api/v1/reservations?limit=0", "limit"),
        ("/api/v1/reservations?after=x", "after"),
        ("/api/v1/reservations/abc", "reservation_id"),
    ] {
        let answer = inventory.get(path).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!(field)), "{path}");
    }
    inventory.finish().await;
}
