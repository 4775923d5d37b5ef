//! Tokens of an identity provider, at the program.

use reqwest::Method;
use serde_json::json;
use testkit::client::{Client, answer};

use crate::program;

const KEYS: &str = include_str!("../../../crates/service-http/src/access/jwt/testdata/jwks.json");
/// Of `shop-a`, for the scope `orders:read`.
const TOKEN: &str = include_str!("../../../crates/service-http/src/access/jwt/testdata/token");
const ISSUER: &str = "--jwt-issuer=https://id.example";
const AUDIENCE: &str = "--jwt-audience=orders";

#[tokio::test]
async fn a_token_of_the_identity_provider_is_accepted_and_access_is_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("jwks.json");
    std::fs::write(&keys, KEYS).unwrap();
    let file = format!("--jwks-file={}", keys.display());
    let running = program().start(directory.path(), &[&file, ISSUER, AUDIENCE]).unwrap();
    let (open, shop) = (Client::new(running.addresses).unwrap(), Client::with_key(running.addresses, TOKEN).unwrap());
    let get = |client: &Client| client.order(Method::GET, "/api/v1/orders");
    assert_eq!(answer(get(&open)).await.unwrap().0, 401);
    let (status, orders) = answer(get(&shop)).await.unwrap();
    assert_eq!((status.as_u16(), orders), (200, json!([])));
    let order = json!({"item_sku": "SKU-1", "quantity": 1, "amount": 1, "currency": "USD"});
    let (status, problem) = answer(shop.order(Method::POST, "/api/v1/orders").json(&order)).await.unwrap();
    assert_eq!((status.as_u16(), &problem["type"]), (403, &json!("/problems/insufficient-scope")));
    assert!(running.stop().unwrap().success());
}

#[test]
fn what_is_missing_or_broken_is_said_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("jwks.json");
    std::fs::write(&keys, "{}").unwrap();
    for (more, expected) in
        [(&[][..], "--jwt-issuer"), (&[ISSUER], "--jwt-audience"), (&[ISSUER, AUDIENCE], "jwks.json cannot be used")]
    {
        let mut command = program().command();
        command.arg("--data-dir").arg(directory.path()).arg("--jwks-file").arg(&keys).args(more).arg("--no-console");
        command.args(["order", "inventory", "payment"].map(|name| format!("--{name}-listen=127.0.0.1:0")));
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && printed.contains(expected), "{printed}");
    }
}
