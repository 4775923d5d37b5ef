//! Every route of every service, without a key and with each kind of key; and the table of routes in the documentation.

use std::{collections::HashMap, env, fs, path::Path};

use reqwest::{Client, Method, StatusCode, header};
use saga_database::{Database, insert_api_key, tables::api_key};
use sea_orm_migration::MigratorTrait;
use serde_json::Value;
use service_http::access::{ApiKey, Scope};
use shared_events::{Service, Timestamp};

use crate::program;

/// If this variable is set, the table of routes is written instead of compared.
const UPDATE: &str = "UPDATE_OPENAPI";

/// A route and its method, as an OpenAPI document describes it.
#[derive(Debug)]
struct Operation {
    method: Method,
    path: String,
    /// The scope that it needs; `None` if everybody may use it.
    scope: Option<Scope>,
    has_body: bool,
    is_list: bool,
}

impl Operation {
    fn all(document: &Value) -> Vec<Self> {
        let paths = document["paths"].as_object().unwrap();
        let operations =
            paths.iter().flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |one| (path, one)));
        operations.map(|(path, (method, operation))| Self::of(path, method, operation)).collect()
    }

    fn of(path: &str, method: &str, operation: &Value) -> Self {
        let needed = operation["security"][0]["bearer"][0].as_str();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        Self {
            method: method.to_uppercase().parse().unwrap(),
            path: path.to_owned(),
            scope: needed.map(|scope| scope.parse().unwrap()),
            has_body: operation.get("requestBody").is_some(),
            is_list: parameters.into_iter().any(|parameter| parameter["name"] == "limit"),
        }
    }

    /// Returns the path with values for its parameters.
    fn concrete(&self) -> String {
        let uuid = "00000000-0000-7000-8000-000000000000";
        let value = |part: &str| match part {
            "{message_id}" | "{refund_id}" => uuid.to_owned(),
            part if part.starts_with('{') => "1".to_owned(),
            part => part.to_owned(),
        };
        self.path.split('/').map(value).collect::<Vec<_>>().join("/")
    }

    /// Returns what limits its requests, for the table.
    fn limits(&self) -> &'static str {
        match (self.has_body, self.is_list, self.path.ends_with("/stream")) {
            (true, ..) => "body of 64 KiB",
            (_, true, _) => "1000 items, lists at a time",
            (.., true) => "connections, changes kept",
            _ => "",
        }
    }
}

/// Keys that are in the databases of all services.
struct Keys {
    by_scope: HashMap<Scope, ApiKey>,
    expired: ApiKey,
    revoked: ApiKey,
}

impl Keys {
    async fn store(data_dir: &Path) -> Self {
        let key = || ApiKey::generate().unwrap();
        let by_scope = Scope::ALL.map(|scope| (scope, key())).into();
        let keys = Self { by_scope, expired: key(), revoked: key() };
        keys.store_in::<order::Migrator>(data_dir, Service::Order).await;
        keys.store_in::<inventory::Migrator>(data_dir, Service::Inventory).await;
        keys.store_in::<payment::Migrator>(data_dir, Service::Payment).await;
        keys
    }

    async fn store_in<M: MigratorTrait>(&self, data_dir: &Path, service: Service) {
        let database = Database::open_sqlite::<M>(&data_dir.join(format!("{service}.sqlite"))).await.unwrap();
        let row = |key: &ApiKey, scope: Scope| key.row("shop", scope.as_str(), Timestamp::default());
        let mut rows: Vec<_> = self.by_scope.iter().map(|(scope, key)| row(key, *scope)).collect();
        rows.push(api_key::Model { expires_at: Some(1), ..row(&self.expired, Scope::Admin) });
        rows.push(api_key::Model { revoked_at: Some(1), ..row(&self.revoked, Scope::Admin) });
        for row in rows {
            insert_api_key(&database.writer(), &row).await.unwrap();
        }
        database.close().await;
    }
}

