//! Two replicas on one database. At the broker of these tests only the first one consumes: whatever the clients of the
//! second wait for happens at the first.

use std::time::Duration;

use reqwest::{Method, Response};
use saga_database::Database;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use service_host::service::stop;
use shared_events::{EventBody, EventType};
use testkit::service::{DatabaseKind::Postgres, HttpClient, TIMEOUT, answer, until, within_timeout};

use crate::harness::{Harness, example};

#[tokio::test]
async fn who_waits_at_one_replica_is_woken_by_the_other() {
    let mut harness = Harness::start(Postgres).await;
    let (second, address) = harness.replica().await;
    for id in 1..=3 {
        let http = HttpClient::new(address);
        let posting = tokio::spawn(async move { http.post("/api/v1/orders/", &example()).await });
        let created = harness.inventory.receive_about(id, EventType::OrderCreated).await;
        harness.inventory.publish(&created, EventBody::StockReserved).await;
        harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
        let answer = within_timeout("an answer", posting).await.unwrap();
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("CONFIRMED")), "{answer:?}");
    }
    harness.remaining_events().await;
    stop(vec![second], TIMEOUT).await;
    harness.finish().await;
}

#[tokio::test]
async fn who_watches_one_replica_sees_what_the_other_does() {
    let mut harness = Harness::start(Postgres).await;
    let (second, address) = harness.replica().await;
    let stream = HttpClient::new(address).request(Method::GET, "/api/v1/orders/stream");
    let mut stream = within_timeout("the stream begins", stream.send()).await.unwrap();
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
    within_timeout("a change is seen", async {
        tokio::select! { () = seen => {}, () = placing => {} }
    })
    .await;
    drop(stream);
    stop(vec![second], TIMEOUT).await;
    harness.remaining_events().await;
    harness.finish().await;
}

#[tokio::test]
async fn one_key_at_two_replicas_is_one_order() {
    let mut harness = Harness::start(Postgres).await;
    let (second, address) = harness.replica().await;
    let mut body = example();
    body["idempotency_key"] = json!("the key");
    let (one, other) = (harness.service.http.clone(), HttpClient::new(address));
    let requests = (0..40).map(|number| {
        let (http, body) = ([&one, &other][number % 2].clone(), body.clone());
        tokio::spawn(async move { http.post("/api/v1/orders/", &body).await })
    });
    let requests: Vec<_> = requests.collect();
    let created = harness.inventory.receive(EventType::OrderCreated).await;
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    for request in requests {
        let answer = within_timeout("an answer", request).await.unwrap();
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("CONFIRMED")), "{answer:?}");
        assert_eq!(answer.body["order_id"], created.event.order.order_id.0);
    }
    assert_eq!(harness.order_count().await, 1);
    harness.remaining_events().await;
    stop(vec![second], TIMEOUT).await;
    harness.finish().await;
}

#[tokio::test]
async fn a_replica_takes_over_what_the_other_leaves() {
    let mut harness = Harness::start(Postgres).await;
    let second = harness.replica().await;
    let (first, _) = harness.place().await;
    harness.service.replace(second).await;
    let (next, created) = harness.place().await;
    assert_eq!(next, first + 1);
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    harness.payment.publish(&created, EventBody::PaymentAuthorized).await;
    until("it is confirmed", async || harness.status(next).await.0 == "CONFIRMED").await;
    harness.remaining_events().await;
    harness.finish().await;
}

/// As after a restore of the data alone, or a failover by logical replication.
#[tokio::test]
async fn a_sequence_that_is_behind_its_table_is_set_right_and_overwrites_nothing() {
    let mut harness = Harness::start(Postgres).await;
    let (second, address) = harness.replica().await;
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.push(harness.place().await.0);
    }
    let before = harness.get("/api/v1/orders/").await.body;
    let other_process = harness.service.another_writer().await;
    let writer = other_process.begin().await.unwrap();
    let back = "SELECT setval(pg_get_serial_sequence('orders', 'order_id'), 1, false)";
    writer.execute_unprepared(back).await.unwrap();
    writer.commit().await.unwrap();
    // At both replicas at the same time.
    let mut body = example();
    body["quantity"] = json!(1);
    let (one, other) = (harness.service.http.clone(), HttpClient::new(address));
    let posts = (0..20).map(|number| {
        let (http, body) = ([&one, &other][number % 2].clone(), body.clone());
        tokio::spawn(async move {
            let request = http.request(Method::POST, "/api/v1/orders/");
            answer(request.header("prefer", "respond-async").json(&body)).await
        })
    });
    for post in posts.collect::<Vec<_>>() {
        let answer = within_timeout("an answer", post).await.unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        placed.push(answer.body["order_id"].as_i64().unwrap());
    }
    placed.sort_unstable();
    placed.dedup();
    assert_eq!(placed.len(), 25, "each order has a number of its own");
    let after = harness.get("/api/v1/orders/?limit=5").await.body;
    assert_eq!(after, before, "those that were there are as they were");
    stop(vec![second], TIMEOUT).await;
    harness.remaining_events().await;
    harness.finish().await;
}

