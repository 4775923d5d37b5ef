//! Redriving one dead letter, some of a group, or all of a service.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Redirect, Response, Result},
};
use futures::{StreamExt as _, stream};
use maud::{Markup, html};
use serde::Deserialize;
use service_host::admin::RedriveOutcome;
use uuid::Uuid;

use super::{PAGE, answer, client, failed, fetch, gone, named, named_group, redriving::Redriving, text::visible};
use crate::{client::ServiceClient, runs::Progress, state::AppState, times::moment};

/// How many are redriven at the same time.
const AT_ONCE: usize = 8;

/// Redrives one, and leads to what became of it.
pub(super) async fn one(State(app): State<Arc<AppState>>, Path(path): Path<(String, String)>) -> Response {
    let Some((client, id)) = named(&app, &path) else { return gone(&app) };
    let letter = format!("/dead-letters/{}/{id}", client.service());
    match fetch::redrive(client, id).await {
        Ok(Some(redriven)) if redriven.outcome == RedriveOutcome::Handled => {
            Redirect::to(&format!("{}?done=handled&id={id}", PAGE.path)).into_response()
        }
        Ok(Some(_)) => Redirect::to(&format!("{letter}?done=failed-again")).into_response(),
        Ok(None) => gone(&app),
        Err(error) => failed(&app, client, &error, &letter),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct FirstOf {
    first: String,
}

/// Redrives the first of a group, oldest first.
pub(super) async fn group(
    State(app): State<Arc<AppState>>,
    Path(path): Path<(String, String)>,
    Form(FirstOf { first }): Form<FirstOf>,
) -> Result<Response> {
    let (client, group) = named_group(&app, &path).await?;
    let Some(first) = first.trim().parse::<usize>().ok().filter(|first| *first > 0) else {
        let text = html! {
            h1 { "Dead letters" }
            p.problem role="alert" { "How many are to be redriven must be a whole number from 1. Nothing was redriven." }
            p { a href=(group.path()) { "Back to the group" } }
        };
        return Ok(answer(&app, StatusCode::UNPROCESSABLE_ENTITY, text));
    };
    let ids: Vec<_> = group.letters.iter().take(first).map(|letter| letter.message_id).collect();
    let event = group.event.as_deref().unwrap_or("unreadable");
    let what = format!("{} {} of {}: {}", ids.len(), visible(event), client.service(), visible(&group.reason));
    Ok(start(&app, client, what, ids))
}

/// Redrives all of a service.
pub(super) async fn all(State(app): State<Arc<AppState>>, Path(service): Path<String>) -> Response {
    let Some(client) = client(&app, &service) else { return gone(&app) };
    match fetch::letters(client, fetch::AT_MOST).await {
        Ok(letters) => {
            let ids: Vec<_> = letters.letters.iter().map(|letter| letter.message_id).collect();
            let which = if letters.complete { "all" } else { "the first" };
            start(&app, client, format!("{which} {} of {service}", ids.len()), ids)
        }
        Err(error) => failed(&app, client, &error, PAGE.path),
    }
}

fn start(app: &AppState, client: &ServiceClient, what: String, ids: Vec<Uuid>) -> Response {
    let (redriving, client) = (Redriving::new(what, ids.len() as u64), client.clone());
    let redrive = move |id| {
        let client = client.clone();
        async move { fetch::redrive(&client, id).await }
    };
    if app.redriving.start(redriving, stream::iter(ids).map(redrive).buffer_unordered(AT_ONCE)) {
        return Redirect::to(PAGE.path).into_response();
    }
    let text = html! {
        h1 { "One at a time" }
        p.problem role="alert" {
            "Dead letters are being redriven already. Stop that, or wait until it has ended. Nothing more was begun."
        }
        p { a href=(PAGE.path) { "To the dead letters" } }
    };
    answer(app, StatusCode::CONFLICT, text)
}

/// Stops the run.
pub(super) async fn stop(State(app): State<Arc<AppState>>) -> Response {
    app.redriving.stop();
    Redirect::to(PAGE.path).into_response()
}

/// Returns how far it has come, for the part of the page that asks for it again and again.
pub(super) async fn progress(State(app): State<Arc<AppState>>, headers: HeaderMap) -> Response {
    if !headers.contains_key("hx-request") {
        return Redirect::to(PAGE.path).into_response();
    }
    match app.redriving.progress() {
        // The list shows what is left. This is asked for only until it has ended, so that happens once.
        Some(progress) if progress.ended => html! {
            div #redrive hx-get=(PAGE.path) hx-trigger="load" hx-target="#main" hx-select="#main" hx-swap="outerHTML" {
                (state(&progress))
            }
        }
        .into_response(),
        progress => render(progress.as_ref()).into_response(),
    }
}

/// Renders the progress of the run, or the result of the last one.
pub(super) fn render(progress: Option<&Progress<Redriving>>) -> Markup {
    let Some(progress) = progress else { return html! {} };
    html! {
        @if progress.ended {
            div #redrive { (state(progress)) }
        } @else {
            div #redrive hx-get="/dead-letters/run" hx-trigger="load delay:500ms" hx-swap="outerHTML" {
                (state(progress))
            }
        }
    }
}

fn state(Progress { tally, ended, .. }: &Progress<Redriving>) -> Markup {
    let Redriving { what, began, total, handled, failed_again, gone, not_tried, reason, error } = tally;
    let word = match (ended, tally.done() < *total) {
        (false, _) => "Redriving ",
        (true, true) => "Stopped redriving ",
        (true, false) => "Redriven: ",
    };
    html! {
        section.card aria-label="Redrive" {
            p role="status" {
                strong { (word) (what) } ". "
                (handled) " handled, " (failed_again) " failed again"
                @if *gone > 0 { ", " (gone) " were gone" }
                @if *not_tried > 0 { ", " (not_tried) " could not be tried" }
                "; " (tally.done()) " of " (total) "."
            }
            progress max=((*total).max(1)) value=(tally.done()) aria-label="Dead letters redriven" {}
            @if let Some(reason) = reason { p.bad { "The last one failed again: " (visible(reason)) } }
            @if let Some(error) = error { p.problem role="alert" { (visible(error)) } }
            @if *ended {
                p.hint { "Begun " (moment(*began)) " UTC." }
            } @else {
                (super::button("/dead-letters/run/stop", "danger", "Stop"))
                noscript { p { a href=(PAGE.path) { "Load again" } " to see how far it is." } }
            }
        }
    }
}
