use service_host::service::ServiceContext;

use crate::participant::Payments;

/// The state of the HTTP handlers.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) context: ServiceContext<Payments>,
}
