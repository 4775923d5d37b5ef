use std::{collections::HashSet, future::Future, path::Path, sync::Arc, time::Duration};

use clap::Parser;
use payment::{
    Migrator, PaymentSettings,
    domain::{Payment, PaymentId},
    store,
};
use saga_database::{
    Database,
    tables::{dead_letter, outbox},
};
use saga_memory_broker::InProcessBroker;
use saga_runtime::{
    IdentitySettings, broker::Broker, broker::Outcome, broker::Outgoing, broker::PublishResult, broker::Publisher,
};
use sea_orm::EntityTrait;
use service_host::{
    service::{RunningService, ServiceDeps, stop},
    settings::WorkSettings,
};
use shared_events::{Envelope, Event, EventType, MessageId, SagaId, Service};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc};
use uuid::Uuid;

use crate::scripted::ScriptedGateway;

/// Longer than anything here takes, also on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Parser)]
pub(crate) struct Settings {
    #[command(flatten)]
    pub(crate) payment: PaymentSettings,
    #[command(flatten)]
    pub(crate) work: WorkSettings,
}

/// A running payment service, and the other two, for which the test speaks and listens.
pub(crate) struct System {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) database: Database,
    pub(crate) gateway: Arc<ScriptedGateway>,
    settings: Settings,
    directory: TempDir,
    broker: InProcessBroker,
    running: Option<RunningService>,
    publisher: Box<dyn Publisher>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    confirmed: HashSet<MessageId>,
    heard: mpsc::UnboundedReceiver<Envelope>,
    /// How many messages the test expects to be parked.
    pub(crate) parked: usize,
}

impl System {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With these settings, as on the command line.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        Self::start_at(true, settings).await
    }

    /// With the gateway that the settings describe, and not with a scripted one.
    pub(crate) async fn start_simulated(settings: &[&str]) -> Self {
        Self::start_at(false, settings).await
    }

    async fn start_at(scripted: bool, settings: &[&str]) -> Self {
        let settings = [&["payment", "--tick", "5ms"], settings].concat();
        let settings = Settings::parse_from(settings);
        let mut brokers = InProcessBroker::for_services(&Service::ALL.map(Service::name), 10_000);
        let broker = brokers.remove(Service::Payment.name()).unwrap();
        let (hears, heard) = mpsc::unbounded_channel();
        for service in [Service::Order, Service::Inventory] {
            let deliveries = brokers.remove(service.name()).unwrap().subscribe(1_000).await.unwrap();
            tokio::spawn(listen(service, deliveries, hears.clone()));
        }
        let (publisher, outcomes) = broker.publisher().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let gateway = Arc::new(ScriptedGateway::new());
        let at = scripted.then(|| Arc::clone(&gateway));
        let (database, running, url) = run(&directory, &settings, at, broker.clone()).await;
        Self {
            url,
            http: reqwest::Client::new(),
            database,
            gateway,
            settings,
            directory,
            broker,
            running: Some(running),
            publisher,
            outcomes,
            confirmed: HashSet::new(),
            heard,
            parked: 0,
        }
    }

    /// Stops the service half way, whatever it is waiting for, and starts it again on the same database.
    pub(crate) async fn restart(&mut self) {
        stop(self.running.take().into_iter().collect(), Duration::from_millis(1)).await;
        let at = Some(Arc::clone(&self.gateway));
        let (database, running, url) = run(&self.directory, &self.settings, at, self.broker.clone()).await;
        (self.database, self.running, self.url) = (database, Some(running), url);
    }

    /// Publishes an event for the service that says such things.
    pub(crate) async fn say(&mut self, envelope: &Envelope) {
        self.say_all(std::slice::from_ref(envelope)).await;
    }

    /// The same for several at once, in this order.
    pub(crate) async fn say_all(&mut self, envelopes: &[Envelope]) {
        let messages = envelopes.iter().map(|envelope| {
            let flow = envelope.event.body.event_type().flow();
            raw(envelope.header.id, flow.event, envelope.encode())
        });
        self.publisher.publish(messages.collect()).await.unwrap();
    }

    /// Publishes any body under the routing key of `event`.
    pub(crate) async fn say_raw(&mut self, event: EventType, body: &str) -> MessageId {
        let id = MessageId(Uuid::now_v7());
        self.publisher.publish(vec![raw(id, event, body.to_owned())]).await.unwrap();
        id
    }

    /// Waits until the service has committed this message, and forgets that it did.
    pub(crate) async fn committed(&mut self, id: MessageId) {
        while !self.confirmed.remove(&id) {
            let outcome = with_timeout("a confirmation", self.outcomes.recv()).await.unwrap();
            assert_eq!(outcome.result, PublishResult::Confirmed);
            self.confirmed.insert(outcome.message_id);
        }
    }

    /// Publishes an event, and waits until the service has committed it.
    pub(crate) async fn tell(&mut self, envelope: &Envelope) {
        self.say(envelope).await;
        self.committed(envelope.header.id).await;
    }

    /// The next event that the service publishes for Order.
    pub(crate) async fn hear(&mut self) -> Event {
        with_timeout("an event", self.heard.recv()).await.unwrap().event
    }

    /// Another process that opens the database to write.
    pub(crate) async fn another_writer(&self) -> Database {
        open(&self.directory.path().join("payment.db")).await
    }

    /// All rows, also those that only remember a cancellation.
    pub(crate) async fn rows(&self) -> Vec<Payment> {
        let rows = store::all(&self.database.reader(), PaymentId(0), 10_000).await.unwrap();
        rows.into_iter().map(|(_, payment)| payment.unwrap()).collect()
    }

    pub(crate) async fn row(&self, saga_id: SagaId) -> Option<Payment> {
        let mut found = store::of_sagas(&self.database.reader(), &[saga_id]).await.unwrap();
        assert!(found.len() <= 1 && found.iter().all(|payment| payment.saga_id == Some(saga_id)), "{found:?}");
        found.pop()
    }

    /// The states of all rows, by number.
    pub(crate) async fn states(&self) -> Vec<String> {
        self.rows().await.iter().map(|payment| payment.state.to_string()).collect()
    }

    /// Waits until the payment of this saga is in this state.
    pub(crate) async fn becomes(&self, saga_id: SagaId, state: &str) {
        with_timeout(state, async {
            let mut looks = tokio::time::interval(Duration::from_millis(2));
            while self.row(saga_id).await.is_none_or(|payment| payment.state.as_str() != state) {
                looks.tick().await;
            }
        })
        .await;
    }

    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, serde_json::Value) {
        let url = format!("{}/api/v1/payments/authorize", self.url);
        let request = self.http.post(url).header("content-type", "application/json").body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, serde_json::Value) {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Ends the service in good order. There must be nothing that the test has not heard, nothing unpublished, and nothing
    /// parked that was not expected.
    pub(crate) async fn finish(mut self) {
        let parked = dead_letter::Entity::find().all(&self.database.reader()).await.unwrap();
        stop(self.running.take().into_iter().collect(), TIMEOUT).await;
        assert_eq!(parked.len(), self.parked, "{parked:?}");
        let database = open(&self.directory.path().join("payment.db")).await;
        let unpublished = outbox::Entity::find().all(&database.reader()).await.unwrap();
        assert_eq!(unpublished, [], "it is not published");
        database.close().await;
        assert_eq!(self.heard.try_recv().ok(), None, "nobody asked for it");
    }
}

