//! Converts messages to and from AMQP.

use std::sync::Arc;

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use saga_message::framing;

use super::x_death::cause_of_death;
use saga_runtime::broker::{Delivery, Outgoing, Receipt};

/// A CloudEvent in structured JSON mode.
const SINGLE: &str = "application/cloudevents+json";
/// Several of them, as a JSON array.
const BATCH: &str = "application/cloudevents-batch+json";
/// The header with the number of events, for people; only messages with several have it.
const EVENTS: &str = "events";
/// Delivery mode: written to disk.
const PERSISTENT: u8 = 2;

/// Returns the AMQP properties of a message, for the broker and for people. Consumers read only the body.
pub(crate) fn properties(message: &Outgoing) -> BasicProperties {
    let is_batch = framing::is_batch(message.body.as_bytes());
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(if is_batch { BATCH } else { SINGLE }.into())
        .with_message_id(message.message_id.to_string().into())
        .with_type(message.route.message_type.into())
        .with_app_id(message.route.publisher.into());
    if let Some(saga) = message.correlation_id {
        properties = properties.with_correlation_id(saga.to_string().into());
    }
    if is_batch {
        let mut headers = FieldTable::default();
        headers.insert(EVENTS.into(), AMQPValue::LongLongInt(i64::try_from(message.events).unwrap_or(i64::MAX)));
        properties = properties.with_headers(headers);
    }
    // The id is a UUIDv7, created when the first event happened.
    match message.message_id.0.get_timestamp() {
        Some(made) => properties.with_timestamp(made.to_unix().0),
        None => properties,
    }
}

/// Converts a message from a queue into a delivery.
pub(crate) type Reading = fn(lapin::message::Delivery, Receipt) -> Delivery;

/// Converts a message from a service's queue. If it was once a dead letter and was moved back, that is ignored.
pub(crate) fn delivery(message: lapin::message::Delivery, receipt: Receipt) -> Delivery {
    Delivery {
        redeliveries: redeliveries(&message.properties, message.redelivered),
        message_id: message.properties.message_id().as_ref().map(ShortString::to_string),
        dead_lettered: None,
        body: Arc::from(message.data),
        receipt,
    }
}

/// Converts a message from the queue of dead letters.
pub(crate) fn dead_letter(message: lapin::message::Delivery, receipt: Receipt) -> Delivery {
    let dead_lettered = Some(cause_of_death(&message.properties));
    Delivery { dead_lettered, ..delivery(message, receipt) }
}

/// Returns how often a message was delivered before. Quorum queues count this: on RabbitMQ 4, `x-delivery-count` counts
/// only failures, and `x-acquired-count` counts all. If both are missing, `redelivered` only tells whether there was an
/// earlier delivery.
fn redeliveries(properties: &BasicProperties, redelivered: bool) -> u32 {
    let count = |name: &str| {
        let count = number(properties.headers().as_ref()?.inner().get(name)?)?;
        Some(u32::try_from(count.max(0)).unwrap_or(u32::MAX))
    };
    let counted = ["x-delivery-count", "x-acquired-count"].into_iter().filter_map(count).max();
    counted.unwrap_or(0).max(u32::from(redelivered))
}

/// Returns a header's integer, whatever its width.
pub(crate) fn number(value: &AMQPValue) -> Option<i64> {
    Some(match *value {
        AMQPValue::LongLongInt(number) => number,
        AMQPValue::LongInt(number) => number.into(),
        AMQPValue::LongUInt(number) => number.into(),
        AMQPValue::ShortInt(number) => number.into(),
        AMQPValue::ShortUInt(number) => number.into(),
        AMQPValue::ShortShortInt(number) => number.into(),
        AMQPValue::ShortShortUInt(number) => number.into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use saga_message::{MessageId, Route};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn redeliveries_are_counted_by_the_queue() {
        let with = |headers: &[(&str, AMQPValue)]| {
            let mut table = FieldTable::default();
            for (name, value) in headers {
                table.insert((*name).into(), value.clone());
            }
            BasicProperties::default().with_headers(table)
        };
        assert_eq!(redeliveries(&BasicProperties::default(), false), 0);
        assert_eq!(redeliveries(&BasicProperties::default(), true), 1);
        assert_eq!(redeliveries(&with(&[("x-delivery-count", AMQPValue::LongLongInt(7))]), true), 7);
        assert_eq!(redeliveries(&with(&[("x-delivery-count", AMQPValue::LongLongInt(-7))]), false), 0);
        assert_eq!(redeliveries(&with(&[("x-delivery-count", AMQPValue::Boolean(true))]), false), 0);
        let both = [("x-delivery-count", AMQPValue::LongInt(1)), ("x-acquired-count", AMQPValue::LongInt(3))];
        assert_eq!(redeliveries(&with(&both), true), 3);
    }

    #[test]
    fn the_properties_describe_the_message() {
        const ROUTE: &Route = &Route {
            publisher: "shop",
            routing_key: "sold",
            message_type: "com.example.sold.v1",
            consumers: &["stock"],
            can_wait_at: &[],
        };
        let made_at = Uuid::now_v7();
        let saga = Uuid::now_v7();
        let message = Outgoing {
            message_id: MessageId(made_at),
            route: ROUTE,
            correlation_id: Some(saga),
            events: 1,
            body: "{}".into(),
        };
        let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
        let several = Outgoing { correlation_id: None, events: 2, body: "[{},{}]".into(), ..message.clone() };
        let several = properties(&several);
        assert_eq!(text(several.content_type()).as_deref(), Some(BATCH));
        assert_eq!(*several.correlation_id(), None);
        assert_eq!(several.headers().as_ref().and_then(|headers| number(headers.inner().get(EVENTS)?)), Some(2));
        let properties = properties(&message);
        assert_eq!(text(properties.content_type()).as_deref(), Some(SINGLE));
        assert_eq!(*properties.headers(), None, "an event alone looks as it always did");
        assert_eq!(text(properties.message_id()), Some(made_at.to_string()));
        assert_eq!(text(properties.correlation_id()), Some(saga.to_string()));
        assert_eq!(text(properties.kind()).as_deref(), Some("com.example.sold.v1"));
        assert_eq!(text(properties.app_id()).as_deref(), Some("shop"));
        assert_eq!(*properties.timestamp(), made_at.get_timestamp().map(|made| made.to_unix().0));
    }
}
