//! Watching orders: server-sent events.

use std::{collections::HashSet, num::NonZeroUsize};

use reqwest::{Method, RequestBuilder, Response, header::HeaderValue};
use rstest::rstest;
use serde_json::{Value, json};
use shared_events::EventBody;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    HttpClient, TIMEOUT, within_timeout,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

use crate::harness::{Harness, Plan, example};

pub(crate) struct Watcher {
    response: Response,
    text: String,
    /// The `id` that was received last, as a browser remembers it.
    pub(crate) last: Option<String>,
    /// The first `id` that was received.
    pub(crate) first: Option<String>,
}

impl Watcher {
    async fn begin(harness: &Harness) -> Self {
        Self::of(harness.request(Method::GET, "/api/v1/orders/stream")).await
    }

    /// Reconnects as a browser does.
    async fn resume(harness: &Harness, last: &str) -> Self {
        let request = harness.request(Method::GET, "/api/v1/orders/stream");
        Self::of(request.header("last-event-id", last)).await
    }

    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = within_timeout("the stream begins", request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new(), last: None, first: None }
    }

    /// Reads the id that the stream begins with, and leaves.
    async fn leave_at_once(mut self) -> String {
        while self.last.is_none() {
            let chunk = within_timeout("an id", self.response.chunk()).await.unwrap().unwrap();
            let text = std::str::from_utf8(&chunk).unwrap();
            self.last = text.lines().find_map(|line| line.strip_prefix("id: ")).map(str::to_owned);
        }
        self.last.unwrap()
    }

    /// The numbers and versions of the next `count` orders.
    async fn orders(&mut self, count: usize) -> Vec<(i64, i64)> {
        let mut orders = Vec::new();
        for _ in 0..count {
            let (name, order) = self.next().await.unwrap();
            assert_eq!(name, "order", "{order}");
            orders.push((order["order_id"].as_i64().unwrap(), order["version"].as_i64().unwrap()));
        }
        orders
    }

    /// The next event's name and data; `None` at the end of the stream. Comments, which keep the connection open, are
    /// skipped.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        // Comments keep coming, so the timeout covers the whole event and not a chunk.
        within_timeout("an event", self.read()).await
    }

    async fn read(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let (name, data, id) = (field("event: "), field("data: "), field("id: "));
                self.first = self.first.take().or_else(|| id.clone());
                self.last = id.or_else(|| self.last.take());
                self.text = rest.to_owned();
                if let (Some(name), Some(data)) = (name, data) {
                    return Some((name, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[rstest]
#[tokio::test]
async fn each_change_of_an_order_is_an_event(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let (unwatched, _) = harness.place().await;
    let (mut one, mut other) = (Watcher::begin(&harness).await, Watcher::begin(&harness).await);
    let (id, created) = harness.place().await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    // An event that changes nothing is not shown.
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    harness.cancel(unwatched).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (name, order) = one.next().await.unwrap();
        assert_eq!(name, "order");
        seen.push((order["order_id"].as_i64().unwrap(), order["status"].as_str().unwrap().to_owned()));
        assert_eq!(other.next().await.unwrap(), (name, order));
    }
    let expected = [(id, "PENDING"), (id, "PENDING"), (id, "CONFIRMED"), (unwatched, "COMPENSATING")];
    assert_eq!(seen, expected.map(|(id, status)| (id, status.to_owned())));
    drop((one, other));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_last_event_is_the_order_as_it_is_shown(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let mut watcher = Watcher::begin(&harness).await;
    let (id, _) = harness.place().await;
    assert_eq!(watcher.next().await.unwrap(), ("order".to_owned(), harness.order(id).await));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_stream_ends_when_the_service_stops(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let mut watcher = Watcher::begin(&harness).await;
    let service = harness.service.take_service();
    within_timeout("a watcher does not hold the stop up", service_host::service::stop(vec![service], TIMEOUT * 10))
        .await;
    assert_eq!(watcher.next().await, None);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let mut other = Watcher::begin(&harness).await;
    let mut watcher = Watcher::begin(&harness).await;
    let (id, created) = harness.place().await;
    assert_eq!(watcher.orders(1).await, [(id, 1)]);
    let last = watcher.last.clone().unwrap();
    drop(watcher);
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    // The other one has seen them, so they are there to be resumed from.
    assert_eq!(other.orders(3).await, [(id, 1), (id, 2), (id, 3)]);
    let mut resumed = Watcher::resume(&harness, &last).await;
    assert_eq!(resumed.orders(2).await, [(id, 2), (id, 3)]);
    assert_eq!(resumed.last, other.last);
    // It goes on with what happens from now on, and once more after the next interruption.
    let (next, _) = harness.place().await;
    assert_eq!(resumed.orders(1).await, [(next, 1)]);
    let mut again = Watcher::resume(&harness, &other.last.clone().unwrap()).await;
    assert_eq!(again.orders(1).await, [(next, 1)]);
    drop((other, resumed, again));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_only_client_resumes_also_if_it_never_got_an_event(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let last = Watcher::begin(&harness).await.leave_at_once().await;
    let (first, _) = harness.place().await;
    let (second, _) = harness.place().await;
    let mut resumed = Watcher::resume(&harness, &last).await;
    assert_eq!(resumed.orders(2).await, [(first, 1), (second, 1)]);
    drop(resumed);
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn changes_that_are_no_longer_kept_are_missed(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut plan = Plan::default();
    plan.order.stream_history = NonZeroUsize::new(3).unwrap();
    let mut harness = Harness::start_with(database, plan).await;
    let last = Watcher::begin(&harness).await.leave_at_once().await;
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.push((harness.place().await.0, 1));
    }
    let mut resumed = Watcher::resume(&harness, &last).await;
    assert_eq!(resumed.next().await.unwrap(), ("missed".to_owned(), json!(2)));
    // Also who comes back with the id of that event gets the rest.
    let missed = resumed.last.clone().unwrap();
    let mut once_more = Watcher::resume(&harness, &missed).await;
    assert_eq!(resumed.orders(3).await, placed[2..]);
    assert_eq!(once_more.orders(3).await, placed[2..]);
    drop((resumed, once_more));
    harness.finish().await;
}

#[rstest]
#[tokio::test]
async fn whoever_cannot_resume_is_told_and_goes_on(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut harness = Harness::start(database).await;
    let here = Watcher::begin(&harness).await.leave_at_once().await;
    let (series, _) = here.split_once('-').unwrap();
    let ahead = format!("{series}-7");
    let (placed, _) = harness.place().await;
    let restarted = Harness::start(Sqlite).await;
    let of_another_process = Watcher::begin(&restarted).await.leave_at_once().await;
    restarted.finish().await;
    let not_text = HeaderValue::from_bytes(b"\xff").unwrap();
    // The ids of earlier versions were the numbers of the orders.
    let ids = [&of_another_process, &ahead, "", "-", "1", series, "garbage", "-1", "\t"].map(HeaderValue::from_str);
    for id in ids.into_iter().map(Result::unwrap).chain([not_text]) {
        let request = harness.request(Method::GET, "/api/v1/orders/stream").header("last-event-id", &id);
        let mut watcher = Watcher::of(request).await;
        assert_eq!(watcher.next().await.unwrap(), ("missed".to_owned(), json!(0)), "{id:?}");
        let mut resumed = Watcher::resume(&harness, &watcher.last.clone().unwrap()).await;
        let (next, _) = harness.place().await;
        assert!(next > placed);
        assert_eq!(watcher.orders(1).await, [(next, 1)], "{id:?}");
        assert_eq!(resumed.orders(1).await, [(next, 1)], "{id:?}");
    }
    harness.finish().await;
}

#[tokio::test]
async fn a_position_at_one_replica_is_none_at_another() {
    let harness = Harness::start(Postgres).await;
    let (second, address) = harness.replica().await;
    let last = Watcher::begin(&harness).await.leave_at_once().await;
    let request = HttpClient::new(address).request(Method::GET, "/api/v1/orders/stream");
    let mut resumed = Watcher::of(request.header("last-event-id", last)).await;
    assert_eq!(resumed.next().await.unwrap(), ("missed".to_owned(), json!(0)));
    drop(resumed);
    service_host::service::stop(vec![second], TIMEOUT).await;
    harness.finish().await;
}

/// A client that does not read: the server's buffers fill up, and no others.
#[rstest]
#[tokio::test]
async fn a_client_that_is_too_slow_is_told_what_it_missed(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut plan = Plan::default();
    plan.order.stream_history = NonZeroUsize::new(10).unwrap();
    let harness = Harness::start_with(database, plan).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut slow = within_timeout("a connection", socket.connect(harness.service.http.address())).await.unwrap();
    slow.write_all(b"GET /api/v1/orders/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut text = vec![0; 1];
    within_timeout("an answer", slow.read_exact(&mut text)).await.unwrap();
    // Each event has about 5 KB.
    let lines: Vec<_> =
        (0..100).map(|number| json!({"item_sku": format!("SKU-{number:030}"), "quantity": 1})).collect();
    let body = json!({"items": lines, "amount": 1, "currency": "USD"});
    let count = 1_000;
    for _ in 0..count / 50 {
        futures::future::join_all((0..50).map(|_| harness.post_async(&body))).await;
    }
    let last = harness.post_async(&example()).await;
    let end = format!("\"order_id\":{last},");
    within_timeout("the last order", async {
        let mut chunk = vec![0; 65_536];
        while !String::from_utf8_lossy(&text[text.len().saturating_sub(70_000)..]).contains(&end) {
            let length = slow.read(&mut chunk).await.unwrap();
            assert_ne!(length, 0, "the stream does not end");
            text.extend_from_slice(&chunk[..length]);
        }
    })
    .await;
    let text = String::from_utf8(text).unwrap();
    let after = |what: &'static str| text.split(what).skip(1);
    let missed: Vec<u64> =
        after("event: missed\ndata: ").map(|rest| rest.split('\n').next().unwrap().parse().unwrap()).collect();
    let ids = after("event: order\n").count();
    let distinct: HashSet<_> =
        after("\"order_id\":").map(|rest| rest.split(',').next().unwrap().parse::<i64>().unwrap()).collect();
    assert!(!missed.is_empty());
    assert_eq!(distinct.len(), ids, "nothing is repeated");
    assert_eq!(missed.iter().sum::<u64>() + ids as u64, count + 1);
    drop(slow);
    harness.finish().await;
}
