use std::fmt;

use serde::{Deserialize, Serialize};

use crate::EventType;

/// One of the three services. Its name is the name of its queue; `<name>.deliveries` and `<name>.events` are its exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Collects the facts of an order and answers for its status.
    Order,
    /// Holds, sells and gives back stock.
    Inventory,
    /// Authorizes and voids payments.
    Payment,
}

impl Service {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Order, Self::Inventory, Self::Payment];

    /// `order`, `inventory` or `payment`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Inventory => "inventory",
            Self::Payment => "payment",
        }
    }

    /// The events that this service listens to.
    pub fn subscriptions(self) -> impl Iterator<Item = &'static Flow> {
        FLOWS.iter().filter(move |flow| flow.consumers.contains(&self))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One row of the flow table: an event, who publishes it under which routing key, and who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// What happened.
    pub event: EventType,
    /// What listeners bind to at the publisher's topic exchange. (The copies for the consumers have their names as keys.)
    pub routing_key: &'static str,
    /// The only service that may say so.
    pub publisher: Service,
    /// Who must hear it. Empty: whoever listens.
    pub consumers: &'static [Service],
}

const fn flow(event: EventType, routing_key: &'static str, publisher: Service, consumers: &'static [Service]) -> Flow {
    Flow { event, routing_key, publisher, consumers }
}

/// The flow table, the only place that says who talks to whom. Subscriptions, the broker's definitions and the table in
/// `docs/saga.md` are held to it by tests.
pub const FLOWS: &[Flow] = {
    use EventType as E;
    use Service::{Inventory, Order, Payment};
    &[
        flow(E::OrderCreated, "order.created", Order, &[Inventory]),
        flow(E::StockReserved, "stock.reserved", Inventory, &[Payment, Order]),
        flow(E::StockReservationFailed, "stock.reservation-failed", Inventory, &[Order]),
        flow(E::PaymentAuthorized, "payment.authorized", Payment, &[Order]),
        flow(E::PaymentFailed, "payment.failed", Payment, &[Inventory, Order]),
        flow(E::StockReleased, "stock.released", Inventory, &[Order]),
        flow(E::OrderConfirmed, "order.confirmed", Order, &[Inventory]),
        flow(E::OrderFailed, "order.failed", Order, &[]),
        flow(E::OrderCancelled, "order.cancelled", Order, &[]),
        flow(E::OrderCancelRequested, "order.cancel-requested", Order, &[Inventory, Payment]),
        flow(E::PaymentVoided, "payment.voided", Payment, &[Order]),
        flow(E::StockHoldOverdue, "stock.hold-overdue", Inventory, &[Order]),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_stands_in_the_table_once_in_its_own_row() {
        let events: Vec<_> = FLOWS.iter().map(|flow| flow.event).collect();
        assert_eq!(events, EventType::ALL);
        for flow in FLOWS {
            assert_eq!(flow.event.flow(), flow);
            assert!(!flow.consumers.contains(&flow.publisher), "{flow:?}: nobody tells himself");
        }
    }
}
