//! Of the requests about orders, cancellations and refunds are in the audit log. An order that is placed is a record by
//! itself.

use rstest::rstest;
use serde_json::json;
use testkit::service::{
    ADMIN_TOKEN,
    DatabaseKind::{self, Postgres, Sqlite},
};

use crate::harness::Harness;

#[rstest]
#[tokio::test]
async fn cancellations_and_refunds_are_recorded_and_orders_are_not(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, _) = harness.place().await;
    assert_eq!(harness.cancel(id).await.status, 202);
    assert_eq!(harness.cancel(99).await.status, 404);
    assert_eq!(harness.refund(id, &json!({})).await.status, 409);
    let log = harness.service.http.with_key(ADMIN_TOKEN).get("/admin/audit-log").await;
    let rows = log.body.as_array().unwrap();
    let rows: Vec<_> = rows.iter().map(|row| json!([row["actor"], row["route"], row["path"], row["status"]])).collect();
    let row = |what: &str, id: i64, status: Option<u16>| {
        let route = format!("/api/v1/orders/{{order_id}}/{what}");
        json!(["anonymous", route, format!("/api/v1/orders/{id}/{what}"), status])
    };
    let expected = [("cancel", id, 202), ("cancel", 99, 404), ("refunds", id, 409)];
    let expected = expected.iter().flat_map(|&(what, id, status)| [row(what, id, None), row(what, id, Some(status))]);
    assert_eq!(rows, expected.collect::<Vec<_>>());
    harness.finish().await;
}
