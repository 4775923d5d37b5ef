//! The first page: what is wrong, how the system is doing, and the newest orders, as they change.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures::StreamExt as _;
use maud::{PreEscaped, html};
use serde::Deserialize;

use super::Page;
use crate::{layout, live::Region, state::AppState};

/// The page.
pub(super) const PAGE: Page = Page { path: "/", title: "Now", in_navigation: true, routes };

fn routes() -> Router<Arc<AppState>> {
    Router::new().route(PAGE.path, get(show)).route("/now/events", get(events))
}

#[derive(Debug, Deserialize)]
struct View {
    /// Whether the page stands still.
    #[serde(default)]
    paused: bool,
}

async fn show(State(app): State<Arc<AppState>>, Query(View { paused }): Query<View>) -> Response {
    let Some(mut viewer) = app.live.look() else { return too_many() };
    let shown = viewer.first().await;
    let region = |region: Region| {
        let live = (!paused).then(|| region.name());
        html! { div sse-swap=[live] { (PreEscaped(&shown[region as usize])) } }
    };
    let content = html! {
        div hx-ext=[(!paused).then_some("sse")] sse-connect=[(!paused).then_some("/now/events")] {
            div.heading {
                h1 { "Now" }
                @if paused {
                    a.button.quiet href="/" { "Go on" }
                } @else {
                    a.button.quiet href="/?paused=true" { "Pause" }
                }
            }
            section aria-label="What is wrong" role="status" aria-live="polite" { (region(Region::Problems)) }
            section aria-label="Orders a second" { (region(Region::Rates)) }
            section.card aria-label="The newest orders" { (region(Region::Orders)) }
            section aria-label="The services" { h2 { "The services" } (region(Region::Map)) }
        }
    };
    layout::page(&app, PAGE.path, PAGE.title, content).into_response()
}

/// Sends each region that has changed, as HTML.
async fn events(State(app): State<Arc<AppState>>) -> Response {
    let Some(viewer) = app.live.look() else { return too_many() };
    let events =
        viewer.changes().map(|(region, html)| Ok::<_, Infallible>(Event::default().event(region.name()).data(html)));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

fn too_many() -> Response {
    let text = "Too many pages are open that show what happens now. Close some, and load this one again.";
    let response = layout::error(StatusCode::SERVICE_UNAVAILABLE, "Too many look", text);
    ([(header::RETRY_AFTER, "5")], response).into_response()
}