impl Drop for System {
    fn drop(&mut self) {
        assert!(self.running.is_none() || std::thread::panicking(), "a test ends with `finish`");
    }
}

/// The database at `file`, or in its place one on the server, where this is the test binary `postgres`.
pub(crate) async fn open(file: &Path) -> Database {
    crate::test_database::open::<Migrator>(Service::Payment, file).await
}

async fn run(
    directory: &TempDir,
    settings: &Settings,
    gateway: Option<Arc<ScriptedGateway>>,
    broker: InProcessBroker,
) -> (Database, RunningService, String) {
    let database = open(&directory.path().join("payment.db")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let deps = ServiceDeps {
        database: database.clone(),
        broker: Arc::new(broker),
        work: settings.work.clone(),
        admin: Some("the-operators-token".parse().unwrap()),
        identity: IdentitySettings::default(),
    };
    let running = match gateway {
        Some(gateway) => payment::start_with(gateway, &settings.payment, deps, listener).await.unwrap(),
        None => payment::start(&settings.payment, deps, listener).await.unwrap(),
    };
    (database, running, url)
}

/// Takes every delivery; Order passes on what Payment said, each message once, as its inbox would.
async fn listen(
    service: Service,
    mut deliveries: saga_runtime::broker::Subscription,
    hears: mpsc::UnboundedSender<Envelope>,
) {
    let mut inbox = HashSet::new();
    while let Some(delivery) = deliveries.recv().await {
        let envelope = Envelope::decode(&delivery.body);
        if let Ok(envelope) = envelope
            && service == Service::Order
            && envelope.event.body.event_type().flow().publisher == Service::Payment
            && inbox.insert(envelope.header.id)
        {
            let _ = hears.send(envelope);
        }
        delivery.receipt.acknowledge();
    }
}

pub(crate) async fn with_timeout<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

fn raw(message_id: MessageId, event: EventType, body: String) -> Outgoing {
    let flow = event.flow();
    Outgoing { message_id, route: flow.route, correlation_id: Uuid::nil(), body: Arc::from(body) }
}
