//! Records what clients did and which responses they got.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde_json::Value;

use super::{
    checker::{Known, StockFloor},
    refunds::Requested,
    unanswered::Unanswered,
    wants::Wants,
};

/// A request and its result.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// When it began and ended, in microseconds since the start of the run.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    /// The client that made it, such as `client 3` or `stream 0`.
    pub(crate) who: String,
    /// A description of the request.
    pub(crate) what: String,
    /// The response's status, or why there was no response. In Jepsen's terms, the latter is `info`: it may have taken
    /// effect.
    pub(crate) response: String,
}

/// What is known about an order from the client that placed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) key: Option<String>,
    pub(crate) wants: Wants,
    /// When it was first requested, in microseconds since the start of the run.
    pub(crate) began: u64,
    /// When it was first answered, in microseconds since the start of the run.
    pub(crate) answered: u64,
    /// Whether a cancellation was accepted.
    pub(crate) cancel: Cancel,
}

/// Whether a client has cancelled an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// There was no attempt.
    No,
    /// There was an attempt, and its result is unknown.
    Maybe,
    /// It was accepted (202).
    Accepted,
    /// It was refused: the order was confirmed.
    Refused,
}

/// All responses that clients got, and what they imply for later ones.
pub(crate) struct History {
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub(crate) struct Inner {
    /// By order number.
    pub(crate) placed: BTreeMap<i64, Placed>,
    pub(crate) known: HashMap<i64, Known>,
    pub(crate) stock: HashMap<String, StockFloor>,
    pub(crate) by_key: HashMap<String, i64>,
    /// By order number.
    pub(crate) refunds: BTreeMap<i64, Requested>,
    pub(crate) unanswered: Vec<Unanswered>,
    /// The number of operations of each kind, and how many of them got a response.
    pub(crate) counts: BTreeMap<&'static str, (u64, u64)>,
    /// By order number. Only the latest operations of each order are kept.
    operations: HashMap<i64, Vec<Operation>>,
    pub(crate) violations: Vec<Violation>,
    /// When each order was first seen to be confirmed, in microseconds since the start of the run.
    pub(crate) confirmed: Vec<u64>,
}

/// A response or state that contradicts the rules.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) order_id: Option<i64>,
    pub(crate) what: String,
}

/// Maximum number of operations that are kept per order.
const OPERATIONS_KEPT: usize = 64;

impl History {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), inner: Mutex::default() }
    }

    /// Returns the time since the start of the run, in microseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
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
        if operations.len() >= OPERATIONS_KEPT {
            operations.remove(OPERATIONS_KEPT / 2);
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

    /// Checks an order that an operation has read against everything that was known before the operation began.
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
            self.confirmed.push(ended);
        }
    }

    /// Checks a stock item that was read.
    pub(crate) fn stock_read(&mut self, item: &Value, began: u64, ended: u64) {
        let sku = item["item_sku"].as_str().unwrap_or_default().to_owned();
        if let Err(what) = self.stock.entry(sku).or_default().read(item, began, ended) {
            self.violation(None, what);
        }
    }
}
