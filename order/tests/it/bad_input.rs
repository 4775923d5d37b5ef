//! Invalid requests for an order: each gets a 4xx with the reason, nothing is written, and the service continues.

use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use testkit::service::{
    Answer,
    DatabaseKind::{self, Postgres, Sqlite},
    answer,
};

use crate::harness::{Harness, example};

async fn post(harness: &Harness, body: impl Into<reqwest::Body>) -> Answer {
    answer(harness.request(Method::POST, "/api/v1/orders/").header("content-type", "application/json").body(body)).await
}

/// Nothing was written: there is no order, no event was published, and the next valid order is the first.
async fn assert_nothing_written(mut harness: Harness) {
    assert_eq!(harness.get("/api/v1/orders").await.body, json!([]));
    assert_eq!(harness.remaining_events().await, (vec![], vec![]));
    assert_eq!(harness.place().await.0, 1);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_is_no_json_is_a_bad_request(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5_000), close.repeat(5_000));
    for body in [
        Vec::new(),
        b"nonsense".to_vec(),
        b"{".to_vec(),
        br#"{"item_sku": "A", "quantity": 2, "amount": NaN, "currency": "USD"}"#.to_vec(),
        br#"{"item_sku": "A", "quantity": Infinity, "amount": 1, "currency": "USD"}"#.to_vec(),
        br#"{"item_sku": "A", "quantity": 0x10, "amount": 1, "currency": "USD"}"#.to_vec(),
        br#"{"item_sku": "A", "quantity": 1, "amount": 1, "currency": "USD",}"#.to_vec(),
        br#"{"item_sku": "A", "quantity": 1, "amount": 1, "currency": "USD"} {}"#.to_vec(),
        br#"{'item_sku': 'A'}"#.to_vec(),
        b"{\"item_sku\": \"A\0\", \"quantity\": 1, \"amount\": 1, \"currency\": \"USD\"}".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"{\"item_sku\": \"\xff\xfe\", \"quantity\": 1}".to_vec(),
        b"{\"item_sku\": \"\xed\xa0\x80\", \"quantity\": 1}".to_vec(),
        "[".repeat(5_000).into_bytes(),
        "{\"a\":".repeat(5_000).into_bytes(),
        deep("[", "]").replace("[]", "[1,]").into_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&body).chars().take(80).collect::<String>();
        let answer = post(&harness, body).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/problem+json")), "{shown}");
        assert!(
            answer.body["detail"].as_str().is_some_and(|detail| detail.starts_with("the body is not")),
            "{answer:?}"
        );
    }
    assert_nothing_written(harness).await;
}

