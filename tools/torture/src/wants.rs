//! The orders that clients place.

use serde_json::{Value, json};

use super::random::Random;

pub(crate) const PLENTY: &str = "PLENTY";
pub(crate) const MORE: &str = "MORE";
pub(crate) const HOT: &str = "HOT";
pub(crate) const SCARCE: &str = "SCARCE";
/// Clients set the stock of this SKU, and never order it.
pub(crate) const SET: &str = "SET";

/// The content of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wants {
    /// Enough stock, and the payment is authorized.
    Plenty,
    /// Like `Plenty`, with two lines.
    TwoLines,
    /// A SKU that many clients order and only some get.
    Hot,
    /// The payment is declined.
    Declined,
    /// More than there ever is in stock.
    TooMuch,
    /// The SKU does not exist.
    Unknown,
}

impl Wants {
    pub(crate) const ALL: [Self; 6] =
        [Self::Plenty, Self::TwoLines, Self::Hot, Self::Declined, Self::TooMuch, Self::Unknown];

    pub(crate) fn body(self, key: Option<&str>) -> Value {
        let line = |sku: &str, quantity: i64| json!({"item_sku": sku, "quantity": quantity});
        let mut body = match self {
            Self::TwoLines => json!({"items": [line(MORE, 2), line(PLENTY, 1)]}),
            Self::Plenty | Self::Declined => line(PLENTY, 1),
            Self::Hot => line(HOT, 1),
            Self::TooMuch => line(SCARCE, 1_000),
            Self::Unknown => line("NOWHERE", 1),
        };
        body["amount"] = json!(if self == Self::Declined { 1_000 } else { 200 });
        body["currency"] = json!("USD");
        if let Some(key) = key {
            body["idempotency_key"] = json!(key);
        }
        body
    }

    pub(crate) fn random(random: &mut Random) -> Self {
        match random.between(0, 9) {
            0..=3 => Self::Plenty,
            4 | 5 => Self::TwoLines,
            6 => Self::Hot,
            7 => Self::Declined,
            8 => Self::TooMuch,
            _ => Self::Unknown,
        }
    }
}
