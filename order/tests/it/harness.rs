//! The order service on a file in a directory of its own, and its clients.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use order::{Migrator, OrderSettings};
use reqwest::{
    Client, Method, RequestBuilder,
    header::{HeaderMap, HeaderName},
};
use saga_database::{
    Database,
    tables::{dead_letter, outbox},
};
use saga_memory_broker::InProcessBroker;
use saga_runtime::{IdentitySettings, broker::Broker};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use service_host::{
    service::{RunningService, ServiceDeps, stop},
    settings::WorkSettings,
};
use shared_events::{Envelope, EventBody, EventType, Service};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::peer::{Neighbour, SOON, soon};

/// How a test's service works; patient, so that what a test sees is what the test did.
pub(crate) struct Plan {
    pub(crate) order: OrderSettings,
    pub(crate) work: WorkSettings,
    /// Whether inventory and payment consume.
    pub(crate) neighbours_listen: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            order: OrderSettings {
                order_wait: SOON,
                order_deadline: Duration::from_secs(600),
                cancel_repeat: Duration::from_secs(600),
                cancel_repeat_longest: Duration::from_secs(600),
            },
            work: WorkSettings {
                max_batch: 512,
                max_waiting: 4_096,
                max_backlog: 50_000,
                prefetch: 256,
                tick: Duration::from_millis(20),
                inbox_retention: Duration::from_secs(600),
                drain_timeout: SOON,
            },
            neighbours_listen: true,
        }
    }
}

/// A service under test. A test ends with [`Harness::finish`], which looks at what is left behind.
pub(crate) struct Harness {
    pub(crate) inventory: Neighbour,
    pub(crate) payment: Neighbour,
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    service: Option<RunningService>,
    /// The one that the service has.
    pub(crate) its_database: Database,
    database: Database,
    broker: Arc<dyn Broker>,
    plan: Plan,
    path: PathBuf,
    _directory: TempDir,
}

/// An answer over HTTP. A body that is no JSON is a string.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name.parse::<HeaderName>().unwrap()).map(|value| value.to_str().unwrap())
    }

    /// Asserts that it is a problem with this status and these words.
    pub(crate) fn assert_problem(&self, status: u16, detail: &str) {
        assert_eq!((self.status, self.header("content-type")), (status, Some("application/problem+json")), "{self:?}");
        assert_eq!((&self.body["status"], &self.body["detail"]), (&json!(status), &json!(detail)));
        assert!(self.body["type"].is_string() && self.body["title"].is_string(), "{self:?}");
        assert!(self.body["instance"].as_str().is_some_and(|path| path.starts_with('/')), "{self:?}");
    }
}

