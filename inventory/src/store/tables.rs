/// The stock.
pub mod stock_items {
    use sea_orm::entity::prelude::*;

    /// The stock of one item, in units: `received = available + held + sold`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "stock_items")]
    pub struct Model {
        /// Which item.
        #[sea_orm(primary_key, auto_increment = false)]
        pub sku: String,
        /// Everything that ever came in, less what was written off.
        pub received: i64,
        /// What can still be held.
        pub available: i64,
        /// What is held for somebody.
        pub held: i64,
        /// What was held and then sold.
        pub sold: i64,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// The reservations.
pub mod reservations {
    use sea_orm::entity::prelude::*;

    /// One reservation; see `m0002_stock` for what the columns mean.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "reservations")]
    #[allow(missing_docs, reason = "the columns are described where they are made")]
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
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}
