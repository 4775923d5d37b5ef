//! Kills the real program under load with SIGKILL at random moments, again and again, and also simulates power cuts.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{
    client::{Client, answer},
    process::Program,
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{power_cut::LossyDisk, program};

const CLIENTS: usize = 24;
const SKUS: u64 = 5;
/// Too little for all orders, so that some fail.
const IN_STOCK: i64 = 900;

/// The responses that clients got: the number of the order by the idempotency key of the request.
#[derive(Default)]
struct Responses {
    orders: Mutex<HashMap<String, i64>>,
    count: AtomicU64,
    changed: Notify,
}

impl Responses {
    fn record(&self, key: String, order_id: i64) {
        let before = self.orders.lock().unwrap().insert(key.clone(), order_id);
        assert!(before.is_none_or(|before| before == order_id), "{key} names order {before:?} and order {order_id}");
        self.count.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    async fn until(&self, count: u64) {
        loop {
            let changed = self.changed.notified();
            if self.count.load(Ordering::SeqCst) >= count {
                return;
            }
            changed.await;
        }
    }
}

/// Places orders until the program is killed. Some are declined, some are cancelled, and some are not waited for.
async fn customer(client: Client, responses: Arc<Responses>, name: String) {
    for number in 0_u64.. {
        let key = format!("{name}-{number}");
        let amount = if number % 7 == 3 { 5_000 } else { 100 + number };
        let body = json!({
            "items": [
                {"item_sku": format!("SKU-{}", number % SKUS), "quantity": 1 + number % 3},
                {"item_sku": format!("SKU-{}", (number + 1) % SKUS), "quantity": 1},
            ],
            "amount": amount, "currency": "USD", "idempotency_key": key,
        });
        let request = client.order(Method::POST, "/api/v1/orders/").json(&body);
        let request = if number % 3 == 0 { request.header("prefer", "respond-async") } else { request };
        let Ok((status, body)) = answer(request).await else { return };
        match status {
            StatusCode::OK | StatusCode::ACCEPTED => responses.record(key, body["order_id"].as_i64().unwrap()),
            // The program is stopping or overloaded, and has confirmed nothing.
            StatusCode::SERVICE_UNAVAILABLE => return,
            other => panic!("{other}: {body}"),
        }
        if number % 5 == 0 {
            let path = format!("/api/v1/orders/{}/cancel", body["order_id"]);
            let Ok((status, body)) = answer(client.order(Method::POST, &path)).await else { return };
            assert!(
                [StatusCode::ACCEPTED, StatusCode::CONFLICT, StatusCode::SERVICE_UNAVAILABLE].contains(&status),
                "{status}: {body}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_answered_survives_any_crash() {
    let directory = tempfile::tempdir().unwrap();
    survives(&program(), &directory.path().join("data"), 24, || {}).await;
}

/// After SIGKILL alone, written data is still in the system's cache, so it does not test that `synchronous=FULL` is
/// needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_answered_survives_a_power_cut() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let disk = LossyDisk::new(directory.path(), &data_dir);
    survives(&disk.under(program()), &data_dir, 12, || disk.power_cut()).await;
}

/// Crashes the program `rounds` times under load, calls `crashed` each time, and then checks that everything that was
/// confirmed still exists.
async fn survives(program: &Program, data_dir: &Path, rounds: usize, crashed: impl Fn()) {
    let responses = Arc::new(Responses::default());
    // The last eight bytes of a UUIDv7 are random.
    let mut random = u64::from_le_bytes(*Uuid::now_v7().as_bytes().last_chunk().unwrap());
    println!("seed of the random moments: {random}");

    for round in 0..rounds {
        let system = program.start(data_dir, &["--tick=200ms"]).unwrap();
        let client = Client::new(system.addresses).unwrap();
        if round == 0 {
            for sku in 0..SKUS {
                client.put_in_stock(&format!("SKU-{sku}"), IN_STOCK).await.unwrap();
            }
        }
        let customers: Vec<_> = (0..CLIENTS)
            .map(|number| tokio::spawn(customer(client.clone(), Arc::clone(&responses), format!("{round}-{number}"))))
            .collect();
        // The moment is measured in responses, so that a slow machine crashes as much in the middle of the work as a
        // fast one.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let answers = responses.count.load(Ordering::SeqCst) + 1 + (random >> 33) % 400;
        responses.until(answers).await;
        system.crash().unwrap();
        crashed();
        for customer in customers {
            customer.await.unwrap();
        }
    }

    let system = program.start(data_dir, &["--tick=200ms"]).unwrap();
    let client = Client::new(system.addresses).unwrap();
    let audit = program.verify(data_dir, "60s").unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    let orders = client.orders().await.unwrap();
    let by_id: HashMap<i64, &Value> = orders.iter().map(|order| (order["order_id"].as_i64().unwrap(), order)).collect();
    assert_eq!(by_id.len(), orders.len(), "an order is listed twice");
    let responses = responses.orders.lock().unwrap().clone();
    for (key, order_id) in &responses {
        let order = by_id.get(order_id).unwrap_or_else(|| panic!("order {order_id} ({key}) is lost"));
        let status = order["status"].as_str().unwrap();
        assert!(["CONFIRMED", "FAILED", "CANCELLED"].contains(&status), "order {order_id} is {status}");
    }
    let mut ids: Vec<_> = responses.values().collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), responses.len(), "two keys name one order");
    assert!(system.stop().unwrap().success());
    let audit = program.verify(data_dir, "0s").unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    println!(
        "{} orders answered, {} placed; {}",
        responses.len(),
        orders.len(),
        String::from_utf8_lossy(&audit.stdout)
    );
}
