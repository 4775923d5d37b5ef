//! What a collector receives about orders: one saga is one trace, across the services, crashes and redeliveries.

use std::{collections::BTreeSet, path::Path};

use reqwest::{Method, StatusCode};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};
use testkit::{
    client::{Client, answer, ok},
    collector::{CONFIRMED, Collector, Span, SpanKind, tree},
    process::Program,
};
use uuid::Uuid;

use crate::{
    dead_letters::{TOKEN, at, dead_letters, insert_dead_letter},
    program,
};

/// The program, with its spans exported to `collector` soon.
fn traced(collector: &Collector, more: &[(&str, &str)]) -> Program {
    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    let variables: Vec<_> = endpoint.iter().chain(more).map(|(name, value)| (*name, Path::new(*value))).collect();
    program().with_variables(&variables)
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let named: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(named.len(), 1, "{name}: {spans:#?}");
    named[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_saga_is_one_trace() {
    let (directory, collector) = (tempfile::tempdir().unwrap(), Collector::start().await.unwrap());
    let system = traced(&collector, &[]).start(directory.path(), &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let place = json!({"item_sku": "SKU-ABC", "quantity": 2, "amount": 200, "currency": "USD"});
    let parent = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
    let request = client.order(Method::POST, "/api/v1/orders/").json(&place);
    let order = ok(request.header("traceparent", format!("00-{parent}-01"))).await.unwrap();
    assert_eq!(order["status"], "CONFIRMED");
    until_captured(&client).await;
    let shown = ok(client.order(Method::GET, "/api/v1/orders/1")).await.unwrap();
    assert_eq!((&shown["trace_id"], &shown["status"]), (&parent[..32].into(), &order["status"]));
    let timeline = ok(client.order(Method::GET, "/api/v1/orders/1/events")).await.unwrap();
    client.until("health", || ok(client.order(Method::GET, "/health/ready")), |_| true).await.unwrap();
    // No span is lost.
    assert!(system.stop().unwrap().success());

    let spans = collector.spans();
    let root = one(&spans, "POST /api/v1/orders");
    assert_eq!(root.parent.as_deref(), Some(parent), "the trace of the client goes on");
    assert_eq!(tree(&spans, root), CONFIRMED);
    let in_trace: Vec<&Span> = spans.iter().filter(|span| span.trace() == root.trace()).collect();
    let (transactions, others): (Vec<&Span>, Vec<&Span>) = in_trace.iter().partition(|span| span.name == "commit");
    assert_eq!(others.len(), CONFIRMED.len());
    let created = others.iter().filter(|span| span.kind == SpanKind::Producer);
    let created: BTreeSet<String> = created.map(|span| format!("00-{}-01", span.context)).collect();
    let named = timeline.as_array().unwrap().iter().map(|entry| entry["traceparent"].as_str().unwrap().to_owned());
    assert_eq!(named.collect::<BTreeSet<_>>(), created, "the timeline names the events' contexts");
    assert!(!spans.iter().any(|span| span.name.contains("health") || span.error.is_some()), "{spans:#?}");

    for span in &others {
        let of_message = |name: &str| span.attribute(&format!("messaging.{name}")).to_owned();
        if let Some((operation, destination)) = span.name.split_once(' ')
            && span.kind != SpanKind::Server
        {
            assert_eq!(of_message("operation.name"), operation);
            assert_eq!(of_message("operation.type"), operation);
            assert_eq!(of_message("destination.name"), destination);
            assert_eq!(of_message("system"), "in_process");
            assert_eq!(of_message("message.conversation_id"), saga(&others), "{span:#?}");
        }
        let parent = span.parent.as_ref().and_then(|parent| others.iter().find(|other| other.context == *parent));
        if let Some(create) = parent.filter(|parent| parent.kind == SpanKind::Producer) {
            assert_eq!(of_message("message.id"), create.attribute("messaging.message.id"));
        }
        if span.kind == SpanKind::Client {
            assert_eq!(span.links, [span.parent.clone().unwrap()], "one event, one link");
        }
        // Each event and each request is linked by the transaction that committed it.
        let committed = transactions.iter().filter(|commit| commit.links.contains(&span.context)).count();
        assert_eq!(committed, usize::from(matches!(span.kind, SpanKind::Consumer | SpanKind::Server)), "{span:#?}");
    }
    let attributes = ["http.request.method", "http.route", "http.response.status_code", "url.path", "url.scheme"];
    let expected = ["POST", "/api/v1/orders", "200", "/api/v1/orders/", "http"];
    assert_eq!(attributes.map(|name| root.attribute(name)), expected);
    let instances: BTreeSet<&str> = spans.iter().map(|span| &*span.resource["service.instance.id"]).collect();
    assert_eq!(instances.len(), 3, "one of each service");
    assert!(spans.iter().all(|span| span.resource["service.version"] == env!("CARGO_PKG_VERSION")));
}

/// Returns the id of the saga of these spans.
fn saga(spans: &[&Span]) -> String {
    let create = spans.iter().find(|span| span.name == "create order.created").unwrap();
    create.attribute("messaging.message.conversation_id").to_owned()
}

/// A database of the stopped or running program.
pub(crate) async fn database(data_dir: &Path, service: &str) -> DatabaseConnection {
    // One connection, so that a transaction is one.
    let url = format!("sqlite://{}", data_dir.join(format!("{service}.sqlite")).display());
    Database::connect(ConnectOptions::new(url).max_connections(1).to_owned()).await.unwrap()
}

/// An order whose first event is committed and cannot be handled, because the test locks the database of inventory;
/// and then the program crashed.
struct CrashedOrder {
    /// The `create` span of the event.
    create: Span,
    /// The message in the outbox.
    body: String,
    message_id: Uuid,
}

/// Places an order, and crashes the program between the commit and the confirm of its first event.
async fn crashed_order(data_dir: &Path, collector: &Collector, more: &[(&str, &str)]) -> CrashedOrder {
    let system = traced(collector, more).start(data_dir, &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let inventory = database(data_dir, "inventory").await;
    inventory.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let place = json!({"item_sku": "SKU-ABC", "quantity": 2, "amount": 200, "currency": "USD"});
    let request = client.order(Method::POST, "/api/v1/orders/").header("prefer", "respond-async").json(&place);
    assert_eq!(answer(request).await.unwrap().0, StatusCode::ACCEPTED);
    let create = collector.until("event", |spans| find(spans, "create order.created").cloned()).await.unwrap();
    collector.until("request", |spans| find(spans, "POST /api/v1/orders").cloned()).await.unwrap();
    system.crash().unwrap();
    inventory.execute_unprepared("ROLLBACK").await.unwrap();
    inventory.close().await.unwrap();
    let order = database(data_dir, "order").await;
    let outbox = Statement::from_string(DbBackend::Sqlite, "SELECT message_id, body FROM outbox");
    let row = order.query_one_raw(outbox).await.unwrap().expect("the event is not confirmed");
    order.close().await.unwrap();
    let body: String = row.try_get("", "body").unwrap();
    assert!(body.contains(&create.context), "{body}");
    CrashedOrder { create, body, message_id: row.try_get("", "message_id").unwrap() }
}

fn find<'a>(spans: &'a [Span], name: &str) -> Option<&'a Span> {
    spans.iter().find(|span| span.name == name)
}

/// Waits for the last thing that happens to the order.
async fn until_captured(client: &Client) {
    let read = || ok(client.order(Method::GET, "/api/v1/orders/1"));
    client.until("captured", read, |order| order["capture"] == "CAPTURED").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_published_after_a_crash_keeps_its_trace() {
    let (directory, collector) = (tempfile::tempdir().unwrap(), Collector::start().await.unwrap());
    let CrashedOrder { create, .. } = crashed_order(directory.path(), &collector, &[]).await;
    assert!(find(&collector.spans(), "process order.created:inventory").is_none());
    let system = traced(&collector, &[]).start(directory.path(), &[]).unwrap();
    until_captured(&Client::new(system.addresses).unwrap()).await;
    assert!(system.stop().unwrap().success());
    // The second process goes on where the first one ended. What the first one had sent, it did not live to report.
    let spans = collector.spans();
    assert_eq!(tree(&spans, one(&spans, "POST /api/v1/orders")), CONFIRMED);
    assert_eq!(one(&spans, "send order.created").links, std::slice::from_ref(&create.context));
    assert_ne!(one(&spans, "send order.created").resource, create.resource, "another process has sent it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_redriven_or_delivered_twice_keeps_its_trace() {
    let (directory, collector) = (tempfile::tempdir().unwrap(), Collector::start().await.unwrap());
    let CrashedOrder { create, body, message_id } = crashed_order(directory.path(), &collector, &[]).await;
    // The event has become a dead letter of inventory, and its message comes a second time later.
    let order = database(directory.path(), "order").await;
    order.execute_unprepared("CREATE TABLE kept AS SELECT * FROM outbox; DELETE FROM outbox").await.unwrap();
    insert_dead_letter(directory.path(), "inventory", message_id, body.as_bytes()).await;
    let program = traced(&collector, &[]);
    let system = program.start(directory.path(), &[&format!("--admin-token={TOKEN}")]).unwrap();
    let [service, url] = at(&system, 1);
    let (output, printed) = dead_letters(&program, &["redrive", &message_id.to_string(), &service, &url]);
    assert!(output.status.success(), "{printed}");
    until_captured(&Client::new(system.addresses).unwrap()).await;
    order.execute_unprepared("INSERT INTO outbox SELECT * FROM kept; DROP TABLE kept").await.unwrap();
    order.close().await.unwrap();
    let duplicate = |spans: &[Span]| spans.iter().find(|span| span.attribute("saga.duplicate") == "true").cloned();
    let duplicate = collector.until("duplicate", duplicate).await.unwrap();
    assert!(system.stop().unwrap().success());

    let spans = collector.spans();
    let handled = spans.iter().filter(|span| span.name == "process order.created:inventory");
    let (again, first): (Vec<&Span>, Vec<&Span>) = handled.partition(|span| span.context == duplicate.context);
    assert_eq!((again.len(), first.len()), (1, 1));
    for span in again.iter().chain(&first) {
        assert_eq!(span.parent.as_ref(), Some(&create.context), "{span:#?}");
    }
    assert_eq!(tree(&spans, again[0]).len(), 1, "a duplicate causes nothing");
    let mut expected: Vec<&str> = CONFIRMED.into();
    // In the order of the names.
    expected.insert(2, "    inventory Consumer process order.created:inventory");
    let mut lines = tree(&spans, one(&spans, "POST /api/v1/orders"));
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_is_not_sampled_goes_on_unrecorded() {
    let (directory, collector) = (tempfile::tempdir().unwrap(), Collector::start().await.unwrap());
    let ratio = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1")];
    let system = traced(&collector, &ratio).start(directory.path(), &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    client.put_in_stock("SKU-ABC", 10).await.unwrap();
    let payment = database(directory.path(), "payment").await;
    payment.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let unsampled = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
    let place = json!({"item_sku": "SKU-ABC", "quantity": 2, "amount": 200, "currency": "USD"});
    let request = client.order(Method::POST, "/api/v1/orders/").header("prefer", "respond-async").json(&place);
    assert_eq!(answer(request.header("traceparent", format!("00-{unsampled}-00"))).await.unwrap().0, 202);
    // What inventory publishes about it waits in the outbox.
    let inventory = database(directory.path(), "inventory").await;
    let outbox = || async {
        let outbox = Statement::from_string(DbBackend::Sqlite, "SELECT body FROM outbox");
        let row = inventory.query_one_raw(outbox).await?;
        Ok(row.map(|row| row.try_get::<String>("", "body")).transpose()?)
    };
    let body = client.until("event", outbox, Option::is_some).await.unwrap().unwrap();
    let event: Value = serde_json::from_str(&body).unwrap();
    let traceparent = event["traceparent"].as_str().unwrap();
    assert!(traceparent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && traceparent.ends_with("-00"), "{event}");
    assert!(!traceparent.contains(unsampled), "it has an id of its own");
    payment.execute_unprepared("ROLLBACK").await.unwrap();
    inventory.close().await.unwrap();
    payment.close().await.unwrap();
    until_captured(&client).await;

    let request = client.order(Method::GET, "/api/v1/orders/99");
    let (_, problem) = answer(request.header("traceparent", format!("00-{unsampled}-00"))).await.unwrap();
    assert_eq!(problem["trace_id"], unsampled[..32]);
    let (_, problem) = answer(client.order(Method::GET, "/api/v1/orders/99")).await.unwrap();
    assert!(system.stop().unwrap().success());
    let spans = collector.spans();
    assert!(!spans.iter().any(|span| span.trace() == &unsampled[..32]), "{spans:#?}");
    let of_problem = spans.iter().find(|span| problem["trace_id"] == span.trace()).unwrap();
    assert_eq!(
        (&*of_problem.name, of_problem.attribute("url.path")),
        ("GET /api/v1/orders/{order_id}", "/api/v1/orders/99")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_the_system_works_and_says_so_once() {
    let directory = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}");
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "1")];
    let variables = variables.map(|(name, value)| (name, Path::new(value)));
    let system = program().with_variables(&variables).start(directory.path(), &[]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    client.put_in_stock("SKU-ABC", 100).await.unwrap();
    for _ in 0..20 {
        assert_eq!(client.place("SKU-ABC", 1, 200, None).await.unwrap().1["status"], "CONFIRMED");
    }
    let traced = client.orders().await.unwrap();
    let traced = traced.iter().filter(|order| order.get("trace_id").is_some()).count();
    assert_eq!(traced, 0, "the list does not show the trace");
    assert!(system.stop().unwrap().success());
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("spans cannot be exported")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains(&closed.to_string()) && lines[0].contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{}", lines[0]);
}

#[tokio::test]
async fn wrong_settings_of_traces_end_the_start_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = program().command();
    command.args(["--order-listen=127.0.0.1:0", "--inventory-listen=127.0.0.1:0", "--payment-listen=127.0.0.1:0"]);
    command.arg("--no-console").arg("--data-dir").arg(directory.path());
    let output = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && printed.contains("only http:// is supported"), "{printed}");
}
