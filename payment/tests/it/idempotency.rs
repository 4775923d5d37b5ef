//! A repeated request for an authorization charges once.

use payment::domain::PaymentKey;
use reqwest::{Method, header::CONTENT_TYPE};
use rstest::rstest;
use serde_json::json;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    HttpClient, TestKey, answer,
};

use crate::{harness::Harness, scripted::Point};

const BODY: &str = r#"{"order_id": 1, "amount": 200.50, "currency": "USD"}"#;
const WITH_KEY: &str = r#"{"order_id": 1, "amount": 200.50, "currency": "USD", "idempotency_key": "key-1"}"#;

/// The sum that the gateway holds for all payments.
async fn held(harness: &Harness) -> i64 {
    let keys = harness.rows().await.into_iter().filter_map(|payment| payment.key());
    keys.map(|key: PaymentKey| harness.gateway.holds(key)).sum()
}

#[rstest]
#[tokio::test]
async fn a_retry_after_a_lost_answer_charges_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    for point in [Point::BeforePrepare, Point::AfterPrepare, Point::BeforeAuthorize, Point::AfterAuthorize] {
        let harness = Harness::start_with(database, &["--gateway-timeout", "100ms"]).await;
        harness.gateway.fail(point, 3);
        let first = harness.authorize_with_key("key-1", BODY).await;
        assert!(matches!(first.status, 200 | 202), "{}", first.text);
        if first.status == 202 {
            assert_eq!((&first.body["status"], &first.body["authorized"]), (&json!("REQUESTED"), &json!(false)));
            assert_eq!(first.header("location"), Some("/api/v1/payments/1"));
        }
        // However often the client asks, it is one payment.
        let mut answer = first;
        while answer.status == 202 {
            answer = harness.authorize_with_key("key-1", BODY).await;
        }
        assert_eq!((answer.status, &answer.body["payment_id"]), (200, &json!(1)), "{}", answer.text);
        assert_eq!(answer.body["authorized"], true);
        assert_eq!((harness.rows().await.len(), held(&harness).await), (1, 20_050), "{point:?}");
        harness.finish().await;
    }
}

#[rstest]
#[tokio::test]
async fn a_key_is_in_the_body_or_the_header_and_is_for_one_content(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let first = harness.authorize(WITH_KEY).await;
    assert_eq!((first.0, &first.1["payment_id"]), (200, &json!(1)));
    for (key, body) in [("key-1", BODY), ("\"key-1\"", BODY), ("\"key-1\"", WITH_KEY)] {
        let again = harness.authorize_with_key(key, body).await;
        assert_eq!((again.status, &again.body), (200, &first.1), "{key}");
    }
    for (key, body) in [
        ("key-1", r#"{"order_id": 2, "amount": 200.50, "currency": "USD"}"#),
        ("key-1", r#"{"order_id": 1, "amount": 200.51, "currency": "USD"}"#),
        ("\"key-1\"", r#"{"order_id": 1, "amount": 200.50, "currency": "EUR"}"#),
        ("key-2", WITH_KEY),
        ("\"key-1", BODY),
        (" ", BODY),
    ] {
        let refused = harness.authorize_with_key(key, body).await;
        let field = &refused.body["errors"][0]["field"];
        assert_eq!((refused.status, field), (422, &json!("idempotency_key")), "{key} {body}: {}", refused.text);
    }
    assert_eq!((harness.rows().await.len(), held(&harness).await), (1, 20_050));
    let other = harness.authorize_with_key("key-2", BODY).await;
    assert!(other.status == 200 && other.body["payment_id"] != 1, "{}", other.text);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_same_request_many_times_at_once_is_one_payment(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let harness = Harness::start(database).await;
    let answers = futures::future::join_all((0..20).map(|_| harness.authorize_with_key("key-1", BODY))).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body), "{}", answer.text);
    }
    assert_eq!((harness.rows().await.len(), held(&harness).await), (1, 20_050));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn each_owner_has_idempotency_keys_of_its_own(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let keys = ["shop-a", "shop-a", "shop-b"].map(|owner| TestKey::new(owner, "payments:write"));
    let harness = Harness::start_with_keys(database, &keys).await;
    let [a, a_too, b] = keys.each_ref().map(|key| harness.service.http.with_key(key.text()));
    let authorize = async |client: &HttpClient, body: &str| {
        let request = client.request(Method::POST, "/api/v1/payments/authorize");
        let answer = answer(request.header(CONTENT_TYPE, "application/json").body(body.to_owned())).await;
        (answer.status, answer.body["payment_id"].clone())
    };
    let other_content = WITH_KEY.replace("200.50", "300");
    let first = authorize(&a, WITH_KEY).await;
    // Neither the same content of another owner nor another content counts.
    let second = authorize(&b, &other_content).await;
    assert!(first.0 == 200 && second.0 == 200 && first.1 != second.1, "{first:?} {second:?}");
    for client in [&a, &a_too] {
        assert_eq!(authorize(client, WITH_KEY).await, first);
        assert_eq!(authorize(client, &other_content).await.0, 422);
    }
    assert_eq!((authorize(&b, &other_content).await, authorize(&b, WITH_KEY).await.0), (second, 422));
    assert_eq!((harness.rows().await.len(), held(&harness).await), (2, 50_050));
    harness.finish().await;
}
