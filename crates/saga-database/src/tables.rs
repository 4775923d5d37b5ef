//! The tables of every service's database: its messages (inbox, outbox and dead letters), the id of the system that it
//! belongs to, and the API keys of its clients.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

use super::migrate::run_sql;

/// The ids of handled messages, so that none is handled twice.
pub mod inbox {
    use sea_orm::entity::prelude::*;

    /// One handled message.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "inbox")]
    pub struct Model {
        /// The message's id.
        #[sea_orm(primary_key, auto_increment = false)]
        pub message_id: Uuid,
        /// When it was handled, in microseconds since 1970.
        pub received_at: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// The messages that are committed and not yet confirmed by the broker.
pub mod outbox {
    use sea_orm::entity::prelude::*;

    /// One message to be published: an event, or several with the same routing key.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "outbox")]
    pub struct Model {
        /// The message's id; ids grow with time.
        #[sea_orm(primary_key, auto_increment = false)]
        pub message_id: Uuid,
        /// The routing key, which identifies the kind of event.
        pub routing_key: String,
        /// The saga that its events belong to; nil if there are several.
        pub saga_id: Uuid,
        /// The encoded event, or an array of them.
        pub body: String,
        /// When it was committed, in microseconds since 1970.
        pub created_at: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// The events that cannot be handled, kept for an operator.
pub mod dead_letter {
    use sea_orm::entity::prelude::*;

    /// One dead letter.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "dead_letters")]
    pub struct Model {
        /// The event's id, or one derived from its body if it has no readable id.
        #[sea_orm(primary_key, auto_increment = false)]
        pub message_id: Uuid,
        /// Why the event cannot be handled, as text.
        pub reason: String,
        /// How often handling it was attempted.
        pub attempts: i64,
        /// The name of the event, if it can be decoded.
        pub event: Option<String>,
        /// What the event is about, if it can be decoded.
        pub subject: Option<String>,
        /// The event as received, or the whole body of a message that cannot be taken apart.
        pub body: Vec<u8>,
        /// When it was dead-lettered, in microseconds since 1970.
        #[sea_orm(column_name = "parked_at")]
        pub dead_lettered_at: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// The API keys of clients, without their secrets.
pub mod api_key {
    use sea_orm::entity::prelude::*;

    /// One API key.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "api_keys")]
    pub struct Model {
        /// The part of the key that is no secret.
        #[sea_orm(primary_key, auto_increment = false)]
        pub key_id: String,
        /// SHA-256 of the secret.
        pub secret_hash: Vec<u8>,
        /// Whom it belongs to.
        pub owner: String,
        /// What it allows, with spaces between the scopes.
        pub scopes: String,
        /// What an operator wrote about it.
        pub label: String,
        /// How many requests per second it may send; `None` for any number.
        pub rate_limit: Option<i64>,
        /// When it was made, in microseconds since 1970.
        pub created_at: i64,
        /// From when on it is no longer accepted, in microseconds since 1970.
        pub expires_at: Option<i64>,
        /// When it was revoked, in microseconds since 1970.
        pub revoked_at: Option<i64>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// What was done to a service by whom: two rows for each action, which nobody changes.
pub mod audit_log {
    use sea_orm::entity::prelude::*;

