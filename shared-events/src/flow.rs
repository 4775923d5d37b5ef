use std::fmt;

use saga_message::{Route, ServiceSpec};
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
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Inventory => "inventory",
            Self::Payment => "payment",
        }
    }

    /// The port that it listens on if nothing else is said.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Order => 8001,
            Self::Inventory => 8002,
            Self::Payment => 8003,
        }
    }

    /// How the runtime and the brokers see it. The order service makes the system's id.
    #[must_use]
    pub const fn spec(self) -> ServiceSpec {
        ServiceSpec {
            system: "order-system",
            name: self.name(),
            routes: ROUTES,
            creates_system_id: matches!(self, Self::Order),
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
    /// The same for the runtime and the brokers.
    pub route: &'static Route,
}

const fn route(
    publisher: Service,
    routing_key: &'static str,
    message_type: &'static str,
    consumers: &'static [&'static str],
) -> Route {
    Route { publisher: publisher.name(), routing_key, message_type, consumers }
}

macro_rules! flows {
    ($($event:ident, $key:literal, $publisher:ident => [$($consumer:ident),*];)*) => {
        /// The flow table, the only place that says who talks to whom. Subscriptions, the broker's definitions and the
        /// table in `docs/saga.md` are held to it by tests.
        pub const FLOWS: &[Flow] = &[$(Flow {
            event: EventType::$event,
            routing_key: $key,
            publisher: Service::$publisher,
            consumers: &[$(Service::$consumer),*],
            route: &route(Service::$publisher, $key, concat!("order-system.", $key, ".v1"), &[$(Service::$consumer.name()),*]),
        },)*];

        /// The routes of [`FLOWS`].
        pub const ROUTES: &[Route] = &[$(route(Service::$publisher, $key, concat!("order-system.", $key, ".v1"), &[$(Service::$consumer.name()),*])),*];
    };
}

flows! {
    OrderCreated, "order.created", Order => [Inventory];
    StockReserved, "stock.reserved", Inventory => [Payment, Order];
    StockReservationFailed, "stock.reservation-failed", Inventory => [Order];
    PaymentAuthorized, "payment.authorized", Payment => [Order];
    PaymentFailed, "payment.failed", Payment => [Inventory, Order];
    StockReleased, "stock.released", Inventory => [Order];
    OrderConfirmed, "order.confirmed", Order => [Inventory];
    OrderFailed, "order.failed", Order => [];
    OrderCancelled, "order.cancelled", Order => [];
    OrderCancelRequested, "order.cancel-requested", Order => [Inventory, Payment];
    PaymentVoided, "payment.voided", Payment => [Order];
    StockHoldOverdue, "stock.hold-overdue", Inventory => [Order];
}

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
