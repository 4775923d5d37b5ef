use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, de::Error as _};
use uuid::Uuid;

/// The id of an order, as shown by REST: 1, 2, 3, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct OrderId(pub i64);

/// An id that no order can have is refused.
impl<'de> Deserialize<'de> for OrderId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        if number > 0 { Ok(Self(number)) } else { Err(D::Error::custom("an order's number is at least 1")) }
    }
}

/// The id of an order's saga (UUIDv7). It is the correlation id of every event, and the unique key of the order's
/// reservation and payment. It is created with the order and never reused, so that a rebuilt order database, whose
/// order ids begin at 1 again, cannot collide with old reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SagaId(pub Uuid);

/// A stock keeping unit: 1 to 64 characters, not blank, without control characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(Arc<str>);

impl Sku {
    /// Maximum length of an SKU, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Checks that `text` is an SKU.
    ///
    /// # Errors
    /// If `text` is blank, is too long or contains control characters.
    pub fn parse(text: &str) -> Result<Self, SkuError> {
        if text.trim().is_empty() {
            Err(SkuError::Blank)
        } else if text.chars().count() > Self::MAX_CHARS {
            Err(SkuError::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(SkuError::ControlCharacter)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// Returns the SKU's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not an SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SkuError {
    /// It is empty or only white space.
    #[error("must not be blank")]
    Blank,
    /// It has more than [`Sku::MAX_CHARS`] characters.
    #[error("must have at most 64 characters")]
    TooLong,
    /// It contains a control character, such as NUL or a line break.
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl TryFrom<String> for Sku {
    type Error = SkuError;
    fn try_from(text: String) -> Result<Self, SkuError> {
        Self::parse(&text)
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0.as_ref().to_owned()
    }
}

macro_rules! display_inner {
    ($($id:ty),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_inner!(OrderId, SagaId, Sku);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_parsed() {
        assert_eq!(Sku::parse("SKU-ABC").map(String::from), Ok("SKU-ABC".to_owned()));
        assert_eq!(Sku::parse("крупа 1 кг").map(String::from), Ok("крупа 1 кг".to_owned()));
        assert!(Sku::parse(&"ü".repeat(64)).is_ok());
        assert_eq!(Sku::parse(&"ü".repeat(65)), Err(SkuError::TooLong));
        assert_eq!(Sku::parse(" \t "), Err(SkuError::Blank));
        assert_eq!(Sku::parse("A\0B"), Err(SkuError::ControlCharacter));
        assert!(serde_json::from_str::<Sku>("\"\"").is_err());
    }
}
