use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Sku;

/// Maximum number of lines (different SKUs) of one order.
pub const MAX_LINES: usize = 100;

/// A number of units, from 1 to [`Quantity::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Quantity(i64);

impl Quantity {
    /// The largest quantity, in units. A sum over [`MAX_LINES`] lines and millions of orders stays far inside an `i64`.
    pub const MAX: i64 = 1_000_000_000;

    /// Validates a number of units.
    ///
    /// # Errors
    /// If `units` is not between 1 and [`Quantity::MAX`].
    pub fn new(units: i64) -> Result<Self, QuantityError> {
        match units {
            ..=0 => Err(QuantityError::BelowOne),
            1..=Self::MAX => Ok(Self(units)),
            _ => Err(QuantityError::TooLarge),
        }
    }

    /// Returns the number of units.
    #[must_use]
    pub fn units(self) -> i64 {
        self.0
    }
}

/// Why a number is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It is zero or negative.
    #[error("must be at least 1")]
    BelowOne,
    /// It is more than [`Quantity::MAX`].
    #[error("must be at most 1000000000")]
    TooLarge,
}

impl TryFrom<i64> for Quantity {
    type Error = QuantityError;
    fn try_from(units: i64) -> Result<Self, QuantityError> {
        Self::new(units)
    }
}

impl From<Quantity> for i64 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

/// One line of an order: a number of units of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Line {
    /// The SKU of the item.
    #[serde(rename = "item_sku")]
    pub sku: Sku,
    /// The number of units.
    pub quantity: Quantity,
}

/// The lines of an order: at least one, at most [`MAX_LINES`], sorted by SKU, each SKU once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Line>", into = "Vec<Line>")]
pub struct Lines(Vec<Line>);

impl Lines {
    /// Sorts the lines, and adds up the quantities of lines with the same SKU.
    ///
    /// # Errors
    /// If there is no line, there are too many, or a sum is over [`Quantity::MAX`].
    pub fn new(lines: impl IntoIterator<Item = Line>) -> Result<Self, LinesError> {
        let mut units: BTreeMap<Sku, i64> = BTreeMap::new();
        for line in lines {
            let sum = units.entry(line.sku).or_default();
            *sum = sum.saturating_add(line.quantity.units());
        }
        if units.is_empty() {
            return Err(LinesError::None);
        }
        if units.len() > MAX_LINES {
            return Err(LinesError::TooMany);
        }
        let line = |(sku, units)| Ok(Line { sku, quantity: Quantity::new(units)? });
        Ok(Self(units.into_iter().map(line).collect::<Result<_, QuantityError>>()?))
    }

    /// Returns the lines, sorted by SKU.
    pub fn iter(&self) -> std::slice::Iter<'_, Line> {
        self.0.iter()
    }

    /// Returns the line if there is exactly one.
    #[must_use]
    pub fn only(&self) -> Option<&Line> {
        match self.0.as_slice() {
            [line] => Some(line),
            _ => None,
        }
    }
}

impl<'a> IntoIterator for &'a Lines {
    type Item = &'a Line;
    type IntoIter = std::slice::Iter<'a, Line>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Why lines are not valid for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinesError {
    /// There is no line.
    #[error("must have at least one line")]
    None,
    /// There are more than [`MAX_LINES`].
    #[error("must have at most 100 lines")]
    TooMany,
    /// The sum of the quantities of one SKU is invalid.
    #[error("the quantity of one item, added up, {0}")]
    Quantity(#[from] QuantityError),
}

impl TryFrom<Vec<Line>> for Lines {
    type Error = LinesError;
    fn try_from(lines: Vec<Line>) -> Result<Self, LinesError> {
        Self::new(lines)
    }
}

impl From<Lines> for Vec<Line> {
    fn from(lines: Lines) -> Self {
        lines.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sku: &str, units: i64) -> Line {
        Line { sku: Sku::parse(sku).unwrap(), quantity: Quantity::new(units).unwrap() }
    }

    #[test]
    fn the_same_sku_twice_is_added_up() {
        let lines = Lines::new([line("B", 1), line("A", 2), line("B", 3)]).unwrap();
        assert_eq!(Vec::from(lines), [line("A", 2), line("B", 4)]);
    }

    #[test]
    fn impossible_lines_are_refused() {
        assert_eq!(Lines::new([]), Err(LinesError::None));
        let many = (0..=MAX_LINES).map(|n| line(&format!("S{n}"), 1));
        assert_eq!(Lines::new(many), Err(LinesError::TooMany));
        let twice = [line("A", Quantity::MAX), line("A", 1)];
        assert_eq!(Lines::new(twice), Err(LinesError::Quantity(QuantityError::TooLarge)));
        for json in ["[]", r#"[{"item_sku":"A","quantity":0}]"#, r#"[{"item_sku":"A","quantity":-1}]"#] {
            assert!(serde_json::from_str::<Lines>(json).is_err(), "{json}");
        }
    }
}
