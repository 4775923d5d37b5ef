//! The queries on API keys, which are the same on both databases.

use rstest::rstest;
use saga_database::{api_keys, delete_api_key, expire_api_key, insert_api_key, revoke_api_key, tables::api_key};
use shared_events::Timestamp;
use testkit::service::{
    DatabaseKind::{self, Postgres, Sqlite},
    TestDatabase,
};

use crate::engine_harness::open;

fn key(id: &str, created_at: i64) -> api_key::Model {
    api_key::Model {
        key_id: id.to_owned(),
        secret_hash: vec![0, 255],
        owner: "shop".to_owned(),
        scopes: "stock:read stock:write".to_owned(),
        label: "ü".to_owned(),
        rate_limit: Some(50),
        created_at,
        expires_at: None,
        revoked_at: None,
    }
}

#[rstest]
#[tokio::test]
async fn keys_are_stored_expire_and_are_revoked_once(#[values(Sqlite, Postgres)] database: DatabaseKind) {
    let storage = TestDatabase::create(database);
    let database = open(&storage).await;
    let (writer, at) = (database.writer(), Timestamp::from_unix_micros);
    for one in [key("b", 2), key("a", 1), key("c", 3)] {
        insert_api_key(&writer, &one).await.unwrap();
    }
    assert!(insert_api_key(&writer, &key("a", 4)).await.is_err(), "an id is unique");
    assert_eq!(api_keys(&writer).await.unwrap(), [key("a", 1), key("b", 2), key("c", 3)]);

    // The earlier of two expiries, and the first revocation, stay.
    for (expires_at, expected) in [(200, 200), (300, 200), (100, 100)] {
        assert!(expire_api_key(&writer, "a", at(expires_at)).await.unwrap());
        assert_eq!(api_keys(&writer).await.unwrap()[0].expires_at, Some(expected));
    }
    for revoked_at in [10, 20] {
        assert!(revoke_api_key(&writer, "b", at(revoked_at)).await.unwrap());
        assert_eq!(api_keys(&writer).await.unwrap()[1].revoked_at, Some(10));
    }
    assert!(delete_api_key(&writer, "c").await.unwrap());
    assert_eq!(api_keys(&writer).await.unwrap().len(), 2);
    for unknown in ["c", ""] {
        assert!(!revoke_api_key(&writer, unknown, at(1)).await.unwrap());
        assert!(!expire_api_key(&writer, unknown, at(1)).await.unwrap());
        assert!(!delete_api_key(&writer, unknown).await.unwrap());
    }
}
