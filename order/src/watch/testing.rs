//! Orders for the tests.

use std::time::Duration;

use shared_events::{Line, Lines, Money, OrderId, Quantity, SagaId, Sku, Timestamp};
use uuid::Uuid;

use crate::domain::{CancelPolicy, NewOrder, Order};

pub(super) fn order(id: i64, version: i64, second: u64) -> Order {
    order_of("", id, version, second)
}

pub(super) fn order_of(owner: &str, id: i64, version: i64, second: u64) -> Order {
    let line = Line { sku: Sku::parse("A").unwrap(), quantity: Quantity::new(1).unwrap() };
    let new = NewOrder {
        saga_id: SagaId(Uuid::from_u128(7)),
        owner: owner.to_owned(),
        lines: Lines::new([line]).unwrap(),
        total: Money::from_minor_units(1, "USD".parse().unwrap()).unwrap(),
        payment_method: None,
        idempotency_key: None,
    };
    let cancel_policy =
        CancelPolicy { deadline: Duration::ZERO, first_repeat: Duration::ZERO, longest_repeat: Duration::ZERO };
    let now = Timestamp::default().after(Duration::from_secs(second));
    let (order, _) = Order::place(new, OrderId(id), now, &cancel_policy);
    Order { version, ..order }
}
