//! The JSON of every event version never changes.
//!
//! A message may wait in a queue or an outbox while the programs are replaced, so what was written once must stay
//! readable forever. `golden/<routing key>.<version>.json` is the JSON of that version, byte for byte, as the first
//! release wrote it; `….system.json` is the same event with the id of its system, and `….payment-method.json` with a
//! means of payment. `batch.json` is the body of a message
//! with several events. These files are never regenerated: if a test fails here, the event needs a new version, not a
//! new file.

#![allow(clippy::unwrap_used, reason = "tests")]

mod damage;
mod refusals;
mod round_trip;

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Value, json};
use shared_events::{
    CancelReason, DecodeError, Envelope, Event, EventBody, EventType, FailureReason, Header, Line, Lines, Message as _,
    MessageId, Money, OrderDetails, OrderId, PaymentMethod, Quantity, RefundDetails, RefundFailure, RefundId, SagaId,
    Sku, SystemId, Timestamp, framing,
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
        EventType::PaymentCaptured => EventBody::PaymentCaptured,
        EventType::PaymentCaptureFailed => EventBody::PaymentCaptureFailed,
        EventType::RefundRequested => EventBody::RefundRequested { refund: refund(Some("SKU-ABC")) },
        EventType::PaymentRefunded => EventBody::PaymentRefunded { refund: refund(Some("SKU-ABC")) },
        EventType::PaymentRefundFailed => {
            EventBody::PaymentRefundFailed { refund: refund(None), reason: RefundFailure::NotCaptured }
        }
        EventType::StockReturned => EventBody::StockReturned { refund: refund(Some("SKU-ABC")) },
    }
}

fn refund(restock: Option<&str>) -> RefundDetails {
    RefundDetails {
        refund_id: RefundId(Uuid::from_u128(0x019a_ab01_5b00_7000_8000_0000_0000_4ef0)),
        amount: Money::from_minor_units(5_050, "USD".parse().unwrap()).unwrap(),
        restock: restock.map(|sku| Lines::new([line(sku, 1)]).unwrap()),
    }
}

/// Returns the envelope in the event's golden file. `OrderCreated` starts a trace; the others continue one.
fn envelope(event: EventType) -> Envelope {
    let number = event as u128 + 1;
    let uuid = |last: u128| Uuid::from_u128(0x019a_ab01_5b00_7000_8000_0000_0000_0000 + last);
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    Envelope {
        header: Header {
            id: MessageId(uuid(number)),
            time: Timestamp::from_unix_micros(1_763_800_000_123_456),
            causation_id: uuid(0xca00 + number),
            system_id: None,
            traceparent: (event != EventType::OrderCreated).then(|| traceparent.to_owned()),
        },
        event: Event {
            saga_id: SagaId(uuid(0x5a6a)),
            order: OrderDetails {
                order_id: OrderId(42),
                lines: Lines::new([line("SKU-ABC", 2), line("крупа 1 кг", 1)]).unwrap(),
                total: Money::from_minor_units(20_050, "USD".parse().unwrap()).unwrap(),
                payment_method: None,
            },
            body: body(event),
        },
    }
}

/// Returns the same envelope with a system id.
fn with_system(event: EventType) -> Envelope {
    let mut envelope = envelope(event);
    envelope.header.system_id = Some(SYSTEM.parse().unwrap());
    envelope
}

/// The events in `batch.json`. A message that a service publishes has events of one type; the form is the same. This is
/// not [`EventType::ALL`], because the file does not change when an event is added.
const BATCH: [EventType; 12] = [
    EventType::OrderCreated,
    EventType::StockReserved,
    EventType::StockReservationFailed,
    EventType::PaymentAuthorized,
    EventType::PaymentFailed,
    EventType::StockReleased,
    EventType::OrderConfirmed,
    EventType::OrderFailed,
    EventType::OrderCancelled,
    EventType::OrderCancelRequested,
    EventType::PaymentVoided,
    EventType::StockHoldOverdue,
];
const BATCH_FILE: &str = "batch.json";

const SYSTEM: &str = "019aab01-5b00-7000-8000-000000005751";

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

fn golden_name_with_system(event: EventType) -> String {
    format!("{}.v1.system.json", event.flow().routing_key)
}

/// The events that may have a means of payment.
const WITH_PAYMENT_METHOD: [EventType; 2] = [EventType::OrderCreated, EventType::StockReserved];

fn golden_name_with_payment_method(event: EventType) -> String {
    format!("{}.v1.payment-method.json", event.flow().routing_key)
}

fn golden(event: EventType) -> String {
    golden_file(&golden_name(event))
}

fn golden_file(name: &str) -> String {
    let path = golden_dir().join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim_end().to_owned()
}

/// Decodes the golden file of the event, with the value at `pointer` (RFC 6901) replaced.
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
fn every_event_is_encoded_as_its_golden_file() {
    for event in EventType::ALL {
        assert_eq!(envelope(event).encode(), golden(event), "{event} must have its fixed JSON");
        let with_system = (with_system(event).encode(), golden_file(&golden_name_with_system(event)));
        assert_eq!(with_system.0, with_system.1, "{event} must have its fixed JSON");
    }
}

