use std::collections::BTreeMap;

use shared_events::{FailureReason, Line, Quantity, Sku};

/// The stock of one item, in units. `received = available + held + sold`, always, and none of them is negative: the
/// fields change only in this module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StockItem {
    sku: Sku,
    received: i64,
    available: i64,
    held: i64,
    sold: i64,
}

/// Why a change of the stock of an item is refused. A refused change has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StockError {
    /// More was to be held than is available.
    #[error("insufficient stock")]
    Insufficient,
    /// More was to be released or sold than is held, or more to be taken back than was sold.
    #[error("less is held or sold than was to be released, sold or taken back")]
    NotHeld,
    /// A number is negative or too large, or the numbers do not add up.
    #[error("a number is negative or too large, or the numbers do not add up")]
    ImpossibleNumbers,
}

impl StockItem {
    /// Creates an item without any units.
    #[must_use]
    pub fn new(sku: Sku) -> Self {
        Self { sku, received: 0, available: 0, held: 0, sold: 0 }
    }

    /// Creates an item from stored numbers.
    ///
    /// # Errors
    /// If a number is negative, or they do not add up.
    pub fn from_stored(sku: Sku, received: i64, available: i64, held: i64, sold: i64) -> Result<Self, StockError> {
        let mut item = Self::new(sku);
        item.set(available, held, sold)?;
        if item.received == received { Ok(item) } else { Err(StockError::ImpossibleNumbers) }
    }

    /// Returns the SKU of the item.
    #[must_use]
    pub fn sku(&self) -> &Sku {
        &self.sku
    }

    /// Returns all units that were ever received, minus those that were written off.
    #[must_use]
    pub fn received(&self) -> i64 {
        self.received
    }

    /// Returns the units that can still be held.
    #[must_use]
    pub fn available(&self) -> i64 {
        self.available
    }

    /// Returns the units that are held for orders and clients.
    #[must_use]
    pub fn held(&self) -> i64 {
        self.held
    }

    /// Returns the units that were held and then sold, and have not come back.
    #[must_use]
    pub fn sold(&self) -> i64 {
        self.sold
    }

    /// Holds available units.
    ///
    /// # Errors
    /// If fewer units are available.
    pub fn hold(&mut self, quantity: Quantity) -> Result<(), StockError> {
        let units = quantity.units();
        if self.available < units {
            return Err(StockError::Insufficient);
        }
        // The units only move, so the sum cannot overflow.
        self.set(self.available - units, self.held + units, self.sold)
    }

    /// Makes held units available again.
    ///
    /// # Errors
    /// If fewer units are held.
    pub fn release(&mut self, quantity: Quantity) -> Result<(), StockError> {
        let units = quantity.units();
        if self.held < units {
            return Err(StockError::NotHeld);
        }
        self.set(self.available + units, self.held - units, self.sold)
    }

    /// Sells held units.
    ///
    /// # Errors
    /// If fewer units are held.
    pub fn sell(&mut self, quantity: Quantity) -> Result<(), StockError> {
        let units = quantity.units();
        if self.held < units {
            return Err(StockError::NotHeld);
        }
        self.set(self.available, self.held - units, self.sold + units)
    }

    /// Makes sold units available again.
    ///
    /// # Errors
    /// If fewer units were sold.
    pub fn take_back(&mut self, quantity: Quantity) -> Result<(), StockError> {
        let units = quantity.units();
        if self.sold < units {
            return Err(StockError::NotHeld);
        }
        self.set(self.available + units, self.held, self.sold - units)
    }

    /// Sets how many units are available; the difference is booked as received.
    ///
    /// # Errors
    /// If `units` is negative or too large.
    pub fn set_available(&mut self, units: i64) -> Result<(), StockError> {
        self.set(units, self.held, self.sold)
    }

    /// Sets the numbers. Nothing else changes them.
    fn set(&mut self, available: i64, held: i64, sold: i64) -> Result<(), StockError> {
        if available < 0 || held < 0 || sold < 0 {
            return Err(StockError::ImpossibleNumbers);
        }
        let received = available.checked_add(held).and_then(|sum| sum.checked_add(sold));
        let received = received.ok_or(StockError::ImpossibleNumbers)?;
        (self.received, self.available, self.held, self.sold) = (received, available, held, sold);
        Ok(())
    }
}

/// The items that a decision can read and change.
pub trait Stock {
    /// Returns the current state of an item; `None` if it was never in stock.
    fn item(&self, sku: &Sku) -> Option<&StockItem>;

    /// Inserts or replaces an item.
    fn put(&mut self, item: StockItem);
}

