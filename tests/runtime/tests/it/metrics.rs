//! The metrics of a service: each one exists, and changes with what it measures.

use std::sync::atomic::Ordering;

use reqwest::Method;
use rstest::rstest;
use shared_events::{EventBody, FailureReason, Service};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};
use uuid::Uuid;

use crate::{
    admin::service_harness::ServiceHarness,
    counting_participant::UNACCEPTABLE,
    engine_harness::{World, created, event, outgoing, raw},
    wait::until,
};

async fn until_it_is(service: &ServiceHarness, name: &str, value: f64) {
    until(&format!("{name} is {value}"), async || service.metrics().await.get(name) == Some(&value)).await;
}

/// The number of the write pool's connections that are in use.
async fn busy(service: &ServiceHarness) -> f64 {
    let metrics = service.metrics().await;
    metrics["database_connections{pool=\"write\"}"] - metrics["database_idle_connections{pool=\"write\"}"]
}

#[rstest]
#[tokio::test]
async fn the_engine_counts_what_it_commits(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    let before = service.metrics().await;
    assert_eq!((before["batch_inputs_count"], before["messages_dead_lettered_total"]), (0.0, 0.0));

    let bad = created(2, UNACCEPTABLE);
    world.publish_and_wait(&[created(1, 1), created(1, 1)]).await;
    world.publish_and_wait(&[bad.clone(), raw("nonsense")]).await;
    service.script.cured.store(true, Ordering::SeqCst);
    assert_eq!(service.redrive(bad.message_id.0).await.0, 200);

    let after = service.metrics().await;
    assert_eq!(after["inputs_total{kind=\"event\"}"], 2.0);
    assert_eq!(after["inputs_total{kind=\"redriven\"}"], 1.0);
    assert_eq!(after["messages_dead_lettered_total"], 2.0);
    assert_eq!(after["batch_inputs_sum"], 3.0);
    assert!((1.0..=3.0).contains(&after["batch_inputs_count"]));
    assert_eq!(after["batch_inputs_bucket{le=\"+Inf\"}"], after["batch_inputs_count"]);
    assert!(after["commit_duration_seconds_count"] >= after["batch_inputs_count"]);
    assert!(after["commit_duration_seconds_sum"] > 0.0);
    service.finish(1).await;
}

#[rstest]
#[tokio::test]
async fn tables_queue_and_pools_are_read_when_somebody_asks(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    until_it_is(&service, "queue_consumers", 1.0).await;
    let quiet = service.metrics().await;
    for name in ["outbox_messages", "outbox_oldest_age_seconds", "dead_letters", "queue_ready_messages"] {
        assert_eq!(quiet[name], 0.0, "{name}");
    }
    assert!(quiet["database_connections{pool=\"write\"}"] >= 1.0);
    assert!(quiet["database_connections{pool=\"read\"}"] >= quiet["database_idle_connections{pool=\"read\"}"]);

    service.dead_letter(Uuid::from_u128(1), b"nonsense").await;
    until_it_is(&service, "dead_letters", 1.0).await;

    // The external call does not return: the prefetch is used up, and the rest waits in the queue.
    service.script.world.shut();
    let declined = EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined };
    let waiting: Vec<_> = (1..=130).map(|order| outgoing(event(order, 1, declined.clone()))).collect();
    world.order.publish(&waiting).await;
    until_it_is(&service, "queue_ready_messages", 2.0).await;
    service.script.world.open();
    until_it_is(&service, "queue_ready_messages", 0.0).await;
    world.order.confirmed(130).await;

    // The engine waits in a transaction.
    service.script.gate.shut();
    world.order.publish(&[created(9_999, 1)]).await;
    until("the writer is busy", async || busy(&service).await > 0.0).await;
    service.script.gate.open();
    world.order.confirmed(1).await;
    until("the writer rests", async || busy(&service).await == 0.0).await;
    service.finish(1).await;
}

#[rstest]
#[tokio::test]
async fn what_nobody_takes_stays_in_the_outbox_and_ages(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let storage = TestDatabase::create(database);
    let brokers = crate::in_process::in_process(&Service::ALL, 64);
    let service = ServiceHarness::start(&storage, &brokers[&Service::Inventory]).await;
    let message = created(1, 1);
    service.dead_letter(message.message_id.0, message.body.as_bytes()).await;
    // The queues of order and payment have no consumer, so they do not confirm.
    assert_eq!(service.redrive(message.message_id.0).await.1["outcome"], "HANDLED");
    until_it_is(&service, "outbox_messages", 1.0).await;
    let mut age = 0.0;
    for _ in 0..2 {
        let before = age;
        until("it ages", async || {
            age = service.metrics().await["outbox_oldest_age_seconds"];
            age > before
        })
        .await;
    }
    let mut listeners = tokio::task::JoinSet::new();
    for consumer in [Service::Order, Service::Payment] {
        let mut deliveries = crate::broker::subscribe(&brokers[&consumer], 16).await;
        listeners.spawn(async move {
            while let Some(delivery) = deliveries.recv().await {
                delivery.receipt.acknowledge();
            }
        });
    }
    until_it_is(&service, "outbox_messages", 0.0).await;
    until_it_is(&service, "outbox_oldest_age_seconds", 0.0).await;
    service.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn a_dependency_that_comes_back_is_counted(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, mut world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    for name in ["database", "broker", "queue"] {
        until_it_is(&service, &format!("dependency_up{{dependency=\"{name}\"}}"), 1.0).await;
    }
    assert!(!service.metrics().await.contains_key("dependency_reconnects_total{dependency=\"database\"}"));
    service.script.away.store(true, Ordering::SeqCst);
    world.order.publish(&[created(1, 1)]).await;
    until_it_is(&service, "dependency_up{dependency=\"database\"}", 0.0).await;
    service.script.away.store(false, Ordering::SeqCst);
    world.order.confirmed(1).await;
    until_it_is(&service, "dependency_up{dependency=\"database\"}", 1.0).await;
    assert_eq!(service.metrics().await["dependency_reconnects_total{dependency=\"database\"}"], 1.0);
    service.finish(0).await;
}

#[rstest]
#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let (storage, world) = (TestDatabase::create(database), World::begin().await);
    let service = ServiceHarness::start(&storage, world.participant_broker()).await;
    for number in 0..3 {
        service.request(Method::GET, &format!("/no/such/path/{number}"), &[]).await;
        service.ask(Method::GET, &format!("/admin/dead-letters/{}", Uuid::from_u128(number))).await;
    }
    service.request(Method::GET, "/health", &[]).await;
    service.request(Method::POST, "/health", &[]).await;
    service.request(Method::GET, "/admin/dead-letters", &[]).await;
    service.request(Method::from_bytes(b"BREW").unwrap(), "/health", &[]).await;
    let metrics = service.metrics().await;
    let count = |method: &str, route: &str, status: u16| {
        let name = format!("http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}");
        *metrics.get(&name).unwrap_or_else(|| panic!("{name} is not in {metrics:#?}"))
    };
    assert_eq!(count("GET", "none", 404), 3.0);
    assert_eq!(count("GET", "/admin/dead-letters/{message_id}", 404), 3.0);
    assert_eq!(count("GET", "/admin/dead-letters", 401), 1.0);
    assert_eq!(count("GET", "/health", 200), 1.0);
    assert_eq!((count("POST", "/health", 405), count("other", "/health", 405)), (1.0, 1.0));
    let timed = "http_request_duration_seconds_count{method=\"GET\",route=\"/admin/dead-letters/{message_id}\"}";
    assert_eq!(metrics[timed], 3.0);
    service.finish(0).await;
}
