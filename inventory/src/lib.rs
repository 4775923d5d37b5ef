//! The inventory service: it holds the stock of an order, all lines or nothing, sells it when the order is confirmed and
//! gives it back when the order is undone. Clients set the stock, and may hold some of it themselves.
//!
//! It guarantees that for every item `received = available + held + sold`, always, and that no number is ever negative;
//! that a saga holds its stock once at most, whatever arrives in whatever order; and that nothing is held for an order
//! which was undone before it was heard of. It does not know what became of an order: of one for which stock is held
//! too long, it asks.

mod commands;
pub mod domain;
mod http;
pub mod migration;
mod participant;
mod settings;
pub mod store;

use anyhow::Result;
use service_host::service::{RunningService, ServiceDeps};
use tokio::net::TcpListener;

use crate::{http::AppState, participant::Inventory};
pub use crate::{http::ItemView, migration::Migrator, settings::InventorySettings};

/// Starts the service: it answers on `listener` from the moment that this returns.
///
/// # Errors
/// If the database cannot be read.
pub async fn start(settings: &InventorySettings, deps: ServiceDeps, listener: TcpListener) -> Result<RunningService> {
    RunningService::start(Inventory::new(settings.hold_policy()), deps, listener, |context| {
        http::routes(AppState { context })
    })
    .await
}
