//! Watching orders: server-sent events.

use reqwest::{Method, Response};
use rstest::rstest;
use serde_json::Value;
use shared_events::EventBody;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TIMEOUT, within_timeout,
};

use crate::harness::Harness;

struct Watcher {
    response: Response,
    text: String,
}

impl Watcher {
    async fn begin(harness: &Harness) -> Self {
        let request = harness.request(Method::GET, "/api/v1/orders/stream");
        let response = within_timeout("the stream begins", request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event's name and data; `None` at the end of the stream. Comments, which keep the connection open, are
    /// skipped.
    async fn next(&mut self) -> Option<(String, Value)> {
        // Comments keep coming, so the timeout covers the whole event and not a chunk.
        within_timeout("an event", self.read()).await
    }

    async fn read(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let (name, data) = (field("event: "), field("data: "));
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
