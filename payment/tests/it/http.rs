//! Every answer of the REST contract.

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    answer,
};

use crate::{harness::Harness, orders::Order, scripted::Point};

#[rstest]
#[tokio::test]
async fn an_amount_is_authorized_or_declined(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let (status, body) = harness.authorize(r#"{"order_id": 1, "amount": 200.50, "currency": "USD"}"#).await;
    assert_eq!(status, 200);
    assert_eq!((&body["authorized"], &body["payment_id"]), (&json!(true), &json!(1)));
    assert_eq!((&body["order_id"], &body["status"]), (&json!(1), &json!("AUTHORIZED")));
    assert!(body["reference"].is_string() && body["created_at"].is_string() && body["reason"].is_null());

    let (status, body) =
        harness.authorize(r#"{"order_id": 1, "amount": 1000, "currency": "USD", "more": [1e999]}"#).await;
    assert_eq!(status, 200);
    assert_eq!((&body["authorized"], &body["payment_id"]), (&json!(false), &json!(2)));
    assert_eq!((&body["status"], &body["reason"]), (&json!("DECLINED"), &json!("over the limit")));

    // A request is a payment of its own, also for the same order.
    let (_, body) = harness.authorize(r#"{"order_id": 1, "amount": 200.50, "currency": "USD"}"#).await;
    assert_eq!((&body["authorized"], &body["payment_id"]), (&json!(true), &json!(3)));
    let (status, shown) = harness.get("/api/v1/payments/3/").await;
    assert_eq!((status, shown), (200, body));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_amount_comes_back_as_an_exact_number(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    for (amount, currency, answered) in [
        ("200.50", "USD", "200.50"),
        ("200.5", "USD", "200.50"),
        ("2e2", "USD", "200"),
        ("0.01", "USD", "0.01"),
        ("0.001", "KWD", "0.001"),
        ("7", "JPY", "7"),
        ("9007199254740.93", "USD", "9007199254740.93"),
        ("10000000000000", "USD", "10000000000000"),
    ] {
        let body = format!(r#"{{"order_id": 9007199254740993, "amount": {amount}, "currency": "{currency}"}}"#);
        let request = harness.service.http.request(Method::POST, "/api/v1/payments/authorize/");
        let answer = answer(request.header("content-type", "application/json").body(body)).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let text = answer.text;
        assert!(
            text.contains(&format!(r#""order_id":9007199254740993,"amount":{answered},"currency":"{currency}""#)),
            "{text}"
        );
    }
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn payments_are_listed_a_page_at_a_time(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    for amount in ["1", "1000", "3"] {
        harness.authorize(format!(r#"{{"order_id": 7, "amount": {amount}, "currency": "USD"}}"#)).await;
    }
    // A tombstone is not listed.
    let order = Order::of(8, "20");
    harness.publish(&order.cancel()).await;
    harness.receive().await;
    harness.authorize(r#"{"order_id": 9, "amount": 4, "currency": "USD"}"#).await;

    let ids = |page: &Value| -> Vec<i64> {
        page.as_array().unwrap().iter().map(|item| item["payment_id"].as_i64().unwrap()).collect()
    };
    for path in ["/api/v1/payments", "/api/v1/payments/"] {
        let (status, page) = harness.get(path).await;
        assert_eq!((status, ids(&page)), (200, vec![1, 2, 3, 5]));
        assert_eq!(page[0], harness.get("/api/v1/payments/1").await.1);
    }
    let mut next = Some("/api/v1/payments/?limit=2".to_owned());
    let mut pages = Vec::new();
    while let Some(path) = next {
        let answer = harness.service.http.get(&path).await;
        next = answer.next_page();
        pages.push(ids(&answer.body));
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 5], vec![]]);
    let newest_first = harness.service.http.get("/api/v1/payments?order=desc&limit=3").await;
    assert_eq!(ids(&newest_first.body), [5, 3, 2]);
    assert_eq!(newest_first.next_page().as_deref(), Some("/api/v1/payments?order=desc&limit=3&after=2"));
    assert_eq!(ids(&harness.get("/api/v1/payments?order=desc&limit=3&after=2").await.1), [1]);
    assert_eq!(ids(&harness.get("/api/v1/payments?order=asc&after=2").await.1), [3, 5]);
    assert_eq!(ids(&harness.get("/api/v1/payments?after=3").await.1), [5]);
    assert_eq!(ids(&harness.get("/api/v1/payments?after=-1&limit=1").await.1), [1]);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_wrong_request_is_told_what_is_wrong_and_nothing_is_written(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let harness = Harness::start(database).await;
    let with =
        |amount: &str, currency: &str| format!(r#"{{"order_id": 1, "amount": {amount}, "currency": "{currency}"}}"#);
    let deep = |what: &str| what.replace("DEEP", &format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)));
    for (body, status, fields) in [
        (String::new(), 400, ""),
        ("nonsense".to_owned(), 400, ""),
        ("{".to_owned(), 400, ""),
        (with("NaN", "USD"), 400, ""),
        (with("-Infinity", "USD"), 400, ""),
        (with("01", "USD"), 400, ""),
        (with("1.", "USD"), 400, ""),
        (with("200", "US\0"), 400, ""),
        (with("200", "USD\\u0000"), 422, "currency"),
        ("\0".repeat(100), 400, ""),
        ("[".repeat(5_000), 400, ""),
        (deep("DEEP"), 422, ""),
        (deep(r#"{"order_id": DEEP, "amount": 1, "currency": "USD"}"#), 422, "order_id"),
        (deep(r#"{"order_id": 1, "amount": DEEP, "currency": "USD"}"#), 422, "amount"),
        (deep(r#"{"order_id": 1, "amount": 1, "currency": DEEP}"#), 422, "currency"),
        ("[1, 200, \"USD\"]".to_owned(), 422, ""),
        ("null".to_owned(), 422, ""),
        ("{}".to_owned(), 422, "order_id"),
        (r#"{"order_id": 1, "currency": "USD"}"#.to_owned(), 422, "amount"),
        (r#"{"order_id": 1, "amount": 200}"#.to_owned(), 422, "currency"),
        (r#"{"order_id": 1, "order_id": 1, "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": "1", "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": 1.5, "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": 0, "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": -1, "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": 99999999999999999999, "amount": 200, "currency": "USD"}"#.to_owned(), 422, "order_id"),
        (r#"{"order_id": 1, "amount": 200, "currency": null}"#.to_owned(), 422, "currency"),
        (r#"{"order_id": 1, "amount": 200, "currency": 840}"#.to_owned(), 422, "currency"),
        (with("200", ""), 422, "currency"),
        (with("200", "usd"), 422, "currency"),
        (with("200", "ZZZ"), 422, "currency"),
        (with("200", "XAU"), 422, "currency"),
        (with("1e400", "USD"), 422, "amount"),
        (with("1e-400", "USD"), 422, "amount"),
        (with("1e99999999999", "USD"), 422, "amount"),
        (with("\"200\"", "USD"), 422, "amount"),
        (with("null", "USD"), 422, "amount"),
        (with("true", "USD"), 422, "amount"),
        (with("{}", "USD"), 422, "amount"),
        (with("0", "USD"), 422, "amount"),
        (with("0.00", "USD"), 422, "amount"),
        (with("-0", "USD"), 422, "amount"),
        (with("-200", "USD"), 422, "amount"),
        (with("200.505", "USD"), 422, "amount"),
        (with("1.5", "JPY"), 422, "amount"),
        (with("10000000000000.01", "USD"), 422, "amount"),
        (with(&"9".repeat(50_000), "USD"), 422, "amount"),
        (r#"{"order_id": 0, "amount": -1, "currency": "USD"}"#.to_owned(), 422, "order_id amount"),
        (r#"{"order_id": 0, "amount": 1, "currency": "ZZZ"}"#.to_owned(), 422, "order_id currency"),
        (" ".repeat(2 * 1024 * 1024), 413, ""),
    ] {
        let what = body.chars().take(80).collect::<String>();
        let (answered, problem) = harness.authorize(body).await;
        assert_eq!((answered, &problem["status"]), (status, &json!(status)), "{what}: {problem}");
        assert_eq!(problem["instance"], "/api/v1/payments/authorize", "{what}");
        assert!(problem["type"].is_string() && problem["title"].is_string() && problem["detail"].is_string(), "{what}");
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let named: Vec<&str> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert_eq!(named.join(" "), fields, "{what}: {problem}");
    }
    assert_eq!(harness.rows().await, []);
    assert_eq!(harness.gateway.count(Point::BeforeAuthorize), 0, "the gateway is not asked either");
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn every_other_refusal_is_a_problem_too(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    for (method, path, status, detail) in [
        ("GET", "/api/v1/payments/1", 404, "payment not found"),
        ("GET", "/api/v1/payments/-1", 404, "payment not found"),
        ("GET", "/api/v1/payments/9223372036854775807/", 404, "payment not found"),
        ("GET", "/api/v1/payments/one", 422, "payment_id: must be of type i64"),
        ("GET", "/api/v1/payments/%00", 422, "payment_id: must be of type i64"),
        ("GET", "/api/v1/payments/99999999999999999999", 422, "payment_id: must be of type i64"),
        ("GET", "/api/v1/payments?limit=0", 422, "limit: must be a whole number from 1 to 1000"),
        ("GET", "/api/v1/payments?limit=1001", 422, "limit: must be a whole number from 1 to 1000"),
        ("GET", "/api/v1/payments?after=x", 422, "after: invalid digit found in string"),
        ("GET", "/api/v1/payments?order=down", 422, "order: must be asc or desc"),
        ("GET", "/api/v1/payments?order_id=x", 422, "order_id: invalid digit found in string"),
        ("GET", "/api/v1/nothing", 404, "there is nothing at this path"),
        ("DELETE", "/api/v1/payments/1", 405, "this path does not answer to this method"),
        ("POST", "/api/v1/payments", 405, "this path does not answer to this method"),
        ("PUT", "/api/v1/payments/authorize", 405, "this path does not answer to this method"),
    ] {
        let request = harness.service.http.request(method.parse().unwrap(), path);
        answer(request).await.assert_problem(status, detail);
    }
    let request = harness.service.http.request(Method::POST, "/api/v1/payments/authorize");
    let body = r#"{"order_id": 1, "amount": 200, "currency": "USD"}"#;
    let answer = answer(request.header("content-type", "text/plain").body(body)).await;
    assert_eq!((answer.status, answer.header("content-type")), (415, Some("application/problem+json")));
    assert_eq!(harness.rows().await, []);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_service_describes_itself(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    assert_eq!(harness.get("/health").await, (200, json!({"status": "ok"})));
    assert_eq!(harness.get("/health/ready").await.0, 200);
    let (_, openapi) = harness.get("/openapi.json").await;
    let mut paths: Vec<_> = openapi["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    paths.retain(|path| path.starts_with("/api/"));
    paths.sort_unstable();
    assert_eq!(paths, ["/api/v1/payments", "/api/v1/payments/authorize", "/api/v1/payments/{payment_id}"]);
    assert_eq!(openapi["components"]["schemas"]["PaymentView"]["properties"]["amount"]["type"], "number");
    assert_eq!(harness.get("/docs").await.0, 200);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn who_has_the_current_payment_gets_no_body(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let (_, authorized) = harness.authorize(r#"{"order_id": 1, "amount": 200.50, "currency": "USD"}"#).await;
    let get = async |known: &str| {
        answer(harness.service.http.request(Method::GET, "/api/v1/payments/1").header("if-none-match", known)).await
    };
    let first = get("\"another\"").await;
    assert_eq!((first.status, &first.body), (200, &authorized));
    let again = get(first.header("etag").unwrap()).await;
    assert_eq!((again.status, &*again.text, again.header("etag")), (304, "", first.header("etag")));
    harness.finish().await;
}
