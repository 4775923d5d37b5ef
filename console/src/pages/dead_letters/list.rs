//! The groups, and the dead letters of one group.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse as _, Response, Result},
};
use futures::future::join_all;
use maud::{Markup, html};
use serde::Deserialize;
use service_host::admin::DeadLetterSummaryView;
use shared_events::Service;
use uuid::Uuid;

use super::{PAGE, button, failure, fetch, form, group::Group, letter, named_group, redrive, text::visible};
use crate::{client::ServiceClient, layout, state::AppState, times::moment};

/// How many of a group are shown among the other groups.
const FEW: usize = 5;
/// How many are shown on a page of one group.
const MANY: usize = 50;

/// What the last request did.
#[derive(Debug, Deserialize)]
pub(super) struct Arrival {
    done: Option<Done>,
    id: Option<Uuid>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Done {
    Handled,
    Discarded,
}

pub(super) async fn show(State(app): State<Arc<AppState>>, Query(arrival): Query<Arrival>) -> Response {
    let services = join_all(Service::ALL.map(|service| of_service(app.services.of(service)))).await;
    let content = html! {
        h1 { "Dead letters" }
        (arrival.render())
        (redrive::render(app.redriving.progress().as_ref()))
        p.hint {
            "Events that a service could not handle. Find the reason first; redriving an event that was handled \
             already changes nothing."
        }
        @for service in &services { (service) }
    };
    layout::page(&app, PAGE.path, PAGE.title, content).into_response()
}

impl Arrival {
    fn render(&self) -> Markup {
        let Self { done: Some(done), id: Some(id) } = self else { return html! {} };
        let what = match done {
            Done::Handled => "was handled, and is no longer a dead letter",
            Done::Discarded => "was discarded",
        };
        html! { p.note role="status" tabindex="-1" autofocus { "The message " span.id { (id) } " " (what) "." } }
    }
}

async fn of_service(client: &ServiceClient) -> Markup {
    let (service, letters) = (client.service(), fetch::letters(client, fetch::SHOWN).await);
    html! {
        section aria-labelledby=(service) {
            h2 id=(service) { "Of the " (service) " service" }
            @match letters {
                Err(error) => { (failure(client, &error)) },
                Ok(letters) if letters.letters.is_empty() => { p.good { "No dead letters." } },
                Ok(letters) => {
                    @let count = letters.letters.len();
                    div.actions {
                        (button(&format!("/dead-letters/{service}/redrive"), "quiet", &format!("Redrive all of {service}")))
                        a.button.quiet href=(format!("/dead-letters/{service}/download")) { "Download all as JSON" }
                    }
                    @if !letters.complete {
                        p.hint { "There are more than " (count) "; the groups are of the first " (count) "." }
                    }
                    @for group in Group::all(service, letters.letters) { (card(&group)) }
                },
            }
        }
    }
}

fn card(group: &Group) -> Markup {
    let count = group.letters.len();
    html! {
        article.card {
            h3 { (count) " × " (event(group)) }
            (facts(group))
            (actions(group))
            details {
                summary { "The oldest" @if count > FEW { " " (FEW) " of " (count) } }
                (table(group.service, &group.letters[..count.min(FEW)]))
                @if count > FEW { p { a href=(group.path()) { "All " (count) } } }
            }
        }
    }
}

fn event(group: &Group) -> String {
    visible(group.event.as_deref().unwrap_or("not a known event"))
}

fn facts(group: &Group) -> Markup {
    html! {
        p { (visible(&group.reason)) }
        @if let (Some(oldest), Some(newest)) = (group.letters.first(), group.letters.last()) {
            p.soft {
                "Oldest " (moment(oldest.dead_lettered_at)) " UTC"
                @if group.letters.len() > 1 { ", newest " (moment(newest.dead_lettered_at)) " UTC" }
            }
        }
    }
}

fn actions(group: &Group) -> Markup {
    let (path, id, count) = (group.path(), group.id(), group.letters.len());
    html! {
        div.actions {
            (form(&format!("{path}/redrive"), &html! {
                label for=(format!("first-{id}")) { "Redrive the first" }
                input.short id=(format!("first-{id}")) name="first" type="number" min="1" max=(count) value=(count) required;
                button type="submit" { "Redrive" }
            }))
            a.button.quiet href=(format!("{path}/download")) { "Download as JSON" }
        }
    }
}

fn table(service: Service, letters: &[DeadLetterSummaryView]) -> Markup {
    html! {
        table.stacked {
            thead { tr { th { "Message" } th { "Order" } th { "Since (UTC)" } th.number { "Attempts" } th.number { "Bytes" } } }
            tbody {
                @for one in letters {
                    tr {
                        td data-label="Message" {
                            a.id href=(format!("/dead-letters/{service}/{}", one.message_id)) { (one.message_id) }
                        }
                        td data-label="Order" { (letter::order(one)) }
                        td data-label="Since (UTC)" { (moment(one.dead_lettered_at)) }
                        td.number data-label="Attempts" { (one.attempts) }
                        td.number data-label="Bytes" { (one.size) }
                    }
                }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct From {
    #[serde(default)]
    from: usize,
}

/// Shows the dead letters of one group.
pub(super) async fn group(
    State(app): State<Arc<AppState>>,
    Path(path): Path<(String, String)>,
    Query(From { from }): Query<From>,
) -> Result<Response> {
    let (client, group) = named_group(&app, &path).await?;
    let (path, count) = (group.path(), group.letters.len());
    let from = from.min(count.saturating_sub(1));
    let until = count.min(from + MANY);
    let content = html! {
        h1 { (count) " × " (event(&group)) " of the " (client.service()) " service" }
        section.card aria-label="The group" { (facts(&group)) (actions(&group)) }
        section.card aria-label="Its dead letters" {
            p.hint { (from + 1) " to " (until) " of " (count) ", oldest first" }
            (table(group.service, &group.letters[from..until]))
            nav.actions aria-label="More dead letters" {
                @if from > 0 {
                    a.button.quiet rel="prev" href=(format!("{path}?from={}", from.saturating_sub(MANY))) { "Older" }
                }
                @if until < count { a.button.quiet rel="next" href=(format!("{path}?from={until}")) { "Newer" } }
            }
        }
        p { a href=(PAGE.path) { "All dead letters" } }
    };
    Ok(layout::page(&app, PAGE.path, PAGE.title, content).into_response())
}
