//! The whole state at one moment: the services, the gateway, and the messages in flight.

use std::collections::BTreeMap;

use order::domain::NewOrder;
use payment::domain::{Answer, State as PaymentState};
use shared_events::{Event, EventBody, Line, Lines, Money, OrderDetails, Quantity, SagaId, Service, Sku};
use uuid::Uuid;

use crate::joined::World;

/// The optional events that may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Chances {
    /// How many messages may be lost.
    pub(super) losses: u8,
    /// How often a customer may cancel.
    pub(super) cancels: u8,
    /// Whether deadlines pass and holds become overdue. Without them, a lost message is never noticed.
    pub(super) clocks: bool,
    /// How often the payment service may crash during a call to the gateway, so that the call is repeated.
    pub(super) crashes: u8,
}

/// What the gateway has recorded for a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Booked {
    Charged,
    Voided,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) world: World,
    /// The messages in flight, with the number of copies.
    in_flight: BTreeMap<Message, u8>,
    /// The number of open gateway calls for each payment. Their message is delivered but not acknowledged.
    asked: BTreeMap<SagaId, u8>,
    booked: BTreeMap<SagaId, Booked>,
    chances: Chances,
    /// Maximum number of copies of the same message in flight.
    copies: u8,
}

type Message = (Service, SagaId, EventBody);

/// A step that is eventually taken automatically, for as long as it is possible.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Deliver(Message),
    GatewayAnswers(SagaId),
    GatewayVoids(SagaId),
    OrderClock(SagaId),
    InventoryClock(SagaId),
}

/// A following state. `action` is `None` if an optional event leads to it.
pub(super) struct Next {
    pub(super) state: State,
    pub(super) action: Option<Action>,
}

pub(super) fn saga(number: u128) -> SagaId {
    SagaId(Uuid::from_u128(number))
}

impl State {
    /// Starts with this number of orders, each for two units of one item that has `in_stock` units. `None` means that
    /// the item is unknown.
    pub(super) fn start(orders: u128, in_stock: Option<i64>, chances: Chances, copies: u8) -> Self {
        let sku = Sku::parse("SKU-ABC").unwrap();
        let line = Line { sku: sku.clone(), quantity: Quantity::new(2).unwrap() };
        let mut state = Self {
            world: World::with_stock(in_stock.map(|units| (sku, units))),
            in_flight: BTreeMap::new(),
            asked: BTreeMap::new(),
            booked: BTreeMap::new(),
            chances,
            copies,
        };
        for number in 1..=orders {
            let created = state.world.place(NewOrder {
                saga_id: saga(number),
                owner: String::new(),
                lines: Lines::new([line.clone()]).unwrap(),
                total: Money::from_minor_units(20_000, "USD".parse().unwrap()).unwrap(),
                payment_method: None,
                idempotency_key: None,
            });
            state.publish(created);
        }
        state
    }

    fn publish(&mut self, events: Vec<Event>) {
        for event in events {
            for &consumer in event.body.event_type().flow().consumers {
                let message = (consumer, event.saga_id, event.body.clone());
                let copies = self.in_flight.entry(message).or_default();
                *copies = (*copies + 1).min(self.copies);
            }
        }
    }

    fn take(&mut self, message: &Message) {
        take_one(&mut self.in_flight, message);
    }

    fn details(&self, saga: SagaId) -> OrderDetails {
        self.world.orders[&saga].details.clone()
    }

    fn handle(&mut self, service: Service, saga: SagaId, body: EventBody, answer: &Answer) {
        let event = Event { saga_id: saga, order: self.details(saga), body };
        let events = self.world.handle(service, &event, answer);
        self.publish(events);
    }

    /// Delivers a message to its consumer. If necessary, payment first calls the gateway, which charges at that moment.
    fn deliver(&mut self, message: &Message, answer: &Answer) {
        self.take(message);
        let (service, saga, body) = message.clone();
        if (service, &body) != (Service::Payment, &EventBody::StockReserved) {
            return self.handle(service, saga, body, answer);
        }
        *self.asked.entry(saga).or_default() += 1;
        // A repeated call gets the same answer and charges nothing more, even after a void.
        if matches!(answer, Answer::Authorized { .. }) {
            self.booked.entry(saga).or_insert(Booked::Charged);
        }
    }

    fn gateway_answers(&mut self, saga: SagaId, answer: &Answer) {
        take_one(&mut self.asked, &saga);
        self.handle(Service::Payment, saga, EventBody::StockReserved, answer);
    }

    fn gateway_voids(&mut self, saga: SagaId) {
        self.booked.insert(saga, Booked::Voided);
        let events = self.world.gateway_voids(saga);
        self.publish(events);
    }

    /// The payment service crashes before the answer is known, so the message is delivered again.
    fn call_again(&mut self, saga: SagaId) {
        self.chances.crashes -= 1;
        take_one(&mut self.asked, &saga);
        let copies = self.in_flight.entry((Service::Payment, saga, EventBody::StockReserved)).or_default();
        *copies = (*copies + 1).min(self.copies);
    }

    /// Returns every possible step, including those that change nothing.
    pub(super) fn all_next(&self, answer: &Answer) -> Vec<Next> {
        let mut all = Vec::new();
        let mut step = |action: Option<Action>, step: &dyn Fn(&mut Self)| {
            let mut state = self.clone();
            step(&mut state);
            all.push(Next { state, action });
        };
        for message in self.in_flight.keys() {
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
                step(None, &|state| state.call_again(saga));
            }
        }
        for &saga in &self.world.to_void {
            step(Some(Action::GatewayVoids(saga)), &|state| state.gateway_voids(saga));
        }
        for &saga in self.world.orders.keys().filter(|_| self.chances.clocks) {
            step(Some(Action::OrderClock(saga)), &|state| {
                let events = state.world.order_clock(saga);
                state.publish(events);
            });
            step(Some(Action::InventoryClock(saga)), &|state| {
                let events = state.world.inventory_clock(saga);
                state.publish(events);
            });
        }
        for &saga in self.world.orders.keys().filter(|_| self.chances.cancels > 0) {
            step(None, &|state| {
                state.chances.cancels -= 1;
                let events = state.world.cancel(saga);
                state.publish(events);
            });
        }
        all
    }

    /// Returns whether nothing is in flight and no clock has anything to do.
    pub(super) fn is_quiet_end(&self) -> bool {
        self.in_flight.is_empty() && self.asked.is_empty() && self.world.is_at_rest()
    }

    /// Returns what must not exist at a quiet end: breaches of the audit, and charges at the gateway without a payment.
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
