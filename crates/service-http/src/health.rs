//! The endpoints `/health` and `/health/ready`.

use axum::{Json, extract::State, http::StatusCode};
use saga_runtime::Readiness;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The response of `GET /health/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReadinessReport {
    /// `ready` if all dependencies are up.
    pub status: ReadinessStatus,
    /// One entry for each dependency.
    pub dependencies: Vec<Dependency>,
}

/// Whether a service can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub enum ReadinessStatus {
    /// It can do its work.
    #[serde(rename = "ready")]
    Ready,
    /// It cannot do its work; send requests to another replica.
    #[serde(rename = "not ready")]
    NotReady,
}

/// Something that a service depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Dependency {
    /// Its name, such as `database`.
    #[schema(value_type = String, example = "database")]
    pub name: &'static str,
    /// Whether it is up or down.
    pub status: DependencyStatus,
    /// Why it is down; absent if it is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The status of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DependencyStatus {
    /// It worked when it was last used.
    Ok,
    /// It failed when it was last used, or has not been used yet.
    Down,
}

impl From<&Readiness> for ReadinessReport {
    fn from(readiness: &Readiness) -> Self {
        let dependencies: Vec<_> = readiness.snapshot().into_iter().map(Dependency::from).collect();
        let ready = dependencies.iter().all(|dependency| dependency.status == DependencyStatus::Ok);
        let status = if ready { ReadinessStatus::Ready } else { ReadinessStatus::NotReady };
        Self { status, dependencies }
    }
}

impl From<saga_runtime::Dependency> for Dependency {
    fn from(dependency: saga_runtime::Dependency) -> Self {
        let status = if dependency.down.is_none() { DependencyStatus::Ok } else { DependencyStatus::Down };
        Self { name: dependency.name, status, detail: dependency.down }
    }
}

#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

/// Returns the routes `/health` and `/health/ready`.
pub fn routes(readiness: Readiness) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready)).with_state(readiness)
}

/// Check whether the process is alive
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Health)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Check whether the service can do its work, and list its dependencies
#[utoipa::path(get, path = "/health/ready", tag = "health", security(()), responses(
    (status = 200, body = ReadinessReport), (status = 503, body = ReadinessReport),
))]
async fn ready(State(readiness): State<Readiness>) -> (StatusCode, Json<ReadinessReport>) {
    let report = ReadinessReport::from(&readiness);
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
    use crate::testing;

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

        readiness.set("gateway", Err("unavailable".to_owned()));
        assert_eq!(ReadinessReport::from(&readiness).status, ReadinessStatus::NotReady);
        assert_eq!(readiness.snapshot().len(), 3);
    }
}
