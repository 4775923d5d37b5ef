//! The span of a request, named by the semantic conventions for HTTP
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>).

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode},
};
use opentelemetry::{
    KeyValue,
    global::BoxedSpan,
    trace::{Span as _, SpanBuilder, SpanKind, Status},
};
use saga_runtime::trace::{Tracing, trace_id, traceparent};

use crate::metrics::method_name;

/// The `traceparent` of the request's span; an extension of the request.
#[derive(Debug, Clone)]
pub(crate) struct Traceparent(pub(crate) String);

/// A request's span, if it has one, and the trace that it belongs to.
pub(crate) struct RequestSpan {
    span: Option<BoxedSpan>,
    trace_id: Option<String>,
}

/// What is requested every few seconds by machines; a trace of it would tell nothing.
const NOT_TRACED: [&str; 3] = ["/health", "/health/ready", "/metrics"];

/// Returns the request's `traceparent`, as far as it is text.
pub(crate) fn header(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent")?.to_str().ok()
}

impl RequestSpan {
    /// Starts the span of a request, which becomes the cause of what it triggers. Its parent is what the request's
    /// `traceparent` names.
    pub(crate) fn start(tracing: &Tracing, request: &mut Request) -> Self {
        let parent = header(request.headers());
        let is_traced = tracing.is_on() && !NOT_TRACED.contains(&request.uri().path().trim_end_matches('/'));
        let span = if is_traced { tracing.start(builder(request), parent) } else { None };
        let Some(span) = span else {
            return Self { span: None, trace_id: parent.and_then(trace_id).map(str::to_owned) };
        };
        let context = span.span_context();
        let (trace_id, extension) = (context.trace_id().to_string(), Traceparent(traceparent(context)));
        request.extensions_mut().insert(extension);
        Self { span: Some(span), trace_id: Some(trace_id) }
    }

    /// Returns the id of the trace that the request belongs to, if there is one.
    pub(crate) fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// Ends the span with the route and the status of the response.
    pub(crate) fn end(self, method: &'static str, route: Option<&str>, status: StatusCode) {
        let Some(mut span) = self.span.filter(BoxedSpan::is_recording) else { return };
        if let Some(route) = route {
            span.update_name(format!("{method} {route}"));
            span.set_attribute(KeyValue::new("http.route", route.to_owned()));
        }
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        // By the conventions, a client's error is none of the server.
        if status.is_server_error() {
            span.set_attribute(KeyValue::new("error.type", status.as_u16().to_string()));
            span.set_status(Status::error(""));
        }
    }
}

fn builder(request: &Request) -> SpanBuilder {
    let method = method_name(request.method());
    SpanBuilder::from_name(method).with_kind(SpanKind::Server).with_attributes([
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("url.path", request.uri().path().to_owned()),
    ])
}
