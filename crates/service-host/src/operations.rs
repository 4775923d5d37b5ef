use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::{
    admin::{self, AdminState},
    metrics,
    metrics::Metrics,
};
use saga_runtime::Readiness;
use service_http::{HttpMetrics, health};

/// What a service offers to those who operate it, beside its own routes.
#[derive(Debug, Clone)]
pub struct Operations {
    /// For `/health/ready`.
    pub readiness: Readiness,
    /// For `/admin`.
    pub admin: Option<AdminState>,
    /// For `/metrics`.
    pub metrics: Option<Arc<Metrics>>,
}

impl Operations {
    /// The service's own `routes`, ready to be served, with those of its operations: see [`service_http::finish`].
    pub fn finish(self, title: &str, description: &str, routes: OpenApiRouter) -> axum::Router {
        let metrics = self.http_metrics();
        service_http::finish(title, description, routes.merge(self.routes()), metrics)
    }

    fn routes(self) -> OpenApiRouter {
        let mut routes = health::routes(self.readiness);
        if let Some(metrics) = self.metrics {
            routes = routes.merge(metrics::routes(metrics));
        }
        if let Some(app) = self.admin {
            routes = routes.merge(admin::routes(app));
        }
        routes
    }

    /// Where requests are counted. Without metrics, nobody looks.
    fn http_metrics(&self) -> HttpMetrics {
        self.metrics.as_ref().map(|metrics| metrics.http()).unwrap_or_default()
    }
}
