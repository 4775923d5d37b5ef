//! Everything at one moment: what the services and the gateway hold, and what is on its way between them.

use std::collections::BTreeMap;

use order::domain::NewOrder;
use payment::domain::{Answer, State as PaymentState};
use shared_events::{Event, EventBody, Line, Lines, Money, OrderDetails, Quantity, SagaId, Service, Sku};
use uuid::Uuid;

use crate::joined::World;

/// What may happen, beyond what must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Chances {
    /// How many messages may be lost.
    pub(super) losses: u8,
    /// How often a customer may cancel.
    pub(super) cancels: u8,
    /// Whether deadlines pass and holds become overdue. Without them a lost message is never missed.
    pub(super) clocks: bool,
    /// How often a question to the gateway may be dropped before its answer is known, so that it is asked again.
    pub(super) crashes: u8,
}

/// What the gateway has in its books for a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Booked {
    Charged,
    Voided,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) world: World,
    /// How many copies of the same message there are.
    on_their_way: BTreeMap<Message, u8>,
    /// How many questions about a payment are open: the message is delivered and not acknowledged.
    asked: BTreeMap<SagaId, u8>,
    booked: BTreeMap<SagaId, Booked>,
    chances: Chances,
    /// How many copies of the same message may be on their way at a time.
    copies: u8,
}

type Message = (Service, SagaId, EventBody);

/// A step that is taken by itself, sooner or later, for as long as it can be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Deliver(Message),
    GatewayAnswers(SagaId),
    GatewayVoids(SagaId),
    OrderClock(SagaId),
    InventoryClock(SagaId),
}

/// A state that follows; `action` is none where it took a chance to get there.
pub(super) struct Next {
    pub(super) state: State,
    pub(super) action: Option<Action>,
}

pub(super) fn saga(number: u128) -> SagaId {
    SagaId(Uuid::from_u128(number))
}

impl State {
    /// So many orders for two units each of one item, of which there is so much in stock; `None`: the item is unknown.
    pub(super) fn start(orders: u128, in_stock: Option<i64>, chances: Chances, copies: u8) -> Self {
        let sku = Sku::parse("SKU-ABC").unwrap();
        let line = Line { sku: sku.clone(), quantity: Quantity::new(2).unwrap() };
        let mut state = Self {
            world: World::with_stock(in_stock.map(|units| (sku, units))),
            on_their_way: BTreeMap::new(),
            asked: BTreeMap::new(),
            booked: BTreeMap::new(),
            chances,
            copies,
        };
        for number in 1..=orders {
            let created = state.world.place(NewOrder {
                saga_id: saga(number),
                lines: Lines::new([line.clone()]).unwrap(),
                total: Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap(),
                idempotency_key: None,
            });
            state.say(created);
        }
        state
    }

    fn say(&mut self, events: Vec<Event>) {
        for event in events {
            for &consumer in event.body.event_type().flow().consumers {
                let message = (consumer, event.saga_id, event.body.clone());
                let copies = self.on_their_way.entry(message).or_default();
                *copies = (*copies + 1).min(self.copies);
            }
        }
    }

    fn take(&mut self, message: &Message) {
        take_one(&mut self.on_their_way, message);
    }

    fn details(&self, saga: SagaId) -> OrderDetails {
        self.world.orders[&saga].details.clone()
    }

    fn hear(&mut self, service: Service, saga: SagaId, body: EventBody, answer: &Answer) {
        let event = Event { saga_id: saga, order: self.details(saga), body };
        let said = self.world.hear(service, &event, answer);
        self.say(said);
    }

    /// A message comes to its consumer. Payment asks the gateway first where it has to, which charges at that moment.
    fn deliver(&mut self, message: &Message, answer: &Answer) {
        self.take(message);
        let (service, saga, body) = message.clone();
        if (service, &body) != (Service::Payment, &EventBody::StockReserved) {
            return self.hear(service, saga, body, answer);
        }
        *self.asked.entry(saga).or_default() += 1;
        // ExternalCalls again is answered alike and charges nothing more, also after a void.
        if matches!(answer, Answer::Authorized { .. }) {
            self.booked.entry(saga).or_insert(Booked::Charged);
        }
    }

    fn gateway_answers(&mut self, saga: SagaId, answer: &Answer) {
        take_one(&mut self.asked, &saga);
        self.hear(Service::Payment, saga, EventBody::StockReserved, answer);
    }

    fn gateway_voids(&mut self, saga: SagaId) {
        self.booked.insert(saga, Booked::Voided);
        let said = self.world.gateway_voids(saga);
        self.say(said);
    }

    /// The payment service ends before the answer is known: the message is delivered again.
    fn asks_again(&mut self, saga: SagaId) {
        self.chances.crashes -= 1;
        take_one(&mut self.asked, &saga);
        let copies = self.on_their_way.entry((Service::Payment, saga, EventBody::StockReserved)).or_default();
        *copies = (*copies + 1).min(self.copies);
    }

    /// Every step that can be taken from here; also those that change nothing, for whoever takes them has taken them.
    pub(super) fn all_next(&self, answer: &Answer) -> Vec<Next> {
        let mut all = Vec::new();
        let mut step = |action: Option<Action>, step: &dyn Fn(&mut Self)| {
            let mut state = self.clone();
            step(&mut state);
            all.push(Next { state, action });
        };
        for message in self.on_their_way.keys() {
            step(Some(Action::Deliver(message.clone())), &|state| state.deliver(message, answer));
            if self.chances.losses > 0 {
                step(None, &|state| {
                    state.take(message);
                    state.chances.losses -= 1;
                });
            }
        }
        for &saga in self.asked.keys() {
            step(Some(Action::GatewayAnswers(saga)), &|state| state.gateway_answers(saga, answer));
            if self.chances.crashes > 0 {
                step(None, &|state| state.asks_again(saga));
            }
        }
        for &saga in &self.world.to_void {
            step(Some(Action::GatewayVoids(saga)), &|state| state.gateway_voids(saga));
        }
        for &saga in self.world.orders.keys().filter(|_| self.chances.clocks) {
            step(Some(Action::OrderClock(saga)), &|state| {
                let said = state.world.order_clock(saga);
                state.say(said);
            });
            step(Some(Action::InventoryClock(saga)), &|state| {
                let said = state.world.inventory_clock(saga);
                state.say(said);
            });
        }
        for &saga in self.world.orders.keys().filter(|_| self.chances.cancels > 0) {
            step(None, &|state| {
                state.chances.cancels -= 1;
                let said = state.world.cancel(saga);
                state.say(said);
            });
        }
        all
    }

    /// Nothing is on its way, and no clock finds anything to do.
    pub(super) fn is_quiet_end(&self) -> bool {
        self.on_their_way.is_empty() && self.asked.is_empty() && self.world.is_at_rest()
    }

    /// What must not be at a quiet end: breaches of the audit, and money that the gateway holds and nobody knows of.
    pub(super) fn breaches(&self) -> Vec<String> {
        let mut breaches = self.world.audit();
        for saga in self.world.orders.keys() {
            let charged = self.booked.get(saga) == Some(&Booked::Charged);
            let payment = self.world.payments.get(saga).map(|payment| &payment.state);
            if charged != (payment == Some(&PaymentState::Authorized)) {
                breaches.push(format!("the gateway has {:?}, and the payment is {payment:?}", self.booked.get(saga)));
            }
        }
        breaches
    }
}

fn take_one<K: Ord>(counts: &mut BTreeMap<K, u8>, key: &K) {
    let count = counts.get_mut(key).unwrap();
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}
