//! The tables that every service's database has for its messages: inbox, outbox and dead letters; and the one that says
//! to which system it belongs.

use sea_orm_migration::prelude::*;

use super::migrate::run_sql;

/// The messages that were handled, so that none is handled twice.
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

/// The events that are committed and not yet confirmed by the broker.
pub mod outbox {
    use sea_orm::entity::prelude::*;

    /// One event to be published.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "outbox")]
    pub struct Model {
        /// The message's id; ids grow with time.
        #[sea_orm(primary_key, auto_increment = false)]
        pub message_id: Uuid,
        /// The routing key, which names the event.
        pub routing_key: String,
        /// The saga that it belongs to.
        pub saga_id: Uuid,
        /// The envelope, encoded.
        pub body: String,
        /// When it was committed, in microseconds since 1970.
        pub created_at: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// The messages that cannot be handled, parked for an operator.
pub mod dead_letter {
    use sea_orm::entity::prelude::*;

    /// One parked message.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "dead_letters")]
    pub struct Model {
        /// The message's id, or one made from its body where it has none that can be read.
        #[sea_orm(primary_key, auto_increment = false)]
        pub message_id: Uuid,
        /// Why it cannot be handled, in words.
        pub reason: String,
        /// How often it was tried.
        pub attempts: i64,
        /// The name of the event, where it can be read.
        pub event: Option<String>,
        /// What it is about, where it can be read.
        pub subject: Option<String>,
        /// The message as it came.
        pub body: Vec<u8>,
        /// When it was parked, in microseconds since 1970.
        pub parked_at: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// The migration that makes these tables; each service's migrator begins with it.
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

/// The migration that gives the dead letters of earlier versions their subject, out of a column of another name; behind
/// [`SystemIdentityTable`].
#[derive(Debug)]
pub struct DeadLetterSubject {
    /// The column that it was in.
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

/// The migration that makes the table for the system's id; each service's migrator has it behind its own first tables.
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
