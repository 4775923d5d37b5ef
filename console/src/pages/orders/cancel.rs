//! Cancelling an order, in two steps.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use maud::{Markup, html};
use reqwest::Method;
use shared_events::facts::Status;

use super::{PAGE, badge, show::unknown};
use crate::{client::ClientError, layout, sequence::Order, state::AppState};

/// Asks whether the order is to be cancelled.
pub(super) async fn ask(State(app): State<Arc<AppState>>, Path(order_id): Path<String>) -> Response {
    let Ok(id) = order_id.parse::<i64>() else { return unknown(&app, &order_id) };
    match app.services.order.get::<Order>(&format!("/api/v1/orders/{id}"), &[]).await {
        Ok(order) => page(&app, id, StatusCode::OK, question(&order)),
        Err(error) if error.is_not_found() => unknown(&app, &order_id),
        Err(error) => page(&app, id, StatusCode::OK, layout::failure(&error)),
    }
}

fn question(order: &Order) -> Markup {
    html! {
        p { "The order is " (badge(order.status)) "." }
        @if order.status == Status::Pending {
            p {
                "Its stock is released and its payment voided. If it is confirmed before the request arrives, the \
                 request is refused and nothing changes."
            }
            form method="post" action=(format!("/orders/{}/cancel", order.order_id)) {
                button.danger type="submit" { "Cancel the order" }
            }
        } @else {
            p { "Only an order that is PENDING can be cancelled." }
        }
    }
}

/// Cancels the order, and shows what the order service says.
pub(super) async fn cancel(State(app): State<Arc<AppState>>, Path(order_id): Path<String>) -> Response {
    let Ok(id) = order_id.parse::<i64>() else { return unknown(&app, &order_id) };
    let service = &app.services.order;
    let request = service.request(Method::POST, &format!("/api/v1/orders/{id}/cancel"), &[]);
    match service.json::<Order>(request).await {
        Ok(order) if order.status == Status::Failed => {
            let ended = html! { p { "The order had ended before as " (badge(order.status)) ": nothing changed." } };
            page(&app, id, StatusCode::OK, ended)
        }
        Ok(_) => Redirect::to(&format!("/orders/{id}")).into_response(),
        Err(error) if error.is_not_found() => unknown(&app, &order_id),
        Err(error) => {
            let status = match error {
                ClientError::Refused { status: 409, .. } => StatusCode::CONFLICT,
                _ => StatusCode::BAD_GATEWAY,
            };
            page(&app, id, status, layout::failure(&error))
        }
    }
}

fn page(app: &AppState, id: i64, status: StatusCode, content: Markup) -> Response {
    let content = html! {
        h1 { "Cancel order " (id) }
        (content)
        p { a href=(format!("/orders/{id}")) { "Back to the order" } }
    };
    (status, layout::page(app, PAGE.path, &format!("Cancel order {id}"), content)).into_response()
}
