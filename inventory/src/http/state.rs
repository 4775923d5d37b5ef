use service_host::service::ServiceContext;

use crate::participant::Inventory;

/// What the handlers need.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) context: ServiceContext<Inventory>,
}
