use std::fmt;

use saga_message::{Route, ServiceSpec};
use serde::{Deserialize, Serialize};

use crate::EventType;

/// One of the three services. Its name is the name of its queue; its exchanges are `<name>.deliveries` and
/// `<name>.events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Collects the facts about orders and reports their status.
    Order,
    /// Holds, sells and releases stock.
    Inventory,
    /// Authorizes, captures and voids payments.
    Payment,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 3] = [Self::Order, Self::Inventory, Self::Payment];

    /// Returns `order`, `inventory` or `payment`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Inventory => "inventory",
            Self::Payment => "payment",
        }
    }

    /// Returns the port that it listens on by default.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Order => 8001,
            Self::Inventory => 8002,
            Self::Payment => 8003,
        }
    }

    /// Returns the description of the service for the runtime and the brokers. The order service creates the system id.
    #[must_use]
    pub const fn spec(self) -> ServiceSpec {
        ServiceSpec {
            system: "order-system",
            name: self.name(),
            routes: ROUTES,
            creates_system_id: matches!(self, Self::Order),
        }
    }

    /// Returns the events that this service consumes.
    pub fn subscriptions(self) -> impl Iterator<Item = &'static Flow> {
        FLOWS.iter().filter(move |flow| flow.consumers.contains(&self))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One row of the flow table: an event, its publisher, its routing key and its consumers. The route also says at which
/// of them it can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The event.
    pub event: EventType,
    /// The routing key of the event at the topic exchange of the publisher, for listeners outside the system. (The
    /// copies for the consumers have the names of the consumers as their keys.)
    pub routing_key: &'static str,
    /// The only service that publishes it.
    pub publisher: Service,
    /// The services that must receive it. If empty, the event is only for listeners outside the system.
    pub consumers: &'static [Service],
    /// The same row for the runtime and the brokers.
    pub route: &'static Route,
}

const fn route(
    publisher: Service,
    routing_key: &'static str,
    message_type: &'static str,
    consumers: &'static [&'static str],
    can_wait_at: &'static [&'static str],
) -> Route {
    Route { publisher: publisher.name(), routing_key, message_type, consumers, can_wait_at }
}

macro_rules! flows {
    ($(
        $event:ident, $key:literal, $publisher:ident => [$($consumer:ident),*] $(, can wait at [$($later:ident),*])?;
    )*) => {
        /// The flow table: the only definition of which service publishes and consumes which event, and where it can
        /// wait. Tests check that the subscriptions, the definitions of the broker and the table in `docs/saga.md`
        /// agree with it.
        pub const FLOWS: &[Flow] = &[$(Flow {
            event: EventType::$event,
            routing_key: $key,
            publisher: Service::$publisher,
            consumers: &[$(Service::$consumer),*],
            route: &route(
                Service::$publisher,
                $key,
                concat!("order-system.", $key, ".v1"),
                &[$(Service::$consumer.name()),*],
                &[$($(Service::$later.name()),*)?],
            ),
        },)*];

        /// The routes of [`FLOWS`].
        pub const ROUTES: &[Route] = &[$(*FLOWS[EventType::$event as usize].route),*];
    };
}

// No client waits for what follows an event that can wait: it has its answer with `PaymentAuthorized`.
flows! {
    OrderCreated, "order.created", Order => [Inventory];
    StockReserved, "stock.reserved", Inventory => [Payment, Order], can wait at [Order];
    StockReservationFailed, "stock.reservation-failed", Inventory => [Order];
    PaymentAuthorized, "payment.authorized", Payment => [Order];
    PaymentFailed, "payment.failed", Payment => [Inventory, Order];
    StockReleased, "stock.released", Inventory => [Order];
    OrderConfirmed, "order.confirmed", Order => [Inventory, Payment], can wait at [Inventory, Payment];
    OrderFailed, "order.failed", Order => [];
    OrderCancelled, "order.cancelled", Order => [];
    OrderCancelRequested, "order.cancel-requested", Order => [Inventory, Payment];
    PaymentVoided, "payment.voided", Payment => [Order];
    StockHoldOverdue, "stock.hold-overdue", Inventory => [Order];
    PaymentCaptured, "payment.captured", Payment => [Order], can wait at [Order];
    PaymentCaptureFailed, "payment.capture-failed", Payment => [Order];
    RefundRequested, "order.refund-requested", Order => [Payment];
    PaymentRefunded, "payment.refunded", Payment => [Inventory, Order];
    PaymentRefundFailed, "payment.refund-failed", Payment => [Order];
    StockReturned, "stock.returned", Inventory => [Order];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_one_row_at_its_own_index() {
        let events: Vec<_> = FLOWS.iter().map(|flow| flow.event).collect();
        assert_eq!(events, EventType::ALL);
        for flow in FLOWS {
            assert_eq!(flow.event.flow(), flow);
            assert!(!flow.consumers.contains(&flow.publisher), "{flow:?}: a service does not consume its own events");
            let Route { consumers, can_wait_at, .. } = flow.route;
            assert!(can_wait_at.iter().all(|service| consumers.contains(service)), "{flow:?}");
        }
    }
}
