use sea_orm::{
    ColumnTrait, DbBackend, EntityTrait, Order, QueryFilter as _, QueryOrder as _, Select,
    sea_query::{Expr, ExprTrait as _},
};

/// Restricts a query to the rows with this value in this column whose key is between two others, both excluded, and
/// sorts them by the key, such that an index over the column and the key has their order and their bounds.
///
/// On PostgreSQL, both columns are compared as a row: with `column = …`, the planner may prefer the primary key, and
/// read any number of rows with another value. SQLite prefers the index then, and would use only the first column of
/// rows that are compared.
pub fn keyset<E: EntityTrait>(
    query: Select<E>,
    backend: DbBackend,
    (column, value): (E::Column, &str),
    (key, above, below): (E::Column, i64, i64),
    direction: Order,
) -> Select<E> {
    let row = || Expr::tuple([column.into_expr(), key.into_expr()]);
    let bound = |key: i64| Expr::tuple([Expr::val(value), Expr::val(key)]);
    let query = match backend {
        DbBackend::Sqlite => query.filter(column.eq(value)).filter(key.gt(above)).filter(key.lt(below)),
        _ => query.filter(row().gt(bound(above))).filter(row().lt(bound(below))),
    };
    query.order_by(column, direction.clone()).order_by(key, direction)
}
