//! A row that cannot be read does not block any other.

use rstest::rstest;
use sea_orm::{EntityTrait as _, QueryOrder as _};
use serde_json::json;
use shared_events::EventType;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    execute, within_timeout,
};

use crate::harness::{Harness, example};

#[rstest]
#[tokio::test]
async fn a_damaged_order_delays_no_deadline_and_hides_no_other_order(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    for damage in ["currency = 'XXX'", "lines = '{'", "stock = 'LOST'"] {
        let mut harness = Harness::start(database).await;
        let other_process = harness.service.another_writer().await;
        for _ in 0..3 {
            harness.post_async(&example()).await;
        }
        // The damaged order is the first that is due.
        execute(&other_process, &format!("UPDATE orders SET {damage} WHERE order_id = 2")).await;
        execute(&other_process, "UPDATE orders SET wake_at = 1 WHERE order_id = 2").await;
        execute(&other_process, "UPDATE orders SET wake_at = 2 WHERE order_id <> 2").await;
        for id in [1, 3] {
            within_timeout("its deadline passes", harness.inventory.receive_about(id, EventType::OrderCancelRequested))
                .await;
        }
        // It is tried again, but not at each tick.
        let row = order::store::orders::Entity::find_by_id(2).one(&other_process.reader()).await.unwrap().unwrap();
        let minutes = (row.wake_at.unwrap() - row.placed_at) / 60_000_000;
        assert!((1..60).contains(&minutes), "{damage}: {row:?}");

        let list = harness.get("/api/v1/orders/").await;
        let numbers: Vec<_> = list.body.as_array().unwrap().iter().map(|order| order["order_id"].clone()).collect();
        assert_eq!((list.status, numbers), (200, vec![json!(1), json!(3)]), "{damage}");
        // The page that it would be on links to the next one all the same.
        let (mut path, mut seen) = ("/api/v1/orders?limit=1".to_owned(), Vec::new());
        loop {
            let page = harness.get(&path).await;
            seen.extend(page.body.as_array().unwrap().iter().map(|order| order["order_id"].clone()));
            let Some(link) = page.header("link") else { break };
            path = link.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
        }
        assert_eq!(seen, [json!(1), json!(3)], "{damage}");
        assert_eq!(harness.get("/api/v1/orders/2").await.status, 500);
        assert_eq!(harness.order(3).await["status"], "COMPENSATING");
        other_process.close().await;
        harness.remaining_events().await;
        harness.finish().await;
    }
}

/// Of two refunds that are due first, one is damaged, and the order of the other is.
#[rstest]
#[tokio::test]
async fn a_damaged_refund_delays_no_deadline_and_no_other_refund(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let other_process = harness.service.another_writer().await;
    for _ in 0..3 {
        let (id, _) = harness.confirmed().await;
        assert_eq!(harness.refund(id, &json!({})).await.status, 202);
        harness.payment.receive_about(id, EventType::RefundRequested).await;
    }
    harness.post_async(&example()).await;
    let damage = "UPDATE refunds SET state = 'LOST' WHERE order_id = 1;
        UPDATE orders SET currency = 'XXX' WHERE order_id = 2;
        UPDATE refunds SET wake_at = order_id;
        UPDATE orders SET wake_at = 4 WHERE order_id = 4";
    execute(&other_process, damage).await;
    within_timeout("it is requested again", harness.payment.receive_about(3, EventType::RefundRequested)).await;
    within_timeout("a deadline passes", harness.inventory.receive_about(4, EventType::OrderCancelRequested)).await;
    // They are tried again, but not at each tick.
    let refunds = order::store::refunds::Entity::find().order_by_asc(order::store::refunds::Column::OrderId);
    let refunds = refunds.all(&other_process.reader()).await.unwrap();
    for refund in &refunds[..2] {
        let minutes = (refund.wake_at.unwrap() - refund.requested_at) / 60_000_000;
        assert!((1..60).contains(&minutes), "{refund:?}");
    }

    let repair = "UPDATE refunds SET state = 'REQUESTED', wake_at = order_id WHERE order_id < 3;
        UPDATE orders SET currency = 'USD' WHERE order_id = 2";
    execute(&other_process, repair).await;
    for id in [1, 2] {
        within_timeout("it goes on", harness.payment.receive_about(id, EventType::RefundRequested)).await;
    }
    other_process.close().await;
    harness.remaining_events().await;
    harness.finish().await;
}
