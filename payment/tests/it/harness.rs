//! A running payment service, and the order and the inventory service as a test plays them.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use clap::Parser;
use payment::{
    Migrator, PaymentSettings,
    domain::{Payment, PaymentId},
    gateway::SimulatedGateway,
    store,
};
use reqwest::{Method, header::CONTENT_TYPE};
use saga_runtime::broker::Outgoing;
use serde_json::Value;
use service_host::{
    service::{RunningService, ServiceDeps},
    settings::WorkSettings,
};
use shared_events::{Envelope, Event, MessageId, SagaId, Service};
use testkit::service::{Answer, DatabaseKind, Peer, ServiceHarness, TestKey, TestedService, answer, outgoing, until};
use tokio::net::TcpListener;

use crate::scripted::ScriptedGateway;

#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    payment: PaymentSettings,
    #[command(flatten)]
    work: WorkSettings,
}

pub(crate) struct PaymentService {
    settings: Settings,
    gateway: Gateway,
}

/// The gateway that the service is started with.
enum Gateway {
    OfSettings,
    Scripted(Arc<ScriptedGateway>),
    /// Each start gets the next one, in turn: like replicas, of which now one and now the other gets the messages.
    InTurn([Arc<SimulatedGateway>; 2], AtomicUsize),
}

impl TestedService for PaymentService {
    type Migrator = Migrator;
    const SERVICE: Service = Service::Payment;

    fn work(&self) -> &WorkSettings {
        &self.settings.work
    }

    async fn start(&self, deps: ServiceDeps, listener: TcpListener) -> anyhow::Result<RunningService> {
        let settings = &self.settings.payment;
        match &self.gateway {
            Gateway::OfSettings => payment::start(settings, deps, listener.into()).await,
            Gateway::Scripted(gateway) => {
                payment::start_with(Arc::clone(gateway) as _, settings, deps, listener.into()).await
            }
            Gateway::InTurn(gateways, starts) => {
                let gateway = &gateways[starts.fetch_add(1, Ordering::Relaxed) % gateways.len()];
                payment::start_with(Arc::clone(gateway) as _, settings, deps, listener.into()).await
            }
        }
    }
}

/// A running service, and everything around it. A test ends with [`Harness::finish`], which checks what is left.
pub(crate) struct Harness {
    pub(crate) service: ServiceHarness<PaymentService>,
    pub(crate) gateway: Arc<ScriptedGateway>,
    order: Peer,
    _inventory: Peer,
}

impl Harness {
    pub(crate) async fn start(database: DatabaseKind) -> Self {
        Self::start_with(database, &[]).await
    }

    /// Starts a service with these flags.
    pub(crate) async fn start_with(database: DatabaseKind, flags: &[&str]) -> Self {
        let gateway = Arc::new(ScriptedGateway::new());
        Self::start_at(database, Gateway::Scripted(gateway), flags, &[]).await
    }

    /// Starts a service with the simulated gateway that its flags describe, instead of the scripted one.
    pub(crate) async fn start_simulated(database: DatabaseKind, flags: &[&str]) -> Self {
        Self::start_at(database, Gateway::OfSettings, flags, &[]).await
    }

    /// Starts a service with these gateways: each start gets the next one, in turn.
    pub(crate) async fn start_in_turn(database: DatabaseKind, gateways: [SimulatedGateway; 2]) -> Self {
        Self::start_at(database, Gateway::InTurn(gateways.map(Arc::new), AtomicUsize::new(0)), &[], &[]).await
    }

    /// Starts a service with these API keys.
    pub(crate) async fn start_with_keys(database: DatabaseKind, keys: &[TestKey]) -> Self {
        let gateway = Arc::new(ScriptedGateway::new());
        Self::start_at(database, Gateway::Scripted(gateway), &[], keys).await
    }

    async fn start_at(database: DatabaseKind, gateway: Gateway, flags: &[&str], keys: &[TestKey]) -> Self {
        let settings = Settings::parse_from(["payment", "--tick", "5ms"].iter().chain(flags));
        let scripted = match &gateway {
            Gateway::Scripted(gateway) => Arc::clone(gateway),
            Gateway::OfSettings | Gateway::InTurn(..) => Arc::new(ScriptedGateway::new()),
        };
        let service = ServiceHarness::start_with_keys(database, PaymentService { settings, gateway }, keys).await;
        let (mut order, mut inventory) = (service.peer(Service::Order).await, service.peer(Service::Inventory).await);
        // Like the order service's inbox: a message that is delivered again after a restart counts once.
        let mut inbox = HashSet::new();
        let keep = move |message: &Envelope| {
            let publisher = message.event.body.event_type().flow().publisher;
            publisher == Service::Payment && inbox.insert(message.header.id)
        };
        order.consume_if(keep).await;
        inventory.consume_if(|_| false).await;
        Self { service, gateway: scripted, order, _inventory: inventory }
    }

