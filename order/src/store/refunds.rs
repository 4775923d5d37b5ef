//! The table of the refunds.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Display,
};

use saga_database::{Rows, find_each_by, postpone_unreadable, read_rows, readable};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    entity::prelude::*,
    sea_query::{LockBehavior, LockType},
};
use shared_events::{Money, RefundDetails, RefundId, Timestamp};

use super::{
    mapping::{self, named, reason_name},
    tables::orders,
};
use crate::domain::{IdempotencyKey, Order, Refund, RefundState};

/// One refund. The migration `m0009_refunds` describes the columns.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refunds")]
#[allow(missing_docs, reason = "the migration describes the columns")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub refund_id: Uuid,
    pub order_id: i64,
    pub minor_units: i64,
    pub items: Option<String>,
    pub restock: bool,
    pub reason: Option<String>,
    pub idempotency_key: Option<String>,
    pub state: String,
    pub failure: Option<String>,
    pub restocked: bool,
    pub requested_at: i64,
    pub changed_at: i64,
    pub wake_at: Option<i64>,
    pub repeats: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
#[allow(missing_docs, reason = "no table refers to another")]
pub enum Relation {}
impl ActiveModelBehavior for ActiveModel {}

/// Converts a refund to its row.
pub(crate) fn to_row(refund: &Refund) -> Model {
    let (state, failure) = match refund.state {
        RefundState::Requested => ("REQUESTED", None),
        RefundState::Succeeded => ("SUCCEEDED", None),
        RefundState::Failed(reason) => ("FAILED", Some(reason_name(&reason))),
    };
    Model {
        refund_id: refund.details.refund_id.0,
        order_id: refund.order.order_id.0,
        minor_units: refund.details.amount.minor_units(),
        items: refund.items.as_ref().map(|items| serde_json::to_string(items).expect("lines are plain JSON")),
        restock: refund.details.restock.is_some(),
        reason: refund.reason.clone(),
        idempotency_key: refund.idempotency_key.as_ref().map(|key| key.as_str().to_owned()),
        state: state.to_owned(),
        failure,
        restocked: refund.restocked,
        requested_at: refund.requested_at.unix_micros(),
        changed_at: refund.changed_at.unix_micros(),
        wake_at: refund.wake_at.map(Timestamp::unix_micros),
        repeats: i64::from(refund.repeats),
    }
}

/// Converts a row to a refund of `order`.
///
/// # Errors
/// If the row has values that this program never writes.
pub(crate) fn from_row(row: Model, order: &Order) -> Result<Refund, DbErr> {
    let id = row.refund_id;
    let wrong = |what: &str, why: &dyn Display| DbErr::Type(format!("refund {id}: {what}: {why}"));
    let amount = Money::from_minor_units(row.minor_units, order.details.total.currency());
    let items = row.items.as_deref().map(serde_json::from_str).transpose().map_err(|error| wrong("items", &error))?;
    let key = row.idempotency_key.as_deref().map(IdempotencyKey::parse).transpose();
    let state = match (row.state.as_str(), row.failure) {
        ("REQUESTED", None) => RefundState::Requested,
        ("SUCCEEDED", None) => RefundState::Succeeded,
        ("FAILED", Some(reason)) => RefundState::Failed(named(&reason).map_err(|error| wrong("failure", &error))?),
        (other, _) => return Err(wrong("state", &other)),
    };
    Ok(Refund {
        details: RefundDetails {
            refund_id: RefundId(id),
            amount: amount.map_err(|error| wrong("amount", &error))?,
            restock: if row.restock { items.clone() } else { None },
        },
        order: order.details.clone(),
        saga_id: order.saga_id,
        items,
        reason: row.reason,
        idempotency_key: key.map_err(|error| wrong("idempotency key", &error))?,
        state,
        restocked: row.restocked,
        requested_at: Timestamp::from_unix_micros(row.requested_at),
        changed_at: Timestamp::from_unix_micros(row.changed_at),
        wake_at: row.wake_at.map(Timestamp::from_unix_micros),
        repeats: u32::try_from(row.repeats).unwrap_or(u32::MAX),
    })
}

/// Returns all refunds of these orders. The caller has locked the orders, and whoever changes a refund does, so they
/// need no locks of their own.
///
/// # Errors
/// If the database fails or is unavailable, or a row cannot be read.
pub(crate) async fn of_orders<'a>(
    transaction: &DatabaseTransaction,
    orders: impl Iterator<Item = &'a Order>,
) -> Result<Vec<Refund>, DbErr> {
    let rows = each_of_orders(transaction, orders).await?;
    rows.into_iter().map(|(_, refund)| refund).collect()
}

/// Returns the refunds of these orders, without those that cannot be read.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn readable_of_orders<'a>(
    transaction: &DatabaseTransaction,
    orders: impl Iterator<Item = &'a Order>,
) -> Result<Vec<Refund>, DbErr> {
    Ok(readable("refunds", each_of_orders(transaction, orders).await?))
}

/// Returns all refunds of these orders, each row converted separately. Used by the audit.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn each_of_orders<'a>(
    connection: &impl ConnectionTrait,
    orders: impl Iterator<Item = &'a Order>,
) -> Result<Rows<Uuid, Refund>, DbErr> {
    let by_id: HashMap<i64, &Order> = orders.map(|order| (order.details.order_id.0, order)).collect();
    let ids = by_id.keys().map(|id| (*id).into()).collect();
    let of_row = |row: Model| match by_id.get(&row.order_id) {
        Some(order) => from_row(row, order),
        None => Err(DbErr::RecordNotFound(format!("the order {} was not asked for", row.order_id))),
    };
    find_each_by::<Entity, _, _, _>(connection, Column::OrderId, ids, Column::RefundId, of_row).await
}

