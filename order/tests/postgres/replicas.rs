//! Two replicas on one database. The broker of these tests has one consumer, the first replica: whatever the second one's
//! clients wait for comes about at the first.

use std::time::Duration;

use reqwest::{Client, Method, Response};
use saga_database::Database;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use service_host::service::stop;
use shared_events::{EventBody, EventType};

use crate::{
    harness::{Answer, Harness, answer, example},
    peer::{SOON, soon},
};

async fn post(client: &Client, address: std::net::SocketAddr, body: &Value) -> Answer {
    answer(client.request(Method::POST, format!("http://{address}/api/v1/orders/")).json(body)).await
}

#[tokio::test]
async fn who_waits_at_one_replica_is_woken_by_the_other() {
    let mut harness = Harness::start().await;
    let (second, address) = harness.replica().await;
    for id in 1..=3 {
        let client = harness.client.clone();
        let posting = tokio::spawn(async move { post(&client, address, &example()).await });
        let created = harness.inventory.hear_of(id, EventType::OrderCreated).await;
        harness.inventory.say(&created, EventBody::StockReserved).await;
        harness.payment.say(&created, EventBody::PaymentAuthorized).await;
        let answer = soon("an answer", posting).await.unwrap();
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("CONFIRMED")), "{answer:?}");
    }
    harness.heard_besides().await;
    stop(vec![second], SOON).await;
    harness.finish().await;
}

#[tokio::test]
async fn who_watches_one_replica_sees_what_the_other_does() {
    let mut harness = Harness::start().await;
    let (second, address) = harness.replica().await;
    let stream = harness.client.get(format!("http://{address}/api/v1/orders/stream"));
    let mut stream = soon("the stream begins", stream.send()).await.unwrap();
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
    soon("a change is seen", async {
        tokio::select! { () = seen => {}, () = placing => {} }
    })
    .await;
    drop(stream);
    stop(vec![second], SOON).await;
    harness.heard_besides().await;
    harness.finish().await;
}

#[tokio::test]
async fn one_key_at_two_replicas_is_one_order() {
    let mut harness = Harness::start().await;
    let (second, address) = harness.replica().await;
    let mut body = example();
    body["idempotency_key"] = json!("the key");
    let requests = (0..40).map(|number| {
        let (client, body) = (harness.client.clone(), body.clone());
        let address = if number % 2 == 0 { address } else { harness.address };
        tokio::spawn(async move { post(&client, address, &body).await })
    });
    let requests: Vec<_> = requests.collect();
    let created = harness.inventory.hear(EventType::OrderCreated).await;
    harness.inventory.say(&created, EventBody::StockReserved).await;
    harness.payment.say(&created, EventBody::PaymentAuthorized).await;
    for request in requests {
        let answer = soon("an answer", request).await.unwrap();
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("CONFIRMED")), "{answer:?}");
        assert_eq!(answer.body["order_id"], created.event.order.order_id.0);
    }
    assert_eq!(harness.how_many_orders().await, 1);
    harness.heard_besides().await;
    stop(vec![second], SOON).await;
    harness.finish().await;
}

#[tokio::test]
async fn a_replica_takes_over_what_the_other_leaves() {
    let mut harness = Harness::start().await;
    let second = harness.replica().await;
    let (first, _) = harness.place().await;
    harness.replace(second).await;
    let (next, created) = harness.place().await;
    assert_eq!(next, first + 1);
    harness.inventory.say(&created, EventBody::StockReserved).await;
    harness.payment.say(&created, EventBody::PaymentAuthorized).await;
    harness.until("it is confirmed", async |harness| harness.status(next).await.0 == "CONFIRMED").await;
    harness.heard_besides().await;
    harness.finish().await;
}

/// As after a restore of the data alone, or a failover by logical replication.
#[tokio::test]
async fn a_sequence_that_is_behind_its_table_is_set_right_and_overwrites_nothing() {
    let mut harness = Harness::start().await;
    let (second, address) = harness.replica().await;
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.push(harness.place().await.0);
    }
    let before = harness.get("/api/v1/orders/").await.body;
    let intruder = harness.intruder().await;
    let writer = intruder.begin().await.unwrap();
    let back = "SELECT setval(pg_get_serial_sequence('orders', 'order_id'), 1, false)";
    writer.execute_unprepared(back).await.unwrap();
    writer.commit().await.unwrap();
    // At both replicas at the same time.
    let mut other = example();
    other["quantity"] = json!(1);
    let posts = (0..20).map(|number| {
        let (client, body) = (harness.client.clone(), other.clone());
        let address = if number % 2 == 0 { address } else { harness.address };
        tokio::spawn(async move {
            let request = client.request(Method::POST, format!("http://{address}/api/v1/orders/"));
            answer(request.header("prefer", "respond-async").json(&body)).await
        })
    });
    for post in posts.collect::<Vec<_>>() {
        let answer = soon("an answer", post).await.unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        placed.push(answer.body["order_id"].as_i64().unwrap());
    }
    placed.sort_unstable();
    placed.dedup();
    assert_eq!(placed.len(), 25, "each order has a number of its own");
    let after = harness.get("/api/v1/orders/?limit=5").await.body;
    assert_eq!(after, before, "those that were there are as they were");
    stop(vec![second], SOON).await;
    harness.heard_besides().await;
    harness.finish().await;
}

