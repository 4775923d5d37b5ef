use std::fmt::Display;

use sea_orm::DbErr;
use shared_events::{Money, OrderId, SagaId, Timestamp};

use super::tables::payments;
use crate::domain::{Payment, PaymentId, State};

/// Converts a payment to its row.
pub(crate) fn to_row(payment: &Payment) -> payments::Model {
    let Payment { payment_id, saga_id, order_id, amount, state, reference, created_at, changed_at } = payment;
    payments::Model {
        payment_id: payment_id.0,
        saga_id: saga_id.map(|saga_id| saga_id.0),
        order_id: order_id.0,
        minor_units: amount.minor_units(),
        currency: amount.currency().code().to_owned(),
        state: state.as_str().to_owned(),
        reason: match state {
            State::Declined(reason) => Some(reason.clone()),
            State::Authorized | State::Voiding | State::Voided | State::Cancelled => None,
        },
        reference: reference.clone(),
        created_at: created_at.unix_micros(),
        changed_at: changed_at.unix_micros(),
    }
}

/// Converts a row to a payment.
///
/// # Errors
/// If the row has values that this program never writes.
pub(crate) fn from_row(row: payments::Model) -> Result<Payment, DbErr> {
    let payment_id = row.payment_id;
    let wrong = |what: &str, why: &dyn Display| DbErr::Type(format!("payment {payment_id}: {what}: {why}"));
    let currency = row.currency.parse().map_err(|error| wrong("currency", &error))?;
    let state = match (row.state.as_str(), row.reason) {
        ("AUTHORIZED", _) => State::Authorized,
        ("DECLINED", Some(reason)) => State::Declined(reason),
        ("VOIDING", _) => State::Voiding,
        ("VOIDED", _) => State::Voided,
        ("CANCELLED", _) => State::Cancelled,
        (other, _) => return Err(wrong("state", &other)),
    };
    Ok(Payment {
        payment_id: PaymentId(payment_id),
        saga_id: row.saga_id.map(SagaId),
        order_id: OrderId(row.order_id),
        amount: Money::from_minor_units(row.minor_units, currency).map_err(|error| wrong("amount", &error))?,
        state,
        reference: row.reference,
        created_at: Timestamp::from_unix_micros(row.created_at),
        changed_at: Timestamp::from_unix_micros(row.changed_at),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn state() -> impl Strategy<Value = State> {
        prop_oneof![
            Just(State::Authorized),
            ".{0,20}".prop_map(State::Declined),
            Just(State::Voiding),
            Just(State::Voided),
            Just(State::Cancelled),
        ]
    }

    proptest! {
        #[test]
        fn a_payment_is_the_same_after_a_round_trip(
            payment_id in 1..i64::MAX,
            saga in prop::option::of(any::<u128>()),
            order_id in 1..i64::MAX,
            minor_units in 1..=Money::MAX_MINOR_UNITS,
            state in state(),
            reference in prop::option::of(".{0,20}"),
        ) {
            let payment = Payment {
                payment_id: PaymentId(payment_id),
                saga_id: saga.map(|saga| SagaId(Uuid::from_u128(saga))),
                order_id: OrderId(order_id),
                amount: Money::from_minor_units(minor_units, "KWD".parse().unwrap()).unwrap(),
                state,
                reference,
                created_at: Timestamp::from_unix_micros(1),
                changed_at: Timestamp::from_unix_micros(2),
            };
            prop_assert_eq!(from_row(to_row(&payment)).unwrap(), payment);
        }
    }

    #[test]
    fn a_row_that_this_program_never_writes_is_an_error() {
        let amount = Money::from_minor_units(1, "USD".parse().unwrap()).unwrap();
        let new = crate::domain::NewPayment { payment_id: PaymentId(7), saga_id: None, order_id: OrderId(1), amount };
        let row = to_row(&Payment::cancelled(new, Timestamp::default()));
        for row in [
            payments::Model { state: "PAID".to_owned(), ..row.clone() },
            payments::Model { state: "DECLINED".to_owned(), reason: None, ..row.clone() },
            payments::Model { currency: "XXX".to_owned(), ..row.clone() },
            payments::Model { minor_units: 0, ..row },
        ] {
            assert!(from_row(row).unwrap_err().to_string().contains("payment 7"));
        }
    }
}
