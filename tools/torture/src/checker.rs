//! The rules that every response must obey, for one order or one item at a time.

use serde_json::Value;

use super::wants::PLENTY;

/// What is known about an order: when each rank of its status was first observed.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// When a read that first showed COMPENSATING ended.
    compensating: Option<u64>,
    /// The final status, and when the first read that showed it ended.
    terminal: Option<(String, u64)>,
}

/// Returns the rank of a status. An order's rank never decreases.
fn rank(status: &str) -> Option<u8> {
    Some(match status {
        "PENDING" => 0,
        "COMPENSATING" => 1,
        "CONFIRMED" | "FAILED" | "CANCELLED" => 2,
        _ => return None,
    })
}

impl Known {
    /// Returns the final status, if it is known.
    pub(crate) fn terminal(&self) -> Option<&str> {
        self.terminal.as_ref().map(|(status, _)| status.as_str())
    }

    /// Returns when a read first showed the final status.
    pub(crate) fn ended_by(&self) -> Option<u64> {
        self.terminal.as_ref().map(|(_, since)| *since)
    }

    /// Returns the highest status that was shown by reads which ended before `at`.
    fn before(&self, at: u64) -> Option<&str> {
        match &self.terminal {
            Some((status, since)) if *since < at => Some(status),
            _ => self.compensating.is_some_and(|since| since < at).then_some("COMPENSATING"),
        }
    }

    /// Records that a read from `began` to `ended` showed this status. Returns an error if that contradicts earlier
    /// reads.
    pub(crate) fn read(&mut self, status: &str, began: u64, ended: u64) -> Result<(), String> {
        let rank = rank(status).ok_or_else(|| format!("{status:?} is no status"))?;
        if let Some((terminal, since)) = &self.terminal {
            if rank == 2 && status != terminal {
                return Err(format!("it has ended as {terminal}, and then as {status}"));
            }
            if rank < 2 && began > *since {
                return Err(format!("it has ended as {terminal}, and a later read shows {status}"));
            }
        }
        if rank == 0 && self.compensating.is_some_and(|since| began > since) {
            return Err(format!("it was COMPENSATING, and a later read shows {status}"));
        }
        match rank {
            1 => self.compensating = Some(self.compensating.map_or(ended, |since| since.min(ended))),
            2 => {
                let since = self.terminal.as_ref().map_or(ended, |(_, since)| (*since).min(ended));
                self.terminal = Some((status.to_owned(), since));
            }
            _ => {}
        }
        Ok(())
    }
}

/// How long a stream may take to show the next event, in microseconds: longer than a replica is suspended.
const FOLLOWS_US: u64 = 30_000_000;

/// What one stream has shown about an order. It must not go back, whenever its events arrive.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    rank: u8,
    version: i64,
    /// When the latest event about it arrived.
    at: u64,
}

impl Shown {
    /// Records the next event of the stream about this order.
    pub(crate) fn event(&mut self, order: &Value, now: u64) -> Result<(), String> {
        let status = order["status"].as_str().unwrap_or_default();
        let rank = rank(status).ok_or_else(|| format!("{status:?} is no status"))?;
        let version = order["version"].as_i64().unwrap_or(self.version);
        if rank < self.rank || version < self.version {
            let before = (self.rank, self.version);
            return Err(format!("a stream goes back: {status} in version {version} after {before:?}"));
        }
        (self.rank, self.version, self.at) = (rank, version, now);
        Ok(())
    }

    /// Checks that the stream's last event about an order is not older than what any client had read before the stream
    /// was requested at `opened`. The last data of the stream arrived at `last`.
    ///
    /// An older event may still be in flight when the stream opens; a newer one follows it. Later reads do not count,
    /// because replicas notify each other of changes without a guarantee that every notification arrives.
    pub(crate) fn is_up_to_date(&self, known: &Known, opened: u64, last: u64) -> Result<(), String> {
        let before = known.before(opened).filter(|_| last > self.at.saturating_add(FOLLOWS_US));
        match before {
            Some(status) if rank(status) > Some(self.rank) => Err(format!(
                "{status} was read before the stream was opened, and it ends with version {}",
                self.version
            )),
            _ => Ok(()),
        }
    }
}

/// How many units of an item are known to be sold.
#[derive(Debug, Default)]
pub(crate) struct StockFloor {
    /// The end of a read, and the number of units that it showed as sold.
    sold: Vec<(u64, i64)>,
}

