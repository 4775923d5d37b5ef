/// The table of the orders.
pub mod orders {
    use sea_orm::entity::prelude::*;

    /// One order. The migrations `m0002_orders`, `m0003_version`, `m0006_owners`, `m0007_payment_methods`,
    /// `m0008_captures` and `m0009_refunds` describe the columns.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "orders")]
    #[allow(missing_docs, reason = "the migrations describe the columns")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub order_id: i64,
        pub saga_id: Uuid,
        pub lines: String,
        pub minor_units: i64,
        pub currency: String,
        pub idempotency_key: Option<String>,
        pub scoped_key: Option<String>,
        pub owner: String,
        pub payment_method: Option<String>,
        pub placed_at: i64,
        pub changed_at: i64,
        pub stock: String,
        pub stock_reason: Option<String>,
        pub payment: String,
        pub payment_reason: Option<String>,
        pub cancel: Option<String>,
        pub capture: Option<String>,
        pub status: String,
        pub wake_at: Option<i64>,
        pub repeats: i64,
        pub refunded: i64,
        pub version: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// The table of the timelines.
pub mod order_events {
    use sea_orm::entity::prelude::*;

    /// One event that the order service published or received.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "order_events")]
    pub struct Model {
        /// The id of the order.
        #[sea_orm(primary_key, auto_increment = false)]
        pub order_id: i64,
        /// The id of its message.
        #[sea_orm(primary_key, auto_increment = false)]
        pub message_id: Uuid,
        /// The name of the event.
        pub event: String,
        /// The service that published it.
        pub source: String,
        /// When it happened, in microseconds since 1970.
        pub happened_at: i64,
        /// When it was recorded here, in microseconds since 1970.
        pub recorded_at: i64,
        /// What it changed, as text; empty if it changed nothing.
        pub changed: String,
        /// The id of the event, the request or the tick that caused it. Null in rows of a release that did not store
        /// it; then the columns that follow are null, too.
        pub causation_id: Option<Uuid>,
        /// The reason that it states, if it states one.
        pub reason: Option<String>,
        /// The SKU that it names, if it names one.
        pub item_sku: Option<String>,
        /// Its W3C trace context, if it belongs to a trace.
        pub traceparent: Option<String>,
        /// The JSON of the refund that it is about, if it is about one.
        pub refund: Option<String>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}
