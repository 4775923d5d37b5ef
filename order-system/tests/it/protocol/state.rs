//! The whole state at one moment: the services, the gateway, and the messages in flight.

use std::collections::{BTreeMap, BTreeSet};

use order::domain::{NewOrder, NewRefund, Status};
use payment::domain::{Answer, RefundState, State as PaymentState, Step};
use shared_events::{Event, EventBody, Line, Lines, Money, OrderDetails, Quantity, RefundId, SagaId, Service, Sku};
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
    /// Whether an authorization may expire before it is captured.
    pub(super) expires: bool,
    /// How many refunds a customer may request.
    pub(super) refunds: u8,
    /// How many refunds may fail after the gateway has accepted them.
    pub(super) reversals: u8,
    /// How often the payment service may crash after a call to the gateway, so that the answer is lost.
    pub(super) crashes: u8,
}

/// What the gateway has recorded for a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Booked {
    Prepared,
    Charged,
    Declined,
    Voided,
    Captured,
    Expired,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) world: World,
    /// The messages in flight, with the number of copies.
    in_flight: BTreeMap<Message, u8>,
    /// What the gateway has answered and the payment service has not handled yet.
    answers: BTreeMap<(SagaId, Step), Answer>,
    booked: BTreeMap<SagaId, Booked>,
    /// What the gateway has given back, without what has failed since.
    refunded: BTreeSet<RefundId>,
    /// What has failed after the gateway had accepted it.
    reversed: BTreeSet<RefundId>,
    pub(super) chances: Chances,
    /// Maximum number of copies of the same message in flight.
    pub(super) copies: u8,
}

type Message = (Service, SagaId, EventBody);

