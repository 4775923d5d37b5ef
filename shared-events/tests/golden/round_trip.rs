//! What is encoded is decoded as what it was, and a body that is damaged costs no more than its length.

use proptest::prelude::*;
use shared_events::{
    Currency, Envelope, Event, EventBody, EventType, FailureReason, Header, Line, Lines, MessageId, Money,
    OrderDetails, OrderId, Quantity, SagaId, Sku, Timestamp, framing,
};
use uuid::Uuid;

use super::{body, with_system};

fn any_line() -> impl Strategy<Value = Line> {
    // Any text that is a SKU, with characters of all planes, quotes and escapes.
    let sku = ".{1,64}".prop_filter_map("not a SKU", |text| Sku::parse(&text).ok());
    (sku, 1..=Quantity::MAX / 100).prop_map(|(sku, units)| Line { sku, quantity: Quantity::new(units).unwrap() })
}

fn any_order() -> impl Strategy<Value = OrderDetails> {
    let lines = prop::collection::vec(any_line(), 1..8).prop_filter_map("no lines", |lines| Lines::new(lines).ok());
    let currency = prop::sample::select(vec!["USD", "JPY", "KWD", "EUR"]);
    (1..i64::MAX, lines, 1..=Money::MAX_MINOR_UNITS, currency).prop_map(|(order_id, lines, units, currency)| {
        let currency: Currency = currency.parse().unwrap();
        OrderDetails {
            order_id: OrderId(order_id),
            lines,
            total: Money::from_minor_units(units, currency).unwrap(),
            payment_method: None,
        }
    })
}

fn any_body() -> impl Strategy<Value = EventBody> {
    let failed = any_line()
        .prop_map(|line| EventBody::StockReservationFailed { reason: FailureReason::UnknownItem, item_sku: line.sku });
    prop_oneof![prop::sample::select(EventType::ALL.to_vec()).prop_map(body), failed]
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    let uuid = || any::<u128>().prop_map(Uuid::from_u128);
    let traceparent = prop::option::of("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]");
    // From the year 0 to 9999.
    let time = (-62_167_219_200_000_000..253_402_300_800_000_000_i64).prop_map(Timestamp::from_unix_micros);
    let header = (uuid(), time, uuid(), any::<bool>(), traceparent);
    (header, uuid(), any_order(), any_body()).prop_map(|(header, saga_id, order, body)| {
        let (id, time, causation_id, has_system, traceparent) = header;
        let system_id = with_system(body.event_type()).header.system_id.filter(|_| has_system);
        let header = Header { id: MessageId(id), time, causation_id, system_id, traceparent };
        Envelope { header, event: Event { saga_id: SagaId(saga_id), order, body } }
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(envelope in any_envelope()) {
        let decoded = Envelope::decode(envelope.encode().as_bytes());
        prop_assert_eq!(decoded.unwrap(), envelope);
    }

    #[test]
    fn what_is_joined_is_split(envelopes in prop::collection::vec(any_envelope(), 1..8)) {
        let texts: Vec<String> = envelopes.iter().map(Envelope::encode).collect();
        let message = framing::join(&texts);
        let parts = framing::split(message.as_bytes()).unwrap();
        let decoded: Vec<Envelope> = parts.into_iter().map(|part| Envelope::decode(part).unwrap()).collect();
        prop_assert_eq!(decoded, envelopes);
    }

    /// A part is a slice of the body, and there are at most [`framing::MAX_EVENTS`]: nothing grows with what the body
    /// claims.
    #[test]
    fn whatever_the_body_is_its_parts_are_in_it(
        start in "[\\[ ]{0,3}",
        parts in prop::collection::vec("[\\[\\]{}\",:0-9eE.tn \\\\u-]{0,12}", 0..200),
    ) {
        let body = format!("{start}{}]", parts.join(","));
        if let Ok(parts) = framing::split(body.as_bytes()) {
            prop_assert!(parts.len() <= framing::MAX_EVENTS);
            prop_assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= body.len());
            for part in parts {
                let _ = Envelope::decode(part);
                let _ = framing::batch_id(body.as_bytes(), part);
            }
        }
    }
}
