//! Discarding a dead letter, in two steps.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use maud::html;

use super::{PAGE, button, failed, fetch, gone, letter, named, text::visible};
use crate::{layout, state::AppState};

/// Asks whether it is to be discarded.
pub(super) async fn ask(State(app): State<Arc<AppState>>, Path(path): Path<(String, String)>) -> Response {
    let Some((client, id)) = named(&app, &path) else { return gone(&app) };
    let back = format!("/dead-letters/{}/{id}", client.service());
    let letter = match fetch::letter(client, id).await {
        Ok(Some(letter)) => letter.summary,
        Ok(None) => return gone(&app),
        Err(error) => return failed(&app, client, &error, &back),
    };
    let content = html! {
        h1 { "Discard a dead letter" }
        section.card {
            p {
                strong { (visible(letter.event.as_deref().unwrap_or("Not a known event"))) }
                " of the " (client.service()) " service, " span.id { (id) }
            }
            p { (visible(&letter.reason)) }
            p { (letter::order(&letter)) }
            p.problem {
                "It is deleted and will never be handled. An order that waits for it stays as it is until its deadline, \
                 and is cancelled then. Download it first if you may need it."
            }
            div.actions {
                (button(&format!("{back}/discard"), "danger", "Discard it"))
                a.button.quiet href=(back) { "Keep it" }
                a href=(format!("{back}/download")) { "Download" }
            }
        }
    };
    layout::page(&app, PAGE.path, "Discard a dead letter", content).into_response()
}

/// Discards it.
pub(super) async fn discard(State(app): State<Arc<AppState>>, Path(path): Path<(String, String)>) -> Response {
    let Some((client, id)) = named(&app, &path) else { return gone(&app) };
    match fetch::discard(client, id).await {
        Ok(Some(())) => Redirect::to(&format!("{}?done=discarded&id={id}", PAGE.path)).into_response(),
        Ok(None) => gone(&app),
        Err(error) => failed(&app, client, &error, &format!("/dead-letters/{}/{id}", client.service())),
    }
}
