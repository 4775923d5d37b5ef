//! Messages that are not valid events are refused, with the reason.

use serde_json::json;
use shared_events::{DecodeError, Envelope, EventType, Money, Quantity};

use super::{decode_with, decode_without, envelope, golden};

#[test]
fn what_is_not_a_cloud_event_is_refused_as_such() {
    let not_a_cloud_event = |result: Result<Envelope, DecodeError>, what: &str| {
        assert!(matches!(result, Err(DecodeError::NotACloudEvent(_))), "{what}: {result:?}");
    };
    let whole = golden(EventType::OrderCreated);
    for body in [&b""[..], b"hello", b"{", b"null", b"[]", b"{}", b"\xff\xfe", &whole.as_bytes()[..whole.len() - 1]] {
        not_a_cloud_event(Envelope::decode(body), &String::from_utf8_lossy(body));
    }
    for field in ["specversion", "id", "source", "type", "time", "correlationid", "causationid", "data"] {
        not_a_cloud_event(decode_without(EventType::OrderCreated, "", field), field);
    }
    for (pointer, value) in [
        ("/specversion", json!("0.3")),
        ("/id", json!("not a uuid")),
        ("/time", json!("yesterday")),
        ("/correlationid", json!(7)),
        ("/causationid", json!(null)),
        ("/traceparent", json!({})),
    ] {
        not_a_cloud_event(decode_with(EventType::StockReserved, pointer, value), pointer);
    }
    let wrong_system = whole.replace("\"causationid\"", "\"systemid\":\"7\",\"causationid\"");
    not_a_cloud_event(Envelope::decode(wrong_system.as_bytes()), "systemid");
}

#[test]
fn an_unknown_type_is_named() {
    for unknown in [
        "order-system.order.exploded.v1",
        "order-system.order.created",
        "order-system.OrderCreated.v1",
        "other-system.order.created.v1",
        "order.created.v1",
        "order-system.",
        "",
    ] {
        let result = decode_with(EventType::OrderCreated, "/type", json!(unknown));
        assert!(matches!(&result, Err(DecodeError::UnknownType(it)) if it == unknown), "{unknown}: {result:?}");
    }
}

#[test]
fn an_unknown_version_is_named() {
    for event in EventType::ALL {
        for version in ["v2", "v0", "V1", "v1beta", ""] {
            let unknown = format!("order-system.{}.{version}", event.flow().routing_key);
            let result = decode_with(event, "/type", json!(unknown));
            assert!(matches!(&result, Err(DecodeError::UnknownVersion(it)) if *it == unknown), "{unknown}: {result:?}");
        }
    }
}

#[test]
fn only_the_publisher_is_accepted_as_the_source() {
    for event in EventType::ALL {
        for source in ["/order", "/inventory", "/payment", "/", "", "order", "/unknown"] {
            let result = decode_with(event, "/source", json!(source));
            if source == format!("/{}", event.flow().publisher) {
                assert_eq!(result.unwrap(), envelope(event));
            } else {
                assert_impossible(result, event, source);
            }
        }
    }
}

#[test]
fn impossible_content_is_refused() {
    let too_much = Money::MAX_MINOR_UNITS + 1;
    for event in EventType::ALL {
        for (pointer, values) in [
            ("/data", vec![json!(null), json!([]), json!("text"), json!({})]),
            ("/data/order_id", vec![json!("42"), json!(1.5), json!(null)]),
            ("/data/lines", vec![json!([]), json!({}), json!(null)]),
            ("/data/lines/0/quantity", vec![json!(0), json!(-1), json!(1.5), json!("2"), json!(Quantity::MAX + 1)]),
            ("/data/lines/0/item_sku", vec![json!(""), json!(" "), json!("A\u{0}"), json!("x".repeat(65)), json!(7)]),
            ("/data/total/minor_units", vec![json!(0), json!(-20_050), json!(200.5), json!("200"), json!(too_much)]),
            ("/data/total/currency", vec![json!("ZZZ"), json!("usd"), json!("XXX"), json!(""), json!(840)]),
        ] {
            for value in values {
                let what = format!("{pointer} = {value}");
                assert_impossible(decode_with(event, pointer, value), event, &what);
            }
        }
        for (parent, field) in [
            ("/data", "order_id"),
            ("/data", "lines"),
            ("/data", "total"),
            ("/data/lines/1", "item_sku"),
            ("/data/lines/1", "quantity"),
            ("/data/total", "minor_units"),
            ("/data/total", "currency"),
        ] {
            assert_impossible(decode_without(event, parent, field), event, &format!("no {field}"));
        }
    }
}

#[test]
fn an_event_with_a_reason_must_have_a_known_one() {
    use EventType::{OrderCancelRequested, OrderFailed, PaymentFailed, StockReservationFailed};
    for event in [StockReservationFailed, PaymentFailed, OrderFailed, OrderCancelRequested] {
        assert_impossible(decode_without(event, "/data", "reason"), event, "no reason");
        for reason in [json!("BAD_WEATHER"), json!("customer"), json!(null), json!(1)] {
            assert_impossible(decode_with(event, "/data/reason", reason.clone()), event, &reason.to_string());
        }
    }
    assert_impossible(decode_with(PaymentFailed, "/data/reason", json!("CUSTOMER")), PaymentFailed, "not a failure");
    let sku = decode_without(StockReservationFailed, "/data", "item_sku");
    assert_impossible(sku, StockReservationFailed, "no item_sku");
}

fn assert_impossible(result: Result<Envelope, DecodeError>, expected: EventType, what: &str) {
    assert!(
        matches!(result, Err(DecodeError::ImpossibleContent { event, .. }) if event == expected),
        "{expected}, {what}: {result:?}"
    );
}
