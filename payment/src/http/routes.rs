use std::sync::Arc;

use axum::Router;
use service_host::service::ServiceContext;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{authorize, read};
use crate::participant::Payments;

/// The router of the payment service.
pub(crate) fn routes(context: ServiceContext<Payments>) -> Router {
    let operations = context.operations.clone();
    let routes = OpenApiRouter::new()
        .routes(routes!(authorize::authorize))
        .routes(routes!(read::list))
        .routes(routes!(read::show))
        .with_state(Arc::new(context));
    operations.finish(
        "Payment service",
        "Authorizes payments at a gateway, and voids those of cancelled orders.",
        routes,
    )
}
