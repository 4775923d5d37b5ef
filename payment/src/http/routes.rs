use std::sync::Arc;

use axum::Router;
use shared_events::asyncapi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{commands, gateway, queries, state::AppState};

/// Returns the router of the payment service.
pub(crate) fn routes(app: AppState) -> Router {
    let operations = app.context.operations.clone();
    let app = Arc::new(app);
    let admin = OpenApiRouter::new().routes(routes!(gateway::show, gateway::set)).with_state(Arc::clone(&app));
    let routes = OpenApiRouter::new()
        .routes(routes!(commands::authorize))
        .routes(routes!(queries::list))
        .routes(routes!(queries::show))
        .route("/asyncapi.json", service_http::document(asyncapi::document().to_string()))
        .with_state(app)
        .merge(operations.behind_token(admin));
    operations.finish(
        "Payment service",
        "Authorizes payments at a gateway, and voids those of cancelled orders.",
        routes,
    )
}
