//! Too much to do, a database that is locked, and the end of the service.

use std::time::Duration;

use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::json;
use service_host::service::stop;
use shared_events::{EventBody, EventType};
use tokio::net::TcpStream;

use crate::{
    harness::{Harness, Plan, answer, example},
    peer::{SOON, soon},
};

#[tokio::test]
async fn too_many_unpublished_events_are_too_many_for_a_new_order() {
    let mut plan = Plan { neighbours_listen: false, ..Plan::default() };
    plan.work.max_backlog = 0;
    let mut harness = Harness::with(plan).await;
    assert_eq!(harness.post_async(&example()).await, 1);
    for _ in 0..3 {
        let answer = harness.post(&example()).await;
        answer.assert_problem(503, "too many orders are under way; nothing was written");
        assert_eq!((answer.header("retry-after"), &answer.body["type"]), (Some("1"), &json!("/problems/overloaded")));
    }
    assert_eq!((harness.how_many_orders().await, harness.how_many_unpublished().await), (1, 1));
    // What is under way may still be undone.
    assert_eq!(harness.cancel(1).await.status, 202);
    harness.inventory.listen().await;
    harness.payment.listen().await;
    harness.until("there is room again", async |harness| harness.how_many_unpublished().await == 0).await;
    let again = async |harness: &Harness| {
        answer(harness.posting(&example()).header("prefer", "respond-async")).await.status == 202
    };
    harness.until("new orders are taken", again).await;
    harness.finish().await;
}

#[tokio::test]
async fn one_waiting_request_too_many_is_refused_and_not_written() {
    let mut plan = Plan::default();
    plan.work.max_waiting = 1;
    let harness = Harness::with(plan).await;
    // The engine waits for the lock, and the one request that may wait waits for the engine.
    let intruder = harness.intruder().await;
    let lock = intruder.begin().await.unwrap();
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
    assert_eq!(harness.how_many_orders().await, 1);
    intruder.close().await;
    drop(posts);
    harness.finish().await;
}

#[tokio::test]
async fn too_many_lists_at_a_time_are_refused_and_single_orders_are_not() {
    let mut harness = Harness::start().await;
    let (id, _) = harness.place().await;
    let database = harness.its_database.clone();
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
    harness.heard_besides().await;
    harness.finish().await;
}

#[tokio::test]
async fn a_stop_answers_who_waits_and_finishes_what_was_taken() {
    let mut harness = Harness::start().await;
    let postings: Vec<_> = (0..3).map(|_| tokio::spawn(answer(harness.posting(&example())))).collect();
    for _ in 0..3 {
        harness.inventory.hear(EventType::OrderCreated).await;
    }
    let service = harness.take_service();
    soon("the service stops", stop(vec![service], SOON * 10)).await;
    for posting in postings {
        let answer = posting.await.unwrap();
        assert_eq!((answer.status, &answer.body["status"]), (202, &json!("PENDING")));
        assert!(answer.header("location").is_some() && answer.header("retry-after").is_some());
    }
    assert!(TcpStream::connect(harness.address).await.is_err(), "nobody listens any more");
    assert_eq!(harness.how_many_orders().await, 3);
    harness.finish().await;
}

#[tokio::test]
async fn a_stop_waits_until_all_is_published_and_goes_on_listening_until_then() {
    let mut harness = Harness::with(Plan { neighbours_listen: false, ..Plan::default() }).await;
    harness.inventory.listen().await;
    let (id, created) = harness.place().await;
    harness.cancel(id).await;
    for _ in 0..20 {
        harness.post_async(&example()).await;
    }
    // Payment does not listen yet, so the wish to cancel is not published.
    let service = harness.take_service();
    let stopping = tokio::spawn(stop(vec![service], SOON * 10));
    harness.until("it takes nothing new", async |harness| TcpStream::connect(harness.address).await.is_err()).await;
    // Its replica_bus' outboxes empty only if it goes on listening.
    harness.inventory.say(&created, EventBody::StockReleased).await;
    assert!(!stopping.is_finished());
    harness.payment.listen().await;
    soon("the service stops", stopping).await.unwrap();
    assert_eq!((harness.how_many_orders().await, harness.how_many_unpublished().await), (21, 0));
    harness.finish().await;
}

#[tokio::test]
async fn an_impatient_stop_still_answers_what_is_being_committed() {
    let mut plan = Plan::default();
    plan.work.max_waiting = 1;
    let mut harness = Harness::with(plan).await;
    let intruder = harness.intruder().await;
    let lock = intruder.begin().await.unwrap();
    let post = || tokio::spawn(answer(harness.posting(&example())));
    let mut posts = FuturesUnordered::from_iter([post(), post()]);
    // One is refused, so the other is being committed.
    assert_eq!(posts.next().await.unwrap().unwrap().status, 503);
    let service = harness.take_service();
    let stopping = tokio::spawn(stop(vec![service], Duration::from_millis(200)));
    harness.until("it takes nothing new", async |harness| TcpStream::connect(harness.address).await.is_err()).await;
    assert!(!stopping.is_finished());
    lock.rollback().await.unwrap();
    let answer = soon("an answer", posts.next()).await.unwrap().unwrap();
    assert_eq!((answer.status, &answer.body["order_id"]), (202, &json!(1)));
    soon("the service stops", stopping).await.unwrap();
    assert_eq!(harness.how_many_orders().await, 1);
    intruder.close().await;
    // Its event was not published in the time that there was, or was just so; if not, the next start publishes it.
    harness.finish_as_it_is().await;
}
