//! A running inventory, and the order and the payment service as a test plays them.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Parser;
use inventory::{
    InventorySettings, Migrator,
    domain::{Reservation, ReservationId, State},
    store,
};
use reqwest::Method;
use saga_database::{Clock, Database, tables::dead_letter};
use saga_memory_broker::InProcessBroker;
use saga_runtime::{
    IdentitySettings, broker::Broker, broker::Outcome, broker::Outgoing, broker::PublishResult, broker::Publisher,
};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use service_host::{
    service::{self, RunningService, ServiceDeps},
    settings::WorkSettings,
};
use shared_events::{Envelope, Event, EventBody, Header, MessageId, OrderDetails, SagaId, Service};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc};
use uuid::Uuid;

/// How long a test waits for a state before it fails.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    inventory: InventorySettings,
    #[command(flatten)]
    work: WorkSettings,
}

/// A running service, and everything around it. To be ended with [`Harness::finish`], which checks what is left.
pub(crate) struct Harness {
    pub(crate) client: reqwest::Client,
    pub(crate) base: String,
    publisher: Box<dyn Publisher>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    heard: Arc<Mutex<Vec<(Service, Envelope)>>>,
    service: Option<RunningService>,
    pub(crate) database: Database,
    expected_parked: usize,
    _directory: TempDir,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) link: Option<String>,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

