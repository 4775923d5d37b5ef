//! Middleware that every request and every response passes through.

use std::{any::Any, time::Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use saga_runtime::trace::Tracing;
use tracing::{Instrument, Span, field};

use super::{Audience, AuditLog, BrowserPolicy, Problem, access::AccessControl, body};
use crate::{HttpMetrics, metrics::method_name, trace::RequestSpan, unread::Unread};

/// What every request passes before it reaches a handler.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    /// Counts requests.
    pub metrics: HttpMetrics,
    /// Starts the spans of requests.
    pub tracing: Tracing,
    /// Refuses requests that pages of other sites have sent.
    pub browsers: BrowserPolicy,
    /// Refuses requests of callers that may not send them.
    pub access: AccessControl,
    /// Records who does what; `None` for nothing.
    pub audit: Option<AuditLog>,
}

/// Traces and counts the request, refuses what the policy for browsers refuses and a body whose `Content-Length` is too
/// large, and turns every error response into a problem.
pub(crate) async fn guard(
    State(Edge { metrics, tracing, browsers, .. }): State<Edge>,
    mut request: Request,
    next: Next,
) -> Response {
    let traced = RequestSpan::start(&tracing, &mut request);
    let span = tracing::debug_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        http.status = field::Empty,
        duration_ms = field::Empty,
        trace.id = traced.trace_id(),
    );
    let started = Instant::now();
    async {
        // Cloning these is cheap, because their parts are shared. The path is needed only for an error.
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let (parts, body) = request.into_parts();
        let audience = parts.extensions.get::<Audience>();
        let browsers = audience.and_then(|audience| audience.browsers.as_ref()).unwrap_or(&browsers);
        let refusal = browsers.refusal(&parts);
        let response = if let Some(refusal) = refusal.or_else(|| body::announced_too_large(&parts.headers)) {
            body::discard(&parts.headers, body).await;
            refusal.into_response()
        } else {
            let (body, unread) = Unread::lend(&parts.headers, body);
            let mut response = next.run(Request::from_parts(parts, body)).await;
            if let Some(unread) = unread {
                unread.discard(response.headers_mut()).await;
            }
            response
        };
        let mut response = as_problem(response, uri.path(), traced.trace_id());
        let route = response.extensions_mut().remove::<MatchedPath>();
        traced.end(method_name(&method), route.as_ref().map(MatchedPath::as_str), response.status());
        metrics.answered(&method, route, response.status(), started.elapsed());
        let span = Span::current();
        span.record("http.status", response.status().as_u16());
        span.record("duration_ms", started.elapsed().as_secs_f64() * 1e3);
        tracing::debug!("request answered");
        response
    }
    .instrument(span)
    .await
}

/// Records the request's route in an extension of the response, for [`guard`].
pub(crate) async fn name_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// Turns an error response into a problem with its `instance` and, if there is one, its `trace_id`. A success, or an
/// error that is already a JSON document, is unchanged.
fn as_problem(response: Response, path: &str, trace_id: Option<&str>) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        // An error of axum or another library. Its text is meant for programmers and may reveal the cause.
        None if is_plain(&parts.headers) => Problem::of_status(status),
        None => return Response::from_parts(parts, body),
    };
    let (rendered, body) = problem.at(path).in_trace(trace_id).into_response().into_parts();
    // Keep the headers (such as `Allow`), except those of the replaced body.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(rendered.headers);
    parts.extensions.extend(rendered.extensions);
    Response::from_parts(parts, body)
}

/// Returns whether a body is empty or plain text.
fn is_plain(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_none_or(|content_type| content_type.as_bytes().starts_with(b"text/plain"))
}

/// Answers a request whose handler panicked; the process continues. The cause is logged, but not sent to the client.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response<Body> {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message.unwrap_or("no message"), "a handler panicked");
    Problem::internal().into_response()
}
