use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use shared_events::{
    Envelope, Event, EventBody, Header, Line, Lines, MessageId, Money, OrderDetails, OrderId, Quantity, SagaId,
    Service, Sku, Timestamp,
};
use uuid::Uuid;

/// What is said of a confirmed order, in its order: 4 events, and 5 messages, for the second has two consumers.
const SAID: [EventBody; 4] =
    [EventBody::OrderCreated, EventBody::StockReserved, EventBody::PaymentAuthorized, EventBody::OrderConfirmed];

/// The amount of each order: 200 dollars.
pub(super) const MINOR_UNITS: i64 = 20_000;

/// How many messages of one confirmed order come to `consumer`.
pub(super) fn heard_by(consumer: Service) -> usize {
    SAID.iter().filter(|body| body.event_type().flow().consumers.contains(&consumer)).count()
}

/// What `service` says of `batch` orders, event by event.
pub(super) fn said_by(service: Service, batch: usize, skus: u64) -> Result<Vec<Vec<Envelope>>> {
    let said = SAID.iter().filter(|body| body.event_type().flow().publisher == service);
    said.map(|body| (0..batch as u64).map(|number| envelope(body, number, skus)).collect()).collect()
}

/// A message of an order that is not known yet: its envelope, encoded, is as long as any other's.
fn envelope(body: &EventBody, number: u64, skus: u64) -> Result<Envelope> {
    let order = OrderDetails {
        order_id: OrderId(i64::try_from(number)? + 1),
        lines: lines(number, skus)?,
        total: Money::from_minor_units(MINOR_UNITS, "USD".parse()?)?,
    };
    let event = Event { saga_id: SagaId(Uuid::now_v7()), order, body: body.clone() };
    // A trace comes only from a client that sends one.
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

/// One unit of one SKU, as the uniform load orders it.
pub(super) fn lines(number: u64, skus: u64) -> Result<Lines> {
    Ok(Lines::new([Line { sku: Sku::parse(&sku(number, skus))?, quantity: Quantity::new(1)? }])?)
}

/// The SKU of the order of this number.
pub(super) fn sku(number: u64, skus: u64) -> String {
    format!("SKU-{}", number % skus.max(1))
}

/// Microseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
