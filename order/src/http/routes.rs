use std::{sync::Arc, time::Duration};

use axum::Router;
use service_host::service::ServiceContext;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{place, read, stream};
use crate::{participant::Orders, watch::Watchers};

/// What the handlers need.
#[derive(Debug)]
pub(super) struct AppState {
    pub(super) context: ServiceContext<Orders>,
    pub(super) watchers: Arc<Watchers>,
    /// How long a POST waits for the order's end, where the client does not say.
    pub(super) wait: Duration,
    /// How many unpublished events are too many for new orders.
    pub(super) max_backlog: u64,
}

/// The router of the order service.
pub(crate) fn routes(
    context: ServiceContext<Orders>,
    watchers: Arc<Watchers>,
    wait: Duration,
    max_backlog: u64,
) -> Router {
    let operations = context.operations.clone();
    let app = Arc::new(AppState { context, watchers, wait, max_backlog });
    let routes = OpenApiRouter::new()
        .routes(routes!(place::place, read::list))
        .routes(routes!(stream::stream))
        .routes(routes!(read::show))
        .routes(routes!(read::events))
        .routes(routes!(place::cancel))
        .with_state(app);
    operations.finish(
        "Order service",
        "Takes orders, collects what the other services say of them, and answers for their status.",
        routes,
    )
}
