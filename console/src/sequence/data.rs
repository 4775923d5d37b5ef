use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use shared_events::{EventType, Service, Timestamp, facts::Status};
use uuid::Uuid;

/// What the services say about one order.
#[derive(Debug, Clone)]
pub(crate) struct Saga {
    /// The order.
    pub(crate) order: Order,
    /// Its timeline, in the order in which the order service recorded it.
    pub(crate) timeline: Vec<Entry>,
    /// Its reservation, if there is one and inventory could be asked.
    pub(crate) reservation: Option<Reservation>,
    /// Its payment, if there is one and payment could be asked.
    pub(crate) payment: Option<Payment>,
    /// A request for the same order that was just made again.
    pub(crate) repeated: Option<RepeatedRequest>,
}

/// A request whose idempotency key had been used before. It changes nothing, so no service records it: only the page
/// that made it knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RepeatedRequest {
    /// With the same content: it was answered with the same order.
    SameContent,
    /// With other content: it was refused.
    OtherContent,
}

/// An order, as the order service shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Order {
    pub(crate) order_id: i64,
    #[serde(deserialize_with = "status")]
    pub(crate) status: Status,
    pub(crate) payment_status: String,
    /// What became of the capture: `CAPTURED` or `FAILED`; `None` for as long as that is not known.
    pub(crate) capture: Option<String>,
    pub(crate) items: Vec<Line>,
    pub(crate) amount: Box<RawValue>,
    pub(crate) currency: String,
    /// What has gone back to the customer, if something has.
    pub(crate) refunded_amount: Option<Box<RawValue>>,
    pub(crate) failure_reason: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A line of an order or of a reservation.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Line {
    pub(crate) item_sku: String,
    pub(crate) quantity: i64,
}

/// An event in the timeline of an order.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Entry {
    pub(crate) event: String,
    /// The service that published it.
    pub(crate) source: String,
    pub(crate) message_id: Uuid,
    /// When it happened, by the clock of its publisher.
    pub(crate) time: Timestamp,
    /// When the order service published or handled it, by the clock of the order service.
    pub(crate) recorded_at: Timestamp,
    /// What it changed; empty if it changed nothing.
    pub(crate) changed: String,
    /// The event or the request that caused it. Events of earlier versions have none.
    pub(crate) causation_id: Option<Uuid>,
    /// What it says besides the order's id, lines and total.
    #[serde(default)]
    pub(crate) data: Option<Value>,
    #[serde(default)]
    pub(crate) traceparent: Option<String>,
}

/// The reservation of an order, as inventory shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Reservation {
    pub(crate) reservation_id: i64,
    /// `HELD`, `SOLD`, `RELEASED`, `REJECTED` or `CANCELLED`.
    pub(crate) status: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// The payment of an order, as payment shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Payment {
    pub(crate) payment_id: i64,
    /// `REQUESTED`, `AUTHORIZED`, `DECLINED`, `CAPTURING`, `CAPTURED`, `CAPTURE_FAILED`, `VOIDING`, `VOIDED` or
    /// `CANCELLED`.
    pub(crate) status: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Entry {
    /// Returns its type, or `None` if this version does not know it.
    pub(crate) fn event_type(&self) -> Option<EventType> {
        EventType::ALL.into_iter().find(|event| event.to_string() == self.event)
    }

    /// Returns the service that published it.
    pub(crate) fn publisher(&self) -> Option<Service> {
        Service::ALL.into_iter().find(|service| service.name() == self.source)
    }
}

fn status<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Status, D::Error> {
    let name = String::deserialize(deserializer)?;
    let status = Status::ALL.into_iter().find(|status| status.as_str() == name);
    status.ok_or_else(|| serde::de::Error::custom(format!("{name:?} is not a status")))
}
