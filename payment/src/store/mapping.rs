use std::fmt::Display;

use sea_orm::DbErr;
use shared_events::{Money, OrderId, OwnedKey, PaymentMethod, SagaId, Timestamp};

use super::tables::payments;
use crate::domain::{Payment, PaymentId, PaymentKey, Purpose, State, Task};

/// Converts a payment to its row.
pub(crate) fn to_row(payment: &Payment) -> payments::Model {
    let Payment { payment_id, purpose, order_id, amount, state, reference, task, refunds, created_at, changed_at } =
        payment;
    let (saga_id, gateway_key, idempotency_key) = match purpose {
        Purpose::Saga(saga_id) => (Some(saga_id.0), None, None),
        Purpose::Client { key, idempotency_key } => (None, key.map(|key| key.0), idempotency_key.as_ref()),
    };
    let columns = idempotency_key.map(|owned| OwnedKey::columns_of(&owned.owner, &owned.key));
    let (idempotency_key, scoped_key) = columns.unwrap_or_default();
    let lines = task.as_ref().and_then(|task| task.lines.as_ref());
    payments::Model {
        payment_id: payment_id.0,
        saga_id,
        order_id: order_id.0,
        minor_units: amount.minor_units(),
        currency: amount.currency().code().to_owned(),
        state: state.as_str().to_owned(),
        reason: state.reason().map(str::to_owned),
        reference: reference.clone(),
        created_at: created_at.unix_micros(),
        changed_at: changed_at.unix_micros(),
        due_at: task.as_ref().map(|task| task.due_at.unix_micros()),
        attempts: task.as_ref().map_or(0, |task| task.attempts.into()),
        unanswered: task.as_ref().map_or(0, |task| task.unanswered.into()),
        lines: lines.map(|lines| serde_json::to_string(lines).expect("lines are plain JSON")),
        payment_method: task.as_ref().and_then(|task| task.method.as_ref()).map(|method| method.as_str().to_owned()),
        refunds: (!refunds.is_empty()).then(|| serde_json::to_string(refunds).expect("refunds are plain JSON")),
        gateway_key,
        idempotency_key,
        scoped_key,
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
    let purpose = match row.saga_id {
        Some(saga_id) => Purpose::Saga(SagaId(saga_id)),
        None => Purpose::Client {
            key: row.gateway_key.map(PaymentKey),
            idempotency_key: OwnedKey::of_columns(row.idempotency_key.as_deref(), row.scoped_key.as_deref())
                .map_err(|error| wrong("idempotency_key", &error))?,
        },
    };
    let state = State::parse(&row.state, row.reason).ok_or_else(|| wrong("state", &row.state))?;
    let lines = row.lines.map(|lines| serde_json::from_str(&lines).map_err(|error| wrong("lines", &error)));
    let lines = lines.transpose()?;
    let refunds = row.refunds.map(|refunds| serde_json::from_str(&refunds).map_err(|error| wrong("refunds", &error)));
    let attempts = u32::try_from(row.attempts).map_err(|error| wrong("attempts", &error))?;
    let unanswered = u32::try_from(row.unanswered).map_err(|error| wrong("unanswered", &error))?;
    let method = row.payment_method.map(|text| PaymentMethod::parse(&text));
    let method = method.transpose().map_err(|error| wrong("payment_method", &error))?;
    let due_at = row.due_at.map(Timestamp::from_unix_micros);
    Ok(Payment {
        payment_id: PaymentId(payment_id),
        purpose,
        order_id: OrderId(row.order_id),
        amount: Money::from_minor_units(row.minor_units, currency).map_err(|error| wrong("amount", &error))?,
        state,
        reference: row.reference,
        task: due_at.map(|due_at| Task { due_at, attempts, unanswered, lines, method }),
        refunds: refunds.transpose()?.unwrap_or_default(),
        created_at: Timestamp::from_unix_micros(row.created_at),
        changed_at: Timestamp::from_unix_micros(row.changed_at),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared_events::{IdempotencyKey, Line, Lines, Quantity, RefundDetails, RefundFailure, RefundId, Sku};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Refund, RefundState};

    fn state() -> impl Strategy<Value = State> {
        prop_oneof![
            Just(State::Requested),
            Just(State::Authorized),
            Just(State::Capturing),
            Just(State::Captured),
            ".{0,20}".prop_map(State::CaptureFailed),
            ".{0,20}".prop_map(State::Declined),
            Just(State::Voiding),
            Just(State::Voided),
            Just(State::Cancelled),
        ]
    }

    fn purpose() -> impl Strategy<Value = Purpose> {
        let key = prop::option::of(any::<u128>().prop_map(|key| PaymentKey(Uuid::from_u128(key))));
        let owned = ("[a-z]{0,5}", "[a-z]{1,20}");
        let owned = owned.prop_map(|(owner, key)| OwnedKey { owner, key: IdempotencyKey::parse(&key).unwrap() });
        let idempotency_key = prop::option::of(owned);
        prop_oneof![
            any::<u128>().prop_map(|saga| Purpose::Saga(SagaId(Uuid::from_u128(saga)))),
            (key, idempotency_key).prop_map(|(key, idempotency_key)| Purpose::Client { key, idempotency_key }),
        ]
    }

    fn task() -> impl Strategy<Value = Option<Task>> {
        let line = Line { sku: Sku::parse("SKU \"x\"").unwrap(), quantity: Quantity::new(2).unwrap() };
        let lines = prop_oneof![Just(None), Just(Some(Lines::new([line]).unwrap()))];
        let task = (any::<i64>(), any::<u32>(), any::<u32>(), lines, prop::option::of("[a-z]{1,9}"));
        let task = task.prop_map(|(due_at, attempts, unanswered, lines, method)| Task {
            due_at: Timestamp::from_unix_micros(due_at),
            attempts,
            unanswered,
            lines,
            method: method.map(|method| PaymentMethod::parse(&method).unwrap()),
        });
        prop::option::of(task)
    }

    fn refund() -> impl Strategy<Value = Refund> {
        let reason =
            prop::sample::select(vec![RefundFailure::NotCaptured, RefundFailure::Declined, RefundFailure::Reversed]);
        let failed = (reason, prop::option::of(".{0,20}"));
        let state = prop_oneof![
            Just(RefundState::Requested),
            Just(RefundState::Refunded),
            failed.prop_map(|(reason, detail)| RefundState::Failed { reason, detail }),
        ];
        let line = Line { sku: Sku::parse("SKU \"x\"").unwrap(), quantity: Quantity::new(2).unwrap() };
        let lines = prop_oneof![Just(None), Just(Some(Lines::new([line]).unwrap()))];
        let both = (lines.clone(), lines);
        (any::<u128>(), 1..=Money::MAX_MINOR_UNITS, both, state).prop_map(|(id, minor_units, both, state)| {
            let (restock, lines) = both;
            let amount = Money::from_minor_units(minor_units, "KWD".parse().unwrap()).unwrap();
            let details = RefundDetails { refund_id: RefundId(Uuid::from_u128(id)), amount, restock };
            Refund { details, state, lines }
        })
    }

    proptest! {
        #[test]
        fn a_payment_is_the_same_after_a_round_trip(
            payment_id in 1..i64::MAX,
            purpose in purpose(),
            order_id in 1..i64::MAX,
            minor_units in 1..=Money::MAX_MINOR_UNITS,
            state in state(),
            reference in prop::option::of(".{0,20}"),
            task in task(),
            refunds in prop::collection::vec(refund(), 0..3),
        ) {
            let payment = Payment {
                payment_id: PaymentId(payment_id),
                purpose,
                order_id: OrderId(order_id),
                amount: Money::from_minor_units(minor_units, "KWD".parse().unwrap()).unwrap(),
                state,
                reference,
                task,
                refunds,
                created_at: Timestamp::from_unix_micros(1),
                changed_at: Timestamp::from_unix_micros(2),
            };
            prop_assert_eq!(from_row(to_row(&payment)).unwrap(), payment);
        }
    }

    #[test]
    fn a_row_that_this_program_never_writes_is_an_error() {
        let amount = Money::from_minor_units(1, "USD".parse().unwrap()).unwrap();
        let purpose = Purpose::Client { key: None, idempotency_key: None };
        let new = crate::domain::NewPayment { payment_id: PaymentId(7), purpose, order_id: OrderId(1), amount };
        let row = to_row(&new.into_payment(State::Cancelled, Timestamp::default()));
        for row in [
            payments::Model { state: "PAID".to_owned(), ..row.clone() },
            payments::Model { state: "DECLINED".to_owned(), reason: None, ..row.clone() },
            payments::Model { state: "CAPTURE_FAILED".to_owned(), reason: None, ..row.clone() },
            payments::Model { currency: "XXX".to_owned(), ..row.clone() },
            payments::Model { minor_units: 0, ..row.clone() },
            payments::Model { attempts: -1, ..row.clone() },
            payments::Model { unanswered: -1, ..row.clone() },
            payments::Model { due_at: Some(1), payment_method: Some("4242424242424242".to_owned()), ..row.clone() },
            payments::Model { lines: Some("[]".to_owned()), ..row.clone() },
            payments::Model { refunds: Some("[{}]".to_owned()), ..row.clone() },
            payments::Model { idempotency_key: Some(String::new()), ..row.clone() },
            payments::Model { scoped_key: Some("key".to_owned()), ..row },
        ] {
            assert!(from_row(row).unwrap_err().to_string().contains("payment 7"));
        }
    }
}
