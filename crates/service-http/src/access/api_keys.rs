use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use saga_database::{Database, tables::api_key};
use saga_message::Timestamp;
use saga_support::LogLimit;
use sea_orm::DbErr;
use subtle::ConstantTimeEq as _;
use tokio::time::{Instant, timeout};

use super::{ApiKey, Caller, Owner, Scope, Scopes, rate_limit::RateLimit};

/// For how long the keys that were read are used.
const VALIDITY: Duration = Duration::from_secs(1);
/// How long reading the keys may take before those that were read last are used.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a key that cannot be read, or the failure to read them, is logged.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// The keys of a service's clients, as they are in its database. Clones share what was read.
///
/// All of them are read at once, by a request that comes a second or more after the last time; requests that come
/// meanwhile wait for it. So a key is accepted or refused as it was in the database a second ago or later, and no
/// request has a query of its own, whatever key it sends.
///
/// If the database cannot be read, the keys that were read last are used until it can: what a key allows needs the
/// database anyway, except the metrics, which show what is wrong.
#[derive(Debug, Clone)]
pub struct ApiKeys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    database: Database,
    validity: Duration,
    last: Mutex<Snapshot>,
    /// Held by the one who reads.
    reading: tokio::sync::Mutex<()>,
    failures: LogLimit,
}

#[derive(Debug, Clone)]
struct Snapshot {
    valid_until: Instant,
    keys: Arc<KeySet>,
}

/// The keys at one moment.
#[derive(Debug)]
pub(super) struct KeySet {
    /// Whether there was ever a key. A row that cannot be understood counts.
    is_empty: bool,
    keys: HashMap<String, StoredKey>,
}

struct StoredKey {
    secret_hash: [u8; 32],
    caller: Caller,
    /// How many requests it may send to this process; `None` for any number.
    limit: Option<Arc<RateLimit>>,
    /// From when on it is refused, in microseconds since 1970.
    ends_at: i64,
}

impl ApiKeys {
    /// Reads the keys.
    ///
    /// # Errors
    /// If the database fails or is unavailable.
    pub async fn open(database: &Database) -> Result<Self, DbErr> {
        Self::open_with_validity(database, VALIDITY).await
    }

    /// Reads the keys, and again by each request that comes when they are older than `validity`.
    ///
    /// # Errors
    /// If the database fails or is unavailable.
    pub async fn open_with_validity(database: &Database, validity: Duration) -> Result<Self, DbErr> {
        let valid_until = Instant::now() + validity;
        let keys = Arc::new(KeySet::read(database, None).await?);
        Ok(Self(Arc::new(Shared {
            database: database.clone(),
            validity,
            last: Mutex::new(Snapshot { valid_until, keys }),
            reading: tokio::sync::Mutex::default(),
            failures: LogLimit::new(LOG_PAUSE),
        })))
    }

    /// Returns whether there was never a key, when they were read last.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.last().keys.is_empty
    }

    /// Returns the keys as they were a second ago or later.
    pub(super) async fn current(&self) -> Arc<KeySet> {
        if let Some(keys) = self.valid() {
            return keys;
        }
        let _reading = self.0.reading.lock().await;
        // Another request may have read them meanwhile.
        if let Some(keys) = self.valid() {
            return keys;
        }
        let valid_until = Instant::now() + self.0.validity;
        let last = self.last().keys;
        let read = timeout(READ_TIMEOUT, KeySet::read(&self.0.database, Some(&last))).await;
        let error = match read {
            Ok(Ok(keys)) => {
                let keys = Arc::new(keys);
                self.store(Snapshot { valid_until, keys: Arc::clone(&keys) });
                return keys;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {READ_TIMEOUT:?}"),
        };
        if let Some(not_logged_before) = self.0.failures.admit() {
            tracing::warn!(error, not_logged_before, "the API keys cannot be read; those that were read last are used");
        }
        // The next attempt comes after a pause.
        self.store(Snapshot { valid_until: Instant::now() + self.0.validity, keys: Arc::clone(&last) });
        last
    }

    /// Returns the time that decides which keys have expired: the database's.
    pub(super) fn now(&self) -> Timestamp {
        self.0.database.clock().now()
    }

    fn valid(&self) -> Option<Arc<KeySet>> {
        let last = self.last();
        (Instant::now() < last.valid_until).then_some(last.keys)
    }

    fn last(&self) -> Snapshot {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn store(&self, snapshot: Snapshot) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }
}

impl KeySet {
    /// Reads the keys. A key whose limit is as in `last` goes on with what is left of it.
    async fn read(database: &Database, last: Option<&Self>) -> Result<Self, DbErr> {
        let rows = saga_database::api_keys(&database.internal_reader()).await?;
        let is_empty = rows.is_empty();
        let known = |row: &api_key::Model| last.and_then(|last| last.keys.get(&row.key_id));
        let keys = rows.into_iter().filter_map(|row| Some((row.key_id.clone(), StoredKey::of(known(&row), row)?)));
        let keys = keys.collect();
        Ok(Self { is_empty, keys })
    }

    /// Returns whether there was never a key, so that everybody may come in.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Returns whether the key with this id has neither expired nor been revoked.
    pub(super) fn is_valid(&self, id: &str, now: Timestamp) -> bool {
        self.keys.get(id).is_some_and(|key| now.unix_micros() < key.ends_at)
    }

    /// Returns who has this key, and its limit, if it is right and neither expired nor revoked.
    pub(super) fn caller(&self, key: &ApiKey, now: Timestamp) -> Option<(&Caller, Option<&RateLimit>)> {
        let offered = key.secret_hash();
        let stored = self.keys.get(&key.id())?;
        let is_same: bool = stored.secret_hash.ct_eq(&offered).into();
        let is_valid = is_same && now.unix_micros() < stored.ends_at;
        is_valid.then_some((&stored.caller, stored.limit.as_deref()))
    }
}

impl StoredKey {
    /// Returns `None` if the row cannot be understood. Scopes that only a newer version knows allow nothing here.
    fn of(known: Option<&Self>, row: api_key::Model) -> Option<Self> {
        // A revoked key has ended, whatever the clocks say.
        let ends_at = if row.revoked_at.is_some() { i64::MIN } else { row.expires_at.unwrap_or(i64::MAX) };
        let scopes: Scopes = row.scopes.split(' ').filter_map(|scope| scope.parse::<Scope>().ok()).collect();
        // A limit that the table does not allow counts as the nearest that it does.
        let rate = row.rate_limit.map(|rate| u32::try_from(rate.max(1)).unwrap_or(u32::MAX));
        let limit = rate.and_then(NonZeroU32::new).map(|rate| {
            let kept = known.and_then(|known| known.limit.clone()).filter(|limit| limit.rate() == rate);
            kept.unwrap_or_else(|| Arc::new(RateLimit::new(rate)))
        });
        match (row.owner.parse::<Owner>(), <[u8; 32]>::try_from(row.secret_hash)) {
            (Ok(owner), Ok(secret_hash)) => {
                let caller = Caller::with_key(row.key_id.into(), owner, scopes);
                Some(Self { secret_hash, caller, limit, ends_at })
            }
            _ => {
                static LIMIT: LogLimit = LogLimit::new(LOG_PAUSE);
                if let Some(not_logged_before) = LIMIT.admit() {
                    tracing::error!(key_id = row.key_id, not_logged_before, "an API key in the database is unreadable");
                }
                None
            }
        }
    }
}

/// Omits the hash.
impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey")
            .field("caller", &self.caller)
            .field("ends_at", &self.ends_at)
            .finish_non_exhaustive()
    }
}
