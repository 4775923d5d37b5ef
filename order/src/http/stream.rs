use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt as _, stream};
use service_http::access::{Scope, Session};
use tokio::time::timeout;

use super::{state::AppState, wire::OrderView};
use crate::{
    domain::Order,
    watch::{Change, Position},
};

/// How often a client that gets no event learns where it is in the stream. Without it, a client for which nothing
/// happened while others were busy could not resume.
const POSITION_INTERVAL: Duration = Duration::from_secs(10);

/// Watch all orders
///
/// Server-sent events: one `order` event for each change of an order that the client may see, from now on. With
/// `Last-Event-ID`, which browsers send when they reconnect, from that event on. A client that is too slow, or that
/// cannot resume there because the changes are no longer kept or the replica is another one, gets a `missed` event with
/// the number of changes that it missed, or 0 if that is unknown, as it is for the key of an owner; it should read the
/// orders again. The stream ends within some seconds after its key was revoked or has expired.
#[utoipa::path(
    get, path = "/api/v1/orders/stream", tag = "orders", security(("bearer" = [Scope::OrdersRead])),
    params(("Last-Event-ID" = Option<String>, Header, description = "the `id` that the client received last")),
    responses((status = 200, description = "a stream of `order` events", content_type = "text/event-stream", body = OrderView)),
)]
pub(super) async fn stream(
    State(app): State<Arc<AppState>>,
    session: Session,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").map(|id| Position::parse(id.to_str().unwrap_or_default()));
    let changes = app.watchers.watch(last, session.caller().owner().cloned());
    // An id alone is no event for the client, but it can resume from here even if it never gets one.
    let opening = last.is_none().then(|| Event::default().id(changes.position().to_string()));
    let stopping = app.context.stopping.clone();
    let events = stream::unfold((changes, stopping), |(mut changes, stopping)| async move {
        let change = stopping.run_until_cancelled(timeout(POSITION_INTERVAL, changes.next())).await?;
        let event = change.map_or_else(|_| Event::default(), |change| event(&change));
        Some((event.id(changes.position().to_string()), (changes, stopping)))
    });
    let events = stream::iter(opening).chain(events).take_until(session.ended());
    Sse::new(events.map(Ok)).keep_alive(KeepAlive::default())
}

fn event(change: &Change) -> Event {
    match change {
        Change::Order(order) => {
            let json = |order: &Order| serde_json::to_string(&OrderView::from(order)).unwrap_or_default();
            Event::default().event("order").data(order.text(json))
        }
        Change::Missed(missed) => Event::default().event("missed").data(missed.unwrap_or_default().to_string()),
    }
}
