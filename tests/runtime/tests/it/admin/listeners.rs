//! A service with a listener for operators.

use std::net::SocketAddr;

use reqwest::{Client, Method};
use service_host::Listeners;
use testkit::service::{ADMIN_TOKEN, DatabaseKind, TestDatabase};
use tokio::net::TcpListener;

use super::service_harness::ServiceHarness;
use crate::engine_harness::World;

async fn status(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request =
        Client::builder().no_proxy().build().unwrap().request(Method::GET, format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.bearer_auth(ADMIN_TOKEN).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn what_is_for_operators_is_at_their_listener_only() {
    let (storage, world) = (TestDatabase::create(DatabaseKind::Sqlite), World::begin().await);
    // Only the one for operators is on loopback, where foreign hosts are refused.
    let public = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let operations = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = public.local_addr().unwrap().port();
    let addresses = [SocketAddr::from(([127, 0, 0, 1], port)), operations.local_addr().unwrap()];
    let listeners = Listeners { public, operations: Some(operations) };
    let service =
        ServiceHarness::with_listeners(&storage, world.participant_broker(), Some(ADMIN_TOKEN), listeners).await;
    for (path, expected) in [
        ("/health", [200, 200]),
        ("/health/ready", [200, 200]),
        ("/problems/overloaded", [200, 200]),
        ("/", [404, 200]),
        ("/metrics", [404, 200]),
        ("/metrics/", [404, 200]),
        ("/openapi.json", [404, 200]),
        ("/docs/", [404, 200]),
        ("/docs/swagger-ui-bundle.js", [404, 200]),
        ("/admin/dead-letters", [404, 200]),
        // However a path is written, it is the route that counts.
        ("/admin/dead-letters/", [404, 200]),
        ("/nowhere", [404, 404]),
    ] {
        for (address, expected) in addresses.into_iter().zip(expected) {
            assert_eq!(status(address, path, &[]).await, expected, "{path} at {address}");
        }
    }
    for path in
        ["//metrics", "/./metrics", "/%6detrics", "/admin//dead-letters", "//admin/dead-letters", "/health/../metrics"]
    {
        assert_ne!(status(addresses[0], path, &[]).await, 200, "{path}");
    }
    let foreign = [("host", "attacker.example")];
    assert_eq!(status(addresses[0], "/health", &foreign).await, 200);
    assert_eq!(status(addresses[1], "/metrics", &foreign).await, 421);
    service.finish(0).await;
}
