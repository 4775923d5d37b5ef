//! One dead letter.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use service_host::admin::{DeadLetterSummaryView, DeadLetterView};
use shared_events::Service;

use super::{
    PAGE, button, failed, fetch, gone, named,
    text::{body, visible},
};
use crate::{layout, state::AppState, times::moment};

#[derive(Debug, Deserialize)]
pub(super) struct Arrival {
    /// `failed-again` after a redrive.
    done: Option<String>,
}

pub(super) async fn show(
    State(app): State<Arc<AppState>>,
    Path(path): Path<(String, String)>,
    Query(Arrival { done }): Query<Arrival>,
) -> Response {
    let Some((client, id)) = named(&app, &path) else { return gone(&app) };
    let letter = match fetch::letter(client, id).await {
        Ok(Some(letter)) => letter,
        Ok(None) => return gone(&app),
        Err(error) => return failed(&app, client, &error, PAGE.path),
    };
    let content = html! {
        h1 { "Dead letter of the " (client.service()) " service" }
        @if done.as_deref() == Some("failed-again") {
            p.problem role="alert" tabindex="-1" autofocus {
                "It was redriven and cannot be handled: " (visible(&letter.summary.reason))
            }
        }
        (render(client.service(), &letter))
        p { a href=(PAGE.path) { "All dead letters" } }
    };
    layout::page(&app, PAGE.path, "Dead letter", content).into_response()
}

fn render(service: Service, letter: &DeadLetterView) -> Markup {
    let summary = &letter.summary;
    let path = format!("/dead-letters/{service}/{}", summary.message_id);
    html! {
        section.card aria-label="The dead letter" {
            dl {
                dt { "Reason" } dd { (visible(&summary.reason)) }
                dt { "Event" } dd { (visible(summary.event.as_deref().unwrap_or("not known"))) }
                dt { "Order" } dd { (order(summary)) }
                dt { "Message" } dd.id { (summary.message_id) }
                dt { "Attempts" } dd { (summary.attempts) }
                dt { "Since" } dd { (moment(summary.dead_lettered_at)) " UTC" }
                dt { "Size" } dd { (summary.size) " bytes" }
            }
            div.actions {
                (button(&format!("{path}/redrive"), "", "Redrive"))
                a.button.danger href=(format!("{path}/discard")) { "Discard" }
                a.button.quiet href=(format!("{path}/download")) { "Download as JSON" }
            }
        }
        section.card aria-labelledby="body" {
            h2 #body { "Body" }
            (body(letter))
        }
    }
}

/// Returns a link to the order that the event is about, if it can be read.
pub(super) fn order(letter: &DeadLetterSummaryView) -> Markup {
    let id = letter.subject.as_deref().and_then(|subject| subject.parse::<i64>().ok());
    html! {
        @match (id, &letter.subject) {
            (Some(id), _) => { a href=(format!("/orders/{id}")) { "Order " (id) } }
            (None, Some(subject)) => { (visible(subject)) }
            (None, None) => { "not known" }
        }
    }
}
