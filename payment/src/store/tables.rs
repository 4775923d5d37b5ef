/// The table of the payments. It also has the tombstones of cancelled orders.
pub mod payments {
    use sea_orm::entity::prelude::*;

    /// One payment. The migrations describe the columns.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "payments")]
    #[allow(missing_docs, reason = "the migration describes the columns")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub payment_id: i64,
        pub saga_id: Option<Uuid>,
        pub order_id: i64,
        pub minor_units: i64,
        pub currency: String,
        pub state: String,
        pub reason: Option<String>,
        pub reference: Option<String>,
        pub created_at: i64,
        pub changed_at: i64,
        pub due_at: Option<i64>,
        pub attempts: i64,
        pub unanswered: i64,
        pub lines: Option<String>,
        pub payment_method: Option<String>,
        pub refunds: Option<String>,
        pub gateway_key: Option<Uuid>,
        pub idempotency_key: Option<String>,
        pub scoped_key: Option<String>,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}
