//! The server, and a vhost for each test.

use std::{env, time::Duration};

use lapin::uri::AMQPUri;
use reqwest::{Client, Method, StatusCode};
use saga_rabbitmq::{RabbitMq, RabbitMqSettings};
use serde_json::{Value, json};
use shared_events::Service;
use uuid::Uuid;

/// How long to wait for a state: longer than any takes. The server's statistics are updated every five seconds.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Calls `look` until it finds something, and returns that.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A new, empty vhost of the server.
pub(crate) struct Vhost {
    pub(crate) name: String,
    administrator: AMQPUri,
    management: String,
    http: Client,
}

fn setting(name: &str) -> String {
    env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with `cargo xtask test`, which starts a server"))
}

/// The address without credentials: those of the AMQP URL are used, and giving both would send two headers.
fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host)),
        None => url.to_owned(),
    }
}

impl Vhost {
    pub(crate) async fn new() -> Self {
        let vhost = Self {
            name: format!("test-{}", Uuid::now_v7()),
            administrator: setting("TEST_AMQP_URL").parse().expect("TEST_AMQP_URL is an AMQP URL"),
            management: without_credentials(setting("TEST_RABBITMQ_MANAGEMENT_URL").trim_end_matches('/')),
            http: Client::new(),
        };
        vhost.call(Method::PUT, &format!("vhosts/{}", vhost.name), json!({})).await;
        let user = vhost.administrator.authority.userinfo.username.clone();
        vhost.permit(&user, ".*", ".*", ".*").await;
        vhost
    }

    /// The address for a user, or for the administrator.
    pub(crate) fn url(&self, user: Option<(&str, &str)>) -> String {
        let mut uri = self.administrator.clone();
        uri.vhost.clone_from(&self.name);
        if let Some((name, password)) = user {
            uri.authority.userinfo.username = name.to_owned();
            uri.authority.userinfo.password = password.to_owned();
        }
        uri.to_string()
    }

    /// The address as the errors show it.
    pub(crate) fn address(&self, user: &str) -> String {
        let authority = &self.administrator.authority;
        format!("amqp://{user}@{}:{}/{}", authority.host, authority.port, self.name)
    }

    /// The administrator's name.
    pub(crate) fn administrator(&self) -> &str {
        &self.administrator.authority.userinfo.username
    }

    /// The broker of `service`, with all permissions.
    pub(crate) fn broker(&self, service: Service) -> RabbitMq {
        broker(service, self.url(None))
    }

    /// Creates a user without any permissions, with a password or the hash of one.
    pub(crate) async fn user(&self, name: &str, secret: Value) {
        let mut user = secret;
        user["tags"] = json!("");
        self.call(Method::PUT, &format!("users/{name}"), user).await;
    }

    pub(crate) async fn permit(&self, user: &str, configure: &str, write: &str, read: &str) {
        let rights = json!({ "configure": configure, "write": write, "read": read });
        self.call(Method::PUT, &format!("permissions/{}/{user}", self.name), rights).await;
    }

    /// Imports exchanges, queues and bindings.
    pub(crate) async fn import(&self, definitions: Value) {
        self.call(Method::POST, &format!("definitions/{}", self.name), definitions).await;
    }

    /// Closes the connections of `service` for `purpose` ("publish" or "consume"), as an operator does. Waits until
    /// there is one.
    pub(crate) async fn close_connections(&self, service: Service, purpose: &str) {
        eventually(&format!("{service} has a connection to {purpose}"), async || {
            let connections = self.call(Method::GET, &format!("vhosts/{}/connections", self.name), Value::Null).await;
            let ours = connections.as_array().unwrap().iter().filter(|connection| {
                let name = connection["client_properties"]["connection_name"].as_str().unwrap_or_default();
                name.starts_with(&format!("{service}@")) && name.ends_with(purpose)
            });
            let mut closed = None;
            for connection in ours {
                let name = connection["name"].as_str().unwrap().replace(' ', "%20").replace('>', "%3E");
                self.call(Method::DELETE, &format!("connections/{name}"), Value::Null).await;
                closed = Some(());
            }
            closed
        })
        .await;
    }

    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        self.call(Method::DELETE, &format!("{kind}/{}/{name}", self.name), Value::Null).await;
    }

    /// Deletes a binding of a queue.
    pub(crate) async fn unbind(&self, exchange: &str, queue: &str, routing_key: &str) {
        self.delete("bindings", &format!("e/{exchange}/q/{queue}/{routing_key}")).await;
    }

    /// Purges a queue.
    pub(crate) async fn purge(&self, queue: &str) {
        self.call(Method::DELETE, &format!("queues/{}/{queue}/contents", self.name), Value::Null).await;
    }

    /// Calls the management API at `path`, and returns the response.
    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let user = &self.administrator.authority.userinfo;
        let request = self
            .http
            .request(method, format!("{}/api/{path}", self.management))
            .basic_auth(&user.username, Some(&user.password))
            .timeout(TIMEOUT);
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = request.send().await.expect("the management API answers");
        let status = response.status();
        let text = response.text().await.unwrap();
        // If it does not exist any more, it need not be deleted.
        assert!(status.is_success() || status == StatusCode::NOT_FOUND, "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

/// Deletes the vhost. A server accepts no more queues after some 300 of them (RabbitMQ 3.10 reserves files for each). A
/// test that fails while its queues are being created may make RabbitMQ 3.10 and all later tests fail, too: see
/// `rabbitmq/README.md`.
impl Drop for Vhost {
    fn drop(&mut self) {
        let address = format!("{}/api/vhosts/{}", self.management, self.name);
        let user = self.administrator.authority.userinfo.clone();
        let delete = async move {
            let request = Client::new().delete(address).basic_auth(user.username, Some(user.password)).timeout(TIMEOUT);
            request.send().await?.error_for_status()
        };
        let deleting = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(delete)
        });
        let deleted = deleting.join().expect("no panic");
        if !std::thread::panicking() {
            deleted.expect("the vhost is deleted");
        }
    }
}

pub(crate) fn settings(service: Service, url: String) -> RabbitMqSettings {
    RabbitMqSettings { service: service.spec(), url, password_file: None, ca_file: None }
}

pub(crate) fn broker(service: Service, url: String) -> RabbitMq {
    RabbitMq::new(&settings(service, url)).unwrap()
}