/// The events of a stream, as far as they were read.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(client: &Client, address: std::net::SocketAddr) -> Self {
        let request = client.get(format!("http://{address}/api/v1/orders/stream"));
        Self { response: soon("the stream begins", request.send()).await.unwrap(), text: String::new() }
    }

    /// The next order.
    async fn next(&mut self) -> Value {
        soon("an event", async {
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

    /// The next of the order `id` that has this status, and those of it before that.
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

/// Puts a gate in front of the table: a session of the read pool that has begun to read waits in it, and reads what was
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
    let mut harness = Harness::start().await;
    let (second, address) = harness.replica().await;
    let mut stream = Stream::open(&harness.client, address).await;
    let (id, created) = harness.place().await;
    // The two replicas know of each other once a change at the first is seen at the second.
    let mut steps = tokio::time::interval(Duration::from_millis(50));
    soon("a change is seen", async {
        loop {
            tokio::select! {
                _ = stream.next() => break,
                _ = steps.tick() => drop(harness.post_async(&example()).await),
            }
        }
    })
    .await;
    let intruder = harness.intruder().await;
    intruder.reader().execute_unprepared(GATE).await.unwrap();
    let closed = intruder.begin().await.unwrap();
    closed.execute_unprepared("SELECT pg_advisory_xact_lock(4711)").await.unwrap();

    // The second replica is told of a change at the first, and has begun to read it …
    harness.inventory.say(&created, EventBody::StockReserved).await;
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted";
    soon("it reads", async { while count(&intruder, waiting).await == 0 {} }).await;
    // … when it makes the next one itself.
    let cancelling = harness.client.post(format!("http://{address}/api/v1/orders/{id}/cancel"));
    assert_eq!(answer(cancelling).await.status, 202);
    let before = stream.until(id, "COMPENSATING").await;
    closed.rollback().await.unwrap();
    harness.inventory.say(&created, EventBody::StockReleased).await;
    harness.payment.say(&created, EventBody::PaymentVoided).await;
    let after = stream.until(id, "CANCELLED").await;

    let statuses: Vec<&str> = before.iter().chain(&after).filter_map(|order| order["status"].as_str()).collect();
    let versions: Vec<i64> = before.iter().chain(&after).filter_map(|order| order["version"].as_i64()).collect();
    assert_eq!(versions.len(), statuses.len());
    assert!(versions.is_sorted_by(|earlier, later| earlier < later), "{versions:?}");
    let compensating = statuses.iter().position(|status| *status == "COMPENSATING").unwrap();
    assert!(!statuses[compensating..].contains(&"PENDING"), "{statuses:?}");
    drop((stream, intruder));
    stop(vec![second], SOON).await;
    harness.heard_besides().await;
    harness.finish().await;
}

#[tokio::test]
async fn who_comes_to_watch_while_a_change_is_being_saved_is_shown_it() {
    let mut harness = Harness::start().await;
    let intruder = harness.intruder().await;
    let busy = intruder.begin().await.unwrap();
    busy.execute_unprepared("LOCK TABLE order_events IN EXCLUSIVE MODE").await.unwrap();
    let (client, address) = (harness.client.clone(), harness.address);
    let posting = tokio::spawn(async move {
        let posting = client.post(format!("http://{address}/api/v1/orders/")).json(&example());
        answer(posting.header("prefer", "respond-async")).await
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'order_events'::regclass AND NOT granted";
    soon("it is being saved", async { while count(&intruder, waiting).await == 0 {} }).await;
    let mut stream = Stream::open(&harness.client, harness.address).await;
    busy.rollback().await.unwrap();
    let placed = soon("it is placed", posting).await.unwrap().body;
    assert_eq!(stream.next().await, placed);
    drop((stream, intruder));
    harness.heard_besides().await;
    harness.finish().await;
}
