//! Metrics of the order service: how orders end, and how long that takes.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use shared_events::FailureReason;

use crate::domain::{Order, Status};

/// Counts the orders that have ended. Clones share the counters.
#[derive(Debug, Clone)]
pub(crate) struct OrderMetrics {
    ended: Family<End, Counter>,
    duration: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct End {
    end: &'static str,
    reason: &'static str,
}

impl Default for OrderMetrics {
    fn default() -> Self {
        let duration =
            Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 60., 300., 900.]);
        Self { ended: Family::default(), duration }
    }
}

impl OrderMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("orders_ended", "Orders that have ended", self.ended.clone());
        let help = "Time from the placement of an order to its end";
        registry.register_with_unit("saga_duration", help, Unit::Seconds, self.duration.clone());
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
}
