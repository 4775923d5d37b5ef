//! The three pure domains joined together, without a broker, a database or a clock: the state of the services after
//! some steps, and the events that they publish.

use std::{collections::BTreeMap, time::Duration};

use inventory::domain::{Reservation, ReservationId, State as ReservationState, StockItem};
use order::domain::{NewOrder, NewRefund, Order, Refund, on_refund_event};
use order_system::audit::{
    refunds::of_refunds,
    rules::{self, Counts},
};
use payment::domain::{Answer, Payment, PaymentId, Step, on_answer, refund_reversed};
use shared_events::{Event, OrderId, RefundId, SagaId, Service, Sku, Timestamp};

/// All times are equal, so everything is due at once; the test chooses what happens next.
const NOW: Timestamp = Timestamp::from_unix_micros(0);
const CANCEL_POLICY: order::domain::CancelPolicy = order::domain::CancelPolicy {
    deadline: Duration::ZERO,
    first_repeat: Duration::ZERO,
    longest_repeat: Duration::ZERO,
};
const HOLD_POLICY: inventory::domain::HoldPolicy =
    inventory::domain::HoldPolicy { hold_time: Duration::ZERO, longest_repeat: Duration::ZERO };

/// The content of the three databases.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct World {
    pub(crate) orders: BTreeMap<SagaId, Order>,
    pub(crate) refunds: BTreeMap<RefundId, Refund>,
    pub(crate) reservations: BTreeMap<SagaId, Reservation>,
    pub(crate) payments: BTreeMap<SagaId, Payment>,
    pub(crate) stock: BTreeMap<Sku, StockItem>,
}

impl World {
    pub(crate) fn with_stock(stock: impl IntoIterator<Item = (Sku, i64)>) -> Self {
        let item = |(sku, units): (Sku, i64)| {
            let mut item = StockItem::new(sku.clone());
            item.set_available(units).unwrap();
            (sku, item)
        };
        Self { stock: stock.into_iter().map(item).collect(), ..Self::default() }
    }

    pub(crate) fn place(&mut self, new: NewOrder) -> Vec<Event> {
        let id = OrderId(self.orders.len() as i64 + 1);
        let (order, created) = Order::place(new, id, NOW, &CANCEL_POLICY);
        self.orders.insert(order.saga_id, order);
        vec![created]
    }

    /// Lets a service handle an event.
    pub(crate) fn handle(&mut self, service: Service, event: &Event) -> Vec<Event> {
        match service {
            Service::Order => self.handle_at_order(event),
            Service::Inventory => self.handle_at_inventory(event),
            Service::Payment => self.handle_at_payment(event),
        }
    }

    fn handle_at_order(&mut self, event: &Event) -> Vec<Event> {
        if let Some(details) = event.body.refund() {
            let (order, refund) = (&self.orders[&event.saga_id], &self.refunds[&details.refund_id]);
            let (refund, order) = on_refund_event(order, refund, &event.body, NOW);
            self.refunds.extend(refund.map(|refund| (refund.details.refund_id, refund)));
            self.orders.extend(order.map(|order| (event.saga_id, order)));
            return Vec::new();
        }
        let transition = order::domain::on_event(self.orders.get(&event.saga_id), event, NOW);
        self.change_order(event.saga_id, transition)
    }

    fn handle_at_inventory(&mut self, event: &Event) -> Vec<Event> {
        let known = self.reservations.get(&event.saga_id);
        let mut new_ids = (1..).map(ReservationId).skip(self.reservations.len());
        let context = inventory::domain::Context {
            stock: &mut self.stock,
            new_ids: &mut new_ids,
            now: NOW,
            hold_policy: &HOLD_POLICY,
        };
        let transition = inventory::domain::on_event(known, event, context)
            .unwrap_or_else(|impossible| panic!("it would be dead-lettered: {impossible}"));
        self.reservations.extend(transition.reservation.map(|reservation| (event.saga_id, reservation)));
        transition.event.map(|body| Event { body, ..event.clone() }).into_iter().collect()
    }

    fn handle_at_payment(&mut self, event: &Event) -> Vec<Event> {
        let known = self.payments.get(&event.saga_id);
        let new_id = PaymentId(self.payments.len() as i64 + 1);
        let transition = payment::domain::on_event(known, event, new_id, NOW)
            .unwrap_or_else(|impossible| panic!("it would be dead-lettered: {impossible}"));
        self.payments.extend(transition.payment.map(|payment| (event.saga_id, payment)));
        transition.events.into_iter().map(|body| Event { body, ..event.clone() }).collect()
    }

    /// Returns the payments that the gateway is to be asked about, and what.
    pub(crate) fn gateway_steps(&self) -> Vec<(SagaId, Step)> {
        self.payments.iter().filter_map(|(saga, payment)| Some((*saga, payment.step()?))).collect()
    }

    /// Lets payment handle an answer of the gateway.
    pub(crate) fn gateway_answers(&mut self, saga: SagaId, answer: &Answer) -> Vec<Event> {
        let transition = on_answer(&self.payments[&saga], answer, NOW);
        self.payments.extend(transition.payment.map(|payment| (saga, payment)));
        let order = &self.orders[&saga].details;
        transition.events.into_iter().map(|body| Event { saga_id: saga, order: order.clone(), body }).collect()
    }

