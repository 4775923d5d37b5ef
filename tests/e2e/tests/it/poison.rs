//! Messages that cannot be handled, put into a queue directly.

use anyhow::{Context as _, Result, ensure};
use lapin::{BasicProperties, Connection, ConnectionProperties, options::BasicPublishOptions};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared_events::Service;
use testkit::{
    client::{answer, ok},
    consistency::Expect,
    load_generator::LoadGenerator,
    stack::{Options, Stack},
};
use uuid::Uuid;

const TOKEN: &str = "let-the-operator-in";
const ADMIN: &str = "--admin-token=let-the-operator-in";
const LARGE: usize = 10 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_handled_becomes_a_dead_letter_and_does_not_block_others() -> Result<()> {
    let mut stack = Stack::start("poison", Options::default().with(Service::Inventory, &[ADMIN])).await?;
    let mut load = LoadGenerator::start(&mut stack, 4).await?;
    load.ended(20).await?;
    let poison = poison();
    let connection = Connection::connect(&stack.rabbitmq.amqp_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for (message, _) in &poison {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), "inventory".into(), options, message, properties).await?;
    }
    // A queue keeps its order, so these orders come after the poison messages.
    load.ended(50).await?;

    let client = stack.client(0)?;
    let list = async || ok(client.inventory(Method::GET, "/admin/dead-letters").bearer_auth(TOKEN)).await;
    let all = |list: &Value| list.as_array().is_some_and(|list| list.len() >= poison.len());
    let list = client.until("all of them are dead letters", list, all).await?;
    let letters = list.as_array().context("a list")?;
    ensure!(letters.len() == poison.len(), "{list}");
    for (message, reason) in &poison {
        let of_it = |letter: &&Value| {
            letter["size"] == message.len() && letter["reason"].as_str().is_some_and(|text| text.contains(reason))
        };
        ensure!(letters.iter().any(|letter| of_it(&letter)), "{reason} is not a reason in {list}");
    }
    for letter in letters {
        let path = format!("/admin/dead-letters/{}", letter["message_id"].as_str().context("an id")?);
        let discarded = client.inventory(Method::DELETE, &path).bearer_auth(TOKEN).send().await?;
        ensure!(discarded.status() == StatusCode::NO_CONTENT, "{letter}: {discarded:?}");
    }
    let (status, _) = answer(client.inventory(Method::GET, "/admin/dead-letters")).await?;
    ensure!(status == StatusCode::UNAUTHORIZED, "without a token: {status}");
    connection.close(200, "OK".into()).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

/// Returns messages that cannot be handled, each with a part of the reason.
fn poison() -> Vec<(Vec<u8>, &'static str)> {
    let event = |kind: &str, data: Value| {
        let event = json!({
            "specversion": "1.0", "id": Uuid::now_v7(), "source": "/order", "type": kind, "subject": "4711",
            "time": "2026-01-01T00:00:00.000000Z", "datacontenttype": "application/json",
            "correlationid": Uuid::now_v7(), "causationid": Uuid::now_v7(), "data": data,
        });
        event.to_string().into_bytes()
    };
    let created = "order-system.order.created.v1";
    let order = |quantity: i64| {
        json!({
            "order_id": 4711, "lines": [{"item_sku": "PLENTY", "quantity": quantity}],
            "total": {"minor_units": 100, "currency": "USD"},
        })
    };
    vec![
        (b"Lorem ipsum".to_vec(), "JSON"),
        (b"\xff\xfe\x00".to_vec(), "JSON"),
        (event("order-system.order.exploded.v1", order(1)), "type"),
        (event("order-system.order.created.v7", order(1)), "version"),
        (event(created, order(-5)), "at least 1"),
        (event(created, json!({"order_id": 4711})), "lines"),
        (event("order-system.payment.authorized.v1", order(1)), "source"),
        (vec![b'x'; LARGE], "JSON"),
    ]
}