/// A stream of events, read as far as the test has asked.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(http: &HttpClient) -> Self {
        let request = http.request(Method::GET, "/api/v1/orders/stream");
        Self { response: within_timeout("the stream begins", request.send()).await.unwrap(), text: String::new() }
    }

    /// The next order.
    async fn next(&mut self) -> Value {
        within_timeout("an event", async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                    self.text = rest.to_owned();
                    match data {
                        Some(data) => return serde_json::from_str(&data).unwrap(),
                        None => continue,
                    }
                }
                self.text.push_str(std::str::from_utf8(&self.response.chunk().await.unwrap().unwrap()).unwrap());
            }
        })
        .await
    }

    /// Reads until the order `id` has this status; returns what the stream showed of that order.
    async fn until(&mut self, id: i64, status: &str) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let order = self.next().await;
            if order["order_id"] == id {
                let found = order["status"] == status;
                seen.push(order);
                if found {
                    return seen;
                }
            }
        }
    }
}

/// Puts a gate in front of the table: a session of the read pool that has begun to read waits at it, and reads what was
/// there when it began. (Those of the engine have other settings, and pass.)
const GATE: &str = "
    ALTER TABLE orders RENAME TO all_orders;
    CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN
        IF current_setting('plan_cache_mode') = 'auto' THEN
            PERFORM pg_advisory_lock_shared(4711);
            PERFORM pg_advisory_unlock_shared(4711);
        END IF;
        RETURN true;
    END $$;
    CREATE VIEW orders AS SELECT * FROM all_orders WHERE (SELECT gate());";

async fn count(database: &Database, sql: &str) -> i64 {
    let row = database.begin().await.unwrap();
    let counted = row.query_one_raw(sea_orm::Statement::from_string(database.backend(), sql)).await.unwrap();
    counted.unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn a_stream_shows_nothing_that_is_older_than_what_it_has_shown() {
    let mut harness = Harness::start(Postgres).await;
    let (second, address) = harness.replica().await;
    let mut stream = Stream::open(&HttpClient::new(address)).await;
    let (id, created) = harness.place().await;
    // The two replicas know of each other once a change at the first is seen at the second.
    let mut steps = tokio::time::interval(Duration::from_millis(50));
    within_timeout("a change is seen", async {
        loop {
            tokio::select! {
                _ = stream.next() => break,
                _ = steps.tick() => drop(harness.post_async(&example()).await),
            }
        }
    })
    .await;
    let other_process = harness.service.another_writer().await;
    other_process.reader().execute_unprepared(GATE).await.unwrap();
    let closed = other_process.begin().await.unwrap();
    closed.execute_unprepared("SELECT pg_advisory_xact_lock(4711)").await.unwrap();

    // The second replica was notified of a change at the first, and has begun to read it …
    harness.inventory.publish(&created, EventBody::StockReserved).await;
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted";
    within_timeout("it reads", async { while count(&other_process, waiting).await == 0 {} }).await;
    // … when it makes the next one itself.
    let cancelling = HttpClient::new(address).request(Method::POST, &format!("/api/v1/orders/{id}/cancel"));
    assert_eq!(answer(cancelling).await.status, 202);
    let before = stream.until(id, "COMPENSATING").await;
    closed.rollback().await.unwrap();
    harness.inventory.publish(&created, EventBody::StockReleased).await;
    harness.payment.publish(&created, EventBody::PaymentVoided).await;
    let after = stream.until(id, "CANCELLED").await;

    let statuses: Vec<&str> = before.iter().chain(&after).filter_map(|order| order["status"].as_str()).collect();
    let versions: Vec<i64> = before.iter().chain(&after).filter_map(|order| order["version"].as_i64()).collect();
    assert_eq!(versions.len(), statuses.len());
    assert!(versions.is_sorted_by(|earlier, later| earlier < later), "{versions:?}");
    let compensating = statuses.iter().position(|status| *status == "COMPENSATING").unwrap();
    assert!(!statuses[compensating..].contains(&"PENDING"), "{statuses:?}");
    drop((stream, other_process));
    stop(vec![second], TIMEOUT).await;
    harness.remaining_events().await;
    harness.finish().await;
}

#[tokio::test]
async fn who_comes_to_watch_while_a_change_is_being_saved_is_shown_it() {
    let mut harness = Harness::start(Postgres).await;
    let other_process = harness.service.another_writer().await;
    let busy = other_process.begin().await.unwrap();
    busy.execute_unprepared("LOCK TABLE order_events IN EXCLUSIVE MODE").await.unwrap();
    let posting = harness.posting(&example()).header("prefer", "respond-async");
    let posting = tokio::spawn(answer(posting));
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'order_events'::regclass AND NOT granted";
    within_timeout("it is being saved", async { while count(&other_process, waiting).await == 0 {} }).await;
    let mut stream = Stream::open(&harness.service.http).await;
    busy.rollback().await.unwrap();
    let placed = within_timeout("it is placed", posting).await.unwrap().body;
    assert_eq!(stream.next().await, placed);
    drop((stream, other_process));
    harness.remaining_events().await;
    harness.finish().await;
}
