use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use service_http::{ApiJson, FieldErrors, Problem, access::Scope};
use utoipa::ToSchema;

use super::state::AppState;
use crate::gateway::{Conditions, FailureRate, SimulatedGateway};

/// The longest latency that can be set, in milliseconds.
const MAX_LATENCY_MS: u64 = 60_000;

/// How the simulated gateway behaves.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct GatewayConditions {
    /// Its response time in milliseconds.
    #[schema(example = 0, minimum = 0, maximum = 60_000)]
    latency_ms: u64,
    /// The share of calls that fail: 0 for none, 1 for all.
    #[schema(example = 0, minimum = 0, maximum = 1)]
    failure_rate: f64,
}

impl GatewayConditions {
    fn parse(self) -> Result<Conditions, Problem> {
        let mut errors = FieldErrors::new();
        let late = if self.latency_ms > MAX_LATENCY_MS { Err("must be at most 60000") } else { Ok(self.latency_ms) };
        let latency = errors.check("latency_ms", late).map(Duration::from_millis);
        let failure_rate = errors.check("failure_rate", FailureRate::try_from(self.failure_rate));
        errors.into_result()?;
        let (Some(latency), Some(failure_rate)) = (latency, failure_rate) else { return Err(Problem::internal()) };
        Ok(Conditions { latency, failure_rate })
    }
}

impl From<Conditions> for GatewayConditions {
    fn from(conditions: Conditions) -> Self {
        let latency_ms = u64::try_from(conditions.latency.as_millis()).unwrap_or(u64::MAX);
        Self { latency_ms, failure_rate: conditions.failure_rate.share() }
    }
}

/// Show how the simulated gateway behaves
#[utoipa::path(
    get, operation_id = "show_gateway", path = "/admin/gateway",
    tag = "admin", security(("bearer" = [Scope::Admin])),
    responses(
        (status = 200, body = GatewayConditions),
        (status = 404, description = "the admin endpoints are off"),
        (status = 409, description = "the gateway is not the simulated one"),
    ),
)]
pub(super) async fn show(State(app): State<Arc<AppState>>) -> Result<Json<GatewayConditions>, Problem> {
    Ok(Json(simulated(&app)?.conditions().into()))
}

/// Set how the simulated gateway behaves
///
/// For the calls that begin from now on, at this replica, until it stops.
#[utoipa::path(
    put, path = "/admin/gateway", tag = "admin", security(("bearer" = [Scope::Admin])),
    request_body = GatewayConditions,
    responses(
        (status = 200, body = GatewayConditions, description = "as it is set now"),
        (status = 404, description = "the admin endpoints are off"),
        (status = 409, description = "the gateway is not the simulated one"),
    ),
)]
pub(super) async fn set(
    State(app): State<Arc<AppState>>,
    ApiJson(request): ApiJson<GatewayConditions>,
) -> Result<Json<GatewayConditions>, Problem> {
    let gateway = simulated(&app)?;
    let conditions = request.parse()?;
    gateway.set_conditions(conditions);
    tracing::warn!(
        latency = %humantime::format_duration(conditions.latency), failure_rate = conditions.failure_rate.share(),
        "the conditions of the simulated gateway were set"
    );
    Ok(Json(conditions.into()))
}

fn simulated(app: &AppState) -> Result<&SimulatedGateway, Problem> {
    app.simulated.as_deref().ok_or_else(|| Problem::conflict("the gateway is not the simulated one"))
}
