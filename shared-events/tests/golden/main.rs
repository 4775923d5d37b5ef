//! The JSON of every event version, frozen.
//!
//! A message may wait in a queue or an outbox while the programs around it are replaced, so what was written once must
//! be readable for ever. `golden/<routing key>.<version>.json` is what that version looks like on the wire, byte for
//! byte. Nothing rewrites these files: a test that fails here asks for a new version of the event, not for a new file.

#![allow(clippy::unwrap_used, reason = "tests")]

mod damage;
mod refusals;

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Value, json};
use shared_events::{
    CancelReason, DecodeError, Envelope, Event, EventBody, EventType, FailureReason, Line, Lines, MessageId, Money,
    OrderDetails, OrderId, Quantity, SagaId, Sku, Timestamp,
};
use uuid::Uuid;

fn body(event: EventType) -> EventBody {
    match event {
        EventType::OrderCreated => EventBody::OrderCreated,
        EventType::StockReserved => EventBody::StockReserved,
        EventType::StockReservationFailed => {
            EventBody::StockReservationFailed { reason: FailureReason::InsufficientStock, item_sku: sku("SKU-ABC") }
        }
        EventType::PaymentAuthorized => EventBody::PaymentAuthorized,
        EventType::PaymentFailed => EventBody::PaymentFailed { reason: FailureReason::PaymentDeclined },
        EventType::StockReleased => EventBody::StockReleased,
        EventType::OrderConfirmed => EventBody::OrderConfirmed,
        EventType::OrderFailed => EventBody::OrderFailed { reason: FailureReason::DeadlineExceeded },
        EventType::OrderCancelled => EventBody::OrderCancelled,
        EventType::OrderCancelRequested => EventBody::OrderCancelRequested { reason: CancelReason::Customer },
        EventType::PaymentVoided => EventBody::PaymentVoided,
        EventType::StockHoldOverdue => EventBody::StockHoldOverdue,
    }
}

/// The envelope that the event's golden file holds. `OrderCreated` begins a trace of its own; the others continue one.
fn envelope(event: EventType) -> Envelope {
    let number = event as u128 + 1;
    let uuid = |last: u128| Uuid::from_u128(0x019a_ab01_5b00_7000_8000_0000_0000_0000 + last);
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    Envelope {
        id: MessageId(uuid(number)),
        time: Timestamp::from_unix_micros(1_763_800_000_123_456),
        causation_id: uuid(0xca00 + number),
        traceparent: (event != EventType::OrderCreated).then(|| traceparent.to_owned()),
        event: Event {
            saga_id: SagaId(uuid(0x5a6a)),
            order: OrderDetails {
                order_id: OrderId(42),
                lines: Lines::new([line("SKU-ABC", 2), line("крупа 1 кг", 1)]).unwrap(),
                total: Money::from_minor_units(20_050, "USD".parse().unwrap()).unwrap(),
            },
            body: body(event),
        },
    }
}

fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

fn line(text: &str, units: i64) -> Line {
    Line { sku: sku(text), quantity: Quantity::new(units).unwrap() }
}

fn golden_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden_name(event: EventType) -> String {
    format!("{}.v1.json", event.flow().routing_key)
}

fn golden(event: EventType) -> String {
    let path = golden_dir().join(golden_name(event));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim_end().to_owned()
}

/// The golden file of `OrderCreated` with the value at `pointer` (RFC 6901) replaced; decoded.
fn decode_with(event: EventType, pointer: &str, value: Value) -> Result<Envelope, DecodeError> {
    let mut json: Value = serde_json::from_str(&golden(event)).unwrap();
    *json.pointer_mut(pointer).unwrap_or_else(|| panic!("{event} has no {pointer}")) = value;
    Envelope::decode(json.to_string().as_bytes())
}

fn decode_without(event: EventType, parent: &str, field: &str) -> Result<Envelope, DecodeError> {
    let mut json: Value = serde_json::from_str(&golden(event)).unwrap();
    json.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field).expect("the field was there");
    Envelope::decode(json.to_string().as_bytes())
}

#[test]
fn every_event_is_written_as_its_golden_file() {
    for event in EventType::ALL {
        assert_eq!(envelope(event).encode(), golden(event), "{event} must have its frozen JSON");
    }
}

#[test]
fn every_golden_file_is_read_as_its_event() {
    for event in EventType::ALL {
        assert_eq!(Envelope::decode(golden(event).as_bytes()).unwrap(), envelope(event), "{event}");
    }
}

#[test]
fn there_is_one_golden_file_for_each_event_version() {
    let files: BTreeSet<String> = fs::read_dir(golden_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".rs"))
        .collect();
    assert_eq!(files, EventType::ALL.map(golden_name).into());
}

/// A golden file holds one reason only; the others are as frozen.
#[test]
fn every_reason_has_its_frozen_text() {
    for (reason, text) in [
        (FailureReason::InsufficientStock, "INSUFFICIENT_STOCK"),
        (FailureReason::UnknownItem, "UNKNOWN_ITEM"),
        (FailureReason::PaymentDeclined, "PAYMENT_DECLINED"),
        (FailureReason::DeadlineExceeded, "DEADLINE_EXCEEDED"),
    ] {
        let decoded = decode_with(EventType::OrderFailed, "/data/reason", json!(text)).unwrap();
        assert_eq!(decoded.event.body, EventBody::OrderFailed { reason });
        assert!(decoded.encode().contains(&format!(r#""reason":"{text}""#)), "{text}");
    }
    for (reason, text) in [(CancelReason::Customer, "CUSTOMER"), (CancelReason::Deadline, "DEADLINE")] {
        let decoded = decode_with(EventType::OrderCancelRequested, "/data/reason", json!(text)).unwrap();
        assert_eq!(decoded.event.body, EventBody::OrderCancelRequested { reason });
        assert!(decoded.encode().contains(&format!(r#""reason":"{text}""#)), "{text}");
    }
}

#[test]
fn unknown_fields_are_ignored() {
    for event in EventType::ALL {
        let mut json: Value = serde_json::from_str(&golden(event)).unwrap();
        for parent in ["", "/data", "/data/total", "/data/lines/0"] {
            let object = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            object.insert("of_a_later_time".to_owned(), json!({"nested": [1, null, "x"]}));
        }
        assert_eq!(Envelope::decode(json.to_string().as_bytes()).unwrap(), envelope(event), "{event}");
    }
}
