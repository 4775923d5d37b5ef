//! A sequence that is behind its table, as after a restore of the data alone.

use sea_orm::ConnectionTrait as _;
use serde_json::json;
use testkit::service::DatabaseKind::Postgres;

use crate::harness::Harness;

#[tokio::test]
async fn a_sequence_that_is_behind_its_table_overwrites_no_payment() {
    let harness = Harness::start_simulated(Postgres, &[]).await;
    let authorize = async |amount: i64| {
        let body = json!({"order_id": 1, "amount": amount, "currency": "USD"});
        let (status, payment) = harness.authorize(body.to_string()).await;
        assert_eq!(status, 200, "{payment}");
        payment["payment_id"].as_i64().unwrap()
    };
    let mut numbers = vec![authorize(1).await, authorize(2).await, authorize(3).await];
    let before = harness.rows().await;
    let writer = harness.service.database.begin().await.unwrap();
    let back = "SELECT setval(pg_get_serial_sequence('payments', 'payment_id'), 1, false)";
    writer.execute_unprepared(back).await.unwrap();
    writer.commit().await.unwrap();
    numbers.extend([authorize(4).await, authorize(5).await]);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 5, "each has a number of its own");
    let after = harness.rows().await;
    assert_eq!((after.len(), before.iter().all(|one| after.contains(one))), (5, true), "{after:?}");
    harness.finish().await;
}