/// Sends the request with this key, without a body, and returns the status and the type of the problem, if it is one.
async fn send(http: &Client, base: &str, operation: &Operation, key: Option<&str>) -> (StatusCode, String) {
    let mut request = http.request(operation.method.clone(), format!("{base}{}", operation.concrete()));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    assert_eq!(response.headers().get(header::WWW_AUTHENTICATE).is_some(), status == 401, "{operation:?}");
    // The body of a stream never ends.
    let problem: Value = if status.is_client_error() { response.json().await.unwrap() } else { Value::Null };
    (status, problem["type"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_route_wants_a_key_with_its_scope() {
    let data_dir = tempfile::tempdir().unwrap();
    let keys = Keys::store(data_dir.path()).await;
    let system = program().start(data_dir.path(), &[]).unwrap();
    let http = Client::builder().no_proxy().build().unwrap();
    let unknown = ApiKey::generate().unwrap().reveal();
    let admin = keys.by_scope[&Scope::Admin].reveal();
    // An id that exists, with the secret of another key.
    let mixed = format!("{}{}", &admin[..20], &unknown[20..]);
    let (expired, revoked) = (keys.expired.reveal(), keys.revoked.reveal());
    let invalid = [&unknown, &mixed, &expired, &revoked, &admin[1..], "ck_", "x"];
    for address in system.addresses {
        let base = format!("http://{address}");
        let document = http.get(format!("{base}/openapi.json")).send().await.unwrap().json().await.unwrap();
        let operations = Operation::all(&document);
        assert!(operations.len() > 10, "{operations:#?}");
        for operation in operations {
            let Some(needed) = operation.scope else {
                let (status, _) = send(&http, &base, &operation, None).await;
                // The signature of a webhook is its access control.
                let is_webhook = operation.path.starts_with("/webhooks/") && status.is_client_error();
                assert!(status.is_success() || is_webhook, "{status} {operation:?}");
                continue;
            };
            for key in [None].into_iter().chain(invalid.map(Some)) {
                let answer = send(&http, &base, &operation, key).await;
                assert_eq!(answer.0, StatusCode::UNAUTHORIZED, "{operation:?} with {key:?}");
            }
            for scope in Scope::ALL {
                let (status, problem) = send(&http, &base, &operation, Some(&keys.by_scope[&scope].reveal())).await;
                if scope == needed || scope == Scope::Admin {
                    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
                    assert!(!refused && !status.is_server_error(), "{status} {operation:?} with {scope}");
                } else {
                    let expected = (StatusCode::FORBIDDEN, "/problems/insufficient-scope".to_owned());
                    assert_eq!((status, problem), expected, "{operation:?} with {scope}");
                }
            }
        }
        for path in ["/docs/", "/problems/insufficient-scope"] {
            let status = http.get(format!("{base}{path}")).send().await.unwrap().status();
            assert!(status.is_success(), "{status} {path}");
        }
    }
    assert!(system.stop().unwrap().success());
}

/// Returns the table of all routes. Those that all services have are named once.
fn table(documents: &[(Service, Value)]) -> String {
    let mut rows: Vec<(String, &str, String, &str)> = Vec::new();
    let mut services: HashMap<String, Vec<&str>> = HashMap::new();
    for (service, document) in documents {
        for operation in Operation::all(document) {
            let route = format!("`{} {}`", operation.method, operation.path);
            let of_route = services.entry(route.clone()).or_default();
            if of_route.is_empty() {
                let scope = operation.scope.map_or("everybody".to_owned(), |scope| format!("`{scope}`"));
                rows.push((route, service.name(), scope, operation.limits()));
            }
            of_route.push(service.name());
        }
    }
    let mut table = "| route | of | scope | limits |\n|---|---|---|---|\n".to_owned();
    for (route, _, scope, limits) in rows {
        let of = if services[&route].len() == Service::ALL.len() { "all" } else { services[&route][0] };
        table.push_str(&format!("| {route} | {of} | {scope} | {limits} |\n"));
    }
    table
}

#[test]
fn the_documented_table_of_routes_is_that_of_the_services() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let document = |service: Service| {
        let text = fs::read_to_string(docs.join("api").join(format!("{service}.json"))).unwrap();
        (service, serde_json::from_str(&text).unwrap())
    };
    let table = table(&Service::ALL.map(document));
    let (begin, end) = ("<!-- routes: begin -->\n", "<!-- routes: end -->");
    let page = fs::read_to_string(docs.join("security.md")).unwrap();
    let (before, rest) = page.split_once(begin).unwrap();
    let (written, after) = rest.split_once(end).unwrap();
    if env::var_os(UPDATE).is_some() {
        fs::write(docs.join("security.md"), format!("{before}{begin}\n{table}\n{end}{after}")).unwrap();
    } else {
        assert_eq!(written.trim(), table.trim(), "if this is intended, run this test with {UPDATE}=1");
    }
}
