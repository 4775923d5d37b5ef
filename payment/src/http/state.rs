use std::{sync::Arc, time::Duration};

use service_host::service::ServiceContext;

use crate::{
    gateway::{PaymentGateway, SimulatedGateway, stripe::WebhookSecret},
    participant::Payments,
    waiters::Waiters,
};

/// The state of the HTTP handlers.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) context: ServiceContext<Payments>,
    /// The payment gateway.
    pub(crate) gateway: Arc<dyn PaymentGateway>,
    /// The gateway, if it is the simulated one.
    pub(crate) simulated: Option<Arc<SimulatedGateway>>,
    /// What Stripe signs its webhooks with, if any are received.
    pub(crate) webhook_secret: Option<WebhookSecret>,
    /// The requests that wait for the gateway.
    pub(crate) waiters: Arc<Waiters>,
    /// How long they wait.
    pub(crate) wait: Duration,
}
