use std::fmt::Write as _;

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbBackend, DbErr, EntityTrait, IdenStatic, Iterable, ModelTrait, Statement,
    Value, sea_query::ArrayType,
};

use super::columns::{array_of, as_text, names, primary_key, sizes, sql_type};

/// Inserts those of `rows` that do not exist yet, and returns the first columns of their keys, in no particular order.
///
/// # Errors
/// If the database fails or is unavailable.
pub async fn insert_new<E, C, K>(connection: &C, rows: &[E::Model]) -> Result<Vec<K>, DbErr>
where
    E: EntityTrait,
    C: ConnectionTrait,
    K: sea_orm::TryGetable,
{
    let key = primary_key::<E>().join(", ");
    let clause = format!(" ON CONFLICT ({key}) DO NOTHING RETURNING {key}");
    let Some(insert) = Insert::of::<E>(rows, clause) else { return Ok(Vec::new()) };
    let statements = match connection.get_database_backend() {
        DbBackend::Postgres => {
            let mut arrays = Vec::new();
            let sql = insert.unnested(&mut arrays);
            vec![Statement::from_sql_and_values(DbBackend::Postgres, sql, arrays)]
        }
        backend => insert.in_chunks(backend),
    };
    let mut keys = Vec::with_capacity(rows.len());
    for statement in statements {
        for row in connection.query_all_raw(statement).await? {
            keys.push(row.try_get_by_index(0)?);
        }
    }
    Ok(keys)
}

/// Rows to be inserted into a table.
#[derive(Debug)]
pub(super) struct Insert {
    table: &'static str,
    columns: Vec<Column>,
    /// The SQL after the rows: what to do with those that exist already, and what to return.
    clause: String,
}

#[derive(Debug)]
struct Column {
    name: &'static str,
    kind: ArrayType,
    nullable: bool,
    /// The value of each row.
    values: Vec<Value>,
}

impl Insert {
    /// Returns `None` if there are no rows.
    pub(super) fn of<E: EntityTrait>(rows: &[E::Model], clause: String) -> Option<Self> {
        if rows.is_empty() {
            return None;
        }
        let columns = E::Column::iter().map(|column| Column {
            name: column.as_str(),
            kind: array_of(&column),
            nullable: column.def().is_null(),
            values: rows.iter().map(|row| row.get(column)).collect(),
        });
        let table = E::default().table_name();
        Some(Self { table, columns: columns.collect(), clause })
    }

    /// Returns a single statement for PostgreSQL, and appends its arrays to `arrays`.
    pub(super) fn unnested(self, arrays: &mut Vec<Value>) -> String {
        let names = self.names();
        let (mut selected, mut unnested) = (String::new(), String::new());
        for (index, Column { name, kind, nullable, values }) in self.columns.into_iter().enumerate() {
            let (comma, position, of_type) = (if index == 0 { "" } else { ", " }, arrays.len() + 1, sql_type(&kind));
            // The driver's arrays cannot contain nulls.
            let array = if nullable {
                let _ = write!(selected, "{comma}substr(NULLIF({name}, ''), 2)::{of_type}");
                let _ = write!(unnested, "{comma}${position}::text[]");
                Value::Array(ArrayType::String, Some(Box::new(values.into_iter().map(as_text).collect())))
            } else {
                let _ = write!(selected, "{comma}{name}");
                let _ = write!(unnested, "{comma}${position}::{of_type}[]");
                Value::Array(kind, Some(Box::new(values)))
            };
            arrays.push(array);
        }
        let (table, clause) = (self.table, self.clause);
        format!("INSERT INTO {table} ({names}) SELECT {selected} FROM UNNEST({unnested}) AS new ({names}){clause}")
    }

    /// Returns statements for SQLite, one for each chunk.
    pub(super) fn in_chunks(self, backend: DbBackend) -> Vec<Statement> {
        let row_placeholders = format!("({})", vec!["?"; self.columns.len()].join(", "));
        let head = format!("INSERT INTO {} ({}) VALUES ", self.table, self.names());
        let rows = self.columns.first().map_or(0, |column| column.values.len());
        let mut columns: Vec<_> = self.columns.into_iter().map(|column| column.values.into_iter()).collect();
        let statement = |size: usize| {
            let sql = format!("{head}{}{}", vec![row_placeholders.as_str(); size].join(", "), self.clause);
            let mut values = Vec::with_capacity(size * columns.len());
            for _ in 0..size {
                values.extend(columns.iter_mut().filter_map(Iterator::next));
            }
            Statement::from_sql_and_values(backend, sql, values)
        };
        sizes(rows).map(statement).collect()
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }
}

/// Returns the clause that overwrites the rows that exist already.
pub(super) fn overwriting<E: EntityTrait>() -> String {
    let key = primary_key::<E>();
    let others = names::<E>().into_iter().filter(|column| !key.contains(column));
    let set: Vec<_> = others.map(|column| format!("{column} = excluded.{column}")).collect();
    format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", "))
}
