use std::{sync::Arc, time::Duration};

use service_host::service::ServiceContext;
use service_http::{Problem, access::Owner};
use shared_events::OrderId;

use crate::{domain::Order, participant::Orders, store, watch::Watchers};

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

impl AppState {
    /// Reads the order with this id; with `owner`, only if it belongs to this owner.
    ///
    /// # Errors
    /// If there is no such order (404), it cannot be read, or the database fails.
    pub(super) async fn order(&self, id: OrderId, owner: Option<&Owner>) -> Result<Order, Problem> {
        let order = store::by_id(&self.context.database.reader(), id, owner.map(Owner::as_str)).await?;
        order.ok_or_else(|| Problem::not_found("order not found"))
    }
}
