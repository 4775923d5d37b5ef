//! The first page: what is wrong, and how the system is doing.

use std::sync::Arc;

use axum::{Router, extract::State, routing::get};
use futures::future::join_all;
use maud::{Markup, html};
use reqwest::Method;
use serde::Deserialize;
use shared_events::Service;

use super::Page;
use crate::{
    client::{ClientError, ServiceClient},
    layout,
    state::AppState,
};

/// The page.
pub(super) const PAGE: Page = Page { path: "/", title: "Now", in_navigation: true, routes };

fn routes() -> Router<Arc<AppState>> {
    Router::new().route(PAGE.path, get(show))
}

#[derive(Debug, Deserialize)]
struct Readiness {
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    status: String,
    detail: Option<String>,
}

async fn show(State(app): State<Arc<AppState>>) -> Markup {
    let reports = join_all(Service::ALL.map(|service| readiness(app.services.of(service)))).await;
    let content = html! {
        h1 { "Now" }
        @for (service, report) in Service::ALL.into_iter().zip(&reports) {
            section {
                h2 { (service) }
                @match report {
                    Err(error) => { (layout::failure(error)) }
                    Ok(report) => { (dependencies(report)) }
                }
            }
        }
    };
    layout::page(&app, PAGE.path, PAGE.title, content)
}

fn dependencies(report: &Readiness) -> Markup {
    html! {
        ul {
            @for Dependency { name, status, detail } in &report.dependencies {
                li.problem[status != "ok"] { (name) ": " (status) @if let Some(detail) = detail { " (" (detail) ")" } }
            }
        }
    }
}

/// Returns what `/health/ready` says. A service that is not ready says so with 503.
async fn readiness(service: &ServiceClient) -> Result<Readiness, ClientError> {
    let response = service.answer(service.request(Method::GET, "/health/ready", &[])).await?;

    service.body(response).await
}
