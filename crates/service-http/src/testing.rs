//! Helpers for this crate's tests: requests without a network.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, header},
};
use serde_json::Value;
use tower::ServiceExt;

/// Sends a request and returns the response's status, headers and body. A body that is not declared as JSON is returned
/// as a string.
pub(crate) async fn send(router: &Router, request: Request) -> (u16, HeaderMap, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let json =
        parts.headers.get(header::CONTENT_TYPE).is_some_and(|content_type| content_type.as_bytes().ends_with(b"json"));
    let body = if json { serde_json::from_slice(&body).unwrap() } else { String::from_utf8_lossy(&body).into() };
    (parts.status.as_u16(), parts.headers, body)
}

pub(crate) async fn get(router: &Router, uri: &str) -> (u16, HeaderMap, Value) {
    send(router, Request::get(uri).body(Body::empty()).unwrap()).await
}
