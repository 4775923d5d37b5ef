use serde::{Deserialize, Serialize};
use service_http::{FieldErrors, Preconditions, Problem, access::Caller};
use shared_events::{IdempotencyKey, Line, OwnedKey, Quantity, Sku, Timestamp};
use utoipa::ToSchema;

use crate::{
    commands::{ReleaseRequest, ReserveRequest, SetStockRequest},
    domain::{ReservationId, StockItem},
};

/// The request to set how many units of an item are available.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SetStock {
    #[schema(example = "SKU-ABC", max_length = 64)]
    item_sku: String,
    #[schema(example = 10, minimum = 0, maximum = 1_000_000_000)]
    quantity: i64,
}

impl SetStock {
    /// Validates the request.
    pub(super) fn parse(self, preconditions: Preconditions) -> Result<SetStockRequest, Problem> {
        let mut errors = FieldErrors::new();
        let sku = errors.check("item_sku", Sku::parse(&self.item_sku));
        let units = match self.quantity {
            ..0 => errors.check("quantity", Err("must be at least 0")),
            // An item may have no units, unlike a line of an order.
            0 => Some(0),
            units => errors.check("quantity", Quantity::new(units)).map(Quantity::units),
        };
        errors.into_result()?;
        let (sku, units) = sku.zip(units).ok_or_else(Problem::internal)?;
        Ok(SetStockRequest { sku, units, preconditions })
    }
}

/// The request to reserve stock.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Reserve {
    #[schema(example = "SKU-ABC", max_length = 64)]
    item_sku: String,
    #[schema(example = 2, minimum = 1, maximum = 1_000_000_000)]
    quantity: i64,
    /// A key that the client chooses: a repeated request with the same key and content gets the same answer.
    #[schema(example = "unique-key-001", max_length = 255)]
    idempotency_key: Option<String>,
}

impl Reserve {
    /// Validates the request of `caller`. `header` is the value of its `Idempotency-Key` header.
    pub(super) fn parse(self, header: Option<&str>, caller: &Caller) -> Result<ReserveRequest, Problem> {
        let mut errors = FieldErrors::new();
        let sku = errors.check("item_sku", Sku::parse(&self.item_sku));
        let quantity = errors.check("quantity", Quantity::new(self.quantity));
        let idempotency_key = owned_key(&mut errors, self.idempotency_key.as_deref(), header, caller);
        errors.into_result()?;
        let line = sku.zip(quantity).map(|(sku, quantity)| Line { sku, quantity });
        let line = line.ok_or_else(Problem::internal)?;
        Ok(ReserveRequest { line, key_owner: caller.owner_of_new().to_owned(), idempotency_key })
    }
}

/// Stock that is held for a client.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reserved {
    /// The id to release it with.
    #[schema(example = 1)]
    reservation_id: i64,
    #[schema(value_type = String, example = "SKU-ABC")]
    item_sku: Sku,
    #[schema(example = 2)]
    quantity: i64,
    /// The units of the item that are still available.
    #[schema(example = 8)]
    remaining_quantity: i64,
    /// When it is released if the client does not release it before; absent if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

impl Reserved {
    pub(super) fn new(id: ReservationId, line: &Line, remaining: i64, expires_at: Option<Timestamp>) -> Self {
        Self {
            reservation_id: id.0,
            item_sku: line.sku.clone(),
            quantity: line.quantity.units(),
            remaining_quantity: remaining,
            expires_at,
        }
    }
}

/// The request to release reserved stock.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Release {
    #[schema(example = 1)]
    reservation_id: i64,
    /// A key that the client chooses: a repeated request with the same key and content gets the same answer.
    #[schema(example = "unique-key-001", max_length = 255)]
    idempotency_key: Option<String>,
}

impl Release {
    /// Validates the request of `caller`. `header` is the value of its `Idempotency-Key` header.
    pub(super) fn parse(self, header: Option<&str>, caller: &Caller) -> Result<ReleaseRequest, Problem> {
        let mut errors = FieldErrors::new();
        let idempotency_key = owned_key(&mut errors, self.idempotency_key.as_deref(), header, caller);
        errors.into_result()?;
        Ok(ReleaseRequest { id: ReservationId(self.reservation_id), owner: caller.owner().cloned(), idempotency_key })
    }
}

/// Returns the idempotency key of a request that may have one in its body and one in its header.
fn owned_key(errors: &mut FieldErrors, body: Option<&str>, header: Option<&str>, caller: &Caller) -> Option<OwnedKey> {
    let key = errors.check("idempotency_key", IdempotencyKey::of_request(body, header)).flatten();
    key.map(|key| OwnedKey { owner: caller.owner_of_new().to_owned(), key })
}

/// Stock that is available again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Released {
    #[schema(example = true)]
    released: bool,
    #[schema(example = 1)]
    reservation_id: i64,
    #[schema(value_type = String, example = "SKU-ABC")]
    item_sku: Sku,
    #[schema(example = 2)]
    quantity: i64,
}

impl Released {
    pub(super) fn new(id: ReservationId, line: &Line) -> Self {
        Self { released: true, reservation_id: id.0, item_sku: line.sku.clone(), quantity: line.quantity.units() }
    }
}

/// The stock of an item, in units; `received = quantity + reserved + sold`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemView {
    #[schema(value_type = String, example = "SKU-ABC")]
    item_sku: Sku,
    /// The available units.
    #[schema(example = 10)]
    quantity: i64,
    /// The units that are held for orders and for clients.
    #[schema(example = 0)]
    reserved: i64,
    /// The sold units.
    #[schema(example = 0)]
    sold: i64,
    /// All units that were ever received, minus those that were written off.
    #[schema(example = 10)]
    received: i64,
}

impl From<&StockItem> for ItemView {
    fn from(item: &StockItem) -> Self {
        Self {
            item_sku: item.sku().clone(),
            quantity: item.available(),
            reserved: item.held(),
            sold: item.sold(),
            received: item.received(),
        }
    }
}
