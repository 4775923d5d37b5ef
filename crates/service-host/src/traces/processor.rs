use std::time::Duration;

use opentelemetry::{Context, Value};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use saga_runtime::trace::ROLLED_BACK;

/// Drops the spans of events that do not exist, because their transaction was rolled back. (A span cannot be withdrawn
/// once it is started, and its context must be in the event before the commit.)
#[derive(Debug)]
pub(super) struct WithoutRolledBack<P>(pub(super) P);

impl<P: SpanProcessor> SpanProcessor for WithoutRolledBack<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let is_mark = |key: &str, value: &Value| key == ROLLED_BACK && *value == Value::Bool(true);
        if !span.attributes.iter().any(|attribute| is_mark(attribute.key.as_str(), &attribute.value)) {
            self.0.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
