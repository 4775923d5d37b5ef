//! Spans of OpenTelemetry. This crate uses its API only; who runs the service provides the tracer, with an SDK and an
//! exporter. Without a tracer nothing is recorded, and what is caused keeps the `traceparent` of its cause.

mod messages;

use std::sync::Arc;

use opentelemetry::{
    Context,
    global::{BoxedSpan, BoxedTracer},
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _,
    },
};
use saga_message::is_traceparent;

pub(crate) use messages::{MessageSpans, OpenSpan};

/// The attribute of a `create` span whose event does not exist, because the transaction that decided it was rolled
/// back. Such a span should not be exported.
pub const ROLLED_BACK: &str = "saga.rolled_back";

/// Starts the spans of one service. Cheap to clone. The default starts none.
#[derive(Debug, Clone, Default)]
pub struct Tracing(Option<Arc<BoxedTracer>>);

impl Tracing {
    /// Starts spans with this tracer.
    #[must_use]
    pub fn new(tracer: BoxedTracer) -> Self {
        Self(Some(Arc::new(tracer)))
    }

    /// Returns whether there is a tracer.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Starts a span whose parent is the span that `parent` names, a W3C `traceparent`; or the first span of a new
    /// trace, if there is no valid one. Returns `None` without a tracer. The span is not recorded if the sampler says
    /// so; its context is to be passed on all the same.
    #[must_use]
    pub fn start(&self, span: SpanBuilder, parent: Option<&str>) -> Option<BoxedSpan> {
        let tracer = self.0.as_ref()?;
        let context = Context::new();
        let context = match parent.and_then(span_context) {
            Some(parent) => context.with_remote_span_context(parent),
            None => context,
        };
        let span = tracer.build_with_context(span, &context);
        // A tracer that was shut down starts spans without a context.
        span.span_context().is_valid().then_some(span)
    }
}

/// Returns the W3C `traceparent` that names this span.
#[must_use]
pub fn traceparent(span: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8())
}

/// Returns the trace id in a W3C `traceparent`; `None` if that is invalid.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    span_context(traceparent).and_then(|_| traceparent.get(3..35))
}

fn span_context(traceparent: &str) -> Option<SpanContext> {
    if !is_traceparent(traceparent) || traceparent.starts_with("ff") {
        return None;
    }
    let trace = TraceId::from_hex(&traceparent[3..35]).ok()?;
    let span = SpanId::from_hex(&traceparent[36..52]).ok()?;
    // Of the flags, only "sampled" has a meaning in version 00.
    let sampled = u8::from_str_radix(&traceparent[53..], 16).ok()? & TraceFlags::SAMPLED.to_u8();
    let context = SpanContext::new(trace, span, TraceFlags::new(sampled), true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_read_from_a_traceparent_and_written_as_one() {
        for flags in ["00", "01"] {
            let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            assert_eq!(traceparent(&span_context(&text).unwrap()), text);
            assert_eq!(trace_id(&text), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        }
        let newer = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-09";
        let read = traceparent(&span_context(newer).unwrap());
        assert_eq!(read, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        for invalid in [
            "",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!((span_context(invalid), trace_id(invalid)), (None, None), "{invalid}");
        }
    }

    #[test]
    fn without_a_tracer_no_span_is_started() {
        let tracing = Tracing::default();
        assert!(!tracing.is_on() && tracing.start(SpanBuilder::from_name("x"), None).is_none());
    }
}
