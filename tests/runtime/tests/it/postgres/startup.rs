//! A database that can be opened, and is unavailable a moment later, while the service starts.

use std::sync::Arc;

use reqwest::{Client, StatusCode};
use saga_runtime::IdentitySettings;
use sea_orm::ConnectionTrait as _;
use service_host::settings::{AccessSettings, BrowserSettings};
use service_host::{
    Traces,
    service::{RunningService, ServiceDeps, stop},
};
use service_http::ListenerConfig;
use testkit::service::{DatabaseKind::Postgres, TestDatabase};
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    admin::service_harness::work_settings,
    counting_participant::{CountingParticipant, Script},
    engine_harness::{World, open},
    wait::{TIMEOUT, until, within_timeout},
};

#[tokio::test]
async fn a_start_waits_for_a_database_that_became_unavailable_after_it_was_opened() {
    let (storage, world) = (TestDatabase::create(Postgres), World::begin().await);
    // The outbox cannot be read while this session has it locked; the server ends the wait after two seconds.
    let lock = open(&storage).await.begin().await.unwrap();
    lock.execute_unprepared("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let deps = ServiceDeps {
        database: open(&storage).await,
        broker: Arc::clone(world.participant_broker()),
        work: work_settings(),
        access: AccessSettings::default(),
        admin: None,
        identity: IdentitySettings::default(),
        traces: Traces::default(),
        console_url: None,
        listening: ListenerConfig::default(),
        browsers: BrowserSettings::default(),
    };
    let starting = tokio::spawn(async move {
        let participant = CountingParticipant(Arc::new(Script::default()));
        RunningService::start(participant, deps, listener, |context| {
            context.operations.finish("Tally", "Counts.", OpenApiRouter::new())
        })
        .await
    });
    let http = Client::builder().no_proxy().build().unwrap();
    let status = async |path: &str| http.get(format!("{url}{path}")).send().await.unwrap().status();
    assert_eq!(within_timeout("it answers while it waits", status("/health")).await, StatusCode::OK);
    assert_eq!(status("/health/ready").await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!starting.is_finished());
    lock.rollback().await.unwrap();
    let running = within_timeout("it starts once it can", starting).await.unwrap().unwrap();
    until("it is ready", async || status("/health/ready").await == StatusCode::OK).await;
    within_timeout("it stops", stop(vec![running], TIMEOUT)).await;
}
