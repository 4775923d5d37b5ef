//! What the pages ask the services for.

use std::time::Duration;

use futures::future::join3;
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use service_http::HttpResponse;
use shared_events::{Service, Timestamp, facts::Status};

use super::filter::{Cursor, Filter};
use crate::{
    client::{ClientError, ServiceClient},
    pages::paging::{PAGE_SIZE, linked},
    sequence::{Entry, Order, Payment, Reservation, Saga},
    state::AppState,
};

/// How far apart the clocks of two services may be.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// A page of the list.
#[derive(Debug, Default)]
pub(super) struct OrderPage {
    /// Newest first.
    pub(super) orders: Vec<Order>,
    /// Where newer orders are, if there may be some.
    pub(super) newer: Option<i64>,
    /// Where older orders are, if there may be some.
    pub(super) older: Option<i64>,
    /// Whether the service examined only a part of the orders for it.
    pub(super) is_part: bool,
}

/// Returns the orders that the filter asks for.
pub(super) async fn orders(app: &AppState, filter: &Filter) -> Result<OrderPage, ClientError> {
    let service = &app.services.order;
    let id = filter.order_id.trim();
    if !id.is_empty() {
        return by_id(service, id).await;
    }
    let limit = PAGE_SIZE.to_string();
    let parameters = filter.query();
    let mut query = vec![("order", "desc"), ("limit", &limit)];
    query.extend(parameters.iter().map(|(name, value)| (*name, value.as_str())));
    let response = service.succeed(service.request(Method::GET, "/api/v1/orders", &query)).await?;
    let more = more(&response);
    let orders: Vec<Order> = service.body(response).await?;
    Ok(page(filter.cursor(), orders, more))
}

async fn by_id(service: &ServiceClient, id: &str) -> Result<OrderPage, ClientError> {
    let Ok(id) = id.parse::<i64>() else { return Ok(OrderPage::default()) };
    match service.get(&format!("/api/v1/orders/{id}"), &[]).await {
        Ok(order) => Ok(OrderPage { orders: vec![order], ..OrderPage::default() }),
        Err(error) if error.is_not_found() => Ok(OrderPage::default()),
        Err(error) => Err(error),
    }
}

/// Returns where the list goes on, from the header `Link`.
pub(in crate::pages) fn more(response: &HttpResponse) -> Option<Cursor> {
    let id = |relation, parameter| linked(response, relation, parameter)?.parse().ok();
    id("prev", "before").map(Cursor::Before).or_else(|| id("next", "after").map(Cursor::After))
}

/// The service says only whether there is more in the direction of the request. In the other direction is what the
/// request came from.
fn page(cursor: Option<Cursor>, orders: Vec<Order>, more: Option<Cursor>) -> OrderPage {
    let is_part = more.is_some() && orders.len() < PAGE_SIZE;
    let first = orders.first().map(|order| order.order_id);
    let last = orders.last().map(|order| order.order_id);
    let (newer, older) = match (cursor, more) {
        (Some(Cursor::Before(from)), more) => {
            let newer = more.map(Cursor::id);
            (newer, Some(last.unwrap_or(from.saturating_add(1))))
        }
        (cursor, more) => {
            let from = cursor.map(Cursor::id);
            let newer = from.map(|from| first.unwrap_or(from.saturating_sub(1)));
            (newer, more.map(Cursor::id))
        }
    };
    OrderPage { orders, newer, older, is_part }
}

/// A refund of an order.
#[derive(Debug, Deserialize)]
pub(in crate::pages) struct Refund {
    pub(in crate::pages) order_id: i64,
    pub(in crate::pages) status: String,
    pub(in crate::pages) amount: Box<RawValue>,
    pub(in crate::pages) currency: String,
    pub(super) restock: bool,
    pub(super) restocked: bool,
    /// Why, in the words of the client.
    pub(super) reason: Option<String>,
    /// Why it failed, as a code and as text.
    failure_reason: Option<String>,
    pub(in crate::pages) detail: Option<String>,
    pub(in crate::pages) created_at: Timestamp,
}

impl Refund {
    /// Returns whether something is still to come.
    pub(in crate::pages) fn is_open(&self) -> bool {
        let goods_come_back = self.status == "SUCCEEDED" || self.failure_reason.as_deref() == Some("REVERSED");
        self.status == "REQUESTED" || (goods_come_back && self.restock && !self.restocked)
    }
}

/// One order, its refunds, and which services could not be asked about it.
pub(in crate::pages) struct Found {
    pub(in crate::pages) saga: Saga,
    pub(super) refunds: Vec<Refund>,
    pub(super) errors: Vec<ClientError>,
}

/// Returns everything about one order. Without the order service there is nothing to show; without the others, the
/// rest is.
pub(super) async fn saga(app: &AppState, id: i64) -> Result<Found, ClientError> {
    // The order first: a timeline that was read later contains at least what the order shows.
    let order: Order = app.services.order.get(&format!("/api/v1/orders/{id}"), &[]).await?;
    let is_confirmed = order.status == Status::Confirmed;
    let mut found = saga_of(app, order, |_| true).await?;
    if is_confirmed {
        match app.services.order.get(&format!("/api/v1/orders/{id}/refunds"), &[]).await {
            Ok(refunds) => found.refunds = refunds,
            Err(error) => found.errors.push(error),
        }
    }
    Ok(found)
}

/// Returns everything about this order. Inventory and payment are asked only if `asked`.
pub(in crate::pages) async fn saga_of(
    app: &AppState,
    order: Order,
    asked: impl Fn(Service) -> bool,
) -> Result<Found, ClientError> {
    let (services, id) = (&app.services, order.order_id);
    let timeline = format!("/api/v1/orders/{id}/events");
    let service = |service| Some(services.of(service)).filter(|_| asked(service));
    let (timeline, reservations, payments) = join3(
        services.order.get::<Vec<Entry>>(&timeline, &[]),
        of_order::<Reservation>(service(Service::Inventory), "/api/v1/reservations", id),
        of_order::<Payment>(service(Service::Payment), "/api/v1/payments", id),
    )
    .await;
    // An order of a database that was lost since may have had the same number, and a client may authorize payments
    // for any number. The clocks may differ a little.
    let since = order.created_at.before(CLOCKS_DIFFER);
    let mut errors = Vec::new();
    let reservation = known(reservations, &mut errors).find(|one: &Reservation| one.created_at >= since);
    let payment = known(payments, &mut errors).find(|one: &Payment| one.created_at >= since);
    let saga = Saga { order, timeline: timeline?, reservation, payment, repeated: None };
    Ok(Found { saga, refunds: Vec::new(), errors })
}

/// Asks inventory or payment for what it has stored about an order.
async fn of_order<T: DeserializeOwned>(
    service: Option<&ServiceClient>,
    path: &str,
    order_id: i64,
) -> Result<Vec<T>, ClientError> {
    let Some(service) = service else { return Ok(Vec::new()) };
    service.get(path, &[("order_id", &order_id.to_string())]).await
}

/// Returns what a service has answered. If it has not, the rest of the page is shown with the error.
fn known<T>(answer: Result<Vec<T>, ClientError>, errors: &mut Vec<ClientError>) -> impl Iterator<Item = T> + use<T> {
    answer
        .unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        })
        .into_iter()
}
