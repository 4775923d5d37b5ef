//! The dead letters of all services, in groups of the same reason: look at them, redrive them, discard them.

mod discard;
mod download;
mod fetch;
mod group;
mod letter;
mod list;
mod redrive;
mod redriving;
mod text;

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse as _, Response, Result},
    routing::{get, post},
};
use maud::{Markup, html};
use shared_events::Service;
use uuid::Uuid;

use self::group::Group;
use super::Page;
use crate::{
    client::{ClientError, ServiceClient},
    layout,
    state::AppState,
};

pub(crate) use redriving::Redriving;

/// The page.
pub(super) const PAGE: Page = Page { path: "/dead-letters", title: "Dead letters", in_navigation: true, routes };

fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route(PAGE.path, get(list::show))
        .route("/dead-letters/run", get(redrive::progress))
        .route("/dead-letters/run/stop", post(redrive::stop))
        .route("/dead-letters/{service}/redrive", post(redrive::all))
        .route("/dead-letters/{service}/download", get(download::all))
        .route("/dead-letters/{service}/groups/{group}", get(list::group))
        .route("/dead-letters/{service}/groups/{group}/redrive", post(redrive::group))
        .route("/dead-letters/{service}/groups/{group}/download", get(download::group))
        .route("/dead-letters/{service}/{id}", get(letter::show))
        .route("/dead-letters/{service}/{id}/redrive", post(redrive::one))
        .route("/dead-letters/{service}/{id}/discard", get(discard::ask).post(discard::discard))
        .route("/dead-letters/{service}/{id}/download", get(download::one))
}

/// Returns the client of the service of this name.
fn client<'a>(app: &'a AppState, name: &str) -> Option<&'a ServiceClient> {
    let service = Service::ALL.into_iter().find(|service| service.name() == name)?;
    Some(app.services.of(service))
}

/// Returns the client, and the id of the dead letter, that a path names.
fn named<'a>(app: &'a AppState, (service, id): &(String, String)) -> Option<(&'a ServiceClient, Uuid)> {
    Some((client(app, service)?, id.parse().ok()?))
}

/// Returns the group that a path names, with the client of its service; or the page that says why there is none.
async fn named_group<'a>(app: &'a AppState, (service, group): &(String, String)) -> Result<(&'a ServiceClient, Group)> {
    let client = client(app, service).ok_or_else(|| gone(app))?;
    match fetch::group(client, group).await {
        Ok(Some(group)) => Ok((client, group)),
        Ok(None) => Err(gone(app).into()),
        Err(error) => Err(failed(app, client, &error, PAGE.path).into()),
    }
}

/// Renders a form with one button, which is sent without loading the whole page again.
fn button(action: &str, class: &str, text: &str) -> Markup {
    form(action, &html! { button class=(class) type="submit" { (text) } })
}

/// Renders a form that is sent without loading the whole page again.
fn form(action: &str, content: &Markup) -> Markup {
    html! {
        form.actions method="post" action=(action) hx-boost="true" hx-target="#main" hx-select="#main"
            hx-swap="outerHTML show:window:top" { (content) }
    }
}

/// Returns what to show if a service did not do what it was asked for.
fn failure(client: &ServiceClient, error: &ClientError) -> Markup {
    html! {
        (layout::failure(error))
        @if !client.has_admin_token() {
            p.hint { "This console has no admin token: start it with the --admin-token of the services." }
        }
    }
}

/// Returns the page for an action that failed.
fn failed(app: &AppState, client: &ServiceClient, error: &ClientError, back: &str) -> Response {
    let content = html! { h1 { "Dead letters" } (failure(client, error)) p { a href=(back) { "Back" } } };
    answer(app, StatusCode::SERVICE_UNAVAILABLE, content)
}

/// Returns the page if there is no dead letter, or no group of them, under this address.
fn gone(app: &AppState) -> Response {
    let content = html! {
        h1 { "Not a dead letter" }
        p.note role="status" { "There is nothing here any more: it was handled or discarded. Nothing was changed." }
        p { a href=(PAGE.path) { "All dead letters" } }
    };
    answer(app, StatusCode::NOT_FOUND, content)
}

fn answer(app: &AppState, status: StatusCode, content: Markup) -> Response {
    // Without this, the address of a form would stand in the history of the browser.
    let not_in_history = [("hx-push-url", "false")];
    (status, not_in_history, layout::page(app, PAGE.path, PAGE.title, content)).into_response()
}