impl StockFloor {
    /// Records that a read from `began` to `ended` showed this item. Returns an error if its counts are wrong.
    pub(crate) fn read(&mut self, item: &Value, began: u64, ended: u64) -> Result<(), String> {
        let count = |field: &str| item[field].as_i64().ok_or_else(|| format!("no {field} in {item}"));
        let [received, available, held, sold] =
            [count("received")?, count("quantity")?, count("reserved")?, count("sold")?];
        if [received, available, held, sold].iter().any(|count| *count < 0) {
            return Err(format!("less than nothing in stock: {item}"));
        }
        if received != available + held + sold {
            return Err(format!("stock does not add up: {item}"));
        }
        let before = self.sold.iter().rev().find(|(then, _)| *then < began).map_or(0, |(_, sold)| *sold);
        // What is refunded comes back.
        if sold < before && item["item_sku"] != PLENTY {
            return Err(format!("{before} were sold before, and now it is {item}"));
        }
        let highest = self.sold.last().map_or(0, |(_, sold)| *sold);
        if sold > highest {
            self.sold.push((ended, sold));
            self.sold.sort_unstable();
            if self.sold.len() > 64 {
                self.sold.remove(0);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_never_goes_back_in_a_later_read() {
        let mut known = Known::default();
        known.read("PENDING", 0, 10).unwrap();
        known.read("COMPENSATING", 11, 20).unwrap();
        known.read("PENDING", 15, 25).expect("it began before the other ended");
        assert!(known.read("PENDING", 21, 30).unwrap_err().contains("COMPENSATING"));
        known.read("FAILED", 31, 40).unwrap();
        known.read("COMPENSATING", 35, 45).expect("it began before the other ended");
        assert!(known.read("COMPENSATING", 41, 50).unwrap_err().contains("later read"));
        assert!(known.read("CONFIRMED", 32, 50).unwrap_err().contains("and then as CONFIRMED"));
        assert!(known.read("LOST", 60, 61).is_err());
    }

    #[test]
    fn a_stream_never_goes_back() {
        let event = |status: &str, version: i64| json!({"order_id": 1, "status": status, "version": version});
        let mut shown = Shown::default();
        for (status, version) in [("PENDING", 1), ("PENDING", 2), ("CONFIRMED", 3), ("CONFIRMED", 3)] {
            shown.event(&event(status, version), 0).unwrap();
        }
        assert!(shown.event(&event("PENDING", 3), 0).is_err());
        assert!(shown.event(&event("CONFIRMED", 2), 0).is_err());
    }

    #[test]
    fn a_stream_does_not_end_with_less_than_was_read_before_it_was_opened() {
        let (mut known, mut shown) = (Known::default(), Shown::default());
        known.read("CONFIRMED", 10, 20).unwrap();
        shown.event(&json!({"status": "PENDING", "version": 1}), 40).unwrap();
        let long_after = 41 + FOLLOWS_US;
        assert!(shown.is_up_to_date(&known, 30, long_after).unwrap_err().contains("CONFIRMED was read before"));
        shown.is_up_to_date(&known, 15, long_after).expect("the read was answered after the stream was requested");
        shown.is_up_to_date(&known, 30, long_after - 1).expect("the next event may be in flight");
        shown.event(&json!({"status": "CONFIRMED", "version": 2}), 50).unwrap();
        shown.is_up_to_date(&known, 30, u64::MAX).expect("it has caught up");

        let (mut known, mut shown) = (Known::default(), Shown::default());
        known.read("COMPENSATING", 10, 20).unwrap();
        known.read("FAILED", 40, 50).unwrap();
        shown.event(&json!({"status": "COMPENSATING", "version": 2}), 60).unwrap();
        shown.is_up_to_date(&known, 30, u64::MAX).expect("its end was read after the stream was requested");
        assert!(shown.is_up_to_date(&known, 55, u64::MAX).is_err());
    }

    #[test]
    fn stock_adds_up_and_what_is_sold_stays_sold() {
        let item = |received: i64, available: i64, held: i64, sold: i64| {
            json!({
                "item_sku": "A", "received": received, "quantity": available, "reserved": held, "sold": sold,
            })
        };
        let mut floor = StockFloor::default();
        floor.read(&item(10, 8, 2, 0), 0, 1).unwrap();
        floor.read(&item(10, 7, 1, 2), 2, 5).unwrap();
        floor.read(&item(10, 8, 2, 0), 3, 6).expect("it began before the other ended");
        assert!(floor.read(&item(10, 8, 1, 1), 6, 7).unwrap_err().contains("2 were sold before"));
        assert!(floor.read(&item(10, 9, 1, 1), 0, 7).unwrap_err().contains("does not add up"));
        assert!(floor.read(&item(10, 12, -2, 0), 0, 7).unwrap_err().contains("less than nothing"));
        assert!(floor.read(&json!({"item_sku": "A"}), 0, 7).is_err());
    }
}
