use std::{collections::HashMap, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use reqwest::Method;
use saga_database::{
    Database, Writes,
    tables::{dead_letter, outbox},
};
use saga_memory_broker::InProcessBroker;
use saga_runtime::{IdentitySettings, broker::Broker};
use sea_orm::{EntityTrait, PaginatorTrait};
use sea_orm_migration::MigratorTrait;
use serde_json::Value;
use service_host::{
    Traces,
    service::{RunningService, ServiceDeps, stop},
    settings::{AccessSettings, BrowserSettings, WorkSettings},
};
use service_http::ListenerConfig;
use shared_events::{Envelope, Service};
use tokio::net::TcpListener;

use super::{DatabaseKind, HttpClient, Peer, TIMEOUT, TestDatabase, TestKey, answer, until, within_timeout};

/// The token of the admin API.
pub const ADMIN_TOKEN: &str = "the-operators-token";
/// The length of a queue, in messages: more than any test publishes at once.
const QUEUE_LENGTH: usize = 10_000;

/// A service, with the settings of one test.
pub trait TestedService: Sync {
    /// The migrations of its database.
    type Migrator: MigratorTrait;
    /// Which service it is.
    const SERVICE: Service;

    /// Returns the settings that all services have.
    fn work(&self) -> &WorkSettings;

    /// Starts it. Called once for each replica, and at each restart.
    fn start(
        &self,
        deps: ServiceDeps,
        listener: TcpListener,
    ) -> impl Future<Output = anyhow::Result<RunningService>> + Send;
}

/// A running service. A test ends with [`ServiceHarness::finish`], which checks the state that it leaves behind.
pub struct ServiceHarness<S: TestedService> {
    /// A client of the service.
    pub http: HttpClient,
    /// The database, as the service has opened it.
    pub database: Database,
    /// The same database, opened by the test; it stays open when the service stops.
    observer: Database,
    storage: TestDatabase,
    brokers: HashMap<Service, Arc<dyn Broker>>,
    service: S,
    running: Option<RunningService>,
    expected_dead_letters: usize,
}

impl<S: TestedService> ServiceHarness<S> {
    /// Starts the service on a new database.
    pub async fn start(kind: DatabaseKind, service: S) -> Self {
        Self::start_with_keys(kind, service, &[]).await
    }

    /// Starts the service on a new database with these API keys.
    pub async fn start_with_keys(kind: DatabaseKind, service: S, keys: &[TestKey]) -> Self {
        let storage = TestDatabase::create(kind);
        let mut brokers = InProcessBroker::for_services(&Service::ALL.map(Service::name), QUEUE_LENGTH);
        let mut take = |service: Service| Arc::new(brokers.remove(service.name()).unwrap()) as Arc<dyn Broker>;
        let brokers: HashMap<_, _> = Service::ALL.into_iter().map(|service| (service, take(service))).collect();
        let database = storage.open::<S::Migrator>(S::SERVICE).await;
        for key in keys {
            key.store(&database).await;
        }
        let (running, address) = run(&service, database.clone(), Arc::clone(&brokers[&S::SERVICE])).await;
        let observer = storage.open::<S::Migrator>(S::SERVICE).await;
        let (http, running) = (HttpClient::new(address), Some(running));
        let harness = Self { http, database, observer, storage, brokers, service, running, expected_dead_letters: 0 };
        until("the service is ready", async || harness.http.get("/health/ready").await.status == 200).await;
        harness
    }

    /// Adds an API key while the service runs, which knows it about a second later.
    pub async fn add_key(&self, key: &TestKey) {
        key.store(&self.observer).await;
    }

    /// Connects as another service, which consumes nothing yet.
    pub async fn peer(&self, service: Service) -> Peer {
        assert!(service != S::SERVICE, "{service} is the service under test");
        Peer::connect(Arc::clone(&self.brokers[&service])).await
    }

    /// Stops the service at once, whatever it is waiting for, and starts it again on the same database.
    pub async fn restart(&mut self) {
        stop(self.running.take().into_iter().collect(), Duration::from_millis(1)).await;
        self.database = self.another_writer().await;
        let (running, address) = self.start_on(self.database.clone()).await;
        self.replace((running, address)).await;
    }

    /// Starts one more replica of the service, on the same broker and this database. Returns it with its address.
    pub async fn start_on(&self, database: Database) -> (RunningService, SocketAddr) {
        run(&self.service, database, Arc::clone(&self.brokers[&S::SERVICE])).await
    }

    /// Stops the service, and continues with this replica, which is running already.
    pub async fn replace(&mut self, (replica, address): (RunningService, SocketAddr)) {
        let replaced = self.running.replace(replica);
        self.http = HttpClient::new(address);
        stop(replaced.into_iter().collect(), TIMEOUT).await;
    }

    /// Takes the service, so that the test can stop it.
    pub fn take_service(&mut self) -> RunningService {
        self.running.take().expect("the test takes the service once")
    }

    /// Opens the database as another process that may write.
    pub async fn another_writer(&self) -> Database {
        self.storage.open::<S::Migrator>(S::SERVICE).await
    }

    /// Returns the database as opened by the test, for reading.
    pub fn observer(&self) -> &Database {
        &self.observer
    }

    /// Returns how many events are committed and not yet confirmed by the broker.
    pub async fn outbox_len(&self) -> u64 {
        outbox::Entity::find().count(&self.observer.reader()).await.unwrap()
    }

    /// Waits until all events are published and confirmed. Then the peers that consume have received them.
    pub async fn outbox_is_empty(&self) {
        until("the outbox is empty", async || self.outbox_len().await == 0).await;
    }

    /// Returns the dead letters, oldest first, and asserts that there are `count`.
    pub async fn dead_letters(&mut self, count: usize) -> Vec<dead_letter::Model> {
        self.expected_dead_letters = count;
        let mut letters = dead_letter::Entity::find().all(&self.observer.reader()).await.unwrap();
        assert_eq!(letters.len(), count, "{letters:?}");
        letters.sort_by_key(|letter| letter.dead_lettered_at);
        letters
    }

    /// Stores a message as a dead letter, without the service. Then redrives it over HTTP and returns the response.
    pub async fn dead_letter_and_redrive(&self, message: &Envelope) -> Value {
        let row = dead_letter::Model {
            message_id: message.header.id.0,
            reason: "dead-lettered by the test".to_owned(),
            attempts: 1,
            event: None,
            subject: None,
            body: message.encode().into_bytes(),
            dead_lettered_at: 0,
        };
        let transaction = self.observer.begin().await.unwrap();
        Writes::default().insert::<dead_letter::Entity>(&[row]).run(&transaction).await.unwrap();
        transaction.commit().await.unwrap();
        let path = format!("/admin/dead-letters/{}/redrive", message.header.id);
        answer(self.http.request(Method::POST, &path).bearer_auth(ADMIN_TOKEN)).await.body
    }

    /// Ends the test. Asserts that everything is published, that the service still works and stops, and that there are
    /// only as many dead letters as [`ServiceHarness::dead_letters`] has expected.
    pub async fn finish(mut self) {
        self.outbox_is_empty().await;
        if let Some(running) = self.running.take() {
            assert_eq!(self.http.get("/health").await.status, 200, "it still works");
            within_timeout("the service stops", stop(vec![running], TIMEOUT)).await;
        }
        assert_eq!(self.outbox_len().await, 0, "the service left events unpublished while it stopped");
        self.finish_stopped().await;
    }

    /// Ends a test that has stopped the service itself, possibly before everything was published.
    pub async fn finish_stopped(mut self) {
        assert!(self.running.is_none(), "the service is running");
        self.dead_letters(self.expected_dead_letters).await;
        self.observer.clone().close().await;
    }
}

async fn run<S: TestedService>(
    service: &S,
    database: Database,
    broker: Arc<dyn Broker>,
) -> (RunningService, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = Some(ADMIN_TOKEN.parse().unwrap());
    let work = service.work().clone();
    let (identity, traces) = (IdentitySettings::default(), Traces::default());
    let (listening, browsers) = (ListenerConfig::default(), BrowserSettings::default());
    let (access, console_url) = (AccessSettings::default(), None);
    let deps =
        ServiceDeps { database, broker, work, access, admin, identity, traces, listening, browsers, console_url };
    (service.start(deps, listener).await.unwrap(), address)
}

/// Fails a test that does not end with `finish`.
impl<S: TestedService> Drop for ServiceHarness<S> {
    fn drop(&mut self) {
        assert!(self.running.is_none() || std::thread::panicking(), "a test ends with `finish`");
    }
}