impl Stock for BTreeMap<Sku, StockItem> {
    fn item(&self, sku: &Sku) -> Option<&StockItem> {
        self.get(sku)
    }

    fn put(&mut self, item: StockItem) {
        self.insert(item.sku.clone(), item);
    }
}

/// Why nothing was held.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// [`FailureReason::UnknownItem`] or [`FailureReason::InsufficientStock`].
    pub reason: FailureReason,
    /// The first item, in the order of the lines, that could not be held.
    pub item_sku: Sku,
}

/// Holds every line or none. An unknown item is reported before an item with insufficient stock.
pub(super) fn hold_all<'a>(
    stock: &mut impl Stock,
    lines: impl Iterator<Item = &'a Line> + Clone,
) -> Result<(), Rejection> {
    let rejected = |reason, line: &Line| Rejection { reason, item_sku: line.sku.clone() };
    if let Some(line) = lines.clone().find(|line| stock.item(&line.sku).is_none()) {
        return Err(rejected(FailureReason::UnknownItem, line));
    }
    each_line(stock, lines, StockItem::hold).map_err(|(line, _)| rejected(FailureReason::InsufficientStock, line))
}

/// Applies `step` to the item of every line, or to none if it fails for one of them. An item that does not exist holds
/// nothing. Each item must be in at most one line.
pub(super) fn each_line<'a>(
    stock: &mut impl Stock,
    lines: impl Iterator<Item = &'a Line>,
    step: impl Fn(&mut StockItem, Quantity) -> Result<(), StockError>,
) -> Result<(), (&'a Line, StockError)> {
    let apply = |line: &'a Line| {
        let mut item = stock.item(&line.sku).cloned().ok_or((line, StockError::NotHeld))?;
        step(&mut item, line.quantity).map_err(|error| (line, error))?;
        Ok(item)
    };
    let changed: Vec<StockItem> = lines.map(apply).collect::<Result<_, _>>()?;
    changed.into_iter().for_each(|item| stock.put(item));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(available: i64, held: i64, sold: i64) -> StockItem {
        StockItem::from_stored(Sku::parse("A").unwrap(), available + held + sold, available, held, sold).unwrap()
    }

    fn units(units: i64) -> Quantity {
        Quantity::new(units).unwrap()
    }

    #[test]
    fn units_move_and_the_sum_stays() {
        let mut stock = item(10, 0, 0);
        assert_eq!(stock.hold(units(7)), Ok(()));
        assert_eq!(stock, item(3, 7, 0));
        assert_eq!(stock.release(units(2)), Ok(()));
        assert_eq!(stock, item(5, 5, 0));
        assert_eq!(stock.sell(units(4)), Ok(()));
        assert_eq!((stock.received(), stock.clone()), (10, item(5, 1, 4)));
        assert_eq!(stock.take_back(units(3)), Ok(()));
        assert_eq!((stock.received(), stock.clone()), (10, item(8, 1, 1)));
    }

    #[test]
    fn an_impossible_change_is_refused_and_has_no_effect() {
        let before = item(3, 2, 1);
        let mut stock = before.clone();
        assert_eq!(stock.hold(units(4)), Err(StockError::Insufficient));
        assert_eq!(stock.release(units(3)), Err(StockError::NotHeld));
        assert_eq!(stock.sell(units(3)), Err(StockError::NotHeld));
        assert_eq!(stock.take_back(units(2)), Err(StockError::NotHeld));
        assert_eq!(stock.set_available(-1), Err(StockError::ImpossibleNumbers));
        assert_eq!(stock.set_available(i64::MAX), Err(StockError::ImpossibleNumbers));
        assert_eq!(stock, before);
        assert_eq!(stock.set_available(i64::MAX - 3), Ok(()));
    }

    #[test]
    fn setting_what_is_available_books_the_difference_as_received() {
        let mut stock = item(3, 2, 1);
        for (available, received) in [(10, 13), (0, 3), (0, 3)] {
            assert_eq!(stock.set_available(available), Ok(()));
            assert_eq!((stock.received(), stock.clone()), (received, item(available, 2, 1)));
        }
    }

    #[test]
    fn numbers_that_do_not_add_up_are_refused() {
        let sku = || Sku::parse("A").unwrap();
        for (received, available, held, sold) in [(5, 3, 2, 1), (0, 1, -1, 0), (-1, -1, 0, 0), (0, i64::MAX, 1, 0)] {
            let item = StockItem::from_stored(sku(), received, available, held, sold);
            assert_eq!(item, Err(StockError::ImpossibleNumbers));
        }
    }
}
