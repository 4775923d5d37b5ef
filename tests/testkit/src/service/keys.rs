use saga_database::{Database, insert_api_key, tables::api_key};
use service_http::access::ApiKey;
use shared_events::Timestamp;

/// An API key of a client in a test.
#[derive(Debug, Clone)]
pub struct TestKey {
    text: String,
    row: api_key::Model,
}

impl TestKey {
    /// Makes a key of this owner with these scopes, separated by spaces.
    #[must_use]
    pub fn new(owner: &str, scopes: &str) -> Self {
        let key = ApiKey::generate().unwrap();
        let row = key.row(owner, scopes, Timestamp::default());
        Self { text: key.reveal(), row }
    }

    /// Returns the key as its client sends it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.row.key_id
    }

    /// Stores it in the database of a service.
    pub(super) async fn store(&self, database: &Database) {
        let transaction = database.begin().await.unwrap();
        insert_api_key(&transaction, &self.row).await.unwrap();
        transaction.commit().await.unwrap();
    }
}