    /// Lets payment handle that the gateway had accepted a refund, and that it has failed since.
    pub(crate) fn refund_reversed(&mut self, saga: SagaId, id: RefundId) -> Vec<Event> {
        let payment = &self.payments[&saga];
        let transition = refund_reversed(payment, id, "the card is gone", NOW);
        let order = payment.order_of_refund(id);
        self.payments.extend(transition.payment.map(|payment| (saga, payment)));
        let order = order.unwrap_or_else(|| panic!("the refund {id:?} knows no lines"));
        transition.events.into_iter().map(|body| Event { saga_id: saga, order: order.clone(), body }).collect()
    }

    /// Cancels an order for the customer.
    pub(crate) fn cancel(&mut self, saga: SagaId) -> Vec<Event> {
        let transition = order::domain::on_cancel(&self.orders[&saga], NOW, &CANCEL_POLICY);
        self.change_order(saga, transition.unwrap_or_default())
    }

    /// Requests a refund for the customer. It may be refused.
    pub(crate) fn refund(&mut self, saga: SagaId, new: NewRefund) -> Vec<Event> {
        let requested = Refund::request(&self.orders[&saga], self.refunds_of(saga), new, NOW, &CANCEL_POLICY);
        let Ok((refund, event)) = requested else { return Vec::new() };
        self.refunds.insert(refund.details.refund_id, refund);
        vec![event]
    }

    fn refunds_of(&self, saga: SagaId) -> impl Iterator<Item = &Refund> + Clone {
        self.refunds.values().filter(move |refund| refund.saga_id == saga)
    }

    /// Repeats what was not answered about a refund.
    pub(crate) fn refund_clock(&mut self, id: RefundId) -> Vec<Event> {
        let refund = self.refunds.get_mut(&id).unwrap();
        let event = refund.wake(NOW, &CANCEL_POLICY);
        // The number of repeats does not change the behaviour.
        refund.repeats = 0;
        event.into_iter().collect()
    }

    /// Checks an order's deadline.
    pub(crate) fn order_clock(&mut self, saga: SagaId) -> Vec<Event> {
        let transition = order::domain::on_tick(&self.orders[&saga], NOW, &CANCEL_POLICY);
        self.change_order(saga, transition)
    }

    /// Checks whether a reservation is overdue.
    pub(crate) fn inventory_clock(&mut self, saga: SagaId) -> Vec<Event> {
        let Some(reservation) = self.reservations.get_mut(&saga) else { return Vec::new() };
        let transition = inventory::domain::on_tick(reservation, NOW, &HOLD_POLICY);
        if let Some(changed) = transition.reservation {
            // The number of repeats does not change the behaviour.
            *reservation = Reservation { repeats: 0, ..changed };
        }
        let order = self.orders[&saga].details.clone();
        transition.event.map(|body| Event { saga_id: saga, order, body }).into_iter().collect()
    }

    fn change_order(&mut self, saga: SagaId, transition: order::domain::Transition) -> Vec<Event> {
        if let Some(changed) = transition.order {
            let before = self.orders[&saga].status();
            assert!(!before.is_terminal() || changed.status() == before, "{before} became {}", changed.status());
            // The number of repeats does not change the behaviour.
            self.orders.insert(saga, Order { repeats: 0, ..changed });
        }
        transition.events
    }

    /// Returns whether everything has ended and no clock has anything to do.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.orders.values().all(|order| order.status().is_terminal() && order.wake_at.is_none())
            && self.reservations.values().all(|reservation| reservation.state != ReservationState::Held)
            && self.refunds.values().all(Refund::has_ended)
            && self.gateway_steps().is_empty()
    }

    /// Returns all breaches of the audit's rules.
    pub(crate) fn audit(&self) -> Vec<String> {
        let of_orders = self.orders.iter().flat_map(|(saga, order)| {
            rules::of_order(order, self.reservations.get(saga), self.payments.get(saga), NOW)
        });
        let of_refunds = self.orders.iter().flat_map(|(saga, order)| {
            let refunds: Vec<Refund> = self.refunds_of(*saga).cloned().collect();
            of_refunds(order, &refunds, self.reservations.get(saga), self.payments.get(saga))
        });
        of_orders.chain(of_refunds).chain(self.audit_stock()).collect()
    }

    /// Returns the breaches of the rules that must hold at any moment.
    pub(crate) fn audit_stock(&self) -> Vec<String> {
        let units = |sku: &Sku, state: &ReservationState| -> i64 {
            let lines = self.reservations.values().filter(|one| one.state == *state).flat_map(Reservation::lines);
            lines.filter(|line| line.sku == *sku).map(|line| line.quantity.units()).sum()
        };
        let of_item = |(sku, item): (&Sku, &StockItem)| {
            let counts =
                Counts { received: item.received(), available: item.available(), held: item.held(), sold: item.sold() };
            let returned: i64 = self.reservations.values().map(|one| one.returned(sku)).sum();
            rules::of_item(counts, units(sku, &ReservationState::Held), units(sku, &ReservationState::Sold) - returned)
        };
        self.stock.iter().flat_map(of_item).collect()
    }
}
