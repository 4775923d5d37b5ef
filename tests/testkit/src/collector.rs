//! A receiver of spans in the process of the test, which speaks OTLP over HTTP like a collector.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span as ProtoSpan, status::StatusCode as SpanStatus},
};
use prost::Message as _;
use tokio::{net::TcpListener, sync::Notify, task::AbortHandle};

pub use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// How long to wait for spans before that counts as a failure.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A collector that keeps what it receives. It stops when it is dropped.
#[derive(Debug)]
pub struct Collector {
    endpoint: String,
    received: Arc<Received>,
    server: AbortHandle,
}

#[derive(Debug, Default)]
struct Received {
    spans: Mutex<Vec<Span>>,
    changed: Notify,
}

/// A span as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The attributes of the service that it belongs to.
    pub resource: BTreeMap<String, String>,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
    /// The context that a `traceparent` of it contains: trace id and span id in hex, with a dash between them.
    pub context: String,
    /// The context of its parent.
    pub parent: Option<String>,
    /// The contexts that it is linked to.
    pub links: Vec<String>,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began and ended, in nanoseconds since 1970.
    pub times: (u64, u64),
}

impl Span {
    /// Returns the name of the service that it belongs to.
    #[must_use]
    pub fn service(&self) -> &str {
        self.resource.get("service.name").map_or("", String::as_str)
    }

    /// Returns the trace id.
    #[must_use]
    pub fn trace(&self) -> &str {
        &self.context[..32]
    }

    /// Returns an attribute, or an empty text if it is missing.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Collector {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let received = Arc::new(Received::default());
        let router = Router::new().route("/v1/traces", post(receive)).with_state(Arc::clone(&received));
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { endpoint, received, server })
    }

    /// Returns the value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns the spans that were received up to now.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.received.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `found` finds what it looks for in the spans, and returns it.
    ///
    /// # Errors
    /// If it does not within the time limit.
    pub async fn until<T>(&self, what: &str, found: impl Fn(&[Span]) -> Option<T>) -> Result<T> {
        let wait = async {
            loop {
                let changed = self.received.changed.notified();
                if let Some(found) = found(&self.spans()) {
                    return found;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(TIMEOUT, wait).await;
        waited.with_context(|| format!("the collector has no {what}; it has {:#?}", self.spans()))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The [`tree`] of an order that is confirmed and captured, with the destinations of the in-process broker.
pub const CONFIRMED: [&str; 18] = [
    "order Server POST /api/v1/orders",
    "  order Producer create order.created",
    "    inventory Consumer process order.created:inventory",
    "      inventory Producer create stock.reserved",
    "        inventory Client send stock.reserved",
    "        order Consumer process stock.reserved:order",
    "        payment Consumer process stock.reserved:payment",
    "          payment Producer create payment.authorized",
    "            order Consumer process payment.authorized:order",
    "              order Producer create order.confirmed",
    "                inventory Consumer process order.confirmed:inventory",
    "                order Client send order.confirmed",
    "                payment Consumer process order.confirmed:payment",
    "                  payment Producer create payment.captured",
    "                    order Consumer process payment.captured:order",
    "                    payment Client send payment.captured",
    "            payment Client send payment.authorized",
    "    order Client send order.created",
];

/// Returns the trace below `root` as lines: the service, the kind and the name of each span, indented below its
/// parent; without the transactions.
#[must_use]
pub fn tree(spans: &[Span], root: &Span) -> Vec<String> {
    let mut lines = vec![format!("{} {:?} {}", root.service(), root.kind, root.name)];
    let mut below: Vec<Vec<String>> = spans
        .iter()
        .filter(|span| span.parent.as_ref() == Some(&root.context) && span.name != "commit")
        .map(|child| tree(spans, child).into_iter().map(|line| format!("  {line}")).collect())
        .collect();
    below.sort();
    lines.extend(below.into_iter().flatten());
    lines
}

async fn receive(State(received): State<Arc<Received>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let spans = request.resource_spans.into_iter().flat_map(|of_resource| {
        let resource = of_resource.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
        let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        spans.map(move |span| read(span, resource.clone()))
    });
    received.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
    received.changed.notify_waiters();
    StatusCode::OK
}

fn read(span: ProtoSpan, resource: BTreeMap<String, String>) -> Span {
    let context = |trace: &[u8], id: &[u8]| format!("{}-{}", hex(trace), hex(id));
    let kind = span.kind();
    let failed = span.status.filter(|status| status.code == SpanStatus::Error as i32);
    Span {
        resource,
        kind,
        context: context(&span.trace_id, &span.span_id),
        parent: (!span.parent_span_id.is_empty()).then(|| context(&span.trace_id, &span.parent_span_id)),
        links: span.links.iter().map(|link| context(&link.trace_id, &link.span_id)).collect(),
        attributes: texts(span.attributes),
        error: failed.map(|status| status.message),
        times: (span.start_time_unix_nano, span.end_time_unix_nano),
        name: span.name,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: AnyValue| match value.value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().filter_map(|attribute| Some((attribute.key, text(attribute.value?)))).collect()
}
