use std::fmt::Display;

use sea_orm::DbErr;
use serde::{Serialize, de::DeserializeOwned};
use shared_events::{Money, OrderDetails, OrderId, OwnedKey, PaymentMethod, SagaId, Timestamp};

use super::tables::orders;
use crate::domain::{Cancel, Capture, Facts, Order, Payment, Stock};

/// Converts an order to its row.
pub(crate) fn to_row(order: &Order) -> orders::Model {
    let Order {
        details,
        saga_id,
        owner,
        idempotency_key,
        placed_at,
        changed_at,
        facts,
        wake_at,
        repeats,
        refunded,
        version,
    } = order;
    let columns = idempotency_key.as_ref().map(|key| OwnedKey::columns_of(owner, key));
    let (unscoped_key, scoped_key) = columns.unwrap_or_default();
    let (stock, stock_reason) = match facts.stock {
        Stock::Unknown => ("UNKNOWN", None),
        Stock::Reserved => ("RESERVED", None),
        Stock::Released => ("RELEASED", None),
        Stock::Rejected(reason) => ("REJECTED", Some(reason_name(&reason))),
    };
    let (payment, payment_reason) = match facts.payment {
        Payment::Unknown => ("UNKNOWN", None),
        Payment::Authorized => ("AUTHORIZED", None),
        Payment::Voided => ("VOIDED", None),
        Payment::Declined(reason) => ("DECLINED", Some(reason_name(&reason))),
    };
    orders::Model {
        order_id: details.order_id.0,
        saga_id: saga_id.0,
        lines: serde_json::to_string(&details.lines).expect("lines are plain JSON"),
        minor_units: details.total.minor_units(),
        currency: details.total.currency().code().to_owned(),
        idempotency_key: unscoped_key,
        scoped_key,
        owner: owner.clone(),
        payment_method: details.payment_method.as_ref().map(ToString::to_string),
        placed_at: placed_at.unix_micros(),
        changed_at: changed_at.unix_micros(),
        stock: stock.to_owned(),
        stock_reason,
        payment: payment.to_owned(),
        payment_reason,
        cancel: match facts.cancel {
            Cancel::No => None,
            Cancel::Requested(reason) => Some(reason_name(&reason)),
        },
        capture: facts.capture.as_str().map(str::to_owned),
        status: facts.status().as_str().to_owned(),
        wake_at: wake_at.map(Timestamp::unix_micros),
        repeats: i64::from(*repeats),
        refunded: *refunded,
        version: *version,
    }
}

/// Converts a row to an order.
///
/// # Errors
/// If the row has values that this program never writes.
pub(crate) fn from_row(row: orders::Model) -> Result<Order, DbErr> {
    let order_id = row.order_id;
    let wrong = |what: &str, why: &dyn Display| DbErr::Type(format!("order {order_id}: {what}: {why}"));
    let lines = serde_json::from_str(&row.lines).map_err(|error| wrong("lines", &error))?;
    let currency = row.currency.parse().map_err(|error| wrong("currency", &error))?;
    let total = Money::from_minor_units(row.minor_units, currency).map_err(|error| wrong("amount", &error))?;
    let payment_method = row.payment_method.as_deref().map(PaymentMethod::parse).transpose();
    let payment_method = payment_method.map_err(|error| wrong("payment method", &error))?;
    let stock = match (row.stock.as_str(), row.stock_reason) {
        ("UNKNOWN", _) => Stock::Unknown,
        ("RESERVED", _) => Stock::Reserved,
        ("RELEASED", _) => Stock::Released,
        ("REJECTED", Some(reason)) => Stock::Rejected(named(&reason).map_err(|error| wrong("stock", &error))?),
        (other, _) => return Err(wrong("stock", &other)),
    };
    let payment = match (row.payment.as_str(), row.payment_reason) {
        ("UNKNOWN", _) => Payment::Unknown,
        ("AUTHORIZED", _) => Payment::Authorized,
        ("VOIDED", _) => Payment::Voided,
        ("DECLINED", Some(reason)) => Payment::Declined(named(&reason).map_err(|error| wrong("payment", &error))?),
        (other, _) => return Err(wrong("payment", &other)),
    };
    let cancel = match row.cancel {
        None => Cancel::No,
        Some(reason) => Cancel::Requested(named(&reason).map_err(|error| wrong("cancel", &error))?),
    };
    let capture = match row.capture.as_deref() {
        None => Capture::Unknown,
        Some("FAILED") => Capture::Failed,
        Some("CAPTURED") => Capture::Captured,
        Some(other) => return Err(wrong("capture", &other)),
    };
    let key = OwnedKey::of_columns(row.idempotency_key.as_deref(), row.scoped_key.as_deref());
    let key = key.map_err(|error| wrong("idempotency key", &error))?;
    Ok(Order {
        details: OrderDetails { order_id: OrderId(order_id), lines, total, payment_method },
        saga_id: SagaId(row.saga_id),
        owner: row.owner,
        idempotency_key: key.map(|owned| owned.key),
        placed_at: Timestamp::from_unix_micros(row.placed_at),
        changed_at: Timestamp::from_unix_micros(row.changed_at),
        facts: Facts { stock, payment, cancel, capture },
        wake_at: row.wake_at.map(Timestamp::from_unix_micros),
        repeats: u32::try_from(row.repeats).unwrap_or(u32::MAX),
        refunded: row.refunded,
        version: row.version,
    })
}

