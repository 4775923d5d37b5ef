//! A sequence that stands behind its table, as after a restore of the data alone.

use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::harness::System;

#[tokio::test]
async fn a_sequence_that_is_behind_its_table_overwrites_no_payment() {
    let system = System::start_simulated(&[]).await;
    let authorize = async |amount: i64| {
        let request = system.http.post(format!("{}/api/v1/payments/authorize", system.url));
        let answer = request.json(&json!({"order_id": 1, "amount": amount, "currency": "USD"})).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let payment: serde_json::Value = answer.json().await.unwrap();
        payment["payment_id"].as_i64().unwrap()
    };
    let mut numbers = vec![authorize(1).await, authorize(2).await, authorize(3).await];
    let before = system.rows().await;
    let writer = system.database.begin().await.unwrap();
    let back = "SELECT setval(pg_get_serial_sequence('payments', 'payment_id'), 1, false)";
    writer.execute_unprepared(back).await.unwrap();
    writer.commit().await.unwrap();
    numbers.extend([authorize(4).await, authorize(5).await]);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 5, "each has a number of its own");
    let after = system.rows().await;
    assert_eq!((after.len(), before.iter().all(|one| after.contains(one))), (5, true), "{after:?}");
    system.finish().await;
}
