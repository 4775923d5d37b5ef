//! The schemas of the events: JSON Schema draft 7, which every reader of AsyncAPI knows. A test compares them with what
//! is decoded, for many events that are and that are not valid.

use serde_json::{Value, json};

use super::{messages, object, reference};
use crate::{EventType, MAX_LINES, Money, PaymentMethod, Quantity, Sku, framing::MAX_EVENTS};

/// A UUID as the services write it.
const UUID: &str = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
/// At least one character that is no white space, and no control characters.
const SKU: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";

pub(super) fn schemas() -> Value {
    let events = EventType::ALL.into_iter().flat_map(|event| {
        let [one, several] = messages::names(event);
        [(several, batch(schema(&one))), (one, of_event(event))]
    });
    let any = json!({ "oneOf": EventType::ALL.map(|event| schema(&event.to_string())) });
    let shared = [
        ("Event", any),
        ("EventBatch", batch(schema("Event"))),
        ("CloudEvent", cloud_event()),
        ("Order", order()),
        ("Refund", refund()),
        ("Line", line()),
        ("Money", money()),
        ("Sku", sku()),
        ("Uuid", json!({ "type": "string", "format": "uuid", "pattern": UUID })),
    ];
    object(events.chain(shared.map(|(name, value)| (name.to_owned(), value))))
}

fn schema(name: &str) -> Value {
    reference("components/schemas", name)
}

/// Several events. The services send at least two, and accept one.
fn batch(event: Value) -> Value {
    json!({ "type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": event })
}

fn of_event(event: EventType) -> Value {
    let flow = event.flow();
    let own = json!({
        "properties": {
            "source": { "const": format!("/{}", flow.publisher) },
            "type": { "const": flow.route.message_type },
            "data": data(event),
        },
    });
    json!({ "allOf": [schema("CloudEvent"), own] })
}

/// The attributes that all events have. Readers ignore others.
fn cloud_event() -> Value {
    json!({
        "type": "object",
        "description": "A CloudEvent 1.0 in structured JSON mode. There may be more attributes, to be ignored.",
        "required": [
            "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "correlationid",
            "causationid", "data",
        ],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": described("Uuid", "The event's id"),
            "source": { "type": "string", "description": "The service that publishes it" },
            "type": { "type": "string", "description": "The event and its version" },
            "subject": { "type": "string", "pattern": "^[1-9][0-9]*$", "description": "The order's id" },
            "time": {
                "type": "string", "format": "date-time", "pattern": "Z$",
                "description": "When it happened, by the clock of the publisher's database",
            },
            "datacontenttype": { "const": "application/json" },
            "correlationid": described("Uuid", "The saga's id"),
            "causationid": described("Uuid", "The id of the event or the request that caused it"),
            "systemid": described("Uuid", "The id of the system (deployment); missing in events of early versions"),
            "traceparent": {
                "type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
                "description": "W3C Trace Context, if there is a trace",
            },
        },
    })
}

/// A reference with a description of its own; draft 7 ignores what stands beside a reference.
fn described(name: &str, description: &str) -> Value {
    json!({ "description": description, "allOf": [schema(name)] })
}

/// The order, and what only this event has.
fn data(event: EventType) -> Value {
    use EventType::{
        OrderCancelRequested, OrderFailed, PaymentFailed, PaymentRefundFailed, PaymentRefunded, RefundRequested,
        StockReservationFailed, StockReturned,
    };
    let reasons = match event {
        StockReservationFailed => vec!["INSUFFICIENT_STOCK", "UNKNOWN_ITEM"],
        PaymentFailed => vec!["PAYMENT_DECLINED"],
        OrderFailed => vec!["INSUFFICIENT_STOCK", "UNKNOWN_ITEM", "PAYMENT_DECLINED", "DEADLINE_EXCEEDED"],
        OrderCancelRequested => vec!["CUSTOMER", "DEADLINE"],
        PaymentRefundFailed => vec!["NOT_CAPTURED", "EXCEEDS_CAPTURED", "DECLINED", "REVERSED"],
        RefundRequested | PaymentRefunded | StockReturned => {
            let own = json!({ "required": ["refund"], "properties": { "refund": schema("Refund") } });
            return json!({ "allOf": [schema("Order"), own] });
        }
        _ => return schema("Order"),
    };
    let reason = json!({ "enum": reasons });
    let own = if event == StockReservationFailed {
        let item = described("Sku", "The first SKU that could not be held");
        json!({ "required": ["reason", "item_sku"], "properties": { "reason": reason, "item_sku": item } })
    } else if event == PaymentRefundFailed {
        json!({ "required": ["reason", "refund"], "properties": { "reason": reason, "refund": schema("Refund") } })
    } else {
        json!({ "required": ["reason"], "properties": { "reason": reason } })
    };
    json!({ "allOf": [schema("Order"), own] })
}

fn order() -> Value {
    json!({
        "type": "object",
        "description": "What never changes about the order. There may be more fields, to be ignored.",
        "required": ["order_id", "lines", "total"],
        "properties": {
            "order_id": { "type": "integer", "minimum": 1, "maximum": i64::MAX },
            "lines": {
                "type": "array", "minItems": 1, "maxItems": MAX_LINES, "items": schema("Line"),
                "description": "Sorted by SKU, each SKU once",
            },
            "total": schema("Money"),
            "payment_method": {
                "type": ["string", "null"], "maxLength": PaymentMethod::MAX_CHARS, "pattern": "^[A-Za-z][A-Za-z0-9_-]*$",
                "description": "The payment gateway's token of the means of payment, never a card number. \
                                Only OrderCreated and StockReserved have it, if the customer named one",
            },
        },
    })
}

fn refund() -> Value {
    json!({
        "type": "object",
        "description": "What never changes about the refund. There may be more fields, to be ignored.",
        "required": ["refund_id", "amount"],
        "properties": {
            "refund_id": described("Uuid", "The refund's id"),
            "amount": schema("Money"),
            "restock": {
                "type": "array", "minItems": 1, "maxItems": MAX_LINES, "items": schema("Line"),
                "description": "The goods that come back, sorted by SKU, each SKU once; missing if none do",
            },
        },
    })
}

fn line() -> Value {
    json!({
        "type": "object",
        "required": ["item_sku", "quantity"],
        "properties": {
            "item_sku": schema("Sku"),
            "quantity": { "type": "integer", "minimum": 1, "maximum": Quantity::MAX },
        },
    })
}

fn money() -> Value {
    json!({
        "type": "object",
        "required": ["minor_units", "currency"],
        "properties": {
            "minor_units": {
                "type": "integer", "minimum": 1, "maximum": Money::MAX_MINOR_UNITS,
                "description": "In the smallest unit of the currency, such as cents",
            },
            "currency": { "type": "string", "pattern": "^[A-Z]{3}$", "description": "An ISO 4217 code" },
        },
    })
}

fn sku() -> Value {
    json!({ "type": "string", "maxLength": Sku::MAX_CHARS, "pattern": SKU })
}
