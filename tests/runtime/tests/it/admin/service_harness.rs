//! A whole service with the counting participant, including its HTTP side.

use std::{collections::BTreeMap, sync::Arc};

use clap::Parser;
use reqwest::{Client, Method, Response, header};
use saga_database::{
    Database, Writes,
    tables::{dead_letter, inbox},
};
use saga_runtime::{IdentitySettings, broker::Broker};
use sea_orm::EntityTrait;
use serde_json::Value;
use service_host::{
    Listeners, Traces,
    admin::AdminToken,
    service::{RunningService, ServiceDeps, stop},
    settings::{AccessSettings, BrowserSettings, WorkSettings},
};
use service_http::ListenerConfig;
use testkit::service::{ADMIN_TOKEN, TestDatabase};
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::{
    counting_participant::{CountingParticipant, Script, counts},
    engine_harness::open,
    wait::{TIMEOUT, within_timeout},
};

#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    work: WorkSettings,
}

/// The default settings.
pub(crate) fn work_settings() -> WorkSettings {
    Settings::parse_from(["runtime-tests"]).work
}

/// A running service, and an operator with the token.
pub(crate) struct ServiceHarness {
    pub(crate) script: Arc<Script>,
    pub(crate) database: Database,
    pub(crate) url: String,
    http: Client,
    running: RunningService,
}

impl ServiceHarness {
    pub(crate) async fn start(storage: &TestDatabase, broker: &Arc<dyn Broker>) -> Self {
        Self::with_token(storage, broker, Some(ADMIN_TOKEN)).await
    }

    pub(crate) async fn with_token(storage: &TestDatabase, broker: &Arc<dyn Broker>, token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::with_listeners(storage, broker, token, listener.into()).await
    }

    pub(crate) async fn with_listeners(
        storage: &TestDatabase,
        broker: &Arc<dyn Broker>,
        token: Option<&str>,
        listeners: Listeners,
    ) -> Self {
        let database = open(storage).await;
        let script = Arc::new(Script::default());
        let url = format!("http://{}", listeners.public.local_addr().unwrap());
        let deps = ServiceDeps {
            database: database.clone(),
            broker: Arc::clone(broker),
            work: work_settings(),
            access: AccessSettings { allow_anonymous: true, ..AccessSettings::default() },
            admin: token.map(|token| token.parse::<AdminToken>().unwrap()),
            identity: IdentitySettings::default(),
            traces: Traces::default(),
            console_url: None,
            listening: ListenerConfig::default(),
            browsers: BrowserSettings::default(),
        };
        let participant = CountingParticipant(Arc::clone(&script));
        let running = RunningService::start(participant, deps, listeners, |context| {
            context.operations.finish("CountingParticipant", "Counts.", OpenApiRouter::new())
        });
        let http = Client::builder().no_proxy().build().unwrap();
        Self { script, database, url, http, running: running.await.unwrap() }
    }

    /// A request with these headers only.
    pub(crate) async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        within_timeout("an answer", request.send()).await.unwrap()
    }

    /// A request with the token: status and JSON, which is null if there is no body.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> (u16, Value) {
        let authorization = format!("Bearer {ADMIN_TOKEN}");
        let response = self.request(method, path, &[(header::AUTHORIZATION.as_str(), &authorization)]).await;
        let status = response.status().as_u16();
        let body = within_timeout("its body", response.bytes()).await.unwrap();
        (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
    }

    pub(crate) async fn list(&self) -> Vec<Value> {
        let (status, Value::Array(letters)) = self.ask(Method::GET, "/admin/dead-letters").await else {
            panic!("not a list")
        };
        assert_eq!(status, 200);
        letters
    }

    pub(crate) async fn redrive(&self, id: Uuid) -> (u16, Value) {
        self.ask(Method::POST, &format!("/admin/dead-letters/{id}/redrive")).await
    }

    pub(crate) async fn redrive_all(&self) -> Value {
        let (status, report) = self.ask(Method::POST, "/admin/dead-letters/redrive").await;
        assert_eq!(status, 200, "{report}");
        report
    }

    /// Dead-letters a message without the service.
    pub(crate) async fn dead_letter(&self, message_id: Uuid, body: &[u8]) {
        let row = dead_letter::Model {
            message_id,
            reason: "dead-lettered by the test".to_owned(),
            attempts: 1,
            event: None,
            subject: None,
            body: body.to_vec(),
            dead_lettered_at: 1_700_000_000_000_000,
        };
        let transaction = self.database.begin().await.unwrap();
        Writes::default().insert::<dead_letter::Entity>(&[row]).run(&transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// The metrics as they are now: each sample by its name and its labels, but for the one that they all have.
    pub(crate) async fn metrics(&self) -> BTreeMap<String, f64> {
        let response = self.request(Method::GET, "/metrics", &[]).await;
        assert_eq!(response.status(), 200);
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"), "{content_type}");
        parse(&within_timeout("its body", response.text()).await.unwrap())
    }

    pub(crate) async fn handled(&self, order_id: i64) -> i64 {
        let row = counts::Entity::find_by_id(order_id).one(&self.database.reader()).await.unwrap();
        row.map_or(0, |row| row.heard)
    }

    pub(crate) async fn in_the_inbox(&self) -> usize {
        inbox::Entity::find().all(&self.database.reader()).await.unwrap().len()
    }

    /// Ends the test: there are so many dead letters, and nothing is left unpublished.
    pub(crate) async fn finish(self, dead_letters: usize) {
        let letters = dead_letter::Entity::find().all(&self.database.reader()).await.unwrap();
        assert_eq!(letters.len(), dead_letters, "{letters:?}");
        within_timeout("everything is published", async {
            while self.running.unpublished() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        stop(vec![self.running], TIMEOUT).await;
    }
}

/// Far in the past, so that a test sees whether something was kept.
pub(crate) const LONG_AGO: &str = "2023-11-14T22:13:20Z";

/// Reads OpenMetrics text as strictly as it is read elsewhere: each sample after its type, nothing twice, and the end.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.strip_suffix("# EOF\n").expect("it has an end").lines();
    let mut samples = BTreeMap::new();
    let mut family = String::new();
    for line in lines {
        if let Some(description) = line.strip_prefix("# ") {
            let mut words = description.split(' ');
            assert!(["TYPE", "HELP", "UNIT"].contains(&words.next().unwrap()), "{line}");
            family = words.next().unwrap().to_owned();
            assert!(family.starts_with("order_system_"), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with(&family), "{line} is not of {family}");
        let name = name.strip_prefix("order_system_").unwrap();
        let name = name.replace("service=\"inventory\",", "").replace("{service=\"inventory\"}", "");
        assert!(!name.contains("service="), "{line}");
        assert_eq!(samples.insert(name, value.parse().unwrap()), None, "{line}");
    }
    samples
}
