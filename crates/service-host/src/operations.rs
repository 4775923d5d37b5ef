use std::sync::Arc;

use reqwest::Url;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    admin::{self, AdminState},
    index,
    metrics::{self, Metrics},
};
use saga_runtime::{Readiness, trace::Tracing};
use service_http::{AuditLog, BrowserPolicy, Edge, HttpMetrics, access::AccessControl, health};

/// The endpoints for operators, in addition to the service's own routes.
#[derive(Debug, Clone)]
pub struct Operations {
    /// For `/health/ready`.
    pub readiness: Readiness,
    /// For `/admin`.
    pub admin: Option<AdminState>,
    /// For `/metrics`.
    pub metrics: Option<Arc<Metrics>>,
    /// For the spans of requests.
    pub tracing: Tracing,
    /// Which requests of browsers are accepted.
    pub browsers: BrowserPolicy,
    /// Who may send which request.
    pub access: AccessControl,
    /// The address of the console, for `/`.
    pub console_url: Option<Url>,
}

impl Operations {
    /// Adds these endpoints to the service's own `routes` and completes the router: see [`service_http::finish`].
    pub fn finish(self, title: &str, description: &str, routes: OpenApiRouter) -> axum::Router {
        let edge = Edge {
            metrics: self.http_metrics(),
            tracing: self.tracing.clone(),
            browsers: self.browsers.clone(),
            access: self.access.clone(),
            audit: self.admin.as_ref().map(|admin| AuditLog::new(admin.database.clone())),
        };
        service_http::finish(title, description, routes.merge(self.routes(title)), edge)
    }

    fn routes(self, title: &str) -> OpenApiRouter {
        let mut routes = health::routes(self.readiness).merge(index::routes(title, self.console_url));
        if let Some(metrics) = self.metrics {
            routes = routes.merge(metrics::routes(metrics));
        }
        if let Some(app) = self.admin {
            routes = routes.merge(admin::routes(app));
        }
        routes
    }

    /// Returns the metrics that count requests. Without `/metrics`, they are not published.
    fn http_metrics(&self) -> HttpMetrics {
        self.metrics.as_ref().map(|metrics| metrics.http()).unwrap_or_default()
    }
}
