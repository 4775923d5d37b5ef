//! The order service: takes orders, collects the facts that the other services publish about them, and reports their
//! status, which is a pure function of those facts ([`domain::Facts::status`]).
//!
//! It guarantees that an order that was answered (`200` or `202`) is durable and ends exactly once, whatever arrives in
//! whatever order; that the same idempotency key never creates two orders; and that an order that has not ended at its
//! deadline is cancelled. It holds no stock and moves no money; the other services do.

mod commands;
pub mod domain;
mod http;
mod metrics;
pub mod migration;
mod participant;
mod replicas;
mod settings;
pub mod store;
mod timeline;
mod watch;

use std::sync::Arc;

use anyhow::Result;
use futures::{FutureExt as _, future::BoxFuture};
use service_host::{
    Listeners,
    service::{RunningService, ServiceContext, ServiceDeps},
};

use crate::{http::AppState, participant::Orders, watch::Watchers};
pub use crate::{
    http::{OrderView, TimelineEntry},
    migration::Migrator,
    settings::OrderSettings,
};

/// Starts the service. It accepts requests on `listeners` when this returns.
///
/// # Errors
/// If the database cannot be read.
#[must_use]
pub fn start(
    settings: &OrderSettings,
    deps: ServiceDeps,
    listeners: Listeners,
) -> BoxFuture<'static, Result<RunningService>> {
    let watchers = Watchers::new(deps.database.replica_bus(), settings.stream_history);
    let orders = Orders::new(settings.cancel_policy(), watchers.clone());
    let metrics = orders.metrics().clone();
    let (wait, max_backlog) = (settings.order_wait, deps.work.max_backlog);
    let routes = move |context: ServiceContext<Orders>| {
        context.spawn_background(replicas::listen(context.database.clone(), Arc::clone(&watchers)));
        context.spawn_background(metrics.watch_oldest(context.database.clone()));
        http::routes(AppState { context, watchers, wait, max_backlog })
    };
    // Boxed, so that the service is compiled here and not again in each program that starts it.
    RunningService::start(orders, deps, listeners, routes).boxed()
}
