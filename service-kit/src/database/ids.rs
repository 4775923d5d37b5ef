use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, EntityTrait, Statement};

use super::bulk::primary_key;

/// So many numbers for new rows of a table whose key the database numbers, ascending: they are wanted before the rows are
/// inserted, because events carry them. Numbers that are not used, or whose transaction fails, may be skipped for ever.
///
/// # Errors
/// What the database says.
pub async fn next_ids<E: EntityTrait>(transaction: &DatabaseTransaction, count: usize) -> Result<Vec<i64>, DbErr> {
    let count = i64::try_from(count).map_err(|_| DbErr::Custom("too many rows at once".to_owned()))?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let entity = E::default();
    let (table, key) = (entity.table_name(), primary_key::<E>().join(", "));
    let backend = transaction.get_database_backend();
    if backend == DbBackend::Sqlite {
        // This transaction is the only writer, so nobody else can take these numbers.
        let highest = format!("SELECT COALESCE(MAX({key}), 0) FROM {table}");
        let highest = transaction.query_one_raw(Statement::from_string(backend, highest)).await?;
        let highest: i64 = highest.ok_or(DbErr::RecordNotFound(key))?.try_get_by_index(0)?;
        return Ok((highest + 1..=highest + count).collect());
    }
    // Looked up once, not for each number.
    let sequence = format!("(SELECT pg_get_serial_sequence('{table}', '{key}')::regclass AS sequence OFFSET 0) AS it");
    let next = format!("SELECT nextval(sequence) FROM {sequence}, generate_series(1, $1)");
    let rows = transaction.query_all_raw(Statement::from_sql_and_values(backend, next, [count.into()])).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
