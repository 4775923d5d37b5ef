//! What is reserved over REST expires, if that is set, whoever crashes and however many replicas there are.

use futures::future::join_all;
use rstest::rstest;
use serde_json::{Value, json};
use service_host::service::stop;
use shared_events::EventBody;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    HttpClient, TIMEOUT, execute, until,
};

use crate::{harness::Harness, saga::order};

/// What is reserved is due almost at once.
const AT_ONCE: [&str; 2] = ["--reservation-expiry", "1ms"];
/// Longer than any test takes.
const LATER: [&str; 2] = ["--reservation-expiry", "1h"];

async fn all_released(inventory: &Harness, sku: &str, units: i64) {
    until("all is available again", async || inventory.units(sku).await == (units, 0, 0)).await;
}

#[rstest]
#[tokio::test]
async fn a_reservation_of_a_client_expires(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start_with(database, &AT_ONCE).await;
    inventory.stock("A", 10).await;
    let held = order(41, &[("A", 1)]);
    inventory.publish(held.0, &held.1, EventBody::OrderCreated).await;
    let reserved = inventory.reserve("A", 2).await;
    assert!(reserved["expires_at"].is_string(), "{reserved}");
    // What is held for the order stays, however often the timer ticks.
    until("it has expired", async || inventory.units("A").await == (9, 1, 0)).await;
    let one = inventory.get(&format!("/api/v1/reservations/{}", reserved["reservation_id"])).await.body;
    assert_eq!((&one["status"], one.get("expires_at")), (&json!("RELEASED"), None));
    let release = json!({"reservation_id": reserved["reservation_id"]});
    inventory.post("/api/v1/stock/release", &release).await.assert_problem(400, "reservation already released");
    inventory.received().await;
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_reservation_is_held_until_then(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start_with(database, &LATER).await;
    inventory.stock("A", 10).await;
    let (kept, released) = (inventory.reserve("A", 2).await, inventory.reserve("A", 3).await);
    let shown = inventory.get(&format!("/api/v1/reservations/{}", kept["reservation_id"])).await.body;
    assert_eq!((&shown["status"], &shown["expires_at"]), (&json!("HELD"), &kept["expires_at"]));
    let answer = inventory.post("/api/v1/stock/release", &released).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // As if the hour were over for both; only one is still held.
    let overdue = format!("UPDATE reservations SET wake_at = 1 WHERE reservation_id = {}", kept["reservation_id"]);
    assert_eq!(inventory.units("A").await, (8, 2, 0));
    execute(inventory.service.observer(), &overdue).await;
    all_released(&inventory, "A", 10).await;
    inventory.received().await;
    inventory.finish().await;
}

#[rstest]
#[tokio::test]
async fn without_the_setting_nothing_expires(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let inventory = Harness::start(database).await;
    inventory.stock("A", 10).await;
    assert_eq!(inventory.reserve("A", 2).await.get("expires_at"), None);
    let reservations = inventory.reservations().await;
    assert_eq!(reservations[0].wake_at, None, "the timer never looks at it");
    inventory.finish().await;
}

/// A client that releases at the same time, crashes of the service at any point, and requests meanwhile: each
/// reservation is released exactly once.
#[rstest]
#[tokio::test]
async fn what_expires_is_released_once_whatever_crashes(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let mut inventory = Harness::start_with(database, &AT_ONCE).await;
    for sku in ["A", "B"] {
        inventory.stock(sku, 1_000).await;
    }
    for round in 0..6 {
        let requests = (0..40).map(|number| {
            let (http, sku) = (inventory.service.http.clone(), ["A", "B"][number % 2]);
            tokio::spawn(async move {
                let reserved = http.post("/api/v1/stock/reserve", &json!({"item_sku": sku, "quantity": 3})).await;
                if number % 4 < 2 {
                    let released = http.post("/api/v1/stock/release", &reserved.body).await;
                    assert!([200, 400].contains(&released.status), "{released:?}");
                }
            })
        });
        let requests: Vec<_> = requests.collect();
        if round % 2 == 0 {
            join_all(requests).await.into_iter().for_each(Result::unwrap);
            inventory.service.restart().await;
        } else {
            // The clients of the crashed service get no answer, or a refusal.
            inventory.service.restart().await;
            drop(join_all(requests).await);
        }
    }
    for sku in ["A", "B"] {
        all_released(&inventory, sku, 1_000).await;
    }
    inventory.finish().await;
}

#[tokio::test]
async fn two_replicas_release_what_expires_once() {
    let inventory = Harness::start_with(Postgres, &AT_ONCE).await;
    let (second, address) = inventory.service.start_on(inventory.service.another_writer().await).await;
    inventory.stock("A", 5_000).await;
    let clients = [inventory.service.http.clone(), HttpClient::new(address)];
    let requests = (0..300).map(|number| {
        let (http, other) = (clients[number % 2].clone(), clients[(number + 1) % 2].clone());
        tokio::spawn(async move {
            let reserved = http.post("/api/v1/stock/reserve", &json!({"item_sku": "A", "quantity": 7})).await;
            assert_eq!(reserved.status, 200, "{reserved:?}");
            if number % 3 == 0 {
                let released = other.post("/api/v1/stock/release", &reserved.body).await;
                assert!([200, 400].contains(&released.status), "{released:?}");
            }
        })
    });
    for request in join_all(requests.collect::<Vec<_>>()).await {
        request.unwrap();
    }
    all_released(&inventory, "A", 5_000).await;
    let released = inventory.get("/api/v1/reservations?limit=1000").await.body;
    let statuses: Vec<&Value> = released.as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, vec![&json!("RELEASED"); 300]);
    stop(vec![second], TIMEOUT).await;
    inventory.finish().await;
}

/// A damaged item postpones what expires of it, and nothing else.
#[rstest]
#[tokio::test]
async fn an_expired_reservation_of_a_damaged_item_holds_up_no_other(
    #[values(Sqlite, Postgres)] database: DatabaseKind,
) {
    let inventory = Harness::start_with(database, &LATER).await;
    for sku in ["A", "B"] {
        inventory.stock(sku, 10).await;
        inventory.reserve(sku, 2).await;
    }
    let database = inventory.service.observer();
    let damage = "UPDATE stock_items SET held = 1, received = 9 WHERE sku = 'A';
        UPDATE reservations SET wake_at = reservation_id";
    execute(database, damage).await;
    all_released(&inventory, "B", 10).await;
    let first = &inventory.reservations().await[0];
    assert!(first.expires_at().is_some_and(|at| at.unix_micros() > 1), "it is postponed: {first:?}");
    let repair = "UPDATE stock_items SET held = 2, received = 10 WHERE sku = 'A';
        UPDATE reservations SET wake_at = 1 WHERE reservation_id = 1";
    execute(database, repair).await;
    all_released(&inventory, "A", 10).await;
    inventory.finish().await;
}
