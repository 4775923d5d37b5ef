use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::{ClientError, ServiceClient};

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
    order.json(request.header("prefer", "respond-async").json(new)).await
}
