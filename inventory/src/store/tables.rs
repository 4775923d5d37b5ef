/// The table of the stock.
pub mod stock_items {
    use sea_orm::entity::prelude::*;

    /// The stock of one item, in units: `received = available + held + sold`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "stock_items")]
    pub struct Model {
        /// The SKU of the item.
        #[sea_orm(primary_key, auto_increment = false)]
        pub sku: String,
        /// All units that were ever received, minus those that were written off.
        pub received: i64,
        /// The units that can still be held.
        pub available: i64,
        /// The units that are held for an order or a client.
        pub held: i64,
        /// The units that were held and then sold.
        pub sold: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// The table of the reservations.
pub mod reservations {
    use sea_orm::entity::prelude::*;

    /// One reservation. The migrations `m0002_stock`, `m0005_owners` and `m0008_returns` describe the columns.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "reservations")]
    #[allow(missing_docs, reason = "the migrations describe the columns")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub reservation_id: i64,
        pub saga_id: Option<Uuid>,
        pub order_id: Option<i64>,
        pub lines: String,
        pub minor_units: Option<i64>,
        pub currency: Option<String>,
        pub state: String,
        pub reason: Option<String>,
        pub item_sku: Option<String>,
        pub made_at: i64,
        pub changed_at: i64,
        pub wake_at: Option<i64>,
        pub repeats: i64,
        pub owner: String,
        pub returns: Option<String>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// The table of the requests that had an idempotency key.
pub mod idempotency_keys {
    use sea_orm::entity::prelude::*;

    /// One request. The migration `m0007_idempotency_keys` describes the columns.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "idempotency_keys")]
    #[allow(missing_docs, reason = "the migration describes the columns")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub owned_key: String,
        pub granted: String,
        pub expires_at: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}
