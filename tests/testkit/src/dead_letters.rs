//! Dead letters as a fault would leave them, in the SQLite files of `order-system`.

use std::path::Path;

use anyhow::{Context as _, Result};
use sea_orm::{ConnectionTrait as _, Database};
use shared_events::{
    Envelope, Event, EventBody, Header, Line, Lines, MessageId, Money, OrderDetails, OrderId, Quantity, SagaId, Sku,
    Timestamp,
};
use uuid::Uuid;

/// Inserts a dead letter directly into the database of `service` in the data directory `data`.
///
/// # Errors
/// If the database refuses it.
pub async fn insert(data: &Path, service: &str, id: Uuid, reason: &str, body: &[u8]) -> Result<()> {
    let database = Database::connect(format!("sqlite://{}", data.join(format!("{service}.sqlite")).display())).await?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    // As the service writes it: the event and the order are known if the body can be read.
    let (event, subject) = match Envelope::decode(body) {
        Ok(Envelope { event, .. }) => (format!("'{}'", event.body.event_type()), format!("'{}'", event.order.order_id)),
        Err(_) => ("NULL".to_owned(), "NULL".to_owned()),
    };
    let sql = format!(
        "INSERT INTO dead_letters (message_id, reason, attempts, event, subject, body, parked_at) \
         VALUES (x'{}', '{reason}', 1, {event}, {subject}, x'{}', 1700000000000000)",
        hex(id.as_bytes()),
        hex(body)
    );
    database.execute_unprepared(&sql).await?;
    Ok(database.close().await?)
}

/// Returns `StockReleased` of a saga that the order service does not know: it is handled and has no effect.
///
/// # Errors
/// None is expected: the event is valid.
pub fn released(id: Uuid, order_id: i64) -> Result<String> {
    let line = Line { sku: Sku::parse("SKU-ABC")?, quantity: Quantity::new(1).context("1 is a quantity")? };
    let order = OrderDetails {
        order_id: OrderId(order_id),
        lines: Lines::new([line])?,
        total: Money::from_minor_units(1, "USD".parse()?).context("1 is an amount")?,
        payment_method: None,
    };
    let event = Event { saga_id: SagaId(Uuid::now_v7()), order, body: EventBody::StockReleased };
    let time = Timestamp::from_unix_micros(1_700_000_000_000_000);
    let header = Header { id: MessageId(id), time, causation_id: id, system_id: None, traceparent: None };
    Ok(Envelope { header, event }.encode())
}
