//! Overload, a locked database, and the stop of the service.

use std::time::Duration;

use futures::{StreamExt, stream::FuturesUnordered};
use rstest::rstest;
use serde_json::json;
use service_host::service::stop;
use shared_events::{EventBody, EventType};
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TIMEOUT, answer, until, within_timeout,
};
use tokio::net::TcpStream;

use crate::harness::{Harness, Plan, example};

#[rstest]
#[tokio::test]
async fn too_many_unpublished_events_are_too_many_for_a_new_order(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut plan = Plan { peers_consume: false, ..Plan::default() };
    plan.work.max_backlog = 0;
    let mut harness = Harness::start_with(database, plan).await;
    assert_eq!(harness.post_async(&example()).await, 1);
    for _ in 0..3 {
        let answer = harness.post(&example()).await;
        answer.assert_problem(503, "too many orders are under way; nothing was written");
        assert_eq!((answer.header("retry-after"), &answer.body["type"]), (Some("1"), &json!("/problems/overloaded")));
    }
    assert_eq!((harness.order_count().await, harness.service.outbox_len().await), (1, 1));
    // An order that is under way can still be cancelled.
    assert_eq!(harness.cancel(1).await.status, 202);
    harness.inventory.consume().await;
    harness.payment.consume().await;
    until("there is room again", async || harness.service.outbox_len().await == 0).await;
    let again = async |harness: &Harness| {
        answer(harness.posting(&example()).header("prefer", "respond-async")).await.status == 202
    };
    until("new orders are taken", async || again(&harness).await).await;
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn one_waiting_request_too_many_is_refused_and_not_written(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut plan = Plan::default();
    plan.work.max_waiting = 1;
    let harness = Harness::start_with(database, plan).await;
    // The engine waits for the lock, and the one request that may wait waits for the engine.
    let other_process = harness.service.another_writer().await;
    let lock = other_process.begin().await.unwrap();
    let mut posts: FuturesUnordered<_> =
        (0..5).map(|_| answer(harness.posting(&example()).header("prefer", "respond-async"))).collect();
    for _ in 0..4 {
        let refused = posts.next().await.unwrap();
        refused.assert_problem(503, "there is more to do than can be done; nothing was written");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(refused.body["type"], "/problems/overloaded");
    }
    lock.rollback().await.unwrap();
    assert_eq!(posts.next().await.unwrap().status, 202);
    assert_eq!(harness.order_count().await, 1);
    other_process.close().await;
    drop(posts);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn too_many_lists_at_a_time_are_refused_and_single_orders_are_not(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start(database).await;
    let (id, _) = harness.place().await;
    let database = harness.service.database.clone();
    let mut lists = Vec::new();
    while let Ok(list) = database.list_reader().await {
        lists.push(list);
    }
    let answer = harness.get("/api/v1/orders/").await;
    answer.assert_problem(503, "too many lists are being read; nothing was read");
    assert_eq!((answer.header("retry-after"), &answer.body["type"]), (Some("1"), &json!("/problems/overloaded")));
    assert_eq!(harness.get(&format!("/api/v1/orders/{id}")).await.status, 200);
    drop(lists);
    assert_eq!(harness.get("/api/v1/orders/").await.status, 200);
    harness.remaining_events().await;
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_stop_answers_who_waits_and_finishes_what_was_taken(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let postings: Vec<_> = (0..3).map(|_| tokio::spawn(answer(harness.posting(&example())))).collect();
    for _ in 0..3 {
        harness.inventory.receive(EventType::OrderCreated).await;
    }
    let address = harness.service.http.address();
    let service = harness.service.take_service();
    within_timeout("the service stops", stop(vec![service], TIMEOUT * 10)).await;
    for posting in postings {
        let answer = posting.await.unwrap();
        assert_eq!((answer.status, &answer.body["status"]), (202, &json!("PENDING")));
        assert!(answer.header("location").is_some() && answer.header("retry-after").is_some());
    }
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
    assert_eq!(harness.order_count().await, 3);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_stop_waits_until_all_is_published_and_goes_on_listening_until_then(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut harness = Harness::start_with(database, Plan { peers_consume: false, ..Plan::default() }).await;
    harness.inventory.consume().await;
    let (id, created) = harness.place().await;
    harness.cancel(id).await;
    for _ in 0..20 {
        harness.post_async(&example()).await;
    }
    // Payment does not consume yet, so the request to cancel is not confirmed.
    let address = harness.service.http.address();
    let service = harness.service.take_service();
    let stopping = tokio::spawn(stop(vec![service], TIMEOUT * 10));
    until("it takes nothing new", async || TcpStream::connect(address).await.is_err()).await;
    // The outboxes of the other services become empty only if it continues to consume.
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    assert!(!stopping.is_finished());
    harness.payment.consume().await;
    within_timeout("the service stops", stopping).await.unwrap();
    assert_eq!((harness.order_count().await, harness.service.outbox_len().await), (21, 0));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_stop_with_a_short_timeout_still_answers_what_is_being_committed(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let mut plan = Plan::default();
    plan.work.max_waiting = 1;
    let mut harness = Harness::start_with(database, plan).await;
    let other_process = harness.service.another_writer().await;
    let lock = other_process.begin().await.unwrap();
    let post = || tokio::spawn(answer(harness.posting(&example())));
    let mut posts = FuturesUnordered::from_iter([post(), post()]);
    // One is refused, so the other is being committed.
    assert_eq!(posts.next().await.unwrap().unwrap().status, 503);
    let address = harness.service.http.address();
    let service = harness.service.take_service();
    let stopping = tokio::spawn(stop(vec![service], Duration::from_millis(200)));
    until("it takes nothing new", async || TcpStream::connect(address).await.is_err()).await;
    assert!(!stopping.is_finished());
    lock.rollback().await.unwrap();
    let answer = within_timeout("an answer", posts.next()).await.unwrap().unwrap();
    assert_eq!((answer.status, &answer.body["order_id"]), (202, &json!(1)));
    within_timeout("the service stops", stopping).await.unwrap();
    assert_eq!(harness.order_count().await, 1);
    other_process.close().await;
    // Its event may or may not have been published in time; if not, the next start publishes it.
    harness.service.finish_stopped().await;
}
