/// The payments, and the memory of what is not to be paid.
pub mod payments {
    use sea_orm::entity::prelude::*;

    /// One payment; see `m0002_payments` for what the columns mean.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "payments")]
    #[allow(missing_docs, reason = "the columns are described where they are made")]
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
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    #[allow(missing_docs, reason = "no table refers to another")]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}
