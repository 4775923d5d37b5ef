//! The list of orders: both directions, filters, and lists that are too long to be examined at once.

use rstest::rstest;
use sea_orm::{ConnectionTrait as _, DbBackend};
use serde_json::{Value, json};
use shared_events::Timestamp;
use testkit::service::{
    Answer,
    DatabaseKind::{self, Postgres, Sqlite},
};

use crate::harness::{Harness, example};

fn ids(answer: &Answer) -> Vec<i64> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.as_array().unwrap().iter().map(|order| order["order_id"].as_i64().unwrap()).collect()
}

/// The path that the link with this relation leads to.
fn link(answer: &Answer, relation: &str) -> Option<String> {
    let link = answer.header("link")?.strip_prefix('<')?.strip_suffix(&format!(">; rel=\"{relation}\""))?;
    Some(link.to_owned())
}

/// Reads the list from `query` on to its end, and returns its pages.
async fn pages(harness: &Harness, query: &str, relation: &str) -> Vec<Vec<i64>> {
    let mut page = harness.get(&format!("/api/v1/orders?{query}")).await;
    let mut pages = vec![ids(&page)];
    while let Some(next) = link(&page, relation) {
        page = harness.get(&next).await;
        pages.push(ids(&page));
    }
    assert_eq!(page.header("link"), None);
    pages
}

async fn place(harness: &Harness, number: i64) {
    for _ in 0..number {
        harness.post_async(&example()).await;
    }
}

