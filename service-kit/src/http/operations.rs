use utoipa_axum::router::OpenApiRouter;

use super::{Readiness, health};
use crate::admin::{self, AdminDesk};

/// What a service offers to those who operate it, beside its own routes.
#[derive(Debug, Clone)]
pub struct Operations {
    /// For `/health/ready`.
    pub readiness: Readiness,
    /// For `/admin`.
    pub admin: Option<AdminDesk>,
}

impl Operations {
    pub(super) fn routes(self) -> OpenApiRouter {
        let routes = health::routes(self.readiness);
        match self.admin {
            Some(desk) => routes.merge(admin::routes(desk)),
            None => routes,
        }
    }
}

/// Health alone.
impl From<Readiness> for Operations {
    fn from(readiness: Readiness) -> Self {
        Self { readiness, admin: None }
    }
}
