use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, EntityTrait, Statement};

use super::{bulk::primary_key, postgres::SEQUENCE_LOCK};

/// How often new numbers are drawn from a sequence that was behind its table.
const MAX_DRAWS: usize = 3;

/// Returns `count` new keys, ascending, for rows of a table whose key the database generates. They are needed before
/// the rows are inserted, because events contain them. Keys that are not used, or whose transaction fails, may be
/// skipped for ever.
///
/// A sequence that is behind its table, for example after a restore of the data alone or a failover by logical
/// replication, is advanced.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn next_ids<E: EntityTrait>(transaction: &DatabaseTransaction, count: usize) -> Result<Vec<i64>, DbErr> {
    let count = i64::try_from(count).map_err(|_| DbErr::Custom("too many rows at once".to_owned()))?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let entity = E::default();
    let (table, key) = (entity.table_name(), primary_key::<E>().join(", "));
    let backend = transaction.get_database_backend();
    if backend == DbBackend::Sqlite {
        // This transaction is the only writer, so nothing else can take these numbers.
        let highest = format!("SELECT COALESCE(MAX({key}), 0) FROM {table}");
        let highest = transaction.query_one_raw(Statement::from_string(backend, highest)).await?;
        let highest: i64 = highest.ok_or(DbErr::RecordNotFound(key))?.try_get_by_index(0)?;
        return Ok((highest + 1..=highest + count).collect());
    }
    // The sequence is looked up once, not for each number. A number that already exists in the table shows that the
    // sequence is behind. That is checked in one query by primary key for all numbers; checked row by row, the planner
    // would read the whole table.
    let next = format!(
        "WITH new AS MATERIALIZED (SELECT nextval(sequence) AS number \
         FROM (SELECT {sequence} AS sequence OFFSET 0) AS it, generate_series(1, $1)) \
         SELECT number, \
         (SELECT EXISTS (SELECT FROM {table} WHERE {key} = ANY (ARRAY(SELECT number FROM new)))) FROM new",
        sequence = sequence_of(table, &key)
    );
    for _ in 0..MAX_DRAWS {
        let next = Statement::from_sql_and_values(backend, next.as_str(), [count.into()]);
        let (mut numbers, mut behind) = (Vec::new(), false);
        for row in transaction.query_all_raw(next).await? {
            numbers.push(row.try_get_by_index(0)?);
            behind |= row.try_get_by_index::<bool>(1)?;
        }
        if !behind {
            return Ok(numbers);
        }
        advance_sequence(transaction, table, &key, numbers.first().copied().unwrap_or_default()).await?;
    }
    Err(DbErr::Custom(format!(
        "the sequence of {table} is still behind the table after {MAX_DRAWS} attempts to advance it"
    )))
}

fn sequence_of(table: &str, key: &str) -> String {
    format!("pg_get_serial_sequence('{table}', '{key}')::regclass")
}

/// Advances the sequence to the highest key of the table. It never moves back, because another replica may have drawn
/// from it.
async fn advance_sequence(transaction: &DatabaseTransaction, table: &str, key: &str, drawn: i64) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    // Only one replica at a time may do this.
    let lock = Statement::from_sql_and_values(backend, "SELECT pg_advisory_xact_lock($1)", [SEQUENCE_LOCK.into()]);
    transaction.execute_raw(lock).await?;
    let sequence = sequence_of(table, key);
    let set = format!(
        "SELECT setval({sequence}, GREATEST((SELECT MAX({key}) FROM {table}), pg_sequence_last_value({sequence})))"
    );
    let set = transaction.query_one_raw(Statement::from_string(backend, set)).await?;
    let now: i64 = set.ok_or_else(|| DbErr::RecordNotFound(sequence))?.try_get_by_index(0)?;
    tracing::warn!(
        table,
        drawn,
        now,
        "the sequence was behind its table and was advanced; was only the data restored?"
    );
    Ok(())
}
