//! A sequence that is behind its table, as after a restore of the data alone.

use sea_orm::ConnectionTrait as _;
use serde_json::json;
use testkit::service::DatabaseKind::Postgres;

use crate::harness::Harness;

#[tokio::test]
async fn a_sequence_that_is_behind_its_table_overwrites_no_reservation() {
    let harness = Harness::start(Postgres).await;
    harness.stock("SKU-A", 100).await;
    let reserve = async |quantity: i64| {
        let answer = harness.post("/api/v1/stock/reserve", &json!({"item_sku": "SKU-A", "quantity": quantity})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["reservation_id"].as_i64().unwrap()
    };
    let mut numbers = vec![reserve(1).await, reserve(2).await, reserve(3).await];
    let before = harness.reservations().await;
    let writer = harness.service.database.begin().await.unwrap();
    let back = "SELECT setval(pg_get_serial_sequence('reservations', 'reservation_id'), 1, false)";
    writer.execute_unprepared(back).await.unwrap();
    writer.commit().await.unwrap();
    numbers.extend([reserve(4).await, reserve(5).await]);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 5, "each has a number of its own");
    let after = harness.reservations().await;
    assert_eq!((after.len(), before.iter().all(|one| after.contains(one))), (5, true), "{after:?}");
    harness.finish().await;
}
