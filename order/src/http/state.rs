use std::{sync::Arc, time::Duration};

use service_host::service::ServiceContext;

use crate::{participant::Orders, watch::Watchers};

/// The state of the HTTP handlers.
#[derive(Debug)]
pub(crate) struct AppState {
    pub(crate) context: ServiceContext<Orders>,
    pub(crate) watchers: Arc<Watchers>,
    /// How long a POST waits for the order's end, unless its `Prefer` header sets another time.
    pub(crate) wait: Duration,
    /// New orders are refused while more messages than this are unpublished.
    pub(crate) max_backlog: u64,
}
