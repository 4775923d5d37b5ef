use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use shared_events::{
    Envelope, Event, EventBody, Header, Line, Lines, MessageId, Money, OrderDetails, OrderId, Quantity, SagaId,
    Service, Sku, Timestamp,
};
use uuid::Uuid;

/// The most bytes of a message, as in the services.
const MAX_BYTES: usize = 64 * 1024;
/// The most events in a message, as in the services.
pub(crate) const MAX_EVENTS: i64 = 128;

/// The events of a confirmed order, in sequence: 5 events, and 7 messages, because two events have two consumers.
const EVENTS: [EventBody; 5] = [
    EventBody::OrderCreated,
    EventBody::StockReserved,
    EventBody::PaymentAuthorized,
    EventBody::OrderConfirmed,
    EventBody::PaymentCaptured,
];

/// The amount of each order: 200 dollars.
pub(super) const MINOR_UNITS: i64 = 20_000;

/// Returns the number of events that `consumer` receives for one confirmed order.
pub(super) fn received_by(consumer: Service) -> usize {
    EVENTS.iter().filter(|body| body.event_type().flow().consumers.contains(&consumer)).count()
}

/// Returns the events that `service` publishes for `batch` orders, grouped by type of event.
pub(super) fn published_by(service: Service, batch: usize, skus: u64) -> Result<Vec<Vec<Envelope>>> {
    let events = EVENTS.iter().filter(|body| body.event_type().flow().publisher == service);
    events.map(|body| (0..batch as u64).map(|number| envelope(body, number, skus)).collect()).collect()
}

/// Returns the body of a message with these events: a single event as an object, several as an array, which is the
/// batch format of CloudEvents in JSON.
pub(super) fn encode(events: &[Envelope]) -> Result<String> {
    let encoded: Vec<String> = events.iter().map(Envelope::encode).collect();
    let body = if let [single] = encoded.as_slice() { single.clone() } else { format!("[{}]", encoded.join(",")) };
    ensure!(body.len() <= MAX_BYTES, "--bundle: {} events are more than {MAX_BYTES} bytes", events.len());
    Ok(body)
}

/// Returns the envelope of an order's event. Its ids are new, but its encoding is as long as that of any other.
fn envelope(body: &EventBody, number: u64, skus: u64) -> Result<Envelope> {
    let order = OrderDetails {
        order_id: OrderId(i64::try_from(number)? + 1),
        lines: lines(number, skus)?,
        total: Money::from_minor_units(MINOR_UNITS, "USD".parse()?)?,
        payment_method: None,
    };
    let event = Event { saga_id: SagaId(Uuid::now_v7()), order, body: body.clone() };
    // There is a trace only if a client sends one.
    Ok(Envelope {
        header: Header {
            id: MessageId(Uuid::now_v7()),
            time: Timestamp::from_unix_micros(now()),
            causation_id: Uuid::now_v7(),
            system_id: Some(Uuid::now_v7().try_into()?),
            traceparent: None,
        },
        event,
    })
}

/// Returns the lines of an order: one unit of one SKU, as in the uniform load.
pub(super) fn lines(number: u64, skus: u64) -> Result<Lines> {
    Ok(Lines::new([Line { sku: Sku::parse(&sku(number, skus))?, quantity: Quantity::new(1)? }])?)
}

/// Returns the SKU of the order with this number.
pub(super) fn sku(number: u64, skus: u64) -> String {
    format!("SKU-{}", number % skus.max(1))
}

/// Returns the time in microseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
