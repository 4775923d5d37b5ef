//! Refunds through the real broker, while services are killed.

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared_events::Service;
use testkit::{
    client::{Client, answer, ok},
    stack::{Options, Stack},
};

const SKU: &str = "SKU-BACK";
const ORDERS: i64 = 40;

/// Requests a refund until it is accepted, with the same key.
async fn refund(client: &Client, path: &str, body: &Value) -> Result<Value> {
    let request = || async {
        // While the service is killed, there is no answer.
        anyhow::Ok(answer(client.order(Method::POST, path).json(body)).await.ok())
    };
    let accepted =
        |reply: &Option<(StatusCode, Value)>| reply.as_ref().is_some_and(|(status, _)| *status == StatusCode::ACCEPTED);
    let reply = client.until("the refund is accepted", request, accepted).await?;
    Ok(reply.context("it is accepted")?.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refund_is_paid_and_restocked_once_although_services_are_killed() -> Result<()> {
    let mut stack = Stack::start("refunds", Options::default()).await?;
    let client = stack.client(0)?;
    client.put_in_stock(SKU, 2 * ORDERS).await?;
    let placed = (0..ORDERS).map(async |number| {
        let (_, order) = client.place(SKU, 2, 200, Some(&format!("order-{number}"))).await?;
        ensure!(order["status"] == "CONFIRMED", "{order}");
        order["order_id"].as_i64().context("a number")
    });
    let ids: Vec<i64> = stream::iter(placed).buffer_unordered(8).try_collect().await?;

    let part = json!({
        "amount": 150, "items": [{"item_sku": SKU, "quantity": 1}], "restock": true, "idempotency_key": "part",
    });
    let rest = json!({"restock": true, "idempotency_key": "rest"});
    let refunds = async {
        let requests = ids.iter().map(async |id| {
            let path = format!("/api/v1/orders/{id}/refunds");
            let first = refund(&client, &path, &part).await?;
            refund(&client, &path, &rest).await?;
            // The same request, whatever became of the first answer.
            let again = refund(&client, &path, &part).await?;
            ensure!(again["refund_id"] == first["refund_id"], "{first} and {again}");
            anyhow::Ok(())
        });
        stream::iter(requests).buffer_unordered(8).try_collect::<()>().await
    };
    let kills = async {
        for service in [Service::Payment, Service::Inventory, Service::Order, Service::Payment] {
            let replica = stack.replica(service, 0)?;
            replica.kill()?;
            replica.start()?;
        }
        anyhow::Ok(())
    };
    let (refunds, kills) = tokio::join!(refunds, kills);
    refunds.and(kills)?;
    stack.ready().await?;

    for id in &ids {
        let path = format!("/api/v1/orders/{id}/refunds");
        let read = async || ok(client.order(Method::GET, &path)).await;
        let ended = |refunds: &Value| {
            let refunds = refunds.as_array().map(Vec::as_slice).unwrap_or_default();
            refunds.len() == 2 && refunds.iter().all(|one| one["status"] == "SUCCEEDED" && one["restocked"] == true)
        };
        client.until("both refunds have ended", read, ended).await?;
        let order = ok(client.order(Method::GET, &format!("/api/v1/orders/{id}"))).await?;
        ensure!(order["refunded_amount"] == 200 && order["status"] == "CONFIRMED", "{order}");
    }
    let stock = client.stock(SKU).await?;
    ensure!(stock["quantity"] == 2 * ORDERS && stock["sold"] == 0 && stock["reserved"] == 0, "{stock}");
    stack.verified().await?;
    stack.no_errors()?;
    stack.passed();
    Ok(())
}