/// A step that is eventually taken automatically, for as long as it is possible.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Deliver(Message),
    AskGateway(SagaId, Step),
    HandleAnswer(SagaId, Step),
    OrderClock(SagaId),
    InventoryClock(SagaId),
    RefundClock(RefundId),
    /// Somebody lets the gateway send it again, because the order has not heard of it.
    Webhook(RefundId),
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
            answers: BTreeMap::new(),
            booked: BTreeMap::new(),
            refunded: BTreeSet::new(),
            reversed: BTreeSet::new(),
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

    /// The customer requests a refund: at first of three quarters of the order with one of the units, then of the rest.
    fn request_refund(&mut self, saga: SagaId) {
        let order = &self.world.orders[&saga];
        let earlier = self.world.refunds.values().filter(|refund| refund.saga_id == saga).count() as u128;
        let line = Line { sku: Sku::parse("SKU-ABC").unwrap(), quantity: Quantity::new(1).unwrap() };
        let events = self.world.refund(
            saga,
            NewRefund {
                refund_id: RefundId(Uuid::from_u128(saga.0.as_u128() * 100 + earlier)),
                order_id: order.details.order_id,
                amount: (earlier == 0).then(|| "150".to_owned()),
                items: (earlier == 0).then(|| Lines::new([line]).unwrap()),
                restock: true,
                reason: None,
                idempotency_key: None,
            },
        );
        self.publish(events);
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

    fn deliver(&mut self, message: &Message) {
        self.take(message);
        let (service, saga, body) = message.clone();
        let event = Event { saga_id: saga, order: self.details(saga), body };
        let events = self.world.handle(service, &event);
        self.publish(events);
    }

    /// The gateway acts and answers. It keeps what its port promises: a repeated call changes nothing, and a void is
    /// final.
    fn ask_gateway(&mut self, saga: SagaId, step: Step, accepts: bool) {
        let booked = self.booked.entry(saga).or_insert(Booked::Prepared);
        *booked = match (step, *booked) {
            (Step::Authorize, Booked::Prepared) if accepts => Booked::Charged,
            (Step::Authorize, Booked::Prepared) => Booked::Declined,
            (Step::Capture, Booked::Charged) => Booked::Captured,
            (Step::Void, Booked::Prepared | Booked::Charged) => Booked::Voided,
            (_, booked) => booked,
        };
        let answer = match (step, *booked) {
            (Step::Prepare, _) => Answer::Prepared { reference: "reference".to_owned() },
            (Step::Authorize, Booked::Charged) => Answer::Authorized,
            (Step::Authorize, _) => Answer::Declined { reason: "too much".to_owned() },
            (Step::Capture, Booked::Captured) => Answer::Captured { reference: "captured".to_owned() },
            (Step::Capture, _) => Answer::CaptureFailed { reason: "expired".to_owned() },
            (Step::Void, _) => Answer::Voided,
            (Step::Refund(id), booked) => {
                assert_eq!(booked, Booked::Captured, "{self:#?}");
                self.refunded.insert(id);
                Answer::Refunded(id)
            }
        };
        self.answers.insert((saga, step), answer);
    }

    fn handle_answer(&mut self, saga: SagaId, step: Step) {
        let answer = self.answers.remove(&(saga, step)).unwrap();
        let events = self.world.gateway_answers(saga, &answer);
        self.publish(events);
    }

    /// The gateway says that a refund has failed after it had accepted it.
    fn webhook(&mut self, id: RefundId) {
        let events = self.world.refund_reversed(self.world.refunds[&id].saga_id, id);
        self.publish(events);
    }

    /// Returns the refunds that have failed at the gateway, and of which the order does not know it.
    fn untold_reversals(&self) -> impl Iterator<Item = RefundId> {
        let untold = |id: &&RefundId| !matches!(self.world.refunds[*id].state, order::domain::RefundState::Failed(_));
        self.reversed.iter().filter(untold).copied()
    }

    /// Returns every possible step, including those that change nothing.
    pub(super) fn all_next(&self, accepts: bool) -> Vec<Next> {
        let mut all = Vec::new();
        let mut step_of = |action: Option<Action>, step: &dyn Fn(&mut Self)| {
            let mut state = self.clone();
            step(&mut state);
            all.push(Next { state, action });
        };
        for message in self.in_flight.keys() {
            step_of(Some(Action::Deliver(message.clone())), &|state| state.deliver(message));
            if self.chances.losses > 0 {
                step_of(None, &|state| {
                    state.take(message);
                    state.chances.losses -= 1;
                });
            }
        }
        for (saga, step) in self.world.gateway_steps() {
            if !self.answers.contains_key(&(saga, step)) {
                step_of(Some(Action::AskGateway(saga, step)), &|state| {
                    state.ask_gateway(saga, step, accepts);
                    // Only between a charge and its answer can anything happen that matters.
                    if step != Step::Authorize {
                        state.handle_answer(saga, step);
                    }
                });
            }
        }
        for &(saga, step) in self.answers.keys() {
            step_of(Some(Action::HandleAnswer(saga, step)), &|state| state.handle_answer(saga, step));
            if self.chances.crashes > 0 {
                step_of(None, &|state| {
                    state.chances.crashes -= 1;
                    state.answers.remove(&(saga, step));
                });
            }
        }
        for (&saga, payment) in self.world.payments.iter().filter(|_| self.chances.expires) {
            // Before that, it is the same as one that is declined.
            if payment.state == PaymentState::Capturing && self.booked.get(&saga) == Some(&Booked::Charged) {
                step_of(None, &|state| {
                    state.chances.expires = false;
                    state.booked.insert(saga, Booked::Expired);
                });
            }
        }
        for &saga in self.world.orders.keys().filter(|_| self.chances.clocks) {
            step_of(Some(Action::OrderClock(saga)), &|state| {
                let events = state.world.order_clock(saga);
                state.publish(events);
            });
            step_of(Some(Action::InventoryClock(saga)), &|state| {
                let events = state.world.inventory_clock(saga);
                state.publish(events);
            });
        }
        for &id in self.world.refunds.keys().filter(|_| self.chances.clocks) {
            step_of(Some(Action::RefundClock(id)), &|state| {
                let events = state.world.refund_clock(id);
                state.publish(events);
            });
        }
        let confirmed = self.world.orders.iter().filter(|(_, order)| order.status() == Status::Confirmed);
        for (&saga, _) in confirmed.filter(|_| self.chances.refunds > 0) {
            step_of(None, &|state| {
                state.chances.refunds -= 1;
                state.request_refund(saga);
            });
        }
        for &id in self.refunded.iter().filter(|_| self.chances.reversals > 0) {
            step_of(None, &|state| {
                state.chances.reversals -= 1;
                state.refunded.remove(&id);
                state.reversed.insert(id);
                state.webhook(id);
            });
        }
        for id in self.untold_reversals() {
            step_of(Some(Action::Webhook(id)), &|state| state.webhook(id));
        }
        for &saga in self.world.orders.keys().filter(|_| self.chances.cancels > 0) {
            step_of(None, &|state| {
                state.chances.cancels -= 1;
                let events = state.world.cancel(saga);
                state.publish(events);
            });
        }
        all
    }

    /// Returns whether nothing is in flight and no clock has anything to do.
    pub(super) fn is_quiet_end(&self) -> bool {
        self.in_flight.is_empty()
            && self.answers.is_empty()
            && self.world.is_at_rest()
            && self.untold_reversals().next().is_none()
    }

    /// Returns what must not exist at a quiet end: breaches of the audit, and charges at the gateway without a payment.
    pub(super) fn breaches(&self) -> Vec<String> {
        let mut breaches = self.world.audit();
        let refunds = self.world.payments.values().flat_map(|payment| &payment.refunds);
        let refunded = refunds.filter(|one| one.state == RefundState::Refunded).map(|one| one.details.refund_id);
        if refunded.collect::<BTreeSet<_>>() != self.refunded {
            breaches.push(format!("the gateway has refunded {:?}", self.refunded));
        }
        for saga in self.world.orders.keys() {
            let charged = self.booked.get(saga) == Some(&Booked::Charged);
            let payment = self.world.payments.get(saga).map(|payment| &payment.state);
            let captured = self.booked.get(saga) == Some(&Booked::Captured);
            if charged != (payment == Some(&PaymentState::Authorized))
                || captured != (payment == Some(&PaymentState::Captured))
            {
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