/// The database at `file`, or in its place one on the server, where this is the test binary `postgres`.
pub(crate) async fn open(file: &Path) -> Database {
    crate::test_database::open::<Migrator>(Service::Inventory, file).await
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A service with these flags.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        let settings = Settings::parse_from(["inventory", "--tick", "20ms"].iter().chain(flags));
        let directory = TempDir::new().unwrap();
        let database = open(&directory.path().join("inventory.sqlite")).await;
        let brokers = InProcessBroker::for_services(&Service::ALL.map(Service::name), 1_000);
        let heard = Arc::default();
        for listener in [Service::Order, Service::Payment] {
            listen(&brokers, listener, &heard).await;
        }
        let (publisher, outcomes) = brokers[Service::Order.name()].publisher().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let broker = Arc::new(brokers[Service::Inventory.name()].clone());
        let deps = ServiceDeps {
            database: database.clone(),
            broker,
            work: settings.work,
            admin: Some("the-operators-token".parse().unwrap()),
            identity: IdentitySettings::default(),
        };
        let service = inventory::start(&settings.inventory, deps, listener).await.unwrap();
        let harness = Self {
            client: reqwest::Client::new(),
            base,
            publisher,
            outcomes,
            heard,
            service: Some(service),
            database,
            expected_parked: 0,
            _directory: directory,
        };
        eventually("the service is ready", async || harness.get("/health/ready").await.status == 200).await;
        harness
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some((content_type, body)) = body {
            request = request.header("content-type", content_type).body(body);
        }
        let response = request.send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (link, content_type) = (header("link"), header("content-type").unwrap_or_default());
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, link, content_type, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(("application/json", body.to_string().into_bytes()))).await
    }

    /// Puts stock there.
    pub(crate) async fn stock(&self, sku: &str, quantity: i64) {
        let answer = self.post("/api/v1/stock/items", &json!({"item_sku": sku, "quantity": quantity})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// What REST says of an item: available, held, sold.
    pub(crate) async fn numbers(&self, sku: &str) -> (i64, i64, i64) {
        let item = self.get(&format!("/api/v1/stock/{sku}")).await;
        assert_eq!(item.status, 200, "{item:?}");
        let number = |name: &str| item.body[name].as_i64().unwrap();
        (number("quantity"), number("reserved"), number("sold"))
    }

    /// Publishes an event as the service that may, and returns once the inventory has handled it.
    pub(crate) async fn tell(&mut self, saga_id: SagaId, order: &OrderDetails, body: EventBody) -> MessageId {
        let id = MessageId(Uuid::now_v7());
        self.deliver(vec![(id, Event { saga_id, order: order.clone(), body })]).await;
        id
    }

    /// Publishes these events at once, and returns once the inventory has handled all of them.
    pub(crate) async fn deliver(&mut self, events: Vec<(MessageId, Event)>) {
        let mut waiting: Vec<MessageId> = events.iter().map(|(id, _)| *id).collect();
        self.publisher.publish(events.into_iter().map(|(id, event)| outgoing(id, event)).collect()).await.unwrap();
        while !waiting.is_empty() {
            let outcome = tokio::time::timeout(TIMEOUT, self.outcomes.recv()).await.unwrap().unwrap();
            assert_eq!(outcome.result, PublishResult::Confirmed);
            let place = waiting.iter().position(|id| *id == outcome.message_id).unwrap();
            waiting.swap_remove(place);
        }
    }

    /// What a service has heard from the inventory since it was last asked, once everything is published.
    pub(crate) async fn heard_by(&self, listener: Service) -> Vec<Envelope> {
        self.published().await;
        let mut heard = self.heard.lock().unwrap();
        let (its, others) = std::mem::take(&mut *heard).into_iter().partition(|(by, _)| *by == listener);
        *heard = others;
        let its: Vec<(Service, Envelope)> = its;
        its.into_iter().map(|(_, envelope)| envelope).collect()
    }

    /// The same for the order service, without the envelopes.
    pub(crate) async fn said(&self) -> Vec<EventBody> {
        self.heard_by(Service::Order).await.into_iter().map(|envelope| envelope.event.body).collect()
    }

    async fn published(&self) {
        let service = self.service.as_ref().unwrap();
        eventually("the outbox is empty", async || service.unpublished() == 0).await;
    }

    /// Another process that opens the database to write.
    pub(crate) async fn another_writer(&self) -> Database {
        open(&self._directory.path().join("inventory.sqlite")).await
    }

    pub(crate) async fn reservations(&self) -> Vec<Reservation> {
        let rows = store::all_reservations(&self.database.reader(), ReservationId(0), 10_000).await.unwrap();
        rows.into_iter().map(|(_, reservation)| reservation.unwrap()).collect()
    }

    pub(crate) async fn state_of(&self, saga_id: SagaId) -> Option<State> {
        let reservations = self.reservations().await;
        reservations.into_iter().find(|one| one.saga_id() == Some(saga_id)).map(|one| one.state)
    }

    /// Everything that the database holds, but for the messages.
    pub(crate) async fn everything(&self) -> (Vec<store::stock_items::Model>, Vec<Reservation>) {
        let items = store::all_items(&self.database.reader(), "", 10_000).await.unwrap();
        (items, self.reservations().await)
    }

    /// The reasons of the parked messages, of which there are so many and no more.
    pub(crate) async fn parked(&mut self, count: usize) -> Vec<String> {
        self.expected_parked = count;
        let mut rows = dead_letter::Entity::find().all(&self.database.reader()).await.unwrap();
        assert_eq!(rows.len(), count, "{rows:?}");
        rows.sort_by_key(|row| row.parked_at);
        rows.into_iter().map(|row| row.reason).collect()
    }

    /// Ends the test: nothing is left unpublished, nothing is parked unless expected, and the books add up.
    pub(crate) async fn finish(mut self) {
        self.published().await;
        let parked = dead_letter::Entity::find().all(&self.database.reader()).await.unwrap();
        assert_eq!(parked.len(), self.expected_parked, "{parked:?}");
        let (items, reservations) = self.everything().await;
        for item in items {
            assert_eq!(item.received, item.available + item.held + item.sold, "{item:?}");
            let booked = |state: &State| -> i64 {
                let of_state = reservations.iter().filter(|one| one.state == *state);
                let lines = of_state.flat_map(Reservation::lines).filter(|line| line.sku.as_str() == item.sku);
                lines.map(|line| line.quantity.units()).sum()
            };
            assert_eq!((item.held, item.sold), (booked(&State::Held), booked(&State::Sold)), "{item:?}");
        }
        service::stop(self.service.take().into_iter().collect(), TIMEOUT).await;
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        assert!(self.service.is_none() || std::thread::panicking(), "a test must end with finish()");
    }
}

/// Hears, remembers and acknowledges what comes to a service from the inventory.
async fn listen(
    brokers: &HashMap<&'static str, InProcessBroker>,
    listener: Service,
    heard: &Arc<Mutex<Vec<(Service, Envelope)>>>,
) {
    let mut deliveries = brokers[listener.name()].subscribe(100).await.unwrap();
    let heard = Arc::clone(heard);
    tokio::spawn(async move {
        while let Some(delivery) = deliveries.recv().await {
            let envelope = Envelope::decode(&delivery.body).unwrap();
            if envelope.event.body.event_type().flow().publisher == Service::Inventory {
                heard.lock().unwrap().push((listener, envelope));
            }
            delivery.receipt.acknowledge();
        }
    });
}

fn outgoing(id: MessageId, event: Event) -> Outgoing {
    let flow = event.body.event_type().flow();
    let correlation_id = event.saga_id.0;
    let causation_id = Uuid::now_v7();
    let time = Clock::default().now();
    let envelope = Envelope { header: Header { id, time, causation_id, system_id: None, traceparent: None }, event };
    Outgoing { message_id: id, route: flow.route, correlation_id, body: envelope.encode().into() }
}

/// Waits for a state; fails where it does not come.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(TIMEOUT, wait).await.is_ok(), "not within {TIMEOUT:?}: {what}");
}
