//! A running order service, its clients, and inventory and payment as a test plays them.

use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};

use order::{Migrator, OrderSettings};
use reqwest::{Method, RequestBuilder};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use service_host::{
    service::{RunningService, ServiceDeps},
    settings::WorkSettings,
};
use shared_events::{Envelope, EventBody, EventType, Service};
use testkit::service::{Answer, DatabaseKind, Peer, ServiceHarness, TIMEOUT, TestKey, TestedService, answer};
use tokio::net::TcpListener;

/// The settings of a test's service. By default its waits and deadlines are longer than any test takes.
pub(crate) struct Plan {
    pub(crate) order: OrderSettings,
    pub(crate) work: WorkSettings,
    /// Whether inventory and payment consume from the start.
    pub(crate) peers_consume: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            order: OrderSettings {
                order_wait: TIMEOUT,
                order_deadline: Duration::from_secs(600),
                cancel_repeat: Duration::from_secs(600),
                cancel_repeat_longest: Duration::from_secs(600),
                stream_history: NonZeroUsize::new(1_000).unwrap(),
            },
            work: WorkSettings {
                max_events_per_message: 128,
                max_batch: 512,
                max_waiting: 4_096,
                max_backlog: 50_000,
                prefetch: 256,
                tick: Duration::from_millis(20),
                inbox_retention: Duration::from_secs(600),
                shutdown_delay: Duration::ZERO,
                drain_timeout: TIMEOUT,
            },
            peers_consume: true,
        }
    }
}

impl TestedService for Plan {
    type Migrator = Migrator;
    const SERVICE: Service = Service::Order;

    fn work(&self) -> &WorkSettings {
        &self.work
    }

    async fn start(&self, deps: ServiceDeps, listener: TcpListener) -> anyhow::Result<RunningService> {
        order::start(&self.order, deps, listener.into()).await
    }
}

/// A running service, and everything around it. A test ends with [`Harness::finish`], which checks what is left.
pub(crate) struct Harness {
    pub(crate) service: ServiceHarness<Plan>,
    pub(crate) inventory: Peer,
    pub(crate) payment: Peer,
}

/// The order of the specification's example.
pub(crate) fn example() -> Value {
    json!({"item_sku": "SKU-ABC", "quantity": 2, "amount": 200, "currency": "USD"})
}

impl Harness {
    pub(crate) async fn start(database: DatabaseKind) -> Self {
        Self::start_with(database, Plan::default()).await
    }

    pub(crate) async fn start_with(database: DatabaseKind, plan: Plan) -> Self {
        Self::start_with_keys(database, plan, &[]).await
    }

    /// Starts a service whose clients have these API keys.
    pub(crate) async fn start_with_keys(database: DatabaseKind, plan: Plan, keys: &[TestKey]) -> Self {
        let consume = plan.peers_consume;
        let service = ServiceHarness::start_with_keys(database, plan, keys).await;
        let (mut inventory, mut payment) =
            (service.peer(Service::Inventory).await, service.peer(Service::Payment).await);
        if consume {
            inventory.consume().await;
            payment.consume().await;
        }
        Self { service, inventory, payment }
    }

    /// Starts one more replica of the service. Returns it with its address.
    pub(crate) async fn replica(&self) -> (RunningService, SocketAddr) {
        self.service.start_on(self.service.another_writer().await).await
    }

    /// Like [`replica`](Self::replica), on a machine whose clock is wrong by `offset`.
    pub(crate) async fn replica_with_clock(&self, offset: &str) -> (RunningService, SocketAddr) {
        let database = self.service.another_writer().await;
        database.clock().skew_system_clock(offset.parse().unwrap());
        self.service.start_on(database).await
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.service.http.request(method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.service.http.get(path).await
    }

    /// A request for an order, to be sent with [`answer`].
    pub(crate) fn posting(&self, body: &Value) -> RequestBuilder {
        self.request(Method::POST, "/api/v1/orders/").json(body)
    }

    /// Posts an order. The response may wait for the order's end.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        answer(self.posting(body)).await
    }

    /// Posts an order without waiting for its end, and returns its number.
    pub(crate) async fn post_async(&self, body: &Value) -> i64 {
        let answer = answer(self.posting(body).header("prefer", "respond-async")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.body["order_id"].as_i64().unwrap()
    }

    /// Places the example without waiting for its end; returns its number, and the message that inventory receives.
    pub(crate) async fn place(&mut self) -> (i64, Envelope) {
        let id = self.post_async(&example()).await;
        let created = self.inventory.receive_about(id, EventType::OrderCreated).await;
        (id, created)
    }

    pub(crate) async fn cancel(&self, id: i64) -> Answer {
        answer(self.request(Method::POST, &format!("/api/v1/orders/{id}/cancel"))).await
    }

    pub(crate) async fn order(&self, id: i64) -> Value {
        let answer = self.get(&format!("/api/v1/orders/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// The status of an order, and that of its payment.
    pub(crate) async fn status(&self, id: i64) -> (String, String) {
        let order = self.order(id).await;
        let text = |field: &str| order[field].as_str().unwrap().to_owned();
        (text("status"), text("payment_status"))
    }

    /// The names of the events in an order's timeline, in order.
    pub(crate) async fn timeline(&self, id: i64) -> Vec<String> {
        let answer = self.get(&format!("/api/v1/orders/{id}/events")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn order_count(&self) -> u64 {
        order::store::orders::Entity::find().count(&self.service.observer().reader()).await.unwrap()
    }

    /// The events that inventory and payment have received and the test has not, once everything is published.
    pub(crate) async fn remaining_events(&mut self) -> (Vec<EventBody>, Vec<EventBody>) {
        self.service.outbox_is_empty().await;
        (self.inventory.received_bodies(), self.payment.received_bodies())
    }

    /// Ends the test: the service stops with nothing left over.
    pub(crate) async fn finish(self) {
        self.service.finish().await;
    }
}
