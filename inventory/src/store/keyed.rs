//! The requests that had an idempotency key.

use std::{collections::BTreeSet, fmt::Display};

use saga_database::find_locked;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{LockBehavior, LockType},
};
use shared_events::{OwnedKey, Timestamp};

use super::tables::idempotency_keys;
use crate::domain::KeyedRequest;

/// Returns the requests with these keys, and locks them in the order of their keys.
///
/// # Errors
/// If the database fails or is unavailable, or a row cannot be read.
pub(crate) async fn keyed_requests(
    transaction: &DatabaseTransaction,
    keys: BTreeSet<&OwnedKey>,
) -> Result<Vec<KeyedRequest>, DbErr> {
    let keys = keys.into_iter().map(|owned| OwnedKey::text_of(&owned.owner, &owned.key).into()).collect();
    let rows =
        find_locked::<idempotency_keys::Entity, _>(transaction, idempotency_keys::Column::OwnedKey, keys).await?;
    rows.into_iter().map(from_row).collect()
}

/// Deletes at most `limit` requests that may be forgotten, without those that another replica is reading or deleting.
///
/// # Errors
/// If the database fails or is unavailable.
pub(crate) async fn forget_expired(transaction: &DatabaseTransaction, now: Timestamp, limit: u64) -> Result<(), DbErr> {
    let expired: Vec<String> = idempotency_keys::Entity::find()
        .select_only()
        .column(idempotency_keys::Column::OwnedKey)
        .filter(idempotency_keys::Column::ExpiresAt.lte(now.unix_micros()))
        .order_by_asc(idempotency_keys::Column::ExpiresAt)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(transaction)
        .await?;
    if !expired.is_empty() {
        idempotency_keys::Entity::delete_many()
            .filter(idempotency_keys::Column::OwnedKey.is_in(expired))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Converts a request to its row.
pub(crate) fn keyed_request_to_row(request: &KeyedRequest) -> idempotency_keys::Model {
    let KeyedRequest { key, grant, expires_at } = request;
    idempotency_keys::Model {
        owned_key: OwnedKey::text_of(&key.owner, &key.key),
        granted: serde_json::to_string(grant).expect("a grant is plain JSON"),
        expires_at: expires_at.unix_micros(),
    }
}

fn from_row(row: idempotency_keys::Model) -> Result<KeyedRequest, DbErr> {
    let wrong = |why: &dyn Display| DbErr::Type(format!("idempotency key {:?}: {why}", row.owned_key));
    let key = OwnedKey::of_columns(None, Some(&row.owned_key)).map_err(|error| wrong(&error))?;
    Ok(KeyedRequest {
        key: key.ok_or_else(|| wrong(&"it is empty"))?,
        grant: serde_json::from_str(&row.granted).map_err(|error| wrong(&error))?,
        expires_at: Timestamp::from_unix_micros(row.expires_at),
    })
}

#[cfg(test)]
mod tests {
    use shared_events::{IdempotencyKey, Line, Quantity, Sku};

    use super::*;
    use crate::domain::{Grant, ReservationId};

    #[test]
    fn a_request_is_the_same_after_a_round_trip_and_a_damaged_row_is_an_error() {
        let line = Line { sku: Sku::parse("SKU \"x\"").unwrap(), quantity: Quantity::new(2).unwrap() };
        let (id, time) = (ReservationId(7), Timestamp::from_unix_micros(1_700_000_000_000_001));
        for grant in [
            Grant::Reserved { line: line.clone(), id, remaining: 3, expires_at: Some(time) },
            Grant::Reserved { line: line.clone(), id, remaining: 0, expires_at: None },
            Grant::Released { id, line },
        ] {
            for owner in ["", "shop-a"] {
                let key = OwnedKey { owner: owner.to_owned(), key: IdempotencyKey::parse("k 1").unwrap() };
                let request = KeyedRequest { key, grant: grant.clone(), expires_at: time };
                let row = keyed_request_to_row(&request);
                assert_eq!(from_row(row.clone()).unwrap(), request);
                for damaged in [
                    idempotency_keys::Model { owned_key: "k 1".to_owned(), ..row.clone() },
                    idempotency_keys::Model { granted: "{}".to_owned(), ..row },
                ] {
                    assert!(from_row(damaged).unwrap_err().to_string().contains("k 1"));
                }
            }
        }
    }
}
