//! The inventory service: holds the stock of an order, all lines or none, sells it when the order is confirmed, and
//! releases it when the order is cancelled. Clients set the stock, and can reserve some of it themselves.
//!
//! It guarantees that for every item `received = available + held + sold`, always, and that no number is ever negative;
//! that a saga holds its stock at most once, whatever arrives in whatever order; and that nothing is held for an order
//! whose cancellation arrived first. It does not know the status of an order: if it holds stock for an order for too
//! long, it publishes `StockHoldOverdue`, and the order service answers with its last decision.

mod commands;
pub mod domain;
mod http;
pub mod migration;
mod participant;
mod settings;
pub mod store;

use anyhow::Result;
use futures::{FutureExt as _, future::BoxFuture};
use service_host::{
    Listeners,
    service::{RunningService, ServiceDeps},
};

use crate::{http::AppState, participant::Inventory};
pub use crate::{
    http::{ItemView, ReservationView},
    migration::Migrator,
    settings::InventorySettings,
};

/// Starts the service. It accepts requests on `listeners` when this returns.
///
/// # Errors
/// If the database cannot be read.
#[must_use]
pub fn start(
    settings: &InventorySettings,
    deps: ServiceDeps,
    listeners: Listeners,
) -> BoxFuture<'static, Result<RunningService>> {
    let inventory =
        Inventory::new(settings.hold_policy(), settings.reservation_expiry, settings.idempotency_key_lifetime);
    // Boxed, so that the service is compiled here and not again in each program that starts it.
    RunningService::start(inventory, deps, listeners, |context| http::routes(AppState { context })).boxed()
}