#[rstest]
#[tokio::test]
async fn a_wrong_field_is_named(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_objects = format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    let long = "x".repeat(65);
    for (field, value, detail) in [
        ("item_sku", r#""""#, "must not be blank"),
        ("item_sku", r#""  ""#, "must not be blank"),
        ("item_sku", &format!("\"{long}\""), "must have at most 64 characters"),
        ("item_sku", r#""A\u0000B""#, "must not contain control characters"),
        ("item_sku", r#""A\nB""#, "must not contain control characters"),
        ("item_sku", "7", "invalid type: integer `7`, expected a string"),
        ("item_sku", &deep, "invalid type"),
        ("quantity", "0", "must be at least 1"),
        ("quantity", "-1", "must be at least 1"),
        ("quantity", "1000000001", "must be at most 1000000000"),
        ("quantity", "1.5", "invalid type"),
        ("quantity", "1e400", "number out of range"),
        ("quantity", "9223372036854775808", "invalid value"),
        ("quantity", "\"2\"", "invalid type: string \"2\", expected i64"),
        ("quantity", "true", "invalid type"),
        ("amount", "0", "must be greater than 0"),
        ("amount", "-1", "must be greater than 0"),
        ("amount", "-0.0", "must be greater than 0"),
        ("amount", "1e400", "is too large"),
        ("amount", "1e-400", "has more decimals than its currency"),
        ("amount", "1.001", "has more decimals than its currency"),
        ("amount", "10000000000000.01", "is too large"),
        ("amount", "\"200\"", "must be a number"),
        ("amount", "null", "must be a number"),
        ("amount", &deep, "must be a number"),
        ("amount", &deep_objects, "must be a number"),
        ("currency", "\"usd\"", "must be an ISO 4217 currency code such as USD"),
        ("currency", "\"XXX\"", "must be an ISO 4217 currency code such as USD"),
        ("currency", "\"\"", "must be an ISO 4217 currency code such as USD"),
        ("currency", "840", "invalid type"),
        ("idempotency_key", "\"\"", "must not be blank"),
        ("idempotency_key", &format!("\"{}\"", "x".repeat(256)), "must have at most 255 characters"),
        ("idempotency_key", r#""a\u0000""#, "must not contain control characters"),
        ("idempotency_key", "5", "invalid type"),
    ] {
        let good = [("item_sku", "\"A\""), ("quantity", "2"), ("amount", "200"), ("currency", "\"USD\"")];
        let mut fields: Vec<String> = good
            .iter()
            .filter(|(name, _)| *name != field)
            .map(|(name, value)| format!("\"{name}\": {value}"))
            .collect();
        fields.push(format!("\"{field}\": {value}"));
        let answer = post(&harness, format!("{{{}}}", fields.join(", "))).await;
        let shown: String = value.chars().take(40).collect();
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!(field)), "{shown}: {answer:?}");
        let message = answer.body["errors"][0]["detail"].as_str().unwrap();
        assert!(message.starts_with(detail), "{field} {shown}: {message}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    assert_nothing_written(harness).await;
}

#[rstest]
#[tokio::test]
async fn a_missing_or_doubled_field_is_named(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    for (body, field, detail) in [
        (r#"{}"#, "amount", "is missing"),
        (r#"{"item_sku": "A", "quantity": 1, "currency": "USD"}"#, "amount", "is missing"),
        (r#"{"item_sku": "A", "quantity": 1, "amount": 1}"#, "currency", "is missing"),
        (r#"{"quantity": 1, "amount": 1, "currency": "USD"}"#, "item_sku", "is missing"),
        (r#"{"item_sku": "A", "amount": 1, "currency": "USD"}"#, "quantity", "is missing"),
        (r#"{"amount": 1, "currency": "USD"}"#, "item_sku", "is missing, and so is items"),
        (r#"{"item_sku": null, "quantity": 1, "amount": 1, "currency": "USD"}"#, "item_sku", "is missing"),
        (r#"{"item_sku": "A", "item_sku": "B"}"#, "item_sku", "is there more than once"),
        (r#"{"items": [], "amount": 1, "currency": "USD"}"#, "items", "must have at least one line"),
        (r#"{"items": {}, "amount": 1, "currency": "USD"}"#, "items", "invalid type"),
        (r#"{"items": [{"item_sku": "A"}], "amount": 1, "currency": "USD"}"#, "items[0].quantity", "is missing"),
        (
            r#"{"items": [{"item_sku": "A", "quantity": 1}, {"item_sku": "B", "quantity": 0}], "amount": 1, "currency": "USD"}"#,
            "items[1].quantity",
            "must be at least 1",
        ),
        (
            r#"{"items": [{"item_sku": "A", "quantity": 1}], "item_sku": "A", "amount": 1, "currency": "USD"}"#,
            "items",
            "cannot be combined with item_sku or quantity",
        ),
        (
            r#"{"items": [{"item_sku": "A", "quantity": 1000000000}, {"item_sku": "A", "quantity": 1}], "amount": 1, "currency": "USD"}"#,
            "items",
            "the quantity of one item, added up, must be at most 1000000000",
        ),
        ("[]", "", "the body must be a JSON object"),
        (r#"["A", 2, null, 200, "USD", null]"#, "", "the body must be a JSON object"),
        ("null", "", "the body must be a JSON object"),
        ("\"order\"", "", "the body must be a JSON object"),
        ("7", "", "the body must be a JSON object"),
    ] {
        let answer = post(&harness, body).await;
        let error = &answer.body["errors"][0];
        assert_eq!((answer.status, &error["field"]), (422, &json!(field)), "{body}: {answer:?}");
        assert!(error["detail"].as_str().unwrap().starts_with(detail), "{body}: {error}");
    }
    let many: Vec<_> = (0..101).map(|number| json!({"item_sku": format!("S{number}"), "quantity": 1})).collect();
    let answer = harness.post(&json!({"items": many, "amount": 1, "currency": "USD"})).await;
    answer.assert_problem(422, "items: must have at most 100 lines");
    assert_nothing_written(harness).await;
}

#[rstest]
#[tokio::test]
async fn all_that_is_wrong_is_told_at_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let body = json!({"item_sku": "", "quantity": 0, "amount": -1, "currency": "USD", "idempotency_key": ""});
    let answer = harness.post(&body).await;
    let fields: Vec<_> = answer.body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["item_sku", "quantity", "amount", "idempotency_key"]);
    assert_eq!((answer.status, &answer.body["type"]), (422, &json!("/problems/validation")));
    assert_eq!(answer.body["instance"], "/api/v1/orders/");
    assert_nothing_written(harness).await;
}

#[rstest]
#[tokio::test]
async fn a_body_that_is_too_large_or_no_json_by_its_own_word_is_refused(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let harness = Harness::start(database).await;
    let padded = format!("{}{}", " ".repeat(2 * 1024 * 1024), example());
    post(&harness, padded).await.assert_problem(413, "the body must have at most 65536 bytes");
    let long = json!({"item_sku": "x".repeat(2 * 1024 * 1024), "quantity": 1, "amount": 1, "currency": "USD"});
    harness.post(&long).await.assert_problem(413, "the body must have at most 65536 bytes");
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense"] {
        let request = harness.request(Method::POST, "/api/v1/orders").header("content-type", content_type);
        let answer = answer(request.body(example().to_string())).await;
        answer.assert_problem(415, "the content type must be application/json");
    }
    let undeclared = answer(harness.request(Method::POST, "/api/v1/orders").body(example().to_string())).await;
    undeclared.assert_problem(415, "the content type must be application/json");
    let number_with_many_digits = "9".repeat(60_000);
    let body = format!(r#"{{"item_sku": "A", "quantity": 1, "amount": {number_with_many_digits}, "currency": "USD"}}"#);
    post(&harness, body).await.assert_problem(422, "amount: is too large");
    assert_nothing_written(harness).await;
}

#[rstest]
#[tokio::test]
async fn a_page_of_another_site_places_and_cancels_nothing(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (id, _) = harness.place().await;
    let cancel = format!("/api/v1/orders/{id}/cancel");
    for (header, value) in [("origin", "http://example.com"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        for request in [harness.posting(&example()), harness.request(Method::POST, &cancel)] {
            let answer = answer(request.header(header, value)).await;
            answer.assert_problem(403, "a page of another origin may change nothing here; nothing was written");
            assert_eq!(answer.body["type"], "/problems/foreign-origin");
        }
    }
    for request in [harness.posting(&example()), harness.request(Method::POST, &cancel)] {
        let answer = answer(request.header("host", "rebound.example.com")).await;
        answer.assert_problem(421, "this service does not answer to the name in Host; see --allowed-host");
    }
    assert_eq!((harness.order_count().await, harness.status(id).await.0), (1, "PENDING".to_owned()));
    let ours = format!("http://{}", harness.service.http.address());
    let answer = answer(harness.request(Method::POST, &cancel).header("origin", ours)).await;
    assert_eq!(answer.status, 202, "Swagger UI: {answer:?}");
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_card_number_is_refused_and_not_repeated(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    for method in [
        json!("4242424242424242"),
        json!("4242 4242 4242 4242"),
        json!("pm_4242-4242-4242-4242"),
        json!(4_242_424_242_424_242_i64),
        json!({"number": "4242424242424242"}),
        json!(""),
        json!(true),
    ] {
        let mut order = example();
        order["payment_method"] = method.clone();
        let answer = post(&harness, order.to_string()).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!("payment_method")), "{answer:?}");
        assert!(!answer.text.contains("4242"), "{method}: {}", answer.text);
    }
    assert_nothing_written(harness).await;
}
