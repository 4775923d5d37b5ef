use std::sync::Arc;

use axum::Router;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{commands, queries, state::AppState};

/// Returns the router of the payment service.
pub(crate) fn routes(app: AppState) -> Router {
    let operations = app.context.operations.clone();
    let routes = OpenApiRouter::new()
        .routes(routes!(commands::authorize))
        .routes(routes!(queries::list))
        .routes(routes!(queries::show))
        .with_state(Arc::new(app));
    operations.finish(
        "Payment service",
        "Authorizes payments at a gateway, and voids those of cancelled orders.",
        routes,
    )
}
