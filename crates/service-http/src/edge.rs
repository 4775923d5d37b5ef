//! What every request passes on its way in and every answer on its way out.

use std::{any::Any, time::Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::{Instrument, Span, field};

use super::{Problem, body};
use crate::HttpMetrics;

/// Traces and counts the request, refuses a body that says itself that it is too large, and makes every error answer a problem.
pub(crate) async fn guard(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let span = tracing::debug_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        status = field::Empty,
        duration_ms = field::Empty,
    );
    let began = Instant::now();
    async {
        // Its parts are shared, not copied: the path is needed in the rare case only.
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let response = if body::is_announced_too_large(request.headers()) {
            let (parts, body) = request.into_parts();
            body::discard(&parts.headers, body).await;
            Problem::too_large().into_response()
        } else {
            next.run(request).await
        };
        let mut response = as_problem(response, uri.path());
        let route = response.extensions_mut().remove::<MatchedPath>();
        metrics.answered(&method, route, response.status(), began.elapsed());
        let span = Span::current();
        span.record("status", response.status().as_u16());
        span.record("duration_ms", began.elapsed().as_secs_f64() * 1e3);
        tracing::debug!("request answered");
        response
    }
    .instrument(span)
    .await
}

/// Tells the guard, by an extension of the answer, which route the request had.
pub(crate) async fn name_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// An error answer as a problem with its `instance`. What is a success, or a JSON document of its own, stays as it is.
fn as_problem(response: Response, path: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        // From axum or another library. Its text is for its programmers, and may even tell the cause.
        None if is_plain(&parts.headers) => Problem::of_status(status),
        None => return Response::from_parts(parts, body),
    };
    let (rendered, body) = problem.at(path).into_response().into_parts();
    // The headers stay (`Allow`, for one), but for those of the body that goes.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(rendered.headers);
    parts.extensions.extend(rendered.extensions);
    Response::from_parts(parts, body)
}

/// Whether a body is empty or mere text.
fn is_plain(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_none_or(|content_type| content_type.as_bytes().starts_with(b"text/plain"))
}

/// A handler panicked: its request fails, the process goes on. The caller does not learn why, the log does.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response<Body> {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message.unwrap_or("no message"), "a handler panicked");
    Problem::internal().into_response()
}
