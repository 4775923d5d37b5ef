//! Payments that were not captured, and refunds that have not reached their end: what an operator looks at.

use std::collections::{BTreeSet, HashMap};

use saga_database::{Rows, find_each_by, read_rows, readable};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select, sea_query::Expr,
};
use shared_events::Timestamp;
use uuid::Uuid;

use super::{mapping, refunds, tables::orders};
use crate::domain::{Order, Refund};

/// Returns at most `limit` orders whose capture has failed, newest first; and behind them at most `limit` that were
/// confirmed before `before` and still wait for their capture. Those that cannot be read are left out.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn captures(
    connection: &impl ConnectionTrait,
    before: Timestamp,
    limit: u64,
) -> Result<Vec<Order>, DbErr> {
    let mut rows: Rows<i64, Order> = Vec::new();
    for query in [failed_captures(), open_captures(before)] {
        let column = orders::Column::OrderId;
        rows.append(&mut read_rows(connection, query.limit(limit), column, mapping::from_row).await?);
    }
    Ok(readable("orders", rows))
}

/// Returns at most `limit` refunds that have failed, newest first; and behind them at most `limit` that were requested
/// before `before`, and of which the money or the goods are not back yet. Those that cannot be read are left out.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn refunds(
    connection: &impl ConnectionTrait,
    before: Timestamp,
    limit: u64,
) -> Result<Vec<Refund>, DbErr> {
    let mut rows: Rows<Uuid, refunds::Model> = Vec::new();
    for query in [failed_refunds(), open_refunds(before)] {
        rows.append(&mut read_rows(connection, query.limit(limit), refunds::Column::RefundId, Ok).await?);
    }
    let rows = readable("refunds", rows);
    let (id, ids) = (orders::Column::OrderId, rows.iter().map(|row| row.order_id).collect::<BTreeSet<_>>());
    let ids = ids.into_iter().map(Into::into).collect();
    let found: Rows<i64, Order> =
        find_each_by::<orders::Entity, _, _, _>(connection, id, ids, id, mapping::from_row).await?;
    let found = readable("orders", found).into_iter().map(|order| (order.details.order_id.0, order));
    let found: HashMap<i64, Order> = found.collect();
    let with_order = |row: refunds::Model| {
        let order = found.get(&row.order_id)?;
        Some((row.refund_id, refunds::from_row(row, order)))
    };
    Ok(readable("refunds", rows.into_iter().filter_map(with_order).collect()))
}

/// The conditions are literals, as in the indexes: with parameters, neither database would use them.
fn failed_captures() -> Select<orders::Entity> {
    orders::Entity::find().filter(Expr::cust("capture = 'FAILED'")).order_by_desc(orders::Column::OrderId)
}

fn open_captures(before: Timestamp) -> Select<orders::Entity> {
    orders::Entity::find()
        .filter(orders::Column::WakeAt.is_not_null())
        // Not the bare column: the index by status has all confirmed orders.
        .filter(Expr::cust("status || '' = 'CONFIRMED' AND capture IS NULL"))
        .filter(orders::Column::ChangedAt.lt(before.unix_micros()))
        .order_by_asc(orders::Column::WakeAt)
}

fn failed_refunds() -> Select<refunds::Entity> {
    refunds::Entity::find().filter(Expr::cust("state = 'FAILED'")).order_by_desc(refunds::Column::RefundId)
}

fn open_refunds(before: Timestamp) -> Select<refunds::Entity> {
    refunds::Entity::find()
        .filter(refunds::Column::WakeAt.is_not_null())
        // One that has failed is in the other list, also if its goods are still to come back.
        .filter(refunds::Column::State.ne("FAILED"))
        .filter(refunds::Column::RequestedAt.lt(before.unix_micros()))
        .order_by_asc(refunds::Column::WakeAt)
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, QueryTrait as _, Statement};
    use shared_events::Service;
    use testkit::service::{DatabaseKind, TestDatabase};

    use super::*;
    use crate::Migrator;

    /// The page that shows them must not read all orders and refunds for that.
    #[tokio::test]
    async fn each_list_has_an_index() {
        let storage = TestDatabase::create(DatabaseKind::Sqlite);
        let database = storage.open::<Migrator>(Service::Order).await;
        let (now, sqlite) = (database.clock().now(), DbBackend::Sqlite);
        for (query, index) in [
            (failed_captures().limit(50).build(sqlite), "orders_capture_failed"),
            (open_captures(now).limit(50).build(sqlite), "orders_to_wake"),
            (failed_refunds().limit(50).build(sqlite), "refunds_failed"),
            (open_refunds(now).limit(50).build(sqlite), "refunds_to_wake"),
        ] {
            let explain = Statement::from_string(sqlite, format!("EXPLAIN QUERY PLAN {query}"));
            let plan = database.reader().query_all_raw(explain).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
            let uses_index = plan.iter().any(|step| step.contains(&format!("USING INDEX {index}")));
            assert!(uses_index && plan.len() == 1, "{index}: {plan:?}");
        }
    }
}
