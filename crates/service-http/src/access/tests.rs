//! Access control in front of handlers, with keys in a database.

use std::time::Duration;

use axum::{Json, Router, body::Body, extract::Request, routing::get};
use prometheus_client::{encoding::text, registry::Registry};
use saga_database::{
    Database, insert_api_key, revoke_api_key,
    tables::{ApiKeysTable, api_key},
};
use saga_message::Timestamp;
use sea_orm::ConnectionTrait as _;
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AccessControl, AdminToken, ApiKey, ApiKeys, Caller, Identity, JwtTokens, Scope, jwt::tests::provider_with_token,
};
use crate::{ApiJson, Edge, finish, testing};

const TOKEN: &str = "the-operators-token";

struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(ApiKeysTable)]
    }
}

#[utoipa::path(get, path = "/public", security(()), responses((status = 200, body = String)))]
async fn public(caller: Caller) -> Json<Value> {
    view(&caller)
}

#[utoipa::path(
    get, path = "/read", security(("bearer" = [Scope::StockRead])), responses((status = 200, body = String)),
)]
async fn read(caller: Caller) -> Json<Value> {
    view(&caller)
}

#[utoipa::path(
    post, path = "/write", security(("bearer" = [Scope::StockWrite])), request_body = String,
    responses((status = 200, body = String)),
)]
async fn write(caller: Caller, ApiJson(_body): ApiJson<Value>) -> Json<Value> {
    view(&caller)
}

#[utoipa::path(
    get, path = "/operators", security(("bearer" = [Scope::Admin])), responses((status = 200, body = String)),
)]
async fn operators(caller: Caller) -> Json<Value> {
    view(&caller)
}

#[utoipa::path(get, path = "/undeclared", responses((status = 200, body = String)))]
async fn undeclared() {}

fn view(caller: &Caller) -> Json<Value> {
    let identity = match caller.identity() {
        Identity::Anonymous => "anonymous",
        Identity::AdminToken => "token",
        Identity::Key(id) => id,
        Identity::Token { subject, .. } => subject,
    };
    Json(json!([identity, caller.owner_of_new()]))
}

/// A service, and its database as the command that manages keys sees it.
struct Service {
    database: Database,
    access: AccessControl,
    router: Router,
    _directory: TempDir,
}

impl Service {
    async fn start(validity: Duration, admin: Option<AdminToken>) -> Self {
        Self::start_with_tokens(validity, admin, None).await
    }

    async fn start_with_tokens(validity: Duration, admin: Option<AdminToken>, tokens: Option<JwtTokens>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open_sqlite::<Migrator>(&directory.path().join("keys.sqlite")).await.unwrap();
        let keys = ApiKeys::open_with_validity(&database, validity).await.unwrap();
        let access = AccessControl::new(keys, tokens, admin);
        let routes = OpenApiRouter::new()
            .routes(routes!(public))
            .routes(routes!(read))
            .routes(routes!(write))
            .routes(routes!(operators))
            .route("/undocumented", get(async || "secret"));
        let router = finish("Test", "", routes, Edge { access: access.clone(), ..Edge::default() });
        Self { database, access, router, _directory: directory }
    }

    async fn key(&self, scopes: &str) -> ApiKey {
        let key = ApiKey::generate().unwrap();
        insert_api_key(&self.database.writer(), &row(&key, scopes)).await.unwrap();
        key
    }

    async fn revoke(&self, key: &ApiKey) {
        assert!(revoke_api_key(&self.database.writer(), &key.id(), self.database.clock().now()).await.unwrap());
    }

    async fn execute(&self, sql: &str) {
        self.database.writer().execute_unprepared(sql).await.unwrap();
    }

