use reqwest::{Method, header::HeaderName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::{ClientError, ServiceClient};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The request for an order.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NewOrder {
    pub(super) items: Vec<Item>,
    /// As it was typed, so that no digit is lost.
    pub(super) amount: Box<RawValue>,
    pub(super) currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idempotency_key: Option<String>,
}

/// A line of an order.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Item {
    pub(super) item_sku: String,
    pub(super) quantity: i64,
}

/// An order that is durable.
#[derive(Debug, Deserialize)]
pub(super) struct Placed {
    pub(super) order_id: i64,
}

/// Places an order, and does not wait for its end: one sees it on the order's page.
pub(super) async fn place(order: &ServiceClient, new: &NewOrder) -> Result<Placed, ClientError> {
    let request = order.request(Method::POST, "/api/v1/orders", &[]);
    order.json(request.header(PREFER, "respond-async").json(new)).await
}

/// What became of a request for an order that may have an idempotency key.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This order is new.
    Placed(i64),
    /// This order was placed with the same key and content before, and nothing has changed.
    Repeated(i64),
    /// It was refused, because this order has the key and another content.
    KeyUsed(ClientError, i64),
}

/// Places an order, or finds the one that already has its idempotency key.
pub(super) async fn place_once(order: &ServiceClient, new: &NewOrder) -> Result<Outcome, ClientError> {
    let Some(key) = &new.idempotency_key else { return Ok(Outcome::Placed(place(order, new).await?.order_id)) };
    let before = with_key(order, key).await;
    match place(order, new).await {
        Ok(Placed { order_id }) if before == Some(order_id) => Ok(Outcome::Repeated(order_id)),
        Ok(Placed { order_id }) => Ok(Outcome::Placed(order_id)),
        Err(error) => match before.filter(|_| error.field("idempotency_key").is_some()) {
            Some(order_id) => Ok(Outcome::KeyUsed(error, order_id)),
            None => Err(error),
        },
    }
}

/// Returns the order that was placed with this key; `None` if there is none, or the service does not say.
async fn with_key(order: &ServiceClient, key: &str) -> Option<i64> {
    let found: Vec<Placed> = order.get("/api/v1/orders", &[("idempotency_key", key)]).await.ok()?;
    found.first().map(|order| order.order_id)
}
