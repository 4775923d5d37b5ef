use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{Json, extract::State, http::StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Whether the service can do its work: the state of each thing that it depends on, as last reported. Clones share it.
///
/// It asks nobody. Who uses a dependency reports how that went, and none counts as up before it has been reported.
#[derive(Debug, Clone)]
pub struct Readiness {
    reported: Arc<Mutex<Vec<Reported>>>,
    reconnects: Family<Named, Counter>,
}

/// The label of a dependency.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Named {
    dependency: &'static str,
}

/// A dependency, and what was last reported of it, if anything was.
#[derive(Debug)]
struct Reported {
    name: &'static str,
    state: Option<Result<(), String>>,
}

impl Readiness {
    /// Ready once each of `dependencies` (such as `database` and `broker`) is reported up.
    pub fn new(dependencies: impl IntoIterator<Item = &'static str>) -> Self {
        let unknown = dependencies.into_iter().map(|name| Reported { name, state: None }).collect();
        Self { reported: Arc::new(Mutex::new(unknown)), reconnects: Family::default() }
    }

    /// Reports that a dependency is up, or down and why. The reason is shown to whoever asks, so it is of a few fixed
    /// words: no address, user, database, vhost or file. What exactly is wrong belongs into the log of whoever reports
    /// it. A dependency that [`Readiness::new`] was not told of is added.
    pub fn set(&self, dependency: &'static str, state: Result<(), String>) {
        let mut all = self.lock();
        let known = all.iter().position(|reported| reported.name == dependency);
        let index = known.unwrap_or_else(|| {
            all.push(Reported { name: dependency, state: None });
            all.len() - 1
        });
        let up = |state: &Result<(), String>| state.is_ok();
        let changed = all[index].state.as_ref().map(up) != Some(up(&state));
        if matches!((&all[index].state, &state), (Some(Err(_)), Ok(()))) {
            self.reconnects.get_or_create(&Named { dependency }).inc();
        }
        let log = changed.then(|| state.clone());
        all[index].state = Some(state);
        drop(all);
        match log {
            Some(Ok(())) => tracing::info!(dependency, "a dependency is up"),
            Some(Err(reason)) => tracing::warn!(dependency, reason, "a dependency is down"),
            None => {}
        }
    }

    /// All dependencies as they stand now.
    #[must_use]
    pub fn snapshot(&self) -> ReadinessReport {
        let dependencies: Vec<_> = self.lock().iter().map(Dependency::from).collect();
        let ready = dependencies.iter().all(|dependency| dependency.status == DependencyStatus::Ok);
        let status = if ready { ReadinessStatus::Ready } else { ReadinessStatus::NotReady };
        ReadinessReport { status, dependencies }
    }

    /// How often each dependency was up again after it had been down; shared, and counting on.
    pub(crate) fn reconnects(&self) -> Family<Named, Counter> {
        self.reconnects.clone()
    }

    /// A panic of another holder leaves nothing half done in here, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Vec<Reported>> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Reported> for Dependency {
    fn from(Reported { name, state }: &Reported) -> Self {
        let (status, detail) = match state {
            None => (DependencyStatus::Down, Some("not reached yet".to_owned())),
            Some(Ok(())) => (DependencyStatus::Ok, None),
            Some(Err(reason)) => (DependencyStatus::Down, Some(reason.clone())),
        };
        Self { name, status, detail }
    }
}

/// The answer of `GET /health/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReadinessReport {
    /// Ready where all dependencies are up.
    pub status: ReadinessStatus,
    /// One entry each.
    pub dependencies: Vec<Dependency>,
}

/// Whether a service can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub enum ReadinessStatus {
    /// It can.
    #[serde(rename = "ready")]
    Ready,
    /// It cannot; send requests to another replica.
    #[serde(rename = "not ready")]
    NotReady,
}

/// One thing that a service depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Dependency {
    /// Such as `database`.
    #[schema(value_type = String, example = "database")]
    pub name: &'static str,
    /// Up or down.
    pub status: DependencyStatus,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DependencyStatus {
    /// It answered when last used.
    Ok,
    /// It did not, or has not been used yet.
    Down,
}

#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

/// `/health` and `/health/ready`.
pub(super) fn routes(readiness: Readiness) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready)).with_state(readiness)
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Health)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether the service can do its work, with each thing that it depends on.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses(
    (status = 200, body = ReadinessReport), (status = 503, body = ReadinessReport),
))]
async fn ready(State(readiness): State<Readiness>) -> (StatusCode, Json<ReadinessReport>) {
    let report = readiness.snapshot();
    let status = match report.status {
        ReadinessStatus::Ready => StatusCode::OK,
        ReadinessStatus::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::testing;

    #[tokio::test]
    async fn a_service_is_ready_once_all_is_up() {
        let readiness = Readiness::new(["database", "broker"]);
        let router = routes(readiness.clone()).into();
        assert_eq!(testing::get(&router, "/health").await.2, json!({"status": "ok"}));

        let (status, _, body) = testing::get(&router, "/health/ready").await;
        assert_eq!(status, 503);
        assert_eq!(body["dependencies"][1], json!({"name": "broker", "status": "down", "detail": "not reached yet"}));

        readiness.set("database", Ok(()));
        readiness.set("broker", Err("connection refused".to_owned()));
        let (status, _, body) = testing::get(&router, "/health/ready").await;
        let broker = json!({"name": "broker", "status": "down", "detail": "connection refused"});
        let dependencies = json!([{"name": "database", "status": "ok"}, broker]);
        assert_eq!((status, body), (503, json!({"status": "not ready", "dependencies": dependencies})));

        readiness.set("broker", Ok(()));
        let (status, _, body) = testing::get(&router, "/health/ready").await;
        let dependencies = json!([{"name": "database", "status": "ok"}, {"name": "broker", "status": "ok"}]);
        assert_eq!((status, body), (200, json!({"status": "ready", "dependencies": dependencies})));

        readiness.set("gateway", Err("away".to_owned()));
        assert_eq!(readiness.snapshot().status, ReadinessStatus::NotReady);
        assert_eq!(readiness.snapshot().dependencies.len(), 3);
    }

    #[test]
    fn only_a_change_is_logged() {
        let (log, _guard) = testing::log();
        let readiness = Readiness::new(["broker"]);
        for state in [Err("a"), Err("b"), Ok(()), Ok(()), Err("c")] {
            readiness.set("broker", state.map_err(str::to_owned));
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("is down") && lines[0].contains("reason=\"a\""), "{lines:?}");
        assert!(lines[1].contains("is up"), "{lines:?}");
        assert!(lines[2].contains("reason=\"c\""), "{lines:?}");
    }
}
