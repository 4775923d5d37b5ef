//! The page.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use futures::future::join;
use maud::{Markup, html};
use serde::Deserialize;
use shared_events::Timestamp;

use super::{
    PAGE,
    fetch::{self, Stuck},
    unsettled,
    waits::Wait,
};
use crate::{
    layout,
    live::{Problem, STUCK_AFTER, Sample},
    pages::{badge, items},
    state::AppState,
    times::{duration, now},
};

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// Age in seconds from which an order is shown; without it [`STUCK_AFTER`].
    older_than: Option<String>,
    /// Only orders behind this id.
    after: Option<String>,
}

impl Asked {
    /// Returns the age, or `None` if it is not a whole number of seconds.
    fn age(&self) -> Option<Duration> {
        match self.older_than.as_deref().map(str::trim) {
            None | Some("") => Some(STUCK_AFTER),
            Some(seconds) => seconds.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

pub(super) async fn show(State(app): State<Arc<AppState>>, Query(asked): Query<Asked>) -> Response {
    // Only this page makes such links.
    let after = asked.after.as_deref().and_then(|id| id.parse().ok());
    let (status, found) = match asked.age() {
        Some(age) => {
            let (orders, money) = join(stuck(&app, age, after), unsettled::section(&app, age)).await;
            (StatusCode::OK, html! { (orders) (money) })
        }
        None => (StatusCode::UNPROCESSABLE_ENTITY, html! {}),
    };
    let content = html! {
        h1 { "Stuck orders" }
        (form(&asked))
        (found)
    };
    (status, layout::page(&app, PAGE.path, PAGE.title, content)).into_response()
}

fn form(asked: &Asked) -> Markup {
    let usual = STUCK_AFTER.as_secs().to_string();
    let value = asked.older_than.as_deref().map(str::trim).filter(|text| !text.is_empty()).unwrap_or(&usual);
    let wrong = asked.age().is_none();
    html! {
        form.card method="get" action=(PAGE.path) aria-label="Which orders" {
            div.actions {
                label for="older_than" { "Open for longer than, in seconds" }
                input.short #older_than name="older_than" type="number" min="0" value=(value) required
                    aria-invalid=[wrong.then_some("true")]
                    aria-describedby=(if wrong { "older_than-error" } else { "older_than-hint" });
                button type="submit" { "Show" }
            }
            @if wrong { p.field-error #older_than-error { "must be a whole number from 0 to " (u32::MAX) } }
            p.hint #older_than-hint { "An order usually ends after some milliseconds." }
        }
    }
}

async fn stuck(app: &AppState, age: Duration, after: Option<i64>) -> Markup {
    let now = now();
    let orders = fetch::orders(&app.services.order, now.before(age), after);
    let (orders, sample) = join(orders, Sample::take(&app.services)).await;
    let fetch::Orders { orders, next } = match orders {
        Ok(orders) => orders,
        Err(error) => return layout::failure(&error),
    };
    let orders = fetch::what_they_wait_for(app, &sample, orders).await;
    html! {
        section.card aria-label="Stuck orders" {
            @if !orders.is_empty() {
                (table(&orders, &sample, now))
            } @else if next.is_some() {
                p { "None of the orders examined so far is stuck. There are more to examine." }
            } @else if after.is_some() {
                p { "There are no more stuck orders." }
            } @else {
                p.good { "No order is stuck." }
            }
            nav.actions aria-label="More stuck orders" {
                @if let Some(next) = next {
                    a.button.quiet rel="next" href=(link(age, Some(next))) { "Newer" }
                }
                @if after.is_some() { a href=(link(age, None)) { "Oldest" } }
            }
        }
    }
}

fn link(age: Duration, after: Option<i64>) -> String {
    let after = after.map(|id| format!("&after={id}")).unwrap_or_default();
    format!("{}?older_than={}{after}", PAGE.path, age.as_secs())
}

fn table(orders: &[Stuck], sample: &Sample, now: Timestamp) -> Markup {
    html! {
        // Most orders wait for the same, so that stands here once.
        @for problem in problems(orders, sample) { (problem.render()) }
        table.stacked {
            caption.hint { "Oldest first" }
            thead {
                tr {
                    th scope="col" { "Order" }
                    th scope="col" { "Status" }
                    th.number scope="col" { "Open for" }
                    th scope="col" { "Items" }
                    th scope="col" { "Waits for" }
                }
            }
            tbody {
                @for (order, wait) in orders {
                    tr {
                        td data-label="Order" { a href=(format!("/orders/{}", order.order_id)) { (order.order_id) } }
                        td data-label="Status" {
                            (badge(order.status)) " " span.soft { "payment " (order.payment_status) }
                        }
                        td.number data-label="Open for" { (duration(now.since(order.created_at))) }
                        td data-label="Items" { (items(&order.items)) }
                        td data-label="Waits for" {
                            @match wait {
                                Ok(wait) => { (waits(wait, wait.problems(sample).is_empty())) },
                                Err(error) => { p.bad { (error) ". " (error.remedy()) } },
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns what is wrong where these orders wait.
fn problems(orders: &[Stuck], sample: &Sample) -> Vec<Problem> {
    let mut problems = Vec::new();
    for problem in orders.iter().filter_map(|(_, wait)| wait.as_ref().ok()).flat_map(|wait| wait.problems(sample)) {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

/// Renders what an order waits for, and what to do if nothing is known to be wrong there.
fn waits(wait: &Wait, is_unexplained: bool) -> Markup {
    html! {
        @for message in &wait.messages { p { (message.words()) } }
        @if let Some(otherwise) = wait.otherwise { p { (otherwise) } }
        @if is_unexplained { p.soft { (wait.advice()) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_a_whole_number_of_seconds() {
        for (text, age) in [
            (None, Some(10)),
            (Some(""), Some(10)),
            (Some(" 0 "), Some(0)),
            (Some("120"), Some(120)),
            (Some("-1"), None),
            (Some("1.5"), None),
            (Some("soon"), None),
            (Some("4294967296"), None),
        ] {
            let asked = Asked { older_than: text.map(str::to_owned), after: None };
            assert_eq!(asked.age(), age.map(Duration::from_secs), "{text:?}");
        }
    }
}
