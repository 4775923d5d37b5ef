use std::{sync::Arc, time::Duration};

use service_host::service::ServiceContext;

use crate::{participant::Orders, watch::Watchers};

/// What the handlers need.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) context: ServiceContext<Orders>,
    pub(crate) watchers: Arc<Watchers>,
    /// How long a POST waits for the order's end, unless the client says.
    pub(crate) wait: Duration,
    /// With more unpublished events than this, no new orders are taken.
    pub(crate) max_backlog: u64,
}
