//! Metrics of HTTP requests, for Prometheus.

use std::{fmt, hash, time::Duration};

use axum::{
    extract::MatchedPath,
    http::{Method, StatusCode},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::server::ConnectionMetrics;

/// Counts requests and connections, and measures the duration of requests. Clones share the counters.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: Family<Answered, Counter>,
    duration: Family<Request, Histogram, fn() -> Histogram>,
    pub(crate) connections: ConnectionMetrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: Route,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: Route,
}

/// A route's template, such as `/api/v1/items/{id}`. The number of templates is fixed, whatever clients request.
#[derive(Debug, Clone)]
struct Route(Option<MatchedPath>);

impl Route {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("none", MatchedPath::as_str)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Route {}

impl hash::Hash for Route {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let durations: fn() -> Histogram =
            || Histogram::new([0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30.]);
        let duration = Family::new_with_constructor(durations);
        Self { requests: Family::default(), duration, connections: ConnectionMetrics::default() }
    }
}

impl HttpMetrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests that were answered", self.requests.clone());
        let help = "How long a request took, from its head to the head of its answer";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, self.duration.clone());
        self.connections.register(registry);
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(&self, method: &Method, route: Option<MatchedPath>, status: StatusCode, duration: Duration) {
        let (method, route) = (method_name(method), Route(route));
        let answered = Answered { method, route: route.clone(), status: status.as_u16() };
        self.requests.get_or_create(&answered).inc();
        self.duration.get_or_create(&Request { method, route }).observe(duration.as_secs_f64());
    }
}

/// Returns the method's label. Unknown methods share one label, so that clients cannot create time series.
pub(crate) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