    /// One row.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_log")]
    pub struct Model {
        /// Its number. Rows of other replicas may be committed in another order.
        #[sea_orm(primary_key)]
        pub entry_id: i64,
        /// The same in both rows of an action.
        pub action_id: Uuid,
        /// When it was written, in microseconds since 1970.
        pub recorded_at: i64,
        /// How the caller has shown who it is: `anonymous`, `admin_token`, `api_key` or `command_line`.
        pub actor: String,
        /// The id of its API key, if it has sent one.
        pub key_id: Option<String>,
        /// The owner of that key.
        pub owner: Option<String>,
        /// The method of the request, or the command.
        pub method: String,
        /// The route that the request matches, such as `/admin/dead-letters/{message_id}`.
        pub route: String,
        /// The path of the request.
        pub path: String,
        /// The status of the response; `None` in the row from before the action.
        pub status: Option<i64>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// The migration that creates the message tables; it is the first of each service's migrator.
#[derive(Debug)]
pub struct MessageTables;

impl MigrationName for MessageTables {
    fn name(&self) -> &str {
        "m0001_message_tables"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for MessageTables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "CREATE TABLE inbox (
                 message_id UUID NOT NULL PRIMARY KEY,
                 received_at BIGINT NOT NULL
             ) /* SQLite: WITHOUT ROWID */;
             CREATE TABLE outbox (
                 message_id UUID NOT NULL PRIMARY KEY,
                 routing_key TEXT NOT NULL,
                 saga_id UUID NOT NULL,
                 body TEXT NOT NULL,
                 created_at BIGINT NOT NULL
             );
             CREATE TABLE dead_letters (
                 message_id UUID NOT NULL PRIMARY KEY,
                 reason TEXT NOT NULL,
                 attempts BIGINT NOT NULL,
                 event TEXT,
                 subject TEXT,
                 body BYTEA NOT NULL,
                 parked_at BIGINT NOT NULL
             );",
        )
        .await
    }
}

/// The migration that adds the column `subject` to the dead letters of earlier versions, and fills it from a column
/// with another name. It comes after [`SystemIdentityTable`].
#[derive(Debug)]
pub struct DeadLetterSubject {
    /// The column that contained the subject before.
    pub was: &'static str,
}

impl MigrationName for DeadLetterSubject {
    fn name(&self) -> &str {
        "m0004_dead_letter_subject"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for DeadLetterSubject {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_column("dead_letters", "subject").await? {
            return Ok(());
        }
        let was = self.was;
        let sql = format!(
            "ALTER TABLE dead_letters ADD COLUMN subject TEXT;
             UPDATE dead_letters SET subject = CAST({was} AS TEXT) WHERE {was} IS NOT NULL;"
        );
        run_sql(manager, &sql).await
    }
}

/// The migration that creates the table for the system's id; in each service's migrator it comes after the service's
/// own first tables.
#[derive(Debug)]
pub struct SystemIdentityTable;

impl MigrationName for SystemIdentityTable {
    fn name(&self) -> &str {
        "m0003_system_identity"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for SystemIdentityTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "CREATE TABLE system_identity (
                 one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
                 system_id UUID NOT NULL
             );",
        )
        .await
    }
}

/// The migration that creates the table for API keys. It comes after [`DeadLetterSubject`].
#[derive(Debug)]
pub struct ApiKeysTable;

impl MigrationName for ApiKeysTable {
    fn name(&self) -> &str {
        "m0006_api_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ApiKeysTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "CREATE TABLE api_keys (
                 key_id TEXT NOT NULL PRIMARY KEY,
                 secret_hash BYTEA NOT NULL,
                 owner TEXT NOT NULL,
                 scopes TEXT NOT NULL,
                 label TEXT NOT NULL,
                 rate_limit BIGINT,
                 created_at BIGINT NOT NULL,
                 expires_at BIGINT,
                 revoked_at BIGINT
             );",
        )
        .await
    }
}

/// The migration that creates the table for the audit log; in each service's migrator it comes after [`ApiKeysTable`].
/// Triggers refuse to change or delete its rows. Whoever owns the tables can remove them, and nobody else.
#[derive(Debug)]
pub struct AuditLogTable;

impl MigrationName for AuditLogTable {
    fn name(&self) -> &str {
        "m0007_audit_log"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for AuditLogTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_sql(
            manager,
            "CREATE TABLE audit_log (
                 entry_id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
                 action_id UUID NOT NULL,
                 recorded_at BIGINT NOT NULL,
                 actor TEXT NOT NULL,
                 key_id TEXT,
                 owner TEXT,
                 method TEXT NOT NULL,
                 route TEXT NOT NULL,
                 path TEXT NOT NULL,
                 status BIGINT
             );",
        )
        .await?;
        let append_only = match manager.get_database_backend() {
            DbBackend::Sqlite => {
                "CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
                 BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
                 CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
                 BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;"
            }
            _ => {
                "CREATE FUNCTION refuse_to_change_audit_log() RETURNS trigger LANGUAGE plpgsql AS
                 $$BEGIN RAISE EXCEPTION 'the audit log is append-only'; END$$;
                 CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
                 FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_audit_log();"
            }
        };
        run_sql(manager, append_only).await
    }
}
