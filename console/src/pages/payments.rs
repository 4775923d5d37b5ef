//! The payments, and those of one order.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::value::RawValue;
use shared_events::{Service, Timestamp};

use super::{
    Page,
    fields::{self, Field, order_id},
    paging::{self, Listed},
};
use crate::{client::ClientError, layout, state::AppState, times::moment};

/// The page.
pub(super) const PAGE: Page = Page { path: "/payments", title: "Payments", in_navigation: true, routes };

fn routes() -> Router<Arc<AppState>> {
    Router::new().route(PAGE.path, get(show))
}

/// What the form asks for. A field that is left empty filters nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    order_id: String,
    /// Only older payments than this.
    after: String,
}

/// A payment, as payment shows it.
#[derive(Debug, Deserialize)]
struct Payment {
    payment_id: i64,
    /// `REQUESTED`, `AUTHORIZED`, `DECLINED`, `CAPTURING`, `CAPTURED`, `CAPTURE_FAILED`, `VOIDING` or `VOIDED`.
    status: String,
    order_id: i64,
    amount: Box<RawValue>,
    currency: String,
    /// Why it was declined.
    reason: Option<String>,
    /// The gateway's reference of the authorization.
    reference: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

async fn show(State(app): State<Arc<AppState>>, Query(asked): Query<Asked>) -> Response {
    let found = fetch(&app, &asked).await;
    let refused = found.as_ref().err().filter(|error| error.is_refused());
    let status = refused.map_or(StatusCode::OK, ClientError::page_status);
    let content = html! {
        h1 { "Payments" }
        (filter(&asked, refused))
        @match &found {
            Ok(payments) => { (list(&asked, payments)) },
            Err(error) => { (layout::failure(error)) },
        }
    };
    (status, layout::page(&app, PAGE.path, PAGE.title, content)).into_response()
}

async fn fetch(app: &AppState, asked: &Asked) -> Result<Listed<Payment>, ClientError> {
    let id = order_id(Service::Payment, &asked.order_id)?.map(|id| id.to_string()).unwrap_or_default();
    let query = [("order", "desc"), ("order_id", &id), ("after", &asked.after)];
    Listed::get(&app.services.payment, "/api/v1/payments", &query).await
}

fn filter(asked: &Asked, error: Option<&ClientError>) -> Markup {
    let wrong = error.and_then(|error| error.field("order_id"));
    fields::filter(
        PAGE,
        "Filter the payments",
        &Field::number("order_id", "Order", &asked.order_id).optional().with_error(wrong),
    )
}

fn list(asked: &Asked, payments: &Listed<Payment>) -> Markup {
    let order = asked.order_id.trim();
    html! {
        section.card aria-label="Payments found" {
            @if !payments.rows.is_empty() {
                (table(&payments.rows))
            } @else if !asked.after.is_empty() {
                p { "There are no more payments here." }
            } @else if order.is_empty() {
                p { "There are no payments yet." }
            } @else {
                p { "Order " (order) " has no payment, or none yet." }
            }
            (paging::links("More payments", PAGE.path, &[("order_id", order)], &asked.after, payments.next.as_deref()))
        }
    }
}

fn table(payments: &[Payment]) -> Markup {
    html! {
        table.stacked {
            caption { "Payments, newest first" }
            thead {
                tr {
                    th scope="col" { "Payment" }
                    th scope="col" { "Status" }
                    th.number scope="col" { "Amount" }
                    th scope="col" { "Order" }
                    th scope="col" { "Reference" }
                    th scope="col" { "Requested (UTC)" }
                    th scope="col" { "Changed (UTC)" }
                }
            }
            tbody { @for payment in payments { (row(payment)) } }
        }
    }
}

fn row(payment: &Payment) -> Markup {
    let class = match payment.status.as_str() {
        "AUTHORIZED" | "CAPTURED" => "status good",
        "REQUESTED" | "CAPTURING" | "VOIDING" => "status wait",
        _ => "status bad",
    };
    html! {
        tr {
            td data-label="Payment" { (payment.payment_id) }
            td data-label="Status" {
                span class=(class) { (payment.status) }
                @if let Some(reason) = &payment.reason { " " span.soft { (reason) } }
            }
            td.number data-label="Amount" { (payment.amount.get()) " " (payment.currency) }
            td data-label="Order" { a href=(format!("/orders/{}", payment.order_id)) { (payment.order_id) } }
            td data-label="Reference" { @if let Some(reference) = &payment.reference { span.id { (reference) } } }
            td data-label="Requested (UTC)" { (moment(payment.created_at)) }
            td data-label="Changed (UTC)" { (moment(payment.updated_at)) }
        }
    }
}
