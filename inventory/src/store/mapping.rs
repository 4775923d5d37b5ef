use std::fmt::Display;

use sea_orm::DbErr;
use shared_events::{FailureReason, Lines, Money, OrderDetails, OrderId, SagaId, Sku, Timestamp};

use super::tables::{reservations, stock_items};
use crate::domain::{Owner, Rejection, Reservation, ReservationId, State, StockItem};

/// Converts an item to its row.
pub(crate) fn item_to_row(item: &StockItem) -> stock_items::Model {
    stock_items::Model {
        sku: item.sku().as_str().to_owned(),
        received: item.received(),
        available: item.available(),
        held: item.held(),
        sold: item.sold(),
    }
}

/// Converts a row to an item.
///
/// # Errors
/// If the row has values that this program never writes.
pub(crate) fn item_from_row(row: stock_items::Model) -> Result<StockItem, DbErr> {
    let stock_items::Model { sku, received, available, held, sold } = row;
    let wrong = |why: &dyn Display| DbErr::Type(format!("stock item {sku:?}: {why}"));
    let parsed = Sku::parse(&sku).map_err(|error| wrong(&error))?;
    StockItem::from_stored(parsed, received, available, held, sold).map_err(|error| wrong(&error))
}

/// Converts a reservation to its row.
pub(crate) fn reservation_to_row(reservation: &Reservation) -> reservations::Model {
    let Reservation { id, owner, state, made_at, changed_at, wake_at, repeats, returns } = reservation;
    let (state, rejection) = match state {
        State::Held => ("HELD", None),
        State::Released => ("RELEASED", None),
        State::Sold => ("SOLD", None),
        State::Rejected(rejection) => ("REJECTED", Some(rejection)),
        State::Cancelled => ("CANCELLED", None),
    };
    let (saga_id, order, key_owner) = match owner {
        Owner::Saga { saga_id, order } => (Some(saga_id.0), Some(order), ""),
        Owner::Client { key_owner, .. } => (None, None, key_owner.as_str()),
    };
    reservations::Model {
        reservation_id: id.0,
        saga_id,
        order_id: order.map(|order| order.order_id.0),
        lines: serde_json::to_string(reservation.lines().as_slice()).expect("lines are plain JSON"),
        minor_units: order.map(|order| order.total.minor_units()),
        currency: order.map(|order| order.total.currency().code().to_owned()),
        state: state.to_owned(),
        reason: rejection.map(|rejection| name(rejection.reason)),
        item_sku: rejection.map(|rejection| rejection.item_sku.as_str().to_owned()),
        made_at: made_at.unix_micros(),
        changed_at: changed_at.unix_micros(),
        wake_at: wake_at.map(Timestamp::unix_micros),
        repeats: i64::from(*repeats),
        owner: key_owner.to_owned(),
        returns: (!returns.is_empty()).then(|| serde_json::to_string(returns).expect("lines are plain JSON")),
    }
}

/// Converts a row to a reservation.
///
/// # Errors
/// If the row has values that this program never writes.
pub(crate) fn reservation_from_row(row: reservations::Model) -> Result<Reservation, DbErr> {
    let id = row.reservation_id;
    let wrong = |what: &str, why: &dyn Display| DbErr::Type(format!("reservation {id}: {what}: {why}"));
    let lines: Lines = serde_json::from_str(&row.lines).map_err(|error| wrong("lines", &error))?;
    let owner = match (row.saga_id, row.order_id, row.minor_units, row.currency) {
        (Some(saga_id), Some(order_id), Some(minor_units), Some(currency)) => {
            let currency = currency.parse().map_err(|error| wrong("currency", &error))?;
            let total = Money::from_minor_units(minor_units, currency).map_err(|error| wrong("amount", &error))?;
            let order = OrderDetails { order_id: OrderId(order_id), lines, total, payment_method: None };
            Owner::Saga { saga_id: SagaId(saga_id), order }
        }
        (None, None, None, None) => {
            let line = lines.only().cloned().ok_or_else(|| wrong("lines", &"not exactly one"))?;
            Owner::Client { line, key_owner: row.owner }
        }
        _ => return Err(wrong("order", &"incomplete")),
    };
    let state = match (row.state.as_str(), row.reason, row.item_sku) {
        ("HELD", None, None) => State::Held,
        ("RELEASED", None, None) => State::Released,
        ("SOLD", None, None) => State::Sold,
        ("CANCELLED", None, None) => State::Cancelled,
        ("REJECTED", Some(reason), Some(sku)) => State::Rejected(Rejection {
            reason: named(&reason).map_err(|error| wrong("reason", &error))?,
            item_sku: Sku::parse(&sku).map_err(|error| wrong("item_sku", &error))?,
        }),
        (other, ..) => return Err(wrong("state", &other)),
    };
    let returns = row.returns.as_deref().map(serde_json::from_str).transpose();
    Ok(Reservation {
        id: ReservationId(id),
        owner,
        state,
        made_at: Timestamp::from_unix_micros(row.made_at),
        changed_at: Timestamp::from_unix_micros(row.changed_at),
        wake_at: row.wake_at.map(Timestamp::from_unix_micros),
        repeats: u32::try_from(row.repeats).unwrap_or(u32::MAX),
        returns: returns.map_err(|error| wrong("returns", &error))?.unwrap_or_default(),
    })
}