#[rstest]
#[tokio::test]
async fn the_list_is_read_in_both_directions(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    place(&harness, 7).await;
    for (query, relation, expected) in [
        ("order=desc&limit=3", "next", vec![vec![7, 6, 5], vec![4, 3, 2], vec![1]]),
        ("order=asc&limit=3", "next", vec![vec![1, 2, 3], vec![4, 5, 6], vec![7]]),
        ("order=desc&limit=3&before=3", "prev", vec![vec![6, 5, 4], vec![7]]),
        ("order=asc&limit=3&before=5", "prev", vec![vec![2, 3, 4], vec![1]]),
        ("limit=3&before=5", "prev", vec![vec![2, 3, 4], vec![1]]),
        ("order=desc&after=3", "next", vec![vec![2, 1]]),
        ("order=desc&before=7", "prev", vec![vec![]]),
        ("before=1", "prev", vec![vec![]]),
        ("order=desc&after=1", "next", vec![vec![]]),
        ("order=desc&status=PENDING&limit=5", "next", vec![vec![7, 6, 5, 4, 3], vec![2, 1]]),
        ("order=desc&status=CONFIRMED", "next", vec![vec![]]),
    ] {
        assert_eq!(pages(&harness, query, relation).await, expected, "{query}");
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn orders_are_found_by_item_and_by_key(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let line = |sku: &str| json!({"item_sku": sku, "quantity": 1});
    for items in
        [vec!["A"], vec!["AB", "a"], vec!["B", "A"], vec![r#"say "A""#, "100%_\\"], vec![r#"x","item_sku":"C"#]]
    {
        let items: Vec<Value> = items.into_iter().map(line).collect();
        harness.post_async(&json!({"items": items, "amount": 1, "currency": "USD"})).await;
    }
    for (sku, expected) in [
        ("A", vec![1, 3]),
        ("a", vec![2]),
        ("AB", vec![2]),
        ("B", vec![3]),
        ("C", vec![]),
        ("say%20%22A%22", vec![4]),
        ("100%25_%5C", vec![4]),
        ("x%22%2C%22item_sku%22%3A%22C", vec![5]),
    ] {
        assert_eq!(pages(&harness, &format!("sku={sku}"), "next").await, [expected], "{sku}");
    }
    assert_eq!(pages(&harness, "sku=A&order=desc&limit=1", "next").await, [vec![3], vec![1], vec![]]);

    let mut body = example();
    body["idempotency_key"] = json!("a key & more");
    let id = harness.post_async(&body).await;
    for (query, expected) in [
        ("idempotency_key=a+key+%26+more", vec![id]),
        ("idempotency_key=a+key", vec![]),
        ("idempotency_key=a+key+%26+more&status=PENDING&sku=SKU-ABC&order=desc", vec![id]),
        ("idempotency_key=a+key+%26+more&status=FAILED", vec![]),
        ("idempotency_key=a+key+%26+more&sku=A", vec![]),
        ("idempotency_key=a+key+%26+more&created_before=2020-01-01T00:00:00Z", vec![]),
        ("idempotency_key=a+key+%26+more&after=6", vec![]),
    ] {
        assert_eq!(pages(&harness, query, "next").await, [expected], "{query}");
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn orders_are_found_by_time(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    place(&harness, 5).await;
    let all = harness.get("/api/v1/orders").await.body;
    let time = |order: &Value| serde_json::from_value::<Timestamp>(order["created_at"].clone()).unwrap();
    let third = time(&all[2]);
    let (before, after): (Vec<&Value>, Vec<&Value>) =
        all.as_array().unwrap().iter().partition(|order| time(order) < third);
    let number = |orders: Vec<&Value>| orders.iter().map(|order| order["order_id"].as_i64().unwrap()).collect();
    let (before, after): (Vec<i64>, Vec<i64>) = (number(before), number(after));
    assert!(!before.is_empty() && after.contains(&3));
    for (query, expected) in [
        (format!("created_after={third}"), after.clone()),
        (format!("created_before={third}"), before.clone()),
        (format!("created_after={third}&created_before={third}"), vec![]),
        (format!("created_before={third}&order=desc"), before.iter().rev().copied().collect()),
        (format!("created_after={third}&order=desc&status=PENDING"), after.iter().rev().copied().collect()),
        ("created_after=2020-01-01T01:00:00%2B01:00".to_owned(), vec![1, 2, 3, 4, 5]),
        ("created_after=9999-12-31T23:59:59Z".to_owned(), vec![]),
        ("created_before=0000-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        assert_eq!(pages(&harness, &query, "next").await, [expected], "{query}");
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_filter_that_cannot_be_is_refused(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let time = "must be a time in RFC 3339, such as 2025-11-22T08:26:40Z (a + is sent as %2B)";
    for (query, field, detail) in [
        ("order=DESC", "order", "must be asc or desc"),
        ("order=", "order", "must be asc or desc"),
        ("before=x", "before", "invalid digit found in string"),
        ("before=1&after=2", "before", "cannot be combined with after"),
        ("sku=", "sku", "must not be blank"),
        ("sku=A%00", "sku", "must not contain control characters"),
        ("sku=A&sku=B", "sku", "is there more than once"),
        ("idempotency_key=", "idempotency_key", "must not be blank"),
        ("created_after=yesterday", "created_after", time),
        ("created_after=", "created_after", time),
        ("created_before=2025-11-22", "created_before", time),
        ("created_before=2025-11-22T08:26:40+01:00", "created_before", time),
        ("created_before=99999-11-22T08:26:40Z", "created_before", time),
    ] {
        let answer = harness.get(&format!("/api/v1/orders?{query}")).await;
        let errors = json!([{"field": field, "detail": detail}]);
        assert_eq!((answer.status, &answer.body["errors"]), (422, &errors), "{query}: {answer:?}");
    }
    harness.finish().await;
}

/// 25,000 orders that were placed at intervals of a second. Each 5,000th, from the second on, has the item RARE. The
/// times of two neighbours of order 20,000 are exchanged.
async fn insert_many(harness: &Harness) {
    let transaction = harness.service.observer().begin().await.unwrap();
    let uuid = match transaction.get_database_backend() {
        DbBackend::Sqlite => "randomblob(16)",
        _ => "gen_random_uuid()",
    };
    let sql = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 25000)
         INSERT INTO orders (order_id, saga_id, lines, minor_units, currency, placed_at, changed_at, stock, payment,
             capture, status, repeats)
         SELECT n, {uuid},
             CASE WHEN n % 5000 = 2 THEN '[{{\"item_sku\":\"RARE\",\"quantity\":1}}]'
                 ELSE '[{{\"item_sku\":\"COMMON\",\"quantity\":1}}]' END,
             100, 'USD', (CASE n WHEN 19999 THEN 20001 WHEN 20001 THEN 19999 ELSE n END) * CAST(1000000 AS BIGINT), 0,
             'RESERVED', 'AUTHORIZED', 'CAPTURED', CASE WHEN n % 2 = 0 THEN 'CONFIRMED' ELSE 'FAILED' END, 0
         FROM numbers"
    );
    transaction.execute_unprepared(&sql).await.unwrap();
    transaction.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_long_list_is_examined_in_parts(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    insert_many(&harness).await;
    let none = Vec::<i64>::new();
    for (query, relation, expected) in [
        ("sku=RARE", "next", vec![vec![2, 5_002], vec![10_002, 15_002], vec![20_002]]),
        ("sku=RARE&limit=1", "next", vec![vec![2], vec![5_002], vec![10_002], vec![15_002], vec![20_002], vec![]]),
        ("sku=RARE&order=desc", "next", vec![vec![20_002, 15_002], vec![10_002, 5_002], vec![2]]),
        ("sku=RARE&order=desc&before=2", "prev", vec![vec![10_002, 5_002], vec![20_002, 15_002], vec![]]),
        ("sku=NONE", "next", vec![none.clone(), none.clone(), none.clone()]),
        ("sku=RARE&status=CONFIRMED", "next", vec![vec![2, 5_002, 10_002, 15_002], vec![20_002]]),
        ("sku=RARE&status=FAILED", "next", vec![none.clone(), none.clone()]),
        ("sku=RARE&created_after=1970-01-01T04:00:00Z", "next", vec![vec![15_002, 20_002], vec![]]),
    ] {
        assert_eq!(pages(&harness, query, relation).await, expected, "{query}");
    }
    harness.finish().await;
}

/// A list by time begins where the time is, however many orders are before and after it.
#[rstest]
#[tokio::test]
async fn a_list_by_time_examines_only_that_time(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    insert_many(&harness).await;
    let time = |second: i64| Timestamp::from_unix_micros(second * 1_000_000);
    let (from, to) = (time(19_999), time(20_002));
    for (query, expected) in [
        (format!("created_after={from}&created_before={to}"), vec![19_999, 20_000, 20_001]),
        (format!("created_after={from}&created_before={to}&order=desc"), vec![20_001, 20_000, 19_999]),
        (format!("created_after={from}&created_before={to}&status=FAILED"), vec![19_999, 20_001]),
        (format!("created_after={from}&created_before={}", time(20_000)), vec![20_001]),
        (format!("created_after={}&created_before={to}", time(20_001)), vec![19_999]),
        (format!("created_after={}", time(24_999)), vec![24_999, 25_000]),
        (format!("created_before={}&order=desc", time(3)), vec![2, 1]),
    ] {
        assert_eq!(pages(&harness, &query, "next").await, [expected], "{query}");
    }
    harness.finish().await;
}

/// Gives every 5,000th order to the owner `rare`, and half of the others to the owner `big`, with keys of theirs.
async fn give_to_owners(harness: &Harness) {
    let transaction = harness.service.observer().begin().await.unwrap();
    for (owner, which) in [("rare", "order_id % 5000 = 2"), ("big", "order_id % 2 = 0 AND owner = ''")] {
        let key = format!("'key-' || (order_id / 5000) || '-' || (order_id % 5000) || '\u{1f}{owner}'");
        let give = format!("UPDATE orders SET owner = '{owner}', scoped_key = {key} WHERE {which}");
        transaction.execute_unprepared(&give).await.unwrap();
    }
    let same = "UPDATE orders SET scoped_key = 'key-1-2' || '\u{1f}big' WHERE order_id = 4";
    transaction.execute_unprepared(same).await.unwrap();
    let without = "UPDATE orders SET idempotency_key = 'key-1-2' WHERE order_id = 1";
    transaction.execute_unprepared(without).await.unwrap();
    transaction.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn the_orders_of_an_owner_are_listed(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    insert_many(&harness).await;
    give_to_owners(&harness).await;
    let none = Vec::<i64>::new();
    for (query, relation, expected) in [
        // Without another filter, a page is full if there are enough, however many orders of others are between them.
        ("owner=rare", "next", vec![vec![2, 5_002, 10_002, 15_002, 20_002]]),
        ("owner=rare&limit=3", "next", vec![vec![2, 5_002, 10_002], vec![15_002, 20_002]]),
        ("owner=rare&limit=3&order=desc", "next", vec![vec![20_002, 15_002, 10_002], vec![5_002, 2]]),
        ("owner=rare&limit=2&before=20000", "prev", vec![vec![10_002, 15_002], vec![2, 5_002], none.clone()]),
        ("owner=rare&after=15001", "next", vec![vec![15_002, 20_002]]),
        ("owner=rare&status=CONFIRMED", "next", vec![vec![2, 5_002, 10_002, 15_002, 20_002]]),
        ("owner=rare&status=FAILED", "next", vec![none.clone()]),
        ("owner=rare&sku=RARE&order=desc&limit=4", "next", vec![vec![20_002, 15_002, 10_002, 5_002], vec![2]]),
        ("owner=rare&created_after=1970-01-01T04:00:00Z", "next", vec![vec![15_002, 20_002]]),
        // A status is examined row by row, because its index has the orders of all owners.
        ("owner=big&status=FAILED", "next", vec![none.clone(), none.clone()]),
        ("owner=nobody", "next", vec![none.clone()]),
        ("owner=rare&idempotency_key=key-1-2", "next", vec![vec![5_002]]),
        ("owner=big&idempotency_key=key-1-2", "next", vec![vec![4]]),
        ("owner=big&idempotency_key=key-1-2&status=FAILED", "next", vec![none.clone()]),
        ("owner=nobody&idempotency_key=key-1-2", "next", vec![none.clone()]),
        ("idempotency_key=key-1-2", "next", vec![vec![1, 4, 5_002]]),
        ("idempotency_key=key-1-2&order=desc&limit=2", "next", vec![vec![5_002, 4], vec![1]]),
        ("idempotency_key=key-1", "next", vec![none.clone()]),
    ] {
        assert_eq!(pages(&harness, query, relation).await, expected, "{query}");
    }
    for owner in ["", "a%20b", "%27"] {
        let answer = harness.get(&format!("/api/v1/orders?owner={owner}")).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!("owner")), "{answer:?}");
    }
    harness.finish().await;
}