#[test]
fn every_golden_file_is_decoded_as_its_event() {
    for event in EventType::ALL {
        assert_eq!(Envelope::decode(golden(event).as_bytes()).unwrap(), envelope(event), "{event}");
        let with_its_system = golden_file(&golden_name_with_system(event));
        assert_eq!(Envelope::decode(with_its_system.as_bytes()).unwrap(), with_system(event), "{event}");
    }
}

/// Earlier programs ignore the field, and write events without it.
#[test]
fn a_means_of_payment_is_only_in_the_events_on_the_way_to_payment() {
    for event in EventType::ALL {
        let mut envelope = envelope(event);
        envelope.event.order.payment_method = Some(PaymentMethod::parse("pm_card_visa").unwrap());
        if WITH_PAYMENT_METHOD.contains(&event) {
            let golden = golden_file(&golden_name_with_payment_method(event));
            assert_eq!(envelope.encode(), golden, "{event} must have its fixed JSON");
            assert_eq!(Envelope::decode(golden.as_bytes()).unwrap(), envelope, "{event}");
        } else {
            assert_eq!(envelope.encode(), golden(event), "{event}");
        }
    }
    for impossible in [json!("4242424242424242"), json!(""), json!(7)] {
        let mut json: Value = serde_json::from_str(&golden(EventType::StockReserved)).unwrap();
        json["data"]["payment_method"] = impossible;
        assert!(Envelope::decode(json.to_string().as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn several_events_are_joined_as_their_golden_file() {
    let events = BATCH.map(|event| golden_file(&golden_name_with_system(event)));
    assert_eq!(
        framing::join(&events),
        golden_file(BATCH_FILE),
        "a message with several events must have its fixed JSON"
    );
    assert_eq!(framing::join(&events[..1]), events[0], "an event alone is the message");
}

#[test]
fn the_golden_file_of_several_events_is_split_into_them() {
    let batch = golden_file(BATCH_FILE);
    assert!(framing::is_batch(batch.as_bytes()));
    let events = framing::split(batch.as_bytes()).unwrap();
    assert_eq!(events, BATCH.map(|event| golden_file(&golden_name_with_system(event)).into_bytes()));
    let decoded: Vec<Envelope> = events.into_iter().map(|event| Envelope::decode(event).unwrap()).collect();
    assert_eq!(decoded, BATCH.map(with_system));
}

/// The inbox is keyed by this id. If another version derived another one, a message that is delivered again during an
/// upgrade would be handled again.
#[test]
fn a_message_with_several_events_has_its_fixed_id() {
    let first = golden_file(&golden_name_with_system(BATCH[0]));
    let id = framing::batch_id(golden_file(BATCH_FILE).as_bytes(), first.as_bytes());
    assert_eq!(id, MessageId("019aab01-5b00-7106-bcaa-0fbb97d68c6d".parse().unwrap()));
}

#[test]
fn the_system_of_a_message_is_read_even_if_its_event_is_unknown() {
    let with_system = golden_file(&golden_name_with_system(EventType::OrderCreated));
    let unknown = with_system.replace("order.created.v1", "order.created.v9");
    assert!(Envelope::decode(unknown.as_bytes()).is_err());
    assert_eq!(Envelope::system_of(unknown.as_bytes()), Some(SYSTEM.parse().unwrap()));
    for none in [golden(EventType::OrderCreated), unknown.replace(SYSTEM, "x"), String::new(), "{}".to_owned()] {
        assert_eq!(Envelope::system_of(none.as_bytes()), None, "{none}");
    }
}

#[test]
fn a_system_id_is_a_uuid_of_version_7_and_has_its_creation_time() {
    let id: SystemId = SYSTEM.parse().unwrap();
    assert_eq!((id.to_string(), id.made_at().to_string()), (SYSTEM.to_owned(), "2025-11-22T09:59:44.128Z".to_owned()));
    for wrong in ["", "x", "019aab01-5b00-4000-8000-000000005751", "00000000-0000-0000-0000-000000000000"] {
        assert!(wrong.parse::<SystemId>().is_err(), "{wrong}");
    }
}

#[test]
fn there_is_one_golden_file_for_each_event_version() {
    let files: BTreeSet<String> = fs::read_dir(golden_dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".rs"))
        .collect();
    let events = EventType::ALL.map(golden_name).into_iter().chain(EventType::ALL.map(golden_name_with_system));
    let events = events.chain(WITH_PAYMENT_METHOD.map(golden_name_with_payment_method));
    assert_eq!(files, events.chain([BATCH_FILE.to_owned()]).collect());
}

/// A golden file has only one reason; the texts of the others must not change either.
#[test]
fn every_reason_has_its_fixed_text() {
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
            object.insert("added_later".to_owned(), json!({"nested": [1, null, "x"]}));
        }
        assert_eq!(Envelope::decode(json.to_string().as_bytes()).unwrap(), envelope(event), "{event}");
    }
}
