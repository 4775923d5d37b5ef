use std::sync::Arc;

use service_host::service::ServiceContext;

use crate::{gateway::SimulatedGateway, participant::Payments};

/// The state of the HTTP handlers.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) context: ServiceContext<Payments>,
    /// The gateway, if it is the simulated one.
    pub(crate) simulated: Option<Arc<SimulatedGateway>>,
}