/// Returns the name of a reason in the wire format.
pub(crate) fn reason_name(reason: &impl Serialize) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(name)) => name,
        other => unreachable!("a reason is written as a name, not as {other:?}"),
    }
}

pub(super) fn named<R: DeserializeOwned>(name: &str) -> Result<R, serde_json::Error> {
    serde_json::from_value(serde_json::Value::String(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared_events::{CancelReason, FailureReason, IdempotencyKey, Line, Lines, Quantity, Sku};
    use uuid::Uuid;

    use super::*;

    fn facts() -> impl Strategy<Value = Facts> {
        let stock = prop::sample::select(vec![
            Stock::Unknown,
            Stock::Reserved,
            Stock::Released,
            Stock::Rejected(FailureReason::InsufficientStock),
            Stock::Rejected(FailureReason::UnknownItem),
        ]);
        let payment = prop::sample::select(vec![
            Payment::Unknown,
            Payment::Authorized,
            Payment::Voided,
            Payment::Declined(FailureReason::PaymentDeclined),
        ]);
        let cancel = prop::sample::select(vec![
            Cancel::No,
            Cancel::Requested(CancelReason::Customer),
            Cancel::Requested(CancelReason::Deadline),
        ]);
        let capture = prop::sample::select(vec![Capture::Unknown, Capture::Failed, Capture::Captured]);
        let facts = (stock, payment, cancel, capture);
        facts.prop_map(|(stock, payment, cancel, capture)| Facts { stock, payment, cancel, capture })
    }

    proptest! {
        #[test]
        fn an_order_is_the_same_after_a_round_trip(
            facts in facts(),
            order_id in 1..i64::MAX,
            saga in any::<u128>(),
            minor_units in 1..=Money::MAX_MINOR_UNITS,
            key in prop::option::of("[a-z]{1,20}"),
            owner in prop::sample::select(vec!["", "shop-a", "b:1@example"]),
            method in prop::sample::select(vec![None, Some("pm_card_visa")]),
            wake_at in prop::option::of(0..i64::MAX),
            repeats in any::<u32>(),
            refunded in 0..Money::MAX_MINOR_UNITS,
            version in 1..i64::MAX,
        ) {
            let line = Line { sku: Sku::parse("SKU \"x\"").unwrap(), quantity: Quantity::new(3).unwrap() };
            let order = Order {
                details: OrderDetails {
                    order_id: OrderId(order_id),
                    lines: Lines::new([line]).unwrap(),
                    total: Money::from_minor_units(minor_units, "KWD".parse().unwrap()).unwrap(),
                    payment_method: method.map(|method| PaymentMethod::parse(method).unwrap()),
                },
                saga_id: SagaId(Uuid::from_u128(saga)),
                owner: owner.to_owned(),
                idempotency_key: key.map(|key| IdempotencyKey::parse(&key).unwrap()),
                placed_at: Timestamp::from_unix_micros(1),
                changed_at: Timestamp::from_unix_micros(2),
                facts,
                wake_at: wake_at.map(Timestamp::from_unix_micros),
                repeats,
                refunded,
                version,
            };
            prop_assert_eq!(from_row(to_row(&order)).unwrap(), order);
        }
    }
}
