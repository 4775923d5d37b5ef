//! Of the requests about orders, cancellations are in the audit log. An order that is placed is a record by itself.

use rstest::rstest;
use serde_json::json;
use testkit::service::{
    ADMIN_TOKEN,
    DatabaseKind::{self, Postgres, Sqlite},
};

use crate::harness::Harness;

#[rstest]
#[tokio::test]
async fn a_cancellation_is_recorded_and_an_order_is_not(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, _) = harness.place().await;
    assert_eq!(harness.cancel(id).await.status, 202);
    assert_eq!(harness.cancel(99).await.status, 404);
    let log = harness.service.http.with_key(ADMIN_TOKEN).get("/admin/audit-log").await;
    let rows = log.body.as_array().unwrap();
    let rows: Vec<_> = rows.iter().map(|row| json!([row["actor"], row["route"], row["path"], row["status"]])).collect();
    let row = |id: i64, status: Option<u16>| {
        let route = "/api/v1/orders/{order_id}/cancel";
        json!(["anonymous", route, format!("/api/v1/orders/{id}/cancel"), status])
    };
    assert_eq!(rows, [row(id, None), row(id, Some(202)), row(99, None), row(99, Some(404))]);
    harness.finish().await;
}
