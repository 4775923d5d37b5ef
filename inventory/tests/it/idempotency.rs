//! A repeated request to reserve or release stock has an effect once.

use futures::future::join_all;
use reqwest::Method;
use rstest::rstest;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use service_host::service::stop;
use testkit::service::{
    Answer,
    DatabaseKind::{self, Postgres, Sqlite},
    HttpClient, TIMEOUT, TestKey, answer, execute, until,
};

use crate::harness::Harness;

const RESERVE: &str = "/api/v1/stock/reserve";
const RELEASE: &str = "/api/v1/stock/release";

/// Sends a request with the header `Idempotency-Key`.
async fn post(http: &HttpClient, path: &str, key: &str, body: &Value) -> Answer {
    answer(http.request(Method::POST, path).header("idempotency-key", key).json(body)).await
}

fn assert_key_refused(refused: &Answer) {
    let field = &refused.body["errors"][0]["field"];
    assert_eq!((refused.status, field), (422, &json!("idempotency_key")), "{refused:?}");
}

/// Returns how many requests are remembered.
async fn remembered(inventory: &Harness) -> usize {
    let rows = inventory::store::idempotency_keys::Entity::find();
    rows.all(&inventory.service.observer().reader()).await.unwrap().len()
}

#[rstest]
#[tokio::test]
async fn a_key_is_in_the_body_or_the_header_and_is_for_one_request(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    let (body, with_key) =
        (json!({"item_sku": "A", "quantity": 2}), json!({"item_sku": "A", "quantity": 2, "idempotency_key": "k"}));
    let first = inventory.post(RESERVE, &with_key).await;
    assert_eq!((first.status, &first.body["remaining_quantity"]), (200, &json!(8)), "{first:?}");
    // Neither another client nor a change of the stock changes the answer.
    inventory.reserve("A", 1).await;
    inventory.service.restart().await;
    let (http, release) = (&inventory.service.http, json!({"reservation_id": first.body["reservation_id"]}));
    for (key, body) in [("k", &body), ("\"k\"", &body), ("\"k\"", &with_key)] {
        let again = post(http, RESERVE, key, body).await;
        assert_eq!((again.status, &again.body), (200, &first.body), "{key} {body}");
    }
    for (path, key, body) in [
        (RESERVE, "k", &json!({"item_sku": "A", "quantity": 3})),
        (RESERVE, "\"k\"", &json!({"item_sku": "B", "quantity": 2})),
        (RESERVE, "other", &with_key),
        (RESERVE, "\"k", &body),
        (RELEASE, "k", &release),
        (RELEASE, " ", &release),
    ] {
        assert_key_refused(&post(http, path, key, body).await);
    }
    assert_eq!((inventory.units("A").await, remembered(&inventory).await), ((7, 3, 0), 1));
    // A release is answered again, too, and not that it is released already.
    let released = post(http, RELEASE, "r", &release).await;
    assert_eq!(released.status, 200, "{released:?}");
    let again = post(http, RELEASE, "r", &release).await;
    assert_eq!((again.status, &again.body), (200, &released.body));
    assert_key_refused(&post(http, RELEASE, "r", &json!({"reservation_id": 2})).await);
    assert_key_refused(&post(http, RESERVE, "r", &body).await);
    post(http, RELEASE, "s", &release).await.assert_problem(400, "reservation already released");
    // What was reserved with the key is gone, and its answer stays.
    assert_eq!(post(http, RESERVE, "k", &body).await.body, first.body);
    assert_eq!((inventory.units("A").await, remembered(&inventory).await), ((9, 1, 0), 2));
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_request_that_was_refused_does_not_use_its_key_up(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    let (http, body) = (&inventory.service.http, json!({"item_sku": "A", "quantity": 2}));
    post(http, RESERVE, "k", &body).await.assert_problem(404, "item not found");
    inventory.stock("A", 1).await;
    post(http, RESERVE, "k", &body).await.assert_problem(400, "insufficient stock");
    post(http, RELEASE, "r", &json!({"reservation_id": 1})).await.assert_problem(404, "reservation not found");
    assert_eq!(remembered(&inventory).await, 0, "a refused request writes nothing");
    inventory.stock("A", 2).await;
    assert_eq!(post(http, RESERVE, "k", &body).await.status, 200);
    assert_eq!((inventory.units("A").await, remembered(&inventory).await), ((0, 2, 0), 1));
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn each_owner_has_idempotency_keys_of_its_own(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let keys = ["shop-a", "shop-a", "shop-b"].map(|owner| TestKey::new(owner, "stock:read stock:write"));
    let admin = TestKey::new("operators", "admin");
    let all_keys: Vec<_> = keys.iter().chain([&admin]).cloned().collect();
    let inventory = Harness::start_with_keys(database, &[], &all_keys).await;
    let client = |key: &TestKey| inventory.service.http.with_key(key.text());
    let ([a, a_too, b], admin) = (keys.each_ref().map(client), client(&admin));
    admin.post("/api/v1/stock/items", &json!({"item_sku": "A", "quantity": 100})).await;
    let reserve = async |client: &HttpClient, quantity: i64| {
        let answer = post(client, RESERVE, "k", &json!({"item_sku": "A", "quantity": quantity})).await;
        (answer.status, answer.body["reservation_id"].clone())
    };
    // Neither the same content of another owner nor another content counts.
    let answers = [reserve(&a, 1).await, reserve(&b, 1).await, reserve(&admin, 5).await];
    assert_eq!(answers, [1, 2, 3].map(|id| (200, json!(id))));
    assert_eq!([reserve(&a_too, 1).await, reserve(&b, 1).await, reserve(&admin, 5).await], answers);
    assert_eq!([reserve(&a_too, 5).await.0, reserve(&b, 5).await.0, reserve(&admin, 1).await.0], [422; 3]);
    // With its key, nobody learns of another's reservation.
    let of_b = json!({"reservation_id": 2});
    post(&a, RELEASE, "r", &of_b).await.assert_problem(404, "reservation not found");
    assert_eq!(post(&b, RELEASE, "r", &of_b).await.status, 200);
    post(&a, RELEASE, "r", &of_b).await.assert_problem(404, "reservation not found");
    assert_eq!(b.get("/api/v1/stock/A").await.body["reserved"], 6);
    inventory.finish().await;
}

/// However the service crashes, a client that repeats its request until it is answered has reserved once.
#[rstest]
#[tokio::test]
async fn a_repeated_request_holds_stock_once_whatever_crashes(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start(database).await;
    inventory.stock("A", 1_000).await;
    let body = json!({"item_sku": "A", "quantity": 3});
    for round in 0..4 {
        let key = move |number: usize| format!("{round}-{number}");
        let requests = (0..25).map(|number| {
            let (http, body) = (inventory.service.http.clone(), body.clone());
            tokio::spawn(async move { post(&http, RESERVE, &key(number), &body).await.body })
        });
        let requests: Vec<_> = requests.collect();
        inventory.service.restart().await;
        // Those of the crashed service got an answer, a refusal or nothing.
        let before = join_all(requests).await;
        let http = &inventory.service.http;
        let answers = join_all((0..25).map(async |number| post(http, RESERVE, &key(number), &body).await)).await;
        for (before, answer) in before.into_iter().zip(answers) {
            assert_eq!(answer.status, 200, "{answer:?}");
            let before = before.ok().filter(|before| before["reservation_id"].is_i64());
            assert!(before.is_none_or(|before| before == answer.body), "{answer:?}");
        }
        assert_eq!(inventory.units("A").await.1, 75 * (round + 1));
    }
    inventory.finish().await;
}

#[tokio::test]
async fn the_same_request_at_two_replicas_at_once_holds_stock_once() {
    let inventory = Harness::start(Postgres).await;
    let (second, address) = inventory.service.start_on(inventory.service.another_writer().await).await;
    inventory.stock("A", 1_000).await;
    let (clients, body) =
        ([inventory.service.http.clone(), HttpClient::new(address)], json!({"item_sku": "A", "quantity": 7}));
    let requests = (0..200).map(async |number: usize| {
        let answer = post(&clients[number % 2], RESERVE, &format!("k{}", number / 10), &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    });
    let answers = join_all(requests).await;
    for same_key in answers.chunks(10) {
        assert!(same_key.iter().all(|answer| *answer == same_key[0]), "{same_key:?}");
    }
    assert_eq!(inventory.units("A").await, (860, 140, 0));
    stop(vec![second], TIMEOUT).await;
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn keys_are_forgotten_when_their_time_is_over(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start_with(database, &["--idempotency-key-lifetime", "1h"]).await;
    inventory.stock("A", 10).await;
    let (http, body) = (&inventory.service.http, json!({"item_sku": "A", "quantity": 2}));
    for key in ["old", "new"] {
        assert_eq!(post(http, RESERVE, key, &body).await.status, 200);
    }
    // As if the hour were over for one of them.
    let sql = "UPDATE idempotency_keys SET expires_at = 1 WHERE owned_key LIKE 'old%'";
    execute(inventory.service.observer(), sql).await;
    until("it is forgotten", async || remembered(&inventory).await == 1).await;
    for key in ["old", "new"] {
        assert_eq!(post(http, RESERVE, key, &body).await.status, 200);
    }
    assert_eq!(inventory.units("A").await, (4, 6, 0), "only the request that is remembered is recognized");
    inventory.finish().await;
}
