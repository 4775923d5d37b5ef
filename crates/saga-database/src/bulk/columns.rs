//! How the columns of a table appear in bulk statements.

use std::fmt::Write as _;

use sea_orm::{
    ColumnTrait, ColumnType, EntityTrait, IdenStatic, Iterable, PrimaryKeyToColumn, Value, sea_query::ArrayType,
};

/// The row counts of a statement on SQLite: few, so that each is prepared once, and close enough together that a batch
/// takes few statements (as many as its number of rows has ones in binary).
const CHUNKS: [usize; 10] = [512, 256, 128, 64, 32, 16, 8, 4, 2, 1];

/// Splits a number of rows into sizes from [`CHUNKS`], the largest first.
pub(super) fn sizes(rows: usize) -> impl Iterator<Item = usize> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = CHUNKS.into_iter().find(|&size| size <= rest)?;
        rest -= size;
        Some(size)
    })
}

/// Cuts `all` into chunks of these sizes.
pub(super) fn chunks<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = all;
    sizes(all.len()).map(move |size| {
        let (chunk, tail) = rest.split_at(size);
        rest = tail;
        chunk
    })
}

pub(super) fn names<E: EntityTrait>() -> Vec<&'static str> {
    E::Column::iter().map(|column| column.as_str()).collect()
}

pub(crate) fn primary_key<E: EntityTrait>() -> Vec<&'static str> {
    E::PrimaryKey::iter().map(|key| key.into_column().as_str()).collect()
}

/// Encodes a value of a nullable column as text, because the driver's arrays cannot contain nulls: the empty text is
/// null, and any other value is preceded by `=`.
pub(super) fn as_text(value: Value) -> Value {
    let text = match value {
        Value::String(text) => text,
        Value::BigInt(number) => number.map(|number| number.to_string()),
        Value::Uuid(id) => id.map(|id| id.to_string()),
        Value::Bool(flag) => flag.map(|flag| flag.to_string()),
        Value::Bytes(bytes) => bytes.map(|bytes| hex(&bytes)),
        // `array_of` returns no other types.
        _ => None,
    };
    text.map_or_else(String::new, |text| format!("={text}")).into()
}

/// Encodes bytes in PostgreSQL's hex format.
fn hex(bytes: &[u8]) -> String {
    let mut text = "\\x".to_owned();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) fn array_of(column: &impl ColumnTrait) -> ArrayType {
    match column.def().get_column_type() {
        ColumnType::BigInteger => ArrayType::BigInt,
        ColumnType::Uuid => ArrayType::Uuid,
        ColumnType::Boolean => ArrayType::Bool,
        ColumnType::Blob | ColumnType::VarBinary(_) => ArrayType::Bytes,
        _ => ArrayType::String,
    }
}

pub(super) fn sql_type(kind: &ArrayType) -> &'static str {
    match kind {
        ArrayType::BigInt => "bigint",
        ArrayType::Uuid => "uuid",
        ArrayType::Bool => "boolean",
        ArrayType::Bytes => "bytea",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_chunk() {
        for length in 0..300 {
            let all: Vec<usize> = (0..length).collect();
            let again: Vec<usize> = chunks(&all).flatten().copied().collect();
            assert_eq!(again, all);
            assert!(chunks(&all).all(|chunk| CHUNKS.contains(&chunk.len())));
        }
    }
}
