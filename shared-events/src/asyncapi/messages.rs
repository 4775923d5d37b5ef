//! The two messages of each event: with one event, and with several in the batch form.

use serde_json::{Value, json};

use super::{AMQP_BINDINGS, object, reference};
use crate::EventType;

/// The content type of a message with one event.
pub(super) const SINGLE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// Returns the names of the messages of an event; those of their payload schemas are the same.
pub(super) fn names(event: EventType) -> [String; 2] {
    [event.to_string(), format!("{event}Batch")]
}

pub(super) fn messages() -> Value {
    object(EventType::ALL.into_iter().flat_map(|event| {
        let [one, several] = names(event);
        [(one, single(event)), (several, batch(event))]
    }))
}

fn single(event: EventType) -> Value {
    let [name, _] = names(event);
    let [first, _] = examples(event);
    json!({
        "name": name,
        "title": name,
        "summary": summary(event),
        "contentType": SINGLE,
        "correlationId": { "description": "The saga's id", "location": "$message.payload#/correlationid" },
        "payload": reference("components/schemas", &name),
        "bindings": binding(event),
        "examples": [{ "name": name, "payload": first }],
    })
}

fn batch(event: EventType) -> Value {
    let [one, name] = names(event);
    json!({
        "name": name,
        "title": name,
        "summary": format!("Several {one} events that were decided in one transaction"),
        "contentType": BATCH,
        "headers": {
            "type": "object",
            "required": ["events"],
            "properties": { "events": { "type": "integer", "description": "The number of events in the message" } },
        },
        "payload": reference("components/schemas", &name),
        "bindings": binding(event),
        "examples": [{ "name": name, "headers": { "events": 2 }, "payload": examples(event) }],
    })
}

/// The property `type` of the message.
fn binding(event: EventType) -> Value {
    json!({ "amqp": { "messageType": event.flow().route.message_type, "bindingVersion": AMQP_BINDINGS } })
}

/// Returns the event in its golden file, and the same of another order.
fn examples(event: EventType) -> [Value; 2] {
    let first: Value = serde_json::from_str(golden(event)).expect("a golden file is JSON");
    let mut second = first.clone();
    for (pointer, value) in [
        ("/id", json!("019aab01-5b00-7000-8000-0000000000ff")),
        ("/correlationid", json!("019aab01-5b00-7000-8000-000000005a6b")),
        ("/subject", json!("43")),
        ("/data/order_id", json!(43)),
    ] {
        *second.pointer_mut(pointer).expect("each event has it") = value;
    }
    [first, second]
}

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../tests/golden/", $name, ".v1.system.json"))
    };
}

fn golden(event: EventType) -> &'static str {
    match event {
        EventType::OrderCreated => golden!("order.created"),
        EventType::StockReserved => golden!("stock.reserved"),
        EventType::StockReservationFailed => golden!("stock.reservation-failed"),
        EventType::PaymentAuthorized => golden!("payment.authorized"),
        EventType::PaymentFailed => golden!("payment.failed"),
        EventType::StockReleased => golden!("stock.released"),
        EventType::OrderConfirmed => golden!("order.confirmed"),
        EventType::OrderFailed => golden!("order.failed"),
        EventType::OrderCancelled => golden!("order.cancelled"),
        EventType::OrderCancelRequested => golden!("order.cancel-requested"),
        EventType::PaymentVoided => golden!("payment.voided"),
        EventType::StockHoldOverdue => golden!("stock.hold-overdue"),
        EventType::PaymentCaptured => golden!("payment.captured"),
        EventType::PaymentCaptureFailed => golden!("payment.capture-failed"),
        EventType::RefundRequested => golden!("order.refund-requested"),
        EventType::PaymentRefunded => golden!("payment.refunded"),
        EventType::PaymentRefundFailed => golden!("payment.refund-failed"),
        EventType::StockReturned => golden!("stock.returned"),
    }
}

/// Says what happened. [`EventBody`](crate::EventBody) says the same to readers of the code.
fn summary(event: EventType) -> &'static str {
    match event {
        EventType::OrderCreated => "The customer placed the order",
        EventType::StockReserved => "The stock of every line is held",
        EventType::StockReservationFailed => "No stock is held, because of one SKU",
        EventType::PaymentAuthorized => "The payment is authorized",
        EventType::PaymentFailed => "The payment is declined",
        EventType::StockReleased => "Nothing is held for the order any more, or never was",
        EventType::OrderConfirmed => "Final: the order is paid, and its stock is sold",
        EventType::OrderFailed => "Final: nothing is held and nothing is paid",
        EventType::OrderCancelled => "Final, at the customer's request: nothing is held and nothing is paid",
        EventType::OrderCancelRequested => {
            "The other services undo what they did for the order, and begin nothing more"
        }
        EventType::PaymentVoided => "No payment is authorized any more, or ever was",
        EventType::StockHoldOverdue => {
            "Stock has been held for too long: the order service publishes its last decision again"
        }
        EventType::PaymentCaptured => "The amount of a confirmed order is taken",
        EventType::PaymentCaptureFailed => "The amount of a confirmed order cannot be taken",
        EventType::RefundRequested => "A refund of the confirmed order is requested",
        EventType::PaymentRefunded => "The money of a refund has gone back",
        EventType::PaymentRefundFailed => "The money of a refund has not gone back and will not",
        EventType::StockReturned => "The goods of a refund are available again",
    }
}
