use std::sync::Arc;

use axum::{extract::State, http::header, response::IntoResponse};
use prometheus_client::{encoding::text::encode, registry::Registry};
use utoipa_axum::{router::OpenApiRouter, routes};

use saga_message::ServiceSpec;
use saga_runtime::EngineMetrics;
use service_http::{HttpMetrics, Problem, access::Scope};

use super::Gauges;

/// All metrics of one service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    gauges: Gauges,
    http: HttpMetrics,
}

impl Metrics {
    /// Creates the metrics of a service; `own` registers those that only this service has.
    pub(crate) fn new(
        service: ServiceSpec,
        engine: &EngineMetrics,
        gauges: Gauges,
        own: impl FnOnce(&mut Registry),
    ) -> Self {
        let labels = [("service".into(), service.name.into())];
        let mut registry = Registry::with_prefix_and_labels(service.system.replace('-', "_"), labels.into_iter());
        let http = HttpMetrics::default();
        engine.register(&mut registry);
        gauges.register(&mut registry);
        http.register(&mut registry);
        own(&mut registry);
        Self { registry, gauges, http }
    }

    /// Returns the metrics of HTTP requests.
    pub(crate) fn http(&self) -> HttpMetrics {
        self.http.clone()
    }

    async fn text(&self) -> Result<String, std::fmt::Error> {
        self.gauges.read().await;
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Returns the route `/metrics`.
pub(crate) fn routes(metrics: Arc<Metrics>) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(scrape)).with_state(metrics)
}

/// The content type of OpenMetrics text; Prometheus reads it since version 2.5.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Get the service's metrics, for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "health", security(("bearer" = [Scope::MetricsRead])),
    responses((status = 200, body = String, content_type = "application/openmetrics-text")),
)]
async fn scrape(State(metrics): State<Arc<Metrics>>) -> Result<impl IntoResponse, Problem> {
    let text = metrics.text().await.map_err(|error| {
        tracing::error!(%error, "the metrics cannot be encoded");
        Problem::internal()
    })?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}
