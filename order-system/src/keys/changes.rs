//! Changes in three databases without a common transaction. A new key is stored in all of them or, if that fails, in
//! none; and only then shown. Revoking is repeatable, and goes as far as databases can be reached.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use saga_database::{
    Database, api_keys, append_to_audit_log, delete_api_key, expire_api_key, insert_api_key, revoke_api_key,
    tables::{api_key, audit_log},
};
use sea_orm::{DatabaseTransaction, DbErr};
use shared_events::{Service, Timestamp};
use uuid::Uuid;

use super::databases::{Databases, names};

/// What a new key replaces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replaced<'a> {
    pub(super) id: &'a str,
    /// From when on it is no longer accepted.
    pub(super) expires_at: Timestamp,
}

/// A key as each of the reachable databases has it; `None` where it is missing.
#[derive(Debug)]
pub(super) struct KeyAtServices {
    pub(super) id: String,
    pub(super) rows: Vec<(Service, Option<api_key::Model>)>,
}

/// Stores a key in all databases, and lets the one that it replaces expire.
///
/// # Errors
/// If it cannot be stored in all of them; the error says whether something is left.
pub(super) async fn store(databases: &Databases, key: &api_key::Model, replaced: Option<Replaced<'_>>) -> Result<()> {
    let mut transactions = Vec::new();
    for (service, database) in &databases.open {
        let transaction = prepare(database, key, replaced).await;
        let failed = || format!("nothing was written: the database of {service} failed");
        transactions.push((*service, database, transaction.with_context(failed)?));
    }
    let mut committed = Vec::new();
    for (service, database, transaction) in transactions {
        // Whether a commit that failed was carried out is unknown.
        committed.push((service, database));
        if let Err(error) = transaction.commit().await {
            return Err(take_back(&key.key_id, &committed)
                .await
                .context(error)
                .context(format!("the database of {service} failed")));
        }
    }
    Ok(())
}

async fn prepare(
    database: &Database,
    key: &api_key::Model,
    replaced: Option<Replaced<'_>>,
) -> Result<DatabaseTransaction> {
    let transaction = database.begin().await?;
    insert_api_key(&transaction, key).await?;
    log(&transaction, database, "create", &key.key_id).await?;
    if let Some(Replaced { id, expires_at }) = replaced {
        expire_api_key(&transaction, id, expires_at).await?;
        log(&transaction, database, "rotate", id).await?;
    }
    Ok(transaction)
}

/// Writes the audit log, in the transaction of the change that it is about.
async fn log(transaction: &DatabaseTransaction, database: &Database, command: &str, id: &str) -> Result<(), DbErr> {
    let row = audit_log::Model {
        entry_id: 0,
        action_id: Uuid::now_v7(),
        recorded_at: database.clock().now().unix_micros(),
        actor: "command_line".to_owned(),
        key_id: None,
        owner: None,
        method: format!("keys {command}"),
        route: "keys".to_owned(),
        path: id.to_owned(),
        status: Some(200),
    };
    append_to_audit_log(transaction, row).await
}

/// Removes a key that nobody has got. Returns what is left, as an error.
async fn take_back(id: &str, databases: &[(Service, &Database)]) -> anyhow::Error {
    let mut left = Vec::new();
    for (service, database) in databases {
        if remove(database, id).await.is_err() {
            left.push(service);
        }
    }
    if left.is_empty() {
        return anyhow!("the new key was removed again, and nobody has it");
    }
    let names = names(left.into_iter());
    anyhow!("nobody has the new key {id}, but it may be stored at {names}: revoke it with `keys revoke {id}`")
}

async fn remove(database: &Database, id: &str) -> Result<()> {
    let transaction = database.begin().await?;
    if delete_api_key(&transaction, id).await? {
        log(&transaction, database, "remove", id).await?;
    }
    Ok(transaction.commit().await?)
}

async fn revoke_in(database: &Database, id: &str) -> Result<bool> {
    let transaction = database.begin().await?;
    let exists = revoke_api_key(&transaction, id, database.clock().now()).await?;
    if exists {
        log(&transaction, database, "revoke", id).await?;
    }
    transaction.commit().await?;
    Ok(exists)
}

/// Revokes a key wherever it is. Returns whether it is anywhere.
///
/// # Errors
/// If a database fails; the others have been changed then.
pub(super) async fn revoke(databases: &Databases, id: &str) -> Result<bool> {
    let (mut found, mut failed) = (false, None);
    for (service, database) in &databases.open {
        match revoke_in(database, id).await {
            Ok(exists) => found |= exists,
            Err(error) => {
                failed.get_or_insert(error.context(format!("the key {id} may still be valid at {service}")));
            }
        }
    }
    failed.map_or(Ok(found), Err)
}

/// Returns all keys, oldest first.
///
/// # Errors
/// If a database fails.
pub(super) async fn read(databases: &Databases) -> Result<Vec<KeyAtServices>> {
    let mut keys: Vec<KeyAtServices> = Vec::new();
    for (index, (service, database)) in databases.open.iter().enumerate() {
        let rows = api_keys(&database.reader()).await;
        for row in rows.with_context(|| format!("cannot read the database of {service}"))? {
            let known = keys.iter().position(|key| key.id == row.key_id).unwrap_or_else(|| {
                let rows = databases.open.iter().map(|(service, _)| (*service, None)).collect();
                keys.push(KeyAtServices { id: row.key_id.clone(), rows });
                keys.len() - 1
            });
            keys[known].rows[index].1 = Some(row);
        }
    }
    keys.sort_by_key(|key| key.any().map(|row| row.created_at));
    Ok(keys)
}

impl KeyAtServices {
    /// Returns what one of the databases says; they say the same but for an interrupted change.
    pub(super) fn any(&self) -> Option<&api_key::Model> {
        self.rows.iter().find_map(|(_, row)| row.as_ref())
    }
}

/// What has become of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Valid,
    Expired,
    Revoked,
    Missing,
}

impl Status {
    pub(super) fn of(row: Option<&api_key::Model>, now: Timestamp) -> Self {
        match row {
            None => Self::Missing,
            Some(row) if row.revoked_at.is_some() => Self::Revoked,
            Some(row) if row.expires_at.is_some_and(|at| at <= now.unix_micros()) => Self::Expired,
            Some(_) => Self::Valid,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Missing => "missing",
        }
    }
}

/// Returns how long a key was to be valid, from its beginning on.
pub(super) fn lifetime(key: &api_key::Model) -> Option<Duration> {
    let micros = key.expires_at?.saturating_sub(key.created_at);
    Some(Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
}
