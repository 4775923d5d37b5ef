//! Two replicas on one database. The broker of these tests has one consumer, the first replica: whatever the second one's
//! clients wait for comes about at the first.

use std::time::Duration;

use reqwest::{Client, Method};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use service_kit::service::stop;
use shared_events::{EventBody, EventType};

use crate::{
    harness::{Answer, Harness, answer, example},
    neighbour::{SOON, soon},
};

async fn post(client: &Client, address: std::net::SocketAddr, body: &Value) -> Answer {
    answer(client.request(Method::POST, format!("http://{address}/api/v1/orders/")).json(body)).await
}

#[tokio::test]
async fn who_waits_at_one_replica_is_woken_by_the_other() {
    let mut harness = Harness::start().await;
    let (second, address) = harness.replica().await;
    for id in 1..=3 {
        let client = harness.client.clone();
        let posting = tokio::spawn(async move { post(&client, address, &example()).await });
        let created = harness.inventory.hear_of(id, EventType::OrderCreated).await;
        harness.inventory.say(&created, EventBody::StockReserved).await;
        harness.payment.say(&created, EventBody::PaymentAuthorized).await;
        let answer = soon("an answer", posting).await.unwrap();
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("CONFIRMED")), "{answer:?}");
    }
    harness.heard_besides().await;
    stop(vec![second], SOON).await;
    harness.finish().await;
}

#[tokio::test]
async fn who_watches_one_replica_sees_what_the_other_does() {
    let mut harness = Harness::start().await;
    let (second, address) = harness.replica().await;
    let stream = harness.client.get(format!("http://{address}/api/v1/orders/stream"));
    let mut stream = soon("the stream begins", stream.send()).await.unwrap();
    // The first changes may be over before the two replicas know of each other.
    let seen = async {
        let mut seen = String::new();
        while !seen.contains("\"status\":\"PENDING\"") {
            seen.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
        }
    };
    let placing = async {
        let mut steps = tokio::time::interval(Duration::from_millis(50));
        loop {
            steps.tick().await;
            harness.post_async(&example()).await;
        }
    };
    soon("a change is seen", async {
        tokio::select! { () = seen => {}, () = placing => {} }
    })
    .await;
    drop(stream);
    stop(vec![second], SOON).await;
    harness.heard_besides().await;
    harness.finish().await;
}

#[tokio::test]
async fn one_key_at_two_replicas_is_one_order() {
    let mut harness = Harness::start().await;
    let (second, address) = harness.replica().await;
    let mut body = example();
    body["idempotency_key"] = json!("the key");
    let requests = (0..40).map(|number| {
        let (client, body) = (harness.client.clone(), body.clone());
        let address = if number % 2 == 0 { address } else { harness.address };
        tokio::spawn(async move { post(&client, address, &body).await })
    });
    let requests: Vec<_> = requests.collect();
    let created = harness.inventory.hear(EventType::OrderCreated).await;
    harness.inventory.say(&created, EventBody::StockReserved).await;
    harness.payment.say(&created, EventBody::PaymentAuthorized).await;
    for request in requests {
        let answer = soon("an answer", request).await.unwrap();
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("CONFIRMED")), "{answer:?}");
        assert_eq!(answer.body["order_id"], created.event.order.order_id.0);
    }
    assert_eq!(harness.how_many_orders().await, 1);
    harness.heard_besides().await;
    stop(vec![second], SOON).await;
    harness.finish().await;
}

#[tokio::test]
async fn a_replica_takes_over_what_the_other_leaves() {
    let mut harness = Harness::start().await;
    let second = harness.replica().await;
    let (first, _) = harness.place().await;
    harness.replace(second).await;
    let (next, created) = harness.place().await;
    assert_eq!(next, first + 1);
    harness.inventory.say(&created, EventBody::StockReserved).await;
    harness.payment.say(&created, EventBody::PaymentAuthorized).await;
    harness.until("it is confirmed", async |harness| harness.status(next).await.0 == "CONFIRMED").await;
    harness.heard_besides().await;
    harness.finish().await;
}

/// As after a restore of the data alone, or a failover by logical replication.
#[tokio::test]
async fn a_sequence_that_is_behind_its_table_is_set_right_and_overwrites_nothing() {
    let mut harness = Harness::start().await;
    let (second, address) = harness.replica().await;
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.push(harness.place().await.0);
    }
    let before = harness.get("/api/v1/orders/").await.body;
    let intruder = harness.intruder().await;
    let writer = intruder.begin().await.unwrap();
    let back = "SELECT setval(pg_get_serial_sequence('orders', 'order_id'), 1, false)";
    writer.execute_unprepared(back).await.unwrap();
    writer.commit().await.unwrap();
    // At both replicas at the same time.
    let mut other = example();
    other["quantity"] = json!(1);
    let posts = (0..20).map(|number| {
        let (client, body) = (harness.client.clone(), other.clone());
        let address = if number % 2 == 0 { address } else { harness.address };
        tokio::spawn(async move {
            let request = client.request(Method::POST, format!("http://{address}/api/v1/orders/"));
            answer(request.header("prefer", "respond-async").json(&body)).await
        })
    });
    for post in posts.collect::<Vec<_>>() {
        let answer = soon("an answer", post).await.unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        placed.push(answer.body["order_id"].as_i64().unwrap());
    }
    placed.sort_unstable();
    placed.dedup();
    assert_eq!(placed.len(), 25, "each order has a number of its own");
    let after = harness.get("/api/v1/orders/?limit=5").await.body;
    assert_eq!(after, before, "those that were there are as they were");
    stop(vec![second], SOON).await;
    harness.heard_besides().await;
    harness.finish().await;
}
