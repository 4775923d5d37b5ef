//! A running inventory, and the order and the payment service as a test plays them.

use clap::Parser;
use inventory::{
    InventorySettings, Migrator,
    domain::{Reservation, ReservationId, State},
    store,
};
use reqwest::Method;
use serde_json::{Value, json};
use service_host::{
    service::{RunningService, ServiceDeps},
    settings::WorkSettings,
};
use shared_events::{Envelope, Event, EventBody, OrderDetails, SagaId, Service, Sku};
use testkit::service::{Answer, DatabaseKind, Peer, ServiceHarness, TestKey, TestedService, answer, new_message};
use tokio::net::TcpListener;

#[derive(Parser)]
pub(crate) struct Settings {
    #[command(flatten)]
    inventory: InventorySettings,
    #[command(flatten)]
    work: WorkSettings,
}

impl TestedService for Settings {
    type Migrator = Migrator;
    const SERVICE: Service = Service::Inventory;

    fn work(&self) -> &WorkSettings {
        &self.work
    }

    async fn start(&self, deps: ServiceDeps, listener: TcpListener) -> anyhow::Result<RunningService> {
        inventory::start(&self.inventory, deps, listener.into()).await
    }
}

/// A running service, and everything around it. A test ends with [`Harness::finish`], which checks what is left.
pub(crate) struct Harness {
    pub(crate) service: ServiceHarness<Settings>,
    order: Peer,
    payment: Peer,
}

impl Harness {
    pub(crate) async fn start(database: DatabaseKind) -> Self {
        Self::start_with(database, &[]).await
    }

    /// Starts a service with these flags.
    pub(crate) async fn start_with(database: DatabaseKind, flags: &[&str]) -> Self {
        Self::start_with_keys(database, flags, &[]).await
    }

    /// Starts a service with these flags, whose clients have these API keys.
    pub(crate) async fn start_with_keys(database: DatabaseKind, flags: &[&str], keys: &[TestKey]) -> Self {
        let settings = Settings::parse_from(["inventory", "--tick", "20ms"].iter().chain(flags));
        let service = ServiceHarness::start_with_keys(database, settings, keys).await;
        let mut order = service.peer(Service::Order).await;
        let mut payment = service.peer(Service::Payment).await;
        for peer in [&mut order, &mut payment] {
            // They receive each other's events, too.
            peer.consume_if(|envelope| envelope.event.body.event_type().flow().publisher == Service::Inventory).await;
        }
        Self { service, order, payment }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.service.http.get(path).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.service.http.post(path, body).await
    }

    /// Sends a request without a body.
    pub(crate) async fn request(&self, method: Method, path: &str) -> Answer {
        answer(self.service.http.request(method, path)).await
    }

    /// Reserves stock for a client; returns the response.
    pub(crate) async fn reserve(&self, sku: &str, quantity: i64) -> Value {
        let answer = self.post("/api/v1/stock/reserve", &json!({"item_sku": sku, "quantity": quantity})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Sets the stock of an item.
    pub(crate) async fn stock(&self, sku: &str, quantity: i64) {
        let answer = self.post("/api/v1/stock/items", &json!({"item_sku": sku, "quantity": quantity})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// The units of an item as REST shows them: available, held, sold.
    pub(crate) async fn units(&self, sku: &str) -> (i64, i64, i64) {
        let item = self.get(&format!("/api/v1/stock/{sku}")).await;
        assert_eq!(item.status, 200, "{item:?}");
        let number = |name: &str| item.body[name].as_i64().unwrap();
        (number("quantity"), number("reserved"), number("sold"))
    }

    /// Publishes an event in a new message, and waits until the inventory has committed it.
    pub(crate) async fn publish(&mut self, saga_id: SagaId, order: &OrderDetails, body: EventBody) -> Envelope {
        let message = message(saga_id, order, &body);
        self.publish_all([&message]).await;
        message
    }

    /// Publishes these at once, and waits until the inventory has committed all of them. The events of payment come
    /// from the same publisher: the order of messages from different ones is not defined.
    pub(crate) async fn publish_all(&mut self, messages: impl IntoIterator<Item = &Envelope>) {
        self.order.publish_all(messages).await;
    }

    /// Takes the messages that order and payment have received since the last call, once everything is published.
    pub(crate) async fn received(&mut self) -> [Vec<Envelope>; 2] {
        self.service.outbox_is_empty().await;
        [self.order.received(), self.payment.received()]
    }

    /// Takes the events that order has received since the last call, once everything is published.
    pub(crate) async fn events(&mut self) -> Vec<EventBody> {
        let [order, _] = self.received().await;
        order.into_iter().map(|envelope| envelope.event.body).collect()
    }

    pub(crate) async fn reservations(&self) -> Vec<Reservation> {
        let reader = self.service.observer().reader();
        let rows = store::all_reservations(&reader, None, None, ReservationId(0), 10_000).await.unwrap();
        rows.into_iter().map(|(_, reservation)| reservation.unwrap()).collect()
    }

    pub(crate) async fn state_of(&self, saga_id: SagaId) -> Option<State> {
        let reservations = self.reservations().await;
        reservations.into_iter().find(|one| one.saga_id() == Some(saga_id)).map(|one| one.state)
    }

    /// Everything in the database except the messages.
    pub(crate) async fn everything(&self) -> (Vec<store::stock_items::Model>, Vec<Reservation>) {
        let items = store::all_items(&self.service.observer().reader(), "", 10_000).await.unwrap();
        (items, self.reservations().await)
    }

    /// The reasons of the dead letters, of which there are `count`.
    pub(crate) async fn dead_letters(&mut self, count: usize) -> Vec<String> {
        self.service.dead_letters(count).await.into_iter().map(|letter| letter.reason).collect()
    }

    /// Ends the test: the service stops with nothing left over, and the stock is what its reservations say.
    pub(crate) async fn finish(self) {
        let (items, reservations) = self.everything().await;
        for item in items {
            assert_eq!(item.received, item.available + item.held + item.sold, "{item:?}");
            let booked = |state: &State| -> i64 {
                let of_state = reservations.iter().filter(|one| one.state == *state);
                let lines = of_state.flat_map(Reservation::lines).filter(|line| line.sku.as_str() == item.sku);
                lines.map(|line| line.quantity.units()).sum()
            };
            let sku = Sku::parse(&item.sku).unwrap();
            let returned: i64 = reservations.iter().map(|one| one.returned(&sku)).sum();
            assert_eq!((item.held, item.sold), (booked(&State::Held), booked(&State::Sold) - returned), "{item:?}");
        }
        self.service.finish().await;
    }
}

/// A new message.
pub(crate) fn message(saga_id: SagaId, order: &OrderDetails, body: &EventBody) -> Envelope {
    new_message(Event { saga_id, order: order.clone(), body: body.clone() })
}
