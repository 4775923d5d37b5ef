//! The audit log: who did what, durable before it is done, and never changed.

use reqwest::Method;
use rstest::rstest;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use testkit::service::{
    ADMIN_TOKEN,
    DatabaseKind::{self, Postgres, Sqlite},
    HttpClient, TestKey, answer, execute,
};

use crate::harness::Harness;

const ITEMS: &str = "/api/v1/stock/items";
const RESERVE: &str = "/api/v1/stock/reserve";

async fn set_stock(client: &HttpClient, quantity: i64) -> u16 {
    client.post(ITEMS, &json!({"item_sku": "A", "quantity": quantity})).await.status
}

/// The whole log, in pages of two rows: who, the method and the path, and the status.
async fn log(admin: &HttpClient) -> Vec<(Value, String, Value)> {
    let (mut rows, mut next) = (Vec::new(), Some("/admin/audit-log?limit=2".to_owned()));
    while let Some(path) = next {
        let page = admin.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        next = page.next_page();
        rows.extend(page.body.as_array().unwrap().clone());
    }
    assert!(rows.windows(2).all(|pair| pair[0]["entry_id"].as_i64() < pair[1]["entry_id"].as_i64()));
    for action in rows.chunks(2).filter(|action| action.len() == 2) {
        assert_eq!(action[0]["action_id"], action[1]["action_id"]);
    }
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let who = |row: &Value| json!([row["actor"], row["key_id"], row["owner"]]);
    rows.iter()
        .map(|row| {
            assert!(row["recorded_at"].is_string());
            (who(row), format!("{} {}", text(row, "method"), text(row, "path")), row["status"].clone())
        })
        .collect()
}

#[rstest]
#[tokio::test]
async fn an_action_is_recorded_before_and_after(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (key, reader) = (TestKey::new("shop", "stock:read stock:write"), TestKey::new("other", "stock:read"));
    let inventory = Harness::start_with_keys(database, &[], &[key.clone(), reader.clone()]).await;
    let http = &inventory.service.http;
    let (shop, admin) = (http.with_key(key.text()), http.with_key(ADMIN_TOKEN));
    assert_eq!(set_stock(&shop, 10).await, 201);
    assert_eq!(shop.post(RESERVE, &json!({"item_sku": "A", "quantity": 99})).await.status, 400);
    assert_eq!(set_stock(&shop, -1).await, 422);
    let discard = "/admin/dead-letters/00000000-0000-0000-0000-000000000001";
    assert_eq!(answer(admin.request(Method::DELETE, discard)).await.status, 404);
    // Neither reading nor what is refused at the door is an action.
    assert_eq!(shop.get("/api/v1/stock/A").await.status, 200);
    assert_eq!(set_stock(http, 5).await, 401);
    assert_eq!(set_stock(&http.with_key(reader.text()), 5).await, 403);
    assert_eq!(shop.get("/admin/audit-log").await.status, 403);
    let shop = json!(["api_key", key.id(), "shop"]);
    let operator = json!(["admin_token", null, null]);
    let action = |who: &Value, what: String, status: u16| {
        [(who.clone(), what.clone(), Value::Null), (who.clone(), what, json!(status))]
    };
    let expected = [
        action(&shop, format!("POST {ITEMS}"), 201),
        action(&shop, format!("POST {RESERVE}"), 400),
        action(&shop, format!("POST {ITEMS}"), 422),
        action(&operator, format!("DELETE {discard}"), 404),
    ];
    assert_eq!(log(&admin).await, expected.concat());
    let newest = admin.get("/admin/audit-log?order=desc&limit=1").await;
    assert_eq!(newest.body[0]["route"], "/admin/dead-letters/{message_id}");
    assert!(newest.next_page().is_some_and(|next| next.contains("order=desc")));
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn where_access_is_open_the_log_says_that_nobody_knows_who(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    assert_eq!(inventory.get("/admin/audit-log").await.status, 401);
    let log = log(&inventory.service.http.with_key(ADMIN_TOKEN)).await;
    assert_eq!(log[0], (json!(["anonymous", null, null]), format!("POST {ITEMS}"), Value::Null));
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_cannot_be_recorded_is_not_done(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    let database = inventory.service.observer();
    execute(database, "ALTER TABLE audit_log RENAME TO elsewhere").await;
    let refused = inventory.post(ITEMS, &json!({"item_sku": "A", "quantity": 3})).await;
    refused.assert_problem(503, "the audit log cannot be written; nothing was done");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let reserved = inventory.post(RESERVE, &json!({"item_sku": "A", "quantity": 1})).await;
    assert_eq!(reserved.status, 503);
    assert_eq!(inventory.units("A").await, (10, 0, 0));
    execute(database, "ALTER TABLE elsewhere RENAME TO audit_log").await;
    inventory.stock("A", 4).await;
    assert_eq!(inventory.units("A").await, (4, 0, 0));
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn nobody_changes_a_row(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    let truncate = if database == Postgres { "TRUNCATE audit_log" } else { "DELETE FROM audit_log WHERE true" };
    for change in ["UPDATE audit_log SET owner = 'x'", "DELETE FROM audit_log WHERE entry_id = 1", truncate] {
        let transaction = inventory.service.observer().begin().await.unwrap();
        let error = transaction.execute_unprepared(change).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{change}: {error}");
    }
    assert_eq!(log(&inventory.service.http.with_key(ADMIN_TOKEN)).await.len(), 2);
    inventory.finish().await;
}
