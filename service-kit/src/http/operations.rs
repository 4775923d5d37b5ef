use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use super::{Readiness, health};
use crate::{
    admin::{self, AdminDesk},
    metrics::{self, HttpMetrics, Metrics},
};

/// What a service offers to those who operate it, beside its own routes.
#[derive(Debug, Clone)]
pub struct Operations {
    /// For `/health/ready`.
    pub readiness: Readiness,
    /// For `/admin`.
    pub admin: Option<AdminDesk>,
    /// For `/metrics`.
    pub metrics: Option<Arc<Metrics>>,
}

impl Operations {
    pub(super) fn routes(self) -> OpenApiRouter {
        let mut routes = health::routes(self.readiness);
        if let Some(metrics) = self.metrics {
            routes = routes.merge(metrics::routes(metrics));
        }
        if let Some(desk) = self.admin {
            routes = routes.merge(admin::routes(desk));
        }
        routes
    }

    /// Where requests are counted. Without metrics, nobody looks.
    pub(super) fn http_metrics(&self) -> HttpMetrics {
        self.metrics.as_ref().map(|metrics| metrics.http()).unwrap_or_default()
    }
}

/// Health alone.
impl From<Readiness> for Operations {
    fn from(readiness: Readiness) -> Self {
        Self { readiness, admin: None, metrics: None }
    }
}
