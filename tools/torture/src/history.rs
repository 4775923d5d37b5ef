//! What clients did and were told.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde_json::Value;

use super::{
    checker::{Known, StockFloor},
    unanswered::Unanswered,
    wants::Wants,
};

/// A request that was made, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// When it began and ended, in microseconds from the beginning of the run.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    /// Who made it, such as `client 3` or `stream 0`.
    pub(crate) who: String,
    /// What was asked, in words.
    pub(crate) what: String,
    /// What was told: a status, or why there was no answer. In Jepsen's words, the latter is `info`: it may have been done.
    pub(crate) told: String,
}

/// What an order is to be, by the one who placed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) key: Option<String>,
    pub(crate) wants: Wants,
    /// When it was first requested, in microseconds from the beginning of the run.
    pub(crate) began: u64,
    /// When it was first answered, in microseconds from the beginning of the run.
    pub(crate) answered: u64,
    /// A cancellation was accepted (202), or may have been.
    pub(crate) cancel: Cancel,
}

/// Whether a client has cancelled an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// It has not.
    No,
    /// It has tried, and does not know what came of it.
    Maybe,
    /// It was accepted.
    Accepted,
    /// It was refused: the order was confirmed.
    Refused,
}

/// All that clients were told, and what it allows from now on.
pub(crate) struct History {
    begun: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub(crate) struct Inner {
    /// By the number of the order.
    pub(crate) placed: BTreeMap<i64, Placed>,
    pub(crate) known: HashMap<i64, Known>,
    pub(crate) stock: HashMap<String, StockFloor>,
    pub(crate) by_key: HashMap<String, i64>,
    pub(crate) unanswered: Vec<Unanswered>,
    /// How many operations there were of each kind, and how many of these got an answer.
    pub(crate) counts: BTreeMap<&'static str, (u64, u64)>,
    /// By the number of the order; of orders that are known to have ended, the latest only.
    operations: HashMap<i64, Vec<Operation>>,
    pub(crate) violations: Vec<Violation>,
    /// When the latest order was seen to be confirmed, and the longest time without one.
    pub(crate) confirmed: u64,
    pub(crate) last_confirmed: u64,
}

/// Something that cannot be true.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) order_id: Option<i64>,
    pub(crate) what: String,
}

/// How many operations of an order are kept.
const KEPT: usize = 64;

impl History {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), inner: Mutex::default() }
    }

    /// Microseconds from the beginning of the run.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(crate) fn count(&mut self, kind: &'static str, answered: bool) {
        let (all, with_answer) = self.counts.entry(kind).or_default();
        *all += 1;
        *with_answer += u64::from(answered);
    }

    pub(crate) fn note(&mut self, order_id: i64, operation: Operation) {
        let operations = self.operations.entry(order_id).or_default();
        if operations.len() >= KEPT {
            operations.remove(KEPT / 2);
        }
        operations.push(operation);
    }

    pub(crate) fn operations(&self, order_id: i64) -> Vec<Operation> {
        let mut operations = self.operations.get(&order_id).cloned().unwrap_or_default();
        operations.sort_by_key(|operation| operation.began);
        operations
    }

    pub(crate) fn violation(&mut self, order_id: Option<i64>, what: String) {
        self.violations.push(Violation { order_id, what });
    }

    /// Checks an order as it was read by an operation, against all that was told before that began.
    pub(crate) fn order_read(&mut self, order: &Value, began: u64, ended: u64) {
        let (Some(order_id), Some(status)) = (order["order_id"].as_i64(), order["status"].as_str()) else {
            return self.violation(None, format!("not an order: {order}"));
        };
        let known = self.known.entry(order_id).or_default();
        let newly_confirmed = status == "CONFIRMED" && known.terminal().is_none();
        if let Err(what) = known.read(status, began, ended) {
            self.violation(Some(order_id), what);
        }
        if newly_confirmed {
            self.confirmed += 1;
            self.last_confirmed = self.last_confirmed.max(ended);
        }
    }

    /// Checks a stock item as it was read.
    pub(crate) fn stock_read(&mut self, item: &Value, began: u64, ended: u64) {
        let sku = item["item_sku"].as_str().unwrap_or_default().to_owned();
        if let Err(what) = self.stock.entry(sku).or_default().read(item, began, ended) {
            self.violation(None, what);
        }
    }
}
