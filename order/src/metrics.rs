//! Metrics of the order service: how orders and refunds end, how long an order takes, and for how long the oldest open
//! one has waited.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use saga_database::Database;
use shared_events::FailureReason;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    domain::{Order, RefundState, Status},
    store,
};

/// How often the oldest open order is looked up.
const OLDEST_INTERVAL: Duration = Duration::from_secs(2);

/// Counts the orders that have ended. Clones share the counters.
#[derive(Debug, Clone)]
pub(crate) struct OrderMetrics {
    ended: Family<End, Counter>,
    duration: Histogram,
    refunds: Family<RefundResult, Counter>,
    /// Without a value if it is not known. At most one member.
    oldest_open: Family<[(&'static str, &'static str); 0], Gauge<f64, AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct End {
    end: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefundResult {
    result: &'static str,
}

/// The usual ends, which are reported as 0 from the start.
const ENDS: [(&str, &str); 6] = [
    ("confirmed", "none"),
    ("failed", "insufficient_stock"),
    ("failed", "unknown_item"),
    ("failed", "payment_declined"),
    ("failed", "deadline_exceeded"),
    ("cancelled", "none"),
];

impl Default for OrderMetrics {
    fn default() -> Self {
        let duration =
            Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 60., 300., 900.]);
        let ended = Family::default();
        // A counter that appears with its first order would hide that order from `increase` and `rate`.
        for (end, reason) in ENDS {
            drop(ended.get_or_create(&End { end, reason }));
        }
        let refunds = Family::default();
        for result in ["succeeded", "failed"] {
            drop(refunds.get_or_create(&RefundResult { result }));
        }
        Self { ended, duration, refunds, oldest_open: Family::default() }
    }
}

impl OrderMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("orders_ended", "Orders that have ended", self.ended.clone());
        let help = "Time from the placement of an order to its end";
        registry.register_with_unit("saga_duration", help, Unit::Seconds, self.duration.clone());
        let help = "Refunds whose money has gone back, or will not";
        registry.register("refunds_ended", help, self.refunds.clone());
        let help = "How long ago the oldest order was placed that has not ended; 0 if there is none";
        registry.register_with_unit("oldest_open_order_age", help, Unit::Seconds, self.oldest_open.clone());
    }

    /// Looks up the oldest open order every few seconds. The query reads at most two rows, however many there are.
    pub(crate) async fn watch_oldest(self, database: Database) {
        let mut ticks = interval(OLDEST_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match store::oldest_open(&database.internal_reader()).await {
                Ok(oldest) => {
                    let age = oldest.map_or(Duration::ZERO, |placed_at| database.clock().now().since(placed_at));
                    self.oldest_open.get_or_create(&[]).set(age.as_secs_f64());
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot look up the oldest open order");
                    self.oldest_open.clear();
                }
            }
        }
    }

    /// Counts an order that has just ended. Called after the commit.
    pub(crate) fn ended(&self, order: &Order) {
        let end = match order.status() {
            Status::Confirmed => "confirmed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Pending | Status::Compensating => return,
        };
        let reason = match order.facts.failure_reason() {
            None => "none",
            Some(FailureReason::InsufficientStock) => "insufficient_stock",
            Some(FailureReason::UnknownItem) => "unknown_item",
            Some(FailureReason::PaymentDeclined) => "payment_declined",
            Some(FailureReason::DeadlineExceeded) => "deadline_exceeded",
        };
        self.ended.get_or_create(&End { end, reason }).inc();
        self.duration.observe(order.changed_at.since(order.placed_at).as_secs_f64());
    }

    /// Counts a refund that has just got this state. Called after the commit.
    pub(crate) fn refund_ended(&self, state: RefundState) {
        let result = match state {
            RefundState::Requested => return,
            RefundState::Succeeded => "succeeded",
            RefundState::Failed(_) => "failed",
        };
        self.refunds.get_or_create(&RefundResult { result }).inc();
    }
}