/// Returns the name of a reason in the wire format.
fn name(reason: FailureReason) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(name)) => name,
        other => unreachable!("a reason is written as a name, not as {other:?}"),
    }
}

fn named(name: &str) -> Result<FailureReason, serde_json::Error> {
    serde_json::from_value(serde_json::Value::String(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared_events::{Line, Quantity, RefundId};

    use super::*;
    use crate::domain::Return;

    fn line(sku: &str) -> Line {
        Line { sku: Sku::parse(sku).unwrap(), quantity: Quantity::new(3).unwrap() }
    }

    fn returned(refund: u128) -> Return {
        Return { refund_id: RefundId(uuid::Uuid::from_u128(refund)), lines: Lines::new([line("A")]).unwrap() }
    }

    fn states() -> Vec<State> {
        let rejected = |reason| State::Rejected(Rejection { reason, item_sku: line("SKU \"x\"").sku });
        let reasons = [FailureReason::UnknownItem, FailureReason::InsufficientStock];
        let simple = [State::Held, State::Released, State::Sold, State::Cancelled];
        reasons.into_iter().map(rejected).chain(simple).collect()
    }

    proptest! {
        #[test]
        fn a_reservation_is_the_same_after_a_round_trip(
            state in prop::sample::select(states()),
            of_a_saga in any::<bool>(),
            id in 1..i64::MAX,
            saga in any::<u128>(),
            minor_units in 1..=Money::MAX_MINOR_UNITS,
            wake_at in prop::option::of(0..i64::MAX),
            repeats in any::<u32>(),
            refund in prop::option::of(any::<u128>()),
        ) {
            let total = Money::from_minor_units(minor_units, "KWD".parse().unwrap()).unwrap();
            let lines = Lines::new([line("SKU \"x\""), line("A")]).unwrap();
            let order = OrderDetails { order_id: OrderId(id), lines, total, payment_method: None };
            let reservation = Reservation {
                id: ReservationId(id),
                owner: match of_a_saga {
                    true => Owner::Saga { saga_id: SagaId(uuid::Uuid::from_u128(saga)), order },
                    false => Owner::Client { line: line("крупа"), key_owner: "shop-a".to_owned() },
                },
                state,
                made_at: Timestamp::from_unix_micros(1),
                changed_at: Timestamp::from_unix_micros(2),
                wake_at: wake_at.map(Timestamp::from_unix_micros),
                repeats,
                returns: refund.into_iter().map(returned).collect(),
            };
            prop_assert_eq!(reservation_from_row(reservation_to_row(&reservation)).unwrap(), reservation);
        }

        #[test]
        fn an_item_is_the_same_after_a_round_trip(
            available in 0..1_i64 << 60,
            held in 0..1_i64 << 60,
            sold in 0..1_i64 << 60,
        ) {
            let item = StockItem::from_stored(line("A").sku, available + held + sold, available, held, sold).unwrap();
            prop_assert_eq!(item_from_row(item_to_row(&item)).unwrap(), item);
        }
    }

    #[test]
    fn an_error_names_the_damaged_row() {
        let reservation = Reservation {
            id: ReservationId(7),
            owner: Owner::Client { line: line("A"), key_owner: String::new() },
            state: State::Held,
            made_at: Timestamp::default(),
            changed_at: Timestamp::default(),
            wake_at: None,
            repeats: 0,
            returns: Vec::new(),
        };
        let good = reservation_to_row(&reservation);
        for damaged in [
            reservations::Model { lines: "[]".to_owned(), ..good.clone() },
            reservations::Model { order_id: Some(1), ..good.clone() },
            reservations::Model { state: "LOST".to_owned(), ..good.clone() },
            reservations::Model { state: "REJECTED".to_owned(), ..good.clone() },
            reservations::Model { returns: Some("[{}]".to_owned()), ..good.clone() },
        ] {
            let error = reservation_from_row(damaged).unwrap_err().to_string();
            assert!(error.contains("reservation 7"), "{error}");
        }
        let item = StockItem::new(line("SKU-9").sku);
        let damaged = stock_items::Model { held: 1, ..item_to_row(&item) };
        assert!(item_from_row(damaged).unwrap_err().to_string().contains("SKU-9"));
    }
}
