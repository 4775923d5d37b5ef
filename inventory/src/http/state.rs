use service_host::service::ServiceContext;

use crate::participant::Inventory;

/// The state of the HTTP handlers.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) context: ServiceContext<Inventory>,
}