    /// Publishes a message, and waits until the service has committed it.
    pub(crate) async fn publish(&mut self, message: &Envelope) {
        self.order.publish_all([message]).await;
    }

    /// Publishes these messages together, in this order, and does not wait for the service.
    pub(crate) async fn hand_over(&mut self, messages: impl IntoIterator<Item = &Envelope>) {
        self.hand_over_raw(messages.into_iter().map(outgoing).collect()).await;
    }

    /// Like [`hand_over`](Self::hand_over), for bodies that need not be events.
    pub(crate) async fn hand_over_raw(&mut self, messages: Vec<Outgoing>) {
        self.order.hand_over(messages).await;
    }

    /// Waits until the service has committed this message, after [`hand_over`](Self::hand_over).
    pub(crate) async fn committed(&mut self, id: MessageId) {
        self.order.committed(id).await;
    }

    /// The next event that the service publishes for order.
    pub(crate) async fn receive(&mut self) -> Event {
        self.order.receive_any().await.event
    }

    /// All rows, including tombstones.
    pub(crate) async fn rows(&self) -> Vec<Payment> {
        let rows = store::all(&self.service.observer().reader(), PaymentId(0), 10_000).await.unwrap();
        rows.into_iter().map(|(_, payment)| payment.unwrap()).collect()
    }

    /// The row of this saga, and asserts that there is at most one.
    pub(crate) async fn row(&self, saga_id: SagaId) -> Option<Payment> {
        let mut found = store::of_sagas(&self.service.observer().reader(), &[saga_id]).await.unwrap();
        assert!(found.len() <= 1 && found.iter().all(|payment| payment.saga_id() == Some(saga_id)), "{found:?}");
        found.pop()
    }

    /// The states of all rows, by number.
    pub(crate) async fn states(&self) -> Vec<String> {
        self.rows().await.iter().map(|payment| payment.state.to_string()).collect()
    }

    /// Waits until the payment of this saga is in this state.
    pub(crate) async fn until_state(&self, saga_id: SagaId, state: &str) {
        until(state, async || self.row(saga_id).await.is_some_and(|payment| payment.state.as_str() == state)).await;
    }

    /// Requests an authorization. Returns the status and the body of the response.
    pub(crate) async fn authorize(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.service.http.request(Method::POST, "/api/v1/payments/authorize");
        let answer = answer(request.header(CONTENT_TYPE, "application/json").body(body)).await;
        (answer.status, answer.body)
    }

    /// Like [`authorize`](Self::authorize), with the header `Idempotency-Key`.
    pub(crate) async fn authorize_with_key(&self, key: &str, body: &str) -> Answer {
        let request = self.service.http.request(Method::POST, "/api/v1/payments/authorize");
        let request = request.header(CONTENT_TYPE, "application/json").header("idempotency-key", key);
        answer(request.body(body.to_owned())).await
    }

    /// Starts one more replica of the service.
    pub(crate) async fn replica(&self) -> RunningService {
        self.service.start_on(self.service.another_writer().await).await.0
    }

    /// Sends a GET. Returns the status and the body of the response.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.service.http.get(path).await;
        (answer.status, answer.body)
    }

    /// Returns how many calls of the gateway the metrics have counted.
    pub(crate) async fn gateway_calls(&self, operation: &str, result: &str) -> f64 {
        let text = self.service.http.get("/metrics").await.text;
        let labels = format!("service=\"payment\",operation=\"{operation}\",result=\"{result}\"");
        let sample = format!("order_system_gateway_calls_total{{{labels}}} ");
        text.lines().find_map(|line| line.strip_prefix(&sample)).expect(&sample).parse().unwrap()
    }

    /// Ends the test: the service stops with nothing left over, and the test has received all that it published.
    pub(crate) async fn finish(mut self) {
        self.service.finish().await;
        assert_eq!(self.order.received(), [], "the test did not ask for it");
    }
}
