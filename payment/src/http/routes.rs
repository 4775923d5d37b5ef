use std::sync::Arc;

use axum::Router;
use shared_events::asyncapi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{commands, gateway, queries, state::AppState, webhooks};

/// Returns the router of the payment service.
pub(crate) fn routes(app: AppState) -> Router {
    let operations = app.context.operations.clone();
    let routes = OpenApiRouter::new()
        .routes(routes!(commands::authorize))
        .routes(routes!(queries::list))
        .routes(routes!(queries::show))
        .routes(routes!(gateway::show, gateway::set))
        .routes(routes!(webhooks::stripe))
        .merge(service_http::document(
            "/asyncapi.json",
            "Get the AsyncAPI document of the events",
            asyncapi::document().to_string(),
        ))
        .with_state(Arc::new(app));
    operations.finish(
        "Payment service",
        "Authorizes payments at a gateway, and voids those of cancelled orders.",
        routes,
    )
}
