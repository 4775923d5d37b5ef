//! A row that cannot be read does not block any other.

use rstest::rstest;
use saga_database::Database;
use sea_orm::{ConnectionTrait as _, EntityTrait as _};
use serde_json::json;
use shared_events::EventType;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    within_timeout,
};

use crate::harness::{Harness, example};

async fn run(database: &Database, sql: &str) {
    let transaction = database.begin().await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap();
    transaction.commit().await.unwrap();
}

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
        run(&other_process, &format!("UPDATE orders SET {damage} WHERE order_id = 2")).await;
        run(&other_process, "UPDATE orders SET wake_at = 1 WHERE order_id = 2").await;
        run(&other_process, "UPDATE orders SET wake_at = 2 WHERE order_id <> 2").await;
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
