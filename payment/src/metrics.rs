//! Metrics of the payment service: the calls of the gateway, and what became of captures.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Counts the calls of the gateway. Clones share the counters.
#[derive(Debug, Clone)]
pub(crate) struct GatewayMetrics {
    calls: Family<Call, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    operation: &'static str,
    result: &'static str,
}

/// What is asked of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Prepare,
    Authorize,
    Capture,
    Void,
    Refund,
    Lookup,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Lookup => "lookup",
        }
    }
}

impl Default for GatewayMetrics {
    fn default() -> Self {
        let calls = Family::default();
        // A counter that appears with its first call would hide that call from `increase` and `rate`.
        for operation in [
            Operation::Prepare,
            Operation::Authorize,
            Operation::Capture,
            Operation::Void,
            Operation::Refund,
            Operation::Lookup,
        ] {
            for result in ["ok", "failed"] {
                drop(calls.get_or_create(&Call { operation: operation.name(), result }));
            }
        }
        Self { calls }
    }
}

impl GatewayMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Calls of the payment gateway; a payment that is declined is no failure";
        registry.register("gateway_calls", help, self.calls.clone());
    }

    /// Counts a call that was answered, or that failed or was not answered in time.
    pub(crate) fn called(&self, operation: Operation, succeeded: bool) {
        let result = if succeeded { "ok" } else { "failed" };
        self.calls.get_or_create(&Call { operation: operation.name(), result }).inc();
    }
}

/// What became of the captures in one transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Captures {
    pub(crate) captured: u64,
    pub(crate) failed: u64,
}

/// Counts captures. Clones share the counters.
#[derive(Debug, Clone)]
pub(crate) struct CaptureMetrics {
    captures: Family<CaptureResult, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CaptureResult {
    result: &'static str,
}

const CAPTURED: CaptureResult = CaptureResult { result: "captured" };
const FAILED: CaptureResult = CaptureResult { result: "failed" };

impl Default for CaptureMetrics {
    fn default() -> Self {
        let captures = Family::default();
        for result in [CAPTURED, FAILED] {
            drop(captures.get_or_create(&result));
        }
        Self { captures }
    }
}

impl CaptureMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Payments of confirmed orders whose amount was taken, or cannot be taken";
        registry.register("captures", help, self.captures.clone());
    }

    /// Counts what has been committed.
    pub(crate) fn committed(&self, Captures { captured, failed }: Captures) {
        for (result, count) in [(CAPTURED, captured), (FAILED, failed)] {
            if count > 0 {
                self.captures.get_or_create(&result).inc_by(count);
            }
        }
    }
}