/// The order of the specification's example.
pub(crate) fn example() -> Value {
    json!({"item_sku": "SKU-ABC", "quantity": 2, "amount": 200, "currency": "USD"})
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = soon("an answer", request.send()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = soon("its body", response.text()).await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
    Answer { status, headers, text, body }
}

/// The database at `file`, or in its place one on the server, where this is the test binary `postgres`.
pub(crate) async fn open(file: &Path) -> Database {
    crate::test_database::open::<Migrator>(Service::Order, file).await
}

async fn run(plan: &Plan, database: Database, broker: Arc<dyn Broker>) -> (RunningService, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Some("the-operators-token".parse().unwrap());
    let deps = ServiceDeps { database, broker, work: plan.work.clone(), admin, identity: IdentitySettings::default() };
    (order::start(&plan.order, deps, listener).await.unwrap(), address)
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("order.db");
        let database = open(&path).await;
        let mut brokers = InProcessBroker::for_services(&Service::ALL.map(Service::name), 1_024);
        let mut take = |service: Service| Arc::new(brokers.remove(service.name()).unwrap()) as Arc<dyn Broker>;
        let broker = take(Service::Order);
        let mut inventory = Neighbour::deaf(take(Service::Inventory)).await;
        let mut payment = Neighbour::deaf(take(Service::Payment)).await;
        if plan.neighbours_listen {
            inventory.listen().await;
            payment.listen().await;
        }
        let its_database = database.clone();
        let (service, address) = run(&plan, database, Arc::clone(&broker)).await;
        let (database, service) = (open(&path).await, Some(service));
        let client = Client::builder().no_proxy().build().unwrap();
        let _directory = directory;
        Self { inventory, payment, client, address, service, its_database, database, broker, plan, path, _directory }
    }

    /// One more replica of the service, on the same database and the same broker, and where it listens.
    #[allow(dead_code, reason = "a file has one process; only the tests on PostgreSQL have more")]
    pub(crate) async fn replica(&self) -> (RunningService, SocketAddr) {
        run(&self.plan, open(&self.path).await, Arc::clone(&self.broker)).await
    }

    /// The same, on a machine whose clock is wrong by `offset`.
    #[allow(dead_code, reason = "a file has one process; only the tests on PostgreSQL have more")]
    pub(crate) async fn replica_with_clock(&self, offset: &str) -> (RunningService, SocketAddr) {
        let database = open(&self.path).await;
        database.clock().skew_system_clock(offset.parse().unwrap());
        run(&self.plan, database, Arc::clone(&self.broker)).await
    }

    /// Stops the first replica and puts another in its place.
    #[allow(dead_code, reason = "a file has one process; only the tests on PostgreSQL have more")]
    pub(crate) async fn replace(&mut self, (service, address): (RunningService, SocketAddr)) {
        let first = self.service.replace(service);
        self.address = address;
        stop(first.into_iter().collect(), SOON).await;
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) fn posting(&self, body: &Value) -> RequestBuilder {
        self.request(Method::POST, "/api/v1/orders/").json(body)
    }

    /// Posts an order; the answer may wait for its end.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        answer(self.posting(body)).await
    }

    /// Posts an order without waiting for its end, and returns its number.
    pub(crate) async fn post_async(&self, body: &Value) -> i64 {
        let answer = answer(self.posting(body).header("prefer", "respond-async")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.body["order_id"].as_i64().unwrap()
    }

    /// Places the example without waiting for its end; its number, and what inventory hears of it.
    pub(crate) async fn place(&mut self) -> (i64, Envelope) {
        let id = self.post_async(&example()).await;
        let created = self.inventory.hear_of(id, EventType::OrderCreated).await;
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

    pub(crate) async fn how_many_orders(&self) -> u64 {
        order::store::orders::Entity::find().count(&self.database.reader()).await.unwrap()
    }

    pub(crate) async fn how_many_unpublished(&self) -> u64 {
        outbox::Entity::find().count(&self.database.reader()).await.unwrap()
    }

    /// What inventory and payment have heard that no test asked for, once there is nothing more to be heard.
    pub(crate) async fn heard_besides(&mut self) -> (Vec<EventBody>, Vec<EventBody>) {
        self.until("the outbox is empty", async |harness| harness.how_many_unpublished().await == 0).await;
        (self.inventory.heard(), self.payment.heard())
    }

    /// Another process that opens the database to write.
    pub(crate) async fn intruder(&self) -> Database {
        open(&self.path).await
    }

    /// Waits until `holds`.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let mut looks = tokio::time::interval(Duration::from_millis(2));
        soon(what, async {
            while !holds(self).await {
                looks.tick().await;
            }
        })
        .await;
    }

    /// The service, to be stopped by the test.
    pub(crate) fn take_service(&mut self) -> RunningService {
        self.service.take().unwrap()
    }

    /// The end of a test: everything is published, nothing was parked, and the service stops.
    pub(crate) async fn finish(self) {
        self.finish_with_dead_letters(0).await;
    }

    pub(crate) async fn finish_with_dead_letters(mut self, expected: usize) {
        self.until("the outbox is empty", async |harness| harness.how_many_unpublished().await == 0).await;
        if let Some(service) = self.service.take() {
            assert_eq!(answer(self.request(Method::GET, "/health")).await.status, 200, "it still works");
            soon("the service stops", stop(vec![service], SOON)).await;
        }
        assert_eq!(self.how_many_unpublished().await, 0, "nothing was left behind while it stopped");
        self.look_at_the_dead_letters(expected).await;
    }

    /// The end of a test that stopped the service before it could publish everything.
    pub(crate) async fn finish_as_it_is(self) {
        assert!(self.service.is_none());
        self.look_at_the_dead_letters(0).await;
    }

    async fn look_at_the_dead_letters(&self, expected: usize) {
        let letters = dead_letter::Entity::find().all(&self.database.reader()).await.unwrap();
        assert_eq!(letters.len(), expected, "{letters:?}");
        self.database.clone().close().await;
    }
}

/// A test that forgets to look at what it leaves behind is no test.
impl Drop for Harness {
    fn drop(&mut self) {
        assert!(self.service.is_none() || std::thread::panicking(), "a test ends with `finish`");
    }
}
