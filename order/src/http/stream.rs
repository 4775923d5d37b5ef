use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, stream};
use tokio::sync::broadcast::error::RecvError;

use super::{state::AppState, wire::OrderView};

/// Watch all orders
///
/// Server-sent events: one `order` event for each change of an order from now on. A client that is too slow gets a
/// `missed` event with the number of changes that it missed; it should read the orders again.
#[utoipa::path(
    get, path = "/api/v1/orders/stream", tag = "orders",
    responses((status = 200, description = "a stream of `order` events", content_type = "text/event-stream", body = OrderView)),
)]
pub(super) async fn stream(State(app): State<Arc<AppState>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = app.watchers.watch();
    let stopping = app.context.stopping.clone();
    let events = stream::unfold((changes, stopping), |(mut changes, stopping)| async move {
        let event = match stopping.run_until_cancelled(changes.recv()).await? {
            Ok(order) => Event::default()
                .event("order")
                .id(order.details.order_id.to_string())
                .json_data(OrderView::from(&order))
                .unwrap_or_default(),
            Err(RecvError::Lagged(missed)) => Event::default().event("missed").data(missed.to_string()),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), (changes, stopping)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}
