//! What a collector receives about orders whose events go through RabbitMQ.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::json;
use shared_events::Service;
use test_servers::rabbitmq;
use testkit::{
    client::{Client, ok},
    collector::{CONFIRMED, Collector, Span, SpanKind, tree},
    stack::{Options, Stack},
};

/// How many orders are placed at the same time.
const AT_ONCE: usize = 64;
/// So many times at most, until a message has several events.
const ROUNDS: usize = 20;

/// The services, with their spans exported to `collector` soon.
async fn traced(name: &str, collector: &Collector) -> Result<Stack> {
    let mut stack =
        Stack::servers(name, Options { broker: rabbitmq::Options::default(), ..Options::default() }).await?;
    for replica in &mut stack.replicas {
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
        replica.settings.variables.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    stack.start_all()?;
    stack.ready().await?;
    Ok(stack)
}

/// Stops the services in order, so that no span is lost.
async fn stop(stack: &mut Stack) -> Result<()> {
    for replica in &mut stack.replicas {
        ensure!(replica.stop().await?.success(), "{replica} fails when it is stopped");
    }
    Ok(())
}

/// Returns the exchange of a span's event, and the span's destination without it.
fn destination(span: &Span) -> Result<(&str, &str)> {
    let name = span.attribute("messaging.destination.name");
    name.split_once(':').with_context(|| format!("no exchange in {span:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_on_rabbitmq_is_one_trace() -> Result<()> {
    let collector = Collector::start().await?;
    let mut stack = traced("traces", &collector).await?;
    let client = stack.client(0)?;
    client.put_in_stock("SKU-ABC", 10).await?;
    let parent = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
    let place = json!({"item_sku": "SKU-ABC", "quantity": 2, "amount": 200, "currency": "USD"});
    let request = client.order(Method::POST, "/api/v1/orders/").json(&place);
    let order = ok(request.header("traceparent", format!("00-{parent}-01"))).await?;
    ensure!(order["status"] == "CONFIRMED", "{order}");
    // The last two things that happen to the order.
    let last = |spans: &[Span]| {
        let handled =
            |what: &str| spans.iter().find(|span| span.kind == SpanKind::Consumer && span.name.ends_with(what));
        // The stock is sold, and order knows that the payment is captured.
        handled("order.confirmed:inventory").and(handled("payment.captured:order")).cloned()
    };
    collector.until("the end of the saga", last).await?;
    stop(&mut stack).await?;

    let spans = collector.spans();
    let roots: Vec<&Span> = spans.iter().filter(|span| span.name == "POST /api/v1/orders").collect();
    let [root] = roots.as_slice() else { anyhow::bail!("not one request: {roots:#?}") };
    ensure!(root.parent.as_deref() == Some(parent), "the trace of the client goes on: {root:#?}");
    let mut lines = tree(&spans, root);
    for line in &mut lines {
        for service in Service::ALL {
            *line = line.replace(&format!("{service}.events:"), "");
        }
    }
    ensure!(lines == CONFIRMED, "{lines:#?}");
    for span in
        spans.iter().filter(|span| span.trace() == root.trace() && !span.attribute("messaging.system").is_empty())
    {
        ensure!(span.attribute("messaging.system") == "rabbitmq", "{span:#?}");
        let operation = span.attribute("messaging.operation.name");
        let whole = span.attribute("messaging.destination.name");
        ensure!(span.name == format!("{operation} {whole}"), "{span:#?}");
        let (exchange, key) = destination(span)?;
        // Where an event is published, whoever handles it.
        let published_by =
            if key.starts_with("stock.") { "inventory" } else { key.split('.').next().unwrap_or_default() };
        ensure!(exchange == format!("{published_by}.events"), "{span:#?}");
    }
    let failed: Vec<&Span> = spans.iter().filter(|span| span.error.is_some()).collect();
    ensure!(failed.is_empty(), "{failed:#?}");
    stack.passed();
    Ok(())
}

/// Places orders at the same time until a message has events of several of them, and returns its span.
async fn send_of_several(client: &Client, collector: &Collector) -> Result<Span> {
    for _ in 0..ROUNDS {
        let placed = try_join_all((0..AT_ONCE).map(|_| client.place("SKU-ABC", 1, 20, None))).await?;
        for (_, order) in &placed {
            ensure!(order["status"] == "CONFIRMED", "{order}");
        }
        let several = |span: &&Span| span.kind == SpanKind::Client && span.links.len() > 1;
        if let Some(span) = collector.spans().iter().find(several) {
            return Ok(span.clone());
        }
    }
    anyhow::bail!("no message had several events")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_several_events_is_linked_to_each() -> Result<()> {
    let collector = Collector::start().await?;
    let mut stack = traced("traces-of-several", &collector).await?;
    let client = stack.client(0)?;
    client.put_in_stock("SKU-ABC", 1_000_000).await?;
    let send = send_of_several(&client, &collector).await?;
    // Each of its events goes on in the trace of its own order.
    let handles = |span: &Span, link: &String| span.kind == SpanKind::Consumer && span.parent.as_ref() == Some(link);
    let handled =
        |spans: &[Span]| send.links.iter().all(|link| spans.iter().any(|span| handles(span, link))).then_some(());
    collector.until("handling of each event", handled).await?;
    stop(&mut stack).await?;

    let spans = collector.spans();
    ensure!(send.attribute("messaging.batch.message_count") == send.links.len().to_string(), "{send:#?}");
    ensure!(send.attribute("messaging.system") == "rabbitmq", "{send:#?}");
    ensure!(send.parent.as_ref() == send.links.first(), "it is in the trace of its first event: {send:#?}");
    let mut sagas = BTreeSet::new();
    for link in &send.links {
        let create = spans.iter().find(|span| span.context == *link).with_context(|| format!("no span {link}"))?;
        ensure!(create.kind == SpanKind::Producer && create.service() == send.service(), "{create:#?}");
        ensure!(destination(create)? == destination(&send)?, "{create:#?} {send:#?}");
        sagas.insert(create.attribute("messaging.message.conversation_id"));
    }
    ensure!(sagas.len() == send.links.len(), "an order has one event in a message: {send:#?}");
    stack.passed();
    Ok(())
}
