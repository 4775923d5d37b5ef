use std::{sync::Arc, time::Duration};

use service_host::service::ServiceContext;

use crate::{gateway::SimulatedGateway, participant::Payments, waiters::Waiters};

/// The state of the HTTP handlers.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) context: ServiceContext<Payments>,
    /// The gateway, if it is the simulated one.
    pub(crate) simulated: Option<Arc<SimulatedGateway>>,
    /// The requests that wait for the gateway.
    pub(crate) waiters: Arc<Waiters>,
    /// How long they wait.
    pub(crate) wait: Duration,
}
