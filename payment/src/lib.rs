//! The payment service: authorizes the amount of an order at a gateway, and voids it when the order is cancelled.
//!
//! It guarantees that an order is charged at most once, whatever arrives however often; that a cancelled order ends
//! with nothing charged, even if the cancellation and the authorization cross; and that a slow or unavailable gateway
//! delays only the payments that wait for it. A REST authorization belongs to no saga; with an idempotency key it is
//! charged at most once, too.

mod commands;
pub mod domain;
pub mod gateway;
mod http;
mod metrics;
pub mod migration;
mod participant;
mod settings;
pub mod store;
mod waiters;

use std::sync::Arc;

use anyhow::Result;
use futures::{FutureExt as _, future::BoxFuture};
use service_host::{
    Listeners,
    service::{RunningService, ServiceContext, ServiceDeps},
};

use crate::{gateway::PaymentGateway, http::AppState, participant::Payments, settings::Gateway, waiters::Waiters};
pub use crate::{
    http::PaymentView,
    migration::Migrator,
    settings::{GatewayKind, GatewaySettings, PaymentSettings, StripeAccount, StripeSettings},
};

/// Starts the service with the gateway of its settings. It accepts requests on `listeners` when this returns.
///
/// # Errors
/// If the database cannot be read, or the settings of the gateway cannot be used.
#[must_use]
pub fn start(
    settings: &PaymentSettings,
    deps: ServiceDeps,
    listeners: Listeners,
) -> BoxFuture<'static, Result<RunningService>> {
    match settings.gateway() {
        Ok(gateway) => run(gateway, settings, deps, listeners),
        Err(error) => std::future::ready(Err(error)).boxed(),
    }
}

/// Starts the service with another gateway. It accepts requests on `listeners` when this returns.
///
/// # Errors
/// If the database cannot be read.
#[must_use]
pub fn start_with(
    gateway: Arc<dyn PaymentGateway>,
    settings: &PaymentSettings,
    deps: ServiceDeps,
    listeners: Listeners,
) -> BoxFuture<'static, Result<RunningService>> {
    run(Gateway { gateway, simulated: None, webhook_secret: None }, settings, deps, listeners)
}

fn run(
    Gateway { gateway, simulated, webhook_secret }: Gateway,
    settings: &PaymentSettings,
    deps: ServiceDeps,
    listeners: Listeners,
) -> BoxFuture<'static, Result<RunningService>> {
    let waiters = Arc::new(Waiters::default());
    let payments = Payments::new(Arc::clone(&gateway), settings.gateway.gateway_timeout, Arc::clone(&waiters));
    let (report_to, wait) = (payments.reporter(), settings.gateway.gateway_timeout);
    let routes = move |context: ServiceContext<Payments>| {
        report_to(context.operations.readiness.clone());
        http::routes(AppState { context, gateway, simulated, webhook_secret, waiters, wait })
    };
    // Boxed, so that the service is compiled here and not again in each program that starts it.
    RunningService::start(payments, deps, listeners, routes).boxed()
}