    async fn send(&self, path: &str, bearer: Option<&str>) -> (u16, Value) {
        let mut request = if path == "/write" { Request::post(path) } else { Request::get(path) };
        request = request.header("content-type", "application/json");
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let (status, headers, body) = testing::send(&self.router, request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(headers.get("www-authenticate").is_some_and(|challenge| challenge == "Bearer"), status == 401);
        (status, body)
    }

    async fn status(&self, path: &str, key: &ApiKey) -> u16 {
        self.send(path, Some(&key.reveal())).await.0
    }

    fn metrics(&self) -> String {
        let (mut registry, mut metrics) = (Registry::default(), String::new());
        self.access.register(&mut registry);
        text::encode(&mut metrics, &registry).unwrap();
        metrics
    }
}

fn row(key: &ApiKey, scopes: &str) -> api_key::Model {
    key.row("shop-a", scopes, Timestamp::default())
}

#[tokio::test]
async fn without_keys_access_is_open_but_for_operators() {
    let anonymous = (200, json!(["anonymous", ""]));
    let (unknown, generated) = (ApiKey::generate().unwrap().reveal(), AdminToken::generate().unwrap());
    for admin in [None, Some(generated.clone()), Some(TOKEN.parse().unwrap())] {
        let service = Service::start(Duration::ZERO, admin.clone()).await;
        for path in ["/public", "/read", "/write"] {
            for bearer in [None, Some("nonsense"), Some(&*unknown)] {
                assert_eq!(service.send(path, bearer).await, anonymous, "{path} {bearer:?}");
            }
        }
        let refused = if admin.as_ref().is_some_and(|admin| admin.is(TOKEN.as_bytes())) { 401 } else { 404 };
        for path in ["/operators", "/undocumented"] {
            assert_eq!(service.send(path, None).await.0, refused);
            assert_eq!(service.send(path, Some(&unknown)).await.0, refused);
        }
        if let Some(admin) = admin {
            let operator = (200, json!(["token", ""]));
            assert_eq!(service.send("/operators", Some(admin.reveal())).await, operator);
            assert_eq!(service.send("/read", Some(admin.reveal())).await, operator);
        }
    }
}

#[tokio::test]
async fn with_keys_each_route_wants_its_scope() {
    let service = Service::start(Duration::ZERO, Some(TOKEN.parse().unwrap())).await;
    let routes =
        [("/read", Some("stock:read")), ("/write", Some("stock:write")), ("/operators", None), ("/undocumented", None)];
    for scope in Scope::ALL {
        let key = service.key(scope.as_str()).await;
        for (path, needed) in routes {
            let (status, body) = service.send(path, Some(&key.reveal())).await;
            if scope == Scope::Admin || needed == Some(scope.as_str()) {
                assert_eq!(status, 200, "{path} with {scope}: {body}");
                assert!(path == "/undocumented" || body == json!([key.id(), "shop-a"]), "{body}");
            } else {
                assert_eq!((status, &body["type"]), (403, &json!("/problems/insufficient-scope")));
                assert!(body["detail"].as_str().unwrap().contains(needed.unwrap_or("admin")), "{body}");
            }
        }
        assert_eq!(service.status("/public", &key).await, 200);
        assert_eq!(service.status("/nowhere", &key).await, 404);
    }
    for (path, _) in routes {
        assert_eq!(service.send(path, Some(TOKEN)).await.0, 200, "{path}");
    }
    let several = service.key("orders:read stock:read a-scope-of-the-future").await;
    assert_eq!((service.status("/read", &several).await, service.status("/write", &several).await), (200, 403));
    // A wrong method is refused as such, and HEAD is GET.
    for (method, bearer, expected) in
        [("PUT", "", 405), ("HEAD", "", 401), ("HEAD", &*several.reveal(), 200), ("GET", &*several.reveal(), 200)]
    {
        let request =
            Request::builder().method(method).uri("/read").header("authorization", format!("Bearer {bearer}"));
        let response = service.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{method}");
    }
}

#[tokio::test]
async fn all_that_is_no_valid_key_gets_the_same_answer() {
    let service = Service::start(Duration::ZERO, None).await;
    let good = service.key("admin").await;
    let (expired, revoked) = (ApiKey::generate().unwrap(), service.key("admin").await);
    let ended = api_key::Model { expires_at: Some(1), ..row(&expired, "admin") };
    insert_api_key(&service.database.writer(), &ended).await.unwrap();
    assert_eq!(service.status("/read", &revoked).await, 200);
    service.revoke(&revoked).await;
    let wrong = format!("ck_{}_{}", good.id(), "0".repeat(64));
    let refused = service.send("/read", None).await;
    assert_eq!((refused.0, &refused.1["type"]), (401, &json!("/problems/unauthorized")));
    for bearer in ["", "nonsense", &wrong, &good.reveal()[1..], &ApiKey::generate().unwrap().reveal()] {
        assert_eq!(service.send("/read", Some(bearer)).await, refused, "{bearer}");
    }
    for key in [&expired, &revoked] {
        assert_eq!(service.send("/read", Some(&key.reveal())).await, refused);
    }
    assert_eq!(service.status("/read", &good).await, 200);
    assert_eq!(service.send("/operators", None).await.0, 401, "with keys, there are endpoints for operators");
    service.status("/operators", &service.key("stock:read").await).await;
    let metrics = service.metrics();
    for line in [
        "access_refused_total{reason=\"unauthenticated\"} 9",
        "access_refused_total{reason=\"insufficient_scope\"} 1",
        "admin_refused_total 1",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn a_key_may_send_as_many_requests_a_second_as_its_limit_says() {
    let service = Service::start(Duration::ZERO, None).await;
    let (limited, other) = (ApiKey::generate().unwrap(), service.key("stock:read").await);
    let one = api_key::Model { rate_limit: Some(1), ..row(&limited, "stock:read") };
    insert_api_key(&service.database.writer(), &one).await.unwrap();
    let send = async |key: &ApiKey| {
        let request = Request::get("/read").header("authorization", format!("Bearer {}", key.reveal()));
        let (status, headers, body) = testing::send(&service.router, request.body(Body::empty()).unwrap()).await;
        let of = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (status, of("ratelimit"), of("retry-after"), body["type"].clone())
    };
    let left = Some("\"key\";r=0;t=1".to_owned());
    assert_eq!(send(&limited).await, (200, left.clone(), None, Value::Null));
    // The keys are read again for each request, and the limit goes on. Only after a second one more would pass.
    let mut answer = send(&limited).await;
    while answer.0 == 200 {
        answer = send(&limited).await;
    }
    assert_eq!(answer, (429, left, Some("1".to_owned()), json!("/problems/rate-limited")));
    assert_eq!(send(&other).await, (200, None, None, Value::Null), "another key has nothing to do with it");
    assert!(service.metrics().contains("access_refused_total{reason=\"rate_limited\"} 1"));
}

#[tokio::test]
async fn access_stays_closed_when_the_last_key_is_revoked_or_unreadable() {
    let service = Service::start(Duration::ZERO, None).await;
    let key = service.key("stock:read").await;
    service.revoke(&key).await;
    assert_eq!(service.send("/read", None).await.0, 401);
    let service = Service::start(Duration::ZERO, None).await;
    let key = service.key("stock:read").await;
    service.execute("UPDATE api_keys SET secret_hash = x'00'").await;
    assert_eq!((service.send("/read", None).await.0, service.status("/read", &key).await), (401, 401));
}

#[tokio::test]
async fn no_request_reads_the_keys_while_those_that_were_read_are_valid() {
    let service = Service::start(Duration::from_secs(3_600), None).await;
    let key = service.key("stock:write").await;
    // It would be refused if the key was known.
    assert_eq!(service.send("/read", Some(&key.reveal())).await, (200, json!(["anonymous", ""])));
}

#[tokio::test]
async fn the_last_keys_are_used_while_the_database_cannot_be_read() {
    let service = Service::start(Duration::ZERO, None).await;
    let (kept, revoked) = (service.key("stock:read").await, service.key("stock:read").await);
    assert_eq!(service.status("/read", &revoked).await, 200);
    service.execute("ALTER TABLE api_keys RENAME TO gone").await;
    assert_eq!((service.status("/read", &kept).await, service.send("/read", None).await.0), (200, 401));
    service.execute("UPDATE gone SET revoked_at = 1 WHERE key_id <> '0'; ALTER TABLE gone RENAME TO api_keys").await;
    assert_eq!((service.status("/read", &kept).await, service.status("/read", &revoked).await), (401, 401));
}

#[tokio::test]
async fn with_an_identity_provider_its_tokens_and_api_keys_are_accepted_and_access_is_never_open() {
    let (tokens, token) = provider_with_token();
    let service = Service::start_with_tokens(Duration::ZERO, Some(TOKEN.parse().unwrap()), Some(tokens)).await;
    assert_eq!(service.send("/public", None).await.0, 200);
    assert_eq!(service.send("/read", None).await.0, 401);
    assert_eq!(service.send("/read", Some(&token)).await, (200, json!(["shop-a", "shop-a"])));
    assert_eq!(service.send("/write", Some(&token)).await.0, 403);
    assert_eq!(service.send("/read", Some(&format!("{token}x"))).await.0, 401);
    assert_eq!(service.send("/operators", Some(TOKEN)).await.0, 200);
    let key = service.key("stock:write").await;
    assert_eq!((service.status("/write", &key).await, service.send("/read", Some(&token)).await.0), (200, 200));
}

#[test]
#[should_panic(expected = "GET /undeclared declares neither one scope nor that it is public")]
fn a_route_that_does_not_say_what_it_needs_is_no_route() {
    let _ = finish("Test", "", OpenApiRouter::new().routes(routes!(undeclared)), Edge::default());
}