/// Returns at most `limit` refunds of an order with a greater id than `after`, ordered by id, and so by time.
///
/// # Errors
/// If the database fails or is unavailable, or a row cannot be read.
pub async fn of_order(
    connection: &impl ConnectionTrait,
    order: &Order,
    after: Option<RefundId>,
    limit: u64,
) -> Result<Vec<Refund>, DbErr> {
    let mut query = Entity::find().filter(Column::OrderId.eq(order.details.order_id.0));
    if let Some(after) = after {
        query = query.filter(Column::RefundId.gt(after.0));
    }
    let rows = query.order_by_asc(Column::RefundId).limit(limit).all(connection).await?;
    rows.into_iter().map(|row| from_row(row, order)).collect()
}

/// Returns the refund of an order with this id.
///
/// # Errors
/// If the database fails or is unavailable, or the row cannot be read.
pub async fn one(connection: &impl ConnectionTrait, order: &Order, id: RefundId) -> Result<Option<Refund>, DbErr> {
    let query = Entity::find_by_id(id.0).filter(Column::OrderId.eq(order.details.order_id.0));
    query.one(connection).await?.map(|row| from_row(row, order)).transpose()
}

/// Returns the orders of at most `limit` refunds that are due, without those that another replica is processing, and
/// locks them. A refund that cannot be read, or whose order cannot be read, is logged as an error and postponed, so
/// that it does not block the others.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn due(transaction: &DatabaseTransaction, now: Timestamp, limit: u64) -> Result<Vec<Order>, DbErr> {
    let query = Entity::find().filter(Column::WakeAt.lte(now.unix_micros())).order_by_asc(Column::WakeAt).limit(limit);
    let due: Rows<Uuid, Model> = read_rows(transaction, query, Column::RefundId, Ok).await?;
    let orders = orders_of(transaction, due.iter().filter_map(|(_, row)| row.as_ref().ok())).await?;
    let checked = due.into_iter().filter_map(|(id, row)| {
        let read = |row: Model| match orders.get(&row.order_id)? {
            Ok(order) => Some(from_row(row, order).map(drop)),
            Err(error) => Some(Err(error.clone())),
        };
        Some((id, row.map(read).transpose()?.flatten()))
    });
    postpone_unreadable::<Entity, _, _>(transaction, checked.collect(), (Column::RefundId, Column::WakeAt), now)
        .await?;
    Ok(orders.into_values().flatten().collect())
}

/// Returns the orders of these refunds, by id and each converted separately, and locks them; without those that another
/// replica is processing.
async fn orders_of(
    transaction: &DatabaseTransaction,
    refunds: impl Iterator<Item = &Model>,
) -> Result<HashMap<i64, Result<Order, DbErr>>, DbErr> {
    let ids: BTreeSet<i64> = refunds.map(|refund| refund.order_id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let query = orders::Entity::find().filter(orders::Column::OrderId.is_in(ids));
    let query = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let rows = read_rows(transaction, query, orders::Column::OrderId, mapping::from_row).await?;
    Ok(rows.into_iter().collect())
}

/// Counts the refunds that have not ended.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn count_unfinished(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().filter(Column::WakeAt.is_not_null()).count(connection).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared_events::{Line, Lines, OrderId, Quantity, RefundFailure, SagaId, Sku};

    use super::*;
    use crate::domain::{CancelPolicy, NewOrder};

    proptest! {
        #[test]
        fn a_refund_is_the_same_after_a_round_trip(
            state in prop::sample::select(vec![
                RefundState::Requested,
                RefundState::Succeeded,
                RefundState::Failed(RefundFailure::NotCaptured),
                RefundState::Failed(RefundFailure::ExceedsCaptured),
                RefundState::Failed(RefundFailure::Declined),
                RefundState::Failed(RefundFailure::Reversed),
            ]),
            has_items in any::<bool>(),
            restocks in any::<bool>(),
            restocked in any::<bool>(),
            minor_units in 1..=Money::MAX_MINOR_UNITS,
            reason in prop::option::of("\\PC{0,20}"),
            key in prop::option::of("[a-z]{1,20}"),
            wake_at in prop::option::of(0..i64::MAX),
            repeats in any::<u32>(),
        ) {
            let amount = Money::from_minor_units(minor_units, "KWD".parse().unwrap()).unwrap();
            let line = Line { sku: Sku::parse("SKU \"x\"").unwrap(), quantity: Quantity::new(3).unwrap() };
            let lines = Lines::new([line]).unwrap();
            let new = NewOrder {
                saga_id: SagaId(Uuid::from_u128(7)),
                owner: "shop".to_owned(),
                lines: lines.clone(),
                total: amount,
                payment_method: None,
                idempotency_key: None,
            };
            let policy = CancelPolicy {
                deadline: std::time::Duration::ZERO,
                first_repeat: std::time::Duration::ZERO,
                longest_repeat: std::time::Duration::ZERO,
            };
            let (order, _) = Order::place(new, OrderId(1), Timestamp::default(), &policy);
            let items = has_items.then_some(lines);
            let refund = Refund {
                details: RefundDetails {
                    refund_id: RefundId(Uuid::from_u128(9)),
                    amount,
                    restock: items.clone().filter(|_| restocks),
                },
                order: order.details.clone(),
                saga_id: order.saga_id,
                items,
                reason,
                idempotency_key: key.map(|key| IdempotencyKey::parse(&key).unwrap()),
                state,
                restocked,
                requested_at: Timestamp::from_unix_micros(1),
                changed_at: Timestamp::from_unix_micros(2),
                wake_at: wake_at.map(Timestamp::from_unix_micros),
                repeats,
            };
            prop_assert_eq!(from_row(to_row(&refund), &order).unwrap(), refund);
        }
    }
}
